"""Training on a problem until its criterion holds, and counting the sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor, nn

from gated import train
from gated._check import one_of
from gated.layers import GRU, LSTM, RNN
from gated.options import check, option
from gated.problems import Batch, Problem

KINDS = ("lstm", "no forget gate", "gru", "rnn")


@dataclass(frozen=True)
class Recipe:
    """How to train: the same for all problems."""

    H: int = option(32, "Number of units.", low=1)
    B: int = option(8, "Number of sequences in an update.", low=1)
    lr: float = option(1e-2, "Learning rate of Adam.", low=0)
    clip: float | None = option(1.0, "Maximum norm of the gradient.", low=0)
    layer_norm: bool = option(False, "Normalise the recurrent layer.")
    check: int = option(256, "Number of sequences between two tests, of a problem that is tested.", low=1)

    def __post_init__(self) -> None:
        check(self, "lags.Recipe")


@dataclass
class Result:
    """The network, and how many sequences it took until the criterion held, or None, of how many in total."""

    net: nn.Module
    sequences: int | None = None
    total: int = 0
    seconds: float = 0.0
    diverged: bool = False
    losses: list[float] = field(default_factory=list)  # of every update


class Net(nn.Module):
    """One recurrent layer and a linear one.

        y_t = softmax(W h_t + b)  or  W h_t + b

    Gates that keep and write start by chrono at the problem's length: b_f = -b_i = log u (Tallec & Ollivier 2018). So
    do the input gates of the LSTM without forget gate, which the paper starts shut as well, against drift (section 4).
    """

    def __init__(self, problem: Problem, kind: str, recipe: Recipe) -> None:
        super().__init__()
        one_of("lags kind", kind, KINDS)
        (I, O), H, T, norm = problem.sizes, recipe.H, problem.longest, recipe.layer_norm
        self.layer = (
            LSTM(I, H, chrono=T, layer_norm=norm) if kind == "lstm"
            else LSTM(I, H, forget_gate=False, layer_norm=norm) if kind == "no forget gate"
            else GRU(I, H, chrono=T, layer_norm=norm) if kind == "gru"
            else RNN(I, H, layer_norm=norm)
        )  # fmt: skip
        if kind == "no forget gate":
            with torch.no_grad():
                weights = self.layer.weights(0, 0)
                weights["bias_hh"][:H] = 0
                bias = weights["shift_i"] if norm else weights["bias_ih"][:H]
                bias.uniform_(1, T - 1).log_().neg_()
        self.head = nn.Linear(H, O)
        self.output = problem.output

    def forward(self, batch: Batch) -> Float32[Tensor, "N O"]:
        """Logits, or numbers, at the N steps of `batch.where`."""
        h, _ = self.layer(batch.x, lengths=batch.lengths)
        return self.head(h[batch.where])

    def loss(self, batch: Batch, a: Float32[Tensor, "N O"]) -> Float32[Tensor, ""]:
        """Cross-entropy, or the square error, summed over outputs, the mean over the steps."""
        target = batch.target[batch.where]
        if self.output == "softmax":
            return -(target * F.log_softmax(a, -1)).sum(-1).mean()
        return (a - target).square().sum(-1).mean()

    def outputs(self, batch: Batch, a: Float32[Tensor, "N O"]) -> Float32[Tensor, "T B O"]:
        """The outputs at their steps, and zeros elsewhere."""
        y = torch.zeros_like(batch.truth)
        y[batch.where] = a.softmax(-1) if self.output == "softmax" else a
        return y


Log = Callable[[Result], None]  # called after every update


def solve(
    problem: Problem,
    kind: str = "lstm",
    *,
    recipe: Recipe = Recipe(),
    seed: int = 0,
    cap: int = 100_000,
    log: Log | None = None,
) -> Result:
    """Train until the problem's criterion holds, or on `cap` sequences, by Adam (Kingma & Ba 2015) at a constant rate.

    Every update takes B new sequences. All of them count, those of the last update too. A criterion on training
    judges the outputs before the update. The sequences of a test come from another stream, are the same at each test,
    and do not count. The caller's generators are not touched.
    """
    with train.seeded(seed):
        net = Net(problem, kind, recipe)
    rng = np.random.default_rng((seed, 0))
    criterion = problem.criterion
    config = train.Config(
        lr=recipe.lr, schedule="constant", warmup=0.0, weight_decay=0.0, clip_norm=recipe.clip or None, device="cpu"
    )
    run = train.start(net, config)
    wrongs, errors = np.zeros(0, bool), np.zeros(0, np.float32)  # of the last n
    result = Result(net)
    last_test = 0
    while result.total < cap:
        batch = problem.batch(rng, recipe.B)
        a = net(batch)
        try:
            loss = train.update(run, [net.loss(batch, a)]).loss
        except train.Diverged:
            result.diverged = True
            break
        wrong, error = problem.judge(batch, net.outputs(batch, a.detach()))
        result.total += recipe.B
        result.losses.append(loss)
        if log:
            log(result)
        if criterion.on == "training":
            wrongs = np.append(wrongs, wrong)[-criterion.n :]
            errors = np.append(errors, error)[-criterion.n :]
            holds = criterion.holds(wrongs, errors)
        else:
            due = result.total - last_test >= recipe.check
            last_test = result.total if due else last_test
            holds = due and passes(net, problem, seed)
        if holds:
            result.sequences = result.total
            break
    result.seconds = run.clock
    return result


@torch.no_grad()
def passes(net: Net, problem: Problem, seed: int) -> bool:
    """Does it pass the problem's test? It ends as soon as too many are wrong."""
    criterion, wrongs, errors = problem.criterion, [], []
    for batch in problem.tests(np.random.default_rng((seed, 1))):
        wrong, error = problem.judge(batch, net.outputs(batch, net(batch)))
        wrongs.append(wrong)
        errors.append(error)
        if sum(int(one.sum()) for one in wrongs) >= criterion.fewer:
            return False
    return criterion.holds(np.concatenate(wrongs), np.concatenate(errors))
