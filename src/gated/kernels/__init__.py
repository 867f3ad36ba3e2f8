"""Sequences of steps: several ways that must agree, and a choice between them that is always said."""

from __future__ import annotations

from typing import NamedTuple

from gated._check import one_of, refuse
from gated.cells import Cell

PATHS = ("auto", "torch", "loop")


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
    steps: int,
    trace: bool = False,
    zoneout: bool = False,
    recurrent_dropout: bool = False,
    empty: bool = False,
    transformed: bool = False,
) -> Choice:
    """torch's operator where it computes exactly what is asked, the loop otherwise; a path asked for, or an error."""
    one_of("path", asked, PATHS)
    against = {
        f"{cell.name} has no operator in torch": not cell.torch,
        "trace=True wants every gate of every step, which torch's operator keeps to itself": trace,
        "zoneout acts at every step": zoneout,
        "recurrent dropout acts at every step": recurrent_dropout,
        "no sequence has a step to run": steps == 0 or empty,
        "torch.compile, vmap, jvp and their like want the steps one by one": transformed,
    }
    reasons = "; ".join(reason for reason, holds in against.items() if holds)
    if asked == "loop":
        return Choice("loop", "asked for")
    if not reasons:
        return Choice("torch", f"plain {cell.name}, torch.{cell.torch}")
    if asked == "torch":
        refuse("path='torch'", "a request that torch's operator can serve", reasons, "Ask for path='auto' or 'loop'.")
    return Choice("loop", reasons)
