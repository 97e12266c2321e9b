"""A ledger with one whole study, as intake and clinical intake leave it, without any DICOM or worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select

from config.settings import Settings, load_settings
from node.cases.case_inputs import StoredInstance
from node.clinical.entries import (
    FactEntry,
    diagnosis_entry,
    ebv_entry,
    record_entries,
    stage_entry,
    treatment_start_entry,
)
from node.ledger import jobs
from node.ledger.cases import get_case, history, record_arrival
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.reports import current_report, record_report
from node.ledger.tables import Case, Instance, Job, Report
from node.workflow.casework import assess_case, assess_due
from tests.cases.case_headers import STUDY, structure_set, whole_study

PATIENT = "P1"
DRAWN = date(2026, 4, 29)  # of the EBV DNA, before the MR of 2026-05-01
RESULT: dict[str, Any] = {"model": {"digest": "sha256:b", "name": "demonstration"}, "scores": {}, "refusals": []}


@dataclass
class Site:
    """One installation; every method is a transaction of its own."""

    ledger: Ledger
    settings: Settings

    def arrive(self, instances: Iterable[StoredInstance], calling_ae: str = "PACS") -> None:
        """Index instances as the intake does, received long enough ago for the study to be complete."""
        with self.ledger.begin() as session:
            for instance in instances:
                header = instance.header
                row = Instance(
                    sop_instance_uid=instance.sop_instance_uid, sop_class_uid=str(header["SOPClassUID"]),
                    transfer_syntax_uid="1.2.840.10008.1.2.1", study_instance_uid=str(header["StudyInstanceUID"]),
                    series_instance_uid=str(header["SeriesInstanceUID"]), modality=str(header["Modality"]),
                    frame_of_reference_uid=str(header["FrameOfReferenceUID"]), patient_id=str(header["PatientID"]),
                    digest=instance.digest, size_bytes=1, path=f"studies/{instance.sop_instance_uid}.dcm",
                    header=dict(header), calling_ae=calling_ae, received_at=instance.received_at,
                )  # fmt: skip
                session.add(row)
                record_arrival(session, row.modality, row.study_instance_uid, row.patient_id, "")

    def arrive_whole(self) -> None:
        """Three series, the RTSTRUCT, and the facts that make the study ready."""
        self.arrive([*whole_study(), structure_set()])
        self.arrive_facts()

    def arrive_facts(self) -> None:
        """EBV DNA, diagnosis, stage and start of treatment."""
        settings = self.settings
        self.learn(
            ebv_entry(settings, "12000", drawn_on=DRAWN),
            diagnosis_entry("C11.9"),
            stage_entry(settings, "T3N1M0", "8"),
            treatment_start_entry("2026-05-11"),
        )

    def remove_instances(self, series_instance_uid: str) -> None:
        with self.ledger.begin() as session:
            session.execute(delete(Instance).where(Instance.series_instance_uid == series_instance_uid))

    def learn(self, *entries: FactEntry) -> None:
        """Record clinical facts of the patient."""
        with self.ledger.begin() as session:
            record_entries(session, PATIENT, "", list(entries), "test", "a tester")

    def case(self) -> Case:
        with self.ledger.begin() as session:
            return get_case(session, STUDY)

    def codes(self) -> tuple[str, set[str]]:
        case = self.case()
        return case.state, {str(reason["code"]) for reason in case.reasons}

    def history(self) -> list[str]:
        with self.ledger.begin() as session:
            return [str(event["text"]) for event in history(session, STUDY)]

    def jobs(self) -> list[Job]:
        """All jobs of the study, the oldest first."""
        with self.ledger.begin() as session:
            return list(session.scalars(select(Job).order_by(Job.created_at)))

    def end_job(self, error_code: str | None = None) -> Job:
        """Let a worker take the only active job and end it: with this error, or else with a report."""
        with self.ledger.begin() as session:
            (active,) = jobs.active_jobs(session, STUDY)
            job = jobs.claim(session, active.id, active.step, "worker")
            assert job is not None
            if error_code is not None:
                jobs.fail(session, job, error_code, "a failure of the test", retry=False)
            else:
                self._report(session, job, RESULT)
                jobs.finish(session, job, {})
            return job

    def refuse_with_report(self, refusals: list[dict[str, str]]) -> None:
        """Let a worker answer the only active job by a report that says why nothing was computed."""
        with self.ledger.begin() as session:
            (active,) = jobs.active_jobs(session, STUDY)
            job = jobs.claim(session, active.id, active.step, "worker")
            assert job is not None
            self._report(session, job, {**RESULT, "refusals": refusals}, "refused", refusals)
            jobs.finish(session, job, {})

    def _report(
        self, session: Any, job: Job, result: dict[str, Any], state: str = "reported", reasons: Any = ()
    ) -> None:
        before = current_report(session, STUDY)
        revision = before.revision + 1 if before is not None else 1
        record_report(
            session, study_instance_uid=STUDY, job_id=job.id, identity=f"identity {revision}",
            computation=f"computation {revision}", request_digest=job.request_digest, bundle_digest="sha256:b",
            revision=revision, sop_instance_uid=f"1.2.3.{revision}", predecessor=before, result=result, objects=[],
            destinations=[], case_state=state, reasons=reasons,
        )  # fmt: skip

    def report(self) -> Report | None:
        with self.ledger.begin() as session:
            return current_report(session, STUDY)


@contextmanager
def site(folder: Path, toml: str = "") -> Iterator[Site]:
    """An installation in a folder, with these lines of configuration."""
    config = folder / "cptdn.toml"
    config.write_text(f'[storage]\nroot = "data"\nmin_free_gb = 0\n{toml}', encoding="utf-8")
    settings = load_settings(config)
    ledger = open_ledger(settings.ledger.url or "")
    yield Site(ledger, settings)
    ledger.close()


def received_now(instances: Iterable[StoredInstance]) -> list[StoredInstance]:
    return [replace(instance, received_at=now_utc()) for instance in instances]


def assess_all(here: Site) -> int:
    """Assess what is due; returns the number of cases."""
    return assess_due(here.ledger, here.settings)


def assess_again(here: Site) -> str:
    """Assess the study whether or not it is due; returns its state."""
    with here.ledger.begin() as session:
        assess_case(session, here.settings, STUDY)
    return here.case().state
