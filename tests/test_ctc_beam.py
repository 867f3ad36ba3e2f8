"""CTC's prefix beam, with and without scorers, against brute force and its own laws."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gated.decode import ctc, ngram, scorer
from made.ctc import SEEDS, SIZES, SPACE, SYMBOLS, WIDE, Fixed, few, orderly, rank, same, spoken, world

# ---- the beam


@few
@given(**SIZES, zeros=st.sampled_from([0.0, 0.4]))
def test_a_wide_beam_is_brute_force(seed, T, V, zeros):
    """Without pruning a wide beam finds every text that has a path, in order, with its exact log-probability."""
    x = world(seed, T, V, zeros)
    expected = rank(x)
    same(ctc.beam(x, n_best=len(expected) + 5, **WIDE), expected)


@few
@given(**SIZES, alpha=st.floats(0, 3), beta=st.floats(-2, 2))
def test_a_wide_beam_with_a_language_model_is_brute_force(seed, T, V, alpha, beta):
    """The score is log p + α log p_lm with the end + β for each symbol."""
    x, lm = world(seed, T, V), Fixed(V, seed)
    expected = rank(x, lambda text: alpha * lm.whole(text) + beta * len(text))
    same(ctc.beam(x, n_best=2000, lm=lm, alpha=alpha, beta=beta, **WIDE), expected)


@few
@given(seed=SEEDS, T=st.integers(0, 5), beta=st.floats(-2, 2))
def test_with_a_separator_the_bonus_is_for_words(seed, T, beta):
    """β counts words: runs of symbols between separators, however many, or the ends."""
    x = world(seed, T, 4)

    def words(text):
        return len("".join(SYMBOLS[v] for v in text).split())

    expected = rank(x, lambda text: beta * words(text))
    same(ctc.beam(x, n_best=2000, beta=beta, separator=SPACE, **WIDE), expected)


@few
@given(seed=SEEDS, alpha=st.floats(0, 2), n=st.integers(1, 3))
def test_a_character_n_gram_scores_texts(seed, alpha, n):
    """An n-gram over the symbols' texts gives each text α times its log p, the end's included."""
    x = world(seed, 4, 4)
    model = ngram.estimate(["ab ba", "a", "bb a"], n)
    expected = rank(x, lambda text: alpha * model.log_prob("".join(SYMBOLS[v] for v in text)))
    same(ctc.beam(x, n_best=2000, lm=scorer.from_ngram(model, SYMBOLS, SPACE), alpha=alpha, **WIDE), expected)


@few
@given(seed=SEEDS, alpha=st.floats(0, 2), n=st.integers(1, 3))
def test_a_word_n_gram_scores_the_words_that_symbols_spell(seed, alpha, n):
    """An n-gram over words gives each text α times the log p of its words, known or not, and of the end."""
    x = world(seed, 5, 4)
    model = ngram.estimate([["ab", "ba"], ["aa", "b"], ["ab"]], n)
    expected = rank(x, lambda text: alpha * model.log_prob("".join(SYMBOLS[v] for v in text).split()))
    lm = scorer.from_ngram(model, SYMBOLS, SPACE)
    assert isinstance(lm, scorer.Words)
    same(ctc.beam(x, n_best=2000, lm=lm, alpha=alpha, **WIDE), expected)


def test_an_n_gram_is_of_words_or_of_symbols_by_what_it_holds():
    """Most of its words longer than a symbol: words that symbols spell; else, and without a separator: symbols."""
    letters, words = ngram.estimate(["a"], 2), ngram.estimate([["ab", "a", "ba"]], 2)
    assert isinstance(scorer.from_ngram(letters, SYMBOLS, SPACE), scorer.Symbols)
    assert isinstance(scorer.from_ngram(words, SYMBOLS, SPACE), scorer.Words)
    assert isinstance(scorer.from_ngram(words, ["", "ab", "ba"]), scorer.Symbols)


@pytest.mark.parametrize("symbols", [SYMBOLS, ["", "a", "bb", " "]], ids=["letters", "longer"])
def test_a_word_on_its_way_counts_as_the_best_that_begins_so(symbols):
    """Before a word ends it counts max log p(w) of the words that begin with it, after that log p(word | context)."""
    model = ngram.estimate([["ab", "ba"], ["abb", "b", "aab"], ["ab", "bba"], ["cab"]], 2)
    one, lm = model.log_p[0], scorer.Words(model, symbols, SPACE)

    def value(text):
        *complete, word = "".join(symbols[v] for v in text).split(" ")
        ahead = [one[i] for i, w in enumerate(model.words) if w.startswith(word) and w[0] != "<"]
        context, total = model.extend((), model.ids["<s>"]), 0.0
        for w in filter(None, complete):
            token = model.ids.get(w, 0)
            total, context = total + model.conditional(context, token), model.extend(context, token)
        return total + (max(ahead, default=one[0]) if word else 0.0)

    front = {(): (0.0, *lm.start())}
    for _ in range(6):
        grown = {}
        for text, (total, state, row) in front.items():
            assert total == pytest.approx(value(text), abs=1e-12)
            assert total + row[0] == pytest.approx(model.log_prob("".join(symbols[v] for v in text).split()))
            for token in (1, 2, 3):
                (after,), rows = lm.step([state], [token])
                grown[(*text, token)] = (total + row[token], after, rows[0])
        front = grown


@few
@given(seed=SEEDS)
def test_symbols_may_be_words(seed):
    """Where symbols are words, an n-gram over words scores each of them, unknown ones as <unk>."""
    x, symbols = world(seed, 4, 4), ["", "one", "two", "many"]
    model = ngram.estimate([["one", "two"], ["two", "one", "two"]], 2)
    expected = rank(x, lambda text: 0.5 * model.log_prob([symbols[v] for v in text]))
    same(ctc.beam(x, n_best=2000, lm=scorer.from_ngram(model, symbols), **WIDE), expected)


def boost(text, phrases, separator):
    """What hot words add to a finished text, phrases given as symbols: whole words, each time."""
    total = 0.0
    for phrase, gain in phrases.items():
        n = len(phrase)
        for i in range(len(text) - n + 1):
            begins = separator is None or i == 0 or text[i - 1] == separator
            ends = separator is None or i + n == len(text) or text[i + n] == separator
            total += gain * (begins and ends and text[i : i + n] == phrase)
    return total


def share(text, phrases, separator):
    """What they add on the way: the best share of a phrase that the text ends with the beginning of."""
    shares = [0.0]
    for phrase, gain in phrases.items():
        for n in range(1, len(phrase) + (separator is not None)):
            i = len(text) - n
            begins = i >= 0 and (separator is None or i == 0 or text[i - 1] == separator)
            shares.append(gain * n / len(phrase) * (begins and text[i:] == phrase[:n]))
    over = [p for p in phrases if separator is not None and text[len(text) - len(p) :] == p]
    done = {p: g for p, g in phrases.items() if p not in over}
    closed = boost(text, done, separator) + sum(boost((*text[:-1], -1), {p: phrases[p]}, separator) for p in over)
    return closed + max(shares)


HOT = {
    SPACE: ({"ab": 2.0, "abb": 1.5, "b a": 3.0, "a": 0.7}, SYMBOLS),
    None: ({"one": 0.8, "one two": 2.0, "two two": 1.0, "two two one": 4.0}, ["", "one", "two", "many"]),
}


def spelled(separator):
    """The hot phrases of HOT as symbols."""
    phrases, symbols = HOT[separator]
    return {
        tuple(symbols.index(part) for part in (phrase.split() if separator is None else phrase)): gain
        for phrase, gain in phrases.items()
    }


@pytest.mark.parametrize("separator", HOT)
@few
@given(seed=SEEDS, T=st.integers(0, 5))
def test_hot_words_rank_as_brute_force_does(separator, seed, T):
    """A finished text gets the boost of every hot phrase in it, whole words only, and nothing for a part of one."""
    x, phrases = world(seed, T, 4), spelled(separator)
    hot = scorer.HotWords(*HOT[separator], separator)
    same(ctc.beam(x, n_best=2000, hot=hot, **WIDE), rank(x, lambda text: boost(text, phrases, separator)))


@pytest.mark.parametrize("separator", HOT)
def test_hot_words_lend_their_share_and_take_it_back(separator):
    """On the way a prefix has what it earned and the best open share: for every text of up to 6 symbols."""
    phrases, hot = spelled(separator), scorer.HotWords(*HOT[separator], separator)
    front = {(): (0.0, *hot.start())}
    for _ in range(6):
        grown = {}
        for text, (total, state, row) in front.items():
            assert total == pytest.approx(share(text, phrases, separator), abs=1e-12)
            assert total + row[0] == pytest.approx(boost(text, phrases, separator), abs=1e-12)
            for token in (1, 2, 3):
                (after,), rows = hot.step([state], [token])
                grown[(*text, token)] = (total + row[token], after, rows[0])
        front = grown


def test_a_hot_word_changes_what_is_read():
    """Without the boost the more probable text wins, with it the hot one, and other texts keep their scores."""
    x = np.log(np.array([[0.01, 0.97, 0.01, 0.01], [0.04, 0.3, 0.64, 0.02], [0.01, 0.04, 0.05, 0.9]]))
    hot = scorer.HotWords(["a"], SYMBOLS, SPACE, boost=3.0)
    (plain,), (hotter,) = ctc.beam(x, **WIDE), ctc.beam(x, hot=hot, **WIDE)
    assert plain.tokens == [1, 2, 3]
    assert hotter.tokens == [1, 3]
    assert hotter.score == pytest.approx(hotter.log_prob + 3.0)


@few
@given(seed=SEEDS, T=st.integers(0, 4))
def test_a_text_that_goes_on_is_scored_as_far_as_it_goes(seed, T):
    """Asked before the end, a beam ranks prefixes: no p(end), no bonus for the last word, the share of a hot one."""
    x, lm, phrases = world(seed, T, 4), Fixed(4, seed), spelled(SPACE)

    def more(text):
        words = sum(v != SPACE and after == SPACE for v, after in itertools.pairwise(text))
        log_p = lm.whole(text) - lm.row(text)[0]
        return 0.6 * log_p + 0.9 * words + share(text, phrases, SPACE)

    hot = scorer.HotWords(*HOT[SPACE], SPACE)
    beam = ctc.Beam(lm=lm, alpha=0.6, beta=0.9, separator=SPACE, hot=hot, **WIDE)
    same(beam.feed(x).best(2000), rank(x, more))


@few
@given(
    seed=SEEDS, L=st.integers(0, 15), width=st.sampled_from([1, 2, 8, 30]), prune=st.sampled_from([0.0, 1e-3, 0.3, 1.0])
)
def test_the_n_best_are_sorted_distinct_and_aligned(seed, L, width, prune):
    """However narrow and pruned: best first, no text twice, log p no more than exact, spans in order."""
    x = spoken(seed, L, 5)
    x[np.random.default_rng(seed).random(x.shape) < 0.2] = -math.inf
    x[np.isneginf(x).all(1), 1] = 0.0
    readings = ctc.beam(x, n_best=width, width=width, prune=prune)
    assert 1 <= len(readings) <= width
    scores = [reading.score for reading in readings]
    assert scores == sorted(scores, reverse=True)
    assert len({tuple(reading.tokens) for reading in readings}) == len(readings)
    for reading in readings:
        assert reading.log_prob <= ctc.log_prob(x, reading.tokens) + 1e-9
        orderly(reading.spans, reading.tokens, len(x))


def scored():
    """A beam with everything, whose bits a piece of another size must not change."""
    model = ngram.estimate(["ab ba", "a", "bb a"], 3)
    hot = scorer.HotWords({"ab": 2.0, "b a": 1.0}, SYMBOLS, SPACE)
    return ctc.Beam(width=6, lm=scorer.Symbols(model, SYMBOLS), alpha=0.7, beta=0.3, separator=SPACE, hot=hot)


@few
@given(seed=SEEDS, L=st.integers(0, 30), cuts=st.lists(st.integers(0, 60), max_size=6), plain=st.booleans())
def test_pieces_give_the_bits_of_the_whole(seed, L, cuts, plain):
    """Frames in pieces of any size, empty ones too, give bit for bit what the frames at once give; asking is free."""
    x = spoken(seed, L, 4)
    beams = [ctc.Beam(width=6) if plain else scored() for _ in range(2)]
    beams[0].feed(x)
    for piece in np.split(x, sorted(min(cut, len(x)) for cut in cuts)):
        beams[1].feed(torch.from_numpy(piece)).best(3)
    for end in (False, True):
        assert beams[0].best(9, end=end) == beams[1].best(9, end=end)
    assert beams[0].frames == beams[1].frames == len(x)


@few
@given(seed=SEEDS, L=st.integers(1, 8))
def test_symbols_have_no_order(seed, L):
    """Symbols in another order give the same texts, in that order's symbols, with the same numbers."""
    x, V = spoken(seed, L, 6), 6
    order = np.append(0, 1 + np.random.default_rng(seed).permutation(V - 1))
    for search in (lambda x: [ctc.greedy(x)], lambda x: ctc.beam(x, n_best=5, width=8)):
        for one, other in zip(search(x), search(x[:, order]), strict=True):
            assert one.tokens == order[other.tokens].tolist()
            assert one.spans == [span._replace(token=int(order[span.token])) for span in other.spans]
            assert (one.log_prob, one.score) == pytest.approx((other.log_prob, other.score))


def test_a_language_model_is_asked_once_a_frame_for_all_new_prefixes():
    """It takes at most one step a frame, never for a prefix that the beam holds, and none where alpha is 0."""
    x = spoken(1, 20, 5)
    lm = Fixed(5)
    ctc.Beam(lm=lm, width=8).feed(x)
    assert 0 < len(lm.queries) <= len(x)
    assert all(len(set(new)) == len(new) <= 8 for new in lm.queries)
    silent = Fixed(5)
    ctc.Beam(lm=silent, alpha=0.0).feed(x)
    assert silent.queries == []


def test_a_prefix_that_comes_back_is_the_one_that_left():
    """A prefix that fell out of the beam while a longer one lived joins it again: no text is there twice."""
    rows = {(): [0, -4, -20], (1,): [0, -20, 4]}  # 1 alone is poor, 1 2 good, and all else very poor

    class Poor(Fixed):
        def row(self, text):
            return np.array(rows.get(text, [0, -20, -20]), dtype=float)

    x = np.log([[0.4, 0.6, 1e-9], [0.4, 0.1, 0.5], [0.001, 0.9, 0.099], [0.05, 0.05, 0.9]])
    beam, bests = ctc.Beam(width=2, prune=0.0, lm=Poor(3), alpha=1.0), []
    for frame in x:
        bests.append([tuple(reading.tokens) for reading in beam.feed(frame[None]).best(2)])
    assert bests[1] == [(1, 2), ()]
    assert bests[2] == [(1, 2), (1,)]
    assert len(set(bests[3])) == 2
    assert beam.best()[0].log_prob > math.log(0.16 * 0.9 * 0.9)  # all that went through 1's return is counted


def test_a_long_stream_takes_no_more_memory_than_its_texts():
    """The tree holds what leads to the beam's texts and nothing else; frames that bring no symbol take nothing."""

    def tree(node):
        front = [node]
        for below in front:
            front += below.children.values()
        return front

    beam = ctc.Beam(width=8)
    root = beam.nodes[0]
    for seed in range(10):
        beam.feed(spoken(seed, 100, 8))
        prefixes = [tuple(reading.tokens) for reading in beam.best(8)]
        assert len(tree(root)) == len({text[:n] for text in prefixes for n in range(len(text) + 1)})
    assert len(prefixes[0]) > 500
    beam.feed(np.log(np.tile([[0.9, *[0.1 / 7] * 7]], (3000, 1))))
    assert max(len(value) for value in vars(beam).values() if hasattr(value, "__len__")) <= 8


# ---- hot words where there are no spaces, and where nothing of them is in the frames

DIGITS = ["", *"0123456789"]


def emit(text, seen=(), steps=4):
    """Frames of a network that is sure: each symbol in a frame of .97 and one of .3, blanks between.

    seen: places of the text with other symbols and their probability in the frame of .97
    """
    x = np.full((steps * len(text) + 2, len(DIGITS)), 2e-3)
    x[:, 0] = 1.0
    for k, c in enumerate(text):
        v, t = DIGITS.index(c), 1 + steps * k
        x[t], x[t + 1] = 2e-3, 5e-3
        x[t, v], x[t + 1, v], x[t + 1, 0] = 0.97, 0.3, 0.7
        for at, other, p in seen:
            if at == k:
                x[t, DIGITS.index(other)] = p
    return np.log(x / x.sum(1, keepdims=True))


def read_digits(x, hot, **options):
    scored = scorer.HotWords(hot, DIGITS, None, anywhere=True, **options)
    (best,) = ctc.beam(x, hot=scored, floor=0.05)
    return "".join(DIGITS[v] for v in best.tokens)


@pytest.mark.parametrize(("text", "hot"), [
    ("397527", ["3"]), ("397527", ["75"]), ("111", ["1", "11"]), ("2468", ["13579"]), ("0", ["00"]), ("9", ["4", "7"]),
])  # fmt: skip
def test_hot_words_put_in_nothing_that_is_not_there(text, hot):
    """Where the frames have no trace of it, neither the boost puts a hot word in nor a repeat of what is there."""
    x = emit(text)
    assert read_digits(x, hot) == text
    assert read_digits(x, hot, boost=8.0) == text


@pytest.mark.parametrize(("text", "seen", "hot", "expected"), [
    ("397527", [(1, "4", 0.2)], ["347"], "347527"),
    ("397527", [(5, "1", 0.3)], ["521"], "397521"),
    ("222", [(0, "3", 0.3), (1, "3", 0.3)], ["332"], "332"),
])  # fmt: skip
def test_hot_words_win_where_the_frames_have_them(text, seen, hot, expected):
    """A phrase of characters anywhere in a line replaces what is only a little more probable, with no space around."""
    x = emit(text, seen)
    assert "".join(DIGITS[v] for v in ctc.greedy(x).tokens) == text
    assert read_digits(x, hot) == expected


def test_anywhere_ignores_the_spaces_of_phrase_and_text():
    """With a separator among the symbols a phrase may still begin inside a word."""
    hot = scorer.HotWords(["b a"], SYMBOLS, SPACE, boost=2.0, anywhere=True)
    state, total = hot.start(), 0.0
    state, row = state
    for symbol in (SYMBOLS.index("a"), SYMBOLS.index("b"), SPACE, SYMBOLS.index("a")):
        total += float(row[symbol])
        (state,), (row,) = hot.step([state], [symbol])
    assert total + float(row[0]) == pytest.approx(2.0)


# ---- words of a text without spaces

LETTERS = ["", "a", "b", "c"]
SENTENCES = [["ab", "c"], ["a", "bc", "ab"], ["abc"], ["c", "ca"], ["ca", "b", "ab"]]


def segmentations(text):
    """All ways to cut a text into words."""
    if not text:
        return [[]]
    return [[text[:n], *rest] for n in range(1, len(text) + 1) for rest in segmentations(text[n:])]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("without", ["", "c"])
def test_words_without_spaces_score_by_their_best_segmentation(order, without):
    """A finished text has the largest log p of its segmentations, a character of no word being <unk> by itself."""
    kept = [[w for w in words if not (without and without in w)] for words in SENTENCES]
    model = ngram.estimate([words for words in kept if words], order)
    lm = scorer.Segments(model, LETTERS)
    assert without or isinstance(scorer.from_ngram(model, LETTERS), scorer.Segments)
    for length in range(6):
        for text in itertools.product("abc", repeat=length):
            possible = [s for s in segmentations("".join(text)) if all(len(w) == 1 or w in model.ids for w in s)]
            state, row = lm.start()
            total = 0.0
            for character in text:
                token = LETTERS.index(character)
                total += float(row[token])
                (state,), (row,) = lm.step([state], [token])
            assert total + float(row[0]) == pytest.approx(max(map(model.log_prob, possible)))


def test_an_n_gram_of_words_helps_where_there_are_no_spaces():
    """Of two readings that the frames like as well, the one made of known words is found."""
    symbols = ["", *"东京大阪北海"]
    lm = scorer.from_ngram(ngram.estimate([["东京", "大阪"], ["大阪", "北海"], ["东京"]], 2), symbols)
    x = np.full((6, 7), 1e-3)
    for t, (one, other) in enumerate(["东海", "京阪", "大京", "阪北"]):
        x[t, symbols.index(one)], x[t, symbols.index(other)] = 0.45, 0.5
    x[4:, 0] = 1.0
    (plain,), (best,) = (ctc.beam(np.log(x / x.sum(1, keepdims=True)), lm=one) for one in (None, lm))
    texts = ["".join(symbols[v] for v in one.tokens) for one in (plain, best)]
    assert texts == ["海阪京北", "东京大阪"]
