"""Transcripts as subtitles and as words with boxes: times and boxes in order, everything escaped."""

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from gated._check import InputError
from gated.io import images
from gated.tasks.transcribe import formats
from gated.tasks.transcribe.frames import Frames
from gated.tasks.transcribe.manifests import Item
from gated.tasks.transcribe.search import Hypothesis, Segment
from made.prints import drawn, saved

SOUND, PRINT = Frames("sound", 40, 16_000), Frames("print", 32)


def speak(text, start=0.0, pause=0.1, each=0.3):
    """A hypothesis whose words follow one another; a word in capitals stands behind a pause of two seconds."""
    words, symbols, t = [], [], start
    for word in text.split():
        t += 2.0 * word.isupper()
        words.append(Segment(word, t, t + each, 0.9))
        step = each / len(word)
        symbols += [Segment(c, t + k * step, t + (k + 1) * step, 0.9) for k, c in enumerate(word)]
        t += each + pause
    return Hypothesis(text, 0.9, -1.0, -1.0, words, symbols)


def parse(text):
    """The cues of SRT or WebVTT: start and end in seconds, lines."""
    seconds = r"(\d\d):(\d\d):(\d\d)[,.](\d\d\d)"
    cues = []
    for block in text.removeprefix("WEBVTT\n\n").strip().split("\n\n"):
        lines = block.split("\n")
        lines = lines[1:] if lines[0].isdigit() else lines
        found = re.fullmatch(f"{seconds} --> {seconds}", lines[0]).groups()
        h, m, s, ms, *end = map(int, found)
        cues.append(
            (3600 * h + 60 * m + s + ms / 1000, 3600 * end[0] + 60 * end[1] + end[2] + end[3] / 1000, lines[1:])
        )
    return cues


TALK = " ".join(["one two three four five six"] * 20) + " NEW thing"


@pytest.mark.parametrize("form", ["srt", "vtt"])
@pytest.mark.parametrize("texts", [[(0.0, TALK)], [(3700.5, "z z"), (0.0, "a b"), (7.25, "c")], [(0.0, "字" * 100)]])
def test_subtitles_can_be_read(form, texts):
    """Two lines of 42 characters and seven seconds at most, a pause ends one, times rise, and no word is lost."""
    each = 30.0 if "字" in texts[0][1] else 0.3
    pairs = [(Item("a.wav", start=start or None), speak(text, each=each)) for start, text in texts]
    cues = parse(formats.render(form, pairs, SOUND))
    glue = "" if "字" in texts[0][1] else " "
    said = glue.join(glue.join(lines) for _, _, lines in cues)
    assert said == glue.join(text for _, text in sorted(texts))
    assert all(len(lines) <= 2 and max(map(len, lines)) <= 42 for _, _, lines in cues)
    assert all(start < end and end - start <= 7.001 for start, end, _ in cues)
    assert all(a[1] <= b[0] + 1e-3 for a, b in itertools.pairwise(cues))
    if texts[0][1] is TALK:
        assert cues[-1][2] == ["NEW thing"]


def test_subtitles_are_escaped_and_empty_ones_are_none():
    """An arrow, a bracket or an ampersand of a text is no syntax; without words there is no cue."""
    (cue,) = parse(formats.render("vtt", [(Item("a.wav"), speak("<b> & --> x"))], SOUND))
    assert cue[2] == ["&lt;b&gt; &amp; --&gt; x"]
    (cue,) = parse(formats.render("srt", [(Item("a.wav"), speak("a --> b"))], SOUND))
    assert cue[2] == ["a → b"]
    nothing = Hypothesis("", 1.0, 0.0, 0.0, [], [])
    assert formats.render("srt", [(Item("a.wav"), nothing)], SOUND) == ""
    assert formats.render("vtt", [(Item("a.wav"), nothing)], SOUND) == "WEBVTT\n"


def read_line(path):
    """A hypothesis with the words of an image at the columns where the scaled line has them."""
    x = images.columns(path)
    inked = np.flatnonzero((x > 0.5).any(0))
    groups = np.split(inked, np.flatnonzero(np.diff(inked) > 5) + 1)
    words = [
        Segment(text, float(group[0]), float(group[-1]), 0.5)
        for text, group in zip(("a<b", '"&"', "ein\x01s"), groups, strict=True)
    ]
    return Hypothesis("", 0.5, 0.0, 0.0, words, [])


@pytest.mark.parametrize("form", ["hocr", "alto"])
def test_words_have_boxes(form, tmp_path):
    """hOCR and ALTO are XML that parses, with names and texts escaped, and boxes within the line's, in order."""
    (tmp_path / 'q"<&>').mkdir()
    path = saved(tmp_path / 'q"<&>', np.pad(drawn("aaa bbb ccc"), 40, constant_values=255))
    best = read_line(path)
    text = formats.render(form, [(Item(str(path)), best)], PRINT)
    tree = ET.fromstring(text.split("\n", 2 if form == "hocr" else 1)[-1])
    if form == "hocr":
        spans = [one for one in tree.iter() if one.get("class") in ("ocrx_word", "ocr_line")]
        line, *boxes = [
            list(map(int, re.search(r"bbox (\d+ \d+ \d+ \d+)", one.get("title"))[1].split())) for one in spans
        ]
        texts = [one.text for one in spans[1:]]
        assert all("x_wconf 50" in one.get("title") for one in spans[1:])
        assert [one.get("title") for one in tree.iter() if one.get("class") == "ocr_page"] == [
            f'image "{path}"; bbox 0 0 {images.grey(path).shape[1]} {images.grey(path).shape[0]}; ppageno 0'
        ]
    else:
        names = [one for one in tree.iter() if one.tag.endswith(("String", "TextLine"))]
        sides = [[int(one.get(name)) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT")] for one in names]
        line, *boxes = [[x, y, x + w, y + h] for x, y, w, h in sides]
        texts = [one.get("CONTENT") for one in names[1:]]
        assert next(one for one in tree.iter() if one.tag.endswith("fileName")).text == str(path)
    assert [re.sub(r"\s", "", one) for one in texts] == ["a<b", '"&"', "eins"]
    assert len(boxes) == 3
    assert all(a[2] <= b[0] for a, b in itertools.pairwise(boxes))
    assert line == [boxes[0][0], min(b[1] for b in boxes), boxes[-1][2], max(b[3] for b in boxes)]
    assert 40 <= line[0] < 60
    row = formats.write_row(Item(str(path)), [best], PRINT)
    assert [word["box"] for word in row["words"]] == boxes


def test_a_form_of_the_other_kind_is_refused(tmp_path):
    """Subtitles are of sound, boxes of images; an ALTO or SRT file holds one of them."""
    one, two = Item(str(saved(tmp_path, drawn()))), Item("b.png")
    empty = Hypothesis("", 1.0, 0.0, 0.0, [], [])
    for form, pairs, frames, word in [
        ("srt", [(one, empty)], PRINT, "a run that reads sound"), ("hocr", [(one, empty)], SOUND, "reads print"),
        ("alto", [(one, empty), (two, empty)], PRINT, "one file, got 2"),
        ("vtt", [(Item("a.wav"), empty), (Item("b.wav"), empty)], SOUND, "one file, got 2"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=word):
            formats.render(form, pairs, frames)
