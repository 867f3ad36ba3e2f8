"""Streaming: a forward-only network transcribes sound in chunks as they arrive.

Each step is computed by itself from its own frames, so streaming output equals offline output, to the bit, for chunks
of any size.
"""

from __future__ import annotations

import signal
import threading
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
from gated.tasks.transcribe.model import Transcriber
from gated.tasks.transcribe.search import Hypothesis, Search, make_beam, make_hypothesis, mean_confidence

PAUSE = 1.0  # seconds without a symbol that end an utterance


class Update(NamedTuple):
    """The result of a chunk."""

    utterances: list[Hypothesis]  # that ended in it
    partial: str  # text of the current utterance
    seconds: float  # of sound since the beginning
    compute_seconds: float


class Listener:
    """Sound in chunks of any size to utterances, which a pause or the end ends: network and search step by step.

    listener = Listener(run.model)
    listener.push(samples) -> Update       float32 in [-1, 1], at the network's rate
    listener.close() -> Update             the last utterance
    listener.stream(chunks, latency)       an update for each chunk, and one for the end
    """

    def __init__(self, model: Transcriber, search: Search = Search(), pause: float = PAUSE) -> None:  # noqa: B008
        kind, todo = model.frames.kind, "Train one with streaming=True (--streaming)."
        want(kind == "sound", "listen", "a run that reads sound", f"one that reads {kind}")
        self.model, self.shape = model, model.network.shape
        want(not self.shape.both, "listen", "a network that reads forward only", "one that reads both ways", todo)
        want(search.n_best == 1, "n_best", "1, where utterances are written as they end", search.n_best)
        within("pause", pause, 0.05)
        self.samples, self.rate = 0, model.frames.rate
        self.fbank = fbank.Stream(model.frames.front)
        self.running = fbank.Running(*model.frames.stats)
        self.layers = model.network.layers.stream()
        self.make_beam = make_beam(model.alphabet, search)
        self.pause = pause / model.unit  # steps
        self.frames = np.zeros((self.shape.rows, self.shape.before), np.float32)  # from the next step's field on
        self.count = 0  # steps so far
        self._begin()

    def _begin(self) -> None:
        self.rows: list[np.ndarray] = []  # log p of the steps of this utterance
        self.tokens: list[int] = []  # its text so far, by the best path
        self.last, self.blanks = 0, 0  # the best symbol of the last step; steps since the last symbol
        self.beam = self.make_beam() if self.make_beam else None

    def push(self, samples: Float32[np.ndarray, " n"]) -> Update:
        start = time.perf_counter()
        self.samples += len(samples)
        return self._update(self.read(self.running.push(self.fbank.push(samples))), start)

    def close(self) -> Update:
        start = time.perf_counter()
        return self._update(self.finish(), start)

    def stream(self, chunks: Iterable[Float32[np.ndarray, " _"]], latency: Latency) -> Iterator[Update]:
        """An update for each chunk, and one for the end; `latency` counts their computing time. Ctrl-C is the end."""
        for samples in _until_interrupt(chunks):
            update = self.push(samples)
            latency.chunks.append(update.compute_seconds)
            latency.sound += len(samples) / self.rate
            yield update
        last = self.close()
        latency.closing += last.compute_seconds
        yield last

    def _update(self, utterances: list[Hypothesis], start: float) -> Update:
        return Update(utterances, self.partial, self.samples / self.rate, time.perf_counter() - start)

    @property
    def partial(self) -> str:
        """The text of the current utterance."""
        best = self.beam.best(1)[0].tokens if self.beam is not None and self.tokens else self.tokens
        return self.model.alphabet.decode(best)

    def read(self, x: Float[np.ndarray, "R t"]) -> list[Hypothesis]:
        """The utterances that end in these normalised frames."""
        self.frames = np.concatenate([self.frames, x], 1)
        field, stride = self.shape.field, self.shape.stride
        count = max(0, 1 + (self.frames.shape[1] - field) // stride)
        steps = [self._step(self.frames[:, n * stride : n * stride + field]) for n in range(count)]
        self.frames = self.frames[:, count * stride :].copy()
        return [utterance for utterance in steps if utterance is not None]

    def finish(self) -> list[Hypothesis]:
        """The last steps, whose fields are padded with zeros, and the last utterance."""
        missing = -(self.frames.shape[1] - self.shape.before) % self.shape.stride
        utterances = self.read(np.zeros((self.shape.rows, missing), np.float32))
        last = self._end() if self.tokens else None
        return utterances if last is None else [*utterances, last]

    def _step(self, window: np.ndarray) -> Hypothesis | None:
        network, device = self.model.network, self.model.device
        with torch.inference_mode():
            y = network.front.window(torch.from_numpy(np.ascontiguousarray(window))[None].to(device))
            h = self.layers.push(y[0].cpu())  # a stream runs on the processor
            row = torch.log_softmax(network.output(h[0].to(device)), -1).cpu().numpy()
        self.count += 1
        best = int(row.argmax())
        if best == 0 and not self.tokens:  # before the first symbol
            return None
        if best not in (0, self.last):
            self.tokens.append(best)
        self.blanks = 0 if best else self.blanks + 1
        self.last = best
        self.rows.append(row)
        if self.beam is not None:
            self.beam.feed(row[None])
        return self._end() if self.blanks >= self.pause else None

    def _end(self) -> Hypothesis | None:
        """The utterance that is over, if it has a word."""
        log_probs = np.stack(self.rows)
        offset = (self.count - len(self.rows)) * self.model.unit
        reading = ctc.greedy(log_probs) if self.beam is None else self.beam.best(1, end=True)[0]
        self._begin()
        utterance = make_hypothesis(self.model, log_probs, reading, offset)
        return utterance if utterance.words else None


def _until_interrupt(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The chunks until Ctrl-C. It ends the wait for one; what is being computed or written is completed."""
    before, pressed, waiting = signal.getsignal(signal.SIGINT), False, False
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield from chunks
        return

    def press(number: int, frame: Any) -> None:
        nonlocal pressed
        pressed = True
        if waiting:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, press)
    rest = iter(chunks)
    try:
        while True:
            waiting = True
            chunk = None if pressed else next(rest, None)
            waiting = False
            if chunk is None:
                return
            yield chunk
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGINT, before)


def decode_offline(model: Transcriber, x: Float[np.ndarray, "R T"], search: Search) -> Hypothesis:
    """The utterances of all frames, joined: what streaming gives for them."""
    listener = Listener(model, search)
    return join_utterances([*listener.read(x), *listener.finish()])


def join_utterances(utterances: list[Hypothesis]) -> Hypothesis:
    symbols = [symbol for one in utterances for symbol in one.symbols]
    return Hypothesis(
        " ".join(one.text for one in utterances), mean_confidence(symbols), sum(one.score for one in utterances),
        sum(one.log_prob for one in utterances), [word for one in utterances for word in one.words], symbols,
    )  # fmt: skip


@dataclass
class Latency:
    """The computing time of streaming, over one sound or several."""

    chunks: list[float] = field(default_factory=list)  # seconds for each
    closing: float = 0.0  # for the ends
    sound: float = 0.0  # seconds of sound

    def result(self) -> dict[str, Any]:
        """{"pieces": chunks, "seconds": of sound, "rtf": computing time over them, "milliseconds": of a chunk}"""
        median, p95, most = np.percentile(np.array(self.chunks or [0.0]) * 1e3, [50, 95, 100]).tolist()
        rtf = (sum(self.chunks) + self.closing) / self.sound if self.sound else None
        times = {"median": median, "p95": p95, "most": most}
        return {"pieces": len(self.chunks), "seconds": self.sound, "rtf": rtf, "milliseconds": times}

    def describe(self) -> str:
        """The latency in a sentence."""
        result = self.result()
        if result["rtf"] is None:
            return "No sound came."
        times, rtf = result["milliseconds"], result["rtf"]
        return (
            f"{result['seconds']:.1f} s of sound in {result['pieces']:,} chunks; computing took {rtf:.4f} of that "
            f"time, {times['median']:.1f} ms a chunk, {times['p95']:.1f} at the 95th percentile, "
            f"{times['most']:.1f} at most."
        )
