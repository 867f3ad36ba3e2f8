"""The probe's view of a forecaster: the history season by season, and the horizon step by step, each on its own axis.

The last horizon of every series is held back. Attributed is the first member's median (of counts, the mean), to the
values and covariates of the network's window, wherever they enter it: the encoder, the values of the same phase, the
naive forecast. The path starts at a flat history, at the window's level and the covariates' means; inputs of no
single step (levels, drift, Theta, calendar) are constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gated import train, trees
from gated._check import optional, want
from gated.features import calendar as clocks
from gated.io.zones import to_local
from gated.tasks.forecast import likelihood, model, roll, windows
from gated.tasks.forecast.run import Run
from gated.tasks.forecast.source import read
from gated.tasks.forecast.windows import Batch, Windows
from gated.views import MAX_SEQUENCES, Case, Input, Output, Part, View, keep_numbers, spread

pd: Any = optional("pandas", "forecast")

UNITS = {
    ("ns", clocks.DAY // 86400): "second", ("ns", clocks.DAY // 1440): "minute", ("ns", clocks.DAY // 24): "hour",
    ("ns", clocks.DAY): "day", ("ns", 7 * clocks.DAY): "week", ("business", 1): "business day",
    ("month", 1): "month", ("month", 3): "quarter", ("month", 12): "year",
}  # fmt: skip


def view(run: Run, data: Any = None, count: int = 3) -> View:
    """Series of a file or frame, appended to the run's series of the same ids; by default the run's own series."""
    panel = run.panel if data is None else run.extend(read(data, run.config, run.schema.decimals))
    rule = run.model.recipe
    holdout = roll.roll(panel, rule.horizon)
    valid = np.flatnonzero(~np.isnan(np.fmax.reduceat(holdout.history.y, holdout.history.offsets[:-1])))
    want(len(valid) > 0, "probe", "a series with a value before its last horizon", "none")
    visible, extra = (valid[spread(len(valid), n)] for n in (count, max(count, MAX_SEQUENCES)))
    series = np.r_[visible, np.setdiff1d(extra, visible)]
    history = roll.cut(holdout.history, series, holdout.history.lengths[series])
    holdout = replace(holdout, history=history, truth=holdout.truth[series], known=holdout.known[series])
    cut = Windows(history, rule, holdout.known)
    network: Any = run.model.networks[0]
    with train.seeded(run.config.seed):
        initial = model.Network(cut).to(network.shrinkage.device)
    for name in ("covariates", "statics"):
        getattr(initial, name).copy_(getattr(network, name))
    cases = [_case(run, network, holdout, cut, n) for n in range(len(series))]
    cases = [*cases[:count], *(case.hide() for case in cases[count:])]
    many = len(run.model.networks)
    notes = [f"The first of {many} members is shown."] if many > 1 else []
    return View(
        f"{run.schema.target}, {rule.horizon} {_unit(panel.freq)}s ahead", "forecast", network, initial.eval(), cases,
        "a median ahead", (*run.summary().splitlines(), *notes),
        keep_numbers(run.history),
    )  # fmt: skip


def _case(run: Run, network: Any, holdout: roll.Cases, cut: Windows, n: int) -> Case:
    rule, panel = run.model.recipe, holdout.history
    b = trees.map(lambda x: x.to(network.shrinkage.device), cut.at(torch.tensor([n]), cut.lengths[n : n + 1]))
    h, steps = rule.horizon, rule.context * rule.season
    rows = panel.series(n)
    count = min(steps, rows.stop - rows.start)
    past, gap = slice(rows.stop - count, rows.stop), steps - count
    unit, target, who = _unit(panel.freq), run.schema.target, str(panel.ids[n])
    values = {target: np.concatenate([np.full(gap, np.nan), panel.y[past]])}
    for kind in ("past", "known"):
        for k, name in enumerate(run.schema.names(kind)):
            values[name] = np.concatenate([np.full(gap, np.nan), getattr(panel, kind)[past, k]])
    with torch.no_grad():
        median = likelihood.quantiles(network, b)[0, :, rule.levels.index(0.5)].cpu().numpy()
    ahead = clocks.ahead(panel.times[rows.stop - 1 : rows.stop], panel.freq, h).reshape(-1)
    output = f"{h} {unit}s ahead: {median[0]:.4g} to {median[-1]:.4g}"
    before = ("before the data",) * gap + _dates(to_local(panel.times[past], panel.zone))
    title = f"series {who}" if run.schema.id else target

    def attribute(k: int) -> Output:
        function, z, past, mean = by_place(network, b, cut, n, k)
        name = f"{target}, {k + 1} {unit}{'s' if k else ''} ahead, against a flat history"
        place = lambda shares: shares[0] + shares[1].reshape(len(shares[0]), -1).sum(1)  # noqa: E731
        return Output(name, function, (z, past), place, (0.0, mean.expand_as(past)))

    parts = (
        Part(f"{title}, history", Input("values", steps, unit, before, values=values, output=output),
             {"encoder": float(rule.season)}, tuple(map(attribute, sorted({0, h - 1})))),
        Part(f"{title}, horizon", Input("values", h, unit, _dates(to_local(ahead, panel.zone)),
             values={"median": median, f"{target}, observed": holdout.truth[n]}, output=output), {"decoder": 1.0}),
    )  # fmt: skip

    def losses(result: Any) -> list[tuple[dict[str, int], Tensor]]:
        return [({"encoder": rule.context - 1, "decoder": k}, result[0][0, k]) for k in sorted({0, h // 2, h - 1})]

    return Case(lambda network: network(b), parts, losses)


def by_place(
    network: Any, b: Batch, cut: Windows, n: int, k: int
) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor, Tensor]:
    """The median of step k in the data's units as a function of the window's inputs by step; and these inputs.

    z (1, S·m) the values relative to the window's centre, gaps filled; past (1, S, m, P) the covariates; and the means
    of the covariates. The function takes N rows of z and past.
    """
    rule = cut.recipe
    m, S, last = rule.season, rule.context, int(cut.start[n] + cut.lengths[n]) - 1
    z = ((cut.fill[last + torch.arange(1 - S * m, 1)].to(b.centre.device) - b.centre) / b.spread).detach()
    mean = network.covariates[0]
    past = torch.where(b.past.isnan(), mean, b.past)
    shifts = [*(cut.same - m * i for i in range(rule.lags)), *cut.longs]
    places = torch.stack([S * m - 1 + shift for shift in shifts], -1)  # (h, lags), indices into z

    def function(z: Tensor, past: Tensor) -> Tensor:
        N, cut_z = len(z), z.clamp(-windows.WIDEST, windows.WIDEST)
        wide = trees.map(lambda x: x.expand(N, *x.shape[1:]), b)
        step = torch.cat([cut_z[:, places], wide.step[..., len(shifts) :]], -1)
        naive = b.centre + b.spread * z[:, places[:, 0]]
        batch = replace(
            wide, x=cut_z.view(N, S, m) * b.mask, past=past, step=step,
            bases=torch.cat([naive[..., None], wide.bases[..., 1:]], -1),
            whole=torch.cat([cut_z[:, -1:], wide.whole[:, 1:]], 1),
        )  # fmt: skip
        centre, _ = network(batch)
        return (likelihood.units(centre, batch) * batch.unit + batch.origin)[:, k]

    return function, z, past, mean


def _unit(freq: str) -> str:
    """The name of a step of the clock."""
    clock = clocks.parse(freq)
    return UNITS.get((clock.unit, clock.step), "step")


def _dates(times: np.ndarray) -> tuple[str, ...]:
    """Times as text: dates alone where all are whole days."""
    return tuple(pd.Index(times).astype(str))
