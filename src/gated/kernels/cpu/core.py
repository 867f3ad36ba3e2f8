"""Calls to the native core: plans from programs, memory from torch, addresses that the core may follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gated import _native
from gated._check import refuse, want
from gated.cells import Cell
from gated.kernels.cpu import allocator
from gated.kernels.cpu.plan import OP, SAVED, Lowered, lower
from gated.kernels.program import parse
from gated.kernels.request import Request
from gated.kernels.trace import trace

BYTES = {torch.float32: 4, torch.float64: 8}
SERIAL = 3_000_000  # products and sums that one thread does sooner than two


# dL/d what a forward pass gave: y, the final states, what is saved; None for zeros.
Gradients = tuple[Tensor | None, Sequence[Tensor | None], Tensor | None]


# By a program's text what it was traced from: the cell, zoneout's rates by state, the rate of recurrent dropout.
SOURCES: dict[str, tuple[Cell, tuple[float, ...], float]] = {}


class Recipe(NamedTuple):
    """A cell's program, and where a trace finds the values: plain data, for layers to keep."""

    text: str
    keep: tuple[str, ...]  # all names that the cell returns
    columns: tuple[int, ...]  # of what is saved; -1 for h, which the output holds
    grad_columns: tuple[int, ...]  # of their gradients
    narrow: tuple[bool, ...]  # as wide as h, if that is projected
    saved: int  # columns
    scalars: int  # numbers after them


@cache
def recipe(cell: Cell, zone: tuple[float, ...], drop: float, noise: bool, grad_trace: bool = False) -> Recipe:
    """The program of a cell; `Unsupported`, with the line at fault, if its equations have none.

    zone: a rate for each state. noise: as in training, where zoneout and recurrent dropout draw their masks.
    grad_trace: with the gradients of all values.
    """
    rates = dict(zip(cell.states, zone, strict=True))
    program = trace(cell, zone=rates, noise=noise, drop=drop if noise else 0.0)
    text, keep = str(program), tuple(name for name, _ in program.results)
    SOURCES[text] = cell, zone, drop
    _, low = make_plan(text, keep, True, grad_trace)
    return Recipe(
        text,
        keep,
        tuple(_column(operand) for operand in low.columns.values()),
        tuple(operand % 256 for operand in low.grad_trace.values()),
        tuple(low.narrow.values()),
        low.spec["saved"],
        low.spec["scalars"],
    )


def _column(operand: int) -> int:
    return operand % 256 if operand & ~255 == SAVED else -1


class Layer(NamedTuple):
    """A plan for layers of one size: what to allocate, and where each parameter's address goes."""

    plan: _native.Plan
    unseeded: _native.Plan  # where no gradient came for what was kept
    columns: dict[str, int]  # of `saved` by kept name; h, which y holds, has none
    grad_columns: dict[str, int]  # of `grad_trace` by kept name
    D: int
    I: int
    H: int
    P: int
    widths: tuple[int, ...]  # of the states
    row: int  # numbers saved for a step of a sequence
    work: int  # multiplications and additions of a step of a sequence
    bound: int  # numbers to begin a chunk with, h apart
    noisy: bool
    bias: bool
    vectors: int  # of the cell's own, the last parameters of a direction
    sizes: tuple[int, ...]  # how many numbers each parameter has
    slots: Callable[[Sequence[int]], Sequence[int]]  # from the parameters' addresses, and a 0 for those it has not


@lru_cache(4096)
def _layer(
    text: str, keep: tuple[str, ...], train: bool, grad_trace: bool, many: int, third: int, ih: tuple, hh: tuple
) -> Layer:
    """A plan from the program's text and the shapes of its parameters: their number, and the first two; see
    `count_directions`.
    """
    plan, low = make_plan(text, keep, train, grad_trace)
    unseeded = make_plan(text, keep, train, grad_trace, False)[0] if keep and train else plan
    spec = low.spec
    D, bias = count_directions(spec, many, third)
    (rows, I), P = ih, hh[1]
    H, x_rows, h_rows = rows // len(spec["x_rows"]), len(spec["x_rows"]), len(spec["h_rows"])
    fits = H > 0 and (rows, hh[0]) == (H * x_rows, H * h_rows) and (P == H or (0 < P < H and spec["project"]))
    expected = f"weight_ih ({x_rows} H, I) and weight_hh ({h_rows} H, H{' or less' * bool(spec['project'])})"
    want(fits, "native weights", expected, f"{tuple(ih)} and {tuple(hh)}")
    counts = dict(weight_ih=rows * I, weight_hh=hh[0] * P)
    counts |= dict(bias_ih=rows, bias_hh=hh[0]) if bias else {}
    counts |= {word: P * H for word in ("project", "recur") if spec[word]}
    vectors = {f"vector {k}": H for k in range(spec["vectors"])}
    counts |= vectors
    place = {name: k for k, name in enumerate(counts)}
    names = (*_native.PARAMETERS, *vectors)
    slots = [place[name] + d * len(place) if name in place else -1 for d in range(D) for name in names]
    return Layer(
        plan=plan,
        unseeded=unseeded,
        columns={name: _column(operand) for name, operand in low.columns.items() if _column(operand) >= 0},
        grad_columns={name: operand % 256 for name, operand in low.grad_trace.items()},
        D=D,
        I=I,
        H=H,
        P=P,
        widths=tuple(P if k == spec["h"] else H for k in range(spec["states"])),
        row=spec["saved"] * H + spec["scalars"],
        work=2 * D * H * (h_rows * P + x_rows * I),
        bound=(spec["states"] - 1) * H,
        noisy=any(instruction[0] == OP["noise"] for instruction in spec["forward"]),
        bias=bias,
        vectors=spec["vectors"],
        sizes=tuple(counts.values()) * D,
        slots=itemgetter(*slots),
    )


@cache
def make_plan(
    text: str, keep: tuple[str, ...], train: bool, grad_trace: bool, seeded: bool = True
) -> tuple[_native.Plan, Lowered]:
    """The plan of a program. seeded: what is kept may get gradients of its own; its columns are the same without."""
    low = lower(parse(text), keep, train, seeded, grad_trace)
    return _native.Plan(low.spec), low


def count_directions(spec: dict[str, Any], many: int, third: int) -> tuple[int, bool]:
    """Directions, and whether there are biases, from the number of parameters and the axes of the third of them."""
    count = 2 + spec["project"] + spec["recur"] + spec["vectors"]
    fits = [(D, bias) for D in (1, 2) for bias in (True, False) if D * (count + 2 * bias) == many]
    want(bool(fits), "gated::scan weights", f"{count} or {count + 2} tensors a direction", many)
    return fits[0] if len(fits) == 1 or third == 1 else fits[1]  # two matrices twice, or one with two biases


def find_layer(request: Request, train: bool, grad_trace: bool, weights: Sequence[Tensor]) -> Layer:
    """The plan that serves these weights, from a cache. What is kept lies in evaluation as it lies in training."""
    third = weights[2].dim() if len(weights) > 2 else 0
    text, _, keep, _, _ = request
    train = train or bool(keep)
    return _layer(text, keep, train, grad_trace, len(weights), third, weights[0].shape, weights[1].shape)


def _address(
    what: str, tensors: Iterable[Tensor | None], sizes: Iterable[int], dtype: torch.dtype, alive: list[Tensor]
) -> list[int]:
    """Where each tensor's numbers lie, one after another, 0 for none. The core trusts this; alive outlives the call."""
    addresses = []
    for tensor, size in zip(tensors, sizes, strict=True):
        if tensor is None:
            addresses.append(0)
            continue
        if tensor.dtype is not dtype or tensor.numel() != size or not tensor.is_cpu:
            got = f"{tuple(tensor.shape)} of {tensor.dtype} on {tensor.device}"
            refuse(f"native {what}", f"{size} numbers of {dtype} on the processor", got)
        if not tensor.is_contiguous() or tensor.is_neg():  # torch may put off a change of sign
            tensor = tensor.resolve_neg().contiguous()
            alive.append(tensor)
        addresses.append(tensor.data_ptr())
    return addresses


def empty_like_input(x: Tensor, empty: Callable[[tuple[int, ...], Tensor], Tensor]) -> Tensor:
    """Memory for dx: batch first where x is."""
    T, B, I = x.shape
    return empty((B, T, I), x).transpose(0, 1) if x.stride()[:2] == (I, T * I) else empty((T, B, I), x)


ZEROS: dict[torch.dtype, Tensor] = {}


def _zeros(count: int, dtype: torch.dtype) -> Tensor:
    """At least so many, which nobody writes: one tensor for all states that start at zero."""
    zeros = ZEROS.get(dtype)
    if zeros is None or zeros.numel() < count:
        zeros = ZEROS[dtype] = torch.zeros(max(count, 1024), dtype=dtype, device="cpu")
    return zeros


def stream_call(layer: Layer, states: Sequence[Tensor], weights: Sequence[Tensor]) -> _native.Call:
    """A call for `_native.Streams`: states (1, B, ·) that it updates in place; contiguous weights, of which it reads
    the cell's own vectors at every step and copies the rest.
    """
    dtype = states[0].dtype
    call = _native.Call(BYTES[dtype], 1, states[0].shape[1], layer.I, layer.H, layer.P, layer.D)
    call.weights = layer.slots((*_address("weights", weights, layer.sizes, dtype, []), 0))
    call.s0 = call.finals = [state.data_ptr() for state in states]
    return call


def _call(
    layer: Layer, request: Request, tensors: Sequence[Any], alive: list[Tensor]
) -> tuple[_native.Call, Tensor, int, int]:
    """What both passes take, as the core takes it; x, T and B."""
    lengths, seed, x, *rest = tensors
    dtype, shape, strides, n = x.dtype, x.shape, x.stride(), request.states
    if len(shape) != 3 or shape[2] != layer.I or dtype not in BYTES or not x.is_cpu:
        got = f"{tuple(shape)} of {dtype} on {x.device}"
        refuse("native input", f"shape (T, B, {layer.I}) of float32 or float64 on the processor", got)
    T, B, I = shape
    if x.is_neg() or (I != 1 and strides[2] != 1):  # steps and rows may lie anyhow, features side by side
        x = x.resolve_neg().contiguous()
        strides = x.stride()
        alive.append(x)
    if layer.noisy and seed is None:
        refuse("native seed", "a seed for each direction, for the program draws noise", "none")
    call = _native.Call(BYTES[dtype], T, B, I, layer.H, layer.P, layer.D)
    call.weights = layer.slots((*_address("weights", rest[n:], layer.sizes, dtype, alive), 0))
    rows = layer.D * B
    if n:
        call.s0 = _address("state", rest[:n], [rows * width for width in layer.widths], dtype, alive)
    else:
        alive.append(zeros := _zeros(rows * layer.H, dtype))
        call.s0 = [zeros.data_ptr()] * len(layer.widths)
    call.x = x.data_ptr()
    call.xt, call.xb, _ = strides
    if lengths is not None:
        (call.lengths,) = _address("lengths", (lengths,), (B,), torch.int64, alive)
    if seed is not None:
        (call.seed,) = _address("seed", (seed,), (layer.D,), torch.int64, alive)
    if request.chunk:
        call.chunk = request.chunk
    if request.bf16:
        call.bf16 = True
    return call, x, T, B


def _threads(layer: Layer, steps: int, rows: int) -> int:
    """More threads than one where they save more than it takes to wake them."""
    return 1 if steps * rows * layer.work < SERIAL else torch.get_num_threads()


def forward(
    layer: Layer, request: Request, tensors: Sequence[Any]
) -> tuple[Tensor, list[Tensor], Tensor | None, Tensor | None]:
    """Run a layer. Its plan must be one that trains where a chunk is asked for.

    Gives y (T, B, D·P), each state after the last step (D, B, ·), what is saved (D, T, B, row), if anything is, and the
    states at the start of each chunk (D, chunks, B, bound), if there are chunks.
    """
    alive: list[Tensor] = []
    call, x, T, B = _call(layer, request, tensors, alive)
    D, chunk = layer.D, request.chunk
    y = allocator.empty((T, B, D * layer.P), x)
    finals = [x.new_empty(D, B, width) for width in layer.widths]
    saved = bounds = None
    if chunk:
        bounds = x.new_zeros((D, -(-T // chunk), B, layer.bound))  # the core leaves the first
        call.bounds = bounds.data_ptr()
    elif layer.row or request.keep:
        # A trace shows zeros past the ends, where the core writes nothing.
        shape = (D, T, B, layer.row)
        saved = x.new_zeros(shape) if call.lengths and request.keep else allocator.empty(shape, x)
        call.saved = saved.data_ptr()
    call.y, call.finals = y.data_ptr(), [final.data_ptr() for final in finals]
    call.threads = _threads(layer, T, B)
    layer.plan.forward(call)
    return y, finals, saved, bounds


def backward(
    layer: Layer,
    request: Request,
    tensors: Sequence[Any],
    results: tuple[Tensor, Tensor | None, Tensor | None],
    gradients: Gradients,
    needs: Sequence[bool],
    grad_trace: Tensor | None = None,
) -> list[Tensor | None]:
    """The gradients of x, the states and the parameters, where needed; those of kept values go to grad_trace.

    results: of the forward pass, y, what is saved, and the chunks' states.
    """
    alive: list[Tensor] = []
    call, x, T, B = _call(layer, request, tensors, alive)
    y, saved, bounds = results
    dy, dfinals, dsaved = gradients
    D, n, chunk = layer.D, request.states, request.chunk
    rows = D * T * B
    if chunk:
        bound = D * -(-T // chunk) * B * layer.bound
        (call.bounds,) = _address("bounds", (bounds,), (bound,), x.dtype, alive)
        saved = None
    row, out = rows * layer.row, rows * layer.P
    call.y, call.saved, call.dy, call.dsaved = _address(
        "outputs and gradients", (y, saved if row else None, dy, dsaved), (out, row, out, row), x.dtype, alive
    )
    call.dfinals = _address("gradient", dfinals, [D * B * width for width in layer.widths], x.dtype, alive)
    dx = empty_like_input(tensors[2], allocator.empty) if needs[0] else None
    if dx is not None:
        call.dx = dx.data_ptr()
        call.dxt, call.dxb, _ = dx.stride()
    made = [
        torch.empty_like(tensor, memory_format=torch.contiguous_format) if need else None
        for tensor, need in zip(tensors[3:], needs[1:], strict=True)
    ]
    into = [0 if gradient is None else gradient.data_ptr() for gradient in made]
    call.ds0, call.dweights = into[:n] or [0] * len(layer.widths), layer.slots((*into[n:], 0))
    if grad_trace is not None:
        call.grad_trace = grad_trace.data_ptr()
    call.threads = _threads(layer, 2 * T, B)
    plan = layer.unseeded if dsaved is None else layer.plan
    plan.backward(call)
    return [dx, *made]
