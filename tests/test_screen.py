"""What is told while a fit runs, and tables as wide as the terminal: on any width, in a log, where nobody reads."""

import io
import itertools
import re
import sys
import time

import pytest

from gated.report import tables
from made.fits import Scripted, fit, mse, net


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(screen):
    """What a terminal got, without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())


@pytest.mark.parametrize("width", [30, 40, 59, 60, 100])
def test_progress_keeps_the_step(monkeypatch, width):
    """On a terminal of any width the step stands whole, no line is wider, and no two numbers have one name."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    fit(net(), validate=Pair(), eval_every=12, progress=True)
    lines = shown(screen).replace("\r", "\n").split("\n")
    assert any(line.startswith("step 12 ") for line in lines)
    assert max(map(len, lines)) <= width
    assert ("━" in screen.getvalue()) == (width >= 60)
    for line in lines:
        assert line.count(" loss 0") <= 2
        assert "valid loss" in line or line.count("loss 0") <= 1


class Pair(Scripted):
    """Two numbers, of which one is called loss."""

    def __call__(self, model):
        return {"errors": 0.25, "loss": 0.75}


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def slow(monkeypatch, seconds):
    """Each step takes so long."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def loss(model, batch):
        now[0] += seconds
        return mse(model, batch)

    return loss


def test_a_log_grows(monkeypatch):
    """Where standard error is no terminal there is a line after ten seconds, each half minute, then more seldom."""
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    fit(net(), slow(monkeypatch, 1.0), steps=2000, log_every=1, progress=True)
    steps = [int(line.split()[1].replace(",", "")) for line in log.getvalue().splitlines()]
    assert steps[:3] == [10, 40, 70]
    assert steps == sorted(steps)
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert max(gaps) > 60
    assert 20 < len(steps) < 70
    assert re.fullmatch(r"step 40  loss [\d.]+  33 min left", log.getvalue().splitlines()[1])
    assert "\x1b" not in log.getvalue()


@pytest.mark.parametrize("way", ["quick", "quiet", "dumb", "full"])
def test_a_log_is_short_where_nothing_is_to_be_told(monkeypatch, way):
    """A quick fit and a quiet one write nothing, a dumb terminal gets lines, and a full disk stops no fit."""
    log = {"dumb": Terminal, "full": Full}.get(way, io.StringIO)()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", log)
    history = fit(net(), slow(monkeypatch, 0.01 if way == "quick" else 30.0), progress=way != "quiet")
    assert history.stopped == "steps"
    assert bool(log.getvalue()) == (way == "dumb")
    assert "\x1b" not in log.getvalue()


ROW = ("a memory of translations ◂ best", "12.3", "11.1–14.4", "12.3", "33.3", "44.4", "5 %", "1.02", "3.3")
HEADS = ("", "BLEU", "95 %", "lower", "chrF", "TER", "exact", "length", "seconds")


@pytest.mark.parametrize("tight", [True, False])
@pytest.mark.parametrize("width", [36, 40, 60, 80, 99, 200])
def test_a_table_fits(width, tight):
    """Columns that have no room are left out from the right, and named; those that stay are whole."""
    grid = tables.grid(*HEADS, tight=tight)
    grid.add_row(*ROW)
    text = tables.draw(grid, width)
    assert max(map(len, text.splitlines())) <= width
    kept = [cell for cell in HEADS[1:] if cell in text.split("Wider than this")[0]]
    assert kept == list(HEADS[1 : 1 + len(kept)])
    if width >= 40:
        assert kept
        assert all(cell in text for cell in ROW[1 : 1 + len(kept)])
        assert ROW[0][:24] in text
    left_out = " ".join(text.partition("Wider than this: ")[2].split())
    assert left_out == ", ".join(HEADS[1 + len(kept) :]) + "." * (len(kept) < 8)


def test_a_table_is_as_wide_as_the_terminal(monkeypatch):
    """By COLUMNS where it is set, and 100 where there is no terminal."""
    monkeypatch.setenv("COLUMNS", "57")
    assert tables.terminal_width() == 57
    for words in ("", "many"):
        monkeypatch.setenv("COLUMNS", words)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        assert tables.terminal_width() == 100
