"""Fresh processes that start at once: a server that has imported torch and pandas, but not gated, forks them.

They have none of this process's hooks, modules and random states, and compute on one thread.
"""

import itertools
import multiprocessing
import multiprocessing.forkserver
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import torch

FORKS = "forkserver" in multiprocessing.get_all_start_methods()
SERVER = multiprocessing.get_context("forkserver" if FORKS else "spawn")
SERVER.set_forkserver_preload(["torch", "torch._dynamo", "pandas"])  # the second at the first step of training


def run(code, *words, **environment):
    """`python -c code words`, to its end, with more in its environment: status, standard output and standard error."""
    return _run(code, words, [environment])[0]


def pair(code, *words):
    """`run` of two processes which know of each other, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = dict(WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", GROUP_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
                 TORCHELASTIC_RUN_ID="none")  # fmt: skip
    return _run(code, words, [group | dict(RANK=rank, LOCAL_RANK=rank) for rank in "01"])


class Command:
    """What `subprocess.Popen` offers, of a process that the server forks."""

    def __init__(self, *words, cwd=None):
        pipes = [SERVER.Pipe(duplex=False) for _ in range(3)]
        (there, stdin), (stdout, out), (stderr, err) = pipes
        self.process = SERVER.Process(target=_command, args=([str(word) for word in words], cwd, there, out, err))
        self.process.start()
        self.stdin = os.fdopen(os.dup(stdin.fileno()), "wb")
        self.stdout, self.stderr = (os.fdopen(os.dup(end.fileno()), "rb") for end in (stdout, stderr))
        for end in itertools.chain(*pipes):
            end.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()
        self.process.join()

    @property
    def returncode(self):
        return self.process.exitcode

    def poll(self):
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def communicate(self):
        self.stdin.close()
        out, err = self.stdout.read(), self.stderr.read()
        self.process.join()
        return out, err


def command(*words, cwd=None):
    """`gated words` in a folder, which has just begun: with pipes of bytes for all three streams."""
    if FORKS:
        return Command(*words, cwd=cwd)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([Path(sys.executable).with_name("gated"), *map(str, words)], cwd=cwd, **streams)


def close():
    """End the server and wait for it, so that its processor time counts as that of the tests."""
    if FORKS:
        multiprocessing.forkserver._forkserver._stop()


def _run(code, words, environments):
    words = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for n, more in enumerate(environments):
            out, err = Path(folder) / f"out{n}", Path(folder) / f"err{n}"
            process = SERVER.Process(target=_execute, args=(code, out, err, words, {**os.environ, **more}))
            process.start()
            processes.append((process, out, err))
        for process, _, _ in processes:
            process.join()
        return [
            subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())
            for process, out, err in processes
        ]


def _execute(code, out, err, words, environment):
    for fd, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), fd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *words]
    torch.set_num_threads(1)
    exec(textwrap.dedent(code), {"__name__": "__main__"})


def _command(words, cwd, *ends):
    for fd, end in enumerate(ends):
        os.dup2(end.fileno(), fd)
        end.close()
    # What the server inherited may have been a terminal, which is written to line by line.
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", 1)
    os.chdir(cwd or ".")
    sys.argv = ["gated", *words]
    torch.set_num_threads(1)
    from gated.cli import main

    sys.exit(main())
