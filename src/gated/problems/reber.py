"""The embedded Reber grammar: section 5.1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from gated.options import option
from gated.problems.problem import Batch, Criterion, Problem, one_hot

__all__ = ["EmbeddedReber"]

SYMBOLS = "BTPSXVE"
# Edges out of each node of the inner grammar; node 7 has none. Reber 1967; as in the figures of Cleeremans et al. 1989.
REBER: tuple[tuple[tuple[str, int], ...], ...] = (
    (("B", 1),), (("T", 2), ("P", 3)), (("S", 2), ("X", 4)), (("T", 3), ("V", 5)), (("X", 3), ("S", 6)),
    (("P", 4), ("V", 6)), (("E", 7),),
)  # fmt: skip


def embed() -> list[dict[str, int]]:
    """The nodes of the embedded grammar as {symbol: next node}; the first node is 0, the last has no edge.

    B, then T or P; a copy of the inner grammar for each; the same T or P again; E.
    """
    nodes: list[dict[str, int]] = [{"B": 1}, {"T": 2, "P": 10}]
    for first, again in ((2, "T"), (10, "P")):
        nodes += [{symbol: first + node for symbol, node in edges} for edges in REBER]
        nodes.append({again: 18})
    return [*nodes, {"E": 19}, {}]


GRAMMAR = embed()


@dataclass(frozen=True)
class EmbeddedReber(Problem):
    """Read strings of the embedded Reber grammar and predict, at each symbol, which ones may come next.

    Each of two edges is taken with probability ½. The last symbol but one repeats the second one, at least 6 symbols
    later; no other symbol is possible there. The training set has 256 strings, from which batches are drawn; the test
    set has 256 others, none of which is in the training set. Both follow from `seed`.

    Solved when at every symbol of all strings of both sets the possible symbols have the highest outputs.
    Inputs and outputs are the 7 symbols. Hochreiter & Schmidhuber 1997, section 5.1.
    """

    seed: int = option(0, "Seed of both sets.", low=0)
    size: int = option(256, "Number of strings in each set.", low=1)
    sizes = len(SYMBOLS), len(SYMBOLS)
    tolerance = math.nan  # the criterion is the order of the outputs
    lag = 6  # from the second symbol to its repetition, in the shortest strings
    longest = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(criterion=Criterion(2 * self.size, on="test"))

    @cached_property
    def sets(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The strings for training and those for testing."""
        rng = np.random.default_rng((self.seed, 1997))
        training = tuple(draw(rng) for _ in range(self.size))
        excluded, test = set(training), []
        while len(test) < self.size:
            one = draw(rng)
            if one not in excluded:
                test.append(one)
        return training, tuple(test)

    def batch(self, rng: np.random.Generator, B: int) -> Batch:
        training, _ = self.sets
        return encode([training[k] for k in rng.integers(len(training), size=B)])

    def tests(self, rng: np.random.Generator, B: int = 256) -> Iterator[Batch]:
        """Both sets, the training set first."""
        strings = [one for part in self.sets for one in part]
        for first in range(0, len(strings), B):
            yield encode(strings[first : first + B])

    def judge(
        self, batch: Batch, y: Float32[Tensor, "T B O"]
    ) -> tuple[Bool[np.ndarray, " B"], Float32[np.ndarray, " B"]]:
        """Whether each string is wrong, an impossible symbol's output reaching a possible one's, and at what share."""
        possible = batch.truth > 0
        lowest = y.masked_fill(~possible, torch.inf).amin(2)
        highest = y.masked_fill(possible, -torch.inf).amax(2)
        wrong = ~(lowest > highest) & batch.where
        return wrong.any(0).numpy(), (wrong.sum(0) / batch.lengths).float().numpy()


def draw(rng: np.random.Generator) -> str:
    """Draw a string of the grammar."""
    node, symbols = 0, []
    while edges := list(GRAMMAR[node].items()):
        symbol, node = edges[int(rng.integers(len(edges)))] if len(edges) > 1 else edges[0]
        symbols.append(symbol)
    return "".join(symbols)


def encode(strings: Sequence[str]) -> Batch:
    """Strings as a batch: inputs are all symbols but the last, targets all but the first."""
    lengths = np.array([len(one) - 1 for one in strings])
    symbols, following = np.zeros((2, lengths.max(), len(strings)), np.int64)
    truth = np.zeros((lengths.max(), len(strings), len(SYMBOLS)), np.float32)
    for b, one in enumerate(strings):
        numbers, node = [SYMBOLS.index(symbol) for symbol in one], 0
        symbols[: len(one) - 1, b], following[: len(one) - 1, b] = numbers[:-1], numbers[1:]
        for t, symbol in enumerate(one[:-1]):
            node = GRAMMAR[node][symbol]
            truth[t, b, [SYMBOLS.index(possible) for possible in GRAMMAR[node]]] = 1
    where = torch.from_numpy(np.arange(len(symbols))[:, None] < lengths)
    x, target = one_hot(symbols, 7, lengths), one_hot(following, 7, lengths)
    return Batch(x, target, torch.from_numpy(truth), where, torch.from_numpy(lengths))
