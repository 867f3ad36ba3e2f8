"""How much of a gradient is left after a lag: ‖∂L_t/∂h_s‖ and ‖∂L_t/∂c_s‖ against t − s.

L_t = p · y_t for a layer's output y and a random p with ‖p‖ = 1, the same at all t, so that at lag 0 the norm of
∂L_t/∂h_t is 1 (that of p's half in each of two directions) and networks can be compared; or a network's real output.
The gradients are exact: one backward pass over copies of the sequence, each with its own t, in float64.

A curve r(lag) = norm / norm at lag 0, of the state that keeps most, is said in words:

    vanishes    r stays below a thousandth from some lag on
    explodes    at the longest lag r ≥ 10, and there it still grows
    lives on    otherwise

Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013, §2.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gated import train, trees
from gated.layers import GRU, LSTM, RNN, Recurrent
from gated.probe.document import Flow
from gated.probe.watch import Call, Seen, titled, watch

POINTS = 4  # steps t of each sequence, evenly spread over its second half
LONGEST = 1000  # steps of a sequence that a gradient is followed through: its last ones
ROWS = 8  # sequences of a batch that are followed
REACHED = 0.5  # share of all (sequence, t) that reach the longest lag told
LEFT, TENFOLD = 1e-3, 10.0
BESIDE: dict[str, type] = {"an RNN": RNN, "a GRU": GRU, "an LSTM": LSTM}


@dataclass
class Curves:
    """The norms by lag of one layer in one direction, for every sequence and t."""

    found: list[dict[str, Float[np.ndarray, " _"]]] = field(default_factory=list)  # by state, from lag 0 on

    def flow(self, name: str, layer: str, scaled: bool = False) -> Flow:
        """The mean over those that reach the longest lag told, the same ones at every lag.

        scaled: by one factor, so that h begins at 1.
        """
        states = list(self.found[0])
        reach = sorted((len(one[states[0]]) for one in self.found), reverse=True)
        far = reach[math.ceil(REACHED * len(reach)) - 1]
        mine = [one for one in self.found if len(one[states[0]]) >= far]
        norms = {state: np.mean([one[state][:far] for one in mine], 0) for state in states}
        if scaled and norms["h"][0] > 0:
            norms = {state: values / norms["h"][0] for state, values in norms.items()}
        return Flow(name, layer, np.arange(far, dtype=float), norms, told(norms))


def told(norms: dict[str, Float[np.ndarray, " N"]]) -> str:
    """Where a gradient vanishes or explodes."""
    ratios = {name: values / values[0] for name, values in norms.items() if len(values) and values[0] > 0}
    if any(np.isnan(values[:1]).any() for values in norms.values()):
        return "not a number: look at the input and the weights"
    if not ratios:
        return "no gradient at all"
    state = max(ratios, key=lambda name: float(ratios[name][-1]))
    r = ratios[state]
    far = len(r) - 1
    if far == 0:
        return "one step only: nothing flows"
    if not np.isfinite(r).all():
        return f"explodes: past all numbers after {_steps(int(np.argmax(~np.isfinite(r))))}"
    small = np.flatnonzero(r >= LEFT)
    if small[-1] < far:
        return f"vanishes: a thousandth is left after {_steps(int(small[-1]) + 1)}"
    pace, first = _pace(r), max(float(values[0]) for values in norms.values() if len(values))
    if r[-1] >= TENFOLD and norms[state][-1] >= TENFOLD * first and pace > 0:  # c may begin far below h
        return f"explodes: grows tenfold every {_number(1 / pace)} steps"
    if r[-1] >= 1.05:  # which is told as 1.1
        return f"lives on: {r[-1]:.2g} times as large after {_steps(far)}"
    return f"lives on: {_number(100 * float(r[-1]))} % is left after {_steps(far)}"


def _pace(r: np.ndarray) -> float:
    """Powers of ten a step, over the second half of the lags."""
    lags = np.arange(len(r))
    mine = (lags >= len(r) // 2) & (r > 0)
    return float(np.polyfit(lags[mine], np.log10(r[mine]), 1)[0]) if mine.sum() > 1 else 0.0


def _steps(n: int) -> str:
    return f"{n:,} step" + ("s" if n != 1 else "")


def _number(n: float) -> str:
    return f"{n:.0f}" if n >= 10 else f"{n:.1f}"


# ---- by a random direction of a layer's output


def points(steps: int) -> list[int]:
    """The t of a sequence: spread over its second half, the last step among them."""
    return sorted({int(t) for t in np.linspace(steps // 2, steps - 1, POINTS).round()}) if steps else []


def projected(layer: Recurrent, x: Float[Tensor, "T I"], hx: Any = None, seed: int = 0) -> list[list[list[dict]]]:
    """By layer and direction, for each of `points`, the norms from lag 0 on by state. hx as for a single sequence."""
    own = copy.deepcopy(layer).double().eval().requires_grad_(False)
    own.path, own.batch_first, own.recompute = "auto", False, False
    x, hx = x.detach().double(), trees.map(lambda a: a.detach().double(), hx)
    if len(x) > LONGEST:
        if not layer.bidirectional:
            with torch.no_grad():
                _, hx = own(x[:-LONGEST], hx)
        x = x[-LONGEST:]
    ahead = points(len(x))
    ways = [ahead, [len(x) - 1 - t for t in ahead]][: len(own.suffixes)]  # in each direction's own time the same
    ts = [t for way in ways for t in way]
    many = x[:, None].repeat(1, len(ts), 1).requires_grad_(True)
    y, _, trace = own(many, trees.map(lambda a: a[:, None].repeat(1, len(ts), 1), hx), grad_trace=True)
    draw = torch.Generator().manual_seed(seed)
    p = torch.randn(y.shape[-1], generator=draw, dtype=torch.float64).to(y.device)
    torch.stack([y[t, k] @ (p / p.norm()) for k, t in enumerate(ts)]).sum().backward()
    states, K = own.cell.states, len(ahead)
    return [
        [
            [_norms({s: way[f"d{s}"][:, d * K + k] for s in states}, t, d == 1) for k, t in enumerate(ways[d])]
            for d, way in enumerate(one)
        ]
        for one in trace
    ]


def _norms(gradients: dict[str, Tensor], t: int, reverse: bool) -> dict[str, np.ndarray]:
    """Norms at the lags 0, 1, … before t in the layer's own time."""
    found = {}
    for name, gradient in gradients.items():
        norm = gradient.double().norm(dim=-1).cpu().numpy()
        found[name] = norm[t:] if reverse else norm[: t + 1][::-1]
    return found


def others(layer: Recurrent, seed: int) -> dict[str, Recurrent]:
    """An RNN, a GRU and an LSTM of the layer's sizes, untrained."""
    made = {}
    for name, kind in BESIDE.items():
        with train.seeded(seed):
            made[name] = kind(layer.input_size, layer.sizes, bidirectional=layer.bidirectional, bias=layer.bias)
    return made


def flows(
    name: str, calls: Iterable[Call], layer: Recurrent | None = None, seed: int = 0, starts: bool = True
) -> list[Flow]:
    """The curves of one network's layers over these calls of it, or of another layer on the same inputs.

    starts: begin where the calls began; else at zero.
    """
    curves: dict[str, Curves] = {}
    for call in calls:
        own = layer or call.layer
        for row in range(min(call.x.shape[1], ROWS)):
            steps = len(call.x) if call.lengths is None else int(call.lengths[row])
            if not steps:
                continue
            hx = _row(call, row) if starts and layer is None else None
            for k, one in enumerate(projected(own, call.x[:steps, row], hx, seed)):
                for d, at in enumerate(one):
                    title = titled(call.name, k, d if own.bidirectional else None)
                    for norms in at:
                        curves.setdefault(title, Curves()).found.append(norms)
    return [found.flow(name, title) for title, found in curves.items()]


def _row(call: Call, row: int) -> Any:
    """The states before the first step of one sequence, in the form of hx without B."""
    parts = []
    for state in call.layer.cell.states:
        each = [one[state][:, row] for one in call.start]
        alike = len({part.shape[-1] for part in each}) == 1
        parts.append(torch.cat(each) if alike else each)
    return parts[0] if len(parts) == 1 else tuple(parts)


# ---- by a real output of a network

Losses = Callable[[Any], Sequence[tuple[dict[str, int], Tensor]]]


def real(name: str, network: nn.Module, cases: Iterable[tuple[Callable[[nn.Module], Any], Losses]]) -> list[Flow]:
    """The curves of a network's real outputs: norms of ∂L/∂h_s and ∂L/∂c_s before the step that L belongs to.

    cases: a call of a network on one sequence, and what of its result are the L: each with the steps of the layers that
    it belongs to, by the layer's path in the network. Layers that are not named are left out. An output has units of
    its own, so the curves are scaled: h begins at 1, as by a random direction.
    """
    curves: dict[str, Curves] = {}
    own = copy.deepcopy(network).eval()
    for read, losses in cases:
        with torch.enable_grad(), watch(own, gradients=True) as seen:
            found = [(steps, loss) for steps, loss in losses(read(own)) if loss.requires_grad]
        for n, (steps, loss) in enumerate(found):
            loss.backward(retain_graph=n < len(found) - 1)
            for title, norms in _gathered(seen, steps):
                curves.setdefault(title, Curves()).found.append(norms)
    return [found.flow(name, title, scaled=True) for title, found in curves.items()]


def _gathered(seen: Seen, steps: dict[str, int]) -> Iterable[tuple[str, dict[str, np.ndarray]]]:
    for call in seen.whole():
        for way in call.ways() if call.name in steps else ():
            t = min(steps[call.name], len(way) - 1)
            if 2 * (len(way) - 1 - t if way.reverse else t) < len(way) - 1:
                continue  # early in the direction's own time there are few lags
            yield way.name, _norms({s: way.values[f"d{s}"] for s in way.cell.states}, t, way.reverse)
