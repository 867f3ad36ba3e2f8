"""Files to frames: log-mel bands of sound, or columns of a line of print, as a network reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from gated._check import InputError, one_of, want, within
from gated.features import fbank
from gated.io import images, sound
from gated.tasks.transcribe.read import Item

RATE = 16_000  # samples a second, at most, where nothing was said: speech has little above 8,000 Hz
BANDS = {8_000: 24, RATE: 40}  # of the mel scale, up to such a rate: wider than the harmonics of most voices lie apart
SECONDS, HEIGHTS = 60.0, 100.0  # longest example, where nothing was said
VOICED = 6.0  # nepers of energy by which a voice may be softer than at its loudest
HOUR = 3600.0  # longest sound that is read once a network has learnt
WHOLE = ("utterance", "speaker", "running")


@dataclass(frozen=True)
class Frames:
    """How a file becomes frames [rows, T]."""

    kind: str  # "sound" or "print"
    rows: int  # bands, or pixels of a column
    rate: int = 0  # samples a second
    dewarp: bool = True
    normalise: str = ""  # of sound: by whose mean and spread
    mean: tuple[float, ...] = ()  # of the training data's bands
    std: tuple[float, ...] = ()

    @property
    def front(self) -> fbank.Front:
        return fbank.Front(self.rate, self.rows)

    @property
    def unit(self) -> float:
        """What a frame counts on the axis: seconds of sound, or one column."""
        return self.front.step / self.rate if self.kind == "sound" else 1.0

    def longest(self, asked: float | None) -> int:
        """Frames of the longest example, from seconds or heights of a line."""
        if self.kind == "sound":
            return int((SECONDS if asked is None else asked) / self.unit)
        return int((HEIGHTS if asked is None else asked) * self.rows)

    def read(self, item: Item, longest: float | None = None) -> Float[np.ndarray, "R T"]:
        """The frames of a file or of its span, not normalised. longest: seconds, or heights."""
        if self.kind == "print":
            most = max(self.longest(longest), 8)
            return images.columns(item.path, height=self.rows, dewarp=self.dewarp, longest=most)
        limit = SECONDS if longest is None else longest
        heard = sound.samples(item.path, self.rate, item.start, item.end, limit=limit)
        x = fbank.fbank(heard, self.front)
        least = f"at least {self.front.size / self.rate:g} s of sound"
        want(x.shape[1] > 0, item.path, least, f"{len(heard) / self.rate:g} s")
        return x

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def restore(words: dict[str, Any]) -> Frames:
    """The frames of a run folder."""
    made: dict[str, Any] = {**words, "mean": tuple(words["mean"]), "std": tuple(words["std"])}
    found = Frames(**made)
    one_of("run folder kind", found.kind, ("sound", "print"))
    whole = type(found.rows) is int and type(found.rate) is int and type(found.dewarp) is bool
    want(whole and 8 <= found.rows <= 256, "run folder rows", "8 to 256", found.rows)
    if found.kind == "sound":
        within("run folder rate", found.rate, 1000, 192_000)
        one_of("run folder normalise", found.normalise, WHOLE)
        fits = all(len(side) == found.rows and all(type(v) is float for v in side) for side in (found.mean, found.std))
        want(fits, "run folder mean and std", f"{found.rows} numbers each", "others")
    return found


def choose(items: Sequence[Item], kind: str, config: Any) -> Frames:
    """What follows from the files where nothing was said."""
    if kind == "print":
        return Frames("print", config.height, dewarp=config.dewarp)
    rate = config.rate or min(RATE, _usual(items))
    bands = config.bands or next((bands for most, bands in BANDS.items() if rate <= most), BANDS[RATE])
    fbank.Stream(fbank.Front(rate, bands))  # refuses here, not for every file, what no filters are for
    return Frames("sound", bands, rate, normalise=config.normalise or ("running" if config.streaming else "utterance"))


def _usual(items: Sequence[Item]) -> int:
    """The rate of most of the first files that can be read."""
    found: Counter[int] = Counter()
    for item in items[:50]:
        try:
            found[sound.rate_of(item.path)] += 1
        except InputError:
            continue
    return max(1000, found.most_common(1)[0][0]) if found else RATE


class Fault(NamedTuple):
    """A file that was left out, and why."""

    where: str
    why: str


def gather(
    items: Sequence[Item], frames: Frames, longest: float | None, tell: Callable[[int], None] = lambda n: None
) -> Iterator[tuple[Item, np.ndarray | Fault]]:
    """The frames of every item, or what is wrong with its file."""
    for n, item in enumerate(items):
        try:
            yield item, frames.read(item, longest)
        except InputError as error:
            yield item, Fault(item.where or item.path, str(error))
        tell(n + 1)


# ---- normalisation


def figures(xs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every band over all these frames."""
    count = sum(x.shape[1] for x in xs)
    mean = np.sum([x.sum(1, dtype=np.float64) for x in xs], 0) / count
    square = np.sum([((x - mean[:, None]) ** 2).sum(1) for x in xs], 0) / count
    return mean, np.sqrt(square)


def speakers(items: Sequence[Item], xs: Sequence[np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The figures of each speaker's voice, "" for those that no one named, without the pauses beside it."""
    mine: dict[str, list[np.ndarray]] = {}
    for item, x in zip(items, xs, strict=True):
        mine.setdefault(item.speaker or "", []).append(voiced(x))
    return {who: figures(some) for who, some in mine.items()}


def voiced(x: np.ndarray) -> np.ndarray:
    """The frames that are not much softer than the loudest: what is left does not depend on the length of pauses."""
    level = x.mean(0, dtype=np.float64)
    return x[:, level >= np.quantile(level, 0.95) - VOICED]


def normal(frames: Frames, item: Item, x: np.ndarray, known: dict[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The frames as the network reads them. known: the figures of speakers."""
    x = x.astype(np.float32)
    if frames.kind == "print":
        return x
    if frames.normalise == "speaker":
        return fbank.normalise(x, *known[item.speaker or ""])
    figures = np.array(frames.mean), np.array(frames.std)
    return fbank.Running(*figures).push(x) if frames.normalise == "running" else fbank.normalise_utterance(x, *figures)
