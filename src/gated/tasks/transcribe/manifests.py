"""Manifests: tables that name files with their texts, in the formats of other programs or with columns of any name."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gated._check import InputError, refuse, want
from gated.io.records import Record, records
from gated.io.text import find, form, is_path, lines, plural, source_name
from gated.unicode import clean

MAX_BYTES = 1 << 30  # of one manifest, after decompression
SOUND = """
.wav .flac .ogg .oga .opus .mp3 .aif .aiff .au .w64 .caf .sph
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
    start: tuple[str, ...] = ("start", "offset")  # likewise
    end: str = "end"
    duration: str = "duration"  # seconds from the start on; counted where there is a start and no end
    folders: tuple[str, ...] = ("",)  # below the manifest's, in which a path is looked for
    endings: tuple[str, ...] = ("",)  # that a path may lack


LAYOUTS = (
    Layout("gated", "path", ("text",)),
    Layout("Common Voice", "path", ("sentence",), "client_id", folders=("", "clips"), endings=("", ".mp3")),
    Layout("NeMo", "audio_filepath", ("text",)),
    Layout("DeepSpeech", "wav_filename", ("transcript",)),
    *(
        Layout("Hugging Face", path, ("text", "transcription", "sentence"))
        for path in ("file_name", "audio.path", "image.path")
    ),
)
BARE = {  # without a header, by whether the first field has the ending of a file
    True: Layout("files and texts", "1", ("2",), folders=("", "..")),  # PaddleOCR
    False: Layout("LJSpeech", "1", ("3", "2"), folders=("wavs", ""), endings=(".wav",)),
}
SPACED = Layout("names, spaces and texts", "1", ("2",), endings=("", ".flac", ".wav"))  # LibriSpeech
TIMES = re.compile(r"(start|begin|onset|offset|end|stop)(_?(time|s|sec|seconds|ms|samples?|frame))?")  # columns
COMMA = re.compile(r"\d+,\d+")
ARCHIVE = re.compile(r"\.ark(\.gz)?:\d+$")  # of Kaldi and ESPnet
TODO = "Other names are given by columns (--columns PATH,TEXT)."


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
    path, text, start = given.pop("path"), given.pop("text", "text"), given.pop("start", "")
    folders, endings = ("", "clips", "wavs", ".."), ("", ".mp3", ".wav")
    layout = Layout("columns", path, (text,), folders=folders, endings=endings)._replace(**given)
    return layout._replace(start=(start,)) if start else layout


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
    header = False

    def is_header(where: str, row: list[str]) -> bool:
        nonlocal layout, header
        first, names = row[0].strip(), dict.fromkeys((name.strip().casefold() for name in row), "")
        bare = BARE[bool(kind_of(first))]
        if given and _is_numbered(given[0]) and not any(_has(names, one, text) for one in layouts):
            layout = given[0]
        elif not (given and strict) and (kind_of(first) or (len(row) > 1 and _find(first, folder, bare))):
            layout = bare
            todo = "Give the folder, if X.txt stands beside X.wav."
            todo = todo if len(row) == 1 else "Name them by their numbers, as in --columns 1,3,speaker=2."
            got = plural(len(row), "column")
            clear = not text or len(row) == 2 or bare == BARE[False]
            want(clear, where, "a header, or a file and its text", got, todo)
        else:
            layout, header = _choose(where, row, layouts, text), True
            _note_times(names, layout, notes)
        return header

    table = records(source, is_header, max_bytes=MAX_BYTES, notes=notes)
    if not columns and _has_names(source, folder):
        layout, table = SPACED, _split_names(source, notes)
    items: list[Item] = []
    literal: list[int] = []
    used, commas = "", False
    for record in table:
        if layout is None:  # of JSON, whose objects name their keys
            layout, header = next((one for one in layouts if _has(record.values, one, True)), layouts[0]), True
            _note_times(record.values, layout, notes)
        used = used or next((name for name in layout.text if name in record.values), "")
        times = [record.values.get(name) for name in (*layout.start, layout.end, layout.duration)]
        commas = commas or any(isinstance(one, str) and COMMA.fullmatch(one.strip()) for one in times)
        literal += [len(items)] if record.literal else []
        items.append(make_item(record.values, record.where, text, layout, folder, bad, record.fault))
    got = "none" if str(source) == "-" or os.path.getsize(source) else "an empty file"
    want(len(items) > 0, source_name(source), "at least one item", got)
    if layout and not header:
        texts = f", column {used} has the texts" if used else ""
        what = "a name and its text a line" if layout == SPACED else f"column {layout.path} names the files{texts}"
        notes.append(f"{source_name(source)} has no header: {what}.")
    if commas:
        notes.append(f"{source_name(source)} has times with decimal commas.")
    _unquote(items, literal, source_name(source), notes)
    return items


def _is_numbered(layout: Layout) -> bool:
    """Whether columns are given by their numbers."""
    return layout.path.isdigit() and (layout.text[0].isdigit() or layout.text == ("text",))


def _has_names(source: Any, folder: Path) -> bool:
    """Whether the first line begins with the name of a file, a space and a text."""
    if form(source) or not os.path.isfile(source):
        return False
    first = next((line.strip() for _, line in lines(source, max_bytes=MAX_BYTES, notes=[]) if line.strip()), "")
    name, _, rest = first.partition(" ")
    path = None if "\t" in first or not rest or _find(first, folder, SPACED) else _find(name, folder, SPACED)
    return path is not None and kind_of(path) != ""


def _split_names(source: Any, notes: list[str]) -> Iterator[Record]:
    for n, line in lines(source, max_bytes=MAX_BYTES, notes=notes):
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield Record(f"{source_name(source)}, line {n}", {"1": name, "2": rest})


def _note_times(values: dict[str, Any], layout: Layout, notes: list[str]) -> None:
    """A note on columns that look like times and are not read."""
    mine = {layout.end, *layout.start, layout.path, *layout.text}
    others = [name for name in values if TIMES.fullmatch(name) and name not in {one.casefold() for one in mine}]
    if others:
        todo = f"If they are seconds, name them as in --columns PATH,TEXT,start={others[0]},end=…"
        notes.append(f"Columns not read: {', '.join(others[:4])}. {todo}.")


def _unquote(items: list[Item], places: list[int], where: str, notes: list[str]) -> None:
    """Texts of a table with tabs, in which writers of CSV have quoted every text that has a quote in it."""
    quoted = [k for k in places if '"' in (items[k].text or "")]
    inner = [(items[k].text or "")[1:-1].replace('""', "") for k in quoted]
    fits = all(re.fullmatch('".*"', items[k].text or "") for k in quoted) and not any('"' in one for one in inner)
    if quoted and fits and any('""' in (items[k].text or "")[1:-1] for k in quoted):
        for k in quoted:
            items[k] = items[k]._replace(text=clean((items[k].text or "")[1:-1].replace('""', '"'), every_space=True))
        notes.append(f"{where} quotes its texts: {plural(len(quoted), 'text')} without the quotes around.")


def _choose(where: str, row: list[str], layouts: Sequence[Layout], text: bool) -> Layout:
    """The first layout whose columns a header has."""
    names = [name.strip().casefold() for name in row]
    values = dict.fromkeys(names, "")
    for needs in (True,) if text else (True, False):
        for layout in layouts:
            if _has(values, layout, needs):
                for name in (layout.path, *layout.text, layout.speaker, *layout.start, layout.end, layout.duration):
                    got = f"{names.count(name.casefold())} times"
                    want(names.count(name.casefold()) < 2, where, f"the column {name} once", got)
                return layout
    first = layouts[0]
    expected = f"columns {first.path} and {first.text[0]}" if text else f"column {first.path}"
    refuse(where, f"a header with the {expected}", ", ".join(map(repr, row[:8])), TODO)


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
    got, todo = (repr(path)[:40], "") if has else (f"keys {keys}", TODO)
    want(is_path(path) and str(path).strip() != "", where, "a path", got, todo)
    want(not str(path).startswith("{'"), where, "a path", repr(path)[:60], "Write the path alone.")
    if words is not None or text:
        has = words is not None or any(name.casefold() in values for name in layout.text)
        got, todo = (repr(words)[:40], "") if has else (f"keys {keys}", TODO)
        want(isinstance(words, str), where, "its text", got, todo)
        page = str(words).lstrip().startswith("[{") and '"points"' in str(words)
        want(not page, where, "the text of one line", "JSON of the lines of a page", "Cut them out of it first.")
    begin = next((name for name in layout.start if _get(values, name) is not None), layout.start[0])
    start, end, lasts = (
        _read_seconds(_get(values, name), name, where) for name in (begin, layout.end, layout.duration)
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
        comma = isinstance(value, str) and COMMA.fullmatch(value.strip())
        seconds = math.nan if isinstance(value, bool) else float(value.replace(",", ".") if comma else value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    want(math.isfinite(seconds) and seconds >= 0, where, f"{name} in seconds, at least 0", repr(value)[:40])
    return seconds


def _find(path: str, folder: Path, layout: Layout) -> str | None:
    """Where a manifest's path leads: from its folder, a folder there, or the working directory.

    It may be spelt as other systems do: with backslashes, another normal form of Unicode, or case of its ending.
    """
    within = [os.path.join(folder, below) if below else str(folder) for below in layout.folders]
    tries = (
        os.path.join(at, one + ending) for one in _spellings(path) for at in (*within, "") for ending in layout.endings
    )
    return next(filter(os.path.exists, tries), None)


def _spellings(path: str) -> Iterator[str]:
    yield path
    yield from dict.fromkeys((*spell(path), *spell(path.replace("\\", "/"))))


def spell(path: str) -> list[str]:
    """A path in both normal forms of Unicode, its ending in either case."""
    stem, ending = os.path.splitext(path)
    names = (stem + one for one in (ending, ending.lower(), ending.upper()))
    return list(dict.fromkeys(unicodedata.normalize(to, name) for name in names for to in ("NFC", "NFD")))


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
        if ARCHIVE.search(source):
            got = f"a place in an archive: {source[:60]!r}"
            fault = f"{where}: expected the path of a sound, got {got}. Write its sounds as files of their own."
        values["speaker"] = tables["utt2spk"].get(name, (None,))[0]
        values |= dict(zip(("start", "end"), times[:1] + [t for t in times[1:2] if t != "-1"], strict=False))
        items.append(make_item(values, where, text, LAYOUTS[0], folder, bad, fault))
    silent = len(segments) - len(items)
    want(len(items) > 0, str(folder), "utterances of segments or wav.scp with lines in text", "none")
    if silent:
        notes.append(f"Left out: {plural(silent, 'utterance')} without a line in text.")
    if alone := len(texts.keys() - segments.keys()) if text else 0:
        notes.append(f"Left out: {plural(alone, 'line')} of text without an utterance.")
    return items


def _read_map(path: Path) -> dict[str, tuple[str, int]]:
    """What follows the first word of each line, by that word, and the line's number; empty without the file."""
    if not path.is_file():
        return {}
    split = ((n, line.split(maxsplit=1)) for n, line in lines(path, max_bytes=MAX_BYTES))
    return {words[0]: ("".join(words[1:]).strip(), n) for n, words in split if words}
