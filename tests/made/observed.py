"""A network of many recurrent layers, and fits of it that are observed."""

import csv
import io
import signal

import torch
from torch import nn

import gated
from gated import observe, train
from gated.cells import sigmoid, tanh
from made.fits import timeless

T, B = 9, 6
LENGTHS = torch.tensor([9, 4, 1, 9, 0, 6])


@gated.cell(gates="f g", states="h", keep="f")
def minimal(z, s):
    f = torch.sigmoid(z.f)
    return dict(h=f * s.h + (1 - f) * tanh(z.g), f=f, rest=1 - f)


@gated.cell(gates="f g", states="h")
def odd(z, s):
    f = sigmoid(z.f)
    return dict(h=torch.where(f > 0.5, s.h, tanh(z.g)), f=f)


class Net(nn.Module):
    """Layers of several kinds one above the other, with noise, lengths, a state and a layer of torch's."""

    def __init__(self, sharp=1.0, noise=0.0):
        super().__init__()
        how = dict(zoneout=noise, recurrent_dropout=noise)
        self.encoder = gated.LSTM(3, 5, 2, bidirectional=True, dropout=noise, peephole=True, **how)
        self.parts = nn.ModuleDict({"top": gated.GRU(10, 4, **how), "own": gated.Recurrent(minimal, 4, 4, **how)})
        self.torchs = nn.RNN(4, 3)
        self.out = nn.Linear(3, 1)
        with torch.no_grad():
            for p in self.parameters():
                p.mul_(sharp)

    def forward(self, x, lengths=None, state=None):
        y, _ = self.encoder(x, lengths=lengths)
        y, state = self.parts["top"](y, state)
        y, _ = self.parts["own"](y)
        return self.out(self.torchs(y)[0]), state


LAYERS = ["encoder.l0", "encoder.l0_reverse", "encoder.l1", "encoder.l1_reverse", "parts.top.l0", "parts.own.l0"]
EVERY = [*LAYERS, "torchs.l0"]


def net(sharp=1.0, noise=0.0):
    with train.seeded(3):
        return Net(sharp, noise)


def batches(n):
    g = torch.Generator().manual_seed(n)
    x = torch.randn(T, B, 3, generator=g)
    return x, x.sum(-1, keepdim=True), LENGTHS


def loss(model, batch):
    return (model(batch[0], batch[2])[0] - batch[1]).square().mean()


def summed(model, batch):
    size = int(batch[0].abs().sum())
    return loss(model, batch) * size, size


def carried(model, batch, state):
    y, state = model(batch[0], batch[2], state)
    return (y - batch[1]).square().mean(), state


def fit(model, loss=loss, batches=batches, validate=None, out=None, resume=False, watch=True, **config):
    config = train.Config(**{"steps": 12, "lr": 1e-2, "log_every": 4, "watch": watch, **config})
    options = dict(validate=validate, observers=[observe.layers], out=out, resume=resume)
    return train.fit(model, loss, batches, config=config, **options)


def read(folder):
    return list(csv.DictReader(io.StringIO((folder / "history.csv").read_text())))


def without(history):
    """The rows without the columns of observers."""
    return [{name: value for name, value in row.items() if ":" not in name} for row in timeless(history)]


def pressing(n):
    if n == 5:
        signal.raise_signal(signal.SIGINT)
    return batches(n)
