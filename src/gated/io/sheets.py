"""A sheet of a workbook (.xlsx, .xlsb, .xls, .ods) as a frame: values alone, its header found below titles."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from gated._check import optional, refuse, want
from gated.io.text import places

pd: Any = optional("pandas", "forecast")

HEAD = 100  # rows among which the header is


def read(data: bytes, where: str, sheet: str | None = None) -> Any:
    """A pandas frame of a sheet, by default the first; its index "row" counts rows as Excel does.

    The header is the first row that is as full as any, and all text. In attrs, `notes` say what was skipped.
    """
    calamine = optional("python_calamine", "excel")
    try:
        with pd.ExcelFile(io.BytesIO(data), engine="calamine") as book:
            names = book.sheet_names
            table = book.parse(sheet or names[0], header=None) if sheet is None or sheet in names else None
    except (calamine.CalamineError, ValueError, OSError, KeyError, IndexError) as error:
        refuse(where, "a workbook", f"one that cannot be read ({' '.join(str(error).split())[:200]})")
    listed = ", ".join(map(repr, names))
    if table is None:
        refuse("sheet", f"one of {listed}", repr(sheet))
    full = table.notna().to_numpy()
    text = table.head(HEAD).map(lambda cell: isinstance(cell, str)).to_numpy(bool)
    counts = full[:HEAD].sum(1)
    width = int(counts.max(initial=0))
    want(width > 1, where, "a sheet with a header and rows", f"none in {sheet or names[0]!r}", f"It has {listed}.")
    rows = np.flatnonzero((counts == width) & (text == full[:HEAD]).all(1))
    header = int(rows[0]) if len(rows) else int(counts.argmax())
    used = np.flatnonzero(full[header])
    frame = (
        table.iloc[header + 1 :, used]
        .infer_objects()
        .set_axis([str(c).strip() for c in table.iloc[header, used]], axis=1)
    )
    frame = frame.set_axis(pd.RangeIndex(header + 2, len(table) + 1, name="row"), axis=0).dropna(how="all")
    above = places("row", [int(k) + 1 for k in np.flatnonzero(counts[:header])]) if counts[:header].any() else ""
    frame.attrs["notes"] = [f"Above the header, {above} skipped."] if above else []
    if sheet is None and len(names) > 1:
        frame.attrs["notes"].append(f"The sheet {names[0]!r} of {listed} is read (--sheet names another).")
    return frame
