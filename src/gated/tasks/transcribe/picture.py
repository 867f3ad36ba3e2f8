"""A picture of a hypothesis: the image or sound, each symbol at its time, and its probability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gated._check import optional, want
from gated.report.plots import INK, LINE, PAPER, SOFT, canvas, output, save

__all__ = ["picture"]

SHADES = ("#ffffff", "#cfe2f4", "#7fb3e0")  # of a symbol, by its confidence
BLANK, CURVES = "#c9cfd6", ("#1f6fb2", "#d9822b")
DPI = 100
MIN_WIDTH, MAX_WIDTH = 4.0, 60.0  # inches
SYMBOL, COLUMN, SECOND = 0.15, 0.0125, 2.5  # inches of a symbol, a column of an image, a second of sound
LIMIT = 2000  # symbols
SPACE = "␣"


def picture(
    path: str | Path, x: Any, hypothesis: Any, log_probs: Any = None, symbols: Sequence[str] = (), *,
    seconds: float | None = None, title: str = "",
) -> Path:  # fmt: skip
    """Draw a hypothesis as a PNG or, by the path's ending, an SVG; returns the path.

    x           [rows, T]: columns of an image, or log-mel frames
    hypothesis  its `symbols` are drawn, or its `words` where it has none: (text, start, end, confidence), the times in
                columns, or in seconds for sound
    log_probs   (T', V) of the network, at steps that divide x evenly; column 0 is the blank's. Left out if not given
    symbols     the text of each of the V symbols
    seconds     of a frame, for sound, which is drawn in colours and with seconds below it

    Above is x, with marks where symbols begin and end; below it the symbols, the darker the more confident; below them
    each symbol's own probability around its time, in two colours by turns, and the blank's in grey.

    Errors: another ending of the path; no matrix; not a symbol for each column of log_probs; over 2,000 symbols.
    """
    path = output(path)
    x, p = _array(x, "x"), None if log_probs is None else np.exp(_array(log_probs, "log_probs"))
    segments = list(hypothesis.symbols or hypothesis.words)
    want(len(segments) <= LIMIT, "picture", f"at most {LIMIT} symbols", f"{len(segments)}")
    if p is not None:
        want(len(symbols) == p.shape[1], "symbols", f"one for each of {p.shape[1]} columns of log_probs", len(symbols))
    unit = seconds or 1.0
    end = x.shape[1] * unit
    need = max(SYMBOL * sum(len(one[0]) for one in segments), end * (SECOND if seconds else COLUMN))
    across = min(max(MIN_WIDTH, need), MAX_WIDTH)
    width = across + 1.0
    read = 1.6 if seconds else min(across * x.shape[0] / x.shape[1], 1.6)
    heights = [read, 0.34, *([1.3] if p is not None else [])]
    head, foot, gap = 0.5 if title else 0.15, 0.6, 0.12
    height = head + sum(heights) + gap * (len(heights) - 1) + foot
    fig = canvas(width, height, "transcribe", DPI)
    axes, top = [], height - head
    for tall in heights:
        top -= tall
        axes.append(fig.add_axes((0.7 / width, top / height, across / width, tall / height)))
        top -= gap
    _draw_frames(axes[0], x, end, segments, seconds)
    _draw_symbols(axes[1], segments)
    if p is not None:
        _draw_curves(axes[2], p, end, segments, symbols)
    for ax in axes:
        ax.set_xlim(0, end)
        ax.tick_params(length=3, colors=SOFT, labelsize=8.5, labelbottom=ax is axes[-1], bottom=ax is axes[-1])
        for spine in ax.spines.values():
            spine.set_color(LINE)
    axes[-1].set_xlabel("seconds" if seconds else "columns", color=SOFT, fontsize=8.5, loc="left")
    text = {"color": INK, "parse_math": False}
    if title:
        most = int(width / 0.12)
        title = title if len(title) <= most else title[: most - 1] + "…"
        fig.text(0.7 / width, 1 - 0.12 / height, title, va="top", fontsize=12, fontweight="bold", **text)
    save(fig, path, "transcribe", title)
    return path


def _draw_frames(ax: Any, x: np.ndarray, end: float, segments: list[Any], seconds: float | None) -> None:
    """The image, or the frames with low bands at the foot, and the ends of symbols."""
    low, high = np.percentile(x, (1, 99.5)) if seconds else (0.0, 1.0)
    ax.imshow(
        x, cmap="magma" if seconds else "Greys", vmin=low, vmax=max(high, low + 1e-6), extent=(0, end, 0, 1),
        aspect="auto", interpolation="antialiased", origin="lower" if seconds else "upper",
    )  # fmt: skip
    for _, start, stop, _ in segments:
        for at in (start, stop):
            ax.plot((at, at), (0, 0.12), color=PAPER if seconds else CURVES[0], linewidth=0.8)
    ax.set_yticks([])


def _draw_symbols(ax: Any, segments: list[Any]) -> None:
    shades = optional("matplotlib.colors", "transcribe").LinearSegmentedColormap.from_list("confidence", SHADES)
    for text, start, stop, confidence in segments:
        ax.axvspan(start, max(stop, start), facecolor=shades(float(np.clip(confidence, 0, 1))), edgecolor=PAPER)
        ax.text(
            (start + stop) / 2, 0.5, SPACE if text == " " else text, ha="center", va="center", fontsize=9,
            color=INK, parse_math=False,
        )  # fmt: skip
    ax.set_ylim(0, 1)
    ax.set_yticks([])


def _draw_curves(ax: Any, p: np.ndarray, end: float, segments: list[Any], symbols: Sequence[str]) -> None:
    """p(symbol) at every step, each half the way to its neighbours."""
    step = end / len(p)
    at = (np.arange(len(p)) + 0.5) * step
    ax.fill_between(at, p[:, 0], color=BLANK, alpha=0.5, linewidth=0)
    number = {text: k for k, text in reversed(list(enumerate(symbols))) if k}
    middles = np.array([(start + stop) / 2 for _, start, stop, _ in segments])
    cuts = np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2, [end]]) if segments else np.zeros(1)
    for k, (text, *_) in enumerate(segments):
        if text in number:
            near = (at >= cuts[k] - step) & (at <= cuts[k + 1] + step)
            ax.plot(at[near], p[near, number[text]], color=CURVES[k % 2], linewidth=1.2)
    ax.set_ylim(0, 1.04)
    ax.set_yticks([0, 1], ["0", "100 %"])
    note = "probability of each symbol; of none: grey"
    ax.annotate(
        note, (1, 0), (0, -22), "axes fraction", "offset points", ha="right", va="top", fontsize=8.5, color=SOFT
    )


def _array(values: Any, where: str) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    array = np.asarray(values, float)
    want(array.ndim == 2 and array.size > 0, where, "a matrix that is not empty", f"shape {array.shape}")
    want(bool(np.isfinite(array).all()) or where != "x", where, "numbers", "NaN or infinity")
    return array
