"""Errors, in one voice: `where: expected what, got what. What to do.`"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterable
from typing import Any, NoReturn

CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)  # of terminals, and of direction


def escape(text: str, keep: str = "") -> str:
    """The text with control characters as Python writes them, but for those in `keep`."""
    return CONTROLS.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


def near(word: str, names: Iterable[str]) -> str:
    """The name that a word may have meant, as a question; empty where none is near."""
    alike = {name.lower(): name for name in names}
    found = difflib.get_close_matches(word.lower(), alike, 1)
    return f"Did you mean {alike[found[0]]!r}?" if found else ""


class InputError(ValueError):
    """A mistake in what was given, not in the library: the command line ends with status 2 on it.

    Its message is one line, with control characters escaped, for names and values in it may come from a file.
    """

    def __init__(self, message: str) -> None:
        super().__init__(escape(message))


class InputTensorError(InputError, RuntimeError):
    """A tensor that does not fit, by its shape or dtype: torch raises RuntimeError for it."""


class InputTypeError(InputError, TypeError):
    """An argument of another type than expected, for which torch and Python raise TypeError."""


def refuse(where: str, expected: str, got: object, todo: str = "", error: type[InputError] = InputError) -> NoReturn:
    """Raise `InputError`, or the kind of it, saying where, what was expected, what came, and what to do about it."""
    raise error(f"{where}: expected {expected}, got {got}." + (f" {todo}" if todo else ""))


def want(
    holds: bool, where: str, expected: str, got: object, todo: str = "", error: type[InputError] = InputError
) -> None:
    """`refuse` unless the condition holds."""
    if not holds:
        refuse(where, expected, got, todo, error)


def flags(where: str, **given: object) -> None:
    """Each argument, by its name, must be True or False: a word such as "False" would count as true."""
    for name, value in given.items():
        if not isinstance(value, bool):
            refuse(f"{where} {name}", "True or False", repr(value), error=InputTypeError)


def suggest(name: str, names: Iterable[str]) -> str:
    """Which of the names was meant, if one is near: a sentence for the end of an error, or none."""
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lower, 1, 0.5)
    return f"Did you mean {lower[near[0]]!r}?" if near else ""


def one_of(where: str, got: object, allowed: Iterable[object]) -> None:
    """The value must be one of the allowed ones, which the error lists."""
    allowed = tuple(allowed)
    if got not in allowed:
        refuse(where, "one of " + ", ".join(map(repr, allowed)), repr(got))


def within(where: str, got: object, low: float | int, high: float | int = float("inf")) -> None:
    """The number must lie in [low, high]."""
    span = f"a number of at least {low}" if high == float("inf") else f"a number from {low} to {high}"
    fits = isinstance(got, int | float) and not isinstance(got, bool) and low <= got <= high
    want(fits, where, span, repr(got))


def shape(where: str, tensor: Any, *expected: int | str) -> None:
    """The tensor must have these sizes; a string names an axis of any size.

    shape("LSTM input", x, "T", "B", 32)  ->  LSTM input: expected shape (T, B, 32), got (100, 8, 16).
    """
    got = tensor.shape
    fits = len(got) == len(expected)
    if fits:
        for size, axis in zip(got, expected, strict=True):
            fits = fits and (isinstance(axis, str) or axis == size)
    if not fits:  # a graph being recorded may have sizes that no text can be made of
        wanted = f"shape ({', '.join(map(str, expected))})"
        refuse(where, wanted, f"({', '.join(map(str, got))})", error=InputTensorError)


def optional(module: str, extra: str) -> Any:
    """Import a module that only an extra installs, or say which extra that is."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise InputError(f"{module} is not installed. Install it with: pip install 'gated[{extra}]'") from None
