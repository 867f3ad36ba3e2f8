"""Gettext catalogues: the gaps are filled and nothing else changes; placeholders come through or are named."""

import difflib
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gated._check import InputError
from gated.io import files
from gated.tasks.translate import placeholders as ph
from gated.tasks.translate import po

polib = pytest.importorskip("polib")

HEADER = r'''# German words.
# Ada <ada@example.org>, 1843.
#, fuzzy
msgid ""
msgstr ""
"Zeta: first\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"
"Language: de\n"

'''  # fmt: skip
SAMPLE = HEADER + r'''#. a note for translators
#: src/a.c:1 src/b.c:22
#, c-format
msgctxt "menu"
msgid "Open %s"
msgstr ""

#~ msgid "gone"
#~ msgstr "weg"

#~ msgid "gone before it came"
#~ msgstr ""

msgid "done"
msgstr   "fertig"

# doubtful
#, fuzzy,c-format
#| msgid "Clse"
msgid "Close"
msgstr "Schließn"

#: plural
msgid "%d file"
msgid_plural "%d files"
msgstr[0] ""
msgstr[1] ""

msgid ""
"First line\n"
"  Second \"line\"\t\n"
msgstr ""

msgid "kept"
msgstr ""
"auf "
"zwei Zeilen"

msgid "last"
msgstr ""
'''  # fmt: skip


def shout(lines):
    """A translator: capitals."""
    return [[line.upper()] for line in lines]


def parse(text):
    return po.parse(text.encode() if isinstance(text, str) else text)


def done(text, decode=shout, **more):
    """The new text of a catalogue, and what was met."""
    found = po.translate(parse(text), decode, **more)
    return found.data.decode(), found


def test_a_catalogue_without_gaps_is_the_same_to_the_byte():
    """Nothing to do changes nothing: order, header, spacing, obsolete entries, line ends, a missing last newline."""
    for text in (SAMPLE, SAMPLE.replace("\n", "\r\n"), SAMPLE.rstrip("\n"), "\ufeff" + SAMPLE, HEADER):
        assert po.render(parse(text), {}) == text.encode()


def test_gaps_are_filled_and_flagged_and_nothing_else_changes():
    """Only msgstr lines of untranslated entries change, and a fuzzy flag joins or makes their line of flags."""
    text, found = done(SAMPLE)
    changed = [line for line in difflib.ndiff(SAMPLE.splitlines(), text.splitlines()) if line[0] in "-+"]
    assert changed == [
        "- #, c-format", "+ #, fuzzy, c-format", '- msgstr ""', '+ msgstr "OPEN %s"',
        "+ #, fuzzy",
        '- msgstr[0] ""', '+ msgstr[0] "%d FILE"', '- msgstr[1] ""', '+ msgstr[1] "%d FILES"',
        "+ #, fuzzy", '+ "FIRST LINE\\n"', '+ "  SECOND \\"LINE\\"\\t\\n"',
        "+ #, fuzzy",
        '- msgstr ""', '+ msgstr "LAST"',
    ]  # fmt: skip
    assert (found.filled, found.problems, found.empty) == (5, [], [])


def test_polib_reads_what_is_written():
    """Another reader of catalogues finds the same messages, contexts, flags, comments and references."""
    old, new = polib.pofile(SAMPLE), polib.pofile(done(SAMPLE)[0])
    assert new.metadata == old.metadata
    assert new.header == old.header
    assert [e.obsolete for e in old] == [e.obsolete for e in new]
    for a, b in zip(old, new, strict=True):
        for name in ("msgid", "msgid_plural", "msgctxt", "comment", "tcomment", "occurrences", "previous_msgid"):
            assert getattr(a, name) == getattr(b, name)
        if a.translated() or a.obsolete or a.fuzzy:
            assert (a.msgstr, a.msgstr_plural, a.flags) == (b.msgstr, b.msgstr_plural, b.flags)
        else:
            assert b.fuzzy
    assert new.find("%d file").msgstr_plural == {0: "%d FILE", 1: "%d FILES"}
    assert new.find('First line\n  Second "line"\t\n').msgstr == 'FIRST LINE\n  SECOND "LINE"\t\n'


MESSAGE = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029\x1c\x1d\x1e"), min_size=1, max_size=90
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(MESSAGE, MESSAGE), min_size=1, max_size=4), st.sampled_from([SAMPLE, HEADER]))
def test_any_text_is_written_so_that_it_is_read_again(texts, base):
    """Whatever a message and its translation hold, they are read back as they are, by polib as well."""
    text = base + "".join(
        f'\nmsgctxt "{k}"\nmsgid "{po.escape(source)}"\nmsgstr ""\n' for k, (source, _) in enumerate(texts)
    )
    catalogue = parse(text)
    found = po.gaps(catalogue)[-len(texts) :]
    assert [gap.text for gap in found] == [source for source, _ in texts]
    data = po.render(catalogue, {gap: target for gap, (_, target) in zip(found, texts, strict=True)})
    again = po.parse(data)
    assert [entry.strings[0] for entry in again.entries[-len(texts) :]] == [target for _, target in texts]
    assert all(entry.fuzzy for entry in again.entries[-len(texts) :])
    safe = [(s, t) for s, t in texts if not set("\a") & set(s + t)]  # polib does not know \a
    if len(safe) == len(texts) and "\x0b" not in data.decode():
        other = polib.pofile(data.decode())
        assert [entry.msgstr for entry in other if entry.msgctxt is not None][-len(texts) :] == [t for _, t in texts]


def test_fuzzy_entries_are_done_again_when_asked():
    """Their translation is replaced; the flag and the previous msgid stay."""
    text, found = done(SAMPLE, fuzzy=True)
    assert '#, fuzzy,c-format\n#| msgid "Clse"\nmsgid "Close"\nmsgstr "CLOSE"\n' in text
    assert found.filled == 6
    assert "Schließn" in done(SAMPLE)[0]


def test_training_pairs_are_the_finished_messages():
    """Translated, not fuzzy, not obsolete, no header; plural forms each with its own source; lines with lines."""
    text = SAMPLE.replace('msgstr[0] ""\nmsgstr[1] ""', 'msgstr[0] "%d Datei"\nmsgstr[1] "%d Dateien"')
    text = text.replace('"  Second \\"line\\"\\t\\n"\nmsgstr ""', '"  Second\\n"\nmsgstr "Erste\\n  Zweite\\n"')
    assert [(x, y) for _, x, y in po.pairs(parse(text))] == [
        ("done", "fertig"),
        ("%d file", "%d Datei"),
        ("%d files", "%d Dateien"),
        ("First line", "Erste"),
        ("Second", "Zweite"),
        ("kept", "auf zwei Zeilen"),
    ]
    assert po.pairs(parse(text))[0][0] == 1 + text.split("\n").index('msgid "done"')


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("nplurals=1; plural=0;", ["%d FILES"]),
        ("nplurals=2; plural=n > 1;", ["%d FILE", "%d FILES"]),
        ("nplurals=4; plural=(n%100==1 ? 1 : n%100==2 ? 2 : n%100==3 || n%100==4 ? 3 : 0);",
         ["%d FILES", "%d FILE", "%d FILES", "%d FILES"]),
        ("nplurals=INTEGER; plural=EXPRESSION;", ["%d FILE", "%d FILES"]),
        ("nplurals=2; plural=n/0;", ["%d FILE", "%d FILES"]),
        ("nplurals=2; plural=" + "(" * 500 + ";", ["%d FILE", "%d FILES"]),
    ],
)  # fmt: skip
def test_plurals_have_the_forms_of_the_language(rule, wanted):
    """The form that the header's rule gives the number 1 comes from the singular, the others from the plural."""
    text = SAMPLE.replace("nplurals=2; plural=(n != 1);", rule)
    if rule.startswith("nplurals=1"):
        text = text.replace('msgstr[1] ""\n', "")
    text, _ = done(text)
    assert polib.pofile(text).find("%d file").msgstr_plural == dict(enumerate(wanted))


def test_a_plural_at_the_end_without_a_newline_gets_its_lines():
    """Forms that had no line yet come after the last, also where the file ends without a newline."""
    text = HEADER.replace("nplurals=2; plural=(n != 1)", "nplurals=3; plural=(n != 1)")
    text, _ = done(text + 'msgid "a cat"\nmsgid_plural "cats"\nmsgstr[0] ""')
    assert text.endswith(
        '#, fuzzy\nmsgid "a cat"\nmsgid_plural "cats"\nmsgstr[0] "A CAT"\nmsgstr[1] "CATS"\nmsgstr[2] "CATS"\n'
    )


def test_every_line_of_flags_counts():
    """An entry is fuzzy where any of its lines of flags says so."""
    assert po.gaps(parse(HEADER + '#, fuzzy\n#, c-format\n\nmsgid "a"\nmsgstr ""\n')) == []


def test_line_ends_of_the_file_are_kept():
    """In a file with \\r\\n the new lines have \\r\\n; the last line has none if it had none."""
    assert done(SAMPLE.rstrip("\n"))[0] == done(SAMPLE)[0].rstrip("\n")
    text, _ = done(SAMPLE.replace("\n", "\r\n"))
    assert text.replace("\r\n", "\n") == done(SAMPLE)[0]
    assert "\n" not in text.replace("\r\n", "")


def test_the_encoding_of_the_header_is_used():
    """Latin-1 in, Latin-1 out; what it cannot hold is refused, and so are bytes that are not in it."""
    text = SAMPLE.replace("UTF-8", "ISO-8859-1").replace("menu", "Menü")
    data = po.translate(po.parse(text.encode("latin-1")), lambda lines: [["é"] for _ in lines], lossy=True).data
    assert data.decode("latin-1").count("é") == 6
    with pytest.raises(InputError, match=r"ISO-8859-1.*'日'"):
        po.translate(po.parse(text.encode("latin-1")), lambda lines: [["日"] for _ in lines])
    with pytest.raises(InputError, match=r"line 14: expected text in UTF-8.*0xfc at byte 13 "):
        po.parse(SAMPLE.replace("menu", "Menü").encode("latin-1"))
    with pytest.raises(InputError, match="encoding"):
        po.parse(SAMPLE.replace("UTF-8", "UTF-16").encode())
    with pytest.raises(InputError, match="encoding"):
        po.parse(SAMPLE.replace("UTF-8", "zip").encode())


def test_new_lines_are_as_wide_as_the_others():
    """A long translation is broken at spaces at the width of the file, and not at all in a file that never breaks."""
    long = " ".join(["wort"] * 60)
    soft = 'msgid "x"\nmsgstr ""\n"' + 'eins zwei drei vier funf sechs sieben "\n"acht"\n\n'
    for base, width in ((HEADER, 79), (HEADER + soft, 50), (HEADER + f'msgid "{long}{long}"\nmsgstr "y"\n\n', 500)):
        text, _ = done(base + 'msgid "a"\nmsgstr ""\n', lambda lines: [[long] for _ in lines])
        new = text[text.index('msgid "a"') :].split("\n")[1:-1]
        assert max(map(len, new)) <= width
        assert (len(new) == 1) == (width == 500)
        assert polib.pofile(text).find("a").msgstr == long


def test_faults_name_the_line():
    """What is no catalogue is refused with the line."""
    for text, line, word in (
        ('msgid "a"\nmsgstr "b"\nwhat\n', 3, "what"),
        ('msgid "a\nmsgstr "b"\n', 1, "catalogue"),
        ('msgid "a"\nmsgid "b"\nmsgstr ""\n', 2, "once"),
        ('msgid "a"\n\nmsgstr ""\nmsgstr ""\n', 4, "once"),
        ('msgstr "a"\n', 1, "msgid first"),
        ('"a"\n', 1, "catalogue"),
        ('\nmsgctxt "a"\nmsgstr "a"\n', 3, "msgid first"),
        ('msgid[0] "a"\n', 1, "index"),
        ('msgid "a"\nmsgstr[999] "a"\n', 2, "plural forms"),
        ('msgid "a"\nmsgstr ""\n\nmsgid "b"\n', 4, "none"),
    ):
        with pytest.raises(InputError, match=f"line {line}: .*{word}"):
            parse(text)


def test_files_are_read_and_written_whole(tmp_path):
    """A file comes back through load and write; its mode and a link to it stay; nothing is left beside it."""
    path, link = tmp_path / "de.po", tmp_path / "link.po"
    path.write_bytes(SAMPLE.encode())
    path.chmod(0o640)
    link.symlink_to(path)
    files.write(link, po.translate(po.load(link), shout).data)
    assert path.read_bytes().decode() == done(SAMPLE)[0]
    assert link.is_symlink()
    assert os.stat(path).st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["de.po", "link.po"]
    for bad, word in ((tmp_path / "no.po", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(InputError, match=word):
            po.load(bad)
    (tmp_path / "empty.po").write_bytes(b"\n")
    with pytest.raises(InputError, match="empty"):
        po.load(tmp_path / "empty.po")


# ---- what the translator is given, and what it gives back


def test_the_translator_sees_each_sentence_once_and_no_placeholder():
    """Masked, without the white space around lines, each once; lines without letters are copied."""
    text = HEADER + r'''
msgid "Save %s to <b>{file}</b>"
msgstr ""

msgctxt "again"
msgid "  Save %d to <b>{file}</b>\n\n%s\n"
msgstr ""
'''  # fmt: skip
    seen = []
    text, found = done(text, lambda lines: [seen.append(line) or [line.upper()] for line in lines])
    s = ph.SENTINELS
    assert seen == [f"Save {s[0]} to {s[1]}{s[2]}{s[3]}"]
    assert r'"SAVE %s TO <b>{file}</b>"' in text
    assert '"  SAVE %d TO <b>{file}</b>\\n"\n"\\n"\n"%s\\n"' in text
    assert found.problems == []


def test_the_first_translation_that_keeps_its_placeholders_is_taken():
    """Of several the first whole one; where none is whole none, or with `lossy` the best, repaired."""
    a, b = ph.SENTINELS[:2]
    text = HEADER + 'msgid "From %s to %d"\nmsgstr ""\n'
    line = text.split("\n").index('msgid "From %s to %d"') + 1
    for answers, wanted, problems in (
        ([f"Von {a}", f"Bis {b} von {a}", f"Von {a} bis {b}"], "Von %s bis %d", []),
        ([f"Von {a}", f"Bis {b} von {a}"], "Bis %d von %s", ["%d %s in another order than %s %d"]),
        ([f"Von {a} {a} bis", ""], "Von %s bis", ["%d is lost"]),
        ([f"Von {a} bis {ph.SENTINELS[9]}"], "Von %s bis", ["%d is lost"]),
    ):
        new, found = done(text, lambda lines, answers=answers: [answers for _ in lines])
        assert (f'msgstr "{wanted}"' in new, new == text) == (not problems, bool(problems))
        assert found.problems == [(line, problem) for problem in problems]
        assert found.empty == [line] * bool(problems)
        new, found = done(text, lambda lines, answers=answers: [answers for _ in lines], lossy=True)
        assert f'msgstr "{wanted}"' in new
        assert (found.problems, found.empty) == ([(line, problem) for problem in problems], [])
    new, found = done(text, lambda lines: [[" "] for _ in lines])
    assert new == text
    assert found.empty == [line]
    assert found.filled == 0


PIECES = [
    "%s", "%(name)s", "%1$s", "%.2f", "%<PRIu64>", "%%", "%-5d", "%@",
    "{}", "{0}", "{name!r:>8}", "{x:.2f}", "%{n}", "${HOME}", "$HOME", "{{ user.name }}", "{% trans %}",
    ":ref:`text <target>`", ":py:func:`f`", "``code``", "`link`_", "`a <https://b.c>`__", "|version|", "[1]_",
    '<a href="x y">', "</a>", "<br/>", "<!-- note -->", "&amp;", "&#38;",
    "<code>ls -l</code>", '<ph id="1">%s</ph>', "<00:00:01.000>", "{\\an8}", "{ $name }", "{ -brand }", "{ DATE($d) }",
    "{0, number, integer}", "{when,date}",
    "https://a.org/b?c=d#e", "www.a.org", "ada@example.org",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_every_kind_of_placeholder_is_found_whole(piece):
    """Between words, at the ends, and before a full stop."""
    assert ph.find(f"see {piece} now") == [piece]
    assert ph.find(piece) == [piece]
    assert ph.find(f"See {piece}.") == [piece]


@pytest.mark.parametrize(
    "text",
    ["100% sure", "5 % of it", "a 50%-ige Lösung", "_File", "&File", "a < b and c > d", "**bold** text",
     "`quoted' and `so'",
     "a | b | c", "$5", "{count, plural, one", "{a, b}", "{ein Hund}", "{ }", "Tom & Jerry; all", "it's 10:30",
     "[x] done",
     "e-mail@ home"],
)  # fmt: skip
def test_plain_text_is_no_placeholder(text):
    """Percentages, prices, accelerators, bold, comparisons and quotes stay text."""
    assert ph.find(text) == []


MIXED = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=24).map("".join)
MIXED = MIXED.map(lambda text: text.translate(dict.fromkeys(range(0xFDD0, 0xFDE0), "x")))


@settings(max_examples=120, deadline=None)
@given(MIXED)
def test_masking_loses_nothing(text):
    """unmask(*mask(x)) == x; at most sixteen are masked, in order, and check finds nothing wrong with x for x."""
    masked, originals = ph.mask(text)
    assert ph.unmask(masked, originals) == text
    assert ph.repair(masked, originals) == text
    assert [c for c in masked if c in ph.SENTINELS] == list(ph.SENTINELS[: len(originals)])
    assert ph.check(text, text) in ([], ["tags that do not close"])


def test_sentinels_in_a_text_cannot_stand_for_another():
    """A sentinel that a text brings along becomes a space, so that nothing is put in its place."""
    assert ph.mask(f"a{ph.SENTINELS[0]}b %s") == (f"a b {ph.SENTINELS[0]}", ["%s"])
    assert ph.unmask(ph.SENTINELS[0], []) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20), st.randoms(use_true_random=False))
def test_pairs_are_masked_alike(pieces, rng):
    """Both sides hold the same sentinels, which stand for the same; what one side lacks stays text on the other."""
    other = [*pieces[: len(pieces) // 2], "%x"]
    rng.shuffle(other)
    source, target, originals = ph.mask_pair("a " + " b ".join(pieces), "c " + " d ".join(other))
    assert sorted(c for c in source if c in ph.SENTINELS) == sorted(c for c in target if c in ph.SENTINELS)
    assert ph.unmask(source, originals) == "a " + " b ".join(pieces)
    assert ph.unmask(target, originals) == "c " + " d ".join(other)


@pytest.mark.parametrize(
    ("source", "target", "problems"),
    [
        ("a %s b", "c %s d", []),
        ("a %s b", "c d", ["%s is lost"]),
        ("a %s b", "c %s %s", ["%s comes 2 times, not 1"]),
        ("a b", "c %s", ["%s is new"]),
        ("%s of %d", "%d von %s", ["%d %s in another order than %s %d"]),
        ("%1$s of %2$d", "%2$d von %1$s", []),
        ("{a} of {b}", "{b} von {a}", []),
        ("<b>x</b>", "</b>y<b>", ["tags that do not close"]),
        ("<b>x</b> <i>y</i>", "<i>y</i> <b>x</b>", []),
        ("x\n", "y", ["a newline comes last on one side only"]),
        ("x", "\ny", ["a newline comes first on one side only"]),
        ("x", "  ", ["no translation"]),
        ("", "", []),
    ],
)
def test_check_names_what_is_wrong(source, target, problems):
    """A phrase for each placeholder lost, doubled, invented or out of order, for tags, for newlines at the ends."""
    assert ph.check(source, target) == problems


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "%",
        "%0",
        "<",
        "<a ",
        "<!--",
        "`",
        "``a",
        ":a",
        "&a",
        "{",
        "{{",
        "{ $a",
        "{a,number,",
        "<code>",
        "{\\",
        "|a",
        "[a",
        "http://",
        "www.",
        "a@",
        "a.",
        "$",
        "<a-",
    ],
)
def test_no_text_makes_the_search_slow(unit):
    """A line of 50,000 characters that begins a placeholder again and again takes well under a second."""
    start = time.process_time()
    text = unit * (50_000 // len(unit))
    ph.mask(text)
    ph.check(text, text)
    message = po.escape(text + " " * 50_000 + "b")
    po.translate(po.parse(f'msgid "{message}"\nmsgstr ""\n'.encode()), lambda lines: [[line] for line in lines])
    assert time.process_time() - start < 1.5
