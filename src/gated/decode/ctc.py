"""Connectionist temporal classification: texts from frames, times of texts, probabilities of texts.

    p(y | x) = Σ_{π : collapse(π) = y} Π_t p(π_t | x)        π_t = 0 … V-1, a symbol for each frame; 0 is the blank

    log_probs  (T, V)   log p(symbol v at frame t | x), as log_softmax gives them; a tensor or an array
    tokens     1 … V-1  a text: what is left of a path when repeats become one and blanks go

Everything here takes one sequence, computes in float64 on the processor and records no gradient.

Graves et al. 2006 (the model, the forward sum); Hannun et al. 2014 (the prefix beam).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from gated._check import want, within
from gated.decode.prefix import Beam, LogProbs, Reading, Span, frames

__all__ = ["Beam", "Reading", "Span", "align", "beam", "collapse", "greedy", "log_prob"]


def collapse(path: Iterable[int] | Tensor | np.ndarray) -> list[int]:
    """The text of a path: runs of one symbol become one, then blanks go.  0 1 1 0 1 2 2 -> 1 1 2.

    Graves et al. 2006, section 3.1.
    """
    tokens, before = [], 0
    for symbol in map(int, path):
        if symbol not in (0, before):
            tokens.append(symbol)
        before = symbol
    return tokens


def greedy(log_probs: LogProbs) -> Reading:
    """The text of the most probable path:  collapse(argmax_v p(v | x_t) for each t), the lower symbol among equals.

    Its score is the path's log-probability, its log_prob the text's, over all its paths; its spans are the path's own.
    """
    x = frames("greedy log_probs", log_probs)
    path = x.argmax(1)
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    ends = np.flatnonzero(np.diff(path, append=-1))
    runs = zip(path[starts].tolist(), starts.tolist(), ends.tolist(), strict=True)
    spans = [_span(x, *run) for run in runs if run[0]]
    tokens = [span.token for span in spans]
    return Reading(tokens, log_prob(x, tokens), float(x.max(1).sum()), spans)


def beam(log_probs: LogProbs, *, n_best: int = 1, **options: Any) -> list[Reading]:
    """The n_best texts that a prefix beam finds, best first, with their spans; the options are those of `Beam`.

    A beam as wide as there are prefixes, without pruning, is brute force.
    """
    within("beam n_best", n_best, 1)
    found = Beam(**options).feed(log_probs).best(n_best, end=True)
    return [reading._replace(spans=align(log_probs, reading.tokens)) for reading in found]


def log_prob(log_probs: LogProbs, tokens: Sequence[int]) -> float:
    """log p(tokens | x): the sum over all paths that collapse to these tokens, -inf where there is none.

    Graves et al. 2006, section 4.1, in logarithms.
    """
    x = frames("log_prob log_probs", log_probs)
    labels, leap = _trellis("log_prob tokens", tokens, x.shape[1])
    if not len(x):
        return 0.0 if not tokens else -math.inf
    sums = np.full(len(labels) + 2, -math.inf)  # two places before the first, which nothing reaches
    sums[2:4] = x[0, labels[:2]]
    for p in x[1:]:
        sums[2:] = np.logaddexp(np.logaddexp(sums[2:], sums[1:-1]), sums[:-2] + leap) + p[labels]
    return float(np.logaddexp(sums[-1], sums[-2]))


def align(log_probs: LogProbs, tokens: Sequence[int]) -> list[Span]:
    """The frames of every token on the most probable path of all that collapse to these tokens (Viterbi).

    The spans are in order: each has first <= last, and begins after the one before it has ended. What lies between two
    is blank. Their log_prob is that of the token's best frame, see `Span`.

    Errors: fewer frames than tokens, and one more for each token that repeats the one before it; a text of
    probability 0.
    """
    x = frames("align log_probs", log_probs)
    labels, leap = _trellis("align tokens", tokens, x.shape[1])
    T, S = len(x), len(labels)
    repeats = sum(a == b for a, b in itertools.pairwise(tokens))
    least = len(tokens) + repeats
    todo = "The text is longer than its frames can say: is it the right one, and is time reduced too much?"
    want(least <= T, "align", f"at least {least} frames for {len(tokens)} tokens, {repeats} of them repeats", T, todo)
    if S == 1:
        return []

    best = np.full(S + 2, -math.inf)
    best[2:4] = x[0, labels[:2]]
    came = np.zeros((T, S), dtype=np.int8)  # from this place, the one before, or the one before that
    for t in range(1, T):
        stay, move, jump = best[2:], best[1:-1], best[:-2] + leap
        np.greater(move, stay, out=came[t], casting="unsafe")
        top = np.maximum(stay, move)
        came[t][jump > top] = 2
        best[2:] = np.maximum(top, jump) + x[t, labels]
    want(bool(best[-2:].max() > -math.inf), "align", "a text that the frames allow", "one of probability 0")

    place = S - 1 if best[-1] > best[-2] else S - 2
    path = np.empty(T, dtype=np.int64)
    for t in range(T - 1, -1, -1):
        path[t] = place
        place -= int(came[t, place])
    odd = np.arange(1, S, 2)
    firsts, lasts = np.searchsorted(path, odd), np.searchsorted(path, odd, side="right") - 1
    return [_span(x, *span) for span in zip(labels[1::2].tolist(), firsts.tolist(), lasts.tolist(), strict=True)]


def _trellis(where: str, tokens: Sequence[int], V: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens with blanks around each, 2 L + 1 places; and 0 where a blank may be leapt over to a place, or -inf."""
    labels = np.zeros(2 * len(tokens) + 1, dtype=np.int64)
    labels[1::2] = tokens
    low, high = min(tokens, default=1), max(tokens, default=1)
    fits = low >= 1 and (high < V or not tokens)
    want(fits, where, f"symbols from 1 to {V - 1}", high if low >= 1 else low, "0 is the blank, which no text holds.")
    leap = np.full(len(labels), -math.inf)
    leap[3::2][labels[3::2] != labels[1:-2:2]] = 0.0
    return labels, leap


def _span(x: np.ndarray, token: int, first: int, last: int) -> Span:
    return Span(token, first, last, float(x[first : last + 1, token].max()))
