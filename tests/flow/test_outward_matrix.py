"""Every event of the table of outward acts, through the running program, in five channels; printed as a table.

The channels are a small PACS that honours rejection notes, Orthanc by C-STORE, a second Orthanc by STOW-RS, a FHIR
server and an HL7 receiver. After each event each has exactly one current report, the newest, or its withdrawal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from dicom_sr.reading.reader import read_report
from node.small_pacs.pacs import Behaviour, SmallPacs
from tests.clinical.fhir_store import FhirStore
from tests.clinical.hl7_receiver import Chart, Receiver, lose_the_answer, receiver
from tests.clinical.test_mllp import Sender, code
from tests.dicom.stow_exchange import PLUGIN
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import Program, free_port, know_each_other, running_program
from tests.flow.servers import Orthanc, orthanc
from tests.flow.test_main_job import COMPREHENSIVE_3D_SR, route
from tests.workflow.test_adt import message
from workers.phantoms.dicom_study import WrittenStudy

WITHIN_S = 60.0
PATIENT, NAME, BORN = "FLOW-1", "Phantom^Synthetic", "19800203"
CURRENT, WITHDRAWN = "current", "withdrawn"


@dataclass
class Site:
    """The program, what it delivers to, and one study."""

    program: Program
    pacs: SmallPacs
    orthanc: Orthanc
    stow: Orthanc
    fhir: FhirStore
    his: Receiver
    adt: Sender
    study: str
    rows: list[list[str]] = field(default_factory=list)
    files: dict[str, Dataset] = field(default_factory=dict)
    n_messages: int = 0

    def cptdn(self, *words: str) -> None:
        self.program.cptdn(*words)

    def fact(self, *words: str) -> None:
        self.cptdn("clinical", "set", PATIENT, *words)

    def tell(self, trigger: str, structure: str, patient: str, born: str = BORN, prior: str = "") -> None:
        """An ADT message, accepted."""
        self.n_messages += 1
        at = f"20260310{self.n_messages:06d}"
        sent = message(trigger, structure, [(patient, NAME, born)], prior, f"M{self.n_messages}", at)
        assert code(self.adt.send(sent)).startswith("AA")

    # --- channels: each says what its reader takes for current ---

    def of_small_pacs(self) -> str:
        documents = [dcmread(file.path) for file in self.pacs.of_class(COMPREHENSIVE_3D_SR)]
        said = self._said(documents)
        # What its queries show: rejection notes hide everything else.
        shown = [
            ds
            for _, ds in self.pacs._headers()
            if ds.Modality in ("SR", "KO") and self.study in str(ds.StudyInstanceUID)
        ]
        return said if len(shown) == 1 else f"{said}, {len(shown)} shown"

    def of_orthanc(self) -> str:
        return self._said(self._documents(self.orthanc))

    def of_stow(self) -> str:
        return self._said(self._documents(self.stow))

    def _documents(self, server: Orthanc) -> list[Dataset]:
        found = server.instances_of_modality(self.study, "SR")
        for each in found:
            if f"{server.url}/{each}" not in self.files:
                self.files[f"{server.url}/{each}"] = dcmread(BytesIO(server.file(each)))
        return [self.files[f"{server.url}/{each}"] for each in found]

    def _said(self, documents: list[Dataset]) -> str:
        mine = [ds for ds in documents if ds.StudyInstanceUID == self.study]
        replaced = {
            str(item.ReferencedSOPInstanceUID)
            for ds in mine
            for study in ds.get("PredecessorDocumentsSequence") or ()
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        }
        current = [read_report(ds) for ds in mine if ds.SOPInstanceUID not in replaced]
        return " and ".join(f"r{one.revision} {one.status.value}" for one in current) or "nothing"

    def of_fhir(self) -> str:
        documents = [each for each in self.fhir.current("DiagnosticReport") if self.study in str(each)]
        newest = self.newest()
        is_newest = newest is not None and newest["sop_instance_uid"] in str(documents)
        statuses = " and ".join(
            "withdrawn" if each["status"] == "entered-in-error" else "current" for each in documents
        )
        return f"r{newest['revision']} {statuses}" if newest and is_newest else f"another one, {statuses or 'nothing'}"

    def of_his(self) -> str:
        chart, newest = Chart([each for each in self.his.received if PATIENT in each]), self.newest()
        said = str(chart)
        available = [number for number, state in chart.documents.items() if state == "available"]
        if (
            newest is not None
            and said == "answer, numbers, 1 document(s)"
            and available == [newest["sop_instance_uid"]]
        ):
            return f"r{newest['revision']} current"
        if newest is not None and said == "WITHDRAWN, no numbers, 0 document(s)":
            return f"r{newest['revision']} withdrawn"
        return said

    def newest(self) -> dict[str, Any] | None:
        reports = (self.program.study(self.study) or {}).get("reports")
        return reports[0] if reports else None

    # --- the table ---

    def after(self, event: str, revision: int, expected: str) -> None:
        """Wait until every channel has the newest report; notes when each of them had it."""
        channels: dict[str, Callable[[], str]] = {
            "small PACS (IOCM)": self.of_small_pacs, "Orthanc": self.of_orthanc, "STOW-RS": self.of_stow,
            "FHIR": self.of_fhir, "HL7 v2": self.of_his,
        }  # fmt: skip
        begun, seconds, wanted = time.monotonic(), dict.fromkeys(channels, 0.0), f"r{revision} {expected}"
        said: dict[str, str] = {}
        while True:
            said = {name: read() for name, read in channels.items()}
            now = time.monotonic() - begun
            seconds = {name: seconds[name] or now if said[name] == wanted else 0.0 for name in channels}
            if all(seconds.values()):
                break
            told = f"{event}: expected {wanted}, found {said}; {self.program.study(self.study)}"
            assert now < WITHIN_S, f"{told}\n{self.table()}"
            time.sleep(0.5)
        state = self.program.study(self.study)
        assert state is not None
        cells = [f"{said[name]} {seconds[name]:.0f} s" for name in channels]
        self.rows.append([event, state["state"], *cells])
        print(" | ".join(self.rows[-1]), flush=True)

    def table(self) -> str:
        return "\n".join(" | ".join(row) for row in self.rows)


@pytest.fixture
def site(tmp_path: Path, study: WrittenStudy) -> Iterator[Site]:
    fhir, orthanc_port, mllp_port, stow_port = FhirStore(), free_port(), free_port(), free_port()
    fhir.fail_next = [503]
    case = f"[case]\nstable_after_s = 1\nfreeze_after_days = 4000\n[hl7]\nenabled = true\nport = {mllp_port}\n"
    with (
        receiver() as his,
        SmallPacs(tmp_path / "pacs", "PACS") as pacs,
        orthanc(tmp_path / "stow", 1, stow_port, routes=False, plugins=(PLUGIN,)) as stow,
    ):
        his.moods = [lose_the_answer]
        others = (
            f'[[pacs]]\nname = "orthanc"\nae_title = "PACS"\nport = {orthanc_port}\nsend = ["sr"]\nretry_first_s = 1\n'
            f'[[pacs]]\nname = "web"\nstow_url = "{stow.url}/dicom-web"\nsend = ["sr"]\nretry_first_s = 1\n'
        )
        hl7 = f'[[hl7_out]]\nname = "his"\nport = {his.port}\nmessages = ["ORU^R01", "MDM^T02"]\npdf = false\n'
        extra = f'{ALLOW_DEMONSTRATION}{case}{others}[fhir]\nreport_url = "{fhir.url}"\n{hl7}retry_first_s = 0.5\n'
        send = 'send = ["sr", "sc"]\nrejection_notes = true'
        with running_program(tmp_path / "program", pacs.port, extra, send, pages=True) as program:
            know_each_other(pacs, program)
            pacs.behaviour = Behaviour(honours_rejection_notes=True)
            with orthanc(tmp_path / "orthanc", program.port, orthanc_port, routes=False) as archive:
                adt = Sender(mllp_port)
                yield Site(program, pacs, archive, stow, fhir, his, adt, study.study_instance_uid)
                adt.socket.close()
    fhir.stop()


def changed(path: Path, folder: Path, **changes: Any) -> Path:
    """Another object like the one of a file."""
    ds = dcmread(path)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    written = folder / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(written)
    return written


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_event_in_every_channel(site: Site, study: WrittenStudy, tmp_path: Path) -> None:
    confirmed = ("studies", "confirm", site.study, "patient_merged", "--because", "one person")
    site.fact("--ebv-dna", "3100", "--drawn-on", "2026-03-05", "--stage", "T3N1M0", "--ajcc", "8")
    route(study.files, site.program)
    site.after("first result (FHIR was away, an HL7 answer lost)", 1, CURRENT)
    site.fact("--ebv-dna", "9100", "--drawn-on", "2026-03-08")
    site.after("fact corrected", 2, CURRENT)
    site.fact("--stage", "T4N2M0", "--ajcc", "8")
    site.after("refused by the stage", 3, WITHDRAWN)
    site.fact("--stage", "T3N1M0", "--ajcc", "8")
    site.after("stage corrected", 4, CURRENT)
    again = changed(study.rtstruct, tmp_path, StructureSetDate="20260310", StructureSetTime="120000")
    route([again], site.program)
    site.after("contour replaced", 5, CURRENT)
    site.cptdn("studies", "hold", site.study, "--because", "contour under review")
    site.after("held by a person", 6, WITHDRAWN)
    site.cptdn("studies", "release", site.study)
    site.after("released", 7, CURRENT)
    site.cptdn("studies", "withdraw", site.study, "--because", "seen to be of another patient")
    site.after("withdrawn by a person", 8, WITHDRAWN)
    site.cptdn("reprocess", site.study)
    site.after("computed again", 9, CURRENT)
    site.tell("A08", "ADT_A01", PATIENT, born="19810203")
    site.after("A08: another birth date", 10, WITHDRAWN)
    site.tell("A08", "ADT_A01", PATIENT)
    site.after("A08: corrected back", 11, CURRENT)
    site.tell("A40", "ADT_A39", "FLOW-2", prior=PATIENT)
    site.after("A40: merged", 12, WITHDRAWN)
    site.cptdn(*confirmed)
    site.after("merge confirmed", 13, CURRENT)
    site.cptdn("clinical", "set", "FLOW-2", "--ebv-dna", "700", "--drawn-on", "2026-03-09")
    site.after("fact under the surviving Patient ID", 14, CURRENT)
    other = dcmread(study.series["T1w"][0])
    other.PixelData = bytes(reversed(other.PixelData))
    other.save_as(tmp_path / "conflict.dcm")
    with pytest.raises(AssertionError):  # C001
        route([tmp_path / "conflict.dcm"], site.program)
    site.after("another content of an image (nothing goes out)", 14, CURRENT)
    lose(site, study.rtstruct, again)
    site.after("contours lost from the disk (incomplete)", 15, WITHDRAWN)
    site.cptdn("quarantine", "dismiss", "--study", site.study, "--because", "the first content is right")
    route([study.rtstruct], site.program)
    site.after("contour sent again", 16, CURRENT)
    site.cptdn("bundle", "recall", "demonstration", "--because", "wrong landmarks")
    site.after("model bundle recalled", 17, WITHDRAWN)
    site.cptdn("bundle", "activate", "demonstration", "--because", "the landmarks were right", "--yes")
    site.cptdn("reprocess", site.study)
    site.after("bundle in use again, computed again", 18, CURRENT)
    stranger = changed(study.series["T1w"][0], tmp_path, PatientName="Other^Person", PatientBirthDate="19500101")
    route([stranger], site.program)
    site.after("an image of another patient in the study", 19, WITHDRAWN)
    print("\n" + site.table())


def lose(site: Site, *files: Path) -> None:
    """The files of these objects are gone from the disk, and the administrator repairs the ledger."""
    for path in files:
        uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        (stored,) = (site.program.config.parent / "data" / "studies").rglob(f"{uid}-*.dcm")
        stored.unlink()
    site.program.cptdn("doctor", "--storage", "--repair", check=False)
