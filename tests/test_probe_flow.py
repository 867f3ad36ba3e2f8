"""Where gradients vanish, which gates are stuck, which inputs mattered, and all of it in one call."""

import json
import math
import sys

import numpy as np
import pytest
import torch
from torch import nn

import gated
from gated import probe
from gated._check import InputError
from gated.kernels import loop
from gated.probe import gradient
from gated.probe.view import open_view
from gated.views import Case
from made.layers import hold
from made.probed import CELLS, B, H, I, Model, T, close, hooks, scaled, sequences

# ---- gradient flow


def test_a_known_matrix_gives_the_known_decay():
    """R = ½ Q with orthogonal Q, linear: the norm halves at each step, and a thousandth is left after ten."""
    (found,) = probe.gradient_flow(scaled(0.5), torch.zeros(40, 2, 1, dtype=torch.float64), compare=False)
    close(found.norms["h"], 0.5**found.lags, 1e-12)
    assert list(found.lags[:2]) == [0, 1]
    assert found.summary == "vanishes: below a thousandth after 10 steps"


def test_an_expanding_matrix_explodes_at_the_known_pace():
    """R = 1.1 Q: tenfold every ln 10 / ln 1.1 = 24.2 steps."""
    (found,) = probe.gradient_flow(scaled(1.1), torch.zeros(100, 1, 1, dtype=torch.float64), compare=False)
    close(found.norms["h"] / 1.1**found.lags, np.ones(len(found.lags)), 1e-9)
    assert found.summary == "explodes: grows tenfold every 24 steps"


def test_the_constant_error_carousel_lives_on():
    """f = 1 and R = 0: ∂L_t/∂c_s is the same at all lags, while h has no way back."""
    layer = gated.LSTM(1, H, dtype=torch.float64)
    hold(layer, "f", 100.0)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    (found,) = probe.gradient_flow(layer, torch.zeros(60, 1, 1, dtype=torch.float64), compare=False)
    close(found.norms["c"] / found.norms["c"][0], np.ones(len(found.lags)), 1e-9)
    close(found.norms["h"][:2], [1, 0])
    assert found.summary == "persists: 100 % remains after 49 steps"


@pytest.mark.parametrize("kind", ["lstm", "gru", "zoneout", "own"])
def test_norms_are_those_of_brute_force(kind):
    """Every norm equals that of autograd through the cell's equations, step by step, for each t by itself."""
    layer, x = CELLS[kind](dtype=torch.float64).eval(), sequences()[:, 0]
    p = torch.randn(H, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    p = p / p.norm()
    steps, state = [], {name: torch.zeros(1, H, dtype=torch.float64) for name in layer.cell.states}
    weights = layer.weights(0, 0)
    zone = {name: rate for name, rate in zip(layer.cell.states, layer.zoneout, strict=True) if rate}
    for row in x:
        recurrent = nn.functional.linear(state["h"], weights["weight_hh"], weights["bias_hh"])
        given = nn.functional.linear(row[None], weights["weight_ih"], weights["bias_ih"])
        z = loop.preactivations(layer.cell, given, recurrent)
        values = layer.cell(z, loop.Names(layer.cell, "s", **state), loop.own(layer.cell, weights))
        for name, rate in zone.items():
            values[name] = rate * state[name] + (1 - rate) * values[name]
        state = {name: values[name] for name in state}
        steps.append(state)
    found = [norms for _, _, norms in gradient.project(layer, x, seed=5)]
    for t, norms in zip(gradient.points(T), found, strict=True):
        for name in layer.cell.states:
            right = [torch.autograd.grad(p @ steps[t]["h"][0], steps[s][name], retain_graph=True, allow_unused=True)[0]
                     for s in range(t, -1, -1)]  # fmt: skip
            close(norms[name], [0.0 if g is None else float(g.norm()) for g in right], 1e-10)


def test_a_lag_runs_backward_in_the_backward_direction():
    """Of a bidirectional layer each direction is followed in its own time: mirrored weights give mirrored curves."""
    layer, x = gated.LSTM(I, H, bidirectional=True, dtype=torch.float64), sequences()[:, :1]
    turned = gated.LSTM(I, H, bidirectional=True, dtype=torch.float64)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        getattr(turned, name).data.copy_(getattr(layer, f"{name}_reverse").data)
        getattr(turned, f"{name}_reverse").data.copy_(getattr(layer, name).data)
    (one, _), (_, two) = (gradient.flows("", probe_calls(module, y)) for module, y in ((layer, x), (turned, x.flip(0))))
    assert (one.layer, two.layer) == ("layer 1, forward", "layer 1, backward")
    assert len(one.lags) == len(two.lags) > T // 2
    ratio = [flow.norms["h"][0] for flow in (one, two)]
    assert 0 < ratio[0] < 1  # p has a half for each direction
    assert 0 < ratio[1] < 1


def probe_calls(module, x):
    with torch.no_grad(), probe.record(module) as recording:
        module(x)
    return recording.merge()


def test_a_long_sequence_is_followed_through_its_last_steps(monkeypatch):
    """Beyond so many steps the curve is cut, not changed: the states that came before are those of the whole."""
    layer, x = gated.GRU(I, H, dtype=torch.float64), torch.randn(90, 1, I, dtype=torch.float64)
    whole = [norms for _, _, norms in gradient.project(layer, x[:, 0])]
    monkeypatch.setattr(gradient, "MAX_STEPS", 30)
    cut = [norms for _, _, norms in gradient.project(layer, x[:, 0])]
    close(cut[-1]["h"], whole[-1]["h"][:30])


def test_a_real_output_is_followed_to_the_layers_it_names():
    """The norms are those of the output's own gradient, scaled so that h begins at 1; a t by itself leaves no trace."""
    layer, x = gated.LSTM(I, H, dtype=torch.float64), sequences()[:, :1]
    losses = lambda y: [({"": t}, y[t].exp().sum()) for t in (9, 11)]  # noqa: E731
    (found,) = gradient.output_flows("", layer, [Case(lambda net: net(x)[0], losses=losses)])
    right = {"h": [], "c": []}
    for t in (9, 11):
        y, _, trace = layer(x, grad_trace=True)
        y[t].exp().sum().backward()
        for name, norms in right.items():
            norms.append(trace[0][0][f"d{name}"][: t + 1, 0].norm(dim=-1).flip(0)[:12].numpy())
    assert len(found.lags) == 12  # the longest lag that half of them reach
    for name in ("h", "c"):
        close(found.norms[name], right[name][1] / right["h"][1][0], 1e-9)


def test_a_layer_is_compared_with_three_of_its_size():
    """An RNN, a GRU and an LSTM on the same inputs, the same for the same seed; the layer is left as it was."""
    layer, x = gated.LSTM(I, H), sequences(torch.float32)
    before = torch.get_rng_state()
    found = probe.gradient_flow(layer, x, seed=3)
    assert [one.name for one in found] == [
        "current weights",
        *(f"{kind} of the same size" for kind in gradient.REFERENCES),
    ]
    assert set(found[-1].norms) == {"h", "c"}
    again = probe.gradient_flow(layer, x, seed=3)
    assert all(np.array_equal(a.norms["h"], b.norms["h"]) for a, b in zip(found, again, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in layer.parameters())
    assert layer.training


def test_the_verdict_on_a_curve_follows_its_thresholds():
    """A thousandth, tenfold, and what lies between; nothing at all; past all numbers."""
    lags = np.arange(31.0)
    assert gradient.describe({"h": 0.5**lags}) == "vanishes: below a thousandth after 10 steps"
    assert gradient.describe({"h": 0.5**lags, "c": 0.9**lags}) == "fades: 4.2 % remains after 30 steps"
    assert gradient.describe({"h": 2.0**lags}) == "explodes: grows tenfold every 3.3 steps"
    assert gradient.describe({"h": 1.05**lags}) == "persists: 4.3 times as large after 30 steps"
    assert gradient.describe({"h": np.array([1.0, 1.04])}) == "persists: 104 % remains after 1 step"
    assert gradient.describe({"h": 0.5**lags, "c": 0.01 * 1.2**lags}).startswith(
        "persists: 2.4e+02 times"
    )  # still below h
    assert gradient.describe({"h": 0 * lags}) == "zero at every lag"
    assert gradient.describe({"h": np.array([1.0, 2.0, np.inf])}) == "explodes: overflows after 2 steps"


# ---- health


def row(found, gate):
    (one,) = [one for one in found if one.gate == gate]
    return one


def test_saturated_gates_are_counted_and_lead_to_advice():
    """Units whose gate is held open or shut are counted, by gate, and only then is there advice."""
    layer = gated.LSTM(I, H)
    assert all(one.advice == "" and one.open == one.shut == one.unused == 0
               for one in probe.health(layer, sequences(torch.float32)))  # fmt: skip
    hold(layer, "f", -9.0, slice(0, 3))
    hold(layer, "o", 9.0, slice(1, 3))
    found = probe.health(layer, sequences(torch.float32), lengths=[12, 5, 9])
    assert (row(found, "f").shut, row(found, "f").open, row(found, "o").open) == (0.75, 0, 0.5)
    assert "3 of 4 units forget everything at each step: raise forget_bias" in row(found, "f").advice
    assert "2 of 4 units have o nearly always open" in row(found, "o").advice
    assert row(found, "i").advice == ""


def test_units_that_never_move_are_never_used():
    """A unit whose output gate is shut gives nothing: it is counted for every gate, and a narrower layer advised."""
    layer = gated.LSTM(I, H)
    hold(layer, "o", -30.0, slice(0, 2))
    found = probe.health(layer, sequences(torch.float32))
    assert [one.unused for one in found] == [0.5] * 3
    assert "2 of 4 units have a nearly constant output: make the layer narrower" in found[0].advice


def test_few_steps_lead_to_no_advice():
    """One step says nothing of use, and fewer than twenty nothing of what is nearly always so."""
    layer = gated.LSTM(I, H)
    hold(layer, "o", -30.0)
    for steps, unused, advised in ((1, 0, False), (19, 1, False), (20, 1, True)):
        found = probe.health(layer, torch.randn(steps, 1, I))
        assert [one.unused for one in found] == [unused] * 3
        assert all(bool(one.advice) == advised for one in found)


def test_a_coupled_gate_keeps_when_it_is_shut():
    """In a coupled LSTM an open i forgets everything, and the advice is about forgetting."""
    layer = gated.LSTM(I, H, coupled=True)
    hold(layer, "i", 9.0)
    found = row(probe.health(layer, sequences(torch.float32)), "i")
    assert (found.open, found.shut) == (1, 0)
    assert "forget everything" in found.advice


def test_a_plain_rnn_is_stuck_where_tanh_is_flat():
    """Of a layer without gates h stands in their place."""
    layer = gated.RNN(I, H)
    hold(layer, "h", -9.0)
    (found,) = probe.health(layer, sequences(torch.float32))
    assert (found.gate, found.open, found.unused) == ("h", 1, 1)
    assert "tanh is flat" in found.advice


# ---- inputs


def test_shares_of_a_linear_function_are_its_terms():
    """F = w · x + b: each input adds w (x − baseline), exactly."""
    pytest.importorskip("captum")
    w, x = torch.randn(5), torch.randn(1, 5)
    found = probe.attribute(lambda x: x @ w + 1, x, 0.5)
    close(found.shares[0], (w * (x[0] - 0.5)).numpy(), 1e-6)
    assert found.converged
    close(found.shares[0].sum(), found.value - found.baseline, 1e-5)


def test_shares_of_a_layer_sum_to_its_output():
    """Of an LSTM the shares of all inputs and steps sum to output − baseline, and the first step counts too."""
    pytest.importorskip("captum")
    layer, x = gated.LSTM(I, H, batch_first=True), torch.randn(1, T, I)
    found = probe.attribute(lambda x: layer(x)[0][:, -1].sum(-1), x)
    assert found.converged
    assert found.shares[0].shape == (T, I)
    assert found.shares[0][0].any()


def test_a_sum_that_did_not_converge_is_reported():
    """Where so few steps do not reach the sum, how far off it is is known; a wrong form is refused."""
    pytest.importorskip("captum")
    steep = lambda x: torch.sigmoid(2000 * (x.sum(1) - 0.503))  # noqa: E731
    found = probe.attribute(steep, torch.ones(1, 1), max_steps=32)
    assert not found.converged
    assert found.delta == pytest.approx(found.value - found.baseline - found.shares[0].sum())
    with pytest.raises(InputError, match="a number for each row"):
        probe.attribute(lambda x: x, torch.ones(1, 3))
    with pytest.raises(InputError, match="a first axis of 1"):
        probe.attribute(steep, torch.ones(2, 3))


def test_without_captum_it_says_what_to_install(monkeypatch):
    """A missing extra is one line that names it."""

    class Nowhere:
        def find_spec(self, name, *rest):
            if name.partition(".")[0] == "captum":
                raise ModuleNotFoundError(f"No module named {name!r}", name="captum")

    for name in [name for name in sys.modules if name.partition(".")[0] == "captum"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Nowhere(), *sys.meta_path])
    with pytest.raises(InputError, match=r"Install it with: pip install 'gated\[probe\]'"):
        probe.attribute(lambda x: x[:, 0], torch.ones(1, 3))


# ---- all of it


def test_a_layer_is_inspected_in_one_call():
    """Examples with chosen units, memory, flow and health of a layer; it and all randomness stay as they were."""
    layer, x = gated.LSTM(I, 16, num_layers=2, bidirectional=True, dropout=0.5), sequences(torch.float32)
    before = torch.get_rng_state()
    found = probe.inspect(layer, x, examples=2, lengths=[12, 5, 9])
    assert torch.equal(torch.get_rng_state(), before)
    assert layer.training
    assert hooks(layer) == 0
    assert found.title == "LSTM"
    assert [(e.name, e.input.steps, len(e.layers)) for e in found.examples] == [
        ("sequence 1", 12, 4),
        ("sequence 2", 5, 4),
    ]
    one = found.examples[1].layers[3]
    assert (one.name, one.units, one.reverse, one.stride, one.state) == ("layer 2, backward", 16, True, 1.0, "c")
    assert len(one.selection) == 8
    way = probe.traces(layer, x[:5, 1])[3]
    close(one.values["f"], way.values["f"][:, list(one.selection)].T, 1e-6)
    close(one.keep, one.values["f"])
    assert [m.name for m in found.half_lives] == [f"layer {k}, {d}" for k in (1, 2) for d in ("forward", "backward")]
    right = probe.half_lives(layer, x, lengths=[12, 5, 9])
    close([m.half_life for m in found.half_lives], [m.half_life for m in right], 1e-6)  # the third counts, unshown
    assert {f.name for f in found.flow} >= {"current weights", "initial weights", "an RNN of the same size"}
    assert len(found.health) == 12


def test_units_and_layers_are_chosen_by_number_and_name():
    """Only these are shown; a unit or layer that is not there is one clear error."""
    layer, x = gated.GRU(I, 6, num_layers=2), sequences(torch.float32)
    found = probe.inspect(layer, x, units=[5, 0], layer="layer 2", examples=1)
    assert [(one.name, one.selection) for one in found.examples[0].layers] == [("layer 2", (0, 5))]
    assert {f.layer for f in found.flow} == {m.name for m in found.half_lives} == {"layer 2"}
    with pytest.raises(InputError, match=r"probe unit: expected units from 0 to 5"):
        probe.inspect(layer, x, units=[6])
    with pytest.raises(InputError, match=r"probe unit: expected a whole number"):
        probe.inspect(layer, x, units=[True])
    with pytest.raises(InputError, match=r"part of a layer's name, got 'layer 3'. It has layer 1; layer 2"):
        probe.inspect(layer, x, layer="layer 3")
    with pytest.raises(InputError, match="Give what the module takes"):
        probe.inspect(layer)
    with pytest.raises(
        InputError,
        match=r"a run of a task with a view \(.*forecast, .*\), its folder, or a module, got int",
    ):
        probe.inspect(3)


def test_any_module_is_inspected_on_what_it_takes():
    """Arguments as a tuple, keywords as a dict, several calls as a list; layers by their paths."""
    model, x = Model(), sequences(torch.float32)
    for data in ((x, torch.tensor([12, 5, 9])), {"x": x, "lengths": torch.tensor([12, 5, 9])}):
        found = probe.inspect(model, data, examples=2)
        assert [(e.name, e.input.steps) for e in found.examples] == [("sequence 1", 12), ("sequence 2", 5)]
        assert [one.name for one in found.examples[0].layers][-1] == "upper, layer 1"
    found = probe.inspect(model, [x[:, :1], x[:4, :1]], examples=1)
    assert [e.input.steps for e in found.examples] == [12]
    found = probe.inspect(model, [x[:, :2], x[:4, 1:], x], examples=3)  # batches in a list: so many sequences are shown
    assert [(e.name, e.input.steps) for e in found.examples] == [
        ("sequence 1", 12), ("sequence 2", 12), ("sequence 3", 4),
    ]  # fmt: skip


def test_of_a_layers_batch_so_many_sequences_are_counted():
    """The first 64, as of a run; more if more are shown."""
    layer, x = gated.RNN(1, 1), torch.randn(2, 70, 1)
    assert len(open_view(layer, x).cases) == 64
    assert len(open_view(layer, x, count=66).cases) == 66


def test_a_layer_of_half_precision_is_inspected():
    """bfloat16, which numpy lacks, is shown as float32."""
    layer = gated.LSTM(I, H).bfloat16()
    found = probe.inspect(layer, sequences(torch.bfloat16), examples=1).examples[0].layers[0]
    assert found.values["f"].dtype == np.float32
    assert np.isfinite(found.values["c"]).all()


def test_a_packed_batch_is_one_input():
    """A PackedSequence gives the document of the padded batch with its lengths."""
    layer, x, lengths = gated.LSTM(I, H, bidirectional=True), sequences(torch.float32), [5, 12, 9]
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    found, right = probe.inspect(layer, packed), probe.inspect(layer, x, lengths=lengths)
    assert [(e.name, e.input.steps) for e in found.examples] == [(e.name, e.input.steps) for e in right.examples]
    for one, two in zip(found.examples, right.examples, strict=True):
        close(one.input.values["x1"], two.input.values["x1"])
        close(one.layers[1].values["c"], two.layers[1].values["c"], 1e-6)
    close(found.half_lives[1].half_life, right.half_lives[1].half_life, 1e-6)


def test_what_is_no_number_is_one_clear_error():
    """NaN is not taken for a unit that never forgets, nor sequences without a step for a wrong layer's name."""
    layer, x = gated.LSTM(I, H), sequences(torch.float32)
    with pytest.raises(InputError, match="probe layer 1: expected finite values, got NaN or infinity at 9 of 12 steps"):
        probe.inspect(layer, torch.cat([x[:3], x[3:] * math.nan]))
    assert {f.summary for f in probe.gradient_flow(layer, x * math.nan)} == {
        "not a number: check the input and the weights"
    }
    with pytest.raises(InputError, match="probe: expected a sequence of at least one step, got none"):
        probe.inspect(Model(), (x, torch.zeros(B, dtype=torch.long)))


def test_numbers_are_rows_tables_and_json():
    """Rows make data frames, the tables name every layer, and the JSON is strict and has no infinity in it."""
    layer = gated.LSTM(I, H)
    hold(layer, "f", 100.0)
    found = probe.inspect(layer, sequences(torch.float32), units=[1], examples=1)
    assert probe.rows(found.half_lives)[0] == {"layer": "layer 1", "unit": 0, "half_life": math.inf}
    steps = probe.rows(found.examples[0].layers[0])
    assert len(steps) == T
    assert set(steps[0]) == {"layer", "unit", "step", "i", "f", "g", "o", "c", "h", "keep", "write"}
    assert probe.rows(found.examples)[3]["place"] == "3"
    assert set(probe.rows(found.flow)[0]) == {"network", "layer", "lag", "h", "c"}
    told = probe.to_text(found)
    for word in ("Half-lives", "∞", "Gradient flow", "an RNN of the same size", "lower forget_bias"):
        assert word in told
    kept = json.loads(json.dumps(probe.to_dict(found), allow_nan=False))
    assert kept["half_lives"][0]["half_life"] == [None] * H
    assert len(kept["examples"][0]["layers"][0]["values"]["f"][0]) == T


def test_a_long_sequence_takes_bounded_memory_and_is_exact():
    """20,000 steps are counted in pieces; the pieces give what the whole gives."""
    layer, x = gated.LSTM(1, 2), torch.randn(20_000, 1, 1)
    found = probe.inspect(layer, x, examples=1)
    assert found.examples[0].layers[0].values["c"].shape == (2, 20_000)
    (way,) = probe.traces(layer, x)
    close(found.half_lives[0].half_life, math.log(0.5) / way.values["f"].double().log().mean(0).numpy(), 1e-9)
    assert all(len(flow.lags) <= gradient.MAX_STEPS for flow in found.flow)
