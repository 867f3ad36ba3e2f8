"""A transcriber on sound or print: frames from first to last, as the network reads them, with what it wrote there.

Attributed is log p of a written symbol at its surest step, to the frames; the path starts at frames of zero, which is
the mean of what was learnt from for sound, and paper for print.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gated import train
from gated._check import refuse
from gated.probe.case import COUNTED, FOLLOWED, Case, Part, View, curve
from gated.probe.document import Attribution, Input, Mark
from gated.probe.gradient import points
from gated.probe.inputs import attribution, remark
from gated.tasks.transcribe import read
from gated.tasks.transcribe.model import Network
from gated.tasks.transcribe.run import Run
from gated.tasks.transcribe.search import Reading, Search

TOLD = 3  # symbols of an example that are attributed
NUMBERS = 4_000_000  # of frames, in all the steps of one integral


def view(run: Run, data: Any = None, count: int = 3) -> View:
    """The first files of a folder or manifest, of a list, or one file."""
    if data is None:
        refuse("probe", "files: a folder, a manifest, a sound or an image", "none", "Name what to look at.")
    found = read.items(data, text=False)
    found = found._replace(items=found.items[: max(count, COUNTED)])
    xs, _, _ = run.frames(found)
    network = run.learnt.network.eval()
    with train.seeded(run.config.seed):
        fresh = Network(network.shape)
    full = xs[: max(count, FOLLOWED)]
    best = [one[0] for one in run.decode(full, Search())]
    cases = [_case(run, network, item, x, one) for item, x, one in zip(found.items, full, best, strict=False)]
    cases = [*cases[:count], *(case.hidden() for case in cases[count:]), *map(_counted, xs[len(full) :])]
    return View(
        "a transcriber", "transcribe", network, fresh.eval(), cases, "log p of a step's symbol",
        tuple(run.summary().splitlines()), curve(run.history),
    )  # fmt: skip


def _counted(x: np.ndarray) -> Case:
    frames, lengths = torch.from_numpy(x)[None], torch.tensor([x.shape[1]])
    return Case(lambda network: network(frames, lengths))


def _case(run: Run, network: Network, item: read.Item, x: np.ndarray, best: Reading) -> Case:
    how, symbols = run.learnt.frames, run.learnt.alphabet.symbols
    sound, stride, T = how.kind == "sound", network.shape.stride, x.shape[1]
    frames, lengths = torch.from_numpy(x)[None], torch.tensor([T])
    with torch.no_grad():
        log_p = network(frames, lengths)[0][:, 0]
    steps = [(round(one.start / (how.unit * stride)), round(one.end / (how.unit * stride)) - 1, one.text)
             for one in best.letters]  # fmt: skip
    most = max(0, T - 1)
    marks = tuple(Mark(min(a * stride, most), min((b + 1) * stride - 1, most), text) for a, b, text in steps)
    chosen = [steps[k] for k in np.unique(np.linspace(0, len(steps) - 1, min(TOLD, len(steps))).round().astype(int))]

    def attributed() -> Sequence[Attribution]:
        found = []
        for first, last, text in chosen:
            token = symbols.index(text)
            t = min(first, len(log_p) - 1)
            t += int(log_p[t : max(last, first) + 1, token].argmax())
            found.append(_attributed(network, frames, t, token, text))
        return found

    def losses(log_p: Tensor) -> list[tuple[dict[str, int], Tensor]]:
        ahead = points(len(log_p))
        back = [len(log_p) - 1 - t for t in ahead] if network.shape.both else []
        return [({"layers": t}, log_p[t].max()) for t in (*ahead, *back)]

    seen = Input(
        how.kind, T, "second" if sound else "column", scale=(0.0, how.unit), picture=x, marks=marks, said=best.text,
        values={"loudness": x.mean(0)} if sound else {},
    )  # fmt: skip
    part = Part(Path(item.path).name, seen, {"layers": float(stride)}, attributed)
    return Case(lambda network: network(frames, lengths)[0][:, 0], (part,), losses)


def _attributed(network: Network, x: Tensor, t: int, token: int, text: str) -> Attribution:
    found = attribution(written(network, t, token), x, most=int(np.clip(NUMBERS // x.numel(), 32, 512)))
    said = f"log p of `{text}` at step {t + 1}{remark(found)}"
    return Attribution(said, found.value, found.baseline, found.shares[0].sum(0), found.shares[0])


def written(network: Network, t: int, token: int) -> Any:
    """log p of a symbol at step t as a function of frames (N, R, T)."""

    def function(x: Tensor) -> Tensor:
        return network(x, torch.full((len(x),), x.shape[2]))[0][t, :, token]

    return function
