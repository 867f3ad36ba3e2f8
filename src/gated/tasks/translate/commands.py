"""`gated translate …`: a function for each verb."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from gated._check import want
from gated.io import files
from gated.runs import FitOptions, Output
from gated.tasks.translate import alignment, po, scoring
from gated.tasks.translate import run as translator
from gated.tasks.translate.data import has_columns, is_catalogue, read_sentences
from gated.tasks.translate.run import Run
from gated.tasks.translate.search import Search, Translation
from gated.tasks.translate.task import Config

LINES = 2048  # translated before any of them is written
PROBLEMS = 20  # of a catalogue, shown


def count_sides(names: list[str]) -> int:
    """The number of files of one set of pairs: two, or one that holds pairs."""
    return 1 if len(names) < 2 or has_columns(names[0]) or is_catalogue(names[0].removesuffix(".gz")) else 2


Pairs = Annotated[tuple[str, ...], "SOURCE [TARGET]"]
Beside = Annotated[list[Path], "Another run, to decode together: an ensemble."]


def fit(
    data: Pairs,
    /,
    *,
    valid: Annotated[list[str], "Pairs to validate on: SOURCE [TARGET].", count_sides],
    options: FitOptions,
    config: Config,
) -> Output:
    held = check_sides(tuple(valid)) if len(valid) > 1 else valid[0] if valid else None
    source, *target = check_sides(data)
    run = translator.fit(
        source, *target, config=config, valid=held, out=options.out, resume=options.resume, progress=not options.quiet
    )
    return options.output(run)


def predict(
    run: Run,
    data: Annotated[str, "[SOURCE]"] = "-",
    /,
    *,
    with_: Beside,
    prefix: Annotated[str | None, "File with what each translation must begin with, a line each."] = None,
    out: Annotated[str, "File to write; - is standard output."] = "-",
    align: Annotated[str | None, "File for the word alignments, 0-0 1-2 …, a line a sentence."] = None,
    scores: Annotated[bool, "Before each translation the number of its line and its score, tabs between."] = False,
    fuzzy: Annotated[bool, "Of a catalogue, translate fuzzy entries as well."] = False,
    search: Search,
) -> Output:
    """A line of the source gives a line, an empty one an empty one; a `.po` catalogue gives a catalogue.

    With `scores`, and with n_best above 1, a line is the number of the source's line, the score and the translation.
    """
    for path in (out, align):
        files.check(path)
    how = asdict(search)
    if is_catalogue(data):
        others = {"--with": with_, "--prefix": prefix, "--align": align, "--scores": scores}
        given = ", ".join(name for name, value in others.items() if value)
        want(not given, data, f"for a catalogue no {', '.join(others)}", given, "Leave it out.")
        return _report(run.fill(po.load(data), fuzzy=fuzzy, **how), out)
    want(data != "-" or prefix != "-", "prefixes", "a file", "standard input, which is the source")
    beside, scores = [translator.load(other) for other in with_], scores or search.n_best > 1
    typed = data == "-" and sys.stdin.isatty()
    if typed:
        sys.stderr.write("Type a sentence a line; Ctrl-D ends.\n")
    live = typed and out == "-" and align is None and prefix is None  # each line is answered before the next is read
    rows: list[dict[str, Any]] = []
    alignments: list[str] = []

    def parts() -> Iterator[bytes]:
        """The translations, some lines at a time."""
        typed_lines = (([line.decode(errors="replace")], None) for line in sys.stdin.buffer) if live else ()
        for lines, prefixes in typed_lines or _read(run, data, prefix):
            translations = run.translate(lines, beside=beside, prefixes=prefixes, **how)
            low = len(rows) + 1
            rows.extend(_row(n, best) for n, best in enumerate(translations, low))
            if align:
                alignments.extend(alignment.pharaoh(alignment.align_words(run, best[0])) for best in translations)
            yield "".join(_lines(translations, low, scores)).encode()
        if align:
            files.write(align, "".join(f"{line}\n" for line in alignments).encode())

    if out != "-":
        with files.create(out) as file:
            for part in parts():
                file.write(part)
    return Output(lambda: {"translations": rows}, data=parts() if out == "-" else ())


def _read(run: Run, data: str, prefix: str | None) -> Iterator[tuple[list[str], list[str] | None]]:
    """The lines of a file, and the beginnings of their translations, `LINES` at a time."""
    lines = run.read_lines(data)
    prefixes = None if prefix is None else read_sentences(prefix).source
    if prefixes is not None:
        want(len(prefixes) == len(lines), str(prefix), f"{len(lines)} lines, as of the source", len(prefixes))
    for low in range(0, len(lines), LINES):
        part = slice(low, low + LINES)
        yield lines[part], None if prefixes is None else prefixes[part]


def score(run: Run, data: Pairs, /, *, with_: Beside, search: Search) -> Output:
    beside = [translator.load(other) for other in with_]
    result = run.score(*check_sides(data), beside=beside, **asdict(search))
    return Output(result, lambda: scoring.table(result))


def attend(
    run: Run,
    sentence: str,
    /,
    *,
    out: Annotated[Path | None, "PNG or SVG file for the picture."] = None,
    search: Search,
) -> Output:
    return Output(*alignment.attend(run, sentence, out, **asdict(search)))


def check_sides(data: tuple[str, ...]) -> tuple[str, ...]:
    want(len(data) <= 2, "data", "one file of pairs or two aligned files", len(data))
    return data


def _row(n: int, best: Sequence[Translation]) -> dict[str, Any]:
    """The translations of a line as JSON has them."""
    texts = [{"text": one.text, "score": one.score} for one in best]
    return {"line": n, **texts[0], **({"n_best": texts} if len(texts) > 1 else {})}


def _lines(translations: Sequence[Sequence[Translation]], low: int, scores: bool) -> Iterator[str]:
    for n, best in enumerate(translations, low):
        for one in best:
            yield f"{n}\t{one.score:.4f}\t{one.text}\n" if scores else f"{one.text}\n"


def _report(outcome: po.Outcome, out: str) -> Output:
    """A filled catalogue, and the entries that a person should look at."""
    text = [f"{outcome.filled:,} text{'s' * (outcome.filled != 1)} filled and marked fuzzy."]
    text += [f"line {line}: {problem}" for line, problem in outcome.problems[:PROBLEMS]]
    more = len(outcome.problems) - PROBLEMS
    text += [f"and {more:,} more"] if more > 0 else []
    if outcome.empty:
        text.append(f"{len(outcome.empty):,} left empty, the first on line {outcome.empty[0]}.")
    if out != "-":
        files.write(out, outcome.data)
    problems = [{"line": line, "problem": problem} for line, problem in outcome.problems]
    result = {"filled": outcome.filled, "problems": problems, "empty": list(outcome.empty)}
    return Output(result, "\n".join(text), () if out != "-" else [outcome.data])
