"""Lines of print, rendered with free fonts: the demo's data.

The fonts are those that matplotlib carries: DejaVu and STIX. The texts have no meaning, but look like text: words,
names, numbers, prices, dates and times, in sentences with punctuation.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gated._check import optional, within

MOST = 100_000  # lines at once
FACES = (
    "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSerif-Bold", "DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold",
    "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol",
)  # fmt: skip
SIZES = (22, 44)  # pixels of an em
TILT = 1.0  # degrees, at most
SLACK = 10  # pixels of paper on a side, at most
WORDS = """
a about above acid after again air all along amber among and any apple are as ask at autumn back bell below best
between big bird black blue boat bread bridge bring brown but by call can carry chair city clear cloud coal cold come
could cover dark day deep do does door down draw dry dust each early earth east egg else end even ever every eye face
far farm fast few field find fire first fish five flat floor flower fly for forest found four fox free from full
garden gave get glass go gold good grain grass great green grow had half hand hard has have he head hear heavy help
her high hill his hold home horse hot hour house how ice if in ink into iron is it its jar jazz join joke journey
juice jump just keep key kind kitchen kiwi know lamp land large last late leaf learn left less let letter light like
line little live long look lost low made make many map mark market may measure mile milk mind mine moon more most
mountain much music must name near never new next night nine no north not note nothing now oak of off often oil old on
once one only open or order other our out over own oxygen page paper part pass path pen people piece place plain plan
plant play point press print proof quarter queen question quick quiet quite rain read ready red rest rice rich right
river road rock room rose round run salt same sand say sea second see seed seven shall shape she ship short should
side silver simple sing six size sky sleep slow small snow so soft soil some song soon sound south square star stay
steel step still stone stop storm street strong such sugar summer sun sure table take tall tell ten than that the
their them then there these they thick thin thing think this those three through time to today too took top town train
travel tree true turn two under until up us use valley van very vex view village vine voice walk wall want warm was
wash water wave wax way we well went were west what wheat wheel when where which while white who why wide wild will
wind window wine winter wise with without wood word work world would write year yellow yes yet you young your zebra
zero zinc zone
""".split()  # noqa: SIM905
NAMES = """
Ada Anna Bruno Clara David Elif Emma Felix Greta Hugo Ida Ivan James Julia Karl Kofi Laura Leon Maria Max Nina Noor
Olga Otto Paul Petra Quinn Rosa Ruth Sofia Tom Ulla Uma Vera Victor Walter Xenia Yusuf Yara Zoe Amsterdam Berlin Cairo
Dublin Everest Florence Geneva Hanoi India Jena Kyoto London Madrid Nairobi Oslo Prague Quito Rome Sydney Turin
Uppsala Vienna Warsaw Xanten York Zurich
""".split()  # noqa: SIM905
MONTHS = """
January February March April May June July August September October November December
""".split()  # noqa: SIM905


def lines(count: int, seed: int) -> list[tuple[np.ndarray, str]]:
    """So many lines of print, bytes [h, w] with dark ink on light paper, and their texts, all different.

    The same seed gives the same texts, and the same pixels with the same versions of Pillow and of the fonts. Faces,
    sizes, margins, tilt, sharpness, darkness and grain differ from line to line.
    """
    within("count", count, 0, MOST)
    rng, pixels = random.Random(seed), np.random.default_rng(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[sentence(rng)] = None
    return [(_render(text, rng, pixels), text) for text in texts]


def save(folder: Path, pairs: Sequence[tuple[np.ndarray, str]]) -> Path:
    """The lines as 00001.png and 00001.gt.txt and so on, in a folder that is made."""
    image = optional("PIL.Image", "transcribe")
    folder.mkdir(parents=True, exist_ok=True)
    for n, (picture, text) in enumerate(pairs, 1):
        image.fromarray(picture).save(folder / f"{n:05d}.png", compress_level=1)
        (folder / f"{n:05d}.gt.txt").write_text(text + "\n", encoding="utf-8")
    return folder


# ---- texts


def sentence(rng: random.Random) -> str:
    """Three to seven words or numbers, with punctuation between and mostly at the end."""
    parts = [_piece(rng) for _ in range(3 + _below(rng, 5))]
    for k in range(len(parts) - 1):
        if parts[k][-1].isalnum() and _below(rng, 8) == 0:
            parts[k] += _pick(rng, (",", ",", ",", ";", ":", " –"))
    if _below(rng, 3):
        parts[0] = parts[0][0].upper() + parts[0][1:]
    end = _pick(rng, (".", ".", ".", "?", "!", "", "", "-"))
    text = " ".join(parts)
    return text + end if text[-1].isalpha() or end != "-" else text


def _piece(rng: random.Random) -> str:
    kind = _below(rng, 20)
    if kind < 12:
        word = _pick(rng, WORDS)
        return word.upper() if _below(rng, 25) == 0 else word
    if kind < 15:
        return _pick(rng, NAMES)
    if kind < 16:
        return _pick(rng, ("({})", "“{}”", "[{}]")).format(_pick(rng, WORDS))
    number = _below(rng, 10 ** (1 + _below(rng, 4)))
    return _pick(rng, (
        f"{number}", f"{number:,}", f"{number}.{_below(rng, 10)}", f"{number} %", f"No. {number}", f"§ {number}",
        f"${number}.{_below(rng, 100):02d}", f"€{number}", f"£{number}/{1 + _below(rng, 12)}", f"{_pick(rng, NAMES)}’s",
        f"{_below(rng, 24)}:{_below(rng, 60):02d}", f"{_pick(rng, NAMES)} & {_pick(rng, NAMES)}",
        f"{1 + _below(rng, 28)} {_pick(rng, MONTHS)} {1800 + _below(rng, 240)}",
        f"pp. {number}–{number + 1 + _below(rng, 30)}",
    ))  # fmt: skip


# ---- images


def _render(text: str, rng: random.Random, pixels: np.random.Generator) -> np.ndarray:
    image, draw, filters = (optional(f"PIL.{name}", "transcribe") for name in ("Image", "ImageDraw", "ImageFilter"))
    font = _font(_pick(rng, FACES), SIZES[0] + _below(rng, SIZES[1] - SIZES[0] + 1))
    left, top, right, bottom = (round(side) for side in font.getbbox(text))
    x, y, w, h = (2 + _below(rng, SLACK) for _ in range(4))
    page = image.new("L", (x + right - left + w, y + bottom - top + h), 0)
    draw.Draw(page).text((x - left, y - top), text, 255, font)
    page = page.rotate(TILT * (2 * rng.random() - 1), image.Resampling.BILINEAR, expand=True)
    if _below(rng, 2):
        page = page.filter(filters.GaussianBlur(rng.random()))
    ink, paper, grain = 90 * rng.random(), 255 - 50 * rng.random(), 12 * rng.random()
    grey = (
        paper
        + (ink - paper) / 255 * np.asarray(page)
        + grain * pixels.standard_normal((page.height, page.width), np.float32)
    )
    return np.rint(np.clip(grey, 0, 255)).astype(np.uint8)


@functools.lru_cache(maxsize=512)
def _font(face: str, size: int) -> Any:
    fonts, matplotlib = optional("PIL.ImageFont", "transcribe"), optional("matplotlib", "transcribe")
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    return fonts.truetype(path, size, layout_engine=fonts.Layout.BASIC)


def _below(rng: random.Random, n: int) -> int:
    """A number from 0 to n - 1. Of all that a generator can draw, Python keeps only `random()` the same for ever."""
    return int(rng.random() * n)


def _pick(rng: random.Random, among: Sequence[Any]) -> Any:
    return among[_below(rng, len(among))]
