"""Files and frames to panels: what is handled, what is refused, and that each refusal names the rows."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pd = pytest.importorskip("pandas")

from gated._check import InputError  # noqa: E402
from gated.features import calendar  # noqa: E402
from gated.io.tables import read  # noqa: E402
from gated.tasks.forecast.frame import join, panel  # noqa: E402
from gated.tasks.forecast.horizon import future_times, read_known, read_truth, to_frame  # noqa: E402
from gated.tasks.forecast.schema import Schema, infer  # noqa: E402


def daily(n=6, start="2024-01-01", freq="D", **columns):
    return pd.DataFrame({"ds": pd.date_range(start, periods=n, freq=freq), "y": np.arange(float(n)), **columns})


def whole(source, **options):
    """A source all the way: its schema, panel and notes."""
    frame = read(source, id=options.get("id"))
    schema = infer(frame, **options)
    return schema, *panel(frame, schema)


def csv(tmp_path: Path, text: str | bytes, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# -- sources


@pytest.mark.parametrize("kind", ["csv", "parquet", "csv.gz", "pandas", "arrow", "polars", "lazy", "indexed"])
def test_every_source_gives_the_same_panel(kind, tmp_path):
    """CSV, Parquet, gzip, pandas, polars and an indexed frame of the same data are the same panel."""
    frame = pd.concat([daily(5, unique_id="a"), daily(8, unique_id="b")], ignore_index=True)
    if kind in {"csv", "csv.gz"}:
        frame.to_csv(source := tmp_path / f"x.{kind}", index=False)
    elif kind == "parquet":
        frame.to_parquet(source := str(tmp_path / "x.parquet"))
    elif kind in {"polars", "lazy"}:
        pl = pytest.importorskip("polars")
        source = pl.from_pandas(frame) if kind == "polars" else pl.from_pandas(frame).lazy()
    else:
        source = frame.set_index("ds") if kind == "indexed" else frame
        source = frame.convert_dtypes(dtype_backend="pyarrow") if kind == "arrow" else source
    schema, actual, notes = whole(source)
    assert list(actual.ids) == ["a", "b"]
    assert actual.offsets.tolist() == [0, 5, 13]
    assert actual.y.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7]
    assert (actual.times[5:] == frame.ds[5:].to_numpy()).all()
    assert schema.freq == actual.freq == "D"
    assert list(notes) == ["2 series, 13 rows, frequency D, 2024-01-01 to 2024-01-08."]


@pytest.mark.parametrize(
    "text",
    [
        "ds;y;price\n2024-01-01;1,5;1\n2024-01-02;2,5;2\n2024-01-03;1003,5;3\n",
        "ds\ty\tprice\n2024-01-01\t1.5\t1\n2024-01-02\t2.5\t2\n2024-01-03\t1003.5\t3\n",
        "\ufeffds,y,price\n2024-01-01,1.5,1\n2024-01-02,2.5,2\n2024-01-03,1003.5,3\n",
        'ds, y ,price\n2024-01-01, 1.5,1\n2024-01-02, 2.5,2\n2024-01-03, "1,003.5",3\n\n',
        "\n\nds|y|price\r\n2024-01-01|1.5|1\r\n\r\n2024-01-02|2.5|2\r\n2024-01-03|1003.5|3\r\n",
        "ds,y,price\n01/13/2024,1.5,1\n01/14/2024,2.5,2\n01/15/2024,1003.5,3\n",
        "ds,y,price\n1/30/2024 1:00 PM,1.5,1\n1/31/2024 1:00 PM,2.5,2\n2/1/2024 1:00 PM,1003.5,3\n",
        "ds;y;price\n30-Jan-24;1,5;1\n31-Jan-24;2,5;2\n1-Feb-24;1.003,5;3\n",
        "ds,y,price\n31.01.2024,1.5,1\n01.02.2024,2.5,2\n02.02.2024,1003.5,3\n",
        "ds,y,price\n20240130,1.5,1\n20240131,2.5,2\n20240201,1003.5,3\n",
        "ds\ty\tprice\n2024-01-01\t1.5\t1\n2024-01-02\t2.5\t2\n2024-01-03\t1003.5\t3\n".encode("utf-16"),
    ],
    ids=[
        "semicolon",
        "tab",
        "bom",
        "spaces and thousands",
        "blank lines",
        "month first",
        "of the clock",
        "month names",
        "day first",
        "digits",
        "utf-16",
    ],
)
def test_csv_dialects_are_recognised(text, tmp_path):
    """Delimiters, decimal commas, thousands, byte order marks, blank lines and date orders need no option."""
    _, actual, notes = whole(csv(tmp_path, text), known=["price"])
    assert actual.y.tolist() == [1.5, 2.5, 1003.5]
    assert actual.known[:, 0].tolist() == [1, 2, 3]
    assert actual.freq == "D"
    assert not [note for note in notes if "missing" in note or "order" in note]


def test_a_decimal_comma_survives_words_beside_it(tmp_path):
    """In a `;` file 1.234 is a thousand beside 1,5, and an error names only what is no number."""
    _, actual, _ = whole(csv(tmp_path, "ds;y;c\n1;1,5;a\n2;1.234;b\n3;-2.345,5;1,5\n"), past=["c"])
    assert actual.y.tolist() == [1.5, 1234, -2345.5]
    _, actual, _ = whole(csv(tmp_path, "ds;y;lat\n1;1,5;0.25\n2;2,5;1.234\n"), known=["lat"])
    assert actual.y.tolist() == [1.5, 2.5]
    assert actual.known[:, 0].tolist() == [0.25, 1.234]
    with pytest.raises(InputError, match=r"got 'x' \(line 3\)\."):
        whole(csv(tmp_path, "ds;y\n1;1,5\n2;x\n"))


def test_names_with_leading_zeros_and_na_stay_text(tmp_path):
    """Series "007" and "NA" keep their names; plain integers come back as integers."""
    _, actual, _ = whole(csv(tmp_path, "unique_id,ds,y\n007,1,1\n007,2,2\nNA,1,1\nNA,2,3\n"))
    assert actual.ids.tolist() == ["007", "NA"]
    _, actual, _ = whole(csv(tmp_path, "unique_id,ds,y\n7,1,1\n7,2,2\n10,1,1\n10,2,3\n"))
    assert actual.ids.tolist() == [7, 10]


# -- frequency


@pytest.mark.parametrize(
    "freq",
    [
        "D", "2D", "B", "h", "6h", "15min", "30min", "s", "W-SUN", "W-WED", "2W-FRI", "MS", "ME", "2MS", "BME", "BMS",
        "QS", "QS-FEB",
        "QE", "QE-NOV", "YS", "YS-JUL", "YE", "YE-JUN", "5YS",
    ],
)  # fmt: skip
def test_a_frequency_is_inferred_and_continued_as_pandas_does(freq):
    """The alias comes back, and the next steps are those of pandas' own date_range; with a gap as well."""
    times = pd.date_range("2021-02-03", periods=30, freq=freq)
    frame = pd.DataFrame({"ds": times[:20], "y": 1.0}).drop(index=[7, 12, 13])
    schema, actual, notes = whole(frame)
    assert schema.freq == freq
    assert "3 steps without a row: treated as missing." in notes
    assert (actual.times == times[:20].to_numpy()).all()
    assert (future_times(actual, 10)[0] == times[20:].to_numpy()).all()
    assert np.isnan(actual.y[[7, 12, 13]]).all()
    assert calendar.name(calendar.parse(freq), times[0]) == freq


@pytest.mark.parametrize("day", [15, 28])
def test_months_may_be_stamped_on_any_day_and_hour(day):
    """Monthly data of the 15th at six o'clock go on at the 15th at six."""
    times = pd.date_range("2023-01-01 06:00", periods=14, freq="MS") + pd.Timedelta(days=day - 1)
    schema, actual, _ = whole(pd.DataFrame({"ds": times[:12], "y": 1.0}))
    assert schema.freq == "MS"
    assert (future_times(actual, 2)[0] == times[12:].to_numpy()).all()


@pytest.mark.parametrize("step", [1, 7])
def test_integer_times_have_a_step(step):
    """Integer times keep their type and their step, from any start."""
    schema, actual, notes = whole(pd.DataFrame({"ds": [3, 3 + step, 3 + 3 * step], "y": 1.0}))
    assert schema.freq == str(step)
    assert actual.times.dtype == np.int64
    assert future_times(actual, 2).tolist() == [[3 + 4 * step, 3 + 5 * step]]
    assert "1 step without a row: treated as missing." in notes


def test_the_frequency_comes_from_all_series():
    """A series with long gaps takes the step of the others; a single row is a series too."""
    frame = pd.concat([daily(9, unique_id="a"), daily(3, unique_id="b", freq="2D"), daily(1, unique_id="c")])
    schema, actual, notes = whole(frame)
    assert schema.freq == "D"
    assert actual.lengths.tolist() == [9, 5, 1]
    assert "2 steps without a row: treated as missing." in notes


def test_freq_may_be_given_and_old_aliases_are_understood():
    """With freq the gaps are meant: days that a regular weekly series lacks are inserted."""
    frame = daily(6, freq="W-MON")
    assert whole(frame, freq="D")[1].lengths.tolist() == [36]
    assert whole(frame, freq="H")[0].freq == "h"
    assert whole(frame, freq="W")[0].freq == "W-MON"
    assert calendar.parse("M") == calendar.parse("ME")
    assert calendar.parse("15T") == calendar.parse("15min")


# -- times of every kind come back as they came


@pytest.mark.parametrize(
    "times",
    [
        pd.date_range("2024-03-29", periods=6, freq="h", tz="Europe/Madrid") + pd.Timedelta("2D"),
        pd.date_range("2024-03-29", periods=6, freq="D", tz="Europe/Madrid"),
        pd.date_range("2024-03-29", periods=6, freq="D").date,
        [20240227, 20240228, 20240229, 20240301, 20240302, 20240303],
        list(range(6)),
        pd.date_range("2024-03-29", periods=6, freq="D"),
    ],
    ids=["zone, hours", "zone, days", "dates", "digits", "integers", "datetimes"],
)
def test_times_come_back_as_they_came(times):
    """The forecast's times have the kind, the zone and the step of the data's, also over a change of clocks."""
    frame = pd.DataFrame({"when": times, "v": 1.0, "who": 3})
    first, rest = frame[:4], frame[4:]
    schema, actual, notes = whole(first, time="when", target="v", id="who")
    assert not any("without a row" in note for note in notes)
    got = to_frame(schema, actual, {"median": np.ones((1, 2)), "q0.1": np.ones((1, 2))})
    assert list(got) == ["who", "when", "median", "q0.1"]
    assert got["when"].tolist() == rest["when"].tolist()
    assert got["who"].tolist() == [3, 3]
    assert read_truth(read(rest), schema, actual, 3).tolist()[0][:2] == [1, 1]


def test_zones_in_text_are_read_as_instants(tmp_path):
    """Offsets that change in summer make one clock; daily midnights of a zone stay days."""
    hours = pd.date_range("2024-03-31", periods=5, freq="h", tz="Europe/Madrid")
    text = "ds,y\n" + "".join(f"{t.isoformat()},1\n" for t in hours)
    schema, actual, notes = whole(csv(tmp_path, text))
    assert (schema.freq, schema.kind) == ("h", "utc")
    assert not any("without a row" in note for note in notes)
    assert (actual.times == hours.tz_convert("UTC").tz_localize(None).to_numpy()).all()
    days = pd.date_range("2024-03-29", periods=5, freq="D", tz="Europe/Madrid")
    schema, actual, _ = whole(csv(tmp_path, "ds,y\n" + "".join(f"{t.isoformat()},1\n" for t in days)))
    assert (schema.freq, schema.kind) == ("D", "local")


# -- what is handled and reported


def test_gaps_missing_values_and_disorder_are_reported():
    """Rows are sorted, lacking steps inserted as NaN, and the report says how many of each."""
    frame = pd.concat([daily(9, unique_id="a").drop(index=4), daily(9, unique_id="b", y=5.0)], ignore_index=True)
    frame.loc[2, "y"] = np.nan
    schema = infer(read(frame))
    again = read(frame.iloc[[1, 0, *range(2, len(frame))]])
    actual, notes = panel(again, schema, context=10)
    np.testing.assert_array_equal(actual.y[:9], [0, 1, np.nan, 3, np.nan, 5, 6, 7, 8])
    assert list(notes[1:]) == [
        "1 row out of order: sorted by time.",
        "1 step without a row: treated as missing.",
        "1 row without a value: treated as missing.",
        "1 constant series: b.",
        "2 series shorter than the context of 10 steps: a, b.",
    ]


@given(
    freq=st.sampled_from(["D", "B", "30min", "W-THU", "ME", "QS", "1", "5"]),
    lengths=st.lists(st.integers(12, 30), min_size=1, max_size=4),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=30, deadline=None)
def test_rows_lost_and_shuffled_leave_the_same_clock(freq, lengths, seed):
    """Whatever rows are missing and in whatever order, each value lies at its time and the rest are NaN."""
    rng = np.random.default_rng(seed)
    parts, masks = [], []
    for k, n in enumerate(lengths):
        times = np.arange(n) * int(freq) if freq.isdigit() else pd.date_range("2023-01-05", periods=n, freq=freq)
        parts.append(pd.DataFrame({"unique_id": f"s{k}", "ds": times, "y": rng.standard_normal(n)}))
        lost = rng.permutation(np.arange(1, n - 1))[: n // 4]
        masks.append(~np.isin(np.arange(n), lost))
    full, mask = pd.concat(parts, ignore_index=True), np.concatenate(masks)
    schema = infer(read(full))
    assert schema.freq == freq
    some = full[mask].sample(frac=1, random_state=seed)
    actual, notes = panel(read(some), schema)
    count = int((~mask).sum())
    assert any(note.startswith(f"{count} step") and "without a row" in note for note in notes)
    for n, name in enumerate(actual.ids):
        rows = (full.unique_id == name).to_numpy()
        assert (actual.times[actual.series(n)] == full.ds[rows].to_numpy()).all()
        np.testing.assert_array_equal(actual.y[actual.series(n)], np.where(mask, full.y, np.nan)[rows])


def test_series_that_end_without_a_value_are_reported():
    """Rows at the end without a value are steps of the past: the forecast begins after them, and the report says so."""
    frame = daily(5)
    frame.loc[3:, "y"] = np.nan
    _, actual, notes = whole(frame)
    ends = "1 series ends without a value: y. The forecast begins after the last row."
    assert ends in notes
    assert str(future_times(actual, 1)[0, 0]).startswith("2024-01-06")


def test_rows_interleaved_by_time_are_not_out_of_order():
    """Data sorted by time, then series, are sorted."""
    frame = pd.concat([daily(5, unique_id="b"), daily(5, unique_id="a")]).sort_values("ds", kind="stable")
    _, actual, notes = whole(frame)
    assert not any("out of order" in note for note in notes)
    assert actual.ids.tolist() == ["b", "a"]


def test_covariates_are_numbers_or_categories_and_unknown_ones_are_zero():
    """A category is a column a value; unknown values are all zero and reported, missing ones NaN; gaps are NaN."""
    frame = daily(
        5,
        price=[1, 2, np.nan, 4, 5],
        sky=["sun", "rain", None, "sun", "sun"],
        shop="x",
        open=[True, False] * 2 + [True],
    )
    schema = infer(read(frame), past=["sky"], known=["price", "open"], static=["shop"])
    assert schema.names("past") == ["sky=rain", "sky=sun"]
    assert schema.names("known") == ["price", "open"]
    actual, _ = panel(read(frame.drop(index=3)), schema)
    nan = np.nan
    np.testing.assert_array_equal(actual.past, [[0, 1], [1, 0], [nan, nan], [nan, nan], [0, 1]])
    np.testing.assert_array_equal(actual.known, [[1, 1], [2, 0], [nan, 1], [nan, nan], [5, 1]])
    assert actual.static.tolist() == [[1]]
    changed, notes = panel(read(frame.assign(sky="fog", shop="z")), schema)
    assert [note.partition(" has unknown")[0] for note in notes[1:]] == ["Column 'sky'", "Column 'shop'"]
    assert (changed.past == 0).all()
    assert changed.static.tolist() == [[0]]
    assert any("unknown" in note and "fog" in note for note in notes)


def test_a_category_of_integers_survives_a_gap_in_its_column():
    """Categories 1, 2, A are the same when a new file holds only 1, 2 and a missing value."""
    schema = infer(read(daily(3, k=["1", "2", "A"])), past=["k"])
    actual, _ = panel(read(daily(3, k=[1.0, np.nan, 2.0])), schema)
    np.testing.assert_array_equal(actual.past, [[1, 0, 0], [np.nan] * 3, [0, 1, 0]])


def test_a_schema_survives_json():
    """A schema is plain JSON and makes the same panel from it."""
    frame = read(daily(5, unique_id="a", sky=["x", "y"] * 2 + ["x"]))
    schema = infer(frame, known=["sky"])
    again = Schema(**json.loads(json.dumps(dataclasses.asdict(schema))))
    assert again == schema
    np.testing.assert_array_equal(panel(frame, again)[0].known, panel(frame, schema)[0].known)


@pytest.mark.parametrize(
    "damage",
    [
        {"freq": 5},
        {"freq": "fortnight"},
        {"time": None},
        {"kind": "sundial"},
        {"ids": "float"},
        {"past": {"a": "b"}},
        {"zone": 1},
    ],
)
def test_a_damaged_schema_is_refused(damage):
    """A schema read from a file is checked before it is used: one error, whatever is wrong in it."""
    good = dataclasses.asdict(infer(read(daily(5))))
    with pytest.raises((InputError, TypeError), match="chema"):  # TypeError: shapes and types are checked in tests
        Schema(**{**good, **damage})


def test_join_continues_series_and_adds_new_ones():
    """A panel cut in two and joined is the whole again; later values replace earlier ones, but NaN replaces nothing."""
    frame = pd.concat([daily(9, unique_id="a", p=1.0), daily(7, unique_id="b", p=2.0)], ignore_index=True)
    schema = infer(read(frame), past=["p"])
    full = panel(read(frame), schema)[0]
    head, tail = frame[frame.ds < "2024-01-05"], frame[(frame.ds >= "2024-01-05") & (frame.ds != "2024-01-06")]
    joined = join(panel(read(head), schema)[0], panel(read(tail), schema)[0])
    gap = np.array([5, 14])
    assert np.isnan(joined.y[gap]).all()
    rest = np.setdiff1d(np.arange(16), gap)
    for name in ("y", "past", "times"):
        np.testing.assert_array_equal(getattr(joined, name)[rest], getattr(full, name)[rest])
    news = pd.concat([daily(3, unique_id="c", p=0.0), daily(2, unique_id="a", p=0.0)], ignore_index=True).assign(
        y=[9, 9, 9, 50, np.nan]
    )
    more = join(full, panel(read(news), schema)[0])
    assert more.ids.tolist() == ["a", "b", "c"]
    assert more.y[more.series(0)][:3].tolist() == [50, 1, 2]


def test_known_future_takes_its_rows_from_any_order_and_names_the_lacking():
    """Future covariates are placed by series and time; the error lists each series and time without a row."""
    frame = pd.concat([daily(9, unique_id=u, price=np.arange(9.0) * k) for u, k in [("a", 1), ("b", 10)]])
    schema = infer(read(frame), known=["price"])
    actual, _ = panel(read(frame[frame.ds < "2024-01-07"]), schema)
    got = read_known(read(frame.sample(frac=1, random_state=0)), schema, actual, 3)
    assert got[..., 0].tolist() == [[6, 7, 8], [60, 70, 80]]
    lacking = frame[(frame.unique_id == "a") | (frame.ds != "2024-01-08")]
    with pytest.raises(InputError, match=r"next 3 steps.*none for b at 2024-01-08"):
        read_known(read(lacking), schema, actual, 3)
    with pytest.raises(InputError, match="'unique_id', 'ds', 'price'"):
        read_known(None, schema, actual, 3)


# -- what is refused, naming the rows

ROWS = "ds,y\n2024-01-01,1\n2024-01-02,2\n"
REFUSED = {
    "text in the target": (ROWS + "2024-01-03,abc\n2024-01-04,b.c.\n", {}, r"got 'abc' \(line 4\), 'b.c.' \(line 5\)"),
    "infinity": (ROWS + "2024-01-03,inf\n", {}, r"finite numbers, got inf \(line 4\)"),
    "a time twice": (ROWS + "2024-01-02,3\n", {}, r"each time once.*2024-01-02 in lines 3, 4"),
    "a bad date": (ROWS + "2024-13-03,3\n", {}, r"'2024-13-03' \(line 4\)"),
    "a missing date": (ROWS + ",3\n", {}, "none in line 4"),
    "a year out of range": (ROWS + "2900-01-01,3\n", {}, r"1678 to 2261, got '2900-01-01' \(line 4\)"),
    "dates of two readings": ("ds,y\n01/02/2024,1\n02/02/2024,1\n", {}, "day or month first"),
    "a zone in some rows": ("ds,y\n2024-01-01T00:00Z,1\n2024-01-01T01:00,1\n", {}, "in none, got none in line 3"),
    "an unknown column": (ROWS, {"target": "qty"}, "one of the columns 'ds', 'y', got 'qty'"),
    "a misspelt column": ("Date,sales\n2024-01-01,1\n", {"time": "Date", "target": "slaes"}, "Did you mean 'sales'"),
    "a default column": ("date,y\n2024-01-01,1\n", {}, "got 'ds'. Did you mean 'date'"),
    "no header": ("2024-01-01,1\n2024-01-02,2\n", {}, "lack a header"),
    "a column in two roles": (ROWS, {"known": ["y"]}, "the target column already"),
    "an empty file": ("", {}, "an empty file"),
    "only a header": ("ds,y\n", {}, "at least one row"),
    "no value": ("ds,y\n2024-01-01,\n2024-01-02,\n", {}, "no value in any row"),
    "one row": ("ds,y\n2024-01-01,1\n", {}, "at least two times"),
    "an irregular clock": ("ds,y\n1,1\n3,1\n5,1\n7,1\n8,1\n10,1\n", {}, "most frequent step is 2.*line 6"),
    "a missing id": ("unique_id,ds,y\na,1,1\n,2,1\na,3,1\n", {}, "a series in every row, got none in line 3"),
    "too many fields": (ROWS + "2024-01-03,3,4\n", {}, "line 4"),
    "damaged UTF-8": ((ROWS + "2024-01-03,é€\n").encode() + b"2024-01-04,\xff\n", {}, "the byte 0xff in line 5"),
    "binary": (b"ds,y\n\0\0\0", {}, "binary"),
    "a decimal freq": (ROWS, {"freq": "fortnight"}, "'fortnight'"),
    "freq of the other kind": (ROWS, {"freq": "1"}, "a frequency of dates"),
    "off the clock": (ROWS + "2024-01-03T05:00,1\n", {"freq": "D"}, "others in line 4"),
    "too many categories": ("ds,y,c\n" + "".join(f"{k},1,v{k}\n" for k in range(300)), {"past": ["c"]}, "300 diff"),
    "a static that changes": ("ds,y,c\n1,1,u\n2,1,v\n", {"static": ["c"]}, r"the series 'y', got 'v' \(line 3\)"),
    "steps that differ": (
        "unique_id,ds,y\n" + "".join(f"{u},{d * k},1\n" for u, k in [("a", 1), ("b", 7)] for d in range(8)), {},
        "1 unit in 'a' and 7 units in 'b'",
    ),
    "a gap of centuries": (
        "ds,y\n1700-01-01T00:00,1\n1700-01-01T01:00,1\n2200-01-01,2\n", {}, "4,38.,... steps.*gap between lines 3, 4"
    ),
    "a gap of integers": ("ds,y\n1,1\n2,1\n2000000000000000000,2\n", {}, "longest gap between lines 3, 4"),
    "too large an integer": ("ds,y\n1,1\n2,1\n9200000000000000000,2\n", {}, r"below 2\*\*61.*line 4"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_refused_with_its_rows(case, tmp_path):
    """Each mistake in a file is one InputError that names the line, the value and what was expected."""
    text, options, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        whole(csv(tmp_path, text), **options)


def test_months_on_irregular_days_are_refused():
    """Monthly readings of varying days have no clock, and the error says where."""
    with pytest.raises(InputError, match=r"regular clock.*Correct or resample"):
        whole(pd.DataFrame({"ds": pd.to_datetime(["2024-01-03", "2024-02-05", "2024-03-02", "2024-04-09"]), "y": 1.0}))


def test_new_data_must_hold_times_of_the_same_kind():
    """Integers where the schema has dates are refused, and so is a file of another sort or none at all."""
    schema, actual, _ = whole(daily(5))
    with pytest.raises(InputError, match=r"as they were when fitted \(datetime\), got integer"):
        panel(read(pd.DataFrame({"ds": [1, 2], "y": 1.0})), schema)
    with pytest.raises(InputError, match="in the 3 steps after 2024-01-05"):
        read_truth(read(daily(5)), schema, actual, 3)
    for source in ["nothing.csv", 7]:
        with pytest.raises(InputError, match="expected a"):
            read(source)


def test_rows_of_a_frame_are_counted_from_zero():
    """A frame's rows are named by position, whatever its index."""
    with pytest.raises(InputError, match=r"'x' \(row 2\)"):
        whole(daily(3).assign(y=[1, 2, "x"]).set_axis([7, 8, 9]))
