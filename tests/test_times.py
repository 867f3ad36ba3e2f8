"""Columns of times: each notation is recognised by its column, read right, and written as it came."""

import re
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pd = pytest.importorskip("pandas")

from gated._check import InputError  # noqa: E402
from gated.io import patterns  # noqa: E402
from gated.io.times import restore, restore_columns, times  # noqa: E402


def column(*values, **more):
    """A frame of one column `t`, and of others."""
    return pd.DataFrame({"t": list(values), **more}).rename_axis("line")


def stamps(result):
    return [str(t).removesuffix(".000000000").removesuffix("T00:00:00").removesuffix(":00") for t in result.values]


# A column, the first and the last time that it means (in UTC where it has a zone), and its kind
NOTATIONS = {
    "iso": (["2024-01-31", "2024-02-01"], ["2024-01-31", "2024-02-01"], "datetime"),
    "iso with seconds": (["2024-01-31T13:30:15", "2024-01-31 13:30:16"],
                         ["2024-01-31T13:30:15", "2024-01-31T13:30:16"], "datetime"),
    "iso with slashes": (["2024/01/31", "2024/02/01"], ["2024-01-31", "2024-02-01"], "datetime"),
    "YYYYMM": (list(range(201401, 201411)), ["2014-01-01", "2014-10-01"], "%Y%m"),
    "YYYYMM over a year": ([202311, 202312, 202401], ["2023-11-01", "2024-01-01"], "%Y%m"),
    "YYYYMM of one row": ([202311], ["2023-11-01", "2023-11-01"], "%Y%m"),
    "YYYYWW": ([202051, 202052, 202053, 202101], ["2020-12-14", "2021-01-04"], "%G%V"),
    "YYYYWW from week 1": (list(range(202401, 202421)), ["2024-01-01", "2024-05-13"], "%G%V"),
    "YYYYMMDD": ([20240228, 20240229, 20240301], ["2024-02-28", "2024-03-01"], "%Y%m%d"),
    "YYYYMMDDHH": ([2024010122, 2024010123, 2024010200], ["2024-01-01T22:00", "2024-01-02"], "%Y%m%d%H"),
    "YYYYMMDDHH to 24": ([2024010123, 2024010124, 2024010201], ["2024-01-01T23:00", "2024-01-02T01:00"], "%Y%m%d%H"),
    "YYYYMMDDHHMM": ([202401012345, 202401020000], ["2024-01-01T23:45", "2024-01-02"], "%Y%m%d%H%M"),
    "YYYYMMDDHHMMSS": ([20240101234500, 20240102000000], ["2024-01-01T23:45", "2024-01-02"], "%Y%m%d%H%M%S"),
    "epoch": ([1704067200, 1704070800], ["2024-01-01", "2024-01-01T01:00"], "s"),
    "epoch as floats": ([1704067200.0, 1704067200.5], ["2024-01-01", "2024-01-01T00:00:00.500000000"], "s"),
    "epoch in ms": ([1704067200000, 1704067200033], ["2024-01-01", "2024-01-01T00:00:00.033000000"], "ms"),
    "epoch in us": ([1704067200000000, 1704070800000000], ["2024-01-01", "2024-01-01T01:00"], "us"),
    "epoch in ns": ([1704067200000000000, 1704070800000000000], ["2024-01-01", "2024-01-01T01:00"], "ns"),
    "epoch before 2001": ([946684800, 946684860, 946684980], ["2000-01-01", "2000-01-01T00:03"], "s"),
    "epoch over September 2001": ([999997200, 1000000800], ["2001-09-09T01:00", "2001-09-09T02:00"], "s"),
    "epoch in ms before 2001": ([820454400000, 820540800000], ["1996-01-01", "1996-01-02"], "ms"),
    "epoch in us before 2001": ([946684800000000, 946688400000000], ["2000-01-01", "2000-01-01T01:00"], "us"),
    "epoch in ns before 2001": ([946684800 * 10**9, 946771200 * 10**9], ["2000-01-01", "2000-01-02"], "ns"),
    "a leap second": (["2016-12-31 23:59:58", "2016-12-31 23:59:60"], ["2016-12-31T23:59:58", "2017-01-01"],
                      "datetime"),
    "a leap second in UTC": (["2016-12-31T23:59:59Z", "2016-12-31T23:59:60Z"], ["2016-12-31T23:59:59", "2017-01-01"],
                             "utc"),
    "a leap second in Berlin": (["2017-01-01T00:59:59+01:00", "2017-01-01T00:59:60+01:00"],
                               ["2016-12-31T23:59:59", "2017-01-01"], "utc"),
    "a leap second with dots": (["31.12.2016 23:59:59", "31.12.2016 23:59:60"], ["2016-12-31T23:59:59", "2017-01-01"],
                                "datetime"),
    "epoch as text": (["1704067200", "1704070800"], ["2024-01-01", "2024-01-01T01:00"], "s"),
    "Excel's days": ([45292, 45293], ["2024-01-01", "2024-01-02"], "excel"),
    "Excel's hours": ([45292.0, 45292.041666666664, 45292.083333333336], ["2024-01-01", "2024-01-01T02:00"], "excel"),
    "a counter": ([1, 2, 3], [1, 3], "integer"),
    "years": ([1999, 2000, 2001], [1999, 2001], "integer"),
    "a counter of six digits": ([200001 + k for k in range(99)], [200001, 200099], "integer"),
    "a counter that grows": ([99_999, 100_000, 100_001], [99_999, 100_001], "integer"),
    "months with M": (["2014M01", "2014M02"], ["2014-01-01", "2014-02-01"], "%YM%m"),
    "months with a dash": (["2014-11", "2014-12"], ["2014-11-01", "2014-12-01"], "%Y-%m"),
    "months with a slash": (["01/2014", "02/2014"], ["2014-01-01", "2014-02-01"], "%m/%Y"),
    "months without zeros": (["9/2014", "10/2014"], ["2014-09-01", "2014-10-01"], "%-m/%Y"),
    "years before months": (["2014/01", "2014/02"], ["2014-01-01", "2014-02-01"], "%Y/%m"),
    "quarters": (["2023Q1", "2023Q4"], ["2023-01-01", "2023-10-01"], "%YQ%q"),
    "quarters with a space": (["2023 Q1", "2023 Q4"], ["2023-01-01", "2023-10-01"], "%Y Q%q"),
    "quarters with a dash": (["2023-Q1", "2023-Q4"], ["2023-01-01", "2023-10-01"], "%Y-Q%q"),
    "quarters first": (["Q1 2023", "Q4 2023"], ["2023-01-01", "2023-10-01"], "Q%q %Y"),
    "quarters of two digits": (["3Q22", "1Q23"], ["2022-07-01", "2023-01-01"], "%qQ%y"),
    "ISO weeks": (["2020-W53", "2021-W01"], ["2020-12-28", "2021-01-04"], "%G-W%V"),
    "ISO weeks, bare": (["2024W05", "2024W06"], ["2024-01-29", "2024-02-05"], "%GW%V"),
    "ISO days": (["2024-W05-1", "2024-W05-2"], ["2024-01-29", "2024-01-30"], "datetime"),
    "weeks of Germans": (["KW 05/2024", "KW 06/2024"], ["2024-01-29", "2024-02-05"], "KW %V/%G"),
    "days of the year": (["2024-031", "2024-032"], ["2024-01-31", "2024-02-01"], "datetime"),
    "names of months": (["Jan 2024", "Feb 2024"], ["2024-01-01", "2024-02-01"], "%b %Y"),
    "full names": (["January 2024", "February 2024"], ["2024-01-01", "2024-02-01"], "%B %Y"),
    "names, two digits": (["Dec-23", "Jan-24"], ["2023-12-01", "2024-01-01"], "%b-%y"),
    "names and days": (["31 Jan 2024", "1 Feb 2024"], ["2024-01-31", "2024-02-01"], "datetime"),
    "names first": (["January 31, 2024", "February 1, 2024"], ["2024-01-31", "2024-02-01"], "datetime"),
    "German names": (["31. Dezember 2023", "1. März 2024"], ["2023-12-31", "2024-03-01"], "datetime"),
    "French names": (["31 déc. 2023", "1 févr. 2024"], ["2023-12-31", "2024-02-01"], "datetime"),
    "weekdays": (["Sun 31 Dec 2023", "Mon 01 Jan 2024"], ["2023-12-31", "2024-01-01"], "datetime"),
    "weekdays and commas": (["Mon, 01 Jan 2024", "Tue, 02 Jan 2024"], ["2024-01-01", "2024-01-02"], "datetime"),
    "weekdays in full": (["Monday, January 1, 2024", "Tuesday, January 2, 2024"],
                         ["2024-01-01", "2024-01-02"], "datetime"),
    "weekdays behind": (["2024-01-01 (Mon)", "2024-01-02 (Tue)"], ["2024-01-01", "2024-01-02"], "datetime"),
    "times with dots": (["31.12.2023 13.30", "31.12.2023 14.30"], ["2023-12-31T13:30", "2023-12-31T14:30"], "datetime"),
    "day first": (["01/02/2024", "13/02/2024"], ["2024-02-01", "2024-02-13"], "datetime"),
    "month first": (["01/02/2024", "01/13/2024"], ["2024-01-02", "2024-01-13"], "datetime"),
    "24:00": (["2023-12-31 24:00", "2024-01-01 01:00"], ["2024-01-01", "2024-01-01T01:00"], "datetime"),
    "24:00 with dots": (["31.12.2023 24:00", "01.01.2024 01:00"], ["2024-01-01", "2024-01-01T01:00"], "datetime"),
    "24:00:00": (["2023-12-31T24:00:00", "2024-01-01T01:00:00"], ["2024-01-01", "2024-01-01T01:00"], "datetime"),
    "AM and PM": (["1/31/2024 12:00 AM", "1/31/2024 12:30 PM"], ["2024-01-31", "2024-01-31T12:30"], "datetime"),
    "am and pm": (["31/01/2024 11.30am", "31/01/2024 1.30pm"], ["2024-01-31T11:30", "2024-01-31T13:30"], "datetime"),
    "fractions": (["31.01.2024 00:00:00.5", "31.01.2024 00:00:01.25"],
                  ["2024-01-31T00:00:00.500000000", "2024-01-31T00:00:01.250000000"], "datetime"),
    "UTC behind": (["2024-01-01 00:00:00 UTC", "2024-01-01 01:00:00 UTC"], ["2024-01-01", "2024-01-01T01:00"], "utc"),
    "Z": (["2024-01-01T00:00Z", "2024-01-01T01:00Z"], ["2024-01-01", "2024-01-01T01:00"], "utc"),
    "Z with fractions in some rows": (["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z"],
                                      ["2024-01-01", "2024-01-01T00:00:00.500000000"], "utc"),
    "short offsets": (["2024-01-01 00:00+01", "2024-01-01 01:00+01"], ["2023-12-31T23:00", "2024-01-01"], "utc"),
    "offsets without a colon": (["2024-01-01 00:00 -0530", "2024-01-01 01:00 -0530"],
                                ["2024-01-01T05:30", "2024-01-01T06:30"], "utc"),
    "CET": (["2024-01-01 00:00 CET", "2024-07-01 00:30 CEST"], ["2023-12-31T23:00", "2024-06-30T22:30"], "utc"),
    "EST": (["01/13/2024 12:30 AM EST", "01/13/2024 1:00 AM EST"], ["2024-01-13T05:30", "2024-01-13T06:00"], "utc"),
    "a zone's name": (["2024-01-01 00:00 Europe/Berlin", "2024-01-01 01:00 Europe/Berlin"],
                      ["2023-12-31T23:00", "2024-01-01"], "utc"),
    "Java's zones": (["2024-01-01T00:00:00+01:00[Europe/Berlin]", "2024-01-01T01:00:00+01:00[Europe/Berlin]"],
                     ["2023-12-31T23:00", "2024-01-01"], "utc"),
    "RFC 822": (["Mon, 01 Jan 2024 00:00:00 +0100", "Mon, 01 Jan 2024 01:00:00 +0100"],
                ["2023-12-31T23:00", "2024-01-01"], "utc"),
    "ctime": (["Mon Jan  1 00:00:00 2024", "Mon Jan  1 01:00:00 2024"], ["2024-01-01", "2024-01-01T01:00"], "datetime"),
    "a server's log": (["31/Dec/2023:23:00:00 +0000", "01/Jan/2024:00:00:00 +0000"],
                       ["2023-12-31T23:00", "2024-01-01"], "utc"),
    "basic ISO": (["20231231T230000Z", "20240101T000000Z"], ["2023-12-31T23:00", "2024-01-01"], "utc"),
    "the time first": (["23:00 31.12.2023", "00:00 01.01.2024"], ["2023-12-31T23:00", "2024-01-01"], "datetime"),
    "hours with a word": (["31.12.2023 23 Uhr", "01.01.2024 0 Uhr"], ["2023-12-31T23:00", "2024-01-01"], "datetime"),
    "Chinese": (["2023年12月31日", "2024年1月1日"], ["2023-12-31", "2024-01-01"], "datetime"),
    "capitals": (["DEC-23", "JAN-24"], ["2023-12-01", "2024-01-01"], "%^b-%y"),
    "French weekdays": (["lun. 1 janv. 2024", "mar. 2 janv. 2024"], ["2024-01-01", "2024-01-02"], "datetime"),
    "two digits": (["30.12.23", "31.12.23"], ["2023-12-30", "2023-12-31"], "datetime"),
    "a thin space": (["1/31/2024, 1:00:00\u202fPM", "1/31/2024, 2:00:00\u202fPM"],
                     ["2024-01-31T13:00", "2024-01-31T14:00"], "datetime"),
    "a true minus": (["2024-01-31T13:00\u221205:00", "2024-01-31T14:00\u221205:00"],
                     ["2024-01-31T18:00", "2024-01-31T19:00"], "utc"),
    "digits alone": (["20240131 1300", "20240131 1415"], ["2024-01-31T13:00", "2024-01-31T14:15"], "datetime"),
    "digits to seconds": (["20240131-130005", "20240131-141500"],
                          ["2024-01-31T13:00:05", "2024-01-31T14:15"], "datetime"),
    "YYYYDDD": ([2023364, 2023365, 2024001], ["2023-12-30", "2024-01-01"], "%Y%j"),
    "March in German": (["Feb 2024", "Mrz 2024"], ["2024-02-01", "2024-03-01"], "datetime"),
    "March in Dutch": (["1 mrt 2024", "1 apr 2024"], ["2024-03-01", "2024-04-01"], "datetime"),
    "the first in French": (["31 janvier 2024 à 13:00", "1er février 2024 à 13:00"],
                            ["2024-01-31T13:00", "2024-02-01T13:00"], "datetime"),
    "Spanish with de": (["31 de enero de 2024", "1 de febrero de 2024"], ["2024-01-31", "2024-02-01"], "datetime"),
    "ordinal numbers": (["January 31st, 2024", "February 2nd, 2024"], ["2024-01-31", "2024-02-02"], "datetime"),
    "a browser": (["Wed Jan 31 2024 13:00:00 GMT+0100 (Central European Standard Time)",
                   "Wed Jan 31 2024 14:00:00 GMT+0100 (Central European Standard Time)"],
                  ["2024-01-31T12:00", "2024-01-31T13:00"], "utc"),
    "a log's brackets": (["[31/Dec/2023:23:00:00 +0000]", "[01/Jan/2024:00:00:00 +0000]"],
                         ["2023-12-31T23:00", "2024-01-01"], "utc"),
    "Chinese months": (["2024年1月", "2024年2月"], ["2024-01-01", "2024-02-01"], "%Y年%-m月"),
    "two digits first": (["24-01-30", "24-01-31"], ["2024-01-30", "2024-01-31"], "datetime"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTATIONS)
def test_a_notation_is_read_right_and_written_as_it_came(case):
    """All rows of a column have one notation; a period, a number and a zone come back as they came, and read again."""
    values, ends, kind = NOTATIONS[case]
    frame = column(*values)
    result = times(frame, "t")
    assert result.kind == kind
    read = stamps(result) if result.values.dtype.kind == "M" else result.values.tolist()
    assert [read[0], read[-1]] == ends
    again = times(frame.iloc[-1:], "t", result.kind, notation=result.notation, zone=result.zone)
    assert (again.values == result.values[-1:]).all()
    back = restore(result.values, result.kind, result.zone)
    if ("%" in kind and "24" not in case) or kind in ("s", "ms", "us", "ns", "excel", "integer"):
        np.testing.assert_array_equal(back, pd.Series(values).astype(back.dtype), strict=True)
    if kind == "utc":
        away = re.search(r"\+0?1|[-\u2212]05|CET|EST|Berlin", values[0]) is not None
        assert (str(back[0].utcoffset()) != "0:00:00") == away


def test_a_guess_is_a_note_and_iso_needs_none():
    """Numbers, years of two digits and zones by their offsets are in a note; ISO dates and counts are not."""
    for values, words in [
        ([201401, 201402], "201401 is read as 2014-01-01.*YYYYMM.*weeks.*--time-format %G%V"),
        ([1704067200], "seconds since 1970"), ([946684800, 946684860], "seconds since 1970.*--time-format count"),
        ([946684800, 946684801], "946684800 is read as a count; --time-format s reads seconds since 1970"),
        ([820454400000, 820454400500], "a count; --time-format ms"), ([123456789], "a count; --time-format s"),
        (["23:59:60 31.12.2016"], "'23:59:60 31.12.2016', a leap second, is read as 2017-01-01"),
        ([45292, 45293], "Excel's days.*--time-format count"), (["30.12.23", "31.12.23"], "two digits"),
        (["2024-01-01T00:00+01:00", "2024-07-01T00:30+02:00"], "Europe/Berlin.*--zone"),
    ]:  # fmt: skip
        (note,) = times(column(*values), "t").notes
        assert re.search(words, note), note
    assert times(column("2024-01-31", "2024-02-01"), "t").notes == times(column(1, 2, 3), "t").notes == ()


MISTAKES = {
    "two readings": (["01/02/2024", "02/02/2024"], {}, "day or month first.*--time-format '%d/%m/%Y' or '%m/%d/%Y'"),
    "one row of another notation": (["01/13/2024", "01/14/2024", "soon"], {}, r"'soon' \(line 2\).*--time-format"),
    "months or quarters": (["2023-1", "2023-2", "2023-3", "2023-4"], {}, "month or quarter.*'%Y-%m' or '%Y-%q'"),
    "half years": (["H1 2023", "H2 2023"], {}, "'H1 2023'.*--time-format"),
    "weeks that are not ISO's": ([202301 + k for k in range(53)], {}, r"%G%V, got 202353 \(line 52\).*%Y%W"),
    "a day that is none": ([20240101 + k for k in range(31)] + [20240132], {}, r"%Y%m%d, got 20240132 \(line 31\)"),
    "a month that is none": ([202301 + k for k in range(12)] * 3 + [202313], {}, r"%Y%m, got 202313 \(line 36\)"),
    "a week that is none": (["2023-W52", "2023-W53"], {}, r"'2023-W53' \(line 1\)"),
    "a notation of no year": (["13:30"], {"notation": "%H:%M"}, "--time-format: expected a pattern with a year"),
    "an unknown code": (["13:30"], {"notation": "%Q"}, "'%Q'"),
    "rows beside the notation": (["01.02.2024", "13/02/2024"], {"notation": "%d.%m.%Y"}, r"'13/02/2024' \(line 1\)"),
    "numbers beside the notation": ([20240101, 20240140], {"notation": "%Y%m%d"}, r"20240140 \(line 1\)"),
    "an unknown zone": (["2024-01-01 00:00 XYZ", "2024-01-01 01:00 XYZ"], {}, "'XYZ'.*--zone"),
    "no zone": (["2024-01-01", "2024-01-02"], {"zone": "Mars"}, "--zone.*'Mars'"),
    "an hour that spring skips": (["2024-03-31 01:30", "2024-03-31 02:00"], {"zone": "Europe/Berlin"}, r"skip.*line 1"),
    "hours from and to": (["01.01.2024 00:00-01:00", "01.01.2024 01:00-02:00"], {}, r"00:00-01:00' \(line 0\)"),
    "ISO from and to": (["2024-01-01 00:00-01:00", "2024-01-01 01:00-02:00"], {}, r"00:00-01:00' \(line 0\)"),
    "an offset of no zone": (["2024-01-01T00:00+15:00"], {}, r"15:00' \(line 0\)"),
    "days of no year": (["Jan 30", "Jan 31", "Feb 01", "Feb 02"], {}, "a year in every time.*--time-format '%b %y'"),
    "days of one month": (["Jan 30", "Jan 31"], {}, "a year in every time, got 'Jan 30'"),
    "years before months": (["24-Jan", "24-Feb"], {}, "a year in every time, got '24-Jan'.*--time-format '%y-%b'"),
    "years before months and a space": (["24 März", "24 Mai"], {}, "a year in every time.*--time-format '%y %b'"),
    "days before months": (["1-Jan", "2-Jan"], {}, r"a year in every time, got '1-Jan'\. Write the years\.$"),
    "seconds to 60 amid an hour": (["2024-01-01 10:20:59", "2024-01-01 10:20:60"], {}, r"10:20:60' \(line 1\)"),
    "times of no year": (["Jan 31 13:00:00", "Jan 31 14:00:00"], {}, r"'Jan 31 13:00:00' \(line 0\)"),
    "rows of two notations": (["20240131 1300", "2024-01-31 14:00"], {}, r"'20240131 1300' \(line 0\)"),
    "fractions of a count": ([0.5, 1.5], {}, "dates or whole numbers.*--time-format s"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_what_is_no_time_or_could_be_two_is_refused(case):
    """A row that does not fit is named, and what a column leaves open is settled by an option that the error names."""
    values, options, message = MISTAKES[case]
    with pytest.raises(InputError, match=message):
        times(column(*values), "t", **options)


@pytest.mark.parametrize(
    ("values", "notation", "expected"),
    [
        (["01/02/2024", "02/02/2024"], "%m/%d/%Y", ["2024-01-02", "2024-02-02"]),
        ([202401, 202402], "%G%V", ["2024-01-01", "2024-01-08"]),
        ([20230101, 20230102], "count", [20230101, 20230102]),
        ([86400, 172800], "s", ["1970-01-02", "1970-01-03"]),
        ([0.0, 0.02], "s", ["1970-01-01", "1970-01-01T00:00:00.020000000"]),
        ([-3600, 0], "s", ["1969-12-31T23:00", "1970-01-01"]),
        ([1, 2], "excel", ["1899-12-31", "1900-01-01"]),
        (["2023 53", "2025 00"], "%Y %W", ["2024-01-01", "2024-12-30"]),
        ([31122023, 1012024], "%d%m%Y", ["2023-12-31", "2024-01-01"]),
        (["5pm on 3.1.24", "6pm on 3.1.24"], "%I%p on %d.%m.%y", ["2024-01-03T17:00", "2024-01-03T18:00"]),
    ],
)
def test_the_option_says_the_notation(values, notation, expected):
    """--time-format is a pattern, a unit since 1970, excel or count, and is taken as it is."""
    result = times(column(*values), "t", notation=notation)
    assert (stamps(result) if result.values.dtype.kind == "M" else result.values.tolist()) == expected


PARTS = {
    "date and time": ({"Date": ["2024-01-01", "2024-01-02"], "Time": ["23:00", "00:00"]},
                      ["2024-01-01T23:00", "2024-01-02"]),
    "date and hour": ({"date": ["2024-01-01", "2024-01-01"], "hour": [23, 24]}, ["2024-01-01T23:00", "2024-01-02"]),
    "numbers": ({"day": [20240101, 20240102], "hr": [0, 1]}, ["2024-01-01", "2024-01-02T01:00"]),
    "hours and minutes": ({"date": ["01/13/2024", "01/13/2024"], "HHMM": [30, 1330]},
                          ["2024-01-13T00:30", "2024-01-13T13:30"]),
    "HHMMSS": ({"date": [20240101] * 3, "time": [0, 3005, 133000]}, ["2024-01-01", "2024-01-01T00:30:05",
               "2024-01-01T13:30"]),
    "year and month": ({"year": [2023, 2024], "month": [12, 1]}, ["2023-12-01", "2024-01-01"]),
    "year and name": ({"year": [2023, 2024], "month": ["Dec", "Jan"]}, ["2023-12-01", "2024-01-01"]),
    "month and year": ({"month": [12, 1], "year": [2023, 2024]}, ["2023-12-01", "2024-01-01"]),
    "year and week": ({"Jahr": [2020, 2021], "KW": [53, 1]}, ["2020-12-28", "2021-01-04"]),
    "year and quarter": ({"year": [2023, 2024], "quarter": [4, 1]}, ["2023-10-01", "2024-01-01"]),
    "year and Q": ({"year": [2023, 2024], "period": ["Q4", "Q1"]}, ["2023-10-01", "2024-01-01"]),
    "year and day": ({"year": [2023, 2024], "doy": [365, 1]}, ["2023-12-31", "2024-01-01"]),
    "four parts": ({"year": [2010, 2010], "month": [1, 1], "day": [2, 3], "hour": [23, 0]},
                   ["2010-01-02T23:00", "2010-01-03"]),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
@pytest.mark.parametrize("sep", [",", " "])
def test_several_columns_are_one_time(case, sep):
    """Columns that hold parts of a time are named together, and the parts come back under their names."""
    table, expected = PARTS[case]
    frame, name = pd.DataFrame(table).rename_axis("line"), sep.join(table)
    result = times(frame, name)
    assert stamps(result) == expected
    again = times(frame.iloc[:1], name, result.kind, notation=result.notation)
    assert again.values[0] == result.values[0]
    back = restore_columns(result.values, name, result.kind, result.zone)
    assert list(back) == list(table)
    if case != "date and hour":
        assert {key: list(part) for key, part in back.items()} == table


def test_a_column_of_this_very_name_wins():
    """ "date hour" is one column where the file has one of this name."""
    frame = pd.DataFrame({"date hour": ["2024-01-01 05:00"], "date": ["2020-01-01"], "hour": [1]}).rename_axis("line")
    assert stamps(times(frame, "date hour")) == ["2024-01-01T05:00"]


@pytest.mark.parametrize("numbers", [[1, 96], [1, 48], [1, 2]])
def test_a_number_beside_a_date_is_no_day_of_it(numbers):
    """The quarter or half of an hour within a day does not stand for a day of the year or a week."""
    frame = pd.DataFrame({"date": ["2024-01-31"] * 2, "interval": numbers}).rename_axis("line")
    with pytest.raises(InputError, match=r"2024-01-31\|.*--time-format"):
        times(frame, "date,interval")


def test_months_of_two_digits_are_read_in_any_order():
    """Months of many years, several series of them, and those that run backwards are no days of a month."""
    months = pd.date_range("2015-03-01", periods=30, freq="MS").strftime("%b-%y").tolist()
    for words in (months, months[::-1], months * 2, months[::3]):
        assert times(column(*words), "t").kind == "%b-%y"


def test_fractions_of_a_second_are_written_as_they_were_read():
    """A float of seconds since 1970 or of Excel's days comes back as the shortest number that is read the same."""
    for kind, values in (("s", [1704067200.123, 1704067200.223]), ("excel", [45292.25, 45292.5])):
        result = times(column(*values), "t", notation=kind)
        assert restore(result.values, kind, None).tolist() == values


def test_the_hour_that_comes_twice_is_settled_by_order_in_each_series():
    """The first 02:00 of a series is summer time and the second winter time; backwards it is the other way round."""
    hours = ["2023-10-29 01:00", "2023-10-29 02:00", "2023-10-29 02:00", "2023-10-29 03:00"]
    utc = ["2023-10-28T23:00", "2023-10-29", "2023-10-29T01:00", "2023-10-29T02:00"]
    frame, codes = column(*hours, *hours[::-1]), np.repeat([0, 1], 4)
    result = times(frame, "t", zone="Europe/Berlin", codes=codes)
    assert (result.kind, result.zone) == ("wall", "Europe/Berlin")
    assert stamps(result) == utc + utc[::-1]
    assert restore(result.values, "wall", result.zone).dt.strftime("%Y-%m-%d %H:%M").tolist() == hours + hours[::-1]
    once = times(column(*hours[:2], hours[3]), "t", zone="Europe/Berlin")
    assert stamps(once) == [utc[0], utc[1], utc[3]]


def test_instants_are_placed_by_the_zone_of_the_run():
    """New data with another offset, or in UTC, mean the same instants and the same local days as those of the fit."""
    read = lambda word, kind: stamps(times(column(word), "t", kind, zone="America/New_York"))  # noqa: E731
    assert read("2024-03-11T13:30:00Z", "local") == ["2024-03-11T09:30"]
    assert read("2024-03-11T09:30:00-04:00", "local") == ["2024-03-11T09:30"]
    assert read("2024-03-11T14:30:00+01:00", "utc") == ["2024-03-11T13:30"]
    assert read("2024-03-11T13:30:00Z", "wall") == read("2024-03-11T09:30:00", "wall") == ["2024-03-11T13:30"]
    with pytest.raises(InputError, match=r"as they were when fitted \(utc\)"):
        read("2024-03-11T13:30:00", "utc")


def test_offsets_that_change_name_their_zone():
    """Offsets by the clocks of Berlin are Berlin's; those of no zone are UTC; one fixed offset stays itself."""
    zone = lambda *words: times(column(*words), "t").zone  # noqa: E731
    assert zone("2023-10-29T00:00:00+02:00", "2023-10-29T04:00:00+01:00") == "Europe/Berlin"
    assert zone("2023-11-05T00:00:00-04:00", "2023-11-05T04:00:00-05:00") == "America/New_York"
    assert zone("2023-11-05T00:00:00+07:00", "2023-11-05T04:00:00-05:00") == "UTC"
    assert zone("2023-11-05T00:00:00+05:30", "2023-11-05T04:00:00+05:30") == "+05:30"
    back = restore(np.array(["2024-07-01T10:00"], "datetime64[ns]"), "utc", "+05:30")
    assert back[0].isoformat() == "2024-07-01T15:30:00+05:30"


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([
        "%Y-%m-%d", "%d.%m.%y %H:%M", "%b %d, %Y", "%Y%m%d%H%M%S", "%G-W%V-%u", "%Y-%j", "%Y %U %w", "%Y/%W/%u",
        "%I:%M:%S %p, %A %d %B %Y", "%m/%Y", "%d %b %y %H.%M.%S.%f", "%Y-%m-%d %H:%M %z",
    ]),
    st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)),
)  # fmt: skip
def test_a_pattern_reads_as_strptime_does(pattern, moment):
    """Whatever strftime writes is read as strptime reads it."""
    import pyarrow as pa

    word = moment.strftime(pattern.replace("%z", "+0100"))
    fields = patterns.read(pa.array([word]), pattern)
    assert not fields.bad[0]
    assert fields.local[0] == np.datetime64(datetime.strptime(word, pattern).replace(tzinfo=None), "ns")
    assert fields.minutes is None or fields.minutes[0] == 60


WORDS = st.text(alphabet="0123456789 -/.:TZWQM+,[]()年월 AaPpMmJjanFebéMoUTCEurope", max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4))
def test_any_text_is_read_or_refused(words):
    """Whatever stands in a column, it is times or one InputError."""
    try:
        result = times(column(*words), "t")
    except InputError:
        return
    restore(result.values, result.kind, result.zone)
    assert len(result.values) == len(words)
