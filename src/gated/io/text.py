"""Text from files, standard input and lists: lines, columns, tables with a header; every error names file and line.

A line ends with \\n or \\r\\n and with nothing else: the other characters that Unicode counts as line ends (U+2028,
\\x0b, \\x0c, \\x85) stay inside, since a line lost or won would shift every line after it.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gated._check import refuse, want
from gated.unicode import CONTROL, clean

__all__ = [
    "Row", "clean_row", "form", "is_path", "lines", "places", "plural", "records", "rows", "siblings", "source_name",
]  # fmt: skip

LINE = 1 << 20  # bytes of one line
LINES = 50_000_000  # lines of one file
TOTAL = 4 << 30  # bytes of one file, after decompression
FORMS = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Row(NamedTuple):
    """The cells of a line, clean."""

    line: int  # counted from 1
    cells: tuple[str, ...]
    controls: bool  # whether control characters were in it


# ---- lines


def lines(source: Any, *, max_bytes: int = TOTAL, max_lines: int = LINES) -> Iterator[tuple[int, str]]:
    """The lines of a file, or of standard input for "-", each with its number from 1; gzip is known by its first bytes.

    Errors: no such file; a folder; one that cannot be read; a damaged gzip file; not UTF-8; zeros; a line over 1 MB;
    more lines or bytes than allowed.
    """
    where = source_name(source)
    if str(source) == "-":
        yield from _decoded(sys.stdin.buffer, where, max_bytes, max_lines)
        return
    path = Path(source)
    want(path.exists(), where, "a file", "no such file", siblings(path))
    want(not path.is_dir(), where, "a file", "a folder")
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            yield from _decoded(gzip.GzipFile(fileobj=file) if packed else file, where, max_bytes, max_lines)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        refuse(where, "a whole gzip file", str(error).rstrip("."), "It was cut short or damaged.")
    except OSError as error:
        refuse(where, "a file that can be read", error.strerror or str(error))


def _decoded(file: Any, where: str, max_bytes: int, max_lines: int) -> Iterator[tuple[int, str]]:
    total = 0
    for n in itertools.count(1):
        data = file.readline(LINE + 2)  # ends at \n only
        if not data:
            return
        here = f"{where}, line {n}"
        total += len(data)
        line = data.removesuffix(b"\n").removesuffix(b"\r")
        wide = n == 1 and data[:2] in (b"\xff\xfe", b"\xfe\xff")
        want(not wide, where, "text in UTF-8", "text in UTF-16", "Save the file in UTF-8.")
        want(len(line) <= LINE, here, f"lines of at most {LINE} bytes", "a longer one", "Is it text?")
        want(n <= max_lines, where, f"at most {max_lines} lines", "more")
        want(total <= max_bytes, where, f"at most {max_bytes} bytes", "more")
        if b"\0" in line:
            refuse(here, "text", f"binary data (a zero at byte {line.index(0) + 1} of the line)")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            got = f"the byte {line[error.start]:#04x} at byte {error.start + 1} of the line"
            refuse(here, "text in UTF-8", got, "Save the file in UTF-8.")
        yield n, text.removeprefix("\ufeff") if n == 1 else text


# ---- columns


def rows(
    source: Any, kind: str, columns: Sequence[str] | None = None, *, width: int = 1,
    numbered: Iterable[tuple[int, str]] | None = None,
) -> Iterator[Row]:  # fmt: skip
    """The cells of every line of a source; a blank line has empty ones, so that lines keep their numbers.

    kind      "text": the line is the only cell; "list": of strings. "tsv": the first `width` columns, of which there
              are no others if width > 1; or those that the header names `columns`. "jsonl": the values under the keys
              `columns` of an object a line; "translation.de" is the key de of the object at translation
    numbered  the source's lines with their numbers, if they are at hand
    """
    if kind == "list":
        return _strings(source)
    numbered = lines(source) if numbered is None else numbered
    if kind == "tsv":
        return _tabbed(source, columns, width, iter(numbered))
    if kind == "jsonl":
        return _keyed(source, columns or (), numbered)
    return (clean_row(n, line) for n, line in numbered)


def clean_row(n: int, *cells: str) -> Row:
    """The cells of line n."""
    return Row(n, tuple(map(clean, cells)), any(CONTROL.search(cell) for cell in cells))


def _strings(source: Any) -> Iterator[Row]:
    want(isinstance(source, list | tuple), "sentences", "a path or a list of strings", type(source).__name__)
    for n, text in enumerate(source, 1):
        want(isinstance(text, str), f"sentences, number {n}", "a string", repr(text)[:40])
        yield clean_row(n, text)


def _tabbed(
    source: Any, columns: Sequence[str] | None, width: int, numbered: Iterator[tuple[int, str]]
) -> Iterator[Row]:
    where = source_name(source)
    places = list(range(width))
    count = width if width > 1 else None  # beside one column any number of others may stand
    if columns is not None:
        header = [clean(name) for name in next(numbered, (1, ""))[1].split("\t")]
        for name in columns:
            got = ", ".join(map(repr, header[:8]))
            want(header.count(name) == 1, f"{where}, line 1", f"a header with {name!r} once", got)
        places, count = [header.index(name) for name in columns], len(header)
    for n, line in numbered:
        cells = line.split("\t") if line.strip() else [""] * (count or width)
        fits = count is None or len(cells) == count
        want(fits, f"{where}, line {n}", f"{count} columns, tab between", f"{len(cells)}")
        yield clean_row(n, *(cells[k] for k in places))


def _keyed(source: Any, columns: Sequence[str], numbered: Iterable[tuple[int, str]]) -> Iterator[Row]:
    where = source_name(source)
    for n, content in _objects(where, numbered):
        if content is None:
            yield clean_row(n, *[""] * len(columns))
            continue
        cells = [_value(content, name) for name in columns]
        for name, cell in zip(columns, cells, strict=True):
            got = f"keys {', '.join(map(repr, list(content)[:8]))}" if cell is None else repr(cell)[:40]
            todo = "Name the keys with columns."
            want(isinstance(cell, str), f"{where}, line {n}", f"text under {name!r}", got, todo)
        yield clean_row(n, *cells)


def _objects(where: str, numbered: Iterable[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The JSON object of every line, None for a blank one."""
    for n, line in numbered:
        if not line.strip():
            yield n, None
            continue
        here = f"{where}, line {n}"
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            refuse(here, "a JSON object", str(error)[:80])
        want(isinstance(content, dict), here, "a JSON object", type(content).__name__)
        yield n, content


def _value(content: Any, name: str) -> Any:
    """The value under a key; under a.b, where there is no such key, the value at b of the object at a."""
    if not isinstance(content, dict):
        return None
    if name in content or "." not in name:
        return content.get(name)
    first, rest = name.split(".", 1)
    return _value(content.get(first), rest)


# ---- tables with a header


def records(
    source: Any, required: Sequence[str], known: Sequence[str] = (), *, max_bytes: int = TOTAL
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a table as (where, dict): .csv or .tsv with a header, or .jsonl, by the source's name.

    Names of columns are in lower case. The header must have the `required` columns, and of the `known` ones none twice;
    an object of .jsonl may have any keys. In .csv fields may be quoted, in .tsv a quote is a character like another.
    """
    where, kind = source_name(source), form(source)
    numbered = lines(source, max_bytes=max_bytes)
    if kind == "jsonl":
        for n, content in _objects(where, numbered):
            if content is not None:
                yield f"{where}, line {n}", {name.casefold(): value for name, value in content.items()}
        return
    text = (f"{line}\n" for _, line in numbered)
    if kind == "tsv":
        reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
    else:
        reader = csv.reader(text, strict=True, skipinitialspace=True)
    names: list[str] = []
    before = 0
    try:
        for row in reader:
            here, before = f"{where}, line {before + 1}", reader.line_num
            if not any(map(str.strip, row)):
                continue
            if not names:
                names = _header(row, here, required, known)
                continue
            todo = "Put text that has commas in it between quotes." if kind == "csv" and len(row) > len(names) else ""
            want(len(row) == len(names), here, f"{len(names)} fields, as in the header", f"{len(row)}", todo)
            yield here, dict(zip(names, row, strict=True))
    except csv.Error as error:
        here, expected = f"{where}, line {before + 1}", f"fields of {kind.upper()}"
        if "new-line" in str(error):
            refuse(here, expected, r"a \r in a line", r"End lines with \n or \r\n.")
        refuse(here, expected, str(error), "Is a quote not closed?")


def _header(row: list[str], where: str, required: Sequence[str], known: Sequence[str]) -> list[str]:
    names = [name.strip().casefold() for name in row]
    expected = f"a header with the column{'s' * (len(required) > 1)} {' and '.join(required)}"
    todo = "Put commas between the columns." if len(row) == 1 and ";" in row[0] else ""
    for name in required:
        want(name in names, where, expected, ", ".join(map(repr, row[:8])), todo)
    for name in {*required, *known}:
        want(names.count(name) < 2, where, f"the column {name} once", f"{names.count(name)} times")
    return names


# ---- sources, and words for messages


def is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)


def form(source: Any) -> str:
    """What a path's name says of its content, .gz aside: "csv", "tsv", "jsonl", or "" if nothing."""
    return FORMS.get(Path(str(source).lower().removesuffix(".gz")).suffix, "")


def source_name(source: Any) -> str:
    return "the list" if not is_path(source) else "standard input" if str(source) == "-" else str(source)


def siblings(path: Path) -> str:
    """What lies where nothing has the path's name, in a sentence: files of the same ending."""
    if path.exists() or not path.suffix or not path.parent.is_dir():
        return ""
    near = sorted(p.name for p in path.parent.glob("*") if p.suffix == path.suffix)
    return f"In that folder are: {', '.join(near[:5])}." if near else ""


def plural(n: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 line", "3,000 lines"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def places(kind: str, numbers: Sequence[Any]) -> str:
    """Where something is: "line 3", "lines 1, 3, 7, 8, 9 and 2 more"."""
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return kind + "s" * (len(numbers) > 1) + " " + ", ".join(map(str, numbers[:5])) + more
