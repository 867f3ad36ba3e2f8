"""A run: what was learnt, and what one does with it."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from gated import checkpoint, train
from gated._check import InputError, one_of, refuse, want
from gated.tasks.transcribe import alphabet, frames, learn, listen, model, read
from gated.tasks.transcribe import score as metrics_of
from gated.tasks.transcribe.config import Config
from gated.tasks.transcribe.frames import HOUR, Fault
from gated.tasks.transcribe.model import Learnt
from gated.tasks.transcribe.read import Found
from gated.tasks.transcribe.search import Reading, Search, made
from gated.tasks.transcribe.search import read as read_all


@dataclass
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
        how = made("transcribe", search)
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
        best = [one[0] for one in self.decode([x for x in ready if x is not None], made("score", search))]
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
        kept = {
            "frames": self.learnt.frames.save(), "alphabet": self.learnt.alphabet.save(),
            "shape": network.shape._asdict(), "constant": self.constant, "notes": list(self.notes),
            "history": train.thinned(self.history),
        }  # fmt: skip
        checkpoint.save(folder, asdict(self.config), network, task="transcribe", metrics=self.metrics, learnt=kept)
        checkpoint.write(Path(folder) / checkpoint.HISTORY, train.csv_of(self.history))

    def summary(self) -> str:
        """What was learnt, in a few lines for people."""
        return "\n".join([*self.notes, *learn.describe(self.learnt, self.metrics), *train.observed(self.history)])


def fit(
    source: Any, config: Config | None = None, *, valid: Any = None, out: Any = None, resume: bool = False,
    progress: bool = True, **options: Any,
) -> Run:  # fmt: skip
    """Learn to transcribe from files with their texts, and write the run to the folder `out`.

        run = fit("train.csv", valid="dev.csv", time_limit=1800, out="runs/digits")

    source, valid: a manifest (.csv, .tsv, .jsonl) of path, text and, if known, start, end, speaker; a folder of X.wav +
    X.txt, or of X.png + X.gt.txt; or a list of (path, text). Without `valid` some examples are held out. options are
    the fields of `Config`. With `resume`, a fit that was stopped in `out` goes on.
    """
    start = time.perf_counter()
    want(out is not None or not resume, "fit", "the folder out of the fit to resume", "none")
    if out is not None and os.path.exists(out):  # before the work
        checkpoint.claim(out)
    chosen = _config(options, config or Config())
    found = read.items(source)
    held = None if valid is None else read.items(valid)
    learnt, metrics, history, notes = learn.learn(found, held, chosen, out=out, resume=resume, progress=progress)
    metrics["fit_seconds"] = time.perf_counter() - start
    constant = metrics_of.constant([learnt.alphabet.plain(item.text or "") for item in found.items])
    run = Run(chosen, learnt, constant, metrics, history, tuple(notes))
    if out is not None:
        run.save(out)
    return run


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""
    found = checkpoint.load(folder, task="transcribe")
    try:
        words: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.config.items()}
        config = Config(**words)
        how = frames.restore(found.learnt["frames"])
        letters = alphabet.restore(found.learnt["alphabet"])
        network = model.restore(found.learnt["shape"], how, letters, found.state)
        notes, history = tuple(map(str, found.learnt["notes"])), list(found.learnt["history"])
        constant = str(found.learnt["constant"])
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:  # a stranger's file
        where = f"run folder {Path(folder)}"
        refuse(where, "a transcription run as this version writes it", f"{type(error).__name__}: {error}")
    return Run(config, Learnt(how, letters, network), constant, found.metrics, history, notes)


def _config(options: dict[str, Any], config: Config) -> Config:
    """The Config with these options; a wrong name is answered with the nearest right one."""
    names = [f.name for f in fields(Config)]
    strange: Sequence[str] = sorted(set(options) - set(names))
    near = [n for name in strange for n in difflib.get_close_matches(name, names, 1)]
    todo = f"Did you mean {', '.join(near)}?" if near else ""
    want(not strange, "fit", f"options of Config: {', '.join(names)}", ", ".join(strange), todo)
    return replace(config, **options)
