"""Tables of records: any delimiter, a header or none, JSON lines and arrays; a bad row is a fault of its own."""

import gzip
import json

import pytest

from gated._check import InputError
from gated.io.records import records
from gated.io.text import find

ROWS = [("a, b", '"q"'), ("", "2")]
FORMS = {
    "x.csv": 'Path,Text\n"a, b","""q"""\n\n,2\n',
    "x.csv.gz": '\ufeffPath, Text\r\n"a, b","""q"""\r\n\r\n,2\r\n',
    "semicolons.csv": 'Path;Text\na, b;"""q"""\n\n;2\n',
    "quoted.csv": '"Path";"Text"\n"a, b";"""q"""\n\n"";2\n',
    "bars.csv": 'Path|Text\na, b|"q"\n\n|2\n',
    "tabs.csv": 'Path\tText\na, b\t"q"\n\n\t2\n',
    "x.tsv": 'Path\tText\na, b\t"q"\n\n\t2\n',
    "tabs.txt": '\nPath\tText\na, b\t"q"\n\t2\n',
    "x.ndjson": "".join(json.dumps({"Path": a, "TEXT": b}) + "\n\n" for a, b in ROWS),
    "lines.json": "".join(json.dumps({"Path": a, "TEXT": b}) + "\n" for a, b in ROWS),
    "array.json": json.dumps([{"Path": a, "TEXT": b} for a, b in ROWS], indent=1),
}


def put(path, content):
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


def read(path, header=True):
    return list(records(path, lambda where, row: header, max_bytes=1 << 20))


@pytest.mark.parametrize("name", FORMS)
def test_records_have_one_form(tmp_path, name):
    """Whatever the delimiter and the container, the same values under names in lower case, each with its place."""
    found = read(put(tmp_path / name, FORMS[name]))
    assert [(row.values["path"], row.values["text"], row.fault) for row in found] == [(*row, "") for row in ROWS]
    places = {"x.ndjson": "13", "lines.json": "12", "array.json": "12", "tabs.txt": "34"}.get(name, "24")
    assert [row.where[-1] for row in found] == list(places)


def test_without_a_header_columns_are_numbers(tmp_path):
    """Where the first row is one like the others, its fields are named 1, 2 and so on."""
    found = read(put(tmp_path / "x.csv", "a.wav|b, c|d\ne|f|g\n"), header=False)
    assert [row.values for row in found] == [{"1": "a.wav", "2": "b, c", "3": "d"}, {"1": "e", "2": "f", "3": "g"}]


@pytest.mark.parametrize(("name", "content", "word"), [
    ("x.csv", "a,b\n1,2\n1,2,3\n4,5\n", "line 3: expected 2 fields, as in the header, got 3. Put text"),
    ("x.tsv", "a\tb\n1\t2\n1\n4\t5\n", "line 3: expected 2 fields, as in the header, got 1."),
    ("x.jsonl", '{"a": 1}\n{\n{"a": 2}\n', "line 2: expected a JSON object"),
    ("x.json", '[{"a": 1}, 7, {"a": 2}]', "number 2: expected a JSON object, got int."),
])  # fmt: skip
def test_a_bad_row_is_a_fault_of_its_own(tmp_path, name, content, word):
    """The rows before and behind a bad one are read, and the fault says where it is."""
    found = read(put(tmp_path / name, content))
    assert [bool(row.fault) for row in found] == [False, True, False]
    assert word in found[1].fault


@pytest.mark.parametrize(("name", "content", "word"), [
    ("x.csv", 'a,b\n"1,2\n', "line 2: expected fields of CSV"),
    ("x.csv", "a,b\r1,2\r", "line ends of Unix"),
    ("x.json", '[{"a": 1}', "expected a JSON object"),
])  # fmt: skip
def test_a_table_whose_rows_cannot_be_told_apart_is_refused(tmp_path, name, content, word):
    """An open quote, lines that end in \\r alone, half an array: nothing behind the fault can be trusted."""
    with pytest.raises(InputError, match=word):
        read(put(tmp_path / name, content))


def test_nested_names():
    """a.b is the name itself, or else b in the object under a."""
    values = {"a": {"b": {"c": 1}}, "a.b": 2, "d": 3}
    assert [find(values, name) for name in ("a.b", "a.b.c", "d", "d.e", "none")] == [2, 1, 3, None, None]
