"""How good transcripts are, in words and in characters, where they go wrong, and what no ear or eye at all would score.

    CER = Σ (substituted + inserted + deleted characters) / Σ characters of the truth

over all lines together, after the cheapest alignment of each; WER is the same of words. Both may pass 1. The counts and
alignments are jiwer's, whose own text rules are not used: text is compared as written, but that white space of any kind
and length is one space, and none at the ends. Where the truth is empty everything said was inserted, and a rate over no
characters at all takes them for one.

The interval resamples the lines (Bisani & Ney 2004), 95 %.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gated._check import optional, refuse, want, within
from gated.io.text import plural
from gated.report import tables
from gated.report.intervals import SURE, better, resample

UNITS = ("words", "characters")
RATES = ("wer", "cer")
EDITS = ("substitutions", "insertions", "deletions")
NAMES = {"constant": "one answer", "empty": "nothing"}
KEEP = 0.9  # the share of lines that are kept where the least certain are put aside
ROWS = 50  # of confusions
TRIED, HEARD = 200, 500  # texts that may become the constant answer, and texts that they are tried on


def quick(said: Sequence[str], truth: Sequence[str]) -> tuple[float, float]:
    """(CER, WER) alone, for validation: a thousand short lines take some milliseconds."""
    _lines(said, truth)
    squeezed = ([" ".join(line.split()) for line in lines] for lines in (said, truth))
    wer, cer = _rates(*_distances(*squeezed))
    return float(cer), float(wer)


def constant(texts: Sequence[str], seed: int = 0) -> str:
    """The best answer of those that listen to nothing: the text with the fewest character errors over the others.

    The `TRIED` most frequent texts are candidates, on `HEARD` texts drawn at random; the first of equals.
    """
    want(len(texts) > 0, "constant", "at least one text", "none")
    texts = [" ".join(text.split()) for text in texts]
    candidates = [text for text, _ in Counter(texts).most_common(TRIED)]
    heard = [texts[k] for k in np.random.default_rng(seed).permutation(len(texts))[:HEARD]]
    distance = optional("rapidfuzz.distance", "transcribe").Levenshtein.distance
    return min(candidates, key=lambda text: sum(distance(text, other) for other in heard))


class Counts(NamedTuple):
    """The edits of every line, in one unit."""

    errors: Int[np.ndarray, "N 3"]  # of each of `EDITS`
    lengths: Int[np.ndarray, " N"]  # of the truth
    confusions: Counter[tuple[str, str]]  # (truth, said), one of which may be nothing


def score(
    said: Sequence[str], truth: Sequence[str], *, constant: str | None = None, names: Sequence[str] | None = None,
    confidences: Sequence[float] | Float[np.ndarray, " N"] | None = None, seconds: float | None = None,
    duration: float | None = None, lower: bool = False, punctuation: bool = True, worst: int = 5, trials: int = 1000,
    seed: int = 0, name: str = "LSTM",
) -> dict[str, Any]:  # fmt: skip
    """Every metric of some transcripts, as plain numbers.

    {"model": name, "lines", "words", "characters": how many there are of the truth, "wer", "cer", "exact": share of
    lines without an error, "interval": {"wer": [low, high], "cer": [low, high]}, "substitutions", "insertions",
    "deletions": {"words", "characters"} each, "confusions": {"words": rows, "characters": rows} of {"truth", "said",
    "count"}, the most frequent first, "" for nothing, "worst": rows of {"name", "truth", "said", "errors"}, of
    characters, "empty": transcripts without a word, "confidence", "seconds", "duration", "rtf", "baselines":
    {"constant", "empty"} of {"text", "wer", "cer", "exact", "beaten"}, "lower", "punctuation", "notes"}

    beaten is the share of resampled test sets on which `name` has the lower CER than the baseline.

    said, truth: a text for each line. constant: the one answer for all of the first baseline, from the training texts
    (`constant`). names: of the lines, such as their files; else their numbers. confidences: from 0 to 1, of each line;
    the result then says what they are worth, see `_confidence`. seconds: taken for all lines; duration: seconds of
    sound in them; rtf is their quotient. lower, punctuation: ignore case; ignore marks (Unicode's categories P).
    worst: so many lines of most errors. trials, seed: of the resampling; 0 trials leave intervals and beaten None.
    """
    _lines(said, truth, names, confidences)
    within("trials", trials, 0, 1_000_000)
    for what, number in (("seconds", seconds), ("duration", duration)):
        if number is not None:
            within(what, number, 0)
    told, right = ([_text(line, lower, punctuation) for line in lines] for lines in (said, truth))
    counts = _counts(told, right)
    errors = np.stack([counts[unit].errors.sum(1) for unit in UNITS], 1)
    lengths = np.stack([counts[unit].lengths for unit in UNITS], 1)
    wrong = errors[:, 1]
    drawn = _resampled(errors, lengths, trials, seed)
    others = {"empty": ""} if constant is None else {"constant": _text(constant, lower, punctuation), "empty": ""}
    out: dict[str, Any] = {"model": name, "lines": len(told)}
    out |= dict(zip(UNITS, lengths.sum(0).tolist(), strict=True))
    out |= dict(zip(RATES, _rates(errors, lengths).tolist(), strict=True))
    out |= {"exact": float((wrong == 0).mean()), "interval": _interval(drawn)}
    for k, edit in enumerate(EDITS):
        out[edit] = {unit: int(counts[unit].errors[:, k].sum()) for unit in UNITS}
    out["confusions"] = {unit: _rows(counts[unit].confusions) for unit in UNITS}
    out["worst"] = [
        {"name": str(names[n] if names else n + 1), "truth": right[n], "said": told[n], "errors": int(wrong[n])}
        for n in np.argsort(-wrong, kind="stable")[:worst].tolist()
        if wrong[n]
    ]
    out["empty"] = sum(not line for line in told)
    sure = None if confidences is None else np.asarray(confidences, float)
    out["confidence"] = None if sure is None else _confidence(errors, lengths, sure)
    out |= {"seconds": seconds, "duration": duration, "rtf": seconds / duration if seconds and duration else None}
    out["baselines"] = {kind: _baseline(text, right, drawn, trials, seed) for kind, text in others.items()}
    out |= {"lower": lower, "punctuation": punctuation}
    return out | {"notes": list(_notes(out, right, [*said, *truth]))}


# ---- text


def _lines(said: Any, truth: Any, names: Any = None, confidences: Any = None) -> None:
    """Refuse what is not a text, a truth, and a name and confidence if there are any, for each line."""
    for where, lines in {"transcripts": said, "truth": truth}.items():
        listed = isinstance(lines, Sequence) and not isinstance(lines, str)
        want(listed, where, "a list of texts", type(lines).__name__)
        for k, line in enumerate(lines, 1):
            if not isinstance(line, str):
                refuse(where, f"a text as line {k:,}", type(line).__name__)
    want(len(said) > 0, "score", "at least one line", "none")
    for where, given in {"truth": truth, "names": names, "confidences": confidences}.items():
        fits = given is None or len(given) == len(said)
        want(fits, where, f"{len(said):,}, one for each transcript", f"{0 if given is None else len(given):,}")
    for k, number in enumerate(() if confidences is None else confidences, 1):
        within(f"confidence of line {k:,}", float(number), 0, 1)


def _text(text: str, lower: bool, punctuation: bool) -> str:
    """What is compared of a text."""
    text = text.lower() if lower else text
    if not punctuation:
        text = "".join(letter for letter in text if unicodedata.category(letter)[0] != "P")
    return " ".join(text.split())


# ---- counting


def _counts(said: Sequence[str], truth: Sequence[str]) -> dict[str, Counts]:
    jiwer = optional("jiwer", "transcribe")
    ways = {"words": (jiwer.process_words, str.split), "characters": (jiwer.process_characters, list)}
    out = {}
    for unit, (process, pieces) in ways.items():
        found, seen = process(list(truth), list(said)), Counter()
        errors = np.zeros((len(said), 3), int)
        for n, chunks in enumerate(found.alignments):
            a, b = found.references[n], found.hypotheses[n]
            for chunk in chunks:
                if chunk.type == "equal":
                    continue
                mine = a[chunk.ref_start_idx : chunk.ref_end_idx]
                theirs = b[chunk.hyp_start_idx : chunk.hyp_end_idx]
                count = max(len(mine), len(theirs))
                errors[n, ("substitute", "insert", "delete").index(chunk.type)] += count
                seen.update(zip(mine or [""] * count, theirs or [""] * count, strict=True))
        lengths = np.array([len(pieces(line)) for line in truth])
        out[unit] = Counts(errors, lengths, seen)
    return out


def _rows(confusions: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    order = sorted(confusions.items(), key=lambda item: (-item[1], item[0]))[:ROWS]
    return [{"truth": truth, "said": said, "count": count} for (truth, said), count in order]


def _distances(said: Sequence[str], truth: Sequence[str]) -> tuple[Int[np.ndarray, "N 2"], Int[np.ndarray, "N 2"]]:
    """Errors and lengths of each line, in words and characters, without their alignment."""
    distance = optional("rapidfuzz.distance", "transcribe").Levenshtein.distance
    pairs = list(zip(said, truth, strict=True))
    words = [(a.split(), b.split()) for a, b in pairs]
    errors = [[distance(*w), distance(*c)] for w, c in zip(words, pairs, strict=True)]
    return np.array(errors), np.array([[len(w), len(c)] for (_, w), (_, c) in zip(words, pairs, strict=True)])


def _rates(errors: np.ndarray, lengths: np.ndarray) -> Float[np.ndarray, " 2"]:
    """WER and CER."""
    return errors.sum(0) / lengths.sum(0).clip(min=1)


def _resampled(
    errors: Int[np.ndarray, "N 2"], lengths: Int[np.ndarray, "N 2"], trials: int, seed: int
) -> Float[np.ndarray, "trials 2"]:
    """WER and CER of as many lines drawn with replacement, `trials` times; a seed draws the same for every system."""
    found = resample(np.concatenate([errors, lengths], 1).astype(float), trials, seed)
    return found[:, :2] / found[:, 2:].clip(min=1)


def _interval(drawn: Float[np.ndarray, "trials 2"]) -> dict[str, list[float] | None]:
    if not len(drawn):
        return dict.fromkeys(RATES)
    spans = np.quantile(drawn, [0.025, 0.975], axis=0, method="inverted_cdf")
    return dict(zip(RATES, spans.T.tolist(), strict=True))


def _baseline(text: str, truth: Sequence[str], drawn: np.ndarray, trials: int, seed: int) -> dict[str, Any]:
    """What one answer for all lines scores."""
    errors, lengths = _distances([text] * len(truth), truth)
    theirs = _resampled(errors, lengths, trials, seed)
    return {
        "text": text,
        **dict(zip(RATES, _rates(errors, lengths).tolist(), strict=True)),
        "exact": float((errors[:, 1] == 0).mean()),
        "beaten": better(drawn[:, 1], theirs[:, 1], lower=True),
    }


def _confidence(errors: np.ndarray, lengths: np.ndarray, sure: Float[np.ndarray, " N"]) -> dict[str, Any]:
    """Whether confidences tell right lines from wrong ones.

    {"mean": to be near the share of exact lines, "auc": how often a right line has a higher one than a wrong line,
    None without both, "kept": a share of the lines, the surest, "wer", "cer": of these}
    """
    wrong, auc = errors[:, 1] > 0, None
    if 0 < wrong.sum() < len(wrong):
        low, high = np.sort(sure[wrong]), sure[~wrong]
        below, upto = (np.searchsorted(low, high, side) for side in ("left", "right"))
        auc = float((below + upto).mean() / 2 / len(low))
    kept = np.argsort(-sure, kind="stable")[: max(1, round(KEEP * len(sure)))]
    rates = dict(zip(RATES, _rates(errors[kept], lengths[kept]).tolist(), strict=True))
    return {"mean": float(sure.mean()), "auc": auc, "kept": len(kept) / len(sure), **rates}


# ---- what is said of it


def _notes(found: Mapping[str, Any], truth: list[str], written: list[str]) -> Iterator[str]:
    """What a reader of the numbers should know."""
    lines = found["lines"]
    ignored = [word for word, on in (("case", found["lower"]), ("punctuation", not found["punctuation"])) if on]
    if ignored:
        yield f"Ignored: {' and '.join(ignored)}."
    bare = sum(not line for line in truth)
    if bare:
        yield f"{bare:,} of {plural(lines, 'line')} have an empty truth; what was said there counts as inserted."
    silent = found["empty"] - bare
    if silent > 0:
        yield f"{found['empty']:,} of {plural(lines, 'transcript')} are empty."
    if found["exact"] == 1:
        most = 1 - 0.05 ** (1 / lines)
        yield f"No line is wrong; that fewer than {percent(most)} of others are is more than {lines:,} can show (95 %)."
    if found["characters"] > 14 * max(1, found["words"]):
        yield "The truth has few spaces. If the script parts no words, WER says little; CER holds as it is."
    odd = sum(not unicodedata.is_normalized("NFC", line) for line in written)
    if odd:
        yield f"{plural(odd, 'text')} not in Unicode's form NFC; letters that look alike may count as wrong."


def percent(share: float) -> str:
    """A share in per cent, with as many digits as part it from 0 and from 100."""
    return f"{_digits(share, _places(share))} %"


def _places(share: float) -> int:
    """Decimals of a share in per cent: what is not 0 or 100 does not look it."""
    full, places = 100 * share, 1 if share >= 0.1 else 2
    while places < 12 and float(f"{full:.{places}f}") in {0, 100} - {full}:
        places += 1
    return 0 if full in (0, 100) else places


def _digits(share: float, places: int) -> str:
    return f"{100 * share:.{places}f}"


def _span(interval: Sequence[float] | None) -> str:
    if interval is None:
        return "–"
    places = max(map(_places, interval))
    return f"{_digits(interval[0], places)}–{_digits(interval[1], places)}"


def verdict(result: Mapping[str, Any]) -> str:
    """The error rates in a sentence, and as plainly where a baseline does as well."""
    span = result["interval"]["cer"]
    tail = f" (95 %: {_span(span)})" if span else ""
    told = f"{result['model']}: CER {percent(result['cer'])}{tail}, WER {percent(result['wer'])}"
    kind = min(result["baselines"], key=lambda k: result["baselines"][k]["cer"])
    rival = result["baselines"][kind]
    other = {"constant": "one answer for all lines", "empty": "saying nothing"}[kind]
    if result["cer"] >= rival["cer"]:
        return f"{told}. No better than {other}, {percent(rival['cer'])}: nothing was learnt that these lines show."
    if rival["beaten"] is not None and rival["beaten"] < SURE:
        return f"{told}. Against {other}, {percent(rival['cer'])}: too close to call."
    return f"{told}."


def table(result: Mapping[str, Any], confusions: int = 10, width: int = 60) -> str:
    """The result as text for people, no line longer than `width`: rates beside baselines, edits, what goes wrong."""
    within("width", width, 60, 1000)
    head = ", ".join(plural(result[unit], unit[:-1]) for unit in ("lines", *reversed(UNITS)))
    grids = [_rated(result), _edited(result)]
    for unit in reversed(UNITS):
        rows = result["confusions"][unit][:confusions]
        grids += [_confused(unit, rows)] if rows else []
    worst = ["\n".join(_cut(line, width) for line in _shown(row, width)) for row in result["worst"]]
    said = [verdict(result), *_told(result), *result["notes"]]
    parts = [head, *(_drawn(grid, width) for grid in grids), *(["\n".join(worst)] if worst else [])]
    return "\n\n".join([*parts, "\n".join(_wrapped(line, width) for line in said)])


def _shown(row: Mapping[str, Any], width: int) -> Iterator[str]:
    """A line that went wrong: its truth and what was said of it, from shortly before the first error."""
    yield f"{row['name']}: {plural(row['errors'], 'character')} wrong"
    same = next((k for k, (a, b) in enumerate(zip(row["truth"], row["said"], strict=False)) if a != b), None)
    same = min(len(row["truth"]), len(row["said"])) if same is None else same
    first = same - width // 3 if same > width // 2 else 0
    for label, side in (("is", "truth"), ("said", "said")):
        yield f"  {label:4} {'…' if first else ''}{row[side][first:]}"


def _told(result: Mapping[str, Any]) -> Iterator[str]:
    """Time and confidence, in sentences."""
    if result["seconds"] is not None:
        each = result["seconds"] / result["lines"]
        took = f"{result['seconds']:.3g} s, {each * 1000:.3g} ms a line"
        if result["rtf"] is not None:
            took += f", for {result['duration']:.5g} s of sound: real-time factor {result['rtf']:.2g}"
        yield f"{took}."
    sure = result["confidence"]
    if sure is not None:
        yield f"Mean confidence {percent(sure['mean'])}; {percent(result['exact'])} of the lines are right."
        yield f"The surest {percent(sure['kept'])} of them: CER {percent(sure['cer'])}."
        if sure["auc"] is not None:
            yield f"A right line is surer than a wrong one {percent(sure['auc'])} of the time."


def _rated(result: Mapping[str, Any]) -> Any:
    ways = [result, *result["baselines"].values()]
    grid = tables.grid("", _cut(result["model"], 14), *(NAMES[kind] for kind in result["baselines"]))
    for label, rate in (("characters wrong (CER)", "cer"), ("words wrong (WER)", "wer")):
        grid.add_row(label, *(percent(way[rate]) for way in ways))
        if result["interval"][rate] is not None:
            grid.add_row("  95 %", _span(result["interval"][rate]) + " %")
    grid.add_row("lines right", *(percent(way["exact"]) for way in ways))
    return grid


def _edited(result: Mapping[str, Any]) -> Any:
    grid = tables.grid("", "wrong", "replaced", "put in", "left out")
    for unit in reversed(UNITS):
        edits = [result[edit][unit] for edit in EDITS]
        grid.add_row(unit, *(f"{count:,}" for count in (sum(edits), *edits)))
    return grid


def _confused(unit: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    from rich.text import Text

    grid = tables.grid(f"{unit} wrong most often", "said", "times")
    for row in rows:
        sides = (Text(_cut(_quoted(row[side]), 24)) for side in ("truth", "said"))  # no markup
        grid.add_row(*sides, f"{row['count']:,}")
    return grid


def _quoted(piece: str) -> str:
    return f"“{_plain(piece)}”" if piece else "(nothing)"


def _plain(text: str) -> str:
    """Text that a terminal shows as it is: marks without a letter and what is not printable as numbers."""
    return "".join(
        c if c.isprintable() and (k or not unicodedata.combining(c)) else f"\\u{ord(c):04x}" for k, c in enumerate(text)
    )


def _cut(text: str, width: int) -> str:
    return tables.cut(_plain(text), width)


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))


def _drawn(grid: Any, width: int) -> str:
    return "\n".join(line.rstrip() for line in tables.draw(grid, width).strip("\n").splitlines())
