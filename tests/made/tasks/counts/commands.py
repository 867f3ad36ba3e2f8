import json
from typing import Annotated

from gated.tasks.counts import run as counter
from gated.tasks.counts.run import Run
from gated.tasks.counts.task import Config

from gated.runs import FitOptions, Output


def fit(data: str, /, *, options: FitOptions, config: Config) -> Output:
    return options.output(counter.fit(data, config, **options.words()))


def predict(run: Run, data: str, /) -> Output:
    scores = run.predict(counter.read(data))
    return Output({"scores": scores}, data=[f"{score:.6f}\n".encode() for score in scores])


def score(run: Run, data: str, /) -> Output:
    result = run.score(data)
    return Output(result, json.dumps(result, indent=1))


def top(run: Run, /, *, count: Annotated[int, "How many."] = 3) -> Output:
    order = run.network.logits.argsort(descending=True).tolist()
    words = [run.words[k] for k in order if k][:count]
    return Output({"words": words}, "\n".join(words))
