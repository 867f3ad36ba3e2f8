"""Tables of records, row by row: CSV, TSV and other delimiters, with a header or without, and JSON.

A row that cannot be read is an error for that row alone, which the caller may skip.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gated._check import InputError, refuse, want
from gated.io.text import form, lines, source_name

__all__ = ["Record", "records"]

ARRAY = 1 << 28  # bytes of a JSON array, which is read at once
DELIMITERS = "|;,"
QUOTED = re.compile(r'\s*"[^"]*"\s*')


class Record(NamedTuple):
    """A row: its values by the names of the columns in lower case, or by "1", "2" … where there is no header."""

    where: str
    values: dict[str, Any]
    fault: str = ""  # why the row cannot be read
    literal: bool = False  # whether quotes in it are characters like others


def records(
    source: Any, is_header: Callable[[str, list[str]], bool], *, max_bytes: int, notes: list[str] | None = None,
    numbered: Iterator[tuple[int, str]] | None = None,
) -> Iterator[Record]:  # fmt: skip
    """The rows of a table, or the objects of JSON lines or of a JSON array.

    The delimiter is a tab, if the first line has one, or else the first of | ; and comma in it. Fields between commas
    or semicolons may be quoted, and so may those between tabs and bars if all of the first line are; else a quote is a
    character like another there.

    is_header: of the first row and where it stands, whether it names the columns; it may refuse them
    notes      where another encoding than UTF-8 is noted
    numbered   the source's lines with their numbers, if they are at hand
    """
    where, kind = source_name(source), form(source)
    numbered = lines(source, max_bytes=max_bytes, notes=notes) if numbered is None else numbered
    first = next((one for one in numbered if one[1].strip()), None)
    if first is None:
        return
    numbered, start = itertools.chain([first], numbered), first[1].lstrip()[:1]
    if start == "[" and kind in ("", "jsonl"):
        yield from _array(where, numbered)
    elif kind == "jsonl" or (start == "{" and not kind):
        yield from _objects(where, numbered)
    else:
        delimiter = "\t" if kind == "tsv" and "\t" in first[1] else _delimiter(first[1])
        quotes = delimiter in ",;" or all(map(QUOTED.fullmatch, first[1].split(delimiter)))
        yield from _rows(where, numbered, delimiter, quotes, is_header)


# ---- JSON


def _objects(where: str, numbered: Iterator[tuple[int, str]]) -> Iterator[Record]:
    for n, line in numbered:
        if line.strip():
            here = f"{where}, line {n}"
            try:
                yield _object(here, _parse(here, line))
            except InputError as error:
                yield Record(here, {}, fault=str(error))


def _array(where: str, numbered: Iterator[tuple[int, str]]) -> Iterator[Record]:
    parts, size = [], 0
    for _, line in numbered:
        size += len(line)
        want(size <= ARRAY, where, f"a JSON array of at most {ARRAY:,} characters", "a longer one", "Write JSON lines.")
        parts.append(line)
    content = _parse(where, "\n".join(parts))
    want(isinstance(content, list), where, "a JSON array", type(content).__name__)
    for n, one in enumerate(content, 1):
        here = f"{where}, number {n}"
        try:
            yield _object(here, one)
        except InputError as error:
            yield Record(here, {}, fault=str(error))


def _parse(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        part = text.strip() == "{"
        refuse(where, "a JSON object a line, or an array", "one over several lines" if part else str(error)[:80])


def _object(where: str, content: Any) -> Record:
    want(isinstance(content, dict), where, "a JSON object", type(content).__name__)
    return Record(where, {name.casefold(): value for name, value in content.items()})


# ---- delimited rows


def _delimiter(line: str) -> str:
    """A tab, or the first other delimiter of a line, behind a quoted field where one begins it."""
    if "\t" in re.sub('"[^"]*"', "", line):
        return "\t"
    start = line.find('"', 1) if line.startswith('"') else 0
    return next((c for c in line[max(start, 0) :] if c in DELIMITERS), ",")


def _rows(
    where: str, numbered: Iterator[tuple[int, str]], delimiter: str, quotes: bool,
    is_header: Callable[[str, list[str]], bool],
) -> Iterator[Record]:  # fmt: skip
    quoting: Any = dict(skipinitialspace=True) if quotes else dict(quoting=csv.QUOTE_NONE)
    numbers: list[int] = []  # of the lines that the reader took
    reader = csv.reader(_track(numbered, numbers), delimiter=delimiter, strict=True, **quoting)
    names: list[str] = []
    expected, before = "", 0
    try:
        for row in reader:
            here, before = f"{where}, line {numbers[before]}", reader.line_num
            if not any(map(str.strip, row)):
                continue
            if not names and is_header(here, row):
                names = [name.strip().casefold() for name in row]
                expected = f"{len(names)} fields, as in the header"
                continue
            names = names or [str(n) for n in range(1, len(row) + 1)]
            expected = expected or f"{len(names)} fields, as in the first line"
            todo = " Put text that has commas in it between quotes." * (delimiter == "," and len(row) > len(names))
            fits = len(row) == len(names)
            fault = "" if fits else f"{here}: expected {expected}, got {len(row)}.{todo}"
            yield Record(here, dict(zip(names, row, strict=True)) if fits else {}, fault, not quotes)
    except csv.Error as error:
        here, expected = f"{where}, line {numbers[before]}", f"fields of {'CSV' if quotes else 'TSV'}"
        if "new-line" in str(error):
            refuse(here, expected, r"a \r in a line", r"End lines with \n or \r\n.")
        refuse(here, expected, str(error), "Is a quote not closed?")


def _track(numbered: Iterator[tuple[int, str]], numbers: list[int]) -> Iterator[str]:
    for n, line in numbered:
        numbers.append(n)
        yield f"{line}\n"
