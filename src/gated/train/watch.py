"""What recurrent layers do while they learn: how large their gradients are, how far open their gates stand.

With `Config.watch` a row of the history has these columns as well. L is a layer in one direction, called as its
weights are: `encoder.l0_reverse` for those in `encoder.weight_ih_l0_reverse`.

    grad_norm:L      the norm of the gradient of L's weights before clipping, the mean of the steps since the last row
    open:L.k         the share of a gate's values that are above 0.95, over steps that exist, sequences and units
    shut:L.k         the share below 0.05
    saturated:L.k    of values between −1 and 1, as a candidate's: the share with |k| > 0.95

The gates are those of one micro-batch, the last of the row. Each layer is called once more, by itself: with what it was
given then, the weights after the step, in evaluation, so that nothing is drawn. A layer shows its gates if it has a
`cell` and can `trace`, as those of `gated` do, and is not inside `torch.compile`; of others, such as torch's, there are
the norms. Of several processes the first one watches, and tells the others nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from gated import trees
from gated.train.run import Run

OPEN, SHUT = 0.95, 0.05
WEIGHT = re.compile(r"(?P<module>.+\.)?(weight|bias|gain|shift)_\w+?_(?P<layer>l\d+(_reverse)?)(\..+)?")
COLUMN = re.compile(r"(?P<kind>grad_norm|open|shut|saturated):(?P<layer>(.+\.)?l\d+(_reverse)?)(\.(?P<gate>\w+))?")
BOUNDS = {"open": f"> {OPEN}", "shut": f"< {SHUT}", "saturated": f"beyond ±{OPEN}"}
WORDS = {
    "i": "input gates", "f": "forget gates", "o": "output gates", "g": "candidates",
    "r": "reset gates", "z": "update gates", "n": "candidates", "h": "outputs",
}  # fmt: skip
KEEP = ("f", "z")  # the gates which are the memory, and always worth a sentence
NOTABLE, FAR = 0.5, 100.0  # a share, and a ratio of gradient norms, that are
CELLS = 100_000  # that were watched, in what a run folder keeps beside history.csv


@contextlib.contextmanager
def watching(run: Run) -> Iterator[Watch | None]:
    """A watch over the run's layers, if the run asks for one, in the first process."""
    if not run.config.watch or run.fabric.global_rank:
        yield None
        return
    watch, hooks = Watch(run), []
    try:
        for name, module in _tracing(run.model):
            hooks.append(module.register_forward_pre_hook(partial(watch.note, name), with_kwargs=True))
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


class Watch:
    """Fills rows of the history. What has gathered since the last row is in `run.watched`."""

    def __init__(self, run: Run) -> None:
        self.run, self.calls = run, []  # what layers were given in this micro-batch
        self.weights: dict[str, list[nn.Parameter]] = {}
        recurrent = set()
        for name, p in run.model.named_parameters():
            found = WEIGHT.fullmatch(_plain(name).replace("parametrizations.", ""))
            if found and p.requires_grad:
                layer = (found["module"] or "") + found["layer"]
                self.weights.setdefault(layer, []).append(p)
                recurrent |= {layer} if "weight_hh_l" in name else set()
        self.weights = {layer: held for layer, held in self.weights.items() if layer in recurrent}

    def note(self, name: str, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """Remember what a layer is given where it learns; validation and guesses run without gradients."""
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self.calls.append((name, module, *trees.detach((args, kwargs))))

    def step(self, count: float) -> None:
        """Add the gradients' norms, once the gradients are all there and before they are clipped."""
        grads = {layer: [p.grad for p in held if p.grad is not None] for layer, held in self.weights.items()}
        norms = {
            layer: torch.linalg.vector_norm(torch.stack(torch._foreach_norm(held)))  # pyright: ignore
            for layer, held in grads.items()
            if held
        }
        told = torch.stack(list(norms.values())).tolist() if norms else []
        now = dict.fromkeys(grads, 0.0) | {layer: norm / (count or 1) for layer, norm in zip(norms, told, strict=True)}
        for layer, norm in now.items():
            steps, total = self.run.watched.get(layer, (0, 0.0))
            self.run.watched[layer] = [steps + 1, total + norm]

    def row(self, row: dict[str, int | float]) -> None:
        """Add the columns of a complete row to it."""
        row |= {f"grad_norm:{layer}": total / steps for layer, (steps, total) in self.run.watched.items() if steps}
        self.run.watched = {}
        counts: dict[str, Any] = {}
        with torch.no_grad(), self.run.fabric.autocast():
            for name, module, args, kwargs in self.calls:
                for column, count, many in _shares(name, module, args, kwargs):
                    old = counts.get(column, (0, 0))
                    counts[column] = old[0] + count, old[1] + many
        row |= {column: float(count) / many for column, (count, many) in counts.items()}


def _plain(name: str) -> str:
    return name.replace("_orig_mod.", "")  # a compiled model's own


def _tracing(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers that can show their gates, with their names."""
    for name, module in model.named_modules():
        gates = hasattr(getattr(module, "cell", None), "gates")
        if gates and "trace" in inspect.signature(module.forward).parameters:
            yield f"{_plain(name)}." if name else "", module


# ---- gates


def _shares(name: str, module: Any, args: tuple, kwargs: dict[str, Any]) -> Iterator[tuple[str, Tensor, int]]:
    """(column, how many values, of how many) of what a layer's gates do when it is called so."""
    exists, kinds = _exists(module, *args, **kwargs), _kinds(module.cell)
    words = {key: value for key, value in kwargs.items() if key != "grad_trace"}
    with _aside(module):
        *_, trace = module.forward(*args, **words | {"trace": True})
    for k, layer in enumerate(trace):
        for suffix, values in zip(("", "_reverse"), layer, strict=False):
            for gate, kind in kinds.items():
                v = values[gate] if exists is None else values[gate][exists.to(values[gate].device)]
                if kind == "tanh" and v.numel():
                    yield f"saturated:{name}l{k}{suffix}.{gate}", (v.abs() > OPEN).sum(), v.numel()
                elif v.numel():
                    yield f"open:{name}l{k}{suffix}.{gate}", (v > OPEN).sum(), v.numel()
                    yield f"shut:{name}l{k}{suffix}.{gate}", (v < SHUT).sum(), v.numel()


@contextlib.contextmanager
def _aside(module: Any) -> Iterator[None]:
    """Within it the layer is in evaluation and takes a path that can trace; after it, all is as before."""
    modes, path = [(m, m.training) for m in module.modules()], getattr(module, "path", None)
    try:
        module.eval()
        if path == "torch":
            module.path = "auto"
        yield
    finally:
        for m, training in modes:
            m.training = training
        if path == "torch":
            module.path = path


def _exists(module: Any, input: Any, *_: Any, lengths: Any = None, **__: Any) -> Tensor | None:
    """Which steps exist, with the axes of the input; None if all do."""
    first = getattr(module, "batch_first", False)
    if isinstance(input, PackedSequence):
        steps, lengths = len(input.batch_sizes), pad_packed_sequence(input)[1]
    elif lengths is None:
        return None
    else:
        steps, lengths = input.shape[int(first)], torch.as_tensor(lengths).cpu()
    mask = torch.arange(steps) < lengths[:, None]
    return mask if first else mask.T


class _Value:
    """A value of a cell of which one thing is known: whether it is a sigmoid or a tanh, or one less a sigmoid."""

    def __init__(self, kind: str = "") -> None:
        self.kind = kind

    def __rsub__(self, other: Any) -> _Value:
        return _Value("sigmoid" if self.kind == "sigmoid" and isinstance(other, int | float) and other == 1 else "")

    def _other(self, *_: Any) -> _Value:
        return _Value()

    __add__ = __radd__ = __sub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = __neg__ = _other
    relu = layer_norm = __call__ = _other

    def sigmoid(self) -> _Value:
        return _Value("sigmoid")

    def tanh(self) -> _Value:
        return _Value("tanh")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> _Value:
        name = getattr(func, "__name__", "")
        return _Value({"expit": "sigmoid"}.get(name, name if name in ("sigmoid", "tanh") else ""))


class _Names:
    """z, s or p of a cell: whatever it asks for, a gate's halves included."""

    def __init__(self, halves: Sequence[str] = ()) -> None:
        self._halves = halves

    def __getattr__(self, name: str) -> Any:
        return _Names() if name in self._halves else _Value()


def _kinds(cell: Any) -> dict[str, str]:
    """Which values of a cell are sigmoids or tanhs, found by running its equations on values that know only that.

    What they do beyond a cell's words may not run on these; then none is known.
    """
    try:
        values = cell(_Names(getattr(cell, "split", ())), _Names(), _Names())
    except (TypeError, AttributeError, ValueError, RuntimeError):
        return {}
    return {name: value.kind for name, value in values.items() if getattr(value, "kind", "")}


# ---- afterwards


def thinned(rows: Sequence[dict[str, Any]], most: int = CELLS) -> list[dict[str, Any]]:
    """The rows with what was watched in at most so many cells: in every second row, or third, counted from the last."""
    every = -(-sum(":" in name for row in rows for name in row) // most) or 1
    last = len(rows) - 1
    return [
        row if (last - n) % every == 0 else {name: value for name, value in row.items() if ":" not in name}
        for n, row in enumerate(rows)
    ]


def watched(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str, str]]:
    """The columns that were watched, each with its kind, layer, and gate, empty for gradients."""
    found = {name: COLUMN.fullmatch(name) for name in dict.fromkeys(name for row in rows for name in row)}
    return {name: (m["kind"], m["layer"], m["gate"] or "") for name, m in found.items() if m}


def observed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a watched run shows, in sentences: of its last tenth. None of a run that was not watched."""
    rows = [row for row in rows if watched([row])]
    late = rows[-max(1, len(rows) // 10) :]
    names = watched(late)
    means = {name: _mean([row[name] for row in late if name in row]) for name in names}
    norms = {layer: means[name] for name, (kind, layer, _) in names.items() if kind == "grad_norm"}
    if not norms:
        return []
    called, shares = titles(norms), dict[tuple[str, str], dict[str, float]]()
    for name, (kind, layer, gate) in names.items():
        if gate and layer in called:
            shares.setdefault((gate, kind), {})[called[layer]] = means[name]
    clipped = f"Clipping acts on {_percent(_mean([row.get('clipped', 0.0) for row in late]))} of steps."
    return [*_gradients({called[layer]: norm for layer, norm in norms.items()}), clipped, *_gates(shares)]


def _gradients(norms: Mapping[str, float]) -> Iterator[str]:
    """Where gradients are largest and smallest, and whether they lie far apart."""
    low, high = min(norms, key=lambda k: norms[k]), max(norms, key=lambda k: norms[k])
    if norms[low] == 0:
        yield f"No gradient reaches {low}: it learns nothing."
    elif len(norms) == 1:
        yield f"The gradient of {low} has norm {norms[low]:.2g}."
    else:
        said, times = (
            f"Gradient norms go from {norms[low]:.2g} ({low}) to {norms[high]:.2g} ({high})",
            norms[high] / norms[low],
        )
        yield f"{said}, {times:,.0f} times as much: little reaches {low}." if times > FAR else f"{said}."


def _gates(shares: Mapping[tuple[str, str], Mapping[str, float]]) -> Iterator[str]:
    """How often the gates that keep memory are open, and whatever else is so half of the time."""
    for (gate, kind), by in shares.items():
        always = gate in KEEP and (kind == "open" or max(by.values()) >= 0.01)
        if not always and max(by.values()) < NOTABLE:
            continue
        places: dict[str, list[str]] = {}
        for layer, share in by.items():
            places.setdefault(_percent(share), []).append(layer)
        one = len(places) == 1 and len(by) > 1
        where = [f"{share} in {'every layer' if one else ' and '.join(named)}" for share, named in places.items()]
        where[0] = where[0].replace("%", "% of the time", 1)
        note = ": little gradient passes there" if kind == "saturated" else ""
        yield f"The {WORDS.get(gate, f'gates {gate}')} are {kind} ({BOUNDS[kind]}) {', '.join(where)}{note}."


def titles(layers: Sequence[str] | Mapping[str, Any]) -> dict[str, str]:
    """What to call each layer: `encoder.l1_reverse` is "encoder layer 2 backward", as far as that tells them apart."""
    parts = {layer: layer.rpartition(".") for layer in layers}
    heads = {head for head, _, _ in parts.values()}
    members = {head.partition(".")[0] for head in heads}
    alone = len(members) == 1 and next(iter(members)).isdecimal()  # the only network of a list
    called = {}
    for layer, (head, _, last) in parts.items():
        words = head.split(".")
        words = words[1:] if alone else [f"network {int(words[0]) + 1}", *words[1:]] if words[0].isdecimal() else words
        words = words[:-1] if words[-1:] == ["layers"] else words
        number, _, reverse = last.partition("_")
        beside = [tail.partition("_") for other, _, tail in parts.values() if other == head]
        if not any(words) or len({first for first, _, _ in beside}) > 1:
            words.append(f"layer {int(number[1:]) + 1}")
        if any(way for _, _, way in beside):
            words.append("backward" if reverse else "forward")
        called[layer] = " ".join(word for word in words if word)
    return called


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
