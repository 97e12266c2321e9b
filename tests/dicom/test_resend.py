"""An instance that is sent again: what its sender is told, what is stored, and that its case does not move."""

from __future__ import annotations

import copy
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, generate_uid

from node.dicom.content.comparison_client import ContentComparison
from node.dicom.network.statuses import StoreStatus
from node.ledger.associations import open_on_study
from node.ledger.cases import due_cases, get_case
from node.ledger.database import now_utc
from tests.dicom.instances import compressed
from tests.dicom.raw_scu import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, MR, RawSender
from tests.dicom.scenes import Scene, encoded, mr_slice, scene, write_file

OTHER_SYNTAXES = (IMPLICIT, BIG_ENDIAN, DEFLATED)


def big_endian(ds: Dataset) -> Dataset:
    """The pixels in the byte order of big endian; pynetdicom's encoder leaves bulk data as it is."""
    swapped = copy.deepcopy(ds)
    swapped.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    return swapped


def send(node: Scene, ds: Dataset, syntax: str = EXPLICIT, data: bytes | None = None) -> tuple[int, str]:
    with RawSender(node.port, [(MR, [syntax])]) as sender:
        if data is None:
            data = encoded(big_endian(ds) if syntax == BIG_ENDIAN else ds, syntax)
        answer = sender.store(1, MR, str(ds.SOPInstanceUID), data)
        sender.release()
    assert answer is not None
    return answer.status, answer.comment


def with_an_edit(ds: Dataset) -> Dataset:
    changed = copy.deepcopy(ds)
    changed.StudyID, changed.InstitutionName, changed.IssuerOfPatientID = "7", "Hospital", "ARCHIVE"
    changed.private_block(0x0009, "ARCHIVE", create=True).add_new(0x01, "LO", "x")
    return changed


def assess(node: Scene, study: str) -> None:
    """As the periodic task leaves a case that was due."""
    with node.ledger.begin() as session:
        get_case(session, study).assess_after = None


def is_due(node: Scene, study: str) -> bool:
    with node.ledger.begin() as session:
        case = get_case(session, study)
        return case.assess_after is not None and study in due_cases(session)


@pytest.mark.parametrize("syntax", OTHER_SYNTAXES)
def test_another_transfer_syntax_is_a_success_and_changes_nothing(node: Scene, syntax: str) -> None:
    ds = mr_slice()
    assert send(node, ds)[0] == 0
    files, [row] = node.files(), node.instances()
    assess(node, ds.StudyInstanceUID)
    for _ in range(2):
        assert send(node, ds, syntax) == (0, "")
        assert send(node, with_an_edit(ds), syntax) == (0, "")
    assert node.files() == files
    [again] = node.instances()
    assert (again.digest, again.path, again.received_at) == (row.digest, row.path, row.received_at)
    assert node.quarantined() == []
    assert node.seen == [ds.StudyInstanceUID]
    assert not is_due(node, ds.StudyInstanceUID)


def test_a_recompressed_instance_is_a_success_and_the_first_bytes_stay(node: Scene, tmp_path: Path) -> None:
    # GDCM adds a geometry of its own where an image has none.
    geometry = {
        "PixelSpacing": [1, 1],
        "ImagePositionPatient": [0, 0, 5],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    }
    ds = mr_slice(rows=32, **geometry)
    path = compressed(write_file(ds, tmp_path / "one.dcm"), str(JPEGLSLossless), tmp_path / "again.dcm")
    again = dcmread(path)
    assert send(node, ds, str(JPEGLSLossless), encoded(again, str(JPEGLSLossless)))[0] == 0
    assert send(node, ds)[0] == 0
    [row] = node.instances()
    assert row.transfer_syntax_uid == JPEGLSLossless
    assert node.quarantined() == []


def test_while_and_after_a_resend_no_case_is_receiving(node: Scene) -> None:
    ds = mr_slice()
    send(node, ds)
    assert node.wait_released()
    assess(node, ds.StudyInstanceUID)
    with RawSender(node.port, [(MR, [EXPLICIT]), (MR, [IMPLICIT])]) as sender:
        for context, syntax in ((1, EXPLICIT), (3, IMPLICIT)):
            answer = sender.store(context, MR, str(ds.SOPInstanceUID), encoded(ds, syntax))
            assert answer is not None
            assert answer.status == 0
        with node.ledger.begin() as session:
            assert open_on_study(session, ds.StudyInstanceUID) == 0
        assert not is_due(node, ds.StudyInstanceUID)
        new = mr_slice(ds.StudyInstanceUID, ds.SeriesInstanceUID)
        sender.store(1, MR, str(new.SOPInstanceUID), encoded(new))
        with node.ledger.begin() as session:
            assert open_on_study(session, ds.StudyInstanceUID) == 1  # a new instance is an arrival
        assert is_due(node, ds.StudyInstanceUID)
        sender.release()
    assert node.wait_released(2)
    assert len(node.associations()) == 2
    assert all(one.closed_at for one in node.associations())


def test_a_resend_is_in_the_audit_trail(node: Scene) -> None:
    transfers = []
    node.intake.senders._on_transfer = transfers.append
    ds = mr_slice()
    send(node, ds)
    send(node, ds, IMPLICIT)
    assert node.wait_released(2)
    assert [list(sender.tallies) for sender in transfers] == [[ds.StudyInstanceUID]] * 2


def test_other_content_is_refused_with_what_differs(node: Scene) -> None:
    ds = mr_slice()
    send(node, ds)
    other = copy.deepcopy(ds)
    other.PixelData = ds.PixelData[:-2] + b"\xff\x00"
    status, comment = send(node, other, IMPLICIT)
    assert status == StoreStatus.CONFLICTING_INSTANCE
    assert "already stored" in comment
    other = copy.deepcopy(ds)
    other.PatientID, other.StudyInstanceUID = "P-2", generate_uid()
    assert send(node, other)[0] == StoreStatus.CONFLICTING_INSTANCE
    first, second = node.quarantined()
    assert "other content (PixelData)" in first.text
    assert "other content (StudyInstanceUID, PatientID)" in second.text
    assert (first.differences, second.differences) == (["PixelData"], ["StudyInstanceUID", "PatientID"])
    assert "P-2" not in second.text
    # Named in the study of the stored instance: there is no case of the other one.
    assert {aside.study_instance_uid for aside in (first, second)} == {ds.StudyInstanceUID}
    assert len([name for name in node.files() if name.startswith("studies/")]) == 1


def test_what_cannot_be_compared_is_refused_and_says_so(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as node:
        crash = "import sys, os, signal; sys.stdin.readline(); os.kill(os.getpid(), signal.SIGKILL)"
        node.intake._comparison = ContentComparison([sys.executable, "-c", crash])
        ds = mr_slice()
        send(node, ds)
        assert send(node, ds, IMPLICIT)[0] == StoreStatus.CONFLICTING_INSTANCE
        [aside] = node.quarantined()
        assert "not comparable: decoding crashed" in aside.text
        # One reason with a comma in it, not two keywords.
        [why] = aside.differences
        assert why.startswith("not comparable: decoding crashed")
        # New instances do not need the comparison.
        assert send(node, mr_slice())[0] == 0


def test_a_stored_file_that_is_lost_makes_the_sender_try_later(node: Scene) -> None:
    ds = mr_slice()
    send(node, ds)
    node.store.path(node.instances()[0].path).unlink()
    assert send(node, ds, IMPLICIT)[0] == StoreStatus.OUT_OF_RESOURCES
    assert node.quarantined() == []


def test_many_senders_of_one_instance_in_all_forms_at_once_all_succeed(node: Scene) -> None:
    ds = mr_slice(rows=32)
    forms = [(syntax, edit(ds)) for syntax in (EXPLICIT, *OTHER_SYNTAXES) for edit in (copy.deepcopy, with_an_edit)]
    statuses: list[int] = []
    start = threading.Barrier(len(forms))

    def one(syntax: str, form: Dataset) -> None:
        start.wait()
        statuses.append(send(node, form, syntax)[0])

    threads = [threading.Thread(target=one, args=form) for form in forms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0] * len(forms)
    [row] = node.instances()
    assert node.files() == {row.path}
    assert node.quarantined() == []


def test_one_association_with_old_and_new_instances_stores_the_new_ones(node: Scene) -> None:
    first, second = mr_slice(), mr_slice()
    second.StudyInstanceUID, second.SeriesInstanceUID = first.StudyInstanceUID, first.SeriesInstanceUID
    send(node, first)
    begun = now_utc()
    with RawSender(node.port, [(MR, [IMPLICIT])]) as sender:
        for ds in (first, second, first):
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds, IMPLICIT))
            assert answer is not None
            assert answer.status == 0
        sender.release()
    assert [row.sop_instance_uid for row in node.instances() if row.received_at >= begun] == [second.SOPInstanceUID]
