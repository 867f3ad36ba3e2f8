"""Tables of numbers as plain text, for a terminal or a file."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["cut", "draw", "grid", "number"]


def grid(*heads: str, tight: bool = True) -> Any:
    """An empty rich table: the first column to the left, numbers to the right.

    tight: no space at the edges, and no cell on two lines.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=tight, pad_edge=not tight)
    for k, head in enumerate(heads):
        table.add_column(head, justify="right" if k else "left", no_wrap=tight)
    return table


def draw(table: Any, width: int = 100, **options: Any) -> str:
    """A rich table as text of at most `width` columns, without colours; options are those of rich's Console."""
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=width, color_system=None, **options).print(table)
    return file.getvalue()


def number(value: float | None, digits: int) -> str:
    """A number with so many decimals, a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"


def cut(text: str, width: int) -> str:
    """The text, or its beginning with "…" where it takes more than `width` columns."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
