"""State x event through the running program: after each event every channel has one current answer, or a withdrawal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_sr.reading.reader import read_report
from node.small_pacs.pacs import Behaviour, SmallPacs
from tests.clinical.fhir_store import FhirStore
from tests.clinical.hl7_receiver import Chart, Receiver, lose_the_answer, receiver
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import Program, know_each_other, running_program, wait_for
from tests.flow.test_main_job import COMPREHENSIVE_3D_SR, route
from workers.phantoms.dicom_study import WrittenStudy

WITHIN_S = 60.0
BECAUSE = "the contour is of another patient"


@dataclass
class Site:
    """The program, a PACS that honours rejection notes, a FHIR server, an HL7 receiver, and one study."""

    program: Program
    pacs: SmallPacs
    fhir: FhirStore
    his: Receiver
    study: str
    seen: list[tuple[str, ...]] = field(default_factory=list)

    def cptdn(self, *words: str) -> None:
        self.program.cptdn(*words)

    def of_pacs(self) -> str:
        """What a reader of the PACS takes for current: the answer of the only SR that no other one replaces."""
        reports = [dcmread(file.path) for file in self.pacs.of_class(COMPREHENSIVE_3D_SR)]
        replaced = {
            str(item.ReferencedSOPInstanceUID)
            for ds in reports
            for study in ds.get("PredecessorDocumentsSequence") or ()
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        }
        current = [read_report(ds) for ds in reports if ds.SOPInstanceUID not in replaced]
        said = " and ".join(f"r{one.revision} {one.status.value}" for one in current) or "nothing"
        # What its queries show: rejection notes hide everything else.
        shown = [str(ds.SOPInstanceUID) for _, ds in self.pacs._headers() if ds.Modality in ("SR", "KO")]
        return said if len(shown) == 1 and shown[0] not in replaced else f"{said}, shown: {len(shown)}"

    def of_fhir(self) -> str:
        documents = self.fhir.current("DiagnosticReport")
        risks = [one for one in self.fhir.current("RiskAssessment") if one["status"] != "entered-in-error"]
        statuses = " and ".join(one["status"] for one in documents) or "nothing"
        return f"{statuses}, {len(risks)} risks"

    def of_hl7(self) -> str:
        return str(Chart(self.his.received))

    def after(self, event: str, pacs: str, fhir: str) -> None:
        """Wait until every channel has what is expected; fails after the minute that is promised."""
        begun = time.monotonic()
        withdrawn = pacs.endswith("withdrawn")
        hl7 = "WITHDRAWN, no numbers, 0 document(s)" if withdrawn else "answer, numbers, 1 document(s)"
        wait_for(
            lambda: (self.of_pacs(), self.of_fhir(), self.of_hl7()) == (pacs, fhir, hl7),
            WITHIN_S,
            lambda: (
                f"{event}: expected {pacs}, {fhir} and {hl7}; found {self.of_pacs()}, {self.of_fhir()} and "
                f"{self.of_hl7()}; "
                f"{self.program.json('studies', 'show', self.study)}"
            ),
        )
        state = self.program.study(self.study)
        assert state is not None
        self.seen.append((event, state["state"], pacs, fhir, hl7, f"{time.monotonic() - begun:.1f} s"))


@pytest.fixture
def site(tmp_path: Path, pacs: SmallPacs, study: WrittenStudy) -> Iterator[Site]:
    server = FhirStore()
    server.fail_next = [503]
    case = "[case]\nstable_after_s = 1\nfreeze_after_days = 4000\n"
    with receiver() as his:
        his.moods = [lose_the_answer]
        hl7 = f'[[hl7_out]]\nname = "his"\nport = {his.port}\nmessages = ["ORU^R01", "MDM^T02"]\npdf = false\n'
        extra = f'{ALLOW_DEMONSTRATION}{case}[fhir]\nreport_url = "{server.url}"\n{hl7}retry_first_s = 0.5\n'
        with running_program(
            tmp_path / "program", pacs.port, extra, 'send = ["sr"]\nrejection_notes = true'
        ) as program:
            know_each_other(pacs, program)
            pacs.behaviour = Behaviour(honours_rejection_notes=True)
            yield Site(program, pacs, server, his, study.study_instance_uid)
    server.stop()


@pytest.mark.timeout(300)
def test_after_each_event_every_channel_has_one_answer_or_a_withdrawal(site: Site, study: WrittenStudy) -> None:
    patient = ("clinical", "set", "FLOW-1")
    site.cptdn(*patient, "--ebv-dna", "3100", "--drawn-on", "2026-03-05", "--stage", "T3N1M0", "--ajcc", "8")
    route(study.files, site.program)
    site.after("first result; the FHIR server was away, an acknowledgement lost", "r1 current", "preliminary, 2 risks")
    site.cptdn(*patient, "--ebv-dna", "9100", "--drawn-on", "2026-03-08")
    site.after("fact corrected", "r2 current", "preliminary, 2 risks")
    site.cptdn(*patient, "--stage", "T4N2M0", "--ajcc", "8")
    site.after("refused by the stage", "r3 withdrawn", "entered-in-error, 0 risks")
    site.cptdn(*patient, "--stage", "T3N1M0", "--ajcc", "8")
    site.after("stage corrected", "r4 current", "preliminary, 2 risks")
    site.cptdn("studies", "hold", site.study, "--because", "contour under review")
    site.after("held by a person", "r5 withdrawn", "entered-in-error, 0 risks")
    site.cptdn("studies", "release", site.study)
    site.after("released", "r6 current", "preliminary, 2 risks")
    site.cptdn("studies", "withdraw", site.study, "--because", BECAUSE)
    site.after("withdrawn by a person", "r7 withdrawn", "entered-in-error, 0 risks")
    site.cptdn("reprocess", site.study)
    site.after("computed again", "r8 current", "preliminary, 2 risks")
    site.cptdn("bundle", "recall", "demonstration", "--because", "wrong landmarks")
    site.after("bundle recalled", "r9 withdrawn", "entered-in-error, 0 risks")
    print("\n" + "\n".join(" | ".join(row) for row in site.seen))
    listed = site.program.study(site.study)
    assert listed is not None
    assert listed["withdrawn"]["because"] == "The model bundle cptdn-demonstration is recalled: wrong landmarks"
    assert [one["status"] for one in listed["reports"]] == ["withdrawn"] * 2 + ["superseded"] * 7
    (document,) = site.fhir.current("DiagnosticReport")
    assert document["meta"]["versionId"] == "9"
    assert document["conclusionCode"][0]["coding"][0]["code"] == "WITHDRAWN"
