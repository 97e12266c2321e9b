"""Fonts for Latin and Chinese text, and which characters they have.

DejaVu Sans comes with matplotlib. Chinese needs a font of the system; without one the page has English wording and the
alphabetic part of a name, and text that no font can draw becomes an ellipsis instead of empty boxes.

matplotlib lists the system's fonts once and saves the list for all later processes. A font that is installed after that
is not in the list, so this module looks for it itself.
"""

from __future__ import annotations

import json
import logging
import sys
from functools import lru_cache
from pathlib import Path

from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager, get_font

LATIN = "DejaVu Sans"
# Most preferred first. Fonts for Japanese and for Traditional Chinese have the characters, too, some in another form.
CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Droid Sans Fallback", "Noto Sans CJK JP",
    "Noto Sans CJK TC", "Arial Unicode MS",
)  # fmt: skip
ELLIPSIS = "..."

log = logging.getLogger(__name__)


def chinese_font() -> str | None:
    """Return the family name of the Chinese font that this process uses, or None where the machine has none.

    Returns
    -------
    str or None
        The first of `CHINESE_FONTS` that is installed, also where it was installed after matplotlib saved its list, or
        after this process had found none. A font that was found is used until the process ends.
    """
    name = find_chinese_font()
    if name is None:
        # Looked for again by the next page, in about 0.03 s: a worker runs for weeks, and its administrator reads what
        # the page says about the font and installs one.
        find_chinese_font.cache_clear()
    return name


@lru_cache(maxsize=1)
def find_chinese_font() -> str | None:
    """Look for the Chinese fonts of the system now; see `chinese_font`."""
    listed = _listed_chinese_fonts()
    # Where the most preferred font is listed, a scan (about 0.03 s) cannot change the choice. Otherwise it is done, so
    # that the same installed fonts give the same page, whatever the age of matplotlib's list.
    if CHINESE_FONTS[0] not in listed:
        _add_unlisted_fonts()
        listed = _listed_chinese_fonts()
    return next((name for name in CHINESE_FONTS if name in listed), None)


def _listed_chinese_fonts() -> frozenset[str]:
    """Names of the list that have a file; the saved list may also name fonts that were removed since."""
    candidates = [entry for entry in fontManager.ttflist if entry.name in CHINESE_FONTS]
    return frozenset(entry.name for entry in candidates if Path(entry.fname).is_file())


def _add_unlisted_fonts() -> None:
    """Add the font files of the system that matplotlib's saved list does not contain."""
    listed = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - listed):
        try:
            fontManager.addfont(path)
        except Exception as error:  # as matplotlib itself does: one broken file must not hide the other fonts
            log.debug("the font file %s cannot be read: %s", path, error)


def families(chinese: str | None) -> list[str]:
    """Return the font families for a text, in the order in which a character is looked up."""
    return [LATIN] if chinese is None else [LATIN, chinese]


def fonts_in_use() -> dict[str, str]:
    """Return the fonts that pages are drawn with on this machine.

    Returns
    -------
    dict of str to str
        Family name to font file, the Latin font first; without a Chinese font the Latin one alone.
    """
    return {name: str(fontManager.findfont(FontProperties(family=name))) for name in families(chinese_font())}


@lru_cache(maxsize=4)
def _covered(chinese: str | None) -> frozenset[int]:
    paths = [fontManager.findfont(FontProperties(family=name)) for name in families(chinese)]
    return frozenset().union(*(get_font(path).get_charmap() for path in paths))


def drawable(text: str, chinese: str | None) -> str:
    """Replace every run of characters that no font contains by an ellipsis.

    Parameters
    ----------
    text : str
        Any text; line breaks stay.
    chinese : str or None
        The Chinese font's family name, see `chinese_font`.

    Returns
    -------
    str
        Text that can be drawn without an empty box.
    """
    covered = _covered(chinese)
    characters: list[str] = []
    for character in text:
        if ord(character) in covered or character == "\n":
            characters.append(character)
        elif not characters or characters[-1] != ELLIPSIS:
            characters.append(ELLIPSIS)
    return "".join(characters)


@lru_cache(maxsize=16)
def font_file(family: str, bold: bool) -> tuple[str, int]:
    """Return the file of a family's regular or bold face, and the number of the face in the file."""
    path = fontManager.findfont(FontProperties(family=family, weight="bold" if bold else "normal"))
    # A collection (.ttc) has several faces; matplotlib before 3.11 knows the first alone.
    return str(path), int(getattr(path, "face_index", 0))


def family_of(character: str, chinese: str | None) -> str:
    """Return the family that a character is drawn with: the Latin one wherever it has the character."""
    return LATIN if chinese is None or has_latin(character) else chinese


def has_latin(text: str) -> bool:
    """Return whether the Latin font has every character of a text."""
    return _covered(None).issuperset(map(ord, text))


if __name__ == "__main__":  # `cptdn doctor` asks a process of its own, so that it need not load matplotlib itself
    sys.stdout.write(json.dumps(fonts_in_use()))
