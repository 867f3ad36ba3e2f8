"""A fitted classifier: predict, score, save."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from gated import options, runs
from gated._check import want
from gated.features import tokens as vocabulary
from gated.io.text import is_path
from gated.tasks.classify import baselines, inputs, model, scoring, targets, training
from gated.tasks.classify.data import Dataset, read
from gated.tasks.classify.inputs import Inputs
from gated.tasks.classify.layout import Layout
from gated.tasks.classify.task import TASK, Config
from gated.tasks.classify.training import Classifier

MEMORY = 64 << 20  # bytes of training examples in a run, for the baselines


class Prediction(NamedTuple):
    """The label of an example, several in a tuple, or a number; its probability; and the likeliest labels with theirs.

    A number's `probability` is None, and `spread` the standard deviation of errors on held-out examples.
    """

    place: str
    label: Any
    probability: float | None
    top: tuple[tuple[str, float], ...] = ()
    spread: float | None = None


@dataclass(frozen=True)
class Run:
    """A classifier, and training examples for the baselines that scores compare with."""

    config: Config
    model: Classifier
    memory: tuple[list[Any], np.ndarray]  # examples as they were read, and their targets
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def read(self, source: Any, need: bool = False, targets: Any = None) -> Dataset:
        """The examples of a source, as `predict` takes it."""
        if isinstance(source, str) and self.model.layout.kind == "text":
            source = [source]
        dataset = read(source, self.model.layout, need=need, targets=targets)
        goal, given = self.model.targets, [target for target in dataset.targets if target]
        if dataset.layout.kind == "series" and goal.kind == "label" and given:
            known = any(set(target) <= set(goal.labels) for target in given)
            todo = "A line of the UCR archive begins with a label, which may be any of them."
            want(known, dataset.where, "a label of the run in some line", f"{given[0][0]!r} and the like", todo)
        return dataset

    def predict(self, source: Any) -> Any:
        """The label of a text; of a list, a data frame or a `Path` to a file, as `fit` reads it, a list of labels.

        Labels are text, several of them a tuple; where a number was fitted it is a number.
        """
        labels = [one.label for one in self.classify(source)]
        return labels[0] if isinstance(source, str) and self.model.layout.kind == "text" else labels

    def probabilities(self, source: Any) -> np.ndarray:
        """[N, K] the probability of each of `model.targets.labels`, or [N, 1] numbers."""
        return self._answer(self.read(source))

    def _answer(self, dataset: Dataset) -> np.ndarray:
        return training.predict(self.model, training.score(self.model, self.model.inputs.encode(dataset.inputs)))

    def classify(self, source: Any, top: int = 1) -> list[Prediction]:
        """The prediction of each example, with the `top` likeliest labels."""
        dataset = source if isinstance(source, Dataset) else self.read(source)
        goal, p = self.model.targets, self._answer(dataset)
        if goal.kind == "number":
            spread = self.model.spread * goal.std or None
            return [
                Prediction(place, float(one), None, (), spread)
                for place, one in zip(dataset.places, p[:, 0], strict=True)
            ]
        out = []
        for place, row in zip(dataset.places, p, strict=True):
            order = np.argsort(-row, kind="stable")
            best = tuple((goal.labels[k], float(row[k])) for k in order[: max(1, top)])
            if goal.kind == "labels":
                chosen = np.flatnonzero(row >= 0.5)
                sure = float(np.prod(np.where(row >= 0.5, row, 1 - row)))
                out.append(Prediction(place, tuple(goal.labels[k] for k in chosen), sure, best))
            else:
                out.append(Prediction(place, best[0][0], best[0][1], best))
        return out

    def score(self, source: Any, targets: Any = None) -> dict[str, Any]:
        """Metrics on examples with known targets, beside baselines of the same training data: `scoring.compare`.

        source, targets: as for `fit`. A label that is not in the training data counts as wrong, and is noted.
        """
        dataset = read(source, self.model.layout, need=True, targets=targets)
        goal = self.model.targets
        codes = goal.encode(dataset.targets, dataset.places)
        start = time.perf_counter()
        p = self._answer(dataset)
        seconds = time.perf_counter() - start
        others, remarks = (
            baselines.answers(self.model, *self.memory, dataset.inputs) if len(self.memory[0]) else ({}, [])
        )
        result = scoring.compare(p, codes, goal, others, seconds)
        return result | {"notes": [*dataset.notes, *goal.unknown(dataset.targets), *remarks]}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        made, items = self.model, self.memory[0]
        arrays: dict[str, np.ndarray] = {"memory.codes": self.memory[1]}
        if made.layout.kind == "text":
            arrays["memory.text"] = np.frombuffer(bytearray("\n".join(items), "utf-8"), np.uint8)
        else:
            arrays["memory.lengths"] = inputs.lengths(items)
            parts = [x.T.ravel() for x in items]
            arrays["memory.values"] = np.concatenate([np.zeros(0, np.float32), *parts]).astype(np.float32)
        extras = {
            "layout": asdict(made.layout), "targets": asdict(made.targets), "shape": made.network.shape._asdict(),
            "tokens": None if made.inputs.tokens is None else made.inputs.tokens.save(),
            "scale": None if made.inputs.scale is None else asdict(made.inputs.scale),
            "calibration": {"temperature": made.temperature, "spread": made.spread},
        }  # fmt: skip
        runs.save(TASK, folder, self, made.network, extras, arrays)

    def summary(self) -> str:
        """The run in a few lines for people."""
        return runs.summary(self, training.describe(self.model, self.metrics))


def fit(
    source: Any, targets: Any = None, config: Config | None = None, *, valid: Any = None, out: Any = None,
    resume: bool = False, overwrite: bool = False, progress: bool = True, **choices: Any,
) -> Run:  # fmt: skip
    """Train a classifier, and write the run to the folder `out`.

        run = fit("reviews.csv", text="review", target="stars", time_limit=300, out="runs/stars")

    source: a table, lines, series or a folder of each class, see `data.read`; or a list of texts or arrays, with
    `targets`.
    valid: the same, or a pair (inputs, targets); without it some of the examples are held out. choices are the
    fields of `Config`. With `resume`, a fit that was stopped in `out` continues; a run in it is replaced only with
    `overwrite`.
    """
    config = options.make(Config, choices, config)
    with runs.start(TASK, out, resume, overwrite, progress) as job:
        want(targets is None or not is_path(source), "fit", "a list of inputs beside targets", "one path")
        how = Layout(
            text=config.text or "", target=config.target or "", id=config.id or "", time=config.time or "",
            channels=config.channels, many=config.output == "labels", separator=config.separator,
            height=config.size or 0,
        )  # fmt: skip
        dataset = read(source, how, need=True, targets=targets)
        held = None
        if valid is not None:
            pair = valid if isinstance(valid, tuple) and len(valid) == 2 else (valid, None)
            held = read(pair[0], dataset.layout, need=True, targets=pair[1])
        made, metrics, history, notes = training.fit(dataset, held, config, job)
        chosen = baselines.split(dataset.inputs, MEMORY)
        codes = made.targets.encode(dataset.targets, dataset.places)
        memory = [dataset.inputs[k] for k in chosen], codes[chosen]
        return job.finish(Run(config, made, memory, metrics, history, tuple(notes)))


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder. Nothing in it is executed."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        extras, arrays = stored.extras, stored.arrays
        form = {**extras["layout"], "channels": tuple(extras["layout"]["channels"])}
        how = Layout(**form).check()
        goal = targets.restore(extras["targets"])
        text = how.kind == "text"
        tokens = vocabulary.restore(extras["tokens"]) if text or extras["tokens"] is not None else None
        scale = inputs.restore_scale(extras["scale"], how) if not text or extras["scale"] is not None else None
        want((tokens is None) != text and (scale is None) == text, "run folder", "tokens or a scale", "another")
        reads = Inputs(tokens, scale, config.longest)
        network = model.restore(extras["shape"], stored.state).to(runs.device(config))
        size = (len(tokens), network.shape.rows) if tokens is not None else (0, reads.rows)
        fits = (network.shape.vocabulary, network.shape.rows) == size and network.shape.outputs == len(goal)
        want(fits and network.shape.output == goal.kind, "run folder", "a network of its inputs and labels", "another")
        t, spread = (float(extras["calibration"][name]) for name in ("temperature", "spread"))
        want(0.01 < t < 100 and 0 <= spread < 1e30, "run folder calibration", "a temperature and a spread", "others")
        made = Classifier(how, reads, goal, network, t, spread)
        return Run(config=config, model=made, memory=_memory(arrays, how, made), **common)

    return runs.load(TASK, folder, restore)


def _memory(arrays: dict[str, np.ndarray], how: Layout, made: Classifier) -> tuple[list[Any], np.ndarray]:
    codes = arrays["memory.codes"]
    if how.kind == "text":
        data = arrays["memory.text"].tobytes().decode()
        items: list[Any] = data.split("\n") if len(codes) else []
    else:
        long, values = arrays["memory.lengths"].astype(np.int64), arrays["memory.values"]
        fits = bool((long >= 0).all()) and int(long.sum()) * how.count == len(values) and values.dtype == np.float32
        want(fits, "run folder memory", f"{how.count} numbers a step", f"{len(values):,}")
        ends = np.cumsum(long) * how.count
        parts = np.split(values, ends[:-1]) if len(long) else []
        items = [np.ascontiguousarray(part.reshape(-1, how.count).T) for part in parts]
    shape = (len(items), len(made.targets)) if made.targets.kind == "labels" else (len(items),)
    kind = np.dtype(np.int64 if made.targets.kind == "label" else np.float32)
    fits = codes.shape == shape and codes.dtype == kind
    want(fits, "run folder memory", f"{kind} targets of shape {shape}", f"{codes.dtype} {codes.shape}")
    good = made.targets.kind != "label" or bool(((codes >= 0) & (codes < len(made.targets))).all())
    want(good, "run folder memory", "labels of the run", "others")
    return items, codes
