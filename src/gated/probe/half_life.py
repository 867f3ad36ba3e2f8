"""Half-lives: how much of its state a cell keeps at a step, how much it writes, and what remains of it later.

    s_t = keep_t ⊙ s_{t−1} + write_t        LSTM: c, f, i ⊙ g; GRU: h, z, (1 − z) ⊙ n

write_t is defined as s_t − keep_t ⊙ s_{t−1}, so the decomposition is exact for any cell. The share of s_t that was
written at step s is Π_{s < k ≤ t} keep_k ⊙ write_s; all shares, with the remainder of the initial state, sum to s_t. A
unit's half-life on some data is that of a gate that is constant at the geometric mean of its keep,

    half-life = ln ½ / mean_t ln keep_t

in steps of the layer: 0 if the gate was fully shut at a step, inf if it never closed.

A cell's declared `keep` gate is verified numerically (perturb the state, compare with the gate); if the declaration is
wrong, half-lives and shares are not reported.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gated._check import want, within
from gated.cells import Cell
from gated.kernels.loop import Names, preactivations
from gated.probe.record import Trace

UNITS, SATURATED, CLOSE = 8, 40.0, 1e-9  # of a verified cell: units, a saturating argument, the tolerance


class Decomposition(NamedTuple):
    """s_t = keep_t ⊙ s_{t−1} + write_t, for the state `name`, (T, U)."""

    name: str
    keep: Float[Tensor, "T U"]
    write: Float[Tensor, "T U"]
    initial: Float[Tensor, " U"]  # s before the first step


# ---- a cell's gates, verified numerically


def _step(cell: Cell, z: Tensor, states: dict[str, Tensor], gain: float = 1.0) -> dict[str, Tensor]:
    """One step with neutral parameters: no peepholes, no projection, norms with this gain."""
    H = z.shape[-1]
    own: dict[str, Any] = {name: z.new_zeros(H) for name in cell.vectors}
    own |= {f"gain_{name}": z.new_full((H,), gain) for name in cell.norms}
    own |= {f"shift_{name}": z.new_zeros(H) for name in cell.norms}
    own |= {cell.project: lambda a: a} if cell.project else {}
    own |= {cell.recur: torch.zeros_like} if cell.recur else {}
    R = len(cell.recurrent_gates)
    preactivation = preactivations(cell, z.reshape(len(cell.gates) * H), z.new_zeros(R * H))
    return cell(preactivation, Names(cell, "s", **states), Names(cell, "p", **own))


@cache
def verify_keep(cell: Cell) -> tuple[str, str, bool] | None:
    """The state that a cell keeps, its gate, and whether 1 − gate is kept; the gate is "" if keep = 1.

    None if the cell has no such gate, as a plain RNN, or declares a wrong one: with z constant and the cell's own
    vectors zero, a perturbation of the state must come out times the gate.
    """
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(len(cell.gates), UNITS, generator=draw, dtype=torch.float64)
    states = {name: torch.randn(UNITS, generator=draw, dtype=torch.float64) for name in cell.states}
    gate, inverted = cell.keep.removeprefix("-"), cell.keep.startswith("-")
    before = _step(cell, z, states)
    if gate and gate not in before:
        return None
    for name in sorted(cell.states, key=lambda name: name == "h"):
        change = torch.randn(UNITS, generator=draw, dtype=torch.float64)
        after = _step(cell, z, {**states, name: states[name] + change})
        keep = torch.ones(UNITS, dtype=z.dtype) if not gate else 1 - before[gate] if inverted else before[gate]
        if torch.allclose(after[name] - before[name], keep * change, atol=CLOSE, rtol=CLOSE):
            return name, gate, inverted
    return None


@cache
def find_gates(cell: Cell) -> tuple[str, ...]:
    """The cell's gates that saturate at 0 for a low argument and at 1 for a high one."""
    low = torch.arange(UNITS) < UNITS // 2
    z = torch.where(low, -SATURATED, SATURATED).double().expand(len(cell.gates), UNITS)
    values = _step(cell, z, {name: torch.zeros(UNITS, dtype=z.dtype) for name in cell.states}, SATURATED)
    right = (~low).double()
    return tuple(gate for gate in cell.gates if gate in values and torch.allclose(values[gate], right, atol=1e-6))


# ---- keep, write and shares


def compute_keep(trace: Trace, units: Any = slice(None)) -> Float[Tensor, "T U"] | None:
    """keep of these units at every step; None if the cell has no verified keep gate."""
    declaration = verify_keep(trace.cell) if trace.exact else None
    if declaration is None:
        return None
    name, gate, inverted = declaration
    keep = trace.values[gate][:, units].double() if gate else torch.ones_like(trace.values[name][:, units]).double()
    keep = 1 - keep if inverted else keep
    if name in trace.zone:
        rate = trace.zone[name]
        keep = rate + (1 - rate) * keep
    return keep


def decompose(trace: Trace, units: Any = slice(None)) -> Decomposition | None:
    """keep and write of these units at every step; None if the cell has no verified keep gate."""
    keep, declaration = compute_keep(trace, units), verify_keep(trace.cell)
    if keep is None or declaration is None:
        return None
    name, _, _ = declaration
    s, initial = trace.values[name][:, units].double(), trace.start[name][units].double()
    before = torch.cat([s[1:], initial[None]]) if trace.reverse else torch.cat([initial[None], s[:-1]])
    return Decomposition(name, keep, s - keep * before[: len(s)], initial)


def shares(keep: Any, write: Any, t: int, initial: Any = None, reverse: bool = False) -> Float[np.ndarray, "T1 U"]:
    """The share of each step's write in s_t: row s is Π_{s < k ≤ t} keep_k ⊙ write_s, and 0 after t; (T + 1, U).

    The last row is the remainder of the initial state, zeros by default. The rows sum to s_t.

    keep, write (T, U), or (T,) of one unit; tensors or arrays. reverse: time runs from the last row to the first.
    """
    keep, write = (np.asarray(a, np.float64) for a in (keep, write))
    want(keep.ndim in (1, 2) and keep.shape == write.shape, "shares", "keep and write of one shape (T, U) or (T,)",
         f"{keep.shape} and {write.shape}")  # fmt: skip
    keep, write = (a.reshape(len(a), -1) for a in (keep, write))
    within("shares t", t, 0, len(keep) - 1)
    start = np.zeros(keep.shape[1]) if initial is None else np.asarray(initial, np.float64).reshape(-1)
    if reverse:
        mirror = shares(keep[::-1], write[::-1], len(keep) - 1 - t, start)
        return np.concatenate([mirror[:-1][::-1], mirror[-1:]])
    out = np.zeros((len(keep) + 1, keep.shape[1]))
    product = np.ones_like(keep[: t + 1])  # Π over s < k ≤ t
    product[:-1] = np.cumprod(keep[t:0:-1], 0)[::-1]
    out[: t + 1] = product * write[: t + 1]
    out[-1] = product[0] * keep[0] * start
    return out


def half_life(mean: Float[Tensor, " H"]) -> Float[np.ndarray, " H"]:
    """ln ½ / mean_t ln keep_t of each unit, in steps; inf where the mean is 0."""
    logs = mean.cpu().numpy()
    with np.errstate(divide="ignore"):
        return np.where(logs < 0, math.log(0.5) / np.minimum(logs, 0), math.inf)


def describe(half_lives: Float[np.ndarray, " H"], steps: int) -> str:
    """The half-lives of a layer in a sentence; steps: of the longest sequence in the data."""
    low, middle, high = float(half_lives.min()), float(np.median(half_lives)), float(half_lives.max())
    if math.isinf(low):
        return f"None of the {len(half_lives)} units ever forgets."
    text = f"Half-lives of {len(half_lives)} units: shortest {_steps(low)}, median {_steps(middle)}, "
    text += f"longest {_steps(high)}."
    count = int((half_lives > steps).sum())
    return text + (f" {count} exceed the longest sequence, {steps:,} steps." if count else "")


def _steps(n: float) -> str:
    if math.isinf(n):
        return "infinite"
    return f"{n:,.0f} steps" if n >= 10 else f"{n:.1f} steps"
