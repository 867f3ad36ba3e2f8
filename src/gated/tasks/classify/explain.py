"""Which steps of an input decided: what each one adds to the score of the label, and the attention it gets.

    effect_t    s(x) − s(x without t),   s = log p − log(1 − p) of a label, before calibration; a number in its units

"Without" is a word replaced by the unknown token, or a window of steps at the mean of the training data (occlusion;
Zeiler & Fergus 2014, §4.2).
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from gated._check import one_of, optional, want, within
from gated.features.tokens import UNK
from gated.io.text import plural
from gated.report.plots import INK, LINE, SOFT, canvas, families, output, save
from gated.report.tables import cut, draw, grid
from gated.tasks.classify import inputs, training
from gated.tasks.classify.data import Dataset
from gated.tasks.classify.run import Run

WINDOWS = 24  # of a series
FOR, AGAINST = "#1f6fb2", "#d9822b"
ROW = 90  # characters of a line of the picture


class Explanation(NamedTuple):
    """Places of an input, the effect of each on the label's score, and its share of the attention, if there is any."""

    label: str
    probability: float | None
    places: tuple[tuple[int, int], ...]  # the steps of each, first to last, the last excluded
    words: tuple[str, ...]
    effects: tuple[float, ...]
    attention: tuple[float, ...] | None
    item: Any  # the example


def explain(run: Run, item: Any, label: str | None = None) -> Explanation:
    """The explanation of one example, as it was read. label: which one, by default the likeliest."""
    made, goal = run.model, run.model.targets
    x = made.inputs.encode([item])[0]
    T = x.shape[-1]
    want(T > 0, "attend", "an input with at least one step", "an empty one")
    answer = training.predict(made, training.score(made, [x]))[0]
    k = 0
    if goal.kind != "number":
        if label is not None:
            one_of("label", label, goal.labels)
        k = int(answer.argmax()) if label is None else goal.labels.index(label)
    name = "the number" if goal.kind == "number" else goal.labels[k]
    tokens = made.inputs.tokens is not None
    count = T if tokens else min(WINDOWS, T)
    edges = np.linspace(0, T, count + 1).round().astype(int)
    places = [(int(a), int(b)) for a, b in itertools.pairwise(edges)]
    variants = []
    for a, b in places:
        one = x.copy()
        one[..., a:b] = UNK if tokens else 0
        variants.append(one)
    scores = training.score(made, [x, *variants]).astype(np.float64)
    s = _log_odds(scores, goal.kind, k) * (goal.std if goal.kind == "number" else 1.0)
    words = made.inputs.words(item) if tokens else [f"{a + 1}–{b}" if b > a + 1 else f"{b}" for a, b in places]
    share = _attention(run, x, places) if "attention" in made.network.shape.pooling else None
    p = None if goal.kind == "number" else float(answer[k])
    return Explanation(name, p, tuple(places), tuple(words), tuple((s[0] - s[1:]).tolist()), share, item)


def _log_odds(scores: np.ndarray, kind: str, k: int) -> np.ndarray:
    if kind != "label":
        return scores[:, k]
    others = np.delete(scores, k, 1)
    high = others.max(1)
    return scores[:, k] - high - np.log(np.exp(others - high[:, None]).sum(1))


@torch.no_grad()
def _attention(run: Run, x: np.ndarray, places: list[tuple[int, int]]) -> tuple[float, ...]:
    """The share of each place in the attention pooling; a step of the network stands for the steps that it covers."""
    batch = inputs.collate([x])
    network = run.model.network
    weights = network.attention(batch.x.to(run.model.device), batch.lengths.to(run.model.device))[:, 0].cpu().numpy()
    T, S = x.shape[-1], len(weights)
    by_step = np.repeat(weights, -(-T // S))[:T]
    by_step = by_step / max(float(by_step.sum()), 1e-12)
    return tuple(float(by_step[a:b].sum()) for a, b in places)


def attend(
    run: Run, source: Any, out: Path | None = None, *, row: int = 1, label: str | None = None
) -> tuple[dict[str, Any], str]:
    """The explanation of an input as JSON and as text; drawn to `out`, a PNG or SVG, if it is given.

    source: a text, or a file of which `row` is the number of the example.
    """
    text = run.model.layout.kind == "text"
    is_file = isinstance(source, str | Path) and (not text or source == "-" or os.path.exists(source))
    if out is not None:
        output(out)
    dataset: Dataset = run.read(Path(source) if is_file else [source])
    within("row", row, 1, len(dataset))
    one = explain(run, dataset.inputs[row - 1], label)
    if out is not None:
        picture(out, one, run.model.layout.kind)
    columns = ("step" if not text else "word", "effect", *(["attention"] if one.attention else []))
    table = grid(*columns)
    order = range(len(one.words)) if len(one.words) <= 40 else sorted(np.argsort(-np.abs(one.effects))[:40].tolist())
    for k in order:
        share = [f"{100 * one.attention[k]:.0f} %"] if one.attention else []
        table.add_row(cut(one.words[k], 30), f"{one.effects[k]:+.2f}", *share)
    more = [] if len(one.words) <= 40 else [f"The 40 of largest effect, of {plural(len(one.words), 'place')}."]
    sure = "" if one.probability is None else f", {100 * one.probability:.1f} %"
    lines = [f"{dataset.places[row - 1]}: {one.label}{sure}", draw(table).rstrip(), *more]
    lines += [f"Drawn in {out}."] if out is not None else []
    shares = one.attention or [None] * len(one.words)
    steps = [
        {"text": word, "first": a + 1, "last": b, "effect": effect, "attention": share}
        for word, (a, b), effect, share in zip(one.words, one.places, one.effects, shares, strict=True)
    ]
    result = {"label": one.label, "probability": one.probability, "steps": steps, "notes": list(dataset.notes)}
    return result, "\n".join(lines)


# ---- the picture


def picture(path: Path, one: Explanation, kind: str) -> None:
    """Words shaded by their effect, an image beside that of its rows, curves or a spectrum above that of windows."""
    sure = "" if one.probability is None else f", {100 * one.probability:.1f} %"
    title = f"{one.label}{sure}: blue speaks for it, orange against it"
    draw = {"text": _draw_words, "image": _draw_rows}.get(kind, _draw_steps)
    draw(output(path), one, title)


def _shade(effect: float, most: float) -> tuple[str, float]:
    return (FOR if effect >= 0 else AGAINST), 0.75 * min(1.0, abs(effect) / most)


def _draw_words(path: Path, one: Explanation, title: str) -> None:
    lines: list[list[int]] = [[]]
    for k, word in enumerate(one.words):
        if sum(len(one.words[i]) + 1 for i in lines[-1]) + len(word) > ROW and lines[-1]:
            lines.append([])
        lines[-1].append(k)
    most = max([1e-9, *map(abs, one.effects)])
    figure = canvas(9, 0.6 + 0.32 * len(lines), "classify")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set_xlim(0, ROW + 2)
    axes.set_ylim(0, 0.6 + 0.32 * len(lines))
    fonts = families("".join(one.words), "classify")
    matplotlib = optional("matplotlib", "classify")
    with matplotlib.rc_context({"font.family": ["DejaVu Sans Mono", *fonts]}):
        axes.text(1, 0.3 + 0.32 * len(lines), title, color=SOFT, fontsize=9, parse_math=False)
        for n, line in enumerate(lines):
            at = 1.0
            for k in line:
                word = cut(one.words[k], ROW)
                color, alpha = _shade(one.effects[k], most)
                y = 0.12 + 0.32 * (len(lines) - 1 - n)
                axes.axvspan(at - 0.2, at + len(word) + 0.2, *_span(y, axes), color=color, alpha=alpha, linewidth=0)
                axes.text(at, y, word, color=INK, fontsize=9.5, parse_math=False)
                at += len(word) + 1
        save(figure, path, "classify", title)


def _span(y: float, axes: Any) -> tuple[float, float]:
    low, high = axes.get_ylim()
    return (y - 0.08 - low) / (high - low), (y + 0.2 - low) / (high - low)


def _draw_steps(path: Path, one: Explanation, title: str) -> None:
    figure = canvas(9, 4, "classify")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    R, T = one.item.shape
    if R <= 8:
        for row in one.item:
            upper.plot(np.arange(T) + 0.5, row, color=INK, linewidth=1)
    else:
        upper.imshow(
            one.item, aspect="auto", origin="lower", extent=(0, T, 0, R), cmap="Greys", interpolation="nearest"
        )
    most = max([1e-9, *map(abs, one.effects)])
    for (a, b), effect in zip(one.places, one.effects, strict=True):
        color, alpha = _shade(effect, most)
        upper.axvspan(a, b, color=color, alpha=alpha * 0.5, linewidth=0)
        lower.bar((a + b) / 2, effect, b - a, color=color)
    lower.axhline(0, color=LINE)
    lower.set_xlim(0, T)
    lower.set_xlabel("step", color=SOFT)
    lower.set_ylabel("effect", color=SOFT)
    upper.set_title(title, color=SOFT, fontsize=9, loc="left", parse_math=False)
    save(figure, path, "classify", title)


def _draw_rows(path: Path, one: Explanation, title: str) -> None:
    """An image upright, whose rows are the steps."""
    figure = canvas(7, 4, "classify")
    left, right = figure.subplots(1, 2, sharey=True)
    R, T = one.item.shape
    left.imshow(one.item.T, aspect="auto", extent=(0, R, T, 0), cmap="Greys_r", interpolation="nearest")
    most = max([1e-9, *map(abs, one.effects)])
    for (a, b), effect in zip(one.places, one.effects, strict=True):
        color, alpha = _shade(effect, most)
        left.axhspan(a, b, color=color, alpha=alpha * 0.5, linewidth=0)
        right.barh((a + b) / 2, effect, b - a, color=color)
    right.axvline(0, color=LINE)
    left.set_xticks([])
    left.set_ylabel("step", color=SOFT)
    right.set_xlabel("effect", color=SOFT)
    figure.suptitle(title, color=SOFT, fontsize=9, x=0.125, ha="left", parse_math=False)
    save(figure, path, "classify", title)
