"""Log-mel filter banks: what a frame of sound holds in each band of hearing, offline or as the sound comes.

    s    = frame t: 25 ms of samples from t · 10 ms on                   (no frame reaches past the last sample)
    s   -= mean(s)
    s_i -= 0.97 s_{i-1}                                                  the higher, the weaker: level that out
    P    = |FFT(s · (0.5 - 0.5 cos(2πi/(n-1)))^0.85)|²                   zeros up to a power of two
    x_kt = log max(Σ_f M_kf P_f, 2⁻²³)

M_k is a triangle over mel(f) = 1127 ln(1 + f/700): 1 at its centre, 0 from the neighbours' centres on; the centres lie
equally far apart in mel between 20 Hz and half the rate.

Source: Davis & Mermelstein 1980, "Comparison of parametric representations for monosyllabic word recognition", for
triangles on the mel scale; the HTK Book, "Filterbank analysis", for the formula; and Kaldi's compute-fbank-feats with
dither 0 and snip-edges, which this equals. Samples are in [-1, 1]: there the floor 2⁻²³ lies where the noise of 16-bit
samples does, so digital silence and a quiet room look alike. Kaldi's own habit of samples up to 32768 would add
log 2³⁰ = 20.8.

All is computed in float64, each frame by itself in the same order of additions, and rounded once: a frame comes out the
same bits whether its sound came whole or in chunks.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int

from gated._check import refuse, within

__all__ = ["Front", "Running", "Stream", "fbank", "normalise", "normalise_utterance"]

WINDOW, HOP = 0.025, 0.010  # seconds of a frame, and from a frame's start to the next one's
LOW = 20.0  # Hz
EMPHASIS = 0.97
FLOOR = 2.0**-23  # of a band's energy
STILL = 0.1  # of a standard deviation, in nats: white noise has about 0.2, so only a dead band has less
PRIOR = 100.0  # frames with the given statistics that normalisation begins with
BLOCK = 1 << 14  # points of spectrum computed together: they stay in the cache


class Front(NamedTuple):
    """The parameters of a filter bank: samples a second, and mel bands of a frame."""

    rate: int
    bands: int = 40

    @property
    def size(self) -> int:
        """Samples in a frame."""
        return int(self.rate * WINDOW + 1e-6)

    @property
    def step(self) -> int:
        """Samples from a frame's start to the next one's."""
        return int(self.rate * HOP + 1e-6)


class Stream:
    """Frames as soon as their samples are there.

    Pushed one after another, the frames of any chunks of a sound, of 0 samples, of 1 or of all, are bit for bit
    those of `fbank` for the whole. A frame waits for nothing but its own last sample.
    """

    def __init__(self, front: Front) -> None:
        self.front = front
        self.tables = _tables(front)
        self.rest = np.zeros(0, np.float32)  # from the next frame's first sample on

    def push(self, samples: Float32[np.ndarray, " n"]) -> Float32[np.ndarray, "bands t"]:
        """The t >= 0 frames that these samples complete."""
        buffer = np.concatenate([self.rest, samples])
        size, step = self.front.size, self.front.step
        count = max(0, 1 + (len(buffer) - size) // step)
        x = np.empty((self.front.bands, count), np.float32)
        block = max(1, BLOCK // self.tables.points)
        for t in range(0, count, block):
            some = min(block, count - t)
            view = buffer[t * step : (t + some - 1) * step + size]
            x[:, t : t + some] = _log_mel(np.lib.stride_tricks.sliding_window_view(view, size)[::step], self.tables)
        self.rest = buffer[count * step :].copy()
        return x


def fbank(samples: Float32[np.ndarray, " N"], front: Front) -> Float32[np.ndarray, "bands T"]:
    """Log-mel energies of a sound: the equations at the head of this file.

    samples [N] in [-1, 1], at front.rate  ->  [bands, T],  T = 1 + (N - size) // step, and 0 for less than a window

    Errors: a rate below 1000, or more bands than the spectrum has lines for.
    """
    return Stream(front).push(samples)


# ---- normalisation


def normalise_utterance(
    x: Float32[np.ndarray, "bands T"], mean: Float64[np.ndarray, " bands"], std: Float64[np.ndarray, " bands"]
) -> Float32[np.ndarray, "bands T"]:
    """(x_kt - μ_k) / max(σ_k, 0.1), μ and σ over these frames and PRIOR frames with the given statistics.

    They are what `Running` has come to at the last frame. Without the others a short word, which may be one vowel,
    would lose with its mean all that tells it from another.
    """
    d, std = x - mean[:, None], np.maximum(std, STILL)
    n = PRIOR + x.shape[1]
    ahead = d.sum(1) / n
    return normalise(x, mean + ahead, np.sqrt(np.maximum((PRIOR * std**2 + (d * d).sum(1)) / n - ahead**2, 0)))


def normalise(
    x: Float32[np.ndarray, "bands T"], mean: Float64[np.ndarray, " bands"], std: Float64[np.ndarray, " bands"]
) -> Float32[np.ndarray, "bands T"]:
    """(x_kt - mean_k) / max(std_k, 0.1), by given statistics: a speaker's, or the training data's."""
    return ((x - mean[:, None]) / np.maximum(std, STILL)[:, None]).astype(np.float32)


class Running:
    """Normalisation that looks back only: by the frames so far and PRIOR frames with the given statistics.

    n_t = PRIOR + t + 1,  d_s = x_s - mean        band by band, t counted from 0
    μ_t = mean + Σ_{s<=t} d_s / n_t
    σ_t² = (PRIOR · std² + Σ_{s<=t} d_s²) / n_t - (Σ_{s<=t} d_s / n_t)²
    push(x [bands, t]) -> [bands, t]              (x_t - μ_t) / max(σ_t, 0.1)

    These are the mean and variance of both kinds of frames together. The sums run in float64 from frame to frame, so
    that frames in chunks of any number come out bit for bit as they would in one.
    """

    def __init__(self, mean: Float64[np.ndarray, " bands"], std: Float64[np.ndarray, " bands"]) -> None:
        self.mean, self.std = mean, np.maximum(std, STILL)
        self.frames = 0
        self.sums = np.zeros((2, len(mean), 1))  # of d and of d²

    def push(self, x: Float32[np.ndarray, "bands t"]) -> Float32[np.ndarray, "bands t"]:
        """These frames, normalised by all until each of them."""
        d = x - self.mean[:, None]
        sums = np.concatenate([self.sums, np.stack([d, d * d])], axis=2).cumsum(axis=2)
        n = PRIOR + self.frames + np.arange(1, x.shape[1] + 1)
        ahead = sums[0, :, 1:] / n
        variance = (PRIOR * self.std[:, None] ** 2 + sums[1, :, 1:]) / n - ahead * ahead
        self.frames, self.sums = self.frames + x.shape[1], sums[:, :, -1:].copy()
        return ((d - ahead) / np.sqrt(np.maximum(variance, STILL**2))).astype(np.float32)


# ---- arithmetic


class Tables(NamedTuple):
    """What depends on the front alone. A line f of the spectrum is on two triangles: it leaves one, enters the next."""

    points: int  # of the FFT
    window: Float64[np.ndarray, " size"]
    lines: slice  # those on any triangle
    rise: Float64[np.ndarray, " lines"]  # line f's share of the triangle it enters
    fall: Float64[np.ndarray, " lines"]
    edges: Int[np.ndarray, " bands+1"]  # where, among `lines`, those begin that enter triangle k
    filled: Float64[np.ndarray, " bands+1"]  # 1, or 0 where there are none: there `reduceat` would give a neighbour's


def _log_mel(frames: Float32[np.ndarray, "t size"], tables: Tables) -> Float32[np.ndarray, "bands t"]:
    """The equations. No operation mixes frames, or adds in an order that depends on how many of them there are."""
    s = frames.astype(np.float64)
    s -= s.mean(axis=1, keepdims=True)
    s[:, 1:] -= EMPHASIS * s[:, :-1]  # of sample 0 the window leaves nothing
    s *= tables.window
    spectrum = np.fft.rfft(s, tables.points)[:, tables.lines]
    power = spectrum.real**2 + spectrum.imag**2
    # A matrix product would add in an order that depends on the number of frames; sums of stretches do not.
    up = np.add.reduceat(power * tables.rise, tables.edges, axis=1) * tables.filled
    down = np.add.reduceat(power * tables.fall, tables.edges, axis=1) * tables.filled
    energy = up[:, :-1] + down[:, 1:]
    return np.log(np.maximum(energy, FLOOR)).astype(np.float32).T


@functools.lru_cache(maxsize=32)
def _tables(front: Front) -> Tables:
    within("rate", front.rate, 1000, 1_000_000)
    within("bands", front.bands, 1, 1000)
    points = 1 << (front.size - 1).bit_length()
    at = _mel(np.arange(points // 2) * (front.rate / points))
    corners = np.linspace(_mel(LOW), _mel(front.rate / 2), front.bands + 2)
    inside = np.flatnonzero((at > corners[0]) & (at < corners[-1]))
    lines = slice(int(inside[0]), int(inside[-1]) + 1)
    stretch = np.searchsorted(corners, at[lines], side="right") - 1  # between corners k and k+1
    share = (at[lines] - corners[stretch]) / np.diff(corners)[stretch]
    edges = np.searchsorted(stretch, np.arange(front.bands + 1))
    counts = np.diff([*edges, len(stretch)])
    empty = np.flatnonzero(counts[:-1] + counts[1:] == 0)
    if len(empty) > 0:
        got = f"{front.bands} bands, of which number {empty[0] + 1} has none"
        refuse("bands", "a line of the spectrum in every band", got, "Take fewer bands.")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(front.size) / (front.size - 1))
    filled = (counts > 0).astype(np.float64)
    return Tables(points, hann**0.85, lines, share, 1 - share, np.minimum(edges, len(stretch) - 1), filled)


def _mel(hertz: Any) -> Any:
    return 1127 * np.log1p(hertz / 700)
