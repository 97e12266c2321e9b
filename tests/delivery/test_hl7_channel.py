"""Results to an independent HL7 receiver (hl7apy) by the delivery machine: outages, negative answers, corrections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import Comprehensive3DSRStorage, EncapsulatedPDFStorage, ExplicitVRLittleEndian, generate_uid

from config.settings import Hl7OutSettings, PacsSettings, Settings, StorageSettings
from dicom_sr.header.copied_values import patient_and_study
from dicom_sr.report.json_form import dump
from dicom_sr.report.treatment_report import TreatmentReport
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.reports import StoredObject, add_object, objects_of
from node.ledger.supersession import supersede_replaced
from node.ledger.tables import Delivery, Report
from node.store.study_store import StudyStore
from node.workflow.channels.hl7 import MOST_ERRORS
from node.workflow.delivery import DeliveryOutcome, deliver
from tests.clinical.hl7_receiver import Receiver, accept, lose_the_answer, receiver, reject
from tests.dicom_sr import samples
from tests.dicom_sr.hl7_reading import observations, read, text

BOTH = ("ORU^R01", "MDM^T02")


@dataclass
class Study:
    """One study whose reports go to one receiver."""

    ledger: Ledger
    store: StudyStore
    settings: Settings
    uid: str = samples.STUDY
    revisions: list[str] = field(default_factory=list)

    def report(self, value: TreatmentReport, **header: str) -> int:
        """Record the next report of the study; what is pending of earlier ones is superseded. Returns its delivery."""
        revision = len(self.revisions) + 1
        value = replace(value, report_identity=f"{revision:064x}", revision=revision)
        sr = str(generate_uid())
        with self.ledger.begin() as session:
            row = Report(
                study_instance_uid=self.uid, job_id="j", identity=f"{revision:064x}", computation=str(revision),
                request_digest="d", bundle_digest="b", revision=revision, sop_instance_uid=sr, result=dump(value),
                created_at=now_utc(),
            )  # fmt: skip
            session.add(row)
            session.flush()
            for kind, sop_class, uid in (
                ("sr", Comprehensive3DSRStorage, sr),
                ("pdf", EncapsulatedPDFStorage, generate_uid()),
            ):
                path = self.store.save_report(self.uid, uid, self._file(kind, sop_class, uid, header))
                add_object(session, row.id, StoredObject(kind, sop_class, uid, ExplicitVRLittleEndian, "", path))
            delivery = Delivery(
                report_id=row.id, pacs="his", state="pending", not_before=now_utc(), objects={}, created_at=now_utc()
            )  # fmt: skip
            session.add(delivery)
            session.flush()
            supersede_replaced(session)
            self.revisions.append(sr)
            return delivery.id

    @staticmethod
    def _file(kind: str, sop_class: str, uid: str, header: dict[str, str]) -> bytes:
        ds = patient_and_study(samples.sources(**header))
        ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid
        if kind == "pdf":
            ds.EncapsulatedDocument, ds.EncapsulatedDocumentLength = b"%PDF-1.4 odd\0", 12
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        buffer = BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    def deliver(self, delivery_id: int) -> DeliveryOutcome:
        """Do the next step now, however long it would have to wait."""
        with self.ledger.begin() as session:
            session.get_one(Delivery, delivery_id).not_before = now_utc()
        return deliver(self.ledger, self.settings, self.store, delivery_id, "worker")

    def kinds(self, delivery_id: int) -> list[str]:
        with self.ledger.begin() as session:
            report_id = session.get_one(Delivery, delivery_id).report_id
            return sorted(each.kind for each in objects_of(session, report_id))


@pytest.fixture
def his() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def study(tmp_path: Path, his: Receiver) -> Iterator[Study]:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    store = StudyStore(tmp_path)
    store.prepare()
    yield Study(ledger, store, settings_for(tmp_path, his.port))
    ledger.close()


def settings_for(folder: Path, port: int, **changes: object) -> Settings:
    values = {"name": "his", "port": port, "messages": BOTH, "timeout_s": 5.0, "answer_timeout_s": 5.0, **changes}
    return Settings(
        storage=StorageSettings(root=folder), pacs=(PacsSettings(),), hl7_out=(Hl7OutSettings(**values),)  # type: ignore[arg-type]
    )  # fmt: skip


def closed_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_report_is_delivered_as_results_and_document(study: Study, his: Receiver) -> None:
    delivery = study.report(samples.scored())
    assert study.deliver(delivery) == DeliveryOutcome("delivered", True)
    assert his.events == ["R01", "T02"]
    oru, mdm = (read(content.encode()) for content in his.received)
    assert text(oru.segment("PID"), 5, 1, 2) == "王"
    assert text(mdm.segment("TXA"), 12) == study.revisions[0]
    page = [each.value for each in observations(mdm)]
    assert page == ["JVBERi0xLjQgb2Rk"]  # the PDF without the byte that makes its element even
    assert study.kinds(delivery) == ["hl7_mdm", "hl7_oru", "pdf", "sr"]


def test_after_a_lost_acknowledgement_the_same_bytes_are_sent_again(study: Study, his: Receiver) -> None:
    his.moods = [lose_the_answer]
    delivery = study.report(samples.scored())
    outcome = study.deliver(delivery)
    assert (outcome.state, his.events) == ("pending", ["R01"])
    assert "closed the connection without an acknowledgement" in outcome.text
    his.moods = [reject("AE", "205", "this control id is known")]  # a receiver that recognises the repetition
    assert study.deliver(delivery).state == "delivered"
    assert his.received[0] == his.received[1]
    assert his.events == ["R01", "R01", "T02"]


def test_an_outage_is_waited_for(study: Study, his: Receiver, tmp_path: Path) -> None:
    here, study.settings = study.settings, settings_for(tmp_path, closed_port())
    delivery = study.report(samples.scored())
    outcome = study.deliver(delivery)
    assert outcome.state == "pending"
    assert "cannot be reached: Connection refused" in outcome.text
    assert study.kinds(delivery) == ["pdf", "sr"]  # what is said follows from what the receiver has by then
    study.settings = here
    assert study.deliver(delivery).state == "delivered"


def test_a_message_type_that_the_receiver_does_not_know_makes_the_delivery_dead(study: Study, tmp_path: Path) -> None:
    with receiver(kinds=("ORU^R01^ORU_R01",)) as oru_only:
        study.settings = settings_for(tmp_path, oru_only.port)
        outcome = study.deliver(study.report(samples.scored()))
        assert oru_only.events == ["R01"]
    assert outcome.state == "dead"
    assert outcome.text == "the HL7 receiver his answered AR (200): this message type is not supported here"


def test_an_error_is_tried_again_for_a_limited_number_of_times(study: Study, his: Receiver) -> None:
    study.settings = settings_for(study.store.root, his.port, messages=("MDM^T02",))
    his.moods = [reject("AE", "204", "unknown patient")] * MOST_ERRORS
    delivery = study.report(samples.scored())
    states = [study.deliver(delivery).state for _ in range(MOST_ERRORS - 1)]
    assert set(states) == {"pending"}
    outcome = study.deliver(delivery)
    assert outcome.state == "dead"
    assert outcome.text == "the HL7 receiver his answered AE (204): unknown patient"
    assert (len(his.received), len(set(his.received))) == (MOST_ERRORS, 1)


def test_a_correction_replaces_result_and_document(study: Study, his: Receiver) -> None:
    study.deliver(study.report(samples.unknown_ebv()))
    assert study.deliver(study.report(samples.reprocessed())).state == "delivered"
    oru, mdm = (read(content.encode()) for content in his.received[2:])
    assert text(oru.segment("OBR"), 25) == "C"
    assert {each.code for each in observations(oru) if each.status == "D"} >= {"DFS_60_I_GT", "DIFF_36_LE"}
    txa = mdm.segment("TXA")
    assert (his.events[3], text(txa, 12), text(txa, 13)) == ("T10", study.revisions[1], study.revisions[0])


def test_what_was_replaced_before_it_was_sent_is_not_corrected(study: Study, his: Receiver) -> None:
    study.report(samples.scored())
    assert study.deliver(study.report(samples.reprocessed())).state == "delivered"
    assert his.events == ["R01", "T02"]
    assert text(read(his.received[0].encode()).segment("OBR"), 25) == "P"


def test_a_successor_names_the_document_that_the_receiver_has(study: Study, his: Receiver, tmp_path: Path) -> None:
    study.deliver(study.report(samples.scored()))
    here, study.settings = study.settings, settings_for(tmp_path, closed_port())
    study.deliver(study.report(samples.refused()))  # never arrives
    study.settings = here
    study.deliver(study.report(samples.reprocessed()))
    assert his.events[2:] == ["R01", "T10"]
    assert text(read(his.received[3].encode()).segment("TXA"), 13) == study.revisions[0]


def test_a_document_of_which_it_is_not_known_whether_it_arrived_is_cancelled_first(study: Study, his: Receiver) -> None:
    study.deliver(study.report(samples.scored()))
    his.moods = [accept, lose_the_answer]
    assert study.deliver(study.report(samples.refused())).state == "pending"
    his.moods = [accept, reject("AE", "204", "no such document")]
    assert study.deliver(study.report(samples.reprocessed())).state == "delivered"
    assert his.events == ["R01", "T02", "R01", "T10", "R01", "T11", "T10"]
    cancelled, replaced = (read(content.encode()).segment("TXA") for content in his.received[5:])
    assert text(cancelled, 12) == study.revisions[1]
    assert (text(replaced, 12), text(replaced, 13)) == (study.revisions[2], study.revisions[0])


def test_an_outage_after_a_lost_acknowledgement_forgets_nothing(study: Study, his: Receiver, tmp_path: Path) -> None:
    his.moods = [accept, lose_the_answer]
    delivery = study.report(samples.scored())
    study.deliver(delivery)
    here, study.settings = study.settings, settings_for(tmp_path, closed_port())
    study.deliver(delivery)
    study.settings = here
    study.deliver(study.report(samples.reprocessed()))
    assert his.events[2:] == ["R01", "T11", "T02"]


def test_a_withdrawal_deletes_the_result_and_cancels_the_document_of_the_patient_who_has_them(
    study: Study, his: Receiver
) -> None:
    study.deliver(study.report(samples.scored()))
    assert study.deliver(study.report(samples.withdrawn(), PatientID="OTHER")).state == "delivered"
    oru, mdm = (read(content.encode()) for content in his.received[2:])
    assert (text(oru.segment("OBR"), 25), observations(oru)[0].value) == ("X", "WITHDRAWN")
    assert text(oru.segment("PID"), 3) == text(mdm.segment("PID"), 3) == "PID-0042"
    assert (his.events[3], text(mdm.segment("TXA"), 12)) == ("T11", study.revisions[0])
    # Afterwards a new result is an original: there is no document any more that it would replace.
    study.deliver(study.report(samples.scored()))
    assert his.events[4:] == ["R01", "T02"]
    assert text(read(his.received[4].encode()).segment("OBR"), 25) == "C"


def test_nothing_is_withdrawn_where_nothing_was_sent(study: Study, his: Receiver) -> None:
    study.report(samples.scored())
    outcome = study.deliver(study.report(samples.withdrawn()))
    assert (outcome.state, his.received) == ("delivered", [])


def test_a_site_may_have_withdrawn_documents_replaced(study: Study, his: Receiver, tmp_path: Path) -> None:
    study.settings = settings_for(tmp_path, his.port, messages=("MDM^T02",), withdrawn_document="replace")
    for value in (samples.scored(), samples.withdrawn(), samples.reprocessed()):
        study.deliver(study.report(value))
    assert his.events == ["T02", "T10", "T10"]
    parents = [text(read(content.encode()).segment("TXA"), 13) for content in his.received]
    assert parents == ["", study.revisions[0], study.revisions[1]]


def test_gb18030_is_what_the_bytes_are(study: Study, tmp_path: Path) -> None:
    import socket
    import threading

    received = bytearray()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while not received.endswith(b"\x1c\r"):
                received.extend(connection.recv(65536))
            number = received.split(b"|")[9].decode()
            connection.sendall(f"\x0bMSH|^~\\&|HIS||||||ACK|1|P|2.5.1\rMSA|AA|{number}\r\x1c\r".encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    study.settings = settings_for(
        tmp_path, listener.getsockname()[1], messages=("ORU^R01",), character_set="GB 18030-2000"
    )
    assert study.deliver(study.report(samples.scored())).state == "delivered"
    thread.join(5)
    listener.close()
    content = bytes(received[1:-2]).decode("gb18030")
    assert "王^小东" in content
    assert "GB 18030-2000" in content
