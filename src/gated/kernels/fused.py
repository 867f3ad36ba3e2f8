"""torch's own operators for the plain cells: oneDNN and ATen on the processor, cuDNN on the GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def fused(
    operator: str,
    weights: Sequence[Tensor],
    x: Float[Tensor, "T B I"] | Float[Tensor, "N I"],
    state: tuple[Float[Tensor, "LD B _"], ...],
    *,
    bias: bool,
    layers: int,
    bidirectional: bool,
    dropout: float,
    training: bool,
    sizes: Int[Tensor, " T"] | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A whole stack at once. With `sizes`, x is packed and sizes are its batch sizes, as torch's packing makes them."""
    run = getattr(torch, operator)
    hx = state if operator == "lstm" else state[0]
    rest = (list(weights), bias, layers, dropout, training, bidirectional)
    if sizes is None:
        y, *final = run(x, hx, *rest, False)
    else:
        y, *final = run(x, sizes, hx, *rest)
    return y, tuple(final)
