"""`gated transcribe`"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from gated.cli.words import EXISTING, JSON, QUIET, VERBS, flag, given, options, say, show

MORE = {
    "listen": "Write down sound while it comes.",
    "language": "Learn a language model from lines of text, for --lm.",
}


def command(verb: str) -> click.Command:
    from gated.tasks import transcribe as task

    def fit(data: str, valid: str | None, out: Path, resume: bool, quiet: bool, as_json: bool, **words: Any) -> None:
        run = task.fit(data, valid=valid, out=out, resume=resume, progress=not quiet, **given(task.Config, words))
        if as_json or not quiet:
            show({"run": str(out), **run.metrics}, as_json, run.summary)

    def predict(
        run: Path, data: tuple[str, ...], words: bool, out: str, bad: str, as_json: bool, **search: Any
    ) -> None:
        how = given(task.Search, search)
        for note in task.write(task.load(run), data, out, words=words, as_json=as_json, bad=bad, **how):
            say(note)

    def score(run: Path, data: str, lower: bool, marks: bool, bad: str, as_json: bool, **search: Any) -> None:
        how = given(task.Search, search)
        result = task.load(run).score(data, lower=lower, punctuation=marks, bad=bad, **how)
        show(result, as_json, lambda: task.table(result))

    def listen(
        run: Path, data: str, rate: int | None, piece: float, pause: float, as_json: bool, **search: Any
    ) -> None:
        loaded = task.load(run)
        if data == "-" and sys.stdin.isatty():
            raise click.UsageError("expected sound on standard input, or a file. Pipe raw 16-bit PCM into it.")
        told = sys.stderr.isatty() and not as_json
        latency = task.Latency()
        for heard in task.hear(
            loaded, sys.stdin.buffer if data == "-" else data, latency, rate=rate, piece=piece, pause=pause,
            **given(task.Search, search),
        ):  # fmt: skip
            for one in heard.done:
                click.echo("\r\033[K" if told else "", nl=False, err=True)
                found = {"text": one.text, "words": [word._asdict() for word in one.words], "heard": heard.seconds}
                click.echo(json.dumps(found) if as_json else one.text)
            if told:
                click.echo("\r\033[K" + task.tail(heard.partial), nl=False, err=True)
            sys.stdout.flush()
        result = latency.result()
        show({"latency": result}, as_json, lambda: ("\r\033[K" if told else "") + task.told(result))

    def language(run: Path, text: Path, out: Path, quiet: bool, as_json: bool, **words: Any) -> None:
        found = task.learn_language(
            task.load(run), text, out=out, progress=not quiet, **given(task.language.Config, words)
        )
        if as_json or not quiet:
            show({"run": str(out), **found.metrics}, as_json, found.summary)

    run, search = click.Argument(["run"], type=EXISTING), options(task.Search)
    data = click.Argument(["data"], metavar="DATA")
    bad = click.Option(
        ["--bad"], type=click.Choice(["refuse", "skip"]), default="refuse", show_default=True,
        help="Files that cannot be read.",
    )  # fmt: skip
    to = click.Option(["--out"], type=click.Path(path_type=Path), required=True, help="Folder of the run to write.")
    params: dict[str, list[click.Parameter]] = {
        "fit": [
            data, click.Option(["--valid"], help="A manifest or folder to validate on."), to,
            flag("resume", "Go on where a stopped fit left off."), QUIET, JSON, *options(task.Config),
        ],
        "predict": [
            run, click.Argument(["data"], nargs=-1, required=True, metavar="FILE…"),
            flag("words", "Every word with its times and confidence, a line each."),
            click.Option(["--out"], default="-", show_default=True, help="File to write; - is standard output."),
            bad, click.Option(["--json", "as_json"], is_flag=True, help="One JSON object a line for each file."),
            *search,
        ],
        "score": [
            run, data, flag("lower", "Ignore case."),
            click.Option(["--marks/--no-marks"], default=True, show_default=True, help="Count punctuation."), bad, JSON,
            *search,
        ],
        "listen": [
            run, click.Argument(["data"], default="-", metavar="[FILE]"),
            click.Option(["--rate"], type=int, help="Samples a second of raw PCM; those of the run."),
            click.Option(["--piece"], type=float, default=0.1, show_default=True, help="Seconds of a piece of a file."),
            click.Option(["--pause"], type=float, default=1.0, show_default=True, help="Seconds that end a line."),
            click.Option(["--json", "as_json"], is_flag=True, help="One JSON object a line."), *search,
        ],
        "language": [
            run, click.Argument(["text"], type=EXISTING), to, QUIET, JSON, *options(task.language.Config),
        ],
    }  # fmt: skip
    calls = {"fit": fit, "predict": predict, "score": score, "listen": listen, "language": language}
    return click.Command(verb, params=params[verb], callback=calls[verb], help=(VERBS | MORE)[verb])
