"""The one default recipe, derived from the data by rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gated._check import refuse, want
from gated.features import calendar
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.task import Config

BATCH = 128  # most windows in one, by default
HELD = 32  # windows held out, where a panel has them: fewer calibrate badly


@dataclass(frozen=True)
class Recipe:
    """How to fold the history, and how to train."""

    horizon: int  # h
    season: int  # m
    long: int  # steps in the longer season, 0 without one
    context: int  # whole seasons that the network reads: S
    lags: int  # last values of the same phase that the decoder reads: K
    width: int  # units of each LSTM: H
    dropout: float
    batch: int  # windows: B
    held: int  # steps at the end of each series, in whole horizons, held out from the first part of the training
    first: int  # updates in this part
    second: int  # and then with everything
    lr: float
    likelihood: str
    levels: tuple[float, ...]
    seed: int
    additive: bool = False  # additive series are read without a log; a run of before does not


def derive(panel: Panel, config: Config) -> Recipe:
    """The recipe of a panel: the options that are set, and rules for the rest.

    - m and the longer season by frequency (`calendar.seasons`); no season where no series is longer than one.
    - S = 4 seasons and at least 6 steps; where there is a longer season, two of that, and K = 7 in place of 4.
    - Data finer than a day: H = 128, windows in batches of 64 for 1,500 updates. Else 64, 128 and 500. Horizons beyond
      48 steps take fewer windows, then fewer updates.
    - Three updates of five are made without the last horizon; where there are few series, without so many that there
      are `HELD` windows to judge by, but no more than a fifth of the steps.
    """
    h = config.horizon
    longest = int(panel.lengths.max())
    want(longest > 1, "fit", "a series of at least two steps", "one step in each")
    m, long = calendar.seasons(panel.freq)
    if config.season is not None:
        m, long = config.season, long if long > config.season and long % config.season == 0 else 0
    if longest <= m:
        m, long = 1, 0
    if longest <= 2 * long:
        long = 0
    if np.isnan(panel.y).all():
        refuse("fit", "some observed values", "none")
    if config.likelihood == "negative-binomial":
        counts = panel.y[~np.isnan(panel.y)]
        want(bool((counts >= 0).all()), "likelihood negative-binomial", "values of at least 0", float(counts.min()))
    seasons = 2 * long // m if long else max(4, -(-6 // m))
    if config.context is not None:
        seasons = max(1, -(-config.context // m))
    seasons = min(seasons, max(1, -(-longest // m)))
    fine = m >= 24 and long > 0
    batch = config.batch or int(np.clip((64 if fine else 128) * 48 // max(h, 48), 16, BATCH))
    steps = config.steps or (1500 if fine else 500)
    if config.steps is None and h > 192:
        steps = max(500, steps * 192 // h)
    first = round(0.6 * steps)
    horizons = min(-(-HELD // len(panel)), int(np.median(panel.lengths)) // (5 * h))
    return Recipe(
        horizon=h, season=m, long=long if 2 * long <= seasons * m else 0, context=seasons,
        lags=min(seasons, 7 if long else 4), width=config.width or (128 if fine else 64), dropout=0.1 if fine else 0.2,
        batch=batch, held=h * max(1, horizons), first=first, second=max(1, steps - first),
        lr=config.lr or (6e-3 if fine else 1e-2), likelihood=config.likelihood, levels=tuple(config.quantiles),
        seed=config.seed, additive=True,
    )  # fmt: skip
