"""`gated transcribe …`: a function for each verb."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from gated._check import escape, want, within
from gated.io import files, text
from gated.runs import FitOptions, OutOptions, Output
from gated.tasks.transcribe import formats
from gated.tasks.transcribe import language as languages
from gated.tasks.transcribe import run as transcriber
from gated.tasks.transcribe.frames import Frames
from gated.tasks.transcribe.listen import Latency
from gated.tasks.transcribe.manifests import Item
from gated.tasks.transcribe.run import Run
from gated.tasks.transcribe.scoring import table
from gated.tasks.transcribe.search import Hypothesis, Search
from gated.tasks.transcribe.task import Config

CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")  # of a file's name
TAIL = 76  # characters of a partial text on a terminal, at most
Bad = Annotated[Literal["refuse", "skip"], "Unreadable files: refuse them or skip them."]
Columns = Annotated[tuple[str, ...] | None, "Columns of a manifest: PATH,TEXT and speaker=, start=, end=, duration=."]


def fit(
    data: str,
    /,
    *,
    valid: Annotated[str | None, "Manifest or folder to validate on."] = None,
    options: FitOptions,
    config: Config,
) -> Output:
    run = transcriber.fit(data, config, valid=valid, **options.words())
    return options.output(run)


def predict(
    run: Run,
    data: Annotated[tuple[str, ...], "FILE…"],
    /,
    *,
    words: Annotated[bool, "One line a word, with its times and confidence; of an image with its box."] = False,
    format: Annotated[
        Literal["text", "words", "jsonl", "srt", "vtt", "hocr", "alto"] | None,
        "Form of the output; by the ending of --out, or text.",
    ] = None,
    names: Annotated[
        Literal["auto", "always", "never"], "File names before the texts; auto writes them for several files."
    ] = "auto",
    out: Annotated[str, "File to write; - is standard output."] = "-",
    columns: Columns = None,
    bad: Bad = "refuse",
    search: Search,
) -> Output:
    """A line a text; with several files path, text; with n_best above 1 the score before the text. Tabs between.

    words: path, start, end, confidence, word, and of an image left, top, right, bottom. FILE - is a name a line on
    standard input, each answered as it comes.
    """
    files.check(out)
    form = _choose_form(words, format, Path(out).suffix.lower())
    want("-" not in data or len(data) == 1, "FILE", "- alone, for names on standard input", " ".join(data))
    frames, live = run.model.frames, data == ("-",)
    sources: Any = ([line.strip()] for _, line in text.lines("-") if line.strip()) if live else [_source(data)]
    pairs: list[tuple[Item, list[Hypothesis]]] = []
    notes: list[str] = []
    left_out: list[str] = []
    several = live

    def parts() -> Iterator[bytes]:
        nonlocal several
        for source in sources:
            dataset = run.items(source, columns=columns, bad=bad)
            hypotheses, faults, _ = run.decode(dataset, bad=bad, **asdict(search))
            several = several or [item.path for item in dataset.items] != [data[0]]
            named = several if names == "auto" else names == "always"
            new = [(item, best) for item, best in zip(dataset.items, hypotheses, strict=True) if best]
            for lines in (_lines(item, best, form, named, frames) for item, best in new):
                yield "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
            pairs.extend(new)
            notes.extend(dataset.notes)
            left_out.extend(faults)
        if form in formats.FORMS:
            yield formats.render(form, [(item, best[0]) for item, best in pairs], frames).encode(errors="replace")

    def result() -> dict[str, Any]:
        rows = [formats.write_row(item, best, frames) for item, best in pairs]
        return {"files": rows, "left_out": left_out} if several or not rows else rows[0]

    made = parts()
    if out != "-":
        content = b"".join(made)
        files.write(out, content)
    return Output(result, lambda: "\n".join([*notes, *left_out]), made if out == "-" else [])


def score(
    run: Run,
    data: str,
    /,
    *,
    lower: Annotated[bool, "Ignore case."] = False,
    marks: Annotated[bool, "Count punctuation."] = True,
    columns: Columns = None,
    bad: Bad = "refuse",
    search: Search,
) -> Output:
    result = run.score(data, lower=lower, punctuation=marks, columns=columns, bad=bad, **asdict(search))
    return Output(result, lambda: table(result))


def update(
    run: Run,
    data: str,
    /,
    *,
    options: OutOptions,
    valid: Annotated[str | None, "Manifest or folder to validate on."] = None,
    steps: Annotated[int | None, "Number of weight updates; by default a fifth of the fit's."] = None,
    lr: Annotated[float | None, "Peak learning rate; by default a third of the fit's."] = None,
    columns: Columns = None,
    bad: Bad = "refuse",
) -> Output:
    new = run.update(data, valid=valid, steps=steps, lr=lr, columns=columns, bad=bad, **options.words())
    return options.output(new)


def listen(
    run: Run,
    data: Annotated[str, "[FILE]"] = "-",
    /,
    *,
    rate: Annotated[int | None, "Sample rate of raw PCM in Hz; that of the run by default."] = None,
    piece: Annotated[float, "Seconds of a chunk of a file."] = 0.1,
    pause: Annotated[float, "Seconds of silence that end a line."] = 1.0,
    search: Search,
    as_json: bool,
) -> Output:
    """A line an utterance; with --json an object each, and one with the latency at the end."""
    within("piece", piece, 0.001, 60)
    todo = "Pipe raw 16-bit PCM into it."
    want(data != "-" or not sys.stdin.isatty(), "listen", "sound on standard input, or a file", "a terminal", todo)
    source, latency = sys.stdin.buffer if data == "-" else data, Latency()
    clear = "\r\033[K" if sys.stderr.isatty() and not as_json else ""

    def utterances() -> Iterator[bytes]:
        for update in run.listen(source, latency, rate=rate, chunk=piece, pause=pause, **asdict(search)):
            for one in update.utterances:
                sys.stderr.write(clear)
                row = {"text": one.text, "words": [word._asdict() for word in one.words], "heard": update.seconds}
                yield f"{json.dumps(row) if as_json else one.text}\n".encode()
            if clear:
                text = escape(update.partial)
                sys.stderr.write(clear + (text if len(text) <= TAIL else "…" + text[1 - TAIL :]))
                sys.stderr.flush()

    return Output(
        lambda: {"latency": latency.result()}, lambda: clear + latency.describe(), utterances(), stream=True
    )  # fmt: skip


def language(
    run: Run,
    text: Path,
    /,
    *,
    options: FitOptions,
    config: languages.Config,
) -> Output:
    model = languages.fit(text, run.model.alphabet, config, **options.words())
    return options.output(model)


def _choose_form(words: bool, format: str | None, ending: str) -> str:
    """The form of the output by the options, or by the ending of its file."""
    form = format or formats.ENDINGS.get(ending, "words" if words else "text")
    want(not words or form not in ("text", "srt", "vtt"), "words", "a form that has words", form, "Leave --words out.")
    endings = f"{', '.join(formats.ENDINGS)}, .txt or .tsv, or a --format"
    want(format is not None or ending not in formats.OTHERS, "out", f"an ending {endings}", ending)
    return form


def _source(data: tuple[str, ...]) -> Any:
    return data[0] if len(data) == 1 else list(data)


def _lines(item: Item, best: list[Hypothesis], form: str, named: bool, frames: Frames) -> Iterator[str]:
    """A file's lines: a text, or its words, or an object."""
    if form == "jsonl":
        yield json.dumps(formats.write_row(item, best, frames), ensure_ascii=False, allow_nan=False)
    name = [CONTROL.sub(" ", item.path) + _span(item)] if named else []
    for one in best if form in ("text", "words") else []:
        scored = [f"{one.score:.3f}"] if len(best) > 1 else []
        if form == "text":
            yield "\t".join([*name, *scored, one.text])
            continue
        for word, box in zip(one.words, formats.list_boxes(item, one.words, frames), strict=True):
            times = [f"{word.start:.2f}", f"{word.end:.2f}", f"{word.confidence:.3f}"]
            yield "\t".join([*name, *scored, *times, word.text, *map(str, box)])


def _span(item: Item) -> str:
    end = "" if item.end is None else item.end
    return "" if item.start is None and item.end is None else f"@{item.start or 0:g}-{end}"
