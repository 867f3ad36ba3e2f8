"""What a watched fit is told in: sentences, the tasks' summaries, the forecast's report, an option."""

import pytest
import torch

from gated import train
from test_watch import EVERY, read

# ---- words


def test_layers_are_called_by_what_tells_them_apart():
    """A name has the module, the layer if there are several, the way if there are two, the network if there are two."""
    assert train.titles(EVERY) == {
        "encoder.l0": "encoder layer 1 forward", "encoder.l0_reverse": "encoder layer 1 backward",
        "encoder.l1": "encoder layer 2 forward", "encoder.l1_reverse": "encoder layer 2 backward",
        "parts.top.l0": "parts top", "parts.own.l0": "parts own", "torchs.l0": "torchs",
    }  # fmt: skip
    assert train.titles(["0.encoder.l0", "0.decoder.l0"]) == {"0.encoder.l0": "encoder", "0.decoder.l0": "decoder"}
    assert train.titles(["0.encoder.l0", "1.encoder.l0"])["1.encoder.l0"] == "network 2 encoder"
    assert train.titles(["l0", "layers.l1"]) == {"l0": "layer 1", "layers.l1": "layer 2"}


def test_sentences_say_what_the_columns_say():
    """The shares of gates that keep, what is saturated, and norms far apart, of the end of the run."""
    early = {"step": 1, "clipped": 1.0, "grad_norm:a.l0": 9.0, "grad_norm:b.l0": 9.0, "open:a.l0.f": 0.0}
    late = {
        "step": 2, "clipped": 0.25, "grad_norm:a.l0": 0.5, "grad_norm:b.l0": 0.002, "open:a.l0.f": 0.8,
        "shut:a.l0.f": 0.05,
        "open:a.l0.i": 0.2, "shut:a.l0.i": 0.61, "saturated:a.l0.g": 0.7, "saturated:b.l0.n": 0.1, "open:b.l0.f": 0.1,
        "shut:b.l0.f": 0.05,
    }  # fmt: skip
    assert train.observed([early] * 5 + [late]) == [
        "Gradient norms go from 0.002 (b) to 0.5 (a), 250 times as much: little reaches b.",
        "Clipping acts on 25 % of steps.",
        "The forget gates are open (> 0.95) 80 % of the time in a, 10 % in b.",
        "The forget gates are shut (< 0.05) 5 % of the time in every layer.",
        "The input gates are shut (< 0.05) 61 % of the time in a.",
        "The candidates are saturated (beyond ±0.95) 70 % of the time in a: little gradient passes there.",
    ]
    near = late | {"grad_norm:b.l0": 0.006}
    assert train.observed([near])[0] == "Gradient norms go from 0.006 (b) to 0.5 (a)."
    assert train.observed([late | {"grad_norm:b.l0": 0.0}])[0] == "No gradient reaches b: it learns nothing."
    assert train.observed([{"step": 1, "loss": 1.0, "clipped": 0.0}]) == train.observed([]) == []
    assert train.observed([{"step": 1, "grad_norm:strange": 1.0, "open:l.f": 2.0}]) == []


def test_a_long_history_is_thinned_and_ends_as_it_did():
    """Beside history.csv a folder keeps watched columns of so many rows as fit, always of the last, and all losses."""
    rows = [{"step": n, "loss": 1.0, "open:l0.f": 0.1, "shut:l0.f": 0.2} for n in range(10)]
    assert train.thinned(rows) == rows
    some = train.thinned(rows, most=8)
    assert [row["step"] for row in some if "open:l0.f" in row] == [0, 3, 6, 9]
    assert [row["loss"] for row in some] == [1.0] * 10


# ---- the tasks


def test_a_watched_forecaster_reports(tmp_path):
    """It learns the same, keeps the columns, and its report draws them and says what they say."""
    pytest.importorskip("statsforecast")
    import test_forecast as f
    from gated import forecast
    from gated.tasks.forecast import report

    how = f.SHOP | {"steps": 12}
    plain = forecast.fit(f.SALES, **how)
    run = forecast.fit(f.SALES, **how, watch=True, out=tmp_path / "run")
    assert f.same(plain, run)
    again = forecast.load(tmp_path / "run")
    assert again.history == run.history
    assert read(tmp_path / "run")[-1]["open:0.encoder.l0.f"] != ""
    said = train.observed(run.history)
    assert said
    assert again.summary().endswith("\n".join(said))
    again.report(tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(sentence.replace(">", "&gt;").replace("<", "&lt;") in page for sentence in said)
    titles = ("Gradient norm by layer", "Gates of encoder", "Gates of decoder")
    assert all(f"<h2>{title}</h2>" in page for title in titles)
    assert report._watched(run.history) != report._watched(plain.history) == []
    assert plain.summary().splitlines()[-1].startswith("Fit in")


def test_a_watched_translator_says_what_it_saw():
    """`watch=True` learns the same, and the summary ends with sentences on encoder and decoder."""
    pytest.importorskip("tokenizers")
    import test_translate as t
    from gated import translate

    how = t.QUICK | dict(layers=2, dropout=0.2, steps=3)
    plain, run = (translate.fit(t.TRAIN[:40], valid=t.NEW[:2], **how, watch=watch) for watch in (False, True))
    assert all(map(torch.equal, t.weights(plain), t.weights(run)))
    assert {layer for _, layer, _ in train.watched(run.history).values()} == {
        "encoder.l0", "encoder.l0_reverse", "encoder.l1", "encoder.l1_reverse", "decoder.bottom.l0", "decoder.top.l0"
    }  # fmt: skip
    assert "The forget gates are open" in run.summary()
    assert "gates" not in plain.summary()


def test_a_watched_transcriber_says_what_it_saw(tmp_path):
    """`watch=True` learns the same, and the summary ends with sentences on the recurrent layers."""
    pytest.importorskip("soundfile")
    import test_transcribe as t
    from gated import transcribe

    sounds = t.record(tmp_path / "sounds", 8)
    plain, run = (transcribe.fit(sounds, **t.QUICK, watch=watch) for watch in (False, True))
    assert t.same(plain, run)
    assert {layer for _, layer, _ in train.watched(run.history).values()} == {"layers.l0", "layers.l0_reverse"}
    assert "The forget gates are open" in run.summary()
    assert "gates" not in plain.summary()


def test_every_task_offers_it():
    """`gated forecast|translate|transcribe fit` has --watch, off unless asked for."""
    from gated.cli import command

    for task in ("forecast", "translate", "transcribe"):
        fit = command(task).make("fit")
        (option,) = [option for option in fit.params if option.name == "watch"]
        assert option.default is False
        assert "--watch" in option.opts
