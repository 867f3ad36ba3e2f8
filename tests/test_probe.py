"""Recording layers, and the decomposition of states into keep and write."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import gated
from gated import probe
from gated._check import InputError
from gated.layers import Attention, Decoder
from gated.probe.half_life import find_gates, verify_keep
from made.layers import hold
from made.probed import CELLS, B, H, I, Model, T, close, hooks, liar, minimal, sequences

# ---- recording


def test_all_layers_of_a_module_are_recorded_and_its_outputs_do_not_change():
    """Every call inside the block is recorded by the layer's path, time first, and the outputs are the same bits."""
    model, x, lengths = Model().eval(), sequences(torch.float32), torch.tensor([12, 5, 9])
    y, h = model(x, lengths)
    with probe.record(model) as recording:
        seen_y, seen_h = model(x, lengths)
    assert torch.equal(y, seen_y)
    assert torch.equal(h, seen_h)
    assert [call.name for call in recording.calls] == ["lower", "upper"]
    assert torch.equal(recording.calls[1].trace[0][0]["h"], y.transpose(0, 1))
    assert [trace.name for trace in recording.calls[0].traces()] == [
        "lower, layer 1, forward", "lower, layer 1, backward", "lower, layer 2, forward", "lower, layer 2, backward"
    ]  # fmt: skip
    assert [len(trace) for call in recording.calls[1:] for row in range(B) for trace in call.traces(row)] == [12, 5, 9]


def test_what_a_caller_asks_for_itself_comes_back():
    """A trace asked for inside the block is returned as it would be outside, and recorded as well."""
    layer, x = gated.LSTM(I, H), sequences(torch.float32)
    _, _, alone = layer(x, trace=True)
    for gradients in (False, True):
        with probe.record(layer, gradients=gradients) as recording:
            _, _, trace = layer(x, trace=True)
        assert list(trace[0][0]) == list(alone[0][0])
        assert all(torch.equal(alone[0][0][name], trace[0][0][name]) for name in alone[0][0])
        assert torch.equal(recording.calls[0].trace[0][0]["c"], trace[0][0]["c"])


def test_gradients_of_every_step_come_with_the_backward_pass():
    """With gradients=True a trace holds ∂L/∂h_t … of the very call, as grad_trace gives them."""
    layer, x = gated.LSTM(I, H), sequences(torch.float32)
    y, _, trace = layer(x, grad_trace=True)
    y[-1].square().sum().backward()
    with probe.record(layer, gradients=True) as recording:
        y, _ = layer(x)
        y[-1].square().sum().backward()
    assert torch.equal(recording.calls[0].trace[0][0]["dc"], trace[0][0]["dc"])
    assert recording.calls[0].trace[0][0]["dh"].any()


def test_nothing_is_left_behind():
    """After the block, and after an error within it or within a layer, there is no hook and every path is as it was."""
    model = Model()
    model.upper.path = "torch"
    with probe.record(model) as recording:
        model(sequences(torch.float32))
    assert len(recording.calls) == 2
    with pytest.raises(RuntimeError, match="stop"), probe.record(model):
        raise RuntimeError("stop")
    with pytest.raises(InputError, match="expected shape"), probe.record(model):
        model.upper(torch.zeros(1, 1, I + 1))
    assert hooks(model) == 0
    assert model.upper.path == "torch"
    assert len(model.upper(sequences(torch.float32))) == 2
    assert len(recording.calls) == 2


@pytest.mark.parametrize("form", ["batch first", "packed", "packed batch first", "single"])
def test_a_record_is_the_same_whatever_form_the_input_had(form):
    """Batch first, packed or a single sequence: what is recorded is (T, B, ·), and equal."""
    x, lengths = sequences(), [12, 5, 9]
    layer = gated.LSTM(I, H, bidirectional=True, batch_first="batch first" in form, dtype=torch.float64)
    plain = gated.LSTM(I, H, bidirectional=True, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    if form == "batch first":
        found = probe.traces(layer, x.transpose(0, 1), lengths=lengths)
    elif "packed" in form:
        found = probe.traces(layer, nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False))
    else:
        found = [trace for k, n in enumerate(lengths) for trace in probe.traces(layer, x[:n, k])]
    right = probe.traces(plain, x, lengths=lengths)
    assert [(trace.name, len(trace)) for trace in found] == [(trace.name, len(trace)) for trace in right]
    for a, b in zip(found, right, strict=True):
        for name in ("i", "f", "g", "o", "c", "h"):
            close(a.values[name], b.values[name])


def test_steps_one_by_one_are_one_sequence():
    """A decoder with input feeding calls its layers at every step; joined they are a call that goes through all."""
    decoder = Decoder(Attention(H, H), gated.LSTM(I + 3, H), gated.LSTM(2 * H, H), 3, feeding=True)
    memory = decoder.attention.prepare(torch.randn(5, 1, H))
    zeros = tuple(torch.zeros(1, 1, H) for _ in range(2))
    with torch.no_grad(), probe.record(decoder) as recording:
        decoder(torch.randn(7, 1, I), memory, decoder.start(memory, zeros, zeros))
    assert len(recording.calls) == 14
    bottom, top = recording.merge()
    assert (bottom.name, top.name) == ("bottom", "top")
    again = decoder.bottom(bottom.x, zeros)[0]
    torch.testing.assert_close(next(bottom.traces()).values["h"], again[:, 0])


def test_a_module_without_our_layers_is_refused():
    """A module without recurrent layers of ours is one clear error."""
    with (
        pytest.raises(InputError, match=r"recurrent layers of gated in it, got LSTM\. Build it of"),
        probe.record(nn.LSTM(2, 3)),
    ):
        pass


# ---- keep, write and shares


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_shares_sum_to_the_state(kind, bidirectional):
    """What each step wrote, and what is left of the first state, sum to the state at t, of any cell."""
    layer = CELLS[kind](dtype=torch.float64, bidirectional=bidirectional)
    D = 1 + bidirectional
    widths = [layer.stack.widths[0][name] for name in layer.cell.states]
    hx = tuple(torch.randn(D, B, width, dtype=torch.float64) for width in widths)
    found = probe.traces(layer, sequences(), hx if len(hx) > 1 else hx[0], lengths=[12, 5, 9])
    assert len(found) == D * B
    for trace in found:
        name, keep, write, initial = probe.decompose(trace)
        for t in (0, len(trace) // 2, len(trace) - 1):
            parts = probe.shares(keep, write, t, initial, trace.reverse)
            close(parts.sum(0), trace.values[name][t])
            later = slice(0, t) if trace.reverse else slice(t + 1, len(trace))
            assert not parts[later].any()


def test_shares_of_an_lstm_are_its_gates():
    """A share is Π f ⊙ i ⊙ g: the forget gates since the step times what was written at it."""
    (trace,) = probe.traces(gated.LSTM(I, H, dtype=torch.float64), sequences()[:, :1])
    f, i, g = (trace.values[name].numpy() for name in "fig")
    name, keep, write, _ = probe.decompose(trace)
    assert name == "c"
    close(keep, f)
    close(write, i * g)
    found = probe.shares(keep, write, 9)
    for s in range(10):
        close(found[s], f[s + 1 : 10].prod(0) * i[s] * g[s])


def test_zoneout_adds_to_keep():
    """In evaluation zoneout keeps its share of the last state as well: keep = k + (1 − k) f, write = (1 − k) i ⊙ g."""
    (trace,) = probe.traces(gated.LSTM(I, H, zoneout=(0.1, 0.3), dtype=torch.float64), sequences()[:, :1])
    _, keep, write, _ = probe.decompose(trace)
    close(keep, 0.3 + 0.7 * trace.values["f"])
    close(write, 0.7 * trace.values["i"] * trace.values["g"])


def test_a_backward_direction_is_a_mirrored_forward_one():
    """Run on the flipped sequence with the same weights, the forward direction keeps and writes the same, mirrored."""
    layer = gated.LSTM(I, H, bidirectional=True, dtype=torch.float64)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        getattr(layer, f"{name}_reverse").data.copy_(getattr(layer, name).data)
    x = sequences()[:, :1]
    forward, _ = probe.traces(layer, x.flip(0))
    _, backward = probe.traces(layer, x)
    for a, b in zip(probe.decompose(forward)[1:3], probe.decompose(backward)[1:3], strict=True):
        close(a.flip(0), b)
    here = probe.shares(*probe.decompose(backward)[1:3], 4, reverse=True)
    there = probe.shares(*probe.decompose(forward)[1:3], T - 1 - 4)
    close(here[:-1], there[:-1][::-1])


def test_an_open_forget_gate_never_forgets():
    """f = 1, i = 0: the half-life is without end, and at the end all is left of the first state, nothing else."""
    layer = gated.LSTM(I, H, dtype=torch.float64)
    hold(layer, "f", 100.0)
    hold(layer, "i", -100.0)
    (found,) = probe.half_lives(layer, sequences())
    assert np.isinf(found.half_life).all()
    assert found.summary == "None of the 4 units ever forgets."
    c = torch.randn(1, 1, H, dtype=torch.float64)
    (trace,) = probe.traces(layer, sequences()[:, :1], (torch.zeros_like(c), c))
    parts = probe.shares(*probe.decompose(trace)[1:3], T - 1, probe.decompose(trace).initial)
    close(parts[-1], c[0, 0], 1e-9)
    close(parts[:-1], 0 * parts[:-1], 1e-9)


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.99])
def test_a_constant_gate_has_the_half_life_of_its_power(keep):
    """f^n = ½ at n = ln ½ / ln f, whatever the lengths of the sequences."""
    layer = gated.LSTM(I, H, dtype=torch.float64)
    hold(layer, "f", math.log(keep / (1 - keep)))
    (found,) = probe.half_lives(layer, sequences(), lengths=[12, 1, 7])
    close(found.half_life, np.full(H, math.log(0.5) / math.log(keep)), 1e-9)


def test_a_half_life_is_of_the_geometric_mean_over_all_steps_that_exist():
    """Padding does not count: a batch has the half-lives of its sequences alone, laid end to end."""
    layer, x, lengths = gated.GRU(I, H, dtype=torch.float64), sequences(), [12, 5, 9]
    (found,) = probe.half_lives(layer, x, lengths=lengths)
    alone = [probe.traces(layer, x[:n, k])[0].values["z"] for k, n in enumerate(lengths)]
    close(found.half_life, math.log(0.5) / torch.cat(alone).log().mean(0).numpy())


def test_a_keep_gate_is_verified_numerically():
    """State, gate and sense are those of our cells and of a custom one; a wrong declaration is rejected."""
    assert verify_keep(gated.LSTM(1, 1).cell) == ("c", "f", False)
    assert verify_keep(gated.LSTM(1, 1, coupled=True, peephole=True).cell) == ("c", "i", True)
    assert verify_keep(gated.LSTM(1, 1, forget_gate=False).cell) == ("c", "", False)
    assert verify_keep(gated.GRU(1, 1).cell) == ("h", "z", False)
    assert verify_keep(minimal) == ("h", "f", False)
    assert verify_keep(liar) is None
    assert verify_keep(gated.RNN(1, 1).cell) is None
    assert find_gates(gated.LSTM(1, 2, layer_norm=True).cell) == ("i", "f", "o")
    assert find_gates(gated.GRU(1, 1).cell) == ("r", "z")
    assert find_gates(gated.RNN(1, 1).cell) == ()


def test_shares_refuse_what_does_not_fit():
    """keep and write must have one shape, and t must be a step."""
    with pytest.raises(InputError, match=r"one shape .* got \(3,\) and \(4,\)"):
        probe.shares(np.ones(3), np.ones(4), 0)
    with pytest.raises(InputError, match="shares t: expected a number from 0 to 2, got 3"):
        probe.shares(np.ones(3), np.ones(3), 3)
