"""Input attribution by integrated gradients, with captum.

    share_k = (x_k − b_k) ∫_0^1 ∂F(b + α (x − b)) / ∂x_k dα        Σ_k share_k = F(x) − F(b)

Sundararajan, Taly & Yan 2017, eq. 1. The integral is a sum of gradients (Gauss–Legendre) with more and more steps,
until the shares sum to F(x) − F(b) within one per cent of it; a larger difference, `delta`, is reported.
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

STEPS, MAX_STEPS = 32, 1024
TOLERANCE = 0.01  # of F(x) − F(b), or of 1 / 1000 of F(x), whichever is larger
BATCH = 4_000_000  # numbers of the inputs in one batch of steps


@dataclass(frozen=True)
class IntegratedGradients:
    """The share of each number of the inputs in an output; delta = value − baseline − Σ shares."""

    value: float  # F(x)
    baseline: float  # F(b)
    shares: tuple[np.ndarray, ...]  # as the inputs, without their first axis
    steps: int
    delta: float

    @property
    def converged(self) -> bool:
        """Whether the shares sum to value − baseline within the tolerance."""
        change = max(abs(self.value - self.baseline), 1e-3 * abs(self.value), 1e-6)
        return abs(self.delta) <= TOLERANCE * change


def attribute(
    function: Callable[..., Tensor],
    inputs: Tensor | tuple[Tensor, ...],
    baselines: Any = 0.0,
    *,
    max_steps: int = MAX_STEPS,
) -> IntegratedGradients:
    """The share of each input in an output.

    function: from the inputs with N rows to a number for each row, (N,). inputs: one example each, with a first axis of
    1. baselines: numbers, or tensors as the inputs, where the path starts. max_steps: of the integral.

    Needs captum: pip install 'gated[probe]'.
    """
    captum = optional("captum.attr", "probe")
    xs = inputs if isinstance(inputs, tuple) else (inputs,)
    for x in xs:
        want(x.ndim > 0 and len(x) == 1, "attribution inputs", "one example: a first axis of 1", tuple(x.shape))
        want(x.is_floating_point(), "attribution inputs", "numbers", x.dtype, "Take the embeddings of tokens.")
    within("attribution max_steps", max_steps, 2)
    xs = tuple(x.detach() for x in xs)
    starts = baselines if isinstance(baselines, tuple) else (baselines,) * len(xs)
    starts = tuple(
        torch.as_tensor(b, dtype=x.dtype, device=x.device).expand_as(x) for b, x in zip(starts, xs, strict=True)
    )
    with torch.no_grad():
        outputs = [function(*side) for side in (xs, starts)]
    for output in outputs:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        want(got == (1,), "attribution function", "a number for each row, (1,) for one", got)
    value, base = map(float, outputs)
    if not (math.isfinite(value) and math.isfinite(base)):
        refuse("attribution", "a finite output", f"{value} at the inputs, {base} at the baseline")
    engine = captum.IntegratedGradients(function)
    side = max(1, BATCH // max(1, sum(x.numel() for x in xs)))
    steps = min(STEPS, max_steps)
    while True:
        parts = engine.attribute(xs, starts, n_steps=steps, internal_batch_size=min(side, steps))
        shares = tuple(a.detach()[0].double().cpu().numpy() for a in parts)
        delta = value - base - sum(float(a.sum()) for a in shares)
        result = IntegratedGradients(value, base, shares, steps, delta)
        if result.converged or 4 * steps > max_steps:
            return result
        steps *= 4


def describe_delta(result: IntegratedGradients) -> str:
    """The sum of the shares, if it differs from value − baseline; else an empty text."""
    return "" if result.converged else f" (the shares sum to {result.value - result.baseline - result.delta:.4g})"
