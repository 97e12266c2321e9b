"""The programs of others, in both directions."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, generate_uid

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.dicom.network.connection import echo
from node.dicom.network.statuses import Verdict
from node.dicom.scu.store_scu import FileToSend, send, send_folder
from node.small_pacs.pacs import Behaviour, Destination, SmallPacs
from tests.dicom.scenes import MR, Scene, mr_slice, write_file
from tests.peers import peer, unpacked

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """dcmtk's storage server; its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [peer("storescp", "dcmtk"), "-od", str(folder), "-aet", "PACS", *options, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_dcmtk_echoes(node: Scene) -> None:
    done = run(peer("echoscu", "dcmtk"), "-aec", "CPTDN", "127.0.0.1", str(node.port))
    assert done.returncode == 0, done.stderr


def test_dcmtk_sends_a_real_study(node: Scene, tmp_path: Path) -> None:
    folder = unpacked("mr_nema_brtum_enhanced", tmp_path / "in")
    done = run(
        peer("storescu", "dcmtk"), "-aec", "CPTDN", "-aet", "ORTHANC", "+sd", "+r", "127.0.0.1", str(node.port),
        str(folder),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sent = {
        str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        for path in folder.rglob("*")
        if path.is_file()
    }
    rows = node.instances()
    assert {row.sop_instance_uid for row in rows} == sent
    assert len({row.study_instance_uid for row in rows}) == 1
    assert node.wait_released()
    for row in rows:
        kept = pydicom.dcmread(node.store.path(row.path))
        assert kept.pixel_array.shape == (row.header["NumberOfFrames"], kept.Rows, kept.Columns)


def test_dcmtk_dumps_a_stored_file(node: Scene, tmp_path: Path) -> None:
    ds = mr_slice()
    send_folder([write_file(ds, tmp_path / "one.dcm")], "127.0.0.1", node.port, "MOD", "CPTDN")
    kept = node.store.path(node.instances()[0].path)
    done = run(
        peer("dcmdump", "dcmtk"), "+P", "MediaStorageSOPInstanceUID", "+P", "SourceApplicationEntityTitle", str(kept)
    )
    assert done.returncode == 0
    assert ds.SOPInstanceUID in done.stdout
    assert "[MOD]" in done.stdout


def test_the_stored_bytes_are_sent_to_dcmtk_unchanged(tmp_path: Path) -> None:
    ds = mr_slice(rows=128)
    path = write_file(ds, tmp_path / "one.dcm")
    with storescp(tmp_path / "at", "+B") as port:
        [outcome] = send_folder([path], "127.0.0.1", port, "CPTDN", "PACS")
    assert outcome.verdict is Verdict.STORED
    [received] = (tmp_path / "at").iterdir()
    sent_bytes, received_bytes = path.read_bytes(), received.read_bytes()
    data = sent_bytes[sent_bytes.index(b"\x08\x00\x16\x00") :]
    assert received_bytes.endswith(data)


@pytest.mark.parametrize(
    ("accepts", "syntax"),
    [("+xt", JPEGLSLossless), ("+xe", ExplicitVRLittleEndian), ("+xi", ImplicitVRLittleEndian)],
    ids=["jpeg-ls", "uncompressed", "default only"],
)
def test_a_compressed_object_reaches_dcmtk_in_a_syntax_that_it_accepts(
    accepts: str, syntax: UID, tmp_path: Path
) -> None:
    ds = mr_slice(rows=32, PatientName="Wang^XiaoDong=王^小东", SpecificCharacterSet="ISO_IR 192")
    native = ds.PixelData
    path = write_file(ds, tmp_path / "one.dcm")
    stored = pydicom.dcmread(path)
    stored.compress(JPEGLSLossless, generate_instance_uid=False)
    stored.save_as(path)
    with storescp(tmp_path / "at", "+B", accepts) as port:
        [outcome] = send_folder([path], "127.0.0.1", port, "CPTDN", "PACS")
    assert outcome.verdict is Verdict.STORED
    [received] = [pydicom.dcmread(each) for each in (tmp_path / "at").iterdir()]
    assert received.file_meta.TransferSyntaxUID == syntax
    assert received.SOPInstanceUID == received.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert received.PatientName == "Wang^XiaoDong=王^小东"
    received.decompress(generate_instance_uid=False) if syntax == JPEGLSLossless else None
    assert received.PixelData == native


def test_a_small_object_is_sent_to_dcmtk_without_nagles_delay(tmp_path: Path) -> None:
    """A peer that leaves Nagle on is not our doing; tests/conftest.py switches it off in theirs."""
    ds = mr_slice(rows=16)
    path = write_file(ds, tmp_path / "one.dcm")
    with storescp(tmp_path / "at") as port:
        file = FileToSend(path, MR, str(ds.SOPInstanceUID), "1.2.840.10008.1.2.1")
        pacs = PacsSettings(port=port)
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            send([file], pacs, "CPTDN")
            seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.04  # one Nagle pause with a delayed acknowledgement is 40 ms


def test_a_class_that_a_peer_does_not_accept_is_an_outcome(tmp_path: Path) -> None:
    image, structures = mr_slice(), mr_slice(sop_class=RTSTRUCT)
    paths = [write_file(ds, tmp_path / f"{n}.dcm") for n, ds in enumerate((image, structures))]
    behind = tmp_path / "pacs"
    with SmallPacs(behind, behaviour=Behaviour(refuse_classes=frozenset({RTSTRUCT}))) as pacs:
        outcomes = send_folder(paths, "127.0.0.1", pacs.port, "CPTDN", "PACS")
        assert [outcome.verdict for outcome in outcomes] == [Verdict.STORED, Verdict.REFUSED]
        assert outcomes[1].class_refused
        only = send_folder(paths[1:], "127.0.0.1", pacs.port, "CPTDN", "PACS")
    assert only[0].class_refused


def test_the_error_says_why_a_peer_cannot_be_used(node: Scene) -> None:
    with pytest.raises(PacsUnavailableError, match="cannot be reached"):
        echo(PacsSettings(port=free_port()), "CPTDN")
    with pytest.raises(PacsUnavailableError, match="its AE title is another one than configured"):
        echo(PacsSettings(ae_title="WRONG", port=node.port), "MOD")
    assert echo(PacsSettings(ae_title="CPTDN", port=node.port), "MOD") < 2


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[SmallPacs]:
    """A small PACS with two patients: two series of one study, and one other."""
    with SmallPacs(tmp_path / "pacs") as pacs:
        study, series = generate_uid(), [generate_uid(), generate_uid()]
        for number in range(4):
            ds = mr_slice(study, series[number % 2], PatientID="P-1", StudyDate="20240102", InstanceNumber=number)
            pacs.add(write_file(ds, tmp_path / f"a{number}.dcm"))
        other = mr_slice(PatientID="Q-2", PatientName="Other^Two", StudyDate="20230101")
        pacs.add(write_file(other, tmp_path / "b.dcm"))
        yield pacs


def find(pacs: SmallPacs, *keys: str) -> str:
    options = [part for key in keys for part in ("-k", key)]
    done = run(peer("findscu", "dcmtk"), "-S", "-aec", "PACS", *options, "127.0.0.1", str(pacs.port))
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_dcmtk_finds_at_every_level(archive: SmallPacs) -> None:
    studies = find(archive, "QueryRetrieveLevel=STUDY", "StudyInstanceUID", "PatientID=P-*")
    assert studies.count("(0020,000d)") == 1
    assert find(archive, "QueryRetrieveLevel=STUDY", "StudyInstanceUID").count("(0020,000d)") == 2
    dated = find(archive, "QueryRetrieveLevel=STUDY", "StudyInstanceUID", "StudyDate=20240101-20241231")
    assert dated.count("(0020,000d)") == 1
    series = find(archive, "QueryRetrieveLevel=SERIES", "SeriesInstanceUID", "PatientID=P-1")
    assert series.count("(0020,000e)") == 2
    images = find(archive, "QueryRetrieveLevel=IMAGE", "SOPInstanceUID", "PatientName=phantom^o*")
    assert images.count("(0008,0018)") == 4
    assert find(archive, "QueryRetrieveLevel=STUDY", "StudyInstanceUID", "PatientID=NOBODY").count("(0020,000d)") == 0


def test_dcmtk_gets_a_study(archive: SmallPacs, tmp_path: Path) -> None:
    out = tmp_path / "got"
    out.mkdir()
    done = run(
        peer("getscu", "dcmtk"), "-S", "-aec", "PACS", "-od", str(out), "-k", "QueryRetrieveLevel=STUDY", "-k",
        "PatientID=P-1", "127.0.0.1", str(archive.port),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list(out.iterdir())) == 4


def test_dcmtk_moves_a_study_to_the_node(archive: SmallPacs, node: Scene) -> None:
    archive.destinations["CPTDN"] = Destination("CPTDN", "127.0.0.1", node.port)
    command = [peer("movescu", "dcmtk"), "-S", "-aec", "PACS", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=P-1"]
    done = run(*command, "-aem", "CPTDN", "127.0.0.1", str(archive.port))
    assert done.returncode == 0, done.stderr
    assert len(node.instances()) == 4
    assert run(*command, "-aem", "NOBODY", "127.0.0.1", str(archive.port)).returncode != 0
