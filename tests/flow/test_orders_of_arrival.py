"""Images, contour and facts of many patients, each in another order of arrival, through one running program.

All patients have the same images and the same facts; so all final reports must answer the same, whatever was known when
an earlier one was made. Everything comes as a hospital sends it: DICOM, HL7 v2 over MLLP, FHIR over HTTP, and tables.
"""

from __future__ import annotations

import random
import re
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset

from dicom_sr.reading.reader import read_report
from dicom_sr.report.json_form import dump
from dicom_sr.report.treatment_report import TreatmentReport
from node.small_pacs.pacs import SmallPacs
from tests.clinical.test_mllp import CISPLATIN, Sender, code
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import Program, free_port, running_program, wait_for
from tests.flow.test_main_job import COMPREHENSIVE_3D_SR, route
from tests.flow.variants import CONTOUR, Variant, renamed, small_study, variant
from workers.phantoms.dicom_study import WrittenStudy

# The MR is of 2026-03-09, treatment began on 2026-03-23: the report is that of the draw of 16 March and of the stage of
# 25 February, because what was drawn, staged or given later says nothing about the time before treatment.
HL7: dict[str, tuple[str, str]] = {
    "last draw before treatment": ("ORU^R01", "OBX|1|NM|47982-4^EBV DNA^LN||5200|copies/mL|||||F|||20260316"),
    "draw in treatment": ("ORU^R01", "OBX|1|NM|47982-4^EBV DNA^LN||300|copies/mL|||||F|||20260327"),
    "first dispense": ("RDS^O13", f"ORC|RE|77\rRXD|1|{CISPLATIN}|202603230800"),
    "order": ("ORM^O01", f"ORC|NW|78|||||^^^20260325080000\rRXO|{CISPLATIN}"),
}
FHIR: dict[str, dict[str, Any]] = {
    "diagnosis": {
        "resourceType": "Condition", "recordedDate": "2026-02-26",
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "C11.9"}]},
    },
    "early draw": {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": "2026-02-20",
        "code": {"coding": [{"system": "http://loinc.org", "code": "47982-4"}]},
        "valueQuantity": {"value": 9000, "unit": "copies/mL"},
    },
    "second cycle": {
        "resourceType": "Procedure", "id": "cycle-2", "status": "completed", "performedDateTime": "2026-04-13",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "367336001"}]},
    },
    "restaging": {
        "resourceType": "Condition", "recordedDate": "2026-06-01",
        "stage": [{"summary": {"text": "ycT1N0M0"}, "type": {"text": "AJCC 8th edition"}}],
    },
}  # fmt: skip
TABLE: dict[str, dict[str, str]] = {
    "stage": {"stage": "T3N1M0", "ajcc": "8", "stage_date": "2026-02-25"},
    "of an earlier visit": {
        "stage": "T4N2M0", "ajcc": "8", "stage_date": "2025-12-01", "ebv_dna": "90000", "ebv_dna_date": "2025-12-01",
    },
    "after treatment": {
        "stage": "T2N0M0", "ajcc": "8", "stage_date": "2026-07-01", "ebv_dna": "50", "ebv_dna_date": "2026-07-01",
    },
}  # fmt: skip
COLUMNS = ("patient_id", "stage", "ajcc", "stage_date", "ebv_dna", "ebv_dna_date")
IMAGES = "images"
EVENTS = (IMAGES, CONTOUR, *HL7, *FHIR, *TABLE)
REQUIRED = (IMAGES, CONTOUR, "diagnosis", "stage")
PACS_KEYS = 'send = ["sr"]\nstorage_commitment = false'
DIGEST = re.compile(r" \([0-9a-f]{8}\)")  # of a message, which names its patient
UID = re.compile(r"\b[12]\.\d+(?:\.\d+)+\b")


def order_of(number: int) -> list[str]:
    """Any order; of every second patient what a report needs is among the first, so that many facts come after it."""
    rng = random.Random(number)
    events = rng.sample(EVENTS, len(EVENTS))
    if number % 2:
        first = [*REQUIRED, *rng.sample([event for event in EVENTS if event not in REQUIRED], 2)]
        events = [*rng.sample(first, len(first)), *(event for event in events if event not in first)]
    return events


@dataclass
class Hospital:
    """The program, and what speaks to it."""

    program: Program
    pacs: SmallPacs
    source: WrittenStudy
    hl7_port: int
    folder: Path

    def study_of(self, patient_id: str) -> str:
        return renamed(self.source.study_instance_uid, patient_id)

    def send(self, event: str, patient_ids: Sequence[str]) -> None:
        """Let one event happen to these patients."""
        if event in (IMAGES, CONTOUR):
            for patient_id in patient_ids:
                self._send_objects(patient_id, images=event == IMAGES)
        elif event in HL7:
            laboratory = Sender(self.hl7_port)  # anew: a listener closes a connection that is silent for minutes
            for patient_id in patient_ids:
                self._send_message(laboratory, patient_id, *HL7[event])
            laboratory.socket.close()
        elif event in FHIR:
            for patient_id in patient_ids:
                self._post(patient_id, FHIR[event])
        else:
            self._import_table(event, patient_ids)

    def _send_objects(self, patient_id: str, images: bool) -> None:
        def wanted(role: str, ds: Dataset) -> Dataset | None:
            # The diagnosis has to come by itself.
            for keyword in ("AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence"):
                ds.pop(keyword, None)
            return ds if (role != CONTOUR) == images else None

        sent: Variant = variant(self.source, self.folder / patient_id, patient_id, wanted)
        route(sent.files, self.program)
        shutil.rmtree(self.folder / patient_id)

    def _send_message(self, laboratory: Sender, patient_id: str, kind: str, segments: str) -> None:
        msh = (
            f"MSH|^~\\&|LIS|LAB|CPTDN|HOSP|20260701101500||{kind}|{patient_id}-{zlib.crc32(segments.encode())}|P|2.5.1"
        )
        message = f"{msh}\rPID|1||{patient_id}||||19800203\r{segments}\r"
        assert code(laboratory.send(message)).startswith("AA|"), message

    def _post(self, patient_id: str, resource: dict[str, Any]) -> None:
        document = {**resource, "subject": {"identifier": {"value": patient_id}}}
        answer = httpx.post(
            f"http://127.0.0.1:{self.program.web_port}/fhir", json=document,
            headers={"Content-Type": "application/fhir+json"}, timeout=300,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text

    def _import_table(self, event: str, patient_ids: Sequence[str]) -> None:
        rows = [{"patient_id": patient_id, **TABLE[event]} for patient_id in patient_ids]
        lines = [",".join(COLUMNS), *(",".join(row.get(column, "") for column in COLUMNS) for row in rows)]
        path = self.folder / "facts.csv"
        path.write_text("\n".join(lines) + "\n")
        self.program.cptdn("clinical", "import", str(path))

    def wait_until_idle(self, timeout_s: float) -> dict[str, Any]:
        """Wait until everything that has arrived is assessed, computed and delivered."""
        seen: list[dict[str, Any]] = []

        def is_idle() -> bool:
            time.sleep(1.5)  # longer than from a fact to its assessment
            seen.append(status := self.program.json("status"))
            active = [status[part].get(state, 0) for part in ("jobs", "deliveries") for state in ("queued", "running")]
            pending = status["deliveries"].get("pending", 0) + status["cases"].get("receiving", 0)
            # Twice the same: a fact that has just been recorded is in no state yet.
            return len(seen) > 1 and not any(active) and not pending and seen[-2]["cases"] == status["cases"]

        wait_for(is_idle, timeout_s, lambda: str(seen[-1:]))
        return seen[-1]

    def final_reports(self) -> dict[str, TreatmentReport]:
        """The newest report of each study at the PACS."""
        newest: dict[str, TreatmentReport] = {}
        for archived in self.pacs.of_class(COMPREHENSIVE_3D_SR):
            report = read_report(archived.path)
            before = newest.get(report.study_instance_uid)
            if before is None or before.revision < report.revision:
                newest[report.study_instance_uid] = report
        return newest


@pytest.fixture
def hospital(tmp_path: Path, pacs: SmallPacs) -> Iterator[Hospital]:
    port = free_port()
    extra = (
        f"{ALLOW_DEMONSTRATION}[case]\nstable_after_s = 1\n[hl7]\nenabled = true\nport = {port}\n"
        '[fhir]\nreceive = true\n[eligibility]\nout_of_distribution = "warn"\n'  # the pictures are coarse
    )
    source = small_study(tmp_path / "source")
    with running_program(tmp_path / "program", pacs.port, extra, PACS_KEYS, pages=True) as program:
        yield Hospital(program, pacs, source, port, tmp_path)


# What came after a report and changes nothing is listed in reports that are made later, and not in this one.
LISTED = ("later_fact", "stage_not_used")
START_UNKNOWN = "treatment start unknown: not checked"


def answer_of(report: TreatmentReport, patient_id: str) -> dict[str, str]:
    """Inputs, numbers, recommendation, warnings and conditions of a report, by their path in its JSON form.

    Left out: what names its patient, its objects and itself; the facts that it lists as not used; whether the start of
    treatment was known, which checks the days again and changes no number.
    """
    names = ("patient_id", "study_instance_uid", "predecessors", "revision", "replaced", "created", "report_identity")
    whole = {key: value for key, value in dump(report).items() if key not in names}
    whole["warnings"] = [warning for warning in whole["warnings"] if warning["code"] not in LISTED]
    whole["conditions"] = {
        condition["code"]: "met" if START_UNKNOWN in condition["text"] else condition["state"]
        for condition in whole["conditions"]
    }

    def leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, part in value.items():
                yield from leaves(f"{path}.{key}", part)
        elif isinstance(value, list):
            for number, part in enumerate(value):
                yield from leaves(f"{path}[{number}]", part)
        else:
            yield path, DIGEST.sub("", UID.sub("UID", str(value).replace(patient_id, "PATIENT")))

    return dict(leaves("", whole))


def live_through(hospital: Hospital, n: int, pauses: Callable[[int], bool], show: Callable[[str], None]) -> None:
    """All patients at once, one event of each after the other; then all reports must answer the same."""
    orders = {f"ORDER-{number:03d}": order_of(number) for number in range(n)}
    begun = time.monotonic()
    for at in range(len(EVENTS)):
        for event in EVENTS:
            if patient_ids := [patient_id for patient_id, order in orders.items() if order[at] == event]:
                hospital.send(event, patient_ids)
        if pauses(at):
            status = hospital.wait_until_idle(3600)
            show(f"{at + 1} of {len(EVENTS)} events, {time.monotonic() - begun:.0f} s: {status['cases']}")
    hospital.wait_until_idle(3600)
    studies = {study["patient_id"]: study for study in hospital.program.json("studies", "list")}
    assert {studies[patient_id]["state"] for patient_id in orders} == {"reported"}, Counter(
        (study["state"], *(reason["code"] for reason in study["reasons"])) for study in studies.values()
    )
    reports = hospital.final_reports()
    said: dict[str, dict[str, str]] = {}
    for patient_id in orders:
        report = reports[hospital.study_of(patient_id)]
        # The last one that was sent is the current one of the ledger.
        assert len(studies[patient_id]["reports"]) == report.revision
        said[patient_id] = answer_of(report, patient_id)
    paths = {path for one in said.values() for path in one}
    differing = {
        path: {patient_id: one.get(path) for patient_id, one in said.items()}
        for path in sorted(paths)
        if len({one.get(path) for one in said.values()}) > 1
    }
    revisions = Counter(report.revision for report in reports.values())
    unknown_starts = sum(any(START_UNKNOWN in condition.text for condition in r.conditions) for r in reports.values())
    show(
        f"{n} orders, {len(differing)} differences, {unknown_starts} made before the start of treatment was known; "
        f"patients by number of reports: {sorted(revisions.items())}"
    )
    assert not differing, "\n".join(f"{path}: {values}" for path, values in differing.items())
    assert report.ebv_dna.copies_per_ml == 5200
    assert (report.stage.t, report.stage.n, report.stage.m) == ("T3", "N1", "M0")


@pytest.mark.timeout(290)
def test_six_orders_of_arrival_give_one_report(hospital: Hospital) -> None:
    live_through(hospital, 6, lambda at: at % 4 == 3, lambda _line: None)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_two_hundred_orders_of_arrival_give_one_report(hospital: Hospital) -> None:
    live_through(hospital, 200, lambda at: at >= 3, lambda line: print(line, flush=True))
