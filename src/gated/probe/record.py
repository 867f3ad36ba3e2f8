"""Record the recurrent layers inside a module while it runs, by hooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gated._check import want
from gated.cells import Cell
from gated.layers import Recurrent, layout

Values = dict[str, Tensor]


@dataclass(frozen=True)
class Call:
    """One call of one `Recurrent`: inputs, states and trace, always (T, B, ·), whatever the layout of the input."""

    name: str  # the layer's path in the module, empty if it is the module itself
    layer: Recurrent
    x: Float[Tensor, "T B I"]
    lengths: Int[Tensor, " B"] | None
    start: list[Values]  # by layer, the states before the first step (D, B, ·)
    end: list[Values]  # and after the last
    trace: list[list[Values]]  # by layer and direction; gradients too (di, df, …) if they are recorded
    training: bool  # the layer's mode

    def traces(self, row: int = 0) -> Iterator[Trace]:
        """Every layer and direction on one sequence of the batch, cut to its length."""
        many, T = len(self.layer.stack.suffixes), len(self.x)
        steps = T if self.lengths is None else int(self.lengths[row])
        rates = dict(zip(self.layer.cell.states, self.layer.stack.rates, strict=True))
        zone = {} if self.training else {name: float(rate) for name, rate in rates.items() if rate}
        exact = not (self.training and any(self.layer.stack.rates))
        for k, directions in enumerate(self.trace):
            for d, batch in enumerate(directions):
                values = {name: value[:steps, row] for name, value in batch.items()}
                first = {name: state[d, row] for name, state in self.start[k].items()}
                name = make_name(self.name, k, d if many > 1 else None)
                yield Trace(name, self.layer.cell, values, first, d == 1, zone, exact)


@dataclass(frozen=True)
class Trace:
    """Values (T, ·) of one layer in one direction on one sequence, in the order of the input."""

    name: str  # "encoder, layer 1, forward"
    cell: Cell
    values: Values
    start: Values  # the initial states (·,); in the backward direction those before the last place
    reverse: bool
    zone: dict[str, float]  # zoneout's rate, by state
    exact: bool = True  # False if random zoneout masks make `keep` unknown

    @property
    def units(self) -> int:
        """The number of units: that of the gates, even where a projection makes h narrower."""
        return max(value.shape[-1] for value in self.values.values())

    def __len__(self) -> int:
        return len(self.values["h"])


def list_traces(calls: Iterable[Call]) -> list[Trace]:
    """Every layer and direction on every sequence of these calls."""
    return [trace for call in calls for row in range(call.x.shape[1]) for trace in call.traces(row)]


class Recording:
    """The calls of all layers so far, in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def merge(self) -> list[Call]:
        """The calls, with consecutive calls of a layer concatenated if each starts from the last state of the previous.

        A decoder with input feeding calls its layers for every step; merged they are one call on the whole sequence.
        """
        groups: dict[str, list[list[Call]]] = {}
        for call in self.calls:
            mine = groups.setdefault(call.name, [])
            if mine and _continues(mine[-1][-1], call):
                mine[-1].append(call)
            else:
                mine.append([call])
        return [_concatenate(group) for mine in groups.values() for group in mine]


def make_name(path: str, layer: int, direction: int | None) -> str:
    """The name of a layer in one direction: "encoder, layer 1, forward"."""
    side = "" if direction is None else ("forward", "backward")[direction]
    return ", ".join(part for part in ("" if path == "layers" else path, f"layer {layer + 1}", side) if part)


@contextmanager
def record(module: nn.Module, gradients: bool = False) -> Iterator[Recording]:
    """Record every call of every `Recurrent` in the module, or of the module itself, within the block.

        with record(model) as recording:
            model(x)
        forget = recording.calls[0].trace[0][0]["f"]        # layer 1, forward: T, B, H

    The outputs of the module do not change. Values are views without a graph.
    gradients: record di, df … dh as well, which the next backward pass through the call fills with ∂L/∂i_t … ∂L/∂h_t.

    Calls without a trace are not recorded: a `stream` of a layer, which has its own copy of the weights, and
    torch.compile's graphs. A layer with path="torch" takes the native core within the block: equal, but for rounding.
    """
    want(isinstance(module, nn.Module), "record", "a module", type(module).__name__)
    names = {layer: name for name, layer in module.named_modules() if isinstance(layer, Recurrent)}
    todo = "Build it of gated.LSTM, gated.GRU, gated.RNN or gated.Recurrent."
    want(bool(names), "record", "a module with recurrent layers of gated in it", type(module).__name__, todo)
    recording, requests, paths, handles = Recording(), dict[Recurrent, tuple[bool, bool]](), dict[Recurrent, str](), []
    word = "grad_trace" if gradients else "trace"

    def before(layer: Any, args: tuple, words: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        requests[layer] = bool(words.get("trace", False)), bool(words.get("grad_trace", False))
        if layer.path == "torch":
            paths[layer], layer.path = layer.path, "auto"
        return args, {**words, word: True}

    def after(layer: Any, args: tuple, words: dict[str, Any], result: Any) -> Any:
        if layer in paths:
            layer.path = paths.pop(layer)
        if result is None:  # it raised
            return None
        trace, grads = requests.pop(layer)
        recording.calls.append(_call(names[layer], layer, args, words, result, grads or gradients))
        if trace and not grads and gradients:  # without the gradients that the caller did not request
            return *result[:2], [[dict(list(one.items())[: len(one) // 2]) for one in each] for each in result[2]]
        return result if trace or grads else result[:2]

    try:
        for layer in names:
            handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(layer.register_forward_hook(after, with_kwargs=True, always_call=True))
        yield recording
    finally:
        for handle in handles:
            handle.remove()
        for layer, path in paths.items():
            layer.path = path


@contextmanager
def eval_mode(module: Any) -> Iterator[None]:
    """Put all of a module into evaluation mode within the block, and restore its modes after it."""
    training = [part for part in module.modules() if part.training] if isinstance(module, nn.Module) else []
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _call(name: str, layer: Recurrent, args: tuple, words: dict[str, Any], result: Any, gradients: bool) -> Call:
    x = words["input"] if "input" in words else args[0]
    hx = words.get("hx", args[1] if len(args) > 1 else None)
    stack, names = layer.stack, layer.cell.states
    batch = layout.arrange(stack, next(layer.parameters()).dtype, x, words.get("lengths"))
    inside, lengths = batch.pad()
    with torch.no_grad():
        first = layout.zero_states(stack, batch) if hx is None else layout.split_states(stack, hx, batch)
        last = layout.split_states(stack, result[1], batch)

    def to_time_first(value: Tensor) -> Tensor:  # the inverse of `Batch.restore_axes`
        value = value.detach()
        if not batch.batched:
            return value.unsqueeze(1)
        return value.transpose(0, 1) if batch.batch_first else value

    trace = [[{k: to_time_first(v) for k, v in one.items()} for one in each] for each in result[2]]
    start, end = ([{k: v.detach() for k, v in zip(names, one, strict=True)} for one in side] for side in (first, last))
    return Call(name, layer, inside.detach(), lengths, start, end, trace, layer.training)


def _continues(one: Call, two: Call) -> bool:
    padded = one.lengths is not None or two.lengths is not None
    if padded or one.layer.bidirectional or one.x.shape[1:] != two.x.shape[1:]:
        return False
    pairs = [(a[k], b[k]) for a, b in zip(one.end, two.start, strict=True) for k in a]
    return all(bool(a.any()) for a, _ in pairs[:1]) and all(torch.equal(a, b) for a, b in pairs)


def _concatenate(calls: list[Call]) -> Call:
    if len(calls) == 1:
        return calls[0]
    trace = [
        [{name: torch.cat([call.trace[k][d][name] for call in calls]) for name in one} for d, one in enumerate(each)]
        for k, each in enumerate(calls[0].trace)
    ]
    return replace(calls[0], x=torch.cat([call.x for call in calls]), end=calls[-1].end, trace=trace)
