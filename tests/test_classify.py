"""The classifier: padding, labels, gaps, several labels, numbers, calibration, what decided, and its demo."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gated import classify
from gated._check import InputError
from gated.tasks.classify import baselines, demo, scoring, targets, training
from gated.tasks.classify.targets import Targets

TINY: Any = dict(units=12, batch=16, precision="32", progress=False)


def texts(count, seed=0):
    """Sentences that are good or bad by one word, and their labels."""
    rng = np.random.default_rng(seed)
    words = {"good": ["fine", "lovely"], "bad": ["dull", "poor"]}
    kinds = rng.choice(list(words), count)
    lines = [
        " ".join([*rng.choice(["the", "film", "a", "plot"], rng.integers(0, 9)), rng.choice(words[k])]) for k in kinds
    ]
    return lines, kinds.tolist()


def waves(count, seed=0, gaps=0.05):
    """Series of two channels, of unlike lengths and with gaps, that rise or fall, and their labels."""
    rng = np.random.default_rng(seed)
    xs, labels = [], []
    for n in range(count):
        T = int(rng.integers(9, 24))
        x = np.stack([np.linspace(-2, 2, T) * (1 if n % 2 else -1), np.zeros(T)]) + rng.normal(0, 0.3, (2, T))
        x[rng.random(x.shape) < gaps] = np.nan
        xs.append(x)
        labels.append(n % 2)
    return xs, labels


@pytest.fixture(scope="module")
def critic():
    return classify.fit(*texts(150), steps=60, embedding=12, lr=0.02, **TINY)


@pytest.fixture(scope="module")
def riser():
    return classify.fit(*waves(60), steps=40, lr=0.01, **TINY)


# ---- padding


@pytest.mark.parametrize("kind", ["text", "series"])
def test_padding_and_neighbours_change_nothing(kind, critic, riser):
    """An example has the same scores alone, among 64, and with 100 more steps of padding.

    In other programs an LSTM stayed at chance on padded text (keras#20898), and scores fell with the batch (delft#232).
    """
    run, items = (critic, texts(64, 1)[0]) if kind == "text" else (riser, waves(64, 1)[0])
    xs = run.model.inputs.encode(items)
    together = training.score(run.model, xs)
    np.testing.assert_allclose(training.score(run.model, xs, pad=100), together, rtol=1e-4, atol=1e-5)
    alone = np.concatenate([training.score(run.model, [x], pad=3) for x in xs])
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)


def test_short_texts_in_long_batches_are_learnt():
    """Texts of some words, each batch with one of 200, are classified as well as without it."""
    lines, labels = texts(150)
    lines = [line + " the film" * 100 if n % 16 == 0 else line for n, line in enumerate(lines)]
    run = classify.fit(lines, labels, steps=60, embedding=12, lr=0.02, **TINY)
    assert np.mean([a == b for a, b in zip(run.predict(texts(80, 2)[0]), texts(80, 2)[1], strict=True)]) > 0.9


ODD = {
    "empty": np.zeros((2, 0)),
    "one step": np.ones((2, 1)),
    "a channel of gaps": np.stack([np.linspace(-2, 2, 12), np.full(12, np.nan)]),
    "gaps alone": np.full((2, 5), np.nan),
    "gaps at the ends": np.stack([[np.nan, 1, 2, np.nan], [0, 0, 0, 0]]),
    "huge": np.full((2, 9), 1e20),
    "long": np.zeros((2, 3000)),
}


@pytest.mark.parametrize("x", ODD.values(), ids=ODD)
def test_odd_series_have_a_label(riser, x):
    """Whatever a series lacks, its probabilities are finite and sum to 1."""
    p = riser.probabilities([x])
    assert np.isfinite(p).all()
    assert p.sum() == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "film", "unheard words only", "a" * 5000, "film " * 3000])
def test_odd_texts_have_a_label(critic, text):
    """An empty text, a word, unknown words and far too many are classified."""
    assert critic.predict(text) in {"good", "bad"}


def test_a_rising_channel_is_seen_beside_gaps(riser):
    """A series with one channel missing is classified by the other."""
    up = np.stack([np.linspace(-2, 2, 15), np.full(15, np.nan)])
    assert riser.predict([up, up[:, ::-1]]) == ["1", "0"]


def test_another_number_of_channels_is_one_error(riser):
    """A series of one channel is refused by a classifier of two, by its place."""
    with pytest.raises(InputError, match="number 2: expected 2 channels, got 1 channel"):
        riser.predict([np.zeros((2, 4)), np.zeros(4)])


# ---- labels


def test_labels_are_text_and_come_back(tmp_path):
    """Labels are the text that they were: 007 stays 007, and 10 comes after 9; the folder has them."""
    lines = ["one", "two", "three", "four"] * 10
    run = classify.fit(
        lines, ["007", "10", "9", "a b"] * 10, steps=40, embedding=8, lr=0.02, out=tmp_path / "r", **TINY
    )
    assert run.model.targets.labels == ("007", "9", "10", "a b")
    assert run.model.network.shape.outputs == 4
    again = classify.load(tmp_path / "r")
    assert again.predict(["one", "two", "three", "four"]) == ["007", "10", "9", "a b"]


def test_a_new_label_is_one_line(critic):
    """A label that was never seen counts as wrong, and one sentence names it."""
    lines, labels = texts(40, 3)
    result = critic.score([*lines, "the film"], [*labels, "odd"])
    (note,) = [note for note in result["notes"] if "odd" in note]
    assert note == "1 label not in the training data, so never predicted: 'odd' (1)."
    assert result["accuracy"] <= 40 / 41


def test_several_labels():
    """With output="labels" an example has any number of labels, none included."""
    rng = np.random.default_rng(0)
    rows = [sorted(set(rng.choice(["red", "blue", "green"], rng.integers(0, 4)))) for _ in range(200)]
    lines = [" ".join(["a", *row, "car"]) for row in rows]
    kept = [(line, row) for line, row in zip(lines, rows, strict=True) if row]
    run = classify.fit(
        [l for l, _ in kept], [r for _, r in kept], output="labels", steps=80, embedding=12, lr=0.02, **TINY
    )
    assert run.predict(["a red car", "a blue green car"]) == [("red",), ("blue", "green")]
    result = run.score([l for l, _ in kept], [r for _, r in kept])
    assert result["accuracy"] > 0.9
    assert set(result["baselines"]) == {"majority", "tfidf", "memoryless"}


def test_a_number_is_predicted_as_one():
    """A target of many numbers is a number, which a note says; its error stands beside that of the mean."""
    rng = np.random.default_rng(0)
    xs = [np.cumsum(rng.normal(0, 1, 20)) for _ in range(120)]
    y = [float(x.mean() * 3 + 100) for x in xs]
    run = classify.fit(xs, y, steps=150, lr=0.01, augment=0, **TINY)
    assert any("predicted as a number" in note for note in run.notes)
    result = run.score(xs, y)
    assert result["by"] == "rmse"
    assert result["rmse"] < 0.5 * result["baselines"]["mean"]["rmse"]
    assert "RMSE" in scoring.table(result)
    assert run.classify(xs[:1])[0].spread > 0


GUESSES = {
    "words": (["a", "b"] * 20, "label"),
    "stars": ([str(n % 5) for n in range(100)], "label"),
    "fifty numbers of classes": ([str(n % 50 + 1) for n in range(450)], "label"),
    "counts": ([str(n * n) for n in range(60)], "number"),
    "halves": ([str(n % 3 / 2) for n in range(60)], "label"),
    "measures": ([f"{n % 37 / 7:.3f}" for n in range(200)], "number"),
}


@pytest.mark.parametrize(("values", "kind"), GUESSES.values(), ids=GUESSES)
def test_numbers_are_told_from_labels(values, kind):
    """Labels may be numbers that come again; numbers that hardly do are to be predicted as such."""
    places = [str(n) for n in range(len(values))]
    assert targets.fit([(value,) for value in values], places, "auto", []).kind == kind


def test_order_is_what_memory_sees():
    """Which of two words comes first is learnt by the network, and not by the same network without memory."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation(["left", "right", *["and"] * 6]).tolist() for _ in range(240)]
    labels = ["L" if row.index("left") < row.index("right") else "R" for row in rows]
    lines = [" ".join(row) for row in rows]
    run = classify.fit(lines[:180], labels[:180], steps=250, embedding=12, lr=0.02, augment=0, dropout=0.1, **TINY)
    result = run.score(lines[180:], labels[180:])
    assert result["accuracy"] > 0.9
    assert result["baselines"]["memoryless"]["accuracy"] < 0.75


REFUSED = {
    "one label": (["a", "b"], ["x", "x"], {}, "two labels or more, got 'x'"),
    "labels that never occur again": (["a b"] * 30, [f"l{k}" for k in range(30)], {}, "Is it the right column"),
    "no number": (["a", "b"], ["1", "x"], {"output": "number"}, "number 2: expected a number as the target, got 'x'"),
    "no text": (["", ""], ["x", "y"], {}, "at least one word"),
    "too few targets": (["a", "b"], ["x"], {}, "2, one for each input"),
    "no targets": (["a", "b"], None, {}, "targets beside a list of inputs"),
    "unknown pooling": (["a", "b"] * 9, ["x", "y"] * 9, {"pooling": ("median",)}, "pooling"),
}


@pytest.mark.parametrize(("inputs", "labels", "options", "part"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_fitted_is_one_error(inputs, labels, options, part):
    """An error says what was expected and what came."""
    with pytest.raises(InputError, match=part):
        classify.fit(inputs, labels, **options, **TINY)


# ---- figures


def test_held_out_examples_have_every_label():
    """Of every label as large a share is held out, and one example of a rare one stays."""
    codes = np.repeat([0, 1, 2], [100, 20, 1])
    used, held = training.hold_out(codes, "label", 24)
    assert np.bincount(codes[held], minlength=3).tolist() == [20, 4, 0]
    assert sorted([*used, *held]) == list(range(121))


def test_temperature_is_that_of_the_least_loss():
    """Scores that are three times too large are divided by three."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1.5, (4000, 3))
    p = targets.probabilities(scores, "label", 1.0)
    codes = np.array([rng.choice(3, p=row) for row in p])
    assert targets.find_temperature(3 * scores, codes, "label") == pytest.approx(3, rel=0.1)


def test_figures_are_their_definitions():
    """Accuracy, macro F1, log loss and calibration of four examples, by hand."""
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    result = scoring.evaluate(p, np.array([0, 1, 1, 0]), Targets("label", ("a", "b")))
    assert result["accuracy"] == 0.75
    assert result["f1"] == pytest.approx((2 * 2 / 5 + 2 * 1 / 3) / 2)
    assert result["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.7]).mean())
    assert result["ece"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)


def test_the_confusion_table_counts(critic):
    """A row a label: the right ones on the diagonal, the mistakes beside it, most frequent first."""
    table = scoring.confusion(np.array([0, 1, 1, 1]), np.array([0, 0, 0, 1]), Targets("label", ("a", "b")))
    assert table["counts"] == [[1, 2], [0, 1]]
    assert table["pairs"] == [{"truth": "a", "prediction": "b", "count": 2}]
    a = table["labels"]["a"]
    assert (a["precision"], a["recall"], a["examples"]) == (1.0, 1 / 3, 3)
    assert a["recall_interval"] == pytest.approx([0.0615, 0.7923], abs=1e-3)
    result = critic.score(*texts(40, 3))
    assert result["f1_interval"][0] <= result["f1"] <= result["f1_interval"][1]


def slow_dtw(a, b, window):
    L = len(a)
    band, D = max(1, int(window * L)), np.full((L + 1, L + 1), np.inf)
    D[0, 0] = 0
    for i in range(L):
        for j in range(max(0, i - band), min(L, i + band + 1)):
            D[i + 1, j + 1] = ((a[i] - b[j]) ** 2).sum() + min(D[i, j + 1], D[i + 1, j], D[i, j])
    return D[L, L]


@pytest.mark.parametrize("window", [0.01, 0.2, 1.0])
def test_dtw_is_its_definition(window):
    """All pairs at once, diagonal by diagonal, are the table of each pair, cell by cell."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 11, 2)).astype(np.float32), rng.normal(size=(4, 11, 2)).astype(np.float32)
    expected = [[slow_dtw(x, y, window) for y in b] for x in a]
    np.testing.assert_allclose(baselines.distances(a, b, window), expected, rtol=1e-4)


def test_neighbours_are_sought_in_the_better_units():
    """Series that differ by their level alone have neighbours in units of the data, though each varies by itself."""
    rng = np.random.default_rng(0)
    xs = [rng.normal(n % 2, 0.1, 12) for n in range(40)]
    run = classify.fit(xs, [n % 2 for n in range(40)], steps=2, **TINY)
    assert run.model.inputs.scale.own
    assert run.score(xs[::3], [n % 2 for n in range(40)][::3])["baselines"]["euclid"]["accuracy"] == 1


def test_series_stand_beside_their_neighbours(riser):
    """The score of series has Euclid and DTW beside it, and the table names them all."""
    result = riser.score(*waves(30, 5))
    assert set(result["baselines"]) == {"majority", "euclid", "dtw", "memoryless"}
    assert result["baselines"]["dtw"]["accuracy"] > 0.8
    assert result["interval"][0] <= result["accuracy"] <= result["interval"][1]
    assert "1-NN DTW" in scoring.table(result)
    json.dumps(result, allow_nan=False)


def test_pairs_are_those_that_occur_twice():
    """Of neighbouring tokens the frequent pairs have weights, in order; never across two texts."""
    xs = [np.array([5, 6, 7]), np.array([5, 6]), np.array([7, 5]), np.array([8])]
    assert training.find_pairs(xs, 10, 2).tolist() == [56]
    assert training.find_pairs([np.array([3, 4, 3, 4, 3])], 10, 2).tolist() == [34, 43]


def test_rare_labels_may_weigh_more():
    """With balance=1 the labels weigh alike; the weights are 1 in the mean over the examples."""
    codes = np.repeat([0, 1], [90, 10])
    weights = training.balance(codes, Targets("label", ("a", "b")), 1.0)
    assert weights is not None
    weights = weights.numpy()
    assert weights[1] / weights[0] == pytest.approx(9)
    assert weights[codes].mean() == pytest.approx(1)


# ---- what decided


def test_the_word_that_decides_has_the_largest_effect(critic, tmp_path):
    """The one word that makes a text good stands out, and the picture is drawn."""
    result, text = classify.attend(critic, "The film isn't 10 plot lovely a film", tmp_path / "why.png")
    words = ["the", "film", "isn", "'", "t", "1", "0", "plot", "lovely", "a", "film"]  # unknown ones as they are
    assert [step["text"] for step in result["steps"]] == words
    assert max(result["steps"], key=lambda step: step["effect"])["text"] == "lovely"
    assert sum(step["attention"] for step in result["steps"]) == pytest.approx(1)
    assert result["label"] == "good"
    assert "lovely" in text
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")


def test_steps_of_a_series_are_explained(riser, tmp_path):
    """Windows of a series have effects, for any label; the picture may be an SVG."""
    result, _ = classify.attend(riser, waves(1, 7)[0][0], tmp_path / "why.svg", label="0")
    assert result["label"] == "0"
    assert result["steps"][-1]["last"] == waves(1, 7)[0][0].shape[1]
    with pytest.raises(InputError, match="label: expected one of '0', '1'"):
        classify.attend(riser, waves(1, 7)[0][0], label="up")


# ---- the command line


@pytest.fixture(scope="module")
def desk(tmp_path_factory, critic, riser):
    """A folder with both runs, two texts with their labels, and two series of the UCR archive without."""
    folder = tmp_path_factory.mktemp("desk")
    critic.save(folder / "critic")
    riser.save(folder / "riser")
    (folder / "new.csv").write_text("review,stars\nthe lovely film,good\na dull plot,bad\n")
    (folder / "new.ts").write_text("@classLabel false\n@data\n-2,-1,0,1,2:0,0,?,0,0\n2,1,0,-1,-2:0,0,0,0,0\n")
    (folder / "new.tsv").write_text("0.5\t1\t2\t3\t4\n")
    return folder


def test_predictions_are_lines(gated):
    """A line an example: its label and its probability; with --top more of both; --out writes them to a file."""
    status, out, err = gated("classify", "predict", "critic", "-", stdin=b"the lovely film\n\na dull plot\n")
    assert (status, err) == (0, "")
    labels = [line.split("\t")[0] for line in out.splitlines()]
    assert (labels[0], labels[2], len(labels)) == ("good", "bad", 3)
    assert gated("classify", "predict", "riser", "new.ts", "--out", "p.txt") == (0, "", "")
    assert [line[0] for line in Path("p.txt").read_text().splitlines()] == ["1", "0"]
    first, *_ = json.loads(gated("classify", "predict", "riser", "new.ts", "--top", 2, "--json")[1])["predictions"]
    assert (first["label"], first["place"], [one["label"] for one in first["top"]]) == ("1", "line 3", ["1", "0"])


def test_a_row_of_a_file_is_explained(gated):
    """`attend --row` explains one example of a file; there is no third of two."""
    result = json.loads(gated("classify", "attend", "riser", "new.ts", "--row", 2, "--json")[1])
    assert (result["label"], result["steps"][0]["text"]) == ("0", "1")
    status, _, err = gated("classify", "attend", "riser", "new.ts", "--row", 3)
    assert (status, err) == (2, "Error: row: expected a number from 1 to 2, got 3.\n")


def test_values_are_not_taken_for_labels(gated):
    """A line of the UCR archive without a label is refused, rather than read without its first value."""
    status, _, err = gated("classify", "predict", "riser", "new.tsv")
    assert status == 2
    assert "channel" in err or "label" in err


# ---- the demo


def test_the_demo_reads_digits(tmp_path):
    """`gated demo classify`, in small: digits are read from folders of images, scored and explained."""
    said = []
    result, text = demo.run(tmp_path / "demo", said.append, train=200, test=40, steps=25, units=16, batch=32)
    assert result["accuracy"] > 0.3
    assert "without memory" in text
    assert (tmp_path / "demo/attend.png").exists()
    assert any("gives 10 labels" in line for line in said)
