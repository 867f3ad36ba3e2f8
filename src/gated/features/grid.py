"""Times that lie about a regular grid: a sensor's minutes with some seconds of delay, thirty frames a second in ms.

t = phase + step · p + e,  |e| small against the step,  p whole
"""

from __future__ import annotations

import numpy as np

from gated.features.week import DAY

UNITS = (DAY, DAY // 24, DAY // 1440, 10**9, 10**6)  # a step is a whole number of the longest of these that fits
SMALL = 0.4  # largest |e|, in steps
ROWS = 8  # fewest rows that show a grid
DRIFT = 0.1  # most that a rounded step may be off in the whole span, in steps


def snap(times: np.ndarray, step: int, phase: int) -> np.ndarray:
    """The points of the grid beside these times."""
    since = times.astype(np.int64) - phase
    return ((since + step // 2) // step * step + phase).astype("datetime64[ns]")


def infer(times: np.ndarray, codes: np.ndarray, step: int | None = None) -> tuple[int, int] | None:
    """The step and the phase of a grid about which all times lie, in nanoseconds, or None if there is none.

    step: of the grid, if it is known. Times most of which lie on a grid already have no jitter, but odd rows: None.
    """
    inside = np.flatnonzero(codes[1:] == codes[:-1]) + 1
    t = times.astype(np.int64)
    gaps = (t[inside] - t[inside - 1]).astype(np.float64)
    if len(t) < ROWS or len(gaps) == 0:
        return None
    size = float(step or np.median(gaps))
    if step is None:
        near = gaps[np.abs(gaps - size) < size / 2]
        size = float(near.mean()) if len(near) else 0.0
        if not 1 <= size <= 1.01 * DAY:
            return None
        steps = np.zeros(len(t))
        steps[inside] = np.rint(gaps / size)
        if (steps > 2**40).any():
            return None
        p = np.cumsum(steps)
        centred = lambda a: a - (np.bincount(codes, a) / np.maximum(np.bincount(codes), 1))[codes]  # noqa: E731
        y, x = centred((t - t.min()).astype(np.float64)), centred(p)
        size = float((x @ y) / (x @ x)) if x @ x else size
        span = float(np.ptp(x)) or 1.0
        exact = next(
            (u for u in UNITS if round(size / u) > 0 and abs(round(size / u) * u - size) * span <= DRIFT * size), 1
        )
        size = float(round(size / exact) * exact)
    whole = int(size)
    turn = np.exp(2j * np.pi * (t % whole) / whole)
    middle = int(np.angle(turn.mean()) / (2 * np.pi) * whole) % whole
    grain = 10**9 if whole >= 60 * 10**9 else 1
    for phase in (0, middle // grain * grain):
        off = np.abs((t - phase + whole // 2) % whole - whole // 2)
        if off.max() <= SMALL * whole:
            _, counts = np.unique(off, return_counts=True)
            return (whole, phase) if counts.max() <= 0.8 * len(t) or step is not None else None
    return None
