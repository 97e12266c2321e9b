"""`cptdn doctor --storage`: the ledger against the disk, finding by finding."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from node.cli.context import print_json

if TYPE_CHECKING:
    from config.settings import Settings


def check_storage(settings: Settings, repair: bool, as_json: bool) -> int:
    """Print every disagreement with what was or can be done; returns how many are left."""
    from node.ledger.database import open_ledger
    from node.store.consistency import check_consistency
    from node.store.retention import empty_or_undo_trash
    from node.store.study_store import StudyStore
    from node.workflow.storage_repair import ADVICE, Repair

    ledger = open_ledger(settings.ledger.url or "")
    store = StudyStore(settings.storage.root, settings.storage.min_free_gb)
    store.prepare()
    mend = Repair(ledger, store)
    rows = []
    with store.deletion_lock(wait=True):
        empty_or_undo_trash(ledger, store)
        for finding in check_consistency(ledger, store):
            done = mend(finding) if repair else ""
            advice = "" if done else ADVICE.get(finding.kind, "`cptdn doctor --storage --repair` mends it")
            rows.append({**asdict(finding), "repaired": done, "advice": advice})
            if not as_json:
                where = f" (study {finding.study_instance_uid})" if finding.study_instance_uid else ""
                typer.echo(f"{finding.kind}: {finding.path}{where}: {finding.text}. {(done or advice).capitalize()}.")
    ledger.close()
    if as_json:
        print_json(rows)
    elif rows:
        typer.echo(", ".join(f"{kind} {n}" for kind, n in sorted(Counter(row["kind"] for row in rows).items())))
    else:
        typer.echo("Ledger and disk agree.")
    return sum(not row["repaired"] and row["kind"] != "orphan_report" for row in rows)
