"""The probe's view of a tagger: sentences, word by word, with their tags.

Followed and attributed is log p of a tag at its step, from the network's scores before the conditional random field, to
the inputs of the steps; the path starts at inputs of zero.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from gated import train
from gated._check import refuse, want
from gated.tasks.tag.data import Sentences
from gated.tasks.tag.model import Batch, Network
from gated.tasks.tag.run import Run
from gated.tasks.tag.search import LONGEST, Tagged
from gated.tasks.tag.series import segments
from gated.tasks.tag.training import part
from gated.views import MAX_SEQUENCES, Case, Input, Mark, Output, Part, View, keep_numbers, points, spread

ATTRIBUTED = 3  # tags of a sentence
TITLE = 40  # characters
STEPS = 300  # of a series, from its beginning


def view(run: Run, data: Any = None, count: int = 3) -> View:
    """The first sentences of a file, or of a list."""
    todo = "Name a file with a sentence a line, or of columns."
    if data is None:
        refuse("probe", "sentences: a file or a list", "none", todo)
    text = isinstance(data, str) and not os.path.exists(data) and " " in data
    sentences = run.read([data] if text else data)
    if sentences.values:
        sentences = part(sentences, [(k, 0, STEPS) for k in range(len(sentences))])
    fits = [k for k, row in enumerate(sentences.words) if 0 < len(row) <= LONGEST][: max(count, MAX_SEQUENCES)]
    want(bool(fits), "probe", f"a sentence of at most {LONGEST} words", f"{len(sentences)} others", todo)
    sentences = sentences.take(fits)
    network = run.model.network.eval()
    with train.seeded(run.config.seed):
        initial = Network(network.shape).to(network.tag.weight.device)
    cases = [_case(run, sentences.take([k]), one) for k, one in enumerate(run.tag(sentences))]
    cases = [*cases[:count], *(case.hide() for case in cases[count:])]
    return View(
        "a tagger", "tag", network, initial.eval(), cases, "log p of a tag", tuple(run.summary().splitlines()),
        keep_numbers(run.history),
    )  # fmt: skip


def _case(run: Run, sentence: Sentences, one: Tagged) -> Case:
    device, words, model = run.model.network.tag.weight.device, sentence.words[0], run.model
    batch = model.collate_values(sentence.values) if sentence.values else model.collate([words], sentence.features)
    batch = Batch(*(part.to(device) for part in batch))
    with torch.no_grad():
        best = run.model.network(batch)[0][:, 0].argmax(-1).tolist()
    text = " ".join(words) if not sentence.values else sentence.texts[0] or "the series"
    title = text if len(text) <= TITLE else f"{text[: TITLE - 1]}…"
    marks = tuple(Mark(low, high, tag) for low, high, tag in segments(one.tags) if tag != "O")
    words = words if not sentence.values else [f"step {t}" for t in range(len(words))]
    outputs = tuple(_output(run.model.network, batch, t, best[t], words[t], run.model.tags[best[t]])
                    for t in spread(len(words), ATTRIBUTED))  # fmt: skip

    def forward(network: Any) -> Tensor:
        return network(batch)[0][:, 0].log_softmax(-1)

    def losses(log_p: Tensor) -> list[tuple[dict[str, int], Tensor]]:
        return [({"encoder": t}, log_p[t, best[t]]) for t in points(len(words))]

    if sentence.values:
        curves = dict(zip(sentence.columns, sentence.values[0].T, strict=True))
        shown = Input("values", len(words), "step", values=curves, marks=marks)
    else:
        shown = Input("tokens", len(words), "word", tuple(words), marks=marks, output=" ".join(one.tags))
    return Case(forward, (Part(title, shown, {"encoder": 1.0}, outputs),), losses)


def _output(network: Network, batch: Batch, t: int, tag: int, word: str, name: str) -> Output:
    with torch.no_grad():
        x = network.read(batch).transpose(0, 1)

    def function(x: Tensor) -> Tensor:
        y, _ = network.encoder(x.transpose(0, 1))
        return network.tag(y[t]).log_softmax(-1)[:, tag]

    at = f"`{word}`, word {t + 1}" if network.shape.words else word
    return Output(f"log p of {name} at {at}", function, (x,), lambda shares: shares[0].sum(1))
