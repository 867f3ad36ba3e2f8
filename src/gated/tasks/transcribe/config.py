"""What a person may choose about a transcriber; every default stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, fields

from gated._check import one_of, option, settle, want, within


@dataclass(frozen=True)
class Config:
    """How a transcriber is made and taught; None means that the value follows from the data."""

    tokens: str = option("char", "What it writes.", choices=("char", "word"))
    lower: bool = option(False, "Write lower case only.")
    bad: str = option("refuse", "Files that cannot be read or learnt from.", choices=("refuse", "skip"))
    hold: float = option(0.05, "Share held out to validate on where nothing is given; 0 keeps the last weights.")
    longest: float | None = option(None, "Longest example, in seconds of sound (60) or heights of a line (100).")
    rate: int | None = option(
        None, "Samples a second that sound is read at; that of the training files, at most 16,000."
    )
    bands: int | None = option(None, "Bands of the mel scale.")
    height: int = option(32, "Rows that a line is scaled to.")
    dewarp: bool = option(True, "Straighten lines.")
    normalise: str | None = option(
        None,
        "Take mean and spread of a band from each sound, from all of a speaker's, or from the sound so far.",
        choices=("utterance", "speaker", "running"),
    )
    streaming: bool = option(False, "Read forward only, so that it can listen.")
    front: str = option("conv", "What shortens time before the layers.", choices=("conv", "stack"))
    reduce: int = option(4, "Frames that become one step.")
    cell: str = option("lstm", "Recurrent cell.", choices=("lstm", "gru"))
    layers: int = option(2, "Recurrent layers.")
    units: int | None = option(None, "Units of each layer and direction.")
    decoder: str = option(
        "ctc", "What writes: CTC, or attention (listen, attend, spell).", choices=("ctc", "attention")
    )
    dropout: float | None = option(None, "Dropout before, between and after layers.")
    augment: float = option(1.0, "Strength of the changes that examples undergo while learning; 0 is none.")
    mask: float = option(1.0, "Strength of SpecAugment: bands and frames of sound hidden while learning.")
    join: int = option(1, "Learn from up to so many examples of one speaker in a row, one more every 4 passes.")
    batch: int | None = option(None, "Frames of a batch, padding included.")
    steps: int | None = option(None, "Updates of the weights; 60 passes and at least 3,000, or what the time allows.")
    lr: float = option(2e-3, "Peak learning rate.")
    clip: float = option(5.0, "Largest norm of the gradient.")
    average: int = option(1, "Keep the mean of so many best evaluations' weights.")
    ema: float = option(0.998, "Decay of running averages of the weights; 0 is off.")
    patience: int | None = option(None, "Evaluations without a better one before stopping.")
    time_limit: float | None = option(None, "Stop learning in time: 90s, 30m, 2h.", seconds=True)
    precision: str = option(
        "auto", "auto takes bfloat16 products where the processor has them.", choices=("auto", "32", "bf16")
    )
    watch: bool = option(False, "Record each layer's gradients and gates while it learns, in history.csv.")
    device: str = option("auto", "auto, cpu or cuda.")
    seed: int = option(0, "Two runs with one seed are equal, if no time limit ends them.")

    def __post_init__(self) -> None:
        for name in ("height", "layers", "join", "average", "reduce"):
            settle(self, name, 1)
        settle(self, "seed", 0)
        for name in ("rate", "bands", "units", "batch", "steps", "patience"):
            if getattr(self, name) is not None:
                settle(self, name, 1)
        for name, low, high in (("rate", 1000, 192_000), ("bands", 8, 256), ("height", 8, 256), ("reduce", 1, 16)):
            if getattr(self, name) is not None:
                within(name, getattr(self, name), low, high)
        if self.dropout is not None:
            within("dropout", self.dropout, 0, 0.95)
        within("hold", self.hold, 0, 0.9)
        within("augment", self.augment, 0, 3)
        within("mask", self.mask, 0, 3)
        within("ema", self.ema, 0, 0.99999)
        within("clip", self.clip, 1e-9)
        within("lr", self.lr, 1e-9)
        for name in ("time_limit", "longest"):
            if getattr(self, name) is not None:
                within(name, getattr(self, name), 0.001)
        for one in fields(self):
            if "choices" in one.metadata and getattr(self, one.name) is not None:
                one_of(one.name, getattr(self, one.name), one.metadata["choices"])
        one_of("device", self.device, ("auto", "cpu", "cuda"))
        todo = "Leave normalise out, or take running."
        causal = not self.streaming or self.normalise in (None, "running")
        want(causal, "normalise", "running, for a streaming network", self.normalise, todo)
        powers = self.front == "stack" or self.reduce in (1, 2, 4, 8)
        want(powers, "reduce", "1, 2, 4 or 8 frames for front='conv'", self.reduce)
        alone = not self.streaming or self.decoder == "ctc"
        want(alone, "decoder", "ctc, for a streaming network", self.decoder, "Attention needs all of the sound.")
