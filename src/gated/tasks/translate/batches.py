"""Which sentences make batch n: of like length, so that little is padding, and in another order every epoch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gated import data
from gated.features.tokens import BEGIN, END, PAD

Rows = Sequence[Sequence[Sequence[int]]]  # two sides of as many sentences of tokens

JITTER = 2.0  # words by which an epoch may misjudge a length, so that the same sentences do not always meet


class Batch(NamedTuple):
    """B sentences, a column each, padded with PAD."""

    source: Int64[Tensor, "S B"]
    lengths: Int64[Tensor, " B"]  # of the sources
    before: Int64[Tensor, "T B"]  # BEGIN and the target: what the decoder reads
    after: Int64[Tensor, "T B"]  # the target and END: what it is to write


def collate(source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> Batch:
    """Sentences as a batch."""
    lengths = torch.tensor([len(s) for s in source])
    sides = (source, [[BEGIN, *t] for t in target], [[*t, END] for t in target])
    tokens, before, after = (data.pad(side, PAD) for side in sides)
    return Batch(tokens, lengths, before, after)


def bucketed(
    sides: Rows, budget: int, seed: int = 0, cut: Callable[[int], Rows] | None = None
) -> tuple[Callable[[int], Batch], int]:
    """n -> batch n, and how many batches make one epoch.

    sides: the source's and the target's tokens. A batch has about `budget` tokens of the longer side, padding included.
    cut(epoch): the same sentences for this epoch, in other tokens. Batch n is a function of n and what was given alone.
    """
    rows = functools.lru_cache(maxsize=2)(cut or (lambda epoch: sides))
    redraw = None if cut is None else lambda epoch: _sizes(rows(epoch))
    indices, count = data.bucketed(_sizes(sides), budget, seed, JITTER, redraw)

    def batch(n: int) -> Batch:
        return collate(*([side[i] for i in indices(n)] for side in rows(n // count)))

    return batch, count


def split(sides: Rows, budget: int) -> Iterator[Batch]:
    """All the pairs once, in batches of like length."""
    for mine in data.split(_sizes(sides), budget):
        yield collate(*([side[i] for i in mine] for side in sides))


def to(batch: Batch, device: torch.device) -> Batch:
    return Batch(*(part.to(device) for part in batch))


def _sizes(sides: Rows) -> np.ndarray:
    """[N, 2] the longer and the shorter side of every pair; the target has an END."""
    lengths = np.array([[len(s) for s in sides[0]], [len(t) + 1 for t in sides[1]]])
    return np.stack([lengths.max(0), lengths.min(0)], 1)
