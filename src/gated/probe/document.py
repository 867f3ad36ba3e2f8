"""What a page shows: arrays and words, which the numbers' files make and `page` draws.

Time runs along the last axis of every array. A step of a layer covers `stride` steps of the input: 1 where nothing
shortens time, 4 where four frames of sound are one step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Mark:
    """A word over steps of the input, first to last, both included: a character written, a word heard."""

    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Input:
    """One example as it was read: `steps` places with a label each, or a scale; curves, or a picture under them."""

    kind: str  # "values", "tokens", "sound", "print"
    steps: int
    unit: str = "step"  # what a place is called: "day", "token", "second", "column"
    labels: tuple[str, ...] = ()  # of every place: dates, tokens; empty where a scale says where it is
    scale: tuple[float, float] = (0.0, 1.0)  # the first place, and from one to the next, in units
    values: dict[str, Float[np.ndarray, " T"]] = field(default_factory=dict)  # NaN where nothing was observed
    picture: Float[np.ndarray, "R T"] | None = None  # bands from the lowest up, rows of print from the top down
    marks: tuple[Mark, ...] = ()  # what came of it, where that has a place
    said: str = ""  # what came of it


@dataclass(frozen=True)
class Layer:
    """One layer in one direction on one example: what its chosen units did, and what they kept.

    c_t = keep_t ⊙ c_{t−1} + write_t for the state `memory`: keep = f, write = i ⊙ g of an LSTM; of a GRU z and
    (1 − z) ⊙ n.
    """

    name: str  # "encoder, layer 1, forward"
    cell: str
    units: int  # of the layer, chosen or not
    chosen: tuple[int, ...]  # U of them
    values: dict[str, Float[np.ndarray, "U T"]]  # by the paper's letters: i f g o c h
    stride: float = 1.0
    reverse: bool = False  # time runs from the end; arrays are in the input's order all the same
    memory: str = ""  # the state that keep and write make; empty where the cell has no such gate
    keep: Float[np.ndarray, "U T"] | None = None
    write: Float[np.ndarray, "U T"] | None = None


@dataclass(frozen=True)
class Attribution:
    """What each place of the input added to one output (integrated gradients); the sum is output − baseline."""

    output: str  # in words: "sales, 3 days ahead", "the token `Haus`"
    value: float
    baseline: float
    shares: Float[np.ndarray, " T"]
    picture: Float[np.ndarray, "R T"] | None = None


@dataclass(frozen=True)
class Example:
    name: str
    input: Input
    layers: tuple[Layer, ...]
    attributions: tuple[Attribution, ...] = ()


@dataclass(frozen=True)
class Memory:
    """How long the units of a layer remember on this data: half-lives in steps of the layer, one a unit."""

    name: str
    half_life: Float[np.ndarray, " H"]  # inf where a unit never forgets
    said: str


@dataclass(frozen=True)
class Flow:
    """How much of a gradient is left after a lag: the mean over examples of ‖∂L_t/∂s_{t−lag}‖, by state."""

    name: str  # "before training", "after training", "an RNN of the same size"
    layer: str
    lags: Float[np.ndarray, " N"]
    norms: dict[str, Float[np.ndarray, " N"]]  # "h", and "c" where there is one
    said: str  # where it vanishes or explodes


@dataclass(frozen=True)
class Health:
    """Shares of a layer's units whose gate is nearly always open, nearly always shut, or that are never used."""

    name: str
    gate: str
    open: float
    shut: float
    unused: float
    advice: str  # empty where nothing need be done


@dataclass(frozen=True)
class Document:
    """Everything `look` computes of a run or a module: arrays and words, which `numbers` prints and `page` draws."""

    title: str
    task: str
    summary: tuple[str, ...]  # sentences
    examples: tuple[Example, ...]
    memory: tuple[Memory, ...] = ()
    flow: tuple[Flow, ...] = ()
    health: tuple[Health, ...] = ()
    history: tuple[dict[str, float], ...] = ()  # rows of the fit, with what --watch recorded
