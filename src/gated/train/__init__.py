"""The training loop: step, clip, truncated BPTT, evaluate, stop early, resume, devices.

    history = train.fit(model, loss, batches, config=train.Config(steps=2000), validate=validate, out="runs/sales")

`batches(n)` is micro-batch number n, a pure function of n; `loss(model, batch)` is its loss. Everything random in a
micro-batch is seeded from (seed, n), so the state of a run is its tensors and a few numbers: killed at any moment and
resumed it ends with the same weights, bit for bit, as if never stopped. Micro-batches are numbered through accumulation
and processes alike,

    n = (step · accumulate + a) · processes + rank,

so two micro-batches of b rows, two processes of b rows and one batch of 2b rows are the same step.
"""

from __future__ import annotations

from gated.train.loop import fit
from gated.train.run import Config, Diverged, History, Run, seeded, start, threads, to_csv
from gated.train.step import Update, update

__all__ = [
    "Config",
    "Diverged",
    "History",
    "Run",
    "Update",
    "fit",
    "seeded",
    "start",
    "threads",
    "to_csv",
    "update",
]
