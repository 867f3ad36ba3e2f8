"""Rolling origins: the same series forecast from several points of their past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from gated._check import refuse, want
from gated.tasks.forecast.panel import Panel


@dataclass(frozen=True)
class Rolled:
    """C cases: a history each, and what came after it."""

    history: Panel  # of C series
    truth: Float[np.ndarray, "C h"]
    known: Float[np.ndarray, "C h K"]
    series: Int[np.ndarray, " C"]  # which series of the panel a case is of
    window: Int[np.ndarray, " C"]  # which origin, 0 the earliest


def origins(lengths: Int[np.ndarray, " N"], horizon: int, windows: int, step: int) -> Int[np.ndarray, "W N"]:
    """Steps of history before each origin, the last a horizon before the end; below 1 where a series is too short."""
    for name, value in (("horizon", horizon), ("windows", windows), ("step", step)):
        want(value >= 1, name, "at least 1", value)
    return lengths - horizon - step * np.arange(windows - 1, -1, -1)[:, None]


def cut(panel: Panel, series: Int[np.ndarray, " C"], ends: Int[np.ndarray, " C"]) -> Panel:
    """The first ends[c] rows of these series, as a panel; a series may come more than once."""
    offsets = np.r_[0, np.cumsum(ends)]
    rows = np.arange(offsets[-1]) + np.repeat(panel.offsets[:-1][series] - offsets[:-1], ends)
    return replace(
        panel, ids=panel.ids[series], offsets=offsets, y=panel.y[rows], times=panel.times[rows], past=panel.past[rows],
        known=panel.known[rows], static=panel.static[series],
    )  # fmt: skip


def roll(panel: Panel, horizon: int, windows: int = 1, step: int | None = None, least: int = 1) -> Rolled:
    """The cases of `windows` origins, `step` apart (default: the horizon), each with at least `least` steps before it.

    Errors: no series is long enough for one.
    """
    ends = origins(panel.lengths, horizon, windows, step or horizon)
    window, series = np.nonzero(ends >= max(1, least))
    if len(window) == 0:
        need = horizon + max(1, least)
        refuse(
            "backtest",
            f"a series of at least {need:,} steps",
            f"{int(panel.lengths.max()):,} in the longest",
            "Shorten the horizon.",
        )
    ends = ends[window, series]
    ahead = (panel.offsets[:-1][series] + ends)[:, None] + np.arange(horizon)
    return Rolled(cut(panel, series, ends), panel.y[ahead], panel.known[ahead], series, window)


def by_window(rolled: Rolled, values: Sequence[float | None]) -> list[float]:
    """The mean of a number a case, for each origin."""
    flat = np.array([np.nan if v is None else v for v in values])
    return [float(np.nanmean(flat[rolled.window == w])) for w in range(int(rolled.window.max()) + 1)]
