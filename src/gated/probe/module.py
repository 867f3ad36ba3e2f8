"""The parts of a document one by one, of any module with recurrent layers of gated on any input, or of a run on data.

Each takes the module and the arguments of its call, such as a layer, x and lengths=…, and leaves it unchanged; or a run
or its folder, and the data of its task. All values are those of evaluation: no dropout, zoneout at its expectation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from gated.probe import gradient
from gated.probe.document import Flow, HalfLives, Health
from gated.probe.health import count
from gated.probe.inspect import compute_flows, record_calls
from gated.probe.record import Call, Trace, eval_mode, list_traces
from gated.probe.view import open_view
from gated.views import MAX_FLOWS, Case, View


def traces(module: Any, *inputs: Any, **keywords: Any) -> list[Trace]:
    """Every layer and direction on every sequence: values by the paper's letters, (T, ·) in the order of the input.

    `decompose(trace)` gives keep and write.
    """
    return list_traces(_calls(_view(module, inputs, keywords, 1)))


def half_lives(module: Any, *inputs: Any, **keywords: Any) -> list[HalfLives]:
    """The half-lives of all units on these sequences, for each layer and direction with a keep gate."""
    tallies = count(traces(module, *inputs, **keywords)).values()
    return [lives for tally in tallies if (lives := tally.half_lives()) is not None]


def health(module: Any, *inputs: Any, **keywords: Any) -> list[Health]:
    """For each gate the shares of units with it always open or always shut, and of unused units, with advice."""
    return [row for tally in count(traces(module, *inputs, **keywords)).values() for row in tally.health()]


def gradient_flow(module: Any, *inputs: Any, seed: int = 0, compare: bool = True, **keywords: Any) -> list[Flow]:
    """Norms of ∂L_t/∂h_s and of the other states against the lag, for each layer and direction.

    compare: add an RNN, a GRU and an LSTM of the same sizes, with initial weights drawn from the seed, on the same
    inputs; and of a run the network before training, and the gradient of its real output.
    """
    view = _view(module, inputs, keywords, MAX_FLOWS)
    calls = _calls(replace(view, cases=view.cases[:MAX_FLOWS]))
    return compute_flows(view, calls, seed=seed) if compare else gradient.flows(view.names[0], calls, seed=seed)


def _view(module: Any, inputs: tuple, keywords: dict[str, Any], count: int) -> View:
    """One call of a module; or the view of a run on its sequences."""
    if isinstance(module, nn.Module):
        case = Case(lambda module: module(*inputs, **keywords))
        return View("", "module", module, None, [case], names=("current weights", "initial weights"))
    return open_view(module, *inputs, count=count, **keywords)


def _calls(view: View) -> list[Call]:
    """All calls of the network's layers on the view's sequences."""
    with eval_mode(view.network):
        return [call for case in view.cases for call in record_calls(view.network, case)]
