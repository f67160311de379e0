r"""Text that a picture can show: the font inside Pillow, a system font where it lacks a character.

A character that no font has becomes a plain spelling (``×`` is ``x``) or its escape
(``\u5e74``): never an empty box.
"""

from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SYSTEM_FONTS = (
    "LiberationSans-Regular.ttf",
    "Arial.ttf",
    "arial.ttf",
    "Helvetica.ttc",
    "DejaVuSans.ttf",
    "segoeui.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "YuGothR.ttc",
    "PingFang.ttc",
    "Arial Unicode.ttf",
)
"""File names tried in this order in the system's own font folders."""

_PLAIN = {
    "×": "x",
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "–": "-",
    "—": "-",
    "−": "-",
    "µ": "u",
    "\u00a0": " ",
    "\u2009": " ",
    "▲": "^",
    "▼": "v",
    "▸": ">",
    "●": "*",
}


def runs(text: str, size_px: int) -> list[tuple[Font, str]]:
    """Split ``text`` into pieces, each with a font that holds all its characters."""
    pieces: list[tuple[Font, str]] = []
    for character in text:
        font, spelled = _spell(character, size_px)
        if pieces and pieces[-1][0] is font:
            pieces[-1] = (font, pieces[-1][1] + spelled)
        else:
            pieces.append((font, spelled))
    return pieces


@cache
def _spell(character: str, size_px: int) -> tuple[Font, str]:
    default = _default(size_px)
    if character in "\n\r\t":
        return default, " "
    if character == " " or _has(default, character):
        return default, character
    for name in SYSTEM_FONTS:
        font = _system(name, size_px)
        if font is not None and _has(font, character):
            return font, character
    if character in _PLAIN:
        return default, _PLAIN[character]
    code = ord(character)
    return default, f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@cache
def _default(size_px: int) -> Font:
    return ImageFont.load_default(size_px)


@cache
def _system(name: str, size_px: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size_px)
    except OSError:
        return None


def _has(font: Font, character: str) -> bool:
    # Pillow does not show a font's table of characters; U+FFFF is never in it.
    return bytes(font.getmask(character)) != _missing(font)


@cache
def _missing(font: Font) -> bytes:
    return bytes(font.getmask("\uffff"))
