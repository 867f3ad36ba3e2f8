"""The language model's record and its options; every default stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from gated.options import Training, default, option
from gated.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Config(Training):
    """How a language model is built and trained; None means that the value follows from the text and the time limit."""

    level: str = option(
        "auto",
        "Tokens: bytes, characters, byte pairs or words; auto follows from the text.",
        choices=("auto", "byte", "char", "bpe", "word"),
    )
    vocabulary: int | None = option(None, "Maximum number of words or byte pairs.", low=2)
    key: str = option("text", "Key of the text in JSON lines.")
    hold: float = option(
        0.02,
        "Fraction of the text to validate on if --valid is not given; 0 keeps the last weights.",
        low=0,
        high=0.5,
    )
    cell: str = option("lstm", "Recurrent cell.", choices=("lstm", "gru"))
    layers: int | None = option(None, "Number of recurrent layers.", low=1)
    units: int | None = option(None, "Hidden units of each layer.", low=1)
    embedding: int | None = option(None, "Embedding dimension.", low=1)
    tie: bool | None = option(
        None, "Use the embedding as the output layer's weights; by default for words and byte pairs."
    )
    dropout: float | None = option(None, "Locked dropout between layers and before the output.", low=0, high=0.95)
    input_dropout: float | None = option(None, "Locked dropout of the embedded tokens.", low=0, high=0.95)
    embedding_dropout: float | None = option(None, "Dropout of whole tokens from the embedding.", low=0, high=0.95)
    weight_dropout: float | None = option(None, "DropConnect on the recurrent weights.", low=0, high=0.95)
    activation: float | None = option(None, "Weight of the activation regularization of the outputs.", low=0)
    temporal: float | None = option(None, "Weight of the regularization of the outputs' change in a step.", low=0)
    batch: int | None = option(None, "Number of parallel streams of text.", low=1)
    window: int = option(64, "Steps of truncated backpropagation through time.", low=2)
    lr: float | None = option(None, "Peak learning rate.", low=1e-9)  # pyright: ignore[reportIncompatibleVariableOverride]
    ema: float = default("ema", 0.998)


TASK = Task(
    name="language",
    help="Read and write text, and say what is surprising in it.",
    extra="language",
    Config=Config,
    metric="nats",
    lower=True,
    artefacts=("surprise.html",),
    verbs={
        "surprise": "Mark how surprising each token of a text is.",
        "update": "Train a run further on new text, as a new run.",
    },
)
