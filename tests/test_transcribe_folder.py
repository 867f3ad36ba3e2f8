"""A transcriber's folder: whatever stands in it, it is a run or one clear error."""

import math

import pytest
import torch

from gated import checkpoint, transcribe
from gated._check import InputError
from made.sounds import QUICK, record


def rewritten(source, folder, change):
    """The run folder with something else in it, under sums that are right."""
    found = checkpoint.load(source)
    change(found)
    how = dict(task="transcribe", metrics=found.metrics, extras=found.extras)
    checkpoint.save(folder, found.config, found.state, **how)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "run"
    run = transcribe.fit(record(folder.with_name("spoken"), 4), **QUICK, decoder="attention")
    run.save(folder)
    return folder


LIES = [
    dict(units=10**6), dict(units=6.0), dict(units=-6), dict(layers=10**9), dict(layers=0), dict(layers=2),
    dict(symbols=10**9), dict(rows=10**5), dict(stack=10**5), dict(stack=2), dict(cell="rnn"), dict(cell=["lstm"]),
    dict(both=1), dict(both=False), dict(spell=False), dict(blocks=[]), dict(blocks=[[10**5, 2, 2]]), dict(more=1),
    dict(blocks=[[16, 0, 2], [32, 2, 2]]), dict(blocks=[[16, 2], [32, 2, 2]]), dict(blocks=7),
    dict(blocks=[[16, 2, 2]] * 99), dict(rows=None), dict(units=None),
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_folder_whose_shape_lies_is_refused(saved, tmp_path, lie):
    """Before memory is taken for what it claims, with one clear error."""
    rewritten(saved, tmp_path / "run", lambda found: found.extras["shape"].update(lie))
    with pytest.raises(InputError):
        transcribe.load(tmp_path / "run")


def empty(found):
    """Weights without a number, of which a shape of a hundred gigabytes would take its sizes."""
    found.extras["shape"]["units"] = 100_000
    found.state["output.weight"] = torch.zeros(len(found.extras["alphabet"]["symbols"]), 200_000)
    for name in [*found.state]:
        if name.startswith("layers.weight_hh"):
            found.state[name] = torch.zeros(0, 100_000)


LEARNT = {
    "empty weights": empty,
    "kind": lambda found: found.extras["frames"].update(kind="smell"),
    "rate": lambda found: found.extras["frames"].update(rate=0),
    "rate as text": lambda found: found.extras["frames"].update(rate="8000"),
    "bands": lambda found: found.extras["frames"].update(rows=250),
    "mean": lambda found: found.extras["frames"].update(mean=[1.0]),
    "mean of texts": lambda found: found.extras["frames"].update(mean=["1"] * 16),
    "normalise": lambda found: found.extras["frames"].update(normalise="never"),
    "frames": lambda found: found.extras.update(frames=None),
    "one more": lambda found: found.extras["frames"].update(more=1),
    "symbol twice": lambda found: found.extras["alphabet"]["symbols"].__setitem__(
        1, found.extras["alphabet"]["symbols"][2]
    ),
    "symbols": lambda found: found.extras["alphabet"].update(symbols={"a": 1}),
    "no symbols": lambda found: found.extras["alphabet"].update(symbols=[]),
    "tokens": lambda found: found.extras["alphabet"].update(tokens="bpe"),
    "NaN": lambda found: found.state["early.bias"].fill_(math.nan),
    "a weight less": lambda found: found.state.pop("early.bias"),
    "a weight more": lambda found: found.state.update(strange=torch.zeros(2)),
    "double": lambda found: found.state.update({"early.bias": found.state["early.bias"].double()}),
    "config": lambda found: found.config.update(layers="two"),
    "config's name": lambda found: found.config.update(units_=3),
    "notes": lambda found: found.extras.update(notes=3),
    "constant": lambda found: found.extras.pop("constant"),
}


@pytest.mark.parametrize("change", LEARNT.values(), ids=LEARNT)
def test_a_hostile_folder_is_one_error(saved, tmp_path, change):
    """Whatever kind of thing stands where, it is refused when it is loaded."""
    with pytest.raises(InputError):
        transcribe.load(rewritten(saved, tmp_path / "run", change))


def test_a_writer_is_loaded_as_one(saved):
    """A run that writes by attention has its speller when it is loaded."""
    assert transcribe.load(saved).model.network.speller is not None
