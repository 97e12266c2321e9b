"""Fetching what a case lacks from a PACS that has it: asked after, chosen by headers, fetched, written down.

    a case lacks something --want--> waiting --find_series, choose_series, retrieve--> waiting, with growing waits
                                        |--nothing lacks any more--> idle   |--too long--> given_up

Only the study of the case and contours of its patient are asked for. What was fetched and did not help is not fetched
again; what arrives is judged by the same rules as anything that a PACS sends by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from config.errors import PacsUnavailableError, SettingsError
from config.settings import PacsSettings, Settings
from node.audit.recorder import open_audit
from node.cases.retrieval_choice import PacsSeries, SeriesRequest, choose_series, modalities_of_other_studies
from node.dicom.query.query_scu import FIND, PatientKey, find_series
from node.dicom.query.retrieve_scu import RetrievalOutcome, retrieve
from node.dicom.scp.handlers import store_response
from node.dicom.scp.intake import Intake, Sender
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
OF_A_CASE_THAT_WAITS = ("incomplete", "held")

log = structlog.get_logger("cptdn.retrieval")


def asked_pacs(settings: Settings) -> tuple[PacsSettings, ...]:
    """The PACS that may be asked."""
    return tuple(pacs for pacs in settings.pacs if pacs.query_retrieve)


@dataclass(frozen=True)
class _Question:
    """What one look at a PACS needs."""

    study_instance_uid: str
    pacs: PacsSettings
    lacks: tuple[str, ...]
    patient: PatientKey
    here: dict[str, int]
    fetched: dict[str, Any]


class Retrieval:
    """Asks for everything that is due; safe in several nodes at once."""

    def __init__(self, ledger: Ledger, settings: Settings, intake: Intake, owner: str) -> None:
        self.ledger, self.settings, self.intake, self.owner = ledger, settings, intake, owner
        self.pacs = {pacs.name: pacs for pacs in asked_pacs(settings)}
        self._audit = open_audit(settings, "node")

    def fetch_due(self) -> int:
        """Ask every PACS whose question is due; returns how many that were."""
        asked = 0
        while (question := self._begin()) is not None:
            self._ask(question)
            asked += 1
        return asked

    def seconds_to_next(self, longest: float) -> float:
        with self.ledger.begin() as session:
            soonest = fetches.next_due(session)
        return longest if soonest is None else min(longest, max(0.1, (soonest - now_utc()).total_seconds()))

    def _begin(self) -> _Question | None:
        with self.ledger.begin() as session:
            row = fetches.claim_due(session, self.owner, self.pacs)
            if row is None:
                return None
            study = row.study_instance_uid
            case = get_case(session, study)
            waits = case.state in OF_A_CASE_THAT_WAITS and not open_on_study(session, study)
            return _Question(
                study, self.pacs[row.pacs], tuple(row.missing) if waits else (),
                _patient_of(session, case), count_by_series(session, study, case.patient_id),
                dict(row.fetched),
            )  # fmt: skip

    def _ask(self, question: _Question) -> None:
        if not question.lacks:  # something is arriving or being computed: the next look at the case says more
            return self._put_off(question, STILL_ARRIVING_S)
        try:
            offered = find_series(
                question.pacs, self.settings.node.ae_title, question.study_instance_uid, question.patient,
                modalities_of_other_studies(question.lacks),
                lambda identifier: self._audit.queried(question.pacs, FIND, identifier, question.patient.patient_id),
            )  # fmt: skip
            rules = self.settings.case.series_rules
            wanted = choose_series(question.lacks, offered, question.here, question.fetched, rules)
            if not wanted:
                return self._end(question, f"has nothing more of use ({len(offered)} series looked at)")
            self._say(question, f"Fetching from PACS {question.pacs.name!r}: {_in_words(wanted)}.")
            outcomes = self._retrieve(question, [one.series for one in wanted])
        except (PacsUnavailableError, SettingsError) as error:
            return self._end(question, f"could not be asked: {error}")
        except Exception as error:  # whatever a peer's answer led to; other cases must be asked for, too
            log.exception("the question failed", study=question.study_instance_uid, pacs=question.pacs.name)
            return self._end(question, f"could not be asked ({type(error).__name__})")
        came = "; ".join(f"{one.series.name}: {one.text}" for one in outcomes)
        return self._end(question, f"was fetched from: {came or 'nothing came'}")

    def _retrieve(self, question: _Question, series: Sequence[PacsSeries]) -> list[RetrievalOutcome]:
        outcomes: list[RetrievalOutcome] = []
        sender: Sender | None = None
        most_bytes = self.settings.node.max_object_mb * 1_000_000

        def take(meta: FileMeta, data: bytes | memoryview) -> Dataset:
            nonlocal sender
            if sender is None:
                peer = Peer(
                    str(uuid.uuid4()), self.intake.node_id, question.pacs.ae_title, question.pacs.host, now_utc()
                )
                sender = self.intake.opened(peer)
            return store_response(self.intake.take(meta, data, sender))

        try:
            for outcome in retrieve(question.pacs, self.settings.node.ae_title, series, take, most_bytes):
                outcomes.append(outcome)
                self._note(question, outcome)
        finally:
            if sender is not None:
                self.intake.closed(sender)
        return outcomes

    def _note(self, question: _Question, outcome: RetrievalOutcome) -> None:
        """Remember the fetch before the next one begins: a node that dies does not begin all over again."""
        uid = outcome.series.series_instance_uid
        with self.ledger.begin() as session:
            row = fetches.get_leased(session, question.study_instance_uid, question.pacs.name, self.owner)
            if row is None:
                return
            times = int(row.fetched.get(uid, {}).get("times", 0)) + 1
            entry = {
                "times": times, "n_instances": outcome.series.n_instances, "name": outcome.series.name,
                "text": outcome.text,
            }  # fmt: skip
            row.fetched = {**row.fetched, uid: entry}

    def _say(self, question: _Question, text: str) -> None:
        with self.ledger.begin() as session:
            record(session, question.study_instance_uid, "fetch", text, actor=ACTOR)

    def _put_off(self, question: _Question, seconds: float) -> None:
        with self.ledger.begin() as session:
            row = fetches.get_leased(session, question.study_instance_uid, question.pacs.name, self.owner)
            if row is not None:
                row.not_before = now_utc() + timedelta(seconds=seconds)
                fetches.release(row)

    def _end(self, question: _Question, text: str) -> None:
        """Write down what came of it, and when to ask again; a sentence that says nothing new makes no history."""
        pacs = question.pacs
        with self.ledger.begin() as session:
            row = fetches.get_leased(session, question.study_instance_uid, pacs.name, self.owner)
            if row is None:
                return
            said = f"PACS {pacs.name!r} {text}."
            if said != row.text:
                record(session, question.study_instance_uid, "fetch", said, actor=ACTOR)
            if row.missing == sorted(question.lacks) and row.state == fetches.WAITING:
                self._wait(row, pacs)
                if row.state == fetches.GIVEN_UP:
                    last = f"PACS {pacs.name!r} is not asked any more after {pacs.give_up_after_days:g} days; "
                    record(session, question.study_instance_uid, "fetch", f"{last}`cptdn studies fetch` asks again.")
            row.text = said
            fetches.release(row)
        log.info("asked", study=question.study_instance_uid, pacs=pacs.name)

    def _wait(self, row: Fetch, pacs: PacsSettings) -> None:
        now = now_utc()
        row.attempts += 1
        row.not_before = now + timedelta(seconds=backoff_s(pacs.retry_first_s, pacs.retry_longest_s, row.attempts))
        if now - row.began_at > timedelta(days=pacs.give_up_after_days):
            row.state = fetches.GIVEN_UP


def _patient_of(session: Session, case: Case) -> PatientKey:
    """The patient with the birth date that the case's own images state."""
    images = instances_of_study(session, case.study_instance_uid)
    birth_dates = (str(image.header.get("PatientBirthDate") or "").strip() for image in images)
    return PatientKey(case.patient_id, case.issuer, next((date for date in birth_dates if date), ""))


def _in_words(wanted: Sequence[SeriesRequest]) -> str:
    return "; ".join(f"{one.series.name}, for {one.reason}" for one in wanted)
