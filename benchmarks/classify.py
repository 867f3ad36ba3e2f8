"""Classification, measured: sentences, series of the UCR and UEA archives, spoken digits, images of digits.

    python benchmarks/classify.py [--only mr trec sst2 CricketX … spoken digits] [--folds 10] [--time-limit 300]

GATED_DATA names the folder with classify/, speech/ and video/. Every job fits with the default recipe and one thread,
and its test set is scored once. Results are written to benchmarks/results/classify.json and .md after each job.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import sheet
from gated import classify

DATA = Path(os.environ.get("GATED_DATA", "data"))
RESULTS = Path(__file__).parent / "results"
PUBLISHED = {  # ResNet of dl-4-tsc (Fawaz et al. 2019), mean of five; the aim where it is another
    "JapaneseVowels": 99.2, "ElectricDevices": 72.8, "Crop": 74.3, "AllGestureWiimoteX": 74.1, "GesturePebbleZ1": 90.1,
    "CricketX": 79.9, "FiftyWords": 74.0, "DodgerLoopDay": 15.0,
}  # fmt: skip
TEXT = {"mr": (77.7, 76.1, 78.0), "trec": (89.4, 91.2, 92.0), "sst2": (81.9, 82.7, 84.0)}  # TF-IDF, CNN-rand, aim
KEPT = ("accuracy", "interval", "f1", "log_loss", "ece", "examples", "seconds")
HELD = 1000  # images of digits to score


def fitted(source: Any, targets: Any, options: dict[str, Any], test: tuple[Any, Any]) -> dict[str, Any]:
    """Figures of one fit: its score, its baselines', and what it took."""
    clock, processor = time.perf_counter(), time.process_time()
    run = classify.fit(source, targets, progress=False, **options)
    seconds, work = time.perf_counter() - clock, time.process_time() - processor
    result = run.score(*test)
    weights = sum(p.numel() for p in run.model.network.parameters())
    others = {
        name: {k: row[k] for k in ("accuracy", "f1", "seconds", "beaten")} for name, row in result["baselines"].items()
    }
    return {
        **{k: result[k] for k in KEPT}, "baselines": others, "held_out": run.metrics["held_out"],
        "fit_seconds": seconds, "processor_seconds": work, "steps": run.metrics["steps"], "weights": weights,
        "notes": [*run.notes, *result["notes"]],
    }  # fmt: skip


def archive(name: str, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A set of the UCR or UEA archive, in the archive's split."""
    with zipfile.ZipFile(DATA / f"classify/ucr/{name}.zip") as packed:
        for member in packed.namelist():
            packed.extract(member, folder)
    train, test = (next(folder.rglob(f"*_{part}.t*")) for part in ("TRAIN", "TEST"))
    return fitted(str(train), None, options, (test, None))


def mr(options: dict[str, Any], folds: int) -> dict[str, Any]:
    """Movie reviews: ten folds, the seed of which is 0; the first `folds` of them."""
    texts, labels = [], []
    with zipfile.ZipFile(DATA / "classify/mr_sentence_polarity.zip") as packed:
        for label in ("neg", "pos"):
            lines = packed.read(f"sentence_polarity/rt-polarity.{label}").decode("latin-1").strip().split("\n")
            texts += [line.strip() for line in lines]
            labels += [label] * len(lines)
    order = np.random.default_rng(0).permutation(len(texts))
    parts = np.array_split(order, 10)
    rows = []
    for k in range(folds):
        rest = np.concatenate([part for n, part in enumerate(parts) if n != k])
        pick = lambda items, part: [items[n] for n in part]  # noqa: E731
        test = pick(texts, parts[k]), pick(labels, parts[k])
        rows.append(fitted(pick(texts, rest), pick(labels, rest), options, test))
    mean = {k: float(np.mean([row[k] for row in rows])) for k in ("accuracy", "f1", "log_loss", "ece")}
    others = {
        name: {"accuracy": float(np.mean([row["baselines"][name]["accuracy"] for row in rows]))}
        for name in rows[0]["baselines"]
    }
    total = {k: float(np.sum([row[k] for row in rows])) for k in ("fit_seconds", "processor_seconds", "examples")}
    return {**mean, **total, "baselines": others, "folds": rows, "weights": rows[0]["weights"]}


def trec(options: dict[str, Any]) -> dict[str, Any]:
    """Questions in six classes."""
    with zipfile.ZipFile(DATA / "classify/trec_questions.zip") as packed:
        parts = {}
        for name in ("train", "test"):
            rows = [line.split(" ", 1) for line in packed.read(f"qc/{name}.txt").decode("latin-1").strip().split("\n")]
            parts[name] = [text for _, text in rows], [label.split(":")[0] for label, _ in rows]
    return fitted(*parts["train"], options, parts["test"])


def sst2(options: dict[str, Any]) -> dict[str, Any]:
    """Phrases of reviews; scored on GLUE's development set."""
    parts = {}
    for name in ("train", "dev"):
        with gzip.open(DATA / f"classify/sst2.{name}.tsv.gz", "rt") as file:
            rows = [line.rstrip("\n").split("\t") for line in file][1:]
        parts[name] = [row[1] for row in rows], [row[0] for row in rows]
    return fitted(*parts["train"], options, parts["dev"])


def spoken(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Spoken digits, the official split: recordings 0 to 4 of every speaker and digit are the test."""
    with tarfile.open(DATA / "speech/spoken_digits.tar.gz") as packed:
        packed.extractall(folder / "all", filter="data")
    for path in sorted((folder / "all").rglob("*.wav")):
        digit, _, index = path.stem.split("_")
        place = folder / ("test" if int(index) < 5 else "train") / digit
        place.mkdir(parents=True, exist_ok=True)
        path.rename(place / path.name)
    return fitted(folder / "train", None, options, (folder / "test", None))


def digits(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Images of handwritten digits, row by row: the last 1,000 of 8,000 are scored."""
    arrays = np.load(DATA / "video/digits.npz")
    images, labels = (next(a for a in arrays.values() if a.ndim == n) for n in (3, 1))
    for n, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / ("test" if n >= len(images) - HELD else "train") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{n:04}.png")
    return fitted(folder / "train", None, options, (folder / "test", None))


def write(results: dict[str, Any]) -> None:
    """The figures as JSON and as a page."""
    (RESULTS / "classify.json").write_text(json.dumps(results, indent=1) + "\n")
    where = results["machine"]
    jobs = results["jobs"]

    def figure(job: dict[str, Any], name: str) -> str:
        row = job["baselines"].get(name)
        return "–" if row is None else f"{100 * row['accuracy']:.1f}"

    text = [
        [
            "sentences",
            "ours",
            "TF-IDF + logistic regression",
            "without memory",
            "published CNN-rand",
            "wanted",
            "processor s",
        ]
    ]
    for name, (_, cnn, aim) in TEXT.items():
        if name in jobs:
            job = jobs[name]
            folds = f", {len(job['folds'])} of 10 folds" if "folds" in job else ""
            text.append([
                name + folds, f"**{100 * job['accuracy']:.1f}**", figure(job, "tfidf"), figure(job, "memoryless"),
                f"{cnn:.1f}", f"{aim:.0f}", f"{job['processor_seconds']:.0f}",
            ])  # fmt: skip
    series = [["series", "ours", "95 %", "ResNet", "1-NN Euclid", "1-NN DTW", "without memory", "processor s"]]
    better = []
    for name, resnet in PUBLISHED.items():
        if name in jobs:
            job = jobs[name]
            better.append(100 * job["accuracy"] > resnet)
            low, high = (100 * x for x in job["interval"])
            others = [figure(job, other) for other in ("euclid", "dtw", "memoryless")]
            series.append(
                [
                    name,
                    f"**{100 * job['accuracy']:.1f}**",
                    f"{low:.1f}–{high:.1f}",
                    f"{resnet:.1f}",
                    *others,
                    f"{job['processor_seconds']:.0f}",
                ]
            )
    files = [["files", "ours", "95 %", "without memory", "wanted", "processor s"]]
    for name, aim in (("spoken", "99"), ("digits", "98.5")):
        if name in jobs:
            job = jobs[name]
            low, high = (100 * x for x in job["interval"])
            files.append(
                [
                    name,
                    f"**{100 * job['accuracy']:.1f}**",
                    f"{low:.1f}–{high:.1f}",
                    figure(job, "memoryless"),
                    aim,
                    f"{job['processor_seconds']:.0f}",
                ]
            )
    mean = f"Better than ResNet on {sum(better)} of {len(better)}." if better else ""
    parts = [
        "# Classification, measured by `make bench-classify`",
        f"{where['processor']}, torch {where['torch']}, one thread.",
        "Accuracy in %; default recipe, each test set scored once. Seconds are those of the processor, for a fit.",
        *(sheet.table(rows) for rows in (text, series, files) if len(rows) > 1), mean,
    ]  # fmt: skip
    (RESULTS / "classify.md").write_text("\n\n".join(part for part in parts if part) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="Jobs to run; by default all.")
    parser.add_argument("--folds", type=int, default=10, help="Folds of mr.")
    parser.add_argument("--time-limit", type=float, help="Seconds of each fit, in place of the recipe's own end.")
    words = parser.parse_args()
    torch.set_num_threads(1)
    options: dict[str, Any] = {} if words.time_limit is None else dict(time_limit=words.time_limit)
    path = RESULTS / "classify.json"
    results = json.loads(path.read_text()) if path.exists() else {"jobs": {}}
    results["machine"] = sheet.machine()
    for name in words.only or [*PUBLISHED, *TEXT, "spoken", "digits"]:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            if name in PUBLISHED:
                job = archive(name, options, folder)
            elif name in TEXT:
                job = mr(options, words.folds) if name == "mr" else {"trec": trec, "sst2": sst2}[name](options)
            else:
                job = {"spoken": spoken, "digits": digits}[name](options, folder)
        results["jobs"][name] = job
        write(results)
        print(name, f"{100 * job['accuracy']:.2f}", f"{job['processor_seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
