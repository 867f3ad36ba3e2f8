"""Pictures by matplotlib: one palette, fonts that have the letters, files that are the same each time."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from gated._check import optional, want
from gated.io import files

__all__ = ["INK", "LINE", "PAPER", "SOFT", "canvas", "families", "output", "save"]

INK, SOFT, LINE, PAPER = "#1d2733", "#5f6b7a", "#dde2e8", "#ffffff"


def output(path: str | Path) -> Path:
    """The path of a picture, with its folder made. Errors: another ending than .png or .svg."""
    path = Path(path)
    want(path.suffix.lower() in (".png", ".svg"), "picture", "a path ending in .png or .svg", path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def canvas(width: float, height: float, extra: str, dpi: int = 150) -> Any:
    """An empty figure of so many inches. extra: gated's extra that installs matplotlib."""
    return optional("matplotlib.figure", extra).Figure(figsize=(width, height), dpi=dpi, facecolor=PAPER)


def save(figure: Any, path: Path, extra: str, salt: str = "", **options: Any) -> None:
    """Write a PNG or an SVG, whose text stays text, by the path's ending; `salt` makes the SVG's ids.

    options: those of matplotlib's `savefig`.
    """
    matplotlib, kind = optional("matplotlib", extra), path.suffix.lower()[1:]
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        warnings.filterwarnings("ignore", r"Glyph \d+ ", UserWarning)  # one for each letter that no font has
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        with files.create(path) as file:
            figure.savefig(file, format=kind, metadata=metadata, **options)


def families(text: str, extra: str) -> list[str]:
    """matplotlib's own font, and as many installed ones as it takes to have every letter that they have at all."""
    fonts = optional("matplotlib.font_manager", extra)
    names = ["DejaVu Sans"]
    missing = _find_missing(fonts, fonts.findfont(names[0]), {ord(c) for c in text})
    plain = (f for f in fonts.fontManager.ttflist if f.style == "normal" and not f.name.startswith("Last Resort"))
    for font in sorted(plain, key=lambda f: (f.name, f.fname)):
        if not missing:
            break
        left = missing if font.name in names else _find_missing(fonts, font.fname, missing)
        if left != missing:
            names.append(font.name)
            missing = left
    return names


def _find_missing(fonts: Any, file: str, letters: set[int]) -> set[int]:
    """Those of the letters that a font file has no shape for, or all where it cannot be read."""
    try:
        font = fonts.get_font(file)
    except (OSError, RuntimeError):  # listed, but gone or broken
        return letters
    return {c for c in letters if not font.get_char_index(c)}
