"""A fitted translator: what it says, how good that is, and where it looked."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gated import options, runs
from gated._check import want
from gated.features import tokens
from gated.tasks.translate import learn, model, po, read, score
from gated.tasks.translate.model import Learnt
from gated.tasks.translate.search import Search, Translation, translate
from gated.tasks.translate.task import TASK, Config

SPARE = 5  # translations of a catalogue's text, at most, of which the first with all its placeholders is taken
KEPT = 100_000  # training pairs that a run keeps, at most, for the translation memory beside every score


@dataclass(frozen=True)
class Run:
    """A translator, and some of what it learnt from."""

    config: Config
    learnt: Learnt
    memory: tuple[list[str], list[str]]  # training pairs, for the baseline
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)  # of the training, a row every few steps
    notes: tuple[str, ...] = ()  # what was met in the data

    def predict(self, source: Any, **how: Any) -> Any:
        """Translations: of a string one string, of a list of strings or a `Path` to a file a list, an entry a line.

        Of a `.po` catalogue it is a `po.Outcome`, whose `data` is the filled catalogue. how: as for `translate`.
        """
        if isinstance(source, Path) and catalogue(source):
            return self.fill(po.load(source), **how)
        lines = [source] if isinstance(source, str) else self.lines(source)
        told = [best[0].text for best in self.translate(lines, **how)]
        return told[0] if isinstance(source, str) else told

    def translate(
        self, lines: Sequence[str], *, beside: Sequence[Run] = (), prefixes: Sequence[str] | None = None, **search: Any
    ) -> list[list[Translation]]:
        """n_best translations of every sentence, best first, with scores, tokens and attention.

        beside: other runs, of the same tokens, that decide together with this one: an ensemble. prefixes: what each
        translation must begin with, an empty string where nothing is asked. search: fields of `Search`.
        """
        todo = "Give a list of sentences."
        want(not isinstance(lines, str), "translate", "sentences", "one string", todo)
        want(not isinstance(prefixes, str), "prefixes", "a list, one for each sentence", "one string")
        starts = None if prefixes is None else read.sentences(list(prefixes)).source
        how, texts = options.make(Search, search, where="translate"), read.sentences(list(lines)).source
        return translate([self.learnt, *(run.learnt for run in beside)], texts, how, prefixes=starts)

    def lines(self, source: Any) -> list[str]:
        """The sentences of a file or list; of a TSV or JSON lines the column that the run learnt to read."""
        named = str(source).lower().removesuffix(".gz").endswith((".tsv", ".tab", ".jsonl", ".ndjson"))
        column = self.config.columns[0] if named and self.config.columns and not isinstance(source, list) else None
        return read.sentences(source, column=column).source

    def fill(self, catalogue: po.Catalogue, *, fuzzy: bool = False, **search: Any) -> po.Outcome:
        """Fill what a catalogue lacks; with `fuzzy` also what is marked so.

        Of some translations of each text the best in which all placeholders came through is taken.
        """
        how = options.make(Search, search, where="fill")
        how = how if how.sample else replace(how, n_best=max(how.n_best, min(SPARE, how.width)))

        def decode(lines: list[str]) -> list[list[str]]:
            return [[found.text for found in best] for best in translate([self.learnt], lines, how, masked=True)]

        return po.translate(catalogue, decode, fuzzy)

    def score(self, source: Any, target: Any = None, *, beside: Sequence[Run] = (), **search: Any) -> dict[str, Any]:
        """Measure on pairs, beside copying the source and a translation memory: see `score.score`.

        source, target: as for `fit`. `seconds` is the time of the translating, `sentences_per_second` what follows.
        """
        pairs = read.pairs(source, target, columns=_columns(self.config, source, target))
        start = time.perf_counter()
        said = [best[0].text for best in self.translate(pairs.source, beside=beside, **search)]
        seconds = time.perf_counter() - start
        kind = score.memory(*self.memory) if self.memory[0] else None
        result = score.score(said, pairs.target or [], source=pairs.source, memory=kind, seconds=seconds)
        return result | {"sentences_per_second": len(said) / seconds, "notes": [*pairs.notes, *result["notes"]]}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        text = dict(zip(("memory.source", "memory.target"), self.memory, strict=True))
        arrays = {name: np.frombuffer(bytearray("\n".join(side), "utf-8"), np.uint8) for name, side in text.items()}
        extras = {
            "source": self.learnt.source.save(), "target": self.learnt.target.save(),
            "shape": self.learnt.network.shape._asdict(),
        }  # fmt: skip
        runs.save(TASK, folder, self, self.learnt.network, extras, arrays)

    def summary(self) -> str:
        """The run in a few lines for people."""
        return runs.summary(self, learn.describe(self.learnt, self.metrics))


def fit(
    source: Any, target: Any = None, config: Config | None = None, *, valid: Any = None, out: Any = None,
    resume: bool = False, progress: bool = True, **choices: Any,
) -> Run:  # fmt: skip
    """Learn to translate from pairs, and write the run to the folder `out`.

        run = fit("train.de", "train.en", valid=("val.de", "val.en"), time_limit=1800, out="runs/de-en")

    source, target: two aligned files, or lists; or one file of pairs (.tsv, .jsonl, .po) or list of pairs as source.
    valid: the same, two in a tuple; without it some of the pairs are held out. choices are the fields of `Config`. With
    `resume`, a fit that was stopped in `out` goes on.
    """
    config = options.make(Config, choices, config)
    job = runs.start(TASK, out, resume, progress)
    pairs = read.pairs(source, target, columns=_columns(config, source, target))
    two = valid if isinstance(valid, tuple) and len(valid) == 2 else (valid, None)
    held = None if valid is None else read.pairs(*two, columns=_columns(config, *two))
    notes = [*pairs.notes, *(held.notes if held is not None else [])]
    learnt, metrics, history = learn.learn(pairs, held, config, job)
    kept = np.sort(np.random.default_rng(config.seed).permutation(len(pairs))[:KEPT])
    memory = [pairs.source[n] for n in kept], [(pairs.target or [])[n] for n in kept]
    return job.finish(Run(config, learnt, memory, metrics, history, tuple(notes)))


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        source, target = (tokens.restore(stored.extras[side]) for side in ("source", "target"))
        network = model.restore(stored.extras["shape"], source, target, stored.state)
        left, right = (_lines(stored.arrays[f"memory.{side}"]) for side in ("source", "target"))
        want(
            len(left) == len(right), f"run folder {folder}", "a memory of pairs", f"{len(left)} and {len(right)} sides"
        )
        return Run(config, Learnt(source, target, network, config.longest), (left, right), **common)

    return runs.load(TASK, folder, restore)


def catalogue(source: Any) -> bool:
    """Whether a path names a gettext catalogue, or a template of one."""
    return str(source).lower().endswith((".po", ".pot"))


def _columns(config: Config, source: Any, target: Any) -> tuple[str, str] | None:
    """The names that say where in a file of pairs the two sides are."""
    named = bool(config.columns) and target is None and not catalogue(source)
    return (config.columns[0], config.columns[1]) if named else None


def _lines(text: np.ndarray) -> list[str]:
    return text.tobytes().decode().split("\n") if len(text) else []
