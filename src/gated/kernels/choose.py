"""Which path serves a call, and why no other does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gated._check import refuse
from gated.cells import Cell

PATHS = ("auto", "native", "torch", "loop")


class Choice(NamedTuple):
    """The path that serves a call, and why it and no other."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


def choose(path: str, cell: Cell, against: Callable[[str], Sequence[str]]) -> Choice:
    """The native core where it can run the cell, else torch's operator where it computes exactly what is asked, else
    the loop; a path asked for, or an error. against: the reasons why "native" or "torch" cannot serve.
    """
    if path == "loop":
        return Choice("loop", "asked for")
    why = ""
    for name in ("native", "torch"):
        if path not in ("auto", name):
            continue
        reasons = against(name)
        if not reasons:
            serves = f"{cell.name} in the native core" if name == "native" else f"plain {cell.name}, torch.{cell.torch}"
            return Choice(name, serves + why)
        reason = "; ".join(reasons)
        if path == name:
            refuse(f"path={name!r}", "a request that it can serve", reason, "Ask for path='auto' or 'loop'.")
        why += f"; not {name}: {reason}"
    return Choice("loop", why.removeprefix("; "))
