"""Actions at the pages as audit messages, and the routes for programs: metrics and health."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from config.addresses import is_loopback, is_within
from config.settings import Settings
from node.audit.codes import USER_ATTRIBUTES_CHANGED
from node.audit.metrics import Answer, live, metrics, ready
from node.audit.recorder import Audit
from node.ledger.database import Ledger
from node.ledger.tables import Case
from node.web.context import WebEvent

VIEWS = {"case_seen": "web case", "report_seen": "web report"}


def web_audit(audit: Audit, ledger: Ledger) -> Callable[[WebEvent], None]:
    """Return the function that writes an audit message for each event of the pages.

    Parameters
    ----------
    audit : Audit
        The audit trail.
    ledger : Ledger
        Where the Patient ID of a study is looked up.

    Returns
    -------
    callable
        Takes a `WebEvent`; the message about a study names its patient, too.
    """

    def write(event: WebEvent) -> None:
        user, address = event.user or "unknown", event.address
        match event.action:
            case "log_in" | "log_in_refused":
                reason = "too many tries" if event.action == "log_in_refused" else ""
                audit.authentication(user, address=address, success=event.success, reason=reason)
            case "log_out":
                audit.authentication(user, address=address, success=True, logout=True)
            case "denied":
                audit.security_alert("a page or an action was denied", user=user, address=address)
            case "users_changed":
                text = f"web users changed: {event.detail}" if event.detail else "web users changed"
                audit.security_alert(
                    text, user=user, address=address, kind=USER_ATTRIBUTES_CHANGED, success=event.success
                )
            case "facts_received":
                if event.success:
                    audit.patient_record(user, "web facts received", "", address)
                else:
                    audit.security_alert("facts posted without the token, or not usable", user=user, address=address)
            case _:
                # Looked up here, so that no view has to pass a patient's identifier around.
                study, patient_id = event.study_instance_uid, _patient_of(ledger, event.study_instance_uid)
                what, action = VIEWS.get(event.action, "web decision"), "R" if event.action in VIEWS else "U"
                audit.accessed(user, what, study or event.detail, patient_id, action=action, address=address)

    return write


def _patient_of(ledger: Ledger, study_instance_uid: str) -> str:
    if not study_instance_uid:
        return ""
    try:
        with ledger.read() as session:
            case = session.get(Case, study_instance_uid)
            return case.patient_id if case is not None else ""
    except SQLAlchemyError:
        return ""  # the page says that the ledger does not answer


def program_routes(ledger: Ledger, settings: Settings) -> list[BaseRoute]:
    """Return the routes for programs.

    Parameters
    ----------
    ledger : Ledger
        What metrics and readiness are read from.
    settings : Settings
        `[metrics] allowed_addresses`; without them, loopback only.

    Returns
    -------
    list of routes
        `/metrics` for the allowed addresses, `/health/live` and `/health/ready` for every address.
    """

    def allowed(request: Request) -> bool:
        address, networks = request.client.host if request.client else "", settings.metrics.allowed_addresses
        return is_within(address, networks) if networks else is_loopback(address)

    def route(path: str, read: Callable[[], Answer], open_to_all: bool) -> Route:
        async def endpoint(request: Request) -> Response:
            if not (open_to_all or allowed(request)):
                return Response("not one of [metrics] allowed_addresses\n", 403, media_type="text/plain")
            answer = await run_in_threadpool(read)
            return Response(answer.body, answer.status, media_type=answer.content_type)

        typed_endpoint: Callable[[Request], Awaitable[Response]] = endpoint
        return Route(path, typed_endpoint, methods=["GET"])

    return [
        route("/metrics", lambda: metrics(ledger, settings), False),
        route("/health/live", live, True),
        route("/health/ready", lambda: ready(ledger, settings), True),
    ]
