"""One vector of a sequence of vectors, whatever its length: the steps beyond the end count for nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated._check import one_of, want

__all__ = ["KINDS", "Pooling", "mask"]

KINDS = ("mean", "max", "last", "attention")


def mask(lengths: Int64[Tensor, " B"], T: int) -> Tensor:
    """(T, B), true at the steps that exist."""
    return torch.arange(T, device=lengths.device)[:, None] < lengths


class Pooling(nn.Module):
    """The concatenation of some of these, of h_1 … h_n of a sequence with n steps:

        mean        Σ_t h_t / n
        max         max_t h_t, number by number
        last        [h_n, h_1]: where the two directions end; the first half of F is forward, the second backward
        attention   Σ_t a_t h_t,   a = softmax_t(v·tanh(W h_t + b))       (Yang et al. 2016, eq. 5–7)

    h (T, B, F), lengths (B,) -> (B, F · kinds). A sequence without a step has zeros.
    """

    def __init__(self, features: int, kinds: Sequence[str] = KINDS, width: int | None = None) -> None:
        super().__init__()
        want(len(kinds) > 0, "Pooling", "at least one kind", "none")
        for kind in kinds:
            one_of("Pooling", kind, KINDS)
        self.kinds, self.features = tuple(kinds), features * len(kinds)
        width = width or min(features, 128)
        attends = "attention" in kinds
        self.project = nn.Linear(features, width) if attends else None
        self.vector = nn.Linear(width, 1, bias=False) if attends else None

    def weights(self, h: Float[Tensor, "T B F"], lengths: Int64[Tensor, " B"]) -> Float[Tensor, "T B"]:
        """a, the share of each step; zeros of a sequence without one."""
        want(self.project is not None and self.vector is not None, "Pooling", "attention among its kinds", self.kinds)
        e = self.vector(self.project(h).tanh())[..., 0].float()  # pyright: ignore[reportOptionalCall]
        exists = mask(lengths, len(h))
        return torch.softmax(e.masked_fill(~exists, -1e30), 0) * exists

    def forward(self, h: Float[Tensor, "T B F"], lengths: Int64[Tensor, " B"]) -> Float[Tensor, "B G"]:
        """The vectors."""
        exists, h = mask(lengths, len(h))[..., None], h.float()
        parts = []
        for kind in self.kinds:
            if kind == "mean":
                parts.append((h * exists).sum(0) / lengths.clamp(min=1)[:, None])
            elif kind == "max":
                high = h.masked_fill(~exists, -torch.inf).amax(0) if len(h) else h.new_zeros(h.shape[1:])
                parts.append(torch.where(lengths[:, None] > 0, high, 0.0))
            elif kind == "last":
                n, half = (lengths - 1).clamp(min=0), h.shape[2] // 2
                ends = torch.cat([h[n, torch.arange(len(n)), :half], h[0, :, half:]], 1)
                parts.append(torch.where(lengths[:, None] > 0, ends, 0.0))
            else:
                parts.append((self.weights(h, lengths)[..., None] * h).sum(0))
        return torch.cat(parts, 1)
