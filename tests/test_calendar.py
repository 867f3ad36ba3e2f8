"""Clocks and calendars: steps of time, seasons, and where a time stands in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pandas")

from gated.features import calendar

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
