"""What a network reads of words, as numbers: the word, its letters, prefixes, suffixes and shape, and other columns.

Words are looked up in lower case with every digit as 0; letters are read as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gated._check import want
from gated.tasks.tag.data import Sentences

PAD, UNK = 0, 1
AFFIX = 4  # letters of the longest prefix and suffix
MIN_AFFIX = 3  # distinct words that have it
SPELLING = 24  # letters of a word that are read: the first and the last of a longer one
LIMIT = 2_000_000  # entries of one table in a run folder
DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class Lexicon:
    """The known words, letters and so on; ids begin at 2, behind PAD and UNK.

    words   with their number of occurrences in training, 0 for those of pretrained vectors alone
    tables  prefixes of 1 … 4 letters, suffixes of 1 … 4, shapes, then a table of values for each further column
    """

    words: dict[str, int]
    characters: str
    tables: tuple[tuple[str, ...], ...]
    columns: int = 0  # further columns, of which the last tables are

    @cached_property
    def _words(self) -> dict[str, int]:
        return {word: k for k, word in enumerate(self.words, UNK + 1)}

    @cached_property
    def _characters(self) -> dict[str, int]:
        return {c: k for k, c in enumerate(self.characters, UNK + 1)}

    @cached_property
    def _tables(self) -> list[dict[str, int]]:
        """Ids of all tables in one row of numbers, each table with an UNK of its own."""
        starts = np.cumsum([UNK, *(len(table) + 1 for table in self.tables)])
        return [
            {"": int(start), **{value: int(start) + k for k, value in enumerate(table, 1)}}
            for start, table in zip(starts, self.tables, strict=False)
        ]

    @cached_property
    def entries(self) -> int:
        """Ids of all tables."""
        return UNK + sum(len(table) + 1 for table in self.tables)

    @cached_property
    def counts(self) -> np.ndarray:
        """Occurrences of each word's id in training."""
        return np.array([0, 0, *self.words.values()], np.int64)

    def knows(self, word: str) -> bool:
        """Whether a word occurred in training."""
        return self.words.get(normal(word), 0) > 0

    def find(self, word: str) -> int:
        """The id of a word in the form of `normal`."""
        return self._words.get(word, UNK)

    def encode(self, word: str) -> np.ndarray:
        """The id of a word, and of its prefixes, suffixes and shape."""
        tables = zip(self._tables[: len(self.tables) - self.columns], parts(word), strict=False)
        return np.array([self.find(normal(word)), *(table.get(one, table[""]) for table, one in tables)])

    def encode_features(self, values: Sequence[str]) -> list[int]:
        """The ids of a word's further columns."""
        tables = self._tables[len(self.tables) - self.columns :]
        return [table.get(value, table[""]) for table, value in zip(tables, values, strict=True)]

    def spell(self, word: str) -> list[int]:
        """The ids of a word's letters."""
        if len(word) > SPELLING:
            word = word[: SPELLING // 2] + word[-SPELLING // 2 :]
        return [self._characters.get(c, UNK) for c in word]

    def save(self) -> dict[str, Any]:
        return {"words": self.words, "characters": self.characters, "tables": [list(table) for table in self.tables],
                "columns": self.columns}  # fmt: skip


def normal(word: str) -> str:
    return DIGIT.sub("0", word.lower())


def shape(word: str) -> str:
    """The classes of a word's characters, runs of one class as one: Xx for Oslo, d-d for 12-30."""
    classes = (
        "X" if c.isupper() else "x" if c.islower() or c.isalpha() else "d" if c.isdigit() else c for c in word[:40]
    )
    out = ""
    for one in classes:
        out += one if not out.endswith(one) else ""
    return out[:8]


def parts(word: str) -> list[str]:
    """Prefixes and suffixes of 1 … 4 characters, and the shape; of a shorter word its whole."""
    lower = normal(word)
    return [*(lower[:k] for k in range(1, AFFIX + 1)), *(lower[-k:] for k in range(1, AFFIX + 1)), shape(word)]


def fit(sentences: Sentences, affixes: bool, more: Iterable[str] = ()) -> Lexicon:
    """The lexicon of training sentences. more: further words, in the form of `normal`, which have vectors."""
    words = Counter(word for row in sentences.words for word in row)
    lower: Counter[str] = Counter()
    for word, count in words.items():
        lower[normal(word)] += count
    known = dict(sorted(lower.items(), key=lambda item: (-item[1], item[0])))
    known |= {word: 0 for word in more if word not in known}
    letters = Counter(c for word in words for c in word)
    characters = "".join(c for c, count in sorted(letters.items()) if count > 1 or c.isascii())
    tables: list[tuple[str, ...]] = []
    for column in zip(*(parts(word) for word in words), strict=True) if affixes else ():
        tables.append(tuple(sorted(value for value, count in Counter(column).items() if count >= MIN_AFFIX and value)))
    width = len(next((row[0] for row in sentences.features if row), ()))
    for k in range(width):
        tables.append(tuple(sorted({values[k] for row in sentences.features for values in row})))
    return Lexicon(known, characters, tuple(tables), width)


def restore(words: dict[str, Any]) -> Lexicon:
    """The lexicon of a run folder."""
    where, known, characters, tables = "run folder lexicon", words["words"], words["characters"], words["tables"]
    fits = isinstance(known, dict) and len(known) <= LIMIT and all(type(n) is int and n >= 0 for n in known.values())
    want(fits, where, "words with their numbers of occurrences", "something else")
    fits = isinstance(characters, str) and len(set(characters)) == len(characters)
    want(fits, where, "characters, each once", "something else")
    fits = isinstance(tables, list) and len(tables) < 100
    for table in tables if fits else ():
        fits = fits and isinstance(table, list) and len(table) <= LIMIT and len(set(table)) == len(table)
        fits = fits and all(isinstance(value, str) and value for value in table)
    want(fits, where, "tables of texts, each once", "something else")
    columns = words["columns"]
    fits = type(columns) is int and len(tables) - columns in (0, 2 * AFFIX + 1) and columns >= 0
    want(fits, where, "tables of affixes or none, and of columns", f"{len(tables)} and {columns}")
    return Lexicon(known, characters, tuple(map(tuple, tables)), columns)
