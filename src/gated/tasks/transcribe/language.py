"""A small language model of the symbols that a transcriber writes, to weigh the texts of a beam.

    log p(y) = Σ_t log softmax(W h_t + b)[y_t]        h_t = LSTM(E y_{t-1}, h_{t-1})

y_1 … y_n are symbols 1 … V-1 of an alphabet, characters or words. 0, CTC's blank, has no place in a text: here it
stands before the first symbol and after the last. Mikolov et al. 2010; with LSTM, Sundermeyer et al. 2012.

    language = learn(lines, run.alphabet, Config(time_limit=120))
    language.bits(other_lines)             of each symbol, ends included
    decode.ctc.beam(log_probs, lm=language)
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import checkpoint, data, runs, train
from gated._check import want
from gated.features import alphabet as alphabets
from gated.features.alphabet import Alphabet
from gated.layers import LSTM
from gated.layers.dropout import Dropout
from gated.layers.output import cross_entropy
from gated.options import Training, default, option
from gated.tasks import Task

HELD, SHARE = 1000, 20  # lines held out, at most, and at most one in so many
LOOKS = 10  # evaluations in a whole training
PASSES, LEAST, MOST = 6, 500, 12_000  # over the text; updates
JITTER = 4.0  # symbols by which an epoch may misjudge a length, so that the same lines do not always meet


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


RECORD = Task(  # of the run folders, which `gated.tasks.TASKS` does not list: `transcribe` reads them
    name="transcribe.language", help="A language model of the symbols of a transcriber.", extra="transcribe",
    Config=Config, metric="bits", lower=True,
)  # fmt: skip


class Shape(NamedTuple):
    """What the network's weights follow from."""

    symbols: int  # 0 among them
    layers: int
    units: int
    embedding: int


class Network(nn.Module):
    """Symbols (T, B) to what the layers say after each, (T, B, H), and to log p of the next, (T, B, V)."""

    def __init__(self, shape: Shape, dropout: float = 0.0, precision: str = "float32") -> None:
        super().__init__()
        self.shape = shape
        V, L, H, E = shape
        self.embed = nn.Embedding(V, E)
        between = dropout if L > 1 else 0.0
        self.layers: Any = LSTM(E, H, L, dropout=between, forget_bias=1.0, precision=precision)
        self.output = nn.Linear(H, V)
        self.dropout = Dropout(dropout)

    def read(self, symbols: Int64[Tensor, "T B"], hx: Any = None) -> tuple[Float[Tensor, "T B H"], Any]:
        h, hx = self.layers(self.dropout(self.embed(symbols)), hx)
        return self.dropout(h), hx

    def say(self, h: Float[Tensor, "... H"]) -> Float[Tensor, "... V"]:
        return torch.log_softmax(self.output(h).float(), -1)


@dataclass(frozen=True)
class Language:
    """A fitted language model; as the scorer of a `decode.ctc.Beam` it is asked for many prefixes at once.

    start() gives the state before the first symbol and log p(symbol) there, (V,); step(states, symbols) reads one
    symbol after each of N states, and gives the states after them and (N, V). log p of 0 is that of the end.
    """

    config: Config
    alphabet: Alphabet
    network: Network
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def start(self) -> tuple[Any, Float[np.ndarray, " V"]]:
        shape = self.network.shape
        states, rows = self.step([torch.zeros(2, shape.layers, shape.units)], [0])
        return states[0], rows[0]

    @torch.no_grad()
    def step(self, states: Sequence[Any], symbols: Sequence[int]) -> tuple[list[Any], Float[np.ndarray, "N V"]]:
        h, c = torch.stack(list(states), 2)
        y, (h, c) = self.network.read(torch.tensor(symbols)[None], (h, c))
        return list(torch.stack((h, c)).unbind(2)), self.network.say(y[0]).numpy()

    @torch.no_grad()
    def log_probs(self, texts: Sequence[str]) -> Float[np.ndarray, " N"]:
        """log p of each text and of its end. What the alphabet lacks is left out, as `alphabet.encode` does."""
        rows = [self.alphabet.encode(text) for text in texts]
        out = np.zeros(len(rows))
        for first in range(0, len(rows), 64):
            batch = collate([_piece(row, 0, len(row)) for row in rows[first : first + 64]])
            h, _ = self.network.read(batch.before)
            p = self.network.say(h).gather(-1, batch.after.clamp(min=0)[..., None])[..., 0]
            out[first : first + 64] = p.double().masked_fill(batch.after < 0, 0).sum(0).numpy()
        return out

    def bits(self, texts: Sequence[str]) -> float:
        """−log2 p of a symbol in the mean, where an end is a symbol too."""
        count = sum(len(self.alphabet.encode(text)) + 1 for text in texts)
        want(count > 0, "bits", "at least one text", "none")
        return float(-self.log_probs(texts).sum() / math.log(2) / count)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        extras = {"alphabet": self.alphabet.save(), "shape": self.network.shape._asdict()}
        runs.save(RECORD, folder, self, self.network, extras)

    def summary(self) -> str:
        """The model in a few lines for people."""
        size, kind = sum(p.numel() for p in self.network.parameters()), {"char": "character", "word": "word"}
        told = [f"A language model of {size:,} weights over {len(self.alphabet) - 1:,} {kind[self.alphabet.tokens]}s."]
        if "bits" in self.metrics:
            m = self.metrics
            told.append(f"It read {m['symbols']:,} of them in {m['lines']:,} lines, {m['passes']:.1f} times.")
            told.append(
                f"{m['held_out']:,} held-out lines: {m['bits']:.2f} bits each, perplexity {2 ** m['bits']:.1f}."
            )
        return runs.summary(self, told)


# ---- learning


@train.threads(1)  # its operators are small, as a forecaster's
def learn(
    lines: Sequence[str], alphabet: Alphabet, config: Config | None = None, *, out: Any = None, resume: bool = False,
    progress: bool = True,
) -> Language:  # fmt: skip
    """A language model of some lines of text, in the symbols of an alphabet; written to the folder `out` if named.

    Some lines are held out, the same ones for every seed; the weights that are best on them are kept. What the alphabet
    lacks is left out of the text, and `notes` says how much.
    """
    config = Config() if config is None else config
    want(not isinstance(lines, str), "language", "a list of lines", "one text", "Split it.")
    job = runs.start(RECORD, out, resume, progress)
    rows, notes = _encoded(lines, alphabet)
    parts = [[rows[n] for n in part] for part in data.hold_out(len(rows), min(HELD, len(rows) // SHARE))]
    pieces, asked = (list(itertools.chain.from_iterable(_cut(row, config.longest) for row in part)) for part in parts)
    held = [collate([asked[k] for k in some]) for some in data.split([len(p.after) for p in asked], 4 * config.batch)]
    symbols = sum(len(piece.after) for piece in pieces)
    steps = config.steps or int(min(max(LEAST, PASSES * symbols / config.batch), MOST))
    shape = Shape(len(alphabet), config.layers, config.units, config.embedding)
    with train.seeded(config.seed):
        network = Network(shape, config.dropout, "bfloat16" if runs.low_precision(config) else "float32")
    batch, turn = bucketed(pieces, config.batch, config.seed)

    def validate(network: Any) -> float:
        device = next(network.parameters()).device
        sums = [loss(network, Batch(*(part.to(device) for part in found))) for found in held]
        return sum(float(total) for total, _ in sums) / sum(count for _, count in sums)

    told = runs.fit(
        network, loss, batch, config, job, validate=validate, steps=steps, warmup=0.05,
        eval_every=max(1, steps // LOOKS),
    )  # fmt: skip
    network.layers.precision = "float32"  # as it is used
    network = network.cpu().eval()
    with torch.no_grad():
        bits = validate(network) / math.log(2)
    metrics = {
        "lines": len(parts[0]), "symbols": symbols, "held_out": len(parts[1]), "bits": bits, "steps": told.steps,
        "passes": told.steps / turn, "best_step": told.best_step, "stopped": told.stopped,
    }  # fmt: skip
    return job.finish(Language(config, alphabet, network, metrics, told.rows, tuple(notes)))


def loss(network: Network, batch: Batch) -> tuple[Tensor, int]:
    """Σ −log p of the symbols of a batch and of its ends, and how many there are."""
    h, _ = network.read(batch.before)
    there = batch.after >= 0
    after = batch.after[there]
    return cross_entropy(h[there], network.output.weight, network.output.bias, after), len(after)


def _encoded(lines: Sequence[str], alphabet: Alphabet) -> tuple[list[list[int]], list[str]]:
    """The lines as symbols, and what was left out of them."""
    rows = [alphabet.encode(line) for line in lines]
    lost = sum(len(alphabet.split(line)) - len(row) for line, row in zip(lines, rows, strict=True))
    rows = [row for row in rows if row]
    want(len(rows) >= SHARE, "language", f"at least {SHARE} lines in the symbols of the alphabet", len(rows))
    kept, notes = sum(map(len, rows)), []
    if lost:
        strange = sorted({piece for line in lines for piece in alphabet.unknown(line)})
        shown = " ".join(strange[:10]) + (" …" if len(strange) > 10 else "")
        notes.append(f"Left out: {lost:,} of {lost + kept:,} symbols, which the alphabet lacks ({shown}).")
    return rows, notes


# ---- batches


class Piece(NamedTuple):
    """A line, or a part of a long one: what is read, and what comes after each; 0 before the line and after it."""

    before: list[int]
    after: list[int]


class Batch(NamedTuple):
    """Pieces as columns."""

    before: Int64[Tensor, "T B"]  # padded with 0
    after: Int64[Tensor, "T B"]  # padded with -1


def _piece(row: list[int], first: int, last: int) -> Piece:
    whole = [0, *row, 0]
    return Piece(whole[first : last + (last == len(row))], whole[first + 1 : last + 1 + (last == len(row))])


def _cut(row: list[int], longest: int) -> Iterator[Piece]:
    """A line in pieces of at most so many symbols; each but the first begins with the symbol before it."""
    for first in range(0, len(row), longest):
        yield _piece(row, first, min(first + longest, len(row)))


def collate(pieces: Sequence[Piece]) -> Batch:
    return Batch(*(data.pad([piece[k] for piece in pieces], value) for k, value in enumerate((0, -1))))


def bucketed(pieces: Sequence[Piece], budget: int, seed: int = 0) -> tuple[Callable[[int], Batch], int]:
    """n -> batch n, of about `budget` symbols, padding included, and how many batches make one epoch."""
    indices, count = data.bucketed([len(piece.after) for piece in pieces], budget, seed, JITTER)
    return lambda n: collate([pieces[k] for k in indices(n)]), count


# ---- the run folder


def load(folder: str | os.PathLike[str]) -> Language:
    """The language model of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restored(stored: Any, **common: Any) -> Language:
        symbols = alphabets.restore(stored.extras["alphabet"])
        return Language(alphabet=symbols, network=restore(stored.extras["shape"], symbols, stored.state), **common)

    return runs.load(RECORD, folder, restored, formerly=("language",))


def restore(words: dict[str, Any], alphabet: Alphabet, state: dict[str, Tensor]) -> Network:
    """The network of a run folder; what it says of itself must fit its weights before memory is taken for it."""
    shape = Shape(**words)
    sizes = all(type(size) is int and 0 < size < 2**31 for size in shape) and shape.layers <= len(state)
    fits = sizes and shape.symbols == len(alphabet)
    if fits:
        with torch.device("meta"):  # where tensors have shapes alone
            own = Network(shape).state_dict()
        fits = {name: w.shape for name, w in own.items()} == {name: w.shape for name, w in state.items()}
    want(fits, "run folder", "a shape that its weights and alphabet fit", "another")
    with train.seeded(0):
        network = Network(shape)
    checkpoint.fill(network, state)
    return network.eval()
