"""Which examples make batch n, and what is done to them on the way to the network."""

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
from gated.features.fbank import PRIOR, STILL
from gated.tasks.transcribe import augment
from gated.tasks.transcribe.augment import inside
from gated.tasks.transcribe.warp import warp

JITTER = 0.07  # of a length, by which an epoch may misjudge it, so that the same examples do not always meet
GAP = 25  # frames between joined examples of sound, at most; of print, columns
HUSH = 6.0  # nepers of energy by which a gap may be softer than the softest frames beside it
DEAD = (-16.0, -9.0)  # log energy of gaps that know nothing of what is beside them
SPARE = 2.5  # budgets that a batch may take with its padding
GROW = 4  # epochs until one more example may be joined: a network that is to part words must have met some


class Example(NamedTuple):
    """What the network reads, not normalised, and is to write; whose it is, if that is known."""

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
class Manner:
    """How examples become batches."""

    sound: bool
    augment: float = 0.0
    mask: float = 0.0
    join: int = 1
    between: tuple[int, ...] = ()  # the symbols between joined examples
    normalise: str = "utterance"
    figures: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # mean and std, "" those of all


def bucketed(
    examples: Sequence[Example], budget: int, manner: Manner, seed: int = 0
) -> tuple[Callable[[int], Batch], int]:
    """n -> batch n, and how many batches make an epoch.

    A batch has about `budget` frames, of examples of like length, and with its padding no more than some times as many
    if it is not one example. Batch n is a function of n and what was given alone.
    """
    lengths = np.array([one.x.shape[1] for one in examples])
    speakers = np.array([one.speaker for one in examples])
    shares = max(1, round((lengths.sum() + (manner.join > 1) * GAP / 2 * len(lengths)) / budget))
    more = len(_uneven(np.sort(lengths), _equal(np.sort(lengths), shares), budget)) - 1 - shares
    count = shares + more

    def plan(epoch: int, rng: np.random.Generator) -> list[list[np.ndarray]]:
        strings = _strings(speakers, min(manner.join, 1 + epoch // GROW), rng)
        sizes = np.array([lengths[string].sum() for string in strings])
        order = np.argsort(sizes * rng.uniform(1 - JITTER, 1 + JITTER, len(sizes)))
        ends = _uneven(sizes[order], _equal(sizes[order], shares), budget, more)
        firsts = np.minimum(ends[:-1], len(strings) - 1)  # with a long example among few, a share may hold none
        return [[strings[k] for k in order[a : max(b, a + 1)]] for a, b in zip(firsts, ends[1:], strict=True)]

    group = data.grouped(plan, count, seed)

    def batch(n: int) -> Batch:
        return learnt(examples, group(n), manner, np.random.default_rng((seed, n, 1)))

    return batch, count


def _equal(sizes: np.ndarray, shares: int) -> list[int]:
    """Where shares of like sum begin, and where the last ends."""
    total = np.cumsum(sizes)
    return [0, *np.searchsorted(total, total[-1] * np.arange(1, shares) / shares).tolist(), len(sizes)]


def _uneven(sizes: np.ndarray, ends: list[int], budget: int, times: int | None = None) -> list[int]:
    """Shares whose padding takes too much memory, such as of one long example among many short, cut; so many times."""
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


def _strings(speakers: np.ndarray, most: int, rng: np.random.Generator) -> list[np.ndarray]:
    """All examples once, in strings of 1 to `most` of one speaker."""
    order = rng.permutation(len(speakers))
    if most == 1:
        return list(order[:, None])
    strings = []
    for speaker in np.unique(speakers):
        mine = order[speakers[order] == speaker]
        ends = np.cumsum(rng.integers(1, most + 1, len(mine)))
        strings += np.split(mine, ends[ends < len(mine)])
    return strings


def learnt(
    examples: Sequence[Example], strings: Sequence[np.ndarray], manner: Manner, rng: np.random.Generator
) -> Batch:
    """A batch of strings of examples, changed as the manner says."""
    some = [[examples[k] for k in string] for string in strings]
    x, lengths = pad([_row(parts, manner, rng) for parts in some])
    if manner.augment:
        alter = augment.change if manner.sound else warp
        x, lengths = alter(x, lengths, rng, manner.augment)
    if manner.sound:
        x = normal(x, lengths, [parts[0].speaker for parts in some], manner)
        if manner.mask:
            x = augment.mask(x, lengths, rng, manner.mask)
    tokens = [_between([part.tokens for part in parts], manner.between) for parts in some]
    flat = torch.tensor([k for row in tokens for k in row], dtype=torch.int64)
    return Batch(x, lengths, flat, torch.tensor([len(row) for row in tokens]))


def split(xs: Sequence[np.ndarray], budget: int) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """All of some frames once, in batches of like length: which they are, x and lengths."""
    for mine in data.split([x.shape[1] for x in xs], budget):
        yield mine.tolist(), *pad([xs[k] for k in mine])


def pad(xs: Sequence[np.ndarray]) -> tuple[Float[Tensor, "B R T"], Int64[Tensor, " B"]]:
    """Frames side by side, with zeros after them."""
    lengths = [x.shape[1] for x in xs]
    out = np.zeros((len(xs), len(xs[0]), max(lengths)), np.float32)
    for row, x in zip(out, xs, strict=True):
        row[:, : x.shape[1]] = x
    return torch.from_numpy(out), torch.tensor(lengths)


def _row(parts: Sequence[Example], manner: Manner, rng: np.random.Generator) -> np.ndarray:
    """Examples in a row, with gaps before, between and after them if they may be joined."""
    if manner.join == 1:
        return parts[0].x
    rows, apart = len(parts[0].x), rng.choice((0.0, 0.5, 1.0))  # how often there is a gap at all
    soft = np.full((rows, 1), rng.uniform(*DEAD))
    if manner.sound and rng.random() < 0.8:
        quiet = np.min([np.partition(one.x, one.x.shape[1] // 20, 1)[:, one.x.shape[1] // 20] for one in parts], 0)
        soft = quiet[:, None] - rng.uniform(0, HUSH)

    def gap() -> np.ndarray:
        wide = int(rng.integers(0, GAP + 1)) if rng.random() < apart else 0
        return soft + rng.normal(0, 0.6, (rows, wide)) if manner.sound else np.zeros((rows, wide))

    return np.concatenate([gap(), *(piece for part in parts for piece in (part.x, gap()))], 1)


def _between(parts: Sequence[list[int]], separator: tuple[int, ...]) -> list[int]:
    out = list(parts[0])
    for part in parts[1:]:
        out += [*separator, *part]
    return out


def normal(
    x: Float[Tensor, "B R T"], lengths: Int64[Tensor, " B"], speakers: Sequence[str], manner: Manner
) -> Float[Tensor, "B R T"]:
    """What `frames.normal` does, for a batch: x normalised, and 0 beyond the lengths."""
    there = inside(lengths, x.shape[2])[:, None]
    if manner.normalise == "speaker":
        sides = [torch.from_numpy(np.stack([manner.figures[who][k] for who in speakers])) for k in (0, 1)]
        mean, std = (side[:, :, None].float() for side in sides)
        return (x - mean) / std.clamp(min=STILL) * there
    mean, std = (torch.from_numpy(side)[:, None] for side in manner.figures[""])
    d = (x - mean) * there
    if manner.normalise == "running":
        count, sums, squares = torch.arange(1, x.shape[2] + 1), d.cumsum(2), (d * d).cumsum(2)
    else:
        count, sums, squares = lengths[:, None, None], d.sum(2, keepdim=True), (d * d).sum(2, keepdim=True)
    n = PRIOR + count
    ahead = sums / n
    spread = ((PRIOR * std.clamp(min=STILL) ** 2 + squares) / n - ahead**2).clamp(min=STILL**2)
    return ((d - ahead) / spread.sqrt() * there).float()
