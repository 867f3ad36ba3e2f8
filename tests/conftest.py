"""How the tests run: shapes in signatures are checked, random examples are the same each time, one thread a worker."""

import io
import os
import signal
import sys

from hypothesis import settings
from jaxtyping import config, install_import_hook

install_import_hook("gated", "typed.check")

import pytest  # noqa: E402
import torch  # noqa: E402

from made import fresh, sounds  # noqa: E402

# GATED_EXAMPLES=explore draws new examples at each run; a failure prints what reproduces it.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("GATED_EXAMPLES", "ci"))

# Files that fit whole runs, call the layers thousands of times, or hand them arguments of wrong types. A check of
# shapes at each call makes a training loop three to five times as long, so they go without; test_tasks.py fits,
# predicts and scores with every task under it, and test_cpu.py, test_layers.py and test_program.py call the kernels.
UNCHECKED = {
    "test_cells", "test_classify", "test_cli", "test_drop_in", "test_faults", "test_forecast", "test_lags",
    "test_language", "test_native_parity", "test_observe", "test_plan", "test_probe_tasks", "test_readme",
    "test_resume", "test_tag", "test_tag_cli", "test_torch_own", "test_train", "test_transcribe",
    "test_transcribe_cli", "test_transcribe_demo", "test_transcribe_folder", "test_transcribe_language",
    "test_transcribe_listen", "test_translate", "test_translate_cli", "test_translate_demo",
}  # fmt: skip

# A shell that runs the tests in the background has them ignore Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Readline, which pytest imports, tells child processes of a terminal of 80 columns.
os.environ.pop("COLUMNS", None)
os.unsetenv("COLUMNS")

torch.set_num_threads(int(os.environ.get("GATED_TEST_THREADS", "1")))  # two workers share two cores


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    config.update("jaxtyping_disable", item.path.stem in UNCHECKED)


def pytest_sessionfinish():
    fresh.close()


@pytest.fixture(autouse=True)
def generators_untouched():
    """Every test leaves torch's global generator seeded the same for the next."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    """Sixty recordings in a language of tones, as rows of a manifest."""
    return sounds.record(tmp_path_factory.mktemp("tones"), 60)


@pytest.fixture(scope="session")
def transcriber(tones):
    """A transcriber of tones in both directions, which no test changes."""
    from gated import transcribe

    return transcribe.fit(tones[:50], valid=tones[50:], **sounds.SMALL, steps=220)


@pytest.fixture(scope="session")
def listener(tones):
    """A forward-only transcriber of tones, which no test changes."""
    from gated import transcribe

    return transcribe.fit(tones[:50], valid=tones[50:], **sounds.SMALL, steps=220, streaming=True)


@pytest.fixture
def gated(request, desk, monkeypatch, capfdbinary):
    """Run one command on the module's `desk`, a folder: its status, standard output and standard error.

    `stdin` are bytes to read from.

    A module whose commands all begin alike says so in COMMAND.
    """
    from gated import cli

    first = getattr(request.module, "COMMAND", ())
    monkeypatch.chdir(desk)

    def call(*words, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        status = 0
        try:
            cli.main([*first, *(str(word) for word in words)])
        except SystemExit as end:
            status = end.code
        told = capfdbinary.readouterr()
        return status, told.out.decode(), told.err.decode()

    return call
