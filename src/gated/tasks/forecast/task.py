"""The forecaster's record and its options; every default stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from gated._check import want, within
from gated.options import Training, default, option, required
from gated.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Config(Training):
    """Everything but the horizon has a default; None means that the value follows from the data (see `recipe`)."""

    horizon: int = required("Number of steps to forecast.", low=1, high=100_000)
    time: str = option("ds", "Time column: dates or integers; or the columns of its parts, as in Date,Time.")
    target: str = option("y", "Target column: the values to forecast.")
    id: str | None = option(
        None,
        "Series identifier column, or several, as in shop,product; by default unique_id if present, otherwise all rows "
        "are one series.",
    )
    decimal: str | None = option(
        None,
        "Decimal of numbers that may be read in two ways, such as 10.025; by default it is recognised.",
        choices=(".", ","),
    )
    missing: tuple[str, ...] = option((), "More words for missing values, beside NA, ?, n.a. and the like.")
    wide: bool = option(
        False, "Read a wide table: a column per series, or a row per series with dates across.", flag=True
    )
    encoding: str | None = option(
        None, "Encoding of a text file, such as cp1251; by default UTF-8, UTF-16 or Windows-1252."
    )
    sheet: str | None = option(None, "Sheet of an Excel workbook; by default the first.")
    known: tuple[str, ...] = option((), "Covariate columns known in the future (holidays, planned prices).")
    past: tuple[str, ...] = option((), "Covariate columns known only up to the forecast origin.")
    static: tuple[str, ...] = option((), "Columns with one value per series.")
    time_format: str | None = option(
        None, "Notation of the times: strptime's codes and %q, or s, ms, us, ns, excel, count; recognised by default."
    )
    zone: str | None = option(None, "Time zone of times that name none, such as Europe/Berlin; clock changes follow.")
    freq: str | None = option(
        None, "Frequency as pandas names it (h, D, MS, …), or of a part of the week (D Mon-Sat); inferred by default."
    )
    season: int | None = option(None, "Season length in steps; by default it follows from the frequency.", low=1)
    context: int | None = option(None, "Length of the input window in steps.", low=1)
    width: int | None = option(None, "Hidden units of each LSTM.", low=1)
    batch: int | None = option(None, "Windows in a batch.", low=1)
    lr: float | None = option(None, "Peak learning rate.", low=1e-9)  # pyright: ignore[reportIncompatibleVariableOverride]
    ema: float = default("ema", 0.99)
    patience: int | None = default("patience", 4)
    precision: str = default("precision", "32")  # its products are small: bfloat16 gains nothing
    members: int = option(1, "Number of networks trained with different seeds; their forecasts are averaged.", low=1)
    likelihood: str = option(
        "quantiles", "Output distribution.", choices=("quantiles", "student-t", "negative-binomial")
    )
    quantiles: tuple[float, ...] = option((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "Quantile levels to forecast.")
    calibrate: bool = option(True, "Calibrate the width of prediction intervals on held-out windows.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for level in self.quantiles:
            within("quantiles", level, 0, 1)
        ordered = list(self.quantiles) == sorted(set(self.quantiles)) and all(0 < q < 1 for q in self.quantiles)
        want(ordered and 0.5 in self.quantiles, "quantiles", "rising levels between 0 and 1 with 0.5 among them",
             self.quantiles)  # fmt: skip


TASK = Task(
    name="forecast",
    help="Time series: train on many series at once, forecast with uncertainty.",
    extra="forecast",
    Config=Config,
    metric="mase",
    lower=True,
    artefacts=("held", "report.html", "report.png"),
    verbs={
        "backtest": "Evaluate over rolling origins.",
        "update": "Continue training from saved weights on new rows.",
    },
)
