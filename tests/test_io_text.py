"""Text from people's files: lines, columns and tables, with errors that name the file and the line."""

import gzip
import io
import json
import os
import sys
import tracemalloc
import zipfile
from types import SimpleNamespace

import pytest

from gated._check import InputError
from gated.io import text
from gated.io.text import lines, rows


def put(path, content):
    """A file of this content, gzipped where its name says so; a str is UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def refused(words, call, *args, **more):
    """What the call gives is refused, in words that hold each of these."""
    with pytest.raises(InputError) as error:
        list(call(*args, **more))
    for word in words:
        assert word in str(error.value), str(error.value)


# ---- lines


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["x.txt", "x.gz", "x"])
@pytest.mark.parametrize("last", [True, False])
def test_a_file_is_its_lines(tmp_path, end, name, last):
    """\\n and \\r\\n end a line, plain or gzipped, with or without an end after the last; a byte order mark goes."""
    path = put(tmp_path / name, "\ufeff" + end.join(["ein  Hund", "", "zwei\tKatzen "]) + end * last)
    assert list(lines(path)) == [(1, "ein  Hund"), (2, ""), (3, "zwei\tKatzen ")]
    assert list(lines(str(path))) == list(lines(path))


def test_gzip_is_known_by_its_first_bytes(tmp_path):
    """Not by the name."""
    path = tmp_path / "x.txt"
    path.write_bytes(gzip.compress(b"a\nb\n"))
    assert list(lines(path)) == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c", "\x1e", "\r"])
def test_only_newlines_end_a_line(tmp_path, mark):
    """What Unicode and Python also count as line ends stays inside a line, and is a space where it is cleaned."""
    path = put(tmp_path / "x.txt", f"a{mark}b\nc\n")
    assert list(lines(path)) == [(1, f"a{mark}b"), (2, "c")]
    assert [row.cells for row in rows(path, "text")] == [("a b",), ("c",)]


def test_standard_input_is_read_for_a_dash(monkeypatch):
    """ "-" is standard input, and errors name it."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("Hallo\n\nWelt ü\n".encode())))
    assert [line for _, line in lines("-")] == ["Hallo", "", "Welt ü"]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\n\xff\n")))
    refused(["standard input, line 2"], lines, "-")


def test_faults_name_the_file_and_the_line(tmp_path):
    """Each fault of a file is one error with its name, the line and, where it is a byte, the byte."""

    def at(name, content):
        return put(tmp_path / name, content)

    at("good.txt", "a\nb\n")
    refused(["none.txt", "no such file", "Did you mean 'good.txt'?"], lines, tmp_path / "none.txt")
    refused(["a folder"], lines, tmp_path)
    refused(["bad.txt, line 2", "UTF-8", "0xfc at byte 3"], lines, at("bad.txt", b"ok\nab\xfcr\n"))
    refused(["bad.gz, line 1", "0xff at byte 1 "], lines, at("bad.gz", b"\xff\n"))
    refused(["UTF-16", "Save the file in UTF-8"], lines, at("wide.txt", "Grüße\n".encode("utf-16")))
    refused(["bin.txt, line 2", "binary", "byte 2 "], lines, at("bin.txt", b"a\nb\0c\n"))
    half = gzip.compress(os.urandom(50_000).hex().encode())
    (tmp_path / "half.gz").write_bytes(half[: len(half) // 2])
    refused(["half.gz", "gzip", "cut short"], lines, tmp_path / "half.gz")
    (tmp_path / "torn.gz").write_bytes(half[:200] + b"\0" * 50 + half[250:])
    refused(["torn.gz", "gzip", "damaged"], lines, tmp_path / "torn.gz")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="what root cannot read, nobody can forbid")
def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    """The system's reason is in the error."""
    path = put(tmp_path / "x.txt", "a")
    path.chmod(0)
    refused(["x.txt", "can be read", "ermission"], lines, path)


def test_what_a_file_may_take_is_bounded(tmp_path):
    """A line over the limit is refused with its number before it is read on, and so are too many lines or bytes."""
    path = put(tmp_path / "x.gz", "a\n" + "b" * 50_000_000)
    tracemalloc.start()
    refused(["x.gz, line 2", f"at most {text.LINE} bytes"], lines, path)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 10 * text.LINE
    whole = put(tmp_path / "whole.txt", "b" * text.LINE + "\r\n" + "b" * (text.LINE + 1))
    refused(["whole.txt, line 2"], lines, whole)
    refused(["at most 3 lines"], lines, put(tmp_path / "y.gz", "\n" * 10), max_lines=3)
    assert len(list(lines(tmp_path / "y.gz", max_lines=10))) == 10
    refused(["at most 10 bytes"], lines, put(tmp_path / "z.gz", "abcdef\nabcdef\n"), max_bytes=10)
    assert len(list(lines(tmp_path / "z.gz", max_bytes=14))) == 2


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_full_of_zeros_are_named(tmp_path, encoding):
    """UTF-16 without a byte order mark and UTF-32 are no binary data, whether notes are taken or not."""
    path = put(tmp_path / "x.txt", "Grüße\nund mehr\n".encode(encoding))
    for notes in (None, []):
        refused(["x.txt", f"got text in {encoding[:6].upper()}", "UTF-8"], lines, path, notes=notes)


def test_line_ends_of_old_macs_are_named(tmp_path):
    """A file in which \\r alone ends lines would be a single line."""
    for content in ("a\rb\r", "ü\r\rb", "a\tb\rc\td"):
        refused(["x.txt, line 1", r"end with \r alone"], lines, put(tmp_path / "x.txt", content))
    assert list(lines(put(tmp_path / "x.txt", "a\r"))) == [(1, "a")]


def test_an_empty_archive_is_named(tmp_path):
    """It has no file to read."""
    zipfile.ZipFile(tmp_path / "x.zip", "w").close()
    refused(["x.zip", "an archive of one file, got an empty one"], lines, tmp_path / "x.zip")


# ---- columns and tables


def test_columns_keep_their_lines(tmp_path):
    """A blank line is a row of empty cells, in text, TSV and JSON lines; control characters are counted."""
    tsv = put(tmp_path / "a.tsv", "a\tA\n\nb\x07\tB\n")
    full = [(1, ("a", "A"), False), (2, ("", ""), False), (3, ("b", "B"), True)]
    assert list(rows(tsv, "tsv", width=2)) == full
    assert [row.cells for row in rows(tsv, "tsv")] == [("a",), ("",), ("b",)]
    objects = [json.dumps({"y": y, "deep": {"x": x}}) for x, y in (("a", "A"), ("b\x07", "B"))]
    keyed = put(tmp_path / "a.jsonl", f"{objects[0]}\n\n{objects[1]}\n")
    assert list(rows(keyed, "jsonl", ("deep.x", "y"))) == full
    assert [row.cells for row in rows(["a", "", "b"], "list")] == [("a",), ("",), ("b",)]


def test_columns_are_counted(tmp_path):
    """Beside one column one other may stand; more need a name, and of two a third is an error."""
    path = put(tmp_path / "a.tsv", "n\ten\tde\n1\tx\ty\n")
    assert [row.cells for row in rows(put(tmp_path / "b.tsv", "a\tb\nc\n"), "tsv")] == [("a",), ("c",)]
    assert [row.cells for row in rows(path, "tsv", ("de", "en"), width=2)] == [("y", "x")]
    refused(["a.tsv, line 1", "one or two columns", "got 3", "columns"], rows, path, "tsv")
    refused(["a.tsv, line 1", "2 columns", "got 3", "columns"], rows, path, "tsv", width=2)
    refused(["a.tsv, line 1", "'fr'", "'n', 'en', 'de'"], rows, path, "tsv", ("fr",))


def test_fields_of_csv_may_be_quoted(tmp_path):
    """Commas, or semicolons where the first line has more; quotes; lines are numbered by where a row ends."""
    for comma in ",;":
        path = put(tmp_path / "a.csv", f'de{comma}en\n"x, y"{comma}"a\nb"\n\nz{comma}c\n')
        assert list(rows(path, "csv", ("en", "de"), width=2)) == [
            (3, ("a b", "x, y"), False), (4, ("", ""), False), (5, ("c", "z"), False)
        ]  # fmt: skip
    refused(["a.csv, line 2", "CSV"], rows, put(tmp_path / "a.csv", 'a,b\n"c,d\n'), "csv", width=2)


# ---- other encodings, archives, pipes


WINDOWS = [  # the text of a file in Windows-1252
    "Grüße\n", "a\nb\nMädchen, „ja“\nc\n", "déjà vu – çà\r\n", "Señor 5 €\n\nend",
]  # fmt: skip


@pytest.mark.parametrize("content", WINDOWS)
def test_windows_1252_is_read_with_a_note(tmp_path, content):
    """Where notes are taken; the note names the first such line."""
    path, notes = put(tmp_path / "x.txt", content.encode("cp1252")), []
    assert [line for _, line in lines(path, notes=notes)] == content.replace("\r", "").removesuffix("\n").split("\n")
    n = next(n for n, line in enumerate(content.split("\n"), 1) if not line.isascii())
    assert notes == [f"{path} is not in UTF-8 (line {n}), and was read as Windows-1252."]
    refused([f"line {n}", "UTF-8"], lines, path)


OTHERS = ["Это проверка".encode("cp1251"), "机器翻译".encode("gbk"), "Καλημέρα".encode("cp1253"),
          "Grü\n".encode() + b"\xfc", b"Gr\xfc\xdfe\n" + "ü".encode(), b"ab\x81c", b"\xff\xfe\xfa"]  # fmt: skip


@pytest.mark.parametrize("data", OTHERS)
def test_another_encoding_is_no_guess(tmp_path, data):
    """Other alphabets, and a mixture of encodings, are refused with their line."""
    with pytest.raises(InputError, match=r"line \d: expected text|UTF-16"):
        list(lines(put(tmp_path / "x.txt", data), notes=[]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("content", ["Grüße\nab\n", "\n\n猫\u0a0a\n", "a" * 100_000 + "\nb"])
def test_utf_16_is_read_with_a_note(tmp_path, encoding, content):
    """By its byte order mark, in either order, with lines as in UTF-8."""
    mark = "" if encoding == "utf-16" else "\ufeff"
    path, notes = put(tmp_path / "x.txt", (mark + content).encode(encoding)), []
    wanted = list(lines(put(tmp_path / "y.txt", content)))
    assert list(lines(path, notes=notes)) == wanted
    assert notes == [f"{path} was read as UTF-16."]


def test_a_zip_archive_of_one_file_is_that_file(tmp_path):
    """Folders and what macOS adds aside; several files, a document, a password or damage are one error."""

    def pack(name, members):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return tmp_path / name

    assert list(lines(pack("a.zip", {"b/": "", "b/x": "a\nb\n", "__MACOSX/x": "?"}))) == [(1, "a"), (2, "b")]
    refused(["two.zip", "one file", "2 files: 'x', 'y'"], lines, pack("two.zip", {"x": "a", "y": "b"}))
    refused(["a.docx", "a Word document"], lines, pack("a.docx", {"word/document.xml": "a"}))
    refused(["b.odt", "an OpenDocument file"], lines, pack("b.odt", {"content.xml": "a"}))
    whole = pack("c.zip", {"x": os.urandom(9000).hex()}).read_bytes()
    refused(["d.zip", "ZIP"], lines, put(tmp_path / "d.zip", whole[:5000]))
    refused(["e.zip", "ZIP"], lines, put(tmp_path / "e.zip", whole[:2000] + bytes(50) + whole[2050:]))


@pytest.mark.skipif(os.name == "nt", reason="no such pipes")
def test_a_pipe_is_read_as_it_comes(tmp_path):
    """A named pipe is a file that is read once; each line is there when it has come, and `waiting` counts the rest."""
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)  # both ends, so that nobody waits for the other
    os.write(writer, b"a\nb\nc")
    with text.open_stream(tmp_path / "pipe") as stream:
        reader = stream.lines()
        assert (next(reader), stream.waiting) == (b"a", True)
        assert (next(reader), stream.waiting) == (b"b", False)
        os.write(writer, b"d\n")
        assert (next(reader), stream.waiting) == (b"cd", False)
        os.close(writer)
        assert list(reader) == []


# ---- words for messages


def test_places_and_numbers_in_words():
    """Five places are named, and how many more there are; a number goes with its noun."""
    assert text.places("line", [3]) == "line 3"
    assert text.places("row", list(range(1, 8))) == "rows 1, 2, 3, 4, 5 and 2 more"
    assert [text.plural(n, "line") for n in (0, 1, 3000)] == ["0 lines", "1 line", "3,000 lines"]
    assert text.plural(2, "series", "series") == "2 series"


def test_siblings_are_named_where_nothing_is(tmp_path):
    """Files of the same ending, five of them; none where the file is there, or the folder is not."""
    for k in range(7):
        put(tmp_path / f"{k}.csv", "")
    assert text.siblings(tmp_path / "3.cvs") == "Did you mean '3.csv'?"
    assert text.siblings(tmp_path / "0.csv") == text.siblings(tmp_path / "letter.tsv") == ""
    assert text.siblings(tmp_path / "none" / "x.csv") == text.siblings(tmp_path / "x") == ""
    assert text.siblings(tmp_path / ("x" * 999)) == ""  # no system has names so long
