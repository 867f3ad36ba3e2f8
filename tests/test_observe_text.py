"""Observed fits in words: sentences, the tasks' summaries, the forecast's report, an option."""

import numpy as np
import pandas as pd
import pytest
import torch

from gated import checkpoint, observe
from made.observed import EVERY, read

# ---- words


def test_layers_are_called_by_what_tells_them_apart():
    """A name has the module, the layer if there are several, the way if there are two, the network if there are two."""
    assert observe.name_layers(EVERY) == {
        "encoder.l0": "encoder layer 1 forward", "encoder.l0_reverse": "encoder layer 1 backward",
        "encoder.l1": "encoder layer 2 forward", "encoder.l1_reverse": "encoder layer 2 backward",
        "parts.top.l0": "parts top", "parts.own.l0": "parts own", "torchs.l0": "torchs",
    }  # fmt: skip
    assert observe.name_layers(["0.encoder.l0", "0.decoder.l0"]) == {
        "0.encoder.l0": "encoder",
        "0.decoder.l0": "decoder",
    }
    assert observe.name_layers(["0.encoder.l0", "1.encoder.l0"])["1.encoder.l0"] == "network 2 encoder"
    assert observe.name_layers(["l0", "layers.l1"]) == {"l0": "layer 1", "layers.l1": "layer 2"}


def test_sentences_say_what_the_columns_say():
    """The shares of gates that keep, what is saturated, and norms far apart, of the end of the run."""
    early = {"step": 1, "clipped": 1.0, "grad_norm:a.l0": 9.0, "grad_norm:b.l0": 9.0, "open:a.l0.f": 0.0}
    late = {
        "step": 2, "clipped": 0.25, "grad_norm:a.l0": 0.5, "grad_norm:b.l0": 0.002, "open:a.l0.f": 0.8,
        "shut:a.l0.f": 0.05,
        "open:a.l0.i": 0.2, "shut:a.l0.i": 0.61, "saturated:a.l0.g": 0.7, "saturated:b.l0.n": 0.1, "open:b.l0.f": 0.1,
        "shut:b.l0.f": 0.05,
    }  # fmt: skip
    assert observe.describe([early] * 5 + [late]) == [
        "Gradient norms go from 0.002 (b) to 0.5 (a), 250 times as much: little reaches b.",
        "Clipping acts on 25 % of steps.",
        "The forget gates are open (> 0.95) 80 % of the time in a, 10 % in b.",
        "The forget gates are shut (< 0.05) 5 % of the time in every layer.",
        "The input gates are shut (< 0.05) 61 % of the time in a.",
        "The candidates are saturated (beyond ±0.95) 70 % of the time in a: little gradient passes there.",
    ]
    near = late | {"grad_norm:b.l0": 0.006}
    assert observe.describe([near])[0] == "Gradient norms go from 0.006 (b) to 0.5 (a)."
    assert observe.describe([late | {"grad_norm:b.l0": 0.0}])[0] == "No gradient reaches b: it learns nothing."
    assert observe.describe([{"step": 1, "loss": 1.0, "clipped": 0.0}]) == observe.describe([]) == []
    assert observe.describe([{"step": 1, "grad_norm:strange": 1.0, "open:l.f": 2.0}]) == []


def test_a_long_history_is_thinned_and_ends_as_it_did():
    """Beside history.csv a folder has observers' columns of as many rows as fit, the last too, and all losses."""
    rows = [{"step": n, "loss": 1.0, "open:l0.f": 0.1, "shut:l0.f": 0.2} for n in range(10)]
    assert observe.thin(rows) == rows
    some = observe.thin(rows, max_cells=8)
    assert [row["step"] for row in some if "open:l0.f" in row] == [0, 3, 6, 9]
    assert [row["loss"] for row in some] == [1.0] * 10


# ---- the tasks


def both(fit, folder, *args, **options):
    """A run without observers and an observed one, after it was seen that their weights are the same bit for bit."""
    runs = [fit(*args, **options, watch=watch, out=folder / f"{watch}", progress=False) for watch in (False, True)]
    plain, observed = (checkpoint.load(folder / f"{watch}").state for watch in (False, True))
    assert plain.keys() == observed.keys()
    assert all(torch.equal(plain[name], observed[name]) for name in plain)
    return runs


def layers_of(run):
    return {layer for _, layer, _ in observe.columns(run.history).values()}


def test_an_observed_forecaster_reports(tmp_path):
    """It trains the same, keeps the columns, and its report draws them and says what they say."""
    pytest.importorskip("statsforecast")
    from gated import forecast
    from gated.tasks.forecast import report

    days = pd.date_range("2024-01-01", periods=90)
    sales = pd.concat(
        [pd.DataFrame({"shop": s, "date": days, "qty": 9 + k + days.dayofweek}) for k, s in enumerate("ab")]
    )
    plain, run = both(forecast.fit, tmp_path, sales, time="date", target="qty", id="shop", horizon=7, steps=12)
    again = forecast.load(tmp_path / "True")
    assert again.history == run.history
    assert read(tmp_path / "True")[-1]["open:0.encoder.l0.f"] != ""
    sentences = observe.describe(run.history)
    assert sentences
    assert again.summary().endswith("\n".join(sentences))
    again.report(tmp_path / "True")
    page = (tmp_path / "True" / "report.html").read_text()
    assert all(sentence.replace(">", "&gt;").replace("<", "&lt;") in page for sentence in sentences)
    titles = ("Gradient norm by layer", "Gates of encoder", "Gates of decoder")
    assert all(f"<h2>{title}</h2>" in page for title in titles)
    assert report._watched(run.history) != report._watched(plain.history) == []
    assert plain.summary().splitlines()[-1].startswith("Fit in")


def test_an_observed_translator_describes_its_layers(tmp_path):
    """`watch=True` trains the same, and the summary ends with sentences on encoder and decoder."""
    pytest.importorskip("tokenizers")
    from gated import translate

    pairs = [(f"ein {a} und ein {b}", f"a {a} and a {b}") for a in "abcdefg" for b in "hijklm"]
    small = dict(tokens="word", layers=2, units=8, batch=400, dropout=0.2, monitor="loss", precision="32", steps=3)
    plain, run = both(translate.fit, tmp_path, pairs[:40], valid=pairs[40:], **small)
    assert layers_of(run) == {
        "encoder.l0", "encoder.l0_reverse", "encoder.l1", "encoder.l1_reverse", "decoder.bottom.l0", "decoder.top.l0"
    }  # fmt: skip
    assert "The forget gates are open" in run.summary()
    assert "gates" not in plain.summary()


def test_an_observed_transcriber_describes_its_layers(tmp_path):
    """`watch=True` trains the same, and the summary ends with sentences on the recurrent layers."""
    soundfile = pytest.importorskip("soundfile")
    from gated import transcribe

    rng, sounds = np.random.default_rng(0), []
    for k in range(8):
        path = str(tmp_path / f"{k}.wav")
        soundfile.write(path, rng.uniform(-0.3, 0.3, 8000), 8000)
        sounds.append(dict(path=path, text="ab"[: 1 + k % 2]))
    small = dict(layers=1, units=6, bands=16, batch=400, dropout=0.2, precision="32", steps=3, hold=0)
    plain, run = both(transcribe.fit, tmp_path, sounds, **small)
    assert layers_of(run) == {"layers.l0", "layers.l0_reverse"}
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
