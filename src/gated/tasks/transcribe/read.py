"""What is to be read, and its text: manifests, folders, single files and lists; errors name file and line.

Text becomes NFC, on one line, with runs of white space as one space and none at the ends. Every kind of space is the
same space here, a no-break one too, since none of them can be heard or seen; control characters become spaces.
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

__all__ = ["Found", "Item", "items"]

LINE = 1 << 20  # bytes of one file of text
TOTAL = 1 << 30  # bytes of one manifest, after decompression
COLUMNS = ("path", "text", "start", "end", "speaker")
KINDS = {  # what libsndfile and Pillow read
    **dict.fromkeys(
        [".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"], "sound"
    ),
    **dict.fromkeys([".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".pbm", ".pnm"], "print"),
}
ENDS = {"sound": ".txt", "print": ".gt.txt"}  # beside an image, X.txt is what some program read there
NAMES = {"sound": "sound", "print": "image"}
FORM = re.compile(r"\.(bin|nrm)(\..*)?$")  # X.bin.png and X.nrm.png are other forms of the line X.png
SOURCES = "a manifest (.csv, .tsv, .jsonl), a folder, a file of sound or an image"


class Item(NamedTuple):
    """A sound, or its span from `start` to `end` seconds, or an image; `text` is None where it is not known."""

    path: str
    text: str | None = None
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    where: str = ""  # for messages: the file, or the manifest and line


class Found(NamedTuple):
    """All items of a source, of one kind: "sound" or "print"."""

    items: list[Item]
    kind: str
    notes: list[str]  # what was met and what was done about it, a sentence each
    where: str


def items(source: Any, *, text: bool = True) -> Found:
    """The sounds or images of a source, with their texts.

    source   a manifest  .csv, .tsv (a header, then a line an item) or .jsonl, .ndjson (an object a line), plain or
                         gzip: path, text and, if wanted, start, end in seconds, speaker; other columns are passed
                         over. A path is looked for from the manifest's folder, then from the working directory
             a folder    X.wav, X.flac … with X.txt, or X.png, X.jpg, X.tif … with X.gt.txt, in it and below, by
                         name; X.bin.png and X.nrm.png go with X.gt.txt too, and of several forms one is taken
             a file      one sound or image, its text beside it as in a folder
             a list      of files, of (path, text), or of dicts with the names of the columns
    text     True: every item has its text, be it an empty one. False: no text is asked for, and none is looked for
             beside a file; a manifest's or a list's is passed on where it is there

    Errors, each with file and line: nothing there, nothing in it; a column missing or twice, too few or too many
    fields; text not in UTF-8, a line over 1 MB; files that are missing (three are named); times that are no times;
    sound and images together; an item without text.
    """
    notes: list[str] = []
    if is_path(source):
        where, path = str(source), Path(source)
        if path.is_dir():
            found = list(_folder(path, text, notes))
        elif form(source):
            found = _present(where, _manifest(path, text))
        else:
            want(path.suffix.lower() in KINDS, where, SOURCES, _other(path), siblings(path))
            found = _present(where, [_single(where, text)])
    else:
        where = "the list"
        want(isinstance(source, list | tuple), "source", f"{SOURCES}, or a list of files", type(source).__name__)
        found = _present(where, [_listed(n, entry, text) for n, entry in enumerate(source, 1)])
        want(len(found) > 0, where, "at least one file", "an empty list")
    again = len(found) - len({item[:1] + item[2:4] for item in found})
    if again > 0:
        notes.append(f"Listed again: {plural(again, 'item')} of the same file and times as another.")
    return Found(found, _kind(found, where), notes, where)


# ---- manifests


def _manifest(path: Path, text: bool) -> list[Item]:
    rows = records(path, COLUMNS[: 1 + text], COLUMNS, max_bytes=TOTAL)
    found = [_item(row, where, text, path.parent) for where, row in rows]
    want(len(found) > 0, str(path), "at least one item", "none" if path.stat().st_size else "an empty file")
    return found


def _item(row: dict[str, Any], where: str, text: bool, folder: Path | None = None) -> Item:
    path: Any = row.get("path")
    said: Any = row.get("text")
    speaker: Any = row.get("speaker")
    keys = ", ".join(map(repr, list(row)[:8]))
    fits = is_path(path) and str(path).strip() != ""
    want(fits, where, "a path", repr(path)[:40] if "path" in row else f"keys {keys}")
    if said is not None or text:
        want(isinstance(said, str), where, "its text", repr(said)[:40] if "text" in row else f"keys {keys}")
    start, end = _seconds(row, "start", where), _seconds(row, "end", where)
    want(end is None or end > (start or 0), where, f"an end after {start or 0:g} s", f"{end} s")
    named = speaker is None or (isinstance(speaker, str | int) and not isinstance(speaker, bool))
    want(named, where, "a speaker's name", repr(speaker)[:40])
    who = "" if speaker is None else clean(str(speaker), every_space=True)
    place = str(path)
    if folder is not None:
        place = place.strip()
        beside = os.path.join(folder, place)
        place = beside if os.path.exists(beside) else place
    return Item(place, None if said is None else clean(said, every_space=True), start, end, who or None, where)


def _seconds(row: dict[str, Any], name: str, where: str) -> float | None:
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


def _folder(folder: Path, text: bool, notes: list[str]) -> Iterator[Item]:
    """The folder's items; where both kinds are there, the one that has texts."""
    sources: dict[str, list[str]] = {"sound": [], "print": []}
    others: Counter[str] = Counter()
    texts = 0
    for path in _walk(folder):
        end = os.path.splitext(path)[1].lower()
        if end in KINDS:
            sources[KINDS[end]].append(path)
        else:
            texts += end == ".txt"
            others[end or "no ending"] += 1
    have = {kind: _partners(paths) if text else paths for kind, paths in sources.items()}
    where = str(folder)
    if not any(sources.values()):
        got = ", ".join(f"{n} {end}" for end, n in others.most_common(4)) or "an empty folder"
        refuse(where, "files of sound (.wav, .flac …) or images (.png, .jpg …)", got)
    kinds = [kind for kind in have if have[kind]]
    if not kinds:
        first = next(paths for paths in sources.values() if paths)
        kind = KINDS[os.path.splitext(first[0])[1].lower()]
        refuse(
            where, f"X{ENDS[kind]} beside X{Path(first[0]).suffix}", f"{plural(len(first), NAMES[kind])} without text"
        )
    todo = "Give the folder of one kind, or a manifest."
    got = f"{plural(len(sources['sound']), 'sound')} and {plural(len(sources['print']), 'image')}"
    want(len(kinds) == 1, where, "sound or images", got, todo)
    kind = kinds[0]
    chosen = _one_form(have[kind])
    for path in chosen:
        yield Item(path, _text(_partner(path)) if text else None, where=path)
    if text:
        spare = [
            (sum(len(paths) for paths in sources.values()) - len(have[kind]), "file", "of sound or print without text"),
            (texts - len(chosen), "text", "without its file"),
        ]
        notes.extend(f"Left out: {plural(n, what)} {why}." for n, what, why in spare if n > 0)
    if len(chosen) < len(have[kind]):
        notes.append(f"Left out: {plural(len(have[kind]) - len(chosen), 'image')} of the same line as another.")


def _walk(folder: Path) -> list[str]:
    """All files in and below a folder, by name; links are followed, and a folder met again is passed over."""
    met: set[tuple[int, int]] = set()
    paths: list[str] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in met:
            folders.clear()
            continue
        met.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [os.path.join(place, name) for name in names if not name.startswith(".")]
    return sorted(paths)


def _partners(paths: list[str]) -> list[str]:
    return [path for path in paths if _partner(path)]


def _partner(path: str) -> str | None:
    """The file with the text of this one, if it is there."""
    stem, end = os.path.splitext(path)
    kind = KINDS[end.lower()]
    ways = (name + ending for name in (stem, _line_of(path)) for ending in (ENDS[kind], ENDS[kind].upper()))
    return next(filter(os.path.isfile, ways), None)


def _line_of(path: str) -> str:
    """The path without its ending and without the mark of a form of the same line."""
    folder, name = os.path.split(path)
    stem, end = os.path.splitext(name)
    return os.path.join(folder, FORM.sub("", stem) if KINDS[end.lower()] == "print" else stem)


def _one_form(paths: list[str]) -> list[str]:
    """Of X.png, X.nrm.png and X.bin.png the first; of sound, all."""
    first: dict[str, str] = {}
    for path in paths:
        key = _line_of(path) if KINDS[os.path.splitext(path)[1].lower()] == "print" else path
        first[key] = min(first.get(key, path), path, key=lambda p: (len(p), p))
    return list(first.values())


def _single(path: str, text: bool) -> Item:
    if not text or not os.path.isfile(path) or os.path.splitext(path)[1].lower() not in KINDS:
        return Item(path, where=path)
    partner = _partner(path)
    if partner is None:
        stem, end = os.path.splitext(path)
        refuse(path, f"its text in {os.path.basename(stem)}{ENDS[KINDS[end.lower()]]} beside it", "no such file")
    return Item(path, _text(partner), where=path)


def _listed(n: int, entry: Any, text: bool) -> Item:
    where = f"the list, number {n}"
    if isinstance(entry, Item):
        return _item(entry._asdict(), entry.where or where, text)
    if is_path(entry):
        return _single(os.fspath(entry), text)
    if isinstance(entry, Mapping):
        fits = all(isinstance(name, str) for name in entry)
        want(fits, where, "names that are strings", ", ".join(map(repr, list(entry)[:8])))
        return _item({name.casefold(): value for name, value in entry.items()}, where, text)
    fits = isinstance(entry, list | tuple) and len(entry) == 2
    want(fits, where, "a path, (path, text), or a dict", repr(entry)[:40])
    return _item(dict(zip(COLUMNS, entry, strict=False)), where, text)


# ---- what holds of all


def _present(where: str, found: list[Item]) -> list[Item]:
    missing = [item for item in found if not os.path.isfile(item.path)]
    if missing:
        named = ", ".join(item.path for item in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        what = "a folder" if all(os.path.isdir(item.path) for item in missing) else "no such file"
        here = missing[0].where if len(missing) == 1 else where
        refuse(here, "files that are there", what if named == here else f"{what}: {named}{more}")
    return found


def _kind(found: list[Item], where: str) -> str:
    kinds: dict[str, Item] = {}
    for item in found:
        kind = KINDS.get(os.path.splitext(item.path)[1].lower())
        if kind is None:
            refuse(item.where, "a file of sound or an image", _other(Path(item.path)), siblings(Path(item.path)))
        kinds.setdefault(kind, item)
    if len(kinds) > 1:
        refuse(where, "sound or images", f"both: {' and '.join(item.path for item in kinds.values())}")
    kind = next(iter(kinds))
    for item in found if kind == "print" else []:
        span = item.start is not None or item.end is not None
        want(not span, item.where, "start and end for sound only", f"them for {item.path}")
    return kind


def _other(path: Path) -> str:
    if not path.exists():
        return "no such file"
    return f"{path.name}, and {path.suffix or 'a name without ending'} is none of {', '.join(KINDS)}"


def _text(path: str | None) -> str:
    if not path:
        return ""
    return clean(" ".join(line for _, line in lines(path, max_bytes=LINE)), every_space=True)
