"""Attention, the decoder built on it, and the loss of a large vocabulary."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gated import InputError
from gated.layers import GRU, LSTM, Attention, Decoder
from gated.layers.dropout import Dropout, drop_weights, dropout, embed, locked
from gated.layers.output import cross_entropy
from gated.layers.seq2seq import State
from made.layers import close

DOUBLE = dict(dtype=torch.float64)
SCORES = ("additive", "dot", "general")
scores = pytest.mark.parametrize("score", SCORES)
covers = pytest.mark.parametrize("coverage", [0, 1, 3])


def attention(score, coverage=0, width=6):
    made = Attention(6, width, score, coverage=coverage).double()
    if coverage:
        nn.init.normal_(made.w)
    return made


def data(T=4, B=3, S=5, width=6):
    return torch.randn(T, B, 6, **DOUBLE), torch.randn(S, B, width, **DOUBLE)


@scores
def test_attention_is_the_equation(score):
    """e is the score of the paper, a its softmax over the encoder states, c their mean under a."""
    layer, (q, m) = attention(score), data()
    c, a = layer(q, m)
    for t in range(4):
        for b in range(3):
            if score == "additive":
                e = torch.stack([layer.v @ torch.tanh(layer.query(q[t, b]) + layer.key(s)) for s in m[:, b]])
            else:
                e = torch.stack([q[t, b] @ (s if score == "dot" else layer.key(s)) / math.sqrt(6) for s in m[:, b]])
            close(a[t, b], e.softmax(0))
            close(c[t, b], a[t, b] @ m[:, b])


@scores
@covers
def test_padding_has_no_weight(score, coverage):
    """Padded encoder states, NaN in the padding included, give what each sequence gives alone, gradients as well."""
    layer, (q, m) = attention(score, coverage), data()
    lengths = torch.tensor([5, 1, 3])
    padded = m.clone()
    for b, length in enumerate(lengths):
        padded[length:, b] = math.nan
    padded.requires_grad_()
    c, a = layer(q, padded, lengths)
    for b, length in enumerate(lengths):
        alone, weight = layer(q[:, b : b + 1], m[:length, b : b + 1])
        close(c[:, b : b + 1], alone)
        close(a[:, b : b + 1, :length], weight)
        assert not a[:, b, length:].any()
    (grad,) = torch.autograd.grad(c.square().sum(), padded)
    assert grad.isfinite().all()
    assert not grad[1:, 1].any()


@scores
def test_a_sequence_without_a_state_gives_zero(score):
    """Where there is nothing to attend to, c and a are zero."""
    layer, (q, m) = attention(score), data()
    c, a = layer(q, m, torch.tensor([5, 0, 2]))
    assert not c[:, 1].any()
    assert not a[:, 1].any()


@scores
@pytest.mark.parametrize("k", [1, 3, 5])
def test_coverage_moves_a_key_by_its_earlier_weights(score, k):
    """The key of s is moved by Σ_j w_j times the earlier weights on s + j; coverage continues between calls."""
    layer, (q, m) = attention(score, k), data()
    c, a = layer(q, m)
    ready = layer.prepare(m)
    coverage, r = torch.zeros(3, 5, **DOUBLE), k // 2
    for t in range(4):
        keys = ready.keys.clone()
        for s in range(5):
            for j in range(-r, r + 1):
                if 0 <= s + j < 5:
                    keys[:, s] += coverage[:, s + j, None] * layer.w[:, r + j]
        one, weight = layer.attend(q[t : t + 1], ready._replace(keys=keys))
        close(c[t : t + 1], one)
        close(a[t : t + 1], weight)
        coverage = coverage + weight[0]
    first, _ = layer(q[:2], m)
    rest, _ = layer(q[2:], m, coverage=a[:2].sum(0))
    close(torch.cat([first, rest]), c)


def test_what_does_not_fit_is_refused():
    """A dot product of unlike widths, an unknown score, and queries or encoder states of another width are refused."""
    with pytest.raises(InputError, match="queries as wide as the encoder states, got 6 and 8"):
        Attention(6, 8, "dot")
    with pytest.raises(InputError, match="one of 'additive', 'dot', 'general'"):
        Attention(6, 8, "cosine")
    with pytest.raises(InputError, match="an odd number of steps, got 2"):
        Attention(6, 6, coverage=2)
    with pytest.raises(InputError, match="Attention query"):
        attention("dot")(torch.randn(4, 3, 7, **DOUBLE), data()[1])


# ---- the decoder


def decoder(kind=LSTM, top=True, feeding=False, coverage=0, score="general", dropout=0.0):
    bottom = kind(4 + 5 * feeding, 6, 1 if top else 2, **DOUBLE)
    made = Decoder(
        attention(score, coverage, 8),
        bottom,
        kind(14, 7, 2, **DOUBLE) if top else None,
        5,
        feeding=feeding,
        dropout=dropout,
    )
    return made.double()


def begin(made, B=3, S=5):
    encoder = made.attention.prepare(torch.randn(S, B, 8, **DOUBLE), torch.tensor([5, 2, 4][:B]))
    return encoder, made.start(encoder, None, None)


def rows(state, index):
    """A state with some of its sequences."""

    def pick(hx):
        return tuple(h[:, index] for h in hx) if isinstance(hx, tuple) else None if hx is None else hx[:, index]

    readout, coverage = (None if part is None else part[index] for part in (state.readout, state.coverage))
    return State(pick(state.bottom), pick(state.top), readout, coverage)


kinds = pytest.mark.parametrize(
    "how",
    [
        {}, {"top": False}, {"feeding": True}, {"coverage": 3}, {"feeding": True, "coverage": 3, "top": False},
        {"kind": GRU, "feeding": True}, {"score": "additive", "coverage": 3},
    ],
    ids=str,
)  # fmt: skip


@kinds
def test_step_by_step_is_the_whole_sequence(how):
    """What a decoder says of a whole sequence is what it says step after step from the states between them."""
    made, x = decoder(**how), torch.randn(6, 3, 4, **DOUBLE)
    encoder, state = begin(made)
    o, a, end = made(x, encoder, state)
    outs, weights = [], []
    for t in range(6):
        out, weight, state = made(x[t : t + 1], encoder, state)
        outs.append(out)
        weights.append(weight)
    close(torch.cat(outs), o)
    close(torch.cat(weights), a)
    close(rows(state, slice(None)), rows(end, slice(None)))


@kinds
def test_hypotheses_share_encoder_states(how):
    """K hypotheses of a sentence, in rows k·B + b, give what each gives with encoder states of its own."""
    made, x, K = decoder(**how), torch.randn(2, 3, 4, **DOUBLE), 4
    encoder, state = begin(made)
    _, _, state = made(x, encoder, state)
    many = rows(state, torch.arange(3).repeat(K))
    step = torch.randn(1, 3 * K, 4, **DOUBLE)
    o, a, ends = made(step, encoder, many)
    for k in range(K):
        part = slice(3 * k, 3 * k + 3)
        one, weight, end = made(step[:, part], encoder, rows(many, part))
        close(o[:, part], one)
        close(a[:, part], weight)
        close(rows(ends, part), rows(end, slice(None)))


def test_a_decoder_is_its_equations():
    """o_t = tanh(W [y'_t; c_t] + b), with y' from layers that read the contexts, and without them y itself."""
    made, x = decoder(), torch.randn(6, 3, 4, **DOUBLE)
    encoder, state = begin(made)
    o, _, _ = made(x, encoder, state)
    y, _ = made.bottom(x)
    c, _ = made.attention(y, encoder)
    upper, _ = made.top(torch.cat([y, c], -1))
    close(o, torch.tanh(made.readout(torch.cat([upper, c], -1))))


def test_every_weight_of_a_decoder_learns():
    """A loss on the readouts reaches every weight, coverage's and the first layer's included."""
    made, x = decoder(feeding=True, coverage=3, score="additive"), torch.randn(6, 3, 4, **DOUBLE)
    made(x, *begin(made))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_a_decoder_of_parts_that_do_not_fit_is_refused():
    """Layers whose widths do not meet are refused where the decoder is made, with both widths."""
    with pytest.raises(InputError, match="queries of 7, got 6"):
        Decoder(attention("general", width=8), LSTM(4, 7), None, 5)
    with pytest.raises(InputError, match="input_size 14, got 13"):
        Decoder(attention("general", width=8), LSTM(4, 6), LSTM(13, 7), 5)


# ---- the loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("N", [0, 1, 255, 256, 600])
def test_the_loss_is_torchs(smoothing, N):
    """Loss and gradients are those of torch's cross_entropy over all logits at once."""
    o, W, b = (torch.randn(*size, **DOUBLE, requires_grad=True) for size in ((N, 7), (11, 7), (11,)))
    y = torch.randint(11, (N,))
    mine = cross_entropy(o, W, b, y, smoothing)
    theirs = F.cross_entropy(o @ W.T + b, y, label_smoothing=smoothing, reduction="sum")
    close(mine, theirs)
    for one, two in zip(
        torch.autograd.grad(mine * 3, (o, W, b)), torch.autograd.grad(theirs * 3, (o, W, b)), strict=True
    ):
        torch.testing.assert_close(one, two, atol=1e-10, rtol=1e-10)
    with torch.no_grad():
        close(cross_entropy(o, W, b, y, smoothing), theirs)


def test_the_loss_under_autocast_multiplies_low_and_sums_high():
    """Under autocast the products are bfloat16's, the loss is float32 and near to the exact one."""
    o, W, b = torch.randn(300, 16, requires_grad=True), torch.randn(50, 16, requires_grad=True), torch.zeros(50)
    y = torch.randint(50, (300,))
    exact = cross_entropy(o, W, b, y, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = cross_entropy(o, W, b, y, 0.1)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, exact, rtol=5e-3, atol=0)
    one, two = (torch.autograd.grad(loss, W)[0] for loss in (low, exact))
    assert float((one - two).norm() / two.norm()) < 0.02


# ---- dropout


@pytest.mark.parametrize("p", [0.1, 0.4, 0.75])
def test_dropout_leaves_out_a_share_and_keeps_the_mean(p):
    """Numbers are zero with probability p, independently, and else divided by 1 − p; the gradient is the mask."""
    x = torch.ones(301, 1001, requires_grad=True)
    y = dropout(x, p)
    y.sum().backward()
    assert torch.equal(x.grad, y)
    assert set(y.unique().tolist()) == {0.0, y.max().item()}
    assert abs(y.max().item() * (1 - p) - 1) < 1e-4
    gone = (y == 0).double()
    spread = math.sqrt(p * (1 - p) / x.numel())
    assert abs(gone.mean() - p) < 5 * spread + 1 / 65536
    for other in (gone[:, 1:] * gone[:, :-1], gone[:, 4:] * gone[:, :-4], gone[1:] * gone[:-1]):
        assert abs(other.mean() - p * p) < 6 * spread


def test_locked_dropout_has_one_mask_for_all_steps():
    """A number is left out at every step or at none, another one in each sequence; the mean stays."""
    y = locked(torch.ones(5, 200, 40), 0.25)
    assert torch.equal(y, y[:1].expand_as(y))
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (y == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(locked(y, 0.25, training=False), y)


def test_dropout_of_tokens_leaves_out_a_token_wherever_it_occurs():
    """A token's embedding is zero at all its places or at none, and others are scaled."""
    tokens, table = torch.randint(0, 400, (30, 50)), torch.ones(400, 3)
    y = embed(tokens, table, 0.4)[..., 0]
    by_token = [set(y[tokens == k].tolist()) for k in tokens.unique()]
    assert all(len(values) == 1 for values in by_token)
    assert (y == 0).float().mean() == pytest.approx(0.4, abs=0.1)
    assert torch.equal(embed(tokens, table, 0.4, training=False), torch.ones(30, 50, 3))


def test_weight_dropout_is_the_layer_with_masked_recurrent_weights():
    """DropConnect multiplies R by one mask a call, in the native core, and its gradient reaches what is left of R."""
    layer, x = LSTM(3, 4), torch.randn(6, 2, 3)
    R = layer.weight_hh_l0.detach().clone()
    y, _ = drop_weights(layer, 0.5, True, x)
    y.sum().backward()
    kept = layer.weight_hh_l0.grad != 0
    assert 0 < kept.float().mean() < 1
    with torch.no_grad():
        layer.weight_hh_l0.copy_(R * kept * 2)
    torch.testing.assert_close(layer(x)[0], y.detach())
    with torch.no_grad():
        layer.weight_hh_l0.copy_(R)
    torch.testing.assert_close(drop_weights(layer, 0.5, False, x)[0], layer(x)[0])


def test_dropout_at_the_ends():
    """p = 0 and evaluation change nothing, p = 1 leaves zeros, and the generator decides."""
    x = torch.randn(5, 7)
    assert dropout(x, 0.0) is x
    assert Dropout(0.5).eval()(x) is x
    assert not dropout(x, 1.0).any()
    assert dropout(x[:0], 0.5).shape == (0, 7)
    torch.manual_seed(3)
    first = dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.5), first)
    assert not torch.equal(dropout(x, 0.5), first)
    assert dropout(x.bfloat16(), 0.5).dtype == torch.bfloat16
    with pytest.raises(InputError, match="from 0 to 1"):
        Dropout(1.5)
