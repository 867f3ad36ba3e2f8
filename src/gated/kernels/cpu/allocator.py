"""A caching allocator for large CPU results.

torch's allocator gives large blocks back to the system as soon as they are free, and a training step that writes 100 MB
then waits for the system to clear 100 MB of pages, every time. This one caches a few blocks. It hands a block out again
when nothing but the cache refers to its storage: no tensor, no array, no view.

Batches of sequences are seldom of one length, so blocks come in few sizes, four to each power of two: the block of a
batch of 80 steps serves one of 75.
"""

from __future__ import annotations

import sys
import threading
from math import prod

import torch
from torch import Tensor

MIN_BLOCK = 4 << 20  # bytes of the smallest block that is cached
MAX_CACHE = 512 << 20  # bytes of all blocks in the cache

_lock = threading.Lock()
_blocks: list[torch.UntypedStorage] = []  # used last, last


def empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A dense tensor on the processor with the dtype of `like`; whatever numbers are in it."""
    size = prod(shape) * like.itemsize
    if not MIN_BLOCK <= size <= MAX_CACHE:
        return like.new_empty(*shape)  # numbers by themselves: torch takes a tuple apart in half as long again
    step = 1 << (size.bit_length() - 3)
    size = -(-size // step) * step
    with _lock:
        k = next((k for k in reversed(range(len(_blocks))) if _blocks[k].nbytes() == size and _is_free(k)), None)
        block = like.new_empty(size // like.element_size()).untyped_storage() if k is None else _blocks.pop(k)
        _blocks.append(block)
        while sum(block.nbytes() for block in _blocks) > MAX_CACHE:
            _blocks.pop(0)
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return like.new_empty(0).set_(block, 0, shape, strides)  # type: ignore[call-overload]


def _is_free(k: int) -> bool:
    """Whether the cache alone has block k: 2 for itself and getrefcount's argument, 1 for its storage."""
    unused = sys.getrefcount(_blocks[k]) <= 2 and torch._C._storage_Use_Count(_blocks[k]._cdata) == 1
    return unused and not _blocks[k].is_shared()  # shared memory may be another process's by now


def release() -> None:
    """Empty the cache: blocks that are not in use go back to the system."""
    with _lock:
        _blocks.clear()
