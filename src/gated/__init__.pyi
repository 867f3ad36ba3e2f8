from ._check import InputError as InputError

__version__: str
