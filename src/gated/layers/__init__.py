"""Layers: torch modules over the kernels."""

from __future__ import annotations

from gated.layers.classic import GRU, LSTM, RNN
from gated.layers.recurrent import Recurrent

__all__ = ["GRU", "LSTM", "RNN", "Recurrent"]
