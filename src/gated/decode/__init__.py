"""Scores to sequences: greedy search, beam search and sampling, for any model with a step function.

    step(tokens, state, memory) -> log_probs, state, attention

    tokens     (B, K) int64          the last token of K hypotheses of B sentences, BEGIN at first
    state      a tree of (B, K, ...) one state for each hypothesis: tensors in tuples, lists, dicts, or None
    memory     a tree of (B, ...)    constants of the sentence, such as the encoder states
    log_probs  (B, K, V)             log p(next token | the tokens so far)
    attention  (B, K, S) or None     attention weights, 0 at the padding of S

K is 1 at the first step, so the initial state is a tree of (B, 1, ...); later K is at most the width of the search.
Between two steps the search gathers the state along K by the hypotheses' parents, and drops finished sentences from
state and memory, so that the work shrinks as sentences end.

The result of a sentence does not depend on the other sentences, and every hypothesis ends. A log-probability is always
the model's own: rules forbid tokens without renormalising, except that a sample is drawn from the remaining tokens. No
gradients are recorded, and the global random state is not touched.

`ctc` decodes the frames of a CTC network; `ngram` and `scorer` are the language models and hot words of its beam.
"""

from __future__ import annotations

from gated.decode import ctc, ngram, scorer
from gated.decode.beams import beam, ensemble, greedy, sample
from gated.decode.pick import Rules
from gated.decode.search import Hypothesis, Step

__all__ = ["Hypothesis", "Rules", "Step", "beam", "ctc", "ensemble", "greedy", "ngram", "sample", "scorer"]
