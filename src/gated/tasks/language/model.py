"""The network and its loss.

    x_t = E[w_t]        h_t = LSTM(x_t, h_{t-1}), one above the other        p(· | w_1 … w_t) = softmax(O h_t + b)

O = E where they are tied (Press & Wolf 2017; Inan et al. 2017); the last layer is then as wide as the embedding. Token
0 stands before the text. Regularized as by Merity et al. 2018: locked dropout, dropout of tokens, DropConnect on R,
penalties on the outputs and on their change. Mikolov et al. 2010; with LSTM, Sundermeyer et al. 2012.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import checkpoint
from gated._check import one_of, want
from gated.layers import GRU, LSTM
from gated.layers.dropout import drop_weights, embed, locked
from gated.layers.output import cross_entropy

LAYERS = {"lstm": LSTM, "gru": GRU}
WHOLE = 1000  # tokens of a vocabulary whose logits are made at once


class Shape(NamedTuple):
    """The arguments of a network that its weights depend on."""

    tokens: int
    cell: str
    layers: int
    units: int
    embedding: int
    tie: bool


class Noise(NamedTuple):
    """Rates of dropout, and weights of the penalties."""

    output: float = 0.0  # between layers, and of the last
    input: float = 0.0
    token: float = 0.0
    weight: float = 0.0
    activation: float = 0.0
    temporal: float = 0.0


class Network(nn.Module):
    """Tokens (T, B) to the outputs of the last layer after each, (T, B, O), the states, a list, and the outputs without
    dropout.
    """

    def __init__(self, shape: Shape, noise: Noise = Noise()) -> None:  # noqa: B008
        super().__init__()
        self.shape, self.noise = shape, noise
        V, _, L, H, E, tie = shape
        kind: Any = LAYERS[shape.cell]
        widths = [*[H] * (L - 1), E if tie else H]
        more: Any = {"init": "orthogonal", "forget_bias": 1.0}
        self.embed = nn.Embedding(V, E)
        nn.init.normal_(self.embed.weight, std=0.1 if tie else E**-0.5)
        self.layers = nn.ModuleList(kind(i, o, **more) for i, o in zip([E, *widths], widths, strict=False))
        self.bias = nn.Parameter(torch.zeros(V))
        self.output = None if tie else nn.Parameter(torch.empty(V, H))
        if self.output is not None:
            nn.init.uniform_(self.output, -(H**-0.5), H**-0.5)

    @property
    def readout(self) -> Tensor:
        """O."""
        return self.embed.weight if self.output is None else self.output

    def forward(
        self, tokens: Int64[Tensor, "T B"], states: Any = None
    ) -> tuple[Float[Tensor, "T B O"], list[Any], Float[Tensor, "T B O"]]:
        noise, training = self.noise, self.training
        x = locked(embed(tokens, self.embed.weight, noise.token, training), noise.input, training)
        out, h = [], x
        for k, layer in enumerate(self.layers):
            h, state = drop_weights(layer, noise.weight, training, x, None if states is None else states[k])
            out.append(state)
            x = locked(h, noise.output, training)
        return x, out, h

    def logits(self, h: Float[Tensor, "... O"]) -> Float[Tensor, "... V"]:
        return nn.functional.linear(h, self.readout, self.bias)


def loss(network: Network, x: Int64[Tensor, "T B"], y: Int64[Tensor, "T B"], states: Any) -> tuple[Any, list[Any]]:
    """(Σ −log p(y) and its count, penalties in it) and the states.

    Penalties: α mean(x_t²) of the outputs with dropout, β mean((h_t − h_{t−1})²) without (Merity et al. 2018, §4.6).
    """
    out, states, h = network(x, states)
    flat = out.flatten(0, 1)
    if len(network.bias) <= WHOLE:
        total = nn.functional.cross_entropy(network.logits(flat).float(), y.flatten(), reduction="sum")
    else:
        total = cross_entropy(flat, network.readout, network.bias, y.flatten())
    noise = network.noise
    if network.training and noise.activation:
        total = total + noise.activation * y.numel() * out.float().square().mean()
    if network.training and noise.temporal and len(h) > 1:
        total = total + noise.temporal * y.numel() * (h[1:] - h[:-1]).float().square().mean()
    return (total, y.numel()), states


def restore(words: dict[str, Any], tokens: int, state: dict[str, Tensor]) -> Network:
    """The network of a run folder."""
    shape = Shape(**words)
    one_of("run folder cell", shape.cell, tuple(LAYERS))
    whole = all(type(size) is int and size > 0 for size in (shape.tokens, shape.layers, shape.units, shape.embedding))
    fits = whole and type(shape.tie) is bool and shape.tokens == tokens and shape.layers <= len(state)
    want(fits, "run folder", "a shape that its weights and tokens fit", "another")
    return checkpoint.build(lambda: Network(shape), state)


def shape_of(state: dict[str, Tensor], cell: str) -> Shape:
    """The shape of the network whose weights these are, by name."""
    tokens, embedding = state["embed.weight"].shape
    layers = sum(name.endswith("weight_hh_l0") for name in state)
    units = state["layers.0.weight_hh_l0"].shape[1]
    return Shape(tokens, cell, layers, units, embedding, "output" not in state)
