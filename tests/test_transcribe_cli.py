"""`gated transcribe`: what goes to which stream, what each mistake costs, and what a stop of any kind leaves."""

import dataclasses
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gated import transcribe
from made.sounds import RATE, record

COMMAND = ("transcribe",)  # what `gated` in conftest.py begins with
FIT = ["--units", "16", "--layers", "1", "--bands", "16", "--dropout", "0", "--augment", "0", "--mask", "0", "--batch",
       "600", "--lr", "0.01", "--precision", "32", "--steps"]  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory, transcriber, listener):
    """A folder with manifests, recordings, bad files, and the runs `run` and `live`, which no test changes."""
    folder = tmp_path_factory.mktemp("desk")
    for name, count, seed in (("train", 40, 1), ("dev", 5, 2)):
        rows = record(folder / name, count, seed)
        (folder / f"{name}.csv").write_text("path,text\n" + "".join(f"{row['path']},{row['text']}\n" for row in rows))
    (folder / "blank.csv").write_text("path,text\ndev/00.wav,\ndev/01.wav, \n")
    (folder / "capitals.csv").write_text("path,text\ndev/00.wav,LO HI\n")
    (folder / "wrong.csv").write_text("file,text\ndev/00.wav,lo\n")
    (folder / "none.csv").write_text("path,text\ndev/00.wav,lo\ndev/99.wav,lo\n")
    (folder / "spans.csv").write_text("path,start,end\ndev/00.wav,,0.5\ndev/01.wav,0.1,\n")
    (folder / "empty.wav").touch()
    (folder / "cut.wav").write_bytes((folder / "dev" / "00.wav").read_bytes()[:1000])
    soundfile.write(folder / "quiet.wav", np.zeros(RATE, np.float32), RATE)
    (folder / "mixed.csv").write_text("path,text\ndev/00.wav,lo\ncut.wav,lo\nquiet.wav,hi\n")
    unigrams = "".join(f"-0.5\t{word}\n" for word in ("lo", "hi", "up", "</s>", "<unk>"))
    (folder / "lm.arpa").write_text(f"\\data\\\nngram 1=6\n\n\\1-grams:\n-99\t<s>\n{unigrams}\n\\end\\\n")
    (folder / "bad.arpa").write_text("ngrams\n")
    (folder / "text.txt").write_text("lo hi up\nhi lo\n" * 20)
    transcriber.save(folder / "run")
    listener.save(folder / "live")
    return folder


# ---- which stream


@pytest.mark.parametrize(("verb", "kind"), [
    ("predict", transcribe.Search), ("score", transcribe.Search),
    ("listen", transcribe.Search), ("language", transcribe.language.Config),
])  # fmt: skip
def test_every_choice_is_an_option(gated, verb, kind):
    """What may be chosen from Python may be chosen here, under the same name, with its help."""
    status, out, err = gated(verb, "--help")
    assert (status, err) == (0, "")
    for field in dataclasses.fields(kind):
        assert "--" + field.name.replace("_", "-") in out
        assert field.metadata["help"].split()[0] in out


def test_options_reach_the_config(gated, monkeypatch):
    """Numbers, names, times and switches arrive as Config has them, and what is not said stays at its default."""
    taken = {}
    monkeypatch.setattr("gated.tasks.transcribe.run.fit", lambda *data, **more: taken.update(more, data=data) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gated("fit", "a.csv", "--valid", "b.csv", "--out", "x", "--time-limit", "2m", "--lower", "--no-dewarp",
              "--streaming", "--tokens", "word", "--longest", "3.5", "--bad", "skip", "--hold", "0", "--quiet",
              "--resume")  # fmt: skip
    config = transcribe.Config(
        time_limit=120.0, lower=True, dewarp=False, streaming=True, tokens="word", longest=3.5, bad="skip", hold=0
    )
    words = dict(out=Path("x"), resume=True, overwrite=False, progress=False)
    assert taken == dict(data=("a.csv", config), valid="b.csv", **words)


def test_fit_tells_people_on_standard_error(gated, tmp_path):
    """A fit says in sentences what it did, and in one object how many examples it took and held out."""
    words = ["fit", "train.csv", "--valid", "dev.csv", *FIT, "3", "--out", tmp_path / "run"]
    status, out, err = gated(*words)
    assert (status, out) == (0, "")
    assert "Trained on 40 examples" in err
    assert "5 held out: " in err
    told = json.loads(gated(*words, "--json", "--quiet", "--overwrite")[1])
    assert (told["examples"], told["held_out"]["examples"]) == (40, 5)


def test_score_is_a_table_or_one_object(gated, monkeypatch):
    """score --json has the rates, their intervals and seconds; the table stands on standard error."""
    status, out, err = gated("score", "run", "dev.csv", "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    told = json.loads(out)
    assert {"wer", "cer", "seconds", "rtf", "exact"} <= {k for k, v in told.items() if isinstance(v, int | float)}
    assert told["interval"]["wer"][0] <= told["wer"] <= told["interval"]["wer"][1]
    assert set(told["baselines"]) == {"constant", "empty"}
    assert json.loads(gated("score", "live", "dev.csv", "--lower", "--no-marks", "--width", "4", "--json")[1])["lower"]
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        status, out, err = gated("score", "run", "dev.csv")
        assert (status, out) == (0, "")
        assert "CER" in err


def test_one_file_is_its_text(gated):
    """One file gives one line, its text; several give path, tab, text, in their order; folders and manifests too."""
    names = [f"dev/{k:02}.wav" for k in range(5)]
    texts = transcribe.load("run").predict(names)
    assert gated("predict", "run", names[0]) == (0, texts[0] + "\n", "")
    rows = [f"{name}\t{text}\n" for name, text in zip(names, texts, strict=True)]
    assert gated("predict", "run", *names[::-1]) == (0, "".join(rows[::-1]), "")
    assert gated("predict", "run", "dev") == (0, "".join(rows), "")
    listed = gated("predict", "run", "dev.csv")[1].splitlines()
    assert [line.split("\t")[1] for line in listed] == texts
    spans = gated("predict", "run", "spans.csv")[1].splitlines()
    assert [Path(line.split("\t")[0]).name for line in spans] == ["00.wav@0-0.5", "01.wav@0.1-"]


def test_words_are_a_line_each(gated):
    """--words gives start, end, confidence and word, parted by tabs; with several files the path before them."""
    run = transcribe.load("run")
    for files in (["dev/00.wav"], ["dev/00.wav", "dev/01.wav"]):
        status, out, err = gated("predict", "run", *files, "--words")
        assert (status, err) == (0, "")
        rows = [line.split("\t") for line in out.splitlines()]
        if len(files) > 1:
            assert [row.pop(0) for row in rows] == [f for f in files for _ in run.transcribe(f)[0][0].words]
        assert [row[3] for row in rows] == " ".join(run.predict(files)).split()
        assert all(float(row[0]) <= float(row[1]) and 0 <= float(row[2]) <= 1 for row in rows)


def test_names_are_an_option(gated):
    """--names always and never give one form for any number of files, whatever a pattern of the shell matches."""
    texts = transcribe.load("run").predict(["dev/00.wav", "dev/01.wav"])
    assert gated("predict", "run", "dev/00.wav", "--names", "always")[1] == f"dev/00.wav\t{texts[0]}\n"
    assert gated("predict", "run", "dev/00.wav", "dev/01.wav", "--names", "never")[1] == "".join(
        f"{t}\n" for t in texts
    )
    one, two = (gated("predict", "run", *names, "--words", "--names", "always")[1] for names in (
        ["dev/00.wav"], ["dev/00.wav", "dev/01.wav"],
    ))  # fmt: skip
    assert two.startswith(one)


def test_names_on_standard_input_are_answered_as_they_come(desk, monkeypatch):
    """The text of the first name is there before the second one comes; a name that is wrong can be left out."""
    from gated.tasks.transcribe import commands

    monkeypatch.chdir(desk)
    run = transcribe.load("run")
    texts = run.predict(["dev/00.wav", "dev/01.wav"])
    out, into = os.pipe()
    with os.fdopen(out) as stream, os.fdopen(into, "w", buffering=1) as pipe:
        monkeypatch.setattr(sys, "stdin", stream)
        output = commands.predict(run, ("-",), bad="skip", search=transcribe.Search())
        lines = iter(output.data)
        for k, text in enumerate(texts):
            pipe.write(f"dev/0{k}.wav\n")
            assert next(lines) == f"dev/0{k}.wav\t{text}\n".encode()
        pipe.write("dev/99.wav\n")
        pipe.close()
        assert list(lines) == []
    result = output.result()
    assert [row["text"] for row in result["files"]] == texts
    assert "dev/99.wav" in result["left_out"][0]
    assert "dev/99.wav" in output.text()


def test_subtitles_by_the_ending_or_by_format(gated, tmp_path):
    """--out x.srt and --format srt are the same; several recordings in one file are refused."""
    status, out, err = gated("predict", "run", "dev/00.wav", "--format", "srt")
    assert (status, err) == (0, "")
    assert gated("predict", "run", "dev/00.wav", "--out", tmp_path / "x.srt") == (0, "", "")
    assert (tmp_path / "x.srt").read_text() == out
    assert out.startswith("1\n00:00:0")
    assert gated("predict", "run", "dev/00.wav", "--format", "vtt")[1].startswith("WEBVTT\n\n00:00:0")
    assert "one file, got 5" in gated("predict", "run", "dev", "--format", "srt")[2]
    assert "a run that reads print" in gated("predict", "run", "dev/00.wav", "--format", "hocr")[2]


def test_several_texts_have_their_scores(gated):
    """With --n-best each line has its score before the text, best first; --json has them all in one object."""
    status, out, err = gated("predict", "run", "dev/00.wav", "--n-best", "3")
    assert (status, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert 1 < len(rows) <= 3
    assert [float(row[0]) for row in rows] == sorted((float(row[0]) for row in rows), reverse=True)
    told = json.loads(gated("predict", "run", "dev/00.wav", "--n-best", "3", "--json")[1])
    assert [one["text"] for one in told["n_best"]] == [row[1] for row in rows]
    assert told["text"] == rows[0][1]


def test_json_is_one_object(gated, tmp_path):
    """--json gives path, text, confidence and words of every file, and which were left out; .jsonl has a line each."""
    status, out, err = gated("predict", "run", "mixed.csv", "--bad", "skip", "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    (row,) = found["files"]
    assert {"path", "text", "confidence", "words", "score", "log_prob"} == set(row)
    assert all({"text", "start", "end", "confidence"} == set(word) for word in row["words"])
    assert [name in why for name, why in zip(("cut.wav", "quiet.wav"), found["left_out"], strict=True)] == [True, True]
    assert gated("predict", "run", "mixed.csv", "--bad", "skip", "--out", tmp_path / "all.jsonl")[0] == 0
    assert [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()] == [row]
    first, *_ = json.loads(gated("predict", "run", "spans.csv", "--json")[1])["files"]
    assert (first["start"], first["end"]) == (None, 0.5)


def test_whatever_is_wrong_with_an_item_is_left_out(gated, tmp_path):
    """With --bad skip fit, predict and score go on without missing, foreign, damaged and empty ones, and list them."""
    listed = "dev/00.wav,lo\ndev/99.wav,lo\nlm.arpa,lo\ncut.wav,lo\ndev/01.wav,\ndev/02.wav,hi\nshort\n"
    Path("odd.csv").write_text(f"path,text\n{listed}")
    names = ("dev/99.wav", "lm.arpa", "cut.wav", "odd.csv, line 8")
    words = [*FIT, "2", "--hold", "0"]
    assert gated("fit", "odd.csv", *words, "--out", tmp_path / "x")[0] == 2
    status, out, err = gated("fit", "odd.csv", *words, "--bad", "skip", "--out", tmp_path / "x")
    assert (status, out) == (0, "")
    assert "left out 5: " in err
    assert all(name in err for name in (*names, "expected a text, got an empty one"))
    result = json.loads(gated("predict", tmp_path / "x", "odd.csv", "--bad", "skip", "--json")[1])
    assert [Path(row["path"]).name for row in result["files"]] == ["00.wav", "01.wav", "02.wav"]
    assert [name in why for name, why in zip(names, result["left_out"], strict=True)] == [True] * 4
    assert "left out 4: " in gated("score", "run", "odd.csv", "--bad", "skip")[2]
    for verb in ("predict", "score"):
        status, out, err = gated(verb, "run", "odd.csv")
        assert (status, out, err.count("\n")) == (2, "", 1)


def test_columns_are_remembered(gated, tmp_path):
    """A run reads later manifests by the columns of its fit, and others by their own; --columns names new ones."""
    for name, header in (("mine", "file,said"), ("theirs", "wav_filename,transcript"), ("other", "f,t")):
        Path(f"{name}.csv").write_text(f"{header}\ndev/00.wav,lo\ndev/01.wav,hi\n")
    fitted = gated("fit", "mine.csv", "--columns", "file,said", *FIT, "2", "--hold", "0", "--out", tmp_path / "x")
    assert fitted[0] == 0
    for words in (["mine.csv"], ["theirs.csv"], ["other.csv", "--columns", "f,t"]):
        for verb in ("predict", "score"):
            assert gated(verb, tmp_path / "x", *words)[0] == 0
    assert "columns file and said" in gated("score", tmp_path / "x", "other.csv")[2]


def test_a_run_is_updated(gated, tmp_path):
    """`update` trains the same symbols further on new files, and counts what they lack."""
    rows = [line for line in Path("train.csv").read_text().splitlines()[1:]]
    Path("new.csv").write_text("path,text\n" + "".join(f"{row} é\n" for row in rows[:8]) + f"{rows[0]}\n")
    status, out, err = gated("update", "run", "new.csv", "--steps", "3", "--out", tmp_path / "new")
    assert (status, out) == (0, "")
    assert "Not in the training data, so never output: é, in 8 texts" in err
    old, new = transcribe.load("run"), transcribe.load(tmp_path / "new")
    assert new.model.alphabet == old.model.alphabet
    assert new.model.frames == old.model.frames
    assert new.metrics["updated"]
    assert new.metrics["examples"] == 9
    assert any((a != b).any() for a, b in zip(
        old.model.network.parameters(), new.model.network.parameters(), strict=True,
    ))  # fmt: skip
    Path("none.tsv").write_text(f"path\ttext\n{rows[0].split(',')[0]}\téé\n")
    assert "texts with symbols of the run, got none" in gated("update", "run", "none.tsv", "--out", tmp_path / "y")[2]


def test_searches_are_options(gated):
    """A width, a language model in an ARPA file and words to be expected change nothing but the search."""
    plain = gated("predict", "run", "dev")[1]
    for words in (["--width", "8"], ["--lm", "lm.arpa", "--alpha", "0.1"], ["--hot", "hi lo, up", "--boost", "0.1"]):
        status, out, err = gated("predict", "run", "dev", *words)
        assert (status, err) == (0, "")
        assert out.count("\n") == plain.count("\n")
    assert gated("predict", "run", "dev", "--hot", "up", "--boost", "300")[1] == plain  # nobody said it


def test_a_file_is_written_whole_or_not_at_all(gated, tmp_path):
    """--out takes what else goes to standard output; where a file cannot be read the old one stands."""
    place = tmp_path / "out.tsv"
    assert gated("predict", "run", "dev", "--out", place) == (0, "", "")
    told = place.read_text()
    assert told == gated("predict", "run", "dev")[1]
    assert gated("predict", "run", "mixed.csv", "--out", place)[0] == 2
    assert place.read_text() == told
    assert [p.name for p in tmp_path.iterdir()] == ["out.tsv"]


def test_listen_writes_what_it_hears(gated, monkeypatch, desk):
    """A file, or raw samples on standard input, give a line an utterance, and the latency on standard error."""
    x, _ = soundfile.read("dev/01.wav", dtype="int16")
    text = transcribe.load("live").predict("dev/01.wav")
    status, out, err = gated("listen", "live", "dev/01.wav")
    assert (status, out, err.count("\n")) == (0, text + "\n", 1)
    for words in ([], ["-"], ["--rate", str(RATE), "--piece", "0.03"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(x.tobytes())))
        assert gated("listen", "live", *words)[:2] == (0, text + "\n")
    lines = gated("listen", "live", "dev/01.wav", "--json")
    assert (lines[0], lines[2]) == (0, "")
    *said, last = [json.loads(line) for line in lines[1].splitlines()]
    assert [one["text"] for one in said] == [text]
    assert set(last["latency"]) == {"pieces", "seconds", "rtf", "milliseconds"}


class Stopped(io.BytesIO):
    """Bytes, and then a press of Ctrl-C."""

    def read1(self, n=-1):
        data = super().read1(n)
        if not data:
            raise KeyboardInterrupt
        return data


def test_ctrl_c_ends_as_the_end_of_the_sound_does(gated, monkeypatch):
    """What was taken until then is written, and the same last line."""
    x, _ = soundfile.read("dev/01.wav", dtype="int16")
    text = transcribe.load("live").predict("dev/01.wav")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Stopped(x.tobytes())))
    status, out, err = gated("listen", "live")
    assert (status, out, err.count("\n")) == (0, text + "\n", 1)
    assert "s of sound in" in err


def test_a_language_is_learnt_for_the_search(gated, tmp_path):
    """`language` learns from lines of text what `--lm` reads; it says so on standard error, or in one object."""
    words = ["--steps", "3", "--units", "8", "--layers", "1", "--out", tmp_path / "lm"]
    status, out, err = gated("language", "run", "text.txt", *words)
    assert (status, out) == (0, "")
    assert err
    status, out, err = gated("language", "run", "text.txt", *words, "--quiet", "--json", "--overwrite")
    assert (status, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out)["run"] == str(tmp_path / "lm")
    status, out, err = gated("predict", "run", "dev", "--lm", tmp_path / "lm", "--alpha", "0.1", "--width", "4")
    assert (status, err, out.count("\n")) == (0, "", 5)


# ---- mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("fit", "Missing argument"),
        ("fit train.csv", "--out"),
        ("fit nowhere.csv --out x", "no such file"),
        ("fit wrong.csv --out x", "path"),
        ("fit none.csv --out x", "99.wav"),
        ("fit spans.csv --out x", "text"),
        ("fit mixed.csv --out x", "2 that cannot: "),
        ("fit empty.wav --out x", "empty.txt beside it"),
        ("fit run --out x", "files of sound"),
        ("fit train.csv --valid wrong.csv --out x", "wrong.csv"),
        ("fit train.csv --out x --cell rnn", "'lstm'"),
        ("fit train.csv --out x --dropout 2", "dropout: expected a number from 0 to 0.95"),
        ("fit train.csv --out x --unit 3", "--units"),
        ("fit train.csv --out x --time-limit soon", "30m"),
        ("fit train.csv --out x --streaming --normalise utterance", "running"),
        ("fit train.csv --out x --bands 250 --rate 8000", "Take fewer bands"),
        ("fit train.csv --out . --steps 1", "only files of a run"),
        ("predict nowhere dev", "nowhere"),
        ("predict . dev", "Is this a run folder"),
        ("predict run", "Missing argument"),
        ("predict run dev/99.wav", "99.wav: expected files that are there, got no such file"),
        ("predict run empty.wav", "empty.wav: expected a file of sound, got an empty file"),
        ("predict run cut.wav", "cut.wav"),
        ("predict run mixed.csv", "And 1 more."),
        ("predict run wrong.csv", "wrong.csv"),
        ("predict run lm.arpa", ".arpa is none of"),
        ("predict run dev --out no/out.tsv", "a folder that exists"),
        ("predict run dev --out dev", "a file to write, got a folder"),
        ("predict run dev --width 0", "width: expected a whole number from 1 to"),
        ("predict run dev --lm nowhere.arpa", "nowhere.arpa"),
        ("predict run dev --lm bad.arpa", "bad.arpa"),
        ("predict run dev --lm run", "run"),
        ("predict live dev --n-best 2", "n_best: expected 1"),
        ("score run dev", "without text"),
        ("score run spans.csv", "text"),
        ("score run cut.wav", "cut.txt beside it"),
        ("listen run dev/00.wav", "Train one with streaming=True (--streaming)."),
        ("listen live nowhere.wav", "no such file"),
        ("listen live dev/00.wav --rate 8000", "rate: expected none beside a file, whose header has it, got 8000"),
        ("predict run - dev/00.wav", "FILE: expected - alone"),
        ("predict run dev/00.wav - dev/01.wav", "FILE: expected - alone"),
        ("predict run dev/00.wav --words --format text", "words: expected a form that has words, got text"),
        ("predict run dev/00.wav --words --out x.srt", "words: expected a form that has words, got srt"),
        ("predict run dev/00.wav --words --format vtt", "got vtt. Leave --words out."),
        ("predict run dev/00.wav --out x.json", "out: expected an ending .jsonl"),
        ("predict run dev/00.wav --out x.docx", "or a --format, got .docx"),
        ("predict run dev/00.wav --out x.TextGrid", "or a --format, got .textgrid"),
        ("score run blank.csv", "blank.csv: expected texts to score against, got only empty ones"),
        ("listen live dev/00.wav --pause 0", "pause: expected a number"),
        ("listen live dev/00.wav --piece 0", "piece: expected a number"),
        ("language run nowhere.txt --out x", "nowhere.txt"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(gated, words, said):
    """Nothing on standard output, one line on standard error that says what to do, no traceback, status 2."""
    status, out, err = gated(*words.split())
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert said in err
    assert not Path("x").exists()


@pytest.mark.parametrize(("data", "said"), [
    (b"", "got nothing"), (b"RIFF\0\0\0\0WAVE", "got a WAV file"), (b"OggS" + bytes(9), "an Ogg file"),
    (b"ID3\4" + bytes(9), "an MP3 file"), (b"\0\0\0\x20ftypM4A ", "a film's file"),
    (b"\x1aE\xdf\xa3" + bytes(9), "a film's file"), (b".snd" + bytes(9), "an AU file"),
    (b"dev/00.wav\n", "a text file"), (b"hello\n", "a text file"), (b"<html>" * 9, "a text file"),
])  # fmt: skip
def test_a_stream_that_is_none_is_a_mistake(gated, monkeypatch, data, said):
    """Nothing at all, or the bytes of a file with a header, are one line and status 2."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    status, out, err = gated("listen", "live")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.parametrize("data", [b"\1", b"\1\2", b"\1\2\3", bytes(7), b"\1\2" * 400 + b"\3"])
def test_a_stream_of_any_length_is_sound(gated, monkeypatch, data):
    """A byte that is half a sample is no error."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert gated("listen", "live")[0] == 0


def test_a_rate_of_zero_is_a_mistake(gated, monkeypatch):
    """It is not that of the run."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(99))))
    status, _, err = gated("listen", "live", "--rate", "0")
    assert (status, "rate of the raw samples: expected" in err) == (2, True)


def test_texts_in_another_case_are_noted(gated):
    """A score against capitals that a run does not write names the option that ignores case."""
    assert "(--lower) ignores case" in " ".join(gated("score", "run", "capitals.csv")[2].split())
    assert "(--lower)" not in gated("score", "run", "capitals.csv", "--lower")[2]
    assert "(--lower)" not in gated("score", "run", "dev.csv")[2]


def test_a_terminal_is_no_sound(gated, monkeypatch):
    """Where nothing is piped in, what to do is said."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    status, out, err = gated("listen", "live")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "Pipe raw 16-bit PCM into it." in err
