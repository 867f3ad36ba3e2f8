"""beartype as the tests use it: an int is a float, as Python's type checkers have it."""

import functools

from beartype import BeartypeConf, beartype

build = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function):
    """The function with its arguments checked; what checks is built at the first call, for most are never called."""
    checked = None

    @functools.wraps(function)
    def call(*args, **named):
        nonlocal checked
        checked = checked or build(function)
        return checked(*args, **named)

    return call
