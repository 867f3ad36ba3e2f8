"""Which path serves a call, and why no other does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gated._check import refuse

PATHS = ("auto", "native", "torch", "loop")


def choose(path: str, against: Callable[[str], Sequence[str]]) -> tuple[str, str]:
    """The native core where it can run the cell, else torch's operator where it computes exactly what is asked, else
    the loop; a path asked for, or an error. And why none that comes first, if there is one.

    against: the reasons why "native" or "torch" cannot serve.
    """
    why = ""
    for name in ("native", "torch"):
        if path not in ("auto", name):
            continue
        reasons = against(name)
        if not reasons:
            return name, why
        reason = "; ".join(reasons)
        if path == name:
            refuse(f"path={name!r}", "a request that it can serve", reason, "Ask for path='auto' or 'loop'.")
        why += f"; not {name}: {reason}"
    return "loop", why
