"""A language model of symbols: probabilities, what it learns, what it takes of a text, and its folder."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

from gated import checkpoint
from gated._check import InputError
from gated.decode import ctc, scorer
from gated.features import alphabet
from gated.tasks.transcribe import language
from gated.tasks.transcribe.language import Config, Network, Run, Shape, fit, load
from gated.tasks.transcribe.search import load_lm

LINES = ["the cat sat", "a cat sat on the mat", "the dog ran", "a dog sat"] * 30
LETTERS = alphabet.fit(LINES, "char")
SMALL = Config(units=16, embedding=8, steps=12, batch=300)


@pytest.fixture(scope="module")
def fitted() -> Run:
    return fit(LINES, LETTERS, Config(units=32, embedding=16, steps=120, batch=300), progress=False)


def fresh(symbols: int, layers: int = 2) -> Run:
    """One that has learnt nothing, with weights large enough to have opinions."""
    letters = alphabet.Alphabet("char", ("", *"abcdefghij"[: symbols - 1]))
    with torch.random.fork_rng():
        network = Network(Shape(symbols, layers, 8, 5)).eval()
        for p in network.parameters():
            p.data.mul_(3)
    return Run(Config(layers=layers, units=8, embedding=5), letters, network)


# ---- probabilities


@pytest.mark.parametrize("layers", [1, 2])
def test_probabilities_of_all_texts_are_one(layers):
    """Over all texts of up to n symbols, and those that go on, the probabilities sum to 1: an end is one symbol."""
    model = fresh(4, layers)
    texts = ["".join(text) for n in range(4) for text in itertools.product("abc", repeat=n)]
    ended = np.exp(model.log_probs(texts)).sum()
    going = 0.0
    for text in itertools.product((1, 2, 3), repeat=4):
        state, row = model.start()
        total = 0.0
        for symbol in text:
            total += row[symbol]
            (state,), (row,) = model.step([state], [symbol])
        going += math.exp(total)
    assert ended + going == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_steps_are_the_whole(layers):
    """A text's log p is the sum of what the steps say, whoever else is asked about at the same time."""
    model = fresh(6, layers)
    texts = ["abcde", "aa", "", "edcba" * 3, "b"]
    state, row = model.start()
    assert row.shape == (6,)
    assert np.exp(row).sum() == pytest.approx(1, abs=1e-5)
    states, rows, sums = [state] * 5, [row] * 5, np.zeros(5)
    encoded = [model.alphabet.encode(text) for text in texts]
    for t in range(16):
        live = [k for k, text in enumerate(encoded) if t < len(text)]
        for k, text in enumerate(encoded):
            if t <= len(text):
                sums[k] += rows[k][text[t] if t < len(text) else 0]
        if live:
            after, said = model.step([states[k] for k in live], [encoded[k][t] for k in live])
            assert said.shape == (len(live), 6)
            for place, k in enumerate(live):
                states[k], rows[k] = after[place], said[place]
    np.testing.assert_allclose(model.log_probs(texts), sums, rtol=1e-5, atol=1e-5)
    symbols = sum(map(len, encoded)) + 5
    assert model.bits(texts) == pytest.approx(-sums.sum() / math.log(2) / symbols, rel=1e-5)


def test_a_state_can_be_used_again():
    """Going on from a state leaves it as it was, so that many prefixes may share one."""
    model = fresh(5)
    state, _ = model.start()
    first = model.step([state, state], [1, 2])[1]
    model.step([state], [3])
    np.testing.assert_array_equal(model.step([state, state], [1, 2])[1], first)


def test_it_leads_a_beam():
    """A beam that follows every prefix ranks texts by log p(text | frames) + α log p_lm(text, end) + β |text|."""
    model, rng = fresh(4), np.random.default_rng(1)
    x = np.log(rng.dirichlet(np.ones(4), 4))
    texts = ["".join(text) for n in range(5) for text in itertools.product("abc", repeat=n)]
    tokens = [model.alphabet.encode(text) for text in texts]
    scores = [ctc.log_prob(x, t) + 0.7 * p + 0.3 * len(t) for t, p in zip(tokens, model.log_probs(texts), strict=True)]
    found = ctc.beam(x, n_best=10, width=500, prune=0.0, lm=model, alpha=0.7, beta=0.3)
    order = np.argsort(scores)[::-1][:10]
    assert [reading.tokens for reading in found] == [tokens[k] for k in order]
    np.testing.assert_allclose([reading.score for reading in found], [scores[k] for k in order], rtol=1e-5)
    assert isinstance(model, scorer.Scorer)


def test_many_lines_are_measured_as_each_alone():
    """log p of a line does not depend on the batch that it is measured in, nor on their number."""
    model = fresh(6)
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcde"), n)) for n in rng.integers(0, 30, 150)]
    alone = np.concatenate([model.log_probs([text]) for text in texts])
    np.testing.assert_allclose(model.log_probs(texts), alone, rtol=1e-4)


# ---- learning


def test_it_learns_what_comes_next(fitted):
    """After some lines it knows their words, their order, and where they end."""
    assert fitted.metrics["bits"] < 1  # where a letter alone has 3.4
    assert fitted.bits(["the cat sat", "a dog sat"]) < 1
    said, wrong = fitted.log_probs(["the dog sat", "the dgo sat"])
    assert said > wrong + 5
    state, row = fitted.start()
    for symbol in LETTERS.encode("the do"):
        (state,), (row,) = fitted.step([state], [symbol])
    assert LETTERS.symbols[int(row.argmax())] == "g"


def test_a_seed_repeats_and_touches_no_one():
    """Two runs with one seed are equal, another seed differs, and the caller's generators are where they were."""
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again = (fit(LINES, LETTERS, SMALL, progress=False) for _ in range(2))
    other = fit(LINES, LETTERS, Config(units=16, embedding=8, steps=12, batch=300, seed=1), progress=False)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
    for name, weight in first.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name])
    assert not torch.equal(first.network.output.weight, other.network.output.weight)


def test_words_can_be_symbols():
    """Over an alphabet of words it is a model of words."""
    words = alphabet.fit(LINES, "word")
    model = fit(LINES, words, SMALL, progress=False)
    assert len(words) == len({w for line in LINES for w in line.split()}) + 1
    assert model.log_probs(["the cat sat"])[0] > model.log_probs(["sat cat the"])[0]
    assert "words" in model.summary()


def test_what_the_alphabet_lacks_is_left_out_and_told():
    """Symbols that no one can write are not learnt, and a note says which and how many."""
    lines = [f"{line} 東!" for line in LINES[:30]] + LINES
    model = fit(lines, LETTERS, SMALL, progress=False)
    assert model.network.shape.symbols == len(LETTERS)
    assert model.notes == (f"Left out: 60 of {sum(map(len, lines)):,} symbols, which the alphabet lacks (! 東).",)
    assert model.notes[0] in model.summary()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a", "the"], "at least 20 lines in the symbols of the alphabet, got 2"),
        (["東"] * 50, "at least 20 lines in the symbols of the alphabet, got 0"),
        ("the cat", "the cat: expected a file, got no such file"),
    ],
)
def test_too_little_text_is_refused(lines, message):
    """Without twenty lines that the alphabet can write there is nothing to learn from and hold out."""
    with pytest.raises(InputError, match=message):
        fit(lines, LETTERS, SMALL, progress=False)


@pytest.mark.parametrize("wrong", [{"units": 0}, {"dropout": 1.0}, {"precision": "8"}, {"seed": -1}, {"longest": 1}])
def test_what_cannot_be_configured_is_refused(wrong):
    """A wrong value is one clear error that names the field."""
    with pytest.raises(InputError, match=next(iter(wrong))):
        Config(**wrong)


# ---- batches


def test_long_lines_are_read_in_pieces():
    """The pieces of a line ask for each of its symbols once, and for its end, whatever is read at once."""
    row = list(range(1, 24))
    for longest in (2, 5, 11, 12, 23, 24, 50):
        pieces = list(language.cut(row, longest))
        assert [s for piece in pieces for s in piece.targets] == [*row, 0]
        assert [s for piece in pieces for s in piece.inputs] == [0, *row]
        assert max(len(piece.targets) for piece in pieces) <= longest + 1
        assert all(len(piece.inputs) == len(piece.targets) for piece in pieces)
    long = fit(["the cat sat on the mat " * 40] * 30, LETTERS, Config(units=8, embedding=4, steps=3), progress=False)
    assert long.metrics["symbols"] == 29 * 920  # of which one is the end


def test_a_pass_has_every_line_once():
    """Each pass has every line once, in another order, in as many batches, of little padding."""
    rng = np.random.default_rng(0)
    lines = [rng.integers(1, 9, n).tolist() for n in rng.integers(1, 60, 300)]
    pieces = [next(language.cut(line, len(line) + 1)) for line in lines]
    batch, turn = language.bucket(pieces, 400, seed=2)
    passes = [[batch(k * turn + n) for n in range(turn)] for k in range(2)]
    for found in passes:
        rows = [col[col >= 0].tolist() for one in found for col in one.targets.T]
        assert sorted(rows) == sorted(piece.targets for piece in pieces)
        assert sum(one.targets.numel() for one in found) < 1.3 * sum(len(piece.targets) for piece in pieces)
    for found in passes:
        sizes = [len(one.targets) for one in found]
        assert sizes != sorted(sizes)  # short lines do not come first
    assert [b.targets.shape for b in passes[0]] != [b.targets.shape for b in passes[1]]
    again, _ = language.bucket(pieces, 400, seed=2)
    assert torch.equal(again(turn + 1).inputs, passes[1][1].inputs)


@torch.no_grad()
def test_padding_reaches_no_loss():
    """The loss of a batch is the sum of its lines' losses."""
    model = fresh(6).network
    rows = [[1, 2, 3, 4, 5], [2], [], [5] * 9]
    pieces = [next(language.cut(row, len(row) + 1)) for row in rows]
    total, count = language.loss(model, language.collate(pieces))
    alone = [language.loss(model, language.collate([piece])) for piece in pieces]
    assert count == sum(n for _, n in alone) == 19
    assert float(total) == pytest.approx(sum(float(t) for t, _ in alone), rel=1e-4)


# ---- the folder


def test_a_folder_holds_all_of_it(tmp_path, fitted):
    """Loaded it says what it said when saved, bit for bit, and knows what was measured."""
    fitted.save(tmp_path / "lm")
    back = load(tmp_path / "lm")
    texts = ["the cat sat", "on a mat", ""]
    np.testing.assert_array_equal(back.log_probs(texts), fitted.log_probs(texts))
    assert (back.config, back.alphabet, back.notes) == (fitted.config, fitted.alphabet, fitted.notes)
    assert back.metrics == fitted.metrics
    assert back.history == fitted.history
    assert back.summary() == fitted.summary()
    assert sorted(p.name for p in (tmp_path / "lm").iterdir()) == [
        "config.json", "history.csv", "learnt.json", "metrics.json", "model.safetensors",
    ]  # fmt: skip


def test_learning_leaves_a_folder_that_can_be_gone_on_from(tmp_path):
    """`out` holds the model when it is learnt; resumed, a finished run is the same again."""
    model = fit(LINES, LETTERS, SMALL, out=tmp_path / "lm", progress=False)
    again = fit(LINES, LETTERS, SMALL, out=tmp_path / "lm", resume=True, progress=False)
    for one in (load(tmp_path / "lm"), again):
        np.testing.assert_array_equal(one.log_probs(LINES[:4]), model.log_probs(LINES[:4]))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="only files of a run"):
        fit(LINES, LETTERS, SMALL, out=tmp_path / "mine", progress=False)


def hostile(folder, change) -> None:
    """Write the run again as a stranger might, with checksums that fit."""
    found = checkpoint.load(folder)
    learnt, config, state = json.loads(json.dumps(found.extras)), dict(found.config), dict(found.state)
    change(learnt, config, state)
    checkpoint.save(folder, config, state, task="language", metrics=found.metrics, extras=learnt)


@pytest.mark.parametrize(
    "change",
    [
        lambda learnt, config, state: learnt["shape"].update(units=10**9),
        lambda learnt, config, state: learnt["shape"].update(layers=10**9),
        lambda learnt, config, state: learnt["shape"].update(layers=-1),
        lambda learnt, config, state: learnt["shape"].update(embedding=10**9),
        lambda learnt, config, state: learnt["shape"].update(symbols=10**9),
        lambda learnt, config, state: (
            learnt["shape"].update(units=10**8),
            state.update({"layers.weight_hh_l0": torch.zeros(0, 10**8)}),
        ),
        lambda learnt, config, state: (
            learnt["shape"].update(layers=9),
            state.update({f"layers.weight_hh_l{k}": torch.zeros(1) for k in range(9)}),
        ),
        lambda learnt, config, state: learnt["shape"].update(units=True),
        lambda learnt, config, state: learnt["shape"].update(units=32.0),
        lambda learnt, config, state: learnt["shape"].update(surprise=1),
        lambda learnt, config, state: learnt.pop("shape"),
        lambda learnt, config, state: learnt["alphabet"].update(symbols=["", "a"]),
        lambda learnt, config, state: learnt["alphabet"].update(symbols=5),
        lambda learnt, config, state: learnt.update(alphabet=None),
        lambda learnt, config, state: learnt.update(notes=7),
        lambda learnt, config, state: config.update(units="many"),
        lambda learnt, config, state: config.update(unheard=1),
        lambda learnt, config, state: state.pop("embed.weight"),
        lambda learnt, config, state: state.update({"embed.weight": torch.zeros(())}),
        lambda learnt, config, state: state.update({"layers.weight_hh_l0": torch.zeros(4)}),
        lambda learnt, config, state: state.update({"output.weight": torch.full((13, 32), float("nan"))}),
        lambda learnt, config, state: state.update({"output.bias": torch.zeros(99)}),
    ],
)
def test_a_hostile_folder_is_one_clear_error(tmp_path, fitted, change):
    """Whatever a stranger wrote is refused in a sentence, before memory is taken for it."""
    fitted.save(tmp_path / "lm")
    hostile(tmp_path / "lm", change)
    with pytest.raises(InputError):
        load(tmp_path / "lm")


def test_a_run_of_another_task_is_refused(tmp_path, fitted):
    """A transcriber's folder is no language model."""
    checkpoint.save(tmp_path / "other", {}, fitted.network, task="transcribe")
    with pytest.raises(InputError, match=r"a run of transcribe\.language"):
        load(tmp_path / "other")


def test_a_run_of_the_language_task_is_a_scorer(tmp_path):
    """`--lm` takes any run of `gated language` whose characters are the transcriber's; of other levels none."""
    from gated import language as languages

    (tmp_path / "book.txt").write_text("\n".join(LINES))
    tiny = dict(units=16, embedding=8, batch=4, window=16, steps=60, lr=2e-2, precision="32", progress=False)
    languages.fit(tmp_path / "book.txt", out=tmp_path / "lm", **tiny)
    model = load_lm(str(tmp_path / "lm"), LETTERS)
    assert isinstance(model, scorer.Scorer)
    x = np.log(np.full((6, len(LETTERS)), 1 / len(LETTERS)))
    best = ctc.beam(x, lm=model, alpha=3.0, width=16)[0]
    assert LETTERS.decode(best.tokens)[:1] in ("t", "a", "")
    languages.fit(tmp_path / "book.txt", out=tmp_path / "bytes", level="byte", **tiny | dict(steps=1))
    with pytest.raises(InputError, match="--level char"):
        load_lm(str(tmp_path / "bytes"), LETTERS)
