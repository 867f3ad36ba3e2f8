"""Accuracy and time of the forecaster's default recipe, beside the classical methods and NeuralForecast's LSTM.

    python benchmarks/forecast.py                      every set, three seeds, results/forecast.{json,md}
    python benchmarks/forecast.py --sets m4-hourly     one set; the others' results stay
    python benchmarks/forecast.py --peer PYTHON        a Python that has neuralforecast, timed in the same run

Each figure is of the test part, forecast once after a fit on everything before it. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from forecast_sets import SETS, Set
from gated.io.tables import read
from gated.tasks import forecast
from gated.tasks.forecast import frame, scoring
from gated.tasks.forecast.schema import infer

RESULTS = Path(__file__).parent / "results"
CLASSICAL = ("SeasonalNaive", "AutoETS", "Theta", "DynamicOptimizedTheta")
PEER_SETS = ("m3-monthly", "tourism-monthly", "m4-hourly")


def ours(data: Set, seed: int, baselines: tuple[str, ...], **options) -> dict:
    """One fit and its score on the test part."""
    start = time.perf_counter()
    run = forecast.fit(data.train, horizon=data.horizon, seed=seed, progress=False, **data.options, **options)
    seconds = time.perf_counter() - start
    return {"seed": seed, "fit_seconds": seconds, **run.score(data.test, baselines=baselines)}


def peer(data: Set, python: str, threads: int) -> dict:
    """NeuralForecast's LSTM on the same frame, scored by the same function."""
    with tempfile.TemporaryDirectory() as folder:
        train, out = f"{folder}/train.parquet", f"{folder}/out.parquet"
        data.train[["unique_id", "ds", "y"]].to_parquet(train)
        words = [python, str(Path(__file__).with_name("forecast_peer.py")), train, str(data.horizon), str(data.freq)]
        done = subprocess.run([*words, str(threads), out], capture_output=True, text=True, cwd=folder)
        if done.returncode:
            return {"error": done.stderr.strip().splitlines()[-1]}
        seconds = json.loads(done.stdout.strip().splitlines()[-1])
        made = pd.read_parquet(out)
    made = made.reset_index() if "unique_id" not in made else made
    return {"fit_seconds": seconds["fit"], **measured(data, made)}


def measured(data: Set, made: pd.DataFrame) -> dict:
    """The metrics of a forecast in the column LSTM, by the function that measures ours."""
    train = read(data.train)
    history, _ = frame.panel(train, infer(train))

    def rows(table: pd.DataFrame, column: str) -> np.ndarray:
        values = {str(n): g.sort_values("ds")[column].to_numpy(float) for n, g in table.groupby("unique_id")}
        return np.stack([values[str(n)] for n in history.ids])

    point, truth = rows(made, "LSTM")[..., None], rows(data.test, "y")
    found = scoring.evaluate(truth, point, [0.5], scoring.scales(history, data.season))
    return {"mase": found["mase"], "smape": found["smape"]}


def bench(name: str, seeds: list[int], python: str | None, threads: int) -> dict:
    data = SETS[name]()
    runs = [ours(data, seed, CLASSICAL if seed == seeds[0] else ()) for seed in seeds]
    result = {
        "set": data.name,
        "series": int(data.train.unique_id.nunique()),
        "horizon": data.horizon,
        "threads": threads,
        "mase": statistics.mean(run["mase"] for run in runs),
        "smape": statistics.mean(run["smape"] for run in runs),
        "fit_seconds": statistics.median(run["fit_seconds"] for run in runs),
        "baselines": runs[0].pop("baselines"),
        "runs": runs,
    }
    if python and name in PEER_SETS:
        result["peer"] = peer(data, python, threads)
    return result


def markdown(results: dict[str, dict]) -> str:
    """The results as the table that the documents quote."""
    head = [
        "set",
        "series",
        "gated MASE (seeds)",
        "sMAPE",
        "80 % coverage",
        "fit, s",
        *CLASSICAL,
        "NeuralForecast LSTM",
    ]
    rows = [head, ["---"] * len(head)]
    for r in results.values():
        peer = r.get("peer", {})
        spread = " ".join(f"{run['mase']:.3f}" for run in r["runs"])
        beside = [f"{r['baselines'][b]['mase']:.3f}" if b in r["baselines"] else "–" for b in CLASSICAL]
        if "mase" in peer and peer["mase"] is not None:
            beside.append(
                f"{peer['mase']:.3f}, {peer['fit_seconds']:.0f} s ({peer['fit_seconds'] / r['fit_seconds']:.1f}×)"
            )
        else:
            beside.append(peer.get("error", "–"))
        cover = statistics.mean(run["coverage"]["80"] for run in r["runs"])
        rows.append([r["set"], str(r["series"]), f"**{r['mase']:.3f}** ({spread})", f"{r['smape']:.2f}", f"{cover:.2f}",
                     f"{r['fit_seconds']:.0f}", *beside])  # fmt: skip
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    threads = ", ".join(sorted({str(r["threads"]) for r in results.values()}))
    note = f"MASE unless it says otherwise; mean of the seeds. gated learns on one thread, NeuralForecast on {threads}."
    return f"# Forecasting, measured by `make bench-forecast`\n\n{note}\n\n{table}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--peer", help="a Python that has neuralforecast")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    path = RESULTS / "forecast.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in words.sets:
        results[name] = bench(name, words.seeds, words.peer, words.threads)
        print(json.dumps({k: v for k, v in results[name].items() if k != "runs"}), file=sys.stderr, flush=True)
        ordered = {name: results[name] for name in SETS if name in results}
        path.write_text(json.dumps(ordered, indent=1) + "\n")
        path.with_suffix(".md").write_text(markdown(ordered))


if __name__ == "__main__":
    main()
