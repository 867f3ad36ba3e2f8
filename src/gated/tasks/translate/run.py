"""A fitted translator: what it says, how good that is, and where it looked."""

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
from gated._check import InputError, refuse, want
from gated.tasks.translate import learn, model, po, read, score, tokens
from gated.tasks.translate.config import Config
from gated.tasks.translate.model import Learnt
from gated.tasks.translate.search import Search, Translation, translate

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
        how, texts = _made(Search, "translate", search), read.sentences(list(lines)).source
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
        how = _made(Search, "fill", search)
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
        learnt = {
            "source": self.learnt.source.save(),
            "target": self.learnt.target.save(),
            "shape": self.learnt.network.shape._asdict(),
            "notes": list(self.notes),
            "history": train.thinned(self.history),
        }
        config = asdict(self.config)
        network = self.learnt.network
        checkpoint.save(folder, config, network, task="translate", metrics=self.metrics, learnt=learnt, arrays=arrays)
        checkpoint.write(Path(folder) / checkpoint.HISTORY, train.csv_of(self.history))

    def summary(self) -> str:
        """What was learnt, in a few lines for people."""
        return "\n".join([*self.notes, *learn.describe(self.learnt, self.metrics), *train.observed(self.history)])


def fit(
    source: Any, target: Any = None, config: Config | None = None, *, valid: Any = None, out: Any = None,
    resume: bool = False, progress: bool = True, **options: Any,
) -> Run:  # fmt: skip
    """Learn to translate from pairs, and write the run to the folder `out`.

        run = fit("train.de", "train.en", valid=("val.de", "val.en"), time_limit=1800, out="runs/de-en")

    source, target: two aligned files, or lists; or one file of pairs (.tsv, .jsonl, .po) or list of pairs as source.
    valid: the same, two in a tuple; without it some of the pairs are held out. options are the fields of `Config`. With
    `resume`, a fit that was stopped in `out` goes on.
    """
    start = time.perf_counter()
    want(out is not None or not resume, "fit", "the folder out of the fit to resume", "none")
    if out is not None and os.path.exists(out):  # before the work
        checkpoint.claim(out)
    made: Config = _made(Config, "fit", options) if config is None else replace(config, **options)
    pairs = read.pairs(source, target, columns=_columns(made, source, target))
    two = valid if isinstance(valid, tuple) and len(valid) == 2 else (valid, None)
    held = None if valid is None else read.pairs(*two, columns=_columns(made, *two))
    notes = [*pairs.notes, *(held.notes if held is not None else [])]
    learnt, metrics, history = learn.learn(pairs, held, made, out=out, resume=resume, progress=progress)
    metrics["fit_seconds"] = time.perf_counter() - start
    kept = np.sort(np.random.default_rng(made.seed).permutation(len(pairs))[:KEPT])
    memory = [pairs.source[n] for n in kept], [(pairs.target or [])[n] for n in kept]
    run = Run(made, learnt, memory, metrics, history, tuple(notes))
    if out is not None:
        run.save(out)
    return run


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""
    found = checkpoint.load(folder, task="translate")
    where = f"run folder {Path(folder)}"
    try:
        words: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.config.items()}
        config = Config(**words)
        source, target = (tokens.restore(found.learnt[side]) for side in ("source", "target"))
        learnt = Learnt(
            source, target, model.restore(found.learnt["shape"], source, target, found.state), config.longest
        )
        memory = [_lines(found.arrays[f"memory.{side}"]) for side in ("source", "target")]
        notes, history = tuple(map(str, found.learnt["notes"])), list(found.learnt["history"])
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:  # a stranger's file
        refuse(where, "a translation run as this version writes it", f"{type(error).__name__}: {error}")
    want(len(memory[0]) == len(memory[1]), where, "a memory of pairs", f"{len(memory[0])} and {len(memory[1])} sides")
    return Run(config, learnt, (memory[0], memory[1]), found.metrics, history, notes)


def catalogue(source: Any) -> bool:
    """Whether a path names a gettext catalogue, or a template of one."""
    return str(source).lower().endswith((".po", ".pot"))


def _columns(config: Config, source: Any, target: Any) -> tuple[str, str] | None:
    """The names that say where in a file of pairs the two sides are."""
    named = bool(config.columns) and target is None and not catalogue(source)
    return (config.columns[0], config.columns[1]) if named else None


def _lines(text: np.ndarray) -> list[str]:
    return text.tobytes().decode().split("\n") if len(text) else []


def _made(kind: type, where: str, options: dict[str, Any]) -> Any:
    """A Config or Search of these options; a wrong name is answered with the nearest right one."""
    names = [f.name for f in fields(kind)]
    strange = sorted(set(options) - set(names))
    near = [n for name in strange for n in difflib.get_close_matches(name, names, 1)]
    todo = f"Did you mean {', '.join(near)}?" if near else ""
    want(not strange, where, f"options of {kind.__name__}: {', '.join(names)}", ", ".join(strange), todo)
    return kind(**options)
