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
from gated.kernels import memory
from gated.kernels.lower import Lowered, lower
from gated.kernels.program import parse
from gated.kernels.trace import trace

NOISE, SAVED = 19, 5  # an instruction, and a kind of operand
BYTES = {torch.float32: 4, torch.float64: 8}
ALONE = 3_000_000  # products and sums that one thread does sooner than two
FIXED = 6  # places of weight_ih weight_hh bias_ih bias_hh project recur among a direction's addresses; vectors follow


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
    watched: tuple[int, ...]  # columns of their gradients
    narrow: tuple[bool, ...]  # as wide as h, if that is projected
    saved: int  # columns
    scalars: int  # numbers after them


@cache
def recipe(cell: Cell, zone: tuple[float, ...], drop: float, noise: bool, watch: bool = False) -> Recipe:
    """The program of a cell; `Unsupported`, with the line at fault, if its equations have none.

    zone: a rate for each state. noise: as in training, where zoneout and recurrent dropout draw their masks.
    watch: with the gradients of all values.
    """
    rates = {name: rate for name, rate in zip(cell.states, zone, strict=True) if rate}
    program = trace(cell, zone=rates, noise=noise, drop=drop if noise else 0.0)
    text, keep = str(program), tuple(name for name, _ in program.results)
    SOURCES[text] = Source(cell, zone, drop)
    _, low = planned(text, keep, True, watch)
    return Recipe(
        text,
        keep,
        tuple(_column(low.columns[name].operand) for name in keep),
        tuple(low.watches[name].operand % 256 for name in keep if watch),
        tuple(low.columns[name].narrow for name in keep),
        low.spec["saved"],
        low.spec["scalars"],
    )


def _column(operand: int) -> int:
    return operand % 256 if operand // 256 == SAVED else -1


class Call(NamedTuple):
    """A plan for layers of one size: what to allocate, and where each parameter's address goes."""

    plan: _native.Plan
    unseeded: _native.Plan  # where no gradient came for what was kept
    columns: dict[str, int]  # of `saved` by kept name; h, which y holds, has none
    watched: dict[str, int]  # columns of `watch`
    D: int
    I: int
    H: int
    P: int
    widths: tuple[int, ...]  # of the states
    row: int  # numbers saved for a step of a sequence
    work: int  # sums of a step of a sequence
    bound: int  # numbers to begin again from, h apart
    watch: int  # numbers of gradients to show for a step of a sequence
    kept: bool
    noisy: bool
    spots: tuple[tuple[int, int], ...]  # of each parameter: its place among the addresses, and how many numbers it has
    places: int


@lru_cache(4096)
def _call(
    text: str, keep: tuple[str, ...], train: bool, watch: bool, many: int, third: int, ih: tuple, hh: tuple
) -> Call:
    """A plan from the program's text and the shapes of its parameters: their number, and the first two; see `sizes`."""
    plan, low = planned(text, keep, train, watch)
    unseeded = planned(text, keep, train, watch, False)[0] if keep and train else plan
    spec = low.spec
    D, bias = sizes(spec, many, third)
    (rows, I), P = ih, hh[1]
    H, x_rows, h_rows = rows // len(spec["x_rows"]), len(spec["x_rows"]), len(spec["h_rows"])
    fits = H > 0 and (rows, hh[0]) == (H * x_rows, H * h_rows) and (P == H or (0 < P < H and spec["project"]))
    expected = f"weight_ih ({x_rows} H, I) and weight_hh ({h_rows} H, H{' or less' * bool(spec['project'])})"
    want(fits, "native weights", expected, f"{tuple(ih)} and {tuple(hh)}")
    fixed = [(0, rows * I), (1, hh[0] * P)]
    fixed += [(2, rows), (3, hh[0])] if bias else []
    fixed += [(4, P * H)] if spec["project"] else []
    fixed += [(5, H * P)] if spec["recur"] else []
    fixed += [(FIXED + k, H) for k in range(spec["vectors"])]
    places = FIXED + spec["vectors"]
    return Call(
        plan=plan,
        unseeded=unseeded,
        columns={name: _column(at.operand) for name, at in low.columns.items() if _column(at.operand) >= 0},
        watched={name: at.operand % 256 for name, at in low.watches.items()},
        D=D,
        I=I,
        H=H,
        P=P,
        widths=tuple(P if k == spec["h"] else H for k in range(spec["states"])),
        row=spec["saved"] * H + spec["scalars"],
        work=2 * D * H * (h_rows * P + x_rows * I),
        bound=(spec["states"] - 1) * H,
        watch=spec["watched"] * H,
        kept=bool(keep),
        noisy=any(instruction[0] == NOISE for instruction in spec["forward"]),
        spots=tuple((place + way * places, size) for way in range(D) for place, size in fixed),
        places=D * places,
    )


@cache
def planned(
    text: str, keep: tuple[str, ...], train: bool, watch: bool, seeded: bool = True
) -> tuple[_native.Plan, Lowered]:
    """The plan of a program. seeded: what is kept may get gradients of its own; its columns are the same without."""
    seeds = keep if train and seeded else ()
    low = lower(parse(text), keep=keep, train=train, seeds=seeds, watch=keep if watch else ())
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


def _at(what: str, tensor: Tensor | None, count: int, dtype: torch.dtype, held: list[Tensor]) -> int:
    """Where a tensor's numbers lie, one after another, 0 for none. The core trusts this; held outlives the call."""
    if tensor is None:
        return 0
    if tensor.dtype is not dtype or tensor.numel() != count or not tensor.is_cpu:
        got = f"{tuple(tensor.shape)} of {tensor.dtype} on {tensor.device}"
        refuse(f"native {what}", f"{count} numbers of {dtype} on the processor", got)
    if not tensor.is_contiguous() or tensor.is_neg():  # torch may put off a change of sign
        tensor = tensor.resolve_neg().contiguous()
        held.append(tensor)
    return tensor.data_ptr()


def like(x: Tensor, empty: Callable[[tuple[int, ...], Tensor], Tensor]) -> Tensor:
    """Room for dx: batch first where x is."""
    T, B, I = x.shape
    return empty((B, T, I), x).transpose(0, 1) if x.stride()[:2] == (I, T * I) else empty((T, B, I), x)


ZEROS: dict[torch.dtype, Tensor] = {}


def _zeros(count: int, dtype: torch.dtype) -> Tensor:
    """At least so many, which nobody writes: one place for all states that start at zero."""
    found = ZEROS.get(dtype)
    if found is None or found.numel() < count:
        found = ZEROS[dtype] = torch.zeros(max(count, 1024), dtype=dtype, device="cpu")
    return found


class Inputs(NamedTuple):
    """What both directions of a call take, as the core takes it."""

    sizes: tuple[int, int, int, int, int, int, int]  # bytes of a number, T, B, I, H, P, D
    x: int
    t: int
    b: int
    states: list[int]
    weights: list[int]
    lengths: int
    seed: int


def _inputs(
    call: Call,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    seed: Tensor | None,
    held: list[Tensor],
) -> Inputs:
    dtype = x.dtype
    if x.dim() != 3 or x.shape[2] != call.I or dtype not in BYTES or not x.is_cpu:
        got = f"{tuple(x.shape)} of {dtype} on {x.device}"
        refuse("native input", f"shape (T, B, {call.I}) of float32 or float64 on the processor", got)
    if x.is_neg():
        x = x.resolve_neg()
        held.append(x)
    t, b, i = x.stride()
    if i != 1 and call.I != 1:  # steps and rows may lie anyhow, features side by side
        x = x.contiguous()
        held.append(x)
        t, b, _ = x.stride()
    T, B, I = x.shape
    addresses = [0] * call.places
    for (place, size), weight in zip(call.spots, weights, strict=True):
        addresses[place] = _at("weights", weight, size, dtype, held)
    if states:
        rows = call.D * B
        starts = [_at("state", s, rows * width, dtype, held) for s, width in zip(states, call.widths, strict=True)]
    else:
        held.append(zeros := _zeros(call.D * B * call.H, dtype))
        starts = [zeros.data_ptr()] * len(call.widths)
    if call.noisy and seed is None:
        refuse("native seed", "a seed for each direction, for the program draws noise", "none")
    return Inputs(
        (BYTES[dtype], T, B, I, call.H, call.P, call.D),
        x.data_ptr(),
        t,
        b,
        starts,
        addresses,
        0 if lengths is None else _at("lengths", lengths, B, torch.int64, held),
        0 if seed is None else _at("seed", seed, call.D, torch.int64, held),
    )


def _threads(call: Call, steps: int, rows: int) -> int:
    """More threads than one where they save more than it takes to wake them."""
    return 1 if steps * rows * call.work < ALONE else torch.get_num_threads()


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
    held: list[Tensor] = []
    inputs = _inputs(call, x, states, weights, lengths, seed, held)
    (T, B, _), D = x.shape, call.D
    y = memory.empty((T, B, D * call.P), x)
    results = [y, *[x.new_empty((D, B, width)) for width in call.widths]]
    ends = [end.data_ptr() for end in results[1:]]
    saved = bounds = 0
    if chunk:
        results += [x.new_empty(0), x.new_zeros((D, -(-T // chunk), B, call.bound))]  # the core leaves the first
        bounds = results[-1].data_ptr()
    elif call.row or call.kept:
        # A trace shows zeros past the ends, where the core writes nothing.
        shape = (D, T, B, call.row)
        results.append(x.new_zeros(shape) if lengths is not None and call.kept else memory.empty(shape, x))
        saved = results[-1].data_ptr()
    call.plan.forward(*inputs, y.data_ptr(), ends, saved, bounds, chunk, bf16, _threads(call, T, B))
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
    held: list[Tensor] = []
    inputs = _inputs(call, x, states, weights, lengths, seed, held)
    (T, B, _), D, dtype = x.shape, call.D, x.dtype
    rows = D * T * B
    given = (
        _at("y", y, rows * call.P, dtype, held),
        0 if chunk or not call.row else _at("saved", saved, rows * call.row, dtype, held),
        _at("bounds", bounds, D * -(-T // chunk) * B * call.bound, dtype, held) if chunk else 0,
    )
    gradients = (
        _at("gradient", dy, rows * call.P, dtype, held),
        [_at("gradient", d, D * B * width, dtype, held) for d, width in zip(dfinals, call.widths, strict=True)],
        _at("gradient", dsaved, rows * call.row, dtype, held),
    )
    dx = like(x, memory.empty) if needs[0] else None
    found = [x.new_empty(s.shape) if need else None for s, need in zip((*states, *weights), needs[1:], strict=True)]
    into = [0 if gradient is None else gradient.data_ptr() for gradient in found]
    addresses = [0] * call.places
    for (place, _), address in zip(call.spots, into[len(states) :], strict=True):
        addresses[place] = address
    dt, db = (0, 0) if dx is None else dx.stride()[:2]
    plan = call.unseeded if dsaved is None else call.plan
    plan.backward(
        *inputs, *given, chunk, bf16, _threads(call, 2 * T, B), *gradients, 0 if dx is None else dx.data_ptr(), dt, db,
        into[: len(states)] or [0] * len(call.widths), addresses, 0 if watch is None else watch.data_ptr(),
    )  # fmt: skip
    return [dx, *found]
