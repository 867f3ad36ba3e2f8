"""A sheet of a workbook (.xlsx, .xlsb, .xls, .ods) as a frame: values alone, its header found below titles."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from datetime import date
from typing import Any

import numpy as np

from gated._check import optional, refuse, want
from gated.io.numbers import MISSING, WORDS
from gated.io.text import places

pd: Any = optional("pandas", "forecast")

HEAD = 100  # rows among which the header is


def read(data: bytes, where: str, sheet: str | None = None, *, ids: Collection[str] = ()) -> Any:
    """A pandas frame of a sheet, by default the first; its index "row" counts rows as Excel does.

    The header is the fullest row of text above the numbers and dates, or else the first row that is as full as any. In
    attrs, `notes` say what was skipped. Errors: a row of words, such as units, between the header and the values.

    ids: columns in which NA is a name.
    """
    calamine = optional("python_calamine", "excel")
    try:
        with pd.ExcelFile(io.BytesIO(data), engine="calamine") as book:
            names = book.sheet_names
            hidden = {s.name for s in book.book.sheets_metadata if s.visible != calamine.SheetVisibleEnum.Visible}
            first = next((name for name in names if name not in hidden), names[0])
            rules: dict[str, Any] = dict(header=None, keep_default_na=False, na_values=[""])
            table = book.parse(sheet or first, **rules) if sheet is None or sheet in names else None
    except (calamine.CalamineError, ValueError, OSError, KeyError, IndexError) as error:
        refuse(where, "a workbook", f"one that cannot be read ({' '.join(str(error).split())[:200]})")
    listed = ", ".join(map(repr, names))
    if table is None:
        refuse("sheet", f"one of {listed}", repr(sheet))
    full = table.notna().to_numpy()
    text = table.head(HEAD).map(lambda cell: isinstance(cell, str)).to_numpy(bool)
    counts = full[:HEAD].sum(1)
    width = int(counts.max(initial=0))
    want(width > 1, where, "a sheet with a header and rows", f"none in {sheet or first!r}", f"It has {listed}.")
    header = _find_header(table.head(HEAD), full[:HEAD], text)
    used = np.flatnonzero(full[header:].any(0))
    cells = [table.iat[header, k] for k in used]
    columns = [f"column {k + 1}" if pd.isna(c) else _name(c) for k, c in enumerate(cells)]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    got = f"{', '.join(map(repr, twice))} twice"
    want(not twice, f"{where}, row {header + 1}", "a header of different names", got, "Rename one.")
    frame = table.iloc[header + 1 :, used].infer_objects().set_axis(columns, axis=1)
    below = [str(c) for c in table.iloc[header + 1].dropna()] if header + 2 < len(table) else []
    if below and (text == full[:HEAD])[header + 1 : header + 2].all():
        over = text[header + 1] & (full[header + 2 : HEAD] & ~text[header + 2 :]).any(0)  # above numbers or dates
        meant = [str(c).strip().lower() not in WORDS for c in table.iloc[header + 1, np.flatnonzero(over)]]
        words = any(meant) and not re.search(r"\d", "".join(below))
        todo = "Remove this row: units, types and second headers have no place below the header."
        want(not words, f"{where}, row {header + 2}", "values below the header", ", ".join(map(repr, below[:5])), todo)
    frame = frame.set_axis(pd.RangeIndex(header + 2, len(table) + 1, name="row"), axis=0).dropna(how="all")
    for name in [n for n in frame if n not in ids and frame[n].dtype.kind == "O"]:
        frame[name] = frame[name].mask(frame[name].isin(MISSING))
    above = places("row", [int(k) + 1 for k in np.flatnonzero(counts[:header])]) if counts[:header].any() else ""
    frame.attrs["notes"] = [f"Above the header, {above} skipped."] if above else []
    if sheet is None and len(names) > 1:
        frame.attrs["notes"].append(f"The sheet {first!r} of {listed} is read (--sheet names another).")
    return frame


def _find_header(table: Any, full: np.ndarray, text: np.ndarray) -> int:
    """The row of the header among the first rows. full, text: [R, K] which cells hold anything, and which words."""
    counts, words = full.sum(1), (text == full).all(1)
    width = int(counts.max())
    first = next((k for k in range(len(full)) if 2 * counts[k] > width and not words[k]), len(full))
    if first < len(full) and _is_across([c for c in table.iloc[first] if not pd.isna(c)]):
        return first
    above = [k for k in range(first) if words[k] and counts[k] > 1]
    rows = above or np.flatnonzero((counts == width) & words).tolist() or [int(counts.argmax())]
    return max(rows, key=lambda k: (counts[k], -k))


def _is_across(cells: list[Any]) -> bool:
    """Whether cells are names of columns with times among them, each later than the one before: shop, 2020, 2021."""
    times = [c for c in cells if not isinstance(c, str)]
    years = all(isinstance(c, int | float) and not isinstance(c, bool) and 1678 <= c <= 2261 for c in times)
    dates = all(isinstance(c, date) for c in times)
    return len(times) > 1 and isinstance(cells[0], str) and (years or dates) and sorted(set(times)) == times


def _name(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
