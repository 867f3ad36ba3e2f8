"""The numbers of a document as rows of plain Python, as tables of text, and as JSON."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gated.probe.document import Attribution, Document, Example, Flow, Health, Layer, Memory

WIDTH = 120
TOLD = 5  # places of the input that a table names for an attribution
LAGS = (1, 10, 100)  # lags at which a table tells what is left


def rows(found: Any) -> list[dict[str, Any]]:
    """A row for each thing that can be counted, ready for a data frame.

    memories a row for each unit; flows for each lag; health for each gate; an example's layer for each unit and step;
    an attribution for each place. A list or tuple of these: the rows of all.
    """
    if isinstance(found, Sequence):
        return [row for one in found for row in rows(one)]
    return list(_rows(found))


def _rows(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, Memory):
        for unit, life in enumerate(found.half_life.tolist()):
            yield {"layer": found.name, "unit": unit, "half_life": life}
    elif isinstance(found, Flow):
        for k, lag in enumerate(found.lags.tolist()):
            norms = {state: float(values[k]) for state, values in found.norms.items()}
            yield {"network": found.name, "layer": found.layer, "lag": lag, **norms}
    elif isinstance(found, Layer):
        for u, unit in enumerate(found.chosen):
            more = {k: v for k, v in (("keep", found.keep), ("write", found.write)) if v is not None}
            for t in range(next(iter(found.values.values())).shape[1]):
                values = {name: float(value[u, t]) for name, value in (found.values | more).items()}
                yield {"layer": found.name, "unit": unit, "step": t, **values}
    elif isinstance(found, Attribution):
        for place, share in enumerate(found.shares.tolist()):
            yield {"output": found.output, "place": place, "share": share}
    elif isinstance(found, Example):
        for layer in found.layers:
            for row in _rows(layer):
                place = min(int(row["step"] * layer.stride), found.input.steps - 1)
                yield {"example": found.name, **row, "place": label(found, place)}
    else:
        yield {k: v for k, v in dataclasses.asdict(found).items()}


def label(example: Example, place: int) -> str:
    """What a place of the input is called: its label, or where it lies on the scale."""
    if example.input.labels:
        return example.input.labels[place]
    first, step = example.input.scale
    return f"{first + place * step:g}"


def table(found: Iterable[Mapping[str, Any]], width: int = WIDTH) -> str:
    """Rows as text in columns, no wider than so many characters."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    lines = [dict(row) for row in found]
    names = list(dict.fromkeys(name for row in lines for name in row))
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in names:
        number = all(isinstance(row.get(name, 0), int | float) for row in lines)
        words = " ".join([name, *(str(_cell(row.get(name, ""))) for row in lines)]).split()
        least = min(8, max(map(len, words), default=1))  # narrower, numbers and words would be cut in two
        grid.add_column(name, justify="right" if number else "left", overflow="fold", min_width=least)
    for row in lines:
        grid.add_row(*(_cell(row.get(name, "")) for name in names))
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False, emoji=False)
    console.print(grid)
    return console.file.getvalue().rstrip()  # pyright: ignore[reportAttributeAccessIssue]


def _cell(value: Any) -> Any:
    from rich.text import Text

    if isinstance(value, float):
        value = "never" if math.isinf(value) else "–" if math.isnan(value) else f"{value:.4g}"
    return Text(str(value))


def numbers(document: Document, width: int = WIDTH) -> str:
    """The document for a terminal: its sentences, and a table for each question."""
    parts = ["\n".join(document.summary)]
    if document.memory:
        parts.append(
            "How long it remembers: half-lives in steps of the layer\n" + table(map(_life, document.memory), width)
        )
    if document.flow:
        far = [lag for lag in LAGS if any(lag < len(f.lags) for f in document.flow)]
        told = table(
            ({"layer": f.layer, "network": f.name, **_left(f, far), "the gradient": f.said} for f in document.flow),
            width,
        )
        parts.append("Gradient flow: what is left of it after so many steps\n" + told)
    if document.health:
        told = [
            {"layer": h.name, "gate": h.gate, "open": f"{h.open:.0%}", "shut": f"{h.shut:.0%}",
             "unused": f"{h.unused:.0%}"} for h in document.health
        ]  # fmt: skip
        parts.append(
            "Gates: units always open, always shut, never used\n" + table(told, width) + _advice(document.health)
        )
    told = [row for example in document.examples for row in _mattered(example)]
    if told:
        parts.append("Which inputs mattered most\n" + table(told, width))
    return "\n\n".join(part for part in parts if part)


def _life(memory: Memory) -> dict[str, Any]:
    lives = memory.half_life
    low, middle, high = (float(np.quantile(lives, q, method="nearest")) for q in (0.1, 0.5, 0.9))
    return {
        "layer": memory.name, "units": len(lives), "shortest": float(lives.min()), "10 %": low,
        "median": middle, "90 %": high, "longest": float(lives.max()),
    }  # fmt: skip


def _left(flow: Flow, far: Sequence[int]) -> dict[str, str]:
    """The norm at some lags over that at lag 0, of the state that keeps most."""
    ratios = [v / v[0] for v in flow.norms.values() if len(v) and v[0] > 0]
    best = max(ratios, key=lambda r: float(r[-1]), default=np.zeros(0))
    return {f"lag {lag}": f"{best[lag]:.2g}" if lag < len(best) else "" for lag in far}


def _advice(found: Sequence[Health]) -> str:
    groups: dict[str, list[str]] = {}
    for one in found:
        if one.advice and one.name not in groups.setdefault(one.advice, []):
            groups[one.advice].append(one.name)
    if not groups:
        return "\nNothing need be done."
    return "".join(f"\n{'; '.join(names)}: {said}" for said, names in groups.items())


def _mattered(example: Example) -> Iterator[dict[str, Any]]:
    for one in example.attributions:
        top = np.argsort(-np.abs(one.shares), kind="stable")[:TOLD]
        places = ", ".join(f"{label(example, int(k))} {one.shares[k]:+.3g}" for k in top)
        yield {"example": example.name, "output": one.output, "value": one.value, "baseline": one.baseline,
               "places": places}  # fmt: skip


def plain(document: Document) -> dict[str, Any]:
    """The document as JSON holds it: lists and numbers of 6 digits, null where one is infinite or not observed.

    Pictures are left out: they are the input itself. A half-life of null is one without end.
    """
    return _plain(document)


def _plain(found: Any) -> Any:
    if dataclasses.is_dataclass(found):
        names = [f.name for f in dataclasses.fields(found) if f.name != "picture"]
        return {name: _plain(getattr(found, name)) for name in names}
    if isinstance(found, np.ndarray):
        return _plain(found.tolist())
    if isinstance(found, Mapping):
        return {name: _plain(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    if isinstance(found, float):
        return float(f"{found:.6g}") if math.isfinite(found) else None
    return found
