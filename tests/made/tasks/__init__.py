"""Of every task a tiny example for tests/test_tasks.py, and a task more, `counts`, that only its folder makes known."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import gated.tasks
from gated.tasks import TASKS
from made import sounds

gated.tasks.__path__ = [*gated.tasks.__path__, str(Path(__file__).parent)]


@dataclass(frozen=True)
class Example:
    """What a fit, a prediction and a score of the task read, and the words with which they take a moment."""

    write: Callable[[Path], None]  # the files that are named below
    fit: str  # the words after `gated TASK fit`, but --out
    noise: str  # options that make training draw random numbers
    score: str  # the words after `score RUN`
    predict: str  # those after `predict RUN`
    alone: Callable[[Any], tuple[Any, Any]]  # of a run the predictions of several inputs together, and of each alone
    verbs: dict[str, str] = field(default_factory=dict)  # the words after `VERB RUN`, of every further verb
    lines: tuple[str, ...] = ()  # verbs whose --json is an object a line, for they answer while they listen


def write_sales(folder):
    date = pd.date_range("2024-01-01", periods=70, freq="D")
    rng = np.random.default_rng(0)
    shops = [
        pd.DataFrame({"date": date, "shop": shop, "qty": level + np.tile(np.arange(7.0), 10) + rng.normal(0, 0.3, 70)})
        for shop, level in (("north", 10), ("south", 30))
    ]
    whole = pd.concat(shops)
    whole[whole.date < date[63]].to_csv(folder / "sales.csv", index=False)
    whole[whole.date >= date[63]].to_csv(folder / "later.csv", index=False)


def shops_alone(run):
    sales = pd.read_csv("sales.csv")
    apart = [run.predict(sales[sales.shop == shop]) for shop in ("north", "south")]
    return run.predict(sales).iloc[:, 2:].to_numpy(), pd.concat(apart).iloc[:, 2:].to_numpy()


NUMBERS = dict(eins="one", zwei="two", drei="three", vier="four")
PAIRS = [(f"{a} {b} {c}", f"{NUMBERS[a]} {NUMBERS[b]} {NUMBERS[c]}") for a in NUMBERS for b in NUMBERS for c in NUMBERS]


def write_numbers(folder):
    for name, pairs in (("train", PAIRS[:50]), ("val", PAIRS[50:57]), ("test", PAIRS[57:])):
        for side, end in enumerate(("de", "en")):
            (folder / f"{name}.{end}").write_text("".join(pair[side] + "\n" for pair in pairs))


def lines_alone(run):
    lines = [source for source, _ in PAIRS[48:56]] + ["eins", ""]
    return run.predict(lines), [run.predict(line) for line in lines]


def write_sounds(folder):
    for name, count, seed in (("train", 12, 1), ("dev", 4, 2)):
        rows = sounds.record(folder / name, count, seed)
        (folder / f"{name}.csv").write_text("path,text\n" + "".join(f"{row['path']},{row['text']}\n" for row in rows))
    (folder / "text.txt").write_text("lo hi up\nhi lo\n" * 20)


def files_alone(run):
    paths = [f"dev/{k:02}.wav" for k in range(4)]
    return run.predict(paths), [run.predict(path) for path in paths]


def write_words(folder):
    (folder / "text.txt").write_text("the cat sat\nthe dog\na cat sat on the mat\nthe end\n")
    (folder / "new.txt").write_text("the cat\na bird sat\n")


def words_alone(run):
    lines = ["the cat", "a bird sat", ""]
    return run.predict(lines), [run.predict([line])[0] for line in lines]


def write_story(folder):
    lines = [f"{a} {b} sat on {c}.\n" for a in ("the", "a", "one") for b in ("cat", "dog") for c in ("mats", "a log")]
    (folder / "story.txt").write_text("".join(lines * 3))
    (folder / "new.txt").write_text("a cat sat on mats.\n")


def texts_alone(run):
    texts = ["the cat sat", "a dog", "x"]
    return np.concatenate(run.surprise(texts)), np.concatenate([run.surprise(text) for text in texts])


def write_sentences(folder):
    lines = [
        f"{name} B-PER\n{verb} O\n{place} B-LOC\n{more} I-LOC\n"
        for name in ("Mary", "John", "Ann", "Ole")
        for verb in ("saw", "left")
        for place, more in (("New", "York"), ("Los", "Angeles"), ("Oslo", "West"))
    ]
    for name, own in (("train", lines[:18]), ("dev", lines[18:21]), ("test", lines[21:])):
        (folder / f"{name}.conll").write_text("\n".join(own))
    (folder / "letter.txt").write_text("Mary saw Oslo.\n\nIn New York Ole left\n")


def sentences_alone(run):
    lines = ["Mary saw Oslo.", "Ann", "", "New York and Los Angeles left John in Paris"]
    alone = [run.predict(line) for line in lines]
    return [[str(pairs) for pairs in side] for side in (run.predict(lines), alone)]


def write_reviews(folder):
    rng = np.random.default_rng(0)
    words, kinds = (
        ["the", "film", "a", "plot", "is", "with", "very"],
        {"good": ["fine", "lovely", "great"], "bad": ["dull", "poor", "sad"]},
    )
    for name, count in (("reviews", 60), ("more", 20)):
        rows = [
            (" ".join([*rng.choice(words, rng.integers(1, 6)), rng.choice(kinds[kind]), "film"]), kind)
            for kind in rng.choice(list(kinds), count)
        ]
        (folder / f"{name}.csv").write_text("review,stars\n" + "".join(f"{text},{kind}\n" for text, kind in rows))


def reviews_alone(run):
    texts = ["the film", "a very dull plot", "fine", "", "unheard of"]
    return run.probabilities(texts), np.concatenate([run.probabilities([text]) for text in texts])


EXAMPLES = {
    "classify": Example(
        write=write_reviews,
        fit="reviews.csv --text review --target stars --units 6 --embedding 8 --batch 16 --steps 6 --precision 32 "
        "--dropout 0 --augment 0",
        noise="--dropout 0.3 --augment 1",
        score="more.csv",
        predict="more.csv",
        alone=reviews_alone,
        verbs={"attend": "fine"},
    ),
    "counts": Example(
        write=write_words,
        fit="text.txt --steps 6",
        noise="--spread 0.5",
        score="new.txt",
        predict="new.txt",
        alone=words_alone,
        verbs={"top": "--count 2"},
    ),
    "forecast": Example(
        write=write_sales,
        fit="sales.csv --time date --target qty --id shop --horizon 7 --steps 6 --width 8",
        noise="",
        score="later.csv",
        predict="sales.csv",
        alone=shops_alone,
        verbs={"backtest": "--windows 2", "update": "later.csv --steps 2 --out updated"},
    ),
    "language": Example(
        write=write_story,
        fit="story.txt --units 12 --embedding 8 --batch 4 --window 16 --steps 6 --precision 32",
        noise="--dropout 0.2 --input-dropout 0.1 --embedding-dropout 0.1 --weight-dropout 0.2 --activation 1 "
        "--temporal 1 --hold 0.2",
        score="new.txt",
        predict="new.txt",
        alone=texts_alone,
        verbs={"surprise": "new.txt --out surprise.html", "update": "new.txt --steps 2 --out updated"},
    ),
    "tag": Example(
        write=write_sentences,
        fit="train.conll --valid dev.conll --units 8 --embedding 8 --characters 4 --batch 30 --steps 6 --precision 32",
        noise="",
        score="test.conll",
        predict="letter.txt",
        alone=sentences_alone,
    ),
    "transcribe": Example(
        write=write_sounds,
        fit="train.csv --valid dev.csv --units 6 --layers 1 --bands 16 --batch 400 --lr 0.01 --steps 6 --streaming "
        "--dropout 0 --augment 0 --mask 0 --precision 32",
        noise="--dropout 0.3 --augment 1 --mask 1 --join 2",
        score="dev.csv",
        predict="dev",
        alone=files_alone,
        verbs={
            "update": "dev.csv --steps 2 --out updated",
            "listen": "dev/00.wav",
            "language": "text.txt --steps 2 --units 8 --layers 1 --out lm",
        },
        lines=("listen",),
    ),
    "translate": Example(
        write=write_numbers,
        fit="train.de train.en --valid val.de val.en --tokens word --units 8 --layers 1 --batch 100 --steps 6 "
        "--precision 32 --monitor loss",
        noise="--dropout 0.3 --sampling 0.3 --token-dropout 0.1 --tokens bpe --bpe-dropout 0.2 --vocabulary 60",
        score="test.de test.en",
        predict="test.de",
        alone=lines_alone,
        verbs={"attend": "eins", "update": "train.de train.en --steps 2 --out updated"},
    ),
}
assert set(EXAMPLES) == set(TASKS), f"a tiny example of every task: {sorted(TASKS)}, got {sorted(EXAMPLES)}"
