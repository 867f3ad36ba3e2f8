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
    ("wav", "PCM_24"),
    ("wav", "PCM_32"),
    ("wav", "PCM_U8"),
    ("wav", "DOUBLE"),
    ("wav", "ULAW"),
    ("wav", "ALAW"),
    ("au", "ULAW"),
    ("aiff", "FLOAT"),
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
    near = {"FLOAT": 1e-7, "DOUBLE": 1e-7, "PCM_16": 4e-5, "PCM_24": 1e-6, "PCM_32": 1e-6, "PCM_U8": 9e-3}.get(
        coding, 0.1
    )
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


STREAMS = {  # headers of programs that write to a pipe
    "all ones": wav(size=2**32 - 1),
    "sox": wav(size=0x7FFFF000),
    "zero": wav(size=0),
    "both zero": wav(size=0)[:4] + bytes(4) + wav(size=0)[8:],
    "a list before": wav(size=0)[:12] + b"LIST\4\0\0\0INFO" + wav(size=0)[12:],
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_header_written_to_a_pipe_is_read_to_the_end(tmp_path, name):
    """A size that says "unknown" or nothing is no lie: all that is there is read."""
    path = tmp_path / "x.wav"
    path.write_bytes(STREAMS[name])
    (tmp_path / "y.wav").write_bytes(wav())
    whole = sound.samples(tmp_path / "y.wav", 8000)
    np.testing.assert_array_equal(sound.samples(path, 8000), whole)
    np.testing.assert_array_equal(sound.samples(path, 8000, 0.25, 0.5), whole[2000:4000])
    np.testing.assert_array_equal(np.concatenate([*sound.chunks(path, 8000)]), whole)


def test_a_size_of_nothing_may_be_true(tmp_path):
    """Where other chunks follow samples of size 0 to the end of the file, there are none."""
    (tmp_path / "x.wav").write_bytes(wav(0) + b"LIST\4\0\0\0INFO")
    refused(["x.wav", "at least one sample"], sound.samples, tmp_path / "x.wav", 8000)


CHANNELS = {  # what of a sound, noise of a quarter of full scale, stands in each channel; what is read; whether noted
    "opposite": ((1, -1), 1.0, True),
    "opposite, one softer by a hair": ((1, -0.999), 1.0, True),
    "three of four opposite": ((1, -1, 1, -1), 1.0, True),
    "alike": ((1, 1), 1.0, False),
    "one silent": ((1, 0), 0.5, False),
    "opposite, one half as loud": ((1, -0.5), 0.25, False),
}


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("form", ["wav", "flac"])
def test_channels_that_cancel_are_read_by_the_first(tmp_path, name, form):
    """The mean of channels in opposite phase is nothing, so the first one is read, whole and in chunks, with a note."""
    shares, share, remarkable = CHANNELS[name]
    x, notes = noise(80_000) / 4, []
    path = tmp_path / f"x.{form}"
    soundfile.write(path, np.stack([x * share for share in shares], 1), 8000, subtype="PCM_24")
    got = sound.samples(path, 8000, notes=notes)
    np.testing.assert_allclose(got, share * x, atol=3e-4)
    np.testing.assert_array_equal(np.concatenate([*sound.chunks(path, 8000)]), got)
    assert [note.startswith("its channels have opposite phases") for note in notes] == [True] * remarkable


@pytest.mark.parametrize(("change", "rate", "word"), [
    (lambda x: np.clip(20 * x, -1, 1), 8000, "clipped"),
    (lambda x: np.clip(20 * x, -0.3, 1), 8000, "clipped"),
    (lambda x: x, 16000, "8,000 samples a second, below the 16,000"),
    (lambda x: x, 11025, "8,000 samples a second"),
    (lambda x: x / 2, 8000, None),
    (lambda x: x / 2, 4000, None),
])  # fmt: skip
def test_remarkable_sounds_are_noted(tmp_path, change, rate, word):
    """Clipping, and fewer samples a second than are read."""
    soundfile.write(tmp_path / "x.wav", change(noise(8000)), 8000, subtype="FLOAT")
    notes = []
    sound.samples(tmp_path / "x.wav", rate, notes=notes)
    assert [word in note for note in notes] == [True] * (word is not None)


FFMPEG = """#!/bin/sh
for word; do case $word in file:*) source=${word#file:};; esac; last=$word; done
case $(head -c 4 "$source") in
    mute) echo "Stream map '0:a:0' matches no streams." >&2; exit 1;;
    film) exec cp "$source.w64" "$last";;
    *) echo "moov atom not found" >&2; exit 1;;
esac
"""


@pytest.mark.parametrize("ending", [".m4a", ".mp4", ".MOV", ".mkv", ".webm", ".3gp", ".wma", ".amr", ".avi"])
def test_films_are_read_by_ffmpeg(tmp_path, monkeypatch, ending):
    """What libsndfile does not read ffmpeg decodes, if it is there; without it, and of what it refuses, one error."""
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"film")
    soundfile.write(f"{path}.w64", noise(8000), 8000, subtype="PCM_16")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    refused([path.name, "ffmpeg", "no such program"], sound.samples, path, 8000)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ffmpeg").write_text(FFMPEG)
    (tmp_path / "bin/ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    whole = sound.samples(path, 8000)
    np.testing.assert_allclose(whole, noise(8000), atol=4e-5)
    np.testing.assert_array_equal(sound.samples(path, 8000, 0.25, 0.5), whole[2000:4000])
    for content, word in ((b"mute", "without a sound track"), (b"....", "moov atom not found")):
        (tmp_path / f"y{ending}").write_bytes(content)
        refused([f"y{ending}", word], sound.samples, tmp_path / f"y{ending}", 8000)


ENDS = {  # another ending than the content's: its first bytes, None for WAV; the words of the refusal
    "x.m4a": (None, None), "x.mp4": (None, None), "x.flac": (None, None), "x.mp3": (None, None),
    "film.wav": (b"\0\0\0\x20ftypM4A ", "ffmpeg"), "film.mp3": (b"\x1aE\xdf\xa3", "ffmpeg"),
    "lfs.wav": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "lfs.mp4": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "page.wav": (b"<html>", "Format not recognised"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_a_file_is_known_by_its_first_bytes(tmp_path, monkeypatch, name):
    """A sound with another format's ending is read as what it is, and a film in one of sound is one for ffmpeg."""
    content, word = ENDS[name]
    monkeypatch.setenv("PATH", "")
    (tmp_path / name).write_bytes(wav() if content is None else content + bytes(99))
    if word is None:
        assert len(sound.samples(tmp_path / name, 8000)) == 8000
    else:
        refused([name, word], sound.samples, tmp_path / name, 8000)


@pytest.mark.parametrize("keep", [0.1, 0.6, 0.99])
def test_a_sphere_file_cut_short_is_refused(tmp_path, keep):
    """NIST's header says how many samples there are."""
    soundfile.write(tmp_path / "x.sph", noise(8000), 8000, format="NIST")
    assert len(sound.samples(tmp_path / "x.sph", 8000)) == 8000
    content = (tmp_path / "x.sph").read_bytes()
    (tmp_path / "x.sph").write_bytes(content[: 1024 + int(keep * (len(content) - 1024))])
    refused(["x.sph", "cut short"], sound.samples, tmp_path / "x.sph", 8000)


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
