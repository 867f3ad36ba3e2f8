"""Images: their pixels, and a line of print as columns of one height: ink 1, paper 0, the line straight.

Scans differ in what no reader looks at: how large the letters are, how much paper is around them, whether the line runs
level, how dark the ink is. What is left here is the same for all of them.
"""

from __future__ import annotations

import itertools
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from gated._check import InputError, optional, refuse, want, within

__all__ = ["Box", "boxes", "columns", "grey", "ink", "level", "scale"]

PIXELS = 20_000_000  # of one image
FAINT = 16  # of 255 greys: with less than that between ink and paper an image is blank
STANDS = 10  # times as high as wide: no letter is, but a line on its side
REACH = 4.0  # mean distances of the ink from the line's middle that hold its ascenders and descenders
PAPER = 4, 32  # heights of the ink that an image may be high, of several letters and of few: more is margin
LETTERS = 4  # inked runs of columns that are several
SMOOTH = 2.0  # line heights that the middle is followed over, as a Gaussian's deviation
SPAN = "the image of one line"
POINTER = b"version https://git-lfs"
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


class Box(NamedTuple):
    """A rectangle of an image: its first column and row, and those after its last."""

    left: int
    top: int
    right: int
    bottom: int


class Page(NamedTuple):
    """The ink of an image, cropped, and where it was."""

    ink: np.ndarray
    left: int
    top: int
    turned: bool
    size: tuple[int, int]  # of the image: width and height


class Track(NamedTuple):
    """Where a straight line was in its page."""

    reduction: int
    middle: np.ndarray
    reach: float
    width: int  # of the straight line
    margin: int


def columns(
    path: str | Path, *, height: int = 32, dewarp: bool = True, longest: int = 4096, notes: list[str] | None = None
) -> Float[np.ndarray, "R T"]:
    """The image of one line as `height` rows and as many columns as it takes, float32, ink 1 and paper 0.

    path      any image that Pillow opens: black on white or white on black, grey, coloured, transparent
    height    rows; the letters fill them whatever the size of the image
    dewarp    follow the line where it slopes or bends; else it is only cropped and scaled
    longest   columns at most
    notes     takes what is remarkable: that the image was turned

    An image over ten times as high as wide holds a line on its side, read from the bottom up: it is turned.

    Errors name the file: not there, a folder, no image, damaged, several pages, blank, too large, too long.
    """
    within("height", height, 8, 512)
    within("longest", longest, 8)
    page = _read_page(path)
    if page.turned and notes is not None:
        notes.append("it is far higher than wide, so it was turned a quarter to the right")
    line = level(page.ink, height, dewarp=dewarp, longest=longest, where=str(path))
    return line.astype(np.float32) / 255


def boxes(
    path: str | Path, spans: Sequence[tuple[float, float]], *, height: int = 32, dewarp: bool = True,
    longest: int = 4096,
) -> tuple[tuple[int, int], list[Box]]:  # fmt: skip
    """The width and height of an image, and for spans of the columns that `columns` gives, their boxes in its pixels.

    Neighbouring spans share the space between them; a box is then as small as the ink in it allows.
    """
    page = _read_page(path)
    _, track = _straighten(page.ink, height, dewarp, longest, str(path))
    scale, high, wide = len(track.middle) / track.width, *page.ink.shape
    ends = [0.0, *((a[1] + b[0]) / 2 for a, b in itertools.pairwise(spans)), track.width + 2.0 * track.margin]
    edges = [min(max((end - track.margin) * scale, 0.0), len(track.middle) - 1.0) for end in ends]
    out = []
    for a, b in itertools.pairwise(edges):
        middle = track.middle[int(a) : int(b) + 1]
        rows = (middle.min() - track.reach, middle.max() + track.reach)
        left, right, top, bottom = (round(v * track.reduction) for v in (a, b, *rows))
        left, right = left if a > 0 else 0, right if b < edges[-1] else wide
        top, bottom = max(0, top), min(high, bottom + 1)
        part = page.ink[top:bottom, left : max(right, left + 1)] > 127
        inside = [np.flatnonzero(part.any(axis)) for axis in (0, 1)]
        if all(map(len, inside)):
            left, right = left + int(inside[0][0]), left + int(inside[0][-1]) + 1
            top, bottom = top + int(inside[1][0]), top + int(inside[1][-1]) + 1
        box = Box(left + page.left, top + page.top, right + page.left, bottom + page.top)
        out.append(_turn_back(box, page.size[1]) if page.turned else box)
    return page.size, out[: len(spans)]


def _turn_back(box: Box, height: int) -> Box:
    """A box of an image that was turned to the right, in the image itself."""
    return Box(box.top, height - box.right, box.bottom, height - box.left)


def ink(path: str | Path) -> np.ndarray:
    """The image as bytes [h, w], paper 0 and ink 255, cropped to what is inked and paper around; see `columns`."""
    return _read_page(path).ink


def _read_page(path: str | Path) -> Page:
    where = str(path)
    pixels = grey(path)
    size, turned = (pixels.shape[1], pixels.shape[0]), pixels.shape[0] > STANDS * pixels.shape[1]
    if turned:
        pixels = np.rot90(pixels, -1)
    counts = np.bincount(pixels.ravel(), minlength=256)
    want(int((counts > 0).sum()) > 1, where, SPAN, "a blank one")
    cut = _otsu(counts)
    dark, light = _median(counts[:cut]), cut + _median(counts[cut:])
    want(light - dark >= FAINT, where, SPAN, "a blank one")
    paper, black = (light, dark) if 2 * counts[cut:].sum() >= pixels.size else (dark, light)  # there is more of paper
    out = np.rint(np.clip((paper - np.arange(256)) * (255 / (paper - black)), 0, 255)).astype(np.uint8)[pixels]
    inked = _find_inked(out, 0)
    out = out[:, inked[0] : inked[-1] + 1]
    top, bottom = _find_rows(out)
    return Page(out[top:bottom], int(inked[0]), top, turned, size)


def _find_inked(page: np.ndarray, axis: int) -> np.ndarray:
    """The columns, or the rows, with more ink than a speck of dust has."""
    count = (page > 127).sum(axis)
    whole = np.convolve(count, (1, 1, 1), "same") > 2
    return np.flatnonzero((count > 0) & (whole if whole.any() else True))


def _find_rows(page: np.ndarray) -> tuple[int, int]:
    """The rows to read: all, but where margins are far higher than the ink."""
    rows = _find_inked(page, 1)
    high = rows[-1] + 1 - rows[0]
    letters = np.count_nonzero(np.diff((page > 127).any(0).astype(np.int8), prepend=0) == 1)
    most = PAPER[int(letters < LETTERS)] * high
    spare = (most - high) // 2
    if len(page) <= most:
        return 0, len(page)
    return max(0, int(rows[0] - spare)), min(len(page), int(rows[-1] + 1 + spare))


def level(
    page: np.ndarray, height: int, *, dewarp: bool = True, longest: int = 4096, where: str = "line"
) -> np.ndarray:
    """Bytes [h, w] of ink to bytes [height, T]: the line straight, filling the rows, a margin at either end.

    The middle of the line at a column is where a straight line, fitted to the ink around with weights of a Gaussian
    in columns, passes it; the fit is repeated on the ink near that middle. The rows are those within `REACH` mean
    distances of the ink from the middle. After the centre normaliser of OCRopus (Breuel et al., ICDAR 2013), which
    takes the largest of the smoothed ink.
    """
    return _straighten(page, height, dewarp, longest, where)[0]


def _straighten(page: np.ndarray, height: int, dewarp: bool, longest: int, where: str) -> tuple[np.ndarray, Track]:
    whole, margin = len(page), height // 4
    page = _reduce(page, 4 * height)

    def across(reach: float) -> int:
        T = max(1, round(page.shape[1] * height / (2 * reach)))
        got = f"{T + 2 * margin:,} columns at {height} rows"
        todo = "Is it one line alone? Cut it into parts."
        want(T + 2 * margin <= longest, where, f"a line of at most {longest:,} columns", got, todo)
        return T

    across(len(page))  # before more memory is taken: no line reaches farther
    middle, reach = _find_middle(page, dewarp)
    T = across(reach)
    rows = middle - reach + (np.arange(round(2 * reach)) + 0.5)[:, None] * (2 * reach / round(2 * reach)) - 0.5
    image = optional("PIL.Image", "transcribe")
    band = image.fromarray(_lift(page, rows)).resize((T, height), image.Resampling.BICUBIC)
    track = Track(max(1, round(whole / len(page))), middle, reach, T, margin)
    return np.pad(np.asarray(band), ((0, 0), (margin, margin))), track


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
    want(os.path.exists(path), where, "a file", "no such file")
    want(not path.is_dir(), where, "a file", "a folder")
    want(not path.is_file() or path.stat().st_size > 0, where, "an image", "an empty file")
    most = f"an image of at most {PIXELS:,} pixels"
    try:
        with image.open(path) as scan:
            w, h = scan.size
            want(w * h <= PIXELS, where, most, f"{w} x {h}", "Crop the line out of its page.")
            pages = 1 if scan.format == "MPO" else getattr(scan, "n_frames", 1)  # of a camera: more than one, of one
            noun = "frames of an animation" if scan.format in ("GIF", "WEBP", "PNG") else "pages"
            want(pages == 1, where, SPAN, f"{pages} {noun}", "Save each as a file of its own.")
            return _to_grey(ops.exif_transpose(scan), image)
    except InputError:
        raise
    except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
        refuse(where, most, str(error))
    except image.UnidentifiedImageError:
        with path.open("rb") as file:
            pointer = file.read(len(POINTER)) == POINTER
        todo = "Fetch the file itself by git lfs pull." if pointer else ""
        refuse(where, "an image", "a pointer of Git LFS" if pointer else "none that can be read", todo)
    except BROKEN as error:
        refuse(where, "a whole image", str(error).rstrip(".") or type(error).__name__, "It was cut short or damaged.")


def scale(path: str | Path, width: int, height: int) -> Float[np.ndarray, "R T"]:
    """The image at this size, whatever its own, as float32 [height, width], black 0 and white 1; errors as `grey`."""
    image = optional("PIL.Image", "transcribe")
    pixels = image.fromarray(grey(path)).resize((width, height), image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(pixels, np.float32) / np.float32(255)


def _to_grey(scan: Any, image: Any) -> np.ndarray:
    if scan.mode.startswith(("I", "F")):  # 16 bits and more: no file says where white is
        values = np.nan_to_num(np.asarray(scan).astype(np.float32), posinf=0, neginf=0)
        return np.rint(np.maximum(values, 0) * (255 / max(float(values.max()), 1e-6))).astype(np.uint8)
    if scan.mode not in ("1", "L", "RGB", "CMYK") or "transparency" in scan.info:
        scan = scan.convert("RGBA")
        grey, alpha = np.asarray(scan.convert("RGB").convert("L")), np.asarray(scan.getchannel("A"))
        light = 2 * np.count_nonzero(alpha < 128) > alpha.size and np.average(grey, weights=alpha + 1e-9) > 127
        paper = image.new("RGBA", scan.size, "black" if light else "white")  # where most is clear, ink is what is not
        paper.alpha_composite(scan)
        scan = paper
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
