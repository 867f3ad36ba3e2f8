"""The site of the documentation: strict, whole and self-contained."""

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

import gated
from gated.cli import root

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `make docs` builds it, in a folder of its own: a warning stops the build."""
    folder = tmp_path_factory.mktemp("site")
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return folder


def text(page):
    return page.read_text("utf-8")


def test_every_public_name_has_an_entry(site):
    """Every name of `gated.__all__`, and of `__all__` of the modules in it, has an entry in the API."""
    for name in gated.__all__:
        value = getattr(gated, name)
        for key in getattr(value, "__all__", None) or [name]:
            page = f"gated.{name}" if hasattr(value, "__all__") else "gated"
            assert f'>{key}<a class="headerlink"' in text(site / f"api/{page}.html"), f"{page}.{key}"


def test_every_option_of_every_command_is_shown(site):
    """Every command below `gated` has a heading, and every option of it an entry."""

    def walk(command, parent, name):
        context = click.Context(command, info_name=name, parent=parent)
        if isinstance(command, click.Group):
            for word in command.list_commands(context):
                yield from walk(command.get_command(context, word), context, word)
        else:
            yield context.command_path, [flag for option in command.params for flag in option.opts if flag[0] == "-"]

    paths = dict(walk(root(), None, "gated"))
    assert {"gated forecast fit", "gated info"} <= set(paths)
    for path, flags in paths.items():
        page = text(site / f"commands/{path.split()[1]}.html")
        assert f">{path}<a" in page
        section = page.partition(f">{path}<a")[2]
        for flag in flags:
            assert f"<code>{flag}" in section, f"{path} {flag}"


def test_the_site_fetches_nothing(site):
    """No page takes a script, a style, a font or a picture from elsewhere."""
    for page in site.rglob("*.html"):
        outside = re.findall(r'<(?:script|img|link)\b[^>]*(?:src|href)="?((?:https?:)?//[^">]+)', text(page))
        assert outside == [], page.name


def test_what_is_missing_stops_the_build(site, caplog):
    """A link to a file that is not there, and a public name without a docstring, are warnings; the build is strict."""
    config = load_config(str(ROOT / "mkdocs.yml"))
    assert config.strict
    (hook,) = config.hooks.values()
    page = SimpleNamespace(file=SimpleNamespace(src_uri="engine.md"))
    with caplog.at_level(logging.WARNING):
        assert hook.on_page_markdown("[a](nowhere.md) [b](../LICENSE) `[c](d)`", page, config, None) == (
            "[a](nowhere.md) b `[c](d)`"  # mkdocs itself warns of the first
        )
        assert caplog.records == []
        hook.on_page_markdown("[a](../nowhere.py)", page, config, None)
        hook.prose("gated.nobody", None)
    assert ["nowhere.py" in caplog.messages[0], "gated.nobody" in caplog.messages[1]] == [True, True]


def test_the_map_names_every_room():
    """ARCHITECTURE.md has a row for each room of src/gated."""
    table = text(ROOT / "ARCHITECTURE.md")
    house = ROOT / "src/gated"
    rooms = {path.stem for path in house.glob("*.py")} | {path.parent.name for path in house.glob("*/__init__.py")}
    missing = [room for room in rooms - {"__init__"} if not re.search(rf"`{room}(/|\.py)`", table)]
    assert missing == []
