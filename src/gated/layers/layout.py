"""Layouts of a batch: inside the layers (T, B, I), outside the form in which the input came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gated._check import InputTensorError, InputTypeError, refuse, shape, want
from gated.layers.stack import Stack

States = Sequence[Sequence[Tensor]]  # by layer, in the order of the cell's states, (D, B, width)


class Batch(NamedTuple):
    """Sequences inside the layers, and what is needed to give the results the form of the input."""

    x: Tensor  # (T, B, I)
    lengths: Tensor | None
    packed: PackedSequence | None  # the input, if it came so
    batched: bool
    batch_first: bool

    def pad(self) -> tuple[Tensor, Tensor | None]:
        """x as (T, B, I) and the lengths, if not all are T."""
        return self.x, None if self.lengths is None else self.lengths.to(self.x.device)

    def compact(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Only the steps that exist, longest sequence first: rows, batch sizes, and which sequence each column is."""
        if self.lengths is None or bool((self.lengths == len(self.x)).all()):
            return self.x, None, None
        lengths, order = self.lengths.cpu().sort(descending=True, stable=True)
        order = order[: int((lengths > 0).sum())]
        packed = pack_padded_sequence(self.x.index_select(1, order.to(self.x.device)), lengths[: len(order)])
        return packed.data, packed.batch_sizes, order.to(self.x.device)

    def spread(self, y: Tensor, sizes: Tensor | None, order: Tensor | None) -> Tensor:
        """The inverse of `compact` for outputs: (T, B, ·) with zeros past the ends."""
        if sizes is None or order is None:
            return y
        y, _ = pad_packed_sequence(PackedSequence(y, sizes), total_length=len(self.x))
        return y.new_zeros(*self.x.shape[:2], y.shape[-1]).index_copy(1, order, y)

    def restore(self, y: Tensor) -> Any:
        """An output (T, B, ·) in the form of the input."""
        if self.packed is None or self.lengths is None:
            return self.restore_axes(y)
        order, lengths = self.packed.sorted_indices, self.lengths
        if order is not None:
            y, lengths = y.index_select(1, order), lengths[order.cpu()]
        return self.packed._replace(data=pack_padded_sequence(y, lengths).data)

    def restore_axes(self, y: Tensor) -> Tensor:
        """(T, B, ·) as (B, T, ·) for batch_first, as (T, ·) for a single sequence."""
        if not self.batched:
            return y.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y


def autocasts(x: Tensor) -> bool:
    """Whether autocast is on for the device of x; some devices have none."""
    return torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type)


def check_dtype(stack: Stack, dtype: torch.dtype, x: Tensor) -> None:
    """Refuse an input of another dtype than the weights have, unless autocast converts it."""
    if x.dtype != dtype and not (x.is_floating_point() and autocasts(x)):
        todo = f"Convert it with input.to({dtype}), or the layer with layer.to({x.dtype})."
        todo = todo if x.is_floating_point() else "Embed or convert what is not floating point."
        refuse(f"{stack.name} input", f"{dtype}, as its weights have", x.dtype, todo, InputTensorError)


def arrange(stack: Stack, dtype: torch.dtype, given: Any, lengths: Any = None) -> Batch:
    """Check the input of layers with weights of `dtype`, and arrange it as (T, B, I)."""
    packed = given if isinstance(given, PackedSequence) else None
    x = given if packed is None else packed.data
    if not isinstance(x, Tensor):
        refuse(f"{stack.name} input", "a tensor or a PackedSequence", type(given).__name__, error=InputTypeError)
    if x.dtype != dtype:
        check_dtype(stack, dtype, x)
    if packed is not None:
        both = "lengths or a PackedSequence, which has its own"
        want(lengths is None, stack.name, both, "both", "Leave lengths out.")
        shape(f"{stack.name} packed input", x, "N", stack.input_size)
        return Batch(*pad_packed_sequence(packed), packed, True, stack.batch_first)
    if x.dim() == 2:
        shape(f"{stack.name} input", x, "T", stack.input_size)
        alone = "no lengths with a single sequence (T, I)"
        want(lengths is None, stack.name, alone, "lengths", "Cut the sequence instead.")
        return Batch(x.unsqueeze(1), None, None, False, stack.batch_first)
    if x.dim() != 3 or x.shape[2] != stack.input_size:
        shape(f"{stack.name} input", x, *("BT" if stack.batch_first else "TB"), stack.input_size)
    if stack.batch_first:
        x = x.transpose(0, 1)
    if lengths is not None:
        lengths = _check_lengths(f"{stack.name} lengths", lengths, *x.shape[:2])
    return Batch(x, lengths, None, True, stack.batch_first)


def _check_lengths(where: str, lengths: Any, steps: int, size: int) -> Tensor:
    try:
        lengths = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError):
        refuse(where, "whole numbers", repr(lengths))
    whole = not (lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool)
    want(whole or not lengths.numel(), where, "whole numbers", lengths.dtype)
    shape(where, lengths, size)
    lengths = lengths.to(torch.int64)
    if size and not torch.compiler.is_compiling():  # there the numbers are not known yet
        low, high = int(lengths.min()), int(lengths.max())
        fits, got = low >= 0 and high <= steps, low if low < 0 else high
        want(fits, where, f"numbers from 0 to T = {steps}", got, error=InputTensorError)
    return lengths


def zero_states(stack: Stack, batch: Batch) -> States:
    """The states before the first step where none are given."""
    D = len(stack.suffixes)
    return [[batch.x.new_zeros(D, batch.x.shape[1], width) for width in widths.values()] for widths in stack.widths]


def split_states(stack: Stack, given: Any, batch: Batch) -> States:
    """The states before the first step, by layer.

    Given as torch has them: one tensor (L·D, B, H), or a tuple of them if there are more states; for layers of unlike
    widths a list with one tensor (D, B, H_k) per layer in place of each.
    """
    names = stack.cell.states
    given = (given,) if len(names) == 1 else given
    if not isinstance(given, tuple | list) or len(given) != len(names):
        wanted = f"a tuple ({', '.join(f'{name}_0' for name in names)})"
        got = f"{len(given)} things" if isinstance(given, tuple | list) else type(given).__name__
        refuse(f"{stack.name} initial state", wanted, got, error=InputTensorError)
    D, L, x = len(stack.suffixes), len(stack.sizes), batch.x
    rows = (x.shape[1],) if batch.batched else ()
    layers: States
    if stack.even:
        for k, (name, width) in enumerate(stack.widths[0].items()):
            _check_state(stack, name, "", given[k], (L * D, *rows, width), x)
        layers = [given] if L == 1 else [*zip(*(state.split(D) for state in given), strict=True)]
    else:
        for name, states in zip(names, given, strict=True):
            many, got = isinstance(states, tuple | list) and len(states) == L, type(states).__name__
            want(many, f"{stack.name} {name}_0", f"a list of {L} tensors, one per layer", got, error=InputTypeError)
            for k, state in enumerate(states):
                _check_state(stack, name, f"[{k}]", state, (D, *rows, stack.widths[k][name]), x)
        layers = [*zip(*given, strict=True)]
    return layers if batch.batched else [[state.unsqueeze(1) for state in layer] for layer in layers]


def _check_state(stack: Stack, name: str, at: str, state: Any, expected: tuple[int, ...], x: Tensor) -> None:
    if isinstance(state, Tensor) and state.shape == expected and (state.dtype is x.dtype or autocasts(x)):
        return
    where = f"{stack.name} {name}_0{at}"
    if not isinstance(state, Tensor):
        refuse(where, "a tensor", type(state).__name__, error=InputTypeError)
    shape(where, state, *expected)
    refuse(where, f"{x.dtype}, as the input", state.dtype, error=InputTensorError)


def join_states(stack: Stack, states: States, batch: Batch) -> Any:
    """The inverse of `split_states`."""
    if not batch.batched:
        states = [[state.squeeze(1) for state in layer] for layer in states]
    joined: Any = tuple(states[0])
    if len(states) > 1:
        joined = tuple(torch.cat(parts) if stack.even else [*parts] for parts in zip(*states, strict=True))
    return joined[0] if len(joined) == 1 else joined
