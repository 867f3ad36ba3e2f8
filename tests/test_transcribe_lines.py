"""Lines of print: what comes out is the same however the image was scanned, stored, bent or scaled."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from gated.tasks.transcribe import lines

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


@pytest.fixture
def plain(tmp_path):
    return lines.columns(saved(tmp_path, drawn(), "plain.png"))


def test_a_line_becomes_columns_of_ink(plain):
    """float32, `height` rows, paper 0 with a margin at both ends, ink 1, letters in the middle and nothing cut off."""
    assert plain.dtype == np.float32
    assert len(plain) == 32
    assert (plain.min(), plain.max()) == (0, 1)
    assert not plain[:, :8].any()
    assert not plain[:, -8:].any()
    assert plain[:, 8].any()
    assert plain[:, -9].any()
    assert not plain[0].any()
    assert not plain[-1].any()
    assert plain[4:-4].sum() > 0.9 * plain.sum()


@pytest.mark.parametrize("name", ["slope", "bow", "wave"])
def test_a_bent_line_comes_out_straight(name, plain, tmp_path):
    """A line that slopes, bows or waves by more than its letters' height comes out like the straight one."""
    t = np.linspace(-1, 1, drawn().shape[1])
    shift = {"slope": 25 * t, "bow": 25 * t * t, "wave": 12 * np.sin(5 * t)}[name]
    path = saved(tmp_path, bent(drawn(), shift))
    assert likeness(plain, lines.columns(path)) > 0.9
    assert likeness(plain, lines.columns(path, dewarp=False)) < 0.5
