"""What a person may choose about a translator; every default stands here and nowhere else."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, fields
from typing import Any

from gated._check import one_of, want, within


def _opt(default: Any, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"help": help, **more})


@dataclass(frozen=True)
class Config:
    """How a translator is made and taught; None means that the value follows from the data."""

    tokens: str = _opt("bpe", "What a token is.", choices=("bpe", "word", "char"))
    vocabulary: int | None = _opt(None, "Tokens of each language, at most.")
    lower: bool = _opt(False, "Read and write lower case only.")
    columns: tuple[str, ...] = _opt((), "Names of source and target in JSON lines, or in the header of a TSV.")
    longest: int = _opt(100, "Pairs with a side of more tokens are left out.")
    cell: str = _opt("lstm", "Recurrent cell.", choices=("lstm", "gru"))
    layers: int = _opt(2, "Layers of encoder and of decoder.")
    units: int | None = _opt(None, "Units of each layer and direction.")
    embedding: int | None = _opt(None, "Width of the embeddings.")
    attention: str = _opt("general", "Score of the attention.", choices=("additive", "dot", "general"))
    attend: str = _opt(
        "first", "Decoder layer after which attention comes; the layers above see its looks.", choices=("first", "last")
    )
    feeding: bool = _opt(False, "Feed each step's readout to the next (slow: steps then run one by one).")
    coverage: int = _opt(
        0, "Attention knows how often it looked at each token (1) and at those around it (3, 5, …); 0 is off. Slow."
    )
    coverage_loss: float = _opt(0.0, "Cost of looking twice at one place.")
    dropout: float | None = _opt(None, "Dropout between layers.")
    recurrent_dropout: float = _opt(0.0, "Dropout of h inside the layers, one mask a sequence.")
    zoneout: float = _opt(0.0, "Zoneout of the layers' states.")
    token_dropout: float = _opt(0.0, "Share of tokens read as unknown while learning.")
    bpe_dropout: float = _opt(0.0, "Share of merges left out while learning, so that words are cut in many ways.")
    smoothing: float = _opt(0.1, "Label smoothing.")
    sampling: float = _opt(0.0, "Scheduled sampling: share of read tokens that are the network's own guesses.")
    batch: int = _opt(1200, "Tokens of the longer side in a batch, padding included.")
    steps: int | None = _opt(None, "Updates of the weights.")
    lr: float = _opt(2e-3, "Peak learning rate.")
    clip: float = _opt(1.0, "Largest norm of the gradient.")
    average: int = _opt(1, "Keep the mean of so many best evaluations' weights.")
    ema: float = _opt(0.0, "Decay of running averages of the weights; 0 is off.")
    monitor: str = _opt("bleu", "What is best on the validation set.", choices=("bleu", "loss"))
    patience: int | None = _opt(None, "Evaluations without a better one before stopping.")
    time_limit: float | None = _opt(None, "Stop learning in time: 90s, 30m, 2h.", seconds=True)
    precision: str = _opt(
        "auto", "auto takes bfloat16 products where the processor has them.", choices=("auto", "32", "bf16")
    )
    watch: bool = _opt(False, "Record each layer's gradients and gates while it learns, in history.csv.")
    device: str = _opt("auto", "auto, cpu or cuda.")
    seed: int = _opt(0, "Two runs with one seed are equal, if no time limit ends them.")

    def __post_init__(self) -> None:
        want(not isinstance(self.columns, str), "columns", "two names, source and target", repr(self.columns))
        object.__setattr__(self, "columns", tuple(self.columns))
        want(len(self.columns) in (0, 2), "columns", "two names, source and target", self.columns)
        for name in ("longest", "layers", "batch", "average"):
            self._whole(name, 1)
        self._whole("seed", 0)
        for name in ("vocabulary", "units", "embedding", "steps", "patience"):
            if getattr(self, name) is not None:
                self._whole(name, 1)
        for name in (
            "dropout",
            "recurrent_dropout",
            "zoneout",
            "token_dropout",
            "bpe_dropout",
            "smoothing",
            "sampling",
        ):
            if getattr(self, name) is not None:
                within(name, getattr(self, name), 0, 0.95)
        within("ema", self.ema, 0, 0.99999)
        self._whole("coverage", 0)
        want(self.coverage in (0, *range(1, 100, 2)), "coverage", "0, or an odd number below 100", self.coverage)
        within("coverage_loss", self.coverage_loss, 0)
        within("clip", self.clip, 1e-9)
        within("lr", self.lr, 1e-9)
        if self.time_limit is not None:
            within("time_limit", self.time_limit, 0.001)
        for one in fields(self):
            if "choices" in one.metadata:
                one_of(one.name, getattr(self, one.name), one.metadata["choices"])
        one_of("device", self.device, ("auto", "cpu", "cuda"))
        todo = "Leave it out, or take tokens='bpe'."
        want(not self.bpe_dropout or self.tokens == "bpe", "bpe_dropout", "tokens that are merged", self.tokens, todo)

    def _whole(self, name: str, low: int) -> None:
        """The field must be a whole number of at least `low`; NumPy's become Python's."""
        got = getattr(self, name)
        number = operator.index(got) if hasattr(got, "__index__") and not isinstance(got, bool) else low - 1
        want(number >= low, name, f"a whole number of at least {low}", repr(got))
        object.__setattr__(self, name, number)
