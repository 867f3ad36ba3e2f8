"""`gated tag …`: a function for each verb."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from gated._check import one_of, want
from gated.io import files
from gated.io.text import Stream, decode, open_stream
from gated.runs import FitOptions, Output
from gated.tasks.tag import formats, scoring
from gated.tasks.tag import run as tagger
from gated.tasks.tag.data import KINDS, Sentences
from gated.tasks.tag.run import Run
from gated.tasks.tag.task import Config

LINES = 2048  # tagged before any of them is written
ENDINGS = {".jsonl": "jsonl", ".ann": "brat"}

Beside = Annotated[list[Path], "Another run of the same tags, to average the scores: an ensemble."]
Input = Annotated[str | None, f"What the data are: {', '.join(KINDS)}; by default as the name and the lines say."]


def fit(
    data: str,
    /,
    *,
    valid: Annotated[str | None, "Data to validate on."] = None,
    options: FitOptions,
    config: Config,
) -> Output:
    run = tagger.fit(data, config=config, valid=valid, **options.words())
    return options.output(run)


def predict(
    run: Run,
    data: Annotated[str, "[SOURCE]"] = "-",
    /,
    *,
    with_: Beside,
    format: Annotated[
        Literal["columns", "jsonl", "brat"] | None, "Form of the output, by default as the name of --out says."
    ] = None,
    input: Input = None,
    scores: Annotated[bool, "In columns, write the probability of each tag behind it."] = False,
    n_best: Annotated[int, "In JSON, give so many sequences of tags."] = 1,
    out: Annotated[str, "File to write; - is standard output."] = "-",
) -> Output:
    """Text gives a word a line with its tag; a file of columns gives its lines with a column more."""
    files.check(out)
    kind = check_input(input)
    if run.model.channels is not None:
        return _predict_series(run, data, [tagger.load(other) for other in with_], out)
    form = format or ENDINGS.get(Path(out).suffix.lower(), "columns")
    want(n_best >= 1, "n_best", "at least 1", n_best)
    want(form != "brat" or run.model.scheme != "plain", "format", "tags that mark spans, as brat has them", "others")
    beside = [tagger.load(other) for other in with_]
    if data == "-" and sys.stdin.isatty():
        sys.stderr.write("Type a sentence a line; Ctrl-D ends.\n")
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    empty = run.read([]) if data == "-" else run.read(data, kind)  # a mistake in a file before anything is written
    place = (1, 0)  # the next number and the next line's first character, of brat

    def write(sentences: Sentences) -> bytes:
        tagged = run.tag(sentences, beside=beside, n_best=n_best)
        rows.extend(formats.entries(sentences, tagged, run.model.scheme))
        if form == "jsonl":
            return "".join(formats.jsonl(sentences, tagged, run.model.scheme)).encode()
        if form == "columns":
            return "".join(formats.columns(sentences, tagged, scores)).encode()
        nonlocal place
        text, *place = formats.brat(sentences, tagged, run.model.scheme, *place)
        return text.encode()

    def parts() -> Iterator[bytes]:
        if data != "-":
            notes.extend(empty.notes)
            yield write(empty)
            return
        with open_stream("-") as stream:
            for sentences in _stream(run, stream, kind):
                notes.extend(sentences.notes)
                yield write(sentences)

    if out != "-":
        with files.create(out) as file:
            for part in parts():
                file.write(part)
    result: Callable[[], dict[str, Any]] = lambda: {"sentences": rows, "notes": notes}  # noqa: E731
    return Output(result, lambda: "\n".join(dict.fromkeys(notes)), parts() if out == "-" else ())


def _predict_series(run: Run, data: str, beside: list[Run], out: str) -> Output:
    """A table gives its rows with the columns tag and p."""
    sentences = run.read(data)
    tagged = run.tag(sentences, beside=beside)
    table = formats.series(sentences, tagged)
    if out != "-":
        files.write(out, table)
    result = {"segments": formats.list_segments(sentences, tagged), "notes": list(sentences.notes)}
    return Output(result, "\n".join(sentences.notes), () if out != "-" else [table])


def _stream(run: Run, stream: Stream, kind: str) -> Iterator[Sentences]:
    """The sentences of a pipe: text and JSON as the lines come, columns as a whole."""
    numbered = decode(stream)
    first = next(numbered, None)
    want(first is not None, stream.where, "at least one line", "an empty file")
    n, line = first or (1, "")
    tabs = line.count("\t")
    kind = kind or (
        "json" if line.lstrip().startswith("{") else "conllu" if tabs == 9 else "columns" if tabs else "text"
    )
    kind = "slots" if kind == "text" and run.layout["kind"] == "slots" else kind
    whole, lines = kind in ("columns", "conllu"), []
    for one in itertools.chain([(n, line)], numbered):
        lines.append(one)
        if not whole and (len(lines) == LINES or not stream.waiting):
            yield run.read_numbered(stream.where, lines, kind)
            lines = []
    if lines:
        yield run.read_numbered(stream.where, lines, kind)


def score(
    run: Run,
    data: str,
    /,
    *,
    with_: Beside,
    input: Input = None,
    crfsuite: Annotated[bool, "Train a CRF of plain features on the training data to compare with."] = True,
) -> Output:
    beside = [tagger.load(other) for other in with_]
    result = run.score(data, beside=beside, crfsuite=crfsuite, kind=check_input(input))
    return Output(result, lambda: scoring.table(result))


def check_input(kind: str | None) -> str:
    if kind is not None:
        one_of("input", kind, KINDS)
    return kind or ""
