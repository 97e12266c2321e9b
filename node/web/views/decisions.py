"""Forms of a case: each calls the function of `node.workflow` that its command calls, with the user's name."""

from __future__ import annotations

from sqlalchemy.orm import Session
from starlette.responses import Response

from config.entered_sources import WEB_PAGE
from config.errors import InputError
from config.messages.message import message, render, sentences
from node.cases.dates import parse_date
from node.cases.series_roles import ROLES
from node.clinical import entries as facts
from node.clinical.entries import FactEntry
from node.ledger.deliveries import get_delivery
from node.ledger.jobs import get_job
from node.ledger.reports import subject_of
from node.web.page_request import PageRequest, redirect
from node.web.views.case import case_of
from node.workflow import decisions
from node.workflow.reprocessing import Reprocessor
from node.workflow.withdrawal import withdraw_study

MAX_TEXT_LENGTH = 500


def assign(request: PageRequest) -> Response:
    """Assign series to roles. Fields: role_<ROLE> with a series UID, or empty to leave the role as it is.

    Parameters
    ----------
    request : PageRequest
        Its path has the parameter `study`.

    Returns
    -------
    Response
        To the page of the case.

    Raises
    ------
    InputError
        When no role is chosen, or the study has no such series.
    """
    fields: dict[str, str] = {role: request.form_value(f"role_{role}") for role in ROLES}
    chosen = {role: series for role, series in fields.items() if series}
    if not chosen:
        raise InputError(request.translations("nothing_entered"))
    with request.context.ledger.begin() as session:
        study = case_of(request, session).study_instance_uid
        decisions.assign_roles(session, study, chosen, request.user)
    return _done(request, "flash_assigned")


def assign_issuer(request: PageRequest) -> Response:
    """Say which issuer the Patient ID is of. Field: issuer, as recorded with a fact of the patient.

    Parameters
    ----------
    request : PageRequest
        Its path has the parameter `study`.

    Returns
    -------
    Response
        To the page of the case.

    Raises
    ------
    InputError
        When nothing is chosen, the images name another issuer, or no fact of the patient comes from this one.
    """
    issuer = _entered(request, "issuer")
    with request.context.ledger.begin() as session:
        decisions.assign_issuer(session, case_of(request, session).study_instance_uid, issuer, request.user)
    return _done(request, "flash_assigned")


def hold(request: PageRequest) -> Response:
    """Hold the study. Field: because."""
    because = _entered(request, "because")
    _set_hold(request, because)
    return _done(request, "flash_held")


def release(request: PageRequest) -> Response:
    """Release the study."""
    _set_hold(request, None)
    return _done(request, "flash_released")


def _set_hold(request: PageRequest, because: str | None) -> None:
    with request.context.ledger.begin() as session:
        decisions.set_hold(session, case_of(request, session).study_instance_uid, because, request.user)


def withdraw(request: PageRequest) -> Response:
    """Withdraw the current answer of the study in every channel. Field: because.

    Parameters
    ----------
    request : PageRequest
        Its path has the parameter `study`.

    Returns
    -------
    Response
        To the page of the case.

    Raises
    ------
    InputError
        When no reason is entered, or the study has no current answer.
    """
    because = _entered(request, "because")
    with request.context.ledger.begin() as session:
        withdraw_study(session, case_of(request, session).study_instance_uid, because, request.user)
    return _done(request, "flash_withdrawn")


def confirm(request: PageRequest) -> Response:
    """Answer a question about the study. Fields: code, because.

    Parameters
    ----------
    request : PageRequest
        Its path has the parameter `study`.

    Returns
    -------
    Response
        To the page of the case.

    Raises
    ------
    InputError
        When no reason is entered, or the study does not have the question.
    """
    because = _entered(request, "because")
    with request.context.ledger.begin() as session:
        study = case_of(request, session).study_instance_uid
        decisions.confirm(session, study, request.form_value("code"), because, request.user)
    return _done(request, "flash_confirmed")


def dismiss_quarantined(request: PageRequest) -> Response:
    """Dismiss the quarantined files that the case names. Field: because."""
    because = _entered(request, "because")
    with request.context.ledger.begin() as session:
        study = case_of(request, session).study_instance_uid
        n_files = decisions.dismiss_quarantined(session, study, because, request.user)
    return _done(request, "flash_dismissed", n=n_files)


def set_facts(request: PageRequest) -> Response:
    """Record clinical facts.

    Fields, each may be empty: ebv_dna, drawn_on, diagnosis, stage, staged_on, birth_date, treatment_start.

    Parameters
    ----------
    request : PageRequest
        Its path has the parameter `study`.

    Returns
    -------
    Response
        To the page of the case, with the number of new facts.

    Raises
    ------
    InputError
        When nothing is entered, or a value cannot be used; then none of them is recorded.
    """
    entered = _entries(request)
    if not entered:
        raise InputError(request.translations("nothing_entered"))
    with request.context.ledger.begin() as session:
        study = case_of(request, session).study_instance_uid
        new = decisions.set_facts(session, study, entered, WEB_PAGE, request.user)
    return _done(request, "flash_facts" if new else "flash_nothing_new", n=new)


def _entries(request: PageRequest) -> list[FactEntry]:
    """Return the facts that were entered, validated as by the command. Raises InputError."""
    settings, entries = request.context.settings, []
    if text := request.form_value("ebv_dna"):
        drawn = request.form_value("drawn_on")
        day = parse_date(drawn, message("date.draw")) if drawn else None
        entries.append(facts.ebv_entry(settings, text[:MAX_TEXT_LENGTH], drawn_on=day))
    if text := request.form_value("diagnosis"):
        entries.append(facts.diagnosis_entry(text[:MAX_TEXT_LENGTH]))
    if text := request.form_value("stage"):
        staged = request.form_value("staged_on")
        day = parse_date(staged, message("date.staging")) if staged else None
        entries.append(facts.stage_entry(settings, text[:MAX_TEXT_LENGTH], staged_on=day))
    if text := request.form_value("birth_date"):
        entries.append(facts.birth_date_entry(text))
    if text := request.form_value("treatment_start"):
        entries.append(facts.treatment_start_entry(text))
    return entries


def reprocess(request: PageRequest) -> Response:
    """Queue the study again with the configured bundle, unless nothing would change."""
    settings = request.context.settings
    with request.context.ledger.begin() as session:
        study = case_of(request, session).study_instance_uid
    reprocessor = Reprocessor(request.context.ledger, settings, settings.model.bundle, by=request.user)
    outcome = reprocessor.start(study)
    if outcome.kind == "not_ready":
        why = sentences(reason["text"] for reason in outcome.reasons)
        return _done(request, "flash_not_ready", state=render(why, request.translations.language))
    return _done(request, "flash_unchanged" if outcome.kind == "unchanged" else "flash_queued")


def retry_job(request: PageRequest) -> Response:
    """Queue a failed job again. Field: next, the page to return to (the case, or the list of failures)."""
    with request.context.ledger.begin() as session:
        study = _study_of_job(session, request.path["job"])
        decisions.retry_job(session, request.path["job"], request.user)
    request.audit("decision", study=study)
    return redirect(request, request.form_value("next"), request.translations("flash_retry"))


def _study_of_job(session: Session, job_id: str) -> str:
    return get_job(session, job_id).study_instance_uid


def retry_delivery(request: PageRequest) -> Response:
    """Try a delivery again now. Field: next, the page to return to."""
    number = request.path["delivery"]
    with request.context.ledger.begin() as session:
        decisions.retry_delivery(session, int(number), request.user)
        study, _ = subject_of(session, get_delivery(session, int(number)).report_id)
    request.audit("decision", study=study)
    return redirect(request, request.form_value("next"), request.translations("flash_retry"))


def _entered(request: PageRequest, field: str) -> str:
    """Return the text of a field; raises InputError where it is empty."""
    # Cut and not refused: the history has room for a sentence, not for a document.
    text = request.form_value(field)[:MAX_TEXT_LENGTH]
    if not text:
        raise InputError(request.translations("nothing_entered"))
    return text


def _done(request: PageRequest, flash: str, **values: object) -> Response:
    study = request.path["study"]
    request.audit("decision", study=study)
    return redirect(request, f"/cases/{study}", request.translations(flash, **values))
