"""Lines of print, drawn, saved, bent and compared."""

import time
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXT = "The quick brown fox, jumps over 42 dogs & (some) Foxes again."


def drawn(text: str = TEXT, size: int = 30, face: str = "DejaVuSerif", pad: int = 12) -> np.ndarray:
    """A line in black on white, bytes."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf", size)
    left, top, right, bottom = map(int, font.getbbox(text))
    image = Image.new("L", (right - left + 2 * pad, bottom - top + 2 * pad), 255)
    ImageDraw.Draw(image).text((pad - left, pad - top), text, 0, font)
    return np.asarray(image)


def saved(folder: Path, image, name: str = "line.png", **options) -> Path:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(folder / name, **options)
    return folder / name


def bent(image: np.ndarray, shift) -> np.ndarray:
    """Every column moved down by its own number of rows, the image made high enough for it."""
    shift = np.asarray(shift) - np.min(shift)
    extra = int(np.ceil(shift.max())) + 1
    page = np.pad(image, ((extra, extra), (0, 0)), constant_values=255).astype(float)
    rows = np.arange(len(page))
    return np.stack([np.interp(rows - s, rows, column) for s, column in zip(shift, page.T, strict=True)], 1).astype(
        "u1"
    )


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of two lines, the second stretched to the first's columns."""
    b = np.asarray(Image.fromarray((255 * b).astype("u1")).resize(a.shape[::-1])) / 255
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def least(work) -> float:
    """The fewest seconds of the processor's time of several runs: a busy machine only ever adds."""

    def seconds() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(seconds() for _ in range(30))
