"""gated::scan takes its numbers from a graph, which may be a stranger's: each is checked before the core sees it."""

import pytest
import torch

from gated import InputError
from gated.cells import lstm
from gated.kernels.cpu import op
from gated.kernels.trace import trace

TEXT = str(trace(lstm()))
T, B, I, H = 4, 2, 3, 5
LONG = [-1, -4, -5, -100, -(2**31), -(2**62), -(2**63), 2**31, 2**62, 2**63 - 1]


def arguments(**other):
    """Arguments that fit, but for some."""
    W = [torch.randn(4 * H, I), torch.randn(4 * H, H), torch.randn(4 * H), torch.randn(4 * H)]
    fit = dict(text=TEXT, x=torch.randn(T, B, I), states=[], weights=W, lengths=None, seed=None, keep="")
    return fit | other


def scan(train=True, chunk=0, bf16=False, **other):
    return torch.ops.gated.scan.default(*arguments(**other).values(), train, chunk, bf16)


def scan_backward(chunk=0, **other):
    given = arguments(**{name: other.pop(name) for name in list(other) if name in arguments()})
    y, _, _, saved, bounds = torch.ops.gated.scan.default(*given.values(), True, 0, False)
    rest = dict(y=y, saved=saved, bounds=bounds, dy=None, dfinals=[None, None], dsaved=None, needs=[True] * 5) | other
    return torch.ops.gated.scan_backward.default(*given.values(), chunk, False, *rest.values())


def test_what_fits_is_computed():
    """The arguments of the other tests fail for what they change."""
    assert op.LIBRARY is not None
    assert scan()[0].shape == (T, B, H)
    assert scan(chunk=3)[4].shape == (1, 2, B, H)
    assert scan(chunk=2**31 - 1)[4].shape == (1, 1, B, H)
    assert [tuple(d.shape) for d in scan_backward()] == [(T, B, I), (20, 3), (20, 5), (20,), (20,)]


@pytest.mark.parametrize("chunk", LONG)
@pytest.mark.parametrize(
    "do", [scan, scan_backward, lambda chunk: scan(chunk=chunk, x=torch.randn(T, B, I).requires_grad_())]
)
def test_a_chunk_is_a_number_of_steps(do, chunk):
    """A negative or endless chunk is refused, forward, backward and where a gradient is recorded."""
    with pytest.raises(InputError, match=f"gated::scan chunk: expected a number from 0 to 2147483647, got {chunk}"):
        do(chunk=chunk)


W = arguments()["weights"]
BAD = {
    "one weight": dict(weights=W[:1]),
    "no weight": dict(weights=[]),
    "three weights": dict(weights=W[:3]),
    "a vector for a matrix": dict(weights=[W[2], *W[1:]]),
    "a matrix too tall": dict(weights=[torch.randn(4 * H + 1, I), *W[1:]]),
    "a matrix too narrow": dict(weights=[W[0], W[1][:, :1], *W[2:]]),
    "a bias too short": dict(weights=[*W[:3], W[3][:1]]),
    "no rows": dict(weights=[W[0][:0], W[1][:0], W[2][:0], W[3][:0]]),
    "x of two axes": dict(x=torch.randn(T, I)),
    "x of other features": dict(x=torch.randn(T, B, I + 1)),
    "x of whole numbers": dict(x=torch.zeros(T, B, I, dtype=torch.int64)),
    "x of another dtype": dict(x=torch.zeros(T, B, I, dtype=torch.float64)),
    "one state": dict(states=[torch.zeros(1, B, H)]),
    "three states": dict(states=[torch.zeros(1, B, H)] * 3),
    "states too small": dict(states=[torch.zeros(1, B, H), torch.zeros(1, 1, H)]),
    "lengths too long": dict(lengths=torch.tensor([T, T + 1])),
    "negative lengths": dict(lengths=torch.tensor([T, -(2**63)])),
    "few lengths": dict(lengths=torch.tensor([T])),
    "lengths in fractions": dict(lengths=torch.tensor([1.0, 2.0])),
    "seed": dict(seed=torch.tensor([1, 2, 3])),
    "names": dict(keep="nothing"),
    "program": dict(text=TEXT.replace("z.i", "z.x")),
    "no program": dict(text=""),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_does_not_fit_is_refused(what, device):
    """By one error that names it; a graph without numbers refuses wrong counts and axes too."""
    if device == "cpu":
        with pytest.raises((InputError, ValueError)):
            scan(**BAD[what])
        with pytest.raises((InputError, ValueError)):
            scan_backward(**BAD[what])
    elif what in ("one weight", "no weight", "a vector for a matrix", "x of two axes", "one state", "program"):
        moved = {
            name: [w.to("meta") for w in v] if isinstance(v, list) else v for name, v in arguments(**BAD[what]).items()
        }
        moved["x"] = moved["x"].to("meta")
        with pytest.raises(InputError):
            scan(**moved)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def shapes(values):
    """The names, and of tensors the shapes: the test's name."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    parts = {name: [list(v.shape) if torch.is_tensor(v) else v for v in value] for name, value in lists.items()}
    return " ".join(f"{name}={value}" for name, value in parts.items())


@pytest.mark.parametrize(
    "bad",
    [
        dict(y=noise(T, B, H - 1)),
        dict(y=noise(0)),
        dict(saved=noise(1, T, B, 1)),
        dict(saved=noise(0)),
        dict(dy=noise(T, B)),
        dict(dy=noise(T, B, H).double()),
        dict(dfinals=[None]),
        dict(dfinals=[None] * 3),
        dict(dfinals=[noise(1, B, H), noise(1, B, 1)]),
        dict(dsaved=noise(3)),
        dict(needs=[True]),
        dict(needs=[True] * 6),
        dict(chunk=2, bounds=noise(0)),
        dict(chunk=2, bounds=noise(1, 1, B, H)),
        dict(chunk=1, bounds=noise(1, 2, B, H)),
    ],
    ids=shapes,
)
def test_a_backward_pass_takes_what_the_forward_pass_gave(bad):
    """Results and gradients of other sizes, and other counts, are refused."""
    with pytest.raises(InputError, match=r"native|gated::scan_backward"):
        scan_backward(**bad)
