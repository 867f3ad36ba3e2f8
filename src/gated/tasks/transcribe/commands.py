"""`gated transcribe …`: a function for each verb."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from gated._check import want, within
from gated.io import files
from gated.runs import FitOptions, Output
from gated.tasks.transcribe import language as languages
from gated.tasks.transcribe import run as transcriber
from gated.tasks.transcribe.data import Item, read_items
from gated.tasks.transcribe.listen import Latency
from gated.tasks.transcribe.run import Run
from gated.tasks.transcribe.scoring import table
from gated.tasks.transcribe.search import Hypothesis, Search
from gated.tasks.transcribe.task import Config

TAIL = 76  # characters of a partial text on a terminal, at most
Bad = Annotated[Literal["refuse", "skip"], "Unreadable files: refuse them or skip them."]


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
    words: Annotated[bool, "One line a word, with its times and confidence."] = False,
    out: Annotated[str, "File to write; - is standard output."] = "-",
    bad: Bad = "refuse",
    search: Search,
) -> Output:
    """A line a text; with several files path, text; with n_best above 1 the score before the text. Tabs between.

    words: path, start, end, confidence, word. A file whose name ends in .jsonl has an object a line.
    """
    files.check(out)
    dataset = read_items(data[0] if len(data) == 1 else list(data), text=False)
    hypotheses, left_out, _ = run.decode(dataset, bad=bad, **asdict(search))
    several = [item.path for item in dataset.items] != [data[0]]
    pairs = [(item, best) for item, best in zip(dataset.items, hypotheses, strict=True) if best]
    rows = [_row(item, best) for item, best in pairs]
    if out.endswith((".jsonl", ".ndjson")):
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    else:
        lines = [line for item, best in pairs for line in _lines(item, best, several, words)]
    text = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    if out != "-":
        files.write(out, text)
    result = {"files": rows, "left_out": left_out} if several else rows[0]
    return Output(result, "\n".join(left_out), [text] if out == "-" else [])


def score(
    run: Run,
    data: str,
    /,
    *,
    lower: Annotated[bool, "Ignore case."] = False,
    marks: Annotated[bool, "Count punctuation."] = True,
    bad: Bad = "refuse",
    search: Search,
) -> Output:
    result = run.score(data, lower=lower, punctuation=marks, bad=bad, **asdict(search))
    return Output(result, lambda: table(result))


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
                text = update.partial
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


def _lines(item: Item, best: list[Hypothesis], several: bool, words: bool) -> Iterator[str]:
    name = [item.path.replace("\t", " ") + _span(item)] if several else []
    for one in best:
        scored = [f"{one.score:.3f}"] if len(best) > 1 else []
        if words:
            for word in one.words:
                times = [f"{word.start:.2f}", f"{word.end:.2f}", f"{word.confidence:.3f}"]
                yield "\t".join([*name, *scored, *times, word.text])
        else:
            yield "\t".join([*name, *scored, one.text])


def _span(item: Item) -> str:
    end = "" if item.end is None else item.end
    return "" if item.start is None and item.end is None else f"@{item.start or 0:g}-{end}"


def _row(item: Item, best: list[Hypothesis]) -> dict[str, Any]:
    texts = [
        {
            "text": one.text, "confidence": one.confidence, "score": one.score, "log_prob": one.log_prob,
            "words": [word._asdict() for word in one.words],
        }
        for one in best
    ]  # fmt: skip
    more = {} if len(texts) == 1 else {"n_best": texts}
    span = {} if item.start is None and item.end is None else {"start": item.start, "end": item.end}
    return {"path": item.path, **span, **texts[0], **more}
