"""Look inside: gates, memory, gradient flow, health, and which inputs mattered; numbers first, plots second.

found = probe.look("runs/sales")                        a Document: everything, of a run or of a module
print(probe.numbers(found))                             as tables; `rows` makes data frames of any part of it

with probe.watch(model) as seen: model(x)               what all recurrent layers in a module do
ways = probe.gates(lstm, x, lengths)                    i f g o c h, and what was kept and written, by sequence
probe.half_lives(lstm, x)                               how long units remember, on this data
probe.shares(keep, write, t)                            what each step's write is at step t
probe.flow(lstm, x)                                     ‖∂L_t/∂h_s‖ and ‖∂L_t/∂c_s‖ against t − s
probe.health(lstm, x)                                   gates always open, always shut, units never used
probe.attribution(function, x)                          integrated gradients
"""

from __future__ import annotations

from gated.probe.document import Document
from gated.probe.inputs import Shares, attribution
from gated.probe.look import look
from gated.probe.memory import Kept, kept, shares
from gated.probe.module import flow, gates, half_lives, health
from gated.probe.numbers import numbers, plain, rows, table
from gated.probe.watch import Call, Seen, Way, watch

__all__ = [
    "Call", "Document", "Kept", "Seen", "Shares", "Way", "attribution", "flow", "gates", "half_lives", "health", "kept",
    "look", "numbers", "plain", "rows", "shares", "table", "watch",
]  # fmt: skip
