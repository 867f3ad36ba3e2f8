"""Saturated gates, unused units and the mean of ln keep, over all steps of all sequences.

A unit's gate is always open if it is above 0.95 on at least 95 % of the steps, always shut if it is below 0.05 on as
many. A unit is unused if the standard deviation of its h is below 0.001. In a layer without gates, a plain RNN, h is
counted instead: open where |h| > 0.95, where tanh lets no gradient through.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from gated._check import want
from gated.cells import Cell
from gated.probe.document import HalfLives, Health
from gated.probe.half_life import compute_keep, describe, find_gates, half_life, verify_keep
from gated.probe.record import Trace
from gated.views import spread

OPEN, SHUT, ALWAYS, MIN_DEVIATION = 0.95, 0.05, 0.95, 1e-3
SOME, MANY = 0.25, 0.5  # shares of units that lead to advice
MIN_STEPS = 20  # for advice: 95 % of fewer steps are all of them
CHUNK = 4096  # steps counted at a time, to bound the memory


@dataclass
class Tally:
    """Sums over the steps of one layer in one direction."""

    name: str
    cell: Cell
    units: int
    steps: int = 0
    max_steps: int = 0  # of a sequence
    open: dict[str, Any] = field(default_factory=lambda: defaultdict(int))  # by gate, how many steps, of each unit
    shut: dict[str, Any] = field(default_factory=lambda: defaultdict(int))
    log_keep: Any = None  # Σ ln keep, if the cell has a keep gate
    sums: tuple[Any, Any] = (0, 0)  # Σ h − shift and Σ (h − shift)²
    shift: Any = None  # h at the first step

    def add(self, trace: Trace) -> None:
        """Count another sequence."""
        self.steps, self.max_steps = self.steps + len(trace), max(self.max_steps, len(trace))
        for low in range(0, len(trace), CHUNK):
            self._add(replace(trace, values={name: x[low : low + CHUNK] for name, x in trace.values.items()}))

    def _add(self, trace: Trace) -> None:
        h = trace.values["h"].double()
        invalid = int((~h.isfinite()).any(1).sum())
        want(not invalid, f"probe {trace.name}", "finite values", f"NaN or infinity at {invalid} of {len(h)} steps",
             "Check the input and the weights; probe.traces shows where it begins.")  # fmt: skip
        for name in find_gates(trace.cell) or ("h",):
            value = h.abs() if name == "h" else trace.values[name]
            self.open[name] += (value > OPEN).sum(0)
            self.shut[name] += ((value < SHUT) & (name != "h")).sum(0)
        self.shift = h[0].clone() if self.shift is None else self.shift
        h = h - self.shift
        self.sums = self.sums[0] + h.sum(0), self.sums[1] + (h * h).sum(0)
        keep = compute_keep(trace)
        if keep is not None:
            self.log_keep = keep.log().sum(0) + (0 if self.log_keep is None else self.log_keep)

    @property
    def deviation(self) -> Float[np.ndarray, " H"]:
        """The standard deviation of each unit's h."""
        mean, square = (part / self.steps for part in self.sums)
        return (square - mean**2).clamp(min=0).sqrt().cpu().numpy()

    def half_lives(self) -> HalfLives | None:
        """ln ½ / mean ln keep of each unit, in steps; None if the cell has no keep gate."""
        if self.log_keep is None:
            return None
        lives = half_life(self.log_keep / self.steps)
        return HalfLives(self.name, lives, describe(lives, self.max_steps))

    def health(self) -> list[Health]:
        """A row for each gate."""
        unused = float((self.deviation < MIN_DEVIATION).mean()) if self.steps > 1 else 0.0
        rows = []
        for gate in self.open:
            counts = self.open[gate], self.shut[gate]
            open_, shut = ((count >= ALWAYS * self.steps).double().mean().item() for count in counts)
            advice = advise(self, gate, open_, shut, unused) if self.steps >= MIN_STEPS else ""
            rows.append(Health(self.name, gate, open_, shut, unused, advice))
        return rows


def count(traces: Iterable[Trace], tallies: dict[str, Tally] | None = None) -> dict[str, Tally]:
    """The tallies of all layers and directions that have a step, by name; added to `tallies` if given."""
    tallies = {} if tallies is None else tallies
    for trace in filter(len, traces):
        tallies.setdefault(trace.name, Tally(trace.name, trace.cell, trace.units)).add(trace)
    return tallies


def advise(tally: Tally, gate: str, open_: float, shut: float, unused: float) -> str:
    """What to try, in a sentence or two; empty if nothing need be done."""
    _, keep_gate, inverted = verify_keep(tally.cell) or ("", None, False)
    keeps, other = gate == keep_gate, gate not in ("h", keep_gate)
    if keeps and inverted:  # 1 − gate is kept
        open_, shut = shut, open_
    effect = {"i": ", so nothing is written to them", "o": ", so their output is zero"}.get(gate, "")
    simpler = {"i": "coupled=True, which ties it to the forget gate,", "r": "a simpler cell"}.get(gate)
    may = f"{simpler} may do as well." if simpler and tally.cell.keep else "it hardly acts as a gate."
    advice = [
        (unused, unused >= SOME,
         "have a nearly constant output: make the layer narrower, or its initial weights larger."),
        (shut, keeps and shut >= MANY,
         "forget everything at each step: raise forget_bias, or set chrono to the longest lag that matters."),
        (open_, keeps and open_ >= MANY,
         "never forget: fine if all of a sequence counts; else lower forget_bias or chrono, or train for longer."),
        (open_, gate == "h" and open_ >= SOME,
         "are saturated, where tanh is flat and no gradient passes: lower the learning rate, scale the input to about "
         "±1, or use an LSTM."),
        (shut, other and shut >= MANY,
         f"have {gate} nearly always shut{effect}: lower the learning rate, or make the layer narrower."),
        (open_, other and open_ >= MANY, f"have {gate} nearly always open: {may}"),
    ]  # fmt: skip
    units = tally.units
    return " ".join(f"{round(share * units)} of {units} units {text}" for share, applies, text in advice if applies)


def select_units(tally: Tally, count: int) -> list[int]:
    """Units to show, unused ones excluded: evenly spread over the half-lives, longest first.

    In a cell without half-lives those with the largest deviation of h.
    """
    deviation = tally.deviation
    used = np.flatnonzero(deviation >= MIN_DEVIATION)
    used = used if len(used) else np.arange(len(deviation))
    lives = tally.half_lives()
    if lives is None or len(lives.half_life) != len(deviation):
        return sorted(used[np.argsort(-deviation[used], kind="stable")][:count].tolist())
    order = used[np.argsort(-lives.half_life[used], kind="stable")]
    return order[spread(len(order), count)].tolist()
