"""How a Config is declared, checked, and read from words or JSON; and the options that every training shares.

    @dataclass(frozen=True, kw_only=True)
    class Config(Training):
        units: int | None = option(None, "Units of each layer.", low=1)
        cell: str = option("lstm", "Recurrent cell.", choices=("lstm", "gru"))
        lr: float = default("lr", 2e-3)

A field's type, bounds and choices are checked when a Config is made; None passes where the type allows it.
`cli/grammar.py` makes the options of the command line of the same fields, so each default stands in one place.
"""

from __future__ import annotations

import functools
import operator
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import UnionType
from typing import Any

from gated._check import near, one_of, want, within

INFINITE = float("inf")
T = typing.TypeVar("T")


def option(value: Any, help: str, *, low: float | None = None, high: float = INFINITE, **more: Any) -> Any:
    """A field: its default, what it is for, the bounds of its number, and `choices`, or `seconds=True` for a time."""
    return field(default=value, metadata={"help": help, "low": low, "high": high, **more})


def required(help: str, *, low: float | None = None, high: float = INFINITE, **more: Any) -> Any:
    """A field without a default."""
    return field(metadata={"help": help, "low": low, "high": high, **more})


def default(name: str, value: Any) -> Any:
    """The field of `Training` of this name, with another default."""
    return field(default=value, metadata=Training.__dataclass_fields__[name].metadata)


@functools.cache
def kinds(config: type) -> dict[str, tuple[type, bool]]:
    """Of every field its type, a tuple's being that of its items, and whether None is allowed."""
    out: dict[str, tuple[Any, bool]] = {}
    for name, hint in typing.get_type_hints(config).items():
        union = typing.get_origin(hint) in (typing.Union, UnionType)
        args = typing.get_args(hint) if union else (hint,)
        out[name] = next(arg for arg in args if arg is not type(None)), type(None) in args
    return out


def check(config: Any, where: str = "") -> None:
    """Check every field of a frozen dataclass against its type, bounds and choices; lists become tuples."""
    for one in fields(config):
        kind, optional = kinds(config.__class__)[one.name]
        name, value = f"{where} {one.name}".lstrip(), getattr(config, one.name)
        low, high = one.metadata.get("low"), one.metadata.get("high", INFINITE)
        if value is None and optional:
            continue
        if typing.get_origin(kind) is tuple:
            single = isinstance(value, str | float | int)
            items: tuple[Any, ...] = () if value is None else (value,) if single else tuple(value)
            object.__setattr__(config, one.name, items)
        elif one.metadata.get("choices"):
            one_of(name, value, one.metadata["choices"])
        elif kind is int:
            object.__setattr__(config, one.name, _whole(name, value, 0 if low is None else int(low), high))
        elif kind is float and low is not None:
            within(name, value, low, high)


def _whole(where: str, value: Any, low: int, high: float) -> int:
    """The value as a Python integer of [low, high]; NumPy's integers are welcome."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    span = f"a whole number of at least {low}" if high == INFINITE else f"a whole number from {low} to {high:g}"
    want(number is not None and low <= number <= high, where, span, repr(value))
    return typing.cast(int, number)


def make(kind: type[T], words: Mapping[str, Any], config: T | None = None, where: str = "fit") -> T:
    """A Config with these options, or the given one changed by them; an unknown name is answered with the nearest."""
    names = [one.name for one in fields(typing.cast(Any, kind))]
    unknown: Sequence[str] = sorted(set(words) - set(names))
    todo = next(filter(None, (near(name, names) for name in unknown)), f"Its fields are those of {kind.__name__}.")
    want(not unknown, where, f"options of {kind.__name__}", ", ".join(map(repr, unknown)), todo)
    return kind(**words) if config is None else replace(typing.cast(Any, config), **words)


def restore(kind: type[T], words: Mapping[str, Any]) -> T:
    """A Config, or another record, from JSON, whose lists were tuples."""
    tuples = {name: tuple(typing.cast(list[Any], value)) for name, value in words.items() if isinstance(value, list)}
    return kind(**{**words, **tuples})


@dataclass(frozen=True, kw_only=True)
class Training:
    """The options that every training has. None means that the value follows from the data."""

    steps: int | None = option(None, "Number of weight updates.", low=1)
    lr: float = option(1e-3, "Peak learning rate.", low=1e-9)
    clip: float = option(1.0, "Maximum norm of the gradient.", low=1e-9)
    average: int = option(1, "Average the weights of the N best checkpoints.", low=1)
    ema: float = option(
        0.0, "Decay of the exponential moving average of the weights; 0 disables it.", low=0, high=0.99999
    )
    patience: int | None = option(None, "Stop after N evaluations without improvement.", low=1)
    time_limit: float | None = option(None, "Stop training after this time: 90s, 30m, 2h.", low=0.001, seconds=True)
    precision: str = option(
        "auto",
        "Precision of matrix products; auto selects bfloat16 where the processor supports it.",
        choices=("auto", "32", "bf16"),
    )
    watch: bool = option(
        False, "Record each layer's gradient norms and gate saturation during training, in history.csv."
    )
    device: str = option("auto", "Device to train on.", choices=("auto", "cpu", "cuda"))
    seed: int = option(0, "Random seed; two runs with one seed are equal unless a time limit ends them.", low=0)

    def __post_init__(self) -> None:
        check(self)
