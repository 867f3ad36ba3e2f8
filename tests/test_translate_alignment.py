"""Attention: laws of alignments and of merged tokens, tables that fit, pictures that are drawn."""

import random
import re
import struct
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from gated._check import InputError
from gated.tasks.translate.alignment import align, merge, pharaoh, picture, table

GERMAN = "Eine Gruppe von Menschen steht vor der Donaudampfschifffahrtsgesellschaft und wartet .".split()  # noqa: SIM905
SCRIPTS = {
    "latin": ["ein", "Hund", "läuft"],
    "japanese": ["男の子", "が", "公園", "で", "走る", "。"],
    "hindi": ["एक", "लड़का", "पार्क", "में", "दौड़ता", "है"],
    "arabic": ["ولد", "يجري", "في", "الحديقة"],
    "marks": ["e\u0301a\u0308", "🙂", "", " ", "\x1b[31m", "a\nb", "\u202eabc", "$x_1$", "\ud800", "|"],
}


def soft(targets: int, sources: int, seed: int = 0) -> np.ndarray:
    w = np.exp(3 * np.random.default_rng(seed).standard_normal((targets, sources)))
    return w / w.sum(1, keepdims=True)


# -- words


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(7)))
def test_a_permutation_is_its_own_alignment(order):
    """Attention that is a permutation matrix aligns each target word with the source word it permutes."""
    w = np.eye(7)[order]
    assert align(w) == sorted((s, t) for t, s in enumerate(order))


def test_an_alignment_leaves_out_small_weights():
    """Weights below the threshold, and rows of nothing, make no pair; of equals the first counts."""
    w = np.array([[0.4, 0.4, 0.2], [0.1, 0.3, 0.6], [0, 0, 0], [0, 1, 0]])
    assert align(w) == [(0, 0), (1, 3), (2, 1)]
    assert align(w, 0.6) == [(1, 3), (2, 1)]
    assert pharaoh(align(w)) == "0-0 1-3 2-1"
    assert pharaoh([]) == ""
    with pytest.raises(InputError, match="threshold"):
        align(w, 1.5)


def test_tokens_are_summed_over_the_source_and_averaged_over_the_target():
    """Merged by hand: columns of a word's tokens add up, rows of a word's tokens are averaged."""
    w = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.4, 0.0], [0.0, 0.0, 1.0, 0.0]]
    got = merge(w, [[0, 1], [2]], [[0, 1], [2]])
    np.testing.assert_allclose(got, [[(0.3 + 0.6) / 2, (0.3 + 0.4) / 2], [0, 1]])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_merging_keeps_what_there_is_of_attention(targets, sources, seed):
    """Words that hold every token keep rows that sum to 1; words of one token each change nothing."""
    rng = random.Random(seed)
    w = soft(targets, sources, seed)

    def cut(n: int) -> list[list[int]]:
        ends = sorted({n, *(k for k in range(1, n) if rng.random() < 0.5)})
        return [list(range(a, b)) for a, b in zip([0, *ends], ends, strict=False)]

    np.testing.assert_allclose(merge(w, cut(sources), cut(targets)).sum(1), 1)
    np.testing.assert_array_equal(merge(w, [[s] for s in range(sources)], [[t] for t in range(targets)]), w)
    assert merge(w, [], []).shape == (0, 0)


def test_tensors_are_taken_as_they_come():
    """A tensor with gradients, of half precision or of bfloat16 is as good as an array."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        w = torch.eye(3, dtype=dtype, requires_grad=True)
        assert align(w) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: align([1, 2]), r"weights: expected a matrix \(target, source\), got 1 axes"),
        (lambda: align(np.zeros((0, 3))), "at least one source and one target word"),
        (lambda: align([[float("nan")]]), "weights: expected numbers of at least 0, got NaN"),
        (lambda: align([[-1.0]]), "got a negative one"),
        (lambda: table(["a"], ["b"], [[0.5, 0.5]]), r"expected a row for each target .*\(1, 1\), got \(1, 2\)"),
        (lambda: table(["a"], ["b"], [[1.0]], width=10), "width: expected a number of at least 20"),
        (lambda: merge([[1.0]], [[1]], [[0]]), r"source word 0: expected tokens from 0 to 0, got \[1\]"),
        (lambda: merge([[1.0]], [[0]], [[]]), "target word 0: expected at least one token"),
        (lambda: picture("a.jpg", ["a"], ["b"], [[1.0]]), r"a path ending in \.png or \.svg, got a\.jpg"),
    ],
)
def test_what_is_no_attention_is_refused(call, message):
    """Weights that do not go with the words, or are no weights, are one clear error."""
    with pytest.raises(InputError, match=message):
        call()


# -- as text


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("target", [*SCRIPTS, "german"])
def test_a_table_fits_its_width(target, width):
    """No line is wider than asked, whatever the script, and every part has a row for each target word."""
    target = {**SCRIPTS, "german": GERMAN}[target]
    for source in (*SCRIPTS.values(), GERMAN, GERMAN * 5, GERMAN * 20):
        fits(source, target, width)


def fits(source: list[str], target: list[str], width: int) -> None:
    w = soft(len(target), len(source))
    text = table(source, target, w, width)
    lines = text.split("\n")
    assert max(map(cell_len, lines)) <= width
    parts = max(1, text.count("source "))
    if width >= 40:
        assert text.count(" ← ") == parts * len(target)
    assert all(c.isprintable() for line in lines for c in line)


def test_shades_stand_under_their_words():
    """A word's shade begins in the column where the word does, wide letters counted."""
    source = ["男の子", "が", "läuft", "x"]
    lines = table(source, ["a", "b", "c", "d"], np.eye(4), 80).split("\n")
    for t, word in enumerate(source):
        head, row = lines[0], lines[1 + t]
        assert cell_len(row[: row.index("██")]) == cell_len(head[: head.index(word)])
        assert row.endswith(f"██{row.split('██')[1].split('←')[0]}← {word} 100 %")


def test_words_written_downwards_are_read_above_their_columns():
    """Where the words do not fit side by side, each column read from the top is its source word."""
    text = table(GERMAN, ["a"], [[0.0] * 10 + [1.0]], 60).split("\n")
    where = text[:-3]
    column = text[-3].index("█")
    assert column == 3 + 2 * 10
    columns = ["".join(line[3 + 2 * s] if 3 + 2 * s < len(line) else " " for line in where).strip() for s in range(11)]
    assert where[-1][3::2] == "".join(w[-1] if len(w) <= 12 else "…" for w in GERMAN)
    assert columns == [w if len(w) <= 12 else w[:11] + "…" for w in GERMAN]


def test_a_sentence_too_long_is_shown_in_parts():
    """All source words appear once, in parts of about one size."""
    text = table(GERMAN * 10, ["a", "b"], soft(2, 110), 60)
    spans = [(int(a), int(b)) for a, b in re.findall(r"source (\d+)–(\d+) of 110", text)]
    assert [a for a, _ in spans] == [1, *(b + 1 for _, b in spans[:-1])]
    assert spans[-1][1] == 110
    assert max(b - a for a, b in spans) - min(b - a for a, b in spans) <= 3


def test_shades_grow_with_the_weight():
    """Five shades, from a blank to a full block, at the weights that the key below names."""
    text = table([*"abcde"], ["x"], [[0.04, 0.05, 0.2, 0.4, 0.7]], 80).split("\n")
    assert re.sub(r"\s+", " ", text[1].split("←")[0]).split() == ["x", "░░", "▒▒", "▓▓", "██"]
    assert text[-1] == "░ 5 %  ▒ 20 %  ▓ 40 %  █ 70 %"


# -- as a picture


def png_size(path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return struct.unpack(">II", head[16:])


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_drawn_without_a_word(script, tmp_path, capfd, caplog):
    """A picture of any script, and of odd characters, is written; nothing is warned of, printed or logged."""
    pytest.importorskip("matplotlib")
    words = SCRIPTS[script]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        text = picture(tmp_path / "new" / f"{script}.png", words, words, np.eye(len(words)), title="$\\frac" + words[0])
    assert min(png_size(text)) > 200
    assert not seen
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("words", [1, 5, 60, 150])
def test_pictures_grow_with_the_words_up_to_a_size(words, tmp_path):
    """Few words or many, a picture has paper, ink and shades, is large enough to read and never huge."""
    image = pytest.importorskip("matplotlib.image")
    names = [GERMAN[k % 11] for k in range(words)]
    path = picture(tmp_path / "a.png", names, names, soft(words, words), title="A title that is quite long")
    pixels = image.imread(path)[..., :3]
    assert pixels.shape[:2] == png_size(path)[::-1]
    assert words * 15 < max(pixels.shape) < 3600
    assert (pixels[0] == 1).all()  # nothing is cut off at the edges
    assert (pixels[-1] == 1).all()
    assert (pixels[:, 0] == 1).all()
    assert (pixels[:, -1] == 1).all()
    assert pixels.min() < 0.15


def test_an_svg_holds_the_words_as_text_and_is_the_same_again(tmp_path):
    """An SVG keeps its words as text, so that its reader's fonts draw them, and drawn again is the same file."""
    pytest.importorskip("matplotlib")
    source, target = SCRIPTS["japanese"], ["a", "boy", "<runs>"]
    one, two = (picture(tmp_path / f"{n}.svg", source, target, soft(3, 6), names=("日本語", "English")) for n in "ab")
    text = one.read_text(encoding="utf-8")
    assert all(f">{word}<" in text for word in [*source, "a", "boy", "&lt;runs&gt;", "日本語 →"])
    assert text == two.read_text(encoding="utf-8")


def test_drawing_leaves_matplotlibs_settings_alone(tmp_path):
    """The caller's settings are as before, and no window or figure is left open."""
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    picture(tmp_path / "a.svg", ["a"], ["b"], [[1.0]])
    assert dict(matplotlib.rcParams) == before
