"""Pooling over steps, and convolutions, of sequences of unlike lengths: padding changes nothing."""

import pytest
import torch
from torch import nn

from gated._check import InputError
from gated.layers.convolution import Block, Convolutions, StepNorm
from gated.layers.pooling import KINDS, Pooling, mask

LENGTHS = torch.tensor([5, 1, 3, 0])


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_pooling_is_its_equations():
    """Mean, maximum, both ends and the weighted sum of a sequence's own steps."""
    pool = Pooling(4, KINDS)
    h = draw(5, 4, 4)
    y = pool(h, LENGTHS)
    for b, n in enumerate(LENGTHS.tolist()):
        own = h[:n, b]
        if n == 0:
            assert torch.equal(y[b], torch.zeros(16))
            continue
        a = torch.softmax(pool.vector(pool.project(own).tanh())[:, 0], 0)
        ends = torch.cat([own[-1, :2], own[0, 2:]])
        torch.testing.assert_close(y[b], torch.cat([own.mean(0), own.amax(0), ends, a @ own]))


def test_attention_sums_to_one():
    """The shares of the steps that exist sum to 1, those of the padding are 0."""
    a = Pooling(4).weights(draw(7, 4, 4), LENGTHS)
    torch.testing.assert_close(a.sum(0), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert not a[~mask(LENGTHS, 7)].any()


def test_an_unknown_kind_is_refused():
    """The error lists the kinds that there are."""
    with pytest.raises(InputError, match="one of 'mean', 'max'"):
        Pooling(4, ("median",))


BLOCKS = {
    "steps": (False, (Block(6, 5, 2), Block(6, 3), Block(6, 3))),
    "plane": (True, (Block(4, 3, 2, 2), Block(4, 3, 1, 1), Block(6, 3, 2, 2))),
}


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(("plane", "blocks"), BLOCKS.values(), ids=BLOCKS)
def test_padding_changes_nothing(plane, blocks, training):
    """More padding leaves outputs, gradients and running statistics as they are, whatever stands in it."""
    lengths, results = torch.tensor([9, 4, 7]), []
    for pad in (0, 11):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = Convolutions(8, blocks, plane).train(training)
        x = torch.zeros(3, 8, 9 + pad)
        x[..., :9] = draw(3, 8, 9) * mask(lengths, 9).T[:, None]
        y, steps = net(x, lengths)
        y.square().sum().backward()
        exists = mask(steps, len(y))
        assert not y[~exists].any()
        results.append([y[exists], steps, *(p.grad for p in net.parameters()), *net.buffers()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_a_sequence_alone_is_as_among_others():
    """In evaluation a sequence has the same features in a batch of one."""
    net, lengths = Convolutions(3, (Block(5, 7, 2), Block(5, 3))).eval(), torch.tensor([9, 4])
    x = draw(2, 3, 9) * mask(lengths, 9).T[:, None]
    y, steps = net(x, lengths)
    alone, own = net(x[1:, :, :4], lengths[1:])
    assert own.tolist() == [steps[1]] == [2]
    torch.testing.assert_close(y[:2, 1:], alone)


def test_norm_without_padding_is_that_of_torch():
    """StepNorm with all steps is BatchNorm, in training and then in evaluation; with a mask of ones too."""
    nets = theirs, ours, masked = nn.BatchNorm1d(4), StepNorm(4), StepNorm(4)
    x = draw(6, 4, 5)
    for training in (True, False):
        y = theirs.train(training)(x)
        torch.testing.assert_close(ours.train(training)(x), y)
        torch.testing.assert_close(masked.train(training)(x, torch.ones(6, 5)), y)
    for net in nets[1:]:
        torch.testing.assert_close(net.variance, theirs.running_var)
