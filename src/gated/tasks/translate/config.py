"""What a person may choose about a translator; every default stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, fields

from gated._check import one_of, option, settle, want, within


@dataclass(frozen=True)
class Config:
    """How a translator is made and taught; None means that the value follows from the data."""

    tokens: str = option("bpe", "What a token is.", choices=("bpe", "word", "char"))
    vocabulary: int | None = option(None, "Tokens of each language, at most.")
    lower: bool = option(False, "Read and write lower case only.")
    columns: tuple[str, ...] = option((), "Names of source and target in JSON lines, or in the header of a TSV.")
    longest: int = option(100, "Pairs with a side of more tokens are left out.")
    cell: str = option("lstm", "Recurrent cell.", choices=("lstm", "gru"))
    layers: int = option(2, "Layers of encoder and of decoder.")
    units: int | None = option(None, "Units of each layer and direction.")
    embedding: int | None = option(None, "Width of the embeddings.")
    attention: str = option("general", "Score of the attention.", choices=("additive", "dot", "general"))
    attend: str = option(
        "first", "Decoder layer after which attention comes; the layers above see its looks.", choices=("first", "last")
    )
    feeding: bool = option(False, "Feed each step's readout to the next (slow: steps then run one by one).")
    coverage: int = option(
        0, "Attention knows how often it looked at each token (1) and at those around it (3, 5, …); 0 is off. Slow."
    )
    coverage_loss: float = option(0.0, "Cost of looking twice at one place.")
    dropout: float | None = option(None, "Dropout between layers.")
    recurrent_dropout: float = option(0.0, "Dropout of h inside the layers, one mask a sequence.")
    zoneout: float = option(0.0, "Zoneout of the layers' states.")
    token_dropout: float = option(0.0, "Share of tokens read as unknown while learning.")
    bpe_dropout: float = option(0.0, "Share of merges left out while learning, so that words are cut in many ways.")
    smoothing: float = option(0.1, "Label smoothing.")
    sampling: float = option(0.0, "Scheduled sampling: share of read tokens that are the network's own guesses.")
    batch: int = option(1200, "Tokens of the longer side in a batch, padding included.")
    steps: int | None = option(None, "Updates of the weights.")
    lr: float = option(2e-3, "Peak learning rate.")
    clip: float = option(1.0, "Largest norm of the gradient.")
    average: int = option(1, "Keep the mean of so many best evaluations' weights.")
    ema: float = option(0.0, "Decay of running averages of the weights; 0 is off.")
    monitor: str = option("bleu", "What is best on the validation set.", choices=("bleu", "loss"))
    patience: int | None = option(None, "Evaluations without a better one before stopping.")
    time_limit: float | None = option(None, "Stop learning in time: 90s, 30m, 2h.", seconds=True)
    precision: str = option(
        "auto", "auto takes bfloat16 products where the processor has them.", choices=("auto", "32", "bf16")
    )
    watch: bool = option(False, "Record each layer's gradients and gates while it learns, in history.csv.")
    device: str = option("auto", "auto, cpu or cuda.")
    seed: int = option(0, "Two runs with one seed are equal, if no time limit ends them.")

    def __post_init__(self) -> None:
        want(not isinstance(self.columns, str), "columns", "two names, source and target", repr(self.columns))
        object.__setattr__(self, "columns", tuple(self.columns))
        want(len(self.columns) in (0, 2), "columns", "two names, source and target", self.columns)
        for name in ("longest", "layers", "batch", "average"):
            settle(self, name, 1)
        settle(self, "seed", 0)
        for name in ("vocabulary", "units", "embedding", "steps", "patience"):
            if getattr(self, name) is not None:
                settle(self, name, 1)
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
        settle(self, "coverage", 0)
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
