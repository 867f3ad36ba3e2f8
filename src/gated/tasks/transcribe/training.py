"""Training: data preparation, network size from data size, fit, held-out metrics."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gated import data, runs, train
from gated._check import refuse, want
from gated.features import alphabet
from gated.features.alphabet import Alphabet
from gated.runs import Job
from gated.tasks.transcribe import batches, frames, model, scoring
from gated.tasks.transcribe.batches import Batch, BatchOptions, Example
from gated.tasks.transcribe.data import Dataset, Item
from gated.tasks.transcribe.frames import Frames, list_faults, note_faults
from gated.tasks.transcribe.model import Network, Shape, Transcriber
from gated.tasks.transcribe.search import decode_greedily
from gated.tasks.transcribe.task import Config

MAX_HELD = 500  # examples held out where no validation data are given
EARLY = 0.3  # weight of the auxiliary loss of the front end
EPOCHS, MIN_STEPS = 60, 3000
EVALUATE = 200  # updates between evaluations, at least; and at least an epoch
UNITS = ((10_000, 128), (50_000, 192), (float("inf"), 320))  # up to so many examples
DROPOUT = 0.3
BATCH = {"sound": 4000, "print": 3000}  # frames
CHANNELS = (16, 32, 64)  # of the blocks, each of which halves the rows
MAX_RATIO = 12.0  # steps per symbol from which training is slow


def fit(
    dataset: Dataset,
    valid: Dataset | None,
    config: Config,
    job: Job,
    evaluate: int = EVALUATE,
    start: Transcriber | None = None,
) -> tuple[Transcriber, dict[str, Any], list[dict[str, int | float]], list[str]]:
    """Train on the examples: the transcriber, its metrics, the history of the training, and notes.

    Without validation data some of the examples are held out, if `config.hold` is above 0. evaluate: updates between
    evaluations, at least. start: a transcriber whose weights are trained further, with its symbols and frames.
    """
    kind = dataset.kind if valid is None else valid.kind
    want(kind == dataset.kind, valid.where if valid else "", f"{dataset.kind}, as in {dataset.where}", kind)
    want(start is None or start.frames.kind == kind, dataset.where, "files of the run's kind", kind)
    how = frames.choose(dataset.items, dataset.kind, config) if start is None else start.frames
    remarks: list[str] = []
    items, xs, faults = read_usable(dataset.items, how, config, config.reduce, remarks)
    got, todo = f"none. {list_faults(faults).rstrip('.')}", "Nothing is left to learn from."
    want(bool(items), dataset.where, "examples that can be trained on", got, todo)
    if start is None:
        letters = alphabet.fit((item.text or "" for item in items), config.tokens, config.lower)
    else:
        letters = start.alphabet
        known = [bool(letters.encode(item.text or "")) for item in items]
        todo = "Fit a new run for another script."
        want(any(known), dataset.where, "texts with symbols of the run", "none", todo)
        remarks += note_unknown(letters, items)
        items = [item for item, fits in zip(items, known, strict=True) if fits]
        xs = [x for x, fits in zip(xs, known, strict=True) if fits]
    notes, left_out = [*dataset.notes, *remarks, *note_faults(faults, dataset.where)], faults
    if valid is None:
        size = min(MAX_HELD, round(len(items) * config.hold))
        want(len(items) > size, "data", "an example to learn from", f"{len(items)}, of which {size} held out")
        used, held = data.hold_out(len(items), size)
        held_items, held_xs = [items[k] for k in held], [xs[k] for k in held]
        items, xs = [items[k] for k in used], [xs[k] for k in used]
    else:
        held_items, held_xs, faults = read_usable(valid.items, how, config)
        want(bool(held_items), valid.where, "examples that can be read", f"none. {list_faults(faults).rstrip('.')}")
        notes += note_faults(faults, valid.where)
    notes += note_unknown(letters, held_items)
    if how.kind == "sound" and start is None:
        mean, std = frames.mean_std(xs)
        how = replace(how, mean=tuple(map(float, mean)), std=tuple(map(float, std)))
    shape, steps, budget = choose_sizes(config, how, len(letters), xs)
    dropout = DROPOUT if config.dropout is None else config.dropout
    with train.seeded(config.seed):
        network = Network(shape if start is None else start.network.shape, dropout)
    if start is not None:
        network.load_state_dict(start.network.state_dict())
    examples = [
        Example(x, letters.encode(item.text or ""), item.speaker or "") for item, x in zip(items, xs, strict=True)
    ]
    notes += note_ratio(examples, network.shape)
    options = BatchOptions(
        how.kind == "sound", config.augment, config.mask, config.join,
        () if letters.separator is None else (letters.separator,), how.normalise,
        frames.measure(how, items, xs),
    )  # fmt: skip
    batch, epoch = batches.bucket(examples, budget, options, config.seed)
    transcriber = Transcriber(how, letters, network)
    stats = frames.measure(how, held_items, held_xs)
    held_xs = [
        frames.normalise(x, how.normalise, stats[item.speaker or ""])
        for item, x in zip(held_items, held_xs, strict=True)
    ]
    truth = [letters.plain(item.text or "") for item in held_items]

    def loss(network: Any, batch: Batch) -> Any:
        return model.loss(network, batch, EARLY)

    def validate(_: Any) -> dict[str, float]:  # the transcriber's own network, with averaged weights
        cer, wer = scoring.rates(decode_greedily(transcriber, held_xs), truth)
        return {"cer": 100 * cer, "wer": 100 * wer}

    read = [[(one.text, one.speaker) for one in (*items, *held_items)], *xs, *held_xs]
    history = runs.fit(
        network, loss, batch, config, job, data=read, validate=validate if held_items else None,
        steps=steps if config.time_limit is None or config.steps else 10**9, schedule="linear", warmup=0.05,
        eval_every=max(epoch, evaluate),
    )  # fmt: skip
    network.eval()
    metrics: dict[str, Any] = {
        "examples": len(items), "left_out": len(left_out), "faults": left_out,
        "longest": max(x.shape[1] for x in xs),
        "seconds_of_sound" if how.kind == "sound" else "columns": sum(x.shape[1] for x in xs) * how.unit,
        "symbols": len(letters) - 1, "steps": history.steps, "passes": history.steps / epoch,
        "best_step": history.best_step, "stopped": history.stopped,
    }  # fmt: skip
    if held_items:
        cer, wer = scoring.rates(decode_greedily(transcriber, held_xs), truth)
        metrics["held_out"] = {"cer": cer, "wer": wer, "examples": len(held_items)}
    return transcriber, metrics, history.rows, notes


# ---- data


def read_usable(
    items: Sequence[Item], how: Frames, config: Config, reduce: int = 0, notes: list[str] | None = None
) -> tuple[list[Item], list[np.ndarray], list[str]]:
    """The items that can be trained on, their frames, and the faults of the others.

    reduce: frames per step, where the text must fit the steps. With bad="refuse" faults are one error that names the
    first files, after all have been tried.
    """
    usable, xs, faults = [], [], []
    for item, x in frames.read_all(items, how, config.longest, notes):
        fault = x if isinstance(x, str) else _find_fault(item, x, config, how.longest(config.longest), reduce)
        if fault or isinstance(x, str):
            faults.append(fault)
        else:
            usable.append(item)
            xs.append(x.astype(np.float16))  # there may be many hours of them
    if faults and config.bad == "refuse":
        got = f"{len(faults)} that cannot: {list_faults(faults).rstrip('.')}"
        todo = "Mend them, or take bad='skip' (--bad skip) to go on without them."
        refuse("data", "files that can all be trained on", got, todo)
    return usable, xs, faults


def _find_fault(item: Item, x: np.ndarray, config: Config, longest: int, reduce: int) -> str | None:
    """Why frames and their text cannot be trained on."""
    where, T = item.path if item.where in ("", item.path) else f"{item.where}, {item.path}", x.shape[1]
    symbols = Alphabet(config.tokens, ("",), config.lower).split(item.text or "")
    if not symbols:
        return f"{where}: expected a text, got an empty one."
    if longest < T:
        return f"{where}: expected at most {longest} frames, got {T}. Cut it, or raise longest."
    needed = len(symbols) + sum(a == b for a, b in itertools.pairwise(symbols))
    if reduce and -(-T // reduce) < needed:
        got = f"{T} frames, which become {-(-T // reduce)} steps"
        todo = "Its text may be another's, or reduce too large."
        return f"{where}: expected at least {needed} steps for its text, got {got}. {todo}"
    return None


# ---- notes


def note_unknown(letters: Alphabet, items: Sequence[Item]) -> list[str]:
    """The symbols of some texts that the alphabet lacks, in a sentence."""
    texts = [(item.where or item.path, letters.unknown(item.text or "")) for item in items]
    texts = [(where, symbols) for where, symbols in texts if symbols]
    unknown = sorted({"“ ”" if symbol.isspace() else symbol for _, symbols in texts for symbol in symbols})
    count = f"{len(texts):,} texts, the first at" if len(texts) > 1 else "a text at"
    note = f"Not in the training data, so never output: {' '.join(unknown[:20])}, in {count}"
    return [f"{note} {texts[0][0]}."] if texts else []


def note_ratio(examples: Sequence[Example], shape: Shape) -> list[str]:
    """A warning where there are many steps per symbol: training then takes long to escape the all-blank solution."""
    steps = sum(-(-one.x.shape[1] // shape.stride) for one in examples)
    ratio = steps / max(1, sum(len(one.tokens) for one in examples))
    if ratio <= MAX_RATIO:
        return []
    return [f"There are {ratio:.0f} steps to a symbol: with a larger reduce (now {shape.stride}) it may learn faster."]


def describe(transcriber: Transcriber, metrics: dict[str, Any]) -> list[str]:
    """The network and its held-out figures in sentences."""
    size, how = sum(p.numel() for p in transcriber.network.parameters()), transcriber.frames
    reads = f"{how.rows} bands of sound at {how.rate:,} Hz" if how.kind == "sound" else f"lines of {how.rows} rows"
    kind = "words" if transcriber.alphabet.tokens == "word" else "characters"
    lines = [f"A network of {size:,} weights reads {reads} and writes {len(transcriber.alphabet) - 1:,} {kind}."]
    if "examples" in metrics:
        left = f" ({metrics['left_out']:,} left out)" if metrics["left_out"] else ""
        lines.append(f"Trained on {metrics['examples']:,} examples{left} for {metrics['passes']:.0f} epochs.")
    if metrics.get("held_out"):
        held = metrics["held_out"]
        cer, wer = scoring.percent(held["cer"]), scoring.percent(held["wer"])
        lines.append(f"{held['examples']:,} held out: {cer} of characters wrong, {wer} of words.")
    if "fit_seconds" in metrics:
        lines.append(f"Fit in {metrics['fit_seconds']:.1f} s.")
    return lines


def choose_sizes(config: Config, how: Frames, symbols: int, xs: Sequence[np.ndarray]) -> tuple[Shape, int, int]:
    """The network, the updates and the frames of a batch; where the config has None they follow from the data."""
    units = config.units or next(units for limit, units in UNITS if len(xs) <= limit)
    halvings = config.reduce.bit_length() - 1
    depth = max(halvings, 2 if config.streaming and how.kind == "sound" else 3)  # a third block delays live sound
    blocks = () if config.front == "stack" else tuple(
        (channels, 2, 2 if k < halvings else 1) for k, channels in enumerate(CHANNELS[:depth])
    )  # fmt: skip
    shape = Shape(
        how.rows, symbols, blocks, config.reduce if config.front == "stack" else 1, config.cell, config.layers, units,
        both=not config.streaming, spell=config.decoder == "attention",
    )  # fmt: skip
    budget = config.batch or BATCH[how.kind]
    steps = int(EPOCHS * sum(x.shape[1] for x in xs) / budget)
    return shape, config.steps or max(MIN_STEPS, steps), budget
