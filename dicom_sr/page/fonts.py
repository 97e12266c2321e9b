"""Fonts for Latin and Chinese text.

DejaVu Sans comes with matplotlib. Chinese needs a font of the system; without one the page falls back to English
wording and the alphabetic part of a name, and whatever else cannot be drawn becomes an ellipsis: never an empty box.
"""

from __future__ import annotations

from functools import lru_cache

from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.textpath import TextToPath

LATIN = "DejaVu Sans"
CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Droid Sans Fallback", "Noto Sans CJK JP",
    "Noto Sans CJK TC", "Arial Unicode MS",
)  # fmt: skip
ELLIPSIS = "..."
MEASURED_PT = 100.0


@lru_cache(maxsize=1)
def chinese_font() -> str | None:
    """The first font of the list that this system has."""
    installed = {entry.name for entry in fontManager.ttflist}
    return next((name for name in CHINESE_FONTS if name in installed), None)


def families(chinese: str | None) -> list[str]:
    return [LATIN] if chinese is None else [LATIN, chinese]


@lru_cache(maxsize=4)
def _covered(chinese: str | None) -> frozenset[int]:
    paths = [fontManager.findfont(FontProperties(family=name)) for name in families(chinese)]
    return frozenset().union(*(get_font(path).get_charmap() for path in paths))


def drawable(text: str, chinese: str | None) -> str:
    """The text with every run of characters that no font has replaced by an ellipsis."""
    covered = _covered(chinese)
    kept: list[str] = []
    for character in text:
        if ord(character) in covered or character == "\n":
            kept.append(character)
        elif not kept or kept[-1] != ELLIPSIS:
            kept.append(ELLIPSIS)
    return "".join(kept)


def width_pt(text: str, size_pt: float, bold: bool, chinese: str | None) -> float:
    """Width of one line of text in points: the sum of its characters' advances, without kerning."""
    return sum(_advance(character, bold, chinese) for character in text) * size_pt / MEASURED_PT


@lru_cache(maxsize=8192)
def _advance(character: str, bold: bool, chinese: str | None) -> float:
    properties = FontProperties(family=families(chinese), size=MEASURED_PT, weight="bold" if bold else "normal")
    return float(_measurer().get_text_width_height_descent(f"{character}x", properties, False)[0]) - _width_of_x(
        bold, chinese
    )


@lru_cache(maxsize=8)
def _width_of_x(bold: bool, chinese: str | None) -> float:
    """A blank alone has no outline to measure, so every character is measured before an x."""
    properties = FontProperties(family=families(chinese), size=MEASURED_PT, weight="bold" if bold else "normal")
    return float(_measurer().get_text_width_height_descent("x", properties, False)[0])


@lru_cache(maxsize=1)
def _measurer() -> TextToPath:
    return TextToPath()
