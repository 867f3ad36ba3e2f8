"""Files and data frames into columns that can be trusted: numbers, text; each error names its rows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gated._check import InputError, optional, refuse, want
from gated.io import archives, delimited, sheets, structured
from gated.io.numbers import LARGEST, NONE, Hints, find_code, parse
from gated.io.text import is_path, places, source_name

pd: Any = optional("pandas", "forecast")

EXPECTED = "a CSV, JSON, Excel or Parquet file"
CELLS, SHARE = 4_000_000, 100  # of a Parquet file: how many any may have, and how many to a byte of it
FIRST = 1000  # values without a digit in them are words
DIGITS = 2.0**53  # whole numbers beyond have more digits than a double


def read(
    source: Any, *, id: str | None = None, time: str | None = None, decimal: str | None = None,
    decimals: dict[str, str] | None = None, missing: Sequence[str] = (), encoding: str | None = None,
    sheet: str | None = None, wide: bool = False,
) -> Any:  # fmt: skip
    """A pandas frame of a file, "-" for standard input, or of a pandas or polars frame (anything with `to_pandas`).

    Files are CSV and the like, JSON (records, columns, lines), Parquet, and workbooks (Excel, OpenDocument; `sheet`,
    by default the first); packed with gzip, bzip2, xz or as the one member of a zip. A file is known by its content,
    not its name. The index is named "line" and counts a file's lines from 1 (CSV), or "row" and counts rows from 0 (of
    a workbook, as Excel does).

    Text whose values are all numbers becomes numbers (`io.numbers` says which notations); `decimal`, "." or ",", is the
    notation if it may be either, `decimals` what a column of this name had before, and the words `missing` are missing
    values. Not so the columns `id` (default `unique_id`) and `time`, several with commas between them: an id is
    text unless every name in it is a plain integer: "007" stays "007". wide: nor those beside dates across a file.

    attrs: `notes`, sentences by column, on the file under None; `decimals`, by column; `hints`, of columns of text.

    Errors: no such file; another kind of file; an empty one; rows with more fields than the header; an encoding.
    """
    ids, times = _columns(id or "unique_id"), _columns(time or "ds")
    if is_path(source):
        frame = _file(source, ids, times, missing, encoding, sheet, wide)
    else:
        frame = _frame(source)
    twice = list(frame.columns[frame.columns.duplicated()])
    want(not twice, "columns", "different names", f"{twice} twice")
    want(len(frame) > 0, source_name(source) if is_path(source) else "the data", "at least one row", "none")
    keep = {*ids, *times, *frame.attrs.get("ids", ())}
    return _settle(frame, keep, Hints(decimal=decimal, missing=tuple(missing)), decimals or {})


def _columns(name: str) -> list[str]:
    return list(dict.fromkeys([name, *(part.strip() for part in name.split(","))]))


def _file(
    source: Any, ids: Collection[str], times: Collection[str], missing: Sequence[str], encoding: str | None,
    sheet: str | None, wide: bool,
) -> Any:  # fmt: skip
    where = source_name(source)
    start, data = archives.sniff(source, EXPECTED)
    if start[:4] == b"PAR1":
        return _parquet(source, data, where)
    if data is not None and data.startswith((archives.ZIP, archives.OLE)):
        return sheets.read(data, where, sheet, ids=ids)
    want(sheet is None, where, "a workbook, of which sheet names a table", "a file of one table")
    if start.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"[", b"{"):
        content = structured.read(Path(source).read_bytes() if data is None else data, where)
        frame = _frame(content)
        frame.attrs["notes"] = content.attrs.get("notes", [])
        return frame
    path = str(Path(source)) if data is None else None
    return delimited.read(where, path, data, start, ids=ids, times=times, missing=missing, encoding=encoding, wide=wide)


def _parquet(source: Any, data: bytes | None, where: str) -> Any:
    pq, pa = optional("pyarrow.parquet", "forecast"), optional("pyarrow", "forecast")
    try:
        file = pq.ParquetFile(str(source) if data is None else pa.BufferReader(data))
        size, cells = file.metadata, file.metadata.num_rows * file.metadata.num_columns
        limit = max(CELLS, SHARE * (Path(source).stat().st_size if data is None else len(data)))
        want(cells <= limit, where, f"at most {limit:,} values in a Parquet file of this size",
             f"{size.num_rows:,} rows of {size.num_columns:,} columns", "Leave some out.")  # fmt: skip
        return _frame(file.read().to_pandas())
    except (
        pa.ArrowException, OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, RuntimeError,
    ) as error:  # fmt: skip  # of pandas' notes in the file too
        if isinstance(error, InputError):
            raise
        refuse(where, "a Parquet file", f"one that cannot be read ({' '.join(str(error).split())[:200]})")


def _frame(source: Any) -> Any:
    source = source.collect() if hasattr(source, "collect") else source  # a lazy frame
    if isinstance(source, pd.Series):
        source = source.rename(source.name or "y").to_frame()
    frame = source if isinstance(source, pd.DataFrame) else source.to_pandas() if hasattr(source, "to_pandas") else None
    if frame is None:
        refuse("the data", "a path to a CSV or Parquet file, or a pandas or polars frame", type(source).__name__)
    if any(level is not None for level in frame.index.names):
        own = [level is None or level in frame.columns for level in frame.index.names]  # such as "line" beside a "line"
        frame = frame.reset_index(level=[k for k, twice in enumerate(own) if not twice])
    elif isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        frame = frame.rename_axis("ds" if "ds" not in frame.columns else None).reset_index(drop="ds" in frame.columns)
    if any(isinstance(dtype, pd.ArrowDtype) for dtype in frame.dtypes):  # plain columns instead of Arrow's
        arrow = optional("pyarrow", "forecast").Table.from_pandas(frame, preserve_index=False)
        frame = arrow.replace_schema_metadata().to_pandas()
    names = ["/".join(str(part) for part in c if part != "") if isinstance(c, tuple) else str(c) for c in frame.columns]
    frame = frame.set_axis(names, axis=1).set_axis(pd.RangeIndex(len(frame), name="row"), axis=0)
    frame.attrs = {}  # those of a user, or of an earlier reading
    return frame


def _settle(frame: Any, keep: Collection[str], hints: Hints, decimals: dict[str, str]) -> Any:
    """The frame with numbers for its columns of text that hold nothing else; see `read`."""
    shown = frame.attrs.get("decimals", {})
    notes: dict[str | None, list[str]] = {None: list(frame.attrs.get("notes", ()))}
    settled: dict[str, str] = {}
    known: dict[str, Hints] = {}
    words = {float(word) for word in hints.missing if _is_number(word)}
    new: dict[str, Any] = {}
    for name in [name for name in frame.columns if name not in keep]:
        column, others = frame[name], {d for other, d in shown.items() if other != name and other not in keep}
        if column.dtype.kind in "iuf":
            if words and column.isin(words).any():
                column = new[name] = column.where(~column.isin(words))
            large = column.dtype.kind != "f" and len(column) and max(int(column.max()), -int(column.min())) > DIGITS
            notes[name] = ["some numbers have more digits than a double holds: rounded."] if large else []
            notes[name] += find_code(column.to_numpy(np.float64, na_value=np.nan))
            settled |= {name: shown[name]} if name in shown else {}
            continue
        categorical = isinstance(column.dtype, pd.CategoricalDtype)
        first = [] if categorical else list(itertools.islice((v for v in column.array if not pd.isna(v)), FIRST))
        if not first or not isinstance(first[0], str | int | float | bool):
            continue
        mine = known[name] = replace(
            hints, file=others.pop() if len(others) == 1 else None, history=decimals.get(name),
            delimiter=frame.attrs.get("delimiter", ","),
        )  # fmt: skip
        if not any(re.search(r"\d", str(value)) for value in first):
            continue
        reading = parse(column, mine)
        if reading.doubt is None and not reading.bad.any() and not np.isnan(reading.values).all():
            values = np.where(np.isin(reading.values, list(words)), np.nan, reading.values) if words else reading.values
            new[name], notes[name] = values, [*reading.notes, *find_code(values)]
            settled |= {} if reading.decimal is None else {name: reading.decimal}
    frame = frame.assign(**new) if new else frame
    frame.attrs = {"notes": notes, "decimals": settled, "hints": known}
    return frame


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def name_rows(frame: Any, mask: np.ndarray, values: Any = None) -> str:
    """The rows of a mask in words: "lines 7, 9, 12 and 3 more", or each value with its line."""
    rows, kind = np.flatnonzero(mask), frame.index.name or "row"
    if values is None:
        return places(kind, list(dict.fromkeys(frame.index[r] for r in rows)))
    values = values.astype(object)  # Python's own numbers print as they are read
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return ", ".join(f"{values.iloc[r]!r} ({kind} {frame.index[r]})" for r in rows[:5]) + more


def describe_end(frame: Any, mask: np.ndarray) -> str:
    """What to do with rows that are the last of a table, such as a total, or nothing."""
    count, kind = int(mask.sum()), frame.index.name or "row"
    if not 0 < count <= min(20, len(mask) // 2) or not mask[-count:].all():
        return ""
    return f"Remove the last {kind if count == 1 else f'{count} {kind}s'}, a total or a footer."


def refuse_rows(frame: Any, bad: np.ndarray, where: str, expected: str, values: Any = None, todo: str = "") -> None:
    """Refuse a column if the mask has rows, and name these, with their values where they are given."""
    if bad.any():
        refuse(where, expected, ("" if values is not None else "none in ") + name_rows(frame, bad, values), todo)


def to_numbers(column: Any, hints: Hints = NONE) -> tuple[np.ndarray, np.ndarray]:
    """A column's numbers, NaN where there is none, and a mask of the values that are neither a number nor missing."""
    missing = column.isna().to_numpy(bool)
    if column.dtype.kind in "biuf":
        return column.to_numpy(np.float64, na_value=np.nan), np.zeros(len(column), bool)
    if column.dtype.kind in "cmM" or isinstance(column.dtype, pd.PeriodDtype | pd.DatetimeTZDtype):
        return np.full(len(column), np.nan), ~missing
    reading = parse(column, hints)
    return reading.values, reading.bad


def numbers(frame: Any, name: str) -> np.ndarray:
    """A column as float64, NaN where it is missing. Errors, with their rows: text; numbers too large; doubts."""
    column, where = frame[name], f"column {name!r}"
    hints = frame.attrs.get("hints", {}).get(name, NONE)
    doubt = parse(column, hints).doubt if column.dtype.kind == "O" else None
    if doubt is not None:
        got = f"{doubt!r}, which may be {doubt.replace(',', '.')} or {doubt.replace(',', '').replace('.', '')}"
        todo = "Say which character is the decimal: --decimal . or --decimal ,"
        refuse(where, "numbers that can be read in one way", got, todo)
    values, bad = to_numbers(column, hints)
    todo = "Correct them, leave them empty where the value is unknown, or name words for missing values with --missing."
    refuse_rows(frame, bad, where, "numbers", column, todo)
    huge = ~(np.abs(values) < LARGEST) & ~np.isnan(values)
    refuse_rows(frame, np.isinf(values), where, "finite numbers", column, todo)
    refuse_rows(frame, huge, where, f"numbers below {LARGEST:g}", column, todo)
    return values


def text(column: Any) -> Any:
    """A column as text, None where it is missing; 1.0 (an integer in a column with gaps) is "1"."""
    if column.dtype.kind == "f" and bool(((column.dropna() % 1 == 0) & (column.dropna().abs() < 2**53)).all()):
        column = column.astype("Int64")
    return column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
