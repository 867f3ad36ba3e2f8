"""A picture of a hypothesis: the line of print, each symbol at its columns, and its probability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gated._check import optional
from gated.report.plots import INK, LINE, PAPER, SOFT, canvas, output, save
from gated.tasks.transcribe.search import Segment

SHADES = ("#ffffff", "#cfe2f4", "#7fb3e0")  # of a symbol, by its confidence
BLANK, CURVES = "#c9cfd6", ("#1f6fb2", "#d9822b")
DPI = 100
MIN_WIDTH, MAX_WIDTH = 4.0, 60.0  # inches
SYMBOL, COLUMN = 0.15, 0.0125  # inches of a symbol, and of a column of the image
LEFT, RIGHT, BOTTOM, TOP, GAP = 0.7, 0.3, 0.6, 0.5, 0.12  # inches around the axes and between them
SPACE = "␣"


def picture(
    path: str | Path, x: Float[np.ndarray, "R T"], segments: Sequence[Segment], log_probs: Float[np.ndarray, "S V"],
    symbols: Sequence[str], title: str,
) -> Path:  # fmt: skip
    """Draw a hypothesis as a PNG or, by the path's ending, an SVG; returns the path.

    x: columns of an image. segments: the symbols of the hypothesis, with their times in columns. log_probs: of the
    network, at steps that divide x evenly; column 0 is the blank's. symbols: the text of each of the V symbols.

    Above is x, with marks where symbols begin and end; below it the symbols, the darker the more confident; below them
    each symbol's own probability around its time, in two colours by turns, and the blank's in grey.
    """
    path, end = output(path), x.shape[1]
    across = min(max(MIN_WIDTH, SYMBOL * len(segments), end * COLUMN), MAX_WIDTH)
    heights = min(across * len(x) / end, 1.6), 0.34, 1.3
    width, height = LEFT + across + RIGHT, BOTTOM + sum(heights) + 2 * GAP + TOP
    fig = canvas(width, height, "transcribe", DPI)
    axes = fig.subplots(
        3, height_ratios=heights, gridspec_kw=dict(
            left=LEFT / width, right=1 - RIGHT / width, bottom=BOTTOM / height, top=1 - TOP / height,
            hspace=3 * GAP / sum(heights),
        ),
    )  # fmt: skip
    _draw_frames(axes[0], x, segments)
    _draw_symbols(axes[1], segments)
    _draw_curves(axes[2], np.exp(log_probs), end, segments, symbols)
    for ax in axes:
        ax.set_xlim(0, end)
        ax.tick_params(length=3, colors=SOFT, labelsize=8.5, labelbottom=ax is axes[-1], bottom=ax is axes[-1])
        for spine in ax.spines.values():
            spine.set_color(LINE)
    axes[-1].set_xlabel("columns", color=SOFT, fontsize=8.5, loc="left")
    most = int(width / 0.12)
    title = title if len(title) <= most else title[: most - 1] + "…"
    fig.text(
        LEFT / width, 1 - 0.12 / height, title, va="top", fontsize=12, fontweight="bold", color=INK, parse_math=False
    )
    save(fig, path, "transcribe", title)
    return path


def _draw_frames(ax: Any, x: np.ndarray, segments: Sequence[Segment]) -> None:
    """The image, and the ends of symbols."""
    ax.imshow(
        x, cmap="Greys", vmin=0, vmax=1, extent=(0, x.shape[1], 0, 1), aspect="auto", interpolation="antialiased"
    )  # fmt: skip
    ends = [at for one in segments for at in (one.start, one.end)]
    ax.vlines(ends, 0, 0.12, color=CURVES[0], linewidth=0.8)
    ax.set_yticks([])


def _draw_symbols(ax: Any, segments: Sequence[Segment]) -> None:
    shades = optional("matplotlib.colors", "transcribe").LinearSegmentedColormap.from_list("confidence", SHADES)
    for text, start, stop, confidence in segments:
        ax.axvspan(start, stop, facecolor=shades(confidence), edgecolor=PAPER)
        ax.text(
            (start + stop) / 2, 0.5, SPACE if text == " " else text, ha="center", va="center", fontsize=9,
            color=INK, parse_math=False,
        )  # fmt: skip
    ax.set_ylim(0, 1)
    ax.set_yticks([])


def _draw_curves(ax: Any, p: np.ndarray, end: int, segments: Sequence[Segment], symbols: Sequence[str]) -> None:
    """p(symbol) at every step, each half the way to its neighbours."""
    step = end / len(p)
    at = (np.arange(len(p)) + 0.5) * step
    ax.fill_between(at, p[:, 0], color=BLANK, alpha=0.5, linewidth=0)
    middles = np.array([(one.start + one.end) / 2 for one in segments])
    cuts = np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2, [end]])
    for k, one in enumerate(segments):
        near = (at >= cuts[k] - step) & (at <= cuts[k + 1] + step)
        ax.plot(at[near], p[near, symbols.index(one.text)], color=CURVES[k % 2], linewidth=1.2)
    ax.set_ylim(0, 1.04)
    ax.set_yticks([0, 1], ["0", "100 %"])
    note = "probability of each symbol; of none: grey"
    ax.annotate(
        note, (1, 0), (0, -22), "axes fraction", "offset points", ha="right", va="top", fontsize=8.5, color=SOFT
    )
