"""Translation of sentences by one network, or by an ensemble."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gated import data, decode
from gated._check import want
from gated.features.tokens import BEGIN, END, PAD, SPECIAL, UNK, Tokens, normal
from gated.layers.seq2seq import by_sentence, search_step
from gated.options import check, option
from gated.tasks.translate.model import Translator
from gated.tasks.translate.placeholders import SENTINELS, mask, repair

BATCH = 128  # sentences searched together
STOPS = frozenset(".!?;:,…。！？；،؟।")  # a line that is too long is split after one of these
HOLE = "\ufdef"  # in place of an unknown word until it is replaced; no input has this noncharacter


@dataclass(frozen=True)
class Search:
    """Options of the search."""

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
    score: float  # by which the n_best are ranked
    source: list[int]  # tokens
    target: list[int]
    attention: np.ndarray  # [len(target), len(source)] weights of the source tokens at each target token
    placeholders: tuple[str, ...] = ()  # that the sentinels among the tokens stand for


class Part(NamedTuple):
    """A line, or what fits the networks of a longer one."""

    line: int
    draw: int  # the index of its samples: they depend on the line and the part alone
    source: list[int]  # tokens
    prefix: list[int]  # tokens that its translations begin with


def translate(
    translators: Sequence[Translator], lines: Sequence[str], search: Search = Search(), *,
    prefixes: Sequence[str] | None = None, masked: bool = False, first: int = 0,
) -> list[list[Translation]]:  # fmt: skip
    """The n_best translations of every line; an empty line has an empty one.

    translators: an ensemble, of equal tokens; their probabilities are averaged. prefixes: the beginning of each line's
    translations, or an empty string; that of an empty line stays empty. masked: the lines hold sentinels in place of
    placeholders, and so will their translations; else placeholders are masked here and put back. first: the number of
    the first line, of which samples are a function.

    No placeholder is written more often than its line has it. A line in capitals is translated in the case that the
    vocabulary knows, into capitals. A line longer than the training sentences is split,
    after punctuation if possible, and translated in parts.
    """
    translator = translators[0]
    for other in translators[1:]:
        equal = (other.source, other.target) == (translator.source, translator.target)
        want(equal, "ensemble", "runs with the same tokens", "others", "Fit them on the same text, with other seeds.")
    count = len(lines if prefixes is None else prefixes)
    want(count == len(lines), "prefixes", f"{len(lines)}, one for each sentence", count)
    masks = [mask(line) if translator.source.sentinels and not masked else (line, []) for line in lines]
    starts = [""] * len(lines) if prefixes is None else prefixes
    starts = [_mask_prefix(start, originals) for start, (_, originals) in zip(starts, masks, strict=True)]
    tokens, both = translator.source, zip(masks, starts, strict=True)
    cased = [line if start else recase(tokens, line) for (line, _), start in both]
    parts = list(_cut(translator, cased, starts, first))
    results: list[list[tuple[Part, list[decode.Hypothesis]]]] = [[] for _ in lines]
    order = sorted(range(len(parts)), key=lambda k: -len(parts[k].source))
    hypotheses: dict[int, list[decode.Hypothesis]] = {}
    for low in range(0, len(order), BATCH):
        batch = order[low : low + BATCH]
        hypotheses |= zip(batch, _search(translators, [parts[k] for k in batch], search), strict=True)
    for k, part in enumerate(parts):
        results[part.line].append((part, hypotheses[k]))

    def finish(one: Translation, k: int) -> Translation:
        line, originals = masks[k]
        one = one if cased[k] == line else one._replace(text=one.text.upper())
        return one._replace(text=repair(one.text, originals), placeholders=tuple(originals)) if originals else one

    return [
        [finish(one, k) for one in _join(translator, cased[k], result, starts[k])] for k, result in enumerate(results)
    ]


def recase(tokens: Tokens, line: str) -> str:
    """A line in capitals with each word as the vocabulary knows it: as it is, in lower case, or with an initial."""
    if tokens.lower or not line.isupper() or sum(map(str.isalpha, line)) < 2:
        return line

    def best(word: str) -> str:
        forms = [word, word.lower(), word.title()]
        costs = [len(ids) + 100 * ids.count(UNK) for ids in tokens.encode(forms)]
        return forms[costs.index(min(costs))]

    return " ".join(map(best, line.split(" ")))


def _cut(translator: Translator, lines: list[str], starts: Sequence[str], first: int) -> Iterator[Part]:
    """The parts of all lines; the first of a line has its prefix."""
    rows = zip(translator.source.encode(lines), translator.target.encode(starts), strict=True)
    for n, (ids, prefix) in enumerate(rows):
        for k, piece in enumerate(split(translator.source, ids, translator.longest)):
            yield Part(n, first + n + (k << 32), piece, [] if k else prefix)


def split(tokens: Tokens, ids: list[int], longest: int) -> Iterator[list[int]]:
    """A line's tokens in parts of at most `longest`, after punctuation or else before a word where possible."""
    while len(ids) > longest:
        places = range(longest, longest // 3, -1)
        stops = (k for k in places if tokens.piece(ids[k - 1]).strip() in STOPS)
        words = (k for k in places if tokens.piece(ids[k]).startswith(" "))
        cut = next(stops, next(words, longest))
        yield ids[:cut]
        ids = ids[cut:]
    if ids:
        yield ids


@torch.inference_mode()
def _search(translators: Sequence[Translator], parts: list[Part], search: Search) -> list[list[decode.Hypothesis]]:
    device = next(translators[0].network.parameters()).device
    networks = [one.network.to(device).eval() for one in translators]
    sources, prefixes = [part.source for part in parts], [part.prefix for part in parts]
    lengths = torch.tensor([len(ids) for ids in sources])
    source = data.pad(sources, PAD).to(device)
    memory, state = zip(*(network.encode(source, lengths.to(device)) for network in networks), strict=True)
    state = tuple(by_sentence(one, len(parts)) for one in state)
    step = decode.ensemble([functools.partial(search_step, network.decode, network.logits) for network in networks])
    if count := len(translators[0].target.sentinels):
        ids = torch.arange(len(SPECIAL), len(SPECIAL) + count, device=device)  # on either side
        step, state = _limit(step, count), ((source[..., None] == ids).sum(0)[:, None], state)
    rules = decode.Rules(
        begin=BEGIN, end=END, forbid=(PAD, BEGIN) if search.replace_unknown else (PAD, BEGIN, UNK),
        no_repeat=search.no_repeat, min_length=1,
    )  # fmt: skip
    limit = [10 + max(int(search.limit * len(part.source)), len(part.prefix)) for part in parts]
    given: dict[str, Any] = dict(limit=limit, prefixes=prefixes, lengths=lengths)
    if search.sample:
        return decode.sample(
            step, state, memory, rules, n=search.n_best, seed=search.draw, indices=[part.draw for part in parts],
            temperature=search.temperature, top_k=search.top_k, top_p=search.top_p, **given,
        )  # fmt: skip
    return decode.beam(
        step, state, memory, rules, width=search.width, n_best=search.n_best,
        length_penalty=search.length_penalty, coverage_penalty=search.coverage_penalty, **given,
    )  # fmt: skip


def _limit(step: decode.Step, count: int) -> decode.Step:
    """A step that writes each of `count` sentinels at most as often as its state, (B, K, count) numbers, allows."""
    low, high = len(SPECIAL), len(SPECIAL) + count

    def limited(tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any, Tensor | None]:
        left, inner = state
        left = left - (tokens[..., None] == torch.arange(low, high, device=tokens.device)).long()
        log_probs, inner, attention = step(tokens, inner, memory)
        log_probs[..., low:high].masked_fill_(left <= 0, float("-inf"))
        return log_probs, (left, inner), attention

    return limited


def _join(
    translator: Translator, line: str, result: list[tuple[Part, list[decode.Hypothesis]]], start: str
) -> list[Translation]:
    """The translations of a line from those of its parts, rank by rank."""
    if not result:
        return [Translation("", 0.0, [], [], np.zeros((0, 0), np.float32))]
    source = [token for part, _ in result for token in part.source]
    translations = []
    for rank in range(min(len(best) for _, best in result)):
        hypotheses = [best[rank] for _, best in result]
        target = [token for one in hypotheses for token in one.tokens]
        weights, row, column = np.zeros((len(target), len(source)), np.float32), 0, 0
        for (part, _), one in zip(result, hypotheses, strict=True):
            T, S = len(one.tokens), len(part.source)
            if one.attention is not None:
                weights[row : row + T, column : column + S] = one.attention[:T].float().cpu().numpy()
            row, column = row + T, column + S
        text = " ".join(translator.target.decode([one.tokens for one in hypotheses]))
        if UNK in target:
            text = _replace_unknown(translator, line, source, target, weights, start)
        translations.append(Translation(text, sum(one.score for one in hypotheses), source, target, weights))
    return translations


def _mask_prefix(prefix: str, originals: list[str]) -> str:
    """A prefix with the sentinels of its line's placeholders."""
    for sentinel, original in zip(SENTINELS, originals, strict=False):
        prefix = prefix.replace(original, sentinel, 1)
    return prefix


def _replace_unknown(
    translator: Translator, line: str, source: list[int], target: list[int], weights: np.ndarray, start: str
) -> str:
    """The text with each unknown token replaced by the source word of most attention (Luong et al. 2015b, §3).

    start: the prefix, whose own text is taken.
    """
    words, surfaces = translator.source.words(source), find_surfaces(translator.source, line, source)
    given = find_surfaces(translator.target, start, translator.target.encode([start])[0])
    (text,) = translator.target.decode([target], unknown=HOLE)
    fill = []
    for t in (t for t, token in enumerate(target) if token == UNK):
        if t < len(given):
            fill.append(given[t].strip())
            continue
        _, places = max(words, key=lambda word: float(weights[t, word[1]].sum()))
        fill.append("".join(surfaces[k] for k in places).strip())
    return "".join(part + word for part, word in zip(text.split(HOLE), [*fill, ""], strict=True))


def find_surfaces(tokens: Tokens, line: str, ids: list[int]) -> list[str]:
    """The text of every token, unknown ones included.

    An unknown token reaches to the known token after it; of several in a row each but the last is a word.
    """
    text, at, surfaces = f" {normal(line, tokens.lower)}", 0, []
    for i, after in zip(ids, [*ids[1:], END], strict=False):  # of no tokens there is no next
        if i != UNK:
            end = at + len(tokens.piece(i))
        elif after == END:
            end = len(text)
        else:
            end = text.find(" " if after == UNK else tokens.piece(after), at + 1)
            end = len(text) if end < 0 else end
        surfaces.append(text[at:end])
        at = end
    return surfaces
