"""Which path serves a call, and why no other does."""

from __future__ import annotations

from collections.abc import Iterator
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
    if path == "loop":
        return Choice("loop", "asked for")
    why = ""
    for name, against in (
        ("native", _against_native(conditions, path == "native")),
        ("torch", _against_torch(conditions, cell)),
    ):
        if path not in ("auto", name):
            continue
        reason = "; ".join(against)
        if not reason:
            serves = f"{cell.name} in the native core" if name == "native" else f"plain {cell.name}, torch.{cell.torch}"
            return Choice(name, serves + why)
        if path == name:
            refuse(f"path={name!r}", "a request that it can serve", reason, "Ask for path='auto' or 'loop'.")
        why += f"; not {name}: {reason}"
    return Choice("loop", why.removeprefix("; "))


EACH = "vmap, jvp and their like want the steps one by one"


def _against_native(given: Conditions, insist: bool) -> Iterator[str]:
    if given.unsupported:
        yield given.unsupported
    if given.device != "cpu":
        yield f"the core computes on the processor, not on {given.device}"
    if given.dtype not in (torch.float32, torch.float64):
        yield f"the core computes in float32 and float64, not in {given.dtype}"
    if given.transformed:
        yield EACH
    if given.must_dispatch:
        yield "gradients in a trace come from the core past torch.compile, autocast and their like"
    if given.imprecise and insist:
        yield given.imprecise


def _against_torch(given: Conditions, cell: Cell) -> Iterator[str]:
    if not cell.torch:
        yield f"{cell.name} has no operator in torch"
    if given.trace:
        yield "trace=True wants every gate of every step, which torch's operator keeps to itself"
    if given.zoneout:
        yield "zoneout acts at every step"
    if given.recurrent_dropout:
        yield "recurrent dropout acts at every step"
    if given.empty:
        yield "no sequence has a step to run"
    if given.transformed:
        yield EACH
    if given.compiled:
        yield "torch.compile and torch.export cannot look into torch's operator"
