"""Changes that log-mel frames undergo while learning: speed, voice, noise, gain; and SpecAugment's masks.

They act on the features and not on the sound, so these are computed once. Sound played s times as fast has its frames s
times as close and its frequencies s times as high; noise adds to the energies, whose logarithms the bands are.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

SPEED, VOICE = 0.15, 0.07  # shares by which time, and frequency, are stretched at most
SNR = (-1.0, 16.0)  # nepers of energy by which noise lies below the mean of an example, when it is added
GAIN = 1.5  # nepers of energy
COLOUR = 0.7  # nepers, a normal's deviation, at `KNOTS` places of the spectrum
KNOTS = 5
TILT = 2.0  # of noise, in nepers at the lowest and highest band
BANDS, FRAMES = 0.06, 12  # widest mask, as a share of the bands, and in frames
EVERY = 40  # frames to a mask


def change(
    x: Float[Tensor, "B R T"], lengths: Int64[Tensor, " B"], rng: np.random.Generator, strength: float = 1.0
) -> tuple[Float[Tensor, "B R S"], Int64[Tensor, " B"]]:
    """Log-mel frames in another voice, at another speed, louder or softer, of another colour, in noise; and how many.

        x'_{r,t} = log(exp(x_{αr, st} + g_r) + exp(n_r + ε_{r,t}))        s, α around 1, ε normal with σ = 1/2

    Vocal tract length perturbation: Jaitly & Hinton (2013); speed: Ko et al. (2015), here without the link of s and α.
    """
    B, R, T = x.shape

    def draw(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (B, 1, 1))).float()

    speed, voice = (1 + strength * draw(-most, most) for most in (SPEED, VOICE))
    after = (lengths / speed[:, 0, 0]).round().long().clamp(min=1)
    S = int(after.max())
    frame = torch.minimum(torch.arange(S) * speed, lengths[:, None, None] - 1)  # the padding after it would be loud
    band = torch.arange(R)[:, None] * voice
    grid = torch.stack([2 * frame.expand(B, R, S) / max(T - 1, 1) - 1, 2 * band.expand(B, R, S) / (R - 1) - 1], -1)
    y = torch.nn.functional.grid_sample(x[:, None], grid, align_corners=True, padding_mode="border")[:, 0]
    knots = torch.from_numpy(rng.normal(0, strength * COLOUR, (B, 1, KNOTS))).float()
    colour = torch.nn.functional.interpolate(knots, size=R, mode="linear", align_corners=True)
    y = y + strength * draw(-GAIN, GAIN) + colour.transpose(1, 2)
    mean = (y.mean(1) * inside(after, S)).sum(1) / after
    tilt = draw(-TILT, TILT) * torch.linspace(-1, 1, R)[:, None]
    level = mean[:, None, None] - draw(*SNR) + 30 * min(0.0, strength - 1)
    grain = torch.from_numpy(rng.standard_normal(y.shape, np.float32)) / 2
    return torch.logaddexp(y, level + tilt + grain), after


def mask(
    x: Float[Tensor, "B R T"], lengths: Int64[Tensor, " B"], rng: np.random.Generator, strength: float = 1.0
) -> Float[Tensor, "B R T"]:
    """Two bands and one span of time in `EVERY` frames set to the mean, which is 0 (SpecAugment: Park et al. 2019)."""
    x, R = x.clone(), x.shape[1]
    for row, length in zip(x, lengths.tolist(), strict=True):
        for _ in range(2):
            wide = int(rng.integers(0, max(1, round(R * BANDS * strength)) + 1))
            low = int(rng.integers(0, R - wide + 1))
            row[low : low + wide] = 0
        for _ in range(max(1, length // EVERY)):
            wide = int(rng.integers(0, max(1, int(FRAMES * strength)) + 1))
            first = int(rng.integers(0, max(1, length - wide)))
            row[:, first : first + wide] = 0
    return x


def inside(lengths: Int64[Tensor, " B"], T: int) -> Float[Tensor, "B T"]:
    """1 within the lengths and 0 beyond."""
    return (torch.arange(T, device=lengths.device) < lengths[:, None]).float()
