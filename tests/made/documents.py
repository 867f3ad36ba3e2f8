"""Documents of every kind of input, made up: what the page is tried on."""

from __future__ import annotations

import numpy as np

from gated.probe.document import Attribution, Document, Example, Flow, HalfLives, Health, Layer
from gated.views import Input, Mark


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(steps, units=4, *, name="encoder, layer 1", seed=0, stride=1.0, reverse=False, of=32, chosen=None):
    """A layer whose cells obey c = f c + i g, in the direction of its time."""
    rng = np.random.default_rng(seed)
    shape = (units, steps)
    smooth = np.apply_along_axis(np.convolve, 1, rng.normal(size=shape), np.ones(5) / 5, "same") if steps > 5 else 0.0
    f = sigmoid(rng.normal(size=shape) * 0.7 + 2 + np.arange(units)[:, None] + smooth)
    i, o = sigmoid(rng.normal(size=shape) - 1 + 3 * smooth), sigmoid(rng.normal(size=shape) + smooth)
    g = np.tanh(rng.normal(size=shape) + 2 * smooth)
    c, state, write = np.zeros(shape), np.full(units, 0.25), i * g
    for t in range(steps)[:: -1 if reverse else 1]:
        state = f[:, t] * state + write[:, t]
        c[:, t] = state
    values = {"i": i, "f": f, "g": g, "o": o, "c": c, "h": o * np.tanh(c)}
    chosen = tuple(chosen or range(3, 3 + 2 * units, 2))
    return Layer(name, "LSTM", of, chosen, values, stride, reverse, "c", f, write)


def gru(steps, units=3, *, name="decoder", seed=1):
    rng = np.random.default_rng(seed)
    z, r, n = (
        sigmoid(rng.normal(size=(units, steps)) + 1),
        sigmoid(rng.normal(size=(units, steps))),
        np.tanh(rng.normal(size=(units, steps))),
    )
    h, state, write = np.zeros((units, steps)), np.zeros(units), (1 - z) * n
    for t in range(steps):
        state = z[:, t] * state + write[:, t]
        h[:, t] = state
    return Layer(name, "GRU", 16, tuple(range(units)), {"r": r, "z": z, "n": n, "h": h}, 1.0, False, "h", z, write)


def both(steps, **words):
    """One layer, forward and backward."""
    first = lstm(steps, name="encoder, layer 1, forward", seed=2, **words)
    return (first, lstm(steps, name="encoder, layer 1, backward", seed=3, reverse=True, **words))


def values(steps=240, seed=4):
    """A series by the day, with a gap, and a covariate."""
    rng = np.random.default_rng(seed)
    days = tuple(str(np.datetime64("2024-01-01") + np.timedelta64(s, "D")) for s in range(steps))
    t = np.arange(steps)
    sales = 120 + 0.12 * t + 22 * np.sin(2 * np.pi * t / 7) + 6 * rng.normal(size=steps)
    sales[steps // 3 : steps // 3 + 6] = np.nan
    curves = {"sales": sales, "price": 9 + (t // 40) % 3 + 0.0}
    shares = rng.normal(size=steps) * np.exp((t - steps) / 15)
    why = Attribution("sales, 3 days ahead", 131.5, 131.5 - float(shares.sum()), shares)
    given = Input("values", steps, "day", days, values=curves, output="Forecast for the next 7 days: 128 to 163 a day.")
    return Example("shop 12", given, (lstm(steps), lstm(steps, name="encoder, layer 2", seed=9), gru(steps)), (why,))


def tokens(words="Ein Mann schläft im Gras , während sein Hund am Ufer des Sees auf ihn wartet . </s>"):
    labels = tuple(words.split())
    rng = np.random.default_rng(5)
    why = tuple(Attribution(f"the token `{w}`", 0.9, 0.1, rng.normal(size=len(labels)) / 10) for w in ("man", "lake"))
    said = "A man sleeps in the grass while his dog waits for him on the shore of the lake."
    return Example("sentence 1", Input("tokens", len(labels), "token", labels, output=said), both(len(labels)), why)


def sound(frames=400):
    rng = np.random.default_rng(6)
    t, bands = np.arange(frames), np.arange(40)[:, None]
    picture = np.exp(-((bands - 12 - 8 * np.sin(t / 30)) ** 2) / 14) * (0.3 + (np.sin(t / 17) > -0.2)) * 6
    picture = picture + np.exp(-((bands - 27 - 5 * np.cos(t / 41)) ** 2) / 20) * 3 + rng.normal(size=(40, frames)) * 0.3
    marks = (Mark(30, 95, "seven"), Mark(140, 210, "three"), Mark(260, 262, "a"), Mark(290, 370, "nine"))
    given = Input(
        "sound", frames, "second", scale=(0.0, 0.01), picture=picture, marks=marks, output="Heard: seven three a nine."
    )
    shares = rng.normal(size=frames) * np.exp(-((t - 175) ** 2) / 900)
    why = Attribution("the word `three`", 4.2, -0.3, shares, shares * np.exp(-((bands - 15) ** 2) / 60))
    return Example("call.wav", given, both(frames // 4, stride=4.0), (why,))


def print_(columns=420):
    rng = np.random.default_rng(7)
    picture = np.zeros((32, columns))
    for n, x in enumerate(range(10, columns - 20, 17)):
        picture[8:24, x : x + 3] = 1
        picture[8 + 5 * (n % 3), x : x + 10] = 0.8
        picture[(6, 14, 22)[n % 3] : 24, x + 8 : x + 11] = 1
    marks = tuple(Mark(x, x + 12, "letters of print"[n % 16]) for n, x in enumerate(range(10, columns - 20, 17)))
    given = Input("print", columns, "column", picture=picture, marks=marks, output="Read: letters of print.")
    shares = rng.normal(size=columns) * np.exp(-((np.arange(columns) - 120) ** 2) / 400)
    why = Attribution("the letter `t`", 3.1, 0.2, shares, shares * picture)
    return Example("page-3.png", given, both(columns // 2, stride=2.0), (why,))


def long(steps=100_000, units=8, spike=31_415):
    """100,000 steps, flat but for one of them."""
    flat = np.full(steps, 0.5)
    flat[spike] = 5.0
    keep = lstm(steps, units, name="memory", seed=8)
    keep.values["o"][:] = 0.5
    keep.values["o"][0, spike] = 0.99
    given = Input("values", steps, "step", values={"signal": flat})
    return Example("long", given, (keep,))


def document(*examples, title="Sales of two shops", task="forecast", **parts):
    rng = np.random.default_rng(10)
    lives = np.exp(rng.normal(size=32) * 1.6 + 2)
    lives[3], lives[20] = np.inf, np.inf
    rows = tuple(
        {
            "step": 10 * n, "loss": 2 * np.exp(-n / 30) + 0.4, "valid": 2.1 * np.exp(-n / 30) + 0.5,
            "lr": 1e-3 * (1 - n / 101), "seconds": n * 0.5, "grad_norm": 3 * np.exp(-n / 50),
            "clipped": max(0.0, 0.8 - n / 60),
            "grad_norm:encoder.layers.0": 0.2 + n / 500, "grad_norm:encoder.layers.1": 2.0 + n / 50,
            "open:encoder.layers.0.f": n / 120, "open:encoder.layers.0.i": 0.1, "shut:encoder.layers.0.f": 0.02,
        }
        for n in range(100)
    )  # fmt: skip
    lags = np.arange(0.0, 100)
    flow = tuple(
        Flow(name, "encoder, layer 1", lags, norms, said)
        for name, norms, said in (
            ("before training", {"h": 0.9**lags, "c": 1.2 * 0.93**lags}, "vanishes: a thousandth after 66 steps."),
            ("after training", {"h": 0.5 * 0.99**lags, "c": 0.985**lags}, "lives on: a third after 100 steps."),
            ("an RNN of the same size", {"h": 0.5**lags}, "vanishes: a thousandth after 10 steps."),
        )
    )  # fmt: skip
    whole = {
        "summary": (
            "An LSTM of 2 layers of 32 units, trained for 1,000 steps on 24 series.",
            "Half of its units forget within 8 days; two never do.",
        ),
        "half_lives": (
            HalfLives("encoder, layer 1", lives, "Half of the units forget within 7.9 steps; 2 never forget."),
            HalfLives("encoder, layer 2", np.exp(rng.normal(size=32)), "Half of the units forget within 1.1 steps."),
        ),
        "flow": flow,
        "health": (
            Health("encoder, layer 1", "f", 0.44, 0.0, 0.0, ""),
            Health("encoder, layer 1", "o", 0.03, 0.31, 0.12, "A third of the gates are shut: try fewer units."),
        ),
        "history": rows,
    }  # fmt: skip
    return Document(title, task, examples=examples, **{**whole, **parts})
