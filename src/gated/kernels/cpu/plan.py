"""A program as a plan: instructions over tiles of rows, forward, and backward with no more saved than it needs.

A plan is lists of whole numbers that the native core checks and runs. An operand is 256 times its kind, and an index.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gated import _native
from gated.kernels import noise
from gated.kernels.derive import Gradients, Graph, blocks
from gated.kernels.program import Program, Unsupported
from gated.kernels.saving import Saving, save

# The one table of operands, instructions and limits is native/table.h.
KINDS, OPS, LIMITS = _native.KINDS, _native.OPS, _native.LIMITS
(NONE, SLOT, Z, STATE, NEXT, SAVED, VECTOR, CONST, DSTATE, DPREV, DSEED, EXTRA, SCALAR, DVECTOR, Y, DTRACE) = (
    256 * KINDS.index(name)
    for name in ("NONE", "SLOT", "Z", "STATE", "NEXT", "SAVED", "VECTOR", "CONST", "DSTATE", "DPREV", "DSEED", "EXTRA",
                 "SCALAR", "DVECTOR", "Y", "DTRACE")
)  # fmt: skip
OP = {name: number for number, name in enumerate(OPS)}
INPLACE = {OP[name] for name in _native.INPLACE}  # may write over an argument


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
    """One direction's instructions as they are chosen; a temporary is a negative operand until `allocate` places it."""

    graph: Graph
    operands: dict[int, int]  # of each node that takes no instruction, then of all that are computed
    targets: dict[int, list[int]]  # every place where a node must be written
    constants: dict[float, int]
    scalars: dict[int, int]  # of each norm whose deviation is kept
    uses: dict[int, int] = field(default_factory=dict)
    code: list[Instruction] = field(default_factory=list)
    written: set[int] = field(default_factory=set)
    temporaries: int = 0

    def count(self, roots: Collection[int]) -> None:
        """How often each node is wanted: what is wanted once can be part of what wants it."""
        todo, visited = list(roots), set()
        for node in roots:
            self.uses[node] = self.uses.get(node, 0) + 1
        while todo:
            node = todo.pop()
            if node not in visited and node not in self.operands:
                visited.add(node)
                todo += self.graph.nodes[node].args
                for arg in self.graph.nodes[node].args:
                    self.uses[arg] = self.uses.get(arg, 0) + 1

    def single(self, node: int, *ops: str) -> bool:
        """Whether a node is of one of these operations, and one other node alone uses it."""
        one = self.uses.get(node) == 1 and node not in self.operands and node not in self.targets
        return one and self.graph.nodes[node].op in ops

    def complement(self, node: int) -> int | None:
        """u of 1 - u."""
        one, u = self.graph.nodes[node].args if self.single(node, "sub") else (0, 0)
        return u if self.graph.nodes[one] == ("number", (), 1.0) else None

    def scaled_complement(self, node: int) -> bool:
        """(1 - u) ⊙ a, which is best done as a - u ⊙ a."""
        return self.single(node, "mul") and any(self.complement(arg) is not None for arg in self.graph.nodes[node].args)

    def choose(self, node: int) -> tuple[str, tuple[int, ...], Any]:
        """An instruction for a node that does as much of its arguments' work as one can."""
        nodes, (op, args, of) = self.graph.nodes, self.graph.nodes[node]
        a, b = (*args, 0, 0)[:2]
        if op == "add":
            for one, other in ((a, b), (b, a)):
                if self.single(one, "dgates", "dproduct"):
                    return nodes[one].op, (*nodes[one].args, other), nodes[one].of
            if self.single(b, "mul") and not (self.scaled_complement(b) and self.single(a, "mul")):
                return "fma", (*nodes[b].args, a), of
            if self.single(a, "mul"):
                return "fma", (*nodes[a].args, b), of
        elif op == "sub":
            if self.single(b, "mul"):
                return "fnma", (*nodes[b].args, a), of
            if self.single(a, "mul"):
                return "fms", (*nodes[a].args, b), of
        elif op == "mul":
            for factor, other in ((a, b), (b, a)):
                if (u := self.complement(factor)) is not None:
                    return "fnma", (u, other, other), of
        elif op == "neg" and self.single(a, "mul"):
            return "fnma", (*nodes[a].args, self.graph.number(0.0)), of
        elif op in ("dsigmoid", "dtanh") and self.single(a, "mul") and not self.scaled_complement(a):
            return f"{op}mul", (nodes[a].args[0], b, nodes[a].args[1]), of
        return op, args, of

    def compute(self, node: int) -> int:
        """The operand that holds a node, after the instructions that it takes."""
        todo = [node]
        while todo:
            now = todo[-1]
            if now in self.operands:
                todo.pop()
                continue
            op, args, of = self.choose(now)
            if op == "number":
                self.operands[now] = self.constant(of)
            elif op == "vector":
                self.operands[now] = VECTOR + of
            elif missing := [arg for arg in args if arg not in self.operands]:
                todo.append(missing[-1] if op in ("fma", "fms", "fnma") else missing[0])
            else:
                self.append(now, op, [self.operands[arg] for arg in args], of)
        return self.operands[node]

    def constant(self, value: float) -> int:
        return CONST + self.constants.setdefault(value, len(self.constants))

    def append(self, node: int, op: str, operands: list[int], of: Any) -> None:
        """Add the instruction that makes a node of operands which are there."""
        imm = int(self.graph.narrow[node])
        if op == "gates":
            self.code.append(Instruction(OP[op], NONE, *operands))
            self.operands[node] = NONE
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
            op, operands, imm = "noise", [NONE, self.constant(of)], imm | 2 | noise.DROP << 8
        targets = self.targets.get(node, [])
        first = next((target for target in targets if target & ~255 != DPREV), None)  # one that can be read again
        if first is None and len(targets) == 1 and self.uses[node] == 1:
            first = targets[0]
        if first is None:
            self.temporaries += 1
        self.operands[node] = -self.temporaries if first is None else first
        a, b, c = (*operands, NONE, NONE, NONE)[:3]
        self.code.append(Instruction(OP[op], self.operands[node], a, b, c, imm))
        self.copy_to_targets(node)

    def copy_to_targets(self, node: int) -> None:
        """Copy a node to every place that wants it and has it not."""
        self.written.add(node)
        for target in self.targets.get(node, []):
            if target != self.operands[node]:
                self.copy(target, self.operands[node], self.graph.narrow[node])

    def copy(self, target: int, source: int, narrow: bool) -> None:
        self.code.append(Instruction(OP["copy"], target, source, imm=int(narrow)))

    def emit(self, node: int) -> None:
        """Compute a node if need be, and leave it wherever it is wanted."""
        self.compute(node)
        if node not in self.written:
            self.copy_to_targets(node)

    def accumulate(self, vector: int, node: int) -> None:
        """Add a node, summed over the rows, to a vector's gradient."""
        product = self.single(node, "mul")
        operands = [self.compute(arg) for arg in (self.graph.nodes[node].args if product else (node,))]
        self.code.append(Instruction(OP["accmul" if product else "acc"], DVECTOR + vector, *operands))

    def allocate(self) -> int:
        """Give the temporaries slots, each free again after its last use; how many that takes."""
        last = {operand: n for n, (_, *operands, _) in enumerate(self.code) for operand in operands if operand < 0}
        place: dict[int, int] = {}
        free: list[int] = []
        count = 0
        for n, (op, dst, *sources, imm) in enumerate(self.code):
            last_read = [place[operand] for operand in set(sources) if operand < 0 and last[operand] == n]
            free += last_read if op in INPLACE else []
            if dst < 0:
                if not free:
                    free, count = [SLOT + count], count + 1
                place[dst] = min(free)
                free.remove(place[dst])
                free += [place[dst]] if last[dst] == n else []  # nobody reads it
            free += [] if op in INPLACE else last_read
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


def format_instruction(code: tuple[int, ...], names: Mapping[int, str]) -> str:
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


@dataclass(frozen=True)
class Lowered:
    """A plan, `_native.Plan(spec)`, and the operands of what the caller wants.

    columns: of each name in keep, SAVED j, or Y for what is h itself.
    grad_trace: of each name in keep, DTRACE j, if its gradients are wanted.
    narrow: of each name in keep, whether it is as narrow as a projected h.
    """

    program: Program
    spec: dict[str, Any]
    columns: dict[str, int]
    grad_trace: dict[str, int]
    narrow: dict[str, bool]

    def __str__(self) -> str:
        names = self._names()
        lines = [f"plan of {self.program.name}"]
        for word, columns in (("keep", self.columns), ("grad_trace", self.grad_trace)):
            where = [f"{name} in {names[operand]}" for name, operand in columns.items()]
            lines += [f"{word} {', '.join(where)}"] if where else []
        lines += ["forward", *(f"    {format_instruction(code, names)}" for code in self.spec["forward"])]
        names |= {Z + k: f"d{name}" for name, k in blocks(self.program).block.items()}
        lines += ["backward", *(f"    {format_instruction(code, names)}" for code in self.spec["backward"])] * bool(
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
            names |= {SAVED + k: f"saved[{k}]", DSEED + k: f"dsaved[{k}]", DTRACE + k: f"dtrace[{k}]"}
        return names


def lower(
    program: Program, keep: Sequence[str] = (), train: bool = False, seeded: bool = False, grad_trace: bool = False
) -> Lowered:
    """The plan of a program; the arguments are those of `saving.save`."""
    saving = save(program, keep, train, seeded, grad_trace)
    step, constants, z, states = saving.step, dict[float, int](), blocks(program), program.states
    spec: dict[str, Any] = _forward(program, saving, constants) | dict(
        x_rows=list(z.x_rows), h_rows=list(z.h_rows), both=z.both, states=len(states), h=states.index("h"),
        project=bool(program.project), recur=bool(program.recur), vectors=len(program.own),
    )  # fmt: skip
    if saving.gradients is not None:
        spec |= _backward(program, saving, saving.gradients, constants, spec["slots"][0])
    spec |= dict(saved=len(saving.columns), scalars=len(saving.scalars), constants=list(constants))
    sizes = spec | dict(slots=max(spec["slots"]), constants=len(constants), blocks=len(z.block))
    sizes |= dict(outer=len(spec["outer"]), instructions=max(len(spec["forward"]), len(spec["backward"])))
    for word, limit in LIMITS.items():
        if sizes[word] > limit:
            got = f"{sizes[word]}. Ask for path='loop'."
            raise Unsupported(f"plan of {program.name}: expected at most {limit} {word}, got {got}")
    operands = {node: SAVED + column for node, column in saving.columns.items()} | {saving.h: Y}
    traced = {name: DTRACE + saving.grad_trace[step.at[name]] for name in keep if grad_trace}
    narrow = {name: step.graph.narrow[step.at[name]] for name in keep}
    return Lowered(program, spec, {name: operands[step.at[name]] for name in keep}, traced, narrow)


def _forward(program: Program, saving: Saving, constants: dict[float, int]) -> dict[str, Any]:
    step, graph = saving.step, saving.step.graph
    targets = {node: [SAVED + column] for node, column in saving.columns.items()}
    targets.setdefault(saving.h, []).append(Y)
    carry = []
    for k, new in enumerate(step.new):
        if program.states[k] == "h":
            carry.append(Y)
        elif (column := saving.carried.get(k, saving.columns.get(new))) is not None:
            carry.append(SAVED + column)
        else:
            carry.append(NEXT + k)
            targets.setdefault(new, []).append(NEXT + k)
    operands = {step.at[f"s.{name}"]: STATE + k for k, name in enumerate(program.states)}
    operands |= {n: Z + node.of for n, node in enumerate(graph.nodes[: step.size]) if node.op == "z"}
    ahead = Pass(graph, operands, targets, constants, saving.scalars)
    ahead.count([step.gates, *targets])
    for node in (step.gates, *sorted(targets)):
        ahead.emit(node)
    spec = dict(slots=[ahead.allocate(), 0], forward=list(map(tuple, ahead.code)), carry=carry)
    return spec | dict(backward=[], outer=[], main=STATE + program.states.index("h"), extras=0, traced=0)


def _backward(
    program: Program, saving: Saving, gradients: Gradients, constants: dict[float, int], ahead: int
) -> dict[str, Any]:
    step, graph = saving.step, saving.step.graph
    operands = {node: SAVED + column for node, column in saving.columns.items()} | {saving.h: Y}
    for k, name in enumerate(program.states):
        if name == "h" or k in saving.carried:
            operands[step.at[f"s.{name}"]] = STATE + k
    for n, node in enumerate(graph.nodes[step.size :], step.size):
        if node.op == "dstate":
            operands[n] = DSTATE + node.of
        elif node.op == "dseed":
            operands[n] = DSEED + saving.columns[node.of]

    targets: dict[int, list[int]] = {}
    zeros: list[tuple[int, bool]] = []

    def place(node: int | None, target: int, narrow: bool) -> None:
        if node is None:
            zeros.append((target, narrow))
        else:
            targets.setdefault(node, []).append(target)

    for k, node in enumerate(gradients.z):
        place(node, Z + k, False)
    outer, extras = [], 0
    for product, d in gradients.products.items():
        a = graph.nodes[product].args[0]
        into = next((target for target in targets.get(d, []) if target & ~255 in (Z, EXTRA)), None)
        if into is None:
            into, extras = EXTRA + extras, extras + 1
            place(d, into, False)
        source = operands[a] if a == step.at["s.h"] else SAVED + saving.columns[a]
        outer.append((graph.nodes[product].of, source, into))
    for node, k in saving.grad_trace.items():
        place(gradients.total.get(node), DTRACE + k, graph.narrow[node])
    for k, node in enumerate(gradients.old):
        place(node, DPREV + k, graph.narrow[step.at[f"s.{program.states[k]}"]])

    back = Pass(graph, operands, targets, constants, saving.scalars)
    back.count([*targets, *(d for _, d in gradients.vectors)])
    for target, narrow in zeros:
        back.copy(target, back.constant(0.0), narrow)
    tasks = [(node, -1) for node in targets] + [(node, vector) for vector, node in gradients.vectors]
    for node, vector in sorted(tasks):
        if vector < 0:
            back.emit(node)
        else:
            back.accumulate(vector, node)
    if not any(code.op == OP["dgates"] for code in back.code):  # nobody wants it, yet it is part of every plan
        back.emit(gradients.gates)
    main = STATE + program.states.index("h") if step.main == step.at["s.h"] else SAVED + saving.columns[step.main]
    return dict(
        slots=[ahead, back.allocate()],
        backward=list(map(tuple, back.code)),
        main=main,
        outer=outer,
        extras=extras,
        traced=len(saving.grad_trace),
    )
