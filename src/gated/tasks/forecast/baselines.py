"""The classical methods that every score stands beside: SeasonalNaive, AutoETS, Theta and Naive2.

SeasonalNaive and Naive2 are a few lines of NumPy. The others are statsforecast's, a series at a time; the import of its
compiled parts takes a second or two, an AutoETS of 700 hours with season 24 about 0.4 s, of ten years of months 0.05 s.
They cannot take missing values: a gap is filled with the value one season before it, and linearly where there is none.
They see at most the last `HISTORY` steps, or ten seasons where that is more.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from gated._check import optional, want
from gated.tasks.forecast.panel import Panel

BASELINES = ("SeasonalNaive", "AutoETS", "Theta")
HISTORY = 1000
APART = 40_000  # steps of history in all series together from which another process pays for its start


@dataclass(frozen=True)
class Forecast:
    """A method's quantiles [N, h, Q], the seconds it took, and the number of series on which it failed."""

    quantiles: np.ndarray
    seconds: float
    failed: int = 0  # these have SeasonalNaive's forecast instead


def baselines(
    panel: Panel, horizon: int, season: int, levels: Sequence[float], names: Sequence[str] = BASELINES
) -> dict[str, Forecast]:
    """Each method's forecast of the steps after the panel.

    names: SeasonalNaive, or any of statsforecast.models that takes `season_length` and gives intervals.
    """
    out = {}
    filled = [fill(panel.y[panel.series(n)], season) for n in range(len(panel))]
    start = time.perf_counter()
    naive = seasonal_naive(panel, filled, horizon, season, levels)
    seconds = time.perf_counter() - start
    for name in names:
        if name == "SeasonalNaive":
            out[name] = Forecast(naive, seconds)
            continue
        models = optional("statsforecast.models", "forecast")
        want(hasattr(models, name), "baselines", "SeasonalNaive or a model of statsforecast", repr(name))
        start = time.perf_counter()
        q = _classical(name, [y[-max(HISTORY, 10 * season) :] for y in filled], horizon, season, levels)
        failed = ~np.isfinite(q).all((1, 2))
        q[failed] = naive[failed]
        out[name] = Forecast(q, time.perf_counter() - start, int(failed.sum()))
    return out


def fill(y: np.ndarray, season: int) -> np.ndarray:
    """The series from its first value on, each gap filled with the value of the same phase before it.

    Where no season before has one, linearly between its neighbours. An empty series stays empty.
    """
    known = np.flatnonzero(~np.isnan(y))
    if len(known) in (0, len(y)):
        return y[:0] if len(known) == 0 else y
    y = y[known[0] :]
    folded = np.pad(y, (0, -len(y) % season), constant_values=np.nan).reshape(-1, season)
    y = optional("pandas", "forecast").DataFrame(folded).ffill().to_numpy(copy=True).ravel()[: len(y)]
    gap = np.isnan(y)
    y[gap] = np.interp(np.flatnonzero(gap), np.flatnonzero(~gap), y[~gap])
    return y


def seasonal_naive(
    panel: Panel, filled: list[np.ndarray], horizon: int, season: int, levels: Sequence[float]
) -> np.ndarray:
    """ŷ(n+k) = y(n+k−m⌈k/m⌉), spread σ √⌈k/m⌉ with σ² the mean square of the seasonal differences: [N, h, Q].

    A series shorter than a season repeats its last value; one without any value is NaN. Hyndman & Athanasopoulos,
    Forecasting: Principles and Practice, sections 5.2 and 5.5.
    """
    point, spread = np.full((len(panel), horizon), np.nan), np.zeros(len(panel))
    ahead = np.arange(horizon)
    for n, y in enumerate(filled):
        m = season if len(y) >= season else 1
        if len(y):
            point[n] = y[len(y) - m + ahead % m]
        raw = panel.y[panel.series(n)]
        differences = raw[m:] - raw[:-m]
        differences = differences[~np.isnan(differences)]
        spread[n] = np.sqrt(np.mean(differences**2)) if len(differences) else 0.0
    z = np.array([NormalDist().inv_cdf(q) for q in levels])
    return point[..., None] + spread[:, None, None] * np.sqrt(ahead // season + 1)[:, None] * z


def naive2(panel: Panel, horizon: int, season: int) -> np.ndarray:
    """M4's yardstick: the last value, deseasonalised where the series is seasonal at 90 %, [N, h].

    Seasonal: n ≥ 3m and |r_m| > 1.645 √((1 + 2 Σ_{k<m} r_k²) / n), with r the autocorrelations. The season is that of
    the classical multiplicative decomposition, for which all values must be positive; otherwise the last value is
    repeated as it is. Makridakis, Spiliotis & Assimakopoulos 2020, The M4 Competition, section 2.
    """
    out = np.full((len(panel), horizon), np.nan)
    for n in range(len(panel)):
        y = fill(panel.y[panel.series(n)], season)
        if len(y):
            index = seasonal_index(y, season) if y.min() > 0 and _seasonal(y, season) else np.ones(season)
            out[n] = y[-1] / index[(len(y) - 1) % season] * index[(len(y) + np.arange(horizon)) % season]
    return out


def _seasonal(y: np.ndarray, m: int) -> bool:
    if m == 1 or len(y) < 3 * m:
        return False
    x = y - y.mean()
    r = np.array([x[k:] @ x[: len(x) - k] for k in range(m + 1)])
    if r[0] == 0:
        return False
    r = r[1:] / r[0]
    return bool(abs(r[-1]) > 1.645 * math.sqrt((1 + 2 * (r[:-1] ** 2).sum()) / len(y)))


def seasonal_index(y: np.ndarray, m: int) -> np.ndarray:
    """[m] how many times the trend each phase is, of mean 1; the trend is the centred moving average over a season."""
    weights = np.ones(m) / m if m % 2 else np.r_[0.5, np.ones(m - 1), 0.5] / m
    trend = np.convolve(y, weights, "valid")
    skip = len(weights) // 2
    phase = (np.arange(len(trend)) + skip) % m
    index = np.bincount(phase, y[skip : skip + len(trend)] / trend, m) / np.bincount(phase, minlength=m)
    return index / index.mean()


def _classical(name: str, ys: list[np.ndarray], h: int, season: int, levels: Sequence[float]) -> np.ndarray:
    """[N, h, Q] a model of statsforecast on each series, NaN where it failed; in several processes where that pays."""
    total = sum(map(len, ys)) // (10 if name.endswith("Theta") else 1)  # ten times as fast as the others
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = max(1, min(cores, 8, len(ys), total // APART + 1))
    if jobs == 1:
        return _model(name, ys, h, season, levels)
    # Processes of our own: a fork beside torch's threads may hang, a spawned pool would run the caller's script anew.
    code = "from gated.tasks.forecast import baselines; baselines.work()"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    options: Any = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)
    processes = [subprocess.Popen([sys.executable, "-c", code], **options) for _ in range(jobs)]
    shares = [json.dumps([name, [y.tolist() for y in ys[k::jobs]], h, season, list(levels)]) for k in range(jobs)]
    out = np.full((len(ys), h, len(levels)), np.nan)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            answers = pool.map(subprocess.Popen.communicate, processes, shares)
            for k, (process, (answer, _)) in enumerate(zip(processes, answers, strict=True)):
                if process.returncode == 0:  # otherwise its share counts as failed
                    out[k::jobs] = json.loads(answer)
        finally:
            for process in processes:
                process.kill()
    return out


def work() -> None:
    """One process's share: the series come on standard input, their quantiles leave on standard output."""
    name, ys, *rest = json.load(sys.stdin)
    json.dump(_model(name, list(map(np.array, ys)), *rest).tolist(), sys.stdout)


def _model(name: str, ys: list[np.ndarray], h: int, season: int, levels: Sequence[float]) -> np.ndarray:
    make = getattr(optional("statsforecast.models", "forecast"), name)
    out = np.full((len(ys), h, len(levels)), np.nan)
    spans = [round(100 * abs(1 - 2 * q), 6) for q in levels]  # the central interval that a level is an edge of
    percents = sorted({s for s in spans if s > 0})
    for n, y in enumerate(ys):
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of few residuals, and the like
                result = make(season_length=season).forecast(y=y.copy(), h=h, level=percents or None)
        except Exception:  # whatever a method trips over on a series is its failure, which the score reports
            continue
        for k, (q, span) in enumerate(zip(levels, spans, strict=True)):
            edge = "mean" if span == 0 else f"{'lo' if q < 0.5 else 'hi'}-{span}"
            out[n, :, k] = result[edge]
    return out
