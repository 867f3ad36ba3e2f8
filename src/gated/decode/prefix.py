"""The prefix beam of CTC: the most probable texts of frames that come a piece at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gated._check import refuse, shape, want, within
from gated.decode.guide import Guide
from gated.decode.search import FLOOR, NONE, SLACK

LogProbs = Float[Tensor, "T V"] | Float[np.ndarray, "T V"]


class Span(NamedTuple):
    """The frames of a token, first <= last, both its own.

    log_prob is log p(token | x_t) of its best frame: exp of it is the token's confidence. CTC writes a token in one
    sharp frame or two and is undecided at their edges, so that a mean over frames would doubt what is certain.
    """

    token: int
    first: int
    last: int
    log_prob: float


class Reading(NamedTuple):
    """A text of T frames.

    tokens    without blanks
    log_prob  log p(tokens | x); a beam's may be smaller, by the paths that it did not follow
    score     what it was ranked by
    spans     the frames of each token; None if the frames were not kept
    """

    tokens: list[int]
    log_prob: float
    score: float
    spans: list[Span] | None


class Node:
    """A prefix: its last symbol, after its parent. `place` is its row in the beam, -1 outside."""

    __slots__ = ("children", "parent", "place", "symbol")

    def __init__(self, parent: Node | None, symbol: int) -> None:
        self.parent = parent
        self.symbol = symbol
        self.place = -1
        self.children: dict[int, Node] = {}
        if parent is not None:
            parent.children[symbol] = self


class Beam:
    """A search that is fed frames, in pieces of any size, and can be asked at any time.

        score(y) = log p(y | x) + α log p_lm(y) + β |y| + hot(y)

    A prefix y carries log p of its paths that end in a blank and of those that end in its last symbol. A frame
    continues the `width` best prefixes by score, all paths that lead to one prefix together. Among equals the one that
    was there before, or whose parent was better, wins, then the lower symbol.

    width      prefixes side by side
    prune      in a frame, symbols less probable than this continue no prefix, but for the frame's best symbol. What
               they add to prefixes that are there is still counted. 0: none
    lm, alpha  what knows the language, see `Guide`, and its weight. log p below -10000 counts -10000
    beta       a bonus for each symbol of y; if `separator` is given, for each word that a separator or the end ends
    separator  the symbol between words, such as that of the space
    hot        words that are to be expected, see `gated.decode.guide.HotWords`

    It keeps the prefixes as a tree of parents, and nothing of frames that are past. Frames in any pieces give the same
    bits as the frames at once.

    Hannun et al. 2014, algorithm 1, with p_lm apart from p(y | x) and pruning.
    """

    def __init__(
        self,
        *,
        width: int = 16,
        prune: float = 1e-4,
        lm: Guide | None = None,
        alpha: float = 0.5,
        beta: float = 0.0,
        separator: int | None = None,
        hot: Guide | None = None,
    ) -> None:
        within("Beam width", width, 1)
        within("Beam prune", prune, 0, 1)
        within("Beam alpha", alpha, 0)
        want(math.isfinite(beta), "Beam beta", "a finite number", beta)
        within("Beam separator", 1 if separator is None else separator, 1)
        self.width, self.beta, self.separator = width, beta, separator
        self.least = math.log(prune) if prune else NONE
        pairs = [(alpha, lm if alpha else None), (1.0, hot)]
        self.guides = [(weight, guide) for weight, guide in pairs if guide is not None]
        self.frames = 0  # how many have been fed
        self.V: int | None = None

        root = Node(None, 0)
        root.place = 0
        self.nodes = [root]
        begun = [guide.start() for _, guide in self.guides]
        self.states = [[state] for state, _ in begun]  # of each guide, a state for each prefix
        self.adds: np.ndarray | None = None  # (K, V) what each symbol adds to the score besides log p; 0: what the end
        if begun:
            self.V = len(begun[0][1])
            self.adds = self._adds([np.asarray(row)[None] for _, row in begun], np.zeros(1, dtype=np.int64))
        self.added = np.zeros(1)  # (K,) what has been added
        self.blank, self.symbol, self.total = np.zeros(1), np.full(1, NONE), np.zeros(1)  # (K,) log p of paths
        self._link()

    def feed(self, log_probs: LogProbs) -> Beam:
        """Read t more frames, (t, V), maybe none; gives itself."""
        x = frames("Beam log_probs", log_probs, self.frames)
        T, V = x.shape
        if self.V is None:
            self.V = V
        want(V == self.V, "Beam log_probs", f"{self.V} symbols, as before and as the language model's", V)
        within("Beam separator", self.separator or 0, 0, V - 1)
        if self.adds is None and self.beta:
            self.adds = self._adds([], np.zeros(1, dtype=np.int64))
        may = x >= self.least
        may[np.arange(T), x.argmax(1)] = True
        may[:, 0] = False
        some = np.flatnonzero(may.any(1)).tolist()
        fresh = dict(zip(some, map(np.flatnonzero, may[some]), strict=True))
        for t, p in enumerate(x):
            self._frame(p, fresh.get(t))
        self.frames += T
        return self

    def best(self, n: int = 1, *, end: bool = False) -> list[Reading]:
        """The n best texts so far, best first, fewer if there are fewer; as texts that are over if `end` is true.

        Then the language model's p(end) and the last word count, and of a hot word that is not finished nothing does.
        """
        score = self.total + self.added
        if end and self.adds is not None:
            score = score + self.adds[:, 0]
        order = np.argsort(-score, kind="stable")[:n].tolist()
        return [Reading(_tokens(self.nodes[k]), float(self.total[k]), float(score[k]), None) for k in order]

    def _frame(self, p: np.ndarray, symbols: np.ndarray | None) -> None:
        """One frame: every prefix stays, and goes on with each of these symbols; the best are kept."""
        blank, symbol = self.total + p[0], self.symbol + p[self.last]
        if len(self.kids):
            through = np.where(self.repeats, self.blank[self.ups], self.total[self.ups]) + p[self.last[self.kids]]
            symbol[self.kids] = np.logaddexp(symbol[self.kids], through)
        total = np.logaddexp(blank, symbol)
        if symbols is None:
            self.blank, self.symbol, self.total = blank, symbol, total
            return

        K, S = len(total), len(symbols)
        again = self.last[:, None] == symbols
        grown = np.where(again, self.blank[:, None], self.total[:, None]) + p[symbols]
        if len(self.kids):  # these are in the beam already
            column = np.searchsorted(symbols, self.last[self.kids]).clip(max=S - 1)
            there = symbols[column] == self.last[self.kids]
            grown[self.ups[there], column[there]] = NONE
        more = self.added[:, None] + (0.0 if self.adds is None else self.adds[:, symbols])
        score, reached = total + self.added, (grown + more).ravel()
        worst = score.min() if self.width == K else NONE
        enter = np.flatnonzero(reached > worst)  # a full beam takes in only what is better than its worst
        keep = _best(np.concatenate([score, reached[enter]]), self.width)
        if len(keep) == K and keep.max() < K:
            self.blank, self.symbol, self.total = blank, symbol, total
            return

        k, s = enter // S, enter % S
        log_p = grown[k, s]
        self.blank = np.concatenate([blank, np.full(len(k), NONE)])[keep]
        self.symbol = np.concatenate([symbol, log_p])[keep]
        self.total = np.concatenate([total, log_p])[keep]
        self.added = np.concatenate([self.added, np.broadcast_to(more, grown.shape)[k, s]])[keep]
        fresh = keep >= K
        new = keep[fresh] - K
        parent, token = k[new], symbols[s[new]]
        self._guide(keep, fresh, parent, token)
        self._move(keep.tolist(), zip(parent.tolist(), token.tolist(), strict=True))

    def _guide(self, keep: np.ndarray, fresh: np.ndarray, parent: np.ndarray, token: np.ndarray) -> None:
        """What the guides say after the new prefixes, all asked at once; what they said of the others stays."""
        rows, tokens = [], token.tolist()
        for i, (_, guide) in enumerate(self.guides):
            old = self.states[i]
            stepped, row = guide.step([old[k] for k in parent], tokens) if tokens else ([], None)
            new = iter(stepped)
            self.states[i] = [next(new) if f else old[k] for k, f in zip(keep.tolist(), fresh.tolist(), strict=True)]
            rows.append(row)
        if self.adds is None:
            return
        adds = np.empty((len(keep), self.adds.shape[1]))
        adds[~fresh] = self.adds[keep[~fresh]]
        if tokens:
            adds[fresh] = self._adds(rows, token)
        self.adds = adds

    def _adds(self, rows: list[np.ndarray], last: np.ndarray) -> np.ndarray:
        """What each symbol adds to prefixes with this last symbol, by the guides' rows."""
        adds = np.zeros((len(last), self.V or 1))
        for (weight, guide), row in zip(self.guides, rows, strict=True):
            row = np.asarray(row, dtype=np.float64)
            shape(f"{type(guide).__name__}'s log p", row, *adds.shape)
            adds += weight * np.maximum(row, FLOOR)
        want(not bool(np.isnan(adds).any()), "the language model's log p", "numbers", "NaN", "Has it diverged?")
        if self.separator is None:
            adds[:, 1:] += self.beta
        elif self.beta:
            inside = (last != 0) & (last != self.separator)
            adds[np.ix_(inside, [0, self.separator])] += self.beta
        return adds

    def _move(self, keep: list[int], fresh: Iterable[tuple[int, int]]) -> None:
        """The beam's new prefixes, in their order; of the tree, only what leads to them is kept."""
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
        """Which prefixes of the beam have their parent in it, and which of them repeat its last symbol."""
        self.last = np.array([node.symbol for node in self.nodes])
        ups = np.array([node.parent.place if node.parent is not None else -1 for node in self.nodes])
        self.kids = np.flatnonzero(ups >= 0)
        self.ups = ups[self.kids]
        self.repeats = self.last[self.kids] == self.last[self.ups]


def frames(where: str, log_probs: LogProbs, before: int = 0) -> np.ndarray:
    """The frames in float64, if they can be log-probabilities; `before` frames came before them."""
    if isinstance(log_probs, Tensor):
        x = log_probs.detach().to("cpu", torch.float64).numpy()
    else:
        x = np.asarray(log_probs, dtype=np.float64)
    shape(where, x, "T", "V")
    want(x.shape[1] > 0, where, "at least one symbol, the blank", tuple(x.shape))
    top = x.max(1)
    fits = (top <= SLACK) & (top > NONE)  # so written, NaN does not fit
    if not fits.all():
        t = int(np.argmin(fits))
        expected = "log-probabilities, 0 at most and one above -inf"
        todo = "Has the model diverged? Does log_softmax end it?"
        refuse(f"{where}, frame {before + t}", expected, f"{top[t]} at most", todo)
    return x


def _child(nodes: list[Node], k: int, symbol: int) -> Node:
    """The prefix k with this symbol after it: one that leads to others may be in the tree, though not in the beam."""
    return nodes[k].children.get(symbol) or Node(nodes[k], symbol)


def _best(score: np.ndarray, width: int) -> np.ndarray:
    """The places of the `width` largest numbers above -inf, largest first, the lower place first among equals."""
    places = np.flatnonzero(score > NONE)
    if len(places) > 4 * width:
        least = np.partition(score[places], len(places) - width)[len(places) - width]
        places = places[score[places] >= least]
    return places[np.argsort(-score[places], kind="stable")[:width]]


def _tokens(node: Node) -> list[int]:
    tokens = []
    while node.parent is not None:
        tokens.append(node.symbol)
        node = node.parent
    return tokens[::-1]
