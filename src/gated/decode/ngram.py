"""N-gram language models with back-off: load and save ARPA files, estimate from text. No compiler, no other tool.

    log p(w | h) = log p listed for h w, if it is;  else  back(h) + log p(w | h without its first word)
    back(h)      = listed for h, if it is;  else 0

h is at most the order - 1 words before w, <s> before the first. Logarithms are natural; ARPA's are to base 10, in
the file alone.

Katz 1987 (back-off); the format: Stolcke 2002, ngram-format(5).
"""

from __future__ import annotations

import functools
import gzip
import math
import re
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gated._check import refuse, want, within

__all__ = ["NGram", "estimate", "kneser_ney", "load", "save"]

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
SPACE = "<space>"  # a space, which an ARPA file cannot hold as a word
MAX_ORDER = 10
PATIENCE = 2  # orders tried beyond the best
MAX_LINE = 1 << 16  # bytes
MAX_COUNT = 1 << 30  # n-grams of one order
LOG10_ZERO = -99.0  # ARPA's log10 of 0
LN10 = math.log(10)
LOG_UNKNOWN = -16.0  # log p of <unk> in a model without it

Context = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class NGram:
    """A back-off model of order at most 10.

    words  the vocabulary, with <s>, </s> and <unk>
    keys   for n = 1 … order the n-grams, sorted: (place of the first n - 1 words among the (n-1)-grams) · W + last word
    log_p  for each n, log p of the last word after the others
    back   for each n, the back-off weight's logarithm
    """

    words: list[str]
    keys: list[np.ndarray]
    log_p: list[np.ndarray]
    back: list[np.ndarray]

    @property
    def order(self) -> int:
        return len(self.keys)

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words)}

    @functools.cached_property
    def _views(self) -> list[memoryview]:
        return [keys.data for keys in self.keys]  # bisect compares plain numbers, not arrays

    def find(self, ids: Sequence[int]) -> int:
        """The index of this n-gram among the n-grams of its order, -1 if it is not listed."""
        at = ids[0]
        for view, word in zip(self._views[1 : len(ids)], ids[1:], strict=True):
            key = at * len(self.words) + word
            at = bisect_left(view, key)
            if at == len(view) or view[at] != key:
                return -1
        return at

    def extend(self, context: Context, word: int) -> Context:
        """The next word's context: the longest suffix of context and word that is listed, shorter than the order."""
        words = (*context, word)
        words = words[max(0, len(words) - self.order + 1) :]
        while words and self.find(words) < 0:
            words = words[1:]
        return words

    def conditional(self, context: Context, word: int) -> float:
        """log p(word | context), the context shorter than the order."""
        total = 0.0
        for start in range(len(context)):
            n, at = len(context) - start, self.find(context[start:])
            if at >= 0:
                whole = self.find((*context[start:], word))
                if whole >= 0:
                    return total + float(self.log_p[n][whole])
                total += float(self.back[n - 1][at])
        return total + float(self.log_p[0][word])

    def log_probs(self, ids: np.ndarray) -> np.ndarray:
        """log p of every word of a stream, (N,), each after the order - 1 words before it, the first after fewer."""
        at, N, W = np.asarray(ids, np.int64), len(ids), len(self.words)
        first, total = at, self.log_p[0][at]
        for n in range(2, min(self.order, N) + 1):
            context, keys = at[:-1], self.keys[n - 1]  # the n - 1 words from each place on, but the last such place
            key = context * W + first[n - 1 :]
            whole = np.searchsorted(keys, key)
            listed = (context >= 0) & (keys[np.minimum(whole, len(keys) - 1)] == key) if len(keys) else context < -1
            longer = self.log_p[n - 1][np.where(listed, whole, 0)] if len(keys) else 0.0
            shorter = total[n - 1 :] + np.where(context >= 0, self.back[n - 2][context], 0.0)
            total[n - 1 :] = np.where(listed, longer, shorter)
            at = np.where(listed, whole, -1)
        return total

    def row(self, context: Context) -> np.ndarray:
        """log p(word | context) of every word, (W,), the context shorter than the order."""
        if not context:
            return self.log_p[0]
        row, n, at = self.row(context[1:]), len(context), self.find(context)
        if at < 0:
            return row
        row = row + self.back[n - 1][at]
        W = len(self.words)
        low, high = (bisect_left(self._views[n], key) for key in (at * W, (at + 1) * W))
        row[self.keys[n][low:high] - at * W] = self.log_p[n][low:high]
        return row

    def log_prob(self, sentence: Sequence[str]) -> float:
        """log p of a sentence's words and its end: a list of words, or a string of characters."""
        total, context = 0.0, self.extend((), self.ids[BEGIN])
        for word in (*map(_name, sentence), END):
            number = self.ids.get(word, self.ids[UNKNOWN])
            total += self.conditional(context, number)
            context = self.extend(context, number)
        return total


def estimate(sentences: Iterable[Sequence[str]], order: int) -> NGram:
    """An interpolated model by Witten and Bell:

        p(w | h) = (c(h w) + T(h) p(w | h')) / (c(h) + T(h))        p(w | nothing's h') = 1 / number of words

    c counts, T(h) is the number of distinct words after h, h' is h without its first word. As back-off:
    back(h) = T(h) / (c(h) + T(h)). The vocabulary is that of the sentences, </s> and <unk>; the probabilities after any
    h sum to 1.

    sentences  lists of words; or strings, for a model of characters, whose space is called <space>

    Errors: no sentence; a word that is empty, has white space in it, or is <s> or </s>.

    Witten and Bell 1991, method C.
    """
    within("estimate order", order, 1, MAX_ORDER)
    ids = {UNKNOWN: 0, BEGIN: 1, END: 2}
    flat, left = array("q"), array("q")  # words, and how many words are left in the sentence, this one included
    for s, sentence in enumerate(sentences, 1):
        names = [_name(word) for word in sentence]
        for word in names:
            fits = word.split() == [word] and word not in (BEGIN, END)
            want(fits, f"estimate, sentence {s}", f"words without white space, not {BEGIN} or {END}", repr(word))
        flat.extend([1, *(ids.setdefault(word, len(ids)) for word in names), 2])
        left.extend(range(len(names) + 2, 0, -1))
    want(len(flat) > 0, "estimate", "at least one sentence", "none")

    words, remain = np.array(flat, dtype=np.int64), np.array(left, dtype=np.int64)
    W = len(ids)
    counts = np.bincount(words, minlength=W).astype(np.float64)
    counts[1] = 0  # <s> is never predicted
    types = np.count_nonzero(counts)
    p = [(counts + types / (W - 1)) / (counts.sum() + types)]
    p[0][1] = 10.0**LOG10_ZERO
    keys, back, at = [np.arange(W)], [], words
    for n in range(2, order + 1):
        starts = np.flatnonzero(remain >= n)
        grams, first, which, count = np.unique(
            at[starts] * W + words[starts + n - 1], return_index=True, return_inverse=True, return_counts=True
        )
        h, size = grams // W, len(keys[-1])
        total, types = np.bincount(h, count, size), np.bincount(h, minlength=size)
        lower = p[-1][at[starts[first] + 1]]
        p.append((count + types[h] * lower) / (total + types)[h])
        back.append(np.log(np.where(types > 0, types / np.maximum(total + types, 1), 1.0)))
        keys.append(grams)
        at = np.full(len(words), -1)
        at[starts] = which
    back.append(np.zeros(len(keys[-1])))
    return NGram(list(ids), keys, [np.log(x) for x in p], back)


def kneser_ney(ids: np.ndarray, size: int, order: int, valid: np.ndarray | None = None) -> NGram:
    """An interpolated model of one stream of word ids 0 … size - 1, by modified Kneser-Ney smoothing:

        p(w | h) = (c(h w) - D(c(h w))) / c(h) + back(h) p(w | h')        back(h) = Σ_w D(c(h w)) / c(h)

    c counts at the highest order; below it c(g) is the number of distinct words before g. p(w | nothing's h') = 1 /
    size. D(1), D(2), D(3 and more) follow from the numbers of n-grams that occur once to four times.

    order: the highest; of these the best on the stream `valid`, if it is given. The words are the ids as text.

    Chen and Goodman 1999, section 3; Kneser and Ney 1995.
    """
    within("kneser_ney order", order, 1, MAX_ORDER)
    want(len(ids) > 0, "kneser_ney", "at least one word", "none")
    words = np.asarray(ids, np.int64)
    at, keys, counts = words, np.arange(size), np.bincount(words, minlength=size)
    lower, suffix = np.full(size, 1 / size), np.zeros(size, np.int64)  # p of the suffixes; which suffix an n-gram has
    lower_keys: list[np.ndarray] = []
    lower_p: list[np.ndarray] = []
    lower_back: list[np.ndarray] = []
    names = [str(k) for k in range(size)]
    best, best_valid = NGram(names, [], [], []), -math.inf
    contexts, h = 1, np.zeros(size, np.int64)
    for n in range(1, order + 1):
        p, back = _discount(counts, h, contexts, lower if n == 1 else lower[suffix])
        model = NGram(
            names, [*lower_keys, keys],
            [*lower_p, np.log(p)], [*lower_back, np.zeros(len(keys))],
        )  # fmt: skip
        if n > 1:
            model.back[n - 2] = np.log(back)
        score = -math.inf if valid is None else float(model.log_probs(valid).mean())
        if valid is None or score > best_valid:
            best, best_valid = model, score
        if n == order or len(words) <= n or n >= best.order + PATIENCE:
            break
        above, first, which, above_counts = np.unique(
            at[:-1] * size + words[n:], return_index=True, return_inverse=True, return_counts=True
        )
        next_suffix = at[first + 1]
        p, back = _discount(
            np.bincount(next_suffix, minlength=len(keys)), h, contexts, lower if n == 1 else lower[suffix]
        )
        lower_keys, lower_p = [*lower_keys, keys], [*lower_p, np.log(p)]
        if n > 1:
            lower_back[n - 2] = np.log(back)
        lower_back = [*lower_back, np.zeros(len(keys))]
        contexts, h = len(keys), above // size
        at, keys, counts, lower, suffix = which, above, above_counts, p, next_suffix
    return best


def _discount(counts: np.ndarray, h: np.ndarray, contexts: int, lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p of each n-gram with these counts, and the weight of what is below of each context; h is an n-gram's."""
    n1, n2, n3, n4 = (max(int(np.count_nonzero(counts == k)), 0) for k in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2) if n1 and n2 else 0.75
    rates = [k - (k + 1) * y * above / of if above and of else 0.75
             for k, of, above in ((1, n1, n2), (2, n2, n3), (3, n3, n4))]  # fmt: skip
    table = np.array([0.0, *(min(max(rate, 0.05), k - 0.05) for k, rate in enumerate(rates, 1))])
    taken = table[np.minimum(counts, 3)]
    total = np.bincount(h, counts, contexts)
    safe = np.maximum(total, 1)
    back = np.where(total > 0, np.bincount(h, taken, contexts) / safe, 1.0)
    return (counts - taken) / safe[h] + back[h] * lower, back


def save(model: NGram, path: str | Path) -> None:
    """Write an ARPA file, with gzip if the name ends in .gz."""
    opener = gzip.open if str(path).endswith(".gz") else open
    ids = np.empty((1, 0), dtype=np.int64)
    with opener(path, "wt", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n" + "".join(f"ngram {n}={len(keys)}\n" for n, keys in enumerate(model.keys, 1)))
        for n, (keys, log_p, back) in enumerate(zip(model.keys, model.log_p, model.back, strict=True), 1):
            ids = np.concatenate([ids[keys // len(model.words)], keys[:, None] % len(model.words)], axis=1)
            file.write(f"\n\\{n}-grams:\n")
            for numbers, p, b in zip(ids.tolist(), (log_p / LN10).tolist(), (back / LN10).tolist(), strict=True):
                end = "" if n == model.order else f"\t{b:.9g}"
                file.write(f"{p:.9g}\t{' '.join(model.words[i] for i in numbers)}{end}\n")
        file.write("\n\\end\\\n")


def load(path: str | Path) -> NGram:
    """Read an ARPA file, plain or gzip. Words are as in the file, case and punctuation included.

    log p of words outside the vocabulary is that of <unk>, or -16 if the file has none.

    Errors, with file and line: no such file, damaged gzip, a line over 64 KB; no \\data\\, wrong counts, an order
    above 10, no \\end\\; a malformed number, a probability above 1; a duplicate word or n-gram, a word that is not a
    1-gram, an n-gram whose first n - 1 words are not listed; no <s> or </s>; not UTF-8.
    """
    path = Path(path)
    lines = _lines(path)

    def expect(expected: str, todo: str = "Do the counts under \\data\\ fit?") -> int:
        """The number of the next line that is not empty, which must be this one."""
        number, line = next(((number, line) for number, line in lines if line), (0, b""))
        want(line == expected.encode(), _at(path, number), expected, _show(line), todo)
        return number

    expect("\\data\\", "Is it an ARPA file?")
    counts: list[int] = []
    for number, line in lines:
        if not line and counts:
            break
        if line:
            here, n = f"{path}, line {number}", len(counts) + 1
            match = re.fullmatch(rb"ngram +(\d{1,2}) *= *(\d{1,10})", line)
            if match is None or int(match[1]) != n:
                refuse(here, f"ngram {n}=COUNT", _show(line))
            counts.append(int(match[2]))
            within(f"{here}, order", n, 1, MAX_ORDER)
            within(f"{here}, count", counts[-1], 1 if n == 1 else 0, MAX_COUNT)
    want(len(counts) > 0, str(path), "counts after \\data\\", "none")

    ids: dict[bytes, int] = {}
    words: list[str] = []
    keys, log_p, back = [], [], []
    for n, count in enumerate(counts, 1):
        first = expect(f"\\{n}-grams:") + 1
        flat, logs, weights = _read_section(path, lines, n, count, n == len(counts), ids, words)
        if n == 1:
            for special in (BEGIN, END):
                want(special.encode() in ids, str(path), f"{special} among the 1-grams", "none")
            if b"<UNK>" in ids and UNKNOWN not in words:
                words[ids[b"<UNK>"]] = UNKNOWN
            elif UNKNOWN not in words:
                words.append(UNKNOWN)
                logs, weights = np.append(logs, LOG_UNKNOWN / LN10), np.append(weights, 0.0)
            flat = np.arange(len(words))
        key, order = _sort(path, first, flat.reshape(-1, n), keys, len(words))
        keys.append(key)
        log_p.append(logs[order] * LN10)
        back.append(weights[order] * LN10)
    expect("\\end\\")
    for number, line in lines:
        want(not line, f"{path}, line {number}", "nothing after \\end\\", _show(line))
    return NGram(words, keys, log_p, back)


# ---- the file


def _read_section(
    path: Path, lines: Iterator[tuple[int, bytes]], n: int, count: int, last: bool, ids: dict[bytes, int], words: list
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The n-grams of one order: ids, log10 p, log10 of the back-off weights. Memory grows with the lines read."""
    flat, logs, weights = array("q"), array("d"), array("d")
    for k in range(count):
        number, line = next(lines, (0, b""))
        parts, here = line.split(), _at(path, number)
        if len(parts) not in (n + 1, n + 2) or line.startswith(b"\\"):
            todo = f"\\data\\ says {count} of them, this is number {k + 1}."
            expected = f"log10 p, {n} {'word' if n == 1 else 'words'} and maybe a back-off weight"
            refuse(here, expected, _show(line), todo)
        try:
            p, b = float(parts[0]), float(parts[n + 1]) if len(parts) == n + 2 else 0.0
            if n == 1:
                words.append(parts[1].decode())
            else:
                flat.extend([ids[word] for word in parts[1 : n + 1]])
        except UnicodeDecodeError:
            refuse(here, "text in UTF-8", _show(line), "Save the file in UTF-8.")
        except ValueError:
            refuse(here, "a number first, and last if anything follows the words", _show(line))
        except KeyError as error:
            refuse(here, "words that are 1-grams", _show(error.args[0]))
        if n == 1:
            want(ids.setdefault(parts[1], k) == k, here, "each word once", f"{_show(parts[1])} again")
        fits = -math.inf < p <= 0 and abs(b) < math.inf and not (last and b)
        want(fits, here, "log10 p of 0 at most, and no weight of the highest order", _show(line))
        logs.append(p)
        weights.append(b)
    return np.array(flat, dtype=np.int64), np.array(logs), np.array(weights)


def _sort(path: Path, first: int, ids: np.ndarray, keys: list[np.ndarray], W: int) -> tuple[np.ndarray, np.ndarray]:
    """The sorted keys of the n-grams ids (N, n), and the order that sorts them; `first` is the first one's line."""
    at = ids[:, 0]
    for n, column in enumerate(ids.T[1:-1], 2):
        key, listed = at * W + column, keys[n - 1]
        at = np.searchsorted(listed, key)
        lost = np.flatnonzero(listed[np.minimum(at, len(listed) - 1)] != key) if len(listed) else np.arange(len(key))
        if len(lost):
            where, expected = f"{path}, line {first + lost[0]}", f"the first {n} words among the {n}-grams"
            refuse(where, expected, "an n-gram without its context", "Was the model pruned by something else?")
    key = at * W + ids[:, -1] if ids.shape[1] > 1 else at
    order = np.argsort(key, kind="stable")
    key = key[order]
    again = np.flatnonzero(key[1:] == key[:-1])
    if len(again):
        refuse(f"{path}, line {first + order[again[0] + 1]}", "each n-gram once", "one that came before")
    return key, order


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines without surrounding white space, each with its number."""
    want(path.exists(), str(path), "a file", "no such file")
    want(not path.is_dir(), str(path), "a file", "a folder")
    with path.open("rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
        number = 0
        try:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                where, expected = _at(path, number), f"at most {MAX_LINE} bytes"
                want(len(line) <= MAX_LINE, where, expected, "more", "Is it an ARPA file?")
                yield number, line.strip()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            refuse(str(path), "a whole gzip file", str(error).rstrip("."), "It was cut short or damaged.")


def _at(path: Path, number: int) -> str:
    return f"{path}, line {number}" if number else f"{path}, its end"


def _show(line: bytes) -> str:
    return repr(line[:60].decode(errors="replace")) if line else "nothing"


def _name(word: str) -> str:
    return SPACE if word == " " else word
