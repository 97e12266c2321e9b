"""Compare two model bundles over stored studies; nothing is reported or sent.

A result is looked up before it is computed: the current report where the same bundle made it from the same inputs, else
an earlier job for comparison with the same digest. A comparison that was interrupted therefore continues when the same
command is given again. At most `WAITING_AT_ONCE` studies are queued at a time, as bulk work: studies that the PACS
routes are computed first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session

from config.bundle_manifest import BundleManifest, bundle_reference, read_manifest
from config.decision_policy import DecisionPolicy, policy_for_bundle
from config.errors import CptdnError
from config.messages.message import message
from config.settings import Settings
from node.cases.case_inputs import ComputeRequest
from node.ledger import jobs
from node.ledger.cases import get_case, record
from node.ledger.database import Ledger
from node.ledger.processes import live_processes
from node.ledger.reports import current_report
from node.ledger.tables import Job, Report
from node.store.study_store import StudyStore
from node.workflow.casework import evaluate_case
from node.workflow.digests import artefacts_digest, comparison_digest
from node.workflow.reprocessing import difference

WAITING_AT_ONCE = 8
POLL_EVERY_S = 0.2
WITHOUT_WORKER_S = 30.0  # longer than a worker needs to restart

Kind = Literal["scored", "refused", "failed"]


class NoWorkerError(CptdnError):
    """No worker runs; results that are computed already remain in the ledger."""


@dataclass(frozen=True)
class BundleResult:
    """Result of one study under one bundle.

    Attributes
    ----------
    kind : str
        scored, refused or failed.
    report : mapping or None
        The result as `Report.result` in the ledger, when it is scored.
    code, text : str or None
        Reason code and sentence, when it is not.
    """

    kind: Kind
    report: Mapping[str, Any] | None = None
    code: str | None = None
    text: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form that `cptdn reprocess --no-send --json` prints."""
        reason = None if self.code is None else {"code": self.code, "text": self.text}
        return {"outcome": self.kind, "reason": reason, "scores": self.report["scores"] if self.report else None}


@dataclass(frozen=True)
class ComparedStudy:
    """One study under both bundles.

    Attributes
    ----------
    study_instance_uid : str
        Study Instance UID.
    before, after : BundleResult or None
        Results under the present and the proposed bundle; both are None when the study cannot be computed.
    reasons : sequence of mappings
        Code and text of each reason why it cannot be computed.
    """

    study_instance_uid: str
    before: BundleResult | None = None
    after: BundleResult | None = None
    reasons: Sequence[Mapping[str, str]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the form that `cptdn reprocess --no-send --json` prints."""
        both = self.before and self.before.report and self.after and self.after.report
        return {
            "study_instance_uid": self.study_instance_uid,
            "before": self.before.to_json() if self.before else None,
            "after": self.after.to_json() if self.after else None,
            "reasons": [dict(reason) for reason in self.reasons],
            "difference": difference(self.before.report, self.after.report) if both else None,  # type: ignore[union-attr]
        }


@dataclass(frozen=True)
class Plan:
    """Number of results that are known, that are computed from saved patches or from DICOM, and of other studies.

    Attributes
    ----------
    known, from_patches, from_dicom : int
        Results, two for each study.
    not_computable : int
        Studies without complete inputs.
    """

    known: int
    from_patches: int
    from_dicom: int
    not_computable: int

    def to_json(self) -> dict[str, int]:
        """Return the form that `cptdn reprocess --no-send --dry-run --json` prints."""
        return {
            "known": self.known,
            "from_kept_patches": self.from_patches,
            "from_dicom": self.from_dicom,
            "not_computable": self.not_computable,
        }


@dataclass
class PendingStudy:
    """A study in progress; each of its two results is there, or missing, or the id of the job that computes it."""

    study: str
    results: list[BundleResult | str | None]
    deadline: float

    def job_ids(self) -> list[str]:
        """Return the jobs that are waited for."""
        return [result for result in self.results if isinstance(result, str)]


@dataclass
class Comparison:
    """Comparison of two bundles over many studies.

    Attributes
    ----------
    ledger : Ledger
        Where the studies are.
    settings : Settings
        Rules, decision and storage.
    before, after : str
        Name or folder of the present bundle, and of the proposed one.
    manifests : pair of BundleManifest
        Manifests of both, read when the comparison is made.
    policies : pair of DecisionPolicy
        The decision policy of each bundle under the settings of the site.
    """

    ledger: Ledger
    settings: Settings
    before: str
    after: str
    manifests: tuple[BundleManifest, BundleManifest] = field(init=False)
    policies: tuple[DecisionPolicy, DecisionPolicy] = field(init=False)

    def __post_init__(self) -> None:
        self.before, self.after = bundle_reference(self.before), bundle_reference(self.after)
        self.manifests = read_manifest(self.before), read_manifest(self.after)
        self.policies = policy_for_bundle(self.settings, self.before), policy_for_bundle(self.settings, self.after)

    def plan(self, studies: Iterable[str]) -> Plan:
        """Count what a run would look up and compute; nothing is queued.

        Raises
        ------
        InputError
            When a study is unknown.
        """
        store = StudyStore(self.settings.storage.root, self.settings.storage.min_free_gb)
        # Counted in the same way as `run` looks results up, so that the plan is what is done.
        known = from_patches = from_dicom = not_computable = 0
        for study in studies:
            with self.ledger.begin() as session:
                requests, _ = self._requests(session, study)
                if not requests:
                    not_computable += 1
                    continue
                for request, manifest in zip(requests, self.manifests, strict=True):
                    digest = request.digest()
                    if self._find_known(session, study, digest, manifest) is not None:
                        known += 1
                    elif store.has_artefacts(study, artefacts_digest(digest, manifest.preprocessing_digest)):
                        from_patches += 1
                    else:
                        from_dicom += 1
        return Plan(known, from_patches, from_dicom, not_computable)

    def run(self, studies: Sequence[str], timeout_s: float, done: Callable[[], None]) -> Iterator[ComparedStudy]:
        """Yield each study when both bundles have a result.

        Parameters
        ----------
        studies : sequence of str
            Study Instance UIDs.
        timeout_s : float
            Longest time for one study in seconds; then its missing results are failures with code `not_finished`.
        done : callable
            Called once for each study, for a progress bar.

        Yields
        ------
        ComparedStudy
            In the order in which they finish.

        Raises
        ------
        NoWorkerError
            When no worker has been alive for `WITHOUT_WORKER_S` and nothing has finished.
        InputError
            When a study is unknown.
        """
        remaining, pending, without_worker_since = iter(studies), list[PendingStudy](), None
        while True:
            while len(pending) < WAITING_AT_ONCE and (study := next(remaining, None)) is not None:
                started = self._start(study, timeout_s)
                if isinstance(started, ComparedStudy):
                    done()
                    yield started
                else:
                    pending.append(started)
            if not pending:
                return
            with self.ledger.begin() as session:
                finished = [each for each in pending if self._collect_results(session, each)]
                has_worker = bool(live_processes(session, "worker"))
            for each in finished:
                pending.remove(each)
                done()
                yield compared_study(each)
            if finished or has_worker:
                without_worker_since = None
            elif without_worker_since is None:
                without_worker_since = time.monotonic()
            # After some time only: workers that are restarted are away for seconds.
            elif time.monotonic() - without_worker_since > WITHOUT_WORKER_S:
                raise NoWorkerError(
                    "no worker is running: start one with `cptdn up` or `cptdn worker`, then give the same command "
                    "again; results that are computed already are used"
                )
            if not finished:
                time.sleep(POLL_EVERY_S)

    def _start(self, study: str, timeout_s: float) -> ComparedStudy | PendingStudy:
        with self.ledger.begin() as session:
            requests, reasons = self._requests(session, study)
            if not requests:
                return ComparedStudy(study, reasons=reasons)
            results: list[BundleResult | str | None] = [
                self._result_or_job(session, study, request, bundle, manifest)
                for request, bundle, manifest in zip(requests, (self.before, self.after), self.manifests, strict=True)
            ]
        pending = PendingStudy(study, results, time.monotonic() + timeout_s)
        return pending if pending.job_ids() else compared_study(pending)

    def _requests(self, session: Session, study: str) -> tuple[list[ComputeRequest], Sequence[Mapping[str, str]]]:
        """Return the inputs for each bundle, evaluated by the policy of that bundle, or none and the reasons."""
        requests = []
        for bundle, policy in zip((self.before, self.after), self.policies, strict=True):
            request, reasons = self._request(session, study, bundle, policy)
            if request is None:
                return [], reasons
            requests.append(request)
        return requests, ()

    def _request(
        self, session: Session, study: str, bundle: str, policy: DecisionPolicy
    ) -> tuple[ComputeRequest | None, Sequence[Mapping[str, str]]]:
        """Return the inputs for one bundle, or the reasons why there are none.

        The inputs of the current report come first: they can be computed from patches after retention has removed the
        images, when an assessment would find the study incomplete.
        """
        case = get_case(session, study)
        report = current_report(session, study)
        if report is not None:
            used = ComputeRequest.from_json(jobs.get_job(session, report.job_id).request)
            if not used.refusals and used.decision == policy.to_json():
                return used, ()
        assessment = evaluate_case(session, self.settings, case, bundle)
        request = assessment.request
        if request is None:
            return None, assessment.reasons
        return (None, request.refusals) if request.refusals else (request, ())

    def _result_or_job(
        self, session: Session, study: str, request: ComputeRequest, bundle: str, manifest: BundleManifest
    ) -> BundleResult | str:
        """Return the known result of one bundle, or the id of the job that computes it."""
        digest = request.digest()
        known = self._find_known(session, study, digest, manifest)
        if known is None:
            computation = comparison_digest(digest, manifest.digest, self.settings)
            # send=False: the case is not touched, and no report is made of it.
            job = jobs.create_job(
                session, study, request.to_json(), digest, bundle, send=False, bulk=True, computation=computation
            )
            text = message("job.comparison", id=job.id, name=manifest.name, version=manifest.version)
            record(session, study, "comparison", text, "administrator")
            return job.id
        if isinstance(known, Report):
            return BundleResult("scored", known.result)
        return _result_of(known) or known.id

    def _find_known(self, session: Session, study: str, digest: str, manifest: BundleManifest) -> Report | Job | None:
        """Return the current report or the job for comparison that has this result or computes it."""
        report = current_report(session, study)
        same = report is not None and report.request_digest == digest and report.bundle_digest == manifest.digest
        if report is not None and same and report.result["scores"]:
            return report
        return jobs.find_comparison(session, comparison_digest(digest, manifest.digest, self.settings))

    def _collect_results(self, session: Session, pending: PendingStudy) -> bool:
        """Replace the ids of finished jobs by their results; return whether both results are there."""
        late = time.monotonic() > pending.deadline
        for index, job_id in enumerate(pending.results):
            if not isinstance(job_id, str):
                continue
            result = _result_of(jobs.get_job(session, job_id))
            if result is None and late:
                text = f"job {job_id} has not finished in time; `cptdn jobs show` follows it"
                result = BundleResult("failed", None, "not_finished", text)
            pending.results[index] = result or job_id
        return not pending.job_ids()


def _result_of(job: Job) -> BundleResult | None:
    """Return the result of a job, None while it is active."""
    if job.state in jobs.ACTIVE:
        return None
    if job.state == "done" and job.error_code is None:
        return BundleResult("scored", (job.result or {})["report"])
    kind: Kind = "refused" if job.state == "done" else "failed"
    return BundleResult(kind, None, job.error_code or job.state, job.error_text)


def compared_study(pending: PendingStudy) -> ComparedStudy:
    """Return the comparison of a study whose jobs have finished."""
    before, after = (result if isinstance(result, BundleResult) else None for result in pending.results)
    return ComparedStudy(pending.study, before, after)
