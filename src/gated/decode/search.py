"""The loop that all searches share, its arguments and its result."""

from __future__ import annotations

import itertools
import math
from bisect import insort
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gated import trees
from gated._check import refuse, shape, want, within
from gated.decode.pick import Rules, apply_rules

FLOOR = -1e4  # log p of a token of probability 0 that is forced
MIN_COVERAGE = 1e-9  # of a source position without attention, so that its logarithm is finite
ROUNDING = 1e-3  # how far rounding may lift a log-probability above 0
NEG_INF = -math.inf  # log P where there is no hypothesis

Step = Callable[[Tensor, Any, Any], tuple[Tensor, Any, Tensor | None]]
Pick = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]  # log_probs, sentences, t -> values and tokens (B, K, W)
Limit = int | Sequence[int] | Int64[Tensor, " B"]
Prefixes = Sequence[Sequence[int]]
Lengths = Sequence[int] | Int64[Tensor, " B"]


class Hypothesis(NamedTuple):
    """A finished sequence of T tokens.

    tokens     without BEGIN and END
    score      the number it is ranked by
    log_prob   Σ log p(token | the tokens before), END's and forced tokens' included
    attention  (T + 1, S), a row for each token and one for END, on the CPU; without padding if `lengths` is given; None
               if the model has none
    ended      False if the limit forced its END
    """

    tokens: list[int]
    score: float
    log_prob: float
    attention: Tensor | None
    ended: bool


class Sentences(NamedTuple):
    """The arguments for each of B sentences."""

    limits: Int64[Tensor, " B"]
    prefixes: Int64[Tensor, "B P"]  # padded with -1; the last column is -1
    lengths: Int64[Tensor, " B"] | None


def check_arguments(
    state: Any, memory: Any, rules: Rules, limit: Limit, prefixes: Prefixes | None, lengths: Lengths | None
) -> Sentences:
    """The arguments of a search as tensors with one row for each sentence."""
    leaves = list(trees.leaves((state, memory)))
    for leaf in leaves:
        expected = "tensors in tuples, lists and dicts, or None"
        want(isinstance(leaf, Tensor), "state and memory", expected, type(leaf).__name__)
    counts = [len(x) for x in (*leaves[:1], limit, prefixes, lengths) if x is not None and not isinstance(x, int)]
    expected, todo = "a tensor in state or memory, or a list of limits", "How many sentences?"
    want(len(counts) > 0, "decode", expected, "neither", todo)
    B = counts[0]
    for name, at, tree in (("state", (B, 1), state), ("memory", (B,), memory)):
        for x in trees.leaves(tree):
            want(x.shape[: len(at)] == at, name, f"tensors ({', '.join(map(str, at))}, ...)", tuple(x.shape))
    limits = [limit] * B if isinstance(limit, int) else [int(count) for count in limit]
    words = [[] for _ in range(B)] if prefixes is None else [[int(token) for token in prefix] for prefix in prefixes]
    sizes = None if lengths is None else [int(size) for size in lengths]
    for name, listed in (("limit", limits), ("prefixes", words), ("lengths", sizes)):
        want(listed is None or len(listed) == B, name, f"{B}, one for each sentence", listed and len(listed))
    for s, (count, prefix) in enumerate(zip(limits, words, strict=True)):
        within("limit", count, 0)
        want(len(prefix) <= count, f"prefixes[{s}]", f"at most limit ({count}) tokens", len(prefix))
        want(rules.end not in prefix, f"prefixes[{s}]", f"no end ({rules.end})", prefix)
        want(min(prefix, default=0) >= 0, f"prefixes[{s}]", "tokens of at least 0", prefix)
    to_tensor = partial(torch.tensor, dtype=torch.int64, device=leaves[0].device if leaves else "cpu")
    P = 1 + max(map(len, words), default=0)
    table = to_tensor([prefix + [-1] * (P - len(prefix)) for prefix in words]).view(B, P)
    return Sentences(to_tensor(limits), table, None if sizes is None else to_tensor(sizes))


@torch.no_grad()
def search(
    step: Step,
    state: Any,
    memory: Any,
    rules: Rules,
    sentences: Sentences,
    *,
    pick: Pick,
    width: int = 1,
    n_best: int = 1,
    alpha: float = 0.0,
    beta: float = 0.0,
) -> list[list[Hypothesis]]:
    """At each step, until every sentence is done: `pick` proposes, the best compete, some end, the others continue."""
    limits, forced, lengths = sentences
    B, K, device = len(limits), 1, limits.device
    if B == 0:
        return []
    most = int(forced.max())
    max_lp = ((6 + limits.double()) / 6) ** alpha  # the largest length penalty within the limit
    finished: list[list[tuple]] = [[] for _ in range(B)]  # the n_best: (-score, log P, tokens, rows of attention)
    worst = torch.full((B,), NEG_INF, dtype=torch.float64, device=device)  # the lowest score of n_best
    room = torch.full((B,), width, device=device)  # free places of the beam

    sentence = torch.arange(B, device=device)  # the sentences that are not done
    last = torch.full((B, 1), rules.begin, device=device)
    total = torch.zeros(B, 1, dtype=torch.float64, device=device)  # log P
    tokens = rows = torch.zeros(B, 1, 0, dtype=torch.int64, device=device)
    attentions, count = [], 0  # of all steps, as rows; a hypothesis holds the numbers of its rows
    coverage = torch.zeros(B, 1, 1, dtype=torch.float64, device=device)

    for t in itertools.count():
        log_probs, state, attention = step(last, state, memory)
        _check_log_probs(log_probs, sentence, t, B, K)
        for name, token in (("Rules end", rules.end), *(("Rules forbid", token) for token in rules.forbid)):
            within(name, token, 0, log_probs.shape[-1] - 1)
        within("prefixes", most, -1, log_probs.shape[-1] - 1)
        if attention is not None:
            shape("step's attention", attention, B, K, "S")
            attentions.append(attention.flatten(0, 1).clone())
            rows = torch.cat([rows, torch.arange(count, count + B * K, device=device).view(B, K, 1)], -1)
            count += B * K
            coverage = coverage + attention if beta else coverage
        want(len(attentions) in (0, t + 1), "step's attention", "one at every step or at none", f"a change at step {t}")
        want(not beta or bool(attentions), "coverage_penalty", "a step that gives attention", None)

        values, choices = pick(apply_rules(log_probs, rules, tokens), sentence, t)
        must = torch.where(limits[sentence] == t, rules.end, forced[sentence, min(t, forced.shape[1] - 1)])
        values, choices = _force(values, choices, log_probs, must, rules.end)
        total, parent, last = _select(total, values, choices, width)
        total = total.masked_fill(torch.arange(total.shape[1], device=device) >= room[sentence, None], NEG_INF)
        alive = total > NEG_INF
        ends = alive & (last == rules.end)

        if ends.any():
            b, k = ends.nonzero(as_tuple=True)
            score, log_prob, from_ = total[b, k] / ((6 + t) / 6) ** alpha, total[b, k], parent[b, k]
            if beta and lengths is not None:
                real = torch.arange(coverage.shape[-1], device=device) < lengths[sentence[b], None]
                score = score + beta * (coverage[b, from_].clamp(MIN_COVERAGE, 1).log() * real).sum(-1)
            columns = (x.tolist() for x in (sentence[b], -score, log_prob, tokens[b, from_], rows[b, from_]))
            for s, *hypothesis in zip(*columns, strict=True):
                insort(finished[s], tuple(hypothesis), key=lambda h: h[0])  # after its equals, which are shorter
                del finished[s][n_best:]
                worst[s] = -finished[s][-1][0] if len(finished[s]) == n_best else NEG_INF
            room[sentence] -= ends.sum(1)

        alive &= ~ends
        reach = total.masked_fill(~alive, NEG_INF).amax(1) / max_lp[sentence]  # an upper bound of every later score
        stay = (reach > worst[sentence]).nonzero()[:, 0]
        if not len(stay):
            break
        place, dead = _compact(alive[stay])
        parent, last, total = (x[stay].gather(1, place) for x in (parent, last, total))
        total = total.masked_fill(dead, NEG_INF)
        move = _gatherer(stay, parent, B, K)
        state = trees.map(move, state)
        tokens, rows = torch.cat([move(tokens), last[..., None]], -1), move(rows)
        coverage = move(coverage) if beta else coverage
        if len(stay) < B:
            memory = trees.map(lambda x, stay=stay: x.index_select(0, stay), memory)
        sentence, (B, K) = sentence[stay], place.shape

    attention = torch.cat(attentions) if attentions else None
    ends, sizes = limits.tolist(), None if lengths is None else lengths.tolist()

    def make(s: int, cost: float, log_prob: float, tokens: list[int], rows: list[int]) -> Hypothesis:
        weights = (
            None if attention is None else attention[torch.tensor(rows, device=device), : sizes and sizes[s]].cpu()
        )
        return Hypothesis(tokens, -cost, log_prob, weights, len(tokens) < ends[s])

    return [[make(s, *one) for one in some] for s, some in enumerate(finished)]


def _force(
    values: Float[Tensor, "B K W"],
    choices: Int64[Tensor, "B K W"],
    log_probs: Float[Tensor, "B K V"],
    must: Int64[Tensor, " B"],
    end: int,
) -> tuple[Float[Tensor, "B K W"], Int64[Tensor, "B K W"]]:
    """Make a forced token (must >= 0) the only choice; where there is no choice, END."""
    token = torch.where((must[:, None] < 0) & values[..., 0].isneginf(), end, must[:, None])[..., None]
    value = log_probs.gather(-1, token.clamp(min=0)).clamp(min=FLOOR)
    first = torch.arange(values.shape[-1], device=values.device) == 0
    values = torch.where(token < 0, values, torch.where(first, value, NEG_INF))
    return values, torch.where(token < 0, choices, token)


def _select(
    total: Float[Tensor, "B K"], values: Float[Tensor, "B K W"], choices: Int64[Tensor, "B K W"], width: int
) -> tuple[Float[Tensor, "B M"], Int64[Tensor, "B M"], Int64[Tensor, "B M"]]:
    """The best M <= width choices: log P, parents, tokens. Equals are ordered by their parent, then by their token."""
    ranked = (total[..., None] + values).flatten(1).sort(dim=1, descending=True, stable=True)
    place = ranked.indices[:, :width]
    return ranked.values[:, :width], place // values.shape[-1], choices.flatten(1).gather(1, place)


def _compact(alive: Bool[Tensor, "B M"]) -> tuple[Int64[Tensor, "B K"], Bool[Tensor, "B K"]]:
    """Indices that move the K live hypotheses to the front, and which places are dead; those repeat the first one."""
    counts = alive.sum(1, keepdim=True)
    place = (~alive).byte().sort(dim=1, stable=True).indices[:, : int(counts.max())]
    dead = torch.arange(place.shape[1], device=alive.device) >= counts
    return torch.where(dead, place[:, :1], place), dead


def _gatherer(stay: Int64[Tensor, " b"], parent: Int64[Tensor, "b k"], B: int, K: int) -> Callable[[Tensor], Tensor]:
    """A function from tensors (B, K, ...) to (b, k, ...): of the sentences that stay, the hypotheses' parents."""
    flat = (stay[:, None] * K + parent).flatten()
    still = len(flat) == B * K and torch.equal(flat, torch.arange(B * K, device=flat.device))

    def move(x: Tensor) -> Tensor:
        want(x.shape[:2] == (B, K), "step's state", f"tensors ({B}, {K}, ...)", tuple(x.shape))
        return x if still else x.flatten(0, 1).index_select(0, flat).unflatten(0, tuple(parent.shape))

    return move


def _check_log_probs(log_probs: Tensor, sentence: Int64[Tensor, " B"], t: int, B: int, K: int) -> None:
    """Refuse what cannot be log-probabilities: a NaN would decide the search silently."""
    shape("step's log_probs", log_probs, B, K, "V")
    if not float(log_probs.amax()) <= ROUNDING:  # so written, NaN is refused
        top = log_probs.amax((1, 2))
        b = int((~(top <= ROUNDING)).nonzero()[0])
        where = f"step's log_probs at step {t}, sentence {int(sentence[b])}"
        refuse(where, "log-probabilities, 0 at most", float(top[b]), "Has the model diverged? Does log_softmax end it?")
