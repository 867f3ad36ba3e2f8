"""Streams: a layer's evaluation, one step after another."""

import gc
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from torch import Tensor

from gated._check import InputError
from gated.cells import cell, relu, sigmoid, tanh
from gated.layers import GRU, LSTM, RNN, Recurrent
from made.layers import NOISY, VARIANTS, close, parts


@cell(gates="f c o", states="h c n", input_only="o", vectors="a", recur="map")
def own(z, s, p):
    """A cell of a user's: three states, one of which never changes, and a map of its own."""
    f = sigmoid(z.f + p.map(s.h) * s.n)
    c = f * s.c + (1 - f) * tanh(z.c * p.a)
    return dict(h=relu(z.o) * c, c=c, n=s.n)


@cell(gates="i", states="h")
def sine(z, s):
    """A cell that the native core has no words for."""
    return dict(h=torch.sin(z.i))


LONE = {
    "without bias": lambda I, H, **how: LSTM(I, H, forget_gate=False, bias=False, **how),
    "wide": lambda I, H, **how: LSTM(7, 35, **how),
    "three states": lambda I, H, **how: Recurrent(own, I, H, **how),
    "sine": lambda I, H, **how: Recurrent(sine, I, H, **how),
    "loop": lambda I, H, **how: GRU(I, H, path="loop", zoneout=0.1, **how),
}
STACKS = {
    "two": lambda I, H, **how: LSTM(I, H, 2, **how),
    "three": lambda I, H, **how: GRU(I, H, 3, dropout=0.5, batch_first=True, **how),
    "widths": lambda I, H, **how: LSTM(I, [4, 9, 2], **how),
    "residual": lambda I, H, **how: GRU(I, H, 3, residual=True, dropout=0.5, **how),
    "residual, projected": lambda I, H, **how: LSTM(I, H, 3, residual=True, proj_size=2, **how),
    "residual, loop": lambda I, H, **how: LSTM(I, H, 3, residual=True, path="loop", **how),
}
ALL = VARIANTS | {"zoneout": NOISY["zoneout"]} | LONE | STACKS
kinds = pytest.mark.parametrize("kind", ALL)
some = pytest.mark.parametrize("kind", ["LSTM", "GRU", "sine", "widths", "residual"])


def make(kind, dtype=torch.float64):
    """The layer in training, where it makes noise, with weights far from zero."""
    layer = ALL[kind](3, 5, dtype=dtype)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(torch.randn_like(weight) / 4)
    return layer


def whole(layer, x, hx=None):
    """What the layer gives of x (T, B, I) in evaluation."""
    layer.eval()
    x = x.transpose(0, 1) if layer.batch_first else x
    with torch.no_grad():
        y, last = layer(x, hx)
    layer.train()
    return y.transpose(0, 1) if layer.batch_first else y, last


def pushed(stream, x):
    """Each step of x (T, B, I), or (T, I), by itself."""
    return torch.stack([stream.push(step).clone() for step in x])


@kinds
@pytest.mark.parametrize("batch", [1, 3, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_streamed_equals_whole(kind, batch, dtype):
    """Step by step, as a tensor or an array, a stream gives the layer's evaluation and its last states."""
    layer, x = make(kind, dtype), torch.randn(7, batch, ALL[kind](3, 5).input_size, dtype=dtype)
    y, last = whole(layer, x)
    for stream, convert in ((layer.stream(batch), lambda a: a), (layer.stream(batch), lambda a: a.numpy())):
        found = [torch.as_tensor(stream.push(convert(step))).clone() for step in x]
        close(torch.stack(found), y, 1e-12 if dtype == torch.float64 else 2e-6)
        close(stream.state, last, 1e-12 if dtype == torch.float64 else 2e-6)
    assert layer.training


@kinds
def test_blocks_in_any_cut_equal_pushes(kind):
    """A sequence cut anywhere, into single steps, blocks and empty blocks, gives one and the same."""
    layer = make(kind)
    x = torch.randn(12, 3, layer.input_size, dtype=torch.float64)
    y, last = whole(layer, x)
    for cuts in ([12], [5, 0, 7], [1, 1, 10], [0, 11, 1]):
        stream, found = layer.stream(3), []
        for part in x.split(cuts):
            part = part.transpose(0, 1) if layer.batch_first else part
            given = stream.push_block(part.numpy() if len(cuts) == 3 else part)
            found.append(torch.as_tensor(given))
        joined = torch.cat(found, 1).transpose(0, 1) if layer.batch_first else torch.cat(found)
        close(joined, y)
        close(stream.state, last)


@pytest.mark.parametrize("kind", ["LSTM", "residual"])
def test_a_long_block_goes_in_pieces(kind):
    """A block of any length, and of rows too wide for one piece, equals the whole."""
    layer = make(kind)
    for steps, batch in ((4000, 2), (3, 6000)):
        x = torch.randn(steps, batch, 3, dtype=torch.float64)
        close(layer.stream(batch).push_block(x), whole(layer, x)[0], 1e-10)


@some
def test_what_is_given_has_the_kind_and_the_axes_of_what_came(kind):
    """Array for array, tensor for tensor; for batch 1 without the axis of the batch where it came without."""
    layer = make(kind, torch.float32)
    I, P, x = layer.input_size, layer.stack.widths[-1]["h"], torch.randn(4, 1, layer.input_size)
    y, _ = whole(layer, x)
    for form, shape in ((lambda a: a[:, 0], (P,)), (lambda a: a, (1, P))):
        stream = layer.stream()
        for t in range(0, 4, 2):
            one, two = form(x)[t], form(x)[t + 1].numpy()
            tensor = stream.push(one)
            assert isinstance(tensor, Tensor)
            assert tensor.shape == shape
            close(tensor.flatten(), y[t, 0], 2e-6)
            array = stream.push(two)
            assert isinstance(array, np.ndarray)
            assert array.shape == shape
            assert array.dtype == np.float32
            close(torch.as_tensor(array).flatten(), y[t + 1, 0], 2e-6)
    alone = layer.stream().push_block(x[:, 0].numpy())
    assert isinstance(alone, np.ndarray)
    assert alone.shape == (4, P)
    close(torch.as_tensor(alone), y[:, 0], 2e-6)
    assert layer.stream().push_block(x.new_zeros(0, 1, I)).shape == (0, 1, P)


@some
def test_input_may_lie_anyhow(kind):
    """Strided, reversed, expanded, negated and read-only input counts by its numbers; NumPy's and torch's."""
    layer = make(kind)
    I = layer.input_size
    z = torch.randn(4, 3, I, dtype=torch.complex128)
    fixed = np.array(z.real.numpy())
    fixed.flags.writeable = False
    lying = {
        "strided": torch.randn(4, I, 3, dtype=torch.float64).mT,
        "expanded": torch.randn(4, 1, I, dtype=torch.float64).expand(4, 3, I),
        "negated": z.conj().imag,
        "every second": torch.randn(4, 6, 2 * I, dtype=torch.float64)[:, ::2, ::2],
        "reversed": torch.randn(4, 3, I, dtype=torch.float64).numpy()[::-1, ::-1, ::-1],
        "read-only": fixed,
    }
    for x in lying.values():
        dense = torch.tensor(x.tolist(), dtype=torch.float64)
        y, _ = whole(layer, dense)
        stream = layer.stream(3)
        close(torch.stack([torch.as_tensor(stream.push(step)).clone() for step in x]), y)
        close(torch.as_tensor(layer.stream(3).push_block(x)), y)
    z = torch.randn(4, 1, 1, dtype=torch.complex128).conj().imag
    one = RNN(1, 2, dtype=torch.float64)
    close(pushed(one.stream(), z), whole(one, z.resolve_neg())[0])


@pytest.mark.parametrize("batch", [1, 3, 17])
@pytest.mark.parametrize(
    "build", [lambda: LSTM(6, 6), lambda: GRU(6, 6, 2, residual=True), lambda: RNN(6, 6, path="loop")]
)
def test_the_output_may_go_back_in(batch, build):
    """h = push(h), over the very memory that push writes, equals a loop over copies."""
    layer, first = build(), torch.randn(batch, 6)
    for convert in (lambda a: a, lambda a: a.numpy()):
        live, copied = layer.stream(batch), layer.stream(batch)
        h, k = convert(first), first
        for _ in range(5):
            h, k = live.push(h), copied.push(k).clone()
            close(torch.as_tensor(h), k, 0)


def test_the_next_push_overwrites_what_a_push_gave():
    """A push gives the same array, or tensor, every time; a block's is the caller's own."""
    stream, x = LSTM(3, 5).stream(), torch.randn(3)
    for given in (x, x.numpy()):
        assert stream.push(given) is stream.push(given)
    block = stream.push_block(x[None])
    before = block.clone()
    stream.push(x + 1)
    assert torch.equal(block, before)


@kinds
def test_reset_begins_anew(kind):
    """After reset a stream gives what it gave first, to the bit."""
    layer = make(kind)
    stream, x = layer.stream(2), torch.randn(5, 2, layer.input_size, dtype=torch.float64)
    first = pushed(stream, x)
    assert any(bool(state.any()) for state in parts(stream.state))
    stream.reset()
    assert not any(bool(state.any()) for state in parts(stream.state))
    assert torch.equal(pushed(stream, x), first)


@kinds
def test_a_state_read_and_written_continues(kind):
    """A stream goes on from another's state or a layer's, and a layer from a stream's."""
    layer = make(kind)
    x = torch.randn(9, 2, layer.input_size, dtype=torch.float64)
    y, last = whole(layer, x)
    one, two, three = (layer.stream(2) for _ in range(3))
    pushed(one, x[:4])
    two.state = one.state
    three.state = whole(layer, x[:4])[1]
    for stream in (one, two, three):
        close(pushed(stream, x[4:]), y[4:])
        close(stream.state, last)
    one.reset()
    pushed(one, x[:4])
    close(whole(layer, x[4:], one.state)[0], y[4:])


@pytest.mark.parametrize("layers", [1, 2])
def test_states_are_copies_both_ways(layers):
    """Neither what was read nor what was written changes with the stream, and it does not change with them."""
    layer = LSTM(3, 5, layers, dtype=torch.float64)
    stream, x = layer.stream(), torch.randn(4, 3, dtype=torch.float64)
    pushed(stream, x)
    read = stream.state
    kept = tuple(state.clone() for state in read)
    expected = stream.push(x[0]).clone()
    close(read, kept, 0)
    written = tuple(state.clone().requires_grad_() for state in kept)
    stream.state = written
    with torch.no_grad():
        written[0].fill_(9)
    assert torch.equal(stream.push(x[0]), expected)
    assert not stream.push(x[0]).requires_grad
    stream.state = tuple(state.squeeze(1) for state in kept)  # as the layer gives it for a single sequence
    assert torch.equal(stream.push(x[0]), expected)


@kinds
def test_streams_disturb_neither_each_other_nor_the_layer(kind):
    """Streams of one layer keep apart, and the layer has its weights, its mode and torch's generator as before."""
    layer = make(kind)
    x = torch.randn(4, 2, 2, layer.input_size, dtype=torch.float64)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    generator = torch.get_rng_state()
    one, two, alone = layer.stream(2), layer.stream(2), layer.stream(2)
    found = [(one.push(a).clone(), two.push(b).clone()) for a, b in x]
    assert torch.equal(torch.stack([a for a, _ in found]), pushed(alone, x[:, 0]))
    alone.reset()
    assert torch.equal(torch.stack([b for _, b in found]), pushed(alone, x[:, 1]))
    assert torch.equal(torch.get_rng_state(), generator)
    assert layer.training
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
    assert all(weight.grad is None for weight in layer.parameters())


@kinds
def test_a_stream_keeps_the_weights_of_its_moment(kind):
    """Later training, or the layer's end, changes nothing; a new stream has the new weights."""
    layer = make(kind)
    x = torch.randn(4, 2, layer.input_size, dtype=torch.float64)
    y, _ = whole(layer, x)
    stream = layer.stream(2)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(-2)
    close(pushed(layer.stream(2), x), whole(layer, x)[0])
    del layer
    close(pushed(stream, x), y)


def test_no_gradient_comes_in_or_goes_out():
    """Input that requires gradients is taken by its numbers, in every path and form; inference mode is all the same."""
    for path in ("auto", "loop"):
        layer = LSTM(3, 5, path=path)
        with torch.inference_mode():
            stream, x = layer.stream(), torch.randn(2, 3)
        y = [stream.push(step).clone() for step in x]
        stream.state = None
        x = x.clone().requires_grad_()
        steps = [stream.push(step) for step in (x[0], x.mT.contiguous().mT[1])]
        assert not steps[-1].requires_grad
        assert torch.equal(steps[-1], y[1])
        assert not stream.push_block(x).requires_grad
        with torch.inference_mode():
            stream.reset()
            stream.push(x[0])
            assert torch.equal(stream.push(x[1]), y[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_push_allocates_nothing(dtype):
    """Pushes leave nothing behind, and none makes room for as much as one output on its way."""
    for layer in (LSTM(32, 64, 2, dtype=dtype), GRU(64, 64, 2, residual=True, dtype=dtype)):
        stream, x = layer.stream(128), torch.randn(128, layer.input_size, dtype=dtype)
        for given in (x, x.numpy()):
            stream.push(given)
            gc.freeze()  # what is there already need not be looked through
            tracemalloc.start()
            blocks = sys.getallocatedblocks()
            for _ in range(100):
                stream.push(given)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            gc.collect()
            grown = sys.getallocatedblocks() - blocks
            gc.unfreeze()
            assert grown < 20
            assert peak < 128 * 64 * 4


def test_repr_says_the_path_and_why():
    """repr names the layer, the batch and the path; where it is the loop, the reason."""
    assert repr(LSTM(3, 5).stream(4)) == "LSTM(3, 5).stream(batch=4), native"
    assert repr(GRU(3, 5, path="loop").stream()).endswith("loop: asked for")
    assert "torch.sin" in repr(Recurrent(sine, 3, 5).stream()) or "sine" in repr(Recurrent(sine, 3, 5).stream())
    assert "float16" in repr(LSTM(3, 5, dtype=torch.float16).stream())
    assert repr(LSTM(3, 5, path="torch").stream()).endswith("native")


def test_other_dtypes_stream_by_the_definition():
    """bfloat16, which NumPy lacks, and float16 run in the loop, in their own precision."""
    for dtype in (torch.bfloat16, torch.float16):
        layer, x = GRU(3, 5, dtype=dtype, path="auto"), torch.randn(4, 3, dtype=dtype)
        loop = GRU(3, 5, dtype=dtype, path="loop")
        loop.load_state_dict(layer.state_dict())
        assert torch.equal(pushed(layer.stream(), x), whole(loop, x)[0])


def test_products_in_bfloat16_are_a_layer_s_alone():
    """A stream of a layer with precision="bfloat16" computes as one without."""
    layer = LSTM(3, 5, precision="bfloat16")
    same = LSTM(3, 5)
    same.load_state_dict(layer.state_dict())
    x = torch.randn(4, 3)
    assert torch.equal(pushed(layer.stream(), x), pushed(same.stream(), x))


WRONG = {
    "features": (torch.zeros(4), r"expected shape \(1, 3\) or \(3,\), got \(4,\)"),
    "turned": (torch.zeros(3, 1), r"got \(3, 1\)"),
    "turned array": (np.zeros((3, 1), np.float32), r"got \(3, 1\)"),
    "batch": (np.zeros((2, 3), np.float32), r"got \(2, 3\)"),
    "axes": (torch.zeros(1, 1, 3), r"got \(1, 1, 3\)"),
    "number": (torch.zeros(()), r"got \(\)"),
    "float64": (np.zeros(3), r"expected float32, as the weights have, got float64. Take x.astype\('float32'\)"),
    "big-endian": (np.zeros(3, ">f4"), "got >f4"),
    "double": (torch.zeros(3, dtype=torch.float64), r"got torch.float64. Take x.to\(torch.float32\)"),
    "whole": (torch.zeros(3, dtype=torch.int32), "got torch.int32"),
    "elsewhere": (torch.zeros(3, device="meta"), "a tensor on the processor, got meta"),
    "list": ([0.0, 0.0, 0.0], "a NumPy array or a tensor, got list"),
    "nothing": (None, "a NumPy array or a tensor, got NoneType"),
}


@pytest.mark.parametrize("path", ["auto", "loop"])
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_input_is_refused_and_changes_nothing(wrong, path):
    """A step of wrong shape, dtype, kind or place raises one clear error, and the states stay."""
    x, message = WRONG[wrong]
    stream = LSTM(3, 5, path=path).stream()
    stream.push(torch.ones(3))
    before = stream.state
    with pytest.raises(InputError, match=message):
        stream.push(x)
    if wrong not in ("batch", "axes"):  # which are blocks
        with pytest.raises(InputError, match="LSTM stream input"):
            stream.push_block(x)
    close(stream.state, before, 0)


def test_wrong_blocks_are_refused():
    """A block has the axes of the layer's input; without a batch only where there is one sequence."""
    with pytest.raises(InputError, match=r"expected shape \(T, 2, 3\), got \(4, 3\)"):
        LSTM(3, 5).stream(2).push_block(torch.zeros(4, 3))
    with pytest.raises(InputError, match=r"expected shape \(2, T, 3\), got \(4, 2, 3\)"):
        LSTM(3, 5, batch_first=True).stream(2).push_block(torch.zeros(4, 2, 3))
    with pytest.raises(InputError, match=r"expected shape \(2, 3\), got \(3,\)"):
        LSTM(3, 5).stream(2).push(torch.zeros(3))
    with pytest.raises(InputError, match="NumPy lacks bfloat16"):
        LSTM(3, 5, dtype=torch.bfloat16).stream().push(np.zeros(3, np.float32))


def test_what_cannot_stream_is_refused():
    """Two directions, a batch that is none, and a path that cannot serve raise one clear error."""
    with pytest.raises(InputError, match=r"GRU stream: expected a layer of one direction.*begins at the end"):
        GRU(3, 5, bidirectional=True).stream()
    for batch in (0, -1, True):
        with pytest.raises(InputError, match="LSTM stream batch: expected a whole number of at least 1"):
            LSTM(3, 5).stream(batch)
    with pytest.raises(InputError, match="path='native' can serve, got the core computes in float32 and float64"):
        LSTM(3, 5, path="native", dtype=torch.float32).half().stream()


def test_wrong_states_are_refused_and_change_nothing():
    """A state of wrong number, shape or dtype raises one clear error before anything is written."""
    stream = LSTM(3, 5, 2).stream(4)
    stream.push(torch.ones(4, 3))
    before = stream.state
    h, c = before
    for wrong in (h, (h,), (h, c[:1]), (h, c.double()), (h, c[:, :2]), (h, None), (h[:, 0], c[:, 0])):
        with pytest.raises(InputError, match="LSTM stream"):
            stream.state = wrong
        close(stream.state, before, 0)
