"""What a person may choose about a transcriber; every default stands here and nowhere else."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, fields
from typing import Any

from gated._check import one_of, want, within


def _opt(default: Any, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"help": help, **more})


@dataclass(frozen=True)
class Config:
    """How a transcriber is made and taught; None means that the value follows from the data."""

    tokens: str = _opt("char", "What it writes.", choices=("char", "word"))
    lower: bool = _opt(False, "Write lower case only.")
    bad: str = _opt("refuse", "Files that cannot be read or learnt from.", choices=("refuse", "skip"))
    hold: float = _opt(0.05, "Share held out to validate on where nothing is given; 0 keeps the last weights.")
    longest: float | None = _opt(None, "Longest example, in seconds of sound (60) or heights of a line (100).")
    rate: int | None = _opt(None, "Samples a second that sound is read at; that of the training files, at most 16,000.")
    bands: int | None = _opt(None, "Bands of the mel scale.")
    height: int = _opt(32, "Rows that a line is scaled to.")
    dewarp: bool = _opt(True, "Straighten lines.")
    normalise: str | None = _opt(
        None,
        "Take mean and spread of a band from each sound, from all of a speaker's, or from the sound so far.",
        choices=("utterance", "speaker", "running"),
    )
    streaming: bool = _opt(False, "Read forward only, so that it can listen.")
    front: str = _opt("conv", "What shortens time before the layers.", choices=("conv", "stack"))
    reduce: int = _opt(4, "Frames that become one step.")
    cell: str = _opt("lstm", "Recurrent cell.", choices=("lstm", "gru"))
    layers: int = _opt(2, "Recurrent layers.")
    units: int | None = _opt(None, "Units of each layer and direction.")
    decoder: str = _opt("ctc", "What writes: CTC, or attention (listen, attend, spell).", choices=("ctc", "attention"))
    dropout: float | None = _opt(None, "Dropout before, between and after layers.")
    augment: float = _opt(1.0, "Strength of the changes that examples undergo while learning; 0 is none.")
    mask: float = _opt(1.0, "Strength of SpecAugment: bands and frames of sound hidden while learning.")
    join: int = _opt(1, "Learn from up to so many examples of one speaker in a row, one more every 4 passes.")
    batch: int | None = _opt(None, "Frames of a batch, padding included.")
    steps: int | None = _opt(None, "Updates of the weights; 60 passes and at least 3,000, or what the time allows.")
    lr: float = _opt(2e-3, "Peak learning rate.")
    clip: float = _opt(5.0, "Largest norm of the gradient.")
    average: int = _opt(1, "Keep the mean of so many best evaluations' weights.")
    ema: float = _opt(0.998, "Decay of running averages of the weights; 0 is off.")
    patience: int | None = _opt(None, "Evaluations without a better one before stopping.")
    time_limit: float | None = _opt(None, "Stop learning in time: 90s, 30m, 2h.", seconds=True)
    precision: str = _opt(
        "auto", "auto takes bfloat16 products where the processor has them.", choices=("auto", "32", "bf16")
    )
    watch: bool = _opt(False, "Record each layer's gradients and gates while it learns, in history.csv.")
    device: str = _opt("auto", "auto, cpu or cuda.")
    seed: int = _opt(0, "Two runs with one seed are equal, if no time limit ends them.")

    def __post_init__(self) -> None:
        for name in ("height", "layers", "join", "average", "reduce"):
            self._whole(name, 1)
        self._whole("seed", 0)
        for name in ("rate", "bands", "units", "batch", "steps", "patience"):
            if getattr(self, name) is not None:
                self._whole(name, 1)
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

    def _whole(self, name: str, low: int) -> None:
        """The field must be a whole number of at least `low`; NumPy's become Python's."""
        got = getattr(self, name)
        number = operator.index(got) if hasattr(got, "__index__") and not isinstance(got, bool) else low - 1
        want(number >= low, name, f"a whole number of at least {low}", repr(got))
        object.__setattr__(self, name, number)
