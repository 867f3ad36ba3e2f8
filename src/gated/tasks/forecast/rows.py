"""The rows of a data frame by series and time."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gated._check import InputError, optional, refuse
from gated.features import calendar as clocks
from gated.io.tables import name_rows
from gated.io.text import plural
from gated.io.times import split, times
from gated.tasks.forecast.source import read_ids

pd: Any = optional("pandas", "forecast")


@dataclass(frozen=True)
class Rows:
    """The rows of a frame by series and time."""

    frame: Any
    codes: np.ndarray  # [R] which series
    ids: np.ndarray  # [N]
    times: np.ndarray  # [R]
    kind: str
    zone: str | None
    notation: str | None
    notes: tuple[str, ...]
    unsorted: int


def read_rows(
    frame: Any, time: str, target: str, id: str | None, ids_kind: str, *, kind: str | None = None,
    notation: str | None = None, zone: str | None = None, snap: tuple[str, int] | None = None,
) -> Rows:  # fmt: skip
    if id is None:
        codes, ids = np.zeros(len(frame), np.int64), np.array([target], object)
    else:
        column = read_ids(frame, split(frame, id), ids_kind)
        codes, names = pd.factorize(column)
        ids = np.asarray(names, None if column.dtype.kind in "iu" else object)
    moments, kind, zone, notation, notes = times(frame, time, kind, notation=notation, zone=zone, codes=codes)
    if snap is not None:
        moments = clocks.snap(moments, *snap)
    order = np.argsort(codes, kind="stable")
    codes, moments = codes[order], moments[order]
    same = codes[1:] == codes[:-1]
    backwards = int((same & (moments[1:] < moments[:-1])).sum())
    if backwards:
        again = np.lexsort((moments, codes))
        order, moments = order[again], moments[again]
    rows = Rows(frame.iloc[order], codes, ids, moments, kind, zone, notation, notes, backwards)
    want_once(rows, moments, time, target, id, None if snap is None else snap[0])
    return rows


def want_once(rows: Rows, moments: np.ndarray, time: str, target: str, id: str | None, freq: str | None) -> None:
    """Refuse times that come twice in a series. freq: of the grid to which they were moved."""
    frame, codes = rows.frame, rows.codes
    twice = np.r_[False, (codes[1:] == codes[:-1]) & (moments[1:] == moments[:-1])]
    if not twice.any():
        return
    k = int(np.flatnonzero(twice)[0])
    words = " ".join(str(frame[column].iloc[k]) for column in split(frame, time))
    first = f"{words} in {name_rows(frame, np.isin(np.arange(len(frame)), [k - 1, k]))}"
    got = f"{plural(int(twice.sum()), 'repeated row')}, the first {first}"
    if freq is not None:
        todo = "Keep one of them, or say the step with freq."
        refuse(f"column {time!r}", f"one row on each step of {freq}, to which times are moved", got, todo)
    todo = "Keep one of them." if id else "Name the column that tells series apart with id."
    days = np.unique(moments[twice].astype("datetime64[D]")) if moments.dtype.kind == "M" else np.zeros(0)
    if rows.zone is None and len(days) and len(days) == len(np.unique(days.astype("datetime64[Y]"))):
        hours = (moments[twice] - moments[twice].astype("datetime64[D]")).astype(np.int64) / clocks.HOUR
        if (
            ((hours >= 0) & (hours < 4)).all() and (days.astype(np.int64) % 7 == 3).all() and np.ptp(hours) < 1
        ):  # Sundays
            todo = "The clocks seem to be set back then: name the zone with --zone, such as --zone Europe/Berlin."
    for column in [c for c in frame.columns if c not in (*split(frame, time), target, id)][:20]:
        with contextlib.suppress(InputError):
            whole = times(frame, f"{time},{column}").values
            if not pd.DataFrame({"series": codes, "time": whole}).duplicated().any():
                todo = f"Is the time in two columns? Name both with --time {time},{column}."
                break
    refuse(f"column {time!r}", "each time once in a series", got, todo)


def want_column(frame: Any, name: str, role: str, where: str = "") -> None:
    """The frame must have the column. where: the data that a run is to read, which has no options to name columns."""
    columns = list(frame.columns)
    if name in columns:
        return
    lower = {c.lower(): c for c in columns}
    alike = {"time": ("date", "time", "datetime", "timestamp", "ds"), "id": ("id", "series_id", "item_id", "series")}
    names = difflib.get_close_matches(name.lower(), lower, 1) or [a for a in alike.get(role, ()) if a in lower]
    near = [lower[name] for name in names]
    listed = enumerate_some(list(map(repr, columns)), 30)
    if where:
        near = difflib.get_close_matches(name.lower(), lower, 1)
        todo = f"Is it {lower[near[0]]!r}? Give it the name that it had in the fit." if near else ""
        refuse(where, f"the column {name!r} ({role}), as in the fit", f"the columns {listed}", todo)
    todo = f"Did you mean {near[0]!r}?" if near else f"Name the column with {role}."
    if any(c.replace(".", "", 1).lstrip("-").isdecimal() for c in columns):
        todo += " The file seems to lack a header line."
    if not name.isascii() and any("Windows-1252" in note for note in frame.attrs.get("notes", {}).get(None, ())):
        todo += " The file is not UTF-8: is it in another encoding than Windows-1252? --encoding names it."
    down = role == "target" and sum(frame[c].dtype.kind in "iuf" for c in columns) > 1
    if not near and (down or (role == "time" and sum(bool(re.search(r"\d{4}", c)) for c in columns) > 2)):
        todo += " A wide table, with a column per series or with dates across, is read with --wide."
    refuse(role, f"one of the columns {listed}", repr(name), todo)


def enumerate_some(names: Sequence[str], count: int = 5) -> str:
    """The first of them: "a, b, c and 3 more"."""
    return ", ".join(names[:count]) + (f" and {len(names) - count:,} more" if len(names) > count else "")
