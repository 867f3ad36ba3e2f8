"""Language models read any text, and every level gives it back: reading, vocabularies, levels."""

import gzip
import io
import json
import sys
import zipfile

import numpy as np
import pytest

from gated._check import InputError
from gated.tasks.language import data, training, vocabulary
from gated.tasks.language.vocabulary import UNK, fit, restore

TEXT = "To be, or not to be:\nthat is  the question; 3 ½ naïve cafés – 日本 🙂\n\tWhether 'tis nobler\n"
SPACED = "the cat sat on <unk> mats , and N cats sat .\nno it was n't\n"


def read(path, level="char", **more):
    with data.read(path, **more) as corpus:
        return "".join(corpus.chunks(level)), corpus.notes


# ---- reading


def pack_zip(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", data)
    return file.getvalue()


FILES = {  # name, bytes → text, and a part of the note
    "UTF-8": ("a.txt", TEXT.encode(), TEXT, ""),
    "a byte order mark": ("a.txt", b"\xef\xbb\xbfhi\n", "hi\n", ""),
    "no line end at the end": ("a.txt", b"hi\nho", "hi\nho", ""),
    "line ends of Windows": ("a.txt", b"hi\r\nho\r\n", "hi\nho\n", ""),
    "line ends of old Macs": ("a.txt", b"hi\rho\r", "hi\nho\n", ""),
    "gzip": ("a.txt.gz", gzip.compress(TEXT.encode()), TEXT, ""),
    "gzip by another name": ("a.txt", gzip.compress(TEXT.encode()), TEXT, ""),
    "ZIP": ("a.zip", pack_zip(TEXT.encode()), TEXT, ""),
    "UTF-16": ("a.txt", TEXT.encode("utf-16"), TEXT, "UTF-16"),
    "Windows-1252": ("a.txt", "un café très «bon»\n".encode("cp1252"), "un café très «bon»\n", "Windows-1252"),
    "one line of 3 MB": ("a.txt", b"word " * 600_000, "word " * 600_000, ""),
    "JSON lines": ("a.jsonl", b'{"text": "a\\nb", "n": 1}\n\n{"text": "c"}\n', "a\nb\nc\n", ""),
    "a character over two blocks": ("a.txt", b"a" * 65535 + "é".encode() + b"b", "a" * 65535 + "éb", ""),
}


@pytest.mark.parametrize(("name", "content", "text", "note"), FILES.values(), ids=FILES)
def test_files_are_read_as_people_have_them(tmp_path, name, content, text, note):
    """Text comes character for character, with one form of line ends; what is read by a guess is noted."""
    (tmp_path / name).write_bytes(content)
    got, notes = read(tmp_path / name)
    assert got == text
    assert [note in one for one in notes] == ([True] if note else [])


WRONG = {  # what is refused, and what is said
    "binary": (b"ab\0cd", "a zero in line 1"),
    "another encoding": ("καλημέρα κόσμε\n".encode("iso8859-7"), "the byte 0xea in line 1"),
    "broken after good text": ("né\n".encode() * 3 + b"\xff\n", "the byte 0xff in line 4"),
    "nothing": (b"", "an empty file"),
}


@pytest.mark.parametrize(("content", "part"), WRONG.values(), ids=WRONG)
def test_what_is_no_text_says_where(tmp_path, content, part):
    """One error names the line, what stands there, and the level that reads it nevertheless."""
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=part) as error:
        read(tmp_path / "a.txt")
    assert not content or "--level byte" in str(error.value)


def test_bytes_never_fail(tmp_path):
    """Every file can be read as bytes, and comes back to the byte, broken UTF-8 and zeros included."""
    content = bytes(range(256)) * 300 + "é日".encode()[:-1] + b"\r\n\0\xff" + "né".encode()
    (tmp_path / "a.bin").write_bytes(content)
    with data.read(tmp_path / "a.bin") as corpus:
        tokens = data.encode(corpus, fit([], "byte", 300))
    assert fit([], "byte", 300).decode(tokens.ids.tolist()) == content
    assert (len(tokens), tokens.bytes) == (len(content), len(content))


def test_folders_and_several_files_are_one_text(tmp_path, monkeypatch):
    """A folder is read in the order of its names, with a line end between texts; what is no text is left out, noted."""
    (tmp_path / "x/sub").mkdir(parents=True)
    for name, content in {
        "b.txt": b"two",
        "a.txt": b"one",
        "c.png": b"\x89PNG\0",
        ".d": b"no",
        "sub/e.txt": b"x",
    }.items():
        (tmp_path / "x" / name).write_bytes(content)
    text, notes = read([tmp_path / "x", tmp_path / "x/a.txt"])
    assert text == "one\ntwo\nx\none"
    assert notes == ["Left out: 1 file that hold no text (c.png)."]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"body": "hi"}\n')))
    assert read("-", key="body")[0] == "hi\n"


@pytest.mark.parametrize(
    ("line", "part"),
    [('{"txt": "a"}', "an object with text under 'text', got keys 'txt'"), ("[1]", "got list"), ("{", "a JSON object")],
)
def test_json_lines_without_text_name_the_line(tmp_path, line, part):
    """An error names the line, what stands there, and the option."""
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' + line + "\n")
    with pytest.raises(InputError, match=rf"a.jsonl, line 2: .*{part}"):
        read(tmp_path / "a.jsonl")


# ---- vocabularies


@pytest.mark.parametrize("level", vocabulary.LEVELS)
def test_every_level_gives_the_text_back(level):
    """decode(encode(text)) is the text, to the byte; so it is of a vocabulary that was saved and restored."""
    words = fit([TEXT, TEXT], level, 400)
    ids = words.encode(TEXT)
    assert words.decode(ids.tolist()) == TEXT.encode()
    assert ids.all()
    again = restore(json.loads(json.dumps(words.save())))
    assert again == words
    assert again.encode(TEXT).tolist() == ids.tolist()


def test_words_between_spaces_are_given_back():
    """Text that was cut into words is words and line ends; `<unk>` in it is the unknown word, and no other is."""
    words = fit([SPACED], "word", 100, spaced=True)
    text = "the cat sat on <unk> mats\nno dogs\n"
    ids = words.encode(text)
    assert words.decode(ids.tolist()).decode() == "the cat sat on <unk> mats\nno <unk>\n"
    assert [words.pieces[k] for k in ids] == ["the", "cat", "sat", "on", UNK, "mats", "\n", "no", UNK, "\n"]
    assert words.unknown(text, ids) == ["dogs"]


@pytest.mark.parametrize(("level", "unknown"), [("byte", 0), ("char", 2), ("bpe", 0), ("word", 2)])
def test_what_the_vocabulary_lacks_is_counted(level, unknown):
    """Unknown characters and words are counted and named; bytes and byte pairs have none."""
    words = fit([TEXT, TEXT], level, 400)
    text = "be Жx" if level == "char" else " be zebra quagga"
    tokens = data.encode_text(text.replace("x", "Ж"), words)
    assert sum(tokens.unknown.values()) == unknown
    notes = data.note_unknown(tokens, words)
    assert bool(notes) == bool(unknown)
    assert all("not in the vocabulary" in note for note in notes)


def test_words_met_once_are_unknown_words():
    """A word that is met once stands for those never met, where the text has no `<unk>` of its own."""
    common = " ".join(f"w{chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(200))
    words = fit([f"{common} {common} hapax"], "word", 10_000)
    assert " hapax" not in words.pieces
    assert " wab" in words.pieces


BREAKS = {
    "no list": dict(pieces=3),
    "a token twice": dict(pieces=[UNK, "a", "a"]),
    "no unknown": dict(pieces=["a", "b"]),
    "characters out of order": dict(pieces=[UNK, "b", "a"]),
    "a long one": dict(pieces=[UNK, "a" * 2000]),
    "a surrogate": dict(pieces=[UNK, "\ud800"]),
    "merges": dict(merges=[[1, 2]]),
    "another level": dict(level="page"),
    "bytes": dict(level="byte"),
    "byte pairs": dict(level="bpe"),
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS)
def test_a_hostile_vocabulary_is_one_error(change):
    """What a stranger's folder may hold is refused before anything is built of it."""
    with pytest.raises(InputError):
        restore(fit(["ab"], "char", 10).save() | change)


LEVELS = {
    "prose": ("He said: 'Come, we go.' They went; it rained, and all was well.\n" * 40, ("char", False)),
    "cut into words": ("he said come , we go . they <unk> went ; it rained <unk>\n" * 40, ("word", True)),
    "cut into words without marks": ("mr. <unk> is chairman of <unk> n.v. the inc. group \n" * 40, ("word", True)),
    "marks apart": ("He said , come . They went , it rained .\n" * 40, ("word", True)),
    "code": ("def f(x):\n    return [x, x + 1]\n" * 40, ("char", False)),
    "a script of thousands": ("".join(chr(0x4E00 + k) for k in range(5000)), ("byte", False)),
    "very little": ("a , b .", ("char", False)),
}


@pytest.mark.parametrize(("text", "level"), LEVELS.values(), ids=LEVELS)
def test_the_level_follows_from_the_text(text, level):
    """Text whose words were cut apart is read as words, other text as characters or bytes."""
    assert vocabulary.choose_level(text) == level


# ---- what is held out


@pytest.mark.parametrize("count", [10, 1000, 100_000])
def test_held_out_parts_are_spread_and_disjoint(count):
    """The held-out parts lie inside the text, the rest keeps its order, and each token is in one of them."""
    parts = training.hold_out(count, 0.1)
    rest, held = training.split(np.arange(count), parts)
    assert sorted([*rest, *(k for part in held for k in part)]) == list(range(count))
    assert (np.diff(rest) > 0).all()
    assert len(held) == {10: 0, 1000: 1, 100_000: 8}[count]


def test_nothing_is_held_out_where_nothing_is_asked_for():
    """A fraction of 0 holds out nothing."""
    assert training.split(np.arange(5), training.hold_out(5, 0.0)) == (pytest.approx(np.arange(5)), [])
