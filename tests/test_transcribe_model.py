"""The transcriber's network and what it learns from: laws of its front, losses, batches and second writer."""

import itertools
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gated import train
from gated.decode import ctc
from gated.tasks.transcribe import attention, augment, batches, frames, model
from gated.tasks.transcribe.batches import Batch, BatchOptions, Example
from gated.tasks.transcribe.data import Item
from gated.tasks.transcribe.frames import Frames
from gated.tasks.transcribe.model import Network, Shape

ROWS, V = 8, 3
BLOCKS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([1, 2]), st.sampled_from([1, 2])), max_size=3)
SHAPES = st.builds(
    Shape, rows=st.just(ROWS), symbols=st.just(V), blocks=BLOCKS.map(tuple), stack=st.integers(1, 3),
    cell=st.sampled_from(["lstm", "gru"]), layers=st.integers(1, 2), units=st.just(4), both=st.booleans(),
)  # fmt: skip
TIMES = st.integers(1, 40)
quick = settings(max_examples=25, deadline=None)


def made(shape, seed=0):
    with train.seeded(seed):
        return Network(shape).eval()


def draw(T, seed=0, rows=ROWS):
    return np.random.default_rng((T, seed)).standard_normal((rows, T)).astype(np.float32)


def alone(module, x):
    """What a network, or its front, makes of one example."""
    with torch.no_grad():
        return module(torch.from_numpy(x)[None], torch.tensor([x.shape[1]]))[0][:, 0]


def states():
    """The global random generators; the checks of shapes under test draw from Python's themselves."""
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002


# ---- the front


@quick
@given(SHAPES, st.lists(TIMES, min_size=2, max_size=4), st.integers(0, 20))
def test_an_example_does_not_know_its_batch(shape, times, more):
    """Its steps, ⌈T / stride⌉ of them, and what is said of them are the same alone, beside others and padded."""
    network, xs = made(shape), [draw(T, k) for k, T in enumerate(times)]
    x, lengths = batches.pad(xs)
    with torch.no_grad():
        log_probs, steps = network(torch.nn.functional.pad(x, (0, more)), lengths)
    assert steps.tolist() == [math.ceil(T / shape.stride) for T in times]
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(log_probs.shape[:2]))
    for k, one in enumerate(xs):
        torch.testing.assert_close(alone(network, one), log_probs[: steps[k], k], atol=1e-5, rtol=1e-5)


@quick
@given(SHAPES, TIMES)
def test_a_step_is_its_window(shape, T):
    """Step n is computed from frames n·stride - before to n·stride - before + field, zeros where there are none."""
    front, x = made(shape).front, draw(T)
    y = alone(front, x)
    assert y.shape[1] == shape.features
    padded = np.pad(x, ((0, 0), (shape.before, shape.field + shape.stride)))
    with torch.no_grad():
        for n, row in enumerate(y):
            window = padded[:, n * shape.stride : n * shape.stride + shape.field]
            torch.testing.assert_close(
                front.window(torch.from_numpy(window.copy())[None])[0, 0], row, atol=1e-5, rtol=1e-5
            )


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("blocks", "stack"), [
    (((8, 2, 2), (8, 2, 2)), 1), (((8, 2, 1), (8, 2, 2), (8, 1, 1)), 2), ((), 4), (((8, 1, 2),), 3)
])  # fmt: skip
def test_a_step_sees_its_field_and_no_more(blocks, stack, both):
    """The frames that change step n when they change are those from n·stride - before on, `field` of them."""
    shape = Shape(ROWS, V, blocks, stack, "lstm", 1, 4, both)
    front, T, n = made(shape).front, 60, 24 // shape.stride
    x = draw(T)
    seen = []
    for t in range(T):
        there = [x.copy(), x.copy()]
        there[0][:, t] += 30
        there[1][:, t] -= 30
        seen += [t] if any(not torch.equal(alone(front, other)[n], alone(front, x)[n]) for other in there) else []
    first = n * shape.stride - shape.before
    assert seen == [*range(first, first + shape.field)]
    assert shape.before == ((shape.field - shape.stride) // 2 if both else shape.field - shape.stride)


@quick
@given(SHAPES.map(lambda shape: shape._replace(both=False)), TIMES, st.data())
def test_a_forward_network_sees_nothing_to_come(shape, T, data):
    """Whatever comes after frame (n + 1)·stride, what is said until step n stays."""
    network, x = made(shape), draw(T)
    n = data.draw(st.integers(0, (T - 1) // shape.stride))
    other = x.copy()
    other[:, (n + 1) * shape.stride :] = 100
    torch.testing.assert_close(alone(network, other)[: n + 1], alone(network, x)[: n + 1], atol=1e-5, rtol=1e-5)


@quick
@given(SHAPES, st.integers(1, 90), st.integers(1, 7))
def test_long_input_goes_through_the_front_end_in_chunks(shape, T, chunk):
    """Chunks of any number of steps are the whole."""
    front, x = made(shape).front, draw(T)
    with torch.no_grad():
        parts, _ = front(torch.from_numpy(x)[None], torch.tensor([T]), chunk)
    torch.testing.assert_close(parts[:, 0], alone(front, x), atol=1e-5, rtol=1e-5)


# ---- the loss

TINY = Shape(ROWS, V, ((4, 2, 2),), 1, "lstm", 1, 4, True)


def batch(times, texts, seed=0):
    x, lengths = batches.pad([draw(T, seed + k) for k, T in enumerate(times)])
    flat = torch.tensor([token for text in texts for token in text], dtype=torch.int64)
    return Batch(x, lengths, flat, torch.tensor([len(text) for text in texts]))


def brute(log_probs, text):
    """log p(text): the sum over all paths."""
    paths = [
        sum(log_probs[t, k] for t, k in enumerate(path))
        for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs))
        if [k for k, _ in itertools.groupby(path) if k] == text
    ]
    return torch.logsumexp(torch.stack(paths), 0)


TEXTS = [[1], [1, 1], [2, 1, 2]]
LENGTHS = [2, 9, 10]  # 1, 5, 5 steps


def test_the_loss_is_the_sum_over_all_paths():
    """Σ −log p(text | x) of the output, and `early` times that of the front alone; and its gradients are those."""
    network, given = made(TINY), batch(LENGTHS, TEXTS)
    y, h, steps = network.encode(given.x, given.lengths)
    for scores, early in ((network.output(h), 0.0), (network.early(y), 0.3)):
        scores = scores.detach().double().requires_grad_()
        log_probs = torch.log_softmax(scores, -1)
        right = -torch.stack([brute(log_probs[:n, k], TEXTS[k]) for k, n in enumerate(steps.tolist())]).sum()
        found = model.ctc(scores, steps, given)
        assert found.item() == pytest.approx(right.item(), rel=1e-5)
        ours, brutes = (torch.autograd.grad(value, scores)[0] for value in (found, right))
        torch.testing.assert_close(ours, brutes, atol=1e-5, rtol=1e-4)
        if early:
            plain, count = model.loss(network, given)
            both, _ = model.loss(network, given, early)
            assert (both - plain).item() == pytest.approx(early * right.item(), rel=1e-4)
            assert count == 6


def test_a_text_without_time_counts_nothing():
    """With more symbols than steps it adds neither to the loss nor to a gradient; all stays finite."""
    network = made(TINY)
    with_it, without = batch([9, 2], [[1, 2], [1, 1, 2]]), batch([9], [[1, 2]])
    for early in (0.0, 1.0):
        found, plain = (model.loss(network, given, early)[0] for given in (with_it, without))
        assert found.item() == pytest.approx(plain.item(), rel=1e-5)
        grads = torch.autograd.grad(found, list(network.parameters()), allow_unused=True)
        assert all(bool(g.isfinite().all()) for g in grads if g is not None)


def test_a_batch_costs_what_its_examples_cost():
    """The loss of a batch is the sum of those of its examples, with attention too."""
    for spell in (False, True):
        network = made(TINY._replace(spell=spell))
        together, _ = model.loss(network, batch(LENGTHS, TEXTS), 0.3)
        parts = [model.loss(network, batch([T], [text], k), 0.3)[0] for k, (T, text) in
                 enumerate(zip(LENGTHS, TEXTS, strict=True))]  # fmt: skip
        assert together.item() == pytest.approx(sum(part.item() for part in parts), rel=1e-5)


# ---- the second writer


@pytest.fixture(scope="module")
def writer():
    """A decoder that knows nothing, three examples' states, and CTC's log p of their steps."""
    with train.seeded(3):
        decoder = attention.AttentionDecoder(V, 6, 5).eval()
    steps = torch.tensor([3, 2, 3])
    rng = np.random.default_rng(1)
    h = torch.from_numpy(rng.standard_normal((3, 3, 5)).astype(np.float32))
    scores = torch.from_numpy(rng.standard_normal((3, 3, V)) * 1.5)
    return decoder, h, steps, [torch.log_softmax(scores[:n, k], -1).numpy() for k, n in enumerate(steps.tolist())]


def score_by_steps(decoder, h, text):
    """log p(text | x) and of its end, symbol by symbol: h (S, M)."""
    total = 0.0
    with torch.no_grad():
        memory, state = decoder.start(h[:, None], torch.tensor([len(h)]))
        before = attention.END
        for token in [*text, attention.END]:
            o, _, state = decoder.run(torch.tensor([[before]]), memory, state)
            total += torch.log_softmax(o[0, 0] @ decoder.embed.weight.T + decoder.bias, -1)[token].item()
            before = token
    return total


def test_the_second_loss_is_a_loop(writer):
    """Σ −log p of every symbol after those before it, and of the end, whatever the batch is padded with."""
    decoder, h, steps, _ = writer
    texts = [[1, 2, 2], [], [2]]
    flat, counts = torch.tensor([k for text in texts for k in text]), torch.tensor([len(text) for text in texts])
    right = -sum(score_by_steps(decoder, h[:n, k], texts[k]) for k, n in enumerate(steps.tolist()))
    assert decoder.loss(h, steps, flat, counts).item() == pytest.approx(right, rel=1e-5)
    noisy = h.clone()
    noisy[2, 1] = 100  # the second example ends before
    assert decoder.loss(noisy, steps, flat, counts).item() == pytest.approx(right, rel=1e-5)


def test_the_best_text_is_the_best_by_both(writer):
    """Of all texts that fit, the n_best have the largest λ log p_ctc + (1 − λ) log p, and their own times."""
    decoder, h, steps, log_probs = writer
    with torch.no_grad():
        found = attention.decode_jointly(decoder, h, steps, log_probs, 60)
    for k, n in enumerate(steps.tolist()):
        texts = [list(text) for size in range(n + 1) for text in itertools.product(range(1, V), repeat=size)]
        both = {}
        for text in texts:
            heard = ctc.log_prob(log_probs[k], text)
            if heard > -math.inf:
                both[tuple(text)] = attention.CTC_WEIGHT * heard + (1 - attention.CTC_WEIGHT) * score_by_steps(
                    decoder, h[:n, k], text
                )
        right = sorted(both, key=both.__getitem__, reverse=True)
        assert [tuple(one.tokens) for one in found[k]] == right
        for one in found[k]:
            assert one.score == pytest.approx(both[tuple(one.tokens)], rel=1e-4)
            assert one.log_prob == pytest.approx(ctc.log_prob(log_probs[k], one.tokens))
            assert [span.token for span in one.spans] == one.tokens
            assert all(span.first <= span.last < n for span in one.spans)


def test_what_is_spelt_does_not_depend_on_the_others(writer):
    """Alone or side by side, the texts are the same; where no text fits CTC's steps, it is CTC's own."""
    decoder, h, steps, log_probs = writer
    with torch.no_grad():
        together = attention.decode_jointly(decoder, h, steps, log_probs, 3)
        for k, n in enumerate(steps.tolist()):
            (single,) = attention.decode_jointly(decoder, h[:n, k : k + 1], steps[k : k + 1], [log_probs[k]], 3)
            assert [one.tokens for one in single] == [one.tokens for one in together[k]]
            assert [one.score for one in single] == pytest.approx([one.score for one in together[k]], rel=1e-4)
    (only,) = attention.rescore(log_probs[0], [])
    assert only == ctc.greedy(log_probs[0])


# ---- batches

PEOPLE = ["ann", "bo", ""]


def examples(n, seed=0, longest=60):
    """Their symbols are their numbers, so that one sees where they are."""
    rng = np.random.default_rng(seed)
    return [
        Example(rng.normal(-8, 2, (ROWS, int(T))).astype(np.float16), [k + 10], PEOPLE[int(rng.integers(3))])
        for k, T in enumerate(rng.integers(1, longest + 1, n))
    ]


def voices(some):
    mean = {who: np.stack([np.full(ROWS, -8.0 + k), np.full(ROWS, 2.0 + k)]) for k, who in enumerate(PEOPLE)}
    return {who: (side[0], side[1]) for who, side in mean.items()}


OPTIONS = [
    BatchOptions(True, stats=voices(())), BatchOptions(False),
    BatchOptions(True, 1.0, 1.0, join=3, separator=(1,), normalise="running", stats=voices(())),
    BatchOptions(True, 0.3, 0.3, join=2, normalise="speaker", stats=voices(())),
    BatchOptions(False, 1.0, 1.0, join=4, separator=(1,)),
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=["sound", "print", "running", "speaker", "joined"])
def test_a_batch_is_its_number(options):
    """Asked for in any order, by anyone, batch n of a seed is the same; no one else's random state is touched."""
    some, before = examples(20), states()
    first, turn = batches.bucket(some, 120, options, 7)
    numbers = list(range(4 * turn))
    there = {n: first(n) for n in numbers}
    again, _ = batches.bucket(some, 120, options, 7)
    for n in random.Random(1).sample(numbers, len(numbers)):
        assert all(torch.equal(a, b) for a, b in zip(again(n), there[n], strict=True))
    assert states() == before
    other, _ = batches.bucket(some, 120, options, 8)
    assert any(not torch.equal(other(n).tokens, there[n].tokens) for n in numbers)


@pytest.mark.parametrize("options", OPTIONS, ids=["sound", "print", "running", "speaker", "joined"])
def test_a_batch_is_whole_and_clean(options):
    """Its numbers are finite, zero after each example's end, and its symbols as many as it counts."""
    batch, turn = batches.bucket(examples(24), 150, options)
    for n in range(3 * turn):
        x, lengths, tokens, counts = batch(n)
        assert x.dtype == torch.float32
        assert bool(x.isfinite().all())
        assert int(lengths.max()) == x.shape[2]
        assert int(lengths.min()) >= 1
        assert int(counts.sum()) == len(tokens)
        for row, length in zip(x, lengths.tolist(), strict=True):
            assert not row[:, length:].any()


@quick
@given(st.integers(1, 40), st.integers(1, 5), st.integers(30, 400), st.integers(0, 99))
def test_every_example_comes_in_every_pass(count, join, budget, seed):
    """Once, or twice where batches would be empty; joined ones have one speaker, and the separator between them."""
    some = examples(count, seed)
    options = BatchOptions(True, join=join, separator=(1, 2), stats=voices(some))
    batch, turn = batches.bucket(some, budget, options, seed)
    for passing in range(0, 30, 10):
        met = []
        for n in range(turn):
            found = batch(passing * turn + n)
            parts = found.tokens.split(found.counts.tolist())
            for part in parts:
                text = part.tolist()
                who = {some[k - 10].speaker for k in text if k >= 10}
                assert len(who) == 1
                assert [k for k in text if k < 10] == [1, 2] * ((len(text) - 1) // 3)
                assert text[::3] == [k for k in text if k >= 10]
                assert len(text[::3]) <= min(join, 1 + passing // batches.GROW)
                met += text[::3]
        assert set(met) == {k + 10 for k in range(count)}
        assert len(met) - count < turn * join


@quick
@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(0, 99), st.integers(50, 600),
       st.integers(0, 9))  # fmt: skip
def test_a_batch_keeps_its_budget(lengths, short, budget, seed):
    """Padding included, it has at most some budgets of frames, or is one example, however uneven the lengths."""
    some = [Example(np.zeros((1, T), np.float16), [1]) for T in [*lengths, *[2] * short]]
    batch, turn = batches.bucket(some, budget, BatchOptions(False), seed)
    for n in range(2 * turn):
        x = batch(n).x
        assert len(x) == 1 or len(x) * x.shape[2] <= 4 * budget


@pytest.mark.parametrize("kind", ["utterance", "running", "speaker"])
def test_a_batch_is_normalised_as_a_file_is(kind):
    """What the network learns from is what it will read: to 1e-4, whatever the examples are padded with."""
    some = examples(9)
    known = voices(some) if kind == "speaker" else dict.fromkeys(voices(some), voices(some)[""])
    batch, turn = batches.bucket(some, 100, BatchOptions(True, normalise=kind, stats=known))
    met = 0
    for n in range(turn):
        x, lengths, tokens, _ = batch(n)
        for row, length, token in zip(x, lengths.tolist(), tokens.tolist(), strict=True):
            one = some[token - 10]
            right = frames.normalise(one.x, kind, known[one.speaker])
            np.testing.assert_allclose(row[:, :length].numpy(), right, atol=1e-4)
            met += 1
    assert met >= len(some)


def test_frames_are_measured_over_all_of_them():
    """The figures of a band are the mean and deviation of all frames together; a speaker's, of their voiced ones."""
    xs = [draw(T, T) for T in (3, 8, 21)]
    mean, std = frames.mean_std(xs)
    whole = np.concatenate(xs, 1)
    np.testing.assert_allclose(mean, whole.mean(1), atol=1e-6)
    np.testing.assert_allclose(std, whole.std(1), atol=1e-6)
    hushed = [np.concatenate([x, np.full((ROWS, 9), -30, np.float32)], 1) for x in xs]
    items = [Item(f"{k}.wav", speaker=who) for k, who in enumerate(("ann", "bo", "ann"))]
    found = frames.measure(Frames("sound", ROWS, 8000, normalise="speaker"), items, hushed)
    assert set(found) == {"ann", "bo"}
    np.testing.assert_allclose(found["bo"][0], frames.mean_std([xs[1]])[0])
    np.testing.assert_allclose(found["ann"][1], frames.mean_std([xs[0], xs[2]])[1])


@quick
@given(st.lists(TIMES, min_size=1, max_size=12), st.integers(1, 120))
def test_all_that_is_read_comes_once(times, budget):
    """Reading in batches of like length passes over nothing and doubles nothing, within the budget of frames."""
    xs = [draw(T, k) for k, T in enumerate(times)]
    met = []
    for mine, x, lengths in batches.split(xs, budget):
        assert len(mine) == 1 or len(mine) * x.shape[2] <= budget
        for k, row, length in zip(mine, x, lengths.tolist(), strict=True):
            np.testing.assert_array_equal(row[:, :length], xs[k])
        met += mine
    assert sorted(met) == list(range(len(xs)))


# ---- what examples undergo


def levels(times, seed=0):
    x, lengths = batches.pad([draw(T, seed) * 2 - 8 for T in times])
    return x, lengths


def test_no_strength_is_no_change():
    """Strength 0 leaves every frame where it was; strength near 0 nearly so, and hides next to nothing."""
    x, lengths = levels([30, 9, 1])
    for strength, atol in ((0.0, 1e-4), (1e-4, 0.05)):
        y, after = augment.perturb(x, lengths, np.random.default_rng(1), strength)
        assert after.tolist() == lengths.tolist()
        for row, same, length in zip(y, x, lengths.tolist(), strict=True):
            torch.testing.assert_close(row[:, :length], same[:, :length], atol=atol, rtol=0)
    assert (augment.mask(x, lengths, np.random.default_rng(1), 1e-4) == x).float().mean() > 0.5


@quick
@given(st.lists(TIMES, min_size=1, max_size=4), st.floats(0.01, 3), st.integers(0, 99))
def test_a_change_is_its_generator(times, strength, seed):
    """One state of the generator gives one change; lengths stay within the speeds; all is finite; no other is asked."""
    x, lengths = levels(times)
    before, kept = states(), x.clone()
    (y, after), (again, _) = (
        augment.perturb(x, lengths, np.random.default_rng(seed), strength) for _ in range(2)
    )  # fmt: skip
    hidden = augment.mask(y, after, np.random.default_rng(seed), strength)
    assert torch.equal(hidden, augment.mask(y, after, np.random.default_rng(seed), strength))
    assert states() == before
    assert torch.equal(x, kept)
    assert torch.equal(y, again)
    assert y.shape == (len(times), ROWS, int(after.max()))
    assert bool(y.isfinite().all())
    assert bool(((hidden == y) | (hidden == 0)).all())
    for length, now in zip(times, after.tolist(), strict=True):
        span = strength * augment.SPEED
        assert max(1, math.floor(length / (1 + span))) <= now <= math.ceil(length / (1 - span)) + 1


@quick
@given(st.integers(2, 40), st.integers(1, 40), st.integers(0, 99))
def test_what_lies_after_an_example_does_not_leak_in(T, more, seed):
    """At any speed, the last frames of an example are its own, not the padding's, which would be loud."""
    x = torch.full((2, ROWS, T + more), -12.0)
    x[0, :, T:] = 0  # padding
    quiet = (30.0, 40.0)  # of noise
    y, after = augment.perturb(x, torch.tensor([T, T + more]), np.random.default_rng(seed), 1.0, quiet)
    own = y[0, :, : after[0]]
    torch.testing.assert_close(own, own[:, :1].expand_as(own), atol=1e-4, rtol=0)
