"""Dropout whose masks cost little."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from gated._check import within

LEVELS = 1 << 16  # of a rate: a mask's number is decided by 16 random bits


def dropout(x: Shaped[Tensor, ...], p: float, training: bool = True) -> Shaped[Tensor, ...]:
    """y = x m / (1 − p), m 0 with probability p and else 1, drawn for every number (Srivastava et al. 2014, §10).

    torch.nn.functional.dropout in distribution, with p rounded to 1 / 65,536. On the processor the generator is asked
    for 64 bits at a time, enough for four numbers, and not for each number: a third of the time.
    """
    within("dropout p", p, 0, 1)
    if not training or p == 0:
        return x
    threshold = round(p * LEVELS)
    if threshold == LEVELS or x.device.type != "cpu":
        return nn.functional.dropout(x, p)
    bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    keep = bits.view(torch.int16)[: x.numel()].view(x.shape) >= threshold - LEVELS // 2
    return x * (keep * (LEVELS / (LEVELS - threshold))).to(x.dtype)


class Dropout(nn.Module):
    """`dropout` as a module."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        within("Dropout p", p, 0, 1)
        self.p = p

    def forward(self, x: Shaped[Tensor, ...]) -> Shaped[Tensor, ...]:
        return dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
