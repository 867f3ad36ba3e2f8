"""JSON as frames: records, columns, an object a line, and objects that hold them."""

from __future__ import annotations

import json
from typing import Any

from gated._check import InputError, optional, refuse, want

pd: Any = optional("pandas", "forecast")

EXPECTED = 'a list of objects, an object of columns, {"data": [...]}, or an object a line'
LIMIT = 256 << 20  # bytes: as Python's objects they are ten times as large


def read(data: bytes, where: str) -> Any:
    """A pandas frame of a JSON document; `{"columns": [...], "data": [[...]]}` as pandas writes it is one as well."""
    want(len(data) <= LIMIT, where, f"at most {LIMIT:,} bytes of JSON", f"{len(data):,}", "Save it as CSV or Parquet.")
    content: Any = _load(data, where)
    notes: list[str] = []
    if isinstance(content, dict) and not isinstance(content.get("data"), list):
        tables = [name for name, part in content.items() if _is_records(part)]
        if len(tables) == 1:
            content, notes = content[tables[0]], [f"The records under {tables[0]!r} are read."]
    elif isinstance(content, dict):
        content, names = content["data"], content.get("columns")
        if isinstance(names, list) and all(isinstance(row, list) and len(row) == len(names) for row in content):
            content = [dict(zip(map(str, names), row, strict=True)) for row in content]
    if _is_records(content):
        frame = pd.DataFrame.from_records(content)
        frame.attrs["notes"] = notes
        return frame
    parts = list(content.values()) if isinstance(content, dict) else []
    if parts and all(isinstance(part, dict) for part in parts):
        if all(map(str.isdecimal, content)) and not any(map(str.isdecimal, parts[0])):  # rows, by their numbers
            return pd.DataFrame.from_records(parts)
        same = all(part.keys() == parts[0].keys() for part in parts)
        want(same, where, "columns of the same rows", "others")
        return pd.DataFrame({name: [part[key] for key in parts[0]] for name, part in content.items()})  # in any order
    if parts and all(isinstance(part, list) for part in parts):
        lengths = sorted(set(map(len, parts)))
        want(len(lengths) == 1, where, "columns of one length", ", ".join(map(str, lengths)))
        return pd.DataFrame(content)
    refuse(where, EXPECTED, f"{'a list' if isinstance(content, list) else 'an object'} of something else")


def _is_records(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and all(isinstance(row, dict) for row in content)


def _load(data: bytes, where: str) -> Any:
    """The document, or the list of those that stand on a line each."""
    try:
        text = data.decode(json.detect_encoding(data)).removeprefix("\ufeff").strip()
        try:
            return _parse(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data" and not text.partition("\n")[0].rstrip().endswith("}"):
                raise
            return [
                _load_line(line, f"{where}, line {n}") for n, line in enumerate(text.split("\n"), 1) if line.strip()
            ]
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        refuse(
            where, "JSON", "text that nests too deep" if isinstance(error, RecursionError) else f"other text ({error})"
        )


def _parse(text: str) -> Any:
    """The document of a text. Errors (ValueError): none; half of a character, which no text may hold."""
    content = json.loads(text)
    if "\\ud" in text.lower():
        json.dumps(content, ensure_ascii=False).encode()
    return content


def _load_line(line: str, where: str) -> Any:
    try:
        return _parse(line)
    except json.JSONDecodeError as error:
        refuse(where, "a JSON object", error.msg)
