"""The layers' benchmark computes what it says: what is pure in it is held here, without timing anything."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import layers_clock as clock
import layers_peers as peers
import layers_scripted as scripted
import layers_tables as tables


def onnx_step(kind, x, h, c, W, R, b_w, b_r):
    """One step by ONNX's definition of its operators, blocks in ONNX's order: i o f c, z r h."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    a, r = x @ W.T + b_w, h @ R.T + b_r
    if kind == "rnn":
        return np.tanh(a + r), c
    if kind == "lstm":
        i, o, f, g = np.split(a + r, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    (z, reset, a_h), (r_z, r_reset, r_h) = np.split(a, 3, -1), np.split(r, 3, -1)
    z = sigmoid(z + r_z)
    return (1 - z) * np.tanh(a_h + sigmoid(reset + r_reset) * r_h) + z * h, c


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_reordered_weights_mean_the_same_in_onnx(kind):
    """ONNX's equations on reordered weights give torch's outputs."""
    make = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[kind]
    layer, x = make(3, 4).double(), torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    W, R, b_w, b_r = (peers.reorder(kind, value.detach().numpy()) for value in layer.parameters())
    h = c = np.zeros((2, 4))
    for t, y in enumerate(layer(x)[0]):
        h, c = onnx_step(kind, x[t].numpy(), h, c, W, R, b_w, b_r)
        np.testing.assert_allclose(h, y.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("name", list(scripted.VARIANTS))
def test_a_loop_computes_its_variant(name):
    """Every TorchScript loop gives the output of the layer that it is compared with."""
    make, loop, rate = scripted.VARIANTS[name]
    layer, x = make(3, 4).eval(), torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = loop(x, *layer.parameters(), *rate, *((False,) if rate else ()))
        torch.testing.assert_close(y, layer(x)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["zoneout", "recurrent dropout"])
def test_a_loop_draws_masks_in_training(name):
    """The loops of the variants with masks draw them when they train, or they would have less to do than we."""
    make, loop, rate = scripted.VARIANTS[name]
    layer, x = make(3, 4), torch.ones(5, 2, 3)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = (loop(x, *layer.parameters(), *rate, True) for _ in range(2))
    assert not torch.equal(first, second)


def test_ratios_are_taken_within_a_round():
    """A round in which everything took ten times as long leaves the ratio as it is."""
    assert tables.ratio({"torch": [2.0, 20.0, 2.0], "gated": [1.0, 10.0, 1.0]}, "torch") == 2
    assert tables.geometric([1.0, 4.0, 2.0]) == pytest.approx(2)
    assert math.isnan(tables.geometric([]))


def test_the_share_is_one_for_a_layer_at_torchs_rate():
    """A layer that takes as long as torch needs for its operations has share one, forward and in training."""
    shape, kind = (64, 96, 16, 128), "gru"
    count = tables.flops(kind, shape)
    assert count == 2 * 96 * 64 * 3 * 128 * (16 + 128)
    rounds = {name: [2 * math.prod(size) / 1e9] for name, size in tables.products(shape, kind).items()}
    assert tables.share(kind, shape, {**rounds, "gated": [count / 1e9]}, 1) == pytest.approx(1)
    assert tables.share(kind, shape, {**rounds, "gated": [3 * count / 1e9]}, 3) == pytest.approx(1)
    assert tables.share(kind, shape, {"gated": [1.0]}, 1) is None


def layer(train, forward, **more):
    return {"train": train, "forward": forward, "path": "native", "commit": "abc", "without": {}, **more}


def test_the_summary_says_what_holds():
    """LSTM's mean and least both count; a shape slower than torch is told, whatever the mean."""
    forward = {"gated": [1.0], "torch": [3.0], "jax": [2.0]}
    records = {
        "lstm 1,100,1,32": layer({"gated": [1.0], "torch": [9.0]}, forward),
        "lstm 1,100,32,64": layer({"gated": [1.0], "torch": [0.9]}, forward),
    }
    lines = tables.summary(records, scripted.VARIANTS).splitlines()
    training = next(line for line in lines if "LSTM training" in line)
    assert "2.85, least 0.90 (2 shapes)" in training
    assert "**no**" in training
    ahead = next(line for line in lines if "LSTM forward" in line)
    assert "2.00, least 2.00" in ahead
    assert "yes" in ahead


def test_what_was_refused_is_told_and_has_no_figures():
    """A record without figures stands under Without and in no table, and the summary says that something differs."""
    records = {"gru 1,100,1,32": {"path": "native", "without": {"gated": "output 0 differs"}, "commit": "abc"}}
    text = tables.markdown({"records": records, "machine": {"threads": "2"}}, scripted.VARIANTS, "")
    assert "gru 1,100,1,32: gated: output 0 differs" in text
    assert "GRU training" not in text
    assert "0 of 1; not gru 1,100,1,32 | **no**" in text
    assert tables.differing({"rnn 1,100,1,32": {"without": {"jax": "its output differs"}}}) == []


def test_rounds_go_there_and_back_and_leave_out_who_fails():
    """A B, B A, …, after a round that is thrown away; a contender that fails once has no figures."""
    order = []

    def contender(name, *seconds):
        left = iter(seconds)
        return lambda budget: order.append(name) or next(left)

    seen = clock.rounds({"a": contender("a", 9, 1, 2), "b": contender("b", 9, 3, math.inf)}, 2, 0.1)
    assert seen == {"a": [1, 2]}
    assert "".join(order) == "ababba"


def test_a_sample_is_the_time_of_one_call():
    """Calls timed in blocks are divided by their number."""
    assert 0 < clock.sample(lambda: None, 0.01) < 1e-5
