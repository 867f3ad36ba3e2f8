"""Writing: a text continued token by token, as fast as the layers step, with rules on what may come.

Each sample is a function of the run, the prompt, the options and its number alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from gated._check import optional, refuse, want
from gated.options import check, option
from gated.tasks.language.model import Network
from gated.tasks.language.vocabulary import Vocabulary

PERIODS = 3  # repetitions that make a loop,
LOOP = 24  # and its tokens at least


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How text is drawn: y ~ p(y)^(1 / temperature) among the tokens that top_k and top_p leave."""

    length: int = option(500, "Maximum number of tokens.", low=0)
    temperature: float = option(
        0.8, "Above 1 the text is more diverse, below 1 less; 0 takes the most probable token.", low=0, high=100
    )
    top_k: int | None = option(None, "Draw from the K most probable tokens only.", low=1)
    top_p: float = option(1.0, "Draw from the fewest tokens that hold this share of the probability.", low=1e-9, high=1)
    stop: str | None = option(None, "End before this text.")
    regex: str | None = option(None, "Regular expression that the continuation matches as a whole.")
    n: int = option(1, "Number of samples.", low=1, high=10_000)
    seed: int = option(0, "Random seed.", low=0)

    def __post_init__(self) -> None:
        check(self)
        want(self.stop != "", "stop", "some text", "none")
        want(math.isfinite(self.temperature), "temperature", "a finite number", self.temperature)


@dataclass
class Sample:
    """A continuation. ended: "length", "stop" or "regex"; loop: tokens of the text that it repeats at its end, or 0."""

    ids: list[int] = field(default_factory=list)
    data: bytes = b""  # of the text, without what `stop` takes away
    ended: str = "length"
    log_prob: float = 0.0  # of its tokens, by the model itself
    loop: int = 0
    complete: bool = True  # whether the regular expression matches as a whole

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


class Stepper:
    """A network that reads one token of each of B texts at a time, in the native core, in float32.

    outputs: of the last layer for what was read last, (T, B, O).
    """

    def __init__(self, network: Network, batch: int = 1) -> None:
        self.network, self.batch = network, batch
        arrays = [part.detach().float().cpu().numpy() for part in (network.embed.weight, network.readout, network.bias)]
        self.embedding, self.readout, self.bias = arrays
        self.outputs = np.zeros((0, batch, 0), np.float32)
        self.streams: list[Any] = [layer.stream(batch) for layer in network.layers]  # pyright: ignore

    def step(self, tokens: Sequence[int]) -> Float[np.ndarray, "B V"]:
        """log p of what follows, up to a constant for each text."""
        h = self.embedding[tokens]
        for stream in self.streams:
            h = stream.push(h)
        self.outputs = h[None]
        return h @ self.readout.T + self.bias

    def read(self, ids: Sequence[int]) -> Float[np.ndarray, "B V"]:
        """All of these tokens, in each of the B texts; what follows the last."""
        h = np.repeat(self.embedding[np.asarray(ids, np.int64)][:, None], self.batch, 1)
        for stream in self.streams:
            h = stream.push_block(h)
        self.outputs = h
        return h[-1] @ self.readout.T + self.bias


# ---- one distribution


def choose(
    logits: Float[np.ndarray, " V"], u: float, temperature: float, top_k: int | None = None, top_p: float = 1.0
) -> int:
    """The token by inversion of u, 0 ≤ u < 1, as `decode.pick.draw`; at temperature 0 the most probable."""
    if temperature == 0:
        return int(logits.argmax())
    weight = np.exp((logits - logits.max()).astype(np.float64) / temperature)
    places = None
    if top_k is not None and top_k < len(weight):
        places = np.argsort(-weight, kind="stable")[:top_k]
        weight = weight[places]
    if top_p < 1:
        order = np.argsort(-weight, kind="stable")
        sums = weight[order].cumsum()
        order = order[: int(np.searchsorted(sums, top_p * sums[-1])) + 1]
        weight, places = weight[order], order if places is None else places[order]
    sums = weight.cumsum()
    at = min(int(np.searchsorted(sums, u * sums[-1], side="right")), len(sums) - 1)
    return at if places is None else int(places[at])


class Pattern:
    """A regular expression as a rule on what may be appended to a text."""

    def __init__(self, expression: str) -> None:
        regex = optional("regex", "language")
        try:
            self.pattern = regex.compile(expression)
        except regex.error as error:
            refuse("regex", "a regular expression", f"{expression!r} ({error})")

    def allows(self, text: str) -> bool:
        """Whether some continuation of the text matches."""
        return self.pattern.fullmatch(text, partial=True) is not None

    def matches(self, text: str) -> bool:
        return self.pattern.fullmatch(text) is not None


# ---- texts


def write(
    steppers: Sequence[Stepper], vocabulary: Vocabulary, prompt: Sequence[int], how: Sampling, samples: list[Sample],
    adjust: Callable[[Float[np.ndarray, "B V"], list[list[int]]], Float[np.ndarray, "B V"]] | None = None,
) -> Iterator[tuple[int, bytes]]:  # fmt: skip
    """n continuations of a prompt, put into `samples`; gives the bytes of sample k, (k, bytes), as soon as they are
    certain.

    steppers: those of the runs whose probabilities are averaged. adjust: logits and the ids so far to other logits.
    """
    samples += [Sample() for _ in range(how.n)]
    pattern = None if how.regex is None else Pattern(how.regex)
    draws = [np.random.default_rng((how.seed, k)) for k in range(how.n)]
    stop = None if how.stop is None else how.stop.encode()
    done, sent = [False] * how.n, [0] * how.n
    begin = [0, *prompt]
    logits = [stepper.read(begin) for stepper in steppers]
    ids = [list(prompt) for _ in range(how.n)]
    for _ in range(how.length):
        z = combine(logits) if len(logits) > 1 else logits[0]
        z = z if adjust is None else adjust(z, ids)
        z[:, 0] = -np.inf
        for k, sample in enumerate(samples):
            if done[k]:
                continue
            token = _pick(z[k], draws[k], how, vocabulary, sample, pattern)
            if token is None:
                sample.ended, done[k] = "regex", True
                continue
            before = ids[k][-1] if ids[k] else None
            sample.ids.append(token)
            ids[k].append(token)
            sample.data += vocabulary.decode([token], before)
            at = sample.data.find(stop, max(0, sent[k] - len(stop))) if stop is not None else -1
            if at >= 0:
                sample.data, sample.ended, done[k] = sample.data[:at], "stop", True
            safe = len(sample.data) - (0 if stop is None or done[k] else _overlap(sample.data, stop))
            if safe > sent[k]:
                yield k, sample.data[sent[k] : safe]
                sent[k] = safe
        if all(done):
            break
        last = [row[-1] if row else 0 for row in ids]
        logits = [stepper.step(last) for stepper in steppers]
    for k, sample in enumerate(samples):
        if len(sample.data) > sent[k]:
            yield k, sample.data[sent[k] :]
        sample.loop = find_loop(sample.ids)
        sample.complete = pattern is None or pattern.matches(sample.text)


def combine(logits: Sequence[Float[np.ndarray, "B V"]]) -> Float[np.ndarray, "B V"]:
    """log of the mean of the probabilities."""
    parts = []
    for z in logits:
        z = z.astype(np.float64)
        top = z.max(-1, keepdims=True)
        parts.append(z - top - np.log(np.exp(z - top).sum(-1, keepdims=True)))
    return np.logaddexp.reduce(parts) - math.log(len(parts))


def _pick(
    z: np.ndarray, draws: np.random.Generator, how: Sampling, vocabulary: Vocabulary, sample: Sample,
    pattern: Pattern | None,
) -> int | None:  # fmt: skip
    """The next token, or None at the end: the pattern allows no more, or it matches and the model would leave it."""
    z = z.copy() if pattern is not None else z
    while True:
        token = choose(z, draws.random() if how.temperature else 0.0, how.temperature, how.top_k, how.top_p)
        if pattern is not None:
            before = sample.ids[-1] if sample.ids else None
            data = sample.data + vocabulary.decode([token], before)
            if not pattern.allows(data.decode("utf-8", "ignore")):
                if pattern.matches(sample.text):
                    return None
                z[token] = -np.inf
                if not np.isfinite(z).any():
                    return None
                continue
        top = z.max()
        sample.log_prob += float(z[token] - top - np.log(np.exp(z - top).sum()))
        return token


def _overlap(data: bytes, stop: bytes) -> int:
    """Bytes at the end of the data with which the stop text may begin."""
    return next((n for n in range(min(len(stop) - 1, len(data)), 0, -1) if data.endswith(stop[:n])), 0)


def find_loop(ids: Sequence[int]) -> int:
    """The period with which the tokens end three times or more, over at least `LOOP` of them; 0 if they do not."""
    row = np.asarray(ids)
    for period in range(1, len(row) // PERIODS + 1):
        span = max(PERIODS * period, LOOP)
        if span <= len(row) and np.array_equal(row[-span:-period], row[len(row) - span + period :]):
            return period
    return 0


# ---- copies


def longest_copy(ids: Sequence[int], train: np.ndarray) -> tuple[int, int]:
    """The longest run of tokens that stands in the training text as well: where it begins in `ids`, and its length."""
    text = np.asarray(train).astype("<u4") + 0x10000  # as characters, so that Python's own search finds them
    whole = text.tobytes().decode("utf-32-le")
    row = (np.asarray(ids, "<u4") + 0x10000).astype("<u4").tobytes().decode("utf-32-le")
    start, length, first = 0, 0, 0
    while first + length < len(row):
        if row[first : first + length + 1] in whole:
            start, length = first, length + 1
        else:
            first += 1
    return start, length
