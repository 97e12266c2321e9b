"""The endpoint of `[fhir] receive`: clinical facts as FHIR R4 resources, which node/clinical/fhir.py reads.

    POST /fhir                  a Bundle, Observation or Condition
    POST /fhir/Observation      (or /Condition) the same

The response is an OperationOutcome: 200 recorded, 422 not usable, 400 not JSON, 401 without the token, 415 another
content type, 503 when the ledger does not answer.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from config.errors import CptdnError
from node.clinical.fhir import record_document
from node.web.context import WebContext, WebEvent

FHIR_JSON = "application/fhir+json"
ACCEPTED_TYPES = (FHIR_JSON, "application/json")
log = structlog.get_logger("cptdn.web")


def fhir_endpoint(context: WebContext) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of `POST /fhir`.

    It has no form token. A content type of JSON is required instead: a web site cannot send it from the browser of a
    user without a preflight request, and none is answered.

    Parameters
    ----------
    context : WebContext
        `[fhir] receive_token` is the bearer token; without it only loopback serves this endpoint (`check_exposure`).

    Returns
    -------
    callable
        An endpoint for Starlette.
    """

    async def endpoint(request: Request) -> Response:
        address = request.client.host if request.client else ""
        token = context.settings.fhir.receive_token
        credentials = request.headers.get("authorization", "").removeprefix("Bearer ")
        # The token before anything of the body is read.
        if token is not None and not hmac.compare_digest(credentials.encode(), token.encode()):
            context.audit(WebEvent("facts_received", "FHIR", address, success=False))
            return _outcome(401, "login", "expected the configured bearer token", {"WWW-Authenticate": "Bearer"})
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in ACCEPTED_TYPES:
            return _outcome(415, "not-supported", f"expected {FHIR_JSON}, found {kind or 'no content type'}")
        try:
            document = json.loads(await request.body())
        except (ValueError, RecursionError) as error:
            return _outcome(400, "structure", f"the body is not JSON: {type(error).__name__}")
        if not isinstance(document, dict):
            return _outcome(400, "structure", f"expected a JSON object, found {type(document).__name__}")
        return await run_in_threadpool(_record, context, document, address)

    return endpoint


def _record(context: WebContext, document: dict[str, Any], address: str) -> Response:
    try:
        result = record_document(document, context.ledger, context.settings)
    except SQLAlchemyError as error:
        log.error("ledger_failed", error=type(error).__name__)
        return _outcome(503, "transient", "the ledger does not answer now; send it again")
    except CptdnError as error:
        return _outcome(422, "processing", str(error))
    context.audit(WebEvent("facts_received", "FHIR", address, success=not result.problems))
    return JSONResponse(result.operation_outcome(), 422 if result.problems else 200, media_type=FHIR_JSON)


def _outcome(status: int, code: str, text: str, headers: dict[str, str] | None = None) -> Response:
    issue = {"severity": "error", "code": code, "diagnostics": text}
    document = {"resourceType": "OperationOutcome", "issue": [issue]}
    return JSONResponse(document, status, headers=headers, media_type=FHIR_JSON)
