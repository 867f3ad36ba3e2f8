"""Numeric series with a label in each row of a table, as sequences to tag; segments that are too short."""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from gated._check import refuse, want
from gated.io.text import is_path, source_name
from gated.tasks.tag.data import Sentences
from gated.tasks.tag.task import Config

BINS = 10  # of a channel, for the baselines
MAX_CHANNELS = 10_000
HOLD = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Channels:
    """The numeric columns, with what standardises each; `gaps` are those with missing values in training.

    edges: BINS − 1 quantiles of each channel.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    gaps: tuple[bool, ...]
    edges: tuple[tuple[float, ...], ...]

    @property
    def size(self) -> int:
        return len(self.names) + sum(self.gaps)

    def scale(self, values: Float[np.ndarray, "T C"]) -> Float[np.ndarray, "T I"]:
        """Standardised numbers, 0 where one is missing, and behind them a 1 for each that is, of channels with gaps."""
        missing = np.isnan(values)
        x = np.where(missing, 0, (values - np.array(self.mean)) / np.array(self.std))
        return np.concatenate([x.clip(-20, 20), missing[:, list(self.gaps)]], 1).astype(np.float32)

    def describe(self, values: Float[np.ndarray, "T C"]) -> list[tuple[str, ...]]:
        """The bins of each row's numbers, as words."""
        bins = [np.searchsorted(edges, column) for edges, column in zip(self.edges, values.T, strict=True)]
        return [tuple(map(str, row)) for row in zip(*bins, strict=True)]


def fit(values: Sequence[np.ndarray], names: Sequence[str]) -> Channels:
    """The channels of some series."""
    whole = np.concatenate(values)
    missing = np.isnan(whole)
    known = np.where(missing.all(0), 0.0, whole)
    mean, std = np.nan_to_num(np.nanmean(known, 0)), np.nan_to_num(np.nanstd(known, 0))
    edges = np.nanquantile(known, np.linspace(0, 1, BINS + 1)[1:-1], axis=0).T
    std = np.where(std > 1e-9 * np.maximum(1, abs(mean)), std, 1.0)
    gaps = tuple(bool(gap) for gap in np.atleast_1d(missing.any(0)))
    return Channels(tuple(names), tuple(mean.tolist()), tuple(std.tolist()), gaps, tuple(map(tuple, edges.tolist())))


def restore(words: dict[str, Any]) -> Channels:
    """The channels of a run folder."""
    where, names = "run folder channels", words["names"]
    fits = isinstance(names, list) and all(isinstance(name, str) for name in names) and len(names) <= MAX_CHANNELS
    want(fits, where, "names of columns", "something else")
    numbers = np.array([words["mean"], words["std"]], float)
    edges = np.array(words["edges"], float)
    fits = (
        numbers.shape == (2, len(names)) and edges.shape == (len(names), BINS - 1) and len(words["gaps"]) == len(names)
    )
    fits = fits and bool(np.isfinite(numbers).all()) and bool((numbers[1] > 0).all())
    want(fits and all(type(gap) is bool for gap in words["gaps"]), where, "a mean and a deviation of each", "others")
    mean, std = map(tuple, numbers.tolist())
    return Channels(tuple(names), mean, std, tuple(words["gaps"]), tuple(map(tuple, edges.tolist())))


def read(source: Any, config: Config, names: Sequence[str] = (), tagged: bool = True) -> Sentences:
    """The series of a table: CSV, JSON, Excel or Parquet, or a data frame; one, or one of each value of `config.id`.

    names: the columns of numbers, by default all but target, id and time; text among these is left out, with a note.
    A missing number is NaN; rows without a label are refused where labels are wanted.
    """
    from gated.io import tables

    where = source_name(source) if is_path(source) else "the data frame"
    frame = tables.read(source, id=config.id, time=config.time)
    own = [name for name in (config.target, config.id, config.time) if name]
    needed = [name for name in own if tagged or name != config.target]
    todo = "Name the columns with target, id and time."
    for name in [*needed, *names]:
        got = ", ".join(map(repr, list(frame.columns)[:8]))
        want(name in frame.columns, where, f"a column {name!r}", got, todo)
    notes: list[str] = []
    if not names:
        rest = [name for name in frame.columns if name not in own]
        names = [name for name in rest if frame[name].dtype.kind in "iufb"]
        text = [name for name in rest if name not in names]
        if text:
            notes.append(f"Not numbers, so left out: {', '.join(map(str, text[:8]))}.")
    want(0 < len(names) <= MAX_CHANNELS, where, f"1 to {MAX_CHANNELS:,} columns of numbers", len(names))
    values = np.stack([tables.numbers(frame, name) for name in names], 1)
    labels = None
    if config.target in frame.columns:
        column = tables.text(frame[config.target])
        missing = column.isna().to_numpy()
        if tagged:
            tables.refuse_rows(frame, missing, where, f"a label in each row of {config.target!r}")
        labels = None if missing.any() else column.to_numpy()
    seconds = _seconds(frame, config.time, where)
    groups = [("", np.arange(len(frame)))]
    if config.id:
        ids = tables.text(frame[config.id])
        groups = [(str(name), np.asarray(rows)) for name, rows in ids.groupby(ids, sort=False).indices.items()]
    if seconds is not None:
        groups = [(name, rows[np.argsort(seconds[rows], kind="stable")]) for name, rows in groups]
    tags = None if labels is None else [[str(labels[r]) for r in rows] for _, rows in groups]
    steps = [
        None if seconds is None or len(rows) < 2 else float(np.median(np.diff(seconds[rows]))) for _, rows in groups
    ]
    return Sentences(
        [[""] * len(rows) for _, rows in groups], tags, None, where, "series", texts=[name for name, _ in groups],
        values=[values[rows] for _, rows in groups], order=[rows for _, rows in groups], frame=frame,
        columns=tuple(names), notes=tuple(notes),
        seconds=steps,
    )  # fmt: skip


def _seconds(frame: Any, name: str | None, where: str) -> Any:
    """A column of times in seconds, or of numbers as they are."""
    if name is None:
        return None
    from gated.io import tables

    column = frame[name]
    numbers, bad = tables.to_numbers(column)
    if not bad.any() and not np.isnan(numbers).any():
        return numbers
    times = tables.pd.to_datetime(column, errors="coerce", format="mixed")
    tables.refuse_rows(frame, times.isna().to_numpy(), where, f"numbers or dates in {name!r}", column)
    return (times - times.min()).dt.total_seconds().to_numpy()


def _step(seconds: np.ndarray) -> float | None:
    """The median time between two steps."""
    return float(np.median(np.diff(seconds))) if len(seconds) > 1 else None


# ---- the shortest duration of a label


def count_steps(hold: str | None, seconds: float | None) -> int:
    """Steps of a duration; seconds: of a step."""
    if not hold:
        return 1
    found = HOLD.fullmatch(hold.strip())
    if not found:
        refuse("hold", "a number of steps, or a time such as 0.5s, 500ms or 2m", repr(hold))
    if not found[2]:
        return max(1, round(float(found[1])))
    todo = "Name the column of times with time, or give a number of steps."
    want(
        seconds is not None and seconds > 0, "hold", "a number of steps, for the steps have no times", repr(hold), todo
    )
    return max(1, round(float(found[1]) * UNITS[found[2]] / (seconds or 1.0)))


def hold(best: Sequence[int], log_p: Float[np.ndarray, "T K"], steps: int) -> list[int]:
    """The path without segments shorter than so many steps: the shortest goes first, to the better neighbour.

    The better one has the higher Σ log p over the segment's steps. S segments take S log S.
    """
    ends = [0, *(t for t in range(1, len(best)) if best[t] != best[t - 1]), *[len(best)][: len(best)]]
    first, last, tag = ends[:-1], ends[1:], [best[t] for t in ends[:-1]]
    left, right = list(range(-1, len(tag) - 1)), [*range(1, len(tag)), -1]
    sums = np.concatenate([np.zeros((1, log_p.shape[1])), log_p.cumsum(0)])
    heap = [(b - a, k) for k, (a, b) in enumerate(zip(first, last, strict=True)) if b - a < steps]
    heapq.heapify(heap)
    gone: set[int] = set()
    while heap:
        length, k = heapq.heappop(heap)
        beside = [n for n in (left[k], right[k]) if n >= 0]
        if k in gone or length != last[k] - first[k] or not beside:
            continue
        gains = sums[last[k]] - sums[first[k]]
        tag[k] = max((tag[n] for n in beside), key=lambda kind: gains[kind])
        for n in beside:
            if tag[n] == tag[k]:
                gone.add(n)
                if n == left[k]:
                    first[k], left[k] = first[n], left[n]
                    right[left[k]] = k if left[k] >= 0 else right[left[k]]
                else:
                    last[k], right[k] = last[n], right[n]
                    left[right[k]] = k if right[k] >= 0 else left[right[k]]
        if last[k] - first[k] < steps:
            heapq.heappush(heap, (last[k] - first[k], k))
    out = list(best)
    for k in set(range(len(tag))) - gone:
        out[first[k] : last[k]] = [tag[k]] * (last[k] - first[k])
    return out


def segments(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Runs of equal tags: first and last step, both included, and the tag."""
    ends = [0, *(t for t in range(1, len(tags)) if tags[t] != tags[t - 1]), len(tags)]
    return [(low, high - 1, tags[low]) for low, high in pairwise(ends) if low < high]
