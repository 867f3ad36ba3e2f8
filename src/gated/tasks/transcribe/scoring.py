"""Character and word error rates with intervals, confusions and baselines; their table and verdict.

    CER = Σ (substituted + inserted + deleted characters) / Σ characters of the truth

over all lines, after the minimum-cost alignment of each; WER is the same of words. Both may exceed 1. Counts and
alignments are jiwer's, whose text rules are not used: text is compared as written, with every run of white space as one
space and none at the ends. Where the truth is empty the hypothesis is all insertions; a rate over no characters divides
by one.

The 95 % interval is a bootstrap over lines (Bisani & Ney 2004).
"""

from __future__ import annotations

import itertools
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gated._check import optional, within
from gated.io.text import plural
from gated.report import tables
from gated.report.bootstrap import SURE, better, resample

UNITS = ("words", "characters")
RATES = ("wer", "cer")
EDITS = ("substitutions", "insertions", "deletions")
NAMES = {"constant": "one answer", "empty": "nothing"}
CONFIDENT = 0.9  # fraction of the lines, the most confident, whose error rates are reported
ROWS, WORST = 50, 5  # of confusions; lines with the most errors that are reported
CANDIDATES, SAMPLE = 200, 500  # for the constant answer: texts that may become it, and texts that they are tried on


def rates(hypotheses: Sequence[str], truth: Sequence[str]) -> tuple[float, float]:
    """(CER, WER) alone, for validation: a thousand short lines take some milliseconds."""
    squeezed = ([" ".join(line.split()) for line in lines] for lines in (hypotheses, truth))
    wer, cer = _divide(_count(*squeezed).sum(0)).tolist()
    return cer, wer


def constant(texts: Sequence[str], seed: int = 0) -> str:
    """The text with the fewest character errors over the others: the best answer that ignores its input.

    The `CANDIDATES` most frequent texts are tried on `SAMPLE` random texts; of equals the first is taken.
    """
    texts = [" ".join(text.split()) for text in texts]
    candidates = [text for text, _ in Counter(texts).most_common(CANDIDATES)]
    sample = [texts[k] for k in np.random.default_rng(seed).permutation(len(texts))[:SAMPLE]]
    distance = optional("rapidfuzz.distance", "transcribe").Levenshtein.distance
    return min(candidates, key=lambda text: sum(distance(text, other) for other in sample))


def score(
    hypotheses: Sequence[str], truth: Sequence[str], *, constant: str, names: Sequence[str],
    confidences: Sequence[float], seconds: float, duration: float | None = None, lower: bool = False,
    punctuation: bool = True, trials: int = 1000, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Every metric of some transcripts, as JSON.

    {"model": "LSTM", "lines", "words", "characters": counts of the truth, "wer", "cer", "exact": fraction of lines
    without an error, "interval": {"wer": [low, high], "cer": [low, high]}, "substitutions", "insertions", "deletions":
    {"words", "characters"} each, "confusions": {"words": rows, "characters": rows} of {"truth", "said", "count"}, the
    most frequent first, "" for nothing, "worst": rows of {"name", "truth", "said", "errors"} in characters, "empty":
    transcripts without a word, "confidence", "seconds", "duration", "rtf", "baselines": {"constant", "empty"} of
    {"text", "wer", "cer", "exact", "beaten"}, "lower", "punctuation", "notes"}

    beaten: the fraction of resampled test sets on which the model has the lower CER than the baseline.

    hypotheses, truth: a text for each line. constant: the answer of the first baseline, from the training texts
    (`constant`). names: of the lines, such as their files. confidences: from 0 to 1, of each line, for "confidence",
    see `_confidence`. seconds: of decoding all lines; duration: seconds of their sound; rtf is the quotient. lower,
    punctuation: ignore case; ignore punctuation (Unicode's categories P). trials, seed: of the resampling.
    """
    outputs, right = ([_strip(line, lower, punctuation) for line in lines] for lines in (hypotheses, truth))
    counts = _count(outputs, right)
    wrong = counts[:, 1]
    resampled = _resample(counts, trials, seed)
    spans = np.quantile(resampled, [0.025, 0.975], axis=0, method="inverted_cdf").T.tolist()
    out: dict[str, Any] = {"model": "LSTM", "lines": len(outputs)}
    out |= dict(zip(UNITS, counts[:, 2:].sum(0).tolist(), strict=True))
    out |= {**_summarise(counts), "interval": dict(zip(RATES, spans, strict=True)), **_align(outputs, right)}
    out["worst"] = [
        {"name": names[n], "truth": right[n], "said": outputs[n], "errors": int(wrong[n])}
        for n in np.argsort(-wrong, kind="stable")[:WORST].tolist()
        if wrong[n]
    ]
    out["empty"] = sum(not line for line in outputs)
    out["confidence"] = _confidence(counts, np.asarray(confidences, float))
    out |= {"seconds": seconds, "duration": duration, "rtf": seconds / duration if duration else None}
    out["baselines"] = {}
    for kind, text in {"constant": _strip(constant, lower, punctuation), "empty": ""}.items():
        theirs = _count([text] * len(right), right)
        beaten = better(resampled[:, 1], _resample(theirs, trials, seed)[:, 1], lower=True)
        out["baselines"][kind] = {"text": text, **_summarise(theirs), "beaten": beaten}
    out |= {"lower": lower, "punctuation": punctuation}
    return out | {"notes": list(_notes(out, right, [*hypotheses, *truth]))}


def _strip(text: str, lower: bool, punctuation: bool) -> str:
    """The text as it is compared."""
    text = text.lower() if lower else text
    if not punctuation:
        text = "".join(c for c in text if unicodedata.category(c)[0] != "P")
    return " ".join(text.split())


# ---- counting


def _count(outputs: Sequence[str], truth: Sequence[str]) -> Int[np.ndarray, "N 4"]:
    """The errors of each line in words and characters, and the truth's words and characters."""
    distance = optional("rapidfuzz.distance", "transcribe").Levenshtein.distance
    pairs = [(a, b, a.split(), b.split()) for a, b in zip(outputs, truth, strict=True)]
    return np.array([[distance(v, w), distance(a, b), len(w), len(b)] for a, b, v, w in pairs])


def _divide(counts: np.ndarray) -> Float[np.ndarray, "*_ 2"]:
    """WER and CER of sums of counts."""
    return counts[..., :2] / counts[..., 2:].clip(min=1)


def _resample(counts: Int[np.ndarray, "N 4"], trials: int, seed: int) -> Float[np.ndarray, "trials 2"]:
    """WER and CER of resampled test sets; a seed draws the same for every system."""
    return _divide(resample(counts.astype(float), trials, seed))


def _summarise(counts: Int[np.ndarray, "N 4"]) -> dict[str, float]:
    wer, cer = _divide(counts.sum(0)).tolist()
    return {"wer": wer, "cer": cer, "exact": float((counts[:, 1] == 0).mean())}


def _align(outputs: list[str], truth: list[str]) -> dict[str, Any]:
    """The edits of each kind, and the most frequent confusions, in words and in characters."""
    jiwer = optional("jiwer", "transcribe")
    result: dict[str, Any] = {name: {} for name in (*EDITS, "confusions")}
    for unit, process in zip(UNITS, (jiwer.process_words, jiwer.process_characters), strict=True):
        aligned, confusions = process(truth, outputs), Counter()
        for a, b, chunks in zip(aligned.references, aligned.hypotheses, aligned.alignments, strict=True):
            for chunk in chunks:
                if chunk.type != "equal":
                    left, right = a[chunk.ref_start_idx : chunk.ref_end_idx], b[chunk.hyp_start_idx : chunk.hyp_end_idx]
                    confusions.update(itertools.zip_longest(left, right, fillvalue=""))
        for edit in EDITS:
            result[edit][unit] = getattr(aligned, edit)
        ranked = sorted(confusions.items(), key=lambda item: (-item[1], item[0]))[:ROWS]
        result["confusions"][unit] = [{"truth": a, "said": b, "count": count} for (a, b), count in ranked]
    return result


def _confidence(counts: Int[np.ndarray, "N 4"], confidences: Float[np.ndarray, " N"]) -> dict[str, Any]:
    """How well confidences separate right lines from wrong ones.

    {"mean": calibrated if near the fraction of exact lines, "auc": how often a right line has a higher one than a wrong
    line, None without both, "kept": a fraction of the lines, the most confident, "wer", "cer": of these}
    """
    wrong, auc = counts[:, 1] > 0, None
    if 0 < wrong.sum() < len(wrong):
        low, high = np.sort(confidences[wrong]), confidences[~wrong]
        below, upto = (np.searchsorted(low, high, side) for side in ("left", "right"))
        auc = float((below + upto).mean() / 2 / len(low))
    best = np.argsort(-confidences, kind="stable")[: max(1, round(CONFIDENT * len(confidences)))]
    wer, cer = _divide(counts[best].sum(0)).tolist()
    return {"mean": float(confidences.mean()), "auc": auc, "kept": len(best) / len(confidences), "wer": wer, "cer": cer}


# ---- notes, verdict, table


def _notes(result: Mapping[str, Any], truth: list[str], texts: list[str]) -> Iterator[str]:
    """Remarks for a reader of the numbers."""
    lines = result["lines"]
    ignored = [word for word, on in (("case", result["lower"]), ("punctuation", not result["punctuation"])) if on]
    if ignored:
        yield f"Ignored: {' and '.join(ignored)}."
    blank = sum(not line for line in truth)
    if blank:
        verb = "has" if blank == 1 else "have"
        yield f"{blank:,} of {plural(lines, 'line')} {verb} an empty truth; the text there counts as inserted."
    if result["empty"] > blank:
        verb = "is" if result["empty"] == 1 else "are"
        yield f"{result['empty']:,} of {plural(lines, 'transcript')} {verb} empty."
    if result["exact"] == 1:
        most = 1 - 0.05 ** (1 / lines)
        yield f"No line is wrong; that fewer than {percent(most)} of others are is more than {lines:,} can show (95 %)."
    if result["characters"] > 14 * max(1, result["words"]):
        yield "The truth has few spaces. If the script parts no words, WER says little; CER holds as it is."
    odd = sum(not unicodedata.is_normalized("NFC", line) for line in texts)
    if odd:
        yield f"{plural(odd, 'text')} not in Unicode's form NFC; letters that look alike may count as wrong."


def percent(share: float) -> str:
    """A fraction in per cent, with enough digits to differ from 0 and from 100."""
    return f"{_span([share])} %"


def _span(shares: Sequence[float]) -> str:
    """One or two fractions in per cent, without the sign."""
    places = max(map(_places, shares))
    return "–".join(f"{100 * share:.{places}f}" for share in shares)


def _places(share: float) -> int:
    """Decimals of a fraction in per cent that is not to look like 0 or 100."""
    full, places = 100 * share, 1 if share >= 0.1 else 2
    while places < 12 and float(f"{full:.{places}f}") in {0, 100} - {full}:
        places += 1
    return 0 if full in (0, 100) else places


def verdict(result: Mapping[str, Any]) -> str:
    """The error rates in a sentence, which says where a baseline is as good."""
    span = _span(result["interval"]["cer"])
    rates = f"{result['model']}: CER {percent(result['cer'])} (95 %: {span}), WER {percent(result['wer'])}"
    kind = min(result["baselines"], key=lambda k: result["baselines"][k]["cer"])
    rival = result["baselines"][kind]
    other = {"constant": "one answer for all lines", "empty": "saying nothing"}[kind]
    if result["cer"] >= rival["cer"]:
        return f"{rates}. No better than {other}, {percent(rival['cer'])}: nothing in these lines was learned."
    if rival["beaten"] < SURE:
        return f"{rates}. Against {other}, {percent(rival['cer'])}: too close to call."
    return f"{rates}."


def table(result: Mapping[str, Any], confusions: int = 10, width: int | None = None) -> str:
    """The result as text for people: rates beside baselines, edits, what goes wrong.

    width: of the longest line, at least 30; by default 60, or that of a narrower terminal.
    """
    width = max(30, min(60, tables.terminal_width())) if width is None else width
    within("width", width, 30, 1000)
    head = ", ".join(plural(result[unit], unit[:-1]) for unit in ("lines", *reversed(UNITS)))
    grids = [_tabulate_rates(result), _tabulate_edits(result)]
    for unit in reversed(UNITS):
        rows = result["confusions"][unit][:confusions]
        grids += [_tabulate_confusions(unit, rows)] if rows else []
    worst = ["\n".join(_cut(line, width) for line in _show(row, width)) for row in result["worst"]]
    remarks = [verdict(result), *_describe(result), *result["notes"]]
    parts = [
        textwrap.fill(head, width),
        *(_draw(grid, width) for grid in grids),
        *(["\n".join(worst)] if worst else []),
    ]
    return "\n\n".join([*parts, "\n".join("\n".join(textwrap.wrap(line, width)) for line in remarks)])


def _show(row: Mapping[str, Any], width: int) -> Iterator[str]:
    """A wrong line: truth and hypothesis, from shortly before the first error."""
    yield f"{row['name']}: {plural(row['errors'], 'character')} wrong"
    same = next((k for k, (a, b) in enumerate(zip(row["truth"], row["said"], strict=False)) if a != b), None)
    same = min(len(row["truth"]), len(row["said"])) if same is None else same
    first = same - width // 3 if same > width // 2 else 0
    for label, side in (("is", "truth"), ("said", "said")):
        yield f"  {label:4} {'…' if first else ''}{row[side][first:]}"


def _describe(result: Mapping[str, Any]) -> Iterator[str]:
    """Time and confidence, in sentences."""
    sound = ""
    if result["rtf"] is not None:
        sound = f", for {result['duration']:.5g} s of sound: real-time factor {result['rtf']:.2g}"
    yield f"{result['seconds']:.3g} s, {result['seconds'] / result['lines'] * 1000:.3g} ms a line{sound}."
    confidence = result["confidence"]
    yield f"Mean confidence {percent(confidence['mean'])}; {percent(result['exact'])} of the lines are right."
    yield f"The surest {percent(confidence['kept'])} of them: CER {percent(confidence['cer'])}."
    if confidence["auc"] is not None:
        yield f"A right line is surer than a wrong one {percent(confidence['auc'])} of the time."


def _tabulate_rates(result: Mapping[str, Any]) -> Any:
    ways = [result, *result["baselines"].values()]
    grid = tables.grid("", _cut(result["model"], 14), *(NAMES[kind] for kind in result["baselines"]))
    for label, rate in (("characters wrong (CER)", "cer"), ("words wrong (WER)", "wer")):
        grid.add_row(label, *(percent(way[rate]) for way in ways))
        grid.add_row("  95 %", _span(result["interval"][rate]) + " %")
    grid.add_row("lines right", *(percent(way["exact"]) for way in ways))
    return grid


def _tabulate_edits(result: Mapping[str, Any]) -> Any:
    grid = tables.grid("", "wrong", "replaced", "put in", "left out")
    for unit in reversed(UNITS):
        edits = [result[edit][unit] for edit in EDITS]
        grid.add_row(unit, *(f"{count:,}" for count in (sum(edits), *edits)))
    return grid


def _tabulate_confusions(unit: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    from rich.text import Text

    grid = tables.grid(f"{unit} wrong most often", "said", "times")
    for row in rows:
        sides = (
            Text(_cut(f"“{_escape(row[side])}”" if row[side] else "(nothing)", 24)) for side in ("truth", "said")
        )  # no markup
        grid.add_row(*sides, f"{row['count']:,}")
    return grid


def _escape(text: str) -> str:
    """The text, with numbers for leading combining characters and for all that cannot be printed."""
    return "".join(
        c if c.isprintable() and (k or not unicodedata.combining(c)) else f"\\u{ord(c):04x}" for k, c in enumerate(text)
    )


def _cut(text: str, width: int) -> str:
    return tables.cut(_escape(text), width)


def _draw(grid: Any, width: int) -> str:
    return "\n".join(line.rstrip() for line in tables.draw(grid, width).strip("\n").splitlines())
