"""The native module: which instruction sets there are, and which is used."""

import os
import subprocess
import sys

from gated import _native


def ask(isa: str) -> subprocess.CompletedProcess:
    code = "from gated import _native; print(_native.isa())"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "GATED_ISA": isa}
    )


def test_scalar_is_always_found_and_the_strongest_is_used():
    """The list starts at scalar, and without GATED_ISA its last entry is the choice."""
    found = _native.isa_found()
    assert found[0] == "scalar"
    assert ask("").stdout.strip() == found[-1]


def test_gated_isa_lowers_the_choice():
    """GATED_ISA=scalar takes the scalar set on every machine."""
    assert ask("scalar").stdout.strip() == "scalar"


def test_an_unknown_instruction_set_is_refused_with_the_choices():
    """GATED_ISA may not name a set that the processor lacks."""
    result = ask("mmx")
    assert result.returncode != 0
    assert "expected one of scalar" in result.stderr
    assert "'mmx'" in result.stderr
