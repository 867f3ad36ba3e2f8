"""Training: preparation of the data, sizes from the amount of data, fit, held-out metrics, calibration.

Of few examples some are held out first, which says how good the classifier is and calibrates it; then it is trained
anew on all of them, for as long. Of many the held-out ones also choose the best weights, and there is no second part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gated import checkpoint, data, runs, train, trees
from gated._check import one_of, want
from gated.features.tokens import SPECIAL
from gated.layers.pooling import KINDS as POOLINGS
from gated.runs import Job
from gated.tasks.classify import augment, inputs, model, scoring, targets
from gated.tasks.classify.data import Dataset
from gated.tasks.classify.inputs import Inputs
from gated.tasks.classify.layout import Layout
from gated.tasks.classify.model import Batch, Network, Shape
from gated.tasks.classify.targets import Targets
from gated.tasks.classify.task import Config

FEW = 2000  # examples below which those held out are trained on in a second part
MAX_HELD, MIN_HELD = 2000, 10
FIRST = "held"  # folder, in the run folder, from which the first part resumes
SHARE = 0.4  # of the time limit that the first part takes
EVALUATIONS = 20  # of a training
EPOCHS = {"text": 10, "series": 60, "sound": 60, "image": 40, "video": 60}  # of up to `MANY` examples
MANY = {"text": 10_000}  # examples, 1,000 of other kinds, from which epochs fall with the root of their number
MIN_STEPS, MAX_STEPS = 600, 30_000
LONGER = 4  # times as many updates, if a time limit allows them; text would be learnt by heart
VOCABULARY = 30_000
MAX_PAIRS, WEIGHTS = 200_000, 4_000_000  # of the linear model beside the network for text
STEPS = 128  # of the recurrent layers, up to which a front shortens long series
BUDGET = 1 << 22  # numbers of a batch in evaluation
DROPOUT = {"text": 0.5, "series": 0.3, "sound": 0.3, "image": 0.3, "video": 0.3}
JITTER = 0.3  # by which lengths are misjudged when batches of like length are formed, as a share


@dataclass(frozen=True)
class Classifier:
    """A network, and what its inputs and outputs are."""

    layout: Layout
    inputs: Inputs
    targets: Targets
    network: Network
    temperature: float = 1.0  # of the probabilities
    spread: float = (
        0.0  # of a number: the standard deviation of its errors on held-out examples, in units of the target's
    )

    @property
    def device(self) -> torch.device:
        return self.network.output.weight.device


@train.threads(1)  # its operators are small: a second thread saves little, and on busy cores costs many times the work
def fit(
    dataset: Dataset, valid: Dataset | None, config: Config, job: Job
) -> tuple[Classifier, dict[str, Any], list[dict[str, int | float]], list[str]]:
    """Train on the examples: the classifier, its metrics, the history of the training, and notes."""
    notes = [*dataset.notes, *(valid.notes if valid is not None else ())]
    goal = targets.fit(dataset.targets, dataset.places, config.output, notes)
    codes = goal.encode(dataset.targets, dataset.places)
    words = config.vocabulary or VOCABULARY
    reads = inputs.fit(dataset.inputs, dataset.layout, words, config.lower, config.longest)
    xs = reads.encode(dataset.inputs)
    notes += note_lengths(dataset, xs, config)
    size = config.batch or (64 if dataset.layout.kind == "text" else 32)
    shape, steps = choose_sizes(config, dataset.layout, reads, goal, xs, size)
    pairs = find_pairs(xs, shape.vocabulary, len(goal)) if shape.vocabulary else np.zeros(0, np.int64)
    shape = shape._replace(pairs=len(pairs))
    if job.out is not None and not job.resume:
        (checkpoint.claim(job.out, job.artefacts) / checkpoint.TRAINING).unlink(missing_ok=True)
    if valid is None:
        used, held = hold_out(codes, goal.kind, min(MAX_HELD, round(len(xs) * config.hold)))
        test = [xs[k] for k in held], codes[held]
        again = len(xs) < FEW and len(held) > 0
    else:
        used, again = np.arange(len(xs)), False
        test = reads.encode(valid.inputs), goal.encode(valid.targets, valid.places)
        notes += goal.unknown(valid.targets)
        known = np.flatnonzero(test[1] >= 0) if goal.kind == "label" else np.arange(len(test[0]))
        test = [test[0][k] for k in known], test[1][known]
        want(len(known) > 0, valid.where, "examples with labels that are in the training data", "none")

    def make() -> Classifier:
        dropout = DROPOUT[dataset.layout.kind] if config.dropout is None else config.dropout
        with train.seeded(config.seed):
            network = Network(shape, dropout)
        if shape.pairs:
            network.pairs.copy_(torch.from_numpy(pairs))  # pyright: ignore[reportCallIssue]
        return Classifier(dataset.layout, reads, goal, network)

    read = [xs, codes, *test]
    made, rows, held_out = make(), [], {}
    history = _fit_part(made, [xs[k] for k in used], codes[used], test, config, job, steps, size, read, part=again)
    metrics: dict[str, Any] = {"examples": len(xs), "steps": history.steps, "best_step": history.best_step}
    temperature, spread = 1.0, 0.0
    if len(test[0]):
        scores = score(made, test[0])
        temperature = targets.find_temperature(scores, test[1], goal.kind)
        spread = float(np.sqrt(np.mean((scores[:, 0] - test[1]) ** 2))) if goal.kind == "number" else 0.0
        held_out = scoring.evaluate(predict(made, scores, temperature), test[1], goal) | {"examples": len(test[0])}
    rows = history.rows
    if again:
        made = make()
        history = _fit_part(made, xs, codes, ([], codes[:0]), config, job, steps, size, read)
        past = rows[-1] if rows else {"step": 0, "seconds": 0.0}
        rows = rows + [{**row, **{key: row[key] + past[key] for key in ("step", "seconds")}} for row in history.rows]
        metrics |= {"steps": metrics["steps"] + history.steps}
    metrics |= {
        "epochs": history.steps * size / len(xs), "stopped": history.stopped, "held_out": held_out or None,
        "calibration": {"temperature": temperature},
    }  # fmt: skip
    made = Classifier(made.layout, reads, goal, made.network.eval(), temperature, spread)
    return made, metrics, rows, notes


def _fit_part(
    made: Classifier, xs: Sequence[np.ndarray], codes: np.ndarray, held: tuple[Sequence[np.ndarray], np.ndarray],
    config: Config, job: Job, steps: int, size: int, read: Any, part: bool = False,
) -> train.History:  # fmt: skip
    """Train the network; with held-out examples, unless these are trained on later, the best weights stay."""
    kind, goal = made.layout.kind, made.targets
    weights = balance(codes, goal, config.balance)
    indices = batches(inputs.lengths(xs), size, config.seed)

    def batch(n: int) -> Batch:
        k = indices(n)
        rows = [xs[i] for i in k]
        if config.augment:
            rng = np.random.default_rng((config.seed, n))
            rows = [augment.vary(x, kind, config.augment, rng) if x.shape[-1] else x for x in rows]
        return inputs.collate(rows, codes[k])

    def loss(network: Any, batch: Batch) -> Any:
        return model.loss(network, batch, config.smoothing, weights)

    def validate(_: Any) -> dict[str, float]:
        scores = score(made, held[0])
        figures = scoring.evaluate(predict(made, scores, 1.0), held[1], goal)
        first = ("rmse",) if goal.kind == "number" else ("error", "log_loss")
        return {name: figures[name] for name in first}

    return runs.fit(
        made.network, loss, batch, config, job, data=read, validate=validate if len(held[0]) and not part else None,
        out=job.out / FIRST if part and job.out is not None else None, share=SHARE if part else 1.0,
        steps=steps, warmup=0.1, eval_every=max(1, steps // EVALUATIONS),
    )  # fmt: skip


def batches(lengths: np.ndarray, batch: int, seed: int) -> Any:
    """n -> the indices of batch n; where lengths differ much, of like length, else of any."""
    size = min(batch, len(lengths))
    if lengths.max(initial=1) <= 1.5 * max(1.0, float(lengths.mean())):
        order = data.shuffled(len(lengths), size, seed)
        return lambda n: order(n).numpy()
    count = -(-len(lengths) // size)

    def plan(epoch: int, rng: np.random.Generator) -> list[np.ndarray]:
        order = np.argsort(lengths * rng.uniform(1 - JITTER, 1 + JITTER, len(lengths)), kind="stable")
        return [order[k * size : (k + 1) * size] for k in range(count)]

    return data.grouped(plan, count, seed)


def hold_out(codes: np.ndarray, kind: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the examples without about `size` of them, and these: of every label alike, but one stays."""
    if size == 0:
        return np.arange(len(codes)), np.zeros(0, np.int64)
    if kind != "label":
        used, held = data.hold_out(len(codes), max(1, size))
        return np.array(used), np.array(held, np.int64)
    order = np.random.default_rng(0).permutation(len(codes))
    share, held = size / len(codes), []
    debt = 0.0
    for label in np.unique(codes):
        own = order[codes[order] == label]
        debt += share * len(own)
        take = min(len(own) - 1, round(debt))
        debt -= take
        held += own[:take].tolist()
    mask = np.zeros(len(codes), bool)
    mask[held] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def balance(codes: np.ndarray, goal: Targets, power: float) -> torch.Tensor | None:
    """Weights of labels in the loss: frequency to the power −`power`, 1 in the mean over the examples."""
    if not power or goal.kind != "label":
        return None
    counts = np.bincount(codes, minlength=len(goal)).astype(float)
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0)
    return torch.from_numpy((weights * counts.sum() / (weights * counts).sum()).astype(np.float32))


# ---- sizes


def choose_sizes(
    config: Config, layout: Layout, reads: Inputs, goal: Targets, xs: Sequence[np.ndarray], batch: int
) -> tuple[Shape, int]:
    """The network and the number of updates; where the config has None they follow from the data."""
    for kind in config.pooling:
        one_of("pooling", kind, POOLINGS)
    long = inputs.lengths(xs)
    typical = int(np.quantile(long, 0.95)) if len(long) else 1
    text = layout.kind == "text"
    conv = config.front == "conv" or (config.front == "auto" and layout.kind != "text" and typical > 4)
    plane = conv and layout.kind in ("sound", "image")
    blocks = choose_blocks(layout.kind, typical, reads.rows, plane) if conv else ()
    units = config.units or (192 if text else 128 if plane else 64)
    rows = (config.embedding or 200) if text else reads.rows
    shape = Shape(
        len(reads.tokens) if reads.tokens is not None else 0, rows, len(goal), goal.kind, blocks, plane, config.cell,
        config.layers, units, config.pooling or ("mean", "max", "attention"),
    )  # fmt: skip
    epochs = EPOCHS[layout.kind] * min(1.0, (MANY.get(layout.kind, 1000) / len(xs)) ** 0.5)
    steps = min(MAX_STEPS, max(MIN_STEPS, epochs * len(xs) / batch))
    more = 1 if config.time_limit is None or text else LONGER
    return shape, config.steps or int(more * steps)


def find_pairs(xs: Sequence[np.ndarray], vocabulary: int, outputs: int) -> np.ndarray:
    """The pairs x, y of neighbouring tokens that occur twice, the most frequent ones, as x V + y, in order."""
    codes = np.concatenate([x[:-1] * vocabulary + x[1:] for x in xs])
    pairs, counts = np.unique(codes, return_counts=True)
    most = max(1, min(MAX_PAIRS, WEIGHTS // outputs))
    order = np.argsort(-counts, kind="stable")[:most]
    return np.sort(pairs[order[counts[order] > 1]])


def choose_blocks(kind: str, typical: int, rows: int, plane: bool) -> tuple[tuple[int, int, int, int], ...]:
    """The convolutions of a front: channels, width, and the factors by which steps and rows shrink."""
    if plane:
        halves = (2 if typical > 2 * STEPS else 1, 2 if typical > STEPS else 1)
        return ((32, 3, halves[0], 1), (32, 3, 1, 2), (64, 3, halves[1], 2), (64, 3, 1, 1))
    halvings = max(0, min(6, int(np.ceil(np.log2(max(typical, 1) / STEPS)))))
    steps = [2 if k < halvings else 1 for k in range(3)]
    extra = tuple((64, 3, 2, 1) for _ in range(halvings - 3))
    return ((64, 7, steps[0], 1), (64, 5, steps[2], 1), (64, 3, steps[1], 1), *extra)


# ---- the network's answers


@torch.no_grad()
@train.threads(1)
def score(made: Classifier, xs: Sequence[np.ndarray], pad: int = 0) -> np.ndarray:
    """[N, K] the network's scores of encoded examples. pad: steps beyond the longest, which change nothing."""
    network = made.network
    before = network.training
    network.eval()
    out = np.zeros((len(xs), len(made.targets)), np.float32)
    rows = max(1, xs[0].size // max(1, xs[0].shape[-1])) if len(xs) else 1
    for k in data.split(inputs.lengths(xs) + 1, max(1, BUDGET // max(64, rows))):
        batch = trees.map(lambda x: x.to(made.device), inputs.collate([xs[i] for i in k], pad=pad))
        out[k] = network(batch.x, batch.lengths).cpu().numpy()
    network.train(before)
    return out


def predict(made: Classifier, scores: np.ndarray, temperature: float | None = None) -> np.ndarray:
    """Probabilities of the labels, or numbers."""
    goal = made.targets
    if goal.kind == "number":
        return scores.astype(np.float64) * goal.std + goal.mean
    return targets.probabilities(scores, goal.kind, made.temperature if temperature is None else temperature)


# ---- words


def note_lengths(dataset: Dataset, xs: Sequence[np.ndarray], config: Config) -> list[str]:
    """What of the examples is not read, or empty."""
    notes = []
    cut = sum(len(x) >= config.longest for x in xs) if dataset.layout.kind == "text" else 0
    if cut:
        notes.append(f"{cut:,} texts are longer than {config.longest} tokens: the rest is left out (--longest).")
    empty = [place for x, place in zip(xs, dataset.places, strict=True) if not x.shape[-1]]
    if empty:
        notes.append(f"{len(empty):,} examples are empty: {', '.join(empty[:5])}.")
    return notes


def describe(made: Classifier, metrics: dict[str, Any]) -> list[str]:
    """The network and its held-out figures in sentences."""
    size, goal, layout = sum(p.numel() for p in made.network.parameters()), made.targets, made.layout
    kind = {"text": "text", "series": "series", "sound": "sound", "image": "images", "video": "videos"}[layout.kind]
    more = f" of {layout.count} channels" if layout.kind == "series" and layout.count > 1 else ""
    if made.inputs.tokens is not None:
        more = f" of {len(made.inputs.tokens) - len(SPECIAL):,} tokens"
    gives = "a number" if goal.kind == "number" else f"{len(goal):,} labels"
    lines = [f"A network of {size:,} weights reads {kind}{more} and gives {gives}."]
    if "examples" in metrics:
        lines.append(f"Trained on {metrics['examples']:,} examples for {metrics['epochs']:.0f} epochs.")
    held = metrics.get("held_out")
    if held:
        figures = (
            f"RMSE {held['rmse']:.4g}, R² {held['r2']:.3f}" if goal.kind == "number"
            else f"accuracy {100 * held['accuracy']:.1f} %, macro F1 {100 * held['f1']:.1f} %"
        )  # fmt: skip
        lines.append(f"{held['examples']:,} held out: {figures}.")
    if "fit_seconds" in metrics:
        lines.append(f"Fit in {metrics['fit_seconds']:.1f} s.")
    return lines
