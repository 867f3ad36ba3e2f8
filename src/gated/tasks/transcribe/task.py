"""The transcriber's record and its options; every default stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from gated._check import want
from gated.options import Training, default, option
from gated.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Config(Training):
    """How a transcriber is built and trained; None means that the value follows from the data."""

    tokens: str = option("char", "Output symbols: characters or words.", choices=("char", "word"))
    lower: bool = option(False, "Lower-case the text.")
    bad: str = option("refuse", "Unreadable or unusable files: refuse them or skip them.", choices=("refuse", "skip"))
    columns: tuple[str, ...] = option(
        (), "Columns of manifests: PATH,TEXT and, with their names, speaker=, start=, end= or duration=."
    )
    hold: float = option(
        0.05,
        "Validation fraction if --valid is not given; 0 disables validation and keeps the last weights.",
        low=0,
        high=0.9,
    )
    longest: float | None = option(
        None, "Maximum length of an example, in seconds of sound (60) or line heights (100).", low=0.001
    )
    rate: int | None = option(
        None, "Sample rate in Hz; by default that of the training files, at most 16,000.", low=1000, high=192_000
    )
    bands: int | None = option(None, "Number of mel bands.", low=8, high=256)
    height: int = option(32, "Height in pixels to which lines are scaled.", low=8, high=256)
    dewarp: bool = option(True, "Straighten lines before scaling.")
    normalise: str | None = option(
        None,
        "Normalise each band by the statistics of the utterance, of the speaker, or of the sound so far (running).",
        choices=("utterance", "speaker", "running"),
    )
    streaming: bool = option(False, "Use a forward-only network, which can transcribe live sound.")
    front: str = option(
        "conv", "Front end that reduces the frame rate: convolutions or frame stacking.", choices=("conv", "stack")
    )
    reduce: int = option(4, "Frames per output step.", low=1, high=16)
    cell: str = option("lstm", "Recurrent cell.", choices=("lstm", "gru"))
    layers: int = option(2, "Number of recurrent layers.", low=1)
    units: int | None = option(None, "Hidden units of each layer and direction.", low=1)
    decoder: str = option(
        "ctc",
        "Output: CTC, or an attention decoder (listen, attend and spell) trained jointly with CTC.",
        choices=("ctc", "attention"),
    )
    dropout: float | None = option(None, "Dropout before, between and after layers.", low=0, high=0.95)
    augment: float = option(1.0, "Strength of data augmentation during training; 0 disables it.", low=0, high=3)
    mask: float = option(1.0, "Strength of SpecAugment masking during training; 0 disables it.", low=0, high=3)
    join: int = option(1, "Concatenate up to N examples of one speaker, one more every 4 epochs.", low=1)
    batch: int | None = option(None, "Maximum frames in a batch, padding included.", low=1)
    steps: int | None = option(
        None, "Number of weight updates; by default 60 epochs and at least 3,000, or what the time limit allows.", low=1
    )
    lr: float = default("lr", 2e-3)
    clip: float = default("clip", 5.0)
    ema: float = default("ema", 0.998)

    def __post_init__(self) -> None:
        super().__post_init__()
        todo = "Leave normalise out, or take running."
        causal = not self.streaming or self.normalise in (None, "running")
        want(causal, "normalise", "running, for a streaming network", self.normalise, todo)
        powers = self.front == "stack" or self.reduce in (1, 2, 4, 8)
        want(powers, "reduce", "1, 2, 4 or 8 frames for front='conv'", self.reduce)
        alone = not self.streaming or self.decoder == "ctc"
        want(alone, "decoder", "ctc, for a streaming network", self.decoder, "Attention needs all of the sound.")


TASK = Task(
    name="transcribe",
    help="Speech, or lines of print, to text.",
    extra="transcribe",
    Config=Config,
    metric="cer",
    lower=True,
    artefacts=("reading.png",),
    verbs={
        "update": "Train a run further on new files.",
        "listen": "Transcribe sound while it comes.",
        "language": "Train a language model on lines of text, for --lm.",
    },
)
