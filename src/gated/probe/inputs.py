"""Which inputs mattered for one output: integrated gradients, by captum.

    share_k = (x_k − b_k) ∫_0^1 ∂F(b + α (x − b)) / ∂x_k dα        Σ_k share_k = F(x) − F(b)

Sundararajan, Taly & Yan 2017, eq. 1. The integral is a sum of gradients (Gauss–Legendre), of more and more steps until
the shares sum to F(x) − F(b) within a hundredth of it; how far off they are is said where that is not reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gated._check import optional, refuse, want, within

STEPS, MOST = 32, 1024
CLOSE = 0.01  # of F(x) − F(b), or of 1 / 1000 of F(x), whichever is more
NUMBERS = 4_000_000  # of an input, in the steps that are computed side by side


@dataclass(frozen=True)
class Shares:
    """What each number of the inputs added to an output; `off` is what the sum lacks."""

    value: float  # F(x)
    baseline: float  # F(b)
    shares: tuple[np.ndarray, ...]  # as the inputs, without their first axis
    steps: int
    off: float

    @property
    def exact(self) -> bool:
        """Whether the shares sum to value − baseline within the tolerance."""
        return abs(self.off) <= _slack(self.value, self.baseline)

    def table(self, count: int = 10) -> list[dict[str, float | str]]:
        """The inputs that mattered most, most first."""
        flat = [(float(s), f"{n}{list(map(int, k))}") for n, a in enumerate(self.shares) for k, s in np.ndenumerate(a)]
        return [{"input": name, "share": share} for share, name in sorted(flat, key=lambda e: -abs(e[0]))[:count]]


def attribution(
    function: Callable[..., Tensor], inputs: Tensor | tuple[Tensor, ...], baselines: Any = 0.0, *, most: int = MOST
) -> Shares:
    """The share of each input in an output.

    function: takes the inputs with any number of rows and gives a number for each row, (N,).
    inputs: one example each, with a first axis of 1. baselines: numbers, or tensors as the inputs; where the path
    starts. most: steps of the integral, at most.

    Needs captum: pip install 'gated[probe]'.
    """
    captum = optional("captum.attr", "probe")
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    for x in given:
        want(x.ndim > 0 and len(x) == 1, "attribution inputs", "one example: a first axis of 1", tuple(x.shape))
        want(x.is_floating_point(), "attribution inputs", "numbers", x.dtype, "Take the embeddings of tokens.")
    within("attribution most", most, 2)
    given = tuple(x.detach() for x in given)
    starts = baselines if isinstance(baselines, tuple) else (baselines,) * len(given)
    starts = tuple(
        torch.as_tensor(b, dtype=x.dtype, device=x.device).expand_as(x) for b, x in zip(starts, given, strict=True)
    )
    with torch.no_grad():
        value, base = (float(_one(function(*side))) for side in (given, starts))
    if not (math.isfinite(value) and math.isfinite(base)):
        refuse("attribution", "a finite output", f"{value} at the inputs, {base} at the baseline")
    engine = captum.IntegratedGradients(function)
    side = max(1, NUMBERS // max(1, sum(x.numel() for x in given)))
    steps, found, off = min(STEPS, most), given, math.inf
    while True:
        found = engine.attribute(given, starts, n_steps=steps, internal_batch_size=min(side, steps))
        off = value - base - sum(float(a.double().sum()) for a in found)
        if abs(off) <= _slack(value, base) or 4 * steps > most:
            break
        steps *= 4
    shares = tuple(a.detach()[0].double().cpu().numpy() for a in found)
    return Shares(value, base, shares, steps, off)


def _one(found: Any) -> Tensor:
    fits = isinstance(found, Tensor) and found.shape == (1,)
    got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    want(fits, "attribution function", "a number for each row, (1,) for one", got)
    return found


def _slack(value: float, base: float) -> float:
    return CLOSE * max(abs(value - base), 1e-3 * abs(value), 1e-6)


def remark(shares: Shares) -> str:
    """How far off the sum is, where it is; else nothing."""
    return "" if shares.exact else f" (the shares sum to {shares.value - shares.baseline - shares.off:.4g})"
