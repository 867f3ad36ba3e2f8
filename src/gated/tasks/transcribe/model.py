"""The network: a front end that reduces the frame rate, recurrent layers, and log p of every symbol at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import checkpoint
from gated._check import want
from gated.features.alphabet import Alphabet
from gated.layers import GRU, LSTM
from gated.layers.dropout import Dropout
from gated.tasks.transcribe.attention import CTC_WEIGHT, AttentionDecoder
from gated.tasks.transcribe.batches import Batch
from gated.tasks.transcribe.frames import Frames

CHUNK = 4096  # steps of the front end computed together
LAYERS = {"lstm": LSTM, "gru": GRU}


class Shape(NamedTuple):
    """The arguments of a network that its weights and equations depend on."""

    rows: int  # of a frame
    symbols: int  # with the blank
    blocks: tuple[tuple[int, int, int], ...]  # convolutions' channels, and the factors by which rows and frames shrink
    stack: int  # frames concatenated after the blocks
    cell: str
    layers: int
    units: int
    both: bool  # directions
    spell: bool = False  # whether an attention decoder writes, beside CTC

    @property
    def stride(self) -> int:
        """Frames per step."""
        stride = self.stack
        for _, _, frames in self.blocks:
            stride *= frames
        return stride

    @property
    def field(self) -> int:
        """The receptive field of a step, in frames."""
        field, step = 1, 1
        for _, _, frames in self.blocks:
            field += 2 * step + (frames - 1) * step  # a convolution over three, then a pool
            step *= frames
        return field + (self.stack - 1) * step

    @property
    def before(self) -> int:
        """Frames of the field before the step's own: half of the surplus, or all of it in a forward-only network."""
        surplus = self.field - self.stride
        return surplus // 2 if self.both else surplus

    @property
    def features(self) -> int:
        """The size of a step after the front end."""
        channels, rows = 1, self.rows
        for width, down, _ in self.blocks:
            channels, rows = width, rows // down
        return channels * rows * self.stack


class FrontEnd(nn.Module):
    """Blocks of convolution, relu and pooling, in which no step depends on the padding.

        x ← maxpool(relu(K ∗ x + b))        K is 3 × 3 over rows and frames
        y_n = LN(x_n)                       all rows and channels of a step (Ba et al. 2016)

    x (B, R, T) and lengths (B,) give (T', B, F) and ⌈lengths / stride⌉: step n sees `field` frames, from n·stride −
    before on, and zeros where there are none. So a step can be computed from a window of a stream.
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
        self.convolutions.to(memory_format=torch.channels_last)  # pyright: ignore  # pooling takes a tenth of the time
        self.norm = nn.LayerNorm(shape.features)

    def forward(
        self, x: Float[Tensor, "B R T"], lengths: Int64[Tensor, " B"], chunk: int = CHUNK
    ) -> tuple[Float[Tensor, "S B F"], Int64[Tensor, " B"]]:
        """chunk: steps computed together outside training; the first block of an hour of sound would take gigabytes."""
        shape = self.shape
        steps = -(-x.shape[2] // shape.stride)
        after = (steps - 1) * shape.stride + shape.field - shape.before - x.shape[2]
        x = nn.functional.pad(x, (shape.before, max(0, after)))
        x = x[:, :, : x.shape[2] + min(0, after)]
        chunk = steps if torch.is_grad_enabled() else min(chunk, steps)
        starts = range(0, steps, chunk)
        ends = [(min(n + chunk, steps) - 1) * shape.stride + shape.field for n in starts]
        parts = [self.window(x[:, :, n * shape.stride : end]) for n, end in zip(starts, ends, strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts), -(-lengths // shape.stride)

    def window(self, x: Float[Tensor, "B R W"]) -> Float[Tensor, "S B F"]:
        """The steps whose fields lie within a window of frames."""
        y = x[:, None]
        for convolve, (_, down, frames) in zip(self.convolutions, self.shape.blocks, strict=True):
            y = nn.functional.max_pool2d(convolve(y).relu_(), (down, frames))
        y = y.permute(3, 0, 1, 2).flatten(2)  # (T', B, C·R')
        k = self.shape.stack
        y = y[: len(y) // k * k].unflatten(0, (-1, k)).transpose(1, 2).flatten(2)
        return self.norm(y.float())


class Network(nn.Module):
    """log p(symbol | x) at every step:

        h = LSTM(frontend(x))        log p = log softmax(W h + b)

    x (B, R, T), lengths (B,); symbol 0 is the blank. `early` is an auxiliary CTC output on the front end, for training:
    its gradient bypasses the recurrent layers, so the convolutions learn characters long before the layers above leave
    the all-blank solution. With `shape.spell` an `AttentionDecoder` writes beside CTC.
    """

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, width = shape, shape.units * (1 + shape.both)
        self.front = FrontEnd(shape)
        self.dropout = Dropout(dropout)
        self.layers: Any = LAYERS[shape.cell](
            shape.features, shape.units, shape.layers, dropout=dropout if shape.layers > 1 else 0.0,
            bidirectional=shape.both, init="orthogonal", **(dict(forget_bias=1.0) if shape.cell == "lstm" else {}),
        )  # fmt: skip
        self.output = nn.Linear(width, shape.symbols)
        self.early = nn.Linear(shape.features, shape.symbols)
        self.speller = AttentionDecoder(shape.symbols, shape.units, width, dropout) if shape.spell else None

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Int64[Tensor, " B"]]:
        """The outputs of the front end and of the recurrent layers, (T', B, …), and the steps of each example."""
        y, steps = self.front(x, lengths)
        h, _ = self.layers(self.dropout(y), lengths=steps)
        return y, h, steps

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Float[Tensor, "S B V"], Int64[Tensor, " B"]]:
        """log p of every symbol at every step, and the steps of each example."""
        _, h, steps = self.encode(x, lengths)
        return torch.log_softmax(self.output(h).float(), -1), steps


def loss(network: Network, batch: Batch, early: float = 0.0) -> tuple[Tensor, int]:
    """Σ −log p(text | x) of a batch (Graves et al. 2006), and the number of its symbols.

    early: weight of the same for the auxiliary output on the front end.
    """
    y, h, steps = network.encode(batch.x, batch.lengths)
    h = network.dropout(h)
    total = ctc(network.output(h), steps, batch)
    if network.speller is not None:
        attention = network.speller.loss(h, steps, batch.tokens, batch.counts)
        total = CTC_WEIGHT * total + (1 - CTC_WEIGHT) * attention
    if early:
        total = total + early * ctc(network.early(y), steps, batch)
    return total, int(batch.counts.sum())


def ctc(scores: Float[Tensor, "S B V"], steps: Int64[Tensor, " B"], batch: Batch) -> Float[Tensor, ""]:
    """Σ −log p(text | x); a text with more symbols than steps, as speed perturbation may leave, adds 0."""
    log_probs = torch.log_softmax(scores.float(), -1)
    return nn.functional.ctc_loss(
        log_probs, batch.tokens, steps, batch.counts, reduction="sum", zero_infinity=True
    )  # fmt: skip


@dataclass(frozen=True)
class Transcriber:
    """A network, its frames and its symbols."""

    frames: Frames
    alphabet: Alphabet
    network: Network

    @property
    def unit(self) -> float:
        """The length of a step: seconds of sound, or columns."""
        return self.frames.unit * self.network.shape.stride

    @property
    def device(self) -> torch.device:
        return self.network.output.weight.device


def restore(words: dict[str, Any], frames: Frames, alphabet: Alphabet, state: dict[str, Tensor]) -> Network:
    """The network of a run folder."""
    shape = Shape(**{**words, "blocks": tuple(tuple(block) for block in words["blocks"])})  # pyright: ignore
    counts = [shape.rows, shape.symbols, shape.stack, shape.layers, shape.units, *(n for b in shape.blocks for n in b)]
    fits = (
        all(type(n) is int and n > 0 for n in counts) and type(shape.both) is type(shape.spell) is bool
        and max(shape.layers, len(shape.blocks)) <= len(state)
        and (shape.rows, shape.symbols) == (frames.rows, len(alphabet))
    )  # fmt: skip
    want(fits, "run folder", "a shape that its weights and symbols fit", "another")
    return checkpoint.build(lambda: Network(shape), state)
