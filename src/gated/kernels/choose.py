"""Which path serves a call, and why no other does."""

from __future__ import annotations

from typing import NamedTuple

import torch

from gated._check import one_of, refuse
from gated.cells import Cell

PATHS = ("auto", "native", "torch", "loop")


class Choice(NamedTuple):
    """The path that serves a call, and why it and no other."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


class Conditions(NamedTuple):
    """What a path can serve or not: of the layer, of the call, and of torch at the moment."""

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    unsupported: str = ""  # why the cell has no program
    trace: bool = False
    zoneout: bool = False
    recurrent_dropout: bool = False
    empty: bool = False  # no sequence has a step
    transformed: bool = False  # by vmap, jvp and their like
    compiled: bool = False  # a graph is recorded
    must_dispatch: bool = False  # gradients of a trace are wanted where each call must be an operator of torch
    imprecise: str = ""  # why products are not in the precision asked for, on which only path="native" insists


def choose(path: str, cell: Cell, conditions: Conditions) -> Choice:
    """The native core where it can run the cell, else torch's operator where it computes exactly what is asked, else
    the loop; a path asked for, or an error.
    """
    one_of("path", path, PATHS)
    given = conditions
    each = "vmap, jvp and their like want the steps one by one"
    against = {
        "native": {
            given.unsupported: bool(given.unsupported),
            f"the core computes on the processor, not on {given.device}": given.device != "cpu",
            f"the core computes in float32 and float64, not in {given.dtype}": given.dtype
            not in (torch.float32, torch.float64),
            each: given.transformed,
            "gradients in a trace come from the core past torch.compile, autocast and their like": given.must_dispatch,
            given.imprecise: bool(given.imprecise) and path == "native",
        },
        "torch": {
            f"{cell.name} has no operator in torch": not cell.torch,
            "trace=True wants every gate of every step, which torch's operator keeps to itself": given.trace,
            "zoneout acts at every step": given.zoneout,
            "recurrent dropout acts at every step": given.recurrent_dropout,
            "no sequence has a step to run": given.empty,
            each: given.transformed,
            "torch.compile and torch.export cannot look into torch's operator": given.compiled,
        },
    }
    reasons = {name: "; ".join(why for why, holds in whys.items() if holds) for name, whys in against.items()}
    serves = {"native": f"{cell.name} in the native core", "torch": f"plain {cell.name}, torch.{cell.torch}"}
    if path == "loop":
        return Choice("loop", "asked for")
    why = ""
    for name, reason in reasons.items():
        if path in ("auto", name) and not reason:
            return Choice(name, serves[name] + why)
        if path == name:
            refuse(f"path={name!r}", "a request that it can serve", reason, "Ask for path='auto' or 'loop'.")
        why += f"; not {name}: {reason}" if path == "auto" else ""
    return Choice("loop", why.removeprefix("; "))
