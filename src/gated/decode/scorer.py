"""External scores for prefix beam search (shallow fusion): n-gram and neural language models, hot-word boosting.

All implement one protocol, `Scorer`: an n-gram over symbols, n-grams over the words that symbols spell, with spaces
between and without, a neural language model, and hot words.

    symbols    the text of each symbol; symbols[0] is the blank's, whatever it is
    separator  the symbol between words where symbols spell words; None where symbols are words
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gated._check import refuse, want, within
from gated.decode.ngram import BEGIN, END, SPACE, UNKNOWN, Context, NGram

CACHE = 1 << 22  # numbers in a scorer's cache of rows
SEGMENTATIONS = 16  # of a prefix, at most
WORDS = 1 << 16  # entries in its cache of words after contexts
LAST = chr(0x10FFFF)  # above every character of a word

Row = np.ndarray  # (V,) float64


@runtime_checkable
class Scorer(Protocol):
    """A state for each prefix, and what each next symbol adds to the prefix's score.

    start() -> state, row                    of the empty prefix
    step(states, tokens) -> states, rows     of n prefixes, each one token longer

    state  of any type; the beam passes it back unchanged
    row    (V,), rows (n, V): log p(symbol v | prefix), the natural logarithm; at 0, the blank's place, log p(end |
           prefix). It need not be a distribution: a scorer of words gives 0 except where a word ends

    The beam calls `step` at most once a frame, for all prefixes that are new to it, and never again for a prefix that
    it still holds: a recurrent network takes one batched step for them.
    """

    def start(self) -> tuple[Any, Row]: ...

    def step(self, states: list[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]: ...


def from_ngram(model: NGram, symbols: Sequence[str], separator: int | None = None) -> Scorer:
    """The n-gram's scorer: of words that symbols spell if most of its words are longer than a symbol.

    These are `Words` with a separator, and `Segments` without one, if the symbols are characters.
    """
    single = {SPACE, *symbols}
    long = [len(word) > 1 and word not in single for word in _vocabulary(model)]
    if 2 * sum(long) <= len(long) or (separator is None and any(len(text) != 1 for text in symbols[1:])):
        return Symbols(model, symbols)
    return Segments(model, symbols) if separator is None else Words(model, symbols, separator)


class Symbols:
    """An n-gram whose words are the symbols' texts, be they characters or words:  log p(symbol | the n-1 before it).

    A white-space symbol is <space> in the n-gram, or ▁ or | if only these are in its vocabulary. A text outside the
    vocabulary is <unk>.

    Errors: no text is in the vocabulary, as when only one of the two is in capitals.
    """

    def __init__(self, model: NGram, symbols: Sequence[str]) -> None:
        texts = [_name_symbol(model, symbols, text) for text in symbols[1:]]
        todo = "Are both in the same case, and is the n-gram one of characters where symbols are characters?"
        want(any(text in model.ids for text in texts), "n-gram", "one that knows some of the symbols", "none", todo)
        unknown = model.ids[UNKNOWN]
        self.model = model
        self.ids = [model.ids[END], *(model.ids.get(text, unknown) for text in texts)]  # the end in the blank's place
        self.row = functools.lru_cache(max(16, CACHE // len(self.ids)))(lambda context: model.row(context)[self.ids])

    def start(self) -> tuple[Context, Row]:
        context = self.model.extend((), self.model.ids[BEGIN])
        return context, self.row(context)

    def step(self, states: list[Context], tokens: list[int]) -> tuple[list[Context], np.ndarray]:
        contexts = [self.model.extend(context, self.ids[token]) for context, token in zip(states, tokens, strict=True)]
        return contexts, np.stack([self.row(context) for context in contexts])


class Neural:
    """A neural language model that reads one token at a time:  log p(symbol | those before it).

    read(states, tokens) -> states, rows (n, W)     of n states, None before any text, and the next token of each
    ids     the token of each symbol; at 0, the blank's place, that which ends a text and stands before one
    """

    def __init__(self, read: Callable[[Sequence[Any], list[int]], tuple[list[Any], np.ndarray]], ids: Sequence[int]):
        self.read, self.ids = read, list(ids)

    def start(self) -> tuple[Any, Row]:
        states, rows = self.read([None], self.ids[:1])
        return states[0], rows[0][self.ids]

    def step(self, states: list[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]:
        states, rows = self.read(states, [self.ids[token] for token in tokens])
        return states, rows[:, self.ids]


class Words:
    """An n-gram over words that symbols spell:  log p(word | the n-1 before it), where a separator or the end ends it.

    Unigram look-ahead (Ortmanns et al. 1997): an unfinished word scores max log p(w) over the words w that begin with
    it, or log p(<unk>) if there is none. The end of the word takes this back, so the score of a finished text does not
    depend on it, but a narrow beam prefers prefixes of words.

    A word outside the vocabulary is <unk>. Several separators in a row end one word.

    Errors: the symbols can spell none of its words, as when only one of the two is in capitals.
    """

    def __init__(self, model: NGram, symbols: Sequence[str], separator: int) -> None:
        within("Words separator", separator, 1, len(symbols) - 1)
        characters = set("".join(symbols))
        todo = "Are both in the same case?"
        self.vocabulary = sorted(_vocabulary(model))
        fits = any(characters.issuperset(word) for word in self.vocabulary)
        want(fits, "n-gram", "one with words that the symbols can spell", "none", todo)
        self.model, self.symbols, self.separator = model, symbols, separator
        self.log_p = model.log_p[0][[model.ids[word] for word in self.vocabulary]]
        self.unknown = float(model.log_p[0][model.ids[UNKNOWN]])
        self.by_first: dict[str, list[int]] = {}  # symbols by their first character
        for token, text in enumerate(symbols):
            if token not in (0, separator) and text:
                self.by_first.setdefault(text[0], []).append(token)
        self.end_word = functools.lru_cache(WORDS)(self._end_word)
        self.look_ahead = functools.lru_cache(max(16, CACHE // len(symbols)))(self._look_ahead)

    def start(self) -> tuple[tuple[Context, str], Row]:
        state = (self.model.extend((), self.model.ids[BEGIN]), "")
        return state, self._rows([state])[0]

    def step(self, states: list[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]:
        new = []
        for (context, word), token in zip(states, tokens, strict=True):
            if token != self.separator:
                new.append((context, word + self.symbols[token]))
            else:
                new.append((self.end_word(context, word)[2], ""))
        return new, self._rows(new)

    def _rows(self, states: list[tuple[Context, str]]) -> np.ndarray:
        rows = np.stack([self.look_ahead(word) for _, word in states])
        for row, state in zip(rows, states, strict=True):
            at_separator, at_end, _ = self.end_word(*state)
            row[self.separator] += at_separator
            row[0] += at_end
        return rows

    def _end_word(self, context: Context, word: str) -> tuple[float, float, Context]:
        """log p(word | context), log p(word end | context) and the next context; an empty word adds 0."""
        total = 0.0
        if word:
            token = self.model.ids.get(word, self.model.ids[UNKNOWN])
            total, context = self.model.conditional(context, token), self.model.extend(context, token)
        return total, total + self.model.conditional(context, self.model.ids[END]), context

    def _look_ahead(self, word: str) -> Row:
        """The change of the look-ahead score by each symbol; the separator and the end take the score back."""
        low, high = self._range(word, 0, len(self.vocabulary))
        here = self._max_log_p(low, high) if word else 0.0
        row = np.full(len(self.symbols), self.unknown - here)
        row[[0, self.separator]] = -here
        low += low < high and self.vocabulary[low] == word
        while low < high:  # from one next character to the next one
            first = self.vocabulary[low][len(word)]
            _, next_ = self._range(word + first, low, high)
            for token in self.by_first.get(first, ()):
                row[token] = self._max_log_p(*self._range(word + self.symbols[token], low, next_)) - here
            low = next_
        return row

    def _range(self, start: str, low: int, high: int) -> tuple[int, int]:
        """The slice of vocabulary[low:high] whose words begin with `start`."""
        low = bisect_left(self.vocabulary, start, low, high)
        return low, bisect_left(self.vocabulary, start + LAST, low, high)

    def _max_log_p(self, low: int, high: int) -> float:
        return float(self.log_p[low:high].max()) if low < high else self.unknown


class Segments:
    """An n-gram over words of a text without spaces:  max Σ log p(word | the n-1 before it) over its segmentations.

    A character outside all words may be a word by itself, <unk>. The last word may be unfinished: it scores max
    log p(w) over the words w that begin with it, which the end of the word takes back, as in `Words`.

    Errors: the symbols can spell none of its words.
    """

    def __init__(self, model: NGram, symbols: Sequence[str]) -> None:
        characters, self.model, self.symbols = set(symbols), model, symbols
        words = {word: float(model.log_p[0][model.ids[word]]) for word in _vocabulary(model) if characters >= set(word)}
        want(bool(words), "n-gram", "one with words that the symbols can spell", "none")
        self.ahead: dict[str, float] = {}  # of each beginning of a word, the largest log p of such a word
        self.children: dict[str, dict[str, float]] = {}  # and the same of those that are one character longer
        for word, log_p in words.items():
            for n in range(1, len(word) + 1):
                start = word[:n]
                self.ahead[start] = max(self.ahead.get(start, -np.inf), log_p)
        for start, log_p in self.ahead.items():
            self.children.setdefault(start[:-1], {})[start[-1]] = log_p
        self.unknown = float(model.log_p[0][model.ids[UNKNOWN]])
        self.ids = {text: token for token, text in enumerate(symbols) if token}
        self.first = np.array([self._look_ahead(text) for text in symbols])

    def start(self) -> tuple[Any, Row]:
        """A state has the segmentations that may yet be the best: the last word, those before it, their score."""
        state = [("", self.model.extend((), self.model.ids[BEGIN]), 0.0)]
        return state, self._row(state)

    def step(self, states: list[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]:
        new = [self._extend(state, self.symbols[token]) for state, token in zip(states, tokens, strict=True)]
        return new, np.stack([self._row(state) for state in new])

    def _extend(self, state: list[Any], text: str) -> list[Any]:
        best: dict[tuple[str, Context], float] = {}
        for word, context, score in state:
            longer = [(word + text, context, score)] if word and word + text in self.ahead else []
            for last, before, total in (*longer, *((text, *end) for end in self._end_word(word, context, score))):
                best[last, before] = max(best.get((last, before), -np.inf), total)
        ranked = sorted(best.items(), key=lambda one: -one[1] - self._look_ahead(one[0][0]))
        return [(word, context, score) for (word, context), score in ranked[:SEGMENTATIONS]]

    def _end_word(self, word: str, context: Context, score: float) -> list[tuple[Context, float]]:
        """The context and score after a word, if it can end here."""
        if not word:
            return [(context, score)]
        if word not in self.model.ids and len(word) > 1:
            return []
        token = self.model.ids.get(word, self.model.ids[UNKNOWN])
        return [(self.model.extend(context, token), score + self.model.conditional(context, token))]

    def _look_ahead(self, word: str) -> float:
        return self.ahead.get(word, self.unknown) if word else 0.0

    def _row(self, state: list[Any]) -> Row:
        here = max(score + self._look_ahead(word) for word, _, score in state)
        ends = [end for hypothesis in state for end in self._end_word(*hypothesis)]
        row = max((score for _, score in ends), default=-np.inf) + self.first
        for word, _, score in state:
            for text, log_p in self.children.get(word, {}).items() if word else ():
                row[self.ids[text]] = max(row[self.ids[text]], score + log_p)
        end = self.model.ids[END]
        row[0] = max((score + self.model.conditional(context, end) for context, score in ends), default=-np.inf)
        return row - here


class HotWords:
    """Hot-word boosting: words or phrases to prefer.

        hot(y) = Σ boost(phrase) for each occurrence in y, whole words only
               + max boost(phrase) · (its first symbols that y ends with) / (its symbols), over unfinished phrases

    So a phrase earns its boost symbol by symbol, and loses all of it where y departs from it.

    words  phrases and their boosts in nats, or phrases alone, which all get `boost`. Where symbols spell words a phrase
           is spelled by symbols of one character, its white space by the separator; else its words are the symbols
    anywhere  phrases are spelled by characters and occur inside words too, as in a script without spaces

    Errors: a phrase without a symbol; one that the symbols cannot spell; a boost that is not above 0.
    """

    def __init__(
        self,
        words: Mapping[str, float] | Iterable[str],
        symbols: Sequence[str],
        separator: int | None = None,
        *,
        boost: float = 5.0,
        anywhere: bool = False,
    ) -> None:
        phrases = dict(words) if isinstance(words, Mapping) else dict.fromkeys(words, boost)
        ids = {text: token for token, text in reversed(list(enumerate(symbols))) if token}
        self.V, self.separator = len(symbols), None if anywhere else separator
        self.children: dict[Context, dict[int, Context]] = {}  # of each beginning of a phrase, by the next symbol
        self.full: dict[Context, float] = {}  # the boost of each phrase
        self.partial: dict[Context, float] = {}  # the largest partial boost of a phrase that begins so
        for phrase, weight in phrases.items():
            want(0 < weight < np.inf, f"hot word {phrase!r}", "a boost above 0", weight)
            tokens = _spell(phrase, ids, separator, anywhere)
            want(tokens not in self.full, f"hot word {phrase!r}", "each once", "the same again")
            self.full[tokens] = weight
            for depth, token in enumerate(tokens, 1):
                start = tokens[:depth]
                self.children.setdefault(start[:-1], {})[token] = start
                if self.separator is not None or depth < len(tokens):  # without a separator a complete phrase has ended
                    self.partial[start] = max(self.partial.get(start, 0.0), weight * depth / len(tokens))
        self.expand = functools.lru_cache(max(16, CACHE // self.V))(self._expand)

    def start(self) -> tuple[tuple[tuple[Context, ...], bool], Row]:
        state = ((), True)  # the beginnings of unfinished phrases; whether a phrase may begin here
        return state, self.expand(state)[0]

    def step(self, states: list[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]:
        new = []
        for state, token in zip(states, tokens, strict=True):
            starts = self.expand(state)[1].get(token, ())
            new.append((starts, self.separator is None or token == self.separator))
        return new, np.stack([self.expand(state)[0] for state in new])

    def _expand(self, state: tuple[tuple[Context, ...], bool]) -> tuple[Row, dict[int, tuple[Context, ...]]]:
        """What each symbol adds to the score of a prefix in this state, and the beginnings that it leads to."""
        starts, boundary = state
        after: dict[int, tuple[Context, ...]] = {}
        for start in (*starts, ()) if boundary else starts:
            for token, child in self.children.get(start, {}).items():
                after[token] = (*after.get(token, ()), child)
        row = np.full(self.V, -self._best_partial(starts))
        for token, children in after.items():
            row[token] += self._best_partial(children)
            if self.separator is None:
                row[token] += sum(self.full.get(child, 0.0) for child in children)
        if self.separator is not None:
            row[[0, self.separator]] += sum(self.full.get(start, 0.0) for start in starts)
        return row, after

    def _best_partial(self, starts: tuple[Context, ...]) -> float:
        return max((self.partial.get(start, 0.0) for start in starts), default=0.0)


def _vocabulary(model: NGram) -> Iterable[str]:
    return (word for word in model.words if word not in (BEGIN, END, UNKNOWN))


def _name_symbol(model: NGram, symbols: Sequence[str], text: str) -> str:
    """The n-gram's name of a symbol."""
    if not text.isspace():
        return text
    return next((name for name in (SPACE, "▁", "|") if name in model.ids and name not in symbols), SPACE)


def _spell(phrase: str, ids: dict[str, int], separator: int | None, anywhere: bool) -> Context:
    """The symbols of a phrase."""
    words = phrase.split()
    want(len(words) > 0, f"hot word {phrase!r}", "at least one character", "none")
    for part in words if separator is None and not anywhere else "".join(words):
        if part not in ids:
            refuse(f"hot word {phrase!r}", "symbols for all of it", f"none for {part!r}", "Is its case the symbols'?")
    if separator is None:
        return tuple(ids[part] for part in ("".join(words) if anywhere else words))
    return tuple(token for word in words for token in (separator, *(ids[character] for character in word)))[1:]
