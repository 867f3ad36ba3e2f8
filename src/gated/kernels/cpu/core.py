"""Calls to the native core: plans from programs, memory from torch, addresses that the core may follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
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
FIXED = len(_native.PARAMETERS)  # come first among a direction's addresses; the cell's own vectors follow


class Source(NamedTuple):
    """What a program's text was traced from."""

    cell: Cell
    zone: tuple[float, ...]
    drop: float


SOURCES: dict[str, Source] = {}


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
    rates = {name: rate for name, rate in zip(cell.states, zone, strict=True) if rate}
    program = trace(cell, zone=rates, noise=noise, drop=drop if noise else 0.0)
    text, keep = str(program), tuple(name for name, _ in program.results)
    SOURCES[text] = Source(cell, zone, drop)
    _, low = make_plan(text, keep, True, grad_trace)
    return Recipe(
        text,
        keep,
        tuple(_column(low.columns[name].operand) for name in keep),
        tuple(low.grad_trace[name].operand % 256 for name in keep if grad_trace),
        tuple(low.columns[name].narrow for name in keep),
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
    kept: bool
    noisy: bool
    bias: bool
    places: tuple[tuple[int, int], ...]  # of each parameter: its index among the addresses, and how many numbers it has
    addresses: int


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
    places = [(_native.PARAMETERS.index(name), count) for name, count in counts.items()]
    places += [(FIXED + k, H) for k in range(spec["vectors"])]
    addresses = FIXED + spec["vectors"]
    return Layer(
        plan=plan,
        unseeded=unseeded,
        columns={name: _column(at.operand) for name, at in low.columns.items() if _column(at.operand) >= 0},
        grad_columns={name: at.operand % 256 for name, at in low.grad_trace.items()},
        D=D,
        I=I,
        H=H,
        P=P,
        widths=tuple(P if k == spec["h"] else H for k in range(spec["states"])),
        row=spec["saved"] * H + spec["scalars"],
        work=2 * D * H * (h_rows * P + x_rows * I),
        bound=(spec["states"] - 1) * H,
        kept=bool(keep),
        noisy=any(instruction[0] == OP["noise"] for instruction in spec["forward"]),
        bias=bias,
        places=tuple((place + d * addresses, size) for d in range(D) for place, size in places),
        addresses=D * addresses,
    )


@cache
def make_plan(
    text: str, keep: tuple[str, ...], train: bool, grad_trace: bool, seeded: bool = True
) -> tuple[_native.Plan, Lowered]:
    """The plan of a program. seeded: what is kept may get gradients of its own; its columns are the same without."""
    seeds = keep if train and seeded else ()
    low = lower(parse(text), keep=keep, train=train, seeds=seeds, grad_trace=keep if grad_trace else ())
    return _native.Plan(low.spec), low


def count_directions(spec: dict[str, Any], many: int, third: int) -> tuple[int, bool]:
    """Directions, and whether there are biases, from the number of parameters and the axes of the third of them."""
    count = 2 + spec["project"] + spec["recur"] + spec["vectors"]
    fits = [(D, bias) for D in (1, 2) for bias in (True, False) if D * (count + 2 * bias) == many]
    want(bool(fits), "gated::scan weights", f"{count} or {count + 2} tensors a direction", many)
    return fits[0] if len(fits) == 1 or third == 1 else fits[1]  # two matrices twice, or one with two biases


def find_layer(text: str, keep: tuple[str, ...], train: bool, grad_trace: bool, weights: Sequence[Tensor]) -> Layer:
    """The plan that serves these weights, from a cache."""
    third = weights[2].dim() if len(weights) > 2 else 0
    return _layer(text, keep, train, grad_trace, len(weights), third, weights[0].shape, weights[1].shape)


def dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_contiguous() else tensor.contiguous()


def _address(what: str, tensor: Tensor | None, count: int, dtype: torch.dtype, alive: list[Tensor]) -> int:
    """Where a tensor's numbers lie, one after another, 0 for none. The core trusts this; alive outlives the call."""
    if tensor is None:
        return 0
    if tensor.dtype is not dtype or tensor.numel() != count or not tensor.is_cpu:
        got = f"{tuple(tensor.shape)} of {tensor.dtype} on {tensor.device}"
        refuse(f"native {what}", f"{count} numbers of {dtype} on the processor", got)
    if not tensor.is_contiguous() or tensor.is_neg():  # torch may put off a change of sign
        tensor = tensor.resolve_neg().contiguous()
        alive.append(tensor)
    return tensor.data_ptr()


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


def _sized(
    layer: Layer, dtype: torch.dtype, T: int, B: int, weights: Sequence[Tensor], alive: list[Tensor]
) -> _native.Call:
    """A call with sizes and weights."""
    addresses = [0] * layer.addresses
    for (place, size), weight in zip(layer.places, weights, strict=True):
        addresses[place] = _address("weights", weight, size, dtype, alive)
    call = _native.Call(BYTES[dtype], T, B, layer.I, layer.H, layer.P, layer.D)
    call.weights = addresses
    return call


def stream_call(layer: Layer, states: Sequence[Tensor], weights: Sequence[Tensor]) -> _native.Call:
    """A call for `_native.Streams`: states (1, B, ·) that it updates in place; contiguous weights, of which it reads
    the cell's own vectors at every step and copies the rest.
    """
    call = _sized(layer, states[0].dtype, 1, states[0].shape[1], weights, [])
    call.s0 = call.finals = [state.data_ptr() for state in states]
    return call


def _call(layer: Layer, request: Request, alive: list[Tensor]) -> _native.Call:
    """What both passes take, as the core takes it."""
    x, states, seed = request.x, request.states, request.seed
    dtype = x.dtype
    if x.dim() != 3 or x.shape[2] != layer.I or dtype not in BYTES or not x.is_cpu:
        got = f"{tuple(x.shape)} of {dtype} on {x.device}"
        refuse("native input", f"shape (T, B, {layer.I}) of float32 or float64 on the processor", got)
    if x.is_neg():
        x = x.resolve_neg()
        alive.append(x)
    t, b, i = x.stride()
    if i != 1 and layer.I != 1:  # steps and rows may lie anyhow, features side by side
        x = x.contiguous()
        alive.append(x)
        t, b, _ = x.stride()
    if layer.noisy and seed is None:
        refuse("native seed", "a seed for each direction, for the program draws noise", "none")
    T, B, _ = x.shape
    call = _sized(layer, dtype, T, B, request.weights, alive)
    if states:
        rows = layer.D * B
        starts = [
            _address("state", s, rows * width, dtype, alive) for s, width in zip(states, layer.widths, strict=True)
        ]
    else:
        alive.append(zeros := _zeros(layer.D * B * layer.H, dtype))
        starts = [zeros.data_ptr()] * len(layer.widths)
    call.x, call.xt, call.xb = x.data_ptr(), t, b
    call.s0 = starts
    if request.lengths is not None:
        call.lengths = _address("lengths", request.lengths, B, torch.int64, alive)
    if seed is not None:
        call.seed = _address("seed", seed, layer.D, torch.int64, alive)
    if request.chunk:
        call.chunk = request.chunk
    if request.bf16:
        call.bf16 = True
    return call


def _threads(layer: Layer, steps: int, rows: int) -> int:
    """More threads than one where they save more than it takes to wake them."""
    return 1 if steps * rows * layer.work < SERIAL else torch.get_num_threads()


class Results(NamedTuple):
    """What a forward pass gives."""

    y: Tensor  # (T, B, D·P)
    finals: list[Tensor]  # (D, B, ·) of each state
    saved: Tensor | None  # (D, T, B, row), if anything is
    bounds: Tensor | None  # (D, chunks, B, bound): the states at the start of each chunk, if there are chunks


class Gradients(NamedTuple):
    """dL/d what a forward pass gave; None for zeros."""

    dy: Tensor | None
    dfinals: Sequence[Tensor | None]
    dsaved: Tensor | None


def forward(layer: Layer, request: Request) -> Results:
    """Run a layer. Its plan must be one that trains where a chunk is asked for."""
    alive: list[Tensor] = []
    call, x, chunk = _call(layer, request, alive), request.x, request.chunk
    (T, B, _), D = x.shape, layer.D
    y = allocator.empty((T, B, D * layer.P), x)
    finals = [x.new_empty((D, B, width)) for width in layer.widths]
    saved = bounds = None
    if chunk:
        bounds = x.new_zeros((D, -(-T // chunk), B, layer.bound))  # the core leaves the first
        call.bounds = bounds.data_ptr()
    elif layer.row or layer.kept:
        # A trace shows zeros past the ends, where the core writes nothing.
        shape = (D, T, B, layer.row)
        saved = x.new_zeros(shape) if request.lengths is not None and layer.kept else allocator.empty(shape, x)
        call.saved = saved.data_ptr()
    call.y, call.finals = y.data_ptr(), [final.data_ptr() for final in finals]
    call.threads = _threads(layer, T, B)
    layer.plan.forward(call)
    return Results(y, finals, saved, bounds)


def backward(
    layer: Layer,
    request: Request,
    results: Results,
    gradients: Gradients,
    needs: Sequence[bool],
    grad_trace: Tensor | None = None,
) -> list[Tensor | None]:
    """The gradients of x, the states and the parameters, where needed; those of kept values go to grad_trace."""
    alive: list[Tensor] = []
    call, x, chunk = _call(layer, request, alive), request.x, request.chunk
    (T, B, _), D, dtype = x.shape, layer.D, x.dtype
    rows = D * T * B
    call.y = _address("y", results.y, rows * layer.P, dtype, alive)
    if chunk:
        call.bounds = _address("bounds", results.bounds, D * -(-T // chunk) * B * layer.bound, dtype, alive)
    elif layer.row:
        call.saved = _address("saved", results.saved, rows * layer.row, dtype, alive)
    call.dy = _address("gradient", gradients.dy, rows * layer.P, dtype, alive)
    call.dfinals = [
        _address("gradient", d, D * B * width, dtype, alive)
        for d, width in zip(gradients.dfinals, layer.widths, strict=True)
    ]
    if gradients.dsaved is not None:
        call.dsaved = _address("gradient", gradients.dsaved, rows * layer.row, dtype, alive)
    dx = empty_like_input(x, allocator.empty) if needs[0] else None
    if dx is not None:
        call.dx = dx.data_ptr()
        call.dxt, call.dxb = dx.stride()[:2]
    made = [
        x.new_empty(tensor.shape) if need else None
        for tensor, need in zip((*request.states, *request.weights), needs[1:], strict=True)
    ]
    into, n = [0 if gradient is None else gradient.data_ptr() for gradient in made], len(request.states)
    addresses = [0] * layer.addresses
    for (place, _), address in zip(layer.places, into[n:], strict=True):
        addresses[place] = address
    call.ds0, call.dweights = into[:n] or [0] * len(layer.widths), addresses
    if grad_trace is not None:
        call.grad_trace = grad_trace.data_ptr()
    call.threads = _threads(layer, 2 * T, B)
    plan = layer.unseeded if gradients.dsaved is None else layer.plan
    plan.backward(call)
    return [dx, *made]
