"""The words of a translation, and the attention between them."""

from __future__ import annotations

from typing import Any

from gated._check import want
from gated.tasks.translate import attend
from gated.tasks.translate.run import Run
from gated.tasks.translate.search import Translation


def words(run: Run, found: Translation) -> tuple[list[str], list[str], Any]:
    """The words of both sides, and the attention between them."""
    source, target = run.learnt.source.words(found.source), run.learnt.target.words(found.target)
    weights = attend.merge(found.attention, [at for _, at in source], [at for _, at in target])
    return [word for word, _ in source], [word for word, _ in target], weights


def alignment(run: Run, found: Translation) -> list[tuple[int, int]]:
    """Which source word each target word looked at most."""
    return attend.align(words(run, found)[2]) if found.target and found.source else []


def looks(run: Run, sentence: str, out: Any = None, **search: Any) -> tuple[dict[str, Any], str]:
    """Where a run looks while it translates: as JSON can hold it, and as a table; `out` is a file to draw it to."""
    ((best, *_),) = run.translate([sentence], **search)
    want(bool(best.target) and bool(best.source), "attend", "a sentence with a translation", repr(sentence))
    source, target, weights = words(run, best)
    result = {
        "text": best.text, "score": best.score, "source": source, "target": target,
        "attention": [[round(w, 4) for w in row] for row in weights.tolist()],
        "alignment": attend.pharaoh(attend.align(weights)),
    }  # fmt: skip
    if out is not None:
        attend.picture(out, source, target, weights)
    return result, f"{best.text}\n\n{attend.table(source, target, weights)}"
