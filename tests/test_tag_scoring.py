"""Scores of tags equal conlleval's, here written out as its two tables, and seqeval's strict ones where they should."""

import itertools
import random

import numpy as np
import pytest

from gated.tasks.tag import scoring, spans
from gated.tasks.tag.data import Sentences
from gated.tasks.tag.search import Tagged


def conlleval(rows):
    """correct, predicted and gold chunks and right tags of (gold, predicted) pairs with O between sentences.

    The rules of conlleval: a chunk starts or ends between two tags by a table of prefixes, and where the type changes.
    """
    starts = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")}
    ends = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")}

    def cut(tag):
        return ("O", "") if tag == "O" else tuple(tag.split("-", 1))

    def start(before, now):
        return (before[0], now[0]) in starts or (now[0] != "O" and before[1] != now[1])

    def end(before, now):
        return (before[0], now[0]) in ends or (before[0] != "O" and before[1] != now[1])

    correct = predicted = gold = right = 0
    before, inside = (("O", ""), ("O", "")), False
    for a, b in rows:
        now = cut(a), cut(b)
        ended = [end(x, y) for x, y in zip(before, now, strict=True)]
        began = [start(x, y) for x, y in zip(before, now, strict=True)]
        if inside:
            if ended[0] and ended[1] and before[0][1] == before[1][1]:
                inside, correct = False, correct + 1
            elif ended[0] != ended[1] or now[0][1] != now[1][1]:
                inside = False
        if began[0] and began[1] and now[0][1] == now[1][1]:
            inside = True
        gold, predicted, right = gold + began[0], predicted + began[1], right + (a == b)
        before = now
    return correct + inside, predicted, gold, right


def chance(seed, prefixes="BI", kinds="xy", sentences=40):
    draw = random.Random(seed)
    names = ["O", "O", *(f"{p}-{k}" for p in prefixes for k in kinds)]
    return [[draw.choice(names) for _ in range(draw.randrange(1, 12))] for _ in range(sentences)]


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_conlleval(seed):
    """On tags of chance, valid or not, counts of chunks and accuracy are conlleval's, and F1 is to the digit."""
    gold, predicted = chance(seed), chance(seed + 100)
    predicted = [[*b[: len(a)], *a[len(b) :]] for a, b in zip(gold, predicted, strict=True)]
    rows = [pair for a, b in zip(gold, predicted, strict=True) for pair in [*zip(a, b, strict=True), ("O", "O")]]
    correct, found, real, right = conlleval(rows)
    result = scoring.evaluate(gold, predicted, "iob2")
    counts = (result["correct_count"], result["predicted_count"], result["spans_count"])
    assert counts == (correct, found, real)
    assert result["f1"] == 2 * correct / (found + real)
    assert result["accuracy"] == (right - len(gold)) / sum(map(len, gold))


def test_figures_as_they_are_printed():
    """371 right of 539 predicted and 459 real spans are 68.83, 80.83 and 74.35, as the example of conlleval prints."""
    sums = dict.fromkeys(scoring.COUNTS, 0) | {"correct": 371, "predicted": 539, "spans": 459}
    result = scoring.summarize(np.array([sums[name] for name in scoring.COUNTS]))
    assert [f"{100 * result[name]:.2f}" for name in ("precision", "recall", "f1")] == ["68.83", "80.83", "74.35"]


@pytest.mark.parametrize("scheme", ["iob2", "bioes", "bilou"])
def test_valid_tags_score_as_in_seqeval(scheme):
    """On valid tags the score is seqeval's strict one, of all spans and of each type."""
    seqeval = pytest.importorskip("seqeval.metrics")
    from seqeval.scheme import BILOU, IOB2, IOBES

    mode = {"iob2": IOB2, "bioes": IOBES, "bilou": BILOU}[scheme]
    pairs = [[spans.convert(row, scheme) for row in chance(seed)] for seed in (1, 2)]
    gold, predicted = pairs[0], [[*b[: len(a)], *["O"] * (len(a) - len(b))] for a, b in zip(*pairs, strict=True)]
    predicted = [spans.convert(row, scheme) for row in predicted]
    result = scoring.evaluate(gold, predicted)
    assert result["f1"] == pytest.approx(seqeval.f1_score(gold, predicted, mode="strict", scheme=mode))
    report = seqeval.classification_report(gold, predicted, mode="strict", scheme=mode, output_dict=True)
    for kind, row in result["types"].items():
        assert row["f1"] == pytest.approx(report[kind]["f1-score"])


def test_neighbours_of_one_type_stay_apart():
    """E- ends a span and S- is one, so that a wrong cut is wrong, where conlleval would count all of it as right."""
    result = scoring.evaluate([["B-x", "E-x", "B-x", "E-x"]], [["B-x", "I-x", "I-x", "E-x"]])
    assert (result["f1"], result["accuracy"]) == (0.0, 0.5)
    assert scoring.evaluate([["S-x", "S-x"]], [["S-x", "S-x"]])["correct_count"] == 2


def test_f1_of_plain_tags_is_their_accuracy():
    """Where tags mark no spans, F1 is micro-averaged over single tags; the mean over tags stands beside."""
    result = scoring.evaluate([["N", "V", "N", "N"]], [["N", "N", "N", "V"]])
    assert result["f1"] == result["accuracy"] == 0.5
    assert result["macro_f1"] == pytest.approx((2 * 2 / (3 + 3) + 0) / 2)


def test_segments_need_half_of_each_other():
    """A segment is right with the tag of one of the data, and at least half of what both cover in common."""
    assert scoring.match_segments([list("aabbb")], [list("aaabb")]) == 1.0
    assert scoring.match_segments([list("aabbbb")], [list("aaaaab")]) == 0.0
    assert scoring.match_segments([list("aaaa")], [list("abaa")]) == pytest.approx(2 / 4)
    assert scoring.match_segments([[]], [[]]) == 0.0


def score(gold, predicted, train, labels=None):
    words = [[f"w{k}" for k in range(len(row))] for row in gold]
    data = Sentences(words, gold, labels, "", "list")
    tagged = [Tagged(row, [1.0] * len(row), "a") for row in predicted]
    return scoring.score(data, tagged, spans.detect(gold), train, lambda word: word < "w3", 0.1, suite=False)


def test_known_and_unknown_words_stand_apart():
    """Accuracy is given for words that training has seen and for others."""
    result = score([["N", "V", "N", "N", "V"]], [["N", "V", "V", "N", "N"]], None)
    assert (result["known"], result["unknown"], result["unknown_count"]) == (2 / 3, 1 / 2, 2)


def test_labels_and_whole_sentences_are_counted():
    """label_accuracy counts labels, exact all tags of a sentence, sentence both."""
    gold = [["N"], ["V"], ["N"], ["N"]]
    result = score(gold, [["N"], ["V"], ["V"], ["N"]], None, ["a", "b", "a", "a"])
    assert (result["label_accuracy"], result["exact"], result["sentence"]) == (0.75, 0.75, 0.5)


def test_the_table_names_the_best_and_the_mistakes():
    """The verdict, the types and the most frequent mistakes are in the text, in any width."""
    gold, wrong = [["B-x", "I-x", "O", "B-y"]] * 20, [["B-x", "I-x", "O", "O"]] * 20
    train = Sentences([["w0", "w1", "w2", "w3"]], [["B-x", "I-x", "O", "B-y"]], None, "", "list")
    result = score(gold, wrong, train)
    for width in (60, 120):
        text = scoring.table(result, width)
        assert "most frequent tag ◂ best" in text
        assert "the most frequent tag wins on this data" in text
        assert "B-y as O 20" in text
    assert "a tie" in scoring.table(score(gold, gold, train))
    low, high = result["interval"]
    assert low <= result["f1"] <= high


def test_sentences_of_other_lengths_are_refused():
    """Tags and predictions have as many sentences, of as many words."""
    for other in ([["O"]], [["O", "O"], ["O"]]):
        with pytest.raises(ValueError, match="predictions"):
            scoring.evaluate([["O"], ["O"]], other)


def test_all_tags_of_chance_make_spans_that_are_written_alike():
    """The spans of any tags, written anew, are the same spans."""
    for tags in itertools.islice(chance(3, "BIESLU"), 40):
        for scheme in ("iob1", "iob2", "bioes", "bilou"):
            assert spans.find(spans.convert(tags, scheme)) == spans.find(tags)
