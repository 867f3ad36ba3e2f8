"""Files of labelled series: .ts and the lines of the UCR archive."""

import numpy as np
import pytest

from gated._check import InputError
from gated.io import series

HEAD = "@problemName x\n@timeStamps false\n@classLabel true a b\n@data\n"
nan = np.nan


def lines(text):
    return list(enumerate(text.split("\n"), 1))


TS = {
    "channels": (HEAD + "1,2,3:4,5,6:a", 5, [[1, 2, 3], [4, 5, 6]], "a"),
    "gaps": (HEAD + "# note\n1,?,3:NaN,5,6:b", 6, [[1, nan, 3], [nan, 5, 6]], "b"),
    "padding": (HEAD + "1,2,NaN:4,?,?:a", 5, [[1, 2], [4, nan]], "a"),
    "no value": (HEAD + "?,?:a", 5, [[]], "a"),
    "times": (HEAD.replace("false", "true") + "(0,1.5),(1,2.5):(0,3),(1,4):a b", 5, [[1.5, 2.5], [3, 4]], "a b"),
    "clock times": (HEAD.replace("false", "true") + "(10:30,1),(10:31,2):a", 5, [[1, 2]], "a"),
    "no label": ("@classLabel false\n@data\n1,2:3,4", 3, [[1, 2], [3, 4]], None),
    "numbers": ("@targetLabel true\n@data\n1,2:0.5", 3, [[1, 2]], "0.5"),
}


@pytest.mark.parametrize(("text", "line", "values", "label"), TS.values(), ids=TS)
def test_ts(text, line, values, label):
    """A line of .ts is its channels, NaN where a value is missing, up to the last value, and its label."""
    (one,) = series.read_ts("x.ts", lines(text))
    assert (one.line, one.label) == (line, label)
    np.testing.assert_array_equal(one.values, np.array(values, np.float32))


@pytest.mark.parametrize("sign", ["\t", ",", " ", "  "])
def test_ucr(sign):
    """A line of the UCR archive is the label and one channel; NaN behind the last value is padding."""
    text = sign.join(["2", "0.5", "NaN", "-1e-3", "NaN"])
    assert series.is_ucr(text)
    (one,) = series.read_ucr("x.tsv", lines(text))
    assert one.label == "2"
    np.testing.assert_array_equal(one.values, np.array([[0.5, nan, -1e-3]], np.float32))


BAD = {
    "letters": (series.read_ucr, "1\t2\tx", "line 1: expected numbers, .* got 'x'"),
    "a label alone": (series.read_ucr, "1", "line 1: expected a label and the values"),
    "unlike channels": (series.read_ts, HEAD + "1,2:3:a", "line 5: expected channels of one length, got 1, 2"),
    "another number of channels": (
        series.read_ts,
        HEAD + "1:2:a\n1:a",
        "line 6: expected 2 channels, as before, got 1",
    ),
    "no data": (series.read_ts, HEAD.replace("@data", ""), "a line @data"),
    "a table": (series.read_ts, "# x\na,b,c", "line 2: expected a line of the header"),
    "huge": (series.read_ts, HEAD + "1e300:a", "numbers below 1e30"),
    "no times": (series.read_ts, HEAD.replace("false", "true") + "1,2:a", "line 5: expected pairs"),
}


@pytest.mark.parametrize(("read", "text", "part"), BAD.values(), ids=BAD)
def test_what_is_no_series_is_one_error(read, text, part):
    """An error names the file, the line and what came."""
    with pytest.raises(InputError, match=f"x.ts.*{part}"):
        list(read("x.ts", lines(text)))
