"""Batches as functions of their number, so that the only state of a stream of data is a number.

Batch n of b rows and the two batches 2n and 2n + 1 of b / 2 rows hold the same rows in the same order: accumulating
gradients, more processes and larger batches see the same data.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from gated._check import want, within

__all__ = ["Chunk", "shuffled", "streams"]


def shuffled(count: int, batch: int, seed: int = 0) -> Callable[[int], Int64[Tensor, " B"]]:
    """Endless passes over `count` examples, each in a new order, cut into batches: n -> the B indices of batch n.

    Every example comes once a pass; a batch may span the end of one pass and the start of the next. The order is a
    function of `seed` and the pass alone.
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
        return torch.from_numpy(np.concatenate(parts)) if len(parts) > 1 else torch.from_numpy(parts[0].copy())

    return indices


class Chunk(NamedTuple):
    """A piece of B parallel streams: `x`, and `y`, which is `x` one step later; `first` where the streams begin."""

    x: Shaped[Tensor, "k B ..."]
    y: Shaped[Tensor, "k B ..."]
    first: bool


def streams(sequence: Shaped[Tensor, "N ..."], batch: int, k: int, parts: int = 1) -> Callable[[int], Chunk]:
    """One long sequence as B parallel streams in pieces of k steps, for truncated BPTT: n -> piece n.

    The sequence is cut into B · parts rows of equal length (the few steps left over at the end are not used), which are
    read side by side, k steps at a time; the last piece of a pass may be shorter, and after it the rows begin anew.
    `parts` is the number of micro-batches a step (accumulate × processes): micro-batch n is piece n // parts of part
    n mod parts, so each part carries a state of its own.
    """
    rows = batch * parts
    length = len(sequence) // rows
    within("streams k", k, 1)
    todo = "Use fewer rows or more data."
    want(length >= 2, "streams", f"at least {2 * rows} steps for {rows} rows", len(sequence), todo)
    table = sequence[: rows * length].unflatten(0, (rows, length)).transpose(0, 1)
    pieces = -(-(length - 1) // k)

    def chunk(n: int) -> Chunk:
        piece, part = n // parts % pieces, n % parts
        low, high = piece * k, min((piece + 1) * k, length - 1)
        mine = slice(part * batch, (part + 1) * batch)
        return Chunk(table[low:high, mine], table[low + 1 : high + 1, mine], piece == 0)

    return chunk
