"""N-grams: back-off worked by hand and by brute force, files that are read strictly, estimates that sum to 1."""

import contextlib
import gzip
import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gated._check import InputError
from gated.decode import ngram

few = settings(max_examples=30, deadline=None)
LN10 = math.log(10)
WORKED = """
\\data\\
ngram 1=5
ngram 2=4
ngram 3=2

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.5
-0.7\t</s>
-0.6\tred\t-0.3
-0.9\tFox\t-0.2

\\2-grams:
-0.4\t<s> red\t-0.1
-0.2\tred Fox\t0.05
-0.8 red red -0.6
-0.3\tFox </s>

\\3-grams:
-0.05\t<s> red Fox
-0.1\tred red Fox

\\end\\
"""
TEXTS = st.lists(st.text("abc ", max_size=6), min_size=1, max_size=6)


def put(path, text):
    """A file of this text, gzipped where its name says so."""
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def tables(text):
    """The n-grams of an ARPA file's text, and their back-off weights, by words; read line by line, with no checks."""
    p, back, n = {}, {}, 0
    for line in text.splitlines():
        if line.endswith("-grams:"):
            n = int(line[1:].split("-")[0])
        elif n and line and not line.startswith("\\"):
            log_p, *rest = line.split()
            p[tuple(rest[:n])] = float(log_p)
            back[tuple(rest[:n])] = float(rest[n]) if len(rest) > n else 0.0
    return p, back


def brute(text, order, words, end=True):
    """log10 p of words by the definition, from the file's own text."""
    p, back = tables(text)
    words = ["<s>", *(word if (word,) in p else "<unk>" for word in words), *(["</s>"] if end else [])]

    def conditional(h, w):
        if (*h, w) in p:
            return p[(*h, w)]
        return back.get(h, 0.0) + conditional(h[1:], w)

    return sum(conditional(tuple(words[max(0, i - order + 1) : i]), words[i]) for i in range(1, len(words)))


# ---- back-off


@pytest.mark.parametrize("name", ["lm.arpa", "lm.gz"])
@pytest.mark.parametrize(
    ("words", "log10"),
    [
        ("red Fox", -0.4 - 0.05 + (0.05 - 0.3)),  # both listed; red Fox </s> is not: weight of red Fox, then Fox </s>
        ("", -0.5 - 0.7),  # weight of <s>, then </s>
        ("Fox", (-0.5 - 0.9) - 0.3),  # <s> Fox is not listed, so nothing of <s> is left before </s>
        ("red red Fox", -0.4 + (-0.1 - 0.8) - 0.1 + (0.05 - 0.3)),
        ("red red red", -0.4 + (-0.1 - 0.8) + (-0.6 - 0.8) + (-0.6 - 0.3 - 0.7)),  # three steps back for </s>
        ("red fox", -0.4 + (-0.1 - 0.3 - 1.5) + -0.7),  # another case is another word, unknown, with no weight
    ],
)
def test_back_off_is_as_worked_by_hand(tmp_path, name, words, log10):
    """Sums of the file's numbers, done by hand, times ln 10; plain or gzipped."""
    model = ngram.load(put(tmp_path / name, WORKED))
    assert model.log_prob(words.split()) == pytest.approx(log10 * LN10)
    assert brute(WORKED, 3, words.split()) == pytest.approx(log10)


@few
@given(sentences=TEXTS, order=st.integers(1, 5), query=st.text("abcd ", max_size=8))
def test_back_off_is_the_definition(tmp_path_factory, sentences, order, query):
    """Of any text, known characters or not, log_prob is the definition on what the file says."""
    path = tmp_path_factory.mktemp("lm") / "lm.arpa"
    ngram.save(ngram.estimate(sentences, order), path)
    names = ["<space>" if c == " " else c for c in query]
    expected = brute(path.read_text(), order, names) * LN10
    assert ngram.load(path).log_prob(query) == pytest.approx(expected, rel=1e-7)


@few
@given(sentences=TEXTS, order=st.integers(1, 4), query=st.text("abc ", max_size=6))
def test_a_row_is_every_words_probability(sentences, order, query):
    """`row` gives after any context what `conditional` gives word by word."""
    model = ngram.estimate(sentences, order)
    context = ()
    for word in ["<s>", *query.replace(" ", "c")]:
        context = model.extend(context, model.ids.get(word, 0))
        assert len(context) < order
        row = model.row(context)
        assert row == pytest.approx([model.conditional(context, w) for w in range(len(model.words))])
    assert model.row(()) is not row or order == 1


@few
@given(sentences=TEXTS, order=st.integers(2, 4), query=st.lists(st.integers(0, 6), max_size=6))
def test_a_context_forgets_nothing_that_matters(sentences, order, query):
    """What `after` keeps is listed, and what it drops changes no probability: full contexts give the same."""
    model = ngram.estimate(sentences, order)
    W = len(model.words)
    context = ()
    for i, word in enumerate(query):
        context = model.extend(context, word % W)
        assert not context or model.find(context) >= 0
        full = tuple(w % W for w in query[max(0, i + 2 - order) : i + 1])
        for w in range(W):
            assert model.conditional(context, w) == pytest.approx(model.conditional(full, w))


# ---- estimates


@few
@given(sentences=TEXTS, order=st.integers(1, 4))
def test_probabilities_sum_to_1(sentences, order):
    """After every context, listed or not, the words but <s> have probabilities that sum to 1, none of them 0."""
    model = ngram.estimate(sentences, order)
    words = [i for i, word in enumerate(model.words) if word != "<s>"]
    for n in range(min(order, 3)):
        for context in itertools.product(range(len(model.words)), repeat=n):
            row = np.exp(model.row(context))[words]
            assert row.min() > 0
            assert row.sum() == pytest.approx(1)


@few
@given(sentences=TEXTS, order=st.integers(1, 4))
def test_an_estimate_is_witten_and_bells(sentences, order):
    """Every listed probability is (c(hw) + T(h) p(w|h')) / (c(h) + T(h)), by counts made one by one."""
    model = ngram.estimate(sentences, order)
    lines = [["<s>", *("<space>" if c == " " else c for c in text), "</s>"] for text in sentences]
    grams = Counter(
        tuple(line[i : i + n]) for line in lines for n in range(1, order + 1) for i in range(len(line) - n + 1)
    )
    del grams[("<s>",)]
    vocabulary = {word for line in lines for word in line} - {"<s>"} | {"<unk>"}

    def p(h, w):
        follow = {g[-1]: c for g, c in grams.items() if g[:-1] == h}
        lower = p(h[1:], w) if h else 1 / len(vocabulary)
        return (follow.get(w, 0) + len(follow) * lower) / (sum(follow.values()) + len(follow)) if follow else lower

    listed = sum(map(len, model.keys))
    assert listed == len(grams) + 1 + ("<unk>" in vocabulary)
    for gram in grams:
        ids = [model.ids[word] for word in gram]
        assert math.exp(model.conditional(tuple(ids[:-1]), ids[-1])) == pytest.approx(p(gram[:-1], gram[-1]))


def test_a_better_model_is_a_longer_one():
    """On text like its training text a trigram beats a unigram; sentences may be words or characters."""
    lines = [f"the {a} fox sees the {b} dog" for a, b in itertools.product(["red", "old", "big"], repeat=2)] * 10
    for form in (str, str.split):
        one, three = (ngram.estimate(map(form, lines), n) for n in (1, 3))
        query = form("the old fox sees the red dog")
        assert three.log_prob(query) > 0.6 * one.log_prob(query)


@few
@given(sentences=TEXTS, order=st.integers(1, 4), packed=st.booleans())
def test_saved_and_loaded_is_the_same(tmp_path_factory, sentences, order, packed):
    """A file gives back the words, the n-grams and, to 8 digits, the numbers."""
    path = tmp_path_factory.mktemp("lm") / ("lm.arpa.gz" if packed else "lm.arpa")
    model = ngram.estimate(sentences, order)
    ngram.save(model, path)
    again = ngram.load(path)
    assert again.words == model.words
    for one, other in zip(again.keys, model.keys, strict=True):
        assert one.tolist() == other.tolist()
    for one, other in zip(again.log_p + again.back, model.log_p + model.back, strict=True):
        assert one == pytest.approx(other, rel=1e-7)


@pytest.mark.parametrize("sentences", [[], [["a", ""]], [["a b"]], [["<s>"]], [["</s>"]], ["a\tb"]])
def test_sentences_that_no_file_could_hold_are_refused(sentences):
    """No sentences, empty words, white space but the space itself, and the marks."""
    with pytest.raises(InputError, match="estimate"):
        ngram.estimate(sentences, 2)


@pytest.mark.parametrize("order", [0, 11])
def test_an_order_is_1_to_10(order):
    """The order is a number from 1 to 10."""
    with pytest.raises(InputError, match="order"):
        ngram.estimate(["a"], order)


# ---- files


def test_a_missing_unk_gets_a_floor(tmp_path):
    """Where the file has no <unk>, unknown words have a log p of -16; <UNK> is another name of it."""
    none = WORKED.replace("-1.5\t<unk>\n", "").replace("1=5", "1=4")
    model = ngram.load(put(tmp_path / "lm.arpa", none))
    assert model.log_prob(["what"]) == pytest.approx(-0.5 * LN10 - 16.0 - 0.7 * LN10)
    named = ngram.load(put(tmp_path / "lm.arpa", WORKED.replace("<unk>", "<UNK>")))
    assert named.log_prob(["what"]) == pytest.approx((-0.5 - 1.5 - 0.7) * LN10)


def test_white_space_around_is_no_matter(tmp_path):
    """Line ends of Windows, blanks at line ends and empty lines between parts are read over."""
    model = ngram.load(put(tmp_path / "lm.arpa", WORKED.replace("\n", " \r\n").replace("\\3-g", "\r\n\\3-g")))
    assert model.log_prob(["red", "Fox"]) == pytest.approx(-0.7 * LN10)


def test_words_are_bytes_between_blanks(tmp_path):
    """Only ASCII's white space separates words: a no-break space or an ideographic one is part of a word."""
    odd = "r\u00a0e\u3000d\u2028"
    model = ngram.load(put(tmp_path / "lm.arpa", WORKED.replace("red", odd)))
    assert model.log_prob([odd, "Fox"]) == pytest.approx(-0.7 * LN10)


WRONG = {  # what is changed -> what it becomes, the line named, words of the message
    "begin": ("\\data\\", "data", "line 2", "ARPA"),
    "order": ("ngram 2", "ngram 4", "line 4", "ngram 2=COUNT"),
    "count": ("2=4", "2=x", "line 4", "ngram 2=COUNT"),
    "none": ("1=5", "1=0", "line 3", "from 1"),
    "vast": ("3=2", "3=2000000000", "line 5", "1073741824"),
    "promised": ("3=2", "3=200000", "line 23", "200000 of them"),
    "fewer": ("2=4", "2=5", "line 19", "5 of them"),
    "more": ("2=4", "2=3", "line 18", "3-grams"),
    "missing": ("-0.3\tFox </s>\n", "", "line 18", "4 of them"),
    "number": ("-0.4\t", "-0.4x\t", "line 15", "a number"),
    "nan": ("-0.4\t", "nan\t", "line 15", "0 at most"),
    "infinite": ("-0.4\t", "-inf\t", "line 15", "0 at most"),
    "positive": ("-0.4\t", "0.4\t", "line 15", "0 at most"),
    "weight": ("red Fox\t0.05", "red Fox\tinf", "line 16", "weight"),
    "highest": ("<s> red Fox", "<s> red Fox\t-0.1", "line 21", "highest"),
    "columns": ("red Fox\t0.05", "red Fox 0.05 0.05", "line 16", "2 words"),
    "unknown": ("red Fox\t0.05", "blue Fox\t0.05", "line 16", "'blue'"),
    "again": ("-0.9\tFox", "-0.9\tred", "line 12", "'red' again"),
    "twice": ("red red -0.6", "red Fox -0.6", "line 17", "each n-gram once"),
    "context": ("red red Fox", "Fox red red", "line 22", "first 2 words"),
    "part": ("\\3-grams:", "\\4-grams:", "line 20", "3-grams"),
    "end": ("\\end\\\n", "", "its end", "end"),
    "after": ("\\end\\\n", "\\end\\\nmore\n", "line 25", "nothing after"),
    "begin mark": ("-99\t<s>\t-0.5\n", "-99\t<S>\t-0.5\n", "lm.arpa:", "<s>"),
    "end mark": ("-0.7\t</s>\n", "-0.7\t</S>\n", "lm.arpa:", "</s>"),
    "long": ("-0.6\tred", "-0.6\t" + 70000 * "r", "line 11", "65536 bytes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_arpa_file_is_refused_by_its_line(tmp_path, name):
    """Each fault is refused with the file, the line and what was expected there."""
    old, new, *words = WRONG[name]
    assert old in WORKED
    with pytest.raises(InputError) as error:
        ngram.load(put(tmp_path / "lm.arpa", WORKED.replace(old, new, 1)))
    for word in ("lm.arpa", *words):
        assert word in str(error.value), str(error.value)


def test_files_that_are_damaged_are_refused(tmp_path):
    """Nothing there, a folder, an empty file, a gzip file cut short or altered, bytes that are no UTF-8."""
    packed = gzip.compress((WORKED + "\n" * 9999).encode())
    cases = {"whole gzip": packed[:-9], "whole gzip file": packed[:40] + b"\0\xff\0" + packed[43:]}
    for words, data in [*cases.items(), ("UTF-8", WORKED.replace("Fox", "F\xf6x").encode("latin-1")), ("data", b"")]:
        (tmp_path / "lm").write_bytes(data)
        with pytest.raises(InputError, match=words):
            ngram.load(tmp_path / "lm")
    with pytest.raises(InputError, match="no such file"):
        ngram.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="a folder"):
        ngram.load(tmp_path)


def test_packed_promises_take_no_memory(tmp_path):
    """A gzip file that says it has a billion n-grams is refused where they end, before any room is made for them."""
    with pytest.raises(InputError, match="1000000000 of them"):
        ngram.load(put(tmp_path / "lm.gz", WORKED.replace("3=2", "3=1000000000")))


@few
@given(at=st.integers(0, len(WORKED.encode()) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_no_damage_crashes(tmp_path_factory, at, byte, cut):
    """A file with one byte altered, or cut short, is read or refused, and nothing else."""
    data = bytearray(WORKED.encode())
    data[at:] = data[at:][:0] if cut else bytes([byte]) + data[at + 1 :]
    path = put(tmp_path_factory.mktemp("lm") / "lm.arpa", bytes(data))
    with contextlib.suppress(InputError):
        assert ngram.load(path).log_prob(["red", "Fox"]) < 0


# ---- Kneser-Ney


STREAMS = st.lists(st.integers(0, 4), min_size=1, max_size=40)


def brute_kneser_ney(ids, size, order, context, word):
    """p(word | context) by the definition: counts at the top, numbers of distinct words before below it."""

    def counts(n):
        grams = Counter(zip(*(ids[k:] for k in range(n)), strict=False))
        if n == min(order, len(ids)):
            return grams
        longer = set(zip(*(ids[k:] for k in range(n + 1)), strict=False))
        return {gram: sum(other[1:] == gram for other in longer) for gram in grams}

    def p(h, w):
        if h is None:
            return 1 / size
        c = counts(len(h) + 1)
        n1, n2, n3, n4 = (sum(count == k for count in c.values()) for k in (1, 2, 3, 4))
        y = n1 / (n1 + 2 * n2) if n1 and n2 else 0.75
        rates = [k - (k + 1) * y * b / a if a and b else 0.75 for k, a, b in ((1, n1, n2), (2, n2, n3), (3, n3, n4))]
        rates = [0.0, *(min(max(rate, 0.05), k - 0.05) for k, rate in enumerate(rates, 1))]
        mine = {gram: count for gram, count in c.items() if gram[:-1] == h}
        total = sum(mine.values())
        below = p(h[1:] if h else None, w)
        if not total:
            return below
        taken = sum(rates[min(count, 3)] for count in mine.values())
        own = mine.get((*h, w), 0)
        return (own - rates[min(own, 3)] + taken * below) / total

    return p(tuple(context), word)


@few
@given(STREAMS, st.integers(1, 4), STREAMS)
def test_kneser_ney_is_its_definition_and_sums_to_1(train, order, text):
    """Each probability is that of the definition, and those after any context sum to 1, unseen words included."""
    model = ngram.kneser_ney(np.array(train), 6, order)
    highest = model.order
    context = ()
    for k, word in enumerate(text[:6]):
        assert np.exp(model.row(context)).sum() == pytest.approx(1)
        history = text[max(0, k - highest + 1) : k]
        assert math.exp(model.conditional(context, word)) == pytest.approx(
            brute_kneser_ney(train, 6, highest, history, word)
        )
        context = model.extend(context, word)


@few
@given(STREAMS, st.integers(1, 5), STREAMS)
def test_a_stream_scored_at_once_is_scored_word_by_word(train, order, text):
    """log_probs of a stream is the conditional of each word after those before it."""
    model = ngram.kneser_ney(np.array(train), 5, order)
    context, alone = (), []
    for word in text:
        alone.append(model.conditional(context, word))
        context = model.extend(context, word)
    np.testing.assert_allclose(model.log_probs(np.array(text)), alone, atol=1e-9)


def test_the_order_is_that_which_is_best_on_other_text():
    """Of a text in which each word follows from the two before it, three words are enough."""
    rng = np.random.default_rng(0)
    words = [0, 1]
    for _ in range(3000):
        words.append((words[-1] * 2 + words[-2] + (rng.random() < 0.2)) % 5)
    stream = np.array(words)
    assert ngram.kneser_ney(stream[:2500], 5, 8, stream[2500:]).order == 3


@pytest.mark.parametrize(("ids", "order"), [([], 2), ([1], 0), ([1], 11)])
def test_kneser_ney_needs_words_and_an_order(ids, order):
    """No word, or an order out of bounds, is one error."""
    with pytest.raises(InputError, match="kneser_ney"):
        ngram.kneser_ney(np.array(ids), 5, order)
