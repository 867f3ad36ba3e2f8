"""Files of labelled series: .ts of sktime and aeon, and the lines of the UCR archive.

    .ts      @missing true          #, % begin a comment
             @classLabel true a b
             @data
             1,2,?:4,5,6:a          channels with colons between them, then the label; ? or NaN is a gap
             (0,1.5),(1,2.5):b      with @timeStamps true: pairs of time and value

    UCR      1<tab>0.2<tab>0.3<tab>NaN      the label, then one channel; NaN behind the last value is padding

A series ends with its last value: steps behind, of which no channel has one, are padding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from gated._check import refuse, want
from gated.unicode import clean

__all__ = ["Series", "is_ts", "is_ucr", "read_ts", "read_ucr", "trim"]

GAPS = {"", "?", "nan", "na"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|\?", re.IGNORECASE)
PAIR = re.compile(r"\(([^()]*),([^(),]*)\)")
MAX_CHANNELS = 10_000


class Series(NamedTuple):
    """One series of a file."""

    line: int
    values: Float32[np.ndarray, "C T"]  # NaN where there is a gap
    label: str | None


def is_ts(line: str) -> bool:
    """Whether the first line of a file is one of .ts."""
    return line.startswith(("@", "#", "%"))


def split(line: str) -> list[str]:
    """The fields of a line of the UCR archive: between tabs, commas or spaces."""
    return line.split("\t") if "\t" in line else line.split(",") if "," in line else line.split()


def is_ucr(line: str) -> bool:
    """Whether a line is a label and three numbers or more."""
    fields = [field.strip() for field in split(line)]
    return len(fields) > 3 and all(NUMBER.fullmatch(field) for field in fields[1:]) and bool(fields[0])


def read_ucr(where: str, numbered: Iterable[tuple[int, str]]) -> Iterator[Series]:
    """The series of a file of the UCR archive. Errors, with their lines: no number; a line without a value."""
    for n, line in numbered:
        if line.strip():
            label, *fields = split(line.strip("\r\n "))
            want(len(fields) > 0, f"{where}, line {n}", "a label and the values of a series", "a label alone")
            yield Series(n, trim(_numbers(f"{where}, line {n}", fields)[None]), clean(label))


def read_ts(where: str, numbered: Iterable[tuple[int, str]]) -> Iterator[Series]:
    """The series of a .ts file.

    Errors, with their lines: no number; channels of unlike lengths, or more or fewer than in the line before; a label
    that is missing.
    """
    stamps, has_label, begun, count = False, False, False, 0
    for n, line in numbered:
        text, here = line.strip(), f"{where}, line {n}"
        if not text or text[0] in "#%":
            continue
        if not begun:
            want(text.startswith("@"), here, "a line of the header, such as @classLabel, or @data", repr(text[:40]))
            word, *rest = text.split()
            name, on = word.lower(), bool(rest) and rest[0].lower() == "true"
            stamps = on if name == "@timestamps" else stamps
            has_label = on if name in ("@classlabel", "@targetlabel") else has_label
            begun = name == "@data"
            continue
        parts = text.split(":") if not stamps else _split_stamps(text)
        label = clean(parts.pop()) if has_label else None
        todo = "A label follows the last colon." if has_label else ""
        want(bool(parts), here, "a series, colons between its channels, and its label", repr(text[:40]), todo)
        want(len(parts) == (count or len(parts)) <= MAX_CHANNELS, here, f"{count} channels, as before", len(parts))
        count = len(parts)
        channels = [_values(here, part, stamps) for part in parts]
        lengths = sorted({len(channel) for channel in channels})
        want(len(lengths) == 1, here, "channels of one length", ", ".join(map(str, lengths)))
        yield Series(n, trim(np.stack(channels)), label)
    want(begun, where, "a line @data", "none", "Is it a whole .ts file?")


def _split_stamps(text: str) -> list[str]:
    """The channels and the label of a line whose times may hold colons themselves."""
    head, _, label = text.rpartition(":")
    return [*re.split(r":(?=\()", head), label] if text.rstrip()[-1] != ")" else re.split(r":(?=\()", text)


def _values(here: str, part: str, stamps: bool) -> np.ndarray:
    if not stamps:
        return _numbers(here, part.split(",")) if part.strip() else np.zeros(0, np.float32)
    pairs = PAIR.findall(part)
    want(bool(pairs) or not part.strip(), here, "pairs (time,value)", repr(part[:40]))
    return _numbers(here, [value for _, value in pairs])


def _numbers(here: str, fields: list[str]) -> np.ndarray:
    try:
        values = np.array([np.nan if field.strip().lower() in GAPS else float(field) for field in fields], np.float64)
    except ValueError:
        bad = next(field for field in fields if field.strip() and not NUMBER.fullmatch(field.strip()))
        refuse(here, "numbers, ? or NaN where one is missing", repr(bad[:40]))
    huge = np.abs(values) > 1e30
    want(not huge.any(), here, "numbers below 1e30", values[huge][:1].tolist())
    return values.astype(np.float32)


def trim(values: Float32[np.ndarray, "C T"]) -> Float32[np.ndarray, "C n"]:
    """The series up to the last step at which any channel has a value."""
    steps = np.flatnonzero(~np.isnan(values).all(0))
    return values[:, : steps[-1] + 1 if len(steps) else 0]
