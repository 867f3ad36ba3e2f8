"""The tagger's record and its options; every default stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from gated._check import want
from gated.options import Training, default, option
from gated.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Config(Training):
    """How a tagger is built and trained; None means that the value follows from the data."""

    column: str | None = option(
        None, "Column of the tags: a number from 1, or upos, xpos, feats, deprel; the last by default (CoNLL-U: upos)."
    )
    word: str | None = option(None, "Column of the words: a number from 1; the first by default (CoNLL-U: form).")
    features: tuple[str, ...] = option((), "Other columns to read as inputs; a file to tag must have them.")
    vectors: str | None = option(None, "File of pretrained word vectors: word2vec text or binary, or GloVe.")
    target: str | None = option(None, "Of a table, the column with the label of each row; it tags numeric series.")
    id: str | None = option(None, "Of a table, the column that names the series of a row.")
    time: str | None = option(None, "Of a table, the column that orders the rows of a series.")
    hold: str | None = option(
        None, "Of a series, the shortest duration of a label: a number of steps, or a time such as 0.5s."
    )
    layers: int | None = option(None, "Number of bidirectional LSTM layers.", low=1)
    units: int | None = option(None, "Hidden units of each layer and direction.", low=1)
    embedding: int | None = option(None, "Dimension of the word embedding.", low=1)
    characters: int | None = option(None, "Hidden units of each direction of the LSTM over letters; 0 disables it.")
    affixes: bool = option(True, "Embed prefixes, suffixes and the shape of each word.")
    dropout: float | None = option(None, "Dropout before and after the LSTM.", low=0, high=0.95)
    recurrent_dropout: float = option(0.25, "Recurrent dropout of h, one mask per sequence.", low=0, high=0.95)
    word_dropout: float = option(
        0.25, "α of word dropout: a word of n occurrences becomes unknown with probability α / (α + n).", low=0
    )
    crf: bool = option(True, "Score sequences of tags by a conditional random field; without it each tag by itself.")
    batch: int | None = option(None, "Maximum tokens of a batch, padding included.", low=1)
    lr: float = default("lr", 3e-3)
    ema: float = default("ema", 0.995)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("column", "word", "vectors", "target", "id", "time", "hold"):
            value = getattr(self, name)
            want(value is None or isinstance(value, str), name, "a text", repr(value)[:40])
        fits = all(isinstance(name, str) for name in self.features)
        want(fits, "features", "names of columns", repr(self.features)[:40])
        series = [name for name in ("id", "time", "hold") if getattr(self, name)]
        todo = "Name the column of the labels with target."
        want(bool(self.target) or not series, "target", f"a column of labels beside {', '.join(series)}", "none", todo)
        text = [name for name in ("column", "word", "features", "vectors") if getattr(self, name)]
        want(not self.target or not text, "target", "a table of numbers", f"{', '.join(text)}, which are of texts")


TASK = Task(
    name="tag",
    help="A label for every token of a text, or for every row of a series.",
    extra="tag",
    Config=Config,
    metric="f1",
    lower=False,
)
