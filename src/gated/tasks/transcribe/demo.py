"""Lines of print, rendered with free fonts, to text: learn it, measure it on unseen lines, see each letter's place.

Takes about a minute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from gated import train
from gated._check import optional
from gated.tasks.transcribe import score, typeset
from gated.tasks.transcribe.picture import picture
from gated.tasks.transcribe.read import Item
from gated.tasks.transcribe.run import Run, fit
from gated.tasks.transcribe.search import Reading, posteriors

LINES, HELD, UNSEEN = 1600, 100, 300
RECIPE: dict[str, Any] = dict(
    layers=2, units=96, dropout=0.0, batch=3000, steps=1000, lr=4e-3, augment=0.5, precision="32",
)  # fmt: skip
SHOWN = 5  # readings, and mistakes, at most
PICTURE = "reading.png"
SHORT, LONG = 25, 45  # letters of the line that is drawn


def run(out: Path, say: Callable[[str], None]) -> tuple[dict[str, Any], str]:
    """Fit, score on unseen lines, draw where one was read; the score and the text that shows it."""
    optional("matplotlib", "transcribe")  # now, and not a minute later
    say(f"Lines of print in {len(typeset.FACES)} faces, to text. {UNSEEN:,} are kept apart; no two say the same.")
    lines = typeset.lines(LINES + HELD + UNSEEN, seed=0)
    with (
        train.threads(1),
        tempfile.TemporaryDirectory() as folder,
    ):  # images and texts side by side, as people have them
        parts = {"train": lines[:LINES], "held": lines[LINES:-UNSEEN], "unseen": lines[-UNSEEN:]}
        known, held, unseen = (typeset.save(Path(folder) / name, part) for name, part in parts.items())
        found = fit(known, valid=held, out=out, **RECIPE)
        say(found.summary())
        result = found.score(unseen)
        result["worst"] = [row | {"name": Path(row["name"]).name} for row in result["worst"]]  # the folder will be gone
        best = [one for one, *_ in found.read(unseen)]
        truth = [text for _, text in parts["unseen"]]
        n = chosen(best, truth)
        draw(out / PICTURE, found, unseen / f"{n + 1:05d}.png", best[n])
    told = [
        "\n".join(examples(best, truth)), score.table(result),
        f"Where it read each word, in columns of the image: {places(best[n])}.",
        f"The same letter by letter is drawn in {out / PICTURE}.",
    ]  # fmt: skip
    return result, "\n" + "\n\n".join(told)


def examples(best: Sequence[Reading], truth: Sequence[str]) -> list[str]:
    """The first readings, and how many are wrong."""
    wrong = sum(one.text != text for one, text in zip(best, truth, strict=True))
    return [*(one.text for one in best[:SHOWN]), "", f"{wrong:,} of {len(best):,} lines with a mistake."]


def chosen(best: Sequence[Reading], truth: Sequence[str]) -> int:
    """Which line to draw: the first that was read right and is neither short nor long, if there is one."""
    right = [n for n, (one, text) in enumerate(zip(best, truth, strict=True)) if one.text == text]
    fits = [n for n in right if SHORT <= len(truth[n]) <= LONG]
    return next(iter([*fits, *right]), 0)


def places(one: Reading) -> str:
    return ", ".join(f"{word.text} {word.start:.0f}–{word.end:.0f}" for word in one.words)


def draw(path: Path, run: Run, image: Path, one: Reading) -> None:
    """The line, its letters at their columns, and how likely each was."""
    x = run.learnt.frames.read(Item(str(image)))
    ((_, log_probs),) = posteriors(run.learnt, [x])
    picture(path, x, one, torch.from_numpy(log_probs), run.learnt.alphabet.symbols, title=one.text)
