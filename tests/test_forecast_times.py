"""Files with times of every notation, all the way to the forecast's frame: what follows, and how it is written."""

import dataclasses
import json
from datetime import datetime, timedelta

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from gated._check import InputError  # noqa: E402
from gated.features import calendar  # noqa: E402
from gated.io.tables import read  # noqa: E402
from gated.tasks.forecast.frame import join, panel  # noqa: E402
from gated.tasks.forecast.horizon import read_truth, to_frame  # noqa: E402
from gated.tasks.forecast.schema import Schema, infer  # noqa: E402


def write(path, columns):
    """A CSV of these columns, and a target of counts."""
    table = pd.DataFrame(columns)
    table.assign(y=np.arange(1.0, len(table) + 1)).to_csv(path, index=False)
    return path


def follow(path, steps=3, **options):
    """The schema after JSON, the panel, its notes, and the next steps as CSV."""
    schema = infer(read(path), **options)
    schema = Schema(**json.loads(json.dumps(dataclasses.asdict(schema))))
    made, notes = panel(read(path), schema)
    ahead = to_frame(schema, made, {"median": np.zeros((len(made), steps))}).drop(columns="median")
    return schema, made, notes, ahead.to_csv(index=False, header=False).split()


def dates(start, count, step, pattern):
    times = [datetime.fromisoformat(start) + k * timedelta(minutes=step) for k in range(count)]
    return [t.strftime(pattern) for t in times]


def clock(zone, start, count, pattern):
    return list(pd.date_range(start, periods=count, freq="h", tz=zone).strftime(pattern))


HOURS = dates("2024-01-01", 672, 60, "%Y-%m-%d %H:%M")
MINUTES = dates("2024-01-01", 600, 1, "%Y-%m-%d %H:%M")
ENDS = [str(t)[:10] for t in pd.date_range("2015-01-31", periods=72, freq="ME")]
WEEKS = list(pd.date_range("2022-01-03", periods=130, freq="W-MON").strftime("%G-W%V"))
BERLIN = clock("Europe/Berlin", "2023-10-10", 672, "%Y-%m-%d %H:%M")
NEW_YORK = pd.date_range("2024-02-12", periods=48 * 40, freq="30min", tz="America/New_York")
NEW_YORK = NEW_YORK[(NEW_YORK.dayofweek < 5) & (NEW_YORK.hour * 60 + NEW_YORK.minute >= 570) & (NEW_YORK.hour < 16)]
SIXTH = pd.date_range("2024-03-20", periods=24 * 20, freq="h", tz="Europe/Berlin")
SESSIONS = [t for t in dates("2024-01-02 09:30", 96 * 56, 15, "%Y-%m-%d %H:%M")
            if datetime.fromisoformat(t).weekday() < 5 and "09:30" <= t[11:] <= "15:45"]  # fmt: skip

# Columns, options, the frequency, the season, and the next steps
CASES = {
    "yyyymm_10": ({"t": range(201401, 201411)}, {}, "MS", 12, "201411 201412 201501"),
    "yyyyww": ({"t": [int(w.replace("-W", "")) for w in WEEKS]}, {}, "W-MON", 52, "202427 202428 202429"),
    "iso_week": ({"t": WEEKS}, {}, "W-MON", 52, "2024-W27 2024-W28 2024-W29"),
    "yyyymmddhh": ({"t": [int(t[:13].replace("-", "").replace(" ", "")) for t in HOURS]}, {}, "h", 24,
                   "2024012900 2024012901 2024012902"),
    "epoch_seconds": ({"t": [1704067200 + 3600 * k for k in range(672)]}, {}, "h", 24,
                      "1706486400 1706490000 1706493600"),
    "utc_suffix": ({"t": [t + ":00 UTC" for t in HOURS]}, {}, "h", 24,
                   "2024-01-29 00:00:00+00:00 2024-01-29 01:00:00+00:00 2024-01-29 02:00:00+00:00"),
    "local_autumn": ({"t": BERLIN}, {"zone": "Europe/Berlin"}, "h", 24,
                     "2023-11-06 23:00:00 2023-11-07 00:00:00 2023-11-07 01:00:00"),
    "offsets_over_clock_change": ({"t": clock("Europe/Berlin", "2023-10-10", 672, "%Y-%m-%dT%H:%M:%S%z")}, {}, "h", 24,
                                  "2023-11-06 23:00:00+01:00 2023-11-07 00:00:00+01:00 2023-11-07 01:00:00+01:00"),
    "quarter_space": ({"t": [f"{2008 + k // 4} Q{k % 4 + 1}" for k in range(60)]}, {}, "QS", 4,
                      "2023 Q1 2023 Q2 2023 Q3"),
    "month_slash_year": ({"t": [f"{k % 12 + 1:02d}/{2014 + k // 12}" for k in range(96)]}, {}, "MS", 12,
                         "01/2022 02/2022 03/2022"),
    "weekday_words": ({"t": dates("2023-01-01", 180, 1440, "%a %d %b %Y")}, {}, "D", 7,
                      "2023-06-30 2023-07-01 2023-07-02"),
    "hour_24": ({"t": ["2023-12-31 24:00", *HOURS[1:]]}, {}, "h", 24,
                "2024-01-29 00:00:00 2024-01-29 01:00:00 2024-01-29 02:00:00"),
    "date_and_time_columns": ({"Date": [t[:10] for t in HOURS], "Time": [t[11:] for t in HOURS]}, {"time": "Date,Time"},
                              "h", 24, "2024-01-29,00:00 2024-01-29,01:00 2024-01-29,02:00"),
    "jittered_minutes": ({"t": [f"{t}:{7 * k % 15:02d}" for k, t in enumerate(MINUTES)]}, {}, "min", 60,
                         "2024-01-01 10:00:00 2024-01-01 10:01:00 2024-01-01 10:02:00"),
    "trading_hours_15min": ({"t": SESSIONS}, {}, "15min Mon-Fri 09:30-15:45", 26,
                            "2024-02-27 09:30:00 2024-02-27 09:45:00 2024-02-27 10:00:00"),
    "a year, a month and a series": ({"unique_id": "a", "year": [2022] * 12 + [2023] * 9,
                                      "month": [*range(1, 13), *range(1, 10)]}, {"time": "year month"}, "MS", 12,
                                     "a,2023,10 a,2023,11 a,2023,12"),
    "frames of 30 Hz": ({"t": [1704067200000 + round(k * 1000 / 30) for k in range(300)]}, {}, "33333333ns", 1,
                        "1704067210000 1704067210033 1704067210067"),
    "Excel's quarters of an hour": ({"t": [45292 + k / 96 for k in range(200)]}, {}, "15min", 96,
                                    f"{45292 + 200 / 96} {45292 + 201 / 96} {45292 + 202 / 96}"),
    "sessions in New York": ({"t": [t.isoformat() for t in NEW_YORK]}, {}, "30min Mon-Fri 09:30-15:30", 13,
                             "2024-03-25 09:30:00-04:00 2024-03-25 10:00:00-04:00 2024-03-25 10:30:00-04:00"),
    "every sixth hour by the clock": ({"t": [t.isoformat() for t in SIXTH if t.hour % 6 == 0]}, {}, "6h", 4,
                                      "2024-04-09 06:00:00+02:00 2024-04-09 12:00:00+02:00 2024-04-09 18:00:00+02:00"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_forecast_follows_the_data_in_their_notation(case, tmp_path):
    """The frequency and the season are those meant, no step is missing, and the next steps are written as the data."""
    columns, options, freq, season, coming = CASES[case]
    path = write(tmp_path / "data.csv", columns)
    schema, made, _, ahead = follow(path, **{"time": "t", **options})
    assert schema.freq == made.freq == freq
    assert calendar.seasons(freq)[0] == season
    assert " ".join(ahead) == coming
    assert not np.isnan(made.y).any()
    later, _ = panel(read(path).iloc[-9:], schema)
    assert join(made, later).y.tolist() == made.y.tolist()
    earlier, _ = panel(read(path).iloc[:-3], schema)
    assert read_truth(read(path).iloc[-3:], schema, earlier, 3)[0].tolist() == made.y[-3:].tolist()


MISTAKES = {
    "local_autumn": ({"t": BERLIN}, {}, "the first 2023-10-29 02:00 in lines 460, 461.*--zone"),
    "date_and_time_columns": ({"t": [t[:10] for t in HOURS], "Time": [t[11:] for t in HOURS]}, {}, "--time t,Time"),
    "date and hour of two series": (
        {"unique_id": ["a"] * 48 + ["b"] * 48, "t": [t[:10] for t in HOURS[:48]] * 2, "hour": [*range(24)] * 4},
        {}, "--time t,hour"),
    "month_end_one_off": (
        {"t": [*ENDS[:13], "2016-02-15", *ENDS[14:]]}, {}, "one month.*others in line 15"),
    "two rows on one step": (
        {"t": [f"2024-01-01 00:{k:02d}:{5 * k % 17:02d}" for k in range(50)] + ["2024-01-01 00:49:20"]},
        {}, "one row on each step.*lines 51, 52"),
    "an hour beside the session": (
        {"t": [*SESSIONS, "2024-02-26 17:00"]}, {"freq": "15min Mon-Fri 09:30-15:45"}, "line 1042.*fit anew"),
    "a column that lacks": ({"t": HOURS}, {"time": "t,hour"}, "got 'hour'"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_fault_of_times_is_said_with_its_cure(case, tmp_path):
    """An error of times names the rows and the option that settles it."""
    columns, options, message = MISTAKES[case]
    with pytest.raises(InputError, match=message):
        follow(write(tmp_path / "data.csv", columns), **{"time": "t", **options})


def test_jitter_is_moved_where_a_step_is_said(tmp_path):
    """With freq times about its grid are moved to it, and an odd row is still an error."""
    times = [f"2024-01-01 00:{k:02d}:{7 * k * k % 23:02d}" for k in range(50)]
    assert follow(write(tmp_path / "a.csv", {"t": times}), time="t", freq="min")[3][:2] == ["2024-01-01", "00:50:00"]
    hours = [*HOURS[:30], "2024-01-02 06:10", *HOURS[31:60]]
    with pytest.raises(InputError, match="others in line 32"):
        follow(write(tmp_path / "b.csv", {"t": hours}), time="t", freq="h")


def test_the_network_reads_the_hours_of_the_zone(tmp_path):
    """The calendar of times with a zone is that of its clocks, also when they change; an older run reads UTC."""
    from gated.tasks.forecast.recipe import derive
    from gated.tasks.forecast.task import Config
    from gated.tasks.forecast.windows import Windows

    path = write(tmp_path / "data.csv", {"t": clock("Europe/Berlin", "2023-10-10", 672, "%Y-%m-%dT%H:%M:%S%z")})
    schema, made, _, _ = follow(path, time="t")
    assert (schema.hours, made.zone) == ("Europe/Berlin", "Europe/Berlin")
    recipe = derive(made, Config(horizon=3))
    rows = lambda windows: windows.calendar[windows.start[0] : windows.start[0] + 672].numpy()  # noqa: E731
    wall = np.array(clock("Europe/Berlin", "2023-10-10", 672, "%Y-%m-%dT%H:%M"), "datetime64[ns]")
    np.testing.assert_allclose(rows(Windows(made, recipe)), calendar.encode(wall, "h"), atol=1e-6)
    new = ("notation", "phase", "hours", "notes")
    old = Schema(**{key: value for key, value in dataclasses.asdict(schema).items() if key not in new})
    before = panel(read(path), old)[0]
    np.testing.assert_allclose(rows(Windows(before, recipe)), calendar.encode(made.times, "h"), atol=1e-6)
