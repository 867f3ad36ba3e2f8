"""Adding two numbers that were marked long ago: an LSTM learns it, a plain RNN does not. Takes less than a minute.

The adding problem of Hochreiter & Schmidhuber 1997, section 5.4, sequences of 100 to 110 steps.
"""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gated.problems import PAPER, Adding
from gated.tasks.lags.learn import Recipe, Solved, Tell, solve
from gated.train import threads

T, SEED = 100, 0
NAMES = {"lstm": "LSTM", "rnn": "plain RNN"}
LATE = 2000  # sequences over which the last error is the mean
EVERY = 2000  # sequences between two lines, where nobody can watch
BARS = " ▁▂▃▄▅▆▇█"
HISTORY = "lags.csv"


def run(out: Path, say: Callable[[str], None], recipe: Recipe = Recipe()) -> tuple[dict[str, Any], str]:  # noqa: B008
    """Learn with both, as many sequences for the RNN as the LSTM took; the figures and the text that tells them."""
    problem, watching = Adding(T), sys.stderr.isatty()
    paper, constant = PAPER[problem], 1 / 24
    say(f"Sequences of {T} to {problem.longest} random numbers, two of them marked. At the end: what is their sum?")
    say(
        f"By then the marks are {problem.lag} to {problem.longest} steps away. The error is the mean square; saying 0.5"
    )
    say(f"always has {constant:.4f}.\n")
    found: dict[str, Solved] = {}
    with threads(1), bars(paper) if watching else lines(say) as told:
        for kind, name in NAMES.items():
            cap = found["lstm"].seen if found else paper
            found[kind] = solve(problem, kind, recipe=recipe, seed=SEED, cap=cap, tell=told(name, constant))
    write(out / HISTORY, found, recipe.B)
    result = {
        "problem": "adding", "T": T, "paper": paper, "constant": constant,
        **{kind: facts(solved, recipe.B) for kind, solved in found.items()},
    }  # fmt: skip
    return result, f"\n{table(result)}\n\nThe errors, update by update, are in {out / HISTORY}."


def facts(solved: Solved, B: int) -> dict[str, Any]:
    """What is told of a network: its error is the mean square of the last sequences."""
    late = solved.losses[-LATE // B :]
    return {
        "sequences": solved.sequences, "seen": solved.seen, "error": float(np.mean(late)) if late else None,
        "seconds": solved.seconds,
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """A line for each network, one for saying nothing, and who won."""
    rows = [f"{'':<12}{'sequences':>11}{'error':>10}   {'solved':<8}{'seconds':>7}"]
    for kind, name in NAMES.items():
        one = result[kind]
        solved = "yes" if one["sequences"] else "no"
        rows.append(f"{name:<12}{one['seen']:>11,}{one['error']:>10.5f}   {solved:<8}{one['seconds']:>7.1f}")
    rows.append(f"{'saying 0.5':<12}{'':>11}{result['constant']:>10.5f}   no")
    lstm, rnn, paper, constant = (result[name] for name in ("lstm", "rnn", "paper", "constant"))
    if lstm["sequences"]:
        said = f"{lstm['sequences']:,} sequences until the last 2,000 were all right to 0.04"
        said += f"; the paper's LSTM needed {paper:,}, a mean of 10 trials."
    else:
        said = f"not solved within {lstm['seen']:,} sequences, which is what the paper's LSTM needed."
    other = (
        "it solved it too" if rnn["sequences"] else f"its error is {rnn['error']:.4f}, saying 0.5 has {constant:.4f}"
    )
    return "\n".join([*rows, "", f"LSTM: {said}", f"Plain RNN: after the same sequences {other}."])


def write(path: Path, found: dict[str, Solved], B: int) -> None:
    """The mean square error of every update's sequences, one network beside the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    losses = [solved.losses for solved in found.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sequences", *found])
        for k in range(max(map(len, losses))):
            rows.writerow([(k + 1) * B, *(f"{one[k]:.6g}" if k < len(one) else "" for one in losses)])


# ---- while it learns

Told = Callable[[str, float], Tell]


def smooth(errors: list[float], last: int) -> float:
    return float(np.mean(errors[-last:]))


@contextlib.contextmanager
def lines(say: Callable[[str], None]) -> Iterator[Told]:
    """A line now and then, for a pipe or a file."""

    def told(name: str, scale: float) -> Tell:
        errors: list[float] = []

        def tell(seen: int, loss: float, error: float, wrong: float) -> None:
            errors.append(loss)
            if seen % EVERY == 0:
                say(f"{name:<10}{seen:>8,} sequences   error {smooth(errors, max(1, len(errors) * EVERY // seen)):.5f}")

        return tell

    yield told


@contextlib.contextmanager
def bars(total: int) -> Iterator[Told]:
    """For a terminal: a row for each network, its sequences as a share of the paper's, and its error, drawn."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(20),
        TextColumn("{task.completed:>7,.0f} of the paper's {task.total:,.0f}"),
        TextColumn("error {task.fields[said]}  {task.fields[drawn]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def told(name: str, scale: float) -> Tell:
            errors: list[float] = []
            task = progress.add_task(name, total=total, said="", drawn="")

            def tell(seen: int, loss: float, error: float, wrong: float) -> None:
                errors.append(loss)
                if len(errors) % 16 == 0:
                    said = f"{smooth(errors, 64):.5f}"
                    progress.update(task, completed=seen, said=said, drawn=spark(errors, scale))

            return tell

        yield told


def spark(errors: list[float], scale: float, width: int = 24) -> str:
    """Errors as a row of bars: each the mean of its part, full at the scale or above."""
    parts = [part.mean() for part in np.array_split(np.array(errors), min(width, len(errors)))]
    return "".join(BARS[int(np.ceil(min(part / scale, 1.0) * (len(BARS) - 1)))] for part in parts)
