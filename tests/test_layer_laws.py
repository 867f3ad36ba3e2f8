"""Laws that every layer obeys, whatever its numbers."""

import math

import pytest
import torch
from torch.func import functional_call

from gated.kernels import noise
from gated.layers import GRU, LSTM, RNN, Recurrent
from made.layers import NOISY, VARIANTS, close, hold

MORE = {
    "zoneout": lambda I, H, **how: NOISY["zoneout"](I, H, **how).eval(),
    "residual": lambda I, H, **how: GRU(I, H, residual=True, **how),
    "widths": lambda I, H, **how: LSTM(I, [H, H + 1], **{**how, "num_layers": 2}),
}
ALL = VARIANTS | MORE
variants = pytest.mark.parametrize("kind", ALL)
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")
TWO = dict(num_layers=2, bidirectional=True, dtype=torch.float64)


def make(kind, **how):
    return ALL[kind](3, 4, **how)


def states(result):
    """Every final state of a result, in one list of (D, B, ·) or (L·D, B, ·)."""
    state = result[1] if isinstance(result[1], tuple) else (result[1],)
    return [part for s in state for part in (s if isinstance(s, list) else [s])]


def flat_map(change, state):
    """A layer's states, each changed, in the form they had."""
    return change(state) if isinstance(state, torch.Tensor) else type(state)(flat_map(change, s) for s in state)


@pytest.mark.parametrize("path", ["torch", "loop"])
def test_an_open_forget_gate_and_a_shut_input_gate_keep_c_for_ever(path):
    """f = 1 and i = 0 carry c through all steps unchanged, to the bit."""
    layer = LSTM(3, 4, path=path)
    hold(layer, "f", 100.0)
    hold(layer, "i", -200.0)
    c = torch.randn(1, 2, 4)
    _, (_, last) = layer(torch.randn(300, 2, 3), (torch.randn(1, 2, 4), c))
    assert torch.equal(last, c)


def test_an_open_update_gate_copies_h():
    """z = 1 carries h through all steps unchanged, to the bit in the loop; torch's (h - n) z + n rounds."""
    layer, h, x = GRU(3, 4), torch.randn(1, 2, 4), torch.randn(300, 2, 3)
    hold(layer, "z", 100.0)
    close(layer(x, h)[0], h.expand(300, 2, 4), 1e-5)
    layer.path = "loop"
    y, last = layer(x, h)
    assert torch.equal(last, h)
    assert torch.equal(y, h.expand_as(y))


@variants
@pytest.mark.parametrize("path", ["auto", "loop"])
def test_a_padded_batch_equals_its_sequences_run_alone(kind, path):
    """With lengths every value and gradient is that of each sequence alone; NaN in the padding touches nothing."""
    layer = make(kind, **TWO, path=path)
    lengths = torch.tensor([3, 0, 6, 1, 3], dtype=torch.int16)
    x = torch.randn(6, 5, 3, dtype=torch.float64)
    for b, n in enumerate(lengths):
        x[n:, b] = math.nan
    x.requires_grad_()
    first = flat_map(lambda s: torch.randn_like(s).requires_grad_(), layer(torch.zeros_like(x))[1])
    leaves = [x, *states((x, first)), *layer.parameters()]
    result = layer(x, first, lengths=lengths)
    loss = result[0].sin().sum() + sum(s.cos().sum() for s in states(result))
    together = torch.autograd.grad(loss, leaves)

    losses = []
    for b, n in enumerate(lengths.tolist()):
        alone = layer(x[:n, b : b + 1], flat_map(lambda s, b=b: s[:, b : b + 1], first))
        close(result[0][:n, b : b + 1], alone[0])
        assert not result[0][n:, b].any()
        for whole, one in zip(states(result), states(alone), strict=True):
            close(whole[:, b : b + 1], one)
        losses.append(alone[0].sin().sum() + sum(s.cos().sum() for s in states(alone)))
    apart = torch.autograd.grad(sum(losses), leaves)
    for a, b in zip(together, apart, strict=True):
        close(a, b)
    assert together[0].isfinite().all()


@variants
def test_a_batch_of_one_equals_a_batch_of_many(kind):
    """A sequence's results do not depend on who shares its batch."""
    layer = make(kind, **TWO)
    x = torch.randn(5, 64, 3, dtype=torch.float64)
    many, one = layer(x), layer(x[:, 17:18])
    close(many[0][:, 17:18], one[0])
    for a, b in zip(states(many), states(one), strict=True):
        close(a[:, 17:18], b)


@variants
def test_bidirectional_is_flip_run_flip(kind):
    """The second direction is a layer of its own that reads the input from its end."""
    layer = make(kind, num_layers=1, bidirectional=True, dtype=torch.float64)
    one = make(kind, num_layers=1, dtype=torch.float64)
    if kind == "widths":
        layer, one = (LSTM(3, [4], dtype=torch.float64, bidirectional=both) for both in (True, False))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    both = layer(x)
    for direction, suffix in enumerate(("", "_reverse")):
        one.load_state_dict({name: layer.get_parameter(name + suffix) for name, _ in one.named_parameters()})
        alone = one(x.flip(0) if direction else x)
        y = alone[0].flip(0) if direction else alone[0]
        close(both[0].chunk(2, -1)[direction], y)
        for a, b in zip(states(both), states(alone), strict=True):
            close(a[direction : direction + 1], b)


@pytest.mark.parametrize("kind", ["LSTM", "all at once", "GRU", "normed reset before", "RNN", "zoneout"])
def test_the_gradient_of_the_loop_passes_gradcheck_twice(kind):
    """First and second derivatives agree with finite differences, for input and parameters."""
    layer = make(kind, dtype=torch.float64, path="loop")
    names = [name for name, _ in layer.named_parameters()][:3] + [name for name, _ in layer.named_parameters()][-1:]

    def run(x, *values):
        y, _ = functional_call(layer, dict(zip(names, values, strict=True)), (x,), {"lengths": [3, 1]})
        return y

    values = [layer.get_parameter(name).detach().clone().requires_grad_() for name in names]
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, *values), fast_mode=True)


@variants
def test_a_state_handed_on_continues_the_sequence(kind):
    """Two halves with the state between them are the whole."""
    layer = make(kind, num_layers=2, dtype=torch.float64)
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    whole = layer(x)
    first = layer(x[:4])
    second = layer(x[4:], first[1])
    close(whole[0], torch.cat([first[0], second[0]]))
    for a, b in zip(states(whole), states(second), strict=True):
        close(a, b)


def test_the_state_of_unlike_widths_with_a_projection_goes_back_in():
    """Where layers differ in width, each state is a list by layer, h too, though a projection makes all h alike."""
    layer, x = LSTM(3, [4, 5], proj_size=2), torch.randn(7, 2, 3)
    first = layer(x[:4])
    assert [type(state) for state in first[1]] == [list, list]
    close(layer(x)[0], torch.cat([first[0], layer(x[4:], first[1])[0]]))


@variants
def test_no_steps_change_no_state(kind):
    """T = 0, and an empty batch, give empty outputs and the states that came in."""
    layer = make(kind, **TWO)
    given = layer(torch.randn(2, 3, 3, dtype=torch.float64))[1]
    y, kept = layer(torch.zeros(0, 3, 3, dtype=torch.float64), given, lengths=[0, 0, 0])
    assert len(y) == 0
    assert all(torch.equal(a, b) for a, b in zip(states((y, given)), states((y, kept)), strict=True))
    assert layer(torch.zeros(4, 0, 3, dtype=torch.float64))[0].shape[:2] == (4, 0)


@variants
def test_a_trace_shows_the_run_itself(kind):
    """h of the trace is the output, its last step the final state; every value has each step, layer and direction."""
    layer = make(kind, **{**TWO, "batch_first": True})
    layer.residual = False
    x = torch.randn(3, 5, 3, dtype=torch.float64)
    lengths = [5, 2, 4]
    result = layer(x, lengths=lengths, trace=True)
    trace = result[2]
    close(result[0], layer(x, lengths=lengths)[0])
    assert torch.equal(result[0], torch.cat([way["h"] for way in trace[-1]], -1))
    expected = {"h"} if isinstance(layer, RNN) else set("rznh") if isinstance(layer, GRU) else set("ifgoch")
    expected = {"own": set("fh"), "own, odd": {"m", "h", "late", "b", "same"}}.get(kind, expected)
    for row in trace:
        for way in row:
            assert way.keys() == expected - ({"f"} if kind == "LSTM of 1997" else set())
            assert all(value.shape[:2] == (3, 5) and not value[1, 2:].any() for value in way.values())
    for name, state in zip(layer.cell.states, result[1] if isinstance(result[1], tuple) else [result[1]], strict=True):
        last = state[-1] if isinstance(state, list) else state[-2:]
        for b, n in enumerate(lengths):
            assert torch.equal(last[0, b], trace[-1][0][name][b, n - 1])
            assert torch.equal(last[1, b], trace[-1][1][name][b, 0])


def test_a_trace_equals_a_computation_by_hand():
    """One unit, one weight, two steps: i f g o c h as pen and paper give them."""
    layer = LSTM(1, 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor([[0.1], [0.2], [0.3], [0.4]]))
        layer.weight_hh_l0.copy_(torch.tensor([[0.5], [0.6], [0.7], [0.8]]))
        layer.bias_ih_l0.copy_(torch.tensor([0.01, 0.02, 0.03, 0.04]))
        layer.bias_hh_l0.zero_()
    way = layer(torch.tensor([[[1.0]], [[-2.0]]], dtype=torch.float64), trace=True)[2][0][0]
    h = c = 0.0
    for t, x in enumerate((1.0, -2.0)):
        i, f, g, o = (
            squash(w * x + r * h + b)
            for squash, w, r, b in zip(
                [lambda a: 1 / (1 + math.exp(-a))] * 2 + [math.tanh] + [lambda a: 1 / (1 + math.exp(-a))],
                layer.weight_ih_l0.flatten().tolist(),
                layer.weight_hh_l0.flatten().tolist(),
                layer.bias_ih_l0.tolist(),
                strict=True,
            )
        )
        c = f * c + i * g
        h = o * math.tanh(c)
        for name, value in dict(i=i, f=f, g=g, o=o, c=c, h=h).items():
            assert way[name][t].item() == pytest.approx(value, abs=1e-12)


def test_a_trace_of_gradients_is_the_derivative_at_each_step():
    """dh and dc hold ∂L/∂h_t and ∂L/∂c_t through all that follows: the gradient of a run begun at that step."""
    layer = LSTM(3, 4, dtype=torch.float64)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    y, _, trace = layer(x, grad_trace=True)
    y[-1].sin().sum().backward()
    way = trace[0][0]
    for t in range(5):
        h, c = (way[name][t : t + 1].detach().requires_grad_() for name in "hc")
        dh, dc = torch.autograd.grad(layer(x[t + 1 :], (h, c))[0][-1].sin().sum(), (h, c))
        close(way["dh"][t], dh[0])
        close(way["dc"][t], dc[0] + dh[0] * way["o"][t] * (1 - way["c"][t].tanh() ** 2))


def test_gradients_in_a_trace_stop_at_the_ends_of_the_sequences():
    """With lengths and both directions, dc of a padded batch is that of its sequences run alone, zero past the ends."""
    layer = LSTM(3, 4, bidirectional=True, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, 5, 3, dtype=torch.float64)

    def gradients(x, **how):
        y, state, trace = layer(x, grad_trace=True, **how)
        (y.sin().sum() + sum(s.cos().sum() for s in state)).backward()
        return [way["dc"] for way in trace[0]]

    for direction, whole in enumerate(gradients(x, lengths=[5, 3])):
        close(whole[:1], gradients(x[:1])[direction])
        close(whole[1:, :3], gradients(x[1:, :3])[direction])
        assert not whole[1, 3:].any()


def test_peepholes_of_zero_are_the_plain_lstm():
    """A peephole LSTM whose vectors are zero is the LSTM."""
    plain, peephole = LSTM(3, 4, **TWO), LSTM(3, 4, peephole=True, **TWO)
    with torch.no_grad():
        for name, parameter in peephole.named_parameters():
            parameter.zero_() if "weight_c" in name else parameter.copy_(plain.get_parameter(name))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    close(plain(x)[0], peephole(x)[0])


def test_coupled_gates_are_an_lstm_with_f_at_1_minus_i():
    """Since σ(-a) = 1 - σ(a), the LSTM whose forget gate has the negated input gate's weights is the CIFG."""
    plain, coupled = LSTM(3, 4, **TWO), LSTM(3, 4, coupled=True, **TWO)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            i, g, o = coupled.get_parameter(name).chunk(3)
            parameter.copy_(torch.cat([i, -i, g, o]))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    close(plain(x)[0], coupled(x)[0])


def test_the_lstm_of_1997_is_an_lstm_with_f_at_1():
    """Without forget gate is with one held open."""
    plain, first = LSTM(3, 4), LSTM(3, 4, forget_gate=False)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            i, g, o = first.get_parameter(name).chunk(3)
            parameter.copy_(torch.cat([i, i, g, o]))
    hold(plain, "f", 100.0)
    x = torch.randn(5, 2, 3)
    close(plain(x)[0], first(x)[0], 1e-6)


def test_resetting_before_or_after_agrees_where_r_is_1():
    """The two GRUs differ in where r stands, and nowhere else."""
    after, before = GRU(3, 4), GRU(3, 4, reset="before")
    with torch.no_grad():
        after.weight_ih_l0.copy_(before.weight_ih_l0)
        after.weight_hh_l0.copy_(torch.cat([before.weight_hh_l0, before.weight_hn_l0]))
        after.bias_ih_l0.copy_(before.bias_ih_l0)
        after.bias_hh_l0.copy_(torch.cat([before.bias_hh_l0, torch.zeros(4)]))
    x = torch.randn(5, 2, 3)
    assert (after(x)[0] - before(x)[0]).abs().max() > 1e-4
    hold(after, "r", 100.0)
    hold(before, "r", 100.0)
    close(after(x)[0], before(x)[0], 1e-6)


@pytest.mark.parametrize("layer", [LSTM, GRU, RNN])
def test_noise_of_rate_zero_is_no_noise(layer):
    """zoneout=0 and recurrent_dropout=0 are the plain layer, to the bit, in training."""
    torch.manual_seed(4)
    quiet = layer(3, 4, zoneout=0.0, recurrent_dropout=0.0)
    torch.manual_seed(4)
    plain, x = layer(3, 4), torch.randn(5, 2, 3)
    assert torch.equal(quiet(x)[0], plain(x)[0])


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_of_one_freezes_the_states(training):
    """At rate 1 both states stay where they began, in training and in evaluation; each state has its own rate."""
    x, h, c = torch.randn(5, 2, 3), torch.randn(1, 2, 4), torch.randn(1, 2, 4)
    y, last = LSTM(3, 4, zoneout=1.0).train(training)(x, (h, c))
    assert torch.equal(last[0], h)
    assert torch.equal(last[1], c)
    assert torch.equal(y, h.expand_as(y))
    _, last = LSTM(3, 4, zoneout=(0.0, 1.0)).train(training)(x, (h, c))
    assert not torch.equal(last[0], h)
    assert torch.equal(last[1], c)


def test_zoneout_keeps_or_updates_and_evaluates_at_its_expectation():
    """In training each number is the old or the new one, at the given rate; in evaluation their mixture."""
    layer = RNN(3, 400, zoneout=0.3)
    plain = RNN(3, 400)
    plain.load_state_dict(layer.state_dict())
    x, h = torch.randn(1, 8, 3), torch.randn(1, 8, 400)
    new, noisy = plain(x, h)[0], layer(x, h)[0]
    kept = noisy == h
    assert torch.equal(noisy, torch.where(kept, h, new))
    assert kept.float().mean().item() == pytest.approx(0.3, abs=0.03)
    close(layer.eval()(x, h)[0], 0.3 * h + 0.7 * new, 1e-6)


def test_recurrent_dropout_has_one_mask_for_the_whole_sequence():
    """R sees h through one mask: as the layer whose R has the dropped columns at zero and the others scaled."""
    layer = RNN(3, 16, recurrent_dropout=0.5)
    x = torch.randn(6, 1, 3)
    torch.manual_seed(5)
    y, _ = layer(x)
    torch.manual_seed(5)
    mask = noise.drop(noise.draw(1)[0], x, 1, 16, 0.5)
    assert 0 < (mask == 0).sum() < 16
    plain = RNN(3, 16)
    plain.load_state_dict(layer.state_dict())
    with torch.no_grad():
        plain.weight_hh_l0.mul_(mask)
    close(y, plain(x)[0], 1e-6)
    assert torch.equal(layer.eval()(x)[0], layer(x)[0])


def test_recurrent_dropout_reaches_the_candidate_of_every_gru():
    """At rate 1 no gate sees h, before or after the reset; z ⊙ h alone carries it on."""
    for reset in ("after", "before"):
        layer = GRU(3, 4, reset=reset, recurrent_dropout=1.0)
        trace = layer(torch.randn(6, 2, 3), torch.randn(1, 2, 4), trace=True)[2][0][0]
        trace_2 = layer(torch.zeros(6, 2, 3), 9 * torch.randn(1, 2, 4), trace=True)[2][0][0]
        assert torch.equal(trace_2["n"], trace_2["n"][:1, :1].expand(6, 2, 4))
        assert not torch.equal(trace["n"], trace_2["n"])


def test_noise_comes_from_torchs_generator():
    """The caller's seed decides the masks; evaluation draws none."""
    layer, x = LSTM(3, 4, 2, zoneout=0.2, recurrent_dropout=0.2, dropout=0.2), torch.randn(5, 2, 3)
    runs = []
    for seed in (6, 6, 7):
        torch.manual_seed(seed)
        runs.append(layer(x)[0])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    before = torch.get_rng_state()
    layer.eval()(x)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("path", ["native", "loop"])
def test_each_layer_and_direction_has_its_own_noise(path):
    """Two directions and two layers of the same weights see different masks."""
    layer = RNN(64, 32, 2, bidirectional=True, zoneout=0.5, path=path)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.0 if "weight" in name else 1.0)
    y, last = layer(torch.zeros(1, 1, 64))
    seen = [tuple(state.flatten().tolist()) for state in last]
    assert len(set(seen)) == 4
    assert y.unique().numel() == 2  # the old state, and the new


@pytest.mark.parametrize("how", [dict(path="torch"), dict(path="loop"), dict(residual=True)], ids=str)
def test_dropout_acts_between_layers_only(how):
    """At dropout=1 the second layer hears nothing, and its own output is whole; in evaluation there is none."""
    layer, last = LSTM(3, 4, 2, dropout=1.0, **how), LSTM(4, 4)
    last.load_state_dict({k.replace("l1", "l0"): v for k, v in layer.state_dict().items() if "l1" in k})
    x = torch.randn(5, 2, 3)
    close(layer(x)[0], last(torch.zeros(5, 2, 4))[0], 1e-6)
    assert not torch.allclose(layer.eval()(x)[0], last(torch.zeros(5, 2, 4))[0])


def test_residual_layers_add_their_input():
    """From the second layer on the output is the layer's plus its input; with later layers at zero nothing is lost."""
    for layer in (LSTM(3, 4, 3, residual=True), LSTM(3, 4, 3, residual=True, path="loop")):
        first = LSTM(3, 4)
        first.load_state_dict({k: v for k, v in layer.state_dict().items() if k.endswith("_l0")})
        x = torch.randn(5, 2, 3)
        assert not torch.allclose(layer(x)[0], first(x)[0])
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                parameter.mul_(name.endswith("_l0"))
        close(layer(x, lengths=[5, 3])[0], first(x, lengths=[5, 3])[0], 1e-6)


def test_any_whole_number_type_gives_lengths():
    """Lists and tensors of every integer dtype mean the same."""
    layer, x = Recurrent(GRU(3, 4).cell, 3, 4), torch.randn(5, 2, 3)
    expected = layer(x, lengths=[2, 5])[0]
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.int64):
        assert torch.equal(layer(x, lengths=torch.tensor([2, 5], dtype=dtype))[0], expected)
