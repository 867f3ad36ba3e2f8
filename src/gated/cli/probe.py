"""`gated probe`"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from gated.cli.words import EXISTING, JSON, say, show


def command(help: str) -> click.Command:
    def run(
        run: Path, data: str | None, out: Path | None, unit: tuple[int, ...], layer: str, examples: int, seed: int,
        as_json: bool,
    ) -> None:  # fmt: skip
        from gated import probe
        from gated.io import files

        files.check(out, (".html",))  # before the work
        found = probe.look(run, data, units=unit or None, layer=layer, examples=examples, seed=seed)
        if out is not None:
            files.write(out, drawn(found).encode())
        wide = {"width": shutil.get_terminal_size().columns} if sys.stderr.isatty() else {}
        show(probe.plain(found), as_json, lambda: probe.numbers(found, **wide))
        if out is not None and not as_json:
            say(f"\nDrawn in {out}.")

    def drawn(found: Any) -> str:
        from gated.probe import page

        return page.render(found)

    params: list[click.Parameter] = [
        click.Argument(["run"], type=EXISTING),
        click.Argument(["data"], required=False, metavar="[DATA]"),
        click.Option(["--out"], type=click.Path(path_type=Path, dir_okay=False), help="Page to write, one .html file."),
        click.Option(["--unit"], type=click.IntRange(0), multiple=True, help="A unit to show; may come again."),
        click.Option(["--layer"], default="", help="Only layers with this in their name: encoder, backward."),
        click.Option(
            ["--examples"], type=click.IntRange(1, 100), default=3, show_default=True, help="Sequences to show."
        ),
        click.Option(["--seed"], type=int, default=0, help="Of the untrained networks to compare with."),
        JSON,
    ]  # fmt: skip
    return click.Command("probe", params=params, callback=run, help=help)
