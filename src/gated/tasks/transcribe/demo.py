"""Lines of print, rendered with free fonts, to text: train, score on unseen lines, draw each character at its place.

Takes about a minute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gated import train
from gated._check import optional
from gated.tasks.transcribe import scoring, typeset
from gated.tasks.transcribe.data import Item
from gated.tasks.transcribe.picture import picture
from gated.tasks.transcribe.run import Run, fit
from gated.tasks.transcribe.search import Hypothesis, compute_log_probs

COUNTS = (1600, 100, 300)  # lines for training, validation and the score
RECIPE: dict[str, Any] = dict(
    layers=2, units=96, dropout=0.0, batch=3000, steps=1000, lr=4e-3, augment=0.5, precision="32",
)  # fmt: skip
SHOWN = 5  # transcripts
PICTURE = "reading.png"
SHORT, LONG = 25, 45  # characters of the line that is drawn


def run(
    out: Path, say: Callable[[str], None], counts: tuple[int, int, int] = COUNTS, progress: bool = True, **options: Any
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """Train, score on unseen lines, draw one; the score and the text that shows it. options are those of `fit`."""
    optional("matplotlib", "transcribe")  # now, and not a minute later
    say(f"Lines of print in {len(typeset.FACES)} faces, to text. {counts[2]:,} are held out; all texts differ.")
    images = typeset.lines(sum(counts), seed=0)
    with train.threads(1), tempfile.TemporaryDirectory() as folder:
        parts = {"train": images[: counts[0]], "held": images[counts[0] : -counts[2]], "unseen": images[-counts[2] :]}
        known, held, unseen = (typeset.save(Path(folder) / name, part) for name, part in parts.items())
        fitted = fit(known, valid=held, out=out, overwrite=True, progress=progress, **RECIPE | options)
        say(fitted.summary())
        result = fitted.score(unseen)
        result["worst"] = [row | {"name": Path(row["name"]).name} for row in result["worst"]]  # the folder goes
        best = [one for one, *_ in fitted.transcribe(unseen)]
        truth = [text for _, text in parts["unseen"]]
        n = choose(best, truth)
        draw(out / PICTURE, fitted, unseen / f"{n + 1:05d}.png", best[n])
    places = ", ".join(f"{word.text} {word.start:.0f}–{word.end:.0f}" for word in best[n].words)
    text = [
        "\n".join(examples(best, truth)), scoring.table(result),
        f"Each word of one line, in columns of the image: {places}.",
        f"Each character of it is drawn in {out / PICTURE}.",
    ]  # fmt: skip
    return result, "\n" + "\n\n".join(text)


def examples(best: Sequence[Hypothesis], truth: Sequence[str]) -> list[str]:
    """The first transcripts, and how many of all are wrong."""
    wrong = sum(one.text != text for one, text in zip(best, truth, strict=True))
    return [*(one.text for one in best[:SHOWN]), "", f"{wrong:,} of {len(best):,} lines with a mistake."]


def choose(best: Sequence[Hypothesis], truth: Sequence[str]) -> int:
    """The line to draw: the first right one of medium length, or else the first right one, or else the first."""
    right = [n for n, (one, text) in enumerate(zip(best, truth, strict=True)) if one.text == text]
    medium = [n for n in right if SHORT <= len(truth[n]) <= LONG]
    return next(iter([*medium, *right]), 0)


def draw(path: Path, run: Run, image: Path, best: Hypothesis) -> None:
    """The line, its characters at their columns, and the probability of each."""
    x = run.model.frames.read(Item(str(image)))
    ((_, (log_probs,), _, _),) = compute_log_probs(run.model.network, [x])
    picture(path, x, best.symbols, log_probs, run.model.alphabet.symbols, best.text)
