"""A run folder gives back what was saved, or says why not."""

import hashlib
import json
import os
import pickle
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from gated import InputError, checkpoint
from gated.checkpoint import ARRAYS, CONFIG, EXTRAS, METRICS, MODEL
from gated.layers import GRU, LSTM


class Tied(nn.Module):
    """An embedding that is also the output map, a buffer, and weights of several kinds."""

    def __init__(self, width=4):
        super().__init__()
        self.embed = nn.Embedding(7, width)
        self.rnn = nn.LSTM(width, width)
        self.out = nn.Linear(width, 7, bias=False)
        self.out.weight = self.embed.weight
        self.scale = nn.Parameter(torch.randn(3, 5).T, requires_grad=False)  # not contiguous
        self.brief = nn.Parameter(torch.randn(2, 2, dtype=torch.bfloat16))
        self.register_buffer("seen", torch.tensor(41))
        self.register_buffer("none", torch.zeros(0, 3))

    def forward(self, x):
        return self.out(self.rnn(self.embed(x))[0])


@pytest.fixture
def run(tmp_path):
    """A folder with a whole run in it."""
    torch.manual_seed(1)
    model = Tied()
    extras, arrays = {"names": ["Å", "b"], "levels": {"x": 0.1}}, {"mean": np.arange(3.0), "when": np.array([2**62])}
    checkpoint.save(tmp_path / "run", {"h": 4}, model, task="toy", metrics={"mse": 0.5}, extras=extras, arrays=arrays)
    return tmp_path / "run"


def refused(folder, *parts):
    """Loading raises one error, which names the folder and says each of the parts."""
    with pytest.raises(InputError) as caught:
        checkpoint.load(folder)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 700
    for part in parts:
        assert part in said
    return said


def rewrite(folder, name, data):
    """Replace a file as a forger would, with config.json agreeing."""
    (folder / name).unlink()
    (folder / name).write_bytes(data)
    head = json.loads((folder / CONFIG).read_text())
    head["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / CONFIG).write_text(json.dumps(head))


# ---- what is kept


def test_loaded_equals_saved(run):
    """Weights of every kind come back bit for bit under their names, tied ones still tied; so does everything else."""
    torch.manual_seed(1)
    saved, loaded = Tied(), Tied()
    found = checkpoint.load(run)
    checkpoint.fill(loaded, found.state)
    x = torch.arange(6).reshape(3, 2)
    assert torch.equal(saved(x), loaded(x))
    for a, b in zip(saved.state_dict().values(), loaded.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert loaded.out.weight is loaded.embed.weight
    assert "out.weight" not in found.state  # tied: written once
    assert (found.task, found.config, found.metrics) == ("toy", {"h": 4}, {"mse": 0.5})
    assert found.extras == {"names": ["Å", "b"], "levels": {"x": 0.1}}
    assert found.arrays["mean"].tolist() == [0, 1, 2]
    assert found.arrays["when"].tolist() == [2**62]


def test_a_state_dict_saves_as_its_model_does(tmp_path):
    """A plain dict of tensors is taken too, also where two share one memory."""
    both = torch.arange(6.0)
    checkpoint.save(tmp_path / "a", {}, {"low": both[:3], "high": both[2:], "all": both})
    state = checkpoint.load(tmp_path / "a").state
    assert {name: tensor.tolist() for name, tensor in state.items()} == {
        "low": [0, 1, 2],
        "high": [2, 3, 4, 5],
        "all": [0, 1, 2, 3, 4, 5],
    }


def test_a_metric_that_is_not_a_number_is_null_and_a_config_may_not_be(tmp_path, run):
    """NaN and infinity become null in metrics at any depth; in the config they are refused, and the old run stays."""
    checkpoint.save(tmp_path / "b", {}, nn.Linear(1, 1), metrics={"a": float("nan"), "b": [float("inf"), {"c": 1.0}]})
    assert checkpoint.load(tmp_path / "b").metrics == {"a": None, "b": [None, {"c": 1.0}]}
    before = checkpoint.load(run).config
    for config in ({"lr": float("nan")}, {"where": object()}):
        with pytest.raises(InputError, match=r"config\.json: expected JSON"):
            checkpoint.save(run, config, nn.Linear(1, 1))
    assert checkpoint.load(run).config == before


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("smaller", [False, True])
def test_a_killed_save_leaves_the_old_run_or_the_new_one(tmp_path, monkeypatch, smaller):
    """Killed before any of its system calls, a save over a run leaves one of the two, whole, and can be repeated."""
    calls = {"left": 0}

    def mortal(real):
        def call(*args, **kwargs):
            calls["left"] -= 1
            if calls["left"] == 0:
                raise Killed
            return real(*args, **kwargs)

        return call

    for module, name in ((os, "replace"), (os, "fsync"), (os, "unlink"), (os, "open")):
        monkeypatch.setattr(module, name, mortal(getattr(module, name)))

    def save(n, full):
        extra = {"extras": {"n": n}, "arrays": {"n": np.array([n])}} if full else {}
        checkpoint.save(tmp_path / "run", {"n": n}, {"n": torch.tensor([n])}, metrics={"n": n}, **extra)

    def read():
        run = checkpoint.load(tmp_path / "run")
        numbers = {run.config["n"], run.metrics["n"], int(run.state["n"])}
        if run.extras or run.arrays:
            numbers |= {run.extras["n"], int(run.arrays["n"][0])}
        assert len(numbers) == 1
        return numbers.pop(), bool(run.extras)

    save(0, smaller)
    found, moment = set(), 0
    while True:
        moment += 1
        calls["left"] = moment
        try:
            save(moment, not smaller)
        except Killed:
            calls["left"] = 0
            n, full = read()
            assert (n, full) in {(0, smaller), (moment, not smaller)}
            found.add(n == 0)
            calls["left"] = 0
            save(0, smaller)
            assert read() == (0, smaller)
        else:
            break
    assert found == {True, False}
    assert moment > 10


def test_a_folder_with_other_things_in_it_is_not_written_to(tmp_path):
    """A save into a folder that is not a run is refused, and nothing in it changes."""
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(InputError, match=r"expected only files of a run, got thesis\.tex\. Name a new"):
        checkpoint.save(tmp_path, {}, nn.Linear(1, 1))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="expected a folder, got a file"):
        checkpoint.save(tmp_path / "thesis.tex", {}, nn.Linear(1, 1))


def test_a_save_follows_no_link(tmp_path, run):
    """A link left under the name of one of our files is replaced; what it points at is not written."""
    secret = tmp_path / "secret"
    secret.write_text("mine")
    for name in (MODEL, f"{MODEL}.new", f"{CONFIG}.new"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(secret)
    checkpoint.save(run, {"h": 1}, nn.Linear(1, 1))
    assert secret.read_text() == "mine"
    assert checkpoint.load(run).config == {"h": 1}
    assert not any(path.is_symlink() for path in run.iterdir())


# ---- what is refused


def test_what_is_no_run_is_refused(tmp_path, run):
    """Nothing there, a file, and an empty folder each have their error."""
    refused(tmp_path / "nowhere", "expected a folder, got nothing there")
    refused(run / MODEL, "expected a folder, got a file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", CONFIG, "got nothing there. Is this a run folder?")


@pytest.mark.parametrize("name", [CONFIG, MODEL, METRICS, EXTRAS, ARRAYS])
def test_a_damaged_file_is_refused(run, name):
    """Cut short, with a changed byte, or missing, a file that config.json answers for does not load."""
    whole = (run / name).read_bytes()
    for size in sorted({0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 2}):
        (run / name).write_bytes(whole[:size])
        refused(run, name)
    for place in range(0, len(whole) if name != CONFIG else 0, 1 + len(whole) // 40):
        (run / name).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        refused(run, name, "damaged")
    (run / name).unlink()
    refused(run, name)


def test_files_of_two_runs_do_not_load_together(tmp_path, run):
    """A file copied in from another run of the same shape is noticed."""
    checkpoint.save(tmp_path / "other", {"h": 4}, Tied(), task="toy", metrics={"mse": 0.6}, extras={}, arrays={})
    for name in (MODEL, METRICS, EXTRAS, ARRAYS):
        before = (run / name).read_bytes()
        shutil.copy(tmp_path / "other" / name, run / name)
        refused(run, name, "belongs to another run")
        (run / name).write_bytes(before)
    checkpoint.load(run)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "expected format 1 or older, got format 2 from gated 0.1.0. Upgrade gated."),
        ({"format": 0}, "expected format 1, got format 0"),
        ({"format": True}, "expected a run's config"),
        ({"format": "1"}, "expected a run's config"),
        ({"format": None}, "expected a run's config"),
        ({"task": 7}, "task: expected a str, got 7"),
        ({"config": []}, "config: expected a dict, got []"),
        ({"files": {}}, "expected model.safetensors and metrics.json"),
        ({"files": "x" * 1000}, "files: expected a dict"),
    ],
)
def test_a_config_of_another_kind_is_refused(run, change, said):
    """A newer format, an older one, or fields that are not what they should be: the message says which."""
    head = json.loads((run / CONFIG).read_text())
    (run / CONFIG).write_text(json.dumps({**head, **change}))
    refused(run, CONFIG, said)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "sub/model.safetensors", "..", "", "model.safetensors\x00", "config.json"]
)
def test_a_name_that_leads_elsewhere_is_refused(run, name):
    """config.json may list the files of a run and no others."""
    (run.parent / "secret").write_bytes(b"{}")
    head = json.loads((run / CONFIG).read_text())
    head["files"][name] = {"bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}
    (run / CONFIG).write_text(json.dumps(head))
    refused(run, "files: expected one of 'model.safetensors'")


@pytest.mark.parametrize("name", [CONFIG, MODEL, METRICS, ARRAYS])
def test_what_is_no_regular_file_is_refused(run, name):
    """A link, even to the right content, a folder, or a pipe in place of a file is refused, and nothing waits on it."""
    outside = run.parent / "outside"
    shutil.move(run / name, outside)
    (run / name).symlink_to(outside)
    refused(run, name, "expected a regular file, got a link")
    (run / name).unlink()
    (run / name).mkdir()
    refused(run, name, "expected a regular file, got something else")
    (run / name).rmdir()
    os.mkfifo(run / name)
    refused(run, name, "expected a regular file, got something else")


@pytest.mark.parametrize(
    "entry",
    [None, 3, {}, {"bytes": 1.5, "sha256": "x"}, {"bytes": 10**18, "sha256": "x"}, {"bytes": -1, "sha256": "x"}],
)
def test_an_absurd_size_takes_no_memory(run, entry):
    """What config.json says of a file's size is held against the file."""
    head = json.loads((run / CONFIG).read_text())
    head["files"][MODEL] = entry
    (run / CONFIG).write_text(json.dumps(head))
    refused(run, MODEL)


@pytest.mark.parametrize("name", [CONFIG, METRICS, MODEL])
def test_a_file_past_the_limit_is_not_read(run, name):
    """A file of more bytes than the limit is refused by its size alone, even if it takes no room on the disk."""
    os.truncate(run / name, checkpoint.LIMIT + 1)
    size = {"bytes": checkpoint.LIMIT + 1, "sha256": "x"}
    if name != CONFIG:
        head = json.loads((run / CONFIG).read_text())
        head["files"][name] = size
        (run / CONFIG).write_text(json.dumps(head))
    refused(run, name, "expected at most")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": NaN}', "expected finite numbers, got NaN"),
        ('{"a": [-Infinity]}', "expected finite numbers, got -Infinity"),
        ('{"a": 1e999}', "expected finite numbers, got 1e999"),
        ('{"a": %s}' % ("9" * 5000), "expected integers of 64 bits"),
        ('{"a": 9223372036854775808}', "expected integers of 64 bits"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "expected every name once, got 'c' twice"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "expected JSON of at most 64 levels"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "expected JSON of at most 64 levels"),
        ("[" * 1_000_000, "expected JSON of at most 64 levels"),
        ("[1, 2]", "expected a JSON object, got list"),
        ("null", "expected a JSON object, got NoneType"),
        ("", "expected JSON"),
        ('{"a": 1} {}', "expected JSON"),
        ('{"a": "\\ud800', "expected JSON"),
    ],
)
def test_absurd_json_is_refused(run, text, said):
    """NaN, numbers out of range, a name twice, depth, what is no object: each is one error, in every JSON file."""
    for name in (METRICS, EXTRAS):
        rewrite(run, name, text.encode())
        refused(run, name, said)
        rewrite(run, name, b"{}")
    (run / CONFIG).write_text(text)
    refused(run, CONFIG, said)
    (run / CONFIG).write_bytes(b'{"a": "\xff\xfe"}')
    refused(run, CONFIG, "expected JSON")


def header(entries, data=b"", length=None):
    text = json.dumps(entries).encode() if isinstance(entries, dict) else entries
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


F4 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x02",
        header({}, length=2**63),
        header({}, length=10**9),
        header({"a": {**F4, "shape": [2**40]}}, bytes(4)),
        header({"a": {**F4, "shape": [2**40, 2**40]}}, bytes(4)),
        header({"a": {**F4, "shape": [-1]}}, bytes(4)),
        header({"a": {**F4, "data_offsets": [0, 2**50]}}, bytes(4)),
        header({"a": {**F4, "data_offsets": [4, 0]}}, bytes(4)),
        header({"a": F4, "b": F4}, bytes(4)),
        header({"a": {**F4, "dtype": "OBJECT"}}, bytes(4)),
        header({"a": F4}, bytes(3)),
        header({"a": F4}, bytes(5)),
        header(b'{"a": 1, "a": 2}'),
        header(b"[" * 100_000),
        header(b'{"__metadata__": 7}'),
        header({"a": 7}),
        header({"a": None}),
        pickle.dumps({"a": torch.zeros(1)}),
    ],
    ids=range(19),
)
def test_a_forged_weights_file_is_refused(run, data):
    """Header lengths, shapes, offsets and types that do not fit the file, and pickles, are errors, not memory."""
    rewrite(run, MODEL, data)
    refused(run, MODEL)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("brief"), "none for brief"),
        (lambda s: s.update(x=torch.zeros(1)), "also x"),
        (
            lambda s: s.update(brief=torch.zeros(2, 3, dtype=torch.bfloat16)),
            "weights brief: expected shape (2, 2), got (2, 3)",
        ),
        (lambda s: s.update(brief=torch.zeros(2, 2)), "weights brief: expected torch.bfloat16, got torch.float32"),
        (lambda s: s["brief"].fill_(float("nan")), "weights brief: expected finite numbers"),
    ],
)
def test_weights_of_another_model_are_refused_and_the_model_stays(run, change, said):
    """`fill` checks names, shapes, dtypes and finiteness of all before it changes any."""
    state = checkpoint.load(run).state
    change(state)
    model = Tied()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        checkpoint.fill(model, state)
    assert said in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def net(width=6, hidden=5):
    """Drawn in every way that tasks draw: by torch's modules, our layers, orthogonal, by hand; with a memory format."""
    embed = nn.Embedding(7, width)
    nn.init.normal_(embed.weight, std=width**-0.5)
    convolve = nn.Conv2d(3, 4, 3)
    nn.init.kaiming_normal_(convolve.weight)
    layers = LSTM(width, hidden, 2, init="orthogonal", forget_bias=1.0)
    return nn.ModuleList([embed, convolve.to(memory_format=torch.channels_last), layers, GRU(hidden, 3)])


def test_a_module_is_built_of_its_weights_alone():
    """`build` gives what making and filling gives, down to strides, for evaluation, and draws no random number."""
    made = net().eval()
    before = torch.get_rng_state()
    built = checkpoint.build(net, checkpoint.tensors(made))
    assert torch.equal(before, torch.get_rng_state())
    assert not any(module.training for module in built.modules())
    assert repr(built) == repr(made)
    for (name, one), (other, two) in zip(built.named_parameters(), made.named_parameters(), strict=True):
        assert (name, one.stride(), one.requires_grad, one.device.type) == (other, two.stride(), True, "cpu")
        assert torch.equal(one, two)


@pytest.mark.parametrize(("sizes", "said"), [
    (dict(width=10**6), "weights 0.weight: expected shape (7, 1000000), got (7, 6)"),
    (dict(hidden=10**8), "weights 2.weight_ih_l0: expected shape (400000000, 6)"),
    (dict(hidden=2**40), "LSTM hidden_size: expected a whole number below 2,147,483,648, got 1,099,511,627,776"),
    (dict(width=2**63 - 1), "weights: expected sizes that a network can have"),
    (dict(width=0), "weights: expected sizes that a network can have, got 0.0 cannot be raised"),
    (dict(width=6.0), "weights: expected sizes that a network can have"),
], ids=str)  # fmt: skip
def test_sizes_that_the_weights_do_not_have_take_no_memory(sizes, said):
    """A module of other sizes is refused before memory is taken for it, and one of impossible sizes in one line."""
    state = checkpoint.tensors(net())
    with pytest.raises(InputError) as caught:
        checkpoint.build(lambda: net(**sizes), state)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_executes_nothing(run, monkeypatch):
    """Neither pickle nor torch.load is reached."""
    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, lambda *a, **k: pytest.fail("unpickled"))
    checkpoint.fill(Tied(), checkpoint.load(run).state)


def test_the_weights_are_plain_safetensors(run):
    """Other programs read the file."""
    assert set(safetensors.torch.load_file(run / MODEL)) == set(checkpoint.load(run).state)
