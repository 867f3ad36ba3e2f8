"""Data augmentation: log-mel frames perturbed in speed, voice, noise and gain; SpecAugment; warps of lines of print.

Sound is augmented in its features, which are then computed once. Sound played s times as fast has its frames s times as
close and its frequencies s times as high; noise adds to the energies, whose logarithms the bands are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor

# Of strength 1.
SPEED, VOICE = 0.15, 0.07  # fractions by which time, and frequency, are stretched at most
SNR = (-1.0, 16.0)  # nepers of energy by which noise lies below an example's mean
GAIN = 1.5  # nepers of energy
COLOUR, COLOUR_KNOTS = 0.7, 5  # standard deviation in nepers, at so many places of the spectrum
TILT = 2.0  # of noise, in nepers at the lowest and highest band
MASK_BANDS, MASK_FRAMES = 0.06, 12  # widest mask, as a fraction of the bands, and in frames
EVERY = 40  # frames for each mask in time

# Of strength 1, for lines of 32 rows; uniform between minus and plus unless stated.
WIDTH = 0.1  # of a line's width
SIZE = 0.06  # of its height
SLANT = 0.15  # columns a row
SHIFT = 1.5  # rows
WOBBLE = (0.5, 0.8)  # standard deviation in rows and columns, at knots that many rows and columns apart:
KNOTS = (12, 20)
STROKE = 0.4  # fraction of a thickening or thinning of the strokes by a pixel on all sides
BLUR = 0.5  # at most, the fraction of a mean of 3 x 3
FADE = 0.3  # at most, of the ink
NOISE = 0.05  # at most, a standard deviation


def mask_lengths(lengths: Int[Tensor, " B"], T: int) -> Float[Tensor, "B T"]:
    """1 within the lengths and 0 beyond."""
    return (torch.arange(T, device=lengths.device) < lengths[:, None]).float()


# ---- sound


def perturb(
    x: Float[Tensor, "B R T"], lengths: Int64[Tensor, " B"], rng: np.random.Generator, strength: float = 1.0,
    snr: tuple[float, float] = SNR,
) -> tuple[Float[Tensor, "B R S"], Int64[Tensor, " B"]]:  # fmt: skip
    """Log-mel frames in another voice, speed, gain and colour, with noise added, and their new lengths.

        x'_{r,t} = log(exp(x_{αr, st} + g_r) + exp(n_r + ε_{r,t}))        s, α around 1, ε normal with σ = 1/2

    Vocal tract length perturbation: Jaitly & Hinton (2013); speed: Ko et al. (2015), here independent of α.
    """
    B, R, T = x.shape

    def draw(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (B, 1, 1))).float()

    speed, voice = (1 + strength * draw(-limit, limit) for limit in (SPEED, VOICE))
    after = (lengths / speed[:, 0, 0]).round().long().clamp(min=1)
    S = int(after.max())
    frame = torch.minimum(torch.arange(S) * speed, lengths[:, None, None] - 1)  # not the padding, which would be loud
    band = torch.arange(R)[:, None] * voice
    grid = torch.stack([2 * frame.expand(B, R, S) / max(T - 1, 1) - 1, 2 * band.expand(B, R, S) / (R - 1) - 1], -1)
    y = F.grid_sample(x[:, None], grid, align_corners=True, padding_mode="border")[:, 0]
    knots = torch.from_numpy(rng.normal(0, strength * COLOUR, (B, 1, COLOUR_KNOTS))).float()
    colour = F.interpolate(knots, size=R, mode="linear", align_corners=True)
    y = y + strength * draw(-GAIN, GAIN) + colour.transpose(1, 2)
    mean = (y.mean(1) * mask_lengths(after, S)).sum(1) / after
    tilt = draw(-TILT, TILT) * torch.linspace(-1, 1, R)[:, None]
    level = mean[:, None, None] - draw(*snr) + 30 * min(0.0, strength - 1)
    grain = torch.from_numpy(rng.standard_normal(y.shape, np.float32)) / 2
    return torch.logaddexp(y, level + tilt + grain), after


def mask(
    x: Float[Tensor, "B R T"], lengths: Int64[Tensor, " B"], rng: np.random.Generator, strength: float = 1.0
) -> Float[Tensor, "B R T"]:
    """SpecAugment (Park et al. 2019): two bands, and a span of time in `EVERY` frames, set to 0, the mean."""
    x, R = x.clone(), x.shape[1]
    for row, length in zip(x, lengths.tolist(), strict=True):
        for _ in range(2):
            width = int(rng.integers(0, max(1, round(R * MASK_BANDS * strength)) + 1))
            low = int(rng.integers(0, R - width + 1))
            row[low : low + width] = 0
        for _ in range(max(1, length // EVERY)):
            width = int(rng.integers(0, max(1, int(MASK_FRAMES * strength)) + 1))
            first = int(rng.integers(0, max(1, length - width)))
            row[:, first : first + width] = 0
    return x


# ---- lines of print


def warp(
    x: Float[Tensor, "B R T"], lengths: Int[Tensor, " B"], rng: np.random.Generator, strength: float = 1.0
) -> tuple[Float[Tensor, "B R W"], Int[Tensor, " B"]]:
    """Lines with ink 1 on paper 0, each warped by itself, and their new lengths.

    x         B lines of R rows and T columns, of which a line has the first `lengths`; the others are 0 and stay so
    strength  0 is the identity, 1 the differences of scanned books, 2 twice as much

    A line becomes wider or narrower by a tenth, higher or lower, slanted, shifted by a row or so and wobbly; then its
    strokes thicker or thinner, its edges softer, its ink paler, its paper grainy.
    """
    old = lengths.numpy(force=True)
    new = np.maximum(1, np.rint(old * (1 + strength * rng.uniform(-WIDTH, WIDTH, len(x))))).astype(int)
    y = _bend(x, _like(x, new / old), int(new.max()), rng, strength)
    after = lengths.new_tensor(new)
    return _ink(y, rng, strength) * mask_lengths(after, y.shape[2])[:, None], after


def _bend(x: Tensor, stretch: Tensor, width: int, rng: np.random.Generator, strength: float) -> Tensor:
    """The pixels at their new places: (B, R, width)."""
    B, R, T = x.shape
    rows = torch.arange(R, dtype=x.dtype, device=x.device)[:, None] - (R - 1) / 2
    columns = torch.arange(width, dtype=x.dtype, device=x.device)
    size, slant, shift = (_like(x, strength * rng.uniform(-limit, limit, B)) for limit in (SIZE, SLANT, SHIFT * R / 32))
    sides = [_bumps(n, spacing) for n, spacing in zip((R, width), KNOTS, strict=True)]
    knots = strength * rng.standard_normal((B, 2, *(len(side) for side in sides)), np.float32)
    knots *= np.asarray(WOBBLE, np.float32)[:, None, None]
    down, across = (_like(x, sides[0].T) @ _like(x, knots) @ _like(x, sides[1])).unbind(1)
    pixel = 2 / max(T - 1, 1), 2 / max(R - 1, 1)  # both axes of the grid go from -1 to 1
    grid = x.new_empty(B, R, width, 2)
    grid[..., 0] = (columns + 0.5) * (pixel[0] / stretch) + (slant * rows + across - 0.5) * pixel[0] - 1
    grid[..., 1] = ((rows - shift) * (1 + size) + down) * pixel[1]
    return F.grid_sample(x[:, None], grid, mode="bilinear", align_corners=True)[:, 0]


def _bumps(n: int, spacing: int) -> np.ndarray:
    """Smooth weights [knots, n], which sum to 1 at every place: half a cosine to either side of a knot."""
    d = np.arange(n, dtype=np.float32) / spacing - np.arange((n - 1) // spacing + 2, dtype=np.float32)[:, None]
    return np.where(np.abs(d) < 1, (1 + np.cos(np.pi * d)) / 2, 0)


def _ink(x: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """Other strokes, edges, ink and paper."""
    B = len(x)
    stroke = _like(x, strength * rng.uniform(-STROKE, STROKE, B))
    blur, fade, noise = (_like(x, strength * limit * rng.random((B, 1, 1))) for limit in (BLUR, FADE, NOISE))
    sign = stroke.sign()
    x = torch.lerp(x, sign * _pool(sign * x, torch.maximum), stroke.abs().clamp(max=1))
    x = torch.lerp(x, _pool(x, torch.add) / 9, blur.clamp(max=1))
    grain = _like(x, rng.standard_normal(x.shape, np.float32))
    return (x * (1 - fade.clamp(max=0.9)) + noise * grain).clamp(0, 1)


def _pool(x: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The maximum or sum of every 3 x 3: far faster by slices than torch's pooling of so few channels."""
    x = F.pad(x, (1, 1, 1, 1))
    x = combine(combine(x[:, :-2], x[:, 1:-1]), x[:, 2:])
    return combine(combine(x[..., :-2], x[..., 1:-1]), x[..., 2:])


def _like(x: Tensor, values: Any) -> Tensor:
    """Numbers as a tensor like x; one for each line broadcasts over its rows and columns."""
    out = torch.from_numpy(np.asarray(values)).to(x)
    return out[:, None, None] if out.ndim == 1 else out
