"""The network: a front that shortens time, recurrent layers, and a score for every symbol at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import checkpoint, train
from gated._check import one_of, want
from gated.layers import GRU, LSTM, Recurrent
from gated.layers.dropout import Dropout

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


class Front(nn.Module):
    """Blocks of convolution, relu and pooling, that never mix in what lies beyond the ends.

        x ← maxpool(relu(K ∗ x + b))        K is 3 × 3 over rows and frames

    x (B, R, T) and lengths (B,) give (T', B, F) and ⌈lengths / stride⌉: step n sees the frames from n·stride − before on,
    `field` of them, and zeros where there are none. So a step depends on its own frames alone, not on what a batch is
    padded with, and can be computed from a window of a stream.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, width, rows = shape, 1, shape.rows
        self.convolutions = nn.ModuleList()
        for channels, down, _ in shape.blocks:
            self.convolutions.append(nn.Conv2d(width, channels, 3, padding=(1, 0)))
            width, rows = channels, rows // down
        self.convolutions.to(memory_format=torch.channels_last)  # pooling and all that follows are several times as fast so
        self.features = width * rows * shape.stack

    def forward(
        self, x: Float[Tensor, "B R T"], lengths: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "S B F"], Int64[Tensor, " B"]]:
        shape = self.shape
        steps = -(-lengths // shape.stride)
        most = -(-x.shape[2] // shape.stride)
        after = (most - 1) * shape.stride + shape.field - shape.before - x.shape[2]
        x = nn.functional.pad(x, (shape.before, max(0, after)))
        return self.window(x[:, :, : x.shape[2] + min(0, after)]), steps

    def window(self, x: Float[Tensor, "B R W"]) -> Float[Tensor, "S B F"]:
        """The steps that windows of frames hold whole."""
        y = x[:, None]
        for convolve, (_, down, frames) in zip(self.convolutions, self.shape.blocks, strict=True):
            y = nn.functional.max_pool2d(convolve(y).relu_(), (down, frames))
        y = y.permute(3, 0, 1, 2).flatten(2)  # (T', B, C·R')
        k = self.shape.stack
        return y[: len(y) // k * k].unflatten(0, (-1, k)).transpose(1, 2).flatten(2)


class Network(nn.Module):
    """log p(symbol | x) at every step:

        h = LSTM(front(x))        log p = log softmax(W h + b)

    x (B, R, T), lengths (B,); the symbols' first is the blank.
    """

    def __init__(self, shape: Shape, dropout: float = 0.0, precision: str = "float32") -> None:
        super().__init__()
        self.shape = shape
        self.front = Front(shape)
        kind, more = LAYERS[shape.cell], dict(precision=precision)
        self.dropout = Dropout(dropout)
        self.layers: Any = kind(
            self.front.features, shape.units, shape.layers, dropout=dropout if shape.layers > 1 else 0.0,
            bidirectional=shape.both, **more,
        )  # fmt: skip
        self.output = nn.Linear(shape.units * (1 + shape.both), shape.symbols)

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Float[Tensor, "S B M"], Int64[Tensor, " B"]]:
        """What the recurrent layers say at every step."""
        y, steps = self.front(x, lengths)
        h, _ = self.layers(self.dropout(y), lengths=steps)
        return self.dropout(h), steps

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Float[Tensor, "S B V"], Int64[Tensor, " B"]]:
        h, steps = self.encode(x, lengths)
        return torch.log_softmax(self.output(h).float(), -1), steps
