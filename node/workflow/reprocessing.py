"""Compute studies again, and list the differences between two results.

start: evaluate_case --> unchanged | not_ready | would_compute | queued
wait:  queued --> computed | refused | failed, or still queued when no worker runs or the time is over
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session

from config.bundle_manifest import bundle_reference, read_manifest
from config.messages.message import message
from config.settings import Settings
from node.ledger import jobs
from node.ledger.cases import lock_case, record, set_state
from node.ledger.database import Ledger
from node.ledger.processes import live_processes
from node.ledger.recalls import CODE, recall_of, recall_text
from node.ledger.reports import current_report
from node.ledger.tables import Job, Report
from node.workflow.casework import evaluate_case
from node.workflow.digests import computation_digest
from node.workflow.withdrawal import take_back

Kind = Literal["unchanged", "not_ready", "would_compute", "queued", "computed", "refused", "failed"]

POLL_EVERY_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """Outcome of reprocessing one study.

    Attributes
    ----------
    study_instance_uid : str
        Study Instance UID.
    kind : str
        unchanged, not_ready, would_compute, queued, computed, refused or failed.
    text : str
        One sentence for the administrator.
    reasons : sequence of mappings
        Code and text of each reason when it is not_ready, refused or failed.
    job_id : str or None
        The job that computes or has computed it.
    previous, new : mapping or None
        Results of the reports before and after, as `Report.result` in the ledger.
    """

    study_instance_uid: str
    kind: Kind
    text: str
    reasons: Sequence[Mapping[str, str]] = ()
    job_id: str | None = None
    previous: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form that `cptdn reprocess --json` prints."""
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
    """Computes studies again with one bundle.

    Attributes
    ----------
    ledger : Ledger
        Where the studies are.
    settings : Settings
        Rules and wording.
    bundle : str
        Name or folder of the model bundle.
    bulk : bool
        True when many studies are reprocessed: studies that have just arrived are computed first.
    dry_run : bool
        True to find out what would be done; nothing is queued.
    by : str
        Name of the person who ordered it, for the history.
    bundle_digest : str
        Digest of the bundle, read from its manifest.
    """

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

    def start(self, study_instance_uid: str) -> Outcome:
        """Queue a study unless its inputs, the bundle and the software are those of its report.

        Raises
        ------
        InputError
            When the study is unknown.
        """
        with self.ledger.begin() as session:
            return self._start(session, study_instance_uid)

    def _start(self, session: Session, study: str) -> Outcome:
        case = lock_case(session, study)
        # All facts: a person who asks for it may have waited for one that came after the report was frozen.
        assessment = evaluate_case(session, self.settings, case, self.bundle, True)
        if assessment.request is None:
            text = f"cannot be computed: {assessment.state}"
            return Outcome(study, "not_ready", text, [dict(reason) for reason in assessment.reasons])
        recalled = recall_of(session, self.bundle_digest)
        if recalled is not None:
            reason = {"code": CODE, "text": recall_text(recalled)}
            return Outcome(study, "not_ready", f"cannot be computed: {reason['text']}", [reason])
        digest = assessment.request.digest()
        report = current_report(session, study)
        previous = report.result if report is not None else None
        # A withdrawn answer is computed again although nothing changed: that takes the withdrawal back.
        if case.withdrawal is None and self._unchanged(report, digest):
            return Outcome(study, "unchanged", "nothing changed: inputs, bundle and software are the same")
        if self.dry_run:
            return Outcome(study, "would_compute", f"would be computed with {self.bundle}", previous=previous)
        for job in jobs.active_jobs(session, study):
            # The same computation is under way: it is waited for and not queued a second time.
            if (job.request_digest, bundle_reference(job.bundle)) == (digest, self.bundle):
                return Outcome(study, "queued", f"being computed by job {job.id}", job_id=job.id, previous=previous)
            # Active jobs of other inputs or another bundle: their report would come after the new one.
            jobs.supersede(session, job.id, message("job.computed_again"))
        job = jobs.create_job(session, study, assessment.request.to_json(), digest, self.bundle, bulk=self.bulk)
        take_back(case)
        set_state(session, case, "queued")
        record(session, study, "reprocess", message("job.computes_again", id=job.id, bundle=self.bundle), self.by)
        return Outcome(study, "queued", f"queued as job {job.id}", job_id=job.id, previous=previous)

    def _unchanged(self, report: Report | None, request_digest: str) -> bool:
        digest = computation_digest(request_digest, self.bundle_digest, self.settings.report)
        return report is not None and report.computation == digest

    def wait(self, started: Outcome, timeout_s: float) -> Outcome:
        """Wait until a queued study is computed.

        Parameters
        ----------
        started : Outcome
            What `start` returned; an outcome that is not queued is returned as it is.
        timeout_s : float
            Longest time to wait in seconds.

        Returns
        -------
        Outcome
            computed, refused or failed; queued with an explanation when no worker runs or the time is over.
        """
        if started.job_id is None:
            return started
        deadline = time.monotonic() + timeout_s
        while True:
            with self.ledger.begin() as session:
                job = jobs.get_job(session, started.job_id)
                if job.state not in jobs.ACTIVE:
                    return self._outcome_of(session, started, job)
                # Without a worker the wait would never end; the job stays queued for one that is started later.
                computing = bool(live_processes(session, "worker"))
            if not computing:
                return _still_queued(started, "no worker is running; `cptdn up` or `cptdn worker` computes it")
            if time.monotonic() > deadline:
                return _still_queued(started, f"not finished after {timeout_s:.0f} s; `cptdn jobs watch` follows it")
            time.sleep(POLL_EVERY_S)

    def _outcome_of(self, session: Session, started: Outcome, job: Job) -> Outcome:
        study = started.study_instance_uid
        if job.state == "done" and job.error_code is None:
            report = current_report(session, study)
            new = report.result if report is not None else None
            return Outcome(study, "computed", "computed", (), job.id, started.previous, new)
        reason = {"code": job.error_code or job.state, "text": job.error_text or job.state}
        kind: Kind = "refused" if job.state == "done" else "failed"
        return Outcome(study, kind, f"{kind}: {reason['text']}", [reason], job.id, started.previous)


def _still_queued(started: Outcome, why: str) -> Outcome:
    return Outcome(started.study_instance_uid, "queued", f"{started.text}; {why}", (), started.job_id, started.previous)


def difference(previous: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what differs between two results.

    Parameters
    ----------
    previous, new : mapping or None
        `Report.result` of two reports; None for no report.

    Returns
    -------
    dict of str to list
        Name of each value that differs to [value before, value now]; empty when the results agree.
    """
    before, now = _compared_values(previous), _compared_values(new)
    return {
        name: [before.get(name), now.get(name)]
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name)
    }


def _compared_values(report: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the values of a result that a reader compares, by name."""
    if report is None:
        return {}
    values: dict[str, Any] = {
        message("compared.bundle"): report["model"]["digest"],
        message("compared.age_years"): report["age_years"],
        message("compared.ebv_dna"): report["ebv_dna"]["as_given"] or report["ebv_dna"]["category"],
        message("compared.tumour_volume_ml"): report["contours"][0]["volume_ml"] if report["contours"] else None,
        **{message(f"compared.{name}"): value for name, value in (report["scores"] or {}).items()},
    }
    for scenario in report["scenarios"]:
        several = len(report["scenarios"]) > 1
        condition = message("compared.if", category=message(f"category.{scenario['ebv_category']}")) if several else ""
        values[message("compared.recommendation", condition=condition)] = scenario["recommendation"]
        for arm in (scenario["ict_ccrt"], scenario["ccrt"]):
            for months, dfs in arm["dfs"].items():
                name = message("compared.dfs", arm=arm["arm"], months=months, condition=condition)
                values[name] = dfs["value"]
    return values


def difference_lines(differences: Mapping[str, Any]) -> list[str]:
    """Return one line of text for each entry of `difference`."""
    return [f"{name}: {_text(before)} -> {_text(now)}" for name, (before, now) in differences.items()]


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)
