"""Patterns of times: strptime's codes, and %q, the quarter; proposed from a word, read and written a column at once.

Reading is lenient where people are: 1/2/2024 fits %m/%d/%Y, names of months are known in several languages, 24:00 is
00:00 of the next day, 23:59:60 as well, and a name of a weekday fits %a whatever day it is.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gated._check import optional, refuse, want

pd: Any = optional("pandas", "forecast")
pa: Any = optional("pyarrow", "forecast")
pc: Any = optional("pyarrow.compute", "forecast")

WIDTHS = dict(Y=4, G=4, y=2, m=2, d=2, H=2, I=2, M=2, S=2, j=3, V=2, W=2, U=2, u=1, w=1, q=1)  # most digits of a code
FULL = {"Y": r"\d{4}", "G": r"\d{4}", "y": r"\d{2}", "q": "[1-4]", "u": "[1-7]", "w": "[0-6]", "f": r"\d{1,9}"}
WORDS = {
    "b": r"\p{L}+\.?", "a": r"\p{L}+\.?", "p": r"[AaPp]\.?[Mm]\.?",
    "z": r"(?:UTC|GMT)?(?:Z|[+-]\d{1,2}(?::?\d\d)?)", "Z": r"[A-Za-z][A-Za-z_]*(?:/[A-Za-z0-9_+-]+)*",
}  # fmt: skip
SHORT = {"%B": "%b", "%h": "%b", "%A": "%a", "%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y"}
ELEMENT = re.compile(r"%[-^]?[A-Za-z]|%%|[^%]+|%")
DAYS = set("djuwaWU")  # codes that name a day
MONTHS = [line.split() for line in (
    "january february march april may june july august september october november december",
    "januar februar marz april mai juni juli august september oktober november dezember",
    "janner feber maerz april mai juni juli august september oktober november dezember",
    "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart april mei juni juli augustus september oktober november december",
)]  # fmt: skip
SHORTENED = {"sept": 9, "mrz": 3, "mrt": 3}  # in English, German and Dutch: no beginnings of the names
WEEKDAYS = [word for line in (
    "monday tuesday wednesday thursday friday saturday sunday",
    "montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag",
    "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "lunes martes miercoles jueves viernes sabado domingo",
    "lunedi martedi mercoledi giovedi venerdi sabato domenica",
    "segunda terca quarta quinta sexta sabado domingo",
    "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
) for word in line.split()]  # fmt: skip


class Fields(NamedTuple):
    """What the words of a column say: local times, and their zones."""

    local: np.ndarray  # [R] datetime64[ns]
    bad: np.ndarray  # [R] words that do not fit
    minutes: np.ndarray | None  # [R] offset from UTC, NaN without one
    names: np.ndarray | None  # [R] of zones


def _fold(word: str) -> str:
    return unicodedata.normalize("NFKD", word.lower()).encode("ascii", "ignore").decode().strip(".")


@cache
def month(word: str) -> int:
    """The number of a month's name, or of three letters of it and more; 0 if it is none."""
    plain = _fold(word)
    numbers = {k for names in MONTHS for k, name in enumerate(names, 1) if len(plain) > 2 and name.startswith(plain)}
    numbers = {SHORTENED[plain]} if plain in SHORTENED else numbers
    return numbers.pop() if len(numbers) == 1 else 0


def weekday(word: str) -> bool:
    """Whether a word is a weekday's name, or two letters of it and more."""
    plain = _fold(word)
    return len(plain) > 1 and any(name.startswith(plain) for name in WEEKDAYS)


def elements(pattern: str) -> list[str]:
    """The codes of a pattern, short forms replaced, and what stands between them."""
    return ELEMENT.findall(ELEMENT.sub(lambda part: SHORT.get(part[0], part[0]), pattern))


def check(pattern: str, where: str = "--time-format") -> None:
    """Refuse a pattern that cannot be read, or that says no year."""
    regex(pattern)
    codes = {part[-1] for part in elements(pattern) if part[0] == "%"}
    expected = "a pattern with a year, or s, ms, us, ns, excel, count"
    want(bool(codes & set("YGy")), where, expected, repr(pattern))


@cache
def regex(pattern: str) -> str:
    """The regular expression of a pattern, in RE2's dialect. Errors: no pattern that can be read."""
    parts, out, used = elements(pattern), [], set()
    size = next((n for n in (2, 3) if parts[-n:] == ["%H", "%M", "%S"][:n] and "|" in parts[-n - 1 : -n]), 0)
    clock = len(parts) - size if size else len(parts)  # a column of whole numbers
    for k, part in enumerate(parts):
        code = part[-1]
        if part[0] != "%" or part == "%%":
            out.append(re.sub(r"(?:\\?\s)+", r"\\s+", re.escape(part.replace("%%", "%"))))
            continue
        if code not in WIDTHS and code not in WORDS and code != "f":
            refuse("--time-format", "codes of strptime, or %q for quarters", f"{part!r} in {pattern!r}")
        if code in used:
            refuse("--time-format", "each code once", f"{part!r} twice in {pattern!r}")
        used.add(code)
        beside = any(0 <= i < len(parts) and parts[i][0] == "%" and parts[i][-1] in WIDTHS for i in (k - 1, k + 1))
        digits = rf"\d{{{'' if beside else '1,'}{WIDTHS.get(code, 9)}}}"
        group = FULL.get(code) or WORDS.get(code) or digits
        if k >= clock:  # 30 beside a date is half past midnight
            group = r"\d{1,2}" if k == len(parts) - 1 else r"\d{0,2}?"
        out.append(group if code == "a" else f"(?P<{code}>{group})")
    return "^" + "".join(out) + "$"


def read(words: Any, pattern: str) -> Fields:
    """The words of an Arrow array as times, after the pattern."""
    table = pc.extract_regex(words, regex(pattern))
    bad = np.asarray(table.is_null())
    part: dict[str, np.ndarray] = {}
    for k, name in enumerate(table.type):
        column = pc.struct_field(table, [k])
        if name.name in WIDTHS:
            digits = pc.replace_substring_regex(pc.fill_null(column, "1"), "^$", "0")
            part[name.name] = pc.cast(digits, pa.int64()).to_numpy()
        elif name.name == "f":
            part["f"] = pc.cast(pc.utf8_rpad(pc.fill_null(column, "0"), 9, "0"), pa.int64()).to_numpy()
        else:
            words = column.dictionary_encode()
            values = np.array([_word(name.name, word) for word in words.dictionary.to_pylist()] or [0], object)
            part[name.name] = values[pc.fill_null(words.indices, 0).to_numpy()]
    local, wrong = assemble(part, len(bad))
    minutes = part["z"].astype(np.float64) if "z" in part else None
    if minutes is not None:
        wrong |= no_offsets(local, minutes, ~bad)
    return Fields(local, bad | wrong, minutes, part.get("Z"))


def no_offsets(local: np.ndarray, minutes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The offsets that no zone has; all, if in these rows they follow the time of day: 01:00-02:00 is a span."""
    wild = (minutes < -720) | (minutes > 840)
    clock = (local - local.astype("datetime64[D]")) // np.timedelta64(1, "m")
    ends = (clock + minutes)[rows] % 1440
    return wild | (len(np.unique(minutes[rows])) > 1 and len(np.unique(ends)) == 1)


def _word(code: str, word: str) -> Any:
    if code == "b":
        return month(word)
    if code == "p":
        return int(word[0] in "Pp")
    if code == "Z":
        return word
    sign, digits = (-1 if "-" in word else 1), re.sub(r"\D", "", word)
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "")
    return sign * (60 * int(hours or 0) + int(minutes or 0))


def assemble(part: dict[str, np.ndarray], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Times [R] datetime64[ns] of the numbers under each code, and where they make none."""
    bad, one = np.zeros(rows, bool), np.ones(rows, np.int64)
    for code, low, high in (("m", 1, 12), ("b", 1, 12), ("d", 1, 31), ("j", 1, 366), ("V", 1, 53), ("W", 0, 53),
                            ("U", 0, 53), ("H", 0, 24), ("I", 1, 12), ("M", 0, 59), ("S", 0, 60)):  # fmt: skip
        if code in part:
            bad |= (part[code].astype(np.int64) < low) | (part[code].astype(np.int64) > high)
    year = part.get("Y", part.get("G", part.get("y", 1970 * one)))
    year = np.where(year < 69, 2000, 1900) + year if "y" in part else year
    bad |= (year < 1678) | (year > 2261)
    year = np.where(bad, 2000, year)
    number = lambda code, value=0: np.where(bad, value, part.get(code, value * one).astype(np.int64))  # noqa: E731
    start = (year - 1970).astype("datetime64[Y]")
    first = start.astype("datetime64[D]")
    monday = lambda days: days - (days.astype(np.int64) + 3) % 7  # noqa: E731
    if "V" in part:
        days = monday(first + 3) + 7 * (number("V", 1) - 1) + number("u", 1) - 1
        bad |= (monday(days) + 3).astype("datetime64[Y]") != start
    elif "W" in part or "U" in part:
        sunday = "U" in part
        weekday = number("w", 0) if "w" in part else number("u", 7 if sunday else 1) % 7
        week, day = number("U" if sunday else "W"), weekday if sunday else (weekday - 1) % 7
        before = (first.astype(np.int64) + (4 if sunday else 3)) % 7  # days from the week's first to New Year
        days = first - before + 7 * (week - (before == 0)) + day
    elif "j" in part:
        days = first + number("j", 1) - 1
        bad |= days.astype("datetime64[Y]") != start
    else:
        months = number("b", 1) if "b" in part else 3 * number("q", 1) - 2 if "q" in part else number("m", 1)
        begin = start.astype("datetime64[M]") + months - 1
        days = begin.astype("datetime64[D]") + number("d", 1) - 1
        bad |= days.astype("datetime64[M]") != begin
    bad |= (number("S") == 60) & (number("M") != 59)  # of a leap second
    hours = number("H")
    if "I" in part:
        hours = number("I", 12) % 12 + 12 * number("p")
    seconds = 3600 * hours + 60 * number("M") + number("S")
    bad |= seconds > 86_400
    nanos = 10**9 * np.where(bad, 0, seconds) + number("f")
    bad |= (hours == 24) & (number("f") > 0)
    return days.astype("datetime64[ns]") + nanos.astype("timedelta64[ns]"), bad


# ---- from a word to the patterns that it may have

TIME = re.compile(
    r"(?P<gap>[T_]|(?<=\d{4}):|,?\s+(?:(?:at|um|à)\s+)?|^)(?P<H>\d{1,2})"
    r"(?:(?P<c>[:.h])(?P<M>\d\d)(?:(?P<c2>[:.m])(?P<S>\d\d)(?P<f>[.,]\d{1,9})?)?(?P<half>\s*[AaPp]\.?[Mm]\.?(?![A-Za-z]))?"
    r"|(?P<only>\s*[AaPp]\.?[Mm]\.?(?![A-Za-z]))|(?=\s*(?:Uhr|hrs|h)\b))(?P<unit>\s*(?:Uhr|hrs|h)\b)?"
    r"(?P<offset>\s*(?:UTC|GMT)?(?:Z|[+-]\d{1,2}(?::?\d\d)?))?"
    r"(?:(?P<open>\s*[\[(]?)(?P<Z>[A-Za-z][A-Za-z_]*(?:/[A-Za-z0-9_+-]+)*)(?P<close>[\])]?))?$"
)  # fmt: skip
LEADING = re.compile(r"(\d{1,2}:\d\d)(:\d\d)?(,?\s+)(?=\S)")  # a time before its date
CTIME = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d( [A-Z]{3,4})? \d{4}$")  # of date and of C
TOKEN = re.compile(r"(\d+|[^\W\d_年月日년월일]+\.?)")
PLAIN = {  # tokens of a date, n a number of one or two digits, w a month's name: the fields they may be
    "4 n n": ["Y m d"], "n n 4": ["d m Y", "m d Y"], "n n 2": ["d m y", "m d y", "y m d"], "n w 4": ["d b Y"],
    "n w 2": ["d b y"], "4 w n": ["Y b d"], "w n 4": ["b d Y"], "w n 2": ["b d y"], "4 1": ["Y m", "Y q"],
    "4 2": ["Y m"], "1 4": ["m Y", "q Y"], "2 4": ["m Y"], "4 3": ["Y j"], "w 4": ["b Y"], "4 w": ["Y b"],
    "w 2": ["b y"], "8": ["Ymd"], "8 4": ["Ymd HM"], "8 6": ["Ymd HMS"],
}  # fmt: skip
MARKED = {  # where a token is one of MARKS
    "4 q n": ["Y q"], "q n 4": ["q Y"], "n q 4": ["q Y"], "q n 2": ["q y"], "n q 2": ["q y"], "2 q n": ["y q"],
    "4 v n": ["G V"], "v n 4": ["V G"], "4 v n n": ["G V u"], "4 m n": ["Y m"], "m n 4": ["m Y"], "n v 4": ["V G"],
}  # fmt: skip
MARKS = {"q": "q", "qtr": "q", "quarter": "q", "w": "v", "wk": "v", "kw": "v", "week": "v", "cw": "v", "m": "m"}


def propose(word: str) -> list[str]:
    """The patterns that a word may have: none, one, or several where day and month could change places."""
    if "|" in word or "%" in word or len(word) > 100:
        return []
    if CTIME.match(word):
        return ["%a %b %d %H:%M:%S" + " %Z" * (len(word.split()) == 6) + " %Y"]
    out = _dates(word)
    for time in TIME.finditer(word):
        dates = filter(_day, _dates(word[: time.start()])) if time.start() else [""]
        out += [date + _clock(time) for date in dates]
    lead = LEADING.match(word)
    if lead:
        clock = "%H:%M" + ":%S" * bool(lead[2]) + lead[3]
        out += [clock + date for date in filter(_day, _dates(word[lead.end() :]))]
    return out


def _day(date: str) -> bool:
    """Whether the pattern of a date says a day, which has times: Jan 31 13:00 says no year."""
    return bool(re.search("%[dju]", date))


def _clock(time: re.Match[str]) -> str:
    """The pattern of what TIME matches."""
    half, gap = time["half"] or time["only"], time["gap"]
    out = gap + ("%I" if half else "%H") + (f"{time['c']}%M" if time["c"] else "")
    out += f"{time['c2']}%S" if time["c2"] else ""
    out += f"{time['f'][0]}%f" if time["f"] else ""
    out += (" " if half[0].isspace() else "") + "%p" if half else ""
    out += time["unit"] or ""
    if time["offset"]:
        out += (" " if time["offset"][0].isspace() else "") + "%z"
    return out + (f"{time['open']}%Z{time['close']}" if time["Z"] else "")


def _dates(day: str) -> list[str]:
    """The patterns of a date, in which names of weekdays may stand."""
    pieces = TOKEN.split(day)
    tokens, gaps = pieces[1::2], pieces[::2]
    if any(":" in gap for gap in gaps):
        return []
    for named in (set(), {k for k, token in enumerate(tokens) if weekday(token)}):
        rest = [token for k, token in enumerate(tokens) if k not in named]
        marks = [MARKS.get(token.lower().strip(".")) for token in rest]
        marked = any(marks) and not any(map(month, rest))
        for shape, orders in (MARKED if marked else PLAIN).items():
            kinds = shape.split()
            if len(kinds) != len(rest) or not all(map(_is, rest, kinds, marks)):
                continue
            out = []
            sure = re.search(r"\d\.\d|[月월]", day)  # with dots nobody writes the month first
            for order in orders[: 1 if sure else None]:
                codes = iter("%" + "%".join(part) for part in order.split())
                words = iter(token if marked and mark else next(codes) for token, mark in zip(rest, marks, strict=True))
                filled = ["%a" if k in named else next(words) for k in range(len(tokens))]
                out.append("".join(map("".join, zip(gaps, [*filled, ""], strict=True))))
            return out
    return []


def _is(token: str, kind: str, mark: str | None) -> bool:
    """Whether a token is of this kind: a number of so many digits, a month's name, a mark."""
    if kind in ("q", "v", "m"):
        return mark == kind
    if kind == "w":
        return month(token) > 0
    return token.isdecimal() and (len(token) <= 2 if kind == "n" else len(token) == int(kind))


# ---- back to words


def write(times: Any, pattern: str) -> Any:
    """A pandas series of times as the pattern writes them; %-m is a month without its zero, %^b in capitals."""
    out = ""
    parts = {
        "%q": lambda: times.dt.quarter, "%-m": lambda: times.dt.month, "%-d": lambda: times.dt.day,
        "%-V": lambda: times.dt.isocalendar().week, "%-H": lambda: times.dt.hour,
        "%^b": lambda: times.dt.strftime("%b").str.upper(), "%^B": lambda: times.dt.strftime("%B").str.upper(),
    }  # fmt: skip
    for plain, run in itertools.groupby(ELEMENT.findall(pattern), lambda part: part not in parts):
        for piece in ["".join(run)] if plain else run:
            out = out + (times.dt.strftime(piece) if plain else parts[piece]().astype(str))
    return out
