"""The classic layers: RNN, LSTM, GRU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gated.cells import gru, lstm, rnn
from gated.layers.recurrent import Recurrent


class RNN(Recurrent):
    """The simple recurrent network."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        layer_norm: bool = False,
        **more: Any,
    ) -> None:
        cell = rnn(nonlinearity, layer_norm)
        self.nonlinearity = nonlinearity
        super().__init__(
            cell,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
            **more,
        )


class LSTM(Recurrent):
    """The long short-term memory."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        forget_gate: bool = True,
        peephole: bool = False,
        coupled: bool = False,
        layer_norm: bool = False,
        **more: Any,
    ) -> None:
        cell = lstm(forget_gate, peephole, coupled, proj_size > 0, layer_norm)
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device, dtype, **more,
        )  # fmt: skip


class GRU(Recurrent):
    """The gated recurrent unit."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        reset: str = "after",
        layer_norm: bool = False,
        **more: Any,
    ) -> None:
        cell = gru(reset, layer_norm)
        super().__init__(
            cell,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
            **more,
        )
