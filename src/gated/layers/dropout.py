"""Dropout whose masks cost little."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
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


def locked(x: Shaped[Tensor, "T ..."], p: float, training: bool = True) -> Shaped[Tensor, "T ..."]:
    """Locked dropout: one mask for all steps, y_t = x_t m / (1 − p) (Gal & Ghahramani 2016, §4.2)."""
    within("dropout p", p, 0, 1)
    if not training or p == 0:
        return x
    return x * dropout(torch.ones_like(x[:1]), p)


def embed(
    tokens: Int64[Tensor, "T B"], weight: Float[Tensor, "V E"], p: float = 0.0, training: bool = True
) -> Float[Tensor, "T B E"]:
    """Rows of an embedding, of which a share p of the tokens is zero wherever they occur, the others scaled by
    1 / (1 − p) (Gal & Ghahramani 2016, §4.2; Merity et al. 2018, §4.3).
    """
    within("embedding dropout p", p, 0, 1)
    x = nn.functional.embedding(tokens, weight)
    if not training or p == 0:
        return x
    return x * dropout(weight.new_ones(len(weight)), p)[tokens][..., None]


def drop_weights(layer: nn.Module, p: float, training: bool, *given: Any, **more: Any) -> Any:
    """layer(*given, **more) with DropConnect on its recurrent weights: R m / (1 − p), one mask a call (Merity et al.
    2018, §2; Wan et al. 2013).
    """
    within("weight dropout p", p, 0, 1)
    if not training or p == 0:
        return layer(*given, **more)
    own = {name: dropout(w, p) for name, w in layer.named_parameters() if name.startswith("weight_hh")}
    return torch.func.functional_call(layer, own, given, more)


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
