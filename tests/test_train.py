"""The training loop: what a step is, what ends a run, what is kept, and that nothing outside it changes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gated import InputError, data
from made.fits import WAVE, Scripted, X, Y, carried, close, equal, fit, mse, net, recurrent, rows, weights

# ---- a step


def test_it_is_adamw_with_no_decay_on_biases():
    """The loop equals the plain one with torch.optim.AdamW and decay on matrices only, bit for bit."""
    mine, plain = net(), net()
    history = fit(mine, weight_decay=0.1, betas=(0.8, 0.95), clip_norm=None, schedule="constant", warmup=0.0)
    decayed, others = ([p for p in plain.parameters() if (p.ndim > 1) == d] for d in (True, False))
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.8, 0.95), fused=True)
    losses = []
    for n in range(12):
        loss = mse(plain, rows(8)(n))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert equal(mine, plain)
    assert [row["loss"] for row in history.rows] == losses
    assert history.stopped == "steps"


@given(st.sampled_from(["cosine", "linear", "onecycle", "constant"]), st.floats(0, 0.5), st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_a_schedule_rises_to_lr_and_decays(schedule, warmup, steps):
    """The rate rises through the warm-up, never passes lr, falls to nearly nothing at last, and is never zero."""
    history = fit(net(), steps=steps, schedule=schedule, warmup=warmup)
    lrs = [row["lr"] for row in history.rows]
    assert all(0 < lr <= 1e-2 * (1 + 1e-9) for lr in lrs)
    top = lrs.index(max(lrs))
    assert lrs[: top + 1] == sorted(lrs[: top + 1])
    assert lrs[top:] == sorted(lrs[top:], reverse=True)
    if steps >= 20:
        assert max(lrs) > 0.9e-2
        assert schedule == "constant" or lrs[-1] < 0.06e-2


def test_one_cycle_is_torchs():
    """The one-cycle schedule is torch's OneCycleLR, up to the place within a step where it is read."""
    lrs = [row["lr"] for row in fit(net(), steps=1000, lr=0.5, schedule="onecycle", warmup=0.3).rows]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
    torchs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=1000, pct_start=0.3)
    for lr in lrs:
        assert lr == pytest.approx(torchs.get_last_lr()[0], abs=2e-3)
        optimizer.step()
        if lr is not lrs[-1]:
            torchs.step()


@pytest.fixture
def gradients():
    """The gradients that reach the optimizer, flat, step by step."""
    seen = []

    def note(optimizer, *_):
        grads = [p.grad.reshape(-1) for group in optimizer.param_groups for p in group["params"]]
        seen.append(torch.cat(grads).clone())

    handle = register_optimizer_step_pre_hook(note)
    yield seen
    handle.remove()


def test_clipping_by_norm(gradients):
    """A gradient longer than clip_norm is scaled to it, a shorter one stays; the history has the norm before."""
    history = fit(net(), clip_norm=0.8, steps=30)
    for row, grad in zip(history.rows, gradients, strict=True):
        assert row["clipped"] == (row["grad_norm"] > 0.8)
        assert float(grad.norm()) == pytest.approx(min(row["grad_norm"], 0.8), rel=1e-4)
    assert 0 < sum(row["clipped"] for row in history.rows) < 30


def test_clipping_by_value(gradients):
    """No number of a gradient passes clip_value, numbers below it stay, and the norm is clipped after."""
    free = fit(net(), clip_norm=None, steps=1)
    fit(net(), clip_norm=None, clip_value=0.05, steps=1)
    both = fit(net(), clip_norm=0.1, clip_value=0.05, steps=1)
    raw, clamped, scaled = gradients
    assert raw.abs().max() > 0.05
    assert torch.equal(clamped, raw.clamp(-0.05, 0.05))
    assert torch.allclose(scaled, clamped * 0.1 / clamped.norm(), atol=1e-6)
    assert both.rows[0]["grad_norm"] == free.rows[0]["grad_norm"]
    assert (free.rows[0]["clipped"], both.rows[0]["clipped"]) == (0, 1)


def test_accumulating_is_a_larger_batch():
    """Two micro-batches of 8 rows a step, or four of 4, train as one of 16 does."""
    whole, halves, quarters = net(), net(), net()
    curves = [
        fit(model, batches=rows(16 // parts), accumulate=parts).rows
        for model, parts in ((whole, 1), (halves, 2), (quarters, 4))
    ]
    assert close(whole, halves)
    assert close(whole, quarters)
    for a, b, c in zip(*curves, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5) == pytest.approx(c["loss"], abs=1e-5)


def test_a_loss_of_sum_and_count_is_exact_over_unequal_micro_batches():
    """With (sum, count) a step over 3 and 13 rows is the step over their 16; the mean of their means is another."""
    indices = data.shuffled(len(X), 16)

    def uneven(n):
        mine = indices(n // 2)[:3] if n % 2 == 0 else indices(n // 2)[3:]
        return X[mine], Y[mine]

    def pair(model, batch):
        return (model(batch[0]) - batch[1]).square().sum(), batch[1].numel()

    whole, parts, tensors, means = net(), net(), net(), net()
    fit(whole, batches=rows(16))
    fit(parts, pair, uneven, accumulate=2)
    fit(tensors, lambda m, b: (pair(m, b)[0], torch.tensor(pair(m, b)[1])), uneven, accumulate=2)
    fit(means, batches=uneven, accumulate=2)
    assert close(whole, parts)
    assert equal(parts, tensors)
    assert not close(whole, means, 1e-3)


def test_a_weight_without_a_gradient_stays():
    """A weight that the loss does not use is not moved, and one that needs no gradient is not either."""
    model = net()
    model.spare = nn.Parameter(torch.ones(2, 2))
    model[0].weight.requires_grad_(False)
    before = weights(model)
    fit(model, lambda m, b: mse(m[:4], b), weight_decay=0.5)
    after = weights(model)
    assert {name for name in before if torch.equal(before[name], after[name])} == {"spare", "0.weight"}


@pytest.mark.parametrize("form", ["tensor", "dict", "tuple", "list", "nested"])
def test_a_batch_has_any_form(form):
    """A batch is what the loss takes: a tensor or tensors in a dict, a tuple, a list, or one in another."""
    make = {
        "tensor": (lambda x, y: torch.cat([x, y], 1), lambda b: (b[:, :3], b[:, 3:])),
        "dict": (lambda x, y: {"x": x, "y": y}, lambda b: (b["x"], b["y"])),
        "tuple": (lambda x, y: (x, y), lambda b: b),
        "list": (lambda x, y: [x, y], lambda b: b),
        "nested": (lambda x, y: {"both": (x, [y])}, lambda b: (b["both"][0], b["both"][1][0])),
    }
    pack, unpack = make[form]
    model, plain = net(), net()
    fit(model, lambda m, b: mse(m, unpack(b)), lambda n: pack(*rows(8)(n)))
    fit(plain)
    assert equal(model, plain)


# ---- truncated BPTT


def test_truncated_bptt_with_k_of_t_or_more_is_bptt():
    """One piece that holds the whole sequence trains as the plain loss over it does, whatever k past T."""
    models = [recurrent() for _ in range(3)]
    for model, k in zip(models, (32, 1000), strict=False):
        fit(model, carried, data.streams(WAVE[:33], 1, k), carry=True)
    x, y = WAVE[:32, None], WAVE[1:33, None]
    fit(models[2], lambda m, b: (m(x)[0] - y).square().mean())
    assert equal(models[0], models[2])
    assert equal(models[1], models[2])


def test_the_carried_state_is_that_of_an_unbroken_run():
    """With weights that stand still, the losses of the pieces are those of one forward over the whole sequence."""
    model = recurrent()
    history = fit(model, carried, data.streams(WAVE, 2, 8), carry=True, lr=0.0, steps=8)
    rows_ = WAVE[:64].unflatten(0, (2, 32)).transpose(0, 1)
    y, _ = model(rows_[:-1])
    whole = (y - rows_[1:]).square().mean((1, 2)).detach()
    pieces = [float(whole[i : i + 8].mean()) for i in range(0, 31, 8)]
    assert [row["loss"] for row in history.rows] == pytest.approx(pieces * 2, rel=1e-5)


def test_the_gradient_ends_where_a_piece_begins():
    """Training with a carried state equals a plain loop that detaches it, bit for bit, not one that zeroes it."""
    mine, plain, zeroed = recurrent(), recurrent(), recurrent()
    chunk = data.streams(WAVE, 2, 8)
    options = {"schedule": "constant", "warmup": 0.0, "clip_norm": None, "weight_decay": 0.0}
    fit(mine, carried, chunk, carry=True, **options)
    optimizer, state = torch.optim.AdamW(plain.parameters(), 1e-2, weight_decay=0, fused=True), None
    for n in range(12):
        loss, state = carried(plain, chunk(n), state)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state = state.detach()
    fit(zeroed, lambda m, b: carried(m, b, None)[0], chunk, **options)
    assert equal(mine, plain)
    assert not close(mine, zeroed, 1e-4)


def test_each_micro_batch_of_a_step_carries_its_own_state():
    """Accumulating over two halves of the streams trains as the streams together do."""
    whole, halves = recurrent(), recurrent()
    fit(whole, carried, data.streams(WAVE, 4, 5), carry=True)
    fit(halves, carried, data.streams(WAVE, 2, 5, parts=2), carry=True, accumulate=2)
    assert close(whole, halves)


# ---- evaluation, averages, and what is kept


def test_the_average_is_the_one_by_hand():
    """e ← d e + (1 − d) w after every step, d = min(ema, n / (n + 9)); it is what is evaluated, and what is kept."""
    seen, averaged, kept = Scripted(), Scripted(), net()
    fit(net(), validate=seen, eval_every=1, steps=30)
    fit(net(), validate=averaged, eval_every=1, steps=30, ema=0.7)
    fit(kept, steps=30, ema=0.7)
    average = weights(net())
    for n, (raw, got) in enumerate(zip(seen.seen, averaged.seen, strict=True), 1):
        d = min(0.7, n / (n + 9))
        average = {name: d * average[name] + (1 - d) * raw[name] for name in raw}
        assert all(torch.allclose(average[name], got[name], atol=1e-6) for name in raw)
    assert all(torch.allclose(average[name], tensor, atol=1e-6) for name, tensor in weights(kept).items())


def test_early_stopping_restores_the_best_weights():
    """Patience counts evaluations since the best; the weights of the best evaluation are those that are kept."""
    values = Scripted(5.0, 3.0, 4.0, float("nan"), 3.0, 1.0)
    model = net()
    history = fit(model, validate=values, eval_every=2, patience=3, steps=100)
    assert (history.stopped, history.steps, history.best, history.best_step) == ("patience", 10, 3.0, 4)
    assert equal(model, values.seen[1])
    assert not model.training
    assert [row.get("valid") for row in history.rows[1::2]][:3] == [5.0, 3.0, 4.0]


def test_the_mean_of_the_k_best_is_kept():
    """With best_k the weights are the mean of those of the k lowest evaluations, the earlier of equal ones."""
    values = Scripted(5.0, 3.0, 4.0, 3.0, 9.0, 3.0)
    model = net()
    model.register_buffer("count", torch.tensor(3))
    history = fit(model, validate=values, eval_every=2, best_k=3)
    kept = [values.seen[i] for i in (1, 3, 5)]
    for name, tensor in weights(model).items():
        expected = torch.stack([one[name] for one in kept]).double().mean(0)
        assert torch.allclose(tensor.double(), expected, atol=1e-7)
    assert (history.best, history.best_step) == (3.0, 4)


def test_the_monitor_is_the_first_number_or_the_named_one():
    """A dict of numbers is monitored at its first, or at the name asked for; an unknown name lists those there are."""

    def validate(model):
        value = validate.n = validate.n + 1
        return {"up": value, "down": -value}

    for monitor, best_step in ((None, 4), ("up", 4), ("down", 12)):
        validate.n = 0
        history = fit(net(), validate=validate, eval_every=4, monitor=monitor)
        assert history.best_step == best_step
        assert history.rows[3]["valid_up"] == 1.0
    with pytest.raises(InputError, match="monitor: expected one of 'up', 'down', got 'sideways'"):
        fit(net(), validate=validate, monitor="sideways")


def test_the_last_step_is_evaluated():
    """A run whose steps are no multiple of eval_every is evaluated at its end too."""
    values = Scripted(3.0, 2.0, 1.0)
    model = net()
    assert fit(model, validate=values, eval_every=5).best_step == 12
    assert equal(model, values.seen[2])
