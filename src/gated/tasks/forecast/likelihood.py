"""Predictive distributions: heads, losses, quantiles, sample paths, calibration.

Every likelihood is centred on the network's output, on the smooth scale x of a series (`features.scale`), and gives
quantiles of the data; paths are drawn through these.

    quantiles           q_τ = μ ± error · Σ softplus(r_i), a sum outwards from the centre, so they cannot cross
    student-t           x ~ t_ν(μ, σ),  σ = error · softplus(r_1),  ν = 3 + softplus(r_2)
    negative-binomial   y ~ NB(mean y(μ), variance mean + mean² · softplus(r_1))          (Salinas et al. 2020, §3.1)
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import NegativeBinomial, StudentT
from torch.nn.functional import softplus

from gated.tasks.forecast.features import SMALL
from gated.tasks.forecast.recipe import Recipe
from gated.tasks.forecast.windows import Batch

HIGHEST = 20.0  # of the log scale: further up nothing is forecast
NARROW = -1.0  # added to what goes into softplus: the width at the start
DRAWS = 512  # of a negative binomial, for its quantiles
POOL = 200  # windows' worth of weight that all steps together have in the widths of one
DOUBT = 4  # and that no change at all has, for a few windows say little


def outputs(recipe: Recipe) -> int:
    """Numbers of the head: the centre's and what the distribution around it needs."""
    return {"quantiles": len(recipe.levels), "student-t": 3, "negative-binomial": 2}[recipe.likelihood]


def units(x: Float[Tensor, "B ..."], b: Batch) -> Float[Tensor, "B ..."]:
    """From the smooth scale to units of the series."""
    log = b.log.view(-1, *[1] * (x.ndim - 1))
    return torch.where(log, (x.clamp(max=HIGHEST).exp() - SMALL).clamp(min=0), x)


def _around(centre: Float[Tensor, "B h"], rest: Float[Tensor, "B h R"], b: Batch, levels: tuple[float, ...]) -> Tensor:
    """[B, h, Q] the quantiles on the smooth scale."""
    below = levels.index(0.5)
    width = b.error[..., None] * softplus(rest + NARROW)
    down, up = width[..., :below].cumsum(-1).flip(-1), width[..., below:].cumsum(-1)
    return torch.cat([centre[..., None] - down, centre[..., None], centre[..., None] + up], -1)


# ---- losses


def loss(network: nn.Module, b: Batch) -> Tensor:
    """The mean over all steps whose truth is known; where there is none, zero.

    quantiles: twice the pinball loss in units over the series' seasonal-naive error, the mean over levels, so that at
    the median it is the step's share of MASE. The others: minus the log-likelihood, of x or of y.
    """
    recipe: Recipe = network.recipe  # pyright: ignore
    centre, rest = network(b)
    ok = ~b.y.isnan()
    y = torch.where(ok, b.y, 0.0)
    if recipe.likelihood == "quantiles":
        q = units(_around(centre, rest, b, recipe.levels), b)
        tau = torch.tensor(recipe.levels, device=q.device)
        over = (y[..., None] - q) / b.scale[..., None]
        terms = 2 * torch.maximum(tau * over, (tau - 1) * over).mean(-1)
    elif recipe.likelihood == "student-t":
        x = torch.where(b.log, (y.clamp(min=0) + SMALL).log(), y)
        terms = -_student(centre, rest, b).log_prob(x) - b.error.log()
    else:
        terms = -_counts(centre, rest, b).log_prob((y * b.unit + b.origin).clamp(min=0))
    return torch.where(ok, terms, 0.0).sum() / ok.sum().clamp(min=1)


def _student(centre: Tensor, rest: Tensor, b: Batch) -> StudentT:
    """The distribution of x."""
    sigma, nu = b.error * (softplus(rest[..., 0]) + 1e-3), 3 + softplus(rest[..., 1] + 2)
    return StudentT(nu, centre, sigma, validate_args=False)


def _counts(centre: Tensor, rest: Tensor, b: Batch) -> NegativeBinomial:
    """The distribution of y, in the data's own numbers."""
    mean = (units(centre, b) * b.unit + b.origin).clamp(min=1e-3)
    r = 1 / (softplus(rest[..., 0]) + 1e-4)
    return NegativeBinomial(r, logits=(mean / r).log(), validate_args=False)


# ---- quantiles


@torch.no_grad()
def quantiles(network: nn.Module, b: Batch) -> Float[Tensor, "B h Q"]:
    """The quantiles at the recipe's levels in the data's own numbers (float64), before calibration."""
    recipe: Recipe = network.recipe  # pyright: ignore
    centre, rest = network(b)
    unit, origin = b.unit[..., None].double(), b.origin[..., None].double()
    if recipe.likelihood == "quantiles":
        x = _around(centre, rest, b, recipe.levels)
    elif recipe.likelihood == "student-t":
        law = _student(centre, rest, b)
        z = torch.tensor([NormalDist().inv_cdf(p) for p in recipe.levels], device=centre.device)
        x = centre[..., None] + law.scale[..., None] * _student_quantile(z, law.df[..., None])
    else:
        law = _counts(centre, rest, b)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            counts = NegativeBinomial(law.total_count.cpu(), logits=law.logits.cpu()).sample((DRAWS,)).double()
        return torch.quantile(counts, torch.tensor(recipe.levels).double(), 0).movedim(0, -1).to(centre.device)
    return units(x, b).double() * unit + origin


def _student_quantile(z: Tensor, nu: Tensor) -> Tensor:
    """Quantiles of Student's t from those of the normal distribution (Abramowitz & Stegun 1964, 26.7.5)."""
    g = [(z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384]
    return z + g[0] / nu + g[1] / nu**2 + g[2] / nu**3


# ---- calibration


def calibrate(
    q: Float[np.ndarray, "C h Q"], y: Float[np.ndarray, "C h"], levels: tuple[float, ...]
) -> Float[np.ndarray, "h Q"]:
    """Factors for the distance of each quantile from the median, from forecasts of held-out windows.

    Split conformal prediction (Vovk et al. 2005; Romano et al. 2019, scaled by width): the factor of level τ is the
    |2τ - 1| quantile of |y - median| / |q_τ - median| on y's side, a mean of that of the step and that of all steps.
    Both sides count alike: one period's bias is not the next one's. A level whose mirror 1 - τ is lacking uses its own
    side twice. Factors stay within [1/4, 4], and the fewer the windows the nearer 1.
    """
    h, middle = y.shape[1], levels.index(0.5)
    out = np.ones((h, len(levels)))
    if (q == np.rint(q)).all():
        return out  # of counts: their quantiles jump, and a share of a jump is no count
    away = y - q[..., middle]
    for i, level in enumerate(levels):
        if i == middle:
            continue
        near = [abs(other - (1 - level)) for other in levels]
        mirror = int(np.argmin(near)) if min(near) < 1e-6 else i
        low, high = min(i, mirror), max(i, mirror)
        width = np.where(away < 0, np.abs(q[..., low] - q[..., middle]), np.abs(q[..., high] - q[..., middle]))
        ratio = np.abs(away) / np.maximum(width, 1e-9 * (np.abs(q[..., middle]) + 1e-9))
        known = ~np.isnan(ratio)
        if known.sum() < 8:
            continue
        p = abs(2 * level - 1)
        all_steps = np.quantile(ratio[known], min(1.0, p * (1 + 1 / known.sum())))
        for k in range(h):
            n = int(known[:, k].sum())
            own = np.quantile(ratio[known[:, k], k], min(1.0, p * (1 + 1 / n))) if n else 0.0
            factor = (n * own + POOL * all_steps) / (n + POOL)
            out[k, i] = 1 + (np.clip(factor, 0.25, 4.0) - 1) * len(y) / (len(y) + DOUBT)
    return out


def widen(q: Float[np.ndarray, "N h Q"], widths: Float[np.ndarray, "h Q"], levels: tuple[float, ...]) -> np.ndarray:
    """Calibrated quantiles: they rise with the level, and stay at or above 0 where the forecast does."""
    middle = levels.index(0.5)
    centre = q[..., middle : middle + 1]
    out = centre + (q - centre) * widths
    out[..., middle:] = np.maximum.accumulate(out[..., middle:], -1)
    out[..., : middle + 1] = np.minimum.accumulate(out[..., middle::-1], -1)[..., ::-1]
    return np.where(q >= 0, np.maximum(out, 0.0), out)


# ---- paths


def persistence(q: Float[np.ndarray, "C h Q"], y: Float[np.ndarray, "C h"], levels: tuple[float, ...]) -> float:
    """Rank autocorrelation of adjacent steps: the correlation of their normal scores on held-out windows."""
    flat = zip(np.nan_to_num(y).ravel(), q.reshape(-1, q.shape[-1]), strict=True)
    rank = np.array([np.interp(value, row, levels) for value, row in flat])
    normal = np.vectorize(NormalDist().inv_cdf)(np.clip(rank, 0.02, 0.98)).reshape(y.shape)
    normal[np.isnan(y)] = np.nan
    a, b = normal[:, 1:].ravel(), normal[:, :-1].ravel()
    both = ~np.isnan(a) & ~np.isnan(b)
    if both.sum() < 8 or a[both].std() == 0 or b[both].std() == 0:
        return 0.5
    return float(np.clip(np.corrcoef(a[both], b[both])[0, 1], 0.0, 0.99))


def paths(
    q: Float[np.ndarray, "N h Q"], levels: tuple[float, ...], rho: float, samples: int, seed: int, whole: bool = False
) -> Float[np.ndarray, "N h M"]:
    """Sample paths: the rank of each step is Φ(g_k), g_k = ρ g_{k-1} + √(1 - ρ²) ε, read off the quantiles.

    Between levels the quantiles are joined by lines in the normal score of the level, and beyond the outermost those
    lines go on. whole: counts, rounded. The same seed gives the same paths.
    """
    draw = np.random.default_rng(seed)
    N, h, Q = q.shape
    g = np.empty((N, h, samples))
    e = draw.standard_normal((N, h, samples))
    for k in range(h):
        g[:, k] = e[:, k] if k == 0 else rho * g[:, k - 1] + math.sqrt(1 - rho**2) * e[:, k]
    if Q == 1:
        return np.repeat(q, samples, -1)
    z = np.array([NormalDist().inv_cdf(level) for level in levels])
    i = np.clip(np.searchsorted(z, g) - 1, 0, Q - 2)
    low, high = np.take_along_axis(q, i, -1), np.take_along_axis(q, i + 1, -1)
    out = low + (high - low) * (g - z[i]) / (z[i + 1] - z[i])
    out = np.where((q >= 0).all(-1, keepdims=True), np.maximum(out, 0.0), out)
    return np.rint(out) if whole else out
