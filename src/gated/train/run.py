"""A training run: its configuration, its state, its history."""

from __future__ import annotations

import atexit
import contextlib
import csv
import dataclasses
import io
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gated import checkpoint
from gated._check import InputError, want
from gated.options import check, default, option


@dataclasses.dataclass(frozen=True)
class Config:
    """How to train. The defaults suit LSTMs of up to some millions of weights.

    The optimizer is AdamW (Loshchilov & Hutter 2019), fused. Its weight decay acts on matrices only: on a bias it would
    pull the forget gate, which is the memory, towards forgetting.
    """

    steps: int = option(1000, "Optimizer steps.", low=1)
    lr: float = option(1e-3, "Highest learning rate.", low=0)
    schedule: str = option(
        "cosine", "onecycle is that of Smith & Topin 2018.", choices=("cosine", "linear", "onecycle", "constant")
    )
    warmup: float = option(0.1, "Share of the run, not of its steps: with a time limit the two differ.", low=0, high=1)
    weight_decay: float = option(0.01, "Of matrices.", low=0)
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float | None = option(1.0, "Maximum norm of the gradient of all weights together.", low=0)
    clip_value: float | None = option(None, "Maximum of each number of the gradient, before clip_norm.", low=0)
    accumulate: int = option(1, "Micro-batches a step.", low=1)
    carry: bool = option(False, "Truncated BPTT: loss(model, batch, state) returns (loss, state).")
    ema: float = option(0.0, "Decay of the averaged weights that are evaluated and stored; 0 is off.", low=0, high=1)
    best_k: int = option(1, "Average the weights of the k best evaluations.", low=1)
    monitor: str | None = option(None, "Number of `validate` that is best when lowest; None is the first.")
    eval_every: int = option(100, "Steps between two evaluations.", low=1)
    patience: int | None = default("patience", None)
    time_limit: float | None = default("time_limit", None)  # the schedule ends with the first of steps and time
    seed: int = default("seed", 0)
    device: str = default("device", "auto")
    precision: str = option("32", "Precision of matrix products.", choices=("32", "bf16-mixed"))
    log_every: int = option(10, "Steps a row of the history.", low=1)
    checkpoint_every: float = option(30.0, "Seconds between two saves for resuming.", low=0)
    tensorboard: bool = option(False, "Write out/tensorboard as well.")
    watch: bool = option(False, "Call the observers that `fit` is given; the weights stay the same, bit for bit.")

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass
class History:
    """A row covers the steps since the row before it.

    `rows` hold: step; loss, the mean; lr; grad_norm, the mean before clipping; clipped, the share of steps; seconds
    since the start; the numbers of `validate`, as valid or valid_NAME; and the columns of observers.
    """

    rows: list[dict[str, int | float]] = dataclasses.field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    stopped: str = ""  # "steps", "patience", "time" or "interrupted"
    best: float | None = None  # the lowest monitored value
    best_step: int | None = None
    first: int = 0  # the step from which a resumed fit continued


class Diverged(InputError):
    """The loss or its gradient became NaN or infinite. The model holds the last good weights."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


@dataclasses.dataclass
class Best:
    value: float
    step: int
    weights: dict[str, Tensor]


@dataclasses.dataclass
class Run:
    """The state of a run: first what stays, then all that changes."""

    config: Config
    model: nn.Module
    params: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    fabric: Any  # alone knows of devices and processes
    folder: Path | None
    carry: list[Any]
    ema: list[Tensor]
    step: int = 0
    clock: float = 0.0  # seconds of training, as the first process counts them
    step_seconds: float = 0.0  # of the last step
    eval_seconds: float = 0.0  # of the last evaluation; another step is begun if both still fit into the time limit
    best: list[Best] = dataclasses.field(default_factory=list)
    stale: int = 0  # evaluations since the best
    eval_step: int = 0  # step of the last evaluation
    sums: dict[str, list[int | float]] = dataclasses.field(default_factory=dict)  # steps and sum, by column of a row
    rows: list[dict[str, int | float]] = dataclasses.field(default_factory=list)
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)  # what is trained on
    # not saved
    began: float = dataclasses.field(default_factory=time.monotonic)  # when `clock` was 0
    batch: int = -1  # number of the current micro-batch
    interrupts: int = 0  # how often Ctrl-C was pressed in this process
    interrupted: bool = False  # whether it was in any, as all processes know after an update

    @property
    def keeps_history(self) -> bool:
        """Whether history.csv is this fit's to write: that of an older run stays until another run is saved."""
        return self.folder is not None and not (self.folder / checkpoint.CONFIG).exists()

    @property
    def elapsed(self) -> float:
        """The share of the run that is done: of its steps or of its time, whichever is further."""
        share, limit = self.step / self.config.steps, self.config.time_limit
        if limit is None:
            return share
        return max(share, min(1.0, self.clock / max(limit - self.step_seconds - self.eval_seconds, 1e-9)))


# An observer is a context manager over a run. It gives a function of an update and of whether this completes a row of
# the history, called after each step, without gradients, in the first process only. It returns columns by name;
# a row has their means over the updates that returned them.
Observe = Callable[[Any, bool], Mapping[str, float]]
Observer = Callable[[Run], contextlib.AbstractContextManager[Observe]]


def start(model: nn.Module, config: Config, out: str | os.PathLike[str] | None = None) -> Run:
    """A run at its first step."""
    fabric = _fabric(config)
    model.to(fabric.device).train()
    params = [p for p in model.parameters() if p.requires_grad]
    todo = "Does every weight have requires_grad=False?"
    want(bool(params), "train.fit", "a model with weights to train", "none", todo)
    decay = [p for p in params if p.ndim > 1], [p for p in params if p.ndim <= 1]
    groups = [{"params": decay[0]}, {"params": decay[1], "weight_decay": 0.0}] if config.weight_decay else params
    optimizer = torch.optim.AdamW(groups, config.lr, config.betas, weight_decay=config.weight_decay, fused=True)
    folder = Path(out) if out is not None and fabric.global_rank == 0 else None
    ema = [p.detach().clone() for p in params] if config.ema else []
    return Run(config, model, params, optimizer, fabric, folder, [None] * config.accumulate, ema)


class _OneProcess:
    """The part of Fabric that one process on the CPU needs; importing Fabric would double the start."""

    device, world_size, global_rank = torch.device("cpu"), 1, 0

    def __init__(self, mixed: bool):
        self.mixed = mixed

    def to_device(self, batch: Any) -> Any:
        return batch

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16) if self.mixed else contextlib.nullcontext()


def _fabric(config: Config) -> Any:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    cuda = torch.cuda.is_available()
    want(cuda or config.device != "cuda", "train.Config device", "a CUDA device", "none", "Use 'cpu'.")
    device = ("cuda" if cuda else "cpu") if config.device == "auto" else config.device
    if processes == 1 and device == "cpu":
        return _OneProcess(config.precision == "bf16-mixed")
    from lightning_fabric import Fabric

    chatter = logging.getLogger("lightning_fabric")
    level = chatter.level
    chatter.setLevel(logging.WARNING)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    precision = {"32": "32-true", "bf16-mixed": "bf16-mixed"}[config.precision]
    fabric = Fabric(accelerator=device, devices=here, num_nodes=processes // here, precision=precision)  # pyright: ignore[reportArgumentType]
    fabric.launch()
    chatter.setLevel(level)
    if processes > 1:
        atexit.unregister(_leave_group)
        atexit.register(_leave_group)
    return fabric


def _leave_group() -> None:
    """Leave the other processes in order: threads of theirs that still run as Python ends may abort it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def seed_all(seed: int, n: int) -> None:
    """Seed torch's generators for micro-batch n: both numbers' bits mixed (SplitMix64; Steele et al. 2014, fig. 12)."""
    z = (seed * 0x9E3779B97F4A7C15 + (n + 1) * 0xD1342543DE82EF95) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    z ^= z >> 31
    torch.default_generator.manual_seed(z)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(z)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch's generators are seeded, after it they are as before: for initial weights, say."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=list(devices)):
        seed_all(seed, -1)
        yield


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Within it torch's operators use this many threads, after it as many as before.

    Two threads meet at the end of every operator; where these are small, or another program wants a core as well, the
    waiting costs more than the second thread brings.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---- weights


def copy_to(params: list[nn.Parameter], values: list[Tensor]) -> None:
    if values:
        with torch.no_grad():
            for p, value in zip(params, values, strict=True):
                p.copy_(value)


def load_best(run: Run) -> None:
    """Give the model the mean of the best weights, or their running average, or leave it the last."""
    copy_to(run.params, run.ema)
    if run.best:
        weights = dict(run.best[0].weights)
        for name, tensor in weights.items():
            if tensor.is_floating_point() and len(run.best) > 1:
                weights[name] = torch.stack([best.weights[name] for best in run.best]).mean(0)
        checkpoint.fill(run.model, weights)
    run.model.zero_grad()
    run.model.eval()


# ---- history


def to_csv(rows: list[dict[str, int | float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def make_history(run: Run, stopped: str, first: int = 0) -> History:
    best = run.best[0] if run.best else None
    return History(run.rows, run.step, run.clock, stopped, best and best.value, best and best.step, first)
