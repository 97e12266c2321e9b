"""Audit messages: valid by the schema of PS3.15 section A.5.1.1, filled as the tables of A.5.3 say."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pytest
from lxml import etree
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode

from config.settings import PacsSettings
from node.audit.codes import SECURITY_CONFIGURATION
from node.audit.messages import Event, Participant, Source, audit_message, queried
from node.audit.recorder import Audit, StudyTally, open_audit
from node.audit.syslog import syslog_message
from node.ledger.database import now_utc
from tests.audit.scenes import audit_settings, checked

MR, SR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.88.34"
PACS = PacsSettings(name="main", ae_title="ARCHIVE", host="192.0.2.4")


def tally(n_new: int = 2) -> dict[str, StudyTally]:
    found = StudyTally()
    for number in range(3):
        found.add(MR, "NPC-0042", new=number < n_new)
    return {"1.2.3": found}


# What is recorded, the code of the event, its action and its outcome: PS3.15 tables of A.5.3.1, .3, .6, .7, .8, .10,
# .12 and .13 (DCM codes of CID 400).
EVENTS: dict[str, tuple[Callable[[Audit], None], str, str, str]] = {
    "start": (lambda a: a.started(), "110100", "E", "0"),
    "stop": (lambda a: a.stopped(), "110100", "E", "0"),
    "received": (lambda a: a.received("MODALITY", "192.0.2.9", tally()), "110104", "C", "0"),
    "received again": (lambda a: a.received("MODALITY", "192.0.2.9", tally(0)), "110104", "R", "0"),
    "sending": (lambda a: a.sending(PACS, "1.2.3", "NPC-0042", {SR: 1}), "110102", "E", "0"),
    "sent": (lambda a: a.sent(PACS, "1.2.3", "NPC-0042", {SR: 1}), "110104", "C", "0"),
    "not sent": (lambda a: a.sent(PACS, "1.2.3", "NPC-0042", {SR: 1}, "it is away"), "110104", "C", "4"),
    "exported": (lambda a: a.exported("https://fhir.example/r4", "1.2.3", "NPC-0042"), "110106", "R", "0"),
    "held": (lambda a: a.accessed("anna@ward", "studies hold", "1.2.3", "NPC-0042"), "110103", "U", "0"),
    "seen": (lambda a: a.accessed("anna", "web study", "1.2.3", "NPC-0042", action="R"), "110103", "R", "0"),
    "fact": (lambda a: a.patient_record("anna", "clinical set", "NPC-0042"), "110110", "U", "0"),
    "login": (lambda a: a.authentication("anna", address="192.0.2.7", success=True), "110114", "E", "0"),
    "bad login": (lambda a: a.authentication("anna", address="192.0.2.7", success=False), "110114", "E", "4"),
    "alert": (lambda a: a.security_alert("role missing", user="anna", address="192.0.2.7"), "110113", "E", "8"),
    "configured": (
        lambda a: a.security_alert("bundle activated", user="anna", kind=SECURITY_CONFIGURATION, success=True),
        "110113", "E", "0",
    ),
}  # fmt: skip


def recorded(tmp_path: Path, record: Callable[[Audit], None], **settings: object) -> list[etree._Element]:
    audit = open_audit(audit_settings(tmp_path, **settings), "node")
    record(audit)
    return [checked(line) for line in audit.trail.lines()]


@pytest.mark.parametrize("name", EVENTS)
def test_every_message_is_valid_and_says_what_the_standard_wants(tmp_path: Path, name: str) -> None:
    record, code, action, outcome = EVENTS[name]
    (message,) = recorded(tmp_path, record)
    event = message.find("EventIdentification")
    assert event.find("EventID").get("csd-code") == code
    assert event.find("EventID").get("codeSystemName") == "DCM"
    assert event.get("EventActionCode") == action
    assert event.get("EventOutcomeIndicator") == outcome
    assert datetime.fromisoformat(event.get("EventDateTime")).utcoffset() is not None
    requestors = [one for one in message.findall("ActiveParticipant") if one.get("UserIsRequestor") == "true"]
    assert len(requestors) == 1


def test_an_association_is_one_message_a_study_with_its_parties(tmp_path: Path) -> None:
    (message,) = recorded(tmp_path, EVENTS["received"][0])
    roles = {one.find("RoleIDCode").get("csd-code"): one for one in message.findall("ActiveParticipant")}
    assert set(roles) == {"110153", "110152"}  # source, destination: PS3.16 CID 402
    assert roles["110153"].get("AlternativeUserID") == "AETITLES=MODALITY"
    assert roles["110153"].get("NetworkAccessPointID") == "192.0.2.9"
    assert roles["110153"].get("NetworkAccessPointTypeCode") == "2"
    assert roles["110152"].get("AlternativeUserID") == "AETITLES=CPTDN"
    study, patient = message.findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == "1.2.3"
    assert study.find("ParticipantObjectIDTypeCode").get("csd-code") == "110180"
    sop_class = study.find("ParticipantObjectDescription/SOPClass")
    assert (sop_class.get("UID"), sop_class.get("NumberOfInstances")) == (MR, "3")
    assert patient.get("ParticipantObjectID") == "NPC-0042"
    assert patient.get("ParticipantObjectTypeCode") == patient.get("ParticipantObjectTypeCodeRole") == "1"
    assert not patient.findtext("ParticipantObjectName")


def test_the_form_of_the_patient_id_is_a_setting(tmp_path: Path) -> None:
    def shown(folder: str, how: str) -> list[str]:
        root = tmp_path / folder
        record = EVENTS["received"][0]
        (message,) = recorded(root, record, patient_id=how)
        objects = message.findall("ParticipantObjectIdentification")
        return [one.get("ParticipantObjectID") for one in objects if one.get("ParticipantObjectTypeCode") == "1"]

    assert shown("a", "plain") == ["NPC-0042"]
    assert shown("b", "none") == []
    (hashed,) = shown("c", "hashed")
    assert "NPC" not in hashed
    (other,) = shown("d", "hashed")
    assert other != hashed  # another node has another key: nobody can look identifiers up in a table


def test_the_hash_of_a_patient_id_is_the_same_in_every_process(tmp_path: Path) -> None:
    for name in ("sending", "sent"):
        recorded(tmp_path, EVENTS[name][0], patient_id="hashed")
    lines = open_audit(audit_settings(tmp_path)).trail.lines()
    found = [checked(line).xpath("//*[@ParticipantObjectTypeCode='1']/@ParticipantObjectID") for line in lines]
    assert found[0] == found[1] != []


def test_the_hash_of_a_patient_id_is_hmac_sha256_under_the_key_of_the_store(tmp_path: Path) -> None:
    """By `openssl dgst -sha256 -hmac KEY`: a site that has the key can look a patient up in its own trail."""
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "patient_id.key").write_bytes(b"0123456789abcdef0123456789abcdef")
    (message,) = recorded(tmp_path, EVENTS["received"][0], patient_id="hashed")
    [hashed] = message.xpath("//*[@ParticipantObjectTypeCode='1']/@ParticipantObjectID")
    assert hashed == "hmac-sha256:fb863b6d68f65b540391e70d30c0051e"


def test_hostile_text_stays_text_on_one_line(tmp_path: Path) -> None:
    nasty = 'A"><x>\x00\x1b[2J\r\n]]>&amp;\ud800\uffff'

    def record(audit: Audit) -> None:
        audit.security_alert(nasty, user=nasty, address=nasty)
        audit.accessed(nasty, nasty, nasty, nasty)
        audit.received(nasty, nasty, tally())

    messages = recorded(tmp_path, record)
    assert len(messages) == 3
    assert messages[0].findall("ActiveParticipant")[1].get("UserID").startswith('A"><x> ')


def test_a_query_is_kept_as_it_was_sent() -> None:
    """PS3.15 section A.5.3.11: the identifier in base64, its transfer syntax as a detail."""
    identifier = b"\x10\x00\x20\x00LO\x02\x00P1"
    subject = queried("1.2.840.10008.5.1.4.1.2.2.1", identifier, "1.2.840.10008.1.2.1")
    participants = [Participant("a", True), Participant("b", False)]
    from node.audit.codes import QUERY

    message = audit_message(Event(QUERY, "E"), participants, Source("CPTDN"), [subject], now_utc())
    root = checked(syslog_message(now_utc(), "host", 1, message))
    found = root.find("ParticipantObjectIdentification")
    assert base64.b64decode(found.findtext("ParticipantObjectQuery")) == identifier
    assert base64.b64decode(found.find("ParticipantObjectDetail").get("value")) == b"1.2.840.10008.1.2.1"


def test_a_query_contains_the_patient_id_only_where_the_site_wants_that(tmp_path: Path) -> None:
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.PatientID, asked.StudyInstanceUID = "STUDY", "NPC-0042", ""

    def identifier(folder: str, how: str) -> bytes:
        (message,) = recorded(tmp_path / folder, lambda a: a.queried(PACS, "1.2.3", asked, "NPC-0042"), patient_id=how)
        found = message.find("ParticipantObjectIdentification")
        return base64.b64decode(found.findtext("ParticipantObjectQuery"))

    plain = decode(BytesIO(identifier("a", "plain")), True, True)
    assert (plain.PatientID, plain.QueryRetrieveLevel) == ("NPC-0042", "STUDY")
    for how in ("hashed", "none"):
        kept = identifier(how, how)
        assert b"NPC-0042" not in kept
        assert b"STUDY" in kept
    assert asked.PatientID == "NPC-0042"


def test_the_same_alert_of_the_same_peer_is_counted_not_repeated(tmp_path: Path) -> None:
    audit = open_audit(audit_settings(tmp_path, alerts_every_s=3600), "node")
    for _ in range(50):
        audit.security_alert("association refused", address="192.0.2.66")
    audit.security_alert("association refused", address="192.0.2.67")
    assert len(list(audit.trail.lines())) == 2
    again = open_audit(audit_settings(tmp_path / "b", alerts_every_s=0), "node")
    for _ in range(3):
        again.security_alert("association refused", address="192.0.2.66")
    assert len(list(again.trail.lines())) == 3


def test_alerts_that_were_not_repeated_are_counted_in_the_next_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("node.audit.recorder.time.monotonic", lambda: clock[0])
    audit = open_audit(audit_settings(tmp_path, alerts_every_s=60), "node")
    for _ in range(5):
        audit.security_alert("refused", address="192.0.2.66")
    clock[0] += 61
    audit.security_alert("refused", address="192.0.2.66")
    last = [checked(line) for line in audit.trail.lines()][-1]
    assert "4 more" in last.findtext("EventIdentification/EventOutcomeDescription")


def test_an_audit_that_is_off_writes_nothing(tmp_path: Path) -> None:
    assert recorded(tmp_path, EVENTS["start"][0], enabled=False) == []
    assert not (tmp_path / "audit").exists()


def test_what_cannot_be_written_is_an_error_in_the_log_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    audit = open_audit(audit_settings(tmp_path, folder=tmp_path / "file"), "node")
    audit.started()
    assert "audit_not_written" in capsys.readouterr().out
