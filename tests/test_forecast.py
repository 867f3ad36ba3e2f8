"""A forecast from Python: fit, predict, score, backtest, update, and what every kind of data and mistake leads to."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from gated import forecast, train
from gated._check import InputError
from gated.tasks.forecast import training
from made import fresh

H, DAYS = 7, 63
SHOP = dict(time="date", target="qty", id="shop", horizon=H, steps=20, progress=False)
COVARIATES = dict(known=("promo", "holiday"), past=("rain",), static=("city", "size"))


def shops(days=DAYS + H, names=("north", "south", "west")):
    """Days of sales with a week, a price action that lifts them, and covariates of every kind."""
    rng = np.random.default_rng(3)
    date = pd.date_range("2024-01-01", periods=days, freq="D")
    parts = []
    for k, name in enumerate(names):
        promo = rng.integers(0, 2, days)
        qty = 10 * (k + 1) + 3 * np.sin(2 * np.pi * np.arange(days) / 7) + 4 * promo + rng.normal(0, 0.5, days)
        parts.append(pd.DataFrame({
            "date": date, "shop": name, "qty": qty.round(2), "promo": promo,
            "holiday": np.where(np.arange(days) % 10 == 0, "yes", "no"), "rain": rng.normal(size=days).round(2),
            "city": "xyx"[k % 3], "size": k,
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


ALL = shops()
SALES, LATER = ALL[ALL.date < ALL.date.min() + pd.Timedelta(days=DAYS)], ALL.groupby("shop").tail(H)
FUTURE = LATER[["shop", "date", "promo", "holiday"]]


def weights(run):
    return list(run.model.networks.state_dict().values())


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


@pytest.fixture(scope="module")
def run():
    """A plain fit, which no test changes."""
    return forecast.fit(SALES, **SHOP)


@pytest.fixture(scope="module")
def rich():
    """A fit with covariates of every kind."""
    return forecast.fit(SALES, **SHOP, **COVARIATES)


@pytest.fixture
def no_training(monkeypatch):
    """Within the test nothing may be trained."""

    def refuse(*args, **more):
        raise AssertionError("something was trained")

    monkeypatch.setattr(training.train, "fit", refuse)


# ---- what it is good for


def test_a_horizon_is_all_it_needs():
    """With no option beyond the horizon, monthly series with trend and season are forecast better than by last year."""
    t = np.arange(78)
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({
            "unique_id": f"s{k}", "ds": pd.date_range("2015-01-01", periods=78, freq="MS"),
            "y": 50 + k * t / 3 + 10 * np.sin(2 * np.pi * t / 12 + k) + rng.normal(0, 1, 78),
        })
        for k in range(1, 3)
    ]  # fmt: skip
    months = pd.concat(parts)
    run = forecast.fit(months.groupby("unique_id").head(72), horizon=6, progress=False)
    result = run.score(months.groupby("unique_id").tail(6), baselines=("SeasonalNaive",))
    assert result["best"] == "LSTM"
    assert result["mase"] < 0.8 * result["baselines"]["SeasonalNaive"]["mase"]


def test_a_time_limit_ends_a_fit():
    """A fit of a million steps ends near the time it was given."""
    run = forecast.fit(SALES, **SHOP | {"steps": 10**6}, time_limit=1.0)
    assert 0.4 < run.metrics["fit_seconds"] < 3.5


def test_members_are_averaged():
    """Two members are two different networks, and the forecast lies between theirs."""
    run = forecast.fit(SALES, **SHOP, members=2, calibrate=False)
    first, second = (list(n.state_dict().values()) for n in run.model.networks)
    assert not all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    parts = [training.replace(run.model, networks=torch.nn.ModuleList([n])) for n in run.model.networks]
    alone = [training.predict(part, run.panel) for part in parts]
    both = training.predict(run.model, run.panel)
    np.testing.assert_allclose(both, np.mean(alone, 0), rtol=1e-5)


# ---- predict


def test_a_loaded_run_computes_on_the_device_of_its_config(run, tmp_path, monkeypatch):
    """Networks of a run folder are on `runs.device` of the config; a fit leaves them where it trained them."""
    run.save(tmp_path)
    assert {p.device.type for p in run.model.networks.parameters()} == {training.runs.device(run.config).type}
    monkeypatch.setattr(training.runs, "device", lambda config: torch.device("meta"))
    assert {p.device.type for p in forecast.load(tmp_path).model.networks.parameters()} == {"meta"}


def test_predict_is_a_frame_under_the_datas_own_names(run):
    """A row for each series and coming step, under the data's own names, with quantiles that rise with the level."""
    prediction = run.predict()
    assert list(prediction.columns[:3]) == ["shop", "date", "median"]
    assert prediction.shop.tolist() == np.repeat(["north", "south", "west"], H).tolist()
    assert prediction.date[:H].tolist() == list(pd.date_range(SALES.date.max(), periods=H + 1)[1:])
    q = prediction[[f"q{level:g}" for level in run.config.quantiles]].to_numpy()
    assert np.isfinite(q).all()
    assert (np.diff(q, axis=1) >= 0).all()
    assert (prediction["median"] == prediction["q0.5"]).all()


def test_new_rows_and_new_series_need_no_training(run, no_training):
    """`predict` goes on from rows of known series and from series it never saw, with the weights as they are."""
    prediction = run.predict(LATER)
    assert prediction.date.min() == LATER.date.max() + pd.Timedelta(days=1)
    new = run.predict(SALES[SALES.shop == "south"].assign(shop="new", qty=lambda f: 100 * f.qty))
    assert set(new.shop) == {"new"}
    old = run.predict()
    np.testing.assert_allclose(new["median"], 100 * old[old.shop == "south"]["median"], rtol=1e-3)


def test_samples_are_paths_drawn_alike_each_time(run):
    """Sample paths come as columns s1 s2 …, the same ones each time, and spread as the quantiles do."""
    prediction = run.predict(samples=200)
    assert list(prediction.columns) == ["shop", "date", *(f"s{k + 1}" for k in range(200))]
    assert prediction.equals(run.predict(samples=200))
    inside = prediction.iloc[:, 2:].to_numpy() <= run.predict()["q0.9"].to_numpy()[:, None]
    assert 0.85 < inside.mean() < 0.95


@pytest.mark.parametrize("likelihood", ["student-t", "negative-binomial"])
def test_likelihoods_forecast_and_are_saved(likelihood, tmp_path):
    """Every likelihood gives finite rising quantiles, is read back as it was, and counts stay whole."""
    run = forecast.fit(SALES.assign(qty=SALES.qty.round()), **SHOP, likelihood=likelihood)
    prediction = run.predict()
    q = prediction.filter(like="q0").to_numpy()
    assert np.isfinite(q).all()
    assert (np.diff(q, axis=1) >= 0).all()
    run.save(tmp_path)
    assert forecast.load(tmp_path).predict().equals(prediction)
    if likelihood == "negative-binomial":
        paths = run.predict(samples=5).filter(regex=r"^s\d").to_numpy()
        assert (paths == paths.round()).all()
        assert (paths >= 0).all()


def test_quantiles_are_those_of_the_config():
    """The levels of the config are forecast, down to the median alone."""
    prediction = forecast.fit(SALES, **SHOP, quantiles=(0.05, 0.5, 0.95)).predict()
    assert list(prediction.columns[3:]) == ["q0.05", "q0.5", "q0.95"]
    alone = forecast.fit(SALES, **SHOP, quantiles=(0.5,))
    assert alone.score(LATER, baselines=())["coverage"] == {}


# ---- covariates


def test_known_covariates_are_required_and_used(run, rich):
    """A forecast needs the known covariates of every coming step and follows them; where it would not, it says so."""
    with pytest.raises(InputError, match="future: expected a run with known covariates"):
        run.predict(future=FUTURE)
    with pytest.raises(InputError, match="future covariates: expected values for the next 7 steps, got none"):
        rich.predict()
    with pytest.raises(InputError, match="none for north at 2024-03-04"):
        rich.predict(future=FUTURE[FUTURE.shop != "north"])
    with pytest.raises(InputError, match="the future file: expected the column 'promo'"):
        rich.predict(future=FUTURE.drop(columns="promo"))
    on, off = (rich.predict(future=FUTURE.assign(promo=p))["median"].to_numpy() for p in (1, 0))
    assert (on != off).all()


def test_covariates_outlive_saving_and_unknown_categories(rich, tmp_path):
    """Numeric and categorical covariates are read back as they were; an unknown category is taken as none."""
    rich.save(tmp_path)
    again = forecast.load(tmp_path)
    assert again.predict(future=FUTURE).equals(rich.predict(future=FUTURE))
    new = SALES[SALES.shop == "west"].assign(shop="new", city="elsewhere")
    prediction = again.predict(new, future=FUTURE[FUTURE.shop == "west"].assign(shop="new", holiday="perhaps"))
    assert np.isfinite(prediction["median"]).all()


def test_score_and_backtest_find_the_covariates(rich):
    """Data that hold the truth hold the known covariates too; what is known only up to now is not required ahead."""
    with_rain = rich.score(LATER, baselines=())
    assert rich.score(LATER.drop(columns="rain"), baselines=())["mase"] == with_rain["mase"]
    assert rich.backtest(windows=2, baselines=())["forecasts"] == 6


# ---- score, backtest


def test_score_stands_beside_the_classical_methods(run):
    """A score holds MASE, sMAPE, OWA, WQL and coverage of the forecast and of each baseline, and names the best."""
    result = run.score(LATER)
    assert set(result["baselines"]) == {"SeasonalNaive", "AutoETS", "Theta"}
    for metrics in (result, *result["baselines"].values()):
        assert {"mase", "smape", "owa", "wql", "coverage", "seconds"} <= set(metrics)
        assert set(metrics["coverage"]) == {"80", "60", "40", "20"}
    assert result["best"] == min(
        [*result["baselines"], "LSTM"], key=lambda k: {**result["baselines"], "LSTM": result}[k]["mase"]
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_score_is_of_predicts_own_quantiles(run):
    """The WQL of `score` is that of `predict`'s own columns, computed here from its definition."""
    truth = LATER.sort_values(["shop", "date"]).qty.to_numpy()
    prediction = run.predict()
    losses = []
    for level in run.config.quantiles:
        over = truth - prediction[f"q{level:g}"].to_numpy()
        losses.append(2 * np.maximum(level * over, (level - 1) * over).sum() / np.abs(truth).sum())
    assert run.score(LATER, baselines=())["wql"] == pytest.approx(np.mean(losses), rel=1e-6)


def test_score_of_new_series_holds_their_end_back(run, no_training):
    """New series are cut before their last horizon, without training; rows of the training are no truth."""
    new = ALL.assign(shop=ALL.shop + "2")
    result = run.score(new, baselines=("SeasonalNaive",), per=("step", "series"))
    with pytest.raises(InputError, match="expected rows in the 7 steps after 2024-03-03"):
        run.score(SALES)
    assert result["forecasts"] == 3
    assert len(result["per"]["step"]["mase"]) == H
    assert result["per"]["series"]["id"] == ["north2", "south2", "west2"]


@pytest.mark.parametrize("refit", [False, True])
def test_backtest_rolls_and_never_scores_on_training_data(run, refit, monkeypatch):
    """New weights are trained before the first origin, with refit before each, on nothing after it."""
    times, fit = [], training.fit
    monkeypatch.setattr(training, "fit", lambda p, *a, **k: times.append(p.times.max()) or fit(p, *a, **k))
    before = [w.clone() for w in weights(run)]
    result = run.backtest(windows=3, step=3, refit=refit, baselines=("SeasonalNaive",))
    ends = [pd.Timestamp(SALES.date.max()) - pd.Timedelta(days=H + 3 * k) for k in (2, 1, 0)]
    assert [pd.Timestamp(t) for t in times] == (ends if refit else ends[:1])
    assert result["forecasts"] == 9
    assert len(result["windows"]) == len(result["baselines"]["SeasonalNaive"]["windows"]) == 3
    assert all(torch.equal(a, b) for a, b in zip(before, weights(run), strict=True))


def test_backtest_of_new_series_uses_the_weights_as_they_are(run, no_training):
    """Series that the run never saw are a fair test of its own weights."""
    assert run.backtest(ALL.assign(shop=ALL.shop + "2"), windows=2, baselines=())["forecasts"] == 6


def test_backtest_asks_for_no_more_than_there_is(run):
    """More origins than the longest series holds are one clear error; so is a step of nothing."""
    with pytest.raises(InputError, match="a series of at least 702 steps, got 63 in the longest"):
        run.backtest(windows=100)
    with pytest.raises(InputError, match="step: expected a number of at least 1, got 0"):
        run.backtest(step=0)


# ---- update


def test_update_goes_on_from_the_weights(run, tmp_path):
    """A new run with other weights that continues after the new rows; the old run stays as it was; both read back."""
    before, prediction = [w.clone() for w in weights(run)], run.predict()
    new = run.update(pd.concat([LATER, SALES[SALES.shop == "west"].assign(shop="new")]), steps=3, out=tmp_path,
                     progress=False)  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(before, weights(run), strict=True))
    assert run.predict().equals(prediction)
    assert not same(run, new)
    moved = max(float((a - b).abs().max()) for a, b in zip(weights(run), weights(new), strict=True) if a.numel())
    assert moved < 0.1  # trained further, not anew
    ahead = new.predict()
    assert set(ahead.shop) == {"north", "south", "west", "new"}
    assert ahead[ahead.shop == "north"].date.min() == LATER.date.max() + pd.Timedelta(days=1)
    assert forecast.load(tmp_path).predict().equals(ahead)
    assert new.report(tmp_path) is None
    assert "too short" not in new.summary()


# ---- the same again


STATE = """
import random, sys
import numpy as np, torch
from gated import forecast

def state():
    numpy = np.random.get_state()
    return (torch.get_rng_state().tolist(), numpy[1].tolist(), numpy[2], random.getstate(), torch.get_num_threads(),
            torch.is_grad_enabled(), torch.get_default_dtype())

torch.set_num_threads(2)
before = state()
options = dict(time="date", target="qty", id="shop", horizon=7, steps=3)
run = forecast.fit(sys.argv[1], **options, likelihood="negative-binomial")
run.predict(samples=3)
run.score(sys.argv[2], baselines=("SeasonalNaive",))
run.backtest(windows=1, baselines=())
run.update(sys.argv[2], steps=2)
assert state() == before
"""


def test_the_callers_state_is_left_alone(tmp_path):
    """Generators of torch, NumPy and Python, threads, gradients, dtype: all as before (beartype draws, so alone)."""
    SALES.to_csv(tmp_path / "sales.csv", index=False)
    LATER.to_csv(tmp_path / "later.csv", index=False)
    process = fresh.run(STATE, tmp_path / "sales.csv", tmp_path / "later.csv")
    assert process.returncode == 0, process.stderr


def test_a_second_fit_owes_nothing_to_an_older_one_in_its_folder(tmp_path, monkeypatch):
    """Fit, fit other data over it, be stopped before the second part, resume: the end is that of the other data."""
    forecast.fit(SALES, **SHOP, out=tmp_path)
    other, parts, real = SALES.assign(qty=SALES.qty**2), [], train.fit

    def stop_second(*args, **more):
        parts.append(1)
        if len(parts) == 2:
            raise KeyboardInterrupt
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(training.train, "fit", stop_second)
        with pytest.raises(KeyboardInterrupt):
            forecast.fit(other, **SHOP, out=tmp_path, overwrite=True)
    resumed = forecast.fit(other, **SHOP, out=tmp_path, resume=True)
    assert same(resumed, forecast.fit(other, **SHOP))
    assert same(resumed, forecast.load(tmp_path))


# ---- any data


def test_files_frames_and_polars_are_the_same(run, tmp_path):
    """CSV, Parquet, pandas and polars give one and the same run."""
    SALES.to_csv(tmp_path / "sales.csv", index=False)
    SALES.to_parquet(tmp_path / "sales.parquet")
    for source in (tmp_path / "sales.csv", str(tmp_path / "sales.parquet"), pl.from_pandas(SALES)):
        assert same(forecast.fit(source, **SHOP), run)


def test_numbers_may_name_the_series_and_count_the_time(tmp_path):
    """Integer names and integer times come back as integers, in this process and from a folder."""
    plain = SALES.assign(shop=SALES.shop.map({"north": 7, "south": 10, "west": 200}))
    plain["date"] = plain.groupby("shop").cumcount()
    run = forecast.fit(plain, **SHOP, season=7)
    run.save(tmp_path)
    prediction = forecast.load(tmp_path).predict()
    assert prediction.equals(run.predict())
    assert prediction.shop.unique().tolist() == [7, 10, 200]
    assert prediction.date[:H].tolist() == list(range(DAYS, DAYS + H))
    assert prediction.dtypes[["shop", "date"]].tolist() == [np.dtype("int64")] * 2


def one(days, **columns):
    return SALES[SALES.shop == "north"].head(days).assign(**columns)


@pytest.mark.parametrize(
    ("data", "horizon"),
    [(one(5), 3), (one(5), 14), (one(3), 1), (pd.concat([one(63), one(2, shop="tiny")]), H), (one(20, qty=5.0), 3),
     (one(20, qty=0.0), 3), (one(63, qty=lambda f: f.qty * 1e9), H), (one(63, qty=lambda f: -f.qty / 1e9), H)],
    ids=["5 points", "longer horizon", "3 points", "one short", "constant", "zero", "huge", "negative and tiny"],
)  # fmt: skip
def test_odd_series_are_forecast_all_the_same(data, horizon, tmp_path):
    """Short, constant, huge, tiny series: finite forecasts (a constant's stay), a summary, a run folder that loads."""
    run = forecast.fit(data, **SHOP | {"horizon": horizon}, out=tmp_path)
    prediction = run.predict()
    assert len(prediction) == horizon * data.shop.nunique()
    assert np.isfinite(prediction.filter(like="q0").to_numpy()).all()
    if (data.qty == 5.0).all():
        np.testing.assert_allclose(prediction.filter(like="q0").to_numpy(), 5.0, rtol=2e-3)
    run.report(tmp_path)
    assert "forecasts" in run.summary()
    assert forecast.load(tmp_path).predict().equals(prediction)


def test_a_series_without_a_value_is_reported_and_left_out(tmp_path):
    """A series of only NaN is reported, is forecast as NaN, and spoils neither the others nor the score."""
    sales = SALES.assign(qty=SALES.qty.where(SALES.shop != "south"))
    run = forecast.fit(sales, **SHOP, out=tmp_path)
    assert "1 series without any value: south." in run.summary()
    prediction = run.predict()
    assert prediction[prediction.shop == "south"]["median"].isna().all()
    assert prediction[prediction.shop != "south"]["median"].notna().all()
    assert run.score(LATER, baselines=("SeasonalNaive",))["series"] == 2
    assert forecast.load(tmp_path).predict().equals(prediction)


# ---- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horison": 3}, "Did you mean 'horizon'"),
        ({"horizon": 0}, "horizon: expected a whole number from 1 to 100000, got 0"),
        ({"horizon": 200_000}, "horizon: expected a whole number from 1 to 100000"),
        ({"members": 0}, "members: expected a whole number"),
        ({"steps": -1}, "steps: expected a whole number"),
        ({"lr": -1.0}, "lr: expected a number"),
        ({"time_limit": 0.0}, "time_limit: expected a number of at least 0.001"),
        ({"quantiles": (0.1, 0.9)}, "quantiles: expected rising levels between 0 and 1 with 0.5 among them"),
        ({"quantiles": (0.5, 0.1)}, "quantiles: expected rising levels"),
        ({"likelihood": "gauss"}, "one of 'quantiles', 'student-t', 'negative-binomial', got 'gauss'"),
        ({"device": "tpu"}, "one of 'auto', 'cpu', 'cuda'"),
        ({"target": "quantity"}, "target: expected one of the columns"),
        ({"id": None}, "each time once in a series"),
        ({"known": ("promotion",)}, "Did you mean 'promo'"),
        ({"resume": True}, "the folder out of the fit to resume"),
    ],
)
def test_a_mistaken_option_is_one_clear_error(options, message):
    """What is wrong, with the number or the word, and what to do about it."""
    with pytest.raises(InputError, match=message):
        forecast.fit(SALES, **SHOP | options)


def test_no_horizon_no_values_no_data():
    """Without a horizon, without any value, with one step only, or without data there is nothing to fit."""
    with pytest.raises(InputError, match="expected a horizon"):
        forecast.fit(SALES)
    with pytest.raises(InputError, match="at least one number"):
        forecast.fit(SALES.assign(qty=np.nan), **SHOP)
    with pytest.raises(InputError, match="a series of at least two steps"):
        forecast.fit(one(1), **SHOP, freq="D")
    with pytest.raises(InputError, match="at least one row"):
        forecast.fit(SALES.head(0), **SHOP)
    with pytest.raises(InputError, match="a path to a CSV or Parquet file"):
        forecast.fit(5, **SHOP)
    with pytest.raises(InputError, match="values of at least 0"):
        forecast.fit(SALES.assign(qty=-SALES.qty), **SHOP, likelihood="negative-binomial")


def test_a_recipe_beside_its_weights_is_one_clear_error(run, tmp_path):
    """A folder whose recipe asks for another network, or another context, than its weights are of is refused."""
    for name, value in (("width", 10**6), ("context", 10**7), ("season", 10**7), ("horizon", 3)):
        wild = training.replace(run.model, recipe=training.replace(run.model.recipe, **{name: value}))
        training.replace(run, model=wild).save(tmp_path / name)
        with pytest.raises(InputError, match="run folder"):
            forecast.load(tmp_path / name)


def test_importing_the_forecaster_costs_no_baseline_and_no_plot():
    """statsforecast and matplotlib are imported when a score or a picture asks for them, not before."""
    code = "import sys; from gated import forecast; forecast.fit; print(*sys.modules)"
    process = fresh.run(code)
    assert "gated.tasks.forecast.run" in process.stdout.split(), process.stderr
    assert not {"statsforecast", "matplotlib"} & set(process.stdout.split())
