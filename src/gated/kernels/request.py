"""What a layer asks of our kernels, wherever they run."""

from __future__ import annotations

from typing import NamedTuple


class Request(NamedTuple):
    """One layer of a program on a batch: all steps, all directions; all but its tensors, which autograd hands over.

    These are (lengths, seed, x, *states, *weights):
    lengths (B,), whole numbers from 0 to T, or None; seed (D,), of the noise (see `noise`), or None; x (T, B, I);
    states (D, B, ·) each, in the order of the cell's, none for zeros; weights by direction, in the order of
    `Cell.shapes`.
    """

    text: str  # the program
    states: int  # how many of the tensors are states
    keep: tuple[str, ...] = ()  # names of the values wanted of every step
    chunk: int = 0  # training keeps only the states between chunks of so many steps, and computes the rest again
    bf16: bool = False  # products in bfloat16
