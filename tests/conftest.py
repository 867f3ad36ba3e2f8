"""Shapes in signatures are checked while the tests run, and only then."""

import os
import signal

from jaxtyping import install_import_hook

install_import_hook("gated", "typed.check")

import pytest  # noqa: E402
import torch  # noqa: E402

# A shell that runs the tests in the background has them ignore Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)

torch.set_num_threads(int(os.environ.get("GATED_TEST_THREADS", "1")))  # two workers share two cores


@pytest.fixture(autouse=True)
def generators_untouched():
    """Every test leaves torch's global generator seeded the same for the next."""
    torch.manual_seed(0)


@pytest.fixture
def gated(request, desk, monkeypatch, capfdbinary):
    """Run one command on the module's `desk`, a folder: its status, standard output and standard error.

    A module whose commands all begin alike says so in COMMAND.
    """
    from gated import cli

    first = getattr(request.module, "COMMAND", ())
    monkeypatch.chdir(desk)

    def call(*words):
        capfdbinary.readouterr()
        status = 0
        try:
            cli.main([*first, *(str(word) for word in words)])
        except SystemExit as end:
            status = end.code
        told = capfdbinary.readouterr()
        return status, told.out.decode(), told.err.decode()

    return call
