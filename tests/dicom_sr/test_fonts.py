"""Fonts of the page: one that was installed after matplotlib saved its list of fonts is found, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from dicom_sr.page import fonts
from dicom_sr.report.wording import CHINESE
from tests.peers import PROJECT

FAMILY = fonts.CHINESE_FONTS[0]
SHOW_PAGE = """
import json
from dicom_sr.page import fonts
from dicom_sr.page.layout import render_pages
from dicom_sr.report.report_inputs import PagePictures
from tests.dicom_sr import samples
page, *_ = render_pages(samples.scored(), PagePictures(), "light", "zh")
listed = sorted({entry.fname for entry in fonts.fontManager.ttflist if entry.name == fonts.CHINESE_FONTS[0]})
print(json.dumps({"chinese": fonts.chinese_font(), "files": listed, "texts": [t.text for t in page.texts]}))
"""


SHOW_TWO_PAGES = """
import json, os
from pathlib import Path
from dicom_sr.page.layout import render_pages
from dicom_sr.page import fonts
from dicom_sr.report.report_inputs import PagePictures
from tests.dicom_sr import samples
from tests.dicom_sr.test_fonts import install_font
def show():
    pages = render_pages(samples.scored(), PagePictures(), "light", "zh")
    texts = [t.text for page in pages for t in page.texts]
    said = "no Chinese font" in " ".join(texts)  # the sentence may be on two lines
    print(json.dumps({"chinese": fonts.chinese_font(), "texts": texts, "said": said}))
show()
del os.environ["MPL_IGNORE_SYSTEM_FONTS"]
install_font(Path(os.environ["XDG_DATA_HOME"], "fonts"))
show()
"""


def install_font(folder: Path) -> Path:
    """A font of the most preferred family: a square for each character of the Chinese wording."""
    named = [*CHINESE.condition_titles.values(), *CHINESE.condition_states.values()]
    phrases = [phrase for phrase in vars(CHINESE).values() if isinstance(phrase, str)]
    characters = sorted({c for phrase in (*phrases, *named) for c in phrase if c.isprintable()})
    names = {ord(c): f"uni{ord(c):04X}" for c in characters}
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    builder.setupGlyf(dict.fromkeys((".notdef", *names.values()), square))
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", *names.values()), (1000, 100)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, usWinAscent=900, usWinDescent=100)
    builder.setupPost()
    folder.mkdir(parents=True)
    path = folder / "later.ttf"
    builder.save(str(path))
    return path


def python(code: str, home: Path, **environment: str) -> str:
    """What a new process prints that has its own cache of matplotlib and its own folder of a user's fonts."""
    own = {"MPLCONFIGDIR": str(home / "cache"), "XDG_DATA_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    inherited = {name: value for name, value in os.environ.items() if name != "MPL_IGNORE_SYSTEM_FONTS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**inherited, **own, **environment}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_font_installed_after_matplotlib_saved_its_list_is_found(tmp_path: Path) -> None:
    before = json.loads(python(SHOW_PAGE, tmp_path, MPL_IGNORE_SYSTEM_FONTS="1"))
    assert before["chinese"] is None
    assert "Answer of the model" in before["texts"]
    [saved] = (tmp_path / "cache").glob("fontlist-*.json")
    unchanged = saved.read_bytes()
    path = install_font(tmp_path / "fonts")
    after = json.loads(python(SHOW_PAGE, tmp_path))
    assert after["chinese"] == FAMILY
    assert str(path) in after["files"]
    assert "诱导化疗后同步放化疗" in after["texts"]
    assert saved.read_bytes() == unchanged  # found past the saved list, not by making it anew


def test_a_running_process_finds_a_font_that_is_installed_after_it_drew_a_page_without_one(tmp_path: Path) -> None:
    shown = python(SHOW_TWO_PAGES, tmp_path, MPL_IGNORE_SYSTEM_FONTS="1").splitlines()
    before, after = (json.loads(line) for line in shown)
    assert before["chinese"] is None
    assert "Answer of the model" in before["texts"]
    assert before["said"]
    assert after["chinese"] == FAMILY
    assert "诱导化疗后同步放化疗" in after["texts"]
    assert not after["said"]


def test_a_listed_font_that_was_removed_since_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [entry for entry in fonts.fontManager.ttflist if entry.name == fonts.LATIN][:1]
    entries = [type(gone[0])(fname="/nowhere/removed.ttc", name=FAMILY)]
    monkeypatch.setattr(fonts.fontManager, "ttflist", [*entries, *gone])
    monkeypatch.setattr(fonts, "findSystemFonts", list)
    assert fonts.find_chinese_font.__wrapped__() is None


def test_a_broken_font_file_hides_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    path = install_font(tmp_path / "whole")
    monkeypatch.setattr(fonts.fontManager, "ttflist", [e for e in fonts.fontManager.ttflist if e.name == fonts.LATIN])
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [str(tmp_path / "broken.ttf"), str(path)])
    assert fonts.find_chinese_font.__wrapped__() == FAMILY


def test_the_fonts_in_use_are_files_of_this_machine() -> None:
    used = fonts.fonts_in_use()
    assert next(iter(used)) == fonts.LATIN
    assert all(Path(path).is_file() for path in used.values())
