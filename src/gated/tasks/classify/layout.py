"""What the files of a classifier look like, and files that are one example each: folders of a class."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from gated._check import InputError, one_of, want, within
from gated.features import fbank
from gated.io import images, sound
from gated.io.text import lines, plural
from gated.unicode import clean

KINDS = ("text", "series", "sound", "image", "video")
ENDINGS = {
    ".txt": "text",
    **dict.fromkeys(
        (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"), "sound"
    ),
    **dict.fromkeys(
        (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pgm", ".pbm", ".pnm"), "image"
    ),
}
SEEN = 50  # files by which the sizes of all are chosen
RATE, SECONDS = 16_000, 600.0  # samples a second, at most; of the longest sound
BANDS = ((8_000, 24), (RATE, 40))  # mel bands up to such a rate
PIXELS = {"image": 64, "video": 16}  # of the longer side, at most
FRAMES = 10_000  # of a video


@dataclass(frozen=True)
class Layout:
    """Which columns, rates and sizes are read; what is open follows from the first files."""

    kind: str = ""
    text: str = ""
    target: str = ""
    id: str = ""
    time: str = ""
    channels: tuple[str, ...] = ()
    many: bool = False  # several labels
    separator: str = "|"
    count: int = 0  # numbers of a step
    rate: int = 0  # samples a second
    width: int = 0  # pixels
    height: int = 0

    def check(self) -> Layout:
        """Refuse one of a run folder that no fit writes."""
        where = "run folder layout"
        one_of(f"{where}, kind", self.kind, KINDS)
        words = (self.text, self.target, self.id, self.time, self.separator, *self.channels)
        numbers = (self.count, self.rate, self.width, self.height)
        fits = all(isinstance(word, str) for word in words) and all(type(number) is int for number in numbers)
        want(fits and type(self.many) is bool, where, "names and numbers", "others")
        within(f"{where}, count", self.count, 0, 1_000_000)
        if self.kind == "sound":
            within(f"{where}, rate", self.rate, 1000, RATE)
        if self.kind in PIXELS:
            within(f"{where}, width", self.width, 1, 512)
            within(f"{where}, height", self.height, 1, 512)
        return self


def labels_of(value: Any, layout: Layout) -> tuple[str, ...] | None:
    """The labels of a cell, as text; None where it has none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool | np.bool_):
        value = str(value).lower()
    items = list(value) if isinstance(value, list | tuple | set | np.ndarray) else None
    if layout.many:
        words = str(value).split(layout.separator) if items is None else map(str, items)
    else:
        words = [str(value)] if items is None else [" ".join(map(str, items))]
    return tuple(dict.fromkeys(filter(None, map(clean, words)))) or None


def kind_of(path: Any) -> str:
    """What a file of this name holds, "" where its ending does not say."""
    return ENDINGS.get(Path(path).suffix.lower(), "")


def natural(name: str) -> list[Any]:
    """A key by which frame_2 comes before frame_10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def folder(path: Path, layout: Layout, need: bool, notes: list[str]) -> tuple[list[Any], Layout]:
    """The files of a folder; those in a folder of a class have its name as their label."""
    rows: list[tuple[Path, str | None]] = []
    for child in _children(path):
        if (
            child.is_dir()
            and layout.kind == "video"
            and not need
            and any(kind_of(p) == "image" for p in _children(child))
        ):
            rows.append((child, ""))
        elif child.is_dir():
            rows += [(file, child.name) for file in _examples(child)]
        elif kind_of(child):
            rows.append((child, None))
    if any(label is None for _, label in rows) and (need or layout.kind == "video"):
        alone = [file for file, label in rows if label is None]
        if layout.kind == "video" or not need:
            rows = [row for row in rows if row[1] is not None] + ([(path, None)] if alone else [])
        else:
            want(len(alone) < len(rows), str(path), "a folder for each class", plural(len(alone), "file"))
            notes.append(f"{path}: {plural(len(alone), 'file')} in no folder of a class left out.")
            rows = [row for row in rows if row[1] is not None]
    counts = Counter("video" if file.is_dir() else kind_of(file) for file, _ in rows)
    todo = "Sound is .wav or .flac, an image .png or .jpg, a text .txt."
    want(bool(rows), str(path), "a folder for each class, of sounds, images, texts or folders of frames", "none", todo)
    kind = layout.kind or max(counts, key=lambda name: counts[name])
    others = {name: count for name, count in counts.items() if name != kind}
    got = ", ".join(f"{count:,} × {name}" for name, count in counts.items())
    want(not others, str(path), f"files of one kind ({kind})", got, "Move the others away.")
    layout = replace(layout, kind=kind)
    out = []
    for file, label in rows:
        place = str(file.relative_to(path))
        x = _read_text(file, notes) if kind == "text" else str(file)
        out.append((x, labels_of(label, layout) if need or label is not None else None, place))
    return out, layout


def _children(path: Path) -> list[Path]:
    return sorted((p for p in path.iterdir() if not p.name.startswith(".")), key=lambda p: natural(p.name))


def _examples(path: Path) -> Iterator[Path]:
    """The files of a class, and its folders of images, which are videos."""
    for child in _children(path):
        if child.is_dir():
            inside = _children(child)
            if any(kind_of(p) == "image" for p in inside):
                yield child
            else:
                yield from _examples(child)
        elif kind_of(child):
            yield child


def _read_text(path: Path, notes: list[str]) -> str:
    return clean(" ".join(line for _, line in lines(path, notes=notes)))


def complete(layout: Layout, paths: Sequence[str], size: int | None = None) -> Layout:
    """The layout with the rate or the size of most of the first files."""
    if layout.kind == "sound":
        if layout.rate:
            return layout
        rates: Counter[int] = Counter()
        for path in paths[:SEEN]:
            try:
                rates[sound.rate_of(path)] += 1
            except InputError:
                continue
        return replace(layout, rate=max(1000, min(RATE, rates.most_common(1)[0][0])) if rates else RATE)
    if layout.width:
        return layout
    sizes = []
    for path in paths[:SEEN]:
        first = _frames(Path(path))[0] if layout.kind == "video" else Path(path)
        h, w = images.grey(first).shape
        sizes.append((w, h))
    w, h = np.median(sizes, axis=0)
    most = size or layout.height or PIXELS[layout.kind]
    shrink = min(1.0, most / max(w, h)) if size is None else most / max(w, h)
    return replace(layout, width=max(1, round(w * shrink)), height=max(1, round(h * shrink)))


def front(layout: Layout) -> fbank.Front:
    return fbank.Front(layout.rate, next((bands for rate, bands in BANDS if layout.rate <= rate), BANDS[-1][1]))


def read_file(path: str, layout: Layout) -> Float32[np.ndarray, "C T"]:
    """A sound as log-mel bands by frame; an image as pixels by row; a video as the pixels of each frame."""
    if layout.kind == "sound":
        x = fbank.fbank(sound.samples(path, layout.rate, limit=SECONDS), front(layout))
        want(x.shape[1] > 0, path, "at least 0.025 s of sound", "less")
        return x
    if layout.kind == "image":
        return np.ascontiguousarray(images.scale(path, layout.width, layout.height).T)
    frames = [images.scale(frame, layout.width, layout.height).ravel() for frame in _frames(Path(path))]
    return np.ascontiguousarray(np.stack(frames, 1))


def _frames(path: Path) -> list[Path]:
    want(path.is_dir(), str(path), "a folder of frames", "a file" if path.exists() else "nothing there")
    frames = [p for p in _children(path) if kind_of(p) == "image"]
    want(0 < len(frames) <= FRAMES, str(path), f"1 to {FRAMES:,} images", len(frames))
    return frames
