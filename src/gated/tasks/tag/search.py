"""A network's scores to tags, with their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gated import data, trees
from gated.tasks.tag import spans
from gated.tasks.tag.data import Sentences
from gated.tasks.tag.model import Batch, Network, Tagger
from gated.tasks.tag.series import count_steps, hold
from gated.tasks.tag.tokens import pieces

BUDGET = 6000  # steps of a batch, padding included
LONGEST = 1000  # words of a sequence that is read at once


class Tagged(NamedTuple):
    """The tags of a sequence in the scheme of the data, each with its marginal probability."""

    tags: list[str]
    p: list[float]
    label: str = ""  # of the whole, where the data have labels
    label_p: float = 0.0
    n_best: tuple[tuple[float, list[str]], ...] = ()  # the most probable sequences of tags, with p of each


class _Part(NamedTuple):
    tags: np.ndarray  # [N, T]
    log_p: np.ndarray  # [N]
    marginals: np.ndarray  # [T, K]
    labels: np.ndarray  # [L]


def tag(taggers: Sequence[Tagger], sentences: Sentences, n_best: int = 1, shortest: str | None = None) -> list[Tagged]:
    """The tags of sentences. Long ones are read in pieces; of several taggers the scores are averaged.

    shortest: the shortest duration of a tag in series, see `series.count_steps`.
    """
    if sentences.values:
        lengths, own = [len(row) for row in sentences.values], [[k] for k in range(len(sentences))]
        parts = _run(
            taggers, lengths, n_best, lambda one, some: one.collate_values([sentences.values[i] for i in some])
        )
        for k, part in enumerate(parts):
            steps = count_steps(shortest, sentences.seconds[k])
            best = hold(part.tags[0].tolist(), np.log(part.marginals + 1e-30), steps)
            parts[k] = part._replace(tags=np.array([best, *part.tags[1:]], np.int64).reshape(len(part.tags), -1))
    else:
        cuts = [(k, *ends) for k, row in enumerate(sentences.words) if row for ends in pieces(row, LONGEST)]
        rows = [sentences.words[k][low:high] for k, low, high in cuts]
        more = [sentences.features[k][low:high] for k, low, high in cuts] if sentences.features else []
        parts = _run(taggers, [len(row) for row in rows], n_best, lambda one, some: one.collate(
            [rows[i] for i in some], [more[i] for i in some] if more else ()))  # fmt: skip
        own = [[] for _ in sentences.words]
        for n, (k, _, _) in enumerate(cuts):
            own[k].append(n)
    return [_finish(taggers[0], [parts[n] for n in some]) for some in own]


@torch.inference_mode()
def _run(taggers: Sequence[Tagger], lengths: Sequence[int], n_best: int, collate: Any) -> list[_Part]:
    out: dict[int, _Part] = {}
    networks = [one.network.eval() for one in taggers]
    for indices in data.split(lengths, BUDGET) if lengths else ():
        scores = [network(_to(network, collate(one, indices))) for one, network in zip(taggers, networks, strict=True)]
        mean = torch.stack([score for score, _ in scores]).mean(0)
        sizes = torch.tensor([lengths[i] for i in indices])
        best, log_p, p = decode(networks, mean, sizes, n_best)
        labels = [label.softmax(-1) for _, label in scores if label is not None]
        label = torch.stack(labels).mean(0).cpu().numpy() if labels else np.zeros((len(sizes), 0))
        for b, i in enumerate(indices):
            n = int(sizes[b])
            out[int(i)] = _Part(best[:, :n, b], log_p[:, b], p[:n, b], label[b])
    return [out[k] for k in range(len(lengths))]


def decode(
    networks: Sequence[Network], scores: Tensor, lengths: Tensor, n_best: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best tags [N, T, B], log p of them [N, B], and the marginals of all [T, B, K]."""
    crf = networks[0].crf
    if crf is None:
        log_p = scores.log_softmax(-1)
        top, best = log_p.max(-1)
        real = torch.arange(len(scores), device=scores.device)[:, None] < lengths.to(scores.device)
        return best[None].cpu().numpy(), top.where(real, 0).sum(0)[None].cpu().numpy(), log_p.exp().cpu().numpy()
    best, log_p = crf.n_best(scores, lengths, n_best)
    return best.cpu().numpy(), log_p.cpu().numpy(), crf.marginals(scores, lengths).cpu().numpy()


def _to(network: Network, batch: Batch) -> Batch:
    device = network.tag.weight.device
    return trees.map(lambda x: x.to(device), batch)


def _finish(tagger: Tagger, parts: Sequence[_Part]) -> Tagged:
    """One sequence from its pieces; alternatives are given where there is one piece."""
    names = [tagger.tags[k] for part in parts for k in part.tags[0]]
    p = [float(part.marginals[t, k]) for part in parts for t, k in enumerate(part.tags[0])]
    label, label_p = "", 0.0
    if tagger.labels and parts:
        mean = np.mean([part.labels for part in parts], 0)
        label, label_p = tagger.labels[int(mean.argmax())], float(mean.max())
    n_best: list[tuple[float, list[str]]] = []
    if len(parts) == 1:
        for row, log_p in zip(parts[0].tags, parts[0].log_p, strict=True):
            if np.isfinite(log_p):
                n_best.append((float(np.exp(log_p)), spans.convert([tagger.tags[k] for k in row], tagger.scheme)))
    return Tagged(spans.convert(names, tagger.scheme), p, label, label_p, tuple(n_best))
