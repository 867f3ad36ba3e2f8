"""Views: what the probe shows of a task's sequences, as data. A task's `view(run, data, count)` returns a `View`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

MAX_SEQUENCES = 64  # in the half-lives and gate statistics, shown or not
MAX_FLOWS = 3  # sequences whose gradients are followed, the first ones
POINTS = 4  # steps t of each sequence from which gradients are followed


@dataclass(frozen=True)
class Mark:
    """A text over steps of the input, first to last, both included: a token or a character of the output."""

    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Input:
    """The input of one sequence: `steps` places with a label each, or a scale; curves, or a picture."""

    kind: str  # "values", "tokens", "sound", "print"
    steps: int
    unit: str = "step"  # of a place: "day", "token", "second", "column"
    labels: tuple[str, ...] = ()  # of every place: dates, tokens; empty if there is a scale
    scale: tuple[float, float] = (0.0, 1.0)  # the first place, and the distance of two places, in units
    values: dict[str, Float[np.ndarray, " T"]] = field(default_factory=dict)  # NaN where values are missing
    picture: Float[np.ndarray, "R T"] | None = None  # bands from the lowest up, rows of print from the top down
    marks: tuple[Mark, ...] = ()  # the output, where it has places
    output: str = ""  # the output in words


@dataclass(frozen=True)
class Output:
    """One output of a network as a function of continuous inputs, to attribute to places of a part's input."""

    name: str  # "sales, 3 days ahead", "log p of `Haus`, token 2"
    function: Callable[..., Tensor]  # inputs with N rows -> (N,)
    inputs: tuple[Tensor, ...]  # one example, with a first axis of 1
    place: Callable[[tuple[np.ndarray, ...]], np.ndarray]  # the inputs' shares -> (T,), or a picture (R, T)
    baselines: tuple[Any, ...] | float = 0.0
    max_steps: int = 1024  # of the integral


@dataclass(frozen=True)
class Part:
    """One side of a sequence, with its own places: the source or the target, the history or the horizon."""

    name: str
    input: Input
    strides: dict[str, float]  # by layer path, places per step; empty: all layers, spread evenly over the places
    outputs: tuple[Output, ...] = ()
    row: int = 0  # of the batch


@dataclass(frozen=True)
class Case:
    """A sequence: a call of the network on it, its parts, and the outputs whose gradients are followed."""

    forward: Callable[[nn.Module], Any]  # one call of the network
    parts: tuple[Part, ...] = ()  # empty if the sequence is counted but not shown
    losses: Callable[[Any], Sequence[tuple[dict[str, int], Tensor]]] = lambda result: ()  # of the result of `forward`

    def hide(self) -> Case:
        """The case without parts."""
        return replace(self, parts=())


@dataclass(frozen=True)
class View:
    """The network, a copy with its initial weights, and the sequences."""

    title: str
    task: str
    network: nn.Module
    initial: nn.Module | None
    cases: Sequence[Case]
    output: str = ""  # what `losses` are, in words
    summary: tuple[str, ...] = ()
    history: tuple[dict[str, float], ...] = ()
    names: tuple[str, str] = ("after training", "before training")  # of the two networks


def keep_numbers(history: Sequence[dict[str, Any]]) -> tuple[dict[str, float], ...]:
    """The rows of a fit's history without the entries that are not numbers."""
    return tuple({k: float(v) for k, v in row.items() if isinstance(v, int | float)} for row in history)


def points(steps: int) -> list[int]:
    """Steps t of a sequence, evenly spread over its second half, the last step included."""
    return sorted({int(t) for t in np.linspace(steps // 2, steps - 1, POINTS).round()}) if steps else []


def spread(total: int, count: int) -> list[int]:
    """At most `count` of the indices 0 … total - 1, evenly spread, the first and the last included."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int)).tolist() if total else []
