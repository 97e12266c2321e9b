"""Run inside a network namespace of its own: Orthanc with DICOMweb, OHIF's prebuilt pages, and headless Chromium.

usage: python browser_exchange.py FOLDER OHIF_DIST STUDY_UID NAME=SERIES_UID_OR_FILE.html...
Sends FOLDER/*.dcm to Orthanc, opens each named series in OHIF at 1280 x 720, writes FOLDER/NAME.png and prints per name
its text, the text that is visible without scrolling, and the bottom edges (px) of the report's items by their
labels.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ORTHANC, VIEWER = "http://127.0.0.1:18042", "http://127.0.0.1:3000"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
WIDTH, HEIGHT = 1280, 720
SOURCE = {
    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb", "sourceName": "dicomweb",
    "configuration": {
        "friendlyName": "peer", "name": "peer", "qidoRoot": f"{VIEWER}/dicom-web", "wadoRoot": f"{VIEWER}/dicom-web",
        "wadoUriRoot": f"{VIEWER}/wado", "imageRendering": "wadors", "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True, "omitQuotationForMultipartRequest": True,
        "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
    },
}  # fmt: skip
CONFIGURATION = {
    "routerBasename": "/", "showStudyList": True, "extensions": [], "modes": [], "defaultDataSourceName": "dicomweb",
    "investigationalUseDialog": {"option": "never"}, "dataSources": [SOURCE],
}  # fmt: skip
LABELS = """JSON.stringify(Object.fromEntries([...document.querySelectorAll('b, strong, .font-bold, span')]
    .filter(e => /^[A-Z][^:]{2,60}:\\s*$/.test(e.innerText || ''))
    .map(e => [e.innerText.trim(), e.parentElement.getBoundingClientRect().bottom])))"""
# Words whose middle is on the screen, and there not under something else.
VISIBLE = """(() => {
    const words = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = new Range();
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        for (const match of node.data.matchAll(/\\S+/g)) {
            range.setStart(node, match.index); range.setEnd(node, match.index + match[0].length);
            const box = range.getBoundingClientRect(), at = [box.x + box.width / 2, box.y + box.height / 2];
            if (!box.width || at[1] < 0 || box.bottom > innerHeight || at[0] > innerWidth) continue;
            const top = document.elementFromPoint(...at);
            if (top && (top.contains(node) || node.parentElement.contains(top))) words.push(match[0]);
        }
    }
    return words.join(' ');
})()"""
CLICK = """[...document.querySelectorAll('button,span,a')].filter(e => e.innerText === '%s')
    .slice(-1).forEach(e => e.click())"""


class Viewer(SimpleHTTPRequestHandler):
    """OHIF's files, its configuration, and Orthanc's DICOMweb behind the same address."""

    def log_message(self, *_: Any) -> None:
        """Keep standard output for the result."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith(("/dicom-web", "/wado")):
            self.forward()
        elif path == "/app-config.js":
            self.answer(200, "text/javascript", f"window.config = {json.dumps(CONFIGURATION)}".encode())
        else:
            if not Path(self.translate_path(path)).is_file():
                self.path = "/index.html"
            super().do_GET()

    def forward(self) -> None:
        request = Request(ORTHANC + self.path, headers={"Accept": self.headers["Accept"], "Host": VIEWER[7:]})  # noqa: S310
        try:
            with urlopen(request, timeout=30) as response:  # noqa: S310  (always our own loopback)
                self.answer(response.status, response.headers.get("Content-Type", ""), response.read())
        except HTTPError as error:
            self.answer(error.code, "text/plain", error.read())

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Browser:
    """Headless Chromium, spoken to through two pipes (its file descriptors 3 and 4)."""

    def __init__(self, profile: Path) -> None:
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
            "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}",
            "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        # a shell puts the pipes where Chromium looks for them
        line = f'exec chromium "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", line, "chromium", *flags], pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.buffer, self.count = b"", 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if hasattr(self, "session"):
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.buffer:
                self.buffer += os.read(self.read_end, 1 << 20)
            line, self.buffer = self.buffer.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self.count:
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")

    def look(self, address: str, until: str, settle: float = 6) -> str:
        """Open a page and wait until its text holds `until`; the text."""
        self.call("Page.navigate", url=address)
        text = ""
        for _ in range(60):
            time.sleep(0.5)
            text = self.evaluate("document.body.innerText") or ""
            if until in text and "1/0" not in text:  # no picture of the series is there yet
                break
        time.sleep(settle)
        self.evaluate(CLICK % "Skip all")
        time.sleep(min(2, settle))
        return self.evaluate("document.body.innerText") or text

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


def main(folder: Path, dist: Path, study: str, named: list[str]) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    database = folder / "db"
    (folder / "orthanc.json").write_text(json.dumps({
        "StorageDirectory": str(database), "IndexDirectory": str(database), "DicomPort": 14242, "HttpPort": 18042,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "Plugins": [PLUGIN],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }))  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 3000), lambda *a: Viewer(*a, directory=str(dist)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with (folder / "orthanc.log").open("w") as log:
        orthanc = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
    browser = None
    try:
        send(folder)
        browser = Browser(folder / "profile")
        pages = {}
        for name, series in (each.split("=") for each in named):
            if series.endswith(".html"):
                text = browser.look(f"file://{series}", "Qualitative Evaluations", settle=0.5)
            else:
                address = f"{VIEWER}/viewer?StudyInstanceUIDs={study}&initialSeriesInstanceUID={series}"
                is_sr = name == "sr" or name.endswith("ohif")
                text = browser.look(address, "Qualitative Evaluations" if is_sr else "CPTDN", settle=3)
            (folder / f"{name}.png").write_bytes(browser.picture())
            bottoms, visible = json.loads(browser.evaluate(LABELS)), browser.evaluate(VISIBLE)
            pages[name] = {"text": text, "visible": visible, "bottoms": bottoms}
        print(json.dumps(pages))
    finally:
        for process in (orthanc, *([browser.process] if browser else [])):
            process.terminate()
            process.wait(20)


def send(folder: Path) -> None:
    for attempt in range(100):
        try:
            urlopen(f"{ORTHANC}/system", timeout=5).close()  # noqa: S310
            break
        except (URLError, ConnectionError):
            if attempt == 99:
                raise
            time.sleep(0.2)
    for path in sorted(folder.glob("*.dcm")):
        posted = Request(f"{ORTHANC}/instances", data=path.read_bytes(), method="POST")  # noqa: S310
        urlopen(posted, timeout=30).close()  # noqa: S310


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
