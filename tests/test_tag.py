"""Tagging: what a tagger gives, that nothing it gives depends on other sentences, and what may go wrong."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gated import tag
from gated._check import InputError
from gated.tasks.tag import baselines, demo, requests, search, series, spans
from gated.tasks.tag.data import Sentences

COUNT = 200
TINY = dict(units=20, embedding=16, characters=8, batch=160, steps=140, lr=1e-2, ema=0.9, dropout=0.2, progress=False)


@pytest.fixture(scope="module")
def run():
    """A tagger of requests, which no test changes."""
    return tag.fit(demo.collect(COUNT, 0), valid=demo.collect(40, 1), **TINY)


@pytest.fixture(scope="module")
def unseen():
    return demo.collect(60, 2)


# ---- tags


def test_slots_and_intents_are_found(run, unseen):
    """After a moment of training most slots and intents of unseen requests are right, and more than by counting."""
    result = run.score(unseen, crfsuite=False)
    assert result["f1"] > 0.6 > result["baselines"]["frequent"]["f1"]
    assert result["label_accuracy"] > 0.5
    assert result["best"] == "LSTM"


def test_a_batch_of_any_size_gives_the_same(run, unseen, monkeypatch):
    """Tags and probabilities of a batch of 9 are those of each sentence alone, whatever pads it."""
    together = run.tag(unseen)
    monkeypatch.setattr(search, "BUDGET", 1)
    for one, other in zip(together, run.tag(unseen), strict=True):
        assert (one.tags, one.label) == (other.tags, other.label)
        np.testing.assert_allclose(one.p, other.p, rtol=1e-4)


def test_no_tag_is_invalid(unseen):
    """With weights of chance, I- never stands behind O or behind another type, and every span is a whole one."""
    run = tag.fit(demo.collect(30, 0), **TINY | {"steps": 1, "lr": 1e-9})
    with torch.no_grad():
        for parameter in run.model.network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    some = {"".join(tag[:1] for tag in one.tags) for one in run.tag(unseen)}
    assert len(some) > 10
    for one in run.tag(unseen, n_best=3):
        for _, tags in one.n_best:
            assert not list(spans.violations(tags, "iob2"))


def test_an_empty_sentence_has_no_tags(run):
    """Empty text, an empty list, blank lines and a sentence of one word are answered."""
    assert run.predict("") == run.predict("   ") == []
    assert run.predict([]) == []
    assert [len(pairs) for pairs in run.predict(["", "noon", [], ["play"]][:2])] == [0, 1]
    assert [len(pairs) for pairs in run.predict([[], ["play"]])] == [0, 1]


def test_tags_are_those_of_the_data(run):
    """No symbol of the network's own is a tag or a label: neither an unknown one nor padding."""
    data = demo.collect(COUNT, 0)
    kinds = {spans.split(name)[1] for row in data.tags for name in row}
    assert {spans.split(name)[1] for name in run.model.tags} == kinds
    assert set(run.model.labels) == set(requests.TEMPLATES)


def test_names_of_tags_stay_whole():
    """A tag such as NAME, which has no prefix, is answered as NAME, though many sentences have no tag but O."""
    data = [[("it", "O"), ("rains", "O")]] * 12 + [[("Ann", "NAME"), ("left", "O")], [("Ann", "NAME")]] * 12
    run = tag.fit(data, **TINY | {"steps": 60})
    assert run.model.scheme == "plain"
    assert set(run.model.tags) == {"NAME", "O"}
    assert run.predict("Ann left") == [("Ann", "NAME"), ("left", "O")]


@pytest.mark.parametrize("scheme", ["iob1", "iob2", "bioes", "bilou"])
def test_answers_have_the_scheme_of_the_data(scheme):
    """Whatever the scheme of the training data, spans come back in it."""
    rows = [(["New", "York", "Oslo", "rains"], [spans.Span(0, 1, "LOC"), spans.Span(2, 2, "LOC")]),
            (["Oslo", "rains"], [spans.Span(0, 0, "LOC")])] * 15  # fmt: skip
    data = [list(zip(words, spans.write(marks, len(words), scheme), strict=True)) for words, marks in rows]
    run = tag.fit(data, **TINY | {"steps": 50})
    assert run.model.scheme == scheme
    assert run.predict([words for words, _ in rows[:2]]) == data[:2]


def test_a_long_text_is_read_in_pieces(run):
    """A line of thousands of words has a tag for each."""
    words = [word for pairs, _ in requests.make(400, 5) for word in [*(word for word, _ in pairs), "."]]
    (pairs,) = run.predict([words])
    assert [word for word, _ in pairs] == words


def test_n_best_are_ordered_and_different(run, unseen):
    """The most probable sequences come first, no two alike, and the first is the answer."""
    for one in run.tag(unseen, n_best=4):
        p = [p for p, _ in one.n_best]
        assert p == sorted(p, reverse=True)
        assert 0 < sum(p) <= 1 + 1e-6
        assert len({tuple(tags) for _, tags in one.n_best}) == len(p)
        assert one.n_best[0][1] == one.tags


def test_probabilities_are_marginals(run):
    """Each tag's probability is between 0 and 1; of a plain case it is the softmax where there is no random field."""
    data = [[("a", "X"), ("b", "Y")]] * 20
    plain = tag.fit(data, **TINY | {"steps": 40}, crf=False)
    assert plain.predict("a b") == [("a", "X"), ("b", "Y")]
    for one in (*plain.tag(plain.read(["a b"])), *run.tag(run.read(["wake me at noon"]))):
        assert all(0 < p <= 1 for p in one.p)


def test_two_runs_are_an_ensemble(run, unseen):
    """A run beside itself gives what it gives alone; one of other tags is refused."""
    assert run.tag(unseen, beside=[run])[0].tags == run.tag(unseen)[0].tags
    other = tag.fit([[("a", "X")]] * 20, **TINY | {"steps": 2})
    with pytest.raises(InputError, match="same tags"):
        run.tag(unseen, beside=[other])


def test_long_sentences_are_trained_on_in_pieces():
    """A training sentence of thousands of words is cut, and no word is lost."""
    words = [("a", "X"), ("b", "Y"), (".", "Z")] * 500
    run = tag.fit([words, *[[("a", "X"), ("b", "Y")]] * 12], **TINY | {"steps": 3})
    assert run.metrics["words"] >= len(words)


def test_further_columns_are_read(tmp_path):
    """With `features` a column decides where words cannot, and a text without the column is refused."""
    lines = [f"{word} {kind} {kind}{kind}\n" for word, kind in itertools.product("abcd", "xy")]
    (tmp_path / "train.conll").write_text("\n".join(lines * 6))
    run = tag.fit(tmp_path / "train.conll", features=("2",), **TINY | {"steps": 40})
    (tmp_path / "new.conll").write_text("a x\nb y\n")
    assert [name for _, name in run.predict(tmp_path / "new.conll")[0]] == ["xx", "yy"]
    with pytest.raises(InputError, match="columns that this run reads"):
        run.predict("a b")


def test_pretrained_vectors_are_read(tmp_path):
    """With --vectors a word that training never saw is tagged as its neighbours in the vectors are."""
    cities, verbs = ["Oslo", "Rome", "Kiel", "Bern", "Riga"], ["sees", "likes", "shows", "needs", "finds"]
    rows = [f"{w.lower()} {1 + k / 9} -1 {k / 7}\n" for k, w in enumerate(cities)]
    rows += [f"{w} -1 {1 + k / 9} {k / 7}\n" for k, w in enumerate(verbs)]
    (tmp_path / "v.txt").write_text("".join(rows))
    data = [[(a, "CITY"), (b, "VERB")] for a in cities[:3] for b in verbs[:3]] * 4
    run = tag.fit(
        data, vectors=str(tmp_path / "v.txt"), affixes=False, **TINY | {"steps": 60, "characters": 0, "embedding": None}
    )
    assert [name for _, name in run.predict("Riga finds")] == ["CITY", "VERB"]
    assert run.model.network.shape.embedding == 3
    assert not run.model.lexicon.knows("Riga")


# ---- series


def waves(seed, steps=400):
    """A channel that is quiet or loud by turns, another with gaps, and an empty one."""
    rng = np.random.default_rng(seed)
    state = np.repeat(rng.permutation(np.arange(20) % 2), steps // 20)
    x = rng.normal(0, 0.2 + state)
    y = np.where(rng.random(steps) < 0.2, np.nan, rng.normal(size=steps))
    return pd.DataFrame({"t": np.arange(steps) * 0.5, "x": x, "y": y, "none": np.nan,
                         "state": np.where(state, "loud", "quiet")})  # fmt: skip


@pytest.fixture(scope="module")
def listener():
    """A tagger of rows of a table, which no test changes."""
    return tag.fit(waves(0), target="state", time="t", hold="5s", units=16, steps=120, lr=1e-2, progress=False)


def test_rows_of_a_series_are_tagged(listener):
    """A label a row is found that no single row shows, in rows of any order; gaps and an empty channel are no harm."""
    later = waves(1)
    result = listener.score(later)
    assert result["accuracy"] > 0.8
    assert result["accuracy"] > result["baselines"]["frequent"]["accuracy"]
    (pairs,) = listener.predict(later)
    (mixed,) = listener.predict(later.sample(frac=1, random_state=1))
    assert mixed == pairs


def test_a_label_is_held(listener):
    """No label lasts shorter than `hold`, here ten steps of half a second, but for one that is all there is."""
    (pairs,) = listener.predict(waves(2))
    lengths = [len(list(group)) for _, group in itertools.groupby(name for _, name in pairs)]
    assert len(lengths) > 1
    assert min(lengths) >= 10


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 100])
def test_short_segments_go_one_by_one(steps):
    """The shortest segment goes first, to the neighbour that is more probable there, as a slow loop decides it."""
    rng = np.random.default_rng(steps)
    for _ in range(30):
        T = int(rng.integers(0, 25))
        best, log_p = rng.integers(0, 3, T).tolist(), rng.normal(size=(T, 3))
        slow = list(best)
        while True:
            parts = [(high - low + 1, low, high + 1) for low, high, _ in series.segments(slow)]
            short = [one for one in parts if one[0] < steps]
            if len(parts) < 2 or not short:
                break
            _, low, high = min(short)
            beside = [slow[t] for t in (low - 1, high) if 0 <= t < T]
            slow[low:high] = [max(beside, key=lambda k: log_p[low:high, k].sum())] * (high - low)
        assert series.hold(best, log_p, steps) == slow


def test_a_table_is_written_with_its_tags(listener, tmp_path):
    """A series of a file comes back as its table with a tag and its probability a row."""
    from gated.tasks.tag import formats

    waves(3).drop(columns="state").to_csv(tmp_path / "new.csv", index=False)
    sentences = listener.read(str(tmp_path / "new.csv"))
    (pairs,) = listener.predict(str(tmp_path / "new.csv"))
    assert len(pairs) == 400
    (tmp_path / "out.csv").write_bytes(formats.series(sentences, listener.tag(sentences)))
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == ["t", "x", "y", "none", "tag", "p"]
    assert set(table["tag"]) <= {"loud", "quiet"}
    ends = formats.list_segments(sentences, listener.tag(sentences))
    assert (ends[0]["first"], ends[-1]["last"]) == (0, 399)


def test_the_probe_sees_words_and_series(run, listener):
    """A view names the words, or the steps, with their tags; series are shown from their beginning."""
    from gated.tasks.tag.view import STEPS, view

    case = view(run, ["wake me up at noon please"]).cases[0]
    assert case.parts[0].input.labels == ("wake", "me", "up", "at", "noon", "please")
    assert len(case.parts[0].outputs) == 3
    case = view(listener, waves(4)).cases[0]
    assert case.parts[0].input.steps == STEPS
    assert set(case.parts[0].input.values) == {"x", "y", "none"}
    assert "held-out sequence" in listener.summary()
    assert "steps" in listener.summary()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"target": "nothing"}, "a column 'nothing'"),
        ({"target": "state", "hold": "soon"}, "a number of steps, or a time"),
        ({"target": "state", "hold": "3s"}, "Name the column of times"),
        ({"hold": "3"}, "target"),
        ({"target": "state", "features": ("2",)}, "of texts"),
    ],
)
def test_a_mistake_in_a_series_is_one_error(options, part):
    """Columns that are not there, durations that are none, options of texts."""
    with pytest.raises(InputError, match=part):
        tag.fit(waves(0), **options, units=4, steps=1, progress=False)


# ---- baselines


def test_baselines_see_the_training_data_alone(unseen):
    """The most frequent tag is that of training; the random field of plain features tags what it was trained on."""
    train = demo.collect(60, 0)
    assert baselines.frequent(Sentences([["a", "a", "b"]], [["X", "Y", "Y"]], None, "", "list"), [["a", "c"]])[
        0
    ].tags == ["X", "Y"]
    pytest.importorskip("pycrfsuite")
    assert [one.tags for one in baselines.crfsuite(train, train.words)] == train.tags
    assert len(baselines.crfsuite(train, unseen.words)) == len(unseen)


# ---- the demo


def test_the_demo_tags_names_that_were_never_seen(tmp_path):
    """The demo fits, scores beside both baselines, and shows tagged requests."""
    said = []
    result, text = demo.run(tmp_path / "demo", said.append, counts=(60, 20, 20), **TINY | {"steps": 3})
    assert set(result["baselines"]) == {"frequent", "crfsuite"}
    assert "travel" in text or "play" in text or "message" in text
    assert len(said) == 2
    json.dumps(result)
    assert Path(tmp_path, "demo", "config.json").exists()
