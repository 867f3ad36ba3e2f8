"""Our kernels on the processor: plans for the native core, its calls, and the torch operator over them."""
