"""What a classifier reads: tables, lines, series, folders of sound, images, texts and frames; errors name places."""

import gzip
import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from gated._check import InputError
from gated.tasks.classify.data import read
from gated.tasks.classify.layout import Layout, natural

ROWS = [("a good film", "pos"), ("dull, and long", "neg")]
EXPECTED = [text for text, _ in ROWS], [(label,) for _, label in ROWS]


def take(source, need=True, **columns):
    return read(source, Layout(**columns), need=need)


TEXTS = {
    "csv": ("x.csv", 'review,stars\na good film,pos\n"dull, and long",neg\n', dict(text="review", target="stars")),
    "columns of any case": (
        "x.csv",
        'Review,Stars\na good film,pos\n"dull, and long",neg\n',
        dict(text="review", target="stars"),
    ),
    "guess": ("x.csv", 'id,review,label\n1,a good film,pos\n2,"dull, and long",neg\n', {}),
    "tsv": ("x.tsv", "label\tsentence\npos\ta good film\nneg\tdull, and long\n", {}),
    "no header": ("x.tsv", "pos\ta good film\nneg\tdull, and long\n", dict(text="2", target="1")),
    "json lines": (
        "x.jsonl",
        "".join(json.dumps({"t": t, "y": y}) + "\n" for t, y in ROWS),
        dict(text="t", target="y"),
    ),
    "marks": ("x.txt", "__label__pos a good film\n__label__neg dull, and long\n", {}),
    "semicolons": ("x.csv", "label;text\npos;a good film\nneg;dull, and long\n", {}),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("name", "content", "columns"), TEXTS.values(), ids=TEXTS)
def test_texts(tmp_path, name, content, columns, packed):
    """Tables, JSON lines and marked lines, plain or packed, are the same texts and labels."""
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    dataset = take(path, **columns)
    assert (dataset.layout.kind, dataset.inputs, dataset.targets) == ("text", *EXPECTED)
    assert all(place.startswith("line ") for place in dataset.places)


def test_a_guess_is_noted(tmp_path):
    """Columns that nobody named are in the notes."""
    (tmp_path / "x.csv").write_text(TEXTS["guess"][1])
    notes = take(tmp_path / "x.csv").notes
    assert notes == ("The target was taken to be the column 'label'.", "The text was taken to be the column 'review'.")


def test_frames_and_lists():
    """A data frame and lists are read as files are."""
    frame = pd.DataFrame(ROWS, columns=["Review", "Stars"])
    dataset = take(frame, text="Review", target="Stars")
    assert (dataset.inputs, dataset.targets) == EXPECTED
    later = pd.DataFrame({"REVIEW": ["1999", "7"], "STARS": ["007", "8"]})  # text stays text, by any case of its name
    dataset = read(later, dataset.layout, need=True)
    assert (dataset.inputs, dataset.targets) == (["1999", "7"], [("007",), ("8",)])
    dataset = read(EXPECTED[0], Layout(), need=True, targets=["pos", "neg"])
    assert (dataset.inputs, dataset.targets) == EXPECTED


def test_standard_input(monkeypatch):
    """Lines from a pipe are texts to predict, and a table from a pipe is one."""
    layout = Layout(kind="text", text="review", target="stars")
    for content in ("a good film\ndull, and long\n", 'review\na good film\n"dull, and long"\n'):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        assert read("-", layout, need=False).inputs == EXPECTED[0]


def test_rows_without_a_label_are_left_out_and_noted(tmp_path):
    """An empty label is no label; the note has the line."""
    (tmp_path / "x.csv").write_text("text,label\na b c,x\nd e f,\ng h i,y\n")
    dataset = take(tmp_path / "x.csv", text="text", target="label")
    assert dataset.targets == [("x",), ("y",)]
    assert dataset.notes == ("1 example without a label left out: line 3.",)


SERIES = [np.array([[1, 2, 3]], np.float32), np.array([[4, 5]], np.float32)]
NUMBERS = {
    "ts": ("x.ts", "@classLabel true a b\n@data\n1,2,3:a\n4,5:b\n", {}),
    "ucr": ("x.tsv", "a\t1\t2\t3\nb\t4\t5\tNaN\n", {}),
    "long": ("x.csv", "who,t,y,v\nu,2,a,2\nu,1,a,1\nw,1,b,4\nu,3,a,3\nw,2,b,5\n", dict(id="who", time="t", target="y")),
    "dates": (
        "x.csv",
        "who,t,y,v\nu,2024-01-02,a,2\nu,2024-01-01,a,1\nw,2024-01-01,b,4\nu,2024-01-03,a,3\nw,2024-01-02,b,5\n",
        dict(id="who", time="t", target="y", channels=("v",)),
    ),
    "as they stand": ("x.csv", "who,y,v\nu,a,1\nu,a,2\nw,b,4\nu,a,3\nw,b,5\n", dict(id="who", target="y")),
    "wide": ("x.csv", "y,v1,v2,v3\na,1,2,3\nb,4,5,\n", dict(target="y")),
}


@pytest.mark.parametrize(("name", "content", "columns"), NUMBERS.values(), ids=NUMBERS)
def test_series(tmp_path, name, content, columns):
    """.ts, the archive's lines, a row a step and a row a series are the same series."""
    (tmp_path / name).write_text(content)
    dataset = take(tmp_path / name, **columns)
    assert (dataset.layout.kind, dataset.targets) == ("series", [("a",), ("b",)])
    for x, expected in zip(dataset.inputs, SERIES, strict=True):
        np.testing.assert_array_equal(x, expected)
    again = read(tmp_path / name, dataset.layout, need=False)  # as a run reads what it predicts
    assert [x.tolist() for x in again.inputs] == [x.tolist() for x in SERIES]


def test_folders_of_a_class(tmp_path):
    """Sounds, images, texts and folders of frames in a folder of each class; frame_2 comes before frame_10."""
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        for part in ("sound", "image", "text"):
            (tmp_path / part / label).mkdir(parents=True)
        for n in range(2):
            soundfile.write(tmp_path / "sound" / label / f"{n}.wav", rng.normal(0, 0.1, 2000), 8000)
            Image.fromarray(rng.integers(0, 255, (12, 8), np.uint8)).save(tmp_path / "image" / label / f"{n}.png")
            (tmp_path / "text" / label / f"{n}.txt").write_text(f"text {n}\nof {label}\n")
            clip = tmp_path / "video" / label / f"clip{n}"
            clip.mkdir(parents=True)
            for k in range(11):
                Image.fromarray(np.full((6, 6), 20 * k, np.uint8)).save(clip / f"frame_{k}.png")
    for kind, shape in {"sound": (24, 23), "image": (8, 12), "video": (36, 11)}.items():
        dataset = take(tmp_path / kind)
        assert dataset.layout.kind == kind
        assert dataset.targets == [("a",), ("a",), ("b",), ("b",)]
        assert {x.shape for x in dataset.inputs} == {shape}
        assert (np.diff(dataset.inputs[0][0]) > 0).all() or kind != "video"
        again = read(tmp_path / kind / "a", dataset.layout, need=False)
        np.testing.assert_array_equal(again.inputs[0], dataset.inputs[0])
    dataset = take(tmp_path / "text")
    assert dataset.inputs[0] == "text 0 of a"
    (tmp_path / "text/a/x.png").write_bytes(b"")
    with pytest.raises(InputError, match="files of one kind"):
        take(tmp_path / "text")


def test_names_in_the_order_of_their_numbers():
    """Digits are numbers, of any length."""
    names = ["frame_10", "frame_2", "a1b20", "a1b3", "frame_02", "x"]
    assert sorted(names, key=natural) == ["a1b3", "a1b20", "frame_2", "frame_02", "frame_10", "x"]


BAD = {
    "no column": ("x.csv", "text,label\na b c,x\n", dict(text="review", target="label"), "column 'review'.*'text'"),
    "no label": ("x.csv", "text,grade,mark\na b c,1,2\n", dict(text="text"), "Name it with --target"),
    "a field more": ("x.csv", "text,label\na,b c,x\n", dict(text="text", target="label"), "line 2: expected 2 fields"),
    "several labels": ("x.txt", "__label__a __label__b hello\n", {}, "line 1: expected one label, got 2"),
    "two labels of a series": ("x.csv", "i,y,v\n1,a,3\n1,b,4\n", dict(id="i", target="y"), "one label, got 'a', 'b'"),
    "a time twice": (
        "x.csv",
        "i,t,y,v\n1,1,a,3\n1,1,a,4\n",
        dict(id="i", time="t", target="y"),
        "every time once, got line 3",
    ),
    "no number": (
        "x.csv",
        "y,v,w\n" + "a,1,2\n" * 300 + "b,1,x\n",
        dict(target="y"),
        "line 302, column 'w': expected a number",
    ),
    "nothing": ("x.csv", "", {}, "at least one line"),
    "a header": ("x.csv", "text,label\n", dict(text="text", target="label"), "at least one row"),
    "no labels at all": (
        "x.csv",
        "text,label\na b,\nc d,\n",
        dict(text="text", target="label"),
        "examples with their labels",
    ),
    "no text": ("x.csv", "label,v\na,1\n", {}, "Name the text's column with --text"),
    "a number for a text": (
        "x.jsonl",
        '{"text": 3, "label": "a"}\n',
        dict(text="text", target="label"),
        "line 1: expected text",
    ),
}


@pytest.mark.parametrize(("name", "content", "columns", "part"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_one_error(tmp_path, name, content, columns, part):
    """An error names the file, the line or the series, and what came."""
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=part):
        take(tmp_path / name, **columns)
