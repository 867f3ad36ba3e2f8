"""From a cell to its program: the equations run on symbols, which write down what is done to them."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Mapping
from functools import partial
from inspect import unwrap
from numbers import Real
from typing import Any, NoReturn

import torch
import torch.nn.functional as F

from gated._check import one_of, within
from gated.cells import EPSILON, Cell, refuse_name
from gated.kernels.program import HEAD, INFIX, LANGUAGE, WORDS, Program, Tape, Unsupported


def _infix(op: str, swapped: bool = False) -> Callable[[Any, Any], Any]:
    def apply(a: Any, b: Any) -> Any:
        return _record(a._tape, op, *((b, a) if swapped else (a, b)))

    return apply


def _refusal(used: str) -> Callable[..., Any]:
    def refuse(self: Any, *others: Any) -> Any:
        self._tape.fail(LANGUAGE, used)

    return refuse


class Symbol:
    """A value of a cell while it is traced: what is done to it is written on the tape."""

    __slots__ = ("_ref", "_tape")
    __hash__ = object.__hash__

    def __init__(self, tape: Tape, ref: str) -> None:
        self._tape, self._ref = tape, ref

    def __repr__(self) -> str:
        return f"<{self._ref}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("x", "h") and self._ref.startswith("z."):
            gate = self._ref.removeprefix("z.")
            self._tape.refuse(
                "the halves .x and .h of gates in split alone", f"{self._ref}.{name}", f"Add split={gate!r}."
            )
        if not hasattr(torch.Tensor, name):
            self._tape.refuse("what a tensor has", f".{name} of a value", "Mend the name.")
        self._tape.fail(LANGUAGE, f".{name} of a value")

    def __call__(self, *args: Any) -> NoReturn:
        self._tape.refuse(
            "a map, declared by project or recur", f"{self._ref}(…), which is a value", "Multiply with *."
        )

    __add__, __sub__, __mul__, __truediv__ = (_infix(op) for op in INFIX)
    __radd__, __rsub__, __rmul__, __rtruediv__ = (_infix(op, swapped=True) for op in INFIX)
    __iadd__ = __isub__ = __imul__ = __itruediv__ = _refusal("a change in place (a += b for a = a + b)")
    __bool__ = _refusal("a choice by a value (if, while, and, or, not)")
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = __contains__ = _refusal("a comparison of values")
    __int__ = __float__ = __complex__ = __index__ = __round__ = _refusal("a value as one number")
    __getitem__ = __setitem__ = __len__ = __iter__ = __reversed__ = _refusal("indexing or counting in a value")
    __matmul__ = __rmatmul__ = __imatmul__ = _refusal("the operator @")
    __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __divmod__ = __abs__ = _refusal("a remainder or absolute value")
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = _refusal("an operator on bits")
    __rpow__ = __ipow__ = _refusal("a power")

    def __neg__(self) -> Symbol:
        return _record(self._tape, "neg", self)

    def __pos__(self) -> Symbol:
        return self

    def __pow__(self, power: Any) -> Symbol:
        if isinstance(power, Symbol) or power != 2:
            self._tape.fail(LANGUAGE, f"a power of {power}")
        return _record(self._tape, "*", self, self)

    def sigmoid(self) -> Symbol:
        return _record(self._tape, "sigmoid", self)

    def tanh(self) -> Symbol:
        return _record(self._tape, "tanh", self)

    def relu(self) -> Symbol:
        return _record(self._tape, "relu", self)

    def layer_norm(self, gain: Any, shift: Any, epsilon: float) -> Symbol:
        if epsilon != EPSILON:
            self._tape.fail(f"epsilon = {EPSILON}", epsilon)
        return _record(self._tape, "layer_norm", self, 1.0 if gain is None else gain, 0.0 if shift is None else shift)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        extra = {key: value for key, value in (kwargs or {}).items() if value is not False}  # inplace=False
        return _apply(TORCH.get(func), torch.overrides.resolve_name(func) or func.__name__, args, extra)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        return _apply(NUMPY.get(ufunc.__name__), f"numpy.{ufunc.__name__}", args, kwargs)


TORCH: dict[Any, str] = {
    torch.sigmoid: "sigmoid", torch.Tensor.sigmoid: "sigmoid", torch.special.expit: "sigmoid",
    torch.tanh: "tanh", torch.Tensor.tanh: "tanh",
    torch.relu: "relu", torch.Tensor.relu: "relu", F.relu: "relu",
    torch.add: "+", torch.sub: "-", torch.mul: "*", torch.div: "/", torch.neg: "neg",
}  # fmt: skip
CALL = (Cell.__module__, "__call__")  # the frame within which a cell's equations run
BIG = sys.float_info.max
NUMPY = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "negative": "neg", "tanh": "tanh"}


def _symbols(args: Any) -> list[Symbol]:
    if isinstance(args, Symbol):
        return [args]
    return [s for arg in args for s in _symbols(arg)] if isinstance(args, list | tuple) else []


def _apply(op: str | None, name: str, args: Any, extra: Mapping[str, Any]) -> Symbol:
    tape = _symbols((*args, *extra.values()))[0]._tape
    if any(isinstance(arg, torch.Tensor) for arg in args):
        tape.fail(LANGUAGE, "a Tensor from elsewhere")
    if op is None or extra:
        tape.fail(LANGUAGE, name + (f" with {', '.join(extra)}" if op else ""))
    return _record(tape, op, *args)


def _record(tape: Tape, op: str, *args: Any) -> Symbol:
    if torch.is_grad_enabled() != tape.grad:
        tape.fail(LANGUAGE, "gradients turned on or off, as by torch.no_grad")
    return Symbol(tape, tape.add(op, *(_atom(tape, arg) for arg in args)))


def _atom(tape: Tape, arg: Any) -> str | float:
    """A symbol's name, or a finite number; nothing else can stand in a program."""
    if isinstance(arg, Symbol) and arg._tape is tape:
        return arg._ref
    if isinstance(arg, Real) and not isinstance(arg, bool) and -BIG <= arg <= BIG:  # pyright: ignore[reportOperatorIssue]
        return float(arg) + 0.0  # no -0
    if isinstance(arg, Whole):
        arg._refuse_whole()
    what = f"the number {arg}" if isinstance(arg, Real) else f"a {type(arg).__name__}"
    tape.fail(LANGUAGE, "a value of another step" if isinstance(arg, Symbol) else what)


class Whole:
    """What a cell is handed that is no value: whoever computes with it has mistaken it for one."""

    def _refuse_whole(self, *others: Any) -> NoReturn:
        raise NotImplementedError

    def _compute(self, *others: Any) -> NoReturn:
        self._refuse_whole()

    __add__ = __sub__ = __mul__ = __truediv__ = __pow__ = __matmul__ = __neg__ = _compute
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rmatmul__ = _compute

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
        next(arg for arg in (*args, *(kwargs or {}).values()) if isinstance(arg, Whole))._refuse_whole()


class Map(Whole):
    """p.k of a map: to be called."""

    def __init__(self, name: str, tape: Tape, apply: Callable[[Any], Symbol]) -> None:
        self._name, self._tape, self._apply = name, tape, apply

    def __call__(self, a: Any) -> Symbol:
        if isinstance(a, Real):
            self._tape.refuse("a value of the cell", f"p.{self._name} of {a}", "A map takes H numbers or h.")
        return self._apply(a)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse_whole()

    def _refuse_whole(self, *others: Any) -> NoReturn:
        self._tape.refuse("a value", f"p.{self._name}, which is a map", f"Call it: p.{self._name}(…).")


class Names(Whole):
    """z, s and p of a cell on symbols: a value by each name, and an error that lists them."""

    def __init__(self, prefix: str, tape: Tape, named: Mapping[str, Any]) -> None:
        self.__prefix, self.__tape, self.__names = prefix, tape, tuple(named)
        self.__dict__.update(named)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse_name(self.__tape.where(), self.__prefix, name, self.__names)

    def _refuse_whole(self, *others: Any) -> NoReturn:
        names = " or ".join(f"{self.__prefix}.{name}" for name in self.__names)
        self.__tape.refuse(names or "a declared value", f"{self.__prefix} as a whole", "Name the value.")

    __call__ = __getitem__ = _refuse_whole


def trace(cell: Cell, *, zone: Mapping[str, float] | None = None, noise: bool = False, drop: float = 0.0) -> Program:
    """Run a cell's equations on symbols and write down what they do.

    zone: by state, the rate k of zoneout, s = k ⊙ s_{t-1} + (1 - k) ⊙ s' once the equations are done: the rate itself
        in evaluation, with `noise` a mask of that mean at each step (Krueger et al. 2017, eq. 3).
    drop: rate of the recurrent dropout: one mask a sequence, on what R and the cell's `recur` map see.

    A Python number that the equations read is the number it is now. Raises Unsupported, which names the line of the
    cell, for what a program cannot say, and another InputError for what no path can run.
    """
    for state, rate in (zone or {}).items():
        one_of(f"cell {cell.name} zoneout", state, cell.states)
        within(f"cell {cell.name} zoneout of {state}", rate, 0, 1)
    within(f"cell {cell.name} recurrent dropout", drop, 0, 1)
    rates = {state: float(zone[state]) for state in cell.states if zone and zone.get(state)}
    head = {word: getattr(cell, word) for word in HEAD} | {"name": " ".join(cell.name.split())[:200]}
    tape = Tape(head, partial(_unsupported, cell), partial(_where, cell), torch.is_grad_enabled())
    many = max(len(head[word]) for word in HEAD if word not in ("project", "recur"))
    if many > WORDS:
        tape.fail(f"at most {WORDS} gates, states, vectors and norms each", many)
    symbol = partial(Symbol, tape)
    mask = symbol(tape.add("drop", float(drop))) if drop else None
    s = {k: symbol(f"s.{k}") for k in cell.states}
    if mask is not None:
        tape.main = (mask * s["h"])._ref
    z: dict[str, Any] = {k: symbol(f"z.{k}") for k in cell.gates}
    z |= {k: Names(f"z.{k}", tape, {half: symbol(f"z.{k}.{half}") for half in "xh"}) for k in cell.split}
    p: dict[str, Any] = {k: symbol(f"p.{k}") for k in tape.program.own}
    if cell.project:
        p[cell.project] = Map(cell.project, tape, lambda a: _record(tape, f"p.{cell.project}", a))
    if cell.recur:
        p[cell.recur] = Map(
            cell.recur, tape, lambda a: _record(tape, f"p.{cell.recur}", a if mask is None else mask * a)
        )
    values = dict(cell(Names("z", tape, z), Names("s", tape, s), Names("p", tape, p)))
    for name in values:
        if not isinstance(name, str) or not name.isidentifier():
            tape.fail("results by names that are words", repr(name))
    for state, rate in rates.items():
        k = symbol(tape.add("noise", rate, f"s.{state}")) if noise else rate
        values[state] = k * s[state] + (1 - k) * values[state]
    return tape.finish({name: _atom(tape, value) for name, value in values.items()})


def _where(cell: Cell) -> str:
    """The cell, and its line that is being run, or its first."""
    equations: Any = cell.equations
    while isinstance(equations, partial):
        equations = equations.func
    equations = unwrap(equations)
    code = getattr(equations, "__code__", None) or getattr(type(equations).__call__, "__code__", None)
    if code is None:
        return f"cell {cell.name}"
    line, frame = 0, sys._getframe(1)
    while frame is not None and (frame.f_globals.get("__name__"), frame.f_code.co_name) != CALL:
        line = line or (frame.f_lineno if frame.f_code.co_filename == code.co_filename else 0)
        frame = frame.f_back
    line = line if frame is not None and line else code.co_firstlineno  # all had been run
    source = linecache.getline(code.co_filename, line).strip()
    return f"cell {cell.name}, {code.co_filename}:{line}" + (f" `{source}`" if source else "")


def _unsupported(cell: Cell, expected: object, got: object) -> NoReturn:
    """Raise `Unsupported` for what the loop can run."""
    todo = "Say it with those, or let the loop run it: path='loop'."
    raise Unsupported(f"{_where(cell)}: expected {expected}, got {got}. {todo}")
