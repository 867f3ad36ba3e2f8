"""Real-valued inputs to store over long lags: sections 5.3, 5.4 and 5.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gated._check import within
from gated.options import option
from gated.problems.problem import Batch, Criterion, Problem, at_end

__all__ = ["Adding", "Multiplication", "TwoSequence"]


@dataclass(frozen=True)
class TwoSequence(Problem):
    """Tasks 3a, 3b, 3c: signal and noise on one line.

        x_t = ±1 for t ≤ N,  ~ N(0, 0.2) for t > N       target at the end: the sign

    Class 1 begins with N times 1, class 2 with N times -1, each with probability ½; 0.2 is the variance; the length is
    uniform in T … T + T/10.

    3a  ("2-sequence problem", Bengio et al. 1994) targets 1 and 0
    3b  the first N have noise of variance 0.2 as well
    3c  as 3a; targets 0.2 and 0.8, with noise of variance 0.1: the network must learn their expectation

    Solved on 256 fixed random test sequences when
      3a  ST1: no error reaches 0.2; ST2: and the mean error is below 0.01
      3b  ST1: fewer than 6 errors reach 0.2; ST2: and the mean error is below 0.04
      3c  no error (to the target without noise) reaches 0.1, and the mean error is below 0.015
    Hochreiter & Schmidhuber 1997, section 5.3.
    """

    T: int = option(100, "Minimum number of steps.", low=2)
    N: int = option(3, "Number of steps with the sign.", low=1)
    task: str = option("3a", "Task.", choices=("3a", "3b", "3c"))
    ST: int = option(1, "Criterion of 3a and 3b.", choices=(1, 2))
    output, sizes = "linear", (1, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        within("TwoSequence T", self.T, self.N + 1)
        if self.task == "3c":
            tolerance, criterion = 0.1, Criterion(256, mean=0.015, on="test")
        else:
            mean = np.inf if self.ST == 1 else 0.01 if self.task == "3a" else 0.04
            tolerance, criterion = 0.2, Criterion(256, 1 if self.task == "3a" else 6, mean, on="test")
        lag, longest = self.T - self.N, self.T + self.T // 10
        vars(self).update(tolerance=tolerance, criterion=criterion, lag=lag, longest=longest)

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        lengths = rng.integers(self.T, self.longest, B, endpoint=True)
        x = rng.normal(0, np.sqrt(0.2), (lengths.max(), B)).astype(np.float32)
        first = rng.integers(2, size=B) == 0  # class 1
        sign = np.where(first, np.float32(1), np.float32(-1))
        x[: self.N] = sign if self.task != "3b" else x[: self.N] + sign
        x[np.arange(len(x))[:, None] >= lengths] = 0
        one, two = (0.2, 0.8) if self.task == "3c" else (1.0, 0.0)
        truth = np.where(first, one, two)[:, None].astype(np.float32)
        noise = rng.normal(0, np.sqrt(0.1), truth.shape).astype(np.float32) if self.task == "3c" else 0
        return at_end(torch.from_numpy(x[..., None]), lengths, truth + noise, truth)


@dataclass(frozen=True)
class Adding(Problem):
    """Experiment 4: add two marked numbers.

        x_t = (number, mark)        target at the end: 0.5 + (X_1 + X_2)/4

    Numbers are uniform in [-1, 1]; the mark is 1 at two of them, -1 at the first and the last pair, 0 elsewhere; the
    length is uniform in T … T + T/10. X_1 is one of the first ten, X_2 one of the first T/2 - 1 others. Where a mark
    falls on the first pair, that number counts as 0: the pair is (0, -1). The minimal lag is T/2.

    A constant answer of 0.5 has the mean square error 1/24 = 0.042. (Later papers use numbers in [0, 1] and their plain
    sum as target: there a constant 1 has 1/6.)

    Solved when all of the last 2,000 training sequences have an error below 0.04, and their mean error is below 0.01.
    Hochreiter & Schmidhuber 1997, section 5.4.
    """

    T: int = option(100, "Minimum number of steps.", low=22)
    output, sizes, tolerance = "linear", (2, 1), 0.04
    criterion = Criterion(2000, mean=0.01)

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(lag=self.T // 2, longest=self.T + self.T // 10)

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        x, one, two, lengths = self._draw(rng, B, -1.0, 0.0)
        return at_end(x, lengths, 0.5 + (one + two)[:, None] / 4)

    def _draw(
        self, rng: np.random.Generator, B: int, low: float, neutral: float
    ) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray]:
        """Draw the pairs, the two marked numbers of each sequence, and the lengths."""
        lengths, rows = rng.integers(self.T, self.longest, B, endpoint=True), np.arange(B)
        x = np.zeros((lengths.max(), B, 2), np.float32)
        x[..., 0] = rng.uniform(low, 1, x.shape[:2])
        first, second = rng.integers(10, size=B), rng.integers(self.T // 2 - 1, size=B)
        second += second >= first  # one of the unmarked numbers
        for place in (first, second):
            x[place, rows, 1] = 1
            x[0, place == 0, 0] = neutral
        one, two = x[first, rows, 0], x[second, rows, 0]
        x[0, :, 1] = x[lengths - 1, rows, 1] = -1
        x[np.arange(len(x))[:, None] >= lengths] = 0
        return torch.from_numpy(x), one, two, lengths


@dataclass(frozen=True)
class Multiplication(Adding):
    """Experiment 5: as `Adding`, with numbers uniform in [0, 1] and the target X_1 X_2.

    Where a mark falls on the first pair, that number counts as 1: the pair is (1, -1).

    Solved when fewer than n_seq of the last 2,000 training sequences have an error of 0.04 or more. n_seq is 140, which
    requires storing the numbers, or 13, which requires multiplying them well. Hochreiter & Schmidhuber 1997, section
    5.5.
    """

    n_seq: int = option(140, "Bound of the wrong sequences, exclusive.", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(criterion=Criterion(2000, self.n_seq))

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        x, one, two, lengths = self._draw(rng, B, 0.0, 1.0)
        return at_end(x, lengths, (one * two)[:, None])
