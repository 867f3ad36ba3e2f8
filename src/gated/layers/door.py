"""The layer's door: whatever form a batch of sequences comes in, inside it is (T, B, I), and it leaves as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gated._check import refuse, shape, want


@dataclass(frozen=True)
class Batch:
    """Sequences inside the layer, and what is needed to give the results the form of the input."""

    x: Tensor  # (T, B, I); the packed rows (N, I) if packed is given
    lengths: Tensor | None
    packed: PackedSequence | None
    batched: bool
    batch_first: bool

    @property
    def steps(self) -> int:
        return self.x.shape[0] if self.packed is None else len(self.packed.batch_sizes)

    @property
    def size(self) -> int:
        return self.x.shape[1] if self.packed is None else int(self.packed.batch_sizes[0])

    def padded(self) -> tuple[Tensor, Tensor | None]:
        """x as (T, B, I) and the lengths, if not all are T."""
        if self.packed is not None:
            x, lengths = pad_packed_sequence(self.packed)
            return x, lengths.to(x.device)
        return self.x, None if self.lengths is None else self.lengths.to(self.x.device)

    def compact(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Only the steps that exist, longest sequence first: rows, batch sizes, and which sequence each column is."""
        if self.packed is not None:
            return self.packed.data, self.packed.batch_sizes, self.packed.sorted_indices
        if self.lengths is None or bool((self.lengths == self.steps).all()):
            return self.x, None, None
        lengths, order = self.lengths.cpu().sort(descending=True, stable=True)
        order = order[: int((lengths > 0).sum())]
        packed = pack_padded_sequence(self.x.index_select(1, order.to(self.x.device)), lengths[: len(order)])
        return packed.data, packed.batch_sizes, order.to(self.x.device)

    def spread(self, y: Tensor, sizes: Tensor | None, order: Tensor | None) -> Tensor:
        """The inverse of `compact` for outputs: (T, B, ·) with zeros past the ends; packed rows stay packed."""
        if sizes is None or self.packed is not None:
            return y
        y, _ = pad_packed_sequence(PackedSequence(y, sizes), total_length=self.steps)
        return y if order is None else y.new_zeros(self.steps, self.size, y.shape[-1]).index_copy(1, order, y)

    def out(self, y: Tensor) -> Any:
        """An output (T, B, ·), or packed rows, in the form in which the input came."""
        if self.packed is None:
            return self.leave(y)
        if y.dim() == 3:
            order, lengths = self.packed.sorted_indices, pad_packed_sequence(self.packed)[1]
            if order is not None:
                y, lengths = y.index_select(1, order), lengths[order.cpu()]
            y = pack_padded_sequence(y, lengths).data
        return PackedSequence(y, self.packed.batch_sizes, self.packed.sorted_indices, self.packed.unsorted_indices)

    def leave(self, y: Tensor) -> Tensor:
        """(T, B, ·) as (B, T, ·) for batch_first, as (T, ·) for a single sequence."""
        if not self.batched:
            return y.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y


def autocast(x: Tensor) -> bool:
    """Whether autocast is on for the device of x; some devices have none."""
    return torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type)


def enter(where: str, given: Any, lengths: Any, *, size: int, dtype: torch.dtype, batch_first: bool) -> Batch:
    """Check the input of a layer with `size` features and weights of `dtype`."""
    packed = given if isinstance(given, PackedSequence) else None
    x = given.data if packed is not None else given
    if not isinstance(x, Tensor):
        refuse(f"{where} input", "a tensor or a PackedSequence", type(given).__name__)
    casts = autocast(x) and x.is_floating_point()
    todo = f"Convert it with input.to({dtype}), or the layer with layer.to({x.dtype})."
    todo = todo if x.is_floating_point() else "Embed or convert what is not floating point."
    want(x.dtype == dtype or casts, f"{where} input", f"{dtype}, as its weights have", x.dtype, todo)
    if packed is not None:
        want(lengths is None, where, "lengths or a PackedSequence, which has its own", "both", "Leave lengths out.")
        shape(f"{where} packed input", x, "N", size)
        return Batch(x, None, packed, True, batch_first)
    batched = x.dim() != 2
    axes = (("B", "T") if batch_first else ("T", "B")) if batched else ("T",)
    shape(f"{where} input", x, *axes, size)
    if not batched:
        x = x.unsqueeze(1)
        want(lengths is None, where, "no lengths with a single sequence (T, I)", "lengths", "Cut the sequence instead.")
    elif batch_first:
        x = x.transpose(0, 1)
    return Batch(x, _lengths(where, lengths, *x.shape[:2]), None, batched, batch_first)


def _lengths(where: str, lengths: Any, steps: int, size: int) -> Tensor | None:
    if lengths is None:
        return None
    where = f"{where} lengths"
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
        want(low >= 0 and high <= steps, where, f"numbers from 0 to T = {steps}", low if low < 0 else high)
    return lengths


def states_in(
    where: str, given: Any, names: Sequence[str], widths: Sequence[Mapping[str, int]], directions: int, batch: Batch
) -> list[dict[str, Tensor]]:
    """The states before the first step, for every layer {name: (D, B, width)}; zeros if none are given.

    Comes as torch has it: one tensor (L·D, B, H), or a tuple of them if there are more states; for layers of unlike
    widths a list with one tensor (D, B, H_k) per layer in place of each.
    """
    x, size = batch.x, batch.size
    if given is None:
        return [{name: x.new_zeros(directions, size, width[name]) for name in names} for width in widths]
    given = (given,) if len(names) == 1 else given
    if not isinstance(given, tuple | list) or len(given) != len(names):
        wanted = f"a tuple ({', '.join(f'{name}_0' for name in names)})"
        got = f"{len(given)} things" if isinstance(given, tuple | list) else type(given).__name__
        refuse(f"{where} initial state", wanted, got)
    layers: list[dict[str, Tensor]] = [{} for _ in widths]
    rows = (size,) if batch.batched else ()
    for name, state in zip(names, given, strict=True):
        label = f"{where} {name}_0"
        if len({width[name] for width in widths}) == 1:
            want(isinstance(state, Tensor), label, "a tensor", type(state).__name__)
            shape(label, state, len(widths) * directions, *rows, widths[0][name])
            state = state.chunk(len(widths))
        many = isinstance(state, tuple | list) and len(state) == len(widths)
        want(many, label, f"a list of {len(widths)} tensors, one per layer", type(state).__name__)
        for layer, (width, part) in enumerate(zip(widths, state, strict=True)):
            shape(f"{label}[{layer}]", part, directions, *rows, width[name])
            want(part.dtype == x.dtype or autocast(x), label, f"{x.dtype}, as the input", part.dtype)
            layers[layer][name] = part if batch.batched else part.unsqueeze(1)
    return layers


def states_out(names: Sequence[str], layers: Sequence[Mapping[str, Tensor]], batch: Batch) -> Any:
    """The inverse of `states_in`."""

    def joined(name: str) -> Any:
        parts = [layer[name] if batch.batched else layer[name].squeeze(1) for layer in layers]
        if any(part.shape[-1] != parts[0].shape[-1] for part in parts):
            return parts
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    return joined(names[0]) if len(names) == 1 else tuple(joined(name) for name in names)
