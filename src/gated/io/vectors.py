"""Pretrained vectors of words: word2vec in text or binary, and GloVe.

2 3                    word2vec: words and dimensions in the first line; GloVe has no such line
the 0.1 -0.2 0.3
of 0.2 0.1 -0.1        in binary, behind each word and its space, numbers of float32 in their place
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from gated._check import refuse, want
from gated.io.text import Stream, open_stream

__all__ = ["Vectors", "read"]

MAX_WORDS, MAX_SIZE = 10_000_000, 4096  # of a file; dimensions
MAX_WORD = 1000  # bytes


class Vectors(NamedTuple):
    words: list[str]  # each once
    values: Float32[np.ndarray, "N E"]


def read(
    source: Any, wanted: Callable[[str], bool] = lambda word: True, most: int = 100_000,
    key: Callable[[str], str] = lambda word: word,
) -> Vectors:  # fmt: skip
    """The vectors of a file, plain or packed; of words that are alike under `key` the first one's.

    most: how many words are read; beyond these only the `wanted` ones are. Files begin with the most frequent words.

    Errors, with the line or the number of the word: another number of values than in the first line, values that are
    not finite, a file that is cut short.
    """
    words: dict[str, None] = {}
    rows: list[np.ndarray] = []
    with open_stream(source) as stream:
        for where, word, row in _rows(stream):
            fits = not rows or len(row) == len(rows[0])
            want(fits, where, f"{len(rows[0]) if rows else 0} numbers behind a word", len(row))
            want(bool(np.isfinite(row).all()), where, "finite numbers", f"others behind {word[:40]!r}")
            name = key(word)
            if name not in words and (len(words) < most or wanted(name)):
                words[name] = None
                rows.append(row)
        want(bool(rows), stream.where, "words with their vectors", "none")
    return Vectors([*words], np.stack(rows))


def _rows(stream: Stream) -> Iterator[tuple[str, str, np.ndarray]]:
    """Where a word stands, the word, its vector."""
    stream.read_line(MAX_WORD)
    first = stream.head.split(b"\n", 1)[0].split()
    head = len(first) == 2 and all(part.isdigit() for part in first)
    if head:
        count, size = map(int, first)
        want(0 < count <= MAX_WORDS, stream.where, f"1 to {MAX_WORDS:,} words", count)
        want(0 < size <= MAX_SIZE, stream.where, f"1 to {MAX_SIZE:,} dimensions", size)
        while len(stream.head) < 4 * (size + MAX_WORD) and stream.more():
            pass
        body = stream.head.partition(b"\n")[2]
        if _is_binary(body, size):
            yield from _binary(stream, count, size)
            return
    yield from _text(stream, skip=head)


def _is_binary(body: bytes, size: int) -> bool:
    """Whether what follows the first word is no text of numbers."""
    _, _, rest = body.partition(b" ")
    try:
        [float(part) for part in rest.split(b"\n", 1)[0].split()]
    except ValueError:
        return True
    return b"\0" in rest[: 4 * size]


def _text(stream: Stream, skip: bool) -> Iterator[tuple[str, str, np.ndarray]]:
    for n, line in enumerate(stream.lines(), 1):
        here = f"{stream.where}, line {n}"
        if (skip and n == 1) or not line.strip():
            continue
        word, *numbers = line.decode("utf-8", "replace").rstrip().split(" ")
        want(0 < len(numbers) <= MAX_SIZE, here, f"a word and 1 to {MAX_SIZE:,} numbers", len(numbers))
        try:
            with np.errstate(over="ignore"):  # what is too large is infinite, and refused as such
                row = np.array(numbers, np.float64).astype(np.float32)
        except ValueError:
            refuse(here, "numbers behind a word", repr(" ".join(numbers))[:60])
        yield here, word, row


def _binary(stream: Stream, count: int, size: int) -> Iterator[tuple[str, str, np.ndarray]]:
    data = stream.head.partition(b"\n")[2]
    for n in range(1, count + 1):
        while (end := data.find(b" ")) < 0 or len(data) < end + 1 + 4 * size:
            stream.head = b""
            got = f"{n - 1:,} of {count:,}"
            want(len(data) <= MAX_WORD + 4 * size + (1 << 20), stream.where, "a space behind each word", got)
            want(stream.more(), stream.where, f"{count:,} words with their vectors", got, "It was cut short.")
            data += stream.head
        word = data[:end].lstrip(b"\n").decode("utf-8", "replace")
        yield f"{stream.where}, word {n}", word, np.frombuffer(data, "<f4", size, end + 1).copy()
        data = data[end + 1 + 4 * size :]
