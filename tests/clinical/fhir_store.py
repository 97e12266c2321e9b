"""A small FHIR R4 server: transactions with conditional create and update, versions, ETags, search by identifier.

Behaviour by the specification (FHIR R4, http.html: transaction, conditional create, conditional update, "managing
resource contention"); written without a look at the client.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Resource = dict[str, Any]
KEPT = "kept "


class Refusal(Exception):  # noqa: N818
    def __init__(self, status: int, diagnostics: str) -> None:
        super().__init__(diagnostics)
        self.status, self.diagnostics = status, diagnostics


class FhirStore:
    """Every version of every resource; `fail_next` the statuses of the next answers, 0 for one that succeeds."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], list[Resource]] = {}
        self.transactions: list[Resource] = []
        self.fail_next: list[int] = []
        self.before_transaction: Callable[[], None] | None = None
        self._next = 0
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                store._answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self) -> None:
                store._answer(self, None)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/r4"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- what tests read ---

    def current(self, kind: str) -> list[Resource]:
        return [versions[-1] for (each, _), versions in self.versions.items() if each == kind]

    def write(self, resource: Resource) -> Resource:
        """Store a new version, as another client of the server would."""
        kind, number = resource["resourceType"], resource["id"]
        versions = self.versions.setdefault((kind, number), [])
        written = {**resource, "id": number, "meta": {"versionId": str(len(versions) + 1)}}
        versions.append(written)
        return written

    # --- HTTP ---

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes | None) -> None:
        try:
            if self.fail_next and (status := self.fail_next.pop(0)):
                raise Refusal(status, "no")
            status, document = 200, self._search(handler.path) if body is None else self._transaction(json.loads(body))
        except Refusal as refusal:
            issue = {"severity": "error", "code": "processing", "diagnostics": refusal.diagnostics}
            status, document = refusal.status, {"resourceType": "OperationOutcome", "issue": [issue]}
        data = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/fhir+json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _search(self, path: str) -> Resource:
        parts = urlsplit(path)
        found = self._matching(parts.path.rsplit("/", 1)[1], parse_qs(parts.query)["identifier"][0])
        return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": each} for each in found]}

    def _matching(self, kind: str, tokens: str) -> list[Resource]:
        wanted = {tuple(token.split("|", 1)) for token in tokens.split(",")}
        return [
            each
            for each in self.current(kind)
            if wanted & {(one.get("system", ""), one["value"]) for one in each.get("identifier", ())}
        ]

    def _transaction(self, bundle: Resource) -> Resource:
        if self.before_transaction is not None:
            self.before_transaction()
        plan = [self._planned(entry) for entry in bundle["entry"]]  # first all conditions, then all writes
        self.transactions.append(bundle)
        references: dict[str, str] = {}
        for entry, number in zip(bundle["entry"], plan, strict=True):
            self._next += number is None
            known = str(self._next) if number is None else number.removeprefix(KEPT)
            references[entry["fullUrl"]] = f"{entry['resource']['resourceType']}/{known}"
        for entry, number in zip(bundle["entry"], plan, strict=True):
            if number is not None and number.startswith(KEPT):
                continue
            text = json.dumps(entry["resource"])
            for url, reference in references.items():
                text = text.replace(url, reference)
            self.write({**json.loads(text), "id": references[entry["fullUrl"]].split("/")[1]})
        return {"resourceType": "Bundle", "type": "transaction-response"}

    def _planned(self, entry: Resource) -> str | None:
        """The id that an entry writes; None for a new one, and `KEPT` with the id where nothing is written."""
        request, kind = entry["request"], entry["resource"]["resourceType"]
        if request["method"] == "POST":
            found = self._matching(kind, request["ifNoneExist"].split("identifier=", 1)[1])
            return f"{KEPT}{found[0]['id']}" if found else None
        if "?" in request["url"]:
            found = self._matching(kind, unquote(request["url"].split("identifier=", 1)[1]))
            if len(found) > 1:
                raise Refusal(412, "multiple matches")
            return found[0]["id"] if found else None
        number = request["url"].split("/")[1]
        version = self.versions[kind, number][-1]["meta"]["versionId"]
        if request.get("ifMatch", f'W/"{version}"') != f'W/"{version}"':
            raise Refusal(412, f"expected version {version}")
        return str(number)
