"""Lines of print: the same columns come out however an image was scanned, stored, bent or scaled."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gated._check import InputError
from gated.io import images
from made.prints import bent, drawn, least, likeness, saved


@pytest.fixture
def plain(tmp_path):
    return images.columns(saved(tmp_path, drawn(), "plain.png"))


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
    assert likeness(plain, images.columns(path)) > 0.9
    assert likeness(plain, images.columns(path, dewarp=False)) < 0.5


@pytest.mark.parametrize(("size", "pad"), [(16, 0), (16, 30), (60, 5), (60, 60), (200, 100)])
def test_letters_fill_the_rows_at_any_size(size, pad, plain, tmp_path):
    """The line's own height is scaled, not the image's: letters of 16 or 200 pixels on little or much paper are one."""
    x = images.columns(saved(tmp_path, drawn(size=size, pad=pad)))
    assert abs(x.shape[1] / plain.shape[1] - 1) < 0.08
    assert likeness(plain, x) > (0.85 if size > 16 else 0.75)


def test_height_is_what_was_asked_for(tmp_path):
    """Twice the rows come with twice the columns, so letters keep their proportions."""
    path = saved(tmp_path, drawn())
    low, high = (images.columns(path, height=height) for height in (24, 48))
    assert (len(low), len(high)) == (24, 48)
    assert abs(high.shape[1] - 2 * low.shape[1]) <= 2


def coloured(grey: np.ndarray, ink, paper) -> np.ndarray:
    share = grey[..., None] / 255
    return np.rint(share * np.array(paper) + (1 - share) * np.array(ink)).astype("u1")


STORED = {
    "1": lambda g: Image.fromarray(g).convert("1", dither=Image.Dither.NONE),
    "P": lambda g: Image.fromarray(g).convert("P"),
    "LA": lambda g: Image.merge("LA", [Image.new("L", g.shape[::-1], 0), Image.fromarray(255 - g)]),
    "RGB": lambda g: Image.fromarray(coloured(g, (20, 20, 120), (250, 245, 220))),
    "RGBA": lambda g: Image.fromarray(np.dstack([g * 0, g * 0, g * 0, 255 - g])),
    "I;16": lambda g: Image.fromarray(g.astype("u2") * 257),
    "12 of 16 bits": lambda g: Image.fromarray(g.astype("u2") * 16),
    "white on black": lambda g: Image.fromarray(255 - g),
    "faint": lambda g: Image.fromarray(190 + (g // 6)),
    "faint white on grey": lambda g: Image.fromarray(190 - (g // 6)),
    "clear palette": lambda g: cleared(g),
    "white on clear": lambda g: Image.fromarray(np.dstack([255 - g * 0] * 3 + [255 - g])),
    "white on clear black": lambda g: Image.fromarray(np.dstack([255 - g] * 3 + [255 - g])),
    "yellow on clear": lambda g: Image.fromarray(np.dstack([255 - g * 0, 240 - g * 0, g * 0 + 90, 255 - g])),
    "grey on clear": lambda g: Image.fromarray(np.dstack([g * 0 + 90] * 3 + [255 - g])),
    "clear paper around a card": lambda g: Image.fromarray(
        np.dstack([g] * 3 + [np.where(np.arange(g.shape[1]) > 3, 255, g * 0)])
    ),
    "dark blue on black": lambda g: Image.fromarray(coloured(g, (90, 90, 250), (10, 10, 30))),
    "CMYK": lambda g: Image.fromarray(g).convert("CMYK"),
    "32 bits": lambda g: Image.fromarray(g.astype("i4") * 200),
    "floats": lambda g: Image.fromarray(g.astype("f4") / 255),
}


def cleared(grey: np.ndarray) -> Image.Image:
    """Black on a transparent colour of a palette that is black as well."""
    image = Image.fromarray((grey > 127).astype("u1"), "P")
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.info["transparency"] = 1
    return image


@pytest.mark.parametrize("stored", STORED)
def test_how_an_image_is_stored_does_not_matter(stored, plain, tmp_path):
    """Bits, palettes, colours, transparency on white, white on black, little contrast: the same columns come out."""
    name = "line.tif" if stored in ("CMYK", "32 bits", "floats") else "line.png"
    path = saved(tmp_path, STORED[stored](drawn()), name)
    x = images.columns(path)
    assert abs(x.shape[1] - plain.shape[1]) <= 8
    assert likeness(plain, x) > {"1": 0.95, "clear palette": 0.95, "white on clear black": 0.93}.get(stored, 0.98)


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_jpegs_and_tiffs_are_read_too(mode, plain, tmp_path):
    """A JPEG turned by its camera is turned back, and a TIFF for the press is read."""
    image = Image.fromarray(drawn())
    if mode == "L":
        exif = Image.Exif()
        exif[0x0112] = 3  # upside down
        path = saved(tmp_path, image.rotate(180), "line.jpg", exif=exif, quality=90)
    else:
        path = saved(tmp_path, image.convert("CMYK"), "line.tif")
    assert likeness(plain, images.columns(path)) > 0.95


def test_a_line_on_its_side_is_turned(plain, tmp_path):
    """An image many times as high as wide is a line that is read from the bottom up."""
    image = Image.fromarray(drawn())
    assert image.width > images.STANDS * image.height
    np.testing.assert_array_equal(plain, images.columns(saved(tmp_path, image.rotate(90, expand=True))))


MARGINS = {  # rows above and below, columns left and right
    "wide": (300, 300, 400, 400), "above": (500, 12, 12, 12), "below": (0, 700, 0, 50), "a page": (900, 900, 100, 900),
    "usual": (20, 20, 60, 60),
}  # fmt: skip


@pytest.mark.parametrize("name", MARGINS)
def test_margins_do_not_matter(name, plain, tmp_path):
    """However much paper is around a line, its letters fill the rows."""
    above, below, left, right = MARGINS[name]
    page = np.pad(drawn(), ((above, below), (left, right)), constant_values=255)
    assert likeness(plain, images.columns(saved(tmp_path, page))) > 0.97


@pytest.mark.parametrize("form", ["gif", "webp", "ppm", "bmp", "pbm"])
def test_other_formats(form, plain, tmp_path):
    """A GIF of one frame and others that Pillow reads are lines too."""
    image = Image.fromarray(drawn())
    image = image.convert("1", dither=Image.Dither.NONE) if form == "pbm" else image
    assert likeness(plain, images.columns(saved(tmp_path, image, f"line.{form}"))) > 0.94


@pytest.mark.parametrize(("form", "pages", "words"), [
    ("TIFF", 3, "3 pages"),
    ("TIFF", 2, "2 pages"), ("GIF", 4, "4 frames of an animation"), ("WEBP", 2, "2 frames of an animation"),
    ("PNG", 2, "2 frames of an animation"),
])  # fmt: skip
def test_several_pages_are_one_sentence(form, pages, words, tmp_path):
    """Pages are counted, and nothing is said of damage."""
    lines = [Image.fromarray(drawn(str(n) * 9)) for n in range(pages)]
    path = tmp_path / f"x.{form.lower()}"
    lines[0].save(path, form, save_all=True, append_images=lines[1:])
    with pytest.raises(InputError) as error:
        images.columns(path)
    todo = "Save each as a file of its own."
    assert str(error.value) == f"{path}: expected the image of one line, got {words}. {todo}"


def test_a_turned_line_is_noted(tmp_path):
    """A line that was on its side says so, and one that was not does not."""
    notes = []
    images.columns(saved(tmp_path, drawn()), notes=notes)
    assert notes == []
    images.columns(saved(tmp_path, np.rot90(drawn())), notes=notes)
    assert notes == ["it is far higher than wide, so it was turned a quarter to the right"]


# ---- boxes


def find_words(page: np.ndarray, gap: int) -> list[tuple[int, int, int, int]]:
    """The boxes of what is inked between gaps of so many columns."""
    inked = np.flatnonzero((page < 128).any(0))
    groups = np.split(inked, np.flatnonzero(np.diff(inked) > gap) + 1)
    rows = [np.flatnonzero((page[:, group[0] : group[-1] + 1] < 128).any(1)) for group in groups]
    return [
        (int(g[0]), int(r[0]), int(g[-1]) + 1, int(r[-1]) + 1) for g, r in zip(groups, rows, strict=True)
    ]  # fmt: skip


PAGES = {
    "as drawn": lambda page: page,
    "wide margins": lambda page: np.pad(page, ((300, 200), (150, 90)), constant_values=255),
    "large": lambda page: np.kron(page, np.ones((8, 8), "u1")),
    "bent": lambda page: bent(page, 9 * np.sin(np.arange(page.shape[1]) / 130)),
    "sloping": lambda page: bent(page, np.arange(page.shape[1]) / 30),
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("turned", [False, True])
def test_boxes_are_in_the_pixels_of_the_image(name, turned, tmp_path):
    """Each word's box holds its ink, nearly none of another, and no paper around, in the image as it is displayed."""
    page = PAGES[name](drawn("quick brown fox lamps over", pad=12))
    gap = 40 if name == "large" else 5
    truth = find_words(page, gap)
    assert len(truth) == 5
    path = saved(tmp_path, page)
    x = images.columns(path, height=32)
    inked = np.flatnonzero((x > 0.5).any(0))
    groups = np.split(inked, np.flatnonzero(np.diff(inked) > 5) + 1)
    spans = [(float(group[0]) + 3, float(group[-1]) - 2) for group in groups]  # a network is not exact
    assert len(spans) == 5
    if turned and page.shape[1] > 10 * page.shape[0]:
        path = saved(tmp_path, np.rot90(page), "turned.png")
        high = page.shape[1]
        truth = [(top, high - right, bottom, high - left) for left, top, right, bottom in truth]
    size, boxes = images.boxes(path, spans, height=32)
    assert size == images.grey(path).shape[::-1]
    for box, true in zip(boxes, truth, strict=True):
        np.testing.assert_allclose(box, true, atol=0.03 * page.shape[0] + 2)


def test_dust_and_a_neighbour_leave_the_line_where_it_is(plain, tmp_path):
    """Specks, grain and the feet of the line above move the line by little."""
    rng = np.random.default_rng(0)
    page = np.pad(drawn(), ((20, 20), (0, 0)), constant_values=255).astype(float)
    page[:8, 50:60] = 0
    page[rng.random(page.shape) < 1e-3] = 0
    page = np.clip(page * 0.8 + 20 + rng.normal(0, 8, page.shape), 0, 255)
    assert likeness(plain, images.columns(saved(tmp_path, page.astype("u1")))) > 0.8


@pytest.mark.parametrize("text", ["-", ".", "l", "—", "1."])
def test_a_lone_mark_keeps_its_size(text, tmp_path):
    """A dash or a dot alone is not blown up to the height of a letter: the image says how high the line is."""
    page = np.pad(drawn(text, pad=0), ((0, 0), (10, 10)), constant_values=255)
    page = np.pad(page, ((20, 20), (0, 0)), constant_values=255)[: max(45, len(page) + 20)]
    x = images.columns(saved(tmp_path, page))
    rows = np.flatnonzero((x > 0.5).any(1))
    assert len(rows) <= {"-": 6, ".": 8, "—": 12}.get(text, 30)


def png(width: int, height: int) -> bytes:
    """A file whose header promises an image of this size."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def spoilt(kind: str, path: Path) -> None:
    image = Image.fromarray(drawn())
    if kind == "text":
        path.write_text("no image")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        image.save(path, "PNG")
        path.write_bytes(path.read_bytes()[:800])
    elif kind == "cut jpeg":
        image.save(path, "JPEG")
        path.write_bytes(path.read_bytes()[:1500])
    elif kind == "damaged":
        image.save(path, "PNG")
        data = bytearray(path.read_bytes())
        data[300:340] = bytes(40)
        path.write_bytes(data)
    elif kind == "pages":
        image.save(path, "TIFF", save_all=True, append_images=[image])
    elif kind in ("white", "black", "clear"):
        Image.new("RGBA", (200, 40), {"white": "white", "black": "black", "clear": (0, 0, 0, 0)}[kind]).save(
            path, "PNG"
        )
    elif kind == "grain":
        grain = np.random.default_rng(0).normal(230, 4, (40, 300))
        Image.fromarray(np.clip(grain, 0, 255).astype("u1")).save(path, "PNG")
    elif kind == "large":
        path.write_bytes(png(9000, 9000))
    elif kind == "bomb":
        path.write_bytes(png(60000, 60000))
    elif kind == "long":
        Image.fromarray(np.tile(drawn(pad=0), (1, 20))).save(path, "PNG")
    elif kind == "wide":
        image = np.zeros((10, 190_000), np.uint8)
        image[4:6, ::7] = 1
        Image.fromarray(255 * (1 - image)).save(path, "PNG")
    elif kind == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    elif kind == "folder":
        path.mkdir()


SPOILT = {
    "missing": "no such file", "folder": "a folder", "text": "none that can be read", "empty": "an empty file",
    "pointer": "git lfs pull",
    "cut": "a whole image", "cut jpeg": "a whole image", "damaged": "a whole image", "pages": "2 pages",
    "white": "a blank one", "black": "a blank one", "clear": "a blank one", "grain": "a blank one",
    "large": "9000 x 9000", "bomb": "pixels", "long": "at most 4,096 columns", "wide": "at most 4,096 columns",
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOILT)
def test_what_is_no_line_is_told_with_its_name(kind, tmp_path):
    """A file that holds no image of a line gives one error that names it, before much memory is taken."""
    path = tmp_path / "thing.png"
    spoilt(kind, path)
    with pytest.raises(InputError, match=SPOILT[kind]) as error:
        images.columns(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_line_takes_milliseconds(tmp_path):
    """A scanned line of 1,300 by 54 pixels takes less than 20 ms."""
    path = saved(tmp_path, np.asarray(Image.fromarray(drawn(size=44, pad=0)).resize((1300, 54))))

    assert least(lambda: images.columns(path)) < 0.02
