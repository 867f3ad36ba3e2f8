"""Saturated gates and unused units, counted over all steps of all sequences.

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
from torch import Tensor

from gated._check import want
from gated.probe.document import HalfLives, Health
from gated.probe.half_life import compute_keep, find_gates, make_half_lives, verify_keep
from gated.probe.record import Trace
from gated.views import spread

OPEN, SHUT, ALWAYS, MIN_DEVIATION = 0.95, 0.05, 0.95, 1e-3
SOME, MANY = 0.25, 0.5  # shares of units that lead to advice
MIN_STEPS = 20  # for advice: 95 % of fewer steps are all of them
CHUNK = 4096  # steps counted at a time, to bound the memory


@dataclass
class Tally:
    """Sums over the steps of one layer in one direction."""

    trace: Trace  # the first one, without its steps
    steps: int = 0
    max_steps: int = 0  # of a sequence
    open: dict[str, Any] = field(default_factory=lambda: defaultdict(int))  # by gate, how many steps, of each unit
    shut: dict[str, Any] = field(default_factory=lambda: defaultdict(int))
    log_keep: Tensor | None = None  # Σ ln keep
    h: tuple[Tensor, Tensor] | None = None  # Σ h − shift and Σ (h − shift)²
    shift: Tensor | None = None

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
        sums = h.sum(0), (h * h).sum(0)
        self.h = sums if self.h is None else (self.h[0] + sums[0], self.h[1] + sums[1])
        keep = compute_keep(trace)
        if keep is not None:
            logs = keep.log().sum(0)
            self.log_keep = logs if self.log_keep is None else self.log_keep + logs

    @property
    def deviation(self) -> Float[np.ndarray, " H"]:
        """The standard deviation of each unit's h."""
        if self.h is None:
            return np.zeros(0)
        mean, square = (part / max(1, self.steps) for part in self.h)
        return (square - mean**2).clamp(min=0).sqrt().cpu().numpy()

    def half_lives(self) -> HalfLives | None:
        """The half-lives of the units, or None if the cell has no keep gate."""
        if self.log_keep is None:
            return None
        return make_half_lives(self.trace.name, (self.log_keep / max(1, self.steps)).cpu().numpy(), self.max_steps)

    def health(self) -> list[Health]:
        """A row for each gate."""
        unused = float((self.deviation < MIN_DEVIATION).mean()) if self.steps > 1 else 0.0
        rows = []
        for gate in self.open if self.steps else ():
            counts = self.open[gate], self.shut[gate]
            open_, shut = ((count >= ALWAYS * self.steps).double().mean().item() for count in counts)
            advice = advise(self.trace, gate, open_, shut, unused) if self.steps >= MIN_STEPS else ""
            rows.append(Health(self.trace.name, gate, open_, shut, unused, advice))
        return rows


def count(traces: Iterable[Trace], tallies: dict[str, Tally] | None = None) -> dict[str, Tally]:
    """The tallies of all layers and directions that have a step, by name; added to `tallies` if given."""
    tallies = {} if tallies is None else tallies
    for trace in filter(len, traces):
        bare = {name: value.new_empty(0, value.shape[-1]) for name, value in trace.values.items()}
        tallies.setdefault(trace.name, Tally(replace(trace, values=bare))).add(trace)
    return tallies


def advise(trace: Trace, gate: str, open_: float, shut: float, unused: float) -> str:
    """What to try, in a sentence or two; empty if nothing need be done."""
    units = trace.units
    _, keep_gate, inverted = verify_keep(trace.cell) or ("", None, False)
    keeps = gate == keep_gate
    if keeps and inverted:  # 1 − gate is kept
        open_, shut = shut, open_
    advice: list[str] = []
    if unused >= SOME:
        advice.append(f"{_fraction(unused, units)} have a nearly constant output: make the layer narrower, or its "
                      "initial weights larger.")  # fmt: skip
    if keeps:
        if shut >= MANY:
            advice.append(f"{_fraction(shut, units)} forget everything at each step: raise forget_bias, or set chrono "
                          "to the longest lag that matters.")  # fmt: skip
        if open_ >= MANY:
            advice.append(f"{_fraction(open_, units)} never forget: fine if all of a sequence counts; else lower "
                          "forget_bias or chrono, or train for longer.")  # fmt: skip
    elif gate == "h":
        if open_ >= SOME:
            advice.append(f"{_fraction(open_, units)} are saturated, where tanh is flat and no gradient passes: lower "
                          "the learning rate, scale the input to about ±1, or use an LSTM.")  # fmt: skip
    else:
        if shut >= MANY:
            effect = {"i": ", so nothing is written to them", "o": ", so their output is zero"}.get(gate, "")
            advice.append(f"{_fraction(shut, units)} have {gate} nearly always shut{effect}: lower the learning rate, "
                          "or make the layer narrower.")  # fmt: skip
        if open_ >= MANY:
            simpler = {"i": "coupled=True, which ties it to the forget gate,", "r": "a simpler cell"}.get(gate)
            may = f"{simpler} may do as well." if simpler and trace.cell.keep else "it hardly acts as a gate."
            advice.append(f"{_fraction(open_, units)} have {gate} nearly always open: {may}")
    return " ".join(advice)


def _fraction(share: float, units: int) -> str:
    return f"{round(share * units)} of {units} units"


def summarise(tallies: Iterable[Tally]) -> tuple[list[HalfLives], list[Health]]:
    """The half-lives and the health of all layers."""
    tallies = list(tallies)
    half_lives = [lives for tally in tallies if (lives := tally.half_lives()) is not None]
    return half_lives, [row for tally in tallies for row in tally.health()]


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
