"""The document that the page draws and the text tables print: arrays and words, nothing else.

Time is the last axis of every array. A step of a layer covers `stride` places of the input: 1 if nothing shortens time,
4 if four frames of sound are one step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gated.views import Input


@dataclass(frozen=True)
class Layer:
    """One layer in one direction on one example: values, keep and write of the selected units.

    c_t = keep_t ⊙ c_{t−1} + write_t for the state `state`: keep = f, write = i ⊙ g of an LSTM; of a GRU z and
    (1 − z) ⊙ n.
    """

    name: str  # "encoder, layer 1, forward"
    cell: str
    units: int  # of the layer
    selection: tuple[int, ...]  # U of them
    values: dict[str, Float[np.ndarray, "U T"]]  # by the paper's letters: i f g o c h
    stride: float = 1.0
    reverse: bool = False  # time runs from the end; arrays are in the input's order all the same
    state: str = ""  # empty if the cell has no keep gate
    keep: Float[np.ndarray, "U T"] | None = None
    write: Float[np.ndarray, "U T"] | None = None


@dataclass(frozen=True)
class Attribution:
    """The share of each place of the input in one output (integrated gradients); their sum is value − baseline."""

    output: str  # "sales, 3 days ahead", "log p of `Haus`, token 2"
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
class HalfLives:
    """The half-lives of a layer's units on the data, in steps of the layer."""

    name: str
    half_life: Float[np.ndarray, " H"]  # inf if a unit never forgets
    summary: str


@dataclass(frozen=True)
class Flow:
    """The mean over examples of ‖∂L_t/∂s_{t−lag}‖, by state s."""

    name: str  # "before training", "after training", "an RNN of the same size"
    layer: str
    lags: Float[np.ndarray, " N"]
    norms: dict[str, Float[np.ndarray, " N"]]  # "h", and "c" if there is one
    summary: str  # where it vanishes or explodes


@dataclass(frozen=True)
class Health:
    """Shares of a layer's units whose gate is always open or always shut, and of unused units."""

    name: str
    gate: str
    open: float
    shut: float
    unused: float
    advice: str  # empty if nothing need be done


@dataclass(frozen=True)
class Document:
    """Everything that `inspect` computes of a run or a module."""

    title: str
    task: str
    summary: tuple[str, ...]  # sentences
    examples: tuple[Example, ...]
    half_lives: tuple[HalfLives, ...] = ()
    flow: tuple[Flow, ...] = ()
    health: tuple[Health, ...] = ()
    history: tuple[dict[str, float], ...] = ()  # rows of the fit, with the statistics of --watch
