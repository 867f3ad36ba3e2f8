"""Raw text to tokens with their places, cut as the words of the training data are cut."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import pairwise

CHUNK = re.compile(r"\S+")
PART = re.compile(r"\w+(?:[.,:’'\-]\w+)*|\.\.\.|--|[^\w\s]")  # a word, with marks inside it; or a mark
CLITIC = re.compile(r"(?i)(?<=\w)(n['’]t|['’](?:s|re|ve|ll|d|m))$")
END = re.compile(r"[.!?…。！？]+")
MAX_PIECE = 150  # tokens of a piece of text that is cut at the ends of its sentences

Offsets = tuple[int, int]


def tokenize(text: str, words: Collection[str], spaces: bool = False) -> list[Offsets]:
    """First and last + 1 character of every token.

    Text is cut at white space, and around punctuation unless the whole is one of the training's `words`. Clitics such
    as n't are tokens where they are among the words. spaces: cut at white space alone.
    """
    return [token for found in CHUNK.finditer(text) for token in _cut(text, *found.span(), words, spaces)]


def _cut(text: str, first: int, end: int, words: Collection[str], spaces: bool) -> Iterator[Offsets]:
    if spaces or text[first:end] in words:
        yield first, end
        return
    position = first
    for found in PART.finditer(text, first, end):
        low, high = found.span()
        if low < position:
            continue
        word = found[0]
        if word not in words and high < end and text[low : high + 1] in words:  # Mr.
            high += 1
        position = high
        clitic = CLITIC.search(word) if word not in words else None
        cut = low + clitic.start() if clitic and clitic[0] in words else low
        yield from ((a, b) for a, b in ((low, cut), (cut, high)) if a < b)


def pieces(words: list[str], longest: int) -> list[tuple[int, int]]:
    """Where to cut a long sequence: behind ends of sentences, and at `longest` at the latest; first and last + 1."""
    limit = min(MAX_PIECE, longest)
    if len(words) <= limit:
        return [(0, len(words))]
    cuts, stop = [0], None
    for t, word in enumerate(words, 1):
        if END.fullmatch(word):
            stop = t
        if t - cuts[-1] >= limit and stop is not None:
            cuts.append(stop)
            stop = None
        elif t - cuts[-1] >= longest:
            cuts.append(t)
    return [one for one in pairwise([*cuts, len(words)]) if one[0] < one[1]]
