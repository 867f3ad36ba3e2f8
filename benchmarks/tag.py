"""Tagging, measured: slots and intents of ATIS, chunks of CoNLL-2000, parts of speech of EWT, Spanish names.

    python benchmarks/tag.py [--only atis chunks ewt spanish] [--ensemble N] [--again]

The default recipe, on one thread; of files that have parts of speech beside their words these are read too. GATED_DATA
names the folder with tagging/; results are written to benchmarks/results/tag.json and .md after each part. Settings
were chosen by the validation parts; each test part is scored once, by the last run.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import torch

import sheet
from gated import tag

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("GATED_DATA", "../shared/data")) / "tagging"
RUNS = Path("build/tag")
SETS: dict[str, dict[str, Any]] = {
    "atis": dict(archive="atis.zip", train="train", valid="valid", test="test", options={},
                 reference="95.08 / 94.6 / 82.0; best seen 95.98 F1"),
    "chunks": dict(archive="conll2000.zip", train="train.txt", valid=None, test="test.txt",
                   options={"features": ("2",)}, reference="CRF 93.8; networks from scratch 92.6 to 92.8"),
    "ewt": dict(archive=None, train="ud_ewt.train.conllu.gz", valid="ud_ewt.dev.conllu.gz",
                test="ud_ewt.test.conllu.gz", options={}, reference="most frequent 86.2, logistic regression 94.17"),
    "spanish": dict(archive="conll2002_esp.zip", train="esp.train", valid="esp.testa", test="esp.testb",
                    options={"features": ("2",)}, reference="none"),
}  # fmt: skip
KEYS = (
    "f1",
    "precision",
    "recall",
    "accuracy",
    "interval",
    "known",
    "unknown",
    "label_accuracy",
    "sentence",
    "seconds",
)


def find(name: str, archive: str | None, folder: Path) -> str:
    """The path of a part of a set, unpacked where it is in an archive."""
    if archive is None:
        return str(DATA / name)
    target = folder / "data"
    if not target.exists():
        with zipfile.ZipFile(DATA / archive) as packed:
            packed.extractall(target)
    return str(next(path for path in sorted(target.rglob(name)) if "__MACOSX" not in path.parts))


def measure(name: str, seeds: int, again: bool) -> dict[str, Any]:
    """Fit with the default recipe, score the test part beside both baselines; `again` scores the stored runs."""
    one = SETS[name]
    folder = RUNS / name
    parts = {part: one[part] and find(one[part], one["archive"], folder) for part in ("train", "valid", "test")}
    runs, used = [], 0.0
    for seed in range(seeds):
        place = folder / str(seed)
        if not again:
            start = time.process_time()
            tag.fit(parts["train"], valid=parts["valid"], out=place, overwrite=True, seed=seed, **one["options"])
            used += time.process_time() - start
        runs.append(tag.load(place))
    result = runs[0].score(parts["test"], beside=runs[1:])
    row = {key: result[key] for key in KEYS if key in result}
    row["baselines"] = {
        kind: {key: other[key] for key in KEYS if key in other} for kind, other in result["baselines"].items()
    }
    row |= {
        "runs": seeds,
        "fit_wall_seconds": sum(run.metrics["fit_seconds"] for run in runs),
        "fit_processor_seconds": used or None,
        "reference": one["reference"],
    }
    row |= {
        "weights": sum(p.numel() for p in runs[0].model.network.parameters()),
        "held_out": runs[0].metrics["held_out"],
    }
    return row | {"options": {key: list(value) for key, value in one["options"].items()}}


def write(results: dict[str, Any]) -> None:
    """results/tag.json and .md."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "tag.json").write_text(json.dumps(results, indent=1) + "\n")
    rows = [["set", "F1", "95 %", "accuracy", "unknown words", "label", "sentence", "CRF of plain features",
             "most frequent tag", "before", "fit, processor s", "fit, wall s"]]  # fmt: skip

    def percent(value: Any) -> str:
        return "–" if value is None else f"{100 * value:.2f}"

    for name, row in results.items():
        if name == "machine":
            continue
        low, high = row["interval"]
        rows.append([
            name, percent(row["f1"]), f"{percent(low)}–{percent(high)}", percent(row["accuracy"]),
            percent(row.get("unknown")), percent(row.get("label_accuracy")), percent(row.get("sentence")),
            percent(row["baselines"].get("crfsuite", {}).get("f1")), percent(row["baselines"]["frequent"]["f1"]),
            row["reference"], "–" if row["fit_processor_seconds"] is None else f"{row['fit_processor_seconds']:.0f}",
            f"{row['fit_wall_seconds']:.0f}",
        ])  # fmt: skip
    head = "# Tagging\n\nWritten by `make bench-tag`; the script says how it was measured.\n\n"
    (RESULTS / "tag.md").write_text(head + sheet.table(rows) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--ensemble", type=int, default=1, help="runs whose scores are averaged")
    parser.add_argument("--again", action="store_true", help="score the runs in build/tag")
    given = parser.parse_args()
    if not DATA.exists():
        raise SystemExit(f"{DATA} is not there. Name the folder of the data with GATED_DATA.")
    torch.set_num_threads(1)
    path = RESULTS / "tag.json"
    for name in given.only:
        row = measure(name, given.ensemble, given.again)
        results = json.loads(path.read_text()) if path.exists() else {}
        write({**results, "machine": sheet.machine(), name: row})


if __name__ == "__main__":
    main()
