"""Handwritten digits, read row by row: train on 1,297 of scikit-learn's, score on 500, draw what decided one of them.

Takes about a minute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gated._check import optional
from gated.tasks.classify import explain, scoring
from gated.tasks.classify.run import fit

TEST = 500  # digits, the last ones, which other people wrote
PICTURE = "attend.png"
RECIPE: dict[str, Any] = dict(steps=700, batch=64, units=64, precision="32")


def run(
    out: Path, say: Callable[[str], None], train: int | None = None, test: int = TEST, **options: Any
) -> tuple[dict[str, Any], str]:
    """Fit, score on unseen digits, draw an explanation; the score and a text for people.

    train, test: the numbers of digits. options: arguments of `fit` in place of the demo's own.
    """
    optional("matplotlib", "classify")  # now, and not a minute later
    digits = optional("sklearn.datasets", "classify").load_digits()
    images, labels = digits.images, digits.target
    first, last = len(images) - TEST, len(images) - TEST + test
    train = first if train is None else train
    with tempfile.TemporaryDirectory() as folder:
        parts = Path(folder, "train"), Path(folder, "test")
        write(parts[0], images[:train], labels[:train])
        write(parts[1], images[first:last], labels[first:last])
        say(f"Images of 8 × 8 pixels, a step a row, in a folder of each digit. {test:,} are held out.")
        made = fit(parts[0], out=out, overwrite=True, **RECIPE | options)
        say(made.summary())
        result = made.score(parts[1])
        example = next(iter(sorted((parts[1] / "8").glob("*.png"))), None)
        text = [] if example is None else [explain.attend(made, example, out / PICTURE)[1].replace(f"{folder}/", "")]
    return result, "\n" + "\n\n".join([scoring.table(result), *text])


def write(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """The images as PNG, in a folder for each label."""
    image = optional("PIL.Image", "classify")
    for n, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        image.fromarray((pixels * (255 / 16)).astype(np.uint8)).save(place / f"{n:04}.png")
