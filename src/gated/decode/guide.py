"""What leads a prefix beam besides the frames: language models and hot words.

All are one protocol, `Guide`, which any object may keep: an n-gram over symbols, an n-gram over words that symbols
spell, a recurrent network, words that are to be expected.

    symbols    the text of each symbol; symbols[0] is the blank's, whatever it is
    separator  the symbol between words where symbols spell words; None where symbols are words
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from gated._check import refuse, want, within
from gated.decode.ngram import BEGIN, END, SPACE, UNKNOWN, NGram
from gated.decode.search import Step, tree_leaves, tree_map

CACHE = 1 << 22  # numbers that a guide remembers
WORDS = 1 << 16  # words after contexts that a guide remembers
LAST = chr(0x10FFFF)  # above every character of a word

Row = np.ndarray  # (V,) float64


@runtime_checkable
class Guide(Protocol):
    """Something that moves with a prefix and knows what each symbol would add to its score.

    start() -> state, row                    of the empty prefix
    step(states, tokens) -> states, rows     of n prefixes, each one token longer

    state  anything: what the guide needs to go on. States are handed back as they came, and never changed
    row    (V,), rows (n, V): log p(symbol v | prefix), the natural logarithm; at 0, the blank's place, log p(end |
           prefix). It need not be a distribution: a guide that scores words gives 0 but where a word ends

    A beam asks once for every frame that brings new prefixes to it, for all of them together, and never for a prefix
    that it still holds: a recurrent network takes its step for them as one batch.
    """

    def start(self) -> tuple[Any, Row]: ...

    def step(self, states: list[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]: ...


def language(model: NGram, symbols: Sequence[str], separator: int | None = None) -> Guide:
    """The n-gram as a guide: `Words` if symbols spell words and most of its words are longer than a symbol."""
    if separator is None:
        return Symbols(model, symbols)
    single = {SPACE, *symbols}
    long = [len(word) > 1 and word not in single for word in _known(model)]
    return Words(model, symbols, separator) if 2 * sum(long) > len(long) else Symbols(model, symbols)


class Symbols:
    """An n-gram whose words are the symbols' texts, be they characters or words:  log p(symbol | the n-1 before it).

    A symbol that is white space is <space> in the n-gram, or ▁ or | if it knows only these. A text that it does not
    know counts as <unk>.

    Errors: it knows none of the texts, as when one is in capitals and the other is not.
    """

    def __init__(self, model: NGram, symbols: Sequence[str]) -> None:
        texts = [_written(model, symbols, text) for text in symbols[1:]]
        todo = "Are both in the same case, and is the n-gram one of characters where symbols are characters?"
        want(any(text in model.ids for text in texts), "n-gram", "one that knows some of the symbols", "none", todo)
        unknown = model.ids[UNKNOWN]
        self.model = model
        self.ids = [model.ids[END], *(model.ids.get(text, unknown) for text in texts)]  # the end has the blank's place
        self.row = functools.lru_cache(max(16, CACHE // len(self.ids)))(lambda context: model.row(context)[self.ids])

    def start(self) -> tuple[tuple[int, ...], Row]:
        context = self.model.after((), self.model.ids[BEGIN])
        return context, self.row(context)

    def step(self, states: list[tuple[int, ...]], tokens: list[int]) -> tuple[list[tuple[int, ...]], np.ndarray]:
        contexts = [self.model.after(context, self.ids[token]) for context, token in zip(states, tokens, strict=True)]
        return contexts, np.stack([self.row(context) for context in contexts])


class Words:
    """An n-gram over words that symbols spell:  log p(word | the n-1 before it), where a separator or the end ends it.

    On its way a word counts as the most probable word that begins so, by itself: max log p(w), or log p(<unk>) where
    none does. When it ends this is taken back, so that it changes no finished text's score, but a narrow beam learns at
    once which prefixes can become words (Ortmanns et al. 1997).

    A word that the n-gram does not know counts as <unk>. Separators in a row end one word.

    Errors: symbols can spell none of its words, as when one is in capitals and the other is not.
    """

    def __init__(self, model: NGram, symbols: Sequence[str], separator: int) -> None:
        within("Words separator", separator, 1, len(symbols) - 1)
        letters = set("".join(symbols))
        todo = "Are both in the same case?"
        self.known = sorted(_known(model))
        some = any(letters.issuperset(word) for word in self.known)
        want(some, "n-gram", "one with words that the symbols can spell", "none", todo)
        self.model, self.symbols, self.separator = model, symbols, separator
        self.log_p = model.log_p[0][[model.ids[word] for word in self.known]]
        self.unknown = float(model.log_p[0][model.ids[UNKNOWN]])
        self.begin: dict[str, list[int]] = {}  # the symbols that begin with a character
        for token, text in enumerate(symbols):
            if token not in (0, separator) and text:
                self.begin.setdefault(text[0], []).append(token)
        self.word = functools.lru_cache(WORDS)(self._word)
        self.ahead = functools.lru_cache(max(16, CACHE // len(symbols)))(self._ahead)

    def start(self) -> tuple[tuple[tuple[int, ...], str], Row]:
        state = (self.model.after((), self.model.ids[BEGIN]), "")
        return state, self._rows([state])[0]

    def step(self, states: list[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]:
        new = []
        for (context, word), token in zip(states, tokens, strict=True):
            if token != self.separator:
                new.append((context, word + self.symbols[token]))
            else:
                new.append((self.word(context, word)[2], ""))
        return new, self._rows(new)

    def _rows(self, states: list[tuple[tuple[int, ...], str]]) -> np.ndarray:
        rows = np.stack([self.ahead(word) for _, word in states])
        for row, state in zip(rows, states, strict=True):
            said, over, _ = self.word(*state)
            row[self.separator] += said
            row[0] += over
        return rows

    def _word(self, context: tuple[int, ...], word: str) -> tuple[float, float, tuple[int, ...]]:
        """log p(word | context), the same with the end after it, and the context after it; nothing for no word."""
        total = 0.0
        if word:
            token = self.model.ids.get(word, self.model.ids[UNKNOWN])
            total, context = self.model.conditional(context, token), self.model.after(context, token)
        return total, total + self.model.conditional(context, self.model.ids[END]), context

    def _ahead(self, word: str) -> Row:
        """What each symbol changes of what a word on its way counts; the separator and the end take it back."""
        low, high = self._range(word, 0, len(self.known))
        here = self._most(low, high) if word else 0.0
        row = np.full(len(self.symbols), self.unknown - here)
        row[[0, self.separator]] = -here
        low += low < high and self.known[low] == word
        while low < high:  # from one next character to another
            first = self.known[low][len(word)]
            _, next_ = self._range(word + first, low, high)
            for token in self.begin.get(first, ()):
                row[token] = self._most(*self._range(word + self.symbols[token], low, next_)) - here
            low = next_
        return row

    def _range(self, start: str, low: int, high: int) -> tuple[int, int]:
        """The known words that begin so, between these."""
        low = bisect_left(self.known, start, low, high)
        return low, bisect_left(self.known, start + LAST, low, high)

    def _most(self, low: int, high: int) -> float:
        return float(self.log_p[low:high].max()) if low < high else self.unknown


class Network:
    """A model that takes a step, as in `gated.decode`, such as a recurrent network over characters.

    step    (tokens (1, n), state, None) -> log_probs (1, n, W), state, anything
    state   its first state, a tree of tensors (1, 1, ...)
    begin   the token that its first step is given
    tokens  its token for each symbol; in the blank's place its token for the end
    """

    def __init__(self, step: Step, state: Any, *, begin: int, tokens: Sequence[int]) -> None:
        self.take, self.first, self.begin, self.tokens = step, state, begin, list(tokens)
        self.at = next((x.device for x in tree_leaves(state)), torch.device("cpu"))

    def start(self) -> tuple[Any, Row]:
        (state,), rows = self._step([self.begin], self.first)
        return state, rows[0]

    def step(self, states: list[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]:
        joined = (torch.cat(parts, 1) for parts in zip(*map(tree_leaves, states), strict=True))
        return self._step([self.tokens[token] for token in tokens], tree_map(lambda _: next(joined), states[0]))

    @torch.no_grad()
    def _step(self, tokens: list[int], state: Any) -> tuple[list[Any], np.ndarray]:
        log_probs, state, _ = self.take(torch.tensor([tokens], device=self.at), state, None)
        rows = log_probs[0, :, self.tokens].to("cpu", torch.float64).numpy()
        return [tree_map(lambda x, i=i: x[:, i : i + 1], state) for i in range(len(tokens))], rows


class HotWords:
    """Words, or phrases, that are to be expected:

        hot(y) = Σ boost(phrase) for each time that it is in y, whole words only
               + max boost(phrase) · (symbols of it that y ends with) / (its symbols), over those y may yet say

    So a phrase earns its boost bit by bit while it is spelled, and gives back all of it when it goes on otherwise.

    words  phrases and their boosts in nats, or phrases alone, which all get `boost`. Where symbols spell words a phrase
           is spelled by symbols of one character, its white space by the separator; else its words are the symbols

    Errors: a phrase without a symbol; one that the symbols cannot spell; a boost that is not above 0.
    """

    def __init__(
        self,
        words: Mapping[str, float] | Iterable[str],
        symbols: Sequence[str],
        separator: int | None = None,
        *,
        boost: float = 5.0,
    ) -> None:
        phrases = dict(words) if isinstance(words, Mapping) else dict.fromkeys(words, boost)
        of = {text: token for token, text in reversed(list(enumerate(symbols))) if token}
        self.V, self.separator = len(symbols), separator
        self.children: list[dict[int, int]] = [{}]  # a tree of the phrases' symbols, 0 its root
        self.full = [0.0]  # the boost of the phrase that ends here
        self.share = [0.0]  # the part of the best phrase that may still end here or further on
        for phrase, boost in phrases.items():
            fits = 0 < boost < np.inf
            want(fits, f"hot word {phrase!r}", "a boost above 0", boost)
            self._add(phrase, _spelled(phrase, of, separator), boost)
        self.look = functools.lru_cache(max(16, CACHE // self.V))(self._look)

    def start(self) -> tuple[tuple[tuple[int, ...], bool], Row]:
        state = ((), True)  # the phrases that have begun; whether one may begin now
        return state, self.look(state)[0]

    def step(self, states: list[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]:
        new = []
        for state, token in zip(states, tokens, strict=True):
            nodes = self.look(state)[1].get(token, ())
            new.append((nodes, self.separator is None or token == self.separator))
        return new, np.stack([self.look(state)[0] for state in new])

    def _add(self, phrase: str, tokens: list[int], boost: float) -> None:
        node = 0
        for depth, token in enumerate(tokens, 1):
            if token not in self.children[node]:
                self.children[node][token] = len(self.children)
                self.children.append({})
                self.full.append(0.0)
                self.share.append(0.0)
            node = self.children[node][token]
            if self.separator is not None or depth < len(tokens):  # without a separator it ends as it is whole
                self.share[node] = max(self.share[node], boost * depth / len(tokens))
        want(not self.full[node], f"hot word {phrase!r}", "each once", "the same again")
        self.full[node] = boost

    def _look(self, state: tuple[tuple[int, ...], bool]) -> tuple[Row, dict[int, tuple[int, ...]]]:
        """What each symbol adds to a prefix in this state, and the phrases that go on with it."""
        nodes, fresh = state
        after: dict[int, tuple[int, ...]] = {}
        for node in (*nodes, 0) if fresh else nodes:
            for token, child in self.children[node].items():
                after[token] = (*after.get(token, ()), child)
        row = np.full(self.V, -self._open(nodes))
        for token, reached in after.items():
            row[token] += self._open(reached)
            if self.separator is None:
                row[token] += sum(self.full[child] for child in reached)
        if self.separator is not None:
            row[[0, self.separator]] += sum(self.full[node] for node in nodes)
        return row, after

    def _open(self, nodes: tuple[int, ...]) -> float:
        return max((self.share[node] for node in nodes), default=0.0)


def _known(model: NGram) -> Iterable[str]:
    return (word for word in model.words if word not in (BEGIN, END, UNKNOWN))


def _written(model: NGram, symbols: Sequence[str], text: str) -> str:
    """How the n-gram writes a symbol's text."""
    if not text.isspace():
        return text
    return next((name for name in (SPACE, "▁", "|") if name in model.ids and name not in symbols), SPACE)


def _spelled(phrase: str, of: dict[str, int], separator: int | None) -> list[int]:
    """The symbols of a phrase."""
    words = phrase.split()
    want(len(words) > 0, f"hot word {phrase!r}", "at least one character", "none")
    for part in words if separator is None else "".join(words):
        if part not in of:
            refuse(f"hot word {phrase!r}", "symbols for all of it", f"none for {part!r}", "Is its case the symbols'?")
    if separator is None:
        return [of[word] for word in words]
    return [token for word in words for token in (separator, *(of[letter] for letter in word))][1:]
