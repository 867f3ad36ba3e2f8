"""Learning the problems of long time lags: what counts, what stops it, the demo, the benchmark's page."""

import csv
import importlib.util
import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from gated import checkpoint, cli
from gated._check import InputError
from gated.problems import Adding, Criterion, EmbeddedReber, NoiseFree, TemporalOrder, TwoSequence
from gated.tasks.lags import KINDS, demo, solve
from gated.tasks.lags.training import Net, Recipe, passes

SHORT = TwoSequence(T=6, N=2)
QUICK = Recipe(H=8, B=16, lr=0.03, check=64)


@dataclass(frozen=True)
class Easy(TwoSequence):
    """A short two-sequence problem with a criterion on training."""

    T: int = 6
    n: int = 96

    @property
    def criterion(self):
        return Criterion(self.n)


def draw(problem, B=6):
    return problem.batch(np.random.default_rng(0), B)


# ---- the network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("problem", [EmbeddedReber(), Adding(22), TemporalOrder(2)], ids=lambda p: type(p).__name__)
def test_outputs_stand_where_they_are_asked_for(problem, kind):
    """`outputs` holds probabilities or numbers at the steps with an error signal, and zeros elsewhere."""
    net, batch = Net(problem, kind, Recipe(H=5)), draw(problem)
    a = net(batch)
    y = net.outputs(batch, a)
    assert y.shape == batch.truth.shape
    assert (y[~batch.where] == 0).all()
    if problem.output == "softmax":
        torch.testing.assert_close(y[batch.where].sum(-1), torch.ones(int(batch.where.sum())))
    else:
        assert torch.equal(y[batch.where], a)


@pytest.mark.parametrize("problem", [EmbeddedReber(), TwoSequence(task="3c")], ids=lambda p: type(p).__name__)
def test_the_loss_is_the_textbook_s(problem):
    """-log p of the target symbol, or (y - target)², the mean over the steps with an error signal."""
    net, batch = Net(problem, "lstm", Recipe(H=5)), draw(problem)
    a = net(batch)
    y, terms = net.outputs(batch, a), []
    for t, b in batch.where.nonzero().tolist():
        if problem.output == "softmax":
            terms.append(-math.log(y[t, b, int(batch.target[t, b].argmax())].item()))
        else:
            terms.append((y[t, b] - batch.target[t, b]).square().sum().item())
    assert net.loss(batch, a).item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_a_sequence_is_answered_alone_as_in_a_batch():
    """Padding and neighbours change no answer."""
    problem = Adding(22)
    net, batch = Net(problem, "gru", Recipe(H=5)), draw(problem)
    whole = net.outputs(batch, net(batch))
    assert len(set(batch.lengths.tolist())) > 1
    for b, length in enumerate(batch.lengths.tolist()):
        h, _ = net.layer(batch.x[:length, b : b + 1])
        torch.testing.assert_close(net.head(h[-1, 0]), whole[length - 1, b], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "layer norm"])
def test_the_four_networks_are_what_they_are_called(norm):
    """The LSTM of 1997 has no forget gate; gates that keep are open, and those that write shut, for lags up to T."""
    problem, H = TemporalOrder(2), 200
    layers = {kind: Net(problem, kind, Recipe(H=H, layer_norm=norm)).layer for kind in KINDS}
    assert [layer.cell.gates for layer in layers.values()] == [
        ("i", "f", "g", "o"), ("i", "g", "o"), ("r", "z", "n"), ("h",)
    ]  # fmt: skip
    for kind, gate, sign in (("lstm", "f", 1), ("lstm", "i", -1), ("no forget gate", "i", -1), ("gru", "z", 1)):
        layer = layers[kind]
        first = layer.cell.gates.index(gate) * H
        bias = getattr(layer, f"shift_{gate}_l0") if norm else (layer.bias_ih_l0 + layer.bias_hh_l0)[first : first + H]
        u = (sign * bias).exp()
        assert u.min() >= 1
        assert u.max() <= problem.longest - 1
        assert u.mean().item() == pytest.approx(problem.longest / 2, rel=0.2)
    assert all(layer.layer_norm == norm for layer in layers.values())


# ---- learning


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_what_can_be_learnt_is_learnt(kind):
    """An easy problem is solved; the count is that of whole updates, and of tests when they are due."""
    solved = solve(SHORT, kind, recipe=QUICK, cap=6000)
    assert solved.sequences == solved.total
    assert solved.total % QUICK.check == 0
    assert len(solved.losses) == solved.total // QUICK.B
    assert not solved.diverged


def test_a_criterion_on_training_waits_for_its_n():
    """It cannot hold before n sequences, and holds at the first update after which the last n were right."""
    wrong = []

    class Recording(Easy):
        def judge(self, batch, y):
            wrong.append(super().judge(batch, y)[0].any())
            return super().judge(batch, y)

    problem = Recording()
    solved = solve(problem, recipe=QUICK, cap=20_000)
    assert solved.sequences
    assert solved.sequences >= problem.n
    updates = -(-problem.n // QUICK.B)
    assert not any(wrong[-updates:])
    assert all(any(wrong[k : k + updates]) for k in range(len(wrong) - updates))


def test_memory_of_the_stream_is_bounded_and_changes_nothing(monkeypatch):
    """Only the last n answers stay, which are all that a criterion of n reads."""
    problem, sizes = Easy(n=3), []
    monkeypatch.setattr(Criterion, "holds", lambda self, wrong, error: sizes.append(len(wrong)))
    solved = solve(problem, recipe=Recipe(H=2, B=512, lr=0.0), cap=20_000)
    assert solved.sequences is None
    assert set(sizes) == {3}


def test_the_same_seed_learns_the_same_and_touches_no_generator():
    """Losses repeat bit for bit with a seed, and differ with another; the caller's generators stay where they were."""
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one, same, other = (solve(SHORT, recipe=QUICK, seed=seed, cap=64).losses for seed in (0, 0, 1))
    assert one == same
    assert one != other
    assert (before[0] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


def test_the_cap_ends_it():
    """Without success it ends at the cap, says None, and how many it saw."""
    solved = solve(NoiseFree(20), "rnn", recipe=Recipe(H=4, B=16, check=64), cap=200)
    assert solved.sequences is None
    assert solved.total == 208
    assert not solved.diverged


def test_a_network_that_bursts_is_said_to_have_diverged():
    """A gradient that is not finite ends it before the step."""
    solved = solve(SHORT, recipe=Recipe(H=4, B=4, lr=1e30, clip=None), cap=4000)
    assert solved.diverged
    assert solved.sequences is None
    assert solved.total < 4000


def test_clipping_is_a_choice():
    """With a clip so small that Adam's ε outweighs the gradient the weights hardly move; without one they do."""
    still, moving = (
        solve(SHORT, recipe=Recipe(H=4, B=4, lr=0.05, clip=clip), cap=400).losses for clip in (1e-12, None)
    )  # fmt: skip
    assert np.mean(moving[-20:]) < 0.7 * np.mean(still[-20:])


def test_a_test_ends_when_it_is_lost(monkeypatch):
    """Once too many are wrong no further test sequences are drawn."""
    drawn = []

    @dataclass(frozen=True)
    class Long(TwoSequence):
        @property
        def criterion(self):
            return Criterion(4000, on="test")

        def batch(self, rng, B):
            drawn.append(B)
            return super().batch(rng, B)

    problem = Long(T=6)
    net = Net(problem, "rnn", Recipe(H=3))
    assert not passes(net, problem, 0)
    assert drawn == [256]


def test_test_sequences_are_other_than_those_learnt_from():
    """Training and test streams of one seed have no sequence in common, and a test is the same each time."""
    batches = []

    @dataclass(frozen=True)
    class Recording(TwoSequence):
        def batch(self, rng, B):
            batch = super().batch(rng, B)
            batches.append({tuple(one.flatten().tolist()) for one in batch.x.unbind(1)})
            return batch

    solve(Recording(T=6), recipe=Recipe(H=2, B=256, lr=0.0, check=256), cap=512)
    one, test, two, again = batches
    assert test == again
    assert not test & (one | two)
    assert not one & two


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: solve(SHORT, "LSTM"), "lags kind: expected one of 'lstm', 'no forget gate', 'gru', 'rnn', got 'LSTM'"),
        (lambda: Recipe(H=0), "lags.Recipe H"),
        (lambda: Recipe(clip=-1.0), "lags.Recipe clip"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(make, message):
    """Where, what was expected, what came."""
    with pytest.raises(InputError, match=re.escape(message)):
        make()


# ---- the demo


@pytest.fixture
def small(monkeypatch):
    """The demo on short sequences, 400 of them at most."""
    monkeypatch.setattr(demo, "T", 22)
    monkeypatch.setattr(demo, "PAPER", {Adding(22): 400})
    monkeypatch.setattr(demo, "EVERY", 80)


def gated(capsys, *words):
    """Run the command here: its status, and what went to either stream."""
    status = 0
    try:
        cli.main([*map(str, words)])
    except SystemExit as left:
        status = left.code or 0
    streams = capsys.readouterr()
    return status, streams.out, streams.err


def test_the_demo_compares_both_and_writes_their_errors(small, capsys, tmp_path):
    """`--json` prints one object; a pipe sees a line now and then; the errors of both are in a table."""
    status, out, err = gated(capsys, "demo", "lags", "--out", tmp_path / "demo", "--json")
    assert status == 0
    result = json.loads(out)
    assert result.keys() == {"problem", "T", "paper", "constant", "lstm", "rnn"}
    assert result["lstm"]["seen"] == result["rnn"]["seen"] == 400
    assert result["lstm"]["sequences"] is None
    assert len(re.findall(r"LSTM +\d+ sequences   error 0\.\d{5}", err)) == 5
    assert len(re.findall(r"plain RNN +\d+ sequences   error 0\.\d{5}", err)) == 5
    rows = list(csv.reader((tmp_path / "demo" / demo.HISTORY).read_text().splitlines()))
    checkpoint.claim(tmp_path / "demo")  # another demo may follow in the same folder
    assert rows[0] == ["sequences", "lstm", "rnn"]
    assert len(rows) == 1 + 400 // Recipe().B
    assert rows[-1][0] == "400"


def test_the_demo_on_a_terminal_draws_a_row_for_each(small, monkeypatch, capsys, tmp_path):
    """Where somebody watches there are bars in place of lines, and the table at the end."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    status, out, err = gated(capsys, "demo", "lags", "--out", tmp_path)
    assert (status, out) == (0, "")
    assert "of the paper's" in err
    assert "sequences   error" not in err
    assert "saying 0.5" in err


def test_the_demo_s_table_says_who_solved_it():
    """Solved or not, against the paper's figure; the RNN against saying 0.5."""
    lstm = {"sequences": 12_000, "seen": 12_000, "error": 1e-4, "seconds": 5.0}
    rnn = {"sequences": None, "seen": 12_000, "error": 0.0375, "seconds": 3.0}
    text = demo.table({"lstm": lstm, "rnn": rnn, "paper": 74_000, "constant": 1 / 24})
    assert "12,000 sequences until the last 2,000 were all right to 0.04; the paper's LSTM needed 74,000" in text
    assert "its error is 0.0375, saying 0.5 has 0.0417" in text
    text = demo.table(
        {"lstm": lstm | {"sequences": None}, "rnn": rnn | {"sequences": 12_000}, "paper": 74_000, "constant": 1 / 24}
    )
    assert "not solved within 12,000" in text
    assert "it solved it too" in text


def test_a_spark_line_falls_as_errors_do():
    """Full at the scale and above, empty at zero, one bar for each part."""
    assert demo.spark([0.1] * 8, 0.05, 4) == "████"
    assert demo.spark([0.0] * 8, 0.05, 4) == "    "
    falling = demo.spark(list(np.linspace(0.05, 0, 240)), 0.05)
    assert len(falling) == 24
    assert [demo.BARS.index(bar) for bar in falling] == sorted((demo.BARS.index(bar) for bar in falling), reverse=True)


def test_lags_is_a_demo_and_no_task(capsys):
    """`gated demo` lists it; `gated` does not, for it has neither fit nor predict nor score."""
    assert "lags" in gated(capsys, "demo", "--help")[1]
    assert "lags" not in cli.TASKS
    assert gated(capsys, "lags")[0] == 2


# ---- the benchmark


@pytest.fixture(scope="module")
def bench():
    path = Path(__file__).parents[1] / "benchmarks" / "lags.py"
    spec = importlib.util.spec_from_file_location("bench_lags", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)  # for the modules that it shares with other benchmarks
        patch.setitem(sys.modules, "bench_lags", module)  # which its dataclasses ask for
        spec.loader.exec_module(module)
        yield module


def test_the_page_tells_medians_and_failures(bench):
    """Bold where every seed took fewer than the paper; how many of how many, and the cap, where one failed."""
    row = bench.ROWS["adding-100"]
    run = {"diverged": False, "seconds": 1.0}
    some = [run | {"sequences": n} for n in (9_000, 8_000, 20_000, 30_000, 10_000)]
    assert bench.cell(row, "lstm", some) == "**10,000 (8,000–30,000)**"
    assert bench.cell(row, "rnn", [run | {"sequences": None}] * 5) == f"0 of 5 within {row.less:,}"
    mixed = [*some[:4], {"sequences": None, "diverged": True}]
    assert bench.cell(row, "gru", mixed) == f"9,000 (8,000–30,000), 4 of 5 within {row.cap:,}, 1 diverged"
    assert bench.cell(row, "gru", []) == "not yet run"


def test_runs_are_told_apart_and_their_terms_survive_json(bench):
    """Every job has a key of its own; a result stands as long as recipe and cap are as they were."""
    jobs = [
        bench.Job(row, kind, clip, seed)
        for row in bench.ROWS
        for kind in KINDS
        for clip in bench.CLIPS
        for seed in range(5)
    ]
    assert len({job.key for job in jobs}) == len(jobs)
    assert all(json.loads(json.dumps(job.terms)) == job.terms for job in jobs)
    assert jobs[0].terms != bench.Job("adding-100", "lstm", None, 0).terms
    runs = {job.key: {"sequences": job.seed + 1, "diverged": False} for job in jobs}
    results = bench.found(runs, "adding-100", "lstm", 1.0)
    assert [one["sequences"] for one in results] == [1, 2, 3, 4, 5]


def test_every_row_s_problem_is_the_paper_s(bench):
    """Every row but copying has a figure of the paper's; the plain RNN's cap is no higher than another's."""
    assert [name for name, row in bench.ROWS.items() if row.paper is None] == ["copying"]
    assert all(row.less <= row.cap for row in bench.ROWS.values())


def test_the_markov_model_s_next_symbols_are_bayes(bench):
    """p(next | past) by the forward recursion equals the ratio of the probabilities of whole strings."""
    hmm = pytest.importorskip("hmmlearn.hmm")
    rng = np.random.default_rng(0)
    model = hmm.CategoricalHMM(3, n_features=4)
    model.startprob_, model.transmat_ = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), 3)
    model.emissionprob_ = rng.dirichlet(np.ones(4), 3)
    past = [0, 2, 1, 3]
    p = bench.following(model, past)
    for t in range(1, len(past)):
        before = model.score(np.array(past[:t])[:, None])
        for k in range(4):
            both = model.score(np.array([*past[:t], k])[:, None])
            assert p[t - 1, k] == pytest.approx(math.exp(both - before), rel=1e-6)


def test_a_page_is_made_of_whatever_is_there(bench):
    """Missing runs are said to be missing."""
    runs = {bench.Job("reber", "lstm", 1.0, 0).key: {"sequences": 4_000, "diverged": False, "seconds": 60.0}}
    shares = {part: {"symbols": 0.9, "strings": 0.2} for part in ("training", "test")}
    runs["hidden Markov model | 20 | 0"] = {"shares": shares, "seconds": 1.0}
    machine = {"date": "1997-11-15", "processor": "P", "processors": 1, "torch": "0"}
    page = bench.report({"runs": runs, "machine": machine})
    assert "**4,000 (4,000–4,000)**" in page
    assert "not yet run" in page
    assert "| 20 states | 1 | 90.0–90.0 % | 90.0–90.0 % | 20.0–20.0 % |" in page
