"""What the site has beyond the pages of docs/: the API, made from `__all__` and docstrings; the commands, made from
click; the pages that stand elsewhere in the repository; and the menu of them all.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import logging
import posixpath
import re
import textwrap
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.reference")  # a warning fails a strict build
ROOT = Path(__file__).parents[1]
PUBLIC = ("gated", "gated.layers", "gated.decode")  # rooms with a public `__all__`, and the modules named in it
PROJECT = ("decisions", "glossary", "policy")  # pages of docs/ for those who work on the project
WIDTH = 88  # of a signature on one line


@cache
def elsewhere() -> dict[Path, str]:
    """Pages outside docs/, and where the site has them."""
    results = {path: f"results/{path.name}" for path in sorted((ROOT / "benchmarks/results").glob("*.md"))}
    root = {path: path.name for path in sorted(ROOT.glob("*.md"))}
    return root | {ROOT / "README.md": "index.md"} | results


@cache
def made() -> dict[str, str]:
    """The pages that are made here: Markdown by address."""
    return Reference().pages | commands()


def on_config(config: MkDocsConfig) -> None:
    """The menu: every page of the site is in it."""
    written = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
    tasks = [name for name in written if (ROOT / "src/gated/tasks" / name).is_dir()]
    menu = {
        "Tasks": [f"{name}.md" for name in tasks],
        "Guides": [f"{name}.md" for name in written if name not in tasks and name not in PROJECT],
        "API": [uri for uri in made() if uri.startswith("api/")],
        "Commands": [uri for uri in made() if uri.startswith("commands/")],
        "Results": [uri for uri in elsewhere().values() if uri.startswith("results/")],
        "Project": [f"{name}.md" for name in PROJECT if name in written]
        + [uri for uri in elsewhere().values() if "/" not in uri and uri != "index.md"],
    }
    config.nav = [{"Home": "index.md"}, *({title: uris} for title, uris in menu.items() if uris)]


def on_files(files: Files, config: MkDocsConfig) -> None:
    for path, uri in elsewhere().items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    for uri, text in made().items():
        files.append(File.generated(config, uri, content=text))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository become links between pages; a link to any other file leaves its text."""
    uri = page.file.src_uri
    path = next((path for path, other in elsewhere().items() if other == uri), ROOT / "docs" / uri)

    def link(match: re.Match) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if text is None or target.startswith(("http:", "https:", "mailto:")):  # code, or the wide world
            return match[0]
        to = (path.parent / target).resolve()
        if to in elsewhere():
            there = elsewhere()[to]
        elif to.is_relative_to(ROOT / "docs"):
            there = to.relative_to(ROOT / "docs").as_posix()
        else:
            if not to.exists():
                log.warning("%s links to %s, which is not in the repository", uri, target)
            return text
        return f"[{text}]({posixpath.relpath(there, posixpath.dirname(uri) or '.')}{anchor})"

    if uri in made():
        return markdown
    return re.sub(r"^```.*?^```|`[^`\n]*`|\[([^\]\n]*)\]\(([^)\s#]+)(#[^)\s]*)?\)", link, markdown, flags=re.M | re.S)


# ---- the API


class Reference:
    """A page for each public module, with an entry for each name in its `__all__`."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.entries: dict[int, str] = {}  # where an object already stands, by id
        for name in PUBLIC:
            self.module(name, importlib.import_module(name))

    def module(self, name: str, module: ModuleType) -> None:
        self.pages[f"api/{name}.md"] = ""  # its place, before those of the modules in it
        public = [(key, getattr(module, key)) for key in getattr(module, "__all__", None) or defined(module)]
        parts: list[str] = []
        for key, value in sorted(public, key=lambda item: (isinstance(item[1], ModuleType), item[0].lower())):
            parts.append(self.entry(f"{name}.{key}", value))
        self.pages[f"api/{name}.md"] = "\n\n".join([f"# {name}", prose(name, module.__doc__), *parts]) + "\n"

    def entry(self, name: str, value: Any) -> str:
        short = name.rpartition(".")[2]
        known = self.entries.get(id(value))
        if isinstance(value, ModuleType) and not known:
            known = self.entries[id(value)] = f"{name}.md"
            self.module(name, value)
        if known:
            return f"## {short}\n\n[{known.rpartition('#')[2].removesuffix('.md')}]({known})"
        self.entries[id(value)] = f"{name.rpartition('.')[0]}.md#{name}"
        head = f"## {short} {{ #{name} }}"
        if inspect.isclass(value):
            return "\n\n".join([head, *self.type(name, value)])
        if inspect.isroutine(value):
            return "\n\n".join([head, code(signature(short, value)), prose(name, value.__doc__)])
        return "\n\n".join([head, code(textwrap.shorten(f"{short} = {value!r}", 4 * WIDTH, placeholder=" …"))])

    def type(self, name: str, cls: type) -> list[str]:
        """A class: how it is made, its docstring, the options of a Config or the fields of a record, its methods."""
        short = name.rpartition(".")[2]
        fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
        record = bool(fields) or hasattr(cls, "_fields")
        doc = cls.__doc__ if not (cls.__doc__ or "").startswith(f"{cls.__name__}(") else None
        parts = [prose(name, doc)]
        if any("help" in field.metadata for field in fields):
            parts += [setting(field) for field in fields]
        elif record:
            parts.append(code(declaration(cls)))
        elif "__init__" in vars(cls):
            parts.insert(0, code(signature(short, cls)))
        for key, member in vars(cls).items():
            value = isinstance(member, property | cached_property)
            call = isinstance(member, FunctionType | classmethod | staticmethod)
            if key.startswith("_") or not (value or call) or not member.__doc__:
                continue
            parts.append(f"### {key} {{ #{name}.{key} }}")
            if call:
                parts.append(code(signature(key, getattr(cls, key))))
            parts.append(prose(f"{name}.{key}", member.__doc__))
        return parts


def defined(module: ModuleType) -> list[str]:
    """The classes and functions with a docstring, of a module without `__all__`."""
    own = {key: value for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return [key for key, value in own.items() if key[0] != "_" and callable(value) and value.__doc__]


def code(text: str) -> str:
    return f"```python\n{text}\n```"


def signature(name: str, call: Any) -> str:
    """name(argument: type = default, …) -> type, one argument a line where they do not fit on one."""

    class Text(str):
        __repr__ = str.__str__

    def text(annotation: Any) -> Any:
        return Text(annotation) if isinstance(annotation, str) else annotation

    found = inspect.signature(call)
    arguments = [
        argument.replace(annotation=text(argument.annotation))
        for argument in found.parameters.values()
        if argument.name not in ("self", "cls")
    ]
    back = inspect.Signature.empty if inspect.isclass(call) else text(found.return_annotation)
    line = f"{name}{inspect.Signature(arguments, return_annotation=back)}"
    if len(line) <= WIDTH:
        return line
    lines, kinds = [], [argument.kind for argument in arguments]
    for argument, before in zip(arguments, [None, *kinds], strict=False):
        first = argument.kind is argument.KEYWORD_ONLY and before not in (
            argument.KEYWORD_ONLY,
            argument.VAR_POSITIONAL,
        )
        lines += ["    *,"] * first + [f"    {argument},"]
    return "\n".join([f"{name}(", *lines, ")" + line.rpartition(")")[2]])


def declaration(cls: type) -> str:
    """The fields of a record as its source has them, with their comments."""
    source = textwrap.dedent(inspect.getsource(cls))
    body = ast.parse(source).body[0].body  # pyright: ignore[reportAttributeAccessIssue]
    fields = [node for node in body if isinstance(node, ast.AnnAssign)]
    if not fields:
        return f"class {cls.__name__}"
    lines = source.splitlines()[fields[0].lineno - 1 : fields[-1].end_lineno]
    return "\n".join([f"class {cls.__name__}:", *lines])


def setting(field: dataclasses.Field) -> str:
    default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
    return f"`{field.name}: {field.type}{default}`\n:   {plain(field.metadata.get('help', ''))}"


def prose(name: str, doc: str | None) -> str:
    """A docstring as Markdown: a paragraph with columns or a margin stays as it is typed, any other flows."""
    if not doc:
        log.warning("%s is public and has no docstring", name)
        return ""
    parts: list[tuple[bool, str]] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(doc)):
        typed = bool(re.search(r"^ |\S {2,}\S", paragraph, re.M))
        if typed and parts and parts[-1][0]:
            parts[-1] = (True, f"{parts[-1][1]}\n\n{paragraph}")
        else:
            parts.append((typed, paragraph))
    return "\n\n".join(f"```text\n{textwrap.dedent(text)}\n```" if typed else plain(text) for typed, text in parts)


def plain(text: str) -> str:
    """Text in which only backticks and the hyphens of a list mean something to Markdown."""
    escaped = re.sub(r"(`[^`]*`)|([*_\[\]\\])|<", lambda m: m[1] or (f"\\{m[2]}" if m[2] else "&lt;"), text)
    return re.sub(r"(?<!\n)\n(?=- )", "\n\n", escaped, count=1)


# ---- the commands


def commands() -> dict[str, str]:
    """A page for each word after `gated`."""
    from gated.cli import root

    gated = root()
    top = click.Context(gated, info_name="gated")
    pages = {"commands/gated.md": f"# gated\n\n{plain(gated.help or '')}\n"}
    for name in gated.list_commands(top):
        command = gated.get_command(top, name)
        pages["commands/gated.md"] += f"\n[`gated {name}`]({name}.md)\n:   {plain(command.get_short_help_str(WIDTH))}\n"
        pages[f"commands/{name}.md"] = "\n\n".join(page(command, top, name, 1)) + "\n"
    return pages


def page(command: click.Command, parent: click.Context, name: str, level: int) -> list[str]:
    """A command with its options, and those below it."""
    context = click.Context(command, info_name=name, parent=parent)
    parts = [f"{'#' * level} {context.command_path}", plain(inspect.cleandoc(command.help or ""))]
    if not command.help:
        log.warning("%s has no help", context.command_path)
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            parts += page(command.get_command(context, word), context, word, level + 1)
        return parts
    parts.append(f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```")
    for option in command.params:
        record = option.get_help_record(context)
        if record and record[1]:  # an argument without a help stands in the usage
            parts.append(f"`{record[0]}`\n:   {plain(record[1])}")
    return parts
