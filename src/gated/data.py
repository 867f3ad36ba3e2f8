"""Which examples make batch n: a function of n, so that the only state of a stream of data is a number.

Batch n of b rows and the two batches 2n and 2n + 1 of b / 2 rows of `shuffled` and `streams` hold the same rows in the
same order: accumulating gradients, more processes and larger batches see the same data.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from gated._check import want, within

__all__ = ["Chunk", "bucketed", "grouped", "hold_out", "pad", "shuffled", "split", "streams"]


def shuffled(count: int, batch: int, seed: int = 0) -> Callable[[int], Int64[Tensor, " B"]]:
    """Endless epochs of `count` examples, each in a new order, cut into batches: n -> the B indices of batch n.

    Every example comes once an epoch; a batch may span the end of one epoch and the start of the next. The order is a
    function of `seed` and the epoch alone.
    """
    within("shuffled count", count, 1)
    within("shuffled batch", batch, 1)

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng((seed, epoch)).permutation(count)

    def indices(n: int) -> Int64[Tensor, " B"]:
        first, last = n * batch, (n + 1) * batch
        parts = [
            order(epoch)[max(first - epoch * count, 0) : last - epoch * count]
            for epoch in range(first // count, (last - 1) // count + 1)
        ]
        return torch.from_numpy(np.concatenate(parts))

    return indices


class Chunk(NamedTuple):
    """A chunk of B parallel streams: `x`, and `y`, which is `x` one step later; `first` where the streams begin."""

    x: Shaped[Tensor, "k B ..."]
    y: Shaped[Tensor, "k B ..."]
    first: bool


def streams(
    sequence: Shaped[Tensor, "N ..."], batch: int, k: int, parts: int = 1, seed: int | None = None
) -> Callable[[int], Chunk]:
    """One long sequence as B parallel streams in chunks of k steps, for truncated BPTT: n -> chunk n.

    The sequence is cut into B · parts rows of equal length (the few steps left over at the end are not used), which are
    read side by side, k steps at a time; the last chunk of an epoch may be shorter, and after it the rows begin anew.
    `parts` is the number of micro-batches a step (accumulate × processes): micro-batch n is chunk n // parts of part
    n mod parts, so each part carries a state of its own.

    seed: with one, each epoch begins its rows and cuts its chunks elsewhere, on the sequence as a ring.
    """
    rows = batch * parts
    length = len(sequence) // rows
    within("streams k", k, 1)
    todo = "Use fewer rows or more data."
    want(length >= 2, "streams", f"at least {2 * rows} steps for {rows} rows", len(sequence), todo)
    table = sequence[: rows * length].unflatten(0, (rows, length)).transpose(0, 1)
    chunks = -(-(length - 1) // k)

    @functools.lru_cache(maxsize=2)
    def shift(epoch: int) -> int:
        return int(np.random.default_rng((seed or 0, epoch)).integers(len(sequence)))

    def chunk(n: int) -> Chunk:
        epoch, row, part = n // parts // chunks, n // parts % chunks, n % parts
        low, high = row * k, min((row + 1) * k, length - 1)
        mine = slice(part * batch, (part + 1) * batch)
        if seed is None:
            return Chunk(table[low:high, mine], table[low + 1 : high + 1, mine], row == 0)
        starts = torch.arange(rows)[mine] * length + shift(epoch)
        both = sequence[(starts + torch.arange(low, high + 1)[:, None]) % len(sequence)]
        return Chunk(both[:-1], both[1:], row == 0)

    return chunk


# ---- batches of like length


def bucketed(
    lengths: Any, budget: int, seed: int = 0, jitter: float = 0.0, redraw: Callable[[int], Any] | None = None
) -> tuple[Callable[[int], Int64[np.ndarray, " B"]], int]:
    """Endless epochs in batches of like length: n -> the indices of batch n, and how many batches make an epoch.

    lengths  [N], or [N, k], of which the first counts and the others order equals
    budget   of a batch: its longest length times its examples, unless it is one example alone
    jitter   by which an epoch may misjudge a length, so that the same examples do not always meet
    redraw   epoch -> the lengths in that epoch, where they change

    Batches are cut by `lengths`, so that every epoch has as many; order and jitter follow from `seed` and the epoch.
    """
    lengths = _table(lengths)
    ends = _cuts(np.sort(lengths[:, 0]), budget)

    def plan(epoch: int, rng: np.random.Generator) -> list[np.ndarray]:
        own = lengths if redraw is None else _table(redraw(epoch))
        order = np.lexsort((own + rng.uniform(0, jitter, (len(own), 1))).T[::-1])
        return [order[low:high] for low, high in itertools.pairwise(ends)]

    return grouped(plan, len(ends) - 1, seed), len(ends) - 1


def grouped(
    plan: Callable[[int, np.random.Generator], Sequence[Any]], count: int, seed: int = 0
) -> Callable[[int], Any]:
    """Endless epochs of `count` groups, shuffled: n -> group n. plan(epoch, generator) gives the groups of an epoch."""

    @functools.lru_cache(maxsize=2)
    def groups(epoch: int) -> tuple[Sequence[Any], np.ndarray]:
        rng = np.random.default_rng((seed, epoch))
        return plan(epoch, rng), rng.permutation(count)

    def group(n: int) -> Any:
        items, order = groups(n // count)
        return items[order[n % count]]

    return group


def split(lengths: Any, budget: int) -> list[Int64[np.ndarray, " B"]]:
    """All examples once, in batches of like length, short ones first: the indices of each; see `bucketed`."""
    lengths = _table(lengths)
    order = np.lexsort(lengths.T[::-1])
    return [order[low:high] for low, high in itertools.pairwise(_cuts(lengths[order, 0], budget))]


def _table(lengths: Any) -> np.ndarray:
    lengths = np.asarray(lengths)
    return lengths[:, None] if lengths.ndim == 1 else lengths


def _cuts(lengths: np.ndarray, budget: int) -> list[int]:
    """Where to cut rows that rise in length, so that none of the batches takes more than the budget."""
    ends, first = [0], 0
    for row, length in enumerate(lengths):
        if row > first and length * (row + 1 - first) > budget:
            ends.append(row)
            first = row
    return [*ends, len(lengths)] if len(lengths) else ends


# ---- examples


def hold_out(count: int, size: int) -> tuple[list[int], list[int]]:
    """The indices of `count` examples without `size` of them, and these, in order: the same ones for every seed."""
    order = np.random.default_rng(0).permutation(count)
    return sorted(order[size:].tolist()), sorted(order[:size].tolist())


def pad(sequences: Sequence[Sequence[int]], value: int = 0) -> Int64[Tensor, "T B"]:
    """Sequences as columns, `value` below their ends."""
    out = np.full((max(map(len, sequences), default=0), len(sequences)), value, np.int64)
    for column, sequence in enumerate(sequences):
        out[: len(sequence), column] = sequence
    return torch.from_numpy(out)
