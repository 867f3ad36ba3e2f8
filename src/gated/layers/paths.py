"""A stack of layers by each path: the same states in, the same outputs and states out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gated.kernels import noise
from gated.kernels.fused import fused
from gated.kernels.loop import scan
from gated.layers import door
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
    mask = None if lengths is None else door.live(lengths, batch.steps)
    ends, seen = [], []
    keep: dict[str, Any] = dict(keep=() if trace or gradients else ("h",), gradients=gradients)
    for layer, state in enumerate(states):
        seed, ways = seeds(layers), []
        for direction in range(len(layers.suffixes)):
            start = {name: value[direction] for name, value in state.items()}
            drop, zone = _noise(layers, x, start, None if seed is None else seed[direction])
            how: dict[str, Any] = dict(live=mask, reverse=direction == 1, drop=drop, zone=zone)
            ways.append(scan(layers.cell, layers.weights(layer, direction), x, start, **how, **keep))
        values = [v if mask is None else _cut(v, mask) for v, _ in ways]
        seen.append(values)
        ends.append({name: torch.stack([end[name] for _, end in ways]) for name in state})
        if not batch.steps:
            values = [{"h": x.new_zeros(0, batch.size, layers.widths[layer]["h"])} for _ in ways]
        x = between(layers, layer, x, torch.cat([v["h"] for v in values], -1))
    return x, ends, seen


def seeds(layers: Recurrent) -> Tensor | None:
    """What one layer's noise is made of in training, a seed for each direction; without noise torch draws nothing."""
    noisy = layers.training and (layers.recurrent_dropout > 0 or any(layers.zoneout))
    return noise.draw(len(layers.suffixes)) if noisy else None


def _noise(
    layers: Recurrent, x: Tensor, state: Mapping[str, Tensor], seed: Tensor | None
) -> tuple[Tensor | None, dict[str, Tensor | float]]:
    """One layer in one direction: recurrent dropout's mask, and zoneout's or, in evaluation, its rates."""
    rates = [(k, name, float(rate)) for k, (name, rate) in enumerate(zip(state, layers.zoneout, strict=True)) if rate]
    if seed is None:
        return None, {name: rate for _, name, rate in rates}
    B, P = state["h"].shape
    drop = noise.drop(seed, x, B, P, layers.recurrent_dropout) if layers.recurrent_dropout else None
    return drop, {name: noise.zone(seed, x, B, state[name].shape[1], rate, k) for k, name, rate in rates}


def between(layers: Recurrent, layer: int, x: Tensor, y: Tensor) -> Tensor:
    """What a layer hands on: dropout except after the last, and from the second on its input added."""
    if layer < layers.num_layers - 1:
        y = F.dropout(y, layers.dropout, layers.training)
    return x + y if layers.residual and layer > 0 else y


def _cut(values: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """Zeros past the ends; not for gradients, which are still to come into the very tensors given here."""
    return {k: v if k.startswith("d") and k[1:] in values else v.where(mask, 0) for k, v in values.items()}
