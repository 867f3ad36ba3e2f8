"""A fitted transcriber: predict, transcribe, listen, score, save; fit and load."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from gated import options, runs
from gated._check import InputError, one_of, want, within
from gated.features import alphabet
from gated.io import sound
from gated.io.text import is_path
from gated.tasks.transcribe import frames, listen, model, scoring, search, training
from gated.tasks.transcribe.data import Dataset, read_items
from gated.tasks.transcribe.frames import note_faults
from gated.tasks.transcribe.listen import Latency, Update
from gated.tasks.transcribe.model import Transcriber
from gated.tasks.transcribe.search import Hypothesis, Search
from gated.tasks.transcribe.task import TASK, Config


@dataclass(frozen=True)
class Run:
    """A transcriber, with the metrics and the history of its training."""

    config: Config
    model: Transcriber
    constant: str  # the best constant answer, for the baseline
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def predict(self, source: Any, **options: Any) -> str | list[str | None] | None:
        """The text of one file, a string; of a folder, a manifest or a list of files a list of them, in order.

        With bad="skip" a file that cannot be read gives None. options: as for `transcribe`.
        """
        dataset = self.items(source, **_choose_items(options))
        texts = [best[0].text if best else None for best in self.decode(dataset, **options)[0]]
        alone = is_path(source) and [one.path for one in dataset.items] == [os.fspath(source)]
        return texts[0] if alone else texts

    def transcribe(self, source: Any, **options: Any) -> list[list[Hypothesis]]:
        """The n_best hypotheses of every file, best first, with words, times and confidences.

        options: fields of `Search`; bad="skip", with which a file that cannot be read has no hypothesis; columns, the
        names of a manifest's, by default those of the fit where the manifest has them.
        """
        dataset = self.items(source, **_choose_items(options))
        return self.decode(dataset, **options)[0]

    def items(
        self, source: Any, *, text: bool = False, columns: Sequence[str] | None = None, bad: str = "refuse"
    ) -> Dataset:  # fmt: skip
        """The files of a source, see `data.read_items`."""
        known = self.config.columns if columns is None else columns
        kind, strict = self.model.frames.kind, columns is not None
        return read_items(source, text=text, columns=known, strict=strict, bad=bad, kind=kind)

    def decode(
        self, dataset: Dataset, *, bad: str = "refuse", **choices: Any
    ) -> tuple[list[list[Hypothesis]], list[str], int]:
        """`transcribe` of items, why files cannot be read, and the number of frames.

        bad: "refuse" makes the first such file an error; "skip" leaves it without hypotheses.
        """
        how = options.make(Search, choices, where="transcribe")
        xs, faults, count = self.read(dataset, bad)
        best = iter(self.search([x for x in xs if x is not None], how))
        return [[] if x is None else next(best) for x in xs], faults, count

    def search(self, xs: Sequence[np.ndarray], how: Search) -> list[list[Hypothesis]]:
        """The hypotheses of normalised frames; those of a streaming network are what `listen` gives for them."""
        if self.model.network.shape.both or self.model.frames.kind == "print":
            return search.decode(self.model, xs, how)
        return [[listen.decode_offline(self.model, x, how)] for x in xs]

    def read(self, dataset: Dataset, bad: str = "refuse") -> tuple[list[Any], list[str], int]:
        """The normalised frames of items, None for a file that cannot be read; why it cannot; the number of frames."""
        one_of("bad", bad, ("refuse", "skip"))
        how = self.model.frames
        expected = f"{how.kind}, as in this run's training data"
        want(dataset.kind == how.kind, dataset.items[0].path, expected, dataset.kind)
        limit = max(self.config.longest or 0.0, frames.LIMIT if how.kind == "sound" else frames.LONGEST)
        results = list(frames.read_all(dataset.items, how, limit, dataset.notes))
        faults = [x for _, x in results if isinstance(x, str)]
        if faults and bad == "refuse":
            more = f" And {len(faults) - 1:,} more." if len(faults) > 1 else ""
            raise InputError(faults[0] + more)
        readable = [(item, x) for item, x in results if not isinstance(x, str)]
        longest = 2 * self.metrics.get("longest", math.inf)
        long = [item.path for item, x in readable if x.shape[1] > longest]
        if long:
            dataset.notes.append(f"{frames.list_names(long)}: over twice as long as the longest training example.")
        stats = frames.measure(how, [item for item, _ in readable], [x for _, x in readable])
        xs = [
            None if isinstance(x, str) else frames.normalise(x, how.normalise, stats[item.speaker or ""])
            for item, x in results
        ]
        return xs, faults, sum(x.shape[1] for _, x in readable)

    def listen(
        self, source: Any, latency: Latency | None = None, *, rate: int | None = None, chunk: float = 0.1,
        pause: float = listen.PAUSE, **choices: Any,
    ) -> Iterator[Update]:  # fmt: skip
        """Transcribe a file, or a stream of raw 16-bit PCM, as it comes: an update for each chunk, and one for the end.

        rate: of a stream, by default the network's. chunk: seconds. pause: seconds of silence that end an utterance.
        choices: fields of `Search`. latency: counts the computing time.
        """
        how = options.make(Search, choices, where="listen")
        listener = listen.Listener(self.model, how, pause)
        want(rate is None or not is_path(source), "rate", "none beside a file, whose header has it", rate)
        raw = None if is_path(source) else listener.rate if rate is None else rate
        return listener.stream(sound.chunks(source, listener.rate, chunk, raw=raw), latency or Latency())

    def score(
        self, source: Any, *, lower: bool = False, punctuation: bool = True, columns: Sequence[str] | None = None,
        bad: str = "refuse", **choices: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """The metrics on files with texts, beside the best constant answer: see `scoring.score`.

        `seconds` is the time from opening the first file to the last text, `rtf` its ratio to the sound's duration.
        """
        dataset = self.items(source, text=True, columns=columns, bad=bad)
        start = time.perf_counter()
        hypotheses, faults, count = self.decode(dataset, bad=bad, **choices)
        seconds = time.perf_counter() - start
        left = note_faults(faults, dataset.where)
        best = [some[0] for some in hypotheses if some]
        want(bool(best), dataset.where, "files to score on", f"none that can be read. {' '.join(left)}")
        items = [item for item, some in zip(dataset.items, hypotheses, strict=True) if some]
        want(any(item.text for item in items), dataset.where, "texts to score against", "only empty ones")
        letters, how = self.model.alphabet, self.model.frames
        result = scoring.score(
            [one.text for one in best], [letters.plain(item.text or "") for item in items], constant=self.constant,
            names=[item.where or item.path for item in items], confidences=[one.confidence for one in best],
            seconds=seconds, duration=count * how.unit if how.kind == "sound" else None, lower=lower,
            punctuation=punctuation,
        )  # fmt: skip
        unknown = training.note_unknown(letters, items)
        capitals = [item._replace(text=(item.text or "").lower()) for item in items] if unknown and not lower else []
        if capitals and training.note_unknown(letters, capitals) != unknown:
            unknown.append("Some of these are known in lower case: lower=True (--lower) ignores case.")
        notes = [*dataset.notes, *left, *unknown, *result["notes"]]
        return result | {"notes": notes}

    def update(
        self, source: Any, *, valid: Any = None, steps: int | None = None, lr: float | None = None,
        columns: Sequence[str] | None = None, bad: str = "refuse", out: Any = None, overwrite: bool = False,
        progress: bool = True,
    ) -> Run:  # fmt: skip
        """A new run: these weights trained further on other files, with the same symbols and frames.

        steps: updates of the weights, by default a fifth of the fit's. lr: by default a third of the fit's. Symbols of
        the new texts that the run does not have are left out of them; a note counts them.
        """
        within("steps", 1 if steps is None else steps, 1)
        known = tuple(self.config.columns if columns is None else columns)
        fewer = max(1, self.metrics.get("steps", 1000) // 5) if steps is None else steps
        config = replace(self.config, columns=known, bad=bad, steps=fewer, time_limit=None, lr=lr or self.config.lr / 3)
        with runs.start(TASK, out, overwrite=overwrite, progress=progress) as job:
            dataset = self.items(source, text=True, columns=columns, bad=bad)
            held = None if valid is None else self.items(valid, text=True, bad=bad)
            transcriber, metrics, history, notes = training.fit(dataset, held, config, job, start=self.model)
            constant = scoring.constant([transcriber.alphabet.plain(item.text or "") for item in dataset.items])
            return job.finish(Run(config, transcriber, constant, metrics | {"updated": True}, history, tuple(notes)))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        network = self.model.network
        extras = {
            "frames": asdict(self.model.frames), "alphabet": self.model.alphabet.save(),
            "shape": network.shape._asdict(), "constant": self.constant,
        }  # fmt: skip
        runs.save(TASK, folder, self, network, extras)

    def summary(self) -> str:
        """The run in a few lines for people."""
        return runs.summary(self, training.describe(self.model, self.metrics))


def fit(
    source: Any, config: Config | None = None, *, valid: Any = None, out: Any = None, resume: bool = False,
    overwrite: bool = False, progress: bool = True, **choices: Any,
) -> Run:  # fmt: skip
    """Train a transcriber on files with their texts, and write the run to the folder `out`.

        run = fit("train.csv", valid="dev.csv", time_limit=1800, out="runs/digits")

    source, valid: a manifest (.csv, .tsv, .jsonl) of path, text and, optionally, start, end, speaker; a folder of
    X.wav + X.txt, or of X.png + X.gt.txt; or a list of (path, text). Without `valid` some examples are held out.
    choices are the fields of `Config`. `resume` continues a fit that was stopped in `out`; a run in it is
    replaced only with `overwrite`.
    """
    config = options.make(Config, choices, config)
    with runs.start(TASK, out, resume, overwrite, progress) as job:
        read = partial(read_items, columns=config.columns, bad=config.bad)
        dataset = read(source)
        held = None if valid is None else read(valid, strict=False)
        transcriber, metrics, history, notes = training.fit(dataset, held, config, job)
        constant = scoring.constant([transcriber.alphabet.plain(item.text or "") for item in dataset.items])
        return job.finish(Run(config, transcriber, constant, metrics, history, tuple(notes)))


def _choose_items(options: dict[str, Any]) -> dict[str, Any]:
    """The options that concern the reading of a source, of which `bad` concerns the decoding too."""
    mine = {"columns": options.pop("columns")} if "columns" in options else {}
    return mine | ({"bad": options["bad"]} if "bad" in options else {})


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        how = frames.restore(stored.extras["frames"])
        letters = alphabet.restore(stored.extras["alphabet"])
        network = model.restore(stored.extras["shape"], how, letters, stored.state).to(runs.device(config))
        return Run(config, Transcriber(how, letters, network), str(stored.extras["constant"]), **common)

    return runs.load(TASK, folder, restore)
