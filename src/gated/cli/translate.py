"""`gated translate`"""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import click

from gated.cli.words import EXISTING, JSON, QUIET, VERBS, flag, given, options, say, show

MORE = {"attend": "Show where a run looks while it translates a sentence."}


class Pairs(click.Command):
    """A command whose --valid takes as many files as stand behind it: two, or one that holds pairs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--valid" in args:
            k = args.index("--valid")
            names = list(itertools.takewhile(lambda word: not word.startswith("-"), args[k + 1 : k + 3]))
            if len(names) == 2 and not re.search(r"\.(tsv|tab|jsonl|ndjson|pot?)(\.gz)?$", names[0], re.I):
                args = [*args[: k + 2], "--valid", *args[k + 2 :]]
        return super().parse_args(ctx, args)


def command(verb: str) -> click.Command:
    from gated.tasks import translate as task

    def fit(data: tuple[str, ...], valid: tuple[str, ...], out: Path, resume: bool, quiet: bool, as_json: bool,
            **words: Any) -> None:  # fmt: skip
        held = two(valid) if len(valid) > 1 else valid[0] if valid else None
        config = task.Config(**given(task.Config, words))
        source, *target = two(data)
        run = task.fit(source, *target, config=config, valid=held, out=out, resume=resume, progress=not quiet)
        if as_json or not quiet:
            show({"run": str(out), **run.metrics}, as_json, run.summary)

    def predict(run: Path, data: str, beside: tuple[Path, ...], prefix: str | None, out: str, align: str | None,
                scores: bool, fuzzy: bool, **words: Any) -> None:  # fmt: skip
        loaded, others = task.load(run), [task.load(other) for other in beside]
        if data == "-" and sys.stdin.isatty():
            say("Type a sentence a line; Ctrl-D ends.")
        note = task.write(loaded, data, out, beside=others, prefixes=prefix, align=align, scores=scores, fuzzy=fuzzy,
                          **given(task.Search, words))  # fmt: skip
        if note:
            say(note)

    def score(run: Path, data: tuple[str, ...], beside: tuple[Path, ...], as_json: bool, **words: Any) -> None:
        others = [task.load(other) for other in beside]
        result = task.load(run).score(*two(data), beside=others, **given(task.Search, words))
        show(result, as_json, lambda: task.table(result))

    def attend(run: Path, sentence: str, out: Path | None, as_json: bool, **words: Any) -> None:
        result, table = task.looks(task.load(run), sentence, out, **given(task.Search, words))
        show(result, as_json, lambda: table)

    def two(data: tuple[str, ...]) -> tuple[str, ...]:
        if len(data) > 2:
            raise click.UsageError(f"expected one file of pairs or two aligned files, got {len(data)}.")
        return data

    run, search = click.Argument(["run"], type=EXISTING), options(task.Search)
    data = click.Argument(["data"], nargs=-1, required=True, metavar="SOURCE [TARGET]")
    to = click.Option(["--out"], type=click.Path(path_type=Path), required=True, help="Folder of the run to write.")
    held = click.Option(["--valid"], multiple=True, metavar="SOURCE [TARGET]", help="Pairs to validate on.")
    beside = click.Option(
        ["--with", "beside"], type=EXISTING, multiple=True, help="Another run, to decide together: an ensemble."
    )
    params: dict[str, list[click.Parameter]] = {
        "fit": [
            data, held, to, flag("resume", "Go on where a stopped fit left off."), QUIET, JSON, *options(task.Config),
        ],
        "predict": [
            run, click.Argument(["data"], default="-", metavar="[SOURCE]"), beside,
            click.Option(["--out"], default="-", show_default=True, help="File to write; - is standard output."),
            click.Option(["--prefix"], help="File with what each translation must begin with, a line each."),
            click.Option(["--align"], help="File for the word alignments, 0-0 1-2 …, a line for each sentence."),
            flag("scores", "Before each translation the number of its line and its score, tabs between."),
            flag("fuzzy", "Of a catalogue, translate also what is marked fuzzy."), *search,
        ],
        "score": [run, data, beside, JSON, *search],
        "attend": [
            run, click.Argument(["sentence"]),
            click.Option(["--out"], type=click.Path(path_type=Path), help="PNG or SVG file for the picture."),
            JSON, *search,
        ],
    }  # fmt: skip
    calls = {"fit": fit, "predict": predict, "score": score, "attend": attend}
    return Pairs(verb, params=params[verb], callback=calls[verb], help=(VERBS | MORE)[verb])
