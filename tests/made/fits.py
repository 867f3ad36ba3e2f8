"""Small models, batches and fits for the tests of training."""

import torch
from torch import nn

from gated import data, train

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(7))
Y = torch.tanh(X @ torch.randn(3, 2, generator=torch.Generator().manual_seed(8)))


def net(dropout=0.0):
    with train.seeded(5):
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 2))


def mse(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def rows(batch, seed=0):
    indices = data.shuffled(len(X), batch, seed)
    return lambda n: (X[indices(n)], Y[indices(n)])


def fit(model, loss=mse, batches=None, validate=None, out=None, resume=False, progress=True, observers=(), **config):
    config = train.Config(**{"steps": 12, "lr": 1e-2, "log_every": 1, **config})
    options = dict(validate=validate, observers=observers, out=out, resume=resume, progress=progress)
    return train.fit(model, loss, batches or rows(8), config=config, **options)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a, b):
    """Two models, or two sets of weights, are the same bit for bit."""
    a, b = (x.state_dict() if isinstance(x, nn.Module) else x for x in (a, b))
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def close(a, b, tolerance=1e-5):
    return all(torch.allclose(x, y, atol=tolerance) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def timeless(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]


class Scripted:
    """A `validate` that returns the numbers it was given and remembers the weights it saw."""

    def __init__(self, *values):
        self.values, self.seen = list(values), []

    def __call__(self, model):
        assert not model.training
        assert not torch.is_grad_enabled()
        self.seen.append(weights(model))
        return self.values[len(self.seen) - 1] if self.values else 0.0


# ---- truncated BPTT


class Recurrent(nn.Module):
    """An RNN of one layer that predicts the next number."""

    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.RNN(1, 4), nn.Linear(4, 1)

    def forward(self, x, state=None):
        h, state = self.rnn(x, state)
        return self.out(h), state


def recurrent():
    with train.seeded(2):
        return Recurrent()


def carried(model, chunk, state):
    y, state = model(chunk.x, None if chunk.first else state)
    return (y - chunk.y).square().mean(), state


WAVE = torch.sin(torch.arange(65.0) * 0.7)[:, None]
