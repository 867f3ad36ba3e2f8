"""The loss of a large vocabulary, without its logits ever lying in memory together."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gated._check import shape, within

ROWS = 256  # of logits at once: few enough to stay in the cache between the passes over them


class _CrossEntropy(torch.autograd.Function):
    """Gradients are computed with the loss, while the logits are there; the backward pass scales them."""

    @staticmethod
    def forward(ctx: Any, o: Tensor, W: Tensor, b: Tensor, y: Tensor, smoothing: float) -> Tensor:
        wanted = any(ctx.needs_input_grad[:3])
        low = torch.get_autocast_dtype(o.device.type) if torch.is_autocast_enabled(o.device.type) else o.dtype
        with torch.autocast(o.device.type, enabled=False):
            x, w, V = o.to(low), W.to(low), len(W)
            total = o.new_zeros((), dtype=torch.float32 if o.dtype != torch.float64 else o.dtype)
            do, dW, db = (torch.zeros_like(part) for part in ((x, W, b) if wanted else (b, b, b)))
            for first in range(0, len(y), ROWS):
                rows, target = slice(first, first + ROWS), y[first : first + ROWS, None]
                z = (x[rows] @ w.T).to(b.dtype).add_(b)
                lse = z.logsumexp(1, keepdim=True)
                total += (lse - (1 - smoothing) * z.gather(1, target)).sum()
                if smoothing:
                    total -= smoothing / V * z.sum()
                if not wanted:
                    continue
                dz = z.sub_(lse).exp_()
                if smoothing:
                    dz.sub_(smoothing / V)
                dz.scatter_add_(1, target, torch.full_like(lse, smoothing - 1))
                db += dz.sum(0)
                dz = dz.to(low)
                torch.mm(dz, w, out=do[rows])
                dW += dz.T @ x[rows]
        if wanted:
            ctx.save_for_backward(do.to(o.dtype), dW, db)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        do, dW, db = ctx.saved_tensors
        return *(grad * gradients[0].to(grad.dtype) for grad in (do, dW, db)), None, None


def cross_entropy(
    o: Float[Tensor, "N O"], W: Float[Tensor, "V O"], b: Float[Tensor, " V"], y: Int64[Tensor, " N"],
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:  # fmt: skip
    """Σ_n −Σ_v q_nv log p_nv, p_n = softmax(W o_n + b), q_nv = (1 − ε) [v = y_n] + ε / V.

    What torch.nn.functional.cross_entropy(o @ W.T + b, y, label_smoothing=ε, reduction="sum") gives, label smoothing as
    in Szegedy et al. 2016, §7. The N·V logits and their gradient are made for some rows at a time. First derivatives
    only.
    """
    shape("cross_entropy o", o, "N", W.shape[1])
    shape("cross_entropy y", y, len(o))
    within("cross_entropy smoothing", smoothing, 0, 1)
    return _CrossEntropy.apply(o, W, b, y, smoothing)
