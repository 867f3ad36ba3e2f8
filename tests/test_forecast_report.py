"""The report: two files that need nothing else, and that say what the numbers say."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")

from gated.tasks.forecast.baselines import baselines
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.report import draw
from gated.tasks.forecast.roll import roll
from gated.tasks.forecast.scoring import score, verdict
from made import fresh

LEVELS = [0.1, 0.25, 0.5, 0.75, 0.9]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of five series with awkward names, drawn twice."""
    rng = np.random.default_rng(0)
    n, length, h = 5, 60, 6
    t = np.arange(length)
    y = np.concatenate([50 + k + 9 * np.sin(2 * np.pi * t / 12) + rng.standard_normal(length) for k in range(n)])
    ids = np.array(["<b>&", "$x_1$", "plain", "d", "e" * 80], object)
    days = np.datetime64("2024-01-01", "ns") + np.timedelta64(1, "D") * t
    full = Panel(
        ids, np.arange(n + 1) * length, y, np.tile(days, n), "D", np.zeros((n * length, 0)),
        np.zeros((n * length, 0)), np.zeros((n, 0)),
    )  # fmt: skip
    cases = roll(full, h)
    quantiles = baselines(cases.history, h, 12, LEVELS, ["SeasonalNaive"])["SeasonalNaive"].quantiles + 0.5
    result = score(
        cases.history,
        cases.truth,
        quantiles,
        LEVELS,
        12,
        beside=["SeasonalNaive"],
        name="GRU",
    )
    losses = [{"step": k, "loss": 1 / k, **({"valid": 2 / k} if k % 2 == 0 else {})} for k in range(1, 9)]
    options = dict(truth=cases.truth, result=result, losses=losses, title="Sales & <more>", target="pieces a day")
    folders = [tmp_path_factory.mktemp("report") for _ in range(2)]
    paths = [draw(folder, cases.history, quantiles, LEVELS, **options) for folder in folders]
    return paths, result, cases, quantiles


def test_both_files_are_written_and_drawing_again_gives_the_same(report):
    """report.png and report.html, byte for byte the same from the same forecast."""
    (first, second), *_ = report
    assert [p.name for p in first] == ["report.png", "report.html"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert first[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_page_needs_nothing_but_itself(report):
    """No script, no link, no image or font from elsewhere; light and dark; made for narrow screens."""
    page = report[0][0][1].read_text()
    assert not re.search(r"<script|<link|<img|@import|@font-face|url\((?!#)", page)
    assert set(re.findall(r'href="([^"]{1})', page)) <= {"#"}
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert page.count("<svg ") == 4 + 3
    assert not re.search(r"(?:stroke|fill): #(?!fff)", page), "a colour that does not follow the scheme"


def test_the_page_says_who_won_and_escapes_names(report):
    """The verdict stands in words; names of series and the title cannot break the page, and its elements close."""
    _, result, _, _ = report
    page = report[0][0][1].read_text()
    assert verdict(result) in page
    assert "Sales &amp; &lt;more&gt;" in page
    assert "<b>&" not in page
    for name in ("GRU", "SeasonalNaive", "MASE by step ahead", "A typical series", "The worst", "pieces a day"):
        assert name in page

    class Closed(HTMLParser):
        void = frozenset({"meta", "br"})

        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in self.void:
                self.open.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Closed()
    parser.feed(page)
    assert parser.open == []


def test_a_forecast_alone_can_be_drawn(report, tmp_path):
    """Without truth, result and losses the forecast is drawn; with a single step, one level and integer times too."""
    _, _, cases, quantiles = report
    draw(tmp_path / "alone", cases.history, quantiles, LEVELS)
    page = (tmp_path / "alone" / "report.html").read_text()
    assert page.count("<svg ") == 1
    y = np.r_[np.arange(9.0), np.nan]
    one = Panel(np.array([7]), np.array([0, 10]), y, np.arange(10), "1", *(np.zeros((k, 0)) for k in (10, 10, 1)))
    assert all(
        p.exists() for p in draw(tmp_path / "one", one, np.full((1, 1, 1), 3.0), [0.5], truth=np.array([[np.nan]]))
    )


def test_drawing_leaves_the_callers_pyplot_alone(tmp_path):
    """matplotlib's parameters are as before, and pyplot is not even imported."""
    code = f"""
import sys, matplotlib, numpy as np
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.report import draw
settings = lambda: {{k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != "backend"}}
before = settings()
one = Panel(np.array([7]), np.array([0, 9]), np.arange(9.0), np.arange(9), "1", *(np.zeros((k, 0)) for k in (9, 9, 1)))
draw({str(tmp_path)!r}, one, np.zeros((1, 3, 1)), [0.5])
print(before == settings(), "matplotlib.pyplot" in sys.modules)
"""
    process = fresh.run(code)
    assert process.stdout.split() == ["True", "False"], process.stderr
