"""Texts of a file that has a structure: translated through the placeholders' mask, accepted only if whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gated._check import want
from gated.tasks.translate.placeholders import check, mask, settle

__all__ = ["Decode", "Outcome", "translate"]

Decode = Callable[[list[str]], list[list[str]]]  # masked sentences -> for each its translations, best first
ICU = re.compile(r"\{\s*[\w-]+\s*,\s*(?:plural|select|selectordinal)\s*,")


@dataclass(frozen=True)
class Outcome:
    """The new file, and what a person should look at first."""

    data: bytes
    filled: int  # texts translated
    problems: list[tuple[int, str]]  # the line of a text, and what is wrong with its translation
    empty: list[int]  # lines of texts that were left as they were
    notes: tuple[str, ...] = ()  # on how the file was read


class Translation(NamedTuple):
    """A text's translation, None where there is none that may be used, and what is wrong with it."""

    text: str | None
    problems: list[str]


def translate(texts: Sequence[str], decode: Decode, lossy: bool = False) -> list[Translation]:
    """A translation of every text, line by line, with the white space around each line as it was.

    decode: different masked sentences -> for each its translations, best first; sentinels stand for placeholders. Of
    these the first is taken in which every placeholder is preserved, see `placeholders.settle`. Where there is none the
    text has no translation, unless `lossy` takes the best one, repaired.

    Lines without a letter are copied. A plural or a choice of ICU's is left to a person.
    """
    masked = {line: mask(line.strip()) for text in texts for line in text.split("\n")}
    wanted = list(dict.fromkeys(text for text, _ in masked.values() if any(c.isalpha() for c in text)))
    answers = decode(wanted) if wanted else []
    want(len(answers) == len(wanted), "decode", f"translations of {len(wanted)} sentences", len(answers))
    answer = dict(zip(wanted, answers, strict=True))

    def replace(line: str) -> str:
        """The line's translation, between the line's own white space."""
        inner, (text, originals) = line.strip(), masked[line]
        return line.replace(inner, settle(inner, answer[text], originals).strip(), 1) if text in answer else line

    def translation(text: str) -> Translation:
        if ICU.search(text):
            return Translation(None, ["a plural or a choice in it is left to a person"])
        old = text.split("\n")
        new = list(map(replace, old))
        if any(a.strip() and not b.strip() for a, b in zip(old, new, strict=True)):
            return Translation(None, [])
        whole = "\n".join(new)
        problems = check(text, whole)
        return Translation(whole if lossy or not problems else None, problems)

    return list(map(translation, texts))
