"""People's tables as frames of one row for each series and time, read as the options say and the run remembers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gated._check import InputError, optional, refuse, want
from gated.io import tables
from gated.io.times import split, times
from gated.tasks.forecast.task import Config

pd: Any = optional("pandas", "forecast")

INTEGER = r"0|-?[1-9]\d{0,17}"  # in one way


def read(source: Any, config: Config, decimals: Mapping[str, str] | None = None, *, wide: bool | None = None) -> Any:
    """The frame of a source (see `tables.read`), in rows where the options say that it is wide.

    decimals: of the columns in the run's history. wide: False for a file of covariates.
    """
    wide = config.wide and wide is None
    frame = tables.read(
        source, id=config.id, time=config.time, decimal=config.decimal, decimals=dict(decimals or {}),
        missing=config.missing, encoding=config.encoding, sheet=config.sheet, wide=wide,
    )  # fmt: skip
    return to_rows(frame, config) if wide else frame


def notes_of(frame: Any, columns: Iterable[str]) -> tuple[str, ...]:
    """How the file and these columns of it were read, where that was a guess."""
    notes = frame.attrs.get("notes", {})
    own = [f"Column {name!r}: {note}" for name in columns for note in notes.get(name, ())]
    return (*notes.get(None, ()), *own)


# ---- wide tables


def to_rows(frame: Any, config: Config) -> Any:
    """A wide table in rows of series, time and value: a column per series, or a row per series with dates across."""
    covariates = [*config.known, *config.past, *config.static]
    want(not covariates, "wide", "a table without covariates", ", ".join(map(repr, covariates)))
    time, target, id = config.time, config.target, config.id or "unique_id"
    frame = frame.drop(columns=[n for n in frame if re.fullmatch(r"column \d+", n) and frame[n].isna().all()])
    clock = split(frame, time)
    if all(column in frame for column in clock):
        series = [name for name in frame.columns if name not in clock]
        want(len(series) > 0, "wide", f"columns of series beside {time!r}", "none")
        want(id not in frame, "wide", "a table without a column of series", repr(id), "Leave wide out.")
        values = np.stack([tables.numbers(frame, name) for name in series])
        table = {id: np.repeat(np.array(series, object), len(frame))}
        table |= {column: np.tile(frame[column].to_numpy(), len(series)) for column in clock}
        index, more = np.tile(frame.index.to_numpy(), len(series)), []
    else:
        series, moments, more = _dates(frame, time, split(frame, config.id) if config.id else [])
        names = [name for name in frame.columns if name not in series]
        id = config.id or ",".join(names) or "unique_id"
        if config.id is None and len(names) > 1:
            more = [*more, f"Series are identified by {', '.join(map(repr, names))} (--id names others)."]
        ids = {name: frame[name].to_numpy() for name in names} or {id: np.arange(len(frame)).astype(str)}
        values = np.stack([tables.numbers(frame, name) for name in series], 1)
        table = {name: np.repeat(column, len(series)) for name, column in ids.items()}
        table[time] = np.tile(moments, len(frame))
        index = np.repeat(frame.index.to_numpy(), len(series))
    want(target not in table, "wide", "another name for the values", repr(target), "Name it with target.")
    rows = pd.DataFrame({**table, target: values.ravel()}, index=pd.Index(index, name=frame.index.name))
    notes = [*_notes_of_wide(frame, series), *more]
    rows.attrs = {"notes": {None: notes}, "decimals": {}, "id": id}
    return rows


def _notes_of_wide(frame: Any, series: Sequence[str]) -> list[str]:
    """The notes of a wide table, one of each kind."""
    own = dict.fromkeys(note for name in series for note in frame.attrs.get("notes", {}).get(name, ()))
    return [*frame.attrs.get("notes", {}).get(None, ()), *(f"Columns of series: {note}" for note in own)]


def _dates(frame: Any, time: str, ids: Sequence[str]) -> tuple[list[str], np.ndarray, list[str]]:
    """The columns whose names are times; these times, or beside ids steps such as d_1, d_2, …; and notes."""
    numbered = [name for name in frame.columns if re.search(r"\d", name) and name not in ids]
    for names in (numbered, [name for name in numbered if name[0].isdigit()]):  # lat2 is no time
        if names:
            with contextlib.suppress(InputError):
                read = times(pd.DataFrame({time: names}), time)
                years = read.kind != "integer" or bool(((read.values >= 1678) & (read.values <= 2261)).all())
                if ids or (years and (read.kind != "integer" or len(names) > 1)):  # 1, 2, 3 may be shops
                    return names, np.array(names, object), []
    parts = [re.fullmatch(r"(.*?)(\d{1,9})", name) for name in numbered]
    steps = [int(part[2]) for part in parts if part]
    alike = len({part and part[1] for part in parts}) == 1 and len(steps) == len(numbered)
    if ids and alike and (np.diff(steps) == 1).all():
        note = f"Columns such as {numbered[0]!r} are read as steps, {steps[0]} to {steps[-1]}."
        return numbered, np.array(steps), [note]
    expected = f"the time column {time!r} beside columns of series, or dates as the names of columns"
    todo = "Name the time column with time, or with id the columns beside dates or steps."
    refuse("wide", expected, f"the columns {', '.join(map(repr, frame.columns[:7]))}", todo)


# ---- series of several columns


def read_ids(frame: Any, columns: Sequence[str], kinds: str) -> Any:
    """The names of the series of all rows: of several columns, their texts with / between, and \\/ for a / in one.

    kinds: "integer" or "text" of each, commas between. Errors, with their rows: none; text where the fit had integers.
    """
    parts = []
    for name, kind in zip(columns, kinds.split(","), strict=True):
        column, where = frame[name], f"column {name!r}"
        tables.refuse_rows(frame, column.isna().to_numpy(bool), where, "a series in every row")
        if kind == "text" or column.dtype.kind not in "iu":
            column = tables.text(column)
        if kind == "integer" and column.dtype.kind not in "iu":
            odd = ~column.str.fullmatch(INTEGER).to_numpy(bool)
            tables.refuse_rows(frame, odd, where, "whole numbers, as in the fit", column, "Name series as there.")
            column = column.astype("int64")
        parts.append(column)
    if len(parts) == 1:
        return parts[0]
    texts = [tables.text(part).str.replace(r"([\\/])", r"\\\1", regex=True) for part in parts]
    return texts[0].str.cat(texts[1:], sep="/")


def split_ids(ids: np.ndarray, id: str, kinds: str) -> dict[str, Any]:
    """The columns that identify series, as the data had them. kinds: "integer" or "text" of each, commas between."""
    words = kinds.split(",")
    if len(words) == 1:
        return {id: ids}
    cells = [re.findall(r"((?:[^\\/]|\\.)*)(?:/|$)", name)[: len(words)] for name in ids]
    want(all(len(row) == len(words) for row in cells), "series", f"names of {len(words)} parts", repr(ids[0]))
    columns = [[re.sub(r"\\(.)", r"\1", cell) for cell in column] for column in zip(*cells, strict=True)]
    read = {"integer": int, "text": str}
    names = [name.strip() for name in id.split(",")]
    return {n: list(map(read[k], c)) for n, k, c in zip(names, words, columns, strict=True)}
