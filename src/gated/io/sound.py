"""Sound from files and from a live stream: one channel, float32, at the rate asked for.

Full scale is ±1; samples of float files, and those between two full ones after resampling, may lie a little beyond.
Channels are averaged, but for channels in opposite phase, of which the first is read. Another rate is reached by soxr's
"HQ" (a steep low-pass, 20 bits), as a stream for whole files too: its samples are bit for bit the same for chunks of
any size.
"""

from __future__ import annotations

import contextlib
import functools
import math
import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32

from gated._check import optional, refuse, want, within
from gated.unicode import clean

__all__ = ["chunks", "rate_of", "samples"]

BLOCK = 1 << 16  # samples of all channels read together
SILENT = 1e-4  # -80 dB of full scale: three steps of 16 bits
LOUD = 8.0  # floats beyond this are no samples in [-1, 1]
SLACK = 0.01  # seconds by which an end may lie past the sound's: times in manifests are rounded
UNKNOWN = 0x7FFF0000  # a header's size from here on means "until the end": programs that write to a pipe put it
FILMS = {  # read by ffmpeg, each as the format of its ending and no other: a playlist could name any file
    **dict.fromkeys((".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp"), "mov"), ".mkv": "matroska", ".webm": "matroska",
    ".aac": "aac", ".wma": "asf", ".amr": "amr", ".avi": "avi", ".mpg": "mpeg",
}  # fmt: skip
CONTAINERS = (b"ftyp", "mov"), (b"\x1aE\xdf\xa3", "matroska")  # by their first bytes, whatever the ending
POINTER = b"version https://git-lfs"
CHUNKS = 1000  # of a WAV file, at most, in which its size is looked for
HOURS = 12  # of a film, at most
SCAN = 1 << 20  # samples of all channels by which opposite phases are known
CANCEL = 1e-3  # the mean's energy, of the loudest channel's, below which channels cancel each other
FULL, CLIPPED = 0.9999, 0.01  # full scale; the fraction of samples there from which a note is made
MARKS = {
    b"RIFF": "a WAV", b"RF64": "a WAV", b"fLaC": "a FLAC", b"OggS": "an Ogg", b"FORM": "an AIFF", b"caff": "a CAF",
    b"riff": "a W64", b".snd": "an AU", b"NIST": "a NIST", b"ID3\2": "an MP3", b"ID3\3": "an MP3", b"ID3\4": "an MP3",
}  # fmt: skip
TEXT = frozenset(b"\t\n\r" + bytes(range(32, 127)))
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
    notes: list[str] | None = None,
) -> Float32[np.ndarray, " N"]:
    """The sound of a file, or of its span from `start` to `end` seconds; only that span is read.

    rate    samples a second of the result
    limit   seconds; more are refused by the file's header, before memory is taken for them
    notes   takes what is remarkable of the sound: channels in opposite phase, clipping, a lower rate

    Errors, each with the file's name: not there, a folder, empty, no sound; fewer samples than its header promises;
    NaN or infinite samples, or some beyond ±8; a span that is none or lies outside; silence: the highest and the lowest
    sample less than 2e-4 apart (-80 dB); over the limit.
    """
    within("rate", rate, 100, 1_000_000)
    where = os.fspath(path)
    with _open(where) as sound:
        first, count = _span(sound, where, start, end, limit)
        span: list[float] = []  # extremes before resampling, which rings where a constant level begins
        full: list[int] = []
        own, cancel = sound.samplerate, _cancel(sound, first, count)
        blocks = _resample(_track_extremes(_blocks(sound, where, first, count, cancel), span, full), own, rate)
        got = np.concatenate([np.zeros(0, np.float32), *blocks])
    peak = (max(span) - min(span)) / 2
    loud = f"{20 * math.log10(peak):.0f} dB of full scale at its loudest" if peak > 0 else "all samples equal"
    want(peak >= SILENT, where, "sound", f"silence, {loud}")
    want(len(got) > 0, where, "at least one sample", f"{count} at {own} a second")
    if notes is not None:
        if cancel:
            notes.append("its channels have opposite phases and cancel each other: the first one was read")
        if sum(full) > CLIPPED * count:
            notes.append("it is clipped: more than 1 % of its samples are at full scale")
        if own < 0.9 * rate:
            notes.append(f"it has {own:,} samples a second, below the {rate:,} that are read: high bands are empty")
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
        blocks = _blocks(sound, where, first, count, _cancel(sound, first, count))
        for block in _resample(blocks, sound.samplerate, rate):
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
    with open(where, "rb") as file:
        head = file.read(64)
    pointer = head.startswith(POINTER)
    want(not pointer, where, "a file of sound", "a pointer of Git LFS", "Fetch the file itself by git lfs pull.")
    film = None if head[:4] in MARKS else FILMS.get(os.path.splitext(where)[1].lower())
    film = film or next((name for mark, name in CONTAINERS if mark in head[:8]), None)
    with contextlib.ExitStack() as stack:
        source: Any = where
        if film:
            status = os.stat(where)
            source = _decode(where, film, status.st_mtime_ns, status.st_size).path
        elif (patch := _find_size(where)) is not None:
            source = stack.enter_context(_patch(where, *patch))
        with _name_faults(where, soundfile):
            sound = stack.enter_context(soundfile.SoundFile(source))
            _header(sound, where, os.path.getsize(source if film else where))
            yield sound


@contextlib.contextmanager
def _name_faults(where: str, soundfile: Any) -> Iterator[None]:
    try:
        yield
    except soundfile.SoundFileError as error:
        got = str(getattr(error, "error_string", error)).removeprefix("Error : ").strip(" .")
        got = got if got and "does not exist" not in got else "one that cannot be read"
        refuse(where, "a whole file of sound", got, "Is it damaged, or cut short?" if "lost" in got else "")


def _header(sound: Any, where: str, size: int) -> None:
    """Refuse a header that is not true; `size` is that of the file in bytes."""
    within(f"{where}: samples a second", sound.samplerate, 1000, 1_000_000)
    # Written to a pipe, FLAC has no length; libsndfile then reads nothing.
    want(sound.frames < 1 << 62, where, "a header that tells the length", "none", "Write the file anew, not to a pipe.")
    cut = CUT.search(sound.extra_info)
    if cut and int(cut[1]) < UNKNOWN:
        _check_length(sound, where, sound.frames * int(cut[1]) // max(1, int(cut[2])), sound.frames)
    lost = LOST.search(sound.extra_info)
    got = f"{sound.frames / sound.samplerate:.2f} s, and {size} bytes of file" if lost else ""
    want(lost is None or 2 * int(lost[1]) > size, where, "a header that counts all samples", got, "It is damaged.")
    if sound.format == "NIST":  # whose header is text
        with open(where, "rb") as file:
            count = re.search(rb"sample_count -i (\d{1,12})", file.read(1024))
        _check_length(sound, where, int(count[1]) if count else 0, sound.frames)
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


def _cancel(sound: Any, first: int, count: int) -> bool:
    """Whether the channels cancel each other, so that their mean is next to nothing."""
    if sound.channels < 2:
        return False
    sound.seek(first)
    block = sound.read(min(count, SCAN // sound.channels), dtype="float32", always_2d=True)
    sound.seek(0)
    with np.errstate(all="ignore"):  # what is no number is refused where it is read
        energy, mean = np.square(block).sum(0).max(initial=0), np.square(block.mean(1)).sum()
        return bool(mean < CANCEL * energy)


def _blocks(
    sound: Any, where: str, first: int, count: int, cancel: bool = False
) -> Iterator[Float32[np.ndarray, " _"]]:
    """The mean of the channels, or the first of channels that cancel each other, a block at a time."""
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
        yield block[:, 0].copy() if sound.channels == 1 or cancel else block.mean(axis=1)
    slack = 2 * 1152 if sound.format == "MP3" else 0  # its coder's padding is counted in some headers
    _check_length(sound, where, first + count, first + done, slack)


def _track_extremes(
    blocks: Iterable[Float32[np.ndarray, " _"]], span: list[float], full: list[int]
) -> Iterator[Float32[np.ndarray, " _"]]:
    """The blocks; their extremes go into `span`, and how many samples are at full scale into `full`."""
    for block in blocks:
        span += [float(block.min()), float(block.max())]
        if max(-span[-2], span[-1]) >= FULL:
            full.append(int((np.abs(block) >= FULL).sum()))
        yield block


# ---- headers without a size, and other containers


def _find_size(where: str) -> tuple[int, int] | None:
    """Where a WAV file has the size of its samples, and the size, if its header says 0 and samples follow.

    Programs that write to a pipe leave it so. What follows are samples unless chunks fill the file to its end.
    """
    size = os.path.getsize(where)
    with open(where, "rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return None
        for head in _read_heads(file):
            name, length = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                here = file.tell()
                return (here - 4, size - here) if length == 0 < size - here and not _end_in_chunks(file, size) else None
            file.seek(length + length % 2, os.SEEK_CUR)
    return None


def _end_in_chunks(file: Any, size: int) -> bool:
    for head in _read_heads(file):
        file.seek(int.from_bytes(head[4:], "little"), os.SEEK_CUR)
    return file.tell() == size


def _read_heads(file: Any) -> Iterator[bytes]:
    """Names and sizes of chunks, to the end of the file."""
    for _ in range(CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        yield head


def _patch(where: str, at: int, length: int) -> mmap.mmap:
    """The file in memory, a page at a time, with a size in its header."""
    with open(where, "rb") as file:
        copy = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    limit = 2**32 - 1
    copy[at : at + 4] = struct.pack("<I", min(length, limit))
    copy[4:8] = struct.pack("<I", min(len(copy) - 8, limit))
    return copy


class _Decoded:
    """A temporary file, which lasts as long as this object."""

    def __init__(self) -> None:
        handle, self.path = tempfile.mkstemp(suffix=".w64")
        os.close(handle)
        weakref.finalize(self, os.unlink, self.path)


@functools.lru_cache(maxsize=1)  # the spans of a manifest come one after the other
def _decode(where: str, film: str, *_: int) -> _Decoded:
    """The first sound track, decoded by ffmpeg."""
    program = shutil.which("ffmpeg")
    todo = "Install ffmpeg, or save the sound as WAV or FLAC."
    want(program is not None, where, "ffmpeg, which reads such files", "no such program", todo)
    result = _Decoded()
    words = [str(program), "-v", "error", "-nostdin", "-y", "-protocol_whitelist", "file", "-f", film]
    words += ["-i", f"file:{where}", "-map", "0:a:0", "-t", str(HOURS * 3600)]
    words += ["-c:a", "pcm_s16le", "-f", "w64", result.path]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    message = " ".join(clean(done.stderr.decode(errors="replace")).split())[-200:]
    silent = "matches no streams" in message
    want(not silent, where, "a file with sound", "one without a sound track")
    want(
        done.returncode == 0,
        where,
        "a whole file of sound",
        message.rstrip(".") or f"status {done.returncode} of ffmpeg",
    )
    return result


# ---- live


def _live(stream: Any, size: int) -> Iterator[Float32[np.ndarray, " _"]]:
    """What has come, as soon as it has."""
    where = "standard input" if stream is sys.stdin.buffer else "the stream"
    read: Any = getattr(stream, "read1", None) or getattr(stream, "read", None)
    want(callable(read), where, "a path, or a stream open for bytes", type(stream).__name__)
    rest = b""
    while len(rest) < 8:  # four samples, or the mark that a file of sound begins with
        data = read(8 - len(rest))
        want(isinstance(data, bytes), where, "a stream open for bytes", f"{type(data).__name__} from it")
        if not data:
            break
        rest += data
    name = MARKS.get(rest[:4]) or next(("a film's" for mark, _ in CONTAINERS if mark in rest), None)
    name = name or ("a text" if len(rest) > 4 and set(rest) <= TEXT else None)
    want(name is None, where, "raw 16-bit samples", f"{name} file", "Give its name, not its bytes.")
    want(len(rest) > 0, where, "raw 16-bit samples", "nothing")
    while True:
        whole = len(rest) // 2 * 2
        if whole > 0:
            yield np.frombuffer(rest[:whole], "<i2").astype(np.float32) / np.float32(32768)
        data = read(2 * size)
        if not data:
            return
        rest = rest[whole:] + data
