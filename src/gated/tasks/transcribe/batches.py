"""Examples to batches: which examples make batch n, their augmentation and normalisation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gated import data
from gated.tasks.transcribe import augment
from gated.tasks.transcribe.frames import Stats, normalise

JITTER = 0.07  # of a length, by which an epoch may misjudge it, so that batches mix
GAP = 25  # frames or columns of silence between joined examples, at most
ATTENUATION = 6.0  # of inserted silence, in nepers below the quietest 5 % of frames, at most
SILENCE = (-16.0, -9.0)  # log energy of inserted silence that is independent of the examples
SPARE = 2.5  # budgets that a batch may take with its padding
GROW = 4  # epochs until one more example may be joined: separating words needs known words


class Example(NamedTuple):
    """Frames, not normalised, and the symbols of their text."""

    x: np.ndarray  # [rows, frames]
    tokens: list[int]
    speaker: str = ""


class Batch(NamedTuple):
    """B examples padded with zeros, and their symbols end to end."""

    x: Float[Tensor, "B R T"]
    lengths: Int64[Tensor, " B"]
    tokens: Int64[Tensor, " N"]
    counts: Int64[Tensor, " B"]


@dataclass(frozen=True)
class BatchOptions:
    """How examples become batches."""

    sound: bool
    augment: float = 0.0  # strengths
    mask: float = 0.0
    join: int = 1  # examples concatenated, at most
    separator: tuple[int, ...] = ()  # the symbols between joined examples
    normalise: str = "utterance"
    stats: dict[str, Stats] = field(default_factory=dict)  # of each speaker


def bucket(
    examples: Sequence[Example], budget: int, options: BatchOptions, seed: int = 0
) -> tuple[Callable[[int], Batch], int]:
    """n -> batch n, of examples of like length in another order every epoch; and the batches of an epoch.

    A batch has about `budget` frames, and with its padding at most a few times as many, unless it is one example. Batch
    n is a function of n and the arguments alone.
    """
    lengths = np.array([one.x.shape[1] for one in examples])
    speakers = np.array([one.speaker for one in examples])
    shares = max(1, round((lengths.sum() + (options.join > 1) * GAP / 2 * len(lengths)) / budget))
    extra = len(_cut_uneven(np.sort(lengths), _cut_equal(np.sort(lengths), shares), budget)) - 1 - shares
    count = shares + extra

    def plan(epoch: int, rng: np.random.Generator) -> list[list[np.ndarray]]:
        groups = _join(speakers, min(options.join, 1 + epoch // GROW), rng)
        sizes = np.array([lengths[group].sum() for group in groups])
        order = np.argsort(sizes * rng.uniform(1 - JITTER, 1 + JITTER, len(sizes)))
        ends = _cut_uneven(sizes[order], _cut_equal(sizes[order], shares), budget, extra)
        firsts = np.minimum(ends[:-1], len(groups) - 1)  # a share without an example takes the next one
        return [[groups[k] for k in order[a : max(b, a + 1)]] for a, b in zip(firsts, ends[1:], strict=True)]

    group = data.grouped(plan, count, seed)

    def batch(n: int) -> Batch:
        return collate(examples, group(n), options, np.random.default_rng((seed, n, 1)))

    return batch, count


def _cut_equal(sizes: np.ndarray, shares: int) -> list[int]:
    """The ends of shares of about equal sums, 0 first."""
    total = np.cumsum(sizes)
    return [0, *np.searchsorted(total, total[-1] * np.arange(1, shares) / shares).tolist(), len(sizes)]


def _cut_uneven(sizes: np.ndarray, ends: list[int], budget: int, times: int | None = None) -> list[int]:
    """Cut shares whose padding is over the budget, as of one long example among short ones; or so many times."""
    ends = list(ends)
    while times is None or times > 0:
        cost = [(b - a) * sizes[a:b].max(initial=0) if b > a + 1 else 0 for a, b in itertools.pairwise(ends)]
        k = int(np.argmax(cost))
        if times is None and cost[k] <= SPARE * budget:
            break
        first, last = ends[k], ends[k + 1]
        if cost[k]:
            short = np.maximum.accumulate(sizes[first : last - 1])
            long = np.maximum.accumulate(sizes[first + 1 : last][::-1])[::-1]
            n = np.arange(1, last - first)
            first += 1 + int(np.argmin(n * short + (last - first - n) * long))
        ends.insert(k + 1, first)
        times = None if times is None else times - 1
    return ends


def _join(speakers: np.ndarray, longest: int, rng: np.random.Generator) -> list[np.ndarray]:
    """All examples once, in groups of 1 to `longest` of one speaker."""
    order = rng.permutation(len(speakers))
    if longest == 1:
        return list(order[:, None])
    groups = []
    for speaker in np.unique(speakers):
        own = order[speakers[order] == speaker]
        ends = np.cumsum(rng.integers(1, longest + 1, len(own)))
        groups += np.split(own, ends[ends < len(own)])
    return groups


def collate(
    examples: Sequence[Example], groups: Sequence[np.ndarray], options: BatchOptions, rng: np.random.Generator
) -> Batch:
    """The batch of groups of examples to be joined, augmented and normalised."""
    rows = [[examples[k] for k in group] for group in groups]
    x, lengths = pad([_concatenate(parts, options, rng) for parts in rows])
    if options.augment:
        change = augment.perturb if options.sound else augment.warp
        x, lengths = change(x, lengths, rng, options.augment)
    if options.sound:
        own = [options.stats[parts[0].speaker] for parts in rows]
        real = [row[:, :length].numpy() for row, length in zip(x, lengths.tolist(), strict=True)]
        x, _ = pad([normalise(row, options.normalise, stats) for row, stats in zip(real, own, strict=True)])
        if options.mask:
            x = augment.mask(x, lengths, rng, options.mask)
    tokens = [parts[0].tokens + [k for one in parts[1:] for k in (*options.separator, *one.tokens)] for parts in rows]
    flat = torch.tensor([k for row in tokens for k in row], dtype=torch.int64)
    return Batch(x, lengths, flat, torch.tensor([len(row) for row in tokens]))


def split(xs: Sequence[np.ndarray], budget: int) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """All frames once, in batches of like length: the indices, x and lengths of each."""
    for indices in data.split([x.shape[1] for x in xs], budget):
        yield indices.tolist(), *pad([xs[k] for k in indices])


def pad(xs: Sequence[np.ndarray]) -> tuple[Float[Tensor, "B R T"], Int64[Tensor, " B"]]:
    """A batch of frames, with zeros after the shorter ones, and their lengths."""
    lengths = [x.shape[1] for x in xs]
    out = np.zeros((len(xs), len(xs[0]), max(lengths)), np.float32)
    for row, x in zip(out, xs, strict=True):
        row[:, : x.shape[1]] = x
    return torch.from_numpy(out), torch.tensor(lengths)


def _concatenate(parts: Sequence[Example], options: BatchOptions, rng: np.random.Generator) -> np.ndarray:
    """The frames of joined examples, with silence before, between and after them."""
    if options.join == 1:
        return parts[0].x
    rows, frequency = len(parts[0].x), rng.choice((0.0, 0.5, 1.0))  # of gaps
    level = np.full((rows, 1), rng.uniform(*SILENCE))
    if options.sound and rng.random() < 0.8:
        quiet = np.min([np.partition(one.x, one.x.shape[1] // 20, 1)[:, one.x.shape[1] // 20] for one in parts], 0)
        level = quiet[:, None] - rng.uniform(0, ATTENUATION)

    def gap() -> np.ndarray:
        width = int(rng.integers(0, GAP + 1)) if rng.random() < frequency else 0
        return level + rng.normal(0, 0.6, (rows, width)) if options.sound else np.zeros((rows, width))

    return np.concatenate([gap(), *(x for part in parts for x in (part.x, gap()))], 1)
