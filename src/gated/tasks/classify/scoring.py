"""Metrics of a classifier, with intervals, beside the baselines that were given the same data.

accuracy   share of examples with the right label; of several labels, with exactly the right ones
f1         F1 of every label, 2 TP / (2 TP + FP + FN), in the mean over labels that occur or are predicted (macro F1)
log_loss   mean −log p of the right label; of several labels, of each label's being there or not
ece        Σ_b |n_b| / N · |accuracy_b − confidence_b| over 15 bins of confidence (Guo et al. 2017, eq. 3)
rmse, mae, r2    of numbers, in their own units

Intervals are of 95 %, by resampling the examples (`report.bootstrap`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gated.io.text import plural
from gated.report import tables
from gated.report.bootstrap import better, close, resample
from gated.tasks.classify.targets import Targets

NAMES = {
    "majority": "majority", "mean": "mean of the targets", "tfidf": "TF-IDF + logistic regression",
    "ridge": "TF-IDF + ridge regression", "euclid": "1-NN Euclid", "dtw": "1-NN DTW", "memoryless": "without memory",
}  # fmt: skip
BINS, TRIALS, SEED = 15, 1000, 12345
SHOWN = 8  # confusions
MANY = 100  # labels, above which macro F1 has no interval


def evaluate(p: Float[np.ndarray, "N K"], codes: np.ndarray, goal: Targets) -> dict[str, Any]:
    """The metrics of probabilities, or of predicted numbers; codes as `Targets.encode` gives them."""
    if goal.kind == "number":
        truth, guess = codes * goal.std + goal.mean, p[:, 0]
        error = guess - truth
        square = float(((truth - truth.mean()) ** 2).sum())
        return {
            "rmse": float(np.sqrt((error**2).mean())), "mae": float(np.abs(error).mean()),
            "r2": 1 - float((error**2).sum()) / square if square else 0.0,
        }  # fmt: skip
    if goal.kind == "labels":
        guess, q = p >= 0.5, np.clip(p, 1e-12, 1 - 1e-12)
        right = (guess == codes.astype(bool)).all(1)
        loss = float(-(codes * np.log(q) + (1 - codes) * np.log1p(-q)).mean())
        return _rates(float(right.mean()), _f1(guess, codes.astype(bool)), loss, _calibration(p, codes > 0))
    guess, known = p.argmax(1), codes >= 0
    eye = np.arange(p.shape[1])
    f1 = _f1(guess[:, None] == eye, codes[:, None] == eye)
    own = p[known, codes[known]]
    loss = float(-np.log(np.clip(own, 1e-12, 1)).mean()) if known.any() else None
    return _rates(float((guess == codes).mean()), f1, loss, _calibration(p.max(1), guess == codes))


def _rates(accuracy: float, f1: float, loss: float | None, ece: float) -> dict[str, Any]:
    return {"accuracy": accuracy, "error": 1 - accuracy, "f1": f1, "log_loss": loss, "ece": ece}


def _f1(guess: np.ndarray, truth: np.ndarray) -> float:
    hits, sizes = (guess & truth).sum(0), guess.sum(0) + truth.sum(0)
    some = sizes > 0
    return float((2 * hits[some] / sizes[some]).mean()) if some.any() else 0.0


def _calibration(confidence: np.ndarray, right: np.ndarray) -> float:
    confidence, right = confidence.ravel(), right.ravel()
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    sums = [np.bincount(bins, weights, BINS) for weights in (confidence, right.astype(float))]
    return float(np.abs(sums[0] - sums[1]).sum() / len(confidence))


def _counts(p: np.ndarray, codes: np.ndarray, goal: Targets) -> np.ndarray:
    """[N] what the deciding metric is the mean of: right or not, or the squared error."""
    if goal.kind == "number":
        return (p[:, 0] - codes * goal.std - goal.mean) ** 2
    if goal.kind == "labels":
        return ((p >= 0.5) == codes.astype(bool)).all(1).astype(float)
    return (p.argmax(1) == codes).astype(float)


def compare(
    p: np.ndarray, codes: np.ndarray, goal: Targets, others: Mapping[str, tuple[np.ndarray, float, bool]],
    seconds: float | None = None, trials: int = TRIALS,
) -> dict[str, Any]:  # fmt: skip
    """The metrics of the network and of its baselines, and the name of the best.

    others: by name of `NAMES` the baseline's probabilities, its seconds, and whether the probabilities mean anything.
    """
    number = goal.kind == "number"
    by, lower = ("rmse", True) if number else ("accuracy", False)
    drawn = {}

    def measure(name: str, p: np.ndarray, seconds: float | None, calibrated: bool) -> dict[str, Any]:
        out = evaluate(p, codes, goal)
        if not number and not calibrated:
            out |= {"log_loss": None, "ece": None}
        mean = resample(_counts(p, codes, goal)[:, None], trials, SEED)[:, 0] / len(codes)
        drawn[name] = np.sqrt(mean) if number else mean
        cut = trials // 40
        edges = np.sort(drawn[name])[[cut, trials - 1 - cut]]
        return out | {"interval": [float(x) for x in edges], "seconds": seconds}

    ours = measure("LSTM", p, seconds, True)
    rows = {name: measure(name, *row) for name, row in others.items()}
    for name, row in rows.items():
        row["beaten"] = better(drawn["LSTM"], drawn[name], lower)
    every = {**rows, "LSTM": ours}
    pick = min if lower else max
    best = pick(every, key=lambda name: every[name][by])
    out = {"model": "LSTM", **ours, "examples": len(codes), "by": by, "baselines": rows, "best": best}
    if goal.kind != "label":
        return out
    guess = p.argmax(1)
    return out | {"f1_interval": _f1_interval(guess, codes, goal, trials), "confusion": confusion(guess, codes, goal)}


def _f1_interval(guess: np.ndarray, codes: np.ndarray, goal: Targets, trials: int) -> list[float] | None:
    """The interval of macro F1; None above `MANY` labels."""
    if len(goal) > MANY:
        return None
    eye = np.arange(len(goal))
    told, truth = guess[:, None] == eye, codes[:, None] == eye
    sums = resample(np.concatenate([told & truth, told.astype(int) + truth], 1).astype(float), trials, SEED)
    hits, sizes = np.split(sums, 2, 1)
    f1 = np.sort((2 * hits / np.maximum(sizes, 1)).sum(1) / np.maximum((sizes > 0).sum(1), 1))
    return [float(f1[trials // 40]), float(f1[trials - 1 - trials // 40])]


def wilson(hits: int, count: int, z: float = 1.96) -> list[float] | None:
    """The interval of 95 % of a share, (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n) (Wilson 1927)."""
    if not count:
        return None
    p, d = hits / count, z * z / count
    middle, wide = (p + d / 2) / (1 + d), np.sqrt(p * (1 - p) * d + d * d / 4) / (1 + d)
    return [float(max(0.0, middle - wide)), float(min(1.0, middle + wide))]


def confusion(guess: np.ndarray, codes: np.ndarray, goal: Targets) -> dict[str, Any]:
    """The confusion table: a row a label; and, of every label, its precision, its recall with interval, its number.

    `counts` is left out above 50 labels; `pairs` are the most frequent mistakes.
    """
    K, known = len(goal), codes >= 0
    pairs = np.bincount(codes[known] * K + guess[known], minlength=K * K) if K <= 2000 else np.zeros(0, int)
    table = pairs.reshape(K, K) if len(pairs) else np.zeros((0, 0), int)
    hits = np.bincount(codes[known][guess[known] == codes[known]], minlength=K)
    truth, said = np.bincount(codes[known], minlength=K), np.bincount(guess, minlength=K)
    labels = {
        label: {
            "precision": float(hits[k] / said[k]) if said[k] else None,
            "recall": float(hits[k] / truth[k]) if truth[k] else None, "examples": int(truth[k]),
            "recall_interval": wilson(int(hits[k]), int(truth[k])),
        }
        for k, label in enumerate(goal.labels)
    }  # fmt: skip
    wrong = table.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong.ravel(), kind="stable")[:20] if wrong.size else ()
    mistakes = [
        {"truth": goal.labels[n // K], "prediction": goal.labels[n % K], "count": int(wrong.ravel()[n])}
        for n in order if wrong.ravel()[n]
    ]  # fmt: skip
    return {"labels": labels, "pairs": mistakes, "counts": table.tolist() if K <= 50 else None}


# ---- for people


def verdict(result: Mapping[str, Any]) -> str:
    """The winner in a sentence."""
    by, ours = result["by"], result[result["by"]]
    if not result["baselines"]:
        return f"LSTM: {_figure(by, ours)}."
    pick = min if by == "rmse" else max
    rival = pick(result["baselines"], key=lambda name: result["baselines"][name][by])
    theirs, share = result["baselines"][rival][by], result["baselines"][rival]["beaten"]
    name, figures = NAMES[rival], f"LSTM {_figure(by, ours)}, {NAMES[rival]} {_figure(by, theirs)}"
    if ours == theirs:
        return f"{figures}: a tie."
    if close(share):
        return f"{figures}: too close to call on {plural(result['examples'], 'example')}."
    if result["best"] != "LSTM":
        return f"{figures}: {name} wins on this data."
    return f"{figures}: LSTM wins, on {100 * share:.0f} % of resampled test sets."


def _figure(by: str, value: float) -> str:
    return f"{100 * value:.1f} % right" if by == "accuracy" else f"RMSE {value:.4g}"


def table(result: Mapping[str, Any]) -> str:
    """A result as text, best first, with the most frequent confusions and the verdict below."""
    rows = {NAMES[name]: row for name, row in result["baselines"].items()} | {"LSTM": result}
    best = NAMES.get(result["best"], result["best"])
    by = result["by"]
    sign = 1 if by == "rmse" else -1
    order = sorted(rows, key=lambda name: (sign * rows[name][by], name == "LSTM"))
    number = by == "rmse"
    heads = ("RMSE", "95 %", "MAE", "R²") if number else ("accuracy", "95 %", "macro F1", "log loss", "ECE")
    grid = tables.grid("", *heads, "seconds")
    for name in order:
        row = rows[name]
        low, high = row["interval"]
        cells = (
            [f"{row['rmse']:.4g}", f"{low:.4g}–{high:.4g}", f"{row['mae']:.4g}", f"{row['r2']:.3f}"] if number else
            [f"{100 * row['accuracy']:.1f} %", f"{100 * low:.1f}–{100 * high:.1f}", f"{100 * row['f1']:.1f} %",
             tables.number(row["log_loss"], 3), tables.number(row["ece"], 3)]
        )  # fmt: skip
        mark = " ◂ best" if name == best and len(rows) > 1 else ""
        grid.add_row(name + mark, *cells, tables.number(row["seconds"], 1))
    text = "\n".join(map(str.rstrip, tables.draw(grid).splitlines())) + "\n"
    lines = [plural(result["examples"], "example"), text, verdict(result), *result.get("notes", ())]
    pairs: Sequence[Any] = result.get("confusion", {}).get("pairs", ())
    if pairs:
        lines.append("Most frequent mistakes (truth → prediction):")
        lines += [f"  {one['truth']} → {one['prediction']}  {one['count']:,}" for one in pairs[:SHOWN]]
    return "\n".join(lines)
