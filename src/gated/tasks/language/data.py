"""Files to tokens: any number of texts, folders and JSON lines become one array of ids, mapped from the disk.

Neither the text nor its tokens are held in memory: both lie in files without a name, which the system takes away.
"""

from __future__ import annotations

import codecs
import io
import itertools
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from gated._check import refuse, want
from gated.io.text import MARKS, Stream, form, is_path, open_stream, plural, read_windows, source_name
from gated.io.text import decode as decode_lines
from gated.tasks.language.vocabulary import Vocabulary, pack, split_chunks

TOTAL = 64 << 30  # bytes of text, after decompression
BLOCK = 1 << 20  # bytes of one reading
SHOWN = 8  # unknown tokens that a note names


@dataclass
class Corpus:
    """The bytes of all sources, one after another, in an unnamed file."""

    where: str
    file: Any
    size: int = 0  # bytes
    fault: str = ""  # why it is no text, if it is none
    notes: list[str] = field(default_factory=list)

    def __enter__(self) -> Corpus:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def chunks(self, level: str) -> Iterator[str]:
        """The text in chunks; of bytes as it is, else with \\n for each line end."""
        decoder: Any = codecs.getincrementaldecoder("utf-8")("surrogateescape" if level == "byte" else "strict")
        if level != "byte":
            todo = "Save the file in UTF-8, or take level byte (--level byte)."
            if self.fault:
                refuse(self.where, "text in UTF-8", self.fault, todo)
            decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self.file.seek(0)
        while block := self.file.read(BLOCK):
            yield decoder.decode(block)
        yield decoder.decode(b"", True)

    def sample(self, size: int = 1 << 20) -> str:
        """The beginning of the text, of valid characters alone."""
        self.file.seek(0)
        return self.file.read(size).decode("utf-8", "ignore").replace("\r\n", "\n")


@dataclass
class Tokens:
    """A text as ids, with its size as text."""

    ids: Integer[np.ndarray, " N"]  # uint8, uint16 or uint32, mapped from a file
    characters: int = 0
    bytes: int = 0
    words: int = 0  # between white space; a line end counts as one, as in the Penn Treebank
    unknown: Counter[str] = field(default_factory=Counter)
    where: str = ""

    def __len__(self) -> int:
        return len(self.ids)


# ---- sources


def read(source: Any, key: str = "text") -> Corpus:
    """All of one or several sources: files, folders, "-" for standard input.

    Text is UTF-8, or UTF-16 with a byte order mark, or Windows-1252, which is noted; plain, gzip, or a ZIP archive of
    one file. Of `.jsonl` it is the text under `key` of each line's object. Of a folder all files are read, hidden ones
    aside, in the order of their names; what is no text in it is left out and noted. Between two texts is a line end.

    Errors: no such file; nothing in it; more than 64 GB.
    """
    sources = [source] if is_path(source) else list(source)
    want(bool(sources), "text", "at least one file", "none")
    fits = all(map(is_path, sources))
    want(fits, "text", "files", "something else", "Write text to a file, or give its path.")
    where = source_name(sources[0]) + (f" and {len(sources) - 1} more" if len(sources) > 1 else "")
    corpus = Corpus(where, tempfile.TemporaryFile())  # noqa: SIM115, closed with the corpus
    try:
        _fill(corpus, sources, key)
    except BaseException:
        corpus.file.close()
        raise
    return corpus


def _fill(corpus: Corpus, sources: Sequence[Any], key: str) -> None:
    left_out: list[str] = []
    for path, inside in _files(sources):
        with open_stream(path) as stream:
            if inside and _is_binary(stream):
                left_out.append(os.path.basename(path))
                continue
            notes = corpus.notes
            _append(corpus, _objects(stream, key, notes) if _is_json(stream) else _bytes(stream, corpus, notes))
    if left_out:
        corpus.notes.append(f"Left out: {plural(len(left_out), 'file')} that hold no text ({', '.join(left_out[:5])}).")
    want(corpus.size > 0, corpus.where, "some text", "an empty file")


def _files(sources: Sequence[Any]) -> Iterator[tuple[Any, bool]]:
    """The files of all sources, and whether each was found in a folder."""
    for source in sources:
        if str(source) != "-" and Path(source).is_dir():
            inside = sorted(path for path in Path(source).rglob("*") if path.is_file())
            inside = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(source).parts)]
            want(bool(inside), str(source), "a folder with files", "an empty one")
            yield from ((path, True) for path in inside)
        else:
            yield source, False


def _is_json(stream: Stream) -> bool:
    head = stream.head.lstrip()
    return form(stream.name) == "jsonl" or (stream.where == "standard input" and head[:1] == b"{" and b'"' in head)


def _is_binary(stream: Stream) -> bool:
    """Whether the beginning of a file holds a zero, which no text does."""
    return b"\0" in stream.head and not any(stream.head.startswith(mark) for mark, _ in MARKS)


def _append(corpus: Corpus, blocks: Iterator[bytes]) -> None:
    apart = corpus.size > 0 and not _ends_line(corpus)
    for block in blocks:
        if apart and block:
            corpus.file.write(b"\n")
            corpus.size, apart = corpus.size + 1, False
        corpus.file.write(block)
        corpus.size += len(block)
        want(corpus.size <= TOTAL, corpus.where, f"at most {TOTAL:,} bytes", "more")


def _ends_line(corpus: Corpus) -> bool:
    corpus.file.seek(-1, os.SEEK_END)
    return corpus.file.read(1) == b"\n"


def _objects(stream: Stream, key: str, notes: list[str]) -> Iterator[bytes]:
    """The texts of JSON lines, a line end after each."""
    for n, line in decode_lines(stream, max_bytes=TOTAL, notes=notes):
        if not line.strip():
            continue
        here = f"{stream.where}, line {n}"
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            refuse(here, "a JSON object", str(error)[:80])
        keys = list(content) if isinstance(content, dict) else None
        text = content.get(key) if isinstance(content, dict) else None
        got = type(content).__name__ if keys is None else f"keys {', '.join(map(repr, keys[:8]))}"
        want(isinstance(text, str), here, f"an object with text under {key!r}", got, "Name its key (--key).")
        yield pack(str(text).encode("utf-8", "replace").decode()) + b"\n"


def _bytes(stream: Stream, corpus: Corpus, notes: list[str]) -> Iterator[bytes]:
    """The bytes of a file, in UTF-8 if it is text in UTF-16 or Windows-1252; else they are as they are."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    windows, ascii_so_far, first, lines = False, True, True, 1
    if any(stream.head.startswith(mark) for mark, _ in MARKS):
        notes.append(f"{stream.where} was read as UTF-16.")
    for block in itertools.chain(stream.blocks(), (b"",)):
        if first and block.startswith(codecs.BOM_UTF8):
            block = block[3:]
        first = False
        if windows:
            yield block.decode("cp1252", "replace").encode()
            continue
        data = decoder.getstate()[0] + block
        if b"\0" in block:
            corpus.fault = (
                corpus.fault or f"a zero in line {lines + block[: block.index(0)].count(10)} of {stream.where}"
            )
        try:
            text = decoder.decode(block, not block)
        except UnicodeDecodeError as error:
            if ascii_so_far and read_windows(data)[1] <= 0 and not corpus.fault:
                windows = True
                notes.append(f"{stream.where} is not in UTF-8, and was read as Windows-1252.")
                yield data.decode("cp1252").encode()
                continue
            line = lines + data[: error.start].count(10)
            corpus.fault = corpus.fault or f"the byte {data[error.start]:#04x} in line {line} of {stream.where}"
            decoder.reset()
            yield data
            continue
        lines += block.count(10)
        ascii_so_far = ascii_so_far and text.isascii()
        yield text.encode()


# ---- tokens


def encode(corpus: Corpus, vocabulary: Vocabulary) -> Tokens:
    """The corpus as ids, and how long it is as text."""
    kind = np.uint8 if len(vocabulary) <= 1 << 8 else np.uint16 if len(vocabulary) <= 1 << 16 else np.uint32
    with tempfile.TemporaryFile() as file:
        tokens, count = Tokens(np.empty(0, kind), where=corpus.where), 0
        inside = False  # a word that the last chunk did not end
        for chunk in split_chunks(corpus.chunks(vocabulary.level), vocabulary.level):
            ids = vocabulary.encode(chunk)
            file.write(ids.astype(kind).tobytes())
            count += len(ids)
            tokens.unknown.update(vocabulary.unknown(chunk, ids))
            tokens.characters += len(chunk)
            tokens.bytes += len(pack(chunk))
            tokens.words += len(chunk.split()) + chunk.count("\n") - (inside and not chunk[:1].isspace())
            inside = bool(chunk) and not chunk[-1].isspace()
        file.flush()
        if count:
            tokens.ids = np.asarray(np.memmap(file, kind, "c", shape=(count,)))
    want(count > 0, corpus.where, "some text", "an empty file")
    return tokens


def encode_text(text: str, vocabulary: Vocabulary) -> Tokens:
    """A string as ids."""
    ids = vocabulary.encode(text)
    words = len(text.split()) + text.count("\n")
    return Tokens(ids, len(text), len(pack(text)), words, Counter(vocabulary.unknown(text, ids)), "the text")


def note_unknown(tokens: Tokens, vocabulary: Vocabulary) -> list[str]:
    """A note on the tokens that the vocabulary lacks."""
    total = sum(tokens.unknown.values())
    if not total:
        return []
    kind = {"char": "character"}.get(vocabulary.level, vocabulary.level)
    shown = " ".join(word[:30] for word, _ in tokens.unknown.most_common(SHOWN)) + " …" * (len(tokens.unknown) > SHOWN)
    return [f"{tokens.where}: {plural(total, kind)} of {len(tokens):,} are not in the vocabulary ({shown})."]
