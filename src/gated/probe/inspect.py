"""Inspect a run, or any module, on some data: everything that the page shows, or one part of it.

`traces`, `half_lives`, `health` and `gradient_flow` take a module and the arguments of its call, such as a layer, x and
lengths=…, and leave it unchanged; or a run or its folder, and the data of its task. All values are those of evaluation:
no dropout, zoneout at its expectation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gated._check import refuse, want, within
from gated.probe import attribution, gradient
from gated.probe.document import Attribution, Document, Example, Flow, HalfLives, Health, Layer
from gated.probe.half_life import decompose
from gated.probe.health import Tally, count, select_units
from gated.probe.record import Call, Trace, eval_mode, list_traces, record
from gated.probe.view import open_view
from gated.views import MAX_FLOWS, Case, Output, Part, View

UNITS = 8  # of a layer, shown by default


def inspect(
    run: Any, data: Any = None, *, units: Sequence[int] | None = None, layer: str = "", examples: int = 3,
    seed: int = 0, lengths: Any = None, attribute: bool = True,
) -> Document:  # fmt: skip
    """Gates, half-lives, gradient flow, saturation and input attributions of a network, for `to_text` and the page.

    run: a run of a task, or its folder; or a module with recurrent layers of gated.
    data: what the task reads (a forecaster has its own); for a module what it takes, for a layer (T, B, I) and
    optionally lengths, or a list of such inputs, tuples of arguments or dicts of keywords among them.
    units: to show of every layer; by default eight, evenly spread over the half-lives. layer: only layers with this in
    their name. examples: sequences to show; half-lives and gate statistics count up to 64.
    attribute: integrated gradients, if captum is installed. seed: of the reference networks.

    Errors: no run folder, another kind of data, no layer of that name, no such unit.
    """
    within("probe examples", examples, 1, 100)
    with eval_mode(run):
        view = open_view(run, data, examples, seed, lengths)
        title = f"{Path(run).resolve().name}, {view.title}" if isinstance(run, str | os.PathLike) else view.title
        return _document(view, title, units, layer, seed, attribute)


def _document(view: View, title: str, units: Sequence[int] | None, layer: str, seed: int, attribute: bool) -> Document:
    tallies: dict[str, Tally] = {}
    flow_calls: list[Call] = []
    examples: list[Example] = []
    selection: dict[str, list[int]] = {}
    installed = find_spec("captum") is not None
    for case in view.cases:
        calls = record_calls(view.network, case, layer)
        count((trace for trace in list_traces(calls) if layer in trace.name), tallies)
        if not tallies:
            want(bool(layer), "probe", "a sequence of at least one step", "none")
            names = [trace.name for call in record_calls(view.network, case) for trace in call.traces()]
            refuse("probe layer", "part of a layer's name", repr(layer), f"It has {'; '.join(names)}.")
        selection |= {name: _select(tally, units) for name, tally in tallies.items() if name not in selection}
        last = max(tally.units for tally in tallies.values()) - 1
        want(any(selection.values()), "probe unit", f"units from 0 to {last}", units)
        if len(flow_calls) < MAX_FLOWS * len(calls):
            flow_calls += [replace(call, trace=[]) for call in calls]
        for part in case.parts:
            outputs = part.outputs if attribute and installed else ()
            layers = tuple(_layers(calls, part, selection))
            examples.append(Example(part.name, part.input, layers, tuple(map(_attribute, outputs))))
    lives = [one for tally in tallies.values() if (one := tally.half_lives()) is not None]
    gates = [row for tally in tallies.values() for row in tally.health()]
    flows = compute_flows(view, flow_calls, layer, seed)
    notes = [_describe_longest(lives)] if lives else []
    if attribute and not installed and view.task != "module":
        notes.append("Input attributions are left out: pip install 'gated[probe]'.")
    return Document(
        title, view.task, (*view.summary, *notes), tuple(examples), tuple(lives), tuple(flows), tuple(gates),
        view.history,
    )  # fmt: skip


def record_calls(network: nn.Module, case: Case, layer: str = "") -> list[Call]:
    """The calls of a network's layers on a sequence, of those with `layer` in their name."""
    with torch.no_grad(), record(network) as recording:
        case.forward(network)
    return [call for call in recording.merge() if any(layer in trace.name for trace in call.traces())]


def _attribute(output: Output) -> Attribution:
    result = attribution.attribute(output.function, output.inputs, output.baselines, max_steps=output.max_steps)
    shares = output.place(result.shares)
    picture = shares if shares.ndim == 2 else None
    name = output.name + attribution.describe_delta(result)
    return Attribution(name, result.value, result.baseline, shares if picture is None else shares.sum(0), picture)


def _select(tally: Tally, units: Sequence[int] | None) -> list[int]:
    if units is None:
        return select_units(tally, UNITS)
    for unit in units:
        if not isinstance(unit, int) or isinstance(unit, bool) or unit < 0:
            refuse("probe unit", "a whole number of at least 0", repr(unit))
    return sorted({unit for unit in units if unit < tally.units})


def _layers(calls: Sequence[Call], part: Part, selection: dict[str, list[int]]) -> Iterator[Layer]:
    for call in calls:
        if (part.strides and call.name not in part.strides) or part.row >= call.x.shape[1]:
            continue
        for trace in call.traces(part.row):
            units = selection.get(trace.name, [])
            if units and len(trace):
                yield _layer(trace, units, part.strides.get(call.name, part.input.steps / len(trace)))


def _layer(trace: Trace, units: list[int], stride: float) -> Layer:
    """The selected units; h of a projected layer is left out, as it has other units."""
    values = {
        name: value[:, units].T.float().cpu().numpy()
        for name, value in trace.values.items()
        if value.shape[-1] == trace.units
    }
    parts = decompose(trace, units)
    both = [None, None] if parts is None else [a.T.cpu().numpy().astype(np.float32) for a in (parts.keep, parts.write)]
    state = "" if parts is None else parts.name
    return Layer(trace.name, trace.cell.name, trace.units, tuple(units), values, stride, trace.reverse, state, *both)


def compute_flows(view: View, flow_calls: Sequence[Call], layer: str = "", seed: int = 0) -> list[Flow]:
    """Every layer's curves: current and initial weights, three reference cells, and the network's real output."""
    now, first = view.names
    flows = list(gradient.flows(now, flow_calls, seed=seed))
    cases = view.cases[:MAX_FLOWS]
    if view.initial is not None:
        calls = [call for case in cases for call in record_calls(view.initial, case, layer)]
        flows += gradient.flows(first, calls, seed=seed)
    flows += gradient.reference_flows(flow_calls, seed)
    if view.output:
        name = f"{now}, of {view.output}"
        flows += gradient.output_flows(name, view.network, cases)
    return gradient.sort([flow for flow in flows if layer in flow.layer])


def _describe_longest(half_lives: Sequence[HalfLives]) -> str:
    best = max(half_lives, key=lambda m: float(m.half_life.max()))
    life, unit = float(best.half_life.max()), int(best.half_life.argmax())
    if np.isinf(life):
        return f"Longest memory: unit {unit} of {best.name} never forgets on this data."
    return f"Longest memory: unit {unit} of {best.name} has a half-life of {life:.3g} steps on this data."


# ---- one part


def traces(module: Any, *inputs: Any, **keywords: Any) -> list[Trace]:
    """Every layer and direction on every sequence: values by the paper's letters, (T, ·) in the order of the input.

    `decompose(trace)` gives keep and write.
    """
    return list_traces(_calls(_view(module, inputs, keywords, 1)))


def half_lives(module: Any, *inputs: Any, **keywords: Any) -> list[HalfLives]:
    """The half-lives of all units on these sequences, for each layer and direction with a keep gate."""
    tallies = count(traces(module, *inputs, **keywords)).values()
    return [lives for tally in tallies if (lives := tally.half_lives()) is not None]


def health(module: Any, *inputs: Any, **keywords: Any) -> list[Health]:
    """For each gate the shares of units with it always open or always shut, and of unused units, with advice."""
    return [row for tally in count(traces(module, *inputs, **keywords)).values() for row in tally.health()]


def gradient_flow(module: Any, *inputs: Any, seed: int = 0, compare: bool = True, **keywords: Any) -> list[Flow]:
    """Norms of ∂L_t/∂h_s and of the other states against the lag, for each layer and direction.

    compare: add an RNN, a GRU and an LSTM of the same sizes, with initial weights drawn from the seed, on the same
    inputs; and of a run the network before training, and the gradient of its real output.
    """
    view = _view(module, inputs, keywords, MAX_FLOWS)
    calls = _calls(replace(view, cases=view.cases[:MAX_FLOWS]))
    return compute_flows(view, calls, seed=seed) if compare else gradient.flows(view.names[0], calls, seed=seed)


def _view(module: Any, inputs: tuple, keywords: dict[str, Any], count: int) -> View:
    """One call of a module; or the view of a run on its sequences."""
    if isinstance(module, nn.Module):
        case = Case(lambda module: module(*inputs, **keywords))
        return View("", "module", module, None, [case], names=("current weights", "initial weights"))
    return open_view(module, *inputs, count=count, **keywords)


def _calls(view: View) -> list[Call]:
    """All calls of the network's layers on the view's sequences."""
    with eval_mode(view.network):
        return [call for case in view.cases for call in record_calls(view.network, case)]
