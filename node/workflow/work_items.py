"""Judge open work items by their studies: their progress, and how they end.

    a work item was created here, or claimed from a worklist (`worklists`)
      --judge_due: `judge`, a pure function of what is known--> progress, or an ending
      --of one created here--> its state, and what its subscribers are told
      --of one of a worklist--> `worklists.Worklist` tells the manager

A work item changes nothing about a study: routing of its images, or fetching them from a PACS, starts the computation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import generate_uid
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from config.messages import stored as messages
from config.messages.message import message, render, sentences
from config.settings import Settings
from node.dicom.procedure_steps import events
from node.ledger import work_items as ledger_items
from node.ledger.cases import open_case, schedule_assessment
from node.ledger.database import Ledger, does_not_answer, now_utc
from node.ledger.deliveries import OPEN_STATES as OPEN_DELIVERIES
from node.ledger.deliveries import STORED, deliveries_of
from node.ledger.instances import series_uids
from node.ledger.reports import current_report, has_answer
from node.ledger.tables import Case, Delivery, Report
from node.ledger.work_item_machine import Event, State
from node.ledger.work_item_tables import WorkItem
from node.workflow.channels.dicom import REJECTION

log = structlog.get_logger("cptdn.work_items")

LOOK_EVERY = timedelta(seconds=2)
# PS3.16 CID 9300, with DCM as their coding scheme.
UNSPECIFIED = ("110513", "DCM", "Discontinued for unspecified reason")
EQUIPMENT_FAILURE = ("110501", "DCM", "Equipment failure")
WRONG_ENTRY = ("110514", "DCM", "Incorrect worklist entry selected")
BAD_OBJECTS = ("110521", "DCM", "Objects incorrectly formatted")
OBJECTS_MISSING = ("110523", "DCM", "Object Set incomplete")
NO_RESOURCE = ("110527", "DCM", "Resource inadequate")
PERCENT = {"receiving": 5, "incomplete": 5, "held": 10, "queued": 20, "running": 50, "reported": 90}


@dataclass(frozen=True)
class Situation:
    """What is known of the study of a work item.

    Attributes
    ----------
    names_study : bool
        Whether the work item names any study.
    case_state : str or None
        State of the case; None where there is none.
    reasons : tuple of str
        Texts of its reasons.
    is_other_patient : bool
        Whether work item and case name different patients.
    is_fetched : bool
        Whether a PACS is queried for the study.
    n_series_missing : int
        Series that the work item names and that have not arrived.
    has_answer : bool
        Whether the current report of the case names an answer.
    outputs : tuple of dict
        What a PACS has stored of that report.
    delivery_is_open : bool
        Whether a PACS may still get it.
    needs_storage : bool
        Whether any PACS is configured.
    cancel_request : dict or None
        As `WorkItem.cancel_request`.
    waited_s, settle_s, wait_s : float
        Age of the work item, how long series that do not come are waited for, and the limit for everything else.
    """

    names_study: bool = True
    case_state: str | None = None
    reasons: tuple[str, ...] = ()
    is_other_patient: bool = False
    is_fetched: bool = False
    n_series_missing: int = 0
    has_answer: bool = False
    outputs: tuple[dict[str, Any], ...] = ()
    delivery_is_open: bool = False
    needs_storage: bool = True
    cancel_request: dict[str, Any] | None = None
    waited_s: float = 0.0
    settle_s: float = 60.0
    wait_s: float = 7 * 86400.0


@dataclass(frozen=True)
class Judgement:
    """What follows for a work item: an ending where `state` is final, else its progress.

    Attributes
    ----------
    state : State
        `State.IN_PROGRESS`, `State.COMPLETED` or `State.CANCELED`.
    text : str
        Progress, or the reason of a cancellation.
    percent : int
        Progress, 0 to 100.
    code : tuple of str or None
        Discontinuation reason.
    """

    state: State
    text: str
    percent: int = 0
    code: tuple[str, ...] | None = None


def judge(now: Situation) -> Judgement:
    """Return what a situation means for a work item; the first rule that applies decides.

    Parameters
    ----------
    now : Situation
        Read in one transaction.
    """
    days = round(now.wait_s / 86400, 1)
    is_late = now.waited_s > now.wait_s
    reasons = sentences(now.reasons) if now.reasons else ""
    is_settled = not now.n_series_missing or now.waited_s > now.settle_s
    has_result = now.case_state == "reported" and now.has_answer and is_settled and not now.is_other_patient
    if not now.names_study:
        return _canceled(BAD_OBJECTS, message("work_item.no_study"))
    # A request that comes when the computation has ended is too late.
    if now.cancel_request is not None and not has_result:
        return _as_requested(now.cancel_request)
    if now.is_other_patient:
        return _canceled(WRONG_ENTRY, message("work_item.other_patient"))
    if now.case_state is None:
        if is_late:
            return _canceled(OBJECTS_MISSING, message("work_item.never_arrived", days=days))
        return _progress(0, message("work_item.fetched" if now.is_fetched else "work_item.awaited"))
    if has_result:
        return _of_result(now)
    if not is_settled:
        return _progress(PERCENT["receiving"], message("work_item.series_awaited", n=now.n_series_missing))
    ends = {"refused": UNSPECIFIED, "failed": EQUIPMENT_FAILURE, "withdrawn": UNSPECIFIED}
    if now.case_state in ends:
        return _canceled(ends[now.case_state], message(f"work_item.{now.case_state}", reasons=reasons))
    if now.case_state in ("incomplete", "held"):
        if is_late:
            code = OBJECTS_MISSING if now.case_state == "incomplete" else UNSPECIFIED
            return _canceled(code, message("work_item.too_long", days=days, reasons=reasons))
        return _progress(PERCENT[now.case_state], message(f"work_item.{now.case_state}", reasons=reasons))
    # Reported without an answer: its successor is on the way.
    state = now.case_state if now.case_state in ("queued", "running") else "receiving"
    return _progress(PERCENT[state], message(f"work_item.{state}"))


def _of_result(now: Situation) -> Judgement:
    if now.outputs or not now.needs_storage:
        return Judgement(State.COMPLETED, message("work_item.completed"), 100)
    if now.delivery_is_open:
        return _progress(PERCENT["reported"], message("work_item.delivering"))
    return _canceled(NO_RESOURCE, message("work_item.not_stored"))


def _as_requested(asked: dict[str, Any]) -> Judgement:
    code = tuple(asked["code"]) if asked["code"] else UNSPECIFIED
    if asked["because"]:
        return _canceled(code, message("work_item.requested_because", by=asked["by"], because=asked["because"]))
    return _canceled(code, message("work_item.requested", by=asked["by"]))


def _canceled(code: tuple[str, ...], text: str) -> Judgement:
    return Judgement(State.CANCELED, text, 0, code)


def _progress(percent: int, text: str) -> Judgement:
    return Judgement(State.IN_PROGRESS, text, percent)


def judge_due(ledger: Ledger, settings: Settings) -> int:
    """Judge the work items that are due, each in a transaction of its own; return their number.

    Parameters
    ----------
    ledger : Ledger
        The ledger that all nodes share; several nodes may run this at the same time.
    settings : Settings
        `[work_items]`, and which PACS get reports.

    Raises
    ------
    SQLAlchemyError
        When the ledger does not answer.
    """
    with ledger.begin() as session:
        due = ledger_items.judged_due(session)
    for item_id in due:
        try:
            with ledger.begin() as session:
                judge_item(session, settings, ledger_items.lock_item(session, item_id))
        except StaleDataError:  # another node does the same at this moment
            log.info("work_item_changed_by_another_node", id=item_id)
        except Exception as error:  # an error with one work item must not keep all others open
            if does_not_answer(error):
                raise
            log.exception("work_item_not_judged", id=item_id)
            with ledger.begin() as session:
                ledger_items.lock_item(session, item_id).judged_after = now_utc() + 30 * LOOK_EVERY
    return len(due)


def judge_item(session: Session, settings: Settings, item: WorkItem) -> None:
    """Claim a work item that was created here, and record its progress or its ending.

    Parameters
    ----------
    session : Session
        The transaction that locks the work item.
    item : WorkItem
        Open, without an ending.
    """
    if item.ending is not None or item.state not in (State.SCHEDULED, State.IN_PROGRESS):
        return
    is_pushed = item.worklist == ledger_items.PUSHED
    if is_pushed and item.state == State.SCHEDULED:
        item.transaction_uid = str(generate_uid())
        ledger_items.apply(item, Event.CLAIM)
        events.report_state(session, item)
    situation, outputs = _situation_of(session, settings, item)
    found, language = judge(situation), settings.report.language
    item.judged_after = now_utc() + LOOK_EVERY
    if found.state == State.IN_PROGRESS:
        progress = {"percent": found.percent, "text": render(found.text, language)}
        if progress != item.progress:
            item.progress = progress
            if is_pushed:
                events.report_progress(session, item)
        return
    item.progress = {"percent": found.percent, "text": render(found.text, language)}
    is_completed = found.state == State.COMPLETED
    ledger_items.decide(item, found.state, found.code, render(found.text, language), outputs if is_completed else [])
    if is_pushed:
        ledger_items.apply(item, Event.COMPLETE if is_completed else Event.CANCEL)
        events.report_state(session, item)
    log.info("work_item_decided", uid=item.uid, state=found.state)


def _situation_of(session: Session, settings: Settings, item: WorkItem) -> tuple[Situation, list[dict[str, Any]]]:
    waited_s = max(0.0, (now_utc() - item.received_at).total_seconds())
    case = next((case for each in item.inputs if (case := session.get(Case, each["study"])) is not None), None)
    is_fetched = False
    if case is None and item.cancel_request is None:
        is_fetched = _fetch(session, settings, item)
    known = Situation(
        names_study=bool(item.inputs), is_fetched=is_fetched, cancel_request=item.cancel_request,
        needs_storage=bool(settings.pacs), waited_s=waited_s, settle_s=settings.case.stable_after_s,
        wait_s=settings.work_items.wait_days * 86400,
    )  # fmt: skip
    if case is None:
        return known, []
    item.study_instance_uid = case.study_instance_uid
    report = current_report(session, case.study_instance_uid)
    deliveries = [] if report is None else _deliveries_to_pacs(session, settings, report)
    outputs = [] if report is None else outputs_of(session, settings, report, deliveries)
    return Situation(
        names_study=True, case_state=case.state, cancel_request=item.cancel_request,
        reasons=tuple(each["text"] for each in messages.from_json(case.reasons)),
        is_other_patient=_is_other_patient(item, case), n_series_missing=_n_series_missing(session, item),
        has_answer=report is not None and has_answer(report), outputs=tuple(outputs),
        delivery_is_open=any(delivery.state in OPEN_DELIVERIES for delivery in deliveries),
        needs_storage=known.needs_storage, waited_s=waited_s, settle_s=known.settle_s, wait_s=known.wait_s,
    ), outputs  # fmt: skip


def _fetch(session: Session, settings: Settings, item: WorkItem) -> bool:
    """Open the case of an unknown study, so that a PACS is queried for it; of several studies it is not known which."""
    if len(item.inputs) != 1 or not item.patient_id or not any(pacs.query_retrieve for pacs in settings.pacs):
        return False
    study = item.inputs[0]["study"]
    if open_case(session, study, item.patient_id, item.issuer):
        schedule_assessment(session, study)
    return True


def _is_other_patient(item: WorkItem, case: Case) -> bool:
    # What one of them does not say contradicts nothing.
    pairs = ((item.patient_id, case.patient_id), (item.issuer, case.issuer))
    return any(asked and known and asked != known for asked, known in pairs)


def _n_series_missing(session: Session, item: WorkItem) -> int:
    return sum(
        len(set(each["series"]) - set(series_uids(session, each["study"]))) for each in item.inputs if each["series"]
    )


def _deliveries_to_pacs(session: Session, settings: Settings, report: Report) -> list[Delivery]:
    names = {pacs.name for pacs in settings.pacs}
    return [delivery for delivery in deliveries_of(session, report.id) if delivery.pacs in names]


def outputs_of(
    session: Session, settings: Settings, report: Report, deliveries: list[Delivery]
) -> list[dict[str, Any]]:
    """Return what PACS have stored of a report: one entry for each series at each of them.

    Parameters
    ----------
    report : Report
        With its objects.
    deliveries : list of Delivery
        Of this report; those of a PACS that is not configured are left out.

    Returns
    -------
    list of dict
        ``study``, ``series``, ``instances`` ([SOP Class UID, SOP Instance UID] each), ``ae_title``, and ``url`` of a
        DICOMweb server or None.
    """
    objects = ledger_items.objects_by_report(session, report)
    outputs: list[dict[str, Any]] = []
    for pacs in settings.pacs:
        stored = [
            objects[uid]
            for delivery in deliveries if delivery.pacs == pacs.name
            for uid, entry in delivery.objects.items()
            # A rejection note is no result.
            if entry["status"] == STORED and uid in objects and not objects[uid].kind.startswith(REJECTION)
        ]  # fmt: skip
        series: dict[str, list[list[str]]] = {}
        for each in stored:
            uid = _series_of(settings, each.path)
            if uid:
                series.setdefault(uid, []).append([each.sop_class_uid, each.sop_instance_uid])
        outputs += [
            {"study": report.study_instance_uid, "series": uid, "instances": instances, "ae_title": pacs.ae_title,
             "url": pacs.stow_url}
            for uid, instances in series.items()
        ]  # fmt: skip
    return outputs


def _series_of(settings: Settings, path: str) -> str:
    try:
        header = dcmread(settings.storage.root / path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
    except (OSError, InvalidDicomError):
        return ""  # removed by hand: the PACS has it, and its series is not known any more
    return str(header.get("SeriesInstanceUID") or "")
