"""A stack of recurrent layers over any cell."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from inspect import signature
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from gated._check import shape, want
from gated.cells import Cell
from gated.layers import layout, paths, quantize, symbolic
from gated.layers.initialise import check, initialise
from gated.layers.stack import Stack
from gated.layers.stream import Stream

ARGUMENTS = {field.name for field in fields(Stack) if field.init} - {"name"}


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


class Recurrent(nn.RNNBase):
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
    derivative, a batch of gradients, and vmap, jvp and their like, are computed by the definition.

    It is a torch.nn.RNNBase, with all that belongs to one, and no torch.nn.LSTM, GRU or RNN: those are what
    torch.compile cannot look into, and what takes them reads their weights as one of torch's operators. torch.fx takes
    it as a leaf.
    """

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
        nn.Module.__init__(self)  # RNNBase would make torch's weights
        self.cell, self.input_size, self.num_layers = cell, input_size, num_layers
        self.hidden_size: Any = hidden_size
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.zoneout, self.recurrent_dropout, self.residual = zoneout, recurrent_dropout, residual
        self.init, self.forget_bias, self.chrono, self.path = init, forget_bias, chrono, path
        self.recompute, self.precision = recompute, precision
        stack = self._describe()
        self.mode = cell.torch.upper() or cell.name  # torch's word: LSTM, GRU, RNN_TANH, RNN_RELU
        self.num_layers, self.zoneout = len(stack.sizes), stack.rates
        self.dropout, self.recurrent_dropout = float(dropout), float(recurrent_dropout)
        self.stack = stack
        check(stack.name, cell, init, forget_bias, chrono, bias)
        if dropout and len(stack.sizes) == 1:
            warnings.warn(f"{stack.name} dropout={dropout} acts between layers, and there is one layer", stacklevel=3)
        for k, names in enumerate(stack.parameters):
            shapes = stack.shapes(k).values()
            for name, axes in zip(names, [*shapes] * len(stack.suffixes), strict=True):
                self.register_parameter(name, nn.Parameter(torch.empty(axes, device=device, dtype=dtype)))
        self.flatten_parameters()
        self.reset_parameters()

    def _describe(self) -> Stack:
        return Stack(type(self).__name__, **{name: getattr(self, name) for name in ARGUMENTS})

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ARGUMENTS and "stack" in self.__dict__:
            self.__dict__["stack"] = replace(self.stack, **{name: value})
        if name == "qconfig":
            quantize.check(self, value)
        nn.Module.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "stack"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        nn.Module.__setstate__(self, state)
        self.stack = self._describe()

    def _weights(self) -> list[list[Tensor]]:
        """The parameters by layer, wherever parametrization and the like have put them."""
        layers, own = self.stack.parameters, self._parameters
        try:
            return [[*map(own.__getitem__, names)] for names in layers]  # type: ignore[misc]  # half getattr's time
        except KeyError:
            return [[getattr(self, name) for name in names] for names in layers]

    def weights(self, layer: int, direction: int) -> dict[str, Tensor]:
        """The parameters of one layer in one direction, by the cell's names for them."""
        return self.stack.by_direction(self._weights()[layer])[direction]

    # What else belongs to a torch.nn.RNNBase, of any cell.

    @property
    def _all_weights(self) -> list[list[str]]:
        return [list(way.values()) for layer in self.stack.parameters for way in self.stack.by_direction(layer)]

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of every layer and direction, as torch.nn lists them."""
        return [list(way.values()) for layer in self._weights() for way in self.stack.by_direction(layer)]

    @property
    def _flat_weights_names(self) -> tuple[str, ...]:
        return tuple(name for layer in self.stack.parameters for name in layer)

    @property
    def _flat_weights(self) -> tuple[Tensor, ...]:  # not a list: what is put into it would reach no layer
        return tuple(weight for layer in self._weights() for weight in layer)

    def _init_flat_weights(self) -> None:
        self.flatten_parameters()

    def _weights_have_changed(self) -> bool:
        return False  # they are looked up at every call

    def _replicate_for_data_parallel(self) -> Any:
        return nn.Module._replicate_for_data_parallel(self)

    def check_input(self, input: Tensor, batch_sizes: Tensor | None = None) -> None:
        """Refuse an input, (N, I) if packed, that does not fit the layer."""
        packed = batch_sizes is not None
        shape(f"{self.stack.name} input", input, *("N" if packed else ("T", "B")), self.input_size)
        layout.check_dtype(self.stack, self._weights()[0][0].dtype, input)

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None = None) -> tuple[int, int, int]:
        """(L·D, B, H or P), the shape of h before the first step."""
        return self._expect("h", input, batch_sizes)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None = None) -> tuple[int, int, int]:
        """(L·D, B, H), the shape of c before the first step."""
        want("c" in self.cell.states, self.stack.name, "a cell with a state c", self.cell.name)
        return self._expect("c", input, batch_sizes)

    def _expect(self, state: str, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        stack = self.stack
        want(stack.even, f"{stack.name} expected size", "layers of one width", list(stack.sizes), "Read stack.widths.")
        B = int(batch_sizes[0]) if batch_sizes is not None else input.shape[0 if self.batch_first else 1]
        return len(stack.sizes) * len(stack.suffixes), B, stack.widths[0][state]

    def check_hidden_size(self, hx: Tensor, expected_hidden_size: tuple[int, ...], msg: str = "") -> None:
        """Refuse a state of another shape; msg, torch's sentence, is not needed."""
        shape(f"{self.stack.name} state", hx, *expected_hidden_size)

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None = None) -> None:
        """Refuse an input or states that do not fit the layer."""
        self.check_input(input, batch_sizes)
        states = self.cell.states
        for name, state in zip(states, (hidden,) if len(states) == 1 else hidden, strict=True):
            shape(f"{self.stack.name} {name}_0", state, *self._expect(name, input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """States with their sequences in another order."""
        if permutation is None:
            return hx
        if isinstance(hx, Tensor):
            return hx.index_select(1, permutation)
        return type(hx)(self.permute_hidden(state, permutation) for state in hx)

    def reset_parameters(self) -> None:
        """Draw the initial values anew, from torch's generator."""
        for size, layer in zip(self.stack.sizes, self._weights(), strict=True):
            for weights in self.stack.by_direction(layer):
                initialise(self.cell, weights, size, self.init, self.forget_bias, self.chrono)

    def flatten_parameters(self) -> None:
        """Lay the weights out in one piece for cuDNN; nothing to do elsewhere, and never needed."""
        if self.cell.torch:
            paths.flatten(self.stack, self._weights())

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        result = nn.Module._apply(self, fn, recurse)
        self.flatten_parameters()
        return result

    def explain(self, input: Any, lengths: Any = None, trace: Any = False, grad_trace: Any = False) -> str:
        """Which path this input would take, and why."""
        return paths.explain(self._call(input, lengths, trace, grad_trace))

    def _call(self, input: Any, lengths: Any, trace: Any, grad_trace: Any) -> paths.Call:
        stack, weights = self.stack, self._weights()
        if trace is not False or grad_trace is not False:
            paths.check_trace(stack.name, trace, grad_trace)
        batch = layout.arrange(stack, weights[0][0].dtype, input, lengths)
        return paths.Call(stack, weights, self.training, batch, trace, grad_trace)

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
        if isinstance(input, Proxy):
            options = dict(lengths=lengths, trace=trace, grad_trace=grad_trace)
            return symbolic.record(self, input, (input, hx), options)
        call = self._call(input, lengths, trace, grad_trace)
        states = None if hx is None else layout.split_states(call.stack, hx, call.batch)
        y, states, values = paths.RUN[paths.pick(call)[0]](call, states)
        result = call.batch.restore(y), layout.join_states(call.stack, states, call.batch)
        if not (trace or grad_trace):
            return result
        restore = call.batch.restore_axes
        return *result, [[{k: restore(v) for k, v in way.items()} for way in layer] for layer in values]

    def stream(self, batch: int = 1) -> Stream:
        """The layer for input that comes step by step, `batch` sequences at once: `Stream` has its methods."""
        return Stream(self.stack, self._weights(), batch, repr(self))

    def extra_repr(self) -> str:
        """The arguments that are not the defaults, as torch.nn writes them."""
        default: dict[str, Any] = {"proj_size": 0}
        for kind in reversed(type(self).__mro__):
            if issubclass(kind, Recurrent):
                default |= {p.name: p.default for p in signature(kind).parameters.values() if p.default is not p.empty}
        values = {name: getattr(self, name) for name in default if hasattr(self, name)}
        rates = self.stack.rates
        values["zoneout"] = rates[0] if len(set(rates)) == 1 else rates
        changed = [f"{name}={value!r}" for name, value in values.items() if value != default[name]]
        first = [self.cell.name] if type(self) is Recurrent else []
        return ", ".join([*first, str(self.input_size), str(self.hidden_size), *changed])
