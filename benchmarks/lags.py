"""Long time lags, measured: sequences until each criterion of 1997 holds, for four networks, clipped and not.

    python benchmarks/lags.py [--only adding-100 reber …] [--kinds lstm …] [--seeds 5] [--jobs 2] [--minutes 58]

Every row of `ROWS` × LSTM, LSTM without forget gate, GRU, plain RNN × gradients clipped or not × seeds, each learnt on
one thread, `jobs` at a time, seed after seed; and a hidden Markov model on the grammar. Results are written to
benchmarks/results/lags.json and .md after each. What is there already, by the same recipe and with the same cap, is not
done again; after `minutes` nothing new is begun.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sheet
from gated import problems
from gated.problems import PAPER, Problem
from gated.tasks.lags.training import KINDS, Recipe, solve

RESULTS = Path(__file__).parent / "results"
CLIPS = (1.0, None)
STATES = (20, 40)  # of the hidden Markov models; the grammar's automaton has 20 nodes


@dataclass(frozen=True)
class Row:
    """A problem, how many sequences a network may see, `less` the plain RNN, and whether layers are normalised."""

    name: str
    problem: Problem
    cap: int
    less: int
    norm: bool = False

    @property
    def paper(self) -> int | None:
        return PAPER.get(self.problem)

    def allowed(self, kind: str) -> int:
        return self.less if kind == "rnn" else self.cap


# Caps are the paper's figures where that many cost little; where they are less, a network that fails may yet have got
# there by the paper's. In 2a cells that count the steps saturate, and no gradient passes ("abuse", section 4 of the
# paper, which adds the cell late): normalised they do not.
ROWS = {
    "reber": Row("embedded Reber grammar", problems.EmbeddedReber(), 8_440, 8_440),
    "noise-free": Row("2a: noise-free, p = 100 (layer norm)", problems.NoiseFree(100), 20_000, 20_000, norm=True),
    "no-regularities": Row("2b: no regularities, p = 100", problems.NoRegularities(100), 30_000, 10_000),
    "very-long": Row("2c: q = p = 50", problems.VeryLong(50, 50), 30_000, 30_000),
    "very-long-1000": Row("2c: q = 1000, p = 50", problems.VeryLong(1000, 50), 20_000, 5_000),
    "two-sequence": Row("3a: two sequences, T = 100, N = 3", problems.TwoSequence(100, 3), 27_380, 27_380),
    "two-sequence-1000": Row("3a: two sequences, T = 1000, N = 3", problems.TwoSequence(1000, 3), 60_000, 5_000),
    "two-sequence-noise": Row("3b: … T = 100, with noise", problems.TwoSequence(100, 3, "3b"), 41_740, 41_740),
    "two-sequence-targets": Row(
        "3c: … T = 100, with noisy targets", problems.TwoSequence(100, 3, "3c"), 100_000, 50_000
    ),
    "adding-100": Row("adding, T = 100", problems.Adding(100), 74_000, 74_000),
    "adding-500": Row("adding, T = 500", problems.Adding(500), 100_000, 40_000),
    "adding-1000": Row("adding, T = 1000", problems.Adding(1000), 100_000, 20_000),
    "multiplication": Row("multiplication, T = 100", problems.Multiplication(100), 200_000, 100_000),
    "order-2": Row("temporal order, two symbols", problems.TemporalOrder(2), 31_390, 31_390),
    "order-3": Row("temporal order, three symbols", problems.TemporalOrder(3), 200_000, 100_000),
    "copying": Row("copying, T = 20", problems.Copying(20), 40_000, 20_000),
}


@dataclass(frozen=True)
class Job:
    """One network that learns one problem."""

    row: str
    kind: str
    clip: float | None
    seed: int

    @property
    def key(self) -> str:
        return f"{self.row} | {self.kind} | {'clipped' if self.clip else 'free'} | {self.seed}"

    @property
    def recipe(self) -> Recipe:
        return Recipe(clip=self.clip, layer_norm=ROWS[self.row].norm)

    @property
    def terms(self) -> dict[str, Any]:
        """What must be alike for a result to stand."""
        return {**asdict(self.recipe), "cap": ROWS[self.row].allowed(self.kind)}

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(1)
        row = ROWS[self.row]
        result = solve(row.problem, self.kind, recipe=self.recipe, seed=self.seed, cap=row.allowed(self.kind))
        return {
            "sequences": result.sequences, "seen": result.total, "seconds": round(result.seconds, 2),
            "diverged": result.diverged, "terms": self.terms,
        }  # fmt: skip


# ---- a hidden Markov model on the grammar


@dataclass(frozen=True)
class Markov:
    """Hidden Markov models of so many states, fitted to the training strings by EM from one random start."""

    states: int
    seed: int

    @property
    def key(self) -> str:
        return f"hidden Markov model | {self.states} | {self.seed}"

    @property
    def terms(self) -> dict[str, Any]:
        return {"strings": 256, "iterations": 300}

    def run(self) -> dict[str, Any]:
        from hmmlearn.hmm import CategoricalHMM

        logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # it tells of every state that is never left
        began, problem = time.perf_counter(), problems.EmbeddedReber()
        training, test = ([[problems.reber.SYMBOLS.index(c) for c in one] for one in part] for part in problem.sets)
        model = CategoricalHMM(self.states, n_features=7, n_iter=300, tol=1e-3, random_state=self.seed)
        model.fit(np.concatenate(training)[:, None], [len(one) for one in training])
        parts = {"training": training, "test": test}
        shares = {name: share(model, problem, known) for name, known in parts.items()}
        return {"shares": shares, "seconds": round(time.perf_counter() - began, 2), "terms": self.terms}


def share(model: Any, problem: problems.EmbeddedReber, strings: Sequence[Sequence[int]]) -> dict[str, float]:
    """Which shares of symbols and of strings it predicts by the network's criterion: the possible ones most active."""
    batch = problems.reber.encode(["".join(problems.reber.SYMBOLS[k] for k in one) for one in strings])
    y = np.zeros(batch.truth.shape, np.float32)
    for b, one in enumerate(strings):
        y[: len(one) - 1, b] = following(model, one)
    wrong, error = problem.judge(batch, torch.from_numpy(y))
    return {
        "symbols": float(1 - (error * batch.lengths.numpy()).sum() / batch.lengths.sum()),
        "strings": 1 - wrong.mean(),
    }


def following(model: Any, one: Sequence[int]) -> np.ndarray:
    """p(next symbol | symbols so far) after each symbol but the last, by the forward recursion."""
    told, state = [], model.startprob_
    for symbol in one[:-1]:
        state = state * model.emissionprob_[:, symbol]
        state = state / max(state.sum(), 1e-300) @ model.transmat_
        told.append(state @ model.emissionprob_)
    return np.array(told)


# ---- results


def load() -> dict[str, Any]:
    path = RESULTS / "lags.json"
    return json.loads(path.read_text()) if path.exists() else {"runs": {}}


def keep(results: dict[str, Any]) -> None:
    results["machine"] = sheet.machine()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "lags.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    (RESULTS / "lags.md").write_text(report(results))


def report(results: dict[str, Any]) -> str:
    """The results as a page."""
    machine, runs, recipe = results["machine"], results["runs"], Recipe()
    told = [
        "# Long time lags, measured",
        f"`make bench-lags`, {machine['date']}, {machine['processor']}, {machine['processors']} processors, torch "
        f"{machine['torch']}.",
        "Training sequences until the criterion of the problem holds: the median of the seeds, and least to most. "
        "Where a seed did not get there: how many did, and the cap within which. Bold: every seed took fewer than the "
        "paper.",
        f"One recipe: a layer of {recipe.H} units, {recipe.B} sequences an update, Adam at {recipe.lr}; LSTMs and GRU "
        "start with chrono, the RNN as in torch. The paper: Hochreiter & Schmidhuber 1997, an LSTM without forget "
        "gate, of a few cells, which learnt after every sequence, its rate chosen for each problem; means of 10 to 30 "
        "trials.",
    ]
    for clip in CLIPS:
        head = ["gradients clipped at norm 1" if clip else "not clipped", "1997"]
        rows = [[*head, "LSTM", "LSTM without forget gate", "GRU", "plain RNN"]]
        for name, row in ROWS.items():
            cells = [cell(row, kind, found(runs, name, kind, clip)) for kind in KINDS]
            rows.append([row.name, f"{row.paper:,}" if row.paper else "–", *cells])
        told.append(sheet.table(rows))
    rows = [["hidden Markov model on the grammar", "seeds", "training symbols", "test symbols", "test strings"]]
    for states in STATES:
        some = [run for key, run in runs.items() if key.startswith(f"hidden Markov model | {states} |")]
        if some:
            spans = [
                span([run["shares"][part][what] for run in some])
                for part, what in (("training", "symbols"), ("test", "symbols"), ("test", "strings"))
            ]
            rows.append([f"{states} states", str(len(some)), *spans])
    if len(rows) > 1:
        told += [
            sheet.table(rows),
            "Right is a symbol before which the possible ones are the most likely; the LSTM's is 100 %.",
        ]
    spent = sum(run["seconds"] for run in runs.values())
    told.append(f"{len(runs)} runs, {spent / 60:.0f} minutes of one thread in all.")
    return "\n\n".join(told) + "\n"


def found(runs: dict[str, Any], row: str, kind: str, clip: float | None) -> list[dict[str, Any]]:
    start = Job(row, kind, clip, 0).key[:-1]
    return [run for key, run in sorted(runs.items()) if key.startswith(start)]


def cell(row: Row, kind: str, some: list[dict[str, Any]]) -> str:
    """What a table says of the seeds of one network."""
    if not some:
        return "not yet run"
    took = sorted(run["sequences"] for run in some if run["sequences"])
    within = f"{row.allowed(kind):,}"
    spoilt = sum(run["diverged"] for run in some)
    gone = f", {spoilt} diverged" if spoilt else ""
    if not took:
        return f"0 of {len(some)} within {within}{gone}"
    said = f"{statistics.median_low(took):,} ({took[0]:,}–{took[-1]:,})"
    if len(took) < len(some):
        return f"{said}, {len(took)} of {len(some)} within {within}{gone}"
    return f"**{said}**" if row.paper and took[-1] < row.paper else said


def span(shares: list[float]) -> str:
    return f"{100 * min(shares):.1f}–{100 * max(shares):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[*ROWS, "hmm"], choices=[*ROWS, "hmm"])
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="networks that learn at a time")
    parser.add_argument("--minutes", type=float, default=58, help="after which nothing new is begun")
    words = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    results, began = load(), time.monotonic()
    jobs: list[Job | Markov] = [
        Job(row, kind, clip, seed)
        for seed in range(words.seeds) for row in words.only if row in ROWS for kind in words.kinds for clip in CLIPS
    ]  # fmt: skip
    if "hmm" in words.only:
        jobs[:0] = [Markov(states, seed) for states in STATES for seed in range(words.seeds)]
    waiting = [job for job in jobs if results["runs"].get(job.key, {}).get("terms") != job.terms]
    print(f"{len(jobs)} runs, {len(jobs) - len(waiting)} of them there already", flush=True)
    with ProcessPoolExecutor(words.jobs, mp_context=get_context("spawn")) as pool:
        running: dict[Any, Job | Markov] = {}
        while waiting or running:
            while waiting and len(running) < words.jobs and time.monotonic() - began < 60 * words.minutes:
                job = waiting.pop(0)
                running[pool.submit(job.run)] = job
            if not running:
                break
            done = next(as_completed(running))
            job = running.pop(done)
            results["runs"][job.key] = done.result()
            keep(results)
            print(f"{(time.monotonic() - began) / 60:5.1f} min  {job.key}  {brief(done.result())}", flush=True)
    if waiting:
        print(
            f"{len(waiting)} runs were not begun within {words.minutes:g} minutes; the same command goes on with them."
        )


def brief(run: dict[str, Any]) -> str:
    if "shares" in run:
        return f"{100 * run['shares']['test']['symbols']:.1f} % of test symbols, {run['seconds']:.0f} s"
    took = f"{run['sequences']:,}" if run["sequences"] else f"not within {run['seen']:,}"
    return f"{took}{', diverged' if run['diverged'] else ''}, {run['seconds']:.0f} s"


if __name__ == "__main__":
    main()
