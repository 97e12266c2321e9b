"""Objects that cannot be read: named in the case that they belong to, by what could be found of them."""

from __future__ import annotations

import struct
from datetime import timedelta

import pytest

from node.dicom.headers.identifying_uids import find_identifying_uids
from node.dicom.headers.structure import SERIES_INSTANCE_UID, STUDY_INSTANCE_UID
from node.ledger.cases import get_case
from node.ledger.instances import dismiss_quarantined, quarantined_beside_study, quarantined_json
from node.workflow.casework import assess_case
from tests.dicom.odd_elements import CREATOR, Part, with_element
from tests.dicom.raw_scu import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, MR, RawSender
from tests.dicom.scenes import Scene, encoded, mr_slice

DAMAGE = CREATOR + Part(0x00191008, b"", b"").head + b"??\xff\xff" + b"no length is right here"
GARBAGE = struct.pack("<HH", 0x0008, 0x0005) + b"\xff" * 200


def send(sender: RawSender, uid: str, data: bytes) -> int:
    answer = sender.store(1, MR, uid, data)
    assert answer is not None
    return answer.status


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_uids_are_found_in_the_beginning_of_a_data_set(syntax: str) -> None:
    data = encoded(mr_slice(study="1.2.5", series="1.2.5.1"), syntax)
    for cut in (len(data), len(data) - 20):
        uids = find_identifying_uids(data[:cut], syntax)
        assert (uids[STUDY_INSTANCE_UID], uids[SERIES_INSTANCE_UID]) == ("1.2.5", "1.2.5.1")


def test_a_study_behind_the_damage_is_found_where_all_places_say_the_same() -> None:
    data = with_element(encoded(mr_slice(study="1.2.5")), 0x00190000, DAMAGE)
    assert find_identifying_uids(data, EXPLICIT)[STUDY_INSTANCE_UID] == "1.2.5"
    other = with_element(encoded(mr_slice(study="1.2.6")), 0x00190000, DAMAGE)
    assert STUDY_INSTANCE_UID not in find_identifying_uids(data + other, EXPLICIT)


def test_a_damaged_object_is_named_in_the_case_of_its_study(node: Scene) -> None:
    """The Study Instance UID comes behind the damage, and nothing else of the study came with it."""
    ds = mr_slice(study="1.2.5")
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        assert send(sender, str(ds.SOPInstanceUID), with_element(encoded(ds), 0x00190000, DAMAGE)) == 0xC000
    [row] = node.quarantined()
    assert (row.study_instance_uid, row.sop_instance_uid) == ("1.2.5", str(ds.SOPInstanceUID))
    assert "(0019,1008) has no known value representation" in row.text
    assert node.seen == ["1.2.5"]
    with node.ledger.begin() as session:  # it is the only place where this study can be seen
        case = get_case(session, "1.2.5")
        assert (case.state, case.patient_id) == ("receiving", "")
        assessment = assess_case(session, node.settings, "1.2.5")
        assert "unreadable_instance" in [reason["code"] for reason in assessment.reasons]
        case.last_instance_at -= timedelta(seconds=node.settings.case.stable_after_s)
        assert assess_case(session, node.settings, "1.2.5").state == "incomplete"
    sound = mr_slice(study="1.2.5")
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        assert send(sender, str(sound.SOPInstanceUID), encoded(sound)) == 0
    with node.ledger.begin() as session:
        assert get_case(session, "1.2.5").patient_id == "P-1"


def test_an_object_without_a_study_is_named_beside_what_came_with_it(node: Scene) -> None:
    """Before and behind the object of the study; its UID is the one of the command."""
    image = mr_slice(study="1.2.5")
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        assert send(sender, "1.2.99.1", GARBAGE) == 0xC000
        assert send(sender, str(image.SOPInstanceUID), encoded(image)) == 0
        assert send(sender, "no UID", GARBAGE + b"12") == 0xC000
        sender.release()
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:  # another association has nothing to do with it
        assert send(sender, "1.2.99.2", GARBAGE + b"34") == 0xC000
    with node.ledger.begin() as session:
        beside = quarantined_beside_study(session, "1.2.5")
        assert [(row.sop_instance_uid, n) for row, n in beside] == [("1.2.99.1", 1), ("", 1)]
        shown = quarantined_json(session, get_case(session, "1.2.5"))
        assert [(file["sop_instance_uid"], file["known_by"]) for file in shown] == [
            ("1.2.99.1", "association"), ("", "association"),
        ]  # fmt: skip
        dismiss_quarantined(session, beside[0][0].id, "a test")
        assert len(quarantined_beside_study(session, "1.2.5")) == 1


def test_with_objects_of_several_studies_it_may_belong_to_each(node: Scene) -> None:
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        for study in ("1.2.5", "1.2.6"):
            image = mr_slice(study=study)
            assert send(sender, str(image.SOPInstanceUID), encoded(image)) == 0
        assert send(sender, "1.2.99.1", GARBAGE) == 0xC000
    with node.ledger.begin() as session:
        for study in ("1.2.5", "1.2.6"):
            assert [n for _, n in quarantined_beside_study(session, study)] == [2]
