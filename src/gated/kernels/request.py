"""What a layer asks of our kernels, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Request(NamedTuple):
    """One layer of a program on a batch: all steps, all directions."""

    text: str  # the program
    x: Tensor  # (T, B, I)
    states: Sequence[Tensor]  # (D, B, ·) each, in the order of the cell's; empty for zeros
    weights: Sequence[Tensor]  # by direction, in the order of `Cell.shapes`
    lengths: Tensor | None = None  # (B,), whole numbers from 0 to T
    seed: Tensor | None = None  # (D,), of the noise; see `noise`
    keep: tuple[str, ...] = ()  # names of the values wanted of every step
    chunk: int = 0  # training keeps only the states between chunks of so many steps, and computes the rest again
    bf16: bool = False  # products in bfloat16

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        return self.lengths, self.seed, self.x, *self.states, *self.weights

    def strip(self) -> Request:
        """The request without its tensors, for autograd must hand those over itself; `fill` puts them back."""
        empty: Any = None
        return self._replace(x=empty, states=(empty,) * len(self.states), weights=(), lengths=None, seed=None)

    def fill(self, tensors: Sequence[Tensor | None]) -> Request:
        lengths, seed, x, *rest = tensors
        n, given = len(self.states), {"x": x, "lengths": lengths, "seed": seed}
        return self._replace(states=rest[:n], weights=rest[n:], **given)  # type: ignore[arg-type]
