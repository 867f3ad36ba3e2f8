"""Damaged and hostile input is taken, or refused in one sentence; `make faults` tries tens of thousands."""

import pytest

from made import faults

CASES = {"data": 120, "runs": 120, "programs": 300}


@pytest.mark.parametrize("label", CASES)
def test_whatever_comes_is_taken_or_refused(tmp_path, label):
    """No case ends in another exception, and both ends occur."""
    kind, ends = faults.KINDS[label], set()
    (tmp_path / "made").mkdir()
    made = kind.prepare(tmp_path / "made")
    for n in range(CASES[label]):
        place = tmp_path / str(n)
        place.mkdir()
        try:
            ends.add(kind.case(made, faults.draw_of(label, n), place))
        except Exception as error:
            raise AssertionError(f"case {n} of {label}") from error
    assert ends == {"taken", "refused"}
