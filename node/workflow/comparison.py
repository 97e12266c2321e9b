"""Comparing two model bundles over the store: both answer for every study, and nothing is reported or sent.

An answer is looked up before it is computed: the current report where it was made of the same inputs by the same
bundle, else an earlier computation for comparison with the same digest. So a comparison that was interrupted goes on
where it stood when it is asked again. Only a few computations wait at a time, and as bulk work: routed studies come
first.
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
LOOK_EVERY_S = 0.2
WITHOUT_WORKER_S = 30.0  # a worker that is being restarted is waited for

Kind = Literal["scored", "refused", "failed"]


class NoWorkerError(CptdnError):
    """Nothing computes; what was compared stays known."""


@dataclass(frozen=True)
class Answer:
    """What one bundle says about one study: the report as the ledger keeps it, or the reason why there is none."""

    kind: Kind
    report: Mapping[str, Any] | None = None
    code: str | None = None
    text: str | None = None

    def to_json(self) -> dict[str, Any]:
        reason = None if self.code is None else {"code": self.code, "text": self.text}
        return {"outcome": self.kind, "reason": reason, "scores": self.report["scores"] if self.report else None}


@dataclass(frozen=True)
class Compared:
    """One study under both bundles; without answers it cannot be computed at all, and `reasons` say why."""

    study_instance_uid: str
    before: Answer | None = None
    after: Answer | None = None
    reasons: Sequence[Mapping[str, str]] = ()

    def to_json(self) -> dict[str, Any]:
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
    """What a comparison would do: answers that are known, and those to compute with or without reading DICOM."""

    known: int
    from_patches: int
    from_dicom: int
    not_computable: int

    def to_json(self) -> dict[str, int]:
        return {
            "known": self.known,
            "from_kept_patches": self.from_patches,
            "from_dicom": self.from_dicom,
            "not_computable": self.not_computable,
        }


@dataclass
class _Asked:
    """A study whose answers are waited for: each an answer, or the id of the job that will give it."""

    study: str
    answers: list[Answer | str]
    deadline: float

    def waiting(self) -> list[str]:
        return [one for one in self.answers if isinstance(one, str)]


@dataclass
class Comparison:
    """Two bundles over many studies. `before` is what is used now, `after` what is thought of."""

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
        """What there is to do, without doing it."""
        store = StudyStore(self.settings.storage.root, self.settings.storage.min_free_gb)
        known = from_patches = from_dicom = not_computable = 0
        for study in studies:
            with self.ledger.begin() as session:
                requests, _ = self._requests(session, study)
                if not requests:
                    not_computable += 1
                    continue
                for request, manifest in zip(requests, self.manifests, strict=True):
                    digest = request.digest()
                    if self._known(session, study, digest, manifest) is not None:
                        known += 1
                    elif store.has_artefacts(study, artefacts_digest(digest, manifest.preprocessing_digest)):
                        from_patches += 1
                    else:
                        from_dicom += 1
        return Plan(known, from_patches, from_dicom, not_computable)

    def run(self, studies: Sequence[str], timeout_s: float, done: Callable[[], None]) -> Iterator[Compared]:
        """Each study once both bundles have answered, in the order in which they finish; `done` is called for each.

        Raises NoWorkerError when nothing computes, InputError for an unknown study.
        """
        remaining, asked, alone_since = iter(studies), list[_Asked](), None
        while True:
            while len(asked) < WAITING_AT_ONCE and (study := next(remaining, None)) is not None:
                begun = self._ask(study, timeout_s)
                if isinstance(begun, Compared):
                    done()
                    yield begun
                else:
                    asked.append(begun)
            if not asked:
                return
            with self.ledger.begin() as session:
                finished = [one for one in asked if self._settled(session, one)]
                computing = bool(live_processes(session, "worker"))
            for one in finished:
                asked.remove(one)
                done()
                yield _compared(one)
            if finished or computing:
                alone_since = None
            elif alone_since is None:
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since > WITHOUT_WORKER_S:
                raise NoWorkerError(
                    "no worker is running: start one with `cptdn up` or `cptdn worker`, then give the same command "
                    "again; what is compared already is not computed again"
                )
            if not finished:
                time.sleep(LOOK_EVERY_S)

    def _ask(self, study: str, timeout_s: float) -> Compared | _Asked:
        with self.ledger.begin() as session:
            requests, reasons = self._requests(session, study)
            if not requests:
                return Compared(study, reasons=reasons)
            answers = [
                self._answer_or_job(session, study, request, name, manifest)
                for request, name, manifest in zip(requests, (self.before, self.after), self.manifests, strict=True)
            ]
        asked = _Asked(study, answers, time.monotonic() + timeout_s)
        return asked if asked.waiting() else _compared(asked)

    def _requests(self, session: Session, study: str) -> tuple[list[ComputeRequest], Sequence[Mapping[str, str]]]:
        """The inputs for both bundles, or none and the reasons: each is assessed by the rule of its bundle."""
        requests = []
        for name, policy in zip((self.before, self.after), self.policies, strict=True):
            request, reasons = self._request(session, study, name, policy)
            if request is None:
                return [], reasons
            requests.append(request)
        return requests, ()

    def _request(
        self, session: Session, study: str, bundle: str, policy: DecisionPolicy
    ) -> tuple[ComputeRequest | None, Sequence[Mapping[str, str]]]:
        """The inputs of the current report, so that the DICOM may be gone; else those of a new assessment."""
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

    def _answer_or_job(
        self, session: Session, study: str, request: ComputeRequest, name: str, manifest: BundleManifest
    ) -> Answer | str:
        digest = request.digest()
        known = self._known(session, study, digest, manifest)
        if known is None:
            computation = comparison_digest(digest, manifest.digest, self.settings)
            job = jobs.create_job(
                session, study, request.to_json(), digest, name, send=False, bulk=True, computation=computation
            )
            text = f"Job {job.id} computes with {manifest.name} {manifest.version}, for comparison only."
            record(session, study, "comparison", text, "administrator")
            return job.id
        if isinstance(known, Report):
            return Answer("scored", known.result)
        return _answer_of(known) or known.id

    def _known(self, session: Session, study: str, digest: str, manifest: BundleManifest) -> Report | Job | None:
        """What answers already, or is about to: the current report, or a computation for comparison."""
        report = current_report(session, study)
        same = report is not None and report.request_digest == digest and report.bundle_digest == manifest.digest
        if report is not None and same and report.result["scores"]:
            return report
        return jobs.find_comparison(session, comparison_digest(digest, manifest.digest, self.settings))

    def _settled(self, session: Session, asked: _Asked) -> bool:
        """Take the answers that have come; True when none is waited for any more."""
        late = time.monotonic() > asked.deadline
        for at, one in enumerate(asked.answers):
            if not isinstance(one, str):
                continue
            answer = _answer_of(jobs.get_job(session, one))
            if answer is None and late:
                answer = Answer(
                    "failed", None, "not_finished", f"job {one} took too long; `cptdn jobs show` follows it"
                )
            asked.answers[at] = answer or one
        return not asked.waiting()


def _answer_of(job: Job) -> Answer | None:
    """What a job has answered; None while it has not."""
    if job.state in jobs.ACTIVE:
        return None
    if job.state == "done" and job.error_code is None:
        return Answer("scored", (job.result or {})["report"])
    return Answer("refused" if job.state == "done" else "failed", None, job.error_code or job.state, job.error_text)


def _compared(asked: _Asked) -> Compared:
    before, after = (one if isinstance(one, Answer) else None for one in asked.answers)
    return Compared(asked.study, before, after)
