"""A fitted translator: predict, translate, score, fill catalogues, save."""

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
from gated.tasks.translate import documents, model, po, scoring, training
from gated.tasks.translate.data import read_pairs, read_sentences
from gated.tasks.translate.messages import Outcome
from gated.tasks.translate.model import Translator
from gated.tasks.translate.search import Search, Translation, translate
from gated.tasks.translate.task import TASK, Config
from gated.tasks.translate.unknown import find_unknown, note_unknown

CANDIDATES = 5  # translations of a catalogue's text, at most; the first with all its placeholders is taken
MAX_PAIRS = 100_000  # training pairs in a run, for the translation memory
UPDATE_EPOCHS, MIN_UPDATES = 5, 100  # of an update


@dataclass(frozen=True)
class Run:
    """A translator, and training pairs for the translation memory that scores compare with."""

    config: Config
    model: Translator
    memory: tuple[list[str], list[str]]  # sources and targets of training pairs
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)  # of the training, a row every few steps
    notes: tuple[str, ...] = ()  # on the data

    def predict(self, source: Any, **search: Any) -> Any:
        """The best translation: of a string a string; of a list, or a `Path` to a file, a list with one for each line.

        Of a `Path` to a file with a structure, such as .po or .srt, it is an `Outcome`, see `fill`. search: as for
        `translate`.
        """
        document = documents.load(source, self.config.columns or ("source",)) if isinstance(source, Path) else None
        if document is not None:
            return self.fill(document, **search)
        lines = [source] if isinstance(source, str) else self.read_lines(source)
        texts = [best[0].text for best in self.translate(lines, **search)]
        return texts[0] if isinstance(source, str) else texts

    def translate(
        self, lines: Sequence[str], *, beside: Sequence[Run] = (), prefixes: Sequence[str] | None = None,
        first: int = 0, **search: Any,
    ) -> list[list[Translation]]:  # fmt: skip
        """The n_best translations of every sentence, best first, with scores, tokens and attention.

        beside: other runs with the same tokens, which form an ensemble with this one. prefixes: the beginning of each
        translation, or an empty string. first: the number of the first sentence, of which samples are a function.
        search: fields of `Search`.
        """
        todo = "Give a list of sentences."
        want(not isinstance(lines, str), "translate", "sentences", "one string", todo)
        want(not isinstance(prefixes, str), "prefixes", "a list, one for each sentence", "one string")
        starts = None if prefixes is None else read_sentences(list(prefixes)).source
        how, texts = options.make(Search, search, where="translate"), read_sentences(list(lines)).source
        return translate([self.model, *(run.model for run in beside)], texts, how, prefixes=starts, first=first)

    def read_lines(self, source: Any) -> list[str]:
        """The sentences of a file or list; of a table those of the config's source column, where it has that."""
        return read_sentences(source, known=self.config.columns).source

    def fill(
        self, file: po.Catalogue | documents.Document, *, fuzzy: bool = False, lossy: bool = False, **search: Any
    ) -> Outcome:
        """Translate the texts of a file; of a catalogue its gaps, and with `fuzzy` also what is marked so.

        Of several translations of a text the best that has all placeholders is taken. Where there is none the text is
        left as it was, unless `lossy` takes the best translation nevertheless.
        """
        how = options.make(Search, search, where="fill")
        how = how if how.sample else replace(how, n_best=max(how.n_best, min(CANDIDATES, how.width)))

        notes: list[str] = []

        def decode(lines: list[str]) -> list[list[str]]:
            notes.extend(note_unknown(dict(enumerate(find_unknown(self.model.source, lines))), "text"))
            return [[one.text for one in best] for best in translate([self.model], lines, how, masked=True)]

        if isinstance(file, po.Catalogue):
            outcome = po.translate(file, decode, fuzzy, lossy)
        else:
            outcome = documents.translate(file, decode, lossy)
        return replace(outcome, notes=(*outcome.notes, *notes))

    def score(
        self, source: Any, target: Any = None, *, columns: Sequence[str] = (), beside: Sequence[Run] = (), **search: Any
    ) -> dict[str, Any]:
        """Measure on pairs, beside copying the source and a translation memory: see `scoring.score`.

        source, target: as for `fit`. columns: names of the two in a file of pairs, by default those of the fit, where
        the file has them. beside, search: as for `translate`. `seconds` is the time of translation.
        """
        pairs = read_pairs(source, target, columns=columns, known=self.config.columns)
        start = time.perf_counter()
        texts = [best[0].text for best in self.translate(pairs.source, beside=beside, **search)]
        seconds = time.perf_counter() - start
        memory = scoring.build_memory(*self.memory) if self.memory[0] else None
        result = scoring.score(texts, pairs.sides()[1], source=pairs.source, memory=memory, seconds=seconds)
        unknown = note_unknown(dict(zip(pairs.lines, find_unknown(self.model.source, pairs.source), strict=True)))
        notes = [*pairs.notes, *unknown, *result["notes"]]
        return result | {"sentences_per_second": len(texts) / seconds, "notes": notes}

    def update(
        self, source: Any, target: Any = None, *, valid: Any = None, columns: Sequence[str] = (),
        steps: int | None = None, lr: float | None = None, out: Any = None, overwrite: bool = False,
        progress: bool = True,
    ) -> Run:  # fmt: skip
        """A new run: these weights trained further on new pairs, and on these alone.

        Its vocabulary stays: new words are spelt by the tokens that the run has, and characters that it does not have
        are noted. source, target, valid: as for `fit`; of fewer than 20 pairs none is held out, and the figures are of
        the pairs themselves. columns: as for `score`. steps: updates of the weights, by default 5 epochs, at least 100.
        lr: the learning rate, by default a quarter of the fit's.
        """
        with runs.start(TASK, out, overwrite=overwrite, progress=progress) as job:
            two = valid if isinstance(valid, tuple) and len(valid) == 2 else (valid, None)
            pairs = read_pairs(source, target, columns=columns, known=self.config.columns)
            held = None if valid is None else read_pairs(*two, columns=columns, known=self.config.columns)
            kinds = (self.model.source, self.model.target)
            unknown = [find_unknown(kind, side) for kind, side in zip(kinds, pairs.sides(), strict=True)]
            notes = [note for side in unknown for note in note_unknown(dict(zip(pairs.lines, side, strict=True)))]
            words = sum(map(len, kinds[1].encode(pairs.sides()[1]))) + len(pairs)
            steps = steps or max(MIN_UPDATES, int(UPDATE_EPOCHS * words / self.config.batch))
            config = replace(self.config, steps=steps, lr=lr or self.config.lr / 4, time_limit=None)
            translator, metrics, history = training.fit(pairs, held, config, job, self.model)
            left, right = ([*new, *old][:MAX_PAIRS] for new, old in zip(pairs.sides(), self.memory, strict=True))
            metrics, notes = {"updated": True, **metrics}, (*pairs.notes, *notes)
            return job.finish(Run(self.config, translator, (left, right), metrics, history, notes))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        text = dict(zip(("memory.source", "memory.target"), self.memory, strict=True))
        arrays = {name: np.frombuffer(bytearray("\n".join(side), "utf-8"), np.uint8) for name, side in text.items()}
        sides = {"source": self.model.source.save(), "target": self.model.target.save()}
        extras = {**sides, "shape": self.model.network.shape._asdict()}
        runs.save(TASK, folder, self, self.model.network, extras, arrays)

    def summary(self) -> str:
        """The run in a few lines for people."""
        return runs.summary(self, training.describe(self.model, self.metrics))


def fit(
    source: Any, target: Any = None, config: Config | None = None, *, valid: Any = None, out: Any = None,
    resume: bool = False, overwrite: bool = False, progress: bool = True, **choices: Any,
) -> Run:  # fmt: skip
    """Train a translator on pairs, and write the run to the folder `out`.

        run = fit("train.de", "train.en", valid=("val.de", "val.en"), time_limit=1800, out="runs/de-en")

    source, target: two aligned files, or lists; or a list or one file of pairs as source, see `data.read_pairs`.
    valid: the same, two in a tuple; without it some of the pairs are held out. choices are the fields of `Config`. With
    `resume`, a fit that was stopped in `out` continues; a run in it is replaced only with `overwrite`.
    """
    config = options.make(Config, choices, config)
    with runs.start(TASK, out, resume, overwrite, progress) as job:
        pairs = read_pairs(source, target, columns=config.columns if target is None else ())
        two = valid if isinstance(valid, tuple) and len(valid) == 2 else (valid, None)
        held = None if valid is None else read_pairs(*two, columns=config.columns if two[1] is None else ())
        notes = (*pairs.notes, *(held.notes if held is not None else ()))
        translator, metrics, history = training.fit(pairs, held, config, job)
        chosen = np.sort(np.random.default_rng(config.seed).permutation(len(pairs))[:MAX_PAIRS])
        return job.finish(Run(config, translator, pairs.take(chosen.tolist()).sides(), metrics, history, notes))


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        source, target = (tokens.restore(stored.extras[side]) for side in ("source", "target"))
        network = model.restore(stored.extras["shape"], source, target, stored.state).to(runs.device(config))
        left, right = (_lines(stored.arrays[f"memory.{side}"]) for side in ("source", "target"))
        got = f"{len(left)} and {len(right)} sides"
        want(len(left) == len(right), f"run folder {folder}", "a memory of pairs", got)
        return Run(config, Translator(source, target, network, config.longest), (left, right), **common)

    return runs.load(TASK, folder, restore)


def _lines(text: np.ndarray) -> list[str]:
    return text.tobytes().decode().split("\n") if len(text) else []
