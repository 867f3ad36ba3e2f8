"""Large results, in memory that earlier ones have left.

The allocator under torch gives large blocks back to the system as soon as they are free, and a training step that
writes 100 MB then waits for the system to clear 100 MB of pages, every time. Here a few blocks are kept. One is handed
out again when nothing but this list refers to its storage: no tensor, no array, no view.

Batches of sequences are seldom of one length, so blocks come in few sizes, four to each power of two: what was left by
a batch of 80 steps serves one of 75.
"""

from __future__ import annotations

import sys
import threading
from math import prod

import torch
from torch import Tensor

LEAST = 4 << 20  # bytes of a block worth keeping
MOST = 512 << 20  # bytes kept in all

_lock = threading.Lock()
_kept: list[torch.UntypedStorage] = []  # used last, last


def empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A dense tensor on the processor with the dtype of `like`; whatever numbers are in it."""
    size = prod(shape) * like.element_size()
    if not LEAST <= size <= MOST:
        return like.new_empty(shape)
    step = 1 << (size.bit_length() - 3)
    size = -(-size // step) * step
    with _lock:
        k = next((k for k in reversed(range(len(_kept))) if _kept[k].nbytes() == size and _free(k)), None)
        _kept.append(like.new_empty(size // like.element_size()).untyped_storage() if k is None else _kept.pop(k))
        block = _kept[-1]
        while sum(kept.nbytes() for kept in _kept) > MOST:
            _kept.pop(0)
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return like.new_empty(0).set_(block, 0, shape, strides)  # type: ignore[call-overload]


def _free(k: int) -> bool:
    """Whether this list alone has block k: 2 for itself and getrefcount's argument, 1 for its storage."""
    alone = sys.getrefcount(_kept[k]) <= 2 and torch._C._storage_Use_Count(_kept[k]._cdata) == 1
    return alone and not _kept[k].is_shared()  # shared memory may be another process's by now


def release() -> None:
    """Give back what is kept and not in use."""
    with _lock:
        _kept.clear()
