"""One step after another, as the numbers come in: a layer's evaluation with its states kept in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NoReturn, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gated import _native
from gated._check import refuse, want
from gated.kernels import loop
from gated.kernels.cpu import core
from gated.kernels.request import Request
from gated.layers import layout
from gated.layers.layout import Batch, States
from gated.layers.stack import Stack, check_count

ROOM = 1 << 14  # numbers that the steps of a block may have side by side; more go in pieces

Run = Callable[..., None]  # so many steps, from the first room, or an address if the core runs, to the last room


class Stream:
    """A stack of layers that takes its steps one by one, as they come; made by `layer.stream(batch)`.

        h_t, s_t = layer(x_t, s_{t-1})        s_0 = 0

    x_t is (I,) or (1, I) for batch 1, else (B, I): a NumPy array, or a tensor on the processor, in the layer's dtype.
    h_t is the last layer's output, of the same kind and axes: (P,), (1, P) or (B, P), P = H or proj_size.

    One push takes about 1.3 µs for an array and 2 µs for a tensor (B = 1, I = 32, H = 64, float32, one core). It makes
    no new memory: what it gives is one and the same array or tensor each time. Copy what shall outlive the next push.

    A stream computes what the layer computes in evaluation, whichever mode the layer is in: no dropout, zoneout at its
    expectation, no gradients. It copies the weights when it is made, to the processor wherever the layer is; make a
    new one after further training. Nothing it does reaches the layer or another stream. Layers in two directions have
    no stream, for the second begins at the end.

    The native core runs it, with products in the weights' precision even where the layer's are in bfloat16. For a layer
    with path="loop", a cell without native program, and dtypes other than float32 and float64, the definition does,
    about a hundred times slower; repr says which, and why. One thread at a time may use a stream.
    """

    def __init__(self, stack: Stack, weights: Sequence[Sequence[Tensor]], batch: int, label: str) -> None:
        """weights: by layer, as `Stack.parameters` names them. label: of the layer, for repr."""
        name = f"{stack.name} stream"
        todo = "The second direction begins at the end, which a stream has not seen."
        want(not stack.bidirectional, name, "a layer of one direction", "bidirectional=True", todo)
        check_count(f"{name} batch", batch, 1)
        dtypes = {weight.dtype for own in weights for weight in own}
        want(len(dtypes) == 1, name, "weights of one dtype", ", ".join(map(str, dtypes)), "Use layer.to(dtype).")
        (self._dtype,) = dtypes
        text, why = _program(stack, self._dtype)
        want(not why or stack.path != "native", name, "what path='native' can serve", why, "Ask for path='auto'.")
        self._label = f"{label}.stream(batch={batch}), {f'loop: {why}' if why else 'native'}"
        self._stack, self._batch = replace(stack, name=name), batch
        with torch.inference_mode(False), torch.no_grad():  # what is made here may be written anywhere
            own = [[w.detach().to("cpu", copy=True).contiguous() for w in layer] for layer in weights]
            outs = [width["h"] for width in stack.widths]
            rooms = [stack.input_size, *(outs if stack.residual else outs[-1:])]
            self._steps = max(1, ROOM // (batch * max(rooms)))
            new = partial(torch.zeros, dtype=self._dtype, device="cpu")
            self._rooms = [new(self._steps, batch, size) for size in rooms]  # x, then what comes of it
            self._states = [[new(1, batch, size) for size in width.values()] for width in stack.widths]

        self._reads = not why  # the core reads a tensor where it is
        if why:
            self._run = _loop(stack, own, self._states, self._rooms)
        else:
            self._run, self._weights = _core(text, own, self._states, self._rooms, stack.residual)
            self._run(self._steps)  # the core makes itself room at its first run, not at the first push
            self.reset()

        x, y = self._rooms[0], self._rooms[-1]
        self._tensors, self._arrays, self._numpy = _forms(x[0], y[0]), {}, None
        if self._dtype is not torch.bfloat16:  # which NumPy lacks
            self._numpy, self._arrays = x.numpy().dtype, _forms(x[0].numpy(), y[0].numpy())

    @overload
    def push(self, x: Float[np.ndarray, "*B I"]) -> Float[np.ndarray, "*B P"]: ...
    @overload
    def push(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B P"]: ...
    def push(self, x: Any) -> Any:
        """One step, h_t of x_t, in the shapes that the class gives. The next push overwrites h_t."""
        if isinstance(x, np.ndarray):
            form = self._arrays.get(x.shape)
            if form is not None and x.dtype == self._numpy:
                form[0][...] = x
                self._run(1)
                return form[1]
        elif isinstance(x, Tensor) and x.dtype is self._dtype and x.is_cpu:
            form = self._tensors.get(x.shape)
            if form is not None:
                if self._reads and x.is_contiguous() and not x.is_neg():
                    self._run(1, x.data_ptr())
                else:
                    form[0].copy_(x.detach() if x.requires_grad else x)
                    self._run(1)
                return form[1]
        self._refuse(x, "(B, I)", "(I,)")

    @overload
    def push_block(self, x: Float[np.ndarray, "*TB I"]) -> Float[np.ndarray, "*TB P"]: ...
    @overload
    def push_block(self, x: Float[Tensor, "*TB I"]) -> Float[Tensor, "*TB P"]: ...
    def push_block(self, x: Any) -> Any:
        """T steps, as T pushes: (T, B, P) of (T, B, I), (B, T, P) of (B, T, I) if the layer is batch_first; for batch 1
        also (T, P) of (T, I). No later push overwrites them.
        """
        array, axes = isinstance(x, np.ndarray), ("(B, T, I)" if self._stack.batch_first else "(T, B, I)", "(T, I)")
        fits = x.dtype == self._numpy if array else isinstance(x, Tensor) and x.dtype is self._dtype and x.is_cpu
        single = fits and x.ndim == 2 and self._batch == 1
        if not fits or (x.ndim != 3 and not single):
            self._refuse(x, *axes)
        swap = self._stack.batch_first and not single
        given = x[:, None] if single else x.swapaxes(0, 1) if swap else x
        into: Any = self._rooms[0]
        out: Any = self._rooms[-1]
        if given.shape[1:] != into.shape[1:]:
            self._refuse(x, *axes)
        into, out = (into.numpy(), out.numpy()) if array else (into, out)
        given = given if array else given.detach()
        make: Any = np.empty if array else torch.empty
        y = make((len(given), *out.shape[1:]), dtype=x.dtype)
        for t in range(0, len(given), self._steps):
            n = min(self._steps, len(given) - t)
            into[:n] = given[t : t + n]
            self._run(n)
            y[t : t + n] = out[:n]
        return y[:, 0] if single else y.swapaxes(0, 1) if swap else y

    def reset(self) -> None:
        """Begin anew: all states are zero."""
        for layer in self._states:
            for state in layer:
                state.zero_()

    @property
    def state(self) -> Any:
        """The states after the last step, tensors in the form of the layer's hx: (L, B, H), a tuple of them if the cell
        has more states than h, of lists of (1, B, H_k) for layers of unlike widths.

        Reading gives copies, which a layer, this stream or another may go on from. Writing takes the same form, for
        batch 1 also without B, and copies too.
        """
        copies = [[state.clone() for state in layer] for layer in self._states]
        return layout.join_states(self._stack, copies, self._as(True))

    @state.setter
    def state(self, given: Any) -> None:
        one = given
        while isinstance(one, tuple | list) and one:
            one = one[0]
        single = self._batch == 1 and isinstance(one, Tensor) and one.dim() == 2
        batch = self._as(not single)
        states = (
            layout.zero_states(self._stack, batch) if given is None else layout.split_states(self._stack, given, batch)
        )
        for layer, starts in zip(self._states, states, strict=True):
            for state, start in zip(layer, starts, strict=True):
                state.copy_(start.detach())

    def _as(self, batched: bool) -> Batch:
        return Batch(self._rooms[0], None, None, batched, False)

    def _refuse(self, x: Any, many: str, one: str) -> NoReturn:
        where = f"{self._stack.name} input"
        if not isinstance(x, np.ndarray | Tensor):
            refuse(where, "a NumPy array or a tensor", type(x).__name__)
        if isinstance(x, Tensor):
            want(x.is_cpu, where, "a tensor on the processor", x.device, "Take x.cpu().")
            want(
                x.dtype is self._dtype,
                where,
                f"{self._dtype}, as the weights have",
                x.dtype,
                f"Take x.to({self._dtype}).",
            )
        else:
            want(self._numpy is not None, where, "a tensor, for NumPy lacks bfloat16", "an array")
            todo = f"Take x.astype({str(self._numpy)!r})."
            want(x.dtype == self._numpy, where, f"{self._numpy}, as the weights have", x.dtype, todo)
        I = self._rooms[0].shape[-1]
        forms = [many, *([one] if self._batch == 1 else [])]
        expected = " or ".join(form.replace("B", str(self._batch)).replace("I", str(I)) for form in forms)
        refuse(where, f"shape {expected}", tuple(x.shape))

    def __repr__(self) -> str:
        return self._label


def _program(stack: Stack, dtype: torch.dtype) -> tuple[str, str]:
    """What the core runs in evaluation, or why it cannot."""
    if stack.path == "loop":
        return "", "asked for"
    if dtype not in core.BYTES:
        return "", f"the core computes in float32 and float64, not in {dtype}"
    return ("", stack.unsupported) if stack.unsupported else (stack.recipes[False].text, "")


def _forms(x: Any, y: Any) -> dict[tuple[int, ...], tuple[Any, Any]]:
    """By the shape in which a step may come: where it goes, and what is given for it."""
    forms = {tuple(x.shape): (x, y)}
    return forms | {tuple(x[0].shape): (x[0], y[0])} if len(x) == 1 else forms


def _core(
    text: str, weights: Sequence[list[Tensor]], states: States, rooms: Sequence[Tensor], residual: bool
) -> tuple[Run, list[Tensor]]:
    """Steps in the native core, and the weights that it reads where they are; the others it has packed."""
    chains, in_place = [], []
    for k, (own, state) in enumerate(zip(weights, states, strict=True)):
        layer = core.find_layer(Request(text, len(state)), False, False, own)
        in_place += own[len(own) - layer.vectors :]
        if k == 0 or residual:
            chains.append(_native.Streams())
        chains[-1].add(layer.plan, core.stream_call(layer, state, own))
    ways = [
        (chain.run, x.data_ptr(), x.stride(0), x.stride(1), y.data_ptr())
        for chain, x, y in zip(chains, rooms[:-1], rooms[1:], strict=True)
    ]
    run, x, xt, xb, y = ways[0]

    def run_chain(steps: int, x: int = x) -> None:
        run(x, steps, xt, xb, y)

    arrays = [room.numpy() for room in rooms]
    later = [(*way, *pair) for way, pair in zip(ways[1:], pairwise(arrays[1:]), strict=True)]

    def run_residual(steps: int, x: int = x) -> None:
        run(x, steps, xt, xb, y)
        for go, place, t, b, to, before, after in later:
            go(place, steps, t, b, to)
            np.add(after[:steps], before[:steps], out=after[:steps])

    return run_residual if len(ways) > 1 else run_chain, in_place


def _loop(stack: Stack, weights: Sequence[list[Tensor]], states: States, rooms: Sequence[Tensor]) -> Run:
    """Steps by the definition."""
    names = stack.cell.states

    @torch.no_grad()
    def run(steps: int) -> None:
        x = rooms[0][:steps]
        for k, (own, state) in enumerate(zip(weights, states, strict=True)):
            start = dict(zip(names, state, strict=True))
            (values,), ends = loop.layer(stack.cell, stack.by_direction(own), x, start, zone=stack.rates)
            x = x + values["h"] if stack.residual and k else values["h"]
            for name, value in start.items():
                value.copy_(ends[name])
        rooms[-1][:steps].copy_(x)

    return run
