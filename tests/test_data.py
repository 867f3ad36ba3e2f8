"""Streams of data: a batch is a function of its number."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gated import InputError, data


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 30), st.integers(0, 3))
def test_every_example_comes_once_a_pass(count, batch, seed):
    """Any `count` indices in a row from the start of a pass are a permutation, whatever the batch size."""
    indices = data.shuffled(count, batch, seed)
    flow = torch.cat([indices(n) for n in range(-(-3 * count // batch))])
    for epoch in range(3):
        assert flow[epoch * count : (epoch + 1) * count].sort().values.tolist() == list(range(count))


def test_passes_and_seeds_differ_in_their_order():
    """Two passes, and two seeds, do not repeat one order."""
    a, b = data.shuffled(50, 50, 0), data.shuffled(50, 50, 1)
    assert not torch.equal(a(0), a(1))
    assert not torch.equal(a(0), b(0))


def test_a_batch_is_a_function_of_its_number():
    """Asked out of order, twice, or by another stream of one seed, batch n is the same, and it is the caller's own."""
    a, b = data.shuffled(7, 3, 5), data.shuffled(7, 3, 5)
    late = a(40)
    for n in (0, 9, 2, 40):
        a(n).zero_()
    assert torch.equal(late, b(40))
    assert torch.equal(a(9), b(9))


def test_two_halves_are_one_batch():
    """Batches 2n and 2n + 1 of b rows are batch n of 2b rows."""
    half, whole = data.shuffled(11, 3), data.shuffled(11, 6)
    for n in range(8):
        assert torch.equal(torch.cat([half(2 * n), half(2 * n + 1)]), whole(n))


def test_the_callers_generators_are_not_touched():
    """Shuffling draws from a generator of its own."""
    before = torch.get_rng_state()
    data.shuffled(10, 4)(3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("k", [1, 4, 7, 100])
def test_streams_read_every_row_once_a_pass_in_order(k):
    """The pieces of a pass, joined, are the rows of the sequence; y is x one step later; `first` marks each start."""
    sequence = torch.arange(47)
    chunk = data.streams(sequence, batch=3, k=k)
    length = 47 // 3
    pieces = -(-(length - 1) // k)
    rows = sequence[: 3 * length].reshape(3, length).T
    for start in (0, pieces):
        chunks = [chunk(start + n) for n in range(pieces)]
        assert torch.equal(torch.cat([c.x for c in chunks]), rows[:-1])
        assert torch.equal(torch.cat([c.y for c in chunks]), rows[1:])
        assert [c.first for c in chunks] == [True] + [False] * (pieces - 1)


@pytest.mark.parametrize(("parts", "k"), [(1, 5), (2, 7)])
def test_streams_with_a_seed_begin_each_epoch_elsewhere(parts, k):
    """Each row goes on from chunk to chunk of an epoch, y is x a step later, and the next epoch begins elsewhere."""
    sequence = torch.arange(100)
    chunk, rows = data.streams(sequence, 2, k, parts, seed=3), 2 * parts
    epoch = -(-(100 // rows - 1) // k)
    starts = []
    for e in range(3):
        for part in range(parts):
            chunks = [chunk((e * epoch + row) * parts + part) for row in range(epoch)]
            assert [one.first for one in chunks] == [True] + [False] * (epoch - 1)
            x, y = (torch.cat([getattr(one, name) for one in chunks]) for name in "xy")
            assert torch.equal(y[:-1], x[1:])
            assert torch.equal((x[1:] - x[:-1]) % 100, torch.ones_like(x[1:]))
            assert len(x) == 100 // rows - 1
            starts += x[0].tolist()
    assert len(set(starts)) > rows
    assert torch.equal(chunk(4).x, data.streams(sequence, 2, k, parts, seed=3)(4).x)


def test_parts_of_a_step_are_the_rows_of_one_larger_batch():
    """Two parts of b rows side by side are one part of 2b rows, at every piece."""
    sequence = torch.randn(50, 2)
    half, whole = data.streams(sequence, 2, 5, parts=2), data.streams(sequence, 4, 5)
    for n in range(5):
        both = torch.cat([half(2 * n).x, half(2 * n + 1).x], 1)
        assert torch.equal(both, whole(n).x)
        assert half(2 * n).first == half(2 * n + 1).first == whole(n).first


def test_too_little_data_is_refused():
    """Sizes of nothing, and sequences shorter than two steps a row, are errors that say so."""
    with pytest.raises(InputError, match="shuffled count: expected a number of at least 1, got 0"):
        data.shuffled(0, 2)
    with pytest.raises(InputError, match="expected at least 20 steps for 10 rows, got 19"):
        data.streams(torch.zeros(19), 10, 3)


# ---- batches of like length

LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=60)


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(1, 120), st.integers(0, 3), st.sampled_from([0.0, 3.0]))
def test_every_example_comes_once_an_epoch_within_the_budget(lengths, budget, seed, jitter):
    """An epoch holds every example once, whatever the jitter; padded by true lengths no batch passes the budget."""
    batch, count = data.bucketed(lengths, budget, seed, jitter)
    for epoch in range(3):
        groups = [batch(epoch * count + n) for n in range(count)]
        assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
        if not jitter:
            assert all(len(g) == 1 or max(lengths[k] for k in g) * len(g) <= budget for g in groups)
    assert sorted(map(len, groups)) == sorted(map(len, data.split(lengths, budget)))


def test_bucketed_batches_are_of_like_length_and_differ_by_epoch_and_seed():
    """Lengths in a batch are neighbours in order; epochs come in another order, and with jitter in other company."""
    lengths = np.random.default_rng(0).integers(1, 1000, 200)
    batch, count = data.bucketed(lengths, 3000, jitter=30.0)
    spans = sorted((lengths[g].min(), lengths[g].max()) for g in map(batch, range(count)))
    assert all(high - 60 <= low for (_, high), (low, _) in itertools.pairwise(spans))
    assert [len(batch(n)) for n in range(count)] != [len(batch(n)) for n in range(count, 2 * count)]
    company = [{frozenset(batch(n)) for n in range(k * count, (k + 1) * count)} for k in (0, 1)]
    assert company[0] != company[1]
    other, _ = data.bucketed(lengths, 3000, 1, jitter=30.0)
    assert any(batch(n).tolist() != other(n).tolist() for n in range(count))


def test_a_bucketed_batch_is_a_function_of_its_number():
    """Asked in any order, and far ahead, batch n is the same."""
    lengths = list(range(40))
    a, b = (data.bucketed(lengths, 100, 2, 5.0)[0] for _ in range(2))
    late = a(1000).tolist()
    assert [a(n).tolist() for n in (5, 0, 70)] == [b(n).tolist() for n in (5, 0, 70)]
    assert b(1000).tolist() == late


def test_lengths_may_change_from_epoch_to_epoch():
    """`redraw` gives an epoch's own lengths; batches are as many and as large, and hold what is alike in that epoch."""
    first = np.array([1, 2, 3, 10, 20, 30])
    batch, count = data.bucketed(first, 30, redraw=lambda epoch: first if epoch == 0 else first[::-1])
    company = [{frozenset(batch(n).tolist()) for n in range(k * count, (k + 1) * count)} for k in (0, 1)]
    assert company[1] == {frozenset(5 - k for k in group) for group in company[0]}
    assert company[0] != company[1]


def test_split_breaks_ties_by_the_second_length_and_keeps_order():
    """Rows come short ones first, equals by the second length, then as they stood."""
    lengths = np.array([[2, 2], [2, 1], [1, 1], [2, 1]])
    assert [g.tolist() for g in data.split(lengths, 4)] == [[2, 1], [3, 0]]
    assert [g.tolist() for g in data.split([9, 1], 1)] == [[1], [0]]


def test_groups_are_planned_by_epoch_and_shuffled():
    """plan is asked once an epoch, with a generator of its own; the epoch's groups come in a shuffled order."""
    epochs = []

    def plan(epoch, rng):
        epochs.append(epoch)
        return [(epoch, k, rng.random()) for k in range(30)]

    group = data.grouped(plan, 30, 4)
    found = [group(n) for n in range(60)]
    assert epochs == [0, 1]
    assert [sorted(k for _, k, _ in part) for part in (found[:30], found[30:])] == [list(range(30))] * 2
    assert [k for _, k, _ in found[:30]] != [k for _, k, _ in found[30:]] != list(range(30))
    assert found[0] == data.grouped(plan, 30, 4)(0)


# ---- examples


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(0, 50))
def test_what_is_held_out_is_the_rest(count, held):
    """Both parts are in order and make all together; the held-out part is as large as asked, and always the same."""
    rest, out = data.hold_out(count, held)
    assert len(out) == min(held, count)
    assert (rest, out) == (sorted(rest), sorted(out))
    assert sorted(rest + out) == list(range(count))
    assert data.hold_out(count, held) == (rest, out)


def test_padded_sequences_are_columns():
    """Each stands at the top of its column, the value below it."""
    assert data.pad([[1, 2], [], [3]], -1).tolist() == [[1, -1, 3], [2, -1, -1]]
    assert data.pad([]).shape == (0, 0)
    assert data.pad([[], []]).shape == (0, 2)
