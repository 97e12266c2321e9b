"""Objects of storage classes that no case is made of: accepted, counted, and never kept."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom.association import Association

from node.dicom.network.contexts import STORAGE_CLASSES, is_other_storage_class
from node.ledger.database import now_utc
from node.ledger.discarded import count_discarded, discarded_of_study
from node.ledger.tables import Report, ReportObject
from tests.dicom.raw_scu import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, MR, RawSender
from tests.dicom.scenes import Scene, encoded, mr_slice, scene, write_file
from tests.peers import peer

RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"
CT = "1.2.840.10008.5.1.4.1.1.2"
SIEMENS = "1.3.12.2.1107.5.9.1"  # CSA Non-Image Storage
PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
MPEG4 = "1.2.840.10008.1.2.4.102"


def object_of(sop_class: str, study: str) -> Dataset:
    ds = mr_slice(study=study, sop_class=sop_class)
    del ds.PixelData
    return ds


def recorded(node: Scene) -> None:
    """Wait until everything that was discarded is in the ledger; an association that ends writes its own."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and isinstance(thread, Association):
            thread.join(5)
    node.intake.senders.heartbeat()


def discarded(node: Scene, study: str) -> dict[str, int]:
    recorded(node)
    with node.ledger.begin() as session:
        return {row["name"]: row["n"] for row in discarded_of_study(session, study)}


@pytest.mark.parametrize(
    ("uid", "is_other"),
    [
        (MR, False), (CT, True), (RAW_DATA, True), (SIEMENS, True),
        (PRESENTATION_STATE, True),
        ("1.2.840.10008.5.1.4.1.1.88.59", True),  # Key Object Selection
        ("1.2.840.10008.5.1.4.34.7", True),  # RT Beams Delivery Instruction
        ("1.2.840.10008.5.1.1.29", True),  # Hardcopy Grayscale Image, retired
        ("1.2.840.10008.5.1.4.1.1.999.1", True),  # of a later edition
        ("", False), ("no UID", False),
        ("1.2.840.10008.1.1", False),  # Verification
        ("1.2.840.10008.1.20.1", False),  # Storage Commitment
        ("1.2.840.10008.3.1.2.3.3", False),  # Modality Performed Procedure Step
        ("1.2.840.10008.5.1.4.1.2.2.1", False),  # Study Root Query
        ("1.2.840.10008.5.1.4.1.1.200.4", False),  # Protocol Approval Information Model - FIND
        ("1.2.840.10008.5.1.4.1.1.201.2", False),  # Inventory - FIND
        ("1.2.840.10008.5.1.4.31", False),  # Modality Worklist
        ("1.2.840.10008.5.1.1.1", False),  # Basic Film Session
        ("1.2.840.10008.5.1.4.43.2", False),  # Generic Implant Template Information Model - FIND
    ],
)  # fmt: skip
def test_which_classes_store_other_objects(uid: str, is_other: bool) -> None:
    """Names and services by PS3.6 Annex A."""
    assert is_other_storage_class(uid) is is_other


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize("sop_class", [RAW_DATA, SIEMENS])
def test_they_are_a_success_and_counted_for_their_study(node: Scene, sop_class: str, syntax: str) -> None:
    ds = object_of(sop_class, "1.2.7")
    before = node.files()
    with RawSender(node.port, [(sop_class, [syntax]), (MR, [EXPLICIT])]) as sender:
        for _ in range(3):
            answer = sender.store(1, sop_class, str(ds.SOPInstanceUID), encoded(ds, syntax))
            assert answer is not None
            assert answer.status == 0
        image = mr_slice(study="1.2.7")
        answer = sender.store(3, MR, str(image.SOPInstanceUID), encoded(image))
        assert answer is not None
        assert answer.status == 0
    assert discarded(node, "1.2.7") == {"Raw Data Storage" if sop_class == RAW_DATA else SIEMENS: 3}
    assert len(node.instances()) == 1
    assert node.quarantined() == []
    [stored] = node.files() - before
    assert stored.startswith("studies/1.2.7/")


def test_any_transfer_syntax_will_do(node: Scene) -> None:
    video = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
    with RawSender(node.port, [(video, [MPEG4]), (video, [EXPLICIT]), (MR, [MPEG4])]) as sender:
        assert sender.accepted == {1: MPEG4, 3: EXPLICIT}  # of an MR nothing is discarded
        answer = sender.store(1, video, "1.2.3", b"no data set at all")
        assert answer is not None
        assert answer.status == 0
    assert discarded(node, "") == {"Video Endoscopic Image Storage": 1}


def test_an_image_in_the_context_of_another_class_needs_a_syntax_of_its_own(node: Scene) -> None:
    for syntax, status in ((EXPLICIT, 0x0000), (MPEG4, 0xC000)):
        ds = mr_slice(study="1.2.13")
        with RawSender(node.port, [(CT, [syntax])]) as sender:
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            assert answer.status == status
    assert len(node.instances()) == 1
    assert MPEG4 in node.quarantined()[0].text


def test_their_size_and_a_full_disk_do_not_matter(tmp_path: Path) -> None:
    with scene(tmp_path / "data", min_free_gb=1e6, max_object_mb=1) as node:
        ds = object_of(CT, "1.2.9")
        ds.PixelData = bytes(70_000_000)
        with RawSender(node.port, [(CT, [EXPLICIT]), (MR, [EXPLICIT])]) as sender:
            answer = sender.store(1, CT, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            assert answer.status == 0
            answer = sender.store(3, MR, "1.2.3", encoded(mr_slice()))
            assert answer is not None
            assert answer.status == 0xA700
        assert discarded(node, "1.2.9") == {"CT Image Storage": 1}
        assert node.files() == set()


def test_our_own_objects_that_come_back_are_not_counted(node: Scene) -> None:
    ds = object_of("1.2.840.10008.5.1.4.1.1.88.33", "1.2.10")
    with node.ledger.begin() as session:
        report = Report(
            study_instance_uid="1.2.10", job_id="job", identity="i", computation="c", request_digest="r",
            bundle_digest="b", revision=1, sop_instance_uid=str(ds.SOPInstanceUID), result={}, created_at=now_utc(),
        )  # fmt: skip
        session.add(report)
        session.flush()
        session.add(
            ReportObject(
                sop_instance_uid=str(ds.SOPInstanceUID), report_id=report.id, kind="sr",
                sop_class_uid=str(ds.SOPClassUID), transfer_syntax_uid=EXPLICIT, digest="d", path="p",
            )
        )  # fmt: skip
    with RawSender(node.port, [(str(ds.SOPClassUID), [EXPLICIT])]) as sender:
        answer = sender.store(1, str(ds.SOPClassUID), str(ds.SOPInstanceUID), encoded(ds))
        assert answer is not None
        assert answer.status == 0
    assert discarded(node, "1.2.10") == {}


def test_private_classes_are_one_number_in_totals(node: Scene) -> None:
    for n in range(3):
        private = f"1.2.826.0.1.3680043.{n}"
        with RawSender(node.port, [(private, [EXPLICIT])]) as sender:
            sender.store(1, private, "1.2.3", encoded(object_of(private, "1.2.11")))
    recorded(node)
    with node.ledger.begin() as session:
        assert count_discarded(session) == {"private": 3}


@pytest.mark.parametrize("program", ["storescu", "dcmsend"])
def test_dcmtk_gets_through_to_the_end(node: Scene, program: str, tmp_path: Path) -> None:
    """`storescu` stops at the first refusal, and proposes only what it needs with -R."""
    folder = tmp_path / "study"
    folder.mkdir()
    for n in range(6):
        write_file(mr_slice(study="1.2.12"), folder / f"{2 * n:02d}.dcm")
        for sop_class in (RAW_DATA, CT, PRESENTATION_STATE)[n % 3 : n % 3 + 1]:
            write_file(object_of(sop_class, "1.2.12"), folder / f"{2 * n + 1:02d}.dcm")
    options = ["-R", "-xe"] if program == "storescu" else []
    command = [peer(program, "dcmtk"), *options, "-aec", "CPTDN", "+sd", "127.0.0.1", str(node.port), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(node.instances()) == 6
    assert discarded(node, "1.2.12") == {
        "CT Image Storage": 2, "Raw Data Storage": 2, "Grayscale Softcopy Presentation State Storage": 2,
    }  # fmt: skip


def test_the_statement_lists_no_class_twice() -> None:
    assert not any(map(is_other_storage_class, STORAGE_CLASSES))
