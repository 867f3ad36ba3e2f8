"""Training: data preparation, network size from data size, fit, held-out BLEU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gated import data, runs, train, trees
from gated._check import want
from gated.features import tokens
from gated.features.tokens import Tokens
from gated.runs import Job
from gated.tasks.translate import model, scoring
from gated.tasks.translate.data import Batch, Pairs, bucket, split
from gated.tasks.translate.model import Network, Noise, Shape, Translator
from gated.tasks.translate.placeholders import SENTINELS, mask_pair
from gated.tasks.translate.search import Search, translate
from gated.tasks.translate.task import Config

MAX_HELD, SHARE = 1000, 20  # held-out pairs where no validation data are given: at most, and at most one in 20
EVALUATIONS = 20  # of a training, or one an epoch where epochs are fewer
MIN_VOCABULARY, MAX_VOCABULARY = 1000, 16_000  # a token for six pairs
UNITS = ((2_000, 128), (10_000, 256), (100_000, 384), (float("inf"), 512))  # up to so many pairs
DROPOUT = 0.4
EPOCHS, MIN_STEPS = 30, 1000


def fit(
    pairs: Pairs, held: Pairs | None, config: Config, job: Job, start: Translator | None = None
) -> tuple[Translator, dict[str, Any], list[dict[str, int | float]]]:
    """Train on the pairs, validate on the held-out ones: the translator, its metrics, the history of the training.

    Without held-out pairs some of the others are held out. start: a translator whose tokens and weights are the first.
    """
    if held is None:
        held, pairs = _hold_out(pairs) if start is None or len(pairs) >= SHARE else (pairs, pairs)
    kinds, text, rows = prepare(pairs, config, start)
    source, target = kinds
    count, words = len(rows[0]), sum(len(row) + 1 for row in rows[1])
    shape, noise, steps = choose_sizes(config, count, kinds, words)
    with train.seeded(config.seed):
        network = Network(shape if start is None else start.network.shape, noise)
    if start is not None:
        network.load_state_dict(start.network.state_dict())

    def redraw(epoch: int) -> list[list[list[int]]]:
        """The rows of an epoch under BPE-dropout."""
        seed = 2 * (config.seed + 1_000_003 * epoch)
        return [kinds[k].encode(text[k], config.bpe_dropout, seed + k) for k in range(2)]

    batch, epoch = bucket(rows, config.batch, config.seed, redraw if config.bpe_dropout else None)
    translator = Translator(source, target, network, config.longest)
    _, held_rows = _encode(
        _mask(held, source.sentinels), kinds, held.where, config
    )  # the loss of a line of a megabyte would take all memory
    batches = list(split(held_rows, config.batch * 4))

    def loss(network: Any, batch: Batch) -> Any:
        return model.loss(network, batch, config.smoothing, config.sampling, config.coverage_loss)

    def validate(network: Any) -> dict[str, float]:
        device = next(network.parameters()).device
        sums = [model.loss(network, trees.map(lambda x: x.to(device), batch)) for batch in batches]
        nll = sum(float(total) for total, _ in sums) / sum(count for _, count in sums)
        if config.monitor == "loss":
            return {"loss": nll}
        bleu = scoring.bleu(_translate_held_out(translator, held, width=1), held.sides()[1])
        return {"errors": 100 - bleu if bleu else 100 + nll, "loss": nll}  # lone words have no BLEU: the loss decides

    read = [side for part in (pairs, held) for side in part.sides()]
    history = runs.fit(
        network, loss, batch, config, job, data=read, validate=validate, steps=steps, warmup=0.05, betas=(0.9, 0.98),
        eval_every=max(epoch, steps // EVALUATIONS),
    )  # fmt: skip
    network.eval()
    metrics = {
        "pairs": count, "too_long": len(pairs) - count, "tokens": words,
        "steps": history.steps, "passes": history.steps / epoch, "best_step": history.best_step,
        "stopped": history.stopped, "held_out": _score_held_out(translator, held) | {"seen": held is pairs},
    }  # fmt: skip
    return translator, metrics, history.rows


class Prepared(NamedTuple):
    """Pairs as the network reads them, two sides each: text with sentinels for placeholders, and its tokens."""

    tokens: list[Tokens]
    text: list[list[str]]
    rows: list[list[list[int]]]


def prepare(pairs: Pairs, config: Config, start: Translator | None = None) -> Prepared:
    """Fit the tokens, or take those of `start`; encode the pairs, and leave out those that are too long."""
    if start is not None:
        kinds = [start.source, start.target]
        return Prepared(kinds, *_encode(_mask(pairs, start.source.sentinels), kinds, pairs.where, config))
    masked = any(mask_pair(*pair)[2] for pair in zip(*pairs.sides(), strict=True))
    sentinels = SENTINELS if masked else ()
    text = _mask(pairs, sentinels)
    size = config.vocabulary or int(min(max(len(pairs) // 6, MIN_VOCABULARY), MAX_VOCABULARY))
    kinds = [tokens.fit(side, config.tokens, size, config.lower, sentinels) for side in text]
    return Prepared(kinds, *_encode(text, kinds, pairs.where, config))


def _encode(
    text: list[list[str]], kinds: Sequence[Tokens], where: str, config: Config
) -> tuple[list[list[str]], list[list[list[int]]]]:
    """Text and tokens of both sides of the pairs of at most `longest` tokens a side."""
    rows = [kind.encode(side) for kind, side in zip(kinds, text, strict=True)]
    fits = [n for n, (s, t) in enumerate(zip(*rows, strict=True)) if max(len(s), len(t)) <= config.longest]
    todo = "Raise longest, or cut the lines into sentences."
    want(bool(fits), where, f"a pair of at most {config.longest} tokens a side", "longer ones only", todo)
    return [[side[n] for n in fits] for side in text], [[side[n] for n in fits] for side in rows]


def _mask(pairs: Pairs, sentinels: Sequence[str]) -> list[list[str]]:
    """Both sides; where there are sentinels, these in place of the placeholders that both sides have."""
    if not sentinels:
        return list(pairs.sides())
    masked = [mask_pair(*pair) for pair in zip(*pairs.sides(), strict=True)]
    return [[x for x, _, _ in masked], [y for _, y, _ in masked]]


def _hold_out(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """Some of the pairs, and the others."""
    count = len(pairs)
    rest, held = data.hold_out(count, min(MAX_HELD, count // SHARE))
    todo = f"With so few give validation data; one pair in {SHARE} is held out."
    want(len(held) > 0, pairs.where, f"at least {SHARE} pairs", count, todo)
    return pairs.take(held), pairs.take(rest)


def _translate_held_out(translator: Translator, held: Pairs, **search: Any) -> list[str]:
    return [best[0].text for best in translate([translator], held.source, Search(**search))]


def _score_held_out(translator: Translator, held: Pairs) -> dict[str, Any]:
    texts, target = _translate_held_out(translator, held), held.sides()[1]
    tokenize = scoring.choose_tokenizer(target)
    return {"bleu": scoring.bleu(texts, target), "chrf": scoring.chrf(texts, target), "tokenize": tokenize,
            "pairs": len(held)}  # fmt: skip


def describe(translator: Translator, metrics: dict[str, Any]) -> list[str]:
    """The network and its held-out figures in sentences."""
    size = sum(p.numel() for p in translator.network.parameters())
    lines = [
        f"A network of {size:,} weights translates {len(translator.source):,} tokens into {len(translator.target):,}."
    ]
    if "pairs" in metrics:
        m, longest = metrics, translator.longest
        long = f" ({m['too_long']:,} longer than {longest} tokens left out)" if m["too_long"] else ""
        verb = "Updated" if m.get("updated") else "Trained"
        lines.append(f"{verb} on {m['pairs']:,} pairs{long} for {m['passes']:.1f} epochs.")
    if metrics.get("held_out"):
        held = metrics["held_out"]
        bare = held.get("tokenize", "13a") != "13a"  # a script that parts no words
        chrf = f" (tok:{held['tokenize']}), chrF {held['chrf']:.1f}" if bare else ""
        kind = "of these" if held.get("seen") else "held-out"
        lines.append(f"{held['pairs']:,} {kind} pairs: BLEU {held['bleu']:.1f}{chrf}.")
    if "fit_seconds" in metrics:
        lines.append(f"Fit in {metrics['fit_seconds']:.1f} s.")
    return lines


def choose_sizes(config: Config, pairs: int, sides: Sequence[Tokens], words: int) -> tuple[Shape, Noise, int]:
    """The network, its noise and the number of updates, from the config and where it has None from the data.

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
    steps = config.steps or max(MIN_STEPS, int(EPOCHS * words / config.batch))
    return shape, noise, steps
