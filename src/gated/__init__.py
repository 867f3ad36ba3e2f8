"""Recurrent networks that are fast, show what happens inside, and do whole jobs."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

import lazy_loader

# The names are in __init__.pyi and imported when first touched: `import gated` and `gated --help` cost nothing unused.
_open, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("gated")


def __getattr__(name: str) -> Any:
    try:
        return _open(name)
    except AttributeError:  # a task that the stub does not list
        tasks = import_module("gated.tasks")
        if name not in tasks.TASKS:
            raise
        return getattr(tasks, name)
