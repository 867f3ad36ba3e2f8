"""Recurrent networks that are fast, show what happens inside, and do whole jobs.

Names are imported when first touched, so that `import gated` and `gated --help` cost nothing they do not use.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gated._check import InputError as InputError

__version__ = _version("gated")

_HOME = {"InputError": "gated._check"}  # where each public name lives; a module lives in itself

__all__ = ["__version__", *sorted(_HOME)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gated' has no attribute {name!r}")
    home = importlib.import_module(_HOME[name])
    value = home if _HOME[name].rpartition(".")[2] == name else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
