"""One sequence that a network is looked at on, whatever task it is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from gated.probe.document import Attribution, Input

COUNTED = 64  # sequences that half-lives and shares of gates are of, at most, be they shown or not,
FOLLOWED = 3  # and of these the first, whose gradients are followed


def nothing(*given: Any) -> tuple[()]:
    """No outputs, no attributions."""
    return ()


def curve(history: Sequence[dict[str, Any]]) -> tuple[dict[str, float], ...]:
    """The rows of a fit as the document has them: numbers alone."""
    return tuple({k: float(v) for k, v in row.items() if isinstance(v, int | float)} for row in history)


@dataclass(frozen=True)
class Part:
    """One side of a case, with its own places: what is read, or what is written."""

    name: str
    input: Input
    strides: dict[str, float]  # by the layers' paths, places to a step; empty: all layers, whatever fills the places
    attribute: Callable[[], Sequence[Attribution]] = nothing
    row: int = 0  # of the batch


@dataclass(frozen=True)
class Case:
    """A sequence, how a network reads it, what is shown of it, and what of its output gradients shall start from."""

    read: Callable[[nn.Module], Any]  # one call of a network
    parts: tuple[Part, ...] = ()  # none of a sequence that is only counted
    losses: Callable[[Any], Sequence[tuple[dict[str, int], Tensor]]] = nothing  # of what `read` gave

    def hidden(self) -> Case:
        """The same, not shown."""
        return replace(self, parts=())


@dataclass(frozen=True)
class View:
    """What a page is made of: a network, one with its first weights, and the sequences."""

    title: str
    task: str
    network: nn.Module
    fresh: nn.Module | None
    cases: Sequence[Case]
    output: str = ""  # what `losses` are of, in words
    summary: tuple[str, ...] = ()
    history: tuple[dict[str, float], ...] = ()
    named: tuple[str, str] = ("after training", "before training")  # what the two networks are called
