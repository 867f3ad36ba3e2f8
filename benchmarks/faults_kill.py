"""A fit, a resumed fit and a save, killed at moments of chance, and two at once: nothing is lost, nothing is mixed.

    python benchmarks/faults_kill.py [--kills 100] [--seed 0]

A folder holds a run. Over it a fit is trained that saves its state after every step, and is killed (SIGKILL) after a
time of chance, then begun anew or resumed; every third time a second fit comes into the same folder. After each kill
the folder must load, be one run or the other, whole, and say what it holds; the fit that is resumed to its end must be,
bit for bit, the one that nothing stopped.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from faults import record
from gated import InputError, train, translate

PAIRS = [(f"eins {k} zwei", f"one {k} two") for k in range(40)]
STEPS = {"old": 3, "new": 12}
WAYS = {0: "ended", 2: "refused", -signal.SIGKILL: "killed"}
OPTIONS: dict[str, Any] = dict(tokens="word", units=32, layers=1, batch=60, progress=False)


def begin(out: Path, steps: int, how: str) -> int:
    """A process that fits, and ends with 0, or 2 where it is refused; its number."""
    child = os.fork()
    if child:
        return child
    status, fit = 1, train.fit
    train.fit = lambda *given, config, **more: fit(
        *given, config=dataclasses.replace(config, checkpoint_every=0.0), **more
    )
    try:
        options = OPTIONS | {"resume": how == "resume", "overwrite": how == "overwrite"}
        translate.fit(PAIRS, steps=steps, out=out, **options)
        status = 0
    except InputError:
        status = 2
    finally:
        os._exit(status)


def wait(child: int, seconds: float | None = None) -> int:
    """The status of a process; it is killed after so many seconds, and has then a negative one."""
    end = time.monotonic() + (seconds or 1000.0)
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def check(folder: Path, whole: dict[str, str]) -> str:
    """Which run the folder holds; an error where it is neither, or a mixture."""
    run = translate.load(folder)  # every file has the sum that config.json lists
    name = {steps: name for name, steps in STEPS.items()}[run.config.steps or 0]
    places = [folder / "model.safetensors", folder / "model.safetensors.new"]
    sums = {hashlib.sha256(path.read_bytes()).hexdigest() for path in places if path.exists()}
    assert whole[name] in sums, f"the weights are not those of the {name} run"
    assert run.metrics["steps"] == run.config.steps, "metrics of another run"
    return name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    torch.set_num_threads(1)
    draw, ends, kills = random.Random(words.seed), collections.Counter[str](), 0
    with tempfile.TemporaryDirectory() as base:
        whole, seconds = {}, 0.0
        for name, steps in STEPS.items():
            began = time.monotonic()
            assert wait(begin(Path(base) / name, steps, "")) == 0
            seconds, whole[name] = time.monotonic() - began, weights(Path(base) / name)
        names = {path.name for path in (Path(base) / "new").iterdir()}
        while kills < words.kills:
            folder = Path(base) / "run"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(Path(base) / "old", folder)
            how, status = "overwrite", -1
            while status and kills < words.kills:
                first = begin(folder, STEPS["new"], how)
                if kills % 3 == 0:  # a second one, which the lock refuses unless the first has ended
                    time.sleep(0.2 * seconds)
                    status = wait(begin(folder, STEPS["new"], draw.choice(("overwrite", "resume", ""))))
                    assert status in (0, 2), status
                    ends["a second fit: refused" if status else "a second fit: trained"] += 1
                late = draw.random() < 0.5  # around the save at the end, which is short
                status = wait(first, seconds * (draw.uniform(0.85, 1.1) if late else draw.uniform(0, 1)))
                assert status in (0, 2, -signal.SIGKILL), status
                kills += status < 0
                run = check(folder, whole)
                ends[f"{how}, {WAYS[status]}: the {run} run"] += 1
                stopped = (folder / "training.safetensors").exists()
                how = draw.choice(("overwrite", "resume")) if stopped else "overwrite"
            assert status or weights(folder) == whole["new"], "a resumed fit is not the one that nothing stopped"
            assert status or {path.name for path in folder.iterdir()} == names
    result = {"kills": kills, "ends": dict(sorted(ends.items()))}
    print(json.dumps(result, indent=1))
    record("kills", result)


if __name__ == "__main__":
    main()
