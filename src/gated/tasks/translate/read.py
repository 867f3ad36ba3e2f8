"""Sentences from files, standard input and lists, in pairs or alone; every error names the file and the line.

A line ends with \\n or \\r\\n and with nothing else: the other marks that Unicode counts as line ends (U+2028, \\x0b,
\\x0c, \\x85) stay inside, since a line lost or won would shift every pair after it.

Text becomes NFC, with runs of white space as one space and none at the ends; a no-break space is a character like
another. Control characters, a byte order mark and Unicode's noncharacters become spaces.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import sys
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gated._check import refuse, want
from gated.tasks.translate import po

__all__ = ["Pairs", "clean", "pairs", "sentences", "squeeze"]

LINE = 1 << 20  # bytes of one line
LINES = 50_000_000  # lines of one file
TOTAL = 4 << 30  # bytes of one file, after decompression
SPACE = re.compile("[\t-\r \x85\u2028\u2029]+")
CONTROL = re.compile("[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")
TWO = "two files, lists of strings, or one file of pairs (.tsv, .jsonl, .po)"


@dataclass(frozen=True)
class Pairs:
    """Sentences with their translations; `target` is None where only one side was read."""

    source: list[str]
    target: list[str] | None
    where: str  # the file or files, for messages
    lines: list[int]  # the line of each sentence, counted from 1
    notes: list[str]  # what was met and what was done about it, a sentence each

    def __len__(self) -> int:
        return len(self.source)


# A line's number, its sentences, and whether control characters were in it.
Row = tuple[int, tuple[str, ...], bool]


def squeeze(text: str) -> str:
    """NFC, with every run of white space as one space and none at the ends."""
    return unicodedata.normalize("NFC", SPACE.sub(" ", text).strip(" "))


def clean(text: str) -> str:
    """`squeeze`, after control characters, surrogates and noncharacters became spaces."""
    return squeeze(CONTROL.sub(" ", text))


def pairs(source: Any, target: Any = None, *, columns: tuple[str, str] | None = None) -> Pairs:
    """Sentences with their translations, for training and scoring.

    source, target   two files of one sentence a line, plain or gzip; or two lists of strings
    source alone     a file of pairs, or a list of pairs:
      .tsv           source TAB target. With `columns` the first line is a header that holds these two names
      .jsonl         an object a line, with the keys `columns`: "source" and "target" unless given; "translation.de" is
                     the key de of the object at translation
      .po            msgid and msgstr of the finished entries, see `po.pairs`

    A file whose name ends otherwise holds pairs if its first line has a tab or starts with {. Pairs that are empty on
    one side are left out, and `notes` says which.

    Errors: no such file, a folder, an empty or binary file; not UTF-8; a line over 1 MB; files of different length; a
    line with another number of columns; no JSON; nothing left.
    """
    if target is None:
        where, rows = _name(source), _paired(source, columns)
    else:
        want(columns is None, "columns", "one file of pairs where columns are named", "two files")
        where = f"{_name(source)} and {_name(target)}"
        left, right = list(_plain(source)), list(_plain(target))
        todo = "Line n of one must be the translation of line n of the other."
        got = f"{len(left)} in {_name(source)} and {len(right)} in {_name(target)}"
        want(len(left) == len(right), where, "as many lines in both", got, todo)
        rows = [(n, x + y, a or b) for (n, x, a), (_, y, b) in zip(left, right, strict=True)]
    rows = list(rows)
    want(len(rows) > 0, where, "at least one pair", "an empty file" if _is_path(source) else "none")
    whole = [row for row in rows if all(row[1])]
    notes = _controls(rows)
    if len(whole) < len(rows):
        empty = [n for n, row, _ in rows if not all(row)]
        notes.append(f"Left out: {_count(len(empty), 'pair')} with an empty side ({_lines(empty)}).")
    want(len(whole) > 0, where, "at least one pair of sentences", f"{_count(len(rows), 'pair')} with an empty side")
    numbers, sides = [n for n, _, _ in whole], [row for _, row, _ in whole]
    return Pairs([x for x, _ in sides], [y for _, y in sides], where, numbers, notes)


def sentences(source: Any, *, column: str | None = None) -> Pairs:
    """Sentences to translate: one for every line, an empty one for an empty line, so that lines keep their numbers.

    source: a file of one sentence a line, plain or gzip; "-" for standard input; a list of strings; a .tsv, whose first
    column is read, or the one that its header names `column`; a .jsonl, of which the key `column` ("source") is read.

    Errors: as those of `pairs`.
    """
    kind = _kind(source)
    todo = "Its messages are translated in place, see po."
    want(kind != "po", _name(source), "a file of sentences", "a catalogue", todo)
    if kind == "tsv":
        rows = _tsv(source, None if column is None else (column,), 1)
    elif kind == "jsonl":
        rows = _jsonl(source, ("source",) if column is None else (column,))
    else:
        want(column is None, "column", "a .tsv or .jsonl file where a column is named", _name(source))
        rows = _plain(source)
    rows = list(rows)
    want(len(rows) > 0 or not _is_path(source), _name(source), "at least one line", "an empty file")
    return Pairs([row[0] for _, row, _ in rows], None, _name(source), [n for n, _, _ in rows], _controls(rows))


# ---- kinds of source


def _plain(source: Any) -> Iterator[Row]:
    """One sentence a line, or a list's strings."""
    if _is_path(source):
        return (_row(n, line) for n, line in _read(source))
    return _listed(source)


def _listed(source: Any) -> Iterator[Row]:
    fits = isinstance(source, list | tuple)
    want(fits, "sentences", "a path or a list of strings", type(source).__name__)
    for n, text in enumerate(source, 1):
        want(isinstance(text, str), f"sentences, number {n}", "a string", repr(text)[:40])
        yield _row(n, text)


def _paired(source: Any, columns: tuple[str, str] | None) -> Iterator[Row]:
    if not _is_path(source):
        want(isinstance(source, list | tuple), "pairs", TWO, type(source).__name__)
        return _couples(source)
    want(str(source) != "-", "pairs", TWO, "standard input", "Sentences to translate may come from there.")
    kind = _kind(source)
    if kind == "po":
        want(columns is None, "columns", "a .tsv or .jsonl file where columns are named", _name(source))
        found = po.pairs(po.load(source))
        return (_row(n, x, y) for n, x, y in found)
    lines = _read(source)
    if kind == "text":
        first = next(lines, None)
        lines = itertools.chain([first] if first else [], lines)
        text = first[1] if first else "\t"
        kind = "tsv" if "\t" in text else "jsonl" if text.lstrip().startswith("{") else "text"
        want(kind != "text", _name(source), TWO, f"one file, no tab in line 1 ({text[:30]!r})")
    return (
        _jsonl(source, columns or ("source", "target"), lines) if kind == "jsonl" else _tsv(source, columns, 2, lines)
    )


def _couples(source: Any) -> Iterator[Row]:
    for n, pair in enumerate(source, 1):
        fits = isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(side, str) for side in pair)
        want(fits, f"pairs, number {n}", "two strings", repr(pair)[:40])
        yield _row(n, *pair)


def _tsv(source: Any, columns: tuple[str, ...] | None, width: int, lines: Any = None) -> Iterator[Row]:
    lines = _read(source) if lines is None else lines
    places = list(range(width))
    count = width if width > 1 else None  # of one side, any number of further columns may follow
    if columns is not None:
        header = [clean(name) for name in next(lines, (1, ""))[1].split("\t")]
        for name in columns:
            where = f"{_name(source)}, line 1"
            want(header.count(name) == 1, where, f"a header with {name!r} once", ", ".join(map(repr, header[:8])))
        places, count = [header.index(name) for name in columns], len(header)
    for n, line in lines:
        cells = line.split("\t")
        if not line.strip():
            cells = [""] * (count or width)
        got = f"{len(cells)}"
        want(count is None or len(cells) == count, f"{_name(source)}, line {n}", f"{count} columns, tab between", got)
        yield _row(n, *(cells[k] for k in places))


def _jsonl(source: Any, columns: tuple[str, ...], lines: Any = None) -> Iterator[Row]:
    for n, line in _read(source) if lines is None else lines:
        where = f"{_name(source)}, line {n}"
        if not line.strip():
            yield _row(n, *[""] * len(columns))
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            refuse(where, "a JSON object", str(error)[:80])
        want(isinstance(content, dict), where, "a JSON object", type(content).__name__)
        cells = [_at(content, name) for name in columns]
        for name, cell in zip(columns, cells, strict=True):
            got = f"keys {', '.join(map(repr, list(content)[:8]))}" if cell is None else repr(cell)[:40]
            want(isinstance(cell, str), where, f"text under {name!r}", got, "Name the keys with columns.")
        yield _row(n, *cells)


def _at(content: Any, name: str) -> Any:
    """The value under a key; under a.b, where there is no such key, the value at b of the object at a."""
    if not isinstance(content, dict):
        return None
    if name in content or "." not in name:
        return content.get(name)
    first, rest = name.split(".", 1)
    return _at(content.get(first), rest)


# ---- lines


def _read(source: Any) -> Iterator[tuple[int, str]]:
    """The lines of a file, or of standard input for "-", each with its number; gzip is known by its first bytes."""
    where = _name(source)
    if str(source) == "-":
        yield from _lines_of(sys.stdin.buffer, where)
        return
    path = Path(source)
    want(path.exists(), where, "a file", "no such file", _siblings(path))
    want(not path.is_dir(), where, "a file", "a folder")
    with path.open("rb") as file:
        start = file.peek(2)[:2]
        try:
            yield from _lines_of(gzip.GzipFile(fileobj=file) if start == b"\x1f\x8b" else file, where)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            refuse(where, "a whole gzip file", str(error).rstrip("."), "It was cut short or damaged.")


def _lines_of(file: Any, where: str) -> Iterator[tuple[int, str]]:
    total = 0
    for n in itertools.count(1):
        data = file.readline(LINE + 2)  # ends at \n only
        if not data:
            return
        here = f"{where}, line {n}"
        total += len(data)
        line = data.removesuffix(b"\n").removesuffix(b"\r")
        want(
            len(line) <= LINE, here, f"lines of at most {LINE} bytes", "a longer one", "Is it text, a sentence a line?"
        )
        want(n <= LINES, where, f"at most {LINES} lines", "more")
        want(total <= TOTAL, where, f"at most {TOTAL} bytes", "more")
        wide = n == 1 and data[:2] in (b"\xff\xfe", b"\xfe\xff")
        want(not wide, where, "text in UTF-8", "text in UTF-16", "Save the file in UTF-8.")
        if b"\0" in line:
            refuse(here, "text", f"binary data (a zero at byte {line.index(0) + 1} of the line)")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            got = f"the byte {line[error.start]:#04x} at byte {error.start + 1} of the line"
            refuse(here, "text in UTF-8", got, "Save the file in UTF-8.")
        yield n, text.removeprefix("\ufeff") if n == 1 else text


def _row(n: int, *cells: str) -> Row:
    return n, tuple(map(clean, cells)), any(CONTROL.search(cell) for cell in cells)


# ---- words for messages


def _is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)


def _kind(source: Any) -> str:
    if not _is_path(source):
        return "list"
    name = str(source).lower().removesuffix(".gz")
    ends = {".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".po": "po", ".pot": "po"}
    return next((kind for end, kind in ends.items() if name.endswith(end)), "text")


def _name(source: Any) -> str:
    return "the list" if not _is_path(source) else "standard input" if str(source) == "-" else str(source)


def _siblings(path: Path) -> str:
    near = sorted(p.name for p in path.parent.glob("*") if p.suffix == path.suffix) if path.parent.is_dir() else []
    return f"In that folder are: {', '.join(near[:5])}." if near and path.suffix else ""


def _controls(rows: list[Row]) -> list[str]:
    met = [n for n, _, control in rows if control]
    return [f"Control characters became spaces in {_count(len(met), 'line')} ({_lines(met)})."] if met else []


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + "s" * (n != 1)


def _lines(numbers: list[int]) -> str:
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return "line" + "s" * (len(numbers) > 1) + " " + ", ".join(map(str, numbers[:5])) + more
