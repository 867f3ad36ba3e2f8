"""A run: what was learnt, and what one does with it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gated import options, runs
from gated._check import InputError, one_of, want
from gated.features import alphabet
from gated.tasks.transcribe import frames, learn, listen, model, read
from gated.tasks.transcribe import score as metrics_of
from gated.tasks.transcribe.frames import HOUR, Fault
from gated.tasks.transcribe.model import Learnt
from gated.tasks.transcribe.read import Found
from gated.tasks.transcribe.search import Reading, Search
from gated.tasks.transcribe.search import read as read_all
from gated.tasks.transcribe.task import TASK, Config


@dataclass(frozen=True)
class Run:
    """A transcriber: `predict`, `read`, `score`, `save`."""

    config: Config
    learnt: Learnt
    constant: str  # the best answer of those that listen to nothing
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def predict(self, source: Any, **search: Any) -> str | list[str | None] | None:
        """The text of a file, or of a list, folder or manifest of files a list; options are those of `Search`.

        With bad="skip" a file that cannot be read has None.
        """
        found = read.items(source, text=False)
        said = [best[0].text if best else None for best in self.readings(found, **search)[0]]
        alone = isinstance(source, str | os.PathLike) and [item.path for item in found.items] == [os.fspath(source)]
        return said[0] if alone else said

    def read(self, source: Any, **search: Any) -> list[list[Reading]]:
        """Of every file its n_best readings, best first, with words, times and confidence."""
        return self.readings(read.items(source, text=False), **search)[0]

    def readings(self, found: Found, *, bad: str = "refuse", **search: Any) -> tuple[list[list[Reading]], list[Fault]]:
        """The same of what was found, and what is wrong with files that were left out, whose readings are empty.

        bad: "refuse" makes the first file that cannot be read an error; "skip" leaves it out.
        """
        how = options.make(Search, search, where="transcribe")
        ready, faults, _ = self.frames(found, bad)
        said = iter(self.decode([x for x in ready if x is not None], how))
        return [[] if x is None else next(said) for x in ready], faults

    def decode(self, xs: Sequence[np.ndarray], search: Search) -> list[list[Reading]]:
        """The readings of normalised frames: in one go, or as `listen` would write them."""
        if self.learnt.network.shape.both or self.learnt.frames.kind == "print":
            return read_all(self.learnt, xs, search)
        return [listen.whole(self.learnt, x, search) for x in xs]

    def frames(self, found: Found, bad: str = "refuse") -> tuple[list[Any], list[Fault], int]:
        """What was found as the network reads it, None where the file is at fault; the faults; how many frames."""
        one_of("bad", bad, ("refuse", "skip"))
        how = self.learnt.frames
        want(found.kind == how.kind, found.items[0].path, f"{how.kind}, as this run has learnt", found.kind)
        heard = list(frames.gather(found.items, how, HOUR if how.kind == "sound" else None))
        faults = [x for _, x in heard if isinstance(x, Fault)]
        if faults and bad == "refuse":
            more = f" And {len(faults) - 1:,} more." if len(faults) > 1 else ""
            raise InputError(faults[0].why + more)
        sound = [(item, x) for item, x in heard if not isinstance(x, Fault)]
        known = frames.speakers(*zip(*sound, strict=True)) if sound and how.normalise == "speaker" else {}
        ready = [None if isinstance(x, Fault) else frames.normal(how, item, x, known) for item, x in heard]
        return ready, faults, sum(x.shape[1] for _, x in sound)

    def score(
        self, source: Any, *, lower: bool = False, punctuation: bool = True, bad: str = "refuse", **search: Any
    ) -> dict[str, Any]:
        """Measure on files with their texts, beside one answer for all: see `score.score`.

        `seconds` is the time from opening the first file to the last text, `rtf` its share of the sound's own.
        """
        found = read.items(source)
        start = time.perf_counter()
        ready, faults, count = self.frames(found, bad)
        items = [item for item, x in zip(found.items, ready, strict=True) if x is not None]
        want(
            bool(items),
            found.where,
            "files to score on",
            f"none that can be read. {' '.join(learn.told(faults, found.where))}",
        )
        chosen = options.make(Search, search, where="score")
        best = [one[0] for one in self.decode([x for x in ready if x is not None], chosen)]
        seconds = time.perf_counter() - start
        how, letters = self.learnt.frames, self.learnt.alphabet
        truth = [letters.plain(item.text or "") for item in items]
        result = metrics_of.score(
            [one.text for one in best], truth, constant=self.constant,
            names=[item.where or item.path for item in items], confidences=[one.confidence for one in best],
            seconds=seconds, duration=count * how.unit if how.kind == "sound" else None, lower=lower,
            punctuation=punctuation,
        )  # fmt: skip
        notes = [*found.notes, *learn.told(faults, found.where), *learn.strange(letters, items)]
        return result | {"notes": [*notes, *result["notes"]]}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        network = self.learnt.network
        extras = {
            "frames": self.learnt.frames.save(), "alphabet": self.learnt.alphabet.save(),
            "shape": network.shape._asdict(), "constant": self.constant,
        }  # fmt: skip
        runs.save(TASK, folder, self, network, extras)

    def summary(self) -> str:
        """The run in a few lines for people."""
        return runs.summary(self, learn.describe(self.learnt, self.metrics))


def fit(
    source: Any, config: Config | None = None, *, valid: Any = None, out: Any = None, resume: bool = False,
    progress: bool = True, **choices: Any,
) -> Run:  # fmt: skip
    """Learn to transcribe from files with their texts, and write the run to the folder `out`.

        run = fit("train.csv", valid="dev.csv", time_limit=1800, out="runs/digits")

    source, valid: a manifest (.csv, .tsv, .jsonl) of path, text and, if known, start, end, speaker; a folder of X.wav +
    X.txt, or of X.png + X.gt.txt; or a list of (path, text). Without `valid` some examples are held out. choices are
    the fields of `Config`. With `resume`, a fit that was stopped in `out` goes on.
    """
    config = options.make(Config, choices, config)
    job = runs.start(TASK, out, resume, progress)
    found = read.items(source)
    held = None if valid is None else read.items(valid)
    learnt, metrics, history, notes = learn.learn(found, held, config, job)
    constant = metrics_of.constant([learnt.alphabet.plain(item.text or "") for item in found.items])
    return job.finish(Run(config, learnt, constant, metrics, history, tuple(notes)))


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, **common: Any) -> Run:
        how = frames.restore(stored.extras["frames"])
        letters = alphabet.restore(stored.extras["alphabet"])
        network = model.restore(stored.extras["shape"], how, letters, stored.state)
        return Run(learnt=Learnt(how, letters, network), constant=str(stored.extras["constant"]), **common)

    return runs.load(TASK, folder, restore)
