"""Teaching a network to transcribe, and what a run needs to know of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gated import data, runs, train
from gated._check import refuse, want
from gated.features import alphabet
from gated.runs import Job
from gated.tasks.transcribe import batches, frames, model, score
from gated.tasks.transcribe.batches import Example, Manner
from gated.tasks.transcribe.frames import Fault, Frames
from gated.tasks.transcribe.model import Learnt, Network, Shape
from gated.tasks.transcribe.read import Found, Item
from gated.tasks.transcribe.search import texts
from gated.tasks.transcribe.task import Config

HELD = 500  # examples held out where none are given for validation, at most
EARLY = 0.3  # weight of the loss that the front alone has
PASSES, LEAST = 60, 3000  # over the data; updates
LOOK = 200  # updates between evaluations, at least; at least a pass
UNITS = ((10_000, 128), (50_000, 192), (float("inf"), 320))  # for so many examples at most
DROPOUT = 0.3
FRAMES = {"sound": 4000, "print": 3000}  # of a batch
CHANNELS = (16, 32, 64)  # each block halves the rows
SHOWN = 3  # faults in an error
WIDE = 12.0  # steps to a symbol from which on a network learns slowly


@dataclass(frozen=True)
class Prepared:
    """Examples as the network reads them."""

    frames: Frames
    alphabet: alphabet.Alphabet
    items: list[Item]
    xs: list[np.ndarray]
    faults: list[Fault]
    notes: list[str]


def learn(
    found: Found, held: Found | None, config: Config, job: Job
) -> tuple[Learnt, dict[str, Any], list[dict[str, int | float]], list[str]]:
    """A network for the examples, what was measured on the held-out ones, the history of the training, and notes.

    Without held-out examples some of the others are kept apart for it, if `config.hold` says so.
    """
    same = held is None or held.kind == found.kind
    want(same, held.where if held else "", f"{found.kind}, as in {found.where}", held.kind if held else "")
    ready = prepare(found, config)
    items, xs = ready.items, ready.xs
    if held is None:
        mine, apart = _part(len(items), config.hold)
        asked, asked_xs = [items[k] for k in apart], [xs[k] for k in apart]
        items, xs = [items[k] for k in mine], [xs[k] for k in mine]
        faults: list[Fault] = []
    else:
        asked, asked_xs, faults = readable(held.items, ready.frames, config)
        want(bool(asked), held.where, "examples that can be read", f"none. {_listed(faults).rstrip('.')}")
    how, notes = ready.frames, [*ready.notes, *told(faults, held.where if held is not None else "")]
    notes += strange(ready.alphabet, asked)
    if how.kind == "sound":
        mean, std = frames.figures(xs)
        how = replace(how, mean=tuple(map(float, mean)), std=tuple(map(float, std)))
    shape, steps, budget = recipe(config, how, len(ready.alphabet), xs)
    dropout = DROPOUT if config.dropout is None else config.dropout
    with train.seeded(config.seed):
        network = Network(shape, dropout, "bfloat16" if runs.low_precision(config) else "float32")
    examples = [
        Example(x, ready.alphabet.encode(item.text or ""), item.speaker or "")
        for item, x in zip(items, xs, strict=True)
    ]
    notes += proportions(examples, shape)
    separator = ready.alphabet.separator
    manner = Manner(
        how.kind == "sound", config.augment, config.mask, config.join, () if separator is None else (separator,),
        how.normalise, figures(how, items, xs),
    )  # fmt: skip
    batch, turn = batches.bucketed(examples, budget, manner, config.seed)
    learnt = Learnt(how, ready.alphabet, network)
    known = frames.speakers(asked, asked_xs) if how.normalise == "speaker" else {}
    normal = [frames.normal(how, item, x, known) for item, x in zip(asked, asked_xs, strict=True)]
    truth = [ready.alphabet.plain(item.text or "") for item in asked]

    def loss(network: Any, found: batches.Batch) -> Any:
        return model.loss(network, found, EARLY)

    def validate(network: Any) -> dict[str, float]:
        cer, wer = score.quick(texts(learnt, normal, network), truth)
        return {"cer": 100 * cer, "wer": 100 * wer}

    history = runs.fit(
        network, loss, batch, config, job, validate=validate if asked else None,
        steps=steps if config.time_limit is None or config.steps else 10**9, schedule="linear", warmup=0.05,
        eval_every=max(turn, LOOK),
    )  # fmt: skip
    learnt = replace(learnt, network=model.exact(network.cpu()))
    metrics: dict[str, Any] = {
        "examples": len(items), "left_out": len(found.items) - len(ready.items),
        "seconds_of_sound" if how.kind == "sound" else "columns": sum(x.shape[1] for x in xs) * how.unit,
        "symbols": len(ready.alphabet) - 1, "steps": history.steps, "passes": history.steps / turn,
        "best_step": history.best_step, "stopped": history.stopped,
    }  # fmt: skip
    if asked:
        cer, wer = score.quick(texts(learnt, normal), truth)
        metrics["held_out"] = {"cer": cer, "wer": wer, "examples": len(asked)}
    return learnt, metrics, history.rows, notes


def prepare(found: Found, config: Config) -> Prepared:
    """The frames of all that can be read, and the alphabet of their texts."""
    how = frames.choose(found.items, found.kind, config)
    items, xs, faults = readable(found.items, how, config, config.reduce)
    todo = "Nothing is left to learn from."
    want(bool(items), found.where, "examples that can be learnt from", f"none. {_listed(faults).rstrip('.')}", todo)
    letters = alphabet.fit((item.text or "" for item in items), config.tokens, config.lower)
    return Prepared(how, letters, items, xs, faults, [*found.notes, *told(faults, found.where)])


def readable(
    items: Sequence[Item], how: Frames, config: Config, reduce: int = 0
) -> tuple[list[Item], list[np.ndarray], list[Fault]]:
    """What can be read and learnt from, its frames, and what is wrong with the rest.

    reduce: frames to a step; a text with more symbols than that leaves steps for is wrong with its file.

    With bad="refuse" one error names the first files at fault, after all have been tried.
    """
    kept, xs, faults = [], [], []
    longest = how.longest(config.longest)
    for item, x in frames.gather(items, how, config.longest):
        why = x if isinstance(x, Fault) else _wrong(item, x, config, longest, reduce)
        if why is None and isinstance(x, np.ndarray):
            kept.append(item)
            xs.append(x.astype(np.float16))  # there may be many hours of them
        elif why is not None:
            faults.append(why)
    if faults and config.bad == "refuse":
        todo = "Mend them, or take bad='skip' (--bad skip) to go on without them."
        refuse(
            "data",
            "files that can all be learnt from",
            f"{len(faults)} that cannot: {_listed(faults).rstrip('.')}",
            todo,
        )
    return kept, xs, faults


def _wrong(item: Item, x: np.ndarray, config: Config, longest: int, reduce: int) -> Fault | None:
    """What keeps an example from being learnt from."""
    where = item.path if item.where in ("", item.path) else f"{item.where}, {item.path}"
    pieces = alphabet.Alphabet(config.tokens, ("",), config.lower).split(item.text or "")
    if not pieces:
        return Fault(where, f"{where}: expected a text, got an empty one.")
    if x.shape[1] > longest:
        return Fault(where, f"{where}: expected at most {longest} frames, got {x.shape[1]}. Cut it, or raise longest.")
    need = len(pieces) + sum(a == b for a, b in itertools.pairwise(pieces))
    if reduce and -(-x.shape[1] // reduce) < need:
        got = f"{x.shape[1]} frames, which become {-(-x.shape[1] // reduce)} steps"
        return Fault(
            where,
            f"{where}: expected at least {need} steps for its text, got {got}. "
            "Its text may be another's, or reduce too large.",
        )
    return None


def strange(letters: alphabet.Alphabet, items: Sequence[Item]) -> list[str]:
    """What texts hold that was never learnt, in a sentence."""
    found = [(item.where or item.path, letters.unknown(item.text or "")) for item in items]
    found = [(where, unseen) for where, unseen in found if unseen]
    pieces = sorted({"“ ”" if piece.isspace() else piece for _, unseen in found for piece in unseen})
    count = f"{len(found):,} texts, the first at" if len(found) > 1 else "a text at"
    return [f"Never learnt, so never written: {' '.join(pieces[:20])}, in {count} {found[0][0]}."] if found else []


def told(faults: Sequence[Fault], where: str) -> list[str]:
    """What was left out, in a sentence."""
    return [f"{where}: left out {len(faults):,}: {_listed(faults)}"] if faults else []


def _listed(faults: Sequence[Fault]) -> str:
    more = f" … and {len(faults) - SHOWN:,} more" if len(faults) > SHOWN else ""
    return " ".join(fault.why for fault in faults[:SHOWN]) + more


def figures(how: Frames, items: Sequence[Item], xs: Sequence[np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What normalisation needs to know of those who speak, or under "" of all."""
    if how.normalise == "speaker":
        return frames.speakers(items, xs)
    return {"": (np.array(how.mean), np.array(how.std))} if how.kind == "sound" else {}


def proportions(examples: Sequence[Example], shape: Shape) -> list[str]:
    """A warning where there are far more steps than symbols: the network then takes long to leave the blanks."""
    ratio = sum(-(-one.x.shape[1] // shape.stride) for one in examples) / max(
        1, sum(len(one.tokens) for one in examples)
    )
    if ratio <= WIDE:
        return []
    return [f"There are {ratio:.0f} steps to a symbol: with a larger reduce (now {shape.stride}) it may learn faster."]


def recipe(config: Config, how: Frames, symbols: int, xs: Sequence[np.ndarray]) -> tuple[Shape, int, int]:
    """What follows from the data where nothing was said: the network, the updates of its weights, frames of a batch."""
    units = config.units or next(units for most, units in UNITS if len(xs) <= most)
    halvings = config.reduce.bit_length() - 1
    depth = max(halvings, 2 if config.streaming and how.kind == "sound" else 3)  # a third delays what is heard live
    blocks = () if config.front == "stack" else tuple(
        (channels, 2, 2 if k < halvings else 1) for k, channels in enumerate(CHANNELS[:depth])
    )  # fmt: skip
    stack = config.reduce if config.front == "stack" else 1
    shape = Shape(
        how.rows,
        symbols,
        blocks,
        stack,
        config.cell,
        config.layers,
        units,
        not config.streaming,
        config.decoder == "attention",
    )
    budget = config.batch or FRAMES[how.kind]
    passes = PASSES * sum(x.shape[1] for x in xs) / budget
    return shape, config.steps or max(LEAST, int(passes)), budget


def _part(count: int, share: float) -> tuple[list[int], list[int]]:
    """Which examples to learn from, and which to hold out."""
    some = min(HELD, round(count * share))
    want(count > some, "data", "an example to learn from", f"{count}, of which {some} held out")
    return data.hold_out(count, some)


def describe(learnt: Learnt, metrics: dict[str, Any]) -> list[str]:
    """The network and its held-out figures in sentences."""
    size, how = sum(p.numel() for p in learnt.network.parameters()), learnt.frames
    reads = f"{how.rows} bands of sound at {how.rate:,} Hz" if how.kind == "sound" else f"lines of {how.rows} rows"
    kind = "words" if learnt.alphabet.tokens == "word" else "characters"
    said = [f"A network of {size:,} weights reads {reads} and writes {len(learnt.alphabet) - 1:,} {kind}."]
    if "examples" in metrics:
        left = f" ({metrics['left_out']:,} left out)" if metrics["left_out"] else ""
        said.append(f"It learnt from {metrics['examples']:,} examples{left}, {metrics['passes']:.0f} times each.")
    if metrics.get("held_out"):
        held = metrics["held_out"]
        cer, wer = score.percent(held["cer"]), score.percent(held["wer"])
        said.append(f"{held['examples']:,} held out: {cer} of characters wrong, {wer} of words.")
    if "fit_seconds" in metrics:
        said.append(f"Fit in {metrics['fit_seconds']:.1f} s.")
    return said
