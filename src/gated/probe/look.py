"""A run, or any module, on some data: everything that a page shows."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gated import checkpoint
from gated._check import InputError, one_of, refuse, want, within
from gated.probe import gradient
from gated.probe.case import FOLLOWED, Case, Part, View
from gated.probe.document import Document, Example, Flow, Layer, Memory
from gated.probe.health import Tally, count, rows_of, telling
from gated.probe.memory import kept
from gated.probe.watch import Call, Way, evaluated, watch

TASKS = ("forecast", "translate", "transcribe")
UNITS = 8  # of a layer that are shown, where none are named


def look(
    run: Any, data: Any = None, *, units: Sequence[int] | None = None, layer: str = "", examples: int = 3,
    seed: int = 0, lengths: Any = None, attribute: bool = True,
) -> Document:  # fmt: skip
    """What a trained network remembers, for how long, and what mattered to it: numbers, ready for `numbers` and a page.

    run: a run of `forecast`, `translate` or `transcribe`, or its folder; or a module with layers of gated in it.
    data: what the task reads (a forecaster has its own); for a module what it takes, for a layer (T, B, I) and, if
    wanted, lengths, or a list of such inputs, tuples of arguments or dicts of keywords among them.
    units: those shown of every layer; by default some, from the longest memory to the most forgetful. layer: only
    layers with this in their name. examples: sequences shown; half-lives and shares of gates count up to 64.
    attribute: integrated gradients, where captum is there. seed: of the networks that are drawn to compare with.

    Errors: no run folder, another kind of data, no layer of that name, no such unit.
    """
    within("probe examples", examples, 1, 100)
    with evaluated(run):
        return _looked(view(run, data, examples, seed, lengths), units, layer, seed, attribute)


def view(run: Any, data: Any = None, count: int = 3, seed: int = 0, lengths: Any = None) -> View:
    """The network and its sequences, by the kind of run."""
    if isinstance(run, nn.Module):
        from gated.probe.tasks import module

        return module.view(run, data, count, seed, lengths)
    want(lengths is None, "probe", "no lengths with a run", "lengths")
    task = _task(run)
    if isinstance(run, str | os.PathLike):
        run = importlib.import_module(f"gated.tasks.{task}.run").load(run)
    return importlib.import_module(f"gated.probe.tasks.{task}").view(run, data, count)


def _task(run: Any) -> str:
    if isinstance(run, str | os.PathLike):
        task = checkpoint.load(run).task
        one_of(f"{Path(run)}, task", task, TASKS)
        return task
    parts = type(run).__module__.split(".")
    if parts[:2] != ["gated", "tasks"] or parts[2] not in TASKS:
        refuse("probe", "a run of " + ", ".join(TASKS) + ", its folder, or a module", type(run).__name__)
    return parts[2]


def _looked(shown: View, units: Sequence[int] | None, layer: str, seed: int, attribute: bool) -> Document:
    tallies: dict[str, Tally] = {}
    followed: list[Call] = []
    examples: list[Example] = []
    chosen: dict[str, list[int]] = {}
    known = find_spec("captum") is not None
    for case in shown.cases:
        calls = calls_of(shown.network, case, layer)
        count(_ways(calls, layer), tallies)
        chosen |= {name: _units(tally, units) for name, tally in tallies.items() if name not in chosen}
        want(bool(tallies or layer), "probe", "a sequence of at least one step", "none")
        want(bool(tallies), "probe layer", "part of a layer's name", repr(layer), _names(shown, case))
        want(any(chosen.values()), "probe unit", _room(tallies), units)
        if len(followed) < FOLLOWED * len(calls):
            followed += [replace(call, trace=[]) for call in calls]
        for part in case.parts:
            layers = tuple(_layers(calls, part, chosen))
            examples.append(Example(part.name, part.input, layers))
    if attribute and known:
        parts = (part for case in shown.cases for part in case.parts)
        examples = [replace(e, attributions=tuple(part.attribute())) for e, part in zip(examples, parts, strict=True)]
    memories, healths = rows_of(tallies.values())
    flows = tuple(flows_of(shown, followed, layer, seed))
    notes = [_longest(memories)] if memories else []
    if attribute and not known and shown.task != "module":
        notes.append("Which inputs mattered is left out: pip install 'gated[probe]'.")
    return Document(
        shown.title, shown.task, (*shown.summary, *notes), tuple(examples), tuple(memories), flows, tuple(healths),
        shown.history,
    )  # fmt: skip


def calls_of(network: nn.Module, case: Case, layer: str = "") -> list[Call]:
    """What the layers of a network do on a sequence, those with this in their name."""
    with torch.no_grad(), watch(network) as seen:
        case.read(network)
    return [call for call in seen.whole() if any(layer in way.name for way in call.ways())]


def _ways(calls: Sequence[Call], layer: str) -> Iterator[Way]:
    for call in calls:
        for row in range(call.x.shape[1]):
            yield from (way for way in call.ways(row) if len(way) and layer in way.name)


def _names(shown: View, case: Case) -> str:
    return "It has " + "; ".join(way.name for call in calls_of(shown.network, case, "") for way in call.ways()) + "."


def _room(tallies: dict[str, Tally]) -> str:
    return f"units from 0 to {max(tally.way.units for tally in tallies.values()) - 1}"


def _units(tally: Tally, units: Sequence[int] | None) -> list[int]:
    if units is None:
        return telling(tally, UNITS)
    for unit in units:
        if not isinstance(unit, int) or isinstance(unit, bool) or unit < 0:
            raise InputError(f"probe unit: expected a whole number of at least 0, got {unit!r}.")
    return sorted({unit for unit in units if unit < tally.way.units})


def _layers(calls: Sequence[Call], part: Part, chosen: dict[str, list[int]]) -> Iterator[Layer]:
    for call in calls:
        if (part.strides and call.name not in part.strides) or part.row >= call.x.shape[1]:
            continue
        for way in call.ways(part.row):
            units = chosen.get(way.name, [])
            if units and len(way):
                yield _layer(way, units, part.strides.get(call.name, part.input.steps / len(way)))


def _layer(way: Way, units: list[int], stride: float) -> Layer:
    """What the chosen units did; of a projected layer h is another space than its units."""
    values = {
        name: value[:, units].T.float().cpu().numpy()
        for name, value in way.values.items()
        if value.shape[-1] == way.units
    }
    found = kept(way, units)
    both = [None, None] if found is None else [a.T.cpu().numpy().astype(np.float32) for a in (found.keep, found.write)]
    memory = "" if found is None else found.memory
    return Layer(way.name, way.cell.name, way.units, tuple(units), values, stride, way.reverse, memory, *both)


def flows_of(shown: View, followed: Sequence[Call], layer: str = "", seed: int = 0) -> Iterator[Flow]:
    """Every layer's curves: as it is, with its first weights, three other cells beside it, and by the real output."""
    if not followed:
        return
    now, first = shown.named
    found = list(gradient.flows(now, followed, seed=seed))
    cases = shown.cases[:FOLLOWED]
    if shown.fresh is not None:
        calls = [call for case in cases for call in calls_of(shown.fresh, case, layer)]
        found += gradient.flows(first, calls, seed=seed)
    groups: dict[str, list[Call]] = {}
    for call in followed:
        groups.setdefault(call.name, []).append(call)
    for calls in groups.values():
        for name, other in gradient.others(calls[0].layer, seed).items():
            found += gradient.flows(f"{name} of the same size", calls, other, seed)
    if shown.output:
        told = f"{now}, of {shown.output}"
        found += gradient.real(told, shown.network, [(case.read, case.losses) for case in cases])
    order = list(dict.fromkeys(flow.layer for flow in found))
    yield from sorted((flow for flow in found if layer in flow.layer), key=lambda flow: order.index(flow.layer))


def _longest(memories: Sequence[Memory]) -> str:
    best = max(memories, key=lambda m: float(m.half_life.max()))
    life = float(best.half_life.max())
    told = "never forgets" if np.isinf(life) else f"has a half-life of {life:.3g} steps"
    return f"The longest memory is unit {int(best.half_life.argmax())} of {best.name}, which {told} on this data."
