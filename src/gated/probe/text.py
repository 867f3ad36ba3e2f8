"""A document as rows of plain Python, as text tables, and as a dict for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gated.probe.document import Attribution, Document, Example, Flow, HalfLives, Health, Layer
from gated.report import tables

WIDTH = 120
TOP = 5  # places of the input in a row of the attribution table
LAGS = (1, 10, 100)  # in the gradient table


def rows(part: Any) -> list[dict[str, Any]]:
    """Any part of a document as rows for a data frame.

    Half-lives: a row for each unit; flow: for each lag; health: for each gate; an example's layers: for each unit and
    step; an attribution: for each place. A list or tuple of parts: the rows of all.
    """
    if isinstance(part, Sequence):
        return [row for one in part for row in rows(one)]
    if isinstance(part, HalfLives):
        lives = part.half_life.tolist()
        return [{"layer": part.name, "unit": unit, "half_life": life} for unit, life in enumerate(lives)]
    if isinstance(part, Flow):
        norms = [{state: float(values[k]) for state, values in part.norms.items()} for k in range(len(part.lags))]
        lags = part.lags.tolist()
        return [{"network": part.name, "layer": part.layer, "lag": lag, **norms[k]} for k, lag in enumerate(lags)]
    if isinstance(part, Layer):
        values = part.values | {k: v for k, v in (("keep", part.keep), ("write", part.write)) if v is not None}
        steps = range(next(iter(part.values.values())).shape[1])
        return [
            {"layer": part.name, "unit": unit, "step": t, **{name: float(v[u, t]) for name, v in values.items()}}
            for u, unit in enumerate(part.selection) for t in steps
        ]  # fmt: skip
    if isinstance(part, Attribution):
        shares = part.shares.tolist()
        return [{"output": part.output, "place": place, "share": share} for place, share in enumerate(shares)]
    if isinstance(part, Example):
        return [
            {"example": part.name, **row,
             "place": make_label(part, min(int(row["step"] * layer.stride), part.input.steps - 1))}
            for layer in part.layers for row in rows(layer)
        ]  # fmt: skip
    return [dataclasses.asdict(part)]


def make_label(example: Example, place: int) -> str:
    """The name of a place of the input: its label, or its value on the scale."""
    if example.input.labels:
        return example.input.labels[place]
    first, step = example.input.scale
    return f"{first + place * step:g}"


def table(lines: Iterable[Mapping[str, Any]], width: int = WIDTH) -> str:
    """Rows as text in columns, at most `width` characters wide."""
    lines = [dict(row) for row in lines]
    grid = tables.grid(tight=False)
    for name in dict.fromkeys(name for row in lines for name in row):
        number = all(isinstance(row.get(name, 0), int | float) for row in lines)
        words = " ".join([name, *(str(_cell(row.get(name, ""))) for row in lines)]).split()
        narrow = min(8, max(map(len, words), default=1))  # a narrower column would split numbers and words
        grid.add_column(name, justify="right" if number else "left", overflow="fold", min_width=narrow)
    for row in lines:
        grid.add_row(*(_cell(row.get(column.header, "")) for column in grid.columns))
    return tables.draw(grid, width, markup=False, highlight=False, emoji=False).rstrip()


def _cell(value: Any) -> Any:
    from rich.text import Text

    if isinstance(value, float):
        value = "∞" if math.isinf(value) else "–" if math.isnan(value) else f"{value:.4g}"
    return Text(str(value))


def to_text(document: Document, width: int = WIDTH) -> str:
    """The document for a terminal: its summary, and a table for each section."""
    parts = ["\n".join(document.summary)]
    if document.half_lives:
        parts.append("Half-lives in steps of the layer\n" + table(map(_half_lives, document.half_lives), width))
    if document.flow:
        far = [lag for lag in LAGS if any(lag < len(f.lags) for f in document.flow)]
        lines = ({"layer": f.layer, "network": f.name, **_ratios(f, far), "gradient": f.summary} for f in document.flow)
        parts.append("Gradient flow: norm at a lag over the norm at lag 0\n" + table(lines, width))
    if document.health:
        lines = [
            {"layer": h.name, "gate": h.gate, "open": f"{h.open:.0%}", "shut": f"{h.shut:.0%}",
             "unused": f"{h.unused:.0%}"} for h in document.health
        ]  # fmt: skip
        parts.append("Gates: shares of units always open, always shut, unused\n" + table(lines, width)
                     + _advice(document.health))  # fmt: skip
    lines = [row for example in document.examples for row in _attributions(example)]
    if lines:
        parts.append("Input attributions, largest shares first\n" + table(lines, width))
    return "\n\n".join(part for part in parts if part)


def _half_lives(layer: HalfLives) -> dict[str, Any]:
    lives = layer.half_life
    low, middle, high = (float(np.quantile(lives, q, method="nearest")) for q in (0.1, 0.5, 0.9))
    return {
        "layer": layer.name, "units": len(lives), "shortest": float(lives.min()), "10 %": low,
        "median": middle, "90 %": high, "longest": float(lives.max()),
    }  # fmt: skip


def _ratios(flow: Flow, far: Sequence[int]) -> dict[str, str]:
    """The norm at some lags over that at lag 0, of the state with the largest ratio at the longest lag."""
    ratios = [v / v[0] for v in flow.norms.values() if len(v) and v[0] > 0]
    best = max(ratios, key=lambda r: float(r[-1]), default=np.zeros(0))
    return {f"lag {lag}": f"{best[lag]:.2g}" if lag < len(best) else "" for lag in far}


def _advice(health: Sequence[Health]) -> str:
    groups: dict[str, list[str]] = {}
    for one in health:
        if one.advice and one.name not in groups.setdefault(one.advice, []):
            groups[one.advice].append(one.name)
    if not groups:
        return "\nNothing need be done."
    return "".join(f"\n{'; '.join(names)}: {advice}" for advice, names in groups.items())


def _attributions(example: Example) -> Iterator[dict[str, Any]]:
    for one in example.attributions:
        top = np.argsort(-np.abs(one.shares), kind="stable")[:TOP]
        places = ", ".join(f"{make_label(example, int(k))} {one.shares[k]:+.3g}" for k in top)
        yield {"example": example.name, "output": one.output, "value": one.value, "baseline": one.baseline,
               "places": places}  # fmt: skip


def to_dict(document: Document) -> dict[str, Any]:
    """The document for JSON: lists and numbers of 6 digits, null for infinite and missing ones.

    Pictures are left out: they are the input itself. A half-life of null is infinite.
    """
    return _to_json(document)


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value) if f.name != "picture"]
        return {name: _to_json(getattr(value, name)) for name in names}
    if isinstance(value, np.ndarray):
        return _to_json(value.tolist())
    if isinstance(value, Mapping):
        return {name: _to_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
