"""One update, that `train.fit` and any other loop call; and what observers of a fit are told and may add."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

from gated import InputError, train
from made.fits import equal, fit, mse, net, rows, timeless, weights

PLAIN = dict(schedule="constant", warmup=0.0, weight_decay=0.0)


@pytest.mark.parametrize("clip", [None, 0.3, 1e6])
def test_without_decay_it_is_adam(clip):
    """With a constant rate and no weight decay it equals torch.optim.Adam and clip_grad_norm_, bit for bit."""
    mine, plain = net(), net()
    run = train.start(mine, train.Config(lr=1e-2, clip_norm=clip, **PLAIN))
    adam = torch.optim.Adam(plain.parameters(), 1e-2, fused=True)
    for n in range(20):
        batch = rows(8)(n)
        step = train.update(run, [mse(mine, batch)])
        loss = mse(plain, batch)
        adam.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(plain.parameters(), clip or torch.inf)
        adam.step()
        assert (step.loss, step.grad_norm, step.lr) == (loss.item(), norm.item(), 1e-2)
        assert step.clipped == (clip == 0.3 and norm.item() > clip)
        assert equal(mine, plain)
    assert run.step == 20
    assert run.clock > 0


def test_a_loop_of_ones_own_is_a_fit():
    """Updates on the batches that a fit would see leave the weights of that fit, bit for bit, schedule and all."""
    mine, fitted = net(), net()
    history = fit(fitted, schedule="onecycle", accumulate=2, ema=0.9)
    run = train.start(mine, train.Config(steps=12, lr=1e-2, schedule="onecycle", accumulate=2, ema=0.9))
    steps = [train.update(run, (mse(mine, rows(8)(2 * n + a)) for a in range(2))) for n in range(12)]
    assert [step.loss for step in steps] == [row["loss"] for row in history.rows]
    assert [step.lr for step in steps] == [row["lr"] for row in history.rows]
    for average, p in zip(run.ema, fitted.parameters(), strict=True):
        assert torch.equal(average, p)


def test_a_loss_is_differentiated_before_the_next_is_made():
    """Of losses from a generator one graph is in memory at a time; together they are one mean over their counts."""
    model, whole = net(), net()
    run, other = (train.start(m, train.Config(lr=1e-2, **PLAIN)) for m in (model, whole))
    x, y = rows(16)(0)

    def losses():
        for part in (slice(0, 3), slice(3, 16)):
            norms.append(sum(float(p.grad.norm()) for p in model.parameters() if p.grad is not None))
            yield (model(x[part]) - y[part]).square().sum(), y[part].numel()

    norms = []
    step = train.update(run, losses())
    assert norms[0] == 0 < norms[1]
    reference = train.update(other, [mse(whole, (x, y))])
    assert step.loss == pytest.approx(reference.loss)
    assert step.grad_norm == pytest.approx(reference.grad_norm)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(model.parameters(), whole.parameters(), strict=True))


def test_norms_are_those_of_each_weight_before_clipping():
    """`norms` has a weight's gradient norm as it was before clipping, of weights that the loss uses."""
    model = net()
    model.spare = nn.Parameter(torch.ones(2))
    batch = rows(8)(0)
    used = [p for p in model.parameters() if p is not model.spare]
    grads = torch.autograd.grad(mse(model[:4], batch), used)
    step = train.update(train.start(model, train.Config(clip_norm=1e-3)), [mse(model[:4], batch)])
    assert step.clipped
    assert [float(step.norms[p]) for p in used] == pytest.approx([float(g.norm()) for g in grads], rel=1e-6)
    assert model.spare not in step.norms
    assert step.grad_norm == pytest.approx(float(torch.cat([g.flatten() for g in grads]).norm()), rel=1e-6)


def test_it_diverges_before_the_step():
    """A loss that is not finite raises, names the step, and leaves the weights of the step before."""
    model = net()
    run = train.start(model, train.Config(lr=1e-2))
    train.update(run, [mse(model, rows(8)(0))])
    before = weights(model)
    with pytest.raises(train.Diverged, match="train, step 2: expected a finite loss and gradient, got loss nan"):
        train.update(run, [mse(model, rows(8)(1)) * torch.nan])
    assert equal(before, weights(model))


# ---- observers


def test_an_observer_adds_columns():
    """It sees every update and whether a row ends with it; a row has the mean of what it returned since the last."""
    calls = []

    @contextlib.contextmanager
    def observer(run):
        calls.append("enter")

        def observe(step, complete):
            assert not torch.is_grad_enabled()
            calls.append((run.step, step.loss, complete))
            return {"number": run.step} | ({"last": run.batch} if complete else {})

        yield observe
        calls.append("exit")

    plain, observed = fit(net(), log_every=5), fit(net(), log_every=5, watch=True, observers=[observer])
    added = ("number", "last")
    assert [{k: v for k, v in row.items() if k not in added} for row in timeless(observed)] == timeless(plain)
    assert [(row["number"], row["last"]) for row in observed.rows] == [(3, 4), (8, 9), (11.5, 11)]
    assert (calls[0], calls[-1]) == ("enter", "exit")
    assert [(step, complete) for step, _, complete in calls[1:-1]] == [(n, n in (5, 10, 12)) for n in range(1, 13)]
    assert observed.rows[0]["loss"] == pytest.approx(np.mean([loss for _, loss, _ in calls[1:6]]))


def test_observers_are_called_where_asked_for():
    """Without `watch` no observer is entered, and `watch` without an observer is an error."""
    fit(net(), observers=[lambda run: 1 / 0])
    with pytest.raises(InputError, match=r"train\.fit: expected observers= for Config\(watch=True\), got none"):
        fit(net(), watch=True)


def test_an_observer_leaves_when_a_fit_fails():
    """Its context ends, whatever ends the fit."""
    ended = []

    @contextlib.contextmanager
    def observer(run):
        try:
            yield lambda step, complete: {}
        finally:
            ended.append(run.step)

    with pytest.raises(ZeroDivisionError):
        fit(net(), lambda m, b: 1 / 0, watch=True, observers=[observer])
    assert ended == [0]
