"""A fitted transcriber: predict, transcribe, listen, score, save; fit and load."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from gated import options, runs
from gated._check import InputError, one_of, want
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
        dataset = read_items(source, text=False)
        texts = [best[0].text if best else None for best in self.decode(dataset, **options)[0]]
        alone = is_path(source) and [one.path for one in dataset.items] == [os.fspath(source)]
        return texts[0] if alone else texts

    def transcribe(self, source: Any, **options: Any) -> list[list[Hypothesis]]:
        """The n_best hypotheses of every file, best first, with words, times and confidences.

        options: fields of `Search`, and bad="skip", with which a file that cannot be read has no hypothesis.
        """
        return self.decode(read_items(source, text=False), **options)[0]

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
        results = list(frames.read_all(dataset.items, how, frames.LIMIT if how.kind == "sound" else None))
        faults = [x for _, x in results if isinstance(x, str)]
        if faults and bad == "refuse":
            more = f" And {len(faults) - 1:,} more." if len(faults) > 1 else ""
            raise InputError(faults[0] + more)
        readable = [(item, x) for item, x in results if not isinstance(x, str)]
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
        raw = None if is_path(source) else rate or listener.rate
        return listener.stream(sound.chunks(source, listener.rate, chunk, raw=raw), latency or Latency())

    def score(
        self, source: Any, *, lower: bool = False, punctuation: bool = True, bad: str = "refuse", **choices: Any
    ) -> dict[str, Any]:
        """The metrics on files with texts, beside the best constant answer: see `scoring.score`.

        `seconds` is the time from opening the first file to the last text, `rtf` its ratio to the sound's duration.
        """
        dataset = read_items(source)
        start = time.perf_counter()
        hypotheses, faults, count = self.decode(dataset, bad=bad, **choices)
        seconds = time.perf_counter() - start
        left = note_faults(faults, dataset.where)
        best = [some[0] for some in hypotheses if some]
        want(bool(best), dataset.where, "files to score on", f"none that can be read. {' '.join(left)}")
        items = [item for item, some in zip(dataset.items, hypotheses, strict=True) if some]
        letters, how = self.model.alphabet, self.model.frames
        result = scoring.score(
            [one.text for one in best], [letters.plain(item.text or "") for item in items], constant=self.constant,
            names=[item.where or item.path for item in items], confidences=[one.confidence for one in best],
            seconds=seconds, duration=count * how.unit if how.kind == "sound" else None, lower=lower,
            punctuation=punctuation,
        )  # fmt: skip
        notes = [*dataset.notes, *left, *training.note_unknown(letters, items), *result["notes"]]
        return result | {"notes": notes}

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
        dataset = read_items(source)
        held = None if valid is None else read_items(valid)
        transcriber, metrics, history, notes = training.fit(dataset, held, config, job)
        constant = scoring.constant([transcriber.alphabet.plain(item.text or "") for item in dataset.items])
        return job.finish(Run(config, transcriber, constant, metrics, history, tuple(notes)))


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        how = frames.restore(stored.extras["frames"])
        letters = alphabet.restore(stored.extras["alphabet"])
        network = model.restore(stored.extras["shape"], how, letters, stored.state).to(runs.device(config))
        return Run(config, Transcriber(how, letters, network), str(stored.extras["constant"]), **common)

    return runs.load(TASK, folder, restore)
