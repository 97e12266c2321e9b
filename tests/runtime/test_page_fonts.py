"""`cptdn doctor` says with which fonts pages are drawn, and loads no matplotlib for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from config.settings import ReportSettings, Settings
from node.runtime import health, page_fonts

LATIN_ONLY = {"DejaVu Sans": "/fonts/DejaVuSans.ttf"}


def test_doctor_names_the_fonts_and_loads_no_matplotlib() -> None:
    code = (
        "import sys; from config.settings import Settings; from node.runtime import health; "
        "print(health._fonts(Settings()).found, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("DejaVu Sans (")
    assert done.stdout.split()[-1] == "False"


@pytest.mark.parametrize(("language", "verdict"), [("en", "ok"), ("zh", "warning")])
def test_a_missing_chinese_font_is_a_warning_where_reports_are_chinese(
    language, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_fonts, "page_fonts", lambda: LATIN_ONLY)
    finding = health._fonts(Settings(report=ReportSettings(language=language)))
    assert finding.verdict == verdict
    assert "no Chinese font" in finding.found
    assert "fonts-noto-cjk" in finding.advice


def test_a_machine_without_matplotlib_draws_no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_fonts.importlib.util, "find_spec", lambda _: None)
    finding = health._fonts(Settings())
    assert finding.verdict == "ok"
    assert "not installed" in finding.found


def test_a_process_that_fails_is_a_warning_with_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_fonts.sys, "executable", "/bin/false")
    finding = health._fonts(Settings())
    assert (finding.verdict, finding.found) == ("warning", "the fonts cannot be listed: no message")
