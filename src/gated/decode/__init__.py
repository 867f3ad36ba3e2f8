"""Scores to sequences: greedy and beam search, and sampling, for any model that can take a step.

    step(tokens, state, memory) -> log_probs, state, attention

    tokens     (B, K) int64          the last token of K hypotheses of B sentences, BEGIN at first
    state      a tree of (B, K, ...) what moves with a hypothesis: tuples, lists, dicts and None around tensors
    memory     a tree of (B, ...)    what belongs to the sentence, such as an encoder's outputs
    log_probs  (B, K, V)             log p(next token | the tokens so far)
    attention  (B, K, S) or None     where the hypothesis looked, 0 at the padding of S

K is 1 at the first step, so the first state is a tree of (B, 1, ...); later it is whatever the search needs, at most
its width. Between two steps the search moves the state along K with the hypotheses and leaves out the sentences that
are done, from state and memory, so that the work shrinks as sentences end.

Each sentence is decoded as if it were alone, and every hypothesis ends. A log-probability is always the model's own:
rules forbid tokens and nothing is renormalised, except that a sample is drawn from what the rules left. No gradients
are recorded, and no one else's random state is touched.

CTC's decoders, for frames that a network has read already, are `ctc`; the n-grams and hot words that lead them are
`ngram` and `guide`.
"""

from __future__ import annotations

from gated.decode import ctc, guide, ngram
from gated.decode.beams import beam, ensemble, greedy, sample
from gated.decode.pick import Rules
from gated.decode.search import Hypothesis, Step

__all__ = ["Hypothesis", "Rules", "Step", "beam", "ctc", "ensemble", "greedy", "guide", "ngram", "sample"]
