"""STOW-RS against Orthanc's DICOMweb plugin, and against a server of the test with every answer of PS3.18 10.5.3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from config.errors import PacsUnavailableError
from config.settings import PacsSettings, Settings, StorageSettings
from node.dicom.network.statuses import Verdict
from node.dicom.scu.store_scu import FileToSend
from node.dicom.scu.stow_client import check_stow, stow
from node.ledger.database import open_ledger
from node.store.study_store import StudyStore
from tests.delivery.scenes import DeliveryScene
from tests.dicom.scenes import MR, mr_slice, write_file
from tests.peers import PROJECT, absent, peer

STORED, RETRY, REFUSED = Verdict.STORED, Verdict.RETRY, Verdict.REFUSED


@dataclass
class Server:
    """A DICOMweb server: what it got, and what it answers."""

    url: str = ""
    status: int = 200
    answer: Any = None
    wants_length: bool = False
    received: list[list[bytes]] = field(default_factory=list)
    headers: list[Message] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = self.headers["Content-Length"]
            body = self.rfile.read(int(length)) if length else self.chunks()
            found.headers.append(self.headers)
            status = 411 if found.wants_length and not length else found.status
            if status != 411:
                boundary = self.headers["Content-Type"].rpartition("boundary=")[2].encode()
                parts = body.split(b"--" + boundary)[1:-1]
                found.received.append([part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts])
            data = b"" if found.answer is None else json.dumps(found.answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def chunks(self) -> bytes:
            assert self.headers["Transfer-Encoding"] == "chunked"
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_: Any) -> None:
            return

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{running.server_port}/dicom-web"
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    running.shutdown()
    running.server_close()


@pytest.fixture
def files(tmp_path: Path) -> list[FileToSend]:
    made = []
    for name in ("one", "two", "three"):
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(os.urandom(70_000 if name == "two" else 99))  # one of them is longer than a chunk
        made.append(FileToSend(path, MR, generate_uid(), "1.2.840.10008.1.2.1"))
    return made


def sequence(tag: str, items: list[tuple[str, int | None]], reason: str = "00081197") -> dict[str, Any]:
    values = [
        {"00081155": {"vr": "UI", "Value": [uid]}, **({reason: {"vr": "US", "Value": [code]}} if code else {})}
        for uid, code in items
    ]
    return {tag: {"vr": "SQ", "Value": values}}


def sent(server: Server, files: list[FileToSend]) -> list[Verdict]:
    return [each.verdict for each in stow(files, PacsSettings(stow_url=server.url), lambda: True)]


def test_the_bytes_arrive_in_chunks_as_they_are(server: Server, files: list[FileToSend]) -> None:
    server.answer = sequence("00081199", [(file.sop_instance_uid, None) for file in files])
    assert sent(server, files) == [STORED] * 3
    assert server.received == [[file.path.read_bytes() for file in files]]
    assert 'multipart/related; type="application/dicom"' in server.headers[0]["Content-Type"]


def test_a_server_that_asks_for_the_length_gets_it(server: Server, files: list[FileToSend]) -> None:
    server.wants_length = True
    assert sent(server, files) == [STORED] * 3
    assert server.received == [[file.path.read_bytes() for file in files]]


def test_a_partial_failure_is_told_by_object(server: Server, files: list[FileToSend]) -> None:
    one, two, three = (file.sop_instance_uid for file in files)
    server.status = 202
    server.answer = {
        **sequence("00081199", [(one, 0xB007)], "00081196"),
        **sequence("00081198", [(two, 0x0122), (three, 0xA700)]),
    }
    outcomes = stow(files, PacsSettings(stow_url=server.url), lambda: True)
    assert [each.verdict for each in outcomes] == [STORED, REFUSED, RETRY]
    assert [each.class_refused for each in outcomes] == [False, True, False]
    assert [each.note for each in outcomes] == ["warning B007", "failure reason 0122", "failure reason A700"]


def test_an_object_that_the_answer_does_not_name_is_sent_again(server: Server, files: list[FileToSend]) -> None:
    server.answer = sequence("00081199", [(files[0].sop_instance_uid, None)])
    assert sent(server, files) == [STORED, RETRY, RETRY]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, STORED), (202, RETRY), (409, RETRY), (400, REFUSED), (415, REFUSED), (413, REFUSED), (401, RETRY),
        (403, RETRY), (404, RETRY), (429, RETRY), (500, RETRY), (503, RETRY),
    ],
)  # fmt: skip
def test_an_answer_without_content_is_read_by_its_status(
    status: int, verdict: Verdict, server: Server, files: list[FileToSend]
) -> None:
    server.status = status
    assert sent(server, files) == [verdict] * 3


@pytest.mark.parametrize("answer", [[], {}, "no", [{"00081198": {"Value": [{}]}}], {"00081199": "?"}, 7])
def test_an_answer_that_is_no_dicom_json_stores_nothing_in_doubt(
    answer: Any, server: Server, files: list[FileToSend]
) -> None:
    server.status, server.answer = 202, answer
    assert sent(server, files) == [RETRY] * 3


def test_a_duplicate_is_stored(server: Server, files: list[FileToSend]) -> None:
    server.status = 409
    server.answer = sequence("00081198", [(file.sop_instance_uid, 0x0111) for file in files])
    assert sent(server, files) == [STORED] * 3


def test_a_report_that_was_replaced_is_not_sent(server: Server, files: list[FileToSend]) -> None:
    answers = iter([True, True, False, False])
    outcomes = stow(files, PacsSettings(stow_url=server.url), lambda: next(answers))
    assert {each.verdict for each in outcomes} == {RETRY}
    assert server.received == []


def test_a_server_that_is_away_is_said_to_be(files: list[FileToSend], server: Server, tmp_path: Path) -> None:
    away = PacsSettings(stow_url="http://127.0.0.1:1/dicom-web")
    with pytest.raises(PacsUnavailableError, match="cannot be reached"):
        stow(files, away, lambda: True)
    with pytest.raises(PacsUnavailableError, match="cannot be reached"):
        check_stow(away)
    server.status = 401
    with pytest.raises(PacsUnavailableError, match="401: not authorised"):
        check_stow(PacsSettings(stow_url=server.url))


def test_the_token_is_that_of_the_file(server: Server, files: list[FileToSend], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    stow(files, PacsSettings(stow_url=server.url, stow_token_file=tmp_path / "token"), lambda: True)
    assert server.headers[0]["Authorization"] == "Bearer secret"


def test_a_delivery_by_dicomweb_repeats_what_failed_and_awaits_no_commitment(server: Server, tmp_path: Path) -> None:
    settings = Settings(
        storage=StorageSettings(root=tmp_path), pacs=(PacsSettings(stow_url=server.url, send=("sr", "sc")),)
    )  # fmt: skip
    ledger, store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}"), StudyStore(tmp_path)
    store.prepare()
    here = DeliveryScene(ledger, store, settings)
    delivery = here.report()
    stored = here.objects(delivery)
    server.status = 202
    server.answer = {
        **sequence("00081199", [(stored["sr"].sop_instance_uid, None)]),
        **sequence("00081198", [(stored["sc"].sop_instance_uid, 0xA700)]),
    }
    outcome = here.deliver(delivery)
    assert (outcome.state, outcome.text) == ("pending", "1 object(s) not stored yet: failure reason A700")
    server.status, server.answer = 200, None
    here.due_now(delivery)
    assert here.deliver(delivery).state == "delivered"
    assert [len(parts) for parts in server.received] == [2, 1]
    assert server.received[1] == [here.bytes_of(stored["sc"])]
    ledger.close()


def test_orthanc_stores_what_is_sent_and_takes_it_twice(tmp_path: Path) -> None:
    if not Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so").exists():
        absent("Orthanc's DICOMweb plugin is not installed (Debian package orthanc-dicomweb)")
    peer("Orthanc", "orthanc")
    study, series = generate_uid(), generate_uid()
    paths = [write_file(mr_slice(study, series), tmp_path / f"{number}.dcm") for number in range(3)]
    command = [
        peer("unshare", "util-linux"), "-n", sys.executable, "-m", "tests.dicom.stow_exchange", str(tmp_path)
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert [verdict for _, verdict in found["once"]] == ["stored"] * 3
    assert [verdict for _, verdict in found["again"]] == ["stored"] * 3
    assert "answers (200)" in found["check"]
    back = {dcmread(path).SOPInstanceUID: path.read_bytes() for path in (tmp_path / "back").glob("*.dcm")}
    assert back == {dcmread(path).SOPInstanceUID: path.read_bytes() for path in paths}
