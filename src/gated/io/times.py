"""Columns of times: the notation of a whole column is recognised, read, and written again.

A notation is a pattern (see `io.patterns`); or "s", "ms", "us", "ns" (numbers since 1970), "excel" (days since
1899-12-30), "count" (plain whole numbers). The patterns of columns that hold parts of a time are joined by "|":
"%Y-%m-%d|%H:%M". All rows of a column have one notation.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import warnings
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np

from gated._check import optional, refuse, want
from gated.io import patterns, zones
from gated.io.tables import name_rows, refuse_rows, text, to_numbers

pd: Any = optional("pandas", "forecast")
pa: Any = optional("pyarrow", "forecast")
pc: Any = optional("pyarrow.compute", "forecast")

FIRST, LAST = np.datetime64("1678-01-01"), np.datetime64("2262-01-01")  # what 64 bits of nanoseconds hold
ISO = "dates such as 2024-01-31 or 2024-01-31T13:30, years 1678 to 2261"
OFFSET = r"(?:Z|[+-]\d\d:?(?:\d\d)?)$"
ZONED = r"(?:\d\d:\d\d|T\d{4}).*" + OFFSET
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}  # nanoseconds
DAY = 86_400 * 10**9
EXCEL = np.datetime64("1899-12-30", "ns")
COMPACT = {  # whole numbers that are dates: digits, first and last year
    "%Y%m%d%H%M%S": (14, 1900, 2100), "%Y%m%d%H%M": (12, 1900, 2100), "%Y%m%d%H": (10, 1900, 2100),
    "%Y%m%d": (8, 1800, 2200), "%Y%m": (6, 1800, 2200), "%G%V": (6, 1900, 2100),
}  # fmt: skip
SPANS = {  # other numbers: those that a count is not likely to have
    "s": (10**9, 4_102_444_800), "ms": (10**12, 4_102_444_800_000), "us": (10**15, 4_102_444_800_000_000),
    "ns": (10**18, 4_102_444_800_000_000_000), "excel": (32_874, 55_153),
}  # fmt: skip
KINDS = ("integer", "datetime", "date", "utc", "wall", "local", *UNITS, "excel")  # and patterns
MEANING = {
    "%Y%m%d%H%M%S": "years to seconds (YYYYMMDDHHMMSS)", "%Y%m%d%H%M": "years to minutes (YYYYMMDDHHMM)",
    "%Y%m%d%H": "years to hours (YYYYMMDDHH)", "%Y%m": "years and months (YYYYMM)",
    "%G%V": "ISO years and weeks (YYYYWW)",
    "s": "seconds since 1970 in UTC", "ms": "milliseconds since 1970 in UTC", "us": "microseconds since 1970 in UTC",
    "ns": "nanoseconds since 1970 in UTC", "excel": "Excel's days since 1899-12-30",
}  # fmt: skip
FEW = 0.05  # share of rows up to which those that do not fit a notation are mistakes
ROLES = {  # names of columns that hold a part of a time
    "%Y": "y|yr|yrs|years?|yyyy|jahr|ann[eé]e|a[nñ]o|ano|anno", "%m": "mm?|mon|months?|mth|monat|mois|mes|mese",
    "%d": "dd?|days?|tag|jour|d[ií]a|giorno|day_?of_?month", "%H": "hh?|hrs?|hours?|stunde|heure|hora|ora|he",
    "%M": "min|mins|minutes?", "%S": "s|secs?|seconds?", "%V": "w|ww|wk|weeks?|kw|woche|semaine|semana|iso_?week",
    "%q": "q|qtr|quarters?|quartal|trimestre", "%j": "doy|day_?of_?(the_?)?year|yday|julian(_?day)?",
}  # fmt: skip


class Times(NamedTuple):
    """A column of times as it was read, and all that is needed to read and to write others alike."""

    values: np.ndarray  # [R] int64, or datetime64[ns]: local times, or instants in UTC where there is a zone
    kind: str  # how a time is written, see `times`
    zone: str | None
    notation: str | None
    notes: tuple[str, ...] = ()  # what was a guess


class _Reading(NamedTuple):
    """Times before zones are looked at."""

    local: np.ndarray  # [R] datetime64[ns], or int64
    kind: str
    notation: str | None = None
    instants: np.ndarray | None = None  # [R] datetime64[ns] where the column says them
    zone: str | None = None  # what the column says of it
    notes: tuple[str, ...] = ()


def split(frame: Any, name: str) -> list[str]:
    """The columns of a time: the one of this name, or those that it lists, by commas or spaces between them."""
    if name in frame.columns:
        return [name]
    parts = list(dict.fromkeys(part for part in re.split(r"\s*,\s*" if "," in name else r"\s+", name.strip()) if part))
    return parts if any(part in frame.columns for part in parts) else [name]


def times(
    frame: Any, name: str, kind: str | None = None, *, notation: str | None = None, zone: str | None = None,
    codes: np.ndarray | None = None,
) -> Times:  # fmt: skip
    """A column of times, or several that hold its parts ("date,hour"), as datetime64[ns] or int64.

    kind: "integer"; "datetime" (no zone); "date" (Python dates); a notation (numbers such as 20240131, names of periods
    such as 2023 Q1, parts of a time in several columns); "utc" (with a zone; stored in UTC); "wall" (local times of the
    zone that the option names; stored in UTC); "local" (with a zone and every row at one time of day; stored as local
    days). A kind that is given is required. Times with a zone are instants: a step of one hour stays one when the
    clocks change.

    notation: with a kind, the one to try first; without, the one that the column must have. zone: of times that say
    none. codes: the series of each row, for the hour that comes twice in autumn.

    Errors, with their rows: missing; not to be read; outside 1678–2261; a notation that could be two, such as
    01/02/2024; times that a zone's clocks skip.
    """
    columns, where = split(frame, name), f"column {name!r}"
    zones.check(zone)
    for column in columns:
        refuse_rows(frame, frame[column].isna().to_numpy(bool), f"column {column!r}", "a time in every row")
    notation = notation if notation or kind is None else _formerly(kind)
    reading = _read(frame, columns, where, notation, kind is None)
    if reading.local.dtype.kind == "M":
        moments = reading.local if reading.instants is None else reading.instants
        wild = (moments < FIRST) | (moments >= LAST) | np.isnat(moments)
        refuse_rows(frame, wild, where, "years 1678 to 2261", frame[columns[0]].astype(str))
    values, got, zone = _place(frame, reading, where, kind, zone, codes)
    if kind is not None and _family(got) != _family(kind):
        first = name_rows(frame, np.arange(len(frame)) < 1, frame[columns[0]])
        refuse(where, f"times as they were when fitted ({kind})", f"{got}: {first}")
    return Times(values, kind or got, zone, reading.notation, reading.notes)


def _formerly(kind: str) -> str | None:
    """The notation that times of a kind have."""
    return "count" if kind == "integer" else kind if "%" in kind or kind in SPANS else None


def _family(kind: str) -> str:
    """Kinds that may stand for each other in new data."""
    if kind in ("utc", "local"):
        return "zoned"
    return kind if kind == "integer" or kind in UNITS else "naive"


def _place(
    frame: Any, reading: _Reading, where: str, kind: str | None, zone: str | None, codes: np.ndarray | None
) -> tuple[np.ndarray, str, str | None]:
    """The values to store, their kind, and their zone."""
    local, instants, got = reading.local, reading.instants, reading.kind
    if local.dtype.kind != "M":
        return local, got, None
    if reading.notation in UNITS:
        return local, got, zone
    days = len(np.unique(local - local.astype("datetime64[D]"))) == 1  # no clock change lies between such times
    named = reading.zone or (None if kind is None and days else zone)
    if instants is None and named is not None:
        instants, skipped = zones.to_instants(local, named, codes)
        expected = f"local times of {named}, whose clocks skip an hour in spring"
        values = pd.Series(local, frame.index).astype(str)
        refuse_rows(frame, skipped, where, expected, values, "Correct them, or name another zone with --zone.")
        if reading.zone is None:
            return instants, "wall" if got in ("datetime", "date") else got, zone
    if instants is None:
        return local, got, None
    if zone is not None and kind != "local":
        local = zones.to_local(instants, zone)
        days = len(np.unique(local - local.astype("datetime64[D]"))) == 1
    days = kind == "local" if kind in ("utc", "local") else days
    return (local if days else instants), "local" if days else "utc", zone or reading.zone


# ---- one column, or several


def _read(frame: Any, columns: list[str], where: str, notation: str | None, strict: bool) -> _Reading:
    if len(columns) > 1:
        words = [text(_dated(frame[c])).str.strip() for c in columns]
        joined = words[0].str.cat(words[1:], sep="|")
        return _words(frame, joined, where, notation, strict, columns)
    column = frame[columns[0]]
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if column.dtype.kind == "O" or pd.api.types.is_string_dtype(column.dtype):
        first = column.iloc[0]
        if isinstance(first, date) and not isinstance(first, datetime):
            return _Reading(_nanoseconds(frame, pd.to_datetime(column, errors="coerce"), column, where), "date")
        if isinstance(first, datetime | np.datetime64):
            column = _moments(column)
        elif isinstance(first, int | float | np.integer | np.floating) and not isinstance(first, bool):
            values, bad = to_numbers(column)
            refuse_rows(frame, bad, where, "whole numbers", column)
            column = pd.Series(values, column.index)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        local = column.dt.tz_localize(None)
        utc = column.dt.tz_convert("UTC").dt.tz_localize(None)
        stamps = [_nanoseconds(frame, part, column, where) for part in (local, utc)]
        return _Reading(stamps[0], "utc", None, stamps[1], str(column.dt.tz))
    if column.dtype.kind == "M":
        return _Reading(_nanoseconds(frame, column, column, where), "datetime")
    if column.dtype.kind in "iuf":
        return _numbers(frame, column, where, notation)
    words = column.astype(str)
    if pc.all(
        pc.match_substring_regex(
            pa.array(words.iloc[_sample(len(words))], pa.string()), r"^\s*[+-]?\d{1,19}(\.\d+)?\s*$"
        )
    ).as_py():
        numbers = pd.to_numeric(words, errors="coerce")
        if numbers.notna().all() and not (notation and "%" in notation and strict):
            return _numbers(frame, numbers, where, notation)
    return _words(frame, words, where, notation, strict, columns)


def _dated(column: Any) -> Any:
    """Whole days of a column of datetimes as text."""
    return column.dt.strftime("%Y-%m-%d") if column.dtype.kind == "M" else column


def _moments(column: Any) -> Any:
    aware = getattr(column.iloc[0], "tzinfo", None) is not None
    return pd.to_datetime(column, errors="coerce", utc=aware)


def _nanoseconds(frame: Any, column: Any, raw: Any, where: str) -> np.ndarray:
    values = column.to_numpy()
    wild = (values < FIRST) | (values >= LAST) | np.isnat(values)
    refuse_rows(frame, wild, where, "years 1678 to 2261", raw.astype(str))
    return values.astype("datetime64[ns]")


def _sample(rows: int) -> np.ndarray:
    """The first row, the last, and some between."""
    return np.unique(np.linspace(0, rows - 1, 64).astype(np.int64))


# ---- numbers


def _numbers(frame: Any, column: Any, where: str, notation: str | None) -> _Reading:
    """Whole numbers and serial days after the notation, or after the first that fits all rows."""
    values = column.to_numpy()
    if notation is not None and "|" not in notation:
        local, bad = _number(values, notation)
        expected = f"times written as {notation}"
        refuse_rows(frame, bad, where, expected, column, "Correct them, or name the notation with --time-format.")
        kind = "integer" if notation == "count" else notation
        return _Reading(local, kind, notation)
    low, high = values.min(), values.max()
    fits: list[str] = []
    for name, (digits, first, last) in COMPACT.items():
        scale = 10 ** (digits - 4)
        if first * scale <= low and high < (last + 1) * scale:
            share = _number(values, name)[1].mean()
            if share == 0:
                fits.append(name)
            elif share <= FEW and not fits:
                bad = _number(values, name)[1]
                todo = "Correct them; or say --time-format count if these are no dates"
                todo += ", %Y%W or %Y%U if the weeks are not ISO's." if name == "%G%V" else "."
                refuse_rows(frame, bad, where, f"dates written as {name}", column, todo)
    fits += [name for name, (first, last) in SPANS.items() if first <= low and high <= last and not fits]
    if not fits and values.dtype.kind == "f" and (values % 1 != 0).any() and low >= 18_264 and high <= 73_050:
        fits.append("excel")
    if not fits:
        local, bad = _number(values, "count")
        whole = (values % 1 == 0) & (np.abs(values) < 2**53) if values.dtype.kind == "f" else np.ones(len(values), bool)
        refuse_rows(frame, ~whole, where, "dates or whole numbers", column)
        refuse_rows(frame, bad, where, "whole numbers below 2**61", column)
        return _Reading(local, "integer", "count")
    local, _ = _number(values, fits[0])
    note = ()
    if fits[0] in MEANING:
        other = (
            f"{MEANING[fits[1]]} fit as well: --time-format {fits[1]}"
            if len(fits) > 1
            else "--time-format count reads them as they are"
        )
        note = (
            f"{where.capitalize()}: {column.iloc[0]} is read as {_short(local[0])}, from {MEANING[fits[0]]}; {other}.",
        )
    return _Reading(local, fits[0], fits[0], None, None, note)


def _number(values: np.ndarray, notation: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers after a notation, and a mask of those that it does not fit."""
    whole = values % 1 == 0 if values.dtype.kind == "f" else np.ones(len(values), bool)
    if notation == "count":
        bad = ~whole | (np.abs(values.astype(np.float64)) >= 2**61)
        return np.where(bad, 0, values).astype(np.int64), bad
    if notation in SPANS:
        size = UNITS.get(notation, DAY)
        days = (
            np.floor(np.where(np.isfinite(values), values, 0) * (size / DAY))
            if values.dtype.kind == "f"
            else values // (DAY // size)
        )
        bad = ~np.isfinite(values) | (np.abs(days) > (106_000 if notation != "excel" else 130_000))
        rest = np.where(bad, 0, values - days * (DAY // size))
        # Serial days and floats are rounded to what a float of their size holds.
        grain = 10**6 if notation == "excel" else 10**3 if values.dtype.kind == "f" else 1
        nanos = (
            np.rint(rest * (size / grain)).astype(np.int64) * grain
            if values.dtype.kind == "f"
            else rest.astype(np.int64) * size
        )
        start = EXCEL if notation == "excel" else np.datetime64(0, "ns")
        return start + (np.where(bad, 0, days).astype(np.int64) * DAY + nanos).astype("timedelta64[ns]"), bad
    width = sum(patterns.WIDTHS.get(part[-1], 0) for part in patterns.elements(notation) if part[0] == "%")
    numbers = pa.array(np.where(whole & (np.abs(values) < 2**62), values, -1).astype(np.int64))
    words = numbers.cast(pa.string())
    words = pc.utf8_lpad(words, width, "0") if re.fullmatch(r"(%[A-Za-z])+", notation) else words
    fields = patterns.read(words, notation)
    return fields.local, fields.bad | ~whole


# ---- words


def _words(frame: Any, words: Any, where: str, notation: str | None, strict: bool, columns: list[str]) -> _Reading:
    rows = _sample(len(words))
    iso = _iso(words, words.iloc[rows]) if len(columns) == 1 and notation is None else None
    if iso is not None:
        return iso
    words = words.str.strip()
    array, sample = pa.array(words, pa.string()), words.iloc[rows]
    if notation is not None:
        want("%" in notation, where, f"numbers, for --time-format {notation}", repr(words.iloc[0]))
        patterns.check(notation)
        fields = _fields(array, notation)
        if not fields.bad.any():
            return _reading(words, where, notation, fields, columns)
        todo = "Correct them, or name the notation of all rows with --time-format."
        refuse_rows(frame, fields.bad & strict, where, f"times written as {notation}", words, todo)
    zoned = np.asarray(pc.match_substring_regex(array, ZONED))
    if zoned.any():
        named = np.asarray(pc.match_substring_regex(array, r"[A-Za-z]{2}|\]$"))
        refuse_rows(frame, ~zoned & ~named, where, "a zone in every time or in none")
    chosen = dict.fromkeys(sample.iloc[k] for k in (0, len(sample) // 2, -1))
    proposals = list(dict.fromkeys(p for word in chosen for p in _propose(word, sample, columns)))
    proposals = [p for p in proposals if re.search("%-?[YGy]", p)]
    some = pa.array(sample, pa.string())
    readings = {p: _fields(array, p) for p in proposals if not patterns.read(some, p).bad.any()}
    whole = _plausible({p: fields for p, fields in readings.items() if not fields.bad.any()})
    if len({fields.local.tobytes() for fields in whole.values()}) > 1:
        one, other = list(whole)[:2]
        what = "month or quarter" if "%q" in one + other else "day or month first"
        todo = f"Say it with --time-format {one!r} or {other!r}, or write {ISO}."
        refuse(where, "dates that can be read in one way", f"{words.iloc[0]!r}, {what}", todo)
    if whole:
        pattern = next(iter(whole))
        return _reading(words, where, pattern, whole[pattern], columns)
    if zoned.all() and len(columns) == 1:  # rows of several shapes, such as with and without fractions of a second
        bare = words.str.replace(OFFSET, "", regex=True)
        local, utc = (pd.to_datetime(w, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None).to_numpy()
                      for w in (bare, words))  # fmt: skip
        if not (np.isnat(local) | np.isnat(utc)).any():
            minutes = (local - utc) / np.timedelta64(1, "m")
            fields = patterns.Fields(local.astype("datetime64[ns]"), np.zeros(len(local), bool), minutes, None)
            return _reading(words, where, "%Y-%m-%dT%H:%M:%S%z", fields, columns)
    masks = [_fields(array, p).bad for p in proposals]
    masks += [pd.to_datetime(words, format="ISO8601", errors="coerce", utc=True).isna().to_numpy(bool)]
    bad = name_rows(frame, min(masks, key=np.sum), words)
    refuse(where, ISO, bad, "Correct these rows, say how times are written with --time-format, or name another column.")


def _iso(words: Any, sample: Any) -> _Reading | None:
    """Days and times without a zone after ISO 8601, which is quick and what most files have; or None."""
    if not sample.str.match(r"\s*\d{4}([-/.])\d{1,2}\1\d|\d{8}T").all():
        return None
    with contextlib.suppress(ValueError, TypeError, FutureWarning), warnings.catch_warnings():
        warnings.simplefilter("error")  # zones in some rows
        times = pd.to_datetime(words, format="ISO8601")
        if times.dtype.kind == "M" and not isinstance(times.dtype, pd.DatetimeTZDtype):
            return _Reading(times.to_numpy().astype("datetime64[ns]"), "datetime")
    return None


def _fields(words: Any, pattern: str) -> patterns.Fields:
    """`patterns.read`, once for each different word."""
    coded = words.dictionary_encode()
    fields = patterns.read(coded.dictionary, pattern)
    rows = coded.indices.to_numpy()
    take = lambda part: None if part is None else part[rows]  # noqa: E731
    return patterns.Fields(fields.local[rows], fields.bad[rows], take(fields.minutes), take(fields.names))


def _plausible(whole: dict[str, patterns.Fields]) -> dict[str, patterns.Fields]:
    """Of 24-01-31 the reading that spans the shorter time, if the year may stand first or last."""
    early = {p: f for p, f in whole.items() if p.startswith("%y")}
    late = {p: f for p, f in whole.items() if p not in early}
    if not early or not late:
        return whole
    span = lambda part: min(float(np.ptp(f.local.astype(np.float64))) for f in part.values())  # noqa: E731
    return early if 4 * span(early) < span(late) else late


def _propose(word: str, sample: Any, columns: list[str]) -> list[str]:
    """The patterns of a word, which has a part for each of several columns."""
    if len(columns) == 1:
        return patterns.propose(word)
    parts = sample.str.split("|", expand=True)
    options = [_part(part, parts[k], name) for k, (part, name) in enumerate(zip(word.split("|"), columns, strict=True))]
    return ["|".join(choice) for choice in itertools.islice(itertools.product(*options), 64)]


def _part(word: str, sample: Any, name: str) -> list[str]:
    """The patterns of one of several columns: by its name, else by its values."""
    if not sample.str.fullmatch(r"\d{1,4}").all():
        if patterns.month(word):
            return ["%b"]
        if re.fullmatch(r"[QqWw]\d{1,2}", word):
            return [word[0] + ("%q" if word[0] in "Qq" else "%V")]
        return ["%Y%m%d"] if re.fullmatch(r"\d{8}", word) else patterns.propose(word)
    high = sample.astype(int).max()
    role = next((code for code, names in ROLES.items() if re.fullmatch(names, name.strip().lower())), None)
    if role == "%d" and high > 31:
        return ["%j"]
    if role is not None and not (role == "%H" and high > 24):
        return [role]
    if (sample.str.len() == 4).all() and sample.astype(int).between(1678, 2261).all():
        return ["%Y"]
    return ["%m"] if high <= 12 else ["%H"] if high <= 24 else ["%V"] if high <= 53 else ["%j", "%H%M"]


def _reading(words: Any, where: str, pattern: str, fields: patterns.Fields, columns: list[str]) -> _Reading:
    """What the fields of all rows say."""
    local, notes = fields.local, []
    codes = {part[-1] for part in patterns.elements(pattern) if part[0] == "%"}
    if "y" in codes:
        notes.append(f"{where.capitalize()}: years of two digits, {words.iloc[0]!r} is read as {_short(local[0])}.")
    zone, minutes, hints = None, fields.minutes, []
    if fields.names is not None:
        regions = sorted({name for name in fields.names if "/" in name})
        if regions:
            want(len(regions) == 1, where, "one zone in all rows", ", ".join(regions[:5]))
            zones.check(zone := regions[0], where)
        elif minutes is None:
            minutes, hints = zones.abbreviated(fields.names, where)
    instants = None
    if minutes is not None:
        instants = local - (60 * 10**9 * minutes.astype(np.int64)).astype("timedelta64[ns]")
        if zone is None:
            zone = zones.find(local, minutes, hints)
            if zone is None:
                notes.append(f"{where.capitalize()}: offsets of no single zone, read as UTC; --zone names one.")
                zone = "UTC"
            elif len(np.unique(minutes)) > 1 or hints:
                offsets = f"read as local times of {zone}, which has these offsets; --zone names another"
                notes.append(f"{where.capitalize()}: {offsets}.")
    kind = "utc" if instants is not None else pattern if len(columns) > 1 else "datetime"
    if kind == "datetime" and not codes & (patterns.DAYS | set("HIz")):
        rows = _sample(len(words))
        for old, new in (("", ""), ("%b", "%B"), ("%b", "%^b"), ("%b", "%^B"), ("%m", "%-m"), ("%V", "%-V")):
            form = pattern.replace(old, new) if old else pattern
            if (patterns.write(pd.Series(local[rows]), form).to_numpy() == words.iloc[rows].to_numpy()).all():
                kind = form
                break
    return _Reading(local, kind, pattern, instants, zone, tuple(notes))


def _short(time: np.datetime64) -> str:
    return str(pd.Timestamp(time)).removesuffix(" 00:00:00")


# ---- back to what the data had


def restore(moments: np.ndarray, kind: str, zone: str | None) -> Any:
    """Times as the data had them, as a pandas series: the same zone, Python dates, numbers such as 20240131."""
    flat = pd.Series(moments)
    if kind in UNITS or kind == "excel":
        start = EXCEL if kind == "excel" else np.datetime64(0, "ns")
        size = UNITS.get(kind, DAY)
        since = (moments - start).astype(np.int64)
        whole = kind in ("ms", "us", "ns") or bool((since % size == 0).all())
        return pd.Series((since + size // 2) // size if whole else since / size)
    if kind == "utc":
        return flat.dt.tz_localize("UTC").dt.tz_convert(zone or "UTC")
    if kind == "local":
        ambiguous = np.ones(len(flat), bool)
        return flat.dt.tz_localize(zone, ambiguous=ambiguous, nonexistent="shift_forward") if zone else flat
    if zone is not None:
        flat = pd.Series(zones.to_local(moments, zone))
    if kind == "date":
        return flat.dt.date
    if "%" in kind:
        words = patterns.write(flat, kind.replace("|", " "))
        return words.astype("int64") if re.fullmatch(r"(%[A-Za-z])+", kind) and words.str.isdecimal().all() else words
    return flat


def restore_columns(moments: np.ndarray, name: str, kind: str, zone: str | None) -> dict[str, Any]:
    """`restore` by the names of the columns that the data had: one, or several that hold parts of a time."""
    if "|" not in kind:
        return {name: restore(moments, kind, zone)}
    names = re.split(r"\s*,\s*", name.strip()) if "," in name else name.split()
    parts = {column: restore(moments, part, zone) for column, part in zip(names, kind.split("|"), strict=True)}
    return {column: words.astype("int64") if words.dtype == object and words.str.isdecimal().all() else words
            for column, words in parts.items()}  # fmt: skip
