"""What results are shown with: tables of text, intervals by resampling, pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from gated._check import InputError
from gated.report import plots, tables
from gated.report.bootstrap import better, close, resample
from gated.report.plots import families

# ---- tables


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20), st.integers(2, 12))
def test_a_text_is_cut_to_its_width(text, width):
    """What fits is left as it is; else its beginning and a mark take exactly the width, wide letters included."""
    found = tables.cut(text, width)
    if cell_len(text) <= width:
        assert found == text
    else:
        assert found.endswith("…")
        assert cell_len(found) == width


def test_a_table_is_plain_text_of_its_columns():
    """Names stand left, numbers right, no line is wider than asked for, nothing is coloured."""
    grid = tables.grid("", "BLEU", "seconds")
    grid.add_row("LSTM", tables.number(12.345, 1), tables.number(None, 1))
    grid.add_row("copy", "3.0", "0.1")
    lines = tables.draw(grid, 40).splitlines()
    assert [line.split() for line in lines if line.strip("─ ")] == [
        ["BLEU", "seconds"], ["LSTM", "12.3", "–"], ["copy", "3.0", "0.1"],
    ]  # fmt: skip
    assert max(map(len, lines)) <= 40
    assert "\x1b" not in "".join(lines)


# ---- intervals


@pytest.mark.parametrize(("n", "trials"), [(7, 30), (1, 3), (3_000_000, 3)])
def test_resampling_sums_as_many_rows_drawn_with_replacement(n, trials):
    """Each trial is the sum over n draws, whether all trials fit into memory together or not."""
    counts = np.stack([np.ones(n), np.arange(n) % 10], 1)
    sums = resample(counts, trials, 5)
    rng = np.random.default_rng(5)
    rows = max(1, 4_000_000 // n)
    drawn = np.concatenate([rng.integers(n, size=(min(rows, trials - k), n)) for k in range(0, trials, rows)])
    assert sums.tolist() == [counts[row].sum(0).tolist() for row in drawn]
    assert sums.tolist() == resample(counts, trials, 5).tolist()


def test_a_win_is_a_share_of_test_sets():
    """Equals count for the other; without trials there is no share; near a half nobody has won."""
    ours, theirs = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 1.0, 4.0, 0.0])
    assert better(ours, theirs, lower=False) == 0.5
    assert better(ours, theirs, lower=True) == 0.25
    assert better(ours[:0], theirs[:0], lower=True) is None
    assert [close(share) for share in (0.0, 0.02, 0.03, 0.5, 0.97, 0.98, None)] == [
        False, False, True, True, True, False, False,
    ]  # fmt: skip


# ---- pictures


def draw(path, extra="translate"):
    figure = plots.canvas(2, 1, extra)
    figure.text(0.1, 0.5, "two words", color=plots.INK)
    plots.save(figure, plots.output(path), extra, "salt")
    return path


@pytest.mark.parametrize("name", ["new/a.png", "a.SVG"])
def test_a_picture_is_the_same_file_again(tmp_path, name):
    """Its folder is made, nothing of the day is in it, and an SVG keeps its text."""
    pytest.importorskip("matplotlib")
    path = draw(tmp_path / name)
    first = path.read_bytes()
    assert draw(path).read_bytes() == first
    assert first.startswith(b"\x89PNG") if name.endswith("png") else b">two words<" in first
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_another_ending_is_refused(tmp_path):
    """Before anything is drawn or made."""
    with pytest.raises(InputError, match=r"\.png or \.svg, got a\.pdf"):
        plots.output(tmp_path / "none" / "a.pdf")
    assert list(tmp_path.iterdir()) == []


def test_letters_that_the_font_lacks_are_taken_from_another():
    """A letter that matplotlib's own font has not is looked for in every font there is; one that none has is let go."""
    fonts = pytest.importorskip("matplotlib.font_manager")
    own = fonts.get_font(fonts.findfont("DejaVu Sans")).get_charmap()
    other = next(f for f in fonts.fontManager.ttflist if f.name == "STIXGeneral" and f.style == "normal")
    letter = chr(next(c for c in fonts.get_font(other.fname).get_charmap() if c not in own and c > 0x2000))
    found = families(f"abc{letter}", "translate")
    assert found[0] == "DejaVu Sans"
    files = [f.fname for name in found[1:] for f in fonts.fontManager.ttflist if f.name == name]
    assert any(fonts.get_font(file).get_char_index(ord(letter)) for file in files)
    assert families("abc äß", "translate") == ["DejaVu Sans"]
    assert families("\U000e0fff", "translate") == ["DejaVu Sans"]
