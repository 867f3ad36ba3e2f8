"""Attention of a translation as a table, a picture and an alignment of words.

weights (T, S): row t holds the weights of the source words at target word t, from 0 to 1. A row sums to 1 if no
position was left out.
"""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.cells import cell_len, set_cell_size

from gated._check import optional, refuse, want, within
from gated.report.plots import INK, LINE, PAPER, SOFT, canvas, families, output, save
from gated.report.tables import cut
from gated.tasks.translate.placeholders import SENTINELS
from gated.tasks.translate.run import Run
from gated.tasks.translate.search import Translation

BLUES = ("#ffffff", "#a9cdec", "#1f6fb2", "#0d2f4f")
SHADES = ((0.7, "█"), (0.4, "▓"), (0.2, "▒"), (0.05, "░"), (0.0, " "))
MAX_HEIGHT = 12  # characters of a word written downwards


def _matrix(weights: Any, source: int | None = None, target: int | None = None) -> Float[np.ndarray, "T S"]:
    """The weights of a tensor, an array or lists, as float64; refused unless they are attention of so many words."""
    if hasattr(weights, "detach"):
        weights = weights.detach().cpu().double().numpy()
    w = np.asarray(weights, float)
    want(w.ndim == 2, "weights", "a matrix (target, source)", f"{w.ndim} axes")
    expected = tuple(have if want_ is None else want_ for have, want_ in zip(w.shape, (target, source), strict=True))
    want(
        w.shape == expected, "weights", f"a row for each target and a column for each source word, {expected}", w.shape
    )
    want(w.size > 0, "weights", "at least one source and one target word", f"shape {w.shape}")
    if not (np.isfinite(w).all() and w.min() >= 0):
        refuse("weights", "numbers of at least 0", "a negative one" if np.isfinite(w).all() else "NaN or infinity")
    return w


# -- words


def merge(
    weights: Any, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]
) -> Float[np.ndarray, "words_t words_s"]:
    """Attention between words, from attention between their tokens.

    A_ts = mean over tokens p of target word t of  Σ over tokens q of source word s of  weights_pq

    source, target: the positions of each word's tokens. Positions in no word (the end of the sentence) are left out, so
    that rows may sum to less than 1.
    """
    w = _matrix(weights)
    for name, words, size in (("source", source, w.shape[1]), ("target", target, w.shape[0])):
        for k, word in enumerate(words):
            want(len(word) > 0, f"{name} word {k}", "at least one token", "none")
            want(min(word) >= 0 and max(word) < size, f"{name} word {k}", f"tokens from 0 to {size - 1}", list(word))
    columns = np.stack([w[:, list(word)].sum(1) for word in source], 1) if source else np.zeros((len(w), 0))
    return np.stack([columns[list(word)].mean(0) for word in target]) if target else columns[:0]


def align(weights: Any, threshold: float = 0.0) -> list[tuple[int, int]]:
    """For each target word the source word of most attention, as pairs (source, target) in order.

    threshold: the smallest weight of a pair; a target word without attention has none. The first of equals is taken.
    """
    within("threshold", threshold, 0, 1)
    w = _matrix(weights)
    return sorted((int(s), t) for t, s in enumerate(w.argmax(1)) if w[t, s] >= threshold and w[t, s] > 0)


def pharaoh(pairs: Sequence[tuple[int, int]]) -> str:
    """An alignment as one line of text, `0-0 1-2`: source-target, counted from 0, as Moses and fast_align have it."""
    return " ".join(f"{s}-{t}" for s, t in pairs)


def by_words(run: Run, translation: Translation) -> tuple[list[str], list[str], Float[np.ndarray, "words_t words_s"]]:
    """The words of source and target, and the attention between them."""
    source, target = run.model.source.words(translation.source), run.model.target.words(translation.target)
    weights = merge(translation.attention, [at for _, at in source], [at for _, at in target])
    originals = str.maketrans(dict(zip(SENTINELS, translation.placeholders, strict=False)))
    left, right = ([word.translate(originals) for word, _ in words] for words in (source, target))
    return left, right, weights


def align_words(run: Run, translation: Translation) -> list[tuple[int, int]]:
    """`align` of a translation's words; an empty translation has no pairs."""
    return align(by_words(run, translation)[2]) if translation.target and translation.source else []


def attend(run: Run, sentence: str, out: Any = None, **search: Any) -> tuple[dict[str, Any], str]:
    """Translate a sentence: the translation with its attention as JSON, and the attention as a table.

    out: a file for `picture`. search: fields of `Search`.
    """
    ((best, *_),) = run.translate([sentence], **search)
    want(bool(best.target) and bool(best.source), "attend", "a sentence with a translation", repr(sentence))
    source, target, weights = by_words(run, best)
    result = {
        "text": best.text, "score": best.score, "source": source, "target": target,
        "attention": [[round(w, 4) for w in row] for row in weights.tolist()], "alignment": pharaoh(align(weights)),
    }  # fmt: skip
    if out is not None:
        picture(out, source, target, weights)
    return result, f"{best.text}\n\n{table(source, target, weights)}"


# -- as text


def table(source: Sequence[str], target: Sequence[str], weights: Any, width: int | None = None) -> str:
    """Attention as text: a row for each target word, a column for each source word, and the highest weight of each row.

    Source words stand above their columns where the width (by default the terminal's) allows, else they are written
    downwards; more of them than columns are shown in parts, one below the other.
    """
    w = _matrix(weights, len(source), len(target))
    width = max(20, shutil.get_terminal_size().columns) if width is None else width
    within("width", width, 20)
    heads, names = [_clean(s) for s in source], [_clean(s) for s in target]
    left = min(max(map(cell_len, names)), width // 4)
    most = [(heads[s], f" {100 * w[t, s]:.0f} %") for t, s in enumerate(w.argmax(1))]
    for longest in (width // 5, 8):  # of these words: if they are cut, all columns may have room
        ends = [f" ← {_fit(word, min(cell_len(word), longest))}{share}" for word, share in most] if width >= 40 else []
        room = width - left - 2 - max(map(cell_len, ends), default=0)
        if len(heads) <= room:
            break
    across = [max(2, cell_len(head)) + 1 for head in heads]
    if sum(across) <= room:
        parts, sizes = [range(len(heads))], across
        tops = ["".join(set_cell_size(head, n) for head, n in zip(heads, sizes, strict=True))]
    else:
        wide = any(cell_len(c) > 1 for head in heads for c in _characters(head)) or 2 * len(heads) <= room
        n = 2 if wide else 1
        count = -(-n * len(heads) // room)
        step = -(-len(heads) // count)
        parts = [range(k, min(k + step, len(heads))) for k in range(0, len(heads), step)]
        sizes, tops = [n] * len(heads), []
    lines = []
    for part in parts:
        if len(parts) > 1:
            lines += [] if part.start == 0 else [""]
            lines.append(_fit(f"source {part.start + 1}–{part.stop} of {len(heads)}", width))
        blank = " " * (left + 2)
        lines += [blank + top for top in tops or _downwards([heads[s] for s in part], sizes[0])]
        for t, name in enumerate(names):
            cells = "".join(set_cell_size(_shade(w[t, s]) * min(2, sizes[s]), sizes[s]) for s in part)
            lines.append(f"{_fit(name, left)}  {cells}{ends[t] if ends else ''}")
    key = ("  " if width >= 30 else "\n").join(f"{shade} {100 * least:.0f} %" for least, shade in reversed(SHADES[:-1]))
    return "\n".join(line.rstrip() for line in [*lines, "", key])


def _shade(weight: float) -> str:
    return next(shade for least, shade in SHADES if weight >= least)


def _clean(word: str) -> str:
    """A word for a terminal: no control characters, visible spaces, nothing that changes direction or joins."""
    if not word.strip():
        return "␣" * max(1, len(word))
    return "".join(c if c.isprintable() else "·" for c in word if unicodedata.category(c) != "Cf") or "·"


def _characters(word: str) -> list[str]:
    """Its characters, each with its combining marks."""
    out: list[str] = []
    for c in word:
        if out and unicodedata.category(c) in ("Mn", "Me", "Mc"):
            out[-1] += c
        else:
            out.append(c)
    return out


def _fit(text: str, n: int) -> str:
    """The text in n columns, cut with a mark where it is longer."""
    return set_cell_size(cut(text, n), n)


def _downwards(words: Sequence[str], n: int) -> list[str]:
    """Lines that hold the words written downwards, n columns each, all ending on the last line."""
    stacks = [c if len(c) <= MAX_HEIGHT else [*c[: MAX_HEIGHT - 1], "…"] for c in map(_characters, words)]
    height = max(map(len, stacks))
    return ["".join(set_cell_size(([""] * (height - len(s)) + s)[k], n) for s in stacks) for k in range(height)]


# -- as a picture


def picture(
    path: str | Path, source: Sequence[str], target: Sequence[str], weights: Any, *, title: str = "",
    names: tuple[str, str] = ("source", "target"),
) -> Path:  # fmt: skip
    """Draw the attention as a PNG or, by the path's ending, an SVG; returns the path.

    names: of the axes, from left to right and from top to bottom. Characters that the font lacks are taken from any
    installed font that has them. If none has them a PNG shows boxes; an SVG keeps the text for its viewer to draw.
    """
    w = _matrix(weights, len(source), len(target))
    path = output(path)
    columns, rows = ([cut(_clean(s), 24) for s in words] for words in (source, target))
    side = float(np.clip(14 / max(len(columns), len(rows)), 0.11, 0.42))  # inches of a cell
    size = float(np.clip(40 * side, 4.5, 11))  # points of a word
    width, height = side * len(columns), side * len(rows)
    text = {
        "color": INK,
        "parse_math": False,
        "family": families("".join([title, *names, *columns, *rows]), "translate"),
    }
    small = {**text, "fontsize": 9.5, "color": SOFT}
    fig = canvas(width, height, "translate")  # of the cells alone; the words stand around it
    ax = fig.add_axes((0, 0, 1, 1))
    shades = optional("matplotlib.colors", "translate").LinearSegmentedColormap.from_list("attention", BLUES)
    top = max(float(w.max()), 1e-9)
    mesh = ax.pcolormesh(w, cmap=shades, vmin=0, vmax=top, edgecolors=LINE, linewidth=0.5)
    ax.invert_yaxis()
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.tick_params(length=0, pad=3)
    for spine in ax.spines.values():
        spine.set_visible(False)
    slant = size * max(map(cell_len, columns)) > 120 * side  # a character is at most 0.6 of its points wide
    turn = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if slant else {}
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=size, **turn, **text)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=size, **text)
    ax.set_xlabel(names[0] + " →", loc="left", labelpad=12, **small)
    ax.set_ylabel(names[1] + " →", y=1, rotation=270, ha="left", va="bottom", labelpad=16, **small)
    if title:
        ax.set_title(cut(title, 80), loc="left", pad=14, fontsize=13, fontweight="bold", **text)
    if side > 0.36:
        for t, s in np.argwhere(w >= 0.05):
            ink = PAPER if w[t, s] > 0.55 * top else INK
            ax.text(s + 0.5, t + 0.5, f"{100 * w[t, s]:.0f}", color=ink, fontsize=8, ha="center", va="center")
    bar = fig.add_axes((0, -0.33 / height, 1.2 / width, 0.1 / height))
    fig.colorbar(mesh, cax=bar, orientation="horizontal", ticks=[0, top]).outline.set_visible(False)
    bar.set_xticks([0, top], ["0", f"{100 * top:.0f} %"], color=SOFT, fontsize=8.5)
    bar.tick_params(length=0, pad=2)
    fig.text(1.35 / width, -0.28 / height, "of the attention", va="center", **{**small, "fontsize": 8.5})
    save(fig, path, "translate", title, bbox_inches="tight", pad_inches=0.15)
    return path
