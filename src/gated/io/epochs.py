"""Numbers that are times: dates written without signs between their parts, time since 1970, Excel's serial days."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gated._check import optional
from gated.io import patterns

pa: Any = optional("pyarrow", "forecast")
pc: Any = optional("pyarrow.compute", "forecast")

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}  # nanoseconds
DAY = 86_400 * 10**9
EXCEL = np.datetime64("1899-12-30", "ns")
COMPACT = {  # whole numbers that are dates: digits, first and last year
    "%Y%m%d%H%M%S": (14, 1900, 2100), "%Y%m%d%H%M": (12, 1900, 2100), "%Y%m%d%H": (10, 1900, 2100),
    "%Y%m%d": (8, 1800, 2200), "%Y%j": (7, 1900, 2100), "%Y%m": (6, 1800, 2200), "%G%V": (6, 1900, 2100),
}  # fmt: skip
SPANS = {  # other numbers: those that a count is not likely to have
    "s": (10**9, 4_102_444_800), "ms": (10**12, 4_102_444_800_000), "us": (10**15, 4_102_444_800_000_000),
    "ns": (10**18, 4_102_444_800_000_000_000), "excel": (32_874, 55_153),
}  # fmt: skip
MEANING = {
    "%Y%m%d%H%M%S": "years to seconds (YYYYMMDDHHMMSS)", "%Y%m%d%H%M": "years to minutes (YYYYMMDDHHMM)",
    "%Y%m%d%H": "years to hours (YYYYMMDDHH)", "%Y%m": "years and months (YYYYMM)",
    "%Y%j": "years and days of the year (YYYYDDD)",
    "%G%V": "ISO years and weeks (YYYYWW)",
    "s": "seconds since 1970 in UTC", "ms": "milliseconds since 1970 in UTC", "us": "microseconds since 1970 in UTC",
    "ns": "nanoseconds since 1970 in UTC", "excel": "Excel's days since 1899-12-30",
}  # fmt: skip
FEW = 0.05  # share of rows up to which those that do not fit a notation are mistakes


def read(values: np.ndarray, notation: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers after a notation, and a mask of those that it does not fit."""
    whole = values % 1 == 0 if values.dtype.kind == "f" else np.ones(len(values), bool)
    if notation == "count":
        bad = ~whole | (np.abs(values.astype(np.float64)) >= 2**61)
        return np.where(bad, 0, values).astype(np.int64), bad
    if notation in SPANS:
        return _since(values, UNITS.get(notation, DAY), EXCEL if notation == "excel" else np.datetime64(0, "ns"))
    width = sum(patterns.WIDTHS.get(part[-1], 0) for part in patterns.elements(notation) if part[0] == "%")
    numbers = pa.array(np.where(whole & (np.abs(values) < 2**62), values, -1).astype(np.int64))
    words = numbers.cast(pa.string())
    words = pc.utf8_lpad(words, width, "0") if re.fullmatch(r"(%[A-Za-z])+", notation) else words
    fields = patterns.read(words, notation)
    return fields.local, fields.bad | ~whole


def _since(values: np.ndarray, size: int, start: np.datetime64) -> tuple[np.ndarray, np.ndarray]:
    """Times of so many nanoseconds `size` after a start; floats and serial days are rounded to what they can hold."""
    per, exact = DAY // size, values.dtype.kind != "f"
    days = values // per
    bad = np.abs(days) > 130_000  # to be refused for its year
    rest, days = (np.where(bad, 0, part) for part in (values - days * per, days))
    grain = 10**6 if size == DAY else 10**3  # nanoseconds
    nanos = rest * size if exact else np.rint(rest * (size / grain)).astype(np.int64) * grain
    whole = start.astype("datetime64[D]") + days.astype(np.int64)
    bad |= (whole < np.datetime64("1678-01-01")) | (whole > np.datetime64("2261-12-31"))
    return np.where(bad, start, whole).astype("datetime64[ns]") + nanos.astype("timedelta64[ns]"), bad


def fit(values: np.ndarray) -> tuple[list[str], list[str]]:
    """The notations that all of these finite numbers have, the likeliest first; and likelier ones that most have."""
    low, high = values.min(), values.max()
    fits: list[str] = []
    nearly: list[str] = []
    for name, (digits, first, last) in COMPACT.items():
        scale = 10 ** (digits - 4)
        if first * scale <= low and high < (last + 1) * scale:
            share = float(read(values, name)[1].mean())
            if share == 0:
                fits.append(name)
            elif share <= FEW and not fits:
                nearly.append(name)
    if not fits:
        fits = [name for name, (first, last) in SPANS.items() if first <= low and high <= last]
    if not fits:
        fits = [name for name in UNITS if may_be_early(values, name) and _by_minutes(values, name)]
    if not fits and values.dtype.kind == "f" and (values % 1 != 0).any() and low >= 18_264 and high <= 73_050:
        fits = ["excel"]
    return fits, nearly


def may_be_early(values: np.ndarray, unit: str) -> bool:
    """Whether numbers may be times since 1970 of which the first lie before September 2001, of a digit less."""
    first, last = SPANS[unit]
    return bool(first // 10 <= values.min() < first and values.max() <= last)


def _by_minutes(values: np.ndarray, unit: str) -> bool:
    """Whether whole numbers lie whole minutes apart, as times do and counts seldom."""
    steps = np.diff(np.unique(values)) % (60 * 10**9 // UNITS[unit])
    return len(steps) > 0 and not steps.any()


def write(times: np.ndarray, kind: str) -> np.ndarray:
    """Times as numbers since 1970 or as Excel's days, whole where they are or where the unit is short."""
    size = UNITS.get(kind, DAY)
    since = (times - (EXCEL if kind == "excel" else np.datetime64(0, "ns"))).astype(np.int64)
    whole = kind in ("ms", "us", "ns") or bool((since % size == 0).all())
    grain = min(size, 10**6 if size == DAY else 10**3)  # as `_since` reads them
    return (since + size // 2) // size if whole else since // grain / (size // grain)
