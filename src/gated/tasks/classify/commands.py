"""`gated classify …`: a function for each verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from gated.io import files
from gated.runs import FitOptions, Output
from gated.tasks.classify import explain, scoring
from gated.tasks.classify import run as classifier
from gated.tasks.classify.run import Prediction, Run
from gated.tasks.classify.task import Config


def fit(
    data: Annotated[str, "DATA"],
    /,
    *,
    valid: Annotated[str | None, "Examples to validate on, in place of some that are held out."] = None,
    options: FitOptions,
    config: Config,
) -> Output:
    return options.output(classifier.fit(data, config=config, valid=valid, **options.words()))


def predict(
    run: Run,
    data: Annotated[str, "[DATA]"] = "-",
    /,
    *,
    top: Annotated[int, "Number of labels to print, likeliest first."] = 1,
    out: Annotated[str, "File to write; - is standard output."] = "-",
) -> Output:
    """A line an example: its label, a tab, its probability, and more of them with `top`; a number is a number."""
    files.check(out)
    dataset = run.read(Path(data))
    rows = run.classify(dataset, top)
    text = "".join(f"{_line(run, one, top)}\n" for one in rows).encode()
    if out != "-":
        files.write(out, text)
    result = {"predictions": [_json(one) for one in rows], "notes": list(dataset.notes)}
    return Output(result, "\n".join(dataset.notes), () if out != "-" else [text])


def score(run: Run, data: str, /) -> Output:
    result = run.score(Path(data))
    return Output(result, lambda: scoring.table(result))


def attend(
    run: Run,
    data: Annotated[str, "INPUT"],
    /,
    *,
    row: Annotated[int, "Which example of a file, from 1."] = 1,
    label: Annotated[str | None, "Label to explain, by default the likeliest."] = None,
    out: Annotated[Path | None, "PNG or SVG file for the picture."] = None,
) -> Output:
    return Output(*explain.attend(run, data, out, row=row, label=label))


def _line(run: Run, one: Prediction, top: int) -> str:
    if one.probability is None:
        return f"{one.label:.6g}"
    if top > 1:
        return "\t".join(f"{label}\t{p:.4f}" for label, p in one.top)
    label = run.config.separator.join(one.label) if isinstance(one.label, tuple) else one.label
    return f"{label}\t{one.probability:.4f}"


def _json(one: Prediction) -> dict[str, Any]:
    if one.probability is None:
        return {"place": one.place, "number": one.label, "spread": one.spread}
    key = "labels" if isinstance(one.label, tuple) else "label"
    label = list(one.label) if isinstance(one.label, tuple) else one.label
    top = [{"label": name, "probability": p} for name, p in one.top]
    return {"place": one.place, key: label, "probability": one.probability, "top": top}
