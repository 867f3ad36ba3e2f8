"""A fitted forecaster: what it learnt, what it says of the future, and how good that is."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from gated import options, runs
from gated._check import optional, refuse, want, within
from gated.io.tables import read
from gated.tasks.forecast import ahead, frame, learn, roll, score
from gated.tasks.forecast.baselines import BASELINES
from gated.tasks.forecast.learn import Learnt
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.task import TASK, Config

pd: Any = optional("pandas", "forecast")

FEW = 100  # series on which AutoETS is a matter of seconds


@dataclass(frozen=True)
class Run:
    """A forecaster and the series it goes on from."""

    config: Config
    schema: frame.Schema
    learnt: Learnt
    panel: Panel  # the history that `predict` continues
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)  # of the training, a row every few steps
    notes: tuple[str, ...] = ()  # what was met in the data

    def predict(self, source: Any = None, *, future: Any = None, samples: int = 0) -> Any:
        """The next `horizon` steps as a data frame: a row for each series and step, under the data's own names.

        source: a file or frame that holds the history to go on from. Rows of series that the run knows continue
        these, and only the series in it are forecast; without it, every series goes on from where the training data
        end. Nothing is learnt. future: a file or frame with the known covariates of the steps to come.
        samples: this many sample paths, columns s1, s2, …, instead of the median and quantiles.
        """
        within("samples", samples, 0, 10_000)
        todo = "Fit with known, or leave future out."
        want(future is None or bool(self.schema.known), "future", "a run with known covariates", "one without", todo)
        panel = self.panel if source is None else self._continued(read(source, id=self.schema.id))
        coming = None if future is None else read(future, id=self.schema.id)
        known = ahead.known_future(coming, self.schema, panel, self.config.horizon)
        if samples:
            paths = learn.sample(self.learnt, panel, known, samples, self.config.seed)
            return ahead.to_frame(self.schema, panel, {f"s{k + 1}": paths[..., k] for k in range(samples)})
        told = learn.quantiles(self.learnt, panel, known)
        return ahead.to_frame(self.schema, panel, ahead.columns(told, self.config.quantiles))

    def score(
        self, source: Any, *, per: Sequence[str] = (), baselines: Sequence[str] = BASELINES, report: Any = None
    ) -> dict[str, Any]:  # fmt: skip
        """Measure on data that hold the truth, beside the classical methods: see `score.score` for what is in it.

        Of series that the run knows, the rows after its history are the truth, the first `horizon` of them; other
        series are cut before their last `horizon` steps. per: "step", "series" for detail. report: a folder for
        report.png and report.html.
        """
        later = read(source, id=self.schema.id)
        horizon = self.config.horizon
        frame.want_columns(later, self.schema, "target")
        if np.isin(frame.rows_of(later, self.schema).ids, self.panel.ids).any():
            truth = ahead.truth(later, self.schema, self.panel, horizon)
            known = ahead.known_future(later, self.schema, self.panel, horizon, partial=True)
            keep = np.flatnonzero(~np.isnan(truth).all(1))
            history, truth, known = roll.cut(self.panel, keep, self.panel.lengths[keep]), truth[keep], known[keep]
        else:
            held = roll.roll(frame.panel(later, self.schema)[0], horizon)
            history, truth, known = held.history, held.truth, held.known
        told = learn.quantiles(self.learnt, history, known)
        return self._measured(history, truth, told, per, baselines, report)

    def backtest(
        self, source: Any = None, *, windows: int = 3, step: int | None = None, refit: bool = False,
        per: Sequence[str] = (), baselines: Sequence[str] = BASELINES, progress: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Score over rolling origins, the last one `horizon` before the end, each `step` (the horizon) after another.

        Weights are never scored on what they learnt from: a new network learns from what lies before the first origin,
        or with refit before each. With a source of series that the run does not know, its own weights serve.
        """
        within("windows", windows, 1, 1000)
        within("step", 1 if step is None else step, 1)
        panel = self.panel if source is None else self._continued(read(source, id=self.schema.id))
        rolled = roll.roll(panel, self.config.horizon, windows, step, least=2)
        fresh = source is None or bool(np.isin(panel.ids, self.panel.ids).any())
        told = np.full((*rolled.truth.shape, len(self.config.quantiles)), np.nan)
        learnt = self.learnt
        for w in range(windows):
            mine = np.flatnonzero(rolled.window == w)
            if len(mine) == 0:
                continue
            history = roll.cut(rolled.history, mine, rolled.history.lengths[mine])
            if refit or (fresh and learnt is self.learnt):
                learnt, _, _ = learn.learn(history, self.config, runs.start(TASK, None, progress=progress))
            told[mine] = learn.quantiles(learnt, history, rolled.known[mine])
        result = self._measured(rolled.history, rolled.truth, told, ["series", *per], baselines)
        for found in (result, *result["baselines"].values()):
            found["windows"] = roll.by_window(rolled, found["per"]["series"]["mase"])
            if "series" not in per:
                del found["per"]["series"]
            if not per:
                del found["per"]
        return result

    def update(self, source: Any, *, steps: int | None = None, out: Any = None, progress: bool = True) -> Run:
        """A new run: these weights taught further on the history and the new rows, which it then goes on from.

        steps: updates of the weights, by default a fifth of those of the fit.
        """
        within("steps", 1 if steps is None else steps, 1)
        job = runs.start(TASK, out, progress=progress)
        new, report = frame.panel(read(source, id=self.schema.id), self.schema)
        panel = frame.join(self.panel, new)
        learnt, _, history = learn.learn(panel, self.config, job, start=copy.deepcopy(self.learnt), steps=steps)
        notes = tuple(report.lines())
        return job.finish(
            replace(self, learnt=learnt, panel=panel, metrics={"updated": True}, history=history, notes=notes)
        )

    def report(self, folder: str | os.PathLike[str]) -> dict[str, Any] | None:
        """Draw report.png and report.html of the horizon held out in the fit; its score, or None if there was none.

        It stands beside all three classical methods for up to `FEW` series, and beside the two quick ones for more.
        """
        kept = np.flatnonzero(~np.isnan(self.learnt.held).all((1, 2)))
        if len(kept) == 0:
            return None
        ends = self.panel.lengths[kept] - self.config.horizon
        truth = self.panel.y[(self.panel.offsets[kept] + ends)[:, None] + np.arange(self.config.horizon)]
        told = self.learnt.held[kept].astype(np.float64)
        baselines = BASELINES if len(kept) <= FEW else ("SeasonalNaive", "Theta")
        return self._measured(roll.cut(self.panel, kept, ends), truth, told, (), baselines, folder)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        panel = {f"panel.{f.name}": getattr(self.panel, f.name) for f in fields(Panel) if f.name not in ("ids", "freq")}
        panel["panel.times"] = panel["panel.times"].astype(np.int64)
        extras = {
            "schema": asdict(self.schema),
            "ids": self.panel.ids.tolist(),
            "recipe": asdict(self.learnt.recipe),
        }
        arrays = panel | {f"learnt.{name}": value for name, value in self.learnt.arrays().items()}
        runs.save(TASK, folder, self, self.learnt.networks, extras, arrays)

    def summary(self) -> str:
        """The run in a few lines for people."""
        return runs.summary(self, learn.describe(self.learnt, self.metrics))

    def _continued(self, found: Any) -> Panel:
        """The series of a frame, with what the run knows of them before."""
        new, _ = frame.panel(found, self.schema)
        old = np.flatnonzero(np.isin(self.panel.ids, new.ids))
        if len(old) == 0:
            return new
        return frame.join(roll.cut(self.panel, old, self.panel.lengths[old]), new)

    def _measured(
        self, history: Panel, truth: np.ndarray, told: np.ndarray, per: Sequence[str], baselines: Sequence[str],
        report: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        levels, season = self.config.quantiles, self.learnt.recipe.season
        wanted = ("step", "series") if report is not None else per
        result = score.score(history, truth, told, levels, season, beside=baselines, per=wanted)
        if report is not None:
            title = f"{self.schema.target}, the next {self.config.horizon} steps"
            from gated.tasks.forecast.report import draw

            draw(report, history, told, levels, truth=truth, result=result, losses=self.history, title=title,
                 target=self.schema.target)  # fmt: skip
            for found in (result, *result["baselines"].values()):
                found["per"] = {word: found["per"][word] for word in per}
                if not per:
                    del found["per"]
        return result


def fit(
    source: Any, config: Config | None = None, *, out: Any = None, resume: bool = False, progress: bool = True,
    **choices: Any,
) -> Run:  # fmt: skip
    """Learn to forecast every series of a file or frame, and write the run to the folder `out`.

        run = fit("sales.csv", time="date", target="qty", id="shop", horizon=28, out="runs/sales")

    choices are the fields of `Config`. With `resume`, a fit that was stopped in `out` goes on.
    """
    if config is None and "horizon" not in choices:
        refuse("fit", "a horizon", "none", "Say how many steps to forecast: horizon=28.")
    config = options.make(Config, choices, config)
    job = runs.start(TASK, out, resume, progress)
    data = read(source, id=config.id)
    schema = frame.learn(
        data, time=config.time, target=config.target, id=config.id, past=config.past, known=config.known,
        static=config.static, freq=config.freq,
    )  # fmt: skip
    panel, report = frame.panel(data, schema, context=config.context or 0)
    learnt, metrics, history = learn.learn(panel, config, job)
    return job.finish(Run(config, schema, learnt, panel, metrics, history, tuple(report.lines())))


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        schema = frame.Schema(**stored.extras["schema"])
        panel = _panel(stored, schema, f"run folder {folder}")
        rest = {k.removeprefix("learnt."): v for k, v in stored.arrays.items() if k.startswith("learnt.")}
        learnt = learn.restore(stored.extras["recipe"], config.members, panel, rest, stored.state)
        return Run(config, schema, learnt, panel, **common)

    return runs.load(TASK, folder, restore)


def _panel(stored: Any, schema: frame.Schema, where: str) -> Panel:
    """The series of a run folder."""
    arrays = {k.removeprefix("panel."): v for k, v in stored.arrays.items() if k.startswith("panel.")}
    times = arrays.pop("times").astype(np.int64)
    ids = np.array(stored.extras["ids"], None if schema.ids == "integer" else object)
    clock = times if schema.freq.isdecimal() else times.view("datetime64[ns]")
    panel = Panel(ids=ids, times=clock, freq=schema.freq, **arrays)
    rows, n = len(panel.y), len(panel.ids)
    fits = (
        panel.offsets.shape == (n + 1,) and panel.offsets[0] == 0 and panel.offsets[-1] == rows
        and bool((np.diff(panel.offsets) >= 0).all())
        and all(len(a) == rows and a.ndim == d for a, d in ((panel.times, 1), (panel.past, 2), (panel.known, 2)))
        and panel.static.shape[:1] == (n,)
    )  # fmt: skip
    want(fits, where, "a panel whose parts agree", "parts of other sizes")
    return panel
