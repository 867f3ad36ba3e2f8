"""How long it takes before anything happens: medians of seven starts, written to results/start.md."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

STARTS = {
    "`gated --help`": [str(Path(sys.executable).with_name("gated")), "--help"],
    "`import gated`": [sys.executable, "-c", "import gated"],
    "`import gated; gated.LSTM`": [sys.executable, "-c", "import gated; gated.LSTM"],
    "`import torch`": [sys.executable, "-c", "import torch"],
}


def seconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    for words in STARTS.values():
        seconds(words)  # files into the cache
    rounds = [{name: seconds(words) for name, words in STARTS.items()} for _ in range(7)]
    rows = [f"| {name} | {statistics.median(r[name] for r in rounds):.2f} |" for name in STARTS]
    text = (
        "# Starting, measured by `make bench-start`\n\n| whole process | seconds |\n|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )
    (Path(__file__).parent / "results" / "start.md").write_text(text)
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
