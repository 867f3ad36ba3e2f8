"""Sound from files, with faults named, and from streams, whose chunks equal the offline samples bit for bit."""

import io
import os
import struct
import threading
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made.noise import cut, noise

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

import soundfile
import soxr

from gated._check import InputError
from gated.io import sound

CUTS = st.lists(st.integers(0, 3000), min_size=1, max_size=30)


def refused(words, call, *args, **more):
    """The call is refused, in words that hold each of these."""
    with pytest.raises(InputError) as error:
        call(*args, **more)
    for word in words:
        assert word in str(error.value), str(error.value)


# ---- files


def wav(samples=8000, rate=8000, channels=1, size=None, bits=16, form=1):
    """The bytes of a WAV file of a rising tone, its header as true as asked."""
    body = (9000 * np.sin(np.arange(samples) ** 1.5 / 300)).astype("<i2").tobytes()
    size = len(body) if size is None else size
    bytes_a_second, frame = rate * channels * bits // 8 % 2**32, channels * 2 % 2**16
    head = struct.pack("<IHHIIHH", 16, form, channels, rate, bytes_a_second, frame, bits)
    riff = struct.pack("<I", min(size + 36, 2**32 - 1))
    return b"RIFF" + riff + b"WAVEfmt " + head + b"data" + struct.pack("<I", size) + body


FORMS = [
    ("wav", "PCM_16"),
    ("wav", "FLOAT"),
    ("flac", "PCM_16"),
    ("ogg", "VORBIS"),
    ("mp3", "MPEG_LAYER_III"),
    ("aiff", "PCM_16"),
    ("au", "PCM_16"),
    ("caf", "PCM_16"),
    ("w64", "PCM_16"),
]


@pytest.mark.parametrize(("form", "coding"), FORMS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_format_gives_the_samples(tmp_path, form, coding, channels):
    """Channels are averaged; lossless formats give the samples themselves, others nearly."""
    if channels > 2 and form == "mp3":
        pytest.skip("MP3 has two channels at most")
    x = np.stack([np.sin(np.arange(16000) * f).astype(np.float32) / 4 for f in (0.05, 0.11, 0.17)[:channels]], axis=1)
    path = tmp_path / f"x.{form}"
    soundfile.write(path, x, 16000, subtype=coding)
    assert sound.rate_of(path) == 16000
    got = sound.samples(path, 16000)
    assert got.dtype == np.float32
    assert got.shape == (16000,)
    near = {"FLOAT": 1e-7, "PCM_16": 4e-5}.get(coding, 0.1)
    np.testing.assert_allclose(got, x.mean(1), atol=near)


@pytest.mark.parametrize(("there", "wanted"), [(44100, 16000), (8000, 16000), (48000, 8000), (22050, 16000)])
def test_another_rate_is_the_same_sound(tmp_path, there, wanted):
    """A tone below both half rates comes out as that tone, in step, as long as before."""
    tone = lambda rate: (np.sin(2 * np.pi * 1000 * np.arange(rate) / rate) / 2).astype(np.float32)  # noqa: E731
    soundfile.write(tmp_path / "x.wav", tone(there), there, subtype="FLOAT")
    got = sound.samples(tmp_path / "x.wav", wanted)
    assert abs(len(got) - wanted) <= 1
    np.testing.assert_allclose(got[500:-500], tone(wanted)[500 : len(got) - 500], atol=2e-3)
    np.testing.assert_array_equal(got, soxr.resample(tone(there), there, wanted, "HQ"))


@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_a_span_is_that_part(tmp_path, form):
    """From start to end are the samples of that part of the whole; an end 10 ms too late is the end."""
    soundfile.write(tmp_path / f"x.{form}", noise(16000), 8000)
    path = tmp_path / f"x.{form}"
    whole = sound.samples(path, 8000)
    for start, end in [(0.5, 1.25), (None, 0.1), (1.9, None), (0, 2), (1.5, 2.005)]:
        first, last = round(8000 * (start or 0)), 16000 if end is None else round(8000 * end)
        np.testing.assert_array_equal(sound.samples(path, 8000, start, end), whole[first:last])


NAN = float("nan")
SPANS = [(1, 0.5), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (1, None), (7, 8), (NAN, 0.5), (0, NAN), (0, float("inf"))]


@pytest.mark.parametrize(("start", "end"), [*SPANS, (0.50001, 0.50002)])
def test_a_span_that_is_none_is_refused(tmp_path, start, end):
    """A span that ends before it begins, lies outside, holds no sample or has no times is refused by name."""
    (tmp_path / "x.wav").write_bytes(wav())
    refused(["x.wav", "start"], sound.samples, tmp_path / "x.wav", 8000, start, end)


HOSTILE = {
    "no samples": (wav(0), ["at least one sample"]),
    "an empty file": (b"", ["empty file"]),
    "text": (b"a line of text\n" * 99, ["not recognised"]),
    "half a header": (wav()[:30], ["whole file"]),
    "a header alone": (wav()[:44], ["at least one sample"]),
    "cut": (wav()[:9000], ["1.00 s", "0.56 s", "cut short"]),
    "a size beyond the end": (wav(size=99999), ["6.25 s", "1.00 s", "cut short"]),
    "a size of nothing": (wav(size=0), ["counts all samples"]),
    "a size too small": (wav(size=100), ["counts all samples"]),
    "no channels": (wav(channels=0), ["Channel"]),
    "65535 channels": (wav(channels=65535), ["channels"]),
    "rate 0": (wav(rate=0), ["whole file"]),
    "rate 7": (wav(rate=7), ["samples a second", "7"]),
    "rate 4 GHz": (wav(rate=4_000_000_000), ["whole file"]),
    "a form that is none": (wav(form=77), ["fmt"]),
    "silence": (wav()[:44] + bytes(16000), ["silence"]),
    "one level": (wav()[:44] + b"\x00\x20" * 8000, ["silence"]),
    "the last bit": (wav()[:44] + b"\x00\x00\x01\x00" * 4000, ["silence", "dB"]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_with_a_fault_is_one_clear_error(tmp_path, what):
    """Whatever is wrong with a file is one error with its name."""
    data, words = HOSTILE[what]
    path = tmp_path / "call.wav"
    path.write_bytes(data)
    refused(["call.wav", *words], sound.samples, path, 16000)


@pytest.mark.parametrize(("form", "coding"), FORMS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_cut_short_is_refused(tmp_path, form, coding, share):
    """No format, cut anywhere, is taken for a shorter sound."""
    path = tmp_path / f"x.{form}"
    soundfile.write(path, noise(160000), 16000, subtype=coding)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused([f"x.{form}"], sound.samples, path, 16000)
    refused([f"x.{form}"], lambda: list(sound.chunks(path, 16000)))


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_bytes_changed_anywhere_are_sound_or_an_error(tmp_path_factory, data):
    """A file with bytes changed is read or refused with its name: nothing else is raised, and little memory taken."""
    form, coding = data.draw(st.sampled_from(FORMS))
    path = tmp_path_factory.mktemp("x") / f"x.{form}"
    soundfile.write(path, noise(4000), 16000, subtype=coding)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(200, len(content) - 1)) | st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        got = sound.samples(path, 16000, limit=60)
    except InputError as error:
        told = str(error)
    else:
        told = f"x.{form}" if np.isfinite(got).all() else "NaN"
    assert f"x.{form}" in told


@pytest.mark.parametrize("size", [2**32 - 1, 0x7FFFF000])
def test_a_header_written_to_a_pipe_is_read_to_the_end(tmp_path, size):
    """A size that says "unknown", as programs put it that write to a pipe, is no lie: all that is there is read."""
    (tmp_path / "x.wav").write_bytes(wav(size=size))
    assert len(sound.samples(tmp_path / "x.wav", 8000)) == 8000


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, ["NaN", "0.25 s"]), (np.inf, ["NaN", "0.25 s"]), (3e4, ["30000"])]
)
def test_floats_that_are_no_samples_are_refused(tmp_path, value, words):
    """NaN and infinity are refused with their time, and floats that go far beyond full scale."""
    x = noise(8000)
    x[2000] = value
    soundfile.write(tmp_path / "x.wav", x, 8000, subtype="FLOAT")
    refused(["x.wav", *words], sound.samples, tmp_path / "x.wav", 16000)
    refused(["x.wav", *words], lambda: list(sound.chunks(tmp_path / "x.wav", 16000)))


def test_what_is_no_file_is_refused(tmp_path):
    """No such file, a folder, a pipe and a raw file are told apart."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "x.raw").write_bytes(bytes(100))
    for path, words in [("none.wav", "no such file"), (".", "folder"), ("pipe", "pipe"), ("x.raw", "raw samples")]:
        refused([words], sound.samples, tmp_path / path, 8000)
        refused([words], sound.rate_of, tmp_path / path)


def test_too_long_is_refused_before_memory_is_taken(tmp_path):
    """A header of 12 hours is refused by its numbers, and a span of such a file is read alone."""
    path = tmp_path / "x.flac"
    soundfile.write(path, noise(80000), 8000)
    content = bytearray(path.read_bytes())
    content[21:26] = bytes([content[21] & 0xF0 | 0, *struct.pack(">I", 8000 * 12 * 3600)])  # the count in STREAMINFO
    path.write_bytes(content)
    tracemalloc.start()
    refused(["x.flac", "3600 s", "43200 s"], sound.samples, path, 8000)
    assert len(sound.samples(path, 8000, 1, 2)) == 8000
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    refused(["x.flac"], sound.samples, path, 8000, limit=1e6)
    content[22:26] = bytes(4)
    path.write_bytes(content)
    refused(["x.flac", "tells the length"], sound.samples, path, 8000)


# ---- pieces


@pytest.mark.parametrize("rate", [8000, 16000, 11025])
@pytest.mark.parametrize("channels", [1, 2])
def test_pieces_of_a_file_are_its_samples(tmp_path, rate, channels):
    """Joined, the pieces of a file are its samples bit for bit, for every size; all but the last have that size."""
    soundfile.write(tmp_path / "x.wav", noise(channels * 100_000).reshape(-1, channels), 16000)
    whole = sound.samples(tmp_path / "x.wav", rate)
    for seconds in (0.003, 0.1, 0.37, 60):
        got = list(sound.chunks(tmp_path / "x.wav", rate, seconds))
        assert {len(piece) for piece in got[:-1]} <= {round(seconds * rate)}
        np.testing.assert_array_equal(np.concatenate(got), whole)


@settings(max_examples=60, deadline=None)
@given(cuts=CUTS, came=st.sampled_from([8000, 16000, 44100, 11025]), rate=st.sampled_from([8000, 16000]))
def test_the_resampler_does_not_see_pieces(cuts, came, rate):
    """Resampled in pieces of any size, a sound is what it is resampled at once, bit for bit."""
    x = noise(20000)
    got = np.concatenate([*sound._resample(cut(x, cuts), came, rate)])
    np.testing.assert_array_equal(got, x if came == rate else soxr.resample(x, came, rate, "HQ"))


class Dripping(io.RawIOBase):
    """A stream of which each read brings as many bytes as the next number says."""

    def __init__(self, data, sizes):
        self.data, self.sizes = data, [*sizes, *[10**9]]

    def readable(self):
        return True

    def read1(self, n=-1):
        n = min(n, self.sizes[0])
        self.sizes = self.sizes[1:] if len(self.sizes) > 1 else self.sizes
        piece, self.data = self.data[:n], self.data[n:]
        return piece


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 999), max_size=30), n=st.integers(1, 6001), seconds=st.sampled_from([0.001, 0.1]))
def test_raw_samples_do_not_depend_on_how_they_come(sizes, n, seconds):
    """Bytes in pieces of any number, odd ones too, are the same samples; half a sample at the end is dropped."""
    raw = (9000 * np.sin(np.arange(3001))).astype("<i2")
    got = list(sound.chunks(Dripping(raw.tobytes()[:n], sizes), 8000, seconds))
    assert all(0 < len(piece) <= seconds * 8000 for piece in got)
    joined = np.concatenate([np.zeros(0, np.float32), *got])
    np.testing.assert_array_equal(joined, raw[: n // 2].astype(np.float32) / 32768)


def test_a_live_piece_does_not_wait_for_more():
    """What a pipe has brought is handed on at once, long before a piece is full."""
    out, into = os.pipe()
    with os.fdopen(out, "rb") as stream:
        os.write(into, bytes(400))
        come = sound.chunks(stream, 8000, 1.0)
        guard = threading.Timer(20, os.close, [into])  # a reader that waits would wait for ever
        guard.start()
        begun = time.monotonic()
        got = 0
        while got < 200:
            got += len(next(come))
        os.write(into, bytes(100))
        assert len(next(come)) == 50
        assert time.monotonic() - begun < 10
        guard.cancel()
        os.close(into)
        assert list(come) == []


def test_raw_samples_of_another_rate_are_resampled(tmp_path):
    """Raw samples of 16 kHz for a run of 8 kHz are what the file of them gives."""
    soundfile.write(tmp_path / "x.wav", noise(30000), 16000)
    raw = soundfile.read(tmp_path / "x.wav", dtype="int16")[0].astype("<i2").tobytes()
    got = np.concatenate(list(sound.chunks(io.BytesIO(raw), 8000, raw=16000)))
    np.testing.assert_array_equal(got, sound.samples(tmp_path / "x.wav", 8000))


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (io.BytesIO(wav()), ["WAV", "name"]),
        (Dripping(wav(), [1, 1, 1, 1]), ["WAV", "name"]),
        (io.BytesIO(b"fLaC" + bytes(99)), ["FLAC"]),
        (io.BytesIO(b"OggS" + bytes(99)), ["Ogg"]),
        (io.BytesIO(b""), ["nothing"]),
    ],
)
def test_a_stream_that_is_no_raw_sound_is_refused(stream, words):
    """A file of sound on the stream is refused with the advice to name it, and a stream of nothing."""
    refused(["the stream", *words], lambda: list(sound.chunks(stream, 8000)))
