"""Looking inside runs: aligned with what each task reads, the numbers those of the very network, and the command."""

import dataclasses
import json
import os
import sys
import types

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from gated import checkpoint, cli, forecast, probe, transcribe, translate
from gated.probe.document import Document
from gated.probe.view import open_view
from gated.tasks import TASKS
from gated.tasks.forecast import frame as frames
from gated.tasks.forecast import training
from gated.tasks.forecast import view as of_forecast
from gated.tasks.transcribe import typeset
from gated.tasks.transcribe import view as of_transcribe
from gated.tasks.translate import view as of_translate
from gated.tasks.translate.data import collate

H, DAYS, RATE = 5, 40, 4000
STILL = dict(lr=1e-9, progress=False)  # the network ends where it began
WORDS = dict(eins="one", zwei="two", drei="three", vier="four")


def sales(days=DAYS):
    """Two shops with a week, a gap, and covariates that are known ahead and not."""
    rng, date, parts = np.random.default_rng(3), pd.date_range("2024-01-01", periods=days, freq="D"), []
    for k, name in enumerate(("north", "south")):
        qty = 10 * (k + 1) + 3 * np.sin(2 * np.pi * np.arange(days) / 7) + rng.normal(0, 0.5, days)
        parts.append(pd.DataFrame({"date": date, "shop": name, "qty": qty.round(2), "rain": rng.normal(size=days),
                                   "promo": rng.integers(0, 2, days)}))  # fmt: skip
    parts[0].loc[20, "qty"] = np.nan
    return pd.concat(parts, ignore_index=True)


def pairs(n):
    rng = np.random.default_rng(1)
    lines = [" ".join(rng.choice(list(WORDS), rng.integers(2, 6))) for _ in range(n)]
    return [(line, " ".join(WORDS[word] for word in line.split())) for line in lines]


def tones(folder, count):
    """WAV files of one or two tones, with their texts."""
    rng, found = np.random.default_rng(0), []
    for k in range(count):
        text = "".join(rng.choice(["a", "b"], rng.integers(1, 3)))
        parts = [np.sin(np.arange(1000) * (0.5 if letter == "a" else 1.5)) for letter in text]
        soundfile.write(folder / f"{k}.wav", 0.3 * np.concatenate([np.zeros(300), *parts, np.zeros(300)]), RATE)
        found.append((str(folder / f"{k}.wav"), text))
    return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Runs that were taught next to nothing, and what to look at them with."""
    folder = tmp_path_factory.mktemp("desk")
    sales().to_csv(folder / "sales.csv", index=False)
    forecast.fit(folder / "sales.csv", time="date", target="qty", id="shop", horizon=H, known=("promo",),
                 past=("rain",), steps=2, out=folder / "forecast", **STILL)  # fmt: skip
    (folder / "lines.txt").write_text("\n".join(source for source, _ in pairs(70)) + "\n")
    translate.fit(pairs(40), valid=pairs(40)[:4], tokens="word", units=8, steps=2, batch=200, monitor="loss", layers=2,
                  precision="32", out=folder / "translate", **STILL)  # fmt: skip
    (folder / "sound").mkdir()
    found = tones(folder / "sound", 12)
    (folder / "sound.csv").write_text("path,text\n" + "".join(f"{path},{text}\n" for path, text in found))
    transcribe.fit(found, hold=0, units=6, layers=1, bands=8, steps=2, batch=400, precision="32",
                   out=folder / "transcribe", **STILL)  # fmt: skip
    return folder


def run(desk, task):
    return {"forecast": forecast, "translate": translate, "transcribe": transcribe}[task].load(desk / task)


DATA = dict(forecast="sales.csv", translate="lines.txt", transcribe="sound.csv")


@pytest.fixture(scope="module")
def found(desk):
    """Everything of every run."""
    return {task: probe.inspect(desk / task, str(desk / data), examples=2) for task, data in DATA.items()}


@pytest.mark.parametrize("task", DATA)
def test_every_kind_of_run_is_inspected(found, task):
    """A folder and data give examples with layers that fill the input's places, memory, flow, health and history."""
    document = found[task]
    assert document.task == task
    assert document.summary
    assert document.history
    sides = 1 if task == "transcribe" else 2
    assert len(document.examples) == 2 * sides
    for example in document.examples:
        assert example.layers
        labels, values = example.input.labels, example.input.values
        assert not labels or len(labels) == example.input.steps
        assert all(len(curve) == example.input.steps for curve in values.values())
        for layer in example.layers:
            steps = layer.values["h"].shape[1]
            assert (steps - 1) * layer.stride < example.input.steps <= steps * layer.stride
            np.testing.assert_allclose(layer.keep, layer.values["f"], rtol=1e-6)
    names = {layer.name for example in document.examples for layer in example.layers}
    assert {memory.name for memory in document.half_lives} == {health.name for health in document.health} == names
    assert {flow.name.split(",")[0] for flow in document.flow if flow.layer in names} == {
        "after training", "before training", "an RNN of the same size", "a GRU of the same size",
        "an LSTM of the same size",
    }  # fmt: skip
    assert sum(", of " in flow.name for flow in document.flow) >= 1
    json.dumps(probe.to_dict(document), allow_nan=False)
    assert all(name in probe.to_text(document) for name in names)


@pytest.mark.parametrize("task", DATA)
def test_before_training_is_what_the_fit_began_from(desk, task):
    """The initial network has the very weights that the fit drew."""
    view = open_view(desk / task, str(desk / DATA[task]), 1)
    for one, two in zip(view.network.parameters(), view.initial.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("task", DATA)
def test_shares_of_the_inputs_sum_to_the_output(found, task):
    """Integrated gradients are complete within a hundredth, whatever the task, and some input counts."""
    pytest.importorskip("captum")
    all_of_them = [one for example in found[task].examples for one in example.attributions]
    assert all_of_them
    for one in all_of_them:
        change = one.value - one.baseline
        assert one.shares.sum() == pytest.approx(change, abs=0.01 * max(abs(change), 1e-3 * abs(one.value)) + 1e-5)
        assert one.shares.any()
        if one.picture is not None:
            np.testing.assert_allclose(one.picture.sum(0), one.shares, atol=1e-6)


def test_a_forecasters_history_stands_on_its_dates(desk, found):
    """Places are the days before the last horizon, with their values and gaps; the horizon has what came."""
    history, horizon = found["forecast"].examples[:2]
    frame, rule = sales(), run(desk, "forecast").model.recipe
    north = frame[frame.shop == "north"].reset_index(drop=True)
    steps = history.input.steps
    assert steps == rule.context * rule.season
    assert history.input.unit == "day"
    assert history.input.labels[-1] == str(north.date[DAYS - H - 1].date())
    np.testing.assert_array_equal(history.input.values["qty"], north.qty[DAYS - H - steps : DAYS - H])
    np.testing.assert_array_equal(history.input.values["promo"], north.promo[DAYS - H - steps : DAYS - H])
    assert horizon.input.labels == tuple(str(day.date()) for day in north.date[-H:])
    np.testing.assert_array_equal(horizon.input.values["qty, observed"], north.qty[-H:])
    assert [layer.name for layer in history.layers] == ["encoder, layer 1"]
    assert history.layers[0].stride == rule.season


def test_a_forecast_is_that_of_the_run(desk, found):
    """The median of the horizon is what the run forecasts from the days before it, and what is attributed."""
    loaded, frame = run(desk, "forecast"), sales()
    day = frame.date.max() - pd.Timedelta(days=H)
    before, after = frame[frame.date <= day], frame[frame.date > day]
    panel = frames.panel(of_forecast.read(before, loaded.config), loaded.schema)[0]
    known = np.stack([after[after.shop == shop].promo.to_numpy(float) for shop in panel.ids])[..., None]
    told = training.predict(loaded.model, panel, known)[:, :, loaded.config.quantiles.index(0.5)]
    for k, example in enumerate(found["forecast"].examples[1::2]):
        np.testing.assert_allclose(example.input.values["median"], told[k], rtol=1e-5)
    for one, h in zip(found["forecast"].examples[0].attributions, (0, H - 1), strict=False):
        assert one.value == pytest.approx(told[0, h], rel=1e-4)


def test_what_has_a_place_in_the_window_is_all_that_changes(desk):
    """As a function of the placed values the median is that of the network, also far from where it was."""
    loaded = run(desk, "forecast")
    view = of_forecast.view(loaded, None, 1)
    panel = loaded.panel
    cut = of_forecast.Windows(of_forecast.roll.roll(panel, H).history, loaded.model.recipe)
    b = cut.at(torch.tensor([0]), cut.lengths[:1])
    b = dataclasses.replace(b, known=torch.zeros_like(b.known))
    function, z, past, _ = of_forecast.by_place(view.network, b, cut, 0, 2)
    with torch.no_grad():
        centre, _ = view.network(b)
        right = (of_forecast.likelihood.units(centre, b) * b.unit + b.origin)[:, 2]
        torch.testing.assert_close(function(z, past), right)
        two = function(torch.cat([z, z + 0.3]), past.expand(2, -1, -1, -1))
    assert two[0] == pytest.approx(right.item(), rel=1e-5)
    assert abs(two[1] - two[0]) > 1e-3


def test_a_translators_tokens_stand_over_its_steps(desk, found):
    """The source's words are the encoder's places; the decoder reads what it wrote, shifted by one."""
    source, target = found["translate"].examples[:2]
    line = (desk / "lines.txt").read_text().splitlines()[0]
    assert source.input.labels == tuple(line.split())
    assert [layer.name for layer in source.layers][:2] == ["encoder, layer 1, forward", "encoder, layer 1, backward"]
    assert [layer.name for layer in target.layers] == ["decoder.bottom, layer 1", "decoder.top, layer 1"]
    written = [mark.text for mark in target.input.marks]
    assert target.input.labels == ("<s>", *written[:-1])
    assert written[-1] == "</s>"
    assert target.input.output == run(desk, "translate").predict(line, width=1)


def test_the_embeddings_of_the_source_give_the_networks_own_log_probability(desk):
    """As a function of the source's embeddings log p is that of the network, row by row."""
    model = run(desk, "translate").model
    b = collate([model.source.encode(["eins drei zwei"])[0]], [model.target.encode(["one three two"])[0]])
    token = int(b.after[1, 0])
    with torch.no_grad():
        memory, state = model.network.encode(b.source, b.lengths)
        o, _, _ = model.network.decode(b.before, memory, state)
        right = torch.log_softmax(model.network.logits(o[1, 0]), -1)[token]
        e = model.network.embed_source(b.source).transpose(0, 1)
        found = of_translate.by_embeddings(model.network, b, 1, token)(torch.cat([e, 0 * e, e]))
    torch.testing.assert_close(found[[0, 2]], right.expand(2))
    assert found[1] != found[0]
    assert not model.network.embed_source._forward_hooks


def test_a_decoder_fed_with_what_it_wrote_is_one_sequence(tmp_path):
    """With input feeding the layers run step by step, and are shown over all the steps."""
    made = translate.fit(pairs(40), valid=pairs(40)[:4], tokens="word", units=8, steps=1, batch=200, monitor="loss",
                         layers=1, feeding=True, precision="32", cell="gru", **STILL)  # fmt: skip
    document = probe.inspect(made, ["eins zwei drei"], attribute=False)
    target = document.examples[1]
    (layer,) = target.layers
    assert layer.values["z"].shape == (8, target.input.steps)
    assert (layer.state, set(layer.values)) == ("h", {"h", "r", "z", "n"})
    assert any(flow.layer == "decoder.bottom, layer 1" and ", of " in flow.name for flow in document.flow)


def test_sound_is_shown_in_seconds_with_what_was_written(desk, found):
    """Places are frames, the picture is what the network read, and marks stand where the letters were heard."""
    loaded = run(desk, "transcribe")
    example, stride = found["transcribe"].examples[0], loaded.model.network.shape.stride
    (x,), _, _ = loaded.read(of_transcribe.read_items(str(desk / "sound" / "0.wav"), text=False))
    np.testing.assert_array_equal(example.input.picture, x)
    assert (example.input.kind, example.input.unit) == ("sound", "second")
    assert example.input.scale == (0.0, loaded.model.frames.unit)
    best = loaded.transcribe(str(desk / "sound" / "0.wav"))[0][0]
    assert example.input.output == best.text
    unit = loaded.model.frames.unit
    for mark, letter in zip(example.input.marks, best.symbols, strict=True):
        assert mark.text == letter.text
        assert mark.first * unit == pytest.approx(letter.start)
        assert (mark.last + 1) * unit <= letter.end + 1e-9
    assert {layer.stride for layer in example.layers} == {float(stride)}
    with torch.no_grad(), probe.record(loaded.model.network) as recording:
        right, _ = loaded.model.network(torch.from_numpy(x)[None], torch.tensor([x.shape[1]]))
        one = of_transcribe.by_frames(loaded.model.network, 3, 1, torch.from_numpy(x)[None].expand(2, -1, -1))
    torch.testing.assert_close(one, right[3, 0, 1].expand(2))
    way = next(recording.calls[0].traces())
    np.testing.assert_allclose(example.layers[0].values["c"], way.values["c"][:, list(example.layers[0].selection)].T)


def test_print_is_shown_by_its_columns(tmp_path):
    """Lines of print: places are columns, the picture their ink from the top down."""
    folder = typeset.save(tmp_path / "lines", [one for one in typeset.lines(30, 5) if len(one[1]) < 40][:3])
    made = transcribe.fit(folder, hold=0, units=6, layers=1, steps=1, batch=3000, precision="32", **STILL)
    document = probe.inspect(made, folder, examples=1, attribute=False)
    (example,) = document.examples
    assert (example.input.kind, example.input.unit, example.input.scale) == ("print", "column", (0.0, 1.0))
    assert example.input.picture.shape == (made.model.frames.rows, example.input.steps)
    assert not example.attributions


def test_without_captum_there_is_everything_but_attributions(desk, monkeypatch):
    """Where captum is missing the numbers come without attributions, and say what to install."""
    monkeypatch.setattr(sys.modules["gated.probe.inspect"], "find_spec", lambda name: None)
    document = probe.inspect(desk / "forecast", examples=1)
    assert document.summary[-1] == "Input attributions are left out: pip install 'gated[probe]'."
    assert document.flow
    assert not any(example.attributions for example in document.examples)


def test_each_part_of_the_document_is_available_for_a_run(desk, found):
    """half_lives, flow and gates of a run, or its folder, are those of the document."""
    data = str(desk / DATA["translate"])
    document = found["translate"]
    for one, two in zip(probe.half_lives(desk / "translate", data), document.half_lives, strict=True):
        np.testing.assert_allclose(one.half_life, two.half_life, rtol=1e-9)
    told = probe.gradient_flow(run(desk, "translate"), data)
    assert [(flow.name, flow.layer, flow.summary) for flow in told] == [
        (flow.name, flow.layer, flow.summary) for flow in document.flow
    ]
    way = probe.traces(desk / "translate", data)[0]
    layer = document.examples[0].layers[0]
    np.testing.assert_allclose(layer.values["c"], way.values["c"][:, list(layer.selection)].T)


# ---- the command


@pytest.fixture
def gated(desk, monkeypatch, capsys):
    """Run one command on the desk: its status, standard output and standard error."""
    monkeypatch.chdir(desk)

    def call(*words):
        capsys.readouterr()
        status = 0
        try:
            cli.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        told = capsys.readouterr()
        return status, told.out, told.err

    return call


@pytest.fixture
def drawn(monkeypatch):
    """A page that only says what it is of."""
    page = types.SimpleNamespace(render=lambda document: f"<html>{document.title}</html>")
    monkeypatch.setitem(sys.modules, "gated.probe.page", page)
    monkeypatch.setattr(probe, "page", page, raising=False)


def test_tables_go_to_people_and_json_to_programs(gated, desk, drawn):
    """Tables go to standard error; --json prints one strict object and nothing else; the page is written whole."""
    status, out, err = gated("probe", "forecast", "sales.csv", "--examples", 1, "--unit", 3, "--out", "page.html")
    assert (status, out) == (0, "")
    assert "encoder, layer 1" in err
    assert (desk / "page.html").read_text() == f"<html>forecast, qty, {H} days ahead</html>"
    status, out, err = gated("probe", "forecast", "--examples", 1, "--layer", "decoder", "--unit", 3, "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert set(told) == {field.name for field in dataclasses.fields(Document)}
    (layer,) = told["examples"][1]["layers"]
    assert (layer["name"], layer["selection"]) == ("decoder, layer 1", [3])
    assert (desk / "page.html").exists()
    assert not list(desk.glob("*.new"))


@pytest.mark.parametrize(("words", "said"), [
    (("nowhere",), "expected a folder, got nothing there"),
    (("sound", "sound.csv"), "config.json: expected a file, got nothing there. Is this a run folder?"),
    (("translate",), "expected sentences: a file or a list, got none. Name a file with a sentence a line."),
    (("transcribe",), "got none. Name the files."),
    (("transcribe", "sales.csv"), "path"),
    (("transcribe", "nothing.wav"), "nothing.wav"),
    (("forecast", "lines.txt"), "the new data: expected the column 'date' (time)"),
    (("forecast", "sales.csv", "--unit", "4000"), "probe unit: expected units from 0 to"),
    (("forecast", "sales.csv", "--layer", "nine"), "It has encoder, layer 1; decoder, layer 1."),
    (("forecast", "sales.csv", "--out", "page.pdf"), "expected a name that ends in .html, got page.pdf."),
    (("forecast", "sales.csv", "--out", "no/page.html"), "a folder that exists"),
])  # fmt: skip
def test_a_mistake_is_one_line(gated, words, said):
    """Wrong folder, wrong kind of data, no data, no such unit or layer: status 2, and one line that says so."""
    status, out, err = gated("probe", *words)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_an_error_before_the_work(gated, monkeypatch):
    """Not after minutes of it; whatever the run, which is not yet read."""
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    status, out, err = gated("probe", "sound", "--out", "page.html")
    assert (status, out) == (2, "")
    assert "page.html: expected a file that can be written, got no right to write to" in err


def test_a_run_of_another_task_is_refused(gated, desk):
    """A run of a task without a view, or of no task here, is one error that names those with one."""
    for task in ("lags", "chess"):
        checkpoint.save(desk / task, {}, torch.nn.Linear(1, 1), task=task)
        status, out, err = gated("probe", task, "sales.csv")
        assert (status, out) == (2, "")
        names = ", ".join(name for name, task in TASKS.items() if task.has("view"))
        assert f"expected a run of a task with a view ({names}), its folder, or a module" in err
        assert f"got a run of {task} in {task}" in err


def test_help_costs_no_torch_and_tells_the_options(gated):
    """`gated probe --help` names the options; the first page of help names the command."""
    status, out, _ = gated("probe", "--help")
    assert status == 0
    assert all(word in out for word in ("--out", "--unit", "--layer", "--examples", "--json"))
    assert "probe" in gated("--help")[1]
