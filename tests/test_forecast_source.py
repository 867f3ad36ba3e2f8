"""Tables all the way to a forecast: several ids, wide tables, names like ours, what a run remembers and notes."""

import dataclasses
import json

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from gated import forecast  # noqa: E402
from gated._check import InputError  # noqa: E402
from gated.tasks.forecast import frame, source  # noqa: E402
from gated.tasks.forecast.horizon import to_frame  # noqa: E402
from gated.tasks.forecast.schema import Schema, infer, numeric  # noqa: E402
from gated.tasks.forecast.task import Config  # noqa: E402

DAYS = [f"2024-01-{d:02}" for d in range(1, 31)]


def whole(data, **options):
    """A source to its schema, panel and all notes, without a fit."""
    config = Config(horizon=2, **options)
    rows = source.read(data, config)
    schema = infer(rows, time=config.time, target=config.target, id=rows.attrs.get("id", config.id),
                         past=config.past, known=config.known)  # fmt: skip
    panel, notes = frame.panel(rows, schema)
    return schema, panel, (*notes, *source.notes_of(rows, numeric(schema)))


def fit(data, **options):
    return forecast.fit(data, progress=False, **{"horizon": 2, "steps": 2, **options})


def text(*columns, header, delimiter=","):
    return "\n".join([header, *map(delimiter.join, zip(*columns, strict=True))]) + "\n"


def file(path, content):
    path.write_text(content)
    return str(path)


@pytest.fixture(scope="module")
def fitted():
    return fit(pd.DataFrame({"ds": DAYS, "y": np.arange(30.0)}))


# -- what the run remembers


def test_the_notation_of_the_history_reads_what_is_doubtful_later(tmp_path):
    """A history with decimal commas makes 10.061 a thousand in later files; a history of points makes it a decimal."""
    values = {",": [f"{1000 + k}".replace("1", "1.", 1) + ",5" for k in range(30)], ".": [f"{k}.25" for k in range(30)]}
    later = file(tmp_path / "later.csv", "ds;y\n2024-01-31;10.061\n2024-02-01;9.196\n")
    for decimal, expected in ((",", [10061, 9196]), (".", [10.061, 9.196])):
        data = file(tmp_path / "x.csv", text(DAYS, values[decimal], header="ds;y", delimiter=";"))
        schema, _, _ = whole(data)
        again = Schema(**json.loads(json.dumps(dataclasses.asdict(schema))))
        assert again.decimals == {"y": decimal}
        rows = source.read(later, Config(horizon=2), again.decimals)
        assert frame.panel(rows, again)[0].y.tolist() == expected


def test_options_of_reading_belong_to_the_run(tmp_path):
    """decimal and missing of the fit are those of predict and score."""
    data = file(
        tmp_path / "x.csv",
        text(DAYS, [f"{10 + k % 7}.025" for k in range(29)] + ["gone"], header="ds;y", delimiter=";"),
    )
    with pytest.raises(InputError, match=r"got '10.025', which may be 10.025 or 10025. Say .* --decimal"):
        fit(data)
    run = fit(data, decimal=",", missing=("gone",))
    assert np.nanmax(run.panel.y) == 16025
    run.save(tmp_path / "run")
    run = forecast.load(tmp_path / "run")
    later = file(tmp_path / "later.csv", "ds;y\n2024-01-31;10.061\n2024-02-01;gone\n")
    table = run.predict(later)
    assert (
        "'gone' (1): treated as missing" in " ".join(table.attrs["notes"])
        or run.extend(run._read(later)).y[-2] == 10061
    )
    assert table["ds"].astype(str).tolist() == ["2024-02-02", "2024-02-03"]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["oops"], r"got 'oops' \(line 31\)\. .*--missing"),
     (["off", "n.v.", "on"], r"'off' \(line 29\), 'on' \(line 31\)"),
     (["12:30"], r"'12:30' \(line 31\)")],
)  # fmt: skip
@pytest.mark.parametrize("role", ["target", "past"])
def test_words_among_numbers_are_named_with_the_option(words, message, role, tmp_path):
    """A few words in a column of numbers are an error in the target and in covariates alike."""
    values = [f"{k}.5" for k in range(30 - len(words))] + words
    data = file(tmp_path / "x.csv", text(DAYS, values, ["1", "2", "3"] * 10, header="ds,v,z"))
    with pytest.raises(InputError, match=message):
        whole(data, **({"target": "v"} if role == "target" else {"target": "z", "past": ("v",)}))


def test_categories_of_digits_and_words_stay_categories(tmp_path):
    """Few different numbers beside words are names."""
    schema, _, _ = whole(
        file(tmp_path / "x.csv", text(DAYS, ["1"] * 30, ["1", "2", "A"] * 10, header="ds,y,k")), past=("k",)
    )
    assert schema.past == {"k": ["1", "2", "A"]}


# -- series


@pytest.mark.parametrize(
    ("shops", "products", "dtypes"),
    [(["north", "south"], [7, 8], "Oi"), (["a/b", "a"], ["c", "b/c"], "OO"), (["007", "7"], ["x\\", "\\/"], "OO"),
     ([1, 2], [3, 4], "ii")],
)  # fmt: skip
def test_series_of_several_columns_are_answered_in_them(shops, products, dtypes, tmp_path):
    """id of two columns: a series each pair, and the forecast has both columns as they came."""
    rows = [(s, p, d, k) for s in shops for p in products for k, d in enumerate(DAYS[:6])]
    data = pd.DataFrame(rows, columns=["shop", "product", "ds", "y"])
    data.to_csv(tmp_path / "x.csv", index=False)
    for given in (data, str(tmp_path / "x.csv")):
        schema, panel, _ = whole(given, id="shop,product")
        assert len(panel) == 4
        got = to_frame(schema, panel, {"median": np.zeros((4, 2))})
        assert list(got) == ["shop", "product", "ds", "median"]
        expected = [(s, p) for s in shops for p in products for _ in range(2)]
        assert list(zip(got["shop"], got["product"], strict=True)) == expected
        assert "".join(got[name].dtype.kind for name in ("shop", "product")) == dtypes
    with pytest.raises(InputError, match=r"id: .*got 'prodct'\. Did you mean 'product'"):
        whole(data, id="shop,prodct")


def test_a_run_of_several_ids_is_saved_and_goes_on(tmp_path):
    """Saved and loaded, it continues its series from rows that name both columns."""
    rows = [(s, p, d, k) for s in "ab" for p in (7, 8) for k, d in enumerate(DAYS)]
    data = pd.DataFrame(rows, columns=["shop", "product", "ds", "y"])
    run = fit(data[data.ds < "2024-01-28"], id=["shop", "product"])
    run.save(tmp_path / "run")
    table = forecast.load(tmp_path / "run").predict(data[(data.ds >= "2024-01-28") & (data["product"] == 8)])
    assert table["shop"].tolist() == ["a", "a", "b", "b"]
    assert table["product"].tolist() == [8] * 4
    assert table["ds"].astype(str).tolist() == ["2024-01-31", "2024-02-01"] * 2
    assert forecast.load(tmp_path / "run").score(data, per=("series",))["per"]["series"]["id"][0] == "a/7"


GERMAN = ",".join(["town", *(f"{d:02}.01.2024" for d in range(1, 31))])
MONTHS = ",".join(["town", *(f"2024-{m:02}" for m in range(1, 7))])
WIDE = {
    "series across": (text(DAYS, ["1.5"] * 30, ["2"] * 30, header="date,north,south"), {"time": "date"}, "unique_id"),
    "commas": (
        text(DAYS, ["1,5"] * 30, ["2"] * 30, header="date;north;south", delimiter=";"), {"time": "date"}, "unique_id"
    ),
    "named": (text(DAYS, ["1.5"] * 30, ["2"] * 30, header="ds,north,south"), {"id": "town"}, "town"),
    "years in names": (text(DAYS, ["1.5"] * 30, ["2"] * 30, header="ds,north,south"), {}, "unique_id"),
    "dates across": (text(["north", "south"], *[["1.5", "2"]] * 30, header="town," + ",".join(DAYS)), {}, "town"),
    "days first": (
        text(["north", "south"], *[["1.5", "2"]] * 30, header=GERMAN), {"target": "sales"}, "town",
    ),
    "months across": (text(["north", "south"], *[["1.5", "2"]] * 6, header=MONTHS), {}, "town"),
}  # fmt: skip


@pytest.mark.parametrize("case", WIDE)
def test_wide_tables_are_read_by_option(case, tmp_path):
    """A column per series, or a row per series with dates across: the same rows, and an error that names the option."""
    content, options, id = WIDE[case]
    data = file(tmp_path / "x.csv", content)
    schema, panel, _ = whole(data, wide=True, **options)
    assert schema.id == id
    assert panel.ids.tolist() == ["north", "south"]
    assert sorted(set(panel.y)) == [1.5, 2]
    assert panel.freq in ("D", "MS")
    with pytest.raises(InputError, match="is read with --wide"):
        whole(data, **options)


def test_several_columns_may_name_the_series_of_dates_across(tmp_path):
    """What is no date identifies the series, in all its columns."""
    header = "town,product," + ",".join(DAYS[:5])
    data = file(tmp_path / "x.csv", text(["n", "n", "s"], ["7", "8", "7"], *[["1", "2", "3"]] * 5, header=header))
    schema, panel, _ = whole(data, wide=True)
    assert schema.id == "town,product"
    got = to_frame(schema, panel, {"median": np.zeros((3, 1))})
    assert got[["town", "product"]].to_numpy().tolist() == [["n", 7], ["n", 8], ["s", 7]]


@pytest.mark.parametrize("options", [{"known": ("a",)}, {"id": "a"}, {"time": "when"}])
def test_wide_tables_that_are_none_are_refused(options, tmp_path):
    """Covariates, a column of series and no dates at all are no wide table."""
    with pytest.raises(InputError, match="wide"):
        whole(file(tmp_path / "x.csv", text(DAYS, ["1"] * 30, ["2"] * 30, header="ds,a,b")), wide=True, **options)


# -- names of a user's own


@pytest.mark.parametrize(
    "name", ["median", "q0.1", "index", "y", "ds", "unique_id", "cutoff", "line", "row", "s1", "level_0"]
)
@pytest.mark.parametrize("role", ["id", "time", "target"])
def test_columns_of_any_name_keep_their_place(name, role, tmp_path):
    """Whatever the columns of series, time and values are called, the forecast names both and is whole."""
    names = {"id": "shop", "time": "when", "target": "qty"} | {role: name}
    rows = [("ab"[k % 2], DAYS[k // 2], float(k)) for k in range(20)]
    data = pd.DataFrame(rows, columns=[names["id"], names["time"], names["target"]])
    data.to_csv(tmp_path / "x.csv", index=False)
    for given in (data, str(tmp_path / "x.csv")):
        schema, panel, _ = whole(given, **names)
        columns = dict.fromkeys(["median", "q0.1", "s1"], np.ones((2, 3)))
        got = to_frame(schema, panel, columns)
        assert got[names["id"]].tolist() == ["a"] * 3 + ["b"] * 3
        assert len(got.columns) == 5
        assert got[names["time"]].astype(str).tolist() == ["2024-01-11", "2024-01-12", "2024-01-13"] * 2
        assert bool(got.attrs["notes"]) == (role in ("id", "time") and name in columns)


# -- what predict says


@pytest.fixture(scope="module")
def run():
    k = np.arange(30)
    data = pd.DataFrame(
        {"ds": DAYS, "y": 5.0 + k % 7, "promo": k % 2, "price": 2.0 + k % 3, "sky": ["sun", "rain"] * 15}
    )
    return fit(data, known=("promo", "price", "sky"))


AHEAD = pd.DataFrame({"ds": ["2024-01-31", "2024-02-01"], "promo": 1, "price": 2.0, "sky": "sun"})


@pytest.mark.parametrize(
    ("future", "message"),
    [(AHEAD.drop(columns="price"), r"the future file: expected the column 'price' \(known\)"),
     (AHEAD.rename(columns={"price": "prices"}), r"Is it 'prices'\? Give it the name"),
     (AHEAD.drop(columns="ds"), r"the future file: expected the column 'ds' \(time\)")],
)  # fmt: skip
def test_a_future_file_without_a_column_is_told_so(run, future, message):
    """The error names the column, and no option that predict lacks."""
    with pytest.raises(InputError, match=message) as error:
        run.predict(future=future)
    assert "with known" not in str(error.value)
    assert "--" not in str(error.value)


def test_predict_notes_what_is_strange(run):
    """Unseen categories, another unit, another frequency: a sentence each, and none without cause."""
    assert run.predict(future=AHEAD).attrs["notes"] == []
    notes = run.predict(future=AHEAD.assign(sky=["fog", "sun"])).attrs["notes"]
    assert notes == ["Column 'sky' has unknown values, encoded as none of the known: fog."]
    days = pd.date_range("2024-01-31", periods=5).astype(str)
    rows = pd.DataFrame({"ds": days, "y": 6000.0, "promo": 0, "price": 2.0, "sky": "sun"})
    later = AHEAD.assign(ds=["2024-02-05", "2024-02-06"])
    assert any("is its unit another?" in note for note in run.predict(rows, future=later).attrs["notes"])
    assert run.predict(rows.assign(y=6.0), future=later).attrs["notes"] == []
    weeks = rows.assign(y=6.0, ds=pd.date_range("2024-01-31", periods=5, freq="7D").astype(str))
    later = AHEAD.assign(ds=["2024-02-29", "2024-03-01"])
    assert any("is the frequency another?" in note for note in run.predict(weeks, future=later).attrs["notes"])


def test_nothing_is_below_zero_where_the_history_is_not():
    """Counts with zeros have no negative quantile and no negative path; values that were negative may be so again."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=120)
    counts = rng.poisson(0.4, 120).astype(float)
    data = pd.concat([pd.DataFrame({"unique_id": u, "ds": days, "y": y})
                      for u, y in (("counts", counts), ("returns", rng.standard_normal(120)))])  # fmt: skip
    run = fit(data, horizon=7)
    quantiles = run.predict().set_index("unique_id").drop(columns="ds")
    assert quantiles.loc["counts"].to_numpy().min() == 0
    assert quantiles.loc["returns"].to_numpy().min() < 0
    paths = run.predict(samples=50).set_index("unique_id").drop(columns="ds")
    assert paths.loc["counts"].to_numpy().min() == 0
    assert run.model.held[0].min() >= 0


LATER = [  # ids of the fit, of a later file, series forecast; or the error
    (("7", "8"), ("7",), [7], ""),
    (("7", "8"), ("7", "12"), [7, 12], "1 series that the fit has not seen: 12."),
    (("007", "8"), ("8",), ["8"], ""),
    (("007", "8"), ("7",), ["7"], "1 series that the fit has not seen: 7."),
    (("7", "8"), ("7", "x"), None, "expected whole numbers, as in the fit, got 'x'"),
    (("7", "8"), ("007",), None, "expected whole numbers, as in the fit, got '007'"),
    (("7", "8"), ("7.0",), None, "expected whole numbers, as in the fit, got '7.0'"),
    (("1,a", "2,b"), ("1,a",), ["1/a"], ""),
    (("1,a", "2,b"), ("1,5",), ["1/5"], "1 series that the fit has not seen: 1/5."),
    (("1,a", "2,b"), ("x,a",), None, "column 's': expected whole numbers"),
    (("1,a", "2,b"), ("01,a",), None, "column 's': expected whole numbers"),
    (("01,5", "2,5"), ("2,5",), ["2/5"], ""),
]


@pytest.mark.parametrize(("first", "later", "series", "note"), LATER)
def test_series_of_a_later_file_are_those_of_the_fit(first, later, series, note, tmp_path, fitted):
    """A name of another kind is refused, never a new series beside the one that is meant; a new one is a note."""
    header = "s,p,ds,y" if "," in first[0] else "s,ds,y"

    def write(name, ids):
        days = [day for day in DAYS[:3] for _ in ids]
        return file(tmp_path / name, text(ids * 3, days, "1" * len(days), header=header))

    schema, panel, _ = whole(write("x.csv", first), id="s,p" if "," in first[0] else "s")
    run = dataclasses.replace(fitted, config=Config(horizon=2, id=schema.id), schema=schema, panel=panel)
    if series is None:
        with pytest.raises(InputError, match=note):
            run._extend(run._read(write("y.csv", later)))
        return
    new, notes = run._extend(run._read(write("y.csv", later)))
    assert new.ids.tolist() == series
    assert note in " ".join(notes)
    assert bool(note) == ("not seen" in " ".join(notes))


def test_a_later_wide_file_may_hold_one_step(tmp_path, fitted):
    """The next date alone, and the next step of numbered columns beside ids."""
    for header, later, options, ahead in (
        ("shop,2024-01,2024-02", "shop,2024-03", {}, "2024-04"), ("shop,d_1,d_2", "shop,d_3", {"id": "shop"}, 4),
        ("shop,Jan 2024,Feb 2024", "shop,Mar 2024", {}, "Apr 2024"),
    ):  # fmt: skip
        schema, panel, _ = whole(file(tmp_path / "x.csv", f"{header}\n007,1,2\n"), wide=True, **options)
        config = Config(horizon=1, wide=True, **options)
        run = dataclasses.replace(fitted, config=config, schema=schema, panel=panel)
        new, _ = run._extend(run._read(file(tmp_path / "y.csv", f"{later}\n007,3\n")))
        assert new.y.tolist() == [1, 2, 3]
        assert to_frame(schema, new, {"median": np.zeros((1, 1))})["ds"].tolist() == [ahead]
