"""The network: a bidirectional encoder and an attentional decoder; its loss, and one step of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import checkpoint
from gated._check import one_of, want
from gated.features.tokens import PAD, SPECIAL, UNK, Tokens
from gated.layers import GRU, LSTM, Attention, Decoder
from gated.layers.attention import EncoderStates
from gated.layers.dropout import Dropout
from gated.layers.output import cross_entropy
from gated.layers.seq2seq import State
from gated.tasks.translate.data import Batch

LAYERS = {"lstm": LSTM, "gru": GRU}


class Shape(NamedTuple):
    """The arguments of a network that its weights depend on."""

    source: int  # sizes of the vocabularies
    target: int
    cell: str
    layers: int
    units: int
    embedding: int
    attention: str
    attend: str
    feeding: bool
    coverage: int


class Noise(NamedTuple):
    """Rates of the noise of training."""

    dropout: float = 0.0
    recurrent: float = 0.0  # recurrent dropout
    zoneout: float = 0.0
    token: float = 0.0  # input tokens replaced by the unknown token


class Network(nn.Module):
    """p(y | x) = Π_t softmax(E o_t + b)[y_t]

        m = biLSTM(x)       s_0 = tanh(W mean(m) + b)       o_t = decoder(y_{t-1}, s_{t-1}, m)

    E also embeds the target (Press & Wolf 2017). c_0 has no tanh. The decoder is `layers.Decoder`. Dot attention needs
    encoder states as wide as its queries: m is then the sum of the two directions.

    source (S, B), lengths (B,), tokens (T, B); PAD follows the end.
    """

    def __init__(self, shape: Shape, noise: Noise = Noise()) -> None:  # noqa: B008
        super().__init__()
        self.shape, self.noise = shape, noise
        E, H, L, kind = shape.embedding, shape.units, shape.layers, LAYERS[shape.cell]
        below = 1 if shape.attend == "first" else L

        def stack(width: int, layers: int, **more: Any) -> Any:
            return kind(
                width, H, layers, dropout=noise.dropout if layers > 1 else 0.0, recurrent_dropout=noise.recurrent,
                zoneout=noise.zoneout, **more,
            )  # fmt: skip

        self.embed_source, self.embed_target = nn.Embedding(shape.source, E), nn.Embedding(shape.target, E)
        for table in (self.embed_source, self.embed_target):
            nn.init.normal_(table.weight, std=E**-0.5)
        self.encoder = stack(E, L, bidirectional=True)
        self.states = 2 if shape.cell == "lstm" else 1
        M = H if shape.attention == "dot" else 2 * H
        self.bridge = nn.Linear(M, self.states * L * H)
        self.decoder = Decoder(
            Attention(H, M, shape.attention, coverage=shape.coverage),
            stack(E + E * shape.feeding, below),
            stack(H + M, L - below) if below < L else None,
            E,
            feeding=shape.feeding,
            dropout=noise.dropout,
        )
        self.bias = nn.Parameter(torch.zeros(shape.target))
        self.dropout = Dropout(noise.dropout)

    def encode(self, source: Int64[Tensor, "S B"], lengths: Int64[Tensor, " B"]) -> tuple[EncoderStates, State]:
        """The encoder states, prepared for attention, and the decoder's initial state."""
        x = self.dropout(self.embed_source(self._drop_tokens(source)))
        y, _ = self.encoder(x, lengths=lengths)
        y = y.unflatten(-1, (2, -1)).sum(-2) if self.shape.attention == "dot" else y
        memory = self.decoder.attention.prepare(y, lengths)
        mean = memory.values.sum(1) / lengths.clamp(min=1)[:, None]
        start = self.bridge(mean).unflatten(1, (self.states, self.shape.layers, -1)).permute(1, 2, 0, 3)
        parts = [start[0].tanh(), *start[1:]]
        below = self.decoder.bottom.num_layers

        def hx(low: int, high: int) -> Any:
            own = tuple(part[low:high].to(y.dtype).contiguous() for part in parts)
            return own if self.states > 1 else own[0]

        top = None if self.decoder.top is None else hx(below, self.shape.layers)
        return memory, self.decoder.start(memory, hx(0, below), top)

    def decode(
        self, tokens: Int64[Tensor, "T N"], memory: EncoderStates, state: State
    ) -> tuple[Float[Tensor, "T N E"], Float[Tensor, "T N S"], State]:
        """The readout and the attention after each of these tokens, and the state after the last."""
        return self.decoder(self.dropout(self.embed_target(self._drop_tokens(tokens))), memory, state)

    def logits(self, o: Float[Tensor, "... E"]) -> Float[Tensor, "... V"]:
        return nn.functional.linear(o, self.embed_target.weight, self.bias)

    def _drop_tokens(self, tokens: Tensor) -> Tensor:
        if not self.training or not self.noise.token:
            return tokens
        chosen = torch.rand(tokens.shape, device=tokens.device) < self.noise.token
        return tokens.masked_fill(chosen & (tokens >= len(SPECIAL)), UNK)


def loss(
    network: Network, batch: Batch, smoothing: float = 0.0, sampling: float = 0.0, coverage: float = 0.0
) -> tuple[Tensor, int]:
    """Σ −log p of the tokens of a batch, and their number.

    smoothing: ε of label smoothing. sampling: the fraction of decoder inputs taken from the network's own predictions
    (scheduled sampling, Bengio et al. 2015; in two parallel passes, Mihaylova & Martins 2019). coverage: weight of
    Σ_t Σ_s min(a_ts, Σ_{t' < t} a_t's), the coverage loss (See et al. 2017, eq. 12).
    """
    memory, state = network.encode(batch.source, batch.lengths)
    before, real = batch.before, batch.after != PAD
    if sampling and network.training:
        with torch.no_grad():
            predictions = network.logits(network.decode(before, memory, state)[0]).argmax(-1)
            chosen = torch.rand(before[1:].shape, device=before.device) < sampling
            before = torch.cat([before[:1], torch.where(chosen, predictions[:-1], before[1:])])
    o, a, _ = network.decode(before, memory, state)
    after = batch.after[real]
    total = cross_entropy(o[real], network.embed_target.weight, network.bias, after, smoothing)
    if coverage:
        repeated = torch.minimum(a, a.cumsum(0) - a).sum(-1)
        total = total + coverage * repeated[real].sum()
    return total, len(after)


@dataclass(frozen=True)
class Translator:
    """A network and the tokens that it reads and writes."""

    source: Tokens
    target: Tokens
    network: Network
    longest: int  # of a training sentence, in tokens; longer sentences are translated in parts


def restore(words: dict[str, Any], source: Tokens, target: Tokens, state: dict[str, Tensor]) -> Network:
    """The network of a run folder."""
    shape = Shape(**words)
    one_of("run folder attend", shape.attend, ("first", "last"))
    fits = (shape.source, shape.target) == (len(source), len(target)) and shape.layers <= len(state)
    want(fits, "run folder", "a shape that its weights and tokens fit", "another")
    return checkpoint.build(lambda: Network(shape), state)
