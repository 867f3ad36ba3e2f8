"""What the columns of a data frame are: inferred once, stored as JSON, applied to new data."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gated._check import InputError, one_of, optional, want
from gated.features import calendar as clocks
from gated.io import patterns, zones
from gated.io.epochs import UNITS
from gated.io.tables import name_rows, refuse_rows, text, to_numbers
from gated.io.times import KINDS, split
from gated.tasks.forecast.rows import Rows, read_rows, want_column, want_once

pd: Any = optional("pandas", "forecast")

CATEGORIES = 256  # most values of a category: more is a name or free text, and its columns would fill the memory
FEW, DISTINCT = 0.1, 20  # a share of words among numbers up to which they are a mistake, where these differ much


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


def infer(frame: Any, **options: Any) -> Schema:
    """What the columns of a frame (from `tables.read`) are, the frequency inferred from all series.

    Options and errors: see `infer_rows`.
    """
    return infer_rows(frame, **options)[0]


def infer_rows(
    frame: Any, *, time: str | None = None, target: str | None = None, id: str | None = None, past: Sequence[str] = (),
    known: Sequence[str] = (), static: Sequence[str] = (), freq: str | None = None, time_format: str | None = None,
    zone: str | None = None,
) -> tuple[Schema, Rows]:  # fmt: skip
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
    rows = read_rows(frame, roles["time"], roles["target"], id, ids_kind, notation=time_format, zone=zone)
    alias, phase, rows = _clock(rows, freq)
    notes, unit = list(rows.notes), (parsed := clocks.parse(alias)).unit
    if freq is None and unit == "slots":
        notes.append(f"Only these steps of the week occur, and no others are forecast: {alias}.")
    if phase is not None:
        moved = clocks.snap(rows.times, alias, phase)
        want_once(rows, moved, roles["time"], roles["target"], id, alias)
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


def _clock(rows: Rows, freq: str | None) -> tuple[str, int | None, Rows]:
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


def rows_of(frame: Any, schema: Schema) -> Rows:
    """The rows of new data, read as the schema says."""
    snap = None if schema.phase is None else (schema.freq, schema.phase)
    return read_rows(frame, schema.time, schema.target, schema.id, schema.ids, kind=schema.kind,
                     notation=schema.notation, zone=schema.zone, snap=snap)  # fmt: skip


def want_columns(frame: Any, schema: Schema, *roles: str, where: str = "the new data") -> None:
    """A frame of new data must have the columns of time, id and these roles."""
    for role in ("time", "id", *roles):
        names = getattr(schema, role)
        names = split(frame, names) if role in ("time", "id") and names else names
        for name in [names] if isinstance(names, str) else names or ():
            want_column(frame, name, role, where)


def numeric(schema: Schema) -> tuple[str, ...]:
    """The columns of numbers: the target and the covariates that are none of categories."""
    parts = (schema.past, schema.known, schema.static)
    return (schema.target, *(name for part in parts for name, categories in part.items() if categories is None))
