"""The definition: for t in range(T): cell. Every faster form must equal it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gated.cells import Cell, refuse_name
from gated.kernels import noise


class Names:
    """z, s and p of a cell on tensors: a value by each name. (types.SimpleNamespace is closed to torch.compile.)"""

    def __init__(self, cell: Cell, prefix: str, /, **named: Any) -> None:
        self.__cell, self.__prefix = cell, prefix
        for name, value in named.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        names = [key for key in self.__dict__ if not key.startswith("_Names__")]
        refuse_name(f"cell {self.__cell.name}", self.__prefix, name, names)


def layer(
    cell: Cell,
    weights: Sequence[Mapping[str, Tensor]],
    x: Float[Tensor, "T B I"],
    state: Mapping[str, Float[Tensor, "D B _"]],
    *,
    lengths: Int[Tensor, " B"] | None = None,
    zone: Sequence[float] = (),
    drop: float = 0.0,
    seed: Int[Tensor, " D"] | None = None,
    keep: Sequence[str] = ("h",),
    gradients: bool = False,
) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """One layer: `scan` in each of its directions.

    weights by direction; states stacked by it. lengths: how many steps of each sequence exist; all kept values are zero
    past the ends, whatever x holds there. zone: a rate for each state. seed: the noise of each direction; without it
    zone acts at its expectation, and drop, the rate of recurrent dropout, not at all.
    """
    mask = None
    if lengths is not None:
        mask = (torch.arange(len(x), device=x.device)[:, None] < lengths.to(x.device))[..., None]
        x = x.masked_fill(~mask, 0)
    rates = [(k, name, float(rate)) for k, (name, rate) in enumerate(zip(state, zone, strict=False)) if rate]
    values, ends = [], []
    for direction, own in enumerate(weights):
        start = {name: value[direction] for name, value in state.items()}
        (B, P), m = start["h"].shape, None
        zones: dict[str, Tensor | float] = {name: rate for _, name, rate in rates}
        if seed is not None:
            m = noise.drop(seed[direction], x, B, P, drop) if drop else None
            zones = {name: noise.zone(seed[direction], x, B, start[name].shape[1], rate, k) for k, name, rate in rates}
        kept, end = scan(
            cell, own, x, start, live=mask, reverse=direction == 1, drop=m, zone=zones, keep=keep, gradients=gradients
        )
        if mask is not None:  # but not the gradients, which are still to come into the very tensors given here
            drawn = {f"d{name}" for name in kept} if gradients else set()
            kept = {name: value if name in drawn else value.where(mask, 0) for name, value in kept.items()}
        values.append(kept if len(x) else {"h": x.new_zeros(0, B, P)})
        ends.append(end)
    return values, {name: torch.stack([end[name] for end in ends]) for name in state}


def scan(
    cell: Cell,
    weights: Mapping[str, Tensor],
    x: Float[Tensor, "T B I"],
    state: Mapping[str, Float[Tensor, "B _"]],
    *,
    live: Bool[Tensor, "T B 1"] | None = None,
    reverse: bool = False,
    drop: Float[Tensor, "B _"] | None = None,
    zone: Mapping[str, Float[Tensor, "T B _"] | float] | None = None,
    keep: Sequence[str] = ("h",),
    gradients: bool = False,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One layer in one direction: z_t = W x_t + b + R (m ⊙ h_{t-1}) + b', then the cell, for every t.

    Takes the parameters by the names of `Cell.shapes` and the states before the first step. Gives the values named in
    keep, all if none is, at every step (T, B, ·), in the order of x even when reverse, and the states after the last.

    live: steps (t, b) that exist; at the others the states stand still, and x must be finite there.
    drop: m, the recurrent dropout mask of the sequence, already scaled.
    zone: by state, k_t in s_t = k_t ⊙ s_{t-1} + (1 - k_t) ⊙ s'_t: a mask in training, its expectation in evaluation.
    gradients: give ∂L/∂v_t of every value v kept as well, by the name dv: zeros that the backward pass fills.
    """
    zone = zone or {}
    p = own(cell, weights, drop)
    # W x needs no h: all steps at once. unbind, for indexing would cost a T-long gradient at each step.
    inputs = F.linear(x, weights["weight_ih"], weights.get("bias_ih")).unbind(0)
    state, steps, unmasked = dict(state), [], []
    for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        h = state["h"] if drop is None else state["h"] * drop
        recurrent = F.linear(h, weights["weight_hh"], weights.get("bias_hh"))
        values = cell(preactivations(cell, inputs[t], recurrent), Names(cell, "s", **state), p)
        for name in zone:
            k = zone[name]
            k = k[t] if isinstance(k, Tensor) else k
            values[name] = k * state[name] + (1 - k) * values[name]
        if gradients:  # before states stand still: h_t sees c_t here, and what does not exist sees nothing
            unmasked.append({name: values[name] for name in keep or values})
        if live is not None:
            values |= {name: torch.where(live[t], values[name], state[name]) for name in cell.states}
        state = {name: values[name] for name in cell.states}
        steps.append({name: values[name] for name in keep or values})
    if reverse:
        steps.reverse()
        unmasked.reverse()
    stacked = {name: torch.stack([step[name] for step in steps]) for name in steps[0]} if steps else {}
    return stacked | (_hook(unmasked, stacked) if gradients else {}), state


def _hook(steps: Sequence[Mapping[str, Tensor]], stacked: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Zeros by the name dv, which the backward pass through these steps fills."""
    gradients = {name: torch.zeros_like(value, requires_grad=False) for name, value in stacked.items()}
    for t, values in enumerate(steps):
        for name, value in values.items():
            if value.requires_grad:  # the step's own tensor, through which the gradient of all that follows flows
                value.register_hook(partial(_store, gradients[name][t]))
    return {f"d{name}": value for name, value in gradients.items()}


def _store(place: Tensor, gradient: Tensor) -> None:
    place.copy_(gradient.detach())


def preactivations(cell: Cell, x: Float[Tensor, "*B GH"], h: Float[Tensor, "*B RH"]) -> Names:
    """z of one step from its two halves, by gate."""
    if not cell.split and not cell.input_only:
        return Names(cell, "z", **dict(zip(cell.gates, (x + h).chunk(len(cell.gates), -1), strict=True)))
    xs = dict(zip(cell.gates, x.chunk(len(cell.gates), -1), strict=True))
    hs = dict(zip(cell.recurrent_gates, h.chunk(len(cell.recurrent_gates), -1), strict=True))
    whole = {gate: xs[gate] + hs[gate] if gate in hs else xs[gate] for gate in cell.gates if gate not in cell.split}
    halves = {gate: Names(cell, f"z.{gate}", x=xs[gate], h=hs[gate]) for gate in cell.split}
    return Names(cell, "z", **whole, **halves)


def own(cell: Cell, weights: Mapping[str, Tensor], drop: Tensor | None = None) -> Names:
    """p of a cell: its vectors, its norms' gains and shifts, its maps."""
    p: dict[str, Any] = {name: weights[f"weight_{name}"] for name in cell.vectors}
    p |= {f"{kind}_{name}": weights[f"{kind}_{name}"] for name in cell.norms for kind in ("gain", "shift")}
    if cell.project:
        p[cell.project] = partial(F.linear, weight=weights[f"weight_{cell.project}"])
    if cell.recur:
        matrix = weights[f"weight_{cell.recur}"]
        p[cell.recur] = lambda a: F.linear(a if drop is None else a * drop, matrix)
    return Names(cell, "p", **p)
