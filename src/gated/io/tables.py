"""Files and data frames into columns that can be trusted: numbers, text; each error names its rows."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gated._check import optional, refuse, want
from gated.io.text import is_path, places, siblings

pd: Any = optional("pandas", "forecast")

MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "#N/A", "-", "NaT"]
THOUSANDS = r"[+-]?\d{1,3}(?:[,'\u00a0\u202f ]\d{3})+(?:\.\d+)?"
DOTS = r"[+-]?\d{1,3}(?:\.\d{3})+"  # 1.234, a thousand and more where the comma is decimal
COMMA = r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+"  # 1234,5 and 1.234,5


def read(source: Any, *, id: str | None = None) -> Any:
    """A pandas frame of a CSV or Parquet file, or of a pandas or polars frame (or anything with `to_pandas`).

    Its index is named "line" and counts the file's lines from 1 (CSV), or "row" and counts rows from 0. In a CSV the
    delimiter (`,` `;` tab `|`), a byte order mark, UTF-16, gzip and the decimal comma of a `;` file are recognised. The
    column `id` (default `unique_id`) is kept as text unless every name in it is a plain integer: "007" stays "007".

    Errors: no such file; another kind of file; an empty one; rows with more fields than the header; not UTF-8.
    """
    frame = _file(Path(source), id or "unique_id") if is_path(source) else _frame(source)
    twice = list(frame.columns[frame.columns.duplicated()])
    want(not twice, "columns", "different names", f"{twice} twice")
    want(len(frame) > 0, str(source) if is_path(source) else "the data", "at least one row", "none")
    return frame


def _frame(source: Any) -> Any:
    source = source.collect() if hasattr(source, "collect") else source  # a lazy frame
    if isinstance(source, pd.Series):
        source = source.rename(source.name or "y").to_frame()
    frame = source if isinstance(source, pd.DataFrame) else source.to_pandas() if hasattr(source, "to_pandas") else None
    if frame is None:
        refuse("the data", "a path to a CSV or Parquet file, or a pandas or polars frame", type(source).__name__)
    if any(level is not None for level in frame.index.names):
        frame = frame.reset_index()
    elif isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        frame = frame.rename_axis("ds").reset_index()
    if any(isinstance(dtype, pd.ArrowDtype) for dtype in frame.dtypes):  # plain columns instead of Arrow's
        arrow = optional("pyarrow", "forecast").Table.from_pandas(frame, preserve_index=False)
        frame = arrow.replace_schema_metadata().to_pandas()
    frame = frame.set_axis([str(c) for c in frame.columns], axis=1)
    return frame.set_axis(pd.RangeIndex(len(frame), name="row"), axis=0)


def _file(path: Path, id: str) -> Any:
    where, expected = str(path), "a CSV or Parquet file"
    want(path.exists(), where, expected, "no such file", siblings(path))
    want(path.is_file(), where, expected, "a folder")
    sheet = path.suffix.lower() in {".xlsx", ".xls", ".ods"}
    want(not sheet, where, expected, "a spreadsheet", "Save it as CSV.")
    with path.open("rb") as file:
        start = file.read(4)
    want(len(start) > 0, where, "a file with a header line and rows", "an empty file")
    if start == b"PAR1":
        try:
            return _frame(pd.read_parquet(path))
        except (OSError, ValueError) as error:
            refuse(where, "a Parquet file", f"one that cannot be read ({error})")
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix.lower(), open)
    try:
        with opener(path, "rb") as file:
            head = file.read(1 << 16)
        encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        want(encoding == "utf-16" or b"\0" not in head, where, expected, "binary data")
        lines = head.decode(encoding, "ignore").splitlines()
        frame = _csv(path, id, encoding, lines[: len(lines) - (len(head) == 1 << 16)])
    except UnicodeDecodeError as error:
        refuse(where, "text in UTF-8", f"the byte {error.object[error.start]:#x}", "Save the file in UTF-8.")
    except pd.errors.EmptyDataError:
        refuse(where, "a file with a header line and rows", "an empty file")
    except (pd.errors.ParserError, pd.errors.ParserWarning, OSError, EOFError) as error:
        got = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        refuse(where, "rows with as many fields as the header", got)
    return frame


def _csv(path: Path, id: str, encoding: str, lines: list[str]) -> Any:
    blank = next((k for k, line in enumerate(lines) if line.strip()), 0)  # lines before the header
    rows = {d: list(csv.reader(lines[blank : blank + 100], delimiter=d, skipinitialspace=True)) for d in ",;\t|"}
    delimiter = max(rows, key=lambda d: len(rows[d][0]) if rows[d] else 0)
    cells = [cell for row in rows[delimiter][1:] for cell in row]
    comma = delimiter != "," and any(re.fullmatch(COMMA, c) for c in cells)
    point = any(re.fullmatch(r"[+-]?\d*\.\d+", c) and not re.fullmatch(DOTS, c) for c in cells)
    header = [name.strip() for name in rows[delimiter][0]] if rows[delimiter] else []
    options: dict[str, Any] = dict(
        sep=delimiter, encoding=encoding, header=None, skiprows=blank + 1, skip_blank_lines=False, index_col=False,
        skipinitialspace=True, low_memory=False, decimal="," if comma and not point else ".",
        keep_default_na=False, na_values={name: [""] if name == id else MISSING for name in header},
        dtype={id: str} if id in header else None,
    )  # fmt: skip
    want(len(header) == len(set(header)), str(path), "a header of different names", ", ".join(map(repr, header)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(path, names=header, **options)
        except pd.errors.EmptyDataError:
            refuse(str(path), "at least one row below the header", "none")
    frame = frame.set_axis(pd.RangeIndex(blank + 2, blank + 2 + len(frame), name="line"), axis=0).dropna(how="all")
    for name in [n for n in frame if comma and n != id and frame[n].dtype.kind == "O"]:  # among words or thousands
        words = frame[name].astype(str)
        points = words.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        frame[name] = frame[name].where(~words.str.fullmatch(COMMA if point else f"{COMMA}|{DOTS}"), points)
    if id in frame:
        plain = frame[id].str.fullmatch(r"(?:0|-?[1-9]\d{0,17})", na=False).all()
        frame[id] = frame[id].astype("int64") if plain and len(frame) else frame[id]
    return frame


def name_rows(frame: Any, mask: np.ndarray, values: Any = None) -> str:
    """The rows of a mask in words: "lines 7, 9, 12 and 3 more", or each value with its line."""
    rows, kind = np.flatnonzero(mask), frame.index.name or "row"
    if values is None:
        return places(kind, [frame.index[r] for r in rows])
    values = values.astype(object)  # Python's own numbers print as they are read
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return ", ".join(f"{values.iloc[r]!r} ({kind} {frame.index[r]})" for r in rows[:5]) + more


def refuse_rows(frame: Any, bad: np.ndarray, where: str, expected: str, values: Any = None, todo: str = "") -> None:
    """Refuse a column if the mask has rows, and name these, with their values where they are given."""
    if bad.any():
        refuse(where, expected, ("" if values is not None else "none in ") + name_rows(frame, bad, values), todo)


def to_numbers(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """A column's numbers, NaN where there is none, and a mask of the values that are neither a number nor missing.

    Separators of thousands ("1,234.5") are taken out. Booleans are 0 and 1.
    """
    missing = column.isna().to_numpy(bool)
    if column.dtype.kind in "biuf":
        return column.to_numpy(np.float64, na_value=np.nan), np.zeros(len(column), bool)
    if column.dtype.kind in "cmM" or isinstance(column.dtype, pd.PeriodDtype | pd.DatetimeTZDtype):
        return np.full(len(column), np.nan), ~missing
    values = column.astype(object)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    left = np.flatnonzero(np.isnan(numbers) & ~missing)
    words = values.iloc[left].astype(str).str.strip()
    bare = words.where(~words.str.fullmatch(THOUSANDS), words.str.replace(r"[,'\u00a0\u202f ]", "", regex=True))
    numbers[left] = pd.to_numeric(bare, errors="coerce").to_numpy(np.float64)
    bad = np.zeros(len(column), bool)
    bad[left] = np.isnan(numbers[left]) & ~words.isin(MISSING).to_numpy(bool)
    return numbers, bad


def numbers(frame: Any, name: str) -> np.ndarray:
    """A column as float64, NaN where it is missing. Errors: text, infinities; both with their rows."""
    values, bad = to_numbers(frame[name])
    where, todo = f"column {name!r}", "Correct them, or leave them empty where the value is unknown."
    refuse_rows(frame, bad, where, "numbers", frame[name], todo)
    refuse_rows(frame, np.isinf(values), where, "finite numbers", frame[name], todo)
    return values


def text(column: Any) -> Any:
    """A column as text, None where it is missing; 1.0 (an integer in a column with gaps) is "1"."""
    if column.dtype.kind == "f" and bool(((column.dropna() % 1 == 0) & (column.dropna().abs() < 2**53)).all()):
        column = column.astype("Int64")
    return column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
