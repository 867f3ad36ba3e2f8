"""The commands that README and docs tell a reader to type. `gated` runs in this process, by its own entry point."""

import glob
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def words(line):
    """The words of a line as a shell parts them, without its comment; `|`, `<` and `>` are words."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>")
    lexer.whitespace_split = True
    return list(lexer)


def redirected(stage):
    """The words of a command, the file that it reads on standard input, and that which it writes: each may be None."""
    files = {"<": None, ">": None}
    while len(stage) > 2 and stage[-2] in files:
        files[stage[-2]] = stage[-1]
        stage = stage[:-2]
    assert not {"|", "<", ">"} & set(stage), f"a form of the shell that no test knows: {stage}"
    return stage, files["<"], files[">"]


def run(block, gated):
    """Every line of a block ends well: `gated` is the fixture of that name, which stands in its folder.

    Pipes, `< file`, `> file` and patterns of files are understood. Of `make` a dry run is asked, of pip that the
    extras are those of the project, of an example that it is there. A demo only shows its help: it is learnt, in
    small, in a test of its own.
    """
    for line in filter(words, block.splitlines()):
        stages, data = [[]], None
        for word in words(line):
            stages[-1].append(word) if word != "|" else stages.append([])
        for stage in stages:
            stage, source, target = redirected(stage)
            data = command(stage, Path(source).read_bytes() if source else data, gated)
            if target:
                Path(target).write_bytes(data)


def command(stage, data, gated):
    """What one command writes to standard output, given its standard input or None."""
    name, *rest = stage
    if name == "gated":
        rest = [found for word in rest for found in (sorted(glob.glob(word)) if "*" in word else [word])]
        status, out, err = gated(*rest, *(["--help"] if rest[0] == "demo" else []), stdin=data)
        assert status == 0, (stage, err)
        return out.encode()
    if name == "make":
        subprocess.run(["make", "--dry-run", *rest], cwd=ROOT, check=True, capture_output=True)
    elif name == "pip":
        asked = re.findall(r"[\w-]+", "".join(re.findall(r"\[(.*?)\]", " ".join(rest))))
        assert rest[0] == "install", stage
        assert set(asked) <= set(EXTRAS), f"{stage}: the extras are {sorted(EXTRAS)}"
    else:
        assert name == "python", f"a command that no test knows: {stage}"
        assert (ROOT / rest[0]).is_file(), stage
    return b""


def script(path):
    """The names of a script of the project, which is not run as one."""
    names = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(path.read_text(), path, "exec"), names)
    return names
