"""Teaching a network, in two halves: without the last horizon, to see how it does there, then with everything.

The first half learns from all but the last `horizon` steps of every series, stops early on them, and what its forecasts
of them miss by calibrates the quantiles. The second half goes on from its weights with all the data. So the held-out
figures and pictures are honest, the forecasts know the newest values, and both together cost one training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gated import checkpoint, train
from gated._check import refuse
from gated.tasks.forecast import likelihood, recipe, roll, score
from gated.tasks.forecast.config import Config
from gated.tasks.forecast.model import Network
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.recipe import Recipe
from gated.tasks.forecast.windows import Windows

CHUNK = 512  # windows at once where nothing is learnt


@dataclass(frozen=True)
class Held:
    """The forecast of the horizon that the first half did not see."""

    series: np.ndarray  # [C] which series of the panel were long enough
    quantiles: np.ndarray  # [C, h, Q] float32, before calibration


@dataclass(frozen=True)
class Learnt:
    """What a fit leaves besides the data."""

    recipe: Recipe
    network: nn.ModuleList  # the members
    widths: np.ndarray  # [h, Q] the calibration
    held: Held | None
