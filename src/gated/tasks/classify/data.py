"""Files to examples: tables, lines, series, folders. What the examples are made of follows from the data.

    text      tables with a column of text, lines `__label__X text`, folders of .txt
    series    .ts, the UCR archive's lines, tables with a row a step (id, time) or a row a series
    sound, image, video     folders of a class; a video is a folder of frames

An example is a string, or an array [C, T] of numbers by step: channels, mel bands, the pixels of a row or of a frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gated._check import InputError, near, refuse, want
from gated.io import series
from gated.io.records import Record, records
from gated.io.text import TOTAL, is_path, lines, plural, source_name
from gated.tasks.classify import frames
from gated.tasks.classify.layout import KINDS, Layout, complete, folder, kind_of, labels_of, read_file
from gated.unicode import clean

MARK = "__label__"
SAMPLE = 200  # rows by which columns are guessed
WORDS = 2.0  # in the mean: a column with more is text
TARGETS = ("label", "target", "class", "category", "y", "sentiment", "stars", "intent")


@dataclass(frozen=True)
class Dataset:
    """Examples of one kind; their targets, tuples of labels as text, or None where they have none; and their places."""

    inputs: list[Any]
    targets: list[tuple[str, ...] | None]
    places: list[str]
    layout: Layout
    where: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)


def read(source: Any, layout: Layout, *, need: bool, targets: Any = None) -> Dataset:
    """The examples of a source, as `layout` says, which is completed where it is open.

    source   a path or "-", see above; a data frame; a list of texts, arrays [T] or [C, T], or `Path`s to files
    need     whether every example must have a target; those without are left out, and noted
    targets  of a list: a label each, or a list of labels

    Errors, with file and line: nothing there; columns that are not; text that is no number; channels of another number
    than the layout has; several kinds in one folder.
    """
    notes: list[str] = []
    where = source_name(source) if is_path(source) else "the data"
    if targets is not None or not (is_path(source) or hasattr(source, "columns")):
        want(not is_path(source), where, "a list of inputs beside a list of targets", "one path")
        rows, layout = _list(source, targets, layout, need)
    elif is_path(source) and Path(source).is_dir():
        rows, layout = folder(Path(source), layout, need, notes)
    elif is_path(source) and kind_of(source) in KINDS[2:]:
        want(not need, where, "a folder with a folder for each class", "one file")
        rows, layout = [(str(source), None, str(source))], replace(layout, kind=layout.kind or kind_of(source))
    elif layout.id or layout.time:
        rows, layout = frames.read_long(source, layout, need, notes)
    elif hasattr(source, "columns") or Path(source).suffix.lower() in frames.ENDINGS:
        rows, layout = _table(frames.to_records(source, layout), where, layout, need, notes)
    else:
        rows, layout = _text_file(source, where, layout, need, notes)
    rows = list(rows)
    want(len(rows) > 0, where, "at least one example", "none")
    gone = [place for _, target, place in rows if not target]
    if need and gone:
        want(len(gone) < len(rows), where, "examples with their labels", "none", "Name their column with --target.")
        notes.append(f"{plural(len(gone), 'example')} without a label left out: {', '.join(gone[:5])}.")
        rows = [row for row in rows if row[1]]
    if layout.kind in KINDS[2:]:
        if any(is_path(x) for x, _, _ in rows):
            layout = complete(layout, [x for x, _, _ in rows])
        rows = [(read_file(x, layout) if is_path(x) else x, target, place) for x, target, place in rows]
    if layout.kind != "text":
        layout = replace(layout, count=layout.count or len(rows[0][0]))
        for x, _, place in rows:
            got = plural(len(x), "channel")
            want(len(x) == layout.count, f"{where}, {place}", plural(layout.count, "channel"), got)
    inputs, labels, at = (list(column) for column in zip(*rows, strict=True))
    return Dataset(inputs, labels, at, layout, where, tuple(notes))


Rows = Iterable[tuple[Any, tuple[str, ...] | None, str]]


# ---- lists


def _list(source: Any, targets: Any, layout: Layout, need: bool) -> tuple[Rows, Layout]:
    items = list(source)
    want(len(items) > 0, "the data", "at least one example", "an empty list")
    want(targets is not None or not need, "the data", "targets beside a list of inputs", "none")
    labels = [None] * len(items) if targets is None else list(targets)
    got = f"{len(labels):,}"
    want(len(labels) == len(items), "targets", f"{len(items):,}, one for each input", got)
    first = items[0]
    kind = layout.kind or (
        kind_of(first) if isinstance(first, Path) else "text" if isinstance(first, str) else "series"
    )
    rows = []
    for n, (x, label) in enumerate(zip(items, labels, strict=True), 1):
        if kind == "text":
            want(isinstance(x, str), f"number {n}", "a text", type(x).__name__)
            x = clean(x)
        elif kind == "series":
            x = to_array(x, f"number {n}")
        else:
            want(is_path(x), f"number {n}", "the path of a file", type(x).__name__)
            x = str(x)
        rows.append((x, labels_of(label, layout), f"number {n}"))
    return rows, replace(layout, kind=kind)


def to_array(x: Any, where: str) -> np.ndarray:
    """A series [T] or [C, T] as float32 [C, T]."""
    try:
        values = np.asarray(x, np.float32)
    except (TypeError, ValueError):
        refuse(where, "a series of numbers [T] or [C, T]", type(x).__name__)
    values = values[None] if values.ndim == 1 else values
    want(values.ndim == 2, where, "a series of numbers [T] or [C, T]", f"{values.ndim} axes")
    want(not np.isinf(values).any(), where, "finite numbers, NaN for gaps", "an infinite one")
    return series.trim(values)


# ---- files of lines


def _text_file(source: Any, where: str, layout: Layout, need: bool, notes: list[str]) -> tuple[Rows, Layout]:
    numbered = lines(source, notes=notes)
    first = next((one for one in numbered if one[1].strip()), (0, ""))
    want(first[0] > 0, where, "at least one line", "an empty file")
    numbered = itertools.chain([first], numbered)
    start = first[1].lstrip("\ufeff \t")
    if layout.kind in ("", "series") and series.is_ts(start) and not layout.channels:
        rows = series.read_ts(where, numbered)
        return _series(rows, layout, where, need), replace(layout, kind="series")
    if layout.kind in ("", "series") and not (layout.target or layout.channels or layout.text) and series.is_ucr(start):
        return _series(series.read_ucr(where, numbered), layout, where, need), replace(layout, kind="series")
    if layout.kind in ("", "text") and start.startswith(MARK):
        return _marked(numbered, where, layout), replace(layout, kind="text")
    if layout.kind == "text" and not need and not _names(start, layout):  # lines of text, as to predict
        return [(clean(line), None, f"line {n}") for n, line in numbered], layout
    table = records(source, lambda here, row: _is_header(row, layout), max_bytes=TOTAL, notes=notes, numbered=numbered)
    return _table(table, where, layout, need, notes)


def _series(rows: Iterable[series.Series], layout: Layout, where: str, need: bool) -> Rows:
    for one in rows:
        todo = "In .ts, @classLabel true says that a label follows."
        want(one.label is not None or not need, f"{where}, line {one.line}", "a label", "none", todo)
        yield one.values, labels_of(one.label, layout), f"line {one.line}"


def _marked(numbered: Iterable[tuple[int, str]], where: str, layout: Layout) -> Rows:
    for n, line in numbered:
        words = line.split()
        labels = list(itertools.takewhile(lambda word: word.startswith(MARK), words))
        names = tuple(dict.fromkeys(clean(label.removeprefix(MARK)) for label in labels))
        todo = "For several labels take --output labels."
        want(len(names) <= 1 or layout.many, f"{where}, line {n}", "one label", f"{len(names)}", todo)
        if words:
            yield clean(" ".join(words[len(labels) :])), names or None, f"line {n}"


def _names(line: str, layout: Layout) -> bool:
    """Whether a line may be a header, or an object, with the layout's column of text."""
    return line.startswith(("{", "[")) or bool(layout.text and layout.text.casefold() in line.casefold())


def _is_header(row: list[str], layout: Layout) -> bool:
    cells = [cell.strip() for cell in row]
    own = [name.casefold() for name in (layout.text, layout.target, *layout.channels) if name]
    if own and any(cell.casefold() in own for cell in cells):
        return True
    if own and all(name.isdigit() for name in own):  # "1", "2" …: columns without a header
        return False
    short = all(0 < len(cell) <= 64 and len(cell.split()) <= 3 and not _is_number(cell) for cell in cells)
    return short and len(set(cells)) == len(cells)


# ---- tables


def _table(rows: Iterator[Record], where: str, layout: Layout, need: bool, notes: list[str]) -> tuple[Rows, Layout]:
    rows = iter(rows)
    head = list(itertools.islice(rows, SAMPLE))
    want(bool(head), where, "at least one row below the header", "none")
    if head[0].fault:
        raise InputError(head[0].fault)
    names = list(dict.fromkeys(name for one in head for name in one.values))
    text = _find(layout.text, names, where) if layout.text else ""
    target = _find(layout.target, names, where, need) if layout.target else ""
    if not target:
        rest = [name for name in names if name != text]
        named = [name for name in rest if name in TARGETS]
        target = named[0] if named else rest[0] if text and len(rest) == 1 else ""
        if target and need:
            notes.append(f"The target was taken to be the column {target!r}.")
    if not text and not layout.channels and layout.kind != "series":
        text = _guess_text([name for name in names if name != target], head)
        if text and not target:
            rest = [name for name in names if name != text]
            target = rest[0] if len(rest) == 1 else ""
            notes.extend([f"The target was taken to be the column {target!r}."] if target and need else [])
        if text:
            notes.append(f"The text was taken to be the column {text!r}.")
    got = ", ".join(map(repr, names[:8]))
    want(bool(target) or not need, where, "a column of labels", f"the columns {got}", "Name it with --target.")
    whole = itertools.chain(head, rows)
    if text:
        done = replace(layout, kind="text", text=layout.text or text, target=layout.target or target)
        return _texts(whole, done), done
    return frames.read_wide(whole, names, target, where, layout, head)


def _texts(rows: Iterable[Record], layout: Layout) -> Rows:
    text, goal = layout.text.casefold(), layout.target.casefold()
    for one in rows:
        if one.fault:
            raise InputError(one.fault)
        value = one.values.get(text)
        got = repr(value)[:40]
        want(value is None or isinstance(value, str), one.where, f"text under {layout.text!r}", got)
        yield clean(value or ""), labels_of(one.values.get(goal), layout), _place(one.where)


def _place(where: str) -> str:
    return where.rpartition(", ")[2]


def _find(name: str, names: Sequence[str], where: str, need: bool = True) -> str:
    """The column of this name, in lower case; "" where it is missing and not needed."""
    if name.casefold() in names:
        return name.casefold()
    got = ", ".join(map(repr, names[:8]))
    want(not need, where, f"a column {name!r}", f"the columns {got}", near(name, names))
    return ""


def _guess_text(names: Sequence[str], head: Sequence[Record]) -> str:
    """The column with the most words in the mean, if it is text."""
    words = {}
    for name in names:
        cells = [one.values.get(name) for one in head]
        texts = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
        plain = bool(texts) and not all(map(_is_number, texts))
        words[name] = sum(len(text.split()) for text in texts) / len(texts) if plain else 0.0
    best = max(words, key=lambda name: words[name], default="")
    return best if best and words[best] > WORDS else ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
