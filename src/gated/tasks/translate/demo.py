"""Dates in words to dates as 2006-04-24, character by character: train, score on unseen dates, draw the attention.

Takes about a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gated._check import optional
from gated.tasks.translate import alignment, dates, scoring
from gated.tasks.translate.run import Run, fit
from gated.tasks.translate.search import Translation

COUNTS = (20_000, 300, 1000)  # pairs to train on, to validate on, and unseen
RECIPE: dict[str, Any] = dict(
    tokens="char", layers=1, units=64, embedding=32, dropout=0.0, smoothing=0.0, batch=2400, steps=1000, lr=1e-2,
    monitor="loss", precision="32",
)  # fmt: skip  # pairs cost nothing here, so none is met often; bfloat16 gains nothing in so small a network
SHOWN = 5  # translations, and mistakes, at most
PICTURE = "attention.png"
START, MAX_LENGTH = "the day before", 40  # of the sentence that is drawn, in characters


def run(
    out: Path, say: Callable[[str], None], counts: tuple[int, int, int] = COUNTS, **options: Any
) -> tuple[dict[str, Any], str]:
    """Fit, score on unseen dates, draw the attention; the score and a text for people.

    counts: see `COUNTS`. options: arguments of `fit` in place of the demo's own.
    """
    optional("matplotlib", "translate")  # now, and not a minute later
    train, held, last = counts
    pairs = dates.pairs(sum(counts), seed=0)
    unseen = pairs[-last:]
    say(f"Dates in words to year-month-day, letter by letter. {last:,} are held out; no two are written alike.")
    made = fit(pairs[:train], valid=pairs[train : train + held], out=out, overwrite=True, **RECIPE | options)
    say(made.summary())
    result = made.score([text for text, _ in unseen], [iso for _, iso in unseen])
    best = [one for one, *_ in made.translate([text for text, _ in unseen])]
    text, one = choose(unseen, best)
    draw(out / PICTURE, made, text, one)
    parts = [
        "\n".join(list_examples(unseen, best)), rank(result), scoring.table(result),
        f"Attention for {text!r}:", alignment.table(*alignment.by_words(made, one)),
        f"The same letter by letter is drawn in {out / PICTURE}.",
    ]  # fmt: skip
    return result, "\n" + "\n\n".join(parts)


def list_examples(pairs: Sequence[tuple[str, str]], best: Sequence[Translation]) -> list[str]:
    """The first translations, and the first wrong ones with the right dates."""
    wrong = [(one.text, iso, text) for one, (text, iso) in zip(best, pairs, strict=True) if one.text != iso]
    lines = [f"{one.text}  {text}" for one, (text, _) in zip(best[:SHOWN], pairs, strict=False)]
    more = ", the first" if len(wrong) > SHOWN else ""
    lines += ["", f"{len(wrong):,} of {len(best):,} wrong" + (f"{more}:" if wrong else ".")]
    return lines + [f"{output}  {text}, which is {iso}" for output, iso, text in wrong[:SHOWN]]


def rank(result: dict[str, Any]) -> str:
    """The shares of exact dates of the model and its baselines, best first."""
    exact = {scoring.NAMES[kind]: other["exact"] for kind, other in result["baselines"].items()}
    exact[result["model"]] = result["exact"]
    names = sorted(exact, key=lambda name: -exact[name])
    return "\n".join(["Exact", *(f"{100 * exact[name]:6.1f} %  {name}" for name in names)])


def choose(pairs: Sequence[tuple[str, str]], best: Sequence[Translation]) -> tuple[str, Translation]:
    """The example to draw: the first right translation of a short sentence that begins with `START`, if any."""
    right = [(text, one) for (text, iso), one in zip(pairs, best, strict=True) if one.text == iso]
    fits = [(text, one) for text, one in right if text.startswith(START) and len(text) <= MAX_LENGTH]
    return next(iter([*fits, *right]), (pairs[0][0], best[0]))


def draw(path: Path, run: Run, text: str, one: Translation) -> None:
    """A row for each output character and a column for each input character, without the space before the first."""
    model = run.model
    sides = [[side.piece(k) for k in ids] for side, ids in ((model.source, one.source), (model.target, one.target))]
    s, t = (int(len(characters) > 1 and characters[0] == " ") for characters in sides)
    alignment.picture(
        path, sides[0][s:], sides[1][t:], one.attention[t:, s:], title=f"{text} → {one.text}",
        names=("letters read", "letters written"),
    )  # fmt: skip
