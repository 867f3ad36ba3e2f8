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
