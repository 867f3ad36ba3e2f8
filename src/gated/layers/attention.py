"""Attention: a look at a memory, steered by a query."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from gated._check import one_of, shape, want, within

SCORES = ("additive", "dot", "general")


class Memory(NamedTuple):
    """What attention looks at, made ready once for many looks."""

    values: Float[Tensor, "B S M"]
    keys: Float[Tensor, "B S A"]
    exists: Float[Tensor, "B S"]  # 1 where there is a step, 0 in the padding


class Attention(nn.Module):
    """Weights over the steps of a memory, and the mean of the memory under them.

        e_ts = score(q_t, m_s)      a_t = softmax_s(e_t)      c_t = Σ_s a_ts m_s

        additive    vᵀ tanh(W q + U m)      Bahdanau et al. 2015, §A.1.2
        dot         q · m / √M              Luong et al. 2015, eq. 8, scaled as in Vaswani et al. 2017, eq. 1
        general     q · W m / √Q            Luong et al. 2015, eq. 8, scaled likewise

    query (T, B, Q), memory (S, B, M), lengths (B,): how many steps of each memory exist, all of them if not given.
    Gives c (T, B, M) and a (T, B, S), zero in the padding, whatever stands there, and for a memory without a step.

    hidden_size, A of the additive score, is Q unless given. `dot` needs Q = M.

    coverage, an odd number k: a step's key is moved by how often it and its neighbours were looked at,

        k_s + Σ_j w_j v_{s+j}       v = Σ_{t' < t} a_t'      |j| < k / 2       k_s = m_s or U m_s, w_j (A,)

    so that attention knows what it has done, k = 1 (Tu et al. 2016, §3.1; See et al. 2017, eq. 11), and what is beside
    it, k ≥ 3 (Chorowski et al. 2015, eq. 8 and 9). Looks then depend on the looks before, and run one by one.
    """

    def __init__(
        self, query_size: int, memory_size: int, score: str = "dot", *, hidden_size: int | None = None,
        coverage: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        within("Attention query_size", query_size, 1)
        within("Attention memory_size", memory_size, 1)
        one_of("Attention score", score, SCORES)
        todo = "Take score='general', which has a matrix between the two."
        equal = score != "dot" or query_size == memory_size
        want(equal, "Attention score='dot'", "a query as wide as the memory", f"{query_size} and {memory_size}", todo)
        self.query_size, self.memory_size, self.score = query_size, memory_size, score
        self.hidden_size = query_size if hidden_size is None or score != "additive" else hidden_size
        if score == "additive":
            self.query = nn.Linear(query_size, self.hidden_size, bias=False)
            self.v = nn.Parameter(torch.empty(self.hidden_size))
            nn.init.uniform_(self.v, -(self.hidden_size**-0.5), self.hidden_size**-0.5)
        if score != "dot":
            self.key = nn.Linear(memory_size, self.hidden_size, bias=score == "additive")
        self.coverage = int(coverage)
        odd = "0, or an odd number of steps"
        want(self.coverage == 0 or (self.coverage > 0 and self.coverage % 2 == 1), "Attention coverage", odd, coverage)
        if self.coverage:
            self.w = nn.Parameter(torch.zeros(self.hidden_size, self.coverage))

    def prepare(self, memory: Float[Tensor, "S B M"], lengths: Integer[Tensor, " B"] | None = None) -> Memory:
        """The memory with its keys: the part of the scores in which no query stands."""
        shape("Attention memory", memory, "S", "B", self.memory_size)
        S, B, _ = memory.shape
        values, exists = memory.transpose(0, 1).contiguous(), memory.new_ones(B, S)
        if lengths is not None:
            shape("Attention lengths", lengths, B)
            padding = torch.arange(S, device=memory.device) >= lengths.to(memory.device)[:, None]
            values, exists = values.masked_fill(padding[..., None], 0), exists.masked_fill(padding, 0)
        return Memory(values, values if self.score == "dot" else self.key(values), exists)

    def look(
        self, query: Float[Tensor, "T B Q"], memory: Memory, seen: Float[Tensor, "T B S"] | None = None
    ) -> tuple[Float[Tensor, "T B M"], Float[Tensor, "T B S"]]:
        """T looks that know nothing of each other; `seen`, with coverage, is the sum of the weights before each."""
        q = query.transpose(0, 1)
        around = None  # (B, T, S, k), what was seen of each step and of its neighbours
        if self.coverage and seen is not None:
            r = self.coverage // 2
            around = nn.functional.pad(seen.transpose(0, 1), (r, r)).unfold(-1, self.coverage, 1)
        if self.score == "additive":
            inner = self.query(q)[:, :, None] + memory.keys[:, None]
            if around is not None:
                inner = inner + around @ self.w.T
            e = inner.tanh() @ self.v
        else:
            q = q * self.hidden_size**-0.5
            e = q @ memory.keys.transpose(1, 2)
            if around is not None:
                e = e + (around * (q @ self.w)[:, :, None]).sum(-1)
        exists = memory.exists[:, None]
        a = torch.softmax(e + (exists - 1) * 1e9, -1) * exists
        return (a @ memory.values).transpose(0, 1), a.transpose(0, 1)

    def forward(
        self, query: Float[Tensor, "T B Q"], memory: Float[Tensor, "S B M"] | Memory,
        lengths: Integer[Tensor, " B"] | None = None, seen: Float[Tensor, "B S"] | None = None,
    ) -> tuple[Float[Tensor, "T B M"], Float[Tensor, "T B S"]]:  # fmt: skip
        """c and a of every query; `seen` is what was looked at before the first, of interest with coverage."""
        shape("Attention query", query, "T", "B", self.query_size)
        ready = memory if isinstance(memory, Memory) else self.prepare(memory, lengths)
        if not self.coverage:
            return self.look(query, ready)
        seen, found = torch.zeros_like(ready.exists) if seen is None else seen, []
        for q in query:
            c, a = self.look(q[None], ready, seen[None])
            found.append((c, a))
            seen = seen + a[0]
        return torch.cat([c for c, _ in found]), torch.cat([a for _, a in found])

    def extra_repr(self) -> str:
        cover = f", coverage={self.coverage}" if self.coverage else ""
        return f"{self.query_size}, {self.memory_size}, score={self.score!r}{cover}"
