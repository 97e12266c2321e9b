"""Withdraw answers that do not hold any more, in every channel that has them.

    the case leaves `reported` (`ledger.cases.set_state` notes since when), a person withdraws, a bundle is recalled
      --withdraw_due, by the table of `outward_acts`--> a job of the step `report`
      --workers.queue.withdrawals--> a report that says "withdrawn", with its deliveries

`withdraw_due` compares what is outside with the state of each case, whatever led to it: an act that a dying process
missed is made up for by the next call.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from config.errors import InputError
from config.messages import stored as messages
from config.messages.message import message
from config.settings import Settings
from node.ledger import jobs
from node.ledger.cases import lock_case, record, set_state
from node.ledger.database import Ledger, does_not_answer, now_utc
from node.ledger.reports import current_report, has_answer
from node.ledger.tables import Case, Report
from node.ledger.withdrawals import WithdrawalOrder, outdated_cases, queue_withdrawal
from node.workflow.outward_acts import TABLE, Event, event_of

log = structlog.get_logger(__name__)

WITHDRAWN = "withdrawn"


def withdraw_due(ledger: Ledger, settings: Settings) -> int:
    """Queue the withdrawal of every answer that is outdated; return their number.

    Parameters
    ----------
    ledger : Ledger
        The ledger that all nodes share; several nodes may run this at the same time.
    settings : Settings
        ``[case] withdraw_after_s``.

    Raises
    ------
    SQLAlchemyError
        When the ledger does not answer.
    """
    with ledger.read() as session:
        outdated = outdated_cases(session)
    n_queued = 0
    for study_instance_uid in outdated:
        try:
            with ledger.begin() as session:
                n_queued += _withdraw_if_due(session, settings, lock_case(session, study_instance_uid))
        except StaleDataError:  # another node does the same at this moment
            log.info("case_changed_by_another_node", study=study_instance_uid)
        except Exception as error:  # an error with one case must not keep the answers of all others outside
            if does_not_answer(error):
                raise
            log.exception("withdrawal_failed", study=study_instance_uid)
    return n_queued


def _withdraw_if_due(session: Session, settings: Settings, case: Case) -> bool:
    report = current_report(session, case.study_instance_uid)
    row = TABLE[event_of(case, report)]
    if report is None or not row.withdraws:
        case.outdated_since = None
        return False
    since = case.outdated_since or now_utc()
    elapsed_s = (now_utc() - since).total_seconds()
    if row.waits and 0 <= elapsed_s < settings.case.withdraw_after_s:
        return False
    return queue_withdrawal(session, report, _order(case, report, since)) is not None


def _order(case: Case, report: Report, since: datetime) -> WithdrawalOrder:
    event = event_of(case, report)
    if case.withdrawal is not None:
        decided = datetime.fromisoformat(case.withdrawal["at"])
        said = messages.from_json(case.withdrawal)
        return WithdrawalOrder(report.id, event, decided, said["by"], said["because"])
    row = TABLE[event]
    return WithdrawalOrder(report.id, event, since, row.by, row.because, tuple(dict(each) for each in case.reasons))


def still_wanted(case: Case, report: Report) -> bool:
    """Return whether the withdrawal of a report is still wanted when its job runs.

    The ground may have come back meanwhile: a hold was released, a fact corrected again.
    """
    return TABLE[event_of(case, report)].withdraws


def withdraw_study(session: Session, study_instance_uid: str, because: str, by: str) -> None:
    """Withdraw the answer of a study by a person's decision.

    It stays withdrawn until a person computes it again, or an input of the answer changes before it is frozen.

    Parameters
    ----------
    session : Session
        An open transaction.
    study_instance_uid : str
        Study Instance UID of the case.
    because : str
        The reason; every channel shows it.
    by : str
        Name of the person.

    Raises
    ------
    InputError
        When the study is unknown, no reason is given, no answer is current, or it is being withdrawn already.
    """
    case = lock_case(session, study_instance_uid)
    if not because.strip():
        raise InputError(message("form.no_reason"))
    report = current_report(session, study_instance_uid)
    if report is None or not has_answer(report):
        key = "no_report" if report is None else "refusal" if report.result.get("refusals") else "withdrawal"
        raise InputError(message("form.no_answer", found=message(f"form.{key}")))
    if case.withdrawal is not None:  # its report is not written yet: another reason would be shown here than outside
        said = messages.from_json(case.withdrawal)
        raise InputError(message("form.is_withdrawn", by=said["by"], because=said["because"]))
    withdraw_case(session, case, report, Event.BY_PERSON, because.strip(), by)


def withdraw_case(
    session: Session, case: Case, report: Report, event: Event, because: str, by: str, *, bulk: bool = False
) -> None:
    """Record the withdrawal of a current answer in its case, and queue it.

    Parameters
    ----------
    report : Report
        The current report of the case.
    event : Event
        `Event.BY_PERSON` or `Event.RECALLED`.
    because, by : str
        Reason, and the person.
    bulk : bool
        One of many.
    """
    active, now = jobs.active_jobs(session, case.study_instance_uid), now_utc()
    for job in active:
        jobs.supersede(session, job.id, message("job.answer_withdrawn"))
    withdrawal: dict[str, Any] = {
        "event": event.value, "because": because, "by": by, "at": now.isoformat(),
        # Of these inputs no result is made again by itself.
        "digests": [report.request_digest, *(job.request_digest for job in active)],
    }  # fmt: skip
    case.withdrawal = messages.to_json(withdrawal)
    text = message("withdrawal.by_person", by=by, because=because)
    record(session, case.study_instance_uid, WITHDRAWN, text, actor=by)
    set_state(session, case, WITHDRAWN, [reason_of(withdrawal)])
    case.outdated_since = case.outdated_since or now
    queue_withdrawal(session, report, _order(case, report, now), bulk=bulk)


def reason_of(withdrawal: dict[str, Any]) -> dict[str, str]:
    """Return the reason that a withdrawn case shows.

    Parameters
    ----------
    withdrawal : dict
        As in `Case.withdrawal`.
    """
    code = "bundle_recalled" if withdrawal["event"] == Event.RECALLED else "withdrawn_by_person"
    said = messages.from_json(withdrawal)
    return {"code": code, "text": message("withdrawal.by_person", by=said["by"], because=said["because"])}


def keeps_withdrawn(case: Case, digest: str | None, *, is_frozen: bool) -> bool:
    """Return whether a withdrawn case stays so at an assessment.

    Parameters
    ----------
    case : Case
        Withdrawn by a person or a recall.
    digest : str or None
        Of the inputs as they are now; None where they cannot be computed.
    is_frozen : bool
        Whether the withdrawn report is frozen: then only a person makes a new revision.
    """
    withdrawal = case.withdrawal
    if withdrawal is None:
        return False
    # A recalled bundle: a person decides which studies another one computes again.
    if is_frozen or digest is None or withdrawal["event"] == Event.RECALLED:
        return True
    return digest in withdrawal["digests"]


def take_back(case: Case) -> None:
    """End the withdrawal of a case, because a person computes it again or its inputs have changed."""
    case.withdrawal = None


def withdrawal_of(case: Case, report: Report | None) -> dict[str, str] | None:
    """Return since when, by whom and why the answer of a study is withdrawn; None where it is not.

    Parameters
    ----------
    case : Case
        Of the study.
    report : Report or None
        Its newest report.
    """
    if case.withdrawal is not None:
        said = messages.from_json(case.withdrawal)
        return {"since": said["at"], "by": said["by"], "because": said["because"]}
    said = messages.from_json(report.result.get("withdrawal")) if report is not None else None
    return {name: said[name] for name in ("since", "by", "because")} if said else None
