"""Targets: labels as text, several of them, or numbers; how the network's scores become them again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from gated._check import refuse, want
from gated.io.text import plural

MANY = 20  # different numbers, from which they are no labels
MAX_LABELS = 100_000


@dataclass(frozen=True)
class Targets:
    """kind: "label", "labels" or "number"; the labels, sorted; of numbers their mean and standard deviation."""

    kind: str
    labels: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    def __len__(self) -> int:
        """The number of the network's outputs."""
        return 1 if self.kind == "number" else len(self.labels)

    def encode(self, values: Sequence[tuple[str, ...] | None], places: Sequence[str]) -> np.ndarray:
        """int64 [N] places of the labels, −1 of an unknown one; float32 [N, K] of several; float32 [N] of numbers.

        Errors: a text where numbers are expected, with its place.
        """
        if self.kind == "number":
            numbers = [_number(value, place) for value, place in zip(values, places, strict=True)]
            return ((np.array(numbers) - self.mean) / self.std).astype(np.float32)
        index = {label: k for k, label in enumerate(self.labels)}
        if self.kind == "label":
            return np.array([index.get(value[0], -1) if value else -1 for value in values], np.int64)
        out = np.zeros((len(values), len(self.labels)), np.float32)
        for row, value in enumerate(values):
            for label in value or ():
                if label in index:
                    out[row, index[label]] = 1
        return out

    def unknown(self, values: Sequence[tuple[str, ...] | None]) -> list[str]:
        """A sentence on labels that are not in the training data, if there are any."""
        if self.kind == "number":
            return []
        counts = Counter(label for value in values for label in value or () if label not in set(self.labels))
        names = ", ".join(f"{label!r} ({count:,})" for label, count in counts.most_common(5))
        more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""
        what = plural(len(counts), "label")
        return [f"{what} not in the training data, so never predicted: {names}{more}."] if counts else []


def _number(value: tuple[str, ...] | None, place: str) -> float:
    try:
        number = float(value[0]) if value else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        refuse(place, "a number as the target", repr(value[0] if value else "")[:40])
    return number


def _is_number(value: tuple[str, ...] | None) -> bool:
    try:
        return bool(value) and math.isfinite(float(value[0]))  # pyright: ignore[reportOptionalSubscript]
    except ValueError:
        return False


def fit(values: Sequence[tuple[str, ...] | None], places: Sequence[str], output: str, notes: list[str]) -> Targets:
    """The targets of the training data.

    output: "label", "labels", "number", or "auto": numbers, if all are and more than `MANY` differ, and a tenth of the
    examples; of whole numbers, which may be labels, half of them.
    """
    counts = Counter(label for value in values for label in value or ())
    numbers = output in ("auto", "number") and all(map(_is_number, values))
    if output == "auto":
        whole = numbers and all(float(label) % 1 == 0 for label in counts)
        rare = len(counts) > max(MANY, len(values) / (2 if whole else 10))
        output = "number" if numbers and rare else "label"
        if output == "number":
            notes.append(f"The target has {len(counts):,} different numbers, and is predicted as a number.")
    if output == "number":
        found = np.array([_number(value, place) for value, place in zip(values, places, strict=True)])
        std = float(found.std())
        want(std > 0, "target", "different numbers", f"{found[0]:g} alone")
        return Targets("number", (), float(found.mean()), std)
    want(len(counts) > 1, "target", "two labels or more", ", ".join(map(repr, counts)) or "none")
    todo = "Is it the right column? Numbers take --output number."
    want(len(counts) <= MAX_LABELS and len(counts) < max(3, len(values)), "target",
         f"labels that occur again, in {len(values):,} examples", f"{len(counts):,} different ones", todo)  # fmt: skip
    return Targets(output, tuple(sorted(counts, key=_order)))


def _order(label: str) -> tuple[int, float, str]:
    """Numbers by value, then words."""
    number = _is_number((label,))
    return (0, float(label), label) if number else (1, 0.0, label)


def restore(words: dict[str, Any]) -> Targets:
    """The targets of a run folder."""
    targets = Targets(words["kind"], tuple(words["labels"]), words["mean"], words["std"])
    fits = targets.kind in ("label", "labels", "number") and all(isinstance(one, str) for one in targets.labels)
    fits = fits and len(set(targets.labels)) == len(targets.labels) and (targets.kind == "number" or len(targets) > 1)
    fits = fits and type(targets.mean) is float and type(targets.std) is float and targets.std > 0
    want(fits, "run folder targets", "labels, or the mean and deviation of numbers", "others")
    return targets


# ---- probabilities


def probabilities(scores: Float[np.ndarray, "N K"], kind: str, temperature: float) -> Float[np.ndarray, "N K"]:
    """softmax(scores / T) of one label, σ(scores / T) of several."""
    z = scores.astype(np.float64) / temperature
    if kind == "labels":
        return 0.5 * (1 + np.tanh(z / 2))
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def find_temperature(scores: Float[np.ndarray, "N K"], target: np.ndarray, kind: str) -> float:
    """The T > 0 of least log loss on held-out examples (Guo et al. 2017, §4.2), by golden section over log T."""
    if kind == "number" or len(scores) < 10:
        return 1.0

    def nll(log_t: float) -> float:
        p = np.clip(probabilities(scores, kind, math.exp(log_t)), 1e-12, 1 - 1e-12)
        if kind == "labels":
            return float(-(target * np.log(p) + (1 - target) * np.log1p(-p)).mean())
        return float(-np.log(p[np.arange(len(p)), target]).mean())

    low, high, ratio = math.log(0.2), math.log(5.0), (math.sqrt(5) - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if nll(a) < nll(b) else (a, high)
    return math.exp((low + high) / 2)
