"""One case: its page, its series slice by slice, and its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from config.errors import InputError
from config.messages.message import render
from config.messages.stored import rendered
from config.messages.template import Language
from config.severities import severity_of
from node.cases.confirmations import CONFIRMABLE
from node.cases.series_roles import ROLES
from node.ledger.cases import get_case, history
from node.ledger.deliveries import deliveries_of
from node.ledger.discarded import discarded_of_study
from node.ledger.facts import facts_of
from node.ledger.instances import quarantined_json
from node.ledger.jobs import list_jobs_of
from node.ledger.reports import reports_of
from node.ledger.tables import Case, Report
from node.messaging.questions import PICTURE_TIMEOUT_S, NoAnswerError
from node.web.answer_texts import answer_of
from node.web.page_request import PageRequest
from node.web.pages import render_page
from node.web.views.rate_tables import rates_of_report
from node.workflow.reprocessing import difference
from node.workflow.withdrawal import withdrawal_of

SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"


def case_page(request: PageRequest) -> Response:
    """Render the page of a case; it is recorded in the audit trail that the user saw it.

    Parameters
    ----------
    request : PageRequest
        Its path has the parameter `study`.

    Returns
    -------
    Response
        With every version, delivery and line of history.

    Raises
    ------
    HTTPException
        404 when the study is unknown.
    """
    with request.context.ledger.read() as session:
        case = case_of(request, session)
        reports = reports_of(session, case.study_instance_uid)
        deliveries = [(report, delivery) for report in reports for delivery in deliveries_of(session, report.id)]
        jobs = list_jobs_of(session, case.study_instance_uid)
        timeline = history(session, case.study_instance_uid)
        facts = facts_of(session, case.patient_id, case.issuer)
        quarantined = quarantined_json(session, case)
        discarded = discarded_of_study(session, case.study_instance_uid)
    current = reports[0] if reports else None
    language = request.translations.language
    assessment, result = rendered(case.assessment, language), rendered(current.result, language) if current else None
    # Before the page is rendered: what was read from the ledger counts as seen, even when rendering fails.
    request.audit("case_seen", study=case.study_instance_uid)
    quality = assessment.get("quality") or []
    series = sorted(map(_shown_series, assessment.get("series", ())), key=_rank_of)
    return render_page(
        request, "case.html", case=case, current=current, result=result, assessment=assessment,
        reasons=rendered(case.reasons, language),
        advised=answer_of(current.result, language) if current else None,
        noted=_by_severity((*result["warnings"], *result["quality"]) if result else quality),
        tables=[rates_of_report(scenario) for scenario in result["scenarios"]] if result else [],
        versions=_versions(reports), withdrawn=_in(withdrawal_of(case, current), language),
        quarantined=quarantined, discarded=discarded,
        deliveries=deliveries, jobs=jobs, timeline=rendered(timeline, language), facts=facts, series=series,
        roles=ROLES,
        contour=assessment.get("contour") or {},
        confirmable=CONFIRMABLE, issuers=facts.issuers if not case.issuer and len(facts.issuers) > 1 else (),
        retryable=next((job for job in jobs[:1] if job.state in ("failed", "cancelled")), None),
        drawable=bool(result and len(result["scenarios"]) == 1 and result["age_years"] is not None),
    )  # fmt: skip


def _in(said: Mapping[str, str] | None, language: Language) -> dict[str, str] | None:
    return None if said is None else {name: render(text, language) for name, text in said.items()}


def key_of(series: Mapping[str, Any]) -> str:
    """Return what names an explained series or volume; an assessment of an earlier version has series only."""
    return str(series.get("key") or series["series_instance_uid"])


def _shown_series(series: Mapping[str, Any]) -> dict[str, Any]:
    """Return an explained series with all keys that the page reads."""
    return {"volume": "", "other_part": "", **series, "key": key_of(series)}


def _rank_of(series: Mapping[str, Any]) -> tuple[int, int]:
    """Return the key that sorts the three roles first, then ambiguous series, then the others as they were scanned."""
    ranks = {role: rank for rank, role in enumerate((*ROLES, "ambiguous"))}
    number = str(series.get("series_number"))
    return ranks.get(series["role"], len(ranks)), int(number) if number.isdigit() else 0


def _versions(reports: list[Report]) -> list[dict[str, Any]]:
    """Return every version, the newest first, with what differs from the version before it."""
    versions: list[dict[str, Any]] = [
        {"report": report, "differs": difference(before.result, report.result)} for report, before in pairwise(reports)
    ]
    return [*versions, *({"report": first, "differs": None} for first in reports[-1:])]


def _by_severity(findings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return warnings and findings, the gravest first: those of a case without a report have no order of their own."""
    return sorted(findings, key=lambda finding: severity_of(finding["code"]).rank)


def case_of(request: PageRequest, session: Session) -> Case:
    """Return the case that the path names.

    Parameters
    ----------
    request : PageRequest
        Its path has the parameter `study`.
    session : Session
        An open transaction.

    Raises
    ------
    HTTPException
        404 when the study is unknown.
    """
    try:
        return get_case(session, request.path["study"])
    except InputError as error:
        raise HTTPException(404, request.translations("not_found")) from error


def series_page(request: PageRequest) -> Response:
    """Render one slice of a series. Query: slice (index from 0; default: chosen by the worker), contour=0.

    Parameters
    ----------
    request : PageRequest
        Its path has the parameters `study` and `series`.

    Returns
    -------
    Response
        With a sentence instead of the picture when no worker answers.

    Raises
    ------
    HTTPException
        404 when the study or the series is unknown.
    """
    with request.context.ledger.read() as session:
        case = case_of(request, session)
    series = next((s for s in case.assessment.get("series", ()) if key_of(s) == request.path["series"]), None)
    if series is None:
        raise HTTPException(404, request.translations("not_found"))
    contour = request.query_value("contour", "1") != "0"
    try:
        picture, trouble = _picture(request, _slice_index(request), contour), ""
    except (NoAnswerError, InputError) as error:
        picture, trouble = None, request.translations.error(error)
    request.audit("case_seen", study=case.study_instance_uid)
    return render_page(
        request,
        "series.html",
        case=case,
        one=rendered(series, request.translations.language),
        key=key_of(series),
        found=picture,
        trouble=trouble,
        contour=contour,
    )


def series_picture(request: PageRequest) -> Response:
    """Return a PNG of one slice. Query: as of `series_page`."""
    picture = _picture(request, _slice_index(request), request.query_value("contour", "1") != "0")
    return _png(request, picture["path"])


def _picture(request: PageRequest, index: int | None, contour: bool) -> dict[str, Any]:
    picture: dict[str, Any] = request.context.answers.ask(
        "series",
        {"study": request.path["study"], "series": request.path["series"], "index": index, "contour": contour},
        PICTURE_TIMEOUT_S,
    )
    return picture


def _slice_index(request: PageRequest) -> int | None:
    text = request.query_value("slice")
    # At most six digits: int() of a very long text takes time that grows with its square.
    return int(text) if text.isdigit() and len(text) < 7 else None


def report_page(request: PageRequest) -> Response:
    """Return a PNG of the report page of one version.

    Parameters
    ----------
    request : PageRequest
        Its path has the parameters `study` and `revision`.

    Returns
    -------
    Response
        PNG, which a worker has drawn.

    Raises
    ------
    HTTPException
        404 when there is no such version.
    NoAnswerError
        When no worker answers.
    """
    with request.context.ledger.read() as session:
        report = _report_of(request, session)
    picture = request.context.answers.ask("page", {"report_id": report.id}, PICTURE_TIMEOUT_S)
    request.audit("report_seen", study=report.study_instance_uid)
    return _png(request, picture["path"])


def case_nomogram(request: PageRequest) -> Response:
    """Return an SVG of the nomogram with the patient of one version. Query: style=light or dark.

    Raises
    ------
    HTTPException
        404 when the version has no single set of numbers to draw: it was refused, or its EBV DNA is unknown.
    """
    with request.context.ledger.read() as session:
        result = _report_of(request, session).result
    # Two scenarios (EBV DNA unknown) have two sets of points, and one drawing shows one.
    if not result["scores"] or len(result["scenarios"]) != 1 or result["age_years"] is None:
        raise HTTPException(404, request.translations("not_found"))
    ebv = result["ebv_dna"]
    above = ebv["category"] == ">threshold"
    limit = f"{ebv['threshold_copies_per_ml']:g}"
    values = {
        "age_years": result["age_years"],
        # The category and not the number: the nomogram has only the two sides of the threshold.
        "ebv_dna": f">{limit}" if above else f"<{limit}",
        "prognostic_score": result["scores"]["prognostic_score"],
        "predictive_score": result["scores"]["predictive_score"],
    }
    return nomogram_drawing(request, values)


def nomogram_drawing(request: PageRequest, values: Mapping[str, Any]) -> Response:
    """Ask a worker for the drawing of the nomogram with one patient.

    Parameters
    ----------
    request : PageRequest
        Its query has the style, its translations have the language.
    values : mapping
        age_years, ebv_dna (text, copies/mL), prognostic_score, predictive_score.

    Returns
    -------
    Response
        SVG with a policy of its own: styles inside the drawing are allowed, scripts are not.

    Raises
    ------
    NoAnswerError
        When no worker answers.
    InputError
        When a value cannot be used.
    """
    style = request.query_value("style", "light")
    question = {
        **values,
        "style": style if style in ("light", "dark") else "light",
        "language": request.translations.language,
    }
    svg = request.context.answers.ask("drawing", question, PICTURE_TIMEOUT_S)["svg"]
    return Response(svg, media_type="image/svg+xml", headers={"Content-Security-Policy": SVG_POLICY})


def _report_of(request: PageRequest, session: Session) -> Report:
    case = case_of(request, session)
    for report in reports_of(session, case.study_instance_uid):
        if str(report.revision) == request.path["revision"]:
            return report
    raise HTTPException(404, request.translations("not_found"))


def _png(request: PageRequest, relative: str) -> Response:
    # The worker names the file; `path` refuses one outside the storage root.
    return FileResponse(request.context.store.path(relative), media_type="image/png")
