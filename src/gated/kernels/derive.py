"""The chain rule on a program: what it computes as a graph, and the graph of its gradients."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gated.kernels.program import Program

WORDS = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
SMOOTH = ("sigmoid", "tanh", "relu")
CONSTANT = ("number", "noise", "drop")  # no gradient flows into these


class Node(NamedTuple):
    """op of earlier nodes; `of` is what else tells it separate: a number, an index, a rate."""

    op: str
    args: tuple[int, ...] = ()
    of: Any = None


@dataclass
class Graph:
    """Nodes in an order in which each comes after its arguments; equal ones are one."""

    nodes: list[Node] = field(default_factory=list)
    narrow: list[bool] = field(default_factory=list)  # as wide as h, where that is another width
    known: dict[Node, int] = field(default_factory=dict)

    def add(
        self,
        op: str,
        *args: int,
        of: Any = None,
        narrow: bool | None = None,
        separate: bool = False,
        plain: bool = False,
    ) -> int:
        """The node, new or known. separate: one of its own, for a gradient to be traced. plain: as it is put."""
        if not separate and not plain and (simple := self._simple(op, args)) is not None:
            return simple
        args = tuple(sorted(args)) if op in ("add", "mul") else args
        node = Node(op, args, of)
        if not separate and node in self.known:
            return self.known[node]
        wide = [self.narrow[a] for a in args if self.nodes[a].op != "number"]
        self.nodes.append(node)
        self.narrow.append(bool(wide and wide[0]) if narrow is None else narrow)
        if not separate:
            self.known[node] = len(self.nodes) - 1
        return len(self.nodes) - 1

    def number(self, value: float) -> int:
        return self.add("number", of=value)

    def _simple(self, op: str, args: Sequence[int]) -> int | None:
        """a + 0, a - 0, a * 1, a / 1 and -(-a) are a, for every a."""
        if op == "neg" and self.nodes[args[0]].op == "neg":
            return self.nodes[args[0]].args[0]
        same = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}.get(op)
        if same is None:
            return None
        a, b = args
        if self.nodes[b].op == "number" and self.nodes[b].of == same:
            return a
        return b if op in ("add", "mul") and self.nodes[a].op == "number" and self.nodes[a].of == same else None


class Blocks(NamedTuple):
    """A row of z, in blocks of H: those of x alone, those of both, those of h alone; and their rows in the weights."""

    x_rows: tuple[int, ...]
    h_rows: tuple[int, ...]
    both: int
    block: dict[str, int]  # by z.k


def blocks(program: Program) -> Blocks:
    """Where each pre-activation of a program lies in a row of z."""
    gates, split = program.gates, program.split
    recurrent = [gate for gate in gates if gate not in program.input_only]
    alone = [gate for gate in gates if gate in split or gate in program.input_only]
    both = [gate for gate in gates if gate not in alone]
    names = [f"z.{gate}.x" if gate in split else f"z.{gate}" for gate in alone]
    names += [f"z.{gate}" for gate in both] + [f"z.{gate}.h" for gate in gates if gate in split]
    halves = [gate for gate in gates if gate in split]
    x_rows = tuple(gates.index(gate) for gate in alone + both)
    h_rows = tuple(recurrent.index(gate) for gate in both + halves)
    return Blocks(x_rows, h_rows, len(both), {name: k for k, name in enumerate(names)})


@dataclass
class Step:
    """The graph of one step, forward, and which node each name is."""

    graph: Graph
    at: dict[str, int]  # by z.k, s.k and p.k, by the names of values and of results
    gates: int
    main: int
    new: tuple[int, ...]  # node of each new state
    size: int  # nodes from here on are gradients


def forward(program: Program, separate: Collection[str] = ()) -> Step:
    """A program as a graph. The results named in `separate` share no node with an equal expression."""
    graph, z = Graph(), blocks(program)
    narrow = bool(program.project)
    at = {f"s.{k}": graph.add("state", of=n, narrow=narrow and k == "h") for n, k in enumerate(program.states)}
    at |= {f"p.{k}": graph.add("vector", of=n) for n, k in enumerate(program.own)}
    results = dict(program.results)
    lone = {results[name] for name in separate}
    gates = -1

    def atom(arg: str | float) -> int:
        return at[arg] if isinstance(arg, str) else graph.number(arg)

    def open_gates() -> int:
        node = graph.add("gates", at[program.main])
        at.update({name: graph.add("z", node, of=block, narrow=False) for name, block in z.block.items()})
        return node

    if program.main == "s.h":
        gates = open_gates()
    for name, op, args in program.values:
        alone = name in lone
        if op == "noise":
            state = program.states.index(str(args[1])[2:])
            at[name] = graph.add("noise", of=(args[0], state), narrow=graph.narrow[at[str(args[1])]], separate=alone)
        elif op == "drop":
            at[name] = graph.add("drop", of=args[0], narrow=narrow, separate=alone)
        elif op == "layer_norm":
            a, gain, shift = map(atom, args)
            scaled = graph.add("mul", graph.add("norm", a), gain)
            at[name] = graph.add("add", scaled, shift, separate=alone)
        elif op.startswith("p."):
            matrix = 0 if op == f"p.{program.project}" else 1
            at[name] = graph.add("product", atom(args[0]), of=matrix, narrow=narrow and matrix == 0, separate=alone)
        else:
            at[name] = graph.add(WORDS.get(op, op), *map(atom, args), separate=alone, plain=name == program.main)
        if name == program.main:
            gates = open_gates()
    for name, arg in program.results:
        number = not isinstance(arg, str) and name == "h" and narrow  # a number is as wide as its place
        at[name] = graph.add("number", of=arg, narrow=True, separate=True) if number else atom(arg)
    return Step(graph, at, gates, at[program.main], tuple(at[k] for k in program.states), len(graph.nodes))


@dataclass
class Gradients:
    """Nodes that hold dL/d what: None where it is zero."""

    z: list[int | None]
    old: list[int | None]  # of the old states
    vectors: list[tuple[int, int]] = field(default_factory=list)  # (vector, a term of its gradient, by row)
    products: dict[int, int] = field(default_factory=dict)  # of the output of each product that has one
    total: dict[int, int] = field(default_factory=dict)  # of every node that has one
    gates: int = -1


def backward(step: Step, program: Program, seeds: Collection[int] = ()) -> Gradients:
    """Append to a step's graph the gradients of everything, by the chain rule.

    They begin with dL/d(new state) and, for the nodes in seeds, a gradient of their own. Slopes are of the output:
    σ' = y (1 - y), tanh' = 1 - y², relu' = (y > 0).
    """
    graph = step.graph
    terms: dict[int, list[tuple[bool, int]]] = {}

    def give(node: int, gradient: int, minus: bool = False) -> None:
        if graph.nodes[node].op not in CONSTANT:
            terms.setdefault(node, []).append((minus, gradient))

    for k, node in enumerate(step.new):
        give(node, graph.add("dstate", of=k, narrow=graph.narrow[step.at[f"s.{program.states[k]}"]]))
    for node in sorted(seeds):
        give(node, graph.add("dseed", of=node, narrow=graph.narrow[node]))
    gradients = Gradients([None] * len(blocks(program).block), [None] * len(program.states))
    for n in reversed(range(step.size)):
        op, args, of = graph.nodes[n]
        if op == "gates":  # comes after all of z, and before what R multiplies
            gradients.gates = graph.add("dgates", narrow=graph.narrow[args[0]], separate=True)
            give(args[0], gradients.gates)
        if n not in terms:
            continue
        if op == "vector":
            gradients.vectors += [(of, graph.add("neg", d) if minus else d) for minus, d in terms[n]]
            continue
        d = gradients.total[n] = _sum(graph, terms[n])
        if op == "z":
            gradients.z[of] = d
        elif op == "state":
            gradients.old[of] = d
        elif op in ("add", "sub"):
            give(args[0], d)
            give(args[1], d, minus=op == "sub")
        elif op == "mul":
            a, b = args
            for factor, other in ((a, b), (b, a)):
                if graph.nodes[factor].op not in CONSTANT:
                    give(factor, graph.add("mul", d, other))
        elif op == "div":
            share = graph.add("div", d, args[1])
            give(args[0], share)
            if graph.nodes[args[1]].op not in CONSTANT:
                give(args[1], graph.add("mul", share, n), minus=True)
        elif op == "neg":
            give(args[0], d, minus=True)
        elif op in SMOOTH:
            give(args[0], graph.add(f"d{op}", d, n))
        elif op == "norm":
            give(args[0], graph.add("dnorm", d, n))
        elif op == "product":
            gradients.products[n] = d
            give(args[0], graph.add("dproduct", d, of=of, narrow=graph.narrow[args[0]]))
    return gradients


def _sum(graph: Graph, terms: Sequence[tuple[bool, int]]) -> int:
    """The sum of signed terms, ordered so that each product can be added as it is made."""
    order = {"mul": 1, "dproduct": 3, "dgates": 4}
    (minus, first), *rest = sorted(terms, key=lambda term: 2 if term[0] else order.get(graph.nodes[term[1]].op, 0))
    total = graph.add("neg", first) if minus else first
    for minus, d in rest:
        total = graph.add("sub" if minus else "add", total, d)
    return total
