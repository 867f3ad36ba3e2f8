"""Progress on standard error, curves for TensorBoard, and Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from gated import checkpoint
from gated._check import optional
from gated.train.run import Run

Log = Callable[[dict[str, int | float] | None], None]  # called after every step, with a row where one is complete


@contextlib.contextmanager
def show(run: Run, progress: bool) -> Iterator[Log]:
    """A progress bar if standard error is a terminal, TensorBoard's file if asked for; in the first process only."""
    with contextlib.ExitStack() as stack:
        logs: list[Log] = []
        if progress and run.fabric.global_rank == 0 and sys.stderr.isatty():
            logs.append(stack.enter_context(_bar(run)))
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

    columns = (
        TextColumn("step {task.fields[step]}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0, step=run.step, losses="")

        def log(row: dict[str, int | float] | None) -> None:
            bar.update(task, completed=run.elapsed, step=run.step)
            if row is not None:
                bar.update(task, losses=_losses(row))

        yield log


def _losses(row: dict[str, int | float]) -> str:
    names = [name for name in row if name == "loss" or name.startswith("valid")]
    return "  ".join(f"{name.removeprefix('valid_')} {row[name]:.4g}" for name in names)


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
