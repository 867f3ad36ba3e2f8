"""What pages of results are made of."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch


def table(rows: list[list[str]]) -> str:
    """The first row is the head."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def machine() -> dict[str, Any]:
    """Where and when it was measured."""
    told = Path("/proc/cpuinfo")
    names = [line for line in told.read_text().splitlines() if line.startswith("model name")] if told.exists() else []
    name = names[0].partition(":")[2].strip() if names else platform.processor()
    date = time.strftime("%Y-%m-%d")
    return {"processor": name, "processors": os.cpu_count(), "torch": torch.__version__, "date": date}
