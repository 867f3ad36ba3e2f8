"""What stands beside every score, from the same training data: the majority, words without order, neighbours.

majority     the most frequent labels, with their shares; of numbers their mean
tfidf        text: logistic regression, or of numbers ridge regression, on TF-IDF of words and pairs (scikit-learn)
euclid, dtw  series: the nearest training series, all at one length, in units of the data or in their own; dynamic
             time warping (Sakoe & Chiba 1978) within a window; units and window are the best of the training series
memoryless   the same network without memory: each step by itself, then the mean and the maximum over steps
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from gated import train
from gated._check import optional
from gated.io.text import plural
from gated.tasks.classify import inputs, model, training
from gated.tasks.classify.inputs import Scale
from gated.tasks.classify.training import Classifier

LENGTH = 96  # steps to which series are brought for neighbours
WINDOWS = (0.03, 0.1, 0.2)  # of DTW, as shares of the length
TUNED, LEFT_OUT = 60, 500  # training series by which a window is chosen, and units
CELLS = 2_000_000_000  # of DTW's tables, at most; with more, fewer training series are compared
BLOCK = 4_000_000  # numbers of a table at once
WORDS: dict[str, Any] = {"token_pattern": r"(?u)\b\w+\b|[^\w\s]"}  # words and marks
STEPS, EPOCHS = (100, 400), 20  # updates of the network without memory, at least and at most
MEMORYLESS = ((64, 1, 1, 1), (64, 1, 1, 1))


def answers(
    made: Classifier, old: Sequence[Any], codes: np.ndarray, new: Sequence[Any], seed: int = 0
) -> tuple[dict[str, tuple[np.ndarray, float, bool]], list[str]]:
    """By name each baseline's probabilities of new examples, its seconds, whether they are more than 0 and 1; notes.

    old, codes: the training examples as they were read, and their targets.
    """
    kind, notes = made.layout.kind, []
    makers: dict[str, Callable[[], np.ndarray]] = {}
    number = made.targets.kind == "number"
    makers["mean" if number else "majority"] = lambda: _majority(made, codes, len(new))
    if kind == "text":
        makers["ridge" if number else "tfidf"] = lambda: _tfidf(made, old, codes, new)
    elif kind == "series":
        a, b = _resample(made, old, new, codes)
        makers["euclid"] = lambda: _one_hot(made, codes, _euclid(a, b))
        makers["dtw"] = lambda: _one_hot(made, codes, _dtw(a, b, codes, notes))
    makers["memoryless"] = lambda: _memoryless(made, old, codes, new, seed)
    out = {}
    for name, make in makers.items():
        start = time.perf_counter()
        p = make()
        out[name] = p, time.perf_counter() - start, name not in ("euclid", "dtw")
    return out, notes


def _majority(made: Classifier, codes: np.ndarray, count: int) -> np.ndarray:
    goal = made.targets
    if goal.kind == "number":
        return np.full((count, 1), float(codes.mean()) * goal.std + goal.mean)
    shares = codes.mean(0) if goal.kind == "labels" else np.bincount(codes, minlength=len(goal)) / len(codes)
    return np.tile(shares, (count, 1))


def _one_hot(made: Classifier, codes: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """The targets of the nearest training examples, as predictions."""
    goal = made.targets
    if goal.kind == "number":
        return (codes[nearest] * goal.std + goal.mean)[:, None]
    return codes[nearest].astype(float) if goal.kind == "labels" else np.eye(len(goal))[codes[nearest]]


# ---- text


def _tfidf(made: Classifier, old: Sequence[str], codes: np.ndarray, new: Sequence[str]) -> np.ndarray:
    text, linear = (optional(f"sklearn.{name}", "classify") for name in ("feature_extraction.text", "linear_model"))
    vectors = text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **WORDS)
    x, z, goal = vectors.fit_transform(old), vectors.transform(new), made.targets
    if goal.kind == "number":
        return linear.Ridge().fit(x, codes).predict(z)[:, None] * goal.std + goal.mean
    if goal.kind == "labels":
        columns = []
        for column in codes.T:
            constant = column.min() == column.max()
            p = np.full(len(new), column[0]) if constant else _logistic(linear).fit(x, column).predict_proba(z)[:, 1]
            columns.append(p)
        return np.stack(columns, 1)
    fitted = _logistic(linear).fit(x, codes)
    out = np.zeros((len(new), len(goal)))
    out[:, fitted.classes_] = fitted.predict_proba(z)
    return out


def _logistic(linear: Any) -> Any:
    return linear.LogisticRegression(C=10.0, max_iter=1000)


# ---- neighbours


def _resample(
    made: Classifier, old: Sequence[np.ndarray], new: Sequence[np.ndarray], codes: np.ndarray
) -> tuple[Float[np.ndarray, "N L R"], Float[np.ndarray, "M L R"]]:
    """Training and new series at one length, in units of the data or in their own: as the nearest others do better."""
    scale = cast(Scale, made.inputs.scale)
    C = len(scale.mean)
    ways = []
    for k in range(1 + scale.own):
        rows = slice(k * C, (k + 1) * C)
        a, b = ([_stretch(scale.apply(x)[rows]) for x in items] for items in (old, new))
        ways.append((np.stack(a), np.stack(b)))
    chosen = np.sort(np.random.default_rng(0).permutation(len(old))[:LEFT_OUT])
    return max(ways, key=lambda way: _leave_one_out(_square(way[0][chosen], way[0][chosen]), codes[chosen]))


def _stretch(x: Float[np.ndarray, "R T"]) -> Float[np.ndarray, "L R"]:
    if not x.shape[1]:
        return np.zeros((LENGTH, len(x)), np.float32)
    at = np.linspace(0, x.shape[1] - 1, LENGTH)
    return np.stack([np.interp(at, np.arange(x.shape[1]), row) for row in x], 1).astype(np.float32)


def _leave_one_out(d: Float[np.ndarray, "N N"], codes: np.ndarray) -> float:
    """How well the nearest other has each one's target, by the distances of all."""
    if len(d) < 2:
        return 0.0
    np.fill_diagonal(d, np.inf)
    near = codes[d.argmin(1)]
    if codes.dtype.kind == "f" and codes.ndim == 1:
        return -float(((near - codes) ** 2).mean())
    same = near == codes
    return float((same.all(1) if same.ndim > 1 else same).mean())


def _square(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, "N M"]:
    """Squared Euclidean distances, but for a term that is the same for all of b."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return (b**2).sum(1) - 2 * a @ b.T


def _euclid(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    rows = max(1, BLOCK // len(old))
    return np.concatenate([_square(new[k : k + rows], old).argmin(1) for k in range(0, len(new), rows)])


def _dtw(old: np.ndarray, new: np.ndarray, codes: np.ndarray, notes: list[str]) -> np.ndarray:
    """The nearest training series of each new one."""
    rng = np.random.default_rng(0)
    tuned = np.sort(rng.permutation(len(old))[:TUNED])
    own = old[tuned]
    window = max(WINDOWS, key=lambda w: _leave_one_out(distances(own, own, w), codes[tuned]))
    cells = len(new) * LENGTH * (2 * window * LENGTH + 1) * old.shape[2]
    most = max(50, int(CELLS / max(1, cells)))
    chosen = np.sort(rng.permutation(len(old))[:most])
    if len(chosen) < len(old):
        notes.append(
            f"DTW compares with {plural(len(chosen), 'training series', 'training series')}, drawn of {len(old):,}."
        )
    rows = max(1, BLOCK // (len(chosen) * LENGTH))
    parts = [distances(new[k : k + rows], old[chosen], window).argmin(1) for k in range(0, len(new), rows)]
    return chosen[np.concatenate(parts)]


def distances(a: Float[np.ndarray, "N L R"], b: Float[np.ndarray, "M L R"], window: float) -> Float[np.ndarray, "N M"]:
    """Squared DTW distances within a band of `window`·L steps about the diagonal.

        D_ij = |a_i − b_j|² + min(D_{i−1,j}, D_{i,j−1}, D_{i−1,j−1})

    Cells i + j = d are computed together, of all pairs at once.
    """
    N, L, _ = a.shape
    M, band = len(b), max(1, int(window * L))
    x, y = a.transpose(1, 2, 0)[..., None], b.transpose(1, 2, 0)[:, :, None]  # [L, R, N, 1], [L, R, 1, M]
    before, last, new = (np.full((L + 1, N, M), np.inf, np.float32) for _ in range(3))  # of d − 2, d − 1, d, at i + 1
    before[0] = 0
    for d in range(2 * L - 1):
        low, high = max(0, d - L + 1, -(-(d - band) // 2)), min(L - 1, d, (d + band) // 2)
        i = np.arange(low, high + 1)
        cost = ((x[i] - y[d - i]) ** 2).sum(1)
        new[i + 1] = cost + np.minimum(np.minimum(last[i], last[i + 1]), before[i])
        new[low], new[high + 2 :] = np.inf, np.inf
        before, last, new = last, new, before
    return last[L]


# ---- no memory


def _memoryless(made: Classifier, old: Sequence[Any], codes: np.ndarray, new: Sequence[Any], seed: int) -> np.ndarray:
    text = made.layout.kind == "text"
    shape = made.network.shape._replace(layers=0, pairs=0, plane=False, blocks=() if text else MEMORYLESS)
    with train.seeded(seed):
        network = model.Network(shape, 0.3)
    xs, test = (made.inputs.encode(items) for items in (old, new))
    indices = training.batches(inputs.lengths(xs), 64, seed)
    config = train.Config(steps=int(np.clip(EPOCHS * len(xs) / 64, *STEPS)), lr=5e-3, seed=seed, device="cpu")

    def batch(n: int) -> Any:
        k = indices(n)
        return inputs.collate([xs[i] for i in k], codes[k])

    with train.threads(1):
        train.fit(network, lambda network, b: model.loss(network, b, 0.1), batch, config=config, progress=False)
    plain = Classifier(made.layout, made.inputs, made.targets, network)
    return training.predict(plain, training.score(plain, test))


def split(items: Sequence[Any], budget: int) -> list[int]:
    """The indices of as many examples, in order of a draw, as take at most so many bytes."""
    order = np.random.default_rng(0).permutation(len(items))
    sizes = np.array([len(items[k]) * 2 if isinstance(items[k], str) else items[k].nbytes for k in order])
    return sorted(order[: int(np.searchsorted(sizes.cumsum(), budget, "right"))].tolist())
