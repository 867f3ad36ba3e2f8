"""One recurrent layer's forward pass in onnxruntime, OpenVINO or JAX, timed on request: the peers' end of the pipe.

Words: NAME THREADS. Answers each line on standard input, a JSON object, with one on standard output:
    {"kind": "lstm", "arrays": FILE.npz}    builds the layer of these weights -> {"y": FILE.npy, "version": …}
    {"budget": 0.1}                         times it -> {"seconds": …}
or with {"error": why}. FILE.npz holds x (T, B, I) and torch's weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0. Each
peer gets its input in the form that it likes best and leaves its output where it likes: nothing is copied in or out of
numpy while the clock runs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from layers_clock import sample

# Blocks of a weight in ONNX's order, as indices into torch's: i o f g of i f g o, z r n of r z n.
ONNX_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}


def reorder(kind: str, weight: np.ndarray) -> np.ndarray:
    """A weight or bias (G·H, …) of torch with its blocks in ONNX's order."""
    blocks = np.split(weight, len(ONNX_ORDER[kind]))
    return np.concatenate([blocks[k] for k in ONNX_ORDER[kind]])


def onnx_model(kind: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The layer as one ONNX node with its weights as constants: x (T, B, I) -> y (T, 1, B, H), h and c (1, B, H)."""
    from onnx import TensorProto, helper, numpy_helper

    T, B, I = arrays["x"].shape
    H = arrays["weight_hh_l0"].shape[1]
    weights = {
        "W": reorder(kind, arrays["weight_ih_l0"])[None],
        "R": reorder(kind, arrays["weight_hh_l0"])[None],
        "B": np.concatenate([reorder(kind, arrays["bias_ih_l0"]), reorder(kind, arrays["bias_hh_l0"])])[None],
    }
    sizes = {"y": (T, 1, B, H), "h": (1, B, H)} | ({"c": (1, B, H)} if kind == "lstm" else {})
    options = {"linear_before_reset": 1} if kind == "gru" else {}  # R_n h + b' inside r, as in torch
    node = helper.make_node(kind.upper(), ["x", *weights], list(sizes), hidden_size=H, **options)
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (T, B, I))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()],
    )
    # An old opset and format, which every reader knows.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8).SerializeToString()


Call = Callable[[], Any]
Made = tuple[Call, Callable[[], np.ndarray]]  # the timed call, and y (T, B, H) after it


def onnxruntime(kind: str, arrays: Mapping[str, np.ndarray], threads: int) -> Made:
    """Input and outputs bound once to onnxruntime's own memory."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(onnx_model(kind, arrays), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(arrays["x"]))
    for output in session.get_outputs():
        size = ort.OrtValue.ortvalue_from_shape_and_type(output.shape, np.float32)
        binding.bind_ortvalue_output(output.name, size)
    return lambda: session.run_with_iobinding(binding), lambda: binding.get_outputs()[0].numpy()[:, 0]


def openvino(kind: str, arrays: Mapping[str, np.ndarray], threads: int) -> Made:
    """Told float32 (on processors that have bfloat16 it would take that) and to answer soon; memory is shared."""
    import openvino as ov
    from openvino import properties as p

    hints = {
        p.inference_num_threads(): threads,
        p.hint.inference_precision(): ov.Type.f32,
        p.hint.performance_mode(): p.hint.PerformanceMode.LATENCY,
        p.hint.execution_mode(): p.hint.ExecutionMode.ACCURACY,
    }
    core = ov.Core()
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder, "model.onnx")).write_bytes(onnx_model(kind, arrays))
        request = core.compile_model(core.read_model(path), "CPU", hints).create_infer_request()
    request.set_input_tensor(ov.Tensor(arrays["x"], shared_memory=True))
    # The request's own inference, beneath the wrapper that sorts a dict of inputs at every call.
    return request.infer, lambda: np.array(request.get_output_tensor(0).data)[:, 0]


def jax(kind: str, arrays: Mapping[str, np.ndarray], threads: int) -> Made:
    """A jitted scan: the input product before it, for all steps at once; the weights are arguments.

    They lie as (in, out) or as (out, in), whichever is faster here (the second for a single row).
    """
    import jax
    import jax.numpy as jnp

    def zeros(x, R):
        return jnp.zeros((x.shape[1], R.shape[0]), x.dtype)

    def lstm(x, W, R, b, b_h):
        def step(state, xw):
            h, c = state
            i, f, g, o = jnp.split(xw + h @ R, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        return jax.lax.scan(step, (zeros(x, R), zeros(x, R)), x @ W + (b + b_h))

    def gru(x, W, R, b, b_h):
        def step(h, xw):
            x_r, x_z, x_n = jnp.split(xw, 3, -1)
            h_r, h_z, h_n = jnp.split(h @ R + b_h, 3, -1)
            r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
            h = (1 - z) * jnp.tanh(x_n + r * h_n) + z * h
            return h, h

        return jax.lax.scan(step, zeros(x, R), x @ W + b)

    def rnn(x, W, R, b, b_h):
        def step(h, xw):
            h = jnp.tanh(xw + h @ R)
            return h, h

        return jax.lax.scan(step, zeros(x, R), x @ W + (b + b_h))

    layer = {"lstm": lstm, "gru": gru, "rnn": rnn}[kind]
    x, W, R, *b = (arrays[n] for n in ("x", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"))
    ways = []
    for run, words in (
        (jax.jit(layer), (x, W.T.copy(), R.T.copy(), *b)),
        (jax.jit(lambda x, W, R, *b: layer(x, W.T, R.T, *b)), (x, W, R, *b)),
    ):
        words = jax.device_put(words)
        call = partial(lambda run, words: jax.block_until_ready(run(*words)), run, words)
        ways.append((sample(call, 0.05), call))
    call = min(ways, key=lambda way: way[0])[1]
    return call, lambda: np.asarray(call()[1])


PEERS = {"onnxruntime": onnxruntime, "openvino": openvino, "jax": jax}


def main(name: str, threads: str) -> None:
    if name == "jax" and hasattr(os, "sched_setaffinity"):  # XLA has no other sure way to fewer threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints goes where people read
    call: Call | None = None
    for line in sys.stdin:
        words = json.loads(line)
        try:
            if "arrays" in words:
                with np.load(words["arrays"]) as file:
                    arrays = {key: np.ascontiguousarray(file[key]) for key in file}
                call, output = PEERS[name](words["kind"], arrays, int(threads))
                call()
                out = Path(words["arrays"]).with_name(f"{name}.npy")
                np.save(out, output())
                answer = {"y": str(out), "version": sys.modules[name].__version__.split("-")[0]}
            else:
                assert call is not None, "nothing was built"
                answer = {"seconds": sample(call, words["budget"])}
        except Exception as error:
            call, answer = (
                None,
                {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"},
            )
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
