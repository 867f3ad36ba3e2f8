"""The demo of transcription: its lines, its picture, what it prints and leaves behind; with hardly any learning."""

import json
import random
import re
import struct
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font

from gated import cli
from gated.io import images
from gated.tasks.transcribe import demo, typeset
from gated.tasks.transcribe.data import read_items
from gated.tasks.transcribe.picture import picture
from gated.tasks.transcribe.run import load
from gated.tasks.transcribe.search import Hypothesis, Segment

# ---- lines to learn from


def test_lines_depend_on_their_seed_alone():
    """The same seed gives the same lines, another seed others; NumPy's generator stays where it was."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, same, other = (typeset.lines(20, seed) for seed in (0, 0, 1))
    assert [text for _, text in one] == [text for _, text in same]
    assert all((a == b).all() for (a, _), (b, _) in zip(one, same, strict=True))
    assert [text for _, text in one] != [text for _, text in other]
    assert (before == np.random.get_state()[1]).all()  # noqa: NPY002


def test_lines_are_dark_on_light_and_differ():
    """Bytes of dark ink on light paper, of many sizes; no two lines say the same, and together they use many marks."""
    found = typeset.lines(300, 0)
    for image, text in found:
        assert image.dtype == np.uint8
        assert np.median(image) > 180
        assert np.percentile(image, 2) < 150
        assert image.shape[1] > 4 * len(text)
    assert len({text for _, text in found}) == len(found)
    assert len({len(image) for image, _ in found}) > 20
    said = set("".join(text for _, text in found))
    assert said >= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;:!?()[]&%$€£§“”’–-/")


def test_every_face_has_every_letter():
    """No line shows a box where a font lacks a shape."""
    rng = random.Random(0)
    said = set("".join(typeset.sentence(rng) for _ in range(5000)))
    for face in typeset.FACES:
        font = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"))
        assert not {letter for letter in said if not font.get_char_index(ord(letter))}, face


def test_saved_lines_are_read_as_people_have_them(tmp_path):
    """A folder of images and texts comes back through the readers that users' folders go through."""
    made = typeset.lines(12, 3)
    found = read_items(typeset.save(tmp_path / "lines", made))
    assert [item.text for item in found.items] == [text for _, text in made]
    assert not found.notes
    for item, (_, text) in zip(found.items, made, strict=True):
        assert images.columns(item.path).shape[1] > 5 * len(text)


# ---- the picture


def transcript(text: str) -> tuple[np.ndarray, list[Segment], np.ndarray, list[str]]:
    """An image of 12 columns a letter, the letters at their columns, their log-probabilities, and the symbols."""
    symbols = ["", *sorted(set(text))]
    p = np.full((3 * len(text), len(symbols)), 0.02)
    p[:, 0] = 0.9
    for k, letter in enumerate(text):
        p[3 * k + 1] = [0.8 if symbol == letter else 0.01 for symbol in symbols]
    segments = [Segment(letter, 12.0 * k, 12.0 * k + 8, 0.8) for k, letter in enumerate(text)]
    return np.eye(32, 12 * len(text), dtype=np.float32), segments, np.log(p), symbols


def size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:])


def test_a_reading_is_drawn(tmp_path):
    """Sixty letters make a picture of about 1,000 pixels, the same bytes each time; an SVG has each letter as text."""
    text = "It cost $4 & was <sold> on the 3rd of May for 2 pounds, yes."
    paths = [tmp_path / "deep" / name for name in ("a.png", "b.png", "c.svg")]
    for path in paths:
        assert picture(path, *transcript(text), text) == path
    assert 900 < size(paths[0])[0] < 2100
    assert paths[0].read_bytes() == paths[1].read_bytes()
    drawn = paths[2].read_text()
    assert ">columns<" in drawn
    shown = re.findall(r">([^<>\s]|&lt;|&gt;|&amp;)</text>", drawn)
    want = [{" ": "␣", "<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(letter, letter) for letter in text]
    assert "".join(want) in "".join(shown)


def test_more_of_a_line_is_a_wider_picture(tmp_path):
    """A short line makes a small picture and a long one a wide one, so letters are always as large."""
    wide = [size(picture(tmp_path / "a.png", *transcript(text), ""))[0] for text in ("No", "a" * 40, "a" * 160)]
    assert wide[0] < wide[1] < wide[2]


def test_an_empty_reading_is_a_picture_too(tmp_path):
    """Of no symbols there is a picture as high as of some."""
    x, segments, log_probs, symbols = transcript("ab")
    one, two = (size(picture(tmp_path / "a.png", x, some, log_probs, symbols, "")) for some in (segments, []))
    assert one == two


# ---- the demo


SHORT = partial(demo.run, counts=(20, 4, 6), steps=2, units=8, progress=False)


def test_the_demo_leaves_a_run_and_a_picture(tmp_path):
    """The folder holds a picture and a run that loads and reads; the score is of the unseen lines; the text tells."""
    said = []
    result, text = SHORT(tmp_path / "demo", said.append)
    assert {"cer", "wer", "interval", "baselines", "seconds"} <= set(result)
    assert result["lines"] == 6
    assert min(size(tmp_path / "demo" / demo.PICTURE)) > 200
    assert "6 are held out" in said[0]
    assert "of 6 lines with a mistake." in text
    assert str(tmp_path / "demo" / demo.PICTURE) in text.splitlines()[-1]
    typeset.save(tmp_path / "one", typeset.lines(1, 9))
    assert isinstance(load(tmp_path / "demo").predict(str(tmp_path / "one" / "00001.png")), str)


def test_the_demo_can_be_run_twice_and_prints_one_object(monkeypatch, tmp_path, capsys):
    """`gated demo transcribe --json` twice, into its own folder: one object on standard output each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "run", SHORT)
    for _ in range(2):
        cli.main(["demo", "transcribe", "--json"])
        assert json.loads(capsys.readouterr().out)["lines"] == 6


def test_the_line_drawn_was_read_right_if_one_was():
    """What is drawn is the first right reading of middling length, else the first right one, else the first."""

    def said(*texts: str) -> list[Hypothesis]:
        return [Hypothesis(text, 1.0, 0.0, 0.0, [], []) for text in texts]

    long, short = "x" * demo.SHORT, "x"
    assert demo.choose(said("no", short, long), ["yes", short, long]) == 2
    assert demo.choose(said("no", short, long), ["yes", short, "other"]) == 1
    assert demo.choose(said("no", short), ["yes", "other"]) == 0
