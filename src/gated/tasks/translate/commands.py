"""`gated translate …`: a function for each verb."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from gated._check import want
from gated.io import files
from gated.io.text import Row, open_stream, places, plural
from gated.runs import FitOptions, OutOptions, Output
from gated.tasks.translate import alignment, documents, scoring
from gated.tasks.translate import run as translator
from gated.tasks.translate.data import holds_pairs, read_sentences, stream_sentences
from gated.tasks.translate.messages import Outcome
from gated.tasks.translate.run import Run
from gated.tasks.translate.search import Search, Translation
from gated.tasks.translate.task import Config
from gated.tasks.translate.unknown import Unknown, find_unknown, note_unknown

LINES = 2048  # translated before any of them is written


def count_sides(names: list[str]) -> int:
    """The number of files of one set of pairs: two, or one that holds pairs."""
    return 1 if len(names) < 2 or holds_pairs(names[0]) else 2


Pairs = Annotated[tuple[str, ...], "SOURCE [TARGET]"]
Beside = Annotated[list[Path], "Another run, to decode together: an ensemble."]
Valid = Annotated[list[str], "Pairs to validate on: SOURCE [TARGET].", count_sides]
Columns = Annotated[tuple[str, ...], "Names of the source and target fields in JSON lines or a header."]


def fit(
    data: Pairs,
    /,
    *,
    valid: Valid,
    options: FitOptions,
    config: Config,
) -> Output:
    held = check_sides(tuple(valid)) if len(valid) > 1 else valid[0] if valid else None
    source, *target = check_sides(data)
    run = translator.fit(source, *target, config=config, valid=held, **options.words())
    return options.output(run)


def predict(
    run: Run,
    data: Annotated[str, "[SOURCE]"] = "-",
    /,
    *,
    with_: Beside,
    prefix: Annotated[str | None, "File with what each translation must begin with, a line each."] = None,
    out: Annotated[str, "File to write; - is standard output."] = "-",
    align: Annotated[str | None, "File for the word alignments, 0-0 1-2 …, a line a sentence."] = None,
    scores: Annotated[bool, "Before each translation the number of its line and its score, tabs between."] = False,
    columns: Columns = (),
    fuzzy: Annotated[bool, "Of a catalogue, translate fuzzy entries as well."] = False,
    lossy: Annotated[bool, "Of a file with a structure, take translations that lose placeholders."] = False,
    search: Search,
) -> Output:
    """A line of the source gives a line, an empty one an empty one; a file with a structure, such as .po, gives one.

    With `scores`, and with n_best above 1, a line is the number of the source's line, the score and the translation.
    """
    for path in (out, align):
        files.check(path)
    how = asdict(search)
    want(data != "-" or prefix != "-", "prefixes", "a file", "standard input, which is the source")
    if data == "-" and sys.stdin.isatty():
        sys.stderr.write("Type a sentence a line; Ctrl-D ends.\n")
    beside = [translator.load(other) for other in with_]
    starts = None if prefix is None else read_sentences(prefix).source
    stream = open_stream(data)
    document = documents.read(stream, columns or run.config.columns or ("source",))
    if document is not None:
        others = {"--with": with_, "--prefix": prefix, "--align": align, "--scores": scores, "--columns": columns}
        given = ", ".join(name for name, value in others.items() if value)
        want(not given, stream.where, f"for a file with a structure no {', '.join(others)}", given, "Leave it out.")
        return _report(run.fill(document, fuzzy=fuzzy, lossy=lossy, **how), out)
    scores = scores or search.n_best > 1
    rows: list[dict[str, Any]] = []
    alignments: list[str] = []
    notes: list[str] = []
    unknown: dict[int, Unknown] = {}  # of each line
    whole = stream.own is not None and Path(data).is_file()

    def parts() -> Iterator[bytes]:
        """The translations, some lines at a time: of a pipe those that have come."""
        with stream:
            source = stream_sentences(stream, columns, run.config.columns, notes)
            if starts is not None:
                lines = list(source)
                want(len(starts) == len(lines), str(prefix), f"{len(lines)} lines, as of the source", len(starts))
                source = iter(lines)
            for lines in _batch(source, lambda: whole or stream.waiting or starts is not None):
                low = len(rows)
                unknown.update(enumerate(find_unknown(run.model.source, lines), low + 1))
                prefixes = None if starts is None else starts[low : low + len(lines)]
                translations = run.translate(lines, beside=beside, prefixes=prefixes, first=low, **how)
                rows.extend(_row(n, best) for n, best in enumerate(translations, low + 1))
                if align:
                    best = [one[0] for one in translations]
                    alignments.extend(alignment.pharaoh(alignment.align_words(run, one)) for one in best)
                yield "".join(_lines(translations, low + 1, scores)).encode()
        want(bool(rows), stream.where, "at least one line", "an empty file")
        notes.extend(note_unknown(unknown))
        if align:
            files.write(align, "".join(f"{line}\n" for line in alignments).encode())

    if out != "-":
        with files.create(out) as file:
            for part in parts():
                file.write(part)
    result = {"translations": rows, "notes": notes}
    return Output(lambda: result, lambda: "\n".join(notes), parts() if out == "-" else ())


def _batch(rows: Iterator[Row], ready: Callable[[], bool]) -> Iterator[list[str]]:
    """The sentences of rows, as many at once as are there without waiting, and at most `LINES`."""
    lines: list[str] = []
    for row in rows:
        lines.append(row.cells[0])
        if len(lines) == LINES or not ready():
            yield lines
            lines = []
    if lines:
        yield lines


def score(run: Run, data: Pairs, /, *, with_: Beside, columns: Columns = (), search: Search) -> Output:
    beside = [translator.load(other) for other in with_]
    result = run.score(*check_sides(data), columns=columns, beside=beside, **asdict(search))
    return Output(result, lambda: scoring.table(result))


def update(
    run: Run,
    data: Pairs,
    /,
    *,
    valid: Valid,
    options: OutOptions,
    columns: Columns = (),
    steps: Annotated[int | None, "Number of weight updates."] = None,
    lr: Annotated[float | None, "Peak learning rate, by default a quarter of the fit's."] = None,
) -> Output:
    source, *target = check_sides(data)
    held = check_sides(tuple(valid)) if len(valid) > 1 else valid[0] if valid else None
    new = run.update(source, *target, valid=held, columns=columns, steps=steps, lr=lr, **options.words())
    return options.output(new, notes=list(new.notes))


def attend(
    run: Run,
    sentence: str,
    /,
    *,
    out: Annotated[Path | None, "PNG or SVG file for the picture."] = None,
    search: Search,
) -> Output:
    return Output(*alignment.attend(run, sentence, out, **asdict(search)))


def check_sides(data: tuple[str, ...]) -> tuple[str, ...]:
    want(len(data) <= 2, "data", "one file of pairs or two aligned files", len(data))
    return data


def _row(n: int, best: Sequence[Translation]) -> dict[str, Any]:
    """The translations of a line as JSON has them."""
    texts = [{"text": one.text, "score": one.score} for one in best]
    return {"line": n, **texts[0], **({"n_best": texts} if len(texts) > 1 else {})}


def _lines(translations: Sequence[Sequence[Translation]], low: int, scores: bool) -> Iterator[str]:
    for n, best in enumerate(translations, low):
        for one in best:
            yield f"{n}\t{one.score:.4f}\t{one.text}\n" if scores else f"{one.text}\n"


def _report(outcome: Outcome, out: str) -> Output:
    """A translated file, and the texts that a person should look at."""
    text = [f"{plural(outcome.filled, 'text')} translated.", *outcome.notes]
    text += [f"line {line}: {''.join(c if c.isprintable() else '·' for c in s)}" for line, s in outcome.problems]
    if outcome.empty:
        text.append(f"{plural(len(outcome.empty), 'text')} left as before ({places('line', outcome.empty)}).")
    if out != "-":
        files.write(out, outcome.data)
    problems = [{"line": line, "problem": problem} for line, problem in outcome.problems]
    result = {"filled": outcome.filled, "problems": problems, "empty": outcome.empty, "notes": list(outcome.notes)}
    return Output(result, "\n".join(text), () if out != "-" else [outcome.data])
