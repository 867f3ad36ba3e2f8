"""Files whose texts stand in a structure: subtitles, messages of programs, web pages.

A format is a function that yields the spans of text in a file and how a translation is written there. Everything else
is copied: keys, times, syntax, order, line ends, encoding. `messages.translate` translates the texts.

    .srt .vtt         cues; the lines of one are one sentence, unless they begin with a dash
    .json             values, not keys
    .strings          values of Apple's Localizable.strings
    .ftl              values and attributes of Fluent's messages, and the variants of a choice; not terms
    .xml              Android's resources
    .xliff .xlf       sources without a target
    .html .htm .xhtml texts between block elements
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gated._check import refuse, want
from gated.io.text import Stream, find, name_wide, open_stream, read_windows
from gated.tasks.translate import markup, messages, po
from gated.tasks.translate.markup import Span, peel
from gated.tasks.translate.messages import Decode, Outcome

__all__ = ["FORMATS", "Document", "form", "load", "pairs", "parse", "read", "translate"]

LIMIT = 64 << 20  # bytes of one file
TIMES = re.compile(r"\s*-?\d[\d ]*:[\d :;.,]*-->.*")  # as people write them, 00:00:01:000 or cut short as well
DASH = re.compile(r"(?:\{\\[^{}\n]*\})?[ \t]*[-–—][ \t]*")  # a speaker's
LEAD = re.compile(r"(?:\{\\[^{}\n]*\}|<v[ .][^<>]*>|[♪♫]|\s)+")  # {\an8}, a voice and the like
JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"(?P<key>\s*:)?')
APPLE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[\w.$:/-]+|[=;]|\s+", re.DOTALL)
FLUENT = re.compile(
    r"(?P<comment>#.*)|(?P<term>-[A-Za-z][\w-]*\s*=.*)|(?P<key>[A-Za-z][\w-]*\s*=|\s+\.(?P<name>[A-Za-z][\w-]*)\s*=)"
    r"|(?P<variant>\s*\*?\[[^\[\]\n]+\])|(?P<more>\s+)"
)
PLACEABLE = re.compile(r"\{[^{}\"]*(?:\"(?:[^\"\\]|\\.)*\"[^{}\"]*)*\}|([{}])")  # or a brace without its other one


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text, without their ends, and where each starts."""
    for match in re.finditer(r"[^\r\n]*(?:\r\n|\n|\r|$)", text):
        if match[0]:
            yield match.start(), match[0].rstrip("\r\n")


# ---- subtitles


def subtitles(text: str, where: str, web: bool = False) -> Iterator[Span]:
    """The cues of a SubRip or, with `web`, a WebVTT file."""
    end = "\r\n" if "\r\n" in text else "\n"
    cue: list[tuple[int, str]] = []
    inside, count = False, 0
    for start, line in (*_lines(text), (len(text), "")):
        if TIMES.fullmatch(line):
            if cue and cue[-1][1].strip().isdigit():  # the number of this cue
                cue.pop()
            yield from _cue(cue, text, end)
            cue, inside, count = [], True, count + 1
        elif not line.strip() or start == len(text):
            number = not web and len(cue) == 1 and cue[0][1].strip().isdigit()
            yield from () if number else _cue(cue, text, end)
            cue, inside = [], inside and not web  # a text of SubRip may have empty lines
        elif inside:
            cue.append((start, line))
    want(count > 0, where, "subtitles, with lines such as 00:00:01,000 --> 00:00:02,000", "none")


def _cue(lines: list[tuple[int, str]], text: str, end: str) -> Iterator[Span]:
    """A span for the lines of a cue, or for each speaker's where lines begin with a dash."""
    groups: list[list[tuple[int, int]]] = []
    for start, line in lines:
        stop = start + len(line.rstrip())
        dash = DASH.match(text, start, stop)
        if dash or not groups:
            groups.append([])
        groups[-1].append((dash.end() if dash else start, stop))
    for group in groups:
        low, high = peel(text, group[0][0], group[-1][1])
        begin = LEAD.match(text, low, high)
        low, high = peel(text, begin.end(), high) if begin else (low, high)
        words = " ".join(text[low:high].split())
        if any(c.isalpha() for c in words):
            yield Span(low, high, words, partial(_wrap, len(group), end))


def _wrap(count: int, end: str, text: str) -> str:
    """A text in at most so many lines of like length."""
    if count == 1 or len(text) > 1000:
        return text
    text = re.sub(r"<[^<>]*>", lambda tag: tag[0].replace(" ", "\0"), text)  # a tag stays on its line
    for width in range(max(1, len(text) // count), len(text) + 1):
        lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        if len(lines) <= count:
            return end.join(lines).replace("\0", " ")
    return text.replace("\0", " ")


# ---- messages of programs


def json_values(text: str, where: str) -> Iterator[Span]:
    """The strings of a JSON file that are no keys."""
    try:
        content = json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        refuse(f"{where}, line {error.lineno}", "JSON", f"{error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:
        refuse(where, "JSON", str(error)[:80])
    want(isinstance(content, dict | list), where, "an object or a list of JSON", type(content).__name__)
    plain = text.isascii() and "\\u" in text  # other letters as the file writes them
    for match in JSON_STRING.finditer(text):
        value = "" if match["key"] else json.loads(match[0], strict=False)
        if any(c.isalpha() for c in value):
            yield Span(match.start(), match.end(), value, partial(_write_json, plain))


def _write_json(plain: bool, text: str) -> str:
    return json.dumps(text, ensure_ascii=plain or any("\ud800" <= c <= "\udfff" for c in text))


def apple_strings(text: str, where: str) -> Iterator[Span]:
    """The values of Apple's strings: "key" = "value";"""
    at, equals = len(text) - len(text.removeprefix("\ufeff")), False
    while at < len(text):
        match = APPLE.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            refuse(f"{where}, line {line}", '"key" = "value";', repr(text[at : at + 40]))
        if match[0] in "=;":
            equals = match[0] == "="
        elif equals and match[0][0] in "\"'":
            value = markup.unescape_codes(match[0][1:-1])
            equals = False  # a key may follow without a semicolon
            if any(c.isalpha() for c in value):
                yield Span(match.start() + 1, match.end() - 1, value, partial(_write_apple, match[0][0]))
        at = match.end()


def _write_apple(quote: str, text: str) -> str:
    return text.translate(str.maketrans({"\\": "\\\\", quote: f"\\{quote}", "\n": "\\n", "\t": "\\t", "\r": "\\r"}))


def fluent(text: str, where: str) -> Iterator[Span]:
    """The values of a Fluent file, line by line: of messages, attributes and variants, not of terms."""
    kept = term = True  # what is read is left as it is: a term with its attributes, an access key
    for start, line in _lines(text):
        match = FLUENT.match(line)
        at = match.end() if match else 0
        if match is None:
            want(not line.strip() or line.startswith("}"), f"{where}, line {text.count(chr(10), 0, start) + 1}",
                 "a message of Fluent, key = text", repr(line[:40]))  # fmt: skip
        elif match["key"]:
            term = term and bool(match["name"])
            kept = term or (match["name"] or "").lower().endswith("accesskey")
        elif match["comment"] or match["term"]:
            kept = term = term or bool(match["term"])
            continue
        for low, high in () if kept else _fluent_texts(line, at):
            yield Span(start + low, start + high, line[low:high], _write_fluent)


def _fluent_texts(line: str, start: int) -> Iterator[tuple[int, int]]:
    """Where texts stand in a line: between braces of a choice that begins or ends there, and its selector aside."""
    code = False
    for match in (*PLACEABLE.finditer(line, start), None):
        if match is None or match[1]:
            high = match.start() if match else len(line)
            words = line[start:high]
            low, high = start + len(words) - len(words.lstrip()), high - len(words) + len(words.rstrip())
            if not code and any(c.isalpha() for c in PLACEABLE.sub("", words)):
                yield low, high
            start, code = (match.end(), match[1] == "{") if match else (0, False)


def _write_fluent(text: str) -> str:
    """A text in which braces that hold nothing are literals."""
    return PLACEABLE.sub(lambda match: f'{{"{match[1]}"}}' if match[1] else match[0], text)


# ---- all of them


class Format(NamedTuple):
    name: str
    spans: Callable[[str, str], Iterator[Span]]


def _xml(text: str, where: str) -> Iterator[Span]:
    name = markup.root(text, where)
    kinds = {"xliff": markup.xliff_spans, "resources": markup.resource_spans, "html": markup.html_spans}
    todo = "Its pairs are for fit and score." if name == "tmx" else "Save its texts as a file of lines."
    want(name in kinds, where, "XML of XLIFF, of Android's resources or a web page", f"<{name}>", todo)
    return kinds[name](text, where)


FORMATS = {
    "srt": Format("SubRip subtitles", subtitles),
    "vtt": Format("WebVTT subtitles", partial(subtitles, web=True)),
    "json": Format("JSON", json_values),
    "strings": Format("Apple's strings", apple_strings),
    "ftl": Format("Fluent", fluent),
    "xml": Format("XML", _xml),
    "html": Format("a web page", markup.html_spans),
}
NAMES = {name: one.name for name, one in FORMATS.items()} | {"po": "a gettext catalogue"}
SUFFIXES = {f".{name}": name for name in FORMATS} | {
    ".po": "po", ".pot": "po", ".xliff": "xml", ".xlf": "xml", ".sdlxliff": "xml", ".tmx": "xml", ".xhtml": "xml",
    ".htm": "html",
}  # fmt: skip
FOREIGN = {  # by suffix, what is neither lines of text nor a format above
    ".ass": "Advanced SubStation subtitles", ".ssa": "SubStation subtitles", ".ttml": "TTML subtitles",
    ".dfxp": "TTML subtitles", ".sbv": "SBV subtitles", ".sub": "MicroDVD subtitles", ".lrc": "LRC lyrics",
    ".yaml": "YAML", ".yml": "YAML", ".toml": "TOML", ".ini": "an INI file", ".properties": "Java's properties",
    ".arb": "Flutter's ARB", ".xcstrings": "Apple's string catalogue", ".stringsdict": "Apple's stringsdict",
    ".plist": "a property list", ".resx": ".NET's resources", ".php": "PHP", ".js": "JavaScript", ".tex": "LaTeX",
    ".doc": "a Word document", ".docx": "a Word document", ".odt": "an OpenDocument text", ".rtf": "an RTF document",
    ".xls": "an Excel workbook", ".xlsx": "an Excel workbook", ".ods": "an OpenDocument table",
    ".ppt": "a PowerPoint presentation", ".pptx": "a PowerPoint presentation", ".pdf": "a PDF document",
    ".epub": "an e-book (EPUB)", ".mo": "a compiled catalogue (.mo)", ".parquet": "Parquet",
}  # fmt: skip
MAGIC = (
    (b"%PDF-", "a PDF document"), (b"{\\rtf", "an RTF document"), (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"bplist00", "a binary property list"), (b"SQLite format 3", "an SQLite database"), (b"PAR1", "Parquet"),
    (b"\xde\x12\x04\x95", "a compiled catalogue (.mo)"), (b"\x95\x04\x12\xde", "a compiled catalogue (.mo)"),
    (b"\x89PNG", "a picture (PNG)"), (b"GIF8", "a picture (GIF)"), (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"RIFF", "a sound or a picture (RIFF)"), (b"OggS", "a sound (Ogg)"), (b"fLaC", "a sound (FLAC)"),
    (b"ID3", "a sound (MP3)"), (b"BZh", "a file packed by bzip2"), (b"\xfd7zXZ", "a file packed by xz"),
    (b"7z\xbc\xaf", "a 7-Zip archive"), (b"(\xb5/\xfd", "a file packed by zstd"), (b"Rar!", "a RAR archive"),
    (b"[Script Info]", "SubStation subtitles"),
)  # fmt: skip
BEGINNINGS = (  # of the first line, where the name says nothing
    (re.compile(r"WEBVTT(?:[ \t]|$)"), "vtt"), (re.compile(r"<!doctype html|<html", re.I), "html"),
    (re.compile(r"<\?xml\s|<xliff|<resources>|<tmx"), "xml"),
    (re.compile(r"[\[{]\s*$|\[\s*\"(?:[^\"\\]|\\.)*\",\s*$"), "json"),
    (re.compile(r"(?:\[\s*)?\{\s*\"(?:[^\"\\]|\\.)*\"\s*:.*[,\[{]\s*$"), "json"),
)  # fmt: skip
META = re.compile(rb"<meta\s[^<>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
WEB_LATIN = (
    b"utf-8",
    b"utf8",
    b"iso-8859-1",
    b"latin1",
    b"us-ascii",
    b"windows-1252",
)  # cp1252 in browsers, if not UTF-8
CATALOGUE = re.compile(r"(?:#.*\n|\s*\n)*msg(?:id|ctxt) \"")
LINES = (".tsv", ".tab", ".csv", ".jsonl", ".ndjson")  # tables of sentences, as data.py reads them
ADVICE = "Save its text as a file of lines, UTF-8."


def form(name: str | os.PathLike[str], head: bytes) -> str:
    """The format of a file by its name and its first bytes: one of `FORMATS`, "po", or "" for lines of text.

    Errors: a file of another kind, named for what it is.
    """
    where, suffix = str(name), Path(str(name).lower().removesuffix(".gz")).suffix
    expected = f"lines of text, or one of {', '.join(SUFFIXES)}"
    for magic, kind in MAGIC:
        if head.startswith(magic):
            refuse(where, expected, kind, ADVICE)
    if suffix in FOREIGN:
        refuse(where, expected, FOREIGN[suffix], ADVICE)
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    first = _decode(head)[0].lstrip("\ufeff \t\r\n").split("\n")
    for pattern, kind in BEGINNINGS if suffix not in LINES else ():
        if pattern.match(first[0]):
            return kind
    if CATALOGUE.match("\n".join(first)):
        return "po"
    return "srt" if len(first) > 1 and first[0].strip().isdigit() and TIMES.fullmatch(first[1].rstrip("\r")) else ""


def read(stream: Stream, keys: Sequence[str] = ()) -> Document | po.Catalogue | None:
    """What a stream holds; None where that is lines of text, and only then it stays open.

    keys: those of sentences in JSON lines. A single line of JSON without them is a document.
    """
    with contextlib.ExitStack() as stack:
        stack.push(stream)
        kind = form(stream.name, stream.head)
        if not kind and keys and Path(stream.name.lower().removesuffix(".gz")).suffix not in LINES:
            kind = "json" if _is_json(stream, keys) else ""
        if not kind:
            stack.pop_all()
            return None
        data = stream.read(LIMIT)
    return po.parse(data, stream.where) if kind == "po" else parse(data, kind, stream.where)


def _is_json(stream: Stream, keys: Sequence[str]) -> bool:
    """Whether the only line is JSON with texts in it, and no sentence of JSON lines."""
    if not re.match(r"\s*[\[{]", _decode(stream.head[:100])[0].lstrip("\ufeff")):
        return False
    stream.read_line(LIMIT)
    try:
        content = json.loads(_decode(stream.head)[0].lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    if isinstance(content, list):
        return any(isinstance(one, str | dict | list) for one in content)
    return bool(content) and all(find(content, key) is None for key in keys)


def load(source: str | os.PathLike[str], keys: Sequence[str] = ()) -> Document | po.Catalogue | None:
    """What a file, or standard input for "-", holds; None where that is lines of text. keys: as for `read`."""
    with open_stream(source) as stream:
        return read(stream, keys)


def pairs(document: Document, languages: Sequence[str] = ()) -> Iterator[tuple[int, str, str]]:
    """(line, text, translation) of each finished unit of XLIFF or TMX; of TMX in these languages."""
    expected = "pairs, as XLIFF and TMX have them"
    want(document.kind == "xml", document.where, expected, FORMATS[document.kind].name, "Its texts are for predict.")
    name, text = markup.root(document.text, document.where), document.text
    want(name in ("xliff", "tmx"), document.where, expected, f"<{name}>")
    both = markup.xliff_pairs(text) if name == "xliff" else markup.tmx_pairs(text, document.where, languages)
    line, counted = 1, 0
    for at, source, target in both:
        line, counted = line + text.count("\n", counted, at), at
        yield line, source, target


@dataclass(frozen=True)
class Document:
    """A file as text."""

    where: str
    text: str
    encoding: str
    mark: bytes  # the byte order mark, which the text does not have
    kind: str
    notes: tuple[str, ...]  # on how it was read

    def spans(self) -> list[Span]:
        """Its texts, in order."""
        return list(FORMATS[self.kind].spans(self.text, self.where))


def parse(data: bytes, kind: str, where: str = "the document") -> Document:
    """The document in the bytes of a file.

    Errors: too large; neither UTF-8 nor UTF-16 with a byte order mark, nor in the encoding that its XML names.
    """
    want(len(data) <= LIMIT, where, f"at most {LIMIT} bytes", "more")
    want(bool(data.strip()), where, "a file of texts", "an empty file")
    wide = name_wide(data)
    want(not wide, where, "text in UTF-8, or in UTF-16 with a byte order mark", wide, "Save the file in UTF-8.")
    text, encoding, mark = _decode(data, where)
    want("\0" not in text, where, "text", "binary data")
    notes = (f"{where} is not in UTF-8, and was read as Windows-1252.",) if encoding == "cp1252" else ()
    return Document(where, text, encoding, mark, kind, notes)


def _decode(data: bytes, where: str = "") -> tuple[str, str, bytes]:
    """Text, its encoding, and its byte order mark; without `where` any bytes are taken."""
    marks = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
    mark, encoding = next(((mark, name) for mark, name in marks if data.startswith(mark)), (b"", ""))
    if not encoding:
        named = re.match(rb"\s*<\?xml[^>]{1,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"']", data)
        encoding = named[1].decode() if named else "utf-8"
    page = META.search(data[:4096])
    todo = "Save the file in UTF-8."
    try:
        plain = not where or bool(mark) or "<a>".encode(encoding) == b"<a>"
        want(plain, where, "an encoding that holds ASCII", encoding)
        return data[len(mark) :].decode(encoding, "strict" if where else "replace"), encoding, mark
    except UnicodeDecodeError as error:
        if encoding == "utf-8" and not mark and page and page[1].lower() not in WEB_LATIN:
            return _decode_page(data, page[1].decode(), where), page[1].decode(), mark
        text, surplus = read_windows(data)
        if encoding == "utf-8" and not mark and surplus <= 0:
            return text, "cp1252", mark
        line = data.count(b"\n", 0, error.start) + 1
        refuse(
            f"{where}, line {line}",
            f"text in {encoding.upper()}",
            f"the byte {data[len(mark) + error.start]:#04x}",
            todo,
        )
    except LookupError:
        refuse(where, "an encoding that Python knows", repr(encoding), todo)


def _decode_page(data: bytes, encoding: str, where: str) -> str:
    """The text of a web page in the encoding that it names, which gives the same bytes back."""
    try:
        text = data.decode(encoding)
        same = text.encode(encoding) == data
    except (LookupError, ValueError):
        same, text = False, ""
    want(same, where, f"text in {encoding}, as the page says", "other bytes", "Save the file in UTF-8.")
    return text


def translate(document: Document, decode: Decode, lossy: bool = False) -> Outcome:
    """The document with its texts translated; one whose placeholders are not preserved stays as it was.

    decode, lossy: as for `messages.translate`.

    Errors: what its format does not allow, with the line; a translation that the file's encoding lacks letters for.
    """
    spans, text = document.spans(), document.text
    answers = messages.translate([span.text for span in spans], decode, lossy)
    parts, problems, empty, at, filled, line, counted = [], [], [], 0, 0, 1, 0
    for span, answer in zip(spans, answers, strict=True):
        line, counted = line + text.count("\n", counted, span.start), span.start
        problems += [(line, problem) for problem in answer.problems]
        if answer.text is None:
            empty.append(line)
            continue
        if answer.text == span.text and not span.inserted:
            continue  # not written in another way
        parts += [text[at : span.start], span.write(answer.text)]
        at, filled = span.end, filled + 1
    new = "".join([*parts, text[at:]])
    try:
        data = document.mark + new.encode(document.encoding)
    except UnicodeEncodeError as error:
        got = repr(error.object[error.start])
        refuse(document.where, f"text that {document.encoding} can hold", got, "Save the file in UTF-8.")
    return Outcome(data, filled, problems, sorted(set(empty)), document.notes)
