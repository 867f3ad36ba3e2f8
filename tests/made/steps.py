"""Small models for the tests of decoding, and what running them says, one hypothesis at a time."""

import itertools
import math
from functools import partial

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from gated.decode import Rules, beam, greedy, sample

END, BEGIN, A, B, C = range(5)
RULES = Rules(begin=BEGIN, end=END, forbid=(BEGIN,))
LENGTHS = [3, 1, 5, 2, 4]


def toy(seed, V=5, H=4, sharp=2.0, end=0.0):
    """A recurrent net with attention and random weights: the next token depends on all before and on the source."""
    g = torch.Generator().manual_seed(seed)
    E, R, W, U = (torch.randn(shape, generator=g, dtype=torch.float64) for shape in ((V, H), (H, H), (H, V), (H, H)))
    bias = torch.zeros(V, dtype=torch.float64)
    bias[END] = end

    def step(tokens, state, memory):
        source, real = memory["source"], memory["real"]
        looks = state["h"] @ U @ source.mT
        attention = looks.masked_fill(~real[:, None], -math.inf).softmax(-1)
        h = torch.tanh(E[tokens] + state["h"] @ R + attention @ source)
        state = {"h": h, "more": [(state["more"][0][0] + 1,), None]}
        return (sharp * h @ W + bias).log_softmax(-1), state, attention

    return step


def world(sentences, S=None, H=4):
    """The first state, the memory and the lengths of these sentences: (number, source length), padded with noise."""
    S = S or max(length for _, length in sentences)
    source = torch.full((len(sentences), S, H), 7.0, dtype=torch.float64)
    for row, (number, length) in zip(source, sentences, strict=True):
        g = torch.Generator().manual_seed(100 + number)
        row[:length] = torch.randn(length, H, generator=g, dtype=torch.float64)
    lengths = torch.tensor([length for _, length in sentences])
    real = torch.arange(S) < lengths[:, None]
    state = {"h": source[:, :1] * 0.5, "more": [(torch.zeros(len(sentences), 1),), None]}
    return state, {"source": source, "real": real}, lengths


FIVE = list(enumerate(LENGTHS))


def follow(step, sentence, tokens):
    """log P of the tokens and END, and the attention, by running the step over them."""
    state, memory, _ = world([sentence])
    last, log_prob, looks = BEGIN, 0.0, []
    for token in [*tokens, END]:
        log_probs, state, attention = step(torch.tensor([[last]]), state, memory)
        log_prob += float(log_probs[0, 0, token])
        looks.append(attention[0, 0])
        last = token
    return log_prob, torch.stack(looks)


def score(log_prob, attention, alpha, beta):
    """Wu et al. 2016, equation 14, word for word; a coverage below 1e-9 counts 1e-9."""
    penalty = ((5 + len(attention)) / 6) ** alpha
    return log_prob / penalty + beta * sum(math.log(min(max(float(a), 1e-9), 1.0)) for a in attention.sum(0))


def brute(step, sentence, limit, alpha, beta, fits=lambda tokens: True, words=(A, B, C)):
    """Every sequence with its score, best first."""
    every = itertools.chain.from_iterable(itertools.product(words, repeat=T) for T in range(limit + 1))
    ranked = [(score(*follow(step, sentence, y), alpha, beta), list(y)) for y in every if fits(y)]
    return sorted(ranked, reverse=True)


def same(results, wanted):
    """The same hypotheses, with equal numbers."""
    for mine, theirs in zip(results, wanted, strict=True):
        assert [h.tokens for h in mine] == [h.tokens for h in theirs]
        for h, w in zip(mine, theirs, strict=True):
            assert h.score == pytest.approx(w.score, abs=1e-9)
            assert h.log_prob == pytest.approx(w.log_prob, abs=1e-9)
            assert h.ended == w.ended
            torch.testing.assert_close(h.attention, w.attention)


def rank(results):
    return [(pytest.approx(h.score, abs=1e-9), h.tokens) for h in results]


def fixed(*probabilities):
    """A step with the same probabilities every time."""
    row = torch.tensor(probabilities, dtype=torch.float64).log()
    return lambda tokens, state, memory: (row.expand(*tokens.shape, -1), state, None)


ONE = torch.zeros(1, 1)


SEARCHES = {
    "greedy": greedy,
    "beam": partial(beam, width=4, n_best=3, coverage_penalty=0.2),
    "sample": partial(sample, n=2, seed=5, top_p=0.9),
}
MODELS = st.integers(0, 10**6)
few = partial(settings, deadline=None)
