"""`gated forecast`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gated.cli.words import EXISTING, JSON, QUIET, VERBS, commas, flag, given, options, show

MORE = {
    "backtest": "Score over rolling origins.",
    "update": "Go on learning from saved weights on new rows.",
}


def command(verb: str) -> click.Command:
    from gated.tasks import forecast as task

    def fit(data: str, out: Path, resume: bool, quiet: bool, as_json: bool, **words: Any) -> None:
        run = task.fit(data, out=out, resume=resume, progress=not quiet, **given(task.Config, words))
        held = run.report(out)
        if as_json or not quiet:
            show({"run": str(out), **run.metrics, "held_out": held}, as_json, lambda: told(run, held))

    def told(run: Any, held: dict[str, Any] | None) -> str:
        return run.summary() + ("" if held is None else "\n\nThe horizon held out: " + task.table(held))

    def predict(run: Path, data: str | None, future: str | None, out: str, samples: int) -> None:
        frame = task.load(run).predict(data, future=future, samples=samples)
        task.write(frame, out)

    def score(run: Path, data: str, per: tuple[str, ...], as_json: bool) -> None:
        result = task.load(run).score(data, per=per or ())
        show(result, as_json, lambda: task.table(result))

    def backtest(run: Path, data: str | None, windows: int, step: int | None, refit: bool, as_json: bool) -> None:
        result = task.load(run).backtest(data, windows=windows, step=step, refit=refit)
        show(result, as_json, lambda: task.table(result))

    def update(run: Path, data: str, out: Path, steps: int | None, quiet: bool, as_json: bool) -> None:
        new = task.load(run).update(data, steps=steps, out=out, progress=not quiet)
        if as_json or not quiet:
            show({"run": str(out), **new.metrics}, as_json, lambda: new.summary())

    run, data = click.Argument(["run"], type=EXISTING), click.Argument(["data"])
    more = click.Argument(["data"], required=False)
    to = click.Option(["--out"], type=click.Path(path_type=Path), required=True, help="Folder of the run to write.")
    params: dict[str, list[click.Parameter]] = {
        "fit": [data, to, flag("resume", "Go on where a stopped fit left off."), QUIET, JSON, *options(task.Config)],
        "predict": [
            run, more,
            click.Option(["--future"], help="File with the known columns of the steps to come."),
            click.Option(["--out"], default="-", show_default=True, help="CSV or Parquet file; - is standard output."),
            click.Option(["--samples"], type=int, default=0, help="Sample paths instead of quantiles."),
        ],
        "score": [
            run, data,
            click.Option(
                ["--per"], callback=commas(str), default="", metavar="step,series", help="Detail by step or series."
            ),
            JSON,
        ],
        "backtest": [
            run, more,
            click.Option(["--windows"], type=int, default=3, show_default=True, help="Origins."),
            click.Option(["--step"], type=int, help="Steps between origins; the horizon."),
            flag("refit", "Learn anew at every origin."), JSON,
        ],
        "update": [run, data, to, click.Option(["--steps"], type=int, help="Updates of the weights."), QUIET, JSON],
    }  # fmt: skip
    calls = {"fit": fit, "predict": predict, "score": score, "backtest": backtest, "update": update}
    return click.Command(verb, params=params[verb], callback=calls[verb], help=(VERBS | MORE)[verb])
