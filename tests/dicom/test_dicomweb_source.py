"""QIDO-RS and WADO-RS as a source: Orthanc's DICOMweb plugin, and a server of the test with every wrong answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from config.errors import PacsUnavailableError, SettingsError
from config.settings import PacsSettings
from node.cases.retrieval_choice import PacsSeries
from node.dicom.dicomweb.arrivals import Door
from node.dicom.query.patient_query import PatientKey
from node.dicom.query.qido_client import check_qido, search_series
from node.dicom.query.wado_client import WadoOutcome, retrieve_by_wado
from node.dicom.scp.senders import Sender
from node.ledger.associations import Peer
from node.ledger.database import now_utc
from tests.dicom.scenes import Scene, mr_slice, scene, write_file
from tests.dicom.test_multipart import BOUNDARY, message
from tests.dicom.test_query_retrieve import CONTOUR, OTHER_STUDY, PATIENT, STUDY, T1W, T2W, archive, uids
from tests.flow.program import free_port
from tests.flow.servers import orthanc

TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def fetched(node: Scene, pacs: PacsSettings, series: list[PacsSeries]) -> list[WadoOutcome]:
    """The outcomes of a retrieval through the node's own intake."""
    sender: list[Sender] = []

    def sender_of() -> Sender:
        if not sender:
            sender.append(node.intake.senders.open(Peer("fetch", "test-node", "PACS", "127.0.0.1", now_utc())))
        return sender[0]

    try:
        return list(retrieve_by_wado(pacs, series, Door(node.intake, sender_of, "PACS", 10_000_000)))
    finally:
        for each in sender:
            node.intake.senders.close(each)


# --- Orthanc ---


def test_orthanc_is_queried_and_gives_whole_series(tmp_path: Path) -> None:
    files = archive(tmp_path / "files")
    with (
        scene(tmp_path / "data") as node,
        orthanc(tmp_path / "pacs", node.port, free_port(), routes=False, stow_to=("http://127.0.0.1:1/", "x")) as pacs,
    ):
        for path in files:
            pacs.upload(path)
        source = PacsSettings(wado_url=f"{pacs.url}/dicom-web", query_retrieve=True)
        assert "answers queries" in check_qido(source)
        asked: list[str] = []
        offered = search_series(
            source, STUDY, PATIENT, ("RTSTRUCT",), lambda query: asked.append(query.QueryRetrieveLevel)
        )
        assert uids(offered) == {T1W, T2W, CONTOUR}
        t2w = next(series for series in offered if series.series_instance_uid == T2W)
        assert (t2w.n_instances, t2w.header["SeriesDescription"], t2w.header["EchoTime"]) == (2, "t2 tra", 92)
        assert {"STUDY", "SERIES", "IMAGE"} == set(asked)
        assert uids(search_series(source, generate_uid(), PATIENT, ())) == set()
        outcomes = fetched(node, source, offered)
        assert sorted(outcome.text for outcome in outcomes) == [f"{n} instances by WADO-RS" for n in (1, 2, 3)]
        sent = {dcmread(path).SOPInstanceUID for path in files if dcmread(path).SeriesInstanceUID in uids(offered)}
        assert {row.sop_instance_uid for row in node.instances()} == sent
        assert node.quarantined() == []
        assert [outcome.succeeded for outcome in fetched(node, source, offered)] == [True] * 3  # again changes nothing
        assert len(node.instances()) == 6


# --- a server of the test ---


@dataclass
class Server:
    """A DICOMweb server: what it answers to a path, and what it was asked."""

    url: str = ""
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    breaks_off: bool = False
    only_plain: bool = False

    @property
    def pacs(self) -> PacsSettings:
        return PacsSettings(wado_url=self.url, query_retrieve=True, timeout_s=2, retrieve_timeout_s=2)

    def answer(self, status: int, content: Any = None, kind: str = "application/dicom+json", path: str = "") -> None:
        data = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
        self.answers[path] = status, kind, data


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            found.asked.append((url.path, parse_qs(url.query)))
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, kind, data = found.answers.get(url.path) or found.answers[""]
            if found.only_plain and "transfer-syntax" in self.headers["Accept"]:
                status, data = 406, b""
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data) + (500 if found.breaks_off else 0)))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = found.breaks_off

        def log_message(self, *_: Any) -> None:
            return

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{running.server_port}"
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    running.shutdown()
    running.server_close()


def series_answer(series: str = T1W, study: str = STUDY, **more: Any) -> dict[str, Any]:
    return {
        "00080060": {"vr": "CS", "Value": ["RTSTRUCT"]}, "0020000D": {"vr": "UI", "Value": [study]},
        "0020000E": {"vr": "UI", "Value": [series]}, "00201209": {"vr": "IS", "Value": [2]}, **more,
    }  # fmt: skip


def find(server: Server, patient: PatientKey = PATIENT, *others: str) -> list[PacsSeries]:
    return search_series(server.pacs, STUDY, patient, others)


def test_the_query_is_sent_as_path_parameters_and_fields(server: Server, tmp_path: Path) -> None:
    server.answer(204, path="/studies")
    server.answer(200, [series_answer()], path=f"/studies/{STUDY}/series")
    (tmp_path / "token").write_text("secret\n")
    pacs = server.pacs.model_copy(update={"wado_token_file": tmp_path / "token"})
    assert uids(search_series(pacs, STUDY, PATIENT, ("SEG",))) == {T1W}
    (path, of_series), (search, of_studies) = server.asked
    assert (path, search) == (f"/studies/{STUDY}/series", "/studies")
    assert {"0020000E", "00080060", "0008103E"} <= set(of_series["includefield"])
    assert (of_studies["PatientID"], of_studies["ModalitiesInStudy"]) == (["P-1"], ["SEG"])
    assert {header["authorization"] for header in server.headers} == {"Bearer secret"}
    assert {header["accept"] for header in server.headers} == {"application/dicom+json"}


def test_answers_about_others_are_left_out_as_by_c_find(server: Server) -> None:
    other_patient = series_answer(generate_uid(), **{"00100020": {"vr": "LO", "Value": ["P-2"]}})
    server.answer(200, [series_answer(), other_patient, series_answer(generate_uid(), OTHER_STUDY)])
    assert uids(find(server)) == {T1W}


@pytest.mark.parametrize(
    ("status", "content", "kind", "sentence"),
    [
        (401, None, "", "401: not authorised; check wado_token_file"), (403, None, "", "check wado_token_file"),
        (404, None, "", "check that wado_url"), (413, None, "", "413: more than it gives"),
        (503, None, "", "503: busy"), (500, None, "", "500"), (302, None, "", "302"),
        (200, b"<html>", "text/html", "text/html where application/dicom"),
        (200, b"{", "application/dicom+json", "no JSON"), (200, {}, "application/dicom+json", "no list of data sets"),
        (200, [{"0020000E": 7}], "application/dicom+json", "no DICOM JSON"),
        (200, b"[" * 100_000, "application/json", "no JSON"),
    ],
)  # fmt: skip
def test_a_query_that_is_not_answered_is_said_in_one_sentence(
    server: Server, status: int, content: Any, kind: str, sentence: str
) -> None:
    server.answer(status, content, kind)
    with pytest.raises(PacsUnavailableError, match=sentence):
        find(server)


def test_a_study_that_the_server_has_not_is_told_from_a_wrong_address(server: Server) -> None:
    server.answer(404)
    server.answer(204, path="/studies")
    assert find(server) == []


def test_a_server_that_is_away_and_a_token_that_cannot_be_read_are_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(PacsUnavailableError, match="cannot be reached"):
        check_qido(PacsSettings(wado_url="http://127.0.0.1:1/dicom-web"))
    with pytest.raises(SettingsError, match="wado_token_file"):
        check_qido(server.pacs.model_copy(update={"wado_token_file": tmp_path / "none"}))


SERIES = PacsSeries(STUDY, T1W, "MR", {}, 2)


def part10(ds: Dataset, folder: Path) -> bytes:
    return write_file(ds, folder / f"{ds.SOPInstanceUID}.dcm").read_bytes()


def test_a_series_arrives_whole_also_from_a_server_that_knows_no_transfer_syntax_parameter(
    server: Server, tmp_path: Path
) -> None:
    server.only_plain = True
    server.answer(200, message([part10(mr_slice(STUDY, T1W), tmp_path) for _ in range(2)]), TYPE)
    with scene(tmp_path / "data") as node:
        [outcome] = fetched(node, server.pacs, [SERIES])
        assert (outcome.succeeded, outcome.text) == (True, "2 instances by WADO-RS")
        assert len(node.instances()) == 2
    assert len(server.asked) == 2


def wrong_series(folder: Path) -> bytes:
    return message([part10(mr_slice(STUDY, T1W), folder), part10(mr_slice(OTHER_STUDY, T1W), folder)])


def one_of_two(folder: Path) -> bytes:
    return message([part10(mr_slice(STUDY, T1W), folder)])


def truncated(folder: Path) -> bytes:
    return message([part10(mr_slice(STUDY, T1W), folder) for _ in range(2)])[:-200]


def no_dicom(folder: Path) -> bytes:
    return message([part10(mr_slice(STUDY, T1W), folder), b"no DICOM at all"])


@pytest.mark.parametrize(
    ("status", "content", "kind", "n_stored", "sentence"),
    [
        (200, wrong_series, TYPE, 1, "1 not stored (C003: expected an instance of study"),
        (200, one_of_two, TYPE, 1, "lists 2 instances and sent 1"),
        (206, one_of_two, TYPE, 1, "not all (206)"),
        (200, truncated, TYPE, 1, "ended before its last delimiter"),
        (200, no_dicom, TYPE, 1, "1 not stored (C000: expected a DICOM file"),
        (200, one_of_two, "application/zip", 0, "expected multipart/related, found application/zip"),
        (200, lambda _: b"--b-1--", TYPE, 0, "lists 2 instances and sent 0"),
        (200, lambda _: b"--other", TYPE, 0, "no multipart/related"),
        (204, lambda _: b"", "", 0, "204: it has nothing"), (404, lambda _: b"", "", 0, "404: it has nothing"),
        (406, lambda _: b"", "", 0, "406: it does not give DICOM files"),
    ],
)  # fmt: skip
def test_what_is_not_the_whole_series_is_said_and_what_is_right_stays(
    server: Server, tmp_path: Path, status: int, content: Callable[[Path], bytes], kind: str, n_stored: int,
    sentence: str,
) -> None:  # fmt: skip
    server.answer(status, content(tmp_path), kind)
    with scene(tmp_path / "data") as node:
        [outcome] = fetched(node, server.pacs, [SERIES])
        assert not outcome.succeeded
        assert outcome.text.startswith(f"WADO-RS: {n_stored} instances")
        assert sentence in outcome.text
        assert {row.series_instance_uid for row in node.instances()} == ({T1W} if n_stored else set())
        assert {row.study_instance_uid for row in node.instances()} == ({STUDY} if n_stored else set())
        assert not [name for name in node.files() if name.startswith("incoming/")]


@pytest.mark.parametrize("status", [401, 403, 413, 429, 500, 503])
def test_a_server_that_refuses_now_is_asked_again_later(server: Server, tmp_path: Path, status: int) -> None:
    server.answer(status)
    with scene(tmp_path / "data") as node, pytest.raises(PacsUnavailableError, match=str(status)):
        fetched(node, server.pacs, [SERIES])


def test_a_connection_that_breaks_leaves_whole_objects_and_is_no_outcome(server: Server, tmp_path: Path) -> None:
    server.breaks_off = True
    server.answer(200, truncated(tmp_path), TYPE)
    with scene(tmp_path / "data") as node:
        with pytest.raises(PacsUnavailableError, match="after 1 instances of a series"):
            fetched(node, server.pacs, [SERIES])
        assert len(node.instances()) == 1
        assert not [name for name in node.files() if name.startswith("incoming/")]


def test_a_full_disk_here_is_no_outcome_of_the_series(server: Server, tmp_path: Path) -> None:
    server.answer(200, one_of_two(tmp_path), TYPE)
    with scene(tmp_path / "data", min_free_gb=1e9) as node:
        with pytest.raises(PacsUnavailableError, match="cannot store what it sends"):
            fetched(node, server.pacs, [SERIES])
        assert node.instances() == []


def test_the_file_that_is_stored_is_the_one_that_was_sent(server: Server, tmp_path: Path) -> None:
    data = part10(mr_slice(STUDY, T1W, rows=400), tmp_path)
    server.answer(200, message([data]), TYPE)
    with scene(tmp_path / "data") as node:
        fetched(node, server.pacs, [SERIES])
        [row] = node.instances()
        assert dcmread(node.store.path(row.path)).PixelData == dcmread(BytesIO(data)).PixelData
        assert row.calling_ae == "PACS"
