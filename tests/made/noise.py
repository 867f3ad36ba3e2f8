"""Noise, and arrays in pieces."""

import numpy as np


def noise(n, scale=0.1, seed=0):
    return (scale * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def cut(x, sizes):
    """The array along its last axis, in pieces of these sizes and what remains."""
    return np.split(x, np.minimum(np.cumsum(sizes), x.shape[-1]), axis=-1)
