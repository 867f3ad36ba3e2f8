"""The problems of long time lags: what their sequences hold, and what counts as solved."""

import math
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from gated import problems
from gated._check import InputError
from gated.problems import (
    Adding,
    Copying,
    Criterion,
    EmbeddedReber,
    Multiplication,
    NoiseFree,
    NoRegularities,
    TemporalOrder,
    TwoSequence,
    VeryLong,
)  # fmt: skip

ALL = [
    EmbeddedReber(), NoiseFree(12), NoRegularities(12), VeryLong(12, 7), Adding(30), Multiplication(30),
    TemporalOrder(2), TemporalOrder(3), Copying(7), *(TwoSequence(30, 2, task) for task in ("3a", "3b", "3c")),
]  # fmt: skip
NAMED = [type(one).__name__ + getattr(one, "task", "") + str(getattr(one, "relevant", "")) for one in ALL]
LENGTHS = {Adding: (100, 110), TwoSequence: (100, 110), TemporalOrder: (100, 110), Multiplication: (100, 110)}


def make_batch(problem, B=1200, seed=0):
    return problem.batch(np.random.default_rng(seed), B)


def symbols(batch):
    """The symbol at every step of every sequence, as lists of their lengths."""
    return [batch.x[:length, b].argmax(-1).tolist() for b, length in enumerate(batch.lengths.tolist())]


def ends(values, batch):
    """What stands at the last step of each sequence: (B, O)."""
    return values[batch.lengths - 1, torch.arange(len(batch.lengths))]


def uniform(counts, kinds, tolerance=5.0):
    """Are these counts those of a uniform draw? χ² within so many of its standard deviations."""
    total, k = sum(counts.values()), len(kinds)
    chi = sum((counts[kind] - total / k) ** 2 / (total / k) for kind in kinds)
    return set(counts) <= set(kinds) and chi < k - 1 + tolerance * math.sqrt(2 * (k - 1)) + tolerance


# ---- all of them


@pytest.mark.parametrize("problem", ALL, ids=NAMED)
def test_a_batch_has_one_form(problem):
    """x is (T, B, I), targets (T, B, O); error signals lie within the sequences; beyond an end all is zero."""
    batch = make_batch(problem, 50)
    (I, O), T = problem.sizes, int(batch.lengths.max())
    assert batch.x.shape == (T, 50, I)
    assert batch.target.shape == batch.truth.shape == (T, 50, O)
    beyond = torch.arange(T)[:, None] >= batch.lengths
    assert not batch.where[beyond].any()
    assert batch.where.any(0).all()
    for values in (batch.x, batch.target, batch.truth):
        assert values.dtype == torch.float32
        assert (values[beyond] == 0).all()
    if problem.output == "softmax":
        assert (batch.target[batch.where].sum(-1) == 1).all()
        assert (batch.x[~beyond].sum(-1) == 1).all()


@pytest.mark.parametrize("problem", ALL, ids=NAMED)
def test_the_generator_given_is_the_only_chance(problem):
    """The same generator gives the same sequences, another one others; no global generator moves."""
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one, same, other = make_batch(problem, 20, 3), make_batch(problem, 20, 3), make_batch(problem, 20, 4)
    for name in ("x", "target", "truth", "where", "lengths"):
        assert torch.equal(getattr(one, name), getattr(same, name))
    assert one.x.shape != other.x.shape or not torch.equal(one.x, other.x)
    after = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    assert (before[0] == after[0]).all()
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize("problem", ALL, ids=NAMED)
def test_the_truth_is_right_and_a_constant_is_not(problem):
    """Saying the truth is right, with error 0; one answer for all is wrong for many; NaN is wrong for all."""
    batch = make_batch(problem, 64)
    wrong, error = problem.judge(batch, batch.truth)
    assert not wrong.any()
    assert wrong.shape == error.shape == (64,)
    assert (error == 0).all()
    constant = batch.truth[batch.where].mean(0).expand_as(batch.truth)
    assert problem.judge(batch, constant.contiguous())[0].mean() > 0.3
    assert problem.judge(batch, torch.full_like(batch.truth, math.nan))[0].all()


@pytest.mark.parametrize("problem", ALL, ids=NAMED)
def test_only_judged_outputs_matter(problem):
    """Only the steps of `answers` count: anything may stand at the others, and in the padding."""
    batch = make_batch(problem, 64)
    answers = problem.answers(batch)
    y = torch.where(answers[..., None], batch.truth, 17.0)
    assert not problem.judge(batch, y)[0].any()
    y = torch.where(answers[..., None], batch.truth, math.nan)
    wrong, error = problem.judge(batch, y)
    assert not wrong.any()
    assert (error == 0).all()


@pytest.mark.parametrize(
    "problem", [p for p in ALL if not isinstance(p, EmbeddedReber)], ids=lambda p: type(p).__name__
)
def test_the_tolerance_is_where_right_ends(problem):
    """One output of one judged step off by a little less than the tolerance is right, by a little more wrong."""
    batch = make_batch(problem, 30)
    t, b = (axis[0] for axis in problem.answers(batch).nonzero(as_tuple=True))
    for part, expected in ((0.999, False), (1.001, True)):
        y = batch.truth.clone()
        y[t, b, 0] -= part * problem.tolerance
        wrong, error = problem.judge(batch, y)
        assert wrong.sum() == expected
        assert wrong[b] == expected
        steps = int(problem.answers(batch)[:, b].sum())
        assert error[b] == pytest.approx(part * problem.tolerance / steps, rel=1e-3)


def test_outputs_of_another_shape_are_refused():
    """A judge says which shape it wants."""
    problem = Adding(30)
    batch = make_batch(problem, 4)
    with pytest.raises(InputError, match=r"Adding y: expected shape \(\d+, 4, 1\), got \(7, 4, 1\)"):
        problem.judge(batch, torch.zeros(7, 4, 1))


@pytest.mark.parametrize("problem", [Adding(), TwoSequence(), TemporalOrder(), Multiplication()], ids=lambda p: str(p))
def test_lengths_are_uniform_between_T_and_a_tenth_more(problem):
    """100 to 110 steps, each length as often as any other."""
    low, high = LENGTHS[type(problem)]
    assert uniform(Counter(make_batch(problem).lengths.tolist()), range(low, high + 1))
    assert problem.longest == high


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adding(21), "Adding T: expected a whole number of at least 22, got 21"),
        (lambda: Multiplication(21), "Multiplication T"),
        (lambda: Multiplication(n_seq=0), "Multiplication n_seq"),
        (lambda: TwoSequence(task="3d"), "TwoSequence task: expected one of '3a', '3b', '3c', got '3d'"),
        (lambda: TwoSequence(T=3), "TwoSequence T"),
        (lambda: TwoSequence(ST=3), "TwoSequence ST"),
        (lambda: TemporalOrder(4), "TemporalOrder relevant: expected one of 2, 3, got 4"),
        (lambda: NoRegularities(1), "NoRegularities p"),
        (lambda: VeryLong(0), "VeryLong q"),
        (lambda: Copying(0), "Copying T"),
        (lambda: EmbeddedReber(size=0), "EmbeddedReber size"),
        (lambda: Criterion(0), "Criterion n"),
        (lambda: Criterion(1, on="paper"), "Criterion on"),
    ],
)  # fmt: skip
def test_impossible_parameters_are_refused(make, message):
    """One line says what was expected."""
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def test_the_paper_s_figures_belong_to_problems_that_exist():
    """Every figure stands for a problem of its own, and no problem stands twice."""
    assert problems.PAPER[EmbeddedReber()] == 8_440
    assert problems.PAPER[Adding(1000)] == 853_000
    assert problems.PAPER[Multiplication(100)] == 482_000
    assert problems.PAPER[TemporalOrder(2)] == 31_390
    assert problems.PAPER[TemporalOrder(3)] == 571_100
    assert problems.PAPER[TwoSequence(100, 3)] == 27_380
    assert len(problems.PAPER) == 33


# ---- 5.1


def legal(text):
    """Is it a string of the inner grammar? Written from the figure, as a table apart from the module's."""
    state, moves = "start", {
        "start": {"B": "one"}, "one": {"T": "upper", "P": "lower"}, "upper": {"S": "upper", "X": "middle"},
        "lower": {"T": "lower", "V": "turn"}, "middle": {"S": "last", "X": "lower"},
        "turn": {"P": "middle", "V": "last"}, "last": {"E": "end"}, "end": {},
    }  # fmt: skip
    for letter in text:
        if letter not in moves[state]:
            return False
        state = moves[state][letter]
    return state == "end"


def test_strings_are_of_the_embedded_grammar():
    """B, T or P, a string of the inner grammar, the same T or P, E; training and test strings have none in common."""
    training, test = EmbeddedReber().sets
    assert len(training) == len(test) == 256
    assert not set(training) & set(test)
    for one in (*training, *test):
        assert one[0] == "B"
        assert one[-1] == "E"
        assert one[1] == one[-2]
        assert one[1] in "TP"
        assert legal(one[2:-2])
    assert min(map(len, training)) == 9  # "time lags of as few as 9 steps"
    assert {one[1] for one in training} == {"T", "P"}


def test_edges_are_taken_with_probability_one_half():
    """B T or B P, T S or T X within, each in half of the strings."""
    from gated.problems.reber import draw

    rng = np.random.default_rng(0)
    many = [draw(rng) for _ in range(1500)]
    assert uniform(Counter(one[1] for one in many), "TP")
    assert uniform(Counter(one[3] for one in many), "TP")
    assert uniform(Counter(one[4] for one in many if one[3] == "T"), "SX")
    assert uniform(Counter(one[4] for one in many if one[3] == "P"), "TV")
    assert len({one for one in many if one[1] == "T"}) > 100
    assert np.mean([len(one) > EmbeddedReber().longest for one in many]) < 0.002


def test_the_possible_symbols_are_those_that_continue_a_string():
    """A symbol is possible where some string of the language goes on with it after what was read."""
    problem = EmbeddedReber()
    batch = next(problem.tests(np.random.default_rng(0)))
    known = [one for part in problem.sets for one in part]
    follow = defaultdict(set)
    for one in known:
        for t in range(len(one) - 1):
            follow[one[: t + 1]].add(one[t + 1])
    for b, one in enumerate(known[:256]):
        truth = batch.truth[:, b].tolist()
        for t in range(len(one) - 1):
            possible = {symbol for symbol, may in zip("BTPSXVE", truth[t], strict=True) if may}
            assert one[t + 1] in possible
            assert follow[one[: t + 1]] <= possible
            assert len(possible) <= 2
        assert batch.truth[len(one) - 3, b].sum() == 1  # the symbol before last


def test_a_batch_is_drawn_from_the_training_set_alone():
    """Training strings come from the training set, a test shows both sets whole; another seed makes other sets."""
    problem = EmbeddedReber(seed=2)
    training, test = problem.sets
    strings = {"".join("BTPSXVE"[k] for k in one) for one in symbols(make_batch(problem, 3000))}
    assert strings == {one[:-1] for one in training}
    shown = [
        "".join("BTPSXVE"[k] for k in one)
        for batch in problem.tests(np.random.default_rng(0))
        for one in symbols(batch)
    ]
    assert shown == [one[:-1] for one in (*training, *test)]
    assert EmbeddedReber(seed=3).sets != problem.sets


def test_a_string_is_right_if_the_possible_symbols_are_the_most_active():
    """Order alone counts; one impossible symbol level with a possible one, at any symbol, makes the string wrong."""
    problem = EmbeddedReber()
    batch = make_batch(problem, 40)
    y = torch.where(batch.truth > 0, 0.1 + 0.8 * torch.rand(batch.truth.shape), 0.09)
    assert not problem.judge(batch, y)[0].any()
    impossible = int((batch.truth[3, 7] == 0).nonzero()[0])
    y[3, 7, impossible] = y[3, 7][batch.truth[3, 7] > 0].min()
    wrong, error = problem.judge(batch, y)
    assert wrong.nonzero()[0].tolist() == [7]
    assert error[7] == pytest.approx(1 / int(batch.lengths[7]))


# ---- 5.2


def test_two_sequences_without_noise():
    """2a: x or y, a_1 … a_{p-1}, and the same x or y; half of the time each; every next symbol is the target."""
    batch = make_batch(NoiseFree(12))
    targets = batch.target.argmax(-1).T.tolist()
    for read, target in zip(symbols(batch), targets, strict=True):
        assert read[0] in (11, 12)
        assert read[1:] == list(range(11))
        assert target == [*read[1:], read[0]]
    assert uniform(Counter(one[0] for one in symbols(batch)), (11, 12))
    assert batch.where.all()
    (both,) = NoiseFree(12).tests(np.random.default_rng(0))
    assert {one[0] for one in symbols(both)} == {11, 12}


def test_no_regularities_between_the_ends():
    """2b: what lies between is uniform over a_1 … a_{p-1}; the last is judged alone, all are targets."""
    problem = NoRegularities(6)
    batch = make_batch(problem)
    for read, target in zip(symbols(batch), batch.target.argmax(-1).T.tolist(), strict=True):
        assert read[0] in (5, 6)
        assert len(read) == 6
        assert target == [*read[1:], read[0]]
    assert uniform(Counter(k for one in symbols(batch) for k in one[1:]), range(5))
    assert batch.where.all()
    assert problem.answers(batch).sum(0).eq(1).all()
    assert problem.answers(batch)[-1].all()
    assert sum(len(b.lengths) for b in problem.tests(np.random.default_rng(0))) == 10_000


def test_very_long_lags_end_at_the_trigger():
    """2c: b, x or y, at least q distractors, e; one more distractor with probability 9/10; the target is the second."""
    q, p = 12, 7
    batch = make_batch(VeryLong(q, p), 2000)
    e, b, x, y = range(p, p + 4)
    target = ends(batch.target, batch).argmax(-1).tolist()
    more = []
    for read, answer in zip(symbols(batch), target, strict=True):
        assert read[0] == b
        assert read[1] in (x, y)
        assert read[-1] == e
        assert max(read[2:-1]) < p
        assert answer == read[1] - x
        more.append(len(read) - q - 3)
    assert min(more) == 0
    assert np.mean(more) == pytest.approx(
        9, abs=1.0
    )  # with the answer q + 13 symbols, of which the paper counts one more
    assert np.mean([k == 0 for k in more]) == pytest.approx(0.1, abs=0.02)
    assert uniform(Counter(k for one in symbols(batch)[:400] for k in one[2:-1]), range(p))
    assert batch.where.sum(0).eq(1).all()


# ---- 5.3


def test_the_sign_comes_first_and_noise_after_it():
    """3a: ±1 for N steps, then noise of mean 0 and variance 0.2; the target is 1 or 0, at the end."""
    batch = make_batch(TwoSequence(30, 2))
    x, target = batch.x[..., 0], ends(batch.target, batch)[:, 0]
    assert (x[:2] == torch.where(target == 1, 1.0, -1.0)).all()
    assert uniform(Counter(target.tolist()), (1.0, 0.0))
    rest = x[2:30]
    assert rest.mean().item() == pytest.approx(0, abs=0.015)
    assert rest.var().item() == pytest.approx(0.2, rel=0.04)
    assert abs(np.corrcoef(rest[0], target)[0, 1]) < 0.12
    assert torch.equal(batch.target, batch.truth)


def test_noise_on_the_signal():
    """3b: the first N have noise of variance 0.2 around ±1."""
    batch = make_batch(TwoSequence(30, 2, "3b"))
    sign = 2 * ends(batch.target, batch)[:, 0] - 1
    off = batch.x[:2, :, 0] - sign
    assert off.mean().item() == pytest.approx(0, abs=0.04)
    assert off.var().item() == pytest.approx(0.2, rel=0.15)


def test_noise_on_the_targets():
    """3c: 0.2 for class 1 and 0.8 for class 2, with noise of variance 0.1 in training, without it in judging."""
    batch = make_batch(TwoSequence(30, 2, "3c"))
    truth, target = ends(batch.truth, batch)[:, 0], ends(batch.target, batch)[:, 0]
    assert (truth == torch.where(batch.x[0, :, 0] == 1, 0.2, 0.8)).all()
    assert (target - truth).mean().item() == pytest.approx(0, abs=0.04)
    assert (target - truth).var().item() == pytest.approx(0.1, rel=0.2)


# ---- 5.4, 5.5


@pytest.mark.parametrize("problem", [Adding(40), Multiplication(40)], ids=["adding", "multiplication"])
def test_marked_numbers_make_the_target(problem):
    """Read again from x: marks 1 at two pairs, -1 at both ends; the target is their scaled sum, or their product."""
    batch = make_batch(problem)
    x, target, neutral = batch.x.double(), ends(batch.target, batch)[:, 0], float(isinstance(problem, Multiplication))
    seconds = []
    for b, length in enumerate(batch.lengths[:400].tolist()):
        number, mark = x[:length, b].T
        assert mark[0] == mark[-1] == -1
        places = (mark == 1).nonzero()[:, 0].tolist()
        assert set(mark[1:-1].tolist()) <= {0.0, 1.0}
        if len(places) == 1:  # a mark fell on the first pair
            assert number[0] == neutral
            places = [0, *places]
        assert len(places) == 2
        assert places[0] < 10
        assert places[1] < problem.T // 2
        one, two = number[places].tolist()
        expected = one * two if neutral else 0.5 + (one + two) / 4
        assert target[b].item() == pytest.approx(expected, abs=1e-6)
        seconds.append(places[1])
    assert problem.T - 1 - max(seconds) >= problem.lag
    numbers = x[1:40, :, 0]
    assert numbers.min() == pytest.approx(neutral - 1, abs=1e-3)
    assert numbers.max() == pytest.approx(1, abs=1e-3)
    assert numbers.mean().item() == pytest.approx(neutral / 2, abs=0.01)


def test_marks_are_uniform_over_their_places():
    """One of the first ten, and one of the first T/2 - 1 others: each pair as often as the draw says."""
    T, B = 40, 20_000
    marks = make_batch(Adding(T), B).x[..., 1] == 1
    share = marks.double().mean(1)
    among = T // 2 - 1
    expected = [  # at place k: the first mark there, or the second, given where the first is
        (k < 10) / 10 + sum((k != m) * (k <= among if m < k else k < among) / among for m in range(10)) / 10
        for k in range(1, T)
    ]
    assert np.allclose(share[1:T], expected, atol=0.012)
    assert marks.sum(0).min() == 1


def test_a_constant_answer_to_adding_has_the_stated_error():
    """0.5 has the mean square error 1/24, but for the rare first pair."""
    batch = make_batch(Adding(1000), 2000)
    error = (ends(batch.target, batch) - 0.5).square().mean().item()
    assert error == pytest.approx(1 / 24, rel=0.1)


# ---- 5.6, copying


@pytest.mark.parametrize(("relevant", "places"), [(2, (10, 50)), (3, (10, 33, 66))])
def test_temporal_order_is_the_order_of_x_and_y(relevant, places):
    """E, letters, X or Y at each place, B; the class counts X as 0 and Y as 1, the first one most."""
    batch = make_batch(TemporalOrder(relevant))
    kinds = ends(batch.target, batch).argmax(-1).tolist()
    positions = [[] for _ in places]
    for read, kind in zip(symbols(batch), kinds, strict=True):
        assert read[0] == 0
        assert read[-1] == 1
        at = [t for t, symbol in enumerate(read) if symbol >= 6]
        assert len(at) == relevant
        assert kind == int("".join(str(read[t] - 6) for t in at), 2)
        assert all(2 <= read[t] <= 5 for t in range(1, len(read) - 1) if t not in at)
        for where, t in zip(positions, at, strict=True):
            where.append(t + 1)
    for where, place in zip(positions, places, strict=True):
        assert uniform(Counter(where), range(place, place + 11))
    assert uniform(Counter(kinds), range(2**relevant))
    letters = Counter(k for one in symbols(batch)[:300] for k in one if 2 <= k <= 5)
    assert uniform(letters, range(2, 6))
    assert batch.where.sum(0).eq(1).all()


def test_copying_says_blanks_and_then_the_same():
    """Ten symbols, T - 1 blanks, the sign, ten blanks; the target is T + 10 blanks, then the ten."""
    T = 7
    batch = make_batch(Copying(T))
    for read, target in zip(symbols(batch), batch.target.argmax(-1).T.tolist(), strict=True):
        assert max(read[:10]) < 8
        assert read[10:] == [8] * (T - 1) + [9] + [8] * 10
        assert target == [8] * (T + 10) + read[:10]
    assert uniform(Counter(k for one in symbols(batch) for k in one[:10]), range(8))
