"""One update: gradients of a step's losses, summed over processes, clipped, checked, and handed to the optimizer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from gated import checkpoint
from gated._check import want
from gated.io import files
from gated.train.run import Config, Diverged, Run, load_best, make_history, to_csv


class Update(NamedTuple):
    """What one update did."""

    loss: float
    lr: float
    grad_norm: float  # of all gradients together, before clipping
    clipped: bool
    norms: dict[nn.Parameter, Tensor]  # of each weight's gradient, before clipping


def update(run: Run, losses: Iterable[Any]) -> Update:
    """One step of the optimizer down the gradient of

        L = Σ sums / Σ counts        over the losses, and over all processes

    losses: one a micro-batch, each a pair (sum, count), or a mean, which counts as one term. Each is differentiated
        before the next is asked for, so of a generator's losses one graph is in memory at a time.

        run = train.start(model, train.Config(steps=1000))
        for batch in batches:
            train.update(run, [loss(model, batch)])

    Raises `Diverged` on a loss or gradient that is not finite, before the step that would spoil the weights.
    """
    config, lr = run.config, run.config.lr * _schedule(run)
    total: Any = 0.0
    count: Any = 0.0
    for loss in losses:
        value, size = _sum_and_count(loss)
        value.backward()
        total, count = total + value.detach(), count + size
    total, count, clock = _reduce(run, total, count, time.monotonic() - run.began)
    norms, norm, clipped = _clip(run.params, count, config)
    if not math.isfinite(total) or not math.isfinite(norm):
        _diverge(run, total / count, norm)
    for group in run.optimizer.param_groups:
        group["lr"] = lr
    run.optimizer.step()
    run.optimizer.zero_grad()
    run.step_seconds = clock - run.clock - (run.eval_seconds if run.eval_step == run.step else 0.0)
    run.step, run.clock = run.step + 1, clock
    if run.ema:
        decay = min(config.ema, run.step / (run.step + 9))  # of few steps, for the first weights are worth little
        torch._foreach_lerp_(run.ema, run.params, 1 - decay)  # pyright: ignore
    return Update(total / count, lr, norm, clipped, norms)


def _schedule(run: Run) -> float:
    """The rate as a share of the highest; a step is rated at its middle, so neither the first nor the last is lost."""
    config, p = run.config, min(1.0, run.elapsed + 0.5 / run.config.steps)
    if p < config.warmup:
        rise = p / config.warmup
        return 0.04 + 0.48 * (1 - math.cos(math.pi * rise)) if config.schedule == "onecycle" else rise
    fall = (p - config.warmup) / max(1 - config.warmup, 1e-9)
    return {"constant": 1.0, "linear": 1 - fall}.get(config.schedule, (1 + math.cos(math.pi * fall)) / 2)


def _sum_and_count(loss: Any) -> tuple[Tensor, Any]:
    value: Any
    value, size = loss if isinstance(loss, tuple) and len(loss) == 2 else (loss, 1.0)
    scalar = isinstance(value, Tensor) and value.ndim == 0
    got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    want(scalar, "loss", "a scalar tensor, or a pair (sum, count)", got, "Take the mean, or the sum and its count.")
    return value, size


def _reduce(run: Run, total: Any, count: Any, clock: float) -> tuple[float, float, float]:
    """Sum the loss, its count and the gradient over all processes, in one message, and take the first one's clock.

    A weight that got no gradient in any process keeps none; buffers become those of the first process. Ctrl-C in one
    process interrupts all.
    """
    if run.fabric.world_size == 1:
        run.interrupted = run.interrupts > 0
        return float(total), float(count), clock
    first = run.fabric.global_rank == 0
    buffers = [b for b in run.model.buffers() if b.is_floating_point()]
    numbers = [float(total), float(count), clock * first, run.interrupts, *(p.grad is not None for p in run.params)]
    parts = [torch.tensor(numbers, dtype=torch.float32, device=run.fabric.device)]
    parts += [torch.zeros_like(p) if p.grad is None else p.grad for p in run.params]
    parts += [b if first else torch.zeros_like(b) for b in buffers]
    flat = run.fabric.all_reduce(torch.cat([part.reshape(-1) for part in parts]), reduce_op="sum")
    head, *rest = flat.split([part.numel() for part in parts])
    total, count, clock, interrupts, *present = head.tolist()
    for p, grad, some in zip(run.params, rest, present, strict=False):
        p.grad = grad.view_as(p).to(p.dtype) if some else None
    for b, value in zip(buffers, rest[len(run.params) :], strict=True):
        b.copy_(value.view_as(b))
    run.interrupted = interrupts > 0
    return total, count, clock


def _clip(params: list[nn.Parameter], count: float, config: Config) -> tuple[dict[nn.Parameter, Tensor], float, bool]:
    """Make gradients of the sum those of the mean and clip them.

    Gives the norms before, by weight and of all weights together, and whether clipping acted.
    """
    params = [p for p in params if p.grad is not None]
    grads: list[Any] = [p.grad for p in params]
    want(bool(grads), "loss", "a gradient for some weight", "none", "Does the loss use the model?")
    want(count > 0, "loss", "a positive count", count)
    if count != 1:
        torch._foreach_mul_(grads, 1 / count)  # pyright: ignore
    norms: Any = torch._foreach_norm(grads)  # pyright: ignore  # get_total_norm's, without grouping by device and dtype
    before = norm = torch.linalg.vector_norm(torch.stack(norms))
    clipped = False
    if config.clip_value is not None and get_total_norm(grads, math.inf) > config.clip_value:
        clipped = True
        clip_grad_value_(params, config.clip_value)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))  # pyright: ignore
    if config.clip_norm is not None and norm > config.clip_norm:
        clipped = True
        clip_grads_with_norm_(params, config.clip_norm, norm)
    return dict(zip(params, norms, strict=True)), float(before), clipped


def _diverge(run: Run, loss: float, norm: float) -> NoReturn:
    load_best(run)
    if run.folder is not None and run.keeps_history:
        files.replace(run.folder / checkpoint.HISTORY, to_csv(run.rows))
    step = run.best[0].step if run.best else run.step
    todo = f"The model holds the weights of step {step}. Lower lr, clip harder, or look at the data."
    got = f"loss {loss:g}, gradient norm {norm:g}"
    message = f"train, step {run.step + 1}: expected a finite loss and gradient, got {got}. {todo}"
    raise Diverged(message, make_history(run, "diverged"))
