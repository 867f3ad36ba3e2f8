"""Data frames to panels and back: a schema is inferred once, stored as JSON, and applied to new data."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gated._check import InputError, one_of, optional, refuse, want
from gated.features import calendar as clocks
from gated.io import patterns, zones
from gated.io.epochs import UNITS
from gated.io.tables import name_rows, numbers, refuse_rows, text, to_numbers
from gated.io.text import plural
from gated.io.times import KINDS, restore, split, times
from gated.tasks.forecast.panel import CELLS, Panel
from gated.tasks.forecast.source import read_ids

pd: Any = optional("pandas", "forecast")

CATEGORIES = 256  # most values of a category: more is a name or free text, and its columns would fill the memory
FEW, DISTINCT = 0.1, 20  # a share of words among numbers up to which they are a mistake, where these differ much
FAR = 5  # times the span of the values of the fit, beyond which new ones are strange
LONGEST, FULL = 10_000, 0.01  # a series longer than this with fewer of its steps observed is a wrong date, not a series


@dataclass(frozen=True)
class Schema:
    """What the columns are. `Schema(**dataclasses.asdict(schema))` is the same, also through JSON."""

    time: str
    target: str
    id: str | None  # None: one series
    freq: str
    kind: str  # what a time is: see `times.times`
    zone: str | None
    ids: str  # "integer" or "text"
    past: dict[str, list[str] | None] = field(default_factory=dict)  # a column's categories, or None for a number
    known: dict[str, list[str] | None] = field(default_factory=dict)
    static: dict[str, list[str] | None] = field(default_factory=dict)
    notation: str | None = None  # of the times, the first that new data are read by
    phase: int | None = None  # nanoseconds: times are moved to a grid, see `calendar.snap`
    hours: str | None = None  # the zone whose hours and weekdays the network reads
    notes: list[str] = field(default_factory=list)  # on how the times were read
    decimals: dict[str, str] = field(default_factory=dict)  # of the columns that show theirs

    def __post_init__(self) -> None:  # it may come from a file
        words = all(isinstance(w, str) for w in (self.time, self.target, self.freq))
        words &= all(
            w is None or isinstance(w, str) for w in (self.id, self.zone, self.notation, self.hours, *self.notes)
        )
        words &= isinstance(self.ids, str) and isinstance(self.decimals, dict)
        words = words and all(isinstance(c, str) and d in (".", ",") for c, d in self.decimals.items())
        words &= self.phase is None or (isinstance(self.phase, int) and abs(self.phase) < 2**62)
        parts = all(
            isinstance(part, dict) and all(c is None or (isinstance(c, list) and set(map(type, c)) <= {str})
                                           for c in part.values())
            for part in (self.past, self.known, self.static)
        )  # fmt: skip
        want(words and parts, "schema", "names of columns and lists of categories", "something else")
        if "%" in self.kind:
            patterns.check(self.kind, "schema: kind")
        else:
            one_of("schema: kind", self.kind, KINDS)
        zones.check(self.zone, "schema: zone")
        zones.check(self.hours, "schema: hours")
        for kind in self.ids.split(","):
            one_of("schema: ids", kind, ("integer", "text"))
        clocks.parse(self.freq, "schema: freq")

    def names(self, part: str) -> list[str]:
        """The columns of the panel's `past`, `known` or `static`: 'price', 'holiday=yes', 'holiday=no'."""
        columns: dict[str, list[str] | None] = getattr(self, part)
        return [n if c is None else f"{n}={v}" for n, c in columns.items() for v in ([None] if c is None else c)]


def enumerate_some(names: Sequence[str], count: int = 5) -> str:
    """The first of them: "a, b, c and 3 more"."""
    return ", ".join(names[:count]) + (f" and {len(names) - count:,} more" if len(names) > count else "")


def infer(frame: Any, **options: Any) -> Schema:
    """What the columns of a frame (from `tables.read`) are, the frequency inferred from all series.

    Options and errors: see `infer_rows`.
    """
    return infer_rows(frame, **options)[0]


def infer_rows(
    frame: Any, *, time: str | None = None, target: str | None = None, id: str | None = None, past: Sequence[str] = (),
    known: Sequence[str] = (), static: Sequence[str] = (), freq: str | None = None, time_format: str | None = None,
    zone: str | None = None,
) -> tuple[Schema, _Rows]:  # fmt: skip
    """The schema of a frame, and its rows, which `panel` need not read again.

    time, target, id default to `ds`, `y`, `unique_id`; without an id column the frame is one series. past: covariates
    known up to now; known: in the future as well; static: one value a series. A covariate is a number, or a category of
    at most 256 values when it holds text or has pandas' category type. time_format, zone: see `times.times`.

    Errors: an unknown column; one column in two roles; what `times.times` and `calendar.infer` refuse; too many
    categories.
    """
    if id in (None, "unique_id"):
        id = "unique_id" if "unique_id" in frame.columns else None
    roles = {"time": time or "ds", "target": target or "y", **({"id": id} if id is not None else {})}
    covariates = (("past", past), ("known", known), ("static", static))
    owner: dict[str, str] = {}
    clock = [("time", name) for name in split(frame, roles["time"])]
    keys = [("id", name) for name in split(frame, id)] if id is not None else []
    for role, name in [
        *clock,
        ("target", roles["target"]),
        *keys,
        *((role, name) for role, part in covariates for name in part),
    ]:
        want_column(frame, name, role)
        own = f"a column of its own, for {name!r} is the {owner.get(name)} column already"
        want(name not in owner, role, own, repr(name))
        owner[name] = role
    id = ",".join(name for _, name in keys) or None
    ids_kind = ",".join("integer" if frame[name].dtype.kind in "iu" else "text" for _, name in keys) or "text"
    rows = _rows(frame, roles["time"], roles["target"], id, ids_kind, notation=time_format, zone=zone)
    alias, phase, rows = _clock(rows, freq)
    notes, unit = list(rows.notes), (parsed := clocks.parse(alias)).unit
    if freq is None and unit == "slots":
        notes.append(f"Only these steps of the week occur, and no others are forecast: {alias}.")
    if phase is not None:
        moved = clocks.snap(rows.times, alias, phase)
        _want_once(rows, moved, roles["time"], roles["target"], id, alias)
        grid = f"the {clocks.RULES[parsed.rule]} of the month" if unit == "month" else f"regular steps of {alias}"
        notes.append(f"Times are moved to {grid}: the first is {pd.Timestamp(moved[0])}.")
        rows = replace(rows, times=moved)
    parts = [{name: _categories(frame, name) for name in part} for part in (past, known, static)]
    hours = rows.zone if rows.kind != "local" else None
    schema = Schema(
        roles["time"], roles["target"], id, alias, rows.kind, rows.zone, ids_kind, *parts, notation=rows.notation,
        phase=phase, hours=hours, notes=notes, decimals=dict(frame.attrs.get("decimals", {})),
    )  # fmt: skip
    return schema, rows


def _clock(rows: _Rows, freq: str | None) -> tuple[str, int | None, _Rows]:
    """The frequency, the phase of the grid that times are moved to if they lie beside it, and the rows.

    Where times have a zone and lie on a clock by its hours alone, such as sessions or every sixth hour, these are the
    times of the rows from now on.
    """
    say = lambda mask: name_rows(rows.frame, mask)  # noqa: E731
    if freq is not None:
        clock = clocks.parse(freq)
        integer = rows.times.dtype.kind == "i"
        expected = "a whole number" if integer else "a frequency of dates"
        want((clock.unit == "integer") == integer, "freq", expected, repr(freq))
        points = clocks.find_grid(rows.times, rows.codes, clock)
        return (clocks.name(clock, rows.times[0]), None, rows) if points is None else (*points, rows)
    if rows.zone is None or rows.kind == "local" or rows.kind in UNITS:
        return *clocks.infer(rows.times, rows.codes, rows.ids, say), rows
    local = replace(
        rows, times=zones.to_local(rows.times, rows.zone), kind="local" if rows.kind == "utc" else rows.kind
    )
    local = replace(
        local, zone=local.zone if local.kind == "local" else None, kind=local.kind.replace("wall", "datetime")
    )
    try:
        freq, phase = clocks.infer(rows.times, rows.codes, rows.ids, say)
    except InputError:
        return *clocks.infer(local.times, local.codes, local.ids, say), local
    u = clocks.units(rows.times, clock := clocks.parse(freq))
    if phase is None and clock.unit == "ns" and (np.diff(u)[np.diff(rows.codes) == 0] == clock.step).all():
        return freq, phase, rows
    with contextlib.suppress(InputError):
        own, moved = clocks.infer(local.times, local.codes, local.ids, say)
        if clocks.parse(own).unit == "slots":
            return own, moved, local
    return freq, phase, rows


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


def want_columns(frame: Any, schema: Schema, *roles: str, where: str = "the new data") -> None:
    """A frame of new data must have the columns of time, id and these roles."""
    for role in ("time", "id", *roles):
        names = getattr(schema, role)
        names = split(frame, names) if role in ("time", "id") and names else names
        for name in [names] if isinstance(names, str) else names or ():
            want_column(frame, name, role, where)


def _categories(frame: Any, name: str) -> list[str] | None:
    column = frame[name]
    _, bad = to_numbers(column)
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    if not categorical and not bad.any():
        return None
    whole = np.flatnonzero(~bad & column.notna().to_numpy(bool))
    if not categorical and bad.sum() < FEW * len(whole) and column.iloc[whole].nunique() > DISTINCT:
        todo = "Correct them, or name words for missing values with --missing."
        refuse_rows(frame, bad, f"column {name!r}", "numbers, as in nearly all rows", column, todo)
    want(column.dtype.kind not in "cmM", f"column {name!r}", "numbers or categories", str(column.dtype))
    values = sorted(text(column).dropna().unique())
    todo = f"Numbers may hold no text: {name_rows(frame, bad, column)}." if bad.any() else ""
    expected, got = f"numbers, or at most {CATEGORIES} categories", f"{len(values):,} different values"
    want(len(values) <= CATEGORIES, f"column {name!r}", expected, got, todo)
    return values


@dataclass(frozen=True)
class _Rows:
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


def rows_of(frame: Any, schema: Schema) -> _Rows:
    """The rows of new data, read as the schema says."""
    snap = None if schema.phase is None else (schema.freq, schema.phase)
    return _rows(frame, schema.time, schema.target, schema.id, schema.ids, kind=schema.kind, notation=schema.notation,
                 zone=schema.zone, snap=snap)  # fmt: skip


def _rows(
    frame: Any, time: str, target: str, id: str | None, ids_kind: str, *, kind: str | None = None,
    notation: str | None = None, zone: str | None = None, snap: tuple[str, int] | None = None,
) -> _Rows:  # fmt: skip
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
    rows = _Rows(frame.iloc[order], codes, ids, moments, kind, zone, notation, notes, backwards)
    _want_once(rows, moments, time, target, id, None if snap is None else snap[0])
    return rows


def _want_once(rows: _Rows, moments: np.ndarray, time: str, target: str, id: str | None, freq: str | None) -> None:
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
    frame: Any, schema: Schema, rows: _Rows | None = None, *, context: int = 0, new: bool = False
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


def numeric(schema: Schema) -> tuple[str, ...]:
    """The columns of numbers: the target and the covariates that are none of categories."""
    parts = (schema.past, schema.known, schema.static)
    return (schema.target, *(name for part in parts for name, categories in part.items() if categories is None))


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
