"""When a problem of long time lags counts as solved: predictors a little within the criterion, and a little beyond."""

import numpy as np
import pytest

from gated.problems import (
    Adding,
    Copying,
    Criterion,
    Multiplication,
    NoiseFree,
    NoRegularities,
    TemporalOrder,
    TwoSequence,
    VeryLong,
)  # fmt: skip


def test_a_criterion_looks_at_the_last_n():
    """It holds when of the last n fewer than so many are wrong and their mean error is small enough; not before n."""
    criterion = Criterion(10, fewer=3, mean=0.5)
    right, fine = np.zeros(10, bool), np.full(10, 0.4, np.float32)
    assert criterion.holds(right, fine)
    assert not criterion.holds(right[:9], fine[:9])
    for count, expected in ((2, True), (3, False)):
        wrong = right.copy()
        wrong[:count] = True
        assert criterion.holds(wrong, fine) == expected
    assert not criterion.holds(right, np.full(10, 0.5, np.float32))
    before = np.ones(5, bool), np.full(5, 9, np.float32)
    assert criterion.holds(np.concatenate([before[0], right]), np.concatenate([before[1], fine]))
    assert not criterion.holds(np.concatenate([right, before[0]]), np.concatenate([fine, before[1]]))


def verdict(problem, predict):
    """Does a predictor of (B,) batches fulfil the criterion, over as many new sequences as it asks for?"""
    rng, criterion = np.random.default_rng(5), problem.criterion
    batches = (
        problem.tests(rng) if criterion.on == "test" else (problem.batch(rng, 250) for _ in range(criterion.n // 250))
    )
    results = [problem.judge(batch, predict(batch)) for batch in batches]
    return criterion.holds(np.concatenate([w for w, _ in results]), np.concatenate([e for _, e in results]))


def shifted(by, every=1):
    """The truth, with the first output of every so-manieth sequence moved."""

    def predict(batch):
        y = batch.truth.clone()
        y[:, ::every, 0] += by
        return y

    return predict


@pytest.mark.parametrize(
    ("problem", "passes", "fails"),
    [
        (Adding(30), shifted(0.0099), shifted(0.0101)),  # the mean error
        (Adding(30), shifted(0.039, 50), shifted(0.041, 250)),  # eight wrong ones of 2,000
        (TemporalOrder(2), shifted(0.09), shifted(0.11)),
        (TemporalOrder(3), shifted(0.29, 50), shifted(0.31, 250)),
        (Multiplication(30), shifted(0.041, 18), shifted(0.041, 12)),  # 112 and 168 of 2,000
        (Multiplication(30, 13), shifted(0.041, 250), shifted(0.041, 100)),  # 8 and 24
        (TwoSequence(30), shifted(0.19), shifted(0.21, 256)),
        (TwoSequence(30, ST=2), shifted(0.0099), shifted(0.0101)),
        (TwoSequence(30, task="3b"), shifted(0.21, 52), shifted(0.21, 43)),  # 5 and 6 of 256
        (TwoSequence(30, task="3b", ST=2), shifted(0.039), shifted(0.041)),
        (TwoSequence(30, task="3c"), shifted(0.0149), shifted(0.0151)),
        (TwoSequence(30, task="3c"), shifted(0.099, 8), shifted(0.101, 256)),
        (NoiseFree(10), shifted(0.24), shifted(0.26)),
        (NoRegularities(10), shifted(0.24), shifted(0.26, 256)),
        (VeryLong(10, 5), shifted(0.19), shifted(0.21, 256)),
        (Copying(5), shifted(0.49), shifted(0.51, 250)),
    ],
)  # fmt: skip
def test_criteria_hold_just_so_and_fail_just_so(problem, passes, fails):
    """A predictor a little within the paper's bound passes, one a little beyond it fails."""
    assert verdict(problem, passes)
    assert not verdict(problem, fails)
