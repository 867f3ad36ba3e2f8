"""What every task promises, whatever it is about: one seed is one run, stopped is never stopped, loaded is saved …

The tasks are those of `gated.tasks.TASKS`, and `counts` of tests/made/tasks, of which nothing is known but its folder.
"""

import dataclasses
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from gated import checkpoint, cli, train
from gated._check import InputError
from gated.tasks import TASKS, VERBS
from made.tasks import EXAMPLES

SUFFIXES = {".json", ".safetensors", ".csv", ".html", ".png"}


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return TASKS[request.param]


@pytest.fixture(scope="module")
def example(task):
    return EXAMPLES[task.name]


@pytest.fixture(scope="module")
def desk(task, example, tmp_path_factory):
    """A folder with the task's data and a run of it in `run`, which no test changes."""
    folder = tmp_path_factory.mktemp(task.name)
    example.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        cli.main([task.name, "fit", *example.fit.split(), *example.noise.split(), "--quiet", "--out", "run"])
    return folder


@pytest.fixture
def fit(gated, task, example):
    """Run `gated TASK fit` with the words of the example, of which later ones overrule earlier ones."""
    return lambda *more: gated(task.name, "fit", *example.fit.split(), *example.noise.split(), *more)


def content(folder):
    """All that a run folder holds, without the seconds that it took."""
    stored = checkpoint.load(folder)
    arrays = {name: np.asarray(array).tolist() for name, array in stored.arrays.items()}
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in stored.extras.pop("history")]
    metrics = {k: v for k, v in stored.metrics.items() if "seconds" not in k}
    weights = {name: value.tolist() for name, value in stored.state.items()}
    return stored.config, metrics, stored.extras, arrays, timeless, weights


def generators():
    """The global random states that a caller may have seeded; the checks of shapes draw from Python's own."""
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002


# ---- fitting


def test_one_seed_is_one_run(fit, tmp_path):
    """Fits of one seed are equal to the bit, in weights, history and metrics; of another they are not.

    A fit writes a run folder and sums it up on standard error; --quiet says nothing; --json prints one object.
    """
    before = generators()
    status, out, err = fit("--out", tmp_path / "a")
    assert (status, out) == (0, "")
    assert err
    assert {"config.json", "model.safetensors", "history.csv"} <= {path.name for path in (tmp_path / "a").iterdir()}
    status, out, err = fit("--seed", 1, "--out", tmp_path / "b", "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out)["run"] == str(tmp_path / "b")
    assert json.loads(out)["fit_seconds"] > 0
    assert generators() == before
    assert content(tmp_path / "a") == content("run")
    assert content(tmp_path / "b")[-1] != content("run")[-1]


def test_stopped_and_resumed_is_never_stopped(fit, tmp_path, monkeypatch):
    """Ctrl-C ends a fit after its step, with status 130, one line and no run; resumed, it is that of one never stopped.

    With other options it is not resumed.
    """
    real = train.fit

    def pressed(model, loss, batches, **more):
        def batch(n):
            if n == 3:
                signal.raise_signal(signal.SIGINT)
            return batches(n)

        return real(model, loss, batch, **more)

    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", pressed)
        told = fit("--out", tmp_path / "run")
    assert told == (130, "", "Stopped at step 4. Go on with --resume.\n")
    assert not (tmp_path / "run" / "config.json").exists()
    status, out, err = fit("--lr", "0.123", "--out", tmp_path / "run", "--resume")
    assert (status, out) == (2, "")
    assert "resume" in err
    assert fit("--quiet", "--out", tmp_path / "run", "--resume") == (0, "", "")
    assert content(tmp_path / "run") == content("run")


def test_a_folder_of_other_things_is_refused_before_anything_is_fitted(fit, tmp_path, monkeypatch):
    """Nothing is trained, and nothing written, where the run could not be saved in the end."""
    (tmp_path / "thesis.txt").write_text("mine")
    monkeypatch.setattr(train, "fit", lambda *given, **more: 1 / 0)
    status, out, err = fit("--out", tmp_path)
    assert (status, out) == (2, "")
    assert "only files of a run, got thesis.txt" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


# ---- the run folder


def test_loaded_equals_saved(task, example, desk, monkeypatch, tmp_path):
    """A run that is loaded and saved anew is the same: what it holds, what it says of itself, what it predicts."""
    monkeypatch.chdir(desk)
    run = task.load("run")
    run.save(tmp_path / "run")
    again = task.load(tmp_path / "run")
    assert content(tmp_path / "run") == content("run")
    assert (again.config, again.metrics, again.history) == (run.config, run.metrics, run.history)
    assert again.summary() == run.summary()
    assert np.array_equal(example.alone(again)[0], example.alone(run)[0])


def test_a_run_folder_holds_nothing_that_executes(task, desk):
    """JSON, safetensors and tables: no pickle, no archive."""
    for path in filter(Path.is_file, (desk / "run").rglob("*")):
        assert path.suffix in SUFFIXES
        start = path.read_bytes()[:9]  # of safetensors the header's length, and then JSON
        assert start.endswith(b"{") if path.suffix == ".safetensors" else not start.startswith((b"\x80", b"PK"))


def damaged(change):
    """The folder `run` with something else in it, under sums that are right."""

    def damage(folder, task):
        stored = checkpoint.load("run")
        change(stored)
        arrays = stored.arrays or None
        more = dict(task=task.name, metrics=stored.metrics, extras=stored.extras, arrays=arrays)
        checkpoint.save(folder, stored.config, stored.state, **more)

    return damage


def cut(folder, task):
    shutil.copytree("run", folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


ANEW = "as this version writes it"
DAMAGE = {  # what to do with a folder, and what is said of it
    "no folder": (lambda folder, task: None, "nothing there"),
    "an empty folder": (lambda folder, task: folder.mkdir(), "Is this a run folder"),
    "cut short": (cut, "cut short, damaged"),
    "another task": (
        lambda folder, task: checkpoint.save(folder, {}, {}, task="cooking", extras={}), "a run of 'cooking'"
    ),
    "nothing but weights": (lambda folder, task: checkpoint.save(folder, {}, {}, task=task.name, extras={}), ANEW),
    "an unknown option": (damaged(lambda stored: stored.config.update(unheard=3)), "unheard"),
    "an option out of bounds": (damaged(lambda stored: stored.config.update(steps=-3)), "steps"),
    "a weight less": (damaged(lambda stored: stored.state.pop(next(iter(stored.state)))), None),
    "a weight more": (damaged(lambda stored: stored.state.update(strange=torch.zeros(2))), None),
    "notes that are none": (damaged(lambda stored: stored.extras.update(notes=3)), ANEW),
    "history that is none": (damaged(lambda stored: stored.extras.update(history=3)), ANEW),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "part"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_one_error(gated, task, example, tmp_path, damage, part):
    """Whatever a folder lacks or holds, it is a run of the task or one `InputError`; for a command, one line."""
    damage(tmp_path / "run", task)
    with pytest.raises(InputError, match=part):
        task.load(tmp_path / "run")
    status, out, err = gated(task.name, "predict", tmp_path / "run", *example.predict.split())
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_a_folder_without_one_thing_that_was_fitted_is_one_error(task, desk, monkeypatch, tmp_path):
    """Each entry that the task itself stores beside weights and options is missed when it is gone."""
    monkeypatch.chdir(desk)
    for name in set(checkpoint.load("run").extras):
        damaged(lambda stored, name=name: stored.extras.pop(name))(tmp_path / name, task)
        with pytest.raises(InputError, match=f"run folder .*{name}"):
            task.load(tmp_path / name)


# ---- predicting and scoring


def test_a_prediction_does_not_depend_on_the_others(task, example, desk, monkeypatch):
    """Each input alone has the prediction that it has among others."""
    monkeypatch.chdir(desk)
    together, alone = example.alone(task.load("run"))
    if isinstance(together, np.ndarray):
        np.testing.assert_allclose(together, alone, rtol=1e-4)
    else:
        assert list(together) == list(alone)


def test_a_score_stands_beside_baselines(gated, task, example):
    """`score` gives the task's own metric, and the same of one baseline or more; people see a table."""
    result = json.loads(gated(task.name, "score", "run", *example.score.split(), "--json")[1])
    assert isinstance(result[task.metric], float | int)
    assert result["baselines"]
    for name, baseline in result["baselines"].items():
        assert isinstance(baseline[task.metric], float | int), name
    status, out, err = gated(task.name, "score", "run", *example.score.split())
    assert (status, out) == (0, "")
    assert err


def test_json_is_one_object_and_nothing_else(gated, task, example):
    """With --json standard output is one JSON object, or one a line of what is heard, and standard error is empty."""
    verbs = {"predict": example.predict, "score": example.score, **example.verbs}
    assert set(verbs) | {"fit"} == set(VERBS) | set(task.verbs)
    for verb, words in verbs.items():
        status, out, err = gated(task.name, verb, "run", *words.split(), "--json")
        assert (status, err) == (0, ""), verb
        assert all(isinstance(json.loads(line), dict) for line in out.splitlines())
        assert verb in example.lines or out.count("\n") == 1


# ---- the command line


def test_every_option_of_config_is_an_option(gated, task):
    """What may be chosen from Python may be chosen by `fit` here, under the same name, with its help."""
    status, out, err = gated(task.name, "fit", "--help")
    assert (status, err) == (0, "")
    for field in dataclasses.fields(task.Config):
        assert "--" + field.name.replace("_", "-") in out
        assert field.metadata["help"].split()[0] in out


def test_help_names_every_verb(gated, task):
    """`gated TASK --help` lists fit, predict, score and the task's own, and each verb explains itself."""
    text = gated(task.name, "--help")[1]
    for verb in {**VERBS, **task.verbs}:
        assert verb in text
        assert gated(task.name, verb, "--help")[0] == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("fit", "Missing argument"),
        ("fit {data}", "--out"),
        ("fit nowhere.csv --out x {options}", "nowhere.csv"),
        ("fit {fit} --out x --time-limit soon", "90s, 30m or 2h"),
        ("fit {fit} --out x --time-limit 0", "time_limit"),
        ("fit {fit} --out x --steps 0", "steps"),
        ("fit {fit} --out x --sedd 3", "--seed"),
        ("fit {fit} --out x --precision 8", "'bf16'"),
        ("fit {fit} --out .", "only files of a run"),
        ("predict nowhere {predict}", "nowhere"),
        ("predict . {predict}", "Is this a run folder"),
        ("predict", "Missing argument"),
        ("score run nowhere.csv", "nowhere.csv"),
        ("fitt", "No such command"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(gated, task, example, words, part):
    """Nothing on standard output, one line on standard error that says what to do, no traceback, status 2."""
    data, *options = example.fit.partition(" --")
    filled = words.format(data=data, options="".join(options), fit=example.fit, predict=example.predict)
    status, out, err = gated(task.name, *filled.split())
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert part in err
    assert not Path("x").exists()


def test_the_probe_takes_the_runs_it_knows(gated, task, example):
    """A task that says what the probe may see is looked into; another is one line and status 2."""
    status, out, err = gated("probe", "run", *([] if task.name == "forecast" else example.predict.split()), "--json")
    if not task.has("view"):
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "counts" in err
    else:
        assert (status, err) == (0, "")
        assert isinstance(json.loads(out), dict)
