"""Dates in words and in ISO 8601, the demo's data: `the third of May, '98` → `1998-05-03`.

Every pair is right by the calendar, weekdays included. A year of two digits has one meaning from `FIRST` to `LAST`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from gated._check import within

FIRST, LAST = 1930, 2029  # '30 to '99 and '00 to '29: no year of two digits means two
MAX_PAIRS = 200_000  # at once, of some millions of different ones
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
UNITS = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
TEENS = (
    "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth",
    "nineteenth",
)  # fmt: skip
FORMS = (  # a form that is listed twice is twice as frequent
    "{d} {m} {y}", "{d} {m} {y}", "{d}{th} {m} {y}", "{d}{th} of {m} {y}", "the {d}{th} of {m}, {y}",
    "the {word} of {m} {y}", "the {word} of {m}, {y}", "{m} {d}, {y}", "{m} {d}, {y}", "{m} {d}{th}, {y}",
    "{m} the {word}, {y}", "{y}, {m} {d}", "{w}, {d} {m} {y}", "{w}, {m} {d}, {y}", "{w} {d}{th} {m} {y}",
    "{w} the {word} of {m}, {y}",
)  # fmt: skip


def pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """`count` pairs of a date in words and in ISO 8601, with different sources; a seed gives the same ones.

    Days are uniform from 1930 to 2029. One in eight is written as the day before the next.
    """
    within("count", count, 0, MAX_PAIRS)
    rng = random.Random(seed)
    first, last = date(FIRST, 1, 1), date(LAST, 12, 31)
    made: dict[str, str] = {}
    while len(made) < count:
        day = first + timedelta(_below(rng, (last - first).days + 1))
        if _below(rng, 8) or day == last:
            text = words(day, rng)
        else:
            text = "the day before " + words(day + timedelta(1), rng)
        made.setdefault(_change_case(rng, text), day.isoformat())
    return list(made.items())


def words(day: date, rng: random.Random) -> str:
    """The day in one of the forms, its month and weekday whole or short, its year of four digits or of two."""
    short = _below(rng, 3) == 0
    month, weekday = MONTHS[day.month - 1], WEEKDAYS[day.weekday()]
    year = str(day.year) if _below(rng, 4) else _pick(rng, ("'", "")) + f"{day.year % 100:02d}"
    form = _pick(rng, FORMS)
    return form.format(
        d=day.day, th=suffix(day.day), word=ordinal(day.day), y=year if form[:3] != "{y}" else day.year,
        m=month[:3] + _pick(rng, ("", "", ".")) * (month != "May") if short else month,
        w=weekday[:3] if short else weekday,
    )  # fmt: skip


def suffix(n: int) -> str:
    """The ending of an ordinal: 1st, 2nd, 3rd, 4th, 11th, 21st."""
    return "th" if n // 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")


def ordinal(n: int) -> str:
    """An ordinal from 1 to 31 in a word."""
    tens, units = divmod(n, 10)
    if tens == 0:
        return UNITS[units]
    if tens == 1:
        return TEENS[units]
    return ("twent", "thirt")[tens - 2] + (f"y-{UNITS[units]}" if units else "ieth")


def _change_case(rng: random.Random, text: str) -> str:
    """As it is, mostly; else in small or in capital letters."""
    n = _below(rng, 10)
    return text.lower() if n < 2 else text.upper() if n == 2 else text


def _below(rng: random.Random, n: int) -> int:
    """A number from 0 to n - 1. Of all that a generator can draw, Python keeps only `random()` the same for ever."""
    return int(rng.random() * n)


def _pick(rng: random.Random, among: Sequence[Any]) -> Any:
    return among[_below(rng, len(among))]
