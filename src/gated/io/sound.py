"""Sound from files and from a live stream: one channel, float32, at the rate asked for.

Full scale is ±1; samples of float files, and those between two full ones after resampling, may lie a little beyond.
Channels are averaged. Another rate is reached by soxr's "HQ" (a steep low-pass, 20 bits), as a stream for whole files
too: its samples are bit for bit the same for chunks of any size.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32

from gated._check import optional, refuse, want, within

__all__ = ["chunks", "rate_of", "samples"]

BLOCK = 1 << 16  # samples of all channels read together
SILENT = 1e-4  # -80 dB of full scale: three steps of 16 bits
LOUD = 8.0  # floats beyond this are no samples in [-1, 1]
SLACK = 0.01  # seconds by which an end may lie past the sound's: times in manifests are rounded
UNKNOWN = 0x7FFF0000  # a header's size from here on means "until the end": programs that write to a pipe put it
MARKS = {b"RIFF": "WAV", b"RF64": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"FORM": "AIFF", b"caff": "CAF"}
# libsndfile goes on with less than a header promises, and tells so in its log alone.
CUT = re.compile(r"^ ?(?:data|SSND|riff|  Data Size|  Riff size)\s*: (\d+) \(should be (\d+)\)", re.M)
LOST = re.compile(r"Unknown chunk marker .* at position (\d+)\. Exiting")


def samples(
    path: str | os.PathLike[str],
    rate: int,
    start: float | None = None,
    end: float | None = None,
    *,
    limit: float = 3600.0,
) -> Float32[np.ndarray, " N"]:
    """The sound of a file, or of its span from `start` to `end` seconds; only that span is read.

    rate    samples a second of the result
    limit   seconds; more are refused by the file's header, before memory is taken for them

    Errors, each with the file's name: not there, a folder, empty, no sound; fewer samples than its header promises;
    NaN or infinite samples, or some beyond ±8; a span that is none or lies outside; silence: the highest and the lowest
    sample less than 2e-4 apart (-80 dB); over the limit.
    """
    within("rate", rate, 100, 1_000_000)
    where = os.fspath(path)
    with _open(where) as sound:
        first, count = _span(sound, where, start, end, limit)
        span: list[float] = []  # extremes before resampling, which rings where a constant level begins
        blocks = _resample(_track_extremes(_blocks(sound, where, first, count), span), sound.samplerate, rate)
        got = np.concatenate([np.zeros(0, np.float32), *blocks])
    peak = (max(span) - min(span)) / 2
    loud = f"{20 * math.log10(peak):.0f} dB of full scale at its loudest" if peak > 0 else "all samples equal"
    want(peak >= SILENT, where, "sound", f"silence, {loud}")
    want(len(got) > 0, where, "at least one sample", f"{count} at {sound.samplerate} a second")
    return got


def rate_of(path: str | os.PathLike[str]) -> int:
    """The samples a second of a file, from its header."""
    with _open(os.fspath(path)) as sound:
        return sound.samplerate


def chunks(
    source: Any, rate: int, seconds: float = 0.1, *, raw: int | None = None
) -> Iterator[Float32[np.ndarray, " _"]]:
    """A file, or what comes on a stream, chunk by chunk; joined, the same samples for chunks of any size.

    a path     chunks of `seconds` at `rate`, the last one shorter; errors as those of `samples`, but silence is none
    a stream   open for bytes: 16-bit little-endian samples of one channel, `raw` a second (`rate` unless given). A
               chunk is what has come, `seconds` of it at most: nothing waits for a chunk to be full. Where raw is
               another rate than `rate`, the low-pass holds back about 0.1 s

    Errors: a stream that begins as a file of sound does, or of text, or that has nothing.
    """
    within("rate", rate, 100, 1_000_000)
    within("chunk", seconds, 0.001, 60)
    size = max(1, round(seconds * rate))
    if isinstance(source, str | os.PathLike):
        return _file_chunks(os.fspath(source), rate, size)
    own = rate if raw is None else raw
    within("rate of the raw samples", own, 100, 1_000_000)
    live = _resample(_live(source, max(1, round(seconds * own))), own, rate)
    return (block[k : k + size] for block in live for k in range(0, len(block), size))


def _file_chunks(where: str, rate: int, size: int) -> Iterator[Float32[np.ndarray, " _"]]:
    rest = np.zeros(0, np.float32)
    with _open(where) as sound:
        first, count = _span(sound, where, None, None, math.inf)
        for block in _resample(_blocks(sound, where, first, count), sound.samplerate, rate):
            rest = np.concatenate([rest, block])
            whole = len(rest) // size * size
            yield from (rest[k : k + size] for k in range(0, whole, size))
            rest = rest[whole:]
    if len(rest) > 0:
        yield rest


def _resample(blocks: Iterable[Float32[np.ndarray, " _"]], own: int, rate: int) -> Iterator[Float32[np.ndarray, " _"]]:
    if own == rate:
        yield from blocks
        return
    stream = optional("soxr", "transcribe").ResampleStream(own, rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


# ---- files


@contextlib.contextmanager
def _open(where: str) -> Iterator[Any]:
    """The file, opened as sound, after all that can be told from its header was."""
    soundfile = optional("soundfile", "transcribe")
    want(os.path.exists(where), where, "a file of sound", "no such file")
    want(not os.path.isdir(where), where, "a file of sound", "a folder")
    want(os.path.isfile(where), where, "a file of sound", "a device or pipe", "Raw samples may come on standard input.")
    raw = where.lower().endswith(".raw")
    want(not raw, where, "a file with a header", "raw samples", "They may come on standard input.")
    want(os.path.getsize(where) > 0, where, "a file of sound", "an empty file")
    try:
        with soundfile.SoundFile(where) as sound:
            _header(sound, where)
            yield sound
    except soundfile.SoundFileError as error:
        got = str(getattr(error, "error_string", error)).removeprefix("Error : ").strip(" .")
        got = got if got and "does not exist" not in got else "one that cannot be read"
        refuse(where, "a whole file of sound", got, "Is it damaged, or cut short?" if "lost" in got else "")


def _header(sound: Any, where: str) -> None:
    """Refuse a header that is not true."""
    within(f"{where}: samples a second", sound.samplerate, 1000, 1_000_000)
    size = os.path.getsize(where)
    # Written to a pipe, FLAC has no length; libsndfile then reads nothing.
    want(sound.frames < 1 << 62, where, "a header that tells the length", "none", "Write the file anew, not to a pipe.")
    cut = CUT.search(sound.extra_info)
    if cut and int(cut[1]) < UNKNOWN:
        _check_length(sound, where, sound.frames * int(cut[1]) // max(1, int(cut[2])), sound.frames)
    lost = LOST.search(sound.extra_info)
    got = f"{sound.frames / sound.samplerate:.2f} s, and {size} bytes of file" if lost else ""
    want(lost is None or 2 * int(lost[1]) > size, where, "a header that counts all samples", got, "It is damaged.")
    if sound.format == "OGG":
        with open(where, "rb") as file:
            file.seek(max(0, size - (1 << 17)))
            tail = file.read()
        page = tail.rfind(b"OggS")
        ends = page >= 0 and tail[page + 5 : page + 6] >= b"\4"  # its last page is marked so; 7 is all marks there are
        want(ends, where, "a whole file of sound", "one without its last page", "It was cut short.")
    want(sound.frames > 0, where, "at least one sample", "none")


def _check_length(sound: Any, where: str, promised: int, there: int, slack: int = 0) -> None:
    got = f"{there / sound.samplerate:.2f} s"
    expected = f"{promised / sound.samplerate:.2f} s of sound, as its header says"
    want(there + slack >= promised, where, expected, got, "The file was cut short.")


def _span(sound: Any, where: str, start: float | None, end: float | None, limit: float) -> tuple[int, int]:
    """The first sample and how many."""
    length = sound.frames / sound.samplerate
    begin, until = 0.0 if start is None else start, length if end is None else end
    if not (math.isfinite(begin) and math.isfinite(until) and 0 <= begin < until <= length + SLACK and begin < length):
        refuse(where, f"0 <= start < end <= {length:.2f} s", f"{start} to {end}")
    todo = "Cut it, or give start and end."
    want(until - begin <= limit, where, f"at most {limit:g} s of sound", f"{until - begin:.0f} s", todo)
    first, last = round(begin * sound.samplerate), min(sound.frames, round(until * sound.samplerate))
    want(last > first, where, "at least one sample between start and end", f"{start} to {end}")
    return first, last - first


def _blocks(sound: Any, where: str, first: int, count: int) -> Iterator[Float32[np.ndarray, " _"]]:
    """The mean of the channels, a block at a time."""
    if first > 0:
        sound.seek(first)
    done = 0
    while done < count:
        block = sound.read(min(count - done, max(1, BLOCK // sound.channels)), dtype="float32", always_2d=True)
        if len(block) == 0:
            break
        fine = np.isfinite(block).all(axis=1)
        if not fine.all():
            at = (first + done + int(fine.argmin())) / sound.samplerate
            refuse(where, "samples that are numbers", f"NaN or infinity at {at:.2f} s")
        peak = float(np.abs(block).max())
        want(peak <= LOUD, where, "samples in [-1, 1]", f"{peak:g}", "Divide them by full scale.")
        done += len(block)
        yield block[:, 0].copy() if sound.channels == 1 else block.mean(axis=1)
    slack = 2 * 1152 if sound.format == "MP3" else 0  # its coder's padding is counted in some headers
    _check_length(sound, where, first + count, first + done, slack)


def _track_extremes(
    blocks: Iterable[Float32[np.ndarray, " _"]], span: list[float]
) -> Iterator[Float32[np.ndarray, " _"]]:
    for block in blocks:
        span += [float(block.min()), float(block.max())]
        yield block


# ---- live


def _live(stream: Any, size: int) -> Iterator[Float32[np.ndarray, " _"]]:
    """What has come, as soon as it has."""
    where = "standard input" if stream is sys.stdin.buffer else "the stream"
    read: Any = getattr(stream, "read1", None) or getattr(stream, "read", None)
    want(callable(read), where, "a path, or a stream open for bytes", type(stream).__name__)
    rest = b""
    while len(rest) < 4:  # two samples, or the mark that a file of sound begins with
        data = read(4 - len(rest))
        want(isinstance(data, bytes), where, "a stream open for bytes", f"{type(data).__name__} from it")
        if not data:
            break
        rest += data
    name = MARKS.get(rest[:4])
    want(name is None, where, "raw 16-bit samples", f"a {name} file", "Give its name, not its bytes.")
    want(len(rest) > 0, where, "raw 16-bit samples", "nothing")
    while True:
        whole = len(rest) // 2 * 2
        if whole > 0:
            yield np.frombuffer(rest[:whole], "<i2").astype(np.float32) / np.float32(32768)
        data = read(2 * size)
        if not data:
            return
        rest = rest[whole:] + data
