"""The translator's record and its options; every default stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from gated._check import want
from gated.options import Training, default, option
from gated.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Config(Training):
    """How a translator is built and trained; None means that the value follows from the data."""

    tokens: str = option(
        "bpe", "Tokenization: byte-pair encoding, words or characters.", choices=("bpe", "word", "char")
    )
    vocabulary: int | None = option(None, "Maximum vocabulary size of each language.", low=1)
    lower: bool = option(False, "Lower-case source and target.")
    columns: tuple[str, ...] = option((), "Names of the source and target fields in JSON lines or a TSV header.")
    longest: int = option(100, "Maximum length in tokens; longer training pairs are dropped.", low=1)
    cell: str = option("lstm", "Recurrent cell.", choices=("lstm", "gru"))
    layers: int = option(2, "Number of encoder layers and of decoder layers.", low=1)
    units: int | None = option(None, "Hidden units of each layer and direction.", low=1)
    embedding: int | None = option(None, "Embedding dimension.", low=1)
    attention: str = option("general", "Attention score function.", choices=("additive", "dot", "general"))
    attend: str = option(
        "first",
        "Decoder layer whose output is the attention query.",
        choices=("first", "last"),
    )
    feeding: bool = option(
        False, "Input feeding: feed each step's attentional output to the next step (slow: steps run one by one)."
    )
    coverage: int = option(
        0,
        "Coverage window: attention reads past weights of each token (1) and its neighbours (3, 5, …); 0 is off. Slow.",
        low=0,
    )
    coverage_loss: float = option(
        0.0, "Weight of the coverage loss, which penalizes repeated attention to one token.", low=0
    )
    dropout: float | None = option(None, "Dropout between layers.", low=0, high=0.95)
    recurrent_dropout: float = option(0.0, "Recurrent dropout of h, one mask per sequence.", low=0, high=0.95)
    zoneout: float = option(0.0, "Zoneout probability of the recurrent states.", low=0, high=0.95)
    token_dropout: float = option(
        0.0, "Probability of replacing an input token by the unknown token during training.", low=0, high=0.95
    )
    bpe_dropout: float = option(0.0, "Probability of skipping a BPE merge during training.", low=0, high=0.95)
    smoothing: float = option(0.1, "Label smoothing.", low=0, high=0.95)
    sampling: float = option(
        0.0,
        "Scheduled sampling: fraction of decoder inputs taken from the network's own predictions.",
        low=0,
        high=0.95,
    )
    batch: int = option(1200, "Maximum tokens of the longer side in a batch, padding included.", low=1)
    lr: float = default("lr", 2e-3)
    monitor: str = option("bleu", "Validation metric that selects the best checkpoint.", choices=("bleu", "loss"))

    def __post_init__(self) -> None:
        want(not isinstance(self.columns, str), "columns", "two names, source and target", repr(self.columns))
        super().__post_init__()
        want(len(self.columns) in (0, 2), "columns", "two names, source and target", self.columns)
        want(self.coverage in (0, *range(1, 100, 2)), "coverage", "0, or an odd number below 100", self.coverage)
        todo = "Leave it out, or take tokens='bpe'."
        want(not self.bpe_dropout or self.tokens == "bpe", "bpe_dropout", "tokens that are merged", self.tokens, todo)


TASK = Task(
    name="translate",
    help="From one language to another, trained on pairs of sentences.",
    extra="translate",
    Config=Config,
    metric="bleu",
    lower=False,
    artefacts=("attention.png",),
    verbs={
        "update": "Train a run further on new pairs, as a new run.",
        "attend": "Show the attention of a run while it translates a sentence.",
    },
)
