from collections.abc import Sequence
from typing import Any

# native/table.h
KINDS: tuple[str, ...]
OPS: tuple[str, ...]
INPLACE: tuple[str, ...]
LIMITS: dict[str, int]
PARAMETERS: tuple[str, ...]
EPSILON: float

def available_isas() -> list[str]: ...
def isa() -> str: ...
def bf16() -> bool: ...
def threads() -> str: ...
def apply(name: str, width: int, source: int, target: int, n: int, /) -> None: ...

# native/crf.h: sizes T, B, K; addresses of scores, transitions, start, end, lengths
def crf_forward(sizes: Sequence[int], chain: Sequence[int], alpha: int, log_z: int, /) -> None: ...
def crf_backward(
    sizes: Sequence[int], chain: Sequence[int], alpha: int, log_z: int, weight: int, gradients: Sequence[int], /
) -> None: ...
def crf_best(sizes: Sequence[int], chain: Sequence[int], count: int, tags: int, score: int, /) -> None: ...

class Call:
    """The call of native/plan.h: addresses as whole numbers, 0 for what is absent."""

    def __init__(self, width: int, T: int, B: int, I: int, H: int, P: int, D: int) -> None: ...
    x: int
    xt: int
    xb: int
    s0: Sequence[int]
    weights: Sequence[int]
    lengths: int
    seed: int
    y: int
    finals: Sequence[int]
    saved: int
    bounds: int
    chunk: int
    bf16: bool
    threads: int
    dy: int
    dfinals: Sequence[int]
    dsaved: int
    dx: int
    dxt: int
    dxb: int
    ds0: Sequence[int]
    dweights: Sequence[int]
    grad_trace: int

class Plan:
    def __init__(self, spec: dict[str, Any], /) -> None: ...
    def forward(self, call: Call, /) -> None: ...
    def backward(self, call: Call, /) -> None: ...

class Streams:
    def __init__(self) -> None: ...
    def add(self, plan: Plan, call: Call, /) -> None: ...
    def run(self, x: int, steps: int, xt: int, xb: int, y: int, /) -> None: ...
