"""Requests to an assistant: tag the slots and name the intent, of names that were never seen. Takes about a minute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gated._check import optional
from gated.tasks.tag import requests, scoring
from gated.tasks.tag.data import Sentences
from gated.tasks.tag.run import fit

COUNTS = (2500, 300, 1000)  # requests to train on, to validate on, and unseen
RECIPE: dict[str, Any] = {"steps": 1500}
SHOWN = ("Tell Olamar Zelfin I arrive on Friday at 7:45", "how do i get from norbaford to lukarsund",
         "play Harbour of Winter by Quinros")  # fmt: skip


def run(
    out: Path, say: Callable[[str], None], counts: tuple[int, int, int] = COUNTS, **options: Any
) -> tuple[dict[str, Any], str]:
    """Fit, score on unseen requests, tag three more; the score and a text for people.

    counts: see `COUNTS`. options: fields of `Config` in place of the defaults.
    """
    optional("pycrfsuite", "tag")  # now, and not a minute later
    train, held, unseen = (collect(count, seed) for seed, count in enumerate(counts))
    say(f"Requests with slots and intents. {counts[2]:,} are held out; names of people and places in them are new.")
    made = fit(train, valid=held, out=out, overwrite=True, **RECIPE | options)
    say(made.summary())
    result = made.score(unseen)
    lines = []
    for text, one in zip(SHOWN, made.tag(made.read(list(SHOWN))), strict=True):
        words = made.read([text]).words[0]
        tags = " ".join(f"{word}/{tag}" if tag != "O" else word for word, tag in zip(words, one.tags, strict=True))
        lines.append(f"{one.label:<8} {tags}")
    return result, "\n".join([scoring.table(result), "", *lines])


def collect(count: int, seed: int) -> Sentences:
    """Requests as sentences with tags and labels."""
    made = requests.make(count, seed)
    words, tags = ([[pair[k] for pair in pairs] for pairs, _ in made] for k in (0, 1))
    return Sentences(words, tags, [intent for _, intent in made], "the requests", "list")
