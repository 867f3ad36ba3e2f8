"""Shapes in signatures are checked while the tests run, and only then."""

import os

from jaxtyping import install_import_hook

install_import_hook("gated", "typed.check")

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(int(os.environ.get("GATED_TEST_THREADS", "1")))  # two workers share two cores


@pytest.fixture(autouse=True)
def generators_untouched():
    """Every test leaves torch's global generator seeded the same for the next."""
    torch.manual_seed(0)
