"""The manual of Python, which comes with it: train on it, score on pages left out, write a page, mark what surprises.

Takes about a minute.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gated.io import files
from gated.tasks.language import page, scoring
from gated.tasks.language.run import Run, fit

SECONDS = 50  # of training
SHARE = 12  # one page in so many is left out
LENGTH = 400  # characters that are written
PROMPT = 'The "'
PICTURE = "surprise.html"


def texts() -> tuple[str, str]:
    """The pages of the manual, and those of them that are left out, each as one text; no paragraph comes twice."""
    from pydoc_data import topics

    seen: set[str] = set()
    pages = []
    for _, text in sorted(topics.topics.items()):
        own = [part for part in dict.fromkeys(text.strip().split("\n\n")) if part.strip() and part.strip() not in seen]
        seen.update(part.strip() for part in own)
        pages += ["\n\n".join(own) + "\n\n"] if own else []
    random.Random(0).shuffle(pages)
    count = max(1, len(pages) // SHARE)
    return "".join(pages[count:]), "".join(pages[:count])


def run(
    out: Path, say: Callable[[str], None], progress: bool = True, size: int | None = None, **options: Any
) -> tuple[dict[str, Any], str]:
    """Fit, score on the pages left out, write and mark; the score and a text for people.

    size: characters of each of the two texts, all by default. options: those of `fit` in place of the demo's own.
    """
    known, unseen = (text[:size] for text in texts())
    say(f"Python's own manual, character by character. {len(unseen):,} characters are held out.")
    with tempfile.TemporaryDirectory() as folder:
        train, test = Path(folder) / "manual.txt", Path(folder) / "unseen.txt"
        train.write_text(known, "utf-8")
        test.write_text(unseen, "utf-8")
        recipe: dict[str, Any] = {"time_limit": SECONDS} | options
        fitted: Run = fit(train, out=out, overwrite=True, progress=progress, **recipe)
        say(fitted.summary())
        result = fitted.score(test)
        joint = fitted.score(test, ngram=True)
        marked = page.mark(fitted, test)
    marked.where = "Python's manual"
    files.write(out / PICTURE, page.render(marked).encode())
    text = [
        scoring.table(result), f"Network and n-gram together: {joint['nats']:.3f} nats.", f"Written after {PROMPT!r}:",
        PROMPT + str(fitted.predict(PROMPT, length=LENGTH, temperature=0.7)),
        f"The pages left out, coloured by what surprises in them: {out / PICTURE}.",
    ]  # fmt: skip
    return result, "\n" + "\n\n".join(text)
