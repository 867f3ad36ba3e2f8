"""The README is executed: what it tells a newcomer to type works as it stands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the files that the README speaks of: two shops' daily sales, and the four weeks after."""
    folder = tmp_path_factory.mktemp("desk")
    days = pd.date_range("2024-01-01", periods=364 + 28, freq="D")
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {"date": days, "shop": shop, "qty": level * (10 + (days.dayofweek >= 5) * 5 + rng.normal(size=392))}
        )
        for shop, level in (("north", 1.0), ("south", 3.0))
    ]
    whole = pd.concat(parts)
    whole[whole.date < days[364]].to_csv(folder / "sales.csv", index=False)
    whole[whole.date >= days[364]].to_csv(folder / "later.csv", index=False)
    return folder


def commands(block: str) -> list[list[str]]:
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


def test_every_kind_of_block_is_known():
    """A block is sh, python, or text; nothing stands in the README that no test looks at."""
    assert {kind for kind, _ in BLOCKS} <= {"sh", "python", "text"}


@pytest.mark.parametrize("block", [block for kind, block in BLOCKS if kind == "sh"])
def test_shell_blocks_run(block, desk):
    """Every `make` target exists, and every `gated` command ends well."""
    for words in commands(block):
        if words[0] == "make":
            done = subprocess.run([*words, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
        elif words[0] == "gated":
            done = subprocess.run(
                [Path(sys.executable).with_name("gated"), *words[1:]], cwd=desk, capture_output=True, text=True
            )
        else:
            assert words[0] in {"pip"}, f"a command nobody tests: {words}"
            continue
        assert done.returncode == 0, (words, done.stderr)


@pytest.mark.parametrize("block", [block for kind, block in BLOCKS if kind == "python"])
def test_python_blocks_run(block, desk, monkeypatch):
    """Every Python block runs by itself, in a folder that has the files it names."""
    monkeypatch.chdir(desk)
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})


def test_the_demo_prints_what_the_readme_shows(tmp_path):
    """Every line that the README shows of `make demo` is printed, up to its figures, and both reports are drawn."""
    gated = Path(sys.executable).with_name("gated")
    done = subprocess.run([gated, "demo", "forecast", "--out", tmp_path / "demo"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    told = {re.sub(r"[\d.,–]+", "#", " ".join(line.split())) for line in done.stderr.splitlines()}
    (shown,) = [block for kind, block in BLOCKS if kind == "text"]
    for line in filter(str.strip, shown.splitlines()):
        assert re.sub(r"[\d.,–]+", "#", " ".join(line.split())) in told
    assert {"report.png", "report.html"} <= {path.name for path in (tmp_path / "demo").iterdir()}
