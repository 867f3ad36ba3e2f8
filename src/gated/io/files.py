"""Files written whole or not at all: a run's, and what people ask for by name, by pipe or on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gated._check import want

__all__ = ["check", "create", "flush", "put", "replace", "write"]


def check(out: str | os.PathLike[str] | None, endings: Sequence[str] = ()) -> None:
    """Refuse before the work what cannot be written after it. None and "-" always can.

    endings: those that the name may have, such as ".csv"; any by default.
    """
    if out is None or str(out) == "-":
        return
    path, where = Path(out), str(out)
    want(not path.is_dir(), where, "a file to write", "a folder")
    want(path.parent.is_dir(), where, "a file in a folder that exists", "none", f"Make {path.parent} first.")
    place = path if _special(path) else Path(os.path.realpath(path)).parent
    want(os.access(place, os.W_OK), where, "a file that can be written", f"no right to write to {place}")
    if endings:
        want(path.suffix.lower() in endings, where, f"a name that ends in {' or '.join(endings)}", path.name)


@contextmanager
def create(out: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing bytes; it appears whole when the block ends, and not at all if that raises.

    "-" is standard output. A pipe or a device is written to as it is. A link stays a link, and a file that is replaced
    keeps its mode.
    """
    if str(out) == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    check(out)
    if _special(Path(out)):
        with open(out, "wb") as file:
            yield file
        return
    path = Path(os.path.realpath(out))
    new = path.with_name(f"{path.name}.new")
    mode = path.stat().st_mode if path.exists() else None
    try:
        with _fresh(new) as file:
            yield file
        if mode is not None:
            new.chmod(mode & 0o7777)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write(out: str | os.PathLike[str], data: bytes) -> None:
    """`create`, with all of its content at once."""
    with create(out) as file:
        file.write(data)


def replace(path: Path, data: bytes) -> None:
    """Replace what stands there, be it a link, in one step: readers and a crash see the old content or the new."""
    new = path.with_name(f"{path.name}.new")
    put(new, data)
    os.replace(new, path)
    flush(path.parent)


def put(path: Path, data: bytes) -> None:
    """Write a file through to the disk."""
    with _fresh(path) as file:
        file.write(data)


def flush(folder: Path) -> None:
    """Make renames in the folder outlast a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _fresh(path: Path) -> Iterator[BinaryIO]:
    """A new file, on the disk when the block ends."""
    path.unlink(missing_ok=True)  # never through a link that someone left under this name
    with open(path, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _special(path: Path) -> bool:
    """A pipe or a device, which is opened and never replaced; by its own name, since /dev/stdout leads to none."""
    return path.exists() and not path.is_file()
