"""Recurrent networks that are fast, show what happens inside, and do whole jobs."""

from importlib.metadata import version

import lazy_loader

# The names are in __init__.pyi and imported when first touched: `import gated` and `gated --help` cost nothing unused.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("gated")
