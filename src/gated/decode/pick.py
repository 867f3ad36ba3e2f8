"""From log-probabilities to tokens: apply the rules, take the best, or draw one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gated._check import want, within

HEAD = 32  # tokens that top_p sorts first; eight times as many until their share is large enough


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Constraints on every hypothesis.

    begin       the input token of the first step
    end         the token that ends a hypothesis
    forbid      tokens that are never taken, such as padding, begin and unknown
    min_length  the smallest number of tokens before END
    no_repeat   if n > 0, no n-gram of tokens occurs twice (Paulus et al. 2017, section 2.5)

    A prefix and the limit take precedence over these. If the rules leave no token, END is taken.
    """

    begin: int
    end: int
    forbid: tuple[int, ...] = ()
    min_length: int = 0
    no_repeat: int = 0

    def __post_init__(self) -> None:
        for name in ("begin", "end", "min_length", "no_repeat"):
            within(f"Rules {name}", getattr(self, name), 0)
        for token in self.forbid:
            within("Rules forbid", token, 0)
        want(self.end not in self.forbid, "Rules forbid", f"tokens other than end ({self.end})", self.forbid)


def apply_rules(
    log_probs: Float[Tensor, "B K V"], rules: Rules, tokens: Int64[Tensor, "B K t"]
) -> Float[Tensor, "B K V"]:
    """The log-probabilities, -inf where the rules forbid a token after `tokens`."""
    t, n = tokens.shape[-1], rules.no_repeat
    never = [*rules.forbid, *([rules.end] if t < rules.min_length else [])]
    repeats = 0 < n <= t
    if not never and not repeats:
        return log_probs
    log_probs = log_probs.clone()
    log_probs[..., never] = -math.inf
    if repeats:
        runs = tokens.unfold(-1, n, 1)
        again = (runs[..., :-1] == tokens[..., None, t - n + 1 :]).all(-1)  # n = 1: empty runs are equal
        b, k, i = again.nonzero(as_tuple=True)
        log_probs[b, k, runs[b, k, i, -1]] = -math.inf
    return log_probs


def topk(x: Float[Tensor, "B K V"], W: int) -> tuple[Float[Tensor, "B K W"], Int64[Tensor, "B K W"]]:
    """torch.topk, W of each row, with the lower index first among equals.

    torch.topk guarantees no order of equals: rows whose W-th value is tied are corrected to take the lowest indices.
    """
    if x.shape[-1] <= 4 * W:
        values, places = x.sort(dim=-1, descending=True, stable=True)
        return values[..., :W], places[..., :W]
    values, places = x.topk(W + 1)
    tied = (values[..., W - 1] == values[..., W]) & (values[..., W] > -math.inf)
    places = places[..., :W]
    if tied.any():
        row, edge = x[tied], values[..., W - 1][tied][:, None]
        above, equal = row > edge, row == edge
        first = above | (equal & (equal.cumsum(-1) <= W - above.sum(-1, keepdim=True)))
        places[tied] = first.nonzero()[:, 1].view(-1, W)
    places = places.sort(dim=-1).values
    values, order = x.gather(-1, places).sort(dim=-1, descending=True, stable=True)
    return values, places.gather(-1, order)


def draw(
    log_probs: Float[Tensor, "B K V"], u: Float[Tensor, "B K 1"], temperature: float, top_k: int | None, top_p: float
) -> tuple[Float[Tensor, "B K 1"], Int64[Tensor, "B K 1"]]:
    """One token for each row by inversion, u from 0 to 1: the first whose summed probability passes u."""
    top = log_probs.amax(-1, keepdim=True).clamp(min=-1e30)  # finite: all forbidden gives 0, not NaN
    weight, places = ((log_probs - top).double() / temperature).exp(), None
    if top_k is not None and top_k < weight.shape[-1]:
        weight, places = topk(weight, top_k)
    if top_p < 1:
        enough, W = top_p * weight.sum(-1, keepdim=True), HEAD
        while True:
            head, order = topk(weight, W)
            sums = head.cumsum(-1)
            if weight.shape[-1] <= W or bool((sums[..., -1:] >= enough).all()):
                break
            W *= 8
        weight = head * (sums - head < enough)
        places = order if places is None else places.gather(-1, order)
    sums = weight.cumsum(-1)
    whole = sums[..., -1:]
    spot = torch.minimum(u * whole, whole.nextafter(torch.zeros_like(whole)))  # below the whole, rounded or not
    token = torch.searchsorted(sums, spot, right=True).clamp(max=sums.shape[-1] - 1)
    token = token if places is None else places.gather(-1, token)
    return log_probs.gather(-1, token), token
