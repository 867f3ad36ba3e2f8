"""Language models: scores that do not depend on how they are computed, text that is drawn as it is asked for."""

import csv
import io
import itertools
import json
import math
import random

import numpy as np
import pytest
import torch

from gated import checkpoint, language
from gated._check import InputError
from gated.decode.pick import draw
from gated.tasks.language import data, demo, mixture, page, scoring, training
from gated.tasks.language.generate import Sampling, Stepper, choose, find_loop, longest_copy
from gated.tasks.language.mixture import Mixing
from gated.tasks.language.model import Network, Noise, Shape, loss

COMMAND = ("language",)
TINY = dict(units=32, embedding=16, batch=8, window=16, precision="32", progress=False)
NEW = "the old king saw a red bird.\na wolf met the small fox.\n"


def story(lines, seed):
    rng = random.Random(seed)
    things = [f"{a} {b}" for a in ("old", "red", "small") for b in ("king", "fox", "bird", "wolf")]
    return "".join(
        f"{rng.choice(('the', 'a'))} {rng.choice(things)} {rng.choice(('saw', 'met'))} "
        f"{rng.choice(('the', 'a'))} {rng.choice(things)}.\n"
        for _ in range(lines)
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    (folder / "story.txt").write_text(story(250, 0))
    (folder / "new.txt").write_text(NEW)
    return folder


@pytest.fixture(scope="module")
def run(desk):
    """A model of characters, which no test changes; its run folder is `run`."""
    return language.fit(desk / "story.txt", steps=150, lr=2e-2, out=desk / "run", **TINY)


@pytest.fixture(scope="module")
def words(desk):
    """A model of words."""
    return language.fit(desk / "story.txt", level="word", steps=40, lr=2e-2, **TINY)


# ---- scores


@pytest.mark.parametrize(("batch", "window"), [*itertools.product((1, 7, 64), (16, 64, 1 << 20))])
def test_a_score_depends_on_neither_batch_nor_window(run, batch, window):
    """−log p of every token is the same for any batch of texts and any window: nothing is padded in or left out."""
    texts = [story(k, k) for k in range(1, 9)]
    got = run.surprise(texts, batch=batch, window=window)
    for one, text in zip(got, texts, strict=True):
        assert len(one) == len(text)
        np.testing.assert_allclose(one, run.surprise(text, window=50), rtol=1e-4, atol=1e-5)


def test_a_score_is_one_sum_in_all_its_units(run, words, desk):
    """Σ −log p over the file is N times the loss, and gives nats a character, bits a byte and perplexity a word."""
    for one in (run, words):
        result = one.score(desk / "new.txt")
        nats = float(one.surprise(NEW).sum()) + result["unknown"]["nats"]
        assert result["loss"] * result["tokens"] == pytest.approx(nats)
        assert result["nats"] * len(NEW) == pytest.approx(nats)
        assert result["bits_per_byte"] * len(NEW.encode()) * math.log(2) == pytest.approx(nats)
        assert math.log(result["perplexity"]) * (len(NEW.split()) + 2) == pytest.approx(nats)
        assert set(result["baselines"]) == {"unigram", "ngram", "xz"}
        assert result["nats"] < result["baselines"]["unigram"]["nats"] < result["baselines"]["xz"]["nats"]


def test_unknown_words_are_paid_for_and_said(run, words, desk):
    """A word outside the vocabulary costs −log p of `<unk>` and its spelling, so that no level gains by it."""
    (desk / "odd.txt").write_text("the old quagga saw a fox.\n")
    result = words.score(desk / "odd.txt")
    assert result["unknown"] == {"count": 1, "nats": pytest.approx(8 * math.log(256))}
    assert any("quagga" in note for note in result["notes"])
    assert math.isfinite(run.score(desk / "odd.txt")["nats"])  # q is a letter that was never met
    known = words.surprise("the old king")
    assert len(known) == 3
    assert (words.vocabulary.encode("the old king") > 0).all()


def test_stepping_equals_scoring(run):
    """Tokens read one by one, or as a block, give the probabilities of the network's one pass."""
    ids = run.vocabulary.encode(NEW).tolist()
    whole = run.surprise(NEW)
    steps, block = Stepper(run.network), Stepper(run.network, 2)
    for k, id in enumerate(ids):
        z = steps.step([0 if k == 0 else ids[k - 1]])[0]
        assert np.log(np.exp(z - z[id]).sum()) == pytest.approx(whole[k], abs=1e-4)
    np.testing.assert_allclose(block.read([0, *ids[:-1]]), np.stack([z, z]), atol=1e-4)


def test_an_ensemble_averages_probabilities(run, desk):
    """Two runs together give the mean of their probabilities; a run with itself is itself."""
    with data.read(desk / "new.txt") as corpus:
        tokens = data.encode(corpus, run.vocabulary)
    np.testing.assert_allclose(run.measure(tokens, beside=[run])[0], run.measure(tokens)[0], rtol=1e-9)


# ---- writing


def test_one_seed_is_one_text(run):
    """The same seed writes the same text, another seed another; a sample does not depend on how many there are."""
    texts = run.predict("the ", length=60, n=3, seed=4)
    assert run.predict("the ", length=60, n=3, seed=4) == texts
    assert run.predict("the ", length=60, seed=4) == texts[0]
    assert len({*texts, run.predict("the ", length=60, seed=5)}) == 4


def test_temperature_0_is_greedy(run):
    """At 0 each token is the most probable one after those before it, for any seed; so it is with top_k of 1."""
    greedy = run.predict("a ", length=40, temperature=0)
    assert run.predict("a ", length=40, temperature=0, seed=9) == greedy
    assert run.predict("a ", length=40, top_k=1) == greedy
    ids = run.vocabulary.encode("a ").tolist()
    for character in greedy:
        z = Stepper(run.network).read([0, *ids])[0]
        z[0] = -np.inf
        assert run.vocabulary.pieces[int(z.argmax())] == character
        ids.append(int(z.argmax()))


def test_a_higher_temperature_is_more_diverse(run):
    """The entropy of samples grows with the temperature; it is not inverted."""
    means = []
    for temperature in (0.3, 1.0, 2.0, 8.0):
        samples = []
        for _ in run.write("", Sampling(length=100, temperature=temperature, n=6), samples):
            pass
        means.append(-sum(sample.log_prob for sample in samples) / 600)
    assert means == sorted(means)
    assert means[-1] > means[0] + 1


@pytest.mark.parametrize(("top_k", "top_p"), [(None, 1.0), (3, 1.0), (None, 0.7), (5, 0.5), (1, 1.0), (99, 1e-9)])
def test_tokens_are_drawn_as_by_the_searches(top_k, top_p):
    """One token of one distribution is that of `decode.pick.draw`, for any u; probabilities of 0 are never drawn."""
    rng = np.random.default_rng(0)
    for u in (0.0, *rng.random(40), 1 - 1e-16):
        z = rng.normal(0, 3, 12).round(1)
        z[3] = -np.inf
        log_p = torch.log_softmax(torch.from_numpy(z), 0)
        want = draw(log_p[None, None], torch.tensor([[[u]]], dtype=torch.float64), 0.7, top_k, top_p)[1]
        assert choose(z, u, 0.7, top_k, top_p) == int(want)


def test_text_streams_as_it_is_made(run):
    """Bytes come out one by one, but for those with which a stop text may begin; joined they are the sample."""
    samples, parts = [], []
    for k, part in run.write("the ", Sampling(length=80, stop="fox", seed=1), samples):
        parts.append((k, part))
    assert len(parts) > 3
    assert b"".join(part for _, part in parts) == samples[0].data
    assert b"fox" not in samples[0].data


def test_a_stop_text_ends_the_sample(run):
    """The text ends before the stop text, and is the text without it cut there."""
    whole = run.predict("the ", length=200, seed=3)
    assert "\n" in whole
    assert run.predict("the ", length=200, seed=3, stop=".\n") == whole.partition(".\n")[0]


PATTERNS = {
    "a choice": r"(king|fox) saw",
    "digits that it never met": r"\d{3}-\d",
    "an end that is open": r"[a-z]+",
    "look ahead": r"(?=k)[a-z ]{9}",
}


@pytest.mark.parametrize("pattern", [PATTERNS["a choice"], PATTERNS["an end that is open"], PATTERNS["look ahead"]])
def test_a_regular_expression_holds(run, pattern):
    """Whatever is drawn matches as a whole, at any seed and temperature."""
    import regex

    for seed in range(4):
        text = run.predict("the old ", length=60, regex=pattern, seed=seed, temperature=1.5)
        assert regex.fullmatch(pattern, text)


def test_a_regular_expression_that_nothing_can_match_ends_at_once(run):
    """Characters that the vocabulary lacks cannot be written; the sample says that it is not complete."""
    samples = []
    for _ in run.write("", Sampling(regex=PATTERNS["digits that it never met"]), samples):
        pass
    assert (samples[0].ids, samples[0].ended, samples[0].complete) == ([], "regex", False)


@pytest.mark.parametrize(
    ("ids", "period"),
    [
        ([1, 2] * 12, 2),
        ([5, *[7] * 24], 1),
        ([*range(30)], 0),
        ([1, 2, 3, 4] * 2, 0),
        ([9, *[1, 2, 3] * 9], 3),
        ([], 0),
    ],
)
def test_loops_are_noticed(ids, period):
    """A text that ends in three repetitions or more is a loop, of the shortest period."""
    assert find_loop(ids) == period


def test_the_longest_copy_is_the_longest():
    """The longest run of tokens that the training text has as well, against all runs tried one by one."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        train, ids = rng.integers(0, 3, 60), rng.integers(0, 3, 15).tolist()
        runs = [train[a : a + n].tolist() for n in range(1, 16) for a in range(61 - n)]
        best = max((n for n in range(1, 16) for a in range(16 - n) if ids[a : a + n] in runs), default=0)
        start, length = longest_copy(ids, train.astype(np.uint16))
        assert length == best
        assert ids[start : start + length] in runs
    assert longest_copy([300, 44], np.array([300, 44, 1], np.uint32)) == (0, 2)  # no half of a number matches
    assert longest_copy([], np.array([1])) == (0, 0)


@pytest.mark.parametrize("mixing", [dict(ngram=True), dict(cache=9), dict(ngram=True, cache=100)])
def test_what_is_drawn_is_what_is_scored(run, mixing):
    """With the n-gram and the cache, log p of a sample's tokens is that of the score, and probabilities sum to 1."""
    how, samples, prompt = Mixing(**mixing), [], "the old "
    chosen = mixture.choose([run], how)
    for _ in run.write(prompt, Sampling(length=30, temperature=1.0, n=2), samples, **mixing):
        pass
    for sample in samples:
        ids = np.array([*run.vocabulary.encode(prompt), *sample.ids])
        nats = mixture.measure([run], ids, how, chosen)[len(prompt) :]
        assert sample.log_prob == pytest.approx(-nats.sum(), abs=0.1)  # a sample is never `<unk>`


def test_a_prompt_may_be_trained_on(run):
    """With dynamic evaluation the network reads the prompt as training text, and the run stays as it was."""
    prompt = "king fox king bird wolf wolf.\n" * 30
    text = run.predict(prompt, length=29, temperature=0)
    samples = []
    for _ in run.write(prompt, Sampling(length=29, temperature=0), samples, dynamic=True):
        pass
    assert samples[0].text != text
    assert run.predict(prompt, length=29, temperature=0) == text


# ---- the commands


def test_predict_writes_text_and_says_what_is_copied(run, gated):
    """The continuation goes to standard output, and what people should know to standard error; --json has both."""
    status, out, err = gated("predict", "run", "--prompt", "the ", "--length", 30, "--temperature", 0)
    assert status == 0
    assert out == run.predict("the ", length=30, temperature=0) + "\n"
    assert "Longest run copied from the training text" in err
    result = json.loads(gated("predict", "run", "--prompt", "the ", "--n", 2, "--length", 9, "--json")[1])
    assert [row["tokens"] for row in result["samples"]] == [9, 9]
    assert result["samples"][0]["copied"]["tokens"] > 0
    status, out, err = gated("predict", "run", "-", "--length", 30, "--temperature", 0, stdin=b"the ")
    assert out == run.predict("the ", length=30, temperature=0) + "\n"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("predict run new.txt --prompt x", "both"),
        ("predict run --prompt x --temperature -1", "temperature"),
        ("predict run --prompt x --regex (", "a regular expression"),
        ("predict run --prompt x --cache -1", "cache"),
        ("score run", "TEXT"),
        ("surprise run new.txt --out a.pdf", ".csv or .html"),
    ],
)
def test_mistakes_are_one_line(run, gated, words, part):
    """A mistake is one line, with status 2."""
    status, out, err = gated(*words.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert part in err


def test_surprise_marks_every_token(run, desk, gated):
    """The CSV has a row a token, whose nats sum to the score; the page has the text, escaped, and runs nothing."""
    (desk / "draft.txt").write_text("the old <b>king</b> & saw\n")
    _status, out, err = gated("surprise", "run", "draft.txt")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert "".join(row["token"] for row in rows) == "the old <b>king</b> & saw\n"  # < was never met, and is shown
    nats = sum(float(row["nats"]) for row in rows)
    assert nats == pytest.approx(float(run.surprise("the old <b>king</b> & saw\n").sum()), rel=1e-4)
    assert "nats" in err
    assert gated("surprise", "run", "new.txt", "--out", "a.html")[0] == 0
    text = (desk / "a.html").read_text()
    assert "script" not in text
    marked = page.Marked(
        "<i>", ["<script>", "a"], np.array([1.0, 2.0]), scoring.measure(3.0, data.Tokens(np.zeros(2, int), 2, 2, 1))
    )
    assert "<script>" not in page.render(marked)
    assert "&lt;i&gt;" in page.render(marked)


def test_update_goes_on_from_the_weights(run, desk):
    """An update lowers the loss on its text, keeps the vocabulary, and leaves the first run as it was."""
    (desk / "other.txt").write_text("a red king met the old wolf.\n" * 60)
    before = run.score(desk / "other.txt")["nats"]
    new = run.update(desk / "other.txt", steps=30, progress=False)
    assert new.score(desk / "other.txt")["nats"] < before
    assert new.vocabulary == run.vocabulary
    assert run.score(desk / "other.txt")["nats"] == before


def test_a_time_limit_fits_size_and_schedule(desk, tmp_path):
    """With a time limit alone the size follows from the speed and the text, and the fit ends in time."""
    fitted = language.fit(desk / "story.txt", time_limit=2.0, out=tmp_path / "run", progress=False)
    assert fitted.metrics["fit_seconds"] < 4
    assert fitted.network.shape.units in training.UNITS
    assert checkpoint.load(tmp_path / "run").extras["shape"]["units"] == fitted.network.shape.units


def test_a_run_with_another_vocabulary_does_not_join(run, words):
    """An ensemble needs one vocabulary."""
    with pytest.raises(InputError, match="one vocabulary"):
        run.check_beside([words])


# ---- the network


def test_noise_acts_in_training_alone():
    """Every kind of dropout changes the loss in training, none in evaluation; penalties are added in training alone."""
    x = torch.randint(0, 9, (12, 4))
    plain = Network(Shape(9, "lstm", 2, 8, 6, True))

    def nats(network):
        return float(loss(network, x[:-1], x[1:], None)[0][0].detach())

    base = nats(plain.eval())
    for name in Noise._fields:
        noisy = Network(plain.shape, Noise(**{name: 0.5}))
        noisy.load_state_dict(plain.state_dict())
        assert nats(noisy.train()) != pytest.approx(base)
        assert nats(noisy.eval()) == pytest.approx(base)


def test_the_demo_shows_score_text_and_surprise(tmp_path):
    """The demo trains on Python's manual, scores beside its baselines, writes, and leaves a page beside the run."""
    lines = []
    options = dict(size=3000, units=8, steps=3, time_limit=None, batch=2, window=16, progress=False)
    result, text = demo.run(tmp_path / "demo", lines.append, **options)
    assert set(result["baselines"]) == {"unigram", "ngram", "xz"}
    assert "Written after" in text
    assert {"config.json", demo.PICTURE} <= {path.name for path in (tmp_path / "demo").iterdir()}
    assert any("manual" in line for line in lines)


# ---- in the searches of other tasks


def test_a_run_scores_the_prefixes_of_a_search(run):
    """Start and steps give −log p of a line and its end, whoever else is asked about, and log p of 0 is the end's."""
    symbols = ("", *sorted(set("the old king saw.")))
    one = run.scorer(symbols)
    text = "the old king"
    state, row = one.start()
    (states, total) = ([state, state], row[symbols.index("t")])
    for before, symbol in itertools.pairwise([symbols.index(character) for character in text]):
        states, rows = one.step(states, [before, symbols.index("s")])
        total += rows[0][symbol]
        assert rows.shape == (2, len(symbols))
    _, rows = one.step(states[:1], [symbols.index("g")])
    whole = run.surprise(f"\n{text}\n")[1:].sum()
    assert -(total + rows[0][0]) == pytest.approx(whole, rel=1e-4)
    with pytest.raises(InputError, match="same case"):
        run.scorer(("", *"ABCDEFGH"))


# ---- what joins the network in a score


def test_the_cache_is_its_definition(run):
    """log p of each token by the cache, against a sum over the tokens before it, one by one."""
    ids, size, theta = run.vocabulary.encode(NEW[:30]), 7, 3.0
    got = mixture.cache(run.network, ids, size, theta)
    with torch.no_grad():
        h = run.network(torch.from_numpy(np.concatenate([[0], ids[:-1]]))[:, None])[0][:, 0].numpy()
    h = h / np.linalg.norm(h, axis=1, keepdims=True)
    assert got[0] == pytest.approx(-math.log(len(run.vocabulary)))
    for t in range(1, len(ids)):
        past = range(max(0, t - size), t)
        weights = np.array([math.exp(theta * h[t] @ h[i]) for i in past])
        p = sum(w for w, i in zip(weights, past, strict=True) if ids[i] == ids[t]) / weights.sum()
        assert math.exp(got[t]) == pytest.approx(p, abs=1e-5)


def test_weights_of_a_mixture_maximize_the_likelihood():
    """Expectation maximization finds the shares in which a text was drawn from two sources."""
    rng = np.random.default_rng(0)
    sources = np.array([[0.9, 0.1], [0.2, 0.8]])
    words = [rng.choice(2, p=sources[int(rng.random() < 0.3)]) for _ in range(20_000)]
    log_p = np.log(sources[:, words])
    weights = mixture.fit_weights(log_p, 200)
    assert weights[1] == pytest.approx(0.3, abs=0.05)
    assert mixture.mix(log_p, weights).mean() >= mixture.mix(log_p, np.array([0.5, 0.5])).mean()


@pytest.mark.parametrize("mixing", [dict(ngram=True), dict(cache=50), dict(ngram=True, cache=50)])
def test_what_joins_the_network_gets_a_share_that_helps(run, desk, mixing):
    """With the n-gram and the cache, each with a weight fitted on held-out text, a score is no worse to speak of."""
    alone, joint = run.score(desk / "story.txt"), run.score(desk / "story.txt", **mixing)
    assert sum(joint["chosen"]["weights"].values()) == pytest.approx(1)
    assert joint["nats"] < alone["nats"] + 0.01


def test_dynamic_evaluation_adapts_and_leaves_the_run(run, words, desk):
    """Text that repeats itself becomes less surprising as it is read; the weights of the run stay."""
    (desk / "repeat.txt").write_text("king fox king bird wolf wolf.\n" * 40)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    alone, joint = run.score(desk / "repeat.txt"), run.score(desk / "repeat.txt", dynamic=True)
    assert joint["nats"] < 0.9 * alone["nats"]
    assert joint["chosen"]["rate"] in mixture.RATES
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())
    for one in (run, words):  # at a rate of 0 it is the plain score
        ids, scale = one.vocabulary.encode(NEW), [torch.ones_like(p) for p in one.network.parameters()]
        np.testing.assert_allclose(mixture.adapt(one.network, [ids], scale, 0.0)[0], one.surprise(NEW), atol=1e-4)


def test_all_of_a_text_may_be_trained_on(desk, tmp_path):
    """With nothing held out the last weights stay; what would be fitted on held-out text is one error."""
    fitted = language.fit(desk / "story.txt", hold=0, steps=2, out=tmp_path / "run", **TINY)
    assert fitted.metrics["tokens"] == len((desk / "story.txt").read_text())
    assert language.load(tmp_path / "run").held == []
    with pytest.raises(InputError, match="held-out text"):
        fitted.score(desk / "new.txt", cache=10)
    (desk / "few.txt").write_text("ab")
    with pytest.raises(InputError, match="at least 3 tokens"):
        language.fit(desk / "few.txt", progress=False)
