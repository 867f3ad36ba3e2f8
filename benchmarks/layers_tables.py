"""What the rounds say: ratios, geometric means, and the tables that documents quote. Pure functions of the results."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

KINDS = {"lstm": 4, "gru": 3, "rnn": 1}  # gates
RIVALS = ("torch", "onnxruntime", "openvino", "jax")

Rounds = Mapping[str, list[float]]  # seconds a call by contender, round by round
Records = Mapping[str, Mapping[str, Any]]


def geometric(values: Iterable[float]) -> float:
    """(x_1 x_2 … x_n)^(1/n), nan of nothing."""
    logs = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logs)) if logs else math.nan


def ratio(rounds: Rounds, rival: str, ours: str = "gated") -> float:
    """How many times our time the rival takes: the median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(rounds[rival], rounds[ours], strict=True))


def fastest(rounds: Rounds, among: Iterable[str]) -> str:
    """Who of these has the least median."""
    return min((name for name in among if name in rounds), key=lambda name: statistics.median(rounds[name]))


def flops(kind: str, shape: tuple[int, int, int, int]) -> float:
    """Multiplications and additions of a forward pass's products, 2 T B G H (I + H); training does three times that."""
    B, T, I, H = shape
    return 2.0 * T * B * KINDS[kind] * H * (I + H)


def products(shape: tuple[int, int, int, int], kind: str) -> dict[str, tuple[int, int, int]]:
    """(m, k, n) of the products that torch is timed on: a large cube, and this layer's for all steps together."""
    B, T, I, H = shape
    return {"cube": (1024, 1024, 1024), "alike": (T * B, I + H, KINDS[kind] * H)}


def share(kind: str, shape: tuple[int, int, int, int], rounds: Rounds, passes: int) -> float | None:
    """Our product rate over the better of torch's, median over rounds; None where torch's products were not timed."""
    sizes = products(shape, kind)
    if not sizes.keys() <= rounds.keys():
        return None
    ours = [passes * flops(kind, shape) / seconds for seconds in rounds["gated"]]
    torch = [[2 * math.prod(size) / seconds for seconds in rounds[name]] for name, size in sizes.items()]
    return statistics.median(a / max(b) for a, b in zip(ours, zip(*torch, strict=True), strict=True))


def unrest(records: Records) -> float:
    """How far the middle half of a contender's rounds is spread, over their median: the median of all contenders."""
    spreads = []
    for record in records.values():
        for seconds in (s for way in ("train", "forward", "step") for s in record.get(way, {}).values()):
            if len(seconds) < 2:
                continue
            low, middle, high = statistics.quantiles(seconds, n=4)
            spreads.append((high - low) / middle)
    return statistics.median(spreads) if spreads else math.nan


def key(*words: object) -> str:
    """The name of a record: its section, then its shape B,T,I,H."""
    return " ".join(map(str, words))


def shape_of(name: str) -> tuple[int, int, int, int]:
    B, T, I, H = map(int, name.rsplit(" ", 1)[1].split(","))
    return B, T, I, H


def of(records: Records, section: str) -> dict[str, Mapping[str, Any]]:
    """The records of one section that have figures, in the order in which they stand."""
    return {n: r for n, r in records.items() if (n.rpartition(" ")[0] == section and "train" in r) or n == section}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def milliseconds(rounds: Rounds, name: str) -> str:
    return f"{1e3 * statistics.median(rounds[name]):.3g}" if name in rounds else "–"


def times(value: float) -> str:
    return f"{value:.2f}" if value < 9.95 else f"{value:.0f}"


def layers(records: Records, kind: str) -> str:
    """One kind's table, a row for each shape."""
    rows = []
    for name, r in of(records, kind).items():
        train, forward = r["train"], r["forward"]
        rival = fastest(forward, RIVALS)
        parts = [share(kind, shape_of(name), train, 3), share(kind, shape_of(name), forward, 1)]
        rows.append([
            name.rsplit(" ", 1)[1].replace(",", ", "), r["path"],
            milliseconds(train, "gated"), milliseconds(train, "torch"), f"**{times(ratio(train, 'torch'))}**",
            milliseconds(forward, "gated"), *(milliseconds(forward, rival) for rival in RIVALS),
            f"**{times(ratio(forward, rival))}** {rival}", *("–" if part is None else f"{part:.0%}" for part in parts),
        ])  # fmt: skip
    head = ["B, T, I, H", "path", "training, ms", "torch", "ratio", "forward, ms", *RIVALS, "ratio to the best",
            "share training", "share forward"]  # fmt: skip
    return table(head, rows)


def variants(records: Records, names: Iterable[str]) -> str:
    """Training of every variant beside its loops and our plain LSTM."""
    rows = []
    for variant in names:
        for name, r in of(records, variant).items():
            t = r["train"]
            rival = fastest(t, ("scripted", "loop"))
            rows.append([
                variant, name.rsplit(" ", 1)[1].replace(",", ", "), r["path"],
                *(milliseconds(t, c) for c in ("gated", "plain", "scripted", "loop")),
                f"**{times(ratio(t, rival))}** {rival}", f"**{times(ratio(t, 'gated', 'plain'))}**",
            ])  # fmt: skip
    head = ["variant", "B, T, I, H", "path", "ms", "our plain LSTM", "TorchScript loop", "plain loop",
            "ratio to the better loop", "times plain LSTM"]  # fmt: skip
    return table(head, rows)


def summary(records: Records, names: Iterable[str]) -> str:
    """What is wanted, what was measured, whether it holds."""
    rows: list[list[str]] = []

    def add(claim: str, wanted: str, got: str, holds: bool) -> None:
        rows.append([claim, wanted, got, "yes" if holds else "**no**"])

    bad = differing(records)
    got = f"{len(records) - len(bad)} of {len(records)}" + (f"; not {', '.join(bad)}" if bad else "")
    add("gated agrees with whom it is compared", "everywhere", got, not bad)
    everything = []
    for kind in KINDS:
        found = of(records, kind)
        if not found:
            continue
        all_ = [ratio(r["train"], "torch") for r in found.values()]
        mean, least, word = geometric(all_), min(all_), f"{kind.upper()} training, times torch.nn"
        got = f"{times(mean)}, least {times(least)} ({len(all_)} shapes)"
        if kind == "lstm":
            add(word, "geometric mean ≥ 1.8, least ≥ 1.0", got, mean >= 1.8 and least >= 1)
        else:
            add(word, "geometric mean ≥ 4", got, mean >= 4)
        ahead = [ratio(r["forward"], fastest(r["forward"], RIVALS)) for r in found.values()]
        everything += ahead
        got = f"{times(geometric(ahead))}, least {times(min(ahead))}"
        holds = geometric(ahead) >= 1.3 and min(ahead) >= 0.9
        add(f"{kind.upper()} forward, times the best rival", "geometric mean ≥ 1.3, least ≥ 0.9", got, holds)
    if everything:
        mean, least = geometric(everything), min(everything)
        got = f"{times(mean)}, least {times(least)} ({sum(v >= 0.9 for v in everything)} of {len(everything)} ≥ 0.9)"
        add("all forward, times the best rival", "geometric mean ≥ 1.3, least ≥ 0.9", got, mean >= 1.3 and least >= 0.9)
    for kind in KINDS:
        for way, passes, wanted in (("train", 3, 0.7), ("forward", 1, 0.8)):
            found = [share(kind, shape_of(n), r[way], passes) for n, r in of(records, kind).items()]
            if found := [part for part in found if part is not None]:
                word = f"{kind.upper()} {'training' if way == 'train' else way}"
                got = f"least {min(found):.0%}, geometric mean {geometric(found):.0%}"
                add(
                    f"{word}, share of torch's product rate, B ≥ 32, H ≥ 64",
                    f"≥ {wanted:.0%}",
                    got,
                    min(found) >= wanted,
                )
    for variant in names:
        found = [r["train"] for r in of(records, variant).values()]
        if not found:
            continue
        speed = [ratio(t, fastest(t, ("scripted", "loop"))) for t in found]
        add(f"{variant}, training, times the better loop", "≥ 8", f"least {times(min(speed))}", min(speed) >= 8)
        cost, limit = max(ratio(t, "gated", "plain") for t in found), 1.15 if variant == "user's own" else 1.3
        add(f"{variant}, its time over our plain LSTM's", f"≤ {limit}", f"most {times(cost)}", cost <= limit)
    if found := [r["train"] for r in of(records, "trace").values()]:
        cost = max(ratio(t, "traced", "gated") for t in found)
        add("trace=True, its time over trace=False's", "≤ 1.25", f"most {times(cost)}", cost <= 1.25)
    if found := [ratio(r[way], "float32") for r in of(records, "bf16").values() for way in ("train", "forward")]:
        add("bfloat16, times our float32, H ≥ 256", "≥ 1.5", f"least {times(min(found))}", min(found) >= 1.5)
    if (step := records.get("stream", {}).get("step")) is not None:
        took = 1e6 * statistics.median(step["gated"])
        cell = f"{1e6 * statistics.median(step['LSTMCell']):.1f} µs, {times(ratio(step, 'LSTMCell'))} times"
        got = f"{took:.1f} µs; LSTMCell {cell}"
        add("one streamed step, H = 64, I = 32", "≤ 3 µs", got, took <= 3)
    for name, r in of(records, "lengths").items():
        got = ", ".join(f"{way} {times(ratio(r[way], 'torch'))}" for way in ("train", "forward"))
        add(f"unequal lengths, times torch's packed sequence ({name.split()[-1]})", "–", got, True)
    if "seconds" in (build := records.get("build", {})):
        add("clean build of the wheel", "≤ 120 s", f"{build['seconds']:.0f} s", build["seconds"] <= 120)
        add("wheel", "≤ 5 MB", f"{build['bytes'] / 1e6:.2f} MB", build["bytes"] <= 5e6)
    return table(["", "wanted", "measured", "holds"], rows)


def differing(records: Records) -> list[str]:
    """The records in which gated, not a peer, gave other numbers, and which therefore have no figures."""
    refused = {n: [who for who, why in r.get("without", {}).items() if "differs" in why] for n, r in records.items()}
    return [name for name, who in refused.items() if set(who) - set(RIVALS)]


def absent(records: Records) -> str:
    """What was refused or left out, and why: nothing that differs is timed."""
    told = [f"- {name}: {who}: {why}" for name, r in records.items() for who, why in r.get("without", {}).items()]
    return "\n".join(told)


def markdown(results: Mapping[str, Any], names: Iterable[str], note: str) -> str:
    """The whole report."""
    records, names = results["records"], list(names)
    commits = ", ".join(sorted({r["commit"] for r in records.values()}))
    machine = ", ".join(f"{k} {v}" for k, v in results["machine"].items())
    parts = [
        "# Layers, measured by `make bench-layers`",
        f"{machine}. Commit {commits}.",
        note,
        summary(records, names),
    ]
    for kind in KINDS:
        if of(records, kind):
            parts += [f"## {kind.upper()}", layers(records, kind)]
    if any(of(records, name) for name in names):
        parts += ["## Variants, training", variants(records, names)]
    if told := absent(records):
        parts += ["## Without", told]
    return "\n\n".join(parts) + "\n"
