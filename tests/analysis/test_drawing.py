"""The renderer: pixels where they were asked for, text that every machine can show."""

import io

import numpy as np
import pytest
from PIL import Image

from nbtorchviz.analysis import fonts
from nbtorchviz.analysis.drawing import DARK, LIGHT, Picture, blends, theme_named


def rgb(picture):
    return np.asarray(picture.image).astype(int)


def inked(picture):
    """Rows and columns that differ from the background."""
    differs = np.argwhere(np.abs(rgb(picture) - rgb(picture)[-1, -1]).sum(axis=2) > 30)
    return differs.min(axis=0), differs.max(axis=0)


@pytest.mark.parametrize("scale", [1, 2])
def test_text_lies_where_it_was_put(scale):
    picture = Picture(200, 60, scale=scale)
    width = picture.text((20, 10), "Hg 0.43")
    (top, left), (bottom, right) = inked(picture)
    assert 20 * scale - 1 <= left
    assert right <= (20 + width) * scale + 1
    assert 10 * scale <= top < bottom <= (10 + 13 * 1.3) * scale


def test_alignment_moves_the_end():
    picture = Picture(200, 60)
    picture.text((150, 10), "right", align="right")
    assert inked(picture)[1][1] <= 150


def test_long_text_is_cut_with_an_ellipsis_and_wrapped_at_spaces():
    picture = Picture(200, 60)
    cut = picture.fit("a rather long sentence", 60)
    assert cut.endswith("…")
    assert picture.text_width(cut) <= 60
    lines = picture.wrap("a rather long sentence", 80)
    assert " ".join(lines) == "a rather long sentence"
    assert all(picture.text_width(line) <= 80 for line in lines)


def test_character_without_a_font_is_spelled_out(monkeypatch):
    monkeypatch.setattr(fonts, "SYSTEM_FONTS", ())
    fonts._spell.cache_clear()
    try:
        spelled = "".join(piece for _, piece in fonts.runs("3×28 → 字 𝔸", 13))
    finally:
        fonts._spell.cache_clear()
    assert spelled == "3x28 -> \\u5b57 \\U0001d538"


def test_character_of_a_system_font_is_drawn_with_it():
    pieces = fonts.runs("3×28", 13)
    assert "".join(piece for _, piece in pieces) in ("3×28", "3x28")


def test_line_is_clipped_broken_at_nan_and_dashed():
    picture = Picture(100, 50)
    line = np.array([[0, 10], [40, 10], [np.nan, 0], [60, 10], [99, 10]])
    picture.polyline(line, "#000000", width=2, clip=(20, 0, 80, 50))
    row = rgb(picture)[10, :, 0] < 128
    assert not row[:20].any()
    assert row[20:40].all()
    assert not row[42:58].any()
    assert not row[80:].any()
    dashed = Picture(100, 50)
    dashed.polyline([(0, 10), (99, 10)], "#000000", width=2, dash=(6, 4))
    share = (rgb(dashed)[10, :, 0] < 128).mean()
    assert 0.5 < share < 0.75
    dotted = Picture(100, 50)
    dotted.polyline([(0, 10), (99, 10)], "#000000", width=2, dash=(12, 4, 2, 4))
    row = rgb(dotted)[10, :, 0] < 128
    assert row[2:10].all()
    assert not row[13:15].any()
    assert row[16:18].any()
    assert not row[19:21].any()
    assert row[24:32].all()


@pytest.mark.parametrize("points", [[], [(np.nan, 1)], [(5, 5)], [(-1e12, 1e12), (1e12, -1e12)]])
def test_odd_lines_do_not_fail(points):
    Picture(50, 50).polyline(np.array(points).reshape(-1, 2), "#000000", dash=(4, 2))


def test_pixels_are_not_smoothed():
    picture = Picture(40, 20, scale=2)
    picture.pixels(np.array([[0, 255]], np.uint8), (10, 0, 30, 20))
    values = np.unique(rgb(picture)[:, 20:60])
    assert values.tolist() == [0, 255]


def test_hatch_fills_its_box_and_nothing_else():
    picture = Picture(60, 60)
    picture.hatch((10, 10, 50, 50), "#000000")
    ink = rgb(picture)[:, :, 0] < 200
    assert 0.05 < ink[10:50, 10:50].mean() < 0.6
    ink[10:50, 10:50] = False
    assert not ink.any()


def test_shapes_are_centred():
    picture = Picture(40, 40)
    picture.dot((20, 20), 6, "#ff0000")
    first, last = inked(picture)
    np.testing.assert_allclose((first + last + 1) / 2, [20, 20], atol=0.5)
    picture.triangle((20, 20), 6, "#0000ff")
    picture.dot((20, 20), 6, "#0000ff", hollow=True)
    assert rgb(picture)[20, 20].tolist() == [255, 255, 255]


def test_png_keeps_to_its_palette_and_limit():
    picture = Picture(200, 100, scale=2)
    noise = np.random.default_rng(0).integers(0, 256, (100, 200, 3)).astype(np.uint8)
    picture.pixels(noise, (0, 0, 200, 100))
    full = picture.png()
    small = picture.png(limit_bytes=len(full) // 2)
    assert len(small) <= len(full) // 2
    palette = blends(["#000000"], "#ffffff")
    colors = Image.open(io.BytesIO(picture.png(palette=palette))).convert("RGB").getcolors()
    assert {color for _, color in colors} <= {tuple(map(int, row)) for row in palette}


def test_crop_keeps_what_is_above():
    picture = Picture(10, 100, scale=2)
    picture.crop(30)
    assert picture.image.size == (20, 60)


def luminance(color):
    values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast_of_text_and_marks(theme):
    def contrast(color):
        pair = sorted([luminance(color), luminance(theme.background)])
        return (pair[1] + 0.05) / (pair[0] + 0.05)

    for name in ("text", "second", "accent", "warn", "error", "live", "train", "val"):
        assert contrast(getattr(theme, name)) >= 4.5, name
    for name in ("bars", "edge", "train_raw", "earlier"):
        assert contrast(getattr(theme, name)) >= 3, name


def test_themes_by_name():
    assert theme_named("dark") is DARK
    with pytest.raises(ValueError, match="'light' or 'dark'"):
        theme_named("blue")
