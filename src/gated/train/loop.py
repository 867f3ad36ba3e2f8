"""The loop over updates: evaluate, record, log, save, stop."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gated import checkpoint, trees
from gated._check import one_of, want
from gated.train.resume import restore, save
from gated.train.run import (
    Best,
    Config,
    History,
    Observe,
    Observer,
    Run,
    copy_to,
    load_best,
    make_history,
    seed_all,
    seeded,
    start,
)
from gated.train.screen import interrupt, show
from gated.train.step import Update, update


def fit(
    model: nn.Module,
    loss: Callable[..., Any],
    batches: Callable[[int], Any],
    *,
    config: Config = Config(),  # noqa: B008, frozen
    validate: Callable[[nn.Module], Any] | None = None,
    observers: Iterable[Observer] = (),
    out: str | os.PathLike[str] | None = None,
    artefacts: Sequence[str] = (),
    origin: Mapping[str, Any] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train the model in place; it ends with the best weights, in eval mode, on the device it was trained on.

    - `loss(model, batch)` returns a scalar, the mean over a batch, or a pair (sum, count): with pairs the gradient is
      that of Σ sums / Σ counts over all micro-batches of a step, exact where their counts of tokens differ.
    - With `config.carry`, `loss(model, batch, state)` returns (either of these, new state): tensors in tuples, lists
      and dicts. The state is None at first, is detached between steps, and each micro-batch of a step has its own.
      A loss that sees a batch begin a stream ignores the state it is given.
    - `batches(n)` is a tensor, or tensors in a dict, tuple, list or dataclass; the same n gives the same batch.
    - `validate(model)` returns a number or a dict of numbers, lower being better; it sees the averaged weights if
      `config.ema` is on. Without it the last weights (or their average) stay.
    - `observers` add columns to the history if `config.watch` is on: `train.run.Observer` says what one is.
    - `out` is a run folder (`gated.checkpoint`) for history.csv and resuming; `artefacts` may lie in it as well. With
      `resume` a run stopped or killed there continues; where there is none it starts. A run with a time limit depends
      on the clock and is not repeated exactly.
    - `origin` says what is trained on, in JSON: `data`, a fingerprint, and `options`; a run of another is not resumed.
    - `progress` goes to standard error: a bar on a terminal, elsewhere a line now and then.

    torch's global generators are as before when it returns. Ctrl-C ends the run after the step; pressed twice, at once.
    Under `torchrun` it runs in several processes.

    Raises `Diverged` on a loss or gradient that is not finite, `InputError` on a mistake.
    """
    want(bool(out) or not (resume or config.tensorboard), "train.fit", "out= for resume or tensorboard", repr(out))
    observers = [*observers] if config.watch else []
    want(bool(observers) or not config.watch, "train.fit", "observers= for Config(watch=True)", "none")
    run = start(model, config, out)
    run.origin = dict(origin or {})
    state = resume and out is not None and (Path(out) / checkpoint.TRAINING).exists()
    if out is not None and (state if run.fabric.world_size == 1 else run.fabric.broadcast(state)):
        restore(run, Path(out) / checkpoint.TRAINING)
    elif run.folder is not None:
        folder = checkpoint.claim(run.folder, artefacts)
        (folder / checkpoint.TRAINING).unlink(missing_ok=True)
        if run.keeps_history:
            (folder / checkpoint.HISTORY).unlink(missing_ok=True)
    first = run.step
    run.began, saved, stopped = time.monotonic() - run.clock, run.clock, _stop_reason(run)
    with seeded(config.seed), interrupt(run), show(run, progress) as log, _observe(run, observers) as observe:
        while not stopped:
            step = update(run, _losses(run, loss, batches))
            stopped, valid = _stop_reason(run), {}
            if validate and (run.step % config.eval_every == 0 or stopped in ("steps", "time")):
                valid = evaluate(run, validate)
                stopped = stopped or _stop_reason(run)
            row = _record(run, step, observe, valid, last=stopped not in ("", "interrupted"))
            log(row)
            if out is not None and (stopped or run.clock - saved >= config.checkpoint_every):
                save(run)
                saved = run.clock
    if run.interrupts and run.fabric.world_size == 1:  # it came while the last step was evaluated or saved
        stopped = "interrupted"
    load_best(run)
    return make_history(run, stopped, first)


def _losses(run: Run, loss: Callable[..., Any], batches: Callable[[int], Any]) -> Iterator[Any]:
    """The losses of a step's micro-batches, each with random numbers of its own."""
    config, model = run.config, run.model
    for a in range(config.accumulate):
        run.batch = (run.step * config.accumulate + a) * run.fabric.world_size + run.fabric.global_rank
        seed_all(config.seed, run.batch)
        batch = run.fabric.to_device(batches(run.batch))
        with run.fabric.autocast():
            value = loss(model, batch, run.carry[a]) if config.carry else loss(model, batch)
        if config.carry:
            pair = isinstance(value, tuple) and len(value) == 2
            want(pair, "loss with carry", "(loss, state)", type(value).__name__)
            value, run.carry[a] = value[0], trees.detach(value[1])
        yield value


@contextlib.contextmanager
def _observe(run: Run, observers: list[Observer]) -> Iterator[Observe]:
    """All observers as one, in the first process only."""
    with contextlib.ExitStack() as stack:
        functions = [stack.enter_context(observer(run)) for observer in observers if run.fabric.global_rank == 0]

        def observe(step: Update, complete: bool) -> dict[str, float]:
            if not functions:
                return {}
            with torch.no_grad(), run.fabric.autocast():
                return {name: value for one in functions for name, value in one(step, complete).items()}

        yield observe


def _stop_reason(run: Run) -> str:
    """Why there is no further step, or nothing."""
    config, evaluated = run.config, run.eval_step == run.step
    end = run.clock + run.step_seconds + run.eval_seconds * (1 + evaluated)  # of one more step and its evaluation
    if run.interrupted:
        return "interrupted"
    if run.step >= config.steps:
        return "steps"
    if config.patience is not None and run.stale >= config.patience:
        return "patience"
    return "time" if config.time_limit is not None and run.clock > 0 and end >= config.time_limit else ""


def _record(
    run: Run, step: Update, observe: Observe, valid: dict[str, int | float], last: bool
) -> dict[str, int | float] | None:
    """Add the step to the next row of the history; return the row when it is complete."""
    complete = last or bool(valid) or run.step % run.config.log_every == 0
    numbers = {"loss": step.loss, "grad_norm": step.grad_norm, "clipped": step.clipped, **observe(step, complete)}
    for name, value in numbers.items():
        steps, total = run.sums.get(name, (0, 0.0))
        run.sums[name] = [steps + 1, total + value]
    if not complete:
        return None
    means = {name: total / steps for name, (steps, total) in run.sums.items()}
    row = {"step": run.step, "loss": means.pop("loss"), "lr": step.lr}
    row |= {name: means.pop(name) for name in ("grad_norm", "clipped")}
    row |= {"seconds": run.clock, **valid, **means}
    run.sums = {}
    run.rows.append(row)
    return row


def evaluate(run: Run, validate: Callable[[nn.Module], Any]) -> dict[str, int | float]:
    """Ask `validate` about the averaged weights, always with the same seed, and keep them if among the best."""
    config, model, began = run.config, run.model, time.monotonic()
    raw = [p.detach().clone() for p in run.params] if run.ema else []
    copy_to(run.params, run.ema)
    model.eval()
    seed_all(config.seed, -2)
    with torch.no_grad(), run.fabric.autocast():
        result = validate(model)
    model.train()
    scores = {name: float(value) for name, value in (result if isinstance(result, dict) else {"": result}).items()}
    run.eval_seconds = time.monotonic() - began
    if run.fabric.world_size > 1:
        scores, run.eval_seconds = run.fabric.broadcast((scores, run.eval_seconds))
    monitor = next(iter(scores), "") if config.monitor is None else config.monitor
    one_of("train.Config monitor", monitor, scores)
    value = scores[monitor]
    run.stale, run.eval_step = run.stale + 1, run.step
    if math.isfinite(value):
        if not run.best or value < run.best[0].value:
            run.stale = 0
        weights = {name: tensor.clone() for name, tensor in checkpoint.tensors(model).items()}
        run.best = sorted([*run.best, Best(value, run.step, weights)], key=lambda best: best.value)[: config.best_k]
    copy_to(run.params, raw)
    return {f"valid_{name}" if name else "valid": value for name, value in scores.items()}
