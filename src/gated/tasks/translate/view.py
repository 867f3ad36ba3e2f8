"""The probe's view of a translator: the source and the translation, token by token, each on its own axis.

The network reads a sentence and its own translation, as in training. A step of the decoder is at the token that it
reads; its mark is the token that it predicts. Attributed is log p of a predicted token, given the tokens before it, to
the source's tokens; the path starts at embeddings of zero.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gated import train, trees
from gated._check import refuse, want
from gated.features.tokens import SPECIAL, Tokens
from gated.tasks.translate.data import Batch, collate
from gated.tasks.translate.model import Network
from gated.tasks.translate.run import Run
from gated.tasks.translate.search import Translation
from gated.views import MAX_SEQUENCES, Case, Input, Mark, Output, Part, View, keep_numbers, points, spread

ATTRIBUTED = 3  # tokens of a sentence
PLACEHOLDER = "{…}"
LAYERS = ("decoder.bottom", "decoder.top")


def view(run: Run, data: Any = None, count: int = 3) -> View:
    """The first sentences of a file, or of a list."""
    if data is None:
        refuse("probe", "sentences: a file or a list", "none", "Name a file with a sentence a line.")
    lines = [data] if isinstance(data, str) and not os.path.exists(data) and " " in data else run.read_lines(data)
    lines = [line for line in lines if line.strip()]
    fits = [line for line in lines if 0 < len(run.model.source.encode([line])[0]) <= run.model.longest]
    fits = fits[: max(count, MAX_SEQUENCES)]
    todo = "Name a file with a sentence a line."
    want(bool(fits), "probe", f"a sentence of at most {run.model.longest} tokens", f"{len(lines)} others", todo)
    translations = [best[0] for best in run.translate(fits, width=1)]
    network = run.model.network.eval()
    with train.seeded(run.config.seed):
        initial = Network(network.shape).to(network.bias.device)
    cases = [_case(run, network, line, one) for line, one in zip(fits, translations, strict=True)]
    cases = [*cases[:count], *(case.hide() for case in cases[count:])]
    return View(
        "a translator", "translate", network, initial.eval(), cases, "log p of a predicted token",
        tuple(run.summary().splitlines()), keep_numbers(run.history),
    )  # fmt: skip


def _case(run: Run, network: Network, line: str, translation: Translation) -> Case:
    batch = collate([translation.source], [translation.target])
    b = trees.map(lambda x: x.to(network.bias.device), batch)
    after = b.after[:, 0].tolist()
    source = [_show(run.model.source, i, translation.placeholders) for i in translation.source]
    reads, writes = (
        [_show(run.model.target, i, translation.placeholders) for i in side[:, 0].tolist()]
        for side in (b.before, b.after)
    )
    marks = tuple(Mark(t, t, word) for t, word in enumerate(writes))
    places = spread(max(1, len(after) - 1), ATTRIBUTED)  # without END, if there is another token

    def forward(network: Any) -> Tensor:
        memory, state = network.encode(b.source, b.lengths)
        o, _, _ = network.decode(b.before, memory, state)
        return torch.log_softmax(network.logits(o[:, 0]).float(), -1)

    def losses(log_p: Tensor) -> list[tuple[dict[str, int], Tensor]]:
        return [(dict.fromkeys(LAYERS, t), log_p[t, after[t]]) for t in points(len(after))]

    outputs = tuple(_output(network, b, t, after[t], writes[t]) for t in places)
    text, short = translation.text, line if len(line) <= 40 else f"{line[:39]}…"
    parts = (
        Part(f"{short}: source", Input("tokens", len(source), "token", tuple(source), output=text),
             {"encoder": 1.0}, outputs),
        Part(f"{short}: translation", Input("tokens", len(reads), "token", tuple(reads), marks=marks, output=text),
             dict.fromkeys(LAYERS, 1.0)),
    )  # fmt: skip
    return Case(forward, parts, losses)


def _output(network: Network, b: Batch, t: int, token: int, word: str) -> Output:
    with torch.no_grad():
        e = network.embed_source(b.source).transpose(0, 1)
    name = f"log p of `{word}`, token {t + 1}"
    return Output(name, by_embeddings(network, b, t, token), (e,), lambda shares: shares[0].sum(1))


def by_embeddings(network: Network, b: Batch, t: int, token: int) -> Any:
    """log p of the token at step t as a function of the source's embeddings (N, S, E)."""

    def function(e: Tensor) -> Tensor:
        N = len(e)
        handle = network.embed_source.register_forward_hook(lambda *given: e.transpose(0, 1))
        try:
            memory, state = network.encode(b.source.expand(-1, N), b.lengths.expand(N))
        finally:
            handle.remove()
        o, _, _ = network.decode(b.before[: t + 1].expand(-1, N), memory, state)
        return torch.log_softmax(network.logits(o[t]).float(), -1)[:, token]

    return function


def _show(tokens: Tokens, id: int, placeholders: Sequence[str] = ()) -> str:
    """A token for display, with a hyphen in front if it continues a word; a sentinel as its placeholder."""
    if id < len(SPECIAL):
        return SPECIAL[id]
    piece = tokens.piece(id)
    if piece in tokens.sentinels:
        k = tokens.sentinels.index(piece)
        return placeholders[k] if k < len(placeholders) else PLACEHOLDER
    if not piece.strip():
        return "␣"
    begins = piece.startswith(" ") or tokens.kind != "bpe"
    return piece.strip() if begins else f"-{piece}"
