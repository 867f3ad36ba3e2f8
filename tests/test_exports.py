"""Tables as banks, statistics offices, sensors, databases and spreadsheets export them: each file, and its series."""

import io
import json
import zipfile

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from gated._check import InputError  # noqa: E402
from gated.tasks.forecast import frame, source  # noqa: E402
from gated.tasks.forecast.horizon import to_frame  # noqa: E402
from gated.tasks.forecast.schema import infer, numeric  # noqa: E402
from gated.tasks.forecast.task import Config  # noqa: E402
from made.books import workbook  # noqa: E402

nan = np.nan
DAYS = [f"2024-01-{day:02}" for day in range(1, 11)]


def whole(data, **options):
    """The series of a source by their names, all notes, and the columns of ids and times of the next step."""
    config = Config(horizon=1, **options)
    rows = source.read(data, config)
    schema = infer(rows, time=config.time, target=config.target, id=rows.attrs.get("id", config.id),
                         known=config.known)  # fmt: skip
    panel, notes = frame.panel(rows, schema)
    ahead = to_frame(schema, panel, {"median": np.zeros((len(panel), 1))}).drop(columns="median")
    series = {
        name: panel.y[a:b].tolist() for name, a, b in zip(panel.ids, panel.offsets, panel.offsets[1:], strict=False)
    }
    return series, " ".join((*notes, *source.notes_of(rows, numeric(schema)))), ahead


def file(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def column(values, header="ds,y", delimiter=",", days=DAYS):
    """A table of a row a day, of values with blanks between."""
    return (
        "\n".join([header, *(f"{day}{delimiter}{value}" for day, value in zip(days, values.split(), strict=False))])
        + "\n"
    )


# -- numbers that stand for none, and numbers of two readings

CODES = [  # values, the one in the note, options that follow it
    (
        "-9999 5.1 5.2 -9999 5.4",
        "-9999 (2 times) lies far from the others, 5.1 to 5.4: fit with --missing -9999 if it means none.",
    ),
    ("35.6 9999.9 36.7 9999.9 38", "--missing 9999.9"),
    ("-999 2.5 -999 2.5 -999", "--missing -999"),
    ("-9.99 0.3 -9.99 0.5 1.2", "--missing -9.99"),
    ("99999 12 15 99999 7", "--missing 99999"),
    ("-9999,0 5,5 -9999,0 6,5", "--missing -9999"),
]


@pytest.mark.parametrize(("values", "note"), CODES)
def test_a_number_that_may_mean_missing_is_a_note(values, note, tmp_path):
    """-9999 and the like, far from all others, are said with the option that reads them as missing."""
    text = column(values, "ds;y", ";") if ",0" in values else column(values)
    series, notes, _ = whole(path := file(tmp_path / "x.csv", text))
    assert note in notes
    code = notes.partition("--missing ")[2].partition(" ")[0]
    series, notes, _ = whole(path, missing=(code,))
    assert "--missing" not in notes
    assert np.isnan(series["y"]).sum() == sum(float(v.replace(",", ".")) == float(code) for v in values.split())


@pytest.mark.parametrize(
    "values",
    [
        "99 15 17 99 20",
        "9.99 2.99 9.99 1.99",
        "-9999 5 6 7",
        "999 998 997 999",
        "9999 1 9999 8000 7",
        "-99 -80 -99 10",
        "999 249 999 199",
        "999.99 19.99 999.99 1",
    ],
)
def test_a_number_of_nines_among_its_like_is_a_number(values, tmp_path):
    """Prices, values near others, and one that comes once are no codes."""
    assert "--missing" not in whole(file(tmp_path / "x.csv", column(values)))[1]


WORDS = [(": 1 : 2", [nan, 1, nan, 2]), ("\\N 1 2", [nan, 1, 2]), ("*** 1.5 *", [nan, 1.5, nan]),
         ("\u200b5.5 6\ufeff", [5.5, 6]), (": 1,5", [nan, 1.5])]  # fmt: skip


@pytest.mark.parametrize(("values", "expected"), WORDS)
def test_words_of_statistics_offices_and_databases_are_missing(values, expected, tmp_path):
    """Eurostat's colon, SQL's \\N, NASA's stars; and what cannot be seen is no part of a number."""
    assert whole(file(tmp_path / "x.csv", column(values, "ds\ty", "\t")))[0] == {
        "y": pytest.approx(expected, nan_ok=True)
    }


@pytest.mark.parametrize("values", ["1.000 2.000 7.000", "100.000 101.000", "5 12 3.000 NA 9", "NA 4.000"])
def test_whole_numbers_of_three_zeros_are_a_doubt(values, tmp_path):
    """1.000 between semicolons is one or a thousand, which only an option or another column settles."""
    path = file(tmp_path / "x.csv", column(values, "ds;y", ";"))
    plain = [nan if v == "NA" else float(v) for v in values.split()]
    if "12" not in values:  # beside 12, 3.000 is three thousand
        with pytest.raises(InputError, match="--decimal"):
            whole(path)
        assert whole(path, decimal=".")[0]["y"] == pytest.approx(plain, nan_ok=True)
    large = [nan if v == "NA" else float(v.replace(".", "")) for v in values.split()]
    assert whole(path, decimal=",")[0]["y"] == pytest.approx(large, nan_ok=True)
    price = file(tmp_path / "z.csv", "\n".join(f"{row};{'p' if k == 0 else '9,99'}" for k, row in
                                               enumerate(column(values, "ds;y", ";").splitlines())))  # fmt: skip
    assert whole(price)[0]["y"] == pytest.approx(large, nan_ok=True)


# -- wide tables

WIDE = [  # text, options, series, columns of the next step, a note
    ("shop,2024-01,2024-02,2024-03\n007,1,2,3\n08,2,3,4\n", {}, {"007": [1, 2, 3], "08": [2, 3, 4]},
     {"shop": ["007", "08"], "ds": ["2024-04"] * 2}, ""),
    ("code,2020,2021,2022\n1.10,1,2,3\n1.1,2,3,4\n", {}, {"1.10": [1, 2, 3], "1.1": [2, 3, 4]},
     {"code": ["1.10", "1.1"], "ds": [2023] * 2}, ""),
    ("geo;2020;2021\nNA;1,5;2\nDE;2;3,5\n", {}, {"NA": [1.5, 2], "DE": [2, 3.5]},
     {"geo": ["NA", "DE"], "ds": [2022] * 2}, ""),
    ("shop,2020,2021\n3,1,2\n12,3,4\n", {}, {3: [1, 2], 12: [3, 4]}, {"shop": [3, 12], "ds": [2022] * 2}, ""),
    ("a,b,2020,2021\n01,x,1,2\n1,x,3,4\n", {}, {"01/x": [1, 2], "1/x": [3, 4]},
     {"a": ["01", "1"], "b": ["x", "x"], "ds": [2022] * 2}, "Series are identified by 'a', 'b' (--id names others)."),
    ("region,lat2,2019,2020\nA,50,1,2\nB,51,2,3\n", {"id": "region"}, {"A": [1, 2], "B": [2, 3]},
     {"region": ["A", "B"], "ds": [2021] * 2}, ""),
    ("id,store,d_1,d_2,d_3\nA_1,CA,1,2,3\nA_2,CA,0,0,1\n", {"id": "id"}, {"A_1": [1, 2, 3], "A_2": [0, 0, 1]},
     {"id": ["A_1", "A_2"], "ds": [4, 4]}, "Columns such as 'd_1' are read as steps, 1 to 3."),
    ('"V1","V2","V3"\n"Y1","5","6"\n"Y2","7","8"\n', {"id": "V1"}, {"Y1": [5, 6], "Y2": [7, 8]},
     {"V1": ["Y1", "Y2"], "ds": [4, 4]}, "steps, 2 to 3"),
    ("shop;T09;T10;T11\na;1,5;2;3\n", {"id": "shop"}, {"a": [1.5, 2, 3]}, {"shop": ["a"], "ds": [12]}, ", 9 to 11"),
    ("shop,1,2,3\na,5,6,7\n", {"id": "shop"}, {"a": [5, 6, 7]}, {"shop": ["a"], "ds": [4]}, ""),
    ('"Data Source","Indicators",\n\n"Updated","2024-01-01",\n\n"Country","Code","1960","1961",\n'
     '"Aruba","ABW",,"1.5",\n"Angola","AGO","1","2",\n', {"id": "Code"}, {"ABW": [nan, 1.5], "AGO": [1, 2]},
     {"Code": ["ABW", "AGO"], "ds": [1962] * 2}, "Above the header, lines 1, 3 skipped"),
    ("Country,Code,1960,1961\nAruba,ABW,,\nAngola,AGO,1,2\n", {"id": "Code"}, {"ABW": [nan, nan], "AGO": [1, 2]},
     {"Code": ["ABW", "AGO"], "ds": [1962] * 2}, "1 series without any value: ABW"),
    ("geo;2020;2021\nFR;NA;n.a.\nDE;2;3,5\n", {}, {"FR": [nan, nan], "DE": [2, 3.5]},
     {"geo": ["FR", "DE"], "ds": [2022] * 2}, ""),
    ("GDP,in dollars\nCountry,2019,2020,2021\nA,1,2,3\nB,2,3,4\n", {}, {"A": [1, 2, 3], "B": [2, 3, 4]},
     {"Country": ["A", "B"], "ds": [2022] * 2}, "line 1 skipped"),
    ("freq,geo\\TIME\t2015-01 \t2015-02 \nM,DE\t1.1 \t: \nM,FR\t: \t2.5 \n", {},
     {"M,DE": [1.1, nan], "M,FR": [nan, 2.5]},
     {"freq,geo\\TIME": ["M,DE", "M,FR"], "ds": ["2015-03"] * 2}, ""),
    ('"";"MT_1";"MT_2";\n"2011-01-01";"1,5";"2";\n"2011-01-02";"2,5";"3";\n', {"time": "column 1"},
     {"MT_1": [1.5, 2.5], "MT_2": [2, 3]}, {"unique_id": ["MT_1", "MT_2"], "column 1": ["2011-01-03"] * 2}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options", "series", "ahead", "note"), WIDE)
def test_wide_tables_keep_the_names_of_their_series(text, options, series, ahead, note, tmp_path):
    """World Bank, Eurostat, M4, M5: ids beside dates are text as they came, numbered columns beside ids are steps."""
    got, notes, table = whole(file(tmp_path / "x.csv", text), wide=True, **options)
    assert got == {name: pytest.approx(values, nan_ok=True) for name, values in series.items()}
    assert table.astype({c: str for c in table if table[c].dtype.kind == "M"}).to_dict("list") == ahead
    assert note in notes


@pytest.mark.parametrize(
    "text",
    ["Date,1,2,3\n2024-01-01,5,6,7\n2024-01-02,5,6,7\n", "Date,s1,s2\n2024-01-01,5,6\n2024-01-02,5,6\n",
     "day;MT_001;MT_002\n20240101;1;2\n20240102;1;2\n", "item,d_1,d_3\na,1,2\n"],
)  # fmt: skip
def test_numbered_columns_may_be_series(text, tmp_path):
    """Without id or time, columns such as 1, 2, 3 may be shops: nothing is turned round by a guess."""
    with pytest.raises(InputError, match="Name the time column with time, or with id"):
        whole(file(tmp_path / "x.csv", text), wide=True)


# -- text and JSON

TITLES = ["Report;2024\nds;y\n1;5\n2;6\n", "Made on;2024-01-31;\nds;y;z\n1;5;1\n2;6;1\n", "12;34\nds;y\n1;5\n2;6\n"]


@pytest.mark.parametrize("text", TITLES)
def test_a_title_with_numbers_is_no_header(text, tmp_path):
    """A title may have as many fields as the rows, and a date in it: the words below it are the header."""
    series, notes, _ = whole(file(tmp_path / "x.csv", text))
    assert series == {"y": [5, 6]}
    assert "Above the header, line 1 skipped" in notes


TEXTS = [  # text, values
    ("ds y\n2024-01-01 0.5\n2024-01-02 1.5\n", [0.5, 1.5]),
    ("ds           y\n2024-01-01   1\n2024-01-02  12 \n", [1, 12]),
    ("  ds y  z\n1 5 a\n2 6 b\n", [5, 6]),
    ("# made by hand\nds y\n1 5\n2 6\n", [5, 6]),
    ("ds;y\n2024-01-01;1,5;;\n2024-01-02;2,5;;\n", [1.5, 2.5]),
    ("ds,y\n1,5,\n2,6,\n", [5, 6]),
    ("\ufeff\ufeffds,y\n1,5\n2,6\n", [5, 6]),
]


@pytest.mark.parametrize(("text", "values"), TEXTS)
def test_blanks_and_empty_fields_delimit(text, values, tmp_path):
    """Columns between blanks, and delimiters behind the last field of a row."""
    assert whole(file(tmp_path / "x.txt", text))[0] == {"y": values}


REFUSED = [  # text, options, the sentence
    (column("1 2 3") + "Total,6\n", {}, r"got 'Total' \(line 5\). Remove the last line, a total or a footer."),
    (column("1 2 3") + ",6\n", {}, "got none in line 5. Remove the last line, a total or a footer."),
    (column("1 2 3") + "\nSource: an office\nNotes: none\n", {}, "Remove the last 2 lines"),
    (column("1 2 3").replace(DAYS[1], ""), {}, "none in line 3. Fill it in"),
    ("ds,y\n2024-01-01,1,5\n2024-01-02,2,5\n", {}, "got 3 instead of 2. Name every column .* that have ','"),
    ("ds,y\n2024-01-01,1\n2024-01-02,2,5\n", {}, r"Expected 2 fields in line 3, saw 3. Name every column"),
    ('ds,y\n1,2024-01-01,5\n2,2024-01-02,6\n', {}, "got 3 instead of 2"),
    ("дата;y\n1;2\n2;3\n".encode("cp1251"), {"time": "дата"}, "--encoding names it"),
    ("日付,y\n1,2\n2,3\n".encode("big5"), {"time": "日付"}, "--encoding"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options", "message"), REFUSED)
def test_what_stands_beside_the_rows_is_refused_by_its_cause(text, options, message, tmp_path):
    """Totals and footers, rows longer than the header, other encodings: each says what to do."""
    with pytest.raises(InputError, match=message):
        whole(file(tmp_path / "x.csv", text), **options)


ROWS = [{"ds": "2024-01-01", "y": 1.5}, {"ds": "2024-01-02", "y": 2.5}]
JSON = {
    "rows by number": (pd.DataFrame(ROWS).to_json(orient="index"), ""),
    "keys in any order": ('{"ds": {"1": "2024-01-02", "0": "2024-01-01"}, "y": {"0": 1.5, "1": 2.5}}', ""),
    "keys by name": ('{"ds": {"a": "2024-01-01", "b": "2024-01-02"}, "y": {"b": 2.5, "a": 1.5}}', ""),
    "results": (json.dumps({"count": 2, "next": None, "results": ROWS}), "The records under 'results' are read."),
    "values": (json.dumps({"meta": {"symbol": "A"}, "values": ROWS}), "The records under 'values' are read."),
    "items": (json.dumps({"items": ROWS, "tags": ["a"]}), "The records under 'items' are read."),
}


@pytest.mark.parametrize("case", JSON)
def test_json_joins_values_by_their_keys(case, tmp_path):
    """The values of a column belong to its keys, in whatever order; the one list of records is found by itself."""
    text, note = JSON[case]
    series, notes, _ = whole(file(tmp_path / "x.json", text))
    assert series == {"y": [1.5, 2.5]}
    assert note in notes


def test_json_of_several_tables_or_rows_is_refused(tmp_path):
    """Two lists of records, and columns of other rows, are no table."""
    for text in (json.dumps({"a": ROWS, "b": ROWS}), '{"ds": {"0": 1, "1": 2}, "y": {"0": 1, "2": 2}}',
                 '{"status": "success", "data": {"result": [1]}}'):  # fmt: skip
        with pytest.raises(
            InputError, match=r"an object of something else|columns of the same rows|the columns 'a', 'b'"
        ):
            whole(file(tmp_path / "x.json", text))


# -- workbooks, archives and frames

BOOK = [[day, k + 0.5] for k, day in enumerate(DAYS)]
BOOKS = [  # sheets, options
    ({"Data": [[None, "ds", "y"], *([k, *row] for k, row in enumerate(BOOK))]}, {}),
    ({"Data": [["ds", None, "y"], *([day, "z", y] for day, y in BOOK)]}, {}),
    ({"Data": [["ds", "y", None], *([day, y, "a note" if k == 3 else None] for k, (day, y) in enumerate(BOOK))]}, {}),
    ({"Data": [["Sales", None, "Price"], ["ds", "y", "p"], *([*row, 1] for row in BOOK)]}, {}),
    ({"Data": [["Made on", 45292], [], ["ds", "y", "p"], *([*row, 1] for row in BOOK)]}, {}),
    ({"Old": [["ds", "y"], ["2020-01-01", 1]], "Data": [["ds", "y"], *BOOK]}, {"hidden": ("Old",)}),
]


@pytest.mark.parametrize(("sheets", "options"), BOOKS)
def test_the_header_of_a_sheet_stands_above_its_values(sheets, options, tmp_path):
    """pandas' own index without a name, columns without names, titles of several cells, hidden sheets."""
    pytest.importorskip("python_calamine")
    assert whole(file(tmp_path / "x", workbook(**options, **sheets)))[0] == {"y": [y for _, y in BOOK]}


def test_sheets_with_dates_across_and_names_of_any_kind(tmp_path):
    """Years as numbers are names of columns, below a title of as many words; NA is a name of a series."""
    pytest.importorskip("python_calamine")
    rows = [["GDP by", "country"], ["geo", 2020, 2021, 2022], ["NA", 1, 2, 3], ["007", 2, 3, 4]]
    series, _, ahead = whole(file(tmp_path / "x", workbook(Data=rows)), wide=True, id="geo")
    assert series == {"NA": [1, 2, 3], "007": [2, 3, 4]}
    rows = [["geo", "code", 2020, 2021], ["Aruba", "AW", None, None], ["Angola", "AO", 1, 2]]
    assert whole(file(tmp_path / "y", workbook(Data=rows)), wide=True, id="code")[0]["AO"] == [1, 2]
    assert ahead["geo"].tolist() == ["NA", "007"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [([["ds", "Sales", None], [None, "a", "b"], *([day, 1, 2] for day in DAYS)], "row 2: .* got 'a', 'b'"),
     ([["ds", "y"], ["-", "kWh"], *BOOK], "got '-', 'kWh'. Remove this row"),
     ([["Title"], ["ds", "y", "y"], *([*row, 1] for row in BOOK)], "row 2: .* different .* 'y' twice"),
     ([["ds", "y"], *BOOK, ["Total", 5]], r"\(row 12\). Remove the last row, a total or a footer.")],
)  # fmt: skip
def test_rows_of_a_sheet_that_are_none_are_refused(rows, message, tmp_path):
    """A second header, units, a name twice and totals: one sentence with the row as Excel counts it."""
    pytest.importorskip("python_calamine")
    with pytest.raises(InputError, match=message):
        whole(file(tmp_path / "x", workbook(Data=rows)))


@pytest.mark.parametrize("others", [{"empty.txt": ""}, {".DS_Store": "x"}, {"__MACOSX/._a": "x", "a/.b": "y"}, {}])
def test_an_archive_of_one_table_may_hold_what_is_none(others, tmp_path):
    """Empty and hidden members are no tables."""
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        for name, text in {**others, "t.csv": column("1 2 3")}.items():
            archive.writestr(name, text)
    assert whole(file(tmp_path / "x.zip", out.getvalue()))[0] == {"y": [1, 2, 3]}


def test_columns_of_several_levels_are_one_name_each():
    """A frame with levels of columns is wide: its series are named by their levels."""
    days = pd.DatetimeIndex(DAYS[:3], name="ds")
    data = pd.DataFrame([[1.0, 2], [3, 4], [5, 6]], days, pd.MultiIndex.from_product([["s"], ["a", "b"]]))
    assert whole(data, wide=True)[0] == {"s/a": [1, 3, 5], "s/b": [2, 4, 6]}
