"""The list of layers of every variant, and how what they compute is compared."""

import torch
from torch.nn.utils.rnn import PackedSequence

from gated.cells import cell, layer_norm, relu, sigmoid, tanh
from gated.layers import GRU, LSTM, RNN, Recurrent


@cell(gates="f g", states="h")
def minimal(z, s):
    f = sigmoid(z.f)
    return dict(h=f * s.h + (1 - f) * tanh(z.g), f=f)


@cell(gates="a b x", states="h m", split="b", input_only="x", vectors="k", norms="m", recur="back")
def odd(z, s, p):
    """Each thing that a cell may ask for, at once."""
    b = sigmoid(z.b.x - 2 * z.b.h) / (1 + p.k * p.k)
    m = s.m - b * layer_norm(s.m + p.back(tanh(z.a) * s.h), p.gain_m, p.shift_m)
    return dict(m=m, h=tanh(m) * relu(z.x + p.back(s.h)) - s.h / 2, late=s.m, b=b, same=b)


# name: a layer of I inputs and about H units. A new variant is added here, and nowhere else among the layers' tests.
VARIANTS = {
    "LSTM": lambda I, H, **how: LSTM(I, H, **how),
    "LSTM of 1997": lambda I, H, **how: LSTM(I, H, forget_gate=False, **how),
    "peephole": lambda I, H, **how: LSTM(I, H, peephole=True, **how),
    "coupled": lambda I, H, **how: LSTM(I, H, coupled=True, **how),
    "projected": lambda I, H, **how: LSTM(I, H + 1, proj_size=(H + 1) // 2, **how),
    "layer norm": lambda I, H, **how: LSTM(I, H, layer_norm=True, **how),
    "all at once": lambda I, H, **how: LSTM(
        I, H + 1, peephole=True, coupled=True, proj_size=(H + 1) // 2, layer_norm=True, **how
    ),
    "GRU": lambda I, H, **how: GRU(I, H, **how),
    "reset before": lambda I, H, **how: GRU(I, H, reset="before", **how),
    "normed GRU": lambda I, H, **how: GRU(I, H, layer_norm=True, **how),
    "normed reset before": lambda I, H, **how: GRU(I, H, reset="before", layer_norm=True, **how),
    "RNN": lambda I, H, **how: RNN(I, H, **how),
    "RNN relu": lambda I, H, **how: RNN(I, H, nonlinearity="relu", layer_norm=True, **how),
    "own": lambda I, H, **how: Recurrent(minimal, I, H, **how),
    "own, odd": lambda I, H, **how: Recurrent(odd, I, H, **how),
}
NOISY = {  # that draw masks in training
    "zoneout": lambda I, H, **how: LSTM(I, H, zoneout=(0.2, 0.3), recurrent_dropout=0.4, **how),
    "all at once, zoneout": lambda I, H, **how: VARIANTS["all at once"](I, H, zoneout=(0.2, 0.3), **how),
    "reset before, noisy": lambda I, H, **how: GRU(I, H, reset="before", zoneout=0.2, recurrent_dropout=0.3, **how),
    "normed GRU, zoneout": lambda I, H, **how: GRU(I, H, layer_norm=True, zoneout=0.2, **how),
    "RNN relu, dropout": lambda I, H, **how: VARIANTS["RNN relu"](I, H, recurrent_dropout=0.3, **how),
}


def parts(result):
    """Every tensor of a layer's result: outputs, states and traces, in order; of a packed output its data."""
    if isinstance(result, PackedSequence):
        return [result.data]
    if isinstance(result, torch.Tensor):
        return [result]
    if result is None:
        return []
    return [t for part in (result.values() if isinstance(result, dict) else result) for t in parts(part)]


def close(a, b, tolerance=1e-12):
    """Two tensors, or two results, agree, each part with its own."""
    for one, other in zip(parts(a), parts(b), strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


def hold(layer, gate, bias, units=slice(None)):
    """Hold a gate of some units at σ(bias) or tanh(bias): no weights, the whole bias in bias_ih."""
    H, gates = layer.bias_ih_l0.numel() // len(layer.cell.gates), layer.cell.gates
    rows = torch.arange(gates.index(gate) * H, (gates.index(gate) + 1) * H)[units]
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_hh_l0"):
            getattr(layer, name)[rows] = 0
        layer.bias_ih_l0[rows] = bias


def run(layer, path, x, state, seed=1, **how):
    """Every value and every gradient of a layer, by one path."""
    layer.path = path
    torch.manual_seed(seed)
    many = len(layer.cell.states)
    hx = None if not state else state[0] if many == 1 else tuple(state)
    values = parts(layer(x, hx, **how))
    torch.manual_seed(seed)
    weighted = [(torch.randn_like(v) * v).sum() for v in values]
    loss = sum(v for v in weighted if v.requires_grad)
    leaves = [x, *state, *(p for p in layer.parameters() if p.requires_grad)]
    if isinstance(loss, int):  # no steps: nothing was computed with anything
        return [v.detach() for v in values], [torch.zeros_like(v) for v in leaves]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [v.detach() for v in values], gradients


def agree(layer, x, state, tolerance, **how):
    """The native core gives the definition's values and gradients."""
    values, gradients = run(layer, "native", x, state, **how)
    wanted, slopes = run(layer, "loop", x, state, **how)
    for a, b in zip([*values, *gradients], [*wanted, *slopes], strict=True):
        scale = max(1.0, b.abs().max().item()) if b.numel() else 1.0
        torch.testing.assert_close(a, b, atol=tolerance * scale, rtol=0, equal_nan=True)
