"""Clocks and calendars: steps of time, seasons, and where a time stands in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pd = pytest.importorskip("pandas")

from gated._check import InputError  # noqa: E402
from gated.features import calendar  # noqa: E402

FREQS = ["h", "15min", "D", "B", "W-SUN", "MS", "ME", "BME", "QS", "YS-MAR", "7"]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FREQS), st.integers(0, 40_000), st.integers(0, 23))
def test_a_time_is_its_units_and_a_shift(freq, day, hour):
    """t = at(u) + shift, whatever the clock, and the time h steps ahead has the same shift and h steps more."""
    clock = calendar.parse(freq)
    time = np.array([day * 24 + hour])
    time = time if clock.unit == "integer" else time.astype("datetime64[h]").astype("datetime64[ns]")
    u = calendar.units(time, clock)
    assert (calendar.at(u, clock) + calendar.shift(time, clock) == time).all()
    if clock.unit in ("integer", "ns"):
        (coming,) = calendar.ahead(time, freq, 3)
        assert (calendar.units(coming, clock) == u + clock.step * np.arange(1, 4)).all()
        assert (calendar.shift(coming, clock) == calendar.shift(time, clock)).all()


@pytest.mark.parametrize(
    ("freq", "expected"),
    [("h", (24, 168)), ("30min", (48, 336)), ("D", (7, 0)), ("W-SUN", (52, 0)), ("MS", (12, 0)), ("QS", (4, 0)),
     ("YS", (1, 0)), ("B", (5, 0)), ("min", (60, 1440)), ("3", (1, 0)), ("2D", (1, 0))],
)  # fmt: skip
def test_the_season_follows_from_the_frequency(freq, expected):
    """A frequency has a day and a week, a week, or a year for its season; integer times have none."""
    assert calendar.seasons(freq) == expected


def test_the_place_in_day_and_week_is_on_circles():
    """Equal times of day and days of the week have equal places; months, years and integers have none."""
    times = np.datetime64("2024-01-01T06", "ns") + np.arange(24 * 14) * np.timedelta64(1, "h")
    place = calendar.encode(times, "h")
    assert place.shape == (24 * 14, 8)
    assert np.allclose(place[:168], place[168:])
    assert np.allclose(place[:24, 6:], place[24:48, 6:])
    assert not np.allclose(place[0], place[24])
    assert calendar.encode(times[::24], "D").shape == (14, 6)
    for freq in ("MS", "W", "7"):
        assert calendar.encode(times, freq).shape == (24 * 14, 0)


# ---- steps that never occur, times beside a grid


def stamps(freq, start, periods, days="Mon Tue Wed Thu Fri Sat Sun", *spans):
    """Times of a frequency on these days of the week, within these spans of the day."""
    times = pd.date_range(start, periods=periods, freq=freq)
    clock = times.strftime("%H:%M")
    inside = np.any([(clock >= low) & (clock <= high) for low, high in spans or [("00:00", "23:59")]], 0)
    return times[times.strftime("%a").isin(days.split()) & inside].to_numpy().astype("datetime64[ns]")


def infer(*series):
    times, codes = np.concatenate(series), np.repeat(np.arange(len(series)), [len(s) for s in series])
    rows = lambda mask: f"rows {np.flatnonzero(mask).tolist()}"  # noqa: E731
    return calendar.infer(times, codes, np.array([f"s{k}" for k in range(len(series))]), rows)


WORK, SAT = "Mon Tue Wed Thu Fri", "Sat"
SHOP = [
    stamps("h", "2024-01-01", 24 * 40, WORK, ("08:00", "17:00")),
    stamps("h", "2024-01-01", 24 * 40, SAT, ("09:00", "13:00")),
]
WEEKS = {
    "closed Sundays": (stamps("D", "2024-01-01", 60, f"{WORK} {SAT}"), "D Mon-Sat", (6, 0)),
    "a weekend in Israel": (stamps("D", "2024-01-01", 60, "Sun Mon Tue Wed Thu"), "D Mon-Thu,Sun", (5, 0)),
    "three days a week": (stamps("D", "2024-01-01", 60, "Mon Wed Fri"), "D Mon,Wed,Fri", (3, 0)),
    "sessions": (stamps("15min", "2024-01-02 09:30", 96 * 40, WORK, ("09:30", "15:45")),
                 "15min Mon-Fri 09:30-15:45", (26, 130)),
    "two weeks of sessions": (stamps("5min", "2024-01-02 09:30", 288 * 20, WORK, ("09:30", "15:55")),
                              "5min Mon-Fri 09:30-15:55", (78, 390)),
    "a break at noon": (stamps("30min", "2024-01-01", 48 * 30, WORK, ("09:00", "11:30"), ("13:00", "14:30")),
                        "30min Mon-Fri 09:00-11:30 13:00-14:30", (10, 50)),
    "opening hours": (np.sort(np.concatenate(SHOP)), "h Mon-Fri 08:00-17:00; Sat 09:00-13:00", (55, 0)),
    "no nights": (stamps("h", "2024-01-01", 24 * 21, f"{WORK} Sat Sun", ("06:00", "21:00")),
                  "h 06:00-21:00", (16, 112)),
    "no weekends": (stamps("h", "2024-01-01", 24 * 40, WORK), "h Mon-Fri", (24, 120)),
    "at half past": (stamps("h", "2024-01-01 00:30", 24 * 21, f"{WORK} Sat Sun", ("06:30", "21:30")),
                     "h 06:30-21:30", (16, 112)),
    "some holidays": (np.delete(stamps("D", "2023-01-01", 365, f"{WORK} {SAT}"), [3, 50, 51, 200]),
                      "D Mon-Sat", (6, 0)),
}  # fmt: skip


NYSE = stamps("min", "2024-01-01", 1440 * 20, WORK, ("09:30", "15:59"))
EARLY = (np.datetime64("2024-01-10T13:00") <= NYSE) & (np.datetime64("2024-01-11") > NYSE)
WEEKS["an early close"] = NYSE[~EARLY], "min Mon-Fri 09:30-15:59", (390, 1950)


@pytest.mark.parametrize("case", WEEKS)
def test_steps_that_never_occur_are_inferred(case):
    """A week has only the slots that occur: they are named, parsed again, continued, and make the season."""
    times, freq, seasons = WEEKS[case]
    assert infer(times) == (freq, None)
    clock = calendar.parse(freq)
    assert calendar.name(clock, times[-1]) == freq
    assert calendar.seasons(freq) == seasons
    u = calendar.units(times, clock)
    assert (calendar.at(u, clock) + calendar.shift(times, clock) == times).all()
    assert len(np.unique(calendar.shift(times, clock))) == 1
    if case not in ("some holidays", "an early close"):
        half = len(times) // 2
        assert (np.diff(u) == 1).all()
        assert (calendar.ahead(times[half - 1 : half], freq, 9)[0] == times[half : half + 9]).all()
    assert calendar.encode(times, freq).shape == (len(times), 6 if freq.startswith("D") else 8)


@pytest.mark.parametrize(
    ("times", "freq"),
    [
        (np.delete(stamps("D", "2024-01-01", 20), [6, 13]), "D"),  # two Sundays lacking are no rule
        (np.delete(stamps("h", "2024-01-01", 24 * 5), [30, 31, 50]), "h"),
        (stamps("h", "2024-01-01", 24 * 28)[np.random.default_rng(0).random(24 * 28) > 0.25], "h"),  # lost at random
        (stamps("h", "2024-01-01", 24 * 14)[np.random.default_rng(1).random(24 * 14) > 0.15], "h"),
        (stamps("D", "2024-01-01", 90, WORK), "B"),
        (np.r_[stamps("D", "2024-01-01", 60, f"{WORK} {SAT}"), np.datetime64("2024-03-03", "ns")], "D"),
    ],
)
def test_a_gap_is_no_rule(times, freq):
    """What is missing a few times, by chance, or once a week with an exception stays missing; a working week is B."""
    assert infer(times)[0] == freq


def test_a_part_of_the_week_may_be_said():
    """Words for open slots are parsed in any case, and what is no part of a week is refused with an example."""
    assert calendar.parse("d mon-sat").open == (0, 1, 2, 3, 4, 5)
    assert calendar.parse("6h Sat 06:00-12:00; Sun").open == (21, 22, 24, 25, 26, 27)
    for freq in ("D Mon-Xyz", "h Mon 25:00", "MS Mon", "W Mon", "3h 1:00-2:00-3:00", "s Mon"):
        with pytest.raises(InputError, match=r"D Mon-Sat|a frequency"):
            calendar.parse(freq)


def test_jitter_is_moved_to_its_grid():
    """Seconds of delay, frames of 30 Hz in ms and a phase of half a step lie about a grid, which is inferred."""
    rng = np.random.default_rng(0)
    minutes = stamps("min", "2024-01-01", 300) + rng.integers(0, 15, 300) * np.timedelta64(1, "s")
    assert infer(minutes) == ("min", 0)
    assert (calendar.snap(minutes, "min", 0) == stamps("min", "2024-01-01", 300)).all()
    assert infer(np.delete(minutes, [7, 8, 100]), minutes + np.timedelta64(1, "D")) == ("min", 0)
    late = minutes + np.timedelta64(23, "s")
    freq, phase = infer(late)
    assert freq == "min"
    assert abs(phase - 30 * 10**9) < 3 * 10**9
    evenings = stamps("D", "2024-01-01 20:00", 60) + rng.integers(-50, 50, 60) * np.timedelta64(1, "m")
    assert infer(evenings) == ("D", 20 * calendar.HOUR)
    assert (calendar.snap(evenings, "D", 20 * calendar.HOUR) == stamps("D", "2024-01-01 20:00", 60)).all()
    frames = np.datetime64("2024-01-01", "ns") + (np.rint(np.arange(900) * 1000 / 30)).astype(int) * np.timedelta64(
        1, "ms"
    )
    assert infer(frames) == ("33333333ns", 0) or infer(frames)[0] == "33333333ns"
    assert (np.diff(calendar.snap(frames, *infer(frames)).astype(int)) == 33333333).all()
    hours = stamps("h", "2024-01-01", 100) + rng.integers(-300, 300, 100) * np.timedelta64(1, "s")
    assert infer(hours) == ("h", 0)


def test_months_of_both_ends_are_months():
    """Series stamped on first and on last days are one panel of months."""
    first, last = stamps("MS", "2020-01-01", 30), stamps("ME", "2020-01-01", 30)
    assert infer(first, last) == ("MS", 0)
    assert (calendar.snap(last, "MS", 0) == first).all()
    assert infer(stamps("QS", "2020-01-01", 12), stamps("QE", "2020-01-01", 12)) == ("QS", 0)


@pytest.mark.parametrize(
    ("days", "freq"),
    [
        (stamps("WOM-3FRI", "2020-01-01", 40), "MS"),
        (stamps(pd.offsets.LastWeekOfMonth(weekday=4), "2020-01-01", 40), "MS"),
        ((stamps("QS-MAR", "2015-03-01", 30) + np.arange(30) % 7 * np.timedelta64(1, "D")), "QS-MAR"),
        (np.array([t + pd.Timedelta(days=min(29, t.days_in_month - 1)) for t in
                   pd.date_range("2020-01-01", periods=40, freq="MS")], "datetime64[ns]"), "MS"),
    ],
)  # fmt: skip
def test_once_a_month_on_no_one_day_is_months(days, freq):
    """Third and last Fridays, or the 30th and the end of February, are moved to the first day, or as freq says."""
    assert infer(days) == (freq, 0)
    assert (calendar.snap(days, freq, 0) == days.astype("datetime64[M]")).all()
    found = calendar.find_grid(days, np.zeros(len(days), int), calendar.parse("ME"))
    assert found == ("ME", 0)
    assert (calendar.snap(days, "ME", 0) >= days.astype("datetime64[D]")).all()
    assert calendar.find_grid(days.astype("datetime64[M]").astype("datetime64[ns]"), days.astype(int) * 0,
                              calendar.parse("MS")) is None  # fmt: skip


ODD = {
    "a month's day": (("ME", "2015-01-01", 12), "2016-01-15", ("ME", "2016-02-01", 12), "month.*rows .12."),
    "an hour's minute": (("h", "2024-01-01", 50), "2024-01-03T02:17", ("h", "2024-01-03 03:00", 50),
                         "1 hour.*rows .50."),
    "a week's day": (("W", "2024-01-01", 50), "2024-12-17", ("W", "2024-12-20", 9), "7 days.*rows .50."),
    "a clock put forward": (("D", "2024-01-01", 50), "2024-02-20T05", ("D", "2024-02-21 05:00", 50),
                            "1 day.*before rows .50."),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_the_odd_row_is_blamed(case):
    """The error names the few rows that are off the clock of most, not their neighbours."""
    before, odd, after, message = ODD[case]
    with pytest.raises(InputError, match=message):
        infer(np.r_[stamps(*before), np.datetime64(odd, "ns"), stamps(*after)])
