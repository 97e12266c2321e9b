"""Headless Chromium for the flow tests: playwright drives it, axe-core looks at its pages."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.flow.program import wait_for
from tests.peers import absent, peer

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
LOOPBACK = ("127.0.0.1", "localhost")
SERIOUS = ("serious", "critical")


def axe_source() -> str:
    """The script of axe-core (npm package axe-core), or skip/fail."""
    folder = os.environ.get("CPTDN_NPM_PEERS", str(Path(tempfile.gettempdir()) / "cptdn-npm-peers"))
    path = Path(folder) / "axe-core" / "axe.min.js"
    if not path.is_file():
        absent(f"axe-core is not unpacked at {path} (.ci/run does it)")
    return path.read_text(encoding="utf-8")


@dataclass
class Visitor:
    """One person's browser window, with every request that it made and every complaint of its console."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._requested)
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(60_000)

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.address}{path}", wait_until="load", timeout=60_000)
        return self.page

    def strangers(self) -> list[str]:
        """Requests that left this machine."""
        return [url for url in self.requests if urlsplit(url).hostname not in LOOPBACK]

    def pictures_shown(self) -> list[tuple[str, int]]:
        """Every picture of the page with its natural width, once all have been fetched."""
        self.page.evaluate("document.querySelectorAll('img[loading=lazy]').forEach(i => { i.loading = 'eager'; })")
        wait_for(
            lambda: self.page.evaluate("[...document.images].every(i => i.complete)"),
            60,
            lambda: "pictures are missing",
        )
        found: list[list[Any]] = self.page.evaluate("[...document.images].map(i => [i.currentSrc, i.naturalWidth])")
        return [(str(source), int(width)) for source, width in found]

    def findings(self, axe: str) -> list[str]:
        """What axe-core calls serious or critical on this page."""
        self.page.evaluate(axe)
        result = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']} ({one['impact']}): {node['target']} {node['failureSummary']}"
            for one in result["violations"]
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser process; skip/fail where Chromium is not installed."""
    program = peer("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visitor(browser: Browser, address: str, **options: Any) -> Iterator[Visitor]:
    """A window with cookies of its own; options are playwright's (locale, viewport, color_scheme, ...)."""
    context = browser.new_context(base_url=address, **{"locale": "en-GB", **options})
    try:
        yield Visitor(context.new_page(), address)
    finally:
        context.close()
