"""The network: convolutions where they pay, recurrent layers in both directions, pooling over steps, and its loss."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import checkpoint
from gated._check import want
from gated.features.tokens import PAD, UNK
from gated.layers import GRU, LSTM
from gated.layers.convolution import Block, Convolutions
from gated.layers.dropout import Dropout
from gated.layers.pooling import KINDS, Pooling, mask

LAYERS = {"lstm": LSTM, "gru": GRU}
OUTPUTS = ("label", "labels", "number")
WIDE = 0.3  # dropout of the linear model's terms


class Shape(NamedTuple):
    """The arguments of a network that its weights and equations depend on."""

    vocabulary: int  # tokens; 0 where the input is numbers
    rows: int  # numbers of a step, or the embedding's dimension
    outputs: int
    output: str  # what they are: logits of one label, of several, or a number
    blocks: tuple[tuple[int, int, int, int], ...]  # `Block`s of the front
    plane: bool  # whether the rows are a picture's or a spectrum's
    cell: str
    layers: int  # 0 is a network without memory
    units: int
    pooling: tuple[str, ...]
    pairs: int = 0  # of neighbouring tokens, which have weights of their own; 0 where single tokens have none either


class Batch(NamedTuple):
    """B sequences: tokens (T, B), or numbers (B, R, T), zeros beyond the ends; targets as of `Targets.encode`."""

    x: Tensor
    lengths: Int64[Tensor, " B"]
    target: Tensor | None = None


class Network(nn.Module):
    """One vector of a sequence, and scores of it:

        y = front(x)      h = biLSTM(y)      s = W [pool(h), mean(y), max(y)] + b

    The pooled front bypasses the recurrent layers, as in LSTM-FCN (Karim et al. 2018). Without a front y is x, the
    embeddings of tokens, and only h is pooled. s are logits of labels, or one number in units of the target's
    standard deviation.

    Of text a linear model is added, as in Cheng et al. (2016): Σ_t u[x_t] + v[x_t, x_{t+1}], of the pairs that occur
    twice in the training data. In training its terms are dropped at the rate `WIDE`.
    """

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.rows, padding_idx=PAD) if shape.vocabulary else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=0.3)
        blocks = [Block(*block) for block in shape.blocks]
        self.front = Convolutions(shape.rows, blocks, shape.plane) if blocks else None
        features = self.front.features if self.front is not None else shape.rows
        self.dropout = Dropout(dropout)
        self.layers: Any = None
        self.bypass = Pooling(features, ("mean", "max")) if blocks or not shape.layers else None
        width = 0 if self.bypass is None else self.bypass.features
        if shape.layers:
            more: dict[str, Any] = dict(forget_bias=1.0) if shape.cell == "lstm" else {}
            self.layers = LAYERS[shape.cell](
                features, shape.units, shape.layers, dropout=dropout if shape.layers > 1 else 0.0, bidirectional=True,
                init="orthogonal", **more,
            )  # fmt: skip
            self.pooling = Pooling(2 * shape.units, shape.pooling)
            width += self.pooling.features
        self.output = nn.Linear(width, shape.outputs)
        self.wide = nn.Embedding(shape.vocabulary + shape.pairs, shape.outputs) if shape.pairs else None
        if self.wide is not None:
            nn.init.zeros_(self.wide.weight)
            self.register_buffer("pairs", torch.zeros(shape.pairs, dtype=torch.int64))  # x V + y, in order

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """The outputs of front and recurrent layers, (T', B, …), and their lengths."""
        y = self.embed(x) if self.embed is not None else x
        if self.front is not None:
            y, lengths = self.front(y.permute(1, 2, 0) if self.embed is not None else y, lengths)
        elif self.embed is None:
            y = y.permute(2, 0, 1).contiguous()
        h = None if self.layers is None else self.layers(self.dropout(y), lengths=lengths)[0]
        return y, h, lengths

    def forward(self, x: Tensor, lengths: Int64[Tensor, " B"]) -> Float[Tensor, "B K"]:
        """s, the scores of the outputs."""
        y, h, lengths = self.encode(x, lengths)
        parts = [] if self.bypass is None else [self.bypass(y, lengths)]
        parts += [] if h is None else [self.pooling(h, lengths)]
        s = self.output(self.dropout(torch.cat(parts, 1))).float()
        return s if self.wide is None else s + self.add(x, lengths)

    def add(self, x: Int64[Tensor, "T B"], lengths: Int64[Tensor, " B"]) -> Float[Tensor, "B K"]:
        """The linear model's terms: of tokens but the unknown one, and of known pairs."""
        V, pairs, exists = self.shape.vocabulary, cast(Tensor, self.pairs), mask(lengths, len(x))
        code = x[:-1] * V + x[1:]
        k = torch.searchsorted(pairs, code).clamp(max=len(pairs) - 1)
        known = exists[1:] & (pairs[k] == code)
        terms = torch.cat([torch.where(exists & (x != UNK), x, PAD), torch.where(known, V + k, PAD)])
        use = terms != PAD
        if self.training:
            use = use & (torch.rand(terms.shape, device=terms.device) >= WIDE)
        return (cast(nn.Embedding, self.wide)(terms) * use[..., None]).sum(0).float()

    def attention(self, x: Tensor, lengths: Int64[Tensor, " B"]) -> Float[Tensor, "S B"]:
        """The share of each step in the attention pooling."""
        _, h, steps = self.encode(x, lengths)
        want(h is not None, "attention", "recurrent layers", "none")
        return self.pooling.weights(h, steps)  # pyright: ignore[reportArgumentType]


def loss(network: Network, batch: Batch, smoothing: float = 0.0, weights: Tensor | None = None) -> tuple[Tensor, int]:
    """Σ of −log p of the targets of a batch, and their number; of numbers Σ of Huber's loss, δ = 1.

    smoothing: ε of label smoothing. weights: of each label, 1 in the mean over the examples.
    """
    scores, target = network(batch.x, batch.lengths), batch.target
    if network.shape.output == "number":
        total = nn.functional.huber_loss(scores[:, 0], target, reduction="sum")  # pyright: ignore[reportArgumentType]
    elif network.shape.output == "labels":
        soft = target * (1 - smoothing) + smoothing / 2  # pyright: ignore[reportOptionalOperand]
        total = nn.functional.binary_cross_entropy_with_logits(scores, soft, weights, reduction="sum")
    else:
        total = nn.functional.cross_entropy(scores, target, weights, reduction="sum", label_smoothing=smoothing)  # pyright: ignore[reportArgumentType]
    return total, len(scores)


def restore(words: dict[str, Any], state: dict[str, Tensor]) -> Network:
    """The network of a run folder."""
    blocks = tuple(tuple(block) for block in words["blocks"])
    shape = Shape(**{**words, "blocks": blocks, "pooling": tuple(words["pooling"])})  # pyright: ignore
    counts = [shape.rows, shape.outputs, shape.layers, shape.units, *(n for block in blocks for n in block)]
    fits = (
        all(type(n) is int and 0 < n < 1 << 20 for n in counts) and type(shape.vocabulary) is int
        and 0 <= shape.vocabulary < 1 << 24 and type(shape.plane) is bool and shape.output in OUTPUTS
        and shape.cell in LAYERS and all(len(block) == 4 for block in blocks)
        and type(shape.pairs) is int and 0 <= shape.pairs < 1 << 24
        and set(shape.pooling) <= set(KINDS) and max(shape.layers, len(blocks)) <= len(state)
    )  # fmt: skip
    want(fits, "run folder", "a shape that its weights fit", "another")
    return checkpoint.build(lambda: Network(shape), state)
