"""Text from files, standard input and lists: lines, columns, tables with a header; every error names file and line.

Files are UTF-8, plain, packed by gzip, or the one file of a ZIP archive. Where the caller takes notes, UTF-16 and
Windows-1252 are read as well, and a note says so. A pipe is read as it comes.

A line ends with \\n or \\r\\n and with nothing else: the other characters that Unicode counts as line ends (U+2028,
\\x0b, \\x0c, \\x85) stay inside, since a line lost or won would shift every line after it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import itertools
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gated._check import near, refuse, want
from gated.unicode import CONTROL, clean

__all__ = [
    "Row", "Stream", "clean_row", "decode", "find", "form", "is_path", "lines", "name_wide", "open_stream", "places",
    "plural", "read_windows", "rows", "siblings", "source_name",
]  # fmt: skip

LINE = 1 << 20  # bytes of one line
LINES = 50_000_000  # lines of one file
TOTAL = 4 << 30  # bytes of one file, after decompression
BLOCK = 1 << 16  # bytes of one reading
MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
OFFICE = (  # archives that are documents, by what is in them
    ("word/", "a Word document"), ("xl/", "an Excel workbook"), ("ppt/", "a PowerPoint presentation"),
    ("META-INF/container.xml", "an e-book (EPUB)"), ("content.xml", "an OpenDocument file"),
)  # fmt: skip
FORMS = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Row(NamedTuple):
    """The cells of a line, clean."""

    line: int  # counted from 1
    cells: tuple[str, ...]
    controls: bool  # whether control characters were in it


# ---- bytes


class Stream:
    """The bytes of a file or a pipe, as they come; `open_stream` makes one, and `with` closes it.

    head: what the first reading gave. name: the file's; of an archive that of the file in it. waiting: whether more
    lines have come than `lines` has yielded, to be asked between two of them.
    """

    def __init__(self, file: Any, where: str, own: Any = None):
        self.file, self.where, self.own, self.waiting = file, where, own, False
        self.name = str(file.name) if isinstance(file, zipfile.ZipExtFile) else where
        self.head = self._next()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        if self.own is not None:
            self.own.close()

    def read_line(self, limit: int) -> None:
        """Read on until the head holds a whole line, or as many bytes."""
        while b"\n" not in self.head and len(self.head) <= limit and (block := self._next()):
            self.head += block

    def more(self) -> bool:
        """Read on into the head, and whether there was more."""
        block = self._next()
        self.head += block
        return bool(block)

    def read(self, limit: int = TOTAL) -> bytes:
        """All of it; more than the limit is refused."""
        parts, total = [self.head], len(self.head)
        while total <= limit and (block := self._next()):
            parts.append(block)
            total += len(block)
        want(total <= limit, self.where, f"at most {limit} bytes", "more")
        return b"".join(parts)

    def lines(self) -> Iterator[bytes]:
        """Its lines, in UTF-8 where it is UTF-16, without the \\n; a line far too long is cut."""
        rest = b""
        for block in self.blocks():
            *whole, rest = (rest + block).split(b"\n")
            for k, line in enumerate(whole, 1):
                self.waiting = k < len(whole)
                yield line
            if len(rest) > LINE + 1:
                break
        if rest:
            yield rest

    def blocks(self) -> Iterator[bytes]:
        """What comes, in UTF-8 where it is UTF-16."""
        name = next((name for mark, name in MARKS if self.head.startswith(mark)), "")
        decoder = codecs.getincrementaldecoder(name or "utf-8")()
        block = self.head
        while True:
            try:
                yield decoder.decode(block, not block).encode("utf-8", "surrogatepass") if name else block
            except UnicodeDecodeError as error:
                refuse(self.where, "text in UTF-16, as it begins", error.reason, "Save the file in UTF-8.")
            if not block:
                return
            block = self._next()

    def _next(self) -> bytes:
        try:
            return self.file.read1(BLOCK)
        except (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
            kind = "ZIP archive" if isinstance(self.file, zipfile.ZipExtFile) else "gzip file"
            refuse(self.where, f"a whole {kind}", str(error).rstrip("."), "It was cut short or damaged.")
        except OSError as error:
            refuse(self.where, "a file that can be read", error.strerror or str(error))


def open_stream(source: Any) -> Stream:
    """The bytes of a file, or of standard input for "-"; gzip and ZIP are known by their first bytes.

    Errors: no such file; a folder; one that cannot be read; damaged; an archive of several files, or a document.
    """
    where = source_name(source)
    if str(source) == "-":
        return Stream(_unpack(sys.stdin.buffer, where), where)
    path = Path(source)
    want(os.path.exists(path), where, "a file", "no such file", siblings(path))
    want(not path.is_dir(), where, "a file", "a folder")
    try:
        file = path.open("rb")
    except OSError as error:
        refuse(where, "a file that can be read", error.strerror or str(error))
    try:
        return Stream(_unpack(file, where), where, file)
    except BaseException:
        file.close()
        raise


def _unpack(file: Any, where: str) -> Any:
    try:
        if hasattr(file, "peek"):
            head = file.peek(4)[:4]
        else:  # bytes in memory
            head = file.read(4)
            file.seek(-len(head), os.SEEK_CUR)
    except OSError as error:
        refuse(where, "a file that can be read", error.strerror or str(error))
    if head[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=file)
    if head not in (b"PK\3\4", b"PK\5\6"):  # the second is an empty archive's
        return file
    want(file.seekable(), where, "text", "a ZIP archive", "Unpack it, or name the file.")
    try:
        archive = zipfile.ZipFile(file)
        names = [one.filename for one in archive.infolist() if not one.is_dir() and "__MACOSX/" not in one.filename]
        kind = next((kind for begin, kind in OFFICE for name in names if name.startswith(begin)), None)
        want(kind is None, where, "text", kind, "Save its text as a file of lines, UTF-8.")
        got = f"{plural(len(names), 'file')}: {', '.join(map(repr, names[:5]))}" if names else "an empty one"
        want(len(names) == 1, where, "an archive of one file", got, "Unpack it, and name the files.")
        return archive.open(names[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:  # damaged, or with a password
        refuse(where, "a ZIP archive that can be read", str(error).rstrip("."))


# ---- lines


def lines(
    source: Any, *, max_bytes: int = TOTAL, max_lines: int = LINES, notes: list[str] | None = None
) -> Iterator[tuple[int, str]]:
    """The lines of a file, or of standard input for "-", each with its number from 1: `decode` of its bytes.

    Errors: those of `open_stream` and of `decode`.
    """
    with open_stream(source) as stream:
        yield from decode(stream, max_bytes=max_bytes, max_lines=max_lines, notes=notes)


def decode(
    stream: Stream, *, max_bytes: int = TOTAL, max_lines: int = LINES, notes: list[str] | None = None
) -> Iterator[tuple[int, str]]:
    """The lines of a stream, each with its number from 1.

    notes: where another encoding is noted; without it, it is refused. A line that is no UTF-8 is Windows-1252 if no
    line before had anything but ASCII, and if it has no more letters beyond ASCII than in it: Greek,
    Cyrillic and Chinese of other encodings are refused.

    Errors: UTF-16 where no notes are taken; another encoding; zeros; a line over 1 MB; too many lines or bytes.
    """
    where, todo = stream.where, "Save the file in UTF-8."
    wide = any(stream.head.startswith(mark) for mark, _ in MARKS)
    kind = name_wide(stream.head)
    want(not kind, where, "text in UTF-8", kind, todo)
    want(notes is not None or not wide, where, "text in UTF-8", "text in UTF-16", todo)
    if wide and notes is not None:
        notes.append(f"{where} was read as UTF-16.")
    total = surplus = 0  # bytes; see `read_windows`
    utf8 = windows = False  # whether a line was either
    for n, data in enumerate(stream.lines(), 1):
        here = f"{where}, line {n}"
        total += len(data) + 1
        line = data.removesuffix(b"\r")
        whole = n == 1 and data == stream.head  # the file, in which no line ends with \n
        want(not (whole and b"\r" in line), here, r"lines that end with \n or \r\n", r"lines that end with \r alone",
             "Save the file with the line ends of Unix.")  # fmt: skip
        want(len(line) <= LINE, here, f"lines of at most {LINE} bytes", "a longer one", "Is it text?")
        want(n <= max_lines, where, f"at most {max_lines} lines", "more")
        want(total <= max_bytes + 1, where, f"at most {max_bytes} bytes", "more")
        if b"\0" in line:
            refuse(here, "text", f"binary data (a zero at byte {line.index(0) + 1} of the line)")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            text, more = read_windows(line)
            surplus += more
            got = f"the byte {line[error.start]:#04x} at byte {error.start + 1} of the line"
            if notes is None or utf8 or surplus > 0:
                refuse(here, "text in UTF-8", got, todo)
            notes.extend([] if windows else [f"{where} is not in UTF-8 (line {n}), and was read as Windows-1252."])
            windows = True
        else:
            utf8 = utf8 or not line.isascii()
            want(not (utf8 and windows), here, "text in Windows-1252, as before", "text in UTF-8", todo)
        yield n, text.removeprefix("\ufeff") if n == 1 else text


def name_wide(data: bytes) -> str:
    """What the beginning of a file is that is read as nothing but zeros and letters; empty for all else."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "text in UTF-32"
    if any(data.startswith(mark) for mark, _ in MARKS):
        return ""
    sides = [data[k:BLOCK:2].count(0) for k in (0, 1)]
    alike = min(sides) == 0 and 5 * max(sides) >= 2 * min(len(data), BLOCK) > 0
    return "text in UTF-16 without a byte order mark" if alike else ""


def read_windows(data: bytes) -> tuple[str, int]:
    """Bytes as Windows-1252, and by how many letters beyond ASCII pass those in it: above 0 it is another encoding."""
    text = data.decode("cp1252", "replace")
    letters = [c.isascii() for c in text if c.isalpha()]
    return text, len(text) if "\ufffd" in text else len(letters) - 2 * sum(letters)


# ---- columns


def rows(
    source: Any, kind: str, columns: Sequence[str] | None = None, *, width: int = 1,
    numbered: Iterable[tuple[int, str]] | None = None,
) -> Iterator[Row]:  # fmt: skip
    """The cells of every line of a source; a blank line has empty ones, so that lines keep their numbers.

    kind      "text": the line is the only cell; "list": of strings. "tsv", "csv": the first `width` columns, beside
              one of which another may stand; or those that the header names `columns`. "jsonl": the values under the
              keys `columns` of an object a line; "translation.de" is the key de of the object at translation
    numbered  the source's lines with their numbers, if they are at hand
    """
    if kind == "list":
        return _strings(source)
    numbered = lines(source) if numbered is None else numbered
    if kind in ("tsv", "csv"):
        split = _split_tabs if kind == "tsv" else _split_commas
        return _table(source, columns, width, split(source, numbered))
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


def _split_tabs(source: Any, numbered: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    return ((n, line.split("\t") if line.strip() else []) for n, line in numbered)


def _split_commas(source: Any, numbered: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """The fields of CSV, which may be quoted, and the line where each row ends; semicolons too if line 1 has more."""
    numbered = iter(numbered)
    n, first = next(numbered, (1, ""))
    lines = (f"{line}\n" for _, line in itertools.chain([(n, first)], numbered))
    reader = csv.reader(lines, delimiter=max(",;", key=first.count), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row if any(map(str.strip, row)) else []
    except csv.Error as error:
        refuse(f"{source_name(source)}, line {reader.line_num}", "fields of CSV", str(error), "Is a quote not closed?")


def _table(
    source: Any, columns: Sequence[str] | None, width: int, table: Iterator[tuple[int, list[str]]]
) -> Iterator[Row]:
    where, todo = source_name(source), "Name the right ones with columns."
    places = list(range(width))
    count = width if width > 1 else None
    if columns is not None:
        header = [clean(name) for name in next(table, (1, []))[1]]
        for name in columns:
            got = ", ".join(map(repr, header[:8])) or "an empty line"
            want(header.count(name) == 1, f"{where}, line 1", f"a header with {name!r} once", got, todo)
        places, count = [header.index(name) for name in columns], len(header)
    for n, cells in table:
        cells = cells or [""] * (count or width)
        here = f"{where}, line {n}"
        if count is None:  # a text alone, or with its translation beside it
            want(len(cells) <= 2, here, "one or two columns", f"{len(cells)}", "Name the one to read with columns.")
        else:
            want(
                len(cells) == count,
                here,
                f"{plural(count, 'column')}",
                f"{len(cells)}",
                todo if columns is None else "",
            )
        yield clean_row(n, *(cells[k] for k in places))


def _keyed(source: Any, columns: Sequence[str], numbered: Iterable[tuple[int, str]]) -> Iterator[Row]:
    where = source_name(source)
    for n, content in _objects(where, numbered):
        if content is None:
            yield clean_row(n, *[""] * len(columns))
            continue
        cells = [find(content, name) for name in columns]
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


def find(content: Any, name: str) -> Any:
    """The value under a key; under a.b, where there is no such key, the value at b of the object at a."""
    if not isinstance(content, dict):
        return None
    if name in content or "." not in name:
        return content.get(name)
    first, rest = name.split(".", 1)
    return find(content.get(first), rest)


# ---- sources, and words for messages


def is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)


def form(source: Any) -> str:
    """What a path's name says of its content, .gz aside: "csv", "tsv", "jsonl", or "" if nothing."""
    return FORMS.get(Path(str(source).lower().removesuffix(".gz")).suffix, "")


def source_name(source: Any) -> str:
    return "the list" if not is_path(source) else "standard input" if str(source) == "-" else str(source)


def siblings(path: Path) -> str:
    """The file that a path may have meant, as a question, where nothing has its name."""
    try:
        return "" if path.exists() else near(path.name, sorted(os.listdir(path.parent)))
    except OSError:  # no such folder, no right to list it, or a name that is too long
        return ""


def plural(n: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 line", "3,000 lines"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def places(kind: str, numbers: Sequence[Any]) -> str:
    """Where something is: "line 3", "lines 1, 3, 7, 8, 9 and 2 more"."""
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return kind + "s" * (len(numbers) > 1) + " " + ", ".join(map(str, numbers[:5])) + more
