"""A program as a plan: instructions over tiles of rows, forward, and backward with no more saved than it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from gated._check import one_of, want
from gated.kernels.derive import SMOOTH, Gradients, Step, backward, blocks, forward
from gated.kernels.instructions import (
    CONST,
    DPREV,
    DSEED,
    DSTATE,
    DVECTOR,
    EXTRA,
    NEXT,
    OP,
    SAVED,
    STATE,
    VECTOR,
    WATCH,
    Pass,
    Y,
    Z,
    say,
)
from gated.kernels.program import Program, Unsupported

FREE = ("number", "vector", "noise", "drop")  # there in the backward pass too, or drawn again
LIMITS = dict(
    saved=255, slots=255, watched=255, vectors=200, constants=200, blocks=64, scalars=64, extras=64, instructions=4096
)
CHEAP = ("add", "sub", "mul", "div", "neg")


class Column(NamedTuple):
    """Where a value lies, and whether it is as narrow as a projected h."""

    operand: int
    narrow: bool


@dataclass(frozen=True)
class Lowered:
    """A plan, `_native.Plan(**spec)`, and where it leaves what was asked for.

    columns: of each name in keep, SAVED j, or Y for what is h itself.
    watches: of each name in watch, WATCH j.
    """

    program: Program
    spec: dict[str, Any]
    columns: dict[str, Column]
    watches: dict[str, Column]

    def __str__(self) -> str:
        names = self._names()
        lines = [f"plan of {self.program.name}"]
        for word, held in (("keep", self.columns), ("watch", self.watches)):
            where = [f"{name} in {names[column.operand]}" for name, column in held.items()]
            lines += [f"{word} {', '.join(where)}"] if where else []
        lines += ["forward", *(f"    {say(code, names)}" for code in self.spec["forward"])]
        names |= {Z + k: f"d{name}" for name, k in blocks(self.program).block.items()}
        lines += ["backward", *(f"    {say(code, names)}" for code in self.spec["backward"])] * bool(
            self.spec["backward"]
        )
        return "\n".join([*lines, ""])

    def _names(self) -> dict[int, str]:
        """Operands as a program would call them."""
        names = {Y: "h"} | {Z + k: name for name, k in blocks(self.program).block.items()}
        for k, state in enumerate(self.program.states):
            names |= {STATE + k: f"s.{state}", NEXT + k: state, DSTATE + k: f"d{state}", DPREV + k: f"ds.{state}"}
        for k, vector in enumerate(self.program.own):
            names |= {VECTOR + k: f"p.{vector}", DVECTOR + k: f"dp.{vector}"}
        names |= {CONST + k: f"{value:.6g}" for k, value in enumerate(self.spec["constants"])}
        for k in range(256):
            names |= {SAVED + k: f"saved[{k}]", DSEED + k: f"dsaved[{k}]", WATCH + k: f"watch[{k}]"}
        return names


def lower(
    program: Program,
    *,
    keep: Sequence[str] = (),
    train: bool = False,
    seeds: Sequence[str] = (),
    watch: Sequence[str] = (),
) -> Lowered:
    """The plan of a program.

    keep: results wanted of every step.
    train: a backward pass follows; save what it needs.
    seeds: those of keep that have a gradient of their own.
    watch: those of keep whose whole gradient is wanted of every step.
    """
    return _lower(program, tuple(keep), train, tuple(seeds), tuple(watch))


@cache
def _lower(
    program: Program, keep: tuple[str, ...], train: bool, seeds: tuple[str, ...], watch: tuple[str, ...]
) -> Lowered:
    where, results = f"plan of {program.name}", dict(program.results)
    for name in keep:
        one_of(f"{where} keep", name, results)
    for name in (*seeds, *watch):
        one_of(f"{where} seeds and watch", name, keep)
    want(train or not (seeds or watch), where, "train=True for seeds and watch", "train=False")
    for name in watch:
        if str(results[name]).startswith("s."):
            got = f"{name}, which is {results[name]}, a value of the step before"
            raise Unsupported(f"{where}: expected values of the step itself to watch, got {got}. Ask for path='loop'.")
    step = forward(program, apart=watch)
    h = step.new[program.states.index("h")]
    kept = [node for node in dict.fromkeys(step.at[name] for name in keep) if node != h]
    gradients = backward(step, program, {step.at[name] for name in seeds} & set(kept)) if train else None
    watched = {node: WATCH + k for k, node in enumerate(dict.fromkeys(step.at[name] for name in watch))}
    memory = _memory(step, h, gradients, kept, watched)
    constants: dict[float, int] = {}
    spec = _shape(program) | _forward(program, step, h, memory, constants)
    spec |= _backward(program, step, h, memory, gradients, watched, constants, spec["slots"][0]) if gradients else {}
    spec |= dict(saved=len(memory.saved), scalars=len(memory.scalars), constants=list(constants))
    columns = {name: Y if step.at[name] == h else SAVED + memory.saved[step.at[name]] for name in keep}
    narrow = {name: step.graph.narrow[step.at[name]] for name in keep}
    sizes = spec | dict(slots=max(spec["slots"]), constants=len(constants), blocks=len(blocks(program).block))
    sizes |= dict(instructions=max(len(spec["forward"]), len(spec["backward"])))
    for word, most in LIMITS.items():
        if sizes[word] > most:
            raise Unsupported(f"{where}: expected at most {most} {word}, got {sizes[word]}. Ask for path='loop'.")
    return Lowered(
        program,
        spec,
        {name: Column(columns[name], narrow[name]) for name in keep},
        {name: Column(watched[step.at[name]], narrow[name]) for name in watch},
    )


class Memory(NamedTuple):
    """What forward leaves for backward."""

    saved: dict[int, int]  # column by node
    carried: dict[int, int]  # column by state
    scalars: dict[int, int]  # scalar by norm


def _memory(step: Step, h: int, gradients: Gradients | None, kept: Sequence[int], watched: Iterable[int]) -> Memory:
    """Save what is dear to compute again: squashed and normalised values, products, and old states that slopes need.

    What + - * / make of these is made again; it is saved only where something that it takes is not there.
    """
    saved = {node: column for column, node in enumerate(kept)}
    if gradients is None:
        return Memory(saved, {}, {})
    nodes, old = step.graph.nodes, step.at["s.h"]
    needed: set[int] = set()
    todo, seen = _roots(gradients, watched), set()
    while todo:
        for arg in nodes[todo.pop()].args:
            if arg < step.size:
                needed.add(arg)
            elif arg not in seen:
                seen.add(arg)
                todo.append(arg)
    maps = {nodes[product].args[0] for product in gradients.products}
    dear = {node for node in needed - {h} if nodes[node].op in (*SMOOTH, "norm", "product", "z")}
    for node in sorted((maps | {step.main} | dear) - {old}):
        saved.setdefault(node, len(saved))
    carried: dict[int, int] = {}
    for node in sorted(needed - {old, h} - saved.keys()):
        if nodes[node].op == "state":
            k = nodes[node].of
            carried[k] = saved.setdefault(step.new[k], len(saved))
    there: set[int] = {h, old}
    for node in range(step.size):
        op, args, of = nodes[node]
        again = op in FREE or (op == "state" and of in carried) or (op in CHEAP and all(arg in there for arg in args))
        if node in needed and node not in there and not again:
            saved.setdefault(node, len(saved))
        if again or node in saved:
            there.add(node)
    norms = sorted(node for node in needed if nodes[node].op == "norm")
    return Memory(saved, carried, {node: k for k, node in enumerate(norms)})


def _roots(gradients: Gradients, watched: Iterable[int]) -> list[int]:
    found = [*gradients.z, *gradients.old, *(d for _, d in gradients.vectors), *gradients.products.values()]
    return [node for node in (*found, *(gradients.total.get(node) for node in watched)) if node is not None]


def _shape(program: Program) -> dict[str, Any]:
    z, states = blocks(program), program.states
    return dict(
        x_rows=list(z.x_rows), h_rows=list(z.h_rows), both=z.both, states=len(states), h=states.index("h"),
        project=bool(program.project), recur=bool(program.recur), vectors=len(program.own),
    )  # fmt: skip


def _forward(program: Program, step: Step, h: int, memory: Memory, constants: dict[float, int]) -> dict[str, Any]:
    goals = {node: [SAVED + column] for node, column in memory.saved.items()}
    goals.setdefault(h, []).append(Y)
    carry = []
    for k, new in enumerate(step.new):
        if program.states[k] == "h":
            carry.append(Y)
        elif (column := memory.carried.get(k, memory.saved.get(new))) is not None:
            carry.append(SAVED + column)
        else:
            carry.append(NEXT + k)
            goals.setdefault(new, []).append(NEXT + k)
    there = {step.at[f"s.{name}"]: STATE + k for k, name in enumerate(program.states)}
    there |= {n: Z + node.of for n, node in enumerate(step.graph.nodes[: step.size]) if node.op == "z"}
    ahead = Pass(step.graph, there, goals, constants, memory.scalars)
    ahead.count([step.gates, *goals])
    for node in (step.gates, *sorted(goals)):
        ahead.reach(node)
    spec = dict(slots=[ahead.slots(), 0], forward=list(map(tuple, ahead.code)), carry=carry)
    return spec | dict(backward=[], outer=[], main=STATE + program.states.index("h"), extras=0, watched=0)


def _backward(
    program: Program,
    step: Step,
    h: int,
    memory: Memory,
    gradients: Gradients,
    watched: dict[int, int],
    constants: dict[float, int],
    ahead: int,
) -> dict[str, Any]:
    graph = step.graph
    there = {node: SAVED + column for node, column in memory.saved.items()} | {h: Y}
    for k, name in enumerate(program.states):
        if name == "h" or k in memory.carried:
            there[step.at[f"s.{name}"]] = STATE + k
    for n, node in enumerate(graph.nodes[step.size :], step.size):
        if node.op == "dstate":
            there[n] = DSTATE + node.of
        elif node.op == "dseed":
            there[n] = DSEED + memory.saved[node.of]

    goals: dict[int, list[int]] = {}
    zeros: list[tuple[int, bool]] = []

    def place(node: int | None, goal: int, narrow: bool) -> None:
        if node is None:
            zeros.append((goal, narrow))
        else:
            goals.setdefault(node, []).append(goal)

    for k, node in enumerate(gradients.z):
        place(node, Z + k, False)
    outer, extras = [], 0
    for product, d in gradients.products.items():
        a = graph.nodes[product].args[0]
        into = next((goal for goal in goals.get(d, []) if goal & ~255 in (Z, EXTRA)), None)
        if into is None:
            into, extras = EXTRA + extras, extras + 1
            place(d, into, False)
        source = there[a] if a == step.at["s.h"] else SAVED + memory.saved[a]
        outer.append((graph.nodes[product].of, source, into))
    for node, goal in watched.items():
        place(gradients.total.get(node), goal, graph.narrow[node])
    for k, node in enumerate(gradients.old):
        place(node, DPREV + k, graph.narrow[step.at[f"s.{program.states[k]}"]])

    back = Pass(graph, there, goals, constants, memory.scalars)
    back.count([*goals, *(d for _, d in gradients.vectors)])
    for goal, narrow in zeros:
        back.copy(goal, back.constant(0.0), narrow)
    tasks = [(node, -1) for node in goals] + [(node, vector) for vector, node in gradients.vectors]
    for node, vector in sorted(tasks):
        if vector < 0:
            back.reach(node)
        else:
            back.accumulate(vector, node)
    if not any(code.op == OP["dgates"] for code in back.code):  # nobody wants it, yet it is part of every plan
        back.reach(gradients.gates)
    main = STATE + program.states.index("h") if step.main == step.at["s.h"] else SAVED + memory.saved[step.main]
    slots = [ahead, back.slots()]
    return dict(
        slots=slots, backward=list(map(tuple, back.code)), main=main, outer=outer, extras=extras, watched=len(watched)
    )
