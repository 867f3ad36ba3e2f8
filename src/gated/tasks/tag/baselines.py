"""What a tagger is compared with: the most frequent tag of each word, and a CRF on plain features."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gated._check import optional
from gated.tasks.tag.data import Sentences
from gated.tasks.tag.lexicon import normal, shape
from gated.tasks.tag.search import Tagged

ITERATIONS = 100
NAMES = {"frequent": "most frequent tag", "crfsuite": "CRF of plain features"}


def frequent(train: Sentences, words: Sequence[Sequence[str]]) -> list[Tagged]:
    """To each word the tag that it has most often in training, to an unknown one the most frequent of all."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row, tags in zip(train.words, train.tags or [], strict=True):
        for word, tag in zip(row, tags, strict=True):
            counts[word][tag] += 1
            counts[""][tag] += 1
    best = {word: count.most_common(1)[0][0] for word, count in counts.items()}
    label = Counter(train.labels or [""]).most_common(1)[0][0]
    return [Tagged([best.get(word, best[""]) for word in row], [1.0] * len(row), label) for row in words]


def crfsuite(
    train: Sentences, words: Sequence[Sequence[str]], features: Sequence[Sequence[Sequence[str]]] = ()
) -> list[Tagged]:
    """A linear-chain CRF on words, affixes and shapes of a window of five words (python-crfsuite, L-BFGS)."""
    suite = optional("pycrfsuite", "tag")
    trainer = suite.Trainer(algorithm="lbfgs", verbose=False)
    for k, (row, tags) in enumerate(zip(train.words, train.tags or [], strict=True)):
        trainer.append(list(describe(row, train.features[k] if train.features else ())), tags)
    trainer.set_params({"c1": 0.1, "c2": 0.1, "max_iterations": ITERATIONS, "feature.possible_transitions": True})
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "model"))
        trainer.train(path)
        tagger = suite.Tagger()
        tagger.open(path)
        tags = [
            tagger.tag(list(describe(row, features[k] if features else ()))) if row else []
            for k, row in enumerate(words)
        ]
        tagger.close()
    return [Tagged(row, [1.0] * len(row)) for row in tags]


def describe(words: Sequence[str], columns: Sequence[Sequence[str]] = ()) -> Iterator[list[str]]:
    """The features of each word."""
    lower = [normal(word) for word in words]

    def at(values: Sequence[Any], t: int) -> Any:
        return values[t] if 0 <= t < len(values) else ""

    for t, word in enumerate(lower):
        out = ["bias", f"p1={word[:1]}", f"p2={word[:2]}", f"p3={word[:3]}", f"s1={word[-1:]}", f"s2={word[-2:]}",
               f"s3={word[-3:]}", f"s4={word[-4:]}"]  # fmt: skip
        for k in (-2, -1, 0, 1, 2):
            out += [f"w{k}={at(lower, t + k)}", f"x{k}={shape(at(words, t + k))}"]
            out += [f"c{k}.{n}={value}" for n, value in enumerate(at(columns, t + k))]
        out += [f"b{k}={at(lower, t + k)}|{at(lower, t + k + 1)}" for k in (-1, 0)]
        for n in range(len(columns[t]) if columns else 0):
            two = [at([row[n] for row in columns], t + k) for k in (-2, -1, 0, 1, 2)]
            out += [f"d{k}.{n}={two[k]}|{two[k + 1]}" for k in range(4)]
            out += [f"t{k}.{n}={two[k]}|{two[k + 1]}|{two[k + 2]}" for k in range(3)]
        yield out
