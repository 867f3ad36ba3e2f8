"""A decoder with attention over encoder states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.fx import Proxy

from gated import trees
from gated._check import shape, want
from gated.layers import symbolic
from gated.layers.attention import Attention, EncoderStates
from gated.layers.dropout import Dropout
from gated.layers.recurrent import Recurrent


class State(NamedTuple):
    """The state of a decoder, for N sequences."""

    bottom: Any  # states of the recurrent layers below the attention
    top: Any  # and above it; None where there are none
    readout: Float[Tensor, "N O"] | None  # the last one, with input feeding
    coverage: Float[Tensor, "N S"] | None  # the sum of all attention weights so far, if attention has coverage


class Decoder(nn.Module):
    """Recurrent layers, attention at every step, and a readout.

        y_t = bottom(x_t)       c_t, a_t = attention(y_t, encoder states)       y'_t = top([y_t; c_t])
        o_t = tanh(W [y'_t; c_t] + b)

    Luong et al. 2015, eq. 5. Without top layers y' is y, the decoder of that paper. With them the contexts c run
    through time in the upper layers, as in Wu et al. 2016, §3. With input feeding (Luong et al. 2015, §3.3) the
    bottom's input is [x_t; o_{t-1}], so steps run one after another; without it a whole sequence is one call of each
    layer.

    bottom, top: recurrent layers, time-major and in one direction. top reads [y; c].
    x (T, N, I), encoder, state, gives o (T, N, O), a (T, N, S), and the state after the last step. N is the encoder's
    B, or, for one step (T = 1), K·B: K hypotheses of each sentence, hypothesis k of sentence b in row k·B + b.
    """

    def __init__(
        self, attention: Attention, bottom: Recurrent, top: Recurrent | None, size: int, *, feeding: bool = False,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention, self.bottom, self.top, self.size, self.feeding = attention, bottom, top, size, feeding
        width = _width(bottom)
        want(attention.query_size == width, "Decoder attention", f"queries of {width}", attention.query_size)
        if top is not None:
            wide = width + attention.encoder_size
            want(top.input_size == wide, "Decoder top", f"input_size {wide}", top.input_size)
        last = bottom if top is None else top
        self.readout = nn.Linear(_width(last) + attention.encoder_size, size)
        self.dropout = Dropout(dropout)

    def start(self, encoder: EncoderStates, bottom: Any, top: Any = None) -> State:
        """The state before the first step, given those of the layers."""
        B, S, _ = encoder.values.shape
        readout = encoder.values.new_zeros(B, self.size) if self.feeding else None
        coverage = encoder.values.new_zeros(B, S) if self.attention.coverage else None
        return State(bottom, top, readout, coverage)

    def forward(
        self, x: Float[Tensor, "T N I"], encoder: EncoderStates, state: State
    ) -> tuple[Float[Tensor, "T N O"], Float[Tensor, "T N S"], State]:
        if isinstance(x, Proxy):
            return symbolic.record(self, x, (x, encoder, state), {})  # pyright: ignore[reportReturnType]
        shape("Decoder input", x, "T", "N", self.bottom.input_size - self.size * self.feeding)
        if state.readout is None:
            return self._run(x, encoder, state)
        outs, weights = [], []
        for step in x:
            o, a, state = self._run(torch.cat([step, state.readout], -1)[None], encoder, state)  # pyright: ignore
            outs.append(o)
            weights.append(a)
        return torch.cat(outs), torch.cat(weights), state

    def _run(self, x: Tensor, encoder: EncoderStates, state: State) -> tuple[Tensor, Tensor, State]:
        y, bottom = self.bottom(x, state.bottom)
        c, a = self._attend(y, encoder, state.coverage)
        y, top = torch.cat([y, c], -1), None
        if self.top is not None:
            y, top = self.top(self.dropout(y), state.top)
            y = torch.cat([y, c], -1)
        o = self.dropout(torch.tanh(self.readout(self.dropout(y))))
        coverage = None if state.coverage is None else state.coverage + a.sum(0)
        return o, a, State(bottom, top, o[-1] if self.feeding else None, coverage)

    def _attend(self, y: Tensor, encoder: EncoderStates, coverage: Tensor | None) -> tuple[Tensor, Tensor]:
        (T, N), (B, S) = y.shape[:2], encoder.mask.shape
        if N == B:
            return self.attention(y, encoder, coverage=coverage)
        queries = y.reshape(T * N // B, B, -1)  # the hypotheses of a sentence share its encoder states
        c, a = self.attention.attend(queries, encoder, None if coverage is None else coverage.view(-1, B, S))
        return c.reshape(T, N, -1), a.reshape(T, N, -1)


def search_step(
    decode: Callable[[Tensor, EncoderStates, State], tuple[Tensor, Tensor, State]],
    logits: Callable[[Tensor], Tensor],
    tokens: Int64[Tensor, "B K"],
    state: State,
    memory: EncoderStates,
) -> tuple[Float[Tensor, "B K V"], State, Float[Tensor, "B K S"]]:
    """One step of `gated.decode`'s searches by a network's calls of its decoder and of its output layer.

    decode: tokens (1, K·B), encoder states, state -> readouts, attention, state. Its rows k·B + b are axes (B, K) here.
    """
    B, K = tokens.shape
    rows = trees.map(lambda h: h.movedim((1, 0), (-3, -2)).flatten(-3, -2).contiguous(), state)
    o, a, after = decode(tokens.T.reshape(1, K * B), memory, rows)
    log_p = torch.log_softmax(logits(o[0]).float(), -1)
    return log_p.view(K, B, -1).transpose(0, 1), by_sentence(after, B), a.view(K, B, -1).transpose(0, 1)


def by_sentence(state: State, B: int) -> State:
    """Rows k·B + b of a state to axes (B, K)."""
    return trees.map(lambda h: h.unflatten(-2, (-1, B)).movedim((-3, -2), (1, 0)), state)


def _width(layer: Recurrent) -> int:
    return layer.stack.widths[-1]["h"]
