"""Variants of training examples, by kind: words dropped, series warped and jittered, images shifted and turned."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from gated.features.tokens import UNK

DROPS = 0.1  # of words
CROP, WARP, SCALE, JITTER = 0.2, 0.2, 0.1, 0.05  # shares of the length; standard deviations
SHIFT, TURN, ZOOM = 0.08, 0.2, 0.1  # of the side; radians; of the size
MASK = 0.15  # of the bands and of the frames of sound
MIN_STEPS = 8


def vary(x: np.ndarray, kind: str, strength: float, rng: np.random.Generator, unknown: int = UNK) -> np.ndarray:
    """A variant of an encoded example."""
    if kind == "text":
        return np.where(rng.random(len(x)) < DROPS * strength, unknown, x)
    if kind == "image":
        return _move(x, strength, rng)
    x = _warp(x, strength, rng) if x.shape[1] >= MIN_STEPS else x
    if kind == "sound":
        return _mask(x + np.float32(rng.normal(0, SCALE * strength)), strength, rng)
    scale = np.float32(np.exp(rng.normal(0, SCALE * strength)))
    return x * scale + rng.normal(0, JITTER * strength, x.shape).astype(np.float32)


def _warp(x: Float32[np.ndarray, "R T"], a: float, rng: np.random.Generator) -> Float32[np.ndarray, "R S"]:
    """A window of the series, stretched, more at one place than at another."""
    T = x.shape[1]
    keep = max(MIN_STEPS // 2, int(T * rng.uniform(1 - min(CROP * a, 0.9), 1)))
    first = rng.integers(T - keep + 1)
    n = max(MIN_STEPS // 2, round(keep * rng.uniform(1 - min(WARP * a, 0.9), 1 + WARP * a)))
    at = np.linspace(0, 1, n)
    at = at + rng.uniform(-1, 1) * 0.05 * a * np.sin(np.pi * at)
    place = first + np.clip(at, 0, 1) * (keep - 1)
    low = place.astype(np.int64)
    share = (place - low).astype(np.float32)
    return x[:, low] * (1 - share) + x[:, np.minimum(low + 1, T - 1)] * share


def _mask(x: Float32[np.ndarray, "R T"], a: float, rng: np.random.Generator) -> Float32[np.ndarray, "R T"]:
    """A band of frequencies and a span of time at their mean (SpecAugment; Park et al. 2019)."""
    x = x.copy()
    for axis, size in enumerate(x.shape):
        wide = int(rng.uniform(0, MASK * a) * size)
        at = rng.integers(size - wide + 1)
        x[(slice(None),) * axis + (slice(at, at + wide),)] = 0
    return x


def _move(x: Float32[np.ndarray, "R T"], a: float, rng: np.random.Generator) -> Float32[np.ndarray, "R T"]:
    """The image shifted, turned and resized about its middle, linear between pixels, its edge continued."""
    R, T = x.shape
    turn, zoom = rng.normal(0, TURN * a / 2), np.exp(rng.normal(0, ZOOM * a))
    c, s = np.cos(turn) * zoom, np.sin(turn) * zoom
    shift = rng.uniform(-SHIFT * a, SHIFT * a, 2) * (R, T)
    r, t = np.meshgrid(np.arange(R) - (R - 1) / 2, np.arange(T) - (T - 1) / 2, indexing="ij")
    row = np.clip(c * r - s * t + shift[0] + (R - 1) / 2, 0, R - 1)
    column = np.clip(s * r + c * t + shift[1] + (T - 1) / 2, 0, T - 1)
    low, left = row.astype(np.int64), column.astype(np.int64)
    down, right = np.minimum(low + 1, R - 1), np.minimum(left + 1, T - 1)
    fr, ft = (row - low).astype(np.float32), (column - left).astype(np.float32)
    above = x[low, left] * (1 - ft) + x[low, right] * ft
    below = x[down, left] * (1 - ft) + x[down, right] * ft
    return above * (1 - fr) + below * fr
