"""The native module: which instruction sets there are, which is used, and how exact its functions are."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gated import _native, cells
from gated.kernels.cpu import plan
from gated.kernels.cpu.plan import lower
from gated.kernels.trace import trace
from made import fresh

ROOT = Path(__file__).parent.parent
BOUNDS = {"exp": 1.02, "sigmoid": 2.41, "tanh": 2.5}  # units in the last place, as native/math.h states them


def ask(isa: str) -> subprocess.CompletedProcess:
    return fresh.run("from gated import _native; print(_native.isa())", GATED_ISA=isa)


def test_scalar_is_always_found_and_the_strongest_is_used():
    """The list starts at scalar, and without GATED_ISA its last entry is the choice."""
    found = _native.available_isas()
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


SAMPLE = """
import json
import numpy as np
from gated import _native

def apply(name, x):
    y = np.full_like(x, np.nan)
    _native.apply(name, x.itemsize, x.ctypes.data, y.ctypes.data, x.size)
    return y

def worst(y, exact):
    y, exact = y[~np.isnan(exact)], exact[~np.isnan(exact)]
    return float(np.max(np.abs(y - exact) / np.spacing(np.abs(exact).astype(np.float32))))

bits = np.arange(0, 2**32, 8191, dtype=np.uint64).astype(np.uint32)
x = np.concatenate([bits.view(np.float32), -np.float32([0, np.inf, 1e-45, 104, 88, 87, 20, 10])])
with np.errstate(all="ignore"):
    wide = x.astype(np.float64)
    small = np.exp(-np.abs(wide))
    sigmoid = np.where(wide < 0, small, 1) / (1 + small)
    y = {name: apply(name, -np.abs(x) if name == "exp" else x) for name in ("exp", "sigmoid", "tanh")}
    exact = {"exp": small, "sigmoid": sigmoid, "tanh": np.tanh(wide)}
    found = {name: worst(y[name], exact[name]) for name in y}
    found["nan"] = all(bool(np.array_equal(np.isnan(y[name]), np.isnan(x))) for name in y)
    found["odd"] = bool(np.array_equal(apply("tanh", -x), -y["tanh"], equal_nan=True))
ends = np.float32([-np.inf, -0.0, 0.0, np.inf, -1e-40, 1e-40])
found["ends"] = {name: apply(name, ends if name != "exp" else ends[:2].copy()).astype(str).tolist() for name in y}
print(json.dumps(found))
"""


def test_python_and_the_core_share_one_table():
    """Python takes kinds, instructions, limits and parameters from the core's table; epsilon is the cells'."""
    assert _native.EPSILON == cells.EPSILON
    assert _native.KINDS.index("NONE") == 0
    for names in (_native.KINDS, _native.OPS, _native.PARAMETERS):
        assert len(set(names)) == len(names)
    assert set(plan.OP) == set(_native.OPS)
    assert set(_native.INPLACE) < set(_native.OPS)
    for name, k in plan.OP.items():
        assert _native.OPS[k] == name
    for name in _native.KINDS:
        assert getattr(plan, name) == 256 * _native.KINDS.index(name)
    shapes = cells.lstm(project=True).shapes(2, 4, 3)
    assert [name for name in _native.PARAMETERS if name in shapes] == list(shapes)[:4]


def test_a_plan_past_a_limit_is_refused():
    """The core refuses what its own limits do not allow, by the limit's name."""
    for name, most in _native.LIMITS.items():
        spec = lower(trace(cells.lstm()), train=True).spec
        many = {"constants": [0.0] * (most + 1), "slots": [most + 1, 0], "outer": [(0, 0, 0)] * (most + 1)}
        many |= {"blocks": list(range(most + 1)), "instructions": spec["forward"] * (most + 1)}
        key = {"blocks": "x_rows", "instructions": "forward"}.get(name, name)
        with pytest.raises(ValueError, match=f"plan: {name}: expected 0 to {most}"):
            _native.Plan(spec | {key: many.get(name, most + 1)})


def test_a_stream_refuses_a_plan_that_saves():
    """What a training plan saves has no memory in a stream: refused, not written to address 0."""
    H, zeros = 4, np.zeros((16, 4), np.float32)
    training = _native.Plan(lower(trace(cells.lstm()), train=True).spec)
    call = _native.Call(width=4, T=1, B=1, I=H, H=H, P=H, D=1)
    call.s0 = call.finals = [zeros.ctypes.data] * 2
    call.weights = [zeros.ctypes.data] * 4 + [0, 0]
    with pytest.raises(ValueError, match="saves nothing"):
        _native.Streams().add(training, call)


FORK = """
import os, signal, sys
import numpy as np
import torch
from gated.layers import LSTM

torch.set_num_threads(2)
layer, x = LSTM(16, 64), torch.randn(20, 32, 16)
with torch.no_grad():
    wanted = layer(x)[0]
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        # NumPy compares: torch's own operators would wait for the parent's threads.
        sys.exit(not np.allclose(layer(x)[0].numpy(), wanted.numpy(), atol=1e-6))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_computes_alone():
    """A fork has none of its parent's threads: it neither waits for them nor computes anything else."""
    result = fresh.run(FORK)
    assert result.returncode == 0, (result.returncode, result.stderr)


@pytest.mark.parametrize("isa", _native.available_isas())
def test_exp_sigmoid_and_tanh_hold_their_bounds(isa):
    """On a sample of all float32, and at the ends: exp 1.02, sigmoid 2.41 and tanh 2.5 units in the last place."""
    result = fresh.run(SAMPLE, GATED_ISA=isa)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["exp"] <= BOUNDS["exp"]
    assert found["sigmoid"] <= BOUNDS["sigmoid"]
    assert found["tanh"] <= BOUNDS["tanh"]
    assert found["nan"]
    assert found["odd"]
    assert found["ends"]["exp"] == ["0.0", "1.0"]
    assert found["ends"]["sigmoid"] == ["0.0", "0.5", "0.5", "1.0", "0.5", "0.5"]
    assert found["ends"]["tanh"] == ["-1.0", "-0.0", "0.0", "1.0", "-1e-40", "1e-40"]


def test_the_bounds_are_those_that_the_core_states():
    """native/math.h says the same numbers."""
    stated = (ROOT / "native/math.h").read_text().split("#pragma once")[0].replace("\n//", "")
    assert "exp {exp:g}, sigmoid {sigmoid:g}, tanh {tanh:g} units in the last place".format(**BOUNDS) in stated


def test_no_function_compiled_for_one_processor_can_serve_another():
    """What a linker may take from any file lies in the file's own namespace; else old processors meet new instructions.

    The objects are those of the last build in build/.
    """
    nm = shutil.which("nm")
    objects = sorted((ROOT / "build").glob("cp*/CMakeFiles/_native.dir/native/isa/*.o"))
    if nm is None or not objects:
        pytest.skip("no binutils, or the module was built elsewhere")
    for path in objects:
        isa = path.name.split(".")[0]
        symbols = subprocess.run([nm, "-C", path], capture_output=True, text=True, check=True).stdout.splitlines()
        shared = [line for line in symbols if line[17:18] == "W"]  # V: data
        assert shared, path
        assert [line for line in shared if f"gated::{isa}::" not in line] == [], path
