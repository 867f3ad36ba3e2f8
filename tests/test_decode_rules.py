"""Decoding under rules, by chance, by several models, and with mistakes."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gated._check import InputError
from gated.decode import Hypothesis, Rules, beam, ensemble, greedy, sample
from gated.decode.pick import draw, topk
from made.steps import (
    BEGIN,
    END,
    FIVE,
    LENGTHS,
    MODELS,
    ONE,
    RULES,
    SEARCHES,
    A,
    B,
    C,
    brute,
    few,
    fixed,
    follow,
    rank,
    same,
    toy,
    world,
)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_run_of_tokens_comes_twice(search, n):
    """With no_repeat=n no n tokens in a row come twice, whatever the model wants; where nothing is left, it ends."""
    state, memory, lengths = world(FIVE)
    rules = Rules(begin=BEGIN, end=END, forbid=(BEGIN,), no_repeat=n)
    for seed in range(5):
        for mine in search(toy(seed, end=-6.0), state, memory, rules, limit=12, lengths=lengths):
            for h in mine:
                runs = [tuple(h.tokens[i : i + n]) for i in range(len(h.tokens) - n + 1)]
                assert len(runs) == len(set(runs))
                assert n > 1 or len(h.tokens) <= 3


@few(max_examples=12)
@given(
    seed=MODELS, prefix=st.lists(st.sampled_from([A, B, C]), max_size=4), least=st.integers(0, 4), n=st.integers(0, 2)
)
def test_a_wide_beam_under_rules_is_brute_force_under_rules(seed, prefix, least, n):
    """Prefix, min_length, no_repeat and forbid leave the best of those sequences that keep them."""
    if n and len(prefix) > 1:
        prefix = prefix[:1]
    step = toy(seed)
    state, memory, lengths = world(FIVE[:2])
    rules = Rules(begin=BEGIN, end=END, forbid=(BEGIN,), min_length=least if n != 1 else 0, no_repeat=n)

    def fits(tokens):
        runs = [tokens[i : i + n] for i in range(len(tokens) - n + 1)] if n else []
        return list(tokens[: len(prefix)]) == prefix and len(tokens) >= rules.min_length and len(set(runs)) == len(runs)

    options = dict(limit=4, width=200, n_best=200, length_penalty=0.7, prefixes=[prefix, []])
    results = beam(step, state, memory, rules, lengths=lengths, **options)
    assert rank(results[0]) == brute(step, FIVE[0], 4, 0.7, 0.0, fits)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_prefixes_are_kept_and_differ_by_sentence(search):
    """Each sentence begins with its own prefix, though rules forbid its tokens, and goes on under the rules."""
    state, memory, lengths = world(FIVE)
    prefixes = [[A, A, A], [], [BEGIN], [C, B, C, B, C], [B]]
    rules = Rules(begin=BEGIN, end=END, forbid=(BEGIN,), no_repeat=1)
    results = search(toy(2), state, memory, rules, limit=5, prefixes=prefixes, lengths=lengths)
    for sentence, prefix, mine in zip(FIVE, prefixes, results, strict=True):
        for h in mine:
            assert h.tokens[: len(prefix)] == prefix
            assert BEGIN not in h.tokens[len(prefix) :]
            assert h.log_prob == pytest.approx(follow(toy(2), sentence, h.tokens)[0])


def test_the_empty_hypothesis_wins_only_if_it_is_best():
    """Nothing is empty by accident: only where END at once scores best, and never under min_length=1."""
    state, memory, lengths = world(FIVE)
    some = set()
    for seed in range(12):
        step = toy(seed, end=1.0)
        results = beam(step, state, memory, RULES, limit=2, width=20, lengths=lengths)
        for sentence, (h,) in zip(FIVE, results, strict=True):
            assert (h.tokens == []) == (brute(step, sentence, 2, 0.6, 0.0)[0][1] == [])
            some.add(h.tokens == [])
        rules = Rules(begin=BEGIN, end=END, forbid=(BEGIN,), min_length=1)
        assert all(h.tokens for (h,) in beam(step, state, memory, rules, limit=2, lengths=lengths))
    assert some == {False, True}


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_what_cannot_be_is_taken_if_it_must(search):
    """A model that gives END or a forced token probability 0 still gets its hypothesis, at log p = -10000 each."""
    ((h,),) = search(fixed(0.0, 0.0, 0.6, 0.4), ONE, None, RULES, limit=3, prefixes=[[BEGIN]])
    assert len(h.tokens) == 3
    assert h.log_prob == pytest.approx(-20000 + math.log(0.6) * h.tokens.count(A) + math.log(0.4) * h.tokens.count(B))
    ((h,),) = search(fixed(0.3, 0.7), ONE, None, Rules(begin=1, end=0, forbid=(1,), min_length=2), limit=3)
    assert h.tokens == []
    assert h.log_prob == pytest.approx(math.log(0.3))


def test_attention_that_is_nowhere_still_gives_numbers():
    """A source position without attention costs log 1e-9 each and leaves the ranking to the rest."""

    def step(tokens, state, memory):
        looks = torch.zeros(*tokens.shape, 3)
        looks[..., 0] = 1
        return fixed(0.5, 0.0, 0.3, 0.2)(tokens, state, memory)[0], state, looks

    options = dict(limit=2, width=9, n_best=7, length_penalty=0.0, coverage_penalty=0.5, lengths=[2])
    (results,) = beam(step, ONE, None, Rules(begin=1, end=0), **options)
    assert [h.tokens for h in results[:3]] == [[], [2], [3]]
    assert results[0].score == pytest.approx(math.log(0.5) + 0.5 * math.log(1e-9))
    assert results[0].attention is not None
    assert results[0].attention.tolist() == [[1, 0]]


# --- equals


@few(max_examples=60)
@given(
    seed=MODELS,
    V=st.integers(1, 60),
    W=st.integers(1, 6),
    kinds=st.integers(1, 6),
)
def test_best_is_a_stable_sort(seed, V, W, kinds):
    """The W best are the first of a stable sort, however many are equal, and -inf equals -inf."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, kinds, (3, 2, V), generator=g).float()
    x[x == 5] = -math.inf
    values, places = topk(x, W)
    wanted = x.sort(dim=-1, descending=True, stable=True)
    finite = wanted.values[..., :W] > -math.inf
    assert torch.equal(values, wanted.values[..., :W])
    assert torch.equal(places[finite], wanted.indices[..., :W][finite])


def test_equals_go_to_the_lower_token_and_the_better_parent():
    """Where all is equal the order is that of parents, then of tokens."""
    state, memory = torch.zeros(1, 1), None
    step = fixed(0.25, 0.25, 0.25, 0.25)
    rules = Rules(begin=0, end=3)
    assert greedy(step, state, memory, rules, limit=3)[0][0].tokens == [0, 0, 0]
    (results,) = beam(step, state, memory, rules, limit=2, width=4, n_best=4, length_penalty=0.0)
    assert [h.tokens for h in results] == [[], [0, 0], [0, 1], [0, 2]]
    rules = Rules(begin=0, end=99)
    (results,) = beam(fixed(*[0.01] * 100), state, memory, rules, limit=2, width=64, n_best=64, length_penalty=0.0)
    assert [h.tokens for h in results] == [[0, v] for v in range(64)]


@few(max_examples=10)
@given(seed=MODELS, V=st.integers(2, 4), width=st.integers(1, 30))
def test_a_beam_wider_than_the_vocabulary(seed, V, width):
    """A width larger than V, or than the number of sequences, gives what there is."""
    g = torch.Generator().manual_seed(seed)
    row = torch.rand(V, generator=g, dtype=torch.float64)
    (results,) = beam(fixed(*(row / row.sum())), ONE, None, Rules(begin=0, end=0), limit=1, width=width, n_best=width)
    assert len(results) == min(V, width)


# --- sampling


@few(max_examples=10)
@given(seed=MODELS)
def test_cold_or_narrow_samples_are_greedy(seed):
    """A temperature near 0, top_k=1 and a tiny top_p are greedy search, all n of them."""
    step = toy(seed, end=-1.0)
    state, memory, lengths = world(FIVE)
    wanted = greedy(step, state, memory, RULES, limit=7, lengths=lengths)
    for option in (dict(temperature=1e-6), dict(top_k=1), dict(top_p=1e-9), dict(top_k=3, top_p=1e-9)):
        results = sample(step, state, memory, RULES, limit=7, lengths=lengths, n=2, seed=seed, **option)
        same(results, [mine * 2 for mine in wanted])


def frequencies(probabilities, **options):
    """How often each token of a one-token hypothesis is draws, of 4000."""
    rules = Rules(begin=0, end=0)
    (results,) = sample(fixed(*probabilities), ONE, None, rules, limit=1, n=4000, seed=1, **options)
    counts = np.bincount([h.tokens[0] if h.tokens else 0 for h in results], minlength=len(probabilities))
    assert all(h.log_prob == pytest.approx(math.log(probabilities[(h.tokens or [0])[0]]) * 1, abs=3) for h in results)
    return counts / 4000


def nearly(results, wanted):
    wanted = np.array(wanted) / np.sum(wanted)
    assert np.all(np.abs(results - wanted) <= 4.5 * np.sqrt(wanted * (1 - wanted) / 4000))


def test_samples_come_as_often_as_they_are_probable():
    """Frequencies are the probabilities, sharpened or flattened by the temperature, cut by top_k and top_p."""
    p = np.array([0.1, 0.25, 0.05, 0.4, 0.2])
    nearly(frequencies(p), p)
    nearly(frequencies(p, temperature=0.5), p**2)
    nearly(frequencies(p, temperature=2.0), p**0.5)
    nearly(frequencies(p, top_k=2), [0, 0.25, 0, 0.4, 0])
    nearly(frequencies(p, top_p=0.65), [0, 0.25, 0, 0.4, 0])
    nearly(frequencies(p, top_p=0.66), [0, 0.25, 0, 0.4, 0.2])
    nearly(frequencies(p, top_k=3, top_p=0.7), [0, 0.25, 0, 0.4, 0])


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_a_draw_never_falls_on_what_cannot_be(top_p):
    """At both ends of [0, 1), and on the edges between tokens, the token draws has a probability."""
    log_probs = torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0], dtype=torch.float64).log().expand(3, 1, 5)
    u = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)[:, None, None]
    values, tokens = draw(log_probs, u, 1.0, None, top_p)
    assert tokens.flatten().tolist() == [1, 3, 3]
    assert torch.allclose(values, torch.tensor(0.5, dtype=torch.float64).log())


def test_top_p_finds_its_tokens_however_many_they_are():
    """Of 1000 equal tokens a top_p of 0.5 leaves the first 500."""
    p = [1 / 1000] * 1000
    results = sample(fixed(*p), ONE, None, Rules(begin=0, end=999), limit=50, n=40, top_p=0.5)
    draws = {token for h in results[0] for token in h.tokens}
    assert max(draws) < 500
    assert len(draws) > 450


def test_samples_are_a_function_of_seed_and_number():
    """The same seed gives the same, another seed or number others, and no two sentences share their draws."""
    step = fixed(0.1, 0.3, 0.3, 0.3)
    rules, state = Rules(begin=1, end=0), torch.zeros(3, 1)
    run = partial(sample, step, state, None, rules, limit=30)
    once = [h.tokens for (h,) in run(seed=7)]
    assert once == [h.tokens for (h,) in run(seed=7)]
    assert once != [h.tokens for (h,) in run(seed=8)]
    assert once[0] != once[1] != once[2]
    assert [h.tokens for (h,) in run(seed=7, indices=[2, 5, 0])][::2] == [once[2], once[0]]
    several = run(seed=7, n=5)
    assert all(tokens in [h.tokens for h in mine] for tokens, mine in zip(once, several, strict=True))
    assert all([h.log_prob for h in mine] == sorted((h.log_prob for h in mine), reverse=True) for mine in several)


# --- several models


def repeat_world(models, lengths):
    """The state and memory of as many models as there are."""
    state, memory, lengths = world(FIVE)
    return (state,) * models, (memory,) * models, lengths


@pytest.mark.parametrize("models", [1, 2, 3])
def test_an_ensemble_of_one_model_is_the_model(models):
    """An ensemble of a model with itself equals the model."""
    step = toy(6, end=-1.0)
    state, memory, lengths = repeat_world(models, LENGTHS)
    options = dict(limit=8, n_best=3, coverage_penalty=0.1, lengths=lengths)
    same(
        beam(ensemble([step] * models), state, memory, RULES, **options),
        beam(step, *world(FIVE)[:2], RULES, **options),
    )


def test_an_ensemble_averages_probabilities():
    """p is the mean of the models' p, attention the mean of those there are, each with a state of its own."""
    steps = [toy(1), toy(2), lambda tokens, state, memory: (*toy(3)(tokens, state, memory)[:2], None)]
    state, memory, lengths = repeat_world(3, LENGTHS)
    ((h,), *_) = beam(ensemble(steps), state, memory, RULES, limit=6, lengths=lengths)
    alone, total = [world(FIVE[:1]) for _ in steps], 0.0
    states, last = [state for state, _, _ in alone], BEGIN
    for t, token in enumerate([*h.tokens, END]):
        outs = [
            step(torch.tensor([[last]]), state, memory)
            for step, state, (_, memory, _) in zip(steps, states, alone, strict=True)
        ]
        total += math.log(sum(float(p[0, 0, token].exp()) for p, _, _ in outs) / 3)
        assert h.attention is not None
        torch.testing.assert_close(h.attention[t], (outs[0][2][0, 0] + outs[1][2][0, 0]) / 2)
        states, last = [state for _, state, _ in outs], token
    assert h.log_prob == pytest.approx(total)


# --- mistakes


def diverge(value, at=2):
    """A model whose log-probabilities go wrong for sentence 3 at a step."""

    def step(tokens, state, memory):
        log_probs = torch.full((*tokens.shape, 4), -math.log(4.0))
        log_probs[..., 0] = -50
        log_probs[(state >= at) & (memory[:, None] == 3)] = value
        return log_probs, state + 1, None

    return step


@pytest.mark.parametrize("search", [greedy, beam, sample])
@pytest.mark.parametrize("value", [math.nan, 0.5, math.inf])
def test_what_is_no_log_probability_is_refused(search, value):
    """NaN and what is above 0 are refused, with the step and the sentence."""
    with pytest.raises(InputError, match=r"step 2, sentence 3: expected log-probabilities"):
        search(diverge(value), torch.zeros(5, 1), torch.arange(5), Rules(begin=1, end=0), limit=5)


UNIFORM = fixed(0.25, 0.25, 0.25, 0.25)


def run(search=beam, step=UNIFORM, state=ONE, memory=None, begin=1, end=0, limit=5, forbid=(), least=0, **options):
    return search(
        step, state, memory, Rules(begin=begin, end=end, forbid=forbid, min_length=least), limit=limit, **options
    )


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (dict(width=0), "beam width: expected a number of at least 1, got 0"),
        (dict(n_best=6), "beam n_best: expected a number from 1 to 5, got 6"),
        (dict(length_penalty=-1), "beam length_penalty: expected a number of at least 0"),
        (dict(coverage_penalty=0.1), "beam coverage_penalty: expected lengths, got None"),
        (dict(coverage_penalty=0.1, lengths=[3]), "coverage_penalty: expected a step that gives attention"),
        (dict(limit=-1), "limit: expected a number of at least 0, got -1"),
        (dict(limit=[1, 2]), "limit: expected 1, one for each sentence, got 2"),
        (dict(prefixes=[[2], [3]]), "prefixes: expected 1, one for each sentence, got 2"),
        (dict(lengths=[2, 2]), "lengths: expected 1, one for each sentence, got 2"),
        (dict(prefixes=[[2] * 6]), r"prefixes\[0\]: expected at most limit \(5\) tokens, got 6"),
        (dict(prefixes=[[2, 0]]), r"prefixes\[0\]: expected no end \(0\)"),
        (dict(prefixes=[[-2]]), r"prefixes\[0\]: expected tokens of at least 0"),
        (dict(prefixes=[[4]]), "prefixes: expected a number from -1 to 3, got 4"),
        (dict(end=4), "Rules end: expected a number from 0 to 3, got 4"),
        (dict(forbid=(7,)), "Rules forbid: expected a number from 0 to 3, got 7"),
        (dict(forbid=(0,)), r"Rules forbid: expected tokens other than end \(0\)"),
        (dict(least=-1), "Rules min_length: expected a number of at least 0, got -1"),
        (dict(state=None), "decode: expected a tensor in state or memory, or a list of limits, got neither"),
        (dict(state=torch.zeros(2, 3)), r"state: expected tensors \(2, 1, ...\), got \(2, 3\)"),
        (dict(memory=torch.zeros(2)), r"memory: expected tensors \(1, ...\), got \(2,\)"),
        (dict(memory="here"), "state and memory: expected tensors in tuples, lists and dicts, or None, got str"),
        (dict(step=lambda *_: (torch.zeros(1, 4), ONE, None)), r"step's log_probs: expected shape \(1, 1, V\)"),
        (dict(step=lambda t, s, m: (*UNIFORM(t, s, m)[:2], ONE)), r"step's attention: expected shape \(1, 1, S\)"),
        (dict(step=lambda t, *_: (UNIFORM(t, 0, 0)[0], ONE[0], None)), r"step's state: expected tensors \(1, 1, ...\)"),
        (dict(search=sample, n=0), "sample n: expected a number of at least 1"),
        (dict(search=sample, temperature=0), "sample temperature: expected a number above 0, got 0"),
        (dict(search=sample, temperature=math.nan), "sample temperature: expected a number above 0, got nan"),
        (dict(search=sample, top_k=0), "sample top_k: expected a number of at least 1"),
        (dict(search=sample, top_p=0.0), "sample top_p: expected a number above 0, at most 1"),
        (dict(search=sample, seed=-1), "sample seed: expected a number of at least 0"),
        (dict(search=sample, indices=[1, 2]), "sample indices: expected 1, one for each sentence, got 2"),
        (dict(search=sample, indices=[-1]), "sample indices: expected a number of at least 0, got -1"),
        (dict(step=ensemble([UNIFORM, UNIFORM])), "ensemble state: expected a tuple of 2"),
        (dict(step=ensemble([UNIFORM, fixed(0.5, 0.5)]), state=(ONE, ONE), memory=(None, None)), "ensemble log_probs"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(mistake, message):
    """A wrong argument is an error that names it, what was expected and what came."""
    with pytest.raises(InputError, match=message):
        run(**mistake)


def test_attention_comes_always_or_never():
    """A step that gives attention only sometimes is refused."""

    def step(tokens, state, memory):
        return UNIFORM(tokens, state, memory)[0], state + 1, torch.ones(*tokens.shape, 2) if state[0, 0] == 1 else None

    with pytest.raises(InputError, match="at every step or at none, got a change at step 1"):
        run(step=step)


def test_a_hypothesis_reads_well():
    """The result is a tuple with names."""
    ((h,),) = run(step=fixed(0.7, 0.3))
    assert h == Hypothesis([], pytest.approx(math.log(0.7)), pytest.approx(math.log(0.7)), None, True)
