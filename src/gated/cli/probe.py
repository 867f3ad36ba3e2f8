"""`gated probe`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any


def probe(
    run: Path,
    data: str | None = None,
    /,
    *,
    out: Annotated[Path | None, "Page to write, one .html file."] = None,
    unit: Annotated[list[int], "Unit to show; may be repeated."],
    layer: Annotated[str, "Only layers with this in their name: encoder, backward."] = "",
    examples: Annotated[int, "Sequences to show, 1 to 100."] = 3,
    seed: Annotated[int, "Seed of the untrained reference networks."] = 0,
) -> Any:
    from gated import probe
    from gated.io import files
    from gated.report.tables import terminal_width
    from gated.runs import Output

    files.check(out, (".html",))  # before the work
    document = probe.inspect(run, data, units=unit or None, layer=layer, examples=examples, seed=seed)
    if out is not None:
        from gated.probe import page

        files.write(out, page.render(document).encode())
    page_at = "" if out is None else f"\n\nPage: {out}"
    return Output(probe.to_dict(document), lambda: probe.to_text(document, terminal_width(120)) + page_at)
