"""A problem: sequences with targets, the errors of answers, and the criterion for being solved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from gated._check import shape
from gated.options import check, option, required

__all__ = ["Batch", "Criterion", "Problem"]


@dataclass(frozen=True)
class Batch:
    """B sequences, padded with zeros at their ends.

    x       (T, B, I)  inputs
    target  (T, B, O)  targets for training, at the steps of `where`
    truth   (T, B, O)  targets for the criterion: without noise; of a grammar, 1 for every possible symbol
    where   (T, B)     steps with an error signal
    lengths (B,)       steps of each sequence
    """

    x: Float32[Tensor, "T B I"]
    target: Float32[Tensor, "T B O"]
    truth: Float32[Tensor, "T B O"]
    where: Bool[Tensor, "T B"]
    lengths: Int64[Tensor, " B"]


@dataclass(frozen=True)
class Criterion:
    """Solved: of the last n sequences fewer than `fewer` are wrong, and their mean error is below `mean`.

    on  "training": the training sequences, judged before the update on them; "test": those of `tests`
    """

    n: int = required("Number of consecutive sequences.", low=1)
    fewer: int = option(1, "Upper bound of the wrong ones, exclusive; 1 allows none.", low=1)
    mean: float = option(math.inf, "Upper bound of the mean error, exclusive.")
    on: str = option("training", "Sequences that count.", choices=("training", "test"))

    def __post_init__(self) -> None:
        check(self, "Criterion")

    def holds(self, wrong: Bool[np.ndarray, " N"], error: Float32[np.ndarray, " N"]) -> bool:
        """Whether it holds for all answers so far, in order: `wrong` and `error` of each."""
        return bool(
            len(wrong) >= self.n and wrong[-self.n :].sum() < self.fewer and error[-self.n :].mean() < self.mean
        )


class Problem:
    """The interface of all problems. A subclass is a frozen dataclass of the problem's parameters, draws the sequences,
    and sets these attributes: in its body, or in `__post_init__` where they depend on the parameters.

    sizes      I, O: inputs and outputs of the network at a step
    output     "softmax": one of O symbols, outputs are probabilities; "linear": numbers
    tolerance  a sequence is right if every output differs by less than this from the truth
    lag        minimal number of steps between the relevant input and the answer
    longest    maximal number of steps of a sequence, or nearly so
    """

    output: str = "softmax"
    sizes: tuple[int, int]
    tolerance: float
    lag: int
    longest: int
    criterion: Criterion

    def __post_init__(self) -> None:
        check(self, type(self).__name__)

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        """B new sequences for training."""
        raise NotImplementedError

    def tests(self, rng: np.random.Generator, B: int = 256) -> Iterator[Batch]:
        """The `criterion.n` test sequences, in batches of at most B."""
        for first in range(0, self.criterion.n, B):
            yield self.batch(rng, min(B, self.criterion.n - first))

    def answers(self, batch: Batch) -> Bool[Tensor, "T B"]:
        """The steps whose outputs are judged."""
        return batch.where

    def judge(
        self, batch: Batch, y: Float32[Tensor, "T B O"]
    ) -> tuple[Bool[np.ndarray, " B"], Float32[np.ndarray, " B"]]:
        """Whether each sequence is wrong, and its error: Σ |y - truth| over the outputs, averaged over `answers`.

        The paper does not say which error it averages. It cannot be the squared one: in Table 8 at most 14 of 2,560
        errors exceed 0.04, which bounds their mean square by 0.0071, but the table has 0.0139. The sum of absolute
        errors is the strictest of the others.
        """
        shape(f"{type(self).__name__} y", y, *batch.truth.shape)
        answers = self.answers(batch)
        off = torch.where(answers[..., None], (y - batch.truth).abs(), 0.0)
        wrong = ~(off.amax((0, 2)) < self.tolerance)  # NaN is wrong
        return wrong.numpy(), (off.sum((0, 2)) / answers.sum(0)).numpy()


def one_hot(symbols: Int64[np.ndarray, "T B"], O: int, lengths: Int64[np.ndarray, " B"]) -> Float32[Tensor, "T B O"]:
    """Symbols as one-hot vectors; zeros past the end of a sequence."""
    x = np.zeros((*symbols.shape, O), np.float32)
    t, b = np.nonzero(np.arange(len(symbols))[:, None] < lengths)
    x[t, b, symbols[t, b]] = 1
    return torch.from_numpy(x)


def at_end(
    x: Float32[Tensor, "T B I"],
    lengths: Int64[np.ndarray, " B"],
    target: Float32[np.ndarray, "B O"],
    truth: Float32[np.ndarray, "B O"] | None = None,
) -> Batch:
    """A batch with one target, at the end of each sequence."""
    steps = torch.from_numpy(lengths)
    where = torch.arange(len(x))[:, None] == steps - 1
    targets, truths = (
        torch.where(where[..., None], torch.from_numpy(values), 0.0)
        for values in (target, target if truth is None else truth)
    )
    return Batch(x, targets, truths, where, steps)
