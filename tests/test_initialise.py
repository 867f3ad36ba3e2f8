"""Initial values: every preset, in every layer and direction."""

import torch

from gated.layers import GRU, LSTM

DEEP = dict(num_layers=3, bidirectional=True)


def biases(layer, gate):
    """The whole bias of a gate, one row for every layer and direction."""
    index, rows = layer.cell.gates.index(gate), []
    for k in range(layer.num_layers):
        for direction in range(2):
            w = layer.weights(k, direction)
            if gate in layer.cell.norms:
                rows.append(w[f"shift_{gate}"])
            else:
                rows.append((w["bias_ih"] + w["bias_hh"]).chunk(len(layer.cell.gates))[index])
    return torch.stack(rows)


def test_a_forget_bias_reaches_every_layer_and_direction():
    """The gate that keeps memory starts at the bias, everywhere, in every variant."""
    assert (biases(LSTM(3, 4, **DEEP, forget_bias=1.5), "f") == 1.5).all()
    assert (biases(LSTM(3, 4, **DEEP, forget_bias=1.5, layer_norm=True), "f") == 1.5).all()
    assert (biases(LSTM(3, 4, **DEEP, forget_bias=1.5, init="orthogonal", peephole=True), "f") == 1.5).all()
    assert (biases(LSTM(3, 4, **DEEP, forget_bias=1.5, coupled=True), "i") == -1.5).all()
    assert (biases(GRU(3, 4, **DEEP, forget_bias=1.5), "z") == 1.5).all()
    before = GRU(3, 4, **DEEP, forget_bias=1.5, reset="before")
    assert (before.weights(2, 1)["bias_ih"].chunk(3)[1] == 1.5).all()


def test_chrono_spreads_time_constants_up_to_the_longest_dependency():
    """b_f = log u with u in [1, T - 1], b_i = -b_f, everywhere; the time constants reach to both ends."""
    layer = LSTM(3, 200, **DEEP, chrono=100)
    f, i = biases(layer, "f"), biases(layer, "i")
    assert torch.equal(f, -i)
    assert f.exp().min() >= 1 - 1e-5
    assert f.exp().max() <= 99 + 1e-3
    assert all(abs(row.exp().mean() - 50) < 10 and row.exp().std() > 20 for row in f)
    assert (biases(GRU(3, 4, **DEEP, chrono=100), "z") >= 0).all()
    assert (biases(LSTM(3, 4, **DEEP, chrono=100, coupled=True), "i") <= 0).all()


def test_orthogonal_means_each_gate_in_every_layer_and_direction():
    """Every gate's R is orthogonal by itself, and every bias zero."""
    for layer in (LSTM(3, 4, **DEEP, init="orthogonal"), GRU(3, 4, **DEEP, init="orthogonal", reset="before")):
        for k in range(3):
            for direction in range(2):
                w = layer.weights(k, direction)
                blocks = [*w["weight_hh"].split(4), *([w["weight_hn"]] if "weight_hn" in w else [])]
                assert len(blocks) == len(layer.cell.gates)
                for R in blocks:
                    torch.testing.assert_close(R @ R.T, torch.eye(4), atol=1e-5, rtol=1e-5)
                assert not w["bias_ih"].any()


def test_each_layer_of_a_list_starts_within_its_own_bound():
    """torch's uniform has the bound 1/√H of each layer's own H."""
    layer = LSTM(3, [100, 4])
    assert layer.weight_hh_l0.abs().max() <= 0.1
    assert 0.1 < layer.weight_hh_l1.abs().max() <= 0.5
