"""The caching allocator: a block is used again only when nobody else can see it."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import gated
from gated.kernels.cpu import allocator

SHAPE = (1 << 10, 1 << 10)  # 4 MiB of float32
LIKE = torch.empty(0)


@pytest.fixture(autouse=True)
def nothing_cached() -> Iterator[None]:
    allocator.release()
    yield
    allocator.release()


def test_what_nobody_refers_to_is_used_again() -> None:
    """A block whose tensor is gone serves the next request of its size, in any shape and dtype."""
    first = allocator.empty(SHAPE, LIKE)
    place = first.data_ptr()
    del first
    again = allocator.empty((512, 1024), LIKE.double())
    assert again.data_ptr() == place
    assert again.dtype == torch.float64
    assert again.shape == (512, 1024)
    assert again.is_contiguous()


@pytest.mark.parametrize(
    "hold",
    [
        lambda t: t,
        lambda t: t[5:7, 3],
        lambda t: t.numpy(),
        lambda t: t.detach(),
        lambda t: t.untyped_storage(),
        lambda t: torch.utils.dlpack.to_dlpack(t),
        lambda t: (t.clone().requires_grad_() * t).sum(),  # t is saved for a backward pass
    ],
    ids=["tensor", "view", "array", "detached", "storage", "dlpack", "graph"],
)
def test_what_somebody_refers_to_is_not(hold) -> None:
    """A tensor, a view, an array, a storage or a graph keeps its block from being handed out."""
    tensor = allocator.empty(SHAPE, LIKE)
    place = tensor.data_ptr()
    held = hold(tensor)  # noqa: F841
    del tensor
    assert allocator.empty(SHAPE, LIKE).data_ptr() != place


def test_shared_memory_is_never_used_again() -> None:
    """What was moved to shared memory may be another process's by now."""
    tensor = allocator.empty(SHAPE, LIKE).share_memory_()
    place = tensor.data_ptr()
    del tensor
    assert allocator.empty(SHAPE, LIKE).data_ptr() != place


def test_little_and_too_much_are_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small results are the allocator's, and the cache stays below a bound."""
    allocator.empty((10, 10), LIKE)
    assert not allocator._blocks
    monkeypatch.setattr(allocator, "MAX_CACHE", 10 << 20)
    held = [allocator.empty(SHAPE, LIKE) for _ in range(5)]
    assert len(allocator._blocks) == 2
    assert len({t.data_ptr() for t in held}) == 5
    allocator.release()
    assert not allocator._blocks


def test_results_stay_what_they_were() -> None:
    """Outputs, states, traces and gradients of one call are not touched by the calls that follow."""
    layer = gated.LSTM(8, 64)
    x = torch.randn(64, 256, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def run(x: Tensor) -> list[Tensor]:
        y, (h, c), trace = layer(x, trace=True)
        return [y, h, c, trace[0][0]["f"], *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])]

    first = run(x)
    before = [value.detach().clone() for value in first]
    for scale in (2, 3, 4):
        run(x * scale)
    for value, old in zip(first, before, strict=True):
        assert torch.equal(value, old)
