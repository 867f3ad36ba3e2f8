"""Gradient flow: ‖∂L_t/∂h_s‖ and ‖∂L_t/∂c_s‖ against the lag t − s.

L_t = p · y_t for a layer's output y and a random p with ‖p‖ = 1, the same at all t, so that at lag 0 the norm of
∂L_t/∂h_t is 1 (that of p's half in each of two directions) and networks can be compared; or a network's real output.
The gradients are exact: one backward pass over copies of the sequence, each with its own t, in float64.

A curve r(lag) = norm / norm at lag 0, of the state with the largest r at the longest lag, is classified:

    vanishes    r stays below a thousandth from some lag on
    explodes    at the longest lag r ≥ 10, and it still grows there
    fades       at the longest lag less than a tenth is left
    persists    otherwise

Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013, §2.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gated import train, trees
from gated.layers import GRU, LSTM, RNN, Recurrent
from gated.probe.document import Flow
from gated.probe.record import Call, Recording, make_name, record
from gated.views import Case, points

MAX_STEPS = 1000  # of a sequence, its last ones
ROWS = 8  # sequences of a batch
REACH = 0.5  # share of all (sequence, t) that reach the longest lag of a curve
VANISH, FADE, EXPLODE = 1e-3, 0.1, 10.0
REFERENCES: dict[str, type] = {"an RNN": RNN, "a GRU": GRU, "an LSTM": LSTM}

Norms = dict[str, Float[np.ndarray, " _"]]  # by state, from lag 0 on


def average(name: str, layer: str, curves: Sequence[Norms], scaled: bool = False) -> Flow:
    """The mean over the (sequence, t) that reach the longest lag, the same ones at every lag.

    scaled: by one factor, so that h begins at 1.
    """
    reach = sorted((len(norms["h"]) for norms in curves), reverse=True)
    far = reach[math.ceil(REACH * len(reach)) - 1]
    long = [norms for norms in curves if len(norms["h"]) >= far]
    mean = {state: np.mean([norms[state][:far] for norms in long], 0) for state in curves[0]}
    if scaled and mean["h"][0] > 0:
        mean = {state: values / mean["h"][0] for state, values in mean.items()}
    return Flow(name, layer, np.arange(far, dtype=float), mean, describe(mean))


def describe(norms: dict[str, Float[np.ndarray, " N"]]) -> str:
    """Whether and where a gradient vanishes or explodes, in words."""
    ratios = {name: values / values[0] for name, values in norms.items() if len(values) and values[0] > 0}
    if any(np.isnan(values[:1]).any() for values in norms.values()):
        return "not a number: check the input and the weights"
    if not ratios:
        return "zero at every lag"
    state = max(ratios, key=lambda name: float(ratios[name][-1]))
    r = ratios[state]
    far = len(r) - 1
    if far == 0:
        return "undefined: the sequence has one step"
    if not np.isfinite(r).all():
        return f"explodes: overflows after {_steps(int(np.argmax(~np.isfinite(r))))}"
    above = np.flatnonzero(r >= VANISH)
    if above[-1] < far:
        return f"vanishes: below a thousandth after {_steps(int(above[-1]) + 1)}"
    slope, first = _slope(r), max(float(values[0]) for values in norms.values() if len(values))
    if r[-1] >= EXPLODE and norms[state][-1] >= EXPLODE * first and slope > 0:  # c may begin far below h
        return f"explodes: grows tenfold every {_number(1 / slope)} steps"
    if r[-1] >= 1.05:  # printed as 1.1
        return f"persists: {r[-1]:.2g} times as large after {_steps(far)}"
    return f"{'fades' if r[-1] < FADE else 'persists'}: {_number(100 * float(r[-1]))} % remains after {_steps(far)}"


def _slope(r: np.ndarray) -> float:
    """Powers of ten a step, over the second half of the lags."""
    lags = np.arange(len(r))
    mine = (lags >= len(r) // 2) & (r > 0)
    return float(np.polyfit(lags[mine], np.log10(r[mine]), 1)[0]) if mine.sum() > 1 else 0.0


def _steps(n: int) -> str:
    return f"{n:,} step" + ("s" if n != 1 else "")


def _number(n: float) -> str:
    return f"{n:.0f}" if n >= 10 else f"{n:.1f}"


# ---- of a random direction of a layer's output


def project(layer: Recurrent, x: Float[Tensor, "T I"], hx: Any = None, seed: int = 0) -> list[tuple[int, int, Norms]]:
    """Layer, direction and norms from lag 0 on by state, for each of `points`; hx of a single sequence."""
    own = copy.deepcopy(layer).double().eval().requires_grad_(False)
    own.path, own.batch_first, own.recompute = "auto", False, False
    x, hx = x.detach().double(), trees.map(lambda a: a.detach().double(), hx)
    if len(x) > MAX_STEPS:
        if not layer.bidirectional:
            with torch.no_grad():
                _, hx = own(x[:-MAX_STEPS], hx)
        x = x[-MAX_STEPS:]
    ahead = points(len(x))
    sides = [ahead, [len(x) - 1 - t for t in ahead]]  # the same steps in each direction's own time
    sides = sides[: len(own.stack.suffixes)]
    ts = [t for side in sides for t in side]
    many = x[:, None].repeat(1, len(ts), 1).requires_grad_(True)
    y, _, trace = own(many, trees.map(lambda a: a[:, None].repeat(1, len(ts), 1), hx), grad_trace=True)
    draw = torch.Generator().manual_seed(seed)
    p = torch.randn(y.shape[-1], generator=draw, dtype=torch.float64).to(y.device)
    torch.stack([y[t, k] @ (p / p.norm()) for k, t in enumerate(ts)]).sum().backward()
    return [
        (k, d, _norms({s: values[f"d{s}"][:, d * len(ahead) + n] for s in own.cell.states}, t, d == 1))
        for k, directions in enumerate(trace) for d, values in enumerate(directions) for n, t in enumerate(sides[d])
    ]  # fmt: skip


def _norms(gradients: dict[str, Tensor], t: int, reverse: bool) -> Norms:
    """Norms at the lags 0, 1, … before t in the layer's own time."""
    norms = {name: gradient.double().norm(dim=-1).cpu().numpy() for name, gradient in gradients.items()}
    return {name: norm[t:] if reverse else norm[: t + 1][::-1] for name, norm in norms.items()}


def flows(name: str, calls: Iterable[Call], layer: Recurrent | None = None, seed: int = 0) -> list[Flow]:
    """The curves of the layers in these calls, from the calls' initial states; or of another layer on their inputs."""
    curves: dict[str, list[Norms]] = defaultdict(list)
    for call in calls:
        own = layer or call.layer
        for row in range(min(call.x.shape[1], ROWS)):
            steps = len(call.x) if call.lengths is None else int(call.lengths[row])
            if not steps:
                continue
            hx = _row(call, row) if layer is None else None
            for k, d, norms in project(own, call.x[:steps, row], hx, seed):
                curves[make_name(call.name, k, d if own.bidirectional else None)].append(norms)
    return [average(name, title, some) for title, some in curves.items()]


def reference_flows(calls: Iterable[Call], seed: int = 0) -> list[Flow]:
    """The curves of an untrained RNN, GRU and LSTM of each layer's sizes, on the layer's inputs."""
    groups: dict[Recurrent, list[Call]] = defaultdict(list)
    for call in calls:
        groups[call.layer].append(call)
    curves = list[Flow]()
    for layer, some in groups.items():
        for name, kind in REFERENCES.items():
            with train.seeded(seed):
                sizes = list(layer.stack.sizes)
                other = kind(layer.input_size, sizes, bidirectional=layer.bidirectional, bias=layer.bias)
            curves += flows(f"{name} of the same size", some, other, seed)
    return curves


def sort(flows: Sequence[Flow]) -> list[Flow]:
    """The curves by layer, in the order in which the layers first come."""
    order = list(dict.fromkeys(flow.layer for flow in flows))
    return sorted(flows, key=lambda flow: order.index(flow.layer))


def _row(call: Call, row: int) -> Any:
    """The initial states of one sequence, as hx without B."""
    parts = []
    for state in call.layer.cell.states:
        each = [one[state][:, row] for one in call.start]
        alike = len({part.shape[-1] for part in each}) == 1
        parts.append(torch.cat(each) if alike else each)
    return parts[0] if len(parts) == 1 else tuple(parts)


# ---- of a real output of a network


def output_flows(name: str, network: nn.Module, cases: Iterable[Case]) -> list[Flow]:
    """The curves of a network's real outputs: norms of ∂L/∂h_s and ∂L/∂c_s before the step of L.

    The losses L of a case come with their step in each layer, by the layer's path in the network. Other layers are left
    out. An output has a unit of its own, so the curves are scaled: h begins at 1, as of a random direction.
    """
    curves: dict[str, list[Norms]] = defaultdict(list)
    own = copy.deepcopy(network).eval()
    for case in cases:
        with torch.enable_grad(), record(own, gradients=True) as recording:
            outputs = [(steps, loss) for steps, loss in case.losses(case.forward(own)) if loss.requires_grad]
        for n, (steps, loss) in enumerate(outputs):
            loss.backward(retain_graph=n < len(outputs) - 1)
            for title, norms in _gather(recording, steps):
                curves[title].append(norms)
    return [average(name, title, some, scaled=True) for title, some in curves.items()]


def _gather(recording: Recording, steps: dict[str, int]) -> Iterable[tuple[str, Norms]]:
    for call in recording.merge():
        for trace in call.traces() if call.name in steps else ():
            t = min(steps[call.name], len(trace) - 1)
            if 2 * (len(trace) - 1 - t if trace.reverse else t) < len(trace) - 1:
                continue  # there are few lags early in the direction's own time
            yield trace.name, _norms({s: trace.values[f"d{s}"] for s in trace.cell.states}, t, trace.reverse)
