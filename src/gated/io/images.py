"""Images: their pixels, and a line of print as columns of one height: ink 1, paper 0, the line straight.

Scans differ in what no reader looks at: how large the letters are, how much paper is around them, whether the line runs
level, how dark the ink is. What is left here is the same for all of them.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gated._check import optional, refuse, want, within

__all__ = ["columns", "grey", "ink", "level"]

PIXELS = 20_000_000  # of one image
FAINT = 16  # of 255 greys: with less than that between ink and paper an image is blank
STANDS = 10  # times as high as wide: no letter is, but a line on its side
REACH = 4.0  # mean distances of the ink from the line's middle that hold its ascenders and descenders
SMOOTH = 2.0  # line heights that the middle is followed over, as a Gaussian's deviation
SPAN = "the image of one line"
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


def columns(
    path: str | Path, *, height: int = 32, dewarp: bool = True, longest: int = 4096
) -> Float[np.ndarray, "R T"]:
    """The image of one line as `height` rows and as many columns as it takes, float32, ink 1 and paper 0.

    path      any image that Pillow opens: black on white or white on black, grey, coloured, transparent (on white)
    height    rows; the letters fill them whatever the size of the image
    dewarp    follow the line where it slopes or bends; else it is only cropped and scaled
    longest   columns at most

    An image over ten times as high as wide holds a line on its side, read from the bottom up: it is turned.

    Errors name the file: not there, a folder, no image, damaged, several pages, blank, too large, too long.
    """
    within("height", height, 8, 512)
    within("longest", longest, 8)
    page = ink(path)
    line = level(page, height, dewarp=dewarp, longest=longest, where=str(path))
    return line.astype(np.float32) / 255


def ink(path: str | Path) -> np.ndarray:
    """The image as bytes [h, w], paper 0 and ink 255, cropped at the sides to what is inked; see `columns`."""
    where = str(path)
    pixels = grey(path)
    if pixels.shape[0] > STANDS * pixels.shape[1]:
        pixels = np.rot90(pixels, -1)
    counts = np.bincount(pixels.ravel(), minlength=256)
    want(int((counts > 0).sum()) > 1, where, SPAN, "a blank one")
    cut = _otsu(counts)
    dark, light = _median(counts[:cut]), cut + _median(counts[cut:])
    want(light - dark >= FAINT, where, SPAN, "a blank one")
    paper, black = (light, dark) if 2 * counts[cut:].sum() >= pixels.size else (dark, light)  # there is more of paper
    out = np.rint(np.clip((paper - np.arange(256)) * (255 / (paper - black)), 0, 255)).astype(np.uint8)[pixels]
    count = (out > 127).sum(0)
    whole = np.convolve(count, (1, 1, 1), "same") > 2  # more than a speck of dust
    inked = np.flatnonzero((count > 0) & (whole if whole.any() else True))
    return out[:, inked[0] : inked[-1] + 1]


def level(
    page: np.ndarray, height: int, *, dewarp: bool = True, longest: int = 4096, where: str = "line"
) -> np.ndarray:
    """Bytes [h, w] of ink to bytes [height, T]: the line straight, filling the rows, a margin at either end.

    The middle of the line at a column is where a straight line, fitted to the ink around with weights of a Gaussian
    in columns, passes it; the fit is repeated on the ink near that middle. The rows are those within `REACH` mean
    distances of the ink from the middle. After the centre normaliser of OCRopus (Breuel et al., ICDAR 2013), which
    takes the largest of the smoothed ink.
    """
    page, margin = _reduce(page, 4 * height), height // 4

    def across(reach: float) -> int:
        T = max(1, round(page.shape[1] * height / (2 * reach)))
        got = f"{T + 2 * margin} columns at {height} rows"
        want(T + 2 * margin <= longest, where, f"a line of at most {longest} columns", got, "Is it one line alone?")
        return T

    across(len(page))  # before more memory is taken: no line reaches farther
    middle, reach = _find_middle(page, dewarp)
    T = across(reach)
    rows = middle - reach + (np.arange(round(2 * reach)) + 0.5)[:, None] * (2 * reach / round(2 * reach)) - 0.5
    image = optional("PIL.Image", "transcribe")
    band = image.fromarray(_lift(page, rows)).resize((T, height), image.Resampling.BICUBIC)
    return np.pad(np.asarray(band), ((0, 0), (margin, margin)))


# ---- the middle of the line


def _find_middle(page: np.ndarray, dewarp: bool) -> tuple[np.ndarray, float]:
    """The row of the line's middle at every column, and how far above and below it the line reaches."""
    h, w = page.shape
    weight = np.where(page > 63, page, 0).astype(np.float32) / 255
    row, column = np.arange(h, dtype=np.float32)[:, None], np.arange(w)
    total = weight.sum()
    least = h * min(max(0.25 * h / w, 0.125), 0.4)  # a dash alone says little of the line's height, its image more
    middle = np.full(w, (weight * row).sum() / total, np.float32)
    if dewarp:
        down, across = weight.sum(0), column - (weight.sum(0) * column).sum() / total
        ridge = 4 * h**2 * total  # the few letters of a short line say little of its slope
        slope = (across * (weight * (row - middle)).sum(0)).sum() / ((across**2 * down).sum() + ridge)
        middle += (slope * across).astype(np.float32)
    reach = _reach(weight, row, middle, least)
    for _ in range(3 if dewarp else 0):
        near = np.where(np.abs(row - middle) <= reach, weight, 0)
        step = _smooth(near.sum(0), (near * (row - middle)).sum(0), 2 * SMOOTH * reach)
        middle += step.astype(np.float32)
        reach = _reach(near, row, middle, least)
    return middle, reach


def _reach(weight: np.ndarray, row: np.ndarray, middle: np.ndarray, least: float) -> float:
    mean = float((weight * np.abs(row - middle)).sum() / max(weight.sum(), 1e-9))
    return min(max(least, 1.0, REACH * mean), float(len(row)))


def _smooth(w: np.ndarray, wy: np.ndarray, deviation: float) -> np.ndarray:
    """Straight lines fitted locally to heights y of weight w at every column; flat, towards 0, where there is no ink.

    Of the moments S_k = Σ K w d^k and N_k = Σ K w y d^k, with d the distance in columns and K a Gaussian of it, the fit
    passes at (S_2 N_0 - S_1 N_1) / (S_2 S_0 - S_1²); a ridge on the slope holds it where all ink is in one place.
    """
    step = max(1, int(deviation / 6))  # narrower than anything that the Gaussian lets through
    edges = np.arange(0, len(w), step)
    places, at = np.arange(len(w)), edges + (step - 1) / 2
    w, wy = np.add.reduceat(w, edges), np.add.reduceat(wy, edges)
    d = (at - at[:, None]) / deviation
    K = np.exp(-0.5 * d * d)
    S0, S1, S2, N0, N1 = K @ w, (K * d) @ w, (K * d * d) @ w, K @ wy, (K * d) @ wy
    S0 = S0 + 1e-3 * w.mean()
    S2 = S2 + S0
    return np.interp(places, at, (S2 * N0 - S1 * N1) / (S2 * S0 - S1 * S1))


def _lift(page: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The page at fractional rows [n, w], linear between two; paper beyond its edges."""
    page = np.pad(page, ((1, 1), (0, 0))).astype(np.float32)
    rows = np.clip(rows + 1, 0, len(page) - 1.001)
    low = rows.astype(np.int64)
    share = (rows - low).astype(np.float32)
    above, below = (np.take_along_axis(page, k, 0) for k in (low, low + 1))
    return np.rint(above + share * (below - above)).astype(np.uint8)


def _reduce(page: np.ndarray, most: int) -> np.ndarray:
    """Made smaller by a whole number where it is far higher than wanted: what follows costs by the pixel."""
    inked = np.flatnonzero((page > 127).any(1))
    k = (inked[-1] + 1 - inked[0]) // most
    if k < 2:
        return page
    image = optional("PIL.Image", "transcribe")
    return np.asarray(image.fromarray(page).reduce(int(k)))


# ---- the file


def grey(path: str | Path) -> np.ndarray:
    """The pixels of an image as bytes [h, w], black 0 and white 255, whatever the file holds; errors as `columns`."""
    path, where = Path(path), str(path)
    image, ops = optional("PIL.Image", "transcribe"), optional("PIL.ImageOps", "transcribe")
    want(path.exists(), where, "a file", "no such file")
    want(not path.is_dir(), where, "a file", "a folder")
    most = f"an image of at most {PIXELS:,} pixels"
    try:
        with image.open(path) as scan:
            w, h = scan.size
            want(w * h <= PIXELS, where, most, f"{w} x {h}", "Crop the line out of its page.")
            pages = 1 if scan.format == "MPO" else getattr(scan, "n_frames", 1)  # of a camera: more than one, of one
            want(pages == 1, where, SPAN, f"{pages} pages", "Save each as a file of its own.")
            return _to_grey(ops.exif_transpose(scan), image)
    except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
        refuse(where, most, str(error))
    except image.UnidentifiedImageError:
        refuse(where, "an image", "none that can be read")
    except BROKEN as error:
        refuse(where, "a whole image", str(error).rstrip(".") or type(error).__name__, "It was cut short or damaged.")


def _to_grey(scan: Any, image: Any) -> np.ndarray:
    if scan.mode.startswith(("I", "F")):  # 16 bits and more: no file says where white is
        values = np.nan_to_num(np.asarray(scan).astype(np.float32), posinf=0, neginf=0)
        return np.rint(np.maximum(values, 0) * (255 / max(float(values.max()), 1e-6))).astype(np.uint8)
    if scan.mode not in ("1", "L", "RGB", "CMYK") or "transparency" in scan.info:
        white = image.new("RGBA", scan.size, "white")
        white.alpha_composite(scan.convert("RGBA"))
        scan = white
    return np.asarray(scan.convert("L"))


def _otsu(counts: np.ndarray) -> int:
    """The first grey of the lighter part, where the variance between the two parts is largest (Otsu 1979)."""
    n, s = np.cumsum(counts)[:-1].astype(float), np.cumsum(counts * np.arange(256))[:-1].astype(float)
    rest, total = counts.sum() - n, float((counts * np.arange(256)).sum())
    apart = n * rest * (s / np.maximum(n, 1) - (total - s) / np.maximum(rest, 1)) ** 2
    best = np.flatnonzero(apart >= apart.max() * (1 - 1e-9))
    return int(best[len(best) // 2]) + 1


def _median(counts: np.ndarray) -> int:
    return int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
