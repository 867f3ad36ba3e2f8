"""Layers: torch modules over the kernels."""

from __future__ import annotations

from gated.layers.attention import Attention
from gated.layers.classic import GRU, LSTM, RNN
from gated.layers.crf import CRF
from gated.layers.recurrent import Recurrent
from gated.layers.seq2seq import Decoder

__all__ = ["CRF", "GRU", "LSTM", "RNN", "Attention", "Decoder", "Recurrent"]
