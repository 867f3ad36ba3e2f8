"""A custom cell: three lines of equations, trained at native speed, with its gate printed.

    python examples/own_cell.py

The input is a sequence of numbers, some of them marked; the target is the last marked number. The layer must keep a
number over the unmarked steps and replace it at the next mark. The gate f shows whether it does.
"""

from __future__ import annotations

from statistics import mean, median
from time import perf_counter

import torch

import gated
from gated.cells import sigmoid, tanh


@gated.cell(gates="f g", states="h", vectors="a", keep="f")
def minimal(z, s, p):
    """A unit with one gate, which keeps or writes and has a peephole to the state."""
    f = sigmoid(z.f + p.a * s.h)
    h = f * s.h + (1 - f) * tanh(z.g)
    return dict(h=h, f=f)


def draw(T: int, B: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x (T, B, 2): numbers in [-1, 1], and marks; target (B,): the last marked number of each sequence."""
    value, mark = torch.rand(T, B) * 2 - 1, torch.rand(T, B) < 0.1
    mark[0] = True
    last = T - 1 - mark.flip(0).int().argmax(0)
    return torch.stack([value, mark.float()], -1), value.gather(0, last[None])[0]


def train(layer: gated.Recurrent, head: torch.nn.Linear, steps: int, T: int, B: int) -> list[float]:
    """The mean square error of every step."""
    adam = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=1e-2)
    losses = []
    for _ in range(steps):
        x, target = draw(T, B)
        y, _ = layer(x)
        loss = (head(y[-1])[:, 0] - target).square().mean()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        adam.step()
        losses.append(loss.item())
    return losses


def milliseconds(path: str, repeats: int) -> float:
    """Median time of a forward and backward pass at a typical size, after one warm-up pass."""
    layer, x, times = gated.Recurrent(minimal, 32, 64, path=path), torch.randn(100, 32, 32), []
    for _ in range(repeats + 1):
        begin = perf_counter()
        layer(x)[0].sum().backward()
        times.append(1e3 * (perf_counter() - begin))
    return median(times[1:])


def main(steps: int = 600, rounds: int = 20) -> None:
    torch.manual_seed(0)
    T, B, H = 50, 64, 4
    layer, head = gated.Recurrent(minimal, 2, H, forget_bias=1.0), torch.nn.Linear(H, 1)
    x, _ = draw(T, B)
    print(f"path    {layer.explain(x)}")

    begin = perf_counter()
    losses = train(layer, head, steps, T, B)
    seconds = perf_counter() - begin
    before, after = mean(losses[:20]), mean(losses[-20:])
    print(f"error   {before:.3f} at first, {after:.3f} after {steps} steps, {seconds:.1f} s")

    with torch.no_grad():
        _, _, trace = layer(x, trace=True)
    f, marked = trace[0][0]["f"], x[..., 1] > 0  # layer 0, forwards: (T, B, H)
    k = int(head.weight[0].abs().argmax())
    at_marks, elsewhere = f[marked][:, k].mean(), f[~marked][:, k].mean()
    print(f"gate f  of the unit with the largest output weight: {at_marks:.2f} at marks, {elsewhere:.2f} elsewhere")

    native, loop = milliseconds("native", rounds), milliseconds("loop", 1 + rounds // 5)
    print(f"speed   {native:.1f} ms forward and backward, {loop:.1f} ms by the loop: {loop / native:.0f} times")


if __name__ == "__main__":
    main()
