"""What a file holds, by its first bytes and whatever its name: unpacked, or refused by the name of its format."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from gated._check import InputError, refuse, want
from gated.io.text import siblings, source_name

PACKED = {b"\x1f\x8b": ("gzip", gzip.open), b"BZh": ("bzip2", bz2.open), b"\xfd7zXZ\0": ("xz", lzma.open)}
FOREIGN = {
    b"ORC": "ORC", b"ARROW1": "a Feather file", b"FEA1": "a Feather file", b"\x89HDF\r\n\x1a\n": "HDF5",
    b"\x80\x02": "a pickle", b"\x80\x03": "a pickle", b"\x80\x04": "a pickle", b"\x80\x05": "a pickle",
    b"SQLite format 3": "SQLite", b"\x28\xb5\x2f\xfd": "zstd",
    b"%PDF": "a PDF", b"7z\xbc\xaf": "a 7-Zip archive", b"Rar!": "a RAR archive", b"Obj\x01": "Avro", b"<html": "HTML",
    b"<!DOCTYPE": "HTML", b"<?xml": "XML", b"{\\rtf": "RTF",
}  # fmt: skip
ZIP, OLE = b"PK", b"\xd0\xcf\x11\xe0"
BOOKS = {"xl/workbook.xml", "xl/workbook.bin", "content.xml"}  # members of workbooks
HEAD, STEP = 1 << 16, 1 << 20  # bytes of a first look, and of a part that is unpacked
LIMIT, RATIO, ALWAYS = 2 << 30, 200, 64 << 20  # bytes unpacked: at most; of one packed byte; that any file may have

UNPACK = "Unpack it, and name the table's file."


def sniff(source: Any, expected: str) -> tuple[bytes, bytes | None]:
    """The first bytes of a file, of a named pipe or, for "-", of standard input; and its content unless it is plain.

    Content that is packed comes unpacked, of a zip its one member; a workbook stays packed.

    Errors: no such file; a folder; an empty one; a foreign format; damaged; a zip of several; too much inside.
    """
    where, path, start, data = source_name(source), Path(source), b"", None
    if str(source) == "-":
        data = _all(sys.stdin.buffer, where)
    else:
        want(os.path.exists(path), where, expected, "no such file", siblings(path))
        want(not path.is_dir(), where, expected, "a folder")
        with path.open("rb") as file:
            start = file.read(HEAD) if path.is_file() else start
            if not path.is_file() or start.startswith((*PACKED, ZIP, OLE)):
                data = start + _all(file, where)
    start = start if data is None else data[:HEAD]
    want(len(start) > 0, where, "a file with a header line and rows", "an empty file")
    foreign = next((name for magic, name in FOREIGN.items() if start.lstrip().startswith(magic)), None)
    want(foreign is None, where, expected, foreign, "Save it as CSV.")
    if data is not None and start.startswith(ZIP):
        data = _unzip(data, where)
    elif data is not None and start.startswith(tuple(PACKED)):
        name, opener = next(how for magic, how in PACKED.items() if start.startswith(magic))
        data = _unpack(data, name, opener, where)
    return (start if data is None else data[:HEAD]), data


def _all(file: Any, where: str) -> bytes:
    parts, size = [], 0
    while part := file.read(STEP):  # in parts, for a read of so many bytes takes memory for them all
        parts.append(part)
        size += len(part)
        want(size <= LIMIT, where, f"at most {LIMIT >> 30} GB", "more")
    return b"".join(parts)


def _unpack(data: bytes, name: str, opener: Any, where: str) -> bytes:
    limit = min(LIMIT, max(ALWAYS, RATIO * len(data)))
    out = io.BytesIO()
    try:
        with opener(io.BytesIO(data), "rb") as file:
            while part := file.read(STEP):
                out.write(part)
                want(
                    out.tell() <= limit, where, f"a file that unpacks to at most {limit:,} bytes", "more", "Unpack it."
                )
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        refuse(where, f"a whole {name} file", str(error).rstrip("."), "It was cut short or damaged.")
    want(out.tell() > 0, where, "a file with a header line and rows", "an empty file")
    return out.getvalue()


def _unzip(data: bytes, where: str) -> bytes:
    """The one member of a zip; a workbook as it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            sizes = {m.filename: m.file_size for m in archive.infolist() if not m.is_dir()}
            limit = min(LIMIT, max(ALWAYS, RATIO * len(data)))
            total = sum(sizes.values())
            want(total <= limit, where, f"a file that unpacks to at most {limit:,} bytes", f"{total:,}", UNPACK)
            if BOOKS & set(sizes):
                return data
            names = [name for name, size in sizes.items() if size and not re.search(r"^__MACOSX/|(^|/)\.[^/]*$", name)]
            listed = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            want(
                len(names) == 1,
                where,
                "a zip file of one table",
                listed or "none",
                "Unpack it and name the table's file.",
            )
            with archive.open(names[0]) as file:
                out = file.read(limit + 1)
    except InputError:
        raise
    except (
        OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, ValueError, KeyError,
    ) as error:  # fmt: skip
        refuse(where, "a whole zip file", str(error).strip("'\"."), "It was cut short, damaged or encrypted.")
    want(len(out) <= limit, where, f"a file that unpacks to at most {limit:,} bytes", "more", UNPACK)
    return out
