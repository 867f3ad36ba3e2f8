"""Files to frames: log-mel bands of sound, or columns of a line of print, and their normalisation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from gated._check import InputError, one_of, want, within
from gated.features import fbank
from gated.io import images, sound
from gated.tasks.transcribe.manifests import Item

RATE = 16_000  # samples a second, at most, by default: speech has little above 8,000 Hz
BANDS = {8_000: 24, RATE: 40}  # mel bands up to such a rate: wider than the harmonics of most voices lie apart
SECONDS, HEIGHTS = 60.0, 100.0  # of the longest training example, by default
LIMIT, LONGEST = 3600.0, 400.0  # seconds of the longest sound, heights of the longest line, to transcribe
VOICED = 6.0  # nepers of energy by which a voiced frame may be softer than the loudest
NORMALISATIONS = ("utterance", "speaker", "running")
FAULTS = 3  # in an error
SHOWN = 20  # in a note

Stats = tuple[np.ndarray, np.ndarray]  # mean and standard deviation of every band


@dataclass(frozen=True)
class Frames:
    """How a file becomes frames [rows, T]."""

    kind: str  # "sound" or "print"
    rows: int  # bands, or pixels of a column
    rate: int = 0  # samples a second
    dewarp: bool = True
    normalise: str = ""  # of sound: by the statistics of the utterance, the speaker, or the sound so far
    mean: tuple[float, ...] = ()  # of the training data's bands
    std: tuple[float, ...] = ()

    @property
    def front(self) -> fbank.Front:
        return fbank.Front(self.rate, self.rows)

    @property
    def unit(self) -> float:
        """The length of a frame: seconds of sound, or one column."""
        return self.front.step / self.rate if self.kind == "sound" else 1.0

    @property
    def stats(self) -> Stats:
        return np.array(self.mean), np.array(self.std)

    def longest(self, limit: float | None) -> int:
        """Frames of the longest example; the limit is in seconds, or in heights of a line."""
        if self.kind == "sound":
            return int((SECONDS if limit is None else limit) / self.unit)
        return int((HEIGHTS if limit is None else limit) * self.rows)

    def read(
        self, item: Item, limit: float | None = None, notes: list[str] | None = None
    ) -> Float[np.ndarray, "R T"]:  # fmt: skip
        """The frames of a file or of its span, not normalised. limit: as for `longest`; notes: see `sound.samples`."""
        if self.kind == "print":
            longest = max(self.longest(limit), 8)
            return images.columns(item.path, height=self.rows, dewarp=self.dewarp, longest=longest, notes=notes)
        samples = sound.samples(
            item.path, self.rate, item.start, item.end, limit=SECONDS if limit is None else limit, notes=notes
        )  # fmt: skip
        x = fbank.fbank(samples, self.front)
        expected = f"at least {self.front.size / self.rate:g} s of sound"
        want(x.shape[1] > 0, item.path, expected, f"{len(samples) / self.rate:g} s")
        return x


def restore(words: dict[str, Any]) -> Frames:
    """The frames of a run folder."""
    frames = Frames(**{**words, "mean": tuple(words["mean"]), "std": tuple(words["std"])})  # pyright: ignore
    one_of("run folder kind", frames.kind, ("sound", "print"))
    whole = type(frames.rows) is int and type(frames.rate) is int and type(frames.dewarp) is bool
    want(whole and 8 <= frames.rows <= 256, "run folder rows", "8 to 256", frames.rows)
    if frames.kind == "sound":
        within("run folder rate", frames.rate, 1000, 192_000)
        one_of("run folder normalise", frames.normalise, NORMALISATIONS)
        sides = (frames.mean, frames.std)
        fits = all(len(side) == frames.rows and all(type(v) is float for v in side) for side in sides)
        want(fits, "run folder mean and std", f"{frames.rows} numbers each", "others")
    return frames


def choose(items: Sequence[Item], kind: str, config: Any) -> Frames:
    """The frames of a config; what it leaves open follows from the files."""
    if kind == "print":
        return Frames("print", config.height, dewarp=config.dewarp)
    rate = config.rate or min(RATE, _most_common_rate(items))
    bands = config.bands or next((bands for limit, bands in BANDS.items() if rate <= limit), BANDS[RATE])
    fbank.Stream(fbank.Front(rate, bands))  # refuses impossible filters once, not for every file
    return Frames("sound", bands, rate, normalise=config.normalise or ("running" if config.streaming else "utterance"))


def _most_common_rate(items: Sequence[Item]) -> int:
    """Of the first files that can be read."""
    rates: Counter[int] = Counter()
    for item in items[:50]:
        try:
            rates[sound.rate_of(item.path)] += 1
        except InputError:
            continue
    return max(1000, rates.most_common(1)[0][0]) if rates else RATE


# ---- files that cannot be used


def read_all(
    items: Sequence[Item], frames: Frames, limit: float | None, notes: list[str] | None = None
) -> Iterator[tuple[Item, np.ndarray | str]]:
    """The frames of every item, or why it cannot be read; at the end the notes have what is remarkable of the files."""
    reasons: dict[str, list[str]] = {}
    for item in items:
        if item.fault:
            yield item, item.fault
            continue
        remarks: list[str] = []
        try:
            yield item, frames.read(item, limit, remarks)
        except InputError as error:
            yield item, str(error)
        for remark in remarks:
            reasons.setdefault(remark, []).append(item.path)
    if notes is not None:
        notes += [f"{list_names(names)}: {remark}." for remark, names in reasons.items()]


def list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - FAULTS:,} more" if len(names) > FAULTS else ""
    return ", ".join(names[:FAULTS]) + more


def list_faults(faults: Sequence[str], count: int = FAULTS) -> str:
    more = f" … and {len(faults) - count:,} more" if len(faults) > count else ""
    return " ".join(faults[:count]) + more


def note_faults(faults: Sequence[str], where: str) -> list[str]:
    """The files left out, in a sentence; the metrics of a run have all of them."""
    return [f"{where}: left out {len(faults):,}: {list_faults(faults, SHOWN)}"] if faults else []


# ---- normalisation


def mean_std(xs: Sequence[np.ndarray]) -> Stats:
    """Mean and standard deviation of every band over all these frames."""
    count = sum(x.shape[1] for x in xs)
    mean = np.sum([x.sum(1, dtype=np.float64) for x in xs], 0) / count
    square = np.sum([((x - mean[:, None]) ** 2).sum(1) for x in xs], 0) / count
    return mean, np.sqrt(square)


def measure(frames: Frames, items: Sequence[Item], xs: Sequence[np.ndarray]) -> dict[str, Stats]:
    """The statistics that normalise each speaker's frames: of the voiced ones of these, or of the training data.

    "" is the speaker of items that name none.
    """
    groups: dict[str, list[np.ndarray]] = {}
    for item, x in zip(items, xs, strict=True):
        groups.setdefault(item.speaker or "", []).append(x)
    if frames.normalise != "speaker":
        return dict.fromkeys(groups, frames.stats)
    return {speaker: mean_std([select_voiced(x) for x in group]) for speaker, group in groups.items()}


def select_voiced(x: np.ndarray) -> np.ndarray:
    """The frames within `VOICED` of the loudest, so that statistics do not depend on the length of pauses."""
    level = x.mean(0, dtype=np.float64)
    return x[:, level >= np.quantile(level, 0.95) - VOICED]


def normalise(x: Float[np.ndarray, "R T"], kind: str, stats: Stats) -> Float32[np.ndarray, "R T"]:
    """The frames as the network reads them; those of print, of kind "", stay as they are."""
    x = x.astype(np.float32)
    if kind == "speaker":
        return fbank.normalise(x, *stats)
    if kind == "running":
        return fbank.Running(*stats).push(x)
    return fbank.normalise_utterance(x, *stats) if kind else x
