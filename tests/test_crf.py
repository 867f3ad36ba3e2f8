"""The conditional random field: every number equals a sum or a maximum over all paths, written out."""

import itertools

import pytest
import torch

from gated._check import InputError
from gated.layers.crf import CRF

INFINITE = float("inf")


def make(tags, dtype=torch.float64, seed=0, masked=False, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    masks = []
    if masked:  # tag 0 may always be taken, so that there is a path
        masks = [torch.rand(*size, generator=generator) < 0.6 for size in ((tags, tags), (tags,), (tags,))]
        masks[0][0], masks[0][:, 0], masks[1][0], masks[2][0] = True, True, True, True
    crf = CRF(tags, *masks).to(dtype)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return crf


def enumerate_paths(crf, scores):
    """All paths of one sequence (T, K), with their scores: a tensor of each."""
    T, K = scores.shape
    no = -INFINITE
    A = crf.transitions.masked_fill(~crf.allowed, no)
    start, end = crf.start.masked_fill(~crf.allowed_start, no), crf.end.masked_fill(~crf.allowed_end, no)
    paths, values = [], []
    for path in itertools.product(range(K), repeat=T):
        value = scores.new_zeros(())
        if T:
            value = start[path[0]] + end[path[-1]] + sum(scores[t, k] for t, k in enumerate(path))
            value = value + sum((A[i, j] for i, j in itertools.pairwise(path)), start=0)
        paths.append(path)
        values.append(value)
    return torch.tensor(paths).reshape(-1, T), torch.stack(values)


SIZES = [(1, 1), (1, 4), (4, 1), (2, 3), (5, 3), (4, 5)]
CASES = [(T, K, masked) for T, K in SIZES for masked in (False, True)]
IDS = [f"T{T}-K{K}{'-masked' if masked else ''}" for T, K, masked in CASES]


@pytest.mark.parametrize(("T", "K", "masked"), CASES, ids=IDS)
def test_loss_marginals_and_paths_equal_enumeration(T, K, masked):
    """Loss, marginals, the best path and the n best are those of a list of all paths."""
    crf = make(K, masked=masked)
    scores = torch.randn(T, 1, K, dtype=torch.float64)
    paths, values = enumerate_paths(crf, scores[:, 0])
    log_p = values.detach().log_softmax(0)
    for path, expected in list(zip(paths, -log_p, strict=True))[:40]:
        torch.testing.assert_close(crf(scores, path[:, None])[0].detach(), expected)
    one_hot = torch.nn.functional.one_hot(paths, K).double()
    torch.testing.assert_close(crf.marginals(scores)[:, 0], (log_p.exp()[:, None, None] * one_hot).sum(0))
    order = log_p.argsort(descending=True)
    N = min(7, int((log_p > -INFINITE).sum()))
    tags, best = crf.n_best(scores, count=N + 1)
    assert torch.equal(tags[:N, :, 0], paths[order[:N]])
    torch.testing.assert_close(best[:N, 0], log_p[order[:N]])
    assert torch.equal(crf.decode(scores)[:, 0], paths[order[0]])


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_equal_differences(masked):
    """Gradients by scores, transitions, start and end are those of differences, and those of an enumeration."""
    crf = make(3, masked=masked)
    scores = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    tags, lengths = torch.zeros(4, 2, dtype=torch.int64), torch.tensor([4, 2])

    def loss(scores, *parameters):
        return torch.func.functional_call(crf, dict(zip(("transitions", "start", "end"), parameters, strict=True)),
                                          (scores, tags, lengths))  # fmt: skip

    assert torch.autograd.gradcheck(loss, (scores, crf.transitions, crf.start, crf.end))


def test_a_padded_batch_equals_its_sequences():
    """A sequence in a batch, whatever is behind its end, is the sequence alone; one of no steps has loss 0."""
    crf = make(4)
    lengths = torch.tensor([5, 0, 1, 3])
    scores = torch.randn(5, 4, 4, dtype=torch.float64)
    tags = torch.randint(4, (5, 4))
    for b, n in enumerate(lengths.tolist()):
        scores[n:, b], tags[n:, b] = float("nan"), -100
    loss, best, p = crf(scores, tags, lengths), crf.decode(scores, lengths), crf.marginals(scores, lengths)
    for b, n in enumerate(lengths.tolist()):
        one = (scores[:n, b : b + 1], tags[:n, b : b + 1])
        torch.testing.assert_close(loss[b : b + 1], crf(*one))
        assert torch.equal(best[:n, b : b + 1], crf.decode(one[0]))
        assert (best[n:, b] == -1).all()
        torch.testing.assert_close(p[:n, b : b + 1], crf.marginals(one[0]))
        assert (p[n:, b] == 0).all()
    assert loss[1] == 0
    loss.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in crf.parameters())


def test_no_sequences_and_no_steps():
    """A batch of nothing has no losses; steps of nothing have losses of 0."""
    crf = make(3)
    for T, B in ((0, 2), (3, 0), (0, 0)):
        scores = torch.zeros(T, B, 3, dtype=torch.float64)
        assert crf(scores, torch.zeros(T, B, dtype=torch.int64)).tolist() == [0.0] * B
        assert crf.decode(scores).shape == crf.marginals(scores).shape[:2] == (T, B)


@pytest.mark.parametrize("size", [300.0, 3000.0])
def test_scores_far_beyond_exponentials(size):
    """Scores whose exponentials no double holds give the same as logarithms of sums, and finite gradients."""
    crf = make(3, scale=size, masked=True)
    scores = (size * torch.randn(5, 1, 3, dtype=torch.float64)).requires_grad_()
    paths, values = enumerate_paths(crf, scores[:, 0])
    path = paths[values.argmax()]
    expected = values.logsumexp(0) - values.max()
    loss = crf(scores, path[:, None])[0]
    torch.testing.assert_close(loss, expected)
    inputs = (scores, crf.transitions, crf.start, crf.end)
    for mine, theirs in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        assert torch.isfinite(mine).all()
        torch.testing.assert_close(mine, theirs.nan_to_num(), atol=1e-9, rtol=1e-9)


def test_float32_equals_float64():
    """Scores and weights in single precision give the sums of double precision, rounded."""
    single, double = make(6, torch.float32), make(6)
    scores, tags = torch.randn(200, 2, 6), torch.randint(6, (200, 2))
    loss = single(scores, tags)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), double(scores.double(), tags), rtol=1e-5, atol=0)
    assert torch.equal(single.decode(scores), double.decode(scores.double()))


def test_what_is_not_allowed_has_probability_0():
    """A forbidden path has an infinite loss, and its tags never come out, however high their scores."""
    crf = CRF(3, allowed=torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 1]]).bool(), start=torch.tensor([1, 1, 0]).bool())
    scores = torch.zeros(6, 1, 3)
    scores[..., 2] = 1000.0
    scores[2, 0, 0] = 5000.0
    path = crf.decode(scores)[:, 0].tolist()
    assert path[0] != 2
    assert (0, 2) not in itertools.pairwise(path)
    assert crf(scores, torch.full((6, 1), 2)).item() == INFINITE


@pytest.mark.parametrize(
    ("K", "tag", "lengths", "part"),
    [
        (4, 0, (3, 1), "shape"),
        (3, 3, (3, 1), "tags from 0 to 2, got \\[3, 3, 3, 3\\]"),
        (3, -100, (3, 1), "tags from 0 to 2"),
        (3, 0, (4, 1), "from 0 to 3"),
        (3, 0, (-1, 1), "from 0 to 3"),
    ],
)
def test_a_mistake_is_one_error(K, tag, lengths, part):
    """Shapes, tags and lengths that do not fit are refused before the core reads anything."""
    with pytest.raises(InputError, match=part):
        make(3, torch.float32)(torch.zeros(3, 2, K), torch.full((3, 2), tag), torch.tensor(lengths))
