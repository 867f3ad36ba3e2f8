"""Metrics by hand and by sacrebleu, baselines by brute force, an honest verdict, and data with a known answer."""

import json
import math
import random
import re
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

metrics = pytest.importorskip("sacrebleu.metrics")

from gated._check import InputError  # noqa: E402
from gated.tasks.translate import dates, scoring  # noqa: E402
from gated.tasks.translate.scoring import bleu, build_memory, score, table, verdict  # noqa: E402
from made import fresh  # noqa: E402

WORDS = [
    "A",
    "man",
    "in",
    "a",
    "red",
    "hat",
    "rides",
    "the",
    "horse",
    "U.S.",
    "1,000",
    "don't",
    "(two)",
    "Ärger,",
    "4-5",
]


def sentences(count: int, seed: int, least: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(least, 12))) + "." * (n % 3 > 0) for n in range(count)]


def noisy(lines: list[str], seed: int, share: float = 0.3) -> list[str]:
    rng = random.Random(seed)
    return [
        " ".join(rng.choice(WORDS) if rng.random() < share else w for w in s.split() if rng.random() > 0.1)
        for s in lines
    ]


# -- metrics


def test_metrics_agree_with_a_computation_by_hand():
    """BLEU is the geometric mean of clipped precisions times the brevity penalty; the case counts, or does not."""
    got = score(["The cat sat on mat"], ["the cat sat on the mat"], trials=0)
    short = math.exp(1 - 6 / 5)  # of 5 words 4 are right, then cat-sat and sat-on, cat-sat-on, and no four in a row
    assert got["bleu"] == pytest.approx(100 * short * (4 / 5 * 2 / 4 * 1 / 3 * 1 / (2 * 2)) ** 0.25)
    assert got["bleu_lower"] == pytest.approx(100 * short * (5 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert got["brevity"] == pytest.approx(short)
    assert got["ratio"] == pytest.approx(5 / 6)
    assert got["ter"] == pytest.approx(100 / 6)
    assert (got["exact"], got["empty"], got["sentences"], got["interval"]) == (0, 0, 1, None)
    one = score(["ab"], ["ac"], trials=0)["chrf"]  # of 2 letters 1, of 1 pair none; the F-score of the mean
    assert one == pytest.approx(100 * (1 / 2 + 0) / 2)


@pytest.mark.parametrize("sets", [1, 3])
@pytest.mark.parametrize("tokenize", ["13a", "char", "intl"])
def test_metrics_and_signatures_are_sacrebleus(sets, tokenize):
    """Every number and signature is sacrebleu's own, for one reference and for several."""
    truth = [sentences(40, k) for k in range(sets)]
    hypotheses = noisy(truth[0], 7)
    got = score(hypotheses, truth[0] if sets == 1 else truth, tokenize=tokenize)
    theirs = {
        "bleu": metrics.BLEU(tokenize=tokenize), "bleu_lower": metrics.BLEU(lowercase=True, tokenize=tokenize),
        "chrf": metrics.CHRF(), "ter": metrics.TER(),
    }  # fmt: skip
    for name, metric in theirs.items():
        assert got[name] == metric.corpus_score(hypotheses, truth).score, name
        assert got["signatures"][name] == str(metric.get_signature())
    assert got["signature"] == got["signatures"]["bleu"]
    assert f"nrefs:{sets}|case:mixed|eff:no|tok:{tokenize}|smooth:exp" in got["signature"]
    json.dumps(got, allow_nan=False)


@pytest.mark.parametrize("seed", range(3))
def test_bleu_alone_is_that_of_a_score(seed):
    """The BLEU of validation is the one that is reported."""
    truth = sentences(60, seed)
    hypotheses = noisy(truth, seed)
    assert bleu(hypotheses, truth) == score(hypotheses, truth, ter=False, trials=0)["bleu"]
    assert bleu(hypotheses, truth) == metrics.BLEU().corpus_score(hypotheses, [truth]).score
    assert bleu(sentences(9, seed, 4), sentences(9, seed, 4)) == pytest.approx(100)


def test_the_interval_is_sacrebleus():
    """The interval's half width is that of sacrebleu's bootstrap, which draws the same test sets."""
    truth = sentences(50, 0, 4)
    hypotheses = noisy(truth, 1)
    low, high = score(hypotheses, truth)["interval"]
    theirs = metrics.BLEU().corpus_score(hypotheses, [truth], n_bootstrap=1000)
    assert (high - low) / 2 == pytest.approx(theirs._ci, rel=1e-4)
    assert low < theirs.score < high
    again = scoring._bootstrap(hypotheses, [truth], "13a", 1000, 12345)
    assert again.mean() == pytest.approx(theirs._mean, rel=1e-4)
    assert score(hypotheses, truth, seed=1)["interval"] != [low, high]


def test_exact_and_empty_are_counted():
    """A sentence is exact where it equals any of its references, spaces at the ends aside."""
    got = score(["a b ", "c", "", " "], [["a b", "d", "e", "f"], ["x", "c", "e", "f"]], trials=0)
    assert (got["exact"], got["empty"]) == (0.5, 2)


QUIET = """
import logging, os, random, sys
import numpy as np
import rich.table  # draws a random number when it is imported
def watch(event, args):
    assert not event.startswith(("socket.", "urllib.")), event
sys.addaudithook(watch)
def state():
    return random.getstate(), np.random.get_state()[1].tolist(), logging.root.handlers[:], dict(os.environ)
random.seed(3), np.random.seed(3)
before = state()
from gated.tasks.translate.scoring import bleu, build_memory, score, table
lines = [f"line {n} of a tokenised text ." for n in range(150)]
table(score(["", *lines], ["a", *lines], source=["\\ud800", *lines], memory=build_memory(lines, lines), trials=5))
bleu(lines, lines)
assert state() == before
"""


def test_nothing_is_said_downloaded_or_changed():
    """Scoring tokenised, empty and broken text opens no socket, prints nothing, leaves generators and loggers alone."""
    done = fresh.run(QUIET)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr


@pytest.mark.parametrize(
    ("hypotheses", "truth", "message"),
    [
        ([], [], "score: expected at least one translation"),
        (["a"], [], "references: expected 1 sentences"),
        (["a"], ["b", "c"], "references: expected 1 sentences, one for each translation, got 2"),
        (["a", "b"], [["a", "b"], ["a"]], "set 2 of the references: expected 2 sentences"),
        (["a"], [" "], "references: expected a word"),
        (["a", "b"], ["x", 3], "references: expected a string as sentence 2, got int"),
    ],
)
def test_what_cannot_be_compared_is_refused(hypotheses, truth, message):
    """References that are missing, too many, all empty or no text are one clear error."""
    with pytest.raises(InputError, match=message):
        scoring.check_references(hypotheses, truth)  # what `measure`, `score` and `bleu` begin with


SCRIPTS = [
    ("zh", "他画苹果。", "她喜欢书。"), ("zh", "我用 Python 写程序", "ABC 公司的报告很长"), 
    ("char", "彼は林檎を描く。", "彼女は本が好きだ"),
    ("char", "ฉันรักภาษาไทยมาก", "สวัสดี"), ("char", "ខ្ញុំស្រលាញ់", "ភាសា"), ("13a", "나는 책을 좋아한다", "안녕"),
    ("13a", "a dog", "Ω"),    ("13a", "Ein Hund 猫", "zwei"), ("13a", "123", "!"),
]  # fmt: skip


@pytest.mark.parametrize(("tokenize", "first", "second"), SCRIPTS)
def test_the_tokenizer_follows_the_script(tokenize, first, second, monkeypatch):
    """Chinese has sacrebleu's, other scripts without spaces have characters, and the signature names it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert scoring.choose_tokenizer([first, second]) == tokenize
    result = score([first, second], [first, second], trials=0)
    assert f"tok:{tokenize}|" in result["signature"]


def test_chinese_has_a_score():
    """Sentences without spaces that are nearly right have a BLEU, in validation too."""
    truth = ["学生看苹果。", "学生画猫。", "老师喜欢书。", "学生看猫。"]
    guess = [*truth[:3], "学生画猫。"]
    assert 60 < scoring.bleu(guess, truth) < 100
    assert score(guess, truth, trials=0)["bleu"] == pytest.approx(scoring.bleu(guess, truth))
    assert scoring.chrf(guess, truth) > 60


@pytest.mark.parametrize("width", [40, 50, 60, 80, 100])
def test_a_narrow_table_has_fewer_metrics(width):
    """No line is wider than the terminal; the name, BLEU and chrF stay."""
    truth = ["a dog sees a cat .", "the cat runs away from it", "one more sentence here"]
    text = table(score(truth, truth, source=truth, memory=build_memory(truth, truth), trials=9, seconds=1.0), width)
    assert max(map(len, text.splitlines())) <= width
    assert all(word in text for word in ("BLEU", "chrF", "translation memory", "LSTM"))
    assert ("seconds" in text) == (width == 100)


def test_a_tokenizer_that_would_be_downloaded_is_refused():
    """Only tokenizers that sacrebleu holds itself are offered."""
    with pytest.raises(InputError, match=r"tokenize: expected one of '13a'.*got 'flores200'"):
        score(["a"], ["a"], tokenize="flores200")
    for tokenize in scoring.TOKENIZE:
        assert score(["a b c d"], ["a b c d"], tokenize=tokenize, trials=0)["bleu"] == pytest.approx(100)


# -- translation memory


def brute(source: list[str], query: str) -> list[float]:
    """The cosine, but for the query's length, of tf-idf vectors of 2-grams and 6-grams, counted in dictionaries."""

    def grams(s: str) -> dict[str, int]:
        s, out = f" {' '.join(s.casefold().split())} ", {}
        for n in (2, 6):
            for k in range(len(s) - n + 1):
                out[s[k : k + n]] = out.get(s[k : k + n], 0) + 1
        return out

    bags = [grams(s) for s in source]
    rarity = {g: math.log((1 + len(bags)) / sum(g in b for b in bags)) for b in bags for g in b}
    length = [math.sqrt(sum((t * rarity[g]) ** 2 for g, t in b.items())) for b in bags]
    asked = grams(query)
    return [
        sum(asked.get(g, 0) * t * rarity[g] ** 2 for g, t in b.items()) / n for b, n in zip(bags, length, strict=True)
    ]


def test_a_memory_finds_what_brute_force_finds():
    """The nearest stored sentence is the one of highest cosine, the first of equals."""
    source = [*sentences(60, 0, 2), "ein Mann", "EIN  MANN", "犬が走る", "猫が走る"]
    stored = build_memory(source, [str(n) for n in range(len(source))])
    asked = [*noisy(source[:50], 1), "ein mann", "猫が走った", "Σ"]
    for query, n in zip(asked, stored(asked), strict=True):
        similarity = brute(source, query)
        if not n:
            assert max(similarity) == 0
        else:
            assert similarity[int(n)] == pytest.approx(max(similarity), rel=1e-5)
    assert stored(["ein Mann", "猫が", "Σ", ""]) == ["60", "63", "", ""]


def test_a_memory_knows_its_own_sentences():
    """A stored sentence is answered with its own translation, also by a memory of one, of short and of odd ones."""
    source = list(dict.fromkeys(s.casefold() for s in sentences(300, 5, 1)))
    stored = build_memory(source, [s[::-1] for s in source])
    assert stored(source) == [s[::-1] for s in source]
    assert build_memory(["x"], ["y"])(["x", "z"]) == ["y", ""]
    assert build_memory(["x y"] * 2000, ["y"] * 2000)(["x y", "z"]) == ["y", ""]
    assert build_memory([""], ["y"])(["", "a"]) == ["y", ""]
    with pytest.raises(InputError, match="2 target sentences"):
        build_memory(["a", "b"], ["c"])


# -- scores


def test_score_says_who_won_also_when_it_is_not_us():
    """A good translation wins over copying, a poor one loses to it, and one as good does not win."""
    truth = sentences(50, 0, 4)
    source, good, poor = noisy(truth, 1, 0.5), noisy(truth, 2, 0.1), sentences(50, 9, 4)
    won = score(good, truth, source=source, seconds=1.25)
    assert (won["best"], won["by"], won["seconds"]) == ("LSTM", "bleu", 1.25)
    assert won["baselines"]["copy"]["beaten"] == 1
    assert won["baselines"]["copy"]["bleu"] == score(source, truth)["bleu"]
    assert verdict(won).endswith("LSTM wins, on 100 % of resampled test sets.")
    assert "LSTM ◂ best" in table(won)
    assert won["signature"] in table(won)
    lost = score(poor, truth, source=source, name="GRU")
    assert lost["best"] == "copy"
    assert verdict(lost).endswith("the copy of the source wins on this data.")
    assert "copy of the source ◂ best" in table(lost)
    same = score(source, truth, source=source)
    assert same["best"] == "copy"
    assert verdict(same).endswith("a tie.")
    stored = score(good, truth, source=source, memory=build_memory(source, truth))
    assert (stored["best"], stored["baselines"]["memory"]["bleu"]) == ("memory", pytest.approx(100))
    json.dumps(stored, allow_nan=False)


def test_a_small_difference_is_too_close_to_call():
    """What few sentences cannot tell apart is not called a win."""
    truth = sentences(12, 0, 4)
    result = score(noisy(truth, 1), truth, source=noisy(truth, 2))
    assert 0.025 < result["baselines"]["copy"]["beaten"] < 0.975
    assert verdict(result).endswith("too close to call on 12 sentences.")


def test_without_four_words_chrf_decides():
    """Where no BLEU can be had the best is by chrF, and the table says why."""
    result = score(["Haus", "Maus"], ["Haus", "Laus"], source=["house", "mouse"])
    assert (result["bleu"], result["by"], result["best"]) == (0, "chrf", "LSTM")
    assert "chrF: LSTM wins." in table(result)
    assert "fewer than four words" in table(result)


def test_the_table_notes_what_the_numbers_hide():
    """Empty translations, tokenised references and scripts without spaces are noted."""
    truth = [s.rstrip(".") + " ." for s in sentences(20, 0, 4)]
    hypotheses = table(score(["", *truth[1:]], truth))
    assert "1 of 20 translations are empty." in hypotheses
    assert "do not compare with those of plain text" in hypotheses
    bare = ["男の子が公園で犬と一緒に走っている。"], ["男の子が犬と一緒に公園を走っています。"]
    assert "tokenize='char'" in table(score(*bare, tokenize="13a"), 1000)


@pytest.mark.parametrize("extra", [{"ter": False}, {"trials": 0}, {}])
def test_tables_are_as_wide_as_they_say(extra):
    """Rows of a table fit 100 columns whatever is left out of it."""
    truth = sentences(30, 0, 4)
    result = score(noisy(truth, 1), truth, source=truth, memory=build_memory(truth, truth), name="LSTM 2×512", **extra)
    lines = table(result).splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in table(result)
    names = ["copy of the source ◂ best", "translation memory", "LSTM 2×512"]
    assert [line.strip().split("  ")[0] for line in lines[4:7]] == names


# -- dates, and problems

NUMBERS = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
fifteenth sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth
twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first""".split()  # noqa: SIM905


def read(text: str) -> tuple[date, str]:
    """The date that a text tells, read by strptime, and its weekday if it names one."""
    hypotheses = re.sub("[,.']", "", text.lower())
    before = hypotheses.startswith("the day before ")
    hypotheses = hypotheses.removeprefix("the day before ")
    found = re.match("(mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(day)?(?= )", hypotheses)
    weekday = found[0][:3] if found else ""
    hypotheses = hypotheses[found.end() :] if found else hypotheses
    words = [str(1 + NUMBERS.index(w)) if w in NUMBERS else w for w in hypotheses.split() if w not in ("the", "of")]
    words = [re.sub("(?<=[0-9])(st|nd|rd|th)$", "", w)[:4] for w in words]
    words = [w[:3] if w[0].isalpha() else w for w in words]
    for form in ("%d %b %Y", "%b %d %Y", "%Y %b %d", "%d %b %y", "%b %d %y"):
        try:
            day = datetime.strptime(" ".join(words), form).date()
        except ValueError:
            continue
        if day.year > 2029:  # strptime takes the years from 69 for the last century's, we those from 30
            day = day.replace(year=day.year - 100)
        return day - timedelta(before), weekday
    raise ValueError(text)


def test_dates_are_what_their_words_say():
    """Every date in words is read back by datetime as the ISO date beside it, its weekday that of the calendar."""
    for hypotheses, iso in dates.pairs(3000, 0):
        day, weekday = read(hypotheses)
        assert day.isoformat() == iso, hypotheses
        assert 1930 <= day.year <= 2029
        spoken = day + timedelta("before" in hypotheses.lower())
        assert weekday in ("", spoken.strftime("%a").lower()), hypotheses


def test_dates_are_the_same_for_a_seed_and_never_twice():
    """A seed gives the same pairs, more of them begin with fewer, sources differ, and all years and months come."""
    some = dates.pairs(2000, 4)
    assert dates.pairs(2000, 4) == some
    assert dates.pairs(50, 4) == some[:50]
    assert dates.pairs(50, 5) != some[:50]
    assert dates.pairs(0, 0) == []
    assert len({a for a, _ in some}) == 2000
    assert len({b[:4] for _, b in some}) == 100
    assert len({b[5:] for _, b in some}) > 350
    assert dates.pairs(2, 0) == [("June 11, 2014", "2014-06-11"), ("Monday 19th May 2008", "2008-05-19")]


def test_dates_come_in_many_forms():
    """Months and weekdays, whole and short, ordinals in figures and words, short years, all cases."""
    hypotheses = [a for a, _ in dates.pairs(4000, 1)]
    forms = [
        r"[a-z] \d+(st|nd|rd|th), ", r"the third of \w+", r"'\d\d$", r"[A-Z]{5,}", r"^[a-z ]+\d",
        "(?i)^the day before ", r"\bSep\. ", "Wednesday, ", r"\bTue ", r"^\d{4}, ", r" of ([A-Z][a-z]+) \d{4}$",
    ]  # fmt: skip
    for form in forms:
        assert sum(bool(re.search(form, a)) for a in hypotheses) > 2, form
    assert 0.09 < sum("before" in a.lower() for a in hypotheses) / 4000 < 0.16
    with pytest.raises(InputError, match="count"):
        dates.pairs(10**9, 0)


def test_ordinals_are_words():
    """All thirty-one ordinals, as words and with their endings."""
    assert [dates.ordinal(n) for n in range(1, 32)] == NUMBERS
    hypotheses = " ".join(f"{n}{dates.suffix(n)}" for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31))
    assert hypotheses == "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 30th 31st"


def test_problems_are_copied_and_reversed(monkeypatch):
    """A copy is its source, a reversal reversed is its source, of all lengths and symbols asked for."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    from translate_problems import copy_pairs, reverse_pairs

    same, turned = copy_pairs(600, 8, 5, seed=3), reverse_pairs(600, 8, 5, seed=3)
    assert all(a == b for a, b in same)
    assert [(a, " ".join(b.split()[::-1])) for a, b in turned] == same
    assert {len(a.split()) for a, _ in same} == set(range(1, 9))
    assert set(Counter(w for a, _ in same for w in a.split())) == set("01234")
    assert {len(a.split()) for a, _ in copy_pairs(99, 9, 5, 0, shortest=9)} == {9}
    assert copy_pairs(5, 8, 5, seed=3) == same[:5]
    with pytest.raises(ValueError, match="nothing to draw"):
        copy_pairs(1, 2, 3, 0, shortest=3)
