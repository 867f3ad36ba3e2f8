"""What the forward pass saves for the backward pass, as nodes of the step's graph: the same for every target."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from gated._check import one_of
from gated.kernels.derive import SMOOTH, Gradients, Step, backward, forward
from gated.kernels.program import Program, Unsupported

FREE = ("number", "vector", "noise", "drop")  # there in the backward pass too, or drawn again
CHEAP = ("add", "sub", "mul", "div", "neg")  # computed again where their arguments are there


class Saving(NamedTuple):
    """A step, its gradients, and the nodes that outlive it, a column each: a row of numbers a sequence and step."""

    step: Step
    gradients: Gradients | None  # None if no backward pass follows
    h: int  # node of the new h, which the output holds
    columns: dict[int, int]  # by node: those that the caller keeps first, then those that only the backward pass reads
    carried: dict[int, int]  # by state: the column where the next step finds it
    scalars: dict[int, int]  # by norm: which of the saved deviations, one number a row, is its own
    grad_trace: dict[int, int]  # by node: which of the gradients that the caller sees is its own


def save(
    program: Program, keep: Sequence[str] = (), train: bool = False, seeded: bool = False, grad_trace: bool = False
) -> Saving:
    """The graph of a program, with gradients if it trains, and what to save.

    keep: results that the caller wants of every step.
    train: a backward pass follows.
    seeded: what is kept has gradients of its own.
    grad_trace: the caller wants the total gradient of what is kept, of every step.
    """
    where, results = f"program of {program.name}", dict(program.results)
    for name in keep:
        one_of(f"{where} keep", name, results)
        if grad_trace and str(results[name]).startswith("s."):
            got = f"{name}, which is {results[name]}, a value of the step before. Ask for path='loop'."
            raise Unsupported(f"{where} grad_trace: expected values of the step itself, got {got}")
    step = forward(program, separate=keep if grad_trace else ())
    h = step.new[program.states.index("h")]
    wanted = list(dict.fromkeys(step.at[name] for name in keep))
    columns = {node: column for column, node in enumerate(node for node in wanted if node != h)}
    gradients = backward(step, program, columns if seeded else ()) if train else None
    traced = {node: k for k, node in enumerate(wanted)} if grad_trace else {}
    if gradients is None:
        return Saving(step, None, h, columns, {}, {}, traced)
    needed = _needed(step, gradients, traced)
    carried = _choose(step, h, gradients, needed, columns)
    norms = sorted(node for node in needed if step.graph.nodes[node].op == "norm")
    return Saving(step, gradients, h, columns, carried, {node: k for k, node in enumerate(norms)}, traced)


def _needed(step: Step, gradients: Gradients, traced: Iterable[int]) -> set[int]:
    """The nodes of the step itself that its gradients read."""
    roots = [*gradients.z, *gradients.old, *(d for _, d in gradients.vectors), *gradients.products.values()]
    todo = [node for node in (*roots, *(gradients.total.get(node) for node in traced)) if node is not None]
    needed, visited = set[int](), set[int]()
    while todo:
        for arg in step.graph.nodes[todo.pop()].args:
            if arg < step.size:
                needed.add(arg)
            elif arg not in visited:
                visited.add(arg)
                todo.append(arg)
    return needed


def _choose(
    step: Step, h: int, gradients: Gradients, needed: Collection[int], columns: dict[int, int]
) -> dict[int, int]:
    """Add to the columns what the backward pass needs; the columns of carried states.

    Saved is what is dear to compute again: squashed and normalised values, products, and old states that slopes need.
    What + - * / make of these is made again; it is saved only where something that it takes is not there.
    """
    nodes, old = step.graph.nodes, step.at["s.h"]
    maps = {nodes[product].args[0] for product in gradients.products}
    dear = {node for node in set(needed) - {h} if nodes[node].op in (*SMOOTH, "norm", "product", "z")}
    for node in sorted((maps | {step.main} | dear) - {old}):
        columns.setdefault(node, len(columns))
    carried: dict[int, int] = {}
    for node in sorted(set(needed) - {old, h} - columns.keys()):
        if nodes[node].op == "state":
            k = nodes[node].of
            carried[k] = columns.setdefault(step.new[k], len(columns))
    there: set[int] = {h, old}
    for node in range(step.size):
        op, args, of = nodes[node]
        again = op in FREE or (op == "state" and of in carried) or (op in CHEAP and all(arg in there for arg in args))
        if node in needed and node not in there and not again:
            columns.setdefault(node, len(columns))
        if again or node in columns:
            there.add(node)
    return carried
