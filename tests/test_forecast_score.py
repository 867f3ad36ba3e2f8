"""Metrics by hand and by utilsforecast, baselines by statsforecast, and a verdict that is honest."""

import json
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from gated._check import InputError  # noqa: E402
from gated.tasks.forecast import baselines as classical  # noqa: E402
from gated.tasks.forecast.baselines import baselines, fill, naive2, seasonal_naive  # noqa: E402
from gated.tasks.forecast.panel import Panel  # noqa: E402
from gated.tasks.forecast.roll import roll  # noqa: E402
from gated.tasks.forecast.scoring import evaluate, scales, score, table, verdict  # noqa: E402

LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9]
HOURLY = Path(__file__).parents[1] / "../shared/data/forecast/m4_hourly.parquet"


def panel_of(*series: np.ndarray) -> Panel:
    offsets = np.r_[0, np.cumsum([len(y) for y in series])]
    n, length = len(series), int(offsets[-1])
    times = np.concatenate([np.arange(len(y)) for y in series])
    y = np.concatenate([np.asarray(y, float) for y in series])
    known = np.arange(float(length))[:, None]
    return Panel(np.arange(n), offsets, y, times, "1", np.zeros((length, 0)), known, np.zeros((n, 0)))


def seasonal(n: int, m: int, seed: int, noise: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    return 50 + 0.1 * t + 10 * np.sin(2 * np.pi * t / m) + noise * rng.standard_normal(n)


@pytest.fixture(scope="module")
def cases():
    """Three seasonal series of several lengths: history, truth and a forecast with random errors."""
    rolling = roll(panel_of(*(seasonal(n, 12, n) for n in (90, 100, 61))), 12)
    rng = np.random.default_rng(0)
    point = rolling.truth + rng.standard_normal(rolling.truth.shape)
    spread = np.array([-1.3, -0.5, 0, 0.5, 1.3]) * 1.2
    return rolling.history, rolling.truth, point[..., None] + spread


# -- metrics


def test_metrics_agree_with_a_computation_by_hand():
    """MASE over the history's seasonal error, sMAPE from 0 to 200, WQL over the sum of |y|, coverage as a share."""
    history = panel_of(np.array([1.0, 2, 3, 6]))  # m = 2: |3 − 1|, |6 − 2| → s = 3
    truth = np.array([[4.0, 6.0]])
    quantiles = np.array([[[3.0, 5.0, 5.0], [7.0, 8.0, 9.0]]])
    got = evaluate(truth, quantiles, [0.1, 0.5, 0.9], scales(history, 2))
    assert got["mase"] == pytest.approx((1 + 2) / 2 / 3)
    assert got["smape"] == pytest.approx(100 * (2 * 1 / 9 + 2 * 2 / 14) / 2)
    pinball = [0.1 * 1, 0.5 * 1, 0.1 * 1, 0.9 * 1, 0.5 * 2, 0.1 * 3]
    assert got["wql"] == pytest.approx(2 * sum(pinball) / 3 / 10)
    assert got["coverage"] == {"80": 0.5}


def test_metrics_agree_with_utilsforecast(cases):
    """Each metric is utilsforecast's: its sMAPE times 200, its scaled CRPS for a single series."""
    losses = pytest.importorskip("utilsforecast.losses")
    history, truth, quantiles = cases
    n, h = truth.shape
    names = [f"q{k}" for k in range(len(LEVELS))]
    frame = pd.DataFrame(
        {"unique_id": np.repeat(np.arange(n), h), "ds": np.tile(np.arange(1000, 1000 + h), n), "y": truth.ravel()}
    )
    frame[names] = quantiles.reshape(n * h, -1)
    frame["m"], frame["m-lo-80"], frame["m-hi-80"] = frame.q2, frame.q0, frame.q4
    train = pd.DataFrame({"unique_id": np.repeat(history.ids, history.lengths), "ds": history.times, "y": history.y})
    got = evaluate(truth, quantiles, LEVELS, scales(history, 12), history.ids)
    theirs = losses.mase(frame, ["m"], 12, train).m
    np.testing.assert_allclose(got["per"]["series"]["mase"], theirs)
    assert got["mase"] == pytest.approx(theirs.mean())
    np.testing.assert_allclose(got["per"]["series"]["smape"], 200 * losses.smape(frame, ["m"]).m)
    np.testing.assert_allclose(got["per"]["series"]["coverage"]["80"], losses.coverage(frame, ["m"], 80).m)
    np.testing.assert_allclose(got["per"]["series"]["wql"], losses.scaled_crps(frame, {"m": names}, np.array(LEVELS)).m)


def test_unknown_truth_is_left_out(cases):
    """A NaN in the truth changes nothing but what is averaged; a NaN forecast of a known truth is refused."""
    history, truth, quantiles = cases
    holes = truth.copy()
    holes[0, 5:] = np.nan
    got = evaluate(holes, quantiles, LEVELS, scales(history, 12), history.ids)
    cut = evaluate(truth[:1, :5], quantiles[:1, :5], LEVELS, scales(history, 12)[:1])
    assert got["per"]["series"]["mase"][0] == pytest.approx(cut["mase"])
    assert got["per"]["series"]["wql"][0] == pytest.approx(cut["wql"])
    two = evaluate(truth[1:], quantiles[1:], LEVELS, scales(history, 12)[1:], history.ids[1:])
    np.testing.assert_allclose(got["per"]["step"]["smape"][5:], two["per"]["step"]["smape"][5:])
    with pytest.raises(InputError, match="numbers wherever the truth is known"):
        evaluate(truth, np.where(np.arange(12)[:, None] == 3, np.nan, quantiles), LEVELS, scales(history, 12))


def test_a_constant_history_has_no_mase_and_spoils_no_mean():
    """Series whose scale is zero or unknown are left out of MASE and counted; JSON holds no NaN."""
    history = panel_of(seasonal(40, 4, 0), np.full(40, 7.0), np.array([1.0, 2.0]))
    truth = np.stack([seasonal(44, 4, 0)[40:], np.full(4, 7.0), np.arange(4.0)])
    result = score(
        history,
        truth,
        np.repeat(truth[..., None] + 1, 5, -1),
        LEVELS,
        4,
        beside=["SeasonalNaive"],
    )
    assert result["unscaled"] == 2
    assert result["mase"] == pytest.approx(1 / scales(history, 4)[0])
    assert result["per"]["series"]["mase"][1:] == [None, None]
    assert result["baselines"]["SeasonalNaive"]["per"]["series"]["smape"][1] == 0
    json.dumps(result, allow_nan=False)
    assert "2 series with a constant or too short history" in table(result)


def test_zero_truth_and_zero_forecast_have_no_percentage_error():
    """0 / 0 in sMAPE is 0, and a truth of zeros leaves WQL unknown rather than infinite."""
    got = evaluate(np.zeros((1, 3)), np.zeros((1, 3, 1)), [0.5], np.ones(1))
    assert (got["smape"], got["mase"], got["wql"]) == (0, 0, None)


# -- baselines


def test_seasonal_naive_is_statsforecasts(cases):
    """The vectorised SeasonalNaive has statsforecast's means and intervals."""
    models = pytest.importorskip("statsforecast.models")
    history = cases[0]
    got = seasonal_naive(history, [history.y[history.series(n)] for n in range(3)], 20, 12, LEVELS)
    for n in range(3):
        theirs = models.SeasonalNaive(12).forecast(y=history.y[history.series(n)], h=20, level=[80])
        np.testing.assert_allclose(got[n, :, 2], theirs["mean"])
        np.testing.assert_allclose(got[n, :, 0], theirs["lo-80"])
        np.testing.assert_allclose(got[n, :, 4], theirs["hi-80"])


def test_classical_methods_are_statsforecasts_and_apart_or_together_the_same(cases, monkeypatch):
    """Theta's quantiles are its interval edges, whether one process forecasts or two do."""
    models = pytest.importorskip("statsforecast.models")
    history = cases[0]
    together = baselines(history, 6, 12, LEVELS, ["Theta"])["Theta"]
    monkeypatch.setattr(classical, "APART", 10)
    monkeypatch.setattr(classical.os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    apart = baselines(history, 6, 12, LEVELS, ["Theta"])["Theta"]
    np.testing.assert_array_equal(apart.quantiles, together.quantiles)
    theirs = models.Theta(season_length=12).forecast(y=history.y[history.series(1)], h=6, level=[40, 80])
    for k, edge in enumerate(["lo-80", "lo-40", "mean", "hi-40", "hi-80"]):
        np.testing.assert_array_equal(together.quantiles[1, :, k], theirs[edge])


def test_a_method_that_fails_is_replaced_and_counted(cases):
    """Where a method cannot forecast, SeasonalNaive stands in and the result says for how many series."""
    pytest.importorskip("statsforecast.models")
    history = panel_of(seasonal(60, 4, 0), np.array([3.0]))
    forecasts = baselines(history, 4, 4, LEVELS, ["SeasonalNaive", "AutoETS"])
    assert forecasts["AutoETS"].failed == 1
    np.testing.assert_array_equal(forecasts["AutoETS"].quantiles[1], forecasts["SeasonalNaive"].quantiles[1])
    with pytest.raises(InputError, match="'Prophet'"):
        baselines(history, 4, 4, LEVELS, ["Prophet"])


def test_gaps_are_filled_from_the_season_before():
    """A gap takes the value of the same phase before it, else the line between its neighbours; leading NaN go."""
    nan = np.nan
    np.testing.assert_array_equal(fill(np.array([nan, 1, 2, nan, 4, nan, nan, 7]), 3), [1, 2, 3, 4, 2, 4.5, 7])
    np.testing.assert_array_equal(fill(np.array([1.0, 2, nan]), 1), [1, 2, 2])
    assert len(fill(np.full(4, nan), 2)) == 0


@pytest.mark.parametrize("m", [4, 7])
def test_naive2_repeats_a_season_exactly(m):
    """On a purely seasonal positive series Naive2 repeats the season; on noise and negatives the last value."""
    season = 10 + np.arange(float(m))
    pure, noise = np.tile(season, 9)[:-2], np.random.default_rng(1).uniform(1, 2, 60)
    got = naive2(panel_of(pure, noise, np.tile(season - 50, 9)), m + 2, m)
    np.testing.assert_allclose(got[0], np.tile(season, 10)[len(pure) : len(pure) + m + 2])
    assert (got[1] == noise[-1]).all()
    assert (got[2] == season[-1] - 50).all()


@pytest.mark.skipif(not HOURLY.exists(), reason="the M4 Hourly set is not beside this checkout")
def test_naive2_and_seasonal_naive_have_the_published_m4_scores():
    """M4 Hourly: Naive2 has sMAPE 18.383 and MASE 2.395, the seasonal naive 13.912 and 1.193, as published."""
    frame = pd.read_parquet(HOURLY)
    rolling = roll(panel_of(*(g.to_numpy() for _, g in frame.groupby("series_id", sort=False)["value"])), 48)
    scale = scales(rolling.history, 24)
    two = evaluate(rolling.truth, naive2(rolling.history, 48, 24)[..., None], [0.5], scale)
    assert (round(two["smape"], 3), round(two["mase"], 3)) == (18.383, 2.395)
    naive = baselines(rolling.history, 48, 24, [0.5], ["SeasonalNaive"])["SeasonalNaive"].quantiles
    one = evaluate(rolling.truth, naive, [0.5], scale)
    assert (round(one["smape"], 3), round(one["mase"], 3)) == (13.912, 1.193)


# -- the score and its verdict


def test_score_says_who_won_also_when_it_is_not_us(cases):
    """The best is named by MASE; a perfect forecast wins, a poor one loses, a copy of a baseline does not win."""
    history, truth, quantiles = cases
    won = score(history, truth, quantiles, LEVELS, 12, beside=["SeasonalNaive"])
    assert won["best"] == "LSTM"
    assert "LSTM wins" in verdict(won)
    assert won["baselines"]["SeasonalNaive"]["beaten"] == 1
    lost = score(history, truth, quantiles + 50, LEVELS, 12, beside=["SeasonalNaive"], name="GRU")
    assert lost["best"] == "SeasonalNaive"
    assert verdict(lost).endswith("SeasonalNaive wins on this data.")
    assert "SeasonalNaive ◂ best" in table(lost)
    assert table(won).startswith("3 series, season 12")
    naive = baselines(history, 12, 12, LEVELS, ["SeasonalNaive"])["SeasonalNaive"].quantiles
    assert score(history, truth, naive, LEVELS, 12, beside=["SeasonalNaive"])["best"] == "SeasonalNaive"
    keys = {"mase", "smape", "owa", "wql", "coverage", "baselines", "best", "seconds"}
    assert keys <= set(won)
    two = evaluate(truth, naive2(history, 12, 12)[..., None], [0.5], scales(history, 12))
    assert won["owa"] == pytest.approx((won["mase"] / two["mase"] + won["smape"] / two["smape"]) / 2)


def test_score_refuses_what_it_cannot_measure(cases):
    """No truth, no median, or quantiles of another shape is one clear error."""
    history, truth, quantiles = cases
    with pytest.raises(InputError, match="some truth"):
        score(history, np.full_like(truth, np.nan), quantiles, LEVELS, 12)
    with pytest.raises(InputError, match=r"0\.5 among the levels"):
        score(history, truth, quantiles, [0.1, 0.2, 0.3, 0.4, 0.6], 12)
    with pytest.raises(InputError, match="shape"):
        score(history, truth, quantiles[..., :2], LEVELS, 12)


def test_several_origins_are_no_several_series():
    """Six forecasts of two series are not called six series."""
    rolling = roll(panel_of(seasonal(60, 4, 0), seasonal(50, 4, 1)), 4, 3)
    result = score(
        rolling.history, rolling.truth, np.repeat(rolling.truth[..., None], 5, -1), LEVELS, 4, beside=["SeasonalNaive"]
    )
    assert (result["series"], result["forecasts"]) == (2, 6)
    assert table(result).startswith("6 forecasts of 2 series")


# -- rolling origins


def test_rolled_cases_are_cut_where_they_should_be():
    """Each case is a prefix of its series followed by its truth; the last truth ends with the series."""
    full = panel_of(np.arange(20.0), 100 + np.arange(9.0))
    rolling = roll(full, horizon=3, windows=3, step=2)
    assert rolling.series.tolist() == [0, 1, 0, 1, 0, 1]
    assert rolling.window.tolist() == [0, 0, 1, 1, 2, 2]
    assert rolling.history.lengths.tolist() == [13, 2, 15, 4, 17, 6]
    for c in range(6):
        y = full.y[full.series(int(rolling.series[c]))]
        end = rolling.history.lengths[c]
        np.testing.assert_array_equal(rolling.history.y[rolling.history.series(c)], y[:end])
        np.testing.assert_array_equal(rolling.truth[c], y[end : end + 3])
        np.testing.assert_array_equal(rolling.known[c, :, 0], full.offsets[rolling.series[c]] + np.arange(end, end + 3))
    assert roll(full, 3, 3, 2, min_history=5).series.tolist() == [0, 0, 0, 1]
    with pytest.raises(InputError, match="at least 26 steps, got 20"):
        roll(full, 25)
