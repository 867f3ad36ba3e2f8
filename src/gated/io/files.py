"""Files written whole or not at all: a run's, and what people ask for by name, by pipe or on standard output."""

from __future__ import annotations

import errno
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gated._check import refuse, want

__all__ = ["check", "create", "flush", "lock", "named", "put", "replace", "write"]

PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")  # what is written is plain
LOCK = ".lock"  # in a folder that a fit writes
DESCRIPTOR = re.compile(r"/dev/(?:fd/(\d+)|(stdin|stdout|stderr))|/proc/(?:self|\d+)/fd/(\d+)")


def check(out: str | os.PathLike[str] | None, endings: Sequence[str] = ()) -> None:
    """Refuse before the work what cannot be written after it. None and "-" always can.

    endings: those that the name may have, such as ".csv"; any by default.
    """
    if out is None or str(out) == "-":
        return
    path, where = Path(out), str(out)
    want(not path.is_dir(), where, "a file to write", "a folder")
    packed = path.suffix.lower() in PACKED and not _special(path)
    todo = f"Leave {path.suffix} out, and pack the file when it is written."
    want(not packed, where, "a name of a file that is not packed", path.name, todo)
    want(path.parent.is_dir(), where, "a file in a folder that exists", "none", f"Make {path.parent} first.")
    place = path if _special(path) else Path(os.path.realpath(path)).parent
    want(os.access(place, os.W_OK), where, "a file that can be written", f"no right to write to {place}")
    if endings:
        want(path.suffix.lower() in endings, where, f"a name that ends in {' or '.join(endings)}", path.name)


@contextmanager
def create(out: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing bytes; it appears whole when the block ends, and not at all if that raises.

    "-" is standard output. A pipe or a device is written to as it is, and so is whatever /dev/stdout and its like stand
    for. A link stays a link, and a file that is replaced keeps its mode.
    """
    if str(out) == "-":
        with named("standard output"):
            yield sys.stdout.buffer
            sys.stdout.flush()
        return
    check(out)
    if _special(Path(out)):
        number = _descriptor(Path(out))
        with named(out), open(out if number is None else os.dup(number), "wb") as file:
            yield file
        return
    path = Path(os.path.realpath(out))
    new = path.with_name(f"{path.name}.new")
    mode = path.stat().st_mode if path.exists() else None
    try:
        with named(out), _fresh(new) as file:
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
    try:
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    flush(path.parent)


def put(path: Path, data: bytes) -> None:
    """Write a file through to the disk; where that fails there is none."""
    with named(path), _fresh(path) as file:
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
    file = open(path, "xb")  # noqa: SIM115, closed below
    try:
        yield file
        file.flush()
        os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):  # closing writes what is left, which cannot be
            file.close()
        path.unlink(missing_ok=True)
        raise
    file.close()


def _special(path: Path) -> bool:
    """A pipe or a device, which is opened and never replaced; by its own name, since /dev/stdout leads to none."""
    return _descriptor(path) is not None or (path.exists() and not path.is_file())


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a name such as /dev/stdout stands for, itself or by links that lead to it."""
    for _ in range(40):
        name = os.path.normpath(path if path.is_absolute() else Path.cwd() / path)
        if found := DESCRIPTOR.fullmatch(name):
            number = found[1] or found[3]
            return int(number) if number else ("stdin", "stdout", "stderr").index(found[2])
        if not path.is_symlink():
            break
        path = path.parent / os.readlink(path)
    return None


@contextmanager
def named(name: str | os.PathLike[str]) -> Iterator[None]:
    """Give errors of the system that name no file, such as a full disk's, the name of the one that is written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            error.filename = str(name).removesuffix(".new")
        raise


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the folder against other processes and threads; the system ends the hold when the process dies.

    The folder is made where it is missing, and taken away again if nothing was put into it. Raises `InputError` where
    another holds it.
    """
    fresh = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    try:
        handle = _hold(path)
        try:
            yield
        finally:
            with suppress(OSError):  # of Windows, which removes no open file
                path.unlink(missing_ok=True)  # while it is held, so that none holds a file without a name
            os.close(handle)
    finally:
        with suppress(OSError):  # something is in it
            for place in fresh:
                place.rmdir()


def _hold(path: Path) -> int:
    """An open file of this name, locked."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _claim(handle)
            if os.name == "nt" or (path.exists() and os.path.samestat(os.fstat(handle), path.lstat())):
                return handle  # else the one who held it took the name away meanwhile
        except BaseException as error:
            os.close(handle)
            if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                todo = "Wait for it, or name another folder."
                refuse(f"run folder {path.parent}", "a folder that no other fit writes", "one that is in use", todo)
            raise
        os.close(handle)


def _claim(handle: int) -> None:
    """Lock an open file, or raise the system's error where another has it."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # pyright: ignore
        return
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise
        warnings.warn("This file system has no locks: never let two fits write one folder at once.", stacklevel=2)
