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

    def strip(self) -> Request:
        """The request without its tensors, which autograd must hand over by themselves; `fill` puts them back."""
        none: Any = None
        states = (none,) * len(self.states)
        return Request(self.text, none, states, (), none, none, self.keep, self.chunk, self.bf16)

    def fill(self, lengths: Tensor | None, seed: Tensor | None, x: Tensor, *rest: Tensor) -> Request:
        n = len(self.states)
        return Request(self.text, x, rest[:n], rest[n:], lengths, seed, self.keep, self.chunk, self.bf16)
