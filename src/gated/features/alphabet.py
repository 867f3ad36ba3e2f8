"""Text to symbols and back: characters, or whole words. Symbol 0 is CTC's blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gated._check import one_of, want
from gated.unicode import CONTROL, clean

BLANK = 0
LARGEST = 20_000  # symbols


@dataclass(frozen=True)
class Alphabet:
    """What a network writes; `symbols[0]` is the blank's empty text."""

    tokens: str  # "char": a symbol is a character; "word": a word, and a space stands between two
    symbols: tuple[str, ...]
    lower: bool = False

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def separator(self) -> int | None:
        """The symbol that parts words, if there is one."""
        return self._index.get(" ") if self.tokens == "char" else None

    def split(self, text: str) -> list[str]:
        """The characters or words of a text, be they known or not."""
        text = self.plain(text)
        return text.split() if self.tokens == "word" else list(text)

    def plain(self, text: str) -> str:
        """A text as a network would write it at best."""
        return clean(text.lower() if self.lower else text, every_space=True)

    def encode(self, text: str) -> list[int]:
        """The symbols of a text; those that the alphabet lacks are left out."""
        return [self._index[piece] for piece in self.split(text) if piece in self._index]

    def unknown(self, text: str) -> list[str]:
        """What the alphabet lacks of a text."""
        return sorted({piece for piece in self.split(text) if piece not in self._index})

    def decode(self, tokens: Sequence[int]) -> str:
        text = (" " if self.tokens == "word" else "").join(self.symbols[k] for k in tokens)
        return " ".join(text.split()) if self.tokens == "char" else text

    def save(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "symbols": list(self.symbols), "lower": self.lower}

    @cached_property
    def _index(self) -> dict[str, int]:
        return {symbol: k for k, symbol in enumerate(self.symbols)}


def fit(texts: Iterable[str], tokens: str, lower: bool = False) -> Alphabet:
    """The alphabet of some texts."""
    one_of("tokens", tokens, ("char", "word"))
    empty = Alphabet(tokens, ("",), lower)
    symbols = sorted({piece for text in texts for piece in empty.split(text)})
    todo = "Are these transcripts? With whole words, tokens='char' needs far fewer." if tokens == "word" else ""
    want(bool(symbols), "texts", "some text to fit on", "none")
    want(len(symbols) < LARGEST, "texts", f"fewer than {LARGEST:,} symbols", f"{len(symbols):,}", todo)
    return Alphabet(tokens, ("", *symbols), lower)


def restore(words: dict[str, Any]) -> Alphabet:
    """The alphabet of a run folder."""
    symbols = words["symbols"]
    fits = isinstance(symbols, list) and all(isinstance(s, str) and len(s) < 1000 for s in symbols)
    fits = fits and all(s.splitlines() == [s] and not CONTROL.search(s) for s in symbols[1:])
    want(fits and 2 <= len(symbols) <= LARGEST, "run folder symbols", f"2 to {LARGEST:,} texts", "something else")
    want(symbols[0] == "" and "" not in symbols[1:], "run folder symbols", "a blank, then texts", "something else")
    want(len(set(symbols)) == len(symbols), "run folder symbols", "every symbol once", "one twice")
    one_of("run folder tokens", words["tokens"], ("char", "word"))
    want(type(words["lower"]) is bool, "run folder lower", "true or false", words["lower"])
    return Alphabet(words["tokens"], tuple(symbols), words["lower"])
