"""Translation's text: sentences from files with errors that name the line, and tokens that give the text back."""

import gzip
import io
import json
import os
import random
import subprocess
import sys
import unicodedata
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

from gated._check import InputError
from gated.io.text import clean, squeeze
from gated.tasks.translate import read, tokens
from gated.tasks.translate.placeholders import SENTINELS

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def put(path, text):
    """A file of this text, gzipped where its name says so; a str is UTF-8."""
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def refused(words, call, *args, **more):
    """The call is refused, in words that hold each of these."""
    with pytest.raises(InputError) as error:
        call(*args, **more)
    for word in words:
        assert word in str(error.value), str(error.value)


# ---- sentences


def test_control_characters_become_spaces_and_are_reported():
    """Controls, lone surrogates, noncharacters, an inner byte order mark become spaces; a note names the lines."""
    found = read.sentences(["a\x07b", "plain", "c\ufdd0d\ud800e\ufefff\x1b"])
    assert found.source == ["a b", "plain", "c d e f"]
    assert found.notes == ["Control characters became spaces in 2 lines (lines 1, 3)."]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT.filter(lambda t: "\n" not in t), min_size=1))
def test_a_line_of_output_for_every_line(lines):
    """One-sided reading gives a sentence for every line, whatever is in it, and reading it again changes nothing."""
    found = read.sentences(lines)
    assert len(found.source) == len(lines)
    assert read.sentences(found.source).source == found.source


def test_sentences_may_come_from_standard_input(monkeypatch):
    """ "-" is standard input, for sentences; pairs do not come from there."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("Hallo\n\nWelt ü\n".encode())))
    assert read.sentences("-").source == ["Hallo", "", "Welt ü"]
    refused(["standard input"], read.pairs, "-")


def test_two_files_are_paired_and_empty_sides_left_out(tmp_path):
    """Line n translates line n; pairs with an empty side go, with a note, and the rest keep their line numbers."""
    found = read.pairs(put(tmp_path / "a.de", "eins\n\ndrei\nvier\n"), put(tmp_path / "a.en.gz", "one\ntwo\n \nfour\n"))
    assert (found.source, found.target, found.lines) == (["eins", "vier"], ["one", "four"], [1, 4])
    assert found.notes == ["Left out: 2 pairs with an empty side (lines 2, 3)."]
    assert len(found) == 2


def test_every_form_of_pairs_reads_the_same(tmp_path):
    """Two files, two lists, a list of pairs, TSV with and without header, JSON lines flat and nested, a catalogue."""
    x, y = ["ein Hund", "zwei „Katzen“"], ["a dog", "two cats"]
    rows = list(zip(x, y, strict=True))
    flat = [json.dumps({"target": b, "source": a}) for a, b in rows]
    nested = [json.dumps({"id": 1, "translation": {"de": a, "en": b}}) for a, b in rows]
    po = "".join(f'msgid "{a}"\nmsgstr "{b}"\n\n' for a, b in rows)
    ways = [
        (put(tmp_path / "a.txt", "\n".join(x)), put(tmp_path / "b.txt", "\n".join(y))),
        (x, y),
        (rows,),
        (put(tmp_path / "p.tsv", "".join(f"{a}\t{b}\n" for a, b in rows)),),
        (put(tmp_path / "p.tsv.gz", "".join(f"{a}\t{b}\n" for a, b in rows)),),
        (put(tmp_path / "p.data", "".join(f"{a}\t{b}\n" for a, b in rows)),),
        (put(tmp_path / "p.jsonl", "\n".join(flat)),),
        (put(tmp_path / "q.data", "\n".join(flat)),),
        (put(tmp_path / "p.po", po),),
    ]
    named = [
        (put(tmp_path / "h.tsv", "n\ten\tde\n" + "".join(f"1\t{b}\t{a}\n" for a, b in rows)), ("de", "en")),
        (put(tmp_path / "n.jsonl", "\n".join(nested)), ("translation.de", "translation.en")),
    ]
    for found in [read.pairs(*way) for way in ways] + [read.pairs(p, columns=c) for p, c in named]:
        assert (found.source, found.target) == (x, y), found.where
    assert read.sentences(named[0][0], column="de").source == x
    assert read.sentences(named[1][0], column="translation.de").source == x
    assert read.sentences(tmp_path / "p.tsv").source == x
    assert read.sentences(tmp_path / "p.jsonl").source == x


def test_blank_lines_of_tables_keep_their_place(tmp_path):
    """A blank line in TSV or JSON lines is an empty sentence when translating and is left out when training."""
    for name, rows in (
        ("a.tsv", ["a\tA", "", "b\tB"]),
        ("a.jsonl", ['{"source":"a","target":"A"}', "", '{"source":"b","target":"B"}']),
    ):
        path = put(tmp_path / name, "\n".join(rows))
        assert read.sentences(path).source == ["a", "", "b"]
        assert read.pairs(path).lines == [1, 3]


def test_faults_name_the_file_and_the_line(tmp_path):
    """Each fault of a file is one error with its name, the line and, where it is a byte, the byte."""

    def at(name, text):
        return put(tmp_path / name, text)

    good = at("good.txt", "a\nb\n")
    refused(["empty file"], read.sentences, at("empty.txt", ""))
    refused(["empty file"], read.pairs, at("empty.tsv", ""))
    refused(["2 in", "3 in", "as many lines"], read.pairs, good, at("three.txt", "a\nb\nc\n"))
    refused(["one.tsv, line 2", "2 columns", "got 1"], read.pairs, at("one.tsv", "a\tb\nc\n"))
    refused(["three.tsv, line 1", "2 columns", "got 3"], read.pairs, at("three.tsv", "a\tb\tc\n"))
    refused(["head.tsv, line 1", "'de'", "'a', 'b'"], read.pairs, at("head.tsv", "a\tb\n"), columns=("de", "en"))
    refused(["j.jsonl, line 2", "JSON"], read.pairs, at("j.jsonl", '{"source":"a","target":"b"}\n{"source":\n'))
    refused(["k.jsonl, line 1", "'target'", "'source'"], read.pairs, at("k.jsonl", '{"source":"a"}\n'))
    refused(["l.jsonl, line 1", "text under 'target'", "3"], read.pairs, at("l.jsonl", '{"source":"a","target":3}\n'))
    refused(["m.jsonl, line 1", "object", "list"], read.pairs, at("m.jsonl", "[1]\n"))
    refused(["n.jsonl, line 1", "JSON"], read.pairs, at("n.jsonl", "[" * 100_000 + "\n"))
    refused(["good.txt", "no tab"], read.pairs, good)
    refused(["o.po, line 2", "catalogue"], read.pairs, at("o.po", 'msgid "a"\nwhat\n'))
    refused(["catalogue"], read.sentences, at("p.po", 'msgid "a"\nmsgstr ""\n'))
    refused(["empty side"], read.pairs, ["a"], [""])
    refused(["number 2", "a string"], read.sentences, ["a", 3])
    refused(["number 1", "two strings"], read.pairs, [("a", "b", "c")])


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
LEARNT = {kind: tokens.learn(CORPUS, kind, 600, sentinels=SENTINELS) for kind in ("bpe", "word", "char")}
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
    found = tokens.learn(["Hund beißt (Mann)."] * 2, "word", 100)
    assert found.decode(found.encode(["Hund beißt Katze (Mann)."])) == ["Hund beißt <unk> (Mann)."]


def test_runs_of_unseen_letters_are_one_token():
    """In byte pairs "日本語" is one <unk>, if no text had it; as characters it is three."""
    for kind, count in (("bpe", 1), ("char", 3)):
        found = tokens.learn(["ab cd"], kind, 50)
        assert found.encode(["a 日本語"])[0].count(tokens.UNK) == count


def test_the_same_text_gives_the_same_tokens():
    """In any order of the lines, any number of threads and any hash seed."""
    code = (
        "import json, sys; from gated.tasks.translate import tokens; lines = json.load(sys.stdin); "
        "print(json.dumps([tokens.learn(lines, kind, 300).save() for kind in ('bpe', 'word', 'char')]))"
    )
    env = {**os.environ, "RAYON_NUM_THREADS": "3", "PYTHONHASHSEED": "5"}
    text = json.dumps(CORPUS)
    run = subprocess.run([sys.executable, "-c", code], input=text, text=True, capture_output=True, env=env)
    assert run.returncode == 0, run.stderr
    for kind, saved in zip(("bpe", "word", "char"), json.loads(run.stdout), strict=True):
        assert tokens.restore(saved) == tokens.learn(reversed(CORPUS), kind, 300)


@pytest.mark.parametrize("size", [22, 30, 100, 400])
@pytest.mark.parametrize("kind", ["bpe", "word", "char"])
def test_a_vocabulary_has_at_most_the_size_asked_for(kind, size):
    """Also where there are more characters than room; the most frequent ones stay, and the space always does."""
    found = tokens.learn(CORPUS, kind, size, sentinels=SENTINELS)
    assert len(found) <= size
    assert found.pieces[:4] == tokens.SPECIAL
    assert " " in found.pieces
    assert len(set(found.pieces)) == len(found)
    found.encode(CORPUS)


def test_one_word_is_a_corpus():
    """One word, once, in each kind; no text at all is refused."""
    for kind in ("bpe", "word", "char"):
        found = tokens.learn(["Hallo"], kind)
        assert found.decode(found.encode(["Hallo", ""])) == ["Hallo", ""]
    assert " " in tokens.learn(["aabb"], "char", 6).pieces
    refused(["none"], tokens.learn, ["", "  "])
    refused(["size", "7"], tokens.learn, ["a"], size=5)
    refused(["'bpe', 'word', 'char'"], tokens.learn, ["a"], "unigram")
    refused(["single characters"], tokens.learn, ["a"], sentinels=["<1>"])
    refused(["one text"], LEARNT["bpe"].encode, "a text")


def test_lower_case_is_learnt_and_kept():
    """lower=True lowers what is learnt and what is encoded, and is saved."""
    found = tokens.restore(tokens.learn(["ÜBER Straße"] * 2, lower=True).save())
    assert found.decode(found.encode(["über STRAßE", "Über"])) == ["über straße", "über"]


def test_dropout_follows_its_seed_and_leaves_whole_words_at_zero():
    """Equal seeds cut alike, others differ; a vanishing dropout is none; certain dropout leaves single characters."""
    draw = random.Random(0)
    lines = [" ".join("".join(draw.choices("abc", k=draw.randint(1, 9))) for _ in range(30)) for _ in range(20)]
    found, other = tokens.learn(lines, size=100), [*lines, "ab日本語c", "日a本"]
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
        found = tokens.learn([*CORPUS, line], kind, 400, sentinels=SENTINELS)
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
    saved = tokens.learn(["ab ab"], size=20).save()
    refused([word], tokens.restore, {**saved, **change})
    refused(["tokens"], tokens.restore, {})
