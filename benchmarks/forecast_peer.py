"""NeuralForecast's LSTM with its defaults, run in an environment of its own.

Words: TRAIN.parquet HORIZON FREQ THREADS OUT.parquet. Prints one JSON object: the seconds of `fit` and of `predict`,
imports left out.
"""

import json
import logging
import sys
import time
import warnings

import pandas as pd
import torch
from neuralforecast import NeuralForecast
from neuralforecast.models import LSTM

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")


def main(train: str, horizon: str, freq: str, threads: str, out: str) -> None:
    torch.set_num_threads(int(threads))
    frame = pd.read_parquet(train)
    quiet = dict(enable_progress_bar=False, logger=False, enable_checkpointing=False)
    model = LSTM(h=int(horizon), start_padding_enabled=True, **quiet)  # it refuses the shorter series without padding
    peer = NeuralForecast(models=[model], freq=int(freq) if freq.isdigit() else freq)
    start = time.perf_counter()
    peer.fit(frame)
    fitted = time.perf_counter()
    peer.predict().to_parquet(out)
    print(json.dumps({"fit": fitted - start, "predict": time.perf_counter() - fitted}))


if __name__ == "__main__":
    main(*sys.argv[1:])
