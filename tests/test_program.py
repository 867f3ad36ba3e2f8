"""Step programs: traced, printed, read back, differentiated and lowered; an interpreter stands for the native core."""

import numpy as np
import pytest
import torch
from interpret import back, run

from gated.cells import cell, gru, layer_norm, lstm, relu, rnn, sigmoid, tanh
from gated.kernels.instructions import SAVED, Y
from gated.kernels.loop import scan
from gated.kernels.lower import lower
from gated.kernels.program import parse, trace

T, B, I, H, P = 4, 3, 2, 5, 3

LSTMS = [
    dict(zip(("forget", "peephole", "coupled", "project", "norm"), bits, strict=True))
    for bits in np.ndindex(2, 2, 2, 2, 2)
    if bits[0] or not bits[2]
]
VARIANTS = [lstm(**{k: bool(v) for k, v in how.items()}) for how in LSTMS]
VARIANTS += [gru(reset, norm) for reset in ("after", "before") for norm in (False, True)]
VARIANTS += [rnn(squash, norm) for squash in ("tanh", "relu") for norm in (False, True)]


def numpy(value):
    return value.detach().numpy()


def compare(made, zone=None, noise=False, drop=0.0, keep=(), seeds=(), watch=(), gradients=True, bias=True):
    """A cell's plan, interpreted, equals the loop on it: values, states, and every gradient."""
    draw = torch.Generator().manual_seed(1)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=draw)

    width = P if made.project else H
    weights = {name: random(*shape).requires_grad_() for name, shape in made.shapes(I, H, width, bias).items()}
    x = random(T, B, I).requires_grad_()
    state = {name: random(B, made.width(name, H, width)).requires_grad_() for name in made.states}
    masks = {
        name: (torch.rand(T, *state[name].shape, generator=draw) < rate).double() for name, rate in (zone or {}).items()
    }
    mask = (torch.rand(B, width, generator=draw) >= drop).double() / (1 - drop) if drop else None

    def noises(rate, stream, t, size):
        if t is None:
            assert (rate, stream, size) == (drop, 255, width)
            return numpy(mask)
        name = made.states[stream]
        assert rate == zone[name]
        assert size == state[name].shape[-1]
        return numpy(masks[name][t])

    program = trace(made, zone=zone or {}, noise=noise, drop=drop)
    assert parse(str(program)) == program
    live = torch.ones(T, B, 1, dtype=torch.bool)
    how = dict(drop=mask, zone=masks if noise else zone, live=live, keep=("h", *keep), gradients=bool(watch))
    values, last = scan(made, weights, x, state, **how)
    plain = lower(program, keep=keep)
    arrays = {name: numpy(value) for name, value in weights.items()}
    start = [numpy(state[name]) for name in made.states]
    near = dict(rtol=1e-10, atol=1e-10)
    for plan in (plain, lower(program, keep=keep, train=True, seeds=seeds, watch=watch)):
        y, final, steps = run(plan, arrays, numpy(x), start, noises)
        np.testing.assert_allclose(y, numpy(values["h"]), **near)
        for name, value in zip(made.states, final, strict=True):
            np.testing.assert_allclose(value, np.broadcast_to(numpy(last[name]), value.shape), **near)
        for name, column in plan.columns.items():
            seen = np.stack([written[column.operand] for _, written in steps])
            np.testing.assert_allclose(seen, numpy(values[name]), **near)
    if not gradients:
        return plan
    dy, dlast = random(T, B, width), {name: random(B, state[name].shape[-1]) for name in made.states}
    dkept = {name: random(*values[name].shape) for name in seeds}
    loss = (values["h"] * dy).sum() + sum((last[name] * dlast[name]).sum() for name in made.states)
    loss = loss + sum((values[name] * d).sum() for name, d in dkept.items())
    leaves = [x, *state.values(), *weights.values()]
    if watch:  # the hooks need a whole backward pass
        loss.backward()
        expected = [leaf.grad for leaf in leaves]
    else:
        expected = torch.autograd.grad(loss, leaves, allow_unused=True)
    expected = [np.zeros(leaf.shape) if d is None else numpy(d) for leaf, d in zip(leaves, expected, strict=True)]
    dseeds, total = {}, numpy(dy)
    for name, d in dkept.items():
        operand = plan.columns[name].operand
        if operand == Y:
            total = total + numpy(d)
        else:
            assert operand & ~255 == SAVED
            dseeds[operand & 255] = dseeds.get(operand & 255, 0) + numpy(d)
    ends = [numpy(dlast[name]) for name in made.states]
    dx, dstates, dweights, watched = back(plan, arrays, numpy(x), steps, total, ends, dseeds, noises)
    got = [dx, *dstates, *(dweights[name] for name in weights)]
    for name, a, b in zip(["x", *state, *weights], got, expected, strict=True):
        np.testing.assert_allclose(a, b, **near, err_msg=f"gradient of {name}")
    for name, column in plan.watches.items():
        seen = np.stack([now[column.operand & 255] for now in watched])
        np.testing.assert_allclose(seen, numpy(values[f"d{name}"]), **near, err_msg=f"watched gradient of {name}")
    return plan


def names(made):
    return [name for name, _ in trace(made).results]


@pytest.mark.parametrize("made", VARIANTS, ids=lambda made: made.name)
def test_every_variant_equals_the_loop(made):
    """Values, kept values and all gradients of every variant are those of the definition."""
    compare(made)
    every = names(made)
    compare(made, keep=every, seeds=every, watch=every)
    compare(made, keep=every[1:3], seeds=every[2:3], watch=every[1:2], bias=False)
