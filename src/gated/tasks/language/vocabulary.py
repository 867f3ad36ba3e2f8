"""Text to token ids and back: bytes, characters, words or byte pairs, without loss. Id 0 is no text's: `<unk>`.

    byte   the 256 bytes; any file is text
    char   the characters of the training text
    word   spaced: what stands between spaces, and line ends. Otherwise words with the space before them, digits, marks
           and white space, each on its own
    bpe    byte pairs: the pair of neighbours that is most frequent becomes one token, again and again (Sennrich, Haddow
           and Birch 2016), over bytes, so that no text is unknown (Radford et al. 2019, section 2.2)

Characters and words outside the vocabulary become `<unk>`; `Vocabulary.unknown` lists them. A text is a string, in
which bytes that are no UTF-8 stand as surrogates (PEP 383).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int64

from gated._check import one_of, optional, want

LEVELS = ("byte", "char", "bpe", "word")
UNK = "<unk>"
LONGEST = 1000  # characters of a token
LARGEST = 1 << 20  # tokens
CUT = re.compile(r" ?[^\W\d_]+| ?\d| ?[^\w\s]| ?_|\s")
SPACED = re.compile(r"[^ \n]+|\n")


def pack(text: str) -> bytes:
    """A text as the bytes that it was read from."""
    return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a level; `pieces[id]` is a token's text, or for byte pairs a byte for each character (latin-1)."""

    level: str
    pieces: tuple[str, ...]
    merges: tuple[tuple[int, int], ...] = ()
    spaced: bool = False

    def __len__(self) -> int:
        return len(self.pieces)

    def split(self, text: str) -> list[str]:
        """The words or characters of a text, be they known or not."""
        if self.level == "word":
            return (SPACED if self.spaced else CUT).findall(text)
        return list(text)

    def encode(self, text: str) -> Int64[np.ndarray, " N"]:
        """The ids of a text."""
        if self.level == "byte":
            return np.frombuffer(pack(text), np.uint8).astype(np.int64) + 1
        if self.level == "char":
            codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
            at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
            return np.where(self._codes[at] == codes, at + 1, 0)
        if self.level == "bpe":
            parts = self._tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False)
            return np.array(parts.ids, np.int64) + 1
        ids = self._ids
        return np.array([ids.get(word, 0) for word in self.split(text)], np.int64)

    def unknown(self, text: str, ids: Int64[np.ndarray, " N"]) -> list[str]:
        """What the vocabulary lacks of a text, in order; `ids` are the text's."""
        if ids.all():
            return []
        return [piece for piece, id in zip(self.split(text), ids.tolist(), strict=True) if not id and piece != UNK]

    def decode(self, ids: Iterable[int], before: int | None = None) -> bytes:
        """The text of ids as bytes, which may begin and end inside a character. before: the id in front of them."""
        pieces = self._bytes
        if not self.spaced:
            return b"".join(pieces[id] for id in ids)
        out = []
        for id in ids:
            apart = before is not None and pieces[before] != b"\n" and pieces[id] != b"\n"
            out.append(b" " * apart + pieces[id])
            before = id
        return b"".join(out)

    def save(self) -> dict[str, Any]:
        """All of it as JSON can hold it, for `restore`."""
        return json.loads(json.dumps(asdict(self)))

    @cached_property
    def _bytes(self) -> list[bytes]:
        return [piece.encode("latin-1" if self.level in ("byte", "bpe") else "utf-8") for piece in self.pieces]

    @cached_property
    def _codes(self) -> np.ndarray:
        return np.array([ord(piece) for piece in self.pieces[1:]], np.uint32)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: id for id, piece in enumerate(self.pieces)}

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizers = optional("tokenizers", "language")
        names = [_rename(piece) for piece in self.pieces[1:]]
        merges = [(names[a - 1], names[b - 1]) for a, b in self.merges]
        return _byte_pairs(tokenizers.models.BPE({name: id for id, name in enumerate(names)}, merges))


def _byte_pairs(model: Any) -> Any:
    tokenizers = optional("tokenizers", "language")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _alphabet() -> dict[int, str]:
    """The character that stands for each byte in the library: itself where it is printable."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(rest)}


def _rename(piece: str) -> str:
    return piece.translate(_alphabet())


# ---- fitting


def fit(chunks: Iterable[str], level: str, size: int, spaced: bool = False) -> Vocabulary:
    """The vocabulary of a text that comes in chunks. size: of words or byte pairs, at most.

    Words met once are left out where there are more than the size allows or where the text has no `<unk>` of its own,
    so that the network meets unknown words.
    """
    one_of("level", level, LEVELS)
    if level == "byte":
        return Vocabulary("byte", (UNK, *map(chr, range(256))))
    if level == "bpe":
        return _fit_pairs(chunks, size)
    empty, counts = Vocabulary(level, (UNK,), spaced=spaced), Counter[str]()
    for chunk in chunks:
        counts.update(chunk if level == "char" else empty.split(chunk))
    if level == "char":
        want(len(counts) < LARGEST, "text", f"fewer than {LARGEST:,} characters", f"{len(counts):,}")
        return Vocabulary("char", (UNK, *sorted(counts)))
    own = counts.pop(UNK, 0)
    words = sorted(counts, key=lambda word: (-counts[word], word))
    least = 1 if own or len(words) <= 100 else 2
    words = [word for word in words[: size - 1] if counts[word] >= least and len(word) <= LONGEST]
    return Vocabulary("word", (UNK, *words), spaced=spaced)


def _fit_pairs(chunks: Iterable[str], size: int) -> Vocabulary:
    tokenizers = optional("tokenizers", "language")
    tokenizer, alphabet = _byte_pairs(tokenizers.models.BPE()), _alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=max(size - 1, 256), min_frequency=2, show_progress=False, initial_alphabet=list(alphabet.values()),
        max_token_length=LONGEST,
    )  # fmt: skip
    tokenizer.train_from_iterator(chunks, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    names = sorted(model["vocab"], key=model["vocab"].__getitem__)
    ids = {name: id for id, name in enumerate(names, 1)}
    back = str.maketrans({character: chr(byte) for byte, character in alphabet.items()})
    merges = tuple((ids[a], ids[b]) for a, b in model["merges"])
    return Vocabulary("bpe", (UNK, *(name.translate(back) for name in names)), merges)


def choose_level(sample: str) -> tuple[str, bool]:
    """The level of a text by its beginning, and whether its words are spaced.

    Text with `<unk>`, or whose marks stand apart from words, was cut into words; other text is characters, or bytes
    where it has very many.
    """
    spaced = is_spaced(sample)
    return ("word", True) if spaced else ("byte" if len(set(sample)) > 4000 else "char", False)


def is_spaced(sample: str) -> bool:
    """Whether the words of a text were cut apart: it has `<unk>`, or commas that stand alone."""
    words = sample.split()
    apart, attached = words.count(","), len(re.findall(r"\w,(?=\s)", sample))
    return words.count(UNK) * 1000 > len(words) or (apart * 200 > len(words) > 100 and attached * 10 < apart)


def restore(saved: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a run folder, which may come from a stranger: it is checked before anything is built of it."""
    where = "run folder vocabulary"
    one_of(where, saved["level"], LEVELS)
    pieces, merges, level = saved["pieces"], saved["merges"], saved["level"]
    fits = isinstance(pieces, list) and isinstance(merges, list) and type(saved["spaced"]) is bool
    want(fits and 1 < len(pieces) <= LARGEST and len(merges) <= LARGEST, where, "tokens", "something else")
    fits = all(isinstance(piece, str) and 1 <= len(piece) <= LONGEST for piece in pieces)
    want(fits and len(set(pieces)) == len(pieces) and pieces[0] == UNK, where, "every token once", "something else")
    bytewise = level in ("byte", "bpe")
    fits = not any(character > "\xff" or character < "\0" for piece in pieces for character in piece) if bytewise else (
        not any("\ud800" <= character <= "\udfff" for piece in pieces for character in piece))  # fmt: skip
    want(fits, where, "tokens that are text", "something else")
    single = [ord(piece) for piece in pieces[1:]] if level == "char" and all(len(p) == 1 for p in pieces[1:]) else None
    ordered = single is not None and all(a < b for a, b in pairwise(single))
    want(level != "char" or ordered, where, "characters in order", "something else")
    want(level != "byte" or pieces[1:] == [chr(byte) for byte in range(256)], where, "the 256 bytes", "something else")
    known = set(pieces)
    for pair in merges:
        fits = isinstance(pair, list) and len(pair) == 2 and all(type(i) is int and 0 < i < len(pieces) for i in pair)
        fits = fits and level == "bpe" and pieces[pair[0]] + pieces[pair[1]] in known
        want(fits, where, "merges that make a token", repr(pair)[:40])
    whole = level != "bpe" or {chr(byte) for byte in range(256)} <= known
    want(whole, where, "byte pairs over all bytes", "something else")
    return Vocabulary(level, tuple(pieces), tuple((a, b) for a, b in merges), saved["spaced"])


def split_chunks(chunks: Iterator[str], level: str) -> Iterator[str]:
    """The same text in chunks that end at the end of a token: before white space, but for bytes and characters."""
    rest: Sequence[str] = ""
    for chunk in chunks:
        text = f"{rest}{chunk}"
        at = 0 if level not in ("bpe", "word") else max(text.rfind("\n"), text.rfind(" "))
        at = len(text) if level not in ("bpe", "word") or (at <= 0 and len(text) > 1 << 24) else max(at, 0)
        rest = text[at:]
        if at:
            yield text[:at]
    if rest:
        yield str(rest)
