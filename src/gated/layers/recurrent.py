"""A stack of recurrent layers over any cell."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor, nn

from gated import _native
from gated._check import one_of, want, within
from gated.cells import Cell
from gated.kernels.choose import Choice, Conditions, choose
from gated.kernels.cpu import core, op
from gated.kernels.program import Unsupported
from gated.layers import door, paths
from gated.layers.door import Batch
from gated.layers.initialise import check, initialise
from gated.layers.stream import Stream

PRECISIONS = ("float32", "bfloat16")


class Options(TypedDict, total=False):
    """The arguments that every layer has beyond torch's; `Recurrent` explains them."""

    zoneout: float | Sequence[float]
    recurrent_dropout: float
    residual: bool
    init: str
    forget_bias: float | None
    chrono: int | None
    path: str
    recompute: bool | int
    precision: str


class Recurrent(nn.Module):
    """Layers of one cell, over time, in one or two directions.

        z_t = W x_t + b + R h_{t-1} + b'        s_t = cell(z_t, s_{t-1})        h_t is the output

    input (T, B, I), (B, T, I) if batch_first, (T, I) for a single sequence, or a PackedSequence
    hx    the states before the first step: (L·D, B, H), without B for a single sequence; a tuple of them if the cell
          has more states than h; zeros if none are given. For layers of unlike widths a list of (D, B, H_k) each
    gives the output (T, B, D·H) in the form of the input, and the states after the last step in the form of hx

    L layers, D directions, H = hidden_size (proj_size for a projected h). In the second direction time runs backward
    and parameters end in `_reverse`; the next layer sees both outputs side by side.

    As in torch.nn: cell apart, the arguments up to dtype, the names, order and first values of plain parameters.

    hidden_size may be a list, one width per layer.
    zoneout, one rate or one per state, keeps each number of a state at its last value with this probability at each
        step; in evaluation both are mixed in this proportion (Krueger et al. 2017, §3).
    recurrent_dropout zeroes numbers of h_{t-1} where R multiplies it, the same ones at all steps of a sequence, and
        scales the others by 1/(1-p); in training only (Gal & Ghahramani 2016, §4.1).
    dropout, in training, acts on every layer's output but the last one's.
    residual: from the second layer on a layer's input is added to its output, after dropout (Wu et al. 2016, eq. 6).
    init: "torch", or "orthogonal" per gate; forget_bias and chrono set the biases of the gates that keep and write
        memory, in every layer and direction. `gated.layers.initialise` gives the formulas and sources.
    path: "native", our own core, which runs any cell that its words can say, on the processor, in float32 and float64;
        "torch", torch's operator, which serves plain cells without zoneout, recurrent dropout or trace; "loop", the
        definition, which serves all; "auto", the first of them that can. `explain` says which, and why no other.
    recompute, of the native path: training keeps the states of every √T-th step, or of every so many as it says, and
        computes what lies between them again in the backward pass (Chen et al. 2016): memory ~ √T, equal gradients.
    precision, of the native path: "bfloat16" multiplies matrices in it, with sums and states in float32.

    The native core is one operator, `gated::scan`: torch.compile and torch.export take it as one node a layer. A second
    derivative, and vmap, jvp and their like, are computed by the definition.
    """

    _shown: ClassVar[Mapping[str, Any]] = {}  # a subclass's own arguments and their defaults, for repr

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        zoneout: float | Sequence[float] = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        init: str = "torch",
        forget_bias: float | None = None,
        chrono: int | None = None,
        path: str = "auto",
        recompute: bool | int = False,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        want(isinstance(cell, Cell), name, "a cell, made by gated.cells.cell", type(cell).__name__)
        _count(f"{name} input_size", input_size, 1)
        _count(f"{name} num_layers", num_layers, 1)
        sizes = list(hidden_size) if isinstance(hidden_size, Sequence) else [hidden_size] * num_layers
        want(len(sizes) > 0, f"{name} hidden_size", "at least one layer's width", "an empty list")
        for size in sizes:
            _count(f"{name} hidden_size", size, 1)
        listed = isinstance(hidden_size, Sequence)
        agree = not listed or num_layers in (1, len(sizes))
        want(agree, f"{name} num_layers", f"{len(sizes)}, as hidden_size lists", num_layers, "Leave num_layers out.")
        within(f"{name} dropout", dropout, 0, 1)
        within(f"{name} recurrent_dropout", recurrent_dropout, 0, 1)
        _count(f"{name} proj_size", proj_size, 0)
        if cell.project:
            want(proj_size > 0, f"{name} proj_size", f"the width of {cell.name}'s projection", proj_size)
        else:
            want(proj_size == 0, f"{name} proj_size", f"0, for {cell.name} projects nothing", proj_size)
        small = proj_size < min(sizes)
        want(small, f"{name} proj_size", f"less than hidden_size = {min(sizes)}", proj_size, "A projection narrows h.")
        rates = tuple(zoneout) if isinstance(zoneout, Sequence) else (zoneout,) * len(cell.states)
        each = f"one number, or one each for {', '.join(cell.states)}"
        want(len(rates) == len(cell.states), f"{name} zoneout", each, repr(zoneout))
        for rate in rates:
            within(f"{name} zoneout", rate, 0, 1)
        check(name, cell, init, forget_bias, chrono, bias)
        one_of(f"{name} precision", precision, PRECISIONS)
        if not isinstance(recompute, bool):
            _count(f"{name} recompute", recompute, 1)
        if dropout and len(sizes) == 1:
            warnings.warn(f"{name} dropout={dropout} acts between layers, and there is one layer", stacklevel=3)

        self.cell, self.input_size, self.hidden_size, self.num_layers = cell, input_size, hidden_size, len(sizes)
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.zoneout, self.recurrent_dropout, self.residual = rates, float(recurrent_dropout), residual
        self.init, self.forget_bias, self.chrono, self.path = init, forget_bias, chrono, path
        self.recompute, self.precision = recompute, precision
        self.sizes = sizes
        self.widths = [{state: cell.width(state, size, proj_size) for state in cell.states} for size in sizes]
        if residual:
            same = len({width["h"] for width in self.widths}) == 1
            want(same, f"{name} residual", "layers of one width, to add them up", sizes)

        self.lower()
        choose(path, cell, Conditions(unsupported=self.unsupported))

        directions = len(self.suffixes)
        self._names: list[list[dict[str, str]]] = []  # by layer and direction, the cell's names to the module's
        for layer, size in enumerate(sizes):
            width = input_size if layer == 0 else self.widths[layer - 1]["h"] * directions
            self._names.append([])
            for suffix in self.suffixes:
                shapes = cell.shapes(width, size, proj_size, bias)
                self._names[-1].append({key: f"{key}_l{layer}{suffix}" for key in shapes})
                for key, value in shapes.items():
                    empty = torch.empty(value, device=device, dtype=dtype)
                    self.register_parameter(f"{key}_l{layer}{suffix}", nn.Parameter(empty))
        self.order = [[name for way in layer for name in way.values()] for layer in self._names]
        self.flatten_parameters()
        self.reset_parameters()

    def lower(self) -> None:
        """Note the programs of training and evaluation, or why the native core has none for the cell."""
        self.recipes: dict[tuple, core.Recipe] = {}
        self.unsupported = ""
        for training in (True, False):
            try:
                self.recipes[training, *self._rates] = self._recipe(training)
            except Unsupported as error:
                self.unsupported = str(error)

    @property
    def _rates(self) -> tuple[tuple[float, ...], float]:
        return self.zoneout, self.recurrent_dropout

    def _recipe(self, training: bool, grad_trace: bool = False) -> core.Recipe:
        noise = training and (self.recurrent_dropout > 0 or any(self.zoneout))
        return core.recipe(self.cell, *self._rates, noise, grad_trace)

    @property
    def recipe(self) -> core.Recipe | None:
        """The program of the native core for what the layer does now."""
        return self.recipes.get((self.training, self.zoneout, self.recurrent_dropout))

    def grad_recipe(self) -> core.Recipe:
        """The recipe with the gradients of a trace."""
        return self._recipe(self.training, True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.lower()

    @property
    def suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of every layer and direction, as torch.nn lists them."""
        return [[getattr(self, name) for name in names.values()] for layer in self._names for names in layer]

    def parameters_of(self, names: Sequence[str]) -> list[Tensor]:
        """Parameters by name, wherever parametrization and the like have put them."""
        held = self._parameters
        try:
            return [held[name] for name in names]  # type: ignore[misc]  # half the time of getattr
        except KeyError:
            return [getattr(self, name) for name in names]

    def weights(self, layer: int, direction: int) -> dict[str, Tensor]:
        """The parameters of one layer in one direction, by the cell's names for them."""
        return {key: getattr(self, name) for key, name in self._names[layer][direction].items()}

    def reset_parameters(self) -> None:
        """Draw the initial values anew, from torch's generator."""
        for layer, size in enumerate(self.sizes):
            for direction in range(len(self.suffixes)):
                weights = self.weights(layer, direction)
                initialise(self.cell, weights, size, self.init, self.forget_bias, self.chrono)

    def explain(self, input: Any, lengths: Any = None, trace: Any = False, grad_trace: Any = False) -> str:
        """Which path this input would take, and why."""
        batch = self._enter(input, lengths)
        choice = self._choose(batch, trace, grad_trace)
        note = ""
        if choice.path == "torch":
            note = " for the whole stack" if len(self.stacks) == 1 else ", layer by layer"
            note += ", over the steps that exist" if batch.packed is not None or batch.lengths is not None else ""
        if self.recompute and (choice.path != "native" or trace or grad_trace):
            other = "a trace keeps every step" if choice.path == "native" else "only the native path does"
            note += f"; nothing is recomputed: {other}"
        if self.precision != "float32" and (choice.path != "native" or self.imprecise()):
            other = self.imprecise() if choice.path == "native" else "only the native path multiplies in bfloat16"
            note += f"; products in the weights' precision: {other}"
        return f"{choice}{note}"

    def forward(
        self, input: Any, hx: Any = None, *, lengths: Any = None, trace: Any = False, grad_trace: Any = False
    ) -> Any:
        """Run the layers over a batch; the class gives the shapes.

        lengths (B,): how many steps of each sequence exist, 0 to T; whole numbers in any order, on any device. Outputs
            past the end are zero, both directions start and end within the sequence, and what stands in the padding,
            NaN included, reaches no value and no gradient. A sequence without a step keeps its first state.
        trace: gives a third result, trace[layer][direction], a dict of every value of the cell at every step, padded
            and with the axes of the input: i f g o c h of an LSTM, r z n h of a GRU, h of an RNN; before dropout and
            residual sums.
        grad_trace: the trace, which also holds di, df … dh: zeros which the next backward pass turns into
            ∂L/∂i_t … ∂L/∂h_t. Not for torch.compile and torch.export.
        """
        if lengths is None and trace is False and grad_trace is False:
            found = paths.quick(self, input, hx)
            if found is not None:
                return found
        where = type(self).__name__
        for name, given in (("trace", trace), ("grad_trace", grad_trace)):
            want(isinstance(given, bool), f"{where} {name}", "True or False", repr(given))
        recorded = grad_trace and torch.compiler.is_compiling()  # where the backward pass cannot fill what is given now
        want(
            not recorded, f"{where} grad_trace", "a run by itself", "torch.compile or torch.export", "Take trace=True."
        )
        batch = self._enter(input, lengths)
        path, seen, states = self._choose(batch, trace, grad_trace).path, [], []
        if hx is not None or path != "native":  # which begins at zero of itself
            states = door.states_in(where, hx, self.cell.states, self.widths, len(self.suffixes), batch)
        if path == "torch":
            y, states = paths.by_torch(self, batch, states)
        elif path == "native":
            x, lengths = batch.padded()
            starts = [tuple(state.values()) for state in states] or [()] * self.num_layers
            y, ends, seen = paths.by_native(self, x, lengths, starts, trace, grad_trace)
            states = [dict(zip(self.cell.states, end, strict=True)) for end in ends]
        else:
            y, states, seen = paths.by_loop(self, batch, states, trace, grad_trace)
        result = batch.out(y), door.states_out(self.cell.states, states, batch)
        if not trace and not grad_trace:
            return result
        return *result, [[{k: batch.leave(v) for k, v in way.items()} for way in layer] for layer in seen]

    def stream(self, batch: int = 1) -> Stream:
        """The layer for input that comes step by step, `batch` sequences at once: `Stream`.

        stream = layer.stream()
        h = stream.push(x)              # (I,) to (P,), an array or a tensor, 1 to 2 µs
        y = stream.push_block(xs)       # (T, 1, I) to (T, 1, P), as T pushes
        stream.state, stream.reset()    # the layer's hx, to read and write; zeros
        """
        return Stream(self, batch)

    def _enter(self, input: Any, lengths: Any) -> Batch:
        first = getattr(self, self.order[0][0])
        where = type(self).__name__
        return door.enter(where, input, lengths, size=self.input_size, dtype=first.dtype, batch_first=self.batch_first)

    def _choose(self, batch: Batch, trace: bool, grad_trace: bool) -> Choice:
        compiled, moved = torch.compiler.is_compiling(), op.in_transform()
        if not compiled and self.recipe is None:
            self.lower()
        unsupported = self.unsupported
        if self.recipe is None and not unsupported:
            unsupported = "the layer's rates have changed since it last ran, and a graph is recorded without it"
        if not compiled and grad_trace:
            try:
                self.grad_recipe()
            except Unsupported as error:
                unsupported = str(error)
        first = getattr(self, self.order[0][0])
        none = not compiled and not moved and batch.lengths is not None and not bool(batch.lengths.any())
        conditions = Conditions(
            device=first.device.type,
            dtype=first.dtype,
            unsupported=unsupported,
            trace=trace or grad_trace,
            zoneout=any(self.zoneout),
            recurrent_dropout=self.training and self.recurrent_dropout > 0,
            empty=batch.steps == 0 or batch.size == 0 or none,
            transformed=moved,
            compiled=compiled,
            must_dispatch=grad_trace and op.must_dispatch(),
            imprecise=self.imprecise(),
        )
        return choose(self.path, self.cell, conditions)

    def imprecise(self) -> str:
        """Why products are not in the precision asked for."""
        if self.precision == "float32":
            return ""
        wide = getattr(self, self.order[0][0]).dtype == torch.float64
        lacks = "" if _native.bf16() else "the processor has no products in bfloat16"
        return "weights in float64" if wide else lacks

    @property
    def stacks(self) -> list[range]:
        """The layers that one call of torch's operator can run: all, or one by one."""
        L = self.num_layers
        return [range(L)] if not self.residual and len(set(self.sizes)) == 1 else [range(k, k + 1) for k in range(L)]

    def flatten_parameters(self) -> None:
        """Lay the weights out in one piece for cuDNN; nothing to do elsewhere, and never needed."""
        if not self.cell.torch:
            return
        mode, many = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}[self.cell.torch], len(self.suffixes)
        for stack in self.stacks:
            ways = [list(self.weights(k, direction).values()) for k in stack for direction in range(many)]
            flat = [w for way in ways for w in way]
            alike = all(w.is_cuda and w.dtype == flat[0].dtype for w in flat) and len(set(map(id, flat))) == len(flat)
            if not alike or not torch.backends.cudnn.is_acceptable(flat[0]):
                continue
            width = self.input_size if stack[0] == 0 else self.widths[stack[0] - 1]["h"] * many
            sizes = (width, mode, self.sizes[stack[0]], self.proj_size, len(stack))
            with torch.cuda.device_of(flat[0]), torch.no_grad():
                torch.ops.aten._cudnn_rnn_flatten_weight(flat, len(ways[0]), *sizes, False, self.bidirectional)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        result = super()._apply(fn, recurse)
        self.flatten_parameters()
        return result

    def extra_repr(self) -> str:
        """The arguments that are not the defaults, as torch.nn writes them."""
        default = dict(
            proj_size=0, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False, zoneout=0.0,
            recurrent_dropout=0.0, residual=False, init="torch", forget_bias=None, chrono=None, path="auto",
            recompute=False, precision="float32",
        )  # fmt: skip
        shown = {name: getattr(self, name) for name in default}
        shown["zoneout"] = self.zoneout[0] if len(set(self.zoneout)) == 1 else self.zoneout
        shown |= {name: getattr(self, name) for name in self._shown}
        default |= self._shown
        changed = [f"{name}={value!r}" for name, value in shown.items() if value != default[name]]
        named = [self.cell.name] if type(self) is Recurrent else []
        return ", ".join([*named, str(self.input_size), str(self.hidden_size), *changed])


def _count(where: str, value: object, low: int) -> None:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= low
    want(fits, where, f"a whole number of at least {low}", repr(value))
