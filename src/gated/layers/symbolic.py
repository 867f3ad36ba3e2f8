"""Layers in torch.fx.symbolic_trace: leaves of the graph, as those of torch.nn are."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.fx import Proxy

from gated._check import want


def record(module: nn.Module, proxy: Proxy, args: tuple[Any, ...], options: dict[str, Any]) -> Proxy:
    """The call of a module that was handed a Proxy, as one node of the graph.

    torch's tracer takes a module for a leaf if it stands in torch.nn; any other it enters, and ours decide by shapes.
    """
    name = proxy.tracer.path_of_module(module)  # pyright: ignore[reportAttributeAccessIssue]
    todo = f"Trace a model that holds it, as torch.nn.Sequential({type(module).__name__}(…)) does."
    want(bool(name), "torch.fx", "a model to trace", f"the layer {type(module).__name__} alone", todo)
    return proxy.tracer.create_proxy("call_module", name, args, options)
