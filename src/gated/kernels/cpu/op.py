"""The native core as an operator of torch: one call is one layer, all steps, all directions, forward or backward.

`gated::scan` and `gated::scan_backward` carry the cell's program as text, so a compiled or exported graph holds all it
needs, in one node a layer. `scan` calls the core directly where nothing observes torch's operators, which saves most of
an operator's overhead, and the operator where something does (tracing, dispatch modes, autocast).

There is no second derivative in the core: a backward pass that shall itself be differentiated, or that vmap runs for a
batch of gradients, runs the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, is_autocast_enabled
from torch._C import _get_tracing_state, _len_torch_dispatch_stack
from torch._C._functorch import get_dynamic_layer_stack_depth, is_legacy_batchedtensor  # vmap, jvp, grad … at work
from torch.compiler import is_compiling

from gated import _native, trees
from gated._check import InputTensorError, refuse, want, within
from gated.kernels import loop
from gated.kernels.cpu import core
from gated.kernels.program import parse
from gated.kernels.request import Request

LONG = 2**31 - 1  # steps: more than a sequence may have
PLAIN = {Tensor, torch.nn.Parameter}  # no subclass that wants to see the operators on it


def must_dispatch() -> bool:
    """Whether torch.compile, a dispatch mode, jit tracing or autocast observes torch's operators at the moment."""
    return bool(
        is_compiling() or _len_torch_dispatch_stack() or _get_tracing_state() is not None or is_autocast_enabled("cpu")
    )


def in_transform() -> bool:
    """Whether vmap, jvp, grad or their like are at work, which the operator has no rules for."""
    return get_dynamic_layer_stack_depth() > 0 or forward_ad._current_level >= 0


def scan(request: Request, tensors: Sequence[Any], grad_trace: Tensor | None = None) -> Sequence[Tensor]:
    """Run one layer: y (T, B, D·P), each state after the last step, and if values are kept what is saved.

    `view_trace` finds the kept values in the last result. grad_trace, from `make_grad_trace`, gets their gradients in
    the backward pass.
    """
    given = tensors[2:]
    if must_dispatch() or not PLAIN.issuperset(map(type, given)):
        return torch.ops.gated.scan.default(*_arguments(request, tensors, False))
    train = torch.is_grad_enabled() and any([tensor.requires_grad for tensor in given])
    if train:
        return _Scan.apply(request, grad_trace, False, *tensors)  # type: ignore[return-value]
    layer = core.find_layer(request, False, grad_trace is not None, given[1 + request.states :])
    y, finals, saved, _ = core.forward(layer, request._replace(chunk=0) if request.chunk else request, tensors)
    return [y, *finals] if saved is None else [y, *finals, saved]


class _Scan(torch.autograd.Function):
    """The layer and its gradient: by the core itself, or to be dispatched by the two operators."""

    @staticmethod
    def forward(ctx: Any, request: Request, grad_trace: Tensor | None, dispatch: bool, *tensors: Any) -> Any:
        ctx.how = request, grad_trace, dispatch
        ctx.set_materialize_grads(False)
        if not dispatch:
            layer = core.find_layer(request, True, grad_trace is not None, tensors[3 + request.states :])
            y, finals, saved, bounds = core.forward(layer, request, tensors)
            ctx.save_for_backward(y, saved, bounds, *tensors)
            return (y, *finals, saved) if request.keep else (y, *finals)
        with torch._C._AutoDispatchBelowAutograd():
            y, *finals, saved, bounds = torch.ops.gated.scan.default(*_arguments(request, tensors, True))
        ctx.save_for_backward(y, saved, bounds, *tensors)
        ctx.mark_non_differentiable(*([bounds] if request.keep else [saved, bounds]))
        return y, *finals, saved, bounds

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> Any:
        request, grad_trace, dispatch = ctx.how
        y, saved, bounds, *tensors = ctx.saved_tensors
        dy, *rest = given
        n, needs = len(rest) - (2 if dispatch else bool(request.keep)), ctx.needs_input_grad[5:]
        results, gradients = (y, saved, bounds), (dy, rest[:n], rest[n] if request.keep else None)
        again, batched = torch.is_grad_enabled(), in_transform() or any(map(_is_batched, given))
        todo = "Take trace=True, or one gradient at a time."
        want(
            grad_trace is None or not batched, "grad_trace", "a backward pass of one gradient", "a batch of them", todo
        )
        if again or batched:
            made = _differentiate_loop(request, tensors, gradients, needs, grad_trace, again)
        elif dispatch:
            *inputs, _, chunk, bf16 = _arguments(request, tensors, True)
            made = torch.ops.gated.scan_backward.default(*inputs, chunk, bf16, *results, *gradients, needs)
            made = [gradient if need else None for gradient, need in zip(made, needs, strict=True)]
        else:
            layer = core.find_layer(request, True, grad_trace is not None, tensors[3 + request.states :])
            made = core.backward(layer, request, tensors, results, gradients, needs, grad_trace)
        return None, None, None, None, None, *made


def _is_batched(gradient: Tensor | None) -> bool:
    """Whether torch.autograd.grad(is_grads_batched=True) runs the backward pass for many gradients at once."""
    return gradient is not None and is_legacy_batchedtensor(gradient)


@torch.enable_grad()
def _differentiate_loop(
    request: Request,
    tensors: Sequence[Any],
    gradients: core.Gradients,
    needs: Sequence[bool],
    grad_trace: Tensor | None,
    again: bool,
) -> Sequence[Tensor | None]:
    """The gradients by the definition. again: with gradients of their own. In vmap they come in a batch."""
    text, n, keep, _, _ = request
    lengths, seed, *inputs = tensors
    layer = core.find_layer(request, True, grad_trace is not None, inputs[1 + n :])
    if text not in core.SOURCES:
        todo = "Differentiate the layer it was exported from."
        refuse(
            "second derivatives and batches of gradients", "a program traced from a cell here", "the text of one", todo
        )
    cell, zone, drop = core.SOURCES[text]
    # A view of each, for the same tensor may have come in two places, and each place has its gradient.
    inputs = [tensor.view_as(tensor) for tensor in inputs]
    x, states, weights = inputs[0], inputs[1 : 1 + n], inputs[1 + n :]
    states = states or [x.new_zeros(layer.D, x.shape[1], width) for width in layer.widths]
    each = len(weights) // layer.D
    names = cell.shapes(layer.I, layer.H, layer.P, layer.bias)
    ways = [dict(zip(names, weights[k : k + each], strict=True)) for k in range(0, len(weights), each)]
    values, ends = loop.layer(
        cell, ways, x, dict(zip(cell.states, states, strict=True)), lengths=lengths, zone=zone,
        drop=drop, seed=seed, keep=tuple({"h": 0} | dict.fromkeys(keep)), gradients=grad_trace is not None,
    )  # fmt: skip
    dy, dfinals, dsaved = gradients
    pairs = [(torch.cat([value["h"] for value in values], -1), dy), *zip(ends.values(), dfinals, strict=True)]
    if dsaved is not None:
        columns = {column: name for name, column in layer.columns.items()}  # two names may share one
        for rows, value in zip(dsaved, values, strict=True):
            pairs += [
                (value[name], _column(layer, rows, k, value[name].shape[-1]))
                for k, name in columns.items()
                if name in value
            ]
    pairs = [(value, gradient) for value, gradient in pairs if gradient is not None and value.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    wanted = [tensor for tensor, need in zip(inputs, needs, strict=True) if need]
    outputs, seeds = zip(*pairs, strict=True)
    made = iter(torch.autograd.grad(outputs, wanted, seeds, create_graph=again, allow_unused=True))
    if grad_trace is not None:
        for rows, value in zip(grad_trace, values, strict=True):
            for name, k in layer.grad_columns.items():
                if f"d{name}" in value:
                    _column(layer, rows, k, value[name].shape[-1]).copy_(value[f"d{name}"])
    return [next(made) if need else None for need in needs]


def _column(layer: core.Layer, rows: Tensor, k: int, width: int) -> Tensor:
    return rows.narrow(-1, k * layer.H, width)


def view_trace(
    recipe: core.Recipe, y: Tensor, saved: Tensor, hidden_size: int, grad_trace: Tensor | None
) -> list[dict[str, Tensor]]:
    """By direction, the kept values (T, B, ·) where they lie in y and in what was saved, and their gradients, di for i,
    where the backward pass writes them.
    """
    sizes, trace = [hidden_size] * recipe.saved + [recipe.scalars], []
    for d, (rows, out) in enumerate(zip(saved.unbind(0), y.chunk(saved.shape[0], -1), strict=True)):
        columns = rows.split(sizes, -1)
        values = {name: out if k < 0 else columns[k] for name, k in zip(recipe.keep, recipe.columns, strict=True)}
        if grad_trace is not None:
            columns = grad_trace[d].split(hidden_size, -1)
            values |= {f"d{name}": columns[k] for name, k in zip(recipe.keep, recipe.grad_columns, strict=True)}
        narrow = zip(values.items(), recipe.narrow * 2, strict=False)
        trace.append({name: v[..., : out.shape[-1]] if cut else v for (name, v), cut in narrow})
    return trace


def make_grad_trace(recipe: core.Recipe, x: Tensor, directions: int, hidden_size: int) -> Tensor:
    """Memory for the gradients of what is kept."""
    return x.new_zeros(directions, *x.shape[:2], (max(recipe.grad_columns) + 1) * hidden_size)


# The operators. What is kept always lies as in training, for a graph may be recorded in one mode and run in another;
# its names stand in one string, apart by spaces, since torch.jit.trace knows no lists of strings.

LIBRARY = torch.library.Library("gated", "DEF")
INPUTS = "str program, Tensor x, Tensor[] states, Tensor[] weights, Tensor? lengths, Tensor? seed, str keep"
LIBRARY.define(f"scan({INPUTS}, bool train, SymInt chunk, bool bf16) -> Tensor[]", tags=(torch.Tag.pt2_compliant_tag,))
LIBRARY.define(
    f"scan_backward({INPUTS}, SymInt chunk, bool bf16, Tensor y, Tensor saved, Tensor bounds, "
    "Tensor? dy, Tensor?[] dfinals, Tensor? dsaved, bool[] needs) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def _arguments(request: Request, tensors: Sequence[Any], train: bool) -> tuple[Any, ...]:
    """A request and its tensors as `gated::scan` takes them."""
    text, n, keep, chunk, bf16 = request
    lengths, seed, x, *rest = tensors
    return text, x, rest[:n], rest[n:], lengths, seed, " ".join(keep), train, chunk, bf16


def _request(*arguments: Any) -> tuple[Request, tuple[Any, ...]]:
    """The inverse of `_arguments`, without train, checked: a layer has done so, a stranger's graph has not."""
    text, x, states, weights, lengths, seed, keep, chunk, bf16 = arguments
    _check(text, x, states, weights, chunk)
    want(not bf16 or _native.bf16(), "gated::scan bf16", "a processor with products in bfloat16", "one without")
    return Request(text, len(states), tuple(keep.split()), chunk, bf16), (lengths, seed, x, *states, *weights)


def _cpu_scan(*arguments: Any) -> list[Tensor]:
    *inputs, train, chunk, bf16 = arguments
    request, tensors = _request(*inputs, chunk, bf16)
    request = request if train else request._replace(chunk=0)
    y, finals, saved, bounds = core.forward(core.find_layer(request, train, False, arguments[3]), request, tensors)
    return [y, *finals, *(y.new_empty(0) if tensor is None else tensor for tensor in (saved, bounds))]


def _cpu_scan_backward(*arguments: Any) -> list[Tensor]:
    *inputs, y, saved, bounds, dy, dfinals, dsaved, needs = arguments
    request, tensors = _request(*inputs)
    for name, given, many in (
        ("needs", needs, len(tensors) - 2),
        ("dfinals", dfinals, len(parse(request.text).states)),
    ):
        want(len(given) == many, f"gated::scan_backward {name}", f"{many} of them", len(given))
    layer = core.find_layer(request, True, False, arguments[3])
    made = core.backward(layer, request, tensors, (y, saved, bounds), (dy, dfinals, dsaved), needs)
    return [y.new_empty(0) if gradient is None else gradient for gradient in made]


def _check(text: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], chunk: Any) -> None:
    """Counts, axes and numbers, before sizes are read off them; sizes are checked by `core`, addresses too."""
    where = "gated::scan"
    want(x.dim() == 3, f"{where} x", "3 axes (T, B, I)", x.dim(), error=InputTensorError)
    matrices = len(weights) >= 2 and weights[0].dim() == weights[1].dim() == 2
    want(matrices, f"{where} weights", "weight_ih and weight_hh first", [tuple(w.shape) for w in weights[:2]])
    many = len(parse(text).states)
    want(len(states) in (0, many), f"{where} states", f"none or {many}", len(states))
    if isinstance(chunk, int):
        within(f"{where} chunk", chunk, 0, LONG)


def _fake_scan(text: str, x: Tensor, states: Any, weights: Sequence[Tensor], *rest: Any) -> list[Tensor]:
    *_, keep, train, chunk, _ = rest
    _check(text, x, states, weights, chunk)
    spec = core.make_plan(text, tuple(keep.split()), train or bool(keep), False)[1].spec
    D, _ = core.count_directions(spec, len(weights), weights[2].dim() if len(weights) > 2 else 0)
    (T, B, _), P, H = x.shape, weights[1].shape[1], weights[0].shape[0] // len(spec["x_rows"])
    finals = [x.new_empty(D, B, P if k == spec["h"] else H) for k in range(spec["states"])]
    row, again = spec["saved"] * H + spec["scalars"], train and not (isinstance(chunk, int) and chunk == 0)
    saved = x.new_empty(D, T, B, row) if not again and (row or keep) else x.new_empty(0)
    bounds = x.new_empty(D, -(-T // chunk), B, (spec["states"] - 1) * H) if again else x.new_empty(0)
    return [x.new_empty(T, B, D * P), *finals, saved, bounds]


def _fake_scan_backward(
    program: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], *rest: Any
) -> list[Tensor]:
    dx = core.empty_like_input(x, lambda shape, x: x.new_empty(shape))
    made = [dx, *[tensor.new_empty(tensor.shape) for tensor in (*states, *weights)]]
    return [gradient if need else x.new_empty(0) for gradient, need in zip(made, rest[-1], strict=True)]


def _autograd(*arguments: Any) -> Sequence[Tensor]:
    *inputs, _, chunk, bf16 = arguments
    request, tensors = _request(*inputs, chunk, bf16)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors[2:]):
        return list(_Scan.apply(request, None, True, *tensors))  # type: ignore[arg-type]
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.gated.scan.default(*arguments)


def _autograd_backward(*arguments: Any) -> Any:
    differentiable = any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in trees.leaves(arguments))
    if torch.is_grad_enabled() and differentiable:
        refuse(
            "gated::scan_backward", "no gradient of the gradient", "tensors that require one", "Run the layer itself."
        )
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.gated.scan_backward.default(*arguments)


def _autocast(*arguments: Any) -> Sequence[Tensor]:
    """As torch's LSTM: results in the lower precision; inside products in bfloat16, sums and states in float32."""
    text, x, states, weights, *rest, bf16 = arguments
    to, low = weights[0].dtype, torch.get_autocast_dtype("cpu")
    casts = to == torch.float32
    bf16 = bf16 or (casts and low == torch.bfloat16 and _native.bf16())
    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)):
        states = [state.to(to) for state in states]
        *outputs, saved, bounds = torch.ops.gated.scan.default(text, x.to(to), states, weights, *rest, bf16)
    return [*(value.to(low) if casts else value for value in outputs), saved, bounds]


LIBRARY.impl("scan", _cpu_scan, "CPU")
LIBRARY.impl("scan_backward", _cpu_scan_backward, "CPU")
LIBRARY.impl("scan", _autograd, "Autograd")
LIBRARY.impl("scan_backward", _autograd_backward, "Autograd")
LIBRARY.impl("scan", _autocast, "AutocastCPU")
torch.library.register_fake("gated::scan", _fake_scan, lib=LIBRARY)
torch.library.register_fake("gated::scan_backward", _fake_scan_backward, lib=LIBRARY)
