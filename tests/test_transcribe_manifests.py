"""Manifests as other programs write them, with columns of any name; what is wrong with one item concerns it alone."""

import json

import pytest

from gated._check import InputError
from gated.tasks.transcribe.data import read_items


@pytest.fixture
def here(tmp_path):
    """A folder with sounds and images at the places where formats have them."""
    for name in ("a.wav", "b.wav", "wavs/LJ-1.wav", "wavs/LJ-2.wav", "clips/c.mp3", "train/w1.jpg", "train/w2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def put(here, files):
    for name, content in files.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(content)
    return here / next(iter(files))


JSONL = '{"audio_filepath": "%s", "text": "%s", "duration": 0.4}\n'
FORMATS = {  # files, the first of which is given; what the items are
    "Common Voice": ({"validated.tsv": "client_id\tpath\tsentence_id\tsentence\tup_votes\nu1\tc.mp3\ts1\tone\t2\n"
                      'u2\tb.wav\ts2\t"two\t2\n'}, [("clips/c.mp3", "one", "u1"), ("b.wav", '"two', "u2")]),
    "Common Voice without endings": ({"dev.tsv": "client_id\tpath\tsentence\nu1\tc\tone\n"},
                                     [("clips/c.mp3", "one", "u1")]),
    "NeMo": ({"m.jsonl": JSONL % ("a.wav", "one") + JSONL % ("b.wav", "two")}, [("a.wav", "one"), ("b.wav", "two")]),
    "NeMo's .json": ({"m.json": JSONL % ("a.wav", "one")}, [("a.wav", "one")]),
    "NeMo's offset": ({"m.json": '{"audio_filepath": "a.wav", "text": "x", "offset": 1.5, "duration": 2}\n'},
                      [("a.wav", "x", None, 1.5, 3.5)]),
    "DeepSpeech": ({"d.csv": "wav_filename,wav_filesize,transcript\na.wav,123,one\nb.wav,99,two\n"},
                   [("a.wav", "one"), ("b.wav", "two")]),
    "LJSpeech": ({"metadata.csv": "LJ-1|Printing, in 1 sense|Printing, in one sense\nLJ-2|a, b|c\n"},
                 [("wavs/LJ-1.wav", "Printing, in one sense"), ("wavs/LJ-2.wav", "c")]),
    "LJSpeech, two columns": ({"metadata.csv": "LJ-1|Printing\n"}, [("wavs/LJ-1.wav", "Printing")]),
    "PaddleOCR": ({"rec_gt_train.txt": 'train/w1.jpg\tThe "end\ntrain/w2.jpg\tfin\n'},
                  [("train/w1.jpg", 'The "end'), ("train/w2.jpg", "fin")]),
    "PaddleOCR below": ({"labels/rec.txt": "train/w1.jpg\tone\n"}, [("train/w1.jpg", "one")]),
    "Hugging Face": ({"metadata.csv": "file_name,transcription\na.wav,one\n"}, [("a.wav", "one")]),
    "Hugging Face, lines": ({"metadata.jsonl": '{"file_name": "train/w1.jpg", "text": "one"}\n'},
                            [("train/w1.jpg", "one")]),
    "no header": ({"x.csv": "a.wav,one\nb.wav,two\n"}, [("a.wav", "one"), ("b.wav", "two")]),
    "semicolons": ({"x.csv": "path;text;start\na.wav;one, two;0,5\n".replace("0,5", "0.5")},
                   [("a.wav", "one, two", None, 0.5)]),
    "an array": ({"x.json": json.dumps([{"path": "a.wav", "text": "one"}])}, [("a.wav", "one")]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_manifests_are_read_as_they_come(here, name):
    """The formats of other programs, by their columns, or by their first line where they have no header."""
    files, expected = FORMATS[name]
    found = read_items(put(here, files)).items
    got = [(item.path, item.text, item.speaker, item.start, item.end) for item in found]
    for one, (path, *more) in zip(got, expected, strict=True):
        assert (here / one[0]).resolve() == here / path
        assert list(one[1:]) == [*more, *[None] * (4 - len(more))]


COLUMNS = {
    ("file", "said"): ({"x.csv": "File,Said\na.wav,one\n"}, ("a.wav", "one", None, None, None)),
    ("audio", "Wort", "speaker=wer"): ({"x.tsv": "Wort\twer\tAudio\none\tAnn\ta.wav\n"},
                                       ("a.wav", "one", "Ann", None, None)),
    ("audio.path", "annotation.Text", "start=from", "duration=for"): (
        {"x.jsonl": '{"audio": {"path": "a.wav"}, "annotation": {"Text": "one"}, "from": 1, "for": "0.5"}\n'},
        ("a.wav", "one", None, 1.0, 1.5)),
    ("text=b", "path=a"): ({"x.csv": "b,a\none,a.wav\n"}, ("a.wav", "one", None, None, None)),
}  # fmt: skip


@pytest.mark.parametrize("columns", COLUMNS)
def test_columns_may_have_any_name(here, columns):
    """Path and text in order, the others by their names, in any case, keys of keys too."""
    files, (path, *more) = COLUMNS[columns]
    (item,) = read_items(put(here, files), columns=columns).items
    assert [item.path, item.text, item.speaker, item.start, item.end] == [str(here / path), *more]


def test_remembered_columns_give_way_to_known_formats(here):
    """Columns of a run are looked for first; a manifest without them may have those of a format; given ones are had."""
    path = put(here, {"x.csv": "path,text\na.wav,one\n"})
    assert read_items(path, columns=("file", "said"), strict=False).items[0].text == "one"
    with pytest.raises(
        InputError, match="line 1: expected a header with the columns file and said, got 'path', 'text'"
    ):
        read_items(path, columns=("file", "said"))
    with pytest.raises(InputError, match="columns: expected PATH,TEXT"):
        read_items(path, columns=("file", "said", "loudness=x"))


def test_a_header_without_the_columns_says_how_to_name_them(here):
    """An unknown header is refused with the option that names its columns."""
    with pytest.raises(InputError, match=r"--columns PATH,TEXT"):
        read_items(put(here, {"x.csv": "file,words\na.wav,one\n"}))


KALDI = {
    "wav.scp": "r1 a.wav\nr2 {}/b.wav\n",
    "text": "u1 one two\nu2 three\nu3\n",
    "segments": "u1 r1 0.5 1.5\nu2 r2 0 2\nu3 r2 2 3\nu4 r2 3 4\n",
    "utt2spk": "u1 Ann\nu2 Bo\n",
}


def test_a_folder_of_kaldi(here):
    """Recordings, segments, texts and speakers by the names of utterances; the ones without text are counted."""
    put(here, {f"k/{name}": content.format(here) for name, content in KALDI.items()} | {"k/a.wav": ""})
    found = read_items(here / "k")
    assert [(item.text, item.speaker, item.start, item.end) for item in found.items] == [
        ("one two", "Ann", 0.5, 1.5), ("three", "Bo", 0.0, 2.0), ("", None, 2.0, 3.0),
    ]  # fmt: skip
    assert [item.path for item in found.items] == [str(here / "k/a.wav"), *[str(here / "b.wav")] * 2]
    assert found.notes == ["Left out: 1 utterance without a line in text."]
    (here / "k/segments").unlink()
    put(here, {"k/text": "r1 one\nr2 two\n"})
    assert [item.text for item in read_items(here / "k").items] == ["one", "two"]
    assert len(read_items(here / "k", text=False).items) == 2
    put(here, {"k/wav.scp": f"r1 sox a.wav -t wav - |\nr2 {here}/b.wav\n"})
    with pytest.raises(InputError, match=r"wav.scp, line 1: expected the path of 'r1'.*a command"):
        read_items(here / "k")
    assert [bool(item.fault) for item in read_items(here / "k", bad="skip").items] == [True, False]


def test_a_folder_is_read_by_its_table(here):
    """A folder with metadata.csv and no texts beside its files, as of LJSpeech, is read by the table, and says so."""
    (here / "lj").mkdir()
    put(here, {"lj/metadata.csv": "x1|One.|one\n", "lj/wavs/x1.wav": ""})
    found = read_items(here / "lj")
    assert [(item.path, item.text) for item in found.items] == [(str(here / "lj/wavs/x1.wav"), "one")]
    assert "is read by its metadata.csv." in found.notes[0]


BAD = {
    "missing": ("path,text\na.wav,one\nnope.wav,two\n", "nope.wav"),
    "foreign": ("path,text\na.wav,one\nx.docx,two\n", "x.docx"),
    "another kind": ("path,text\na.wav,one\nb.wav,one\ntrain/w1.jpg,two\n", "expected sound, got print"),
    "a folder": ("path,text\na.wav,one\nwavs,two\n", "a folder"),
    "too few fields": ("path,text\na.wav,one\nb.wav\n", "line 3: expected 2 fields"),
    "no path": ("path,text\na.wav,one\n,two\n", "line 3: expected a path"),
    "times": ("path,text,start\na.wav,one,\nb.wav,two,soon\n", "start in seconds"),
    "backwards": ("path,text,start,end\na.wav,one,,\nb.wav,two,2,1\n", "an end after 2 s"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_item_that_is_wrong_can_be_left_out(here, name):
    """Without bad="skip" it is an error, with it the item has a fault that names it, and the others are read."""
    content, word = BAD[name]
    (here / "x.docx").touch()
    path = put(here, {"x.csv": content})
    with pytest.raises(InputError):
        read_items(path)
    found = read_items(path, bad="skip").items
    assert [bool(item.fault) for item in found] == [False] * (len(found) - 1) + [True]
    assert word in found[-1].fault
    assert "\n" not in found[-1].fault


def test_a_kind_that_a_run_does_not_read_is_left_out(here):
    """Where the kind is known, all files of the other are left out; where nothing is left, the first fault is told."""
    found = read_items([str(here / "a.wav"), str(here / "train/w1.jpg")], text=False, bad="skip", kind="print")
    assert [bool(item.fault) for item in found.items] == [True, False]
    with pytest.raises(InputError, match="no such file"):
        read_items([str(here / "no.wav")], text=False, bad="skip")
