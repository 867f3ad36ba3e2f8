"""Fresh processes that start within milliseconds: a server that has imported torch, and of gated nothing, forks them.

They have none of this process's hooks, modules and random states, and compute on one thread.
"""

import multiprocessing
import multiprocessing.forkserver
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import torch

FORKS = "forkserver" in multiprocessing.get_all_start_methods()
SERVER = multiprocessing.get_context("forkserver" if FORKS else "spawn")
SERVER.set_forkserver_preload(["torch"])


def start(code, out, err, *words, **environment):
    """Begin `python -c code words > out 2> err`, with more in its environment: a `multiprocessing.Process`."""
    words = [str(word) for word in words]
    process = SERVER.Process(target=_execute, args=(code, out, err, words, {**os.environ, **environment}))
    process.start()
    return process


def run(code, *words, **environment):
    """`python -c code words`, to its end: status, standard output and standard error."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = start(code, out, err, *words, **environment)
        process.join()
        return subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())


def close():
    """End the server and wait for it, so that its processor time counts as that of the tests."""
    if FORKS:
        multiprocessing.forkserver._forkserver._stop()


def _execute(code, out, err, words, environment):
    for fd, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), fd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *words]
    torch.set_num_threads(1)
    exec(textwrap.dedent(code), {"__name__": "__main__"})
