"""What is around any task: a fit's folder and time limit, and how a run is saved, loaded and summed up.

A run is a frozen record with `config`, `metrics`, `history`, `notes`, and what the task needs beside them.

    def fit(source, config=None, *, out=None, resume=False, overwrite=False, progress=True, **options):
        config = make(Config, options, config)
        with runs.start(TASK, out, resume, overwrite, progress) as job:
            ...                                         # runs.fit(network, loss, batches, config, job, data=…, steps=…)
            return job.finish(Run(...))
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gated import _native, checkpoint, observe, options, train
from gated._check import InputError, refuse, want
from gated.io import files
from gated.options import option, required


@dataclass(frozen=True)
class Output:
    """What a command gives.

    data: bytes for standard output, made part by part. result: what --json prints in their place, one JSON object; a
    function is called once the data are made. text: for people, on standard error. stream: the data are JSON themselves
    where that is asked for, an object a line, and the result is the last of them.
    """

    result: dict[str, Any] | Callable[[], dict[str, Any]]
    text: str | Callable[[], str] = ""
    data: Iterable[bytes] = ()
    stream: bool = False


@dataclass(frozen=True, kw_only=True)
class OutOptions:
    """The options of every command that trains a run, beside its Config; `words` are `fit`'s names for them."""

    out: Path = required("Run folder to write.")
    overwrite: bool = option(False, "Replace the run in the folder, once the new one is trained.", flag=True)
    quiet: bool = option(False, "Print no progress and no summary.", flag=True)

    def words(self) -> dict[str, Any]:
        return {"out": self.out, "overwrite": self.overwrite, "progress": not self.quiet}

    def output(self, run: Any, text: Callable[[], str] | None = None, **more: Any) -> Output:
        """The fitted run's metrics, and its summary."""
        return Output({"run": str(self.out), **run.metrics, **more}, "" if self.quiet else text or run.summary)


@dataclass(frozen=True, kw_only=True)
class FitOptions(OutOptions):
    """The options of every `fit` command beside its Config."""

    resume: bool = option(False, "Resume a stopped fit.", flag=True)

    def words(self) -> dict[str, Any]:
        return super().words() | {"resume": self.resume}


@dataclass
class Job:
    """One fit: the folder of its run, whether a stopped fit is resumed, whether progress is shown, when it began.

    As a context it holds the folder, so that no other fit writes there.
    """

    task: str
    out: Path | None
    resume: bool
    progress: bool
    began: float
    artefacts: tuple[str, ...] = ()
    updates: int = 0  # of the weights, so far
    hold: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *error: object) -> None:
        self.hold.close()

    def left(self, config: options.Training, share: float = 1.0) -> float | None:
        """Seconds that are left of the time limit, or a share of them; None without a limit."""
        limit = config.time_limit
        return None if limit is None else max(1.0, share * (limit - (time.monotonic() - self.began)))

    def finish(self, run: Any) -> Any:
        """The run, with the seconds it took among its metrics, saved to its folder."""
        run.metrics["fit_seconds"] = time.monotonic() - self.began
        if self.resume and not self.updates and self.progress:
            sys.stderr.write("This fit had finished: nothing was left to train.\n")
        if self.out is not None:
            run.save(self.out)
        return run


def start(
    task: Any, out: Any, resume: bool | None = None, overwrite: bool = False, progress: bool = True
) -> Job:  # fmt: skip
    """A fit of a `Task`, which holds its folder; what cannot be written after the work is refused before it.

    That is a folder that holds anything but a run, one that another fit writes, and, unless resume or overwrite say
    otherwise, one that holds a run or a stopped fit. resume: None where a command cannot.
    """
    want(out is not None or not resume, "fit", "the folder out of the fit to resume", "none")
    job = Job(task.name, None if out is None else Path(out), bool(resume), progress, time.monotonic(), task.artefacts)
    if job.out is not None:
        with contextlib.ExitStack() as hold:
            if job.out.exists():
                checkpoint.claim(job.out, task.artefacts)
            hold.enter_context(files.lock(job.out))
            vacant(job.out, resume, overwrite)
            job.hold = hold.pop_all()
    return job


def vacant(folder: Path, resume: bool | None = None, overwrite: bool | None = None) -> None:
    """Refuse to replace a run, or a stopped fit, unawares; None is an option that a command has not."""
    run, stopped = (folder / checkpoint.CONFIG).exists(), checkpoint.stopped(folder)
    where, ways = f"run folder {folder}", "another folder"
    ways += "" if overwrite is None else ", or --overwrite (overwrite=True) to replace it"
    if resume:
        todo = f"Take {ways}." if not overwrite else "Leave resume out."
        want(bool(stopped) or not run, where, "a fit to resume", "a run without the state of its training", todo)
    elif not overwrite:
        ways = ways if resume is None else f"--resume (resume=True) to continue its fit, {ways}"
        want(not run and not stopped, where, "a folder without a run", "a run" if run else stopped, f"Take {ways}.")


def fit(
    network: nn.Module,
    loss: Callable[..., Any],
    batches: Callable[[int], Any],
    config: options.Training,
    job: Job,
    *,
    data: Any = (),
    validate: Callable[[nn.Module], Any] | None = None,
    out: Path | None = None,
    share: float = 1.0,
    **more: Any,
) -> train.History:
    """`train.fit` with a task's options, in `share` of the time that is left; `more` are fields of `train.Config`.

    data: what is trained and evaluated on, as arrays and plain values; a fit of other data or options is not resumed.
    Ctrl-C ends in KeyboardInterrupt once the state is saved in the folder, if there is one.
    """
    fields: dict[str, Any] = dict(
        lr=config.lr, clip_norm=config.clip, ema=config.ema, best_k=config.average, patience=config.patience,
        time_limit=job.left(config, share), seed=config.seed, device=config.device, watch=config.watch,
        precision="bf16-mixed" if is_mixed(config) else "32",
    )  # fmt: skip
    out = job.out if out is None else out
    origin = None if out is None else {"data": checkpoint.fingerprint(data), "options": asdict(config)}
    history = train.fit(
        network, loss, batches, config=train.Config(**fields | more), validate=validate, observers=[observe.layers],
        out=out, artefacts=job.artefacts, origin=origin, resume=job.resume, progress=job.progress,
    )  # fmt: skip
    job.updates += history.steps - history.first
    if history.stopped == "interrupted":
        todo = "" if out is None else " Go on with --resume."
        raise KeyboardInterrupt(f"Stopped at step {history.steps:,}.{todo}")
    return history


def is_mixed(config: options.Training) -> bool:
    """Whether a fit multiplies matrices in bfloat16: where it is asked for, or the processor has it."""
    return config.precision == "bf16" or (config.precision == "auto" and _native.bf16())


def device(config: options.Training) -> torch.device:
    """Where a run computes: the device of its config, the processor where there is no other."""
    cuda = config.device != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if cuda else "cpu")


def save(
    task: Any, folder: str | os.PathLike[str], run: Any, network: nn.Module, extras: dict[str, Any], arrays: Any = None
) -> None:
    """Write a run's folder: config, weights, metrics, history, notes, and the task's `extras` (JSON) and `arrays`."""
    extras = extras | {"notes": list(run.notes), "history": observe.thin(run.history)}
    checkpoint.save(
        folder, asdict(run.config), network, task=task.name, metrics=run.metrics, extras=extras, arrays=arrays,
        artefacts=task.artefacts,
    )  # fmt: skip
    files.replace(Path(folder) / checkpoint.HISTORY, train.to_csv(run.history))


def load(task: Any, folder: str | os.PathLike[str], restore: Callable[..., Any], formerly: Sequence[str] = ()) -> Any:
    """The run of a folder: `restore(stored, config=…, metrics=…, history=…, notes=…)` makes it of what is stored.

    Nothing in the folder is executed. A damaged or hostile folder is one `InputError`.
    formerly: older names of the task.
    """
    stored = checkpoint.load(folder)
    where = f"run folder {Path(folder)}"
    want(stored.task in (task.name, *formerly), where, f"a run of {task.name}", f"a run of {stored.task!r}")
    try:
        config = options.restore(task.Config, stored.config)
        notes, history = tuple(map(str, stored.extras["notes"])), list(stored.extras["history"])
        run = restore(stored, config=config, metrics=stored.metrics, history=history, notes=notes)
        run.summary()  # so that metrics of which nothing can be said are found here
        return run
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError) as error:  # a stranger's
        expected = f"a run of {task.name} as this version writes it"
        refuse(where, expected, " ".join(f"{type(error).__name__}: {error}".split()))


def summary(run: Any, lines: Sequence[str]) -> str:
    """A run in a few lines for people: its notes, the task's own lines, and what was recorded of its layers."""
    return "\n".join([*run.notes, *lines, *observe.describe(run.history)])
