"""A forecaster on series: the history season by season, and the horizon step by step, each on its own axis.

Of every series the last horizon is looked at as if it were still to come. What is attributed is the first member's
median (of counts, the mean), to the values and covariates of the steps that the network reads, wherever they enter it:
the encoder, the values of the same phase, the naive forecast. The path starts at a flat history, at the window's level
and the covariates' means; what has no single place (levels, drift, Theta, calendar) stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gated import train
from gated._check import want
from gated.probe.case import COUNTED, Case, Part, View, curve
from gated.probe.document import Attribution, Input
from gated.probe.inputs import attribution, remark
from gated.tasks.forecast import clock as clocks
from gated.tasks.forecast import frame, likelihood, model, read, roll, windows
from gated.tasks.forecast.run import Run
from gated.tasks.forecast.windows import Batch, Windows

SPANS = ((7 * clocks.DAY, "week"), (clocks.DAY, "day"), (clocks.DAY // 24, "hour"), (clocks.DAY // 1440, "minute"),
         (clocks.DAY // 86400, "second"))  # fmt: skip
MONTHS = {1: "month", 3: "quarter", 12: "year"}


def view(run: Run, data: Any = None, count: int = 3) -> View:
    """Series of a file or frame, joined to what the run knows of them; without data, the run's own."""
    panel = run.panel
    if data is not None:
        new, _ = frame.panel(read.read(data, id=run.schema.id), run.schema)
        old = np.flatnonzero(np.isin(panel.ids, new.ids))
        panel = frame.join(roll.cut(panel, old, panel.lengths[old]), new) if len(old) else new
    rule = run.learnt.recipe
    rolled = roll.roll(panel, rule.horizon)
    seen = np.flatnonzero(~np.isnan(np.fmax.reduceat(rolled.history.y, rolled.history.offsets[:-1])))
    want(len(seen) > 0, "probe", "a series with a value before its last horizon", "none")
    shown, counted = (_spread(seen, n) for n in (count, max(count, COUNTED)))
    chosen = np.r_[shown, np.setdiff1d(counted, shown)]
    history = roll.cut(rolled.history, chosen, rolled.history.lengths[chosen])
    rolled = replace(rolled, history=history, truth=rolled.truth[chosen], known=rolled.known[chosen])
    cut = Windows(history, rule, rolled.known)
    network: Any = run.learnt.networks[0]
    with train.seeded(run.config.seed):
        fresh = model.Network(cut)
    for name in ("covariates", "statics"):
        getattr(fresh, name).copy_(getattr(network, name))
    cases = [_case(run, network, rolled, cut, n) for n in range(len(chosen))]
    cases = [*cases[:count], *(case.hidden() for case in cases[count:])]
    many = len(run.learnt.networks)
    notes = [f"Shown is the first of {many} members."] if many > 1 else []
    return View(
        f"{run.schema.target}, {rule.horizon} {_unit(panel.freq)}s ahead", "forecast", network, fresh.eval(), cases,
        "a median ahead", (*run.summary().splitlines(), *notes),
        curve(run.history),
    )  # fmt: skip


def _spread(all: np.ndarray, count: int) -> np.ndarray:
    """So many of them, evenly spread."""
    return all[np.unique(np.linspace(0, len(all) - 1, min(count, len(all))).round().astype(int))]


def _case(run: Run, network: Any, rolled: roll.Rolled, cut: Windows, n: int) -> Case:
    rule, panel = run.learnt.recipe, rolled.history
    b = cut.at(torch.tensor([n]), cut.lengths[n : n + 1])
    h, steps = rule.horizon, rule.context * rule.season
    rows = panel.series(n)
    count = min(steps, rows.stop - rows.start)
    past, lacking = slice(rows.stop - count, rows.stop), steps - count
    unit, target, who = _unit(panel.freq), run.schema.target, str(panel.ids[n])
    values = {target: np.concatenate([np.full(lacking, np.nan), panel.y[past]])}
    for kind in ("past", "known"):
        for k, name in enumerate(run.schema.names(kind)):
            values[name] = np.concatenate([np.full(lacking, np.nan), getattr(panel, kind)[past, k]])
    with torch.no_grad():
        median = likelihood.quantiles(network, b)[0, :, rule.levels.index(0.5)].numpy()
    ahead = clocks.ahead(panel.times[rows.stop - 1 : rows.stop], panel.freq, h).reshape(-1)
    said = f"{h} {unit}s ahead: {median[0]:.4g} to {median[-1]:.4g}"
    before = ("before the data",) * lacking + _dates(panel.times[past])
    title = f"series {who}" if run.schema.id else target
    ks = sorted({0, h - 1})
    parts = (
        Part(f"{title}, history", Input("values", steps, unit, before, values=values, said=said),
             {"encoder": float(rule.season)}, lambda: [_attributed(network, b, cut, n, k, target, unit) for k in ks]),
        Part(f"{title}, horizon", Input("values", h, unit, _dates(ahead),
             values={"median": median, f"{target}, as it came": rolled.truth[n]}, said=said), {"decoder": 1.0}),
    )  # fmt: skip

    def losses(found: Any) -> list[tuple[dict[str, int], Tensor]]:
        return [({"encoder": rule.context - 1, "decoder": k}, found[0][0, k]) for k in sorted({0, h // 2, h - 1})]

    return Case(lambda network: network(b), parts, losses)


def _attributed(network: Any, b: Batch, cut: Windows, n: int, k: int, target: str, unit: str) -> Attribution:
    function, z, past, mean = placed(network, b, cut, n, k)
    found = attribution(function, (z, past), (0.0, mean.expand_as(past)))
    shares = found.shares[0] + found.shares[1].reshape(len(found.shares[0]), -1).sum(1)
    many = "s" if k else ""
    said = f"{target}, {k + 1} {unit}{many} ahead, against a flat history{remark(found)}"
    return Attribution(said, found.value, found.baseline, shares)


def placed(
    network: Any, b: Batch, cut: Windows, n: int, k: int
) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor, Tensor]:
    """The median of step k in the data's units as a function of what has a place in the window, and that.

    z (1, S·m) the values about the window's centre, gaps filled; past (1, S, m, P) the covariates, and their means. The
    function takes N rows of each.
    """
    rule = cut.recipe
    m, S, last = rule.season, rule.context, int(cut.start[n] + cut.lengths[n]) - 1
    z = ((cut.fill[last + torch.arange(1 - S * m, 1)] - b.centre) / b.spread).detach()
    mean = network.covariates[0]
    past = torch.where(b.past.isnan(), mean, b.past)
    shifts = [*(cut.same - m * i for i in range(rule.lags)), *cut.longs]
    places = torch.stack([S * m - 1 + shift for shift in shifts], -1)  # (h, lags), where each stands in z

    def function(z: Tensor, past: Tensor) -> Tensor:
        N, cut_z = len(z), z.clamp(-windows.WIDEST, windows.WIDEST)
        wide = {name: getattr(b, name).expand(N, *getattr(b, name).shape[1:]) for name in b.__dataclass_fields__}
        step = torch.cat([cut_z[:, places], wide["step"][..., len(shifts) :]], -1)
        naive = b.centre + b.spread * z[:, places[:, 0]]
        asked = Batch(**wide | dict(
            x=cut_z.view(N, S, m) * b.seen, past=past, step=step, bases=torch.stack([naive, wide["bases"][..., 1]], -1),
            whole=torch.cat([cut_z[:, -1:], wide["whole"][:, 1:]], 1),
        ))  # fmt: skip
        centre, _ = network(asked)
        return (likelihood.units(centre, asked) * asked.unit + asked.origin)[:, k]

    return function, z, past, mean


def _unit(freq: str) -> str:
    """What a step of the clock is called."""
    clock = clocks.parse(freq)
    if clock.unit == "month":
        return MONTHS.get(clock.step, "step")
    if clock.unit == "business":
        return "business day" if clock.step == 1 else "step"
    return next((word for span, word in SPANS if clock.unit == "ns" and clock.step == span), "step")


def _dates(times: np.ndarray) -> tuple[str, ...]:
    """Times as short as they can be told."""
    if times.dtype.kind != "M":
        return tuple(map(str, times.tolist()))
    days = bool((times == times.astype("datetime64[D]")).all())
    seconds = bool((times == times.astype("datetime64[s]")).all())
    text: Sequence[str] = np.datetime_as_string(times, unit="D" if days else "s" if seconds else "ns").tolist()
    return tuple(one.replace("T", " ") for one in text)
