"""torch's own tests of RNN, LSTM and GRU, run on ours: the inputs are those of the torch that is installed."""

import copy
import io
import pickle
from functools import partial

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils import prune

import gated
from gated import InputError
from made.layers import close, parts

pytest.importorskip("expecttest", reason="torch.testing._internal needs it")
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

OURS = {nn.RNN: gated.RNN, nn.LSTM: gated.LSTM, nn.GRU: gated.GRU}
KINDS = {info.module_cls.__name__: info for info in module_db if info.module_cls in OURS}
kinds = pytest.mark.parametrize("kind", KINDS)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:LSTM with projections")

# What is expected to differ, and why. All else must agree.
DIFFERENCES = {
    "error text": "ours says where, what was expected, what came and what to do; the classes are torch's",
    "memory format": "torch's test wants 4 or 5 axes, which no recurrent layer takes; weights are compared instead",
    "devices": "cpu and gpu parity, and transfers, are in tests that need a GPU",
    "repr": "an RNN of relu says so, which torch's does not",
    "isinstance": "a torch.nn.RNNBase, but not torch.nn.LSTM, which torch.compile refuses to look into",
    "_flat_weights": "a tuple: what is put into torch's list reaches no weight of ours",
}


def samples(kind, dtype=torch.float64, requires_grad=False, training=False):
    """torch's inputs, with its layer and ours of equal weights."""
    info = KINDS[kind]
    for sample in info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=requires_grad, training=training
    ):
        made, given = sample.constructor_input, sample.forward_input
        theirs = info.module_cls(*made.args, dtype=dtype, **made.kwargs).train(training)
        ours = OURS[info.module_cls](*made.args, dtype=dtype, **made.kwargs).train(training)
        ours.load_state_dict(theirs.state_dict())
        yield theirs, ours, given, sample


def leaves(given):
    return [t for t in parts((given.args, tuple(given.kwargs.values()))) if t.is_floating_point()]


@kinds
@pytest.mark.parametrize("training", [True, False])
def test_forward(kind, training):
    """torch.nn's outputs, and those of torch's own reference, in both modes."""
    for theirs, ours, given, sample in samples(kind, training=training):
        result = ours(*given.args, **given.kwargs)
        close(theirs(*given.args, **given.kwargs), result)
        close(sample.reference_fn(ours, *given.args, **given.kwargs), result)


@kinds
def test_factory_kwargs(kind):
    """dtype, device="meta" and skip_init reach every parameter."""
    for theirs, ours, _, sample in samples(kind, torch.float32):
        made = sample.constructor_input
        assert [p.dtype for p in ours.parameters()] == [p.dtype for p in theirs.parameters()]
        bare = type(ours)(*made.args, device="meta", **made.kwargs)
        assert all(p.is_meta for p in bare.parameters())
        bare = nn.utils.skip_init(type(ours), *made.args, **made.kwargs)
        assert [p.shape for p in bare.parameters()] == [p.shape for p in theirs.parameters()]


@kinds
def test_to_and_memory_format(kind):
    """Conversion to another dtype, device or memory format, of all parameters."""
    for theirs, ours, given, _ in samples(kind, torch.float32):
        for move in (dict(dtype=torch.float64), dict(memory_format=torch.channels_last), dict(device="meta")):
            assert [(p.dtype, p.device) for p in ours.to(**move).parameters()] == [
                (p.dtype, p.device) for p in theirs.to(**move).parameters()
            ]
        assert [tuple(t.shape) for t in leaves(given)]


@kinds
def test_pickle_copy_and_save(kind):
    """A pickled, copied or saved layer gives equal outputs."""
    for _, ours, given, _ in samples(kind):
        with io.BytesIO() as file:
            torch.save(ours, file)
            file.seek(0)
            others = [torch.load(file, weights_only=False), pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)]
        expected = ours(*given.args, **given.kwargs)
        for other in others:
            assert all(map(torch.equal, parts(other(*given.args, **given.kwargs)), parts(expected)))


@kinds
def test_repr(kind):
    """A plain layer prints as torch.nn's, which leaves relu out."""
    for theirs, ours, _, _ in samples(kind):
        assert repr(ours).replace(", nonlinearity='relu'", "") == repr(theirs)


@kinds
def test_gradients_of_first_and_second_order(kind):
    """gradcheck, of a batch of gradients as well, and gradgradcheck by input, states and parameters."""
    for k, (_, ours, given, _) in enumerate([*samples(kind, requires_grad=True)][3::10]):
        names, weights = zip(*ours.named_parameters(), strict=True)
        inputs = leaves(given)

        def call(*values, ours=ours, names=names, given=given, inputs=inputs):
            n = len(inputs)
            x, *state = values[:n]
            hx = () if not state else (state[0],) if len(ours.cell.states) == 1 else (tuple(state),)
            assert len(given.args) == 1 + len(hx)
            result = torch.func.functional_call(ours, dict(zip(names, values[n:], strict=True)), (x, *hx))
            return tuple(parts(result))

        assert gradcheck(call, (*inputs, *weights), fast_mode=True, check_batched_grad=k == 0)
        assert k or gradgradcheck(call, (*inputs, *weights), fast_mode=True)


@kinds
def test_non_contiguous_tensors(kind):
    """Inputs, states and weights that lie in memory anyhow give torch.nn's outputs and gradients."""
    for theirs, ours, given, _ in samples(kind, requires_grad=True):
        odd = [torch.stack([t, t], -1).detach()[..., 0].requires_grad_() for t in leaves(given)]
        assert not any(t.is_contiguous() for t in odd if t.numel() > 1)
        for parameter in ours.parameters():
            parameter.data = torch.stack([parameter.data] * 2, -1)[..., 0]
        hx = odd[1:] if len(ours.cell.states) == 1 else [tuple(odd[1:])] if odd[1:] else []
        results = []
        for layer, args in ((theirs, given.args), (ours, (odd[0], *hx))):
            result = parts(layer(*args))
            wanted = [*(leaves(given) if layer is theirs else odd), *layer.parameters()]
            results.append([*result, *torch.autograd.grad(sum(r.sin().sum() for r in result), wanted)])
        close(*results)


@kinds
def test_errors(kind):
    """Each mistake that torch tries raises what torch raises, of the class that it names; the words are ours."""
    info = KINDS[kind]
    tried = info.module_error_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=False)
    for case in tried:
        made, given = case.module_error_input.constructor_input, case.module_error_input.forward_input
        make = partial(OURS[info.module_cls], *made.args, **made.kwargs)
        do = partial(make(), *given.args, **given.kwargs) if case.error_on is ModuleErrorEnum.FORWARD_ERROR else make
        with pytest.raises(case.error_type) as raised:
            do()
        assert isinstance(raised.value, InputError)


# From torch's test_nn.py, which its wheel does not hold.


@kinds
def test_rnn_args_check(kind):
    """An input or a state with one wrong size raises RuntimeError."""
    shapes = {"x": (6, 4, 3), "h": (2, 4, 5)}
    for part, axis in (("x", 1), ("h", 1), ("x", 2), ("h", 2), ("h", 0)):
        bad = shapes | {part: tuple(7 if k == axis else n for k, n in enumerate(shapes[part]))}
        good, x, h = torch.randn(shapes["h"]), torch.randn(bad["x"]), torch.randn(bad["h"])
        for hx in [(h, good), (good, h)] if kind == "LSTM" else [h]:
            with pytest.raises(RuntimeError):
                OURS[KINDS[kind].module_cls](3, 5, 2)(x, hx)


@kinds
def test_rnn_initial_hidden_state(kind):
    """States of zeros are what no states are."""
    layer, x = OURS[KINDS[kind].module_cls](30, 20, 2), torch.randn(10, 3, 30)
    h = torch.zeros(2, 3, 20)
    close(layer(x), layer(x, (h, h) if kind == "LSTM" else h), 0)


@kinds
def test_empty_batch_and_retained_graph(kind):
    """No sequence is a batch too, forward and backward; a graph that is kept gives equal gradients twice."""
    layer = OURS[KINDS[kind].module_cls](10, 20, 2, bidirectional=True)
    y = parts(layer(torch.randn(5, 0, 10, requires_grad=True)))
    assert y[0].shape == (5, 0, 40)
    y[0].sum().backward()
    assert all(not p.grad.any() for p in layer.parameters())
    y = layer(torch.randn(5, 6, 10))[0].sum()
    first = torch.autograd.grad(y, layer.parameters(), retain_graph=True)
    close(first, torch.autograd.grad(y, layer.parameters(), retain_graph=True), 0)


@kinds
def test_pruned_weights(kind):
    """torch.nn.utils.prune finds the weights, and _flat_weights shows which are parameters no longer."""
    layer = OURS[KINDS[kind].module_cls](3, 4)
    assert sum(isinstance(p, nn.Parameter) for p in layer._flat_weights) == 4
    prune.random_unstructured(layer, "weight_ih_l0", 0.5)
    assert sum(isinstance(p, nn.Parameter) for p in layer._flat_weights) == 3
    assert layer(torch.randn(5, 2, 3))[0].isfinite().all()


def test_projections_lstm_args_check():
    """proj_size is the LSTM's; a projection as wide as h, or wider, is refused."""
    for kind in (gated.RNN, gated.GRU):
        for P in (0, 2):
            with pytest.raises(
                ValueError, match=f"{kind.__name__} proj_size: expected no projection, which only an LSTM"
            ):
                kind(3, 4, proj_size=P)
    for P in (-1, 4, 5):
        with pytest.raises(ValueError, match="LSTM proj_size"):
            gated.LSTM(3, 4, proj_size=P)
    with pytest.raises(RuntimeError):
        gated.LSTM(3, 4, proj_size=2)(torch.randn(5, 2, 3), (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)))
