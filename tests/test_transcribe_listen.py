"""Streaming: output equals offline output, for chunks of any size; utterances, latency, pipes and stops."""

import io
import os
import signal
import threading

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from gated import transcribe
from gated._check import InputError
from gated.tasks.transcribe import listen as listening
from made import fresh
from made.sounds import QUICK, RATE, say

SPEECH = ["lo up", "hi", "up hi lo"]  # with long pauses between them
SEARCHES = [dict(), dict(width=4), dict(hot=("hi lo",), boost=2.0)]


@pytest.fixture(scope="module")
def run(listener):
    return listener


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("listen") / "run"
    run.save(folder)
    return folder


@pytest.fixture(scope="module")
def speech():
    """Three utterances with pauses of 1.4 s between them, as 16-bit samples."""
    rng = np.random.default_rng(9)
    hush = (0.003 * rng.standard_normal((4, int(1.4 * RATE)))).astype(np.float32)
    x = np.concatenate([part for k, text in enumerate(SPEECH) for part in (hush[k], say(text, rng))] + [hush[3]])
    return np.round(x * 32768).astype("<i2")


@pytest.fixture(scope="module")
def file(speech, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "speech.wav"
    soundfile.write(path, speech, RATE)
    return path


@pytest.fixture(scope="module")
def said(run, speech):
    """Their transcripts, from one chunk."""
    texts = [one.text for one in stream(run, [floats(speech)])[0]]
    assert texts[1:] == SPEECH[1:]  # the first may miss a letter: all it learnt from began within 0.1 s
    assert len(texts) == 3
    return texts


def floats(speech):
    return speech.astype(np.float32) / np.float32(32768)


def stream(run, chunks, **search):
    """All utterances of the chunks, and the partial texts after each."""
    listener = listening.Listener(run.model, transcribe.Search(**search))
    got = [*(listener.push(piece) for piece in chunks), listener.close()]
    return [one for piece in got for one in piece.utterances], [piece.partial for piece in got]


# ---- chunks are the whole


def test_a_stream_is_learnt(run, tones):
    """A network that looks ahead of nothing writes most of what it never heard without a fault."""
    assert run.score(tones[50:])["cer"] < 0.1


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 60_000), max_size=12), st.sampled_from(SEARCHES))
def test_chunks_of_any_size_are_the_whole(run, speech, file, cuts, search):
    """Texts, times and confidences are those of one chunk, to the bit, and of `predict` for the file."""
    x = floats(speech)
    parts, _ = stream(run, np.split(x, sorted(min(cut, len(x)) for cut in cuts)), **search)
    whole, _ = stream(run, [x], **search)
    assert parts == whole
    assert listening.join_utterances(parts) == run.transcribe(file, **search)[0][0]


def test_five_samples_at_a_time_are_the_whole(run, speech):
    """Even so few, and what goes on is told as it grows."""
    x = floats(speech)[-20_000:]
    parts, partial = stream(run, np.split(x, len(x) // 5))
    assert parts == stream(run, [x])[0]
    assert len(set(partial)) > 3


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_a_pause_ends_an_utterance(run, speech, said, search):
    """Each is given once, as soon as its pause is over, with times since the beginning; nothing said is nothing."""
    x = floats(speech)
    listener = listening.Listener(run.model, transcribe.Search(**search), pause=0.5)
    found, ends = [], []
    for piece in np.split(x, range(800, len(x), 800)):
        got = listener.push(piece)
        found += got.utterances
        ends += [got.seconds] * len(got.utterances)
    assert listener.close().utterances == []
    assert [one.text for one in found] == said
    for one, end in zip(found, ends, strict=True):
        assert one.text == " ".join(word.text for word in one.words)
        assert one.words[-1].end + 0.5 <= end < one.words[-1].end + 1.2
    times = [t for one in found for word in one.words for t in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] > 1.2
    assert found[1].words[0].start > found[0].words[-1].end + 1
    assert stream(run, [x[:9_000]], **search)[0] == stream(run, [x[:0]], **search)[0] == []


def test_a_file_is_its_utterances(run, file, said):
    """`predict` for the file joins what the utterances say."""
    assert run.predict(file) == " ".join(said)
    found = run.listen(file, transcribe.Latency(), chunk=0.37)
    assert [one.text for piece in found for one in piece.utterances] == said
    one = run.transcribe(file)[0][0]
    assert one.text == " ".join(word.text for word in one.words)


def test_utterances_without_a_word_leave_no_gap(run):
    """Joined, no space is doubled; of nothing the reading is empty and certain."""
    empty = listening.join_utterances([])
    assert (empty.text, empty.words, empty.confidence) == ("", [], 1.0)


def test_latency_counts_chunks_and_seconds(run, speech):
    """Chunks, seconds of all sounds, milliseconds of computing, the largest last; without sound there is no rate."""
    latency = transcribe.Latency()
    pieces = [*run.listen(io.BytesIO(speech.tobytes()), latency, chunk=0.1)]
    told = latency.result()
    assert told["pieces"] == len(pieces) - 1 >= len(speech) // 800
    assert told["seconds"] == pytest.approx(len(speech) / RATE)
    took = told["milliseconds"]
    assert 0 < took["median"] <= took["p95"] <= took["most"]
    assert told["rtf"] == pytest.approx((sum(latency.chunks) + latency.closing) / latency.sound)
    assert transcribe.Latency().result()["rtf"] is None
    assert transcribe.Latency().describe() == "No sound came."
    assert latency.describe().startswith(f"{latency.sound:.1f} s of sound in {told['pieces']} chunks;")
    list(run.listen(io.BytesIO(speech.tobytes()), latency))
    assert latency.result()["seconds"] == pytest.approx(2 * told["seconds"])


def test_another_rate_is_brought_to_the_networks(run, speech, said):
    """Raw samples at twice the rate are heard as what they are."""
    twice = np.repeat(speech, 2)
    found = run.listen(io.BytesIO(twice.tobytes()), transcribe.Latency(), rate=2 * RATE)
    assert [one.text for piece in found for one in piece.utterances] == said


def test_what_cannot_listen_is_refused(run, tones, file):
    """A network that reads both ways, more than one text, and a pause of nothing are one error each, before a sound."""
    both = transcribe.fit(tones[:4], **QUICK)
    for said, call in {
        r"reads forward only, got one that reads both ways. Train one with streaming=True \(--streaming\)":
            lambda: both.listen(file, transcribe.Latency()),
        "n_best: expected 1": lambda: stream(run, [], n_best=2),
        "n_best: expected 1, where": lambda: run.predict(file, n_best=2),
        "pause: expected a number": lambda: listening.Listener(run.model, transcribe.Search(), 0.0),
        "options of Search": lambda: run.listen(file, transcribe.Latency(), widht=2),
        "raw 16-bit samples, got nothing": lambda: [*run.listen(io.BytesIO(), transcribe.Latency())],
        "raw 16-bit samples, got a WAV file":
            lambda: [*run.listen(io.BytesIO(file.read_bytes()), transcribe.Latency())],
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=said):
            call()


# ---- a stream from outside


def feed(stream, data, sizes):
    """Bytes in odd pieces, which cut samples in two."""
    at = 0
    while at < len(data):
        size = next(sizes)
        stream.write(data[at : at + size])
        stream.flush()
        at += size
    stream.close()


def test_a_pipe_in_odd_pieces_is_the_file(folder, speech, said):
    """Raw samples on standard input give the lines that the file gives, one as soon as its pause is over."""
    sizes = iter(np.random.default_rng(0).integers(1, 9001, 10_000).tolist())
    with fresh.command("transcribe", "listen", folder) as live:
        feeder = threading.Thread(target=feed, args=(live.stdin, speech.tobytes(), sizes))
        feeder.start()
        told = live.stdout.read().decode()
        errors = live.stderr.read().decode()
        feeder.join()
    assert live.returncode == 0
    assert told.splitlines() == said
    assert errors.count("\n") == 1
    assert "s of sound in" in errors
    assert "\033" not in errors


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for others")
def test_ctrl_c_leaves_cleanly(folder, speech, said):
    """It ends as at the end of the sound: status 0, an utterance that had begun, and the last line of any end."""
    with fresh.command("transcribe", "listen", folder) as live:
        live.stdin.write(speech.tobytes())
        live.stdin.flush()
        lines = [live.stdout.readline().decode().strip() for _ in said[:2]]
        live.send_signal(signal.SIGINT)
        rest, errors = live.communicate()
    assert lines == said[:2]
    assert live.returncode == 0
    assert rest.count(b"\n") <= 1
    assert " of sound in " in errors.decode()
    assert errors.count(b"\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="no such pipes")
def test_a_reader_that_leaves_is_no_error(folder, speech, said):
    """`… | gated transcribe listen run | head -1` ends without a word of complaint."""
    with fresh.command("transcribe", "listen", folder) as live:
        live.stdin.write(speech.tobytes())
        live.stdin.flush()
        assert live.stdout.readline().decode().strip() == said[0]
        live.stdout.close()
        try:
            live.stdin.write(speech.tobytes())
            live.stdin.close()
        except BrokenPipeError:
            pass
        assert "Traceback" not in live.stderr.read().decode()
    assert live.returncode == 0
