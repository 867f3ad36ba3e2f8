"""The steps after a panel: their times, their known covariates, their observed values, and the forecast's frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gated._check import optional, refuse, want
from gated.features import calendar as clocks
from gated.io.tables import numbers
from gated.io.times import restore, restore_columns
from gated.tasks.forecast.frame import encode, span
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.rows import enumerate_some
from gated.tasks.forecast.schema import Schema, rows_of, want_columns
from gated.tasks.forecast.source import split_ids

pd: Any = optional("pandas", "forecast")


def future_times(panel: Panel, horizon: int) -> np.ndarray:
    """[N, h] the next times of each series."""
    return clocks.ahead(panel.times[panel.offsets[1:] - 1], panel.freq, horizon)


def _find_rows(frame: Any, schema: Schema, panel: Panel, horizon: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """The rows of the frame that lie in the horizon, with their series n [R] and steps ahead k [R] from 0."""
    rows = rows_of(frame, schema)
    clock, last = clocks.parse(panel.freq), panel.times[panel.offsets[1:] - 1]
    n = pd.Index(panel.ids).get_indexer(pd.Index(rows.ids))[rows.codes]
    steps = clocks.units(rows.times, clock) - clocks.units(last, clock)[n]
    k = steps // clock.step - 1
    inside = (
        (n >= 0)
        & (steps % clock.step == 0)
        & (k >= 0)
        & (k < horizon)
        & (clocks.shift(rows.times, clock) == clocks.shift(last, clock)[n])
    )
    return rows.frame[inside], n[inside], k[inside]


def read_known(
    frame: Any, schema: Schema, panel: Panel, horizon: int, *, partial: bool = False,
    unknown: dict[str, list[str]] | None = None,
) -> np.ndarray:  # fmt: skip
    """[N, h, K] the known covariates of the steps after the panel, from a frame that has a row for each of them.

    partial: steps without a row are NaN. unknown: takes the categories that the history lacks. Errors: no frame though
    the schema has known covariates; and unless partial, the series and times that lack a row.
    """
    ahead = future_times(panel, horizon)
    if not schema.known:
        return np.zeros((*ahead.shape, 0))
    names = [*([schema.id] if schema.id else []), schema.time, *schema.known]
    todo = f"Give a frame or file with {', '.join(map(repr, names))} as future."
    if frame is None:
        refuse("future covariates", f"values for the next {horizon} steps", "none", todo)
    want_columns(frame, schema, "known", where="the future file")
    rows, n, k = _find_rows(frame, schema, panel, horizon)
    lacking = np.ones(ahead.shape, bool)
    lacking[n, k] = False
    if lacking.any() and not partial:
        times = restore(ahead[lacking], schema.kind, schema.zone)
        steps = [f"{panel.ids[i]} at {t}" for i, t in zip(np.nonzero(lacking)[0], times, strict=True)]
        expected = f"a row for each of the next {horizon} steps of each series"
        refuse("future covariates", expected, f"none for {enumerate_some(steps)}", todo)
    out = np.full((*ahead.shape, len(schema.names("known"))), np.nan)
    out[n, k] = encode(rows, schema.known, {} if unknown is None else unknown)
    return out


def read_truth(frame: Any, schema: Schema, panel: Panel, horizon: int) -> np.ndarray:
    """[N, h] the observed values after the panel, NaN where the frame has none. Errors: no row of it lies there."""
    want_columns(frame, schema, "target")
    rows, n, k = _find_rows(frame, schema, panel, horizon)
    ends = span(panel.times[panel.offsets[1:] - 1], schema)
    expected = f"rows in the {horizon} steps after {ends[1]}"
    want(len(rows) > 0, "later data", expected, "none for any series of the history")
    out = np.full((len(panel), horizon), np.nan)
    out[n, k] = numbers(rows, schema.target)
    return out


def to_frame(schema: Schema, panel: Panel, columns: Mapping[str, np.ndarray]) -> Any:
    """Values of the steps after the panel as a pandas frame, a row for each series and step.

    columns: [N, h] by name. The series and the time stand before them, under the data's own names and as it had them;
    a column whose name one of these has is called forecast_…, as `attrs["notes"]` say.
    """
    horizon = next(iter(columns.values())).shape[1]
    ids = np.repeat(panel.ids, horizon)
    table: dict[str, Any] = {} if schema.id is None else split_ids(ids, schema.id, schema.ids)
    table |= restore_columns(future_times(panel, horizon).reshape(-1), schema.time, schema.kind, schema.zone)
    own, renamed = set(table), []
    for name, values in columns.items():
        new = name
        while new in own:
            new = f"forecast_{new}"
        table[new] = values.reshape(-1)
        renamed += [f"The forecast's column {name!r} is {new!r}, for the data have a {name!r}."] if new != name else []
    frame = pd.DataFrame(table)
    frame.attrs["notes"] = renamed
    return frame
