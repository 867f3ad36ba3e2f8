"""A translator on sentences: what is read, token by token, and what is written, each on its own axis.

The network reads a sentence and what it wrote itself, as it did while it learnt. A step of the decoder stands under the
token that it reads, and its mark is the one that it writes. Attributed is log p of a written token, given those before
it, to the source's tokens; the path starts at embeddings of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gated import train
from gated._check import refuse, want
from gated.features.tokens import SPECIAL, Tokens
from gated.probe.case import COUNTED, Case, Part, View, curve
from gated.probe.document import Attribution, Input, Mark
from gated.probe.gradient import points
from gated.probe.inputs import attribution, remark
from gated.tasks.translate import batches
from gated.tasks.translate.model import Network
from gated.tasks.translate.run import Run, catalogue
from gated.tasks.translate.search import Translation

TOLD = 3  # tokens of a sentence that are attributed
PLACEHOLDER = "{…}"
LAYERS = ("decoder.bottom", "decoder.top")


def view(run: Run, data: Any = None, count: int = 3) -> View:
    """The first sentences of a file, or of a list."""
    if data is None:
        refuse("probe", "sentences: a file or a list", "none", "Name a file with a sentence a line.")
    if catalogue(data):
        refuse(
            "probe", "a file with a sentence a line", str(data), "A catalogue's texts are told by translate predict."
        )
    lines = [data] if isinstance(data, str) and not Path(data).exists() and " " in data else run.lines(data)
    lines = [line for line in lines if line.strip()]
    fits = [line for line in lines if 0 < len(run.learnt.source.encode([line])[0]) <= run.learnt.longest][
        : max(count, COUNTED)
    ]
    todo = "Name a file with a sentence a line."
    want(bool(fits), "probe", f"a sentence of at most {run.learnt.longest} tokens", f"{len(lines)} others", todo)
    found = [best[0] for best in run.translate(fits, width=1)]
    network = run.learnt.network.eval()
    with train.seeded(run.config.seed):
        fresh = Network(network.shape)
    cases = [_case(run, network, line, one) for line, one in zip(fits, found, strict=True)]
    cases = [*cases[:count], *(case.hidden() for case in cases[count:])]
    return View(
        "a translator", "translate", network, fresh.eval(), cases, "log p of a written token",
        tuple(run.summary().splitlines()), curve(run.history),
    )  # fmt: skip


def _case(run: Run, network: Network, line: str, found: Translation) -> Case:
    b = batches.collate([found.source], [found.target])
    after = b.after[:, 0].tolist()
    source = [_shown(run.learnt.source, i) for i in found.source]
    reads, writes = ([_shown(run.learnt.target, i) for i in side[:, 0].tolist()] for side in (b.before, b.after))
    marks = tuple(Mark(t, t, word) for t, word in enumerate(writes))
    told = np.unique(np.linspace(0, max(0, len(after) - 2), min(TOLD, max(1, len(after) - 1))).round().astype(int))

    def read(network: Any) -> Tensor:
        memory, state = network.encode(b.source, b.lengths)
        o, _, _ = network.decode(b.before, memory, state)
        return torch.log_softmax(network.logits(o[:, 0]).float(), -1)

    def losses(log_p: Tensor) -> list[tuple[dict[str, int], Tensor]]:
        return [(dict.fromkeys(LAYERS, t), log_p[t, after[t]]) for t in points(len(after))]

    def attributed() -> Sequence[Attribution]:
        return [_attributed(network, b, int(t), after[t], writes[t]) for t in told]

    short = line if len(line) <= 40 else f"{line[:39]}…"
    parts = (
        Part(f"{short}: source", Input("tokens", len(source), "token", tuple(source), said=found.text),
             {"encoder": 1.0}, attributed),
        Part(f"{short}: translation", Input("tokens", len(reads), "token", tuple(reads), marks=marks, said=found.text),
             dict.fromkeys(LAYERS, 1.0)),
    )  # fmt: skip
    return Case(read, parts, losses)


def _attributed(network: Network, b: batches.Batch, t: int, token: int, word: str) -> Attribution:
    function = spoken(network, b, t, token)
    with torch.no_grad():
        e = network.embed_source(b.source).transpose(0, 1)
    found = attribution(function, e)
    return Attribution(f"log p of `{word}`, token {t + 1}{remark(found)}", found.value, found.baseline,
                       found.shares[0].sum(1))  # fmt: skip


def spoken(network: Network, b: batches.Batch, t: int, token: int) -> Any:
    """log p of what is written at step t as a function of the source's embeddings (N, S, E)."""

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


def _shown(tokens: Tokens, id: int) -> str:
    """A token as a reader may see it; one that does not begin a word has a line before it."""
    if id < len(SPECIAL):
        return SPECIAL[id]
    piece = tokens.piece(id)
    if piece in tokens.sentinels:
        return PLACEHOLDER
    if not piece.strip():
        return "␣"
    begins = piece.startswith(" ") or tokens.kind != "bpe"
    return piece.strip() if begins else f"-{piece}"
