"""A stack of layers by each path: the same states in, the same outputs and states out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gated._check import refuse
from gated.kernels.cpu import core, op
from gated.kernels.fused import fused
from gated.kernels.loop import layer
from gated.kernels.noise import draw
from gated.kernels.request import Request
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


def quick(layers: Recurrent, x: Any, hx: Any) -> Any:
    """The whole way for what comes most, a batch and its states as they should be; None for all that wants words."""
    usual = type(x) is Tensor and layers.recipe is not None and layers.path in ("auto", "native")
    if not usual or op.must_dispatch() or op.in_transform():
        return None
    (first,) = layers.parameters_of(layers.order[0][:1])
    dtype, n, L = x.dtype, len(layers.cell.states), layers.num_layers
    fits = x.dim() == 3 and x.shape[2] == layers.input_size and dtype is first.dtype and dtype in core.BYTES
    kind = isinstance(layers.hidden_size, int) and (layers.precision == "float32" or not layers.imprecise())
    if not (fits and kind and x.is_cpu and first.is_cpu):
        return None
    if layers.batch_first:
        x = x.transpose(0, 1)
    starts: Any = ((),) * L
    if hx is not None:
        hx = (hx,) if n == 1 else hx
        D = len(layers.suffixes)
        if type(hx) is not tuple or len(hx) != n:
            return None
        for state, width in zip(hx, layers.widths[0].values(), strict=True):
            if type(state) is not Tensor or state.dtype is not dtype or state.shape != (L * D, x.shape[1], width):
                return None
        starts = (hx,) if L == 1 else zip(*(state.split(D) for state in hx), strict=True)
    y, ends, _ = by_native(layers, x, None, starts, False, False)
    finals = ends[0] if L == 1 else [torch.cat(parts) for parts in zip(*ends, strict=True)]
    return y.transpose(0, 1) if layers.batch_first else y, finals[0] if n == 1 else tuple(finals)


def by_native(
    layers: Recurrent,
    x: Tensor,
    lengths: Tensor | None,
    starts: Iterable[Sequence[Tensor]],
    trace: bool,
    gradients: bool,
) -> tuple[Tensor, list[Sequence[Tensor]], list[list[dict[str, Tensor]]]]:
    """The native core, a layer at a time. States by layer, none for zeros; the third result is the trace."""
    recipe = layers.grad_recipe() if gradients else layers.recipe
    if recipe is None:
        refuse("native path", "a cell with a program", layers.unsupported)
    keep, n, ends, seen = recipe.keep if trace or gradients else (), len(layers.cell.states), [], []
    bf16 = layers.precision == "bfloat16" and not layers.imprecise()
    chunk = 0
    if layers.recompute and not keep:
        chunk = math.ceil(math.sqrt(x.shape[0])) if layers.recompute is True else layers.recompute
    for k, start in enumerate(starts):
        memory = grad_trace = None
        if gradients:
            memory, grad_trace = op.make_grad_trace(
                recipe, x, len(layers.suffixes), layers.sizes[k], layers.widths[k]["h"]
            )
        weights = layers.parameters_of(layers.order[k])
        y, *rest = op.scan(Request(recipe.text, x, start, weights, lengths, seeds(layers), keep, chunk, bf16), memory)
        ends.append(rest[:n])
        if keep:
            seen.append(op.view_trace(recipe, y, rest[n], layers.sizes[k]))
            if grad_trace is not None:
                seen[-1] = [one | two for one, two in zip(seen[-1], grad_trace, strict=True)]
        x = between(layers, k, x, y)
    return x, ends, seen


def seeds(layers: Recurrent) -> Tensor | None:
    """What one layer's noise is made of in training, a seed for each direction; without noise torch draws nothing."""
    noisy = layers.training and (layers.recurrent_dropout > 0 or any(layers.zoneout))
    return draw(len(layers.suffixes)) if noisy else None


def between(layers: Recurrent, layer: int, x: Tensor, y: Tensor) -> Tensor:
    """What a layer hands on: dropout except after the last, and from the second on its input added."""
    if layers.dropout and layer < layers.num_layers - 1:
        y = F.dropout(y, layers.dropout, layers.training)
    return x + y if layers.residual and layer > 0 else y
