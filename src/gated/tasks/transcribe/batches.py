"""Which examples make batch n, and what is done to them on the way to the network."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gated.tasks.transcribe import augment, warp

JITTER = 0.07  # of a length, by which a pass may misjudge it, so that the same examples do not always meet
GAP = 25  # frames between joined examples, at most
HUSH = 6.0  # nepers of energy by which a gap may be softer than the softest frames beside it
FLOOR = 0.1  # least spread of a band


class Example(NamedTuple):
    """What the network reads and is to write; whose it is, if that is known."""

    x: np.ndarray  # [rows, frames]
    tokens: list[int]
    speaker: str = ""


class Batch(NamedTuple):
    """B examples padded with zeros, and their symbols end to end."""

    x: Float[Tensor, "B R T"]
    lengths: Int64[Tensor, " B"]
    tokens: Int64[Tensor, " N"]
    counts: Int64[Tensor, " B"]


@dataclass(frozen=True)
class Manner:
    """How examples become batches."""

    sound: bool
    normalise: str = "utterance"
    mean: np.ndarray | None = None  # [rows] of the training data, for running normalisation
    std: np.ndarray | None = None
    prior: float = 100.0  # frames that they count for
    augment: float = 0.0
    mask: float = 0.0
    join: int = 1
    between: tuple[int, ...] = ()  # the symbols between joined examples


def bucketed(
    examples: Sequence[Example], budget: int, manner: Manner, seed: int = 0
) -> tuple[Callable[[int], Batch], int]:
    """n -> batch n, and how many batches make a pass over all the examples.

    A batch has about `budget` frames, of examples of like length. Batch n is a function of n and what was given alone.
    """
    lengths = np.array([one.x.shape[1] for one in examples])
    speakers = np.array([one.speaker for one in examples])
    count = max(1, round((lengths.sum() + manner.sound * (manner.join > 1) * GAP / 2 * len(lengths)) / budget))

    @functools.lru_cache(maxsize=2)
    def passing(turn: int) -> tuple[list[np.ndarray], np.ndarray]:
        rng = np.random.default_rng((seed, turn))
        strings = joined(speakers, min(manner.join, 1 + turn // SLOW), rng)
        sizes = np.array([lengths[string].sum() for string in strings])
        order = np.argsort(sizes * rng.uniform(1 - JITTER, 1 + JITTER, len(sizes)))
        total = np.cumsum(sizes[order])
        cuts = np.searchsorted(total, total[-1] * np.arange(1, count) / count)
        shuffled = rng.permutation(count)
        return [strings[k] for k in order], np.stack([np.append(0, cuts)[shuffled], np.append(cuts, len(order))[shuffled]])

    def batch(n: int) -> Batch:
        strings, cuts = passing(n // count)
        first, last = cuts[:, n % count]
        first = min(first, len(strings) - 1)
        rng = np.random.default_rng((seed, n, 1))
        rows = [row(examples, string, manner, rng) for string in strings[first : max(last, first + 1)]]
        return collate(rows, manner, rng)

    return batch, count
