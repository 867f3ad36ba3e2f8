"""The folder of a run: nothing in it is lost or mixed, whoever writes there, and whatever stops it."""

import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from gated import checkpoint, runs, train
from gated._check import InputError
from gated.io import files
from gated.tasks import TASKS
from made.tasks import EXAMPLES

COUNTS = TASKS["counts"].part("run")


@pytest.fixture
def desk(tmp_path):
    """A folder with the texts of the task `counts`, and a run of it in `run`."""
    EXAMPLES["counts"].write(tmp_path)
    COUNTS.fit(tmp_path / "text.txt", steps=6, out=tmp_path / "run", progress=False)
    return tmp_path


def fit(desk, data="text.txt", **words):
    return COUNTS.fit(desk / data, **{"steps": 6, "out": desk / "run", "progress": False} | words)


def stop(monkeypatch, at=3):
    """Ctrl-C in a step of the next fits."""
    real = train.fit

    def pressed(model, loss, batches, **more):
        def batch(n):
            if n == at:
                signal.raise_signal(signal.SIGINT)
            return batches(n)

        return real(model, loss, batch, **more)

    monkeypatch.setattr(train, "fit", pressed)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- replaced


def test_a_run_is_replaced_only_where_that_is_asked_for(desk, gated):
    """A fit into the folder of a run is refused before it reads anything, with the ways out; not a byte changes."""
    before = content(desk / "run")
    with pytest.raises(
        InputError, match=r"run: expected a folder without a run, got a run\. Take --resume .*overwrite"
    ):
        fit(desk, "nowhere.txt")
    status, out, err = gated("counts", "fit", "text.txt", "--steps", "6", "--out", "run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--overwrite" in err
    assert content(desk / "run") == before
    assert gated("counts", "fit", "text.txt", "--steps", "7", "--out", "run", "--overwrite", "--quiet") == (0, "", "")
    assert checkpoint.load(desk / "run").config["steps"] == 7


def test_the_older_run_stays_until_the_new_one_is_saved(desk, monkeypatch):
    """Stopped in training, or with no room at its end, a fit with overwrite leaves every file of the older run."""
    before = content(desk / "run")
    del before["training.safetensors"]
    with monkeypatch.context() as patch:
        stop(patch)
        with pytest.raises(KeyboardInterrupt, match=r"Stopped at step 4\. Go on with --resume\."):
            fit(desk, overwrite=True, seed=1)
    after = content(desk / "run")
    assert {name: after[name] for name in before} == before
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: full())
        with pytest.raises(OSError, match="No space left") as caught:
            fit(desk, overwrite=True, seed=1)
    assert str(caught.value.filename).startswith(str(desk / "run"))
    after = content(desk / "run")
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith(".new")]
    new = fit(desk, overwrite=True, seed=1)
    assert torch.equal(COUNTS.load(desk / "run").network.logits, new.network.logits)


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_stopped_fit_says_so(desk, gated, monkeypatch):
    """Nothing is fitted over it unawares, and what wants a run says how the fit goes on."""
    with monkeypatch.context() as patch:
        stop(patch)
        with pytest.raises(KeyboardInterrupt):
            fit(desk, out=desk / "new")
    with pytest.raises(InputError, match=r"got a fit that was stopped at step 4\. Take --resume"):
        fit(desk, out=desk / "new")
    for words in (("predict", "new", "text.txt"), ("score", "new", "new.txt")):
        status, out, err = gated("counts", *words)
        assert (status, out) == (2, "")
        assert err == (
            "Error: run folder new: expected a run, got a fit that was stopped at step 4. "
            "Its own command ends it with --resume (fit with resume=True).\n"
        )
    whole = fit(desk, out=desk / "other")
    assert torch.equal(fit(desk, out=desk / "new", resume=True).network.logits, whole.network.logits)


def test_a_fit_that_fails_leaves_no_folder(tmp_path):
    """Folders that a fit made are gone where it came to nothing; those that were there stay."""
    with pytest.raises(InputError):
        COUNTS.fit(tmp_path / "none.txt", out=tmp_path / "a" / "b", progress=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError):
        COUNTS.fit(tmp_path / "none.txt", out=tmp_path / "mine", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert list((tmp_path / "mine").iterdir()) == []


# ---- resumed


@pytest.mark.parametrize("finished", [True, False])
def test_a_fit_is_resumed_with_what_it_was_begun_with(desk, monkeypatch, finished):
    """Other data are refused, other options are named; in a finished fit too."""
    if not finished:
        shutil.rmtree(desk / "run")
        stop(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            fit(desk)
        monkeypatch.undo()
    with pytest.raises(InputError, match="expected the data of the stopped fit, got other data"):
        fit(desk, "new.txt", resume=True)
    for name, value in (("lr", 0.5), ("seed", 3), ("batch", 2), ("spread", 0.25)):
        with pytest.raises(InputError, match=rf"resume in .*: expected {name} .*, got {name} {value}"):
            fit(desk, resume=True, **{name: value})
    fit(desk, resume=True, time_limit=1000.0)


def test_a_finished_fit_says_that_it_has(desk, capsys):
    """Resumed with the same data it trains nothing, says so, and is the same run."""
    before = COUNTS.load(desk / "run")
    after = fit(desk, resume=True, progress=True)
    assert capsys.readouterr().err == "This fit had finished: nothing was left to train.\n"
    assert torch.equal(before.network.logits, after.network.logits)
    (desk / "run" / "training.safetensors").unlink()
    with pytest.raises(InputError, match="expected a fit to resume, got a run without the state of its training"):
        fit(desk, resume=True)
    with pytest.raises(InputError, match="Leave resume out"):
        fit(desk, resume=True, overwrite=True)


PARTS = [
    1, 1.0, "1", None, [], (1, 2), [[1, 2]], ["a", "b"], ["ab"], {"a": 1}, np.arange(3), np.arange(3.0), np.arange(4),
    np.arange(4).reshape(2, 2), torch.zeros(2), torch.zeros(1), [np.zeros(1), np.zeros(2)],
    [np.zeros(2), np.zeros(1)], np.array(["a", None], object), np.array(["b", None], object), "\ud800", ["\ud800"],
]  # fmt: skip


def test_a_fingerprint_is_of_content():
    """Equal content has an equal fingerprint, whatever holds it in memory; all else has another."""
    prints = [checkpoint.fingerprint(part) for part in PARTS]
    assert prints == [checkpoint.fingerprint(part) for part in PARTS]
    assert len(set(prints)) == len(prints)
    assert checkpoint.fingerprint(np.arange(6).reshape(2, 3)) == checkpoint.fingerprint(
        np.asfortranarray(np.arange(6).reshape(2, 3))
    )
    assert checkpoint.fingerprint(torch.arange(3)) == checkpoint.fingerprint(np.arange(3))


# ---- two at once

HOLD = """
import sys, time
from pathlib import Path
from gated.io import files
with files.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_written_by_one_fit(desk):
    """The second is refused, be it here or in another process; the hold ends with its process, killed or not."""
    with files.lock(desk / "run"), pytest.raises(InputError, match="expected a folder that no other fit writes"):
        fit(desk, overwrite=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, desk / "new"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        with pytest.raises(InputError, match="one that is in use"):
            fit(desk, out=desk / "new")
        process.kill()
    fit(desk, out=desk / "new")
    assert not (desk / "new" / files.LOCK).exists()


def test_a_failed_fit_holds_nothing(desk):
    """An error that is kept, as a notebook keeps its last, does not keep the folder."""
    with pytest.raises(InputError) as caught:
        fit(desk, "nowhere.txt", out=desk / "new")
    with files.lock(desk / "new"):
        pass
    assert caught.value
    gc.collect()


# ---- the disk


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_a_full_disk_is_one_sentence(desk, gated, monkeypatch):
    """It names the file, with status 2; the older run stays, and nothing half-written is left."""
    before = content(desk / "run")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: full())
        status, out, err = gated("counts", "fit", "text.txt", "--out", "run", "--overwrite", "--quiet")
    assert (status, out) == (2, "")
    assert err.startswith("Error: run/")
    assert "No space left on device. What was there before is as it was." in err
    assert err.count("\n") == 1
    after = content(desk / "run")
    assert {name: after[name] for name in after} == {name: before[name] for name in after}
    gated_here = [sys.executable, "-c", "from gated.cli import main; main()"]
    for words in (["info", "--json"], ["--help"]):
        with open("/dev/full", "wb") as place:
            done = subprocess.run([*gated_here, *words], stdout=place, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (2, b"Error: standard output: No space left on device.\n")


def test_two_saves_that_are_killed_lose_nothing(tmp_path, monkeypatch):
    """What the first had put beside its names before it was killed is not written over by the second."""
    for n in range(2):
        checkpoint.save(tmp_path, {"n": n}, {"w": torch.tensor([n])})
    real, left = os.replace, [1, 0]  # renames until each save is killed: the first after its config stands
    for n, count in enumerate(left, 2):
        calls = [0]

        def mortal(a, b, calls=calls, count=count):
            calls[0] += 1
            if calls[0] > count:
                raise ZeroDivisionError
            return real(a, b)

        monkeypatch.setattr(os, "replace", mortal)
        with pytest.raises(ZeroDivisionError):
            checkpoint.save(tmp_path, {"n": n}, {"w": torch.tensor([n])})
        monkeypatch.setattr(os, "replace", real)
        run = checkpoint.load(tmp_path)
        assert run.config["n"] == int(run.state["w"])


# ---- what a stranger's folder may say

BAD = "\x1b[2J\x1b[31mred\nError: forged\x07\u202e"


def forge(run, **changes):
    head = json.loads((run / "config.json").read_text()) | changes
    (run / "config.json").write_text(json.dumps(head))


@pytest.mark.parametrize("place", ["version", "task", "weight", "notes", "part", "option"])
def test_names_of_a_folder_write_no_lines_of_their_own(desk, gated, place):
    """Whatever a folder holds in a name, an error is one line without control characters."""
    stored, run = checkpoint.load(desk / "run"), desk / "run"
    more = dict(task="counts", metrics=stored.metrics, extras=stored.extras)
    if place == "weight":
        checkpoint.save(run, stored.config, {BAD: torch.zeros(1)}, **more)
    elif place == "notes":
        checkpoint.save(run, stored.config, stored.state, **more | {"extras": {**stored.extras, "notes": {BAD: 1}}})
    elif place == "option":
        checkpoint.save(run, {**stored.config, BAD: 1}, stored.state, **more)
    elif place == "part":
        forge(run, files={BAD: {}, "model.safetensors": {}, "metrics.json": {}})
    else:
        forge(run, **({"gated": BAD, "format": 2} if place == "version" else {"task": BAD}))
    status, out, err = gated("counts", "predict", "run", "text.txt")
    if place == "notes":  # a dict of notes is a list of its names
        assert status in (0, 2)
    else:
        assert (status, out) == (2, "")
    assert err.count("\n") <= 1
    assert not [c for c in err.replace("\n", "") if ord(c) < 32 or c == "\u202e"]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn])
def test_arrays_that_numpy_has_not_are_refused(tmp_path, kind):
    """They name the array and its type."""
    checkpoint.save(tmp_path, {}, {"w": torch.zeros(1)})
    data = checkpoint.pack({"a": torch.zeros(2).to(kind)})
    (tmp_path / "arrays.safetensors").write_bytes(data)
    entry = {"bytes": len(data), "sha256": checkpoint._digest(data)}
    head = json.loads((tmp_path / "config.json").read_text())
    forge(tmp_path, files=head["files"] | {"arrays.safetensors": entry})
    with pytest.raises(InputError, match=r"arrays\.safetensors, 'a': expected numbers of a type that NumPy has"):
        checkpoint.load(tmp_path)


def test_a_name_twice_among_many_is_found_in_one_pass(tmp_path):
    """Every name is looked at a few times, not once for every other: the text is of 300,000 names."""
    checkpoint.save(tmp_path, {}, {"w": torch.zeros(1)})
    names = "".join(f'"{n}": 0,' for n in range(300_000))
    (tmp_path / "config.json").write_text("{" + names + '"z": 0, "z": 0}')
    with pytest.raises(InputError, match="expected every name once, got 'z' twice"):
        checkpoint.load(tmp_path)


# ---- what is told


def test_a_demo_replaces_only_its_own(desk, gated):
    """A demo in a folder with a run of somebody's is refused before it trains."""
    status, out, err = gated("demo", "translate", "--out", "run")
    assert (status, out) == (2, "")
    assert "expected a folder without a run" in err
    assert "--overwrite" not in err  # which a demo has not


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("forecats", "Did you mean 'forecast'?"),
        ("counts fitt", "Did you mean 'fit'?"),
        ("counts zzz", "No such command 'zzz'."),
        ("counts predict rum text.txt", "Did you mean 'run'?"),
        ("counts fit text.txt --out new --sped 1", "Did you mean"),
    ],
)
def test_a_near_miss_is_named(desk, gated, words, part):
    """Of commands, options and folders; names that are not near are not listed."""
    status, out, err = gated(*words.split())
    assert (status, out) == (2, "")
    assert part in err


def test_options_from_python_are_named_too(desk):
    """A near miss of a field is asked about; one that nothing is near to is just refused."""
    with pytest.raises(InputError, match=r"got 'sped'\. Did you mean 'spread'\?"):
        fit(desk, sped=1)
    with pytest.raises(InputError) as caught:
        fit(desk, zzz=1)
    assert "patience" not in str(caught.value)
    assert runs.vacant(desk / "nowhere") is None


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_half_written(desk, gated, monkeypatch, name):
    """It ends a command with the signal's status, and the file that was being written is gone."""
    number, real = getattr(signal, name), os.fsync

    def press(handle):
        signal.raise_signal(number)
        return real(handle)

    monkeypatch.setattr(os, "fsync", press)
    assert gated("counts", "fit", "text.txt", "--steps", "2", "--out", "new", "--quiet") == (128 + number, "", "")
    assert not (desk / "new").exists() or not list((desk / "new").iterdir())
    assert signal.getsignal(number) == signal.SIG_DFL
