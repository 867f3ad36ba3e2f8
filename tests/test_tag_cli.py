"""`gated tag` on files and pipes: columns, JSON lines and brat out, whatever comes in."""

import io
import json
import os

import numpy as np
import pandas as pd
import pytest

from gated import cli, tag
from gated.tasks.tag import commands

COMMAND = ("tag",)
TRAIN = "\n".join(
    f"# {who}\n{who} NNP B-PER\n{does} VBD O\nNew NNP B-LOC\n{there} NNP I-LOC\n. . O\n"
    for who in ("Mary", "Ann", "Ole")
    for does in ("left", "saw")
    for there in ("York", "Delhi", "Haven")
)
WORDS = "--units 16 --embedding 16 --characters 8 --batch 60 --steps 100 --lr 0.01 --ema 0.9 --quiet"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with a run of names in `run`, which no test changes."""
    folder = tmp_path_factory.mktemp("tag")
    (folder / "train.conll").write_text(TRAIN)
    (folder / "letter.txt").write_text("Mary saw New York.\n\nAnn left New Delhi .\n")
    (folder / "empty.txt").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        cli.main(["tag", "fit", "train.conll", *WORDS.split(), "--out", "run"])
    return folder


def test_text_to_columns(gated):
    """A line of text is a sentence of columns; an empty line an empty one; --scores adds probabilities."""
    status, out, err = gated("predict", "run", "letter.txt")
    assert (status, err) == (0, "")
    assert out == (
        "Mary\tB-PER\nsaw\tO\nNew\tB-LOC\nYork\tI-LOC\n.\tO\n\n\nAnn\tB-PER\nleft\tO\nNew\tB-LOC\nDelhi\tI-LOC\n.\tO\n\n"
    )
    row = gated("predict", "run", "letter.txt", "--scores")[1].splitlines()[0].split("\t")
    assert row[:2] == ["Mary", "B-PER"]
    assert 0 < float(row[2]) <= 1


def test_a_pipe_is_answered(gated):
    """Standard input is text, JSON lines or columns, by its first line."""
    status, out, _ = gated("predict", "run", stdin=b"Mary left\n")
    assert (status, out) == (0, "Mary\tB-PER\nleft\tO\n\n")
    assert gated("predict", "run", "-", stdin=b"Mary\tNNP\tO\nleft\tVBD\tO\n")[1] == (
        "Mary\tNNP\tO\tB-PER\nleft\tVBD\tO\tO\n"
    )
    line = json.dumps({"text": "Ann saw New York", "spans": []})
    out = gated("predict", "run", "--format", "jsonl", stdin=f"{line}\n{line}\n".encode())[1]
    assert [json.loads(one)["tags"] for one in out.splitlines()] == [["B-PER", "O", "B-LOC", "I-LOC"]] * 2
    assert gated("predict", "run", stdin=b"")[::2] == (
        2, "Error: standard input: expected at least one line, got an empty file.\n"
    )  # fmt: skip


def test_a_pipe_is_answered_line_by_line(desk, monkeypatch):
    """The answer to a line comes before the next line is there."""
    monkeypatch.chdir(desk)
    reader, writer = os.pipe()
    with open(reader, "rb") as stdin, open(writer, "wb", buffering=0) as end:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stdin))
        end.write(b"Mary left\n")
        answers = iter(commands.predict(tag.load("run"), with_=[]).data)
        assert next(answers) == b"Mary\tB-PER\nleft\tO\n\n"
        end.write(b"Ann saw New York\n")
        assert next(answers).startswith(b"Ann\tB-PER\n")
        end.close()
        assert list(answers) == []


def test_columns_keep_their_lines(gated, desk):
    """A file of columns comes back as it was, comments and all, with a column more."""
    status, out, _ = gated("predict", "run", "train.conll")
    assert status == 0
    lines = zip(out.splitlines(), TRAIN.splitlines(), strict=True)
    assert all(new == old if not old or old.startswith("#") else new.startswith(f"{old}\t") for new, old in lines)


def test_json_lines(gated, desk):
    """An object a sentence: text, tokens, tags with probabilities, spans by characters, n best sequences."""
    gated("predict", "run", "letter.txt", "--out", "letter.jsonl", "--n-best", 2)
    first, empty, _ = [json.loads(line) for line in (desk / "letter.jsonl").read_text().splitlines()]
    assert first["text"] == "Mary saw New York."
    assert [(s["start"], s["end"], s["label"], s["text"]) for s in first["spans"]] == [
        (0, 4, "PER", "Mary"), (9, 17, "LOC", "New York"),
    ]  # fmt: skip
    assert first["spans"][1]["p"] == min(first["p"][2:4])
    assert [one["tags"] == first["tags"] for one in first["n_best"]] == [True, False]
    assert (empty["tokens"], empty["spans"]) == ([], [])
    result = json.loads(gated("predict", "run", "letter.txt", "--json")[1])
    assert result["sentences"][0]["tags"] == first["tags"]


def test_what_is_written_can_be_read(gated, desk):
    """JSON lines that predict wrote are data to train on and to score."""
    gated("predict", "run", "letter.txt", "--out", "again.jsonl")
    result = json.loads(gated("score", "run", "again.jsonl", "--no-crfsuite", "--json")[1])
    assert result["f1"] == 1.0


def test_brat(gated, desk):
    """brat's annotations are by characters of the whole text."""
    gated("predict", "run", "letter.txt", "--out", "letter.ann")
    text = (desk / "letter.txt").read_text()
    rows = [line.split("\t") for line in (desk / "letter.ann").read_text().splitlines()]
    assert [row[0] for row in rows] == ["T1", "T2", "T3", "T4"]
    for _, where, words in rows:
        _, first, end = where.split()
        assert text[int(first) : int(end)] == words


def test_scores(gated):
    """A table for people, one object for programs."""
    result = json.loads(gated("score", "run", "train.conll", "--json")[1])
    assert result["f1"] == 1.0
    assert set(result["baselines"]) == {"frequent", "crfsuite"}
    err = gated("score", "run", "train.conll", "--no-crfsuite")[2]
    assert "36 spans, 36 predicted, 36 correct" in err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("predict run empty.txt", "an empty file"),
        ("predict run nowhere.txt", "no such file"),
        ("predict run letter.txt --input words", "'columns'"),
        ("predict run letter.txt --input columns", "line 3: expected 4 columns"),
        ("predict run letter.txt --n-best 0", "at least 1"),
        ("predict run letter.txt --format xml", "brat"),
        ("predict run letter.txt --out nowhere/x", "Make nowhere first"),
        ("score run letter.txt", "letter.txt"),
        ("fit train.conll --column 9 --out x", "expected 9 columns at least"),
        ("fit letter.txt --out x", "letter.txt, line 3: expected 4 columns"),
    ],
)
def test_a_mistake_is_one_line(gated, desk, words, part):
    """Status 2, one line that says where, what and what to do, and nothing written."""
    status, out, err = gated(*words.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert part in err
    assert not (desk / "x").exists()


def test_a_table_of_series(gated, desk):
    """A table gives its rows with their tags; JSON gives segments."""
    x = np.repeat([0.0, 1.0] * 10, 12)
    frame = pd.DataFrame({"time": np.arange(240), "x": x, "state": np.where(x > 0, "on", "off")})
    frame.to_csv(desk / "states.csv", index=False)
    status, _, err = gated("fit", "states.csv", "--target", "state", "--time", "time", "--hold", "3", "--units", 8,
                           "--steps", 60, "--lr", "0.02", "--quiet", "--out", "states")  # fmt: skip
    assert (status, err) == (0, "")
    status, out, err = gated("predict", "states", "states.csv")
    assert (status, err) == (0, "")
    assert out.startswith("time,x,state,tag,p\n0,0,off,off,")
    result = json.loads(gated("predict", "states", "states.csv", "--json")[1])
    assert [(one["first"], one["last"], one["tag"]) for one in result["segments"][:2]] == [
        (0, 11, "off"),
        (12, 23, "on"),
    ]
    result = json.loads(gated("score", "states", "states.csv", "--json")[1])
    assert result["segment_f1"] == result["f1"] == 1.0
    assert json.loads(gated("score", "states", "states.csv", "--json")[1])["baselines"]["crfsuite"]["f1"] > 0.9
