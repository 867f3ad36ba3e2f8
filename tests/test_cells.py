"""The equations of one step."""

from types import SimpleNamespace

import pytest
import torch
from torch import sigmoid, tanh

from gated import InputError, cells
from gated.cells import cell, gru, lstm, rnn


def draw(*names, width=5, rows=3):
    """A namespace with a random tensor by each name; a half of a gate is written "n.x"."""
    values = SimpleNamespace()
    for name in names:
        *outer, last = name.split(".")
        place = values
        for part in outer:
            place.__dict__.setdefault(part, SimpleNamespace())
            place = getattr(place, part)
        setattr(place, last, torch.randn(rows, width, dtype=torch.float64))
    return values


def normal(a, gain, shift):
    """Layer normalisation written out."""
    return gain * (a - a.mean(-1, keepdim=True)) / (a.var(-1, keepdim=True, correction=0) + 1e-5).sqrt() + shift


def check(values, **expected):
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(values[name], value, atol=1e-14, rtol=1e-14)


def test_lstm_is_the_papers():
    """c = f c + i g and h = o tanh c, with i, f, o through σ and g through tanh."""
    z, s = draw("i", "f", "g", "o"), draw("h", "c")
    c = sigmoid(z.f) * s.c + sigmoid(z.i) * tanh(z.g)
    h = sigmoid(z.o) * tanh(c)
    check(lstm()(z, s), h=h, c=c, i=sigmoid(z.i), f=sigmoid(z.f), g=tanh(z.g), o=sigmoid(z.o))


def test_lstm_of_1997_never_forgets():
    """Without forget gate c = c + i g."""
    z, s = draw("i", "g", "o"), draw("h", "c")
    c = s.c + sigmoid(z.i) * tanh(z.g)
    check(lstm(forget=False)(z, s), h=sigmoid(z.o) * tanh(c), c=c, i=sigmoid(z.i), g=tanh(z.g), o=sigmoid(z.o))


def test_coupled_lstm_forgets_what_it_writes_over():
    """CIFG is the LSTM whose f is 1 - i."""
    z, s = draw("i", "g", "o"), draw("h", "c")
    i, g, o = sigmoid(z.i), tanh(z.g), sigmoid(z.o)
    c = (1 - i) * s.c + i * g
    check(lstm(coupled=True)(z, s), h=o * tanh(c), c=c, i=i, f=1 - i, g=g, o=o)


def test_peepholes_show_the_old_c_to_i_and_f_and_the_new_c_to_o():
    """i and f see p ⊙ c_{t-1}, o sees p ⊙ c_t."""
    z, s, p = draw("i", "f", "g", "o"), draw("h", "c"), draw("ci", "cf", "co", rows=1)
    i, f, g = sigmoid(z.i + p.ci * s.c), sigmoid(z.f + p.cf * s.c), tanh(z.g)
    c = f * s.c + i * g
    o = sigmoid(z.o + p.co * c)
    check(lstm(peephole=True)(z, s, p), h=o * tanh(c), c=c, i=i, f=f, g=g, o=o)


def test_projection_maps_the_output_only():
    """h = W_hr (o tanh c), while c keeps its width."""
    z, s, matrix = draw("i", "f", "g", "o"), draw("h", "c"), torch.randn(2, 5, dtype=torch.float64)
    plain = lstm()(z, s)
    check(lstm(project=True)(z, s, SimpleNamespace(hr=lambda a: a @ matrix.T)), **plain | dict(h=plain["h"] @ matrix.T))


def test_layer_norm_is_per_gate_and_on_c_before_its_tanh():
    """Every gate's pre-activation is normalised by itself, peephole inside; the c carried on is not."""
    z, s, p = draw("i", "f", "g", "o"), draw("h", "c"), draw("ci", "cf", "co", rows=1)
    for name in "ifgoc":
        for kind in ("gain", "shift"):
            setattr(p, f"{kind}_{name}", torch.randn(5, dtype=torch.float64))
    i = sigmoid(normal(z.i + p.ci * s.c, p.gain_i, p.shift_i))
    f = sigmoid(normal(z.f + p.cf * s.c, p.gain_f, p.shift_f))
    g = tanh(normal(z.g, p.gain_g, p.shift_g))
    c = f * s.c + i * g
    o = sigmoid(normal(z.o + p.co * c, p.gain_o, p.shift_o))
    h = o * tanh(normal(c, p.gain_c, p.shift_c))
    check(lstm(peephole=True, norm=True)(z, s, p), h=h, c=c, i=i, f=f, g=g, o=o)


def test_gru_resets_after_or_before_the_product():
    """After: n = tanh(z.n.x + r z.n.h); before: n = tanh(z.n + R (r h)); then h = (1-z) n + z h."""
    z, s = draw("r", "z", "n.x", "n.h"), draw("h")
    r, u = sigmoid(z.r), sigmoid(z.z)
    n = tanh(z.n.x + r * z.n.h)
    check(gru()(z, s), h=(1 - u) * n + u * s.h, r=r, z=u, n=n)
    matrix, z.n = torch.randn(5, 5, dtype=torch.float64), z.n.x
    n = tanh(z.n + (r * s.h) @ matrix.T)
    before = gru("before")(z, s, SimpleNamespace(hn=lambda a: a @ matrix.T))
    check(before, h=(1 - u) * n + u * s.h, r=r, z=u, n=n)


def test_rnn_is_its_nonlinearity():
    """h = tanh z, or relu z, or either of the normalised z."""
    z = draw("h")
    check(rnn()(z, None), h=tanh(z.h))
    check(rnn("relu")(z, None), h=z.h.clamp(min=0))
    p = draw("gain_h", "shift_h", rows=1)
    p = SimpleNamespace(gain_h=p.gain_h[0], shift_h=p.shift_h[0])
    check(rnn("tanh", norm=True)(z, None, p), h=tanh(normal(z.h, p.gain_h, p.shift_h)))


class Symbol:
    """Anything that answers to the words of a cell: here it writes down what it is asked."""

    def __init__(self, text):
        self.text = text

    def __add__(self, other):
        return Symbol(f"({self.text} + {getattr(other, 'text', other)})")

    def __mul__(self, other):
        return Symbol(f"({self.text} * {getattr(other, 'text', other)})")

    def __rsub__(self, other):
        return Symbol(f"({other} - {self.text})")

    def sigmoid(self):
        return Symbol(f"σ({self.text})")

    def tanh(self):
        return Symbol(f"tanh({self.text})")

    def layer_norm(self, gain, shift, epsilon):
        return Symbol(f"LN({self.text}, {gain.text}, {shift.text}, {epsilon})")


def test_the_same_text_runs_on_symbols():
    """A cell called with symbols in place of tensors yields its own equations."""
    z, s = (
        SimpleNamespace(**{k: Symbol(f"z.{k}") for k in "igo"}),
        SimpleNamespace(**{k: Symbol(f"s.{k}") for k in "hc"}),
    )
    values = lstm(coupled=True)(z, s)
    assert values["f"].text == "(1 - σ(z.i))"
    assert values["c"].text == "(((1 - σ(z.i)) * s.c) + (σ(z.i) * tanh(z.g)))"
    p = SimpleNamespace(gain_h=Symbol("a"), shift_h=Symbol("b"))
    assert rnn(norm=True)(SimpleNamespace(h=Symbol("z")), s, p)["h"].text == "tanh(LN(z, a, b, 1e-05))"


def test_a_variant_is_made_once():
    """The same variant is the same object, so that whatever is kept by cell is found again."""
    assert lstm() is lstm()
    assert lstm(peephole=True) is not lstm()


def two(z, s):
    return dict(h=z.a)


def three(z, s, p):
    return dict(h=z.a)


@pytest.mark.parametrize(
    ("words", "function", "says"),
    [
        (dict(gates="", states="h"), two, "at least one gate"),
        (dict(gates="a a", states="h"), two, "gates that are names, each once, got 'a a'"),
        (dict(gates="a", states="c"), two, "a state named h"),
        (dict(gates="a", states="h", split="b"), two, "expected one of 'a', got 'b'"),
        (dict(gates="a b", states="h", input_only="a"), two, "input_only gates to stand last"),
        (dict(gates="a", states="h", input_only="a"), two, "a gate that sees h"),
        (dict(gates="a", states="h", keep="f"), two, "keep and write among the gates 'a', got 'f'"),
        (dict(gates="a", states="h", vectors="k"), two, "a function of \\(z, s, p\\), got one of 2 arguments"),
        (dict(gates="a", states="h", vectors="k", recur="k"), three, "one name for each parameter"),
        (dict(gates="a", states="h", project="hh"), three, "other than ih and hh, got hh"),
        (dict(gates="a", states="h"), lambda z: z, "a function of \\(z, s\\), got one of 1 arguments"),
        (dict(gates=["a"], states="h"), two, "cell gates: expected names in one string, apart by spaces, got a list"),
        (dict(gates="a", states=("h", "c")), two, "cell states: expected names in one string.*got a tuple"),
        (
            dict(gates="a", states="h", vectors=None),
            three,
            "cell vectors: expected names in one string.*got a NoneType",
        ),
        (dict(gates="a", states="h", recur=True), three, "cell recur: expected names in one string.*got a bool"),
        (dict(gates="a,b", states="h"), two, "gates that are names, each once, got 'a,b'"),
        (dict(gates="a if", states="h"), two, "gates that are names, each once, got 'a if'"),
        (dict(gates="a", states="h", project="q r"), three, "one name for project, got 'q r'"),
        (dict(gates="a", states="h", recur="q r"), three, "one name for recur, got 'q r'"),
        (dict(gates="a b", states="h", keep="a b"), two, "one name for keep, got 'a b'"),
        (dict(gates="a b", states="h", write="a b"), two, "one name for write, got 'a b'"),
        (dict(gates="a", states="h", torch="lstm gru"), two, "one name for torch, got 'lstm gru'"),
        (dict(gates="a", states="h", torch="tanh"), two, "torch: expected one of '', 'lstm', 'gru'"),
        (dict(gates="a", states="h", vectors="gain_a", norms="a"), three, "one name for each parameter"),
        (dict(states="h"), two, "at least one gate"),
        (dict(gates="a"), two, "a state named h"),
        (dict(gates="a", states="h"), "two", "a function of \\(z, s\\) or \\(z, s, p\\), got str"),
    ],
)
def test_a_cell_that_makes_no_sense_is_refused(words, function, says):
    """Each mistake in a declaration has one error that names the cell and the mistake."""
    with pytest.raises(InputError, match=says):
        cell(**words, name="mine")(function)


def test_a_declaration_that_stands_nowhere_is_refused():
    """@cell without its arguments, or with them by place, says how it is written."""
    for misplaced in ((two,), ("a b", "h")):
        with pytest.raises(InputError, match=r"cell: expected its arguments by name.*got .*Write @cell\(gates="):
            cell(*misplaced)


def test_a_step_must_return_every_state():
    """A cell that forgets a state, or returns no dict, says so."""
    lost = cell(gates="a", states="h c")(three)
    with pytest.raises(InputError, match="cell three: expected a dict with h and c, got only h"):
        lost(draw("a"), draw("h", "c"))
    with pytest.raises(InputError, match="expected a dict with h, got Tensor"):
        cell(gates="a", states="h", name="bare")(lambda z, s: z.a)(draw("a"), draw("h"))


def test_variants_that_exclude_each_other_are_refused():
    """There is nothing to couple without a forget gate."""
    with pytest.raises(InputError, match="coupled=True with a forget gate"):
        lstm(forget=False, coupled=True)
    with pytest.raises(InputError, match="RNN nonlinearity: expected one of 'tanh', 'relu', got 'gelu'"):
        rnn("gelu")
    with pytest.raises(InputError, match="GRU reset: expected one of 'after', 'before', got 'never'"):
        gru("never")


@pytest.mark.parametrize("made", [lstm(), lstm(project=True, peephole=True, norm=True), gru(), gru("before"), rnn()])
def test_shapes_begin_with_torchs_four(made):
    """Parameters stand in torch's order, a variant's own after them."""
    names = list(made.shapes(3, 4, 2 if made.project else 0))
    assert names[:4] == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert cells.Cell.shapes(made, 3, 4, 2, bias=False).keys() == set(names) - {"bias_ih", "bias_hh"}
