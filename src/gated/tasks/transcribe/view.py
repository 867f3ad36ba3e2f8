"""The probe's view of a transcriber: frames of sound or columns of print, with the transcript at its places.

log p of a symbol of the transcript at its most confident step is attributed to the frames; the path of integration
starts at frames of zero: for sound the mean of the training data, for print paper.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gated import train
from gated._check import refuse
from gated.tasks.transcribe.data import Item, read_items
from gated.tasks.transcribe.model import Network
from gated.tasks.transcribe.run import Run
from gated.tasks.transcribe.search import Hypothesis, Search
from gated.views import MAX_FLOWS, MAX_SEQUENCES, Case, Input, Mark, Output, Part, View, keep_numbers, points, spread

ATTRIBUTED = 3  # symbols of an example
NUMBERS = 4_000_000  # in the frames of all steps of one integral


def view(run: Run, data: Any = None, count: int = 3) -> View:
    """The first files of a folder or manifest, of a list, or one file."""
    if data is None:
        refuse("probe", "files: a folder, a manifest, a sound or an image", "none", "Name the files.")
    dataset = read_items(data, text=False)
    dataset = dataset._replace(items=dataset.items[: max(count, MAX_SEQUENCES)])
    xs, _, _ = run.read(dataset)
    network = run.model.network.eval()
    with train.seeded(run.config.seed):
        initial = Network(network.shape)
    full = xs[: max(count, MAX_FLOWS)]
    best = [one[0] for one in run.search(full, Search())]
    cases = [_case(run, network, item, x, one) for item, x, one in zip(dataset.items, full, best, strict=False)]
    others = [Case(lambda network, x=x: network(*_tensors(run, x))) for x in xs[len(full) :]]
    cases = [*cases[:count], *(case.hide() for case in cases[count:]), *others]
    return View(
        "a transcriber", "transcribe", network, initial.eval().to(run.model.device), cases, "log p of a step's symbol",
        tuple(run.summary().splitlines()), keep_numbers(run.history),
    )  # fmt: skip


def _tensors(run: Run, x: np.ndarray) -> tuple[Tensor, Tensor]:
    """A batch of one example, on the run's device: frames and lengths."""
    return torch.from_numpy(x)[None].to(run.model.device), torch.tensor([x.shape[1]], device=run.model.device)


def _case(run: Run, network: Network, item: Item, x: np.ndarray, best: Hypothesis) -> Case:
    how, symbols, unit = run.model.frames, run.model.alphabet.symbols, run.model.unit
    sound, stride, T = how.kind == "sound", network.shape.stride, x.shape[1]
    frames, lengths = _tensors(run, x)
    with torch.no_grad():
        log_p = network(frames, lengths)[0][:, 0]
    steps = [(round(one.start / unit), round(one.end / unit) - 1, one.text) for one in best.symbols]
    last = max(0, T - 1)
    marks = tuple(Mark(min(a * stride, last), min((b + 1) * stride - 1, last), text) for a, b, text in steps)
    selection = [steps[k] for k in spread(len(steps), ATTRIBUTED)]

    def output(first: int, last: int, text: str) -> Output:
        token = symbols.index(text)
        t = min(first, len(log_p) - 1)
        t += int(log_p[t : max(last, first) + 1, token].argmax())
        name, steps = f"log p of `{text}` at step {t + 1}", int(np.clip(NUMBERS // x.size, 32, 512))
        return Output(name, partial(by_frames, network, t, token), (frames,), lambda shares: shares[0], max_steps=steps)

    def losses(log_p: Tensor) -> list[tuple[dict[str, int], Tensor]]:
        forward = points(len(log_p))
        backward = [len(log_p) - 1 - t for t in forward] if network.shape.both else []
        return [({"layers": t}, log_p[t].max()) for t in (*forward, *backward)]

    source = Input(
        how.kind, T, "second" if sound else "column", scale=(0.0, how.unit), picture=x, marks=marks, output=best.text,
        values={"loudness": x.mean(0)} if sound else {},
    )  # fmt: skip
    part = Part(Path(item.path).name, source, {"layers": float(stride)}, tuple(output(*step) for step in selection))
    return Case(lambda network: network(frames, lengths)[0][:, 0], (part,), losses)


def by_frames(network: Network, t: int, token: int, x: Float[Tensor, "N R T"]) -> Float[Tensor, " N"]:
    """log p of a symbol at step t, by the frames."""
    return network(x, torch.full((len(x),), x.shape[2], device=x.device))[0][t, :, token]
