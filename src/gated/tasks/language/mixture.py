"""More than the network alone: dynamic evaluation, a cache of what came before, interpolation with the n-gram.

p(w) = Σ_k a_k p_k(w)        a by expectation maximization on the run's held-out text (Jelinek & Mercer 1980)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from gated import data, trees
from gated._check import want
from gated.options import check, option
from gated.tasks.language import model, scoring
from gated.tasks.language.generate import Stepper, combine
from gated.tasks.language.model import Network

SHARPNESS = (4.0, 8.0, 16.0, 32.0)  # θ of a cache, tried
ROWS = 256  # tokens that a cache answers at once
RATES = (1e-4, 3e-4, 1e-3)  # of dynamic evaluation, tried
DECAY, FLOOR = 0.003, 1e-3  # of it: towards the trained weights; added to a gradient's root mean square
SEGMENT = 32  # tokens of one update
STATISTICS = 24  # batches of training text, for the gradient's root mean square
TRIED = 20_000  # held-out tokens on which a rate is chosen


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """What joins the network; weights and rates are chosen on the run's held-out text."""

    ngram: bool = option(False, "Interpolate with the Kneser-Ney n-gram.", flag=True)
    cache: int = option(0, "Interpolate with a neural cache of the last N tokens.", low=0, high=1 << 16)
    dynamic: bool = option(False, "Dynamic evaluation: train on the text, or on the prompt, as it is read.", flag=True)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Chosen:
    """What was chosen on the held-out text."""

    rate: float = 0.0  # of dynamic evaluation
    sharpness: float = 0.0  # of the cache
    weights: tuple[float, ...] = (1.0,)  # of the network, the n-gram, the cache, as many as there are

    def facts(self, how: Mixing) -> dict[str, Any]:
        """As JSON has it."""
        names = ["network", *["ngram"] * how.ngram, *["cache"] * bool(how.cache)]
        shares = {"weights": dict(zip(names, self.weights, strict=True))} if len(names) > 1 else {}
        more = {"rate": self.rate} if how.dynamic else {}
        return shares | more | ({"sharpness": self.sharpness} if how.cache else {})


def choose(runs: Sequence[Any], how: Mixing) -> Chosen:
    """Rates and weights, on the held-out text of the first run."""
    if not (how.ngram or how.cache or how.dynamic):
        return Chosen()
    first, held = runs[0], _limit(runs[0].held, TRIED)
    todo = "What joins the network is fitted on it; fit the run without --hold 0."
    want(bool(first.held), "language model", "a run with held-out text", "none", todo)
    rate = 0.0
    if how.dynamic:
        scale = root_mean_square(first)
        losses = {rate: adapt(first.network, held, scale, rate)[0].mean() for rate in RATES}
        rate = min(losses, key=losses.__getitem__)
    if not (how.ngram or how.cache):
        return Chosen(rate)
    fixed = _parts(runs, held, replace(how, cache=0), Chosen(rate))
    tries = []
    for sharpness in SHARPNESS if how.cache else (0.0,):
        own = [_cache(first, held, how.cache, sharpness)] if how.cache else []
        log_p = np.stack([*fixed, *own])
        weights = fit_weights(log_p)
        tries.append((mix(log_p, weights).mean(), Chosen(rate, sharpness, tuple(weights.tolist()))))
    return max(tries, key=lambda one: one[0])[1]


def measure(runs: Sequence[Any], ids: np.ndarray, how: Mixing, chosen: Chosen) -> Float[np.ndarray, " N"]:
    """−log p of each token of a text by the runs' mean and what joins it."""
    return -mix(np.stack(_parts(runs, [ids], how, chosen)), np.array(chosen.weights))


def _parts(runs: Sequence[Any], rows: list[np.ndarray], how: Mixing, chosen: Chosen) -> list[np.ndarray]:
    """log p of all tokens of some texts by the runs' mean, the n-gram and the cache, as many as there are."""
    if how.dynamic:
        logs = [-adapt(run.network, rows, root_mean_square(run), chosen.rate)[0] for run in runs]
    else:
        logs = [-np.concatenate(scoring.surprise(run.network, rows)) for run in runs]
    out = [np.logaddexp.reduce(logs) - np.log(len(logs))]
    if how.ngram:
        out.append(np.concatenate([runs[0].ngram.log_probs(row) for row in rows]))
    if how.cache:
        out.append(_cache(runs[0], rows, how.cache, chosen.sharpness))
    return out


def _cache(run: Any, rows: list[np.ndarray], size: int, sharpness: float) -> np.ndarray:
    return np.concatenate([cache(run.network, row, size, sharpness) for row in rows])


def join(
    run: Any, stepper: Stepper, how: Mixing, chosen: Chosen
) -> Callable[[Float[np.ndarray, "B V"], list[list[int]]], Float[np.ndarray, "B V"]]:
    """What `generate.write` asks to adjust its logits: they become log p with the n-gram's and the cache's shares.

    stepper: that of the run, whose outputs the cache keeps.
    """
    keys: list[np.ndarray] = []  # (B, O), the output that predicted each token

    def adjust(z: np.ndarray, ids: list[list[int]]) -> np.ndarray:
        parts = [combine([z])]
        if how.ngram:
            order = run.ngram.order
            rows = [run.ngram.row(tuple(row[max(0, len(row) - order + 1) :])) for row in ids]
            parts.append(np.stack(rows))
        if how.cache:
            new = stepper.outputs if not keys else stepper.outputs[-1:]
            keys.extend(new / np.maximum(np.linalg.norm(new, axis=-1, keepdims=True), 1e-12))
            del keys[: -how.cache - 1]
            parts.append(np.log(np.stack([look_up(k, row) for k, row in enumerate(ids)])))
        weights = np.log(np.maximum(chosen.weights, 1e-300))
        return np.logaddexp.reduce([part + weight for part, weight in zip(parts, weights, strict=True)])

    def look_up(k: int, row: list[int]) -> np.ndarray:
        """p of each token by the cache of sample k."""
        V = run.network.shape.tokens
        if len(keys) < 2:
            return np.full(V, 1 / V)
        scores = chosen.sharpness * np.stack([key[k] for key in keys[:-1]]) @ keys[-1][k]
        weights = np.exp(scores - scores.max())
        return np.bincount(row[-len(weights) :], weights, V) / weights.sum() + 1e-300

    return adjust


def mix(log_p: Float[np.ndarray, "K N"], weights: Float[np.ndarray, " K"]) -> Float[np.ndarray, " N"]:
    """log of the weighted mean of probabilities."""
    return np.logaddexp.reduce(log_p + np.log(np.maximum(weights, 1e-300))[:, None])


def fit_weights(log_p: Float[np.ndarray, "K N"], steps: int = 30) -> Float[np.ndarray, " K"]:
    """The weights of a mixture under which a text is the most probable, by expectation maximization."""
    weights = np.full(len(log_p), 1 / len(log_p))
    for _ in range(steps):
        weights = np.exp(log_p + np.log(np.maximum(weights, 1e-300))[:, None] - mix(log_p, weights)).mean(1)
    return weights / weights.sum()


def _limit(rows: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """The beginnings of rows that have so many tokens together."""
    return [np.asarray(row[: max(1, count // len(rows))]) for row in rows]


# ---- the cache


@torch.no_grad()
def cache(network: Network, ids: np.ndarray, size: int, sharpness: float) -> Float[np.ndarray, " N"]:
    """log p of each token by the cache of the `size` tokens before it:

        p(w) ∝ Σ_i [w_i = w] exp(θ cos(h_t, h_i))        h_i is the output that predicted w_i

    Uniform where nothing came before. Grave et al. 2017, section 3, with the cosine in place of the inner product.
    """
    h = torch.nn.functional.normalize(_outputs(network, ids), dim=-1)
    y = torch.from_numpy(np.asarray(ids).astype(np.int64))
    out = np.full(len(ids), -np.log(network.shape.tokens))
    for low in range(0, len(ids), ROWS):
        high, start = min(low + ROWS, len(ids)), max(0, low - size)
        scores = sharpness * h[low:high] @ h[start:high].T
        t, i = torch.arange(low, high)[:, None], torch.arange(start, high)[None]
        scores.masked_fill_((i >= t) | (i < t - size), -torch.inf)
        same = y[low:high, None] == y[None, start:high]
        top = torch.logsumexp(scores.masked_fill(~same, -torch.inf), 1) - torch.logsumexp(scores, 1)
        first = 1 if low == 0 else 0
        out[low + first : high] = top[first:].double().clamp(min=-700).numpy()
    return out


def _outputs(network: Network, ids: np.ndarray, window: int = 512) -> torch.Tensor:
    """The outputs that predict each token, (N, O)."""
    inputs = torch.from_numpy(np.concatenate([[0], np.asarray(ids[:-1]).astype(np.int64)]))[:, None]
    states, parts = None, []
    for t in range(0, len(inputs), window):
        h, states, _ = network(inputs[t : t + window].to(network.bias.device), states)
        parts.append(h[:, 0].cpu())
    return torch.cat(parts)


# ---- dynamic evaluation


def root_mean_square(run: Any) -> list[torch.Tensor]:
    """Of each weight the root mean square of its gradient on training text."""
    network = copy.deepcopy(run.network).eval()
    rows = max(1, min(32, len(run.text) // (2 * SEGMENT)))
    chunk = data.streams(torch.from_numpy(np.asarray(run.text)), rows, SEGMENT, seed=run.config.seed)
    sums = [torch.zeros_like(p) for p in network.parameters()]
    for n in range(STATISTICS):
        batch = chunk(n)
        (total, size), _ = model.loss(network, batch.x.long(), batch.y.long(), None)
        for s, g in zip(sums, torch.autograd.grad(total / size, list(network.parameters())), strict=True):
            s += g.square() / STATISTICS
    return [s.sqrt() for s in sums]


def adapt(
    network: Network, rows: list[np.ndarray], scale: list[torch.Tensor], rate: float
) -> tuple[Float[np.ndarray, " N"], Network]:
    """−log p of each token of the texts, by a network that is trained on each segment once it has been scored:

        θ ← θ − η g / (s + ε) + λ (θ_0 − θ) s / mean(s)        s: root mean square of g on training text

    Krause et al. 2018, section 4.2. Each text begins with the trained weights; the network after the last comes too.
    """
    own, out = network, [np.zeros(0)]
    mean = sum(float(s.sum()) for s in scale) / sum(s.numel() for s in scale)
    pull = [(DECAY * s / mean).clamp(max=1.0) for s in scale]
    step = [rate / (s + FLOOR * mean) for s in scale]
    start = [p.detach().clone() for p in network.parameters()]
    for ids in rows:
        own = copy.deepcopy(network).eval()
        weights = list(own.parameters())
        targets = torch.from_numpy(np.asarray(ids).astype(np.int64))[:, None]
        inputs = torch.cat([targets.new_zeros(1, 1), targets[:-1]])
        states: Any = None
        for t in range(0, len(targets), SEGMENT):
            y = targets[t : t + SEGMENT]
            h, states, _ = own(inputs[t : t + SEGMENT], states)
            z = own.logits(h[:, 0]).float()
            nats = torch.nn.functional.cross_entropy(z, y[:, 0], reduction="none")
            out.append(nats.detach().double().numpy())
            gradients = torch.autograd.grad(nats.mean(), weights)
            states = trees.detach(states)
            with torch.no_grad():
                for p, p0, g, a, b in zip(weights, start, gradients, step, pull, strict=True):
                    p.sub_(a * g).add_(b * (p0 - p))
    return np.concatenate(out), own
