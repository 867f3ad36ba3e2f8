"""What the recurrent layers inside a module do while it runs, recorded from outside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gated._check import want
from gated.cells import Cell
from gated.layers import Recurrent, door

Values = dict[str, Tensor]


@dataclass(frozen=True)
class Call:
    """One call of one `Recurrent`: what it was given and what it did, always (T, B, ·), whatever form the input had."""

    name: str  # the layer's path in the module, empty if it is the module itself
    layer: Recurrent
    x: Float[Tensor, "T B I"]
    lengths: Int[Tensor, " B"] | None
    start: list[Values]  # by layer, the states before the first step (D, B, ·)
    end: list[Values]  # and after the last
    trace: list[list[Values]]  # by layer and direction; d-values too where gradients are watched
    training: bool  # whether the layer was

    def ways(self, row: int = 0) -> Iterator[Way]:
        """Every layer and direction on one sequence of the batch, cut to its length."""
        many, T = len(self.layer.suffixes), len(self.x)
        steps = T if self.lengths is None else int(self.lengths[row])
        rates = dict(zip(self.layer.cell.states, self.layer.zoneout, strict=True))
        zone = {} if self.training else {name: float(rate) for name, rate in rates.items() if rate}
        known = not (self.training and any(self.layer.zoneout))
        for k, directions in enumerate(self.trace):
            for d, found in enumerate(directions):
                values = {name: value[:steps, row] for name, value in found.items()}
                first = {name: state[d, row] for name, state in self.start[k].items()}
                title = titled(self.name, k, d if many > 1 else None)
                yield Way(title, self.layer.cell, values, first, d == 1, zone, known)


@dataclass(frozen=True)
class Way:
    """One layer in one direction on one sequence: its values (T, ·), in the order of the input."""

    name: str  # "encoder, layer 1, forward"
    cell: Cell
    values: Values
    start: Values  # the states before the first step (·,); in the second direction that is before the last place
    reverse: bool
    zone: dict[str, float]  # what zoneout mixes in of the last state, by state
    known: bool = True  # False where zoneout's draws hide what was kept

    @property
    def units(self) -> int:
        """How many units the layer has: those of its gates, be h narrower or not."""
        return max(value.shape[-1] for value in self.values.values())

    def __len__(self) -> int:
        return len(self.values["h"])


class Seen:
    """The calls of all layers so far, in their order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def whole(self) -> list[Call]:
        """The calls, those of one layer joined in which each goes on where the one before it stood.

        A decoder with input feeding calls its layers for every step; joined they are one call of the whole sequence.
        """
        groups: dict[str, list[list[Call]]] = {}
        for call in self.calls:
            mine = groups.setdefault(call.name, [])
            if mine and _goes_on(mine[-1][-1], call):
                mine[-1].append(call)
            else:
                mine.append([call])
        return [_joined(group) for mine in groups.values() for group in mine]


def titled(path: str, layer: int, direction: int | None) -> str:
    """How a layer in one direction is called: "encoder, layer 1, forward"."""
    parts = [path] if path not in ("", "layers") else []
    parts.append(f"layer {layer + 1}")
    return ", ".join([*parts, *([] if direction is None else [("forward", "backward")[direction]])])


@contextmanager
def watch(module: nn.Module, gradients: bool = False) -> Iterator[Seen]:
    """Record every call of every `Recurrent` in the module, or of the module itself, within the block.

        with watch(model) as seen:
            model(x)
        forget = seen.calls[0].trace[0][0]["f"]        # layer 1, forwards: T, B, H

    The module gives what it gives otherwise. Values are views without a graph, as long as the block's `seen` is kept.
    gradients: record di, df … dh as well, which the next backward pass through the call fills with ∂L/∂i_t … ∂L/∂h_t.

    What has no trace is not seen: a `stream` of a layer, which has its own copy of the weights, and torch.compile's
    graphs. A layer with path="torch" takes the native core within the block: equal, but for rounding.
    """
    want(isinstance(module, nn.Module), "watch", "a module", type(module).__name__)
    named = {layer: name for name, layer in module.named_modules() if isinstance(layer, Recurrent)}
    todo = "Build it of gated.LSTM, gated.GRU, gated.RNN or gated.Recurrent."
    want(bool(named), "watch", "a module with recurrent layers of gated in it", type(module).__name__, todo)
    seen, asked, paths, handles = Seen(), dict[Recurrent, tuple[bool, bool]](), dict[Recurrent, str](), []
    word = "grad_trace" if gradients else "trace"

    def before(layer: Any, args: tuple, words: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        asked[layer] = bool(words.get("trace", False)), bool(words.get("grad_trace", False))
        if layer.path == "torch":
            paths[layer], layer.path = layer.path, "auto"
        return args, {**words, word: True}

    def after(layer: Any, args: tuple, words: dict[str, Any], result: Any) -> Any:
        if layer in paths:
            layer.path = paths.pop(layer)
        if result is None:  # it raised
            return None
        trace, grads = asked.pop(layer)
        seen.calls.append(_call(named[layer], layer, args, words, result, grads or gradients))
        if trace and not grads and gradients:  # without the gradients that nobody asked for
            bare = [[dict(list(way.items())[: len(way) // 2]) for way in layer] for layer in result[2]]
            return *result[:2], bare
        return result if trace or grads else result[:2]

    try:
        for layer in named:
            handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(layer.register_forward_hook(after, with_kwargs=True, always_call=True))
        yield seen
    finally:
        for handle in handles:
            handle.remove()
        for layer, path in paths.items():
            layer.path = path


@contextmanager
def evaluated(module: Any) -> Iterator[None]:
    """Within the block all of a module is in evaluation, after it as before."""
    training = {part: part.training for part in module.modules()} if isinstance(module, nn.Module) else {}
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part, was in training.items():
            part.training = was


def _call(name: str, layer: Recurrent, args: tuple, words: dict[str, Any], result: Any, gradients: bool) -> Call:
    x = words["input"] if "input" in words else args[0]
    hx = words.get("hx", args[1] if len(args) > 1 else None)
    where, directions = type(layer).__name__, len(layer.suffixes)
    dtype = next(layer.parameters()).dtype
    batch = door.enter(
        where, x, words.get("lengths"), size=layer.input_size, dtype=dtype, batch_first=layer.batch_first
    )
    inside, lengths = batch.padded()
    with torch.no_grad():
        first = door.states_in(where, hx, layer.cell.states, layer.widths, directions, batch)
        last = door.states_in(where, result[1], layer.cell.states, layer.widths, directions, batch)

    def turned(value: Tensor) -> Tensor:  # the inverse of `door.leave`
        value = value.detach()
        if not batch.batched:
            return value.unsqueeze(1)
        return value.transpose(0, 1) if batch.batch_first and batch.packed is None else value

    trace = [[{k: turned(v) for k, v in way.items()} for way in one] for one in result[2]]
    start, end = ([{k: v.detach() for k, v in one.items()} for one in side] for side in (first, last))
    return Call(name, layer, inside.detach(), lengths, start, end, trace, layer.training)


def _goes_on(one: Call, two: Call) -> bool:
    if one.lengths is not None or two.lengths is not None or one.layer.bidirectional:
        return False
    if one.x.shape[1:] != two.x.shape[1:]:
        return False
    pairs = [(a[k], b[k]) for a, b in zip(one.end, two.start, strict=True) for k in a]
    return all(bool(a.any()) for a, _ in pairs[:1]) and all(torch.equal(a, b) for a, b in pairs)


def _joined(calls: list[Call]) -> Call:
    if len(calls) == 1:
        return calls[0]
    trace = [
        [{name: torch.cat([call.trace[k][d][name] for call in calls]) for name in way} for d, way in enumerate(one)]
        for k, one in enumerate(calls[0].trace)
    ]
    return replace(calls[0], x=torch.cat([call.x for call in calls]), end=calls[-1].end, trace=trace)
