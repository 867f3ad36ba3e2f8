"""Tagged sentences as columns, as JSON lines, and as the spans of brat."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from gated.tasks.tag import spans
from gated.tasks.tag.data import Sentences
from gated.tasks.tag.search import Tagged
from gated.tasks.tag.series import segments

FORMATS = ("columns", "jsonl", "brat")


def columns(sentences: Sentences, tagged: Sequence[Tagged], scores: bool) -> Iterator[str]:
    """A word a line with its tag, and with `scores` its probability; a blank line behind each sentence.

    Lines of a file of columns are as they were, with the tag behind them.
    """
    ends = [[f"\t{tag}" + f"\t{p:.4f}" * scores for tag, p in zip(one.tags, one.p, strict=True)] for one in tagged]
    if sentences.rows:
        at = {
            n: end for lines, row in zip(sentences.lines, ends, strict=True) for n, end in zip(lines, row, strict=True)
        }
        yield from (f"{line}{at.get(n, '')}\n" for n, line in enumerate(sentences.rows, 1))
        return
    for words, row, one in zip(sentences.words, ends, tagged, strict=True):
        if one.label:
            yield f"# label = {_join_lines(one.label)}" + f" {one.label_p:.4f}" * scores + "\n"
        yield "".join(f"{_join_lines(word)}{end}\n" for word, end in zip(words, row, strict=True)) + "\n"


def _join_lines(text: str) -> str:
    """A word that may hold white space, such as a token of JSON, in one column."""
    return " ".join(text.split())


def entries(sentences: Sentences, tagged: Sequence[Tagged], scheme: str) -> Iterator[dict[str, Any]]:
    """Each sentence as an object: its words with tags and probabilities, its spans by characters, its label."""
    for k, (words, one) in enumerate(zip(sentences.words, tagged, strict=True)):
        text = sentences.texts[k] if sentences.texts else " ".join(words)
        out: dict[str, Any] = {"text": text, "tokens": words, "tags": one.tags, "p": one.p}
        if scheme != "plain":
            places = sentences.offsets[k] if sentences.offsets else _join(words)
            out["spans"] = [
                {"start": places[s.first][0], "end": places[s.last][1], "label": s.kind,
                 "text": text[places[s.first][0] : places[s.last][1]], "p": min(one.p[s.first : s.last + 1])}
                for s in spans.find(one.tags)
            ]  # fmt: skip
        if one.label:
            out |= {"label": one.label, "label_p": one.label_p}
        if len(one.n_best) > 1:
            out["n_best"] = [{"tags": tags, "p": p} for p, tags in one.n_best]
        yield out


def jsonl(sentences: Sentences, tagged: Sequence[Tagged], scheme: str) -> Iterator[str]:
    """`entries`, a line each."""
    return (json.dumps(one, ensure_ascii=False) + "\n" for one in entries(sentences, tagged, scheme))


def brat(
    sentences: Sentences, tagged: Sequence[Tagged], scheme: str, first: int = 1, start: int = 0
) -> tuple[str, int, int]:
    """The spans as brat's text-bound annotations, T1 and on, by characters of the lines joined by line ends.

    With the number of the next span and the place of the next line, at which further sentences go on.
    """
    out = ""
    for one in entries(sentences, tagged, scheme):
        for span in one.get("spans", ()):
            kind = "_".join(span["label"].split())
            out += f"T{first}\t{kind} {start + span['start']} {start + span['end']}\t{_join_lines(span['text'])}\n"
            first += 1
        start += len(one["text"]) + 1
    return out, first, start


def series(sentences: Sentences, tagged: Sequence[Tagged]) -> bytes:
    """The table of some series as CSV, with the columns tag and p behind its own."""
    frame = sentences.frame.copy()
    taken = set(map(str, frame.columns))
    for name, values in (("tag", [one.tags for one in tagged]), ("p", [one.p for one in tagged])):
        column: list[Any] = [None] * len(frame)
        for rows, own in zip(sentences.order, values, strict=True):
            for row, value in zip(rows.tolist(), own, strict=True):
                column[row] = value
        frame[f"predicted_{name}" if name in taken else name] = column
    return frame.to_csv(index=False, float_format="%.6g").encode()


def list_segments(sentences: Sentences, tagged: Sequence[Tagged]) -> list[dict[str, Any]]:
    """Runs of equal tags in series: the series, first and last step from 0, the tag, its mean probability."""
    return [
        {"id": name, "first": first, "last": last, "tag": tag, "p": sum(one.p[first : last + 1]) / (last + 1 - first)}
        for name, one in zip(sentences.texts, tagged, strict=True)
        for first, last, tag in segments(one.tags)
    ]


def _join(words: Sequence[str]) -> list[tuple[int, int]]:
    out, at = [], 0
    for word in words:
        out.append((at, at + len(word)))
        at += len(word) + 1
    return out
