"""Gettext catalogues: what is missing in them is filled in, and nothing else changes, to the byte.

A catalogue is read into its entries with the lines that each message stands on. Writing replaces the lines of the
messages that were translated, gives their entries the fuzzy flag (a machine's work waits for a person to look at it),
and leaves every other line as it was: header, comments, references, order, obsolete entries, line ends, encoding.

A message is translated line by line, with the white space around each line kept. Format strings, markup and addresses
in it are replaced by sentinels on the way into the network and put back afterwards, see `mask`.
"""

from __future__ import annotations

import gettext
import itertools
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from gated._check import refuse, want
from gated.io.text import open_stream
from gated.tasks.translate import messages
from gated.tasks.translate.messages import Decode, Outcome

__all__ = ["Catalogue", "Entry", "Gap", "gaps", "load", "pairs", "render", "translate"]

LIMIT = 64 << 20  # bytes of one catalogue
FORMS = 100  # plural forms of one entry
WIDTH = 79  # columns of a line, as gettext writes it
STRING = r'"(?:[^"\\]|\\.)*"'
LINE = re.compile(
    rf"(?:(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d{{1,3}})\])?\s*)?((?:{STRING}\s*)*)"
)  # keyword, form, strings
ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
ESCAPED = str.maketrans(
    {"\\": "\\\\", '"': '\\"'} | {character: f"\\{letter}" for letter, character in ESCAPES.items()}
)

PLURALS = r"^Plural-Forms:\s*nplurals\s*=\s*(\d{1,3})\s*;\s*plural\s*=\s*([^;\n]{1,1000})"


@dataclass
class Entry:
    """A message: its texts, its state, and the lines (counted from 0) on which it stands."""

    start: int  # the line of its first keyword
    obsolete: bool = False
    flags: int | None = None  # the line of its flags
    fuzzy: bool = False
    texts: dict[str, str] = field(default_factory=dict)  # by keyword: msgctxt, msgid, msgid_plural
    strings: dict[int, str] = field(default_factory=dict)  # form -> translation; 0 alone where there is no plural
    spans: dict[int, range] = field(default_factory=dict)  # form -> its lines

    @property
    def source(self) -> str:
        return self.texts["msgid"]


@dataclass(frozen=True)
class Catalogue:
    """A .po file: its lines as they are, and the entries found in them."""

    where: str
    lines: list[str]
    encoding: str
    entries: list[Entry]
    forms: int | None  # nplurals of the header
    single: int  # the form that the number 1 takes

    @property
    def width(self) -> int:
        """Columns of the longest line that could have been broken, where lines are broken; else at least gettext's."""
        texts = [line.rstrip("\r\n") for line in self.lines if '"' in line and not line.startswith("#")]
        following = itertools.pairwise(texts)
        wrapped = any(not a.endswith('\\n"') and a[-3:] != ' ""' and b.startswith('"') for a, b in following)
        longest = max((_columns(text) for text in texts if re.search(r'".*\S .*"', text)), default=0)
        return max(longest, 20) if wrapped else max(longest, WIDTH)


@dataclass(frozen=True)
class Gap:
    """A text to translate: form `form` of entry number `entry`, and the line of the file where the entry starts."""

    entry: int
    form: int
    text: str
    line: int


# ---- reading


def load(path: str | os.PathLike[str]) -> Catalogue:
    """Read a catalogue, in the encoding that its header names (UTF-8 where it names none).

    Errors, with the line: no such file; a folder; empty; not in its encoding; a line that no catalogue has.
    """
    with open_stream(path) as stream:
        return parse(stream.read(LIMIT), stream.where)


def parse(data: bytes, where: str = "the catalogue") -> Catalogue:
    """The catalogue in the bytes of a .po file."""
    want(bool(data.strip()), where, "a gettext catalogue", "an empty file")
    encoding, text = _decode(data, where)
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    entries = _entries(lines, where)
    heads = (e.strings.get(0, "") for e in entries if not (e.source or e.obsolete or "msgctxt" in e.texts))
    rule = re.search(PLURALS, next(heads, ""), re.M)
    if not rule:
        return Catalogue(where, lines, encoding, entries, None, 0)
    forms = min(max(int(rule[1]), 1), FORMS)
    try:
        single = gettext.c2py(rule[2])(1)  # type: ignore[attr-defined]
    except (ValueError, RecursionError, ZeroDivisionError, OverflowError):
        single = 0
    return Catalogue(where, lines, encoding, entries, forms, single if 0 <= single < forms else 0)


def _decode(data: bytes, where: str) -> tuple[str, str]:
    named = re.search(rb'"Content-Type:[^"\n]*charset=([\w.:-]{1,40})', data[:100_000])
    name = named[1].decode("ascii", "replace") if named else "UTF-8"
    name = "UTF-8" if name == "CHARSET" else name  # a template's
    sample = b'msgid "a\\n"'
    try:
        plain = sample.decode(name) == sample.decode()
    except (LookupError, ValueError):
        plain = False
    want(plain, where, "an encoding of text that holds ASCII", name, "Save the catalogue in UTF-8.")
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        at = error.start - data.rfind(b"\n", 0, error.start)
        got = f"the byte {data[error.start]:#04x} at byte {at} of the line"
        refuse(f"{where}, line {line}", f"text in {name}, as the header says", got, "Save the catalogue in UTF-8.")
    same = text.encode(name) == data
    want(same, where, f"text that {name} can give back", "bytes that it would change", "Save the catalogue in UTF-8.")
    return name, text


def _entries(lines: list[str], where: str) -> list[Entry]:
    entries: list[Entry] = []
    entry, at, form = Entry(-1), "", 0  # the entry being read, and what a continued line belongs to

    def close() -> None:
        nonlocal entry, at
        if entry.start >= 0:
            want(bool(entry.strings), f"{where}, line {entry.start + 1}", "a msgid with its msgstr", "none")
            entries.append(entry)
        entry, at = Entry(-1), ""

    for n, raw in enumerate(lines):
        line = (raw.removeprefix("\ufeff") if n == 0 else raw).strip()
        here = f"{where}, line {n + 1}"
        obsolete = line.startswith("#~")
        if obsolete:
            line = line[2:].strip()
            line = f"#{line}" if line.startswith("|") else line
        if not line:
            continue
        if line.startswith("#"):
            if entry.strings:
                close()
            if line.startswith("#,"):
                entry.flags = n
                entry.fuzzy |= "fuzzy" in [flag.strip() for flag in line[2:].split(",")]
            continue
        match = LINE.fullmatch(line)
        if match is None or not (match[1] or at):
            refuse(here, "a line of a gettext catalogue", repr(line[:40]))
        if match[1]:
            if entry.strings and match[1] in ("msgctxt", "msgid"):
                close()
            if entry.start < 0:
                want(match[1] in ("msgctxt", "msgid"), here, "a msgid first", repr(line[:40]))
                entry.start, entry.obsolete = n, obsolete
            at, form = match[1], int(match[2] or 0)
            want(at == "msgstr" or match[2] is None, here, "an index after msgstr only", repr(line[:40]))
            want(at != "msgstr" or "msgid" in entry.texts, here, "a msgid first", repr(line[:40]))
            new = form not in entry.strings if at == "msgstr" else at not in entry.texts
            want(new, here, "every part of a message once", repr(line[:40]))
            want(form < FORMS, here, f"at most {FORMS} plural forms", form + 1)
        value = "".join(unescape(part[1:-1]) for part in re.findall(STRING, match[3]))
        if at == "msgstr":
            entry.strings[form] = entry.strings.get(form, "") + value
            entry.spans[form] = range(entry.spans[form].start if form in entry.spans else n, n + 1)
        else:
            entry.texts[at] = entry.texts.get(at, "") + value
    close()
    return entries


def unescape(text: str) -> str:
    """The text that a C string holds."""

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        return chr(int(code, 8) & 0xFF) if code[0] in "01234567" else ESCAPES.get(code, code)

    return ESCAPE.sub(one, text)


def escape(text: str) -> str:
    """The C string of a text."""
    return text.translate(ESCAPED)


# ---- what is there, and what is missing


def pairs(catalogue: Catalogue) -> list[tuple[int, str, str]]:
    """(line, text, translation) of every finished message: translated, not fuzzy, not obsolete.

    Messages whose translation has as many lines are paired line by line, the way `translate` will meet them. The forms
    of a plural are pairs of their own: msgid with the form of the number 1, msgid_plural with the others.
    """
    texts = []
    for entry in catalogue.entries:
        if entry.obsolete or entry.fuzzy or not entry.source:
            continue
        for form, text in entry.strings.items():
            source = _source(catalogue, entry, form)
            left, right = source.split("\n"), text.split("\n")
            sides = zip(left, right, strict=True) if len(left) == len(right) else [(source, text)]
            texts += [(entry.start + 1, x.strip(), y.strip()) for x, y in sides if x.strip() and text]
    return list(dict.fromkeys(texts))


def gaps(catalogue: Catalogue, fuzzy: bool = False) -> list[Gap]:
    """The texts that have no translation yet, in the order of the file; with `fuzzy`, also those marked fuzzy.

    An entry with a plural has as many forms as the header says, whatever lines it has now.
    """
    missing = []
    for k, entry in enumerate(catalogue.entries):
        if entry.obsolete or not entry.source or (entry.fuzzy and not fuzzy):
            continue
        count = max(catalogue.forms or 1, *(form + 1 for form in entry.strings)) if "msgid_plural" in entry.texts else 1
        for form in range(count):
            if entry.fuzzy or not entry.strings.get(form):
                missing.append(Gap(k, form, _source(catalogue, entry, form), entry.start + 1))
    return missing


def _source(catalogue: Catalogue, entry: Entry, form: int) -> str:
    """The singular for the form of the number 1, unless that form serves every number."""
    if "msgid_plural" not in entry.texts or (form == catalogue.single and catalogue.forms != 1):
        return entry.source
    return entry.texts["msgid_plural"]


# ---- translating


def translate(catalogue: Catalogue, decode: Decode, fuzzy: bool = False, lossy: bool = False) -> Outcome:
    """Fill the gaps with what `decode` returns; each filled entry is marked fuzzy.

    An entry whose placeholders are not preserved stays empty, and is among the `problems`. decode, lossy: as for
    `messages.translate`.
    """
    missing = gaps(catalogue, fuzzy)
    translations = messages.translate([gap.text for gap in missing], decode, lossy)
    both = list(zip(missing, translations, strict=True))
    texts = {gap: one.text for gap, one in both if one.text is not None}
    problems = [(gap.line, problem) for gap, one in both for problem in one.problems]
    empty = sorted({gap.line for gap, one in both if one.text is None})
    return Outcome(render(catalogue, texts), len(texts), problems, empty)


# ---- writing


def render(catalogue: Catalogue, texts: Mapping[Gap, str]) -> bytes:
    """The file with these translations in it, their entries marked fuzzy; every other line is as it was.

    Errors: a translation that the catalogue's encoding lacks letters for.
    """
    lines: list[list[str]] = [[line] for line in catalogue.lines]
    end = "\r\n" if catalogue.lines[0].endswith("\r\n") else "\n"
    width = catalogue.width if texts else WIDTH
    for gap in sorted(texts, key=lambda gap: (gap.entry, gap.form)):
        entry = catalogue.entries[gap.entry]
        keyword = "msgstr" if "msgid_plural" not in entry.texts else f"msgstr[{gap.form}]"
        new = [line + end for line in _wrapped(keyword, texts[gap], width)]
        if gap.form in entry.spans:
            span = entry.spans[gap.form]
            closed = lines[span[-1]][-1].endswith("\n")
            for n in span:
                lines[n] = []
            lines[span[-1]] = new if closed else [*new[:-1], new[-1].removesuffix(end)]
        else:  # a form that had no line yet
            last = max(span[-1] for span in entry.spans.values())
            if lines[last] and not lines[last][-1].endswith("\n"):
                lines[last][-1] += end
            lines[last] += new
        if not entry.fuzzy:
            at = entry.start if entry.flags is None else entry.flags
            old = catalogue.lines[at]
            flag = f"#, fuzzy{end}" if entry.flags is None else ""
            lines[at] = [flag + old] if flag else [re.sub(r"#,[ \t]*", "#, fuzzy, ", old, count=1)]
    try:
        return "".join(line for part in lines for line in part).encode(catalogue.encoding)
    except UnicodeEncodeError as error:
        got = repr(error.object[error.start])
        refuse(catalogue.where, f"text that {catalogue.encoding} can hold", got, "Save the catalogue in UTF-8.")


def _wrapped(keyword: str, text: str, width: int) -> list[str]:
    """The lines of a message: one where it fits and has no inner newline, else an empty string and one a piece."""
    whole = f'{keyword} "{escape(text)}"'
    if "\n" not in text[:-1] and _columns(whole) <= width:
        return [whole]
    lines = [f'{keyword} ""']
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        here, used = "", 2
        for word in map(escape, re.findall(r" *[^ ]+ ?| +", line)):
            if here and used + _columns(word.rstrip(" ")) > width:
                lines.append(f'"{here}"')
                here, used = "", 2
            here, used = here + word, used + _columns(word)
        lines.append(f'"{here}"')
    return lines


def _columns(text: str) -> int:
    return len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text if c > "\u0fff")
