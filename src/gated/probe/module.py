"""The parts of a document one by one, of any module with recurrent layers of gated on any input, or of a run on data.

Each takes the module and the arguments of its call, such as a layer, x and lengths=…, and leaves it unchanged; or a run
or its folder, and the data of its task. All values are those of evaluation: no dropout, zoneout at its expectation.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from gated.probe import gradient
from gated.probe.document import Flow, HalfLives, Health
from gated.probe.health import count, summarise
from gated.probe.inspect import compute_flows, record_calls
from gated.probe.record import Call, Trace, eval_mode, list_traces
from gated.probe.view import open_view
from gated.views import MAX_FLOWS, Case


def traces(module: Any, *inputs: Any, **keywords: Any) -> list[Trace]:
    """Every layer and direction on every sequence: values by the paper's letters, (T, ·) in the order of the input.

    `decompose(trace)` gives keep and write.
    """
    return list_traces(_calls(module, inputs, keywords))


def half_lives(module: Any, *inputs: Any, **keywords: Any) -> list[HalfLives]:
    """The half-lives of all units on these sequences, for each layer and direction with a keep gate."""
    return summarise(count(traces(module, *inputs, **keywords)).values())[0]


def health(module: Any, *inputs: Any, **keywords: Any) -> list[Health]:
    """For each gate the shares of units with it always open or always shut, and of unused units, with advice."""
    return summarise(count(traces(module, *inputs, **keywords)).values())[1]


def gradient_flow(module: Any, *inputs: Any, seed: int = 0, compare: bool = True, **keywords: Any) -> list[Flow]:
    """Norms of ∂L_t/∂h_s and of the other states against the lag, for each layer and direction.

    compare: add an RNN, a GRU and an LSTM of the same sizes, with initial weights drawn from the seed, on the same
    inputs; and of a run the network before training, and the gradient of its real output.
    """
    if isinstance(module, nn.Module):
        name, calls = "current weights", _calls(module, inputs, keywords)
    else:
        view = open_view(module, *inputs, count=MAX_FLOWS, **keywords)
        name, calls = view.names[0], [c for case in view.cases[:MAX_FLOWS] for c in record_calls(view.network, case)]
        if compare:
            return compute_flows(view, calls, seed=seed)
    flows = gradient.flows(name, calls, seed=seed)
    return gradient.sort(flows + (gradient.reference_flows(calls, seed) if compare else []))


def _calls(module: Any, inputs: tuple, keywords: dict[str, Any]) -> list[Call]:
    """All calls of a module's layers, or of a run's network on its sequences."""
    if isinstance(module, nn.Module):
        with eval_mode(module):
            return record_calls(module, Case(lambda module: module(*inputs, **keywords)))
    view = open_view(module, *inputs, count=1, **keywords)
    return [call for case in view.cases for call in record_calls(view.network, case)]
