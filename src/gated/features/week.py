"""Weeks whose steps do not all occur: closed Sundays, trading sessions, opening hours.

A week has WEEK / base slots, from Monday 00:00 on; those that are open make the clock. Slot s of week w is the step
u = w · (open slots of a week) + (open slots before s).  In words: "D Mon-Sat", "15min Mon-Fri 09:30-15:45",
"h Mon-Fri 08:00-11:00 14:00-17:00; Sat 08:00-11:00", "h 08:00-20:00"; the last time of a span is a slot as well.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np

DAY = 86_400_000_000_000  # nanoseconds
WEEK = 7 * DAY
MONDAY = 4 * DAY  # 1970-01-05
MINUTE = DAY // 1440  # the shortest base
NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FULL = 0.8  # share of the open slots that must be filled for the others to count as closed
CHANCE = 0.01  # expected number of slots that stay empty by chance


def slots(times: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray]:
    """The week and the slot of each time."""
    since = times.astype(np.int64) - MONDAY
    return since // WEEK, since % WEEK // base


def units(times: np.ndarray, base: int, open: tuple[int, ...]) -> np.ndarray:
    """u of each time; a closed slot has that of the next open one."""
    week, slot = slots(times, base)
    return week * len(open) + np.searchsorted(np.array(open), slot)


def at(u: np.ndarray, base: int, open: tuple[int, ...]) -> np.ndarray:
    """The beginning of the slot of each u."""
    return (MONDAY + u // len(open) * WEEK + np.array(open)[u % len(open)] * base).astype("datetime64[ns]")


def infer(times: np.ndarray, codes: np.ndarray, base: int) -> tuple[int, ...] | None:
    """The open slots of a week if it has others, each empty though it could have been filled several times.

    Several are two, and three for whole days: one outage is no rule. How sure it is follows from the share f of open
    slots that are filled: a slot that could have been filled n times is empty by chance with probability (1 - f)^n.
    Where that leaves a doubt, but most of what is missing is missing every week, only long runs of slots are closed.
    times: [R] by series (codes) and time.
    """
    if base < MINUTE or base > DAY or DAY % base:
        return None
    week, slot = slots(times, base)
    filled = np.bincount(slot, minlength=WEEK // base) > 0
    if filled.all():
        return None
    first = np.r_[0, np.flatnonzero(codes[1:] != codes[:-1]) + 1]
    last = np.r_[first[1:], len(times)] - 1
    place = week * len(filled) + slot
    longest = int(np.argmax(place[last] - place[first]))
    low, high = int(place[first[longest]]), int(place[last[longest]])
    closed = np.flatnonzero(~filled)
    chances = (high - closed) // len(filled) - (low - 1 - closed) // len(filled)  # times that a slot lies in the span
    n, open, share = int(chances.min()), *_open(filled, times, first, last, base)
    if n < (3 if base == DAY else 2) or share < FULL:
        return None
    doubt = lambda slots: len(filled) * (1 - min(share, 1)) ** (n * slots) > CHANCE  # noqa: E731
    if doubt(1):
        rows = float((place[last] - place[first] + 1).sum())
        if rows - len(times) / share < FULL * (rows - len(times)):
            return None
        for _, run in itertools.groupby(enumerate(closed), lambda pair: pair[1] - pair[0]):
            slots_of_run = [s for _, s in run]
            filled[slots_of_run] = doubt(len(slots_of_run))
        open, share = _open(filled, times, first, last, base)
    return None if filled.all() else open


def _open(filled: np.ndarray, times: np.ndarray, first: np.ndarray, last: np.ndarray, base: int) -> Any:
    """The open slots, and which share of them has a row."""
    open = tuple(np.flatnonzero(filled).tolist())
    u = units(times, base, open)
    return open, len(times) / float((u[last] - u[first] + 1).sum())


def write(base: int, alias: str, open: tuple[int, ...], shift: int = 0) -> str:
    """The open slots in words; times of day are those of the rows, `shift` after the beginning of a slot."""
    per = DAY // base
    days = [tuple(s % per for s in open if s // per == day) for day in range(7)]
    groups = []
    for spans in dict.fromkeys(filter(None, days)):
        names = [day for day in range(7) if days[day] == spans]
        runs = [[d for _, d in run] for _, run in itertools.groupby(enumerate(names), lambda pair: pair[1] - pair[0])]
        words = [",".join(NAMES[r[0]] + f"-{NAMES[r[-1]]}" * (len(r) > 1) for r in runs)] if len(names) < 7 else []
        whole = len(spans) == per and len(names) < 7
        for _, run in itertools.groupby(enumerate(() if whole else spans), lambda pair: pair[1] - pair[0]):
            steps = [step for _, step in run]
            clock = [
                f"{m // 60:02d}:{m % 60:02d}" for m in ((s * base + shift) // MINUTE for s in (steps[0], steps[-1]))
            ]
            words += [] if base == DAY else ["-".join(clock[: 1 + (len(steps) > 1)])]
        groups.append(" ".join(words))
    return f"{alias} " + "; ".join(groups)


def parse(words: str, base: int) -> tuple[int, ...] | None:
    """The open slots that words say, or None if they say none."""
    if base < MINUTE or base > DAY or DAY % base:
        return None
    open: set[int] = set()
    per, number = DAY // base, {name.lower(): k for k, name in enumerate(NAMES)}
    for group in words.lower().split(";"):
        days, steps = set(), set()
        for word in group.split():
            span = re.fullmatch(r"(\d\d?):(\d\d)(?:-(\d\d?):(\d\d))?", word)
            names = [part.split("-") for part in word.split(",")]
            if span:
                low, high = (
                    (60 * int(h) + int(m)) * MINUTE // base
                    for h, m in (span.group(1, 2), (span[3] or span[1], span[4] or span[2]))
                )
                steps |= set(range(low, high + 1))
            elif all(len(pair) <= 2 and set(pair) <= set(number) for pair in names):
                for pair in names:
                    days |= set(range(number[pair[0]], number[pair[-1]] + 1))
            else:
                return None
        steps = steps or set(range(per))
        if not steps <= set(range(per)):
            return None
        open |= {day * per + step for day in days or range(7) for step in steps}
    return tuple(sorted(open)) if open else None


def season(base: int, open: tuple[int, ...]) -> tuple[int, int]:
    """Open slots of a day and of a week; of a week alone for days, or where the days differ."""
    per = DAY // base
    counts = {sum(s // per == day for s in open) for day in range(7)} - {0}
    day = counts.pop() if len(counts) == 1 else 0
    if day > 1:
        return (day, len(open)) if day < len(open) else (day, 0)
    return len(open), 0
