"""Seconds of reading a CSV file of a million rows, beside pandas' own reading of the same file.

    python benchmarks/reading.py [--rows 1000000] [--out benchmarks/results/reading.md]

pandas reads with the options that the file needs (delimiter, decimal, thousands) and no more; gated recognises them.
Both are timed in turn, five times each, and the median of the ratios counts. The values are compared first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import gated
from gated.io.tables import numbers, read

KINDS = {  # what pandas has to be told
    "one series, points": {},
    "1,000 series and two covariates": {},
    "decimal commas": {"sep": ";", "decimal": ","},
    "thousands in quotes": {"thousands": ","},
    "windows-1252 words": {"encoding": "cp1252"},
}


def write(path: Path, kind: str, rows: int) -> None:
    rng = np.random.default_rng(0)
    y = np.round(rng.gamma(2, 500, rows), 2)
    if kind == "1,000 series and two covariates":
        days = pd.date_range("2020-01-01", periods=rows // 1000).astype(str)
        shops = np.repeat([f"shop {k}" for k in range(1000)], rows // 1000)
        frame = pd.DataFrame({"unique_id": shops, "ds": np.tile(days, 1000), "y": y, "price": np.round(y / 7, 3)})
        frame["promo"] = y > 900
    else:
        frame = pd.DataFrame({"ds": pd.date_range("2000-01-01", periods=rows, freq="min").astype(str), "y": y})
    if kind == "thousands in quotes":
        frame["y"] = [f"{value:,.2f}" for value in y]
    if kind == "windows-1252 words":
        frame["place"] = np.where(y > 900, "Köln", "Bonn")
    more = {"sep": ";", "decimal": ","} if kind == "decimal commas" else {}
    frame.to_csv(path, index=False, encoding="cp1252" if kind == "windows-1252 words" else "utf-8", **more)


def seconds(function) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        f"# Reading {options.rows:,} rows of CSV", "",
        f"`make bench-reading`, gated {gated.__version__}, pandas {pd.__version__}: medians of {options.repeats}.",
        "", "| file | pandas, s | gated, s | ratio |", "|---|---|---|---|",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for kind, more in KINDS.items():
            write(path := Path(folder) / "data.csv", kind, options.rows)
            theirs, ours = lambda more=more: pd.read_csv(path, **more), lambda: numbers(read(str(path)), "y")
            assert np.array_equal(theirs()["y"].to_numpy(float), ours(), equal_nan=True)
            times = np.array([[seconds(theirs), seconds(ours)] for _ in range(options.repeats)])
            ratio = statistics.median(times[:, 1] / times[:, 0])
            lines.append(f"| {kind} | {np.median(times[:, 0]):.2f} | {np.median(times[:, 1]):.2f} | {ratio:.2f} |")
            print(lines[-1], file=sys.stderr)
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
