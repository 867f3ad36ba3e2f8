"""Our kernels on the processor: plans for the native core, its calls, and the torch operator over them."""

from gated.kernels.cpu import op  # registers gated::scan, which a saved graph may hold

__all__ = ["op"]
