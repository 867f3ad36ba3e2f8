"""Sound as it comes, for a run; and its language model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from gated import options
from gated.io import sound
from gated.io.text import lines
from gated.tasks.transcribe import language, listen
from gated.tasks.transcribe.run import Run
from gated.tasks.transcribe.search import Search

WIDE = 76  # characters of a line that is being heard, at most


def hear(
    run: Run, source: Any, latency: listen.Latency, *, rate: int | None = None, piece: float = 0.1,
    pause: float = listen.PAUSE, **search: Any,
) -> Iterable[listen.Heard]:  # fmt: skip
    """A file, or a stream of raw 16-bit PCM, as it comes: what each piece brought.

    rate: of a stream, if it is not the network's. piece: seconds. pause: seconds of silence that end an utterance.
    """
    listen.able(run.learnt)
    own = run.learnt.frames.rate
    parts = sound.chunks(source, own, piece, raw=None if isinstance(source, str | os.PathLike) else rate or own)
    return listen.listen(run.learnt, parts, latency, options.make(Search, search, where="listen"), pause)


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


def learn_language(
    run: Run, text: Any, *, out: Any = None, resume: bool = False, progress: bool = True, **choices: Any
) -> language.Language:
    """A language model for this run, of a file with a sentence a line; see `language.learn`."""
    letters = run.learnt.alphabet
    return language.learn(
        [letters.plain(line) for _, line in lines(text) if line.strip()], letters, language.Config(**choices), out=out,
        resume=resume, progress=progress,
    )  # fmt: skip
