"""The view of a run, by its task's record, or of any module with recurrent layers of gated on inputs that it takes."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gated import checkpoint, train
from gated._check import refuse, want
from gated.layers import Recurrent, layout
from gated.probe.record import Call, record
from gated.tasks import TASKS
from gated.views import MAX_SEQUENCES, Case, Input, Part, View

CURVES = 8  # features of an input with a curve each; more are shown as their norm


def open_view(run: Any, data: Any = None, count: int = 3, seed: int = 0, lengths: Any = None) -> View:
    """The view of a run, its folder, or a module; `count` of the sequences are shown."""
    if isinstance(run, nn.Module):
        return view_module(run, data, count, seed, lengths)
    want(lengths is None, "probe", "no lengths with a run", "lengths")
    is_folder = isinstance(run, str | os.PathLike)
    name = checkpoint.load(run).task if is_folder else _task_name(run)
    if name not in TASKS or not TASKS[name].has("view"):
        names = ", ".join(task for task in TASKS if TASKS[task].has("view"))
        got = f"a run of {name} in {run}" if is_folder else type(run).__name__
        refuse("probe", f"a run of a task with a view ({names}), its folder, or a module", got)
    return TASKS[name].part("view").view(TASKS[name].load(run) if is_folder else run, data, count)


def _task_name(run: Any) -> str:
    """The task of a run, by the folder of its class; empty if it is none."""
    parts = type(run).__module__.split(".")
    return parts[2] if parts[:2] == ["gated", "tasks"] and len(parts) > 2 else ""


def view_module(module: nn.Module, data: Any, count: int = 3, seed: int = 0, lengths: Any = None) -> View:
    """data: what the module takes, a batch; or a list of such, where a tuple is arguments and a dict keywords."""
    if data is None:
        refuse("probe", "inputs for the module", "none", "Give what the module takes: inspect(layer, x).")
    cases, n = [], 0  # n sequences are shown
    for forward in islice(_calls(module, data, lengths), max(count, MAX_SEQUENCES)):
        if n >= count:  # counted, but not shown
            cases.append(Case(forward))
            continue
        with torch.no_grad(), record(module) as recording:
            forward(module)
        want(bool(recording.calls), "probe", "a call of a recurrent layer", "none")
        call = recording.merge()[0]
        rows = min(call.x.shape[1], count - n)
        cases.append(Case(forward, tuple(_part(call, k, n + k) for k in range(rows))))
        n += rows
    name = type(module).__name__
    return View(name, "module", module, reinitialise(module, seed), cases, names=("current weights", "initial weights"))


def reinitialise(module: nn.Module, seed: int) -> nn.Module:
    """A copy with new initial weights in all parts that have `reset_parameters`."""
    own = copy.deepcopy(module)
    with train.seeded(seed):
        for part in own.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return own


def _calls(module: nn.Module, data: Any, lengths: Any) -> Iterator[Callable[[nn.Module], Any]]:
    """Calls of a module; of a layer one for each sequence of a batch, so that memory is needed for one at a time."""
    if isinstance(data, list):
        yield from map(_make_call, data)
    elif isinstance(module, Recurrent) and isinstance(data, Tensor | PackedSequence):
        x, steps = layout.arrange(module.stack, next(module.parameters()).dtype, data, lengths).pad()
        for n in range(x.shape[1]):
            yield _make_call(x[: None if steps is None else int(steps[n]), n])
    else:
        want(lengths is None, "probe", "no lengths but for a layer itself", "lengths", "Give them in data.")
        yield _make_call(data)


def _make_call(data: Any) -> Callable[[nn.Module], Any]:
    if isinstance(data, Mapping):
        return lambda module: module(**data)
    several = isinstance(data, tuple) and not isinstance(data, PackedSequence)  # a tuple too
    return lambda module: module(*data) if several else module(data)


def _part(call: Call, row: int, n: int) -> Part:
    steps = len(call.x) if call.lengths is None else int(call.lengths[row])
    x = call.x[:steps, row].double().cpu().numpy()
    if x.shape[1] <= CURVES:
        values = {f"x{k + 1}": x[:, k] for k in range(x.shape[1])}
    else:
        values = {"‖x‖": np.linalg.norm(x, axis=1)}
    return Part(f"sequence {n + 1}", Input("values", steps, values=values), {}, row=row)
