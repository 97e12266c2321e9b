"""`[dicomweb] receive`: STOW-RS at the web part, through its own server, into the intake that C-STORE uses."""

from __future__ import annotations

import os
import socket
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, RawDataStorage, generate_uid
from sqlalchemy import select
from starlette.routing import Route

from config.errors import SettingsError
from config.settings import Settings
from node.audit.recorder import open_audit
from node.dicom.dicomweb.reception import Reception
from node.ledger.associations import open_on_study
from node.ledger.cases import get_case
from node.ledger.tables import Association, Instance, Quarantined
from node.web.app import create_app
from node.web.dicomweb_endpoint import STUDIES, dicomweb_endpoint
from node.web.server import DICOMWEB, check_exposure
from tests.dicom.scenes import encoded, mr_slice, write_file
from tests.dicom.test_multipart import BOUNDARY, message
from tests.flow.program import free_port, wait_for
from tests.flow.servers import orthanc
from tests.web.conftest import Site

ON = "[dicomweb]\nreceive = true\n"
TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
TOKEN = "a token of some length"
REFERENCED, FAILED, OTHERS = "00081199", "00081198", "0008119A"
UID_TAG, REASON = "00081155", "00081197"


@dataclass
class Intake:
    """A running web part, and what it leaves."""

    site: Site
    url: str
    port: int

    def post(self, parts: list[bytes], path: str = "", **headers: str) -> httpx.Response:
        return self.send(message(parts), path, **headers)

    def send(self, body: Any, path: str = "", **headers: str) -> httpx.Response:
        named = {"Content-Type": TYPE, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return httpx.post(f"{self.url}{path}", content=body, headers=named, timeout=30)

    def rows(self, table: Any) -> list[Any]:
        with self.site.ledger.begin() as session:
            return list(session.scalars(select(table)))

    def incoming(self) -> list[str]:
        return os.listdir(self.site.context.store.root / "incoming")


@pytest.fixture
def serve(make_site: Callable[..., Site]) -> Iterator[Callable[[str], Intake]]:
    ended: list[Callable[[], None]] = []

    def start(extra: str = ON) -> Intake:
        site = make_site(extra)
        context = site.context
        reception = Reception(
            context.settings, site.ledger, context.store, "web-1", open_audit(context.settings, "web")
        )  # fmt: skip
        endpoint = dicomweb_endpoint(reception)
        routes = [Route(path, endpoint, methods=["POST"]) for path in (STUDIES, STUDIES + "/{study}")]
        app = create_app(context, routes, large_bodies=DICOMWEB)
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()

        def end() -> None:
            server.should_exit = True
            thread.join(10)
            reception.close()

        ended.append(end)
        wait_for(lambda: server.started, 10, lambda: "the server did not start")
        port = listener.getsockname()[1]
        return Intake(site, f"http://127.0.0.1:{port}{STUDIES}", port)

    yield start
    for end in ended:
        end()


@pytest.fixture
def intake(serve: Callable[[str], Intake]) -> Intake:
    return serve(ON)


def file_of(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def reasons(answer: httpx.Response) -> list[tuple[str, int]]:
    items = answer.json().get(FAILED, {}).get("Value", [])
    return [(item[UID_TAG]["Value"][0], item[REASON]["Value"][0]) for item in items]


def stored(answer: httpx.Response) -> list[str]:
    return [item[UID_TAG]["Value"][0] for item in answer.json()[REFERENCED]["Value"]]


def test_what_is_answered_200_is_durable_with_the_bytes_that_were_sent(intake: Intake) -> None:
    study, series = generate_uid(), generate_uid()
    slices = [mr_slice(study, series, rows=200) for _ in range(3)]
    answer = intake.post([file_of(ds) for ds in slices])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    assert stored(answer) == [ds.SOPInstanceUID for ds in slices]
    rows = intake.rows(Instance)
    assert {row.sop_instance_uid for row in rows} == {ds.SOPInstanceUID for ds in slices}
    for row in rows:
        (ds,) = (ds for ds in slices if ds.SOPInstanceUID == row.sop_instance_uid)
        assert intake.site.context.store.path(row.path).read_bytes().endswith(encoded(ds))
        assert row.calling_ae == "DICOMWEB"
    assert intake.incoming() == []
    [association] = intake.rows(Association)
    assert association.closed_at is not None
    with intake.site.ledger.begin() as session:
        case = get_case(session, study)
        assert (case.state, case.patient_id) == ("receiving", "P-1")
    assert audited(intake, "DICOM Instances Transferred") == 1


def audited(intake: Intake, event: str) -> int:
    """Number of audit messages about an event."""
    trail = open_audit(intake.site.context.settings, "web").trail
    return sum(path.read_text().count(f'originalText="{event}"') for path in trail.folder.glob("*"))


def test_the_same_again_is_a_success_and_other_content_is_not(intake: Intake) -> None:
    ds = mr_slice()
    first = file_of(ds)
    assert intake.post([first]).status_code == 200
    assert intake.post([first]).status_code == 200
    ds.EchoTime = 99.0
    answer = intake.post([file_of(ds), file_of(mr_slice())])
    assert answer.status_code == 202
    assert reasons(answer) == [(ds.SOPInstanceUID, 0xC001)]
    assert "already stored" in answer.headers["Warning"]
    [aside] = intake.rows(Quarantined)
    assert (aside.code, aside.study_instance_uid) == ("conflicting_instance", ds.StudyInstanceUID)
    assert len(intake.rows(Instance)) == 2


def test_a_request_for_one_study_stores_nothing_of_another(intake: Intake) -> None:
    here, other = mr_slice(), mr_slice()
    answer = intake.post([file_of(here), file_of(other)], f"/{here.StudyInstanceUID}")
    assert answer.status_code == 202
    assert reasons(answer) == [(other.SOPInstanceUID, 0xC003)]
    assert [row.sop_instance_uid for row in intake.rows(Instance)] == [here.SOPInstanceUID]
    assert intake.rows(Quarantined) == []
    assert intake.post([file_of(other)], f"/{here.StudyInstanceUID}").status_code == 409
    assert intake.post([file_of(here)], "/no-uid").status_code == 400


def test_objects_of_other_classes_are_counted_or_refused_as_by_c_store(serve: Callable[[str], Intake]) -> None:
    raw = file_of(mr_slice(sop_class=RawDataStorage))
    accepting = serve(ON)
    assert accepting.post([raw]).status_code == 200
    assert accepting.rows(Instance) == []
    refusing = serve(f'{ON}[node]\nother_classes = "reject"\n')
    answer = refusing.post([raw])
    assert answer.status_code == 409
    assert [reason for _, reason in reasons(answer)] == [0x0122]


def test_a_transfer_syntax_that_c_store_does_not_negotiate_is_refused(intake: Intake) -> None:
    ds = mr_slice()
    mpeg = file_of(ds).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0")
    answer = intake.post([mpeg])
    assert (answer.status_code, reasons(answer)) == (409, [(ds.SOPInstanceUID, 0xC122)])
    assert intake.rows(Quarantined) == []


@pytest.mark.parametrize("damaged", [b"", b"hello", b"\0" * 128 + b"DICM", b"\0" * 200])
def test_what_is_no_dicom_file_is_quarantined_and_said(intake: Intake, damaged: bytes) -> None:
    ds = mr_slice()
    answer = intake.post([damaged, file_of(ds)])
    assert (answer.status_code, stored(answer)) == (202, [ds.SOPInstanceUID])
    assert answer.json()[OTHERS]["Value"] == [{REASON: {"vr": "US", "Value": [0xC000]}}]
    [aside] = intake.rows(Quarantined)
    assert aside.code == "unreadable_instance"
    assert "DICOM file" in aside.text


def test_an_object_that_is_cut_off_inside_is_refused(intake: Intake) -> None:
    ds = mr_slice()
    answer = intake.post([file_of(ds)[:-40]])
    assert (answer.status_code, reasons(answer)) == (409, [(ds.SOPInstanceUID, 0xC000)])
    assert intake.rows(Instance) == []


def test_the_answer_is_xml_where_only_that_is_accepted(intake: Intake) -> None:
    ds, bad = mr_slice(), mr_slice()
    answer = intake.post([file_of(ds), file_of(bad)[:-40]], Accept="application/dicom+xml")
    assert answer.headers["content-type"] == "application/dicom+xml"
    root = ElementTree.fromstring(answer.content)  # noqa: S314 - our own
    space = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
    assert root.tag == f"{space}NativeDicomModel"
    values = {
        (sequence.get("keyword"), element.get("keyword")): [value.text for value in element]
        for sequence in root
        for item in sequence
        for element in item
    }
    assert values["ReferencedSOPSequence", "ReferencedSOPInstanceUID"] == [ds.SOPInstanceUID]
    assert values["FailedSOPSequence", "ReferencedSOPInstanceUID"] == [bad.SOPInstanceUID]
    assert values["FailedSOPSequence", "FailureReason"] == [str(0xC000)]


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (415, "application/dicom", b"x"), (415, "multipart/form-data; boundary=a", b"x"),
        (415, 'multipart/related; type="application/dicom+json"; boundary=a', b"x"),
        (400, "multipart/related; type=application/dicom", b"x"), (400, TYPE, b"--other\r\n"),
        (400, TYPE, b""), (400, TYPE, b"--b-1--\r\n"), (400, TYPE, b"--b-1\r\n: x\r\n\r\n"),
        (415, TYPE, b"--b-1\r\nContent-Type: application/json\r\n\r\n{}\r\n--b-1--"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_refused_with_its_reason(
    intake: Intake, status: int, content_type: str, body: bytes
) -> None:
    answer = intake.send(body, Content_Type=content_type)
    assert answer.status_code == status
    assert answer.headers["Warning"].startswith("299 cptdn")
    assert intake.incoming() == []
    assert (intake.rows(Instance), intake.rows(Quarantined)) == ([], [])


def test_what_arrived_before_a_message_broke_is_named_and_stays(intake: Intake) -> None:
    ds = mr_slice()
    whole = message([file_of(ds), file_of(mr_slice())])
    answer = intake.send(whole[: len(whole) * 3 // 4])
    assert (answer.status_code, stored(answer)) == (400, [ds.SOPInstanceUID])
    assert "last delimiter" in answer.headers["Warning"]
    assert [row.sop_instance_uid for row in intake.rows(Instance)] == [ds.SOPInstanceUID]
    assert intake.incoming() == []


def test_an_upload_that_is_broken_off_leaves_whole_objects_only(intake: Intake) -> None:
    ds = mr_slice()
    body = message([file_of(ds), file_of(mr_slice(rows=300))])
    with socket.create_connection(("127.0.0.1", intake.port)) as client:
        head = f"POST {STUDIES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {TYPE}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:-1000])
        # While it arrives its study is not complete, as with an open association.
        wait_for(lambda: len(intake.rows(Instance)) == 1, 10, lambda: "the first object did not arrive")
        with intake.site.ledger.begin() as session:
            assert open_on_study(session, ds.StudyInstanceUID) == 1
    wait_for(lambda: intake.rows(Association)[0].closed_at is not None, 10, lambda: "the transfer did not end")
    assert len(intake.rows(Instance)) == 1
    assert intake.incoming() == []


def test_a_silent_and_a_slow_sender_are_ended(serve: Callable[[str], Intake]) -> None:
    intake = serve(f"{ON}[node]\nnetwork_timeout_s = 0.5\n")
    head = f"POST {STUDIES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {TYPE}\r\nContent-Length: 100000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", intake.port), timeout=10) as silent:
        silent.sendall(head.encode() + b"--b-1\r\n")
        assert b" 408 " in silent.recv(4096).splitlines()[0]
    with socket.create_connection(("127.0.0.1", intake.port), timeout=10) as slow:
        slow.sendall(head.encode() + b"--b-1\r\n")
        for _ in range(20):
            time.sleep(0.1)
            try:
                slow.sendall(b"x")
            except OSError:
                break
        assert b" 408 " in slow.recv(4096).splitlines()[0]


def test_a_sender_needs_its_token_and_is_called_by_its_name(serve: Callable[[str], Intake], tmp_path: Path) -> None:
    senders = tmp_path / "senders"
    senders.write_text(f"# tokens\nARCHIVE:{TOKEN}\n")
    senders.chmod(0o600)
    intake = serve(f'{ON}senders_file = "{senders}"\n')
    part = file_of(mr_slice())
    for shown in ("", "Bearer wrong", f"Basic {TOKEN}"):
        answer = intake.post([part], Authorization=shown)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert intake.rows(Instance) == []
    assert audited(intake, "Security Alert") == 1  # once in a minute
    assert intake.post([part], Authorization=f"Bearer {TOKEN}").status_code == 200
    assert [row.calling_ae for row in intake.rows(Instance)] == ["ARCHIVE"]
    senders.write_text("ARCHIVE:another token, as long\n")  # changed while it runs
    assert intake.post([part], Authorization=f"Bearer {TOKEN}").status_code == 401
    senders.write_text("no line")
    assert intake.post([part], Authorization=f"Bearer {TOKEN}").status_code == 503


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("A:short", 0o600, "at least 16"), ("", 0o600, "at least one line"),
        (f"A NAME:{TOKEN}", 0o600, "line 1"), (f"A:{TOKEN}", 0o644, "chmod 600"),
    ],
)  # fmt: skip
def test_a_senders_file_with_a_mistake_is_an_error_that_shows_no_token(
    make_site: Callable[..., Site], tmp_path: Path, text: str, mode: int, problem: str
) -> None:
    senders = tmp_path / "senders"
    senders.write_text(text)
    senders.chmod(mode)
    site = make_site(f'{ON}senders_file = "{senders}"\n')
    settings = site.context.settings
    with pytest.raises(SettingsError, match=problem) as raised:
        Reception(settings, site.ledger, site.context.store, "web-1", open_audit(settings, "web"))
    assert TOKEN not in str(raised.value)


def test_a_request_through_a_proxy_needs_a_token(intake: Intake) -> None:
    assert intake.post([file_of(mr_slice())], X_Forwarded_For="192.0.2.1").status_code == 401


def test_limits_of_address_size_number_and_room(
    serve: Callable[[str], Intake], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = file_of(mr_slice())
    assert serve(f'{ON}[node]\nallowed_addresses = ["192.0.2.0/24"]\n').post([part]).status_code == 403
    limited = serve(
        f"{ON}max_request_mb = 1\nmax_requests = 1\n[node]\nmax_object_mb = 1\nassociations_per_minute = 6\n"
    )
    big = os.urandom(1_100_000)
    assert limited.post([big]).status_code == 413
    answer = limited.send(iter([message([part]), big]))  # in chunks, without a length
    assert (answer.status_code, len(stored(answer))) == (413, 1)
    with socket.create_connection(("127.0.0.1", limited.port)) as first:
        head = f"POST {STUDIES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {TYPE}\r\nContent-Length: 1000\r\n\r\n"
        first.sendall(head.encode() + b"--b-1\r\n")
        wait_for(lambda: limited.post([part]).status_code == 503, 10, lambda: "a second request was taken")
    wait_for(lambda: limited.post([part]).status_code == 429, 10, lambda: "no limit of requests a minute")
    full = serve(ON)
    monkeypatch.setattr(full.site.context.store, "has_room", lambda _size=0: False)
    answer = full.post([part])
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


def test_without_room_in_the_middle_nothing_is_confirmed(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    room = iter([True, True, False, False])
    monkeypatch.setattr(intake.site.context.store, "has_room", lambda _size=0: next(room))
    one, two = mr_slice(), mr_slice()
    answer = intake.post([file_of(one), file_of(two)])
    assert (answer.status_code, stored(answer), reasons(answer)) == (
        202, [one.SOPInstanceUID], [(two.SOPInstanceUID, 0xA700)],
    )  # fmt: skip


def test_the_endpoint_is_off_by_default_and_needs_tokens_off_loopback(site: Site) -> None:
    assert site.browser().post(STUDIES, content=b"", headers={"Content-Type": TYPE}).status_code == 404
    tls = {"certificate": "a", "private_key": "b"}
    settings = Settings(web={"bind": "192.0.2.1", "tls": tls}, dicomweb={"receive": True})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="senders_file"):
        check_exposure(settings, users=True)


def test_orthanc_stores_here_by_stow_rs_and_stores_again(serve: Callable[[str], Intake], tmp_path: Path) -> None:
    senders = tmp_path / "senders"
    senders.write_text(f"ORTHANC:{TOKEN}\n")
    senders.chmod(0o600)
    intake = serve(f'{ON}senders_file = "{senders}"\n')
    study, series = generate_uid(), generate_uid()
    paths = [write_file(mr_slice(study, series, rows=200), tmp_path / f"{n}.dcm") for n in range(12)]
    base = intake.url.removesuffix("/studies") + "/"
    with orthanc(tmp_path / "pacs", 1, free_port(), routes=False, stow_to=(base, TOKEN)) as pacs:
        for path in paths:
            pacs.upload(path)
        for _ in range(2):
            done = httpx.post(
                f"{pacs.url}/dicom-web/servers/cptdn/stow", timeout=60,
                json={"Resources": pacs.get("/studies"), "Synchronous": True},
            )  # fmt: skip
            assert done.status_code == 200, done.text
            rows = {row.sop_instance_uid: row for row in intake.rows(Instance)}
            assert set(rows) == {dcmread(path).SOPInstanceUID for path in paths}
    for path in paths:
        ds = dcmread(path)
        kept = dcmread(intake.site.context.store.path(rows[ds.SOPInstanceUID].path))
        assert kept.PixelData == ds.PixelData
        assert rows[ds.SOPInstanceUID].calling_ae == "ORTHANC"
    assert intake.rows(Quarantined) == []
