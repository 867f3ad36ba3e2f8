"""Text to tokens and back: byte pairs, words or characters, fitted to the training text and stored as JSON.

A text is cut before every space, around every mark of punctuation, every digit and every sentinel, and between letters
and the rest:  `"A dog's 12 bones."`  →  ` "` `A` ` dog` `'` `s` ` 1` `2` ` bones` `.` `"`. The space in front of a word
belongs to its token, so the tokens joined are the text again, with its spaces as they were; a space is put before the
first word and taken away in `decode`. Byte pairs are merged inside such cuts only: no quote is ever part of a word.

    bpe    pieces of words: the pair of neighbours that is most frequent in the training text becomes one piece, again
           and again (Sennrich, Haddow and Birch 2016, section 3.2)
    word   whole cuts, the most frequent ones
    char   single characters

Text that was not fitted on is `<unk>`: in bpe each run of unknown letters, in word each unknown word, in char each
character. The 256 bytes in its stead would be tokens that the training text never shows.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from gated._check import one_of, optional, want, within
from gated.unicode import squeeze

__all__ = ["BEGIN", "END", "PAD", "SPECIAL", "UNK", "Tokens", "fit", "restore"]

PAD, UNK, BEGIN, END = range(4)
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
KINDS = ("bpe", "word", "char")
LIMIT = 1 << 20  # tokens of one vocabulary
LONGEST = 64  # characters of one token
ROWS = 10_000  # texts encoded at once, which bounds the memory of the work
POOL = 16  # drawn cuts of one word in one call of `encode` with dropout; later occurrences choose among them
SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Tokens:
    """A vocabulary, and how text is cut into it. `fit` makes one, `restore` brings back a saved one.

    `pieces[id]` is the token's text; the first are PAD 0, UNK 1, BEGIN 2 and END 3, then come the sentinels, characters
    that always are a token of their own. `merges` are the pairs of bpe, first merged first.
    """

    kind: str
    lower: bool
    sentinels: tuple[str, ...]
    pieces: tuple[str, ...]
    merges: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, lines: Sequence[str], dropout: float = 0.0, seed: int = 0) -> list[list[int]]:
        """The ids of each text, without BEGIN and END; an empty text has none.

        Text becomes NFC with single spaces first, and lower case where the tokens were fitted so.

        dropout: the probability to skip a merge, in training only and with bpe only, so that the model meets a word in
        several cuts (BPE-dropout; Provilkov, Emelianenko and Voita 2020, section 3). The draws follow from `seed` and
        `lines` alone.
        """
        within("dropout", dropout, 0, 1)
        want(dropout == 0 or self.kind == "bpe", "dropout", "0 with tokens that are never merged", dropout)
        want(not isinstance(lines, str), "encode", "a list of texts", "one text")
        texts = [normal(line, self.lower) for line in lines]
        if dropout:
            return self._draw(texts, dropout, random.Random(seed))
        ids: list[list[int]] = []
        for k in range(0, len(texts), ROWS):
            part = [f" {text}" if text else "" for text in texts[k : k + ROWS]]
            ids += [row.ids for row in self._tokenizer.encode_batch_fast(part, add_special_tokens=False)]
        return ids

    def cuts(self, text: str) -> list[str]:
        """The words and marks of a text as it is cut, each without the space before it; in word each is a token."""
        text = normal(text, self.lower)
        cuts = self._tokenizer.pre_tokenizer.pre_tokenize_str(f" {text}") if text else ()
        return [cut.strip(" ") for cut, _ in cuts]

    def decode(self, rows: Iterable[Sequence[int]], unknown: str = SPECIAL[UNK]) -> list[str]:
        """The texts of ids: up to END, without PAD and BEGIN, `unknown` for UNK.

        decode(encode(x)) == x where x is NFC with single spaces, not lowered, and all of it was seen.
        """
        pieces = list(self.pieces)
        pieces[PAD] = pieces[BEGIN] = ""
        pieces[UNK] = f" {unknown}" if self.kind == "word" else unknown
        texts = []
        for row in rows:
            ids = list(row)
            ids = ids[: ids.index(END)] if END in ids else ids
            texts.append(squeeze("".join(pieces[self._id(i)] for i in ids)))
        return texts

    def piece(self, id: int) -> str:
        """A token's text; a leading space says that a word starts here."""
        return self.pieces[self._id(id)]

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words and marks of a sequence, each with the positions of its tokens, for alignments.

        A word goes on over tokens that begin with a letter after a letter, or a digit after a digit; an unknown token
        without a space before it belongs to the word before it. PAD, BEGIN and END belong to none.
        """
        words: list[tuple[str, list[int]]] = []
        last = ""  # what the last token ends on: letter, digit, a lone space, <unk>, or something else
        for position, id in enumerate(ids):
            piece = self.piece(id)
            if id in (PAD, BEGIN, END):
                last = ""
                continue
            unknown = id == UNK
            apart = piece.startswith(" ") or (unknown and self.kind == "word")
            starts, ends = ("<unk>", "<unk>") if unknown else (_class(piece[:1]), _class(piece[-1:]))
            joins = starts in ("letter", "digit") and starts == last
            joins = joins or (last == "space") or (starts == "<unk>" and last in ("letter", "<unk>"))
            joins = joins or (last == "<unk>" and starts == "letter")
            if words and joins and not apart:
                word, positions = words[-1]
                words[-1] = (word + piece, [*positions, position])
            else:
                words.append((piece.removeprefix(" "), [position]))
            last = ends
        return words

    def save(self) -> dict[str, Any]:
        """All of it as JSON can hold it, for `restore`."""
        return json.loads(json.dumps(asdict(self)))

    def _id(self, id: int) -> int:
        want(0 <= id < len(self.pieces), "token", f"an id from 0 to {len(self.pieces) - 1}", id)
        return id

    @cached_property
    def characters(self) -> frozenset[str]:
        """All that its tokens are made of."""
        return frozenset("".join(self.pieces[len(SPECIAL) :]))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: id for id, piece in enumerate(self.pieces)}

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizers = optional("tokenizers", "translate")
        merges = [(self.pieces[i], self.pieces[j]) for i, j in self.merges]
        model = (
            tokenizers.models.WordLevel(self._ids, unk_token=SPECIAL[UNK])
            if self.kind == "word"
            else tokenizers.models.BPE(self._ids, merges, unk_token=SPECIAL[UNK], fuse_unk=self.kind == "bpe")
        )
        tokenizer = tokenizers.Tokenizer(model)
        tokenizer.pre_tokenizer = _cutter(self.sentinels)
        return tokenizer

    @cached_property
    def _ranks(self) -> dict[tuple[int, int], tuple[int, int]]:
        """A pair's rank and what it becomes."""
        return {(a, b): (rank, self._ids[self.pieces[a] + self.pieces[b]]) for rank, (a, b) in enumerate(self.merges)}

    def _draw(self, texts: list[str], dropout: float, rng: random.Random) -> list[list[int]]:
        """Cuts with merges left out. The library draws from a generator that no seed reaches, so it is done here."""
        cutter, pools = self._tokenizer.pre_tokenizer, {}
        rows = []
        for text in texts:
            ids: list[int] = []
            for cut, _ in cutter.pre_tokenize_str(f" {text}") if text else ():
                pool = pools.setdefault(cut, [])
                if len(pool) < POOL:
                    pool.append(self._merge(cut, dropout, rng))
                    ids += pool[-1]
                else:
                    ids += rng.choice(pool)
            rows.append(ids)
        return rows

    def _merge(self, cut: str, dropout: float, rng: random.Random) -> list[int]:
        """Merge the pair of the lowest rank among those not dropped, until none is left; each step draws anew."""
        ids = []
        for character in cut:
            id = self._ids.get(character, UNK)
            if id != UNK or ids[-1:] != [UNK]:
                ids.append(id)
        parts = [ids[k : k + LONGEST] for k in range(0, len(ids), LONGEST)]  # the work grows with the square
        for part in parts:
            while True:
                pairs = itertools.pairwise(part)
                known = [(*self._ranks[pair], k) for k, pair in enumerate(pairs) if pair in self._ranks]
                allowed = [merge for merge in known if rng.random() >= dropout]
                if not allowed:
                    break
                _, token, k = min(allowed, key=lambda merge: (merge[0], merge[2]))
                part[k : k + 2] = [token]
        return [id for part in parts for id in part]


def normal(text: str, lower: bool = False) -> str:
    """Text as `encode` reads it: NFC, single spaces, in lower case if asked."""
    return squeeze(SURROGATES.sub("\ufffd", text.lower() if lower else text))


def _class(character: str) -> str:
    kinds = {"L": "letter", "M": "letter", "N": "digit"}
    return "space" if character == " " else kinds.get(unicodedata.category(character)[0], "mark")


def _cutter(sentinels: Sequence[str]) -> Any:
    tokenizers = optional("tokenizers", "translate")
    own = "".join(f"\\x{{{ord(s):X}}}" for s in sentinels)
    alone = f"[{own}]|" if own else ""
    pattern = rf"{alone} ?[\p{{L}}\p{{M}}]+| ?\p{{N}}| ?[^\p{{L}}\p{{M}}\p{{N}} {own}]| "
    return tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")


# ---- fitting


def fit(
    lines: Iterable[str], kind: str = "bpe", size: int = 8000, lower: bool = False, sentinels: Sequence[str] = ()
) -> Tokens:
    """Fit a vocabulary of at most `size` tokens, the four special ones and the sentinels among them.

    lines: the training text, of one language or of both. The same text gives the same tokens, in whatever order the
    lines come, on every machine and any number of threads.
    kind: "bpe", "word" or "char". In bpe half the vocabulary at most goes to single characters (the most frequent), and
    a pair met once is not merged, so a small text gives fewer tokens than asked for.
    lower: all text in lower case.
    sentinels: characters, such as `po.SENTINELS`, that stay tokens of their own wherever they stand.

    Errors: no text; a size that cannot hold the special tokens; sentinels that are not single characters.
    """
    one_of("tokens", kind, KINDS)
    reserved = [*SPECIAL, *sentinels]
    fits = all(len(s) == 1 and _class(s) == "mark" for s in sentinels) and len(set(sentinels)) == len(sentinels)
    want(fits, "sentinels", "different single characters, no letters, digits or spaces", list(sentinels)[:8])
    within("size", size, len(reserved) + 2, LIMIT)
    texts = [f" {text}" for line in lines if (text := normal(line, lower))]
    want(len(texts) > 0, "tokens", "text to fit on", "none")
    counts = Counter(character for text in texts for character in text)
    counts[" "] += len(texts) * LONGEST  # never left out
    for sentinel in sentinels:
        counts.pop(sentinel, None)
    room = size - len(reserved)
    merges: list[tuple[str, str]] = []
    if kind == "char":
        pieces = _frequent(counts, room)
    elif kind == "word":
        cuts = _cuts(texts, sentinels)
        cuts[" "] = counts[" "]
        pieces = _frequent(cuts, room)
    else:
        pieces, merges = _pairs(texts, _frequent(counts, max(room // 2, 2)), room, sentinels)
    ids = {piece: id for id, piece in enumerate([*reserved, *pieces])}
    return Tokens(kind, lower, tuple(sentinels), tuple(ids), tuple((ids[a], ids[b]) for a, b in merges))


def _frequent(counts: Counter[str], most: int) -> list[str]:
    return sorted(counts, key=lambda piece: (-counts[piece], piece))[:most]


def _cuts(texts: list[str], sentinels: Sequence[str]) -> Counter[str]:
    cutter = _cutter(sentinels)
    cuts = Counter(cut for text in texts for cut, _ in cutter.pre_tokenize_str(text))
    return Counter({cut: n for cut, n in cuts.items() if len(cut) <= LONGEST and cut not in sentinels})


def _pairs(
    texts: list[str], alphabet: list[str], size: int, sentinels: Sequence[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    tokenizers = optional("tokenizers", "translate")
    gap = "\ufdef"  # between what is left where rare characters and sentinels are taken out
    rare = {ord(c): gap for c in set().union(*texts) - set(alphabet)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = tokenizers.pre_tokenizers.Split(gap, "removed")
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, _cutter(())])
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, show_progress=False, initial_alphabet=alphabet, max_token_length=LONGEST
    )
    tokenizer.train_from_iterator((text.translate(rare) for text in texts), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), [(a, b) for a, b in model["merges"]]


def restore(saved: Mapping[str, Any]) -> Tokens:
    """Tokens from what `save` gave; it may come from a stranger, and is checked before anything is built of it.

    Errors: another shape; too many or too long tokens; a token twice; merges of what is no token.
    """
    where = "tokens"
    kinds = {"kind": str, "lower": bool, "sentinels": list, "pieces": list, "merges": list}
    for name, kind in kinds.items():
        got = type(saved.get(name)).__name__
        want(isinstance(saved.get(name), kind), f"{where}, {name}", f"a {kind.__name__}", got)
    one_of(where, saved["kind"], KINDS)
    pieces, sentinels, merges = saved["pieces"], saved["sentinels"], saved["merges"]
    want(len(pieces) <= LIMIT and len(merges) <= LIMIT, where, f"at most {LIMIT} tokens", max(len(pieces), len(merges)))
    for id, piece in enumerate(pieces):
        fits = isinstance(piece, str) and 1 <= len(piece) <= LONGEST and not SURROGATES.search(piece)
        want(fits, f"{where}, {id}", f"text of 1 to {LONGEST} characters", repr(piece)[:40])
    reserved = [*SPECIAL, *sentinels]
    want(pieces[: len(reserved)] == reserved, where, f"{', '.join(SPECIAL)} and the sentinels first", pieces[:8])
    want(len(set(pieces)) == len(pieces), where, "every token once", "one of them twice")
    marks = all(len(s) == 1 and _class(s) == "mark" for s in sentinels)
    want(marks, f"{where}, sentinels", "single characters, no letters, digits or spaces", sentinels[:8])
    known = set(pieces)
    for pair in merges:
        fits = isinstance(pair, list) and len(pair) == 2
        fits = fits and all(type(i) is int and len(reserved) <= i < len(pieces) for i in pair)
        fits = fits and pieces[pair[0]] + pieces[pair[1]] in known
        want(fits, f"{where}, merges", "pairs of tokens that make a token", repr(pair)[:40])
    want(saved["kind"] == "bpe" or not merges, f"{where}, merges", "none but in bpe", len(merges))
    return Tokens(saved["kind"], saved["lower"], tuple(sentinels), tuple(pieces), tuple((a, b) for a, b in merges))
