"""Sentences to translations, by one network or by several together."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from gated import data, decode
from gated._check import want
from gated.features.tokens import BEGIN, END, PAD, UNK, Tokens, normal
from gated.options import check, option
from gated.tasks.translate import model
from gated.tasks.translate.model import Learnt
from gated.tasks.translate.placeholders import SENTINELS, mask, repair, unmask

ROWS = 128  # sentences searched side by side
STOPS = frozenset(".!?;:,…。！？；،؟।")  # where a line that is too long is best cut, and
HOLE = "\ufdef"  # stands for an unknown word until it is known; no text that is read has it
GREEDY = 3  # of how many parts the last of a piece may lie after such a mark


@dataclass(frozen=True)
class Search:
    """How a translation is looked for."""

    width: int = option(5, "Beam width; 1 is greedy search.", low=1, high=1000)
    n_best: int = option(1, "Number of translations per sentence, best first.", low=1, high=1000)
    length_penalty: float = option(
        1.0,
        "Exponent of the length penalty; 0 ranks by log-probability and favours short translations.",
        low=0,
        high=100,
    )
    coverage_penalty: float = option(
        0.0, "Weight of the coverage penalty for source tokens without attention.", low=0, high=100
    )
    no_repeat: int = option(0, "Block repeated n-grams of this size; 0 disables it.", low=0, high=1000)
    limit: float = option(
        2.0,
        "Maximum translation length as a multiple of the source length; 10 more tokens are always allowed.",
        low=0,
        high=100,
    )
    sample: bool = option(False, "Sample translations instead of beam search.")
    temperature: float = option(1.0, "Sampling temperature.", low=1e-3, high=1e3)
    top_k: int | None = option(None, "Sample from the K most probable tokens.", low=1, high=2**31)
    top_p: float = option(
        1.0, "Sample from the smallest set of tokens with this total probability (nucleus sampling).", low=1e-9, high=1
    )
    draw: int = option(0, "Random seed of the samples.", low=0, high=2**63)
    replace_unknown: bool = option(False, "Replace each unknown token by the source word with the highest attention.")

    def __post_init__(self) -> None:
        check(self)
        todo = f"Raise width to {self.n_best}."
        want(self.sample or self.n_best <= self.width, "n_best", f"at most width, {self.width}", self.n_best, todo)


class Translation(NamedTuple):
    """One translation of one sentence."""

    text: str
    score: float  # what it was ranked by
    source: list[int]  # tokens,
    target: list[int]
    attention: np.ndarray  # and for each of these the shares that those had in it: [len(target), len(source)]


def translate(
    learnt: Sequence[Learnt], lines: Sequence[str], search: Search = Search(), *,
    prefixes: Sequence[str] | None = None, masked: bool = False,
) -> list[list[Translation]]:  # fmt: skip
    """n_best translations of every line, in the order of the lines; of an empty line an empty one.

    learnt: networks that share their tokens; their probabilities are averaged. prefixes: what the translation of each
    line must begin with, if anything; that of an empty line stays empty.

    Lines that are longer than what the networks learnt from are cut, after a mark where there is one, and their parts
    translated one by one. If the networks have met placeholders, those of the lines come through; `masked` says that
    the lines hold sentinels already, and so will the translations.
    """
    first = learnt[0]
    for other in learnt[1:]:
        same = (other.source, other.target) == (first.source, first.target)
        want(same, "ensemble", "runs with the same tokens", "others", "Fit them on the same text, with other seeds.")
    count = len(lines if prefixes is None else prefixes)
    want(count == len(lines), "prefixes", f"{len(lines)}, one for each sentence", count)
    masks = [mask(line) if first.source.sentinels and not masked else (line, []) for line in lines]
    whole = first.source.encode([line for line, _ in masks])
    parts = [(n, part) for n, ids in enumerate(whole) for part in pieces(first.source, ids, first.longest)]
    given = [""] * len(lines) if prefixes is None else prefixes
    begun = [_sealed(prefix, originals) for prefix, (_, originals) in zip(given, masks, strict=True)]
    starts = first.target.encode(begun)
    forced = [starts[n] if k == 0 or parts[k - 1][0] != n else [] for k, (n, _) in enumerate(parts)]
    counts = itertools.groupby(n for n, _ in parts)  # a draw belongs to a line and to a part of it
    numbers = [n + (k << 32) for n, mine in counts for k, _ in enumerate(mine)]
    found: list[list[decode.Hypothesis]] = [[] for _ in parts]
    order = sorted(range(len(parts)), key=lambda k: -len(parts[k][1]))
    for low in range(0, len(order), ROWS):
        mine = order[low : low + ROWS]
        hypotheses = _search(
            learnt, [parts[k][1] for k in mine], [forced[k] for k in mine], [numbers[k] for k in mine], search
        )
        for k, best in zip(mine, hypotheses, strict=True):
            found[k] = best
    by_line: list[list[tuple[list[int], list[decode.Hypothesis]]]] = [[] for _ in lines]
    for (n, part), best in zip(parts, found, strict=True):
        by_line[n].append((part, best))
    asked = zip(masks, by_line, begun, starts, strict=True)
    told = (_told(first, line, mine, search, begin, start) for (line, _), mine, begin, start in asked)
    return [[_bare(one, kept) for one in best] for best, (_, kept) in zip(told, masks, strict=True)]


@torch.inference_mode()
def _search(
    learnt: Sequence[Learnt], sources: list[list[int]], prefixes: list[list[int]], numbers: list[int], search: Search
) -> list[list[decode.Hypothesis]]:
    for one in learnt:
        one.network.eval()
    device = next(learnt[0].network.parameters()).device
    lengths = torch.tensor([len(ids) for ids in sources])
    source = data.pad(sources, PAD).to(device)
    begun = [model.begin(one.network, source, lengths.to(device)) for one in learnt]
    steps = [functools.partial(model.step, one.network) for one in learnt]
    step = steps[0] if len(steps) == 1 else decode.ensemble(steps)
    state, memory = begun[0] if len(steps) == 1 else tuple(zip(*begun, strict=True))
    rules = decode.Rules(
        begin=BEGIN, end=END, forbid=(PAD, BEGIN) if search.replace_unknown else (PAD, BEGIN, UNK),
        no_repeat=search.no_repeat, min_length=1,
    )  # fmt: skip
    sizes = zip(sources, prefixes, strict=True)
    limit = [10 + max(int(search.limit * len(ids)), len(start)) for ids, start in sizes]
    given: dict[str, Any] = dict(limit=limit, prefixes=prefixes, lengths=lengths)
    if search.sample:
        how: dict[str, Any] = dict(temperature=search.temperature, top_k=search.top_k, top_p=search.top_p)
        draws = decode.sample(
            step, state, memory, rules, n=search.n_best, seed=search.draw, indices=numbers, **how, **given
        )
        return draws
    return decode.beam(
        step, state, memory, rules, width=search.width, n_best=search.n_best,
        length_penalty=search.length_penalty, coverage_penalty=search.coverage_penalty, **given,
    )  # fmt: skip


def pieces(tokens: Tokens, ids: list[int], longest: int) -> Iterator[list[int]]:
    """A line's tokens in parts of at most `longest`, cut after a mark or else before a word where possible."""
    while len(ids) > longest:
        late = range(longest, longest // GREEDY, -1)
        marks = (k for k in late if tokens.piece(ids[k - 1]).strip() in STOPS)
        words = (k for k in late if tokens.piece(ids[k]).startswith(" "))
        cut = next(marks, next(words, longest))
        yield ids[:cut]
        ids = ids[cut:]
    if ids:
        yield ids


def _told(
    learnt: Learnt, line: str, parts: list[tuple[list[int], list[decode.Hypothesis]]], search: Search, begin: str,
    start: list[int],
) -> list[Translation]:  # fmt: skip
    """The translations of a line from those of its parts, the best of each with the best of the others."""
    if not parts:
        return [Translation("", 0.0, [], [], np.zeros((0, 0), np.float32))]
    source = [token for ids, _ in parts for token in ids]
    told = []
    for rank in range(min(len(best) for _, best in parts)):
        mine = [(ids, best[rank]) for ids, best in parts]
        target = [token for _, found in mine for token in found.tokens]
        looks, row, column = np.zeros((len(target), len(source)), np.float32), 0, 0
        for ids, found in mine:
            T = len(found.tokens)
            if found.attention is not None:
                looks[row : row + T, column : column + len(ids)] = found.attention[:T].float().cpu().numpy()
            row, column = row + T, column + len(ids)
        text = " ".join(learnt.target.decode([found.tokens for _, found in mine]))
        if UNK in target:
            text = _filled(learnt, line, source, target, looks, surface(learnt.target, begin, start))
        told.append(Translation(text, sum(found.score for _, found in mine), source, target, looks))
    return told


def _sealed(prefix: str, originals: list[str]) -> str:
    """A prefix with the sentinels of its line's placeholders."""
    for sentinel, original in zip(SENTINELS, originals, strict=False):
        prefix = prefix.replace(original, sentinel, 1)
    return prefix


def _bare(found: Translation, originals: list[str]) -> Translation:
    """With the placeholders back that sentinels stood for."""
    if not originals:
        return found
    whole = unmask(found.text, originals)
    return found._replace(text=repair(found.text, originals) if whole is None else whole)


def _filled(
    learnt: Learnt, line: str, source: list[int], target: list[int], looks: np.ndarray, begun: list[str]
) -> str:
    """The text with the source word that was looked at in the place of every unknown one (Luong et al. 2015b, §3).

    begun: what stands in the text for the first tokens, where it was given.
    """
    words = learnt.source.words(source)
    said = surface(learnt.source, line, source)
    (holes,) = learnt.target.decode([target], unknown=HOLE)
    fill = []
    for t in (t for t, token in enumerate(target) if token == UNK):
        if t < len(begun):
            fill.append(begun[t].strip())
            continue
        seen = max((at for _, at in words), key=lambda at: float(looks[t, at].sum()))
        fill.append("".join(said[k] for k in seen).strip())
    return "".join(part + word for part, word in zip(holes.split(HOLE), [*fill, ""], strict=True))


def surface(tokens: Tokens, line: str, ids: list[int]) -> list[str]:
    """What stands in the text for every token, that of unknown ones included.

    An unknown one goes on to where the known token after it stands; of several in a row each but the last is a word.
    """
    text, at, found = f" {normal(line, tokens.lower)}", 0, []
    for i, after in zip(ids, [*ids[1:], END], strict=False):  # of no tokens there is no next
        if i != UNK:
            end = at + len(tokens.piece(i))
        elif after == END:
            end = len(text)
        else:
            end = text.find(" " if after == UNK else tokens.piece(after), at + 1)
            end = len(text) if end < 0 else end
        found.append(text[at:end])
        at = end
    return found
