"""Sound as it comes: a network that reads forward only writes while it listens.

Each step of the network is computed by itself from its own frames, so what is written for a whole file is what is
written for pieces of any size, to the bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32

from gated._check import want, within
from gated.decode import ctc
from gated.features import fbank
from gated.tasks.transcribe.model import Learnt
from gated.tasks.transcribe.search import Reading, Search, beams, reading

PAUSE = 1.0  # seconds without a letter that end an utterance


class Heard(NamedTuple):
    """What a piece of sound brought."""

    done: list[Reading]  # utterances that ended in it
    partial: str  # the text of the one that goes on
    seconds: float  # since the beginning
    took: float  # seconds of computing


def able(learnt: Learnt) -> None:
    """Refuse a run that cannot listen."""
    kind, todo = learnt.frames.kind, "Learn one with streaming=True (--streaming)."
    want(kind == "sound", "listen", "a run that reads sound", f"one that reads {kind}")
    want(not learnt.network.shape.both, "listen", "a network that reads forward only", "one that reads both ways", todo)


class Listener:
    """Sound in pieces of any size to utterances, which a pause or the end ends.

    listener = Listener(learnt)
    listener.push(samples) -> Heard        float32 in [-1, 1], at the network's rate
    listener.close() -> Heard              what was still to come
    """

    def __init__(self, learnt: Learnt, search: Search = Search(), pause: float = PAUSE) -> None:  # noqa: B008
        able(learnt)
        how = learnt.frames
        within("pause", pause, 0.05)
        self.fbank = fbank.Stream(how.front)
        self.normal = fbank.Running(np.array(how.mean), np.array(how.std))
        self.steps = Steps(learnt, search, pause)
        self.clock, self.rate = 0, how.rate

    def push(self, samples: Float32[np.ndarray, " n"]) -> Heard:
        began = time.perf_counter()
        self.clock += len(samples)
        done = self.steps.push(self.normal.push(self.fbank.push(samples)))
        return Heard(done, self.steps.partial, self.clock / self.rate, time.perf_counter() - began)

    def close(self) -> Heard:
        began = time.perf_counter()
        done = self.steps.close()
        return Heard(done, "", self.clock / self.rate, time.perf_counter() - began)


class Steps:
    """Normalised frames in pieces to utterances: the network's steps, one by one, and the search."""

    def __init__(self, learnt: Learnt, search: Search, pause: float) -> None:
        want(search.n_best == 1, "n_best", "1, where utterances are written as they end", search.n_best)
        network, shape = learnt.network, learnt.network.shape
        self.learnt, self.search, self.shape = learnt, search, shape
        self.front, self.output = network.front, network.output
        self.stream = network.layers.stream()
        self.make = beams(learnt.alphabet, search)
        self.unit = learnt.frames.unit * shape.stride
        self.pause = pause / self.unit  # steps
        self.held = np.zeros((shape.rows, shape.before), np.float32)  # from the next step's first frame on
        self.count = 0  # steps so far
        self._begin()

    def _begin(self) -> None:
        self.rows: list[np.ndarray] = []  # log p of the steps of this utterance
        self.tokens: list[int] = []  # its best path's text so far
        self.last, self.quiet = 0, 0  # the best symbol of the last step; steps since the last letter
        self.beam = self.make() if self.make else None

    @property
    def partial(self) -> str:
        """The text of the utterance that goes on."""
        if self.beam is not None and self.tokens:
            return self.learnt.alphabet.decode(self.beam.best(1)[0].tokens)
        return self.learnt.alphabet.decode(self.tokens)

    def push(self, x: Float[np.ndarray, "R t"]) -> list[Reading]:
        """Go on by these frames; the utterances that ended."""
        self.held = np.concatenate([self.held, x], 1)
        field, stride, done = self.shape.field, self.shape.stride, []
        n = 0
        while n * stride + field <= self.held.shape[1]:
            found = self._step(self.held[:, n * stride : n * stride + field])
            done += [] if found is None else [found]
            n += 1
        self.held = self.held[:, n * stride :].copy()
        return done

    def close(self) -> list[Reading]:
        """The last steps, which see zeros after the end, and the last utterance."""
        short = -(self.held.shape[1] - self.shape.before) % self.shape.stride
        done = self.push(np.zeros((self.shape.rows, short), np.float32))
        last = self._end() if self.tokens else None
        return done if last is None else [*done, last]

    def _step(self, window: np.ndarray) -> Reading | None:
        with torch.inference_mode():
            y = self.front.window(torch.from_numpy(np.ascontiguousarray(window))[None])
            h = self.stream.push(y[0])
            row = torch.log_softmax(self.output(h[0]), -1).numpy()
        self.count += 1
        best = int(row.argmax())
        if best == 0 and not self.tokens:  # nothing is said yet
            return None
        if best not in (0, self.last):
            self.tokens.append(best)
        self.quiet = 0 if best else self.quiet + 1
        self.last = best
        self.rows.append(row)
        if self.beam is not None:
            self.beam.feed(row[None])
        return self._end() if self.quiet >= self.pause else None

    def _end(self) -> Reading | None:
        """The utterance that is over, if there is a word in it."""
        log_probs = np.stack(self.rows)
        offset = (self.count - len(self.rows)) * self.unit
        if self.beam is None:
            found = ctc.greedy(log_probs)
        else:
            found = self.beam.best(1, end=True)[0]
            found = found._replace(spans=ctc.align(log_probs, found.tokens))
        self._begin()
        said = reading(self.learnt, found, offset)
        return said if said.words else None


def whole(learnt: Learnt, x: Float[np.ndarray, "R T"], search: Search) -> list[Reading]:
    """The utterances of normalised frames, joined to one reading: what `listen` would say of them."""
    steps = Steps(learnt, search, PAUSE)
    return [joined(learnt, [*steps.push(x), *steps.close()])]


def joined(learnt: Learnt, parts: list[Reading]) -> Reading:
    """Utterances one after the other."""
    letters = [letter for part in parts for letter in part.letters]
    certain = [math.log(max(letter.confidence, 1e-30)) for letter in letters]
    return Reading(
        " ".join(part.text for part in parts), math.exp(sum(certain) / len(certain)) if certain else 1.0,
        sum(part.score for part in parts), sum(part.log_prob for part in parts),
        [word for part in parts for word in part.words], letters,
    )  # fmt: skip


@dataclass
class Latency:
    """What listening took, over one sound or several."""

    took: list[float] = field(default_factory=list)  # seconds of computing, for each piece
    closing: float = 0.0  # and for the ends
    heard: float = 0.0  # seconds of sound

    def result(self) -> dict[str, Any]:
        """{"pieces", "seconds": of sound, "rtf": computing's share of them, "milliseconds": of a piece}"""
        some = np.array(self.took or [0.0]) * 1e3
        middle, high, most = np.percentile(some, [50, 95, 100]).tolist()
        rtf = (sum(self.took) + self.closing) / self.heard if self.heard else None
        times = {"median": middle, "p95": high, "most": most}
        return {"pieces": len(self.took), "seconds": self.heard, "rtf": rtf, "milliseconds": times}


def listen(
    learnt: Learnt, pieces: Iterable[Float32[np.ndarray, " n"]], latency: Latency, search: Search = Search(),  # noqa: B008
    pause: float = PAUSE,
) -> Iterator[Heard]:  # fmt: skip
    """What each piece brought, as it comes; the last is what the end brought."""
    listener = Listener(learnt, search, pause)
    for piece in pieces:
        heard = listener.push(piece)
        latency.took.append(heard.took)
        latency.heard += len(piece) / listener.rate
        yield heard
    last = listener.close()
    latency.closing += last.took
    yield last
