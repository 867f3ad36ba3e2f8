"""The classifier's record and its options; every default stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from gated._check import want
from gated.options import Training, default, option
from gated.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Config(Training):
    """How a classifier is built and trained; None means that the value follows from the data."""

    text: str | None = option(None, "Column of the text.")
    target: str | None = option(None, "Column of the label, or of the number to predict.")
    id: str | None = option(None, "Column that names the series, where each row of a table is one time step.")
    time: str | None = option(None, "Column of the time, or of the order of steps; by default the order of rows.")
    channels: tuple[str, ...] = option((), "Columns of values; by default all others that are numbers.")
    output: str = option(
        "auto",
        "What is predicted: one label, several labels, or a number; auto tells a number from labels.",
        choices=("auto", "label", "labels", "number"),
    )
    separator: str = option("|", "What parts several labels in one cell.")
    lower: bool = option(True, "Lower-case the text.")
    size: int | None = option(
        None, "Pixels of the longer side of images, and of the frames of videos.", low=4, high=512
    )
    longest: int = option(1000, "Tokens of a text that are read; the rest of a longer one is left out.", low=1)
    vocabulary: int | None = option(None, "Maximum number of tokens.", low=1)
    front: str = option(
        "auto", "Layers before the recurrent ones: convolutions or none.", choices=("auto", "conv", "none")
    )
    cell: str = option("lstm", "Recurrent cell.", choices=("lstm", "gru"))
    layers: int = option(1, "Number of recurrent layers.", low=1)
    units: int | None = option(None, "Hidden units of each layer and direction.", low=1)
    embedding: int | None = option(None, "Embedding dimension of the tokens.", low=1)
    pooling: tuple[str, ...] = option((), "Pooling over steps: mean, max, last, attention, or several of them.")
    dropout: float | None = option(None, "Dropout before the recurrent layers and before the output.", low=0, high=0.95)
    augment: float = option(1.0, "Strength of data augmentation during training; 0 disables it.", low=0, high=3)
    smoothing: float = option(0.1, "Label smoothing.", low=0, high=0.95)
    balance: float = option(
        0.0, "Weight of rare labels in the loss, from 0, as often as they occur, to 1, all labels alike.", low=0, high=1
    )
    hold: float = option(0.1, "Share of the examples held out where there are no validation data.", low=0, high=0.5)
    batch: int | None = option(None, "Examples in a batch; by default 64 texts, 32 others.", low=1)
    lr: float = default("lr", 2e-3)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("text", "target", "id", "time", "separator"):
            value = getattr(self, name)
            fits = (
                isinstance(value, str) and bool(value)
                if name == "separator"
                else value is None or isinstance(value, str)
            )
            want(fits, name, "a text", repr(value)[:40])
        fits = all(isinstance(name, str) for name in (*self.channels, *self.pooling))
        want(fits, "channels and pooling", "names", repr((self.channels, self.pooling))[:40])


TASK = Task(
    name="classify",
    help="A label or a number for a sequence: text, series, sound, images.",
    extra="classify",
    Config=Config,
    metric="accuracy",
    lower=False,
    artefacts=("held", "attend.png"),
    verbs={"attend": "Show which steps of an input decided."},
)
