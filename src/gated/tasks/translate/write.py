"""Translations on their way out: lines, scores, alignments, catalogues."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from gated._check import want
from gated.io import files
from gated.tasks.translate import attend, po, read
from gated.tasks.translate.run import Run, catalogue
from gated.tasks.translate.search import Translation

LINES = 2048  # translated, and written, at once
PROBLEMS = 20  # shown of a catalogue's


def write(
    run: Run, source: Any, out: str = "-", *, beside: Sequence[Run] = (), prefixes: Any = None,
    align: str | None = None, scores: bool = False, fuzzy: bool = False, **search: Any,
) -> str:  # fmt: skip
    """Translate a file, or standard input if it is "-", into a file, or to standard output; a note for people.

    A line of the source gives a line, an empty one an empty one. With `scores`, and with n_best above 1, a line is the
    number of the source's line, the score and the translation, tabs between. prefixes: a file with what each
    translation must begin with, a line each. align: a file for word alignments in Pharaoh's form. A `.po` catalogue
    gives a `.po` catalogue; `fuzzy` translates also what is marked so. Files are written whole or not at all.
    """
    for path in (out, align):
        files.check(path)
    if catalogue(source):
        others = {"--with": beside, "--prefix": prefixes, "--align": align, "--scores": scores}
        given = ", ".join(name for name, value in others.items() if value)
        want(not given, str(source), f"for a catalogue no {', '.join(others)}", given, "Leave it out.")
        outcome = run.fill(po.load(source), fuzzy=fuzzy, **search)
        files.write(out, outcome.data)
        return _met(outcome)
    scores = scores or search.get("n_best", 1) > 1
    want(str(source) != "-" or str(prefixes) != "-", "prefixes", "a file", "standard input, which is the source")
    if str(source) == "-" and sys.stdin.isatty() and out == "-" and align is None and prefixes is None:
        for n, line in enumerate(sys.stdin.buffer):
            found = run.translate([line.decode(errors="replace")], beside=beside, **search)
            files.write("-", "".join(_lines(found, n, scores)).encode())
        return ""
    lines = run.lines(source)
    starts = None if prefixes is None else read.sentences(prefixes).source
    if starts is not None:
        want(len(starts) == len(lines), str(prefixes), f"{len(lines)} lines, as of the source", len(starts))
    with files.create(out) as file, files.create(align) if align else nullcontext() as aligned:
        for low in range(0, len(lines), LINES):
            begin = None if starts is None else starts[low : low + LINES]
            found = run.translate(lines[low : low + LINES], beside=beside, prefixes=begin, **search)
            file.write("".join(_lines(found, low, scores)).encode())
            file.flush()
            if aligned:
                aligned.write("".join(f"{attend.pharaoh(alignment(run, best[0]))}\n" for best in found).encode())
    return ""


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


def _lines(found: Sequence[Sequence[Translation]], low: int, scores: bool) -> Iterator[str]:
    for n, best in enumerate(found, low + 1):
        for one in best:
            yield f"{n}\t{one.score:.4f}\t{one.text}\n" if scores else f"{one.text}\n"


def _met(outcome: po.Outcome) -> str:
    """What a person should look at in a filled catalogue."""
    told = [f"{outcome.filled:,} text{'s' * (outcome.filled != 1)} filled and marked fuzzy."]
    told += [f"line {line}: {problem}" for line, problem in outcome.problems[:PROBLEMS]]
    more = len(outcome.problems) - PROBLEMS
    told += [f"and {more:,} more"] if more > 0 else []
    if outcome.empty:
        told.append(f"{len(outcome.empty):,} left empty, the first on line {outcome.empty[0]}.")
    return "\n".join(told)
