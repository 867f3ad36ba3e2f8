"""Sentences and their translations from files, standard input and lists, and the batches made of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gated import data
from gated._check import want
from gated.features.tokens import BEGIN, END, PAD
from gated.io.text import Row, clean_row, form, is_path, lines, places, plural, rows, source_name
from gated.tasks.translate import po

__all__ = [
    "Batch", "Pairs", "bucket", "collate", "has_columns", "is_catalogue", "read_pairs", "read_sentences", "split",
]  # fmt: skip

JITTER = 2.0  # tokens by which an epoch may misjudge a length, so that batches mix
Sides = Sequence[Sequence[Sequence[int]]]  # the tokens of sources and of targets
PAIRS = "two files, lists of strings, or one file of pairs (.tsv, .jsonl, .po)"


@dataclass(frozen=True)
class Pairs:
    """Sentences with their translations; `target` is None where only one side was read."""

    source: list[str]
    target: list[str] | None
    where: str  # the file or files, for messages
    lines: list[int]  # the line of each sentence, counted from 1
    notes: list[str]  # on the data, a sentence each

    def __len__(self) -> int:
        return len(self.source)

    def sides(self) -> tuple[list[str], list[str]]:
        """Sources and targets; no targets where only one side was read."""
        return self.source, self.target or []

    def take(self, indices: Sequence[int]) -> Pairs:
        """The pairs at these indices, without the notes."""
        source, target = ([side[n] for n in indices] for side in self.sides())
        return Pairs(source, target, self.where, [self.lines[n] for n in indices], [])


# ---- reading


def read_pairs(source: Any, target: Any = None, *, columns: tuple[str, str] | None = None) -> Pairs:
    """Read sentences with their translations, for training and scoring.

    source, target   two files of one sentence a line, plain or gzip; or two lists of strings
    source alone     a file of pairs, or a list of pairs:
      .tsv           source TAB target. With `columns` the first line is a header that holds these two names
      .jsonl         an object a line, with the keys `columns`: "source" and "target" unless given; "translation.de" is
                     the key de of the object at translation
      .po            msgid and msgstr of the finished entries, see `po.pairs`

    A file of another name holds pairs if its first line has a tab or starts with {. Pairs with an empty side are left
    out and listed in `notes`.

    Errors: no such file, a folder, an empty or binary file; not UTF-8; a line over 1 MB; files of different length; a
    line with another number of columns; no JSON; nothing left.
    """
    if target is None:
        where, table = source_name(source), list(_read_one(source, columns))
    else:
        want(columns is None, "columns", "one file of pairs where columns are named", "two files")
        where = f"{source_name(source)} and {source_name(target)}"
        left, right = (list(rows(side, "text" if is_path(side) else "list")) for side in (source, target))
        todo = "Line n of one must be the translation of line n of the other."
        got = f"{len(left)} in {source_name(source)} and {len(right)} in {source_name(target)}"
        want(len(left) == len(right), where, "as many lines in both", got, todo)
        table = [Row(n, x + y, a or b) for (n, x, a), (_, y, b) in zip(left, right, strict=True)]
    want(len(table) > 0, where, "at least one pair", "an empty file" if is_path(source) else "none")
    full = [row for row in table if all(row.cells)]
    empty, notes = [row.line for row in table if not all(row.cells)], _note_controls(table)
    if empty:
        notes.append(f"Left out: {plural(len(empty), 'pair')} with an empty side ({places('line', empty)}).")
    want(len(full) > 0, where, "at least one pair of sentences", f"{plural(len(table), 'pair')} with an empty side")
    source, target = ([row.cells[k] for row in full] for k in (0, 1))
    return Pairs(source, target, where, [row.line for row in full], notes)


def read_sentences(source: Any, *, column: str | None = None) -> Pairs:
    """Read sentences to translate, one from each line; an empty line gives an empty one.

    source: a file of one sentence a line, plain or gzip; "-" for standard input; a list of strings; a .tsv, of which
    the first column is read, or the one that its header names `column`; a .jsonl with the key `column` ("source").

    Errors: as those of `read_pairs`.
    """
    kind, where = _kind(source), source_name(source)
    want(kind != "po", where, "a file of sentences", "a catalogue", "Its messages are translated in place, see po.")
    if column is not None:
        want(kind in ("tsv", "jsonl"), "column", "a .tsv or .jsonl file where a column is named", where)
    names = (column,) if column is not None else ("source",) if kind == "jsonl" else None
    table = list(rows(source, kind, names))
    want(len(table) > 0 or not is_path(source), where, "at least one line", "an empty file")
    return Pairs([row.cells[0] for row in table], None, where, [row.line for row in table], _note_controls(table))


def is_catalogue(source: Any) -> bool:
    """Whether a path names a gettext catalogue, or a template of one."""
    return str(source).lower().endswith((".po", ".pot"))


def has_columns(source: Any) -> bool:
    """Whether a path names a file whose columns have names: TSV or JSON lines."""
    return is_path(source) and form(source) in ("tsv", "jsonl")


def _read_one(source: Any, columns: tuple[str, str] | None) -> Iterator[Row]:
    where = source_name(source)
    if not is_path(source):
        want(isinstance(source, list | tuple), "pairs", PAIRS, type(source).__name__)
        return _read_list(source)
    want(str(source) != "-", "pairs", PAIRS, "standard input", "Sentences to translate may come from there.")
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
        want(kind != "text", where, PAIRS, f"one file, no tab in line 1 ({text[:30]!r})")
    names = ("source", "target") if columns is None and kind == "jsonl" else columns
    return rows(source, kind, names, width=2, numbered=numbered)


def _read_list(source: Any) -> Iterator[Row]:
    for n, pair in enumerate(source, 1):
        fits = isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(side, str) for side in pair)
        want(fits, f"pairs, number {n}", "two strings", repr(pair)[:40])
        yield clean_row(n, *pair)


def _kind(source: Any) -> str:
    if not is_path(source):
        return "list"
    kind = "po" if is_catalogue(str(source).lower().removesuffix(".gz")) else form(source)
    return "text" if kind in ("", "csv") else kind


def _note_controls(table: list[Row]) -> list[str]:
    numbers = [row.line for row in table if row.controls]
    words = f"Control characters became spaces in {plural(len(numbers), 'line')} ({places('line', numbers)})."
    return [words] if numbers else []


# ---- batches


class Batch(NamedTuple):
    """B pairs, a column each, padded with PAD."""

    source: Int64[Tensor, "S B"]
    lengths: Int64[Tensor, " B"]  # of the sources
    before: Int64[Tensor, "T B"]  # decoder inputs: BEGIN and the target
    after: Int64[Tensor, "T B"]  # labels: the target and END


def collate(source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> Batch:
    """A batch of these tokens of source and target."""
    lengths = torch.tensor([len(s) for s in source])
    sides = (source, [[BEGIN, *t] for t in target], [[*t, END] for t in target])
    tokens, before, after = (data.pad(side, PAD) for side in sides)
    return Batch(tokens, lengths, before, after)


def bucket(
    sides: Sides, budget: int, seed: int = 0, redraw: Callable[[int], Sides] | None = None
) -> tuple[Callable[[int], Batch], int]:
    """n -> batch n, of pairs of like length in another order every epoch; and the batches of an epoch.

    sides: the tokens of sources and of targets. budget: tokens of the longer side in a batch, padding included.
    redraw: epoch -> the same pairs in other tokens. Batch n is a function of n and the arguments alone.
    """
    rows = functools.lru_cache(maxsize=2)(redraw or (lambda epoch: sides))
    lengths = None if redraw is None else lambda epoch: _measure(rows(epoch))
    indices, count = data.bucketed(_measure(sides), budget, seed, JITTER, lengths)

    def batch(n: int) -> Batch:
        return collate(*([side[i] for i in indices(n)] for side in rows(n // count)))

    return batch, count


def split(sides: Sides, budget: int) -> Iterator[Batch]:
    """Every pair once, in batches of like length."""
    for indices in data.split(_measure(sides), budget):
        yield collate(*([side[i] for i in indices] for side in sides))


def _measure(sides: Sides) -> np.ndarray:
    """[N, 2] lengths of the longer and the shorter side of every pair; a target counts its END."""
    lengths = np.array([[len(s) for s in sides[0]], [len(t) + 1 for t in sides[1]]])
    return np.stack([lengths.max(0), lengths.min(0)], 1)
