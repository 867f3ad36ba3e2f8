"""Layers whose gates, memory and gradients are known, for the tests of the probe."""

import numpy as np
import torch
from torch import nn

import gated
from gated.cells import sigmoid, tanh

T, B, I, H = 12, 3, 2, 4


@gated.cell(gates="f g", states="h", vectors="a", keep="f")
def minimal(z, s, p):
    f = sigmoid(z.f + p.a * s.h)
    h = f * s.h + (1 - f) * tanh(z.g)
    return dict(h=h, f=f)


@gated.cell(gates="f g", states="h", keep="f")
def liar(z, s):
    f = sigmoid(z.f)
    return dict(h=f * f * s.h + tanh(z.g), f=f)


CELLS = {
    "lstm": lambda **k: gated.LSTM(I, H, **k),
    "peephole": lambda **k: gated.LSTM(I, H, peephole=True, **k),
    "coupled": lambda **k: gated.LSTM(I, H, coupled=True, layer_norm=True, **k),
    "1997": lambda **k: gated.LSTM(I, H, forget_gate=False, **k),
    "projected": lambda **k: gated.LSTM(I, H, proj_size=2, **k),
    "zoneout": lambda **k: gated.LSTM(I, H, zoneout=(0.1, 0.3), **k),
    "gru": lambda **k: gated.GRU(I, H, **k),
    "gru before": lambda **k: gated.GRU(I, H, reset="before", layer_norm=True, **k),
    "gru zoneout": lambda **k: gated.GRU(I, H, zoneout=0.2, **k),
    "own": lambda **k: gated.Recurrent(minimal, I, H, **k),
}


def sequences(dtype=torch.float64):
    return torch.randn(T, B, I, dtype=dtype)


def close(a, b, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=tolerance, rtol=tolerance)


def scaled(radius, **options):
    """A linear RNN (relu, all units on) whose R is an orthogonal matrix times the radius."""
    layer = gated.RNN(1, 8, nonlinearity="relu", dtype=torch.float64, **options)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(radius * torch.eye(8, dtype=torch.float64).roll(1, 0))
        layer.bias_ih_l0.fill_(1.0)
        layer.bias_hh_l0.zero_()
        layer.weight_ih_l0.zero_()
    return layer


class Model(nn.Module):
    """Layers of ours among others."""

    def __init__(self):
        super().__init__()
        self.lower = gated.LSTM(I, H, num_layers=2, bidirectional=True, dropout=0.1)
        self.between = nn.Linear(2 * H, I)
        self.upper = gated.GRU(I, H, batch_first=True)

    def forward(self, x, lengths=None):
        y, _ = self.lower(x, lengths=lengths)
        return self.upper(self.between(y).transpose(0, 1), lengths=lengths)


def hooks(module):
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())
