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
    content = _load(data, where)
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content, names = content["data"], content.get("columns")
        if isinstance(names, list) and all(isinstance(row, list) and len(row) == len(names) for row in content):
            content = [dict(zip(map(str, names), row, strict=True)) for row in content]
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        return pd.DataFrame.from_records(content)
    if isinstance(content, dict) and content and all(isinstance(column, list | dict) for column in content.values()):
        columns = {name: list(c.values()) if isinstance(c, dict) else c for name, c in content.items()}
        lengths = sorted({len(column) for column in columns.values()})
        want(len(lengths) == 1, where, "columns of one length", ", ".join(map(str, lengths)))
        return pd.DataFrame(columns)
    refuse(where, EXPECTED, f"{'a list' if isinstance(content, list) else 'an object'} of something else")


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
