"""Calls to the native core: plans from programs, memory from torch, addresses that the core may follow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gated import _native
from gated._check import refuse, want
from gated.cells import Cell
from gated.kernels.program import lower, parse, trace

BYTES = {torch.float32: 4, torch.float64: 8}
FIXED = 6  # places of weight_ih weight_hh bias_ih bias_hh project recur among a direction's addresses; vectors follow


class Source(NamedTuple):
    """What a program's text was traced from."""

    cell: Cell
    zone: tuple[float, ...]
    drop: float


SOURCES: dict[str, Source] = {}


@cache
def program(cell: Cell, zone: tuple[float, ...] = (), drop: float = 0.0, noise: bool = False) -> str:
    """A cell's program as text; `Unsupported`, with the line at fault, if its equations have none.

    zone: a rate for each state. noise: as in training, where zoneout and recurrent dropout draw their masks.
    """
    rates = {name: rate for name, rate in zip(cell.states, zone, strict=False) if rate}
    text = str(trace(cell, zone=rates, noise=noise, drop=drop if noise else 0.0))
    SOURCES[text] = Source(cell, zone, drop)
    return text


@cache
def names(text: str) -> tuple[str, ...]:
    """What a trace can show: the names of a program's values."""
    return tuple(parse(text).values)


class Call(NamedTuple):
    """A plan for layers of one size: what to allocate, and where each parameter's address goes."""

    plan: Any
    columns: dict[str, int]  # of `saved` by kept name; h, which y holds, has none
    watched: dict[str, int]  # columns of `watch`
    D: int
    I: int
    H: int
    P: int
    widths: tuple[int, ...]  # of the states
    row: int  # numbers saved for a step of a sequence
    bound: int  # numbers to begin again from, h apart
    watch: int  # numbers of gradients to show for a step of a sequence
    spots: tuple[tuple[int, int], ...]  # of each parameter: its place among the addresses, and how many numbers it has
    places: int


@lru_cache(4096)
def _call(
    text: str, keep: tuple[str, ...], train: bool, watch: bool, many: int, third: int, ih: tuple, hh: tuple
) -> Call:
    """A plan from the program's text and the shapes of its parameters: their number, and the first two; see `sizes`."""
    plan, low = planned(text, keep, train, watch)
    spec = low.spec
    D, bias = sizes(spec, many, third)
    (rows, I), P = ih, hh[1]
    H = rows // len(spec["x_rows"])
    fixed = [(0, rows * I), (1, hh[0] * P)]
    fixed += [(2, rows), (3, hh[0])] if bias else []
    fixed += [(4, P * H)] if spec["project"] else []
    fixed += [(5, H * P)] if spec["recur"] else []
    fixed += [(FIXED + k, H) for k in range(spec["vectors"])]
    places = FIXED + spec["vectors"]
    return Call(
        plan=plan,
        columns=low.columns,
        watched=low.watched,
        D=D,
        I=I,
        H=H,
        P=P,
        widths=tuple(P if k == spec["h"] else H for k in range(spec["states"])),
        row=spec["saved"] * H + spec["scalars"],
        bound=(spec["states"] - 1) * H,
        watch=spec["watched"] * H,
        spots=tuple((place + way * places, size) for way in range(D) for place, size in fixed),
        places=D * places,
    )


@cache
def planned(text: str, keep: tuple[str, ...], train: bool, watch: bool) -> tuple[Any, Any]:
    # Whatever is kept may get a gradient, and the rows of `saved` must be those that the backward pass expects.
    low = lower(parse(text), keep=keep, train=train, seeds=keep if train else (), watch=keep if watch else ())
    return _native.Plan(low.spec), low


def sizes(spec: dict[str, Any], many: int, third: int) -> tuple[int, bool]:
    """Directions, and whether there are biases, from the number of parameters and the axes of the third of them."""
    least = 2 + spec["project"] + spec["recur"] + spec["vectors"]
    fits = [(D, bias) for D in (1, 2) for bias in (True, False) if D * (least + 2 * bias) == many]
    want(bool(fits), "gated::scan weights", f"{least} or {least + 2} tensors a direction", many)
    return fits[0] if len(fits) == 1 or third == 1 else fits[1]  # two matrices twice, or one with two biases


def called(text: str, keep: Sequence[str], train: bool, watch: bool, weights: Sequence[Tensor]) -> Call:
    third = weights[2].dim() if len(weights) > 2 else 0
    return _call(text, tuple(keep), train, watch, len(weights), third, weights[0].shape, weights[1].shape)


def dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_contiguous() else tensor.contiguous()


def _addresses(call: Call, weights: Sequence[Tensor], dtype: torch.dtype, held: list[Tensor]) -> list[int]:
    """Where the parameters lie; that they hold what the core reads there. held: copies for the time of a call."""
    addresses = [0] * call.places
    for (place, size), weight in zip(call.spots, weights, strict=True):
        if weight.dtype is not dtype or weight.numel() != size or not weight.is_cpu:
            refuse(
                "native weights", f"{size} numbers of {dtype} on the processor", f"{weight.numel()} of {weight.dtype}"
            )
        if not weight.is_contiguous():
            weight = weight.contiguous()
            held.append(weight)
        addresses[place] = weight.data_ptr()
    return addresses


def _states(call: Call, states: Sequence[Tensor], rows: int, dtype: torch.dtype, held: list[Tensor]) -> list[int]:
    """Where the states before the first step lie; for states of zeros in one place, which nobody writes."""
    if not states:
        held.append(zeros := _zeros(call.D * rows * max(call.widths), dtype))
        return [zeros.data_ptr()] * len(call.widths)
    addresses = []
    for width, state in zip(call.widths, states, strict=True):
        if state.dtype is not dtype or state.numel() != call.D * rows * width or not state.is_cpu:
            refuse(
                "native state", f"shape {(call.D, rows, width)} of {dtype}", f"{tuple(state.shape)} of {state.dtype}"
            )
        if not state.is_contiguous():
            state = state.contiguous()
            held.append(state)
        addresses.append(state.data_ptr())
    return addresses


ZEROS: dict[torch.dtype, Tensor] = {}


def _zeros(count: int, dtype: torch.dtype) -> Tensor:
    found = ZEROS.get(dtype)
    if found is None or found.numel() < count:
        found = ZEROS[dtype] = torch.zeros(max(count, 1024), dtype=dtype, device="cpu")
    return found


def _strided(call: Call, x: Tensor) -> Tensor:
    """x with its features side by side; steps and rows may lie anyhow."""
    if x.dim() != 3 or x.shape[2] != call.I or x.dtype not in BYTES or not x.is_cpu:
        refuse("native input", f"shape (T, B, {call.I}) of float32 or float64", f"{tuple(x.shape)} of {x.dtype}")
    return x if x.stride(2) == 1 or call.I == 1 else x.contiguous()


def forward(
    call: Call,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    seed: Tensor | None,
    chunk: int,
    bf16: bool,
) -> list[Tensor]:
    """y, the last states, and if there are any what is saved, and bounds: the states at every chunk's start."""
    x = _strided(call, x)
    T, B, I = x.shape
    t, b, _ = x.stride()
    D, dtype = call.D, x.dtype
    held: list[Tensor] = []
    addresses, starts = _addresses(call, weights, dtype, held), _states(call, states, B, dtype, held)
    y = x.new_empty((T, B, D * call.P))
    results = [y, *[x.new_empty((D, B, width)) for width in call.widths]]
    ends = [end.data_ptr() for end in results[1:]]
    saved = bounds = 0
    if chunk:
        results += [x.new_empty(0), x.new_empty((D, -(-T // chunk), B, call.bound))]
        bounds = results[-1].data_ptr()
    elif call.row:
        # A trace shows zeros past the ends, where the core writes nothing.
        make = x.new_zeros if lengths is not None and call.columns else x.new_empty
        results.append(make((D, T, B, call.row)))
        saved = results[-1].data_ptr()
    call.plan.forward(
        BYTES[dtype], T, B, I, call.H, call.P, D, x.data_ptr(), t, b, starts, addresses,
        0 if lengths is None else lengths.data_ptr(), 0 if seed is None else seed.data_ptr(),
        y.data_ptr(), ends, saved, bounds, chunk, bf16, torch.get_num_threads(),
    )  # fmt: skip
    return results


def backward(
    call: Call,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    seed: Tensor | None,
    chunk: int,
    bf16: bool,
    y: Tensor,
    saved: Tensor | None,
    bounds: Tensor | None,
    dy: Tensor | None,
    dfinals: Sequence[Tensor | None],
    dsaved: Tensor | None,
    needs: Sequence[bool],
    watch: Tensor | None,
) -> list[Tensor | None]:
    """The gradients of x, the states and the parameters, where needed."""
    x = _strided(call, x)
    T, B, I = x.shape
    t, b, _ = x.stride()
    dtype = x.dtype
    held: list[Tensor] = []
    addresses, starts = _addresses(call, weights, dtype, held), _states(call, states, B, dtype, held)
    dx = torch.empty_like(x) if needs[0] else None
    if dx is not None and dx.stride(2) != 1 and I != 1:
        dx = x.new_empty((T, B, I))
    many = 1 + len(states)
    dstates = [
        torch.empty_like(s, memory_format=torch.contiguous_format) if n else None
        for s, n in zip(states, needs[1:many], strict=True)
    ]
    dweights = [
        torch.empty_like(w, memory_format=torch.contiguous_format) if n else None
        for w, n in zip(weights, needs[many:], strict=True)
    ]
    into = [0] * call.places
    for (place, _), gradient in zip(call.spots, dweights, strict=True):
        into[place] = 0 if gradient is None else gradient.data_ptr()
    dy = None if dy is None else dense(dy)
    given = [None if gradient is None else dense(gradient) for gradient in dfinals]
    if call.columns and dsaved is None:  # the plan reads gradients of what was kept, though none came
        dsaved = y.new_zeros((call.D, T, B, call.row))
    dsaved = None if dsaved is None else dense(dsaved)
    _, dt, db = (0, 0, 0) if dx is None else (0, dx.stride(0), dx.stride(1))
    call.plan.backward(
        BYTES[dtype], T, B, I, call.H, call.P, call.D, x.data_ptr(), t, b, starts, addresses,
        _address(lengths), _address(seed), y.data_ptr(), _address(saved), _address(bounds), chunk, bf16,
        torch.get_num_threads(), _address(dy), [_address(gradient) for gradient in given], _address(dsaved),
        _address(dx), dt, db, [_address(gradient) for gradient in dstates] or [0] * len(call.widths), into,
        _address(watch),
    )  # fmt: skip
    return [dx, *dstates, *dweights]


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
