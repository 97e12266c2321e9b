"""`cptdn retention`: list the studies whose images may be removed, or remove them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from config.errors import InputError
from config.who_and_when import local_time
from node.cli.context import ledger_of, print_json, print_table, settings_of


def retention(
    ctx: typer.Context,
    now: Annotated[bool, typer.Option("--now", help="Remove them now.")] = False,
    days: Annotated[int | None, typer.Option(min=1, help="Age in days instead of [storage] retention_days.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the studies whose images may be removed, or remove them now.

    They are reported and delivered, older than `[storage] retention_days`, and no case needs them. The node removes
    them by itself; with --now this command does. Reports are kept.

    Example: cptdn retention --days 365
    """
    from node.ledger.database import now_utc
    from node.store.retention import kept_by_deliveries, retirable, retire_due
    from node.store.study_store import StudyStore

    settings = settings_of(ctx)
    age = days or settings.storage.retention_days
    if age is None:
        raise InputError(
            "[storage] retention_days is not set, so nothing is ever removed; give --days to see what could be removed"
        )
    ledger = ledger_of(ctx)
    if now:
        # Waits for a backup or a node: an administrator who asked for the removal wants it done, not refused.
        with StudyStore(settings.storage.root) as store, store.deletion_lock(wait=True):
            found = retire_due(ledger, store, age)
    else:
        with ledger.read() as session:
            # Without a lock: the list is information, and `retire_due` checks each study again.
            found = retirable(session, now_utc() - timedelta(days=age))
    with ledger.read() as session:
        kept = kept_by_deliveries(session, now_utc() - timedelta(days=age))
    if as_json:
        print_json(
            {
                "days": age,
                "removed": now,
                "studies": [asdict(one) for one in found],
                "kept": [asdict(one) for one in kept],
            }
        )
        return
    rows = [
        (one.study_instance_uid, local_time(one.received_at), str(one.n_instances), f"{one.size_bytes / 1e6:.1f}")
        for one in found
    ]
    print_table(("study", "received", "instances", "MB"), rows)
    done = "removed" if now else "would be removed"
    gigabytes = sum(one.size_bytes for one in found) / 1e9
    typer.echo(f"{len(found)} studies older than {age} days, {gigabytes:.2f} GB, {done}.")
    if kept:
        gigabytes = sum(one.size_bytes for one in kept) / 1e9
        typer.echo(
            f"{len(kept)} more, {gigabytes:.2f} GB, stay until their deliveries have ended: "
            "`cptdn jobs list --state dead --state pending --state sent` has the reasons."
        )
