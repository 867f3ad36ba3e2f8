"""Inspect recurrent networks: gates, half-lives, gradient flow, saturation, and input attributions.

document = probe.inspect("runs/sales")                  a Document: everything, of a run or of a module
print(probe.to_text(document))                          as tables; `rows` makes rows for data frames of any part of it

with probe.record(model) as recording: model(x)         calls of all recurrent layers in a module
traces = probe.traces(lstm, x, lengths)                 i f g o c h of every sequence; `decompose`: keep and write
probe.half_lives(lstm, x)                               half-lives of the units on this data
probe.shares(keep, write, t)                            the share of each step's write in the state at step t
probe.gradient_flow(lstm, x)                            ‖∂L_t/∂h_s‖ and ‖∂L_t/∂c_s‖ against t − s
probe.health(lstm, x)                                   saturated gates and unused units
probe.attribute(function, x)                            integrated gradients
"""

from __future__ import annotations

from gated.probe.attribution import IntegratedGradients, attribute
from gated.probe.document import Document
from gated.probe.half_life import Decomposition, decompose, shares
from gated.probe.inspect import gradient_flow, half_lives, health, inspect, traces
from gated.probe.record import Call, Recording, Trace, record
from gated.probe.text import rows, table, to_dict, to_text

__all__ = [
    "Call", "Decomposition", "Document", "IntegratedGradients", "Recording", "Trace", "attribute", "decompose",
    "gradient_flow", "half_lives", "health", "inspect", "record", "rows", "shares", "table", "to_dict", "to_text",
    "traces",
]  # fmt: skip
