"""The questions one by one, of any module with layers of gated in it, on any input that it takes, or of a run on data.

Each takes the module and what one calls it with, such as a layer, x and lengths=…, and leaves it as it was; or a run or
its folder, and what the task reads. Answers are those of evaluation: without dropout, with zoneout at its expectation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gated.layers import Recurrent
from gated.probe import gradient
from gated.probe.case import FOLLOWED
from gated.probe.document import Flow, Health, Memory
from gated.probe.health import count, rows_of
from gated.probe.look import calls_of, flows_of, view
from gated.probe.watch import Call, Way, evaluated, watch


def gates(module: Any, *inputs: Any, **words: Any) -> list[Way]:
    """Every layer and direction on every sequence: values by the paper's letters, (T, ·) in the order of the input.

    `kept(way)` gives what was kept and written.
    """
    return [way for call in _calls(module, inputs, words) for row in range(call.x.shape[1]) for way in call.ways(row)]


def half_lives(module: Any, *inputs: Any, **words: Any) -> list[Memory]:
    """The half-lives of all units on these sequences, for each layer and direction that has a memory."""
    return rows_of(count(_live(module, inputs, words)).values())[0]


def health(module: Any, *inputs: Any, **words: Any) -> list[Health]:
    """For each gate the shares of units that have it always open, always shut, or are never used, and what to try."""
    return rows_of(count(_live(module, inputs, words)).values())[1]


def flow(module: Any, *inputs: Any, seed: int = 0, beside: bool = True, **words: Any) -> list[Flow]:
    """Norms of ∂L_t/∂h_s and of the other states against the lag, for each layer and direction.

    beside: an RNN, a GRU and an LSTM of the same sizes, with first weights drawn from the seed, on the same inputs; and
    of a run the network before training, and the gradient of a real output.
    """
    if isinstance(module, nn.Module):
        name, calls = "as it is", _calls(module, inputs, words)
    else:
        shown = view(module, *inputs, count=FOLLOWED, **words)
        name, calls = shown.named[0], [c for case in shown.cases[:FOLLOWED] for c in calls_of(shown.network, case)]
        if beside:
            return list(flows_of(shown, calls, seed=seed))
    found = gradient.flows(name, calls, seed=seed)
    for mine in _by_layer(calls if beside else []):
        for name, other in gradient.others(mine[0].layer, seed).items():
            found += gradient.flows(f"{name} of the same size", mine, other, seed)
    order = list(dict.fromkeys(one.layer for one in found))
    return sorted(found, key=lambda one: order.index(one.layer))


def _by_layer(calls: list[Call]) -> list[list[Call]]:
    found: dict[Recurrent, list[Call]] = {}
    for call in calls:
        found.setdefault(call.layer, []).append(call)
    return list(found.values())


def _live(module: Any, inputs: tuple, words: dict[str, Any]) -> Iterator[Way]:
    return (way for way in gates(module, *inputs, **words) if len(way))


def _calls(module: Any, inputs: tuple, words: dict[str, Any]) -> list[Call]:
    """All calls of a module, or of a run's network on its sequences."""
    if not isinstance(module, nn.Module):
        shown = view(module, *inputs, count=1, **words)
        return [call for case in shown.cases for call in calls_of(shown.network, case)]
    with torch.no_grad(), evaluated(module), watch(module) as seen:
        module(*inputs, **words)
    return seen.whole()
