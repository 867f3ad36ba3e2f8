"""Transcripts as files of other programs: subtitles of a sound (SRT, WebVTT), words with boxes of images (hOCR, ALTO).

What comes from a file, names and texts, is escaped. Boxes are in the pixels of the image, turned as it is displayed.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

from gated._check import want
from gated.io import images
from gated.io.images import Box
from gated.tasks.transcribe.frames import LONGEST, Frames
from gated.tasks.transcribe.manifests import Item
from gated.tasks.transcribe.search import Hypothesis, Segment
from gated.unicode import clean

Pairs = Sequence[tuple[Item, Hypothesis]]

WIDTH, LINES = 42, 2  # characters of a subtitle's line, and its lines
PAUSE, SECONDS, SHORT = 1.0, 7.0, 1.0  # silence that ends a subtitle; how long one stands at most, and at least
ENDINGS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".srt": "srt", ".vtt": "vtt", ".hocr": "hocr", ".html": "hocr",
    ".xml": "alto",
}  # fmt: skip
OTHERS = (".json", ".xlsx", ".docx", ".odt", ".pdf", ".ass", ".sbv", ".textgrid", ".eaf")  # which nothing writes


def render(form: str, pairs: Pairs, frames: Frames) -> str:
    """The file of this form: "srt", "vtt", "hocr" or "alto"."""
    kind = "sound" if form in ("srt", "vtt") else "print"
    want(frames.kind == kind, f"format {form}", f"a run that reads {kind}", f"one that reads {frames.kind}")
    paths = list(dict.fromkeys(item.path for item, _ in pairs))
    alone = form == "hocr" or len(paths) <= 1
    want(alone, f"format {form}", "one file", f"{len(paths)}", "Write a file for each.")
    return FORMS[form](pairs, frames)


# ---- subtitles


class Cue(NamedTuple):
    start: float
    end: float
    lines: list[str]


def make_cues(pairs: Pairs) -> list[Cue]:
    """The words of a recording's spans in subtitles, in the order of time."""
    units: list[tuple[float, float, str]] = []  # a text begins with the space before it, if there is one
    for item, best in pairs:
        offset = item.start or 0.0
        units += [(offset + start, offset + end, text) for start, end, text in _units(best)]
    units.sort(key=lambda unit: unit[0])
    groups: list[list[tuple[float, float, str]]] = []
    for unit in units:
        group = groups[-1] if groups else []
        length = sum(len(text) for _, _, text in group) + len(unit[2])
        near = group and unit[0] - group[-1][1] < PAUSE and unit[1] - group[0][0] <= SECONDS
        if near and length <= WIDTH * LINES - WIDTH // 4:  # words that do not fit a line leave some of it
            group.append(unit)
        else:
            groups.append([unit])
    cues = []
    for k, group in enumerate(groups):
        following = groups[k + 1][0][0] if k + 1 < len(groups) else float("inf")
        end = max(group[-1][1], min(group[0][0] + SHORT, following))
        text = clean("".join(text for _, _, text in group), every_space=True)
        cues.append(Cue(group[0][0], end, textwrap.wrap(text, WIDTH, break_on_hyphens=False)))
    return cues


def _units(best: Hypothesis) -> Iterator[tuple[float, float, str]]:
    """The words; of one longer than a line, as where there are no spaces, the symbols."""
    for word in best.words:
        if len(word.text) <= WIDTH:
            yield word.start, word.end, f" {word.text}"
        else:
            inside = [one for one in best.symbols if word.start <= one.start and one.end <= word.end]
            yield from ((one.start, one.end, one.text) for one in inside)


def _clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def _srt(pairs: Pairs, _: Frames) -> str:
    cues = [
        f"{n}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n" + "\n".join(cue.lines).replace("-->", "→") + "\n"
        for n, cue in enumerate(make_cues(pairs), 1)
    ]
    return "\n".join(cues)


def _vtt(pairs: Pairs, _: Frames) -> str:
    cues = [
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{escape(chr(10).join(cue.lines), quote=False)}\n"
        for cue in make_cues(pairs)
    ]
    return "".join(["WEBVTT\n", *cues])


# ---- boxes


def find_boxes(item: Item, words: Sequence[Segment], frames: Frames) -> tuple[tuple[int, int], list[Box]]:
    """The size of a line's image, and its words' boxes."""
    spans = [(word.start, word.end) for word in words]
    return images.boxes(item.path, spans, height=frames.rows, dewarp=frames.dewarp, longest=int(LONGEST * frames.rows))


def _unite(boxes: Sequence[Box], size: tuple[int, int]) -> Box:
    left, top, right, bottom = zip(*(boxes or [Box(0, 0, *size)]), strict=True)
    return Box(min(left), min(top), max(right), max(bottom))


def _hocr(pairs: Pairs, frames: Frames) -> str:
    pages = []
    for n, (item, best) in enumerate(pairs, 1):
        size, boxes = find_boxes(item, best.words, frames)
        name = _attribute(f'image "{item.path}"; bbox 0 0 {size[0]} {size[1]}; ppageno {n - 1}')
        words = " ".join(
            f'<span class="ocrx_word" id="word_{n}_{k}" title="bbox {_join(box)}; x_wconf {100 * word.confidence:.0f}">'
            f"{_attribute(word.text)}</span>"
            for k, (word, box) in enumerate(zip(best.words, boxes, strict=True), 1)
        )
        line = f'<span class="ocr_line" id="line_{n}" title="bbox {_join(_unite(boxes, size))}">{words}</span>'
        pages.append(f'  <div class="ocr_page" id="page_{n}" title="{name}">\n   {line}\n  </div>\n')
    head = '<meta charset="utf-8"/>\n  <meta name="ocr-system" content="gated"/>\n'
    head += '  <meta name="ocr-capabilities" content="ocr_page ocr_line ocrx_word"/>'
    body = "".join(pages)
    top = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml">\n'
    return f"{top} <head>\n  <title>hOCR</title>\n  {head}\n </head>\n <body>\n{body} </body>\n</html>\n"


def _alto(pairs: Pairs, frames: Frames) -> str:
    pages = []
    for n, (item, best) in enumerate(pairs, 1):
        size, boxes = find_boxes(item, best.words, frames)
        strings = [
            f'<String ID="word_{n}_{k}" CONTENT="{_attribute(word.text)}" {_place(box)} WC="{word.confidence:.3f}"/>'
            for k, (word, box) in enumerate(zip(best.words, boxes, strict=True), 1)
        ]
        spaces = [
            f'<SP HPOS="{a.right}" VPOS="{a.top}" WIDTH="{max(0, b.left - a.right)}"/>'
            for a, b in itertools.pairwise(boxes)
        ]
        mixed = [one for pair in itertools.zip_longest(strings, spaces) for one in pair if one]
        line = f'<TextLine ID="line_{n}" {_place(_unite(boxes, size))}>{"".join(mixed)}</TextLine>'
        whole = f'HPOS="0" VPOS="0" WIDTH="{size[0]}" HEIGHT="{size[1]}"'
        block = f'<TextBlock ID="block_{n}" {whole}>{line}</TextBlock>' if strings else ""
        page = f'<Page ID="page_{n}" PHYSICAL_IMG_NR="{n}" WIDTH="{size[0]}" HEIGHT="{size[1]}">'
        pages.append(f"  {page}<PrintSpace {whole}>{block}</PrintSpace></Page>\n")
    name = f"<fileName>{_attribute(pairs[0][0].path)}</fileName>" if pairs else ""
    unit = f"<MeasurementUnit>pixel</MeasurementUnit><sourceImageInformation>{name}</sourceImageInformation>"
    head = f" <Description>{unit}</Description>\n <Layout>\n{''.join(pages)} </Layout>\n"
    top = '<?xml version="1.0" encoding="UTF-8"?>\n<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#">\n'
    return f"{top}{head}</alto>\n"


def _attribute(text: str) -> str:
    return escape(clean(text), quote=True)


def _join(box: Box) -> str:
    return " ".join(map(str, box))


def _place(box: Box) -> str:
    return (
        f'HPOS="{box.left}" VPOS="{box.top}" WIDTH="{box.right - box.left}" HEIGHT="{box.bottom - box.top}"'
    )  # fmt: skip


FORMS: dict[str, Callable[[Pairs, Frames], str]] = {"srt": _srt, "vtt": _vtt, "hocr": _hocr, "alto": _alto}


def list_boxes(item: Item, words: Sequence[Segment], frames: Frames) -> list[Any]:
    """The boxes of an image's words; of sound an empty one for each."""
    return find_boxes(item, words, frames)[1] if frames.kind == "print" and words else [()] * len(words)


def write_row(item: Item, best: Sequence[Hypothesis], frames: Frames) -> dict[str, Any]:
    """A file's hypotheses as JSON has them; words of an image with their boxes."""

    def words(one: Hypothesis) -> list[dict[str, Any]]:
        boxes = list_boxes(item, one.words, frames)
        return [
            word._asdict() | ({"box": list(box)} if box else {}) for word, box in zip(one.words, boxes, strict=True)
        ]

    texts = [
        {
            "text": one.text, "confidence": one.confidence, "score": one.score, "log_prob": one.log_prob,
            "words": words(one),
        }
        for one in best
    ]  # fmt: skip
    more = {} if len(texts) == 1 else {"n_best": texts}
    span = {} if item.start is None and item.end is None else {"start": item.start, "end": item.end}
    return {"path": item.path, **span, **texts[0], **more}
