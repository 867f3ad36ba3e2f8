"""Metrics of a forecast, beside those of the classical methods.

MASE   mean over series of  mean_t |y_t − ŷ_t| / s,  s = mean |y_t − y_{t−m}| over the series' own history
sMAPE  mean over series of  200 mean_t |y_t − ŷ_t| / (|y_t| + |ŷ_t|),  from 0 to 200 as in the M competitions
OWA    ½ (MASE / MASE of Naive2 + sMAPE / sMAPE of Naive2)
WQL    mean over levels q of  2 Σ ρ_q(y − ŷ_q) / Σ |y|  over all series and steps,  ρ_q(e) = max(q e, (q − 1) e)
coverage of p %: the share of y within the quantiles (1 ∓ p/100) / 2, ends included

ŷ is the median. m is the season. What was not observed is left out. A series whose s is zero (a constant history) or
cannot be had (no two values a season apart) has no MASE and is left out of its mean; `unscaled` counts them.
Hyndman & Koehler 2006; Makridakis, Spiliotis & Assimakopoulos 2020; Gasthaus et al. 2019, section 4.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from gated._check import one_of, shape, want
from gated.report import tables
from gated.tasks.forecast.baselines import BASELINES, baselines, naive2
from gated.tasks.forecast.panel import Panel

DETAIL = ("step", "series")


def scales(history: Panel, season: int) -> Float[np.ndarray, " N"]:
    """s of each series: the mean seasonal difference where both values were observed, NaN where there is none."""
    ys = [history.y[history.series(n)] for n in range(len(history))]
    return np.array([mean(np.abs(y[season:] - y[:-season]), 0) for y in ys])


def evaluate(
    truth: Float[np.ndarray, "N h"], quantiles: Float[np.ndarray, "N h Q"], levels: Sequence[float],
    scale: Float[np.ndarray, " N"], ids: np.ndarray | None = None,
) -> dict[str, Any]:  # fmt: skip
    """MASE, sMAPE, WQL and coverage of one forecast; with ids of the series, under "per" the same by step and series.

    A metric that is not defined (no scale, no truth) is None.
    """
    mask = ~np.isnan(truth)
    want(not np.isnan(quantiles[mask]).any(), "forecast", "numbers wherever the truth is known", "NaN")
    point = quantiles[..., list(levels).index(0.5)]
    error = np.abs(truth - point)
    total = np.abs(truth) + np.abs(point)
    scaled = error / np.where(scale > 0, scale, np.nan)[:, None]
    percent = 200 * np.divide(error, total, out=np.where(mask, 0.0, np.nan), where=mask & (total > 0))
    q = np.asarray(levels)
    over = truth[..., None] - quantiles
    pinball = 2 * np.maximum(q * over, (q - 1) * over).mean(-1)
    within = {
        str(p): np.where(mask, (truth >= quantiles[..., a]) & (truth <= quantiles[..., b]), np.nan)
        for p, a, b in spans(levels)
    }

    def summarise(average: Any, sums: Any) -> dict[str, Any]:
        return {
            "mase": average(scaled), "smape": average(percent), "wql": _ratio(sums(pinball), sums(np.abs(truth))),
            "coverage": {p: average(inside) for p, inside in within.items()},
        }  # fmt: skip

    by_series = lambda a: mean(mean(a, 1), 0)  # noqa: E731  every series counts the same, however many steps it has
    out = plain(summarise(by_series, np.nansum)) | {"unscaled": int((mask.any(1) & ~(scale > 0)).sum())}
    if ids is not None:
        axes = enumerate(DETAIL)
        out["per"] = {name: plain(summarise(partial(mean, axis=k), partial(np.nansum, axis=k))) for k, name in axes}
        out["per"]["series"]["id"] = ids.tolist()
    return out


def spans(levels: Sequence[float]) -> list[tuple[int, int, int]]:
    """(percent, index of the lower level, index of the upper) of the central intervals, widest first."""
    pairs = [(k, i) for k, q in enumerate(levels) for i, r in enumerate(levels) if q < 0.5 and math.isclose(q + r, 1)]
    return sorted(((round(100 * (1 - 2 * levels[k])), k, i) for k, i in pairs), reverse=True)


def mean(a: np.ndarray, axis: int) -> Any:
    """The mean of the numbers, NaN where there are none."""
    return _ratio(np.nansum(a, axis), (~np.isnan(a)).sum(axis))


def _ratio(a: Any, b: Any) -> Any:
    return np.divide(a, b, out=np.full(np.shape(b), np.nan), where=b > 0)


def plain(value: Any) -> Any:
    """Numbers as JSON has them: lists and floats, None for what is not a number."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if np.ndim(value):
        return [plain(v) for v in value]
    return float(value) if np.isfinite(value) else None


def score(
    history: Panel, truth: Float[np.ndarray, "N h"], quantiles: Float[np.ndarray, "N h Q"], levels: Sequence[float],
    season: int, *, name: str = "LSTM", beside: Sequence[str] = BASELINES,
) -> dict[str, Any]:  # fmt: skip
    """The metrics of a forecast, of the classical methods on the same history, and the name of the best.

    {"model": name, "mase", "smape", "owa", "wql", "coverage": {"80": …}, "unscaled", "per": {"step", "series"},
    "series", "forecasts", "season", "best",
    "baselines": {method: the same, "seconds", "failed", "beaten": share of series on which `name` has the lower MASE},
    "seconds"}. best is by MASE, or by WQL where no series has a scale; equal methods count for the classical one.

    truth: NaN where nothing was observed. beside: see `baselines`.
    """
    start = time.perf_counter()
    n, h = truth.shape
    shape("score: quantiles", quantiles, n, h, len(levels))
    want(len(history) == n, "score", f"a history of each of the {n} series", len(history))
    want(0.5 in levels, "score", "0.5 among the levels", list(levels))
    mask = ~np.isnan(truth)
    known = np.array([not np.isnan(history.y[history.series(k)]).all() for k in range(n)])
    truth = np.where(known[:, None], truth, np.nan)  # nothing can be forecast from nothing
    want(bool(mask.any()), "score", "some truth to compare with", "none in any series")
    want(bool(np.isfinite(truth).any()), "score", "a series with both history and truth", "none")
    scale = scales(history, season)
    yard = evaluate(truth, naive2(history, h, season)[..., None], [0.5], scale)
    others = baselines(history, h, season, levels, beside)
    forecasts = {name: quantiles} | {method: forecast.quantiles for method, forecast in others.items()}
    rows = {method: evaluate(truth, q, levels, scale, history.ids) for method, q in forecasts.items()}
    for row in rows.values():
        row["owa"] = _owa(row, yard)
    for method, forecast in others.items():
        beaten = _share_beaten(rows[name], rows[method])
        rows[method] |= {"seconds": forecast.seconds, "failed": forecast.failed, "beaten": beaten}
    scored = np.isfinite(truth).any(1)
    measure = "mase" if rows[name]["mase"] is not None else "wql"
    order = sorted([*others, name], key=lambda k: _or_inf(rows[k][measure]))
    return {
        "model": name, **rows[name], "series": len(set(history.ids[scored])),
        "forecasts": int(scored.sum()), "season": season,
        "unobserved": int((~mask).sum()), "baselines": {method: rows[method] for method in others}, "best": order[0],
        "seconds": time.perf_counter() - start,
    }  # fmt: skip


def by_method(result: Mapping[str, Any]) -> dict[str, Any]:
    """Each method's metrics, the model's last."""
    return {**result["baselines"], result["model"]: result}


def check_detail(per: Sequence[str]) -> None:
    """Refuse, before the work, detail that there is not."""
    for name in per:
        one_of("per", name, DETAIL)


def prune(result: dict[str, Any], per: Sequence[str]) -> dict[str, Any]:
    """The result with no detail but this."""
    for metrics in by_method(result).values():
        detail = metrics.pop("per")
        if per:
            metrics["per"] = {name: detail[name] for name in per}
    return result


def _owa(row: dict[str, Any], yard: dict[str, Any]) -> float | None:
    if not yard["mase"] or not yard["smape"] or row["mase"] is None:
        return None
    return 0.5 * (row["mase"] / yard["mase"] + row["smape"] / yard["smape"])


def _share_beaten(ours: dict[str, Any], theirs: dict[str, Any]) -> float | None:
    pairs = zip(ours["per"]["series"]["mase"], theirs["per"]["series"]["mase"], strict=True)
    wins = [a < b for a, b in pairs if a is not None]
    return sum(wins) / len(wins) if wins else None


def verdict(result: Mapping[str, Any]) -> str:
    """Who won, in a sentence that is as plain when a classical method did."""
    name, best = result["model"], result["best"]
    measure = "mase" if result["mase"] is not None else "wql"
    word = measure.upper()
    ours = tables.number(result[measure], 3)
    if not result["baselines"]:
        return f"{name}: {word} {ours}."
    rival = min(result["baselines"], key=lambda k: _or_inf(result["baselines"][k][measure]))
    lowest = result["baselines"][rival][measure]
    theirs = tables.number(lowest, 3)
    if ours == theirs:
        return f"{name} and {rival}: {theirs} {word}, a tie."
    if best == name:
        better = f", {100 * (1 - result[measure] / lowest):.0f} % better" if lowest else ""
        share = result["baselines"][rival]["beaten"]
        several = "" if result["forecasts"] < 2 else f" of {count_text(result)}"
        wins = f", closer on {100 * share:.0f} %{several}" if several and share is not None else ""
        return f"{name} {ours}, {rival} {theirs} {word}: {name} wins{better}{wins}."
    return f"{name} {ours}, {best} {theirs} {word}: {best} wins on this data."


def count_text(result: Mapping[str, Any]) -> str:
    """What was scored: "414 series", or "12 forecasts of 3 series" where there were several origins."""
    series, forecasts = result["series"], result["forecasts"]
    return f"{series:,} series" if series == forecasts else f"{forecasts:,} forecasts of {series:,} series"


def _or_inf(value: float | None) -> float:
    """A key that sorts None behind all numbers."""
    return math.inf if value is None else value


def cells(result: Mapping[str, Any]) -> tuple[list[str], dict[str, list[str]]]:
    """The heads of a table of metrics, and each method's cells, the best first."""
    span = "80" if "80" in result["coverage"] else next(iter(result["coverage"]), None)
    digits, methods, rows = {"mase": 3, "smape": 2, "owa": 3, "wql": 3}, by_method(result), {}
    for method in sorted(
        methods, key=lambda k: (k != result["best"], *(_or_inf(methods[k][m]) for m in ("mase", "wql")))
    ):
        r = methods[method]
        rows[method] = [tables.number(r[metric], count) for metric, count in digits.items()]
        if span is not None:
            share = r["coverage"][span]
            rows[method].append("–" if share is None else f"{100 * share:.0f} %")
    return ["MASE", "sMAPE", "OWA", "WQL", *([] if span is None else [f"in {span} %"])], rows


def notes(result: Mapping[str, Any]) -> list[str]:
    """What the metrics leave out, in sentences."""
    lines = []
    if result["unscaled"]:
        series = f"{result['unscaled']} series with a constant or too short history"
        lines.append(f"{series} have no MASE and are left out of it.")
    failed = {method: r["failed"] for method, r in result["baselines"].items() if r["failed"]}
    return lines + [f"{k} failed on {n} series; SeasonalNaive stands in for it there." for k, n in failed.items()]


def table(result: Mapping[str, Any]) -> str:
    """The result as text for people, best first, with the verdict beneath."""
    heads, rows = cells(result)
    grid = tables.grid("", *heads, "seconds", tight=False)
    for method, row in rows.items():
        seconds = None if method == result["model"] else result["baselines"][method]["seconds"]
        grid.add_row(method + " ◂ best" * (method == result["best"]), *row, tables.number(seconds, 1))
    head = f"{count_text(result)}, season {result['season']}"
    return head + "\n" + tables.draw(grid) + "\n".join([verdict(result), *notes(result)])
