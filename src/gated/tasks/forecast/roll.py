"""Rolling origins: the same series forecast from several points of their past."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from gated._check import want
from gated.tasks.forecast.panel import Panel


@dataclass(frozen=True)
class Cases:
    """C cases: a history each, and what came after it."""

    history: Panel  # of C series
    truth: Float[np.ndarray, "C h"]
    known: Float[np.ndarray, "C h K"]
    series: Int[np.ndarray, " C"]  # which series of the panel a case is of
    window: Int[np.ndarray, " C"]  # which origin, 0 the earliest


def cut(panel: Panel, series: Int[np.ndarray, " C"], ends: Int[np.ndarray, " C"]) -> Panel:
    """The first ends[c] rows of these series, as a panel; a series may come more than once."""
    offsets = np.r_[0, np.cumsum(ends)]
    rows = np.arange(offsets[-1]) + np.repeat(panel.offsets[:-1][series] - offsets[:-1], ends)
    return replace(
        panel, ids=panel.ids[series], offsets=offsets, y=panel.y[rows], times=panel.times[rows], past=panel.past[rows],
        known=panel.known[rows], static=panel.static[series],
    )  # fmt: skip


def roll(panel: Panel, horizon: int, windows: int = 1, step: int | None = None, min_history: int = 1) -> Cases:
    """The cases of `windows` origins, `step` apart (default: the horizon), each with `min_history` steps before it.

    The last origin is a horizon before the end of a series. Errors: no series is long enough for the earliest.
    """
    step = horizon if step is None else step
    ends = panel.lengths - horizon - step * np.arange(windows - 1, -1, -1)[:, None]  # [W, N]
    window, series = np.nonzero(ends >= max(1, min_history))
    need, longest = horizon + step * (windows - 1) + max(1, min_history), int(panel.lengths.max(initial=0))
    todo = "Shorten the horizon." if windows == 1 else "Ask for fewer windows, or for smaller steps between them."
    want(longest >= need, "backtest", f"a series of at least {need:,} steps", f"{longest:,} in the longest", todo)
    ends = ends[window, series]
    ahead = (panel.offsets[:-1][series] + ends)[:, None] + np.arange(horizon)
    return Cases(cut(panel, series, ends), panel.y[ahead], panel.known[ahead], series, window)
