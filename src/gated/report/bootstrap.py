"""Paired bootstrap: what a corpus score would be on other test sets like this one (Koehn 2004; Bisani & Ney 2004)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["SURE", "better", "close", "resample"]

SURE = 0.975  # the share of resampled test sets on which a winner wins


def resample(counts: Float[np.ndarray, "N C"], trials: int, seed: int) -> Float[np.ndarray, "trials C"]:
    """Σ of the counts of N examples drawn with replacement, `trials` times; a seed draws the same for every system."""
    n, rng = len(counts), np.random.default_rng(seed)
    rows, out = max(1, 4_000_000 // n), np.zeros((trials, counts.shape[1]))
    for first in range(0, trials, rows):
        k = min(rows, trials - first)
        indices = rng.integers(n, size=(k, n)) + n * np.arange(k)[:, None]
        out[first : first + k] = np.bincount(indices.ravel(), minlength=k * n).reshape(k, n) @ counts
    return out


def better(ours: Float[np.ndarray, " trials"], theirs: Float[np.ndarray, " trials"], lower: bool) -> float | None:
    """The share of resampled test sets on which ours is the better score, None without trials; a tie is theirs."""
    return float(((ours < theirs) if lower else (ours > theirs)).mean()) if len(ours) else None


def close(share: float | None) -> bool:
    """Whether such a share leaves open who is better."""
    return share is not None and 1 - SURE < share < SURE
