"""Step programs: a cell's equations traced, printed and read back, and what cannot be."""

import re
import time

import numpy as np
import pytest
import torch

from gated import InputError
from gated.cells import cell, layer_norm, lstm, tanh
from gated.kernels.program import Unsupported, parse
from gated.kernels.trace import trace
from gated.layers import Recurrent


def test_a_program_reads_as_its_equations():
    """One value a line, under the names that the cell gives them."""
    text = """cell coupled LSTM
gates i g o
states h c
v1 = drop(0.5)
v2 = v1 * s.h
z.* = W x + b + R v2 + b'
i = sigmoid(z.i)
g = tanh(z.g)
f = 1 - i
v3 = f * s.c
v4 = i * g
v5 = v3 + v4
o = sigmoid(z.o)
v6 = tanh(v5)
h = o * v6
v7 = noise(0.1, s.c)
v8 = v7 * s.c
v9 = 1 - v7
v10 = v9 * v5
c = v8 + v10
return h, c, i, f, g, o
"""
    assert str(trace(lstm(coupled=True), zone={"c": 0.1}, noise=True, drop=0.5)) == text


WEIGHT = torch.ones(5)


def refused(expression, says):
    return pytest.param(expression, says, id=expression)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        refused("torch.sin(z.a)", "got torch.sin"),
        refused("torch.where(z.a > 0, z.a, s.h)", "got a comparison of values"),
        refused("z.a if z.a else s.h", "got a choice by a value"),
        refused("max(z.a, 0)", "got a comparison"),
        refused("z.a.exp()", r"got \.exp of a value"),
        refused("z.a[..., :2]", "got indexing"),
        refused("z.a @ WEIGHT", "got the operator @"),
        refused("WEIGHT * z.a", "got a Tensor from elsewhere"),
        refused("z.a + WEIGHT", "got a Tensor"),
        refused("torch.cat([z.a, s.h])", "got torch.cat"),
        refused("torch.add(z.a, s.h, alpha=2)", "got torch.add with alpha"),
        refused("np.exp(z.a)", "got numpy.exp"),
        refused("z.a ** 3", "got a power of 3"),
        refused("z.a * float('inf')", "got the number inf"),
        refused("z.a * 1e999", "got the number inf"),
        refused("z.a * True", "got the number True"),
        refused("z.a.detach()", r"got \.detach of a value"),
        refused("float(z.a)", "got a value as one number"),
        refused("sum([z.a] * 500)", "at most 400 values, got more"),
        refused("none(z.a)", "got gradients turned on or off"),
        refused("WEIGHT", "got a Tensor"),
    ],
)
def test_what_a_program_cannot_say_is_refused_by_the_line(expression, says):
    """The error names the cell, the file, the line and its text, what was used, and what can be used."""
    scope = dict(torch=torch, np=np, WEIGHT=WEIGHT, none=torch.no_grad()(lambda a: a * 2))
    source = f"lambda z, s, p: dict(h={expression})"
    made = cell(gates="a", states="h", recur="q", name="mine")(eval(compile(source, "mine.py", "eval"), scope))
    with pytest.raises(Unsupported, match=f"^cell mine, mine.py:1: expected .*{says}.*path='loop'"):
        trace(made)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        refused("z.b", "one of z.a, z.forget, z.n, got z.b"),
        refused("z.forgt", "got z.forgt. Did you mean 'forget'"),
        refused("z.A", "got z.A. Did you mean 'a'"),
        refused("s.c", "one of s.h, s.cell, got s.c"),
        refused("s.cel", "Did you mean 'cell'"),
        refused("p.v", "one of p.vec, p.gain_a, p.shift_a, p.q, got p.v"),
        refused("p.vect", "Did you mean 'vec'"),
        refused("layer_norm(z.a, p.gain_n, p.shift_n)", "got p.gain_n. Did you mean 'gain_a'"),
        refused("z.a.x", "halves .x and .h of gates in split alone, got z.a.x. Add split='a'"),
        refused("z.n", "expected z.n.x or z.n.h, got z.n as a whole"),
        refused("2 * z.n", "got z.n as a whole"),
        refused("torch.tanh(z.n)", "got z.n as a whole"),
        refused("tanh(z.n)", "one of z.n.x, z.n.h, got z.n.tanh"),
        refused("z * 2", "expected z.a or z.forget or z.n, got z as a whole"),
        refused("z['a']", "got z as a whole"),
        refused("p.q", "got p.q, which is a map. Call it"),
        refused("p.q * s.h", "got p.q, which is a map"),
        refused("p.q(2.0)", "expected a value of the cell, got p.q of 2.0"),
        refused("p.vec(s.h)", r"expected a map, declared by project or recur, got p.vec\(…\), which is a value"),
        refused("z.a.sigmoidd()", "what a tensor has, got .sigmoidd of a value"),
    ],
)
def test_what_no_path_can_run_is_refused_by_its_name(expression, says):
    """A cell that names what it has not declared is refused when a layer is made of it, never left to the loop."""
    scope = dict(torch=torch, tanh=tanh, layer_norm=layer_norm)
    source = f"lambda z, s, p: dict(h={expression}, cell=s.h)"
    words = dict(gates="a forget n", states="h cell", split="n", vectors="vec", norms="a", recur="q", name="mine")
    made = cell(**words)(eval(compile(source, "mine.py", "eval"), scope))
    with pytest.raises(InputError, match=f"^cell mine, mine.py:1: .*{says}"):
        Recurrent(made, 3, 4)


def test_a_cell_that_the_core_cannot_run_names_what_the_loop_misses():
    """A mistake after what a program cannot say is found by the loop, with the same words; hasattr still answers."""
    late = cell(gates="a", states="h", name="late")(lambda z, s: dict(h=torch.sin(z.a) * s.c))
    with pytest.raises(InputError, match=r"^cell late: expected one of s\.h, got s\.c"):
        Recurrent(late, 3, 4)(torch.zeros(5, 2, 3))
    asks = cell(gates="a", states="h")(lambda z, s: dict(h=z.b if hasattr(z, "b") else z.a))
    assert Recurrent(asks, 3, 4).explain(torch.zeros(5, 2, 3)).startswith("native")


def test_the_line_at_fault_is_shown():
    """The line is the cell's own, even where a helper in another file did it."""

    def equations(z, s):
        a = tanh(z.a)
        a += s.h
        return dict(h=a)

    line = equations.__code__.co_firstlineno + 2
    says = f"cell equations, {re.escape(__file__)}:{line} `a \\+= s.h`: expected .* got a change in place"
    with pytest.raises(Unsupported, match=says):
        trace(cell(gates="a", states="h")(equations))
    wide = cell(gates="a", states="h", project="k", name="wide")(lambda z, s, p: dict(h=p.k(z.a) * z.a))
    with pytest.raises(Unsupported, match=r"`.*p\.k\(z\.a\) \* z\.a.*`: expected values of one width"):
        trace(wide)
    wide = cell(gates="a", states="h", project="k", name="wide")(lambda z, s, p: dict(h=z.a))
    with pytest.raises(InputError, match=r"`wide = cell.*z\.a\)\)`: expected a new h as wide as the old.*proj_size"):
        Recurrent(wide, 3, 4, proj_size=2)


GOOD = str(trace(lstm()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("cell LSTM", "sell LSTM"), "line 1 `sell LSTM`: expected cell and its name"),
        (("gates i f g o", "gates i f g i"), "line 2 .*each once"),
        (("gates i f g o\n", ""), "line 2"),
        (("states h c", "states c"), "expected a state h"),
        (("states h c", "states h c\nsplit q"), "split and input_only among them"),
        (("states h c", "states h c\ninput_only i"), "input_only gates in order at the end"),
        (("states h c", "states h c\nvectors a\nrecur a"), "one name for each parameter"),
        (("states h c", "states h c\nwidgets a"), "line 4 `widgets a`: expected name = value"),
        (("z.* = W x + b + R s.h + b'\n", ""), "after the line z"),
        (("R s.h", "R s.c"), r"expected z\.\* once"),
        (("i = sigmoid(z.i)", "i = gelu(z.i)"), "`i = gelu\\(z.i\\)`: expected .* got gelu"),
        (("i = sigmoid(z.i)", "i = sigmoid(z.i, z.f)"), "expected sigmoid of 1, got of 2"),
        (("i = sigmoid(z.i)", "i = sigmoid(z.q)"), "a value that is there by then, got z.q"),
        (("i = sigmoid(z.i)", "i = sigmoid(c)"), "a value that is there by then, got c"),
        (("i = sigmoid(z.i)", "i = sigmoid(2)"), "got numbers only"),
        (("i = sigmoid(z.i)", "i = __import__('os')"), "line 5"),
        (("i = sigmoid(z.i)", "i = neg(z.i)"), "line 5"),
        (("i = sigmoid(z.i)", "i = drop(2)"), "a rate from 0 to 1, got 2"),
        (("i = sigmoid(z.i)", "i = noise(0.5, z.i)"), r"noise\(rate, s.k\)"),
        (("i = sigmoid(z.i)", "i = noise(0.5)"), "noise of 2"),
        (("i = sigmoid(z.i)", "i = z.i * 1e999"), "finite numbers"),
        (("i = sigmoid(z.i)", "i = z.i * 1.50"), "the text that such a program prints as"),
        (("i = sigmoid(z.i)", "i  = sigmoid(z.i)"), "expected name = value"),
        (("g = tanh(z.g)", "i = tanh(z.g)"), "a name not yet given, got i"),
        (("g = tanh(z.g)", "g = tanh(z.g)\nq = tanh(z.g)"), "the text that such a program prints as"),
        (("return h, c", "return h"), "expected a result c"),
        (("return h, c", "return h, c, c"), "names, each once"),
        (("return h, c", "return h, c, d=q"), "a value that is there, got q"),
        (("return h, c, i, f, g, o\n", ""), "at last a return"),
    ],
)
def test_a_text_that_no_program_prints_is_refused_by_its_line(change, says):
    """A program may come from a file: whatever is not one is refused, with the line."""
    assert change[0] in GOOD
    with pytest.raises(InputError, match=f"^program .*{says}"):
        parse(GOOD.replace(*change))


@pytest.mark.parametrize(
    "text",
    [
        "", "\n" * 50_000, "cell ", "a" * 60_001, "cell a\n" + "gates" + " g" * 20_000, "return h",
        GOOD.replace("sigmoid(z.i)", "sigmoid(" * 5000 + ")" * 5000), GOOD.replace("z.i", "z" + ".i" * 20_000),
        GOOD.replace("v3", "v" * 5000 + " "), GOOD.replace("z.i", "1" * 50_000),
        GOOD.replace("z.i)", "z.i, " * 9000 + ")"),
        GOOD.replace("h = o", "\n".join(f"w{k + 1} = w{k} + w{k}" for k in range(2000)) + "\nh = o"),
    ],
    ids=range(12),
)  # fmt: skip
def test_hostile_texts_are_refused_at_once(text):
    """Length, depth and repetition cost nothing: the refusal comes in a moment."""
    start = time.process_time()
    with pytest.raises(InputError, match=r"^program"):
        parse(text)
    assert time.process_time() - start < 1
