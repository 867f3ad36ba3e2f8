"""Teaching a network to translate, and what a run needs to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gated import data, runs, train
from gated._check import want
from gated.features import tokens
from gated.features.tokens import Tokens
from gated.runs import Job
from gated.tasks.translate import batches, model, score
from gated.tasks.translate.model import Learnt, Network, Noise, Shape
from gated.tasks.translate.placeholders import SENTINELS, mask_pair
from gated.tasks.translate.read import Pairs
from gated.tasks.translate.search import Search, translate
from gated.tasks.translate.task import Config

HELD = 1000  # pairs held out where none are given for validation, at most,
SHARE = 20  # and at most one in so many
LOOKS = 20  # evaluations in a whole training, or one a pass where passes are fewer
SMALL, LARGE = 1000, 16000  # tokens of a vocabulary, which has one for six pairs
UNITS = ((2_000, 128), (10_000, 256), (100_000, 384), (float("inf"), 512))  # for so many pairs at most
DROPOUT = 0.4
PASSES, LEAST = 30, 1000  # over the data; updates


def learn(
    pairs: Pairs, held: Pairs | None, config: Config, job: Job
) -> tuple[Learnt, dict[str, Any], list[dict[str, int | float]]]:
    """A network for the pairs, what was measured on the held-out ones, and the history of the training.

    Without held-out pairs some of the others are kept apart for it.
    """
    pairs, held = _part(pairs) if held is None else (pairs, held)
    found = prepare(pairs, config)
    sides, words = found.tokens, sum(len(row) + 1 for row in found.rows[1])
    shape, noise, steps = recipe(config, len(found.rows[0]), sides, words)
    with train.seeded(config.seed):
        network = Network(shape, noise, "bfloat16" if runs.low_precision(config) else "float32")
    batch, turn = batches.bucketed(found.rows, config.batch, config.seed, found.cut if config.bpe_dropout else None)
    learnt = Learnt(sides[0], sides[1], network, config.longest)
    sample = [side.encode(lines) for side, lines in zip(sides, _masked(held, sides[0].sentinels), strict=True)]
    fits = _short(sample, held, config)  # a loss over a line of a megabyte would take all memory
    asked = list(batches.split([[side[n] for n in fits] for side in sample], config.batch * 4))

    def loss(network: Any, found: batches.Batch) -> Any:
        return model.loss(network, found, config.smoothing, config.sampling, config.coverage_loss)

    def validate(network: Any) -> dict[str, float]:
        device = next(network.parameters()).device
        sums = [model.loss(network, batches.to(found, device)) for found in asked]
        nll = sum(float(total) for total, _ in sums) / sum(count for _, count in sums)
        if config.monitor == "loss":
            return {"loss": nll}
        bleu = score.quick_bleu(said(learnt, held, width=1), held.target or [])
        return {"errors": 100 - bleu if bleu else 100 + nll, "loss": nll}  # without BLEU, as in lone words, by the loss

    told = runs.fit(
        network, loss, batch, config, job, validate=validate, steps=steps, warmup=0.05, betas=(0.9, 0.98),
        eval_every=max(turn, steps // LOOKS),
    )  # fmt: skip
    learnt = replace(learnt, network=model.exact(network.cpu()))
    metrics = {
        "pairs": len(found.rows[0]), "too_long": len(pairs) - len(found.rows[0]), "tokens": words, "steps": told.steps,
        "passes": told.steps / turn, "best_step": told.best_step, "stopped": told.stopped,
        "held_out": {"bleu": score.quick_bleu(said(learnt, held), held.target or []), "pairs": len(held)},
    }  # fmt: skip
    return learnt, metrics, told.rows


@dataclass(frozen=True)
class Prepared:
    """Pairs as the network reads them."""

    config: Config
    tokens: list[Tokens]  # of source and target,
    text: list[list[str]]  # whose placeholders are sentinels,
    rows: list[list[list[int]]]  # and as tokens

    def cut(self, turn: int) -> list[list[list[int]]]:
        """The rows of a pass, with words cut at random."""
        seed = 2 * (self.config.seed + 1_000_003 * turn)
        sides = enumerate(zip(self.tokens, self.text, strict=True))
        return [kind.encode(lines, self.config.bpe_dropout, seed + k) for k, (kind, lines) in sides]


def prepare(pairs: Pairs, config: Config) -> Prepared:
    """Learn the tokens, cut the pairs into them, and leave out those that are too long."""
    some = any(mask_pair(*pair)[2] for pair in zip(*both(pairs), strict=True))
    sentinels = SENTINELS if some else ()
    text = _masked(pairs, sentinels)
    sides = [_tokens(lines, config, sentinels) for lines in text]
    rows = [kind.encode(lines) for kind, lines in zip(sides, text, strict=True)]
    fits = _short(rows, pairs, config)
    return Prepared(config, sides, [[side[n] for n in fits] for side in text], [[r[n] for n in fits] for r in rows])


def _masked(pairs: Pairs, sentinels: Sequence[str]) -> list[list[str]]:
    """Both sides, with sentinels for the placeholders that both have, where there are sentinels."""
    if not sentinels:
        return list(both(pairs))
    masked = [mask_pair(*pair) for pair in zip(*both(pairs), strict=True)]
    return [[x for x, _, _ in masked], [y for _, y, _ in masked]]


def _short(rows: list[list[list[int]]], pairs: Pairs, config: Config) -> list[int]:
    """Which pairs have no side of more tokens than `longest`."""
    fits = [n for n, (s, t) in enumerate(zip(*rows, strict=True)) if max(len(s), len(t)) <= config.longest]
    todo = "Raise longest, or cut the lines into sentences."
    want(bool(fits), pairs.where, f"a pair of at most {config.longest} tokens a side", "longer ones only", todo)
    return fits


def both(pairs: Pairs) -> tuple[list[str], list[str]]:
    return pairs.source, pairs.target or []


def said(learnt: Learnt, pairs: Pairs, **search: Any) -> list[str]:
    """What it makes of the sources."""
    return [best[0].text for best in translate([learnt], pairs.source, Search(**search))]


def describe(learnt: Learnt, metrics: dict[str, Any]) -> list[str]:
    """The network and its held-out figures in sentences."""
    size = sum(p.numel() for p in learnt.network.parameters())
    tokens = f"{len(learnt.source):,} tokens into {len(learnt.target):,}"
    told = [f"A network of {size:,} weights translates {tokens}."]
    if "pairs" in metrics:
        long = f" ({metrics['too_long']:,} longer than {learnt.longest} tokens left out)" if metrics["too_long"] else ""
        told.append(f"It read {metrics['pairs']:,} pairs{long} {metrics['passes']:.1f} times.")
    if metrics.get("held_out"):
        told.append(f"{metrics['held_out']['pairs']:,} held-out pairs: BLEU {metrics['held_out']['bleu']:.1f}.")
    if "fit_seconds" in metrics:
        told.append(f"Fit in {metrics['fit_seconds']:.1f} s.")
    return told


def recipe(config: Config, pairs: int, sides: Sequence[Tokens], words: int) -> tuple[Shape, Noise, int]:
    """What follows from the data where nothing was said: the network, its noise, and the updates of its weights.

    words: tokens of the target side.
    """
    units = config.units or next(units for most, units in UNITS if pairs <= most)
    dropout = DROPOUT if config.dropout is None else config.dropout
    shape = Shape(
        source=len(sides[0]), target=len(sides[1]), cell=config.cell, layers=config.layers, units=units,
        embedding=config.embedding or min(units, 256), attention=config.attention, attend=config.attend,
        feeding=config.feeding, coverage=config.coverage,
    )  # fmt: skip
    noise = Noise(dropout, config.recurrent_dropout, config.zoneout, config.token_dropout)
    steps = config.steps or max(LEAST, int(PASSES * words / config.batch))
    return shape, noise, steps


def _part(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """The pairs without some, and these."""
    count = len(pairs)
    parts = data.hold_out(count, min(HELD, count // SHARE))
    todo = f"With so few give validation data; one pair in {SHARE} is held out."
    want(len(parts[1]) > 0, pairs.where, f"at least {SHARE} pairs", count, todo)

    def those(part: list[int]) -> Pairs:
        sides = [[side[n] for n in part] for side in both(pairs)]
        return Pairs(*sides, where=pairs.where, lines=[pairs.lines[n] for n in part], notes=[])

    return those(parts[0]), those(parts[1])


def _tokens(lines: Sequence[str], config: Config, sentinels: Sequence[str]) -> Tokens:
    size = config.vocabulary or int(min(max(len(lines) // 6, SMALL), LARGE))
    return tokens.fit(lines, config.tokens, size, config.lower, sentinels)
