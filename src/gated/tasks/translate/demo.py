"""Dates in words to dates as 2006-04-24, letter by letter: learn it, measure it on unseen ones, see where it looks.

Takes about a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gated._check import optional
from gated.tasks.translate import attend, dates, score
from gated.tasks.translate.run import Run, fit
from gated.tasks.translate.search import Translation
from gated.tasks.translate.write import words

PAIRS, HELD, UNSEEN = 20_000, 300, 1000
RECIPE: dict[str, Any] = dict(
    tokens="char", layers=1, units=64, embedding=32, dropout=0.0, smoothing=0.0, batch=2400, steps=1000, lr=1e-2,
    monitor="loss", precision="32",
)  # fmt: skip  # pairs cost nothing here, so none is met often; bfloat16 gains nothing in so small a network
SHOWN = 5  # translations, and mistakes, at most
PICTURE = "attention.png"
TOLD, WIDE = "the day before", 40  # what is drawn begins so, for there is more to look at, and has so few letters


def run(out: Path, say: Callable[[str], None]) -> tuple[dict[str, Any], str]:
    """Fit, score on unseen dates, draw where it looked; the score and the text that shows it."""
    optional("matplotlib", "translate")  # now, and not a minute later
    pairs = dates.pairs(PAIRS + HELD + UNSEEN, seed=0)
    unseen = pairs[-UNSEEN:]
    say(f"Dates in words to year-month-day, letter by letter. {UNSEEN:,} are kept apart; no two are written alike.")
    found = fit(pairs[:PAIRS], valid=pairs[PAIRS:-UNSEEN], out=out, **RECIPE)
    say(found.summary())
    result = found.score([told for told, _ in unseen], [iso for _, iso in unseen])
    best = [one for one, *_ in found.translate([told for told, _ in unseen])]
    told, one = chosen(unseen, best)
    draw(out / PICTURE, found, told, one)
    parts = [
        "\n".join(examples(unseen, best)), shares(result), score.table(result),
        f"Where it looked for {told!r}:", attend.table(*words(found, one)),
        f"The same letter by letter is drawn in {out / PICTURE}.",
    ]  # fmt: skip
    return result, "\n" + "\n\n".join(parts)


def examples(pairs: Sequence[tuple[str, str]], best: Sequence[Translation]) -> list[str]:
    """The first translations, and the first wrong ones with what they should be."""
    wrong = [(one.text, iso, told) for one, (told, iso) in zip(best, pairs, strict=True) if one.text != iso]
    lines = [f"{one.text}  {told}" for one, (told, _) in zip(best[:SHOWN], pairs, strict=False)]
    more = ", the first" if len(wrong) > SHOWN else ""
    lines += ["", f"{len(wrong):,} of {len(best):,} wrong" + (f"{more}:" if wrong else ".")]
    return lines + [f"{said}  {told}, which is {iso}" for said, iso, told in wrong[:SHOWN]]


def shares(result: dict[str, Any]) -> str:
    """Who wrote how many of the dates exactly, best first."""
    named = {score.NAMES[kind]: found["exact"] for kind, found in result["baselines"].items()}
    named[result["model"]] = result["exact"]
    ranked = sorted(named, key=lambda name: -named[name])
    return "\n".join(["Exact", *(f"{100 * named[name]:6.1f} %  {name}" for name in ranked)])


def chosen(pairs: Sequence[tuple[str, str]], best: Sequence[Translation]) -> tuple[str, Translation]:
    """What to draw: the first right translation of a short sentence that begins with `TOLD`, if there is one."""
    found = [(told, one) for (told, iso), one in zip(pairs, best, strict=True) if one.text == iso]
    fits = [(told, one) for told, one in found if told.startswith(TOLD) and len(told) <= WIDE]
    return next(iter([*fits, *found]), (pairs[0][0], best[0]))


def draw(path: Path, run: Run, told: str, one: Translation) -> None:
    """A row for each letter of the date and a column for each of the words, without the space before the first."""
    sides = [[side.piece(k) for k in ids] for side, ids in
             ((run.learnt.source, one.source), (run.learnt.target, one.target))]  # fmt: skip
    s, t = (int(len(letters) > 1 and letters[0] == " ") for letters in sides)
    attend.picture(
        path, sides[0][s:], sides[1][t:], one.attention[t:, s:], title=f"{told} → {one.text}",
        names=("letters read", "letters written"),
    )  # fmt: skip
