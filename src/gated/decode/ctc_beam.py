"""Prefix beam search for CTC, fed frames in chunks of any size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gated._check import refuse, shape, want, within
from gated.decode.scorer import Scorer
from gated.decode.search import FLOOR, NEG_INF, ROUNDING

LogProbs = Float[Tensor, "T V"] | Float[np.ndarray, "T V"]


class Span(NamedTuple):
    """The frames of a token, first to last, both included.

    log_prob is log p(token | x_t) of its best frame: exp of it is the token's confidence. CTC emits a token in one or
    two sharp frames with uncertain edges, so a mean over frames would underestimate the confidence.
    """

    token: int
    first: int
    last: int
    log_prob: float


class Reading(NamedTuple):
    """A text of T frames.

    tokens    without blanks
    log_prob  log p(tokens | x); a beam's is a lower bound, without the paths that it pruned
    score     the number it is ranked by
    spans     the frames of each token; None if the beam no longer has the frames
    """

    tokens: list[int]
    log_prob: float
    score: float
    spans: list[Span] | None


@dataclass(slots=True, eq=False)
class Node:
    """A prefix: its parent and its last symbol. `place` is its row in the beam, -1 outside."""

    parent: Node | None
    symbol: int
    place: int = -1
    children: dict[int, Node] = field(default_factory=dict)


class Beam:
    """Prefix beam search over frames that arrive in chunks of any size; the best texts are available at any time.

        score(y) = log p(y | x) + α log p_lm(y) + β |y| + hot(y)

    A prefix y has two log-probabilities: of its paths that end in a blank, and of those that end in its last symbol. A
    frame extends the prefixes, merges the paths to the same prefix into their sum, and keeps the `width` best by score.
    Among equals a prefix of the previous frame wins, then the one with the better parent, then the lower symbol.

    width      prefixes in the beam
    prune      symbols with a probability below this extend no prefix in a frame, except the frame's best symbol. They
               still count towards prefixes in the beam. 0: no pruning
    lm, alpha  language model, a `Scorer`, and its weight. log p below -10000 counts -10000
    beta       bonus for each symbol of y; if `separator` is given, for each word that a separator or the end ends
    separator  the symbol between words, such as that of the space
    hot        hot words, see `gated.decode.scorer.HotWords`
    floor      share of a frame's highest probability that a symbol needs where a hot word adds to it, so that a bonus
               puts in nothing of which the frames have no trace; 0 asks for none

    The beam stores prefixes as a tree of parents, and no past frames. Streaming output equals offline output to the
    bit, whatever the chunks.

    Hannun et al. 2014, algorithm 1, with p_lm separate from p(y | x), and with pruning.
    """

    def __init__(
        self,
        *,
        width: int = 16,
        prune: float = 1e-4,
        lm: Scorer | None = None,
        alpha: float = 0.5,
        beta: float = 0.0,
        separator: int | None = None,
        hot: Scorer | None = None,
        floor: float = 0.0,
    ) -> None:
        within("Beam width", width, 1)
        within("Beam floor", floor, 0, 1)
        within("Beam prune", prune, 0, 1)
        within("Beam alpha", alpha, 0)
        want(math.isfinite(beta), "Beam beta", "a finite number", beta)
        within("Beam separator", 1 if separator is None else separator, 1)
        self.width, self.beta, self.separator = width, beta, separator
        self.min_log_p = math.log(prune) if prune else NEG_INF
        pairs = [(alpha, lm if alpha else None), (1.0, hot)]
        self.scorers = [(weight, scorer) for weight, scorer in pairs if scorer is not None]
        self.min_hot = math.log(floor) if floor and hot is not None else None
        self.frames = 0  # so far
        self.V: int | None = None

        self.nodes = [Node(None, 0, place=0)]
        starts = [scorer.start() for _, scorer in self.scorers]
        self.states = [[state] for state, _ in starts]  # by scorer, a state for each prefix
        self.bonus = np.zeros(1)  # (K,) scores besides log p so far
        self.next_bonus: np.ndarray | None = None  # (K, V) what each symbol adds to them; at 0 what the end adds
        self.boosted = np.zeros((1, 1), bool)  # (K, V) the symbols to which hot words add
        if starts:
            self.V = len(starts[0][1])
            rows = [np.asarray(row)[None] for _, row in starts]
            self.next_bonus, self.boosted = self._weigh(rows, np.zeros(1, dtype=np.int64)), rows[-1] > 0
        self.blank, self.symbol, self.total = np.zeros(1), np.full(1, NEG_INF), np.zeros(1)  # (K,) log p of paths
        self._link()

    def feed(self, log_probs: LogProbs) -> Beam:
        """Process t more frames, (t, V), t ≥ 0; returns itself."""
        x = check_frames("Beam log_probs", log_probs, self.frames)
        T, V = x.shape
        if self.V is None:
            self.V = V
        want(V == self.V, "Beam log_probs", f"{self.V} symbols, as before and as the language model's", V)
        within("Beam separator", self.separator or 0, 0, V - 1)
        if self.next_bonus is None and self.beta:
            self.next_bonus = self._weigh([], np.zeros(1, dtype=np.int64))
        likely = x >= self.min_log_p
        likely[np.arange(T), x.argmax(1)] = True
        likely[:, 0] = False
        steps = np.flatnonzero(likely.any(1)).tolist()
        symbols = dict(zip(steps, map(np.flatnonzero, likely[steps]), strict=True))
        for t, p in enumerate(x):
            self._advance(p, symbols.get(t))
        self.frames += T
        return self

    def best(self, n: int = 1, *, end: bool = False) -> list[Reading]:
        """The n best texts so far, best first, or fewer if there are fewer.

        end: score them as complete texts, with the language model's p(end) and the last word, and without the partial
        boosts of unfinished hot words.
        """
        score = self.total + self.bonus
        if end and self.next_bonus is not None:
            score = score + self.next_bonus[:, 0]
        order = np.argsort(-score, kind="stable")[:n].tolist()
        return [Reading(_tokens(self.nodes[k]), float(self.total[k]), float(score[k]), None) for k in order]

    def _advance(self, p: np.ndarray, symbols: np.ndarray | None) -> None:
        """One frame: every prefix, unchanged or extended by one of the symbols; the best ones stay."""
        blank, symbol = self.total + p[0], self.symbol + p[self.last]
        if len(self.child):
            through = np.where(self.repeats, self.blank[self.parent], self.total[self.parent])
            symbol[self.child] = np.logaddexp(symbol[self.child], through + p[self.last[self.child]])
        total = np.logaddexp(blank, symbol)
        if symbols is None:
            self.blank, self.symbol, self.total = blank, symbol, total
            return

        K, S = len(total), len(symbols)
        again = self.last[:, None] == symbols
        extension = np.where(again, self.blank[:, None], self.total[:, None]) + p[symbols]
        if len(self.child):  # merged into prefixes that are in the beam already
            column = np.searchsorted(symbols, self.last[self.child]).clip(max=S - 1)
            match = symbols[column] == self.last[self.child]
            extension[self.parent[match], column[match]] = NEG_INF
        if self.min_hot is not None:  # a hot word's bonus alone puts in no symbol that the frame does not have
            extension[self.boosted[:, symbols] & (p[symbols] < p.max() + self.min_hot)] = NEG_INF
        bonus = self.bonus[:, None] + (0.0 if self.next_bonus is None else self.next_bonus[:, symbols])
        score, candidate = total + self.bonus, (extension + bonus).ravel()
        threshold = score.min() if self.width == K else NEG_INF
        enter = np.flatnonzero(candidate > threshold)  # a full beam admits only what is better than its worst
        keep = _top(np.concatenate([score, candidate[enter]]), self.width)
        if len(keep) == K and keep.max() < K:
            self.blank, self.symbol, self.total = blank, symbol, total
            return

        k, s = enter // S, enter % S
        log_p = extension[k, s]
        self.blank = np.concatenate([blank, np.full(len(k), NEG_INF)])[keep]
        self.symbol = np.concatenate([symbol, log_p])[keep]
        self.total = np.concatenate([total, log_p])[keep]
        self.bonus = np.concatenate([self.bonus, np.broadcast_to(bonus, extension.shape)[k, s]])[keep]
        fresh = keep >= K
        new = keep[fresh] - K
        parent, token = k[new], symbols[s[new]]
        self._score(keep, fresh, parent, token)
        self._replace(keep.tolist(), zip(parent.tolist(), token.tolist(), strict=True))

    def _score(self, keep: np.ndarray, fresh: np.ndarray, parent: np.ndarray, token: np.ndarray) -> None:
        """Step every scorer once, for all new prefixes; the other prefixes keep their states and rows."""
        rows, tokens = [], token.tolist()
        for i, (_, scorer) in enumerate(self.scorers):
            old = self.states[i]
            states, row = scorer.step([old[k] for k in parent], tokens) if tokens else ([], None)
            new = iter(states)
            self.states[i] = [next(new) if f else old[k] for k, f in zip(keep.tolist(), fresh.tolist(), strict=True)]
            rows.append(row)
        if self.next_bonus is None:
            return
        bonus = np.empty((len(keep), self.next_bonus.shape[1]))
        bonus[~fresh] = self.next_bonus[keep[~fresh]]
        if tokens:
            bonus[fresh] = self._weigh(rows, token)
        self.next_bonus = bonus
        if self.min_hot is not None:
            boosted = np.empty(bonus.shape, bool)
            boosted[~fresh] = self.boosted[keep[~fresh]]
            if tokens:
                boosted[fresh] = np.asarray(rows[-1]) > 0
            self.boosted = boosted

    def _weigh(self, rows: list[np.ndarray], last: np.ndarray) -> np.ndarray:
        """The scorers' rows, weighted and summed, and beta, for prefixes with these last symbols."""
        bonus = np.zeros((len(last), self.V or 1))
        for (weight, scorer), row in zip(self.scorers, rows, strict=True):
            row = np.asarray(row, dtype=np.float64)
            shape(f"{type(scorer).__name__}'s log p", row, *bonus.shape)
            bonus += weight * np.maximum(row, FLOOR)
        want(not bool(np.isnan(bonus).any()), "the language model's log p", "numbers", "NaN", "Has it diverged?")
        if self.separator is None:
            bonus[:, 1:] += self.beta
        elif self.beta:
            inside = (last != 0) & (last != self.separator)
            bonus[np.ix_(inside, [0, self.separator])] += self.beta
        return bonus

    def _replace(self, keep: list[int], fresh: Iterable[tuple[int, int]]) -> None:
        """Replace the beam's prefixes, and drop the branches of the tree that lead to none of them."""
        old, fresh = self.nodes, iter(fresh)
        self.nodes = [old[k] if k < len(old) else _child(old, *next(fresh)) for k in keep]
        for node in old:
            node.place = -1
        for place, node in enumerate(self.nodes):
            node.place = place
        for node in old:
            while node.place < 0 and not node.children and node.parent is not None:
                node.parent.children.pop(node.symbol, None)
                node = node.parent
        self._link()

    def _link(self) -> None:
        """Find the prefixes whose parent is in the beam too, and those of them that repeat its last symbol."""
        self.last = np.array([node.symbol for node in self.nodes])
        place = np.array([node.parent.place if node.parent is not None else -1 for node in self.nodes])
        self.child = np.flatnonzero(place >= 0)
        self.parent = place[self.child]
        self.repeats = self.last[self.child] == self.last[self.parent]


def check_frames(where: str, log_probs: LogProbs, offset: int = 0) -> np.ndarray:
    """The frames as float64, refused if they cannot be log-probabilities; the first one is frame `offset`."""
    if isinstance(log_probs, Tensor):
        x = log_probs.detach().to("cpu", torch.float64).numpy()
    else:
        x = np.asarray(log_probs, dtype=np.float64)
    shape(where, x, "T", "V")
    want(x.shape[1] > 0, where, "at least one symbol, the blank", tuple(x.shape))
    top = x.max(1)
    fits = (top <= ROUNDING) & (top > NEG_INF)  # so written, NaN does not fit
    if not fits.all():
        t = int(np.argmin(fits))
        expected = "log-probabilities, 0 at most and one above -inf"
        todo = "Has the model diverged? Does log_softmax end it?"
        refuse(f"{where}, frame {offset + t}", expected, f"{top[t]} at most", todo)
    return x


def _child(nodes: list[Node], k: int, symbol: int) -> Node:
    """The prefix k extended by a symbol: as a parent of others it may be in the tree though not in the beam."""
    children = nodes[k].children
    return children.get(symbol) or children.setdefault(symbol, Node(nodes[k], symbol))


def _top(score: np.ndarray, width: int) -> np.ndarray:
    """The indices of the `width` largest numbers above -inf, largest first, the lower index first among equals."""
    places = np.flatnonzero(score > NEG_INF)
    if len(places) > 4 * width:
        threshold = np.partition(score[places], len(places) - width)[len(places) - width]
        places = places[score[places] >= threshold]
    return places[np.argsort(-score[places], kind="stable")[:width]]


def _tokens(node: Node) -> list[int]:
    tokens = []
    while node.parent is not None:
        tokens.append(node.symbol)
        node = node.parent
    return tokens[::-1]
