"""Plain LSTMs and GRUs in torch.ao.quantization.quantize_dynamic: weights in int8 or float16."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn
from torch.ao.quantization.quantization_mappings import DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS as MODULES

from gated._check import want

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU}


class Dynamic:
    """What torch's quantization puts in the place of a layer: the module that it puts in the place of torch.nn's."""

    @staticmethod
    def from_float(layer: Any) -> nn.Module:
        """A torch.ao.nn.quantized.dynamic LSTM or GRU with the weights of the layer."""
        kind, names = KINDS[layer.cell.torch], ("bias", "batch_first", "dropout", "bidirectional")
        options = {name: getattr(layer, name) for name in names}
        plain: Any = kind(layer.input_size, layer.stack.sizes[0], layer.num_layers, **options)
        plain.load_state_dict(layer.state_dict())
        plain.qconfig = layer.qconfig
        return MODULES[kind].from_float(plain.train(layer.training))


def check(layer: Any, qconfig: Any) -> None:
    """Refuse a layer that torch cannot quantize, and say which one it passes by.

    torch.ao.quantization gives every module its qconfig, or None, and takes those of the classes that it was given.
    """
    name = type(layer).__name__
    if qconfig is None or not getattr(qconfig.activation(), "is_dynamic", False):
        todo = f"Name it: torch.ao.quantization.quantize_dynamic(model, {{gated.{name}}})."
        warnings.warn(f"{name}: this quantization leaves it in float. {todo}", stacklevel=4)
        return
    stack, got = layer.stack, []
    got += [] if stack.cell.torch in KINDS else [f"the cell {stack.cell.name}"]
    got += ["zoneout"] * any(stack.rates) + ["recurrent dropout"] * (stack.recurrent_dropout > 0)
    got += ["residual connections"] * stack.residual + ["a projection"] * (stack.proj_size > 0)
    got += ["layers of unlike widths"] * (len(set(stack.sizes)) > 1)
    todo = "Leave this layer in float: layer.qconfig = None before."
    want(not got, f"{name} quantization", "a plain LSTM or GRU, which torch quantizes", " and ".join(got), todo)
