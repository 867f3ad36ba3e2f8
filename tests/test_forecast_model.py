"""The forecaster's windows, network and likelihoods: what they promise before training and after it."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

pytest.importorskip("pandas")

from gated._check import InputError
from gated.tasks.forecast import features, likelihood
from gated.tasks.forecast.model import Network, bound, renew, shrink
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.recipe import derive
from gated.tasks.forecast.task import Config
from gated.tasks.forecast.windows import Windows

LIKELIHOODS = ("quantiles", "student-t", "negative-binomial")
LEVELS = Config(horizon=1).quantiles
random = np.random.default_rng


def panel(*series, freq="MS", past=0, known=0, static=0, seed=0):
    """A panel of these values, with random covariates."""
    offsets = np.r_[0, np.cumsum([len(s) for s in series])]
    unit = {"MS": "M", "YS": "Y", "h": "h", "30min": "m", "D": "D", "W-SUN": "D", "1": ""}[freq]
    step = {"30min": 30, "W-SUN": 7}.get(freq, 1)
    clock = lambda n: np.datetime64("2001-01-07", unit) + step * np.arange(n) if unit else np.arange(n)  # noqa: E731
    times = np.concatenate([clock(len(s)).astype("datetime64[ns]") if unit else clock(len(s)) for s in series])
    draw, L = random(seed), offsets[-1]
    return Panel(
        ids=np.arange(len(series)), offsets=offsets, y=np.concatenate(series).astype(float), times=times, freq=freq,
        past=draw.normal(size=(L, past)), known=draw.normal(size=(L, known)),
        static=draw.normal(size=(len(series), static)),
    )  # fmt: skip


def months(n=90, seed=0, level=100.0):
    """A series with a year in it."""
    t = np.arange(n)
    return level * (1 + 0.3 * np.sin(t * np.pi / 6) + 0.004 * t + 0.05 * random(seed).normal(size=n))


def build(data, horizon=6, moved=0.0, **options):
    """Windows of a panel and a network for them, its heads moved away from zero by `moved`."""
    chosen = derive(data, Config(horizon=horizon, width=8, batch=16, **options))
    windows = Windows(data, chosen)
    network = Network(windows).eval()
    for layer in (network.head, network.gate):
        torch.nn.init.normal_(layer.weight, std=moved)
    return windows, network


def forecast(windows, network):
    return likelihood.quantiles(network, windows.at(*windows.last()))


def same(a, b, but=()):
    names = [f.name for f in fields(a) if f.name not in but]
    return {name for name in names if not torch.equal(getattr(a, name).nan_to_num(9), getattr(b, name).nan_to_num(9))}


# ---- features


def test_smoothing_is_the_recursion_written_out():
    """Without a season, levels are exponential smoothing and drifts least-squares slopes; gaps change neither."""
    x = random(1).normal(size=40)
    x[[5, 17, 18]] = np.nan
    smoothed = features.smooth(x[None], 1)
    drift = np.split(smoothed.state[-1, 0], np.cumsum(features.PARTS))[3]
    level = 0.0
    for n, value in enumerate(x[~np.isnan(x)]):
        level += max(features.ALPHAS[features.CENTRE], 1 / (n + 1)) * (value - level)
    t = np.flatnonzero(~np.isnan(x))
    assert smoothed.state[-1, 0, 0] == pytest.approx(level)
    assert drift[0] == pytest.approx(np.polyfit(t, x[t], 1)[0])
    assert smoothed.fill[5, 0] == pytest.approx(smoothed.state[4, 0, 0])
    weights = 0.9 ** (len(x) - 1 - np.arange(len(x), dtype=float))
    assert drift[1] == pytest.approx(np.polyfit(t, x[t], 1, w=np.sqrt(weights[t]))[0])


@pytest.mark.parametrize("m", [4, 7, 12])
def test_a_pure_season_is_found(m):
    """A season that repeats exactly is forecast by all bases, by Theta up to the drift of its first season."""
    season = 10 + random(m).normal(size=m)
    data = replace(panel(np.tile(season, 9)[: 9 * m - 2]), freq={4: "QS", 7: "D", 12: "MS"}[m])
    windows = Windows(data, derive(data, Config(horizon=2 * m)))
    b = windows.at(*windows.last())
    truth = np.tile(season, 11)[9 * m - 2 : 11 * m - 2]
    for base, near in ((0, 1e-5), (1, 5e-3), (2, 1e-2)):
        y = likelihood.units(b.bases[..., base], b) * b.unit + b.origin
        np.testing.assert_allclose(y[0].numpy(), truth, rtol=near)


# ---- windows


def test_a_batch_is_a_function_of_its_number():
    """Batch n is the same at any time, in any order and of other windows, and differs with n and the seed."""
    data = panel(months(), months(60, 1))
    chosen = derive(data, Config(horizon=6))
    windows = Windows(data, chosen)
    third = windows.batch(3)
    windows.batch(7)
    assert not same(third, windows.batch(3))
    assert not same(third, Windows(data, chosen).batch(3))
    assert same(third, windows.batch(4))
    assert same(third, Windows(data, replace(chosen, seed=1)).batch(3))


@pytest.mark.parametrize("negative", [False, True])
def test_the_future_reaches_no_input(negative):
    """Values and past covariates after the origin change nothing that the network is given there."""
    data = panel(months() - 90 * negative, months(80, 2) - 90 * negative, past=2, known=1)
    later = np.concatenate([np.arange(90), np.arange(80)]) >= 50
    y = np.where(later, data.y * 1.7 + 3, data.y)
    changed = replace(data, y=y, past=np.where(later[:, None], 99.0, data.past))
    chosen = derive(data, Config(horizon=6))
    series, ends = torch.arange(2), torch.tensor([50, 50])
    before, after = (Windows(d, chosen).at(series, ends) for d in (data, changed))
    assert same(before, after) == {"y", "scale"}


def test_what_is_held_back_is_never_a_target():
    """With steps held back, no batch holds a truth from them, and the last origin is before them."""
    data = panel(np.arange(1.0, 91), np.arange(1.0, 41))
    windows = Windows(data, derive(data, Config(horizon=6)))
    for n in range(20):
        b = windows.batch(n, held=6)
        y = b.y * b.unit + b.origin
        assert y[~y.isnan()].max() <= 84.5
    assert windows.last(6)[1].tolist() == [84, 34]


# ---- the network


def test_untrained_it_is_the_mean_of_the_bases():
    """Untrained, the median is the mean of the three bases on the smooth scale, whatever the other weights."""
    windows, network = build(panel(months(), months(30, 1)), likelihood="quantiles")
    b = windows.at(*windows.last())
    expected = likelihood.units(b.bases.mean(-1), b) * b.unit + b.origin
    torch.testing.assert_close(forecast(windows, network)[..., 4].float(), expected)
    naive = windows.y[windows.start[0] + windows.lengths[0] - 12 + torch.arange(6)]
    got = likelihood.units(b.bases[..., 0], b) * b.unit
    torch.testing.assert_close(got[0], naive.float())


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_quantiles_never_cross(kind):
    """Whatever the weights, quantiles rise with their level; after calibration too."""
    windows, network = build(panel(months(), months(30, 1)), moved=2.0, likelihood=kind)
    q = forecast(windows, network).numpy()
    assert (np.diff(q, axis=-1) >= 0).all()
    widths = random(0).uniform(0.25, 4, size=q.shape[1:])
    wide = likelihood.widen(q, widths, LEVELS)
    assert (np.diff(wide, axis=-1) >= 0).all()
    np.testing.assert_array_equal(wide[..., 4], q[..., 4])


HARD = {
    "gaps": np.where(random(0).random(90) < 0.3, np.nan, months()),
    "one long gap": np.where(np.abs(np.arange(90) - 60) < 20, np.nan, months()),
    "gap at the start": np.where(np.arange(90) < 30, np.nan, months()),
    "gap at the end": np.where(np.arange(90) > 70, np.nan, months()),
    "nothing observed": np.full(40, np.nan),
    "one value": np.array([3.0]),
    "three values": np.array([3.0, 4.0, 5.0]),
    "constant": np.full(60, 7.0),
    "zeros": np.zeros(60),
    "counts": random(1).poisson(0.3, 90).astype(float),
    "zeros first": np.r_[np.zeros(50), random(1).poisson(3, 40)].astype(float),
    "negative": -months(),
    "across zero": months() - 100,
    "far from zero": 1e6 + months(level=1.0),
    "huge": months() * 1e12,
    "tiny": months() * 1e-12,
    "outlier": np.where(np.arange(90) == 40, 1e9, months()),
}


@pytest.mark.parametrize("kind", LIKELIHOODS)
@pytest.mark.parametrize("freq", ["MS", "YS"])
def test_hard_series_give_finite_losses_gradients_and_forecasts(kind, freq):
    """Gaps, constants, counts, negatives and series of any length leave losses, gradients, forecasts finite."""
    series = [s for s in HARD.values() if kind != "negative-binomial" or not (np.nan_to_num(s) < 0).any()]
    data = replace(panel(*series, past=1, known=1, static=1), freq=freq)
    data.past[::3] = np.nan
    windows, network = build(data, moved=0.1, likelihood=kind)
    network.train()
    for n in range(3):
        loss = likelihood.loss(network, windows.batch(n))
        loss.backward()
        assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    q = forecast(windows, network.eval())
    assert q.isfinite().all()
    assert len(q) == len(series)


@pytest.mark.parametrize("freq", ["1", "YS", "D", "W-SUN", "h", "30min"])
def test_every_frequency_and_length_is_served(freq):
    """Clocks from half an hour to a year and integers work, on one series shorter than the context too."""
    for n in (14, 150):
        data = panel(months(n), freq=freq)
        windows, network = build(data, horizon=8)
        assert likelihood.loss(network, windows.batch(0)).isfinite()
        assert forecast(windows, network).isfinite().all()


@pytest.mark.parametrize("shift", [0.0, -500.0])
def test_forecasts_scale_with_the_data(shift):
    """Data times a million are forecast a million times as high; where values are negative, moved data move it."""
    data = panel(months() + shift, months(50, 1) + shift)
    windows, network = build(data, moved=0.5)
    q = forecast(windows, network)
    big = Windows(replace(data, y=data.y * 1e6), windows.recipe)
    torch.testing.assert_close(forecast(big, network), q * 1e6, rtol=1e-3, atol=1e3)
    if shift:
        moved = Windows(replace(data, y=data.y - 300), windows.recipe)
        torch.testing.assert_close(forecast(moved, network), q - 300, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", ["past", "known", "static", "future"])
def test_covariates_reach_the_forecast(name):
    """Past, known and static covariates change the forecast, and of known ones also the values yet to come."""
    data = panel(months(), past=1, known=1, static=1)
    windows, network = build(panel(months(), months(80, 1), past=1, known=1, static=1), moved=0.5)
    coming = np.zeros((1, 6, 1))
    changed, other = data, coming
    if name == "future":
        other = coming + 1
    else:
        changed = replace(data, **{name: getattr(data, name) + 1})
    a, b = (Windows(d, windows.recipe, f) for d, f in ((data, coming), (changed, other)))
    assert not torch.allclose(forecast(a, network), forecast(b, network))


@pytest.mark.parametrize(("change", "trust"), [(1.0, 1), (2.0, 0), (0.3, 0)])
@pytest.mark.parametrize("others", [0, 3])
def test_after_a_change_beyond_all_training_the_new_level_holds(change, trust, others):
    """A level that doubles or falls within the last horizon goes on with its season; else the network counts."""
    y, noisy = months(130), [months(110, n) * np.exp(0.3 * random(n).normal(size=110)) for n in range(others)]
    y[120:] *= change
    windows, network = build(panel(y[:124], *noisy), moved=3.0)
    b = windows.at(*windows.last())
    free = network(b)[0]
    bound(network, windows, 0)
    bounded = network(b)[0]
    torch.testing.assert_close(bounded[0], free[0] if trust else b.flat[0])
    torch.testing.assert_close(bounded[1:], free[1:])
    if not trust:
        np.testing.assert_allclose((likelihood.units(bounded, b) * b.unit)[0].detach().numpy(), y[124:], rtol=0.15)
    network.drop.p = 0.0
    torch.testing.assert_close(network.train()(b)[0], free)


def test_a_change_that_training_had_is_no_news():
    """A second level shift like one in the middle of the history leaves the network in place."""
    y = months(150)
    y[80:] *= 2
    y[-4:] *= 2
    windows, network = build(panel(y), moved=3.0)
    b = windows.at(*windows.last())
    free = network(b)[0]
    bound(network, windows, 0)
    torch.testing.assert_close(network(b)[0], free)


def test_shrinkage_is_for_forecasts_only():
    """w moves forecasts towards a base by that share, and is no part of training."""
    data = panel(*(np.cumsum(random(n).normal(size=90)) for n in range(20)))
    windows, network = build(data, moved=3.0)
    b = windows.at(*windows.last())
    free = network(b)[0]
    assert shrink(network, windows, 6) > 0
    w = network.shrinkage
    torch.testing.assert_close(network(b)[0], free + w.sum() * (b.bases[..., 1 + int(w.argmax())] - free))
    network.drop.p = 0.0
    torch.testing.assert_close(network.train()(b)[0], free)


@pytest.mark.parametrize(("end", "low", "high"), [(120, 0.9, 0.91), (60, 0.0, 0.5)])
def test_a_base_prevails_unless_the_network_adds_to_it(end, low, high):
    """Beside last values a base counts nine tenths where a ramp goes on, and at most half where it has ended."""
    y = np.minimum(np.arange(120.0), end) - 500
    windows, network = build(panel(y, 2 * y, freq="YS"))
    network.gate.bias.data = torch.tensor([30.0, 0.0, 0.0])
    assert low <= round(shrink(network, windows, 6), 6) <= high


@pytest.mark.parametrize(
    ("series", "log"),
    [
        (lambda t, s, e: 100 + 2 * t + 30 * s + 3 * e, False),
        (lambda t, s, e: 300 - 2 * t + 30 * s + 3 * e, False),
        (lambda t, s, e: (100 + 2 * t) * (1 + 0.3 * s + 0.03 * e), True),
        (lambda t, s, e: 100 * np.where(t < 90, 1, 2) * (1 + 0.3 * s + 0.03 * e), True),
        (lambda t, s, e: 100 + 30 * s + 3 * e, True),
        (lambda t, s, e: np.where(t % 12 == 5, np.nan, 100 + 2 * t + 30 * s + 3 * e), True),
    ],
    ids=["additive", "additive and falling", "multiplicative", "shift", "no trend", "gaps in every season"],
)
def test_a_season_that_keeps_its_size_needs_no_log(series, log):
    """A log scale is for seasons that grow with the level, and where nothing shows whether they do."""
    t = np.arange(96)
    y = series(t, np.sin(t * np.pi / 6), random(0).normal(size=96))
    assert features.scale(y[None], 12)[3].tolist() == [log]
    assert features.scale(y[None], 12, plain=False)[3].tolist() == [True]


def test_networks_of_before_load():
    """The tensors of a network with two bases and one shrinkage fill one of today, whose third base counts nothing."""
    windows, network = build(panel(months()), moved=1.0)
    state = {f"0.{name}": tensor.clone() for name, tensor in network.state_dict().items() if name != "novelty"}
    state |= {"0.gate.weight": state["0.gate.weight"][:2], "0.gate.bias": state["0.gate.bias"][:2]}
    state |= {"0.shrinkage": torch.tensor(0.2), "0.largest": torch.tensor(0.1)}
    renew(state, "0.")
    network.load_state_dict({name.removeprefix("0."): tensor for name, tensor in state.items()})
    assert network.shrinkage.tolist() == pytest.approx([0.2, 0.0])
    b = windows.at(*windows.last())
    other = replace(b, bases=b.bases + torch.tensor([0.0, 0.0, 5.0]))
    torch.testing.assert_close(network(other)[0], network(b)[0])


def test_negative_counts_are_refused():
    """A negative binomial of data with negative values is refused by name."""
    with pytest.raises(InputError, match="negative-binomial"):
        derive(panel(-months()), Config(horizon=3, likelihood="negative-binomial"))


# ---- likelihoods


def test_student_quantiles_are_those_of_the_tables():
    """The quantiles of Student's t agree with the printed tables to three digits or so."""
    z = torch.tensor([1.281552, 1.644854], dtype=torch.float64)
    for nu, expected in ((5, (1.4759, 2.0150)), (10, (1.3722, 1.8125)), (3, (1.6377, 2.3534))):
        got = likelihood._student_quantile(z, torch.tensor(float(nu)))
        np.testing.assert_allclose(got.numpy(), expected, rtol=6e-3)


def test_the_losses_are_the_log_likelihoods_of_torch():
    """Student's t and the negative binomial have the densities that torch's distributions have."""
    counts = random(0).poisson(5, 60).astype(float) + 1
    for kind in LIKELIHOODS[1:]:
        windows, network = build(panel(counts), moved=0.3, likelihood=kind)
        b = windows.batch(0)
        centre, rest = network(b)
        ok = ~b.y.isnan()
        if kind == "student-t":
            sigma, nu = b.error * (softplus(rest[..., 0]) + 1e-3), 3 + softplus(rest[..., 1] + 2)
            x = torch.where(b.log, (b.y + features.SMALL).log(), b.y)
            expected = -torch.distributions.StudentT(nu, centre, sigma).log_prob(x) - b.error.log()
        else:
            mean = (likelihood.units(centre, b) * b.unit + b.origin).clamp(min=1e-3)
            r = 1 / (softplus(rest[..., 0]) + 1e-4)
            law = torch.distributions.NegativeBinomial(r, probs=mean / (r + mean))
            expected = -law.log_prob((b.y * b.unit + b.origin).round())
        torch.testing.assert_close(likelihood.loss(network, b), expected[ok].mean(), rtol=1e-3, atol=1e-4)


def test_calibration_restores_coverage():
    """Quantiles too narrow by half are widened until held-out truth falls inside as often as they say."""
    draw = random(0)
    z = np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816])
    q = np.broadcast_to(10 + 0.5 * z, (2000, 4, 9))
    y = 10 + draw.normal(size=(2000, 4))
    wide = likelihood.widen(q, likelihood.calibrate(q, y, LEVELS), LEVELS)
    fresh = 10 + draw.normal(size=(2000, 4))
    assert ((fresh >= wide[..., 0]) & (fresh <= wide[..., -1])).mean() == pytest.approx(0.8, abs=0.03)


def test_counts_and_few_windows_are_calibrated_with_care():
    """Quantiles that are counts stay as they are, and one window moves a width less than many like it do."""
    draw = random(0)
    q = np.sort(draw.poisson(4, (50, 4, 9)).astype(float), -1)
    assert (likelihood.calibrate(q, draw.poisson(4, (50, 4)).astype(float), LEVELS) == 1).all()
    wide, truth = np.linspace(-1, 1, 9) * np.ones((50, 12, 1)), 3 * draw.normal(size=(1, 12)) * np.ones((50, 1))
    few, many = (likelihood.calibrate(wide[:n], truth[:n], LEVELS)[:, 0] for n in (1, 50))
    assert (abs(few - 1) < abs(many - 1)).all()


def test_paths_have_the_quantiles_and_the_persistence():
    """Paths fall below each quantile as often as it says and hang together by ρ; seeds repeat them."""
    q = np.broadcast_to(np.arange(1.0, 10) ** 1.5, (1, 5, 9)).copy()
    draws = likelihood.paths(q, LEVELS, 0.8, 20_000, seed=3)
    np.testing.assert_allclose([(draws[0, 4] <= v).mean() for v in q[0, 0]], LEVELS, atol=0.015)
    assert np.corrcoef(draws[0, 3], draws[0, 4])[0, 1] == pytest.approx(0.8, abs=0.05)
    np.testing.assert_array_equal(draws, likelihood.paths(q, LEVELS, 0.8, 20_000, seed=3))
    truth = np.stack([likelihood.paths(q, LEVELS, 0.6, 1, seed)[0, :, 0] for seed in range(1500)])
    assert likelihood.persistence(np.repeat(q, 1500, 0), truth, LEVELS) == pytest.approx(0.6, abs=0.1)
