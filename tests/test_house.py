"""The house: who may import whom, and what a room may hold."""

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "gated"
ROOMS = sorted(path for path in SRC.rglob("*.py") if path != SRC / "__init__.py")

# A room's floor, by the first part of its path; it imports from lower floors, or from its own folder.
FLOORS = {
    "_check": 0, "_native": 0, "options": 0, "trees": 0, "unicode": 0,
    "cells": 1,
    "kernels": 2,
    "layers": 3, "io": 3, "features": 3, "data": 3, "decode": 3, "problems": 3,
    "checkpoint": 4, "train": 4, "observe": 4, "report": 4, "views": 4,
    "runs": 5,
    "tasks": 6,
    "probe": 7, "tune": 7, "scale": 7, "export": 7, "serve": 7,
    "cli": 8,
}  # fmt: skip
GROUND = {"_check", "_native", "options", "trees", "unicode"}
ONLY = {  # rooms that may see less than their floor would let them
    "_check": set(),
    "_native": set(),
    "options": {"_check"},
    "trees": set(),
    "unicode": set(),
    "io": GROUND,
    "features": GROUND,
    "data": GROUND,
    "decode": GROUND,
    "problems": GROUND,
    "checkpoint": GROUND | {"io", "data"},
    "train": GROUND | {"io", "data", "checkpoint"},
    "views": set(),
    "report": GROUND | {"io", "data"},
}


def room(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> set[str]:
    """The gated rooms that a file names in its imports, `tasks` with the task's name."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(SRC.parent).with_suffix("").parts[: -node.level] if node.level else ()
            base = ".".join([*package, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names} if base in {"gated", "gated.tasks"} else {base}
    return {name.removeprefix("gated.") for name in names if name.startswith("gated.")}


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: str(p.relative_to(SRC)))
def test_a_room_imports_only_from_lower_floors(path):
    """A room imports only from lower floors or its own folder, and never from another task."""
    here = room(path)
    for name in imports(path):
        there = name.split(".")[0]
        if there.startswith("__"):
            continue
        if here == there:
            own = path.relative_to(SRC).with_suffix("").parts
            mine = [own[1]] if len(own) > 2 else []  # tasks/__init__ is nobody's, and its record is everybody's
            assert here != "tasks" or name.split(".")[1:2] in (mine, ["Task"]), f"{name} is another task's"
        elif here in ONLY:
            assert there in ONLY[here], f"{here} may import only {sorted(ONLY[here])}, not {there}"
        else:
            assert FLOORS[there] < FLOORS[here], f"{here} (floor {FLOORS[here]}) imports {there} ({FLOORS[there]})"


def links() -> dict[str, set[str]]:
    """By file of the house, as a module, the files that it imports anywhere: in functions and for type checkers too."""
    files = {}
    for path in SRC.rglob("*.py"):
        parts = path.relative_to(SRC.parent).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = path, parts[:-1]
    found = {}
    for name, (path, package) in files.items():
        names = set()
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else ()
                base = ".".join([*above, *([node.module] if node.module else [])])
                names |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in files else base for alias in node.names}
        found[name] = names & files.keys()
    return found


def test_no_files_import_each_other_in_a_circle():
    """No file imports itself by way of others, in one room or through several, for type checkers included."""
    graph = links()
    assert "gated._check" in graph["gated.cells"]
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: str(p.relative_to(SRC)))
def test_no_file_outgrows_its_room(path):
    """No file passes 500 lines."""
    assert len(path.read_text().splitlines()) <= 500


def test_every_name_at_the_door_opens():
    """Every name in __all__ can be reached, and an unknown one raises AttributeError."""
    import gated

    for name in gated.__all__:
        assert getattr(gated, name) is not None
    with pytest.raises(AttributeError, match="nothing_here"):
        gated.nothing_here  # noqa: B018


def test_import_gated_loads_neither_torch_nor_pandas():
    """`import gated` alone imports nothing heavy."""
    code = "import sys, gated; print(sorted({'torch', 'pandas', 'lightning_fabric'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


TESTS = sorted(Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_no_test_borrows_from_another(path):
    """What several files of tests share stands in tests/made; none imports another."""
    for node in ast.walk(tree(path)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [name for name in names if name.startswith("test_")]
