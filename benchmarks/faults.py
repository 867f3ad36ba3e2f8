"""Damaged and hostile input by the ten thousand: what is neither read nor refused in one sentence is a fault.

    python benchmarks/faults.py [data runs programs] [--cases 20000] [--seed 0]

Each case runs in a process that may take 1 GB more than it began with, and 10 s of the processor. Counted are cases
that are taken, refused, end in another exception, end the process, or take too long or too much.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
RESULTS = ROOT / "benchmarks" / "results" / "faults.md"
GB, SECONDS, PATIENCE, BATCH = 1 << 30, 10.0, 180.0, 500


class Late(BaseException):
    pass


def late(*_: Any) -> None:
    raise Late


def name(error: BaseException) -> str:
    """What was raised, and where in our files."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "/gated/" in one.filename]
    place = f"{frames[-1].filename.rpartition('/gated/')[2]}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:100]}"


def work(kind: Any, made: Any, label: str, seed: int, numbers: range, pipe: int) -> None:
    """Run cases in this process, a line each."""
    from made.faults import draw_of

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + GB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, late)
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with os.fdopen(pipe, "w") as out, tempfile.TemporaryDirectory() as folder:
        for n in numbers:
            place = Path(folder) / str(n)
            place.mkdir()
            began = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                end = kind.case(made, draw_of(label, n, seed), place)
            except Late as error:
                end = f"late: {name(error)}"
            except MemoryError as error:
                end = f"memory: {name(error)}"
            except Exception as error:
                end = ("memory: " if "allocate memory" in str(error) else "fault: ") + name(error)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            out.write(json.dumps([n, end, time.process_time() - began]) + "\n")
            out.flush()
            shutil.rmtree(place, ignore_errors=True)


def run(label: str, cases: int, seed: int) -> dict[str, Any]:
    """All cases of a kind, by how they ended."""
    import torch

    from made.faults import KINDS

    torch.set_num_threads(1)
    ends: collections.Counter[str] = collections.Counter()
    examples: dict[str, list[int]] = collections.defaultdict(list)
    slowest, began = 0.0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kind = KINDS[label]
        made, n = kind.prepare(Path(folder)), 0
        while n < cases:
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(read)
                try:
                    work(kind, made, label, seed, range(n, min(n + BATCH, cases)), write)
                finally:
                    os._exit(0)
            os.close(write)
            first, stop, rest = n, min(n + BATCH, cases), b""
            while True:
                ready, _, _ = select.select([read], [], [], PATIENCE)
                part = os.read(read, 1 << 16) if ready else b""
                if not part:
                    break
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    number, end, seconds = json.loads(line)
                    n, slowest = number + 1, max(slowest, seconds)
                    word = end.partition(":")[0] if end.startswith(("taken", "refused")) else end
                    ends[word] += 1
                    examples[word].append(number)
            os.close(read)
            if n < stop:
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            if n < stop:  # the case after the last line ended the process, or never ended
                word = f"crash: signal {status & 127}" if (status & 127) != signal.SIGKILL else "hang"
                ends[word] += 1
                examples[word].append(n)
                n += 1
            if n % (10 * BATCH) < BATCH or first == 0:
                print(label, n, dict(ends.most_common(3)), flush=True)
    faults = {end: [count, examples[end][:3]] for end, count in ends.most_common() if end not in ("taken", "refused")}
    seconds = time.monotonic() - began
    return {"kind": label, "cases": cases, "seed": seed, "taken": ends["taken"], "refused": ends["refused"],
            "faults": faults, "slowest": slowest, "seconds": seconds}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["data", "runs", "programs"])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    for kind in words.kinds:
        result = run(kind, words.cases, words.seed)
        print(json.dumps(result, indent=1), flush=True)
        record(kind, result)


def record(name: str, result: dict[str, Any]) -> None:
    """Put a result among the others, and write the sheet of all."""
    path = RESULTS.with_suffix(".json")
    results = (json.loads(path.read_text()) if path.exists() else {}) | {name: result}
    path.write_text(json.dumps(results, indent=1) + "\n")
    lines = [
        "# Faults, looked for by `make faults`", "",
        "A case is a good file, run folder or program with one to four changes; the sums of run folders are right.",
        "Each runs in a process that may take 1 GB more than it began with, and 10 s of the processor.", "",
        "| kind | cases | taken | refused in one sentence | tracebacks, crashes, hangs, over 1 GB | slowest, s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for kind, one in results.items():
        if kind != "kills":
            faults = sum(count for count, _ in one["faults"].values())
            counts = " | ".join(f"{one[key]:,}" for key in ("cases", "taken", "refused"))
            lines.append(f"| {kind} | {counts} | {faults} | {one['slowest']:.2f} |")
    if "kills" in results:
        lines += [
            "", f"Fits over a run: killed at {results['kills']['kills']} random moments, then begun again or resumed.",
            "After every third kill there were two at once.",
            "Each time the folder held one whole run; resumed to the end a fit was, bit for bit, as if never stopped.",
            "", "| what was done, and what the folder held then | times |", "| --- | --- |",
        ]  # fmt: skip
        lines += [f"| {end} | {count} |" for end, count in results["kills"]["ends"].items()]
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
