"""The probe's view of a language model: a text, token by token.

The network reads the text as in scoring. A step is at the token that it reads; its mark is the token after it. What is
attributed is log p of a token, to those before it; the path starts at embeddings of zero.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from gated import train
from gated._check import refuse, want
from gated.tasks.language import data
from gated.tasks.language.model import Network
from gated.tasks.language.run import Run
from gated.views import MAX_SEQUENCES, Case, Input, Mark, Output, Part, View, keep_numbers, points, spread

ATTRIBUTED = 3  # tokens of a text
STEPS = 80  # tokens of a sequence


def view(run: Run, source: Any = None, count: int = 3) -> View:
    """The first lines of a file, or a text, in sequences of at most `STEPS` tokens."""
    if source is None:
        refuse("probe", "a text: a file, or some words", "none", "Name a file of text.")
    rows = _read(run, source)
    want(bool(rows), "probe", "a text of at least 2 tokens", "a shorter one")
    rows = rows[: max(count, MAX_SEQUENCES)]
    network = run.network.eval()
    with train.seeded(run.config.seed):
        initial = Network(network.shape).to(network.bias.device)
    cases = [_case(run, network, row) for row in rows]
    cases = [*cases[:count], *(case.hide() for case in cases[count:])]
    return View(
        "a language model", "language", network, initial.eval(), cases, "log p of a token",
        tuple(run.summary().splitlines()), keep_numbers(run.history),
    )  # fmt: skip


def _read(run: Run, source: Any) -> list[list[int]]:
    """The tokens of a text in sequences: cut at line ends, where lines are short, and after so many tokens."""
    if isinstance(source, str) and not os.path.exists(source) and " " in source:
        ids = run.vocabulary.encode(source).tolist()
    else:
        with data.read(source, run.config.key) as corpus:
            ids = data.encode(corpus, run.vocabulary).ids[: STEPS * MAX_SEQUENCES].tolist()
    rows = [ids[k : k + STEPS] for k in range(0, len(ids), STEPS)]
    return [row for row in rows if len(row) > 1]


def _case(run: Run, network: Network, ids: list[int]) -> Case:
    device = network.bias.device
    inputs = torch.tensor([0, *ids[:-1]], device=device)[:, None]
    pieces = [_show(run, id) for id in ids]
    reads = ("<start>", *pieces[:-1])
    marks = tuple(Mark(t, t, piece) for t, piece in enumerate(pieces))
    places = [t + 1 for t in spread(len(ids) - 1, ATTRIBUTED)]

    def forward(network: Any) -> Tensor:
        out, _, _ = network(inputs)
        return torch.log_softmax(network.logits(out[:, 0]).float(), -1)

    def losses(log_p: Tensor) -> list[tuple[dict[str, int], Tensor]]:
        return [(dict.fromkeys(layers, t), log_p[t, ids[t]]) for t in points(len(ids))]

    layers = [f"layers.{k}" for k in range(len(network.layers))]
    outputs = tuple(_output(network, inputs, t, ids[t], pieces[t]) for t in places)
    text = run.vocabulary.decode(ids).decode("utf-8", "replace")
    short = " ".join(text.split())
    part = Part(
        short if len(short) <= 40 else f"{short[:39]}…",
        Input("tokens", len(ids), "token", reads, marks=marks, output=short), dict.fromkeys(layers, 1.0), outputs,
    )  # fmt: skip
    return Case(forward, (part,), losses)


def _output(network: Network, inputs: Tensor, t: int, token: int, piece: str) -> Output:
    with torch.no_grad():
        e = network.embed(inputs).transpose(0, 1)

    def function(e: Tensor) -> Tensor:
        x = e.transpose(0, 1)[: t + 1]
        for layer in network.layers:
            x, _ = layer(x)
        return torch.log_softmax(network.logits(x[t]).float(), -1)[:, token]

    return Output(f"log p of `{piece}`, token {t + 1}", function, (e,), lambda shares: shares[0].sum(1))


def _show(run: Run, id: int) -> str:
    """A token for display, with signs for white space."""
    piece = run.vocabulary.decode([id]).decode("utf-8", "replace")
    return piece.replace(" ", "␣").replace("\n", "⏎") if piece.strip() != piece else piece
