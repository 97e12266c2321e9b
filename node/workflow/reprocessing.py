"""Computing studies again: which ones, whether anything would change, and what did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session

from config.bundle_manifest import bundle_reference, read_manifest
from config.settings import Settings
from node.ledger import jobs
from node.ledger.cases import get_case, record, set_state
from node.ledger.database import Ledger
from node.ledger.processes import live_processes
from node.ledger.reports import current_report
from node.ledger.tables import Job, Report
from node.workflow.casework import evaluate_case
from node.workflow.digests import computation_digest

Kind = Literal["unchanged", "not_ready", "would_compute", "queued", "computed", "refused", "failed"]

LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """What became of one study. `previous` and `new` are reports as the ledger keeps them."""

    study_instance_uid: str
    kind: Kind
    text: str
    reasons: Sequence[Mapping[str, str]] = ()
    job_id: str | None = None
    previous: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "study_instance_uid": self.study_instance_uid,
            "outcome": self.kind,
            "text": self.text,
            "reasons": [dict(reason) for reason in self.reasons],
            "job": self.job_id,
            "difference": difference(self.previous, self.new) if self.new is not None else None,
        }


@dataclass
class Reprocessor:
    """Looks at studies again with one bundle; `bulk` lets studies that arrive meanwhile go first."""

    ledger: Ledger
    settings: Settings
    bundle: str
    bulk: bool = False
    dry_run: bool = False
    by: str = "administrator"
    bundle_digest: str = field(init=False)

    def __post_init__(self) -> None:
        self.bundle = bundle_reference(self.bundle)
        self.bundle_digest = read_manifest(self.bundle).digest

    def begin(self, study_instance_uid: str) -> Outcome:
        """Queue the study unless nothing would change. Raises InputError when it is not known."""
        with self.ledger.begin() as session:
            return self._begin(session, study_instance_uid)

    def _begin(self, session: Session, study: str) -> Outcome:
        case = get_case(session, study)
        assessment = evaluate_case(session, self.settings, case, self.bundle)
        if assessment.request is None:
            text = f"cannot be computed: {assessment.state}"
            return Outcome(study, "not_ready", text, [dict(reason) for reason in assessment.reasons])
        digest = assessment.request.digest()
        report = current_report(session, study)
        previous = report.result if report is not None else None
        if self._unchanged(report, digest):
            return Outcome(study, "unchanged", "nothing changed: inputs, bundle and software are the same")
        if self.dry_run:
            return Outcome(study, "would_compute", f"would be computed with {self.bundle}", previous=previous)
        for job in jobs.active_jobs(session, study):
            if (job.request_digest, bundle_reference(job.bundle)) == (digest, self.bundle):
                return Outcome(study, "queued", f"on its way as job {job.id}", job_id=job.id, previous=previous)
            jobs.supersede(session, job.id, "it is computed again")
        job = jobs.create_job(session, study, assessment.request.to_json(), digest, self.bundle, bulk=self.bulk)
        set_state(session, case, "queued")
        record(session, study, "reprocess", f"Job {job.id} computes again with {self.bundle}.", self.by)
        return Outcome(study, "queued", f"queued as job {job.id}", job_id=job.id, previous=previous)

    def _unchanged(self, report: Report | None, request_digest: str) -> bool:
        digest = computation_digest(request_digest, self.bundle_digest, self.settings.report)
        return report is not None and report.computation == digest

    def finish(self, begun: Outcome, timeout_s: float) -> Outcome:
        """Wait for a queued study; one that nothing computes stays queued, and the outcome says so."""
        if begun.job_id is None:
            return begun
        deadline = time.monotonic() + timeout_s
        while True:
            with self.ledger.begin() as session:
                job = jobs.get_job(session, begun.job_id)
                if job.state not in jobs.ACTIVE:
                    return self._ended(session, begun, job)
                computing = bool(live_processes(session, "worker"))
            if not computing:
                return _still_queued(begun, "no worker is running; `cptdn up` or `cptdn worker` computes it")
            if time.monotonic() > deadline:
                return _still_queued(begun, f"not finished after {timeout_s:.0f} s; `cptdn jobs watch` follows it")
            time.sleep(LOOK_EVERY_S)

    def _ended(self, session: Session, begun: Outcome, job: Job) -> Outcome:
        study = begun.study_instance_uid
        if job.state == "done" and job.error_code is None:
            report = current_report(session, study)
            new = report.result if report is not None else None
            return Outcome(study, "computed", "computed", (), job.id, begun.previous, new)
        reason = {"code": job.error_code or job.state, "text": job.error_text or job.state}
        kind: Kind = "refused" if job.state == "done" else "failed"
        return Outcome(study, kind, f"{kind}: {reason['text']}", [reason], job.id, begun.previous)


def _still_queued(begun: Outcome, why: str) -> Outcome:
    return Outcome(begun.study_instance_uid, "queued", f"{begun.text}; {why}", (), begun.job_id, begun.previous)


def difference(previous: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    """What two reports (as the ledger keeps them) say differently: name -> [before, now]; empty when they agree."""
    before, now = _shown(previous), _shown(new)
    return {
        name: [before.get(name), now.get(name)]
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name)
    }


def _shown(report: Mapping[str, Any] | None) -> dict[str, Any]:
    """The statements of a report that a reader would compare."""
    if report is None:
        return {}
    shown: dict[str, Any] = {
        "bundle": report["model"]["digest"],
        "age_years": report["age_years"],
        "ebv_dna": report["ebv_dna"]["as_given"] or report["ebv_dna"]["category"],
        "tumour_volume_ml": report["contours"][0]["volume_ml"] if report["contours"] else None,
        **(report["scores"] or {}),
    }
    for scenario in report["scenarios"]:
        condition = f" (EBV DNA {scenario['ebv_category']})" if len(report["scenarios"]) > 1 else ""
        shown[f"recommendation{condition}"] = scenario["recommendation"]
        for arm in (scenario["ict_ccrt"], scenario["ccrt"]):
            for months, dfs in arm["dfs"].items():
                shown[f"{arm['arm']} DFS at {months} months{condition}"] = dfs["value"]
    return shown


def in_words(found: Mapping[str, Any]) -> list[str]:
    """One line for each difference."""
    say: Callable[[Any], str] = lambda value: "nothing" if value is None else str(value)  # noqa: E731
    return [f"{name}: {say(before)} -> {say(now)}" for name, (before, now) in found.items()]
