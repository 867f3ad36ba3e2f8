"""A small language model over the symbols of an alphabet, for shallow fusion.

    log p(y) = Σ_t log softmax(W h_t + b)[y_t]        h_t = LSTM(E y_{t-1}, h_{t-1})

y_1 … y_n are symbols 1 … V-1 of an alphabet, characters or words. 0, CTC's blank, occurs in no text: here it stands
before the first symbol and after the last. Mikolov et al. 2010; with LSTM, Sundermeyer et al. 2012.

    model = language.fit("book.txt", run.model.alphabet, time_limit=120, out="runs/letters")
    model.bits(other_lines)                of each symbol, ends included
    decode.ctc.beam(log_probs, lm=model)
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import checkpoint, data, options, runs, train
from gated._check import want
from gated.features import alphabet as alphabets
from gated.features.alphabet import Alphabet
from gated.io.text import is_path, lines
from gated.layers import LSTM
from gated.layers.dropout import Dropout
from gated.layers.output import cross_entropy
from gated.options import Training, default, option
from gated.tasks import Task

MAX_HELD, SHARE = 1000, 20  # held-out lines: at most, and at most one in 20
EVALUATIONS = 10  # of a training
EPOCHS, MIN_STEPS, MAX_STEPS = 6, 500, 12_000
JITTER = 4.0  # symbols by which an epoch may misjudge a length, so that batches mix
BATCH = 64  # texts measured together


@dataclass(frozen=True, kw_only=True)
class Config(Training):
    """How a language model is built and trained; None means that the value follows from the text."""

    layers: int = option(1, "Number of recurrent layers.", low=1)
    units: int = option(256, "Hidden units of each layer.", low=1)
    embedding: int = option(64, "Embedding dimension.", low=1)
    dropout: float = option(0.1, "Dropout before, between and after layers.", low=0, high=0.95)
    longest: int = option(200, "Maximum length in symbols; longer lines are split.", low=2)
    batch: int = option(500, "Maximum symbols in a batch, padding included.", low=1)
    lr: float = default("lr", 5e-3)


TASK = Task(  # not in `gated.tasks.TASKS`: its runs are made and read by transcribers
    name="transcribe.language", help="A language model of the symbols of a transcriber.", extra="transcribe",
    Config=Config, metric="bits", lower=True,
)  # fmt: skip


class Shape(NamedTuple):
    """The arguments of a network that its weights depend on."""

    symbols: int  # with 0
    layers: int
    units: int
    embedding: int


class Network(nn.Module):
    """Symbols (T, B) to the outputs of the layers after each, (T, B, H), and to log p of the next, (T, B, V)."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        V, L, H, E = shape
        self.embed = nn.Embedding(V, E)
        between = dropout if L > 1 else 0.0
        self.layers: Any = LSTM(E, H, L, dropout=between, forget_bias=1.0)
        self.output = nn.Linear(H, V)
        self.dropout = Dropout(dropout)

    def encode(self, symbols: Int64[Tensor, "T B"], hx: Any = None) -> tuple[Float[Tensor, "T B H"], Any]:
        h, hx = self.layers(self.dropout(self.embed(symbols)), hx)
        return self.dropout(h), hx

    def log_probs(self, h: Float[Tensor, "... H"]) -> Float[Tensor, "... V"]:
        return torch.log_softmax(self.output(h).float(), -1)


@dataclass(frozen=True)
class Run:
    """A fitted language model; a `decode.scorer.Scorer` of a `decode.ctc.Beam`.

    start() gives the initial state and log p of the first symbol, (V,); step(states, symbols) reads one symbol after
    each of N states, and gives the states after them and (N, V). log p of 0 is that of the end.
    """

    config: Config
    alphabet: Alphabet
    network: Network
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def _device(self) -> torch.device:
        return self.network.output.weight.device

    def start(self) -> tuple[Any, Float[np.ndarray, " V"]]:
        shape = self.network.shape
        states, rows = self.step([torch.zeros(2, shape.layers, shape.units, device=self._device)], [0])
        return states[0], rows[0]

    @torch.no_grad()
    def step(self, states: Sequence[Any], symbols: Sequence[int]) -> tuple[list[Any], Float[np.ndarray, "N V"]]:
        h, c = torch.stack(list(states), 2)
        y, (h, c) = self.network.encode(torch.tensor(symbols, device=self._device)[None], (h, c))
        return list(torch.stack((h, c)).unbind(2)), self.network.log_probs(y[0]).cpu().numpy()

    @torch.no_grad()
    def log_probs(self, texts: Sequence[str]) -> Float[np.ndarray, " N"]:
        """log p of each text and of its end, without the symbols that the alphabet lacks."""
        rows = [self.alphabet.encode(text) for text in texts]
        out = np.zeros(len(rows))
        for first in range(0, len(rows), BATCH):
            batch = collate([chunk for row in rows[first : first + BATCH] for chunk in cut(row, len(row) + 1)])
            inputs, targets = (part.to(self._device) for part in batch)
            h, _ = self.network.encode(inputs)
            p = self.network.log_probs(h).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
            out[first : first + BATCH] = p.double().masked_fill(targets < 0, 0).sum(0).cpu().numpy()
        return out

    def bits(self, texts: Sequence[str]) -> float:
        """−log2 p of a symbol in the mean, where an end is a symbol too."""
        count = sum(len(self.alphabet.encode(text)) + 1 for text in texts)
        want(count > 0, "bits", "at least one text", "none")
        return float(-self.log_probs(texts).sum() / math.log(2) / count)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        extras = {"alphabet": self.alphabet.save(), "shape": self.network.shape._asdict()}
        runs.save(TASK, folder, self, self.network, extras)

    def summary(self) -> str:
        """The model in a few lines for people."""
        size, kind = sum(p.numel() for p in self.network.parameters()), {"char": "character", "word": "word"}
        text = [f"A language model of {size:,} weights over {len(self.alphabet) - 1:,} {kind[self.alphabet.tokens]}s."]
        if "bits" in self.metrics:
            m = self.metrics
            text += [
                f"Trained on {m['symbols']:,} of them in {m['lines']:,} lines for {m['passes']:.1f} epochs.",
                f"{m['held_out']:,} held-out lines: {m['bits']:.2f} bits each, perplexity {2.0 ** m['bits']:.1f}.",
            ]
        return runs.summary(self, text)


# ---- training


@train.threads(1)  # as for a forecaster: its operators are small
def fit(
    source: Any, alphabet: Alphabet, config: Config | None = None, *, out: Any = None, resume: bool = False,
    overwrite: bool = False, progress: bool = True, **choices: Any,
) -> Run:  # fmt: skip
    """Train a language model on text, in the symbols of an alphabet, and write the run to the folder `out`.

    source: a file of a sentence a line, or a list of lines. choices are the fields of `Config`. Some lines are held
    out, the same ones for every seed; the weights that are best on them are kept. Symbols that the alphabet lacks are
    left out of the text, and counted in `notes`.
    """
    config = options.make(Config, choices, config, where="language")
    with runs.start(TASK, out, resume, overwrite, progress) as job:
        texts = [line for _, line in lines(source)] if is_path(source) else source
        rows, notes = _encode(texts, alphabet)
        used, held = data.hold_out(len(rows), min(MAX_HELD, len(rows) // SHARE))
        chunks, others = ([chunk for n in part for chunk in cut(rows[n], config.longest)] for part in (used, held))
        symbols = sum(len(chunk.targets) for chunk in chunks)
        steps = config.steps or int(min(max(MIN_STEPS, EPOCHS * symbols / config.batch), MAX_STEPS))
        shape = Shape(len(alphabet), config.layers, config.units, config.embedding)
        with train.seeded(config.seed):
            network = Network(shape, config.dropout)
        batch, epoch = bucket(chunks, config.batch, config.seed)
        indices = data.split([len(chunk.targets) for chunk in others], 4 * config.batch)
        batches = [collate([others[k] for k in some]) for some in indices]

        def validate(network: Any) -> float:
            device = next(network.parameters()).device
            sums = [loss(network, Batch(*(part.to(device) for part in one))) for one in batches]
            return sum(float(total) for total, _ in sums) / sum(count for _, count in sums)

        history = runs.fit(
            network, loss, batch, config, job, data=rows, validate=validate, steps=steps, warmup=0.05,
            eval_every=max(1, steps // EVALUATIONS),
        )  # fmt: skip
        network.eval()
        with torch.no_grad():
            bits = validate(network) / math.log(2)
        metrics = {
            "lines": len(used), "symbols": symbols, "held_out": len(held), "bits": bits, "steps": history.steps,
            "passes": history.steps / epoch, "best_step": history.best_step, "stopped": history.stopped,
        }  # fmt: skip
        return job.finish(Run(config, alphabet, network, metrics, history.rows, tuple(notes)))


def loss(network: Network, batch: Batch) -> tuple[Tensor, int]:
    """Σ −log p of the symbols of a batch and of its ends, and their number."""
    h, _ = network.encode(batch.inputs)
    real = batch.targets >= 0
    targets = batch.targets[real]
    return cross_entropy(h[real], network.output.weight, network.output.bias, targets), len(targets)


def _encode(texts: Sequence[str], alphabet: Alphabet) -> tuple[list[list[int]], list[str]]:
    """The texts as symbols, and a note on the symbols left out."""
    rows = [alphabet.encode(text) for text in texts]
    lost = sum(len(alphabet.split(text)) - len(row) for text, row in zip(texts, rows, strict=True))
    rows = [row for row in rows if row]
    want(len(rows) >= SHARE, "language", f"at least {SHARE} lines in the symbols of the alphabet", len(rows))
    if not lost:
        return rows, []
    unknown = sorted({symbol for text in texts for symbol in alphabet.unknown(text)})
    shown, total = " ".join(unknown[:10]) + (" …" if len(unknown) > 10 else ""), lost + sum(map(len, rows))
    return rows, [f"Left out: {lost:,} of {total:,} symbols, which the alphabet lacks ({shown})."]


# ---- batches


class Chunk(NamedTuple):
    """A line, or a part of a long one: the inputs and, one step later, the targets; 0 before the line and after it."""

    inputs: list[int]
    targets: list[int]


class Batch(NamedTuple):
    """Chunks as columns."""

    inputs: Int64[Tensor, "T B"]  # padded with 0
    targets: Int64[Tensor, "T B"]  # padded with -1


def cut(row: list[int], longest: int) -> Iterator[Chunk]:
    """A line in chunks of at most so many symbols; the first input of each is the symbol before it."""
    whole = [0, *row, 0]
    for first in range(0, max(1, len(row)), longest):
        last = first + longest if first + longest < len(row) else len(row) + 1
        yield Chunk(whole[first:last], whole[first + 1 : last + 1])


def collate(chunks: Sequence[Chunk]) -> Batch:
    return Batch(*(data.pad([chunk[k] for chunk in chunks], value) for k, value in enumerate((0, -1))))


def bucket(chunks: Sequence[Chunk], budget: int, seed: int = 0) -> tuple[Callable[[int], Batch], int]:
    """n -> batch n, of about `budget` symbols, padding included; and the batches of an epoch."""
    indices, count = data.bucketed([len(chunk.targets) for chunk in chunks], budget, seed, JITTER)
    return lambda n: collate([chunks[k] for k in indices(n)]), count


# ---- the run folder


def load(folder: str | os.PathLike[str]) -> Run:
    """The language model of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        alphabet = alphabets.restore(stored.extras["alphabet"])
        shape = Shape(**stored.extras["shape"])
        whole = all(type(size) is int and size > 0 for size in shape) and shape.layers <= len(stored.state)
        fits = whole and shape.symbols == len(alphabet)
        want(fits, "run folder", "a shape that its weights and alphabet fit", "another")
        network = checkpoint.build(lambda: Network(shape), stored.state).to(runs.device(config))
        return Run(config, alphabet, network, **common)

    return runs.load(TASK, folder, restore, formerly=("language",))
