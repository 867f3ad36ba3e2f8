"""Streams of data: a batch is a function of its number."""

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
