"""Sentences with tags from files: every shape that is read, and every mistake with its line."""

import gzip
import itertools
import json

import pytest

from gated._check import InputError
from gated.tasks.tag import spans, tokens
from gated.tasks.tag.data import Layout, check_tags, read

COLUMNS = "-DOCSTART- -X- O O\n\nMary NNP B-NP B-PER\nleft VBD B-VP O\n\nOslo NNP B-NP B-LOC\n"
UD = """# sent_id = 1
# text = Don't go
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVB\tMood=Imp\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
2.1\tyou\tyou\tPRON\tPRP\t_\t_\t_\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_

1\tYes\tyes\tINTJ\tUH\t_\t0\troot\t_\t_
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def put(name, content):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return put


# ---- columns


def test_columns(write):
    """Tabs or spaces, a blank line between sentences, the last column by default; -DOCSTART- is none of it."""
    for text in (COLUMNS, COLUMNS.replace(" ", "\t"), COLUMNS.replace("\n", "\r\n")):
        made = read(write("a.conll", text))
        assert made.words == [["Mary", "left"], ["Oslo"]]
        assert made.tags == [["B-PER", "O"], ["B-LOC"]]
        assert made.lines == [[3, 4], [6]]
    packed = read(write("a.conll.gz", gzip.compress(COLUMNS.encode())))
    assert packed.words == made.words


def test_other_columns(write):
    """--column, --word and --features name columns by number from 1."""
    path = write("a.conll", COLUMNS)
    made = read(path, Layout(column="3", features=("2", "3")))
    assert made.tags == [["B-NP", "B-VP"], ["B-NP"]]
    assert made.features[0] == [("NNP", "B-NP"), ("VBD", "B-VP")]
    assert read(path, Layout(column="4", word="2")).words == [["NNP", "VBD"], ["NNP"]]


def test_a_hash_is_a_word_where_it_has_columns(write):
    """A line that begins with # is a comment unless it has as many columns as the others."""
    made = read(write("a.conll", "# a comment of more words\n# O\n1 B-N\n"))
    assert made.words == [["#", "1"]]


def test_conllu(write):
    """Ranges of multiword tokens and empty nodes are left out; upos by default, any other column by its name."""
    for name in ("a.conllu", "a.txt"):
        made = read(write(name, UD))
        assert made.words == [["Do", "n't", "go"], ["Yes"]]
        assert made.tags == [["AUX", "PART", "VERB"], ["INTJ"]]
    for column, tags in {
        "xpos": ["VB", "RB", "VB"],
        "feats": ["Mood=Imp", "_", "_"],
        "8": ["aux", "advmod", "root"],
    }.items():
        assert read(write("a.conllu", UD), Layout(column=column)).tags[0] == tags


def test_a_file_without_tags_is_read_to_predict(write):
    """A file with the words alone, or with the tags too, is what a run of two columns reads."""
    layout = Layout(kind="columns", width=2)
    assert read(write("a.txt", "Mary\nleft\n\nOslo\n"), layout, tagged=False).words == [["Mary", "left"], ["Oslo"]]
    made = read(write("a.txt", "Mary O\nleft O\n"), layout, tagged=False)
    assert (made.words, made.tags) == ([["Mary", "left"]], [["O", "O"]])
    made = read(write("a.txt", "Mary left Oslo.\nAnn is here\n"), layout, tagged=False)
    assert made.kind == "text"


@pytest.mark.parametrize(
    ("text", "options", "part"),
    [
        ("a X\nb\n", {}, "line 2: expected 2 columns, got 1"),
        ("a X\n\nb X Y\n", {}, "line 3: expected 2 columns, got 3"),
        ("a\tX\nb\t\n", {}, "line 2: expected a tag in column 2, got none"),
        ("a\tX\n\tX\n", {}, "line 2: expected a word"),
        ("a\nb\n", {}, "expected a word and its tag in each line"),
        ("", {}, "an empty file"),
        ("\n\n", {}, "an empty file"),
        ("a X\n", {"column": "3"}, "expected 3 columns at least"),
        ("a X\n", {"column": "tag"}, "a column as column, got 'tag'. Name a column from 1 to 2"),
        ("a X\n", {"column": "0"}, "a column as column"),
        (b"a X\n\0 X\n", {}, "line 2: expected text, got binary data"),
    ],
)
def test_a_mistake_in_columns_names_its_line(write, text, options, part):
    """Lines with too few or too many columns, without a word or a tag; columns that are not there."""
    with pytest.raises(InputError, match=part):
        read(write("a.conll", text), Layout(**options))


def test_a_strange_tag_names_its_line(write):
    """Among tags such as B-PER, one such as PERS is refused with its line."""
    made = read(write("a.conll", "a B-PER\nb I-PER\nc O\n\nd B-LOC\ne I-LOC\nf PERS\n"))
    scheme = spans.detect(made.tags)
    assert scheme == "iob2"
    with pytest.raises(InputError, match=r"a\.conll, line 7: expected O, or a tag such as B-NAME, got 'PERS'"):
        check_tags(made, scheme)


def test_tags_against_the_rules_are_noted(write):
    """I- behind O among spans that begin with B- is read as conlleval reads it, and a note counts and places it."""
    made = read(write("a.conll", "a B-PER\nb O\nc I-PER\n"))
    (note,) = check_tags(made, spans.detect(made.tags))
    assert "1 tag against the rules of iob2 (line 3)" in note


# ---- folders, JSON, text, lists


def test_slots(write, tmp_path):
    """seq.in, seq.out and label of a folder; without label there are no intents."""
    write("d/seq.in", "play it\n\nstop\n")
    write("d/seq.out", "O B-song\n\nO\n")
    assert read(tmp_path / "d").labels is None
    write("d/label", "play\n\nstop\n")
    made = read(tmp_path / "d")
    assert (made.words, made.tags, made.labels) == (
        [["play", "it"], ["stop"]],
        [["O", "B-song"], ["O"]],
        ["play", "stop"],
    )
    write("d/seq.out", "O\n\nO\n")
    with pytest.raises(InputError, match="line 1: expected 2 tags, one for each word, got 1"):
        read(tmp_path / "d")
    write("d/label", "play\n")
    with pytest.raises(
        InputError, match=r"as many lines in each file, got 3 in seq\.in and 3 in seq\.out and 1 in label"
    ):
        read(tmp_path / "d")


@pytest.mark.parametrize(
    "mark",
    [{"start": 5, "end": 13, "label": "LOC"}, [5, 13, "LOC"], {"start_offset": 5, "end_offset": 13, "label": "LOC"}],
)
def test_spans_of_json(write, mark):
    """Spans by characters are tags of words, be they objects or lists; spaces and punctuation part the words."""
    line = {"text": "I’m «New York», or not.", "spans": [mark], "intent": "say"}
    made = read(write("a.jsonl", json.dumps(line) + "\n"))
    assert made.words == [["I’m", "«", "New", "York", "»", ",", "or", "not", "."]]
    assert made.tags == [["O", "O", "B-LOC", "I-LOC", "O", "O", "O", "O", "O"]]
    assert made.labels == ["say"]
    assert line["text"][slice(*made.offsets[0][2])] == "New"


def test_a_span_that_ends_within_a_word(write):
    """A word is cut where a span begins or ends."""
    made = read(write("a.jsonl", json.dumps({"text": "Oslo-based", "spans": [[0, 4, "LOC"]]})))
    assert (made.words[0][0], made.tags[0][0]) == ("Oslo", "B-LOC")


def test_tokens_of_json(write):
    """Tokens with tags are taken as they are."""
    made = read(write("a.jsonl", '{"tokens": ["New", "York"], "ner_tags": ["B-LOC", "I-LOC"]}\n'))
    assert (made.words, made.tags) == ([["New", "York"]], [["B-LOC", "I-LOC"]])


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "a JSON object"),
        ("[1]", "a JSON object"),
        ('{"txt": "a"}', "text and spans, or tokens and tags"),
        ('{"text": "a"}', "a list of spans"),
        ('{"text": "a b", "spans": [[0, 9, "X"]]}', "spans within the text, of 3 characters, got 0 to 9"),
        ('{"text": "a b", "spans": [[1, 2, "X"]]}', "spans within the text"),
        ('{"text": "a b", "spans": [[0, "1", "X"]]}', "spans of start, end and label"),
        ('{"text": "a b c", "spans": [[0, 3, "X"], [2, 5, "Y"]]}', "spans that do not overlap"),
        ('{"tokens": ["a", "b"], "tags": ["X"]}', "2 tags in words"),
        ('{"tokens": ["a", ""], "tags": ["X", "Y"]}', "tokens that are words"),
        ('{"tokens": ["a"], "tags": ["X"], "intent": "i"}', "a label in every object"),
    ],
)
def test_a_mistake_in_json_names_its_line(write, line, part):
    """Objects without text, spans outside of it or over each other, tags that are none."""
    good = '{"tokens": ["a"], "tags": ["X"]}\n'
    with pytest.raises(InputError, match=part) as error:
        read(write("a.jsonl", good + line + "\n"))
    assert "line 2" in str(error.value) or "intent" in part or "label in" in part


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mary lives in Oslo.", "Mary lives in Oslo ."),
        ("“Don't!”, he said...", "“ Do n't ! ” , he said ..."),
        ("Mr. Smith's 3.5 m (12:30)", "Mr. Smith 's 3.5 m ( 12:30 )"),
        ("e-mail: a.b@c.org", "e-mail : a.b @ c.org"),
        ("  \t ", ""),
        ("東京 là", "東京 là"),
    ],
)
def test_text_is_cut_as_the_training_data_are(text, words):
    """White space and punctuation part words; what the training data have as one word, such as Mr. and n't, is one."""
    known = {"Mr.", "n't", "'s"}
    assert [text[a:b] for a, b in tokens.tokenize(text, known)] == words.split()
    assert [text[a:b] for a, b in tokens.tokenize(text, known, spaces=True)] == text.split()


def test_a_long_text_is_cut_at_its_sentences():
    """Pieces end behind a full stop where there is one, and no word is lost."""
    words = (["a"] * 99 + ["."]) * 5
    assert tokens.pieces(words, 1000) == [(0, 100), (100, 200), (200, 300), (300, 400), (400, 500)]
    assert tokens.pieces(["a"] * 2500, 1000) == [(0, 1000), (1000, 2000), (2000, 2500)]
    assert tokens.pieces(["a"] * 30, 1000) == [(0, 30)]


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ([], "at least one sentence"),
        (["a"], "pairs"),
        ([["a"]], "pairs"),
        ([[("a", "")]], "pairs"),
        ([[("a", "X", "Y")]], "pairs"),
        ([3], "number 1"),
        (3, "got int"),
    ],
)
def test_a_mistake_in_a_list_is_one_error(source, part):
    """Sentences are lists of pairs of words and tags."""
    with pytest.raises(InputError, match=part):
        read(source)


# ---- spans


ROWS = [spans.Span(0, 0, "A"), spans.Span(1, 3, "A"), spans.Span(4, 4, "B"), spans.Span(6, 7, "A-x")]


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("iob1", "I-A B-A I-A I-A I-B O I-A-x I-A-x"),
        ("iob2", "B-A B-A I-A I-A B-B O B-A-x I-A-x"),
        ("bioes", "S-A B-A I-A E-A S-B O B-A-x E-A-x"),
        ("bilou", "U-A B-A I-A L-A U-B O B-A-x L-A-x"),
    ],
)
def test_schemes(scheme, tags):
    """Spans to tags and back, in every scheme, which is known by its tags; types may have hyphens."""
    assert spans.write(ROWS, 8, scheme) == tags.split()
    assert spans.find(tags.split()) == ROWS
    assert spans.detect([tags.split()]) == scheme
    assert list(spans.violations(tags.split(), scheme)) == []


def test_what_is_no_scheme():
    """Parts of speech, and names without prefixes, are plain."""
    for tags in (["NOUN", "VERB"], ["O", "NAME"], ["O", "O"], ["B", "I", "O"]):
        assert spans.detect([tags]) == "plain"


def test_rules_allow_what_is_valid_and_nothing_else():
    """A sequence of tags is allowed by the rules if and only if it is how its own spans are written."""
    for inner in ("bioes", "iob2"):
        tags = [f"{p}-{k}" for p in ("BIES" if inner == "bioes" else "BI") for k in "xy"] + ["O"]
        allowed, start, end = spans.rules(tags, inner)
        for path in itertools.product(range(len(tags)), repeat=3):
            valid = bool(start[path[0]] and end[path[-1]] and all(allowed[a, b] for a, b in itertools.pairwise(path)))
            names = [tags[k] for k in path]
            assert valid == (spans.convert(names, inner) == names), names
