"""What the network reads of a series: its values on a smooth scale, its levels, drift and seasonal index.

Everything is causal but two constants of a series, its unit and whether it is read on a log scale: the features at a
time are functions of the values up to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

ALPHAS = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 0.99])  # rates of exponential smoothing
CENTRE = 3  # which of them gives the centre of a window
SHOWN = (1, 4, 7, 9)  # and which the network sees
SHARPNESS = 8  # power of the errors by which rates are weighed
GAMMA = 0.2  # slowest rate of the seasonal index
SMALLEST = 1e-3  # size of errors
SMALL = 0.01  # in the log of values, so that zeros have one
STEADY = 0.02  # values that vary less than this about their mean need no log
ADDITIVE = 0.5  # nor do those whose deviations within seasons vary less than this share of what they do over the level


# ---- a smooth scale


def scale(
    Y: Float[np.ndarray, "N T"], m: int, plain: bool = True
) -> tuple[Float[np.ndarray, "N T"], Float[np.ndarray, " N"], Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Series on their smooth scales, and the unit, the origin, and whether it is a log, of each.

        x = log(max(y, 0) / unit + SMALL)  where log, else  (y - origin) / unit

    Unit and origin follow from the first max(2 m, 8) observations.
    Log for series without negative values and with at most one zero in twenty that move by more than `STEADY` of their
    mean, unless they are `additive` and such are to be `plain`. The unit is the mean of those first values, or, without
    log, their mean distance from their mean.
    """
    observed = ~np.isnan(Y)
    count = observed.sum(1)
    head = observed & (np.cumsum(observed, 1) <= max(2 * m, 8))
    mean = lambda a, where: np.where(where, a, 0.0).sum(1) / np.maximum(where.sum(1), 1)  # noqa: E731
    zero_filled = np.where(observed, Y, 0.0)
    first, overall = mean(zero_filled, head), mean(zero_filled, observed)
    moves = mean(np.abs(zero_filled - overall[:, None]), observed) > STEADY * np.abs(overall)
    log = (zero_filled >= 0).all(1) & ((observed & (Y == 0)).sum(1) <= 0.05 * count) & moves & (first > 0)
    if plain:
        log &= ~additive(Y, m)
    distance = np.where(observed, np.abs(zero_filled - first[:, None]), 0.0)
    spread = mean(distance, head)
    size = np.abs(first)
    differs = distance > 1e-9 * size[:, None]  # after a flat start the first value that differs gives the unit
    later = np.take_along_axis(distance, differs.argmax(1)[:, None], 1)[:, 0]
    later = np.where(differs.any(1), later, np.where(size == 0, 1.0, size))
    spread = np.where(spread > 1e-9 * size, spread, later)
    unit, origin = np.where(log, first, spread), np.where(log, 0.0, first)
    u, X = unit[:, None], Y - origin[:, None]
    return np.where(log[:, None], np.log(np.maximum(X, 0) / u + SMALL), X / u), unit, origin, log


def additive(Y: Float[np.ndarray, "N T"], m: int) -> Bool[np.ndarray, " N"]:
    """Whether a series' deviations keep their size while its level moves, which a log would bend.

        std_j log s_j  <  ADDITIVE · std_j log (s_j / l_j)

    l_j is the mean of season j and s_j the mean distance from its line, of all complete seasons, of which there have to
    be three. After Guerrero 1993, who chooses a power by how steady s_j / l_j^(1-λ) is.
    """
    N, T = Y.shape
    if m < 4 or 3 * m > T:
        return np.zeros(N, bool)
    blocks = Y[:, : T // m * m].reshape(N, -1, m)
    t = np.arange(m) - (m - 1) / 2
    level, slope = blocks.mean(2), blocks @ t / (t @ t)
    s = np.abs(blocks - level[..., None] - slope[..., None] * t).mean(2)
    usable = level > 0  # of seasons with a gap it is NaN
    enough = usable.sum(1) >= 3
    spread = lambda a: np.log(np.maximum(a, 1e-30)).std(1, where=usable | ~enough[:, None])  # noqa: E731
    return enough & (spread(s) < ADDITIVE * spread(s / np.where(usable, level, 1.0)))


# ---- one pass over time

PARTS = (
    1 + len(SHOWN),  # levels at the `CENTRE` and `SHOWN` rates
    len(SHOWN),  # mean one-step errors at the `SHOWN` rates
    3,  # level, error and rate, weighed by how well each rate did
    2,  # slope a step: over all history, and over the latest seasons
    1,  # share of the seasonal index that is no noise
    1,  # mean change over a season
)


@dataclass(frozen=True)
class Smooth:
    """What is known after each time; T times, N series."""

    fill: Float[np.ndarray, "T N"]  # the value, or in a gap what was expected of it
    seasonal: Float[np.ndarray, "T N"]  # index of time t's phase, known m // 2 steps later
    state: Float[np.ndarray, "T N 16"]  # all else, in parts of `PARTS`

    def novelty(self, first: int, lag: int) -> Float[np.ndarray, "T N"]:
        """Size of the latest errors over the largest from step `first` to `lag` steps ago, 0 where there are none."""
        _, _, best, _, _, naive = np.split(self.state, np.cumsum(PARTS)[:-1], 2)
        error = np.maximum(np.maximum(naive[..., 0], best[..., 1]), SMALLEST)
        past = np.full_like(error, np.inf)
        past[first + lag :] = np.maximum.accumulate(error[first:])[: max(len(error) - first - lag, 0)]
        return error / past


def smooth(X: Float[np.ndarray, "N T"], m: int) -> Smooth:
    """Seasonal index, levels, drift and errors of all series by one recursion over time.

        d_τ  = x_τ - mean of the season around τ
        s_τ  = s_{τ-m} + γ (d_τ - s_{τ-m})                the seasonal index, known at τ + m // 2
        v_t  = x_t - ρ s_{t-m}                            deseasonalised
        l_t  = l_{t-1} + α (v_t - l_{t-1})                for each α of `ALPHAS`
        b_t  = least-squares slope of v_1 … v_t           also discounted, by 1 - 1 / 3m a step
        l*_t = Σ_α w_α l_t,  w_α ∝ (mean |v_t - l_{t-1}|)^-8

    γ = max(GAMMA, 1/cycles) and α likewise at least 1/n, so that beginnings are plain means; ρ = 1 - noise / signal of
    the index, at least 0 (after James & Stein 1961). l* + b k / 2 is the Theta method's forecast of v (Hyndman & Billah
    2003), but for its α, which follows from errors discounted over two seasons in place of one likelihood.
    """
    N, T = X.shape
    X, J, half = np.ascontiguousarray(X.T), len(ALPHAS), m // 2
    forget, local = 1 / max(2 * m, 10), 1 - 1 / max(3 * m, 10)
    zero = np.zeros(N)
    fill, season, state = np.zeros((T, N)), np.zeros((T, N)), np.zeros((T, N, sum(PARTS)))
    level, error, best, drift, trust, naive = np.split(state, np.cumsum(PARTS)[:-1], 2)
    trust, naive = trust[..., 0], naive[..., 0]
    shown = [CENTRE, *SHOWN]
    cycles = np.zeros((T, N))
    sums = np.zeros((T + 1, N))
    l, e = np.zeros((N, J)), np.zeros((N, J))
    n, pairs, change, signal, noise, judged = zero, zero, zero, zero, zero, zero
    g0 = g1 = g2 = gx = gtx = zero  # sums over all history: 1, t, t², v, t v
    r0 = r1 = r2 = rx = rtx = zero  # the same discounted, with time counted back from now
    observed = np.zeros(N, bool)
    for t in range(T):
        o = ~np.isnan(X[t])
        of = o.astype(float)
        index = season[t - m] * trust[t - 1] if m > 1 and t >= m else zero
        x = np.where(o, X[t], np.where(observed, l[:, CENTRE] + index, 0.0))
        fill[t] = x
        v = x - index
        fresh = o & ~observed
        if fresh.any():
            l[fresh] = v[fresh, None]
        off = (v[:, None] - l) * of[:, None]
        l = l + np.maximum(ALPHAS, 1 / (n + 1)[:, None]) * off
        again = of * observed
        e = e + (again * np.maximum(forget, 1 / np.maximum(n, 1)))[:, None] * (np.abs(off) - e)
        observed = observed | o
        if t >= m:
            pairs = pairs + of
            change = change + of * np.maximum(forget, 1 / np.maximum(pairs, 1)) * (np.abs(x - fill[t - m]) - change)
        n = n + of
        g0, g1, g2, gx, gtx = g0 + of, g1 + of * t, g2 + of * t * t, gx + of * v, gtx + of * v * t
        r2, rtx, r1 = local * (r2 - 2 * r1 + r0), local * (rtx - rx), local * (r1 - r0)
        r0, rx = local * r0 + of, local * rx + of * v
        some = g0 >= 3
        drift[t, :, 0] = np.where(some, (g0 * gtx - g1 * gx) / np.maximum(g0 * g2 - g1 * g1, 1e-9), 0)
        drift[t, :, 1] = np.where(some, (r0 * rtx - r1 * rx) / np.maximum(r0 * r2 - r1 * r1, 1e-9), 0)
        w = (e + 1e-6) ** -float(SHARPNESS)
        w /= w.sum(1, keepdims=True)
        level[t], error[t], naive[t] = l[:, shown], e[:, SHOWN], change
        best[t, :, 0], best[t, :, 1], best[t, :, 2] = (w * l).sum(1), (w * e).sum(1), w @ ALPHAS
        sums[t + 1] = sums[t] + x
        if m > 1 and t >= m:
            tau = t - half
            around = sums[t + 1] - sums[t + 1 - m]
            around = (around - (x - fill[t - m]) / 2) / m if m % 2 == 0 else around / m
            d, ot = fill[tau] - around, ~np.isnan(X[tau])
            before, c = (season[tau - m], cycles[tau - m]) if tau >= m else (zero, zero)
            judge = ot & (c > 0)
            c = c + ot
            gamma = np.maximum(GAMMA, 1 / np.maximum(c, 1))
            season[tau], cycles[tau] = before + ot * gamma * (d - before), c
            judged = judged + judge
            rate = judge * np.maximum(1 / np.maximum(judged, 1), 1 / (6 * m))
            noise = noise + rate * ((d - before) ** 2 - noise)
            signal = signal + rate * (season[tau] ** 2 - signal)
            trust[t] = np.clip(1 - noise * gamma / np.maximum(signal, 1e-12), 0, 1) * (judged > 0)
    return Smooth(fill, season, state)
