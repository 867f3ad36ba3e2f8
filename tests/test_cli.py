"""The command line: what goes to which stream, what each mistake costs, and what a stop of any kind leaves."""

import dataclasses
import io
import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gated import forecast
from gated.tasks.forecast import demo, training
from made import fresh

FIT = ["--time", "date", "--target", "qty", "--id", "shop", "--horizon", "7", "--steps", "10"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with sales.csv and later.csv, and a fitted run in `run`, which no test changes."""
    folder = tmp_path_factory.mktemp("desk")
    date = pd.date_range("2024-01-01", periods=70, freq="D")
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"date": date, "shop": shop, "qty": level + np.tile(np.arange(7.0), 10) + rng.normal(0, 0.3, 70)})
        for shop, level in (("north", 10), ("south", 30))
    ]
    whole = pd.concat(parts)
    whole[whole.date < date[63]].to_csv(folder / "sales.csv", index=False)
    whole[whole.date >= date[63]].to_csv(folder / "later.csv", index=False)
    options = dict(time="date", target="qty", id="shop", horizon=7, steps=10, progress=False)
    forecast.fit(folder / "sales.csv", **options, out=folder / "run")
    return folder


# ---- which stream


def test_help_version_and_info(gated):
    """Help and version succeed; no words at all is a mistake that shows the help; info is JSON where asked."""
    for words in (["--help"], ["--version"], ["forecast", "--help"], ["forecast", "backtest", "--help"]):
        status, out, err = gated(*words)
        assert (status, err) == (0, "")
        assert out
    status, out, err = gated()
    assert (status, out) == (2, "")
    assert "forecast" in err
    status, out, err = gated("info", "--json")
    assert (status, err) == (0, "")
    assert {"gated", "torch", "kernels", "instruction set", "threads", "devices"} <= set(json.loads(out))
    status, out, err = gated("info")
    assert (status, out) == (0, "")
    assert "instruction set" in err


def test_options_reach_the_config(gated, monkeypatch):
    """Numbers, lists, times and switches arrive as Config has them, and what is not said stays at its default."""
    taken = {}
    monkeypatch.setattr(
        "gated.tasks.forecast.run.fit", lambda data, config, **more: taken.update(more, config=config) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        gated("forecast", "fit", "sales.csv", "--out", "x", "--horizon", "3", "--members", "2", "--time-limit", "2m",
              "--known", "promo, price", "--quantiles", "0.1,0.5,0.9", "--no-calibrate", "--quiet")  # fmt: skip
    plain = forecast.Config(horizon=3)
    assert taken["config"] == dataclasses.replace(
        plain, members=2, time_limit=120.0, known=("promo", "price"), quantiles=(0.1, 0.5, 0.9), calibrate=False
    )
    assert taken["progress"] is False


def test_fit_tells_people_on_standard_error(gated, tmp_path):
    """A fit says what it found on standard error, with the held-out score, and draws its report."""
    status, out, err = gated("forecast", "fit", "sales.csv", *FIT, "--out", tmp_path / "run")
    assert (status, out) == (0, "")
    assert "2 series, 126 rows" in err
    assert "SeasonalNaive" in err
    assert {"report.html", "report.png"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_json_is_one_object_with_details_too(gated):
    """With --json standard output is exactly one JSON object and standard error is empty, with every detail."""
    for words in (
        ["score", "run", "later.csv", "--per", "step,series"],
        ["backtest", "run", "--windows", "2", "--refit", "--step", "3"],
    ):
        status, out, err = gated("forecast", *words, "--json")
        assert (status, err) == (0, "")
        assert isinstance(json.loads(out), dict)
        assert out.count("\n") == 1


def test_the_score_object(gated):
    """score --json has MASE, sMAPE, OWA, WQL, coverage, seconds, the same of each baseline, and the best."""
    told = json.loads(gated("forecast", "score", "run", "later.csv", "--json")[1])
    assert set(told["baselines"]) == {"SeasonalNaive", "AutoETS", "Theta"}
    for found in (told, *told["baselines"].values()):
        assert {"mase", "smape", "owa", "wql", "seconds"} <= {k for k, v in found.items() if isinstance(v, float)}
        assert set(found["coverage"]) == {"20", "40", "60", "80"}
    assert told["best"] in {*told["baselines"], "LSTM"}


def test_score_tables_are_for_people(gated, monkeypatch):
    """Without --json the table stands on standard error, on a narrow terminal too."""
    monkeypatch.setenv("COLUMNS", "40")
    status, out, err = gated("forecast", "score", "run", "later.csv")
    assert (status, out) == (0, "")
    assert "MASE" in err
    assert "◂ best" in err
    assert gated("forecast", "fit", "--help")[0] == 0


def test_predict_writes_csv_to_standard_output_or_a_file(gated, tmp_path):
    """The forecast is CSV on standard output, or a CSV or Parquet file, all the same; samples come as asked for."""
    told = forecast.load("run").predict()
    status, out, err = gated("forecast", "predict", "run")
    assert (status, err) == (0, "")
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(out), parse_dates=["date"]), told, check_dtype=False)
    assert gated("forecast", "predict", "run", "--out", tmp_path / "f.csv") == (0, "", "")
    assert (tmp_path / "f.csv").read_text() == out
    assert gated("forecast", "predict", "run", "--out", tmp_path / "f.parquet") == (0, "", "")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "f.parquet"), told)
    status, out, _ = gated("forecast", "predict", "run", "later.csv", "--samples", "2")
    assert out.splitlines()[0] == "shop,date,s1,s2"
    assert out.splitlines()[1].startswith("north,2024-03-11,")


def test_update_leaves_the_run_it_came_from(gated, tmp_path):
    """`update` writes another folder, which goes on after the new rows; not a byte of the old one changes."""
    before = {p.name: p.read_bytes() for p in Path("run").iterdir() if p.is_file()}
    assert gated("forecast", "update", "run", "later.csv", "--steps", "2", "--out", tmp_path / "new", "--quiet")[0] == 0
    assert {p.name: p.read_bytes() for p in Path("run").iterdir() if p.is_file()} == before
    assert str(forecast.load(tmp_path / "new").predict().date.min().date()) == "2024-03-11"


def test_the_demo_ends_with_a_table_and_a_picture(gated, monkeypatch, tmp_path):
    """`gated demo forecast`, here with two steps of learning, draws its report and prints JSON if asked."""
    monkeypatch.setattr(demo, "fit", partial(demo.fit, steps=2, width=8, progress=False))
    status, out, _ = gated("demo", "forecast", "--out", tmp_path / "demo", "--json")
    assert status == 0
    assert {"mase", "baselines", "best"} <= set(json.loads(out))
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000


# ---- mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("forecats", "No such command 'forecats'"),
        ("forecast fitt", "No such command"),
        ("forecast fit", "Missing argument 'DATA'"),
        ("forecast fit sales.csv --out x --horizon 7 --tme date", "--time"),
        ("forecast fit sales.csv --out x", "--horizon"),
        ("forecast fit sales.csv --horizon 7", "--out"),
        ("forecast fit sales.csv --out x --horizon 7.5", "not a valid integer"),
        ("forecast fit sales.csv --out x --horizon 0", "horizon: expected a whole number from 1 to 100000, got 0"),
        ("forecast fit sales.csv --out x --horizon 7 --likelihood gauss", "'student-t'"),
        ("forecast fit sales.csv --out x --horizon 7 --quantiles 0.1,0.9", "with 0.5 among them"),
        ("forecast fit sales.csv --out x --horizon 7 --quantiles low,high", "expected floats"),
        ("forecast fit sales.csv --out x --horizon 7 --time-limit soon", "90s, 30m or 2h"),
        ("forecast fit sales.csv --out x --horizon 7 --time-limit 0", "time_limit"),
        ("forecast fit sale.csv --out x --horizon 7", "no such file"),
        ("forecast fit run --out x --horizon 7", "a folder"),
        ("forecast fit sales.csv --out x --horizon 7", "Did you mean 'date'"),
        ("forecast fit sales.csv --out x --horizon 7 --time date --target quantity --id shop", "'quantity'"),
        ("forecast fit sales.csv --out x --horizon 7 --time date --target qty", "id"),
        ("forecast fit sales.csv --out . --horizon 7 --time date --target qty --id shop", "only files of a run"),
        ("forecast fit sales.csv --out sales.csv --horizon 7 --time date --target qty --id shop", "a folder"),
        ("forecast fit sales.csv --out sales.csv/x --horizon 7 --time date --target qty --id shop", "sales.csv/x"),
        ("forecast fit sales.csv --colums x", "No such option '--colums'. See gated forecast fit --help."),
        ("forecast fit sales.csv --horizn 7", "Did you mean '--horizon'?"),
        ("translate fit --colums 1,2", "Did you mean '--columns'?"),
        ("translate predict x --colums 1,2", "Did you mean '--columns'?"),
        ("transcribe fit --colums 1,2", "Did you mean '--columns'?"),
        ("probe --qiet", "No such option '--qiet'."),
        ("forecast predict nowhere", "nowhere"),
        ("forecast predict .", "Is this a run folder"),
        ("forecast predict sales.csv", "a folder"),
        ("forecast predict run --out forecast.xlsx", ".csv or .parquet"),
        ("forecast predict run --out no/forecast.csv", "a folder that exists"),
        ("forecast predict run --future later.csv", "known"),
        ("forecast predict run --samples -1", "samples"),
        ("forecast score run", "DATA"),
        ("forecast score run sales.csv", "rows in the 7 steps after 2024-03-03"),
        ("forecast score run later.csv --per steps", "'step', 'series'"),
        ("forecast backtest run --windows 0", "windows"),
        ("forecast backtest run --windows 99", "fewer windows"),
        ("forecast update run later.csv --out x --steps 0", "steps"),
        ("forecast update run later.csv", "--out"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(gated, words, said):
    """Nothing on standard output, one line on standard error that says what to do, no traceback, status 2."""
    status, out, err = gated(*words.split())
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert said in err
    assert not Path("x").exists()


def test_a_fault_of_ours_is_not_hidden(gated, monkeypatch):
    """Any other error keeps its traceback, with which Python ends in status 1."""
    monkeypatch.setattr("gated.tasks.forecast.run.load", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gated("forecast", "predict", "run")


# ---- stopped from outside


@pytest.fixture(scope="module")
def whole(desk, tmp_path_factory):
    """The weights of a fit that nothing stopped, as bytes."""
    folder = tmp_path_factory.mktemp("whole")
    options = dict(time="date", target="qty", id="shop", horizon=7, steps=120, width=16, progress=False)
    forecast.fit(desk / "sales.csv", **options, out=folder)
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="no signals for others")
@pytest.mark.parametrize(("stop", "status"), [("SIGKILL", -9), ("SIGINT", 130)])
def test_a_stopped_fit_resumes_to_the_same_weights(gated, desk, whole, tmp_path, stop, status):
    """Killed or stopped by Ctrl-C in its second part, `--resume` ends where a fit never stopped does."""
    words = ["forecast", "fit", "sales.csv", *FIT[:-1], "120", "--width", "16", "--out"]
    sign = tmp_path / "run" / "held" / "training.safetensors"  # the first part is done
    with fresh.command(*words, tmp_path / "run", cwd=desk) as process:
        while not sign.exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(getattr(signal, stop))
        _, err = process.communicate()
    assert process.returncode == status, err
    assert b"Traceback" not in err
    assert not (tmp_path / "run" / "config.json").exists()
    assert gated(*words, tmp_path / "run", "--resume", "--quiet") == (0, "", "")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == whole


def test_ctrl_c_ends_a_fit_at_once_and_not_just_its_first_part(gated, monkeypatch, tmp_path):
    """The part under way stops after its step, no further part begins, and the status is 130."""
    parts, real = [], training.train.fit

    def batches(n, draw):
        if n == 2:
            signal.raise_signal(signal.SIGINT)
        return draw(n)

    def fit(networks, loss, draw, **more):
        parts.append(1)
        return real(networks, loss, lambda n: batches(n, draw), **more)

    monkeypatch.setattr(training.train, "fit", fit)
    status, out, err = gated("forecast", "fit", "sales.csv", *FIT, "--out", tmp_path / "run")
    assert (status, out, parts) == (130, "", [1])
    assert err == "Stopped at step 3. Go on with --resume.\n"


@pytest.mark.skipif(os.name == "nt", reason="no such pipes")
def test_a_reader_that_leaves_is_no_error(desk):
    """`gated forecast predict … | head -1` prints its line, no traceback, and ends with status 0."""
    words = ["forecast", "predict", "run", "--samples", "5000"]
    with fresh.command(*words, cwd=desk) as process:
        assert process.stdout.readline().startswith(b"shop,date,s1")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
