"""The native core as an operator of torch: one call is one layer, all steps, all directions, forward or backward.

`gated::scan` and `gated::scan_backward` carry the cell's program as text, so a compiled or exported graph holds all it
needs, in one node a layer. `scan` is the way in: it calls the core itself where nobody listens, which saves most of an
operator's overhead, and the operator where something does (tracing, dispatch modes, autocast).

There is no second derivative in the core: a backward pass that shall itself be differentiated runs the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch._C._functorch import get_dynamic_layer_stack_depth  # how many of vmap, jvp, grad … are at work

from gated import _native
from gated._check import refuse, want
from gated.kernels import core, loop

PLAIN = {Tensor, torch.nn.Parameter}  # no subclass that wants to see the operators on it


def heard() -> bool:
    """Whether anything follows torch's operators at the moment, to record, transform or fake them."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state() is not None
        or torch.is_autocast_enabled("cpu")
    )


def transformed() -> bool:
    """Whether vmap, jvp, grad or their like are at work, which the operator has no rules for."""
    return get_dynamic_layer_stack_depth() > 0 or forward_ad._current_level >= 0


def scan(
    text: str,
    x: Tensor,
    states: Sequence[Tensor],
    weights: list[Tensor],
    *,
    lengths: Tensor | None = None,
    seed: Tensor | None = None,
    keep: tuple[str, ...] = (),
    watch: Tensor | None = None,
    chunk: int = 0,
    bf16: bool = False,
) -> Sequence[Tensor]:
    """One layer of the program `text` on x (T, B, I): y (T, B, D·P), each state after the last step, what is saved.

    states: (D, B, ·) each, or none for zeros. weights: by direction, in the order of `Cell.shapes`. lengths (B,), seed
    (D,): see `loop.layer`. keep: values whose columns `views` finds in the last result. watch, from `watching`, gets
    their gradients in the backward pass. chunk: forget what is between the states of every so many steps until then.
    """
    if not PLAIN.issuperset(map(type, (x, *states, *weights))) or heard():
        return torch.ops.gated.scan.default(text, x, states, weights, lengths, seed, " ".join(keep), False, chunk, bf16)
    train = torch.is_grad_enabled() and (
        x.requires_grad or any([w.requires_grad for w in weights]) or any([s.requires_grad for s in states])
    )
    if not train:
        call = core.called(text, keep, bool(keep), watch is not None, weights)
        return core.forward(call, x, states, weights, lengths, seed, 0, bf16)
    how = How(text, keep, len(states), chunk, bf16, watch, False)
    return _Scan.apply(how, lengths, seed, x, *states, *map(core.dense, weights))  # type: ignore[return-value]


class How(NamedTuple):
    """What `_Scan` needs that is no tensor of its graph."""

    text: str
    keep: tuple[str, ...]
    states: int
    chunk: int
    bf16: bool
    watch: Tensor | None
    heard: bool


class _Scan(torch.autograd.Function):
    """The layer and its gradient: by the core itself, or where something listens by the two operators."""

    @staticmethod
    def forward(ctx: Any, how: How, lengths: Tensor | None, seed: Tensor | None, x: Tensor, *rest: Tensor) -> Any:
        states, weights = rest[: how.states], rest[how.states :]
        if how.heard:
            with torch._C._AutoDispatchBelowAutograd():
                y, *finals, saved, bounds = torch.ops.gated.scan.default(
                    how.text, x, states, weights, lengths, seed, " ".join(how.keep), True, how.chunk, how.bf16
                )
        else:
            call = core.called(how.text, how.keep, True, how.watch is not None, weights)
            y, *rest_ = core.forward(call, x, states, weights, lengths, seed, how.chunk, how.bf16)
            n = len(call.widths)
            finals, (saved, bounds) = rest_[:n], [*rest_[n:], None, None][:2]
        ctx.how, ctx.finals = how, len(finals)
        ctx.save_for_backward(lengths, seed, y, saved, bounds, x, *rest)
        ctx.set_materialize_grads(False)
        if how.heard:
            ctx.mark_non_differentiable(*([bounds] if how.keep else [saved, bounds]))
            return y, *finals, saved, bounds
        return (y, *finals, saved) if how.keep else (y, *finals)

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> Any:
        how, n = ctx.how, ctx.finals
        lengths, seed, y, saved, bounds, x, *rest = ctx.saved_tensors
        states, weights, needs = rest[: how.states], rest[how.states :], ctx.needs_input_grad[3:]
        dy, dfinals, dsaved = given[0], list(given[1 : n + 1]), given[n + 1] if how.keep else None
        if torch.is_grad_enabled():
            return None, None, None, *_again(how, x, states, weights, lengths, seed, dy, dfinals, dsaved, needs)
        more = (how.chunk, how.bf16, y, saved, bounds, dy, dfinals, dsaved, needs)
        if how.heard:
            keep = " ".join(how.keep)
            found = torch.ops.gated.scan_backward.default(how.text, x, states, weights, lengths, seed, keep, *more)
            found = [gradient if need else None for gradient, need in zip(found, needs, strict=True)]
        else:
            call = core.called(how.text, how.keep, True, how.watch is not None, weights)
            found = core.backward(call, x, states, weights, lengths, seed, *more, how.watch)
        return None, None, None, *found


def _again(
    how: How,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    seed: Tensor | None,
    dy: Tensor | None,
    dfinals: Sequence[Tensor | None],
    dsaved: Tensor | None,
    needs: Sequence[bool],
) -> Sequence[Tensor | None]:
    """The gradients by the definition, so that they have gradients themselves."""
    call = core.called(how.text, how.keep, True, how.watch is not None, weights)
    if how.text not in core.SOURCES:
        todo = "Differentiate the layer it was exported from."
        refuse("second derivatives", "a program traced from a cell here", "the text of one", todo)
    source = core.SOURCES[how.text]
    # A view of each, for the same tensor may have come in two places, and each place has its gradient.
    inputs = [tensor.view_as(tensor) for tensor in (x, *states, *weights)]
    x, states, weights = inputs[0], inputs[1 : 1 + len(states)], inputs[1 + len(states) :]
    state = (
        dict(zip(source.cell.states, states, strict=True))
        if states
        else {
            name: x.new_zeros(call.D, x.shape[1], width)
            for name, width in zip(source.cell.states, call.widths, strict=True)
        }
    )
    each = len(weights) // call.D
    names = source.cell.shapes(call.I, call.H, call.P, call.spots[2][0] == 2)
    ways = [dict(zip(names, weights[k : k + each], strict=True)) for k in range(0, len(weights), each)]
    values, ends = loop.layer(
        source.cell, ways, x, state, lengths=lengths, zone=source.zone, drop=source.drop, seed=seed,
        keep=tuple({"h": 0} | dict.fromkeys(how.keep)), gradients=how.watch is not None,
    )  # fmt: skip
    pairs = [(torch.cat([value["h"] for value in values], -1), dy), *zip(ends.values(), dfinals, strict=True)]
    if dsaved is not None:
        columns = {column: name for name, column in call.columns.items()}  # two names may share one
        for way, value in zip(dsaved, values, strict=True):
            pairs += [
                (value[name], _column(call, way, k)[..., : value[name].shape[-1]])
                for k, name in columns.items()
                if name in value
            ]
    pairs = [(value, gradient) for value, gradient in pairs if gradient is not None and value.requires_grad]
    wanted = [tensor for tensor, need in zip(inputs, needs, strict=True) if need]
    if not pairs:
        return [None] * len(inputs)
    outputs, gradients = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=True, allow_unused=True))
    if how.watch is not None:
        for into, value in zip(how.watch, values, strict=True):
            for name, k in call.watched.items():
                if f"d{name}" in value:
                    _column(call, into, k)[..., : value[name].shape[-1]].copy_(value[f"d{name}"])
    return [next(found) if need else None for need in needs]


def _column(call: core.Call, rows: Tensor, k: int) -> Tensor:
    return rows[..., k * call.H : (k + 1) * call.H]


def views(recipe: core.Recipe, y: Tensor, saved: Tensor, hidden_size: int) -> list[dict[str, Tensor]]:
    """By direction, the kept values (T, B, ·) where they lie in y and in what was saved."""
    sizes, found = [hidden_size] * recipe.saved + [recipe.scalars], []
    for rows, out in zip(saved.unbind(0), y.chunk(saved.shape[0], -1), strict=True):
        columns, P = rows.split(sizes, -1), out.shape[-1]
        values = [out if k < 0 else columns[k] for k in recipe.columns]
        values = [v[..., :P] if narrow else v for v, narrow in zip(values, recipe.narrow, strict=True)]
        found.append(dict(zip(recipe.keep, values, strict=True)))
    return found


def watching(
    recipe: core.Recipe, x: Tensor, directions: int, hidden_size: int, out: int
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Where the backward pass shall leave the gradients of what is kept, and by direction its parts, named di for i."""
    width = (max(recipe.watched) + 1) * hidden_size
    rows = x.new_zeros(directions, x.shape[0], x.shape[1], width)
    found = []
    for way in rows.unbind(0):
        columns = way.split(hidden_size, -1)
        values = [
            columns[k][..., :out] if n else columns[k] for k, n in zip(recipe.watched, recipe.narrow, strict=True)
        ]
        found.append({f"d{name}": value for name, value in zip(recipe.keep, values, strict=True)})
    return rows, found


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


def _cpu_scan(
    program: str,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    seed: Tensor | None,
    keep: str,
    train: bool,
    chunk: int,
    bf16: bool,
) -> list[Tensor]:
    _can(bf16)
    call = core.called(program, keep.split(), train or bool(keep), False, weights)
    found = core.forward(call, x, states, weights, lengths, seed, chunk if train else 0, bf16)
    return found + [x.new_empty(0) for _ in range(3 + len(call.widths) - len(found))]


def _cpu_scan_backward(
    program: str,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    seed: Tensor | None,
    keep: str,
    chunk: int,
    bf16: bool,
    y: Tensor,
    saved: Tensor,
    bounds: Tensor,
    dy: Tensor | None,
    dfinals: Sequence[Tensor | None],
    dsaved: Tensor | None,
    needs: Sequence[bool],
) -> list[Tensor]:
    _can(bf16)
    call = core.called(program, keep.split(), True, False, weights)
    more = (chunk, bf16, y, saved, bounds, dy, dfinals, dsaved, needs, None)
    found = core.backward(call, x, states, weights, lengths, seed, *more)
    return [x.new_empty(0) if gradient is None else gradient for gradient in found]


def _can(bf16: bool) -> None:
    """What a layer has checked, and a graph from another machine has not."""
    want(not bf16 or _native.bf16(), "gated::scan bf16", "a processor with products in bfloat16", "one without")


def _fake_scan(
    program: str,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    seed: Tensor | None,
    keep: str,
    train: bool,
    chunk: Any,
    bf16: bool,
) -> list[Tensor]:
    spec = core.planned(program, tuple(keep.split()), train or bool(keep), False)[1].spec
    D, _ = core.sizes(spec, len(weights), weights[2].dim() if len(weights) > 2 else 0)
    (T, B, _), P, H = x.shape, weights[1].shape[1], weights[0].shape[0] // len(spec["x_rows"])
    finals = [x.new_empty(D, B, P if k == spec["h"] else H) for k in range(spec["states"])]
    row, again = spec["saved"] * H + spec["scalars"], train and not (isinstance(chunk, int) and chunk == 0)
    saved = x.new_empty(D, T, B, row) if not again and (row or keep) else x.new_empty(0)
    bounds = x.new_empty(D, -(-T // chunk), B, (spec["states"] - 1) * H) if again else x.new_empty(0)
    return [x.new_empty(T, B, D * P), *finals, saved, bounds]


def _fake_scan_backward(
    program: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], *rest: Any
) -> Any:
    needs = rest[-1]
    dx = core.like(x, lambda shape, x: x.new_empty(shape))
    found = [dx, *[w.new_empty(w.shape) for w in (*states, *weights)]]
    return [gradient if need else x.new_empty(0) for gradient, need in zip(found, needs, strict=True)]


def _autograd(
    program: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], lengths: Any, seed: Any, *rest: Any
) -> Sequence[Tensor]:
    keep, _, chunk, bf16 = rest
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *states, *weights)):
        how = How(program, tuple(keep.split()), len(states), chunk, bf16, None, True)
        return list(_Scan.apply(how, lengths, seed, x, *states, *weights))  # type: ignore[arg-type]
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.gated.scan.default(program, x, states, weights, lengths, seed, *rest)


def _autograd_backward(*given: Any) -> Any:
    tensors = [
        t for part in given for t in (part if isinstance(part, list | tuple) else [part]) if isinstance(t, Tensor)
    ]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        refuse(
            "gated::scan_backward", "no gradient of the gradient", "tensors that require one", "Run the layer itself."
        )
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.gated.scan_backward.default(*given)


def _autocast(
    program: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], lengths: Any, seed: Any, *rest: Any
) -> Sequence[Tensor]:
    """As torch's LSTM: results in the lower precision; inside products in bfloat16, sums and states in float32."""
    keep, train, chunk, bf16 = rest
    to, low = weights[0].dtype, torch.get_autocast_dtype("cpu")
    casts = to == torch.float32
    bf16 = bf16 or (casts and low == torch.bfloat16 and _native.bf16())
    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)):
        states = [state.to(to) for state in states]
        given = (program, x.to(to), states, weights, lengths, seed, keep, train, chunk, bf16)
        *found, saved, bounds = torch.ops.gated.scan.default(*given)
    return [*(value.to(low) if casts else value for value in found), saved, bounds]


LIBRARY.impl("scan", _cpu_scan, "CPU")
LIBRARY.impl("scan_backward", _cpu_scan_backward, "CPU")
LIBRARY.impl("scan", _autograd, "Autograd")
LIBRARY.impl("scan_backward", _autograd_backward, "Autograd")
LIBRARY.impl("scan", _autocast, "AutocastCPU")
torch.library.register_fake("gated::scan", _fake_scan, lib=LIBRARY)
torch.library.register_fake("gated::scan_backward", _fake_scan_backward, lib=LIBRARY)
