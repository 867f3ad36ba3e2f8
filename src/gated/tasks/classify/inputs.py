"""Examples as the network reads them: tokens of a text, or numbers by step, normalised, with their gaps filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32

from gated import data
from gated._check import want
from gated.features import tokens as vocabulary
from gated.features.tokens import Tokens
from gated.tasks.classify.layout import Layout
from gated.tasks.classify.model import Batch

LIMIT = 20.0  # standard deviations beyond which a value is cut
LEVELS = 0.05  # spread of the levels or the sizes of series, from which each is read in its own units as well
TINY = 1e-8


@dataclass(frozen=True)
class Scale:
    """How series become rows of numbers: in units of the training data, of themselves, or both; and their gaps."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    own: bool = False  # rows in each series' own mean and deviation follow
    gaps: bool = False  # rows that are 1 where a value is missing follow

    @property
    def rows(self) -> int:
        return len(self.mean) * (1 + self.own + self.gaps)

    def apply(self, x: Float32[np.ndarray, "C T"]) -> Float32[np.ndarray, "R T"]:
        """The rows of a series.

        A gap is filled linearly, at the ends by the nearest value; a channel without a value by 0.
        """
        mean, std = np.array(self.mean)[:, None], np.array(self.std)[:, None]
        missing = np.isnan(x)
        filled = fill(x.astype(np.float64))
        parts = [(filled - mean) / std]
        parts[0][missing.all(1)] = 0
        if self.own and x.shape[1]:
            own = filled.std(1, keepdims=True)
            parts.append((filled - filled.mean(1, keepdims=True)) / np.maximum(own, 1e-3 * std))
        elif self.own:
            parts.append(parts[0])
        parts += [missing.astype(np.float64)] if self.gaps else []
        return np.clip(np.concatenate(parts), -LIMIT, LIMIT).astype(np.float32)


def fill(x: np.ndarray) -> np.ndarray:
    """The channels with their gaps filled, 0 where one has no value."""
    out = x.copy()
    for channel in out:
        bad = np.isnan(channel)
        if bad.all():
            channel[:] = 0
        elif bad.any():
            channel[bad] = np.interp(np.flatnonzero(bad), np.flatnonzero(~bad), channel[~bad])
    return out


def fit_scale(xs: Sequence[np.ndarray], kind: str) -> Scale:
    """The scale of training data; series whose levels or sizes differ are read in their own units as well."""
    channels = len(xs[0])
    joint = np.concatenate(xs, 1).astype(np.float64)
    if kind in ("image", "video"):
        return Scale((float(np.nanmean(joint)),) * channels, (float(max(np.nanstd(joint), TINY)),) * channels)
    empty = np.isnan(joint).all(1)
    joint[empty] = 0
    mean, std = np.nanmean(joint, 1), np.nanstd(joint, 1)
    std = np.where(std > TINY, std, 1.0)
    own = False
    gaps = any(bool(np.isnan(x).any()) for x in xs)
    if kind == "series":
        full = [fill(x.astype(np.float64)) for x in xs if x.shape[1] > 1]
        levels = np.array([x.mean(1) for x in full]) / std
        sizes = np.array([x.std(1) for x in full]) / std
        own = bool(full) and bool(max(levels.std(0).max(), sizes.std(0).max()) > LEVELS)
    return Scale(tuple(map(float, mean)), tuple(map(float, std)), own, gaps)


def restore_scale(words: dict[str, Any], layout: Layout) -> Scale:
    """The scale of a run folder."""
    scale = Scale(**{**words, "mean": tuple(words["mean"]), "std": tuple(words["std"])})  # pyright: ignore
    fits = len(scale.mean) == len(scale.std) == layout.count and all(map(_finite, (*scale.mean, *scale.std)))
    fits = fits and type(scale.own) is type(scale.gaps) is bool and min(scale.std) > 0
    want(fits, "run folder scale", f"{layout.count} means and deviations", "others")
    return scale


def _finite(value: Any) -> bool:
    return type(value) is float and bool(np.isfinite(value))


@dataclass(frozen=True)
class Inputs:
    """The tokens of texts, or the scale of numbers."""

    tokens: Tokens | None
    scale: Scale | None
    longest: int  # tokens of a text

    @property
    def rows(self) -> int:
        return self.scale.rows if self.scale is not None else 0

    def encode(self, items: Sequence[Any]) -> list[np.ndarray]:
        """int64 [T] tokens of each text, or float32 [R, T]."""
        if self.tokens is not None:
            return [np.array(row[: self.longest], np.int64) for row in self.tokens.encode(list(items))]
        return [cast(Scale, self.scale).apply(x) for x in items]

    def words(self, text: str) -> list[str]:
        """The words and marks of a text, one for each of its tokens."""
        return cast(Tokens, self.tokens).cuts(text)[: self.longest]


def fit(items: Sequence[Any], layout: Layout, size: int, lower: bool, longest: int) -> Inputs:
    """The inputs of training data. size: of the vocabulary."""
    if layout.kind == "text":
        want(any(items), "text", "at least one word", "none")
        return Inputs(vocabulary.fit(items, "word", size, lower), None, longest)
    want(any(x.shape[1] for x in items), "series", "at least one value", "none")
    return Inputs(None, fit_scale([x for x in items if x.shape[1]], layout.kind), longest)


def lengths(xs: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([x.shape[-1] for x in xs], np.int64)


def collate(xs: Sequence[np.ndarray], target: np.ndarray | None = None, pad: int = 0) -> Batch:
    """A batch of encoded examples, with `pad` more steps beyond the longest."""
    long = lengths(xs)
    end = max(1, int(long.max(initial=0))) + pad
    if xs[0].ndim == 1:
        x = data.pad([row.tolist() for row in xs])
        x = torch.nn.functional.pad(x, (0, 0, 0, end - len(x)))
    else:
        table = np.zeros((len(xs), len(xs[0]), end), np.float32)
        for row, one in zip(table, xs, strict=True):
            row[:, : one.shape[1]] = one
        x = torch.from_numpy(table)
    return Batch(x, torch.from_numpy(long), None if target is None else torch.from_numpy(target))
