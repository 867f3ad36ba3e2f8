"""Language modelling, measured: Tiny Shakespeare by characters, Penn Treebank by words, speed beside torch.nn.

    python benchmarks/language.py [--only short long words speed writing] [--minutes 3 20 60] [--seed 0] [--again]

The default recipe with no option but the time limit; scores on the test text once. Tiny Shakespeare: the last 10 % of
the characters are the test text. GATED_DATA names the folder with language/*; results are written to
benchmarks/results/language.json and .md after each part.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import sheet
from gated import data, language, train
from gated.tasks.language import model
from gated.tasks.language.generate import Sampling
from gated.tasks.language.model import Network, Shape

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("GATED_DATA", "../shared/data")) / "language"
WORK = Path("build/language")
NAMES = {"short": "Tiny Shakespeare", "long": "Tiny Shakespeare", "words": "Penn Treebank"}
WAYS = {"dynamic": dict(dynamic=True), "cache": dict(cache=2000), "ngram": dict(ngram=True)}
WRITTEN = 2000  # characters
SPEED = {"letters": Shape(66, "lstm", 1, 512, 64, False), "words": Shape(10_001, "lstm", 2, 400, 400, True)}


def shakespeare() -> tuple[Path, Path]:
    """The first 90 % of the characters, and the last 10 %."""
    text = (DATA / "tinyshakespeare.txt").read_text("utf-8")
    cut = int(len(text) * 0.9)
    paths = WORK / "shakespeare.train.txt", WORK / "shakespeare.test.txt"
    for path, part in zip(paths, (text[:cut], text[cut:]), strict=True):
        path.write_text(part, "utf-8")
    return paths


def fit(name: str, source: Path, minutes: float, seed: int, again: bool, **more: Any) -> language.Run:
    folder = WORK / f"{name}-{seed}"
    if again:
        return language.load(folder)
    return language.fit(source, out=folder, overwrite=True, time_limit=60 * minutes, seed=seed, **more)


def measure(run: language.Run, test: Path, minutes: float) -> dict[str, Any]:
    """The figures on the test text, plain and with what may join the network."""
    began = time.process_time()
    plain = run.score(test)
    result: dict[str, Any] = {
        "minutes": minutes, "threads": torch.get_num_threads(), "shape": run.network.shape._asdict(),
        "weights": sum(p.numel() for p in run.network.parameters()), "plain": plain,
        **{name: run.metrics.get(name) for name in ("passes", "steps", "loss", "fit_seconds")},
         "score_seconds": time.process_time() - began,
    }  # fmt: skip
    for name, mixing in WAYS.items():
        one = run.score(test, **mixing)
        result[name] = {key: one[key] for key in ("nats", "bits_per_byte", "perplexity", "chosen")}
    return result


def letters(name: str, minutes: float, seed: int, again: bool) -> dict[str, Any]:
    source, test = shakespeare()
    run = fit(name, source, minutes, seed, again)
    return measure(run, test, minutes)


def words(name: str, minutes: float, seed: int, again: bool) -> dict[str, Any]:
    parts = {}
    for part in ("train", "valid", "test"):
        parts[part] = WORK / f"ptb.{part}.txt"
        parts[part].write_bytes(gzip.decompress((DATA / f"ptb.{part}.txt.gz").read_bytes()))
    run = fit(name, parts["train"], minutes, seed, again, valid=parts["valid"])
    return measure(run, parts["test"], minutes)


# ---- speed


class Plain(Network):
    """The same network on torch.nn's layers, with masks as awd-lstm's locked dropout and weight drop make them."""

    def __init__(self, shape: Shape, noise: model.Noise) -> None:
        super().__init__(shape, noise)
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[shape.cell]
        plain = [kind(layer.input_size, layer.hidden_size) for layer in self.layers]  # pyright: ignore
        for one, other in zip(plain, self.layers, strict=True):
            one.load_state_dict(other.state_dict())
        self.layers = nn.ModuleList(plain)


def speed(steps: int = 12, batch: int = 32, window: int = 64) -> dict[str, Any]:
    """Tokens a second of processor time of one thread, training, ours and on torch.nn's layers, in turns."""
    torch.set_num_threads(1)
    noise, out = model.Noise(output=0.25, weight=0.15), {}
    for name, shape in SPEED.items():
        for mixed in (False, True):
            found = {}
            for kind in (Network, Plain):
                with train.seeded(0):
                    network = kind(shape, noise).train()
                optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
                chunk = data.streams(torch.arange(20_000) * 7919 % (shape.tokens - 1) + 1, batch, window, seed=0)
                times = []
                for n in range(steps):
                    began = time.process_time()
                    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                        (total, size), _ = model.loss(network, chunk(n).x, chunk(n).y, None)
                    (total / size).backward()
                    optimizer.step()
                    optimizer.zero_grad()
                    times.append(time.process_time() - began)
                found[kind.__name__] = batch * window / sorted(times)[len(times) // 2]
            ours, theirs = found["Network"], found["Plain"]
            out[f"{name}, {'bfloat16' if mixed else 'float32'}"] = {
                "ours": ours,
                "torch": theirs,
                "ratio": ours / theirs,
            }
    return out


@torch.no_grad()
def step_torch(run: language.Run, count: int) -> float:
    """Seconds a character of a plain loop of torch.nn: embed, step, softmax, draw."""
    network = Plain(run.network.shape, model.Noise()).eval()
    network.load_state_dict(run.network.state_dict())
    token, states = torch.zeros(1, 1, dtype=torch.long), None
    began = time.process_time()
    for _ in range(count):
        h, states, _ = network(token, states)
        p = torch.softmax(network.logits(h[0]) / 0.8, -1)
        p[:, 0] = 0
        token = torch.multinomial(p, 1)
    return (time.process_time() - began) / count


def writing(seed: int) -> dict[str, Any]:
    """Characters a second of processor time of one thread, ours and by a loop of torch.nn, of the runs that exist."""
    torch.set_num_threads(1)
    out = {}
    for name in ("short", "long"):
        if not (WORK / f"{name}-{seed}" / "config.json").exists():
            continue
        run = language.load(WORK / f"{name}-{seed}")
        theirs = step_torch(run, 300)
        rates = {}
        for n in (1, 8):
            began = time.process_time()
            for _ in run.write("ROMEO:", Sampling(length=WRITTEN // n, n=n), []):
                pass
            rates[n] = WRITTEN / (time.process_time() - began)
        out[name] = {"ours": rates[1], "eight at once": rates[8], "torch": 1 / theirs, "ratio": rates[1] * theirs}
    return out


# ---- the page


def page(results: dict[str, Any]) -> str:
    text = ["# Language modelling, measured", "", f"`{json.dumps(sheet.machine())}`", ""]
    head = ("", "minutes", "threads", "weights", "epochs", "nats/character", "perplexity/word", *WAYS, "Kneser-Ney")
    rows = [[*head]]
    for name in filter(results.get, NAMES):
        one, level = results[name], "perplexity" if name == "words" else "nats"
        plain = one["plain"]
        more = [f"{one[way][level]:.4g}" if way in one else "–" for way in WAYS]
        rows.append(
            [
                NAMES[name] + (f", {one['note']}" if "note" in one else ""), f"{one['minutes']:g}",
                str(one["threads"]), f"{one['weights']:,}", f"{one['passes']:.1f}", f"{plain['nats']:.4f}",
                f"{plain['perplexity']:,.1f}", *more, f"{plain['baselines']['ngram'][level]:.4g}",
            ]
        )  # fmt: skip
    if len(rows) > 1:
        last = "The last four columns are nats a character, and perplexity of words."
        text += [sheet.table(rows), "", last, ""]
    for part, unit in (("speed", "Training, tokens"), ("writing", "Writing, characters")):
        if results.get(part):
            rows = [["", "ours", "torch.nn", "ratio"]]
            for name, one in results[part].items():
                rows.append([name, f"{one['ours']:,.0f}", f"{one['torch']:,.0f}", f"{one['ratio']:.2f}"])
            text += [f"{unit} a second of one thread (processor time):", "", sheet.table(rows), ""]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=["speed", "short", "long", "words", "writing"])
    parser.add_argument("--minutes", nargs=3, type=float, default=[3, 20, 60], help="of short, long and words")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="score the runs that exist")
    parser.add_argument("--note", help="what was special of these runs")
    args = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "language.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    minutes = dict(zip(("short", "long", "words"), args.minutes, strict=True))
    for part in args.only:
        if part == "speed":
            results[part] = speed()
        elif part == "writing":
            results[part] = writing(args.seed)
        else:
            task = words if part == "words" else letters
            results[part] = task(part, minutes[part], args.seed, args.again) | (
                {"note": args.note} if args.note else {}
            )
        results["machine"] = sheet.machine()
        path.write_text(json.dumps(results, indent=1) + "\n")
        (RESULTS / "language.md").write_text(page(results))
        print(page(results))


if __name__ == "__main__":
    main()
