"""Sequences of steps: several ways that must agree, and a choice between them that is always said."""

from __future__ import annotations

from typing import NamedTuple

import torch

from gated._check import one_of, refuse
from gated.cells import Cell

PATHS = ("auto", "native", "torch", "loop")


class Choice(NamedTuple):
    """The path that serves a request, and why it and no other."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


def choose(
    asked: str,
    cell: Cell,
    *,
    steps: int = 1,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    unsupported: str = "",
    trace: bool = False,
    zoneout: bool = False,
    recurrent_dropout: bool = False,
    empty: bool = False,
    transformed: bool = False,
    compiled: bool = False,
    unheard: bool = False,
    lacking: str = "",
) -> Choice:
    """The native core where it can run the cell, else torch's operator where it computes exactly what is asked, else
    the loop; a path asked for, or an error.

    unsupported: why the core cannot run the cell. transformed: vmap, jvp and their like. compiled: a graph is recorded.
    unheard: gradients of a trace that something listening would miss. lacking: a precision that only a wish for the
    native path insists on.
    """
    one_of("path", asked, PATHS)
    each = "vmap, jvp and their like want the steps one by one"
    against = {
        "native": {
            unsupported: bool(unsupported),
            f"the core computes on the processor, not on {device}": device != "cpu",
            f"the core computes in float32 and float64, not in {dtype}": dtype not in (torch.float32, torch.float64),
            each: transformed,
            "gradients in a trace come from the core past torch.compile, autocast and their like": unheard,
            lacking: bool(lacking) and asked == "native",
        },
        "torch": {
            f"{cell.name} has no operator in torch": not cell.torch,
            "trace=True wants every gate of every step, which torch's operator keeps to itself": trace,
            "zoneout acts at every step": zoneout,
            "recurrent dropout acts at every step": recurrent_dropout,
            "no sequence has a step to run": steps == 0 or empty,
            each: transformed,
            "torch.compile and torch.export cannot look into torch's operator": compiled,
        },
    }
    reasons = {path: "; ".join(why for why, holds in whys.items() if holds) for path, whys in against.items()}
    served = {"native": f"{cell.name} in the native core", "torch": f"plain {cell.name}, torch.{cell.torch}"}
    if asked == "loop":
        return Choice("loop", "asked for")
    why = ""
    for path, reason in reasons.items():
        if asked in ("auto", path) and not reason:
            return Choice(path, served[path] + why)
        if asked == path:
            refuse(f"path={path!r}", "a request that it can serve", reason, "Ask for path='auto' or 'loop'.")
        if asked == "auto":
            why += f"; not {path}: {reason}"
    return Choice("loop", why.removeprefix("; "))
