"""The data that transcription is measured on, as folders and manifests such as anyone would have them.

Lines of print: UW3-500, in three splits of 400 lines to learn from and 100 to read; no page and no text is in both.
Spoken digits: single recordings; and strings of them that we joined, 3 to 7 of one speaker, each as it was recorded,
with up to 0.2 s of silence before the first and 0.25 s after each, and white noise 30 dB below the string's own power.
"""

from __future__ import annotations

import csv
import os
import pydoc_data.topics
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from gated.decode import ngram

DATA = Path(os.environ.get("GATED_DATA", "../shared/data"))
HOME = Path("build/transcribe")
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
RATE = 8000
STRINGS = 300  # of each test set
LINES = 100
ORDER, TIMES = 6, 5  # of the n-gram of letters; how often a line to learn from counts in it
OFFICIAL = 5  # recordings 0–4 of each digit and speaker are for the test


class Digit(NamedTuple):
    """One recording of one digit."""

    path: Path
    word: str
    speaker: str
    number: int


def unpacked(archive: str) -> Path:
    """The folder that an archive was unpacked to, once."""
    folder = HOME / Path(archive).name.partition(".")[0]
    if not folder.exists():
        with tarfile.open(DATA / archive) as found:
            found.extractall(folder.with_suffix(".new"), filter="data")
        folder.with_suffix(".new").rename(folder)
    return folder.resolve()


def manifest(name: str, rows: Sequence[tuple[Path, str, str]]) -> Path:
    """A manifest of path, text, speaker."""
    path = HOME / f"{name}.csv"
    with open(path.with_suffix(".new"), "w", newline="") as file:
        csv.writer(file).writerows([("path", "text", "speaker"), *rows])
    return path.with_suffix(".new").replace(path)


def made(*names: str) -> tuple[Path, ...] | None:
    """The manifests, if all are there: processes that learn side by side write none anew."""
    found = tuple(HOME / f"{name}.csv" for name in names)
    return found if all(path.exists() for path in found) else None


def lines(split: int) -> tuple[Path, Path]:
    """UW3-500: what to learn from, and what to read."""
    names = f"print-{split}-train", f"print-{split}-test"
    if there := made(*names):
        return there  # type: ignore[return-value]
    texts = sorted(unpacked("ocr/uw3-500.tgz").rglob("*.gt.txt"))
    found = [(path.parent.name, path, " ".join(path.read_text().split())) for path in texts]
    pages = sorted({page for page, _, _ in found})
    np.random.default_rng(split).shuffle(pages)
    test: list[tuple[str, Path, str]] = []
    for page in pages:
        mine = [one for one in found if one[0] == page]
        test += mine if len(test) + len(mine) <= LINES else []
    apart, said = {page for page, _, _ in test}, {text for _, _, text in test}
    train = [one for one in found if one[0] not in apart and one[2] not in said]
    return tuple(
        manifest(name, [(Path(str(path)[:-7] + ".bin.png"), text, "") for _, path, text in part])
        for name, part in zip(names, (train, test), strict=True)
    )  # type: ignore[return-value]


def letters(split: int) -> Path:
    """An n-gram of letters: of Python's manual, in lines of 6 to 12 words, and of the split's lines to learn from."""
    path = HOME / f"print-{split}.arpa"
    if path.exists():
        return path
    with open(lines(split)[0], newline="") as file:
        train = [row["text"] for row in csv.DictReader(file)]
    rng, known, manual = np.random.default_rng(0), set("".join(train)), []
    for paragraph in "\n\n".join(pydoc_data.topics.topics.values()).split("\n\n"):
        words = paragraph.split()
        while words:
            count = int(rng.integers(6, 13))
            manual.append("".join(letter for letter in " ".join(words[:count]) if letter in known))
            words = words[count:]
    ngram.save(ngram.estimate([list(line) for line in manual + TIMES * train], ORDER), path)
    return path


def digits() -> list[Digit]:
    """All recordings."""
    found = []
    for path in sorted(unpacked("speech/spoken_digits.tar.gz").rglob("*.wav")):
        digit, speaker, number = path.stem.split("_")
        found.append(Digit(path, WORDS[int(digit)], speaker, int(number)))
    return found


def speakers() -> list[str]:
    return sorted({one.speaker for one in digits()})


def joined(apart: str) -> tuple[Path, Path, Path]:
    """Single digits to learn from, and single ones and strings to read.

    apart: "official", or the speaker that is for the test.
    """
    names = f"digits-{apart}-train", f"digits-{apart}-test", f"digits-{apart}-strings"
    if there := made(*names):
        return there  # type: ignore[return-value]
    test = [one for one in digits() if one.number < OFFICIAL or apart != "official"]
    test = [one for one in test if apart in ("official", one.speaker)]
    train = [one for one in digits() if one not in test]
    alone = [manifest(name, [one[:3] for one in part]) for name, part in zip(names[:2], (train, test), strict=True)]
    return alone[0], alone[1], manifest(names[2], strings(apart, test))


def strings(apart: str, test: Sequence[Digit]) -> list[tuple[Path, str, str]]:
    rng, mine = np.random.default_rng(1), defaultdict(list)
    for one in test:
        mine[one.speaker].append(one)
    folder = HOME / f"strings-{apart}"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for n in range(STRINGS):
        speaker = str(rng.choice(sorted(mine)))
        chosen = [mine[speaker][k] for k in rng.integers(0, len(mine[speaker]), rng.integers(3, 8))]
        parts = [np.zeros(int(rng.uniform(0.05, 0.2) * RATE))]
        for one in chosen:
            parts += [soundfile.read(one.path)[0], np.zeros(int(rng.uniform(0, 0.25) * RATE))]
        wave = np.concatenate(parts)
        wave += rng.normal(0, np.sqrt((wave**2).mean()) * 10 ** (-30 / 20), len(wave))
        path = (folder / f"{n:03d}.wav").resolve()
        soundfile.write(path, wave, RATE, subtype="PCM_16")
        rows.append((path, " ".join(one.word for one in chosen), speaker))
    return rows
