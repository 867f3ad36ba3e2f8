"""Metrics of tags, beside two baselines.

precision  correct spans / predicted spans        recall  correct spans / spans of the data        F1 = 2 P R / (P + R)

A span is correct if its first step, its last and its type are. Spans, accuracy and F1 are those of conlleval (Tjong Kim
Sang & Buchholz 2000) on iob1 and iob2, be the tags valid or not. On bioes and bilou a span also ends at E-, L-, S- and
U-, where conlleval would join neighbours of one type. Where tags mark no spans F1 is the micro-averaged one of single
tags, which is their accuracy.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gated._check import InputError, want
from gated.io.text import plural
from gated.report import tables
from gated.report.bootstrap import better, close, resample
from gated.tasks.tag import baselines, spans
from gated.tasks.tag.baselines import NAMES
from gated.tasks.tag.data import Sentences
from gated.tasks.tag.search import Tagged
from gated.tasks.tag.series import segments

TRIALS, SEED = 1000, 12345
CONFUSIONS = 10
COUNTS = ("correct", "predicted", "spans", "right", "words", "exact", "labels", "both", "sentences", "known_right",
          "known", "unknown_right", "unknown")  # fmt: skip


def evaluate(tags: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], scheme: str = "") -> dict[str, Any]:
    """precision, recall, f1 and accuracy of predicted tags, from 0 to 1, with the same of each type of span.

    scheme: one of `spans.SCHEMES`, by default that of the tags.
    """
    where = "predictions"
    want(len(tags) == len(predictions), where, f"{plural(len(tags), 'sentence')}", len(predictions))
    for k, (one, other) in enumerate(zip(tags, predictions, strict=True), 1):
        want(len(one) == len(other), f"{where}, number {k}", plural(len(one), "tag"), len(other))
    scheme = scheme or spans.detect(tags)
    none = Sentences([["" for _ in row] for row in tags], [*map(list, tags)], None, where, "list")
    return compare(none, [Tagged(list(row), []) for row in predictions], scheme)


def compare(
    sentences: Sentences, tagged: Sequence[Tagged], scheme: str, known: Callable[[str], bool] = lambda word: True
) -> dict[str, Any]:
    """The metrics of some tags."""
    types = _types(sentences.tags or [], tagged, scheme)
    out = summarize(count(sentences, tagged, scheme, known).sum(0), sentences.labels is not None) | {"types": types}
    if scheme == "plain":
        real = [row["f1"] for row in types.values() if row["count"]]
        out["macro_f1"] = sum(real) / max(1, len(real))
    if sentences.values:
        out["segment_f1"] = match_segments(sentences.tags or [], [one.tags for one in tagged])
    return out


def match_segments(tags: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> float:
    """F1 of segments: a predicted one is right that has the tag of one of the data, and IoU ≥ ½ with it."""
    right = total = 0
    for row, other in zip(tags, predictions, strict=True):
        ours, theirs, k = segments(row), segments(other), 0
        total += len(ours) + len(theirs)
        for low, high, tag in theirs:
            while ours[k][1] < low:  # both go over all steps
                k += 1
            for n in range(k, len(ours)):
                a, b, own = ours[n]
                if a > high:
                    break
                if own == tag and 2 * (min(high, b) - max(low, a) + 1) >= max(high, b) - min(low, a) + 1:
                    right += 1
                    break
    return 2 * right / total if total else 0.0


def count(
    sentences: Sentences, tagged: Sequence[Tagged], scheme: str, known: Callable[[str], bool] = lambda word: True
) -> np.ndarray:
    """`COUNTS` of each sentence, [N, C]; the metrics follow from their sums."""
    out = np.zeros((len(sentences), len(COUNTS)))
    for k, (words, gold, one) in enumerate(zip(sentences.words, sentences.tags or [], tagged, strict=True)):
        a, b = _items(gold, scheme), _items(one.tags, scheme)
        right = [x == y for x, y in zip(gold, one.tags, strict=True)]
        seen = [known(word) for word in words]
        label = sentences.labels is not None and sentences.labels[k] == one.label
        exact = all(right)
        out[k] = (
            len(a & b), len(b), len(a), sum(right), len(right), exact, label, exact and label, 1,
            sum(x and y for x, y in zip(right, seen, strict=True)), sum(seen),
            sum(x and not y for x, y in zip(right, seen, strict=True)), len(seen) - sum(seen),
        )  # fmt: skip
    return out


def _items(tags: Sequence[str], scheme: str) -> set[Any]:
    """The spans of a sequence, or its single tags."""
    return set(spans.find(tags)) if scheme != "plain" else set(enumerate(tags))


def summarize(sums: np.ndarray, labels: bool = False) -> dict[str, Any]:
    """The metrics of sums of counts."""
    c = dict(zip(COUNTS, map(float, sums), strict=True))

    def share(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    out: dict[str, Any] = {
        "f1": share(2 * c["correct"], c["predicted"] + c["spans"]), "precision": share(c["correct"], c["predicted"]),
        "recall": share(c["correct"], c["spans"]), "accuracy": share(c["right"], c["words"]),
        "exact": share(c["exact"], c["sentences"]),
    }  # fmt: skip
    if labels:
        out |= {"label_accuracy": share(c["labels"], c["sentences"]), "sentence": share(c["both"], c["sentences"])}
    if c["unknown"]:
        out |= {"known": share(c["known_right"], c["known"]), "unknown": share(c["unknown_right"], c["unknown"])}
    whole = ("correct", "predicted", "spans", "words", "sentences")
    return (
        out
        | {f"{name}_count" if name != "sentences" else name: int(c[name]) for name in whole}
        | {"unknown_count": int(c["unknown"])}
    )


def _types(gold: Sequence[Sequence[str]], tagged: Sequence[Tagged], scheme: str) -> dict[str, dict[str, float]]:
    """precision, recall, f1 and count of each type of span, or of each tag."""
    sums = [Counter(), Counter(), Counter()]  # correct, predicted, of the data
    for row, one in zip(gold, tagged, strict=True):
        a, b = _items(row, scheme), _items(one.tags, scheme)
        for total, part in zip(sums, (a & b, b, a), strict=True):
            total.update(item[-1] for item in part)
    out = {}
    for kind in sorted(sums[1] | sums[2]):
        hits, found, real = (total[kind] for total in sums)
        p, r = hits / found if found else 0.0, hits / real if real else 0.0
        out[kind] = {"precision": p, "recall": r, "f1": 2 * hits / (found + real), "count": real}
    return out


def _f1(sums: np.ndarray) -> np.ndarray:
    """F1 of each resampled test set."""
    return 2 * sums[:, 0] / np.maximum(sums[:, 1] + sums[:, 2], 1)


def score(
    sentences: Sentences, tagged: Sequence[Tagged], scheme: str, train: Sentences | None,
    known: Callable[[str], bool], seconds: float, name: str = "LSTM", suite: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """The metrics of a tagger and of its baselines, trained on `train`, with intervals and the name of the best.

    {"model", the metrics of `compare`, "interval": 95 % of F1, "confusions": (tag, predicted, count), the most frequent
    first, "baselines": {"frequent", "crfsuite": the same, each with "seconds" and "beaten": the share of resampled test
    sets on which the model has the higher F1}, "best", "notes", "seconds"}. suite: whether to train the CRF, which
    takes time.
    """
    ours = count(sentences, tagged, scheme, known)
    drawn = _f1(resample(ours, TRIALS, SEED))
    notes: list[str] = []
    others: dict[str, Any] = {}
    for kind in ("frequent", "crfsuite")[: 2 if suite else 1] if train is not None and len(train) else ():
        start = time.perf_counter()
        try:
            more = (sentences.features,) if kind == "crfsuite" else ()
            theirs = getattr(baselines, kind)(train, sentences.words, *more)
        except InputError as error:
            notes.append(str(error))
            continue
        counts = count(sentences, theirs, scheme, known)
        labels = sentences.labels is not None and kind == "frequent"
        others[kind] = compare(sentences if labels else replace(sentences, labels=None), theirs, scheme, known) | {
            "seconds": time.perf_counter() - start,
            "beaten": better(drawn, _f1(resample(counts, TRIALS, SEED)), lower=False),
        }
    result = compare(sentences, tagged, scheme, known)
    low, high = np.quantile(drawn, [0.025, 0.975])
    rows = {**{kind: other["f1"] for kind, other in others.items()}, name: result["f1"]}
    wrong = Counter(
        (a, b) for row, one in zip(sentences.tags or [], tagged, strict=True)
        for a, b in zip(row, one.tags, strict=True) if a != b
    )  # fmt: skip
    return {
        "model": name, **result, "interval": [float(low), float(high)], "scheme": scheme,
        "confusions": [[a, b, n] for (a, b), n in wrong.most_common(CONFUSIONS)], "baselines": others,
        "best": max(rows, key=lambda kind: (rows[kind], kind != name)), "notes": notes, "seconds": seconds,
    }  # fmt: skip


def verdict(result: dict[str, Any]) -> str:
    """The winner in a sentence: the model, a baseline, or too close to call."""
    name, ours = result["model"], 100 * result["f1"]
    word = "accuracy" if result["scheme"] == "plain" else "F1"
    if not result["baselines"]:
        low, high = result["interval"]
        return f"{name}: {word} {ours:.2f} (95 %: {100 * low:.2f} to {100 * high:.2f})."
    rival = max(result["baselines"], key=lambda kind: result["baselines"][kind]["f1"])
    theirs = result["baselines"][rival]
    figures = f"{name} {ours:.2f}, {NAMES[rival]} {100 * theirs['f1']:.2f} {word}"
    if f"{ours:.2f}" == f"{100 * theirs['f1']:.2f}":
        return f"{name} and {NAMES[rival]}: {ours:.2f} {word}, a tie."
    if close(theirs["beaten"]):
        return f"{figures}: too close to call on {plural(result['sentences'], 'sentence')}."
    if result["best"] != name:
        return f"{figures}: the {NAMES[rival]} wins on this data."
    return f"{figures}: {name} wins."


def table(result: dict[str, Any], width: int | None = None) -> str:
    """A result as text, best first, with the verdict, types of spans and confusions below."""
    rows = {NAMES[kind]: other for kind, other in result["baselines"].items()} | {result["model"]: result}
    best = NAMES.get(result["best"], result["best"])
    plain = result["scheme"] == "plain"
    columns: dict[str, Callable[[dict[str, Any]], str]] = (
        {}
        if plain
        else {
            "F1": lambda r: f"{100 * r['f1']:.2f}",
            "precision": lambda r: f"{100 * r['precision']:.2f}",
            "recall": lambda r: f"{100 * r['recall']:.2f}",
        }
    )
    columns["accuracy"] = lambda r: f"{100 * r['accuracy']:.2f}"
    for head, key in {
        "known": "known",
        "unknown": "unknown",
        "label": "label_accuracy",
        "sentence": "sentence",
    }.items():
        if key in result:
            columns[head] = lambda r, key=key: tables.number(100 * r[key] if key in r else None, 2)
    for head, key in {"macro F1": "macro_f1", "segments": "segment_f1"}.items():
        if key in result:
            columns[head] = lambda r, key=key: tables.number(100 * r[key] if key in r else None, 2)
    columns["seconds"] = lambda r: tables.number(r["seconds"], 1)
    grid = tables.grid("", *columns)
    for name in sorted(rows, key=lambda name: -rows[name]["f1"]):
        grid.add_row(
            name + " ◂ best" * (name == best and len(rows) > 1), *(cell(rows[name]) for cell in columns.values())
        )
    parts = [tables.draw(grid, width).rstrip("\n"), verdict(result)]
    unknown = f", {result['unknown_count']:,} of them unknown" if result["unknown_count"] else ""
    names = ("sequence", "step") if "segment_f1" in result else ("sentence", "word")
    what = ", ".join(plural(result[key], name) for key, name in zip(("sentences", "words_count"), names, strict=True))
    what += unknown
    counts = "; {spans_count:,} spans, {predicted_count:,} predicted, {correct_count:,} correct".format(**result)
    parts.insert(0, what + counts * (not plain))
    return "\n".join([*parts, *_details(result, width), *result["notes"]])


def _details(result: dict[str, Any], width: int | None) -> Iterable[str]:
    if len(result["types"]) > 1:
        grid = tables.grid("type" if result["scheme"] != "plain" else "tag", "F1", "precision", "recall", "count")
        ranked = sorted(result["types"].items(), key=lambda item: -item[1]["count"])
        for kind, row in ranked[:20]:
            grid.add_row(
                tables.cut(kind, 40),
                *(f"{100 * row[key]:.1f}" for key in ("f1", "precision", "recall")),
                f"{row['count']:,}",
            )
        yield "\n" + tables.draw(grid, width).rstrip("\n")
        if len(ranked) > 20:
            yield f"and {len(ranked) - 20} more."
    if result["confusions"]:
        yield "Most frequent mistakes: " + ", ".join(f"{a} as {b} {n:,}" for a, b, n in result["confusions"][:5]) + "."
