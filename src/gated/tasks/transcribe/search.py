"""Frames to texts: the best path or a prefix beam, with a language model and hot words; the times of words."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gated import checkpoint
from gated._check import want
from gated.decode import ctc, ngram, scorer
from gated.features.alphabet import Alphabet
from gated.options import check, option
from gated.tasks import Task
from gated.tasks.transcribe import batches
from gated.tasks.transcribe.attention import WIDTH, decode_jointly
from gated.tasks.transcribe.model import Network, Transcriber

BUDGET = 32_000  # frames of a batch, padding included
LM_WIDTH = 16  # of a beam with a language model or hot words, at least
FLOOR = 0.05  # of a step's highest probability, below which a hot word is not put in
# Thai, Lao, Myanmar, Khmer; kana, CJK ideographs and their extensions.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Search:
    """How frames are decoded."""

    width: int = option(
        1, "Beam width; 1 takes the best path, and lm, hot or n_best use at least 16.", low=1, high=10_000
    )
    n_best: int = option(1, "Number of texts per example, best first.", low=1, high=10_000)
    lm: str | None = option(
        None, "Language model: an ARPA file (.arpa, .arpa.gz) or a run of `language` or `transcribe language`."
    )
    alpha: float = option(0.5, "Weight of the language model.", low=0, high=100)
    beta: float = option(
        0.0, "Insertion bonus per word, or per character with a character language model, in nats.", low=-100, high=100
    )
    hot: tuple[str, ...] = option((), "Hot words or phrases to boost.")
    boost: float = option(5.0, "Bonus of each hot word, in nats.", low=1e-9, high=1000)

    def __post_init__(self) -> None:
        check(self)
        words = all(isinstance(one, str) and one.strip() for one in self.hot)
        want(words, "hot", "words or phrases", repr(self.hot))


class Segment(NamedTuple):
    """A symbol or word, its times (seconds of sound, or columns of a line), and its confidence."""

    text: str
    start: float
    end: float
    confidence: float


class Hypothesis(NamedTuple):
    """One text of one example."""

    text: str
    confidence: float  # the geometric mean of its symbols'; of an empty text p(text | x)
    score: float  # by which it is ranked
    log_prob: float  # log p(text | x)
    words: list[Segment]
    symbols: list[Segment]


def decode(model: Transcriber, xs: Sequence[np.ndarray], search: Search = Search()) -> list[list[Hypothesis]]:
    """n_best hypotheses of every example's normalised frames, in their order."""
    decoder, out = model.network.speller, [[]] * len(xs)
    if decoder is not None:
        todo = "They go with decoder='ctc'."
        want(search.lm is None, "lm", "none, for a run that writes by attention", repr(search.lm), todo)
        want(not search.hot, "hot", "none, for a run that writes by attention", ", ".join(search.hot), todo)
    make = make_beam(model.alphabet, search) if decoder is None else None
    width = max(search.width, search.n_best, WIDTH)
    for indices, rows, h, steps in compute_log_probs(model.network, xs, BUDGET if decoder is None else BUDGET // 4):
        if decoder is not None:
            with torch.no_grad():
                readings = decode_jointly(decoder, h, steps, rows, width)
        elif make is not None:
            readings = [beam.best(beam.width, end=True) for beam in (make().feed(row) for row in rows)]
        else:
            readings = [[ctc.greedy(row)] for row in rows]
        for k, row, some in zip(indices, rows, readings, strict=True):
            best = select_distinct(model.alphabet, some, search.n_best)
            out[k] = [make_hypothesis(model, row, one) for one in best]
    return out


def decode_greedily(model: Transcriber, xs: Sequence[np.ndarray]) -> list[str]:
    """The texts of the best paths, without times: for validation while the network trains."""
    out = [""] * len(xs)
    for indices, rows, _, _ in compute_log_probs(model.network, xs):
        for k, row in zip(indices, rows, strict=True):
            out[k] = model.alphabet.decode(ctc.collapse(row.argmax(-1)))
    return out


def compute_log_probs(
    network: Network, xs: Sequence[np.ndarray], budget: int = BUDGET
) -> Iterator[tuple[list[int], list[np.ndarray], Tensor, Tensor]]:
    """log p of every symbol at every step of examples, (T', V) each, in batches: their indices, these, h and steps."""
    device = network.output.weight.device
    for indices, x, lengths in batches.split(xs, budget):
        with torch.no_grad():
            _, h, steps = network.encode(x.to(device), lengths.to(device))
            log_probs = torch.log_softmax(network.output(h).float(), -1).cpu()
        yield indices, [log_probs[:count, k].numpy() for k, count in enumerate(steps.tolist())], h, steps


def make_beam(alphabet: Alphabet, search: Search) -> Callable[[], ctc.Beam] | None:
    """() -> a new beam, or None where the best path is enough."""
    if search.width == 1 and search.n_best == 1 and search.lm is None and not search.hot:
        return None
    symbols, separator = alphabet.symbols, alphabet.separator
    lm = None if search.lm is None else load_lm(search.lm, alphabet)
    words = alphabet.tokens == "word" or separator is not None
    want(not search.beta or words or lm is not None, "beta", "0, for texts without words", search.beta)
    counted = separator if lm is None or isinstance(lm, scorer.Words) else None
    phrases = [match_case(alphabet, alphabet.plain(text)) for text in search.hot]
    anywhere = alphabet.tokens == "char" and (separator is None or any(map(is_unspaced, phrases)))
    hot = scorer.HotWords(phrases, symbols, separator, boost=search.boost, anywhere=anywhere) if phrases else None
    width = max(search.width, search.n_best, 1 if lm is None and hot is None else LM_WIDTH)
    return lambda: ctc.Beam(
        width=width, lm=lm, alpha=search.alpha, beta=search.beta, separator=counted, hot=hot, floor=FLOOR
    )  # fmt: skip


def match_case(alphabet: Alphabet, text: str) -> str:
    """The text, or where a run has only capitals or none, the text in them."""
    return next((one for one in (text, text.upper(), text.lower()) if not alphabet.unknown(one)), text)


def is_unspaced(text: str) -> bool:
    """Whether a text has characters of a script that is written without spaces."""
    return UNSPACED.search(text) is not None


def load_lm(path: str, alphabet: Alphabet) -> Any:
    """The language model of a path, a run folder or an ARPA file, as a scorer of these symbols."""
    if Path(path).is_dir():
        from gated.tasks.transcribe import language

        stored = checkpoint.load(path)
        if stored.task == "language" and "vocabulary" in stored.extras:  # else one that transcribers made formerly
            return Task.open("language", path).scorer(alphabet.symbols)
        model = language.load(path)
        todo = "Train it with the alphabet of this run: transcribe language RUN TEXT."
        want(model.alphabet == alphabet, path, "a language model with this run's symbols", "other ones", todo)
        return model
    return scorer.from_ngram(ngram.load(path), alphabet.symbols, alphabet.separator)


def select_distinct(alphabet: Alphabet, readings: Sequence[ctc.Reading], count: int) -> list[ctc.Reading]:
    """The first `count` of different texts: symbols that differ by a repeated or final space are one text."""
    first: dict[str, ctc.Reading] = {}
    for one in readings:
        first.setdefault(alphabet.decode(one.tokens), one)
    return list(first.values())[:count]


def make_hypothesis(
    model: Transcriber, log_probs: Float[np.ndarray, "S V"], reading: ctc.Reading, offset: float = 0.0
) -> Hypothesis:  # fmt: skip
    """Symbols as a text with times, by CTC's alignment if they have none; `offset` is the start of the first step."""
    spans = ctc.align(log_probs, reading.tokens) if reading.spans is None else reading.spans
    unit, texts = model.unit, model.alphabet.symbols
    symbols = [
        Segment(texts[s.token], offset + s.first * unit, offset + (s.last + 1) * unit, math.exp(s.log_prob))
        for s in spans
    ]  # fmt: skip
    confidence = math.exp(sum(s.log_prob for s in spans) / len(spans) if spans else min(0.0, reading.log_prob))
    text = model.alphabet.decode(reading.tokens)
    return Hypothesis(
        text, confidence, reading.score, reading.log_prob, join_symbols(model.alphabet, symbols), symbols
    )  # fmt: skip


def join_symbols(alphabet: Alphabet, symbols: Sequence[Segment]) -> list[Segment]:
    """The words of some symbols; a word's confidence is the geometric mean of its symbols'."""
    if alphabet.tokens == "word":
        return list(symbols)
    runs = itertools.groupby(symbols, key=lambda symbol: symbol.text.isspace())
    groups = [list(run) for space, run in runs if not space]
    return [
        Segment("".join(one.text for one in group), group[0].start, group[-1].end, mean_confidence(group))
        for group in groups
    ]


def mean_confidence(symbols: Sequence[Segment]) -> float:
    """The geometric mean, 1 of nothing."""
    logs = [math.log(max(symbol.confidence, 1e-30)) for symbol in symbols]
    return math.exp(sum(logs) / len(logs)) if logs else 1.0
