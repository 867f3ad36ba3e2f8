"""Initial values: torch's, orthogonal per gate, a forget bias, chrono; in every layer and every direction."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gated._check import one_of, want
from gated.cells import Cell

PRESETS = ("torch", "orthogonal")


def check(where: str, cell: Cell, init: str, forget_bias: float | None, chrono: int | None, bias: bool) -> None:
    """Refuse what the cell cannot have."""
    one_of(f"{where} init", init, PRESETS)
    if forget_bias is None and chrono is None:
        return
    want(forget_bias is None or chrono is None, where, "forget_bias or chrono", "both", "Both set the same bias.")
    asked = "forget_bias" if chrono is None else "chrono"
    want(bool(cell.keep), f"{where} {asked}", "a cell with a gate that keeps its memory", cell.name)
    normed = {cell.keep.removeprefix("-"), cell.write} <= {"", *cell.norms}
    want(bias or normed, f"{where} {asked}", "a layer with biases", "bias=False")
    want(chrono is None or chrono >= 2, f"{where} chrono", "the longest dependency, at least 2 steps", chrono)


@torch.no_grad()
def initialise(
    cell: Cell,
    weights: Mapping[str, Tensor],
    hidden_size: int,
    init: str,
    forget_bias: float | None,
    chrono: int | None,
) -> None:
    """Set the parameters of one layer in one direction, in place, from torch's generator.

    torch        every number from U(-1/√H, 1/√H), in the order of the parameters, as torch.nn draws them
    orthogonal   each gate's block of R orthogonal (Saxe et al. 2014), of W from Glorot's uniform; the rest zero
    forget_bias  the bias of the gate that keeps memory (Gers et al. 2000; Jozefowicz et al. 2015)
    chrono       b_f = log u, b_i = -b_f, u ~ U(1, T - 1), T the longest dependency (Tallec & Ollivier 2018)

    Layer norm's gains start at one and its shifts at zero. A gate's bias is all in the first of its two vectors, or in
    the shift if the gate is normalised, where a bias that is alike for all units would vanish.
    """
    for name, weight in weights.items():
        if name.startswith("gain_"):
            weight.fill_(1)
        elif name.startswith("shift_"):
            weight.zero_()
        elif init == "torch":
            weight.uniform_(-1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))
        elif weight.dim() == 1:
            weight.zero_()
        else:
            fill = nn.init.xavier_uniform_ if name == "weight_ih" else nn.init.orthogonal_
            for block in weight.split(min(hidden_size, len(weight))):
                fill(block)
    if forget_bias is None and chrono is None:
        return
    sign, gate = (-1, cell.keep[1:]) if cell.keep.startswith("-") else (1, cell.keep)
    value = weights["weight_ih"].new_empty(hidden_size)
    if chrono is not None:
        value.uniform_(1, chrono - 1).log_()
    elif forget_bias is not None:
        value.fill_(forget_bias)
    _set_bias(cell, weights, hidden_size, gate, sign * value)
    if chrono is not None and cell.write:
        _set_bias(cell, weights, hidden_size, cell.write, -value)


def _set_bias(cell: Cell, weights: Mapping[str, Tensor], hidden_size: int, gate: str, value: Tensor) -> None:
    if gate in cell.norms:
        weights[f"shift_{gate}"].copy_(value)
        return
    for name, gates in (("bias_ih", cell.gates), ("bias_hh", cell.recurrent_gates)):
        if gate in gates:
            weights[name].chunk(len(gates))[gates.index(gate)].copy_(value if name == "bias_ih" else 0 * value)
