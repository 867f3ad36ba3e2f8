"""Words to calls, nothing more: `gated TASK fit | predict | score …`, `gated demo TASK`, `gated info`,
`gated probe RUN DATA`.

People's output goes to standard error; `--json` prints one object on standard output and nothing else there.
Status 0 on success, 2 on a user's mistake (one line, no traceback), 130 on Ctrl-C, 1 on a fault of ours.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
import threading
import typing
from collections.abc import Iterator
from pathlib import Path

import click

from gated._check import InputError, escape, near
from gated.cli import grammar
from gated.cli.grammar import JSON, STDOUT, Lazy, say, show
from gated.io import files
from gated.tasks import TASKS, VERBS, demos

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
ROOM = " What was there before is as it was. Make room, or name another place."


def info(as_json: bool) -> None:
    import torch

    import gated
    from gated import _native
    from gated.kernels.choose import PATHS
    from gated.runs import Output

    facts = {
        "gated": gated.__version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "kernels": list(PATHS),
        "instruction set": _native.isa(),
        "instruction sets found": _native.available_isas(),
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "devices": ["cpu", *(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))],
    }
    words = {name: ", ".join(v) if isinstance(v, list) else v for name, v in facts.items()}
    show(Output(facts, "\n".join(f"{name:<24}{value}" for name, value in words.items())), as_json)


def demo(task: str) -> click.Command:
    module = importlib.import_module(f"gated.tasks.{task}.demo")
    to = click.Option(["--out"], type=click.Path(path_type=Path), default=DEMO, help="Folder of the run.")

    def run(out: Path, as_json: bool) -> None:
        from gated.runs import Output, vacant

        if out != DEMO:  # where a demo's own run is replaced
            vacant(out)
        show(Output(*module.run(out, say=say)), as_json)

    return click.Command(task, params=[to, JSON], callback=run, help=module.__doc__)


DEMO = Path("demo")
OTHERS = {
    "demo": "Train on built-in data in a minute or two.",
    "info": "Show versions, kernels, instruction set, threads and devices.",
    "probe": "Inspect a run: gates, half-lives, gradient flow and input attributions.",
}


def command(name: str) -> click.Command:
    """The first word after `gated`."""
    if name == "info":
        return click.Command("info", params=[JSON], callback=info, help=OTHERS["info"])
    if name == "demo":
        return Lazy("demo", demos(), demo, OTHERS["demo"])
    if name == "probe":
        from gated.cli.probe import probe

        return grammar.command("probe", OTHERS["probe"], probe, load=Path)
    task = TASKS[name]
    verbs = {**VERBS, **task.verbs}

    def verb(word: str) -> click.Command:
        return grammar.command(word, verbs[word], getattr(task.part("commands"), word), task.load)

    return Lazy(name, verbs, verb, task.help)


def root() -> click.Group:
    """The command `gated`, with every other below it."""
    commands = {name: task.help for name, task in TASKS.items()} | OTHERS
    about = "Recurrent networks that are fast, show what happens inside, and do whole jobs."
    gated = Lazy("gated", commands, command, about)
    click.version_option(package_name="gated")(gated)
    return gated


@contextlib.contextmanager
def clean_stop() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP end with the signal's status, after what was half-written is taken away."""
    main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)] if main else []
    numbers = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]  # nohup ignores one
    for number in numbers:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def main(words: list[str] | None = None) -> None:
    """Run one command and exit with its status."""
    gated = root()
    try:
        with clean_stop(), gated.make_context("gated", sys.argv[1:] if words is None else list(words)) as ctx:
            gated.invoke(ctx)
        with files.named(STDOUT):
            sys.stdout.flush()  # here, so that a reader who left is noticed while it can be handled
    except click.exceptions.Exit as done:  # --help and --version
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as help:
        say(help.format_message())
        sys.exit(2)
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):  # click calls --out near --colums, by the dashes
            word, names = error.option_name, error.possibilities or ()
            alike = [name for name in names if near(word.strip("-"), [name.strip("-")])][:1]
            error = click.NoSuchOption(word, possibilities=alike, ctx=error.ctx)
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "gated"
        fail(f"{' '.join(error.format_message().split())} See {where} --help.")
    except InputError as error:
        fail(str(error))
    except (KeyboardInterrupt, click.Abort) as stopped:
        say(str(stopped) or "Stopped.")
        sys.exit(130)
    except BrokenPipeError:  # a reader such as head has read enough: no mistake of anyone's
        grammar.discard(sys.stdout)
    except OSError as error:  # a file of the user's that cannot be read or written; any other is a fault of ours
        if error.filename is None and error.errno not in FULL:
            raise
        name = error.filename or STDOUT  # to which help is written
        if name == STDOUT:
            grammar.discard(sys.stdout)
        fail(f"{os.fspath(name)}: {error.strerror}.{ROOM if error.errno in FULL and name != STDOUT else ''}")


def fail(text: str) -> typing.NoReturn:
    """One line, and the status of a user's mistake."""
    say(f"Error: {escape(text)}")
    sys.exit(2)
