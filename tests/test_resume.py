"""The ends of a training run: finished, interrupted, killed, diverged; what outlasts it, and what it leaves alone."""

import csv
import io
import json
import random
import re
import signal
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

from gated import InputError, checkpoint, data, train
from made import fresh
from made.fits import WAVE, Scripted, carried, equal, fit, mse, net, recurrent, rows, timeless, weights

# ---- the ends of a run


def test_a_time_limit_is_kept_and_the_decay_completes(monkeypatch):
    """The run ends within a step of its time, evaluation included, and its rate has come down by then."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(model, batch):
        now[0] += 0.004
        return mse(model, batch)

    def validate(model):
        now[0] += 0.05
        return 1.0

    history = fit(net(), slow, validate=validate, steps=10**6, eval_every=20, time_limit=0.8)
    assert 0.8 - 0.004 - 0.05 <= now[0] - 100.0 <= 0.8
    assert history.stopped == "time"
    assert history.seconds == pytest.approx(now[0] - 100.0, abs=0.051)
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
    options = {"ema": 0.9, "log_every": 4, "eval_every": 3, "patience": 2}
    unbroken = fit(whole, validate=Scripted(3, 4, 5), **options)
    values = Scripted(3, 4, 5)
    first = fit(parts, batches=pressed, out=tmp_path, validate=values, **options)
    assert (first.stopped, first.steps) == ("interrupted", 6)
    assert equal(parts, values.seen[0])
    second = fit(twice, out=tmp_path, resume=True, validate=values, **options)
    assert equal(whole, twice)
    assert timeless(second) == timeless(unbroken)
    assert (second.stopped, second.steps) == (unbroken.stopped, unbroken.steps) == ("patience", 9)
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_twice_stops_at_once():
    """The second Ctrl-C does not wait for the step."""

    def pressed(n):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return rows(8)(n)

    with pytest.raises(KeyboardInterrupt):
        fit(net(), batches=pressed)


def test_ctrl_c_in_the_last_evaluation_is_not_lost(tmp_path):
    """Pressed after the last step it still ends the fit as interrupted, whose resumption ends as if never stopped."""

    def pressed(model):
        signal.raise_signal(signal.SIGINT)
        return 1.0

    whole, parts = net(0.2), net(0.2)
    fit(whole, steps=6, eval_every=6, validate=lambda model: 1.0)
    first = fit(parts, out=tmp_path, steps=6, eval_every=6, validate=pressed)
    assert (first.stopped, first.steps) == ("interrupted", 6)
    second = fit(parts, out=tmp_path, resume=True, steps=6, eval_every=6, validate=lambda model: 1.0)
    assert (second.stopped, second.steps) == ("steps", 6)
    assert equal(whole, parts)


# ---- killed and resumed

KILLED = """
    import json, os, random, signal, sys
    import torch
    import made.fits as t
    from gated import checkpoint, train
    from gated.io import files

    ROOM = (os.path.dirname(train.__file__), checkpoint.__file__, files.__file__)

    def child(out):
        model = t.recurrent()
        model.drop = torch.nn.Dropout(0.3)
        def loss(m, b, state):
            y, state = m(m.drop(b.x), None if b.first else state)
            return ((y - b.y).square().sum(), b.y.numel()), state
        def validate(m):
            return {"mse": float((m(t.WAVE[:-1, None])[0] - t.WAVE[1:, None]).square().mean())}
        history = t.fit(model, loss, t.data.streams(t.WAVE, 2, 5, parts=2), validate, out, resume=True, steps=30,
            accumulate=2, carry=True, ema=0.9, best_k=3, eval_every=4, log_every=3, checkpoint_every=0.0)
        rows = open(out + "/history.csv").read().count("\\n")
        return [t.timeless(history), history.best, [p.double().tolist() for p in model.parameters()], rows]

    def attempt(out, moment):
        # the exit code of a child that is killed at this line, counted from its start, that training runs
        pid = os.fork()
        if pid == 0:
            lines = 0
            def trace(frame, event, arg):
                nonlocal lines
                lines += event == "line"
                if lines == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return trace
            sys.settrace(lambda frame, event, arg: trace if frame.f_code.co_filename.startswith(ROOM) else None)
            result = child(out)
            sys.settrace(None)
            with open(out + ".json", "w") as file:
                json.dump([lines, result], file)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    folder, kills, chance = sys.argv[1], 0, random.Random(1)
    t.fit(t.net(0.1), steps=2)  # what torch imports at its first step is imported before the fork
    assert attempt(folder + "/whole", None) == 0
    lines, whole = json.load(open(folder + "/whole.json"))
    assert lines > 1000
    for run in range(3):
        out = f"{folder}/run{run}"
        for moment in [*(chance.randrange(1, lines // 2) for _ in range(4)), None]:
            code = attempt(out, moment)
            if code == 0:
                break
            assert code == -signal.SIGKILL, code
            kills += os.path.exists(out + "/training.safetensors")
        assert json.load(open(out + ".json"))[1] == whole
    print(kills)
"""


def test_killed_at_any_moment_and_resumed_it_ends_the_same(tmp_path):
    """SIGKILL at random lines, several times a run: weights, best and history are those of a run never stopped."""
    done = fresh.run(KILLED, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8, f"only {done.stdout} kills found something to resume"


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
    with pytest.raises(InputError, match=f"^{field}: expected "):
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
    done = fresh.run(PLAIN)
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
    import torch
    import made.fits as t
    folder, rank = sys.argv[1], int(os.environ["RANK"])

    def curve(name, dropout=0.0, rows=8, carry=False, stop=None, resume=False, **options):
        model = t.recurrent() if carry else t.net(dropout)
        batches = t.data.streams(t.WAVE, 2, 5, parts=2) if carry else t.rows(rows)
        def given(n):
            if n == stop:
                os.kill(os.getpid(), signal.SIGINT)  # one process hears it, both stop
            return batches(n)
        loss, out = t.carried if carry else t.mse, f"{folder}/{name}"
        history = t.fit(model, loss, given, t.Scripted(), out, resume, carry=carry, ema=0.9, eval_every=5, **options)
        flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).tolist()
        with open(f"{folder}/{name}{rank}.json", "w") as file:
            json.dump([flat, [row["loss"] for row in history.rows], history.stopped, history.steps], file)

    curve("plain")
    curve("dropout", 0.3)
    curve("carried", carry=True)
    curve("stopped", carry=True, stop=11)
    os.rename(f"{folder}/stopped{rank}.json", f"{folder}/first{rank}.json")
    curve("stopped", carry=True, resume=True)
"""


def test_two_processes_are_one_with_twice_the_batch(tmp_path):
    """Started as by torchrun two processes train as one does with twice the batch, or with twice the micro-batches."""
    for done in fresh.pair(TWO, tmp_path):
        assert (done.returncode, done.stdout) == (0, ""), done.stderr

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
