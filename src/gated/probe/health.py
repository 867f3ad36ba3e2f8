"""Which gates are stuck and which units are of no use, counted over all steps of all sequences.

A unit's gate is always open where it is above 0.95 on at least 95 % of the steps, always shut where it is below 0.05 as
often. A unit is never used where its h hardly changes: a standard deviation below 0.001. Of a layer without gates, a
plain RNN, h stands in their place: open where |h| > 0.95, where tanh lets no gradient through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gated._check import want
from gated.probe.document import Health, Memory
from gated.probe.memory import gates_of, keeps, memory, remembers
from gated.probe.watch import Way

OPEN, SHUT, OFTEN, STILL = 0.95, 0.05, 0.95, 1e-3
SOME, MANY = 0.25, 0.5  # shares of units from which on something is advised
FEW = 20  # steps, with fewer of which 95 % of them are all, and nothing is advised
PIECE = 4096  # steps counted at a time, which bounds the memory of it


@dataclass
class Tally:
    """Sums over the steps of one layer in one direction."""

    way: Way  # the first that was counted, without its steps
    steps: int = 0
    longest: int = 0
    opened: dict[str, Tensor] = field(default_factory=dict)  # by gate, on how many steps each unit's was open
    shut: dict[str, Tensor] = field(default_factory=dict)
    kept: Tensor | None = None  # Σ ln keep
    h: tuple[Tensor, Tensor] | None = None  # Σ h − shift and Σ (h − shift)²
    shift: Tensor | None = None

    def add(self, way: Way) -> None:
        """Count another sequence."""
        self.steps, self.longest = self.steps + len(way), max(self.longest, len(way))
        for low in range(0, len(way), PIECE):
            self._add(replace(way, values={name: value[low : low + PIECE] for name, value in way.values.items()}))

    def _add(self, way: Way) -> None:
        h = way.values["h"].double()
        lost = int((~h.isfinite()).any(1).sum())
        want(not lost, f"probe {way.name}", "finite values", f"NaN or infinity at {lost} of {len(h)} steps",
             "Look at the input and the weights; probe.gates shows where it begins.")  # fmt: skip
        for name in gates_of(way.cell) or ("h",):
            value = h.abs() if name == "h" else way.values[name]
            _count(self.opened, name, value > OPEN)
            _count(self.shut, name, (value < SHUT) & (name != "h"))
        self.shift = h[0].clone() if self.shift is None else self.shift
        h = h - self.shift
        sums = h.sum(0), (h * h).sum(0)
        self.h = sums if self.h is None else (self.h[0] + sums[0], self.h[1] + sums[1])
        keep = keeps(way)
        if keep is not None:
            logs = keep.log().sum(0)
            self.kept = logs if self.kept is None else self.kept + logs

    @property
    def deviation(self) -> Float[np.ndarray, " H"]:
        """The standard deviation of each unit's h."""
        if self.h is None:
            return np.zeros(0)
        mean, square = (part / max(1, self.steps) for part in self.h)
        return (square - mean**2).clamp(min=0).sqrt().cpu().numpy()

    def memory(self) -> Memory | None:
        """The half-lives of the units, if the cell has any."""
        if self.kept is None:
            return None
        return memory(self.way.name, (self.kept / max(1, self.steps)).cpu().numpy(), self.longest)

    def health(self) -> list[Health]:
        """A row for each gate."""
        unused = float((self.deviation < STILL).mean()) if self.steps > 1 else 0.0  # of one step nobody knows
        rows = []
        for gate in self.opened if self.steps else ():
            counts = self.opened[gate], self.shut[gate]
            opened, shut = ((count >= OFTEN * self.steps).double().mean().item() for count in counts)
            told = advice(self.way, gate, opened, shut, unused) if self.steps >= FEW else ""
            rows.append(Health(self.way.name, gate, opened, shut, unused, told))
        return rows


def _count(counts: dict[str, Tensor], name: str, holds: Tensor) -> None:
    found = holds.sum(0)
    counts[name] = counts[name] + found if name in counts else found


def count(ways: Iterable[Way], tallies: dict[str, Tally] | None = None) -> dict[str, Tally]:
    """The tallies of all layers and directions, by name; added to those that are given."""
    found = {} if tallies is None else tallies
    for way in ways:
        bare = {name: value.new_empty(0, value.shape[-1]) for name, value in way.values.items()}
        found.setdefault(way.name, Tally(replace(way, values=bare))).add(way)
    return found


def advice(way: Way, gate: str, opened: float, shut: float, unused: float) -> str:
    """What to try, in a sentence or two; empty where nothing need be done."""
    found, memory = remembers(way.cell), way.cell
    keeps = found is not None and found[1] == gate
    if keeps and found is not None and found[2]:  # it keeps when shut
        opened, shut = shut, opened
    said: list[str] = []
    units = way.units
    if unused >= SOME:
        said.append(f"{_of(unused, units)} give nearly the same at every step: a narrower layer would do, or weights "
                    "that start larger.")  # fmt: skip
    if keeps:
        if shut >= MANY:
            said.append(f"{_of(shut, units)} forget everything at each step: raise forget_bias, or set chrono to the "
                        "longest lag that matters.")  # fmt: skip
        if opened >= MANY:
            said.append(f"{_of(opened, units)} never forget: fine where all of a sequence counts; else lower "
                        "forget_bias or chrono, or train for longer.")  # fmt: skip
    elif gate == "h":
        if opened >= SOME:
            said.append(f"{_of(opened, units)} sit where tanh is flat and no gradient passes: lower the learning rate, "
                        "scale the input to about ±1, or take an LSTM.")  # fmt: skip
    else:
        if shut >= MANY:
            what = {"i": "nothing is written to them", "o": "nothing of them is seen outside"}.get(gate, "it is shut")
            said.append(f"{_of(shut, units)} have {gate} shut nearly always, so {what}: lower the learning rate, or "
                        "make the layer narrower.")  # fmt: skip
        if opened >= MANY:
            simpler = {"i": "coupled=True, which ties it to the forget gate,", "r": "a simpler cell"}.get(gate)
            may = f"{simpler} may do as well." if simpler and memory.keep else "it is hardly a gate there."
            said.append(f"{_of(opened, units)} have {gate} open nearly always: {may}")
    return " ".join(said)


def _of(share: float, units: int) -> str:
    n = round(share * units)
    return f"{n} of {units} units"


def rows_of(tallies: Iterable[Tally]) -> tuple[list[Memory], list[Health]]:
    """The memory and the health of all layers."""
    memories: list[Memory] = []
    found: list[Health] = []
    for tally in tallies:
        one = tally.memory()
        memories += [one] if one is not None else []
        found += tally.health()
    return memories, found


def telling(tally: Tally, count: int) -> list[int]:
    """Units worth a look: from the one that remembers longest to the one that remembers least, of those in use.

    Of a cell without memory those whose h moves most.
    """
    moves = tally.deviation
    used = np.flatnonzero(moves >= STILL)
    used = used if len(used) else np.arange(len(moves))
    found = tally.memory()
    if found is None or len(found.half_life) != len(moves):
        order: Sequence[int] = used[np.argsort(-moves[used], kind="stable")][:count].tolist()
        return sorted(map(int, order))
    order = used[np.argsort(-found.half_life[used], kind="stable")].tolist()
    places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return [int(order[k]) for k in places]
