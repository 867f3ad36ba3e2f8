"""The network: a front that shortens time, recurrent layers, and a score for every symbol at every step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import checkpoint, train
from gated._check import one_of, want
from gated.features.alphabet import Alphabet
from gated.layers import GRU, LSTM, Recurrent
from gated.layers.dropout import Dropout
from gated.tasks.transcribe.batches import Batch
from gated.tasks.transcribe.frames import Frames
from gated.tasks.transcribe.spell import SHARE, Speller

PIECE = 4096  # steps of the front side by side
LARGEST = 100_000  # of any number in a shape
LAYERS = {"lstm": LSTM, "gru": GRU}


class Shape(NamedTuple):
    """What the network's weights and equations follow from."""

    rows: int  # of a frame
    symbols: int  # the blank among them
    blocks: tuple[tuple[int, int, int], ...]  # channels, and by what rows and frames are divided
    stack: int  # frames side by side, after the blocks
    cell: str
    layers: int
    units: int
    both: bool  # directions
    spell: bool = False  # whether attention writes, beside CTC

    @property
    def stride(self) -> int:
        """Frames to a step."""
        step = self.stack
        for _, _, frames in self.blocks:
            step *= frames
        return step

    @property
    def field(self) -> int:
        """Frames that a step sees."""
        field, step = 1, 1
        for _, _, frames in self.blocks:
            field += 2 * step + (frames - 1) * step  # a convolution over three, then a pool
            step *= frames
        return field + (self.stack - 1) * step

    @property
    def before(self) -> int:
        """Of these, frames before the step's own: all of the surplus where nothing may wait for what is to come."""
        surplus = self.field - self.stride
        return surplus // 2 if self.both else surplus


def features(shape: Shape) -> int:
    """Numbers of a step, after the front."""
    width, rows = 1, shape.rows
    for channels, down, _ in shape.blocks:
        width, rows = channels, rows // down
    return width * rows * shape.stack


class Front(nn.Module):
    """Blocks of convolution, relu and pooling, that never mix in what lies beyond the ends.

        x ← maxpool(relu(K ∗ x + b))        K is 3 × 3 over rows and frames
        y_n = LN(x_n)                       all rows and channels of a step (Ba et al. 2016)

    x (B, R, T) and lengths (B,) give (T', B, F) and ⌈lengths / stride⌉: step n sees `field` frames, from n·stride −
    before on, and zeros where there are none. So a step depends on its own frames alone, not on what a batch is padded
    with, and can be computed from a window of a stream.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, width = shape, 1
        self.convolutions = nn.ModuleList()
        for channels, _, _ in shape.blocks:
            convolve = nn.Conv2d(width, channels, 3, padding=(1, 0))
            nn.init.kaiming_normal_(convolve.weight, nonlinearity="relu")
            nn.init.zeros_(convolve.bias)  # pyright: ignore
            self.convolutions.append(convolve)
            width = channels
        self.convolutions.to(memory_format=torch.channels_last)  # pyright: ignore  # in which pooling takes a tenth of the time
        self.features = features(shape)
        self.norm = nn.LayerNorm(self.features)

    def forward(
        self, x: Float[Tensor, "B R T"], lengths: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "S B F"], Int64[Tensor, " B"]]:
        shape = self.shape
        steps = -(-lengths // shape.stride)
        most = -(-x.shape[2] // shape.stride)
        after = (most - 1) * shape.stride + shape.field - shape.before - x.shape[2]
        x = nn.functional.pad(x, (shape.before, max(0, after)))
        x = x[:, :, : x.shape[2] + min(0, after)]
        if torch.is_grad_enabled() or most <= PIECE:
            return self.window(x), steps
        pieces = range(0, most, PIECE)  # of an hour of sound, the first block alone would take gigabytes
        ends = [(min(n + PIECE, most) - 1) * shape.stride + shape.field for n in pieces]
        return torch.cat([self.window(x[:, :, n * shape.stride : e]) for n, e in zip(pieces, ends, strict=True)]), steps

    def window(self, x: Float[Tensor, "B R W"]) -> Float[Tensor, "S B F"]:
        """The steps that windows of frames hold whole."""
        y = x[:, None]
        for convolve, (_, down, frames) in zip(self.convolutions, self.shape.blocks, strict=True):
            y = nn.functional.max_pool2d(convolve(y).relu_(), (down, frames))
        y = y.permute(3, 0, 1, 2).flatten(2)  # (T', B, C·R')
        k = self.shape.stack
        y = y[: len(y) // k * k].unflatten(0, (-1, k)).transpose(1, 2).flatten(2)
        return self.norm(y.float())


class Network(nn.Module):
    """log p(symbol | x) at every step:

        h = LSTM(front(x))        log p = log softmax(W h + b)

    x (B, R, T), lengths (B,); the first of the symbols is the blank. A second output reads the front alone while the
    network learns: what it asks for reaches the convolutions without passing through time, so that they know letters
    long before the layers above would have left the blanks. With `spell` a decoder writes beside CTC: see `Speller`.
    """

    def __init__(self, shape: Shape, dropout: float = 0.0, precision: str = "float32") -> None:
        super().__init__()
        self.shape = shape
        self.front = Front(shape)
        self.dropout = Dropout(dropout)
        self.layers: Any = LAYERS[shape.cell](
            self.front.features, shape.units, shape.layers, dropout=dropout if shape.layers > 1 else 0.0,
            bidirectional=shape.both, init="orthogonal", precision=precision,
            **(dict(forget_bias=1.0) if shape.cell == "lstm" else {}),
        )  # fmt: skip
        self.output = nn.Linear(shape.units * (1 + shape.both), shape.symbols)
        self.early = nn.Linear(self.front.features, shape.symbols)
        wide = shape.units * (1 + shape.both)
        self.speller = Speller(shape.symbols, shape.units, wide, dropout) if shape.spell else None

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Int64[Tensor, " B"]]:
        """What the front and the recurrent layers say at every step, (T', B, …), and how many steps there are."""
        y, steps = self.front(x, lengths)
        h, _ = self.layers(self.dropout(y), lengths=steps)
        return y, h, steps

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Float[Tensor, "S B V"], Int64[Tensor, " B"]]:
        """log p of every symbol at every step, and how many steps there are."""
        _, h, steps = self.encode(x, lengths)
        return torch.log_softmax(self.output(h).float(), -1), steps


def loss(network: Network, batch: Batch, early: float = 0.0) -> tuple[Tensor, int]:
    """Σ −log p(text | x) of a batch (Graves et al. 2006), and how many symbols its texts have.

    early: weight of the same for the output that reads the front alone.
    """
    y, h, steps = network.encode(batch.x, batch.lengths)
    h = network.dropout(h)
    total = ctc(network.output(h), steps, batch)
    if network.speller is not None:
        spelt = network.speller.loss(h, steps, batch.tokens, batch.counts)
        total = SHARE * total + (1 - SHARE) * spelt
    if early:
        total = total + early * ctc(network.early(y), steps, batch)
    return total, int(batch.counts.sum())


def ctc(scores: Float[Tensor, "S B V"], steps: Int64[Tensor, " B"], batch: Batch) -> Float[Tensor, ""]:
    """Σ −log p(text | x); a text with more symbols than steps, as too fast a reading may leave it, counts nothing."""
    log_probs = torch.log_softmax(scores.float(), -1)
    return nn.functional.ctc_loss(
        log_probs, batch.tokens, steps, batch.counts, reduction="sum", zero_infinity=True
    )  # fmt: skip


@dataclass(frozen=True)
class Learnt:
    """A network, how files become its frames, and the symbols that it writes."""

    frames: Frames
    alphabet: Alphabet
    network: Network


def exact(network: Network) -> Network:
    """The network with all its products in float32, as it is used once it has learnt."""
    for layer in network.modules():
        if isinstance(layer, Recurrent):
            layer.precision = "float32"
    return network.eval()


def restore(words: dict[str, Any], frames: Frames, alphabet: Alphabet, state: dict[str, Tensor]) -> Network:
    """The network of a run folder; what it says of itself must fit its weights before memory is taken for it."""
    made: dict[str, Any] = {**words, "blocks": tuple(tuple(block) for block in words["blocks"])}
    shape = Shape(**made)
    counts = [shape.rows, shape.symbols, shape.stack, shape.layers, shape.units, *(n for b in shape.blocks for n in b)]
    whole = all(type(n) is int and 0 < n <= LARGEST for n in counts) and type(shape.both) is type(shape.spell) is bool
    one_of("run folder cell", shape.cell, LAYERS)
    fits = (
        whole and len(shape.blocks) <= 8 and all(len(block) == 3 for block in shape.blocks)
        and (shape.rows, shape.symbols) == (frames.rows, len(alphabet)) and shape.layers <= len(state)
        and all(state[name].shape == sizes for name, sizes in _sizes(shape))
    )  # fmt: skip
    want(fits, "run folder", "a shape that its weights and symbols fit", "another")
    with train.seeded(0):
        network = Network(shape)
    checkpoint.fill(network, state)
    return network.eval()


def _sizes(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The sizes of the weights that a network's memory goes to."""
    wide, gates, read = shape.units * (1 + shape.both), {"lstm": 4, "gru": 3}[shape.cell], features(shape)
    yield "output.weight", (shape.symbols, wide)
    yield "early.weight", (shape.symbols, read)
    for k in range(shape.layers):
        yield f"layers.weight_ih_l{k}", (gates * shape.units, wide if k else read)
        yield f"layers.weight_hh_l{k}", (gates * shape.units, shape.units)
    channels = [1, *(block[0] for block in shape.blocks)]
    for k, (before, after) in enumerate(itertools.pairwise(channels)):
        yield f"front.convolutions.{k}.weight", (after, before, 3, 3)
