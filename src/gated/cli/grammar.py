"""Commands from functions: the signature is the grammar.

    def backtest(
        run: Run,
        data: str | None = None,
        /,
        *,
        windows: Annotated[int, "Number of forecast origins."] = 3,
        refit: Annotated[bool, "Train anew at every origin."] = False,
    ) -> Output:

becomes `gated forecast backtest RUN [DATA] --windows N --refit --json`:

- A positional parameter is an argument, optional if it has a default; a tuple takes as many words as come.
- `run: Run` is the folder of a run, which is loaded.
- A keyword is an option: `Annotated` gives its help; a bool is a flag, a `Literal` a choice, a tuple `a,b,c`, a list an
  option that may come again.
- A keyword of a dataclass type, such as `config: Config` or `search: Search`, stands for an option a field.
- `as_json: bool` is given to a command that prints by itself.

Every command takes --json: one object on standard output and nothing else there.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
import os
import sys
import textwrap
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal

import click

from gated import options
from gated._check import escape, near, want
from gated.io import files
from gated.io.text import siblings

STDOUT = "standard output"


class Lazy(click.Group):
    """A group whose commands are made when they are asked for, so that help costs no import."""

    def __init__(self, name: str, known: Mapping[str, str], make: Callable[[str], click.Command], help: str):
        super().__init__(name, help=help, no_args_is_help=True)
        self.known, self.make = known, make

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.known)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.make(cmd_name) if cmd_name in self.known else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.known and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}. {near(args[0], self.known)}".rstrip())
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.known.items()))


class Repeated(click.Command):
    """A command with options that take several words: of `counts`, by flag, how many of the words behind belong to it.

    --valid A B is --valid A --valid B.
    """

    counts: Mapping[str, Callable[[list[str]], int]] = {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for flag, count in self.counts.items():
            if flag in args:
                k = args.index(flag) + 1
                behind = list(itertools.takewhile(lambda word: not word.startswith("-"), args[k:]))
                own = behind[: count(behind)]
                args = [*args[: k - 1], *(word for name in own for word in (flag, name)), *args[k + len(own) :]]
        return super().parse_args(ctx, args)


# ---- a function as a command


def command(verb: str, help: str, function: Callable[..., Any], load: Callable[[Path], Any]) -> click.Command:
    """The command of a function; `load` makes a run of a folder."""
    hints = typing.get_type_hints(function, include_extras=True)
    params: list[click.Parameter] = []
    records: dict[str, type] = {}  # keywords that stand for the fields of a dataclass
    names = inspect.signature(function).parameters
    for name, parameter in names.items():
        kind = hints[name]
        if dataclasses.is_dataclass(kind) and name != "run":  # its own fields; a run's is a folder
            records[name] = typing.cast(type, kind)
            params += fields(records[name])
        elif name != "as_json":
            params.append(_parameter(parameter, kind))
    params.append(JSON)
    counts = {
        f"--{name}": hint.__metadata__[1] for name, hint in hints.items() if len(getattr(hint, "__metadata__", ())) > 1
    }

    def call(as_json: bool, **words: Any) -> None:
        if "run" in words:
            folder = words["run"]
            want(os.path.exists(folder), f"run folder {folder}", "a folder", "nothing there", siblings(folder))
            words["run"] = load(folder)
        for name, kind in records.items():
            mine = [one.name for one in dataclasses.fields(kind)]
            values = {key: words.pop(key) for key in mine if key in words}
            words[name] = kind(**{key: value for key, value in values.items() if value is not None})
        if "as_json" in names:
            words["as_json"] = as_json
        order = [words.pop(name) for name, one in names.items() if one.kind is one.POSITIONAL_ONLY]
        words = {name: word for name, word in words.items() if word is not None}  # else the function's own default
        show(function(*order, **words), as_json)

    repeated = Repeated(verb, params=params, callback=call, help=help)
    repeated.counts = counts
    return repeated


def _parameter(parameter: inspect.Parameter, hint: Any) -> click.Parameter:
    """A parameter of a function as an argument or an option."""
    kind, (help, *_) = (typing.get_args(hint)[0], hint.__metadata__) if hasattr(hint, "__metadata__") else (hint, [""])
    default, needed = parameter.default, parameter.default is parameter.empty
    if parameter.name == "run":
        return click.Argument(["run"], type=click.Path(path_type=Path))
    if parameter.kind is parameter.POSITIONAL_ONLY:
        many = typing.get_origin(kind) is tuple
        more: dict[str, Any] = {"nargs": -1} if many else {} if needed else {"default": default}
        return click.Argument([parameter.name], required=needed, type=_plain(kind), metavar=help or None, **more)
    if kind is bool and not default:
        return flag(parameter.name, help)
    return _option(parameter.name, kind, default, help, required=needed)


def fields(config: type) -> list[click.Parameter]:
    """Every field of a Config class as an option: its name, type, default and help are the field's own.

    What every training shares comes last.
    """
    hints, shared = typing.get_type_hints(config), {one.name for one in dataclasses.fields(options.Training)}
    params: list[click.Parameter] = []
    for one in sorted(dataclasses.fields(config), key=lambda one: one.name in shared):
        if one.metadata.get("flag"):
            params.append(flag(one.name, one.metadata["help"]))
            continue
        needed = one.default is dataclasses.MISSING
        more = {name: one.metadata[name] for name in ("choices", "seconds") if name in one.metadata}
        params.append(_option(one.name, hints[one.name], one.default, one.metadata.get("help", ""), needed, **more))
    return params


def _option(
    name: str, kind: Any, default: Any, help: str, required: bool, choices: Any = None, seconds: bool = False
) -> click.Option:
    flag = "--" + name.rstrip("_").replace("_", "-")
    kind = _plain(kind, inside=False)
    origin = typing.get_origin(kind)
    if origin is Literal:
        kind, choices = str, typing.get_args(kind)
    if origin is list:
        return click.Option(
            [flag, name], multiple=True, type=_plain(kind), help=help, callback=lambda ctx, param, words: list(words)
        )
    if origin is tuple:
        text = ",".join(map(str, default or ()))
        read = commas(typing.get_args(kind)[0])
        return click.Option(
            [flag, name], metavar="A,B,…", help=help + f"  [default: {text}]" * bool(text), callback=read
        )
    if kind is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}", name], default=bool(default), help=help, show_default=default)
    if seconds:
        return click.Option([flag, name], metavar="TIME", help=help, callback=time)
    more: dict[str, Any] = {"required": True} if required else {"default": default, "show_default": default is not None}
    return click.Option([flag, name], type=click.Choice(choices) if choices else kind, help=help, **more)


def _plain(kind: Any, inside: bool = True) -> Any:
    """The type without None, and with `inside` that of a tuple's or list's items; paths as click has them."""
    if typing.get_origin(kind) in (typing.Union, UnionType):
        kind = next(arg for arg in typing.get_args(kind) if arg is not type(None))
    if inside and typing.get_origin(kind) in (tuple, list):
        kind = typing.get_args(kind)[0]
    return click.Path(path_type=Path) if kind is Path else kind


def commas(item: type) -> Callable:
    """A callback that reads `a,b,c` as a tuple; None where the option was not given."""

    def read(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple | None:
        try:
            return None if text is None else tuple(item(word.strip()) for word in text.split(",") if word.strip())
        except ValueError:
            raise click.BadParameter(f"expected {item.__name__}s with commas between them, got {text!r}") from None

    return read


def time(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """A callback that reads 90, 90s, 30m or 2h as seconds."""
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in "smh" else (text, "s")
    try:
        return float(number) * {"s": 1, "m": 60, "h": 3600}[unit]
    except ValueError:
        raise click.BadParameter(f"expected a time such as 90, 90s, 30m or 2h, got {text!r}") from None


# ---- what goes to which stream


def say(text: str) -> None:
    """A table or a note for people, in which names from files write no control characters of their own.

    Work does not fail where nobody can be told of it.
    """
    try:
        click.echo(escape(text, keep="\n\t"), err=True)
    except OSError:
        discard(sys.stderr)


def discard(stream: Any) -> None:
    """Let go what is left to flush of a standard stream, which cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show(output: Any, as_json: bool) -> None:
    """An `Output`: its data and its text, or its result as one JSON object; the data are made in either case."""
    for part in output.data:
        if output.stream or not as_json:
            with files.named(STDOUT):
                sys.stdout.buffer.write(part)
                sys.stdout.flush()
    if as_json:
        result = output.result() if callable(output.result) else output.result
        with files.named(STDOUT):
            click.echo(json.dumps(result, allow_nan=False))
    else:
        text = output.text if isinstance(output.text, str) else output.text()
        if text:
            say(wrap(text))


def wrap(text: str) -> str:
    """The text with sentences no wider than the terminal, broken between words; tables are as wide as they are."""
    from gated.report.tables import terminal_width

    width = terminal_width(0)
    long = [line for line in text.split("\n") if len(line) > width > 0 and "  " not in line and "──" not in line]
    for line in dict.fromkeys(long):
        text = text.replace(line, textwrap.fill(line, width, break_on_hyphens=False))
    return text


def flag(name: str, help: str) -> click.Option:
    return click.Option(["--" + name.replace("_", "-"), name], is_flag=True, help=help)


JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object on standard output.")
