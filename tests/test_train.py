"""The training loop: what a step is, what ends a run, what is kept, and that nothing outside it changes."""

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gated import InputError, checkpoint, data, train

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(7))
Y = torch.tanh(X @ torch.randn(3, 2, generator=torch.Generator().manual_seed(8)))


def net(dropout=0.0):
    with train.seeded(5):
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 2))


def mse(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def rows(batch, seed=0):
    indices = data.shuffled(len(X), batch, seed)
    return lambda n: (X[indices(n)], Y[indices(n)])


def fit(model, loss=mse, batches=None, validate=None, out=None, resume=False, progress=True, **config):
    given_ = {"steps": 12, "lr": 1e-2, "log_every": 1, **config}
    config = train.Config(**given_)
    return train.fit(
        model, loss, batches or rows(8), config=config, validate=validate, out=out, resume=resume, progress=progress
    )


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a, b):
    """Two models, or two sets of weights, are the same bit for bit."""
    a, b = (x.state_dict() if isinstance(x, nn.Module) else x for x in (a, b))
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def close(a, b, tolerance=1e-5):
    return all(torch.allclose(x, y, atol=tolerance) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def timeless(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]


class Scripted:
    """A `validate` that returns the numbers it was given and remembers the weights it saw."""

    def __init__(self, *values):
        self.values, self.seen = list(values), []

    def __call__(self, model):
        assert not model.training
        assert not torch.is_grad_enabled()
        self.seen.append(weights(model))
        return self.values[len(self.seen) - 1] if self.values else 0.0


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


class Recurrent(nn.Module):
    """An RNN of one layer that predicts the next number."""

    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.RNN(1, 4), nn.Linear(4, 1)

    def forward(self, x, state=None):
        h, state = self.rnn(x, state)
        return self.out(h), state


def recurrent():
    with train.seeded(2):
        return Recurrent()


def carried(model, chunk, state):
    y, state = model(chunk.x, None if chunk.first else state)
    return (y - chunk.y).square().mean(), state


WAVE = torch.sin(torch.arange(65.0) * 0.7)[:, None]


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
    whole = (y - rows_[1:]).square().mean((1, 2))
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


# ---- the ends of a run


def test_a_time_limit_is_kept_and_the_decay_completes():
    """The run ends within a step of its time, evaluation included, and its rate has come down by then."""

    def slow(model, batch):
        time.sleep(0.004)
        return mse(model, batch)

    def validate(model):
        time.sleep(0.05)
        return 1.0

    began = time.monotonic()
    history = fit(net(), slow, validate=validate, steps=10**6, eval_every=20, time_limit=0.8)
    assert time.monotonic() - began < 0.8 + 0.1
    assert history.stopped == "time"
    lrs = [row["lr"] for row in history.rows]
    assert max(lrs) > 0.9e-2
    assert lrs[-1] < 0.1e-2
    assert fit(net(), time_limit=100.0).stopped == "steps"


@pytest.mark.parametrize("kind", ["loss", "gradient"])
@pytest.mark.parametrize("evaluated", [False, True])
def test_what_is_not_finite_stops_with_the_last_good_weights(tmp_path, kind, evaluated):
    """NaN in the loss, or only in its gradient, is an error that names the step; the weights are good ones."""
    before = []

    def loss(model, batch):
        before.append(weights(model))
        value = mse(model, batch)
        if len(before) == 8:
            zero = (model[0].weight * 0).sum()
            value = value * float("inf") if kind == "loss" else value + zero.abs().sqrt()
        return value

    model, values = net(), Scripted(1.0, 2.0)
    with pytest.raises(train.Diverged, match="step 8: expected a finite loss and gradient, got loss") as caught:
        fit(model, loss, validate=values if evaluated else None, eval_every=3, out=tmp_path)
    assert equal(model, values.seen[0] if evaluated else before[-1])
    assert caught.value.history.steps == 7
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 8
    assert isinstance(caught.value, InputError)


def test_ctrl_c_stops_at_a_step_and_can_be_resumed(tmp_path):
    """The first Ctrl-C ends the run after its step, and the run goes on from there as if never stopped."""

    def pressed(n):
        if n == 5:
            signal.raise_signal(signal.SIGINT)
        return rows(8)(n)

    handler = signal.getsignal(signal.SIGINT)
    whole, parts, twice = net(0.2), net(0.2), net(0.2)
    options = {"ema": 0.9, "log_every": 4, "eval_every": 3}
    unbroken = fit(whole, validate=Scripted(4, 3, 5, 6), **options)
    values = Scripted(4, 3, 5, 6)
    first = fit(parts, batches=pressed, out=tmp_path, validate=values, **options)
    assert (first.stopped, first.steps) == ("interrupted", 6)
    assert equal(parts, values.seen[1])
    second = fit(twice, out=tmp_path, resume=True, validate=values, **options)
    assert equal(whole, twice)
    assert timeless(second) == timeless(unbroken)
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_twice_stops_at_once():
    """The second Ctrl-C does not wait for the step."""

    def pressed(n):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return rows(8)(n)

    with pytest.raises(KeyboardInterrupt):
        fit(net(), batches=pressed)


# ---- killed and resumed

KILLED = """
    import os, random, signal, sys, time
    sys.path.insert(0, {tests!r})
    import torch
    torch.set_num_threads(1)
    import test_train as t

    def child(out):
        model = t.recurrent()
        model.drop = torch.nn.Dropout(0.3)
        def loss(m, b, state):
            y, state = m(m.drop(b.x), None if b.first else state)
            return ((y - b.y).square().sum(), b.y.numel()), state
        def validate(m):
            return {{"mse": float((m(t.WAVE[:-1, None])[0] - t.WAVE[1:, None]).square().mean())}}
        history = t.fit(model, loss, t.data.streams(t.WAVE, 2, 5, parts=2), validate, out, resume=True, steps=30,
            accumulate=2, carry=True, ema=0.9, best_k=3, eval_every=4, log_every=3, checkpoint_every=0.0)
        torch.set_printoptions(precision=9)
        print(t.timeless(history), history.best, [p.double().tolist() for p in model.parameters()],
            (t.checkpoint.Path(out) / "history.csv").read_text().count("\\n"))

    def attempt(out, delay):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            said = open(out + ".said", "w")
            os.dup2(said.fileno(), 1)
            child(out)
            sys.stdout.flush()
            os._exit(0)
        if delay is not None:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    folder = sys.argv[1]
    began = time.monotonic()
    assert attempt(folder + "/whole", None) == 0
    took = time.monotonic() - began
    whole, kills, chance = open(folder + "/whole.said").read(), 0, random.Random(int(sys.argv[2]))
    assert len(whole) > 1000
    for run in range(2):
        out = f"{{folder}}/run{{run}}"
        delays = [took * chance.uniform(0.02, 0.4) for _ in range(6)] + [None]
        for delay in delays:
            code = attempt(out, delay)
            if code == 0:
                break
            assert code == -signal.SIGKILL, code
            kills += 1
        assert open(out + ".said").read() == whole
    print(kills)
"""


def test_killed_at_any_moment_and_resumed_it_ends_the_same(tmp_path):
    """SIGKILL at random moments, several times a run: weights, best and history are those of a run never stopped."""
    seed = str(random.SystemRandom().randrange(2**31))
    script = textwrap.dedent(KILLED.format(tests=os.path.dirname(__file__)))
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), seed], capture_output=True, text=True)
    assert done.returncode == 0, f"seed {seed}\n{done.stderr}"
    assert int(done.stdout) >= 3, f"seed {seed}: killed only {done.stdout} times"


def test_resuming_a_finished_run_gives_its_weights(tmp_path):
    """Where nothing is left to do, nothing is done; where nothing was begun, the run begins."""
    first, second = net(), net()
    values = Scripted(4, 3, 5)
    one = fit(first, validate=values, eval_every=5, out=tmp_path, resume=True)
    two = fit(second, validate=values, eval_every=5, out=tmp_path, resume=True)
    assert equal(first, second)
    assert len(values.seen) == 3
    assert (one.rows, one.best, one.stopped, one.steps) == (two.rows, two.best, two.stopped, two.steps)


def test_the_history_is_a_csv(tmp_path):
    """history.csv holds the rows, a column each, numbers to the last digit, and empty where there was no evaluation."""
    history = fit(net(), validate=Scripted(2.0, 1.0, 3.0), eval_every=5, out=tmp_path)
    with open(tmp_path / "history.csv") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["step", "loss", "lr", "grad_norm", "clipped", "seconds", "valid"]
    assert [{k: float(v) for k, v in row.items() if v} for row in found] == history.rows
    assert [row["valid"] for row in found if row["valid"]] == ["2.0", "1.0", "3.0"]


def test_a_run_is_resumed_with_its_own_config_and_model(tmp_path):
    """Another rate, or another model, is refused by name; fields that do not change a step may differ."""
    fit(net(), out=tmp_path)
    with pytest.raises(InputError, match=r"expected lr 0\.01, steps 12|expected steps 12, lr 0\.01"):
        fit(net(), out=tmp_path, resume=True, lr=1.0, steps=99)
    with pytest.raises(
        InputError, match=r"model\.0\.weight: expected torch\.float32 of shape \(9, 3\), got .*\(8, 3\)"
    ):
        fit(nn.Sequential(nn.Linear(3, 9), nn.Linear(9, 2)), out=tmp_path, resume=True)
    fit(net(), out=tmp_path, resume=True, checkpoint_every=1.0, time_limit=50.0)
    with pytest.raises(InputError, match="expected out="):
        fit(net(), resume=True)


def test_a_new_run_in_an_old_folder_starts_afresh(tmp_path):
    """Without resume what was there is not continued; a folder that is no run is not touched."""
    fit(net(), out=tmp_path / "a")
    assert len(fit(net(), out=tmp_path / "a", steps=3).rows) == 3
    assert len((tmp_path / "a" / "history.csv").read_text().splitlines()) == 4
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"got letter\.txt"):
        fit(net(), out=tmp_path / "b")


def test_a_damaged_training_file_is_refused(tmp_path):
    """Cut short at any place, or with notes that no save wrote, the file for resuming is one error and no traceback."""
    fit(recurrent(), carried, data.streams(WAVE, 2, 8), carry=True, out=tmp_path, ema=0.5, validate=Scripted(1.0))
    path = tmp_path / "training.safetensors"
    whole = path.read_bytes()
    state, note = checkpoint.unpack(path)

    def again():
        with pytest.raises(InputError) as caught:
            fit(recurrent(), carried, data.streams(WAVE, 2, 8), None, tmp_path, True, carry=True, ema=0.5)
        assert "training.safetensors" in str(caught.value) or "weights" in str(caught.value)

    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        again()
    for name in note:
        for value in (None, "x", -1, [1e300] * 3, [[]], {"a": []}, [{"tuple": 3}], [{"dict": []}], ["tensor"]):
            if name == "carry" and value == ["tensor"]:
                continue  # this is what it was
            path.write_bytes(checkpoint.pack(state, {**note, name: value}))
            again()
    for name in state:
        path.write_bytes(checkpoint.pack({**state, name: torch.zeros(3, 5, 7)}, note))
        if not name.startswith("carry"):
            again()
        path.write_bytes(checkpoint.pack({key: value for key, value in state.items() if key != name}, note))
        again()
    path.write_bytes(whole)
    fit(recurrent(), carried, data.streams(WAVE, 2, 8), None, tmp_path, True, carry=True, ema=0.5)


# ---- what it leaves alone


def test_two_runs_are_equal_and_seeds_differ():
    """One seed, one result, bit for bit, whatever the global generators were; another seed, another dropout."""
    models = [net(0.5) for _ in range(3)]
    histories = []
    for model, seed in zip(models, (3, 3, 4), strict=True):
        torch.manual_seed(random.randrange(2**31))
        histories.append(timeless(fit(model, seed=seed)))
    assert equal(models[0], models[1])
    assert histories[0] == histories[1]
    assert not equal(models[0], models[2])


def test_the_callers_generators_are_not_touched():
    """After a fit with dropout and evaluations, and after one that fails, torch's and NumPy's are as before."""

    def states():
        numpy_state = np.random.get_state()  # noqa: NPY002, the one a caller may rely on
        return torch.get_rng_state().tolist(), [str(part) for part in numpy_state]

    def validate(model):
        return float(torch.rand(()))

    before = states()
    history = fit(net(0.5), validate=validate, eval_every=4)
    assert states() == before
    assert len({row["valid"] for row in history.rows if "valid" in row}) == 1  # evaluations share one seed
    with pytest.raises(ZeroDivisionError):
        fit(net(0.5), lambda m, b: 1 / 0)
    assert states() == before


def test_seeded_is_a_scope():
    """Within `seeded` the draws are the seed's, and after it the caller's go on."""
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    with train.seeded(1):
        one = torch.rand(3)
    assert torch.equal(torch.rand(2), expected)
    with train.seeded(1):
        assert torch.equal(torch.rand(3), one)
    with train.seeded(2):
        assert not torch.equal(torch.rand(3), one)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_it_is_silent_unless_there_is_a_terminal(capfd, monkeypatch):
    """Nothing goes to standard output, ever; progress goes to standard error, if a terminal and wanted."""
    fit(net(), validate=Scripted())
    assert capfd.readouterr() == ("", "")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    fit(net(), progress=False)
    assert screen.getvalue() == ""
    fit(net(), validate=Scripted(0.25), eval_every=12)
    assert "step 12" in screen.getvalue()
    assert "valid 0.25" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert capfd.readouterr().out == ""


def test_tensorboard_gets_every_row(tmp_path):
    """With tensorboard=True the rows are in out/tensorboard as well; without a folder for them it is an error."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = fit(net(), out=tmp_path, tensorboard=True, log_every=3)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [
        (row["step"], pytest.approx(row["loss"])) for row in history.rows
    ]
    checkpoint.save(tmp_path, {}, net())  # the folder is still a run
    with pytest.raises(InputError, match="expected out="):
        fit(net(), tensorboard=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("steps", 0), ("lr", -1.0), ("lr", float("nan")), ("schedule", "step"), ("warmup", 1.5), ("accumulate", 0)],
        *[("clip_norm", -1.0), ("clip_value", -1.0), ("ema", 1.5), ("best_k", 0), ("patience", 0), ("device", "tpu")],
        *[("precision", "16"), ("time_limit", 0.0), ("eval_every", 0), ("log_every", 0), ("seed", -1)],
    ],
)
def test_a_config_out_of_range_is_refused_by_name(field, value):
    """Every field is checked before the first step."""
    with pytest.raises(InputError, match=f"Config {field}"):
        fit(net(), **{field: value})


def test_a_loss_of_another_form_is_refused():
    """A loss must be a scalar or a pair, use the model, count something, and give a state back where one is carried."""
    with pytest.raises(InputError, match=r"expected a scalar tensor, or a pair \(sum, count\), got shape \(8, 2\)"):
        fit(net(), lambda m, b: m(b[0]))
    with pytest.raises(InputError, match=r"expected a scalar tensor, or a pair \(sum, count\), got float"):
        fit(net(), lambda m, b: 0.0)
    with pytest.raises(InputError, match="expected a gradient for some weight"):
        fit(net(), lambda m, b: torch.zeros((), requires_grad=True))
    with pytest.raises(InputError, match=r"expected a positive count, got 0\.0"):
        fit(net(), lambda m, b: (m(b[0]).sum() * 0, 0))
    with pytest.raises(InputError, match=r"expected \(loss, state\), got Tensor"):
        fit(net(), lambda m, b, s: mse(m, b), carry=True)
    with pytest.raises(InputError, match="expected a model with weights to train"):
        fit(nn.Tanh())


# ---- Fabric: other precisions, several processes


PLAIN = """
    import random, sys, torch
    from gated import train
    state, model = random.getstate(), torch.nn.Linear(1, 1)
    train.fit(model, lambda m, b: m(b).sum(), lambda n: torch.ones(1, 1))
    print([name for name in ("lightning_fabric", "rich") if name in sys.modules], state == random.getstate())
"""


def test_a_plain_run_pays_for_nothing_it_does_not_use():
    """One process on the CPU in float32 imports neither Fabric nor the progress bar; Python's generator stays."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(PLAIN)], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[] True", "")


def test_bf16_trains_near_float32(capfd):
    """bf16-mixed keeps float32 weights, computes in bf16, and its curve stays near that of float32."""
    seen = set()

    def loss(model, batch):
        seen.add(model[0](batch[0]).dtype)
        return mse(model, batch)

    mixed, full = net(), net()
    a, b = fit(mixed, loss, precision="bf16-mixed", steps=40), fit(full, steps=40)
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in mixed.parameters()} == {torch.float32}
    assert not equal(mixed, full)
    assert [r["loss"] for r in a.rows] == pytest.approx([r["loss"] for r in b.rows], abs=0.05)
    assert capfd.readouterr().out == ""


TWO = """
    import json, os, signal, sys
    sys.path.insert(0, {tests!r})
    import torch
    torch.set_num_threads(1)
    import test_train as t
    folder, rank = sys.argv[1], int(os.environ["RANK"])

    def curve(name, dropout=0.0, rows=8, carry=False, stop=None, resume=False, **options):
        model = t.recurrent() if carry else t.net(dropout)
        batches = t.data.streams(t.WAVE, 2, 5, parts=2) if carry else t.rows(rows)
        def given(n):
            if n == stop:
                os.kill(os.getpid(), signal.SIGINT)  # one process hears it, both stop
            return batches(n)
        loss, out = t.carried if carry else t.mse, f"{{folder}}/{{name}}"
        history = t.fit(model, loss, given, t.Scripted(), out, resume, carry=carry, ema=0.9, eval_every=5, **options)
        flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).tolist()
        with open(f"{{folder}}/{{name}}{{rank}}.json", "w") as file:
            json.dump([flat, [row["loss"] for row in history.rows], history.stopped, history.steps], file)

    curve("plain")
    curve("dropout", 0.3)
    curve("carried", carry=True)
    curve("stopped", carry=True, stop=11)
    os.rename(f"{{folder}}/stopped{{rank}}.json", f"{{folder}}/first{{rank}}.json")
    curve("stopped", carry=True, resume=True)
"""


def test_two_processes_are_one_with_twice_the_batch(tmp_path):
    """Under torchrun two processes train as one does with twice the batch, or with twice the micro-batches."""
    script = tmp_path / "two.py"
    script.write_text(textwrap.dedent(TWO.format(tests=os.path.dirname(__file__))))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(script)]
    done = subprocess.run(
        [*launch, str(tmp_path)], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == ""

    def alone(model, **options):
        history = fit(model, validate=Scripted(), ema=0.9, eval_every=5, **options)
        flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).tolist()
        return flat, [row["loss"] for row in history.rows]

    pieces = data.streams(WAVE, 2, 5, parts=2)
    expected = {
        "plain": alone(net(), batches=rows(16)),
        "dropout": alone(net(0.3), batches=rows(8), accumulate=2),
        "carried": alone(recurrent(), loss=carried, batches=pieces, accumulate=2, carry=True),
    }
    expected["stopped"] = expected["carried"]
    for name, (flat, losses) in expected.items():
        first, second = (json.loads((tmp_path / f"{name}{rank}.json").read_text()) for rank in (0, 1))
        assert first == second
        assert first[0] == pytest.approx(flat, abs=1e-5), name
        assert first[1] == pytest.approx(losses, abs=1e-5), name
    never, resumed = (json.loads((tmp_path / f"{name}0.json").read_text()) for name in ("carried", "stopped"))
    assert never == resumed  # bit for bit
    for rank in (0, 1):
        assert json.loads((tmp_path / f"first{rank}.json").read_text())[2:] == ["interrupted", 6]
    assert {p.name for p in (tmp_path / "plain").iterdir()} == {"history.csv", "training.safetensors"}
