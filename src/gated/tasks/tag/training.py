"""Training: words to numbers, network size from data size, fit, scores on held-out sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gated import data, runs, train
from gated._check import want
from gated.io.text import plural
from gated.runs import Job
from gated.tasks.tag import lexicon as words_of
from gated.tasks.tag import model, scoring, search, series, spans
from gated.tasks.tag.data import Sentences, check_tags
from gated.tasks.tag.model import Batch, Network, Noise, Shape, Tagger
from gated.tasks.tag.task import Config
from gated.tasks.tag.tokens import pieces

MAX_HELD, SHARE = 1000, 10  # held-out sentences where no validation data are given: at most, and one in 10 or 20
MIN_SENTENCES = 10
UNITS = ((2_000, 64), (100_000, 128), (400_000, 200), (float("inf"), 256))  # up to so many words
SECONDS = {64: 25e-6, 128: 55e-6, 200: 100e-6, 256: 150e-6}  # to train on a word once, on one core
ENOUGH = 15  # epochs that a network should see within the time limit; else it is smaller
MAX_TAGS = 100  # in bioes; the cost of the conditional random field grows with their square
EPOCHS, MIN_EPOCHS, MIN_STEPS, MAX_STEPS = 40, 10, 300, 5000  # the larger the data, the fewer epochs, 10 at least
EVALUATIONS = 30
WINDOW = 256  # steps of a series that are trained on at once
JITTER = 2.0  # words by which an epoch may misjudge a length, so that batches mix


def fit(
    sentences: Sentences, held: Sentences | None, config: Config, job: Job, vectors: Any = None
) -> tuple[Tagger, dict[str, Any], list[dict[str, int | float]], list[str]]:
    """Train on sentences, choose by the held-out ones: the tagger, its metrics, the history, and notes."""
    want(sentences.tags is not None, sentences.where, "words with their tags", "words alone")
    sentences = drop_empty(sentences)
    for seconds in sentences.seconds:
        series.count_steps(config.hold, seconds)  # an error, if there is one, before the work
    scheme = choose_scheme(sentences)
    notes = check_tags(sentences, scheme)
    if held is None:
        held, sentences = hold_out(sentences)
    else:
        held = drop_empty(held)
        want(held.tags is not None, held.where, "words with their tags", "words alone")
        notes += check_tags(held, scheme)
    rows = cut(sentences)
    tagger = build(rows, scheme, config, vectors)
    network = tagger.network
    tags, labels = ({name: k for k, name in enumerate(names)} for names in (tagger.tags, tagger.labels))
    encoded = [[tags[name] for name in inside(row, tagger.inner)] for row in rows.tags or []]
    lengths = [len(row) for row in rows.words]
    budget = config.batch or choose_batch(sum(lengths), len(rows))
    indices, epoch = data.bucketed(lengths, budget, config.seed, JITTER)

    def batch(n: int) -> Batch:
        some = indices(n)
        y = [encoded[i] for i in some]
        if rows.values:
            return tagger.collate_values([rows.values[i] for i in some], y)
        features = [rows.features[i] for i in some] if rows.features else ()
        whole = [labels[rows.labels[i]] for i in some] if rows.labels else ()
        return tagger.collate([rows.words[i] for i in some], features, y, whole)

    def validate(network: Any) -> dict[str, float]:
        result = scoring.compare(held, search.tag([tagger], held, shortest=config.hold), scheme)
        return {"errors": 100 * (1 - result["f1"]) + 100 * (1 - result.get("label_accuracy", 1.0))}

    steps = config.steps or max(MIN_STEPS, min(EPOCHS * epoch, max(MAX_STEPS, MIN_EPOCHS * epoch)))
    read = [[side.words, side.tags, side.labels, side.features, side.values] for side in (held, rows)]
    history = runs.fit(
        network, model.loss, batch, config, job, data=read, validate=validate, steps=steps, warmup=0.05,
        betas=(0.9, 0.98), eval_every=max(1, min(steps, max(epoch, steps // EVALUATIONS))),
    )  # fmt: skip
    network.eval()
    result = scoring.compare(held, search.tag([tagger], held, shortest=config.hold), scheme)
    metrics = {
        "sentences": len(sentences), "words": sum(lengths), "scheme": scheme, "steps": history.steps,
        "passes": history.steps / epoch, "best_step": history.best_step, "stopped": history.stopped,
        "held_out": {name: result[name] for name in ("f1", "accuracy", "label_accuracy") if name in result}
        | {"sentences": len(held)},
    }  # fmt: skip
    return tagger, metrics, history.rows, notes


def drop_empty(sentences: Sentences) -> Sentences:
    """The sentences that have a word."""
    full = [k for k, row in enumerate(sentences.words) if row]
    want(bool(full), sentences.where, "a sentence with a word", f"{plural(len(sentences), 'empty sentence')}")
    return sentences if len(full) == len(sentences) else sentences.take(full)


def choose_scheme(sentences: Sentences) -> str:
    """The scheme of the tags; spans by characters have none, and are written as iob2."""
    if sentences.values:
        return "plain"
    return "iob2" if sentences.kind == "json" and sentences.offsets else spans.detect(sentences.tags or [])


def hold_out(sentences: Sentences) -> tuple[Sentences, Sentences]:
    """Some of the sentences, and the others; of few series the last part of each."""
    count = len(sentences)
    if sentences.values and count < MIN_SENTENCES:
        cuts = [len(row) - len(row) // SHARE for row in sentences.words]
        want(max(map(len, sentences.words)) >= MIN_SENTENCES, sentences.where, f"{MIN_SENTENCES} rows or more", "fewer")
        ends = [(k, low, high) for k, low in enumerate(cuts) for high in [len(sentences.words[k])] if low < high]
        return part(sentences, ends), part(sentences, [(k, 0, low) for k, low in enumerate(cuts)])
    todo = f"With fewer than {MIN_SENTENCES} give validation data."
    want(count >= MIN_SENTENCES, sentences.where, f"at least {MIN_SENTENCES} sentences", count, todo)
    rest, held = data.hold_out(count, min(MAX_HELD, max(1, min(50, count // SHARE), count // (2 * SHARE))))
    return sentences.take(held), sentences.take(rest)


def cut(sentences: Sentences) -> Sentences:
    """The sentences, long ones in pieces; series in windows that overlap by half."""
    if sentences.values:
        starts = [(k, range(0, max(1, len(row) - WINDOW // 2), WINDOW // 2)) for k, row in enumerate(sentences.words)]
        return part(sentences, [(k, low, low + WINDOW) for k, lows in starts for low in lows])
    if max(map(len, sentences.words)) <= search.LONGEST:
        return sentences
    return part(
        sentences, [(k, *ends) for k, row in enumerate(sentences.words) for ends in pieces(row, search.LONGEST)]
    )


def part(sentences: Sentences, ends: Sequence[tuple[int, int, int]]) -> Sentences:
    """Sections of sequences: of each the sequence, its first step and its last + 1."""
    few = sentences.take([k for k, _, _ in ends])
    cuts = {name: [row[low:high] for row, (_, low, high) in zip(getattr(few, name) or [], ends, strict=False)]
            for name in ("words", "tags", "features", "values")}  # fmt: skip
    return replace(few, **cuts, lines=[], offsets=[], order=[])


def inside(tags: Sequence[str], inner: str) -> list[str]:
    """Tags as the network has them."""
    return spans.convert(tags, inner)


def choose_inner(tags: Sequence[Sequence[str]], scheme: str) -> str:
    """The scheme inside the network: bioes, in which spans are found best, where it has at most `MAX_TAGS` tags."""
    if scheme == "plain":
        return "plain"
    return "bioes" if len({name for row in tags for name in spans.convert(row, "bioes")}) <= MAX_TAGS else "iob2"


def build(rows: Sentences, scheme: str, config: Config, vectors: Any = None) -> Tagger:
    """A tagger with the words and tags of these sentences, and its first weights."""
    if rows.values:
        return build_series(rows, config)
    lexicon = words_of.fit(rows, config.affixes, () if vectors is None else vectors.words)
    inner = choose_inner(rows.tags or [], scheme)
    tags = sorted({name for row in rows.tags or [] for name in inside(row, inner)})
    labels = sorted(set(rows.labels or []))
    total = sum(map(len, rows.words))
    units = config.units or choose_units(total, config.time_limit)
    spelling = min(64, max(16, units // 4)) if config.characters is None else config.characters
    shape = Shape(
        words=len(lexicon.counts),
        embedding=vectors.values.shape[1] if vectors else config.embedding or min(100, units),
        characters=len(lexicon.characters) + 2 if spelling else 0, spelling=spelling, entries=lexicon.entries,
        tables=len(lexicon.tables), channels=0, units=units, layers=config.layers or 1, tags=len(tags),
        labels=len(labels), crf=config.crf,
    )  # fmt: skip
    noise = Noise(0.5 if config.dropout is None else config.dropout, config.recurrent_dropout, config.word_dropout)
    with train.seeded(config.seed):
        network = Network(shape, noise).prepare(inner, tags, lexicon)
    if vectors:
        network.set_vectors([lexicon.find(word) for word in vectors.words], torch.from_numpy(vectors.values))
    return Tagger(network, lexicon, None, tuple(tags), tuple(labels), scheme, inner)


def build_series(rows: Sentences, config: Config) -> Tagger:
    """A tagger with the columns and labels of these series, and its first weights."""
    channels = series.fit(rows.values, rows.columns)
    tags = sorted({name for row in rows.tags or [] for name in row})
    shape = Shape(
        words=0, embedding=0, characters=0, spelling=0, entries=0, tables=0, channels=channels.size,
        units=config.units or choose_units(sum(map(len, rows.words)), config.time_limit), layers=config.layers or 1,
        tags=len(tags), labels=0, crf=config.crf,
    )  # fmt: skip
    with train.seeded(config.seed):
        noise = Noise(0.3 if config.dropout is None else config.dropout, config.recurrent_dropout)
        network = Network(shape, noise).prepare("plain", tags, None)
    return Tagger(network, None, channels, tuple(tags), (), "plain", "plain")


def choose_units(words: int, time_limit: float | None) -> int:
    """The size for so many training words, or one that is trained on them often enough within the time."""
    units = next(units for most, units in UNITS if words <= most)
    fits = [size for size, seconds in SECONDS.items() if ENOUGH * words * seconds <= (time_limit or float("inf"))]
    return min(units, max(fits, default=min(SECONDS)))


def choose_batch(words: int, sentences: int) -> int:
    """Words of a batch: about 32 sentences, fewer where there are few."""
    return int(np.clip(sentences // 20, 4, 32) * max(1, words // sentences) * 1.25)


def describe(tagger: Tagger, metrics: dict[str, Any]) -> list[str]:
    """The network and its held-out figures in sentences."""
    size = sum(p.numel() for p in tagger.network.parameters())
    labels = f" and {plural(len(tagger.labels), 'label')}" if tagger.labels else ""
    kinds = {spans.split(name)[1] for name in tagger.tags} - {""}
    marks = plural(len(kinds), "type") + " of span" if tagger.scheme != "plain" else plural(len(tagger.tags), "tag")
    lines = [f"A network of {size:,} weights knows {marks}{labels}."]
    if "sentences" in metrics:
        m = metrics
        words = f"{plural(m['sentences'], 'sentence')} of {m['words']:,} words"
        steps = f"{plural(m['sentences'], 'sequence')} of {m['words']:,} steps"
        lines.append(f"Trained on {words if tagger.lexicon else steps} for {m['passes']:.1f} epochs.")
    if metrics.get("held_out"):
        held = metrics["held_out"]
        label = f", label {100 * held['label_accuracy']:.1f} %" if "label_accuracy" in held else ""
        f1 = f"F1 {100 * held['f1']:.2f}, " if tagger.scheme != "plain" else ""
        what = plural(held["sentences"], "held-out sentence" if tagger.lexicon else "held-out sequence")
        lines.append(f"{what}: {f1}accuracy {100 * held['accuracy']:.2f} %{label}.")
    if "fit_seconds" in metrics:
        lines.append(f"Fit in {metrics['fit_seconds']:.1f} s.")
    return lines


def note_new(tagger: Tagger, sentences: Sentences) -> list[str]:
    """A note on tags and labels of the data that the tagger cannot give."""
    kinds = {inside([name], tagger.inner)[0] for row in sentences.tags or [] for name in row}
    known = set(tagger.tags)
    if tagger.scheme != "plain":
        kinds, known = ({spans.split(name)[1] for name in side} - {""} for side in (kinds, known))
    new = sorted(kinds - known) + sorted(set(sentences.labels or []) - set(tagger.labels) if tagger.labels else set())
    shown = ", ".join(map(repr, new[:5])) + f" and {len(new) - 5} more" * (len(new) > 5)
    return [f"Not in the training data, so always wrong: {shown}."] if new else []
