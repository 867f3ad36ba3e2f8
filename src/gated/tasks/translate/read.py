"""Sentences and their translations, from files, standard input and lists; `gated.io.text` reads the lines."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gated._check import want
from gated.io.text import Row, clean_row, form, is_path, lines, places, plural, rows, source_name
from gated.tasks.translate import po

__all__ = ["Pairs", "pairs", "sentences"]

TWO = "two files, lists of strings, or one file of pairs (.tsv, .jsonl, .po)"


@dataclass(frozen=True)
class Pairs:
    """Sentences with their translations; `target` is None where only one side was read."""

    source: list[str]
    target: list[str] | None
    where: str  # the file or files, for messages
    lines: list[int]  # the line of each sentence, counted from 1
    notes: list[str]  # what was met and what was done about it, a sentence each

    def __len__(self) -> int:
        return len(self.source)


def pairs(source: Any, target: Any = None, *, columns: tuple[str, str] | None = None) -> Pairs:
    """Sentences with their translations, for training and scoring.

    source, target   two files of one sentence a line, plain or gzip; or two lists of strings
    source alone     a file of pairs, or a list of pairs:
      .tsv           source TAB target. With `columns` the first line is a header that holds these two names
      .jsonl         an object a line, with the keys `columns`: "source" and "target" unless given; "translation.de" is
                     the key de of the object at translation
      .po            msgid and msgstr of the finished entries, see `po.pairs`

    A file whose name ends otherwise holds pairs if its first line has a tab or starts with {. Pairs that are empty on
    one side are left out, and `notes` says which.

    Errors: no such file, a folder, an empty or binary file; not UTF-8; a line over 1 MB; files of different length; a
    line with another number of columns; no JSON; nothing left.
    """
    if target is None:
        where, found = source_name(source), list(_paired(source, columns))
    else:
        want(columns is None, "columns", "one file of pairs where columns are named", "two files")
        where = f"{source_name(source)} and {source_name(target)}"
        left, right = (list(rows(side, _plain(side))) for side in (source, target))
        todo = "Line n of one must be the translation of line n of the other."
        got = f"{len(left)} in {source_name(source)} and {len(right)} in {source_name(target)}"
        want(len(left) == len(right), where, "as many lines in both", got, todo)
        found = [Row(n, x + y, a or b) for (n, x, a), (_, y, b) in zip(left, right, strict=True)]
    want(len(found) > 0, where, "at least one pair", "an empty file" if is_path(source) else "none")
    whole = [row for row in found if all(row.cells)]
    notes = _controls(found)
    if len(whole) < len(found):
        empty = [row.line for row in found if not all(row.cells)]
        notes.append(f"Left out: {plural(len(empty), 'pair')} with an empty side ({places('line', empty)}).")
    want(len(whole) > 0, where, "at least one pair of sentences", f"{plural(len(found), 'pair')} with an empty side")
    source, target = ([row.cells[k] for row in whole] for k in (0, 1))
    return Pairs(source, target, where, [row.line for row in whole], notes)


def sentences(source: Any, *, column: str | None = None) -> Pairs:
    """Sentences to translate: one for every line, an empty one for an empty line, so that lines keep their numbers.

    source: a file of one sentence a line, plain or gzip; "-" for standard input; a list of strings; a .tsv, whose first
    column is read, or the one that its header names `column`; a .jsonl, of which the key `column` ("source") is read.

    Errors: as those of `pairs`.
    """
    kind, where = _kind(source), source_name(source)
    want(kind != "po", where, "a file of sentences", "a catalogue", "Its messages are translated in place, see po.")
    if column is not None:
        want(kind in ("tsv", "jsonl"), "column", "a .tsv or .jsonl file where a column is named", where)
    names = (column,) if column is not None else ("source",) if kind == "jsonl" else None
    found = list(rows(source, kind, names))
    want(len(found) > 0 or not is_path(source), where, "at least one line", "an empty file")
    return Pairs([row.cells[0] for row in found], None, where, [row.line for row in found], _controls(found))


def _paired(source: Any, columns: tuple[str, str] | None) -> Iterator[Row]:
    where = source_name(source)
    if not is_path(source):
        want(isinstance(source, list | tuple), "pairs", TWO, type(source).__name__)
        return _couples(source)
    want(str(source) != "-", "pairs", TWO, "standard input", "Sentences to translate may come from there.")
    kind = _kind(source)
    if kind == "po":
        want(columns is None, "columns", "a .tsv or .jsonl file where columns are named", where)
        return (clean_row(n, x, y) for n, x, y in po.pairs(po.load(source)))
    numbered = lines(source)
    if kind == "text":
        first = next(numbered, None)
        numbered = itertools.chain([first] if first else [], numbered)
        text = first[1] if first else "\t"
        kind = "tsv" if "\t" in text else "jsonl" if text.lstrip().startswith("{") else "text"
        want(kind != "text", where, TWO, f"one file, no tab in line 1 ({text[:30]!r})")
    names = ("source", "target") if columns is None and kind == "jsonl" else columns
    return rows(source, kind, names, width=2, numbered=numbered)


def _couples(source: Any) -> Iterator[Row]:
    for n, pair in enumerate(source, 1):
        fits = isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(side, str) for side in pair)
        want(fits, f"pairs, number {n}", "two strings", repr(pair)[:40])
        yield clean_row(n, *pair)


def _plain(source: Any) -> str:
    return "text" if is_path(source) else "list"


def _kind(source: Any) -> str:
    if not is_path(source):
        return "list"
    kind = "po" if str(source).lower().removesuffix(".gz").endswith((".po", ".pot")) else form(source)
    return "text" if kind in ("", "csv") else kind


def _controls(found: list[Row]) -> list[str]:
    numbers = [row.line for row in found if row.controls]
    words = f"Control characters became spaces in {plural(len(numbers), 'line')} ({places('line', numbers)})."
    return [words] if numbers else []
