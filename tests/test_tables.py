"""Files and frames to columns: the notation of numbers, what lies around a table, and formats; each a row, as read."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

pd = pytest.importorskip("pandas")

from gated._check import InputError  # noqa: E402
from gated.io.numbers import Hints, parse  # noqa: E402
from gated.io.tables import numbers, read  # noqa: E402
from made.books import workbook  # noqa: E402

# -- numbers: the values of a column and the numbers they are

POINT, COMMA = ("?.",), ("?,",)
NUMBERS = [  # values, numbers, hints
    ("1.333 780 1.408 557 1.272", [1333, 780, 1408, 557, 1272], {"delimiter": ";"}),
    ("561 1.257 999 2.001", [561, 1257, 999, 2001], {}),
    ("10.025 11.345", [10025, 11345], {"file": ","}),
    ("10.025 11.345", [10.025, 11.345], {"file": ".", "delimiter": ";"}),
    ("10.025 11.345", [10025, 11345], {"decimal": ","}),
    ("10.025 11.345", [10.025, 11.345], {"decimal": ".", "delimiter": ";"}),
    ("10.025 11.345", [10025, 11345], {"history": ",", "delimiter": ";"}),
    ("10.025 11.345", [10.025, 11.345], {}),
    ("10,025 11,345", [10025, 11345], {}),
    ("10,025 11,345", [10.025, 11.345], {"file": ","}),
    ("1500 1.234 0.7", [1500, 1.234, 0.7], {"delimiter": ";"}),
    ("1500 1.234", [1500, 1.234], {"delimiter": ";"}),
    ("0.123 0.456", [0.123, 0.456], {"delimiter": ";"}),
    ("0,123 0,456", [0.123, 0.456], {}),
    ("1.234.567 5", [1234567, 5], {}),
    ("1.234,5 2,25 10", [1234.5, 2.25, 10], {}),
    ("1,234.5 2.25 10", [1234.5, 2.25, 10], {}),
    ("1234,567 1", [1234.567, 1], {}),
    ("1,23,456 2,345 10.5", [123456, 2345, 10.5], {}),
    ("12,34,56,789.25 1", [123456789.25, 1], {}),
    ("1\u00a0234,5 2\u202f345,25 10", [1234.5, 2345.25, 10], {}),
    ("12\u2009345 1\u2009234", [12345, 1234], {}),
    ("1'234.50 2’345.25", [1234.5, 2345.25], {}),
    ("−5 –6 -7.5", [-5, -6, -7.5], {}),
    ("5- 6,5- 7", [-5, -6.5, 7], {}),
    ("(1.234) 5,5 (6)", [-1234, 5.5, -6], {}),
    ("(1,234) 5.5", [-1234, 5.5], {}),
    ("12% 5,5% 0", [12, 5.5, 0], {}),
    ("12\u00a0% 5.5%", [12, 5.5], {}),
    ("€1.234,50 12,00€ -€5,20 5", [1234.5, 12, -5.2, 5], {}),
    ("$1,234.50 -$5.20 ($7)", [1234.5, -5.2, -7], {}),
    ("EUR\u00a05 1.234,5\u00a0EUR", [5, 1234.5], {}),
    ("R$\u00a05,20 R$\u00a01.000,00", [5.2, 1000], {}),
    ("5,20\u00a0zł 7\u00a0zł", [5.2, 7], {}),
    ("1e5 1.5E-3 2", [1e5, 0.0015, 2], {}),
    ("1,5e3 2", [1500, 2], {}),
    ('"5" "6,5"', [5, 6.5], {}),
    (".5 12. +3", [0.5, 12, 3], {}),
    ("? -- n.a. #DIV/0! . 5.5", [np.nan] * 5 + [5.5], {}),
    ("missing k.A. NULL #N/A (null) 1,5", [np.nan] * 5 + [1.5], {}),
    ("– … 7".replace("…", "..."), [np.nan, np.nan, 7], {}),
    ("broken off 7", [np.nan, np.nan, 7], {"missing": ("broken", "OFF")}),
]


@pytest.mark.parametrize(("values", "expected", "hints"), NUMBERS)
def test_a_column_of_text_is_read_in_one_notation(values, expected, hints):
    """Decimals, thousands, signs, units and words for missing values: the numbers that people mean."""
    reading = parse(pd.Series(values.split(" "), dtype=object), Hints(**hints))
    np.testing.assert_array_equal(reading.values, expected)
    assert not reading.bad.any()
    assert reading.doubt is None


@pytest.mark.parametrize(
    ("values", "hints"),
    [
        ("10.025 11.345", {"delimiter": ";"}),
        ("9.196 10.061", {"delimiter": "\t"}),
        ("1,234 5,678", {"delimiter": ";"}),
        ("1500 1,234", {}),
        ("1.234 1,234", {}),
    ],
)
def test_numbers_of_two_readings_are_a_doubt(values, hints):
    """Three digits behind every separator, and nothing else that decides, are no reading."""
    assert parse(pd.Series(values.split(" "), dtype=object), Hints(**hints)).doubt is not None


@pytest.mark.parametrize(
    ("values", "bad"),
    [("1.5 1,5 2.5", [1]), ("1,5 2,5 3.75", [2]), ("5 kg 6", [1]), ("1.2.3 4", [0]), ("12:30 4", [0]), ("-1- 4", [0]),
     ("€5 $6 €7", [1]), ("5% 6 7%", [1]), ("1e5e 4", [0]), ("1-5 4", [0]), ("1,2345,678 4", [0]), ("0x1F 4", [0])],
)  # fmt: skip
def test_what_does_not_fit_the_column_is_no_number(values, bad):
    """A value of the other notation or of another unit, and words among numbers, are marked."""
    reading = parse(pd.Series(values.split(" "), dtype=object))
    assert np.flatnonzero(reading.bad).tolist() == bad
    assert np.isnan(reading.values[bad]).all()


@pytest.mark.parametrize(
    ("values", "note"),
    [("1.333 780", "the point is read as grouping thousands, as in 1.333 (--decimal . reads decimals)."),
     ("10.025", "the point is read as decimal, as in 10.025 (--decimal , reads 10025)."),
     ("12% 5%", "numbers are read without their unit '%'."), ("(5) 6", "'(5)' is read as -5."),
     ("? 5 ? .", "'?' (2), '.' (1): treated as missing.")],
)  # fmt: skip
def test_a_guess_is_a_note(values, note):
    """What was not certain, or is easily overlooked, is said."""
    assert parse(pd.Series(values.split(" "), dtype=object)).notes == (note,)


# -- files: text and what is read of it


def table(*rows: str, header: str = "ds,y") -> str:
    return "\n".join([header, *rows]) + "\n"


PLAIN = table("2024-01-01,1.5", "2024-01-02,2.5")
TEXTS = [  # text, columns, line of the first row, what is noted
    ("sep=;\r\nds;y\r\n2024-01-01;3.023,40\r\n2024-01-02;3,5\r\n", {"y": [3023.4, 3.5]}, 3, ""),
    ("\ufeffsep=|\nds|y\n2024-01-01|1,5\n", {"y": [1.5]}, 3, ""),
    ('"sep=\t"\nds\ty\n2024-01-01\t1\n', {"y": [1]}, 3, ""),
    ("SEP=,\nds,y\n2024-01-01,1\n", {"y": [1]}, 3, ""),
    ("Sales report 2023\nExported by tool\n\n" + PLAIN, {"y": [1.5, 2.5]}, 5, "lines 1, 2 skipped: 'Sales"),
    ("Report;;\n\nds;y;z\n1;2;3\n4;5;6\n", {"y": [2, 5]}, 4, ""),
    ("A report, of shops, in 2023, all of them\n" + PLAIN, {"y": [1.5, 2.5]}, 3, "line 1 skipped"),
    ("Report\nds;y\n01.01.2023;3.023,40\n02.01.2023;3,5\n", {"y": [3023.4, 3.5]}, 3, "line 1 skipped: 'Report'"),
    ("# made by a tool\n# version 2\n" + PLAIN, {"y": [1.5, 2.5]}, 4, ""),
    ("# ds,y\n2024-01-01,1\n2024-01-02,2\n", {"y": [1, 2]}, 2, ""),
    ("#ds;y\n2024-01-01;1,5\n", {"y": [1.5]}, 2, ""),
    (table("2024-01-01,?", "2024-01-02,2", "2024-01-03,n.a."), {"y": [np.nan, 2, np.nan]}, 2, ""),
    (table('2023-01-01,"2.898,90"', '2023-01-02,"3,5"'), {"y": [2898.9, 3.5]}, 2, ""),
    (table('2023-01-01,"1,234"', '2023-01-02,"999"'), {"y": [1234, 999]}, 2, ""),
    ("ds;y;z\n1;10.061;1,5\n2;9.196;2,5\n", {"y": [10061, 9196], "z": [1.5, 2.5]}, 2, ""),
    ("ds;y;z\n1;10.061;0.5\n2;9.196;2.25\n", {"y": [10.061, 9.196], "z": [0.5, 2.25]}, 2, ""),
    ("ds\ty\n1\t1'234.5\n2\t7\n", {"y": [1234.5, 7]}, 2, ""),
    (",ds,y\n0,2024-01-01,1\n1,2024-01-02,2\n", {"column 1": [0, 1], "y": [1, 2]}, 2, ""),
    ("ds,y,,\n1,2,,\n2,3,,\n", {"y": [2, 3]}, 2, ""),
    ("ds,y\n1,1\n2\n3,3\n", {"y": [1, np.nan, 3]}, 2, ""),
    ("ds,y\r1,1\r2,2\r", {"y": [1, 2]}, 2, ""),
    ('ds,y,n\n1,1,"a\nb"\n2,2,c\n', {"y": [1, 2]}, 2, ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "columns", "line", "note"), TEXTS)
def test_text_is_read_as_it_comes(text, columns, line, note, tmp_path):
    """Titles, comments, rules of Excel, quotes and dialects: the columns, the line of the first row, and a note."""
    frame = read(write(tmp_path / "x.csv", text.encode()))
    for name, values in columns.items():
        np.testing.assert_array_equal(numbers(frame, name), values)
    assert frame.index[0] == line
    assert frame.index.name == "line"
    assert note in " ".join(frame.attrs["notes"][None])
    assert not note or frame.attrs["notes"][None]


WORDS = "Tag;Verkäufe;Größe\n01.01.2023;100,49;groß\n02.01.2023;107,57;groß\n"


@pytest.mark.parametrize(
    ("encoding", "option", "note"),
    [("cp1252", None, "Windows-1252"), ("utf-8", None, ""), ("utf-8-sig", None, ""), ("utf-16", None, ""),
     ("utf-16-le", None, ""), ("utf-16-be", None, ""), ("utf-32", None, ""), ("latin-1", "latin-1", ""),
     ("cp850", "cp850", ""), ("mac-roman", "mac-roman", "")],
)  # fmt: skip
def test_an_encoding_is_recognised_or_given(encoding, option, note, tmp_path):
    """UTF-8 and UTF-16 with or without a mark, Windows-1252 with a note, any other by option."""
    frame = read(write(tmp_path / "x.csv", WORDS.encode(encoding)), time="Tag", encoding=option)
    assert list(frame.columns) == ["Tag", "Verkäufe", "Größe"]
    assert frame["Verkäufe"].tolist() == [100.49, 107.57]
    assert frame["Größe"].tolist() == ["groß", "groß"]
    assert note in " ".join(frame.attrs["notes"][None])
    assert bool(note) == bool(frame.attrs["notes"][None])


def test_words_behind_the_first_lines_may_be_windows_1252(tmp_path):
    """A character far behind the beginning changes the encoding of the whole file."""
    rows = "".join(f"{k},1,abc\n" for k in range(20_000))
    frame = read(write(tmp_path / "x.csv", ("ds,y,c\n" + rows + "20000,1,größer\n").encode("cp1252")))
    assert frame["c"].iloc[-1] == "größer"


def packed(name: str, data: bytes) -> bytes:
    if name != "zip":
        return {"gz": gzip, "bz2": bz2, "xz": lzma}[name].compress(data)
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        archive.writestr("__MACOSX/._t.csv", b"x")
        archive.writestr("t.csv", data)
    return out.getvalue()


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip", ""])
@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.zip", "x"])
def test_packed_files_are_known_by_their_first_bytes(kind, name, tmp_path):
    """gzip, bzip2, xz, a zip of one table and a plain one under any name."""
    data = packed(kind, PLAIN.encode()) if kind else PLAIN.encode()
    assert read(write(tmp_path / name, data))["y"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
def test_damaged_packed_files_are_one_error(kind, tmp_path):
    """Cut short anywhere or with bytes changed, a packed file is read or refused."""
    rng, data = np.random.default_rng(0), packed(kind, PLAIN.encode() * 20)
    for _ in range(60):
        new = bytearray(data)
        for _ in range(3):
            new[rng.integers(6, len(new))] = rng.integers(256)
        with contextlib.suppress(InputError):
            read(write(tmp_path / "x", bytes(new[: rng.integers(len(new) // 2, len(new) + 1)])))


RECORDS = [{"ds": "2024-01-01", "y": 1.5}, {"ds": "2024-01-02", "y": 2.5}]
JSON = {
    "records": json.dumps(RECORDS),
    "records of text": json.dumps([{"ds": r["ds"], "y": str(r["y"]).replace(".", ",")} for r in RECORDS]),
    "indented": json.dumps(RECORDS, indent=2),
    "columns": json.dumps({"ds": ["2024-01-01", "2024-01-02"], "y": [1.5, 2.5]}),
    "columns of pandas": json.dumps({"ds": {"0": "2024-01-01", "1": "2024-01-02"}, "y": {"0": 1.5, "1": 2.5}}),
    "data": json.dumps({"schema": {}, "data": RECORDS}),
    "split": json.dumps({"columns": ["ds", "y"], "index": [0, 1], "data": [["2024-01-01", 1.5], ["2024-01-02", 2.5]]}),
    "lines": "\n".join(map(json.dumps, RECORDS)) + "\n",
    "lines with blanks": "\r\n\r\n".join(map(json.dumps, RECORDS)),
    "one line": json.dumps(RECORDS[0]) + "\n" + json.dumps(RECORDS[1]),
    "marked": "\ufeff " + json.dumps(RECORDS),
}


@pytest.mark.parametrize("case", JSON)
def test_json_of_any_arrangement_is_a_table(case, tmp_path):
    """Records, columns, an object a line, and objects that hold them."""
    frame = read(write(tmp_path / "x.json", JSON[case].encode()))
    assert frame["ds"].tolist() == ["2024-01-01", "2024-01-02"]
    assert frame["y"].tolist() == [1.5, 2.5]
    assert frame.index.name == "row"


def test_standard_input_and_named_pipes_are_files(tmp_path, monkeypatch):
    """ "-" is standard input; a pipe is read once, packed or not."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    assert read("-")["y"].tolist() == [1.5, 2.5]
    for data in (PLAIN.encode(), packed("gz", PLAIN.encode()), JSON["records"].encode()):
        os.mkfifo(pipe := tmp_path / "pipe")
        writer = threading.Thread(target=pipe.write_bytes, args=[data])
        writer.start()
        assert read(str(pipe))["y"].tolist() == [1.5, 2.5]
        writer.join()
        pipe.unlink()


SHEET = [["ds", "y"], ["2024-01-01", 1.5], ["2024-01-02", 2.5]]
BOOKS = [  # sheets, option, the sheet's first row and notes
    ({"Data": SHEET}, None, 2, ""),
    ({"Data": SHEET, "Notes": [["nothing"]]}, None, 2, "The sheet 'Data' of 'Data', 'Notes' is read"),
    ({"Notes": [["nothing"]], "Data": SHEET}, "Data", 2, ""),
    ({"Data": [["Sales 2024"], [], *SHEET]}, None, 4, "Above the header, row 1 skipped."),
    ({"Data": [[None, "Sales", None], *[[None, *row] for row in SHEET]]}, None, 3, "row 1 skipped"),
    ({"Data": [["ds", "y"], ["2024-01-01", "1,5"], ["2024-01-02", "2,5"]]}, None, 2, ""),
]  # fmt: skip


@pytest.mark.parametrize(("sheets", "sheet", "row", "note"), BOOKS)
def test_sheets_of_workbooks_are_tables(sheets, sheet, row, note, tmp_path):
    """The first sheet or the one that is named, with titles above its header; rows are counted as Excel does."""
    pytest.importorskip("python_calamine")
    frame = read(write(tmp_path / "x", workbook(**sheets)), sheet=sheet)
    assert frame["y"].tolist() == [1.5, 2.5]
    assert (frame.index.name, frame.index[0]) == ("row", row)
    assert note in " ".join(frame.attrs["notes"][None])
    assert bool(note) == bool(frame.attrs["notes"][None])


def test_workbooks_that_cannot_be_read_are_refused(tmp_path):
    """No such sheet, an empty one, a damaged or an old file without content: one error each."""
    pytest.importorskip("python_calamine")
    with pytest.raises(InputError, match="sheet: expected one of 'Data', got 'Date'"):
        read(write(tmp_path / "x", workbook(Data=SHEET)), sheet="Date")
    with pytest.raises(InputError, match="none in 'Data'"):
        read(write(tmp_path / "x", workbook(Data=[["alone"]])))
    data = workbook(Data=SHEET)
    for broken in (data[:-40], data.replace(b"<row>", b"<row<"), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)):
        with pytest.raises(InputError, match=r"zip file|workbook|sheet"):
            read(write(tmp_path / "x", broken))
    with pytest.raises(InputError, match="a workbook, of which sheet names a table"):
        read(write(tmp_path / "x", PLAIN.encode()), sheet="Data")


def bytes_of(kind: str) -> bytes:
    frame, out = pd.DataFrame(RECORDS), io.BytesIO()
    if kind == "feather":
        frame.to_feather(out)
    elif kind == "orc":
        return b"ORC" + bytes(60)
    elif kind == "pickle":
        frame.to_pickle(out)
    else:
        return {"hdf": b"\x89HDF\r\n\x1a\n", "html": b"<!DOCTYPE html>"}[kind]
    return out.getvalue()


def zipped(*names: str) -> bytes:
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, PLAIN)
    return out.getvalue()


REFUSED = {
    "feather": (bytes_of("feather"), "got a Feather file. Save it as CSV"),
    "orc": (bytes_of("orc"), "got ORC"),
    "pickle": (bytes_of("pickle"), "got a pickle"),
    "hdf": (bytes_of("hdf"), "got HDF5"),
    "html": (bytes_of("html"), "got HTML"),
    "a zip of several": (zipped("a.csv", "b.csv"), "got 'a.csv', 'b.csv'"),
    "a zip of many": (zipped(*"abcdefgh"), "and 3 more"),
    "an empty zip": (zipped(), "got none"),
    "units": (b"date,qty\n-,kg\n2024-01-01,1\n2024-01-02,2\n", "line 2: expected values below the header, got '-,kg'"),
    "units in brackets": (b"t;load\n[h];[MW]\n1;2\n2;3\n", r"got '\[h\];\[MW\]'"),
    "types": (b"ds,y\ndate,double\n1,2\n2,3\n", "got 'date,double'"),
    "a name twice": (b"ds,y,y\n1,2,3\n", "'y' twice"),
    "no header": (b"1,1\n2,2\n", "seems to lack a header"),
    "JSON of numbers": (b"[1, 2, 3]", "a list of objects"),
    "JSON of text": (b'{"error": "not found"}', "an object of something else"),
    "JSON cut short": (b'[{"ds": 1, "y": 2}, {"ds"', "JSON, got other text"),
    "JSON with a bad line": (b'{"ds": 1, "y": 2}\n{"ds": 2,\n', "line 2: expected a JSON object"),
    "half a character": (b'[{"ds": 1, "y": "\\ud800"}]', "surrogates not allowed"),
    "JSON nested deep": (b"[" * 100_000, "JSON"),
    "columns of two lengths": (b'{"ds": [1, 2], "y": [1]}', "columns of one length, got 1, 2"),
    "binary": (b"ds,y\n1,\0\n", "binary"),
    "more fields below": (b"ds,y\n1,2,3\n2,3,4\n3,4,5\n", "as many fields as the header"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_by_its_name(case, tmp_path):
    """Foreign formats, several tables, units below the header: one line that says what came."""
    data, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as error:
        read(write(tmp_path / "x", data))
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


def test_few_bytes_that_hold_much_are_refused(tmp_path):
    """A Parquet file of millions of equal values and a packed file of zeros take no memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(5_000_000, "i1")), pa.array(["2024-01-01"]))
    pq.write_table(pa.table({"ds": same, "y": same}), path := str(tmp_path / "x.parquet"))
    with pytest.raises(InputError, match="got 5,000,000 rows of 2 columns"):
        read(path)
    with pytest.raises(InputError, match="unpacks to at most 67,108,864 bytes"):
        read(write(tmp_path / "x.gz", gzip.compress(bytes(70 << 20), 1)))


def test_names_of_our_own_are_no_matter(tmp_path):
    """Columns called line, row, index, ds beside an index of that name stay columns."""
    frame = read(write(tmp_path / "x.csv", b"line,row,index,ds,y\n5,6,7,1,2\n"))
    assert frame.iloc[0].tolist() == [5, 6, 7, 1, 2]
    days = pd.date_range("2024", periods=3)
    assert list(read(pd.DataFrame({"ds": [7, 8, 9], "y": 1.0}, index=days)).columns) == ["ds", "y"]
    named = pd.DataFrame({"line": [7, 8, 9], "y": 1.0}, index=pd.Index([1, 2, 3], name="line"))
    assert read(named)["line"].tolist() == [7, 8, 9]
    assert list(read(pd.DataFrame({"y": [1.0, 2, 3]}, index=days)).columns) == ["ds", "y"]
    named.attrs = {"notes": "of a user", "decimals": 3}
    assert read(read(named)).attrs["notes"][None] == []


def test_large_numbers_are_told_or_refused(tmp_path):
    """Numbers whose squares overflow are refused with their rows; digits that a double loses are a note."""
    for word in ("1e300", "-1e200", "1e400", "Infinity", "-inf"):
        with pytest.raises(InputError, match=r"\(line 3\)"):
            numbers(read(write(tmp_path / "x.csv", table("1,1.5", f"2,{word}", "3,2").encode())), "y")
    frame = read(write(tmp_path / "x.csv", table("1,12345678901234567", "2,5").encode()))
    assert frame.attrs["notes"]["y"] == ["some numbers have more digits than a double holds: rounded."]
    assert numbers(frame, "y").tolist() == [12345678901234568, 5]
    assert numbers(read(write(tmp_path / "x.csv", table("1,1" + "0" * 30, "2,5").encode())), "y")[0] == 1e30


@pytest.mark.parametrize("kind", ["Unicode", "unictde", "category", "datetimetz"])
def test_a_parquet_file_with_false_notes_of_pandas_is_read_or_refused(kind, tmp_path):
    """What pandas wrote of its types may be damaged as anything in a file."""
    path = tmp_path / "x.parquet"
    pd.DataFrame({"a": ["x", "y"], "y": [1.0, 2.0]}, index=pd.Index(["p", "q"], name="i")).to_parquet(path)
    table = pyarrow.parquet.read_table(path)
    notes = table.schema.metadata[b"pandas"].replace(b'"unicode"', f'"{kind}"'.encode())
    notes = notes.replace(b'"object"', f'"{kind}"'.encode())
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"pandas": notes}), path)
    with contextlib.suppress(InputError):
        assert read(path)["y"].tolist() == [1.0, 2.0]


# -- text is read by Arrow, and the whole file by pandas where the two could differ

ROWS = {
    "text": "a1,z\nb,z",
    "quotes": '"x, y",1\n"q""q",2',
    "a quote in a word": '5" pipe,1\nb,2',
    "lines in a cell": '"a\nb",1\nc,2',
    "a line in a later cell": 'c,2\n"a\nb",x',
    "missing": "NA,1\n-,2\nb,n/a",
    "in quotes": '"NA",1\nb,"1,234.5"',
    "spaces": "a ,1\nb, 2",
    "spaces in quotes": '" a",1\nb,2',
    "zeros": "007,1\n08,x",
    "booleans": "a1,True\nb,NA\nc,x",
    "late words": "a,1\nb,2\nc,x",
    "only words": "a1,b\nc,d",
    "short": "a1\nb,2",
    "dates": "31.12.2023,1.5\n01.01.2024,2.5",
    "umlauts": "Köln,1\nBonn,2",
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_a_blank_line_changes_nothing(tmp_path, rows):
    """A file with a blank line, which pandas reads alone, gives the columns of the file without."""
    frames = []
    for end in ("\n", "\n\n"):
        (path := tmp_path / "data.csv").write_text("k,v\n" + rows + end)
        frame = read(str(path))
        frames.append(frame.astype(object).where(frame.notna(), None))
    pd.testing.assert_frame_equal(*frames)


def test_an_open_quote_at_the_end_is_refused(tmp_path):
    """A file that ends within quotes is refused, were its columns all of text."""
    (path := tmp_path / "data.csv").write_text('k,v\na1,b\nc,"d\ne,f\n')
    with pytest.raises(InputError, match="EOF inside string"):
        read(str(path))


def test_words_far_down_keep_a_column_of_text(tmp_path):
    """A column of numbers with a word far below stays text, each value as it was written."""
    (path := tmp_path / "data.csv").write_text("v,w\n" + "007,1\n" * 300_000 + "x,2\n")
    column = read(str(path))["v"]
    assert set(column) == {"007", "x"}
