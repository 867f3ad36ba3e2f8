"""Listen, attend, spell: a decoder that writes a text symbol by symbol and looks at what was heard (Chan et al. 2016).

    log p(y | x) = Σ_t log softmax(W o_t + b)[y_t]        o_t = decoder(y_{t-1}, s_{t-1}, h)

Symbol 0, CTC's blank, has no place in a text: here it stands before the first symbol and after the last. The network
learns both, CTC and this, and a text is ranked by both (Watanabe et al. 2017): CTC knows the order of time, and so
keeps the decoder from leaving out or saying twice; the decoder knows what it has written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import decode
from gated.decode import ctc
from gated.layers import LSTM, Attention, Decoder
from gated.layers.attention import EncoderStates
from gated.layers.dropout import Dropout
from gated.layers.output import cross_entropy
from gated.layers.seq2seq import State

END = 0
SHARE = 0.3  # of CTC, in the loss and in the ranking
WIDTH = 8  # hypotheses side by side, where no width was asked for
AROUND = 5  # steps beside a step whose earlier looks attention knows of


class Speller(nn.Module):
    """The decoder: an LSTM of H units over embedded symbols, attention that knows where it has looked, a readout.

    h (S, B, M), steps (B,), tokens (T, B)
    """

    def __init__(self, symbols: int, units: int, memory: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(symbols, units)
        nn.init.normal_(self.embed.weight, std=units**-0.5)
        attention = Attention(units, memory, "additive", coverage=AROUND)
        self.decoder = Decoder(attention, LSTM(units, units), None, units, dropout=dropout)
        self.bias = nn.Parameter(torch.zeros(symbols))
        self.dropout = Dropout(dropout)

    def begin(self, h: Float[Tensor, "S B M"], steps: Int64[Tensor, " B"]) -> tuple[EncoderStates, State]:
        memory = self.decoder.attention.prepare(h, steps)
        zeros = h.new_zeros(1, h.shape[1], self.embed.embedding_dim)
        return memory, self.decoder.start(memory, (zeros, zeros))

    def run(self, tokens: Int64[Tensor, "T N"], memory: EncoderStates, state: State) -> tuple[Tensor, Tensor, State]:
        return self.decoder(self.dropout(self.embed(tokens)), memory, state)

    def loss(self, h: Tensor, steps: Tensor, tokens: Int64[Tensor, " N"], counts: Int64[Tensor, " B"]) -> Tensor:
        """Σ −log p of the texts, end to end in `tokens`, and of their ends."""
        memory, state = self.begin(h, steps)
        most = int(counts.max())
        inside = torch.arange(most, device=tokens.device)[:, None] < counts
        after = torch.full((most + 1, len(counts)), END, device=tokens.device)
        after.T[:, :most].masked_scatter_(inside.T, tokens)
        before = torch.cat([torch.full_like(after[:1], END), after[:-1]])
        o, _, _ = self.run(before, memory, state)
        there = torch.arange(most + 1, device=tokens.device)[:, None] <= counts
        return cross_entropy(o[there], self.embed.weight, self.bias, after[there], 0.0)

    def step(self, tokens: Int64[Tensor, "B K"], state: Any, memory: Any) -> tuple[Tensor, Any, Tensor]:
        """One step of `gated.decode`'s searches: rows k·B + b are hypothesis k of sentence b."""
        (B, K), ready = tokens.shape, EncoderStates(*memory)
        h, c, seen = (part.transpose(0, 1).flatten(0, 1) for part in state)
        before = State((h[None].contiguous(), c[None].contiguous()), None, None, seen)
        o, a, after = self.run(tokens.T.reshape(1, K * B), ready, before)
        scores = torch.log_softmax((o[0] @ self.embed.weight.T + self.bias).float(), -1)
        parts = (after.bottom[0][0], after.bottom[1][0], after.coverage)
        moved = tuple(part.unflatten(0, (K, B)).transpose(0, 1) for part in parts if part is not None)
        return scores.unflatten(0, (K, B)).transpose(0, 1), moved, a[0].unflatten(0, (K, B)).transpose(0, 1)


def spell(
    speller: Speller, h: Float[Tensor, "S B M"], steps: Int64[Tensor, " B"], log_probs: list[np.ndarray], width: int
) -> list[list[ctc.Reading]]:  # fmt: skip
    """Up to `width` texts of each example, best by both first, from CTC's log_probs (T', V) of each.

        score = λ log p_ctc(y | x) + (1 − λ) log p(y | x)

    A text that CTC thinks impossible, such as one with more symbols than there are steps, is not taken; if no text is
    left, it is CTC's best path.
    """
    memory, state = speller.begin(h, steps)
    h0, c0 = state.bottom
    begun = tuple(part[:, None] for part in (h0[0], c0[0], state.coverage) if part is not None)
    found = decode.beam(
        speller.step, begun, tuple(memory), decode.Rules(begin=END, end=END), limit=[len(x) for x in log_probs],
        width=width, n_best=width, length_penalty=0.0,
    )  # fmt: skip
    return [ranked(x, hypotheses) for x, hypotheses in zip(log_probs, found, strict=True)]


def ranked(log_probs: np.ndarray, hypotheses: list[decode.Hypothesis]) -> list[ctc.Reading]:
    """The best of the texts by both, each with the steps that CTC gives its symbols."""
    best = []
    for one in hypotheses:
        tokens = [int(k) for k in one.tokens]
        heard = ctc.log_prob(log_probs, tokens)
        if heard > -np.inf:
            best.append((SHARE * heard + (1 - SHARE) * one.log_prob, heard, tokens))
    if not best:
        return [ctc.greedy(log_probs)]
    best.sort(key=lambda found: -found[0])
    return [
        ctc.Reading(tokens, heard, score, ctc.align(log_probs, tokens)) for score, heard, tokens in best
    ]  # fmt: skip
