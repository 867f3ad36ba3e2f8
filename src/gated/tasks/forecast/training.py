"""Training in two parts: without the last steps, which are held out, then with everything.

The first part trains on all but the last horizon of every series (of a few series, the last horizons) and stops early
on it; what its forecasts miss there calibrates the quantiles. The second goes on from its weights with all the data. So
the held-out figures and pictures are honest, the forecasts know the newest values, and both cost one training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from gated import checkpoint, options, runs, train, trees
from gated._check import shape, want
from gated.runs import Job
from gated.tasks.forecast import likelihood, model, roll, scoring
from gated.tasks.forecast.panel import CELLS, Panel
from gated.tasks.forecast.recipe import BATCH, Recipe, derive
from gated.tasks.forecast.task import Config
from gated.tasks.forecast.windows import Windows

CHUNK = 512  # windows of a batch in evaluation
FIRST = "held"  # folder, in the run folder, from which the first part resumes
EVALUATIONS = 10  # in the first part


@dataclass(frozen=True)
class Forecaster:
    """Networks, and the statistics of the horizon that was held out from them."""

    recipe: Recipe
    networks: nn.ModuleList  # the members, whose quantiles are averaged
    widths: np.ndarray  # [h, Q] factors of the quantiles' distance from the median
    persistence: float  # how alike the ranks of two steps in a row are
    held: np.ndarray  # [N, h, Q] float32 calibrated forecasts of the last horizon; NaN where a series is too short


@train.threads(1)  # its operators are small: a second thread saves little, and on busy cores costs many times the work
def fit(
    panel: Panel, config: Config, job: Job, *, start: Forecaster | None = None, steps: int | None = None
) -> tuple[Forecaster, dict[str, Any], list[dict[str, int | float]]]:  # fmt: skip
    """Networks for a panel, their metrics on the held-out horizon, and the history of the training.

    With `start`, its networks continue on all data for `steps` updates (a fifth of a fit's) at a third of the rate.
    """
    if start is not None:
        rule = replace(start.recipe, second=steps or max(1, (start.recipe.first + start.recipe.second) // 5))
        rows = _fit_part(start.networks, Windows(panel, rule), config, rule.second, rule.lr / 3, job, panel).rows
        held = np.full((len(panel), *start.held.shape[1:]), np.nan, np.float32)  # these networks have read all of it
        return replace(start, held=held), {}, rows
    rule = derive(panel, config)
    if job.out is not None and not job.resume:  # an older fit's second part is not what this one may go on from
        (checkpoint.claim(job.out, job.artefacts) / checkpoint.TRAINING).unlink(missing_ok=True)
    windows = Windows(panel, rule)
    with train.seeded(config.seed):
        networks = nn.ModuleList([model.Network(windows) for _ in range(config.members)])
    size = (len(panel), rule.horizon, len(rule.levels))
    forecaster = Forecaster(rule, networks, np.ones(size[1:]), 0.5, np.full(size, np.nan, np.float32))
    rows, metrics, updates = [], {}, rule.first + rule.second
    if len(windows.last(rule.held)[0]):
        rows = _fit_part(networks, windows, config, rule.first, rule.lr, job, panel, rule.held, share=0.6).rows
        forecaster, metrics = _calibrate(forecaster, windows, panel, config.calibrate)
        updates = rule.second
    more = _fit_part(networks, windows, config, updates, rule.lr, job, panel).rows
    past = rows[-1] if rows else {"step": 0, "seconds": 0.0}
    rows += [{**row, **{key: row[key] + past[key] for key in ("step", "seconds")}} for row in more]
    return forecaster, metrics, rows


def _fit_part(
    networks: nn.ModuleList, windows: Windows, config: Config, steps: int, lr: float, job: Job, panel: Panel,
    held: int = 0, share: float = 1.0,
) -> train.History:  # fmt: skip
    """One part of the training, in `share` of the time that is left; it stops early on the last `held` steps."""
    members = len(networks)
    series, ends = windows.last(held)
    rows = torch.linspace(0, len(series) - 1, min(len(series), CHUNK)).long()
    valid = windows.at(series[rows], ends[rows])

    for network in networks:
        model.bound(network, windows, held)  # pyright: ignore

    def loss(networks: nn.Module, batches: tuple) -> torch.Tensor:
        return sum(likelihood.loss(n, b) for n, b in zip(networks.children(), batches, strict=True))  # pyright: ignore

    def validate(networks: nn.Module) -> float:
        device = next(networks.parameters()).device
        return float(loss(networks, (trees.map(lambda x: x.to(device), valid),) * members)) / members

    return runs.fit(
        networks, loss, lambda n: tuple(windows.batch(n * members + k, held) for k in range(members)), config, job,
        data=panel, validate=validate if held and len(series) else None,
        out=job.out / FIRST if held and job.out is not None else None, share=share, steps=steps, lr=lr,
        schedule="onecycle", clip_norm=config.clip * members**0.5, eval_every=max(1, steps // EVALUATIONS),
    )  # fmt: skip


def _calibrate(
    forecaster: Forecaster, windows: Windows, panel: Panel, widen: bool
) -> tuple[Forecaster, dict[str, Any]]:
    """On the held-out horizon fit shrinkage towards a base, interval widths and rank autocorrelation; its metrics."""
    rule, levels = forecaster.recipe, forecaster.recipe.levels
    for network in forecaster.networks:
        model.shrink(network, windows, rule.held)  # pyright: ignore
    series, ends = windows.last(rule.held)
    q = _predict(forecaster.networks, windows, series, ends)
    n, ends = series.numpy(), ends.numpy()
    truth = panel.y[(panel.offsets[:-1][n] + ends)[:, None] + np.arange(rule.horizon)]
    metrics = scoring.evaluate(truth, q, levels, scoring.scales(roll.cut(panel, n, ends), rule.season))
    widths = likelihood.calibrate(q, truth, levels) if widen else forecaster.widths
    held, final = forecaster.held.copy(), ends == panel.lengths[n] - rule.horizon
    held[n[final]] = np.maximum(likelihood.widen(q[final], widths, levels), _floors(panel)[n[final]])
    new = replace(forecaster, widths=widths, persistence=likelihood.persistence(q, truth, levels), held=held)
    return new, {"held_out": metrics}


@torch.no_grad()
@train.threads(1)
def _predict(networks: nn.ModuleList, windows: Windows, series: torch.Tensor, ends: torch.Tensor) -> np.ndarray:
    """[C, h, Q] the mean of the members' quantiles, before calibration."""
    networks.eval()
    device = next(networks.parameters()).device
    parts = []
    for s, o in zip(series.split(CHUNK), ends.split(CHUNK), strict=True):
        batch = trees.map(lambda x: x.to(device), windows.at(s, o))
        parts.append(torch.stack([likelihood.quantiles(n, batch) for n in networks]).mean(0).cpu())
    return torch.cat(parts).numpy()


def predict(forecaster: Forecaster, panel: Panel, known: np.ndarray | None = None) -> np.ndarray:
    """[N, h, Q] calibrated quantiles of the steps after the panel; NaN for a series that was never observed.

    known: [N, h, K] the covariates of these steps that are known.
    """
    rule = forecaster.recipe
    windows = Windows(panel, rule, known)
    observed = np.add.reduceat(~np.isnan(panel.y), panel.offsets[:-1]) > 0
    n = np.flatnonzero(observed & (panel.lengths > 0))
    series = torch.from_numpy(n)
    out = np.full((len(panel), rule.horizon, len(rule.levels)), np.nan)
    q = _predict(forecaster.networks, windows, series, windows.lengths[series])
    out[n] = np.maximum(likelihood.widen(q, forecaster.widths, rule.levels), _floors(panel)[n])
    return out


def _floors(panel: Panel) -> np.ndarray:
    """[N, 1, 1] what no forecast of a series is below: 0 where the history has no value below, as of counts."""
    low = np.fmin.reduceat(panel.y, panel.offsets[:-1])
    return np.where(low >= 0, 0.0, -np.inf)[:, None, None]


def restore(stored: checkpoint.Run, config: Config, panel: Panel) -> Forecaster:
    """The forecaster of a run folder, on the device of its config."""
    rule = options.restore(Recipe, stored.extras["recipe"])
    widths, persistence, held = (stored.arrays[f"learnt.{name}"] for name in ("widths", "persistence", "held"))
    state = {name.replace(".lean", ".shrinkage"): weight for name, weight in stored.state.items()}  # a former name
    members = {name.partition(".")[0] for name in state}
    for k in members:
        model.renew(state, f"{k}.")
    counts = rule.season, rule.lags, rule.context, rule.long, rule.held, rule.batch
    longest, head = int(panel.lengths.max(initial=0)), state.get("0.head.weight", torch.empty(0, 0))
    fits = (  # before memory is taken for what the recipe says
        rule.horizon == config.horizon and rule.levels == config.quantiles and rule.likelihood == config.likelihood
        and all(type(number) is int for number in (rule.horizon, rule.width, *counts))
        and head.shape[-1] == rule.width and len(members) == config.members
        and 1 <= rule.season <= longest and 1 <= rule.lags <= rule.context <= longest // rule.season + 1
        and 0 <= rule.long <= rule.context * rule.season and rule.held >= 1 and rule.held % rule.horizon == 0
        and 1 <= rule.batch <= (config.batch or BATCH)
        and len(panel) * ((rule.context + 2) * rule.season + rule.horizon) <= CELLS
    )  # fmt: skip
    want(fits, "run folder", "a recipe that its weights and series fit", "another")
    shape("run folder: widths", widths, rule.horizon, len(rule.levels))
    shape("run folder: held", held, len(panel), rule.horizon, len(rule.levels))
    little = roll.cut(panel, np.array([0]), np.minimum(panel.lengths[:1], 2))  # enough to know how wide everything is
    with train.seeded(0):
        networks = nn.ModuleList([model.Network(Windows(little, rule)) for _ in range(config.members)])
    checkpoint.fill(networks, state)
    return Forecaster(rule, networks.eval().to(runs.device(config)), widths, float(persistence), held)


def describe(forecaster: Forecaster, metrics: Mapping[str, Any]) -> list[str]:
    """The network and its held-out figures in sentences."""
    rule, held = forecaster.recipe, metrics.get("held_out", {})
    size = sum(p.numel() for p in forecaster.networks.parameters())
    many = f"{len(forecaster.networks)} networks of together" if len(forecaster.networks) > 1 else "A network of"
    reads = f"{rule.context} seasons of {rule.season}" if rule.season > 1 else f"{rule.context} steps"
    lines = [f"{many} {size:,} weights reads {reads} and forecasts {rule.horizon} steps ahead."]
    if held.get("mase") is not None:
        lines.append(
            f"Last {rule.held} steps, held out from training: MASE {held['mase']:.3f}, sMAPE {held['smape']:.2f}."
        )
    elif metrics.get("updated"):
        lines.append("Trained further on all the data: no horizon was held out.")
    elif not held:
        lines.append("The series are too short to hold a horizon out: nothing says how good the forecasts are.")
    if "fit_seconds" in metrics:
        lines.append(f"Fit in {metrics['fit_seconds']:.1f} s.")
    return lines
