"""Tables of numbers as plain text, for a terminal or a file."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import textwrap
from typing import Any

__all__ = ["cut", "draw", "grid", "number", "terminal_width"]


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


def terminal_width(default: int = 100) -> int:
    """Columns of the terminal that standard error is, or of COLUMNS; the default where there is neither."""
    with contextlib.suppress(OSError, ValueError):
        return max(20, int(os.environ.get("COLUMNS") or os.get_terminal_size(sys.stderr.fileno()).columns))
    return default


def draw(table: Any, width: int | None = None, **options: Any) -> str:
    """A rich table as text of at most `width` columns, without colours; options are those of rich's Console.

    width: the terminal's by default, at most 100. The last columns are left out until it fits, and named below it.
    """
    from rich.cells import cell_len
    from rich.console import Console

    width = min(100, terminal_width()) if width is None else width
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, **options)
    left_out: list[str] = []
    while len(table.columns) > 2 and measure(table) > width:
        left_out.insert(0, str(table.columns.pop().header))
    if left_out:  # of the two that are left the first gives way
        number = table.columns[1]
        number.min_width = max(cell_len(str(cell)) for cell in (number.header, *number._cells))
    console.print(table)
    more = textwrap.fill(f"Wider than this: {', '.join(left_out)}.", width) + "\n" if left_out else ""
    return file.getvalue() + more


def measure(table: Any) -> int:
    """The columns that a rich table takes, with no cell on two lines unless its cells fold."""
    from rich.console import Console

    size = Console(file=io.StringIO(), width=10_000).measure(table)
    return size.minimum if table.columns[0].overflow == "fold" else size.maximum


def number(value: float | None, digits: int) -> str:
    """A number with so many decimals, a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"


def cut(text: str, width: int) -> str:
    """The text, or its beginning with "…" where it takes more than `width` columns."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
