"""Frames to texts: the best path, or a beam with a language model and words to be expected; with their times."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gated._check import want
from gated.decode import ctc, ngram, scorer
from gated.features.alphabet import Alphabet
from gated.options import check, option
from gated.tasks.transcribe import batches
from gated.tasks.transcribe.model import Learnt, Network
from gated.tasks.transcribe.spell import WIDTH, spell

BUDGET = 32_000  # frames of a batch of examples that are read side by side, padding included


@dataclass(frozen=True)
class Search:
    """How a text is looked for."""

    width: int = option(
        1, "Beam width; 1 takes the best path, and lm, hot or n_best use at least 16.", low=1, high=10_000
    )
    n_best: int = option(1, "Number of texts per example, best first.", low=1, high=10_000)
    lm: str | None = option(None, "Language model: an ARPA file (.arpa, .arpa.gz) or a run of `transcribe language`.")
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

    @property
    def plain(self) -> bool:
        """Whether the best path is all that is asked for."""
        return self.width == 1 and self.n_best == 1 and self.lm is None and not self.hot


class Piece(NamedTuple):
    """A letter or word, where it is (seconds of sound, or columns of a line), and how certain it is."""

    text: str
    start: float
    end: float
    confidence: float


class Reading(NamedTuple):
    """One text of one example."""

    text: str
    confidence: float  # the geometric mean of its symbols'; of an empty text p(text | x)
    score: float  # what it was ranked by
    log_prob: float  # log p(text | x)
    words: list[Piece]
    letters: list[Piece]  # a symbol each: the words again, where symbols are words


def texts(learnt: Learnt, xs: Sequence[np.ndarray], network: Network | None = None) -> list[str]:
    """What the best paths say, no more: for validation while the network learns."""
    out = [""] * len(xs)
    for mine, log_probs, steps in _steps(network or learnt.network, xs):
        path = log_probs.argmax(-1)
        for k, column, count in zip(mine, path.T, steps.tolist(), strict=True):
            out[k] = learnt.alphabet.decode([s for s in torch.unique_consecutive(column[:count]).tolist() if s])
    return out


def read(learnt: Learnt, xs: Sequence[np.ndarray], search: Search = Search()) -> list[list[Reading]]:
    """n_best readings of every example's frames (normalised), in their order."""
    out: list[list[Reading]] = [[]] * len(xs)
    if learnt.network.speller is not None:
        todo = "They go with decoder='ctc'."
        want(search.lm is None, "lm", "none, for a run that writes by attention", repr(search.lm), todo)
        want(not search.hot, "hot", "none, for a run that writes by attention", ", ".join(search.hot), todo)
        for k, found in spelt(learnt, xs, search):
            out[k] = [reading(learnt, one) for one in found]
        return out
    make = beams(learnt.alphabet, search)
    for k, log_probs in posteriors(learnt, xs):
        out[k] = decode(learnt, log_probs, search, make)
    return out


def spelt(learnt: Learnt, xs: Sequence[np.ndarray], search: Search) -> Iterator[tuple[int, list[ctc.Reading]]]:
    """What the attention decoder writes of every example, in no order."""
    network, speller = learnt.network, learnt.network.speller
    if speller is None:
        return
    with torch.no_grad():
        for mine, x, lengths in batches.split(xs, BUDGET // 4):
            _, h, steps = network.encode(x, lengths)
            scores = torch.log_softmax(network.output(h), -1)
            rows = [scores[:count, k].numpy() for k, count in enumerate(steps.tolist())]
            width = max(search.width, search.n_best, WIDTH)
            for k, found in zip(mine, spell(speller, h, steps, rows, width), strict=True):
                yield k, distinct(learnt.alphabet, found, search.n_best)


def posteriors(learnt: Learnt, xs: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """log p of every symbol at every step, (T', V), of every example, in no order."""
    for mine, log_probs, steps in _steps(learnt.network, xs):
        for row, (k, count) in enumerate(zip(mine, steps.tolist(), strict=True)):
            yield k, log_probs[:count, row].numpy()


def _steps(network: Network, xs: Sequence[np.ndarray]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    device = next(network.parameters()).device
    with torch.no_grad():
        for mine, x, lengths in batches.split(xs, BUDGET):
            log_probs, steps = network(x.to(device), lengths.to(device))
            yield mine, log_probs.cpu(), steps.cpu()


def beams(alphabet: Alphabet, search: Search) -> Any:
    """() -> a new beam, or None where the best path is all that is asked for."""
    if search.plain:
        return None
    symbols, separator = alphabet.symbols, alphabet.separator
    lm = None if search.lm is None else guided(search.lm, alphabet)
    words = alphabet.tokens == "word" or separator is not None
    want(not search.beta or words or lm is not None, "beta", "0, for texts without words", search.beta)
    counted = separator if lm is None or isinstance(lm, scorer.Words) else None
    phrases = [alphabet.plain(text) for text in search.hot]
    hot = scorer.HotWords(phrases, symbols, separator, boost=search.boost) if phrases else None
    width = max(search.width, search.n_best, 1 if lm is None and hot is None else 16)
    return lambda: ctc.Beam(
        width=width, lm=lm, alpha=search.alpha, beta=search.beta, separator=counted, hot=hot
    )  # fmt: skip


def guided(path: str, alphabet: Alphabet) -> Any:
    """The language model of a path, for these symbols."""
    if Path(path).is_dir():
        from gated.tasks.transcribe import language

        model = language.load(path)
        todo = "Learn it with the alphabet of this run: transcribe language RUN TEXT."
        want(model.alphabet == alphabet, path, "a language model with this run's symbols", "other ones", todo)
        return model
    return scorer.from_ngram(ngram.load(path), alphabet.symbols, alphabet.separator)


def decode(learnt: Learnt, log_probs: np.ndarray, search: Search, make: Any) -> list[Reading]:
    """The readings of one example, from log p of its symbols."""
    if make is None:
        return [reading(learnt, ctc.greedy(log_probs))]
    beam = make().feed(log_probs)
    found = distinct(learnt.alphabet, beam.best(beam.width, end=True), search.n_best)
    return [reading(learnt, one._replace(spans=ctc.align(log_probs, one.tokens))) for one in found]


def distinct(alphabet: Alphabet, found: Sequence[ctc.Reading], count: int) -> list[ctc.Reading]:
    """The first `count` whose texts differ: a space at an end, or two in a row, are other symbols but no other text."""
    best: dict[str, ctc.Reading] = {}
    for one in found:
        best.setdefault(alphabet.decode(one.tokens), one)
    return list(best.values())[:count]


def reading(learnt: Learnt, found: ctc.Reading, offset: float = 0.0) -> Reading:
    """Symbols and their steps as a text with times; `offset` is where the first step begins."""
    spans, unit = found.spans or [], learnt.frames.unit * learnt.network.shape.stride
    letters = [
        Piece(
            learnt.alphabet.symbols[s.token],
            offset + s.first * unit,
            offset + (s.last + 1) * unit,
            math.exp(s.log_prob),
        )
        for s in spans
    ]
    certain = math.exp(sum(s.log_prob for s in spans) / len(spans) if spans else min(0.0, found.log_prob))
    text = learnt.alphabet.decode(found.tokens)
    return Reading(text, certain, found.score, found.log_prob, worded(learnt.alphabet, letters), letters)


def worded(alphabet: Alphabet, letters: Sequence[Piece]) -> list[Piece]:
    """Letters joined to words: a word is as certain as the geometric mean of its letters."""
    if alphabet.tokens == "word":
        return list(letters)
    groups: list[list[Piece]] = [[]]
    for letter in letters:
        if letter.text.isspace():
            groups.append([])
        else:
            groups[-1].append(letter)
    return [
        Piece(
            "".join(letter.text for letter in group), group[0].start, group[-1].end,
            math.exp(sum(math.log(max(letter.confidence, 1e-30)) for letter in group) / len(group)),
        )
        for group in groups if group
    ]  # fmt: skip
