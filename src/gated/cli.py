"""Words to calls, nothing more: `gated TASK fit | predict | score …`, `gated demo TASK`, `gated info`.

People's output goes to standard error; `--json` prints one object on standard output and nothing else there.
Status 0 on success, 2 on a user's mistake (one line, no traceback), 130 on Ctrl-C, 1 on a fault of ours.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import os
import re
import sys
import typing
from pathlib import Path
from types import UnionType
from typing import Any

import click

from gated._check import InputError

TASKS = {
    "forecast": "Time series: learn many series at once, forecast with uncertainty.",
    "translate": "From one language to another, learnt from pairs of sentences.",
}
VERBS = {  # what every task offers
    "fit": "Learn from data and write a run folder.",
    "predict": "Use a run on new data.",
    "score": "Measure a run on data that hold the truth, beside its baselines.",
}
MORE = {  # and what some offer besides
    "forecast": {
        "backtest": "Score over rolling origins.",
        "update": "Go on learning from saved weights on new rows.",
    },
    "translate": {"attend": "Show where a run looks while it translates a sentence."},
}
EXISTING = click.Path(exists=True, path_type=Path)


class Lazy(click.Group):
    """A group whose commands are made when they are asked for, so that help costs no import."""

    def __init__(self, name: str, known: dict[str, str], make: typing.Callable[[str], click.Command], help: str):
        super().__init__(name, help=help, no_args_is_help=True)
        self.known, self.make = known, make

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.known)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.make(cmd_name) if cmd_name in self.known else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.known.items()))


def option(field: dataclasses.Field, hints: dict[str, Any]) -> click.Option:
    """One field of a Config as one option: its name, type, default and help are the field's own."""
    flag, kind, default = "--" + field.name.replace("_", "-"), hints[field.name], field.default
    optional = typing.get_origin(kind) in (typing.Union, UnionType)
    if optional:
        kind = next(arg for arg in typing.get_args(kind) if arg is not type(None))
    help, required = field.metadata.get("help", ""), default is dataclasses.MISSING
    if typing.get_origin(kind) is tuple:
        text = ",".join(map(str, typing.cast(tuple, default))) or False
        return click.Option(
            [flag], metavar="A,B,…", help=help, show_default=text, callback=commas(typing.get_args(kind)[0])
        )
    if kind is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=default, help=help, show_default=True)
    if "seconds" in field.metadata:
        return click.Option([flag], metavar="TIME", help=help, callback=seconds)
    more = {"required": True} if required else {"default": default, "show_default": default is not None}
    choices = field.metadata.get("choices")
    return click.Option([flag], type=click.Choice(choices) if choices else kind, help=help, **more)


def commas(item: type) -> typing.Callable:
    """A callback that reads `a,b,c` as a tuple; None where the option was not given."""

    def read(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple | None:
        try:
            return None if text is None else tuple(item(word.strip()) for word in text.split(",") if word.strip())
        except ValueError:
            raise click.BadParameter(f"expected {item.__name__}s with commas between them, got {text!r}") from None

    return read


def seconds(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """A callback that reads 90, 90s, 30m or 2h as seconds."""
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in "smh" else (text, "s")
    try:
        return float(number) * {"s": 1, "m": 60, "h": 3600}[unit]
    except ValueError:
        raise click.BadParameter(f"expected a time such as 90, 90s, 30m or 2h, got {text!r}") from None


def options(config: type, leave: tuple[str, ...] = ()) -> list[click.Parameter]:
    """Every field of a Config class as an option."""
    hints = typing.get_type_hints(config)
    return [option(field, hints) for field in dataclasses.fields(config) if field.name not in leave]


def given(config: type, words: dict[str, Any]) -> dict[str, Any]:
    """The words that belong to a Config and were given: its own defaults stand for the rest."""
    names = {field.name for field in dataclasses.fields(config)}
    return {name: value for name, value in words.items() if name in names and value is not None}


def say(report: str) -> None:
    """A table or a note for people."""
    click.echo(report, err=True)


def show(result: dict[str, Any], as_json: bool, table: typing.Callable[[], str]) -> None:
    """The result as one JSON object on standard output, or as a table for people."""
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
    else:
        say(table())


def flag(name: str, help: str) -> click.Option:
    return click.Option([f"--{name}"], is_flag=True, help=help)


JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object on standard output.")
QUIET = flag("quiet", "No progress, no notes.")


def info(as_json: bool) -> None:
    import torch

    import gated
    from gated import _native, kernels

    facts = {
        "gated": gated.__version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "kernels": list(kernels.PATHS),
        "instruction set": _native.isa(),
        "instruction sets found": _native.isa_found(),
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "devices": ["cpu", *(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))],
    }
    words = {name: ", ".join(v) if isinstance(v, list) else v for name, v in facts.items()}
    show(facts, as_json, lambda: "\n".join(f"{name:<24}{value}" for name, value in words.items()))


def demo(task: str) -> click.Command:
    module = importlib.import_module(f"gated.tasks.{task}.demo")
    to = click.Option(["--out"], type=click.Path(path_type=Path), default=Path("demo"), help="Folder of the run.")

    def run(out: Path, as_json: bool) -> None:
        result, table = module.run(out, say=say)
        show(result, as_json, lambda: table)

    return click.Command(task, params=[to, JSON], callback=run, help=module.__doc__)


def forecast(verb: str) -> click.Command:
    from gated.tasks import forecast as task

    def fit(data: str, out: Path, resume: bool, quiet: bool, as_json: bool, **words: Any) -> None:
        run = task.fit(data, out=out, resume=resume, progress=not quiet, **given(task.Config, words))
        held = run.report(out)
        if as_json or not quiet:
            show({"run": str(out), **run.metrics, "held_out": held}, as_json, lambda: told(run, held))

    def told(run: Any, held: dict[str, Any] | None) -> str:
        return run.summary() + ("" if held is None else "\n\nThe horizon held out: " + task.table(held))

    def predict(run: Path, data: str | None, future: str | None, out: str, samples: int) -> None:
        frame = task.load(run).predict(data, future=future, samples=samples)
        task.write(frame, out)

    def score(run: Path, data: str, per: tuple[str, ...], as_json: bool) -> None:
        result = task.load(run).score(data, per=per or ())
        show(result, as_json, lambda: task.table(result))

    def backtest(run: Path, data: str | None, windows: int, step: int | None, refit: bool, as_json: bool) -> None:
        result = task.load(run).backtest(data, windows=windows, step=step, refit=refit)
        show(result, as_json, lambda: task.table(result))

    def update(run: Path, data: str, out: Path, steps: int | None, quiet: bool, as_json: bool) -> None:
        new = task.load(run).update(data, steps=steps, out=out, progress=not quiet)
        if as_json or not quiet:
            show({"run": str(out), **new.metrics}, as_json, lambda: new.summary())

    run, data = click.Argument(["run"], type=EXISTING), click.Argument(["data"])
    more = click.Argument(["data"], required=False)
    to = click.Option(["--out"], type=click.Path(path_type=Path), required=True, help="Folder of the run to write.")
    params: dict[str, list[click.Parameter]] = {
        "fit": [data, to, flag("resume", "Go on where a stopped fit left off."), QUIET, JSON, *options(task.Config)],
        "predict": [
            run, more,
            click.Option(["--future"], help="File with the known columns of the steps to come."),
            click.Option(["--out"], default="-", show_default=True, help="CSV or Parquet file; - is standard output."),
            click.Option(["--samples"], type=int, default=0, help="Sample paths instead of quantiles."),
        ],
        "score": [
            run, data,
            click.Option(
                ["--per"], callback=commas(str), default="", metavar="step,series", help="Detail by step or series."
            ),
            JSON,
        ],
        "backtest": [
            run, more,
            click.Option(["--windows"], type=int, default=3, show_default=True, help="Origins."),
            click.Option(["--step"], type=int, help="Steps between origins; the horizon."),
            flag("refit", "Learn anew at every origin."), JSON,
        ],
        "update": [run, data, to, click.Option(["--steps"], type=int, help="Updates of the weights."), QUIET, JSON],
    }  # fmt: skip
    calls = {"fit": fit, "predict": predict, "score": score, "backtest": backtest, "update": update}
    return click.Command(verb, params=params[verb], callback=calls[verb], help=(VERBS | MORE["forecast"])[verb])


class Pairs(click.Command):
    """A command whose --valid takes as many files as stand behind it: two, or one that holds pairs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--valid" in args:
            k = args.index("--valid")
            names = list(itertools.takewhile(lambda word: not word.startswith("-"), args[k + 1 : k + 3]))
            if len(names) == 2 and not re.search(r"\.(tsv|tab|jsonl|ndjson|pot?)(\.gz)?$", names[0], re.I):
                args = [*args[: k + 2], "--valid", *args[k + 2 :]]
        return super().parse_args(ctx, args)


def translate(verb: str) -> click.Command:
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
    return Pairs(verb, params=params[verb], callback=calls[verb], help=(VERBS | MORE["translate"])[verb])


COMMANDS = {
    **TASKS,
    "demo": "Learn something real in a minute or two.",
    "info": "Versions, kernels, instruction set, threads, devices.",
}


def command(name: str) -> click.Command:
    """The first word after `gated`."""
    if name == "info":
        return click.Command("info", params=[JSON], callback=info, help=COMMANDS["info"])
    if name == "demo":
        return Lazy("demo", TASKS, demo, COMMANDS["demo"])
    return Lazy(name, VERBS | MORE[name], globals()[name], TASKS[name])


def main(words: list[str] | None = None) -> None:
    """The door: run one command and leave with its status."""
    gated = Lazy(
        "gated", COMMANDS, command, "Recurrent networks that are fast, show what happens inside, and do whole jobs."
    )
    click.version_option(package_name="gated")(gated)
    try:
        with gated.make_context("gated", sys.argv[1:] if words is None else list(words)) as ctx:
            gated.invoke(ctx)
        sys.stdout.flush()  # here, so that a reader who left is noticed while it can be handled
    except click.exceptions.Exit as done:  # --help and --version
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as help:
        say(help.format_message())
        sys.exit(2)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "gated"
        mistake(f"{' '.join(error.format_message().split())} See {where} --help.")
    except InputError as error:
        mistake(str(error))
    except (KeyboardInterrupt, click.Abort):
        say("Stopped. A fit that has a folder goes on with --resume.")
        sys.exit(130)
    except BrokenPipeError:  # a reader such as head has read enough: no mistake of anyone's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush goes nowhere
    except OSError as error:  # a file of the user's that cannot be read or written; any other is a fault of ours
        if error.filename is None:
            raise
        mistake(f"{error.filename}: {error.strerror}.")


def mistake(said: str) -> typing.NoReturn:
    """One line, and the status of a user's mistake."""
    say(f"Error: {said}")
    sys.exit(2)
