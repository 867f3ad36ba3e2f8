"""A slow reading of a plan, one instruction and one step at a time, that checks every rule of its memory."""

from __future__ import annotations

import numpy as np

from gated.cells import EPSILON
from gated.kernels.cpu.plan import (
    CONST,
    DPREV,
    DSEED,
    DSTATE,
    DTRACE,
    DVECTOR,
    EXTRA,
    INPLACE,
    NEXT,
    NONE,
    OPS,
    SAVED,
    SCALAR,
    SLOT,
    STATE,
    VECTOR,
    Y,
    Z,
)  # fmt: skip

READ = {True: (SLOT, Z, STATE, NEXT, SAVED, VECTOR, CONST, Y),
        False: (SLOT, Z, STATE, SAVED, VECTOR, CONST, DSTATE, DSEED, EXTRA, SCALAR, Y, DTRACE)}  # fmt: skip
WRITE = {True: (SLOT, NEXT, SAVED, Y), False: (SLOT, Z, DPREV, EXTRA, DTRACE)}
ONCE = (Y, NEXT, SAVED, Z, DPREV, EXTRA, DTRACE)


class Rows:
    """The memory of one step: operands that are NaN until written, and refuse to be read before."""

    def __init__(self, spec, code, ahead, held, B, H, P):
        self.spec, self.code, self.ahead, self.B, self.H, self.P = spec, code, ahead, B, H, P
        self.held = dict(held)
        self.now = frozenset(held)
        self.times = {}

    def read(self, operand, narrow=False, width=None):
        kind, index = operand & ~255, operand & 255
        width = (self.P if narrow else self.H) if width is None else width
        if kind == CONST:
            return self.spec["constants"][index]
        assert kind in READ[self.ahead], f"reads {operand}"
        assert operand in self.held, f"reads {divmod(operand, 256)} before it is written"
        value = self.held[operand]
        assert value.shape[-1] == width, f"reads {divmod(operand, 256)} at another width"
        return value

    def write(self, operand, value, sources, inplace, narrow):
        kind, index = operand & ~255, operand & 255
        assert kind in WRITE[self.ahead], f"writes {divmod(operand, 256)}"
        assert inplace or operand not in sources, f"writes {divmod(operand, 256)} over what it reads"
        bounds = dict(zip((SLOT, SAVED, EXTRA, DTRACE), (self.spec["slots"][not self.ahead],
                      self.spec["saved"], self.spec["extras"], self.spec["traced"]), strict=True))  # fmt: skip
        assert index < bounds.get(kind, 256)
        value = np.broadcast_to(value, (self.B, self.P if narrow else self.H)).copy()
        self.times[operand] = self.times.get(operand, 0) + 1
        assert kind == SLOT or self.times[operand] == 1, f"writes {divmod(operand, 256)} twice"
        self.held[operand] = value


def arithmetic(name, a, b, c):
    match name:
        case "copy":
            return a
        case "add":
            return a + b
        case "sub":
            return a - b
        case "mul":
            return a * b
        case "div":
            return a / b
        case "neg":
            return -a
        case "fma":
            return a * b + c
        case "fms":
            return a * b - c
        case "fnma":
            return c - a * b
        case "sigmoid":
            return np.exp(-np.logaddexp(0, -a))
        case "tanh":
            return np.tanh(a)
        case "relu":
            return np.maximum(a, 0)
        case "dsigmoid":
            return a * b * (1 - b)
        case "dtanh":
            return a * (1 - b * b)
        case "drelu":
            return np.where(b > 0, a, 0)
        case "dsigmoidmul":
            return a * c * b * (1 - b)
        case "dtanhmul":
            return a * c * (1 - b * b)
    raise AssertionError(name)  # fmt: skip


def step(rows, w, noise, t, vectors=None):
    """Run one step's code. w: weights by name; noise(rate, stream, t, width) and, with t None, a drop mask."""
    spec, gates, split = rows.spec, 0, rows.H
    nx, first = len(spec["x_rows"]), len(spec["x_rows"]) - spec["both"]
    for op, dst, a, b, c, imm in rows.code:
        name, narrow = OPS[op], bool(imm & 1)
        assert not narrow or spec["project"], "P is H without a projection"
        sources = [operand for operand in (a, b, c) if operand != NONE]
        if name == "gates":
            assert rows.ahead
            assert not gates
            gates += 1
            assert a == STATE + spec["h"] or a & ~255 in (SLOT, SAVED)
            h = rows.read(a, width=rows.P)
            z = np.zeros((rows.B, nx + len(spec["h_rows"]) - spec["both"], split))
            for k, block in enumerate(spec["x_rows"]):
                z[:, k] += (w["x"] @ w["weight_ih"].T + w["bias_ih"])[:, block * split : (block + 1) * split]
            for k, block in enumerate(spec["h_rows"]):
                z[:, first + k] += (h @ w["weight_hh"].T + w["bias_hh"])[:, block * split : (block + 1) * split]
            rows.held |= {Z + k: z[:, k] for k in range(z.shape[1])}
        elif name == "dgates":
            assert not rows.ahead
            assert not gates
            gates += 1
            d = np.zeros((rows.B, rows.P))
            for k, block in enumerate(spec["h_rows"]):
                d += rows.read(Z + first + k) @ w["weight_hh"][block * split : (block + 1) * split]
            for k in range(first):
                rows.read(Z + k)
            rows.write(dst, d + (rows.read(b, width=rows.P) if b else 0), sources, False, bool(spec["project"]))
        elif name in ("product", "dproduct"):
            matrix = w["project"] if imm >> 8 == 0 else w["recur"]
            matrix = matrix.T if name == "product" else matrix
            assert narrow == (spec["project"] and (imm >> 8 == 0) == (name == "product"))
            d = rows.read(a, width=matrix.shape[0]) @ matrix
            assert not b or name == "dproduct"
            rows.write(dst, d + (rows.read(b, narrow) if b else 0), sources, False, narrow)
        elif name == "norm":
            value = rows.read(a, narrow)
            value = np.broadcast_to(value, (rows.B, rows.P if narrow else rows.H))
            scale = 1 / np.sqrt(value.var(-1, keepdims=True) + EPSILON)
            if c:
                assert c & ~255 == SCALAR
                assert c & 255 < spec["scalars"]
                assert c not in rows.held
                rows.held[c] = scale
            rows.write(dst, (value - value.mean(-1, keepdims=True)) * scale, [a], False, narrow)
        elif name == "dnorm":
            d, y, scale = rows.read(a, narrow), rows.read(b, narrow), rows.read(c, width=1)
            d = d - d.mean(-1, keepdims=True) - y * (d * y).mean(-1, keepdims=True)
            rows.write(dst, scale * d, [a, b], False, narrow)
        elif name in ("acc", "accmul"):
            assert dst & ~255 == DVECTOR
            assert not narrow
            value = rows.read(a) * (rows.read(b) if name == "accmul" else 1)
            vectors[dst & 255] += np.broadcast_to(value, (rows.B, rows.H)).sum(0)
        elif name == "noise":
            assert b & ~255 == CONST
            drop = bool(imm & 2)
            value = noise(rows.read(b), imm >> 8, None if drop else t, rows.P if narrow else rows.H)
            rows.write(dst, value, [], False, narrow)
        else:
            values = [rows.read(operand, narrow) if operand else None for operand in (a, b, c)]
            rows.write(dst, arithmetic(name, *values), sources, op in INPLACE, narrow)
    assert gates == 1


def widths(lowered, H, P):
    return [P if name == "h" and lowered.spec["project"] else H for name in lowered.program.states]


def run(lowered, weights, x, state, noise=None):
    """Forward over (T, B, I). weights by `Cell.shapes` names; gives y, the last states, and what each step held."""
    spec, program = lowered.spec, lowered.program
    w, vectors, H, P = unpack(program, weights)
    assert spec["vectors"] == len(vectors)
    assert set(spec["carry"]) >= {Y}
    held = {STATE + k: s for k, s in enumerate(state)} | {VECTOR + k: v for k, v in enumerate(vectors)}
    steps = []
    for t in range(len(x)):
        rows = Rows(spec, spec["forward"], True, held, x.shape[1], H, P)
        step(rows, w | {"x": x[t]}, noise, t)
        written = {operand: value for operand, value in rows.held.items() if operand & ~255 in (SAVED, SCALAR, Y)}
        assert {Y} | {SAVED + k for k in range(spec["saved"])} <= written.keys(), "not all is written"
        old = {STATE + k: held[STATE + k] for k in range(spec["states"])}
        steps.append((old, written))
        for k, operand in enumerate(spec["carry"]):
            assert operand & ~255 in (NEXT, SAVED, Y)
            held[STATE + k] = rows.held[operand]
    y = np.stack([written[Y] for _, written in steps])
    return y, [held[STATE + k] for k in range(spec["states"])], steps


def unpack(program, weights):
    H = weights["weight_ih"].shape[0] // len(program.gates)
    P = weights["weight_hh"].shape[1]
    w = {name: weights[name] for name in ("weight_ih", "weight_hh")}
    for name, side in (("bias_ih", "weight_ih"), ("bias_hh", "weight_hh")):
        w[name] = weights.get(name, np.zeros(len(weights[side])))
    w |= {word: weights[f"weight_{name}"] for word in ("project", "recur") if (name := getattr(program, word))}
    own = [f"weight_{name}" if name in program.vectors else name for name in program.own]
    return w, [np.broadcast_to(weights[name], (1, H)) for name in own], H, P


def back(lowered, weights, x, steps, dy, dstates, dseeds=None, noise=None):
    """Backward: dx, gradients of the first states, of the weights by name, and the traced gradients of each step."""
    spec, program = lowered.spec, lowered.program
    w, vectors, H, P = unpack(program, weights)
    T, B = x.shape[:2]
    nx, first = len(spec["x_rows"]), len(spec["x_rows"]) - spec["both"]
    dw = {name: np.zeros_like(value) for name, value in w.items()}
    dvectors = [np.zeros(H) for _ in vectors]
    dx, grad_trace, dstates = np.zeros_like(x), [], list(dstates)
    visible = set(range(spec["states"])) & {k for k, o in enumerate(spec["carry"]) if o & ~255 != NEXT}
    for t in reversed(range(T)):
        old, written = steps[t]
        held = {STATE + k: old[STATE + k] for k in visible} | written
        held |= {VECTOR + k: v for k, v in enumerate(vectors)}
        dstates[spec["h"]] = dstates[spec["h"]] + dy[t]
        held |= {DSTATE + k: d for k, d in enumerate(dstates)}
        held |= {DSEED + column: d[t] for column, d in (dseeds or {}).items()}
        rows = Rows(spec, spec["backward"], False, held, B, H, P)
        step(rows, w, noise, t, dvectors)
        for kind, count in ((Z, nx + len(spec["h_rows"]) - spec["both"]), (DPREV, spec["states"]),
                            (EXTRA, spec["extras"]), (DTRACE, spec["traced"])):  # fmt: skip
            for k in range(count):
                assert kind + k in rows.times, f"{divmod(kind + k, 256)} is not written"
        dz = [rows.held[Z + k] for k in range(nx + len(spec["h_rows"]) - spec["both"])]
        for k, block in enumerate(spec["x_rows"]):
            part = slice(block * H, (block + 1) * H)
            dx[t] += dz[k] @ w["weight_ih"][part]
            dw["weight_ih"][part] += dz[k].T @ x[t]
            dw["bias_ih"][part] += dz[k].sum(0)
        assert spec["main"] & ~255 == SAVED or spec["main"] == STATE + spec["h"]
        main = rows.held[spec["main"]]
        for k, block in enumerate(spec["h_rows"]):
            part = slice(block * H, (block + 1) * H)
            dw["weight_hh"][part] += dz[first + k].T @ main
            dw["bias_hh"][part] += dz[first + k].sum(0)
        for matrix, source, gradient in spec["outer"]:
            assert source & ~255 == SAVED or source == STATE + spec["h"]
            assert gradient & ~255 in (Z, EXTRA)
            dw["recur" if matrix else "project"] += rows.held[gradient].T @ rows.held[source]
        dstates = [rows.held[DPREV + k] for k in range(spec["states"])]
        grad_trace.insert(0, {k: rows.held[DTRACE + k] for k in range(spec["traced"])})
    names = {word: f"weight_{getattr(program, word)}" for word in ("project", "recur")}
    gradients = {names.get(name, name): value for name, value in dw.items() if names.get(name, name) in weights}
    own = [f"weight_{name}" if name in program.vectors else name for name in program.own]
    return dx, dstates, gradients | dict(zip(own, dvectors, strict=True)), grad_trace
