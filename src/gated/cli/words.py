"""What commands are made of: options from a Config's fields, and what goes to which stream."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from types import UnionType
from typing import Any

import click

VERBS = {  # what every task offers
    "fit": "Learn from data and write a run folder.",
    "predict": "Use a run on new data.",
    "score": "Measure a run on data that hold the truth, beside its baselines.",
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
