"""Gradients through time: they vanish, explode, or stay, as the theory says."""

import pytest
import torch

from gated.layers import GRU, LSTM, RNN
from made.layers import close, hold


def flow(layer, steps, rows=1):
    """‖∂L/∂h_t‖ at every step t, for a loss at the last one."""
    y, _, trace = layer(torch.zeros(steps, rows, layer.input_size, dtype=torch.float64), grad_trace=True)
    y[-1].sum().backward()
    return trace[0][0]["dh"].flatten(1).norm(dim=1), trace[0][0]


@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_gradients_of_a_contracting_rnn_vanish_at_least_geometrically(gamma):
    """‖R‖ = γ < 1 and |tanh'| <= 1 bound it after k steps by γ^k (Hochreiter 1991; Pascanu et al. 2013, §2.1)."""
    layer = RNN(1, 8, init="orthogonal", dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(gamma)
    norms, _ = flow(layer, 100)
    bound = norms[-1] * gamma ** torch.arange(99, -1, -1, dtype=torch.float64)
    assert (norms <= bound * (1 + 1e-9)).all()
    assert norms[0] > 0


def test_gradients_of_an_expanding_rnn_explode():
    """In its linear regime (relu, all units on) an orthogonal R times 1.1 lets the gradient grow as 1.1^k."""
    layer = RNN(1, 8, nonlinearity="relu", dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(1.1 * torch.eye(8, dtype=torch.float64).roll(1, 0))
        layer.bias_ih_l0.fill_(1.0)
        layer.bias_hh_l0.zero_()
    norms, _ = flow(layer, 200)
    close(norms / norms[-1], 1.1 ** torch.arange(199, -1, -1, dtype=torch.float64), 1e-9)


def test_the_constant_error_carousel_keeps_the_gradient():
    """f = 1, and R = 0: c is the only way back, and ∂L/∂c_t the same at all steps (Hochreiter & Schmidhuber 1997)."""
    layer = LSTM(1, 4, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    hold(layer, "f", 100.0)
    hold(layer, "g", 0.001)  # so little is written that no tanh saturates
    _, way = flow(layer, 200)
    close(way["dc"][:-1], way["dc"][-1:].expand(199, -1, -1), 1e-9)
    assert way["dc"].abs().min() > 0


@pytest.mark.parametrize("layer", [LSTM(3, 4), GRU(3, 4), LSTM(3, 4, peephole=True)], ids=lambda m: m.cell.name)
def test_gradients_through_a_thousand_steps_are_finite(layer):
    """With torch's first values, LSTM and GRU have finite gradients after 1,000 steps, and reach the first."""
    x = torch.randn(1000, 2, 3, requires_grad=True)
    layer(x)[0].sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad[0].any()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
