"""Attention of queries over encoder states."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.fx import Proxy

from gated._check import one_of, shape, want, within
from gated.layers import symbolic

SCORES = ("additive", "dot", "general")


class EncoderStates(NamedTuple):
    """What queries attend to, prepared once for all of them."""

    values: Float[Tensor, "B S M"]
    keys: Float[Tensor, "B S A"]
    mask: Float[Tensor, "B S"]  # 1 at the steps, 0 in the padding


class Attention(nn.Module):
    """Weights over encoder states, and their mean under these weights.

        e_ts = score(q_t, m_s)      a_t = softmax_s(e_t)      c_t = Σ_s a_ts m_s

        additive    vᵀ tanh(W q + U m)      Bahdanau et al. 2015, §A.1.2
        dot         q · m / √M              Luong et al. 2015, eq. 8, scaled as in Vaswani et al. 2017, eq. 1
        general     q · W m / √Q            Luong et al. 2015, eq. 8, scaled likewise

    query (T, B, Q), states (S, B, M), lengths (B,): how many states of each sequence exist, all of them by default.
    Gives c (T, B, M) and a (T, B, S), zero in the padding, whatever stands there, and for a sequence without states.

    hidden_size, A of the additive score, is Q by default. `dot` needs Q = M.

    coverage, an odd number k: the key of state s is moved by the earlier weights on it and its neighbours,

        k_s + Σ_j w_j v_{s+j}       v = Σ_{t' < t} a_t'      |j| < k / 2       k_s = m_s or U m_s, w_j (A,)

    k = 1: Tu et al. 2016, §3.1; See et al. 2017, eq. 11. k ≥ 3: Chorowski et al. 2015, eq. 8 and 9. Queries then depend
    on the queries before, and run one by one.
    """

    def __init__(
        self, query_size: int, encoder_size: int, score: str = "dot", *, hidden_size: int | None = None,
        coverage: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        within("Attention query_size", query_size, 1)
        within("Attention encoder_size", encoder_size, 1)
        one_of("Attention score", score, SCORES)
        todo = "Take score='general', which has a matrix between the two."
        equal = score != "dot" or query_size == encoder_size
        want(
            equal,
            "Attention score='dot'",
            "queries as wide as the encoder states",
            f"{query_size} and {encoder_size}",
            todo,
        )
        self.query_size, self.encoder_size, self.score = query_size, encoder_size, score
        self.hidden_size = query_size if hidden_size is None or score != "additive" else hidden_size
        if score == "additive":
            self.query = nn.Linear(query_size, self.hidden_size, bias=False)
            self.v = nn.Parameter(torch.empty(self.hidden_size))
            nn.init.uniform_(self.v, -(self.hidden_size**-0.5), self.hidden_size**-0.5)
        if score != "dot":
            self.key = nn.Linear(encoder_size, self.hidden_size, bias=score == "additive")
        self.coverage = int(coverage)
        odd = "0, or an odd number of steps"
        want(self.coverage == 0 or (self.coverage > 0 and self.coverage % 2 == 1), "Attention coverage", odd, coverage)
        if self.coverage:
            self.w = nn.Parameter(torch.zeros(self.hidden_size, self.coverage))

    def prepare(self, states: Float[Tensor, "S B M"], lengths: Integer[Tensor, " B"] | None = None) -> EncoderStates:
        """The states with their keys: the part of the scores in which no query stands."""
        shape("Attention states", states, "S", "B", self.encoder_size)
        S, B, _ = states.shape
        values, mask = states.transpose(0, 1).contiguous(), states.new_ones(B, S)
        if lengths is not None:
            shape("Attention lengths", lengths, B)
            padding = torch.arange(S, device=states.device) >= lengths.to(states.device)[:, None]
            values, mask = values.masked_fill(padding[..., None], 0), mask.masked_fill(padding, 0)
        return EncoderStates(values, values if self.score == "dot" else self.key(values), mask)

    def attend(
        self, query: Float[Tensor, "T B Q"], states: EncoderStates, coverage: Float[Tensor, "T B S"] | None = None
    ) -> tuple[Float[Tensor, "T B M"], Float[Tensor, "T B S"]]:
        """c and a of T queries independent of each other; coverage: the sum of the weights before each."""
        q = query.transpose(0, 1)
        around = None  # (B, T, S, k), coverage of each state and of its neighbours
        if self.coverage and coverage is not None:
            r = self.coverage // 2
            around = nn.functional.pad(coverage.transpose(0, 1), (r, r)).unfold(-1, self.coverage, 1)
        if self.score == "additive":
            inner = self.query(q)[:, :, None] + states.keys[:, None]
            if around is not None:
                inner = inner + around @ self.w.T
            e = inner.tanh() @ self.v
        else:
            q = q * self.hidden_size**-0.5
            e = q @ states.keys.transpose(1, 2)
            if around is not None:
                e = e + (around * (q @ self.w)[:, :, None]).sum(-1)
        mask = states.mask[:, None]
        a = torch.softmax(e + (mask - 1) * 1e9, -1) * mask
        return (a @ states.values).transpose(0, 1), a.transpose(0, 1)

    def forward(
        self, query: Float[Tensor, "T B Q"], states: Float[Tensor, "S B M"] | EncoderStates,
        lengths: Integer[Tensor, " B"] | None = None, coverage: Float[Tensor, "B S"] | None = None,
    ) -> tuple[Float[Tensor, "T B M"], Float[Tensor, "T B S"]]:  # fmt: skip
        """c and a of every query; coverage: the sum of the weights before the first, of use with `coverage` alone."""
        if isinstance(query, Proxy):
            return symbolic.record(self, query, (query, states, lengths, coverage), {})  # pyright: ignore[reportReturnType]
        shape("Attention query", query, "T", "B", self.query_size)
        states = states if isinstance(states, EncoderStates) else self.prepare(states, lengths)
        if not self.coverage:
            return self.attend(query, states)
        coverage, contexts, weights = torch.zeros_like(states.mask) if coverage is None else coverage, [], []
        for q in query:
            c, a = self.attend(q[None], states, coverage[None])
            contexts.append(c)
            weights.append(a)
            coverage = coverage + a[0]
        return torch.cat(contexts), torch.cat(weights)

    def extra_repr(self) -> str:
        cover = f", coverage={self.coverage}" if self.coverage else ""
        return f"{self.query_size}, {self.encoder_size}, score={self.score!r}{cover}"
