"""Listen, attend and spell (Chan et al. 2016): a decoder that attends to encoder states and writes symbol by symbol.

    log p(y | x) = Σ_t log softmax(W o_t + b)[y_t]        o_t = decoder(y_{t-1}, s_{t-1}, h)

Symbol 0, CTC's blank, occurs in no text: here it stands before the first symbol and after the last. Training and
decoding are joint with CTC (Watanabe et al. 2017), which is monotonic in time, so that the decoder neither omits nor
repeats; the decoder conditions on the text so far.
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
from gated.layers.seq2seq import State, by_sentence, search_step

END = 0
CTC_WEIGHT = 0.3  # λ, in the loss and in the ranking
WIDTH = 8  # hypotheses of the beam, at least
COVERAGE = 5  # steps around a step whose past attention is visible


class AttentionDecoder(nn.Module):
    """An LSTM of H units over embedded symbols, additive attention with coverage, a readout.

    h (S, B, M), steps (B,), tokens (T, B)
    """

    def __init__(self, symbols: int, units: int, states: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(symbols, units)
        nn.init.normal_(self.embed.weight, std=units**-0.5)
        attention = Attention(units, states, "additive", coverage=COVERAGE)
        self.decoder = Decoder(attention, LSTM(units, units), None, units, dropout=dropout)
        self.bias = nn.Parameter(torch.zeros(symbols))
        self.dropout = Dropout(dropout)

    def start(self, h: Float[Tensor, "S B M"], steps: Int64[Tensor, " B"]) -> tuple[EncoderStates, State]:
        """The encoder states, prepared for attention, and the initial state."""
        encoder = self.decoder.attention.prepare(h, steps)
        zeros = h.new_zeros(1, h.shape[1], self.embed.embedding_dim)
        return encoder, self.decoder.start(encoder, (zeros, zeros))

    def run(self, tokens: Int64[Tensor, "T N"], encoder: EncoderStates, state: State) -> tuple[Tensor, Tensor, State]:
        """The readout and the attention after each of these tokens, and the state after the last."""
        return self.decoder(self.dropout(self.embed(tokens)), encoder, state)

    def loss(self, h: Tensor, steps: Tensor, tokens: Int64[Tensor, " N"], counts: Int64[Tensor, " B"]) -> Tensor:
        """Σ −log p of the texts, end to end in `tokens`, and of their ends."""
        encoder, state = self.start(h, steps)
        longest = int(counts.max())
        t = torch.arange(longest + 1, device=tokens.device)[:, None]
        after = torch.full((longest + 1, len(counts)), END, device=tokens.device)
        after.T[:, :longest].masked_scatter_((t[:longest] < counts).T, tokens)
        before = torch.cat([torch.full_like(after[:1], END), after[:-1]])
        o, _, _ = self.run(before, encoder, state)
        real = t <= counts
        return cross_entropy(o[real], self.embed.weight, self.bias, after[real], 0.0)

    def step(self, tokens: Int64[Tensor, "B K"], state: Any, memory: Any) -> tuple[Tensor, Any, Tensor]:
        """One step of `gated.decode`'s searches."""
        return search_step(self.run, lambda o: o @ self.embed.weight.T + self.bias, tokens, state, memory)


def decode_jointly(
    decoder: AttentionDecoder, h: Float[Tensor, "S B M"], steps: Int64[Tensor, " B"], log_probs: list[np.ndarray],
    width: int,
) -> list[list[ctc.Reading]]:  # fmt: skip
    """Up to `width` texts of each example, best first, by the decoder's beam and CTC's log_probs (T', V) of each.

        score = λ log p_ctc(y | x) + (1 − λ) log p(y | x)

    A text of CTC probability 0, such as one with more symbols than steps, is dropped; if none is left, the text is
    CTC's best path.
    """
    encoder, state = decoder.start(h, steps)
    beams = decode.beam(
        decoder.step, by_sentence(state, len(log_probs)), encoder, decode.Rules(begin=END, end=END),
        limit=[len(x) for x in log_probs], width=width, n_best=width, length_penalty=0.0,
    )  # fmt: skip
    return [rescore(x, hypotheses) for x, hypotheses in zip(log_probs, beams, strict=True)]


def rescore(log_probs: np.ndarray, hypotheses: list[decode.Hypothesis]) -> list[ctc.Reading]:
    """The texts by their joint score, best first, each aligned by CTC."""
    texts = []
    for one in hypotheses:
        tokens = [int(k) for k in one.tokens]
        log_prob = ctc.log_prob(log_probs, tokens)
        if log_prob > -np.inf:
            texts.append((CTC_WEIGHT * log_prob + (1 - CTC_WEIGHT) * one.log_prob, log_prob, tokens))
    texts.sort(key=lambda text: -text[0])
    ranked = [ctc.Reading(tokens, p, score, ctc.align(log_probs, tokens)) for score, p, tokens in texts]
    return ranked or [ctc.greedy(log_probs)]
