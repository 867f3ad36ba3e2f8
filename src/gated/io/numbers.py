"""Columns of text as numbers: one notation is settled for a whole column by all its values, never value by value.

A column is read in the notation of the point, 1,234.5, or of the comma, 1.234,5; spaces and apostrophes group thousands
in either. Most columns fit only one. Where every separator has three digits behind it, as in 10.025, both fit, and
what else is known decides, in this order: the option; plain numbers beside them; other columns of the file; what the
run's history had; the delimiter of the file. Else the column is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from gated._check import optional

pd: Any = optional("pandas", "forecast")
pa: Any = optional("pyarrow", "forecast")
pc: Any = optional("pyarrow.compute", "forecast")

MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "#N/A", "-", "NaT", "\\N"]
WORDS = {  # beside these, in lower case: what people and spreadsheets write where a number is missing
    *map(str.lower, MISSING), "na", "n.a.", "n.a", "n. a.", "nil", "<na>", "(null)", "-nan", "?", "??", "???", ".",
    "..", "...", ":", "*", "**", "***", "****", "--", "---", "–", "—", "missing", "unknown", "unavailable",
    "not available", "nd", "n.d.", "n/d", "n.v.", "k.a.", "k. a.", "keine angabe", "fehlt", "s/d", "#div/0!", "#value!",
    "#ref!", "#name?", "#num!", "#null!", "#n/a n/a", "#wert!", "#nv", "#zahl!", "#bezug!", "1.#qnan", "1.#ind",
    "-1.#ind",
}  # fmt: skip
SPACES = "\u00a0\u2007\u2009\u202f\u2006\u2005\u200b\ufeff\t "
CURRENCY = (
    r"[$€£¥₹₽₩₺₪₫฿₴₦¢]|(?:US|A|C|R|HK|NZ)\$|(?:EUR|USD|GBP|CHF|JPY|CNY|RMB|INR|RUB|BRL|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|"
    r"RON|BGN|TRY|ILS|MXN|ZAR|KRW|SGD|HKD|THB|UAH|Rs\.?|kr\.?|zł|Kč|Ft|Fr\.|руб\.?|euros?)"
)
GROUPS = r"(?:[1-9][0-9]{0,2}(?:(?:S[0-9]{3})+|(?: [0-9]{3})+|(?:'[0-9]{3})+))"
INDIAN = r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
NOTATIONS = {  # the decimal, and the digits of a number: D is the decimal, S the other one of point and comma
    decimal: r"(?:(?:[0-9]+|{groups})(?:{D}[0-9]*)?|{D}[0-9]+|[0-9]+(?:{D}[0-9]*)?[eE] ?[+-]?[0-9]+)".replace(
        "{groups}", GROUPS.replace("S", other) + (INDIAN if other == "," else "")
    ).replace("{D}", rf"\{decimal}")
    for decimal, other in ((".", ","), (",", r"\."))
}
NUMBER = (
    rf"^(?P<sign>[+-]?) ?(?P<before>(?:{CURRENCY})?) ?(?P<inner>[+-]?) ?(?P<digits>[0-9.,' eE+-]*?[0-9][.,]?) ?"
    rf"(?P<after>(?:%|‰|{CURRENCY})?)(?P<last> ?-?)$"
)
SIMPLE = "^-?[0-9][0-9.,]*$"  # which most are, and which is quicker to see
PLAIN = "^[0-9]+$"
GROUPED = r"^[1-9][0-9]{0,2}[.,][0-9]{3}$"  # fits both
MANY = 20  # values of exactly three digits behind the separator: with decimals one in ten would end in 0 and be shorter
LARGEST = 1e100  # whose squares are numbers still
CODES = {  # numbers that stand for missing ones; 99 and 9.99 are prices too
    float(f"{sign}{'9' * digits}{rest}")
    for sign, first, rests in (("-", 1, ("", ".9", ".99", ".999")), ("", 3, ("", ".9")))
    for digits in range(first, 8)
    for rest in rests
} - {-9.0}


@dataclass(frozen=True)
class Reading:
    """The numbers of a column."""

    values: np.ndarray  # [R] float64, NaN where it is missing or no number
    bad: np.ndarray  # [R] neither a number nor missing
    decimal: str | None = None  # "." or "," where the column shows it
    doubt: str | None = None  # a number that may be read in two ways
    notes: tuple[str, ...] = ()  # in sentences, what was a guess or is easily overlooked


@dataclass(frozen=True)
class Hints:
    """What is known of a column's notation beside its values."""

    decimal: str | None = None  # by option
    file: str | None = None  # that other columns of the file have
    history: str | None = None  # that the column had before
    delimiter: str = ","  # of the file: a comma goes with decimal points
    missing: Collection[str] = ()  # words for missing values, by option


NONE = Hints()


def parse(column: Any, hints: Hints = NONE) -> Reading:
    """The numbers of a column of objects or text, in the notation that all its values have.

    1,234.5 1.234,5 1 234,5 1'234.5 1,23,456; with a unicode or a trailing minus, or (1.234) for a negative number; with
    one currency before or behind, or all in per cent, whose numbers are kept (12 % is 12). Booleans are 0 and 1.
    """
    encoded = to_arrow(column).dictionary_encode()  # what repeats is read once
    shown, codes = encoded.dictionary, encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    counts = np.bincount(codes, minlength=len(shown) + 1)[:-1]
    text = pc.utf8_trim(shown, SPACES + "'\"")
    own = {word.strip().lower() for word in hints.missing}
    gone = pc.is_in(pc.utf8_lower(text), pa.array(sorted(WORDS | own))).to_numpy(zero_copy_only=False)
    numbers = _split(text)
    digits = numbers["digits"]
    masks = {decimal: _matches(digits, f"^{pattern}$") & ~gone for decimal, pattern in NOTATIONS.items()}
    decimal, doubt, notes = _decide(digits, masks, masks["."] | masks[","], counts, hints)
    minus = np.sum([_matches(numbers[name], "-") for name in ("sign", "inner", "last")], 0)
    fit = masks[decimal or "."] & (minus < 2)
    values = np.where(minus > 0, -1, 1) * _convert(digits, fit, decimal or ".")
    units = pc.fill_null(pc.binary_join_element_wise(numbers["before"], numbers["after"], ""), "")
    if pc.any(pc.not_equal(units, "")).as_py():
        unit = units.to_numpy(zero_copy_only=False)
        fit = fit & _one_unit(unit, fit, values, counts)
        notes += tuple(f"numbers are read without their unit {u!r}." for u in sorted(set(unit[fit]) - {""})[:1])
    brackets = np.flatnonzero(fit & _matches(shown, r"^\s*\(|[0-9]\s*-\s*$"))
    if len(brackets):
        notes += (f"{shown[brackets[0]].as_py()!r} is read as {values[brackets[0]]:.15g}.",)
    lost = [(shown[k].as_py(), counts[k]) for k in np.flatnonzero(gone)]
    lost = [f"{word!r} ({count:,})" for word, count in lost if word.strip() not in MISSING]
    if lost and fit.any():
        notes += (f"{', '.join(lost[:5])}{' and others' if len(lost) > 5 else ''}: treated as missing.",)
    seen = decimal if bool((fit & ~_matches(digits, PLAIN)).any()) else None
    values, bad = np.append(np.where(fit, values, np.nan), np.nan)[codes], np.append(~fit & ~gone, False)[codes]
    return Reading(values, bad, seen, doubt, notes)


def find_code(values: np.ndarray) -> tuple[str, ...]:
    """A note where the least or the largest number is one such as -9999, several times and far from all others."""
    ends = {float(np.fmin.reduce(values)), float(np.fmax.reduce(values))} if len(values) else set()
    for code in sorted(CODES & ends):
        others = values[(values != code) & ~np.isnan(values)]
        count = int((values == code).sum())
        if count > 1 and len(others) > 1:
            low, high = float(others.min()), float(others.max())
            if code < low - (high - low) or code > high + 4 * max(high - low, abs(high)):
                others = f"lies far from the others, {low:.6g} to {high:.6g}"
                return (f"{code:.12g} ({count:,} times) {others}: fit with --missing {code:.12g} if it means none.",)
    return ()


def to_arrow(column: Any) -> Any:
    """The values as Arrow's text, null where they are missing."""
    if isinstance(column.dtype, pd.StringDtype):
        texts = pa.array(column, pa.large_string()).cast(pa.string())
        return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    try:
        return pa.array(column.astype(object), pa.string(), from_pandas=True)
    except (pa.ArrowException, UnicodeError):  # other objects, or characters that no text may have
        values = [str(int(v)) if isinstance(v, bool | np.bool_) else str(v) for v in column.dropna()]
        texts = np.full(len(column), None, object)
        texts[column.notna().to_numpy(bool)] = [v.encode("utf-8", "replace").decode() for v in values]
        return pa.array(texts, pa.string())


def _split(text: Any) -> dict[str, Any]:
    """Sign, unit and digits of each text, null where it is no number."""
    simple = pc.fill_null(pc.match_substring_regex(text, SIMPLE), False)
    odd, other = text.filter(pc.invert(simple)), pc.invert(simple)
    for pattern, new in (
        ("[−–﹣－]", "-"), ("[’ʼ´`]", "'"), (f"[{SPACES}]", " "), (r"^\((.*)\)( ?[^ ()]{0,4})$", r"-\1\2"),
    ):  # fmt: skip
        odd = pc.replace_substring_regex(odd, pattern, new)
    parts, none = pc.extract_regex(odd, NUMBER), pa.repeat(pa.scalar("", text.type), len(text))
    whole = {name: none for name in ("before", "inner", "after", "last")}
    whole |= {"sign": pc.utf8_slice_codeunits(pc.if_else(pc.starts_with(text, "-"), text, ""), 0, 1)}
    whole |= {"digits": pc.utf8_ltrim(text, "-")}
    return {name: pc.replace_with_mask(column, other, pc.struct_field(parts, name)) for name, column in whole.items()}


def _matches(text: Any, pattern: str) -> np.ndarray:
    return pc.fill_null(pc.match_substring_regex(text, pattern), False).to_numpy(zero_copy_only=False)


def _decide(
    digits: Any, masks: dict[str, np.ndarray], number: np.ndarray, counts: np.ndarray, hints: Hints
) -> tuple[str | None, str | None, tuple[str, ...]]:
    """The decimal of the column, None where nothing shows it; an example of a doubt; and notes."""
    if hints.decimal is not None:
        return hints.decimal, None, ()
    only = {d: int(counts[mask & ~masks["," if d == "." else "."]].sum()) for d, mask in masks.items()}
    if only["."] or only[","]:
        return ("." if only["."] >= only[","] else ","), None, ()
    grouped = _matches(digits, GROUPED) & number
    if not grouped.any():
        return None, None, ()
    cells = digits.to_numpy(zero_copy_only=False)
    separators = {next(c for c in cells[k] if c in ".,") for k in np.flatnonzero(grouped)}
    example = str(cells[np.flatnonzero(grouped)[0]])
    if len(separators) > 1:
        return None, example, ()
    separator = separators.pop()
    groups = "," if separator == "." else "."  # the decimal if the separator groups thousands
    name = "point" if separator == "." else "comma"
    whole = example.replace(separator, "")
    decimally = f"the {name} is read as decimal, as in {example} (--decimal {groups} reads {whole})."
    in_groups = f"the {name} is read as grouping thousands, as in {example} (--decimal {separator} reads decimals)."
    plain = np.array([float(cells[k]) for k in np.flatnonzero(number & _matches(digits, PLAIN)) if float(cells[k])])
    if len(plain) and plain.max() >= 1000 and separator == ".":
        return separator, None, (decimally,)
    if len(plain) and plain.max() < 1000:
        large = np.array([float(cells[k].replace(separator, "")) for k in np.flatnonzero(grouped)])
        reach = [max(part.max(), plain.max()) / min(part.min(), plain.min()) for part in (large, large / 1000)]
        if int(counts[grouped].sum()) >= MANY or 10 * reach[0] < reach[1]:
            return groups, None, (in_groups,)
    for known in (hints.file, hints.history):
        if known is not None:
            return known, None, ((decimally if known == separator else in_groups),)
    if hints.delimiter == "," and not len(plain[plain >= 1000]):
        return ".", None, ((decimally if separator == "." else in_groups),)
    return None, example, ()


def _one_unit(unit: np.ndarray, fit: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Which numbers have the unit that most have; zero needs none, and of a currency no number does."""
    named = sorted(set(unit[fit]) - {""})
    if not named:
        return np.ones(len(unit), bool)
    first = max(named, key=lambda u: counts[fit & (unit == u)].sum())
    return (unit == first) | ((unit == "") & ((values == 0) | (first not in "%‰")))


def _convert(digits: Any, fit: np.ndarray, decimal: str) -> np.ndarray:
    """The numbers as float64, without their signs."""
    digits = pc.replace_substring_regex(digits, "[ ']" + ("|," if decimal == "." else r"|\."), "")
    digits = pc.replace_substring(digits, ",", ".") if decimal == "," else digits
    values = np.full(len(fit), np.nan)
    values[fit] = pc.cast(digits.filter(pa.array(fit)), pa.float64()).to_numpy(zero_copy_only=False)
    return values
