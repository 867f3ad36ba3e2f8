"""Scores: −log p of a text, token by token, beside counting, interpolated counting and a packer."""

from __future__ import annotations

import lzma
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import nn

from gated.decode import ngram
from gated.report.tables import draw, grid, number
from gated.tasks.language.data import Corpus, Tokens
from gated.tasks.language.model import Network
from gated.tasks.language.vocabulary import Vocabulary, pack

ORDERS = {"byte": 10, "char": 10, "bpe": 5, "word": 5}  # of n-grams, the highest tried
COUNTED = 1 << 22  # tokens of training text that an n-gram counts, the last ones
SPELT = math.log(256)  # −log p of each byte of a token that is spelt out, and of its end
NAMES = {"unigram": "Unigram", "ngram": "Kneser-Ney", "xz": "xz"}


# ---- −log p


@torch.no_grad()
def surprise(network: Network, rows: Sequence[np.ndarray], *, batch: int = 16, window: int = 512) -> list[np.ndarray]:
    """−log p of every token of each text (N,), given those before it, in nats; the state goes through each text.

    The result depends neither on the batch nor on the window.
    """
    network.eval()
    device = network.bias.device
    out: list[np.ndarray] = []
    for first in range(0, len(rows), batch):
        some = rows[first : first + batch]
        targets = nn.utils.rnn.pad_sequence([torch.from_numpy(row.astype(np.int64)) for row in some])
        inputs = torch.cat([targets.new_zeros(1, len(some)), targets[:-1]])
        nats, states = torch.zeros(targets.shape, dtype=torch.float64), None
        for t in range(0, len(targets), window):
            y = targets[t : t + window].to(device)
            h, states, _ = network(inputs[t : t + window].to(device), states)
            z = network.logits(h).float()
            nats[t : t + window] = (z.logsumexp(-1) - z.gather(-1, y[..., None])[..., 0]).double().cpu()
        out += [nats[: len(row), k].numpy() for k, row in enumerate(some)]
    return out


def spell(tokens: Tokens) -> float:
    """−log p of the spelling of all unknown tokens, a uniform byte at a time: what `<unk>` alone leaves open."""
    return sum(count * SPELT * (1 + len(pack(token))) for token, count in tokens.unknown.items())


def measure(nats: float, tokens: Tokens) -> dict[str, Any]:
    """One sum of −log p in all its units."""
    words = max(tokens.words, 1)
    return {
        "nats": nats / tokens.characters,
        "bits_per_byte": nats / math.log(2) / tokens.bytes,
        "perplexity": math.exp(min(nats / words, 700.0)),
        "loss": nats / len(tokens),
    }


# ---- baselines


def fit_ngram(
    ids: Integer[np.ndarray, " N"], vocabulary: Vocabulary, order: int | None = None, valid: np.ndarray | None = None
) -> ngram.NGram:
    """The n-gram of a training text; without an order that which is best on `valid`."""
    return ngram.kneser_ney(np.asarray(ids[-COUNTED:]), len(vocabulary), order or ORDERS[vocabulary.level], valid)


def score(
    nats: Float[np.ndarray, " N"], tokens: Tokens, corpus: Corpus, train: Integer[np.ndarray, " M"],
    counted: ngram.NGram, vocabulary: Vocabulary,
) -> dict[str, Any]:  # fmt: skip
    """The model's figures, with those of its baselines, all on this text.

    nats (per character), bits_per_byte, perplexity (per word, line ends among them) and loss (per token) are one sum of
    −log p over all tokens of the text. An unknown token counts −log p of `<unk>` and log 256 for each byte of it and
    its end, so that levels compare. unigram: counts of the training text. ngram: interpolated Kneser-Ney of the same
    level. xz: bits per byte of the packed text.
    """
    ids = np.asarray(tokens.ids).astype(np.int64)
    spelling = spell(tokens)
    counts = np.bincount(np.asarray(train[-COUNTED:]).astype(np.int64), minlength=len(vocabulary)) + 1.0
    unigram = float(-np.log(counts / counts.sum())[ids].sum())
    packed = compress(corpus)
    baselines = {
        "unigram": measure(unigram + spelling, tokens),
        "ngram": measure(float(-counted.log_probs(ids).sum()) + spelling, tokens) | {"order": counted.order},
        "xz": measure(8 * packed * math.log(2), tokens),
    }
    unknown = {"count": sum(tokens.unknown.values()), "nats": spelling}
    sizes = {"tokens": len(tokens), "characters": tokens.characters, "bytes": tokens.bytes, "words": tokens.words}
    return measure(float(nats.sum()) + spelling, tokens) | sizes | {
        "level": vocabulary.level, "unknown": unknown, "baselines": baselines,
    }  # fmt: skip


def compress(corpus: Corpus) -> int:
    """Bytes of the text packed by xz."""
    packer, size = lzma.LZMACompressor(preset=6), 0
    corpus.file.seek(0)
    while block := corpus.file.read(1 << 20):
        size += len(packer.compress(block))
    return size + len(packer.flush())


def table(result: dict[str, Any]) -> str:
    """A score for people, best first, and who wins."""
    rows = {"model": result, **result["baselines"]}
    names = {"model": result.get("model", "Network")} | NAMES
    order = result["baselines"]["ngram"]["order"]
    names["ngram"] += f" {order}-gram"
    ranked = sorted(rows, key=lambda name: rows[name]["nats"])
    sheet = grid("", "nats/character", "bits/byte", "perplexity/word")
    for name in ranked:
        one, best = rows[name], " ◂ best" if name == ranked[0] else ""
        cells = (number(one["nats"], 4), number(one["bits_per_byte"], 3), f"{one['perplexity']:,.1f}")
        sheet.add_row(names[name] + best, *cells)
    ours, theirs = result["nats"], result["baselines"]["ngram"]["nats"]
    verdict = "the network wins" if ours < theirs else "counting wins"
    counted = f"{names['ngram']} {theirs:.3f}, network {ours:.3f} nats"
    text = f"{result['tokens']:,} tokens, level {result['level']}. {counted}: {verdict}."
    return "\n".join([draw(sheet), text, *result.get("notes", ())])
