"""p(w) = softmax(logits)_w, and of words that were not in the training data that of the unknown."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from gated.tasks.counts.task import TASK, Config
from torch import nn

from gated import data, runs
from gated._check import InputError, want
from gated.options import make


class Unigrams(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(size))


@dataclass(frozen=True)
class Run:
    config: Config
    words: tuple[str, ...]  # the first stands for the unknown
    network: Unigrams
    metrics: dict
    history: list
    notes: tuple[str, ...] = ()

    def predict(self, lines):
        """Of every line the mean log p of its words."""
        table = dict(zip(self.words, self.network.logits.detach().double().log_softmax(0).tolist(), strict=True))
        scores = [[table.get(word, table["<unk>"]) for word in line.split()] for line in lines]
        return [sum(one) / len(one) if one else 0.0 for one in scores]

    def score(self, path):
        lines = read(path)
        nats = -sum(self.predict(lines)) / len(lines)
        return {"nats": nats, "baselines": {"uniform": {"nats": math.log(len(self.words))}}}

    def save(self, folder):
        runs.save(TASK, folder, self, self.network, {"words": list(self.words)})

    def summary(self):
        return runs.summary(self, [f"{self.metrics['words']} words in {self.metrics['lines']} lines."])


def read(path):
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: expected a file of text, got none. Name another.") from None
    want(bool(lines), str(path), "at least one line", "none")
    return lines


def fit(source, config=None, *, out=None, resume=False, overwrite=False, progress=True, **words):
    config = make(Config, words, config)
    with runs.start(TASK, out, resume, overwrite, progress) as job:
        lines = [line.split() for line in read(source)]
        known = ("<unk>", *sorted({word for line in lines for word in line}))
        index = {word: k for k, word in enumerate(known)}
        network = Unigrams(len(known))
        draw = data.shuffled(len(lines), config.batch, config.seed)

        def batch(n):
            return torch.tensor([index[word] for k in draw(n).tolist() for word in lines[k]])

        def loss(network, target):
            logits = network.logits + config.spread * torch.randn(len(known))
            return nn.functional.cross_entropy(logits.expand(len(target), -1), target)

        told = runs.fit(network, loss, batch, config, job, data=lines, steps=config.steps or 20)
        metrics = {"words": len(known) - 1, "lines": len(lines), "steps": told.steps}
        return job.finish(Run(config, known, network, metrics, told.rows))


def load(folder):
    def restore(stored, **common):
        words = stored.extras["words"]
        network = Unigrams(len(words))
        network.load_state_dict(stored.state)
        want(bool(network.logits.isfinite().all()), f"run folder {folder}", "finite weights", "others")
        return Run(words=tuple(words), network=network, **common)

    return runs.load(TASK, folder, restore)
