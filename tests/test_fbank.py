"""Filter banks as Kaldi's, and streams of frames that equal the offline ones bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gated._check import InputError
from gated.features import fbank as fb
from gated.features.fbank import Front, Running, Stream, fbank
from made.noise import cut, noise

CUTS = st.lists(st.integers(0, 3000), min_size=1, max_size=30)
LONG = st.integers(0, 30000)
RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100])


def refused(words, call, *args, **more):
    """The call is refused, in words that hold each of these."""
    with pytest.raises(InputError) as error:
        call(*args, **more)
    for word in words:
        assert word in str(error.value), str(error.value)


# ---- filter banks


def kaldi(samples, front):
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = front.rate
    options.frame_opts.frame_length_ms = 25
    options.frame_opts.frame_shift_ms = 10
    options.mel_opts.num_bins = front.bands
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = 0  # half the rate
    machine = knf.OnlineFbank(options)
    machine.accept_waveform(front.rate, samples.tolist())
    machine.input_finished()
    frames = [machine.get_frame(t) for t in range(machine.num_frames_ready)]
    return np.array(frames).reshape(-1, front.bands).T


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
@pytest.mark.parametrize("bands", [23, 40, 64])
def test_frames_are_kaldis(rate, bands):
    """Noise loud and faint within 3e-4, tones within 2e-3 (Kaldi's float32 is that far from the equations), silence."""
    t = np.arange(rate // 2) / rate
    tone = (0.5 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 3000 * t)).astype(np.float32)
    front = Front(rate, bands)
    for samples, near in [(noise(len(t)), 3e-4), (noise(len(t), 1e-4), 3e-4), (tone, 2e-3), (0 * tone, 1e-6)]:
        x = fbank(samples, front)
        assert x.dtype == np.float32
        assert x.shape == (bands, 1 + (len(t) - front.size) // front.step)
        np.testing.assert_allclose(x, kaldi(samples, front), atol=near, rtol=0)


def test_frames_are_the_equations():
    """Written out frame by frame, with the Fourier transform as a sum and triangles by definition: within 1e-5."""
    front = Front(8000, 24)
    samples = noise(900)
    n, points = 200, 256
    i = np.arange(n)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * i / (n - 1))) ** 0.85
    mel = lambda f: 1127 * np.log(1 + f / 700)  # noqa: E731
    centres = np.linspace(mel(20), mel(4000), 26)
    width = centres[1] - centres[0]
    lines = np.arange(points // 2 + 1)
    M = np.maximum(0, 1 - np.abs(mel(lines * 8000 / points)[None] - centres[1:-1, None]) / width)
    F = np.exp(-2j * np.pi * lines[:, None] * i / points)
    expected = []
    for t in range(0, 900 - n + 1, 80):
        s = samples[t : t + n].astype(np.float64)
        s = s - s.mean()
        s = np.concatenate([s[:1] * 0.03, s[1:] - 0.97 * s[:-1]]) * window
        expected.append(np.log(np.maximum(M @ np.abs(F @ s) ** 2, 2**-23)))
    np.testing.assert_allclose(fbank(samples, front), np.array(expected).T, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(rate=RATES, bands=st.sampled_from([1, 23, 40, 61]), cuts=CUTS, n=LONG)
def test_pieces_of_any_size_are_the_whole_bit_for_bit(rate, bands, cuts, n):
    """Frames of a stream, whatever the pieces, are those of the whole sound, bit for bit."""
    front, samples = Front(rate, bands), noise(n, seed=n)
    stream = Stream(front)
    pieces = [stream.push(piece) for piece in cut(samples, cuts)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), fbank(samples, front))


def test_one_sample_at_a_time_brings_a_frame_with_its_last_sample():
    """A frame comes out with the very sample that completes it, never later."""
    front, samples = Front(8000, 23), noise(700)
    stream = Stream(front)
    come = [stream.push(samples[k : k + 1]) for k in range(len(samples))]
    assert [k for k, x in enumerate(come) if x.shape[1]] == [199 + 80 * t for t in range(7)]
    np.testing.assert_array_equal(np.concatenate(come, axis=1), fbank(samples, front))


@pytest.mark.parametrize("n", [0, 1, 199])
def test_less_than_a_window_has_no_frame(n):
    """No frame is made of a sound shorter than the window, and one of a sound as long."""
    assert fbank(noise(n), Front(8000)).shape == (40, 0)
    assert fbank(noise(200), Front(8000)).shape == (40, 1)


def test_the_samples_are_not_touched():
    """What is pushed stays as it was, and may be written over later."""
    samples = noise(1000)
    before, stream = samples.copy(), Stream(Front(8000))
    first = stream.push(samples[:333])
    np.testing.assert_array_equal(samples, before)
    later = samples[333:].copy()
    samples[:] = np.nan
    np.testing.assert_array_equal(np.hstack([first, stream.push(later)]), fbank(before, Front(8000)))


@pytest.mark.parametrize(
    ("front", "words"),
    [
        (Front(8000, 200), ["bands", "200", "fewer"]),
        (Front(8000, 0), ["bands", "0"]),
        (Front(999), ["rate", "1000"]),
    ],
)
def test_a_front_without_filters_is_refused(front, words):
    """A band that no line of the spectrum falls in, no band, and a rate too low for a filter are refused."""
    refused(words, fbank, noise(500), front)


# ---- normalisation


def test_whole_is_what_running_comes_to():
    """A whole sound is normalised by the mean and deviation that running normalisation has at its last frame."""
    rng = np.random.default_rng(0)
    x = rng.normal(3, [[1], [2], [0.5]], (3, 50)).astype(np.float32)
    mean, std = np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 0.01])
    y = fb.normalise_utterance(x, mean, std)
    np.testing.assert_allclose(y[:, -1], fb.Running(mean, std).push(x)[:, -1], rtol=1e-4)
    assert fb.normalise_utterance(x[:, :0], mean, std).shape == (3, 0)
    long = rng.normal(3, [[1], [2], [0.5]], (3, 100_000)).astype(np.float32)
    np.testing.assert_allclose(fb.normalise_utterance(long, mean, std).std(1), 1, rtol=0.02)  # the prior hardly counts


def test_by_given_figures():
    """By given figures a frame's value does not depend on its neighbours."""
    x, mean, std = noise(60).reshape(6, 10), np.arange(6.0), np.full(6, 2.0)
    y = fb.normalise(x, mean, std)
    np.testing.assert_allclose(y, (x - mean[:, None]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(y[:, 3:4], fb.normalise(x[:, 3:4].copy(), mean, std))


def test_running_is_the_mean_of_frames_and_prior():
    """Frame t is normalised by the frames to t and the prior's 100, as if these had been there."""
    rng = np.random.default_rng(0)
    before = rng.standard_normal((3, 100)) * [[1], [2], [3]] + [[-9], [4], [0]]
    x = (2 * rng.standard_normal((3, 50)) + 1).astype(np.float32)
    y = Running(before.mean(1), before.std(1)).push(x)
    for t in range(50):
        seen = np.concatenate([before, x[:, : t + 1]], axis=1)
        np.testing.assert_allclose(y[:, t], (x[:, t] - seen.mean(1)) / seen.std(1), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=30), seed=st.integers(0, 99))
def test_running_in_pieces_is_running_over_the_whole(cuts, seed):
    """Frames normalised in pieces of any number are those of the whole, bit for bit."""
    x = noise(5 * 300, 10, seed).reshape(5, 300)
    mean, std = np.linspace(-9, 3, 5), np.full(5, 3.0)
    pieces = Running(mean, std)
    got = np.concatenate([pieces.push(piece) for piece in cut(x, cuts)], axis=1)
    np.testing.assert_array_equal(got, Running(mean, std).push(x))


def test_running_forgets_nothing_in_a_day():
    """After millions of frames far from the prior the figures are still exact: no cancellation in the sums."""
    run = Running(np.array([100.0]), np.array([1.0]))
    rng = np.random.default_rng(0)
    for _ in range(20):
        y = run.push((rng.standard_normal((1, 100_000)) - 900).astype(np.float32))
    assert abs(y.mean()) < 0.1
    run = Running(np.array([0.0]), np.array([0.0]))
    assert np.isfinite(run.push(np.zeros((1, 100_000), np.float32))).all()
