"""CTC's probabilities, best paths and alignments against sums over all paths, torch's loss, and their own laws."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gated._check import InputError
from gated.decode import ctc, ngram, scorer
from made.ctc import SEEDS, SIZES, SPACE, SYMBOLS, Fixed, few, loss, orderly, spoken, texts, world

# ---- probabilities


@pytest.mark.parametrize(
    ("path", "text"),
    [([], []), ([0, 0], []), ([1], [1]), ([1, 1, 0, 1, 2, 2, 0], [1, 1, 2]), (torch.tensor([2, 2, 0, 2]), [2, 2])],
)
def test_a_path_becomes_its_text(path, text):
    """Runs become one symbol, then blanks go; a tensor is a path too."""
    assert ctc.collapse(path) == text


@few
@given(**SIZES, zeros=st.sampled_from([0.0, 0.4]))
def test_log_prob_is_the_sum_over_all_paths(seed, T, V, zeros):
    """log_prob is the brute-force sum for every text, -inf for those without a path, and they all sum to 1."""
    x = world(seed, T, V, zeros)
    sums = texts(x)
    for L in range(T + 2):
        for text in itertools.product(range(1, V), repeat=L):
            assert ctc.log_prob(x, text) == pytest.approx(sums.get(text, -math.inf), abs=1e-9)
    assert np.logaddexp.reduce(list(sums.values())) == pytest.approx(0, abs=1e-9)


@few
@given(seed=SEEDS, L=st.integers(0, 12), V=st.integers(2, 30))
def test_log_prob_is_torchs_loss(seed, L, V):
    """log_prob is minus torch's CTC loss, also where no brute force reaches, of arrays and of tensors."""
    x = spoken(seed, L + 1, V)
    text = np.random.default_rng(seed).integers(1, V, L).tolist()
    assert ctc.log_prob(x, text) == pytest.approx(loss(x, text), rel=1e-9)
    assert ctc.log_prob(torch.from_numpy(x).float().requires_grad_(), text) == pytest.approx(loss(x, text), rel=1e-5)


# ---- greedy and alignment


@few
@given(**SIZES)
def test_greedy_is_the_best_path(seed, T, V):
    """Greedy's text is that of the most probable path, its score that path's, its log_prob the text's."""
    x = world(seed, T, V)
    best = max(itertools.product(range(V), repeat=T), key=lambda path: sum(x[t, v] for t, v in enumerate(path)))
    reading = ctc.greedy(x)
    assert reading.tokens == ctc.collapse(best)
    assert reading.score == pytest.approx(sum(x[t, v] for t, v in enumerate(best)))
    assert reading.log_prob == pytest.approx(texts(x)[tuple(reading.tokens)])


@few
@given(seed=SEEDS, L=st.integers(0, 40), V=st.integers(2, 20))
def test_greedys_spans_are_those_of_its_alignment(seed, L, V):
    """The spans of greedy's path are the Viterbi alignment of its text."""
    x = spoken(seed, L, V)
    reading = ctc.greedy(x)
    orderly(reading.spans, reading.tokens, len(x))
    assert reading.spans == ctc.align(x, reading.tokens)


@few
@given(**SIZES, zeros=st.sampled_from([0.0, 0.3]))
def test_alignment_is_the_best_path_of_the_text(seed, T, V, zeros):
    """Among all paths of a text none is more probable than that of its spans, with blanks between."""
    x = world(seed, T, V, zeros)
    best = {}
    for path in itertools.product(range(V), repeat=T):
        text = tuple(ctc.collapse(path))
        best[text] = max(best.get(text, -np.inf), sum(x[t, v] for t, v in enumerate(path)))
    for text in texts(x):
        spans = ctc.align(x, text)
        orderly(spans, text, T)
        path = [0] * T
        for span in spans:
            path[span.first : span.last + 1] = [span.token] * (span.last - span.first + 1)
            assert span.log_prob == max(x[t, span.token] for t in range(span.first, span.last + 1))
        assert sum(x[t, v] for t, v in enumerate(path)) == pytest.approx(best[tuple(text)])


@pytest.mark.parametrize("text", [[1], [1, 1], [1, 2, 1], [2, 2, 2]])
def test_too_few_frames_are_refused(text):
    """An alignment needs a frame for each token and one between repeats: with these it stands, with one less not."""
    least = len(text) + sum(a == b for a, b in itertools.pairwise(text))
    orderly(ctc.align(world(0, least, 3), text), text, least)
    with pytest.raises(InputError, match=f"at least {least} frames for {len(text)} tokens"):
        ctc.align(world(0, least - 1, 3), text)


def test_a_text_of_probability_0_is_refused():
    """Where -inf leaves a text no path there is no alignment, and log_prob is -inf."""
    x = world(0, 4, 3)
    x[:, 2] = -math.inf
    assert ctc.log_prob(x, [1, 2]) == -math.inf
    with pytest.raises(InputError, match="probability 0"):
        ctc.align(x, [1, 2])


@pytest.mark.parametrize("text", [[0], [1, 3], [-1]])
def test_tokens_outside_the_symbols_are_refused(text):
    """A text holds symbols from 1 to V - 1 and no blank."""
    for call in (ctc.align, ctc.log_prob):
        with pytest.raises(InputError, match="symbols from 1 to 2"):
            call(world(0, 4, 3), text)


# ---- the edges


@pytest.mark.parametrize("V", [1, 3])
def test_no_frames_are_the_empty_text(V):
    """Of no frames the empty text is certain."""
    x = np.zeros((0, V))
    nothing = ctc.Reading([], 0.0, 0.0, [])
    assert ctc.greedy(x) == nothing
    assert ctc.beam(x, n_best=3) == [nothing]
    assert ctc.Beam().best(end=True) == [nothing._replace(spans=None)]
    assert ctc.align(x, []) == []
    assert ctc.log_prob(x, []) == 0.0
    lm = Fixed(3)
    assert ctc.Beam(lm=lm, alpha=2.0).best(end=True)[0].score == pytest.approx(2 * lm.whole(()))


def test_all_blank_is_the_empty_text():
    """Frames that are surely blank, and a model of blanks alone, give the empty text with log p = 0."""
    for x in (np.zeros((7, 1)), torch.tensor([[0.0, -math.inf]] * 7)):
        for reading in (ctc.greedy(x), *ctc.beam(x, n_best=3, width=1)):
            assert reading == ctc.Reading([], 0.0, 0.0, [])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.1])
def test_what_is_no_log_probability_is_refused(bad):
    """NaN, infinity and numbers above 0 are refused with the frame's number, counted over the pieces of a stream."""
    x = world(0, 6, 3)
    x[4, 1] = bad
    for call in (ctc.greedy, ctc.beam, lambda x: ctc.align(x, []), lambda x: ctc.log_prob(x, [1])):
        with pytest.raises(InputError, match="frame 4"):
            call(x)
    with pytest.raises(InputError, match="frame 4"):
        ctc.Beam().feed(x[:3]).feed(x[3:])
    x[4] = -math.inf
    with pytest.raises(InputError, match="frame 4"):
        ctc.beam(x)


def test_a_beam_refuses_what_does_not_fit():
    """Another number of symbols, a width of 0, a probability above 1, a separator that is none, a model with NaN."""
    for options in ({"width": 0}, {"prune": 2.0}, {"alpha": -1.0}, {"beta": math.nan}, {"separator": 0}):
        with pytest.raises(InputError, match=next(iter(options))):
            ctc.Beam(**options)
    with pytest.raises(InputError, match="separator"):
        ctc.Beam(separator=5).feed(world(0, 1, 3))
    with pytest.raises(InputError, match="3 symbols"):
        ctc.Beam().feed(world(0, 1, 3)).feed(world(0, 1, 4))
    with pytest.raises(InputError, match="4 symbols"):
        ctc.beam(world(0, 1, 3), lm=Fixed(4))
    with pytest.raises(InputError, match="NaN"):
        ctc.beam(world(0, 1, 3), lm=Fixed(3, scale=math.nan))


def test_a_model_that_forbids_everything_still_leaves_a_text():
    """log p = -inf from a language model counts -10000, and no NaN comes of it."""

    class Never(Fixed):
        def row(self, text):
            return np.full(self.V, -math.inf)

    (reading,) = ctc.beam(np.array([[-math.inf, 0.0, -math.inf]] * 3), lm=Never(3), width=1)
    assert reading.tokens == [1]
    assert reading.score == pytest.approx(-10000.0, abs=1)


@pytest.mark.parametrize(
    ("words", "match"),
    [(["ac"], "'c'"), (["  "], "at least one"), ({"a": 0.0}, "above 0"), (["a", " a"], "each once"), (["A"], "case")],
)
def test_hot_words_that_cannot_be_are_refused(words, match):
    """A hot word has symbols for all of it and a boost above 0, once."""
    with pytest.raises(InputError, match=match):
        scorer.HotWords(words, SYMBOLS, SPACE)


def test_a_model_in_another_case_is_refused():
    """An n-gram in capitals for symbols that are not would score every text alike: it is refused."""
    model = ngram.estimate([["AB", "BA"], ["ABBA"]], 2)
    with pytest.raises(InputError, match="case"):
        scorer.from_ngram(model, SYMBOLS, SPACE)
    with pytest.raises(InputError, match="case"):
        scorer.from_ngram(ngram.estimate(["AB"], 2), SYMBOLS, SPACE)
