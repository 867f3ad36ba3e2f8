"""A panel as flat tensors, and windows of it: what a network is given at an origin, and what came after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gated.features import calendar as clocks
from gated.io.zones import to_local
from gated.tasks.forecast import features
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.recipe import Recipe

NEAREST = 0.01  # minimum spread of a window, on the smooth scale
WIDEST = 10.0  # inputs are cut to [-WIDEST, WIDEST]


@dataclass(frozen=True)
class Batch:
    """B windows. z = (x - centre) / spread, with x the values on their smooth scale; `y` and `scale` are in units."""

    x: Float[Tensor, "B S m"]  # z of the history, folded into seasons, 0 where nothing was observed
    mask: Float[Tensor, "B S m"]  # 1 where a value was observed
    past: Float[Tensor, "B S m P"]  # covariates up to the origin, past and known ones, NaN where there are none
    step: Float[Tensor, "B h F"]  # of each step ahead
    known: Float[Tensor, "B h E K"]  # covariates of each step ahead, and of the steps one season and a long one before
    whole: Float[Tensor, "B G"]  # of the window as a whole
    static: Float[Tensor, "B D"]
    bases: Float[Tensor, "B h 3"]  # on the smooth scale: the value of the same phase, theta, and drift
    centre: Float[Tensor, "B 1"]
    spread: Float[Tensor, "B 1"]
    flat: Float[Tensor, "B h"]  # on the smooth scale: the level since the largest change of late, see `Windows.level`
    error: Float[Tensor, "B 1"]  # size of past errors, on the smooth scale
    novelty: Float[Tensor, "B 1"]  # of these errors, see `features.Smooth`
    log: Bool[Tensor, "B 1"]  # the smooth scale is logarithmic
    unit: Float[Tensor, "B 1"]  # a forecast in units, times this, plus origin, is one in the data's own
    origin: Float[Tensor, "B 1"]
    y: Float[Tensor, "B h"]  # the truth, NaN where there is none
    scale: Float[Tensor, "B 1"]  # error of seasonal naive in the series


class Windows:
    """The windows of a panel, cut by indexing alone; the features of every origin are computed once.

    future: [N, h, K] known covariates of the steps after the panel.
    """

    def __init__(self, panel: Panel, recipe: Recipe, future: Float[np.ndarray, "N h K"] | None = None) -> None:
        self.recipe = recipe
        h, m, long, S = recipe.horizon, recipe.season, recipe.long, recipe.context
        lengths = panel.lengths
        N, pad = len(panel), S * m + 2 * m
        start = panel.offsets[:-1] + pad * np.arange(1, N + 1) + h * np.arange(N)
        rows = np.arange(len(panel.y)) + np.repeat(start - panel.offsets[:-1], lengths)
        total = len(panel.y) + N * (pad + h)
        flat = lambda *more, value=0.0: np.full((total, *more), value, np.float32)  # noqa: E731
        fill, seasonal, mask, state = flat(), flat(), flat(), np.zeros((len(panel.y), sum(features.PARTS)), np.float32)
        novelty = np.zeros(len(panel.y), np.float32)
        mask[rows] = ~np.isnan(panel.y)
        units, origins, logs, scales, first = np.ones(N), np.zeros(N), np.zeros(N, bool), np.ones(N), np.zeros(N)
        size = np.frexp(lengths)[1]
        for g in np.unique(size[lengths > 0]):  # series of like length together, so that padding is less than half
            n = np.flatnonzero(size == g)
            t = np.arange(lengths[n].max())
            inside = t < lengths[n][:, None]
            row, place = ((begin[n][:, None] + t)[inside] for begin in (panel.offsets[:-1], start))
            Y = np.full(inside.shape, np.nan)
            Y[inside] = panel.y[row]
            X, units[n], origins[n], logs[n] = features.scale(Y, m, recipe.additive)
            scales[n] = _naive(Y, m, units[n], logs[n])
            smoothed = features.smooth(X, m)
            start_at = (~np.isnan(X)).argmax(1)
            first[n] = np.nan_to_num(X[np.arange(len(n)), start_at])
            before = t[:, None] < start_at
            fill[place] = np.where(before, first[n], smoothed.fill).T[inside]
            seasonal[place] = smoothed.seasonal.T[inside]
            state[row] = smoothed.state.transpose(1, 0, 2)[inside]
            novelty[row] = smoothed.novelty(max(3 * m, 10), h).T[inside]
        fill[(start[:, None] - np.arange(1, pad + 1)).reshape(-1)] = np.repeat(first, pad)
        y = np.full(total, np.nan)
        y[rows] = panel.y
        K, P = panel.known.shape[1], panel.past.shape[1]
        covariates = flat(P + K, value=np.nan)
        covariates[rows] = np.concatenate([panel.past, panel.known], 1)
        ahead = (start + lengths)[:, None] + np.arange(h)
        if future is not None and K:
            covariates[ahead, P:] = future
        days = clocks.encode(to_local(panel.times, panel.zone), panel.freq)
        calendar = flat(days.shape[1])
        if days.shape[1]:
            calendar[rows] = days
            last = panel.times[np.maximum(panel.offsets[1:] - 1, 0)]
            coming = clocks.ahead(last, panel.freq, h).reshape(-1)
            calendar[ahead.reshape(-1)] = clocks.encode(to_local(coming, panel.zone), panel.freq)

        tensor = torch.from_numpy
        self.fill, self.seasonal, self.mask, self.state = tensor(fill), tensor(seasonal), tensor(mask), tensor(state)
        self.novelty = tensor(novelty)
        self.y, self.covariates, self.calendar = tensor(y), tensor(covariates), tensor(calendar)
        self.static = tensor(panel.static.astype(np.float32))
        self.start, self.lengths = tensor(start), tensor(lengths.astype(np.int64))
        self.rows = tensor(panel.offsets[:-1].astype(np.int64))
        self.unit, self.origin, self.log, self.scale = tensor(units), tensor(origins), tensor(logs), tensor(scales)
        self.kinds = P
        k = torch.arange(1, h + 1)
        back = lambda s, late=0: k - s * ((k + late + s - 1) // s)  # noqa: E731, the last such phase known by then
        self.ahead, self.same, self.index = k, back(m), back(m, m // 2)
        self.longs = [back(long) - long * i for i in range(2)] if long else []

    def batch(self, n: int, held: int = 0) -> Batch:
        """Batch number n, a pure function of the recipe's seed and n: series and then origins drawn uniformly.

        The first origin has a season and a value before it; the last has a horizon ahead, where there is room, and no
        target in the last `held` steps of a series.
        """
        lengths = self.lengths
        first = (lengths - 1).clamp(1, max(self.recipe.season + 1, 3))
        last = lengths - self.recipe.horizon - held
        room = last >= first
        if not held or not room.any():
            last, room = torch.maximum(last, first), lengths >= 2
        usable = torch.nonzero(room)[:, 0]
        draw = torch.Generator().manual_seed((self.recipe.seed * 0x9E3779B97F4A7C15 + n * 0xD1342543DE82EF95) % 2**63)
        r = torch.rand(2, self.recipe.batch, generator=draw, dtype=torch.float64)
        series = usable[(r[0] * len(usable)).long()]
        ends = first[series] + (r[1] * (last[series] - first[series] + 1)).long()
        return self.at(series, ends, lengths[series] - held)

    def last(self, held: int = 0) -> tuple[Int[Tensor, " C"], Int[Tensor, " C"]]:
        """The origins in the last `held` steps, a horizon apart: series, and the number of steps before each origin.

        Only of series with anything before these steps. With held = 0 the one origin of a series is its end.
        """
        series = torch.nonzero(self.lengths - held >= (max(self.recipe.season + 1, 3) if held else 1))[:, 0]
        back = torch.arange(held, 0, -self.recipe.horizon) if held else torch.zeros(1, dtype=torch.int64)
        return series.repeat_interleave(len(back)), (self.lengths[series][:, None] - back).reshape(-1)

    def find_largest_novelty(self, held: int) -> float:
        """The largest of the origins whose horizons end before the last `held` steps."""
        series = torch.repeat_interleave(torch.arange(len(self.lengths)), self.lengths)
        past = torch.arange(len(self.novelty)) - self.rows[series] + 1
        trained = past <= self.lengths[series] - self.recipe.horizon - held
        return float(torch.where(trained, self.novelty, 0.0).max())

    def level(self, row: Int[Tensor, "B 1"], before: Float[Tensor, "B 16"]) -> Float[Tensor, "B h"]:
        """The forecast of a level that changed within the last horizon, with the season as it was before that.

        v is the last 2 h values less the seasonal index of whole seasons before, at least h steps; the change is where
        least squares split v into two means (Page 1955), and the level is the mean after it. before: the state of h
        steps ago.
        """
        h, m = self.recipe.horizon, self.recipe.season
        back, trust = m * -(-h // m), before.split(features.PARTS, 1)[4] * (m > 1)
        past = (row + torch.arange(1 - 2 * h, 1)).clamp(min=back)
        v = self.fill[past] - trust * self.seasonal[past - back]
        mean, left = v.mean(1, keepdim=True), torch.arange(2 * h - 1, 0, -1)  # values after each split
        sums = (v - mean).cumsum(1)[:, :-1]
        split = (sums.square() / (left * (2 * h - left)))[:, h - 1 :].argmax(1, keepdim=True) + h - 1
        return mean - sums.gather(1, split) / left[split] + trust * self.seasonal[row + self.index - back]

    def at(self, series: Int[Tensor, " B"], ends: Int[Tensor, " B"], until: Int[Tensor, " B"] | None = None) -> Batch:
        """The windows of these series, `ends` steps before each origin; the truth only of steps before `until`."""
        recipe, k = self.recipe, self.ahead
        m, S, K, h = recipe.season, recipe.context, recipe.lags, recipe.horizon
        last = self.start[series] + ends - 1
        row = last[:, None]
        idx = row + torch.arange(1 - S * m, 1)
        x, ok = self.fill[idx], self.mask[idx]
        state = self.state[self.rows[series] + ends - 1]
        level, error, best, drift, trust, naive = state.split(features.PARTS, 1)
        centre, level, best_level = level[:, :1], level[:, 1:], best[:, :1]
        spread = ((x - centre).abs() * ok).sum(1, keepdim=True) / ok.sum(1, keepdim=True).clamp(min=1) + NEAREST
        z = lambda a: ((a - centre) / spread).clamp(-WIDEST, WIDEST)  # noqa: E731
        parts = lambda a: (a / spread).clamp(-WIDEST, WIDEST)  # noqa: E731

        lags = [self.fill[row + self.same - m * i] for i in range(K)]
        longs = [self.fill[row + shift] for shift in self.longs]
        index = trust * self.seasonal[row + self.index] if m > 1 else torch.zeros(len(series), h)
        slope, recent = drift[:, :1] * k, drift[:, 1:] * k
        theta = best_level + slope / 2 + index
        angle = (2 * torch.pi * k / m if m > 1 else 0.0 * k).expand(len(series), -1)
        step = [*map(z, [*lags, *longs, theta, best_level + recent / 2 + index]), (k / h).expand(len(series), -1),
                parts(index), parts(slope), angle.sin(), angle.cos()]  # fmt: skip
        growth = [
            torch.where(ends[:, None] >= m + q, parts((x[:, -q:] - x[:, -m - q : -m]).mean(1, keepdim=True)), 0.0)
            for q in sorted({max(m // 4, 1), m})
            if S * m >= m + q
        ]
        logs = lambda a: (a / spread + 0.01).log()  # noqa: E731
        known_seasons = (ends[:, None] / m).clamp(max=3).log1p()  # capped: more would tell the date
        whole = [z(self.fill[row]), spread.log(), z(level), z(best_level), logs(error), logs(best[:, 1:2]), logs(naive),
                 parts(drift * m), best[:, 2:], trust, *growth, known_seasons, self.log[series][:, None]]  # fmt: skip
        ahead = row + k
        y = self.y[ahead]
        if until is not None:
            y = torch.where(ends[:, None] + k <= until[:, None], y, torch.nan)
        unit, origin = self.unit[series][:, None], self.origin[series][:, None]
        where = [ahead, row + self.same, *[row + shift for shift in self.longs[:1]]]
        return Batch(
            x=(z(x) * ok).view(-1, S, m), mask=ok.view(-1, S, m),
            past=self.covariates[idx].view(len(series), S, m, -1),
            step=torch.cat([torch.stack(step, -1), self.calendar[ahead]], -1),
            known=torch.stack([self.covariates[w][..., self.kinds :] for w in where], 2),
            whole=torch.cat(whole, 1).float(), static=self.static[series],
            bases=torch.stack([lags[0], theta, theta + slope / 2], -1), centre=centre, spread=spread,
            flat=self.level(row, self.state[self.rows[series] + (ends - 1 - h).clamp(min=0)]),
            error=torch.maximum(naive, best[:, 1:2]).clamp(min=features.SMALLEST),
            novelty=self.novelty[self.rows[series] + ends - 1][:, None], log=self.log[series][:, None],
            unit=unit.float(), origin=origin.float(), y=((y - origin) / unit).float(),
            scale=self.scale[series][:, None].float(),
        )  # fmt: skip


def _naive(Y: Float[np.ndarray, "N T"], m: int, unit: np.ndarray, log: np.ndarray) -> Float[np.ndarray, " N"]:
    """Mean change over a season in units, or the mean distance from the mean where there is no such pair; never ~0."""
    centre = np.nansum(Y, 1) / np.maximum((~np.isnan(Y)).sum(1), 1)
    change, apart = np.abs(Y[:, m:] - Y[:, :-m]), np.abs(Y - centre[:, None])
    mean = lambda a: np.nansum(a, 1) / np.maximum((~np.isnan(a)).sum(1), 1)  # noqa: E731
    values = np.where((~np.isnan(change)).any(1), mean(change), mean(apart)) / unit
    return np.maximum(values, 1e-3 * np.where(log, np.abs(centre) / unit, 1.0))
