"""Clocks and calendars: the steps between two times, those that come next, seasons, and where a time stands in them.

A time t lies on a clock as  t = at(u) + shift,  u = u_0 + step · p,  with p its row in the series: u counts
nanoseconds, business days, months or open slots of a week since 1970, or is the integer itself, and the shift (an hour
of the day, a day of the month) is the same for all rows.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float

from gated._check import optional, refuse, want
from gated.features import grid, week
from gated.features.week import DAY

pd: Any = optional("pandas", "forecast")

HOUR = DAY // 24
TICKS = {"D": DAY, "h": DAY // 24, "min": DAY // 1440, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}  # nanoseconds
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
RULES = {"S": "first day", "E": "last day", "BE": "last business day", "BS": "first business day"}
EXAMPLES = "'D', 'B', 'h', '15min', 'W', 'MS', 'ME', 'QS', 'YS', 'D Mon-Sat', or a whole number for integer times"


@dataclass(frozen=True)
class Clock:
    """A unit of time and how many of it make one step."""

    unit: str  # "integer", "ns", "business", "month" or "slots"
    step: int
    rule: str = ""  # months only: a key of RULES, the day from which the shift is counted
    base: int = 0  # slots only: nanoseconds of a slot, and the slots of a week that occur (see `week`)
    open: tuple[int, ...] = ()


def parse(freq: str, where: str = "freq") -> Clock:
    """The clock of a frequency: pandas' alias (older ones, "H" or "M", as well), or the step of integer times."""
    if freq.strip().isdecimal() and 0 < int(freq) < 2**61:
        return Clock("integer", int(freq))
    alias, _, words = freq.strip().partition(" ")
    if words and alias[-1:].isalpha():
        clock = parse(alias, where)
        open = week.parse(words, clock.step) if clock.unit == "ns" else None
        if open is None:
            refuse(
                where, "a step and the part of the week, such as 'D Mon-Sat' or '15min Mon-Fri 09:30-15:45'", repr(freq)
            )
        return Clock("slots", 1, "", clock.step, open)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            offset = pd.tseries.frequencies.to_offset(_modern(freq))
    except (ValueError, TypeError):
        offset = None
    name = type(offset).__name__
    n = getattr(offset, "n", 0)
    want(n > 0, where, f"a frequency such as {EXAMPLES}", repr(freq))
    if name == "Week":
        return Clock("ns", 7 * n * DAY)
    if name == "BusinessDay":
        return Clock("business", n)
    calendar = re.fullmatch(r"(B?)(?:Business)?(Month|Quarter|Year)(Begin|End)", name)
    if calendar:
        months = {"Month": 1, "Quarter": 3, "Year": 12}[calendar[2]]
        business = "B" if name.startswith("B") else ""
        return Clock("month", n * months, business + calendar[3][0].replace("B", "S"))
    try:
        nanos = int(pd.Timedelta(offset).value)
    except (ValueError, TypeError, OverflowError):
        nanos = 0
    want(nanos > 0, where, f"a frequency such as {EXAMPLES}", repr(freq))
    return Clock("ns", nanos)


def _modern(freq: str) -> str:
    """Aliases as pandas spells them from 2.2 on."""
    old = {"H": "h", "T": "min", "S": "s", "M": "ME", "Q": "QE", "Y": "YE", "A": "YE", "AS": "YS", "BM": "BME"}
    match = re.fullmatch(r"(\d*)([A-Za-z]+)(-[A-Za-z]{3})?", freq.strip())
    return f"{match[1]}{old.get(match[2], match[2])}{match[3] or ''}" if match else freq


def name(clock: Clock, time: Any) -> str:
    """The alias of a clock on which this time lies: months and weeks take their anchor from it."""
    count = lambda k, alias: alias if k == 1 else f"{k}{alias}"  # noqa: E731
    if clock.unit == "integer":
        return str(clock.step)
    if clock.unit == "business":
        return count(clock.step, "B")
    if clock.unit == "ns":
        if clock.step % (7 * DAY) == 0:
            return count(clock.step // (7 * DAY), "W") + "-" + WEEKDAYS[pd.Timestamp(time).weekday()]
        alias = next(a for a, nanos in TICKS.items() if clock.step % nanos == 0)
        return count(clock.step // TICKS[alias], alias)
    if clock.unit == "slots":
        alias = name(Clock("ns", clock.base), time)
        return week.write(clock.base, alias, clock.open, int(np.datetime64(time, "ns").astype(np.int64) % clock.base))
    month = int(units(np.array([time], "datetime64[ns]"), clock)[0]) % 12
    business, edge = clock.rule[:-1], clock.rule[-1]
    if clock.step % 12 == 0:
        anchor = "" if month == (0 if edge == "S" else 11) else "-" + MONTHS[month]
        return count(clock.step // 12, f"{business}Y{edge}") + anchor
    if clock.step == 3:
        first = month % 3 if edge == "S" else (month % 3) + 9
        anchor = "" if first == (0 if edge == "S" else 11) else "-" + MONTHS[first]
        return f"{business}Q{edge}{anchor}"
    return count(clock.step, f"{business}M{edge}")


def units(times: np.ndarray, clock: Clock) -> np.ndarray:
    """u of each time, of the same shape."""
    if clock.unit in ("integer", "ns"):
        return times.astype(np.int64)
    if clock.unit == "month":
        return times.astype("datetime64[M]").astype(np.int64)
    if clock.unit == "slots":
        return week.units(times, clock.base, clock.open)
    return np.busday_count(np.datetime64("1970-01-01"), times.astype("datetime64[D]")).astype(np.int64)


def at(u: np.ndarray, clock: Clock) -> np.ndarray:
    """The times of u, before the shift: the inverse of `units` up to it."""
    if clock.unit == "integer":
        return u
    if clock.unit == "ns":
        return u.astype("datetime64[ns]")
    if clock.unit == "slots":
        return week.at(u, clock.base, clock.open)
    if clock.unit == "business":
        days = np.busday_offset(np.datetime64("1970-01-01"), u, roll="forward")
    else:
        start = u.astype("datetime64[M]").astype("datetime64[D]")
        end = (u + 1).astype("datetime64[M]").astype("datetime64[D]") - 1
        if clock.rule[0] == "B":
            start, end = np.busday_offset(start, 0, roll="forward"), np.busday_offset(end, 0, roll="backward")
        days = start if clock.rule[-1] == "S" else end
    return days.astype("datetime64[ns]")


def shift(times: np.ndarray, clock: Clock) -> np.ndarray:
    """What lies between each time and the clock's own day: zero for integers and plain durations."""
    return times - at(units(times, clock), clock)


def ahead(last: np.ndarray, freq: str, horizon: int) -> np.ndarray:
    """The next steps after these times, [N] -> [N, h]. Errors: a time past what 64 bits hold (the year 2262)."""
    clock = parse(freq)
    u = units(last, clock)[:, None] + clock.step * np.arange(1, horizon + 1)
    limits = {"integer": 2**61, "ns": 2**63 - DAY, "business": 76_000, "month": 292 * 12}
    fits = bool((np.abs(u[:, -1:]) < limits.get(clock.unit, 15_200 * len(clock.open))).all())
    want(fits, "horizon", "times before 2262", f"{horizon} steps of {freq}")
    return at(u, clock) + shift(last, clock)[:, None]


def infer(
    times: np.ndarray, codes: np.ndarray, ids: np.ndarray, say: Callable[[np.ndarray], str]
) -> tuple[str, int | None]:
    """The frequency that all series share, and the phase of the grid that times lie about, None if they lie on it.

    Dates at least 28 days apart are tried as months (on the same day, the last day, the first or last business day),
    dates without a weekend as business days; then a whole number of days or parts of a day, of which some never occur
    in a week (see `week`), or about which times jitter (see `grid`).

    times: [R] sorted by series and time. codes: [R] which series a row is of. ids: names of the series. say: names rows
    for errors, from a mask over R. Errors: times that do not lie on one clock; series with different steps.
    """
    inside = np.flatnonzero(codes[1:] == codes[:-1]) + 1  # rows that follow another of their series
    expected, todo = "a series of at least two times to infer it from", f"Say it with freq, for example {EXAMPLES}."
    want(len(inside) > 0, "frequency", expected, "one time in each series", todo)
    date = times.dtype.kind == "M"
    for candidate in _candidates(times, inside):
        gaps = _gaps(units(times, candidate), inside)
        step = _stride(gaps)
        if candidate.unit == "ns" and (step is None or (gaps > step).any()):
            base = int(np.gcd.reduce(gaps))
            open = week.infer(times, codes, base)
            if open is not None:
                return name(Clock("slots", 1, "", base, open), times[0]), None
        if step is None:
            continue
        _same_step(gaps, codes[inside], ids, step, candidate)
        return name(Clock(candidate.unit, step, candidate.rule), times[0]), None
    months = (_mixed_months(times, codes, inside) or _loose_months(times, inside)) if date else None
    if months is not None:
        return months, 0
    points = grid.infer(times, codes) if date else None
    if points is not None:
        step, phase = points
        return name(Clock("ns", step), np.datetime64(phase, "ns")), phase
    _refuse_odd(times, inside, say)


def _mixed_months(times: np.ndarray, codes: np.ndarray, inside: np.ndarray) -> str | None:
    """The frequency of months that some series stamp on the first day and others on the last."""
    start = np.array([shift(times, Clock("month", 1, "S")) == 0, shift(times, Clock("month", 1, "E")) == 0])
    by = np.array([np.bincount(codes, row) / np.bincount(codes) for row in start.astype(float)])
    if not ((by == 1).any(0).all() and (by[0] == 1).any()):
        return None
    step = _stride(_gaps(units(times, Clock("month", 1, "S")), inside))
    return None if step is None else name(Clock("month", step, "S"), times[0])


def _loose_months(times: np.ndarray, inside: np.ndarray, rule: str = "S") -> str | None:
    """The frequency of times once a month on no one day: last Fridays, or the 30th and the end of February."""
    gaps = _gaps(units(times, Clock("month", 1, rule)), inside)
    step = _stride(gaps) if gaps.min() > 0 and _gaps(times.astype(np.int64), inside).min() >= 20 * DAY else None
    days = (times - at(units(times, Clock("month", 1, "S")), Clock("month", 1, "S"))) // np.timedelta64(1, "D")
    ends = shift(times, Clock("month", 1, "E")).astype(np.int64)
    values, counts = np.unique(days, return_counts=True)
    usual = int(values[np.argmax(counts)])
    short = bool(((ends >= 0) & (days < usual))[days != usual].all())  # months that lack the day
    regular = max(
        np.unique(shift(times, Clock("month", 1, r)), return_counts=True)[1].max() / len(times) for r in RULES
    )
    loose = len(times) >= grid.ROWS and regular <= grid.REGULAR
    return name(Clock("month", step, rule), times[0]) if step is not None and (short or loose) else None


def find_grid(times: np.ndarray, codes: np.ndarray, clock: Clock) -> tuple[str, int] | None:
    """The name of a clock and the phase of its grid, if times lie beside the grid and not on it."""
    inside = np.flatnonzero(codes[1:] == codes[:-1]) + 1
    if clock.unit == "month" and len(inside) and len(np.unique(shift(times, clock))) > 1:
        months = _loose_months(times, inside, clock.rule)
        return None if months is None else (name(clock, times[0]), 0)
    if clock.unit != "ns" or len(np.unique(times.astype(np.int64) % clock.step)) == 1:
        return None
    points = grid.infer(times, codes, clock.step)
    return None if points is None else (name(clock, np.datetime64(points[1], "ns")), points[1])


def snap(times: np.ndarray, freq: str, phase: int) -> np.ndarray:
    """Times moved to the points of the grid beside them; for months, to the first day."""
    clock = parse(freq)
    return at(units(times, clock), clock) if clock.unit == "month" else grid.snap(times, clock.step, phase)


def _refuse_odd(times: np.ndarray, inside: np.ndarray, say: Callable[[np.ndarray], str]) -> NoReturn:
    """Refuse times on no clock: name the rows off the clock of most, or those behind other steps, if they are fewer."""
    gaps = _gaps(times.astype(np.int64), inside)
    values, counts = np.unique(gaps, return_counts=True)
    where, clock = "frequency", "times on one regular clock"
    if counts.max() == 1 and len(gaps) > 20:
        refuse(where, clock, "no two equal steps", "Resample them to regular steps.")
    usual = int(values[np.argmax(counts)])
    steps = np.zeros(len(times), bool)
    steps[inside[gaps % usual != 0]] = True
    words, odd = str(usual) if times.dtype.kind == "i" else length(usual), _off(times.astype(np.int64) % usual)
    if times.dtype.kind == "M" and np.median(gaps) >= 27 * DAY:
        months = [Clock("month", 1, rule) for rule in RULES]
        phases = [(times - at(units(times, month), month)).astype(np.int64) for month in months]
        words, odd = "one month", min(map(_off, phases), key=np.sum)
    got = f"others in {say(odd)}" if odd.sum() <= steps.sum() and odd.any() else f"other steps before {say(steps)}"
    todo = "Correct or resample these times, or say the step with freq if the gaps are meant."
    refuse(where, f"{clock} (the most frequent step is {words})", got, todo)


def _off(phase: np.ndarray) -> np.ndarray:
    """The rows whose phase is not that of most."""
    values, counts = np.unique(phase, return_counts=True)
    return phase != values[np.argmax(counts)]


def _candidates(times: np.ndarray, inside: np.ndarray) -> list[Clock]:
    if times.dtype.kind != "M":
        return [Clock("integer", 1)]
    clocks: list[Clock] = []
    gaps = _gaps(times.astype(np.int64), inside)
    if gaps.min() >= 28 * DAY:
        months = [Clock("month", 1, rule) for rule in RULES]
        clocks += [
            c for c in months if len(set(s := np.unique(shift(times, c)))) == 1 and 0 <= s[0].astype(int) < 28 * DAY
        ]
    days = times.astype("datetime64[D]")
    one_hour = len(np.unique(times - days)) == 1
    weekend = (gaps == 3 * DAY) & (np.is_busday(days[inside]) & (days[inside].astype(int) % 7 == 4))  # to a Monday
    if one_hour and gaps.min() == DAY and weekend.any() and bool(np.is_busday(days).all()):
        clocks.append(Clock("business", 1))
    return [*clocks, Clock("ns", 1)]


def _gaps(u: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """u minus the u before it, unsigned: two times may be further apart than 63 bits of nanoseconds."""
    return u[inside].astype(np.uint64) - u[inside - 1].astype(np.uint64)


def _stride(gaps: np.ndarray) -> int | None:
    """The step of which all gaps are multiples, if it is itself a gap and no longer one is more than half of them."""
    values, counts = np.unique(gaps, return_counts=True)
    step, usual = int(np.gcd.reduce(values)), int(np.argmax(counts))
    return step if step == values[0] and (usual == 0 or 2 * counts[usual] <= counts.sum()) else None


def _same_step(gaps: np.ndarray, codes: np.ndarray, ids: np.ndarray, step: int, clock: Clock) -> None:
    """No series of five times or more may keep to a longer step of its own."""
    by = pd.Series(gaps).groupby(codes).agg(["min", "median", "size"])
    own = by[(by["min"] > step) & (by["median"] == by["min"]) & (by["size"] >= 4)]
    if len(own):
        other = by[by["min"] == step].index[0]
        words = (
            length if clock.unit == "ns" else (lambda k: f"{k} {clock.unit.replace('integer', 'unit')}" + "s" * (k > 1))
        )
        refuse(
            "frequency", "the same step in all series",
            f"{words(step)} in {ids[other]!r} and {words(int(own['min'].iloc[0]))} in {ids[own.index[0]]!r}"
            + (f" (and {len(own) - 1} more)" if len(own) > 1 else ""),
            "Fit them apart, resample them, or say the step with freq if the gaps are meant.",
        )  # fmt: skip


def length(nanos: int) -> str:
    """A duration in words: '30 minutes'."""
    words = {"D": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond", "us": "microsecond"}
    alias = next(a for a, size in TICKS.items() if nanos % size == 0)
    count = nanos // TICKS[alias]
    return f"{count} {words.get(alias, 'nanosecond')}" + "s" * (count != 1)


# ---- what a network reads of a time


def seasons(freq: str) -> tuple[int, int]:
    """Steps in the shortest season m of a frequency, and in the next longer one (0: none).

    A day for what is finer than a day, and then a week; else a week, or a year. Integer times and steps below a second
    have no season (m = 1).
    """
    clock = parse(freq)
    if clock.unit == "integer":
        return 1, 0
    if clock.unit == "slots":
        return week.season(clock.base, clock.open)
    if clock.unit in ("business", "month"):
        cycle = 5 if clock.unit == "business" else 12
        return (cycle // clock.step, 0) if cycle % clock.step == 0 else (1, 0)
    if clock.step < 10**9:
        return 1, 0
    if clock.step < DAY:
        per = DAY // clock.step
        hour = per // 24  # where a day is too many steps, the hour comes first
        return (per, 7 * per) if per <= 192 else (hour, per) if hour > 1 else (per, 0)
    weeks = clock.step // (7 * DAY)
    if weeks:
        return (52 // weeks, 0) if weeks <= 26 else (1, 0)
    return (7, 0) if clock.step == DAY else (1, 0)


def encode(times: np.ndarray, freq: str) -> Float[np.ndarray, "L c"]:
    """Hour of the day and day of the week on circles: what matters to people and no season index can know.

    Months and longer steps have none: their season says it all, and the year itself would be memorised.
    """
    clock = parse(freq)
    if clock.unit in ("integer", "month") or (clock.unit == "ns" and clock.step > DAY):
        return np.zeros((len(times), 0))
    day = times.astype("datetime64[ns]").astype(np.int64) / DAY
    angles = [2 * np.pi * (np.floor(day) + 3) / 7 * k for k in (1, 2, 3)]
    if (clock.unit == "ns" and clock.step < DAY) or (clock.unit == "slots" and clock.base < DAY):
        angles.append(2 * np.pi * day)
    return np.stack([f(a) for a in angles for f in (np.sin, np.cos)], -1)
