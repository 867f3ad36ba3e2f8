"""Tokens and alphabets, which give the text back."""

import json
import os
import random
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

from gated._check import InputError
from gated.features import alphabet, tokens
from gated.tasks.translate.placeholders import SENTINELS
from gated.unicode import clean, squeeze

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def refused(words, call, *args, **more):
    """The call is refused, in words that hold each of these."""
    with pytest.raises(InputError) as error:
        call(*args, **more)
    for word in words:
        assert word in str(error.value), str(error.value)


# ---- tokens

CORPUS = [
    'Ein "alter" Hund\'s Knochen (12,50 €) liegt – na ja – im Gras.',
    "L'homme dit : « Où est-ce ? » à 10:30.",
    "naïve café, re\u0302ve; x\u0323\u0307y",
    "他们在公园里跑步。他们在跑步。",
    "الكلب يركض في الحديقة، والقطة نائمة.",
    "नमस्ते दुनिया",
    "smile 😀👨‍👩‍👧 ▁ <unk> </s> _File &amp; a_b",
    "",
]  # fmt: skip
CORPUS = [clean(line) for line in CORPUS * 3]
LEARNT = {kind: tokens.fit(CORPUS, kind, 600, sentinels=SENTINELS) for kind in ("bpe", "word", "char")}
LETTERS = st.text(st.sampled_from(sorted({c for line in CORPUS for c in line})), max_size=30)


@pytest.mark.parametrize("kind", LEARNT)
def test_text_comes_back_as_it_was(kind):
    """decode(encode(x)) == x for text of every script, punctuation, emoji and empty lines, with every spacing."""
    assert LEARNT[kind].decode(LEARNT[kind].encode(CORPUS)) == CORPUS


@settings(max_examples=150, deadline=None)
@given(st.lists(LETTERS), st.sampled_from([("bpe", 0.0), ("char", 0.0), ("bpe", 0.3), ("bpe", 1.0)]))
def test_any_text_of_known_characters_comes_back(lines, way):
    """However known characters stand together, byte pairs and characters give them back, with dropout as well."""
    kind, dropout = way
    lines = [squeeze(line) for line in lines]
    found = LEARNT[kind]
    known = [all(c in found.pieces for c in line) for line in lines]
    back = found.decode(found.encode(lines, dropout=dropout))
    assert [b for b, k in zip(back, known, strict=True) if k] == [x for x, k in zip(lines, known, strict=True) if k]


@settings(max_examples=100, deadline=None)
@given(TEXT, st.sampled_from(["bpe", "word", "char"]))
def test_any_text_at_all_encodes(text, kind):
    """Unknown characters are <unk>, never an error, never a special token; decoding twice is decoding once."""
    found = LEARNT[kind]
    (ids,) = found.encode([text])
    assert not {tokens.PAD, tokens.BEGIN, tokens.END} & set(ids)
    (back,) = found.decode([ids])
    assert found.decode(found.encode([back])) == found.decode(found.encode(found.decode(found.encode([back]))))
    if tokens.UNK not in ids:
        assert back == tokens.normal(text)


def test_no_mark_is_part_of_a_word():
    """Tokens of byte pairs hold letters or one mark, digit or sentinel, with at most a space before it."""
    for piece in LEARNT["bpe"].pieces[4:]:
        body = piece.removeprefix(" ")
        kinds = [unicodedata.category(c)[0] for c in body]
        assert len(body) <= 1 or set(kinds) <= {"L", "M"}, piece


@pytest.mark.parametrize("kind", LEARNT)
def test_sentinels_are_tokens_wherever_they_stand(kind):
    """A sentinel is its own token after a space, inside a word, and beside another, learnt though no text had it."""
    found = LEARNT[kind]
    (ids,) = found.encode([f"{SENTINELS[3]} Hund{SENTINELS[0]}, {SENTINELS[15]}{SENTINELS[15]}"])
    assert [found.piece(i) for i in ids if i < 4 + len(SENTINELS) and i > 3] == [SENTINELS[k] for k in (3, 0, 15, 15)]
    assert found.decode([ids]) == ([f"{SENTINELS[3]} Hund{SENTINELS[0]}, {SENTINELS[15]}{SENTINELS[15]}"])


def test_names_of_special_tokens_in_a_text_are_text():
    """ "</s>" written in a sentence ends nothing."""
    for found in LEARNT.values():
        (ids,) = found.encode(["</s> <pad>"])
        assert min(ids) >= 4 or found.kind == "word"
        assert tokens.END not in ids


def test_decode_ends_at_end():
    """PAD and BEGIN are silent, what follows END is not read, and UNK is what the caller says."""
    found = LEARNT["bpe"]
    (ids,) = found.encode(["Hund"])
    row = [tokens.BEGIN, *ids, tokens.UNK, tokens.END, *ids, tokens.PAD]
    assert found.decode([row, [], [tokens.PAD]], unknown="?") == ["Hund?", "", ""]
    refused(["token", "0 to"], found.decode, [[len(found)]])
    refused(["token"], found.piece, -1)


def test_unknown_words_keep_the_words_beside_them():
    """In a vocabulary of words an unknown one is <unk> between spaces, and the marks stay where they were."""
    found = tokens.fit(["Hund beißt (Mann)."] * 2, "word", 100)
    assert found.decode(found.encode(["Hund beißt Katze (Mann)."])) == ["Hund beißt <unk> (Mann)."]


def test_runs_of_unseen_letters_are_one_token():
    """In byte pairs "日本語" is one <unk>, if no text had it; as characters it is three."""
    for kind, count in (("bpe", 1), ("char", 3)):
        found = tokens.fit(["ab cd"], kind, 50)
        assert found.encode(["a 日本語"])[0].count(tokens.UNK) == count


def test_the_same_text_gives_the_same_tokens():
    """In any order of the lines, any number of threads and any hash seed."""
    code = (
        "import json, sys; from gated.features import tokens; lines = json.load(sys.stdin); "
        "print(json.dumps([tokens.fit(lines, kind, 300).save() for kind in ('bpe', 'word', 'char')]))"
    )
    env = {**os.environ, "RAYON_NUM_THREADS": "3", "PYTHONHASHSEED": "5"}
    text = json.dumps(CORPUS)
    run = subprocess.run([sys.executable, "-c", code], input=text, text=True, capture_output=True, env=env)
    assert run.returncode == 0, run.stderr
    for kind, saved in zip(("bpe", "word", "char"), json.loads(run.stdout), strict=True):
        assert tokens.restore(saved) == tokens.fit(reversed(CORPUS), kind, 300)


@pytest.mark.parametrize("size", [22, 30, 100, 400])
@pytest.mark.parametrize("kind", ["bpe", "word", "char"])
def test_a_vocabulary_has_at_most_the_size_asked_for(kind, size):
    """Also where there are more characters than room; the most frequent ones stay, and the space always does."""
    found = tokens.fit(CORPUS, kind, size, sentinels=SENTINELS)
    assert len(found) <= size
    assert found.pieces[:4] == tokens.SPECIAL
    assert " " in found.pieces
    assert len(set(found.pieces)) == len(found)
    found.encode(CORPUS)


def test_one_word_is_a_corpus():
    """One word, once, in each kind; no text at all is refused."""
    for kind in ("bpe", "word", "char"):
        found = tokens.fit(["Hallo"], kind)
        assert found.decode(found.encode(["Hallo", ""])) == ["Hallo", ""]
    assert " " in tokens.fit(["aabb"], "char", 6).pieces
    refused(["none"], tokens.fit, ["", "  "])
    refused(["size", "7"], tokens.fit, ["a"], size=5)
    refused(["'bpe', 'word', 'char'"], tokens.fit, ["a"], "unigram")
    refused(["single characters"], tokens.fit, ["a"], sentinels=["<1>"])
    refused(["one text"], LEARNT["bpe"].encode, "a text")


def test_lower_case_is_learnt_and_kept():
    """lower=True lowers what is learnt and what is encoded, and is saved."""
    found = tokens.restore(tokens.fit(["ÜBER Straße"] * 2, lower=True).save())
    assert found.decode(found.encode(["über STRAßE", "Über"])) == ["über straße", "über"]


def test_dropout_follows_its_seed_and_leaves_whole_words_at_zero():
    """Equal seeds cut alike, others differ; a vanishing dropout is none; certain dropout leaves single characters."""
    draw = random.Random(0)
    lines = [" ".join("".join(draw.choices("abc", k=draw.randint(1, 9))) for _ in range(30)) for _ in range(20)]
    found, other = tokens.fit(lines, size=100), [*lines, "ab日本語c", "日a本"]
    plain = found.encode(lines)
    assert found.encode(other, dropout=1e-300, seed=3) == found.encode(other)
    one, two = found.encode(lines, dropout=0.3, seed=1), found.encode(lines, dropout=0.3, seed=2)
    assert one == found.encode(lines, dropout=0.3, seed=1)
    assert one != two
    assert found.decode(one) == found.decode(plain) == lines
    assert sum(map(len, one)) > sum(map(len, plain))
    assert all(len(found.piece(i)) == 1 for row in found.encode(lines, dropout=1.0) for i in row)
    refused(["dropout"], LEARNT["word"].encode, ["a"], dropout=0.1)
    refused(["dropout"], found.encode, ["a"], dropout=1.5)


def test_dropout_skips_each_merge_with_its_probability():
    """A word of one merge is cut in two with probability p: 0.25 within four standard errors."""
    found = tokens.restore(
        {
            "kind": "bpe",
            "lower": False,
            "sentinels": [],
            "pieces": [*tokens.SPECIAL, " ", "a", "b", "ab"],
            "merges": [[5, 6]],
        }
    )
    assert found.encode(["ab"]) == [[4, 7]]
    cut = sum(found.encode(["ab"], dropout=0.25, seed=seed) == [[4, 5, 6]] for seed in range(2000)) / 2000
    assert abs(cut - 0.25) < 0.04


def test_words_are_found_again_from_tokens():
    """words() gives each word and mark with the positions of its tokens, all of them once; BEGIN, END, PAD in none."""
    line = f'Ein "alter" Hund, 12,50 {SENTINELS[0]}.'
    wanted = ["Ein", '"', "alter", '"', "Hund", ",", "12", ",", "50", SENTINELS[0], "."]
    for kind in ("bpe", "char", "word"):
        found = tokens.fit([*CORPUS, line], kind, 400, sentinels=SENTINELS)
        (ids,) = found.encode([line])
        got = found.words([tokens.BEGIN, *ids, tokens.END, tokens.PAD])
        assert [word for word, _ in got] == wanted
        assert [p for _, positions in got for p in positions] == list(range(1, len(ids) + 1))
    got = found.words(found.encode(["Hund Unbekannt, Hund"])[0])
    assert [word for word, _ in got] == ["Hund", "<unk>", ",", "Hund"]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["bpe", "word", "char"]), st.lists(st.integers(0, 200), max_size=20))
def test_words_hold_every_token_once(kind, ids):
    """Also for sequences that no text gives, as an untrained network writes them."""
    found = LEARNT[kind]
    ids = [i % len(found) for i in ids]
    positions = [p for _, at in found.words(ids) for p in at]
    assert positions == [k for k, i in enumerate(ids) if i not in (tokens.PAD, tokens.BEGIN, tokens.END)]


def test_saved_tokens_are_json_and_come_back():
    """restore(json(save())) is equal and encodes alike."""
    for found in LEARNT.values():
        back = tokens.restore(json.loads(json.dumps(found.save())))
        assert back == found
        assert back.encode(CORPUS) == found.encode(CORPUS)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "unigram"}, "'bpe'"),
        ({"kind": ["bpe"]}, "kind"),
        ({"kind": "char"}, "merges"),
        ({"lower": 1}, "lower"),
        ({"pieces": "abc"}, "pieces"),
        ({"pieces": []}, "first"),
        ({"pieces": [*tokens.SPECIAL, "a", "a"]}, "twice"),
        ({"pieces": [*tokens.SPECIAL, 7]}, "characters"),
        ({"pieces": [*tokens.SPECIAL, ""]}, "characters"),
        ({"pieces": [*tokens.SPECIAL, "\ud800"]}, "characters"),
        ({"pieces": [*tokens.SPECIAL, "a" * 65]}, "characters"),
        ({"pieces": ["<s>", *tokens.SPECIAL[1:]]}, "first"),
        ({"sentinels": [["x"]]}, "first"),
        ({"sentinels": ["a"], "pieces": [*tokens.SPECIAL, "a"]}, "single"),
        ({"merges": [[0, 1]]}, "merges"),
        ({"merges": [[4, -1]]}, "merges"),
        ({"merges": [[True, 4]]}, "merges"),
        ({"merges": [[4, 4, 4]]}, "merges"),
        ({"merges": [[4, 4]]}, "merges"),
    ],
)
def test_tokens_of_a_stranger_are_checked(change, word):
    """Whatever is wrong in a saved vocabulary is one error, and never one of the library beneath."""
    saved = tokens.fit(["ab ab"], size=20).save()
    refused([word], tokens.restore, {**saved, **change})
    refused(["tokens"], tokens.restore, {})


# ---- symbols


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=4), st.booleans(), st.sampled_from(["char", "word"]))
def test_a_text_is_its_symbols(texts, lower, tokens):
    """What it was fitted to comes back from its symbols as the network would write it at best, and from a folder."""
    texts = [*texts, "ab c"]
    letters = alphabet.fit(texts, tokens, lower)
    assert letters.symbols[0] == ""
    for text in texts:
        assert letters.decode(letters.encode(text)) == letters.plain(text)
        assert letters.plain(letters.plain(text)) == letters.plain(text)
        assert letters.unknown(text) == []
        assert 0 not in letters.encode(text)
    assert alphabet.restore(letters.save()) == letters


def test_symbols_that_are_unknown_are_left_out():
    """Symbols that the alphabet lacks are left out of the symbols, and named."""
    letters = alphabet.fit(["on"], "char")
    assert letters.decode(letters.encode("no one?")) == "noon"
    assert letters.unknown("no one?") == [" ", "?", "e"]
    assert letters.separator is None
    words = alphabet.fit(["one two"], "word")
    assert words.decode(words.encode("two three one")) == "two one"
    assert words.unknown("two three") == ["three"]
