"""Decoding: greedy search, beam search and sampling find what their definitions say, for each sentence alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from gated.decode import Rules, beam, greedy
from made.steps import (
    BEGIN,
    END,
    FIVE,
    MODELS,
    RULES,
    SEARCHES,
    A,
    B,
    C,
    brute,
    few,
    follow,
    rank,
    same,
    score,
    toy,
    world,
)


def slowly(step, sentence, limit, width, alpha, beta, words=(END, A, B, C)):
    """Beam search as its docstring tells it, one hypothesis after the other, always to the limit; all that finished."""
    first, memory, _ = world([sentence])
    live, done = [(0.0, [], first, [])], []
    for t in range(limit + 1):
        ways = []
        for place, (total, tokens, state, looks) in enumerate(live):
            last = torch.tensor([[tokens[-1] if tokens else BEGIN]])
            log_probs, after, attention = step(last, state, memory)
            for v in words if t < limit else [END]:
                new = total + float(log_probs[0, 0, v])
                ways.append((-new, place, v, (new, [*tokens, v], after, [*looks, attention[0, 0]])))
        live = []
        for _, _, v, way in sorted(ways, key=lambda w: w[:3])[: width - len(done)]:
            (done if v == END else live).append(way)
    ranked = [(score(total, torch.stack(looks), alpha, beta), tokens[:-1]) for total, tokens, _, looks in done]
    return sorted(ranked, key=lambda r: -r[0])


# --- what is results


@few(max_examples=15)
@given(seed=MODELS, alpha=st.sampled_from([0.0, 0.6, 2.0]), end=st.sampled_from([-2.0, 0.0, 1.0]))
def test_a_beam_of_one_is_greedy_and_greedy_is_argmax(seed, alpha, end):
    """Greedy takes the most probable token each time, and a beam of width 1 is greedy under every penalty."""
    step = toy(seed, end=end)
    state, memory, lengths = world(FIVE)
    results = greedy(step, state, memory, RULES, limit=8, lengths=lengths)
    one = beam(step, state, memory, RULES, limit=8, width=1, length_penalty=alpha, lengths=lengths)
    for sentence, (mine,), (theirs,) in zip(FIVE, results, one, strict=True):
        first, memory_, _ = world([sentence])
        tokens, last = [], BEGIN
        while last != END and len(tokens) < 8:
            log_probs, first, _ = step(torch.tensor([[last]]), first, memory_)
            last = max((END, A, B, C), key=lambda v: float(log_probs[0, 0, v]))
            tokens += [last] if last != END else []
        assert mine.tokens == theirs.tokens == tokens
        assert mine.score == mine.log_prob == theirs.log_prob
        assert mine.ended == (len(tokens) < 8)


@few(max_examples=20)
@given(
    seed=MODELS,
    alpha=st.sampled_from([0.0, 0.6, 1.0, 3.0]),
    beta=st.sampled_from([0.0, 0.2, 2.0]),
    n_best=st.sampled_from([1, 4, 60]),
)
def test_a_beam_as_wide_as_the_space_is_brute_force(seed, alpha, beta, n_best):
    """With 40 sequences and a width of 60, the n_best are the best of all sequences, in order."""
    step, some = toy(seed), FIVE[:3]
    state, memory, lengths = world(some)
    options = dict(width=60, n_best=n_best, length_penalty=alpha, coverage_penalty=beta)
    results = beam(step, state, memory, RULES, limit=3, lengths=lengths, **options)
    for sentence, mine in zip(some, results, strict=True):
        assert rank(mine) == brute(step, sentence, 3, alpha, beta)[:n_best]


@few(max_examples=40)
@given(
    seed=MODELS,
    width=st.integers(1, 7),
    alpha=st.sampled_from([0.0, 0.6, 1.0, 3.0]),
    beta=st.sampled_from([0.0, 0.3]),
    end=st.sampled_from([-3.0, -1.0, 1.0]),
    data=st.data(),
)
def test_stopping_changes_nothing(seed, width, alpha, beta, end, data):
    """A search that stops when nothing can win finds what a search that always goes to the limit finds."""
    n_best, limits = data.draw(st.integers(1, width)), data.draw(st.lists(st.integers(0, 7), min_size=3, max_size=3))
    step, some = toy(seed, end=end), FIVE[:3]
    state, memory, lengths = world(some)
    options = dict(width=width, n_best=n_best, length_penalty=alpha, coverage_penalty=beta)
    results = beam(step, state, memory, RULES, limit=limits, lengths=lengths, **options)
    for sentence, limit, mine in zip(some, limits, results, strict=True):
        assert rank(mine) == slowly(step, sentence, limit, width, alpha, beta)[:n_best]


@few(max_examples=15)
@given(
    seed=MODELS, alpha=st.sampled_from([0.0, 0.8]), beta=st.sampled_from([0.0, 0.5]), end=st.sampled_from([-2.0, 0.0])
)
@example(seed=1617, alpha=0.0, beta=0.5, end=-2.0)  # a coverage of 3e-11
def test_scores_are_what_the_step_says(seed, alpha, beta, end):
    """log_prob, attention and score are those of running the step over the tokens: nothing leaks between hypotheses."""
    step = toy(seed, end=end)
    state, memory, lengths = world(FIVE)
    options = dict(width=4, n_best=4, length_penalty=alpha, coverage_penalty=beta)
    for sentence, mine in zip(FIVE, beam(step, state, memory, RULES, limit=9, lengths=lengths, **options), strict=True):
        assert 1 <= len(mine) <= 4
        assert [h.score for h in mine] == sorted((h.score for h in mine), reverse=True)
        assert len({tuple(h.tokens) for h in mine}) == len(mine)
        for h in mine:
            log_prob, attention = follow(step, sentence, h.tokens)
            assert h.log_prob == pytest.approx(log_prob, abs=1e-9)
            torch.testing.assert_close(h.attention, attention)
            assert h.score == pytest.approx(score(log_prob, attention, alpha, beta), abs=1e-9)
            assert h.ended == (len(h.tokens) < 9)
            assert BEGIN not in h.tokens
            assert END not in h.tokens


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_sentence_is_decoded_as_if_alone(search):
    """Batches of one and of many, other orders and more padding give the same."""
    for seed in range(4):
        step, limits = toy(seed, end=-1.0), [8, 3, 0, 9, 6]

        def run(order, S=None, step=step, limits=limits):
            state, memory, lengths = world([FIVE[i] for i in order], S)
            more = dict(indices=order) if search is SEARCHES["sample"] else {}
            return search(step, state, memory, RULES, limit=[limits[i] for i in order], lengths=lengths, **more)

        every = run(range(5))
        same([run([i])[0] for i in range(5)], every)
        same(run([3, 1, 4, 0, 2]), [every[i] for i in (3, 1, 4, 0, 2)])
        same(run(range(5), S=11), every)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_limits_of_none_and_one(search):
    """A limit of 0 gives the empty hypothesis, one of 1 at most one token; END is forced and counted."""
    step = toy(3, end=-9.0)
    state, memory, lengths = world(FIVE)
    results = search(step, state, memory, RULES, limit=torch.tensor([0, 1, 0, 1, 2]), lengths=lengths)
    for sentence, most, mine in zip(FIVE, [0, 1, 0, 1, 2], results, strict=True):
        for h in mine:
            assert len(h.tokens) <= most
            assert h.ended == (len(h.tokens) < most)
            assert h.log_prob == pytest.approx(follow(step, sentence, h.tokens)[0])


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_no_sentences_no_hypotheses(search):
    """A batch of none gives none, and takes no step."""
    state, memory, lengths = world(FIVE)
    state, memory = {"h": state["h"][:0], "more": None}, {"source": memory["source"][:0]}
    assert search(toy(0), state, memory, RULES, limit=5, lengths=lengths[:0]) == []


def test_a_step_without_state_memory_or_attention():
    """A table of pairs is a model: B comes from the limits, and attention is None."""
    table = torch.tensor([[0.1, 0.0, 0.9], [0.3, 0.0, 0.7], [0.6, 0.0, 0.4]], dtype=torch.float64).log()
    results = beam(
        lambda tokens, state, memory: (table[tokens], None, None), None, None, Rules(begin=1, end=0), limit=[4, 0]
    )
    assert [h.tokens for (h,) in results] == [[2], []]
    assert results[0][0].log_prob == pytest.approx(math.log(0.7 * 0.6))
    assert results[0][0].attention is None


# --- work


def count_calls(step, calls):
    def inner(tokens, state, memory):
        calls.append(tuple(tokens.shape))
        return step(tokens, state, memory)

    return inner


def test_work_shrinks_as_sentences_end():
    """The step sees only the sentences that are not done, with no more hypotheses than live ones."""
    calls, lengths = [], [6, 2, 9, 2, 0]

    def step(tokens, state, memory):
        over = (state[..., None] >= memory[:, None, None]).double()
        log_probs = torch.cat([over, (1 - over) * 0.6, (1 - over) * 0.4], -1).log()
        return log_probs, state + 1, None

    state, memory = torch.zeros(5, 1), torch.tensor(lengths)
    options = dict(limit=20, width=3, length_penalty=0.0)
    results = beam(count_calls(step, calls), state, memory, Rules(begin=1, end=0), **options)
    assert [h.tokens for (h,) in results] == [[1] * length for length in lengths]
    assert [b for b, _ in calls] == [sum(length >= t for length in lengths) for t in range(10)]
    assert [k for _, k in calls] == [1, 2] + [3] * 8


@pytest.mark.parametrize(("alpha", "more"), [(0.0, 3), (1.0, 5)])
def test_a_search_ends_soon_after_its_best(alpha, more):
    """A model that is sure of its END costs a few steps more than its length, whatever the limit."""
    calls, lengths = [], torch.tensor([6, 2, 9, 3, 1])

    def step(tokens, state, memory):
        over = (state >= memory[:, None])[..., None]
        p = torch.where(over, torch.tensor([0.9, 0.06, 0.04]), torch.tensor([1e-4, 0.6, 0.3999]))
        return p.log(), state + 1, None

    options = dict(limit=500, length_penalty=alpha)
    results = beam(count_calls(step, calls), torch.zeros(5, 1), lengths, Rules(begin=1, end=0), **options)
    assert [len(h.tokens) for (h,) in results[:3]] == [6, 2, 9]
    assert sum(b for b, _ in calls) <= int((lengths + 1 + more).sum())


def test_the_step_never_continues_what_has_ended():
    """A hypothesis that ended is not given to the step again, not even to fill a place."""
    plain, (state, memory, lengths) = toy(5, end=1.0), world(FIVE)

    def step(tokens, state, memory):
        assert not (tokens == END).any()
        return plain(tokens, state, memory)

    assert len(beam(step, state, memory, RULES, limit=8, lengths=lengths, n_best=5)) == 5


def test_no_gradient_is_recorded_and_no_state_is_retained():
    """No gradients are recorded, though the model's weights want them, and attention does not hold the batch's."""
    weight = torch.zeros(5, 5, requires_grad=True)
    modes = []

    def step(tokens, state, memory):
        modes.append(torch.is_grad_enabled())
        return weight[tokens].log_softmax(-1), state, torch.ones(*tokens.shape, 3) / 3

    ((h,),) = greedy(step, torch.zeros(1, 1), None, RULES, limit=3)
    assert not any(modes)
    assert torch.is_grad_enabled()
    assert h.attention is not None
    assert h.attention.untyped_storage().nbytes() == h.attention.numel() * 4
    assert not h.attention.is_inference()


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_the_callers_random_states_are_untouched(search):
    """torch's and numpy's global generators are where they were."""
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    state, memory, lengths = world(FIVE)
    search(toy(0), state, memory, RULES, limit=5, lengths=lengths)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_a_step_may_reuse_its_memory():
    """What the step writes into the same tensors each time is copied before the next step."""
    plain, (state, memory, lengths) = toy(1, end=-1.0), world(FIVE)
    room = {}

    def step(tokens, state, memory):
        log_probs, state, attention = plain(tokens, state, memory)
        for name, x in (("p", log_probs), ("a", attention)):
            big = room.setdefault(name, torch.zeros(5, 4, 5, dtype=torch.float64))
            big[: x.shape[0], : x.shape[1], : x.shape[2]] = x
        b, k, S = attention.shape
        return room["p"][:b, :k], state, room["a"][:b, :k, :S]

    options = dict(limit=8, width=4, n_best=2, coverage_penalty=0.3, lengths=lengths)
    same(beam(step, state, memory, RULES, **options), beam(plain, state, memory, RULES, **options))
