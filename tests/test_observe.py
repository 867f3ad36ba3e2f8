"""An observed fit: its columns are those of the gradients and gates, and its weights those of any other fit."""

import functools
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import gated
from gated import InputError, checkpoint, observe, train
from gated.train import screen
from made import fresh, observed
from made.fits import Scripted, equal, timeless
from made.observed import EVERY, LENGTHS, T, batches, carried, fit, loss, minimal, net, odd, pressing, read, summed


def shares(gate, kind, exists=None):
    """Of a gate's values, of the steps that exist."""
    v = gate.detach() if exists is None else gate.detach()[exists]
    return float({"open": v > 0.95, "shut": v < 0.05, "saturated": v.abs() > 0.95}[kind].double().mean())


# ---- what observing leaves alone


@pytest.mark.parametrize("options", [
    dict(), dict(noise=0.3, ema=0.9, best_k=2, eval_every=3, log_every=1),
    dict(noise=0.3, accumulate=2, clip_norm=0.01), dict(carry=True, accumulate=2), dict(precision="bf16-mixed"),
], ids=lambda options: "-".join(options))  # fmt: skip
def test_an_observed_fit_trains_the_same(options):
    """Weights, losses and torch's random state are those of a fit without observers, bit for bit."""
    noise, options = options.get("noise", 0.0), {k: v for k, v in options.items() if k != "noise"}
    ends, validate = [], (lambda model: float(loss(model, batches(99)))) if "ema" in options else None
    for watched in (False, True):
        model = net(noise=noise)
        history = fit(model, carried if options.get("carry") else loss, batches, validate, watch=watched, **options)
        ends.append((model, history, torch.get_rng_state()))
    (plain, a, state), (seen, b, same) = ends
    assert equal(plain, seen)
    assert timeless(a) == observed.without(b)
    assert torch.equal(state, same)
    assert any(":" in name for name in b.rows[-1])


def test_nothing_is_left_behind():
    """No hook, mode or path is other than before, during the fit or after one that fails."""
    model = net()
    model.parts["frozen"] = gated.LSTM(3, 2, path="torch").eval()

    def failing(model, batch):
        model.parts["frozen"].eval()
        paths.append((model.parts["frozen"].path, model.encoder.path, model.encoder.training))
        if len(paths) == 7:
            raise ZeroDivisionError
        return loss(model, batch) + model.parts["frozen"](batch[0])[0].square().mean()

    paths = []
    with pytest.raises(ZeroDivisionError):
        fit(model, failing, log_every=1)
    assert paths == [("torch", "auto", True)] * 7
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    row = fit(model, failing, log_every=1, steps=3).rows[-1]
    assert "open:parts.frozen.l0.f" in row  # though its own path cannot trace


def test_layers_run_once_more_a_row_and_no_oftener(monkeypatch):
    """A layer is traced once for each row of the history, whatever validation and accumulation do."""
    traced, real = [], gated.LSTM.forward

    @functools.wraps(real)
    def forward(self, *args, **kwargs):
        traced.append(kwargs.get("trace", False))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(gated.LSTM, "forward", forward)
    history = fit(net(), validate=lambda model: float(loss(model, batches(50))), eval_every=6, accumulate=2)
    assert [row["step"] for row in history.rows] == [4, 6, 8, 12]
    assert (sum(traced), len(traced)) == (4, 4 + 2 * 12 + 2)


# ---- gradients


@pytest.mark.parametrize("options", [dict(), dict(clip_norm=1e-3, clip_value=1e-4), dict(accumulate=3)], ids=str)
@pytest.mark.parametrize("one", [loss, summed])
def test_norms_are_those_by_hand(one, options):
    """A row's norm of a layer is the mean over its steps of ‖∂loss/∂its weights‖, whatever clipping does after."""
    model, micro = net(), options.get("accumulate", 1)
    history = fit(model, one, lr=0.0, **options)
    assert list(observe.columns(history.rows).values())[:7] == [("grad_norm", layer, "") for layer in EVERY]
    by = {layer: [p for name, p in model.named_parameters() if mine(name, layer)] for layer in EVERY}
    assert sum(map(len, by.values())) == len(list(model.parameters())) - 2
    norms = {layer: [] for layer in EVERY}
    for n in range(12):
        parts = [one(model.train(), batches(n * micro + a)) for a in range(micro)]
        total = sum(p[0] for p in parts) / sum(p[1] for p in parts) if one is summed else sum(parts) / micro
        for layer, ps in by.items():
            norms[layer].append(
                float(torch.cat([g.flatten() for g in torch.autograd.grad(total, ps, retain_graph=True)]).norm())
            )
    for k, row in enumerate(history.rows):
        for layer in EVERY:
            assert row[f"grad_norm:{layer}"] == pytest.approx(
                np.mean(norms[layer][4 * k : 4 * k + 4]), rel=1e-3, abs=1e-9
            )


def mine(name, layer):
    module, _, last = layer.rpartition(".")
    return name.startswith(f"{module}.") and name.endswith(f"_{last}")


def test_a_layer_whose_weights_stand_still_has_no_norm():
    """Weights that are not learnt have no column; learnt ones that no gradient reaches have zero."""
    model = net()
    model.encoder.requires_grad_(False)
    model.parts["idle"] = gated.RNN(3, 2)
    row = fit(model).rows[-1]
    assert not any(name.startswith("grad_norm:encoder") for name in row)
    assert row["grad_norm:parts.idle.l0"] == 0
    assert not any(name.startswith(("open:parts.idle", "saturated:parts.idle")) for name in row)
    assert "open:encoder.l0.i" in row


def test_weights_that_are_made_of_others_count():
    """A layer's parametrized weight counts by what it is made of."""
    lstm = gated.GRU(3, 4)
    nn.utils.parametrizations.weight_norm(lstm, "weight_hh_l0")
    row = fit(nn.ModuleList([lstm]), lambda m, b: m[0](b[0])[0].square().mean(), steps=1).rows[-1]
    parts = [p.grad for p in lstm.parameters()]
    assert len(parts) == 5
    assert row["grad_norm:0.l0"] > 0
    assert "open:0.l0.z" in row


# ---- gates


@pytest.mark.parametrize("form", ["lengths", "packed", "batch_first", "single", "keyword"])
@pytest.mark.parametrize("make", [
    lambda **k: gated.LSTM(3, 5, 2, bidirectional=True, **k),
    lambda **k: gated.LSTM(3, 5, coupled=True, proj_size=2, **k),
    lambda **k: gated.LSTM(3, 5, forget_gate=False, layer_norm=True, **k),
    lambda **k: gated.GRU(3, 5, reset="before", **k),
    lambda **k: gated.RNN(3, 5, 2, **k), lambda **k: gated.Recurrent(minimal, 3, 5, **k),
], ids=["LSTM", "coupled", "constant", "GRU", "RNN", "own"])  # fmt: skip
def test_shares_are_those_of_the_trace(make, form):
    """Every gate's columns are the shares of its values in the layer's trace, over the steps that exist."""
    with train.seeded(1):
        layer = make(batch_first=form == "batch_first")
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(6)
    x = 2 * batches(11)[0]
    x = {"batch_first": x.transpose(0, 1), "single": x[:, 0]}.get(form, x)
    x = pack_padded_sequence(x, LENGTHS.clamp(min=1), enforce_sorted=False) if form == "packed" else x
    words = {"lengths": LENGTHS} if form in ("lengths", "batch_first", "keyword") else {}

    def one(model, _):
        y, _ = model(input=x, **words) if form == "keyword" else model(x, **words)
        return (y if isinstance(y, torch.Tensor) else y.data).square().mean()

    (row,) = fit(layer, one, steps=1, lr=0.0).rows
    lengths = {"packed": LENGTHS.clamp(min=1), "single": torch.tensor([T])}.get(form, LENGTHS)
    exists = torch.arange(T)[:, None] < lengths
    exists = {"batch_first": exists.T, "single": exists[:, 0]}.get(form, exists)
    trace, wanted = layer(x, **words, trace=True)[2], {}
    for k, ways in enumerate(trace):
        for way, values in zip(("", "_reverse"), ways, strict=False):
            for gate in "ifor" if layer.cell.name != "own" else "f":
                if gate in values:
                    wanted |= {
                        f"{kind}:l{k}{way}.{gate}": shares(values[gate], kind, exists) for kind in ("open", "shut")
                    }
            if "z" in values:
                wanted |= {f"{kind}:l{k}{way}.z": shares(values["z"], kind, exists) for kind in ("open", "shut")}
            for gate in "gnh" if len(values) == 1 else "gn":
                if gate in values:
                    wanted[f"saturated:l{k}{way}.{gate}"] = shares(values[gate], "saturated", exists)
            if "rest" in values:
                wanted |= {f"{kind}:l{k}{way}.rest": shares(values["rest"], kind, exists) for kind in ("open", "shut")}
    found = {name: value for name, value in row.items() if name.startswith(("open", "shut", "saturated"))}
    assert found == pytest.approx(wanted, abs=1e-9)
    assert max(found.values()) > 0.1


def test_the_gates_are_of_what_was_read_last():
    """A row's gates are those of its last micro-batch, with the weights that its step left, without dropout."""
    model = net(sharp=4.0, noise=0.3)
    row = fit(model, steps=7, accumulate=2, log_every=7).rows[-1]  # the weights at the end are those of the last step
    caught = []
    model.train().encoder.register_forward_pre_hook(lambda m, args: caught.append(args[0]))
    with train.seeded(0):
        loss(model, batches(13))
    trace = model.eval().encoder(caught[0], lengths=LENGTHS, trace=True)[2]
    exists = torch.arange(T)[:, None] < LENGTHS
    for k, suffix in ((0, ""), (1, "_reverse")):
        gate = trace[k][bool(suffix)]["f"]
        assert row[f"open:encoder.l{k}{suffix}.f"] == pytest.approx(shares(gate, "open", exists))


def test_steps_that_run_one_by_one_count_together():
    """A layer that is called for each step of a batch, as a decoder with feeding, counts in all of these calls."""

    def stepwise(model, batch):
        state, total = None, 0.0
        for x in batch[0]:
            y, state = model(x[None], state)
            total = total + y.square().mean()
        with torch.no_grad():
            model(100 * batch[0])  # a guess, which is not learnt from
        return total

    with train.seeded(1):
        one, whole = gated.LSTM(3, 5), gated.LSTM(3, 5)
    whole.load_state_dict(one.state_dict())
    for layer in (one, whole):
        with torch.no_grad():
            layer.weight_ih_l0.mul_(10)
    a = fit(one, stepwise, steps=1, lr=0.0).rows[0]
    b = fit(whole, lambda m, x: m(x[0])[0].square().mean(), steps=1, lr=0.0).rows[0]
    kept = {name: value for name, value in a.items() if name.startswith(("open", "shut", "saturated"))}
    assert kept == pytest.approx({name: b[name] for name in kept})
    assert 0 < kept["open:l0.f"] < 1


def test_a_cells_program_says_which_values_are_gates():
    """A value is a gate if it is a sigmoid, or one less one, or a tanh; a cell without a program has none."""
    assert observe.classify_values(minimal) == {"f": "sigmoid", "rest": "sigmoid"}
    assert observe.classify_values(odd) == {}
    assert observe.classify_values(gated.RNN(1, 1, nonlinearity="relu").cell) == {}
    row = fit(gated.Recurrent(odd, 3, 2, path="loop"), lambda m, b: m(b[0])[0].square().mean(), steps=1).rows[0]
    assert [name for name in row if ":" in name] == ["grad_norm:l0"]


# ---- the folder, several processes, the screen


def test_a_resumed_fit_goes_on_recording(tmp_path):
    """Stopped between two rows and resumed, an observed fit has the history of one never stopped."""
    whole, parts, twice = net(noise=0.2), net(noise=0.2), net(noise=0.2)
    unbroken = fit(whole)
    assert fit(parts, batches=pressing, out=tmp_path).stopped == "interrupted"
    resumed = fit(twice, out=tmp_path, resume=True)
    assert timeless(resumed) == timeless(unbroken)
    assert equal(whole, twice)
    assert [list(row) for row in read(tmp_path)] == [list(unbroken.rows[0])] * 3


@pytest.mark.parametrize("first", [False, True])
def test_observing_may_begin_or_end_with_a_resumed_fit(tmp_path, first):
    """Rows that are not observed have empty cells; the table stays one, and the weights are the same."""
    plain, model = net(noise=0.2), net(noise=0.2)
    fit(plain, watch=False)
    fit(net(noise=0.2), batches=pressing, out=tmp_path, watch=first)
    history = fit(model, out=tmp_path, resume=True, watch=not first)
    assert equal(plain, model)
    rows = read(tmp_path)
    assert len({len(row) for row in rows}) == 1
    assert [row["grad_norm:encoder.l0"] != "" for row in rows] == [first, not first, not first]
    for row, said in zip(rows, history.rows, strict=True):
        assert {name: float(value) for name, value in row.items() if value} == pytest.approx(said)


def test_a_hostile_training_file_is_refused(tmp_path):
    """Sums of columns in a training file must be numbers, and a count that is none is named."""
    fit(net(), batches=pressing, out=tmp_path)
    path = tmp_path / checkpoint.TRAINING
    state, note = checkpoint.unpack(path)
    for wrong in (7, {"encoder.l0": "x"}, {"encoder.l0": [-1, 0.5]}, {"encoder.l0": [1]}):
        path.write_bytes(checkpoint.pack(state, note | {"watched": wrong}))
        with pytest.raises(InputError, match="watched"):
            fit(net(), out=tmp_path, resume=True)


TWO = """
    import json, os, sys
    import torch
    import made.observed as t
    ends = []
    for watch in (False, True):
        model = t.net(noise=0.2)
        history = t.fit(model, watch=watch, out=sys.argv[1] + f"/run{watch}")
        flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).tolist()
        ends.append([flat, t.without(history), list(history.rows[-1])])
    with open(sys.argv[1] + "/" + os.environ["RANK"] + ".json", "w") as file:
        json.dump(ends, file)
"""


def test_of_two_processes_the_first_observes(tmp_path):
    """Started as by torchrun only the first process records; both train as without observers, bit for bit."""
    for done in fresh.pair(TWO, tmp_path):
        assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    for plain, watched in (first, second):
        assert plain[:2] == watched[:2]
    assert first[1][0] == second[1][0]
    assert "open:encoder.l1.f" in first[1][2]
    assert not any(":" in name for name in [*second[1][2], *first[0][2]])


def test_the_screen_stays_as_wide():
    """The progress line of an observed row is that of another."""
    row = fit(net(), steps=4, validate=Scripted()).rows[-1]
    assert len(row) > 40
    assert screen._losses(row) == screen._losses({name: value for name, value in row.items() if ":" not in name})
