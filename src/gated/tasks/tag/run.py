"""A fitted tagger: predict, tag, score, save."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gated import options, runs
from gated._check import one_of, want
from gated.io import vectors
from gated.tasks.tag import lexicon, model, scoring, series, spans, training
from gated.tasks.tag.data import Layout, Sentences, parse, read
from gated.tasks.tag.model import Tagger
from gated.tasks.tag.search import Tagged, tag
from gated.tasks.tag.task import TASK, Config

MAX_WORDS = 500_000  # of training sentences in a run, for its baselines


@dataclass(frozen=True)
class Run:
    """A tagger, and training sentences for the baselines that scores compare with."""

    config: Config
    model: Tagger
    memory: Sentences
    layout: dict[str, Any]  # kind and number of columns of the training file
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)  # of the training, a row every few steps
    notes: tuple[str, ...] = ()  # on the data

    def predict(self, source: Any) -> Any:
        """(word, tag) pairs: of a string a list; of a list of sentences, or a `Path` to a file, a list of lists.

        A sentence is a string, which is cut into words, or a list of words. Of a table, a file or a data frame, it is a
        list for each series, whose words are empty.
        """
        text = isinstance(source, str) and self.model.channels is None
        sentences = self.read([source] if text else source)
        pairs = [
            [*zip(words, one.tags, strict=True)]
            for words, one in zip(sentences.words, self.tag(sentences), strict=True)
        ]
        return pairs[0] if text else pairs

    def tag(self, sentences: Sentences, *, beside: Sequence[Run] = (), n_best: int = 1) -> list[Tagged]:
        """Tags, marginal probabilities and labels of sentences that `read` gave."""
        for other in beside:
            same = (self.model.tags, self.model.labels) == (other.model.tags, other.model.labels)
            want(same, "beside", "a run of the same tags and labels", "one of others")
        return tag([self.model, *(run.model for run in beside)], sentences, n_best, self.config.hold)

    def read(self, source: Any, kind: str = "", tagged: bool = False) -> Sentences:
        """Sentences of a file or list, by the columns of the fit: see `data.read`."""
        if self.model.channels is not None:
            return series.read(source, self.config, self.model.channels.names, tagged)
        return self._check(read(source, self._layout, kind=kind, tagged=tagged))

    def read_numbered(self, where: str, lines: Sequence[tuple[int, str]], kind: str) -> Sentences:
        """Sentences of lines with their numbers, of one of `data.KINDS`."""
        return self._check(parse(where, lines, kind, self._layout, tagged=False))

    def _check(self, sentences: Sentences) -> Sentences:
        config = self.config
        todo = f"Give a file with the column {', '.join(config.features)}, as in training."
        if config.features and len(sentences):
            want(bool(sentences.features), sentences.where, "columns that this run reads", "words alone", todo)
        return sentences

    @cached_property
    def _layout(self) -> Layout:
        config, words = self.config, {word for row in self.memory.words for word in row}
        return Layout(config.column, config.word, config.features, **self.layout, words=words)

    def score(
        self, source: Any, *, beside: Sequence[Run] = (), crfsuite: bool = True, kind: str = ""
    ) -> dict[str, Any]:
        """Measure on sentences with tags, beside the most frequent tag and a plain CRF: see `scoring.score`.

        crfsuite: whether to train that CRF, on at most `MAX_WORDS` words of the training data. `seconds` is the time
        of tagging.
        """
        sentences = training.drop_empty(self.read(source, kind, tagged=True))
        start = time.perf_counter()
        tagged = self.tag(sentences, beside=beside)
        seconds = time.perf_counter() - start
        knows = self.model.lexicon.knows if self.model.lexicon else lambda word: True
        data = describe_series(self.model, sentences)
        result = scoring.score(data, tagged, self.model.scheme, self.memory, knows, seconds, suite=crfsuite)
        notes = [*sentences.notes, *training.note_new(self.model, sentences), *result["notes"]]
        return result | {"words_per_second": result["words_count"] / seconds, "notes": notes}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        m, s = self.model, self.memory
        text = json.dumps([s.words, s.tags, s.labels, s.features])
        words = m.lexicon.save() if m.lexicon else None
        extras = {
            "shape": m.network.shape._asdict(), "tags": list(m.tags), "labels": list(m.labels), "scheme": m.scheme,
            "inner": m.inner, "channels": None if m.channels is None else asdict(m.channels), "layout": self.layout,
        }  # fmt: skip
        arrays = {"memory": np.frombuffer(bytearray(text, "ascii"), np.uint8)}
        arrays["lexicon"] = np.frombuffer(bytearray(json.dumps(words), "ascii"), np.uint8)
        runs.save(TASK, folder, self, m.network, extras, arrays)

    def summary(self) -> str:
        """The run in a few lines for people."""
        return runs.summary(self, training.describe(self.model, self.metrics))


def fit(
    source: Any, config: Config | None = None, *, valid: Any = None, out: Any = None, resume: bool = False,
    overwrite: bool = False, progress: bool = True, **choices: Any,
) -> Run:  # fmt: skip
    """Train a tagger on sentences with tags, and write the run to the folder `out`.

        run = fit("train.conll", valid="dev.conll", time_limit=300, out="runs/chunks")

    source: a file, a folder or a list, see `data.read`. valid: the same; without it some of the sentences are held out.
    choices are the fields of `Config`. With `resume`, a fit that was stopped in `out` continues; a run in it is
    replaced only with `overwrite`.
    """
    config = options.make(Config, choices, config)
    with runs.start(TASK, out, resume, overwrite, progress) as job:
        layout = Layout(config.column, config.word, config.features)
        if config.target:
            sentences = series.read(source, config)
            held = None if valid is None else series.read(valid, config, sentences.columns)
        else:
            sentences = read(source, layout)
            held = None if valid is None else read(valid, layout)
        words = None
        if config.vectors:
            known = {lexicon.normal(word) for row in sentences.words for word in row}
            words = vectors.read(config.vectors, known.__contains__, key=lexicon.normal)
        tagger, metrics, history, notes = training.fit(sentences, held, config, job, words)
        own = {"kind": sentences.kind, "width": sentences.width}
        notes = (*sentences.notes, *(held.notes if held else ()), *notes)
        return job.finish(
            Run(config, tagger, keep(describe_series(tagger, sentences), config.seed), own, metrics, history, notes)
        )


def describe_series(tagger: Tagger, sentences: Sentences) -> Sentences:
    """The sentences; of series with the bins of their numbers, as words, for the baselines."""
    if tagger.channels is None:
        return sentences
    return replace(sentences, features=[tagger.channels.describe(row) for row in sentences.values])


def keep(sentences: Sentences, seed: int) -> Sentences:
    """At most `MAX_WORDS` words of the sentences."""
    order, total, chosen = np.random.default_rng(seed).permutation(len(sentences)).tolist(), 0, []
    for k in order:
        total += len(sentences.words[k])
        if total > MAX_WORDS and chosen:
            break
        chosen.append(k)
    few = sentences.take(sorted(chosen))
    return Sentences(few.words, few.tags, few.labels, "training data", few.kind, few.features)


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        extras, where = stored.extras, f"run folder {Path(folder)}"
        names = extras["tags"], extras["labels"]
        for kind, values in zip(("tags", "labels"), names, strict=True):
            fits = isinstance(values, list) and all(isinstance(one, str) and one for one in values)
            want(fits and len(set(values)) == len(values) < 10_000, where, f"{kind}, each once", "something else")
        one_of(f"{where} scheme", extras["scheme"], spans.SCHEMES)
        one_of(f"{where} inner scheme", extras["inner"], ("plain", "bioes", "iob2"))
        words = json.loads(stored.arrays["lexicon"].tobytes())
        known = None if words is None else lexicon.restore(words)
        channels = None if extras["channels"] is None else series.restore(extras["channels"])
        network = model.restore(extras["shape"], extras["inner"], *names, known, channels, stored.state)
        tagger = Tagger(
            network.to(runs.device(config)),
            known,
            channels,
            tuple(names[0]),
            tuple(names[1]),
            extras["scheme"],
            extras["inner"],
        )
        layout = {"kind": str(extras["layout"]["kind"]), "width": int(extras["layout"]["width"])}
        return Run(config, tagger, _recall(where, stored.arrays["memory"]), layout, **common)

    return runs.load(TASK, folder, restore)


def _recall(where: str, text: np.ndarray) -> Sentences:
    """The training sentences of a run folder."""
    words, tags, labels, features = json.loads(text.tobytes())
    fits = all(isinstance(row, list) and all(isinstance(word, str) for word in row) for row in (*words, *tags))
    fits = fits and [len(row) for row in words] == [len(row) for row in tags]
    fits = fits and (labels is None or (len(labels) == len(words) and all(isinstance(one, str) for one in labels)))
    fits = fits and (not features or [len(row) for row in features] == [len(row) for row in words])
    columns = {tuple(map(type, values)) for row in features for values in row} if fits else set()
    fits = fits and all(kind is str for kinds in columns for kind in kinds) and len(columns) <= 1
    want(fits, where, "sentences with a tag for each word", "something else")
    return Sentences(words, tags, labels, "training data", "list", [[*map(tuple, row)] for row in features])
