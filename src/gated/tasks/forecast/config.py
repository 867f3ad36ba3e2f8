"""What a person may choose about a forecast; every default stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field

from gated import _check


@dataclass(frozen=True)
class Config:
    """Everything but the horizon has a default; None means that the value follows from the data (see `recipe`)."""

    horizon: int = field(metadata={"help": "Steps to forecast."})
    time: str = _check.option("ds", "Column of times: dates or integers.")
    target: str = _check.option("y", "Column of the values to forecast.")
    id: str | None = _check.option(
        None, "Column that names the series: unique_id, and where there is none all rows are one series."
    )
    known: tuple[str, ...] = _check.option((), "Columns known in the future as well (holidays, planned prices).")
    past: tuple[str, ...] = _check.option((), "Columns known only up to now.")
    static: tuple[str, ...] = _check.option((), "Columns that are one value a series.")
    freq: str | None = _check.option(None, "Step of the clock, as pandas names it (h, D, MS …); inferred.")
    season: int | None = _check.option(None, "Steps in a season; follows from the frequency.")
    context: int | None = _check.option(None, "Steps of history that the network reads.")
    width: int | None = _check.option(None, "Units of each LSTM.")
    batch: int | None = _check.option(None, "Windows in a batch.")
    steps: int | None = _check.option(None, "Updates of the weights.")
    lr: float | None = _check.option(None, "Peak learning rate.")
    members: int = _check.option(1, "Networks trained with different seeds and averaged.")
    likelihood: str = _check.option(
        "quantiles", "What the network says of the future.", choices=("quantiles", "student-t", "negative-binomial")
    )
    quantiles: tuple[float, ...] = _check.option((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "Levels to forecast.")
    calibrate: bool = _check.option(True, "Widen or narrow the quantiles by what held-out windows show.")
    time_limit: float | None = _check.option(None, "Stop learning in time: 90s, 10m, 2h.", seconds=True)
    watch: bool = _check.option(
        False, "Record each layer's gradients and gates while it learns; the report shows them."
    )
    device: str = _check.option("auto", "auto, cpu or cuda.")
    seed: int = _check.option(0, "Two runs with one seed are equal.")

    def __post_init__(self) -> None:
        lists = {name: getattr(self, name) for name in ("known", "past", "static", "quantiles")}
        for name, given in lists.items():
            plain = (given,) if isinstance(given, str | float) else () if given is None else tuple(given)
            object.__setattr__(self, name, plain)
        for name, low in (("horizon", 1), ("members", 1), ("seed", 0)):
            _check.settle(self, name, low)
        _check.within("horizon", self.horizon, 1, 100_000)
        for name in ("season", "context", "width", "batch", "steps"):
            if getattr(self, name) is not None:
                _check.settle(self, name, 1)
        for name, low in (("lr", 1e-9), ("time_limit", 0.001)):
            if getattr(self, name) is not None:
                _check.within(name, getattr(self, name), low)
        _check.one_of("device", self.device, ("auto", "cpu", "cuda"))
        _check.one_of("likelihood", self.likelihood, ("quantiles", "student-t", "negative-binomial"))
        ordered = list(self.quantiles) == sorted(set(self.quantiles)) and all(0 < q < 1 for q in self.quantiles)
        _check.want(ordered and 0.5 in self.quantiles, "quantiles", "rising levels between 0 and 1 with 0.5 among them",
                    self.quantiles)  # fmt: skip
