"""Manifests: tables that name files with their texts, in the formats of other programs or with columns of any name."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gated._check import InputError, refuse, want
from gated.io.records import records
from gated.io.text import find, form, is_path, lines, plural, source_name
from gated.unicode import clean

MAX_BYTES = 1 << 30  # of one manifest, after decompression
SOUND = """
.wav .flac .ogg .oga .opus .mp3 .aif .aiff .au .w64 .caf
.m4a .m4b .mp4 .m4v .mov .3gp .mkv .webm .aac .wma .amr .avi .mpg
""".split()  # noqa: SIM905  # what libsndfile and, in the second line, ffmpeg read
PRINT = ".png .jpg .jpeg .tif .tiff .bmp .webp .gif .pgm .pbm .pnm".split()  # noqa: SIM905  # what Pillow reads
KINDS = {**dict.fromkeys(SOUND, "sound"), **dict.fromkeys(PRINT, "print")}
LISTS = (".txt", ".json", ".lst", ".list")  # besides those of `form`: manifests by their content
FIELDS = ("path", "text", "speaker", "start", "end", "duration")


class Item(NamedTuple):
    """A sound, or its span from `start` to `end` seconds, or an image; `text` is None where it is unknown."""

    path: str
    text: str | None = None
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    where: str = ""  # for messages: the file, or the manifest and line
    fault: str = ""  # why it cannot be used


class Layout(NamedTuple):
    """Where a format has what an item needs: the names of its columns, or their numbers where it has no header."""

    name: str
    path: str
    text: tuple[str, ...]  # the first of these that the table has
    speaker: str = "speaker"
    start: str = "start"
    end: str = "end"
    duration: str = ""  # seconds from the start on; counted where there is a start
    folders: tuple[str, ...] = ("",)  # below the manifest's, in which a path is looked for
    endings: tuple[str, ...] = ("",)  # that a path may lack


LAYOUTS = (
    Layout("gated", "path", ("text",)),
    Layout("Common Voice", "path", ("sentence",), "client_id", folders=("", "clips"), endings=("", ".mp3")),
    Layout("NeMo", "audio_filepath", ("text",), start="offset", duration="duration"),
    Layout("DeepSpeech", "wav_filename", ("transcript",)),
    Layout("Hugging Face", "file_name", ("text", "transcription", "sentence")),
)
BARE = {  # without a header, by whether the first field has the ending of a file
    True: Layout("files and texts", "1", ("2",), folders=("", "..")),  # PaddleOCR
    False: Layout("LJSpeech", "1", ("3", "2"), folders=("wavs", ""), endings=(".wav",)),
}


def kind_of(path: str) -> str:
    """ "sound", "print", or "" for a file of neither kind."""
    return KINDS.get(os.path.splitext(path)[1].lower(), "")


def name_layout(columns: Sequence[str]) -> Layout:
    """The layout of `columns`: the names for path and text, then name=column for what else an item has."""
    given = dict(zip(FIELDS, [name for name in columns if "=" not in name], strict=False))
    given |= {name: column for name, _, column in (one.partition("=") for one in columns if "=" in one)}
    fits = set(given) <= set(FIELDS) and all(map(str.strip, given.values())) and "path" in given
    expected = f"PATH,TEXT and, with their names, {', '.join(f'{name}=…' for name in FIELDS[2:])}"
    want(fits, "columns", expected, ",".join(columns) or "none")
    text = (given.pop("text", "text"),)
    return Layout("columns", text=text, folders=("", "clips", "wavs"), endings=("", ".mp3", ".wav"), **given)


def is_manifest(path: Path) -> bool:
    """Whether a path names a manifest."""
    return bool(form(path)) or str(path) == "-" or path.suffix.lower() in LISTS


def read_manifest(
    source: Any, text: bool, columns: Sequence[str], notes: list[str], bad: str = "refuse", strict: bool = True
) -> list[Item]:
    """The items of a table; its format is that of LAYOUTS whose columns it has, without a header one of BARE.

    columns  their names, see `name_layout`; only those where they are `strict`, else they come before the formats
    bad      "skip": a row that is no item becomes one with a fault, in place of an error
    """
    folder, given = Path(source).parent, [name_layout(columns)] if columns else []
    layouts = [*given, *(() if given and strict else LAYOUTS)]
    layout: Layout | None = None

    def is_header(where: str, row: list[str]) -> bool:
        nonlocal layout
        first = row[0].strip()
        bare = BARE[bool(kind_of(first))]
        if not (given and strict) and (kind_of(first) or (len(row) > 1 and _find(first, folder, bare))):
            layout = bare
        else:
            layout = _choose(where, row, layouts, text)
        return layout != bare

    items: list[Item] = []
    for record in records(source, is_header, max_bytes=MAX_BYTES, notes=notes):
        if layout is None:  # of JSON, whose objects name their keys
            layout = next((one for one in layouts if _has(record.values, one, True)), layouts[0])
        items.append(make_item(record.values, record.where, text, layout, folder, bad, record.fault))
    got = "none" if str(source) == "-" or os.path.getsize(source) else "an empty file"
    want(len(items) > 0, source_name(source), "at least one item", got)
    if layout in BARE.values():
        notes.append(
            f"{source_name(source)} has no header: its first column names the files, the last one has the texts."
        )
    return items


def _choose(where: str, row: list[str], layouts: Sequence[Layout], text: bool) -> Layout:
    """The first layout whose columns a header has."""
    names = [name.strip().casefold() for name in row]
    values = dict.fromkeys(names, "")
    for needs in (True,) if text else (True, False):
        for layout in layouts:
            if _has(values, layout, needs):
                for name in (layout.path, *layout.text, layout.speaker, layout.start, layout.end, layout.duration):
                    got = f"{names.count(name.casefold())} times"
                    want(names.count(name.casefold()) < 2, where, f"the column {name} once", got)
                return layout
    first = layouts[0]
    expected = f"columns {first.path} and {first.text[0]}" if text else f"column {first.path}"
    todo = "Other names are given by columns (--columns PATH,TEXT)."
    refuse(where, f"a header with the {expected}", ", ".join(map(repr, row[:8])), todo)


def _has(values: dict[str, Any], layout: Layout, text: bool) -> bool:
    """Whether there are values for the path and, where it is asked for, the text."""
    texts = [name for name in layout.text if _get(values, name) is not None]
    return _get(values, layout.path) is not None and (bool(texts) or not text)


def _get(values: dict[str, Any], name: str) -> Any:
    """The value of a column in any case, or under nested keys, of which the first is in any case."""
    value = find(values, name.casefold())
    first, dot, rest = name.partition(".")
    return find(values, first.casefold() + dot + rest) if value is None and dot else value


# ---- items


def make_item(
    values: dict[str, Any], where: str, text: bool, layout: Layout = LAYOUTS[0], folder: Path | None = None,
    bad: str = "refuse", fault: str = "",
) -> Item:  # fmt: skip
    """The item of a row; with bad="skip" one with a fault where it is none."""
    try:
        if fault:
            raise InputError(fault)
        return _make_item(values, where, text, layout, folder)
    except InputError as error:
        if bad != "skip":
            raise
        path = _get(values, layout.path)
        return Item(str(path) if is_path(path) else "", where=where, fault=str(error))


def _make_item(values: dict[str, Any], where: str, text: bool, layout: Layout, folder: Path | None) -> Item:
    path, speaker = _get(values, layout.path), _get(values, layout.speaker)
    words = next((value for value in (_get(values, name) for name in layout.text) if value is not None), None)
    keys = ", ".join(map(repr, list(values)[:8]))
    has = path is not None or layout.path.casefold() in values
    want(is_path(path) and str(path).strip() != "", where, "a path", repr(path)[:40] if has else f"keys {keys}")
    if words is not None or text:
        has = words is not None or any(name.casefold() in values for name in layout.text)
        want(isinstance(words, str), where, "its text", repr(words)[:40] if has else f"keys {keys}")
    start, end, lasts = (
        _read_seconds(_get(values, name), name, where) for name in (layout.start, layout.end, layout.duration)
    )
    if start is not None and end is None and lasts is not None:
        end = start + lasts
    want(end is None or end > (start or 0), where, f"an end after {start or 0:g} s", f"{end} s")
    fits = speaker is None or (isinstance(speaker, str | int) and not isinstance(speaker, bool))
    want(fits, where, "a speaker's name", repr(speaker)[:40])
    name = "" if speaker is None else clean(str(speaker), every_space=True)
    path = str(path)
    if folder is not None:
        path = path.strip()
        path = _find(path, folder, layout) or path
    return Item(path, None if words is None else clean(str(words), every_space=True), start, end, name or None, where)


def _read_seconds(value: Any, name: str, where: str) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    want(math.isfinite(seconds) and seconds >= 0, where, f"{name} in seconds, at least 0", repr(value)[:40])
    return seconds


def _find(path: str, folder: Path, layout: Layout) -> str | None:
    """Where a manifest's path leads: from its folder, a folder there, or the working directory."""
    within = [os.path.join(folder, below) if below else str(folder) for below in layout.folders]
    tries = (os.path.join(at, path + ending) for at in (*within, "") for ending in layout.endings)
    return next(filter(os.path.exists, tries), None)


# ---- Kaldi


def read_kaldi(folder: Path, text: bool, notes: list[str], bad: str = "refuse") -> list[Item]:
    """The items of a folder with wav.scp, text, segments and utt2spk: see the data preparation of Kaldi."""
    tables = {name: _read_map(folder / name) for name in ("wav.scp", "text", "segments", "utt2spk")}
    scp, texts = tables["wav.scp"], tables["text"]
    segments = tables["segments"] or {name: (name, n) for name, (_, n) in scp.items()}
    items = []
    for name, (value, n) in segments.items():
        if text and name not in texts:
            continue
        where = f"{folder / ('segments' if tables['segments'] else 'wav.scp')}, line {n}"
        recording, *times = value.split() or [""]
        source, _ = scp.get(recording, ("", 0))
        fault = "" if source else f"{where}: expected a recording of wav.scp, got {recording!r}."
        if source.endswith("|"):
            todo = "A manifest's commands are not run: convert the sound first."
            fault = f"{where}: expected the path of {recording!r} in wav.scp, got a command. {todo}"
        values: dict[str, Any] = {"path": source, "text": texts.get(name, (None,))[0]}
        values["speaker"] = tables["utt2spk"].get(name, (None,))[0]
        values |= dict(zip(("start", "end"), times, strict=False))
        items.append(make_item(values, where, text, LAYOUTS[0], folder, bad, fault))
    silent = len(segments) - len(items)
    want(len(items) > 0, str(folder), "utterances of segments or wav.scp with lines in text", "none")
    if silent:
        notes.append(f"Left out: {plural(silent, 'utterance')} without a line in text.")
    return items


def _read_map(path: Path) -> dict[str, tuple[str, int]]:
    """What follows the first word of each line, by that word, and the line's number; empty without the file."""
    if not path.is_file():
        return {}
    split = ((n, line.split(maxsplit=1)) for n, line in lines(path, max_bytes=MAX_BYTES))
    return {words[0]: ("".join(words[1:]).strip(), n) for n, words in split if words}
