"""Many series on one clock: what every room of the forecaster reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CELLS = 250_000_000  # most numbers in a panel: 2 GB


@dataclass(frozen=True)
class Panel:
    """Series of any length, end to end in flat arrays of L rows; series n is rows offsets[n]:offsets[n + 1].

    The rows of a series are consecutive on its clock: a step that the data lack is a row whose y is NaN.
    """

    ids: np.ndarray  # [N] names, as the data had them
    offsets: np.ndarray  # [N + 1] int64
    y: np.ndarray  # [L] float64, NaN where nothing was observed
    times: np.ndarray  # [L] datetime64[ns], or int64
    freq: str  # pandas' alias ("h", "30min", "D", "W-SUN", "MS", "QS", "YS"), or the step of integer times ("1")
    past: np.ndarray  # [L, P] float64 covariates known up to now, NaN allowed
    known: np.ndarray  # [L, K] float64 covariates known in the future as well, NaN allowed
    static: np.ndarray  # [N, D] float64 numbers of a series
    zone: str | None = None  # whose hours and weekdays the network reads; the times themselves are in UTC then

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """[N] steps of each series, gaps included."""
        return np.diff(self.offsets)

    def series(self, n: int) -> slice:
        """The rows of series n."""
        return slice(int(self.offsets[n]), int(self.offsets[n + 1]))
