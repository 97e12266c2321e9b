"""A ledger of an earlier version: its deliveries continue, and the commitments that they had requested still count."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from sqlalchemy import create_engine, text

from node.dicom.network.commitment import CommitmentResult
from node.ledger.commitments import record_commitment
from node.ledger.database import alembic_config, open_ledger
from node.ledger.deliveries import get_delivery
from node.ledger.reports import count_deliveries

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
