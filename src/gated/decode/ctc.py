"""Connectionist temporal classification: texts from frames, times of texts, probabilities of texts.

    p(y | x) = Σ_{π : collapse(π) = y} Π_t p(π_t | x)        π_t = 0 … V-1, a symbol for each frame; 0 is the blank

    log_probs  (T, V)   log p(symbol v at frame t | x), as log_softmax gives them; a tensor or an array
    tokens     1 … V-1  a text: a path with runs of a symbol merged and blanks removed

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
from gated.decode.ctc_beam import Beam, LogProbs, Reading, Span, check_frames

__all__ = ["Beam", "Reading", "Span", "align", "beam", "collapse", "greedy", "log_prob"]


def collapse(path: Iterable[int] | Tensor | np.ndarray) -> list[int]:
    """The text of a path: merge runs of a symbol, then remove blanks.  0 1 1 0 1 2 2 -> 1 1 2.

    Graves et al. 2006, section 3.1.
    """
    return [symbol for symbol, _ in itertools.groupby(map(int, path)) if symbol]


def greedy(log_probs: LogProbs) -> Reading:
    """The text of the most probable path:  collapse(argmax_v p(v | x_t) for each t), the lower symbol among equals.

    Its score is the path's log-probability, its log_prob the text's, over all its paths; its spans are the path's own.
    """
    x = check_frames("greedy log_probs", log_probs)
    path = x.argmax(1)
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    ends = np.flatnonzero(np.diff(path, append=-1))
    runs = zip(path[starts].tolist(), starts.tolist(), ends.tolist(), strict=True)
    spans = [_span(x, *run) for run in runs if run[0]]
    tokens = [span.token for span in spans]
    return Reading(tokens, log_prob(x, tokens), float(x.max(1).sum()), spans)


def beam(log_probs: LogProbs, *, n_best: int = 1, **options: Any) -> list[Reading]:
    """The n_best texts of a prefix beam search, best first, with their spans; the options are those of `Beam`.

    A beam as wide as there are prefixes, without pruning, is brute force.
    """
    within("beam n_best", n_best, 1)
    readings = Beam(**options).feed(log_probs).best(n_best, end=True)
    return [reading._replace(spans=align(log_probs, reading.tokens)) for reading in readings]


def log_prob(log_probs: LogProbs, tokens: Sequence[int]) -> float:
    """log p(tokens | x): the sum over all paths that collapse to these tokens, -inf where there is none.

    Graves et al. 2006, section 4.1, in logarithms.
    """
    x = check_frames("log_prob log_probs", log_probs)
    labels, skip = _trellis("log_prob tokens", tokens, x.shape[1])
    if not len(x):
        return 0.0 if not tokens else -math.inf
    sums = np.full(len(labels) + 2, -math.inf)  # two places before the first, which no path reaches
    sums[2:4] = x[0, labels[:2]]
    for p in x[1:]:
        sums[2:] = np.logaddexp(np.logaddexp(sums[2:], sums[1:-1]), sums[:-2] + skip) + p[labels]
    return float(np.logaddexp(sums[-1], sums[-2]))


def align(log_probs: LogProbs, tokens: Sequence[int]) -> list[Span]:
    """The frames of every token on the most probable path that collapses to these tokens (Viterbi).

    The spans are in order and do not overlap; frames between two spans are blank. Their log_prob is that of the
    token's best frame, see `Span`.

    Errors: fewer frames than tokens, with one more for each token that repeats the previous one; a text of
    probability 0.
    """
    x = check_frames("align log_probs", log_probs)
    labels, skip = _trellis("align tokens", tokens, x.shape[1])
    T, S = len(x), len(labels)
    repeats = sum(a == b for a, b in itertools.pairwise(tokens))
    needed = len(tokens) + repeats
    todo = "The text is too long for its frames: is it the right one, and does the network shorten time too much?"
    want(needed <= T, "align", f"at least {needed} frames for {len(tokens)} tokens, {repeats} of them repeats", T, todo)
    if S == 1:
        return []

    best = np.full(S + 2, -math.inf)
    best[2:4] = x[0, labels[:2]]
    back = np.zeros((T, S), dtype=np.int8)  # backpointers: how many places before this one the path came from
    for t in range(1, T):
        stay, move, jump = best[2:], best[1:-1], best[:-2] + skip
        np.greater(move, stay, out=back[t], casting="unsafe")
        top = np.maximum(stay, move)
        back[t][jump > top] = 2
        best[2:] = np.maximum(top, jump) + x[t, labels]
    want(bool(best[-2:].max() > -math.inf), "align", "a text that the frames allow", "one of probability 0")

    place = S - 1 if best[-1] > best[-2] else S - 2
    path = np.empty(T, dtype=np.int64)
    for t in range(T - 1, -1, -1):
        path[t] = place
        place -= int(back[t, place])
    odd = np.arange(1, S, 2)
    firsts, lasts = np.searchsorted(path, odd), np.searchsorted(path, odd, side="right") - 1
    return [_span(x, *span) for span in zip(labels[1::2].tolist(), firsts.tolist(), lasts.tolist(), strict=True)]


def _trellis(where: str, tokens: Sequence[int], V: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens with blanks around each, 2 L + 1 places; and 0 where the blank before one may be skipped, or -inf."""
    labels = np.zeros(2 * len(tokens) + 1, dtype=np.int64)
    labels[1::2] = tokens
    low, high = min(tokens, default=1), max(tokens, default=1)
    fits = low >= 1 and (high < V or not tokens)
    want(fits, where, f"symbols from 1 to {V - 1}", high if low >= 1 else low, "0 is the blank, which no text holds.")
    skip = np.full(len(labels), -math.inf)
    skip[3::2][labels[3::2] != labels[1:-2:2]] = 0.0
    return labels, skip


def _span(x: np.ndarray, token: int, first: int, last: int) -> Span:
    return Span(token, first, last, float(x[first : last + 1, token].max()))
