"""Characters that a run's vocabulary does not have: a network cannot translate what it never saw, and says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gated.features.tokens import Tokens, normal
from gated.io.text import places, plural
from gated.tasks.translate.placeholders import mask

__all__ = ["Unknown", "find_unknown", "note_unknown"]

SHOWN = 10  # characters in a note


class Unknown(NamedTuple):
    letters: str  # of a text, that no token has; each once
    all: bool  # whether the text has no others


def find_unknown(tokens: Tokens, texts: Sequence[str]) -> list[Unknown]:
    """The unknown letters and digits of each text, placeholders aside."""
    unknown = []
    for text in texts:
        letters = dict.fromkeys(c for c in normal(mask(text)[0], tokens.lower) if c.isalnum())
        strange = "".join(c for c in letters if c not in tokens.characters)
        unknown.append(Unknown(strange, len(strange) == len(letters) > 0))
    return unknown


def note_unknown(unknown: Mapping[int, Unknown], kind: str = "line") -> list[str]:
    """Sentences on the texts that have unknown letters, by their numbers."""
    notes = []
    for every, words in ((True, "only characters"), (False, "characters")):
        numbers = [n for n, one in unknown.items() if one.letters and one.all == every]
        if numbers:
            letters = "".join(dict.fromkeys("".join(unknown[n].letters for n in numbers)))
            shown = " ".join(letters[:SHOWN]) + (" …" if len(letters) > SHOWN else "")
            where = f" ({places(kind, numbers)})" if kind == "line" else ""
            verb = "holds" if len(numbers) == 1 else "hold"
            notes.append(f"{plural(len(numbers), kind)} {verb} {words} that the run has never seen{where}: {shown}")
    return notes
