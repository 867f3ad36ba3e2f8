"""Files with a structure: their texts are translated, every other byte stays as it was; what has no format is named."""

import contextlib
import io
import re
import sys
import time
import zipfile
from types import SimpleNamespace

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
    "times as people write them": ("srt", "1\n00:00:01:000 --> 00:00:02:000\n«ja»\n\n2\n 00 : 00 : 03,5-->00:00:04,0\n"
                                          "«nein»\n\n3\n00:00:05.000 -->\n«doch»\n\n"
                                          "4\n1000:00:06.000 --> 1000:00:07.000\n«so»"),
    "tags of other players": ("srt", "1\n00:00:01,0 --> 00:00:02,0\n{b}«Ein»{/b} «Hund»\n"),
    "vtt": ("vtt", "WEBVTT Kopf\n\nNOTE ein Hund\n\nSTYLE\n::cue { a: b }\n\nintro\n00:01.000 --> 00:02.000 line:0\n"
                   "<v Anna>«Ein Hund»\n\n1\n00:00:03.000 --> 00:00:04.000\n<c.gelb>«Ein Mann»</c> &amp; «Frau»\n"),
    "vtt, no cue": ("vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n«ja»\n\nREGION\nid:fred\n\nNOTE\nein Hund\n"),
    "json": ("json", '{"greet": "«Ein Hund»", "nested": {"a": "«Ein» {name}", "b": ["«Kind»"]}}'),
    "json as it is laid out": ("json", '[\r\n\t"«a»" ,{ "b":"«c»\\n\\"«d»\\"", "e":1.50,"f":null,"g":"1\\/3"} ]\r\n'),
    "json, letters": ("json", '{"schlüssel":"«grün»"}'),
    "json, a plural": ("json", '{"a":"{n, plural, one {# Hund} other {# Hunde}}","b":"«ja»"}'),
    "strings": ("strings", '/* greet */\n"greet" = "«Ein Hund»";\n'),
    "strings, escapes": ("strings", '// "a" = "b";\nkey="«Ein» \\"«Hund»\\"\\n%@";"b" = \'«Kind»\' ;'),
    "strings, no semicolon": ("strings", '"a" = "«Hund»"\n"b" = "«ja»";\n"c";\n'),
    "strings, no text": ("strings", '"a" = "%d";\r\n"b"="«ä» \\"";\r\n'),
    "ftl": ("ftl", "# Hund\n-brand = Marke\na-b = «Hund»\n  «und» { $x }\n  .title = «Titel»\n  .accesskey = T\n"),
    "ftl, a choice": ("ftl", "n = { $n ->\n    [one] «ein Hund»\n   *[other] «Hunde» }\nm =\n    «mehr»\n"),
    "ftl, a term": ("ftl", "-brand =\n    Marke\n\na = «mit» { -brand }\r\n"),
    "ftl, a choice in a text": ("ftl", "a = «Du hast» { $n ->\n    [one] «eins»\n   *[other] { $n } «viele»\n"
                                       "  } «hier,» { $x }.\n"),
    "ftl, braces that are text": ("ftl", 'a = { "{" } «ja» {"}"} { NUMBER($n, a: "b") }\n'),
    "ftl, choices in choices": ("ftl", "a = { $b ->\n  [x] { $c ->\n    [y] «ja»\n   *[z] «nein»\n  }\n"
                                       " *[w] «doch»\n}\n"),
    "ftl, a term's attributes": ("ftl", "-a = Marke\n    .gender = masculine\nb = «ja»\n    .title = «Titel»\n"),
    "resources, styles": ("xml", '<resources><style name="a"><item name="b">center</item></style><array name="c">'
                                 '<item>#fab</item></array><item type="id" name="d">ja</item>'
                                 '<item type="string" name="e">«ja»</item>'
                                 "<string-array name='f'><item>«Hund»</item></string-array></resources>"),
    "resources, no references": ("xml", "<resources><string name='a'>\\@«ja»</string><string name='b'>\\?«ja»</string>"
                                        "</resources>"),
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
    "html, tags in scripts": ("html", "<p>«ja»</p><script>s = '<script>'; if (a<b) x</script><p>«nein»</p>"
                                      "<STYLE><!-- a\n</STYLE>"
                                      "<p>«doch»</p><!-- <script> --><p>«so»</p>"),
    "html, elements without content": ("html", "<p>«ja»</p><br class='notranslate'><p>«nein»</p>"
                                               "<img translate=no><p>«so»</p>"),
    "html, values without quotes": ("html", "<p translate=no>Hund</p><p>«ja» <b class=notranslate>Hund</b> «so»</p>"),
    "html, alone": ("html", "«ja» <a href='x'>«Hund»</a>"),
    "xhtml": ("xml", "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body><p>«ja»</p></body></html>"),
}  # fmt: skip
WRITTEN = {  # what is written in another way than its source, or in another place
    "json escapes": ("json", '{"k":"gr\\u00fcn"}', '{"k":"GR\\u00dcN"}'),
    "strings, escapes": ("strings", '"b"="\\U00e4\\tb";', '"b"="Ä\\tB";'),
    "strings, two codes for one letter": ("strings", '"a"="x \\Ud83d\\ude00 \\u00e9";', '"a"="X 😀 É";'),
    "resources, two codes for one letter": (
        "xml",
        "<resources><string name='a'>\\u0020x \\ud83d\\ude00</string></resources>",
        "<resources><string name='a'>\\u0020X 😀</string></resources>",
    ),
    "json, half a letter": ("json", '{"k":"a\\n\\ud800","g":"ü"}', '{"k":"A\\n\\ud800","g":"Ü"}'),
    "html, a sign": ("html", "<p>ein < zwei & drei</p>", "<p>EIN &lt; ZWEI &amp; DREI</p>"),
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
    "xliff, names with a prefix": (
        "xml",
        '<x:xliff xmlns:x="urn:x" version="2.0"><x:unit><x:segment><x:source>ja</x:source></x:segment></x:unit>'
        "</x:xliff>",
        '<x:xliff xmlns:x="urn:x" version="2.0"><x:unit><x:segment><x:source>ja</x:source><x:target>JA</x:target>'
        "</x:segment></x:unit></x:xliff>",
    ),
    "xliff, what is not translated": (
        "xml",
        '<xliff version="2.0"><file translate="no"><unit><segment><source>a</source></segment></unit><group><unit '
        'translate="yes"><segment><source>b</source></segment></unit></group></file><file><unit><segment><source>c</source></segment>'
        "</unit></file></xliff>",
        '<xliff version="2.0"><file translate="no"><unit><segment><source>a</source></segment></unit><group><unit '
        'translate="yes"><segment><source>b</source><target>B</target></segment></unit></group></file><file><unit><segment><source>c'
        "</source><target>C</target></segment></unit></file></xliff>",
    ),
    "xliff 1.2, sentences": (
        "xml",
        '<xliff version="1.2"><trans-unit><source>a. b. c.</source><seg-source><mrk mtype="seg" mid="1">a.</mrk> <mrk '
        'mtype="seg" mid="2">b <x id="1"/>.</mrk> <mrk mtype="seg" mid="3">c.</mrk></seg-source><target>'
        '<mrk mtype="seg" mid="1"/> <mrk mtype="seg" mid="2"></mrk> <mrk mtype="seg" mid="3">x.</mrk></target>'
        "</trans-unit></xliff>",
        '<xliff version="1.2"><trans-unit><source>a. b. c.</source><seg-source><mrk mtype="seg" mid="1">a.</mrk> <mrk '
        'mtype="seg" mid="2">b <x id="1"/>.</mrk> <mrk mtype="seg" mid="3">c.</mrk></seg-source><target>'
        '<mrk mtype="seg" mid="1">A.</mrk> <mrk mtype="seg" mid="2">B <x id="1"/>.</mrk>'
        ' <mrk mtype="seg" mid="3">x.</mrk></target>'
        "</trans-unit></xliff>",
    ),
    "xliff 2.0, states": (
        "xml",
        '<xliff version="2.0"><unit><segment state="initial"><source>a</source><target>a</target></segment><segment '
        'state="initial"><source>b</source><target>x</target></segment><segment><source>c</source><target>c</target>'
        "</segment></unit></xliff>",
        '<xliff version="2.0"><unit><segment state="initial"><source>a</source><target>A</target></segment><segment '
        'state="initial"><source>b</source><target>x</target></segment><segment><source>c</source><target>c</target>'
        "</segment></unit></xliff>",
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


@pytest.mark.parametrize("encoding", ["shift_jis", "koi8-r", "windows-1250", "iso-8859-1"])
@pytest.mark.parametrize(
    "meta", ['<meta charset="{}">', "<META http-equiv=Content-Type content='text/html; charset={}'>"]
)
def test_a_page_names_its_encoding(encoding, meta):
    """It is read and written in it; UTF-8 wins where it is that, for many pages name another by mistake."""
    words = {"shift_jis": "日本 a", "koi8-r": "привет", "windows-1250": "žluť", "iso-8859-1": "grün"}[encoding]
    text = meta.format(encoding) + f"<p>{words}</p>"
    for written in (encoding, "utf-8"):
        document = documents.parse(text.encode(written), "html")
        assert [span.text for span in document.spans()] == [words]
        assert documents.translate(document, shout).data == text.replace(words, words.upper()).encode(written)
    with pytest.raises(InputError, match="text in shift_jis, as the page says"):
        documents.parse(b"<meta charset=shift_jis><p>\xff\xfe</p>", "html")


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


def test_a_tag_stays_on_its_line():
    """The lines of a cue are broken between words, not inside a tag."""
    text = "1\n00:00:01,000 --> 00:00:02,000\na <font color='red'>b</font>\nc\n"
    assert "\n<font color='red'>B</font>" in done(text, "srt").replace("A\n", "\n").replace("A <", "\n<")


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
    ("strings", '"a" = "b";'.encode("utf-16-le"), "UTF-16 without a byte order mark. Save the file in UTF-8."),
    ("json", '{"a": "b"}'.encode("utf-16-be"), "UTF-16 without a byte order mark. Save the file in UTF-8."),
    ("srt", "1\n00:00:01,000 --> 00:00:02,000\nja\n".encode("utf-32"), "got text in UTF-32."),
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


ONE_LINE = [
    ('{"a": "b"}', "json"), ('{"a": {"source": "b"}}', "json"), ('["a", {"b": 1}]\n\n', "json"),
    ('{"a": "b"}\n{"a": "c"}', ""),
    ('\ufeff {"a": "' + "b" * 200_000 + '"}', "json"), ('{"source": "b"}\n', ""), ('{"deep": {"x": "b"}, "a": 1}', ""),
    ("[1, 2]", ""), ("[Musik]\n", ""), ("{}", ""), ('["Ja", sagt er.', ""), ('{"a": "b",\n "c": "d"}', "json"),
    ("[" * 100_000, ""), ('["a",\n"b"]', "json"), ('[{"a": [\n"b"]}]', "json"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "kind"), ONE_LINE, ids=[content[:20] for content, _ in ONE_LINE])
def test_json_on_one_line_is_a_document(content, kind, monkeypatch):
    """Of any name; lines of JSON whose keys are those of sentences are lines."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(content.encode()))))
    document = documents.load("-", ("source", "deep.x"))
    assert (document.kind if isinstance(document, documents.Document) else "") == kind


@pytest.mark.parametrize("name", ["a.strings", "de/a.ftl", "a.srt"])
def test_a_file_in_an_archive_is_known_by_its_own_name(tmp_path, name):
    """Not by that of the archive."""
    content = {"a.strings": '"a" = "b";\n', "de/a.ftl": "a = b\n", "a.srt": "00:00:01,000 --> 00:00:02,000\nb\n"}[name]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(name, content)
    document = documents.load(tmp_path / "x.zip")
    assert isinstance(document, documents.Document)
    assert documents.translate(document, shout).data.decode() == content.replace("b", "B")


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


def test_a_file_without_pairs_is_refused_by_its_format():
    """JSON and the like have texts for predict, and none for fit."""
    with pytest.raises(InputError, match=r"expected pairs, .*got JSON\. Its texts are for predict"):
        list(documents.pairs(documents.parse(b'{"a": "b"}', "json")))


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
