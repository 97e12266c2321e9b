"""Retrieve what a case is missing from a PACS: query, choose by headers, retrieve, record.

    content is missing --request_missing--> waiting --find_series, choose_series, retrieve--> waiting, with longer waits
                                               |--nothing is missing--> idle      |--too long--> given_up

Only the study of the case and contours of its patient are queried. A series that was retrieved and did not help is not
retrieved again. What arrives passes the same checks as everything that a PACS sends by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from config.errors import PacsUnavailableError, SettingsError
from config.messages.message import message
from config.settings import PacsSettings, Settings
from node.audit.recorder import open_audit
from node.cases.retrieval_choice import PacsSeries, SeriesRequest, choose_series, modalities_of_other_studies
from node.dicom.dicomweb.arrivals import Door
from node.dicom.query.patient_query import PatientKey
from node.dicom.query.qido_client import search_series
from node.dicom.query.query_scu import FIND, find_series
from node.dicom.query.retrieve_scu import RetrievalOutcome, retrieve
from node.dicom.query.wado_client import WadoOutcome, retrieve_by_wado
from node.dicom.scp.intake import Intake
from node.dicom.scp.senders import Sender
from node.dicom.scp.store_messages import store_response
from node.ledger import fetches
from node.ledger.associations import Peer, open_on_study
from node.ledger.backoff import backoff_s
from node.ledger.cases import get_case, record
from node.ledger.database import Ledger, now_utc
from node.ledger.instances import count_by_series, instances_of_study
from node.ledger.tables import Case, Fetch
from node.store.part10 import FileMeta

ACTOR = "node"
STILL_ARRIVING_S = 5.0
STATES_WITH_GAPS = ("incomplete", "held")

log = structlog.get_logger("cptdn.retrieval")


def queryable_pacs(settings: Settings) -> tuple[PacsSettings, ...]:
    """Return the configured PACS that may be queried (`query_retrieve = true`)."""
    return tuple(pacs for pacs in settings.pacs if pacs.query_retrieve)


@dataclass(frozen=True)
class _Request:
    """One claimed request to one PACS, read under the lease. `stored` counts the stored instances of each series."""

    study_instance_uid: str
    pacs: PacsSettings
    missing: tuple[str, ...]
    patient: PatientKey
    stored: dict[str, int]
    fetched: dict[str, Any]


class Retrieval:
    """Answers requests for missing content; several nodes may run one at the same time.

    Parameters
    ----------
    ledger : Ledger
        Where the requests are.
    settings : Settings
        Those PACS are queried that have `query_retrieve = true`.
    intake : Intake
        Checks and stores what arrives.
    owner : str
        Id of this process in the ledger, so that a request of a process that died is taken over.
    """

    def __init__(self, ledger: Ledger, settings: Settings, intake: Intake, owner: str) -> None:
        self.ledger, self.settings, self.intake, self.owner = ledger, settings, intake, owner
        self.pacs = {pacs.name: pacs for pacs in queryable_pacs(settings)}
        self._audit = open_audit(settings, "node")

    def run_due(self) -> int:
        """Answer every request that is due, and return their number.

        Returns
        -------
        int
            Number of requests, those that found nothing or failed included.
        """
        n_requests = 0
        while (request := self._claim()) is not None:
            self._run(request)
            n_requests += 1
        return n_requests

    def seconds_to_next(self, longest: float) -> float:
        """Return the seconds until the next request is due, at most `longest`."""
        with self.ledger.begin() as session:
            soonest = fetches.next_due(session)
        return longest if soonest is None else min(longest, max(0.1, (soonest - now_utc()).total_seconds()))

    def _claim(self) -> _Request | None:
        with self.ledger.begin() as session:
            row = fetches.claim_due(session, self.owner, self.pacs)
            if row is None:
                return None
            study = row.study_instance_uid
            case = get_case(session, study)
            # While the study arrives by itself, retrieving would bring the same objects twice.
            has_gaps = case.state in STATES_WITH_GAPS and not open_on_study(session, study)
            return _Request(
                study, self.pacs[row.pacs], tuple(row.missing) if has_gaps else (),
                _patient_of(session, case), count_by_series(session, study, case.patient_id),
                dict(row.fetched),
            )  # fmt: skip

    def _run(self, request: _Request) -> None:
        if not request.missing:  # something arrives or is computed: the next assessment says what is still missing
            return self._postpone(request, STILL_ARRIVING_S)
        try:
            offered = self._find(request)
            rules = self.settings.case.series_rules
            chosen = choose_series(request.missing, offered, request.stored, request.fetched, rules)
            if not chosen:
                return self._finish(request, message("fetch.nothing_further", n=len(offered)))
            self._record(request, message("fetch.retrieving", pacs=request.pacs.name, series=_list_series(chosen)))
            outcomes = self._retrieve(request, [each.series for each in chosen])
        except (PacsUnavailableError, SettingsError) as error:
            return self._finish(request, message("fetch.not_queried", error=error))
        except Exception as error:  # an unexpected answer of one PACS must not end the requests of all other cases
            log.exception("retrieval_failed", study=request.study_instance_uid, pacs=request.pacs.name)
            return self._finish(request, message("fetch.not_queried_kind", kind=type(error).__name__))
        received = [message("fetch.outcome", series=each.series.name, text=each.text) for each in outcomes]
        answer = message("fetch.answered", received=received) if received else message("fetch.answered_nothing")
        return self._finish(request, answer)

    def _find(self, request: _Request) -> list[PacsSeries]:
        pacs, study, patient = request.pacs, request.study_instance_uid, request.patient
        other_modalities = modalities_of_other_studies(request.missing)

        def on_query(identifier: Dataset) -> None:
            self._audit.queried(pacs, FIND, identifier, patient.patient_id)

        if pacs.wado_url is not None:
            return search_series(pacs, study, patient, other_modalities, on_query)
        return find_series(pacs, self.settings.node.ae_title, study, patient, other_modalities, on_query)

    def _retrieve(self, request: _Request, series: Sequence[PacsSeries]) -> list[RetrievalOutcome | WadoOutcome]:
        pacs, node = request.pacs, self.settings.node
        outcomes: list[RetrievalOutcome | WadoOutcome] = []
        sender: Sender | None = None
        most_bytes = node.max_object_mb * 1_000_000

        def sender_of() -> Sender:
            nonlocal sender
            if sender is None:  # opened with the first object: an empty answer leaves no association in the ledger
                address = urlsplit(pacs.wado_url).hostname if pacs.wado_url else pacs.host
                peer = Peer(str(uuid.uuid4()), self.intake.node_id, pacs.ae_title, address or "", now_utc())
                sender = self.intake.senders.open(peer)
            return sender

        def take(meta: FileMeta, data: bytes | memoryview) -> Dataset:
            return store_response(self.intake.receive(meta, data, sender_of()))

        retrieved: Iterable[RetrievalOutcome | WadoOutcome]
        if pacs.wado_url is not None:
            retrieved = retrieve_by_wado(pacs, series, Door(self.intake, sender_of, pacs.ae_title, most_bytes))
        else:
            retrieved = retrieve(pacs, node.ae_title, series, take, most_bytes)
        try:
            for outcome in retrieved:
                outcomes.append(outcome)
                self._record_series(request, outcome)
        finally:
            if sender is not None:
                self.intake.senders.close(sender)
        return outcomes

    def _record_series(self, request: _Request, outcome: RetrievalOutcome | WadoOutcome) -> None:
        """Record a series before the next one begins: a node that dies does not retrieve it once more."""
        uid = outcome.series.series_instance_uid
        with self.ledger.begin() as session:
            row = fetches.get_leased(session, request.study_instance_uid, request.pacs.name, self.owner)
            if row is None:
                return
            times = int(row.fetched.get(uid, {}).get("times", 0)) + 1
            entry = {
                "times": times, "n_instances": outcome.series.n_instances, "name": outcome.series.name,
                "text": outcome.text,
            }  # fmt: skip
            row.fetched = {**row.fetched, uid: entry}

    def _record(self, request: _Request, text: str) -> None:
        with self.ledger.begin() as session:
            record(session, request.study_instance_uid, "fetch", text, actor=ACTOR)

    def _postpone(self, request: _Request, seconds: float) -> None:
        with self.ledger.begin() as session:
            row = fetches.get_leased(session, request.study_instance_uid, request.pacs.name, self.owner)
            if row is not None:
                row.not_before = now_utc() + timedelta(seconds=seconds)
                fetches.release(row)

    def _finish(self, request: _Request, text: str) -> None:
        """Record the outcome and the time of the next attempt; the history repeats no sentence."""
        pacs = request.pacs
        with self.ledger.begin() as session:
            row = fetches.get_leased(session, request.study_instance_uid, pacs.name, self.owner)
            if row is None:
                return
            sentence = message("fetch.pacs", pacs=pacs.name, text=text)
            # A PACS that is away for a night would add the same line for each attempt.
            if sentence != row.text:
                record(session, request.study_instance_uid, "fetch", sentence, actor=ACTOR)
            # An assessment may have changed the request while this one ran; then it is due at once, with short waits.
            if row.missing == sorted(request.missing) and row.state == fetches.WAITING:
                self._schedule_next(row, pacs)
                if row.state == fetches.GIVEN_UP:
                    last = message("fetch.given_up", pacs=pacs.name, days=pacs.give_up_after_days)
                    record(session, request.study_instance_uid, "fetch", last)
            row.text = sentence
            fetches.release(row)
        log.info("retrieval_finished", study=request.study_instance_uid, pacs=pacs.name)

    def _schedule_next(self, row: Fetch, pacs: PacsSettings) -> None:
        now = now_utc()
        row.attempts += 1
        row.not_before = now + timedelta(seconds=backoff_s(pacs.retry_first_s, pacs.retry_longest_s, row.attempts))
        # By time and not by attempts: a PACS that is switched off for a weekend is not given up.
        if now - row.began_at > timedelta(days=pacs.give_up_after_days):
            row.state = fetches.GIVEN_UP


def _patient_of(session: Session, case: Case) -> PatientKey:
    """Return the patient with the birth date of the case's images: an answer of the PACS must not contradict it."""
    images = instances_of_study(session, case.study_instance_uid)
    birth_dates = (str(image.header.get("PatientBirthDate") or "").strip() for image in images)
    return PatientKey(case.patient_id, case.issuer, next((date for date in birth_dates if date), ""))


def _list_series(chosen: Sequence[SeriesRequest]) -> list[str]:
    return [message("fetch.series", series=each.series.name, reason=each.reason) for each in chosen]
