"""What a stack of recurrent layers is: its cell, its sizes, its options and its programs; all but the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gated._check import InputTypeError, flags, one_of, refuse, want, within
from gated.cells import Cell
from gated.kernels.choose import PATHS, choose
from gated.kernels.cpu import core
from gated.kernels.program import Unsupported

PRECISIONS = ("float32", "bfloat16")
MANY = 1 << 31  # no size nor number of steps comes near it

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Stack:
    """L layers of one cell in D directions. The module holds the weights and this; functions compute.

    The arguments are those of `Recurrent`, which explains them; one that does not fit is refused.
    """

    name: str  # of the module's class, in errors
    cell: Cell
    input_size: int
    hidden_size: int | Sequence[int]
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    zoneout: float | Sequence[float]
    recurrent_dropout: float
    residual: bool
    path: str
    recompute: bool | int
    precision: str

    sizes: tuple[int, ...] = field(init=False)  # H of each layer
    widths: tuple[dict[str, int], ...] = field(init=False)  # of each layer's states, by name
    even: bool = field(init=False)  # all layers have the same widths
    inputs: tuple[int, ...] = field(init=False)  # features that each layer reads
    suffixes: tuple[str, ...] = field(init=False)  # of the parameters' names, one for each direction
    keys: tuple[str, ...] = field(init=False)  # the cell's names of one direction's parameters
    parameters: tuple[tuple[str, ...], ...] = field(init=False)  # the module's names, by layer, all directions
    blocks: tuple[range, ...] = field(init=False)  # layers that one call of torch's operator can run
    rates: tuple[float, ...] = field(init=False)  # of zoneout, by state
    noisy: bool = field(init=False)  # draws masks inside the cell in training
    recipes: dict[bool, core.Recipe] = field(init=False)  # the native core's programs, by whether it trains
    unsupported: str = field(init=False)  # why the native core has none
    separate: bool = field(init=False)  # between layers there is dropout or a sum

    def __post_init__(self) -> None:
        derived = self.__dict__
        switches = ("bias", "batch_first", "bidirectional", "residual")
        flags(self.name, **{name: getattr(self, name) for name in switches})
        derived["sizes"] = sizes = self._check_sizes()
        derived["rates"] = rates = self._check_rates()
        one_of(f"{self.name} precision", self.precision, PRECISIONS)
        if not isinstance(self.recompute, bool):
            check_count(f"{self.name} recompute", self.recompute, 1)

        cell, L = self.cell, len(sizes)
        derived["suffixes"] = suffixes = ("", "_reverse") if self.bidirectional else ("",)
        derived["widths"] = tuple({s: cell.width(s, size, self.proj_size) for s in cell.states} for size in sizes)
        derived["even"] = all(width == self.widths[0] for width in self.widths)
        outs = [width["h"] for width in self.widths]
        want(
            not self.residual or len(set(outs)) == 1,
            f"{self.name} residual",
            "layers of one width, to add them up",
            list(sizes),
        )
        derived["inputs"] = (self.input_size, *(out * len(suffixes) for out in outs[:-1]))
        derived["keys"] = keys = tuple(self.shapes(0))
        derived["parameters"] = tuple(
            tuple(f"{key}_l{k}{suffix}" for suffix in suffixes for key in keys) for k in range(L)
        )
        together = not self.residual and len(set(sizes)) == 1
        derived["blocks"] = (range(L),) if together else tuple(range(k, k + 1) for k in range(L))

        derived["noisy"] = self.recurrent_dropout > 0 or any(rates)
        derived["separate"] = self.residual or self.dropout > 0
        derived["recipes"], derived["unsupported"] = {}, ""
        try:
            derived["recipes"] = {training: self.recipe(training) for training in (True, False)}
        except Unsupported as error:
            derived["unsupported"] = str(error)
        one_of("path", self.path, PATHS)
        choose(self.path, self.against)

    def _check_sizes(self) -> tuple[int, ...]:
        name, P, hidden_size = self.name, self.proj_size, self.hidden_size
        got = getattr(self.cell, "__name__", type(self.cell).__name__)
        want(isinstance(self.cell, Cell), name, "a cell, made by gated.cells.cell", got, error=InputTypeError)
        check_count(f"{name} input_size", self.input_size, 1)
        check_count(f"{name} num_layers", self.num_layers, 1)
        listed = isinstance(hidden_size, Sequence)
        sizes = tuple(hidden_size) if isinstance(hidden_size, Sequence) else (hidden_size,) * self.num_layers
        want(len(sizes) > 0, f"{name} hidden_size", "at least one layer's width", "an empty list")
        for size in sizes:
            check_count(f"{name} hidden_size", size, 1)
        agree = not listed or self.num_layers in (1, len(sizes))
        todo = "Leave num_layers out."
        want(agree, f"{name} num_layers", f"{len(sizes)}, as hidden_size lists", self.num_layers, todo)
        check_count(f"{name} proj_size", P, 0)
        if self.cell.project:
            want(P > 0, f"{name} proj_size", f"the width of {self.cell.name}'s projection", P)
        else:
            want(P == 0, f"{name} proj_size", f"0, for {self.cell.name} projects nothing", P)
        narrow = all(size > P for size in sizes)
        want(narrow, f"{name} proj_size", f"less than hidden_size = {min(sizes)}", P, "A projection narrows h.")
        return sizes

    def _check_rates(self) -> tuple[float, ...]:
        name, states, zoneout = self.name, self.cell.states, self.zoneout
        within(f"{name} dropout", self.dropout, 0, 1)
        within(f"{name} recurrent_dropout", self.recurrent_dropout, 0, 1)
        rates = tuple(zoneout) if isinstance(zoneout, Sequence) else (zoneout,) * len(states)
        each = f"one number, or one each for {', '.join(states)}"
        want(len(rates) == len(states), f"{name} zoneout", each, repr(zoneout))
        for rate in rates:
            within(f"{name} zoneout", rate, 0, 1)
        return rates

    def against(self, path: str) -> list[str]:
        """Why the native core, or torch's operator, cannot run the cell, whatever the call."""
        if path == "native":
            return [self.unsupported] if self.unsupported else []
        return [] if self.cell.torch else [f"{self.cell.name} has no operator in torch"]

    def shapes(self, layer: int) -> dict[str, tuple]:
        """Shapes of one layer's parameters in one direction, by the cell's names."""
        return self.cell.shapes(self.inputs[layer], self.sizes[layer], self.proj_size, self.bias)

    def by_direction(self, weights: Sequence[T]) -> list[dict[str, T]]:
        """One layer's parameters, in the order of `parameters`, by direction and the cell's names."""
        n = len(self.keys)
        return [dict(zip(self.keys, weights[k : k + n], strict=True)) for k in range(0, len(weights), n)]

    def recipe(self, training: bool, grad_trace: bool = False) -> core.Recipe:
        """The native core's program; `Unsupported` if it has none. grad_trace: with the gradients of a trace."""
        drop = float(self.recurrent_dropout)
        return core.recipe(self.cell, self.rates, drop, training and self.noisy, grad_trace)


def check_count(where: str, value: object, low: int) -> None:
    """The value must be a whole number of at least `low`."""
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(where, f"a whole number of at least {low}", repr(value), error=InputTypeError)
    want(value >= low, where, f"a whole number of at least {low}", value)
    want(value < MANY, where, f"a whole number below {MANY:,}", f"{value:,}")
