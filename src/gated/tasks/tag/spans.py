"""Tags that mark spans: which scheme they follow, the spans in them, and the tags of spans in any scheme.

    iob1   I- in a span, B- only where it begins right behind one of its own type (Ramshaw & Marcus 1995)
    iob2   B- begins every span, I- continues it
    bioes  B- I- E- for a span of several steps, S- for one of a single step
    bilou  the same with L- for E- and U- for S-
    plain  tags that stand for themselves, such as parts of speech

Inside the network spans are written as bioes, or as iob2 where that would make too many tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SCHEMES = ("plain", "iob1", "iob2", "bioes", "bilou")
PREFIXED = re.compile(r"([BIESLU])-(.+)", re.S)
SHARE = 0.8  # of the tags but O that have a prefix where tags mark spans
WRITTEN = {"bioes": "BIES", "bilou": "BILU", "iob2": "BIIB", "iob1": "IIII"}  # first, middle, last, alone


class Span(NamedTuple):
    """Steps first to last, both included."""

    first: int
    last: int
    kind: str


def split(tag: str) -> tuple[str, str]:
    """The prefix and the type of a tag; O, and what has no prefix, is all prefix."""
    found = PREFIXED.fullmatch(tag)
    return (found[1], found[2]) if found else (tag, "")


def detect(tags: Iterable[Sequence[str]]) -> str:
    """The scheme of some sequences of tags."""
    prefixes: set[str] = set()
    marked = others = starts = begins = 0  # starts: spans that begin with I-; begins: with B- where I- would do
    for sequence in tags:
        before = ("O", "")
        for tag in sequence:
            prefix, kind = now = split(tag)
            if kind:
                marked += 1
                prefixes.add(prefix)
                follows = before[1] == kind
                starts += prefix == "I" and not follows
                begins += prefix == "B" and not follows
            elif tag != "O":
                others += 1
            before = now
    if not marked or marked < SHARE * (marked + others):
        return "plain"
    if prefixes & set("LU"):
        return "bilou"
    if prefixes & set("ES"):
        return "bioes"
    return "iob1" if starts and not begins else "iob2"


def starts(before: tuple[str, str], now: tuple[str, str]) -> bool:
    """Whether a span begins between these two tags, as conlleval decides it; S- and U- are spans of their own."""
    return bool(now[1]) and (now[0] in "BSU" or before[0] in "ELSU" or before[1] != now[1])


def find(tags: Sequence[str]) -> list[Span]:
    """The spans of a sequence, whatever its scheme, and however its prefixes fail to go together, as conlleval counts.

    A span begins at B-, S- and U-, behind E-, L-, S- and U-, and where the type changes; so I- behind O begins one.
    """
    out: list[Span] = []
    before, first = ("O", ""), 0
    for t, tag in enumerate([*tags, "O"]):
        now = split(tag)
        if before[1] and (not now[1] or starts(before, now)):
            out.append(Span(first, t - 1, before[1]))
        if starts(before, now):
            first = t
        before = now
    return out


def write(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    """The tags of spans that do not overlap, in order."""
    out, end = ["O"] * length, ("", -1)
    begin, middle, last, alone = WRITTEN[scheme]
    for span in spans:
        for t in range(span.first, span.last + 1):
            out[t] = f"{middle}-{span.kind}"
        out[span.last] = f"{last}-{span.kind}"
        out[span.first] = f"{begin if span.last > span.first else alone}-{span.kind}"
        if scheme == "iob1" and end == (span.kind, span.first - 1):
            out[span.first] = f"B-{span.kind}"
        end = (span.kind, span.last)
    return out


def convert(tags: Sequence[str], scheme: str) -> list[str]:
    """The spans of a sequence in another scheme."""
    return list(tags) if scheme == "plain" else write(find(tags), len(tags), scheme)


def violations(tags: Sequence[str], scheme: str) -> Iterator[int]:
    """The steps whose tag has no place where it stands: I- behind O, E- that ends nothing, a span that never ends."""
    if scheme == "plain":
        return
    right = convert(tags, scheme)
    yield from (t for t, (tag, other) in enumerate(zip(tags, right, strict=True)) if tag != other)


def rules(tags: Sequence[str], scheme: str) -> tuple[Tensor, Tensor, Tensor]:
    """Which of the tags, of plain, iob2 or bioes, may follow which, begin and end a sequence: masks for `CRF`."""
    K = len(tags)
    if scheme == "plain":
        return torch.ones(K, K).bool(), torch.ones(K).bool(), torch.ones(K).bool()
    parts = [split(tag) for tag in tags]
    opens = torch.tensor([prefix in ("B", "I") for prefix, _ in parts])  # the span may go on behind it
    goes_on = torch.tensor([prefix in ("I", "E") for prefix, _ in parts])
    same = torch.tensor([[a == b for _, b in parts] for _, a in parts])
    ends = ~opens if scheme == "bioes" else torch.ones(K).bool()
    return torch.where(goes_on[None], opens[:, None] & same, ends[:, None]), ~goes_on, ends
