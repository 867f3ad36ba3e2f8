"""Timing by turns: who is compared is timed in short alternating rounds, so that a noisy minute falls on all alike.

Standard library alone: the peers' processes, which have an environment of their own, use it too.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Contender = Callable[[float], float]  # a budget in seconds -> seconds a call


def sample(call: Callable[[], Any], budget: float) -> float:
    """Median seconds of a call, over about `budget` seconds and at least two blocks, after a quarter of it to warm up.

    Warming up lets threads that another process left spinning go to sleep. Calls shorter than 0.2 ms are
    timed in blocks of about that, so that the clock's own 50 ns do not count.
    """
    clock = time.perf_counter
    start, once = clock(), float("inf")
    while once == float("inf") or clock() - start < budget / 4:
        before = clock()
        call()
        once = min(once, clock() - before)
    inner = max(1, round(2e-4 / max(once, 1e-9)))
    blocks: list[float] = []
    start = clock()
    while len(blocks) < 2 or clock() - start < budget:
        before = clock()
        for _ in range(inner):
            call()
        blocks.append((clock() - before) / inner)
    return statistics.median(blocks)


def rounds(contenders: Mapping[str, Contender], count: int, budget: float, limit: float = 40) -> dict[str, list[float]]:
    """Seconds a call of every contender in `count` rounds, there and back (A B C, C B A, …).

    A first round is thrown away, and whoever fails in one is left out. After `limit` seconds three rounds are enough.
    """
    for contender in contenders.values():
        contender(budget / 2)
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    start = time.perf_counter()
    for k in range(count):
        if k >= 3 and time.perf_counter() - start > limit:
            break
        for name in list(contenders)[:: -1 if k % 2 else 1]:
            seen[name].append(float(f"{contenders[name](budget):.4g}"))  # as many digits as mean something
    return {name: seconds for name, seconds in seen.items() if all(map(math.isfinite, seconds))}


class Peer:
    """Another library in a process of its own, asleep on a pipe unless it is asked: one JSON object a line each way."""

    def __init__(self, python: str, name: str, threads: int) -> None:
        script = str(Path(__file__).with_name("layers_peers.py"))
        count = str(threads)
        # XLA takes its pool's size from NPROC; the others are told in their own words.
        env = {**os.environ, "OMP_NUM_THREADS": count, "NPROC": count, "JAX_PLATFORMS": "cpu"}
        pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.name, self.process = name, subprocess.Popen([python, script, name, count], **pipes)

    def ask(self, words: Mapping[str, Any], limit: float = 300) -> dict[str, Any]:
        """The peer's answer; {"error": why} if it has none within `limit` seconds."""
        watch = threading.Timer(limit, self.process.kill)
        watch.start()
        try:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(json.dumps(words) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        finally:
            watch.cancel()
        return json.loads(line) if line else {"error": f"{self.name} ended with status {self.process.wait()}"}

    def __call__(self, budget: float) -> float:
        """The peer as a contender; infinite if it fails."""
        return self.ask({"budget": budget}).get("seconds", math.inf)

    def close(self) -> None:
        """End the process; it ends by itself when its input does."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
