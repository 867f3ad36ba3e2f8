"""The classic layers: RNN, LSTM, GRU. `Recurrent` has what they share: shapes, arguments, results."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any, Unpack

import torch

from gated._check import InputTypeError, flags, refuse, suggest
from gated.cells import gru, lstm, rnn
from gated.layers import quantize
from gated.layers.recurrent import Options, Recurrent


class RNN(Recurrent):
    """The simple recurrent network (Elman 1990), torch.nn.RNN and its variants.

        h_t = tanh(W x_t + b + R h_{t-1} + b')                       relu in place of tanh: nonlinearity="relu"
        h_t = tanh(LN_h(W x_t + b + R h_{t-1} + b'))                 layer_norm=True (Ba et al. 2016, §3.1)

    Shapes, results, and the arguments in `more`: `Recurrent`. trace=True gives h.

    weight_ih_l0 (H, I), weight_hh_l0 (H, H), bias_ih_l0, bias_hh_l0 (H); layer_norm adds gain_h_l0, shift_h_l0 (H).
    """

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
        **more: Unpack[Options],
    ) -> None:
        _check_arguments(RNN, more, layer_norm=layer_norm)
        stack = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(rnn(nonlinearity, layer_norm), *stack, **more)
        self.nonlinearity, self.layer_norm = nonlinearity, layer_norm


class LSTM(Recurrent):
    """The long short-term memory (Hochreiter & Schmidhuber 1997), torch.nn.LSTM and its variants.

        i_t = σ(W_i x_t + R_i h_{t-1} + b_i)                         input gate
        f_t = σ(W_f x_t + R_f h_{t-1} + b_f)                         forget gate (Gers et al. 2000)
        g_t = tanh(W_g x_t + R_g h_{t-1} + b_g)                      candidate
        o_t = σ(W_o x_t + R_o h_{t-1} + b_o)                         output gate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t                              cell state
        h_t = o_t ⊙ tanh(c_t)                                        output

    Every b stands for the sum of two, b_ih and b_hh, as in torch. The variants go together in any number:

        forget_gate=False   c_t = c_{t-1} + i_t ⊙ g_t                (Hochreiter & Schmidhuber 1997, with tanh for
                                                                     both of its squashing functions)
        coupled=True        f_t = 1 - i_t, no W_f, R_f, b_f          (CIFG: Greff et al. 2017)
        peephole=True       i_t = σ(… + p_i ⊙ c_{t-1}), f_t = σ(… + p_f ⊙ c_{t-1}), o_t = σ(… + p_o ⊙ c_t)
                                                                     (Gers & Schmidhuber 2000; Gers et al. 2002)
        proj_size=P         h_t = W_hr (o_t ⊙ tanh(c_t)), P numbers  (Sak et al. 2014)
        layer_norm=True     LN_k around the argument of each σ and tanh above, peepholes and biases inside:
                            i_t = σ(LN_i(W_i x_t + …)), …, h_t = o_t ⊙ tanh(LN_c(c_t)); the c_t carried on is not
                            normalised. LN_k(a) = gain_k ⊙ (a - mean a)/√(var a + 1e-5) + shift_k. (Ba et al. 2016,
                            eq. 20-22, normalise W x and R h apart, over all gates together; this is per gate.)

    Shapes, results, and the arguments in `more`: `Recurrent`. States h, c. trace=True gives i f g o c h (f also when
    coupled, none without forget gate).

    weight_ih_l0 (4H, I), weight_hh_l0 (4H, P or H), bias_ih_l0, bias_hh_l0 (4H), blocks in the order i f g o, 3H and
    i g o without f; weight_hr_l0 (P, H); p as weight_ci_l0, weight_cf_l0, weight_co_l0 (H); gain_k_l0, shift_k_l0 (H).
    """

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
        **more: Unpack[Options],
    ) -> None:
        switches = dict(forget_gate=forget_gate, peephole=peephole, coupled=coupled, layer_norm=layer_norm)
        _check_arguments(LSTM, more, **switches)
        stack = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        project = isinstance(proj_size, int) and proj_size > 0  # what else it may be is refused with the other sizes
        cell = lstm(forget_gate, peephole, coupled, project, layer_norm)
        super().__init__(cell, *stack, proj_size, device, dtype, **more)
        self.forget_gate, self.peephole, self.coupled, self.layer_norm = forget_gate, peephole, coupled, layer_norm


class GRU(Recurrent):
    """The gated recurrent unit (Cho et al. 2014), torch.nn.GRU and its variants.

        r_t = σ(W_r x_t + b_r + R_r h_{t-1} + b'_r)                  reset gate
        z_t = σ(W_z x_t + b_z + R_z h_{t-1} + b'_z)                  update gate: open, it keeps h
        n_t = tanh(W_n x_t + b_n + r_t ⊙ (R_n h_{t-1} + b'_n))       candidate; reset="after" the product
        n_t = tanh(W_n x_t + b_n + R_n (r_t ⊙ h_{t-1}))              reset="before" it (Cho et al. 2014, eq. 8)
        h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}                        output

    torch and cuDNN reset after the product.
    layer_norm=True: LN_r, LN_z, LN_n around the arguments of σ and tanh (after Ba et al. 2016; see `LSTM`).

    Shapes, results, and the arguments in `more`: `Recurrent`. forget_bias and chrono set the bias of z, which keeps h
    (Tallec & Ollivier 2018). trace=True gives r z n h.

    weight_ih_l0 (3H, I), weight_hh_l0 (3H, H), bias_ih_l0, bias_hh_l0 (3H), blocks in the order r z n. With
    reset="before" weight_hh_l0 and bias_hh_l0 have r z alone, and weight_hn_l0 (H, H) is R_n; layer_norm adds
    gain_k_l0, shift_k_l0 (H).
    """

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
        **more: Unpack[Options],
    ) -> None:
        _check_arguments(GRU, more, layer_norm=layer_norm)
        stack = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(gru(reset, layer_norm), *stack, **more)
        self.reset, self.layer_norm = reset, layer_norm


def _check_arguments(kind: type[Recurrent], more: Options, **switches: object) -> None:
    """Refuse what only an LSTM has, arguments that do not exist, and switches that are neither True nor False."""
    flags(kind.__name__, **switches)
    known = signature(kind).parameters.keys() - {"more"} | Options.__annotations__.keys()
    for name, value in more.items():
        if name in Options.__annotations__:
            continue
        if name == "proj_size":
            todo = "An LSTM's h is projected: LSTM(…, proj_size=P)."
            refuse(f"{kind.__name__} proj_size", "no projection, which only an LSTM has", value, todo)
        refuse(kind.__name__, "arguments that it has", name, suggest(name, known), InputTypeError)


quantize.MODULES |= dict.fromkeys((LSTM, GRU), quantize.Dynamic)
