"""How long units remember: what a step keeps of a cell, what it writes there, and whose share is left later.

    s_t = keep_t ⊙ s_{t−1} + write_t        LSTM: c, f, i ⊙ g; GRU: h, z, (1 − z) ⊙ n

For any cell write_t is s_t − keep_t ⊙ s_{t−1}, so nothing is lost whatever else its equations do. The share of s_t that
was written at step s is Π_{s < k ≤ t} keep_k ⊙ write_s; over all s, with what is left of the first state, these sum to
s_t. A unit's half-life on some data is that of a unit whose gate stood still at the geometric mean of its keep,

    half-life = ln ½ / mean_t ln keep_t

in steps of the layer: 0 where a gate was shut altogether, inf where it never closed.
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
from gated.probe.document import Memory
from gated.probe.watch import Way

WIDE, FAR, CLOSE = 8, 40.0, 1e-9  # of a cell that is tried: units, a gate's argument, and what counts as equal


class Kept(NamedTuple):
    """s_t = keep_t ⊙ s_{t−1} + write_t, for the state `memory`, step by step (T, U)."""

    memory: str
    keep: Float[Tensor, "T U"]
    write: Float[Tensor, "T U"]
    first: Float[Tensor, " U"]  # s before the first step


# ---- what a cell is, found by trying it


def _step(cell: Cell, z: Tensor, states: dict[str, Tensor], gain: float = 1.0) -> dict[str, Tensor]:
    """One step without parameters of its own: no peepholes, no maps, norms with this gain."""
    H = z.shape[-1]
    own: dict[str, Any] = {name: z.new_zeros(H) for name in cell.vectors}
    own |= {f"gain_{name}": z.new_full((H,), gain) for name in cell.norms}
    own |= {f"shift_{name}": z.new_zeros(H) for name in cell.norms}
    own |= {cell.project: lambda a: a} if cell.project else {}
    own |= {cell.recur: torch.zeros_like} if cell.recur else {}
    R = len(cell.recurrent_gates)
    made = preactivations(cell, z.reshape(len(cell.gates) * H), z.new_zeros(R * H))
    return cell(made, Names(**states), Names(**own))


@cache
def remembers(cell: Cell) -> tuple[str, str, bool] | None:
    """The state that a cell keeps, the gate that keeps it, and whether when shut; the gate is "" where all is kept.

    None where there is no such pair, as in a plain RNN. It is found by trying: with z fixed and the cell's own vectors
    zero, a change of the state must come out times the gate.
    """
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(len(cell.gates), WIDE, generator=draw, dtype=torch.float64)
    states = {name: torch.randn(WIDE, generator=draw, dtype=torch.float64) for name in cell.states}
    gate, shut = cell.keep.removeprefix("-"), cell.keep.startswith("-")
    before = _step(cell, z, states)
    if gate and gate not in before:
        return None
    for name in sorted(cell.states, key=lambda name: name == "h"):
        change = torch.randn(WIDE, generator=draw, dtype=torch.float64)
        after = _step(cell, z, {**states, name: states[name] + change})
        keep = torch.ones(WIDE, dtype=z.dtype) if not gate else 1 - before[gate] if shut else before[gate]
        if torch.allclose(after[name] - before[name], keep * change, atol=CLOSE, rtol=CLOSE):
            return name, gate, shut
    return None


@cache
def gates_of(cell: Cell) -> tuple[str, ...]:
    """Those of a cell's gates that open and shut: 0 for a low argument, 1 for a high one."""
    low = torch.arange(WIDE) < WIDE // 2
    z = torch.where(low, -FAR, FAR).double().expand(len(cell.gates), WIDE)
    values = _step(cell, z, {name: torch.zeros(WIDE, dtype=z.dtype) for name in cell.states}, FAR)
    right = (~low).double()
    return tuple(gate for gate in cell.gates if gate in values and torch.allclose(values[gate], right, atol=1e-6))


# ---- what was kept


def keeps(way: Way, units: Any = slice(None)) -> Float[Tensor, "T U"] | None:
    """keep of these units at every step; None where the cell has no memory of this kind."""
    found = remembers(way.cell) if way.known else None
    if found is None:
        return None
    name, gate, shut = found
    keep = way.values[gate][:, units].double() if gate else torch.ones_like(way.values[name][:, units]).double()
    keep = 1 - keep if shut else keep
    if name in way.zone:
        rate = way.zone[name]
        keep = rate + (1 - rate) * keep
    return keep


def kept(way: Way, units: Any = slice(None)) -> Kept | None:
    """What these units of a layer kept and wrote at every step; None where the cell has no memory of this kind."""
    keep, found = keeps(way, units), remembers(way.cell)
    if keep is None or found is None:
        return None
    s, first = way.values[found[0]][:, units].double(), way.start[found[0]][units].double()
    before = torch.cat([s[1:], first[None]]) if way.reverse else torch.cat([first[None], s[:-1]])
    return Kept(found[0], keep, s - keep * before[: len(s)], first)


def half_life(mean_log_keep: Float[np.ndarray, " H"]) -> Float[np.ndarray, " H"]:
    """ln ½ / mean ln keep, in steps."""
    with np.errstate(divide="ignore"):
        return np.where(mean_log_keep < 0, math.log(0.5) / np.minimum(mean_log_keep, 0), math.inf)


def shares(keep: Any, write: Any, t: int, first: Any = None, reverse: bool = False) -> Float[np.ndarray, "T1 U"]:
    """What each step's write is at step t: row s is Π_{s < k ≤ t} keep_k ⊙ write_s, and 0 after t; (T + 1, U).

    The last row is what is left of the state before the first step, `first`, zeros if not given. The rows sum to s_t.

    keep, write (T, U), or (T,) of one unit; tensors or arrays. reverse: time runs from the last row to the first.
    """
    keep, write = (np.asarray(a, np.float64) for a in (keep, write))
    want(keep.ndim in (1, 2) and keep.shape == write.shape, "shares", "keep and write of one shape (T, U) or (T,)",
         f"{keep.shape} and {write.shape}")  # fmt: skip
    keep, write = (a.reshape(len(a), -1) for a in (keep, write))
    within("shares t", t, 0, len(keep) - 1)
    start = np.zeros(keep.shape[1]) if first is None else np.asarray(first, np.float64).reshape(-1)
    if reverse:
        found = shares(keep[::-1], write[::-1], len(keep) - 1 - t, start)
        return np.concatenate([found[:-1][::-1], found[-1:]])
    out = np.zeros((len(keep) + 1, keep.shape[1]))
    left = np.ones_like(keep[: t + 1])  # Π over s < k ≤ t
    left[:-1] = np.cumprod(keep[t:0:-1], 0)[::-1]
    out[: t + 1] = left * write[: t + 1]
    out[-1] = left[0] * keep[0] * start
    return out


def told(half_lives: Float[np.ndarray, " H"], steps: int) -> str:
    """How long the units of a layer remember, in a sentence; steps: of the longest sequence that it was seen on."""
    low, middle, high = float(half_lives.min()), float(np.median(half_lives)), float(half_lives.max())
    if math.isinf(low):
        return f"None of its {len(half_lives)} units ever forgets."
    said = f"Half-life of {len(half_lives)} units: {_steps(low)} in the shortest, {_steps(middle)} in the middle, "
    said += f"{_steps(high)} in the longest."
    most = int((half_lives > steps).sum())
    return said + (f" In {most} it is longer than the longest sequence, {steps:,} steps." if most else "")


def _steps(n: float) -> str:
    if math.isinf(n):
        return "without end"
    return f"{n:,.0f} steps" if n >= 10 else f"{n:.1f} steps"


def memory(name: str, mean_log_keep: Float[np.ndarray, " H"], steps: int) -> Memory:
    """A layer's half-lives as the document has them."""
    lives = half_life(mean_log_keep)
    return Memory(name, lives, told(lives, steps))
