"""The pictures of docs/memory.md: the memory of an LSTM trained to add two numbers, given 50 to 110 steps before.

    python examples/remember.py [--out docs]

The script trains for some seconds, inspects the network with `gated.probe`, prints the numbers and draws the pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from gated import probe, problems
from gated.tasks.lags import solve

INK, BLUE, ORANGE, GREEN, GREY = "#1b2430", "#2f6fb3", "#c9541d", "#2c8a5b", "#9aa5b1"
STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "legend.frameon": False,
}  # fmt: skip
UNITS = 2  # units drawn


def solve_adding(T: int, seed: int) -> tuple[problems.Problem, Any, Any]:
    """The problem, a network that solved it, and one after a single update."""
    problem = problems.Adding(T)
    initial = solve(problem, "lstm", seed=seed, cap=8).net
    solved = solve(problem, "lstm", seed=seed)
    if solved.sequences is None:
        raise SystemExit(f"expected a network that adds over {T} steps, got none with seed {seed}. Choose another.")
    print(f"solved after {solved.sequences:,} sequences, {solved.seconds:.0f} s")
    return problem, solved.net.eval(), initial.eval()


def rank_units(trace: probe.Trace, marks: Sequence[int]) -> list[int]:
    """The units with the largest share of the final cell written at the marks, in descending order."""
    parts = probe.decompose(trace)
    shares = np.abs(probe.shares(parts.keep, parts.write, len(parts.keep) - 1))  # (T + 1, H)
    size = np.abs(trace.values["c"][-1].numpy())
    return list(np.argsort(-shares[list(marks)].sum(0) / shares.sum(0) * np.minimum(size, 1)))[:UNITS]


def draw_gates(trace: probe.Trace, x: np.ndarray, marks: Sequence[int], units: Sequence[int], path: Path) -> None:
    """The input numbers, and i, f, c of the units; vertical lines are the marks."""
    figure, rows = plt.subplots(
        1 + 3 * len(units), 1, sharex=True, figsize=(8, 5.6), height_ratios=[1.4] + [1] * 3 * len(units)
    )
    steps = np.arange(len(x))
    rows[0].vlines(steps, 0, x[:, 0], color=GREY, lw=1)
    rows[0].vlines(list(marks), 0, x[list(marks), 0], color=ORANGE, lw=2.5)
    rows[0].set_ylabel("input", rotation=0, ha="right", va="center")
    for row, (unit, name) in zip(rows[1:], ((u, n) for u in units for n in "ifc"), strict=True):
        row.plot(trace.values[name][:, unit].numpy(), color=BLUE if name == "c" else INK, lw=1.2)
        row.set_ylabel(f"{name}  unit {unit}", rotation=0, ha="right", va="center")
        if name != "c":
            row.set_ylim(-0.05, 1.05)
    for row in rows:
        for mark in marks:
            row.axvline(mark, color=ORANGE, lw=0.8, alpha=0.6)
    rows[-1].set_xlabel("step; the two marked numbers in orange")
    save(figure, path)


def draw_shares(trace: probe.Trace, marks: Sequence[int], units: Sequence[int], path: Path) -> None:
    """The shares of the steps in the final cells."""
    parts = probe.decompose(trace)
    shares = probe.shares(parts.keep, parts.write, len(parts.keep) - 1)[:-1]
    figure, rows = plt.subplots(len(units), 1, sharex=True, figsize=(8, 1.5 * len(units) + 0.5), squeeze=False)
    for row, unit in zip(rows[:, 0], units, strict=True):
        colours = [ORANGE if step in marks else GREY for step in range(len(shares))]
        row.bar(np.arange(len(shares)), shares[:, unit], color=colours, width=1)
        row.set_ylabel(f"share of c\nunit {unit}", rotation=0, ha="right", va="center")
        share = shares[list(marks), unit].sum() / shares[:, unit].sum()
        print(f"unit {unit}: the two marked steps wrote {100 * share:.0f} % of its final cell")
    rows[-1, 0].set_xlabel("step at which it was written")
    save(figure, path)


def draw_half_lives(before: np.ndarray, after: np.ndarray, path: Path) -> None:
    """Half-lives of all units, sorted, before training and after."""
    figure, row = plt.subplots(figsize=(8, 2.8))
    for name, values, colour in (("before training", before, GREY), ("after", after, BLUE)):
        row.plot(np.sort(values)[::-1], "o-", ms=3, lw=1, color=colour, label=name)
        print(f"{name}: half of the units have a half-life of {np.median(values):.0f} steps or more")
    row.set_yscale("log")
    row.set_xlabel("units, sorted")
    row.set_ylabel("half-life, steps")
    row.legend()
    save(figure, path)


def draw_flows(flows: Sequence[Any], path: Path) -> None:
    """‖∂L_t/∂s‖ against the lag: h of an RNN and a GRU, c of an LSTM."""
    figure, row = plt.subplots(figsize=(8, 3.2))
    for flow, colour, dash in zip(flows, (BLUE, BLUE, ORANGE, GREEN, GREY), "-:---", strict=True):
        norm = flow.norms.get("c", flow.norms["h"])
        row.plot(flow.lags, norm / norm[0], color=colour, ls=dash, label=f"{flow.name}: {flow.summary}")
        print(f"{flow.name}: {flow.summary}")
    row.set_yscale("log")
    row.set_ylim(1e-12, 3)
    row.set_xlabel("lag t − s, steps")
    row.set_ylabel("gradient norm, relative")
    row.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1.0))
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    figure.align_ylabels()
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def main(out: Path, T: int = 100, seed: int = 0) -> None:
    problem, net, initial = solve_adding(T, seed)
    batch = problem.batch(np.random.default_rng(1), 16)
    marked = [np.flatnonzero(batch.x[:, b, 1] == 1).tolist() for b in range(16)]
    b = max(range(16), key=lambda b: np.ptp(marked[b]) if len(marked[b]) == 2 else 0)  # marks farthest apart
    marks, x = marked[b], batch.x[: int(batch.lengths[b]), b].numpy()
    trace = probe.traces(net.layer, batch.x[:, b : b + 1], lengths=batch.lengths[b : b + 1])[0]
    units = rank_units(trace, marks)
    out.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        draw_gates(trace, x, marks, units, out / "memory-gates.png")
        draw_shares(trace, marks, units, out / "memory-written.png")
        halves = [probe.half_lives(n.layer, batch.x, lengths=batch.lengths)[0].half_life for n in (initial, net)]
        draw_half_lives(*halves, out / "memory-half-lives.png")
        after, *others = probe.gradient_flow(net.layer, batch.x, lengths=batch.lengths)
        before = probe.gradient_flow(initial.layer, batch.x, lengths=batch.lengths)[0]
        named = [replace(after, name="after training"), replace(before, name="before training")]
        draw_flows([*named, *others], out / "memory-gradient.png")


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    main(parser.parse_args().out)
