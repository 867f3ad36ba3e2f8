"""A linear-chain conditional random field: one tag a step, each dependent on the tag before.

    log p(y | s) = start[y_1] + Σ_t s_t[y_t] + Σ_{t>1} A[y_{t-1}, y_t] + end[y_n] − log Z

Lafferty, McCallum & Pereira 2001; on top of a bidirectional LSTM: Huang, Xu & Yu 2015. The sums over all paths run in
the native core, in time T·K² and in double precision, whatever the dtype of the scores.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from gated import _native
from gated._check import shape, want, within

__all__ = ["CRF"]

Chain = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # scores (T, B, K), transitions (K, K), start, end (K), lengths


class CRF(nn.Module):
    """Scores of K tags at each step to tags, and to probabilities of tags.

    transitions  A (K, K), from the tag of the row to that of the column; start and end (K)
    scores       (T, B, K), floating point, on any device; gradients are first derivatives
    lengths      (B,), each from 0 to T; steps beyond are ignored. A sequence without steps has one path, of score 0

    allowed: which tags may follow which, (K, K), and which may begin and end a sequence, (K) each. A path that is not
    allowed has probability 0, and neither `decode` nor `n_best` gives it. All are allowed unless these say otherwise.
    """

    allowed: Tensor
    allowed_start: Tensor
    allowed_end: Tensor

    def __init__(
        self, tags: int, allowed: Bool[Tensor, "K K"] | None = None, start: Bool[Tensor, " K"] | None = None,
        end: Bool[Tensor, " K"] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        within("CRF tags", tags, 1)
        self.tags = tags
        self.transitions = nn.Parameter(torch.empty(tags, tags))
        self.start, self.end = nn.Parameter(torch.empty(tags)), nn.Parameter(torch.empty(tags))
        self.restrict(allowed, start, end)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def restrict(
        self, allowed: Bool[Tensor, "K K"] | None = None, start: Bool[Tensor, " K"] | None = None,
        end: Bool[Tensor, " K"] | None = None,
    ) -> None:  # fmt: skip
        """Set what is allowed; the masks are no part of the state dict."""
        masks = {"allowed": (allowed, 2), "allowed_start": (start, 1), "allowed_end": (end, 1)}
        for name, (mask, axes) in masks.items():
            mask = torch.ones([self.tags] * axes, dtype=torch.bool) if mask is None else mask
            shape(f"CRF {name}", mask, *[self.tags] * axes)
            self.register_buffer(name, mask.to(self.start.device, torch.bool), persistent=False)

    def forward(
        self, scores: Float[Tensor, "T B K"], tags: Int64[Tensor, "T B"], lengths: Int64[Tensor, " B"] | None = None
    ) -> Float[Tensor, " B"]:
        """−log p(tags | scores) of each sequence; infinite where a path is not allowed."""
        chain = self._chain(scores, lengths)
        shape("CRF tags", tags, *scores.shape[:2])
        real = torch.arange(len(tags), device=tags.device)[:, None] < chain[-1].to(tags.device)
        y = tags.where(real, 0)
        strange = y[(y < 0) | (y >= self.tags)]
        want(not len(strange), "CRF tags", f"tags from 0 to {self.tags - 1}", strange.tolist()[:8])
        return _LogZ.apply(*chain)[0] - score_path(chain, y, real)

    def marginals(
        self, scores: Float[Tensor, "T B K"], lengths: Int64[Tensor, " B"] | None = None
    ) -> Float[Tensor, "T B K"]:
        """p(y_t = k | scores), 0 beyond the end of a sequence. No gradients."""
        with torch.no_grad():
            chain = _double(self._chain(scores, lengths))
            alpha, log_z = _forward(chain)
            return _backward(chain, alpha, log_z, torch.ones_like(log_z))[0].to(scores)

    def decode(
        self, scores: Float[Tensor, "T B K"], lengths: Int64[Tensor, " B"] | None = None
    ) -> Int64[Tensor, "T B"]:
        """The most probable path of each sequence (Viterbi), −1 beyond its end."""
        return self.n_best(scores, lengths, 1)[0][0]

    def n_best(
        self, scores: Float[Tensor, "T B K"], lengths: Int64[Tensor, " B"] | None = None, count: int = 1
    ) -> tuple[Int64[Tensor, "N T B"], Float[Tensor, "N B"]]:
        """The `count` most probable paths of each sequence, best first, and log p of each.

        Beyond the end of a sequence, and of paths that there are not, tags are −1; log p of such paths is −∞.
        """
        within("CRF count", count, 1, 10_000)
        with torch.no_grad():
            chain = _double(self._chain(scores, lengths))
            T, B, _ = chain[0].shape
            tags, best = torch.empty(count, T, B, dtype=torch.int64), torch.empty(count, B, dtype=torch.float64)
            _native.crf_best(chain[0].shape, _addresses(chain), count, tags.data_ptr(), best.data_ptr())
            return tags.to(scores.device), (best - _forward(chain)[1]).to(scores)

    def _chain(self, scores: Tensor, lengths: Tensor | None) -> Chain:
        shape("CRF scores", scores, "T", "B", self.tags)
        T, B, _ = scores.shape
        lengths = torch.full((B,), T) if lengths is None else lengths
        shape("CRF lengths", lengths, B)
        fits = not B or (int(lengths.min()) >= 0 and int(lengths.max()) <= T)
        want(fits, "CRF lengths", f"whole numbers from 0 to {T}", lengths.tolist()[:8])
        no = float("-inf")
        masked = (self.transitions.masked_fill(~self.allowed, no), self.start.masked_fill(~self.allowed_start, no),
                  self.end.masked_fill(~self.allowed_end, no))  # fmt: skip
        return scores, *masked, lengths


def score_path(chain: Chain, y: Int64[Tensor, "T B"], real: Bool[Tensor, "T B"]) -> Float[Tensor, " B"]:
    """The score of each sequence's path, in which steps that are not real count nothing."""
    scores, transitions, start, end, lengths = chain
    if not len(y):
        return scores.new_zeros(scores.shape[1])
    steps = scores.gather(2, y[..., None])[..., 0]
    moves = transitions[y[:-1], y[1:]]
    last = y.gather(0, (lengths.to(y.device) - 1).clamp(min=0)[None])[0]
    total = steps.where(real, 0).sum(0) + moves.where(real[1:], 0).sum(0)
    return total + (start[y[0]] + end[last]).where(real[0], 0)


class _LogZ(torch.autograd.Function):
    """log Z of each sequence; its gradients are marginals, computed in the backward pass of the same sums."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> tuple[Tensor, ...]:
        chain = _double(given)
        alpha, log_z = _forward(chain)
        ctx.save_for_backward(*chain, alpha, log_z)
        ctx.like = [tensor[:0] for tensor in given[:4]]  # dtypes and devices
        return (log_z.to(given[0]),)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *chain, alpha, log_z = ctx.saved_tensors
        weight = gradients[0].to("cpu", torch.float64).contiguous()
        parts = _backward(tuple(chain), alpha, log_z, weight)
        return *(part.to(like) for part, like in zip(parts, ctx.like, strict=True)), None


def _double(chain: Any) -> Any:
    """The chain as the core reads it: on the processor, in float64, dense."""
    *numbers, lengths = chain
    numbers = [part.detach().to("cpu", torch.float64).contiguous() for part in numbers]
    return (*numbers, lengths.to("cpu", torch.int64).contiguous())


def _addresses(tensors: Any) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def _forward(chain: Chain) -> tuple[Tensor, Tensor]:
    alpha, log_z = torch.empty_like(chain[0]), torch.empty(chain[0].shape[1], dtype=torch.float64)
    _native.crf_forward(chain[0].shape, _addresses(chain), alpha.data_ptr(), log_z.data_ptr())
    return alpha, log_z


def _backward(chain: Chain, alpha: Tensor, log_z: Tensor, weight: Tensor) -> list[Tensor]:
    """The gradients of Σ_b weight_b log Z_b by scores, transitions, start and end."""
    parts = [torch.empty_like(part) for part in chain[:4]]
    addresses = (alpha.data_ptr(), log_z.data_ptr(), weight.data_ptr(), _addresses(parts))
    _native.crf_backward(chain[0].shape, _addresses(chain), *addresses)
    return parts
