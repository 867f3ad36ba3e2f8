"""Warps of lines of print, which are still the lines."""

import numpy as np
import pytest
import torch

from gated.io import images
from gated.tasks.transcribe import augment
from made.prints import drawn, least, likeness, saved


@pytest.fixture
def plain(tmp_path):
    return images.columns(saved(tmp_path, drawn(), "plain.png"))


@pytest.fixture
def batch(plain):
    """Three lines of other lengths, and those lengths."""
    lengths = torch.tensor([plain.shape[1], 300, 41])
    x = torch.zeros(3, *plain.shape)
    for line, length in zip(x, lengths.tolist(), strict=True):
        line[:, :length] = torch.from_numpy(plain[:, :length])
    return x, lengths


def test_a_little_strength_changes_a_little(batch):
    """As the strength goes to 0 the warp goes to the identity."""
    x, lengths = augment.warp(*batch, np.random.default_rng(0), strength=1e-4)
    assert torch.equal(lengths, batch[1])
    torch.testing.assert_close(x, batch[0], rtol=0, atol=5e-3)


def test_a_warp_depends_on_its_seed_alone(batch):
    """The same seed or generator gives the same lines, another gives others; no global state is read or moved."""
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    x, _ = augment.warp(*batch, np.random.default_rng(7))
    again, _ = augment.warp(*batch, np.random.default_rng(7))
    other, _ = augment.warp(*batch, np.random.default_rng(8))
    assert torch.equal(x, again)
    assert x.shape != other.shape or not torch.equal(x, other)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_a_generator_goes_on(batch):
    """Two warps from one generator differ."""
    rng = np.random.default_rng(0)
    assert not torch.equal(augment.warp(*batch, rng)[1], augment.warp(*batch, rng)[1])


@pytest.mark.parametrize("seed", range(5))
def test_padding_stays_empty_and_ink_is_ink(seed, batch):
    """Beyond a line's new length all is 0 exactly, the widest line fills the columns, and ink lies in [0, 1]."""
    given = batch[0].clone()
    x, lengths = augment.warp(*batch, np.random.default_rng(seed))
    assert torch.equal(given, batch[0])
    assert x.dtype == torch.float32
    assert x.shape == (3, 32, int(lengths.max()))
    assert lengths.dtype == batch[1].dtype
    for line, length in zip(x, lengths.tolist(), strict=True):
        assert not line[:, length:].any()
        assert line[:, :length].any()
    assert 0 <= x.min() <= x.max() <= 1
    assert ((lengths - batch[1]).abs() <= 0.1 * batch[1] + 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_warped_line_is_still_the_line(seed, batch):
    """What was warped looks like what it was: stretched back it correlates with it, and no two lines alike."""
    x, lengths = augment.warp(*batch, np.random.default_rng(seed))
    like = likeness(batch[0][0].numpy(), x[0, :, : lengths[0]].numpy())
    assert 0.5 < like < 0.995
    assert x[0].sum() > 0.3 * batch[0][0].sum()


def test_a_line_does_not_see_its_neighbours(batch):
    """What another line of the batch holds changes nothing."""
    other = batch[0].clone()
    other[1, :, :300] = 1 - other[1, :, :300]
    x, y = augment.warp(*batch, np.random.default_rng(3))[0], augment.warp(other, batch[1], np.random.default_rng(3))[0]
    assert torch.equal(x[[0, 2]], y[[0, 2]])
    assert not torch.equal(x[1], y[1])


@pytest.mark.parametrize("shape", [(1, 32, 1), (2, 1, 9), (4, 64, 5)])
def test_a_warp_takes_lines_of_any_size(shape):
    """One column, one row, more rows than columns: all come back finite."""
    x, lengths = augment.warp(torch.ones(shape), torch.full(shape[:1], shape[2]), np.random.default_rng(0))
    assert x.isfinite().all()
    assert len(lengths) == len(x)


def test_warping_takes_milliseconds():
    """Eight lines of 32 by 800 pixels take less than 15 ms."""
    x, lengths = torch.rand(8, 32, 800), torch.full((8,), 800)

    assert least(lambda: augment.warp(x, lengths, np.random.default_rng(0))) < 0.015
