"""Recall a model bundle: withdraw its current answers, stop what it computes, and let nothing be computed with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config.bundle_manifest import bundle_reference, read_manifest
from config.errors import CptdnError, InputError
from config.messages.message import message
from node.ledger import jobs
from node.ledger.cases import get_case, lock_case, schedule_assessment, schedule_unfinished
from node.ledger.database import Ledger
from node.ledger.recalls import lift_recall, record_recall
from node.ledger.reports import current_report, has_answer
from node.ledger.tables import Case, Job, Report
from node.workflow.outward_acts import Event
from node.workflow.withdrawal import withdraw_case


@dataclass(frozen=True)
class RecalledBundle:
    """The bundle that a name means, and what it has made.

    Attributes
    ----------
    name, digest : str
        Of its manifest, or of its reports where the folder is gone.
    studies : tuple of str
        Whose current answer it computed.
    jobs : tuple of (str, str)
        Job and study of each computation that it does now or will do.
    """

    name: str
    digest: str
    studies: tuple[str, ...] = ()
    jobs: tuple[tuple[str, str], ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the form that `cptdn bundle recall --json` prints."""
        return {
            "bundle": self.name, "digest": self.digest, "n_withdrawn": len(self.studies),
            "studies": list(self.studies), "n_jobs_stopped": len(self.jobs),
        }  # fmt: skip


def recalled_bundle(session: Session, named: str) -> RecalledBundle:
    """Find what a name of a bundle means, from its folder where it is there, and from the ledger.

    Parameters
    ----------
    session : Session
        An open transaction; it is only read from.
    named : str
        Name or folder, or the beginning of a digest, with or without ``sha256:``.

    Raises
    ------
    InputError
        No bundle and no report has this name, or bundles of several digests have it.
    """
    newest = select(func.max(Report.id)).group_by(Report.study_instance_uid)
    reports = [report for report in session.scalars(select(Report).where(Report.id.in_(newest))) if has_answer(report)]
    known = {report.bundle_digest: str(report.result["model"]["name"]) for report in reports}
    prefix = named if named.startswith("sha256:") else f"sha256:{named}"
    names = {digest: name for digest, name in known.items() if name == named or digest.startswith(prefix)}
    try:
        manifest = read_manifest(named)
        names[manifest.digest] = manifest.name
    except CptdnError:  # a folder that is gone does not keep its answers in use
        pass
    if not names:
        raise InputError(f"expected the name, folder or digest of a bundle, found {named!r}; see `cptdn bundle list`")
    if len(names) > 1:
        raise InputError(f"expected one bundle, found {', '.join(sorted(names))} of the name {named}; give the digest")
    ((digest, name),) = names.items()
    named_so = [report.study_instance_uid for report in reports if report.bundle_digest == digest]
    studies = tuple(study for study in named_so if not _is_recalled(get_case(session, study)))
    return RecalledBundle(name, digest, studies, tuple(_jobs_with(session, digest)))


def _is_recalled(case: Case) -> bool:
    """Whether the answer is withdrawn by a recall already, and the report that says so is only not written yet."""
    return case.withdrawal is not None and case.withdrawal["event"] == Event.RECALLED


def _jobs_with(session: Session, digest: str) -> list[tuple[str, str]]:
    active = session.scalars(select(Job).where(Job.state.in_(jobs.ACTIVE), Job.send.is_(True)))
    return [(job.id, job.study_instance_uid) for job in active if _digest_of(job.bundle) == digest]


def _digest_of(bundle: str) -> str | None:
    try:
        return read_manifest(bundle_reference(bundle)).digest
    except CptdnError:  # its job fails by itself
        return None


def recall_bundle(
    ledger: Ledger, bundle: RecalledBundle, because: str, by: str, advance: Callable[[], None] = lambda: None
) -> int:
    """Recall a bundle; may be repeated after an interruption.

    Parameters
    ----------
    ledger : Ledger
        Where its reports are.
    bundle : RecalledBundle
        As of `recalled_bundle`.
    because, by : str
        Reason, which every channel shows, and the person.
    advance : callable
        Called after each study.

    Returns
    -------
    int
        Number of withdrawn answers.
    """
    # First: nothing that arrives from here on is computed with it.
    with ledger.begin() as session:
        record_recall(session, bundle.digest, bundle.name, because, by)
    for job_id, study in bundle.jobs:
        with ledger.begin() as session:
            lock_case(session, study)
            if jobs.get_job(session, job_id).state in jobs.ACTIVE:
                jobs.supersede(session, job_id, message("job.bundle_recalled", name=bundle.name))
                schedule_assessment(session, study)
    n_withdrawn = 0
    for study in bundle.studies:
        # A transaction for each: nothing that arrives meanwhile waits for all of them.
        with ledger.begin() as session:
            case, report = lock_case(session, study), current_report(session, study)
            is_current = report is not None and has_answer(report) and report.bundle_digest == bundle.digest
            if report is not None and is_current and not _is_recalled(case):
                text = message("withdrawal.recalled", name=bundle.name, because=because)
                withdraw_case(session, case, report, Event.RECALLED, text, by, bulk=len(bundle.studies) > 1)
                n_withdrawn += 1
        advance()
    return n_withdrawn


def permit_again(session: Session, bundle_digest: str, because: str) -> bool:
    """Lift the recall of a bundle, and have the studies assessed that waited for it; return whether it was recalled.

    Answers that were withdrawn stay so until a person computes their studies again.
    """
    lifted = lift_recall(session, bundle_digest, because)
    if lifted:
        schedule_unfinished(session)
    return lifted
