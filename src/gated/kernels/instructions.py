"""The instructions of a plan: which there are, how they are chosen from a graph, and how they read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gated.kernels.derive import Graph

# An operand is 256 times its kind, and an index.
KINDS = ("NONE", "SLOT", "Z", "STATE", "NEXT", "SAVED", "VECTOR", "CONST", "DSTATE", "DPREV", "DSEED", "EXTRA",
         "SCALAR", "DVECTOR", "Y", "WATCH")  # fmt: skip
(NONE, SLOT, Z, STATE, NEXT, SAVED, VECTOR, CONST, DSTATE, DPREV, DSEED, EXTRA, SCALAR, DVECTOR, Y, WATCH) = range(
    0, 16 * 256, 256
)
OPS = ("copy", "add", "sub", "mul", "div", "neg", "fma", "fms", "fnma", "sigmoid", "tanh", "relu", "dsigmoid", "dtanh",
       "drelu", "norm", "dnorm", "acc", "accmul", "noise", "gates", "dgates", "product", "dproduct", "dsigmoidmul",
       "dtanhmul")  # fmt: skip
OP = {name: number for number, name in enumerate(OPS)}
INPLACE = {OP[name] for name in OPS[:15]} | {OP["dsigmoidmul"], OP["dtanhmul"]}  # may write over an argument


class Instruction(NamedTuple):
    """dst = op(a, b, c)"""

    op: int
    dst: int
    a: int = NONE
    b: int = NONE
    c: int = NONE
    imm: int = 0


@dataclass
class Pass:
    """One direction's instructions as they are chosen; a temporary is a negative operand until `slots` places it."""

    graph: Graph
    there: dict[int, int]  # operand of each node that takes no instruction
    goals: dict[int, list[int]]  # every place where a node must be written
    constants: dict[float, int]
    scalars: dict[int, int]  # of each norm whose deviation is kept
    uses: dict[int, int] = field(default_factory=dict)
    code: list[Instruction] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    temporaries: int = 0

    def count(self, roots: Collection[int]) -> None:
        """How often each node is wanted: what is wanted once can be part of what wants it."""
        todo, seen = list(roots), set()
        for node in roots:
            self.uses[node] = self.uses.get(node, 0) + 1
        while todo:
            node = todo.pop()
            if node not in seen and node not in self.there:
                seen.add(node)
                todo += self.graph.nodes[node].args
                for arg in self.graph.nodes[node].args:
                    self.uses[arg] = self.uses.get(arg, 0) + 1

    def alone(self, node: int, *ops: str) -> bool:
        """A node of one of these operations that one other wants, and nobody else sees."""
        one = self.uses.get(node) == 1 and node not in self.there and node not in self.goals
        return one and self.graph.nodes[node].op in ops

    def rest(self, node: int) -> int | None:
        """u of 1 - u."""
        one, u = self.graph.nodes[node].args if self.alone(node, "sub") else (0, 0)
        return u if self.graph.nodes[one] == ("number", (), 1.0) else None

    def share(self, node: int) -> bool:
        """(1 - u) ⊙ a, which is best done as a - u ⊙ a."""
        return self.alone(node, "mul") and any(self.rest(arg) is not None for arg in self.graph.nodes[node].args)

    def choose(self, node: int) -> tuple[str, tuple[int, ...], Any]:
        """An instruction for a node that does as much of its arguments' work as one can."""
        nodes, (op, args, of) = self.graph.nodes, self.graph.nodes[node]
        a, b = (*args, 0, 0)[:2]
        if op == "add":
            for one, other in ((a, b), (b, a)):
                if self.alone(one, "dgates", "dproduct"):
                    return nodes[one].op, (*nodes[one].args, other), nodes[one].of
            if self.alone(b, "mul") and not (self.share(b) and self.alone(a, "mul")):
                return "fma", (*nodes[b].args, a), of
            if self.alone(a, "mul"):
                return "fma", (*nodes[a].args, b), of
        elif op == "sub":
            if self.alone(b, "mul"):
                return "fnma", (*nodes[b].args, a), of
            if self.alone(a, "mul"):
                return "fms", (*nodes[a].args, b), of
        elif op == "mul":
            for factor, other in ((a, b), (b, a)):
                if (u := self.rest(factor)) is not None:
                    return "fnma", (u, other, other), of
        elif op == "neg" and self.alone(a, "mul"):
            return "fnma", (*nodes[a].args, self.graph.number(0.0)), of
        elif op in ("dsigmoid", "dtanh") and self.alone(a, "mul") and not self.share(a):
            return f"{op}mul", (nodes[a].args[0], b, nodes[a].args[1]), of
        return op, args, of

    def value(self, node: int) -> int:
        """The operand that holds a node, after the instructions that it takes."""
        todo = [node]
        while todo:
            now = todo[-1]
            if now in self.there:
                todo.pop()
                continue
            op, args, of = self.choose(now)
            if op == "number":
                self.there[now] = self.constant(of)
            elif op == "vector":
                self.there[now] = VECTOR + of
            elif missing := [arg for arg in args if arg not in self.there]:
                todo.append(missing[-1] if op in ("fma", "fms", "fnma") else missing[0])
            else:
                self.write(now, op, [self.there[arg] for arg in args], of)
        return self.there[node]

    def constant(self, value: float) -> int:
        return CONST + self.constants.setdefault(value, len(self.constants))

    def write(self, node: int, op: str, operands: list[int], of: Any) -> None:
        """Add the instruction that makes a node of operands which are there."""
        imm = int(self.graph.narrow[node])
        if op == "gates":
            self.code.append(Instruction(OP[op], NONE, *operands))
            self.there[node] = NONE
            return
        if op == "norm":
            operands += [NONE, SCALAR + self.scalars[node]] if node in self.scalars else []
        elif op == "dnorm":
            operands += [SCALAR + self.scalars[self.graph.nodes[node].args[1]]]
        elif op == "dgates":
            operands = [NONE, *operands]
        elif op in ("product", "dproduct"):
            imm |= of << 8
        elif op == "noise":
            operands, imm = [NONE, self.constant(of[0])], imm | of[1] << 8
        elif op == "drop":
            op, operands, imm = "noise", [NONE, self.constant(of)], imm | 2 | 255 << 8
        goals = self.goals.get(node, [])
        first = next((goal for goal in goals if goal & ~255 != DPREV), None)  # one that can be read again
        if first is None and len(goals) == 1 and self.uses[node] == 1:
            first = goals[0]
        if first is None:
            self.temporaries += 1
        self.there[node] = -self.temporaries if first is None else first
        a, b, c = (*operands, NONE, NONE, NONE)[:3]
        self.code.append(Instruction(OP[op], self.there[node], a, b, c, imm))
        self.spread(node)

    def spread(self, node: int) -> None:
        """Copy a node to every place that wants it and has it not."""
        self.done.add(node)
        for goal in self.goals.get(node, []):
            if goal != self.there[node]:
                self.copy(goal, self.there[node], self.graph.narrow[node])

    def copy(self, goal: int, source: int, narrow: bool) -> None:
        self.code.append(Instruction(OP["copy"], goal, source, imm=int(narrow)))

    def reach(self, node: int) -> None:
        """Compute a node if need be, and leave it wherever it is wanted."""
        self.value(node)
        if node not in self.done:
            self.spread(node)

    def accumulate(self, vector: int, node: int) -> None:
        """Add a node, summed over the rows, to a vector's gradient."""
        product = self.alone(node, "mul")
        operands = [self.value(arg) for arg in (self.graph.nodes[node].args if product else (node,))]
        self.code.append(Instruction(OP["accmul" if product else "acc"], DVECTOR + vector, *operands))

    def slots(self) -> int:
        """Give the temporaries slots, each free again after its last use; how many that takes."""
        last = {operand: n for n, (_, *operands, _) in enumerate(self.code) for operand in operands if operand < 0}
        place: dict[int, int] = {}
        free: list[int] = []
        count = 0
        for n, (op, dst, *sources, imm) in enumerate(self.code):
            done = [place[operand] for operand in set(sources) if operand < 0 and last[operand] == n]
            free += done if op in INPLACE else []
            if dst < 0:
                if not free:
                    free, count = [SLOT + count], count + 1
                place[dst] = min(free)
                free.remove(place[dst])
                free += [place[dst]] if last[dst] == n else []  # nobody reads it
            free += [] if op in INPLACE else done
            d, a, b, c = (place.get(operand, operand) for operand in (dst, *sources))
            self.code[n] = Instruction(op, d, a, b, c, imm)
        return count


SIGNS = {"copy": "{a}", "add": "{a} + {b}", "sub": "{a} - {b}", "mul": "{a} * {b}", "div": "{a} / {b}", "neg": "-{a}",
         "fma": "{a} * {b} + {c}", "fms": "{a} * {b} - {c}", "fnma": "{c} - {a} * {b}",
         "dsigmoid": "{a} * sigmoid' {b}", "dtanh": "{a} * tanh' {b}", "drelu": "{a} * relu' {b}",
         "dsigmoidmul": "{a} * {c} * sigmoid' {b}", "dtanhmul": "{a} * {c} * tanh' {b}",
         "norm": "norm {a}", "dnorm": "{a} * norm' {b}", "acc": "sum of {a}", "accmul": "sum of {a} * {b}",
         "gates": "W x + b + R {a} + b'", "dgates": "R^T dz", "product": "{map} {a}",
         "dproduct": "{map}^T {a}"}  # fmt: skip


def say(code: tuple[int, ...], names: Mapping[int, str]) -> str:
    """An instruction as a line: saved[1] = sigmoid z.f. Operands without a name go by their kind and index."""
    op, dst, *sources, imm = code
    shown = {
        key: names.get(source, f"{KINDS[source >> 8].lower()}[{source & 255}]")
        for key, source in zip("dabc", (dst, *sources), strict=True)
    }
    name = OPS[op]
    left = "z.*" if name == "gates" else shown["d"]
    if name == "norm" and sources[2] != NONE:
        left += f", {shown['c']}"
    if name == "noise":
        right = f"drop {shown['b']}" if imm & 2 else f"noise {shown['b']}, stream {imm >> 8}"
    else:
        right = SIGNS.get(name, name + " {a}").format(**shown, map=("project", "recur")[imm >> 8 & 1])
    if name in ("dgates", "dproduct") and sources[1] != NONE:
        right += f" + {shown['b']}"
    return f"{left} {'+=' if name in ('acc', 'accmul') else '='} {right}"
