"""What the tests of CTC share: small worlds, all their texts, and a scorer with a row for each prefix."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

few = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 10**6)
SIZES = dict(seed=SEEDS, T=st.integers(0, 5), V=st.integers(2, 4))
WIDE = dict(width=2000, prune=0.0)
SYMBOLS = ["", "a", "b", " "]  # separator 3
SPACE = 3


def world(seed, T, V, zeros=0.0):
    """Log-probabilities (T, V), some of them -inf, and every frame with one above."""
    rng = np.random.default_rng(seed)
    x = 2 * rng.normal(size=(T, V))
    x[rng.random((T, V)) < zeros] = -math.inf
    x[np.arange(T), rng.integers(V, size=T)] = 1.0
    return x - np.logaddexp.reduce(x, axis=1, keepdims=True)


def spoken(seed, L, V, hold=3):
    """Longer log-probabilities that speak L tokens, each for a few frames, repeats with a blank between."""
    rng = np.random.default_rng(seed)
    path = []
    for token in rng.integers(1, V, L):
        path += [0] * int(rng.integers(1, hold)) + [int(token)] * int(rng.integers(1, hold))
    x = rng.normal(size=(len(path), V))
    x[np.arange(len(path)), path] += rng.uniform(1, 6, len(path))
    return x - np.logaddexp.reduce(x, axis=1, keepdims=True)


def texts(x):
    """Every text that has a path, with its log-probability: the sum over all V^T paths."""
    T, V = x.shape
    sums = {}
    for path in itertools.product(range(V), repeat=T):
        text = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol)
        p = sum(x[t, symbol] for t, symbol in enumerate(path))
        sums[text] = np.logaddexp(sums.get(text, -math.inf), p)
    return {text: float(p) for text, p in sums.items() if p > -math.inf}


def rank(x, more=lambda text: 0.0):
    """Texts by log p + more, best first: (tokens, log p, score)."""
    rows = [(list(text), p, p + more(text)) for text, p in texts(x).items()]
    return sorted(rows, key=lambda row: -row[2])


def same(readings, expected):
    """The readings are these texts in this order, but for the order of equals, with these numbers."""
    assert len(readings) == len(expected)
    assert [r.score for r in readings] == pytest.approx([score for *_, score in expected], rel=1e-9, abs=1e-9)
    numbers = {tuple(tokens): (p, score) for tokens, p, score in expected}
    for reading in readings:
        assert (reading.log_prob, reading.score) == pytest.approx(
            numbers.pop(tuple(reading.tokens)), rel=1e-9, abs=1e-9
        )


def loss(x, text):
    """torch's CTC loss of a text, as a log-probability."""
    x = torch.from_numpy(x)[:, None]
    sizes = torch.tensor([len(x)]), torch.tensor([len(text)])
    return -torch.nn.functional.ctc_loss(x, torch.tensor([text], dtype=torch.int64), *sizes, reduction="sum").item()


def orderly(spans, tokens, T):
    """Spans as promised: the tokens, first <= last, in order, apart from each other, repeats with a frame between."""
    assert [span.token for span in spans] == list(tokens)
    assert all(0 <= span.first <= span.last < T for span in spans)
    for a, b in itertools.pairwise(spans):
        assert a.last + (a.token == b.token) < b.first


class Fixed:
    """A scorer that gives every prefix a row of its own, by its tokens, and records the prefixes it is asked for."""

    def __init__(self, V, seed=0, scale=1.0):
        self.V, self.seed, self.scale, self.queries = V, seed, scale, []

    def row(self, text):
        row = np.random.default_rng((self.seed, len(text), *text)).normal(size=self.V)
        return self.scale * (row - np.logaddexp.reduce(row))

    def start(self):
        return (), self.row(())

    def step(self, states, tokens):
        new = [(*state, token) for state, token in zip(states, tokens, strict=True)]
        self.queries.append(new)
        return new, np.stack([self.row(text) for text in new])

    def whole(self, text):
        """log p of a text and its end."""
        return sum(self.row(text[:i])[token] for i, token in enumerate((*text, 0)))
