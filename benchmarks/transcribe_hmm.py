"""The model that LSTMs replaced: isolated words by hidden Markov models, a left-to-right one for each word.

    log p(x | word) = log Σ_s Π_t a(s_t-1, s_t) Σ_m w_{s_t m} N(y_t; μ_{s_t m}, diag σ²_{s_t m})       argmax over words

y_t are a frame's mel cepstra with their first and second differences, each free of its mean and spread over the
recording. A state is stayed in or left for the next. States, Gaussians and their least variance are chosen by
cross-validation inside the training data. Rabiner 1989; cepstra: Davis & Mermelstein 1980; differences: Furui 1986.

It is hmmlearn's GMMHMM, Baum & Welch of all recordings at once: where hmmlearn is installed it reads the test with the
same models, and the result says how far apart the two are.

    python benchmarks/transcribe_hmm.py [--speakers]

GATED_DATA names the folder with speech/spoken_digits.tar.gz.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.fft import dct

Example = tuple[np.ndarray, str]  # log-mel frames [bands, T], and what was said
Shape = tuple[int, int, float]  # states, Gaussians of a state, and the least variance

DATA = Path(os.environ.get("GATED_DATA", "../shared/data")) / "speech" / "spoken_digits.tar.gz"
CEPSTRA = 13
STATES, GAUSSIANS = (8, 11), (4, 8, 16)  # what is tried,
FLOORS = (0.1, 0.3, 1.0)  # with these least variances, as shares of the variance of all frames
FOLDS, ITERATIONS = 3, 10
NEVER = -1e30  # log 0, without the warnings of infinities
RARE = 1e-3  # the least probability of a Gaussian, and of staying in a state or leaving it


class Model(NamedTuple):
    """S states of M Gaussians over D numbers."""

    weights: np.ndarray  # [S, M]
    means: np.ndarray  # [S, M, D]
    variances: np.ndarray  # [S, M, D]
    stay: np.ndarray  # [S]; 1 in the last


class Frames(NamedTuple):
    """N recordings end to end, in the order of time: the first frames of all, then the second ones."""

    y: np.ndarray  # [P, D]
    there: np.ndarray  # [T, N] whether a recording has a frame then

    def spread(self, flat: np.ndarray) -> np.ndarray:
        """[P, …] as [T, N, …], 0 where there is no frame."""
        out = np.zeros((*self.there.shape, *flat.shape[1:]))
        out[self.there] = flat
        return out


def cepstra(x: np.ndarray) -> np.ndarray:
    """Log-mel frames [bands, T] to [T, 39]: cepstra with first and second differences, mean 0 and spread 1 in time."""
    c = dct(np.asarray(x, np.float64), axis=0, norm="ortho")[:CEPSTRA]
    d = slope(c)
    y = np.concatenate([c, d, slope(d)]).T
    return (y - y.mean(0)) / np.maximum(y.std(0), 1e-3)


def slope(c: np.ndarray) -> np.ndarray:
    """Of the line through five frames, by least squares; the ends go on as they are."""
    wide = np.pad(c, ((0, 0), (2, 2)), mode="edge")
    return (2 * (wide[:, 4:] - wide[:, :-4]) + wide[:, 3:-1] - wide[:, 1:-3]) / 10


def together(recordings: Sequence[np.ndarray]) -> Frames:
    lengths = np.array([len(y) for y in recordings])
    there = np.arange(lengths.max())[:, None] < lengths
    place = np.concatenate([np.arange(n) * len(lengths) + k for k, n in enumerate(lengths)])
    return Frames(np.concatenate(list(recordings))[np.argsort(place)], there)


# ---- one model


def densities(model: Model, y: np.ndarray) -> np.ndarray:
    """log w_sm N(y; μ_sm, σ²_sm), [P, S, M] for [P, D]."""
    S, M, D = model.means.shape
    narrow = 1 / model.variances.reshape(S * M, D)
    means = model.means.reshape(S * M, D)
    distance = y**2 @ narrow.T - 2 * y @ (means * narrow).T + (means**2 * narrow).sum(1)
    volume = D * np.log(2 * np.pi) - np.log(narrow).sum(1)
    return (np.log(model.weights).ravel() - (distance + volume) / 2).reshape(-1, S, M)


def sum_last(a: np.ndarray) -> np.ndarray:
    """log Σ exp over the last axis."""
    top = a.max(-1)
    return top + np.log(np.exp(a - top[..., None]).sum(-1))


def forward(model: Model, b: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log p(y_1 … y_t, s_t = s), [T, N, S], and log p of each whole recording; b [T, N, S] is log p(y_t | s)."""
    stay, leave = moves(model)
    a = np.full_like(b, NEVER)
    a[0, :, 0] = b[0, :, 0]
    for t in range(1, len(b)):
        a[t] = a[t - 1] + stay
        a[t, :, 1:] = np.logaddexp(a[t, :, 1:], a[t - 1, :, :-1] + leave)
        a[t] += b[t]
    return a, sum_last(a[there.sum(0) - 1, np.arange(there.shape[1])])


def backward(model: Model, b: np.ndarray, there: np.ndarray) -> np.ndarray:
    """log p(y_t+1 … | s_t = s), [T, N, S]; 0 from the last frame on."""
    stay, leave = moves(model)
    after = np.zeros_like(b)
    for t in range(len(b) - 2, -1, -1):
        ahead = after[t + 1] + b[t + 1]
        after[t] = ahead + stay
        after[t, :, :-1] = np.logaddexp(after[t, :, :-1], ahead[:, 1:] + leave)
        after[t, ~there[t + 1]] = 0
    return after


def moves(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """log probabilities of staying in each state, and of leaving each but the last."""
    return np.log(model.stay), np.log1p(-model.stay[:-1])


def start(recordings: Sequence[np.ndarray], states: int, gaussians: int, seed: int) -> Model:
    """Every recording in equal parts, one for each state; a state's Gaussians around the means of its frames."""
    parts, rng = [np.array_split(y, states) for y in recordings], np.random.default_rng(seed)
    weights, means, variances = [], [], []
    for s in range(states):
        frames = np.concatenate([part[s] for part in parts])
        centres, own = kmeans2(frames, gaussians, minit="++", rng=rng)
        weights.append((np.bincount(own, minlength=gaussians) + 1) / (len(own) + gaussians))
        means.append(centres)
        variances.append(np.tile(frames.var(0) + 1e-3, (gaussians, 1)))
    stay = np.full(states, 1 - states * len(recordings) / sum(map(len, recordings))).clip(RARE, 1 - RARE)
    return Model(np.array(weights), np.array(means), np.array(variances), np.append(stay[:-1], 1.0))


def better(model: Model, frames: Frames, floor: np.ndarray) -> tuple[Model, float]:
    """A step of Baum & Welch, and the log p per frame of the model before it.

    Floors keep what few frames speak for from vanishing: without them such models turn to NaN (hmmlearn's issues 137,
    169, 186). floor [D]: the least variance.
    """
    each = densities(model, frames.y)
    flat = sum_last(each)
    b, there = frames.spread(flat), frames.there
    a, total = forward(model, b, there)
    after = backward(model, b, there)
    share = np.exp(a + after - total[:, None]) * there[..., None]  # p(s_t = s | y)
    S, M, D = model.means.shape
    own = (share[there][..., None] * np.exp(each - flat[..., None])).reshape(-1, S * M)  # p(s_t = s, m | y)
    count = np.maximum(own.sum(0), 1e-9)
    means = own.T @ frames.y / count[:, None]
    variances = own.T @ frames.y**2 / count[:, None] - means**2
    lost = count < 1  # Gaussians that no frame is left for stay as they were
    means[lost], variances[lost] = model.means.reshape(-1, D)[lost], model.variances.reshape(-1, D)[lost]
    weights = count.reshape(S, M)
    weights = np.maximum(weights / weights.sum(1, keepdims=True), RARE)
    stayed = np.exp(a[:-1] + np.log(model.stay) + b[1:] + after[1:] - total[:, None]) * there[1:, :, None]
    stay = stayed.sum((0, 1)) / np.maximum((share[:-1] * there[1:, :, None]).sum((0, 1)), 1e-9)
    found = Model(
        weights / weights.sum(1, keepdims=True),
        means.reshape(S, M, D),
        np.maximum(variances, floor).reshape(S, M, D),
        np.append(stay[:-1].clip(RARE, 1 - RARE), 1.0),
    )
    return found, float(total.sum() / len(frames.y))


# ---- a model for each word


def fit(train: Sequence[Example], states: int, gaussians: int, least: float, seed: int) -> dict[str, Model]:
    """The recordings are cepstra [T, D]; least: a Gaussian's variance, as a share of that of all frames."""
    floor = least * np.concatenate([y for y, _ in train]).var(0)
    models = {}
    for word in sorted({word for _, word in train}):
        recordings = [y for y, said in train if said == word]
        model, frames = start(recordings, states, gaussians, seed), together(recordings)
        for _ in range(ITERATIONS):
            model, _ = better(model, frames, floor)
        models[word] = model
    return models


def read(models: dict[str, Model], recordings: Sequence[np.ndarray]) -> list[str]:
    """The most probable word of each."""
    scores = likelihoods(models, recordings)
    return [list(models)[k] for k in scores.argmax(0)]


def likelihoods(models: dict[str, Model], recordings: Sequence[np.ndarray]) -> np.ndarray:
    """log p(recording | word), [words, N]."""
    frames = together(recordings)
    bs = ((model, frames.spread(sum_last(densities(model, frames.y)))) for model in models.values())
    return np.array([forward(model, b, frames.there)[1] for model, b in bs])


def share(said: Sequence[str], test: Sequence[Example]) -> float:
    return float(np.mean([a == b for a, (_, b) in zip(said, test, strict=True)]))


def tune(train: Sequence[Example], groups: Sequence[str] | None, seed: int) -> tuple[Shape, dict[str, float]]:
    """States, Gaussians and floor of the best accuracy in cross-validation, and the accuracy of all that was tried.

    groups: whose a recording is; a fold then holds whole groups, as many as there are. Without, `FOLDS` random folds.
    """
    if groups is None:
        fold = np.random.default_rng(seed).permutation(len(train)) % FOLDS
    else:
        fold = np.unique(np.asarray(groups), return_inverse=True)[1]
    found: dict[Shape, float] = {}
    for shape in itertools.product(STATES, GAUSSIANS, FLOORS):
        right = 0.0
        for k in range(fold.max() + 1):
            kept, left = ([one for one, f in zip(train, fold, strict=True) if (f == k) == out] for out in (False, True))
            right += share(read(fit(kept, *shape, seed), [y for y, _ in left]), left) * len(left)
        found[shape] = right / len(train)
    best = max(found, key=lambda shape: (found[shape], -shape[0] * shape[1]))  # of equals the smallest
    return best, {f"{S} × {M}, {least}": right for (S, M, least), right in found.items()}


def run(
    train: Sequence[Example], test: Sequence[Example], seed: int = 0, *, groups: Sequence[str] | None = None,
    shape: Shape | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Tune, fit and read.

    {"accuracy": of the test, "states", "gaussians", "floor": chosen, "tried": the accuracy of each in cross-validation,
    "parameters": numbers that are learnt, "tune_seconds", "fit_seconds": of the chosen one, "read_seconds": for one
    recording, all being read at once, "said": for each of the test, "hmmlearn": see `beside`}

    groups: see `tune`. shape: states, Gaussians and floor, where they are not to be tuned.
    """
    learnt, asked = ([(cepstra(x), word) for x, word in part] for part in (train, test))
    clock = [time.perf_counter()]
    shape, tried = tune(learnt, groups, seed) if shape is None else (shape, {})
    clock.append(time.perf_counter())
    models = fit(learnt, *shape, seed)
    clock.append(time.perf_counter())
    said = read(models, [y for y, _ in asked])
    clock.append(time.perf_counter())
    S, M, least = shape
    return {
        "accuracy": share(said, asked),
        "states": S,
        "gaussians": M,
        "floor": least,
        "tried": tried,
        "parameters": len(models) * (S * M * 2 * 3 * CEPSTRA + S * (M - 1) + S - 1),
        "tune_seconds": clock[1] - clock[0],
        "fit_seconds": clock[2] - clock[1],
        "read_seconds": (clock[3] - clock[2]) / max(1, len(test)),
        "said": said,
        "hmmlearn": beside(models, asked) if find_spec("hmmlearn") else None,
    }


def beside(models: dict[str, Model], test: Sequence[Example]) -> dict[str, float]:
    """The same models in hmmlearn: the largest difference of a log p from ours, its accuracy, seconds a recording."""
    from hmmlearn.hmm import GMMHMM

    theirs = {}
    for word, ours in models.items():
        S, M, _ = ours.means.shape
        theirs[word] = one = GMMHMM(S, M, covariance_type="diag")
        one.startprob_, one.transmat_ = np.eye(S)[0], np.diag(ours.stay) + np.diag(1 - ours.stay[:-1], 1)
        one.weights_, one.means_, one.covars_ = ours.weights, ours.means, ours.variances
    began = time.perf_counter()
    scores = np.array([[one.score(y) for one in theirs.values()] for y, _ in test])
    seconds = (time.perf_counter() - began) / max(1, len(test))
    said = [list(theirs)[k] for k in scores.argmax(1)]
    gap = float(np.abs(scores.T - likelihoods(models, [y for y, _ in test])).max())
    return {"difference": gap, "accuracy": share(said, test), "read_seconds": seconds}


# ---- spoken digits


def digits(path: Path = DATA, bands: int = 26) -> list[tuple[np.ndarray, str, str, int]]:
    """(log-mel frames, digit, speaker, number) of every recording, DIGIT_SPEAKER_NUMBER.wav at 8 kHz."""
    import soundfile

    from gated.features.fbank import Front, fbank

    found = []
    with tarfile.open(path) as archive:
        for member in sorted((m for m in archive if m.name.endswith(".wav")), key=lambda m: m.name):
            sound, rate = soundfile.read(io.BytesIO(archive.extractfile(member).read()), dtype="float32")
            digit, speaker, number = Path(member.name).stem.split("_")
            found.append((fbank(sound, Front(rate, bands)), digit, speaker, int(number)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speakers", action="store_true", help="Each speaker held out in turn, too.")
    given = parser.parse_args()
    found = digits()
    parts = {"official": lambda speaker, number: number < 5}
    for name in sorted({speaker for _, _, speaker, _ in found}) if given.speakers else ():
        parts[name] = lambda speaker, number, name=name: speaker == name
    for name, held in parts.items():
        train, test = ([one for one in found if held(one[2], one[3]) == out] for out in (False, True))
        groups = None if name == "official" else [speaker for _, _, speaker, _ in train]
        result = run([one[:2] for one in train], [one[:2] for one in test], groups=groups)
        print(json.dumps({"held out": name} | {k: v for k, v in result.items() if k != "said"}), flush=True)


if __name__ == "__main__":
    main()
