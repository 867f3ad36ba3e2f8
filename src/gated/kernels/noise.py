"""The masks of zoneout and recurrent dropout: a function of a seed and of the place in the sequence, of nothing else.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") makes four words of 32 bits of a
counter and a key. No step waits for the one before it, so the loop, which draws all masks at once, and the native core,
which draws each where it needs it, forwards and again backwards, see the same numbers; and so does every device.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

DROP = 255  # the stream of recurrent dropout; that of a zoned state is its index
ALWAYS = 0xFFFFFFFF  # the time of a mask that serves all steps
WORD = 0xFFFFFFFF


def philox(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Four words of 32 bits for a counter of four and a key of two; int64 tensors that broadcast."""
    a, b, c, d = counter
    k, m = key
    for step in range(10):
        if step:
            k, m = (k + 0x9E3779B9) & WORD, (m + 0xBB67AE85) & WORD
        # The products have up to 64 bits: int64 wraps, and the mask after the shift takes its sign away.
        left, right = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (right >> 32) & WORD ^ b ^ k, right & WORD, (left >> 32) & WORD ^ d ^ m, left & WORD
    return a, b, c, d


def below(seed: Int[Tensor, ""], times: Int[Tensor, " T"], rows: int, width: int, rate: float, stream: int) -> Tensor:
    """(T, B, W): true with probability rate, by the seed, the time, the row, the unit and the stream.

    Sixteen units after one another take the first words of sixteen counters, the next sixteen the second words, and so
    on: as wide as the widest vector registers.
    """
    sets = (width + 63) // 64
    unit = (torch.arange(sets * 16, device=times.device), torch.arange(rows, device=times.device)[:, None])
    counter = (*unit, times[:, None, None], torch.full((), stream, device=times.device))
    seed = seed.to(times.device)
    words = philox(counter, (seed & WORD, (seed >> 32) & WORD))
    words = torch.stack([word.unflatten(-1, (sets, 16)) for word in words], -2).flatten(-3)[..., :width]
    return (words >> 8) < round(rate * 2**24)


def zone(
    seed: Int[Tensor, ""], like: Float[Tensor, "T ..."], rows: int, width: int, rate: float, stream: int
) -> Float[Tensor, "T B W"]:
    """Zoneout's mask, 1 where the state keeps its last value, for the steps and in the dtype of `like`."""
    times = torch.arange(len(like), device=like.device)
    return below(seed, times, rows, width, rate, stream).to(like.dtype)


def drop(seed: Int[Tensor, ""], like: Tensor, rows: int, width: int, rate: float) -> Float[Tensor, "B P"]:
    """Recurrent dropout's mask, 0 with probability rate, else 1 / (1 - rate); the same at every step."""
    zero = below(seed, torch.full((1,), ALWAYS, device=like.device), rows, width, rate, DROP)[0]
    return (~zero).to(like.dtype) * (1 / (1 - rate) if rate < 1 else 0.0)


def draw(directions: int) -> Int[Tensor, " D"]:
    """One seed for each direction, from torch's generator on the processor."""
    return torch.randint(0, 2**63 - 1, (directions,), device="cpu")
