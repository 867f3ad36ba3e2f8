"""Speed of the layers beside torch.nn, onnxruntime, OpenVINO and JAX: checked equal first, then timed by turns.

    python benchmarks/layers.py --peers PYTHON          everything, results/layers.{json,md}; under 25 minutes
    python benchmarks/layers.py --only lstm variants    some sections; the others' results stay
    python benchmarks/layers.py --shapes 1,100,1,32     some shapes, B,T,I,H
    python benchmarks/layers.py --missing               what the results lack
    python benchmarks/layers.py --kept                  with an allocator that keeps memory, results/layers-kept.*
    python benchmarks/layers.py --quick                 few short rounds, results/layers-quick.{json,md}

PYTHON is an interpreter that has layers_peers.txt. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markdown import Markdown
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import gated
import layers_tables as tables
from gated import _native
from layers_clock import Contender, Peer, rounds, sample
from layers_scripted import VARIANTS
from layers_tables import KINDS, RIVALS, key

ROOT = Path(__file__).parents[1]
SHAPES = (
    (1, 100, 1, 32), (1, 100, 32, 64), (1, 100, 128, 128), (1, 100, 512, 512), (8, 1000, 40, 256), (16, 100, 256, 256),
    (32, 96, 8, 64), (32, 35, 200, 200), (32, 35, 650, 650), (64, 96, 16, 128), (64, 50, 512, 512), (128, 28, 28, 128),
    (128, 100, 64, 64), (256, 24, 4, 32), (256, 168, 8, 64), (512, 24, 1, 40),
)  # fmt: skip
VARIANT_SHAPES = ((64, 96, 16, 128), (128, 100, 64, 64), (32, 96, 8, 64))
SECTIONS = (*KINDS, "variants", "trace", "lengths", "stream", "bf16")
OURS = {"lstm": gated.LSTM, "gru": gated.GRU, "rnn": gated.RNN}
THEIRS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
TOLERANCE, TOLERANCE_BF16 = 1e-4, 5e-2
# By default glibc hands large tensors back to the system, and a call pays for touching them anew: half of the time of
# torch.nn.LSTM's training at (64, 96, 16, 128) here. That is what people get; told this, it keeps them.
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**34), "MALLOC_TOP_PAD_": str(2**28)}
NOTE = f"""\
Float32, {{threads}} threads, {{memory}}; {{rounds}} rounds of {{budget:g}} s by turns; milliseconds are medians, a
ratio is the median of the ratios within a round, above 1 where gated is the faster. Training: forward and backward
pass with gradients of the input and of all weights. Forward: gated and torch in `torch.inference_mode`; onnxruntime
with input and outputs bound; OpenVINO told float32 and latency, its memory shared; JAX a jitted scan with the input
product before it and the faster of two weight layouts; each peer in a process of its own, asleep while another is
timed, nothing copied in or out while the clock runs. Only what agrees is timed: outputs and all gradients (initial
states' too) with torch's, the peers' outputs likewise, within {TOLERANCE:g} of the largest number of each tensor
({TOLERANCE_BF16:g} for bfloat16); variants agree with their loop, in evaluation where training draws masks, traces
with the definition's. Share: the layer's own products, 2TBGH(I+H) forward and three times that in training, a second,
over the better rate of torch.mm at 1024³ and at the layer's size, in the same rounds."""


Values = dict[str, Tensor]


def worst(got: Values, wanted: Values) -> tuple[float, str]:
    """The largest difference, over the largest number of its tensor, and where it is."""

    def apart(name: str) -> float:
        gap = (got[name].double() - wanted[name].double()).abs().max() / wanted[name].abs().max().clamp(min=1e-30)
        return float(gap) if gap.isfinite() else float("inf")

    return max((apart(name), name) for name in wanted)


def everything(layer: nn.Module, x: Tensor, hx: Any = None) -> Values:
    """Every output and every gradient of a layer, under a loss that sees all outputs."""
    x = x.detach().requires_grad_()
    hx = [] if hx is None else [s.detach().requires_grad_() for s in hx]
    y, state = layer(x, (hx[0] if len(hx) == 1 else tuple(hx)) if hx else None)
    outs = [y, *(state if isinstance(state, tuple) else (state,))]
    ends = {"x": x} | {f"state {k}": s for k, s in enumerate(hx)} | dict(layer.named_parameters())
    grads = torch.autograd.grad(outs, list(ends.values()), [fixed(out.shape, 7) for out in outs])
    values = {f"output {k}": out.detach() for k, out in enumerate(outs)}
    return values | {f"gradient of {name}": grad for name, grad in zip(ends, grads, strict=True)}


def fixed(shape: tuple[int, ...] | torch.Size, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def training(layer: nn.Module, x: Tensor, **how: Any) -> Contender:
    """Forward and backward pass, gradients of x and of every parameter."""
    return learning(lambda x: layer(x, **how)[0], x, list(layer.parameters()))


def learning(run: Callable[[Tensor], Tensor], x: Tensor, weights: list[Tensor]) -> Contender:
    x = x.detach().requires_grad_()
    with torch.no_grad():
        dy = fixed(run(x).shape, 3)
    return partial(sample, lambda: torch.autograd.grad(run(x), [x, *weights], dy))


def forward(run: Callable[[], Any]) -> Contender:
    def timed(budget: float) -> float:
        with torch.inference_mode():
            return sample(run, budget)

    return timed


class Bench:
    """How long the rounds are, and the peers' processes, started when first asked."""

    def __init__(self, words: argparse.Namespace) -> None:
        self.count, self.budget, self.threads, self.python = words.rounds, words.budget, words.threads, words.peers
        self.peers: dict[str, Peer] = {}
        self.versions: dict[str, str] = {}

    def rounds(self, contenders: Mapping[str, Contender]) -> dict[str, list[float]]:
        return rounds(contenders, self.count, self.budget)

    def peer(self, name: str) -> Peer:
        if name not in self.peers or self.peers[name].process.poll() is not None:
            self.peers[name] = Peer(self.python, name, self.threads)
        return self.peers[name]

    def agreeing(self, kind: str, layer: nn.Module, x: Tensor, without: dict[str, str]) -> dict[str, Contender]:
        """The peers that built this layer and give torch's output; `without` gets the others."""
        good: dict[str, Contender] = {}
        if not self.python:
            return good
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            path = f"{folder}/arrays.npz"
            np.savez(path, x=x.numpy(), **{name: value.numpy() for name, value in layer.state_dict().items()})
            y = {"output": layer(x)[0]}
            for name in RIVALS[1:]:
                answer = (peer := self.peer(name)).ask({"kind": kind, "arrays": path})
                if "error" in answer:
                    without[name] = answer["error"]
                    continue
                self.versions[name] = answer["version"]
                error, _ = worst({"output": torch.from_numpy(np.load(answer["y"]))}, y)
                if error <= TOLERANCE:
                    good[name] = peer
                else:
                    without[name] = f"its output differs from torch's by {error:.1e}"
        return good

    def layer(self, kind: str, shape: tuple[int, int, int, int]) -> dict:
        """One layer beside torch.nn in training, and beside all peers forward."""
        B, T, I, H = shape
        theirs, ours = THEIRS[kind](I, H), OURS[kind](I, H)
        ours.load_state_dict(theirs.state_dict())
        x, hx = fixed((T, B, I), 1), [fixed((1, B, H), 5 + k) for k in range(2 if kind == "lstm" else 1)]
        error, where = worst(everything(ours, x, hx), everything(theirs, x, hx))
        with torch.inference_mode():
            error, where = max((error, where), worst({"inference": ours(x)[0]}, {"inference": theirs(x)[0]}))
        record: dict[str, Any] = {"path": path_of(ours, x), "error": error, "without": {}}
        if error > TOLERANCE:
            record["without"]["gated"] = f"{where} differs from torch's by {error:.1e}"
            return record
        peers = self.agreeing(kind, theirs, x, record["without"])
        products: dict[str, Contender] = {}
        if B >= 32 and H >= 64:
            for name, (m, k, n) in tables.products(shape, kind).items():
                out = torch.empty(m, n)  # its own memory, so that no page is touched for the first time in the time
                products[name] = forward(partial(torch.mm, fixed((m, k), 1), fixed((k, n), 2), out=out))
        record["train"] = self.rounds({"gated": training(ours, x), "torch": training(theirs, x), **products})
        contenders = {"gated": forward(lambda: ours(x)), "torch": forward(lambda: theirs(x)), **peers, **products}
        record["forward"] = self.rounds(contenders)
        record["without"] |= {name: "failed while it was timed" for name in peers if name not in record["forward"]}
        return record

    def variant(self, name: str, shape: tuple[int, int, int, int]) -> dict:
        """A variant's training beside its loops and our plain LSTM."""
        B, T, I, H = shape
        make, loop, rate = VARIANTS[name]
        ours, plain, scripted = make(I, H), gated.LSTM(I, H), torch.jit.script(loop)
        slow = make(I, H, path="loop")
        slow.load_state_dict(ours.state_dict())
        for layer in (ours, slow):
            layer.train(not rate)  # no masks while it is checked
        x = fixed((T, B, I), 1)
        weights = list(ours.parameters())

        def run(x: Tensor, training: bool = True) -> Tensor:
            return scripted(x, *weights, *rate, *((training,) if rate else ()))

        def values(y: Callable[[Tensor], Tensor], weights: list[Tensor]) -> Values:
            given = x.detach().requires_grad_()
            grads = torch.autograd.grad(out := y(given), [given, *weights], fixed((T, B, H), 7))
            names = ["x", *(name for name, _ in ours.named_parameters())]
            return {"output": out.detach()} | dict(zip(names, grads, strict=True))

        wanted = values(lambda x: run(x, False), weights)
        record: dict[str, Any] = {"path": path_of(ours.train(), x), "without": {}}
        ours.train(not rate)
        for who, layer in (("gated", ours), ("loop", slow)):
            error, where = worst(values(lambda x, layer=layer: layer(x)[0], list(layer.parameters())), wanted)
            if error > TOLERANCE:
                record["without"][who] = f"{where} differs from the TorchScript loop's by {error:.1e}"
                return record
            record.setdefault("error", error)
            layer.train()
        contenders = {"gated": training(ours, x), "plain": training(plain, x)}
        contenders |= {"scripted": learning(run, x, weights), "loop": training(slow, x)}
        return record | {"train": self.rounds(contenders)}

    def trace(self, shape: tuple[int, int, int, int]) -> dict:
        """trace=True beside trace=False, both training."""
        B, T, I, H = shape
        ours, x = gated.LSTM(I, H), fixed((T, B, I), 1)
        slow = gated.LSTM(I, H, path="loop")
        slow.load_state_dict(ours.state_dict())
        got, wanted = (layer(x, trace=True)[2][0][0] for layer in (ours, slow))
        error, where = worst(*({k: v.detach() for k, v in seen.items()} for seen in (got, wanted)))
        record: dict[str, Any] = {"path": path_of(ours, x, trace=True), "error": error, "without": {}}
        if error > TOLERANCE:
            record["without"]["trace"] = f"{where} differs from the definition's by {error:.1e}"
            return record
        return record | {"train": self.rounds({"gated": training(ours, x), "traced": training(ours, x, trace=True)})}

    def lengths(self, shape: tuple[int, int, int, int]) -> dict:
        """Sequences of 1 to T steps, beside torch's packed sequence made and padded again in the time."""
        B, T, I, H = shape
        theirs, ours, x = nn.LSTM(I, H), gated.LSTM(I, H), fixed((T, B, I), 1)
        ours.load_state_dict(theirs.state_dict())
        lengths = torch.randint(1, T + 1, (B,), generator=torch.Generator().manual_seed(2))
        lengths[0] = T

        class Cut(nn.Module):
            """A layer with these lengths given in its own way."""

            def __init__(self, layer: nn.Module, run: Callable[[Tensor, Any], Any]) -> None:
                super().__init__()
                self.layer, self.run = layer, run

            def forward(self, x: Tensor, hx: Any = None) -> Any:
                return self.run(x, hx)

        def packed(x: Tensor, hx: Any) -> Any:
            y, state = theirs(pack_padded_sequence(x, lengths, enforce_sorted=False), hx)
            return pad_packed_sequence(y, total_length=T)[0], state

        a, b = Cut(ours, lambda x, hx: ours(x, hx, lengths=lengths)), Cut(theirs, packed)
        hx = [fixed((1, B, H), 5), fixed((1, B, H), 6)]
        error, where = worst(everything(a, x, hx), everything(b, x, hx))
        record: dict[str, Any] = {"path": path_of(ours, x, lengths), "error": error, "without": {}}
        if error > TOLERANCE:
            record["without"]["gated"] = f"{where} differs from torch's by {error:.1e}"
            return record
        record["train"] = self.rounds({"gated": training(a, x), "torch": training(b, x)})
        return record | {"forward": self.rounds({"gated": forward(lambda: a(x)), "torch": forward(lambda: b(x))})}

    def bf16(self, shape: tuple[int, int, int, int]) -> dict:
        """precision="bfloat16" beside our float32."""
        B, T, I, H = shape
        make: Any = gated.LSTM
        try:
            ours = make(I, H, precision="bfloat16")
        except (TypeError, ValueError) as error:
            return {"without": {"bfloat16": str(error).splitlines()[0]}}
        plain, x = gated.LSTM(I, H), fixed((T, B, I), 1)
        ours.load_state_dict(plain.state_dict())
        error, where = worst(everything(ours, x), everything(plain, x))
        record: dict[str, Any] = {"path": path_of(ours, x), "error": error, "without": {}}
        if error > TOLERANCE_BF16:
            record["without"]["bfloat16"] = f"{where} differs from float32's by {error:.1e}"
            return record
        record["train"] = self.rounds({"gated": training(ours, x), "float32": training(plain, x)})
        return record | {
            "forward": self.rounds({"gated": forward(lambda: ours(x)), "float32": forward(lambda: plain(x))})
        }

    def stream(self) -> dict:
        """One step from Python beside nn.LSTMCell."""
        I, H = 32, 64
        layer: Any = gated.LSTM(I, H)
        if not hasattr(layer, "stream"):
            return {"without": {"stream": "the layer has none"}}
        cell = nn.LSTMCell(I, H)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
        steps, state = fixed((50, 1, I), 1), (torch.zeros(1, H), torch.zeros(1, H))
        stream, wanted, got = layer.stream(batch=1), [], []
        with torch.inference_mode():
            for x in steps:
                state = cell(x, state)
                wanted.append(state[0])
                got.append(torch.as_tensor(stream.push(x)).reshape(1, H).clone())
        error, _ = worst({"h": torch.stack(got)}, {"h": torch.stack(wanted)})
        record: dict[str, Any] = {"error": error, "without": {}}
        if error > TOLERANCE:
            record["without"]["stream"] = f"h differs from LSTMCell's by {error:.1e}"
            return record
        x, array = steps[0], steps[0].numpy()
        contenders = {"gated": lambda: stream.push(array), "tensor": lambda: stream.push(x)}
        contenders["LSTMCell"] = lambda: cell(x, state)
        return record | {"step": self.rounds({name: forward(call) for name, call in contenders.items()})}

    def build(self) -> dict:
        """A wheel from nothing: seconds, tools' download included where they are not at hand, and its size."""
        import importlib.util

        apart = importlib.util.find_spec("scikit_build_core") is None or importlib.util.find_spec("nanobind") is None
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, str(ROOT)]
            words += [f"--config-settings=build-dir={folder}/build", *(() if apart else ("--no-build-isolation",))]
            start = time.perf_counter()
            env = {**os.environ, "CMAKE_BUILD_PARALLEL_LEVEL": str(self.threads)}
            done = subprocess.run(words, capture_output=True, text=True, env=env)
            seconds = time.perf_counter() - start
            if done.returncode:
                return {"without": {"build": (done.stderr.strip().splitlines() or ["no word"])[-1]}}
            (wheel,) = Path(folder).glob("*.whl")
            return {"seconds": round(seconds, 1), "bytes": wheel.stat().st_size, "tools fetched": apart}


def path_of(layer: Any, x: Tensor, *words: Any, **more: Any) -> str:
    return layer.explain(x.detach().requires_grad_(), *words, **more).partition(":")[0]


def plan(bench: Bench, words: argparse.Namespace) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Every record by name, and what measures it."""

    def chosen(shapes: tuple) -> list[tuple[int, int, int, int]]:
        return [shape for shape in shapes if not words.shapes or shape in words.shapes]

    def name(section: str, shape: tuple[int, ...]) -> str:
        return key(section, ",".join(map(str, shape)))

    for section in words.only:
        if section in KINDS:
            yield from ((name(section, s), partial(bench.layer, section, s)) for s in chosen(SHAPES))
        elif section == "variants":
            yield from ((name(v, s), partial(bench.variant, v, s)) for v in VARIANTS for s in chosen(VARIANT_SHAPES))
        elif section == "trace":
            yield from ((name(section, s), partial(bench.trace, s)) for s in chosen(VARIANT_SHAPES))
        elif section == "bf16":
            wide = tuple(shape for shape in SHAPES if shape[3] >= 256)
            yield from ((name(section, s), partial(bench.bf16, s)) for s in chosen(wide))
        elif section == "lengths":
            yield from ((name(section, s), partial(bench.lengths, s)) for s in chosen(((32, 96, 8, 64),)))
        else:
            yield section, getattr(bench, section)


def order(name: str) -> tuple:
    """Where a record stands in the file, whenever it was measured."""
    section, _, shape = name.rpartition(" ")
    shapes = [",".join(map(str, s)) for s in SHAPES]
    return ([*KINDS, *VARIANTS, *SECTIONS, ""].index(section), shapes.index(shape) if shape in shapes else 0, name)


def told(record: Mapping[str, Any]) -> str:
    """A record in a line."""
    parts = [record.get("path", "")]
    for way in ("train", "forward", "step"):
        if way in record:
            least = tables.fastest(record[way], record[way])
            parts.append(f"{way} " + " ".join(
                f"{'[b]' if n == least else ''}{n} {tables.milliseconds(record[way], n)}{'[/b]' if n == least else ''}"
                for n in record[way]
            ))  # fmt: skip
    parts += [f"{name} {record[name]}" for name in ("seconds", "bytes") if name in record]
    parts += [f"[red]without {who}: {why}[/red]" for who, why in record.get("without", {}).items()]
    return "  ".join(filter(None, parts))


def machine(bench: Bench) -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in (info.read_text() if info.exists() else "").splitlines()
             if line.startswith("model name")]  # fmt: skip
    processor = f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    return {
        "processor": f"{processor}, {_native.isa()}",
        "threads": str(bench.threads),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        **dict(sorted(bench.versions.items())),
    }


def commit() -> str:
    """The commit measured, with + if files have changed since."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or "unknown"


def write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(SECTIONS), choices=[*SECTIONS, "build"], metavar="SECTION",
                        help=f"some of {', '.join(SECTIONS)}, build")  # fmt: skip
    parser.add_argument("--shapes", nargs="+", type=lambda s: tuple(map(int, s.split(","))), help="B,T,I,H …")
    parser.add_argument("--peers", help="a Python that has layers_peers.txt")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--budget", type=float, help="seconds of a contender in a round")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--kept", action="store_true", help="tell glibc to keep freed memory, for all alike")
    parser.add_argument("--build", action="store_true", help="time a clean build too")
    words = parser.parse_args()
    words.rounds = words.rounds or (3 if words.quick else 9)
    words.budget = words.budget or (0.02 if words.quick else 0.1)
    words.only += ["build"] if words.build and "build" not in words.only else []
    return words


def main() -> None:
    words = arguments()
    if words.kept and not KEEP.items() <= os.environ.items():  # read when a process starts; the peers inherit it
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP})
    torch.set_num_threads(words.threads)
    torch.manual_seed(0)
    bench, console = Bench(words), Console(stderr=True, highlight=False)
    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) > 0.5:
        console.print(f"[red]Something else runs here (load {load:.1f}): the figures will be worth little.[/red]")
    stem = "layers" + ("" if words.threads == 2 else f"-{words.threads}-thread")
    stem += "-kept" * words.kept + "-quick" * words.quick
    path = ROOT / "benchmarks" / "results" / f"{stem}.json"
    results = json.loads(path.read_text()) if path.exists() else {"records": {}}
    here, before = machine(bench), results.get("machine", {})
    if any(before.get(name) != value for name, value in here.items()):
        results = {"records": {}}  # another machine's figures do not stand beside these
    bench.versions = {name: before[name] for name in RIVALS[1:] if name in before}
    records, at = results["records"], commit()
    memory = "memory kept by the allocator between calls" if words.kept else "the allocator as it is by default"
    note = NOTE.format(threads=words.threads, memory=memory, rounds=words.rounds, budget=words.budget)
    for name, measure in plan(bench, words):
        if words.missing and name in records:
            continue
        records[name] = measure() | {"commit": at}
        console.print(f"{name}  {told(records[name])}", soft_wrap=True)
        results = {"machine": machine(bench), "records": dict(sorted(records.items(), key=lambda r: order(r[0])))}
        write(path, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        write(path.with_suffix(".md"), tables.markdown(results, VARIANTS, note))
    for peer in bench.peers.values():
        peer.close()
    wide = Console(stderr=True, width=max(console.width, 110))  # a file has no width, and 80 breaks every line
    wide.print(Markdown(tables.summary(records, VARIANTS)))
    console.print(f"All of it: {path.with_suffix('.md')}")
    sys.exit(1 if tables.differing(records) else 0)


if __name__ == "__main__":
    main()
