"""Texts in XML and HTML, by their positions in the file: XLIFF, TMX, Android's resources, web pages.

XML is checked by expat first: well-formed, no entities of its own, bounded depth. Inline tags stay in a text, where the
placeholders' mask preserves them; references to ordinary characters are those characters, others stay.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple
from xml.parsers import expat

from gated._check import refuse, want
from gated.tasks.translate.placeholders import nested

__all__ = ["Span", "html_spans", "peel", "resource_spans", "root", "tmx_pairs", "xliff_pairs", "xliff_spans"]

DEPTH = 100  # of nested elements
INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "img", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time",
    "tt", "u", "var", "wbr",
})  # fmt: skip
VERBATIM = frozenset({"canvas", "math", "noscript", "pre", "script", "style", "svg", "template", "textarea"})
VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
})  # fmt: skip
SCRIPT = re.compile(  # or a comment; in neither are tags, but for its end
    r"<!--(?:.*?-->|.*)|<(script|style)\b[^<>]*>(?:.*?</\1\s*>|.*)", re.DOTALL | re.IGNORECASE
)
CODE = frozenset({"code", "kbd", "samp", "var"})
TAG = re.compile(  # a value has no "<", as in XML, so that each "<" is read on from once; an open comment has no end
    r"<!--(?:.*?-->|.*)|<!\[CDATA\[(?:.*?\]\]>|.*)|<[!?][^<>]*>"
    r"|<(?P<close>/?)(?P<name>[A-Za-z_][\w:.-]*)(?P<rest>(?:[^<>\"']++|\"[^\"<]*\"|'[^'<]*')*+)>",
    re.DOTALL,
)
ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>=`]+))")
REFERENCE = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]*|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")
INSIDE = re.compile(rf"<!--[^<>]*-->|</?[A-Za-z][\w:.-]*(?:\s[^<>]*)?/?>|{REFERENCE.pattern}")  # a text's placeholders
PAIR = re.compile(r"\s*<([A-Za-z][\w:.-]*)(?:\s[^<>]*)?(?<!/)>(.*)</\1>\s*", re.DOTALL)
SPACE = re.compile(r"[ \t\r\n\f]+")
OPEN_STATES = ("new", "needs-translation")  # of an XLIFF target that waits for its translation
REVIEW = 'state="needs-review-translation"'


class Span(NamedTuple):
    """A text of a file, and the characters of the file that its translation replaces."""

    start: int
    end: int
    text: str
    write: Callable[[str], str]  # what a translation looks like in the file
    inserted: bool = False  # the translation stands beside its source, not in its place


class Tag(NamedTuple):
    kind: str  # "open", "close", "empty" (an element without content) or "other"
    name: str  # in lower case, without its namespace
    start: int
    end: int
    source: str

    def attribute(self, name: str) -> str:
        pairs = {key.lower(): "".join(values) for key, *values in ATTRIBUTE.findall(self.source)}
        return html.unescape(pairs.get(name, ""))


def tags(text: str) -> Iterator[Tag]:
    """The tags of a document, with comments and the like as "other"."""
    for match in TAG.finditer(text):
        kind = "other"
        if match["name"]:
            kind = "close" if match["close"] else "empty" if match["rest"].endswith("/") else "open"
        name = (match["name"] or "").rpartition(":")[2].lower()
        yield Tag(kind, name, match.start(), match.end(), match[0])


def root(text: str, where: str) -> str:
    """The name of a document's root element, in lower case; refused unless it is well-formed XML and harmless."""
    names: list[str] = []
    depth = 0
    todo = "Save it without a document type."

    def begin(name: str, _: object) -> None:
        nonlocal depth
        names.extend([] if names else [name.rpartition(":")[2].lower()])
        depth += 1
        here = f"{where}, line {parser.CurrentLineNumber}"
        want(depth <= DEPTH, here, f"elements at most {DEPTH} deep", "deeper ones")

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(name: str, system: object, public: object, internal: int) -> None:
        want(not internal, where, "XML without declarations of its own", "a DTD inside the file", todo)

    def entity(*_: object) -> None:
        refuse(where, "XML without entities of its own", "a declared entity", todo)

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = doctype, entity
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        refuse(f"{where}, line {error.lineno}", "XML", expat.errors.messages.get(error.code, str(error)))
    return names[0]


# ---- characters


def unescape(text: str) -> str:
    """A text without references to ordinary characters; those that are markup or space of a kind stay."""

    def one(match: re.Match[str]) -> str:
        character = html.unescape(match[0])
        plain = character != match[0] and character.isprintable() and not set(character) & set("<>&")
        return character if plain else match[0]

    return REFERENCE.sub(one, text)


def unescape_codes(text: str) -> str:
    """A text without the escapes of Android's and Apple's strings: \\n, \\u00e4, two of these for one character."""

    def one(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)

    text = re.sub(r"\\([uU][0-9A-Fa-f]{4}|.)", one, text, flags=re.DOTALL)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def escape(text: str) -> str:
    """A text as markup, in which references stay, and tags where each closes the one that was opened last."""
    parts, at, keep = [], 0, nested(text)
    for match in INSIDE.finditer(text):
        if "\ufffd" in html.unescape(match[0]) or (match[0][0] == "<" and not keep):
            continue
        parts += [html.escape(text[at : match.start()], quote=False), match[0]]
        at = match.end()
    return "".join([*parts, html.escape(text[at:], quote=False)])


def peel(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space, and without tags that enclose all of it."""
    while True:
        inner = text[start:end]
        start, end = start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
        pair = PAIR.fullmatch(text, start, end)
        if not pair or pair[1].lower() in CODE or re.search(rf"</?{re.escape(pair[1])}\b", pair[2]):
            return start, max(start, end)
        start, end = pair.span(2)


def _flow(text: str) -> str:
    return SPACE.sub(" ", unescape(text)).strip()


def _is_text(raw: str) -> bool:
    """Whether there is a word in it, and no tag that the placeholders' mask would not recognise."""
    bare = INSIDE.sub("", raw)
    return any(c.isalpha() for c in unescape(bare)) and not re.search(r"<[A-Za-z/!?]", bare)


# ---- web pages


def html_spans(text: str, where: str) -> Iterator[Span]:
    """The texts between a page's block elements; scripts, styles, code and what says translate="no" are left out."""
    start, skip, depth = 0, "", 0
    bare = SCRIPT.sub(lambda match: f"<!{' ' * (len(match[0]) - 3)}>", text)
    for tag in (*tags(bare), Tag("other", "", len(text), len(text), "")):
        if skip:
            if tag.name == skip and tag.kind != "empty":
                depth += 1 if tag.kind == "open" else -1
                skip, start = (skip, start) if depth else ("", tag.end)
            continue
        opens = tag.kind == "open" and tag.name not in VOID
        apart = opens and (tag.attribute("translate") == "no" or "notranslate" in tag.attribute("class").split())
        verbatim = opens and tag.name in VERBATIM
        if tag.name in INLINE and not apart:
            continue
        low, high = peel(text, start, tag.start)
        if _is_text(text[low:high]):
            yield Span(low, high, _flow(text[low:high]), escape)
        start = tag.end
        if apart or verbatim:
            skip, depth = tag.name, 1


# ---- XLIFF


class Unit(NamedTuple):
    """A source of an XLIFF file with its target: the tags around each, where there are any."""

    source: tuple[int, int]  # where its text is
    after: int  # where a target may stand
    target: tuple[Tag, Tag] | None
    translate: bool
    name: str  # of the target's element, with its prefix
    copied: bool  # whether its target only repeats its source, in a state that says so


AROUND = ("file", "group", "unit", "trans-unit")  # elements that may say translate="no" for what is in them


def _units(text: str) -> Iterator[Unit]:
    opened: Tag | None = None  # the source or target that is being read
    source: tuple[int, int] | None = None
    target: tuple[Tag, Tag] | None = None
    after, alternative, initial = 0, False, False
    marked: dict[str, tuple[int, int]] = {}  # sentences of a source that is cut into them, by their marks
    parts: list[tuple[str, tuple[Tag, Tag]]] = []  # of the target
    mark: Tag | None = None
    wanted = [True]  # of each element around that may say translate="no"
    for tag in tags(text):
        if tag.name == "alt-trans":
            alternative = tag.kind == "open"
        if alternative:
            continue
        if tag.name in AROUND and tag.kind == "open":
            says = tag.attribute("translate")
            wanted.append(says == "yes" or (wanted[-1] and says != "no"))
        if tag.name in ("trans-unit", "segment") and tag.kind == "open":
            source, target, initial = None, None, tag.attribute("state") == "initial"
            marked, parts = {}, []
        elif tag.name in ("trans-unit", "segment") and tag.kind == "close" and source is not None:
            same = target is not None and text[target[0].end : target[1].start] == text[slice(*source)]
            name = tag.source[2:-1].strip()[: -len(tag.name)] + "target"
            if parts and all(mid in marked for mid, _ in parts):
                for mid, part in parts:
                    yield Unit(marked[mid], after, part, wanted[-1], part[0].source[1:-1].split()[0], False)
            else:
                yield Unit(source, after, target, wanted[-1], name, initial and same)
        elif tag.name == "target" and tag.kind == "empty":
            target = tag, tag
        elif tag.name in ("source", "target", "seg-source"):
            if tag.kind == "open":
                opened = tag
            elif opened is not None and tag.kind == "close":
                if tag.name == "target":
                    target = opened, tag
                else:
                    source = (opened.end, tag.start) if tag.name == "source" else source
                    after = tag.end
                opened = None
        elif opened is not None and tag.name == "mrk" and opened.name != "source":
            if tag.kind != "close":
                mark = tag if tag.attribute("mtype") == "seg" else None
            if mark is not None and tag.kind != "open":  # an empty one is both of its tags
                mid = mark.attribute("mid")
                marked.update({mid: (mark.end, tag.start)} if opened.name == "seg-source" else {})
                parts.extend([(mid, (mark, tag))] if opened.name == "target" else [])
                mark = None
        if tag.name in AROUND and tag.kind == "close":
            wanted.pop()


def _is_open(text: str, unit: Unit) -> bool:
    """Whether a target waits for its translation."""
    target = unit.target
    return (
        target is None
        or unit.copied
        or target[0].attribute("state") in OPEN_STATES
        or not text[target[0].end : target[1].start].strip()
    )


def xliff_spans(text: str, where: str) -> Iterator[Span]:
    """The sources without a target, which their translation becomes, in XLIFF 1 marked for review."""
    first = next((tag for tag in tags(text) if tag.name == "xliff"), None)
    state = f" {REVIEW}" if first is not None and first.attribute("version").startswith("1") else ""
    for unit in _units(text):
        raw = text[slice(*unit.source)]
        if not unit.translate or not _is_text(raw) or not _is_open(text, unit):
            continue
        if unit.target is None:
            line = text.rfind("\n", 0, unit.source[0]) + 1
            indent = re.match(r"[ \t]*", text[line:])
            space = ("\r\n" if text[:line].endswith("\r\n") else "\n") + indent[0] if line and indent else ""
            begin = f"{space}<{unit.name}{state}>"
            start = end = unit.after
        else:
            opened = unit.target[0].source.removesuffix(">").removesuffix("/").rstrip()
            begin = re.sub(r"state\s*=\s*[\"'][\w-]*[\"']", REVIEW, opened) + ">"
            start, end = unit.target[0].start, unit.target[1].end
        yield Span(start, end, _flow(raw), partial(_target, begin, f"</{unit.name}>"), True)


def _target(begin: str, end: str, text: str) -> str:
    return f"{begin}{escape(text)}{end}"


def xliff_pairs(text: str) -> Iterator[tuple[int, str, str]]:
    """(position, source, target) of every finished unit."""
    for unit in _units(text):
        if unit.target is not None and not _is_open(text, unit):
            target = text[unit.target[0].end : unit.target[1].start]
            yield unit.source[0], _flow(text[slice(*unit.source)]), _flow(target)


# ---- TMX


def tmx_pairs(text: str, where: str, languages: Sequence[str] = ()) -> Iterator[tuple[int, str, str]]:
    """(position, source, target) of every unit that has both languages: by default the two that the file has.

    languages: their codes; "de" means "de-AT" as well.
    """
    units: list[tuple[int, dict[str, str]]] = []
    language, opened, header = "", 0, ""
    for tag in tags(text):
        if tag.name == "header":
            header = tag.attribute("srclang").lower()
        elif tag.name == "tu" and tag.kind == "open":
            units.append((tag.start, {}))
        elif tag.name == "tuv" and tag.kind == "open":
            language = (tag.attribute("xml:lang") or tag.attribute("lang")).lower()
        elif tag.name == "seg" and tag.kind == "open":
            opened = tag.end
        elif tag.name == "seg" and tag.kind == "close" and units:
            units[-1][1].setdefault(language, _flow(text[opened : tag.start]))
    present = list(dict.fromkeys(code for _, unit in units for code in unit))
    todo = "Name two of them with columns."
    if not languages:
        want(len(present) == 2, where, "two languages", ", ".join(present) or "none", todo if present else "")
        languages = sorted(present, key=lambda code: code != header and not code.startswith(f"{header}-"))
    sides = [
        [code for code in present if code == name.lower() or code.startswith(f"{name.lower()}-")] for name in languages
    ]
    for name, codes in zip(languages, sides, strict=True):
        want(bool(codes), where, f"the language {name!r}", ", ".join(present) or "none", todo)
    for start, unit in units:
        texts = [next((unit[code] for code in codes if code in unit), "") for codes in sides]
        if all(texts):
            yield start, texts[0], texts[1]


# ---- Android


def resource_spans(text: str, where: str) -> Iterator[Span]:
    """The strings, arrays and plurals of Android's resources, but for those that say translatable="false"."""
    opened: Tag | None = None
    inside = fixed = False  # an array or a plural, one that is not translated; items of styles are no texts
    for tag in tags(text):
        if tag.name in ("string-array", "plurals"):
            inside = tag.kind == "open"
            fixed = inside and tag.attribute("translatable") == "false"
        elif tag.name in ("string", "item") and tag.kind == "open":
            opened = tag if inside or tag.name == "string" or tag.attribute("type") == "string" else None
        elif tag.name in ("string", "item") and tag.kind == "close" and opened is not None:
            start, end = opened.end, tag.start
            cdata = re.fullmatch(r"\s*<!\[CDATA\[(.*)\]\]>\s*", text[start:end], re.DOTALL)
            start, end = (start + cdata.start(1), start + cdata.end(1)) if cdata else peel(text, start, end)
            raw, quoted = text[start:end], text[start : start + 1] == text[end - 1 : end] == '"' and end - start > 1
            start, end, raw = (start + 1, end - 1, raw[1:-1]) if quoted else (start, end, raw)
            free = not fixed and opened.attribute("translatable") != "false" and not raw.startswith(("@", "?"))
            if free and _is_text(raw):
                yield Span(start, end, _read_resource(raw), partial(_write_resource, quoted, cdata is not None))
            opened = None


def _read_resource(raw: str) -> str:
    return unescape_codes(_flow(raw))


def _write_resource(quoted: bool, verbatim: bool, text: str) -> str:
    parts, at = [], 0
    for match in INSIDE.finditer(text):  # quotes in a tag are its own
        parts += [text[at : match.start()], match[0]]
        at = match.end()
    parts.append(text[at:])
    marks = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"} | ({} if quoted else {"'": "\\'"})
    parts[::2] = [part.translate(str.maketrans(marks)) for part in parts[::2]]
    text = "".join(parts)
    if not quoted:  # outer space, which only its code keeps
        text = re.sub(r"^ | $", r"\\u0020", text)
    text = f"\\{text}" if text.startswith(("@", "?")) else text  # no reference
    return text if verbatim else escape(text)
