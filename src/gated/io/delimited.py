"""Delimited text as frames: what a CSV, TSV or exported table is like is recognised, and what is skipped is said."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from gated._check import optional, refuse, want
from gated.io.numbers import MISSING, WORDS
from gated.io.text import places

pd: Any = optional("pandas", "forecast")
pa: Any = optional("pyarrow", "forecast")
pc: Any = optional("pyarrow.compute", "forecast")
arrow: Any = optional("pyarrow.csv", "forecast")

ROWS = "a file with a header line and rows"
DELIMITERS = ",;\t|"
SPACE = " "  # where no other delimits
HEAD = 100  # lines that show what a file is like
COMMA = r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+"  # 1234,5 and 1.234,5
POINT = r"[+-]?\d*\.\d+"
DOUBTFUL = {".": r"[+-]?[1-9]\d{0,2}\.\d{3}", ",": r"[+-]?[1-9]\d{0,2},\d{3}"}  # decimals, or a group of thousands
NUMBER = r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF]\w*)"  # a number of pandas
BOOLEANS = {"True", "TRUE", "true", "False", "FALSE", "false"}
VALUE = r"[+-]?[\d.,:/ -]*\d[\d.,:/ -]*"  # a number or a date of digits, of which a header has none
NEWLINE, NEAR = b"\n", 1 << 16  # bytes behind the first that is not UTF-8, which tell damage from Windows-1252
MULTIBYTE = rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"


class Layout(NamedTuple):
    """How the text of a file is arranged."""

    delimiter: str
    line: int  # of the header, from 1
    names: list[str]
    rows: list[list[str]]  # the first below the header
    notes: list[str]


def read(
    where: str, path: str | None, data: bytes | None, start: bytes, *, ids: Collection[str], times: Collection[str],
    missing: Sequence[str] = (), encoding: str | None = None, wide: bool = False,
) -> Any:  # fmt: skip
    """A pandas frame of a file's text (at `path`, or in `data`), whose index "line" counts its lines from 1.

    ids: columns that are text unless every name in them is a plain integer. times: columns that stay text if they are
    fractions. A column that may have points or commas for thousands is text as well, for `io.numbers` to settle. wide:
    where no column is one of times, those without a digit in their names are ids.

    In attrs: `notes`, `delimiter`, `ids`, and `decimals`, the decimal of each column that shows it in the first lines.
    """
    notes: list[str] = []
    encoding = _encoding(start, where, encoding)
    if encoding == "utf-8" and not _decodes(start):
        encoding = _fallback(where, path, data, notes)
    try:
        frame = _parse(where, path, data, start, encoding, ids, times, missing, notes, wide)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            refuse(where, f"text in {encoding}", str(error.reason), "Name its encoding with --encoding.")
        encoding = _fallback(where, path, data, notes)
        frame = _parse(where, path, data, start, encoding, ids, times, missing, notes, wide)
    frame.attrs["notes"] = notes + frame.attrs["notes"]
    return frame


# ---- encodings


def _encoding(start: bytes, where: str, encoding: str | None) -> str:
    if encoding is not None:
        try:
            return codecs.lookup(encoding).name
        except LookupError:
            refuse("encoding", "the name of an encoding, such as utf-8, cp1252 or shift_jis", repr(encoding))
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-32" if start[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") else "utf-16"
    even, odd = start[::2].count(0), start[1::2].count(0)
    wide = max(even, odd) > 0.3 * (len(start) // 2) and min(even, odd) == 0
    want(wide or not even + odd, where, "a CSV, JSON, Excel or Parquet file", "binary data")
    return "utf-8" if not wide else "utf-16-le" if odd else "utf-16-be"


def _decodes(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return True


def _undecodable(content: bytes, encoding: str) -> int:
    """The place of the first byte that is none of the encoding's, or the end."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    return len(content)


def _fallback(where: str, path: str | None, data: bytes | None, notes: list[str]) -> str:
    """Windows-1252 for text that is not UTF-8, but not for UTF-8 with a damaged byte in it."""
    content = data
    if content is None:
        with open(str(path), "rb") as file:
            content = file.read()
    todo = "Save the file in UTF-8, or name its encoding with --encoding."
    at = _undecodable(content, "utf-8")
    got = f"the byte {content[at]:#04x} in line {content[:at].count(NEWLINE) + 1}"
    near = content[at : at + NEAR]
    valid, high = sum(map(len, re.findall(MULTIBYTE, near))), len(re.findall(rb"[\x80-\xff]", near))
    want(content[:at].isascii() and 2 * valid <= high, where, "text in UTF-8", got, todo)
    want(_undecodable(content, "cp1252") == len(content), where, "text in UTF-8 or Windows-1252", got, todo)
    notes.append("The file is not UTF-8: read as Windows-1252 (--encoding names another).")
    return "cp1252"


# ---- layout


def find_layout(lines: list[str], where: str) -> Layout:
    """Delimiter and header of a file's first lines, past blank lines, `sep=;`, comments and titles.

    Errors: a line of words, such as units, between the header and the values.
    """
    k = next((k for k, line in enumerate(lines) if line.strip()), 0)
    rule = re.fullmatch(r'"?sep=(.)"?[,;\t]*', lines[k], re.IGNORECASE) if lines else None
    k += rule is not None
    is_comment = lambda line: line[:1] == "#" or not line.strip()  # noqa: E731
    offset = next((n for n in range(k, len(lines)) if not is_comment(lines[n])), len(lines))
    records = {d: _records(lines[offset : offset + HEAD], d, where) for d in (rule[1] if rule else DELIMITERS)}
    if not rule and all(_width(rows) == 1 for rows in records.values()):
        apart = _records([line.rstrip() for line in lines[offset : offset + HEAD]], SPACE, where)
        if any(map(_is_value, (cell for _, cells in apart for cell in cells))):  # else they are sentences
            records[SPACE] = apart
    delimiter = max(records, key=lambda d: _score(records[d]))
    rows = records[delimiter]
    if not rows:
        return Layout(delimiter, len(lines), [], [], [])
    if any(map(_is_value, rows[0][1])):  # the last comment may be the header
        last = [line.lstrip("# ") for line in lines[k:offset] if line.strip()][-1:]
        rows = [*((0, cells) for _, cells in _records(last, delimiter, where) if len(cells) == len(rows[0][1])), *rows]
    first = _find_header(rows)
    if _is_words(rows[first + 1 :]) and any(map(_is_value, rows[first][1])) and not _is_across(rows[first][1]):
        first += 1  # a title of several fields, with a number or date in it
    titles = [" ".join(filter(None, map(str.strip, cells))) for _, cells in rows[:first]]
    skipped = places("line", [offset + line for line, _ in rows[:first]])
    notes = [f"Above the header, {skipped} skipped: {', '.join(map(repr, titles[:3]))}."] if titles else []
    below = [cells for _, cells in rows[first + 1 :]]
    header = rows[first][1]
    more = max(map(len, below), default=0) - len(header)
    if more > 0 and not any(any(map(str.strip, cells[len(header) :])) for cells in below):  # delimiters alone
        header = [*header, *[""] * more]
    names = [cell.strip() or f"column {n + 1}" for n, cell in enumerate(header)]
    if len(names) > 1 and _is_words(rows[first + 1 :]):
        line, todo = offset + rows[first + 1][0], "Remove this line: units and types have no place below the header."
        refuse(f"{where}, line {line}", "values below the header", repr(delimiter.join(below[0])), todo)
    return Layout(delimiter, offset + rows[first][0], names, below, notes)


def _find_header(rows: list[tuple[int, list[str]]]) -> int:
    """The first row of the width that most rows have, but for titles with delimiters behind them."""
    width = _width(rows)
    first = next(i for i, (_, cells) in enumerate(rows) if len(cells) == width)
    fields = [sum(map(bool, map(str.strip, cells))) for _, cells in rows]
    values = [any(map(_is_value, cells)) for _, cells in rows]
    while first + 1 < len(rows) and 2 * fields[first] <= fields[first + 1] and not values[first + 1]:
        first += 1
    words = [i for i in range(first) if len(rows[i][1]) > 1 and not values[i]]
    lost = values[first] and words and not _is_across(rows[first][1])
    return words[-1] if lost else first  # a header of another width, which pandas will refuse


def _is_words(rows: list[tuple[int, list[str]]]) -> bool:
    """Whether the first row is no values, such as units, but words in columns that hold values below."""
    (_, first), *others = rows if len(rows) > 1 else [(0, [""]), (0, [""])]
    words = [k for k, cell in enumerate(first) if cell.strip() and cell.strip().lower() not in WORDS]
    return not any(re.search(r"\d", cell) for cell in first) and any(
        _is_value(cells[k]) for k in words for _, cells in others if len(cells) > k
    )


def _is_across(cells: list[str]) -> bool:
    """Whether cells are names of columns with years or dates among them, each later than the one before."""
    times = [cell.strip() for cell in cells if _is_value(cell)]
    years = [int(year[0]) for word in times if (year := re.search(r"\d{4}", word))]
    rising = len(years) == len(times) and years[0] >= 1678 and years[-1] <= 2261 and sorted(years) == years
    return len(set(times)) == len(times) > 1 and rising and not _is_value(cells[0])


def _records(lines: list[str], delimiter: str, where: str) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line where it begins, from 1."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, skipinitialspace=True)
    rows, line = [], 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        refuse(where, "lines of text", str(error))
    return rows


def _width(rows: list[tuple[int, list[str]]]) -> int:
    """The number of fields that most rows have, of those with several."""
    counts = Counter(len(cells) for _, cells in rows if len(cells) > 1)
    return max(counts, key=lambda n: (counts[n], n), default=1)


def _score(rows: list[tuple[int, list[str]]]) -> tuple[int, int, int]:
    width = _width(rows)
    fits = [cells for _, cells in rows if len(cells) == width]
    return (len(fits) if width > 1 else 0), sum(_is_value(c) for cells in fits for c in cells), width


def _is_value(cell: str) -> bool:
    return re.fullmatch(VALUE, cell.strip()) is not None


# ---- rows


def _parse(
    where: str, path: str | None, data: bytes | None, start: bytes, encoding: str, ids: Collection[str],
    times: Collection[str], missing: Sequence[str], notes: list[str], wide: bool,
) -> Any:  # fmt: skip
    text = codecs.getincrementaldecoder(encoding)("ignore").decode(start).lstrip("\ufeff")
    lines = re.split("\r\n|\n|\r", text)
    layout = find_layout(lines[:-1] if len(start) == 1 << 16 else lines, where)
    names, twice = layout.names, [name for name, count in Counter(layout.names).items() if count > 1]
    lacks = " The file seems to lack a header line." if any(map(_is_value, names)) else ""
    got = f"{', '.join(map(repr, twice))} twice"
    want(not twice, f"{where}, line {layout.line}", "a header of different names", got, f"Rename one.{lacks}")
    want(len(names) > 0, where, ROWS, "an empty file")
    ids = [*ids, *(n for n in names if not re.search(r"\d", n))] if wide and not set(times) & set(names) else ids
    cells = [[row[k].strip() for row in layout.rows if len(row) > k] for k in range(len(names))]
    columns = {name: list(filter(None, column)) for name, column in zip(names, cells, strict=True)}
    decimals = {name: _decimal(cells) for name, cells in columns.items()}
    shown = {decimal for name, decimal in decimals.items() if name not in times}
    decimal = "," if layout.delimiter != "," and "," in shown and "." not in shown else "."
    no_value = {name: [""] if name in ids else [*MISSING, *missing] for name in names}
    options: dict[str, Any] = dict(
        sep=r"\s+" if layout.delimiter == SPACE else layout.delimiter, encoding=encoding, header=None, names=names,
        skiprows=layout.line, skip_blank_lines=False, index_col=False, skipinitialspace=True, decimal=decimal,
        keep_default_na=False, na_values=no_value,
    )  # fmt: skip
    words = [n for n in names if n in ids or not all(_is_plain(c, decimal, no_value[n]) for c in columns[n])]
    frame = _table(where, path, data, options, words, layout)
    fractions = {name: frame[name].to_numpy() for name in names if frame[name].dtype.kind == "f"}
    again = [n for n, v in fractions.items() if _may_be_groups(v, columns[n], decimal, layout.delimiter, n in times)]
    if again:
        some = _table(where, path, data, options | {"usecols": again}, again, layout)
        frame = frame.assign(**{name: some[name] for name in again})
    frame.index = pd.RangeIndex(layout.line + 1, layout.line + 1 + len(frame), name="line")
    blank = np.ones(len(frame), bool)
    for name in sorted(names, key=lambda name: frame[name].dtype.kind == "O"):  # text last, which is slow
        blank &= frame[name].isna().to_numpy(bool)
        if not blank.any():
            break
    frame = frame[~blank] if blank.any() else frame
    for id in [id for id in ids if id in frame]:
        plain = all(isinstance(n, str) and re.fullmatch(r"0|-?[1-9]\d{0,17}", n) for n in frame[id].unique())
        frame[id] = frame[id].astype("int64") if plain and len(frame) else frame[id]
    frame.attrs = {"notes": layout.notes, "delimiter": layout.delimiter, "ids": list(ids),
                   "decimals": {name: d for name, d in decimals.items() if d}}  # fmt: skip
    return frame


def _table(
    where: str, path: str | None, data: bytes | None, options: dict[str, Any], words: list[str], layout: Layout
) -> Any:
    """The frame of pandas' options, in which the columns `words` are text.

    Arrow reads these in a tenth of pandas' time, as columns that hold no objects. pandas reads all of a file in which
    the two could differ: with blank or short lines, or with spaces behind delimiters.
    """
    names = options.get("usecols", options["names"])
    texts, others = _texts(path, data, options, words), [name for name in names if name not in words]
    if texts is not None:  # pandas refuses an open quote, if only that
        frame = _rows(where, path, data, options | {"usecols": others}, layout)
        if not others or len(frame) == len(texts[words[0]]):
            return pd.DataFrame({n: texts[n] if n in texts else frame[n] for n in names}, copy=False)
    return _rows(where, path, data, options | {"dtype": dict.fromkeys(words, str)}, layout)


def _texts(path: str | None, data: bytes | None, options: dict[str, Any], words: list[str]) -> dict[str, Any] | None:
    """These columns as Arrow's text, missing where pandas' options say so; None where pandas should read the file."""
    if not words or len(options["sep"]) > 1:
        return None
    names, skip, encoding = options["names"], options["skiprows"], options["encoding"]
    reading = arrow.ReadOptions(column_names=names, skip_rows=skip, encoding=encoding)
    parsing = arrow.ParseOptions(delimiter=options["sep"], newlines_in_values=True, ignore_empty_lines=False)
    converting = arrow.ConvertOptions(include_columns=words, column_types=dict.fromkeys(words, pa.large_string()))
    try:
        with pa.OSFile(path) if data is None else pa.BufferReader(data) as file:
            table = arrow.read_csv(file, reading, parsing, converting)
    except (pa.ArrowException, ValueError, LookupError, TypeError, OSError):  # which pandas reads, or says better
        return None
    spaces = any(pc.any(pc.starts_with(table[name], " ")).as_py() for name in words)
    if spaces or table.num_rows == 0:
        return None
    out = {}
    for name in words:
        column = table[name]
        gone = pc.is_in(column, pa.array(options["na_values"][name], pa.large_string()))
        out[name] = pd.arrays.ArrowStringArray(pc.if_else(gone, None, column) if pc.any(gone).as_py() else column)
    return out


def _rows(where: str, path: str | None, data: bytes | None, options: dict[str, Any], layout: Layout) -> Any:
    """The frame that pandas reads, in parts if it can: in whole where the parts of a column are of several types."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        warnings.simplefilter("error", pd.errors.DtypeWarning)
        source = lambda: path if data is None else io.BytesIO(data)  # noqa: E731
        try:
            try:
                return pd.read_csv(source(), compression=None, **options)
            except pd.errors.DtypeWarning:
                return pd.read_csv(source(), compression=None, low_memory=False, **options)
        except pd.errors.EmptyDataError:
            refuse(where, "at least one row below the header", "none")
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            got = str(error).strip().removeprefix("Error tokenizing data. C error: ")
            todo = f"Name every column in the header, and quote values that have {layout.delimiter!r} in them."
            count = max(map(len, layout.rows), default=0)
            if isinstance(error, pd.errors.ParserWarning) and count > len(layout.names):
                got = f"{count} instead of {len(layout.names)}"
            refuse(where, "rows with as many fields as the header", got, "" if "EOF" in got else todo)


def _is_plain(cell: str, decimal: str, missing: Collection[str]) -> bool:
    """Whether pandas reads a cell as a number, a boolean or a missing value."""
    return cell in BOOLEANS or cell in missing or re.fullmatch(NUMBER, cell.replace(decimal, ".")) is not None


def _decimal(cells: list[str]) -> str | None:
    """The decimal that a column shows: one that cannot group thousands."""
    comma = any(re.fullmatch(COMMA, c) and not re.fullmatch(DOUBTFUL[","], c) for c in cells)
    point = any(re.fullmatch(POINT, c) and not re.fullmatch(DOUBTFUL["."], c) for c in cells)
    return None if comma == point else "," if comma else "."


def _may_be_groups(values: np.ndarray, cells: list[str], decimal: str, delimiter: str, time: bool) -> bool:
    """Whether numbers that were read with this decimal could have it for thousands; as times, whether it has a use."""
    shown = [c for c in cells if decimal in c]
    if not time and any(not re.fullmatch(DOUBTFUL[decimal], c) for c in shown):
        return False
    whole = values[np.isfinite(values)]
    fractions = whole[whole % 1 != 0]
    if time:
        return len(fractions) > 0
    if not len(fractions):  # 1.000 is 1 or 1000; numbers that are whole and none missing would be integers
        return bool(shown or len(whole) == len(values) or delimiter != ",") and bool((np.abs(whole) < 1000).all())
    size, thousands = np.abs(fractions), fractions * 1000
    return bool(((size >= 1) & (size < 1000) & (np.abs(thousands - np.rint(thousands)) < 1e-6)).all())
