"""A fitted language model: predict, score, surprise, update, save."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer

from gated import options, runs, trees
from gated._check import want
from gated.decode import scorer
from gated.decode.ngram import NGram
from gated.tasks.language import data, generate, mixture, model, scoring, training, vocabulary
from gated.tasks.language.data import Tokens
from gated.tasks.language.generate import Sample, Sampling, Stepper
from gated.tasks.language.mixture import Mixing
from gated.tasks.language.model import Network
from gated.tasks.language.task import TASK, Config
from gated.tasks.language.vocabulary import Vocabulary

MAX_TEXT = 1 << 24  # tokens of training text in a run, the last ones: for n-grams, and to find what is copied
SIZES = ((1 << 21, 4000), (1 << 24, 8000))  # bytes of text, and the byte pairs for it
MAX_VOCABULARY = 32_000
UPDATE_PASSES, MIN_UPDATES = 5, 50


@dataclass(frozen=True)
class Run:
    """A language model, and training text for the n-grams beside its scores."""

    config: Config
    vocabulary: Vocabulary
    network: Network
    text: Integer[np.ndarray, " N"]  # tokens of the training text, without what was held out
    held: list[np.ndarray]  # the held-out parts, or the text to validate on
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)  # of the training, a row every few steps
    notes: tuple[str, ...] = ()  # on the data

    @functools.cached_property
    def ngram(self) -> NGram:
        """The Kneser-Ney n-gram of the training text."""
        return scoring.fit_ngram(self.text, self.vocabulary, self.metrics["order"])

    # ---- writing

    def predict(self, prompt: str = "", **how: Any) -> str | list[str]:
        """The prompt's continuation; with n above 1 a list of them. how: fields of `Sampling`."""
        samples: list[Sample] = []
        chosen = options.make(Sampling, how, where="predict")
        for _ in self.write(prompt, chosen, samples):
            pass
        texts = [sample.text for sample in samples]
        return texts[0] if chosen.n == 1 else texts

    def write(
        self, prompt: str, how: Sampling, samples: list[Sample], *, beside: Sequence[Run] = (), **mixing: Any
    ) -> Iterator[tuple[int, bytes]]:
        """Continue a prompt; gives (k, bytes) of sample k as they are made, and fills `samples`.

        beside: other runs of the same vocabulary, with which this one averages probabilities. mixing: fields of
        `Mixing`.
        """
        self.check_beside(beside)
        runs, what = [self, *beside], options.make(Mixing, mixing, where="predict")
        chosen, ids = mixture.choose(runs, what), self.vocabulary.encode(prompt)
        networks = [run.network for run in runs]
        if what.dynamic:
            networks = [
                mixture.adapt(run.network, [ids], mixture.root_mean_square(run), chosen.rate)[1] for run in runs
            ]
        steppers = [Stepper(network, how.n) for network in networks]
        adjust = mixture.join(self, steppers[0], what, chosen) if what.ngram or what.cache else None
        return generate.write(steppers, self.vocabulary, ids.tolist(), how, samples, adjust)

    def check_beside(self, beside: Sequence[Run]) -> None:
        """Refuse runs of another vocabulary."""
        for run in beside:
            fits = run.vocabulary == self.vocabulary
            want(fits, "runs together", "one vocabulary", "several", "Fit all of them on the same text.")

    # ---- reading

    def surprise(self, text: str | Sequence[str], *, batch: int = 16, window: int = 512) -> Any:
        """−log p of each token of a text, (N,), in nats; of a list of texts a list, each begun without a state."""
        texts = [text] if isinstance(text, str) else list(text)
        rows = [self.vocabulary.encode(one) for one in texts]
        nats = scoring.surprise(self.network, rows, batch=batch, window=window) if any(map(len, rows)) else [
            np.zeros(0) for _ in rows]  # fmt: skip
        return nats[0] if isinstance(text, str) else nats

    def measure(
        self, tokens: Tokens, *, beside: Sequence[Run] = (), **mixing: Any
    ) -> tuple[Float[np.ndarray, " N"], dict[str, Any]]:
        """−log p of each token of one text, by this run or by it and others, and what was chosen for that.

        mixing: fields of `Mixing`.
        """
        self.check_beside(beside)
        how = options.make(Mixing, mixing, where="score")
        chosen = mixture.choose([self, *beside], how)
        nats = mixture.measure([self, *beside], np.asarray(tokens.ids), how, chosen)
        return nats, chosen.facts(how)

    def score(self, source: Any, *, beside: Sequence[Run] = (), **mixing: Any) -> dict[str, Any]:
        """Measure on a text, beside unigrams, Kneser-Ney and xz: see `scoring.score`. source: as for `fit`.

        beside, mixing: as for `measure`.
        """
        with data.read(source, self.config.key) as corpus:
            tokens = data.encode(corpus, self.vocabulary)
            nats, chosen = self.measure(tokens, beside=beside, **mixing)
            result = scoring.score(nats, tokens, corpus, self.text, self.ngram, self.vocabulary)
            notes = [*corpus.notes, *data.note_unknown(tokens, self.vocabulary)]
            return result | {"chosen": chosen, "notes": notes}

    # ---- in the searches of other tasks

    def scorer(self, symbols: Sequence[str]) -> scorer.Neural:
        """This run as a scorer of texts of these symbols, of which symbols[0] is the blank: see `decode.scorer`.

        A line end is a text's beginning and end. A symbol that the vocabulary lacks is `<unk>`.
        """
        words = self.vocabulary
        plain = words.level == "char" or (words.level == "word" and words.spaced)
        todo = "Fit one with --level char, or on words with spaces between them."
        want(plain, "language model", "one of characters or words", f"one of level {words.level}", todo)
        table = {piece: id for id, piece in enumerate(words.pieces)}
        ids = [table.get(symbol, 0) for symbol in ("\n", *symbols[1:])]
        todo = "Are both in the same case, and both of characters, or of words?"
        known = 2 * sum(map(bool, ids[1:])) >= len(ids) - 1
        want(known, "language model", "one that knows the symbols", "one that knows few of them", todo)
        network = self.network.eval()

        @torch.no_grad()
        def read(states: Sequence[Any], tokens: list[int]) -> tuple[list[Any], np.ndarray]:
            x = torch.tensor(tokens, device=network.bias.device)[None]
            if states[0] is None:  # nothing was read: token 0 stands before a text
                joined = network(torch.zeros_like(x))[1]
            else:
                columns = zip(*map(trees.leaves, states), strict=True)
                joint = iter([torch.stack(column, 1) for column in columns])
                joined = trees.map(lambda _: next(joint), states[0])
            h, after, _ = network(x, joined)
            rows = torch.log_softmax(network.logits(h[0]).float(), -1).double().cpu().numpy()
            return [trees.map(lambda part, k=k: part[:, k], after) for k in range(len(tokens))], rows

        return scorer.Neural(read, ids)

    # ---- the run

    def update(
        self, source: Any, *, valid: Any = None, steps: int | None = None, lr: float | None = None, out: Any = None,
        overwrite: bool = False, progress: bool = True,
    ) -> Run:  # fmt: skip
        """A new run: these weights trained further on new text, and on it alone, in the run's vocabulary.

        steps: updates of the weights, by default 5 epochs, at least 50. lr: the learning rate, by default a quarter of
        the fit's.
        """
        with runs.start(TASK, out, overwrite=overwrite, progress=progress) as job:
            config = replace(self.config, lr=lr or self.metrics["lr"] / 4, time_limit=None)
            return _fit(source, valid, config, job, self, steps)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the run folder: `gated.checkpoint` says what is in it."""
        extras: dict[str, Any] = {"vocabulary": self.vocabulary.save(), "shape": self.network.shape._asdict()}
        arrays = {"text": np.asarray(self.text)}
        extras["parts"] = [len(part) for part in self.held]
        if self.held:
            arrays["held"] = np.concatenate(self.held)
        runs.save(TASK, folder, self, self.network, extras, arrays)

    def summary(self) -> str:
        """The run in a few lines for people."""
        size, m = sum(p.numel() for p in self.network.parameters()), self.metrics
        kinds = {"char": "characters", "byte": "bytes", "word": "words", "bpe": "byte pairs"}
        kind = kinds[self.vocabulary.level]
        text = [f"A network of {size:,} weights over {len(self.vocabulary) - 1:,} {kind}."]
        text += [f"Trained on {m['tokens']:,} of them for {m['passes']:.1f} epochs."]
        if m.get("held_out"):
            counted = f" (a Kneser-Ney {m['order']}-gram: {m['ngram_loss']:.3f})" if "ngram_loss" in m else ""
            text += [f"Held out: {m['held_out']:,} {kind}, {m['loss']:.3f} nats each{counted}."]
        return runs.summary(self, text)


def fit(
    source: Any, config: Config | None = None, *, valid: Any = None, out: Any = None, resume: bool = False,
    overwrite: bool = False, progress: bool = True, **choices: Any,
) -> Run:  # fmt: skip
    """Train a language model on text, and write the run to the folder `out`.

        run = fit("book.txt", time_limit=1200, out="runs/book")

    source: a file or several, folders, or "-": see `data.read`. valid: the same, to validate on; without it some parts
    of the text are held out. choices are the fields of `Config`. With `resume`, a fit that was stopped in `out`
    continues; a run in it is replaced only with `overwrite`.
    """
    config = options.make(Config, choices, config)
    with runs.start(TASK, out, resume, overwrite, progress) as job:
        return _fit(source, valid, config, job)


def _fit(
    source: Any, valid: Any, config: Config, job: runs.Job, start: Run | None = None, steps: int | None = None
) -> Run:
    with data.read(source, config.key) as corpus:
        notes = list(corpus.notes)
        words = start.vocabulary if start is not None else choose_vocabulary(corpus, config, notes)
        tokens = data.encode(corpus, words)
    if words.level != "word" or start is not None:  # of a fit's words those met once are unknown by design
        notes += data.note_unknown(tokens, words)
    ids = np.asarray(tokens.ids)
    parts = training.hold_out(len(ids), config.hold if valid is None else 0.0)
    rest, held = training.split(ids, parts)
    if valid is not None:
        with data.read(valid, config.key) as other:
            others = data.encode(other, words)
        notes += [*other.notes, *data.note_unknown(others, words)]
        held = [np.asarray(others.ids[: training.MAX_HELD])]
    if start is not None:
        per = (config.batch or training.BATCH) * config.window
        config = replace(config, steps=steps or max(MIN_UPDATES, UPDATE_PASSES * len(ids) // per))
    more = _count(rest, held, words)
    first = None if start is None else start.network
    network, metrics, history = training.fit(rest, held, words, config, job, first)
    own = config if start is None else start.config
    metrics |= more | {"updated": True} if start is not None else more
    return job.finish(Run(own, words, network, rest[-MAX_TEXT:].copy(), held, metrics, history, tuple(notes)))


def _count(rest: np.ndarray, held: list[np.ndarray], words: Vocabulary) -> dict[str, Any]:
    """The order of n-grams that is best on the held-out parts, and what the n-gram scores there."""
    if not held:
        return {"order": min(6, scoring.ORDERS[words.level])}
    joint = np.concatenate(held).astype(np.int64)
    counted = scoring.fit_ngram(rest, words, None, joint)
    return {"order": counted.order, "ngram_loss": float(-counted.log_probs(joint).mean())}


def choose_vocabulary(corpus: data.Corpus, config: Config, notes: list[str]) -> Vocabulary:
    """The vocabulary of a text at the level of the config, or of the text's own; notes say which it is."""
    level, sample = config.level, corpus.sample()
    spaced = vocabulary.is_spaced(sample)
    if level == "auto":
        level, spaced = ("byte", False) if corpus.fault else vocabulary.choose_level(sample)
        why = f": {corpus.fault}" if corpus.fault else ""
        names = {"char": "characters", "byte": f"bytes{why}", "word": "words, which stand between spaces"}
        notes.append(f"The text is read as {names[level]} (--level).")
    size = config.vocabulary or (
        next((size for limit, size in SIZES if corpus.size <= limit), 16_000) if level == "bpe" else MAX_VOCABULARY
    )
    chunks = vocabulary.split_chunks(corpus.chunks(level), level)
    return vocabulary.fit(chunks, level, size, spaced and level == "word")


def load(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; nothing in it is executed, and a damaged or hostile one is one clear error."""

    def restore(stored: Any, config: Config, **common: Any) -> Run:
        words = vocabulary.restore(stored.extras["vocabulary"])
        network = model.restore(stored.extras["shape"], len(words), stored.state).to(runs.device(config))
        text, order = stored.arrays["text"], common["metrics"]["order"]
        joint, parts = stored.arrays.get("held", text[:0]), stored.extras["parts"]
        for array in (text, joint):
            fits = array.ndim == 1 and array.dtype.kind in "u" and not (array >= len(words)).any()
            want(fits, f"run folder {Path(folder)} text", "tokens of its vocabulary", "something else")
        fits = all(type(part) is int and part > 0 for part in parts) and sum(parts) == len(joint) and len(text) > 0
        want(fits, f"run folder {Path(folder)} parts", "the sizes of its held-out parts", "something else")
        held = np.split(joint, np.cumsum(parts)[:-1]) if parts else []
        fits = type(order) is int and 1 <= order <= 10
        want(fits, f"run folder {Path(folder)} order", "an order of 1 to 10", order)
        return Run(config, words, network, text, held, **common)

    return runs.load(TASK, folder, restore)
