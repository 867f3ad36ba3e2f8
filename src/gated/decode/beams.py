"""The searches: greedy, beam and sampling; and the step of several models."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gated import trees
from gated._check import want, within
from gated.decode.pick import Rules, draw, topk
from gated.decode.search import Hypothesis, Lengths, Limit, Prefixes, Step, check_arguments, search


def greedy(
    step: Step,
    state: Any,
    memory: Any,
    rules: Rules,
    *,
    limit: Limit,
    prefixes: Prefixes | None = None,
    lengths: Lengths | None = None,
) -> list[list[Hypothesis]]:
    """The most probable token at each step:  y_t = argmax_v p(v | y_<t), the lower token among equals.

    One hypothesis for each sentence, whose score is its log_prob. `beam` with a width of 1, and with its arguments.
    """
    options: Any = dict(limit=limit, prefixes=prefixes, lengths=lengths)
    return beam(step, state, memory, rules, width=1, length_penalty=0.0, **options)


def beam(
    step: Step,
    state: Any,
    memory: Any,
    rules: Rules,
    *,
    limit: Limit,
    width: int = 5,
    n_best: int = 1,
    length_penalty: float = 0.6,
    coverage_penalty: float = 0.0,
    prefixes: Prefixes | None = None,
    lengths: Lengths | None = None,
) -> list[list[Hypothesis]]:
    """Beam search: the n_best of `width` hypotheses for each sentence, best first.

        score(Y) = log P(Y) / lp(Y) + cp(Y)
        lp(Y) = ((5 + |Y|) / 6)^α                       α = length_penalty, |Y| counts END
        cp(Y) = β Σ_s log min(Σ_t a_ts, 1)              β = coverage_penalty, t runs over |Y|, s over real positions

    A step keeps the `width` best continuations by log P. Those that end are finished and ranked by their score; each
    keeps its place in the beam, so that at most `width` finish. A sentence is done as soon as no live hypothesis can,
    within the limit, beat the worst of its n_best finished ones: early stopping never changes the result. A beam as
    wide as there are sequences is brute force; a beam of 1 is greedy.

    limit     the largest number of tokens, one for all or one for each sentence; END is forced there, and counted
    prefixes  the first tokens of each sentence's hypotheses, or an empty list; forced, and counted
    lengths   real source positions of each sentence, for the coverage and to cut the attention to; all of S by default,
              which a coverage penalty does not accept

    A forced token of probability 0 counts log p = -10000; a source position with a coverage below 1e-9 counts 1e-9.
    Among continuations of equal log P the one of the better parent wins, then the lower token; among equal scores the
    shorter hypothesis. The result has fewer than n_best if there are fewer sequences.

    Wu et al. 2016, equation 14; Sutskever et al. 2014, section 3.2.
    """
    within("beam width", width, 1)
    within("beam n_best", n_best, 1, width)
    within("beam length_penalty", length_penalty, 0)
    within("beam coverage_penalty", coverage_penalty, 0)
    if coverage_penalty:
        want(lengths is not None, "beam coverage_penalty", "lengths", None, "Give the number of real positions of S.")
    sentences = check_arguments(state, memory, rules, limit, prefixes, lengths)
    return search(
        step, state, memory, rules, sentences,
        pick=lambda log_probs, *_: topk(log_probs, width),
        width=width, n_best=n_best, alpha=length_penalty, beta=coverage_penalty,
    )  # fmt: skip


def sample(
    step: Step,
    state: Any,
    memory: Any,
    rules: Rules,
    *,
    limit: Limit,
    n: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    indices: Sequence[int] | Int64[Tensor, " B"] | None = None,
    prefixes: Prefixes | None = None,
    lengths: Lengths | None = None,
) -> list[list[Hypothesis]]:
    """n sequences for each sentence, drawn token by token:  y_t ~ p(v | y_<t)^(1 / temperature), best log_prob first.

    top_k keeps the k most probable tokens (Fan et al. 2018, section 5.1), then top_p the fewest of those that hold
    this share of their probability (Holtzman et al. 2020, section 3.1); among equals the lower tokens stay. The
    remaining probabilities are renormalised for the draw; log_prob, which is also the score, is the model's own.

    A sentence's draws are a function of `seed`, its limit and its number in `indices` (0 ... B - 1 by default), and do
    not depend on the other sentences. State and memory are repeated n times. The other arguments are those of `beam`.
    """
    within("sample n", n, 1)
    want(0 < temperature < math.inf, "sample temperature", "a number above 0", temperature, "Its limit at 0 is greedy.")
    within("sample top_k", 1 if top_k is None else top_k, 1)
    want(0 < top_p <= 1, "sample top_p", "a number above 0, at most 1", top_p)
    within("sample seed", seed, 0)
    sentences = check_arguments(state, memory, rules, limit, prefixes, lengths)
    limits = sentences.limits.tolist()
    B = len(limits)
    numbers = list(range(B)) if indices is None else [int(i) for i in indices]
    want(len(numbers) == B, "sample indices", f"{B}, one for each sentence", len(numbers))
    within("sample indices", min(numbers, default=0), 0)

    uniform = torch.zeros(B, n, 1 + max(limits, default=0), dtype=torch.float64)
    for row, number, count in zip(uniform, numbers, limits, strict=True):
        row[:, : count + 1] = torch.from_numpy(np.random.default_rng((seed, number)).random((n, count + 1)))
    uniform = uniform.flatten(0, 1).to(sentences.limits.device)
    state, memory, sentences = trees.map(lambda x: x.repeat_interleave(n, 0), (state, memory, sentences))
    hypotheses = search(
        step, state, memory, rules, sentences,
        pick=lambda log_probs, rows, t: draw(log_probs, uniform[rows, t, None, None], temperature, top_k, top_p),
    )  # fmt: skip
    samples = [hypothesis for (hypothesis,) in hypotheses]
    return [sorted(samples[b * n : (b + 1) * n], key=lambda h: -h.log_prob) for b in range(B)]


def ensemble(steps: Sequence[Step]) -> Step:
    """A step that averages M models:  p = (1/M) Σ_m p_m,  attention the mean over the models that have one.

    Its state and its memory are sequences with one tree for each model. The models share the target vocabulary, and
    those with attention the source positions.
    """
    want(len(steps) > 0, "ensemble", "at least one step", 0)

    def step(tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any, Tensor | None]:
        for name, tree in (("state", state), ("memory", memory)):
            fits = isinstance(tree, tuple | list) and len(tree) == len(steps)
            want(fits, f"ensemble {name}", f"a tuple of {len(steps)}, one for each model", type(tree).__name__)
        outs = [one(tokens, s, m) for one, s, m in zip(steps, state, memory, strict=True)]
        attentions = [attention for _, _, attention in outs if attention is not None]
        for name, tensors in (("log_probs", [out[0] for out in outs]), ("attention", attentions)):
            shapes = sorted({tuple(x.shape) for x in tensors})
            want(len(shapes) <= 1, f"ensemble {name}", "one shape for all models", shapes)
        mean = functools.reduce(torch.logaddexp, [log_probs for log_probs, _, _ in outs])
        mean = mean - math.log(len(outs)) if len(outs) > 1 else mean
        attention = torch.stack(attentions).mean(0) if attentions else None
        return mean, tuple(s for _, s, _ in outs), attention

    return step
