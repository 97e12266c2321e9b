"""One case: everything that is known about it, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from config.errors import InputError
from node.cases.series_roles import ROLES
from node.ledger.cases import get_case, history
from node.ledger.deliveries import deliveries_of
from node.ledger.facts import facts_of
from node.ledger.jobs import list_jobs_of
from node.ledger.reports import reports_of
from node.ledger.tables import Case, Report
from node.messaging.questions import PICTURE_TIMEOUT_S, NoAnswerError
from node.web.page_request import Visit
from node.web.pages import show
from node.web.views.tables import of_report
from node.web.views.work_list import result_of
from node.workflow.reprocessing import difference

SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"


def one_case(visit: Visit) -> Response:
    with visit.context.ledger.begin() as session:
        case = case_of(visit, session)
        reports = reports_of(session, case.study_instance_uid)
        deliveries = [(report, one) for report in reports for one in deliveries_of(session, report.id)]
        jobs = list_jobs_of(session, case.study_instance_uid)
        timeline = history(session, case.study_instance_uid)
        facts = facts_of(session, case.patient_id, case.issuer)
    current = reports[0] if reports else None
    visit.audit("case_seen", study=case.study_instance_uid)
    series = sorted(case.assessment.get("series", ()), key=_order_of)
    return show(
        visit, "case.html", case=case, current=current, result=current.result if current else None,
        advised=result_of(current.result) if current else None, rule=rule_of(visit, current.result) if current else "",
        tables=[of_report(one) for one in current.result["scenarios"]] if current else [], versions=_versions(reports),
        deliveries=deliveries, jobs=jobs, timeline=timeline, facts=facts, series=series, roles=ROLES,
        contour=case.assessment.get("contour") or {}, quality=case.assessment.get("quality") or [],
        retryable=next((job for job in jobs[:1] if job.state in ("failed", "cancelled")), None),
        drawable=bool(current and len(current.result["scenarios"]) == 1 and current.result["age_years"] is not None),
    )  # fmt: skip


def _order_of(series: Mapping[str, Any]) -> tuple[int, int]:
    """The three roles first, then what is in question, then the rest as it was scanned."""
    ranks = {role: at for at, role in enumerate((*ROLES, "ambiguous"))}
    number = str(series.get("series_number"))
    return ranks.get(series["role"], len(ranks)), int(number) if number.isdigit() else 0


def _versions(reports: list[Report]) -> list[dict[str, Any]]:
    """Every version, the newest first, with what differs from the one before it."""
    found: list[dict[str, Any]] = [
        {"report": report, "differs": difference(before.result, report.result)} for report, before in pairwise(reports)
    ]
    return [*found, *({"report": first, "differs": None} for first in reports[-1:])]


def rule_of(visit: Visit, result: Mapping[str, Any]) -> str:
    """How the recommendation follows from the numbers, as the report says it."""
    threshold = float(result["model"]["threshold"])
    limit = f"{threshold * 100:.2f}".rstrip("0").rstrip(".")
    horizon = visit.words.horizon(int(result["model"]["horizon_months"]))
    return visit.words("rule" if threshold == 0 else "rule_threshold", horizon=horizon, threshold=limit)


def case_of(visit: Visit, session: Session) -> Case:
    """The case that the path names. Raises HTTPException 404."""
    try:
        return get_case(session, visit.path["study"])
    except InputError as error:
        raise HTTPException(404, visit.words("not_found")) from error


def one_series(visit: Visit) -> Response:
    """A series slice by slice."""
    with visit.context.ledger.begin() as session:
        case = case_of(visit, session)
    series = next(
        (s for s in case.assessment.get("series", ()) if s["series_instance_uid"] == visit.path["series"]), None
    )
    if series is None:
        raise HTTPException(404, visit.words("not_found"))
    contour = visit.asked("contour", "1") != "0"
    try:
        found, trouble = _picture(visit, _index(visit), contour), ""
    except (NoAnswerError, InputError) as error:
        found, trouble = None, str(error)
    visit.audit("case_seen", study=case.study_instance_uid)
    return show(visit, "series.html", case=case, one=series, found=found, trouble=trouble, contour=contour)


def series_picture(visit: Visit) -> Response:
    """PNG of one slice; query: slice, contour=0."""
    found = _picture(visit, _index(visit), visit.asked("contour", "1") != "0")
    return _file(visit, found["path"])


def _picture(visit: Visit, index: int | None, contour: bool) -> dict[str, Any]:
    found: dict[str, Any] = visit.context.answers.ask(
        "series",
        {"study": visit.path["study"], "series": visit.path["series"], "index": index, "contour": contour},
        PICTURE_TIMEOUT_S,
    )
    return found


def _index(visit: Visit) -> int | None:
    text = visit.asked("slice")
    return int(text) if text.isdigit() and len(text) < 7 else None


def report_page(visit: Visit) -> Response:
    """PNG of the page of one version."""
    with visit.context.ledger.begin() as session:
        report = _report_of(visit, session)
    found = visit.context.answers.ask("page", {"report_id": report.id}, PICTURE_TIMEOUT_S)
    visit.audit("report_seen", study=report.study_instance_uid)
    return _file(visit, found["path"])


def case_nomogram(visit: Visit) -> Response:
    """SVG of the nomogram with the patient of one version; query: style."""
    with visit.context.ledger.begin() as session:
        result = _report_of(visit, session).result
    if not result["scores"] or len(result["scenarios"]) != 1 or result["age_years"] is None:
        raise HTTPException(404, visit.words("not_found"))
    ebv = result["ebv_dna"]
    above = ebv["category"] == ">threshold"
    limit = f"{ebv['threshold_copies_per_ml']:g}"
    values = {
        "age_years": result["age_years"],
        "ebv_dna": f">{limit}" if above else f"<{limit}",
        "prognostic_score": result["scores"]["prognostic_score"],
        "predictive_score": result["scores"]["predictive_score"],
    }
    return drawing(visit, values)


def drawing(visit: Visit, values: Mapping[str, Any]) -> Response:
    """The worker's SVG in the style and language that the visit asks for."""
    style = visit.asked("style", "light")
    wanted = {**values, "style": style if style in ("light", "dark") else "light", "language": visit.words.language}
    svg = visit.context.answers.ask("drawing", wanted, PICTURE_TIMEOUT_S)["svg"]
    return Response(svg, media_type="image/svg+xml", headers={"Content-Security-Policy": SVG_POLICY})


def _report_of(visit: Visit, session: Session) -> Report:
    case = case_of(visit, session)
    for report in reports_of(session, case.study_instance_uid):
        if str(report.revision) == visit.path["revision"]:
            return report
    raise HTTPException(404, visit.words("not_found"))


def _file(visit: Visit, relative: str) -> Response:
    return FileResponse(visit.context.store.path(relative), media_type="image/png")
