from collections.abc import Sequence
from typing import Any

def isa_found() -> list[str]: ...
def isa() -> str: ...
def bf16() -> bool: ...
def threads() -> str: ...
def apply(name: str, width: int, source: int, target: int, n: int, /) -> None: ...

class Plan:
    def __init__(self, spec: dict[str, Any], /) -> None: ...
    def forward(
        self,
        sizes: tuple[int, int, int, int, int, int, int],
        x: int,
        xt: int,
        xb: int,
        s0: Sequence[int],
        weights: Sequence[int],
        lengths: int,
        seed: int,
        y: int,
        finals: Sequence[int],
        saved: int,
        bounds: int,
        chunk: int,
        bf16: bool,
        threads: int,
        /,
    ) -> None: ...
    def backward(
        self,
        sizes: tuple[int, int, int, int, int, int, int],
        x: int,
        xt: int,
        xb: int,
        s0: Sequence[int],
        weights: Sequence[int],
        lengths: int,
        seed: int,
        y: int,
        saved: int,
        bounds: int,
        chunk: int,
        bf16: bool,
        threads: int,
        dy: int,
        dfinals: Sequence[int],
        dsaved: int,
        dx: int,
        dxt: int,
        dxb: int,
        ds0: Sequence[int],
        dweights: Sequence[int],
        watch: int,
        /,
    ) -> None: ...

class Streams:
    def __init__(self) -> None: ...
    def add(
        self,
        plan: Plan,
        width: int,
        B: int,
        I: int,
        H: int,
        P: int,
        states: Sequence[int],
        weights: Sequence[int],
        /,
    ) -> None: ...
    def run(self, x: int, steps: int, xt: int, xb: int, y: int, /) -> None: ...
    def push(self, x: Any, y: int) -> None: ...
