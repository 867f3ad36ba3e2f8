"""The probe's view of a classifier: an input step by step, and the score of its label.

Attributed is log p of the likeliest label, or the number in units of the target's deviation, to the steps; the path of
integration starts at embeddings of zero, or at the mean of the training data.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from gated import train
from gated._check import refuse, want
from gated.tasks.classify import inputs
from gated.tasks.classify.model import Network
from gated.tasks.classify.run import Run
from gated.views import MAX_SEQUENCES, Case, Input, Output, Part, View, keep_numbers, points

NUMBERS = 4_000_000  # in the steps of one integral
CURVES = 8  # channels shown as curves; more are a picture


def view(run: Run, data: Any = None, count: int = 3) -> View:
    """The first examples of a file, or of a list."""
    if data is None:
        refuse("probe", "examples: a file, a folder or a list", "none", "Name a file of examples.")
    is_file = isinstance(data, str) and os.path.exists(data)
    dataset = run.read(Path(data) if is_file else data)
    chosen = [k for k, x in enumerate(run.model.inputs.encode(dataset.inputs)) if x.shape[-1]]
    want(bool(chosen), "probe", "an example with at least one step", "empty ones")
    chosen = chosen[: max(count, MAX_SEQUENCES)]
    network = run.model.network.eval()
    with train.seeded(run.config.seed):
        initial = Network(network.shape).to(run.model.device)
    cases = [_case(run, network, dataset.inputs[k], dataset.places[k]) for k in chosen]
    cases = [*cases[:count], *(case.hide() for case in cases[count:])]
    goal = "the number" if run.model.targets.kind == "number" else "log p of the label"
    return View(
        "a classifier", "classify", network, initial.eval(), cases, goal, tuple(run.summary().splitlines()),
        keep_numbers(run.history),
    )  # fmt: skip


def _case(run: Run, network: Network, item: Any, place: str) -> Case:
    made = run.model
    x = made.inputs.encode([item])[0]
    batch = inputs.collate([x])
    tensor, lengths = batch.x.to(made.device), batch.lengths.to(made.device)
    with torch.no_grad():
        k = 0 if made.targets.kind == "number" else int(network(tensor, lengths)[0].argmax())
        steps = int(network.encode(tensor, lengths)[2][0])
    T, stride = x.shape[-1], -(-x.shape[-1] // steps)
    name = "the number" if made.targets.kind == "number" else made.targets.labels[k]
    if made.inputs.tokens is not None:
        words = tuple(made.inputs.words(item))
        with torch.no_grad():
            start = cast(nn.Module, network.embed)(tensor).transpose(0, 1)
        source = Input("tokens", T, "token", words, output=name)
        function, inside = _by_embeddings(network, tensor, lengths, k), lambda shares: shares[0].sum(1)
    else:
        start = tensor
        curves = {f"row {r + 1}": row for r, row in enumerate(x)} if len(x) <= CURVES else {"mean": x.mean(0)}
        picture = x if len(x) > CURVES else None
        source = Input("values", T, "step", scale=(1.0, 1.0), values=curves, picture=picture, output=name)
        function = lambda x: _answer(network, x, lengths.expand(len(x)), k)  # noqa: E731
        inside = lambda shares: shares[0].sum(0)  # noqa: E731
    most = int(np.clip(NUMBERS // max(1, start.numel()), 32, 512))
    result = Output(
        f"{'' if made.targets.kind == 'number' else 'log p of '}`{name}`", function, (start,), inside, max_steps=most
    )

    def losses(score: Tensor) -> list[tuple[dict[str, int], Tensor]]:
        return [({"layers": t}, score) for t in points(steps)]

    part = Part(place, source, {"layers": float(stride)}, (result,))
    return Case(lambda network: _answer(network, tensor, lengths, k)[0], (part,), losses)


def _answer(network: Any, x: Tensor, lengths: Tensor, k: int) -> Tensor:
    scores = network(x, lengths)
    if network.shape.output == "label":
        scores = torch.log_softmax(scores, 1)
    return scores[:, k] if network.shape.output != "labels" else torch.nn.functional.logsigmoid(scores[:, k])


def _by_embeddings(network: Any, tokens: Tensor, lengths: Tensor, k: int) -> Any:
    """The answer as a function of the embeddings (N, T, E)."""

    def function(e: Tensor) -> Tensor:
        N = len(e)
        handle = network.embed.register_forward_hook(lambda *given: e.transpose(0, 1))
        try:
            return _answer(network, tokens.expand(-1, N), lengths.expand(N), k)
        finally:
            handle.remove()

    return function
