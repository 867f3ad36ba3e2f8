"""Translation, measured: Multi30k in three directions, training speed beside torch.nn, copying and reversing.

    python benchmarks/translate.py [--only de-en en-de en-fr speed problems] [--minutes 29]

The default recipe with no option but the time limit. GATED_DATA names the folder with translate/*.gz; results are
written to benchmarks/results/translate.json and .md after each part.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import sheet
from gated import train, translate
from gated.tasks.translate import model, training
from gated.tasks.translate.data import bucket, read_pairs
from translate_problems import copy_pairs, reverse_pairs

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("GATED_DATA", "../shared/data")) / "translate"
RUNS = Path("build/translate")
REFERENCE = "published, lower-cased: LSTM 13.8, GRU with attention 28.3, ConvS2S 34.1, Transformer 36.5"
LENGTHS = (10, 20, 21, 22, 23, 24, 25)  # of the problems; up to 20 were learnt


def both(part: str, source: str, target: str) -> tuple[str, str]:
    return str(DATA / f"{part}.{source}.gz"), str(DATA / f"{part}.{target}.gz")


# ---- Multi30k


def direction(name: str, minutes: float, seed: int, again: bool) -> dict[str, Any]:
    """Fit for so many minutes, then score the test set with beam 5 and greedily, on all threads.

    The run stays in build/translate; `again` scores it once more, on a quieter machine perhaps.
    """
    source, target = name.split("-")
    folder = RUNS / f"{name}-{seed}"
    if again:
        run = translate.load(folder)
    else:
        data = dict(valid=both("val", source, target), out=folder)
        run = translate.fit(*both("train", source, target), **data, overwrite=True, time_limit=60 * minutes, seed=seed)
    limit = run.config.time_limit or 0.0
    found: dict[str, Any] = {"minutes": limit / 60, "seed": seed, "threads": torch.get_num_threads(), **run.metrics}
    found["weights"] = sum(p.numel() for p in run.model.network.parameters())
    found["history"] = [row for row in run.history if "valid_errors" in row]
    test = both("test_2016_flickr", source, target)
    run.predict(read_pairs(*test).source[:50])  # so that what is made at the first call is not timed
    for width in (5, 1):
        told = run.score(*test, width=width)
        found[f"beam {width}" if width > 1 else "greedy"] = {
            key: told[key] for key in ("bleu", "bleu_lower", "chrf", "ter", "interval", "signatures", "seconds")
        } | {"sentences_per_second": told["sentences_per_second"]}
        found["baselines"] = {kind: other["bleu"] for kind, other in told["baselines"].items()}
    return found


# ---- beside torch.nn


class Torch(nn.Module):
    """torch.nn's LSTM with the weights of ours, and lengths by packing, or not at all."""

    def __init__(self, ours: Any, packed: bool):
        super().__init__()
        self.input_size, self.num_layers, self.packed = ours.input_size, ours.num_layers, packed
        self.layer = nn.LSTM(
            ours.input_size, ours.hidden_size, ours.num_layers, dropout=ours.dropout, bidirectional=ours.bidirectional
        )
        self.layer.load_state_dict(ours.state_dict())

    def forward(self, x: torch.Tensor, hx: Any = None, lengths: torch.Tensor | None = None) -> Any:
        if lengths is None or not self.packed:
            return self.layer(x, hx)
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, state = self.layer(packed, hx)
        return pad_packed_sequence(y, total_length=len(x))[0], state


def speed(rounds: int = 3) -> dict[str, Any]:
    """Training steps of one network on the same batches, its layers ours and torch.nn's in turn; tokens a second."""
    pairs = read_pairs(*both("train", "de", "en"))
    found: dict[str, Any] = {"threads": torch.get_num_threads()}
    config = translate.Config(precision="32")
    ready = training.prepare(pairs, config)
    batch, epoch = bucket(ready.rows, config.batch)
    sample = [batch(n) for n in range(0, epoch, epoch // 12)][:12]  # of all lengths, for their order is random
    tokens = [int((one.after != 0).sum()) for one in sample]
    for dtype in ("float32", "bfloat16"):
        shape, noise, _ = training.choose_sizes(config, len(pairs), ready.tokens, 1)
        with train.seeded(0):
            ours = model.Network(shape, noise)
        others = {"ours": ours, "torch.nn, packed": twin(ours, True), "torch.nn, padded": twin(ours, False)}
        gap = agreement(others, sample[:4]) if dtype == "float32" else None
        times: dict[str, list[list[float]]] = {name: [[] for _ in sample] for name in others}
        optimizers = {name: torch.optim.AdamW(net.parameters(), fused=True) for name, net in others.items()}
        for _ in range(rounds):
            for k, one in enumerate(sample):
                for name, net in others.items():
                    times[name][k].append(step(net, one, optimizers[name], dtype == "bfloat16"))
        medians = {name: [statistics.median(found) for found in rows] for name, rows in times.items()}
        found[dtype] = {
            "gradient_difference": gap,
            "tokens_per_second": {name: sum(tokens) / sum(rows) for name, rows in medians.items()},
        }
    return found


def twin(ours: Any, packed: bool) -> Any:
    """The same network on torch.nn's layers."""
    net = copy.deepcopy(ours)
    net.encoder = Torch(ours.encoder, packed)
    net.decoder.bottom = Torch(ours.decoder.bottom, packed)
    if ours.decoder.top is not None:
        net.decoder.top = Torch(ours.decoder.top, packed)
    return net


def agreement(nets: dict[str, Any], sample: list[Any]) -> float:
    """The largest difference of the embeddings' gradients, relative to their size, ours against the packed twin's."""
    worst = 0.0
    for one in sample:
        grads = []
        for name in ("ours", "torch.nn, packed"):
            net = nets[name].eval()
            total, count = model.loss(net, one, 0.1)
            (total / count).backward()
            grads.append(net.embed_source.weight.grad.clone())
            net.zero_grad()
            net.train()
        worst = max(worst, float((grads[0] - grads[1]).norm() / grads[1].norm()))
    if worst > 1e-4:
        raise SystemExit(f"the networks differ: {worst:.1e}")
    return worst


def step(net: Any, one: Any, optimizer: Any, mixed: bool) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        total, count = model.loss(net, one, 0.1)
    (total / count).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - start


# ---- copying and reversing


def problems(seed: int = 0) -> dict[str, Any]:
    """Share of 500 sequences of each length that come out exactly, by a network that has met 20 symbols at most."""
    found: dict[str, Any] = {}
    for name, make in (("copy", copy_pairs), ("reverse", reverse_pairs)):
        start = time.perf_counter()
        run = translate.fit(
            make(20_000, 20, SYMBOLS, seed), valid=make(300, 20, SYMBOLS, seed + 1, 20), seed=seed, **PROBLEM
        )
        exact = {}
        for length in LENGTHS:
            pairs = make(500, length, SYMBOLS, seed + 100 + length, length)
            told = run.predict([source for source, _ in pairs])
            exact[length] = sum(a == b for a, (_, b) in zip(told, pairs, strict=True)) / len(pairs)
        found[name] = {"exact": exact, "seconds": time.perf_counter() - start, "steps": run.metrics["steps"]}
    return found


PROBLEM: dict[str, Any] = dict(  # coverage of neighbours finds the place beside the last, however long the sequence is
    tokens="word", units=64, attention="additive", coverage=5, dropout=0.1, smoothing=0.0, lr=4e-3, steps=2200,
    batch=1500, monitor="loss", precision="32",
)  # fmt: skip
SYMBOLS = 26


# ---- the report


def markdown(results: dict[str, Any]) -> str:
    told = [
        "# Translation, measured by `make bench-translate`",
        f"{results['processor']}, torch {torch.__version__}.",
    ]
    rows = [["Multi30k, test_2016_flickr", "BLEU lower-cased", "BLEU", "chrF", "greedy, lower-cased", "training",
             "threads", "passes", "sentences/s, beam 5", "copy, memory"]]  # fmt: skip
    for name in ("de-en", "en-de", "en-fr"):
        for r in results.get(name, []):
            best, quick = r["beam 5"], r["greedy"]
            rows.append([
                f"{name.replace('-', ' → ')}, seed {r['seed']}", f"**{best['bleu_lower']:.1f}**", f"{best['bleu']:.1f}",
                f"{best['chrf']:.1f}", f"{quick['bleu_lower']:.1f}", f"{r['fit_seconds'] / 60:.1f} min",
                str(r["threads"]), f"{r['passes']:.1f}", f"{best['sentences_per_second']:.0f}",
                ", ".join(f"{bleu:.1f}" for bleu in r["baselines"].values()),
            ])  # fmt: skip
    if len(rows) > 1:
        told += [sheet.table(rows), f"sacrebleu, 13a. For de → en {REFERENCE}."]
    if "speed" in results:
        rows = [["training, tokens a second", "ours", "torch.nn, packed", "torch.nn, padded: another result", "ratios"]]
        for dtype in ("float32", "bfloat16"):
            rate = results["speed"][dtype]["tokens_per_second"]
            mine, packed, padded = rate.values()
            rows.append([dtype, *(f"{r:,.0f}" for r in rate.values()), f"{mine / packed:.2f}, {mine / padded:.2f}"])
        told.append(sheet.table(rows))
    if "problems" in results:
        rows = [["exact, by length (20 at most were learnt)", *map(str, LENGTHS), "training"]]
        for name, r in results["problems"].items():
            shares = [f"{100 * share:.1f} %" for share in r["exact"].values()]
            rows.append([name, *shares, f"{r['seconds']:.0f} s"])
        told.append(sheet.table(rows))
    return "\n\n".join(told) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("speed", "problems", "de-en", "en-de", "en-fr")
    parser.add_argument("--only", nargs="*", default=list(parts), choices=parts)
    parser.add_argument("--minutes", type=float, default=29, help="of learning; reading and the last look come on top")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="score the runs that are there, without a new training")
    words = parser.parse_args()
    parts: dict[str, Callable[[], Any]] = {"speed": speed, "problems": lambda: problems(words.seed)}
    for part in words.only:
        if part in parts:
            keep(part, parts[part]())
        else:
            keep(part, direction(part, words.minutes, words.seed, words.again), seed=words.seed)


def keep(part: str, found: Any, seed: int | None = None) -> None:
    """Write a part to the results, beside what is there by now; of a direction each seed is kept."""
    path = RESULTS / "translate.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if seed is not None:
        others = [r for r in results.get(part, []) if r["seed"] != seed]
        found = sorted([*others, found], key=lambda r: r["seed"])
    results |= {"processor": sheet.machine()["processor"], part: found}
    path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(results))
    print(path.with_suffix(".md").read_text(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
