"""The equations, one step each.

A cell is a function of gate pre-activations z, states s and its own parameters p that returns the new states and
whatever else is worth seeing:

    @cell(gates="i f g o", states="h c")
    def lstm(z, s):
        i, f, g, o = sigmoid(z.i), sigmoid(z.f), tanh(z.g), sigmoid(z.o)
        c = f * s.c + i * g
        h = o * tanh(c)
        return dict(h=h, c=c, i=i, f=f, g=g, o=o)

It uses + - * / and the words `sigmoid tanh relu layer_norm` of this module. Those ask their argument: a tensor goes
to torch, anything else answers with its own method, so the same text runs on tensors (`kernels.loop`, the definition)
and on symbols that record it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cache, partial, reduce
from inspect import signature
from keyword import iskeyword
from typing import Any, NoReturn

import torch
import torch.nn.functional as F

from gated._check import InputError, InputTypeError, one_of, refuse, suggest, want

EPSILON = 1e-5  # torch's for layer normalisation
OPERATORS = ("lstm", "gru", "rnn_tanh", "rnn_relu")  # of torch

Shapes = dict[str, tuple[int, ...]]  # of parameters, by name


def sigmoid(a: Any) -> Any:
    """1 / (1 + e^-a)"""
    return torch.sigmoid(a) if isinstance(a, torch.Tensor) else a.sigmoid()


def tanh(a: Any) -> Any:
    """(e^a - e^-a) / (e^a + e^-a)"""
    return torch.tanh(a) if isinstance(a, torch.Tensor) else a.tanh()


def relu(a: Any) -> Any:
    """max(a, 0)"""
    return torch.relu(a) if isinstance(a, torch.Tensor) else a.relu()


def layer_norm(a: Any, gain: Any, shift: Any) -> Any:
    """gain ⊙ (a - mean a) / √(var a + 1e-5) + shift, each row by itself (Ba et al. 2016, eq. 4)."""
    if isinstance(a, torch.Tensor):
        return F.layer_norm(a, a.shape[-1:], gain, shift, EPSILON)
    return a.layer_norm(gain, shift, EPSILON)


@dataclass(frozen=True)
class Cell:
    """One step's equations and what they need to know; made by `cell`.

    A gate's pre-activation is z.k = W_k x + b_k + R_k h + b'_k. Of a gate in `split` the equations see the two halves,
    z.k.x = W_k x + b_k and z.k.h = R_k h + b'_k; a gate in `input_only` has the first half only. `cell` has more.
    """

    equations: Callable[..., dict[str, Any]]
    name: str
    gates: tuple[str, ...]  # in the order of their blocks in weight_ih
    states: tuple[str, ...]
    split: tuple[str, ...] = ()
    input_only: tuple[str, ...] = ()  # without rows in weight_hh
    vectors: tuple[str, ...] = ()  # parameter weight_k
    norms: tuple[str, ...] = ()  # parameters gain_k, shift_k
    project: str = ""  # parameter weight_k (proj_size, H)
    recur: str = ""  # parameter weight_k (H, H)
    keep: str = ""
    write: str = ""
    torch: str = ""
    arity: int = 3  # of `equations`

    def __call__(self, z: Any, s: Any, p: Any = None) -> dict[str, Any]:
        """One step: values by name, the new states among them."""
        values: Any = self.equations(z, s, p) if self.arity == 3 else self.equations(z, s)
        expected = f"a dict with {' and '.join(self.states)}"
        want(isinstance(values, dict), f"cell {self.name}", expected, type(values).__name__)
        want(values.keys() >= set(self.states), f"cell {self.name}", expected, f"only {', '.join(values)}")
        return values

    def __copy__(self) -> Cell:
        return self  # nothing in it changes, and whoever keeps something by cell finds it again

    def __deepcopy__(self, memo: dict[int, Any]) -> Cell:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as functions are, by module and name; a cell of ours, and one that shares its name with nothing, by
        its parts.
        """
        function: Any = self.equations
        while isinstance(function, partial):
            function = function.func
        module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
        outer = name.rpartition(".")[0]  # of a lambda too: its cell has a name there
        place = _look_up(module, outer)
        keys = [key for key, value in getattr(place, "__dict__", {}).items() if value is self]
        for path in (name, *(f"{outer}.{key}" if outer else key for key in keys)):
            if _look_up(module, path) is self:
                return _import_cell, (module, path)
        if _look_up(module, name) is not function:
            todo = "Move it there; a lambda gets a name by `name = cell(…)(lambda …)`."
            refuse(f"pickle of cell {self.name}", "a cell that stands at the top of a module", name or function, todo)
        return Cell, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def recurrent_gates(self) -> tuple[str, ...]:
        """The gates that have rows in weight_hh, in order."""
        return tuple(gate for gate in self.gates if gate not in self.input_only)

    def width(self, state: str, hidden_size: int, proj_size: int = 0) -> int:
        """How many numbers a state holds: H, or proj_size for a projected h."""
        return proj_size if state == "h" and self.project else hidden_size

    def shapes(self, input_size: int, hidden_size: int, proj_size: int = 0, bias: bool = True) -> Shapes:
        """Shapes of one layer's parameters, one direction, by name without `_l0`, in torch's order."""
        H, P = hidden_size, self.width("h", hidden_size, proj_size)
        G, R = len(self.gates) * H, len(self.recurrent_gates) * H
        shapes: Shapes = {"weight_ih": (G, input_size), "weight_hh": (R, P)}
        shapes |= {"bias_ih": (G,), "bias_hh": (R,)} if bias else {}
        shapes |= {f"weight_{self.project}": (P, H)} if self.project else {}
        shapes |= {f"weight_{self.recur}": (H, P)} if self.recur else {}
        shapes |= {f"weight_{name}": (H,) for name in self.vectors}
        return shapes | {f"{kind}_{name}": (H,) for name in self.norms for kind in ("gain", "shift")}


def _look_up(module: str, path: str) -> Any:
    """What stands under a dotted name in a module that is there, or None; under no name the module."""
    names = path.split(".") if path else []
    return reduce(lambda place, name: getattr(place, name, None), names, sys.modules.get(module))


def _import_cell(module: str, path: str) -> Cell:
    importlib.import_module(module)
    value = _look_up(module, path)
    want(isinstance(value, Cell), f"pickle: {module}.{path}", "a cell", type(value).__name__)
    return value


class InputNameError(InputError, AttributeError):
    """A cell asks z, s or p for a value that it has not declared."""


def refuse_name(where: str, prefix: str, name: str, names: Iterable[str]) -> NoReturn:
    """Say what z, s or p of a cell has, and which of it may be meant."""
    names = list(names)
    expected = f"one of {', '.join(f'{prefix}.{key}' for key in names)}" if names else f"no value of {prefix}"
    todo = suggest(name, names) or "Declare it in gated.cell, or mend the name."
    refuse(where, expected, f"{prefix}.{name}", todo, InputNameError)


def cell(
    *misplaced: Any,
    gates: str = "",
    states: str = "",
    split: str = "",
    input_only: str = "",
    vectors: str = "",
    norms: str = "",
    project: str = "",
    recur: str = "",
    keep: str = "",
    write: str = "",
    torch: str = "",
    name: str = "",
) -> Callable[[Callable[..., dict[str, Any]]], Cell]:
    """Make a function of one step a `Cell`.

    The function takes (z, s), or (z, s, p) if it has parameters of its own, and returns a dict: every state's new
    value, and whatever else a trace shall show. Names stand in one string, apart by spaces.

    gates       the pre-activations: z.i, z.f … for gates="i f"
    states      what is carried from step to step: s.h, s.c … for states="h c"; h is the output, and what R multiplies
    split       gates that the equations want as two halves, z.k.x and z.k.h
    input_only  the last gates, if they do not see h: z.k = W_k x + b_k
    vectors     p.k, H numbers each
    norms       p.gain_k and p.shift_k for `layer_norm`, H numbers each; a gate's bias presets go to its shift
    project     p.k(a), a map from H to proj_size, for the h of a projection
    recur       p.k(a), a map from H to H for something made of h; sees the recurrent dropout that h sees
    keep        the gate that keeps memory when it is open ("-k": when shut), for forget_bias and chrono
    write       the gate that writes memory, if it is another one, for chrono
    torch       torch's operator that computes exactly this, if there is one
    """
    words: dict[str, Any] = dict(
        gates=gates, states=states, split=split, input_only=input_only, vectors=vectors, norms=norms
    )
    single: dict[str, Any] = dict(project=project, recur=recur, keep=keep, write=write, torch=torch)
    if misplaced:
        got = getattr(misplaced[0], "__name__", repr(misplaced[0]))
        todo = 'Write @cell(gates="…", states="…") above the function.'
        refuse("cell", "its arguments by name, and the function after them", got, todo, InputTypeError)
    for key, value in (words | single | dict(name=name)).items():
        if not isinstance(value, str):
            got = f"a {type(value).__name__}"
            refuse(f"cell {key}", "names in one string, apart by spaces", got, f'Write {key}="a b".', InputTypeError)
    lists: dict[str, Any] = {key: tuple(value.split()) for key, value in words.items()}

    def make(equations: Callable[..., dict[str, Any]]) -> Cell:
        where = f"cell {name or getattr(equations, '__name__', equations)}"
        try:
            arity = sum(a.kind is not a.KEYWORD_ONLY for a in signature(equations).parameters.values())
        except (TypeError, ValueError):
            refuse(where, "a function of (z, s) or (z, s, p)", type(equations).__name__, error=InputTypeError)
        made = Cell(equations, where.removeprefix("cell "), **lists, **single, arity=arity)
        for key, value in lists.items():
            bad = [word for word in value if not _is_name(word) or value.count(word) > 1]
            want(not bad, where, f"{key} that are names, each once", repr(words[key]))
        for key, value in single.items():
            want(not value or _is_name(value.removeprefix("-")), where, f"one name for {key}", repr(value))
        one_of(f"{where} torch", torch, ("", *OPERATORS))
        want(bool(made.gates), where, "at least one gate", "none")
        want("h" in made.states, where, "a state named h, which is the output", repr(states))
        for gate in (*made.split, *made.input_only):
            one_of(f"{where} split and input_only", gate, made.gates)
        last = made.gates[len(made.gates) - len(made.input_only) :]
        want(set(last) == set(made.input_only), where, "input_only gates to stand last", repr(gates))
        want(len(last) < len(made.gates), where, "a gate that sees h", "input_only gates alone")
        own = [*made.vectors, *(word for word in (project, recur) if word)]
        own += [f"{kind}_{word}" for word in made.norms for kind in ("gain", "shift")]
        clash = [word for word in own if word in ("ih", "hh") or own.count(word) > 1]
        want(not clash, where, "one name for each parameter, other than ih and hh", ", ".join(clash))
        for gate in (made.keep.removeprefix("-"), made.write):
            want(gate in ("", *made.gates), where, f"keep and write among the gates {gates!r}", repr(gate))
        wanted = "a function of (z, s, p)" if own else "a function of (z, s)"
        fits = arity == 3 or (arity == 2 and not own)
        want(fits, where, wanted, f"one of {arity} arguments")
        return made

    return make


def _is_name(word: str) -> bool:
    return word.isidentifier() and not iskeyword(word) and not word.startswith("__")


# The variants of a cell are one function, so that what they share stands once; each keyword is fixed when it is made.


def _norm(p: Any, name: str, a: Any, norm: bool) -> Any:
    return layer_norm(a, getattr(p, f"gain_{name}"), getattr(p, f"shift_{name}")) if norm else a


def _rnn(z: Any, s: Any, p: Any = None, *, squash: Callable[[Any], Any], norm: bool) -> dict[str, Any]:
    return dict(h=squash(_norm(p, "h", z.h, norm)))


def _lstm(
    z: Any, s: Any, p: Any = None, *, forget: bool, peephole: bool, coupled: bool, project: bool, norm: bool
) -> dict[str, Any]:
    def gate(name: str, a: Any, c: Any) -> Any:
        return sigmoid(_norm(p, name, a + getattr(p, f"c{name}") * c if peephole else a, norm))

    i, g = gate("i", z.i, s.c), tanh(_norm(p, "g", z.g, norm))
    if coupled:
        f = 1 - i
    elif forget:
        f = gate("f", z.f, s.c)
    else:
        f = None
    c = (s.c if f is None else f * s.c) + i * g
    o = gate("o", z.o, c)
    h = o * tanh(_norm(p, "c", c, norm))
    gates = dict(i=i, g=g, o=o) if f is None else dict(i=i, f=f, g=g, o=o)
    return dict(h=p.hr(h) if project else h, c=c, **gates)


def _gru(z: Any, s: Any, p: Any = None, *, before: bool, norm: bool) -> dict[str, Any]:
    r, u = sigmoid(_norm(p, "r", z.r, norm)), sigmoid(_norm(p, "z", z.z, norm))
    n = tanh(_norm(p, "n", z.n + p.hn(r * s.h) if before else z.n.x + r * z.n.h, norm))
    return dict(h=(1 - u) * n + u * s.h, r=r, z=u, n=n)


def _named(plain: str, *variants: tuple[str, bool]) -> str:
    return " ".join([*(word for word, on in variants if on), plain])


@cache
def rnn(nonlinearity: str = "tanh", norm: bool = False) -> Cell:
    """h = tanh(z.h), or relu. `gated.RNN` gives the variants and sources."""
    one_of("RNN nonlinearity", nonlinearity, ("tanh", "relu"))
    return cell(
        gates="h",
        states="h",
        norms="h" if norm else "",
        name=_named(f"{nonlinearity} RNN", ("layer-norm", norm)),
        torch="" if norm else f"rnn_{nonlinearity}",
    )(partial(_rnn, squash=tanh if nonlinearity == "tanh" else relu, norm=norm))


@cache
def lstm(
    forget: bool = True, peephole: bool = False, coupled: bool = False, project: bool = False, norm: bool = False
) -> Cell:
    """Gates i f g o around a cell state c. `gated.LSTM` gives the variants and sources."""
    want(forget or not coupled, "LSTM", "coupled=True with a forget gate to couple", "forget_gate=False")
    gates = "i f g o" if forget and not coupled else "i g o"
    return cell(
        gates=gates,
        states="h c",
        vectors=" ".join(f"c{gate}" for gate in gates.split() if gate != "g") if peephole else "",
        norms=f"{gates} c" if norm else "",
        name=_named(
            "LSTM" if forget else "LSTM without forget gate",
            ("layer-norm", norm),
            ("peephole", peephole),
            ("coupled", coupled),
            ("projected", project),
        ),
        project="hr" if project else "",
        keep="-i" if coupled else "f" if forget else "",
        write="i" if forget and not coupled else "",
        torch="" if norm or peephole or coupled or not forget else "lstm",
    )(partial(_lstm, forget=forget, peephole=peephole, coupled=coupled, project=project, norm=norm))


@cache
def gru(reset: str = "after", norm: bool = False) -> Cell:
    """Gates r z n around h. `gated.GRU` gives the variants and sources."""
    one_of("GRU reset", reset, ("after", "before"))
    before = reset == "before"
    return cell(
        gates="r z n",
        states="h",
        split="" if before else "n",
        input_only="n" if before else "",
        recur="hn" if before else "",
        norms="r z n" if norm else "",
        name=_named("GRU", ("layer-norm", norm), ("reset-before", before)),
        keep="z",
        torch="" if norm or before else "gru",
    )(partial(_gru, before=before, norm=norm))
