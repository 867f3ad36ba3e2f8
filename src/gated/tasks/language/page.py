"""What is surprising in a text: −log p of each token, as CSV and as one self-contained page of coloured text.

Nothing of a text becomes markup: it is escaped, and the page runs no script and loads nothing.
"""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from gated.tasks.language import data, scoring
from gated.tasks.language.vocabulary import Vocabulary, split_chunks

SHOWN = 10  # tokens that a summary names
SHADES = 12  # of the colour, one a nat
STYLE = """body{font:16px/1.7 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
body{color:#1d2733;background:#fff}
h1{font-size:1.3rem}pre{white-space:pre-wrap;overflow-wrap:anywhere;font:15px/1.9 ui-monospace,monospace}
pre span{border-radius:2px}p{color:#5f6b7a}"""


@dataclass
class Marked:
    """A text's tokens with −log p of each."""

    where: str
    pieces: list[str]
    nats: Float[np.ndarray, " N"]
    figures: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def highest(self) -> list[dict[str, Any]]:
        """The most surprising tokens, with where they stand."""
        order = np.argsort(-self.nats, kind="stable")[:SHOWN].tolist()
        lines = np.cumsum([0, *(piece.count("\n") for piece in self.pieces)])
        return [
            {"token": self.pieces[k], "number": k + 1, "line": int(lines[k]) + 1, "nats": float(self.nats[k])}
            for k in order
        ]

    def summary(self) -> dict[str, Any]:
        return {**self.figures, "tokens": len(self.pieces), "highest": self.highest(), "notes": self.notes}

    def describe(self) -> str:
        """The figures and the most surprising tokens for people."""
        text = [f"{len(self.pieces):,} tokens, {self.figures['nats']:.3f} nats a character in the mean."]
        text += [f"{one['nats']:6.2f} nats  line {one['line']}: {one['token']!r}" for one in self.highest()]
        return "\n".join([*text, *self.notes])


def mark(run: Any, source: Any, *, beside: Sequence[Any] = ()) -> Marked:
    """Each token of a text, with −log p by the run, and by others beside it."""
    with data.read(source, run.config.key) as corpus:
        tokens = data.encode(corpus, run.vocabulary)
        nats, _ = run.measure(tokens, beside=beside)
        chunks = split_chunks(corpus.chunks(run.vocabulary.level), run.vocabulary.level)
        pieces = [piece for chunk in chunks for piece in show(run.vocabulary, chunk)]
        figures = scoring.measure(float(nats.sum()) + scoring.spell(tokens), tokens)
        return Marked(corpus.where, pieces, nats, figures, [*corpus.notes, *data.note_unknown(tokens, run.vocabulary)])


def show(vocabulary: Vocabulary, text: str) -> list[str]:
    """The tokens of a text as they stand in it, unknown ones too."""
    if vocabulary.level not in ("char", "word"):
        return [vocabulary.decode([id]).decode("utf-8", "replace") for id in vocabulary.encode(text).tolist()]
    pieces = vocabulary.split(text)
    if not vocabulary.spaced:
        return pieces
    return [" " * ("\n" not in (before, piece)) + piece for before, piece in pairwise(["\n", *pieces])]


def to_csv(marked: Marked) -> bytes:
    """A row for each token: its number, its line, the token, −log p in nats, and the probability."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "line", "token", "nats", "probability"])
    line = 1
    for n, (piece, nats) in enumerate(zip(marked.pieces, marked.nats.tolist(), strict=True), 1):
        writer.writerow([n, line, piece, f"{nats:.6f}", f"{math.exp(-nats):.6g}"])
        line += piece.count("\n")
    return text.getvalue().encode("utf-8", "replace")


def render(marked: Marked) -> str:
    """The page: the text, each token on a ground that is the darker the more surprising it is."""
    shades = "".join(f".s{k}{{background:rgba(217,95,2,{0.8 * k / SHADES:.3f})}}" for k in range(1, SHADES + 1))
    body = []
    for piece, nats in zip(marked.pieces, marked.nats.tolist(), strict=True):
        shade = max(0, min(SHADES, round(nats)))
        text = html.escape(piece.encode("utf-8", "replace").decode().replace("\0", "\ufffd"))
        title = f"{nats:.2f} nats, p = {math.exp(-nats):.3g}"
        body.append(f'<span class="s{shade}" title="{title}">{text}</span>')
    figures, where = marked.figures, html.escape(marked.where)
    sentence = (
        f"{len(marked.pieces):,} tokens, {figures['nats']:.3f} nats a character, {figures['bits_per_byte']:.3f} bits a "
        f"byte, perplexity {figures['perplexity']:,.1f} a word. The darker a token, the less probable it was after all "
        "before it; hold the pointer over one to see its number."
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in marked.notes)
    return (
        f'<!doctype html><html lang=""><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><meta name="viewport" content="width=device-width"><title>Surprise: {where}</title>'
        f"<style>{STYLE}{shades}</style></head><body><h1>What surprises in {where}</h1><p>{sentence}</p>{notes}"
        f'<pre dir="auto">{"".join(body)}</pre></body></html>\n'
    )
