"""What recurrent layers do while they train: the size of their gradients, the saturation of their gates.

`train.fit(…, observers=[observe.layers])` with `Config.watch` adds these columns to a row of the history. L is a layer
in one direction, named as its weights are: `encoder.l0_reverse` for those in `encoder.weight_ih_l0_reverse`.

    grad_norm:L      the norm of the gradient of L's weights before clipping, the mean of the steps since the last row
    open:L.k         the share of a gate's values that are above 0.95, over valid steps, sequences and units
    shut:L.k         the share below 0.05
    saturated:L.k    of values between −1 and 1, as a candidate's: the share with |k| > 0.95

The gates are those of one micro-batch, the last of the row: each layer is called once more, by itself, with the input
that it had then, the weights after the step, in evaluation, so that nothing is drawn. Only layers of `gated` outside
`torch.compile` have gates here; of others, such as torch's, there are the norms.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from gated import trees
from gated.cells import Cell
from gated.kernels.program import Unsupported
from gated.kernels.trace import trace
from gated.layers import Recurrent, layout

OPEN, SHUT = 0.95, 0.05
WEIGHT = re.compile(r"(?P<module>.+\.)?(weight|bias|gain|shift)_\w+?_(?P<layer>l\d+(_reverse)?)(\..+)?")
COLUMN = re.compile(r"(?P<kind>grad_norm|open|shut|saturated):(?P<layer>(.+\.)?l\d+(_reverse)?)(\.(?P<gate>\w+))?")
BOUNDS = {"open": f"> {OPEN}", "shut": f"< {SHUT}", "saturated": f"beyond ±{OPEN}"}
WORDS = {
    "i": "input gates", "f": "forget gates", "o": "output gates", "g": "candidates",
    "r": "reset gates", "z": "update gates", "n": "candidates", "h": "outputs",
}  # fmt: skip
KEEP = ("f", "z")  # the gates that keep memory, always worth a sentence
NOTABLE, FAR = 0.5, 100.0  # a share, and a ratio of gradient norms, that are
CELLS = 100_000  # of observers' columns, at most, in a run folder beside history.csv


@contextlib.contextmanager
def layers(run: Any) -> Iterator[Any]:
    """An observer for `train.fit`: the gradient norms of each step, the gates of each row's last micro-batch."""
    calls: list[tuple] = []  # of layers, in the micro-batch number `batch`
    batch, weights = -1, _weights(run.model)

    def record(name: str, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        nonlocal batch
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # validation runs without gradients
            if run.batch != batch:
                calls.clear()
                batch = run.batch
            calls.append((name, layer, *trees.detach((args, kwargs))))

    def columns(update: Any, complete: bool) -> dict[str, float]:
        norms = _norms(weights, update.norms)
        return norms | _shares(calls) if complete and run.batch == batch else norms

    hooks = []
    try:
        for name, layer in run.model.named_modules():
            if isinstance(layer, Recurrent):
                prefix = f"{_plain(name)}." if name else ""
                hooks.append(layer.register_forward_pre_hook(partial(record, prefix), with_kwargs=True))
        yield columns
    finally:
        for hook in hooks:
            hook.remove()


def _plain(name: str) -> str:
    return name.replace("_orig_mod.", "")  # which torch.compile adds


# ---- gradients


def _weights(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The weights to train of each recurrent layer and direction."""
    weights, recurrent = dict[str, list[nn.Parameter]](), set()
    for name, p in model.named_parameters():
        match = WEIGHT.fullmatch(_plain(name).replace("parametrizations.", ""))
        if match and p.requires_grad:
            layer = (match["module"] or "") + match["layer"]
            weights.setdefault(layer, []).append(p)
            recurrent |= {layer} if "weight_hh_l" in name else set()
    return {layer: own for layer, own in weights.items() if layer in recurrent}


def _norms(weights: dict[str, list[nn.Parameter]], norms: Mapping[nn.Parameter, Tensor]) -> dict[str, float]:
    """The norm of each layer's gradient from those of its weights, 0 where there is none."""
    own = {layer: [norms[p] for p in ps if p in norms] for layer, ps in weights.items()}
    joint = [torch.linalg.vector_norm(torch.stack(some)) for some in own.values() if some]
    values = iter(torch.stack(joint).tolist() if joint else ())
    return {f"grad_norm:{layer}": next(values) if some else 0.0 for layer, some in own.items()}


# ---- gates


def _shares(calls: Sequence[tuple]) -> dict[str, float]:
    """The columns of gates, over all calls of a layer."""
    counts: Any = Counter()
    sizes = Counter[str]()
    for call in calls:
        for column, count, size in _counts(*call):
            counts[column] += count
            sizes[column] += size
    return {column: float(count) / sizes[column] for column, count in counts.items()}


def _counts(name: str, layer: Recurrent, args: tuple, kwargs: dict[str, Any]) -> Iterator[tuple[str, Tensor, int]]:
    """(column, how many values, of how many) for one call of a layer."""
    mask, kinds = _mask(layer, args[0] if args else kwargs["input"], kwargs.get("lengths")), classify_values(layer.cell)
    kwargs = {key: value for key, value in kwargs.items() if key != "grad_trace"}
    with _evaluation(layer):
        *_, values = layer.forward(*args, **kwargs | {"trace": True})
    for k, directions in enumerate(values):
        for suffix, by_name in zip(("", "_reverse"), directions, strict=False):
            for gate, kind in kinds.items():
                v = by_name[gate] if mask is None else by_name[gate][mask]
                at = f"{name}l{k}{suffix}.{gate}"
                if kind == "tanh" and v.numel():
                    yield f"saturated:{at}", (v.abs() > OPEN).sum(), v.numel()
                elif v.numel():
                    yield f"open:{at}", (v > OPEN).sum(), v.numel()
                    yield f"shut:{at}", (v < SHUT).sum(), v.numel()


@contextlib.contextmanager
def _evaluation(layer: Recurrent) -> Iterator[None]:
    """Within it the layer is in evaluation, on a path that can trace; after it, all is as before."""
    modes, path = [(m, m.training) for m in layer.modules()], layer.path
    try:
        layer.eval()
        layer.path = "auto" if path == "torch" else path
        yield
    finally:
        for m, training in modes:
            m.training = training
        layer.path = path


def _mask(layer: Recurrent, input: Any, lengths: Any) -> Tensor | None:
    """The valid steps, with the axes of the input; None if all are."""
    batch = layout.arrange(layer.stack, layer.weights(0, 0)["weight_ih"].dtype, input, lengths)
    x, lengths = batch.pad()
    return None if lengths is None else batch.restore_axes(torch.arange(len(x), device=x.device)[:, None] < lengths)


@cache
def classify_values(cell: Cell) -> dict[str, str]:
    """The values of a cell that are a "sigmoid", or one less a sigmoid, or a "tanh", read off its program.

    None of a cell that has no program.
    """
    try:
        program = trace(cell)
    except Unsupported:
        return {}
    kinds: dict[Any, str] = {}
    for value in program.values:
        if value.op in ("sigmoid", "tanh"):
            kinds[value.name] = value.op
        elif value.op == "-" and value.args[0] == 1 and kinds.get(value.args[1]) == "sigmoid":
            kinds[value.name] = "sigmoid"
    return {name: kinds[source] for name, source in program.results if source in kinds}


# ---- reading a history


def thin(rows: Sequence[dict[str, Any]], max_cells: int = CELLS) -> list[dict[str, Any]]:
    """The rows, observers' columns in every k-th from the last alone, so that they fill at most `max_cells` cells."""
    every = -(-sum(":" in name for row in rows for name in row) // max_cells) or 1
    last = len(rows) - 1
    return [
        row if (last - n) % every == 0 else {name: value for name, value in row.items() if ":" not in name}
        for n, row in enumerate(rows)
    ]


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str, str]]:
    """The columns of `layers` in a history, each with its kind, layer, and gate, empty for gradients."""
    matches = {name: COLUMN.fullmatch(name) for name in dict.fromkeys(name for row in rows for name in row)}
    return {name: (m["kind"], m["layer"], m["gate"] or "") for name, m in matches.items() if m}


def describe(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on the last tenth of a history; none where nothing was observed."""
    rows = [row for row in rows if columns([row])]
    late = rows[-max(1, len(rows) // 10) :]
    names = columns(late)
    means = {name: fmean([row[name] for row in late if name in row]) for name in names}
    norms = {layer: means[name] for name, (kind, layer, _) in names.items() if kind == "grad_norm"}
    if not norms:
        return []
    names_of, shares = name_layers(norms), dict[tuple[str, str], dict[str, float]]()
    for name, (kind, layer, gate) in names.items():
        if gate and layer in names_of:
            shares.setdefault((gate, kind), {})[names_of[layer]] = means[name]
    clipped = f"Clipping acts on {_percent(fmean([row.get('clipped', 0.0) for row in late]))} of steps."
    return [*_gradients({names_of[layer]: norm for layer, norm in norms.items()}), clipped, *_gates(shares)]


def _gradients(norms: Mapping[str, float]) -> Iterator[str]:
    """The largest and the smallest gradient, and whether they are far apart."""
    low, high = min(norms, key=lambda k: norms[k]), max(norms, key=lambda k: norms[k])
    if norms[low] == 0:
        yield f"No gradient reaches {low}: it learns nothing."
    elif len(norms) == 1:
        yield f"The gradient of {low} has norm {norms[low]:.2g}."
    else:
        ratio = norms[high] / norms[low]
        far = f", {ratio:,.0f} times as much: little reaches {low}" if ratio > FAR else ""
        yield f"Gradient norms go from {norms[low]:.2g} ({low}) to {norms[high]:.2g} ({high}){far}."


def _gates(shares: Mapping[tuple[str, str], Mapping[str, float]]) -> Iterator[str]:
    """How often the gates that keep memory are open or shut, and any others that are half of the time."""
    for (gate, kind), by_layer in shares.items():
        always = gate in KEEP and (kind == "open" or max(by_layer.values()) >= 0.01)
        if not always and max(by_layer.values()) < NOTABLE:
            continue
        places: dict[str, list[str]] = {}
        for layer, share in by_layer.items():
            places.setdefault(_percent(share), []).append(layer)
        one = len(places) == 1 and len(by_layer) > 1
        where = [f"{share} in {'every layer' if one else ' and '.join(names)}" for share, names in places.items()]
        where[0] = where[0].replace("%", "% of the time", 1)
        note = ": little gradient passes there" if kind == "saturated" else ""
        yield f"The {WORDS.get(gate, f'gates {gate}')} are {kind} ({BOUNDS[kind]}) {', '.join(where)}{note}."


def name_layers(paths: Sequence[str] | Mapping[str, Any]) -> dict[str, str]:
    """Names for people: `encoder.l1_reverse` is "encoder layer 2 backward", no longer than it takes to be unique."""
    parts = {path: path.rpartition(".") for path in paths}
    heads = {head for head, _, _ in parts.values()}
    members = {head.partition(".")[0] for head in heads}
    alone = len(members) == 1 and next(iter(members)).isdecimal()  # the only network of a list
    names = {}
    for path, (head, _, last) in parts.items():
        words = head.split(".")
        words = words[1:] if alone else [f"network {int(words[0]) + 1}", *words[1:]] if words[0].isdecimal() else words
        words = words[:-1] if words[-1:] == ["layers"] else words
        number, _, reverse = last.partition("_")
        beside = [tail.partition("_") for other, _, tail in parts.values() if other == head]
        if not any(words) or len({first for first, _, _ in beside}) > 1:
            words.append(f"layer {int(number[1:]) + 1}")
        if any(way for _, _, way in beside):
            words.append("backward" if reverse else "forward")
        names[path] = " ".join(word for word in words if word)
    return names


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
