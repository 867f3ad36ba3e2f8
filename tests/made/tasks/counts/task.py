from dataclasses import dataclass

from gated.options import Training, option
from gated.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Config(Training):
    batch: int = option(4, "Lines in a batch.", low=1)
    spread: float = option(0.0, "Standard deviation of noise on the logits while training.", low=0)


TASK = Task(
    name="counts",
    help="Count words: how often each occurs in a text.",
    extra="dev",
    Config=Config,
    metric="nats",
    lower=True,
    artefacts=("counts.txt",),
    verbs={"top": "The most frequent words of a run."},
)
