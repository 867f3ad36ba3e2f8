"""A document as one self-contained HTML file, made of page.html, page.css and four scripts.

Text is embedded as JSON, arrays as base64 of little-endian float32, each array once. Nothing of a document becomes
markup: `<`, `>` and `&` are escaped in the JSON, in the title and summary as entities, and the script makes text nodes
only. The page's policy runs no script but its own, identified by its SHA-256, and loads nothing.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gated.io import files
from gated.probe.document import Document

__all__ = ["render", "write"]

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "stack.js", "point.js", "charts.js")


def render(document: Document) -> str:
    """The page as text. It opens from a disk, and shows the sections for which the document has data."""
    arrays: dict[bytes, int] = {}
    data = json.dumps(_to_json(document, arrays), allow_nan=False, separators=(",", ":"))
    for mark in "<>&":
        data = data.replace(mark, f"\\u{ord(mark):04x}")
    style = _read("page.css")
    script = "\n".join(map(_read, SCRIPTS))
    blocks = (f'<script type="text/plain" id="a{n}">{base64.b64encode(a).decode()}</script>' for a, n in arrays.items())
    parts = {
        "policy": f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "style": style,
        "script": script,
        "title": _text(document.title),
        "task": _text(document.task),
        "summary": "\n".join(f'<p dir="auto">{_text(sentence)}</p>' for sentence in document.summary),
        "data": data,
        "arrays": "\n".join(blocks),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html"))


def write(document: Document, path: str | os.PathLike[str]) -> Path:
    """Write the page, over an older one in one step, and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, render(document).encode())
    return path


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(words: str) -> str:
    """Text as HTML; a lone surrogate, which no file can hold, becomes a question mark; NUL is made visible."""
    return html.escape(words.encode(errors="replace").decode().replace("\0", "\ufffd"))


def _to_json(value: Any, arrays: dict[bytes, int]) -> Any:
    """A value for JSON: dicts as pairs, which keep their order whatever the names, NaN and inf as words."""
    if dataclasses.is_dataclass(value):
        return {field.name: _to_json(getattr(value, field.name), arrays) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        with np.errstate(over="ignore"):
            data = np.ascontiguousarray(value, dtype="<f4").tobytes()
        return {"array": arrays.setdefault(data, len(arrays)), "shape": list(value.shape)}
    if isinstance(value, Mapping):
        return [[str(name), _to_json(entry, arrays)] for name, entry in value.items()]
    if isinstance(value, tuple | list):
        return [_to_json(entry, arrays) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
