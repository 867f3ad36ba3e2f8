"""The LSTM's variants as people write them for speed without a native engine: one TorchScript loop each.

    loop(x, W, R, b, b', …)  ->  h (T, B, H)        W (G·H, I), R (G·H, H) with blocks i f g o, as in gated

The input product is taken for all steps at once, and every mask is drawn before the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import gated
from gated.cells import sigmoid, tanh

ZONE, DROP = 0.1, 0.25


def plain(x: Tensor, W: Tensor, R: Tensor, b: Tensor, b_h: Tensor) -> Tensor:
    h = torch.zeros(x.shape[1], R.shape[1])
    c, R, ys = h, R.t(), []
    for z in F.linear(x, W, b + b_h).unbind(0):
        i, f, g, o = torch.addmm(z, h, R).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        ys.append(h)
    return torch.stack(ys)


def peephole(x: Tensor, W: Tensor, R: Tensor, b: Tensor, b_h: Tensor, p_i: Tensor, p_f: Tensor, p_o: Tensor) -> Tensor:
    h = torch.zeros(x.shape[1], R.shape[1])
    c, R, ys = h, R.t(), []
    for z in F.linear(x, W, b + b_h).unbind(0):
        i, f, g, o = torch.addmm(z, h, R).chunk(4, 1)
        i, f = torch.sigmoid(torch.addcmul(i, p_i, c)), torch.sigmoid(torch.addcmul(f, p_f, c))
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(torch.addcmul(o, p_o, c)) * torch.tanh(c)
        ys.append(h)
    return torch.stack(ys)


def coupled(x: Tensor, W: Tensor, R: Tensor, b: Tensor, b_h: Tensor) -> Tensor:
    h = torch.zeros(x.shape[1], R.shape[1])
    c, R, ys = h, R.t(), []
    for z in F.linear(x, W, b + b_h).unbind(0):
        i, g, o = torch.addmm(z, h, R).chunk(3, 1)
        c = torch.lerp(c, torch.tanh(g), torch.sigmoid(i))
        h = torch.sigmoid(o) * torch.tanh(c)
        ys.append(h)
    return torch.stack(ys)


def layer_norm(
    x: Tensor,
    W: Tensor,
    R: Tensor,
    b: Tensor,
    b_h: Tensor,
    gain_i: Tensor,
    shift_i: Tensor,
    gain_f: Tensor,
    shift_f: Tensor,
    gain_g: Tensor,
    shift_g: Tensor,
    gain_o: Tensor,
    shift_o: Tensor,
    gain_c: Tensor,
    shift_c: Tensor,
) -> Tensor:
    H = [R.shape[1]]
    h = torch.zeros(x.shape[1], R.shape[1])
    c, R, ys = h, R.t(), []
    for z in F.linear(x, W, b + b_h).unbind(0):
        i, f, g, o = torch.addmm(z, h, R).chunk(4, 1)
        i = torch.sigmoid(F.layer_norm(i, H, gain_i, shift_i))
        f = torch.sigmoid(F.layer_norm(f, H, gain_f, shift_f))
        c = f * c + i * torch.tanh(F.layer_norm(g, H, gain_g, shift_g))
        h = torch.sigmoid(F.layer_norm(o, H, gain_o, shift_o)) * torch.tanh(F.layer_norm(c, H, gain_c, shift_c))
        ys.append(h)
    return torch.stack(ys)


def zoneout(x: Tensor, W: Tensor, R: Tensor, b: Tensor, b_h: Tensor, rate: float, training: bool) -> Tensor:
    T, B, H = x.shape[0], x.shape[1], R.shape[1]
    h = torch.zeros(B, H)
    c, R, ys = h, R.t(), []
    keep = torch.full((2, T, B, H), rate)
    if training:
        keep.bernoulli_(rate)
    for z, k_h, k_c in zip(F.linear(x, W, b + b_h).unbind(0), keep[0].unbind(0), keep[1].unbind(0)):  # noqa: B905 TorchScript has no strict
        i, f, g, o = torch.addmm(z, h, R).chunk(4, 1)
        new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.lerp(torch.sigmoid(o) * torch.tanh(new), h, k_h)
        c = torch.lerp(new, c, k_c)
        ys.append(h)
    return torch.stack(ys)


def recurrent_dropout(x: Tensor, W: Tensor, R: Tensor, b: Tensor, b_h: Tensor, rate: float, training: bool) -> Tensor:
    h = torch.zeros(x.shape[1], R.shape[1])
    m = F.dropout(torch.ones_like(h), rate, training)
    c, R, ys = h, R.t(), []
    for z in F.linear(x, W, b + b_h).unbind(0):
        i, f, g, o = torch.addmm(z, h * m, R).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        ys.append(h)
    return torch.stack(ys)


@gated.cell(gates="i f g o", states="h c")
def own(z: Any, s: Any) -> dict[str, Any]:
    """What a user would write who wants an LSTM."""
    i, f, g, o = sigmoid(z.i), sigmoid(z.f), tanh(z.g), sigmoid(z.o)
    c = f * s.c + i * g
    h = o * tanh(c)
    return dict(h=h, c=c)


def _lstm(**more: Any) -> Callable[..., gated.Recurrent]:
    return partial(gated.LSTM, **more)


# Our layer of (I, H), its loop, and, of a variant that draws masks in training, the rate.
VARIANTS: dict[str, tuple[Callable[..., gated.Recurrent], Callable[..., Tensor], tuple[float, ...]]] = {
    "peephole": (_lstm(peephole=True), peephole, ()),
    "layer norm": (_lstm(layer_norm=True), layer_norm, ()),
    "coupled": (_lstm(coupled=True), coupled, ()),
    "zoneout": (_lstm(zoneout=ZONE), zoneout, (ZONE,)),
    "recurrent dropout": (_lstm(recurrent_dropout=DROP), recurrent_dropout, (DROP,)),
    "user's own": (partial(gated.Recurrent, own), plain, ()),
}
