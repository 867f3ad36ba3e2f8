"""Data frames to panels on the clock of a schema, and panels joined."""

from __future__ import annotations

from typing import Any

import numpy as np

from gated._check import optional, refuse, want
from gated.features import calendar as clocks
from gated.io.tables import name_rows, numbers, text
from gated.io.text import plural
from gated.io.times import restore
from gated.tasks.forecast.panel import CELLS, Panel
from gated.tasks.forecast.rows import Rows, enumerate_some
from gated.tasks.forecast.schema import Schema, rows_of, want_columns

pd: Any = optional("pandas", "forecast")

FAR = 5  # times the span of the values of the fit, beyond which new ones are strange
LONGEST, FULL = 10_000, 0.01  # a series longer than this with fewer of its steps observed is a wrong date, not a series


def _grid(
    codes: np.ndarray, moments: np.ndarray, freq: str, n: int, width: int, name: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets [N + 1], the row of each moment [R] and the times of all rows [L] of the panel that holds these moments.

    name(mask) tells which moments a mask over R means. Errors: moments beside the clock; more rows than may be held.
    """
    clock = clocks.parse(freq)
    u, shift = clocks.units(moments, clock), clocks.shift(moments, clock)
    first = np.r_[0, np.flatnonzero(codes[1:] != codes[:-1]) + 1]
    start = np.minimum.reduceat(u, first)
    p = u // clock.step - (start // clock.step)[codes]  # divided first: the difference may not fit 64 bits
    off = (shift != shift[0]) | (u % clock.step != (start % clock.step)[codes]) | (p < 0)
    if off.any():
        expected = f"times on one clock of frequency {freq}"
        todo = "Leave them out, or fit anew with them." if clock.unit == "slots" else "Correct or resample them."
        refuse("times", expected, f"others in {name(off)}", todo)
    lengths, count = np.maximum.reduceat(p, first) + 1, np.bincount(codes, minlength=n)
    sparse = (lengths > LONGEST) & (count < FULL * lengths)
    if sparse.any() or sum(map(int, lengths)) * (2 + width) > CELLS:
        k = int(np.argmax(np.where(sparse, lengths, 0) if sparse.any() else lengths))
        mine = np.flatnonzero(codes == k)
        ends = np.isin(np.arange(len(codes)), mine[np.argmax(np.diff(p[mine], append=p[mine][-1]))] + np.array([0, 1]))
        refuse(
            "times", f"series without gaps of many thousand steps, at most {CELLS:,} numbers in all",
            f"{int(lengths[k]):,} steps of {freq} for {int(count[k]):,} rows, the longest gap between {name(ends)}",
            "Correct these times, or choose a longer step with freq.",
        )  # fmt: skip
    offsets = np.r_[0, np.cumsum(lengths)]
    here = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    grid = clocks.at(np.repeat(start, lengths) + clock.step * here, clock) + shift[0]
    return offsets, offsets[codes] + p, grid


def encode(frame: Any, columns: dict[str, list[str] | None], unknown: dict[str, list[str]]) -> np.ndarray:
    """[R, K] the columns as numbers: a category is one column a value, all 0 for an unknown, NaN for a missing one."""
    parts = []
    for name, categories in columns.items():
        if categories is None:
            parts.append(numbers(frame, name)[:, None])
            continue
        words = text(frame[name])
        where = pd.Index(categories, dtype=object).get_indexer(words)
        hot = (where[:, None] == np.arange(len(categories))).astype(np.float64)
        hot[words.isna().to_numpy(bool)] = np.nan
        strange = sorted(set(words[(where < 0) & words.notna()]))
        if strange:
            unknown[name] = strange
        parts.append(hot)
    return np.concatenate([np.zeros((len(frame), 0)), *parts], 1)


def panel(
    frame: Any, schema: Schema, rows: Rows | None = None, *, context: int = 0, new: bool = False
) -> tuple[Panel, tuple[str, ...]]:
    """The frame's series on the schema's clock; and in sentences, its size and what was done to it.

    Rows are sorted by time, steps without a row are inserted as NaN, a missing value is NaN. rows: the frame's, where
    `infer_rows` has read them. context: series with fewer steps are reported as short. new: rows for a run, which may
    be constant. Errors name the rows: unknown columns, times and ids that are missing or twice, times beside the clock,
    text or infinities in numbers, a static column that changes within a series, no value at all.
    """
    want_columns(frame, schema, "target", "past", "known", "static")
    rows = rows_of(frame, schema) if rows is None else rows
    frame, codes, n = rows.frame, rows.codes, len(rows.ids)
    values, unknown = numbers(frame, schema.target), {}
    want(not np.isnan(values).all(), f"column {schema.target!r}", "at least one number", "no value in any row")
    width = len(schema.names("past")) + len(schema.names("known"))
    size, expected = len(frame) * width, f"at most {CELLS:,} numbers"
    want(size <= CELLS, "covariates", expected, f"{size:,}", "Leave some out.")
    offsets, place, moments = _grid(codes, rows.times, schema.freq, n, width, lambda mask: name_rows(frame, mask))
    first = np.r_[0, np.flatnonzero(codes[1:] != codes[:-1]) + 1]
    result = Panel(
        rows.ids, offsets, _scatter(values, place, len(moments)), moments, schema.freq,
        _scatter(encode(frame, schema.past, unknown), place, len(moments)),
        _scatter(encode(frame, schema.known, unknown), place, len(moments)),
        _static(frame, schema, codes, rows.ids, first, unknown), schema.hours,
    )  # fmt: skip
    low, high = np.fmin.reduceat(values, first), np.fmax.reduceat(values, first)
    names = lambda mask: enumerate_some(list(map(str, rows.ids[mask])))  # noqa: E731
    inserted, missing, ends = len(moments) - len(frame), int(np.isnan(values).sum()), span(moments, schema)
    apart = float(np.median(np.diff(place)[codes[1:] == codes[:-1]])) if len(codes) > n else 1.0
    trailing, empty = np.isnan(result.y[offsets[1:] - 1]) & ~np.isnan(low), np.isnan(low)
    constant, short = low == high, result.lengths < context
    sentences = {
        f"{n:,} series, {plural(len(frame), 'row')}, frequency {schema.freq}, {ends[0]} to {ends[1]}.": True,
        **dict.fromkeys(schema.notes, True),
        f"{plural(rows.unsorted, 'row')} out of order: sorted by time.": rows.unsorted,
        f"{plural(inserted, 'step')} without a row: treated as missing.": inserted,
        f"{plural(missing, 'row')} without a value: treated as missing.": missing,
        f"{plural(int(trailing.sum()), 'series ends', 'series end')} without a value: {names(trailing)}. "
        "The forecast begins after the last row.": trailing.any(),
        f"{empty.sum():,} series without any value: {names(empty)}.": empty.any(),
        f"{constant.sum():,} constant series: {names(constant)}.": constant.any() and not new,
        f"{short.sum():,} series shorter than the context of {context:,} steps: {names(short)}.": short.any(),
        **dict.fromkeys(describe_unknown(unknown), True),
        f"Most rows are {apart:g} steps of {schema.freq} apart: is the frequency another?": apart > 1,
    }  # fmt: skip
    return result, tuple(sentence for sentence, holds in sentences.items() if holds)


def describe_unknown(unknown: dict[str, list[str]]) -> tuple[str, ...]:
    """Categories that the fit has not seen, in sentences."""
    shown = {name: enumerate_some(strange) for name, strange in unknown.items()}
    return tuple(f"Column {n!r} has unknown values, encoded as none of the known: {s}." for n, s in shown.items())


def describe_change(old: Panel, new: Panel, target: str) -> tuple[str, ...]:
    """Values of new data that lie far outside those of the fit, in a sentence."""
    if np.isnan(old.y).all() or np.isnan(new.y).all():
        return ()
    low, high, first, last = np.nanmin(old.y), np.nanmax(old.y), np.nanmin(new.y), np.nanmax(new.y)
    reach = FAR * max(high - low, abs(high) / FAR, 1e-9)
    if first >= low - reach and last <= high + reach:
        return ()
    ends = f"{first:,.6g} to {last:,.6g}, in the fit {low:,.6g} to {high:,.6g}"
    return (f"Column {target!r} reaches far beyond the values of the fit ({ends}): is its unit another?",)


def _scatter(values: np.ndarray, place: np.ndarray, length: int) -> np.ndarray:
    wide = np.full((length, *values.shape[1:]), np.nan)
    wide[place] = values
    return wide


def _static(
    frame: Any, schema: Schema, codes: np.ndarray, ids: np.ndarray, first: np.ndarray, unknown: dict[str, list[str]]
) -> np.ndarray:
    values = encode(frame, schema.static, unknown)
    low, high = np.fmin.reduceat(values, first, 0), np.fmax.reduceat(values, first, 0)
    changing = np.argwhere(low < high)
    if len(changing):
        n, name = int(changing[0, 0]), schema.names("static")[changing[0, 1]].partition("=")[0]
        column = text(frame[name])
        odd = name_rows(frame, (codes == n) & (column != column.iloc[first[n]]).to_numpy(bool), column)
        expected = f"one value in the series {ids[n]!r}"
        refuse(f"static column {name!r}", expected, odd, "Name it under past or known.")
    return low


def span(moments: np.ndarray, schema: Schema) -> tuple[str, str]:
    ends = restore(np.array([moments.min(), moments.max()]), schema.kind, schema.zone)
    return str(ends[0]).removesuffix(" 00:00:00"), str(ends[1]).removesuffix(" 00:00:00")


def join(panel: Panel, later: Panel) -> Panel:
    """Both panels in one: series of the same name are continued, new ones appended; where both observed, later wins."""
    want(panel.freq == later.freq, "later data", f"frequency {panel.freq}", later.freq)
    names = pd.Index(panel.ids).append(pd.Index(later.ids))
    known = names.unique()
    ids = np.asarray(known, object if known.dtype == object else None)
    series = known.get_indexer(names)
    codes = np.repeat(series, np.r_[panel.lengths, later.lengths])
    moments = np.concatenate([panel.times, later.times])
    order = np.argsort(codes, kind="stable")
    width = panel.past.shape[1] + panel.known.shape[1]
    moments_of = lambda mask: enumerate_some([str(t).removesuffix(".000000000") for t in moments[order][mask]], 3)  # noqa: E731
    offsets, place, grid = _grid(codes[order], moments[order], panel.freq, len(ids), width, moments_of)
    where = np.empty_like(place)
    where[order] = place

    def merge(name: str, where: np.ndarray, length: int) -> np.ndarray:
        a, b = getattr(panel, name), getattr(later, name)
        out, spot = _scatter(a, where[: len(a)], length), where[len(a) :]
        out[spot] = np.where(np.isnan(b), out[spot], b)
        return out

    y, past, covariates = (merge(name, where, len(grid)) for name in ("y", "past", "known"))
    return Panel(ids, offsets, y, grid, panel.freq, past, covariates, merge("static", series, len(ids)), panel.zone)
