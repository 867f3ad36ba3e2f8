"""Times that lie about a regular grid: a sensor's minutes with some seconds of delay, thirty frames a second in ms.

t = phase + step · p + e,  |e| small against the step,  p whole
"""

from __future__ import annotations

import numpy as np

from gated.features.week import DAY

UNITS = (DAY, DAY // 24, DAY // 1440, 10**9, 10**6)  # a step is a whole number of the longest of these that fits
SMALL, EARLY = 0.4, 0.1  # largest |e|, in steps; and the largest before a full minute, hour or day
ROWS = 8  # fewest rows that show a grid
REGULAR, ODD = 0.8, 0.15  # where so many gaps are whole steps, others that are so far off are odd rows and no jitter
DRIFT = 0.1  # most that a rounded step may be off in the whole span, in steps


def snap(times: np.ndarray, step: int, phase: int) -> np.ndarray:
    """The points of the grid beside these times."""
    since = times.astype(np.int64) - phase
    return ((since + step // 2) // step * step + phase).astype("datetime64[ns]")


def infer(times: np.ndarray, codes: np.ndarray, step: int | None = None) -> tuple[int, int] | None:
    """The step and the phase of a grid about which all times lie, in nanoseconds, or None if there is none.

    step: of the grid, if it is known; none is meant where most gaps are whole steps: the other rows are odd.
    """
    inside = np.flatnonzero(codes[1:] == codes[:-1]) + 1
    t = times.astype(np.int64)
    gaps = t[inside] - t[inside - 1]
    if len(t) < ROWS or len(gaps) == 0:
        return None
    values, counts = np.unique(gaps, return_counts=True)
    usual = max(1, int(values[np.argmax(counts)]))
    off = np.abs((gaps + usual // 2) % usual - usual // 2)
    odd = float((off == 0).mean()) > REGULAR and off.max() > ODD * usual
    step = _step(t, codes, inside, gaps) if step is None else step
    if step is None or odd:
        return None
    turn = np.exp(2j * np.pi * (t % step) / step).mean()
    middle = int(np.angle(turn) / (2 * np.pi) * step) % step
    away = lambda phase: (t - phase + step // 2) % step - step // 2  # noqa: E731
    if step % 10**9 == 0 and away(0).min() >= -EARLY * step and away(0).max() <= SMALL * step:
        return step, 0
    units = (DAY // 24, DAY // 96, DAY // 1440, 10**9) if step >= DAY // 1440 else ()
    near = [round(middle / unit) * unit for unit in (*units, 1)]
    phase = next(phase for phase in near if abs(phase - middle) <= EARLY * step) % step
    return (step, phase) if np.abs(away(phase)).max() <= SMALL * step else None


def _step(t: np.ndarray, codes: np.ndarray, inside: np.ndarray, gaps: np.ndarray) -> int | None:
    """The step by least squares, t = start + step · p in each series, rounded as far as the span allows."""
    size = float(np.median(gaps))
    near = gaps[np.abs(gaps - size) < size / 2]
    size = float(near.mean()) if len(near) else 0.0
    if not 1 <= size <= 1.01 * DAY or gaps.max() > 2**40 * size:
        return None
    p = np.zeros(len(t))
    p[inside] = np.rint(gaps / size)
    p = np.cumsum(p)
    centred = lambda a: a - (np.bincount(codes, a) / np.maximum(np.bincount(codes), 1))[codes]  # noqa: E731
    x, y = centred(p), centred((t - t.min()).astype(np.float64))
    size = float(x @ y / (x @ x)) if x @ x else size
    rates = [1e9 / round(1e9 / size)] if 0 < size < 1e9 else []  # so many a second
    rounded = [round(size / unit) * unit for unit in UNITS] + rates
    drift = np.ptp(x) or 1.0
    return max(1, round(next((r for r in rounded if r > 0 and abs(r - size) * drift <= DRIFT * size), size)))
