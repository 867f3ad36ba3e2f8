"""The wheel: what people install, away from the repository."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("scikit_build_core", reason="make setup installs what builds the wheel")
PIP = (sys.executable, "-m", "pip", "--quiet")
COMPILED = (ROOT / "build").is_dir()
pytestmark = pytest.mark.skipif(not COMPILED, reason="make setup compiles the core, which a wheel reuses")


def run(*words, **more):
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of the tree, of what make setup compiled."""
    folder = tmp_path_factory.mktemp("dist")
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, ROOT)
    (path,) = folder.glob("gated-*.whl")
    return path


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, wheel):
    """A new environment with the wheel, and with the packages of this one behind it but for gated."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder)
    python = folder / "bin/python"
    run(*PIP, "--python", python, "install", "--no-compile", "--no-deps", "--no-index", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "behind.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return python


def test_the_wheel_holds_the_whole_package(wheel):
    """Every file of src/gated that git knows is in the wheel, beside one native module."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "src/gated", cwd=ROOT).split()
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = {name.removeprefix("src/") for name in listed if (ROOT / name).is_file()}
    assert files - inside == set()
    native = [name for name in inside if name.startswith("gated/_native.") and name.endswith((".so", ".pyd"))]
    assert len(native) == 1


def test_the_wheel_fits_from_another_folder(fresh, tmp_path):
    """Of the wheel alone, `gated` opens its own native core and fits a forecaster."""
    rows = [f"{step},{10 + step % 7}" for step in range(84)]
    (tmp_path / "sales.csv").write_text("\n".join(["ds,y", *rows]))
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}
    call = dict(cwd=tmp_path, env=env | {"OMP_NUM_THREADS": "1"})
    where = "import gated, gated._native; print(gated.__file__, gated._native.__file__)"
    for file in run(fresh, "-c", where, **call).split():
        assert Path(file).is_relative_to(fresh.parents[1])
    words = ["--horizon", 7, "--steps", 5, "--width", 8, "--out", "run", "--json", "--quiet"]
    metrics = json.loads(run(fresh.with_name("gated"), "forecast", "fit", "sales.csv", *words, **call))
    assert metrics["run"] == "run"
