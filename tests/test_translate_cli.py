"""`gated translate`: what goes to which stream, what each mistake costs, and what a stop of any kind leaves."""

import dataclasses
import functools
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gated import cli, runs, translate
from gated.tasks.translate import commands
from made import fresh

COMMAND = ("translate",)  # what `gated` in conftest.py begins with
WORDS = dict(eins="one", zwei="two", drei="three", vier="four")
PAIRS = [(f"{a} {b} {c}", f"{WORDS[a]} {WORDS[b]} {WORDS[c]}") for a in WORDS for b in WORDS for c in WORDS]
FIT = ["--tokens", "word", "--units", "8", "--layers", "1", "--batch", "100", "--precision", "32",
       "--monitor", "loss", "--steps", "3"]  # fmt: skip
CATALOGUE = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n#: a.c:1\nmsgid "eins %s"\nmsgstr ""\n'


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with aligned files, files of pairs, a catalogue, and a fitted run in `run`, which no test changes."""
    folder = tmp_path_factory.mktemp("desk")
    for name, pairs in (("train", PAIRS[:50]), ("val", PAIRS[50:57]), ("test", PAIRS[57:])):
        for side, end in enumerate(("de", "en")):
            (folder / f"{name}.{end}").write_text("".join(pair[side] + "\n" for pair in pairs))
    (folder / "t.tsv").write_text("de\ten\n" + "".join(f"{x}\t{y}\n" for x, y in PAIRS[50:]))
    (folder / "plain.tsv").write_text("".join(f"{x}\t{y}\n" for x, y in PAIRS))
    (folder / "bad.de").write_bytes(b"eins\nzw\x81ei\n")
    (folder / "letter.de").write_text("eins zwei\n\nvier drei\n")
    (folder / "empty.de").touch()
    (folder / "de.po").write_text(CATALOGUE)
    (folder / "todo.po").write_text(CATALOGUE + '\n#, fuzzy\nmsgid "zwei"\nmsgstr "two"\n')
    (folder / "doc.docx").write_bytes(b"PK")
    with zipfile.ZipFile(folder / "pack.zip", "w") as archive:
        for name in "ab":
            archive.writestr(name, "eins")
    words = ["translate", "fit", "train.de", "train.en", "--valid", "val.de", "val.en", *FIT, "--out", "run", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        cli.main(words)
    return folder


# ---- which stream


@pytest.mark.parametrize(("verb", "kind"), [
    ("predict", translate.Search), ("score", translate.Search), ("attend", translate.Search)
])  # fmt: skip
def test_every_choice_is_an_option(gated, verb, kind):
    """What may be chosen from Python may be chosen here, under the same name, with its help."""
    status, out, err = gated(verb, "--help")
    assert (status, err) == (0, "")
    for field in dataclasses.fields(kind):
        assert "--" + field.name.replace("_", "-") in out
        assert field.metadata["help"].split()[0] in out


def test_options_reach_the_config(gated, monkeypatch):
    """Numbers, names, times and switches arrive as Config has them, and the others stay at their defaults."""
    taken = {}
    monkeypatch.setattr("gated.tasks.translate.run.fit", lambda *data, **words: taken.update(words, data=data) or 1 / 0)
    for valid, pairs in (
        (["--valid", "v.de", "v.en"], ("v.de", "v.en")),
        (["--valid", "v.de", "--valid", "v.en"], ("v.de", "v.en")),
        (["--valid", "v.tsv"], "v.tsv"),
        ([], None),
    ):
        with pytest.raises(ZeroDivisionError):
            gated("fit", *valid, "a.de", "a.en", "--out", "x", "--time-limit", "2m", "--columns", "de, en", "--lower",
                  "--attention", "dot", "--dropout", "0.3", "--feeding", "--quiet", "--resume")  # fmt: skip
        assert taken["config"] == translate.Config(
            time_limit=120.0, columns=("de", "en"), lower=True, attention="dot", dropout=0.3, feeding=True
        )
        assert (taken["data"], taken["valid"]) == (("a.de", "a.en"), pairs)
        assert (taken["progress"], taken["resume"]) == (False, True)


def test_options_reach_the_search(gated, monkeypatch):
    """Every option of a search arrives, and so do the runs beside, the prefixes and the alignment."""
    taken = {}

    @functools.wraps(commands.predict)
    def predict(run, *data, **words):
        taken.update(words, data=data)
        return runs.Output({})

    monkeypatch.setattr(commands, "predict", predict)
    values = dict(width=7, n_best=3, length_penalty=0.5, coverage_penalty=0.1, no_repeat=3, limit=1.5, sample=True,
                  temperature=0.7, top_k=9, top_p=0.8, draw=4, replace_unknown=True)  # fmt: skip
    assert set(values) == {field.name for field in dataclasses.fields(translate.Search)}
    words = []
    for name, value in values.items():
        flag = "--" + name.replace("_", "-")
        words += [flag] if value is True else [flag, value]
    more = ["--prefix", "p", "--align", "a", "--scores", "--fuzzy", "--out", "o"]
    assert gated("predict", "run", "x", *words, *more, "--with", "run", "--with", "run") == (0, "", "")
    assert taken["search"] == translate.Search(**values)
    assert (taken["data"], taken["out"], taken["prefix"], taken["align"], len(taken["with_"])) == (
        ("x",),
        "o",
        "p",
        "a",
        2,
    )
    assert taken["scores"]
    assert taken["fuzzy"]


def test_fit_tells_people_on_standard_error(gated, tmp_path):
    """A fit says in sentences what it did; without held-out pairs it holds some out by itself."""
    pairs = ["train.de", "train.en", "--valid", "val.de", "val.en", *FIT, "--out"]
    status, out, err = gated("fit", *pairs, tmp_path / "run")
    assert (status, out) == (0, "")
    assert "Trained on 50 pairs" in err
    assert "7 held-out pairs: BLEU" in err
    status, out, err = gated("fit", "plain.tsv", *FIT, "--out", tmp_path / "run", "--json", "--overwrite")
    assert (status, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out)["held_out"]["pairs"] == 3


def test_score_is_a_table_or_one_object(gated, monkeypatch):
    """score --json has BLEU, lower-cased too, chrF, signature and seconds; the table stands on standard error."""
    status, out, err = gated("score", "run", "test.de", "test.en", "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    result = json.loads(out)
    assert {"bleu", "bleu_lower", "chrf", "seconds"} <= {k for k, v in result.items() if isinstance(v, float)}
    assert "tok:13a" in result["signature"]
    assert set(result["baselines"]) == {"copy", "memory"}
    assert json.loads(gated("score", "run", "t.tsv", "--width", "1", "--with", "run", "--json")[1])["sentences"] == 15
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        status, out, err = gated("score", "run", "test.de", "test.en")
        assert (status, out) == (0, "")
        assert "◂ best" in err
        assert max(map(len, err.splitlines())) <= int(columns)


def test_predict_gives_a_line_for_a_line(gated, monkeypatch, tmp_path):
    """From a file or a pipe, to standard output or a file; empty lines stay; nothing else is printed."""
    status, out, err = gated("predict", "run", "letter.de")
    assert (status, err, out.count("\n")) == (0, "", 3)
    assert out.split("\n")[1] == ""
    assert out.splitlines() == translate.load("run").predict(Path("letter.de"))
    assert gated("predict", "run", "letter.de", "--out", tmp_path / "letter.en") == (0, "", "")
    assert (tmp_path / "letter.en").read_text() == out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("letter.de").read_bytes())))
    assert gated("predict", "run") == (0, out, "")
    monkeypatch.setattr(commands, "LINES", 1)
    assert gated("predict", "run", "letter.de", "--align", tmp_path / "align") == (0, out, "")
    assert [bool(line) for line in (tmp_path / "align").read_text().splitlines()] == [True, False, True]


def test_scores_stand_before_every_translation(gated):
    """With --scores, or more than one translation, each line is a number, a score and a text, of empty lines too."""
    rows = [line.split("\t") for line in gated("predict", "run", "letter.de", "--n-best", "2")[1].splitlines()]
    assert [row[0] for row in rows] == ["1", "1", "2", "3", "3"]
    assert rows[2] == ["2", "0.0000", ""]
    assert float(rows[0][1]) >= float(rows[1][1])
    best = [line.split("\t")[2] for line in gated("predict", "run", "letter.de", "--scores")[1].splitlines()]
    assert best == gated("predict", "run", "letter.de")[1].splitlines() == [rows[0][2], "", rows[3][2]]


def test_prefixes_come_from_a_file(gated, tmp_path):
    """Each translation begins with its line of the file, which has as many lines as the source."""
    (tmp_path / "begin").write_text("three two\n\none\n")
    status, out, _ = gated("predict", "run", "letter.de", "--prefix", tmp_path / "begin")
    assert status == 0
    assert [line.startswith(start) for line, start in zip(out.splitlines(), ("three two", "", "one"), strict=True)]
    (tmp_path / "begin").write_text("three two\n")
    assert "expected 3 lines, as of the source, got 1" in gated("predict", "run", "letter.de", "--prefix",
                                                                tmp_path / "begin")[2]  # fmt: skip


@pytest.mark.parametrize("typed", [True, False], ids=["terminal", "pipe"])
def test_an_open_pipe_is_answered_line_by_line(gated, monkeypatch, typed):
    """Each line that comes is answered before the next is read; the translations are those of the whole."""
    answered = []

    class Terminal(io.BytesIO):
        def read1(self, size=-1):
            answered.append(os.pread(1, 1 << 16, 0).count(b"\n"))  # lines on standard output so far
            return self.readline()

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Terminal(b"eins zwei\n\ndrei vier\n")))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: typed, raising=False)
    status, out, err = gated("predict", "run", "--scores")
    assert (status, err) == (0, "Type a sentence a line; Ctrl-D ends.\n" * typed)
    whole = gated("predict", "run", "--scores", stdin=b"eins zwei\n\ndrei vier\n")
    assert [line.split("\t")[2] for line in whole[1].splitlines()] == [line.split("\t")[2] for line in out.splitlines()]
    assert answered == [0, 1, 2, 3]
    assert [line.split("\t")[0] for line in out.splitlines()] == ["1", "2", "3"]


def test_samples_do_not_depend_on_how_lines_come(gated, monkeypatch):
    """A sample is a function of the seed and the line's number, in whatever parts a file is read."""
    words = ["predict", "run", "letter.de", "--sample", "--temperature", "9"]
    status, out, _ = gated(*words)
    monkeypatch.setattr(commands, "LINES", 1)
    assert (status, out) == (0, gated(*words)[1])


THREE = "id\tde\ten\n" + "".join(f"{n}\t{x}\t{y}\n" for n, (x, y) in enumerate(PAIRS[50:]))


def test_columns_are_named_or_known(gated, tmp_path):
    """--columns in predict and score; a run fitted by columns knows them in a table, a pipe, JSON lines."""
    (tmp_path / "three.tsv").write_text(THREE)
    path = tmp_path / "three.tsv"
    wanted = gated("predict", "run", stdin="".join(f"{x}\n" for x, _ in PAIRS[50:]).encode())[1]
    for words, stdin in (([path, "--columns", "de,en"], None), ([path, "--columns", "de"], None),
                         (["--columns", "de"], THREE.encode()),
                         ([path.with_suffix(".csv"), "--columns", "de"], None)):  # fmt: skip
        path.with_suffix(".csv").write_text(THREE.replace("\t", ","))
        assert gated("predict", "run", *words, stdin=stdin) == (0, wanted, "")
    score = json.loads(gated("score", "run", path, "--columns", "de,en", "--json")[1])
    assert score["bleu"] == json.loads(gated("score", "run", "t.tsv", "--columns", "de,en", "--json")[1])["bleu"]
    for verb in ("predict", "score"):
        status, _, err = gated(verb, "run", path)
        assert (status, "got 3. Name" in err, "columns" in err) == (2, True, True)
    assert gated("fit", path, "--columns", "de,en", *FIT, "--valid", path, "--out", tmp_path / "new", "--quiet")[0] == 0
    known = gated("predict", tmp_path / "new", path)
    assert known[1].count("\n") == len(PAIRS[50:])
    assert gated("predict", tmp_path / "new", stdin=THREE.encode()) == known
    lines = "".join(json.dumps({"de": x, "en": y}) + "\n" for x, y in PAIRS[50:])
    assert gated("predict", tmp_path / "new", stdin=lines.encode()) == known
    assert json.loads(gated("score", tmp_path / "new", path, "--json")[1])["sentences"] == len(PAIRS[50:])


FILM = "1\n00:00:01,000 --> 00:00:02,000\n{}\n\n2\n00:00:03,000 --> 00:00:04,000\n{}\n"
STRUCTURED = [("film.srt", FILM), ("app.json", '{{"greet": "{}", "n": ["{}", 1]}}'),
              ("Localizable.strings", '/* a */\n"a" = "{}";\n"b" = "{}";\n'),
              ("page.html", "<p>{}</p>\n<p>{}</p>")]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), STRUCTURED, ids=[name for name, _ in STRUCTURED])
def test_a_file_with_a_structure_keeps_it(gated, tmp_path, name, text):
    """Only its texts are translated, as lines would be; from standard input where its content says what it is."""
    new = gated("predict", "run", stdin=b"eins zwei\ndrei vier\n")[1].splitlines()
    (tmp_path / name).write_text(text.format("eins zwei", "drei vier"))
    status, out, err = gated("predict", "run", tmp_path / name)
    assert (status, out, err) == (0, text.format(*new), "2 texts translated.\n")
    assert gated("predict", "run", tmp_path / name, "--out", tmp_path / "new", "--json")[0] == 0
    assert (tmp_path / "new").read_text() == out
    if name.endswith("srt"):
        assert gated("predict", "run", stdin=text.format("eins zwei", "drei vier").encode()) == (0, out, err)


def test_predict_notes_what_it_never_saw(gated):
    """Lines in another script are counted on standard error, and in the object of --json."""
    status, out, err = gated("predict", "run", stdin="我喜欢\neins\nДобрый eins\n".encode())
    assert (status, out.count("\n")) == (0, 3)
    assert err.splitlines() == [
        "1 line holds only characters that the run has never seen (line 1): 我 喜 欢",
        "1 line holds characters that the run has never seen (line 3): Д о б р ы й",
    ]
    result = json.loads(gated("predict", "run", "--json", stdin="我喜欢\n".encode())[1])
    assert len(result["notes"]) == 1


def test_an_update_is_a_new_run(gated, tmp_path):
    """`update` trains a run on more pairs, in a file or on standard input, and leaves it as it was."""
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    status, out, err = gated("update", "run", "plain.tsv", "--steps", "2", "--out", tmp_path / "new")
    assert (status, out) == (0, "")
    assert "Updated on 61 pairs" in err
    assert gated("predict", tmp_path / "new", "letter.de")[0] == 0
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before
    words = ["update", "run", "-", "--steps", "1", "--lr", "0.01", "--json", "--out", tmp_path / "json"]
    result = json.loads(gated(*words, stdin=b"eins\tone\n")[1])
    assert (result["updated"], result["pairs"]) == (True, 1)


def test_a_catalogue_gives_a_catalogue(gated, tmp_path):
    """Filled entries are marked fuzzy, all else is as it was; a note says what to look at; links and rights stay."""
    status, out, err = gated("predict", "run", "de.po")
    assert (status, out) == (0, CATALOGUE)  # the run was not fitted on placeholders
    assert err == "0 texts translated.\nline 5: %s is lost\n1 text left as before (line 5).\n"
    status, out, err = gated("predict", "run", "de.po", "--lossy")
    assert status == 0
    head, tail = CATALOGUE.split("#: a.c:1\n")
    assert out.startswith(head + '#: a.c:1\n#, fuzzy\nmsgid "eins %s"\nmsgstr "')
    assert tail.endswith('msgstr ""\n')
    assert err == "1 text translated.\nline 5: %s is lost\n"
    place = tmp_path / "real.po"
    place.write_text(CATALOGUE)
    place.chmod(0o640)
    (tmp_path / "link.po").symlink_to(place)
    assert gated("predict", "run", tmp_path / "link.po", "--lossy", "--out", tmp_path / "link.po")[0] == 0
    assert (tmp_path / "link.po").is_symlink()
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert place.read_text() == out
    (tmp_path / "new.pot").write_text(CATALOGUE)
    assert gated("predict", "run", tmp_path / "new.pot", "--lossy")[1] == out


def test_attention_is_a_table_a_picture_or_an_object(gated, monkeypatch, tmp_path):
    """People see a table no wider than their terminal, --json gives words, weights and alignment, --out draws."""
    monkeypatch.setenv("COLUMNS", "40")
    status, out, err = gated("attend", "run", "eins zwei drei", "--out", tmp_path / "a.svg")
    assert (status, out) == (0, "")
    assert max(map(len, err.splitlines()[2:])) <= 40
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    status, out, err = gated("attend", "run", "eins zwei drei", "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    result = json.loads(out)
    assert result["source"] == ["eins", "zwei", "drei"]
    assert len(result["attention"]) == len(result["target"])


# ---- mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fit", "Missing argument"),
        ("fit train.de train.en", "--out"),
        ("fit train.de train.en val.de --out x", "two aligned files, got 3."),
        ("fit train.de --out x", "no tab in line 1"),
        ("fit train.de test.en --out x", "50 in train.de and 7 in test.en"),
        ("fit bad.de bad.de --out x", "bad.de, line 2: expected text in UTF-8, got the byte 0x81 at byte 3"),
        ("fit empty.de empty.de --out x", "an empty file"),
        ("fit none.de none.en --out x", "no such file"),
        ("fit run run --out x", "a folder"),
        ("fit test.de test.en --out x", "at least 20 pairs, got 7"),
        ("fit t.tsv --columns de,fr --out x", "a header with 'fr' once"),
        ("fit t.tsv --columns de --out x", "two names"),
        ("fit train.de train.en --valid val.de --out x", "no tab in line 1"),
        ("fit train.de train.en --valid val.de test.de t.tsv --out x", "got 3"),
        ("fit train.de train.en --out x --attention loud", "'additive'"),
        ("fit train.de train.en --out x --dropout 2", "dropout: expected a number from 0 to 0.95"),
        ("fit train.de train.en --out x --atention dot", "--attention"),
        ("fit train.de train.en --out x --time-limit soon", "30m"),
        ("fit train.de train.en --out x --tokens word --bpe-dropout 0.1", "bpe_dropout"),
        ("fit train.de train.en --out . --steps 1", "only files of a run"),
        ("fit train.de train.en --out train.de/x --steps 1", "train.de/x"),
        ("predict nowhere", "nowhere"),
        ("predict . letter.de", "Is this a run folder"),
        ("predict run none.de", "no such file"),
        ("predict run run", "a folder"),
        ("predict run bad.de", "bad.de, line 2"),
        ("predict run empty.de", "an empty file"),
        ("predict run letter.de --out no/letter.en", "a folder that exists"),
        ("predict run letter.de --out run", "a file to write, got a folder"),
        ("predict run letter.de --width 0", "width: expected a whole number from 1 to"),
        ("predict run letter.de --n-best 9", "Raise width to 9."),
        ("predict run letter.de --sample --temperature 0", "temperature"),
        ("predict run de.po --scores", "got --scores. Leave it out."),
        ("predict run doc.docx", "lines of text, or one of .srt"),
        ("predict run pack.zip", "one file, got 2 files: 'a', 'b'"),
        ("fit todo.po --out x", "a finished translation, got 2 messages, none of them translated"),
        ("score run test.de", "no tab in line 1"),
        ("score run test.de val.de test.en", "got 3"),
        ("score run letter.de test.en", "as many lines in both"),
        ("attend run", "SENTENCE"),
        ("attend run eins --out a.txt", ".png or .svg"),
        ("attend run --json", "SENTENCE"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(gated, words, message):
    """Nothing on standard output, one line on standard error that says what to do, no traceback, status 2."""
    status, out, err = gated(*words.split())
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not Path("x").exists()


def test_a_file_is_written_whole_or_not_at_all(gated, tmp_path, monkeypatch):
    """Where the work fails the old file stands."""
    place = tmp_path / "letter.en"
    place.write_text("old")
    monkeypatch.setattr(commands, "LINES", 1)
    monkeypatch.setattr(commands, "_lines", lambda best, low, scores: iter(["new\n"] if low < 2 else [1 / 0]))
    with pytest.raises(ZeroDivisionError):
        gated("predict", "run", "letter.de", "--out", place)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.en"]
    assert place.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="no such pipes")
def test_a_pipe_by_name_stays_a_pipe(gated, tmp_path):
    """--out may be a named pipe, as the shell's >(…) makes one."""
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        assert gated("predict", "run", "letter.de", "--out", tmp_path / "pipe") == (0, "", "")
        result, _ = reader.communicate()
    assert result.count(b"\n") == 3
    assert (tmp_path / "pipe").is_fifo()


# ---- stopped from outside


@pytest.mark.skipif(os.name == "nt", reason="no such pipes")
def test_a_reader_that_leaves_is_no_error(desk):
    """`gated translate predict … | head -1` prints its line, no traceback, and ends with status 0."""
    (desk / "long.de").write_text("eins zwei drei\n" * 4100)
    words = ["translate", "predict", "run", "long.de", "--width", "1", "--limit", "0"]
    with fresh.command(*words, cwd=desk) as process:
        assert process.stdout.readline().strip()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
