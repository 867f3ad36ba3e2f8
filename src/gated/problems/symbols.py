"""Symbol sequences in which few symbols matter: sections 5.2 and 5.6, and copying."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from gated.options import option
from gated.problems.problem import Batch, Criterion, Problem, at_end, one_hot

__all__ = ["Copying", "NoRegularities", "NoiseFree", "TemporalOrder", "VeryLong"]


@dataclass(frozen=True)
class NoiseFree(Problem):
    """Task 2a: predict every next symbol of one of two sequences.

        y a_1 a_2 … a_{p-1} y        x a_1 a_2 … a_{p-1} x

    Each has probability ½. The last symbol repeats the first one, p steps before; the inputs are p symbols, the targets
    their successors. Symbols a_1 … a_{p-1} are numbers 0 … p - 2, then x, y: I = O = p + 1.

    Solved when in 10,000 random sequences every output is within 0.25 of the truth, at every step. There are only two
    sequences: each is tested once. Hochreiter & Schmidhuber 1997, section 5.2.
    """

    p: int = option(100, "Number of symbols.", low=2)
    tolerance = 0.25
    criterion = Criterion(2, on="test")

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(sizes=(self.p + 1, self.p + 1), lag=self.p, longest=self.p)

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        return self._batch(rng.integers(2, size=B), np.tile(np.arange(self.p - 1)[:, None], B))

    def tests(self, rng: np.random.Generator, B: int = 256) -> Iterator[Batch]:
        yield self._batch(np.arange(2), np.tile(np.arange(self.p - 1)[:, None], 2))

    def _batch(self, kind: np.ndarray, between: np.ndarray) -> Batch:
        """Sequences that begin and end with x (kind 0) or y (kind 1)."""
        ends = (self.p - 1 + kind)[None]
        symbols, lengths = np.concatenate([ends, between, ends]), np.full(len(kind), self.p)
        x, target = one_hot(symbols[:-1], self.sizes[0], lengths), one_hot(symbols[1:], self.sizes[1], lengths)
        return Batch(x, target, target, torch.ones(x.shape[:2], dtype=torch.bool), torch.from_numpy(lengths))


@dataclass(frozen=True)
class NoRegularities(NoiseFree):
    """Task 2b: as `NoiseFree`, with p - 1 symbols drawn from a_1 … a_{p-1} between the ends.

    Every next symbol is a target in training; only the last is predictable. Solved when in 10,000 random sequences
    every output is within 0.25 of the truth at the end. Hochreiter & Schmidhuber 1997, section 5.2.
    """

    criterion = Criterion(10_000, on="test")

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        return self._batch(rng.integers(2, size=B), rng.integers(self.p - 1, size=(self.p - 1, B)))

    def tests(self, rng: np.random.Generator, B: int = 256) -> Iterator[Batch]:
        return Problem.tests(self, rng, B)

    def answers(self, batch: Batch) -> Bool[Tensor, "T B"]:
        return torch.arange(len(batch.x))[:, None] == batch.lengths - 1


@dataclass(frozen=True)
class VeryLong(Problem):
    """Task 2c: very long time lags, and no local regularities.

        b x a a … a e → x        b y a a … a e → y

    b, then x or y; q distractors, each one of a_1 … a_p; further distractors, each followed by another one with
    probability 9/10; then e, the trigger. The only target, after e, is the second symbol: minimal lag q + 1, expected
    length q + 14 with the answer. (The paper's text gives both the suffix and the end probability 1/10; its sums have
    9/10 and 1/10.)
    Symbols a_1 … a_p are 0 … p - 1, then e, b, x, y: I = p + 4. Outputs are x, y: O = 2.

    Solved when in 10,000 random sequences both outputs are within 0.2. Hochreiter & Schmidhuber 1997, section 5.2.
    """

    q: int = option(50, "Minimum number of distractors.", low=1)
    p: int = option(50, "Number of symbols to draw them from.", low=1)
    tolerance = 0.2
    criterion = Criterion(10_000, on="test")

    def __post_init__(self) -> None:
        super().__post_init__()
        longest = self.q + 3 + 44  # one sequence in a hundred is longer
        vars(self).update(sizes=(self.p + 4, 2), lag=self.q + 1, longest=longest)

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        e, b, x = self.p, self.p + 1, self.p + 2
        lengths = self.q + 3 + rng.geometric(0.1, B) - 1
        kind, rows = rng.integers(2, size=B), np.arange(B)
        symbols = rng.integers(self.p, size=(lengths.max(), B))
        symbols[0], symbols[1], symbols[lengths - 1, rows] = b, x + kind, e
        return at_end(one_hot(symbols, self.sizes[0], lengths), lengths, np.eye(2, dtype=np.float32)[kind])


@dataclass(frozen=True)
class TemporalOrder(Problem):
    """Tasks 6a and 6b: classify the order of X and Y.

        E d b X a … c Y d … b B → the class of X Y

    A sequence has 100 to 110 symbols: E, then symbols of a b c d, and B at the end. `relevant` places hold X or Y:
    two at 10 ≤ t_1 ≤ 20, 50 ≤ t_2 ≤ 60, or three at 10 ≤ t_1 ≤ 20, 33 ≤ t_2 ≤ 43, 66 ≤ t_3 ≤ 76, counted from 1. The
    target, at the end, is one of the 4 or 8 classes, in the order of the paper (X X, X Y, Y X, Y Y).
    Symbols E B a b c d X Y: I = 8. O = 4 or 8.

    Solved when the last 2,000 training sequences had all outputs within 0.3, and their mean error is below 0.1.
    Hochreiter & Schmidhuber 1997, section 5.6.
    """

    relevant: int = option(2, "Number of places.", choices=(2, 3))
    tolerance, longest = 0.3, 110
    criterion = Criterion(2000, mean=0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(sizes=(8, 2**self.relevant), lag=100 - self.places[-1] - 10)

    @property
    def places(self) -> tuple[int, ...]:
        """The first possible place of each X or Y; the last one is 10 symbols later."""
        return (10, 50) if self.relevant == 2 else (10, 33, 66)

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        lengths, rows = rng.integers(100, 111, B), np.arange(B)
        symbols = rng.integers(2, 6, size=(lengths.max(), B))
        symbols[0], symbols[lengths - 1, rows] = 0, 1
        kind = np.zeros(B, np.int64)
        for place in self.places:
            y = rng.integers(2, size=B)
            symbols[rng.integers(place, place + 11, B) - 1, rows] = 6 + y
            kind = 2 * kind + y
        return at_end(one_hot(symbols, 8, lengths), lengths, np.eye(self.sizes[1], dtype=np.float32)[kind])


@dataclass(frozen=True)
class Copying(Problem):
    """Copying: repeat ten symbols after a long delay. Not of 1997.

        s_1 … s_10 ␣ … ␣ ! ␣ … ␣        input: 10 symbols of 8, T - 1 blanks, a delimiter, 10 blanks
        ␣ … ␣ ␣ … ␣ ␣ s_1 … s_10        target: T + 10 blanks, the 10 symbols

    Symbols 0 … 7, blank 8, delimiter 9: I = 10. O = 9. A memoryless network can reach 10 log 8 / (T + 20) nats a step.
    Arjovsky, Shah & Bengio 2016, section 4.1 and its experiments; lag T + 10 from a symbol to its copy.

    That paper has no criterion. Here: solved when the last 2,000 training sequences had all outputs within 0.5.
    """

    T: int = option(100, "Steps from the last symbol to the delimiter.", low=1)
    sizes, tolerance = (10, 9), 0.5
    criterion = Criterion(2000)

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(lag=self.T + 10, longest=self.T + 20)

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        copy = rng.integers(8, size=(10, B))
        symbols, target = np.full((2, self.T + 20, B), 8)
        symbols[:10], symbols[self.T + 9], target[self.T + 10 :] = copy, 9, copy
        lengths = np.full(B, self.T + 20)
        x, out = one_hot(symbols, 10, lengths), one_hot(target, 9, lengths)
        return Batch(x, out, out, torch.ones(x.shape[:2], dtype=torch.bool), torch.from_numpy(lengths))
