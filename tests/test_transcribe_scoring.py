"""Error rates equal to jiwer's and to brute force, honest intervals and baselines, a table that hides nothing."""

import json
import random
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

jiwer = pytest.importorskip("jiwer")

from gated.tasks.transcribe import scoring  # noqa: E402
from gated.tasks.transcribe.scoring import constant, percent, rates, table, verdict  # noqa: E402
from made import fresh  # noqa: E402

WORDS = "one two three four five six seven eight nine zero [red] naïve 東京 -".split()  # noqa: SIM905


def lines(count: int, seed: int, least: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(least, 9))) for _ in range(count)]


def misheard(truth: list[str], seed: int, share: float = 0.05) -> list[str]:
    rng = random.Random(seed)
    said = ["".join(rng.choice(["", "x", c + "y"]) if rng.random() < share else c for c in line) for line in truth]
    return [" ".join(line.split()) for line in said]


def distance(a, b) -> int:
    """The least number of replaced, inserted and left-out pieces, by the table of all prefixes."""
    row = list(range(len(b) + 1))
    for k, x in enumerate(a, 1):
        last, row[0] = row[0], k
        for n, y in enumerate(b, 1):
            last, row[n] = row[n], min(row[n] + 1, row[n - 1] + 1, last + (x != y))
    return row[-1]


def score(said: list[str], truth: list[str], constant: str = "#" * 99, **more) -> dict:
    """The score, of lines with their numbers as names, full confidence and a second of decoding."""
    count = len(truth)
    usual = dict(names=[str(n + 1) for n in range(count)], confidences=[1.0] * count, seconds=1.0)
    return scoring.score(said, truth, constant=constant, **usual | more)


def edits(result, unit: str) -> list[int]:
    return [result[name][unit] for name in ("substitutions", "insertions", "deletions")]


# ---- rates


@pytest.mark.parametrize("seed", range(3))
def test_rates_and_counts_are_jiwers(seed):
    """WER, CER and every count are those that jiwer gives for the whole corpus."""
    truth = lines(60, seed)
    said = misheard(truth, seed)
    got = score(said, truth)
    for unit, theirs in {
        "words": jiwer.process_words(truth, said),
        "characters": jiwer.process_characters(truth, said),
    }.items():
        assert edits(got, unit) == [theirs.substitutions, theirs.insertions, theirs.deletions]
        assert got[unit] == sum(map(len, theirs.references))
    assert got["wer"] == pytest.approx(jiwer.wer(truth, said), abs=0)
    assert got["cer"] == pytest.approx(jiwer.cer(truth, said), abs=0)
    assert rates(said, truth) == (got["cer"], got["wer"])


text = st.text(alphabet="ab é", max_size=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(text, text), min_size=1, max_size=5))
def test_rates_are_the_least_edits_over_all_lines(pairs):
    """The rates are Σ edits / Σ lengths by brute force, empty texts included; no text at all is one piece."""
    said, truth = ([" ".join(line.split()) for line in side] for side in zip(*pairs, strict=True))
    got = score(*(list(side) for side in zip(*pairs, strict=True)), trials=3)
    words = sum(distance(t.split(), s.split()) for s, t in zip(said, truth, strict=True))
    letters = sum(distance(t, s) for s, t in zip(said, truth, strict=True))
    assert (sum(edits(got, "words")), sum(edits(got, "characters"))) == (words, letters)
    assert got["wer"] == words / max(1, sum(len(t.split()) for t in truth))
    assert got["cer"] == letters / max(1, sum(map(len, truth)))
    assert got["exact"] == sum(map(str.__eq__, said, truth)) / len(truth)
    assert rates(said, truth) == (got["cer"], got["wer"])
    for unit in ("words", "characters"):
        rows = got["confusions"][unit]
        assert sum(row["count"] for row in rows) == sum(edits(got, unit))
        assert sum(row["count"] for row in rows if not row["truth"]) == got["insertions"][unit]
        assert sum(row["count"] for row in rows if not row["said"]) == got["deletions"][unit]
        assert all(row["truth"] != row["said"] for row in rows)
    json.dumps(got, allow_nan=False)


def test_an_empty_truth_has_insertions_only():
    """Where nothing was to be said all that was said is wrong, and saying nothing is right."""
    got = score(["one two", ""], ["", ""])
    assert (got["wer"], got["cer"], got["exact"]) == (2, 7, 0.5)
    assert edits(got, "words") == [0, 2, 0]
    assert "2 of 2 lines have an empty truth" in table(got)
    quiet = score([""], [" "])
    assert (quiet["wer"], quiet["cer"], quiet["exact"], quiet["worst"]) == (0, 0, 1, [])


def test_case_and_marks_count_unless_told_otherwise():
    """Text is compared as written; ignoring case or punctuation is asked for, and told in the result."""
    said, truth = ["its five oclock"], ["It’s five  o'clock!"]
    plain = score(said, truth)
    assert edits(plain, "characters") == [1, 0, 3]  # I, and three marks; two spaces are one
    assert (plain["lower"], plain["punctuation"]) == (False, True)
    assert score(said, truth, lower=True)["cer"] == 3 / 18
    assert edits(score(said, truth, punctuation=False), "characters") == [1, 0, 0]
    easy = score(said, truth, lower=True, punctuation=False)
    assert (easy["cer"], easy["wer"], easy["exact"], easy["characters"]) == (0, 0, 1, 15)
    assert "Ignored: case and punctuation." in table(easy)
    assert score(["a b"], ["a - b"], punctuation=False)["cer"] == 0


def test_letters_that_look_alike_are_told_of():
    """é in one code point and in two differ, as written, and a note says why."""
    truth = "é"
    got = score([unicodedata.normalize("NFD", truth)], [truth])
    assert got["cer"] > 0
    assert "1 text not in Unicode's form NFC" in table(got)


# ---- intervals


def test_the_interval_is_a_bootstrap_over_lines():
    """The interval is that of a plain loop over resampled test sets, as wide, and the same for a seed."""
    truth = lines(80, 1)
    said = misheard(truth, 2, 0.1)
    got = score(said, truth, trials=4000)
    counted = np.array([[distance(t, s), len(t)] for s, t in zip(said, truth, strict=True)])
    rng = np.random.default_rng(5)
    drawn = [counted[rng.integers(80, size=80)].sum(0) for _ in range(4000)]
    low, high = np.quantile([errors / length for errors, length in drawn], [0.025, 0.975])
    assert got["interval"]["cer"] == pytest.approx([low, high], rel=0.04)
    assert got["interval"]["cer"][0] < got["cer"] < got["interval"]["cer"][1]
    assert got["interval"]["wer"][0] < got["wer"] < got["interval"]["wer"][1]
    assert score(said, truth) == score(said, truth)
    assert score(said, truth)["interval"] != score(said, truth, seed=1)["interval"]


def test_the_interval_covers_the_truth():
    """Of many test sets from one source about 95 % have an interval that holds the source's rate."""
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(60):
        wrong = rng.binomial(10, 0.1, 100)
        got = score(["x" * k + "a" * (10 - k) for k in wrong.tolist()], ["a" * 10] * 100, trials=200, seed=seed)
        low, high = got["interval"]["cer"]
        covered += low <= 0.1 <= high
    assert 52 <= covered <= 60


# ---- baselines, and a verdict


def test_baselines_are_one_answer_and_silence():
    """Saying nothing misses everything, and the constant answer scores what scoring it says."""
    truth = ["yes"] * 6 + ["no"] * 3
    got = score(truth, truth, constant="yes")
    assert got["baselines"]["empty"] == {"text": "", "wer": 1, "cer": 1, "exact": 0, "beaten": 1}
    one = score(["yes"] * 9, truth)
    for key in ("wer", "cer", "exact"):
        assert got["baselines"]["constant"][key] == one[key]


def test_the_constant_answer_is_the_best_of_the_texts():
    """No other text that was seen, said to everything, makes fewer errors."""
    texts = lines(40, 3, 3) + ["one"] * 3
    best = constant(texts)
    assert rates([best] * 43, texts)[0] == min(rates([text] * 43, texts)[0] for text in texts)
    assert constant(texts) == best


def test_the_verdict_is_plain_when_nothing_was_learnt():
    """A transcriber that does no better than one answer is said to, and a small lead is too close to call."""
    truth = lines(60, 0)
    assert "No better than one answer" in verdict(score(["one"] * 60, truth, constant="one"))
    assert "No better than saying nothing" in verdict(score([""] * 60, truth))
    near = score(["one"] * 59 + [truth[-1]], truth, constant="one")
    assert "too close to call" in verdict(near)
    good = verdict(score(misheard(truth, 0, 0.01), truth, constant="one"))
    assert good.startswith("LSTM: CER ")
    assert "better" not in good


# ---- confidence, time


def test_confidence_is_judged_by_whether_it_knows():
    """Confidence that orders lines by their errors ranks perfectly, a constant one not at all."""
    truth = ["abcde"] * 10
    said = ["abcde"] * 9 + ["xxxxx"]
    knows = score(said, truth, confidences=[0.9] * 9 + [0.2])["confidence"]
    assert knows == {"mean": pytest.approx(0.83), "auc": 1, "kept": 0.9, "wer": 0, "cer": 0}
    assert score(said, truth, confidences=[0.5] * 10)["confidence"]["auc"] == 0.5
    assert score(said, truth, confidences=np.linspace(0, 1, 10).tolist())["confidence"]["auc"] == 0
    assert score(truth, truth, confidences=[1] * 10)["confidence"]["auc"] is None
    assert "A right line is surer than a wrong one 100 % of the time." in " ".join(
        table(score(said, truth, confidences=[0.9] * 9 + [0.2])).split()
    )


def test_time_is_told_where_it_is_known():
    """The real-time factor is seconds over seconds of sound, and is left out for images."""
    got = score(["a"] * 4, ["a"] * 4, seconds=1.0, duration=25.0)
    assert got["rtf"] == 0.04
    assert "1 s, 250 ms a line, for 25 s of sound: real-time factor 0.04." in " ".join(table(got).split())
    assert score(["a"], ["a"], seconds=1.0)["rtf"] is None
    assert "real-time" not in table(score(["a"], ["a"], seconds=1.0))


# ---- the table


def test_small_is_not_nought_and_almost_all_is_not_all():
    """A share that is not 0 or 100 % never reads as if it were."""
    shown = {0: "0 %", 0.0004: "0.04 %", 0.0000012: "0.0001 %", 0.0123: "1.23 %", 0.5: "50.0 %", 0.99996: "99.996 %",
             1: "100 %", 1.5: "150.0 %"}  # fmt: skip
    assert {share: percent(share) for share in shown} == shown
    truth = ["abcdefghij" * 10] * 25
    got = table(score(["x" + truth[0][1:], *truth[1:]], truth))
    assert "0.04 %" in got
    assert " 0.0 %" not in got


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=80), st.text(max_size=80)), min_size=1, max_size=4))
def test_any_text_fits_a_narrow_terminal(pairs):
    """No line is wider than asked for, whatever the text, and nothing in it acts on a terminal."""
    said, truth = (list(side) for side in zip(*pairs, strict=True))
    got = score(said, truth, constant=truth[0], seconds=1, names=truth, trials=10)
    for width in (30, 40, 60):
        shown = table(got, width=width)
        assert max(cell_len(line) for line in shown.splitlines()) <= width
        assert all(c.isprintable() or c == "\n" for c in shown)


def test_the_table_shows_what_went_wrong():
    """The frequent confusions come first, markup is text, the worst lines are shown where they go wrong."""
    truth = [*lines(30, 0), "[red]m[/red]", "the " * 30 + "end"]
    said = [line.replace("v", "w") for line in truth[:30]] + ["[red]rn[/red]", "the " * 30 + "and"]
    got = score(said, truth, names=[f"{n}.png" for n in range(32)])
    assert got["confusions"]["characters"][0]["truth"] == "v"
    shown = table(got)
    assert "“v”" in shown
    assert "[red]rn[/red]" in shown
    assert "(nothing)" in shown
    assert "31.png: 1 character wrong" in table(score(said[-1:], truth[-1:], names=["31.png"]))
    assert "  said …" in table(score(said[-1:], truth[-1:]))
    assert "the and" in table(score(said[-1:], truth[-1:]))
    assert [row["errors"] for row in got["worst"]] == sorted((row["errors"] for row in got["worst"]), reverse=True)
    assert len(got["worst"]) == 5


def test_a_perfect_score_does_not_claim_more_than_it_shows():
    """Without an error the interval is empty, and a note says what so few lines can show."""
    assert "more than 30 can show" in table(score(["a"] * 30, ["a"] * 30))
    assert "9.50 %" in table(score(["a"] * 30, ["a"] * 30))  # 1 - 0.05^(1/30)


# ---- how fast it is


def test_validation_is_quick():
    """A thousand short lines take less than 50 ms for validation, and about a second for everything."""
    truth = lines(1000, 0)
    said = misheard(truth, 0)
    rates(said[:2], truth[:2])
    took = []
    for _ in range(5):
        start = time.process_time()
        rates(said, truth)
        took.append(time.process_time() - start)
    assert min(took) < 0.05


QUIET = """
import random, sys
import numpy as np
import rich.table  # draws a random number when it is imported
def watch(event, args):
    assert not event.startswith(("socket.", "urllib.")), event
sys.addaudithook(watch)
state = lambda: (random.getstate(), np.random.get_state()[1].tolist())
before = state()
from gated.tasks.transcribe.scoring import constant, rates, score, table
lines = [f"line {n} \\ud800" for n in range(50)]
some = dict(names=["a", *lines], confidences=[1.0] * 51, seconds=1.0)
table(score(["", *lines], ["a", *lines], constant=constant(lines), trials=5, **some))
rates(lines, lines)
assert state() == before
"""


def test_nothing_is_said_or_changed():
    """Scoring, of broken text too, prints nothing, opens no socket, and leaves the caller's generators alone."""
    done = fresh.run(QUIET)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr
