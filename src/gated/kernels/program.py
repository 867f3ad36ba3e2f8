"""A cell's equations as data, that print and are read back; `kernels.trace` makes them from a cell.

    cell LSTM
    gates i f g o
    states h c
    z.* = W x + b + R s.h + b'
    i = sigmoid(z.i)
    g = tanh(z.g)
    f = sigmoid(z.f)
    v1 = f * s.c
    v2 = i * g
    c = v1 + v2
    o = sigmoid(z.o)
    v3 = tanh(c)
    h = o * v3
    return h, c, i, f, g, o

One value a line, each named once and before it is used. z.k are the pre-activations, s.k the states before the step,
p.k the cell's own parameters; a value bears the name under which the cell returns it, or a number after v.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, NoReturn

from gated._check import InputError, refuse, want

LENGTH, VALUES, WORDS = 60_000, 400, 64  # of a program: characters, values, and names in one line of its head
INFIX = ("+", "-", "*", "/")
ARITY = dict.fromkeys(INFIX, 2) | dict(neg=1, sigmoid=1, tanh=1, relu=1, layer_norm=3, noise=2, drop=1)
HEAD = ("gates", "states", "split", "input_only", "vectors", "norms", "project", "recur")
LANGUAGE = "+ - * / and ** 2 of values and numbers, sigmoid, tanh, relu, layer_norm and the cell's own p"


class Unsupported(InputError):
    """A cell does what a step program cannot say; the loop runs it all the same."""


class Value(NamedTuple):
    """name = op(args); an argument is a number or the name of a value: v1, z.i, z.n.x, s.c, p.ci."""

    name: str
    op: str  # a key of ARITY, or "p.k" for a map
    args: tuple[str | float, ...]

    def __str__(self) -> str:
        args = [_text(arg) for arg in self.args]
        if self.op in INFIX:
            return f"{self.name} = {args[0]} {self.op} {args[1]}"
        return f"{self.name} = -{args[0]}" if self.op == "neg" else f"{self.name} = {self.op}({', '.join(args)})"


@dataclass(frozen=True)
class Program:
    """One step of a cell: its declaration, its values in order, and what it returns under which name.

    main is what R multiplies: s.h, or with recurrent dropout a masked copy, whose values then come first.
    """

    name: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    split: tuple[str, ...]
    input_only: tuple[str, ...]
    vectors: tuple[str, ...]
    norms: tuple[str, ...]
    project: str
    recur: str
    main: str
    values: tuple[Value, ...]
    results: tuple[tuple[str, str | float], ...]

    def __str__(self) -> str:
        head = [f"cell {self.name}"]
        for word in HEAD:
            names = getattr(self, word)
            head += [f"{word} {names if isinstance(names, str) else ' '.join(names)}"] if names else []
        body = [str(value) for value in self.values]
        at = [value.name for value in self.values].index(self.main) + 1 if self.main != "s.h" else 0
        body.insert(at, f"z.* = W x + b + R {self.main} + b'")
        back = [name if name == arg else f"{name}={_text(arg)}" for name, arg in self.results]
        return "\n".join([*head, *body, f"return {', '.join(back)}", ""])

    @property
    def narrow(self) -> str:
        """The width of h: P with a projection, or H as everything else."""
        return "P" if self.project else "H"

    def leaves(self) -> dict[str, str]:
        """What is there before the first value, and how wide it is."""
        halves = [f"{gate}.{half}" for gate in self.split for half in "xh"]
        whole = [gate for gate in self.gates if gate not in self.split]
        names = [f"z.{k}" for k in (*whole, *halves)] + [f"s.{k}" for k in self.states]
        names += [f"p.{k}" for k in self.own]
        return dict.fromkeys(names, "H") | {"s.h": self.narrow}

    @property
    def own(self) -> tuple[str, ...]:
        """The cell's own vectors, then gain and shift of each norm, in the order of `Cell.shapes`."""
        return (*self.vectors, *(f"{kind}_{name}" for name in self.norms for kind in ("gain", "shift")))


def _text(arg: str | float) -> str:
    return arg if isinstance(arg, str) else repr(arg).removesuffix(".0")


class Tape:
    """Values as they are written down, each checked: what `trace` and `parse` share."""

    def __init__(
        self,
        head: Mapping[str, Any],
        fail: Callable[[object, object], NoReturn],
        where: Callable[[], str],
        grad: bool = True,
    ) -> None:
        _check_head(head, fail)
        self.program = Program(**head, main="s.h", values=(), results=())
        self.fail, self.where, self.grad = fail, where, grad
        self.widths = self.program.leaves()
        self.values: list[Value] = []
        self.main = "s.h"

    def refuse(self, expected: str, got: object, todo: str) -> NoReturn:
        """Refuse what no path could run. `fail` is for what a program cannot say."""
        refuse(self.where(), expected, got, todo)

    def add(self, op: str, *args: str | float, name: str = "") -> str:
        """Write a value down; its name."""
        name = name or f"?{len(self.values)}"
        maps = {f"p.{k}": w for k, w in ((self.program.project, "HP"), (self.program.recur, "PH")) if k}
        arity = 1 if op in maps else ARITY.get(op, 0)
        if not arity:
            self.fail(LANGUAGE, op)
        if len(args) != arity:
            self.fail(f"{op} of {arity}", f"of {len(args)}")
        if len(self.values) == VALUES:
            self.fail(f"at most {VALUES} values", "more")
        for arg in args:
            if isinstance(arg, str) and arg not in self.widths:
                self.fail("a value that is there by then", arg)
        if op in ("noise", "drop"):
            width = self._noise(op, args)
        else:
            width = self._width(op, args, maps)
        self.widths[name] = width
        self.values.append(Value(name, op, args))
        return name

    def _noise(self, op: str, args: tuple[str | float, ...]) -> str:
        rate = args[0]
        if isinstance(rate, str) or not 0 <= rate <= 1:
            self.fail("a rate from 0 to 1", _text(rate))
        if op == "drop":
            return self.program.narrow
        if not isinstance(args[1], str) or not args[1].startswith("s."):
            self.fail("noise(rate, s.k) for a state k", _text(args[1]))
        return self.widths[args[1]]

    def _width(self, op: str, args: tuple[str | float, ...], maps: Mapping[str, str]) -> str:
        widths = {self.widths[arg] for arg in args if isinstance(arg, str)}
        if not widths or isinstance(args[0], str) < (op == "layer_norm"):
            self.fail("a value to compute with", "numbers only")
        if len(widths) > 1:
            self.fail("values of one width", "hidden_size and proj_size together")
        width = widths.pop()
        if op in maps:
            into, out = (self.program.narrow if side == "P" else "H" for side in maps[op])
            if width != into:
                self.fail(f"{op} of a value as wide as {'h' if into == 'P' else 'hidden_size'}", "one that is not")
            return out
        return width

    def finish(self, results: Mapping[str, str | float]) -> Program:
        """The program, without the values that nothing needs, and with names."""
        for state in self.program.states:
            arg = results.get(state)
            if arg is None:
                self.fail(f"a result {state}", ", ".join(results))
            if isinstance(arg, str) and self.widths[arg] != self.widths[f"s.{state}"]:
                narrow = "proj_size, as the map of project gives it" if state == "h" else "hidden_size"
                self.refuse(f"a new {state} as wide as the old", "another width", f"Its width is {narrow}.")
        needed = {arg for arg in (*results.values(), self.main) if isinstance(arg, str)}
        for value in reversed(self.values):
            needed |= {arg for arg in value.args if value.name in needed and isinstance(arg, str)}
        names: dict[str | float, str] = {}
        for result, arg in results.items():
            if isinstance(arg, str) and "." not in arg:
                names.setdefault(arg, result)
        free = (f"v{k}" for k in range(1, 10**6) if f"v{k}" not in results)
        values = []
        for value in self.values:
            if value.name in needed:
                name = names.setdefault(value.name, "") or next(free)
                names[value.name] = name
                values.append(Value(name, value.op, tuple(names.get(arg, arg) for arg in value.args)))
        named = tuple((result, names.get(arg, arg)) for result, arg in results.items())
        head = {word: getattr(self.program, word) for word in ("name", *HEAD)}
        return Program(**head, main=names.get(self.main, self.main), values=tuple(values), results=named)


WORD = r"[^\s\d.,=()*/+-][^\s.,=()*/+-]*"  # c̃ and σ are names too
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
ATOM = rf"(?:{WORD}(?:\.{WORD}){{0,2}}|{NUMBER})"
ASSIGN = re.compile(rf"({WORD}) = (.+)")
BINARY = re.compile(rf"({ATOM}) ([-+*/]) ({ATOM})")
NEGATIVE = re.compile(rf"-({WORD}(?:\.{WORD}){{0,2}})")
CALL = re.compile(rf"({WORD}(?:\.{WORD})?)\(({ATOM}(?:, {ATOM}){{0,2}})\)")
GATES = re.compile(r"z\.\* = W x \+ b \+ R (\S+) \+ b'")
RESULT = re.compile(rf"({WORD})(?:=({ATOM}))?")


@cache
def parse(text: str) -> Program:
    """The program that prints so: parse(str(program)) == program. Refuses any other text by its first bad line."""
    want(len(text) <= LENGTH, "program", f"at most {LENGTH} characters", len(text))
    lines = text.removesuffix("\n").split("\n")
    at = 0

    def where() -> str:
        return f"program line {at + 1} `{lines[min(at, len(lines) - 1)][:80]}`"

    def fail(expected: object, got: object) -> NoReturn:
        refuse(where(), str(expected), got)

    if not lines[0].startswith("cell "):
        fail("cell and its name", "neither")
    head: dict[str, Any] = dict.fromkeys(HEAD, ()) | {"project": "", "recur": "", "name": lines[0][5:]}
    for word in HEAD:
        if at + 1 < len(lines) and lines[at + 1].startswith(f"{word} "):
            at += 1
            names = tuple(lines[at].split(" ")[1:])
            single = word in ("project", "recur")
            good = len(set(names)) == len(names) <= (1 if single else WORDS) and all(map(str.isidentifier, names))
            if not good:
                fail("one name" if single else f"at most {WORDS} names, each once", " ".join(names)[:80])
            head[word] = names[0] if single else names
    tape, gates = Tape(head, fail, where), 0
    for at in range(at + 1, len(lines) - 1):  # noqa: B020
        if match := GATES.fullmatch(lines[at]):
            last = tape.values[-1].name if tape.values else "s.h"
            if gates or match[1] != last or tape.widths[last] != tape.program.narrow:
                fail("z.* once, of s.h or of the value before it", match[1])
            gates, tape.main = at, match[1]
        else:
            _line(tape, lines[at], not gates)
    at = len(lines) - 1
    if not gates or not lines[at].startswith("return "):
        fail("z.* before, and at last a return", lines[at][:80])
    results: dict[str, str | float] = {}
    for part in lines[at][7:].split(", "):
        match = RESULT.fullmatch(part)
        arg = _number(match[2] or match[1]) if match else None
        if match is None or arg is None or match[1] in results or not match[1].isidentifier():
            fail("names, each once", part[:80])
        if isinstance(arg, str) and arg not in tape.widths:
            fail("a value that is there", arg)
        results[match[1]] = arg
    program = tape.finish(results)
    if str(program) != "\n".join(lines) + "\n":  # a dead value, or a name that is not the one it would be given
        fail("the text that such a program prints as", "another")
    return program


def _check_head(head: Mapping[str, Any], fail: Callable[[object, object], NoReturn]) -> None:
    gates, split, last = head["gates"], head["split"], head["input_only"]
    if not set(split) <= set(gates) or not set(last) < set(gates) or set(split) & set(last):
        fail("gates, split and input_only among them and disjoint", " ".join(gates))
    if last != gates[len(gates) - len(last) :]:
        fail("input_only gates in order at the end", " ".join(last))
    if "h" not in head["states"]:
        fail("a state h", " ".join(head["states"]))
    own = [*head["vectors"], *(f"{kind}_{k}" for k in head["norms"] for kind in ("gain", "shift"))]
    own += [word for word in (head["project"], head["recur"]) if word]
    if len(set(own)) < len(own):
        fail("one name for each parameter", " ".join(own))


def _number(text: str) -> str | float | None:
    if not re.fullmatch(NUMBER, text):
        return text
    number = float(text)
    return number if math.isfinite(number) else None


def _line(tape: Tape, line: str, early: bool) -> None:
    """One line of a program's body; before the line z.* there are no pre-activations."""
    match = ASSIGN.fullmatch(line)
    if match is None:
        tape.fail("name = value", line[:80])
    name, right = match.groups()
    if name in tape.widths or not name.isidentifier():
        tape.fail("a name not yet given", name[:80])
    if parts := BINARY.fullmatch(right):
        op, args = parts[2], (parts[1], parts[3])
    elif parts := NEGATIVE.fullmatch(right):
        op, args = "neg", (parts[1],)
    elif (parts := CALL.fullmatch(right)) and parts[1] not in ("neg", *INFIX):
        op, args = parts[1], tuple(parts[2].split(", "))
    else:
        tape.fail(LANGUAGE, right[:80])
    atoms = tuple(map(_number, args))
    if any(atom is None or (early and isinstance(atom, str) and atom.startswith("z.")) for atom in atoms):
        tape.fail("finite numbers, and z after the line z.*", right[:80])
    tape.add(op, *atoms, name=name)  # pyright: ignore[reportArgumentType]
