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
from gated.io import epochs, patterns, zones
from gated.io.epochs import MEANING, SPANS, UNITS
from gated.io.numbers import to_arrow
from gated.io.tables import describe_end, name_rows, refuse_rows, text, to_numbers

pd: Any = optional("pandas", "forecast")
pa: Any = optional("pyarrow", "forecast")
pc: Any = optional("pyarrow.compute", "forecast")

FIRST, LAST = np.datetime64("1678-01-01"), np.datetime64("2262-01-01")  # what 64 bits of nanoseconds hold
ISO = "dates such as 2024-01-31 or 2024-01-31T13:30, years 1678 to 2261"
OFFSET = r"(?:Z|[+-]\d\d:?(?:\d\d)?)$"
ZONED = r"(?:\d\d:\d\d|T\d{4}).*" + OFFSET
LEAP = "59:?60([^0-9]|$)"
TIDY = {
    "[\u00a0\u2009\u202f]": " ", "\u2212": "-", r"(?i)(\d)(?:st|nd|rd|th|er)\b": r"\1", r"(?i) (?:of|de) ": " ",
    r"([+-]\d{4}) \([^)]*\)$": r"\1", r"^\[(.*)\]$": r"\1",
}  # fmt: skip
UNTIDY = "[\u00a0\u2009\u202f\u2212]|" + r"(?i)\d(?:st|nd|rd|th|er)\b| (?:of|de) |\)$|^\["
KINDS = ("integer", "datetime", "date", "utc", "wall", "local", *UNITS, "excel")  # and patterns
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
        missing = frame[column].isna().to_numpy(bool)
        todo = describe_end(frame, missing) or "Fill it in, or leave these rows out."
        refuse_rows(frame, missing, f"column {column!r}", "a time in every row", todo=todo)
    if kind is not None:
        notation = notation or _notation_of(kind)
    elif notation is not None and notation not in (*SPANS, "count"):
        parts = notation.split()
        notation = "|".join(parts) if len(columns) > 1 and len(parts) == len(columns) else notation
        patterns.check(notation)
    reading = _read(frame, columns, where, notation, kind is None)
    if reading.local.dtype.kind == "M":
        moments = reading.local if reading.instants is None else reading.instants
        wild = (moments < FIRST) | (moments >= LAST) | np.isnat(moments)
        if wild.any():
            refuse_rows(frame, wild, where, "years 1678 to 2261", frame[columns[0]].astype(str))
    values, got, zone = _place(frame, reading, where, kind, zone, codes)
    if kind is not None and _family(got) != _family(kind) and (kind, got) != ("wall", "utc"):
        first = name_rows(frame, np.arange(len(frame)) < 1, frame[columns[0]])
        refuse(where, f"times as they were when fitted ({kind})", f"{got}: {first}")
    return Times(values, kind or got, zone, reading.notation, reading.notes)


def _notation_of(kind: str) -> str | None:
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
    days = _whole_days(local)
    named = reading.zone or (None if kind is None and days else zone)
    if instants is None and named is not None:
        instants, skipped = zones.to_instants(local, named, codes)
        expected = f"local times of {named}, whose clocks skip an hour in spring"
        if skipped.any():
            values = pd.Series(local, frame.index).astype(str)
            refuse_rows(frame, skipped, where, expected, values, "Correct them, or name another zone with --zone.")
        if reading.zone is None:
            return instants, "wall" if got in ("datetime", "date") else got, zone
    if instants is None:
        return local, got, None
    if zone is not None:
        local = zones.to_local(instants, zone)
    days = _whole_days(local) if kind is None else kind == "local"
    return (local if days else instants), "local" if days else "utc", zone or reading.zone


def _whole_days(local: np.ndarray) -> bool:
    """Whether all times have one time of day: between these a change of the clocks does not matter."""
    hours = local - local.astype("datetime64[D]")
    return bool((hours == hours[0]).all())


# ---- one column, or several


def _read(frame: Any, columns: list[str], where: str, notation: str | None, strict: bool) -> _Reading:
    if len(columns) > 1:
        words = [text(_to_text(frame[c])).str.replace("|", "¦", regex=False).str.strip() for c in columns]
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
        zone = str(column.dt.tz)
        if not zones.is_zone(zone):  # an offset that a library names in its own way
            zone = zones.find(stamps[0], (stamps[0] - stamps[1]) / np.timedelta64(1, "m"))
        return _Reading(stamps[0], "utc", None, stamps[1], zone)
    if column.dtype.kind == "M":
        return _Reading(_nanoseconds(frame, column, column, where), "datetime")
    if column.dtype.kind in "iuf":
        return _numbers(frame, column, where, notation)
    words = column if pd.api.types.infer_dtype(column, skipna=False) == "string" else column.astype(str)
    if pc.all(
        pc.match_substring_regex(to_arrow(words.iloc[_sample(len(words))]), r"^\s*[+-]?\d{1,19}(\.\d+)?\s*$")
    ).as_py():
        numbers = pd.to_numeric(words, errors="coerce")
        if numbers.notna().all() and not (notation and "%" in notation and strict):
            return _numbers(frame, numbers, where, notation)
    return _words(frame, words, where, notation, strict, columns)


def _to_text(column: Any) -> Any:
    """Whole days of a column of datetimes as text."""
    return column.dt.strftime("%Y-%m-%d") if column.dtype.kind == "M" else column


def _moments(column: Any) -> Any:
    aware = getattr(column.iloc[0], "tzinfo", None) is not None
    return pd.to_datetime(column, errors="coerce", utc=aware)


def _nanoseconds(frame: Any, column: Any, raw: Any, where: str) -> np.ndarray:
    values = column.to_numpy()
    wild = (values < FIRST) | (values >= LAST) | np.isnat(values)
    if wild.any():
        refuse_rows(frame, wild, where, "years 1678 to 2261", raw.astype(str))
    return values.astype("datetime64[ns]")


def _sample(rows: int) -> np.ndarray:
    """The first row, the last, and some between."""
    return np.unique(np.linspace(0, rows - 1, 64).astype(np.int64))


# ---- numbers


def _numbers(frame: Any, column: Any, where: str, notation: str | None) -> _Reading:
    """Numbers after the notation, or after the first that fits all rows."""
    values = column.to_numpy()
    refuse_rows(frame, ~np.isfinite(values), where, "dates or whole numbers", column)
    if notation is not None and "|" not in notation:
        local, bad = epochs.read(values, notation)
        todo = "Correct them, or name the notation with --time-format."
        refuse_rows(frame, bad, where, f"times written as {notation}", column, todo)
        return _Reading(local, "integer" if notation == "count" else notation, notation)
    fits, nearly = epochs.fit(values)
    if nearly:
        todo = "Correct them; or say --time-format count if these are no dates"
        todo += ", %Y%W or %Y%U if the weeks are not ISO's." if nearly[0] == "%G%V" else "."
        refuse_rows(frame, epochs.read(values, nearly[0])[1], where, f"dates written as {nearly[0]}", column, todo)
    if not fits:
        local, bad = epochs.read(values, "count")
        whole = (values % 1 == 0) & (np.abs(values) < 2**53) if values.dtype.kind == "f" else np.ones(len(values), bool)
        todo = "If these are seconds, say --time-format s; if they are Excel's days, --time-format excel."
        refuse_rows(frame, ~whole, where, "dates or whole numbers", column, todo)
        refuse_rows(frame, bad, where, "whole numbers below 2**61", column)
        early = [name for name in UNITS if epochs.may_be_early(values, name)]
        note = f"{where.capitalize()}: {column.iloc[0]} is read as a count; --time-format {{}} reads {{}}."
        return _Reading(local, "integer", "count", None, None, tuple(note.format(n, MEANING[n]) for n in early))
    (name, *others), notes = fits, ()
    local, _ = epochs.read(values, name)
    if name in MEANING:
        more = "--time-format count reads them as they are"
        if others:
            more = f"{MEANING[others[0]]} fit as well: --time-format {others[0]}"
        notes = (
            f"{where.capitalize()}: {column.iloc[0]} is read as {_short(local[0])}, from {MEANING[name]}; {more}.",
        )
    return _Reading(local, name, name, None, None, notes)


# ---- words


def _words(frame: Any, words: Any, where: str, notation: str | None, strict: bool, columns: list[str]) -> _Reading:
    rows = _sample(len(words))
    iso = _iso(words, words.iloc[rows].astype(object)) if len(columns) == 1 and notation is None else None
    if iso is not None:
        return iso
    words = words.astype(object).str.strip()
    tidy = _tidy(words)
    if notation is not None:
        want("%" in notation, where, f"numbers, for --time-format {notation}", repr(words.iloc[0]))
        patterns.check(notation)
        for written in (words, tidy):
            fields = _fields(to_arrow(written), notation)
            if not fields.bad.any():
                return _reading(words, where, notation, fields, columns)
        todo = "Correct them, or name the notation of all rows with --time-format."
        refuse_rows(frame, fields.bad & strict, where, f"times written as {notation}", words, todo)
    words, array, sample = tidy, to_arrow(tidy), tidy.iloc[rows]
    zoned = np.asarray(pc.match_substring_regex(array, ZONED))
    if zoned.any():
        named = np.asarray(pc.match_substring_regex(array, r"[A-Za-z]{2}|\]$"))
        refuse_rows(frame, ~zoned & ~named, where, "a zone in every time or in none")
    chosen = dict.fromkeys(sample.iloc[k] for k in (0, len(sample) // 2, -1))
    proposals = list(dict.fromkeys(p for word in chosen for p in _propose(word, sample, columns)))
    proposals = [p for p in proposals if re.search("%-?[YGy]", p)]
    some = to_arrow(sample)
    readings = {p: _fields(array, p) for p in proposals if not patterns.read(some, p).bad.any()}
    whole = _plausible({p: fields for p, fields in readings.items() if not fields.bad.any()})
    if len({fields.local.tobytes() for fields in whole.values()}) > 1:
        one, other = list(whole)[:2]
        what = "month or quarter" if "%q" in one + other else "day or month first"
        todo = f"Say it with --time-format {one!r} or {other!r}, or write {ISO}."
        refuse(where, "dates that can be read in one way", f"{words.iloc[0]!r}, {what}", todo)
    if whole:
        pattern = next(iter(whole))
        if re.fullmatch(r"%b\W*%y", pattern):
            _refuse_yearless(words, where, pattern, whole[pattern].local)
        return _reading(words, where, pattern, whole[pattern], columns)
    if zoned.all() and len(columns) == 1:  # rows of several shapes, such as with and without fractions of a second
        bare = words.str.replace(OFFSET, "", regex=True)
        local, utc = (pd.to_datetime(w, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None).to_numpy()
                      for w in (bare, words))  # fmt: skip
        minutes, known = (local - utc) / np.timedelta64(1, "m"), ~np.isnat(local) & ~np.isnat(utc)
        if known.all() and not patterns.no_offsets(local, minutes, known).any():
            fields = patterns.Fields(local.astype("datetime64[ns]"), np.zeros(len(local), bool), minutes, None)
            return _reading(words, where, "%Y-%m-%dT%H:%M:%S%z", fields, columns)
    masks = [_fields(array, p).bad for p in proposals]
    masks += [pd.to_datetime(words, format="ISO8601", errors="coerce", utc=True).isna().to_numpy(bool)]
    bad = min(masks, key=np.sum)
    yearless = re.fullmatch(r"(\d\d?)(\W*)([^\W\d]+\.?)", words.iloc[0])
    if yearless and patterns.month(yearless[3]):
        years = f", or say --time-format '%y{yearless[2]}%b' if the numbers are years"
        todo = f"Write the years{years if len(yearless[1]) == 2 else ''}."
        refuse(where, "a year in every time", repr(words.iloc[0]), todo)
    bad = bad if bad.any() else ~bad
    todo = "Correct these rows, say how times are written with --time-format, or name another column."
    refuse(where, ISO, name_rows(frame, bad, words), f"{describe_end(frame, bad)} {todo}".strip())


def _tidy(words: Any) -> Any:
    """Words with plain spaces and signs, and without what varies beside numbers: 1st, 1er, 31 de enero de 2024."""
    if pc.any(pc.match_substring_regex(to_arrow(words), UNTIDY)).as_py():
        for old, new in TIDY.items():
            words = words.str.replace(old, new, regex=True)
    return words


def _refuse_yearless(words: Any, where: str, pattern: str, local: np.ndarray) -> None:
    """Refuse Jan 01, Jan 02, ... if they go on as days of months rather than as months of years."""
    months = local.astype("datetime64[M]").astype(np.int64)
    number, days = months // 12 - 30, 100 * (months % 12) + months // 12  # since 2000, in order as days
    turns = lambda order: min((np.diff(order) < 0).sum(), (np.diff(order) > 0).sum())  # noqa: E731
    alone = np.ptp(months % 12) == 0 and np.ptp(number) > 0  # of one month
    if number.min() >= 1 and number.max() <= 31 and (alone or turns(days) < turns(months)):
        todo = f"Write the years, or say --time-format {pattern!r} if these are the numbers."
        refuse(where, "a year in every time", repr(words.iloc[0]), todo)


def _iso(words: Any, sample: Any) -> _Reading | None:
    """Days and times without a zone after ISO 8601, which is quick and what most files have; or None."""
    if not sample.str.match(r"\s*\d{4}([-/.])\d{1,2}\1\d|\d{8}T").all():
        return None
    with contextlib.suppress(pa.ArrowException):  # the quickest, of years, months and days of full width
        return _Reading(pc.cast(to_arrow(words), pa.timestamp("ns")).to_numpy(zero_copy_only=False), "datetime")
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
    choices = ["|".join(choice) for choice in itertools.islice(itertools.product(*options), 64)]
    codes = {p: re.findall("%-?([A-Za-z])", p) for p in choices}
    twice = lambda c: len(set(c)) < len(c) or ("d" in c and bool({"V", "j"} & set(c)))  # noqa: E731
    return [p for p in choices if not twice(codes[p])]  # 1 to 96 beside a date is neither its week nor its day


def _part(word: str, sample: Any, name: str) -> list[str]:
    """The patterns of one of several columns: by its name, else by its values."""
    if not sample.str.fullmatch(r"\d{1,4}").all():
        if patterns.month(word):
            return ["%b"]
        if re.fullmatch(r"[QqWw]\d{1,2}", word):
            return [word[0] + ("%q" if word[0] in "Qq" else "%V")]
        if sample.str.fullmatch(r"\d{1,6}").all():
            return ["%H%M%S"]
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
    if "S" in codes:
        leap = np.asarray(pc.match_substring_regex(to_arrow(words), LEAP)) & (
            local.astype(np.int64) % (60 * 10**9) == 0
        )
        if leap.any():
            k = int(np.argmax(leap))
            notes.append(f"{where.capitalize()}: {words.iloc[k]!r}, a leap second, is read as {_short(local[k])}.")
    zone, minutes, hints = None, fields.minutes, []
    if fields.names is not None:
        regions = sorted({name for name in fields.names if "/" in name})
        if regions:
            want(len(regions) == 1, where, "one zone in all rows", ", ".join(regions[:5]))
            zones.check(zone := regions[0], where)
        elif minutes is None:
            minutes, hints = zones.read_names(fields.names, where)
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
    if kind in SPANS:
        return pd.Series(epochs.write(moments, kind))
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
