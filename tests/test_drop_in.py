"""What code written for torch.nn's recurrent layers asks of ours: derivatives, copies, tracing, attributes, errors."""

import copy
import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils import parametrizations, parametrize

import gated
from gated import GRU, LSTM, RNN, InputError, Recurrent
from gated.cells import cell, sigmoid, tanh
from gated.layers import Attention, Decoder
from made.layers import close, parts

SIZES = dict(input_size=3, hidden_size=4)


@cell(gates="f g", states="h", vectors="a", keep="f")
def minimal(z, s, p):
    f = sigmoid(z.f + p.a * s.h)
    return dict(h=f * s.h + (1 - f) * tanh(z.g), f=f)


@cell(gates="a", states="h")
def bare(z, s):
    return dict(h=tanh(z.a))


class Cells:
    inner = cell(gates="a", states="h", name="inner")(lambda z, s: dict(h=z.a * s.h))


named = cell(gates="a", states="h", name="named")(lambda z, s: dict(h=tanh(z.a) + s.h))


def step(z, s):
    return dict(h=sigmoid(z.a))


LAYERS = {  # by the number of parameters a direction: 2, with biases, with a map, with vectors, with all
    "RNN": partial(RNN, bias=False),
    "LSTM": partial(LSTM, bias=False),
    "GRU both ways": partial(GRU, bias=False, bidirectional=True),
    "stacked": partial(GRU, num_layers=2, bias=False),
    "coupled": partial(LSTM, coupled=True, bias=False),
    "1997": partial(LSTM, forget_gate=False, bias=False),
    "zoneout": partial(LSTM, zoneout=0.1, bias=False),
    "noisy": partial(LSTM, zoneout=0.2, recurrent_dropout=0.3),
    "projected": partial(LSTM, proj_size=2, bias=False),
    "peephole": partial(LSTM, peephole=True, bias=False, bidirectional=True),
    "normed": partial(GRU, layer_norm=True, bias=False),
    "reset before": partial(GRU, reset="before", bias=False),
    "own": partial(Recurrent, minimal, bias=False),
    "own, two matrices": partial(Recurrent, bare, bias=False, bidirectional=True),
    "biased": partial(LSTM, bidirectional=True),
    "recomputed": partial(GRU, recompute=2),
}
layers = pytest.mark.parametrize("name", LAYERS)


def make(name, **more):
    torch.manual_seed(1)
    return LAYERS[name](**SIZES, **more).double()


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@layers
def test_second_derivatives_of_any_number_of_parameters(name):
    """gradgradcheck passes, by input and parameters, whatever parameters the layer has."""
    layer, x = make(name).eval(), draw(3, 2, 3)
    names, weights = zip(*layer.named_parameters(), strict=True)

    def call(x, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))[0]

    assert gradgradcheck(call, (x, *weights), fast_mode=True)


@layers
@pytest.mark.parametrize("how", [{}, dict(lengths=[4, 2]), dict(trace=True)], ids=str)
def test_a_batch_of_gradients_is_each_alone(name, how):
    """is_grads_batched and vmap over the backward pass give what one gradient at a time gives, masks included."""
    layer, x = make(name), draw(4, 2, 3)
    y, *_, values = parts(layer(x, **how))
    ys = [y, *([values] if how.get("trace") else [])]
    wanted, v = [x, *layer.parameters()], [torch.randn(3, *y.shape, dtype=y.dtype) for y in ys]
    alone = [torch.autograd.grad(ys, wanted, list(one), retain_graph=True) for one in zip(*v, strict=True)]
    batch = torch.autograd.grad(ys, wanted, v, is_grads_batched=True, retain_graph=True)
    close([torch.stack(each) for each in zip(*alone, strict=True)], batch, 1e-10)
    single = torch.vmap(lambda v: torch.autograd.grad(ys, x, v, retain_graph=True)[0])(v)
    close(batch[0], single, 1e-10)


def test_jacobians_and_hessians():
    """jacrev, jacfwd, hessian, autograd's own Jacobians and per-sample gradients agree."""
    layer, x = make("biased"), draw(3, 2, 3).detach()

    def call(x):
        return layer(x)[0]

    expected = torch.autograd.functional.jacobian(call, x)
    for other in (torch.func.jacrev(call), torch.func.jacfwd(call)):
        close(expected, other(x), 1e-10)
    close(expected, torch.autograd.functional.jacobian(call, x, vectorize=True), 1e-10)
    hessian = torch.func.hessian(lambda x: call(x).sum())(x)
    close(hessian, torch.autograd.functional.hessian(lambda x: call(x).sum(), x), 1e-10)
    assert gradcheck(call, draw(3, 2, 3), check_batched_grad=True, fast_mode=True)


def test_a_batch_of_gradients_has_no_trace_of_them():
    """The gradients of a trace have one place for one backward pass, and that is said."""
    layer = make("biased")
    y, *_ = layer(draw(4, 2, 3), grad_trace=True)
    with pytest.raises(InputError, match="grad_trace: expected a backward pass of one gradient, got a batch"):
        torch.autograd.grad(y, layer.weight_hh_l0, torch.ones(2, *y.shape, dtype=y.dtype), is_grads_batched=True)


def run(layer, x, queue):
    queue.put(layer(x)[0].detach().numpy())


@pytest.mark.parametrize("made", [minimal, bare, named, Cells.inner, cell(gates="a", states="h")(step)])
def test_a_layer_over_ones_own_cell_is_pickled(made, tmp_path):
    """By the cell's module and name, as functions are: pickle, torch.save, copies."""
    layer, x = Recurrent(made, 3, 4, num_layers=2), torch.randn(5, 2, 3)
    torch.save(layer, tmp_path / "layer.pt")
    others = [torch.load(tmp_path / "layer.pt", weights_only=False), copy.deepcopy(layer), copy.copy(layer)]
    others += [pickle.loads(pickle.dumps(layer, protocol)) for protocol in (2, pickle.HIGHEST_PROTOCOL)]
    for other in others:
        close(layer(x), other(x), 0)
        assert made.equations is step or other.cell is made
    with pytest.raises(pickle.UnpicklingError, match=r"[Ww]eights.only"):
        torch.load(tmp_path / "layer.pt", weights_only=True)


def test_a_spawned_process_takes_a_layer():
    """multiprocessing sends a layer over a cell of a module to a process that starts anew."""
    layer, x = Recurrent(minimal, 3, 4), torch.randn(5, 2, 3)
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=run, args=(layer, x, queue))
    process.start()
    close(torch.from_numpy(queue.get(timeout=60)), layer(x)[0].detach(), 1e-6)
    process.join()


def test_a_cell_that_has_no_name_is_not_pickled():
    """A lambda's and an inner function's cell are one clear error; the state dict is always there."""

    @cell(gates="a", states="h")
    def inner(z, s):
        return dict(h=z.a)

    for made in (inner, cell(gates="a", states="h", name="nameless")(lambda z, s: dict(h=z.a))):
        layer = Recurrent(made, 3, 4)
        with pytest.raises(
            InputError, match=f"pickle of cell {made.name}: expected a cell that stands at the top of a"
        ):
            pickle.dumps(layer)
        assert copy.deepcopy(layer).cell is made
        Recurrent(made, 3, 4).load_state_dict(pickle.loads(pickle.dumps(layer.state_dict())))


# What torch.nn raises, ours raises too, and always an InputError. 0 and 1 are refused as torch.nn refuses them.
WORDS = ["False", "no", 0, 1, 0.0, None, np.True_]
SWITCHES = {
    LSTM: ["bias", "batch_first", "bidirectional", "residual", "layer_norm", "peephole", "coupled", "forget_gate"],
    GRU: ["bias", "batch_first", "bidirectional", "residual", "layer_norm"],
    RNN: ["bias", "batch_first", "bidirectional", "residual", "layer_norm"],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in SWITCHES.items() for name in names])
def test_a_switch_is_true_or_false(kind, name):
    """No word and no number stands for a truth value, neither in the constructor nor set later."""
    for word in WORDS:
        with pytest.raises(InputError, match=f"{kind.__name__} {name}: expected True or False, got") as raised:
            kind(3, 4, **{name: word})
        assert isinstance(raised.value, TypeError)
    if name in ("batch_first", "residual"):
        with pytest.raises(TypeError, match="expected True or False, got 'False'"):
            setattr(kind(3, 4), name, "False")


def zeros(*shape, dtype=torch.float32):
    return torch.zeros(shape or (5, 2, 3), dtype=dtype)


MISUSES = {
    "features": lambda L: L.LSTM(3, 4)(zeros(5, 2, 4)),
    "features of one sequence": lambda L: L.RNN(3, 4)(zeros(5, 4)),
    "four axes": lambda L: L.LSTM(3, 4)(zeros(5, 2, 3, 3)),
    "one axis": lambda L: L.GRU(3, 4)(zeros(3)),
    "state": lambda L: L.GRU(3, 4)(zeros(), zeros(1, 3, 4)),
    "state of a batch": lambda L: L.GRU(3, 4)(zeros(), zeros(1, 4)),
    "state of one sequence": lambda L: L.GRU(3, 4)(zeros(5, 3), zeros(1, 1, 4)),
    "cell state": lambda L: L.LSTM(3, 4)(zeros(), (zeros(1, 2, 4), zeros(1, 2, 5))),
    "layers": lambda L: L.LSTM(3, 4, 2)(zeros(), (zeros(1, 2, 4), zeros(1, 2, 4))),
    "dtype": lambda L: L.LSTM(3, 4)(zeros(dtype=torch.float64)),
    "dtype of a state": lambda L: L.GRU(3, 4)(zeros(), zeros(1, 2, 4, dtype=torch.float64)),
    "hidden_size as float": lambda L: L.LSTM(3, 4.0),
    "input_size as word": lambda L: L.GRU("3", 4),
    "num_layers as word": lambda L: L.GRU(3, 4, "2"),
    "bias": lambda L: L.RNN(3, 4, bias=1),
    "batch_first": lambda L: L.LSTM(3, 4, batch_first="False"),
    "no size": lambda L: L.LSTM(3, 0),
    "negative size": lambda L: L.LSTM(-3, 4),
    "no layer": lambda L: L.LSTM(3, 4, 0),
    "dropout": lambda L: L.LSTM(3, 4, 2, dropout=2),
    "dropout as bool": lambda L: L.LSTM(3, 4, 2, dropout=True),
    "dropout as word": lambda L: L.LSTM(3, 4, 2, dropout="0.5"),
    "proj_size": lambda L: L.LSTM(3, 4, proj_size=4),
    "proj_size of a GRU": lambda L: L.GRU(3, 4, proj_size=2),
    "proj_size of an RNN": lambda L: L.RNN(3, 4, proj_size=0),
    "nonlinearity": lambda L: L.RNN(3, 4, nonlinearity="gelu"),
    "an argument that is not": lambda L: L.GRU(3, 4, hiden_size=4),
    "no hidden_size": lambda L: L.LSTM(3),
}


@pytest.mark.parametrize("what", MISUSES)
def test_a_misuse_raises_what_torch_raises(what):
    """What catches torch.nn's error catches ours: RuntimeError for tensors, TypeError for types, ValueError else."""
    try:
        theirs = MISUSES[what](nn) and None
    except (RuntimeError, TypeError, ValueError) as error:
        theirs = error
    with pytest.raises(type(theirs)) as ours:
        MISUSES[what](gated)
    assert isinstance(ours.value, InputError) or what == "no hidden_size"


def test_an_argument_that_is_not_names_the_class_and_the_near_one():
    """The error is about the class that was called."""
    with pytest.raises(TypeError, match=r"GRU: expected arguments that it has, got zone_out. Did you mean 'zoneout'\?"):
        GRU(3, 4, zone_out=0.1)
    with pytest.raises(ValueError, match=r"RNN proj_size: .*only an LSTM has, got 2. An LSTM's h is projected: LSTM\("):
        RNN(3, 4, proj_size=2)


class Net(nn.Module):
    def __init__(self, layer, many=True):
        super().__init__()
        self.a, self.layer, self.o = nn.Linear(3, 3), layer, nn.Linear(4 * layer.mode.count("LSTM") or 4, 2)
        self.many = many

    def forward(self, x, h=None):
        y, state = self.layer(self.a(x)) if h is None else self.layer(self.a(x), h)
        state = state[0] if self.many else state
        return self.o(y) + state.sum()


@pytest.mark.parametrize(
    ("layer", "many"), [(LSTM(3, 4), True), (GRU(3, 4, 2), False), (Recurrent(minimal, 3, 4), False)], ids=str
)
def test_symbolic_trace_takes_a_layer_as_a_leaf(layer, many):
    """torch.fx records one call of the module, as it does for torch.nn's, and the graph computes the same."""
    net, x = Net(layer, many), torch.randn(5, 2, 3)
    traced = torch.fx.symbolic_trace(net)
    assert [n.target for n in traced.graph.nodes if n.op == "call_module"] == ["a", "layer", "o"]
    close(traced(x), net(x), 0)
    close(pickle.loads(pickle.dumps(traced.state_dict()))["layer.weight_ih_l0"], layer.weight_ih_l0, 0)
    h = torch.randn(layer.num_layers, 2, 4)
    hx = (h, h) if many else h
    close(traced(x, hx), net(x, hx), 0)


def test_symbolic_trace_takes_attention_and_a_decoder():
    """They decide by shapes too, and are leaves."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.attention = LSTM(3, 4), Attention(4, 4)
            self.decoder = Decoder(Attention(4, 4), LSTM(3, 4), None, 5)

        def forward(self, x, encoder, state):
            y, _ = self.encoder(x)
            c, a = self.attention(y, y)
            o, _, after = self.decoder(x, encoder, state)
            return c, a, o, after.bottom

    model, x = Model(), torch.randn(5, 2, 3)
    encoder = model.decoder.attention.prepare(torch.randn(6, 2, 4))
    given = x, encoder, model.decoder.start(encoder, None)
    close(torch.fx.symbolic_trace(model)(*given), model(*given), 0)


def test_symbolic_trace_of_a_layer_alone_is_refused():
    """A leaf has nothing inside to trace."""

    class Last(LSTM):
        def forward(self, x):
            return super().forward(x)[0]

    with pytest.raises(InputError, match=r"torch\.fx: expected a model to trace, got the layer Last alone"):
        torch.fx.symbolic_trace(Last(3, 4))


def test_symbolic_trace_takes_states_lengths_and_traces():
    """What else a call takes may be symbolic too."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = LSTM(3, 4, batch_first=True), LSTM(3, 4, batch_first=True)

        def forward(self, x, lengths):
            _, state = self.first(x, lengths=lengths)
            y, (h, c), trace = self.second(x, state, trace=True)
            return y, h, c, trace[0][0]["f"]

    net, x = Two(), torch.randn(2, 5, 3)
    close(torch.fx.symbolic_trace(net)(x, torch.tensor([5, 3])), net(x, torch.tensor([5, 3])), 0)


@pytest.mark.parametrize("how", [{}, dict(num_layers=2, bidirectional=True), dict(bias=False, batch_first=True)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_rnn_base_is_what_it_is(kind, how):
    """isinstance RNNBase, with its attributes and methods, which give what torch.nn's give."""
    ours, theirs = getattr(gated, kind)(3, 4, **how), getattr(nn, kind)(3, 4, **how)
    theirs.load_state_dict(ours.state_dict())
    assert isinstance(ours, nn.RNNBase)
    assert not isinstance(ours, type(theirs))  # torch.compile refuses to look into those
    assert ours.mode == theirs.mode
    for name in ("all_weights", "_flat_weights"):
        close(getattr(ours, name), getattr(theirs, name), 0)
    assert ours._all_weights == theirs._all_weights
    assert list(ours._flat_weights_names) == theirs._flat_weights_names
    x, sizes = torch.randn(5, 2, 3), torch.tensor([2, 1])
    hx = torch.randn(ours.get_expected_hidden_size(x, None)[0], x.shape[0 if ours.batch_first else 1], 4)
    hidden = (hx, hx) if kind == "LSTM" else hx
    assert ours.get_expected_hidden_size(x, None) == theirs.get_expected_hidden_size(x, None)
    assert ours.get_expected_hidden_size(x, sizes) == theirs.get_expected_hidden_size(x, sizes)
    order = torch.arange(hx.shape[1]).flip(0)
    close(ours.permute_hidden(hidden, order), theirs.permute_hidden(hidden, order), 0)
    assert ours.permute_hidden(hidden, None) is hidden
    for layer in (ours, theirs):
        layer.check_input(x, None)
        layer.check_forward_args(x, hidden, None)
        with pytest.raises(RuntimeError):
            layer.check_input(x[..., :2], None)
        with pytest.raises(RuntimeError):
            layer.check_hidden_size(hx, (1, 1, 9), "{} {}")
    nn.init.orthogonal_(ours.weight_hh_l0)
    close(ours(x)[0], type(ours).forward(ours, x)[0], 0)
    assert ours._replicate_for_data_parallel().mode == ours.mode


def test_rnn_base_of_any_cell():
    """A cell of one's own is an RNNBase too; for what no number says there is an error."""
    layer = Recurrent(minimal, 3, [4, 5])
    assert (layer.mode, len(layer._flat_weights)) == ("minimal", 10)
    with pytest.raises(InputError, match=r"expected size: expected layers of one width, got \[4, 5\]"):
        layer.get_expected_hidden_size(torch.zeros(5, 2, 3))
    with pytest.raises(InputError, match="a cell with a state c, got"):
        GRU(3, 4).get_expected_cell_size(torch.zeros(5, 2, 3))
    assert LSTM(3, 4, proj_size=2).get_expected_hidden_size(torch.zeros(5, 2, 3)) == (1, 2, 2)
    assert LSTM(3, 4, proj_size=2).get_expected_cell_size(torch.zeros(5, 2, 3)) == (1, 2, 4)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("kind", "how"), [(LSTM, {}), (LSTM, dict(num_layers=2, bidirectional=True)), (GRU, {})])
def test_quantize_dynamic_serves_plain_layers(kind, how):
    """int8 weights by torch's own module, within its error."""
    net, x = nn.Sequential(kind(3, 4, batch_first=True, **how)), torch.randn(5, 2, 3)
    quantized = quantize_dynamic(net, {nn.LSTM, kind})
    assert "quantized" in type(quantized[0]).__module__
    for a, b in zip(parts(quantized(x)), parts(net(x)), strict=True):
        torch.testing.assert_close(a, b, atol=0.03, rtol=0)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore::DeprecationWarning")
def test_quantize_dynamic_is_never_silent():
    """What torch cannot quantize is refused, and what it passes by is said."""
    for layer, why in {
        RNN(3, 4): "the cell tanh RNN",
        LSTM(3, 4, peephole=True): "the cell peephole LSTM",
        LSTM(3, 4, proj_size=2): "a projection",
        GRU(3, [4, 5]): "layers of unlike widths",
        GRU(3, 4, zoneout=0.1): "zoneout",
    }.items():
        with pytest.raises(
            InputError, match=f"quantization: expected a plain LSTM or GRU, which torch quantizes, got {why}"
        ):
            quantize_dynamic(nn.Sequential(layer), {type(layer)})
    with pytest.warns(UserWarning, match=r"LSTM: this quantization leaves it in float\. Name it: .*\{gated\.LSTM\}"):
        quantize_dynamic(nn.Sequential(LSTM(3, 4), nn.Linear(4, 2)))


class Count(nn.Module):
    def __init__(self, name, counts):
        super().__init__()
        self.name, self.counts = name, counts

    def forward(self, weight):
        self.counts[self.name] = self.counts.get(self.name, 0) + 1
        return weight * 1


@pytest.mark.parametrize("call", [{}, dict(lengths=[3, 1]), dict(trace=True), dict(grad_trace=True)], ids=str)
@pytest.mark.parametrize(
    "how", [{}, dict(path="torch"), dict(path="loop"), dict(zoneout=0.1), dict(num_layers=2)], ids=str
)
def test_a_parametrized_weight_is_computed_once_a_call(call, how):
    """Whatever the call wants and whichever path it takes."""
    layer, counts = LSTM(4, 4, **how), {}
    if layer.path == "torch" and ("trace" in call or "grad_trace" in call):
        return
    for name, _ in list(layer.named_parameters()):
        parametrize.register_parametrization(layer, name, Count(name, counts))
    counts.clear()
    layer(torch.randn(3, 2, 4), **call)
    assert set(counts.values()) == {1}
    assert len(counts) == 4 * layer.num_layers


@pytest.mark.parametrize(
    "norm", [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal]
)
def test_normed_weights_are_torchs(norm):
    """weight_norm, spectral_norm and orthogonal act on a layer as they act on torch.nn's, gradients included."""
    ours, theirs, x = GRU(4, 4), nn.GRU(4, 4), torch.randn(3, 2, 4)
    theirs.load_state_dict(ours.state_dict())
    results = []
    for layer in (ours, theirs):
        torch.manual_seed(1)
        norm(layer, "weight_hh_l0")
        y = layer.eval()(x)[0]
        y.square().sum().backward()
        results.append([y, *(p.grad for _, p in sorted(layer.named_parameters()))])
    close(*results, 1e-5)


def test_no_warning_and_no_note_in_everyday_use():
    """None of this shows where nobody asks for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = LSTM(3, 4, 2)
        layer.half().float().double().eval()
        layer(torch.randn(5, 2, 3, dtype=torch.float64))
