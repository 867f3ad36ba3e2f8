"""The questions one by one, of any module with layers of gated in it, on any input that it takes.

Each takes the module, what one calls it with, and for a layer itself `lengths`, and leaves it as it was. Answers are
those of evaluation: without dropout, with zoneout at its expectation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gated.layers import Recurrent
from gated.probe import gradient
from gated.probe.document import Flow, Health, Memory
from gated.probe.health import count, rows_of
from gated.probe.watch import Call, Way, evaluated, watch


def gates(module: nn.Module, *inputs: Any, **words: Any) -> list[Way]:
    """Every layer and direction on every sequence: values by the paper's letters, (T, ·) in the order of the input.

    `kept(way)` gives what was kept and written.
    """
    return [way for call in _calls(module, inputs, words) for row in range(call.x.shape[1]) for way in call.ways(row)]


def half_lives(module: nn.Module, *inputs: Any, **words: Any) -> list[Memory]:
    """The half-lives of all units on these sequences, for each layer and direction that has a memory."""
    return rows_of(count(_live(module, inputs, words)).values())[0]


def health(module: nn.Module, *inputs: Any, **words: Any) -> list[Health]:
    """For each gate the shares of units that have it always open, always shut, or are never used, and what to try."""
    return rows_of(count(_live(module, inputs, words)).values())[1]


def flow(module: nn.Module, *inputs: Any, seed: int = 0, beside: bool = True, **words: Any) -> list[Flow]:
    """Norms of ∂L_t/∂h_s and of the other states against the lag, for each layer and direction.

    beside: an RNN, a GRU and an LSTM of the same sizes, with first weights drawn from the seed, on the same inputs.
    """
    calls = _calls(module, inputs, words)
    found = gradient.flows("as it is", calls, seed=seed)
    layers: dict[Recurrent, list[Call]] = {}
    for call in calls if beside else ():
        layers.setdefault(call.layer, []).append(call)
    for layer, mine in layers.items():
        for name, other in gradient.others(layer, seed).items():
            found += gradient.flows(f"{name} of the same size", mine, other, seed)
    order = list(dict.fromkeys(one.layer for one in found))
    return sorted(found, key=lambda one: order.index(one.layer))


def _live(module: nn.Module, inputs: tuple, words: dict[str, Any]) -> Iterator[Way]:
    return (way for way in gates(module, *inputs, **words) if len(way))


def _calls(module: nn.Module, inputs: tuple, words: dict[str, Any]) -> list[Call]:
    with torch.no_grad(), evaluated(module), watch(module) as seen:
        module(*inputs, **words)
    return seen.whole()
