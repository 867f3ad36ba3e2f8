"""What a run reads or hears, written for people and programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from gated.io import files
from gated.io.text import lines
from gated.tasks.transcribe import language, listen, read, sound
from gated.tasks.transcribe.read import Item
from gated.tasks.transcribe.run import Run
from gated.tasks.transcribe.search import Reading, made

WIDE = 76  # characters of a line that is being heard, at most


def write(
    run: Run, sources: Any, out: str = "-", *, words: bool = False, as_json: bool = False, bad: str = "refuse",
    **search: Any,
) -> list[str]:  # fmt: skip
    """Write the texts of one file, or of many with their paths, and say which were left out.

    A line each: text; with several files path, text; with n_best above 1 the score before the text. words: a line a
    word: path, start, end, confidence, word. as_json: an object a line. Columns are parted by tabs. out: "-" is
    standard output; a file appears whole or not at all.
    """
    files.check(out)
    one = sources[0] if isinstance(sources, list | tuple) and len(sources) == 1 else None
    found = read.items(list(sources) if isinstance(sources, tuple) and one is None else one or sources, text=False)
    readings, faults = run.readings(found, bad=bad, **search)
    several = [item.path for item in found.items] != [str(sources if one is None else one)]
    with files.create(out) as file:
        for item, best in zip(found.items, readings, strict=True):
            if best:
                written = [_json(item, best)] if as_json else _lines(item, best, several, words)
                file.write("".join(f"{line}\n" for line in written).encode(errors="surrogateescape"))
    return [fault.why for fault in faults]


def _lines(item: Item, best: list[Reading], several: bool, words: bool) -> Iterator[str]:
    name = [_named(item)] if several else []
    for one in best:
        scored = [f"{one.score:.3f}"] if len(best) > 1 else []
        if words:
            for word in one.words:
                times = [f"{word.start:.2f}", f"{word.end:.2f}", f"{word.confidence:.3f}"]
                yield "\t".join([*name, *scored, *times, word.text])
        else:
            yield "\t".join([*name, *scored, one.text])


def _json(item: Item, best: list[Reading]) -> str:
    texts = [
        {
            "text": one.text, "confidence": one.confidence, "score": one.score, "log_prob": one.log_prob,
            "words": [word._asdict() for word in one.words],
        }
        for one in best
    ]  # fmt: skip
    more = {} if len(texts) == 1 else {"n_best": texts}
    span = {} if item.start is None and item.end is None else {"start": item.start, "end": item.end}
    return json.dumps({"path": item.path, **span, **texts[0], **more}, ensure_ascii=False, allow_nan=False)


def _named(item: Item) -> str:
    span = (
        ""
        if item.start is None and item.end is None
        else f"@{item.start or 0:g}-{'' if item.end is None else item.end}"
    )
    return item.path.replace("\t", " ") + span


# ---- live


def hear(
    run: Run, source: Any, latency: listen.Latency, *, rate: int | None = None, piece: float = 0.1,
    pause: float = listen.PAUSE, **search: Any,
) -> Iterable[listen.Heard]:  # fmt: skip
    """A file, or a stream of raw 16-bit PCM, as it comes: what each piece brought.

    rate: of a stream, if it is not the network's. piece: seconds. pause: seconds of silence that end an utterance.
    """
    listen.able(run.learnt)
    own = run.learnt.frames.rate
    parts = sound.pieces(source, own, piece, raw=None if isinstance(source, str | os.PathLike) else rate or own)
    return listen.listen(run.learnt, parts, latency, made("listen", search), pause)


def tail(text: str) -> str:
    """The end of a text, on one line."""
    return text if len(text) <= WIDE else "…" + text[1 - WIDE :]


def told(result: dict[str, Any]) -> str:
    """The latency in a sentence."""
    if result["rtf"] is None:
        return "No sound came."
    took, share = result["milliseconds"], result["rtf"]
    return (
        f"{result['seconds']:.1f} s of sound in {result['pieces']:,} pieces; computing took {share:.4f} of that time, "
        f"{took['median']:.1f} ms a piece, {took['p95']:.1f} at the 95th percentile, {took['most']:.1f} at most."
    )


def learn_language(run: Run, text: Any, *, out: Any = None, progress: bool = True, **options: Any) -> language.Language:
    """A language model for this run, of a file with a sentence a line; see `language.learn`."""
    letters = run.learnt.alphabet
    return language.learn(
        [letters.plain(line) for _, line in lines(text) if line.strip()], letters, language.Config(**options), out=out,
        progress=progress,
    )  # fmt: skip
