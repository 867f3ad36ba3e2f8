"""Layers: torch.nn's behaviour, kept to the bit."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from gated.layers import GRU, LSTM, RNN

PLAIN = {
    "LSTM": (LSTM, torch.nn.LSTM, {}),
    "LSTM projected": (LSTM, torch.nn.LSTM, {"proj_size": 3}),
    "LSTM without bias": (LSTM, torch.nn.LSTM, {"bias": False}),
    "GRU": (GRU, torch.nn.GRU, {}),
    "RNN tanh": (RNN, torch.nn.RNN, {}),
    "RNN relu": (RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
}
SHAPES = [
    dict(num_layers=layers, bidirectional=bidirectional, batch_first=batch_first)
    for layers in (1, 2)
    for bidirectional in (False, True)
    for batch_first in (False, True)
]
plain = pytest.mark.parametrize("kind", PLAIN)
shapes = pytest.mark.parametrize("how", SHAPES, ids=lambda how: "-".join(map(str, how.values())))
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


def pair(kind, seed=1, **how):
    """torch's layer and ours, drawn from the same seed."""
    ours, theirs, kwargs = PLAIN[kind]
    torch.manual_seed(seed)
    reference = theirs(5, 7, **kwargs, **how)
    torch.manual_seed(seed)
    return reference, ours(5, 7, **kwargs, **how)


def parts(result):
    """Output and every state of a layer's result, as one list."""
    y, state = result[:2]
    y = y.data if isinstance(y, torch.nn.utils.rnn.PackedSequence) else y
    return [y, *(state if isinstance(state, tuple) else (state,))]


@plain
@shapes
def test_initial_values_and_state_dict_are_torchs(kind, how):
    """The same seed gives torch.nn's parameters, bit for bit, and state dicts load both ways."""
    theirs, ours = pair(kind, **how)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    assert all(torch.equal(theirs.state_dict()[name], value) for name, value in ours.state_dict().items())
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())


@plain
@shapes
@pytest.mark.parametrize("form", ["batch", "single", "packed", "state"])
def test_outputs_are_torchs(kind, how, form):
    """Outputs and final states are torch.nn's, bit for bit, and the loop's to 1e-6."""
    theirs, ours = pair(kind, **how)
    x = torch.randn(4, 6, 5)
    given = [x]
    if form == "single":
        given = [x[0]]
    if form == "packed":
        lengths = [3, 6, 1, 4] if how["batch_first"] else [4, 2, 1, 1, 3, 2]
        given = [pack_padded_sequence(x, lengths, how["batch_first"], enforce_sorted=False)]
    if form == "state":
        state = tuple(torch.randn_like(s) for s in parts(theirs(x))[1:])
        given.append(state if kind.startswith("LSTM") else state[0])
    want, got = parts(theirs(*given)), parts(ours(*given))
    assert all(torch.equal(a, b) for a, b in zip(want, got, strict=True))
    ours.path = "loop"
    for a, b in zip(want, parts(ours(*given)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)
