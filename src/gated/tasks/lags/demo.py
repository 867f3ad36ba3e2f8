"""Adding two numbers that were marked long ago: an LSTM learns it, a plain RNN does not. Takes less than a minute.

The adding problem of Hochreiter & Schmidhuber 1997, section 5.4, sequences of 100 to 110 steps.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gated.problems import PAPER, Adding
from gated.tasks.lags.training import Recipe, Result, solve
from gated.train import threads
from gated.train.screen import is_terminal

T, SEED = 100, 0
NAMES = {"lstm": "LSTM", "rnn": "plain RNN"}
LATE = 2000  # sequences over which the last error is the mean
EVERY = 2000  # sequences between two lines, where there is no terminal
BARS = " ▁▂▃▄▅▆▇█"
HISTORY = "history.csv"  # a name that run folders have, so another demo may follow in the same folder


def run(out: Path, say: Callable[[str], None], recipe: Recipe = Recipe()) -> tuple[dict[str, Any], str]:  # noqa: B008
    """Train both, the RNN on as many sequences as the LSTM took; the results as data and as text."""
    problem, terminal = Adding(T), is_terminal()
    paper, constant = PAPER[problem], 1 / 24
    say(f"Sequences of {T} to {problem.longest} random numbers, two of them marked. At the end: what is their sum?")
    say(
        f"By then the marks are {problem.lag} to {problem.longest} steps away. The error is the mean square; saying 0.5"
    )
    say(f"always has {constant:.4f}.\n")
    results: dict[str, Result] = {}
    with threads(1), bars(paper, constant) if terminal else contextlib.nullcontext(lines(say)) as show:
        for kind, name in NAMES.items():
            cap = results["lstm"].total if results else paper
            results[kind] = solve(problem, kind, recipe=recipe, seed=SEED, cap=cap, log=partial(show, name))
    write(out / HISTORY, results, recipe.B)
    result: dict[str, Any] = {"problem": "adding", "T": T, "paper": paper, "constant": constant}
    for kind, one in results.items():
        late = one.losses[-LATE // recipe.B :]
        error = float(np.mean(late)) if late else None
        result[kind] = {"sequences": one.sequences, "seen": one.total, "error": error, "seconds": one.seconds}
    return result, f"\n{table(result)}\n\nThe errors, update by update, are in {out / HISTORY}."


def table(result: dict[str, Any]) -> str:
    """A line for each network and for the constant 0.5, and who solved it."""
    rows = [f"{'':<12}{'sequences':>11}{'error':>10}   {'solved':<8}{'seconds':>7}"]
    for kind, name in NAMES.items():
        one = result[kind]
        solved = "yes" if one["sequences"] else "no"
        rows.append(f"{name:<12}{one['seen']:>11,}{one['error']:>10.5f}   {solved:<8}{one['seconds']:>7.1f}")
    rows.append(f"{'saying 0.5':<12}{'':>11}{result['constant']:>10.5f}   no")
    lstm, rnn, paper, constant = (result[name] for name in ("lstm", "rnn", "paper", "constant"))
    if lstm["sequences"]:
        outcome = f"{lstm['sequences']:,} sequences until the last 2,000 were all right to 0.04"
        outcome += f"; the paper's LSTM needed {paper:,}, a mean of 10 trials."
    else:
        outcome = f"not solved within {lstm['seen']:,} sequences, which is what the paper's LSTM needed."
    other = (
        "it solved it too" if rnn["sequences"] else f"its error is {rnn['error']:.4f}, saying 0.5 has {constant:.4f}"
    )
    return "\n".join([*rows, "", f"LSTM: {outcome}", f"Plain RNN: after the same sequences {other}."])


def write(path: Path, results: dict[str, Result], B: int) -> None:
    """The mean square error of every update's sequences, one network beside the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    losses = [result.losses for result in results.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sequences", *results])
        for k, errors in enumerate(itertools.zip_longest(*losses), 1):
            rows.writerow([k * B, *("" if error is None else f"{error:.6g}" for error in errors)])


# ---- progress

Show = Callable[[str, Result], None]  # of a network's name and its result so far


def lines(say: Callable[[str], None]) -> Show:
    """A line now and then, for a pipe or a file."""

    def show(name: str, result: Result) -> None:
        if result.total % EVERY == 0:
            mean = np.mean(result.losses[-max(1, len(result.losses) * EVERY // result.total) :])
            say(f"{name:<10}{result.total:>8,} sequences   error {mean:.5f}")

    return show


@contextlib.contextmanager
def bars(sequences: int, scale: float) -> Iterator[Show]:
    """For a terminal: a row for each network, its sequences as a share of the paper's, and the curve of its error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(20),
        TextColumn("{task.completed:>7,.0f} of the paper's {task.total:,.0f}"),
        TextColumn("{task.fields[curve]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {name: progress.add_task(name, total=sequences, curve="") for name in NAMES.values()}

        def show(name: str, result: Result) -> None:
            if len(result.losses) % 16 == 0:
                curve = f"error {np.mean(result.losses[-64:]):.5f}  {spark(result.losses, scale)}"
                progress.update(tasks[name], completed=result.total, curve=curve)

        yield show


def spark(errors: list[float], scale: float, width: int = 24) -> str:
    """Errors as a row of bars: each the mean of its part, full at the scale or above."""
    parts = [part.mean() for part in np.array_split(np.array(errors), min(width, len(errors)))]
    return "".join(BARS[int(np.ceil(min(part / scale, 1.0) * (len(BARS) - 1)))] for part in parts)
