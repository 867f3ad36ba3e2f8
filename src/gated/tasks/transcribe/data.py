"""Files to items: manifests, folders, single files and lists, with their texts; errors name file and line.

Text becomes NFC, on one line, with every run of white space, no-break spaces included, as one space and none at the
ends; control characters become spaces.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gated._check import InputError, one_of, refuse, want
from gated.io.text import form, is_path, lines, plural, siblings, source_name
from gated.tasks.transcribe.manifests import (
    FIELDS,
    KINDS,
    LAYOUTS,
    PRINT,
    SOUND,
    Item,
    Layout,
    is_manifest,
    kind_of,
    make_item,
    name_layout,
    read_kaldi,
    read_manifest,
    spell,
)  # fmt: skip
from gated.unicode import clean

MAX_TEXT = 1 << 20  # bytes of one file of text
ENDINGS = {"sound": ".txt", "print": ".gt.txt"}  # of the text; X.txt beside an image is some program's output
NOUNS = {"sound": "sound", "print": "image"}
FORM = re.compile(r"\.(bin|nrm)(\..*)?$")  # X.bin.png and X.nrm.png are other forms of the line X.png
SAMPLES = re.compile(r"0 \d{4,6} (?=\D)")
SOURCES = "a manifest (.csv, .tsv, .jsonl), a folder, a file of sound or an image"
OTHERS = {  # files that people have beside those, and what to do with them
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".parquet", ".arrow", ".feather"), "a table to be saved as CSV"),
    **dict.fromkeys((".stm", ".ctm", ".trs", ".eaf", ".textgrid", ".srt", ".vtt", ".mlf"),
                    "annotations of a sound, to be written as a manifest with start and end"),
    **dict.fromkeys((".xml", ".hocr", ".html"), "annotations of pages, of which lines are to be cut out"),
    **dict.fromkeys((".pdf", ".djvu"), "pages, of which lines are to be cut out as images"),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".ark"), "an archive to be unpacked"),
}  # fmt: skip
MANIFESTS = ("metadata.csv", "metadata.jsonl", "metadata.tsv")  # of folders


class Dataset(NamedTuple):
    """The items of a source, all of one kind: "sound" or "print"."""

    items: list[Item]
    kind: str
    notes: list[str]  # on the data, a sentence each
    where: str


def read_items(
    source: Any, *, text: bool = True, columns: Sequence[str] = (), strict: bool = True, bad: str = "refuse",
    kind: str | None = None,
) -> Dataset:  # fmt: skip
    """The sounds or images of a source, with their texts.

    source   a manifest  .csv, .tsv, .txt (a line an item, with a header or without) or .jsonl, .ndjson, .json (an
                         object an item), plain or gzip, or "-": path, text and, optionally, start, end in seconds,
                         speaker, in one of `manifests.LAYOUTS`; other columns are ignored. A path is relative to the
                         manifest's folder, or else to the working directory
             a folder    X.wav, X.flac … with X.txt, or X.png, X.jpg, X.tif … with X.gt.txt, in it and below, by
                         name; X.bin.png and X.nrm.png go with X.gt.txt too, and of several forms one is taken. Or a
                         folder with wav.scp (Kaldi), or with metadata.csv (LJSpeech)
             a file      one sound or image, its text beside it as in a folder
             a list      of files, of (path, text), or of dicts with the names of the columns
    text     True: every item has a text, which may be empty. False: no text is required, and none is looked for beside
             a file; those of a manifest or list are passed on
    columns  names of a manifest's columns, see `manifests.name_layout`; strict: and of no known format
    bad      "refuse": an item that is wrong is an error. "skip": it has a `fault`, and no error is raised for it
    kind     with "skip", the kind that is wanted: that of most items by default

    Errors, each with file and line: nothing there, nothing in it; a column missing or twice, too few or too many
    fields; text not in UTF-8, a line over 1 MB; missing files (three are named); times that are no times; sound and
    images together; an item without text.
    """
    one_of("bad", bad, ("refuse", "skip"))
    notes: list[str] = []
    if is_path(source):
        where, path = source_name(source), Path(source)
        if path.is_dir():
            items = _read_folder(path, text, notes, columns, strict, bad)
        elif is_manifest(path):
            items = read_manifest(source, text, columns, notes, bad, strict)
        else:
            want(path.suffix.lower() in KINDS, where, SOURCES, _describe_ending(path), siblings(path))
            items = [_read_file(where, text, notes)]
    else:
        where = "the list"
        want(isinstance(source, list | tuple), "source", f"{SOURCES}, or a list of files", type(source).__name__)
        layout = name_layout(columns) if columns else LAYOUTS[0]
        items = [_read_entry(n, entry, text, layout, notes, bad) for n, entry in enumerate(source, 1)]
        want(len(items) > 0, where, "at least one file", "an empty list")
    if bad == "skip":
        items = [_find_fault(item) for item in items]
    else:
        _check_files(where, items)
    repeats = len(items) - len({item[:1] + item[2:4] for item in items if item.path})
    repeats -= sum(not item.path for item in items)
    if repeats > 0:
        notes.append(f"Listed again: {plural(repeats, 'item')} of the same file and times as another.")
    items = _strip_samples(items, notes)
    kind = _find_kind(items, where) if bad != "skip" else kind or _common_kind(items, where)
    if bad == "skip":
        items = [_refuse_kind(item, kind) for item in items]
    return Dataset(items, kind, notes, where)


# ---- folders, files, lists


def _read_folder(
    folder: Path, text: bool, notes: list[str], columns: Sequence[str], strict: bool, bad: str
) -> list[Item]:
    """The folder's items: by its tables where files have no text beside them."""
    if (folder / "wav.scp").is_file():
        return read_kaldi(folder, text, notes, bad)
    table = next((folder / name for name in MANIFESTS if (folder / name).is_file()), None)
    if table is not None and not any(_find_text(path) for path in _list_files(folder) if kind_of(path)):
        notes.append(f"{folder} is read by its {table.name}.")
        return read_manifest(table, text, columns, notes, bad, strict)
    lists = [Path(path) for path in _list_files(folder) if path.endswith(".trans.txt")] if text else []
    if lists and not any(_find_text(path) for path in _list_files(folder) if kind_of(path)):
        remarks: list[str] = []  # the same for each
        items = [item for one in lists for item in read_manifest(one, text, (), remarks, bad)]
        notes.append(f"{folder} is read by its {plural(len(lists), 'file')} of texts, .trans.txt.")
        alone = sum(kind_of(path) == "sound" for path in _list_files(folder)) - len({item.path for item in items})
        notes += [f"Left out: {plural(alone, 'sound')} without a line in them."] if alone > 0 else []
        return items
    return list(_pair_files(folder, text, notes))


def _pair_files(folder: Path, text: bool, notes: list[str]) -> Iterator[Item]:
    """Files with the texts beside them; where both kinds are there, those of the kind that has texts."""
    sources: dict[str, list[str]] = {"sound": [], "print": [], "": []}
    for path in _list_files(folder):
        sources[kind_of(path)].append(path)
    others = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in sources.pop(""))
    usable = {kind: [path for path in paths if not text or _find_text(path)] for kind, paths in sources.items()}
    where = str(folder)
    if not any(sources.values()):
        got = ", ".join(f"{n} {ending}" for ending, n in others.most_common(4)) or "an empty folder"
        refuse(where, "files of sound (.wav, .flac …) or images (.png, .jpg …)", got)
    kinds = [kind for kind in usable if usable[kind]]
    if not kinds:
        kind, paths = next((kind, paths) for kind, paths in sources.items() if paths)
        got = f"{plural(len(paths), NOUNS[kind])} without text"
        tables = [name for name in sorted(os.listdir(folder)) if form(name)]
        todo = f"Or give a table of it: {', '.join(tables[:4])}." if tables else ""
        refuse(where, f"X{ENDINGS[kind]} beside X{Path(paths[0]).suffix}", got, todo)
    got = " and ".join(plural(len(paths), NOUNS[kind]) for kind, paths in sources.items())
    want(len(kinds) == 1, where, "sound or images", got, "Give the folder of one kind, or a manifest.")
    paths = usable[kinds[0]]
    distinct = _choose_forms(paths)
    partners = [_find_text(path) for path in distinct] if text else [None] * len(distinct)
    encodings: list[str] = []
    for path, partner in zip(distinct, partners, strict=True):
        yield Item(path, _read_text(partner, encodings) if text else None, where=path)
    notes += encodings[:1] + [f"{plural(len(encodings) - 1, 'more text')} likewise."] * (len(encodings) > 1)
    if text:
        names = set(partners)
        alone = sum(map(len, sources.values())) - len(paths), others[".txt"] - len(names)
        reasons = ("file", "of sound or print without text"), ("text", "without its file")
        notes += [f"Left out: {plural(n, noun)} {why}." for n, (noun, why) in zip(alone, reasons, strict=True) if n > 0]
        if len(names) < len(distinct):
            shared = Counter(partners).most_common(1)[0][0]
            again = plural(len(distinct) - len(names), "file")
            notes.append(f"Listed again: {again} with the text of another, as those of {shared}.")
    if len(distinct) < len(paths):
        notes.append(f"Left out: {plural(len(paths) - len(distinct), 'image')} of the same line as another.")


def _list_files(folder: Path) -> list[str]:
    """All files in and below a folder, by name; links are followed, each folder once."""
    visited: set[tuple[int, int]] = set()
    paths: list[str] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [os.path.join(place, name) for name in names if not name.startswith(".")]
    return sorted(paths)


def _find_text(path: str) -> str | None:
    """The file with the text of this one, if it is there: X.txt, or X.wav.txt beside X.wav."""
    ending = ENDINGS[kind_of(path)]
    stems = os.path.splitext(path)[0], _strip_form(path), path
    endings = ending, ending.upper(), ending.replace("txt", "TXT"), ending.replace("txt", "Txt")
    names = [stem + one for stem in dict.fromkeys(stems) for one in endings]
    names += [] if path.isascii() else [one for name in names for one in spell(name)]
    return next(filter(os.path.isfile, names), None)


def _strip_form(path: str) -> str:
    """The path without its ending, and an image's without the mark of a form of the same line."""
    stem = os.path.splitext(path)[0]
    folder, name = os.path.split(stem)
    return os.path.join(folder, FORM.sub("", name)) if kind_of(path) == "print" else stem


def _choose_forms(paths: list[str]) -> list[str]:
    """Of X.png, X.nrm.png and X.bin.png the first; of sound, all."""
    first: dict[str, str] = {}
    for path in paths:
        key = _strip_form(path) if kind_of(path) == "print" else path
        first[key] = min(first.get(key, path), path, key=lambda p: (len(p), p))
    return list(first.values())


def _read_file(path: str, text: bool, notes: list[str], bad: str = "refuse") -> Item:
    if not text or not os.path.isfile(path) or not kind_of(path):
        return Item(path, where=path)
    partner = _find_text(path)
    if partner is None:
        stem = os.path.basename(os.path.splitext(path)[0])
        expected = f"its text in {stem}{ENDINGS[kind_of(path)]} beside it"
        want(bad == "skip", path, expected, "no such file")
        return Item(path, where=path, fault=f"{path}: expected {expected}, got no such file.")
    return Item(path, _read_text(partner, notes), where=path)


def _read_entry(n: int, entry: Any, text: bool, layout: Layout, notes: list[str], bad: str) -> Item:
    """The item of entry n of a list."""
    where = f"the list, number {n}"
    if isinstance(entry, Item):
        return make_item(entry._asdict(), entry.where or where, text, bad=bad, fault=entry.fault)
    if is_path(entry):
        return _read_file(os.fspath(entry), text, notes, bad)
    if isinstance(entry, Mapping):
        fits = all(isinstance(name, str) for name in entry)
        want(fits, where, "names that are strings", ", ".join(map(repr, list(entry)[:8])))
        return make_item({name.casefold(): value for name, value in entry.items()}, where, text, layout, bad=bad)
    fits = isinstance(entry, list | tuple) and len(entry) == 2
    want(fits, where, "a path, (path, text), or a dict", repr(entry)[:40])
    return make_item(dict(zip(FIELDS, entry, strict=False)), where, text, bad=bad)


def _read_text(path: str | None, notes: list[str]) -> str:
    found = lines(path, max_bytes=MAX_TEXT, notes=notes) if path else ()
    return clean(" ".join(line for _, line in found), every_space=True)


def _strip_samples(items: list[Item], notes: list[str]) -> list[Item]:
    """Without the first and last sample that stand before each text of TIMIT."""
    beside = [item for item in items if item.text and item.where == item.path and kind_of(item.path) == "sound"]
    if not beside or not all(SAMPLES.match(item.text or "") for item in beside):
        return items
    notes.append(f"Left out: the numbers of samples before {plural(len(beside), 'text')}, as in TIMIT.")
    mine = set(map(id, beside))
    return [item._replace(text=SAMPLES.sub("", item.text or "")) if id(item) in mine else item for item in items]


# ---- checks of all items


def _check_files(where: str, items: list[Item]) -> None:
    missing = [item for item in items if not os.path.isfile(item.path)]
    if missing:
        names = ", ".join(item.path for item in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        what = "a folder" if all(os.path.isdir(item.path) for item in missing) else "no such file"
        here = missing[0].where if len(missing) == 1 else where
        path = Path(missing[0].path)
        todo = siblings(path) or siblings(Path(where).parent / path) if len(missing) == 1 else ""
        todo = todo or ("" if len(items) == 1 else "With bad='skip' (--bad skip) they are left out.")
        refuse(here, "files that are there", what if names == here else f"{what}: {names}{more}", todo)


def _find_kind(items: list[Item], where: str) -> str:
    first: dict[str, Item] = {}
    for item in items:
        _check_item(item)
        first.setdefault(kind_of(item.path), item)
    if len(first) > 1:
        refuse(where, "sound or images", f"both: {' and '.join(item.path for item in first.values())}")
    return next(iter(first))


def _check_item(item: Item) -> None:
    kind = kind_of(item.path)
    if not kind:
        path = Path(item.path)
        refuse(item.where, "a file of sound or an image", _describe_ending(path), siblings(path))
    span = item.start is not None or item.end is not None
    want(kind == "sound" or not span, item.where, "start and end for sound only", f"them for {item.path}")


# ---- with bad="skip"


def _find_fault(item: Item) -> Item:
    """The item, with its fault where its file is not there or of no kind."""
    if item.fault:
        return item
    try:
        _check_files(item.where, [item])
        _check_item(item)
    except InputError as error:
        return item._replace(fault=str(error))
    return item


def _common_kind(items: list[Item], where: str) -> str:
    counts = Counter(kind_of(item.path) for item in items if not item.fault)
    if not counts:
        refuse(where, "at least one file of sound or image that can be read", f"none. {items[0].fault.rstrip('.')}")
    return counts.most_common(1)[0][0]


def _refuse_kind(item: Item, kind: str) -> Item:
    got = kind_of(item.path)
    return item if item.fault or got == kind else item._replace(fault=f"{item.where}: expected {kind}, got {got}.")


def _describe_ending(path: Path) -> str:
    if not os.path.exists(path):
        return "no such file"
    what = OTHERS.get(path.suffix.lower(), "")
    if what:
        return f"{what}: {path.name}"
    endings = f"{', '.join(SOUND[:6])} … of sound, or {', '.join(PRINT[:4])} … of images"
    return f"{path.name}, and {path.suffix or 'a name without ending'} is none of {endings}"
