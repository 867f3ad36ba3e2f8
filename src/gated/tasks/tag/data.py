"""Sentences with tags, from columns, CoNLL-U, seq.in and seq.out, JSON lines with spans, raw text and lists."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gated._check import one_of, refuse, want
from gated.io.text import decode, is_path, open_stream, places, plural, source_name
from gated.tasks.tag import spans, tokens

__all__ = ["Layout", "Sentences", "check_tags", "read"]

UD = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
SUFFIXES = {
    ".conllu": "conllu", ".jsonl": "json", ".ndjson": "json", ".conll": "columns", ".bio": "columns", ".iob": "columns",
    ".iob2": "columns", ".col": "columns", ".tsv": "columns", ".txt": "",
}  # fmt: skip
KINDS = ("text", "columns", "conllu", "json", "slots")
TEXT, TOKENS, TAGS, LABELS = (
    ("text", "sentence"),
    ("tokens", "words"),
    ("tags", "ner_tags", "labels"),
    ("intent", "label"),
)
SPANS = ("spans", "entities", "labels", "label")
TAKEN = ("words", "tags", "labels", "features", "lines", "texts", "offsets", "values", "order", "seconds")
EXPECTED = "columns, CoNLL-U, JSON lines, a folder with seq.in and seq.out"


@dataclass(frozen=True)
class Layout:
    """Which columns of a file are read, as `Config` names them; `width` is the number of columns of training files."""

    column: str | None = None
    word: str | None = None
    features: tuple[str, ...] = ()
    kind: str = ""  # of the training data, one of KINDS
    width: int = 0
    words: Collection[str] = ()  # of the training data, by which raw text is cut


@dataclass(frozen=True)
class Sentences:
    """Sequences of words; `tags` and `labels` are None where the source has none."""

    words: list[list[str]]
    tags: list[list[str]] | None
    labels: list[str] | None
    where: str  # the file, for messages
    kind: str
    features: list[list[tuple[str, ...]]] = field(default_factory=list)  # of each word, where columns are named
    lines: list[list[int]] = field(default_factory=list)  # of each word, counted from 1
    texts: list[str] = field(default_factory=list)  # raw text, and in it
    offsets: list[list[tuple[int, int]]] = field(default_factory=list)  # first and last + 1 character of each word
    rows: list[str] = field(default_factory=list)  # the lines of a file of columns, to write beside
    width: int = 0
    notes: tuple[str, ...] = ()
    # of series, whose words are empty:
    values: list[Any] = field(default_factory=list)  # [T, C] numbers of each
    columns: tuple[str, ...] = ()  # the names of these
    order: list[Any] = field(default_factory=list)  # the rows of `frame` that the steps of each are
    seconds: list[Any] = field(default_factory=list)  # of a step of each, None where that is not known
    frame: Any = None

    def __len__(self) -> int:
        return len(self.words)

    def take(self, indices: Sequence[int]) -> Sentences:
        """The sentences at these indices, without rows and notes."""

        def some(values: Any) -> Any:
            return [values[k] for k in indices] if values else values

        parts = {name: some(getattr(self, name)) for name in TAKEN}
        return replace(self, **parts, rows=[], notes=(), frame=None)

    def place(self, sentence: int, step: int) -> str:
        """Where a word stands, for messages."""
        if self.lines and self.lines[sentence]:
            return f"{self.where}, line {self.lines[sentence][step]}"
        return f"{self.where}, number {sentence + 1}"


def read(source: Any, layout: Layout = Layout(), *, kind: str = "", tagged: bool = True) -> Sentences:
    """Sentences from a file, a folder, "-" for standard input, or a list.

    columns    a word a line with its columns, tabs or spaces between them; a blank line ends a sentence. Lines that
               begin with -DOCSTART- are left out, and comments (# and another number of columns)
    CoNLL-U    ten columns, between tabs; ranges of multiword tokens (1-2) and empty nodes (1.1) are left out
    slots      a folder with seq.in and seq.out, and label if there is one; or a file named seq.in, where not `tagged`
    JSON       an object a line: text and spans, each {"start", "end", "label"} or [start, end, label], by characters;
               or tokens and tags; an intent is the label of the whole. By character means as Python counts them
    text       a line is a sentence, of which spaces and punctuation part the words; not where `tagged`
    list       of sentences: each (word, tag) pairs, or with `tagged` False a string or a list of words

    kind: one of KINDS; by default it follows from the name and the content of the file.

    Errors: no such file; another kind; a line with too few columns; a span that is no part of the text; no tags.
    """
    if isinstance(source, Sentences):
        return source
    if not is_path(source):
        return _from_list(source, layout, tagged)
    path, where = Path(source), source_name(source)
    if str(source) != "-" and path.is_dir():
        return _from_slots(path, where)
    notes: list[str] = []
    with open_stream(source) as stream:
        numbered = list(decode(stream, notes=notes))
        name = stream.name
    want(any(line.strip() for _, line in numbered), where, "at least one sentence", "an empty file")
    kind = kind or guess(name, [line for _, line in numbered[:2000]], layout, tagged)
    made = parse(where, numbered, kind, layout, tagged)
    return replace(made, notes=(*notes, *made.notes))


def parse(where: str, numbered: Sequence[tuple[int, str]], kind: str, layout: Layout, tagged: bool) -> Sentences:
    """The sentences of numbered lines, which are of one of KINDS."""
    one_of("input", kind, KINDS)
    if kind == "json":
        return _from_json(where, numbered, layout, tagged)
    if kind in ("text", "slots"):
        want(not tagged, where, EXPECTED, "text without tags")
        return _from_text(where, numbered, layout, spaces=kind == "slots")
    return _from_columns(where, numbered, layout, kind, tagged)


def guess(name: str, lines: Sequence[str], layout: Layout, tagged: bool) -> str:
    """What a file is, by its name, or else by its first lines and the kind of the training data."""
    path = Path(name.lower().removesuffix(".gz"))
    if path.name == "seq.in":
        return "slots"
    if SUFFIXES.get(path.suffix):
        return SUFFIXES[path.suffix]
    full = [line for line in lines if line.strip() and not line.startswith(("#", "-DOCSTART-"))]
    if full and full[0].lstrip().startswith("{"):
        return "json"
    if full and all(line.count("\t") == 9 for line in full):
        return "conllu"
    if tagged:
        return "columns"
    widths = {len(_fields(line)) for line in full}
    wanted = {layout.width, layout.width - 1} - {0, -1} if layout.kind == "columns" else set()
    several = len(full) > 1 and len(widths) == 1 and widths <= wanted  # a word a line, and not one long line
    return "columns" if several else "slots" if layout.kind == "slots" else "text"


# ---- columns


def _fields(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def _from_columns(
    where: str, numbered: Sequence[tuple[int, str]], layout: Layout, kind: str, tagged: bool
) -> Sentences:  # fmt: skip
    width = _width(numbered)
    ud = kind == "conllu"
    want(not ud or width == 10, where, "ten columns between tabs, as CoNLL-U has", width)
    todo = f"Name a column from 1 to {width}" + ", or form, lemma, upos, xpos, feats, deprel." * ud + "."
    column = layout.column or ("upos" if ud else str(layout.width if not tagged and layout.width else width))
    at_tag = _find_column(where, "column", column, width, ud, todo, missing=not tagged)
    at_word = _find_column(where, "word", layout.word or ("form" if ud else "1"), width, ud, todo)
    at_features = [_find_column(where, "features", name, width, ud, todo) for name in layout.features]
    want(at_tag is None or at_tag != at_word, where, "a word and its tag in each line", "one column", todo)
    made: dict[str, list[Any]] = {name: [] for name in ("words", "tags", "features", "lines")}
    part: dict[str, list[Any]] = {name: [] for name in made}
    for n, line in itertools.chain(numbered, [(0, "")]):
        fields = _fields(line)
        if not line.strip() or line.startswith("-DOCSTART-"):
            if part["words"]:
                for name, values in part.items():
                    made[name].append(values)
                part = {name: [] for name in made}
            continue
        if line.startswith("#") and (ud or len(fields) != width):
            continue
        here = f"{where}, line {n}"
        want(len(fields) == width, here, plural(width, "column"), len(fields))
        if ud and not fields[0].isdigit():
            want(any(c in fields[0] for c in "-."), here, "a number in the first column", repr(fields[0]))
            continue
        cells = [fields[k] for k in (at_word, *at_features)]
        tag = "" if at_tag is None else fields[at_tag]
        want(all(cell.strip() for cell in cells), here, "a word in each column", "an empty one")
        want(bool(tag.strip()) or not tagged, here, f"a tag in column {(at_tag or 0) + 1}", "none")
        for name, value in zip(made, (cells[0], tag, tuple(cells[1:]), n), strict=True):
            part[name].append(value)
    want(bool(made["words"]), where, "at least one sentence", "none")
    features = made["features"] if layout.features else []
    rows = [line for _, line in numbered]
    tags = None if at_tag is None or not all(all(row) for row in made["tags"]) else made["tags"]
    return Sentences(made["words"], tags, None, where, kind, features, made["lines"], rows=rows, width=width)


def _width(numbered: Sequence[tuple[int, str]]) -> int:
    """The number of columns: that of the first line that is neither blank nor may be a comment."""
    full = [line for _, line in numbered if line.strip() and not line.startswith("-DOCSTART-")]
    plain = [line for line in full if not line.startswith("#")]
    return len(_fields((plain or full or [""])[0]))


def _find_column(
    where: str, option: str, name: str, width: int, ud: bool, todo: str, missing: bool = False
) -> Any:  # fmt: skip
    """The index of a column; None where it may be missing and is."""
    if ud and name.lower() in UD:
        return UD.index(name.lower())
    want(name.isascii() and name.isdigit() and int(name) > 0, where, f"a column as {option}", repr(name)[:40], todo)
    if missing and int(name) > width:
        return None
    want(int(name) <= width, where, f"{plural(int(name), 'column')} at least ({option})", width, todo)
    return int(name) - 1


# ---- seq.in, seq.out, label


def _from_slots(folder: Path, where: str) -> Sentences:
    names = ("seq.in", "seq.out", "label")
    files = [next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None) for name in names]
    want(files[0] is not None and files[1] is not None, where, "a folder with seq.in and seq.out", "another folder")
    sides: list[list[tuple[int, str]]] = []
    for path in files:
        if path is not None:
            with open_stream(path) as stream:
                sides.append(list(decode(stream)))
    counts = " and ".join(f"{len(side):,} in {path.name}" for side, path in zip(sides, files, strict=False) if path)
    want(len({len(side) for side in sides}) == 1, where, "as many lines in each file", counts)
    words, tags, lines, labels = [], [], [], []
    for (n, left), (_, right), *rest in zip(*sides, strict=True):
        a, b = left.split(), right.split()
        want(len(a) == len(b), f"{where}, line {n}", f"{plural(len(a), 'tag')}, one for each word", len(b))
        if not a:
            continue
        words.append(a)
        tags.append(b)
        lines.append([n] * len(a))
        labels += [label.strip() for _, label in rest]
        want(not rest or bool(labels[-1]), f"{where}, line {n}", "a label", "none")
    want(bool(words), where, "at least one sentence", "none")
    return Sentences(words, tags, labels or None, where, "slots", lines=lines)


# ---- JSON lines, raw text, lists


def _from_json(where: str, numbered: Iterable[tuple[int, str]], layout: Layout, tagged: bool) -> Sentences:
    made: list[dict[str, Any]] = []
    labels: list[str] = []
    shifted: list[int] = []
    for n, line in numbered:
        if not line.strip():
            continue
        here = f"{where}, line {n}"
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            refuse(here, "a JSON object", str(error)[:80])
        want(isinstance(content, dict), here, "a JSON object", type(content).__name__)
        text, words = _get(content, TEXT, str), _get(content, TOKENS, list)
        if words is not None:
            fits = all(isinstance(word, str) and word.strip() for word in words)
            want(fits, here, "tokens that are words", repr(words)[:40])
            tags = _get(content, TAGS, list)
            want(tags is not None or not tagged, here, f"tags under {TAGS[0]!r}", f"keys {', '.join(content)}"[:80])
            fits = tags is None or (len(tags) == len(words) and all(isinstance(tag, str) and tag for tag in tags))
            want(fits, here, f"{plural(len(words), 'tag')} in words, one for each token", repr(tags)[:40])
            text, offsets = " ".join(words), _join(words)
        else:
            want(text is not None, here, "text and spans, or tokens and tags", f"keys {', '.join(content)}"[:80])
            marks = _get(content, SPANS, list)
            want(
                marks is not None or not tagged,
                here,
                f"a list of spans under {SPANS[0]!r}",
                f"keys {', '.join(content)}"[:80],
            )
            places = [_read_span(here, str(text), mark) for mark in marks or []]
            offsets = tokens.tokenize(str(text), layout.words, layout.kind == "slots")
            offsets = _split_at(offsets, {c for a, b, _ in places for c in (a, b)})
            words = [str(text)[a:b] for a, b in offsets]
            tags, whole = _tag_spans(here, offsets, places)
            shifted += [] if whole else [n]
        label = _get(content, LABELS, str)
        labels += [label] if label else []
        made.append({"words": words, "tags": tags, "text": text, "offsets": offsets, "lines": [n] * len(words)})
    want(bool(made), where, "at least one object", "none")
    want(
        len(labels) in (0, len(made)),
        where,
        f"a label in every object, or in none ({LABELS[0]})",
        f"{len(labels):,} of {len(made):,}",
    )
    known = tagged or all(one["tags"] is not None for one in made)
    notes = [f"Spaces at the ends of spans were left out ({places_of(shifted)})."] if shifted else []
    return Sentences(
        [one["words"] for one in made], [one["tags"] for one in made] if known else None, labels or None, where, "json",
        lines=[one["lines"] for one in made], texts=[one["text"] for one in made],
        offsets=[one["offsets"] for one in made], notes=tuple(notes),
    )  # fmt: skip


def places_of(lines: Sequence[int]) -> str:
    return places("line", lines)


def _get(content: dict[str, Any], names: Sequence[str], kind: type) -> Any:
    return next((content[name] for name in names if isinstance(content.get(name), kind)), None)


def _read_span(here: str, text: str, mark: Any) -> tuple[int, int, str]:
    if isinstance(mark, dict):
        mark = [
            mark.get("start", mark.get("start_offset")),
            mark.get("end", mark.get("end_offset")),
            mark.get("label", mark.get("type")),
        ]
    fits = isinstance(mark, list) and len(mark) == 3 and all(type(place) is int for place in mark[:2])
    want(
        fits and isinstance(mark[2], str) and bool(mark[2].strip()),
        here,
        "spans of start, end and label",
        repr(mark)[:60],
    )
    first, end, label = mark
    fits = 0 <= first < end <= len(text) and bool(text[first:end].strip())
    want(fits, here, f"spans within the text, of {plural(len(text), 'character')}", f"{first} to {end}")
    return first, end, label


def _split_at(offsets: Sequence[tuple[int, int]], cuts: Collection[int]) -> list[tuple[int, int]]:
    """The tokens, with those in two in which a span begins or ends."""
    out = []
    for first, end in offsets:
        inside = sorted(cut for cut in cuts if first < cut < end)
        out += itertools.pairwise([first, *inside, end])
    return out


def _tag_spans(
    here: str, offsets: Sequence[tuple[int, int]], marks: Sequence[tuple[int, int, str]]
) -> tuple[list[str], bool]:
    """Tags (iob2) of spans by characters, and whether every span is made of whole tokens."""
    out, whole = ["O"] * len(offsets), True
    for first, end, label in marks:
        own = [k for k, (a, b) in enumerate(offsets) if a >= first and b <= end]
        taken = [k for k in own if out[k] != "O"]
        want(bool(own) and not taken, here, "spans that do not overlap", f"{first} to {end} of {label!r}")
        whole = whole and offsets[own[0]][0] == first and offsets[own[-1]][1] == end
        for k in own:
            out[k] = f"{'B' if k == own[0] else 'I'}-{label}"
    return out, whole


def _join(words: Sequence[str]) -> list[tuple[int, int]]:
    """The places of words with a space between them."""
    ends = list(itertools.accumulate(len(word) + 1 for word in words))
    return [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]


def _from_text(where: str, numbered: Iterable[tuple[int, str]], layout: Layout, spaces: bool = False) -> Sentences:
    texts, lines = [], []
    for n, line in numbered:
        texts.append(line)
        lines.append(n)
    offsets = [tokens.tokenize(text, layout.words, spaces) for text in texts]
    words = [[text[a:b] for a, b in places] for text, places in zip(texts, offsets, strict=True)]
    return Sentences(
        words, None, None, where, "slots" if spaces else "text",
        lines=[[n] * len(row) for n, row in zip(lines, words, strict=True)], texts=texts, offsets=offsets,
    )  # fmt: skip


def _from_list(source: Any, layout: Layout, tagged: bool) -> Sentences:
    where, form = "the list", "sentences of (word, tag) pairs" if tagged else "strings, or lists of words"
    want(isinstance(source, list | tuple), where, form, type(source).__name__)
    want(len(source) > 0 or not tagged, where, "at least one sentence", "none")
    if not tagged and source and all(isinstance(one, str) for one in source):
        return replace(_from_text(where, list(enumerate(source, 1)), layout, layout.kind == "slots"), lines=[])
    words, tags = [], []
    for n, sentence in enumerate(source, 1):
        here = f"{where}, number {n}"
        want(isinstance(sentence, list | tuple), here, form, repr(sentence)[:40])
        if sentence and all(isinstance(word, str) for word in sentence):
            want(not tagged, here, form, repr(sentence)[:40])
            words.append(list(sentence))
            continue
        pairs = all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in sentence)
        want(
            pairs and all(isinstance(x, str) and x.strip() for pair in sentence for x in pair),
            here,
            form,
            repr(sentence)[:40],
        )
        words.append([word for word, _ in sentence])
        tags.append([tag for _, tag in sentence])
    known = len(tags) == len(words)
    return Sentences(words, tags if known else None, None, where, "list", texts=[" ".join(row) for row in words],
                     offsets=[_join(row) for row in words])  # fmt: skip


# ---- tags


def check_tags(sentences: Sentences, scheme: str) -> list[str]:
    """Refuse tags that are none of the scheme; notes on spans that are marked against its rules.

    Errors: a tag without a prefix among tags that have one, with its line.
    """
    if scheme == "plain":
        return []
    wrong: list[Any] = []
    for k, row in enumerate(sentences.tags or []):
        for t, tag in enumerate(row):
            if tag != "O" and not spans.split(tag)[1]:
                refuse(sentences.place(k, t), "O, or a tag such as B-NAME", repr(tag))
        wrong += [sentences.lines[k][t] if sentences.lines else k + 1 for t in spans.violations(row, scheme)]
    if not wrong:
        return []
    where = places("line" if sentences.lines else "sentence", wrong)
    return [f"{plural(len(wrong), 'tag')} against the rules of {scheme} ({where}): read as conlleval reads them."]


def iterate(sentences: Sentences) -> Iterator[tuple[str, str]]:
    """Every word with its tag."""
    for words, tags in zip(sentences.words, sentences.tags or [], strict=True):
        yield from zip(words, tags, strict=True)
