"""The native core as an operator of torch: whatever torch does with operators works, or is refused, never wrong."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, jacrev
from torch.nn.utils.parametrizations import weight_norm
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from gated import InputError, _native
from gated.layers import GRU, LSTM, RNN
from made import fresh
from made.layers import NOISY, VARIANTS, close, parts

scan = torch.ops.gated.scan.default
KINDS = {kind: (VARIANTS | NOISY)[kind] for kind in ("LSTM", "GRU", "RNN", "all at once", "reset before, noisy")}
kinds = pytest.mark.parametrize("kind", KINDS)
DOUBLE = dict(dtype=torch.float64, path="native")


def twin(layer):
    """The same layer by the definition."""
    other = copy.deepcopy(layer)
    other.path = "loop"
    return other


@kinds
@pytest.mark.parametrize("how", ["plain", "states", "lengths and trace"])
def test_the_operator_passes_torchs_own_checks(kind, how):
    """Schema, autograd registration, fake tensors and tracing with dynamic shapes, forward and backward."""
    layer = KINDS[kind](3, 4, bidirectional=True)
    x, recipe = torch.randn(5, 2, 3, requires_grad=True), layer.stack.recipes[True]
    states = (
        [torch.randn(2, 2, w, requires_grad=True) for w in layer.stack.widths[0].values()] if how == "states" else []
    )
    lengths, keep = (torch.tensor([5, 2]), recipe.keep) if how == "lengths and trace" else (None, ())
    given = (recipe.text, x, states, list(layer.parameters()), lengths, torch.tensor([1, 2]), " ".join(keep))
    torch.library.opcheck(scan, (*given, False, 0, False))


GRAPHS = """
import torch
from torch.export import Dim, export
from gated.layers import GRU, LSTM

def targets(graph):
    return [str(node.target) for node in graph.nodes]

def counting(graph, example):
    global scans
    scans = sum("gated.scan" in name for name in targets(graph.graph))
    assert not any(word in name for name in targets(graph.graph) for word in ("sigmoid", "tanh", "linear"))
    return torch._dynamo.backends.debugging.aot_eager(graph, example)

def flat(result):
    return [t for part in result for t in (flat(part) if isinstance(part, tuple | list) else
            list(part.values()) if isinstance(part, dict) else [part])]

x, lengths = torch.randn(9, 3, 3), torch.tensor([9, 0, 4])
for layer, many, how in (
    (LSTM(3, 4), 1, dict(lengths=lengths)),
    (LSTM(3, 4, 2, bidirectional=True, peephole=True, path="native"), 2, dict(lengths=lengths, trace=True)),
    (GRU(3, 4, reset="before", layer_norm=True, zoneout=0.1, recurrent_dropout=0.2, bidirectional=True), 1,
     dict(lengths=lengths)),
    (LSTM(3, 4, recompute=True), 1, {}),
):
    torch._dynamo.reset()
    compiled, found = torch.compile(layer, fullgraph=True, backend=counting), []
    for run in (layer, compiled):
        torch.manual_seed(1)
        values = flat(run(x, **how))
        gradients = torch.autograd.grad(sum(v.square().sum() for v in values), list(layer.parameters()))
        found.append([*values, *gradients])
    assert scans == many
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    assert bool(any(layer.zoneout)) != torch.equal(compiled(x, **how)[0], compiled(x, **how)[0])
    longer = torch.randn(11, 3, 3)
    torch.testing.assert_close(compiled(longer)[1], layer(longer)[1]) if not any(layer.zoneout) else None

layer = LSTM(3, 4, 2, bidirectional=True, peephole=True, zoneout=0.1).eval()
for strict in (False, True):
    shapes = ({0: Dim("T", min=2, max=999), 1: Dim("B", min=2, max=99)},)
    program = export(layer, (x,), dynamic_shapes=shapes, strict=strict)
    names = targets(program.run_decompositions().graph)
    assert sum("gated.scan" in name for name in names) == 2
    assert not any(word in name for name in names for word in ("sigmoid", "tanh", "linear"))
    longer = torch.randn(17, 5, 3)
    torch.testing.assert_close(program.module()(longer)[0], layer(longer)[0])

with torch.no_grad():
    traced = torch.jit.trace(layer, (x,), check_trace=False)
assert str(traced.inlined_graph).count("gated::scan") == 2
torch.testing.assert_close(traced(x + 1), layer(x + 1))
print("done")
"""


def test_a_graph_has_one_node_a_layer():
    """compile(fullgraph) trains with eager's values and fresh masks each call; export has dynamic T and B; jit.trace
    records the run, not its result; none unrolls the loop.
    """
    done = fresh.run(GRAPHS)  # free of shape checks
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "done"


def test_parameters_of_another_kind_see_the_operator():
    """A subclass of tensors among the weights is asked, not read past."""
    layer, x = GRU(3, 4), torch.randn(5, 2, 3)
    expected = layer(x)[0]
    layer.weight_hh_l0 = torch.nn.Parameter(TwoTensor(layer.weight_hh_l0.detach(), layer.weight_hh_l0.detach()))
    y = layer(x)[0]
    assert type(y) is TwoTensor
    close(y.a, expected)


def test_two_directions_without_bias_are_not_one_with():
    """Four parameters are two matrices twice, or two matrices with two biases: both run as what they are."""
    for how in (dict(bias=False, bidirectional=True), {}):
        layer, x = RNN(3, 3, **how, **DOUBLE), torch.randn(5, 2, 3, dtype=torch.float64)
        close(layer(x)[0], twin(layer)(x)[0])


class Listening(TorchDispatchMode):
    """Notes the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name())
        return function(*args, **(kwargs or {}))


def test_modes_that_listen_see_the_operator():
    """Under a dispatch mode results and gradients are the same; fake tensors get shapes without memory."""
    layer, x = GRU(3, 4, bidirectional=True), torch.randn(5, 2, 3)
    plain = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    with Listening() as mode:
        heard = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    assert {"gated::scan", "gated::scan_backward"} <= mode.names
    for a, b in zip(plain, heard, strict=True):
        close(a, b)
    with FakeTensorMode():
        y, h = GRU(3, 4, bidirectional=True)(torch.empty(5, 2, 3))
    assert (y.shape, h.shape) == ((5, 2, 8), (2, 2, 4))


@pytest.mark.parametrize("layer", [LSTM(3, 4), GRU(3, 4, reset="before"), LSTM(3, 4, 2, peephole=True)], ids=repr)
def test_autocast_is_torch_nns(layer):
    """Under bfloat16 autocast float32 and bfloat16 inputs give outputs and states in it, near those in float32."""
    x = torch.randn(5, 2, 3)
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if torch.ops.mkldnn._is_mkldnn_bf16_supported():  # oneDNN refuses it elsewhere: ours runs on every processor
            assert {part.dtype for part in parts(torch.nn.LSTM(3, 4)(x))} == {torch.bfloat16}
        for given in (x, x.bfloat16()):
            found = layer(given)
            assert {part.dtype for part in parts(found)} == {torch.bfloat16}
            torch.testing.assert_close(found[0].float(), expected[0], atol=0.03, rtol=0.03)
    found[0].sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in layer.parameters())


@kinds
def test_second_derivatives_are_the_definitions(kind):
    """First and second derivatives agree with finite differences, for input, states and parameters."""
    layer = KINDS[kind](3, 4, **DOUBLE)
    many = len(layer.cell.states)
    names = [name for name, _ in layer.named_parameters()]
    state = [torch.randn(1, 2, w, dtype=torch.float64, requires_grad=True) for w in layer.stack.widths[0].values()]

    def call(x, *values):
        torch.manual_seed(1)
        hx = values[0] if many == 1 else values[:many]
        parameters = dict(zip(names, values[many:], strict=True))
        return tuple(parts(functional_call(layer, parameters, (x, hx), {"lengths": [3, 1]})))

    values = [layer.get_parameter(name).detach().clone().requires_grad_() for name in names]
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(call, (x, *state, *values), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, (x, *state, *values), fast_mode=True)


def test_second_derivatives_reach_traces_and_shared_weights():
    """A penalty on the gradient of a traced gate, with one parameter in both directions, is the definition's."""
    layer = LSTM(3, 4, bidirectional=True, **DOUBLE)
    for name, parameter in list(layer.named_parameters()):
        if not name.endswith("reverse"):
            setattr(layer, f"{name}_reverse", parameter)
    found, x = [], torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    for path in ("native", "loop"):
        layer.path = path
        y, _, trace = layer(x, trace=True)
        leaves = [x, *layer.parameters()]
        first = torch.autograd.grad(trace[0][1]["f"].sin().sum() + y.cos().sum(), leaves, create_graph=True)
        found.append([*first, *torch.autograd.grad(sum(d.square().sum() for d in first), leaves)])
    for a, b in zip(*found, strict=True):
        close(a, b)


def test_a_sequence_without_a_step_has_no_gradient_but_its_states():
    """At T = 0 a derivative that shall be differentiated is zero for all but the states, which pass through."""
    layer, x = GRU(3, 4, **DOUBLE), torch.zeros(0, 2, 3, dtype=torch.float64)
    h = torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    y, last = layer(x, h)
    found = torch.autograd.grad(y.sum(), list(layer.parameters()), create_graph=True, materialize_grads=True)
    assert not any(gradient.any() for gradient in found)
    (slope,) = torch.autograd.grad(last.square().sum(), h, create_graph=True)
    close(torch.autograd.grad(slope.sum(), h)[0], torch.full_like(h, 2.0))


@kinds
def test_any_part_of_the_result_may_make_the_loss(kind):
    """Backward through the output alone, a state alone, a trace alone, twice with retain_graph: the definition's."""
    layer = KINDS[kind](3, 4, bidirectional=True, **DOUBLE)
    x = torch.randn(4, 3, 3, dtype=torch.float64, requires_grad=True)
    runs = []
    for path in ("native", "loop"):
        layer.path = path
        torch.manual_seed(2)
        result = layer(x, lengths=[4, 1, 3], trace=True)
        torch.manual_seed(2)
        found = [layer(x)[0], *parts(result[:2]), *(way[name] for way in result[2][0] for name in way)]
        found += [sum(part.sum() for part in found)]
        runs.append([torch.autograd.grad(v.sum(), x, retain_graph=True)[0] for v in (*found, found[0], found[-1])])
    for a, b in zip(*runs, strict=True):
        close(a, b)


def test_only_what_is_asked_for_gets_a_gradient():
    """Frozen parameters, an input without gradient and one state with it: each alone, and right."""
    layer = LSTM(3, 4, **DOUBLE)
    layer.weight_ih_l0.requires_grad_(False)
    layer.bias_hh_l0.requires_grad_(False)
    h, c = torch.randn(1, 2, 4, dtype=torch.float64), torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    other, x = twin(layer), torch.randn(4, 2, 3, dtype=torch.float64)
    for run in (layer, other):
        c.grad = None
        run(x, (h, c))[0].sin().sum().backward()
        found = [c.grad, run.weight_hh_l0.grad, run.bias_ih_l0.grad]
        expected = found if run is layer else expected
        assert run.weight_ih_l0.grad is None
        assert run.bias_hh_l0.grad is None
    for a, b in zip(expected, found, strict=True):
        close(a, b)


def test_transforms_take_the_definition():
    """jacrev and forward mode work on the automatic path and say so; the native path refuses them."""
    layer, x = RNN(3, 4, dtype=torch.float64), torch.randn(3, 2, 3, dtype=torch.float64)
    jacobian = jacrev(lambda x: layer(x)[0])(x)
    assert jacobian.shape == (3, 2, 4, 3, 2, 3)
    with torch.no_grad(), forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        tangent = forward_ad.unpack_dual(layer(dual)[0]).tangent
    close(tangent, jacobian.sum((-3, -2, -1)))
    layer.path = "native"
    with pytest.raises(InputError, match=r"path='native'.*vmap, jvp and their like want the steps one by one"):
        torch.func.grad(lambda x: layer(x)[0].sum())(x)


def test_memory_may_lie_anyhow():
    """Strided and expanded inputs, states and weights compute what their contiguous copies do, gradients included."""
    layer = LSTM(3, 4, bidirectional=True, **DOUBLE)
    base = torch.randn(8, 2, 5, dtype=torch.float64, requires_grad=True)
    odd = [base.permute(2, 1, 0)[..., ::3], base[:5, :, :1].expand(5, 2, 3)]
    odd += [base[..., 1:4], base.unfold(0, 3, 1)[:, :, 0]]
    h = torch.randn(4, 2, 2, dtype=torch.float64).permute(1, 2, 0)
    tall = torch.nn.Parameter(torch.randn(3, 16, dtype=torch.float64).T)
    layer.weight_ih_l0 = tall
    for x in odd:
        results = []
        for given, state in ((x, h), (x.contiguous(), h.contiguous())):
            y, _ = layer(given, (state, state))
            results.append([y, *torch.autograd.grad(y.sin().sum(), [base, tall])])
        for a, b in zip(*results, strict=True):
            close(a, b)


def test_memory_that_torch_hands_out_dirty_changes_nothing():
    """With every new buffer full of NaN, values and gradients are the same and finite."""
    x = torch.randn(5, 3, 3, dtype=torch.float64, requires_grad=True)
    for make in KINDS.values():
        for how, options in (({}, {}), ({}, dict(lengths=[5, 0, 2], trace=True)), (dict(recompute=2), {})):
            layer, found = make(3, 4, bidirectional=True, **how, **DOUBLE), []
            for poison in (False, True):
                torch.use_deterministic_algorithms(poison)  # fills what torch.empty gives
                try:
                    torch.manual_seed(3)
                    values = parts(layer(x, **options))
                    loss = sum(v.sin().sum() for v in values)
                    found.append([*values, *torch.autograd.grad(loss, [x, *layer.parameters()])])
                finally:
                    torch.use_deterministic_algorithms(False)
            for a, b in zip(*found, strict=True):
                assert torch.equal(a, b)
                assert b.isfinite().all()


@kinds
@pytest.mark.parametrize("recompute", [True, 1, 3, 100])
def test_recomputing_changes_memory_and_nothing_else(kind, recompute):
    """Values and gradients are those without, with lengths, states, noise and both directions."""
    x = torch.randn(10, 3, 3, dtype=torch.float64, requires_grad=True)
    layer, found = KINDS[kind](3, 4, bidirectional=True, **DOUBLE), []
    state = [torch.randn(2, 3, w, dtype=torch.float64, requires_grad=True) for w in layer.stack.widths[0].values()]
    for how in (False, recompute):
        layer.recompute = how
        torch.manual_seed(4)
        values = parts(layer(x, state[0] if len(state) == 1 else tuple(state), lengths=[10, 0, 7]))
        found.append(
            [*values, *torch.autograd.grad(sum(v.sin().sum() for v in values), [x, *state, *layer.parameters()])]
        )
    for a, b in zip(*found, strict=True):
        close(a, b)


def test_recomputing_keeps_a_root_of_the_memory():
    """Beside input and output, training holds about √T of what it holds otherwise."""
    x = torch.randn(400, 2, 3)

    def held(**how):
        sizes = []
        layer = LSTM(3, 16, **how)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            y, _ = layer(x)
        y.sum().backward()
        return sum(sizes) - x.numel() - y.numel() - sum(p.numel() for p in layer.parameters())

    assert held() > 400 * 2 * 16 * 4
    assert 0 < held(recompute=True) <= 20 * 2 * 16
    assert held(recompute=100) <= 4 * 2 * 16


def test_checkpoint_and_offloading_keep_the_gradients():
    """torch.utils.checkpoint and hooks on saved tensors give the gradients that there are without them."""
    layer, x = LSTM(3, 4, peephole=True), torch.randn(5, 2, 3, requires_grad=True)
    plain = torch.autograd.grad(layer(x)[0].sin().sum(), [x, *layer.parameters()])
    again = torch.autograd.grad(checkpoint(layer, x, use_reentrant=False)[0].sin().sum(), [x, *layer.parameters()])
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone().numpy(force=True), torch.from_numpy):
        away = torch.autograd.grad(layer(x)[0].sin().sum(), [x, *layer.parameters()])
    for a, b, c in zip(plain, again, away, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_what_changes_before_the_backward_pass_is_noticed():
    """A weight or an output overwritten after the forward pass raises torch's error, in place of a wrong gradient."""
    layer, x = GRU(3, 4), torch.randn(5, 2, 3)
    y, _ = layer(x)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y, _ = layer(x)
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_weights_may_be_replaced_by_others_that_fit():
    """functional_call, parametrizations and tensors in a parameter's place are seen; what does not fit is refused."""
    layer, x = LSTM(3, 4, dtype=torch.float64), torch.randn(5, 2, 3, dtype=torch.float64)
    other = {name: torch.randn_like(p) for name, p in layer.named_parameters()}
    expected = functional_call(twin(layer), other, (x,))[0]
    close(functional_call(layer, other, (x,))[0], expected)
    normed = weight_norm(copy.deepcopy(layer), "weight_hh_l0")
    close(normed(x)[0], layer(x)[0])
    normed(x)[0].sum().backward()
    assert normed.parametrizations.weight_hh_l0.original0.grad is not None
    for wrong in (torch.zeros(16, 3, dtype=torch.float64), torch.zeros(16, 4)):
        layer.weight_hh_l0 = torch.nn.Parameter(wrong)
        with pytest.raises((InputError, RuntimeError)):
            layer(x)


def test_layers_that_were_copied_pickled_or_changed_run_what_they_are():
    """Copies and pickles keep their programs; a rate changed after the making counts from then on."""
    layer, x = LSTM(3, 4, zoneout=0.3, path="native"), torch.randn(5, 2, 3)
    layer.eval()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x)[0], layer(x)[0])
    layer.zoneout = (0.0, 0.9)
    close(layer(x)[0], twin(layer)(x)[0], 1e-6)
    layer.train()
    torch.manual_seed(5)
    y = layer(x)[0]
    torch.manual_seed(5)
    close(y, twin(layer)(x)[0], 1e-6)


def test_several_python_threads_may_call_at_once():
    """Calls from four threads, forward and backward, between torch's own products, do not disturb each other."""
    layer = LSTM(8, 24, bidirectional=True, peephole=True)
    xs = [torch.randn(20, 6, 8) for _ in range(8)]

    def work(x):
        x = (x @ torch.eye(8)).requires_grad_()
        y, _ = layer(x)
        (gradient,) = torch.autograd.grad((y @ torch.ones(48, 3)).sum(), x)
        return y.detach(), gradient

    expected = [work(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for found in [list(pool.map(work, xs)) for _ in range(3)]:
            for a, b in zip(found, expected, strict=True):
                assert torch.equal(a[0], b[0])
                assert torch.equal(a[1], b[1])


def test_inference_mode_keeps_nothing():
    """Under inference_mode and no_grad the values are those of training, and no graph is built."""
    layer, x = GRU(3, 4, 2, bidirectional=True), torch.randn(5, 2, 3)
    expected = layer(x)[0]
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            y = layer(x)[0]
        assert torch.equal(y, expected)
        assert not y.requires_grad


@pytest.mark.skipif(not _native.bf16(), reason="the processor has no products in bfloat16")
@kinds
def test_bfloat16_products_are_near_and_states_stay_wide(kind):
    """precision="bfloat16" gives float32 results and gradients, near the full ones and not equal to them."""
    layer = KINDS[kind](3, 4, bidirectional=True, path="native").train(kind != "reset before, noisy")
    x, found = torch.randn(20, 6, 3, requires_grad=True), []
    for precision in ("float32", "bfloat16"):
        layer.precision = precision
        y = layer(x)[0]
        found.append([y, *torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])])
    for a, b in zip(*found, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).norm() < 0.03 * a.norm() + 1e-3
    assert not torch.equal(found[0][0], found[1][0])


def test_a_precision_that_the_processor_lacks_is_said_or_refused(monkeypatch):
    """Without bfloat16 products path="native" refuses them, and the automatic path says that it goes without."""
    monkeypatch.setattr(_native, "bf16", lambda: False)
    layer, x = LSTM(3, 4, precision="bfloat16"), torch.randn(5, 2, 3)
    lacks = "the processor has no products in bfloat16"
    assert layer.explain(x) == f"native: LSTM in the native core; products in the weights' precision: {lacks}"
    assert torch.equal(layer(x)[0], functional_call(LSTM(3, 4), dict(layer.named_parameters()), (x,))[0])
    layer.path = "native"
    with pytest.raises(InputError, match=lacks):
        layer(x)
    given = (layer.stack.recipes[True].text, x, [], list(layer.parameters()), None, None, "", False, 0)
    with pytest.raises(InputError, match="a processor with products in bfloat16"):
        scan(*given, True)


def test_a_change_of_sign_that_torch_put_off_is_not_lost():
    """Of a lazily negated view the core reads the numbers that torch shows."""
    x = torch.randn(5, 2, 1, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    layer = LSTM(1, 4)
    with torch.no_grad():
        assert torch.equal(layer(x)[0], layer(x.resolve_neg().contiguous())[0])
