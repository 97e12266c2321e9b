"""Forms of a case: each calls the same function as the command of its name, with the user's name."""

from __future__ import annotations

from sqlalchemy.orm import Session
from starlette.responses import Response

from config.errors import InputError
from node.cases.dates import parse_date
from node.cases.series_roles import ROLES
from node.clinical import entries as facts
from node.clinical.entries import FactEntry
from node.ledger.deliveries import get_delivery
from node.ledger.jobs import get_job
from node.ledger.reports import subject_of
from node.web.page_request import Visit, back
from node.web.views.one_case import case_of
from node.workflow import decisions
from node.workflow.reprocessing import Reprocessor

SOURCE = "web page"
LONGEST_TEXT = 500


def assign(visit: Visit) -> Response:
    """Fields role_<ROLE>: a series UID, or empty for what the rules say."""
    given: dict[str, str] = {role: visit.given(f"role_{role}") for role in ROLES}
    chosen = {role: series for role, series in given.items() if series}
    if not chosen:
        raise InputError(visit.words("nothing_given"))
    with visit.context.ledger.begin() as session:
        study = case_of(visit, session).study_instance_uid
        decisions.assign_roles(session, study, chosen, visit.user)
    return _done(visit, "said_assigned")


def hold(visit: Visit) -> Response:
    because = visit.given("because")[:LONGEST_TEXT]
    if not because:
        raise InputError(visit.words("nothing_given"))
    _set_hold(visit, because)
    return _done(visit, "said_held")


def release(visit: Visit) -> Response:
    _set_hold(visit, None)
    return _done(visit, "said_released")


def _set_hold(visit: Visit, because: str | None) -> None:
    with visit.context.ledger.begin() as session:
        decisions.set_hold(session, case_of(visit, session).study_instance_uid, because, visit.user)


def set_facts(visit: Visit) -> Response:
    entered = _entries(visit)
    if not entered:
        raise InputError(visit.words("nothing_given"))
    with visit.context.ledger.begin() as session:
        study = case_of(visit, session).study_instance_uid
        new = decisions.set_facts(session, study, entered, SOURCE, visit.user)
    return _done(visit, "said_facts" if new else "said_nothing_new", n=new)


def _entries(visit: Visit) -> list[FactEntry]:
    """What was entered, checked as the command checks it. Raises InputError."""
    settings, found = visit.context.settings, []
    if text := visit.given("ebv_dna"):
        drawn = visit.given("drawn_on")
        day = parse_date(drawn, "date of the draw") if drawn else None
        found.append(facts.ebv_entry(settings, text[:LONGEST_TEXT], drawn_on=day))
    if text := visit.given("stage"):
        found.append(facts.stage_entry(settings, text[:LONGEST_TEXT]))
    if text := visit.given("birth_date"):
        found.append(facts.birth_date_entry(text))
    if text := visit.given("treatment_start"):
        found.append(facts.treatment_start_entry(text))
    return found


def reprocess(visit: Visit) -> Response:
    """Queue the study again with the configured bundle, unless nothing would change."""
    settings = visit.context.settings
    with visit.context.ledger.begin() as session:
        study = case_of(visit, session).study_instance_uid
    again = Reprocessor(visit.context.ledger, settings, settings.model.bundle, by=visit.user)
    outcome = again.start(study)
    if outcome.kind == "not_ready":
        return _done(visit, "said_not_ready", state=" ".join(reason["text"] for reason in outcome.reasons))
    return _done(visit, "said_unchanged" if outcome.kind == "unchanged" else "said_queued")


def retry_job(visit: Visit) -> Response:
    """From the case or from the list of failures."""
    with visit.context.ledger.begin() as session:
        study = _study_of_job(session, visit.path["job"])
        decisions.retry_job(session, visit.path["job"], visit.user)
    visit.audit("decision", study=study)
    return back(visit, visit.given("next"), visit.words("said_retry"))


def _study_of_job(session: Session, job_id: str) -> str:
    return get_job(session, job_id).study_instance_uid


def retry_delivery(visit: Visit) -> Response:
    number = visit.path["delivery"]
    with visit.context.ledger.begin() as session:
        decisions.retry_delivery(session, int(number), visit.user)
        study, _ = subject_of(session, get_delivery(session, int(number)).report_id)
    visit.audit("decision", study=study)
    return back(visit, visit.given("next"), visit.words("said_retry"))


def _done(visit: Visit, said: str, **values: object) -> Response:
    study = visit.path["study"]
    visit.audit("decision", study=study)
    return back(visit, f"/cases/{study}", visit.words(said, **values))
