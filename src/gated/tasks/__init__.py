"""Whole jobs: each task offers `fit`, `load`, a `Run` with `predict`, `score`, `save`, and one frozen `Config`.

A task is a folder with a record in `task.py`; `TASKS` opens the record of every folder that has one. The command line,
the probe and the tests know of a task what its record says.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

VERBS = {  # what every task offers on the command line
    "fit": "Train on data and write a run folder.",
    "predict": "Apply a run to new data.",
    "score": "Evaluate a run on data with known targets, beside its baselines.",
}


@dataclass(frozen=True)
class Task:
    """What the house knows of a task. It is data, cheap to import; the files of its folder do the work.

    - `run.py`: `Run`, `fit`, `load`; the package's door opens them.
    - `commands.py`: a function for each verb; `gated.cli.grammar` makes a command of its signature.
    - `view.py`, if the probe can look inside a run: `view(run, data, count)`.
    - `demo.py`, if there is one: `run(out, say)`.
    """

    name: str
    help: str  # one line
    extra: str  # what pip installs for it: gated[extra]
    Config: type  # extends options.Training
    metric: str  # the figure of `score` by which two runs compare,
    lower: bool  # and whether less is better
    artefacts: tuple[str, ...] = ()  # files that may lie beside a run in its folder
    verbs: Mapping[str, str] = field(default_factory=dict)  # beyond fit, predict, score: name and help

    def part(self, name: str) -> ModuleType:
        """A file of the task's folder, imported now."""
        return importlib.import_module(f"{__name__}.{self.name}.{name}")

    def has(self, name: str) -> bool:
        """Whether the folder has this file."""
        return importlib.util.find_spec(f"{__name__}.{self.name}.{name}") is not None

    def load(self, folder: Any) -> Any:
        """The run of a folder."""
        return self.part("run").load(folder)

    @staticmethod
    def open(name: str, folder: Any) -> Any:
        """The run of a folder, by the name of its task: so a task takes a run of another."""
        return TASKS[name].load(folder)


class _Tasks(Mapping[str, Task]):
    """The records by name, opened when they are asked for."""

    def __getitem__(self, name: str) -> Task:
        if name not in folders("task.py"):
            raise KeyError(name)
        return importlib.import_module(f"{__name__}.{name}.task").TASK

    def __iter__(self) -> Iterator[str]:
        return iter(folders("task.py"))

    def __len__(self) -> int:
        return len(folders("task.py"))


TASKS = _Tasks()


def folders(file: str) -> dict[str, Path]:
    """The folders of tasks that hold this file, by name, and the file of each."""
    places = {m.name: Path(str(m.module_finder.path), m.name, file) for m in pkgutil.iter_modules(__path__) if m.ispkg}  # pyright: ignore
    return {name: path for name, path in sorted(places.items()) if path.is_file()}


def demos() -> dict[str, str]:
    """The demos by name, and the first line of each one's docstring."""
    texts = {name: ast.get_docstring(ast.parse(path.read_text("utf-8"))) for name, path in folders("demo.py").items()}
    return {name: (text or "").split("\n")[0] for name, text in texts.items()}


def __getattr__(name: str) -> ModuleType:
    if name in folders("__init__.py"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
