"""What transcription reads: manifests, folders, files and lists give the same items, and each fault is named."""

import csv
import gzip
import io
import json
import os
import tracemalloc
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gated._check import InputError
from gated.tasks.transcribe.data import Item, read_items
from gated.unicode import clean

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


def put(path, content=""):
    """A file of this content, gzipped where its name says so; a str is UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def refused(words, *args, **more):
    """`read_items` refuses, in words that hold each of these."""
    with pytest.raises(InputError) as error:
        read_items(*args, **more)
    for word in words:
        assert word in str(error.value), str(error.value)


@pytest.fixture
def here(tmp_path):
    """A folder with three sounds, and a place to work in that is another."""
    for name in ("a.wav", "b.WAV", "deep/c.flac"):
        put(tmp_path / "data" / name)
    return tmp_path / "data"


# ---- manifests

ROWS = [("a.wav", "one", "", "", ""), ("b.WAV", "two, or", "0.5", "1.25", "Ann"), ("deep/c.flac", "", "2", "", "Bo")]


def manifest(form, rows=ROWS, names=("path", "text", "start", "end", "speaker")):
    if "jsonl" in form or "ndjson" in form:
        full = [dict(zip(names, row, strict=False)) for row in rows]
        return "".join(json.dumps({k: v for k, v in row.items() if v or k == "text"}) + "\n" for row in full)
    if "tsv" in form:
        end = "\r\n" if "crlf" in form else "\n"
        return ("\ufeff" if "bom" in form else "") + "".join("\t".join(row) + end for row in [names, *rows])
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n" if "crlf" in form else "\n")
    writer.writerows([names, *rows])
    return ("\ufeff" if "bom" in form else "") + out.getvalue()


NAMES = "x.csv x.tsv x.jsonl x.ndjson x.csv.gz x.tsv.gz x.jsonl.gz X.CSV bom.csv crlf.csv bom.crlf.tsv"


@pytest.mark.parametrize("name", NAMES.split())
def test_a_manifest_in_any_form_is_the_same_items(here, name):
    """CSV, TSV and JSON lines, plain or gzipped, with a byte order mark or \\r\\n: the same items."""
    found = read_items(put(here / name, manifest(name.lower())))
    assert (found.kind, found.notes, found.where) == ("sound", [], str(here / name))
    assert [item[:5] for item in found.items] == [
        (str(here / "a.wav"), "one", None, None, None),
        (str(here / "b.WAV"), "two, or", 0.5, 1.25, "Ann"),
        (str(here / "deep/c.flac"), "", 2.0, None, "Bo"),
    ]
    first = 1 if "json" in name else 2
    assert [item.where for item in found.items] == [f"{here / name}, line {n}" for n in range(first, first + 3)]


@pytest.mark.parametrize(("encoding", "word"), [("utf-16", "UTF-16"), ("cp1252", "1252"), ("utf-16-be", "UTF-16")])
def test_other_encodings_are_read_and_noted(here, encoding, word):
    """A manifest, or the texts of a folder, in UTF-16 or Windows-1252 are read, and a note says so."""
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    found = read_items(put(here / "x.csv", (mark + "path,text\na.wav,café\n").encode(encoding)))
    assert found.items[0].text == "café"
    assert [word in note for note in found.notes] == [True]
    for name in ("a", "b"):
        put(here / f"deep/{name}.wav")
        put(here / f"deep/{name}.txt", (mark + "café").encode(encoding))
    found = read_items(here / "deep")
    assert [item.text for item in found.items] == ["café", "café"]
    assert word in found.notes[0]
    assert found.notes[1] == "1 more text likewise."


def test_columns_go_by_name(here):
    """Columns stand in any order, in capitals or not, with others between them; text and times may be missing."""
    found = read_items(put(here / "x.csv", "Note,TEXT, Path\nloud,one,a.wav\n\n,two,b.WAV\n"))
    assert [(item.text, item.path, item.where[-6:]) for item in found.items] == [
        ("one", str(here / "a.wav"), "line 2"),
        ("two", str(here / "b.WAV"), "line 4"),
    ]
    found = read_items(put(here / "p.csv", "path\na.wav\n"), text=False)
    assert [item.text for item in found.items] == [None]
    assert read_items(here / "x.csv", text=False).items[0].text == "one"


def test_paths_are_looked_for_beside_the_manifest_first(here, monkeypatch):
    """A path holds from the manifest's folder; only if nothing is there, from the working directory; or it is whole."""
    put(here.parent / "a.wav")
    put(here.parent / "only.wav")
    monkeypatch.chdir(here.parent)
    found = read_items(put(here / "x.csv", f"path,text\na.wav,x\nonly.wav,y\n{here / 'b.WAV'},z\n"))
    assert [item.path for item in found.items] == [str(here / "a.wav"), "only.wav", str(here / "b.WAV")]


def test_quotes(here):
    """In CSV a quoted text holds commas, quotes and line ends, and lines are still counted right; in TSV it is text."""
    found = read_items(put(here / "x.csv", 'path,text\na.wav,"one, ""two""\n three"\nb.WAV, "x"\n'))
    assert [(item.text, item.where[-6:]) for item in found.items] == [('one, "two" three', "line 2"), ("x", "line 4")]
    found = read_items(put(here / "x.tsv", 'path\ttext\na.wav\t"one" he said\nb.WAV\t"\n'))
    assert [item.text for item in found.items] == ['"one" he said', '"']


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty file"]),
        ("\n\n", ["at least one item"]),
        ("path,text\n", ["at least one item"]),
        ("file,text\na.wav,x\n", ["line 1", "path and text", "'file', 'text'"]),
        ("path:text\na.wav:x\n", ["line 1", "header", "--columns"]),
        ("one,a.wav\n", ["line 1", "header", "'one'"]),
        ("path,text,Path\na.wav,x,y\n", ["line 1", "path", "2 times"]),
        ("path,text\na.wav\n", ["line 2", "2 fields", "1"]),
        ("path,text\na.wav,one\n\nb.WAV,one, two\n", ["line 4", "2 fields", "3", "quotes"]),
        ('path,text\na.wav,"one\nb.WAV,two\n', ["line 2", "quote"]),
        ('path,text\na.wav,"one" two\n', ["line 2", "quote"]),
        ("path,text\n,one\n", ["line 2", "a path"]),
        ("path,text\nnone.wav,x\n", ["x.csv, line 2", "no such file", "none.wav"]),
        ("path,text\n1.wav,x\n2.wav,x\n3.wav,x\n4.wav,x\na.wav,x\n", ["1.wav", "2.wav", "3.wav", "1 more"]),
        ("path,text\ndeep,x\n", ["a folder", "deep"]),
        ("path,text\nx.csv,x\n", ["line 2", ".csv", ".wav"]),
        ("path,text,start\na.wav,x,soon\n", ["line 2", "start", "'soon'"]),
        ("path,text,start\na.wav,x,nan\n", ["line 2", "start", "'nan'"]),
        ("path,text,end\na.wav,x,inf\n", ["line 2", "end", "'inf'"]),
        ("path,text,start\na.wav,x,-1\n", ["line 2", "start", "-1"]),
        ("path,text,start,end\na.wav,x,2,2\n", ["line 2", "end after 2 s"]),
        ("path,text\na.wav,одна строка текста\n".encode("cp1251"), ["UTF-8"]),
        (b"path,text\na.wav,x\0y\n", ["line 2", "binary"]),
        (b"path,text\ra.wav,x\r", ["line 1", "line ends of Unix"]),
        ("path,text\na.wav," + "x" * 200_000 + "\n", ["line 2", "field"]),
        ("path,text\na.wav," + "x" * (1 << 20) + "\n", ["line 2", "1048576 bytes"]),
    ],
)
def test_a_table_with_a_fault_is_refused(here, content, words):
    """What is wrong with a table is said with its file and line."""
    refused(["x.csv", *words], put(here / "x.csv", content))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", ["JSON"]),
        ("[1]", ["JSON object", "list"]),
        ("[" * 100_000, ["JSON"]),
        ('{"path": "a.wav"}', ["its text", "'path'"]),
        ('{"path": "a.wav", "text": null}', ["its text", "None"]),
        ('{"path": "a.wav", "text": 5}', ["its text", "5"]),
        ('{"path": 7, "text": "x"}', ["a path", "7"]),
        ('{"text": "x"}', ["a path", "'text'"]),
        ('{"path": "a.wav", "text": "x", "start": true}', ["start", "True"]),
        ('{"path": "a.wav", "text": "x", "start": NaN}', ["start", "nan"]),
        ('{"path": "a.wav", "text": "x", "end": 1' + "0" * 400 + "}", ["end"]),
        ('{"path": "a.wav", "text": "x", "end": 1' + "0" * 5000 + "}", ["JSON"]),
        ('{"path": "a.wav", "text": "x", "end": [1]}', ["end", "[1]"]),
        ('{"path": "a.wav", "text": "x", "speaker": [1]}', ["speaker", "[1]"]),
    ],
)
def test_a_json_line_with_a_fault_is_refused(here, line, words):
    """What is wrong with a line of JSON is said with its file and line."""
    good = json.dumps({"path": "a.wav", "text": "x"})
    refused(["x.jsonl, line 3", *words], put(here / "x.jsonl", f"{good}\n\n{line}\n{good}\n"))


def test_json_lines_may_hold_numbers(here):
    """Times as numbers or as text, a speaker's number, null for what is not known."""
    row = {"Path": "a.wav", "text": "x", "start": 1, "end": "2.5", "speaker": 7, "other": []}
    bare = {"path": "b.WAV", "text": "y", "start": None, "speaker": None}
    found = read_items(put(here / "x.jsonl", f"{json.dumps(row)}\n{json.dumps(bare)}\n"))
    assert [item[2:5] for item in found.items] == [(1.0, 2.5, "7"), (None, None, None)]


def test_a_gzip_cut_short_or_too_large_is_refused(here):
    """A cut gzip file is refused, and one that unfolds to ever more takes little memory until it is."""
    path = put(here / "x.csv.gz", manifest("csv"))
    path.write_bytes(path.read_bytes()[:-12])
    refused(["x.csv.gz", "gzip", "cut short"], path)
    put(path, "path,text\n" + "x" * 100_000_000)
    tracemalloc.start()
    refused(["line 2", "1048576 bytes"], path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=5), name=st.sampled_from(["x.csv", "x.jsonl"]))
def test_any_text_comes_back_tidy(tmp_path_factory, texts, name):
    """Whatever the texts, they are read as NFC on one line, single spaces inside and none at the ends."""
    folder = tmp_path_factory.mktemp("x")
    put(folder / "a.wav")
    rows = [("a.wav", text, "", "", "") for text in texts]
    found = read_items(put(folder / name, manifest(name, rows)))
    assert [item.text for item in found.items] == [clean(text, every_space=True) for text in texts]
    for item in found.items:
        assert item.text == unicodedata.normalize("NFC", " ".join(item.text.split()))
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in item.text)


# ---- folders


def test_a_folder_of_sound(tmp_path):
    """Sounds with their .txt, in the folder and below, by name; what has no partner is counted."""
    for name, text in [("b.wav", "two"), ("a.flac", "one\nmore\r\n"), ("z/A.WAV", "\ufeff three "), ("c.ogg", "")]:
        put(tmp_path / name)
        put((tmp_path / name).with_suffix(".txt"), text)
    for name in ("lonely.wav", "README.txt", ".hidden.wav", "._b.wav", ".git/x.wav", "notes.md", "cover.png"):
        put(tmp_path / name, "x")
    found = read_items(tmp_path)
    assert found.kind == "sound"
    assert [(os.path.relpath(item.path, tmp_path), item.text) for item in found.items] == [
        ("a.flac", "one more"),
        ("b.wav", "two"),
        ("c.ogg", ""),
        ("z/A.WAV", "three"),
    ]
    assert found.notes == [
        "Left out: 2 files of sound or print without text.",
        "Left out: 1 text without its file.",
    ]
    assert all(item.where == item.path for item in found.items)


def test_a_folder_of_print(tmp_path):
    """Images with their .gt.txt; X.bin.png and X.nrm.png are forms of the line X, of which one is taken."""
    for name in ("1.bin.png", "2.nrm.png", "2.bin.png", "3.png", "3.bin.png", "4.tif", "5.v1.jpg"):
        put(tmp_path / name)
    for name in ("1", "2", "3", "4", "5.v1"):
        put(tmp_path / f"{name}.gt.txt", name)
    put(tmp_path / "3.txt", "what a program read")
    found = read_items(tmp_path)
    assert found.kind == "print"
    assert [(os.path.basename(item.path), item.text) for item in found.items] == [
        ("1.bin.png", "1"),
        ("2.bin.png", "2"),
        ("3.png", "3"),
        ("4.tif", "4"),
        ("5.v1.jpg", "5.v1"),
    ]
    assert found.notes == ["Left out: 1 text without its file.", "Left out: 2 images of the same line as another."]
    assert [item.text for item in read_items(tmp_path, text=False).items] == [None] * 5


def test_links_are_followed_once(tmp_path):
    """Links to files and folders are read through, and one that leads back ends."""
    put(tmp_path / "far/a.wav")
    put(tmp_path / "far/a.txt", "one")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/far").symlink_to(tmp_path / "far")
    (tmp_path / "data/far2").symlink_to(tmp_path / "far")
    (tmp_path / "far/back").symlink_to(tmp_path / "data")
    (tmp_path / "data/b.wav").symlink_to(tmp_path / "far/a.wav")
    found = read_items(tmp_path / "data", text=False)
    assert [os.path.relpath(item.path, tmp_path / "data") for item in found.items] == ["b.wav", "far/a.wav"]


@pytest.mark.parametrize(
    ("names", "text", "words"),
    [
        ([], True, ["empty folder"]),
        (["a.docx", "b.m5a", "c.m5a"], True, ["2 .m5a", "1 .docx"]),
        (["a.wav", "b.wav"], True, ["X.txt beside X.wav", "2 sounds without text"]),
        (["a.png", "a.txt"], True, ["X.gt.txt beside X.png", "1 image without text"]),
        (["a.wav", "a.txt", "b.png", "b.gt.txt"], True, ["1 sound and 1 image", "manifest"]),
        (["a.wav", "b.png"], False, ["1 sound and 1 image"]),
    ],
)
def test_a_folder_that_says_nothing_is_refused(tmp_path, names, text, words):
    """A folder without sound or images, without texts, or with both kinds is refused, with what is in it."""
    for name in names:
        put(tmp_path / name)
    refused([str(tmp_path), *words], tmp_path, text=text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("одна строка".encode("cp1251"), ["a.txt, line 1", "UTF-8"]),
        (b"RIFF\0\0", ["a.txt, line 1", "binary"]),
        (b"x" * (1 << 21), ["a.txt, line 1", "1048576"]),
        ((b"x" * 999 + b"\n") * 2000, ["a.txt", "1048576"]),
    ],
)
def test_a_text_with_a_fault_is_refused(tmp_path, content, words):
    """A text that is none is refused with file and line, from a folder and for a single file."""
    put(tmp_path / "a.wav")
    put(tmp_path / "a.txt", content)
    refused(words, tmp_path)
    refused(words, tmp_path / "a.wav")


# ---- files and lists


def test_one_file(tmp_path):
    """One file has the text beside it, if a text is asked for."""
    path = put(tmp_path / "a.bin.PNG")
    refused(["a.bin.PNG", "a.bin.gt.txt"], path)
    put(tmp_path / "a.gt.txt", "Zeile")
    assert read_items(path) == ([Item(str(path), "Zeile", where=str(path))], "print", [], str(path))
    assert read_items(str(path), text=False).items == [Item(str(path), where=str(path))]


def test_lists_are_the_same_items(here):
    """Paths, pairs, dicts and items themselves may be listed, mixed too."""
    put(here / "a.txt", "one")
    a, b, c = str(here / "a.wav"), here / "b.WAV", str(here / "deep/c.flac")
    found = read_items([a, (b, " two "), {"Path": c, "text": "three", "start": 1, "end": 2, "speaker": "Ann"}])
    assert found.kind == "sound"
    assert [item[:5] for item in found.items] == [
        (a, "one", None, None, None),
        (str(b), "two", None, None, None),
        (c, "three", 1.0, 2.0, "Ann"),
    ]
    assert [item.where for item in found.items] == [a, "the list, number 2", "the list, number 3"]
    assert read_items(found.items).items == found.items
    assert [item.text for item in read_items((a, b), text=False).items] == [None, None]
    assert read_items([(a, "x"), (a, "y"), (b, "z")]).notes == [
        "Listed again: 1 item of the same file and times as another."
    ]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], ["the list", "empty"]),
        (7, ["source", "int"]),
        (None, ["source", "NoneType"]),
        ({"path": "a.wav"}, ["source", "dict"]),
        ([7], ["number 1", "7"]),
        ([("a.wav", "x", "y")], ["number 1", "(path, text)"]),
        ([("a.wav", 7)], ["number 1", "its text", "7"]),
        ([{"path": "a.wav"}], ["number 1", "its text"]),
        ([{7: "a.wav"}], ["number 1", "names"]),
        (["b.WAV"], ["b.WAV", "b.txt"]),
        ([("a.wav", "x"), ("i.png", "y")], ["both", "a.wav", "i.png"]),
        ([{"path": "i.png", "text": "x", "start": 1}], ["number 1", "sound only"]),
        ("none.wav", ["none.wav", "no such file"]),
        ("none.csv", ["none.csv", "no such file", "x.csv"]),
        ("none", ["none", "no such file"]),
        ("a.m5a", ["a.m5a", ".m5a", ".wav"]),
        (["none.wav"], ["none.wav", "no such file"]),
        ("a\0.wav", ["no such file"]),
    ],
)
def test_a_source_that_is_none_is_refused(here, monkeypatch, source, words):
    """What is no source, names nothing that is there, or mixes sound and images is refused."""
    monkeypatch.chdir(here)
    for name in ("i.png", "x.csv", "a.m5a"):
        put(here / name)
    refused(words, source)
