"""Sentences and their translations from files, standard input and lists, and the batches made of them."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gated import data
from gated._check import want
from gated.features.tokens import BEGIN, END, PAD
from gated.io.text import (
    Row,
    Stream,
    clean_row,
    decode,
    form,
    is_path,
    lines,
    open_stream,
    places,
    plural,
    rows,
    source_name,
)  # fmt: skip
from gated.tasks.translate import documents, po

__all__ = [
    "Batch", "Pairs", "bucket", "collate", "holds_pairs", "read_pairs", "read_sentences", "split", "stream_sentences",
]  # fmt: skip

JITTER = 2.0  # tokens by which an epoch may misjudge a length, so that batches mix
Sides = Sequence[Sequence[Sequence[int]]]  # the tokens of sources and of targets
HEAD = re.compile(r"source|target|src|tgt|trg|sentence|translation|(?!ja|no|so)[a-z]{2}([-_][A-Za-z]{2,4})?", re.I)
PAIRS = "two files, lists of strings, or one file of pairs (.tsv, .csv, .jsonl, .po, .xliff, .tmx)"


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


def read_pairs(source: Any, target: Any = None, *, columns: Sequence[str] = (), known: Sequence[str] = ()) -> Pairs:
    """Read sentences with their translations, for training and scoring.

    source, target   two files of one sentence a line; or two lists of strings
    source alone     a file of pairs, "-" for standard input, or a list of pairs:
      .tsv .csv      source and target. With `columns` the first line is a header that holds these two names
      .jsonl         an object a line, with the keys `columns`: "source" and "target" unless given; "translation.de" is
                     the key de of the object at translation
      .po .xliff     the finished entries, see `po.pairs` and `markup.xliff_pairs`
      .tmx           the units that have both languages, which `columns` names where there are more

    known: columns to read where the file has them. A file of another name holds pairs if its first line has a tab or
    is an object. Files are read as `io.text`
    says. Pairs with an empty side are left out and listed in `notes`.

    Errors: no such file, a folder, an empty or binary file; another encoding; a line over 1 MB; files of different
    length; a line with another number of columns; no JSON; nothing left.
    """
    notes: list[str] = []
    if target is None:
        where, table = source_name(source), list(_read_one(source, columns, known, notes))
    else:
        want(not columns, "columns", "one file of pairs where columns are named", "two files")
        where = f"{source_name(source)} and {source_name(target)}"
        left, right = (list(_read_side(side, notes)) for side in (source, target))
        todo = "Line n of one must be the translation of line n of the other."
        got = f"{len(left)} in {source_name(source)} and {len(right)} in {source_name(target)}"
        want(len(left) == len(right), where, "as many lines in both", got, todo)
        table = [Row(n, x + y, a or b) for (n, x, a), (_, y, b) in zip(left, right, strict=True)]
    want(len(table) > 0, where, "at least one pair", "an empty file" if is_path(source) else "none")
    full = [row for row in table if all(row.cells)]
    empty = [row.line for row in table if not all(row.cells)]
    notes += _note_controls(table)
    if empty:
        notes.append(f"Left out: {plural(len(empty), 'pair')} with an empty side ({places('line', empty)}).")
    want(len(full) > 0, where, "at least one pair of sentences", f"{plural(len(table), 'pair')} with an empty side")
    source, target = ([row.cells[k] for row in full] for k in (0, 1))
    return Pairs(source, target, where, [row.line for row in full], notes)


def read_sentences(source: Any, *, columns: Sequence[str] = (), known: Sequence[str] = ()) -> Pairs:
    """Read sentences to translate, one from each line; an empty line gives an empty one: see `stream_sentences`.

    source: a file; "-" for standard input; a list of strings.

    Errors: as those of `read_pairs`.
    """
    notes: list[str] = []
    if is_path(source):
        with open_stream(source) as stream:
            kind = documents.form(stream.name, stream.head)
            todo = "Its texts are translated in place, by predict."
            want(not kind, stream.where, "a file of sentences", documents.NAMES.get(kind, kind), todo)
            table = list(stream_sentences(stream, columns, known, notes))
        want(len(table) > 0, stream.where, "at least one line", "an empty file")
    else:
        table = list(rows(source, "list"))
    lines, texts = [row.line for row in table], [row.cells[0] for row in table]
    return Pairs(texts, None, source_name(source), lines, notes + _note_controls(table))


def stream_sentences(
    stream: Stream, columns: Sequence[str] = (), known: Sequence[str] = (), notes: list[str] | None = None
) -> Iterator[Row]:
    """The sentences of a stream, as its lines come.

    Of a .tsv or .csv file the first column is read, beside which one other may stand; or the one that `columns` names
    first, or `known` where the header has it. Of .jsonl it is the key that they name first ("source"). A file of
    another name is a table if there are columns, of JSON lines if its first line is an object.
    """
    kind, names, numbered = _read_head(stream, columns[:1], known[:1], notes)
    names = names or (("source",) if kind == "jsonl" else ())
    return rows(stream.where, kind, names or None, numbered=numbered)


def _read_head(
    stream: Stream, columns: Sequence[str], known: Sequence[str], notes: list[str] | None
) -> tuple[str, Sequence[str], Iterator[tuple[int, str]]]:
    """What the lines of a file are, by its name or else by the first of them; the columns to read; the lines."""
    numbered = decode(stream, notes=notes)
    first = next(numbered, None)
    text = first[1].strip() if first else ""
    kind = form(stream.name)
    if not kind and text.startswith("{") and text.endswith("}") and '"' in text:
        kind = "jsonl"
    known = known if set(known) <= set(_split(kind, text)) or kind == "jsonl" else ()
    kind = kind or ("tsv" if columns or known else "text")
    return kind, columns or known, itertools.chain([first] if first else [], numbered)


def _split(kind: str, line: str) -> list[str]:
    """The cells of a header."""
    return [cell.strip(' "') for cell in re.split("[,;\t]" if kind == "csv" else "\t", line)]


def holds_pairs(name: str) -> bool:
    """Whether a file of this name holds pairs."""
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    return bool(form(name)) or documents.SUFFIXES.get(suffix) in ("po", "xml")


def _read_side(source: Any, notes: list[str]) -> Iterator[Row]:
    """The sentences of one of two aligned sources."""
    return rows(source, "text", numbered=lines(source, notes=notes)) if is_path(source) else rows(source, "list")


def _read_one(source: Any, columns: Sequence[str], known: Sequence[str], notes: list[str]) -> Iterator[Row]:
    if not is_path(source):
        want(isinstance(source, list | tuple), "pairs", PAIRS, type(source).__name__)
        return _read_list(source)
    with open_stream(source) as stream:
        document = documents.read(stream)
        if document is not None:
            return iter([clean_row(*pair) for pair in _read_document(document, columns, notes)])
        return iter(list(_read_table(stream, columns, known, notes)))


def _read_document(
    document: po.Catalogue | documents.Document, columns: Sequence[str], notes: list[str]
) -> list[tuple[int, str, str]]:
    if isinstance(document, documents.Document):
        notes += document.notes
        pairs, units = list(documents.pairs(document, columns)), "units"
    else:
        pairs, units = po.pairs(document), plural(len(po.gaps(document, fuzzy=True)), "message")
    want(bool(pairs), document.where, "a finished translation", f"{units}, none of them translated")
    return pairs


def _read_table(stream: Stream, columns: Sequence[str], known: Sequence[str], notes: list[str]) -> Iterator[Row]:
    kind, names, numbered = _read_head(stream, columns, known, notes)
    if kind == "text":
        first = next(numbered, (1, "\t"))
        want("\t" in first[1], stream.where, PAIRS, f"one file, no tab in line 1 ({first[1][:30]!r})")
        kind, numbered = "tsv", itertools.chain([first], numbered)
    names = names or (("source", "target") if kind == "jsonl" else ())
    if not names:
        first = next(numbered, None)
        cells = _split(kind, first[1] if first else "")
        if len(cells) > 1 and all(map(HEAD.fullmatch, cells)):
            notes.append(f"Line 1 was read as a pair ({', '.join(cells)}); if it is a header, name its columns.")
        numbered = itertools.chain([first] if first else [], numbered)
    return rows(stream.where, kind, names or None, width=2, numbered=numbered)


def _read_list(source: Any) -> Iterator[Row]:
    for n, pair in enumerate(source, 1):
        fits = isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(side, str) for side in pair)
        want(fits, f"pairs, number {n}", "two strings", repr(pair)[:40])
        yield clean_row(n, *pair)


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
