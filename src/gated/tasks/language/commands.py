"""`gated language …`: a function for each verb."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from gated._check import want
from gated.io import files
from gated.runs import FitOptions, OutOptions, Output
from gated.tasks.language import data, generate, page, scoring
from gated.tasks.language import run as language
from gated.tasks.language.generate import Sample, Sampling
from gated.tasks.language.mixture import Mixing
from gated.tasks.language.run import Run
from gated.tasks.language.task import Config

COPY = 20  # tokens, from which a copied run is worth a sentence
SEPARATOR = b"\n----\n"  # between samples

Texts = Annotated[tuple[str, ...], "TEXT…"]
Valid = Annotated[list[str], "Text to validate on.", len]
Beside = Annotated[list[Path], "Another run, whose probabilities are averaged with this one's: an ensemble."]


def fit(data: Texts, /, *, valid: Valid, options: FitOptions, config: Config) -> Output:
    run = language.fit(check(data), config, valid=valid or None, **options.words())
    return options.output(run, notes=list(run.notes))


def predict(
    run: Run,
    text: Annotated[str | None, "[TEXT]"] = None,
    /,
    *,
    prompt: Annotated[str | None, "Text to continue."] = None,
    with_: Beside,
    sampling: Sampling,
    mixing: Mixing,
) -> Output:
    """The prompt is given by --prompt, or is the content of a file, or of standard input for "-"."""
    want(text is None or prompt is None, "predict", "a file or --prompt", "both")
    notes: list[str] = []
    begin = prompt or ""
    if text is not None:
        with data.read(text, run.config.key) as corpus:
            begin, notes = "".join(corpus.chunks(run.vocabulary.level)), corpus.notes
    beside = [language.load(other) for other in with_]
    samples: list[Sample] = []

    def parts() -> Iterator[bytes]:
        """The first sample as it is made, the others behind it."""
        for k, part in run.write(begin, sampling, samples, beside=beside, **asdict(mixing)):
            if k == 0:
                yield part
        for sample in samples[1:]:
            yield SEPARATOR + sample.data
        yield b"\n"

    def result() -> dict[str, Any]:
        rows = [describe(run, sample) for sample in samples]
        return {"text": rows[0]["text"], "samples": rows, "notes": notes}

    def words() -> str:
        return "\n".join([*notes, *(note for sample in samples for note in explain(run, sample))])

    return Output(result, words, parts())


def describe(run: Run, sample: Sample) -> dict[str, Any]:
    """A sample as JSON has it."""
    start, length = generate.longest_copy(sample.ids, run.text)
    copied = run.vocabulary.decode(sample.ids[start : start + length]).decode("utf-8", "replace")
    return {
        "text": sample.text, "tokens": len(sample.ids), "ended": sample.ended, "log_prob": sample.log_prob,
        "copied": {"tokens": length, "text": copied}, "loop": sample.loop, "complete": sample.complete,
    }  # fmt: skip


def explain(run: Run, sample: Sample) -> list[str]:
    """What people should know of a sample."""
    one = describe(run, sample)
    copied, text = one["copied"], " ".join(one["copied"]["text"].split())
    notes = [f"Longest run copied from the training text: {copied['tokens']:,} of {one['tokens']:,} tokens ({text!r})."]
    if sample.loop:
        notes.append(f"The text repeats its last {sample.loop:,} tokens; raise --temperature.")
    if not sample.complete:
        notes.append("The text does not match the regular expression as a whole; raise --length.")
    return notes


def score(run: Run, data: Texts, /, *, with_: Beside, mixing: Mixing) -> Output:
    result = run.score(check(data), beside=[language.load(other) for other in with_], **asdict(mixing))
    return Output(result, lambda: scoring.table(result))


def surprise(
    run: Run,
    data: Texts,
    /,
    *,
    out: Annotated[Path | None, "CSV or HTML file to write; CSV on standard output by default."] = None,
    with_: Beside,
) -> Output:
    files.check(out, (".csv", ".html"))
    marked = page.mark(run, check(data), beside=[language.load(other) for other in with_])
    if out is not None:
        files.write(out, page.render(marked).encode() if out.suffix.lower() == ".html" else page.to_csv(marked))
    return Output(marked.summary(), marked.describe, () if out is not None else [page.to_csv(marked)])


def update(
    run: Run,
    data: Texts,
    /,
    *,
    valid: Valid,
    options: OutOptions,
    steps: Annotated[int | None, "Number of weight updates."] = None,
    lr: Annotated[float | None, "Peak learning rate, by default a quarter of the fit's."] = None,
) -> Output:
    new = run.update(check(data), valid=valid or None, steps=steps, lr=lr, **options.words())
    return options.output(new, notes=list(new.notes))


def check(data: tuple[str, ...]) -> list[str]:
    want(len(data) > 0, "text", "at least one file", "none", 'Name files or folders, or "-" for standard input.')
    return list(data)
