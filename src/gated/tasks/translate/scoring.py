"""Metrics of translations, beside two baselines: copying the source, and a translation memory.

BLEU   brevity · exp(¼ Σ_n log p_n), p_n the share of n-grams, n = 1 … 4, that a reference has too; brevity is
       exp(1 − references' length / translations' length), at most 1
chrF   the F-score, recall counting twice, of the n-grams of 1 to 6 characters
TER    edits, moved blocks included, for each word of the references; lower is better, may pass 100

All are sacrebleu's, from 0 to 100, over the corpus, and their signatures say how each was counted.
Papineni et al. 2002; Popović 2015; Snover et al. 2006; Post 2018. Interval and comparison of two systems by resampling
the sentences: Koehn 2004.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from gated._check import one_of, optional, want, within
from gated.io.text import plural
from gated.report import tables
from gated.report.bootstrap import better, close, resample

TOKENIZE = ("13a", "char", "intl", "none", "zh")  # of sacrebleu's, those that need no download
HAN, KANA = "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff", "\u3040-\u30ff"
BARE = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan, Burmese, Khmer
NAMES = {"copy": "copy of the source", "memory": "translation memory"}
ORDERS = (2, 6)  # of a translation memory's n-grams; 2 is for scripts that part no words


def bleu(hypotheses: Sequence[str], references: Sequence[str] | Sequence[Sequence[str]]) -> float:
    """BLEU alone, for validation: cased. A thousand sentences take less than a tenth of a second."""
    sets = check_references(hypotheses, references)
    return float(_bleu(False, choose_tokenizer(sets[0])).corpus_score(list(hypotheses), sets).score)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """chrF alone."""
    metric = optional("sacrebleu.metrics", "translate").CHRF()
    return float(metric.corpus_score(list(hypotheses), check_references(hypotheses, references)).score)


def choose_tokenizer(references: Sequence[str]) -> str:
    """sacrebleu's tokenizer for the script that most letters of the references have.

    "zh" for Chinese; "ja-mecab" for Japanese if MeCab is installed, else "char"; "char" for other scripts that part no
    words; "13a" for all others.
    """
    text = "".join(references)
    letters = sum(c.isalpha() for c in text)
    han, kana, bare = (len(re.findall(f"[{script}]", text)) for script in (HAN, KANA, BARE))
    if 2 * (han + kana) > letters:
        mecab = all(importlib.util.find_spec(name) for name in ("MeCab", "ipadic"))
        return "zh" if 20 * kana < han else "ja-mecab" if mecab else "char"
    return "char" if 2 * bare > letters else "13a"


def _bleu(lowercase: bool = False, tokenize: str = "13a", alone: bool = False) -> Any:
    """sacrebleu's BLEU, of a corpus or of sentences alone, without its log.

    It would log that a text looks tokenised, unless forced, and that sentences' BLEU needs the effective order. Neither
    changes a count. It downloads only test sets and the tokenizers "spm" and "flores", which are not used.
    """
    one_of("tokenize", tokenize, (*TOKENIZE, "ja-mecab"))
    metrics = optional("sacrebleu.metrics", "translate")
    return metrics.BLEU(lowercase=lowercase, tokenize=tokenize, force=True, effective_order=alone)


def check_references(hypotheses: Any, references: Any) -> list[list[str]]:
    """The references as a list of sets, as sacrebleu takes them; each must have a sentence for each translation."""
    n = len(hypotheses)
    want(n > 0, "score", "at least one translation", "none")
    want(len(references) > 0, "references", f"{n:,} sentences", "none")
    sets: list[Any] = [references] if isinstance(references[0], str) else [*references]
    for k, lines in enumerate([hypotheses, *sets]):
        where = "translations" if k == 0 else "references" if len(sets) == 1 else f"set {k} of the references"
        want(isinstance(lines, Sequence) and not isinstance(lines, str), where, "a list", type(lines).__name__)
        todo = "Empty lines count too; several references are several lists of that length."
        want(len(lines) == n, where, f"{n:,} sentences, one for each translation", f"{len(lines):,}", todo)
        for i, line in enumerate(lines, 1):
            want(isinstance(line, str), where, f"a string as sentence {i:,}", type(line).__name__)
    want(any(line.strip() for one in sets for line in one), "references", "a word", f"{n:,} empty sentences")
    return [list(one) for one in sets]


def _measure(
    hypotheses: Sequence[str], sets: list[list[str]], tokenize: str, ter: bool, trials: int, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Every metric of some translations, as plain numbers, and the BLEU of each resampled test set."""
    within("trials", trials, 0, 1_000_000)
    metrics = optional("sacrebleu.metrics", "translate")
    hypotheses = list(hypotheses)
    kinds = {"bleu": _bleu(False, tokenize), "bleu_lower": _bleu(True, tokenize), "chrf": metrics.CHRF()}
    kinds |= {"ter": metrics.TER()} if ter else {}
    scores = {name: kind.corpus_score(hypotheses, sets) for name, kind in kinds.items()}
    signatures = {name: str(kind.get_signature()) for name, kind in kinds.items()}
    drawn = _bootstrap(hypotheses, sets, tokenize, trials, seed)
    bleu, cut = scores["bleu"], trials // 40
    exact = [h.strip() in {r.strip() for r in rs} for h, *rs in zip(hypotheses, *sets, strict=True)]
    out: dict[str, Any] = {name: float(scores[name].score) if name in scores else None for name in (*kinds, "ter")} | {
        "interval": [float(x) for x in np.sort(drawn)[[cut, trials - 1 - cut]]] if trials else None,
        "brevity": float(bleu.bp),
        "ratio": float(bleu.ratio),
        "exact": sum(exact) / len(exact),
        "empty": sum(not h.strip() for h in hypotheses),
        "sentences": len(hypotheses),
        "signature": signatures["bleu"],
        "signatures": signatures,
    }
    return out, drawn


def _bootstrap(
    hypotheses: list[str], sets: list[list[str]], tokenize: str, trials: int, seed: int
) -> Float[np.ndarray, " trials"]:
    """BLEU of as many sentences drawn with replacement, `trials` times; a seed draws the same for every system.

    BLEU follows from sums over sentences: each sentence is counted once, and a trial is a weighted sum.
    """
    if not trials:
        return np.zeros(0)
    alone = _bleu(False, tokenize, alone=True)
    scores = (alone.sentence_score(h, rs) for h, *rs in zip(hypotheses, *sets, strict=True))
    counts = np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in scores], float)
    out = []
    for sums in resample(counts, trials, seed):
        hyp, ref, *grams = map(int, sums)
        out.append(alone.compute_bleu(grams[:4], grams[4:], hyp, ref, smooth_method="exp").score)
    return np.array(out)


# -- baselines

TranslationMemory = Callable[[Sequence[str]], list[str]]


def build_memory(source: Sequence[str], target: Sequence[str]) -> TranslationMemory:
    """A function of sentences: for each the translation of the most similar stored sentence.

    Similarity is the cosine of tf-idf vectors of character n-grams, Σ_g q_g d_g / |d|, d_g = tf_g log((1 + N) / df_g),
    over the orders `ORDERS`, case folded, spaces joined. n-grams of more than max(1000, N / 10) sentences count only
    for a query that has no others. The first of equals is taken; a query that shares no n-gram has an empty
    translation.
    """
    N = len(source)
    want(len(target) == N, "memory", f"{N:,} target sentences, as of the source", f"{len(target):,}")
    want(N > 0, "memory", "at least one pair", "none")
    row, gram = _grams(source)
    grams, gram = np.unique(gram, return_inverse=True)
    pairs, times = np.unique(gram.astype(np.int64) * N + row, return_counts=True)
    gram, row = np.divmod(pairs, N)
    counts = np.bincount(gram, minlength=len(grams))  # df
    rarity = np.log((1 + N) / counts)  # 1 + N: above 0 for a single sentence too
    weight = times * rarity[gram]
    length = np.sqrt(np.bincount(row, weight**2, minlength=N))
    starts = np.concatenate([[0], np.cumsum(counts)])  # of each n-gram's sentences in `row`
    weights = (weight * rarity[gram] / length[row]).astype(np.float32)  # of one occurrence in a query
    row, rare = row.astype(np.int32), counts <= max(1000, N // 10)

    def find(query: np.ndarray) -> str:
        query, times = np.unique(query, return_counts=True)
        place = np.searchsorted(grams, query).clip(max=len(grams) - 1)
        known = grams[place] == query
        use = known & rare[place] if (known & rare[place]).any() else known
        if not use.any():
            return ""
        spans = [slice(starts[k], starts[k + 1]) for k in place[use]]
        rows = np.concatenate([row[s] for s in spans])
        adds = np.concatenate([t * weights[s] for s, t in zip(spans, times[use], strict=True)])
        return target[int(np.bincount(rows, adds).argmax())]

    def translate(sentences: Sequence[str]) -> list[str]:
        row, gram = _grams(sentences)
        ends = np.searchsorted(row, np.arange(len(sentences) + 1))
        return [find(gram[a:b]) for a, b in pairwise(ends)]

    return translate


def _grams(sentences: Sequence[str]) -> tuple[Int[np.ndarray, " P"], Shaped[np.ndarray, " P"]]:
    """Every n-gram as a number, and the index of its sentence, in order of the sentences."""
    texts = [f" {' '.join(s.casefold().split())} " for s in sentences]
    characters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    row = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    parts = []
    for n in ORDERS:
        ends = max(0, len(characters) - n + 1)
        gram = np.zeros(ends, np.uint64)
        for k in range(n):  # a polynomial modulo 2⁶⁴
            gram = gram * np.uint64(0x9E3779B97F4A7C15) + characters[k : k + ends]
        inside = row[:ends] == row[n - 1 :][:ends]
        parts.append((row[:ends][inside], gram[inside]))
    rows, grams = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(rows, kind="stable")
    return rows[order], grams[order]


# -- scores


def score(
    hypotheses: Sequence[str], references: Sequence[str] | Sequence[Sequence[str]], *,
    source: Sequence[str] | None = None, memory: TranslationMemory | None = None, name: str = "LSTM",
    seconds: float | None = None, tokenize: str | None = None, ter: bool = True, trials: int = 1000, seed: int = 12345,
) -> dict[str, Any]:  # fmt: skip
    """The metrics of translations, of copying the source, of a translation memory, and the name of the best.

    {"model": name, "bleu", "bleu_lower": of lower-cased text, "chrf": chrF2, "ter", "interval": of 95 % for BLEU,
    "brevity": BLEU's penalty, "ratio": the translations' words over the references', "exact": share of sentences equal
    to a reference, "empty": translations without a word, "sentences", "signature": of BLEU, "signatures": of each
    metric, "baselines": {"copy": the same, "memory": the same, each with "seconds" and "beaten": the share of resampled
    test sets on which `name` has the higher BLEU}, "by": the deciding metric, "best", "notes", "seconds"}. "by" is
    BLEU, or chrF where every BLEU is 0; equals count for the baseline.

    references: a sentence for each translation, or several such lists, each a whole set of references.
    source: the translated sentences, for the baselines. seconds: the time of `name`, for the table.
    tokenize: BLEU's tokenizer, one of `TOKENIZE`; by default that of the references' script.
    ter: whether to compute TER, which takes time: 0.4 s for 1,000 sentences of 13 words, 3 s of 26 words, 40 s of 52.
    trials, seed: of the bootstrap; 0 trials leave the interval None. 12345 is sacrebleu's own seed.
    """
    sets = check_references(hypotheses, references)
    want(memory is None or source is not None, "score", "the source beside a translation memory", "none")
    tokenize = choose_tokenizer(sets[0]) if tokenize is None else tokenize
    ours, drawn = _measure(hypotheses, sets, tokenize, ter, trials, seed)
    others: dict[str, Any] = {}
    if source is not None:
        want(len(source) == len(hypotheses), "score", f"{len(hypotheses):,} source sentences", f"{len(source):,}")
        for kind, translate in {"copy": list, "memory": memory}.items():
            if translate is None:
                continue
            start = time.perf_counter()
            texts = translate(source)
            seconds_taken = time.perf_counter() - start
            others[kind], theirs = _measure(texts, sets, tokenize, ter, trials, seed)
            others[kind] |= {"seconds": seconds_taken, "beaten": better(drawn, theirs, lower=False)}
    rows = {**others, name: ours}
    by = "bleu" if any(r["bleu"] > 0 for r in rows.values()) else "chrf"
    best = max(rows, key=lambda k: rows[k][by])
    notes = list(_note(ours, sets))
    return {"model": name, **ours, "baselines": others, "by": by, "best": best, "notes": notes, "seconds": seconds}


def _note(result: Mapping[str, Any], sets: list[list[str]]) -> Iterator[str]:
    """Remarks on the texts that bear on the figures."""
    if result["empty"]:
        yield f"{result['empty']:,} of {result['sentences']:,} translations are empty."
    bare = sum(not any(r.strip() for r in rs) for rs in zip(*sets, strict=True))
    if bare:
        yield f"{bare:,} of {result['sentences']:,} sentences have an empty reference."
    if "tok:13a" not in result["signature"]:
        return
    words = sum(len(r.split()) for r in sets[0])
    letters = sum(len("".join(r.split())) for r in sets[0])
    if letters > 14 * words:
        yield (
            f"The references have {letters / max(words, 1):.0f} letters between spaces. If the script parts no words, "
            "BLEU needs tokenize='char' or 'zh'; chrF holds as it is."
        )
    elif not result["bleu"] and words < 4 * len(sets[0]):
        yield "The references have fewer than four words in the mean, too few for BLEU; chrF and the exact share hold."
    apart = sum(r.endswith(" .") for r in sets[0])
    if apart > len(sets[0]) // 2:
        yield "The references are tokenised (' .'), so that these scores do not compare with those of plain text."


def verdict(result: Mapping[str, Any]) -> str:
    """The winner in a sentence: the model, a baseline, or too close to call."""
    name, by = result["model"], result["by"]
    word, ours = {"bleu": "BLEU", "chrf": "chrF"}[by], result[by]
    if not result["baselines"]:
        interval = result["interval"] if by == "bleu" else None
        span = f" (95 %: {interval[0]:.1f} to {interval[1]:.1f})" if interval else ""
        return f"{name}: {word} {ours:.1f}{span}."
    rival = max(result["baselines"], key=lambda k: result["baselines"][k][by])
    other, theirs, share = NAMES[rival], result["baselines"][rival][by], result["baselines"][rival]["beaten"]
    figures = f"{name} {ours:.1f}, {other} {theirs:.1f} {word}"
    if f"{ours:.1f}" == f"{theirs:.1f}":
        return f"{name} and {other}: {theirs:.1f} {word}, a tie."
    if by == "bleu" and close(share):
        return f"{figures}: too close to call on {plural(result['sentences'], 'sentence')}."
    if result["best"] != name:
        return f"{figures}: the {other} wins on this data."
    often = f", on {100 * share:.0f} % of resampled test sets" if share is not None and by == "bleu" else ""
    return f"{figures}: {name} wins{often}."


def table(result: Mapping[str, Any], width: int | None = None) -> str:
    """A result as text, best first, with the verdict below; a narrow terminal leaves the last metrics out.

    width: by default the terminal's, at most 100.
    """
    width = min(100, shutil.get_terminal_size((100, 24)).columns) if width is None else width
    rows = {NAMES[kind]: r for kind, r in result["baselines"].items()} | {result["model"]: result}
    best = NAMES.get(result["best"], result["best"])
    order = sorted(rows, key=lambda k: (-rows[k][result["by"]], k == result["model"]))
    names = [name + (" ◂ best" if name == best and len(rows) > 1 else "") for name in order]
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "BLEU": lambda r: f"{r['bleu']:.1f}",
        "95 %": lambda r: (
            "–" if r["interval"] is None or result["by"] == "chrf" else "–".join(f"{x:.1f}" for x in r["interval"])
        ),
        "lower": lambda r: f"{r['bleu_lower']:.1f}",
        "chrF": lambda r: f"{r['chrf']:.1f}",
        "TER": lambda r: tables.number(r["ter"], 1),
        "exact": lambda r: f"{100 * r['exact']:.0f} %",
        "length": lambda r: f"{r['ratio']:.2f}",
        "seconds": lambda r: tables.number(r["seconds"], 1),
    }
    text = ""
    for left_out in ((), ("seconds",), ("length",), ("lower",), ("TER",), ("95 %",), ("exact",)):
        columns = {head: cell for head, cell in columns.items() if head not in left_out}
        grid = tables.grid("", *columns)
        for name, row in zip(names, order, strict=True):
            grid.add_row(name, *(cell(rows[row]) for cell in columns.values()))
        text = tables.draw(grid, 1000)
        text = "\n".join(map(str.rstrip, text.splitlines())) + "\n"
        if max(map(len, text.splitlines())) <= width:
            break
    head = f"{plural(result['sentences'], 'sentence')}; higher is better{', but for TER' * ('TER' in columns)}"
    notes = [verdict(result), *result["notes"], f"BLEU {result['signature']}"]
    head, *notes = ["\n".join(textwrap.wrap(line, width)) for line in (head, *notes)]
    return head + "\n" + text + "\n".join(notes)
