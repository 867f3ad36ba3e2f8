"""Carbon dioxide over Mauna Loa, week by week: train on 1958-2000, forecast 2001, compare. Takes less than a minute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gated.io.tables import read
from gated.tasks.forecast.run import fit
from gated.tasks.forecast.scoring import table

DATA = Path(__file__).parent / "data" / "co2.csv"  # Keeling & Whorf 2004, Scripps Institution; public domain
WEEKS = 52


def run(out: Path, say: Callable[[str], None]) -> tuple[dict[str, Any], str]:
    """Fit, score on the last year, draw; the score and the table that shows it."""
    weeks = read(DATA)
    say("Weekly carbon dioxide at Mauna Loa, 1958 to 2001, with its 59 missing weeks. The last year is held out.")
    fitted = fit(weeks[:-WEEKS], time="week", target="ppm", horizon=WEEKS, out=out, overwrite=True)
    say(fitted.summary())
    result = fitted.score(weeks[-WEEKS:], report=out)
    return result, f"{table(result)}\n\nThe forecast is drawn in {out / 'report.html'} and {out / 'report.png'}."
