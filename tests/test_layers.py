"""Layers: torch.nn's behaviour kept to the bit, and one clear error for each mistake."""

import copy
import pickle

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from gated import InputError
from gated.cells import cell, tanh
from gated.layers import GRU, LSTM, RNN, Recurrent
from made.layers import parts

PLAIN = {
    "LSTM": (LSTM, torch.nn.LSTM, {}),
    "LSTM projected": (LSTM, torch.nn.LSTM, {"proj_size": 3}),
    "LSTM without bias": (LSTM, torch.nn.LSTM, {"bias": False}),
    "GRU": (GRU, torch.nn.GRU, {}),
    "RNN tanh": (RNN, torch.nn.RNN, {}),
    "RNN relu": (RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
}
SHAPES = [
    dict(num_layers=1, bidirectional=False, batch_first=False),
    dict(num_layers=1, bidirectional=True, batch_first=True),
    dict(num_layers=2, bidirectional=False, batch_first=True),
    dict(num_layers=2, bidirectional=True, batch_first=False),
]
plain = pytest.mark.parametrize("kind", PLAIN)
shapes = pytest.mark.parametrize("how", SHAPES, ids=lambda how: "-".join(map(str, how.values())))
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


def pair(kind, seed=1, **how):
    """torch's layer and ours, drawn from the same seed."""
    ours, theirs, kwargs = PLAIN[kind]
    torch.manual_seed(seed)
    reference = theirs(5, 7, **kwargs, **how)
    torch.manual_seed(seed)
    return reference, ours(5, 7, **kwargs, **how)


def same(a, b):
    return len(a) == len(b) and all(torch.equal(u, v) for u, v in zip(a, b, strict=True))


def near(a, b, tolerance):
    for u, v in zip(a, b, strict=True):
        torch.testing.assert_close(u, v, atol=tolerance, rtol=tolerance)


@plain
def test_initial_values_and_state_dict_are_torchs(kind):
    """The same seed gives torch.nn's parameters, bit for bit, and state dicts load both ways."""
    for how in SHAPES:
        theirs, ours = pair(kind, **how)
        assert list(theirs.state_dict()) == list(ours.state_dict())
        assert same(theirs.state_dict().values(), ours.state_dict().values())
        assert [[w.shape for w in way] for way in ours.all_weights] == [
            [w.shape for w in way] for way in theirs.all_weights
        ]
        ours.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())


@plain
@shapes
def test_outputs_are_torchs(kind, how):
    """A batch, a single sequence, a packed one, with states or without: bit for bit by torch's path, else to 1e-6."""
    theirs, ours = pair(kind, **how)
    x = torch.randn(4, 6, 5)
    lengths = [3, 6, 1, 4] if how["batch_first"] else [4, 2, 1, 1, 3, 2]
    packed = pack_padded_sequence(x, lengths, how["batch_first"], enforce_sorted=False)
    state = tuple(torch.randn_like(s) for s in parts(theirs(x))[1:])
    state = state if kind.startswith("LSTM") else state[0]
    for given in ([x], [x[0]], [packed], [x, state], [packed, state]):
        ours.path = "torch"
        expected = theirs(*given)
        assert same(parts(expected), parts(ours(*given)))
        assert ours.explain(given[0]).startswith("torch: plain")
        for path in ("native", "loop"):
            ours.path = path
            result = ours(*given)
            near(parts(expected), parts(result), 1e-6)
            if isinstance(expected[0], PackedSequence):
                assert same(expected[0][1:], result[0][1:])


@plain
@shapes
@pytest.mark.parametrize("path", ["native", "loop"])
def test_gradients_are_torchs(kind, how, path):
    """Input, states and every parameter get torch.nn's gradients to 1e-12 in float64, packed at odd lengths."""
    theirs, ours = (layer.double() for layer in pair(kind, **how))
    ours.path = path
    lengths = [2, 5, 1] if how["batch_first"] else [3, 1, 2, 3, 1]

    def gradients(layer):
        torch.manual_seed(2)
        x = torch.randn(3, 5, 5, dtype=torch.float64, requires_grad=True)
        result = parts(layer(pack_padded_sequence(x, lengths, how["batch_first"], enforce_sorted=False)))
        sum((r * torch.randn_like(r)).sum() for r in result).backward()
        return [x.grad, *(p.grad for p in layer.parameters())]

    near(gradients(theirs), gradients(ours), 1e-12)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN tanh"])
def test_dropout_draws_what_torch_draws(kind):
    """In training the same seed gives torch.nn's dropout, on every path; in evaluation there is none."""
    theirs, ours = pair(kind, num_layers=3, dropout=0.4)
    x = torch.randn(4, 6, 5)
    for path, tolerance in (("torch", 0), ("native", 1e-6), ("loop", 1e-6)):
        ours.path, results = path, []
        for layer in (theirs.train(), ours.train()):
            torch.manual_seed(3)
            results.append(parts(layer(x)))
        near(*results, tolerance)
        assert not torch.allclose(results[0][0], ours(x)[0])
        near(parts(theirs.eval()(x)), parts(ours.eval()(x)), tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_and_device_are_honoured(dtype):
    """Parameters, outputs and states have the dtype asked for; the meta device allocates nothing."""
    layer = GRU(3, 4, dtype=dtype)
    assert {p.dtype for p in layer.parameters()} == {dtype}
    assert [r.dtype for r in parts(layer(torch.randn(2, 3, 3, dtype=dtype)))] == [dtype, dtype]
    assert next(LSTM(3, 4, device="meta").parameters()).is_meta


def test_autocast_computes_in_the_lower_precision():
    """Under autocast a float32 input goes through float32 weights, as in torch.nn."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert LSTM(3, 4)(torch.randn(2, 3, 3))[0].dtype == torch.bfloat16
        assert LSTM(3, 4, peephole=True)(torch.randn(2, 3, 3))[0].isfinite().all()


def test_copies_pickles_and_flattening_change_nothing():
    """A deep copy, a pickled module and flatten_parameters compute the same."""
    layer, x = LSTM(3, 4, coupled=True, layer_norm=True), torch.randn(5, 2, 3)
    layer.flatten_parameters()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert same(parts(layer(x)), parts(other(x)))


def test_repr_shows_what_is_not_default():
    """A layer prints as torch.nn's does, with its own arguments after torch's."""
    assert repr(LSTM(3, 4)) == repr(torch.nn.LSTM(3, 4)) == "LSTM(3, 4)"
    assert repr(GRU(3, 4, num_layers=2, bidirectional=True)) == repr(torch.nn.GRU(3, 4, 2, bidirectional=True))
    assert repr(LSTM(3, [4, 5], zoneout=(0.1, 0.2), peephole=True)) == (
        "LSTM(3, [4, 5], num_layers=2, zoneout=(0.1, 0.2), peephole=True)"
    )


def test_explain_names_the_path_and_the_reason():
    """What will run, and why, in one line, before it runs."""
    x = torch.randn(5, 2, 3)
    assert LSTM(3, 4).explain(x) == "native: LSTM in the native core"
    assert GRU(3, [4, 5], reset="before").explain(x, trace=True) == "native: reset-before GRU in the native core"
    assert LSTM(3, 4, path="torch").explain(x) == "torch: plain LSTM, torch.lstm for the whole stack"
    assert GRU(3, [4, 5], path="torch").explain(x) == "torch: plain GRU, torch.gru, layer by layer"
    assert RNN(3, 4, path="torch").explain(x, [5, 0]).endswith("over the steps that exist")
    assert LSTM(3, 4, path="loop").explain(x) == "loop: asked for"
    half = x.bfloat16()
    away = "not native: the core computes in float32 and float64, not in torch.bfloat16"
    assert LSTM(3, 4, dtype=half.dtype).explain(half).startswith(f"torch: plain LSTM, torch.lstm; {away}")
    said = {
        "peephole LSTM has no operator in torch": dict(peephole=True),
        "zoneout acts at every step": dict(zoneout=0.1),
        "recurrent dropout acts at every step": dict(recurrent_dropout=0.5),
    }
    for why, how in said.items():
        assert LSTM(3, 4, dtype=half.dtype, **how).explain(half) == f"loop: {away}; not torch: {why}"
    assert LSTM(3, 4, dtype=half.dtype).explain(half, trace=True).endswith("which torch's operator keeps to itself")
    assert LSTM(3, 4, dtype=half.dtype).explain(half, [0, 0]).endswith("not torch: no sequence has a step to run")
    assert "on meta" in LSTM(3, 4, device="meta").explain(x.to("meta"))
    dropping = GRU(3, 4, dtype=half.dtype, recurrent_dropout=0.5)
    assert dropping.explain(half).startswith("loop")
    assert dropping.eval().explain(half).startswith("torch: plain GRU")


def test_explain_says_what_a_path_leaves_undone():
    """recompute and precision are the native path's, and where they do nothing that is said."""
    x = torch.randn(5, 2, 3)
    layer = GRU(3, 4, recompute=True, precision="bfloat16", path="loop")
    assert layer.explain(x) == (
        "loop: asked for; nothing is recomputed: only the native path does; "
        "products in the weights' precision: only the native path multiplies in bfloat16"
    )
    assert LSTM(3, 4, recompute=2).explain(x) == "native: LSTM in the native core"
    assert LSTM(3, 4, recompute=2).explain(x, trace=True).endswith("nothing is recomputed: a trace keeps every step")
    wide = LSTM(3, 4, precision="bfloat16", dtype=torch.float64)
    assert wide.explain(x.double()).endswith("products in the weights' precision: weights in float64")
    wide.path = "native"
    with pytest.raises(InputError, match="path='native': expected a request that it can serve, got weights in float64"):
        wide(x.double())


def test_a_path_that_cannot_serve_is_refused_with_the_reason():
    """path="torch" never turns into another path."""
    with pytest.raises(InputError, match=r"coupled LSTM has no operator in torch. Ask for path='auto' or 'loop'"):
        LSTM(3, 4, coupled=True, path="torch")
    odd = cell(gates="i", states="h")(lambda z, s: dict(h=torch.sin(z.i)))
    with pytest.raises(InputError, match=r"path='native'.*test_layers.py.*torch.sin.*Ask for path='auto' or 'loop'"):
        Recurrent(odd, 3, 4, path="native")
    assert "torch.sin" in Recurrent(odd, 3, 4).explain(torch.randn(5, 2, 3))
    layer = LSTM(3, 4, path="torch")
    with pytest.raises(InputError, match="trace=True wants every gate"):
        layer(torch.randn(5, 2, 3), trace=True)


def test_derivatives_that_operators_lack_take_the_loop():
    """vmap, jvp, per-sample gradients and compile(fullgraph) in training work, and explain says how."""
    layer, xs = LSTM(3, 4, bidirectional=True), torch.randn(3, 5, 2, 3)
    alone = torch.stack([layer(x)[0] for x in xs])
    near([torch.vmap(lambda x: layer(x)[0])(xs)], [alone], 1e-6)
    assert torch.func.jvp(lambda x: layer(x)[0], (xs[0],), (xs[1],))[1].shape == (5, 2, 8)
    parameters = dict(layer.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(layer, parameters, (x,))[0].sum()

    each = torch.vmap(torch.func.grad(loss), (None, 0))(parameters, xs)
    alone.sum().backward()
    near([each["weight_hh_l0"].sum(0)], [layer.weight_hh_l0.grad], 1e-5)


def test_a_persons_own_cell_gets_the_whole_layer():
    """Recurrent gives any cell stacking, directions, lengths, trace, and states as the cell declares them."""

    @cell(gates="f x", states="h")
    def minimal(z, s):
        f = z.f.sigmoid()
        return dict(h=f * s.h + (1 - f) * tanh(z.x), f=f)

    layer = Recurrent(minimal, 3, 4, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(2, 5, 3)
    y, h, trace = layer(x, lengths=[5, 2], trace=True)
    assert (y.shape, h.shape, trace[1][0]["f"].shape) == ((2, 5, 8), (4, 2, 4), (2, 5, 4))
    assert layer.explain(x) == "native: minimal in the native core"
    assert repr(layer).startswith("Recurrent(minimal, 3, 4, num_layers=2")


def x(*shape, dtype=torch.float32):
    return torch.zeros(shape or (5, 2, 3), dtype=dtype)


MISTAKES = {
    "last axis": (lambda: LSTM(3, 4)(x(5, 2, 7)), r"LSTM input: expected shape \(T, B, 3\), got \(5, 2, 7\)"),
    "axes": (lambda: GRU(3, 4, batch_first=True)(x(3)), r"GRU input: expected shape \(B, T, 3\), got \(3\)"),
    "one sequence": (lambda: GRU(3, 4)(x(5, 2)), r"GRU input: expected shape \(T, 3\), got \(5, 2\)"),
    "whole numbers": (lambda: RNN(3, 4)(x(dtype=torch.int64)), "RNN input: expected torch.float32.*Embed"),
    "dtype": (lambda: LSTM(3, 4)(x(dtype=torch.float64)), "expected torch.float32.*layer.to\\(torch.float64\\)"),
    "no tensor": (lambda: LSTM(3, 4)([1.0]), "LSTM input: expected a tensor or a PackedSequence, got list"),
    "state shape": (lambda: GRU(3, 4)(x(), x(1, 3, 4)), r"GRU h_0: expected shape \(1, 2, 4\), got \(1, 3, 4\)"),
    "state count": (lambda: LSTM(3, 4)(x(), x(1, 2, 4)), r"expected a tuple \(h_0, c_0\), got Tensor"),
    "state pair": (lambda: LSTM(3, 4)(x(), (x(1, 2, 4),)), r"expected a tuple \(h_0, c_0\), got 1 things"),
    "state c": (lambda: LSTM(3, 4)(x(), (x(1, 2, 4), x(1, 2, 5))), r"LSTM c_0: expected shape \(1, 2, 4\)"),
    "state list": (lambda: GRU(3, [4, 5])(x(), x(2, 2, 4)), "GRU h_0: expected a list of 2 tensors, one per layer"),
    "state layer": (
        lambda: GRU(3, [4, 5])(x(), [x(1, 2, 4), x(1, 2, 4)]),
        r"GRU h_0\[1\]: expected shape \(1, 2, 5\), got \(1, 2, 4\)",
    ),
    "state dtype": (lambda: GRU(3, 4)(x(), x(1, 2, 4, dtype=torch.float64)), "GRU h_0.*expected torch.float32"),
    "long": (lambda: LSTM(3, 4)(x(), lengths=[6, 1]), "LSTM lengths: expected numbers from 0 to T = 5, got 6"),
    "negative": (lambda: LSTM(3, 4)(x(), lengths=[5, -1]), "numbers from 0 to T = 5, got -1"),
    "count": (lambda: LSTM(3, 4)(x(), lengths=[5]), r"LSTM lengths: expected shape \(2\), got \(1\)"),
    "fractions": (
        lambda: LSTM(3, 4)(x(), lengths=[5.0, 1.0]),
        "LSTM lengths: expected whole numbers, got torch.float32",
    ),
    "words": (lambda: LSTM(3, 4)(x(), lengths=["a", "b"]), r"LSTM lengths: expected whole numbers, got \['a', 'b'\]"),
    "single": (lambda: LSTM(3, 4)(x(5, 3), lengths=[5]), "expected no lengths with a single sequence"),
    "both": (
        lambda: LSTM(3, 4)(pack_padded_sequence(x(), [5, 2]), lengths=[5, 2]),
        "expected lengths or a PackedSequence, which has its own, got both. Leave lengths out",
    ),
    "packed": (lambda: LSTM(4, 4)(pack_padded_sequence(x(), [5, 2])), r"LSTM packed input: expected shape \(N, 4\)"),
    "trace": (lambda: LSTM(3, 4)(x(), trace="all"), "LSTM trace: expected True or False, got 'all'"),
    "grad_trace": (lambda: LSTM(3, 4)(x(), grad_trace="h"), "LSTM grad_trace: expected True or False, got 'h'"),
    "recompute": (lambda: LSTM(3, 4, recompute=0), "LSTM recompute: expected a whole number of at least 1, got 0"),
    "precision": (lambda: GRU(3, 4, precision="half"), "GRU precision: expected one of 'float32', 'bfloat16', got"),
    "path": (lambda: LSTM(3, 4, path="fast"), "path: expected one of 'auto', 'native', 'torch', 'loop', got"),
    "init": (lambda: LSTM(3, 4, init="magic"), "LSTM init: expected one of 'torch', 'orthogonal', got 'magic'"),
    "chrono": (lambda: GRU(3, 4, chrono=1), "GRU chrono: expected the longest dependency, at least 2 steps, got 1"),
    "presets": (lambda: GRU(3, 4, chrono=9, forget_bias=1.0), "expected forget_bias or chrono, got both"),
    "no bias": (lambda: LSTM(3, 4, bias=False, forget_bias=1.0), "LSTM forget_bias: expected a layer with biases"),
    "no keeper": (
        lambda: RNN(3, 4, chrono=9),
        "RNN chrono: expected a cell with a gate that keeps its memory, got tanh",
    ),
    "1997": (lambda: LSTM(3, 4, forget_gate=False, forget_bias=1.0), "got LSTM without forget gate"),
    "input_size": (lambda: LSTM(0, 4), "LSTM input_size: expected a whole number of at least 1, got 0"),
    "hidden_size": (lambda: LSTM(3, -4), "LSTM hidden_size: expected a whole number of at least 1, got -4"),
    "no layer": (lambda: LSTM(3, []), "LSTM hidden_size: expected at least one layer's width, got an empty list"),
    "num_layers": (lambda: LSTM(3, [4, 4], 3), "LSTM num_layers: expected 2, as hidden_size lists, got 3"),
    "proj_size": (lambda: LSTM(3, 4, proj_size=4), "LSTM proj_size: expected less than hidden_size = 4, got 4"),
    "dropout": (lambda: LSTM(3, 4, 2, dropout=1.5), "LSTM dropout: expected a number from 0 to 1, got 1.5"),
    "zoneout": (lambda: LSTM(3, 4, zoneout=-0.1), "LSTM zoneout: expected a number from 0 to 1, got -0.1"),
    "zoneouts": (lambda: GRU(3, 4, zoneout=[0.1, 0.1]), "expected one number, or one each for h, got"),
    "residual": (lambda: LSTM(3, [4, 5], residual=True), "LSTM residual: expected layers of one width"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_one_clear_error(mistake):
    """What was expected, with numbers, and what came."""
    do, says = MISTAKES[mistake]
    with pytest.raises(InputError, match=says):
        do()


def test_dropout_on_one_layer_warns_as_in_torch():
    """Dropout between layers does nothing with one layer, and that is said."""
    with pytest.warns(UserWarning, match="acts between layers, and there is one layer"):
        LSTM(3, 4, dropout=0.5)
