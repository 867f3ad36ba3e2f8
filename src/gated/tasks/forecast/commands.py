"""`gated forecast …`: a function for each verb."""

from __future__ import annotations

import json
from typing import Annotated, Any

from gated.io import files
from gated.runs import FitOptions, OutOptions, Output
from gated.tasks.forecast import run as forecaster
from gated.tasks.forecast.run import Run
from gated.tasks.forecast.scoring import table
from gated.tasks.forecast.task import Config


def fit(data: str, /, *, options: FitOptions, config: Config) -> Output:
    run = forecaster.fit(data, config, **options.words())
    held = run.report(options.out)

    def text() -> str:
        return run.summary() + ("" if held is None else "\n\nThe held-out horizon: " + table(held))

    return options.output(run, text, held_out=held)


def predict(
    run: Run,
    data: str | None = None,
    /,
    *,
    future: Annotated[str | None, "File with the known covariates of the steps to forecast."] = None,
    out: Annotated[str, "CSV or Parquet file; - is standard output."] = "-",
    samples: Annotated[int, "Number of sample paths in place of quantiles."] = 0,
) -> Output:
    files.check(out, (".csv", ".parquet"))
    frame, csv = run.predict(data, future=future, samples=samples), []
    if out == "-":
        csv = [frame.to_csv(index=False).encode()]
    else:
        with files.create(out) as file:
            (frame.to_parquet if out.lower().endswith(".parquet") else frame.to_csv)(file, index=False)
    notes = frame.attrs["notes"]

    def result() -> dict[str, Any]:
        return {"rows": json.loads(frame.to_json(orient="records", date_format="iso")), "notes": notes}

    return Output(result, "\n".join(notes), data=csv)


def score(
    run: Run,
    data: str,
    /,
    *,
    per: Annotated[tuple[str, ...], "Detail by step or series."] = (),
) -> Output:
    result = run.score(data, per=per)
    return Output(result, lambda: table(result))


def backtest(
    run: Run,
    data: str | None = None,
    /,
    *,
    windows: Annotated[int, "Number of forecast origins."] = 3,
    step: Annotated[int | None, "Steps between origins; the horizon by default."] = None,
    refit: Annotated[bool, "Train anew at every origin."] = False,
) -> Output:
    result = run.backtest(data, windows=windows, step=step, refit=refit)
    return Output(result, lambda: table(result))


def update(
    run: Run,
    data: str,
    /,
    *,
    options: OutOptions,
    steps: Annotated[int | None, "Number of weight updates."] = None,
) -> Output:
    return options.output(run.update(data, steps=steps, **options.words()))
