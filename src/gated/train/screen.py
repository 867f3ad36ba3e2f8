"""Progress on standard error, curves for TensorBoard, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from gated import checkpoint
from gated._check import optional
from gated.train.run import Run

Log = Callable[[dict[str, int | float] | None], None]  # called after every step, with a row where one is complete


FIRST, EVERY = 10.0, (30.0, 600.0)  # seconds until the first line of a log, between two, and at most between two
WIDE = 60  # columns of a terminal from which the bar and the time that is left are shown


def is_terminal() -> bool:
    """Whether standard error is a terminal that can draw."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def show(run: Run, progress: bool) -> Iterator[Log]:
    """Progress on standard error, TensorBoard's file if asked for; in the first process only.

    On a terminal that is a bar; elsewhere, as in a file under nohup, a line now and then.
    """
    with contextlib.ExitStack() as stack:
        logs: list[Log] = []
        if progress and run.fabric.global_rank == 0:
            logs.append(stack.enter_context(_bar(run)) if is_terminal() else _lines(run))
        if run.config.tensorboard and run.folder is not None:
            logs.append(stack.enter_context(_board(run)))

        def log(row: dict[str, int | float] | None) -> None:
            for one in logs:
                one(row)

        yield log


@contextlib.contextmanager
def _bar(run: Run) -> Iterator[Log]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = Console(stderr=True)
    whole = Column(no_wrap=True, min_width=len(f"step {run.config.steps}"))
    step, losses = TextColumn("step {task.fields[step]}", table_column=whole), TextColumn("{task.fields[losses]}")
    one = TextColumn("step {task.fields[step]}  {task.fields[losses]}", table_column=Column(no_wrap=True))
    columns = (step, BarColumn(), TimeRemainingColumn(), losses) if console.width >= WIDE else (one,)
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=1.0, step=run.step, losses="")

        def log(row: dict[str, int | float] | None) -> None:
            bar.update(task, completed=run.elapsed, step=run.step)
            if row is not None:
                bar.update(task, losses=_losses(row))

        yield log


def _lines(run: Run) -> Log:
    """A line after ten seconds, then after each half minute, and more seldom in a long run."""
    began = last = time.monotonic()
    latest: dict[str, int | float] = {}

    def log(row: dict[str, int | float] | None) -> None:
        nonlocal last
        latest.update(row or {})
        now = time.monotonic()
        if now - last < (FIRST if last == began else min(max(EVERY[0], (now - began) / 20), EVERY[1])) or not latest:
            return
        last, share = now, run.elapsed
        left = f"  {_span((now - began) * (1 / share - 1))} left" if 0 < share < 1 else ""
        with contextlib.suppress(OSError):  # the fit goes on where its log cannot
            sys.stderr.write(f"step {run.step:,}  {_losses(latest)}{left}\n")
            sys.stderr.flush()

    return log


def _span(seconds: float) -> str:
    """A time in words: "40 s", "12 min", "3 h 05 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _losses(row: dict[str, int | float]) -> str:
    """The loss of the training, and what `validate` measured, each under a name of its own."""
    names = {name: name.removeprefix("valid_") for name in row if name == "loss" or name.startswith("valid")}
    words = {name: "valid loss" if name == "valid_loss" else word for name, word in names.items()}
    return "  ".join(f"{word} {row[name]:.4g}" for name, word in words.items())


@contextlib.contextmanager
def _board(run: Run) -> Iterator[Log]:
    optional("tensorboard", "tensorboard")
    from torch.utils.tensorboard.writer import SummaryWriter

    writer = SummaryWriter(f"{run.folder}/{checkpoint.TENSORBOARD}", purge_step=run.step + 1)

    def log(row: dict[str, int | float] | None) -> None:
        for name, value in (row or {}).items():
            if name != "step":
                writer.add_scalar(name.replace(":", "/"), value, run.step)

    try:
        yield log
    finally:
        writer.close()


@contextlib.contextmanager
def interrupt(run: Run) -> Iterator[None]:
    """Count the first Ctrl-C in `run.interrupts`; a second one raises KeyboardInterrupt at once."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield
        return

    def count(number: int, frame: Any) -> None:
        if run.interrupts:
            raise KeyboardInterrupt
        run.interrupts += 1

    signal.signal(signal.SIGINT, count)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
