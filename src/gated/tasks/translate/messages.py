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


class Answer(NamedTuple):
    """The translation of a text, None where it has none that may be used, and what is wrong with it."""

    text: str | None
    problems: list[str]


def translate(texts: Sequence[str], decode: Decode, lossy: bool = False) -> list[Answer]:
    """A translation of every text, line by line, with the white space around each line as it was.

    decode: different masked sentences -> for each its translations, best first; sentinels stand for placeholders. Of
    these the first is taken in which every placeholder is preserved, see `placeholders.settle`. Where there is none the
    text has no translation, unless `lossy` takes the best one, repaired.

    Lines without a letter are copied. A plural or a choice of ICU's is left to a person.
    """
    frames = [_lines(text) for text in texts]
    masked = {line: mask(line) for frame in frames for _, line, _ in frame}
    wanted = list(dict.fromkeys(text for text, _ in masked.values() if any(c.isalpha() for c in text)))
    answers = decode(wanted) if wanted else []
    want(len(answers) == len(wanted), "decode", f"translations of {len(wanted)} sentences", len(answers))
    answer = dict(zip(wanted, answers, strict=True))

    def one(text: str, frame: list[tuple[str, str, str]]) -> Answer:
        if ICU.search(text):
            return Answer(None, ["a plural or a choice in it is left to a person"])
        new = []
        for before, line, after in frame:
            sentence, originals = masked[line]
            new.append(
                (before, settle(line, answer[sentence], originals).strip() if sentence in answer else line, after)
            )
        if any(line and not translation for (_, line, _), (_, translation, _) in zip(frame, new, strict=True)):
            return Answer(None, [])
        whole = "\n".join(map("".join, new))
        problems = check(text, whole)
        return Answer(whole if lossy or not problems else None, problems)

    return [one(text, frame) for text, frame in zip(texts, frames, strict=True)]


def _lines(text: str) -> list[tuple[str, str, str]]:
    """Each line of a text as (white space, text, white space)."""
    parts = []
    for line in text.split("\n"):
        inner = line.strip()
        at = line.index(inner)
        parts.append((line[:at], inner, line[at + len(inner) :]))
    return parts
