"""Training: the network's size and schedule from the amount of text and the time limit, the fit, the held-out loss."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from gated import checkpoint, data, runs, train
from gated._check import want
from gated.runs import Job
from gated.tasks.language import model
from gated.tasks.language.model import Network, Noise, Shape
from gated.tasks.language.task import Config
from gated.tasks.language.vocabulary import Vocabulary

EVALUATIONS = 10  # of a training
PLACES, MIN_PLACE = 8, 500  # parts of the text that are held out, and the tokens of each at least
MAX_HELD = 100_000  # tokens
IN_MEMORY = 1 << 26  # tokens that are copied; of more one part is held out, at the end
UNITS = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)
MIN_PASSES = ((512, 6), (10**9, 12))  # epochs that networks of up to so many units leave time for
MAX_PASSES = 100
STREAMS = 32  # of a validation
BATCH = 16  # streams: more would be faster by 6 %, but make fewer updates
MEASURED = 3  # steps
RATES = {"byte": 2.5, "char": 2.5, "bpe": 1.2, "word": 1.2}  # of learning, times the units
SHARED = 256  # units from which all threads train a layer; in smaller ones they would wait for each other


def hold_out(count: int, share: float) -> list[slice]:
    """The parts of a text of so many tokens that are held out: evenly spread, each inside the text."""
    size = int(min(count * share, MAX_HELD))
    if size < 2:
        return []
    if count > IN_MEMORY:
        return [slice(count - size, count)]
    places = max(1, min(PLACES, size // MIN_PLACE))
    starts = [int((k + 0.5) * count / places - size / places / 2) for k in range(places)]
    return [slice(start, start + size // places) for start in starts]


def split(ids: Integer[np.ndarray, " N"], held: list[slice]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The tokens without the held-out parts, and these."""
    parts = [ids[part] for part in held]
    if len(held) == 1 and held[0].stop == len(ids):
        return ids[: held[0].start], parts
    ends = [0, *(end for part in held for end in (part.start, part.stop)), len(ids)]
    rest = [ids[low:high] for low, high in zip(ends[::2], ends[1::2], strict=True)]
    return (np.concatenate(rest) if held else ids), parts


def fit(
    ids: Integer[np.ndarray, " N"], held: list[np.ndarray], vocabulary: Vocabulary, config: Config, job: Job,
    start: Network | None = None,
) -> tuple[Network, dict[str, Any], list[dict[str, int | float]]]:  # fmt: skip
    """Train on the tokens, validate on the parts of `held`: the network, its metrics, the history of the training.

    start: a network whose weights are the first.
    """
    want(len(ids) > 2, "text", "at least 3 tokens to train on", len(ids))
    batch = config.batch or max(1, min(BATCH, len(ids) // (4 * config.window)))
    shape, noise, steps, threads = choose_sizes(ids, vocabulary, config, job, batch, start)
    with train.seeded(config.seed):
        network = Network(shape, noise)
    if start is not None:
        network.load_state_dict(start.state_dict())
    tokens = torch.from_numpy(np.asarray(ids))
    batches = data.streams(tokens, batch, config.window, seed=config.seed)

    def loss(network: Any, chunk: data.Chunk, states: Any) -> Any:
        states = None if chunk.first else states
        return model.loss(network, chunk.x.long(), chunk.y.long(), states)

    def validate(network: Any) -> float:
        return measure_loss(network, held)

    lr = config.lr or choose_rate(shape, vocabulary)
    with train.threads(threads):
        history = runs.fit(
            network, loss, batches, config, job, data=[np.asarray(ids), *held], validate=validate if held else None,
            steps=steps, lr=lr, carry=True, warmup=0.05, betas=(0.9, 0.99), eval_every=max(1, steps // EVALUATIONS),
        )  # fmt: skip
    network.eval()
    metrics = {
        "tokens": len(ids), "held_out": sum(map(len, held)), "steps": history.steps,
        "passes": history.steps * batch * config.window / len(ids), "best_step": history.best_step,
        "stopped": history.stopped, "lr": lr,
    }  # fmt: skip
    if held:
        metrics["loss"] = measure_loss(network, held)
    return network, metrics, history.rows


@torch.no_grad()
def measure_loss(network: Network, parts: list[np.ndarray], window: int = 256) -> float:
    """−log p of a token in the mean over parts of a text, in parallel streams, each begun without a state."""
    device, total, count = network.bias.device, 0.0, 0
    for part in parts:
        rows = max(1, min(STREAMS // len(parts), len(part) // window))
        table = torch.from_numpy(np.asarray(part[: len(part) // rows * rows]).astype(np.int64)).view(rows, -1).T
        states: Any = None
        for t in range(0, len(table) - 1, window):
            x, y = (table[low : low + window].to(device) for low in (t, t + 1))
            (value, size), states = model.loss(network, x[: len(y)], y, states)
            total, count = total + float(value), count + size
    return total / max(count, 1)


# ---- sizes


def choose_sizes(
    ids: np.ndarray, vocabulary: Vocabulary, config: Config, job: Job, batch: int, start: Network | None
) -> tuple[Shape, Noise, int, int]:
    """The network's shape, its noise, the updates, and the threads to train with."""
    small = vocabulary.level in ("byte", "char")
    count, V = len(ids), len(vocabulary)
    tie = (not small) if config.tie is None else config.tie
    seconds = job.left(config, 0.94)

    def shape(units: int) -> Shape:
        embedding = config.embedding or (min(units, 400) if tie else 64 if small else min(units, 256))
        return Shape(V, config.cell, config.layers or (1 if small else 2), config.units or units, embedding, tie)

    chosen = start.shape if start is not None else _resume(job, config.cell)
    if chosen is None and (config.units or seconds is None):
        chosen = shape(next((u for u in UNITS if u**2 * 4 >= count), 512) if seconds is None else 512)
    per = batch * config.window
    if chosen is None or seconds is not None:
        chosen, tokens, threads = _fit_size(chosen, shape, ids, batch, config, seconds or 0.0)
        expected = tokens / count
        steps = int(min(max(1, 1.2 * tokens / per), MAX_PASSES * count / per + 1))  # the clock ends it, if need be
    else:
        threads = torch.get_num_threads() if chosen.units >= SHARED else 1
        expected = 10.0
        steps = max(200, int(expected * count / per))
    steps = config.steps or steps
    rate = min(0.5, max(0.0, 0.1 * math.log2(max(expected, 1.0)) - 0.05))  # of dropout, by epochs: 8 have 0.25
    noise = Noise(
        output=rate if config.dropout is None else config.dropout,
        input=(0.0 if small else rate) if config.input_dropout is None else config.input_dropout,
        token=(0.0 if small else 0.1) if config.embedding_dropout is None else config.embedding_dropout,
        weight=0.6 * rate if config.weight_dropout is None else config.weight_dropout,
        activation=(0.0 if small else 2.0) if config.activation is None else config.activation,
        temporal=(0.0 if small else 1.0) if config.temporal is None else config.temporal,
    )
    return chosen, noise, steps, threads


def _fit_size(
    chosen: Shape | None, shape: Callable[[int], Shape], ids: np.ndarray, batch: int, config: Config, seconds: float
) -> tuple[Shape, float, int]:
    """The shape, if none is chosen the largest that reads the text often enough in so many seconds; the tokens that it
    reads; and with how many threads, one or all: where another program wants the processor, one may be faster.
    """
    probe = chosen or shape(512)
    speeds = {}
    for threads in {1, torch.get_num_threads()}:
        with train.threads(threads):
            speeds[threads] = measure_speed(probe, ids, batch, config)
    threads = max(speeds, key=speeds.__getitem__)
    tokens = speeds[threads] * seconds
    if chosen is None:
        sizes = [(shape(units), tokens * cost(probe) / cost(shape(units))) for units in UNITS]
        chosen, tokens = next((one for one in reversed(sizes) if one[1] >= min_passes(one[0]) * len(ids)), sizes[0])
    return chosen, tokens, threads


def choose_rate(shape: Shape, vocabulary: Vocabulary) -> float:
    """The peak learning rate: the wider the layers, the lower."""
    return float(np.clip(RATES[vocabulary.level] / shape.units, 1e-3, 2e-2))


def min_passes(shape: Shape) -> int:
    """Epochs that a network of this shape must have time for."""
    return next(passes for units, passes in MIN_PASSES if shape.units <= units)


def cost(shape: Shape) -> float:
    """Multiplications of a token, about."""
    gates = {"lstm": 4, "gru": 3}[shape.cell]
    widths = [shape.embedding, *[shape.units] * (shape.layers - 1), shape.embedding if shape.tie else shape.units]
    return sum(gates * o * (i + o) for i, o in itertools.pairwise(widths)) + shape.tokens * widths[-1]


def measure_speed(shape: Shape, ids: np.ndarray, batch: int, config: Config) -> float:
    """Tokens a second of training."""
    device = runs.device(config)
    with train.seeded(config.seed):
        network = Network(shape).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), 0.0, fused=True)
        chunk = data.streams(torch.from_numpy(np.asarray(ids)), batch, config.window)(0)
        x, y = (part.long().to(device) for part in (chunk.x, chunk.y))
        best = math.inf
        for _ in range(MEASURED):
            began = time.monotonic()
            with torch.autocast(device.type, torch.bfloat16, enabled=runs.is_mixed(config)):
                (total, size), _ = model.loss(network, x, y, None)
            (total / size).backward()
            optimizer.step()
            optimizer.zero_grad()
            best = min(best, time.monotonic() - began)
    return x.numel() / best


def _resume(job: Job, cell: str) -> Shape | None:
    """The shape of the network of a stopped fit, whose time limit may have led to another one than it would today."""
    if not job.resume or job.out is None or not (job.out / checkpoint.TRAINING).exists():
        return None
    state: dict[str, Tensor] = checkpoint.unpack(job.out / checkpoint.TRAINING)[0]
    weights = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
    return model.shape_of(weights, cell) if "embed.weight" in weights else None
