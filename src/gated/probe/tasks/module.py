"""Any module with layers of ours in it, on inputs that it takes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gated import train
from gated._check import refuse, want
from gated.layers import Recurrent
from gated.probe.case import COUNTED, Case, Part, View
from gated.probe.document import Input
from gated.probe.watch import Call, watch

CURVES = 8  # features of an input that are shown one by one


def view(module: nn.Module, data: Any, count: int = 3, seed: int = 0, lengths: Any = None) -> View:
    """data: what the module takes, a batch; or a list of such, where a tuple is arguments and a dict keywords."""
    if data is None:
        refuse("probe", "inputs for the module", "none", "Give what the module takes: look(layer, x).")
    cases, n = [], 0  # so many sequences are shown
    for read in islice(_reads(module, data, lengths), max(count, COUNTED)):
        if n >= count:  # counted, but not shown
            cases.append(Case(read))
            continue
        with torch.no_grad(), watch(module) as seen:
            read(module)
        want(bool(seen.calls), "probe", "a call of a recurrent layer", "none")
        call = seen.whole()[0]
        rows = min(call.x.shape[1], count - n)
        cases.append(Case(read, tuple(_part(call, k, n + k) for k in range(rows))))
        n += rows
    name = type(module).__name__
    return View(name, "module", module, fresh(module, seed), cases, named=("as it is", "with first weights"))


def fresh(module: nn.Module, seed: int) -> nn.Module:
    """A copy in which all parts that know how have drawn their weights anew."""
    own = copy.deepcopy(module)
    with train.seeded(seed):
        for part in own.modules():
            again = getattr(part, "reset_parameters", None)
            if callable(again):
                again()
    return own


def _reads(module: nn.Module, data: Any, lengths: Any) -> Iterator[Callable[[nn.Module], Any]]:
    """Calls of a module; of a layer one for each sequence of a batch, for which no memory is taken at the same time."""
    if isinstance(data, list):
        yield from map(_called, data)
    elif isinstance(module, Recurrent) and isinstance(data, Tensor):
        x = data[:, None] if data.dim() == 2 else data.transpose(0, 1) if module.batch_first else data
        want(x.dim() == 3, "probe", "an input of 2 or 3 axes", tuple(data.shape))
        steps = [len(x)] * x.shape[1] if lengths is None else [int(n) for n in lengths]
        want(len(steps) == x.shape[1], "probe lengths", f"{x.shape[1]}, one for each sequence", len(steps))
        for n, count in enumerate(steps):
            want(0 < count <= len(x), "probe lengths", f"1 to {len(x)}", count)
            yield _called(x[:count, n])
    else:
        want(lengths is None, "probe", "no lengths but for a layer itself", "lengths", "Give them in data.")
        yield _called(data)


def _called(data: Any) -> Callable[[nn.Module], Any]:
    if isinstance(data, Mapping):
        return lambda module: module(**data)
    several = isinstance(data, tuple) and not isinstance(data, PackedSequence)  # which is a tuple too
    return lambda module: module(*data) if several else module(data)


def _part(call: Call, row: int, n: int) -> Part:
    steps = len(call.x) if call.lengths is None else int(call.lengths[row])
    x = call.x[:steps, row].double().cpu().numpy()
    if x.shape[1] <= CURVES:
        values = {f"x{k + 1}": x[:, k] for k in range(x.shape[1])}
    else:
        values = {"‖x‖": np.linalg.norm(x, axis=1)}
    return Part(f"sequence {n + 1}", Input("values", steps, values=values), {}, row=row)
