"""Convolutions over the steps of sequences of unlike lengths, in which nothing depends on the padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated.layers.pooling import mask

__all__ = ["Block", "Convolutions", "StepNorm"]


class Block(NamedTuple):
    """One convolution: its channels, its kernel's width in steps, and the factors by which steps and rows shrink."""

    channels: int
    width: int
    steps: int = 1
    rows: int = 1


class StepNorm(nn.Module):
    """y = (x − μ) / √(σ² + ε) · g + b for each channel, μ and σ² over the steps that exist (Ioffe & Szegedy 2015).

    x (B, C, …, T), steps (B, T), 1 where a step exists, None where all do. In evaluation μ and σ² are running means.
    """

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.gain, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Float[Tensor, "B C *R T"], steps: Tensor | None = None) -> Tensor:
        mean: Any = self.mean
        variance: Any = self.variance
        if steps is None or not self.training:
            return nn.functional.batch_norm(
                x, mean, variance, self.gain, self.shift, self.training, self.momentum, self.eps
            )  # fmt: skip
        steps = steps[:, None] if x.ndim == 3 else steps[:, None, None]
        axes = tuple(k for k in range(x.ndim) if k != 1)
        count = (steps.sum() * (x.shape[2] if x.ndim == 4 else 1)).clamp(min=1)
        wide = (-1, *[1] * (x.ndim - 2))
        mu = (x * steps).sum(axes) / count
        var = ((x - mu.view(wide)).square() * steps).sum(axes) / count
        with torch.no_grad():
            mean.lerp_(mu.float(), self.momentum)
            variance.lerp_(var.float() * count / (count - 1).clamp(min=1), self.momentum)  # without bias, as torch
        scale = self.gain * (var + self.eps).rsqrt()
        return x * scale.view(wide) + (self.shift - mu * scale).view(wide)


class Convolutions(nn.Module):
    """x ← relu(norm(K ∗ x)) block by block, added to its input where both have one shape (He et al. 2016).

    x (B, R, T) and lengths (B,) -> (T', B, F) and their lengths, T' = ⌈T / Π steps⌉, zeros beyond the ends.
    plane: the rows are a picture's, or the bands of a spectrum, over which kernels of height 3 slide as well;
    else they are channels.
    """

    def __init__(self, rows: int, blocks: Sequence[Block], plane: bool = False) -> None:
        super().__init__()
        self.blocks, self.plane = tuple(blocks), plane
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        width = 1 if plane else rows
        for channels, size, steps, down in self.blocks:
            more: dict[str, Any] = dict(bias=False)
            if plane:
                layer: Any = nn.Conv2d(width, channels, (3, size), (down, steps), (1, size // 2), **more)
                rows = -(-rows // down)
            else:
                layer = nn.Conv1d(width, channels, size, steps, size // 2, **more)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            self.convolutions.append(layer)
            self.norms.append(StepNorm(channels))
            width = channels
        self.features = width * rows if plane else width

    def forward(
        self, x: Float[Tensor, "B R T"], lengths: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "S B F"], Int64[Tensor, " B"]]:
        y = x[:, None] if self.plane else x
        for block, convolve, norm in zip(self.blocks, self.convolutions, self.norms, strict=True):
            z = convolve(y)
            lengths = -(-lengths // block.steps)
            steps = None if bool((lengths == z.shape[-1]).all()) else mask(lengths, z.shape[-1]).T.to(z.dtype)
            z = norm(z, steps).relu()
            if steps is not None:
                z = z * (steps[:, None, None] if self.plane else steps[:, None])
            y = z + y if z.shape == y.shape else z
        y = y.flatten(1, -2) if self.plane else y
        return y.permute(2, 0, 1).contiguous(), lengths
