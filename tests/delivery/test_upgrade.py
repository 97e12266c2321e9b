"""A ledger of an earlier version: its deliveries continue, and the commitments that they had requested still count."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from sqlalchemy import Connection, create_engine, text

from config.settings import Settings
from node.dicom.network.commitment import CommitmentResult
from node.ledger.commitments import record_commitment
from node.ledger.database import alembic_config, open_ledger
from node.ledger.deliveries import get_delivery
from node.ledger.reports import count_deliveries
from node.ledger.withdrawals import outdated_cases
from node.workflow.delivery import requeue_overdue

BEFORE = "0006_follow_up"
OBJECT = '{"1.5": {"status": "stored", "committed": false, "note": ""}}'
NOW = "2026-03-01 08:00:00.000000"


def test_a_commitment_requested_by_an_earlier_version_is_accepted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, BEFORE)
        connection.execute(
            text(
                "INSERT INTO reports (id, study_instance_uid, job_id, identity, computation, request_digest,"
                " bundle_digest, revision, sop_instance_uid, result, created_at)"
                " VALUES (1, '1.2', 'j', 'i', 'c', 'd', 'b', 1, '1.5', :result, :now)"
            ),
            {"now": NOW, "result": "{}"},
        )
        connection.execute(
            text(
                "INSERT INTO deliveries (id, report_id, pacs, state, attempts, not_before, transaction_uid, objects,"
                " created_at, sent_at) VALUES (1, 1, 'main', 'sent', 0, :now, '1.9', :objects, :now, :now)"
            ),
            {"now": NOW, "objects": OBJECT},
        )
    engine.dispose()
    ledger = open_ledger(url)
    assert record_commitment(ledger)(CommitmentResult("1.9", ("1.5",)))
    with ledger.begin() as session:
        delivery = get_delivery(session, 1)
        assert (delivery.state, delivery.commitment_requests) == ("delivered", 1)
        # Counted by triggers, which must have outlived the migration.
        assert {state: n for state, n in count_deliveries(session).items() if n} == {"delivered": 1}
    ledger.close()


def test_answers_that_an_earlier_version_left_outside_are_withdrawn_and_nothing_is_sent_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, BEFORE)
        # Reported; reported and refused since; a report whose first delivery was given up, replaced by another one.
        for study, state, revisions in (("1.1", "reported", 1), ("1.2", "refused", 1), ("1.3", "reported", 2)):
            for revision in range(1, revisions + 1):
                _insert_report(connection, study, revision, "delivered" if revision == revisions else "dead")
            connection.execute(
                text(
                    "INSERT INTO cases (study_instance_uid, patient_id, issuer, state, reasons, assignments,"
                    " assessment, confirmations, current_report_id, received_at, last_instance_at, updated_at, version)"
                    " VALUES (:study, 'P', '', :state, '[]', '{}', '{}', '{}',"
                    " (SELECT max(id) FROM reports WHERE study_instance_uid = :study), :now, :now, :now, 1)"
                ),
                {"study": study, "state": state, "now": NOW},
            )
    engine.dispose()
    ledger = open_ledger(url)
    with ledger.begin() as session:
        assert outdated_cases(session) == ["1.2"]
        assert requeue_overdue(session, Settings()) == 0
        states = {state: n for state, n in count_deliveries(session).items() if n}
        assert states == {"delivered": 3, "superseded": 1}
    ledger.close()


def _insert_report(connection: Connection, study: str, revision: int, state: str) -> None:
    values = {"now": NOW, "study": study, "revision": revision, "uid": f"{study}.{revision}", "state": state}
    connection.execute(
        text(
            "INSERT INTO reports (study_instance_uid, job_id, identity, computation, request_digest, bundle_digest,"
            " revision, sop_instance_uid, result, created_at)"
            " VALUES (:study, 'j', :uid, 'c', 'd', 'b', :revision, :uid, '{\"refusals\": []}', :now)"
        ),
        values,
    )
    connection.execute(
        text(
            "INSERT INTO deliveries (report_id, pacs, state, attempts, not_before, objects, error_text, created_at)"
            " VALUES ((SELECT id FROM reports WHERE sop_instance_uid = :uid), 'main', :state, 0, :now, '{}',"
            " 'given up', :now)"
        ),
        values,
    )
