"""Translation's text: sentences from files with errors that name the line, and tokens that give the text back."""

import gzip
import io
import json
import sys
import zipfile
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

from gated._check import InputError
from gated.tasks.translate import documents
from gated.tasks.translate.data import read_pairs, read_sentences

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def put(path, text):
    """A file of this text, gzipped where its name says so; a str is UTF-8."""
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def refused(words, call, *args, **more):
    """The call is refused, in words that hold each of these."""
    with pytest.raises(InputError) as error:
        call(*args, **more)
    for word in words:
        assert word in str(error.value), str(error.value)


# ---- sentences


def test_control_characters_become_spaces_and_are_reported():
    """Controls, lone surrogates, noncharacters, an inner byte order mark become spaces; a note names the lines."""
    found = read_sentences(["a\x07b", "plain", "c\ufdd0d\ud800e\ufefff\x1b"])
    assert found.source == ["a b", "plain", "c d e f"]
    assert found.notes == ["Control characters became spaces in 2 lines (lines 1, 3)."]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT.filter(lambda t: "\n" not in t), min_size=1))
def test_a_line_of_output_for_every_line(lines):
    """One-sided reading gives a sentence for every line, whatever is in it, and reading it again changes nothing."""
    found = read_sentences(lines)
    assert len(found.source) == len(lines)
    assert read_sentences(found.source).source == found.source


def test_sentences_may_come_from_standard_input(monkeypatch):
    """ "-" is standard input, for sentences and for pairs."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("Hallo\n\nWelt ü\n".encode())))
    assert read_sentences("-").source == ["Hallo", "", "Welt ü"]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"Hallo\thello\n")))
    assert read_pairs("-").sides() == (["Hallo"], ["hello"])


def test_two_files_are_paired_and_empty_sides_left_out(tmp_path):
    """Line n translates line n; pairs with an empty side go, with a note, and the rest keep their line numbers."""
    found = read_pairs(put(tmp_path / "a.de", "eins\n\ndrei\nvier\n"), put(tmp_path / "a.en.gz", "one\ntwo\n \nfour\n"))
    assert (found.source, found.target, found.lines) == (["eins", "vier"], ["one", "four"], [1, 4])
    assert found.notes == ["Left out: 2 pairs with an empty side (lines 2, 3)."]
    assert len(found) == 2


def test_every_form_of_pairs_reads_the_same(tmp_path):
    """Two files, two lists, a list of pairs, TSV with and without header, JSON lines flat and nested, a catalogue."""
    x, y = ["ein Hund", "zwei „Katzen“"], ["a dog", "two cats"]
    rows = list(zip(x, y, strict=True))
    flat = [json.dumps({"target": b, "source": a}) for a, b in rows]
    nested = [json.dumps({"id": 1, "translation": {"de": a, "en": b}}) for a, b in rows]
    po = "".join(f'msgid "{a}"\nmsgstr "{b}"\n\n' for a, b in rows)
    ways = [
        (put(tmp_path / "a.txt", "\n".join(x)), put(tmp_path / "b.txt", "\n".join(y))),
        (x, y),
        (rows,),
        (put(tmp_path / "p.tsv", "".join(f"{a}\t{b}\n" for a, b in rows)),),
        (put(tmp_path / "p.tsv.gz", "".join(f"{a}\t{b}\n" for a, b in rows)),),
        (put(tmp_path / "p.data", "".join(f"{a}\t{b}\n" for a, b in rows)),),
        (put(tmp_path / "p.jsonl", "\n".join(flat)),),
        (put(tmp_path / "q.data", "\n".join(flat)),),
        (put(tmp_path / "p.po", po),),
    ]
    named = [
        (put(tmp_path / "h.tsv", "n\ten\tde\n" + "".join(f"1\t{b}\t{a}\n" for a, b in rows)), ("de", "en")),
        (put(tmp_path / "n.jsonl", "\n".join(nested)), ("translation.de", "translation.en")),
    ]
    for found in [read_pairs(*way) for way in ways] + [read_pairs(p, columns=c) for p, c in named]:
        assert (found.source, found.target) == (x, y), found.where
    assert read_sentences(named[0][0], columns=("de", "en")).source == x
    assert read_sentences(named[1][0], columns=["translation.de"]).source == x
    assert read_sentences(tmp_path / "p.tsv").source == x
    assert read_sentences(tmp_path / "p.jsonl").source == x


HEADERS = [("a.tsv", "de\ten"), ("a.csv", "source,target"), ("a.csv", '"src";"tgt"'), ("a.txt", "de-AT\ten_US"),
           ("-", "Source\tTranslation")]  # fmt: skip


@pytest.mark.parametrize(("name", "header"), HEADERS)
def test_a_header_that_nobody_named_is_noted(tmp_path, monkeypatch, name, header):
    """It is read as a pair, and a note says how to have it read as a header; other first lines have none."""
    comma = next(c for c in ",;\t" if c in header)
    for first, noted in ((header, True), (f"ein Hund{comma}a dog", False), (f"ja{comma}yes", False)):
        text = f"{first}\nx y{comma}z\n"
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        found = read_pairs(name if name == "-" else put(tmp_path / name, text))
        assert len(found) == 2
        assert [note.startswith("Line 1 was read as a pair") for note in found.notes] == [True] * noted


def test_pairs_of_other_files(tmp_path):
    """Windows-1252 and UTF-16 with a note, a ZIP archive, TMX and XLIFF; what has no pair says so."""
    text = "Grüße\tgreetings\nja, gut\tyes\n"
    wanted = (["Grüße", "ja, gut"], ["greetings", "yes"])
    for encoding, note in (("cp1252", "Windows-1252"), ("utf-16", "UTF-16")):
        found = read_pairs(put(tmp_path / "a.tsv", text.encode(encoding)))
        assert (found.sides(), len(found.notes), note in found.notes[0]) == (wanted, 1, True)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.tsv", text)
    assert read_pairs(tmp_path / "a.zip").sides() == wanted
    side = '<tuv xml:lang="{}"><seg>{}</seg></tuv>'
    units = "".join(f"\n<tu>{side.format('en', y)}{side.format('de', x)}</tu>" for x, y in zip(*wanted, strict=True))
    tmx = put(tmp_path / "a.tmx", f'<tmx version="1.4"><header srclang="de"/><body>{units}</body></tmx>')
    assert (read_pairs(tmx).sides(), read_pairs(tmx).lines) == (wanted, [2, 3])
    assert read_pairs(tmx, columns=("en", "de")).sides() == wanted[::-1]
    units = "".join(f"<unit><segment><source>{x}</source><target>{y}</target></segment></unit>"
                    for x, y in zip(*wanted, strict=True))  # fmt: skip
    assert read_pairs(put(tmp_path / "a.xlf", f'<xliff version="2.0">{units}</xliff>')).sides() == wanted
    refused(["none of them translated"], read_pairs, put(tmp_path / "b.xlf", "<xliff/>"))
    refused(["pairs, as XLIFF and TMX", "<resources>"], read_pairs, put(tmp_path / "a.xml", "<resources/>"))
    refused(["XLIFF", "<tmx>", "fit and score"], lambda: documents.load(tmx).spans())


def test_blank_lines_of_tables_keep_their_place(tmp_path):
    """A blank line in TSV or JSON lines is an empty sentence when translating and is left out when training."""
    for name, rows in (
        ("a.tsv", ["a\tA", "", "b\tB"]),
        ("a.jsonl", ['{"source":"a","target":"A"}', "", '{"source":"b","target":"B"}']),
    ):
        path = put(tmp_path / name, "\n".join(rows))
        assert read_sentences(path).source == ["a", "", "b"]
        assert read_pairs(path).lines == [1, 3]


def test_faults_name_the_file_and_the_line(tmp_path):
    """Each fault of a file is one error with its name, the line and, where it is a byte, the byte."""

    def at(name, text):
        return put(tmp_path / name, text)

    good = at("good.txt", "a\nb\n")
    refused(["empty file"], read_sentences, at("empty.txt", ""))
    refused(["empty file"], read_pairs, at("empty.tsv", ""))
    refused(["2 in", "3 in", "as many lines"], read_pairs, good, at("three.txt", "a\nb\nc\n"))
    refused(["one.tsv, line 2", "2 columns", "got 1"], read_pairs, at("one.tsv", "a\tb\nc\n"))
    refused(["three.tsv, line 1", "2 columns", "got 3"], read_pairs, at("three.tsv", "a\tb\tc\n"))
    refused(["head.tsv, line 1", "'de'", "'a', 'b'"], read_pairs, at("head.tsv", "a\tb\n"), columns=("de", "en"))
    refused(["j.jsonl, line 2", "JSON"], read_pairs, at("j.jsonl", '{"source":"a","target":"b"}\n{"source":\n'))
    refused(["k.jsonl, line 1", "'target'", "'source'"], read_pairs, at("k.jsonl", '{"source":"a"}\n'))
    refused(["l.jsonl, line 1", "text under 'target'", "3"], read_pairs, at("l.jsonl", '{"source":"a","target":3}\n'))
    refused(["m.jsonl, line 1", "object", "list"], read_pairs, at("m.jsonl", "[1]\n"))
    refused(["n.jsonl, line 1", "JSON"], read_pairs, at("n.jsonl", "[" * 100_000 + "\n"))
    refused(["good.txt", "no tab"], read_pairs, good)
    refused(["o.po, line 2", "catalogue"], read_pairs, at("o.po", 'msgid "a"\nwhat\n'))
    refused(["gettext catalogue"], read_sentences, at("p.po", 'msgid "a"\nmsgstr ""\n'))
    refused(["empty side"], read_pairs, ["a"], [""])
    refused(["number 2", "a string"], read_sentences, ["a", 3])
    refused(["number 1", "two strings"], read_pairs, [("a", "b", "c")])
