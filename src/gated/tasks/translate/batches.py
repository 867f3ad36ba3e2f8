"""Which sentences make batch n: of like length, so that little is padding, and in another order every pass."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gated.tasks.translate.tokens import BEGIN, END, PAD

Rows = Sequence[Sequence[Sequence[int]]]  # two sides of as many sentences of tokens

JITTER = 2.0  # words by which a pass may misjudge a length, so that the same sentences do not always meet


class Batch(NamedTuple):
    """B sentences, a column each, padded with PAD."""

    source: Int64[Tensor, "S B"]
    lengths: Int64[Tensor, " B"]  # of the sources
    before: Int64[Tensor, "T B"]  # BEGIN and the target: what the decoder reads
    after: Int64[Tensor, "T B"]  # the target and END: what it is to write


def collate(source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> Batch:
    """Sentences as a batch."""
    lengths = torch.tensor([len(s) for s in source])
    before = pad([[BEGIN, *t] for t in target])
    return Batch(pad(source), lengths, before, pad([[*t, END] for t in target]))


def pad(sequences: Sequence[Sequence[int]]) -> Int64[Tensor, "T B"]:
    """Sequences as columns."""
    out = np.full((max(map(len, sequences), default=0), len(sequences)), PAD, np.int64)
    for column, sequence in enumerate(sequences):
        out[: len(sequence), column] = sequence
    return torch.from_numpy(out)


def cuts(lengths: np.ndarray, budget: int) -> np.ndarray:
    """Where to cut rows that rise in length, so that no batch has over `budget` tokens with its padding."""
    ends, first = [0], 0
    for row, length in enumerate(lengths):
        if row > first and length * (row + 1 - first) > budget:
            ends.append(row)
            first = row
    return np.array([*ends, len(lengths)])


def bucketed(
    sides: Rows, budget: int, seed: int = 0, cut: Callable[[int], Rows] | None = None
) -> tuple[Callable[[int], Batch], int]:
    """n -> batch n, and how many batches make one pass over all the pairs.

    sides: the source's and the target's tokens. A batch has about `budget` tokens of the longer side, padding included.
    cut(pass): the same sentences for this pass, in other tokens. Batch n is a function of n and what was given alone.
    """
    ends = cuts(np.sort(_sizes(sides)[:, 0]), budget)

    @functools.lru_cache(maxsize=2)
    def passing(turn: int) -> tuple[Rows, np.ndarray, np.ndarray]:
        rows, rng = sides if cut is None else cut(turn), np.random.default_rng((seed, turn))
        noisy = _sizes(rows) + rng.uniform(0, JITTER, (len(rows[0]), 1))
        return rows, np.lexsort((noisy[:, 1], noisy[:, 0])), rng.permutation(len(ends) - 1)

    def batch(n: int) -> Batch:
        (source, target), order, shuffled = passing(n // (len(ends) - 1))
        k = shuffled[n % (len(ends) - 1)]
        mine = order[ends[k] : ends[k + 1]]
        return collate([source[i] for i in mine], [target[i] for i in mine])

    return batch, len(ends) - 1


def split(sides: Rows, budget: int) -> Iterator[Batch]:
    """All the pairs once, in batches of like length."""
    sizes = _sizes(sides)
    order = np.lexsort((sizes[:, 1], sizes[:, 0]))
    ends = cuts(sizes[order, 0], budget)
    for low, high in itertools.pairwise(ends):
        yield collate(*([side[i] for i in order[low:high]] for side in sides))


def to(batch: Batch, device: torch.device) -> Batch:
    return Batch(*(part.to(device) for part in batch))


def _sizes(sides: Rows) -> np.ndarray:
    """[N, 2] the longer and the shorter side of every pair; the target has an END."""
    lengths = np.array([[len(s) for s in sides[0]], [len(t) + 1 for t in sides[1]]])
    return np.stack([lengths.max(0), lengths.min(0)], 1)
