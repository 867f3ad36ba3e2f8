"""Pretrained vectors from files: three forms, one result; what is not one of them is one error."""

import gzip

import numpy as np
import pytest

from gated._check import InputError
from gated.io import vectors

WORDS = ["the", "of", "São"]
VALUES = np.array([[0.5, -1.25], [2.0, 0.125], [1e-3, 7.0]], np.float32)
LINES = [f"{word} {' '.join(map(str, row))}" for word, row in zip(WORDS, VALUES.tolist(), strict=True)]
PACKED = [word.encode() + b" " + row.tobytes() for word, row in zip(WORDS, VALUES, strict=True)]
FORMS = {
    "GloVe": "\n".join(LINES).encode(),
    "word2vec text": "\n".join(["3 2", *LINES, ""]).encode(),
    "word2vec binary": b"3 2\n" + b"\n".join(PACKED),
    "binary without line ends": b"3 2\n" + b"".join(PACKED),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_each_form_gives_the_same(tmp_path, content, packed):
    """Text, binary, with a head or without, plain or packed."""
    path = tmp_path / "vectors"
    path.write_bytes(gzip.compress(content) if packed else content)
    words, values = vectors.read(path)
    assert words == WORDS
    np.testing.assert_allclose(values, VALUES, rtol=1e-6)


def test_a_large_binary_is_read_in_parts(tmp_path):
    """Words that lie across the blocks of reading come out whole."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3000, 25)).astype(np.float32)
    (tmp_path / "v").write_bytes(b"3000 25\n" + b"".join(b"w%d " % k + row.tobytes() for k, row in enumerate(values)))
    words, read = vectors.read(tmp_path / "v")
    assert words == [f"w{k}" for k in range(3000)]
    np.testing.assert_array_equal(read, values)


def test_beyond_the_first_only_wanted_words_are_read(tmp_path):
    """`most` words, and of the rest those that are wanted; of words alike under `key` the first."""
    (tmp_path / "v").write_text("A 1\nb 2\na 3\nc 4\nd 5\n")
    words, values = vectors.read(tmp_path / "v", {"d"}.__contains__, most=2, key=str.lower)
    assert words == ["a", "b", "d"]
    assert values[:, 0].tolist() == [1, 2, 5]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "words with their vectors, got none"),
        (b"a 1 2\nb 1\n", "line 2: expected 2 numbers behind a word, got 1"),
        (b"a 1 x\n", "line 1: expected numbers behind a word"),
        (b"a\n", "line 1: expected a word and 1 to 4,096 numbers"),
        (b"a 1 nan\n", "finite numbers"),
        (b"99999999999 3\na 1 2 3\n", "words, got 99999999999"),
        (b"3 999999\na 1 2 3\n", "dimensions, got 999999"),
        (FORMS["word2vec binary"][:-3], "3 words with their vectors, got 2 of 3. It was cut short"),
    ],
)
def test_a_damaged_file_is_one_error(tmp_path, content, part):
    """Rows of other lengths, numbers that are none, heads that claim much, files that were cut short."""
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(InputError, match=part):
        vectors.read(tmp_path / "v")
