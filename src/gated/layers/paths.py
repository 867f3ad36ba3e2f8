"""A stack of layers by each path: the same states in, the same outputs and states out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gated.kernels.fused import fused
from gated.kernels.loop import layer
from gated.kernels.noise import draw
from gated.layers.door import Batch

if TYPE_CHECKING:
    from gated.layers.recurrent import Recurrent

States = list[dict[str, Tensor]]  # by layer and name, (D, B, W)


def by_torch(layers: Recurrent, batch: Batch, states: States) -> tuple[Tensor, States]:
    """torch's operator, on as many layers at once as it takes."""
    x, sizes, order = batch.compact()
    names, many = layers.cell.states, len(layers.suffixes)
    start = states
    if order is not None:
        start = [{name: state.index_select(1, order) for name, state in layer.items()} for layer in states]
    options: dict[str, Any] = dict(
        bias=layers.bias, bidirectional=layers.bidirectional, training=layers.training, sizes=sizes
    )
    y, ends = x, []
    for stack in layers.stacks:
        flat = [w for k in stack for direction in range(many) for w in layers.weights(k, direction).values()]
        hx = tuple(torch.cat([start[k][name] for k in stack]) for name in names)
        dropout = layers.dropout if len(stack) > 1 else 0.0
        out, final = fused(layers.cell.torch, flat, y, hx, layers=len(stack), dropout=dropout, **options)
        y = between(layers, stack[-1], y, out)
        ends += [dict(zip(names, parts, strict=True)) for parts in zip(*(s.split(many) for s in final), strict=True)]
    if order is not None:
        ends = [
            {name: state.index_copy(1, order, end[name]) for name, state in before.items()}
            for before, end in zip(states, ends, strict=True)
        ]
    return batch.spread(y, sizes, order), ends


def by_loop(
    layers: Recurrent, batch: Batch, states: States, trace: bool, gradients: bool
) -> tuple[Tensor, States, list[list[dict[str, Tensor]]]]:
    """The definition. The third result is the trace, by layer and direction: h alone unless asked for."""
    x, lengths = batch.padded()
    ends, seen = [], []
    noise: dict[str, Any] = dict(zone=layers.zoneout, drop=layers.recurrent_dropout)
    keep: dict[str, Any] = dict(keep=() if trace or gradients else ("h",), gradients=gradients)
    for k, state in enumerate(states):
        weights = [layers.weights(k, direction) for direction in range(len(layers.suffixes))]
        values, end = layer(layers.cell, weights, x, state, lengths=lengths, seed=seeds(layers), **noise, **keep)
        seen.append(values)
        ends.append(end)
        x = between(layers, k, x, torch.cat([v["h"] for v in values], -1))
    return x, ends, seen


def seeds(layers: Recurrent) -> Tensor | None:
    """What one layer's noise is made of in training, a seed for each direction; without noise torch draws nothing."""
    noisy = layers.training and (layers.recurrent_dropout > 0 or any(layers.zoneout))
    return draw(len(layers.suffixes)) if noisy else None


def between(layers: Recurrent, layer: int, x: Tensor, y: Tensor) -> Tensor:
    """What a layer hands on: dropout except after the last, and from the second on its input added."""
    if layer < layers.num_layers - 1:
        y = F.dropout(y, layers.dropout, layers.training)
    return x + y if layers.residual and layer > 0 else y
