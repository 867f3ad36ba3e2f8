"""Manifests as other programs write them, with columns of any name; what is wrong with one item concerns it alone."""

import json
import os
import re

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
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content.encode())
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
    "an offset, whatever the format": ({"x.csv": "path,offset,duration,text\na.wav,1,0.5,one\n"},
                                       [("a.wav", "one", None, 1.0, 1.5)]),
    "a start and a duration": ({"x.tsv": "path\tstart\tduration\ttext\na.wav\t2\t0,25\tone\n"},
                               [("a.wav", "one", None, 2.0, 2.25)]),
    "a start, an end and a duration": ({"x.csv": "path,start,end,duration,text\na.wav,1,3,9,one\n"},
                                       [("a.wav", "one", None, 1.0, 3.0)]),
    "decimal commas": ({"x.csv": "path;start;end;text\na.wav;0,5;1,25;one\n"}, [("a.wav", "one", None, 0.5, 1.25)]),
    "Hugging Face, audio": ({"x.jsonl": '{"audio": {"path": "a.wav", "bytes": null}, "sentence": "one"}\n'},
                            [("a.wav", "one")]),
    "Hugging Face, image": ({"x.json": '[{"image": {"path": "train/w1.jpg"}, "text": "one"}]'},
                            [("train/w1.jpg", "one")]),
    "LibriSpeech": ({"84-1.trans.txt": "a GO DO\nb HEAR, | IT\n"}, [("a.wav", "GO DO"), ("b.wav", "HEAR, | IT")]),
    "paths, spaces, texts": ({"x.lst": "a.wav one two\nb.wav\n"}, [("a.wav", "one two"), ("b.wav", "")]),
    "ICDAR": ({"gt.txt": '\ufefftrain/w1.jpg, "one, two"\r\ntrain/w2.jpg, "[06]"\r\n'},
              [("train/w1.jpg", "one, two"), ("train/w2.jpg", "[06]")]),
    "a tab before all": ({"x.txt": "a.wav\tone, two | three\nb.wav\tfour\n"},
                         [("a.wav", "one, two | three"), ("b.wav", "four")]),
    "a tab within quotes": ({"x.csv": '"path","a\tb","text"\na.wav,q,"one\ttwo"\n'}, [("a.wav", "one two")]),
    "a tab within quotes, no header": ({"x.csv": 'a.wav,"one\ttwo"\n'}, [("a.wav", "one two")]),
    "quotes and tabs": ({"x.txt": 'a.wav\t5" or "6\nb.wav\t"\n'}, [("a.wav", '5" or "6'), ("b.wav", '"')]),
    ".tsv with commas": ({"x.tsv": "path,text\na.wav,one\n"}, [("a.wav", "one")]),
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


SPELLINGS = {  # of a path in a manifest; the name of the file
    "clips\\c.mp3": "clips/c.mp3", ".\\clips\\c.mp3": "clips/c.mp3", "clips\\sub\\x.wav": "clips/sub/x.wav",
    "e\u0301.wav": "\u00e9.wav", "\u00e9.wav": "e\u0301.wav", "\u1112\u1161.wav": "\ud558.wav",
    "\ud558\\x.wav": "\u1112\u1161/x.wav", "x.wav": "x.WAV", "x.JPG": "x.jpg", "clips\\x.Wav": "clips/x.wav",
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_paths_may_be_spelt_as_other_systems_do(here, spelling):
    """With backslashes, in another normal form of Unicode, with an ending in another case, in every format."""
    name = SPELLINGS[spelling]
    (here / name).parent.mkdir(parents=True, exist_ok=True)
    (here / name).touch()
    for file, content in {"x.csv": f"path,text\r\n{spelling},one\r\n", "x.txt": f"{spelling}\tone\n"}.items():
        (item,) = read_items(put(here, {file: content})).items
        assert (os.path.normpath(item.path), item.text) == (str(here / name), "one")
        assert os.path.samefile(item.path, here / name)


BARE = {  # content of a table without a header, columns; path, text and speaker, or the words of the refusal
    "VITS": ("a.wav|0|one\n", (), "got 3 columns. Name them by their numbers, as in --columns 1,3,speaker=2."),
    "Mellotron": ("a.wav|one|0\n", (), "got 3 columns"),
    "a comma in the text": ("a.wav,one, two\n", (), "got 3 columns"),
    "no text": ("a.wav\nb.wav\n", (), "got 1 column. Give the folder"),
    "VITS, numbers": ("a.wav|0|one\n", ("1", "3", "speaker=2"), ("a.wav", "one", "0")),
    "text first": ("one,a.wav\n", ("2", "1"), ("a.wav", "one", None)),
    "names": ("path=x\t7\tone\ta.wav\n", ("path=4", "text=3"), ("a.wav", "one", None)),
    "too few": ("a.wav\tone\n", ("1", "3"), "expected its text"),
    "boxes of a page": ('a.wav\t[{"transcription": "M", "points": [[3, 1]]}]\n', (), "JSON of the lines of a page"),
}


@pytest.mark.parametrize("name", BARE)
def test_without_a_header_columns_are_two_or_have_numbers(here, name):
    """A file and its text; where there are more columns they are asked for, never guessed."""
    content, columns, expected = BARE[name]
    path = put(here, {"x.txt": content})
    if isinstance(expected, str):
        with pytest.raises(InputError, match=re.escape(expected)):
            read_items(path, columns=columns)
    else:
        found = read_items(path, columns=columns)
        assert [(item.path, item.text, item.speaker) for item in found.items] == [
            (str(here / expected[0]), *expected[1:])
        ]
        assert "has no header: column" in found.notes[0]
        assert read_items(path, columns=columns, strict=False).items == found.items
    headed = read_items(put(here, {"y.csv": "path,text\na.wav,x\n"}), columns=("1", "2"), strict=False)
    assert [item.text for item in headed.items] == ["x"]


QUOTED = {  # a table; its texts, and whether a note says that they were quoted
    "pandas": ('path\ttext\na.wav\t"""Hi"" he said"\nb.wav\ttwo\n', ['"Hi" he said', "two"], True),
    "csv": ('path\ttext\na.wav\t"5"" disk"\nb.wav\t"""x"""\n', ['5" disk', '"x"'], True),
    "R": ('"path"\t"text"\n"a.wav"\t"one ""x"""\n"b.wav"\t"two"\n', ['one "x"', "two"], False),
    "R, no header": ('"a.wav"\t"one"\n"b.wav"\t"two"\n', ["one", "two"], False),
    "no quoting": ('path\ttext\na.wav\t"one" he said\nb.wav\t"\n', ['"one" he said', '"'], False),
    "speech": ('path\ttext\na.wav\t"one"\nb.wav\t"two, three"\n', ['"one"', '"two, three"'], False),
    "mixed": ('path\ttext\na.wav\t"a ""b"""\nb.wav\t5" disk\n', ['"a ""b"""', '5" disk'], False),
}


@pytest.mark.parametrize("name", QUOTED)
def test_quotes_between_tabs_are_settled_by_the_whole_table(here, name):
    """They are those of a writer of CSV if the header has them, or if every text with a quote is quoted in full."""
    content, texts, remarkable = QUOTED[name]
    found = read_items(put(here, {"x.tsv": content}))
    assert [item.text for item in found.items] == texts
    assert ["quotes its texts: " in note for note in found.notes if "no header" not in note] == [True] * remarkable


@pytest.mark.parametrize(("header", "names"), [
    ("path,text,start_time,end_time", "start_time, end_time"), ("path,text,begin,stop", "begin, stop"),
    ("path,text,Onset,length", "onset"), ("path,text,start,end_ms", "end_ms"), ("path,text,starter,bend", ""),
])  # fmt: skip
def test_columns_that_look_like_times_are_not_ignored_in_silence(here, header, names):
    """A note names them and the option that reads them."""
    notes = read_items(put(here, {"x.csv": f"{header}\na.wav,one,1,2\n"})).notes
    assert [f"Columns not read: {names}. If they are seconds, name them" in note for note in notes] == [True] * bool(
        names
    )


@pytest.mark.parametrize(("line", "word"), [
    ('{"key": "u", "wav": "a.wav", "txt": "one"}', "--columns PATH,TEXT"), ('{"path": "a.wav"}', "--columns PATH,TEXT"),
    ("{", "one over several lines"), ('{"path": "{\'path\': \'a.wav\'}", "text": "x"}', "Write the path alone"),
])  # fmt: skip
def test_objects_of_other_shapes_say_what_to_do(here, line, word):
    """Keys of other names, an object over lines, a dict as text."""
    with pytest.raises(InputError, match=word):
        read_items(put(here, {"x.jsonl": line + "\n"}))


@pytest.mark.parametrize(("name", "word"), [
    ("x.stm", "annotations of a sound"), ("x.TextGrid", "annotations of a sound"), ("x.xml", "annotations of pages"),
    ("x.xlsx", "saved as CSV"), ("x.parquet", "saved as CSV"), ("x.pdf", "pages"), ("x.zip", "unpacked"),
])  # fmt: skip
def test_other_files_say_what_they_are(here, name, word):
    """What people have beside manifests is refused by name, with what to do."""
    (here / name).touch()
    with pytest.raises(InputError, match=word):
        read_items(here / name)


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


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("segments", "u1 r1 0.5 -1\n", [0.5, None]), ("segments", "u1 r1 0 -1 A\n", [0.0, None]),
    ("segments", "u1 r1 0.5 1 1\n", [0.5, 1.0]), ("segments", "u1 r1 -1 1\n", "start in seconds"),
    ("wav.scp", "r1 raw.1.ark:23\n", "a place in an archive"), ("wav.scp", "r1 x/y.ark.gz:7\n", "archive"),
    ("wav.scp", "r1 cat a.wav |\n", "a command"),
])  # fmt: skip
def test_shapes_of_kaldi(here, name, content, expected):
    """An end of -1 is the recording's; places in archives and commands are refused as what they are."""
    files = {"wav.scp": "r1 a.wav\n", "text": "u1 one\nr1 two\nr9 x\n"} | {name: content}
    put(here, {f"k/{name}": content for name, content in files.items()} | {"k/a.wav": ""})
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            read_items(here / "k")
    else:
        found = read_items(here / "k")
        assert [[item.start, item.end] for item in found.items] == [expected]
        assert found.notes == ["Left out: 2 lines of text without an utterance."]


def test_a_folder_of_librispeech(here):
    """Texts in .trans.txt, of every chapter, where no sound has its own beside it."""
    put(here, {"l/84/1/84-1.trans.txt": "84-1-0 GO DO\n84-1-1 YOU\n", "l/84/2/84-2.trans.txt": "84-2-0 HEAR\n"})
    for name in ("1/84-1-0", "1/84-1-1", "2/84-2-0"):
        (here / f"l/84/{name}.flac").touch()
    found = read_items(here / "l")
    assert [(os.path.basename(item.path), item.text) for item in found.items] == [
        ("84-1-0.flac", "GO DO"), ("84-1-1.flac", "YOU"), ("84-2-0.flac", "HEAR"),
    ]  # fmt: skip
    assert found.notes == [f"{here / 'l'} is read by its 2 files of texts, .trans.txt."]
    assert len(read_items(here / "l", text=False).items) == 3
    put(here, {"l/84/2/84-2-7.flac": ""})
    assert read_items(here / "l").notes[1] == "Left out: 1 sound without a line in them."
    put(here, {"l/84/2/84-2.trans.txt": "84-2-0 HEAR\n84-2-9 MORE\n"})
    with pytest.raises(InputError, match=r"84-2.trans.txt, line 2: .*no such file: 84-2-9"):
        read_items(here / "l")


@pytest.mark.parametrize("tables", [("train.tsv", "test.tsv"), ("x.csv",), ("dev.jsonl.gz",), ()])
def test_a_folder_without_texts_names_its_tables(here, tables):
    """As that of Common Voice, which has a table for each part."""
    put(here, {"cv/clips/a.mp3": "", **{f"cv/{name}": "x" for name in tables}})
    with pytest.raises(InputError, match="1 sound without text") as error:
        read_items(here / "cv")
    assert f"Or give a table of it: {', '.join(sorted(tables))}." in str(error.value) or not tables


@pytest.mark.parametrize(("names", "again"), [
    (("a.wav", "a.mp3"), 1), (("a.WAV", "a.wav", "a.flac"), 2), (("a.wav", "b.wav"), 0), (("a.png", "a.bin.png"), 0),
])  # fmt: skip
def test_files_with_one_text_are_noted(here, names, again):
    """A recording in two formats is there twice, which a validation would not show."""
    for name in names:
        stem, ending = name.split(".")[0], ".gt.txt" if "png" in name else ".txt"
        put(here, {f"s/{name}": "", f"s/{stem}{ending}": "one"})
    notes = [note for note in read_items(here / "s").notes if "with the text of another" in note]
    assert [f"{again} file" in note for note in notes] == [True] * bool(again)


@pytest.mark.parametrize(("name", "near"), [("a.mav", "a.wav"), ("clip/c.mp3", ""), ("wavs/LJ-1.wave", "LJ-1.wav")])
def test_a_name_that_is_nearly_there_is_suggested(here, name, near):
    """One missing file of a manifest or an argument is met with the name that is there."""
    for source in (put(here, {"x.csv": f"path,text\nb.wav,x\n{name},one\n"}), [(str(here / name), "one")]):
        with pytest.raises(InputError, match="no such file") as error:
            read_items(source)
        assert (f"Did you mean '{near}'?" in str(error.value)) == bool(near)


TIMIT = {  # the texts; as they are read
    ("0 63488 She had your suit.", "0 46797 Don't ask me."): ["She had your suit.", "Don't ask me."],
    ("0 61748 x",): ["x"], ("0 9640 One two.", "0 1234567 x"): None, ("0 63488 x", "seven"): None,
    ("0 12 three",): None, ("0 1234 5 6",): None, ("0 63488",): None,
}  # fmt: skip


@pytest.mark.parametrize("texts", TIMIT)
def test_numbers_of_samples_are_no_text(here, texts):
    """As in TIMIT, where they stand before every text; a note says so. Else numbers are text."""
    for n, text in enumerate(texts):
        put(here, {f"t/{n}.TXT": f"{text}\n", f"t/{n}.WAV": ""})
    for found in (read_items(here / "t"), read_items([str(here / f"t/{n}.WAV") for n in range(len(texts))])):
        assert [item.text for item in found.items] == (TIMIT[texts] or list(texts))
        assert [note for note in found.notes if "TIMIT" in note] == [
            f"Left out: the numbers of samples before {len(texts)} text{'s' * (len(texts) > 1)}, as in TIMIT."
        ] * bool(TIMIT[texts])


@pytest.mark.parametrize(("sound", "text"), [
    ("x.Wav", "x.Txt"), ("x.wav", "x.wav.txt"), ("\u00e9.wav", "e\u0301.txt"), ("e\u0301.wav", "\u00e9.txt"),
    ("x.PNG", "x.gt.TXT"), ("x.png", "x.GT.TXT"), ("x.bin.png", "x.gt.txt"),
])  # fmt: skip
def test_texts_beside_their_files(here, sound, text):
    """A text is known by its name in any case and normal form, with or without the ending of its sound."""
    put(here, {f"f/{text}": "one", f"f/{sound}": ""})
    assert [item.text for item in read_items(here / "f").items] == ["one"]


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
