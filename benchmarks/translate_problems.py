"""Copying and reversing, as pairs of sentences: what a translator must be able to do before it meets a language.

    copy_pairs(1000, length=20, symbols=10, seed=0)      "7 0 3" → "7 0 3"
    reverse_pairs(1000, length=20, symbols=10, seed=0)   "7 0 3" → "3 0 7"

Lengths are uniform from `shortest` to `length`, symbols uniform and independent: no statistics of the target help, only
what attention carries over. Sutskever, Vinyals & Le 2014, section 3.3, on why the order of the source matters;
Bahdanau, Cho & Bengio 2015, section 5, on lengths beyond those learnt: ask for them with `shortest`.
"""

from __future__ import annotations

import random


def copy_pairs(count: int, length: int, symbols: int, seed: int, shortest: int = 1) -> list[tuple[str, str]]:
    """Sentences of up to `length` of the words 0, 1, … `symbols` - 1, and the same again."""
    return [(s, s) for s in _sentences(count, length, symbols, seed, shortest)]


def reverse_pairs(count: int, length: int, symbols: int, seed: int, shortest: int = 1) -> list[tuple[str, str]]:
    """The sentences of `copy_pairs`, and their words from the last to the first."""
    return [(s, " ".join(reversed(s.split()))) for s in _sentences(count, length, symbols, seed, shortest)]


def _sentences(count: int, length: int, symbols: int, seed: int, shortest: int) -> list[str]:
    if not 1 <= shortest <= length or symbols < 1:
        raise ValueError(f"lengths from {shortest} to {length} of {symbols} symbols: nothing to draw")
    rng = random.Random(seed)

    def below(n: int) -> int:
        return int(rng.random() * n)  # the one draw that stays the same in every version of Python

    return [" ".join(str(below(symbols)) for _ in range(shortest + below(length - shortest + 1))) for _ in range(count)]
