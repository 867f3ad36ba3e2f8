"""Plans: what a cell's program is lowered to, read by an interpreter, is what the loop computes."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gated import InputError
from gated.cells import cell, gru, layer_norm, lstm, relu, rnn, sigmoid, tanh
from gated.kernels.cpu.plan import OPS, SAVED, Y, lower
from gated.kernels.loop import scan
from gated.kernels.program import Unsupported, parse
from gated.kernels.trace import trace
from made.interpret import back, run

T, B, I, H, P = 4, 3, 2, 5, 3

LSTMS = [
    dict(zip(("forget", "peephole", "coupled", "project", "norm"), bits, strict=True))
    for bits in np.ndindex(2, 2, 2, 2, 2)
    if bits[0] or not bits[2]
]
VARIANTS = [lstm(**{k: bool(v) for k, v in how.items()}) for how in LSTMS]
VARIANTS += [gru(reset, norm) for reset in ("after", "before") for norm in (False, True)]
VARIANTS += [rnn(squash, norm) for squash in ("tanh", "relu") for norm in (False, True)]


def numpy(value):
    return value.detach().numpy()


def compare(made, zone=None, noise=False, drop=0.0, keep=(), seeded=False, grad_trace=False, gradients=True, bias=True):
    """A cell's plan, interpreted, equals the loop on it: values, states, and every gradient."""
    draw = torch.Generator().manual_seed(1)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=draw)

    width = P if made.project else H
    weights = {name: random(*shape).requires_grad_() for name, shape in made.shapes(I, H, width, bias).items()}
    x = random(T, B, I).requires_grad_()
    state = {name: random(B, made.width(name, H, width)).requires_grad_() for name in made.states}
    masks = {
        name: (torch.rand(T, *state[name].shape, generator=draw) < rate).double() for name, rate in (zone or {}).items()
    }
    mask = (torch.rand(B, width, generator=draw) >= drop).double() / (1 - drop) if drop else None

    def noises(rate, stream, t, size):
        if t is None:
            assert (rate, stream, size) == (drop, 255, width)
            return numpy(mask)
        name = made.states[stream]
        assert rate == zone[name]
        assert size == state[name].shape[-1]
        return numpy(masks[name][t])

    program = trace(made, zone=zone or {}, noise=noise, drop=drop)
    assert parse(str(program)) == program
    live = torch.ones(T, B, 1, dtype=torch.bool)
    how = dict(drop=mask, zone=masks if noise else zone, live=live, keep=("h", *keep), gradients=grad_trace)
    values, last = scan(made, weights, x, state, **how)
    plain = lower(program, keep=keep)
    arrays = {name: numpy(value) for name, value in weights.items()}
    start = [numpy(state[name]) for name in made.states]
    near = dict(rtol=1e-10, atol=1e-10)
    for plan in (plain, lower(program, keep, True, seeded, grad_trace)):
        y, final, steps = run(plan, arrays, numpy(x), start, noises)
        np.testing.assert_allclose(y, numpy(values["h"]), **near)
        for name, value in zip(made.states, final, strict=True):
            np.testing.assert_allclose(value, np.broadcast_to(numpy(last[name]), value.shape), **near)
        for name, operand in plan.columns.items():
            seen = np.stack([written[operand] for _, written in steps])
            np.testing.assert_allclose(seen, numpy(values[name]), **near)
    if not gradients:
        return plan
    dy, dlast = random(T, B, width), {name: random(B, state[name].shape[-1]) for name in made.states}
    dkept = {name: random(*values[name].shape) for name in keep if seeded}
    loss = (values["h"] * dy).sum() + sum((last[name] * dlast[name]).sum() for name in made.states)
    loss = loss + sum((values[name] * d).sum() for name, d in dkept.items())
    leaves = [x, *state.values(), *weights.values()]
    if grad_trace:  # the hooks need a whole backward pass
        loss.backward()
        expected = [leaf.grad for leaf in leaves]
    else:
        expected = torch.autograd.grad(loss, leaves, allow_unused=True)
    expected = [np.zeros(leaf.shape) if d is None else numpy(d) for leaf, d in zip(leaves, expected, strict=True)]
    dseeds, total = {}, numpy(dy)
    for name, d in dkept.items():
        operand = plan.columns[name]
        if operand == Y:
            total = total + numpy(d)
        else:
            assert operand & ~255 == SAVED
            dseeds[operand & 255] = dseeds.get(operand & 255, 0) + numpy(d)
    ends = [numpy(dlast[name]) for name in made.states]
    dx, dstates, dweights, traced = back(plan, arrays, numpy(x), steps, total, ends, dseeds, noises)
    got = [dx, *dstates, *(dweights[name] for name in weights)]
    for name, a, b in zip(["x", *state, *weights], got, expected, strict=True):
        np.testing.assert_allclose(a, b, **near, err_msg=f"gradient of {name}")
    for name, operand in plan.grad_trace.items():
        seen = np.stack([now[operand & 255] for now in traced])
        np.testing.assert_allclose(seen, numpy(values[f"d{name}"]), **near, err_msg=f"traced gradient of {name}")
    return plan


def names(made):
    return [name for name, _ in trace(made).results]


@pytest.mark.parametrize("made", VARIANTS, ids=lambda made: made.name)
def test_every_variant_equals_the_loop(made):
    """Values, kept values and all gradients of every variant are those of the definition."""
    compare(made)
    every = names(made)
    compare(made, keep=every, seeded=True, grad_trace=True)
    compare(made, keep=every[1:3], seeded=True, bias=False)


@pytest.mark.parametrize("made", VARIANTS, ids=lambda made: made.name)
def test_noise_of_every_variant_equals_the_loop(made):
    """Zoneout, by rate and by mask, and recurrent dropout act where the definition says, in values and gradients."""
    zone = {state: 0.25 + k / 4 for k, state in enumerate(made.states)}
    every = names(made)
    compare(made, zone=zone, keep=every)
    compare(made, zone=zone, noise=True, drop=0.4, keep=every[:2], grad_trace=True)
    compare(made, drop=0.4, zone={"h": 0.5}, keep=every[-1:], seeded=True)


def user(**words):
    """A cell of a user's own, in the list of odd ones."""

    def make(equations):
        ODD.append(cell(**words)(equations))
        return equations

    return make


ODD = []


@user(gates="a b", states="h c")
def two_names(z, s):
    h, c = tanh(z.a) * s.c, sigmoid(z.b) + s.c
    return dict(h=h, c=c, out=h, memory=c, again=c)


@user(gates="a", states="h c d")
def delay_line(z, s):
    return dict(h=tanh(z.a) + s.d * s.d, c=s.h, d=s.c)


@user(gates="a", states="h c d")
def turned_round(z, s):
    return dict(h=s.c * tanh(z.a), c=s.d, d=s.h, old=z.a)


@user(gates="a b", states="h c")
def bare_gates(z, s):
    return dict(h=z.a, c=z.b, a=z.a, b=z.b)


@user(gates="a", states="c h")
def one_value_for_two_states(z, s):
    h = tanh(z.a + s.c * s.c)
    return dict(h=h, c=h)


@user(gates="a", states="h c")
def old_h_stands(z, s):
    return dict(h=s.h, c=tanh(z.a) * s.c)


@user(gates="a b", states="h c d", vectors="v")
def constants(z, s, p):
    return dict(h=tanh(z.a) * s.c, c=0.5, d=p.v * p.v + 1)


@user(gates="a", states="h c")
def constant_h(z, s):
    return dict(h=1, c=s.c * 0 + 1)


@user(gates="a", states="h", project="k")
def constant_narrow_h(z, s, p):
    return dict(h=2, a=p.k(z.a) + s.h)


@user(gates="a", states="h c d")
def one_gradient_for_two_states(z, s):
    return dict(h=tanh(z.a), c=tanh(s.c + s.d), d=z.a)


@user(gates="a b", states="h c")
def unused(z, s):
    return dict(h=tanh(z.a), c=s.c, twice=z.a + z.a)


@user(gates="a b c", states="h m", split="b", input_only="c", vectors="u v", norms="a m", project="k", recur="q")
def everything(z, s, p):
    a = layer_norm(z.a + p.u * s.m, p.gain_a, p.shift_a)
    r = relu(z.b.x - p.q(s.h)) * -z.b.h / (2 + sigmoid(z.c))
    m = 0.5 * s.m + a**2 - p.v
    y = layer_norm(m, p.gain_m, p.shift_m) * tanh(r)
    return dict(h=p.k(y), m=m, r=r, a=a, neg=-y)


@user(gates="a b", states="h c", project="k", recur="q")
def maps_of_anything(z, s, p):
    first = tanh(p.k(s.c))
    c = sigmoid(z.a) * p.q(first) + p.q(s.h * s.h) - p.q(s.h)
    h = layer_norm(first + p.k(c + z.b), None, None)
    return dict(h=h, c=c, first=first, seen=p.q(h))


@user(gates="a", states="h", recur="q", vectors="v")
def map_of_a_vector(z, s, p):
    return dict(h=tanh(z.a + p.q(p.v) + p.q(z.a)), squared=p.v * s.h)


@user(gates="a", states="h", project="k", recur="q")
def idle_maps(z, s, p):
    p.q(s.h)
    return dict(h=tanh(p.k(z.a)) * 0.5 + s.h)


@user(gates="a b", states="h")
def nothing_done(z, s):
    h = tanh(z.a)
    return dict(h=h + 0, b=h * 1, c=1 * h, d=0 - (-h), e=h / 1, f=0 - h, g=0 + h, i=z.b - 0)


@user(gates="a b", states="h")
def said_twice(z, s):
    one, two = z.a * s.h, s.h * z.a
    return dict(h=tanh(one) + sigmoid(two) + (1 - sigmoid(z.a)) * tanh(z.b), one=one, two=two)


@user(gates="a", states="h c", vectors="v w")
def quotients(z, s, p):
    d = 1 + z.a * z.a
    c = (p.v / (1 + p.w**2) - s.c) / d + 3 / d - (s.c / 2) * 2
    return dict(h=-tanh(c) - z.a * c - s.h * s.h, c=c, d=d)


@user(gates="a b", states="h")
def kinks(z, s):
    return dict(h=relu(z.a) + relu(z.b * 0) * s.h + relu(-z.a), k=relu(relu(z.b)))


@user(gates="a", states="h", norms="n")
def normal_everywhere(z, s, p):
    a = layer_norm(z.a, p.gain_n, p.shift_n)
    return dict(
        h=layer_norm(a * a, None, p.gain_n), a=a, b=layer_norm(layer_norm(p.gain_n * s.h, None, None), None, None)
    )


@user(gates="a", states="h")
def torchs_words(z, s):
    a = torch.add(torch.tanh(z.a), torch.sigmoid(s.h))
    return dict(h=torch.nn.functional.relu(a) - np.float64(0.5) * torch.neg(a) + a.tanh() * a.sigmoid())


@user(gates="a", states="h")
def long_chain(z, s):
    a = z.a
    for k in range(120):
        a = s.h * 0.5 - a if k % 3 else (1 - a) * 0.5
    return dict(h=a)


@pytest.mark.parametrize("made", ODD, ids=lambda made: made.name)
def test_odd_cells_equal_the_loop(made):
    """What users may write, aliases, old states, constants and all, runs as the loop runs it."""
    results = dict(trace(made).results)
    rows = [name for name, value in results.items() if isinstance(value, str) or name in made.states]
    compare(made)
    compare(made, keep=rows, seeded=True)
    if not made.name.startswith("constant"):  # the loop traces gradients of tensors with rows only
        now = [name for name in rows if not results[name].startswith("s.")]
        compare(made, keep=now, seeded=True, grad_trace=True)
        compare(made, keep=now[-1:], grad_trace=True, drop=0.3, bias=False)
    compare(made, zone={"h": 0.25, made.states[-1]: 0.5}, noise=True, drop=0.3, keep=made.states)


WORDS = {
    "a + b": lambda a, b, p, narrow: a + b,
    "a - b": lambda a, b, p, narrow: a - b,
    "a tanh b": lambda a, b, p, narrow: a * tanh(b),
    "a / b": lambda a, b, p, narrow: a / (b * b + 2),
    "-a": lambda a, b, p, narrow: -a,
    "sigmoid": lambda a, b, p, narrow: sigmoid(a),
    "tanh": lambda a, b, p, narrow: tanh(a),
    "relu": lambda a, b, p, narrow: relu(a),
    "norm": lambda a, b, p, narrow: layer_norm(a, p.gain_n, p.shift_n),
    "map": lambda a, b, p, narrow: p.q(tanh(p.k(a)) if narrow else a),
    "vector": lambda a, b, p, narrow: p.v * a,
    "share": lambda a, b, p, narrow: (1 - a) * b + a**2,
}


def random_cell(steps, picks, narrow):
    """A cell of random equations: each step applies a word to values that came before."""

    def equations(z, s, p):
        values = [z.a, z.b.x, z.b.h, z.c, s.c, s.d, p.v * z.a, 0 * z.a + 1]
        for word, k, j in steps:
            a, b = values[k % len(values)], values[j % len(values)]
            values.append(WORDS[word](a, b, p, narrow))
        h, c, d, e = (values[len(values) - 1 - k % len(values)] for k in picks)
        return dict(h=p.k(h) if narrow else h, c=tanh(c), d=d, e=e * 1)

    return cell(gates="a b c", states="c h d", split="b", input_only="c", vectors="v", norms="n", recur="q",
                project="k" if narrow else "", name="random")(equations)  # fmt: skip


numbers = st.integers(0, 99)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(sorted(WORDS)), numbers, numbers), min_size=1, max_size=12),
    picks=st.lists(numbers, min_size=4, max_size=4),
    kept=st.sets(st.sampled_from("hcde")),
    narrow=st.booleans(),
    drop=st.booleans(),
    noise=st.booleans(),
)
def test_random_cells_equal_the_loop(steps, picks, kept, narrow, drop, noise):
    """No sequence of words makes a cell whose plan differs from the loop."""
    made = random_cell(steps, picks, narrow)
    results = dict(trace(made).results)
    traced = [name for name in sorted(kept) if not results[name].startswith("s.")]
    compare(made, zone={"c": 0.3} if noise else {}, noise=noise, drop=drop / 2, keep=sorted(kept), seeded=True)
    if not results["h"].startswith("s."):
        compare(made, keep=sorted({*traced, "h"}), seeded=True, grad_trace=True)


COUNTS = {  # instructions of the plain forward, the training forward and the backward; saved columns; slots
    "LSTM": (9, 9, 8, 6, [3, 1]),
    "GRU": (7, 8, 9, 4, [2, 1]),
    "tanh RNN": (2, 2, 2, 0, [0, 0]),
    "peephole LSTM": (12, 12, 14, 6, [3, 1]),
    "coupled LSTM": (8, 8, 9, 5, [3, 2]),
    "projected LSTM": (10, 10, 10, 7, [3, 1]),
    "reset-before GRU": (9, 9, 10, 4, [2, 2]),
}


@pytest.mark.parametrize("made", [made for made in VARIANTS if made.name in COUNTS], ids=lambda made: made.name)
def test_plans_are_short(made):
    """Each instruction is a pass over a tile: a plan grows only knowingly."""
    plain, trained = lower(trace(made)).spec, lower(trace(made), train=True).spec
    ways = len(plain["forward"]), len(trained["forward"]), len(trained["backward"])
    assert (*ways, trained["saved"], [plain["slots"][0], trained["slots"][1]]) == COUNTS[made.name]
    assert plain["backward"] == []


def test_a_sum_is_as_short_in_any_order():
    """(1 - u) n + u h costs two instructions, whichever product stands first."""

    def one(z, s):
        u = sigmoid(z.u)
        return dict(h=(1 - u) * tanh(z.n) + u * s.h)

    def two(z, s):
        u = sigmoid(z.u)
        return dict(h=s.h * u + tanh(z.n) * (1 - u))

    for equations in (one, two):
        assert len(lower(trace(cell(gates="u n", states="h")(equations))).spec["forward"]) == 1 + 4


@pytest.mark.parametrize("main", ["s.h * 1", "s.c + 0", "p.v * 1", "drop(0.5)", "p.v * s.c"])
def test_what_R_multiplies_may_be_any_value(main):
    """A text may put what it likes before z; its gradient is that of differences."""
    text = f"""cell any
gates a
states h c
vectors v
v1 = {main}
z.* = W x + b + R v1 + b'
h = tanh(z.a)
c = h + s.c
return h, c
"""
    draw = np.random.default_rng(0)
    plan, mask = lower(parse(text), train=True), draw.random((B, H)) < 0.5
    made = cell(gates="a", states="h c", vectors="v", name="any")(lambda z, s, p: {})
    weights = {name: draw.normal(size=shape) for name, shape in made.shapes(I, H).items()}
    x, start, dy = draw.normal(size=(T, B, I)), [draw.normal(size=(B, H)) for _ in "hc"], draw.normal(size=(T, B, H))

    def noise(rate, stream, t, width):
        return mask * 2.0

    steps = run(plan, weights, x, start, noise)[2]
    dx, dstates, dweights, _ = back(plan, weights, x, steps, dy, [np.zeros((B, H))] * 2, noise=noise)
    leaves = [x, *start, *weights.values()]
    ways = [draw.normal(size=leaf.shape) * 1e-6 for leaf in leaves]
    ends = []
    for sign in (1, -1):
        moved = [leaf + sign * way for leaf, way in zip(leaves, ways, strict=True)]
        y = run(plan, dict(zip(weights, moved[3:], strict=True)), moved[0], moved[1:3], noise)[0]
        ends.append((y * dy).sum())
    slope = sum((d * way).sum() for d, way in zip([dx, *dstates, *(dweights[k] for k in weights)], ways, strict=True))
    np.testing.assert_allclose(2 * slope, ends[0] - ends[1], rtol=1e-6)


def test_what_the_trace_wants_costs_nothing_twice():
    """A value wanted under two names has one column; h needs none; what training saves anyway is not saved again."""
    program = trace(ODD[0])
    plan = lower(program, keep=("h", "out", "c", "memory", "again"))
    assert plan.columns["h"] == plan.columns["out"] == Y
    assert plan.columns["c"] == plan.columns["memory"] == plan.columns["again"]
    assert plan.spec["saved"] == 1
    before = cell(gates="a", states="h c", name="before")(lambda z, s: dict(h=tanh(z.a) * s.c, c=s.c + z.a, old=s.c))
    assert lower(trace(before), train=True).spec["saved"] == 2  # tanh, and the new c for the old one of the next step
    assert lower(trace(before), keep=("old",), train=True).spec["saved"] == 2
    every = lower(trace(lstm()), keep=names(lstm()), train=True)
    assert every.spec["saved"] == 6
    assert len(every.spec["forward"]) == 9


def test_a_plan_reads_as_what_it_does():
    """The text of a plan says where everything goes."""
    assert (
        str(lower(trace(rnn("relu")), keep=("h",), train=True, grad_trace=True))
        == """plan of relu RNN
keep h in h
grad_trace h in dtrace[0]
forward
    z.* = W x + b + R s.h + b'
    h = relu z.h
backward
    dtrace[0] = dh
    dz.h = dh * relu' h
    ds.h = R^T dz
"""
    )
    for made in (*VARIANTS, *ODD):
        for drop in (0.0, 0.5):
            text = str(lower(trace(made, zone={"h": 0.5}, noise=True, drop=drop), keep=names(made), train=True))
            assert "NONE" not in text
            assert "none[" not in text


def test_what_was_an_old_state_has_no_gradient_in_a_trace():
    """The gradient of the step before is not this step's to give; unknown names are refused with those there are."""
    program = trace(ODD[1])
    with pytest.raises(Unsupported, match="the step itself, got c, which is s\\.h"):
        lower(program, keep=("c",), train=True, grad_trace=True)
    with pytest.raises(InputError, match="program of delay_line keep"):
        lower(program, keep=("no",))


def test_a_dense_program_is_lowered_in_a_moment():
    """Values that each use the last one twice do not make the work grow as its powers do."""
    lines = "\n".join(f"v{k + 1} = v{k} * v{k}" for k in range(3, 240))
    text = str(trace(lstm())).replace("v3 = tanh(c)", f"v3 = tanh(c)\n{lines}").replace("o * v3", "o * v240")
    start = time.process_time()
    plan = lower(parse(text), train=True)
    assert time.process_time() - start < 2
    assert len(plan.spec["backward"]) < 1000
    assert all(0 <= code[0] < len(OPS) for way in ("forward", "backward") for code in plan.spec[way])
