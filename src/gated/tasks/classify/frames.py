"""Tables of numbers as series: a row a step, with a column that names the series, or a row a series."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gated._check import InputError, near, optional, refuse, want
from gated.io import series, tables, times
from gated.io.records import Record
from gated.io.text import plural
from gated.tasks.classify.layout import Layout, labels_of

ENDINGS = (".parquet", ".pq", ".xlsx", ".xls", ".ods")


def to_records(source: Any, layout: Layout) -> Iterator[Record]:
    """The rows of a data frame, or of a file of one."""
    own = {name.casefold() for name in (layout.text, layout.target) if name}
    names = [str(name) for name in getattr(source, "columns", ()) if str(name).casefold() in own]
    names = names or [name for name in (layout.text, layout.target) if name]
    frame = tables.read(source, id=",".join(names) or None)
    kind, columns = frame.index.name, [str(name).casefold() for name in frame.columns]
    for name in [name for name in frame.columns if str(name).casefold() in own or frame[name].dtype == object]:
        frame[name] = tables.text(frame[name])
    return (
        Record(f"the data, {kind} {n}", dict(zip(columns, row, strict=True)))
        for n, row in zip(frame.index, frame.itertuples(index=False), strict=True)
    )


# ---- a row a step


def read_long(source: Any, layout: Layout, need: bool, notes: list[str]) -> tuple[list[Any], Layout]:
    """The series of a table with a row a step, in order of their first rows; steps by time, or as they stand.

    Errors, with their rows: no such column; values that are no numbers; a series with two labels; a time twice.
    """
    frame = tables.read(source, id=",".join(filter(None, (layout.id, layout.target))) or None, time=layout.time or None)
    notes += frame.attrs.get("notes", {}).get(None, [])
    columns = [str(name) for name in frame.columns]
    wanted = [layout.id, layout.time, *layout.channels, *([layout.target] if need else [])]
    for name in filter(None, wanted):
        got = ", ".join(map(repr, columns[:8]))
        want(name in columns, "the data", f"a column {name!r}", f"the columns {got}", near(name, columns))
    others = {layout.id, layout.time, layout.target}
    channels = layout.channels or tuple(c for c in columns if c not in others and frame[c].dtype.kind in "biuf")
    want(bool(channels), "the data", "a column of numbers", "none", "Name the columns of values with --channels.")
    values = np.stack([tables.numbers(frame, name) for name in channels]).astype(np.float32)
    names = tables.text(frame[layout.id]).to_numpy() if layout.id else np.full(len(frame), "1", object)
    missing = np.array([name is None for name in names])
    tables.refuse_rows(frame, missing, f"column {layout.id!r}", "the name of a series in every row")
    codes, keys = optional("pandas", "classify").factorize(names)
    moments = _moments(frame, layout.time) if layout.time else np.arange(len(frame))
    order = np.lexsort((moments, codes))
    ends = np.searchsorted(codes[order], np.arange(len(keys) + 1))
    labels = tables.text(frame[layout.target]).to_numpy() if layout.target in columns else None
    rows = []
    for k, (low, high) in enumerate(itertools.pairwise(ends)):
        own = order[low:high]
        at = f"series {keys[k]!r}"
        twice = np.flatnonzero(np.diff(moments[own]) == 0) + 1 if layout.time else np.zeros(0, int)
        if len(twice):
            mask = np.isin(np.arange(len(frame)), own[twice[:1]])
            refuse(at, "every time once", tables.name_rows(frame, mask), "Name the column of the series with --id.")
        label = None
        if labels is not None:
            different = list(dict.fromkeys(one for one in labels[own] if one is not None))
            got = ", ".join(map(repr, different[:4]))
            want(len(different) <= 1, at, "one label", got, "A label for every step is a matter for gated tag.")
            label = different[0] if different else None
        rows.append((series.trim(values[:, own]), labels_of(label, layout), at))
    return rows, replace(layout, kind="series", channels=channels)


def _moments(frame: Any, name: str) -> np.ndarray:
    """The times of the rows as numbers."""
    if frame[name].dtype.kind in "iuf":
        return tables.numbers(frame, name)
    return times.times(frame, name).values.astype(np.int64)


# ---- a row a series


def read_wide(
    rows: Iterable[Record], names: Sequence[str], target: str, where: str, layout: Layout, head: Sequence[Record]
) -> tuple[Iterator[Any], Layout]:
    """The series of a table with a row each, whose columns of numbers are the steps, in their order."""
    own = [name.casefold() for name in layout.channels]
    if not own:
        own = [
            name for name in names if name != target and all(_cell(one.values.get(name)) is not None for one in head)
        ]
    for name in own:
        got = ", ".join(map(repr, names[:8]))
        want(name in names, where, f"a column {name!r}", f"the columns {got}", near(name, names))
    got = f"{plural(len(own), 'column')} of numbers"
    want(len(own) > 1, where, "a column of text, or columns of numbers", got, "Name the text's column with --text.")
    done = replace(layout, kind="series", channels=tuple(own), target=target)

    def read() -> Iterator[Any]:
        for one in rows:
            if one.fault:
                raise InputError(one.fault)
            cells = [_cell(one.values.get(name)) for name in own]
            if None in cells:
                k = cells.index(None)
                refuse(f"{one.where}, column {own[k]!r}", "a number", repr(one.values.get(own[k]))[:40])
            x = series.trim(np.array(cells, np.float32)[None])
            yield x, labels_of(one.values.get(target) if target else None, done), one.where.rpartition(", ")[2]

    return read(), done


def _cell(value: Any) -> float | None:
    """A cell as a number, NaN where it is empty, None where it is no number."""
    if value is None or (isinstance(value, str) and value.strip().lower() in series.GAPS):
        return np.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if not np.isinf(number) else None
