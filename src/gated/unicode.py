"""Text in one form: NFC, single spaces, no control characters."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["CONTROL", "clean", "squeeze"]

SPACE = re.compile("[\t-\r \x85\u2028\u2029]+")
CONTROL = re.compile("[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")


def squeeze(text: str, every_space: bool = False) -> str:
    """NFC, with every run of white space as one space and none at the ends.

    every_space: no-break and typographic spaces are white space too; else each is a character like another.
    """
    text = " ".join(text.split()) if every_space else SPACE.sub(" ", text).strip(" ")
    return unicodedata.normalize("NFC", text)


def clean(text: str, every_space: bool = False) -> str:
    """`squeeze`, after control characters, byte order marks, surrogates and noncharacters became spaces."""
    return squeeze(CONTROL.sub(" ", text), every_space)
