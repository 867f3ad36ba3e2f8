"""Files with a structure: their texts are translated, every other byte stays as it was; what has no format is named."""

import contextlib
import re
import time

import pytest

from gated._check import InputError
from gated.tasks.translate import documents, markup


def shout(lines):
    """A translator: capitals, but for sentinels, which have none."""
    return [[line.upper()] for line in lines]


def done(text, kind, decode=shout, encoding="utf-8"):
    document = documents.parse(text.encode(encoding), kind)
    return documents.translate(document, decode).data.decode(encoding)


CASES = {  # «what is translated», which stands there in capitals afterwards
    "two cues": ("srt", "1\n00:00:01,000 --> 00:00:02,000\n«Ein Hund»\n\n2\n00:00:03,000 --> 00:00:04,000\n«Kind»\n"),
    "no newline at the end": ("srt", "1\r\n00:00:01,000 --> 00:00:02,000\r\n«Ein Hund»"),
    "one sentence on two lines": ("srt", "1\n00:00:01,0 --> 00:00:02,0 X1:1\n«Er sagt, dass er»\n«morgen kommt.»\n"),
    "two speakers": ("srt", "7\n0:00:01,0 --> 0:00:02,0\n- «Ja, gut.»\n- «Nein, nie.»\n"),
    "italics and position": ("srt", "1\n00:00:01,0 --> 00:00:02,0\n{\\an8}<i>«Ein Hund»</i>\n"),
    "no blank line between": ("srt", "1\n00:00:01,0 --> 00:00:02,0\n«ja»\n2\n00:00:03,0 --> 00:00:04,0\n«neun»\n"),
    "a blank line inside": ("srt", "1\n00:01,0 --> 00:02,0\n«ja»\n\n«nein»\n\n2\n00:03,0 --> 00:04,0\n1984\n"),
    "vtt": ("vtt", "WEBVTT Kopf\n\nNOTE ein Hund\n\nSTYLE\n::cue { a: b }\n\nintro\n00:01.000 --> 00:02.000 line:0\n"
                   "<v Anna>«Ein Hund»\n\n1\n00:00:03.000 --> 00:00:04.000\n<c.gelb>«Ein Mann»</c> &amp; «Frau»\n"),
    "vtt, no cue": ("vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n«ja»\n\nREGION\nid:fred\n\nNOTE\nein Hund\n"),
    "json": ("json", '{"greet": "«Ein Hund»", "nested": {"a": "«Ein» {name}", "b": ["«Kind»"]}}'),
    "json as it is laid out": ("json", '[\r\n\t"«a»" ,{ "b":"«c»\\n\\"«d»\\"", "e":1.50,"f":null,"g":"1\\/3"} ]\r\n'),
    "json, letters": ("json", '{"schlüssel":"«grün»"}'),
    "json, a plural": ("json", '{"a":"{n, plural, one {# Hund} other {# Hunde}}","b":"«ja»"}'),
    "strings": ("strings", '/* greet */\n"greet" = "«Ein Hund»";\n'),
    "strings, escapes": ("strings", '// "a" = "b";\nkey="«Ein» \\"«Hund»\\"\\n%@";"b" = \'«Kind»\' ;'),
    "strings, no text": ("strings", '"a" = "%d";\r\n"b"="«ä» \\"";\r\n'),
    "ftl": ("ftl", "# Hund\n-brand = Marke\na-b = «Hund»\n  «und» { $x }\n  .title = «Titel»\n  .accesskey = T\n"),
    "ftl, a choice": ("ftl", "n = { $n ->\n    [one] «ein Hund»\n   *[other] «Hunde» }\nm =\n    «mehr»\n"),
    "ftl, a term": ("ftl", "-brand =\n    Marke\n\na = «mit» { -brand }\r\n"),
    "resources": ("xml", '<?xml version="1.0"?>\n<resources><!-- Hund -->\n<string name="a">«Ein» <b>«Hund»</b> &amp; '
                         '%1$s</string>\n<string name="b" translatable="false">ja</string><string name="c">@string/a'
                         "</string></resources>"),
    "resources, escapes": ("xml", '<resources><string name="a">«it»\\\'«s»\\n«so»</string>'
                                  '<string name="b">"«a\'s»"'
                                  "</string><string name='c'><![CDATA[<b>«Kind»</b>]]></string></resources>"),
    "resources, plurals": ("xml", '<resources><plurals name="n"><item quantity="one">«Hund»</item></plurals>'
                                  '<string-array name="x" translatable="false"><item>ja</item></string-array>'
                                  "</resources>"),
    "html": ("html", "<!DOCTYPE html><html><head><title>«Hund»</title><style>p { }</style><script>if (a < b)"
                     " 'j'</script></head>\n<p class='X'>«Ein» <b>«Hund»</b> «ü» &amp; <br/>«Kind»\n</p><!-- Hund -->"),
    "html, parts of it": ("html", "<p translate='no'>Hund <b>ja</b></p><pre>a\n b</pre><ul><li>«ja»<li>«nein»</ul>"
                                  "<p>«ja»&nbsp;«doch»</p>"),
    "html, code": ("html", "<p>«nimm» <code>print</code>«.»</p><p><code>ls</code></p>"),
    "html, alone": ("html", "«ja» <a href='x'>«Hund»</a>"),
    "xhtml": ("xml", "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body><p>«ja»</p></body></html>"),
}  # fmt: skip
WRITTEN = {  # what is written in another way than its source, or in another place
    "json escapes": ("json", '{"k":"gr\\u00fcn"}', '{"k":"GR\\u00dcN"}'),
    "strings, escapes": ("strings", '"b"="\\U00e4\\tb";', '"b"="Ä\\tB";'),
    "html, references": ("html", "<p>Ein\n   Hund &uuml;ber &lt;b&gt;\n</p>", "<p>EIN HUND ÜBER &lt;B&gt;\n</p>"),
    "xliff 1.2": (
        "xml",
        '<xliff version="1.2"><body>\n  <trans-unit id="1">\n    <source>Ein <g id="1">Hund</g></source>\n'
        '  </trans-unit>\n<trans-unit id="2"><source>ja</source><target>yes</target></trans-unit></body></xliff>',
        '<xliff version="1.2"><body>\n  <trans-unit id="1">\n    <source>Ein <g id="1">Hund</g></source>\n'
        '    <target state="needs-review-translation">EIN <g id="1">HUND</g></target>\n  </trans-unit>\n'
        '<trans-unit id="2"><source>ja</source><target>yes</target></trans-unit></body></xliff>',
    ),
    "xliff 1.2, states": (
        "xml",
        '<xliff version="1.2"><trans-unit><source>ja</source><target state="new">ja</target></trans-unit><trans-unit>'
        "<source>a</source><target/><alt-trans><source>b</source><target>c</target></alt-trans></trans-unit>"
        '<trans-unit translate="no"><source>d</source></trans-unit></xliff>',
        '<xliff version="1.2"><trans-unit><source>ja</source><target state="needs-review-translation">JA</target>'
        "</trans-unit><trans-unit><source>a</source><target>A</target><alt-trans><source>b</source><target>c</target></alt-trans>"
        '</trans-unit><trans-unit translate="no"><source>d</source></trans-unit></xliff>',
    ),
    "xliff 2.0": (
        "xml",
        '<xliff xmlns="urn:x" version="2.0"><unit id="1"><segment>\r\n <source>&lt;b&gt; Hund</source>\r\n'
        "</segment></unit></xliff>",
        '<xliff xmlns="urn:x" version="2.0"><unit id="1"><segment>\r\n <source>&lt;b&gt; Hund</source>\r\n'
        " <target>&lt;B&gt; HUND</target>\r\n</segment></unit></xliff>",
    ),
}


def source(text):
    return text.replace("«", "").replace("»", "")


@pytest.mark.parametrize(("kind", "text"), CASES.values(), ids=CASES)
def test_texts_are_translated_and_nothing_else_changes(kind, text):
    """Keys, times, tags, attributes, comments, layout and line ends stay; only texts change."""
    assert done(source(text), kind) == re.sub("«([^»]*)»", lambda match: match[1].upper(), text)


@pytest.mark.parametrize(("kind", "text", "new"), WRITTEN.values(), ids=WRITTEN)
def test_translations_are_written_as_their_format_has_them(kind, text, new):
    """Escaped where they must be; in XLIFF in the target, marked for review."""
    assert done(text, kind) == new


def test_a_brace_in_fluent_is_a_literal():
    """A brace that a translation brings along opens no placeable."""
    assert done("a = ja\n", "ftl", lambda lines: [["ja {"]]) == 'a = ja {"{"}\n'


ALL = [(kind, source(text)) for kind, text, *_ in (*CASES.values(), *WRITTEN.values())]


@pytest.mark.parametrize(("kind", "text"), ALL, ids=[*CASES, *WRITTEN])
def test_without_a_translation_a_file_is_the_same_to_the_byte(kind, text):
    """A text that has no translation stays, and its line is among the empty ones; in UTF-8 or UTF-16."""
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        data = text.encode(encoding)
        outcome = documents.translate(documents.parse(data, kind), lambda lines: [[""] for _ in lines])
        assert (outcome.data, outcome.filled) == (data, 0)
        assert outcome.empty


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_stay(encoding):
    """UTF-8 with a byte order mark and UTF-16 come back as they were, the translations among them."""
    assert done('"a" = "grün";\n', "strings", encoding=encoding) == '"a" = "GRÜN";\n'
    data = '\ufeff"a" = "b";'.encode("utf-16-be")
    assert documents.translate(documents.parse(data, "strings"), shout).data == data.replace(b"b", b"B")


def test_xml_names_its_encoding():
    """Latin-1 in, Latin-1 out; what it cannot hold is one error."""
    data = "<?xml version='1.0' encoding='ISO-8859-1'?><resources><string name='ü'>grün</string></resources>"
    document = documents.parse(data.encode("latin-1"), "xml")
    assert documents.translate(document, shout).data == data.replace("grün", "GRÜN").encode("latin-1")
    with pytest.raises(InputError, match=r"ISO-8859-1 can hold, got '日'"):
        documents.translate(document, lambda lines: [["日"]])


LOST = [
    ("srt", "1\n00:00:01,000 --> 00:00:02,000\nEin <b>Hund</b> da\n", 3, ["<b> is lost", "</b> is lost"]),
    ("json", '{"a": 1,\n"b": "Ein {name} da"}', 2, ["{name} is lost"]),
    ("strings", '"a" =\n"Ein %@ da";', 2, ["%@ is lost"]),
    ("ftl", "\na = Ein { $n } da\n", 2, ["{ $n } is lost"]),
    ("html", "\n<p>Ein <b>Hund</b> da</p>", 2, ["<b> is lost", "</b> is lost"]),
]


@pytest.mark.parametrize(("kind", "text", "line", "problems"), LOST, ids=[case[0] for case in LOST])
def test_a_text_whose_placeholders_are_lost_stays(kind, text, line, problems):
    """The loss is named with its line; `lossy` takes the translation."""
    document = documents.parse(text.encode(), kind)
    outcome = documents.translate(document, lambda lines: [["x"] for _ in lines])
    assert outcome.data.decode() == text
    assert (outcome.problems, outcome.empty) == ([(line, problem) for problem in problems], [line])
    outcome = documents.translate(document, lambda lines: [["x"] for _ in lines], lossy=True)
    assert outcome.data.decode() != text
    assert (outcome.filled, outcome.empty) == (1, [])


def test_lines_of_a_cue_are_of_like_length():
    """A cue has at most as many lines as before, with the file's line ends."""
    text = "1\r\n00:00:01,000 --> 00:00:02,000\r\na b\r\nc\r\n"
    new = done(text, "srt", lambda lines: [["eins zwei drei vier"] for _ in lines])
    assert new == text.replace("a b\r\nc", "eins zwei\r\ndrei vier")


# ---- what is refused


FAULTS = [
    ("json", '{"a": }', "line 1: expected JSON, got Expecting value at column 7"),
    ("json", "[" * 100_000, "JSON"),
    ("json", '"a"', "an object or a list of JSON, got str"),
    ("srt", "Ein Hund\n", "subtitles, with lines such as"),
    ("strings", '"a" = "b\n', 'line 1: expected "key" = "value"'),
    ("ftl", "a = b\n??\n", "line 2: expected a message of Fluent"),
    ("xml", "<resources>\n<string>a</resources>", "line 2: expected XML, got mismatched tag"),
    ("xml", "<a>" * 200 + "</a>" * 200, "at most 100 deep"),
    ("xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><resources/>", "without declarations of its own"),
    ("xml", "<resources>&b;</resources>", "got undefined entity"),
    ("xml", "<tmx/>", "<tmx>. Its pairs are for fit and score."),
    ("xml", "<rss/>", "Android's resources or a web page, got <rss>"),
    ("xml", "<?xml version='1.0' encoding='zip'?><resources/>", "encoding"),
    ("json", b'{"a": "\xfc\xfc"}', "line 1: expected text in UTF-8, got the byte 0xfc"),
    ("json", b'{"a": "\0"}', "binary data"),
    ("json", " ", "an empty file"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "words"), FAULTS, ids=[words[:30] for _, _, words in FAULTS])
def test_faults_are_one_error(kind, text, words):
    """What a format does not allow is refused, with the line where there is one."""
    with pytest.raises(InputError) as error:
        documents.parse(text if isinstance(text, bytes) else text.encode(), kind).spans()
    assert words in str(error.value)


KINDS = [
    ("a.srt", b"", "srt"), ("a.VTT", b"", "vtt"), ("a.xlf", b"", "xml"), ("a.htm", b"", "html"),
    ("a.json", b"{", "json"),     ("-", b"WEBVTT\n\n", "vtt"), ("-", b"\xef\xbb\xbf<?xml version='1.0'?>", "xml"),
    ("x", b"\n<!DOCTYPE html>", "html"),
    ("x.txt", b"1\r\n00:00:01,000 --> 00:00:02,000\r\n", "srt"), ("x.txt", b"1\nEin Hund\n", ""),
    ("x.txt", "<?xml version='1.0'?>".encode("utf-16"), "xml"), ("x.de", b"Ein Hund\n", ""), ("-", b"", ""),
    ("a.tsv", b"a\tb", ""), ("a.jsonl", b"{}", ""), ("a", b"<b>Ein Hund</b>", ""), ("a.md", b"# Hund", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "head", "kind"), KINDS)
def test_a_format_is_known_by_name_or_content(name, head, kind):
    """The suffix decides; without one that says something, the beginning of the file."""
    assert documents.form(name, head) == kind


FOREIGN = [
    ("a.docx", b"", "a Word document"), ("a.yml", b"", "YAML"), ("a.txt", b"%PDF-1.7", "a PDF document"),
    ("-", b"{\\rtf1", "an RTF document"), ("a.json", b"bplist00", "a binary property list"), ("a.ass", b"", "Advanced"),
    ("a.po", b"\xde\x12\x04\x95", "a compiled catalogue"), ("x", b"\x89PNG\r\n", "a picture (PNG)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "head", "words"), FOREIGN)
def test_other_files_are_refused_by_name(name, head, words):
    """What is no text, or a format that is not served, is named."""
    with pytest.raises(InputError, match="lines of text") as error:
        documents.form(name, head)
    assert f"got {words}" in str(error.value)


# ---- pairs


def test_pairs_of_xliff_and_tmx():
    """The finished units of XLIFF; of TMX those that have both languages, the source's first."""
    text = ('<xliff version="1.2"><trans-unit><source>ein &#252; <x id="1"/></source>'
            '<target>a ü <x id="1"/></target></trans-unit><trans-unit><source>b</source>'
            '<target state="new">b</target></trans-unit></xliff>')  # fmt: skip
    assert [pair[1:] for pair in markup.xliff_pairs(text)] == [('ein ü <x id="1"/>', 'a ü <x id="1"/>')]
    unit = '<tu><tuv xml:lang="{}"><seg>{}</seg></tuv><tuv xml:lang="{}"><prop>p</prop><seg>{}</seg></tuv></tu>'
    body = unit.format("en-US", "a dog", "de", "ein\n Hund") + unit.format("de", "ja", "en-US", "yes")
    text = f'<!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx version="1.4"><header srclang="de"/><body>{body}</body></tmx>'
    assert markup.root(text, "x") == "tmx"
    wanted = [("ein Hund", "a dog"), ("ja", "yes")]
    assert [pair[1:] for pair in markup.tmx_pairs(text, "x")] == wanted
    assert [pair[1:] for pair in markup.tmx_pairs(text, "x", ("en", "de"))] == [(y, x) for x, y in wanted]
    with pytest.raises(InputError, match="the language 'fr', got en-us, de"):
        list(markup.tmx_pairs(text, "x", ("fr", "de")))
    more = text.replace("</body>", unit.format("fr", "oui", "de", "ja") + "</body>")
    with pytest.raises(InputError, match=r"two languages, got en-us, de, fr\. Name two of them with columns"):
        list(markup.tmx_pairs(more, "x"))


UNITS = ["<a ", "<", '<a "', "<!--", "<a x='", "&a", "{", "-->", "00:", '"', "/*", "<b><b>", " = ", "[a", "{\\"]


@pytest.mark.parametrize("unit", UNITS)
def test_no_file_makes_the_reading_slow(unit):
    """A file of 20,000 characters that begins something again and again is read or refused in well under a second."""
    text, start = unit * (20_000 // len(unit)), time.process_time()
    for kind, begin in (
        ("html", ""),
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\n"),
        ("strings", ""),
        ("ftl", "a = "),
        ("json", ""),
    ):
        with contextlib.suppress(InputError):
            documents.translate(documents.parse((begin + text).encode(), kind), shout)
    assert time.process_time() - start < 2
