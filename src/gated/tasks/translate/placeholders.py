"""Placeholders, which a translation must preserve: format strings, markup, addresses.

Before the network each becomes a sentinel, a character that is one token (`tokens.fit(sentinels=SENTINELS)`) and that
the network learns to copy; afterwards it is put back. Sentinels are sixteen of the characters that Unicode
keeps free for use inside programs (U+FDD0 to U+FDDF, "noncharacters"), so no text has them.

    printf       %s  %-5d  %(name)s  %1$s  %.2f  %<PRIu64>  %%  %Y
    braces       {}  {0}  {name!r:>8}  %{name}  ${name}  $NAME  {{ name }}  {% tag %}
    reST         :ref:`text <target>`  ``code``  `text`_  |name|  [1]_
    markup       <a href="…">  </a>  <br/>  <!-- … -->  &amp;  &#38;
    addresses    https://…  www.…  name@host.org

Bold and emphasis, and the marks of accelerator keys (_File, &File), stay text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["SENTINELS", "check", "find", "mask", "mask_pair", "nested", "repair", "settle", "unmask"]

SENTINELS = tuple(map(chr, range(0xFDD0, 0xFDE0)))
ANY = re.compile(f"[{SENTINELS[0]}-{SENTINELS[-1]}]")
PLACEHOLDER = re.compile(
    r"""
      ``[^`\n]+``                                             # code
    | :[A-Za-z][\w:.+-]{0,60}:`[^`\n]+`                       # a role
    | `[^`\n]+`__? | `[^`'\n]+`                               # a link; code in Markdown, but not `quotes'
    | (?<![\w|])\|[^\s|](?:[^|\n]{0,80}[^\s|])?\|(?![\w|])_?  # a substitution
    | \[[^\]\s]{1,40}\]_                                      # a footnote
    | <!--[^<>]*-->
    | <(code|kbd|samp|var|ph|bpt|ept|it)(?:\s[^<>]*)?(?<!/)>[^<>]*</\1>  # a tag with its content, which is no text
    | <\d[\d:.]*>                                             # a time in WebVTT
    | </?[A-Za-z][\w:.-]*(?:\s[^<>]*)?/?>                     # a tag
    | &(?:[A-Za-z][A-Za-z0-9]*|\#[0-9]+|\#[xX][0-9A-Fa-f]+);
    | (?:(?:https?|ftp)://|www\.|mailto:)[^\s<>"'`{}|\\^]*[\w/#=&-]
    | [\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,8}
    | \{\{[^{}\n]*\}\} | \{%[^{}\n]*%\}
    | \{/[A-Za-z]\} | \{\\[^{}\n]*\}                                          # a position or a style in subtitles
    | \{\ ?(?:[$-][A-Za-z][\w.-]*|[A-Za-z][\w.-]*|[A-Z]+\([^(){}\n]*\)|"(?:[^"\\\n]|\\.)*")\ ?\}  # Fluent
    | \{\ ?\w+\ ?,\ ?(?:number|date|time|spellout|ordinal|duration)(?:\ ?,[^{}\n]*)?\}  # ICU
    | [%$]?\{[\w.\[\]!:<>=^+,%$\#*-]*\}
    | %%                                                      # below: no sign of percent after a number
    | (?<!\d)%(?:\([\w.]+\))?(?:\d{1,3}\$)?[-+\#0']{0,5}(?:\d{1,9}|\*)?(?:\.(?:\d{1,9}|\*)?)?
      (?:hh|ll|[hlLqjzt])?(?:<\w+>|[A-Za-z@])
    | \$[A-Za-z_]\w*
    """,
    re.VERBOSE,
)
POSITIONAL = re.compile(r"%(?![%({]|\d+\$)")  # printf conversions whose order is the order of the arguments
TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]*+)[^<>]*?(/?)>")


def find(text: str) -> list[str]:
    """The placeholders of a text, in order."""
    return [match[0] for match in PLACEHOLDER.finditer(text)]


def mask(text: str) -> tuple[str, list[str]]:
    """The text with sentinels in place of its placeholders, and the placeholders.

    Sentinel k stands for placeholder k; those after the sixteenth stay text. A sentinel in the text becomes a space.

    unmask(*mask(x)) == x.
    """
    masked, _, originals = mask_pair(text, text)
    return masked, originals


def mask_pair(source: str, target: str) -> tuple[str, str, list[str]]:
    """Both sides of a training pair, and the placeholders that both have, with one sentinel for each on both sides.

    The n-th of equal placeholders on one side is the n-th on the other. A placeholder of one side alone stays text, so
    that no training pair loses or invents a sentinel.
    """
    source, target = ANY.sub(" ", source), ANY.sub(" ", target)
    both = Counter(find(source)) & Counter(find(target))
    sentinels: dict[tuple[str, int], str] = {}  # of each placeholder and its occurrence

    def replace(text: str) -> str:
        counts: Counter[str] = Counter()

        def one(match: re.Match[str]) -> str:
            counts[match[0]] += 1
            key = (match[0], counts[match[0]])
            if counts[match[0]] <= both[match[0]] and len(sentinels) < len(SENTINELS):
                sentinels.setdefault(key, SENTINELS[len(sentinels)])
            return sentinels.get(key, match[0])

        return PLACEHOLDER.sub(one, text)

    return replace(source), replace(target), [text for text, _ in sentinels]


def unmask(text: str, originals: Sequence[str]) -> str | None:
    """The text with its placeholders; None if a sentinel is lost, doubled or invented."""
    if sorted(ANY.findall(text)) != list(SENTINELS[: len(originals)]):
        return None
    return ANY.sub(lambda match: originals[SENTINELS.index(match[0])], text)


def repair(text: str, originals: Sequence[str]) -> str:
    """The text with its placeholders: as `unmask` gives it, or else without doubled and invented sentinels.

    A lost placeholder stays lost, for its place is unknown: `check` names it.
    """
    whole = unmask(text, originals)
    if whole is not None:
        return whole
    left = set(SENTINELS[: len(originals)])

    def one(match: re.Match[str]) -> str:
        first = match[0] in left
        left.discard(match[0])
        return match[0] if first else ""

    text = re.sub(" {2,}", " ", ANY.sub(one, text)).strip(" ")
    return ANY.sub(lambda match: originals[SENTINELS.index(match[0])], text)


def settle(source: str, hypotheses: Sequence[str], originals: Sequence[str]) -> str:
    """The best translation of a masked sentence that keeps its placeholders; the empty text where there is none at all.

    source: the sentence before masking; hypotheses: its translations, still masked, best first. The first that passes
    `check` is taken, else the first in which each sentinel stands once, else the best one, repaired.
    """
    hypotheses = [text for text in hypotheses if text.strip()]
    whole = [text for text in (unmask(hypothesis, originals) for hypothesis in hypotheses) if text is not None]
    right = [text for text in whole if not check(source, text)]
    return next(iter([*right, *whole, *(repair(text, originals) for text in hypotheses), ""]))


def check(source: str, target: str) -> list[str]:
    """The problems of a translation's placeholders, a phrase each; none if all are preserved.

    Lost, doubled or invented placeholders; printf conversions without numbers in another order; tags that do not close
    as those of the source do; a newline at an end on one side only; no translation at all.
    """
    if source.strip() and not target.strip():
        return ["no translation"]
    before, after = Counter(find(source)), Counter(find(target))
    problems = [f"{text} is lost" for text in before - after]
    for text in after - before:
        problems.append(f"{text} comes {after[text]} times, not {before[text]}" if before[text] else f"{text} is new")
    if before == after:
        left, right = ([t for t in find(text) if POSITIONAL.match(t)] for text in (source, target))
        problems += [f"{' '.join(right)} in another order than {' '.join(left)}"] if left != right else []
        problems += ["tags that do not close"] if nested(source) and not nested(target) else []
    for name, at in (("first", str.startswith), ("last", str.endswith)):
        problems += [f"a newline comes {name} on one side only"] if at(source, "\n") != at(target, "\n") else []
    return problems


def nested(text: str) -> bool:
    """Whether every closing tag closes the one that was opened last."""
    opened: list[str] = []
    for close, name, alone in TAG.findall(text):
        if close:
            if not opened or opened.pop() != name:
                return False
        elif not alone and name.lower() not in ("br", "hr", "img", "input"):
            opened.append(name)
    return not opened
