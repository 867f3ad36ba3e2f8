"""The loop, and the pieces of a step."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from gated import checkpoint, trees
from gated._check import one_of, want
from gated.train.resume import csv_of, restore, save
from gated.train.run import Best, Config, Diverged, History, Run, history, keep, put, seed_all, seeded, start
from gated.train.screen import interrupt, show
from gated.train.watch import watching


def fit(
    model: nn.Module,
    loss: Callable[..., Any],
    batches: Callable[[int], Any],
    *,
    config: Config = Config(),  # noqa: B008, frozen
    validate: Callable[[nn.Module], Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    artefacts: Sequence[str] = (),
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train the model in place; it ends with the best weights found, in eval mode, on the device it was trained on.

    - `loss(model, batch)` returns a scalar, the mean over a batch, or a pair (sum, count): with pairs the gradient is
      that of Σ sums / Σ counts over all micro-batches of a step, exact where their counts of tokens differ.
    - With `config.carry`, `loss(model, batch, state)` returns (either of these, new state): tensors in tuples, lists
      and dicts. The state is None at first, is detached between steps, and each micro-batch of a step has its own.
      A loss that sees a batch begin a stream ignores the state it is given.
    - `batches(n)` is a tensor, or tensors in a dict, tuple, list or dataclass; the same n gives the same batch.
    - `validate(model)` returns a number or a dict of numbers, lower being better; it sees the averaged weights if
      `config.ema` is on. Without it the last weights (or their average) are kept.
    - `out` is a run folder (`gated.checkpoint`) for history.csv and resuming; `artefacts` may lie in it as well. With
      `resume` a run stopped or killed there goes on; where there is none it starts. A run with a time limit depends
      on the clock and is not repeated exactly.
    - `progress` goes to standard error if that is a terminal.

    torch's global generators are as before when it returns. Ctrl-C ends the run after the step; pressed twice, at once.
    Under `torchrun` it runs in several processes.

    Raises `Diverged` on a loss or gradient that is not finite, `InputError` on a mistake.
    """
    want(bool(out) or not (resume or config.tensorboard), "train.fit", "out= for resume or tensorboard", repr(out))
    run = start(model, config, out)
    begun = resume and out is not None and (Path(out) / checkpoint.TRAINING).exists()
    if out is not None and (begun if run.fabric.world_size == 1 else run.fabric.broadcast(begun)):
        restore(run, Path(out) / checkpoint.TRAINING)
    elif run.folder is not None:
        for stale in (checkpoint.TRAINING, checkpoint.HISTORY):
            (checkpoint.claim(run.folder, artefacts) / stale).unlink(missing_ok=True)
    ranks, rank = run.fabric.world_size, run.fabric.global_rank
    began, saved, stopped = time.monotonic() - run.clock, run.clock, _stopped(run)
    with seeded(config.seed), interrupt() as asked, show(run, progress) as tell, watching(run) as watch:
        while not stopped:
            lr, total, count = config.lr * _schedule(run), 0.0, 0.0
            for a in range(config.accumulate):
                n = (run.step * config.accumulate + a) * ranks + rank
                seed_all(config.seed, n)
                if watch:
                    watch.calls.clear()
                batch = run.fabric.to_device(batches(n))
                with run.fabric.autocast():
                    value, size, run.carry[a] = _terms(loss, model, batch, run.carry[a], config.carry)
                value.backward()
                total, count = total + value.detach(), count + size
            total, count, clock, interrupted = _agree(run, total, count, time.monotonic() - began, bool(asked))
            if watch:
                watch.step(count)
            norm, clipped = _clip(run.params, count, config)
            if not math.isfinite(total) or not math.isfinite(norm):
                _diverge(run, total / count, norm)
            for group in run.optimizer.param_groups:
                group["lr"] = lr
            run.optimizer.step()
            run.optimizer.zero_grad()
            run.pace = clock - run.clock - (run.evaluating if run.evaluated == run.step else 0.0)
            run.step, run.clock = run.step + 1, clock
            if run.ema:
                decay = min(
                    config.ema, run.step / (run.step + 9)
                )  # a short memory at first, when there is little worth it
                torch._foreach_lerp_(run.ema, run.params, 1 - decay)  # pyright: ignore
            stopped = _stopped(run, interrupted)
            valid = {}
            if validate and (run.step % config.eval_every == 0 or stopped in ("steps", "time")):
                valid = evaluate(run, validate)
                stopped = stopped or _stopped(run)
            row = _record(run, lr, total / count, norm, clipped, valid, last=stopped not in ("", "interrupted"))
            if watch and row is not None:
                watch.row(row)
            tell(row)
            if out is not None and (stopped or clock - saved >= config.checkpoint_every):
                save(run)
                saved = clock
    keep(run)
    return history(run, stopped)


# ---- a step


def _schedule(run: Run) -> float:
    """The rate as a share of the highest; a step is rated at its middle, so neither the first nor the last is lost."""
    config, p = run.config, min(1.0, run.over() + 0.5 / run.config.steps)
    if p < config.warmup:
        rise = p / config.warmup
        return 0.04 + 0.48 * (1 - math.cos(math.pi * rise)) if config.schedule == "onecycle" else rise
    fall = (p - config.warmup) / max(1 - config.warmup, 1e-9)
    return {"constant": 1.0, "linear": 1 - fall}.get(config.schedule, (1 + math.cos(math.pi * fall)) / 2)


def _terms(loss: Callable[..., Any], model: nn.Module, batch: Any, state: Any, carry: bool) -> Any:
    """The loss as (sum, count, state): a mean over a batch counts as the sum of one term."""
    found = loss(model, batch, state) if carry else loss(model, batch)
    if carry:
        pair = isinstance(found, tuple) and len(found) == 2
        want(pair, "loss with carry", "(loss, state)", type(found).__name__)
        found, state = found[0], trees.detach(found[1])
    value, size = found if isinstance(found, tuple) and len(found) == 2 else (found, 1.0)
    scalar = isinstance(value, Tensor) and value.ndim == 0
    got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    want(scalar, "loss", "a scalar tensor, or a pair (sum, count)", got, "Take the mean, or the sum and its count.")
    return value, size, state


def _clip(params: list[nn.Parameter], count: float, config: Config) -> tuple[float, bool]:
    """Make gradients of the sum those of the mean and clip them; say their norm before, and whether clipping acted."""
    grads = [p.grad for p in params if p.grad is not None]
    want(bool(grads), "loss", "a gradient for some weight", "none", "Does the loss use the model?")
    want(count > 0, "loss", "a positive count", count)
    if count != 1:
        torch._foreach_mul_(grads, 1 / count)  # pyright: ignore
    before = norm = _norm(grads)
    clipped = False
    if config.clip_value is not None and get_total_norm(grads, math.inf) > config.clip_value:
        clipped = True
        clip_grad_value_(params, config.clip_value)
        norm = _norm(grads)
    if config.clip_norm is not None and norm > config.clip_norm:
        clipped = True
        clip_grads_with_norm_(params, config.clip_norm, norm)
    return float(before), clipped


def _norm(grads: list[Tensor]) -> Tensor:
    """The norm of all gradients together: torch.nn.utils.get_total_norm without its grouping by device and dtype."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))  # pyright: ignore


def _agree(run: Run, total: Any, count: Any, clock: float, asked: bool) -> tuple[float, float, float, bool]:
    """Sum the loss, its count and the gradient over all processes, and take the first one's clock, in one message.

    A weight that got no gradient in any process keeps none; buffers become those of the first process.
    """
    if run.fabric.world_size == 1:
        return float(total), float(count), clock, asked
    first = run.fabric.global_rank == 0
    buffers = [b for b in run.model.buffers() if b.is_floating_point()]
    numbers = [float(total), float(count), clock * first, asked, *(p.grad is not None for p in run.params)]
    pieces = [torch.tensor(numbers, dtype=torch.float32, device=run.fabric.device)]
    pieces += [torch.zeros_like(p) if p.grad is None else p.grad for p in run.params]
    pieces += [b if first else torch.zeros_like(b) for b in buffers]
    flat = run.fabric.all_reduce(torch.cat([piece.reshape(-1) for piece in pieces]), reduce_op="sum")
    head, *rest = flat.split([piece.numel() for piece in pieces])
    total, count, clock, asked, *present = head.tolist()
    for p, grad, some in zip(run.params, rest, present, strict=False):
        p.grad = grad.view_as(p).to(p.dtype) if some else None
    for b, value in zip(buffers, rest[len(run.params) :], strict=True):
        b.copy_(value.view_as(b))
    return total, count, clock, asked > 0


def _stopped(run: Run, interrupted: bool = False) -> str:
    """Why there is no further step, or nothing."""
    config, late = run.config, run.clock + run.pace + run.evaluating
    if interrupted:
        return "interrupted"
    if run.step >= config.steps:
        return "steps"
    if config.patience is not None and run.waited >= config.patience:
        return "patience"
    return "time" if config.time_limit is not None and run.clock > 0 and late >= config.time_limit else ""


def _record(
    run: Run, lr: float, loss: float, norm: float, clipped: bool, valid: dict[str, int | float], last: bool
) -> dict[str, int | float] | None:
    """Add the step to the row to come; return the row when it is complete."""
    run.sums = [old + new for old, new in zip(run.sums, (1, loss, norm, clipped), strict=True)]
    if not (last or valid or run.step % run.config.log_every == 0):
        return None
    steps, *sums = run.sums
    means = dict(zip(("loss", "grad_norm", "clipped"), (s / steps for s in sums), strict=True))
    row = {"step": run.step, "loss": means["loss"], "lr": lr, **means, "seconds": run.clock, **valid}
    run.sums = [0.0] * 4
    run.rows.append(row)
    return row


def evaluate(run: Run, validate: Callable[[nn.Module], Any]) -> dict[str, int | float]:
    """Ask `validate` about the averaged weights, always with the same seed, and keep them if among the best."""
    config, model, began = run.config, run.model, time.monotonic()
    raw = [p.detach().clone() for p in run.params] if run.ema else []
    put(run.params, run.ema)
    model.eval()
    seed_all(config.seed, -2)
    with torch.no_grad(), run.fabric.autocast():
        found = validate(model)
    model.train()
    named = {name: float(value) for name, value in (found if isinstance(found, dict) else {"": found}).items()}
    run.evaluating = time.monotonic() - began
    if run.fabric.world_size > 1:
        named, run.evaluating = run.fabric.broadcast((named, run.evaluating))
    monitor = next(iter(named), "") if config.monitor is None else config.monitor
    one_of("train.Config monitor", monitor, named)
    value = named[monitor]
    run.waited, run.evaluated = run.waited + 1, run.step
    if math.isfinite(value):
        if not run.best or value < run.best[0].value:
            run.waited = 0
        weights = {name: tensor.clone() for name, tensor in checkpoint.tensors(model).items()}
        run.best = sorted([*run.best, Best(value, run.step, weights)], key=lambda best: best.value)[: config.best_k]
    put(run.params, raw)
    return {f"valid_{name}" if name else "valid": value for name, value in named.items()}


def _diverge(run: Run, loss: float, norm: float) -> NoReturn:
    """Stop before the step that would spoil the weights."""
    keep(run)
    if run.folder is not None:
        checkpoint.write(run.folder / checkpoint.HISTORY, csv_of(run.rows))
    held = run.best[0].step if run.best else run.step
    todo = f"The model holds the weights of step {held}. Lower lr, clip harder, or look at the data."
    got = f"loss {loss:g}, gradient norm {norm:g}"
    said = f"train.fit, step {run.step + 1}: expected a finite loss and gradient, got {got}. {todo}"
    raise Diverged(said, history(run, "diverged"))
