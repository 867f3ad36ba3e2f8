"""Training: words to numbers, network size from data size, fit, scores on held-out sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gated import data, runs, train
from gated._check import want
from gated.io.text import plural
from gated.runs import Job
from gated.tasks.tag import lexicon as words_of
from gated.tasks.tag import model, scoring, search, spans
from gated.tasks.tag.data import Sentences, check_tags
from gated.tasks.tag.model import Batch, Network, Noise, Shape, Tagger
from gated.tasks.tag.task import Config
from gated.tasks.tag.tokens import pieces

MAX_HELD, SHARE = 1000, 10  # held-out sentences where no validation data are given: at most, and one in 10
MIN_SENTENCES = 10
UNITS = ((1_000, 64), (5_000, 128), (50_000, 200), (float("inf"), 256))  # up to so many words
EPOCHS, MIN_STEPS, MAX_STEPS = 40, 300, 40_000
EVALUATIONS = 30
JITTER = 2.0  # words by which an epoch may misjudge a length, so that batches mix


def fit(
    sentences: Sentences, held: Sentences | None, config: Config, job: Job, vectors: Any = None
) -> tuple[Tagger, dict[str, Any], list[dict[str, int | float]], list[str]]:
    """Train on sentences, choose by the held-out ones: the tagger, its metrics, the history, and notes."""
    want(sentences.tags is not None, sentences.where, "words with their tags", "words alone")
    sentences = drop_empty(sentences)
    scheme = "iob2" if sentences.kind == "json" and sentences.offsets else spans.detect(sentences.tags or [])
    notes = check_tags(sentences, scheme)
    if held is None:
        held, sentences = hold_out(sentences)
    else:
        held = drop_empty(held)
        want(held.tags is not None, held.where, "words with their tags", "words alone")
        notes += check_tags(held, scheme)
    rows = cut(sentences)
    tagger = build(rows, scheme, config, vectors)
    network, known = tagger.network, {name: k for k, name in enumerate(tagger.tags)}
    encoded = [[known[name] for name in inside(row, scheme)] for row in rows.tags or []]
    labels = [tagger.labels.index(label) for label in rows.labels or []]
    lengths = [len(row) for row in rows.words]
    budget = config.batch or choose_batch(sum(lengths), len(rows))
    indices, epoch = data.bucketed(lengths, budget, config.seed, JITTER)

    def batch(n: int) -> Batch:
        chosen = indices(n)
        parts = [[side[i] for i in chosen] if side else () for side in (rows.words, rows.features, encoded, labels)]
        return tagger.collate(*parts)

    def validate(network: Any) -> dict[str, float]:
        result = scoring.compare(held, search.tag([tagger], held.words, held.features), tagger.scheme)
        return {"errors": 100 * (1 - result["f1"]) + 100 * (1 - result.get("label_accuracy", 1.0))}

    steps = config.steps or min(MAX_STEPS, max(MIN_STEPS, EPOCHS * epoch))
    read = [[held.words, held.tags, held.labels], [rows.words, rows.tags, rows.labels]]
    history = runs.fit(
        network, model.loss, batch, config, job, data=read, validate=validate, steps=steps, warmup=0.05,
        betas=(0.9, 0.98), eval_every=max(1, min(steps, max(epoch, steps // EVALUATIONS))),
    )  # fmt: skip
    network.eval()
    result = scoring.compare(held, search.tag([tagger], held.words, held.features), scheme)
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


def hold_out(sentences: Sentences) -> tuple[Sentences, Sentences]:
    """Some of the sentences, and the others."""
    count = len(sentences)
    todo = f"With fewer than {MIN_SENTENCES} give validation data."
    want(count >= MIN_SENTENCES, sentences.where, f"at least {MIN_SENTENCES} sentences", count, todo)
    rest, held = data.hold_out(count, min(MAX_HELD, max(1, count // SHARE)))
    return sentences.take(held), sentences.take(rest)


def cut(sentences: Sentences) -> Sentences:
    """The sentences, long ones in pieces."""
    if max(map(len, sentences.words)) <= search.LONGEST:
        return sentences
    out: dict[str, list[Any]] = {name: [] for name in ("words", "tags", "features", "labels")}
    for k, row in enumerate(sentences.words):
        for low, high in pieces(row, search.LONGEST):
            for name in ("words", "tags", "features"):
                side = getattr(sentences, name)
                out[name] += [side[k][low:high]] if side else []
            out["labels"] += [sentences.labels[k]] if sentences.labels else []
    return Sentences(out["words"], out["tags"], out["labels"] or None, sentences.where, sentences.kind, out["features"])


def inside(tags: Sequence[str], scheme: str) -> list[str]:
    """Tags as the network has them."""
    return list(tags) if scheme == "plain" else spans.convert(tags, "bioes")


def build(rows: Sentences, scheme: str, config: Config, vectors: Any = None) -> Tagger:
    """A tagger with the words and tags of these sentences, and its first weights."""
    lexicon = words_of.fit(rows, config.affixes, () if vectors is None else vectors.words)
    tags = sorted({name for row in rows.tags or [] for name in inside(row, scheme)})
    labels = sorted(set(rows.labels or []))
    total = sum(map(len, rows.words))
    units = config.units or next(units for most, units in UNITS if total <= most)
    spelling = min(64, max(16, units // 4)) if config.characters is None else config.characters
    shape = Shape(
        words=len(lexicon.counts), embedding=vectors.size if vectors else config.embedding or min(100, units),
        characters=len(lexicon.characters) + 2 if spelling else 0, spelling=spelling, entries=lexicon.entries,
        tables=len(lexicon.tables), channels=0, units=units, layers=config.layers or 1, tags=len(tags),
        labels=len(labels), crf=config.crf,
    )  # fmt: skip
    noise = Noise(0.5 if config.dropout is None else config.dropout, config.word_dropout)
    with train.seeded(config.seed):
        network = Network(shape, noise).prepare(scheme, tags, lexicon)
    return Tagger(network, lexicon, tuple(tags), tuple(labels), scheme)


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
        lines.append(
            f"Trained on {plural(m['sentences'], 'sentence')} of {m['words']:,} words for {m['passes']:.1f} epochs."
        )
    if metrics.get("held_out"):
        held = metrics["held_out"]
        label = f", label {100 * held['label_accuracy']:.1f} %" if "label_accuracy" in held else ""
        f1 = f"F1 {100 * held['f1']:.2f}, " if tagger.scheme != "plain" else ""
        lines.append(
            f"{plural(held['sentences'], 'held-out sentence')}: {f1}accuracy {100 * held['accuracy']:.2f} %{label}."
        )
    if "fit_seconds" in metrics:
        lines.append(f"Fit in {metrics['fit_seconds']:.1f} s.")
    return lines


def note_new(tagger: Tagger, sentences: Sentences) -> list[str]:
    """A note on tags and labels of the data that the tagger cannot give."""
    kinds = {inside([name], tagger.scheme)[0] for row in sentences.tags or [] for name in row}
    known = set(tagger.tags)
    if tagger.scheme != "plain":
        kinds, known = ({spans.split(name)[1] for name in side} - {""} for side in (kinds, known))
    new = sorted(kinds - known) + sorted(set(sentences.labels or []) - set(tagger.labels) if tagger.labels else set())
    shown = ", ".join(map(repr, new[:5])) + f" and {len(new) - 5} more" * (len(new) > 5)
    return [f"Not in the training data, so always wrong: {shown}."] if new else []
