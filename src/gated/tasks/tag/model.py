"""The network: words or numbers, a bidirectional LSTM, a conditional random field; and a label for the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gated import checkpoint, data
from gated._check import want
from gated.layers import LSTM
from gated.layers.crf import CRF
from gated.layers.dropout import dropout
from gated.tasks.tag import spans
from gated.tasks.tag.lexicon import PAD, UNK, Lexicon
from gated.tasks.tag.series import Channels

AFFIX, CHARACTER = 16, 24  # dimensions of the embeddings of an affix and of a letter


class Shape(NamedTuple):
    """The arguments of a network that its weights depend on; `words` is 0 where it reads numbers."""

    words: int
    embedding: int
    characters: int  # letters that are known, 0 without the LSTM over letters
    spelling: int  # units of each of its directions
    entries: int  # ids of affixes and further columns together
    tables: int  # how many there are of them a word
    channels: int  # numbers a step
    units: int
    layers: int
    tags: int
    labels: int  # of whole sequences, 0 for none
    crf: bool


class Noise(NamedTuple):
    """Rates of the noise of training."""

    dropout: float = 0.0  # before and after the LSTM, one mask per sequence
    recurrent: float = 0.0  # recurrent dropout of h
    words: float = 0.0  # α: a word of n occurrences becomes unknown with probability α / (α + n)


class Batch(NamedTuple):
    """B sequences, a column each; what a network does not read has no rows."""

    ids: Int64[Tensor, "T B 1+F"]  # of the word, and of its affixes and further columns
    spelling: Int64[Tensor, "C U"]  # letters of the U different words of the batch
    sizes: Int64[Tensor, " U"]  # their lengths
    which: Int64[Tensor, "T B"]  # of these words, which stands at a step
    values: Float[Tensor, "T B I"]
    lengths: Int64[Tensor, " B"]
    tags: Int64[Tensor, "T B"]
    labels: Int64[Tensor, " B"]


class Network(nn.Module):
    """Scores of tags at each step, and of labels of the whole

        x_t = [word, letters, affixes] or W v_t        h = biLSTM(x)        s_t = U h_t
        a = softmax_t(w · h_t)                         label = V Σ_t a_t h_t

    after Huang, Xu & Yu 2015 (arXiv:1508.01991) and, for the letters, Lample et al. 2016 (arXiv:1603.01360).
    """

    counts: Tensor

    def __init__(self, shape: Shape, noise: Noise = Noise()) -> None:  # noqa: B008
        super().__init__()
        self.shape, self.noise = shape, noise
        s, width = shape, 0
        if s.words:
            self.embed = nn.Embedding(s.words, s.embedding, padding_idx=PAD)
            nn.init.normal_(self.embed.weight, std=s.embedding**-0.5)
            width += s.embedding
            if s.characters:
                self.embed_characters = nn.Embedding(s.characters, CHARACTER, padding_idx=PAD)
                self.speller = LSTM(CHARACTER, s.spelling, bidirectional=True)
                width += 2 * s.spelling
            if s.tables:
                self.embed_affixes = nn.Embedding(s.entries, AFFIX, padding_idx=PAD)
                nn.init.normal_(self.embed_affixes.weight, std=AFFIX**-0.5)
                width += s.tables * AFFIX
        else:
            self.project = nn.Sequential(nn.Linear(s.channels, s.units), nn.Tanh())
            width = s.units
        more: Any = {"dropout": noise.dropout} if s.layers > 1 else {}
        self.encoder = LSTM(width, s.units, s.layers, bidirectional=True, recurrent_dropout=noise.recurrent, **more)
        self.tag = nn.Linear(2 * s.units, s.tags)
        self.crf = CRF(s.tags) if s.crf else None
        if s.labels:
            self.attend, self.label = nn.Linear(2 * s.units, 1), nn.Linear(2 * s.units, s.labels)
        self.register_buffer("counts", torch.ones(s.words), persistent=False)

    def prepare(self, scheme: str, tags: Sequence[str], lexicon: Lexicon | None) -> Network:
        """Set what is no weight: the rules of the tags, and the counts of the words."""
        if self.crf is not None:
            self.crf.restrict(*spans.rules(tags, scheme))
        counts = () if lexicon is None else lexicon.counts
        self.counts = torch.tensor(counts, dtype=torch.float32)
        return self

    def set_vectors(self, ids: Sequence[int], vectors: Float[Tensor, "N E"]) -> None:
        """Begin with these vectors of words, at the scale of the others."""
        with torch.no_grad():
            scale = self.shape.embedding**-0.5 / float(vectors.std().clamp(min=1e-9))
            self.embed.weight[torch.tensor(ids)] = scale * vectors

    def read(self, batch: Batch) -> Float[Tensor, "T B X"]:
        """The inputs of the LSTM."""
        s = self.shape
        if not s.words:
            return self.project(batch.values)
        words = batch.ids[..., 0]
        if self.training and self.noise.words:
            rate = self.noise.words / (self.noise.words + self.counts[words])
            words = words.masked_fill((torch.rand(words.shape, device=words.device) < rate) & (words > UNK), UNK)
        parts = [self.embed(words)]
        if s.characters:
            _, (h, _) = self.speller(self.embed_characters(batch.spelling), lengths=batch.sizes)
            parts.append(torch.cat([h[0], h[1]], -1)[batch.which])
        if s.tables:
            parts.append(self.embed_affixes(batch.ids[..., 1:]).flatten(2))
        return torch.cat(parts, -1)

    def _drop(self, x: Float[Tensor, "T B X"]) -> Float[Tensor, "T B X"]:
        """Dropout with one mask for all steps of a sequence (Gal & Ghahramani 2016)."""
        if not self.training or not self.noise.dropout:
            return x
        return x * dropout(torch.ones_like(x[:1]), self.noise.dropout)

    def forward(self, batch: Batch) -> tuple[Float[Tensor, "T B K"], Float[Tensor, "B L"] | None]:
        """Scores of tags, and of labels of the whole where there are labels."""
        y, _ = self.encoder(self._drop(self.read(batch)), lengths=batch.lengths)
        y = self._drop(y)
        labels = None
        if self.shape.labels:
            real = torch.arange(len(y), device=y.device)[:, None] < batch.lengths
            a = self.attend(y)[..., 0].float().masked_fill(~real, -1e9).softmax(0)
            labels = self.label((a.to(y.dtype)[..., None] * y).sum(0)).float()
        return self.tag(y).float(), labels


def loss(network: Network, batch: Batch) -> tuple[Tensor, int]:
    """Σ −log p of the tags and of the labels of a batch, and its number of sequences."""
    scores, labels = network(batch)
    if network.crf is not None:
        total = network.crf(scores, batch.tags, batch.lengths).sum()
    else:
        real = torch.arange(len(scores), device=scores.device)[:, None] < batch.lengths
        total = nn.functional.cross_entropy(scores[real], batch.tags[real], reduction="sum")
    if labels is not None:
        total = total + nn.functional.cross_entropy(labels, batch.labels, reduction="sum")
    return total, len(batch.lengths)


@dataclass(frozen=True)
class Tagger:
    """A network with what it reads and writes."""

    network: Network
    lexicon: Lexicon | None  # None where it reads numbers,
    channels: Channels | None  # which these are
    tags: tuple[str, ...]  # as inside the network
    labels: tuple[str, ...]  # of whole sequences
    scheme: str  # of the tags of the data
    inner: str  # of those inside the network: plain, bioes or iob2

    def collate(
        self, words: Sequence[Sequence[str]], features: Sequence[Sequence[Sequence[str]]] = (),
        tags: Sequence[Sequence[int]] = (), labels: Sequence[int] = (),
    ) -> Batch:  # fmt: skip
        """A batch of sentences."""
        lexicon = self.lexicon
        assert lexicon is not None  # noqa: S101
        T, B = max(map(len, words), default=0), len(words)
        unique: dict[str, int] = {}
        which = [[unique.setdefault(word, len(unique)) for word in row] for row in words]
        table = np.array([lexicon.encode(word) for word in unique] or [lexicon.encode("")])
        ids = np.zeros((T, B, self.network.shape.tables + 1), np.int64)
        for b, row in enumerate(which):
            ids[: len(row), b, : table.shape[1]] = table[row] if row else 0
            if lexicon.columns and row:
                ids[: len(row), b, table.shape[1] :] = [lexicon.encode_features(values) for values in features[b]]
        spelled = [lexicon.spell(word) for word in unique] if self.network.shape.characters else []
        return Batch(
            torch.from_numpy(ids), data.pad(spelled), torch.tensor([len(row) for row in spelled], dtype=torch.int64),
            data.pad(which), torch.zeros(0, B, 0), torch.tensor([len(row) for row in words], dtype=torch.int64),
            data.pad(tags), torch.tensor(labels, dtype=torch.int64),
        )  # fmt: skip

    def collate_values(self, values: Sequence[np.ndarray], tags: Sequence[Sequence[int]] = ()) -> Batch:
        """A batch of series, [T, C] each."""
        assert self.channels is not None  # noqa: S101
        values = [self.channels.scale(row) for row in values]
        lengths = [len(row) for row in values]
        x = torch.zeros(max(lengths, default=0), len(values), self.network.shape.channels)
        for b, row in enumerate(values):
            x[: len(row), b] = torch.from_numpy(row)
        none = torch.zeros(0, len(values), dtype=torch.int64)
        return Batch(none[..., None], none, none[:, 0], none, x, torch.tensor(lengths), data.pad(tags), none[:, 0])


def restore(
    words: dict[str, Any], scheme: str, tags: Sequence[str], labels: Sequence[str], lexicon: Lexicon | None,
    channels: Channels | None, state: dict[str, Tensor],
) -> Network:  # fmt: skip
    """The network of a run folder."""
    shape = Shape(**words)
    known = (0, 0, 0) if lexicon is None else (len(lexicon.counts), len(lexicon.characters) + 2, lexicon.entries)
    fits = (shape.words, shape.tags, shape.labels) == (known[0], len(tags), len(labels)) and shape.layers <= len(state)
    fits = fits and shape.characters in (0, known[1]) and (lexicon is None or shape.tables == len(lexicon.tables))
    fits = fits and (not shape.tables or shape.entries == known[2]) and type(shape.crf) is bool
    fits = (
        fits
        and shape.channels == (0 if channels is None else channels.size)
        and (lexicon is None) != (channels is None)
    )
    want(fits, "run folder", "a shape that its weights, tags and words fit", "another")
    return checkpoint.build(lambda: Network(shape), state).prepare(scheme, tags, lexicon)
