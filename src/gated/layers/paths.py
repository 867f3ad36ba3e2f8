"""A stack of layers by each path: the same states in, the same outputs and states out; and which path a call takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gated import _native
from gated._check import flags, refuse
from gated.kernels.choose import choose
from gated.kernels.cpu import core, op
from gated.kernels.loop import layer
from gated.kernels.noise import draw
from gated.kernels.program import Unsupported
from gated.kernels.request import Request
from gated.layers.layout import Batch, States, zero_states
from gated.layers.stack import Stack

Trace = list[list[dict[str, Tensor]]]  # by layer and direction, the values of every step


class Call(NamedTuple):
    """One call of a stack."""

    stack: Stack
    weights: list[list[Tensor]]  # by layer, as `Stack.parameters` names them
    training: bool
    batch: Batch
    trace: bool
    gradients: bool  # of the trace


def check_trace(where: str, trace: object, gradients: object) -> None:
    """Refuse a trace that is not asked for by True or False, and gradients that nobody could fill in."""
    flags(where, trace=trace, grad_trace=gradients)
    if gradients and torch.compiler.is_compiling():
        refuse(f"{where} grad_trace", "a run by itself", "torch.compile or torch.export", "Take trace=True.")


def pick(call: Call) -> tuple[str, str]:
    """The path of a call, and why none that comes first."""
    return choose(call.stack.path, partial(_against, call))


def _against(call: Call, path: str) -> list[str]:
    """Why the native core, or torch's operator, cannot serve a call."""
    stack, batch, first, reasons = call.stack, call.batch, call.weights[0][0], call.stack.against(path)
    moved = op.in_transform()
    if moved:
        reasons.append("vmap, jvp and their like want the steps one by one")
    if path == "native":
        if not first.is_cpu:
            reasons.append(f"the core computes on the processor, not on {first.device.type}")
        if first.dtype not in core.BYTES:
            reasons.append(f"the core computes in float32 and float64, not in {first.dtype}")
        if call.gradients:
            reasons += _against_gradients(call)
        if stack.path == "native" and lack_bfloat16(call):
            reasons.append(lack_bfloat16(call))
        return reasons
    if call.trace or call.gradients:
        reasons.append("trace=True wants every gate of every step, which torch's operator keeps to itself")
    if any(stack.rates):
        reasons.append("zoneout acts at every step")
    if call.training and stack.recurrent_dropout:
        reasons.append("recurrent dropout acts at every step")
    compiled = torch.compiler.is_compiling()
    none = not compiled and not moved and batch.lengths is not None and not bool(batch.lengths.any())
    if 0 in batch.x.shape[:2] or none:
        reasons.append("no sequence has a step to run")
    if compiled:
        reasons.append("torch.compile and torch.export cannot look into torch's operator")
    return reasons


def _against_gradients(call: Call) -> list[str]:
    """Why the native core cannot give the gradients of a trace."""
    reasons = []
    if not call.stack.unsupported and not torch.compiler.is_compiling():
        try:
            call.stack.recipe(call.training, True)
        except Unsupported as error:
            reasons.append(str(error))
    if op.must_dispatch():
        reasons.append("gradients in a trace come from the core past torch.compile, autocast and their like")
    return reasons


def explain(call: Call) -> str:
    """The path of a call, why, and what it leaves undone."""
    (path, why), stack, batch = pick(call), call.stack, call.batch
    native, note, lacking, name = path == "native", "", lack_bfloat16(call), stack.cell.name
    serves = {"native": f"{name} in the native core", "torch": f"plain {name}, torch.{stack.cell.torch}"}
    why = (serves.get(path, "") + why).removeprefix("; ") or "asked for"
    if path == "torch":
        note = " for the whole stack" if len(stack.blocks) == 1 else ", layer by layer"
        note += ", over the steps that exist" if batch.lengths is not None else ""
    if stack.recompute and (not native or call.trace or call.gradients):
        note += f"; nothing is recomputed: {'a trace keeps every step' if native else 'only the native path does'}"
    if stack.precision != "float32" and (not native or lacking):
        other = lacking if native else "only the native path multiplies in bfloat16"
        note += f"; products in the weights' precision: {other}"
    return f"{path}: {why}{note}"


def lack_bfloat16(call: Call) -> str:
    """Why products in bfloat16 were asked for and cannot be had."""
    if call.stack.precision == "float32":
        return ""
    if call.weights[0][0].dtype == torch.float64:
        return "weights in float64"
    return "" if _native.bf16() else "the processor has no products in bfloat16"


def by_torch(call: Call, states: States | None) -> tuple[Tensor, States, Trace]:
    """torch's operator, by which cuDNN runs on the GPU, on as many layers at once as it takes. There is no trace."""
    stack, batch, D = call.stack, call.batch, len(call.stack.suffixes)
    y, sizes, order = batch.compact()
    before = states = zero_states(stack, batch) if states is None else states
    if order is not None:
        states = [[state.index_select(1, order) for state in layer] for layer in states]
    run, ends = getattr(torch, stack.cell.torch), list[Sequence[Tensor]]()
    for block in stack.blocks:
        flat = [w for k in block for w in call.weights[k]]
        h, *c = map(torch.cat, zip(*(states[k] for k in block), strict=True))
        dropout = stack.dropout if len(block) > 1 else 0.0
        hx, options = (h, *c) if c else h, (flat, stack.bias, len(block), dropout, call.training, stack.bidirectional)
        out, *final = run(y, hx, *options, False) if sizes is None else run(y, sizes, hx, *options)
        y = _pass_on(call, block[-1], y, out)
        ends += zip(*(state.split(D) for state in final), strict=True)
    if order is not None:
        ends = [
            [state.index_copy(1, order, end) for state, end in zip(*layer, strict=True)]
            for layer in zip(before, ends, strict=True)
        ]
    return batch.spread(y, sizes, order), ends, []


def by_loop(call: Call, states: States | None) -> tuple[Tensor, States, Trace]:
    """The definition."""
    stack, (x, lengths) = call.stack, call.batch.pad()
    ends, values, D, noisy = [], [], len(stack.suffixes), call.training and stack.noisy
    noise: dict[str, Any] = dict(zone=stack.rates, drop=stack.recurrent_dropout)
    keep: dict[str, Any] = dict(keep=() if call.trace or call.gradients else ("h",), gradients=call.gradients)
    for k, state in enumerate(zero_states(stack, call.batch) if states is None else states):
        weights, start = stack.by_direction(call.weights[k]), dict(zip(stack.cell.states, state, strict=True))
        steps, end = layer(
            stack.cell, weights, x, start, lengths=lengths, seed=draw(D) if noisy else None, **noise, **keep
        )
        values.append(steps)
        ends.append(tuple(end.values()))
        x = _pass_on(call, k, x, torch.cat([way["h"] for way in steps], -1))
    return x, ends, values


def by_native(call: Call, states: States | None) -> tuple[Tensor, States, Trace]:
    """The native core, a layer at a time."""
    stack, (x, lengths) = call.stack, call.batch.pad()
    recipe = stack.recipe(call.training, True) if call.gradients else stack.recipes[call.training]
    keep, n = recipe.keep if call.trace or call.gradients else (), len(stack.cell.states)
    ends, values, D = [], [], len(stack.suffixes)
    bf16 = stack.precision == "bfloat16" and not lack_bfloat16(call)
    chunk = 0
    if stack.recompute and not keep:
        chunk = math.ceil(math.sqrt(x.shape[0])) if stack.recompute is True else stack.recompute
    request, memory = Request(recipe.text, 0 if states is None else n, keep, chunk, bf16), None
    for k, weights in enumerate(call.weights):
        if call.gradients:
            memory = op.make_grad_trace(recipe, x, D, stack.sizes[k])
        seed = draw(D) if call.training and stack.noisy else None
        y, *rest = op.scan(request, (lengths, seed, x, *(states[k] if states else ()), *weights), memory)
        ends.append(rest[:n])
        if keep:
            values.append(op.view_trace(recipe, y, rest[n], stack.sizes[k], memory))
        x = _pass_on(call, k, x, y) if stack.separate else y
    return x, ends, values


RUN = {"native": by_native, "torch": by_torch, "loop": by_loop}


def _pass_on(call: Call, k: int, x: Tensor, y: Tensor) -> Tensor:
    """What layer k hands on: dropout except after the last, and from the second on its input added."""
    stack = call.stack
    if stack.dropout and k < len(stack.sizes) - 1:
        y = F.dropout(y, stack.dropout, call.training)
    return x + y if stack.residual and k > 0 else y


def flatten(stack: Stack, weights: Sequence[Sequence[Tensor]]) -> None:
    """Lay the weights out in one piece for cuDNN; nothing to do elsewhere."""
    mode = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}[stack.cell.torch]
    for block in stack.blocks:
        flat = [w for k in block for w in weights[k]]
        alike = all(w.is_cuda and w.dtype == flat[0].dtype for w in flat) and len(set(map(id, flat))) == len(flat)
        if not alike or not torch.backends.cudnn.is_acceptable(flat[0]):
            continue
        sizes = (stack.inputs[block[0]], mode, stack.sizes[block[0]], stack.proj_size, len(block))
        with torch.cuda.device_of(flat[0]), torch.no_grad():
            torch.ops.aten._cudnn_rnn_flatten_weight(flat, len(stack.keys), *sizes, False, stack.bidirectional)
