"""Files to items: manifests, folders, single files and lists, with their texts; errors name file and line.

Text becomes NFC, on one line, with every run of white space, no-break spaces included, as one space and none at the
ends; control characters become spaces.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gated._check import refuse, want
from gated.io.text import form, is_path, lines, plural, records, siblings
from gated.unicode import clean

MAX_TEXT = 1 << 20  # bytes of one file of text
MAX_MANIFEST = 1 << 30  # bytes of one manifest, after decompression
COLUMNS = ("path", "text", "start", "end", "speaker")
KINDS = {  # what libsndfile and Pillow read
    **dict.fromkeys(
        [".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"], "sound"
    ),
    **dict.fromkeys([".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".pbm", ".pnm"], "print"),
}
ENDINGS = {"sound": ".txt", "print": ".gt.txt"}  # of the text; X.txt beside an image is some program's output
NOUNS = {"sound": "sound", "print": "image"}
FORM = re.compile(r"\.(bin|nrm)(\..*)?$")  # X.bin.png and X.nrm.png are other forms of the line X.png
SOURCES = "a manifest (.csv, .tsv, .jsonl), a folder, a file of sound or an image"


class Item(NamedTuple):
    """A sound, or its span from `start` to `end` seconds, or an image; `text` is None where it is unknown."""

    path: str
    text: str | None = None
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    where: str = ""  # for messages: the file, or the manifest and line


class Dataset(NamedTuple):
    """The items of a source, all of one kind: "sound" or "print"."""

    items: list[Item]
    kind: str
    notes: list[str]  # on the data, a sentence each
    where: str


def read_items(source: Any, *, text: bool = True) -> Dataset:
    """The sounds or images of a source, with their texts.

    source   a manifest  .csv, .tsv (a header, then a line an item) or .jsonl, .ndjson (an object a line), plain or
                         gzip: path, text and, optionally, start, end in seconds, speaker; other columns are ignored.
                         A path is relative to the manifest's folder, or else to the working directory
             a folder    X.wav, X.flac … with X.txt, or X.png, X.jpg, X.tif … with X.gt.txt, in it and below, by
                         name; X.bin.png and X.nrm.png go with X.gt.txt too, and of several forms one is taken
             a file      one sound or image, its text beside it as in a folder
             a list      of files, of (path, text), or of dicts with the names of the columns
    text     True: every item has a text, which may be empty. False: no text is required, and none is looked for beside
             a file; those of a manifest or list are passed on

    Errors, each with file and line: nothing there, nothing in it; a column missing or twice, too few or too many
    fields; text not in UTF-8, a line over 1 MB; missing files (three are named); times that are no times; sound and
    images together; an item without text.
    """
    notes: list[str] = []
    if is_path(source):
        where, path = str(source), Path(source)
        if path.is_dir():
            items = list(_read_folder(path, text, notes))
        elif form(source):
            items = _read_manifest(path, text)
        else:
            want(path.suffix.lower() in KINDS, where, SOURCES, _describe_ending(path), siblings(path))
            items = [_read_file(where, text)]
    else:
        where = "the list"
        want(isinstance(source, list | tuple), "source", f"{SOURCES}, or a list of files", type(source).__name__)
        items = [_read_entry(n, entry, text) for n, entry in enumerate(source, 1)]
        want(len(items) > 0, where, "at least one file", "an empty list")
    _check_files(where, items)
    repeats = len(items) - len({item[:1] + item[2:4] for item in items})
    if repeats > 0:
        notes.append(f"Listed again: {plural(repeats, 'item')} of the same file and times as another.")
    return Dataset(items, _find_kind(items, where), notes, where)


# ---- manifests


def _read_manifest(path: Path, text: bool) -> list[Item]:
    rows = records(path, COLUMNS[: 1 + text], COLUMNS, max_bytes=MAX_MANIFEST)
    items = [_make_item(row, where, text, path.parent) for where, row in rows]
    want(len(items) > 0, str(path), "at least one item", "none" if path.stat().st_size else "an empty file")
    return items


def _make_item(row: dict[str, Any], where: str, text: bool, folder: Path | None = None) -> Item:
    path, words, speaker = (row.get(name) for name in ("path", "text", "speaker"))
    keys = ", ".join(map(repr, list(row)[:8]))
    fits = is_path(path) and str(path).strip() != ""
    want(fits, where, "a path", repr(path)[:40] if "path" in row else f"keys {keys}")
    if words is not None or text:
        want(isinstance(words, str), where, "its text", repr(words)[:40] if "text" in row else f"keys {keys}")
    start, end = _read_seconds(row, "start", where), _read_seconds(row, "end", where)
    want(end is None or end > (start or 0), where, f"an end after {start or 0:g} s", f"{end} s")
    fits = speaker is None or (isinstance(speaker, str | int) and not isinstance(speaker, bool))
    want(fits, where, "a speaker's name", repr(speaker)[:40])
    name = "" if speaker is None else clean(str(speaker), every_space=True)
    path = str(path)
    if folder is not None:
        path = path.strip()
        relative = os.path.join(folder, path)
        path = relative if os.path.exists(relative) else path
    return Item(path, None if words is None else clean(str(words), every_space=True), start, end, name or None, where)


def _read_seconds(row: dict[str, Any], name: str, where: str) -> float | None:
    value = row.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    want(math.isfinite(seconds) and seconds >= 0, where, f"{name} in seconds, at least 0", repr(value)[:40])
    return seconds


# ---- folders, files, lists


def _read_folder(folder: Path, text: bool, notes: list[str]) -> Iterator[Item]:
    """The folder's items; where both kinds are there, those of the kind that has texts."""
    sources: dict[str, list[str]] = {"sound": [], "print": [], "": []}
    for path in _list_files(folder):
        sources[_kind_of(path)].append(path)
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
        refuse(where, f"X{ENDINGS[kind]} beside X{Path(paths[0]).suffix}", got)
    got = " and ".join(plural(len(paths), NOUNS[kind]) for kind, paths in sources.items())
    want(len(kinds) == 1, where, "sound or images", got, "Give the folder of one kind, or a manifest.")
    paths = usable[kinds[0]]
    distinct = _choose_forms(paths)
    for path in distinct:
        yield Item(path, _read_text(_find_text(path)) if text else None, where=path)
    if text:
        alone = sum(map(len, sources.values())) - len(paths), others[".txt"] - len(distinct)
        reasons = ("file", "of sound or print without text"), ("text", "without its file")
        notes += [f"Left out: {plural(n, noun)} {why}." for n, (noun, why) in zip(alone, reasons, strict=True) if n > 0]
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


def _kind_of(path: str) -> str:
    """ "sound", "print", or "" for a file of neither kind."""
    return KINDS.get(os.path.splitext(path)[1].lower(), "")


def _find_text(path: str) -> str | None:
    """The file with the text of this one, if it is there."""
    ending = ENDINGS[_kind_of(path)]
    stems = os.path.splitext(path)[0], _strip_form(path)
    return next(filter(os.path.isfile, (stem + one for stem in stems for one in (ending, ending.upper()))), None)


def _strip_form(path: str) -> str:
    """The path without its ending, and an image's without the mark of a form of the same line."""
    stem = os.path.splitext(path)[0]
    folder, name = os.path.split(stem)
    return os.path.join(folder, FORM.sub("", name)) if _kind_of(path) == "print" else stem


def _choose_forms(paths: list[str]) -> list[str]:
    """Of X.png, X.nrm.png and X.bin.png the first; of sound, all."""
    first: dict[str, str] = {}
    for path in paths:
        key = _strip_form(path) if _kind_of(path) == "print" else path
        first[key] = min(first.get(key, path), path, key=lambda p: (len(p), p))
    return list(first.values())


def _read_file(path: str, text: bool) -> Item:
    if not text or not os.path.isfile(path) or not _kind_of(path):
        return Item(path, where=path)
    partner = _find_text(path)
    if partner is None:
        stem = os.path.basename(os.path.splitext(path)[0])
        refuse(path, f"its text in {stem}{ENDINGS[_kind_of(path)]} beside it", "no such file")
    return Item(path, _read_text(partner), where=path)


def _read_entry(n: int, entry: Any, text: bool) -> Item:
    """The item of entry n of a list."""
    where = f"the list, number {n}"
    if isinstance(entry, Item):
        return _make_item(entry._asdict(), entry.where or where, text)
    if is_path(entry):
        return _read_file(os.fspath(entry), text)
    if isinstance(entry, Mapping):
        fits = all(isinstance(name, str) for name in entry)
        want(fits, where, "names that are strings", ", ".join(map(repr, list(entry)[:8])))
        return _make_item({name.casefold(): value for name, value in entry.items()}, where, text)
    fits = isinstance(entry, list | tuple) and len(entry) == 2
    want(fits, where, "a path, (path, text), or a dict", repr(entry)[:40])
    return _make_item(dict(zip(COLUMNS, entry, strict=False)), where, text)


def _read_text(path: str | None) -> str:
    return clean(" ".join(line for _, line in lines(path, max_bytes=MAX_TEXT)), every_space=True) if path else ""


# ---- checks of all items


def _check_files(where: str, items: list[Item]) -> None:
    missing = [item for item in items if not os.path.isfile(item.path)]
    if missing:
        names = ", ".join(item.path for item in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        what = "a folder" if all(os.path.isdir(item.path) for item in missing) else "no such file"
        here = missing[0].where if len(missing) == 1 else where
        refuse(here, "files that are there", what if names == here else f"{what}: {names}{more}")


def _find_kind(items: list[Item], where: str) -> str:
    first: dict[str, Item] = {}
    for item in items:
        kind = _kind_of(item.path)
        if not kind:
            path = Path(item.path)
            refuse(item.where, "a file of sound or an image", _describe_ending(path), siblings(path))
        first.setdefault(kind, item)
        span = item.start is not None or item.end is not None
        want(kind == "sound" or not span, item.where, "start and end for sound only", f"them for {item.path}")
    if len(first) > 1:
        refuse(where, "sound or images", f"both: {' and '.join(item.path for item in first.values())}")
    return next(iter(first))


def _describe_ending(path: Path) -> str:
    if not path.exists():
        return "no such file"
    return f"{path.name}, and {path.suffix or 'a name without ending'} is none of {', '.join(KINDS)}"
