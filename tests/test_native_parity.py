"""The native core computes what the definition computes, and torch.nn where torch.nn has the cell: all values, all
gradients.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gated import _native
from gated.layers import GRU, LSTM, RNN, Recurrent
from made import fresh
from made.layers import NOISY, VARIANTS, agree, odd, parts

ALL = VARIANTS | NOISY
SIZES = st.sampled_from([1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 65, 70])


@settings(max_examples=85, deadline=None)
@given(
    kind=st.sampled_from(sorted(ALL)),
    T=st.integers(0, 7),
    B=st.sampled_from([0, 1, 2, 3, 5, 6, 7, 12, 13, 25]),
    I=SIZES,
    H=SIZES,
    data=st.data(),
)
def test_native_equals_the_definition(kind, T, B, I, H, data):
    """Outputs, states, traces and the gradient of everything agree to 1e-10 in float64, 1e-4 in float32, at any size,
    with lengths and without, in both directions, in training and in evaluation.
    """
    wide = data.draw(st.booleans(), "float64")
    dtype = torch.float64 if wide else torch.float32
    how = {name: data.draw(st.booleans(), name) for name in ("bias", "bidirectional")}
    torch.manual_seed(0)
    layer = ALL[kind](I, H, dtype=dtype, **how).train(data.draw(st.booleans(), "training"))
    x = torch.randn(T, B, I, dtype=dtype, requires_grad=True)
    state = []
    if data.draw(st.booleans(), "states"):
        D = len(layer.stack.suffixes)
        state = [torch.randn(D, B, w, dtype=dtype, requires_grad=True) for w in layer.stack.widths[0].values()]
    options = {"lengths": data.draw(st.lists(st.integers(0, T), min_size=B, max_size=B), "lengths")}
    options = options if data.draw(st.booleans(), "ragged") else {}
    if T and data.draw(st.booleans(), "trace"):
        options["trace"] = True
    # The norm of a single unit is 0 whatever it holds: its gradient is rounding, times 1/√ε = 316.
    agree(layer, x, state, 1e-10 if wide else 1e-3 if H == 1 else 1e-4, **options)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["LSTM", "GRU", "RNN"]),
    T=st.integers(1, 6),
    B=st.sampled_from([1, 2, 5, 6, 13]),
    I=SIZES,
    H=SIZES,
)
def test_native_equals_torch_nn(kind, T, B, I, H):
    """Outputs, states and all gradients are torch.nn's, in two layers of both directions."""
    how = dict(num_layers=2, bidirectional=True, batch_first=True, dtype=torch.float64)
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(I, H, **how)
    ours = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}[kind](I, H, **how, path="native")
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(B, T, I, dtype=torch.float64, requires_grad=True)
    found = []
    for layer in (theirs, ours):
        torch.manual_seed(1)
        values = parts(layer(x))
        loss = sum((torch.randn_like(v) * v).sum() for v in values)
        found.append([*values, *torch.autograd.grad(loss, [x, *layer.parameters()])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", ["LSTM", "all at once"])
def test_threads_change_no_value(kind):
    """At sizes worth two threads, two agree with the definition: with many rows, with two directions, with one row."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for T, B, H, how in ((5, 32, 40, dict(bidirectional=True)), (12, 1, 150, {}), (6, 7, 90, {})):
            layer = ALL[kind](8, H, dtype=torch.float64, **how)
            agree(layer, torch.randn(T, B, 8, dtype=torch.float64, requires_grad=True), [], 1e-10)
    finally:
        torch.set_num_threads(before)


ISA = """
import torch
from gated import _native
from made.layers import NOISY, VARIANTS, agree
for make in (VARIANTS | NOISY).values():
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        layer = make(5, 37, dtype=dtype, bidirectional=True)
        x = torch.randn(4, 13, 5, dtype=dtype, requires_grad=True)
        agree(layer, x, [], tolerance, lengths=[4, 0, 3] + 10 * [2])
print(_native.isa())
"""


@pytest.mark.parametrize("isa", _native.available_isas())
def test_every_instruction_set_computes_the_same(isa):
    """Whatever the processor offers agrees with the definition, from the scalar set up."""
    done = fresh.run(ISA, GATED_ISA=isa)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == isa


@pytest.mark.parametrize("kind", ALL)
def test_gradients_of_a_trace_are_the_definitions(kind):
    """di, df … dh of every step, with lengths, in both directions."""
    layer = ALL[kind](3, 5, bidirectional=True, dtype=torch.float64)
    x = torch.randn(4, 3, 3, dtype=torch.float64)
    found = []
    for path in ("native", "loop"):
        layer.path = path if kind != "own, odd" else "auto"
        torch.manual_seed(1)
        y, states, trace = layer(x, lengths=[4, 2, 0], grad_trace=True)
        loss = y.sin().sum() + sum(v.cos().sum() for v in parts(states))
        (loss + sum(way["h"].square().sum() for way in trace[0])).backward()
        found.append({f"{d}{name}": v for d, way in enumerate(trace[0]) for name, v in way.items()})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], atol=1e-10, rtol=1e-10)


def test_a_value_of_the_step_before_has_no_gradient_of_its_own_in_the_core():
    """A cell that returns an old state is served by the loop when its gradients are asked for, and that is said."""
    layer = Recurrent(odd, 3, 4)
    assert layer.explain(torch.randn(5, 2, 3), trace=True) == "native: odd in the native core"
    why = layer.explain(torch.randn(5, 2, 3), grad_trace=True)
    assert why.startswith("loop: not native: program of odd grad_trace: expected")


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "RNN relu", "layer norm"])
@pytest.mark.parametrize("what", [float("inf"), -float("inf"), float("nan")])
def test_infinity_and_nan_go_where_the_definition_sends_them(kind, what):
    """One number that is none spoils its own sequence from its step on, as in the definition, and no other's."""
    layer = ALL[kind](3, 17, dtype=torch.float64).eval()
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    x[2, 1, 0] = what
    with torch.no_grad():
        layer.path = "native"
        native = layer(x)[0]
        layer.path = "loop"
        loop = layer(x)[0]
    torch.testing.assert_close(native, loop, equal_nan=True)
    assert native[:, [0, 2, 3]].isfinite().all()
    assert native[:2].isfinite().all()
