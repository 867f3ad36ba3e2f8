"""A fitted forecaster: predict, score, backtest, update, save."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from gated import options, runs
from gated._check import refuse, want, within
from gated.tasks.forecast import frame, likelihood, roll, scoring, training
from gated.tasks.forecast import horizon as horizons
from gated.tasks.forecast.baselines import BASELINES
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.rows import enumerate_some
from gated.tasks.forecast.schema import Schema, infer_rows, numeric, rows_of, want_columns
from gated.tasks.forecast.source import notes_of, read
from gated.tasks.forecast.task import TASK, Config
from gated.tasks.forecast.training import Forecaster

FEW = 100  # series on which AutoETS is a matter of seconds


@dataclass(frozen=True)
class Run:
    """A forecaster and the history that it continues."""

    config: Config
    schema: Schema
    model: Forecaster
    panel: Panel  # the history
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)  # of the training, a row every few steps
    notes: tuple[str, ...] = ()  # on the data

    def predict(self, source: Any = None, *, future: Any = None, samples: int = 0) -> Any:
        """The next `horizon` steps as a pandas data frame, a row for each series and step.

        Its columns are the series and the time, under the data's own names and as it had them (the series only where
        the data name one), then `median` and each level's quantile, `q0.1`, …; or `samples` sample paths `s1`, `s2`, …

        source: a file or frame that holds the history. Rows of known series continue these, and only the series in it
        are forecast; without it, every series continues where the training data end. Nothing is trained.
        future: a file or frame with the known covariates of the steps to forecast.

        What is strange in the data, beside what was fitted, is in `attrs["notes"]` of the frame, in sentences.
        """
        within("samples", samples, 0, 10_000)
        todo = "Fit with known, or leave future out."
        want(future is None or bool(self.schema.known), "future", "a run with known covariates", "one without", todo)
        panel, notes = (self.panel, ()) if source is None else self._extend(self._read(source))
        coming = None if future is None else self._read(future, wide=False)
        unknown: dict[str, list[str]] = {}
        known = horizons.read_known(coming, self.schema, panel, self.config.horizon, unknown=unknown)
        notes += () if coming is None else notes_of(coming, self.schema.known)
        notes += frame.describe_unknown(unknown)
        q, levels = training.predict(self.model, panel, known), self.config.quantiles
        columns = {"median": q[..., levels.index(0.5)], **{f"q{level:g}": q[..., k] for k, level in enumerate(levels)}}
        if samples:
            counts = self.config.likelihood == "negative-binomial"
            paths = likelihood.paths(q, levels, self.model.persistence, samples, self.config.seed, counts)
            columns = {f"s{k + 1}": paths[..., k] for k in range(samples)}
        table = horizons.to_frame(self.schema, panel, columns)
        table.attrs["notes"] = [*notes, *table.attrs["notes"]]
        return table

    def score(
        self, source: Any, *, per: Sequence[str] = (), baselines: Sequence[str] = BASELINES, report: Any = None
    ) -> dict[str, Any]:  # fmt: skip
        """The metrics of `scoring.score` on data that hold the truth, beside the classical methods.

        Of known series, the truth is the first `horizon` rows after the history; other series are cut before their last
        `horizon` steps. per: "step", "series" for detail. report: a folder for report.png and report.html.
        """
        scoring.check_detail(per)
        later = self._read(source)
        horizon = self.config.horizon
        want_columns(later, self.schema, "target")
        if np.isin(rows_of(later, self.schema).ids, self.panel.ids).any():
            truth = horizons.read_truth(later, self.schema, self.panel, horizon)
            known = horizons.read_known(later, self.schema, self.panel, horizon, partial=True)
            keep = np.flatnonzero(~np.isnan(truth).all(1))
            history, truth, known = roll.cut(self.panel, keep, self.panel.lengths[keep]), truth[keep], known[keep]
        else:
            held = roll.roll(frame.panel(later, self.schema)[0], horizon)
            history, truth, known = held.history, held.truth, held.known
        q = training.predict(self.model, history, known)
        return scoring.prune(self._measure(history, truth, q, baselines, report), per)

    def backtest(
        self, source: Any = None, *, windows: int = 3, step: int | None = None, refit: bool = False,
        per: Sequence[str] = (), baselines: Sequence[str] = BASELINES, progress: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Score over rolling origins, the last one `horizon` before the end, each `step` (the horizon) after another.

        Weights are never scored on their training data: a new network is trained on the steps before the first origin,
        or with refit before each. With a source of series that the run does not know, its own weights serve.
        """
        scoring.check_detail(per)
        within("windows", windows, 1, 1000)
        within("step", 1 if step is None else step, 1)
        panel = self.panel if source is None else self.extend(self._read(source))
        cases = roll.roll(panel, self.config.horizon, windows, step, min_history=2)
        fresh = source is None or bool(np.isin(panel.ids, self.panel.ids).any())
        q = np.full((*cases.truth.shape, len(self.config.quantiles)), np.nan)
        model = self.model
        for w in range(windows):
            mine = np.flatnonzero(cases.window == w)
            if len(mine) == 0:
                continue
            history = roll.cut(cases.history, mine, cases.history.lengths[mine])
            if refit or (fresh and model is self.model):
                model, _, _ = training.fit(history, self.config, runs.start(TASK, None, progress=progress))
            q[mine] = training.predict(model, history, cases.known[mine])
        result = self._measure(cases.history, cases.truth, q, baselines)
        for metrics in scoring.by_method(result).values():
            scaled = np.array(metrics["per"]["series"]["mase"], float)
            metrics["windows"] = scoring.plain([scoring.mean(scaled[cases.window == w], 0) for w in range(windows)])
        return scoring.prune(result, per)

    def update(
        self, source: Any, *, steps: int | None = None, out: Any = None, overwrite: bool = False, progress: bool = True
    ) -> Run:
        """A new run: these weights trained further on the history and the new rows, which it then continues.

        steps: updates of the weights, by default a fifth of those of the fit.
        """
        within("steps", 1 if steps is None else steps, 1)
        with runs.start(TASK, out, overwrite=overwrite, progress=progress) as job:
            data = self._read(source)
            new, notes = frame.panel(data, self.schema, new=True)
            notes += notes_of(data, numeric(self.schema))
            notes += frame.describe_change(self.panel, new, self.schema.target)
            panel = frame.join(self.panel, new)
            model, _, history = training.fit(panel, self.config, job, start=copy.deepcopy(self.model), steps=steps)
            return job.finish(Run(self.config, self.schema, model, panel, {"updated": True}, history, notes))

    def report(self, folder: str | os.PathLike[str]) -> dict[str, Any] | None:
        """Draw report.png and report.html of the horizon held out in the fit; its score, or None if there was none.

        The baselines are all three classical methods for up to `FEW` series, and the two quick ones for more.
        """
        held = np.flatnonzero(~np.isnan(self.model.held).all((1, 2)))
        if len(held) == 0:
            return None
        ends = self.panel.lengths[held] - self.config.horizon
        truth = self.panel.y[(self.panel.offsets[held] + ends)[:, None] + np.arange(self.config.horizon)]
        q = self.model.held[held].astype(np.float64)
        baselines = BASELINES if len(held) <= FEW else ("SeasonalNaive", "Theta")
        return scoring.prune(self._measure(roll.cut(self.panel, held, ends), truth, q, baselines, folder), ())

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        arrays = [f.name for f in fields(Panel) if f.name not in ("ids", "freq", "zone")]
        panel = {f"panel.{name}": getattr(self.panel, name) for name in arrays}
        panel["panel.times"] = panel["panel.times"].astype(np.int64)
        model = self.model
        state = {"learnt.widths": model.widths, "learnt.persistence": np.array(model.persistence),
                 "learnt.held": model.held}  # fmt: skip
        extras = {"schema": asdict(self.schema), "ids": self.panel.ids.tolist(), "recipe": asdict(model.recipe)}
        runs.save(TASK, folder, self, model.networks, extras, panel | state)

    def summary(self) -> str:
        """The run in a few lines for people."""
        return runs.summary(self, training.describe(self.model, self.metrics))

    def extend(self, data: Any) -> Panel:
        """The series of a frame, after what the run knows of them."""
        return self._extend(data)[0]

    def _read(self, source: Any, *, wide: bool | None = None) -> Any:
        """A source read as the fit read its own."""
        return read(source, self.config, self.schema.decimals, wide=wide)

    def _extend(self, data: Any) -> tuple[Panel, tuple[str, ...]]:
        """`extend`, with what is strange in the data."""
        new, (_, *sentences) = frame.panel(data, self.schema, new=True)
        sentences = [*notes_of(data, numeric(self.schema)), *sentences]
        notes = tuple(s for s in sentences if s not in self.notes)
        notes += frame.describe_change(self.panel, new, self.schema.target)
        old = np.flatnonzero(np.isin(self.panel.ids, new.ids))
        strange = [str(name) for name in new.ids[~np.isin(new.ids, self.panel.ids)]]
        if strange:
            notes += (f"{len(strange):,} series that the fit has not seen: {enumerate_some(strange)}.",)
        if len(old):
            new = frame.join(roll.cut(self.panel, old, self.panel.lengths[old]), new)
        return new, notes

    def _measure(
        self, history: Panel, truth: np.ndarray, q: np.ndarray, baselines: Sequence[str], report: Any = None
    ) -> dict[str, Any]:
        """All that `scoring.score` gives, drawn where a folder is given for it."""
        levels, target = self.config.quantiles, self.schema.target
        result = scoring.score(history, truth, q, levels, self.model.recipe.season, beside=baselines)
        if report is not None:
            from gated.tasks.forecast.report import draw

            title = f"{target}, the next {self.config.horizon} steps"
            draw(report, history, q, levels, truth=truth, result=result, losses=self.history, title=title,
                 target=target)  # fmt: skip
        return result


def fit(
    source: Any, config: Config | None = None, *, out: Any = None, resume: bool = False, overwrite: bool = False,
    progress: bool = True, **choices: Any,
) -> Run:  # fmt: skip
    """Train a forecaster of every series of a file or frame, and write the run to the folder `out`.

        run = fit("sales.csv", time="date", target="qty", id="shop", horizon=28, out="runs/sales")

    choices are the fields of `Config`. With `resume`, a fit that was stopped in `out` continues; a run in it is
    replaced only with `overwrite`, once the new one is trained.
    """
    if config is None and "horizon" not in choices:
        refuse("fit", "a horizon", "none", "Say how many steps to forecast: horizon=28.")
    if isinstance(choices.get("id"), list | tuple):
        choices["id"] = ",".join(choices["id"])
    config = options.make(Config, choices, config)
    with runs.start(TASK, out, resume, overwrite, progress) as job:
        data = read(source, config)
        schema, rows = infer_rows(
            data, time=config.time, target=config.target, id=data.attrs.get("id", config.id), past=config.past,
            known=config.known, static=config.static, freq=config.freq, time_format=config.time_format,
            zone=config.zone,
        )  # fmt: skip
        panel, notes = frame.panel(data, schema, rows, context=config.context or 0)
        notes += notes_of(data, numeric(schema))
        model, metrics, history = training.fit(panel, config, job)
        return job.finish(Run(config, schema, model, panel, metrics, history, notes))


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        schema = Schema(**stored.extras["schema"])
        panel = _panel(stored, schema, f"run folder {folder}")
        return Run(config, schema, training.restore(stored, config, panel), panel, **common)

    return runs.load(TASK, folder, restore)


def _panel(stored: Any, schema: Schema, where: str) -> Panel:
    """The series of a run folder."""
    arrays = {k.removeprefix("panel."): v for k, v in stored.arrays.items() if k.startswith("panel.")}
    times = arrays.pop("times").astype(np.int64)
    ids = np.array(stored.extras["ids"], None if schema.ids == "integer" else object)
    clock = times if schema.freq.isdecimal() else times.view("datetime64[ns]")
    panel = Panel(ids=ids, times=clock, freq=schema.freq, zone=schema.hours, **arrays)
    rows, n = len(panel.y), len(panel.ids)
    fits = (
        panel.offsets.shape == (n + 1,) and panel.offsets[0] == 0 and panel.offsets[-1] == rows
        and bool((np.diff(panel.offsets) >= 0).all())
        and all(len(a) == rows and a.ndim == d for a, d in ((panel.times, 1), (panel.past, 2), (panel.known, 2)))
        and panel.static.shape[:1] == (n,)
    )  # fmt: skip
    want(fits, where, "a panel whose parts agree", "parts of other sizes")
    return panel
