"""Small warps of lines of print while learning: the same letters as other pages would have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gated._check import shape, within

__all__ = ["warp"]

# Of strength 1, for lines of 32 rows; even from minus to plus unless said otherwise.
WIDTH = 0.1  # of a line's width
SIZE = 0.06  # of its height
SLANT = 0.15  # columns a row
SHIFT = 1.5  # rows
WOBBLE = (0.5, 0.8)  # rows and columns, a normal's deviation, at knots that many rows and columns apart:
KNOTS = (12, 20)
STROKE = 0.4  # share of the strokes' thickening or thinning by a pixel on all sides
BLUR = 0.5  # at most, the share of a mean of 3 x 3
FADE = 0.3  # at most, of the ink
NOISE = 0.05  # at most, a normal's deviation


def warp(
    x: Float[Tensor, "B R T"], lengths: Int[Tensor, " B"], rng: np.random.Generator | int, strength: float = 1.0
) -> tuple[Float[Tensor, "B R W"], Int[Tensor, " B"]]:
    """Lines with ink 1 on paper 0, each warped in its own way, and their new lengths.

    x         B lines of R rows and T columns, of which a line has the first `lengths`; the others are 0 and stay so
    rng       numpy's generator, or a seed; the result depends on it and on what is given, on nothing else
    strength  0 gives back what was given, 1 what scans of books differ by, 2 twice as much

    A line becomes wider or narrower by a tenth, higher or lower, slanted, shifted by a row or so and wobbly; then its
    strokes thicker or thinner, its edges softer, its ink paler, its paper grainy.

    Errors: lengths that are not B of 1 to T; a strength outside [0, 3].
    """
    within("strength", strength, 0, 3)
    shape("lengths", lengths, len(x))
    for length in lengths.tolist():
        within("a length", length, 1, x.shape[2])
    if strength == 0:
        return x, lengths
    rng = np.random.default_rng(rng)
    wide = np.maximum(1, np.rint(lengths.numpy(force=True) * (1 + strength * _even(rng, len(x), WIDTH)))).astype(int)
    stretch = _on(x, wide / lengths.numpy(force=True))
    y = _bent(x, stretch, int(wide.max()), rng, strength)
    y = _inked(y, rng, strength)
    length = lengths.new_tensor(wide)
    return y * (torch.arange(y.shape[2], device=x.device) < length[:, None])[:, None], length


def _bent(x: Tensor, stretch: Tensor, width: int, rng: np.random.Generator, strength: float) -> Tensor:
    """Where each pixel comes from, and what is there: (B, R, width)."""
    B, R, T = x.shape
    rows = torch.arange(R, dtype=x.dtype, device=x.device)[:, None] - (R - 1) / 2
    columns = torch.arange(width, dtype=x.dtype, device=x.device)
    size, slant, shift = (_on(x, strength * _even(rng, B, most)) for most in (SIZE, SLANT, SHIFT * R / 32))
    sides = [_bumps(n, apart) for n, apart in zip((R, width), KNOTS, strict=True)]
    knots = strength * rng.standard_normal((B, 2, *(len(side) for side in sides)), np.float32)
    knots *= np.asarray(WOBBLE, np.float32)[:, None, None]
    down, across = (_on(x, sides[0].T) @ _on(x, knots) @ _on(x, sides[1])).unbind(1)
    pixel = 2 / max(T - 1, 1), 2 / max(R - 1, 1)  # both axes of the grid go from -1 to 1
    grid = x.new_empty(B, R, width, 2)
    grid[..., 0] = (columns + 0.5) * (pixel[0] / stretch) + (slant * rows + across - 0.5) * pixel[0] - 1
    grid[..., 1] = ((rows - shift) * (1 + size) + down) * pixel[1]
    return F.grid_sample(x[:, None], grid, mode="bilinear", align_corners=True)[:, 0]


def _bumps(n: int, apart: int) -> np.ndarray:
    """Smooth weights [knots, n] of knots at every place, which sum to 1: half a cosine to either side of a knot."""
    d = np.arange(n, dtype=np.float32) / apart - np.arange((n - 1) // apart + 2, dtype=np.float32)[:, None]
    return np.where(np.abs(d) < 1, (1 + np.cos(np.pi * d)) / 2, 0)


def _inked(x: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """Other strokes, edges, ink and paper, column by column where it was."""
    B = len(x)
    stroke = _on(x, strength * _even(rng, B, STROKE))
    blur, fade, noise = (_on(x, strength * most * rng.random((B, 1, 1))) for most in (BLUR, FADE, NOISE))
    sign = stroke.sign()
    x = torch.lerp(x, sign * _pooled(sign * x, torch.maximum), stroke.abs().clamp(max=1))
    x = torch.lerp(x, _pooled(x, torch.add) / 9, blur.clamp(max=1))
    grain = _on(x, rng.standard_normal(x.shape, np.float32))
    return (x * (1 - fade.clamp(max=0.9)) + noise * grain).clamp(0, 1)


def _pooled(x: Tensor, both: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Of every 3 x 3 the maximum or the sum: far faster by slices than torch's pooling of so few channels."""
    x = F.pad(x, (1, 1, 1, 1))
    x = both(both(x[:, :-2], x[:, 1:-1]), x[:, 2:])
    return both(both(x[..., :-2], x[..., 1:-1]), x[..., 2:])


def _even(rng: np.random.Generator, B: int, most: float) -> np.ndarray:
    return most * (2 * rng.random(B) - 1)


def _on(x: Tensor, values: Any) -> Tensor:
    """Numbers as a tensor like x; one for each line is lined up with its rows and columns."""
    out = torch.from_numpy(np.asarray(values)).to(x)
    return out[:, None, None] if out.ndim == 1 else out
